"""What makes an implementation of two pathways right: its cases, its laws and the mistakes people make.

In each part, the functions that a spec names stand before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import hypothesis.strategies as st
import numpy as np

from vidlearn import layers
from vidlearn.layers.spec.drawing import cut_to
from vidlearn.spec import Cost, Law, Mistake, Spec, Tolerance, largest

few = st.integers(1, 2)
ALPHAS = (1, 2, 3)
SHIFT = {"seed": st.integers(0, 99)}


def _clips(name: str, alphas: Any, more: Mapping[str, Any] | None = None) -> st.SearchStrategy[Any]:
    """A batch of clips whose frames are a multiple of α, with α."""
    most = {name: (2, 2, 9, 2, 2)}
    sizes = st.tuples(few, few, st.integers(1, 3), few, few, st.sampled_from(alphas)).map(
        lambda s: ({name: (s[0], s[1], s[2] * s[5], s[3], s[4])}, {"alpha": s[5], **(more or {})}))  # fmt: skip
    return cut_to(most, sizes)


def _large(channels: int, frames: int) -> Callable[..., np.ndarray]:
    return lambda size, rng: rng.normal(size=(1, channels, frames, *size))


# ------------------------------------------------------------------ clip_span

counts = st.integers(1, 9)


def one_frame_more(f: Any, frames: int, interval: int) -> Any:
    return f(frames + 1, interval) - f(frames, interval), np.array(interval)


def one_frame_spans_itself(f: Any, frames: int, interval: int) -> Any:
    return f(1, interval), np.array(1)


def reversed_roles(f: Any, frames: int, interval: int) -> Any:
    """n frames τ apart span as much as τ + 1 frames n − 1 apart."""
    if frames == 1:
        return f(frames, interval), np.array(1)
    return f(frames, interval), f(interval + 1, frames - 1)


clip_span = Spec(
    cases={"several frames": st.fixed_dictionaries({"frames": st.integers(2, 9), "interval": counts}),
           "a single frame": st.fixed_dictionaries({"frames": st.just(1), "interval": counts})},
    laws=[
        Law("one frame more is one interval more", one_frame_more),
        Law("a single frame spans itself", one_frame_spans_itself),
        Law("n frames with interval τ span as much as τ + 1 frames with interval n − 1", reversed_roles),
    ],
    mistakes=[
        Mistake("an interval after the last frame", lambda right, frames, interval: np.array(frames * interval),
                ["How many intervals lie between n frames?", "n − 1, as between fence posts."]),
        Mistake("the last frame is not counted", lambda right, frames, interval: np.array((frames - 1) * interval),
                ["How many frames does a single frame span?", "One: add it."]),
        Mistake("frames and intervals added", lambda right, frames, interval: np.array(frames + interval - 1),
                ["Frames 0, τ, 2τ, …: which is the last?", "(n − 1) τ."]),
        Mistake("one interval too many", lambda right, frames, interval: np.array(frames * interval + 1),
                ["How many intervals lie between n frames?", "n − 1."]),
    ],
    accepted=[lambda frames, interval: len(range((frames - 1) * interval + 1)),
              lambda frames, interval: np.array(frames * interval - interval + 1)],
    tolerance=Tolerance(ulps=0, why="whole numbers"),
    cost=Cost(flops=lambda s: 3, bytes=lambda s: s.itemsize),
    large=lambda size, rng: {"frames": 32, "interval": 2},
)  # fmt: skip

# ------------------------------------------------------------------ sample_pathways


def fast_is_the_clip(f: Any, x: Any, alpha: int, how: str) -> Any:
    return f(x, alpha, how)[1], x


def first_frame_stays(f: Any, x: Any, alpha: int, how: str) -> Any:
    return f(x, alpha, how)[0][:, :, :1], x[:, :, :1]


def slow_by_stride(f: Any, x: Any, alpha: int, how: str) -> Any:
    """Shifting by α frames shifts the slow pathway by one."""
    later = np.concatenate([x[:, :, -alpha:], x[:, :, :-alpha]], axis=2)
    slow = f(x, alpha, "stride")[0]
    return f(later, alpha, "stride")[0], np.concatenate([slow[:, :, -1:], slow[:, :, :-1]], axis=2)


def spread_to_the_end(f: Any, x: Any, alpha: int, how: str) -> Any:
    slow = f(x, alpha, "spread")[0]
    last = x[:, :, -1:] if slow.shape[2] > 1 else x[:, :, :1]
    return slow[:, :, -1:], last


def _taken(x: Any, frames: list[int]) -> Any:
    return x[:, :, frames]


def _slow(x: Any, alpha: int, how: str, first: int = 0) -> Any:
    T = x.shape[2]
    S = T // alpha
    return (
        [first + alpha * i for i in range(S)] if how == "stride" else [i * (T - 1) // max(S - 1, 1) for i in range(S)]
    )


sample_pathways = Spec(
    cases={"stride": _clips("x", ALPHAS, {"how": "stride"}), "spread": _clips("x", ALPHAS, {"how": "spread"})},
    laws=[
        Law("the fast pathway sees every frame", fast_is_the_clip),
        Law("the slow pathway begins with the first frame", first_frame_stays),
        Law("by stride: a clip turned by α frames turns the slow pathway by one", slow_by_stride, cases=("stride",)),
        Law("spread: the slow pathway ends with the last frame", spread_to_the_end, cases=("spread",)),
    ],
    mistakes=[
        Mistake("the first frames only", lambda right, x, alpha=8, how="stride": (x[:, :, : x.shape[2] // alpha], x),
                ["What has the slow pathway seen of the clip's end?", "Every α-th frame of the whole clip."]),
        Mistake("slow and fast swapped", lambda right, x, alpha=8, how="stride": right(x, alpha, how)[::-1],
                ["Which pathway comes first?", "Slow, then fast."]),
        Mistake("T/α for the step", lambda right, x, alpha=8, how="stride": (x[:, :, :: max(x.shape[2] // alpha, 1)], x),
                ["Which of α and T/α is the step, and which is the count?", "The step is α."]),
        Mistake("the last of each α frames", lambda right, x, alpha=8, how="stride": (
                _taken(x, _slow(x, alpha, how, alpha - 1)) if how == "stride" else right(x, alpha, how)[0], x),
                ["With which frame does the slow pathway begin?", "Frames 0, α, 2α, …"]),
        Mistake("spread although a stride was asked for", lambda right, x, alpha=8, how="stride": right(x, alpha, "spread"),
                ["Where do the lateral connections look?", "At frames 0, α, 2α: these are by stride."]),
        Mistake("a stride although spread was asked for", lambda right, x, alpha=8, how="stride": right(x, alpha, "stride"),
                ["Which frame does a spread sampling end with?", "The last one of the clip."]),
        Mistake("mean of each α frames", lambda right, x, alpha=8, how="stride": (
                x.reshape(*x.shape[:2], -1, alpha, *x.shape[3:]).mean(axis=3), x),
                ["Are frames picked or mixed?", "Picked."]),
    ],
    accepted=[lambda x, alpha=8, how="stride": (_taken(x, _slow(x, alpha, how)), x.copy()),
              lambda x, alpha=8, how="stride": (
                  np.stack([x[:, :, t] for t in _slow(x, alpha, how)], axis=2), x)],
    tolerance=Tolerance(ulps=0, why="nothing is computed"),
    cost=Cost(flops=lambda s: s.N * s.C * s.T / s.alpha * s.pixels, bytes=lambda s: 2 * s.N * s.C * s.T / s.alpha * s.pixels * s.itemsize),
    outputs=("slow", "fast"),
    large=lambda size, rng: {"x": _large(3, 16)(size, rng)},
)  # fmt: skip

# ------------------------------------------------------------------ time_to_channel


def nothing_is_lost(f: Any, fast: Any, alpha: int) -> Any:
    y = f(fast, alpha)
    N, C, T, H, W = fast.shape
    back = y.reshape(N, alpha, C, T // alpha, H, W).transpose(0, 2, 3, 1, 4, 5)
    return back.reshape(fast.shape), fast


def later_by_alpha(f: Any, fast: Any, alpha: int) -> Any:
    black = np.concatenate([np.zeros_like(fast[:, :, :alpha]), fast], axis=2)
    y = f(fast, alpha)
    return f(black, alpha), np.concatenate([np.zeros_like(y[:, :, :1]), y], axis=2)


def _to_channel(fast: Any, alpha: int) -> Any:
    N, C, T, H, W = fast.shape
    return (
        fast.reshape(N, C, T // alpha, alpha, H, W).transpose(0, 3, 1, 2, 4, 5).reshape(N, alpha * C, T // alpha, H, W)
    )


def _channel_first(fast: Any, alpha: int) -> Any:
    N, C, T, H, W = fast.shape
    return (
        fast.reshape(N, C, T // alpha, alpha, H, W).transpose(0, 1, 3, 2, 4, 5).reshape(N, alpha * C, T // alpha, H, W)
    )


time_to_channel = Spec(
    cases={"several": _clips("fast", (2, 3)), "any": _clips("fast", ALPHAS)},
    laws=[
        Law("nothing is lost: it can be put back", nothing_is_lost),
        Law("α black frames before the clip delay the answer by one", later_by_alpha),
    ],
    mistakes=[
        Mistake("α frames of a channel side by side", lambda right, fast, alpha: _channel_first(fast, alpha),
                ["Channel 1 of the answer: the next frame or the next channel?", "All channels of the first frame come first."]),
        Mistake("reshaped without moving the axes", lambda right, fast, alpha: fast.reshape(
                fast.shape[0], alpha * fast.shape[1], fast.shape[2] // alpha, *fast.shape[3:]),
                ["Which frames does one answer hold?", "α neighbors: frames αs … αs + α − 1."]),
        Mistake("blocks of frames instead of neighbors", lambda right, fast, alpha: np.concatenate(
                np.split(fast, alpha, axis=2), axis=1),
                ["Which frames does one answer hold?", "α neighbors: frames αs … αs + α − 1."]),
        Mistake("last of the α frames first", lambda right, fast, alpha: np.concatenate(
                [fast[:, :, a::alpha] for a in reversed(range(alpha))], axis=1),
                ["In which order do the α frames stand?", "As they were filmed."]),
    ],
    accepted=[_to_channel, lambda fast, alpha: np.concatenate(
        [np.stack([fast[:, :, s + a] for s in range(0, fast.shape[2], alpha)], axis=2) for a in range(alpha)], axis=1)],
    tolerance=Tolerance(ulps=0, why="nothing is computed"),
    cost=Cost(flops=lambda s: s.N * s.C * s.T * s.pixels, bytes=lambda s: 2 * s.N * s.C * s.T * s.pixels * s.itemsize),
    large=lambda size, rng: {"fast": _large(8, 16)(size, rng), "alpha": 4},
)  # fmt: skip

# ------------------------------------------------------------------ time_strided_sampling


def as_a_kernel_of_one(f: Any, fast: Any, alpha: int) -> Any:
    C = fast.shape[1]
    return f(fast, alpha), layers.conv3d(fast, np.eye(C).reshape(C, C, 1, 1, 1), stride=(alpha, 1, 1))


def others_do_not_matter(f: Any, fast: Any, alpha: int) -> Any:
    changed = fast.copy()
    for a in range(1, alpha):
        changed[:, :, a::alpha] += 1
    return f(changed, alpha), f(fast, alpha)


time_strided_sampling = Spec(
    cases={"several": _clips("fast", (2, 3)), "any": _clips("fast", ALPHAS)},
    laws=[
        Law("it is a convolution whose kernel is a single 1, with stride α", as_a_kernel_of_one),
        Law("frames in between may be anything", others_do_not_matter),
    ],
    mistakes=[
        Mistake("the first frames only", lambda right, fast, alpha: fast[:, :, : fast.shape[2] // alpha],
                ["What has it seen of the clip's end?", "One of α frames, over the whole clip."]),
        Mistake("the last of each α frames", lambda right, fast, alpha: fast[:, :, alpha - 1 :: alpha],
                ["Which frame of the slow pathway stands at s?", "Frame αs of the fast one."]),
        Mistake("mean of each α frames", lambda right, fast, alpha: layers.avg_pool3d(fast, (alpha, 1, 1)),
                ["Are frames picked or mixed?", "Picked."]),
        Mistake("largest of each α frames", lambda right, fast, alpha: layers.max_pool3d(fast, (alpha, 1, 1)),
                ["Are frames picked or mixed?", "Picked."]),
    ],
    accepted=[lambda fast, alpha: fast[:, :, [alpha * s for s in range(fast.shape[2] // alpha)]],
              lambda fast, alpha: np.take(fast, range(0, fast.shape[2], alpha), axis=2)],
    tolerance=Tolerance(ulps=0, why="nothing is computed"),
    cost=Cost(flops=lambda s: s.N * s.C * s.T / s.alpha * s.pixels, bytes=lambda s: 2 * s.N * s.C * s.T / s.alpha * s.pixels * s.itemsize),
    large=lambda size, rng: {"fast": _large(8, 16)(size, rng), "alpha": 4},
)  # fmt: skip

# ------------------------------------------------------------------ time_strided_conv


def _with_kernel(lengths: Any) -> st.SearchStrategy[Any]:
    most = {"fast": (2, 2, 6, 2, 2), "w": (2, 2, 5, 1, 1)}
    sizes = st.tuples(few, few, few, st.integers(1, 3), few, st.sampled_from(lengths), st.sampled_from((1, 2))).map(
        lambda s: ({"fast": (s[0], s[1], s[3] * s[6], s[4], 2), "w": (s[2], s[1], s[5], 1, 1)}, {"alpha": s[6]}))  # fmt: skip
    return cut_to(most, sizes)


def pixels_apart(f: Any, fast: Any, w: Any, alpha: int) -> Any:
    return f(fast[..., ::-1].copy(), w, alpha), f(fast, w, alpha)[..., ::-1]


def pixels_alone(f: Any, fast: Any, w: Any, alpha: int) -> Any:
    return f(fast[..., :1].copy(), w, alpha), f(fast, w, alpha)[..., :1]


def shorter_by_alpha(f: Any, fast: Any, w: Any, alpha: int) -> Any:
    return np.array(f(fast, w, alpha).shape[2]), np.array(fast.shape[2] // alpha)


def black_alpha_first(f: Any, fast: Any, w: Any, alpha: int) -> Any:
    black = np.concatenate([np.zeros_like(fast[:, :, :alpha]), fast], axis=2)
    return f(black, w, alpha)[:, :, 1:], f(fast, w, alpha)


def _conv(
    fast: Any,
    w: Any,
    alpha: int,
    *,
    pad: int | None = None,
    offset: int = 0,
    flip: bool = False,
    step: int | None = None,
) -> Any:
    w = w[:, :, ::-1] if flip else w
    pad = w.shape[2] // 2 if pad is None else pad
    padded = np.pad(fast, [(0, 0), (0, 0), (pad, pad), (0, 0), (0, 0)])
    starts = range(offset, padded.shape[2] - w.shape[2] + 1, step or alpha)
    if not len(starts):
        raise ValueError("the kernel is longer than the clip")
    return np.stack(
        [np.einsum("ock,nckhw->nohw", w[..., 0, 0], padded[:, :, t : t + w.shape[2]]) for t in starts], axis=2
    )


def _conv_scale(expected: Any, fast: Any, w: Any, alpha: int) -> float:
    return largest(fast) * float(np.abs(w).sum(axis=(1, 2, 3, 4)).max())


time_strided_conv = Spec(
    cases={"kernels of several frames": _with_kernel((3, 5)), "kernels of one frame": _with_kernel((1,))},
    laws=[
        Law("as many frames as the slow pathway has, T/α", shorter_by_alpha),
        Law("a mirrored clip has the mirrored answer", pixels_apart),
        Law("each pixel is by itself: a column alone is answered alike", pixels_alone),
        Law("α black frames before the clip delay the answer by one", black_alpha_first),
    ],
    mistakes=[
        Mistake("no padding", lambda right, fast, w, alpha: _conv(fast, w, alpha, pad=0),
                ["How many answers come out of T frames?", "T/α: put (K_t − 1)/2 zeros on both sides."]),
        Mistake("stride 1", lambda right, fast, w, alpha: _conv(fast, w, alpha, step=1),
                ["How many frames has the slow pathway?", "One for α: stride α in time."]),
        Mistake("kernel in time flipped", lambda right, fast, w, alpha: _conv(fast, w, alpha, flip=True),
                ["Does the kernel's first tap meet the frame before or after?", "Networks correlate: nothing is flipped."]),
        Mistake("zeros before the clip only", lambda right, fast, w, alpha: _conv(
                np.concatenate([np.zeros_like(fast[:, :, :1])] * (w.shape[2] // 2) + [fast], axis=2) if w.shape[2] > 1 else fast,
                w, alpha, pad=w.shape[2] // 2)[:, :, : fast.shape[2] // alpha],
                ["Which frame is under the kernel's middle?", "Frame αs: pad both sides alike."]),
        Mistake("mean of α frames, then the kernel", lambda right, fast, w, alpha: right(layers.avg_pool3d(fast, (alpha, 1, 1)), w, 1),
                ["What is strided: the clip or the convolution?", "The convolution reads every frame, and answers every α-th."]),
        Mistake("frames picked first, then the kernel", lambda right, fast, w, alpha: right(fast[:, :, ::alpha], w, 1),
                ["Which frames lie under a kernel of 5?", "Five neighbors of the fast pathway."]),
    ],
    accepted=[_conv, lambda fast, w, alpha: layers.conv3d(fast, w, padding=(w.shape[2] // 2, 0, 0))[:, :, ::alpha]],
    tolerance=Tolerance(ulps=16, why="one sum of products, relative to the sum of their magnitudes", scale=_conv_scale),
    cost=Cost(flops=lambda s: 2 * s.N * s.O * s.C * s.Kt * s.T / s.alpha * s.pixels,
              bytes=lambda s: (s.C * s.T + s.O * s.T / s.alpha) * s.N * s.pixels * s.itemsize),
    large=lambda size, rng: {"fast": _large(8, 16)(size, rng), "w": rng.normal(size=(16, 8, 5, 1, 1)), "alpha": 4},
)  # fmt: skip

# ------------------------------------------------------------------ lateral_connection


def _two(how: str, fuse: str, alphas: Any = (1, 2)) -> st.SearchStrategy[Any]:
    most = {"slow": (2, 4, 3, 2, 2), "fast": (2, 2, 6, 2, 2), "w": (4, 2, 3, 1, 1)}

    def sized(s: Any) -> Any:
        N, C, D, O, S, H, alpha, kernel = s
        O = {"conv": O, "sample": D, "time-to-channel": alpha * D}[how]
        C = O if fuse == "add" else C
        shapes = {"slow": (N, C, S, H, 2), "fast": (N, D, alpha * S, H, 2)}
        if how == "conv":
            shapes["w"] = (O, D, kernel, 1, 1)
        return shapes, {"alpha": alpha, "how": how, "fuse": fuse}

    odd = st.sampled_from((1, 3))
    return cut_to(most, st.tuples(few, few, few, few, st.integers(1, 3), few, st.sampled_from(alphas), odd).map(sized))


def slow_first(f: Any, slow: Any, fast: Any, **rest: Any) -> Any:
    return f(slow, fast, **{**rest, "fuse": "concatenate"})[:, : slow.shape[1]], slow


def silent_fast(f: Any, slow: Any, fast: Any, fuse: str, **rest: Any) -> Any:
    return f(slow, 0 * fast, fuse="add", **rest), slow


def told_alike(f: Any, slow: Any, fast: Any, **rest: Any) -> Any:
    """What is told does not depend on the slow pathway."""
    told = {**rest, "fuse": "concatenate"}
    C = slow.shape[1]
    return f(slow + 1, fast, **told)[:, C:], f(slow, fast, **told)[:, C:]


def _lateral(slow: Any, fast: Any, alpha: int = 8, how: str = "conv", fuse: str = "concatenate", w: Any = None, *, order: str = "slow first",
             channel: Any = _to_channel, conv: Any = _conv, relu: bool = False) -> Any:  # fmt: skip
    told = conv(fast, w, alpha) if how == "conv" else fast[:, :, ::alpha] if how == "sample" else channel(fast, alpha)
    told = np.maximum(told, 0) if relu else told
    if fuse == "add":
        return slow + told
    return np.concatenate([slow, told] if order == "slow first" else [told, slow], axis=1)


def _lateral_scale(
    expected: Any, slow: Any, fast: Any, alpha: int = 8, how: str = "", fuse: str = "", w: Any = None
) -> float:
    return largest(slow) + largest(fast) * (1.0 if w is None else float(np.abs(w).sum(axis=(1, 2, 3, 4)).max()))


lateral_connection = Spec(
    cases={"a convolution, beside": _two("conv", "concatenate"), "frames picked, beside": _two("sample", "concatenate"),
           "frames laid side by side, beside": _two("time-to-channel", "concatenate", (2,)),
           "added": st.one_of(_two("conv", "add"), _two("sample", "add"), _two("time-to-channel", "add"))},
    laws=[
        Law("beside: the slow pathway's channels come first, as they are", slow_first),
        Law("added: a black fast pathway tells nothing", silent_fast, cases=("added",)),
        Law("what is told depends on the fast pathway alone", told_alike),
    ],
    mistakes=[
        Mistake("lateral channels first", lambda right, *a, **k: _lateral(*a, **k, order="lateral first"),
                ["Which channels come first?", "The slow pathway's."]),
        Mistake("added instead of concatenated", lambda right, slow, fast, alpha=8, how="conv", fuse="concatenate", w=None: right(
                slow, fast, alpha, how, "add", w) if fuse == "concatenate" and _fits(slow, fast, w, alpha, how)
                else right(slow, fast, alpha, how, fuse, w),
                ["How many channels has the fused pathway?", "C + O."]),
        Mistake("concatenated instead of added", lambda right, slow, fast, alpha=8, how="conv", fuse="concatenate", w=None: right(
                slow, fast, alpha, how, "concatenate", w),
                ["How many channels has the sum?", "As many as the slow pathway."]),
        Mistake("no padding in time", lambda right, *a, **k: _lateral(*a, **k, conv=lambda fast, w, alpha: _conv(fast, w, alpha, pad=0)),
                ["How many answers come out of T frames?", "T/α: put (K_t − 1)/2 zeros on both sides."]),
        Mistake("frames picked first, then the kernel", lambda right, *a, **k: _lateral(
                *a, **k, conv=lambda fast, w, alpha: _conv(fast[:, :, ::alpha], w, 1)),
                ["Which frames lie under the kernel?", "Neighbors of the fast pathway."]),
        Mistake("α frames of a channel side by side", lambda right, *a, **k: _lateral(*a, **k, channel=_channel_first),
                ["Channel 1: the next frame or the next channel?", "All channels of the first frame come first."]),
        Mistake("only what is told", lambda right, slow, fast, alpha=8, how="conv", fuse="concatenate", w=None: (
                _lateral(0 * slow, fast, alpha, how, fuse, w)),
                ["Where did the slow pathway's features go?", "They stay: the lateral ones come beside them, or are added."]),
        Mistake("a ReLU on what is told", lambda right, *a, **k: _lateral(*a, **k, relu=True),
                ["May what is told be negative?", "Yes: norm and bend belong to the network, not to the connection."]),
    ],
    accepted=[_lateral],
    tolerance=Tolerance(ulps=16, why="one sum of products and one sum", scale=_lateral_scale),
    cost=Cost(flops=lambda s: 2 * s.N * s.O * s.D * s.Kt * s.S * s.pixels,
              bytes=lambda s: (s.C * s.S + s.D * s.T + (s.C + s.O) * s.S) * s.N * s.pixels * s.itemsize),
    large=lambda size, rng: {"slow": _large(8, 2)(size, rng), "fast": _large(4, 16)(size, rng), "w": rng.normal(size=(8, 4, 5, 1, 1))},
)  # fmt: skip


def _fits(slow: Any, fast: Any, w: Any, alpha: int, how: str) -> bool:
    """Whether a sum is possible at all."""
    told = {
        "conv": w.shape[0] if w is not None else 0,
        "sample": fast.shape[1],
        "time-to-channel": alpha * fast.shape[1],
    }[how]
    return bool(told == slow.shape[1])


# ------------------------------------------------------------------ fused_block


def _blocks(kernels: Any) -> st.SearchStrategy[Any]:
    most = {
        "slow": (1, 2, 2, 2, 2),
        "fast": (1, 2, 4, 2, 2),
        "w_lateral": (2, 2, 3, 1, 1),
        "w_slow": (2, 4, 3, 3, 1),
        "w_fast": (2, 2, 3, 3, 1),
    }

    def sized(s: Any) -> Any:
        C, D, L, O, P, S, alpha, kernel, (kt, kh) = s
        return {"slow": (1, C, S, 2, 2), "fast": (1, D, alpha * S, 2, 2), "w_lateral": (L, D, kernel, 1, 1),
                "w_slow": (O, C + L, kt, kh, 1), "w_fast": (P, D, kt, kh, 1)}, {"alpha": alpha}  # fmt: skip

    odd = st.sampled_from((1, 3))
    sizes = st.tuples(few, few, few, few, few, few, few, odd, st.sampled_from(kernels)).map(sized)
    return cut_to(most, sizes)


def fast_never_hears(f: Any, slow: Any, **rest: Any) -> Any:
    return f(slow + 1, **rest)[1], f(slow, **rest)[1]


def deaf_slow(f: Any, slow: Any, fast: Any, w_lateral: Any, w_slow: Any, **rest: Any) -> Any:
    """Without a lateral kernel, the slow pathway is a convolution of its own channels."""
    own = w_slow[:, : slow.shape[1]]
    want = layers.relu(layers.conv3d(slow, own, padding=tuple(k // 2 for k in own.shape[2:])))
    return f(slow, fast, 0 * w_lateral, w_slow, **rest)[0], want


def nothing_negative(f: Any, **inputs: Any) -> Any:
    s, t = f(**inputs)
    return np.concatenate([np.minimum(a, 0).ravel() for a in (s, t)]), np.zeros(s.size + t.size)


def doubled(f: Any, slow: Any, fast: Any, **rest: Any) -> Any:
    a, b = f(2 * slow, 2 * fast, **rest), f(slow, fast, **rest)
    return np.concatenate([x.ravel() for x in a]), 2 * np.concatenate([x.ravel() for x in b])


def _fused(slow: Any, fast: Any, w_lateral: Any, w_slow: Any, w_fast: Any, alpha: int, *, order: str = "slow first", bend: bool = True,
           after: bool = False, back: bool = False) -> Any:  # fmt: skip
    def conv(x: Any, w: Any) -> Any:
        y = layers.conv3d(x, w, padding=tuple(k // 2 for k in w.shape[2:]))
        return np.maximum(y, 0) if bend else y

    new_fast = conv(fast, w_fast)
    told = new_fast if after and new_fast.shape[1] == fast.shape[1] else fast
    new_slow = conv(_lateral(slow, told, alpha, w=w_lateral, order=order), w_slow)
    if back and slow.shape[1] == fast.shape[1]:
        new_fast = conv(fast + np.repeat(slow, alpha, axis=2), w_fast)
    return new_slow, new_fast


def _gain(w: Any) -> float:
    return float(np.abs(w).reshape(len(w), -1).sum(axis=1).max())


def _fused_scale(
    expected: Any, slow: Any, fast: Any, w_lateral: Any, w_slow: Any, w_fast: Any, alpha: int = 8
) -> float:
    return (largest(slow) + largest(fast) * (1 + _gain(w_lateral))) * (_gain(w_slow) + _gain(w_fast))


fused_block = Spec(
    cases={"kernels of 1": _blocks(((1, 1),)), "kernels of 3 in time or space": _blocks(((3, 1), (1, 3)))},
    laws=[
        Law("the fast pathway never hears of the slow one", fast_never_hears),
        Law("with a lateral kernel of zeros the slow pathway is by itself", deaf_slow),
        Law("no answer is negative", nothing_negative),
        Law("pathways twice as strong have answers twice as strong", doubled),
    ],
    mistakes=[
        Mistake("lateral channels first", lambda right, *a, **k: _fused(*a, **k, order="lateral first"),
                ["Which channels does w_slow expect first?", "The slow pathway's."]),
        Mistake("no ReLU", lambda right, *a, **k: _fused(*a, **k, bend=False),
                ["What stands around each convolution?", "max(0, …)."]),
        Mistake("told after the fast convolution", lambda right, *a, **k: _fused(*a, **k, after=True),
                ["What does the lateral connection read: this layer's input or its answer?", "The input."]),
        Mistake("the slow pathway tells the fast one", lambda right, *a, **k: _fused(*a, **k, back=True),
                ["In which direction do lateral connections go?", "From fast to slow only."]),
        Mistake("the slow pathway hears nothing", lambda right, slow, fast, w_lateral, *a, **k: right(slow, fast, 0 * w_lateral, *a, **k),
                ["What are the last channels that w_slow reads?", "What the fast pathway told."]),
        Mistake("pathways swapped in the answer", lambda right, *a, **k: right(*a, **k)[::-1],
                ["Which pathway comes first?", "Slow, then fast."]),
    ],
    accepted=[_fused],
    tolerance=Tolerance(ulps=32, why="two sums of products, one after the other", scale=_fused_scale),
    cost=Cost(flops=lambda s: 2 * s.N * s.pixels * (s.M * s.D * s.Kt * s.S + s.P * s.I * s.At * s.Ah * s.Aw * s.S + s.Q * s.D * s.Bt * s.Bh * s.Bw * s.T),
              bytes=lambda s: (s.C * s.S + s.D * s.T + s.P * s.S + s.Q * s.T) * s.N * s.pixels * s.itemsize),
    outputs=("slow", "fast"),
    large=lambda size, rng: {"slow": _large(8, 2)(size, rng), "fast": _large(2, 16)(size, rng), "w_lateral": rng.normal(size=(4, 2, 5, 1, 1)),
                             "w_slow": rng.normal(size=(8, 12, 1, 3, 3)), "w_fast": rng.normal(size=(2, 2, 3, 3, 3)), "alpha": 8},
)  # fmt: skip

# ------------------------------------------------------------------ weak inputs


def _colors() -> st.SearchStrategy[Any]:
    sizes = st.tuples(few, st.integers(1, 3), few, few).map(lambda s: ({"x": (s[0], 3, *s[1:])}, {}))
    return cut_to({"x": (2, 3, 3, 2, 2)}, sizes)


def grey_stays(f: Any, x: Any) -> Any:
    grey = np.repeat(x[:, :1], 3, axis=1)
    return f(grey), x[:, :1]


def green_is_brightest(f: Any, x: Any) -> Any:
    """White less red and blue is green: the three shares are one."""
    only = [f(np.where(np.arange(3).reshape(1, 3, 1, 1, 1) == c, np.ones_like(x), 0.0)) for c in range(3)]
    return np.concatenate([only[0], only[1], only[2]]), np.concatenate(
        [np.full_like(only[0], s) for s in (0.299, 0.587, 0.114)]
    )


LUMA = np.array([0.299, 0.587, 0.114])

to_grey = Spec(
    cases={"colors": _colors(), "one frame": _colors().map(lambda d: {"x": d["x"][:, :, :1].copy()})},
    laws=[
        Law("what is grey stays as it is", grey_stays),
        Law("red counts 0.299, green 0.587, blue 0.114", green_is_brightest),
    ],
    mistakes=[
        Mistake("mean of the colors", lambda right, x: x.mean(axis=1, keepdims=True),
                ["Do pure green and pure blue look as bright?", "Weigh them: 0.299, 0.587, 0.114."]),
        Mistake("blue, green, red", lambda right, x: right(x[:, ::-1]),
                ["Which channel is red?", "The first."]),
        Mistake("three equal channels", lambda right, x: np.repeat(right(x), 3, axis=1),
                ["How many channels are left?", "One; that is what saves the first layer's work."]),
        Mistake("the green channel", lambda right, x: x[:, 1:2],
                ["Is a red thing black in grey?", "All three count."]),
        Mistake("the weights of linear light", lambda right, x: np.tensordot(np.array([0.2126, 0.7152, 0.0722]), x, (0, 1))[:, None],
                ["Which standard?", "BT.601: 0.299, 0.587, 0.114."]),
    ],
    accepted=[lambda x: np.einsum("c,ncthw->nthw", LUMA, x)[:, None], lambda x: np.tensordot(LUMA, x, (0, 1))[:, None]],
    tolerance=Tolerance(ulps=8, why="three products and two sums"),
    cost=Cost(flops=lambda s: 5 * s.N * s.T * s.pixels, bytes=lambda s: 4 * s.N * s.T * s.pixels * s.itemsize),
    large=lambda size, rng: {"x": _large(3, 8)(size, rng)},
)  # fmt: skip


def _moving(frames: Any) -> st.SearchStrategy[Any]:
    sizes = st.tuples(few, few, frames, few, few).map(lambda s: ({"x": s}, {}))
    return cut_to({"x": (2, 2, 4, 2, 2)}, sizes)


def still_is_black(f: Any, x: Any) -> Any:
    still = np.repeat(x[:, :, :1], 3, axis=2)
    return still + f(still), still


def brighter_changes_nothing(f: Any, x: Any) -> Any:
    return f(x + 1), f(x)


def adds_up(f: Any, x: Any) -> Any:
    return x[:, :, :1] + f(x).cumsum(axis=2), x


def _difference(x: Any, first: str = "zero") -> Any:
    d = np.diff(x, axis=2)
    start = {"zero": np.zeros_like(x[:, :, :1]), "frame": x[:, :, :1], "wrap": x[:, :, :1] - x[:, :, -1:]}[first]
    return np.concatenate([start, d], axis=2)


time_difference = Spec(
    cases={"several frames": _moving(st.integers(2, 4)), "a single frame": _moving(st.just(1))},
    laws=[
        Law("what stands still is black", still_is_black),
        Law("making all frames brighter changes nothing", brighter_changes_nothing),
        Law("first frame plus all changes so far is the frame", adds_up),
    ],
    mistakes=[
        Mistake("this frame less the next", lambda right, x: -_difference(x),
                ["What sign has a pixel that becomes brighter?", "Positive: this frame less the one before."]),
        Mistake("change to the next frame", lambda right, x: np.concatenate([_difference(x)[:, :, 1:], np.zeros_like(x[:, :, :1])], axis=2),
                ["Which frame of the answer is 0?", "The first: nothing was before it."]),
        Mistake("the first frame itself in front", lambda right, x: _difference(x, "frame"),
                ["What has changed before the first frame?", "Nothing is known: 0."]),
        Mistake("the last frame before the first", lambda right, x: _difference(x, "wrap"),
                ["Is the clip a circle?", "No: nothing was before the first frame."]),
        Mistake("one frame less", lambda right, x: np.diff(x, axis=2) if x.shape[2] > 1 else right(x),
                ["How many frames has the answer?", "As many as the clip."]),
        Mistake("size of the change", lambda right, x: np.abs(_difference(x)),
                ["Does it matter which way it changed?", "Yes: keep the sign."]),
        Mistake("difference between channels", lambda right, x: np.concatenate([0 * x[:, :1], np.diff(x, axis=1)], axis=1),
                ["Which axis is time?", "The third: (N, C, T, H, W)."]),
    ],
    accepted=[_difference, lambda x: np.diff(x, axis=2, prepend=x[:, :, :1])],
    tolerance=Tolerance(ulps=2, why="one difference"),
    cost=Cost(flops=lambda s: s.N * s.C * s.T * s.pixels, bytes=lambda s: 2 * s.N * s.C * s.T * s.pixels * s.itemsize),
    large=lambda size, rng: {"x": _large(3, 8)(size, rng)},
)  # fmt: skip


def _even() -> st.SearchStrategy[Any]:
    even = st.sampled_from((2, 4))
    sizes = st.tuples(few, few, st.integers(1, 2), even, even).map(lambda s: ({"x": s}, {}))
    return cut_to({"x": (2, 2, 2, 4, 4)}, sizes)


def mean_stays(f: Any, x: Any) -> Any:
    return f(x).mean(axis=(3, 4)), x.mean(axis=(3, 4))


def enlarged_comes_back(f: Any, x: Any) -> Any:
    return f(x.repeat(2, axis=3).repeat(2, axis=4)), x


def turned_clip(f: Any, x: Any) -> Any:
    return f(x[..., ::-1, ::-1].copy()), f(x)[..., ::-1, ::-1]


half_resolution = Spec(
    cases={"any even size": _even(), "2 × 2": _even().map(lambda d: {"x": d["x"][..., :2, :2].copy()})},
    laws=[
        Law("the mean of a frame stays", mean_stays),
        Law("a clip with each pixel doubled comes back", enlarged_comes_back),
        Law("a clip turned by 180° has the turned answer", turned_clip),
    ],
    mistakes=[
        Mistake("every second pixel", lambda right, x: x[..., ::2, ::2],
                ["Where did three of four pixels go?", "Take the mean of each 2 × 2."]),
        Mistake("largest of four", lambda right, x: layers.max_pool3d(x, (1, 2, 2)),
                ["Does the picture become brighter?", "The mean, not the largest."]),
        Mistake("sum of four", lambda right, x: 4 * right(x),
                ["Does the picture become brighter?", "Divide by 4."]),
        Mistake("halves instead of neighbors", lambda right, x: (
                x[..., : x.shape[3] // 2, : x.shape[4] // 2] + x[..., x.shape[3] // 2 :, : x.shape[4] // 2]
                + x[..., : x.shape[3] // 2, x.shape[4] // 2 :] + x[..., x.shape[3] // 2 :, x.shape[4] // 2 :]) / 4,
                ["Which four pixels become one?", "Neighbors: 2j, 2j + 1 and 2k, 2k + 1."]),
        Mistake("the height alone", lambda right, x: (x[..., ::2, :] + x[..., 1::2, :]) / 2,
                ["How many axes are halved?", "Height and width."]),
    ],
    accepted=[lambda x: (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4,
              lambda x: x.reshape(*x.shape[:3], x.shape[3] // 2, 2, x.shape[4] // 2, 2).mean(axis=(4, 6))],
    tolerance=Tolerance(ulps=8, why="three sums and a quotient"),
    cost=Cost(flops=lambda s: s.N * s.C * s.T * s.pixels, bytes=lambda s: 1.25 * s.N * s.C * s.T * s.pixels * s.itemsize),
    large=lambda size, rng: {"x": rng.normal(size=(1, 3, 4, size[0] // 2 * 2, size[1] // 2 * 2))},
)  # fmt: skip
