"""What makes an implementation of fusion right: its cases, its laws and the mistakes people make.

In each part, the functions that a spec names stand before it.
"""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np

from vidlearn import layers
from vidlearn.layers.spec.drawing import cut_to, unsaid
from vidlearn.spec import Cost, Law, Mistake, Spec, Tolerance

few = st.integers(1, 2)
three = st.integers(1, 3)
maybe = st.booleans()
odd = st.sampled_from([1, 3, 5])


def _softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


# ------------------------------------------------------------------ single_frame


def _logits(frames: st.SearchStrategy[int]) -> Any:
    def shapes(n: int, t: int, k: int) -> Any:
        return {"logits": (n, t, k)}, {}

    return cut_to({"logits": (2, 4, 3)}, st.builds(shapes, few, frames, st.integers(2, 3)))


def sums_to_one(f: Any, logits: Any) -> Any:
    p = f(logits)
    return p.sum(axis=-1), np.ones(p.shape[:-1])


def frames_in_any_order(f: Any, logits: Any, seed: int) -> Any:
    order = np.random.default_rng(seed).permutation(logits.shape[1])
    return f(logits[:, order]), f(logits)


def a_frame_lifted(f: Any, logits: Any) -> Any:
    lifted = logits + np.arange(logits.shape[1])[:, None]
    return f(lifted), f(logits)


def a_sure_frame_counts_once(f: Any, logits: Any) -> Any:
    sure = logits.copy()
    sure[:, 0] = 0
    sure[:, 0, 0] = 200
    got = f(sure)
    rest = _softmax(sure[:, 1:]).sum(axis=1)
    rest[:, 0] += 1
    return got, rest / logits.shape[1]


single_frame = Spec(
    cases={"several frames": _logits(st.integers(2, 4)), "one frame": _logits(st.just(1))},
    laws=[
        Law("the probabilities of all classes sum to 1", sums_to_one),
        Law("the order of the frames does not matter", frames_in_any_order, ("several frames",),
            {"seed": st.integers(0, 9)}),
        Law("adding a number to all scores of a frame changes nothing", a_frame_lifted),
        Law("a frame that is sure of a class counts as one vote, however sure it is", a_sure_frame_counts_once),
    ],
    mistakes=[
        Mistake("averages the scores, not the probabilities", lambda right, x: _softmax(x.mean(axis=1)),
                ["What may be averaged: what a frame scores, or what it says?", "First softmax a frame, then the mean."]),
        Mistake("softmax over the frames", lambda right, x: _softmax(x, axis=1).mean(axis=1),
                ["Over which axis do probabilities sum to 1?", "Over the classes, the last axis."]),
        Mistake("sums over the frames", lambda right, x: right(x) * x.shape[1],
                ["Do your answers sum to 1?", "Divide by the number of frames."]),
        Mistake("multiplies the frames' probabilities", lambda right, x: _softmax(np.log(_softmax(x)).sum(axis=1)),
                ["The slide says average.", "A product lets one frame veto; take the mean."]),
        Mistake("the surest frame decides", lambda right, x: _softmax(x).max(axis=1),
                ["Do all frames count?", "Mean over the frames, not the maximum."]),
    ],
    accepted=[
        lambda logits: np.stack([_softmax(logits[:, t]) for t in range(logits.shape[1])]).mean(axis=0),
        lambda logits: np.einsum("ntk->nk", _softmax(logits)) / logits.shape[1],
    ],
    tolerance=Tolerance(ulps=32, why="an exponential, a sum over the classes, a sum over the frames"),
    cost=Cost(flops=lambda s: 4 * s.N * s.T * s.K, bytes=lambda s: (s.N * s.T * s.K + s.N * s.K) * s.itemsize),
    large=lambda size, rng: {"logits": rng.normal(size=(size[0], 16, size[1]))},
)  # fmt: skip

# ------------------------------------------------------------------ late_fusion_fc


def _fc(frames: st.SearchStrategy[int]) -> Any:
    def shapes(n: int, t: int, d: int, h: int, w: int, k: int, bias: bool) -> Any:
        found = {"features": (n, t, d, h, w), "w": (k, t * d * h * w)}
        return {**found, "b": (k,)} if bias else found, {}

    most = {"features": (2, 3, 2, 2, 2), "w": (2, 24), "b": (2,)}
    return cut_to(most, st.builds(shapes, few, frames, few, few, few, few, maybe))


def linear_in_features(f: Any, features: Any, w: Any, b: Any = None) -> Any:
    return f(2 * features, w) - f(features, w), f(features, w)


def one_feature(f: Any, features: Any, w: Any, b: Any = None) -> Any:
    """A single 1 among zeros picks its own column of w."""
    t, d = features.shape[1] - 1, features.shape[2] - 1
    single = np.zeros_like(features)
    single[:, t, d, 0, 0] = 1
    column = ((t * features.shape[2] + d) * features.shape[3]) * features.shape[4]
    got = f(single, w)
    return got, np.broadcast_to(w[:, column], got.shape)


def _flatten_channels_first(right: Any, features: Any, w: Any, b: Any = None) -> Any:
    n, t, d, h, width = features.shape
    return right(np.swapaxes(features, 1, 2).reshape(n, t, d, h, width), w, b)


def _by_row(features: Any, w: Any, b: Any = None) -> Any:
    rows = [[float(np.sum(f.ravel() * k)) for k in w] for f in features]
    return np.array(rows) + (0 if b is None else b)


late_fusion_fc = Spec(
    cases={"several frames": _fc(st.integers(2, 3)), "one frame": _fc(st.just(1))},
    laws=[
        Law("without a bias, doubling all features doubles the scores", linear_in_features),
        Law("a single feature of 1 gives its own column of w", one_feature),
    ],
    mistakes=[
        Mistake("flattens channels before frames", _flatten_channels_first,
                ["In which order are the features laid in a row?", "Frames first, then channels, rows and columns."]),
        Mistake("frames in reverse", lambda right, f, w, b=None: right(f[:, ::-1], w, b),
                ["Which frame meets the first columns of w?", "The first one."]),
        Mistake("bias forgotten", lambda right, f, w, b=None: right(f, w),
                ["What is the score of a clip whose features are all 0?", "Add b."]),
        Mistake("divides by the number of frames", lambda right, f, w, b=None: right(f / f.shape[1], w, b),
                ["Is there a mean in the formula?", "The layer sums; it has weights for every frame."]),
        Mistake("softmax on top", lambda right, f, w, b=None: _softmax(right(f, w, b)),
                ["Scores or probabilities?", "Scores: the softmax comes with the loss."]),
    ],
    accepted=[_by_row, lambda features, w, b=None: np.einsum("nf,kf->nk", features.reshape(len(features), -1), w)
              + (0 if b is None else b)],
    tolerance=Tolerance(ulps=64, why="one sum over all features of a clip",
                        scale=lambda expected, features, w, b=None: float(
                            (np.abs(w).sum(axis=1).max() * np.abs(features).max()) + (0 if b is None else np.abs(b).max()))),
    cost=Cost(flops=lambda s: 2 * s.N * s.K * s.F, bytes=lambda s: (s.N * s.F + s.K * s.F + s.N * s.K) * s.itemsize),
    large=lambda size, rng: {"features": rng.normal(size=(2, 4, 8, *size)),
                             "w": rng.normal(size=(10, 32 * size[0] * size[1])), "b": rng.normal(size=10)},
)  # fmt: skip

# ------------------------------------------------------------------ late_fusion_pool


def _pool(frames: st.SearchStrategy[int]) -> Any:
    def shapes(n: int, t: int, d: int, h: int, w: int, k: int, bias: bool) -> Any:
        found = {"features": (n, t, d, h, w), "w": (k, d)}
        return {**found, "b": (k,)} if bias else found, {}

    most = {"features": (2, 4, 2, 2, 3), "w": (2, 2), "b": (2,)}
    return cut_to(most, st.builds(shapes, few, frames, few, few, three, few, maybe))


def features_in_any_order(f: Any, features: Any, w: Any, b: Any = None, seed: int = 0) -> Any:
    order = np.random.default_rng(seed).permutation(features.shape[1])
    return f(features[:, order], w, b), f(features, w, b)


def a_clip_twice(f: Any, features: Any, w: Any, b: Any = None) -> Any:
    return f(np.concatenate([features, features], axis=1), w, b), f(features, w, b)


def as_its_frames(f: Any, features: Any, w: Any, b: Any = None) -> Any:
    each = [f(features[:, t : t + 1], w, b) for t in range(features.shape[1])]
    return f(features, w, b), np.mean(each, axis=0)


def _loops(features: Any, w: Any, b: Any = None) -> Any:
    total = sum(features[:, t, :, i, j] for t in range(features.shape[1]) for i in range(features.shape[3])
                for j in range(features.shape[4]))  # fmt: skip
    mean = total / (features.shape[1] * features.shape[3] * features.shape[4])
    return mean @ w.T + (0 if b is None else b)


late_fusion_pool = Spec(
    cases={"several frames": _pool(st.integers(2, 4)), "one frame": _pool(st.just(1))},
    laws=[
        Law("the order of the frames does not matter", features_in_any_order, ("several frames",),
            {"seed": st.integers(0, 9)}),
        Law("a clip that plays twice gets the same scores", a_clip_twice),
        Law("the scores are the mean of what each frame alone would get", as_its_frames),
    ],
    mistakes=[
        Mistake("sums instead of averaging", lambda right, f, w, b=None: right(
                f * (f.shape[1] * f.shape[3] * f.shape[4]), w, b),
                ["Would a longer clip get larger scores?", "Take the mean over time and space."]),
        Mistake("maximum instead of the mean", lambda right, f, w, b=None: right(
                f.max(axis=(1, 3, 4), keepdims=True), w, b),
                ["Which pooling does the slide name?", "Average pooling."]),
        Mistake("averages over space only and takes the last frame", lambda right, f, w, b=None: right(f[:, -1:], w, b),
                ["Do all frames count?", "The mean runs over time as well."]),
        Mistake("averages over time only and takes the first position",
                lambda right, f, w, b=None: right(f[..., :1, :1], w, b),
                ["Does all of a frame count?", "The mean runs over height and width as well."]),
        Mistake("bias forgotten", lambda right, f, w, b=None: right(f, w),
                ["What is the score of a clip whose features are all 0?", "Add b."]),
    ],
    accepted=[_loops, lambda features, w, b=None: np.einsum("ntdhw,kd->ntkhw", features, w).mean(axis=(1, 3, 4))
              + (0 if b is None else b)],
    tolerance=Tolerance(ulps=64, why="one mean over all positions, one sum over the channels",
                        scale=lambda expected, features, w, b=None: float(
                            (np.abs(w).sum(axis=1).max() * np.abs(features).max()) + (0 if b is None else np.abs(b).max()))),
    cost=Cost(flops=lambda s: s.N * s.T * s.D * s.H * s.W + 2 * s.N * s.K * s.D,
              bytes=lambda s: (s.N * s.T * s.D * s.H * s.W + s.K * s.D + s.N * s.K) * s.itemsize),
    large=lambda size, rng: {"features": rng.normal(size=(2, 4, 8, *size)), "w": rng.normal(size=(10, 8)),
                             "b": rng.normal(size=10)},
)  # fmt: skip

# ------------------------------------------------------------------ early_fusion


def _early(frames: st.SearchStrategy[int], channels: st.SearchStrategy[int] = few) -> Any:
    def shapes(n: int, c: int, t: int, h: int, w: int, o: int, kh: int, kw: int, bias: bool) -> Any:
        found = {"x": (n, c, t, h, w), "w": (o, c, t, kh, kw)}
        return {**found, "b": (o,)} if bias else found, {}

    most = {"x": (2, 2, 3, 2, 3), "w": (2, 2, 3, 5, 5), "b": (2,)}
    return cut_to(most, st.builds(shapes, few, channels, frames, few, three, few, odd, odd, maybe))


def one_3d_window(f: Any, x: Any, w: Any, b: Any = None) -> Any:
    pad = (0, w.shape[3] // 2, w.shape[4] // 2)
    return f(x, w, b), layers.conv3d(x, w, b, padding=pad)[:, :, 0]


def both_reversed(f: Any, x: Any, w: Any, b: Any = None) -> Any:
    return f(x[:, :, ::-1].copy(), w[:, :, ::-1].copy(), b), f(x, w, b)


def linear_in_the_clip(f: Any, x: Any, w: Any, b: Any = None) -> Any:
    return f(2 * x, w) - f(x, w), f(x, w)


def _scale(expected: Any, x: Any, w: Any, b: Any = None, **_: Any) -> float:
    return float(
        np.abs(x).max() * np.abs(w).reshape(len(w), -1).sum(axis=1).max() + (0 if b is None else np.abs(b).max())
    )


def _frames_first(right: Any, x: Any, w: Any, b: Any = None) -> Any:
    """The clip laid out frame by frame, the kernel channel by channel."""
    n, c, t, height, width = x.shape
    return right(np.swapaxes(x, 1, 2).reshape(n, c, t, height, width), w, b)


def _frame_by_frame(x: Any, w: Any, b: Any = None) -> Any:
    pad = (w.shape[3] // 2, w.shape[4] // 2)
    total = sum(layers.conv2d(x[:, :, t], w[:, :, t], padding=pad) for t in range(x.shape[2]))
    return total + (0 if b is None else b[:, None, None])


def _by_taps(x: Any, w: Any, b: Any = None) -> Any:
    kh, kw = w.shape[3:]
    height, width = x.shape[3:]
    padded = np.pad(x, [(0, 0)] * 3 + [(kh // 2,) * 2, (kw // 2,) * 2])
    y = sum(np.einsum("oct,ncthw->nohw", w[..., i, j], padded[..., i : i + height, j : j + width])
            for i in range(kh) for j in range(kw))  # fmt: skip
    return y + (0 if b is None else b[:, None, None])


early_fusion = Spec(
    cases={"several frames": _early(st.integers(2, 3)), "one frame": _early(st.just(1))},
    laws=[
        Law("it is the one place of a 3D kernel that spans the clip", one_3d_window),
        Law("reversing both the clip and the kernel in time changes nothing", both_reversed),
        Law("without a bias, doubling the clip doubles the answer", linear_in_the_clip),
    ],
    mistakes=[
        Mistake("frames and channels mixed up where they are merged", _frames_first,
                ["In which order do frames and channels lie side by side?",
                 "The kernel is (C, T): all frames of a channel together; a reshape does not exchange axes."]),
        Mistake("the first frame's kernel for all frames", lambda right, x, w, b=None: right(
                x, np.repeat(w[:, :, :1], w.shape[2], axis=2), b),
                ["Does each frame have weights of its own?", "The kernel has an axis T; use it."]),
        Mistake("kernel flipped", lambda right, x, w, b=None: right(x, w[..., ::-1, ::-1].copy(), b),
                ["What do frameworks call convolution?", "Cross-correlation: the kernel is not flipped."]),
        Mistake("averages over the frames", lambda right, x, w, b=None: right(x / x.shape[2], w, b),
                ["Is there a mean in the formula?", "Sum over the frames."]),
        Mistake("bias forgotten", lambda right, x, w, b=None: right(x, w),
                ["What is the answer to a black clip?", "Add b."]),
        Mistake("bias added for every frame", lambda right, x, w, b=None: right(
                x, w, None if b is None else b * x.shape[2]),
                ["What is the answer to a black clip?", "b once, not once a frame."]),
    ],
    accepted=[_frame_by_frame, _by_taps],
    tolerance=Tolerance(ulps=64, why="one sum over channels, frames and the taps of the kernel", scale=_scale),
    cost=Cost(flops=lambda s: 2 * s.N * s.O * s.C * s.T * s.Kh * s.Kw * s.H * s.W,
              bytes=lambda s: (s.N * s.C * s.T * s.H * s.W + s.O * s.C * s.T * s.Kh * s.Kw + s.N * s.O * s.H * s.W) * s.itemsize),
    large=lambda size, rng: {"x": rng.normal(size=(1, 3, 4, *size)), "w": rng.normal(size=(12, 3, 4, 3, 3)),
                             "b": rng.normal(size=12)},
)  # fmt: skip

# ------------------------------------------------------------------ slow_fusion


def _slow(strides: st.SearchStrategy[int], kernels: st.SearchStrategy[int]) -> Any:
    def shapes(n: int, c: int, more: int, h: int, w: int, o: int, kt: int, k: Any, bias: bool, stride: int) -> Any:
        found = {"x": (n, c, kt + more, h, w), "w": (o, c, kt, *k)}
        return {**found, "b": (o,)} if bias else found, {"stride": stride}

    most = {"x": (2, 2, 6, 2, 3), "w": (2, 2, 3, 5, 5), "b": (2,)}
    sizes = (few, few, st.integers(0, 3), few, three, few, kernels, st.tuples(odd, odd))
    return unsaid(cut_to(most, st.builds(shapes, *sizes, maybe, strides)), stride=1)


def shift_in_time(f: Any, x: Any, w: Any, b: Any = None, stride: int = 1) -> Any:
    """Frames put before the clip delay the answer and change nothing of it."""
    longer = np.concatenate([np.ones_like(x[:, :, :1])] * stride + [x], axis=2)
    return f(longer, w, b, stride)[:, :, 1:], f(x, w, b, stride)


def as_early_where_it_spans(f: Any, x: Any, w: Any, b: Any = None, stride: int = 1) -> Any:
    first = x[:, :, : w.shape[2]]
    return f(first, w, b, stride)[:, :, 0], _frame_by_frame(first, w, b)


def every_other(f: Any, x: Any, w: Any, b: Any = None, stride: int = 1) -> Any:
    return f(x, w, b, stride), f(x, w, b, 1)[:, :, ::stride]


def _slow_loop(x: Any, w: Any, b: Any = None, stride: int = 1) -> Any:
    k = w.shape[2]
    starts = range(0, x.shape[2] - k + 1, stride)
    return np.stack([_frame_by_frame(x[:, :, t : t + k], w, b) for t in starts], axis=2)


def _slow_taps(x: Any, w: Any, b: Any = None, stride: int = 1) -> Any:
    k, frames = w.shape[2], x.shape[2]
    places = (frames - k) // stride + 1
    total = 0
    for m in range(k):
        seen = x[:, :, m : m + (places - 1) * stride + 1 : stride]
        total = total + layers.conv3d(seen, w[:, :, m : m + 1], padding=(0, w.shape[3] // 2, w.shape[4] // 2))
    return total + (0 if b is None else b[:, None, None, None])


slow_fusion = Spec(
    cases={
        "stride 1": _slow(st.just(1), st.integers(2, 3)),
        "stride 2": _slow(st.just(2), st.integers(2, 3)),
        "a kernel of one frame": _slow(st.just(1), st.just(1)),
    },
    laws=[
        Law("a clip that starts later is answered later, and as before", shift_in_time),
        Law("its first answer is early fusion of the first frames", as_early_where_it_spans),
        Law("a stride keeps every s-th answer of stride 1", every_other, ("stride 2",)),
    ],
    mistakes=[
        Mistake("zeros put around in time as well", lambda right, x, w, b=None, stride=1: right(
                np.pad(x, [(0, 0), (0, 0), (w.shape[2] // 2,) * 2, (0, 0), (0, 0)]), w, b, stride),
                ["How many frames are left of T with a window of K_t?", "Pad height and width only."]),
        Mistake("stride ignored", lambda right, x, w, b=None, stride=1: right(x, w, b),
                ["How far does the window move?", "By `stride` frames."]),
        Mistake("stride before the convolution", lambda right, x, w, b=None, stride=1: right(
                np.concatenate([x[:, :, ::stride], np.zeros_like(x[:, :, : w.shape[2] - 1])], axis=2), w, b, 1),
                ["Which frames does one window see?", "Neighbors: the stride skips windows, not frames inside one."]),
        Mistake("kernel flipped in time", lambda right, x, w, b=None, stride=1: right(x, w[:, :, ::-1].copy(), b, stride),
                ["Which frame meets the kernel's first one?", "The window's first: the kernel is not flipped."]),
        Mistake("bias forgotten", lambda right, x, w, b=None, stride=1: right(x, w, None, stride),
                ["What is the answer to a black clip?", "Add b."]),
    ],
    accepted=[_slow_loop, _slow_taps],
    tolerance=Tolerance(ulps=64, why="one sum over channels and the taps of the kernel", scale=_scale),
    cost=Cost(flops=lambda s: 2 * s.N * s.O * s.C * s.Kt * s.Kh * s.Kw * ((s.T - s.Kt) // s.stride + 1) * s.H * s.W,
              bytes=lambda s: (s.N * s.C * s.T * s.H * s.W + s.O * s.C * s.Kt * s.Kh * s.Kw
                               + s.N * s.O * ((s.T - s.Kt) // s.stride + 1) * s.H * s.W) * s.itemsize),
    large=lambda size, rng: {"x": rng.normal(size=(1, 3, 8, *size)), "w": rng.normal(size=(12, 3, 4, 3, 3)),
                             "b": rng.normal(size=12), "stride": 2},
)  # fmt: skip

# ------------------------------------------------------------------ temporal_extent


def one_frame_more(f: Any, frames: int, kernel: int, stride: int = 1) -> Any:
    return np.asarray(f(frames + stride, kernel + 0, stride)), np.asarray(f(frames, kernel, stride)) + 1


def counted(f: Any, frames: int, kernel: int, stride: int = 1) -> Any:
    return np.asarray(f(frames, kernel, stride)), np.asarray(len(range(0, frames - kernel + 1, stride)))


def _extents(least: int) -> Any:
    def drawn(kernel: int, more: int, stride: int) -> dict[str, int]:
        return {"frames": max(1, kernel + more), "kernel": kernel, "stride": stride}

    more = st.integers(0, 7) if least == 0 else st.integers(-3, -1)
    return unsaid(st.builds(drawn, st.integers(1 if least == 0 else 4, 5), more, three), stride=1)


temporal_extent = Spec(
    cases={"the window has a place": _extents(0), "the window is longer than the clip": _extents(-1)},
    laws=[
        Law("s frames more give one place more", one_frame_more, ("the window has a place",)),
        Law("it counts the starts of whole windows", counted),
    ],
    mistakes=[
        Mistake("one too few", lambda right, frames, kernel, stride=1: max(0, (frames - kernel) // stride),
                ["How many places has a window as long as the clip?", "One: add 1."]),
        Mistake("rounds up", lambda right, frames, kernel, stride=1: max(0, -(-(frames - kernel) // stride) + 1),
                ["Does the last window have all its frames?", "Round down: a window that reaches out is none."]),
        Mistake("forgets the window", lambda right, frames, kernel, stride=1: -(-frames // stride),
                ["Where can the last window start?", "K_t frames before the end."]),
        Mistake("negative where no window fits", lambda right, frames, kernel, stride=1: (
                np.asarray((frames - kernel) // stride + 1 if frames >= kernel else frames - kernel)),
                ["Can there be fewer than no places?", "0 where the window is longer than the clip."]),
    ],
    accepted=[lambda frames, kernel, stride=1: sum(1 for t in range(0, frames, stride) if t + kernel <= frames),
              lambda frames, kernel, stride=1: np.array(max(0, (frames - kernel + stride) // stride))],
    tolerance=Tolerance(ulps=0, why="whole numbers"),
    cost=Cost(flops=lambda s: 3, bytes=lambda s: 8),
    large=lambda size, rng: {"frames": size[0], "kernel": 4, "stride": 2},
)  # fmt: skip

# ------------------------------------------------------------------ fovea_context


def _even(most: int) -> Any:
    def shapes(n: int, c: int, t: int, h: int, w: int) -> Any:
        return {"x": (n, c, t, 2 * h, 2 * w)}, {}

    sizes = st.integers(1, most)
    return cut_to({"x": (2, 2, 2, 2 * most, 2 * most)}, st.builds(shapes, few, few, few, sizes, sizes))


def keeps_the_mean(f: Any, x: Any) -> Any:
    return f(x)[1].mean(axis=(-2, -1)), x.mean(axis=(-2, -1))


def frame_by_frame(f: Any, x: Any) -> Any:
    late = f(x[:, :, -1:])
    return np.stack(late), np.stack([part[:, :, -1:] for part in f(x)])


def edge_of_the_fovea(f: Any, x: Any) -> Any:
    """What lies outside the middle half is not in the fovea."""
    height, width = x.shape[3:]
    inside = np.zeros_like(x)
    window = (..., slice(height // 4, height // 4 + height // 2), slice(width // 4, width // 4 + width // 2))
    inside[window] = x[window]
    return f(inside)[0], f(x)[0]


fovea_context = Spec(
    cases={"two or four pixels a side": _even(2), "up to eight": _even(4)},
    laws=[
        Law("the context has the mean of the frame", keeps_the_mean),
        Law("each frame is split by itself", frame_by_frame),
        Law("what lies outside the middle half does not show in the fovea", edge_of_the_fovea),
    ],
    mistakes=[
        Mistake("the fovea is the upper left corner", lambda right, x: (
                x[..., : x.shape[3] // 2, : x.shape[4] // 2], right(x)[1]),
                ["Where does the eye look?", "At the center: leave a quarter on every side."]),
        Mistake("both are the whole frame, smaller", lambda right, x: (right(x)[1], right(x)[1]),
                ["Is the fovea as sharp as the frame?", "It is cut out, not made smaller."]),
        Mistake("the context skips pixels", lambda right, x: (right(x)[0], x[..., ::2, ::2]),
                ["What becomes of the pixels between?", "Average 2×2 pixels: a line one pixel wide must not vanish."]),
        Mistake("the context is a sum", lambda right, x: (right(x)[0], 4 * right(x)[1]),
                ["Has the context the brightness of the frame?", "Divide by 4."]),
        Mistake("fovea and context swapped", lambda right, x: right(x)[::-1],
                ["Which of the two comes first?", "The fovea, then the context."]),
    ],
    accepted=[
        lambda x: (x[..., x.shape[3] // 4 :, x.shape[4] // 4 :][..., : x.shape[3] // 2, : x.shape[4] // 2],
                   (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4),
        lambda x: [x[..., x.shape[3] // 4 : x.shape[3] // 4 + x.shape[3] // 2, x.shape[4] // 4 : x.shape[4] // 4 + x.shape[4] // 2],
                   x.reshape(*x.shape[:3], x.shape[3] // 2, 2, x.shape[4] // 2, 2).mean(axis=(4, 6))],
    ],
    tolerance=Tolerance(ulps=8, why="a mean of four"),
    cost=Cost(flops=lambda s: s.N * s.C * s.T * s.H * s.W, bytes=lambda s: 1.5 * s.N * s.C * s.T * s.H * s.W * s.itemsize),
    large=lambda size, rng: {"x": rng.normal(size=(1, 3, 4, 2 * -(-size[0] // 2), 2 * -(-size[1] // 2)))},
    outputs=("fovea", "context"),
)  # fmt: skip

# ------------------------------------------------------------------ receptive_field


def _stacks(dilated: bool) -> Any:
    numbers = st.lists(st.tuples(st.integers(1, 5), three, st.integers(1, 2)), min_size=1, max_size=4)

    def arrays(layers_: list[tuple[int, int, int]]) -> dict[str, Any]:
        k, s, d = (np.array(column) for column in zip(*layers_, strict=True))
        return {"kernels": k, "strides": s, "dilations": d} if dilated else {"kernels": k, "strides": s}

    return numbers.map(arrays)


def by_brute_force(f: Any, kernels: Any, strides: Any, dilations: Any = None) -> Any:
    """From the last layer back: the positions that one output stands on."""
    dilations = np.ones_like(kernels) if dilations is None else dilations
    found = []
    for last in range(len(kernels)):
        seen = {0}
        for k, s, d in list(zip(kernels, strides, dilations, strict=True))[last::-1]:
            seen = {int(p * s + d * tap) for p in seen for tap in range(k)}
        found.append(max(seen) - min(seen) + 1)
    return np.asarray(f(kernels, strides, dilations)), np.array(found)


def a_pixel_sees_itself(f: Any, kernels: Any, strides: Any, dilations: Any = None) -> Any:
    return np.asarray(f(np.ones_like(kernels), strides, dilations)), np.ones_like(kernels)


def last_stride_is_free(f: Any, kernels: Any, strides: Any, dilations: Any = None) -> Any:
    other = strides.copy()
    other[-1] += 1
    return np.asarray(f(kernels, other, dilations)), np.asarray(f(kernels, strides, dilations))


def _follow(
    kernels: Any, strides: Any, dilations: Any, *, early: bool = False, jumps: bool = True, whole: bool = False
) -> Any:
    d = np.ones_like(kernels) if dilations is None else dilations
    field, jump, found = 1, 1, []
    for k, s, step in zip(kernels.tolist(), strides.tolist(), d.tolist(), strict=True):
        jump *= s if jumps and early else 1
        field += (step * (k - 1) + (1 if whole else 0)) * jump
        jump *= s if jumps and not early else 1
        found.append(field)
    return np.array(found)


def _from_the_end(kernels: Any, strides: Any, dilations: Any = None) -> Any:
    d = np.ones_like(kernels) if dilations is None else dilations
    found = []
    for last in range(len(kernels)):
        field = 1
        for i in range(last, -1, -1):
            field = (field - 1) * int(strides[i]) + int(d[i]) * (int(kernels[i]) - 1) + 1
        found.append(field)
    return np.array(found)


receptive_field = Spec(
    cases={"no dilation": _stacks(False), "dilated": _stacks(True)},
    laws=[
        Law("it is what one finds by walking back from one output", by_brute_force),
        Law("windows of one position see one position", a_pixel_sees_itself),
        Law("the last layer's stride does not change what it sees", last_stride_is_free),
    ],
    mistakes=[
        Mistake("a layer's own stride counted before its window",
                lambda right, k, s, d=None: _follow(k, s, d, early=True),
                ["Does a pool's stride change what the pool itself sees?", "Add (k − 1)·jump first, then multiply the jump."]),
        Mistake("strides ignored", lambda right, k, s, d=None: _follow(k, s, d, jumps=False),
                ["How far apart in the input are two neighbors after a pool?", "Keep a jump, the product of the strides so far."]),
        Mistake("adds k instead of k − 1", lambda right, k, s, d=None: _follow(k, s, d, whole=True),
                ["What does a window of one position add?", "Nothing: (k − 1)·jump."]),
        Mistake("dilation ignored", lambda right, k, s, d=None: right(k, s),
                ["How far does a window of 3 with dilation 2 reach?", "Over 5: d (k − 1) + 1."]),
        Mistake("layers in reverse", lambda right, k, s, d=None: right(
                k[::-1], s[::-1], None if d is None else d[::-1]),
                ["Which layer comes first?", "The first in the list is the one on the input."]),
        Mistake("starts from 0", lambda right, k, s, d=None: right(k, s, d) - 1,
                ["What does the input see of itself?", "One position: r starts at 1."]),
    ],
    accepted=[_from_the_end, lambda kernels, strides, dilations=None: 1 + np.cumsum(
        (np.ones_like(kernels) if dilations is None else dilations) * (kernels - 1)
        * np.concatenate([[1], np.cumprod(strides)[:-1]]))],
    tolerance=Tolerance(ulps=0, why="whole numbers"),
    cost=Cost(flops=lambda s: 4 * s.L, bytes=lambda s: 32 * s.L),
    large=lambda size, rng: {"kernels": rng.integers(1, 6, 20), "strides": rng.integers(1, 3, 20)},
)  # fmt: skip
