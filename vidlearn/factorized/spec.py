"""What makes an implementation of a factorized convolution right: its cases, its laws and the mistakes people make.

In each part, the functions that a spec names stand before it.
"""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np

from vidlearn import layers
from vidlearn.factorized import reference
from vidlearn.layers.spec.drawing import array_of, unsaid
from vidlearn.spec import Cost, Law, Mistake, Spec, Tolerance

odd = st.sampled_from([1, 3, 5])
few = st.integers(1, 2)


def clips(arrays: Any, frames: st.SearchStrategy[int]) -> st.SearchStrategy[Any]:
    """Clips and kernels; `arrays` says each array's shape, given (N, C, M, O), the clip's (T, H, W) and the kernel's.

    The largest arrays are drawn and then cut, so that a smaller example keeps the values of the larger one.
    """
    most = arrays((2, 2, 2, 2), (4, 2, 3), (5, 5, 5))
    sizes = st.tuples(
        st.tuples(few, few, few, few), st.tuples(frames, few, st.integers(1, 3)), st.tuples(odd, odd, odd)
    )

    def cut(sizes: Any, drawn: Any) -> Any:
        shapes = arrays(*sizes)
        return {name: drawn[name][tuple(map(slice, shape))].copy() for name, shape in shapes.items()}

    return st.builds(cut, sizes, st.fixed_dictionaries({name: array_of(*shape) for name, shape in most.items()}))


def families(arrays: Any) -> dict[str, st.SearchStrategy[Any]]:
    """Clips of several frames, and of a single one."""
    return {"several frames": clips(arrays, st.integers(2, 4)), "a single frame": clips(arrays, st.just(1))}


def magnitude(expected: Any, x: Any, **kernels: Any) -> float:
    """The largest that an answer can become: rounding errors are measured by it."""
    return float(np.abs(x).max() * np.prod([np.abs(w).reshape(len(w), -1).sum(axis=1).max() for w in kernels.values()]))


def black_frame_first(f: Any, x: Any, **kernels: Any) -> Any:
    later = np.concatenate([np.zeros_like(x[:, :, :1]), x], axis=2)
    return f(later, **kernels)[:, :, 1:], f(x, **kernels)


def _mirror(w: np.ndarray, axes: int) -> np.ndarray:
    """The kernel as a mathematician's convolution uses it: flipped along its last axes."""
    return np.flip(w, tuple(range(-axes, 0)))


BLACK_FIRST = Law(
    "a black frame put before the clip delays the answer by one frame, and nothing else", black_frame_first
)

# ------------------------------------------------------------------ conv2plus1d


def _linear(x: Any, w_space: Any, w_time: Any) -> Any:
    """Space and time with nothing between."""
    between = layers.conv3d(x, w_space[:, :, None], padding=(0, w_space.shape[2] // 2, w_space.shape[3] // 2))
    return layers.conv3d(between, w_time[..., None, None], padding=(w_time.shape[2] // 2, 0, 0))


def composed_where_nothing_is_cut(f: Any, x: Any, w_space: Any, w_time: Any) -> Any:
    x, w_space = np.abs(x), np.abs(w_space)
    kernel = reference.compose_kernels(w_space, w_time)
    return f(x, w_space, w_time), layers.conv3d(x, kernel, padding=tuple(k // 2 for k in kernel.shape[2:]))


def all_is_cut(f: Any, x: Any, w_space: Any, w_time: Any) -> Any:
    y = f(-np.abs(x), np.abs(w_space), w_time)
    return y, np.zeros_like(y)


def doubling_doubles(f: Any, x: Any, w_space: Any, w_time: Any) -> Any:
    return f(2 * x, w_space, w_time), 2 * f(x, w_space, w_time)


def _time_first(x: Any, w_space: Any, w_time: Any) -> Any:
    pads = [(w_time.shape[2] // 2, 0, 0), (0, w_space.shape[2] // 2, w_space.shape[3] // 2)]
    between = layers.relu(layers.conv3d(x, w_time[..., None, None], padding=pads[0]))
    return layers.conv3d(between, w_space[:, :, None], padding=pads[1])


def _frame_by_frame(x: Any, w_space: Any, w_time: Any) -> Any:
    pads, k_t = (w_space.shape[2] // 2, w_space.shape[3] // 2), w_time.shape[2]
    between = np.stack([layers.conv2d(x[:, :, t], w_space, padding=pads) for t in range(x.shape[2])], axis=2)
    between = np.pad(np.maximum(between, 0), [(0, 0), (0, 0), (k_t // 2, k_t // 2), (0, 0), (0, 0)])
    return sum(np.einsum("nmthw,om->nothw", between[:, :, k : k + x.shape[2]], w_time[:, :, k]) for k in range(k_t))


def _frames_as_batch(x: Any, w_space: Any, w_time: Any) -> Any:
    n, c, t, h, w = x.shape
    frames = np.swapaxes(x, 1, 2).reshape(n * t, c, h, w)
    seen = np.maximum(layers.conv2d(frames, w_space, padding=(w_space.shape[2] // 2, w_space.shape[3] // 2)), 0)
    lines = seen.reshape(n, t, -1, h, w).transpose(0, 3, 4, 2, 1).reshape(n * h * w, -1, t)
    y = layers.conv1d(lines, w_time, padding=w_time.shape[2] // 2)
    return y.reshape(n, h, w, -1, t).transpose(0, 3, 4, 1, 2)


def _large_conv2plus1d(size: tuple[int, int], rng: np.random.Generator) -> dict[str, Any]:
    return {"x": rng.normal(size=(1, 4, 4, *size)), "w_space": rng.normal(size=(9, 4, 3, 3)),
            "w_time": rng.normal(size=(4, 9, 3))}  # fmt: skip


conv2plus1d = Spec(
    cases=families(lambda channels, sizes, k: {
        "x": (channels[0], channels[1], *sizes), "w_space": (channels[2], channels[1], *k[1:]),
        "w_time": (channels[3], channels[2], k[0])}),
    laws=[
        BLACK_FIRST,
        Law("where nothing is negative between, it is the 3D convolution with the composed kernel", composed_where_nothing_is_cut),
        Law("where all is negative between, nothing is left", all_is_cut),
        Law("an input twice as strong has an answer twice as strong", doubling_doubles),
    ],
    mistakes=[
        Mistake("nothing between space and time", lambda right, x, w_space, w_time: _linear(x, w_space, w_time),
                ["Two linear steps are one linear step. What makes two of them worth more?", "A ReLU stands between."]),
        Mistake("ReLU at the end instead of between", lambda right, x, w_space, w_time: np.maximum(_linear(x, w_space, w_time), 0),
                ["Between which two steps does the ReLU stand?", "Cut the answer of the step in space, not the last one."]),
        Mistake("ReLU at the end as well", lambda right, x, w_space, w_time: np.maximum(right(x, w_space, w_time), 0),
                ["Can an answer be negative?", "Only one ReLU belongs to this step: the one between."]),
        Mistake("ReLU on the input", lambda right, x, w_space, w_time: _linear(np.maximum(x, 0), w_space, w_time),
                ["Which values are cut?", "The answers of the step in space."]),
        Mistake("time first", lambda right, x, w_space, w_time: _time_first(x, w_space, w_time),
                ["Which kernel takes the channels of the clip?", "Space first: w_space is (M, C, K_h, K_w)."]),
        Mistake("kernel in space flipped", lambda right, x, w_space, w_time: right(x, _mirror(w_space, 2), w_time),
                ["Does the kernel's first row meet the row above or below?", "Networks correlate: nothing is flipped."]),
        Mistake("kernel in time flipped", lambda right, x, w_space, w_time: right(x, w_space, _mirror(w_time, 1)),
                ["Does the kernel's first tap meet the frame before or after?", "Networks correlate: nothing is flipped."]),
        Mistake("no padding in time", lambda right, x, w_space, w_time: _inner(right(x, w_space, w_time), 2, w_time.shape[2] // 2),
                ["How many frames has the answer?", "As many as the clip: put (K_t − 1) / 2 zeros on both sides."]),
    ],
    accepted=[_frame_by_frame, _frames_as_batch,
              lambda x, w_space, w_time: reference.conv2plus1d(*(a.astype(np.float32) for a in (x, w_space, w_time)))],
    tolerance=Tolerance(ulps=32, why="two sums of products, relative to the sum of their magnitudes", scale=magnitude),
    cost=Cost(flops=lambda s: 2 * s.N * s.M * s.T * s.pixels * (s.C * s.Kh * s.Kw + s.O * s.Kt),
              bytes=lambda s: (s.C + s.O) * s.N * s.T * s.pixels * s.itemsize),
    large=_large_conv2plus1d,
)  # fmt: skip


def _inner(y: np.ndarray, axis: int, cut: int) -> np.ndarray:
    """What is left without padding; a window that fits nowhere is an error, as it is in a convolution."""
    n = y.shape[axis]
    if n <= 2 * cut:
        raise ValueError("the kernel is longer than the clip")
    return np.take(y, range(cut, n - cut), axis)


# ------------------------------------------------------------------ compose_kernels


def same_as_two_steps(f: Any, w_space: Any, w_time: Any, clip: Any) -> Any:
    clip = clip[:, : w_space.shape[1]]
    got = layers.conv3d(clip, f(w_space, w_time))
    return got, layers.conv3d(layers.conv3d(clip, w_space[:, :, None]), w_time[..., None, None])


def rank_at_most_m(f: Any, w_space: Any, w_time: Any) -> Any:
    """With a single channel between, all 2 × 2 minors vanish; so a row times a corner is a product of the two lines."""
    w = f(w_space[:1], w_time[:, :1])
    matrix = w.transpose(0, 2, 1, 3, 4).reshape(w.shape[0] * w.shape[2], -1)
    return matrix * matrix[:1, :1], matrix[:, :1] * matrix[:1]


def channels_between_in_any_order(f: Any, w_space: Any, w_time: Any) -> Any:
    return f(w_space[::-1], w_time[:, ::-1]), f(w_space, w_time)


def strength_moves_freely(f: Any, w_space: Any, w_time: Any) -> Any:
    return f(2 * w_space, w_time / 2), f(w_space, w_time)


def _compose_in_loops(w_space: Any, w_time: Any) -> Any:
    (o, m, t), (_, c, h, w) = w_time.shape, w_space.shape
    kernel = np.zeros((o, c, t, h, w))
    for out in range(o):
        for between in range(m):
            for moment in range(t):
                kernel[out, :, moment] += w_time[out, between, moment] * w_space[between]
    return kernel


at_most_3 = st.sampled_from([1, 3])
kernel_pairs = st.tuples(few, few, at_most_3, few, at_most_3)


def two_kernels(between: st.SearchStrategy[int]) -> st.SearchStrategy[Any]:
    return st.tuples(between, kernel_pairs).flatmap(lambda s: st.fixed_dictionaries(
        {"w_space": array_of(s[0], s[1][0], s[1][3], s[1][4]), "w_time": array_of(s[1][1], s[0], s[1][2])}))  # fmt: skip


compose_kernels = Spec(
    cases={"several channels between": two_kernels(st.integers(2, 3)), "one channel between": two_kernels(st.just(1))},
    laws=[
        Law("one convolution with it answers as the two steps do", same_as_two_steps, draws={"clip": array_of(1, 2, 3, 3, 3)}),
        Law("with a single channel between it has rank 1", rank_at_most_m),
        Law("the order of the channels between does not matter", channels_between_in_any_order),
        Law("twice as strong in space and half as strong in time is the same", strength_moves_freely),
    ],
    mistakes=[
        Mistake("mean over the channels between", lambda right, w_space, w_time: right(w_space, w_time) / len(w_space),
                ["A convolution adds what its input channels bring.", "Sum over m."]),
        Mistake("only the first channel between", lambda right, w_space, w_time: right(w_space[:1], w_time[:, :1]),
                ["Which channels between do you meet?", "Sum over all m."]),
        Mistake("flipped in time", lambda right, w_space, w_time: right(w_space, _mirror(w_time, 1)),
                ["Which tap in time is the first of the answer?", "Nothing is flipped: W[o, c, t] has W_t[o, m, t]."]),
        Mistake("flipped in space", lambda right, w_space, w_time: right(_mirror(w_space, 2), w_time),
                ["Which corner of the kernel in space is the first of the answer?", "Nothing is flipped."]),
        Mistake("time as the last axis", lambda right, w_space, w_time: np.moveaxis(right(w_space, w_time), 2, -1),
                ["Kernels are (C_out, C_in, K_t, K_h, K_w).", "Time stands before height and width: axis 2."]),
        Mistake("inputs and outputs exchanged", lambda right, w_space, w_time: np.swapaxes(right(w_space, w_time), 0, 1),
                ["Kernels are (C_out, C_in, K_t, K_h, K_w).", "C_out is an axis of w_time, C_in one of w_space."]),
        Mistake("ReLU on the kernel in space", lambda right, w_space, w_time: right(np.maximum(w_space, 0), w_time),
                ["It is images that a ReLU cuts, not kernels.", "There is no ReLU in the composition at all."]),
    ],
    accepted=[_compose_in_loops,
              lambda w_space, w_time: np.moveaxis(np.tensordot(w_time, w_space, axes=(1, 0)), 1, 2),
              lambda w_space, w_time: (w_time[:, :, None, :, None, None] * w_space[None, :, :, None]).sum(axis=1)],
    tolerance=Tolerance(ulps=512, why="three products; in the laws, sums of up to 162 products of them, and products of two"),
    cost=Cost(flops=lambda s: 2 * s.O * s.M * s.C * s.Kt * s.Kh * s.Kw, bytes=lambda s: s.O * s.C * s.Kt * s.Kh * s.Kw * s.itemsize),
    large=lambda size, rng: {"w_space": rng.normal(size=(size[0], 8, 3, 3)), "w_time": rng.normal(size=(size[1], size[0], 3))},
)  # fmt: skip

# ------------------------------------------------------------------ depthwise_conv3d


def each_channel_alone(f: Any, x: Any, w: Any) -> Any:
    alone = [f(x[:, c : c + 1], w[c : c + 1]) for c in range(len(w))]
    return f(x, w), np.concatenate(alone, axis=1)


def channels_in_any_order(f: Any, x: Any, w: Any) -> Any:
    return f(x[:, ::-1], w[::-1]), f(x, w)[:, ::-1]


def _only_the_middle(w: np.ndarray) -> np.ndarray:
    kernel = np.zeros_like(w)
    kernel[:, w.shape[1] // 2, w.shape[2] // 2, w.shape[3] // 2] = 1
    return kernel


def middle_tap_keeps(f: Any, x: Any, w: Any) -> Any:
    return f(x, _only_the_middle(w)), x


def _depthwise_by_taps(x: Any, w: Any) -> Any:
    t, h, k = w.shape[1:]
    padded = np.pad(x, [(0, 0), (0, 0), (t // 2, t // 2), (h // 2, h // 2), (k // 2, k // 2)])
    y = np.zeros_like(x)
    for a in range(t):
        for b in range(h):
            for c in range(k):
                seen = padded[:, :, a : a + x.shape[2], b : b + x.shape[3], c : c + x.shape[4]]
                y = y + w[:, a, b, c].reshape(1, -1, 1, 1, 1) * seen
    return y


def _diagonal(w: np.ndarray) -> np.ndarray:
    """The full kernel that a depthwise one is: zero between different channels."""
    return np.einsum("oi,othw->oithw", np.eye(len(w)), w)


def _pads(w: np.ndarray) -> tuple[int, ...]:
    return tuple(k // 2 for k in w.shape[-3:])


def _causal(right: Any, x: Any, w: Any) -> Any:
    late = np.pad(x, [(0, 0), (0, 0), (w.shape[1] // 2, 0), (0, 0), (0, 0)])
    return right(late, w)[:, :, : x.shape[2]]


def _large_depthwise(size: tuple[int, int], rng: np.random.Generator) -> dict[str, Any]:
    return {"x": rng.normal(size=(1, 4, 4, *size)), "w": rng.normal(size=(4, 3, 3, 3))}


depthwise_conv3d = Spec(
    cases=families(lambda channels, sizes, k: {"x": (channels[0], channels[1], *sizes), "w": (channels[1], *k)}),
    laws=[
        Law("each channel is answered as if it were alone", each_channel_alone),
        Law("channels in another order have their answers in that order", channels_in_any_order),
        Law("a kernel that is 1 in the middle and 0 around gives the clip back", middle_tap_keeps),
        BLACK_FIRST,
    ],
    mistakes=[
        Mistake("channels added up", lambda right, x, w: layers.conv3d(x, np.repeat(w[:, None], x.shape[1], axis=1), padding=_pads(w)),
                ["What does the first channel know of the second?", "Nothing: groups = C, one channel in each."]),
        Mistake("one kernel for all channels", lambda right, x, w: right(x, np.repeat(w[:1], len(w), axis=0)),
                ["Which kernel meets the last channel?", "Channel c has the kernel w[c]."]),
        Mistake("kernel flipped", lambda right, x, w: right(x, _mirror(w, 3)),
                ["Does the kernel's first tap meet the frame before or after?", "Networks correlate: nothing is flipped."]),
        Mistake("looks only back in time", _causal,
                ["Which frames does the answer at t depend on?", "Pad (K_t − 1) / 2 frames on both sides, not all of them in front."]),
        Mistake("no padding in time", lambda right, x, w: _inner(right(x, w), 2, w.shape[1] // 2),
                ["How many frames has the answer?", "As many as the clip: put (K_t − 1) / 2 zeros on both sides."]),
        Mistake("height and width exchanged", lambda right, x, w: np.swapaxes(right(np.swapaxes(x, 3, 4), w), 3, 4),
                ["Which axis of the kernel runs along rows?", "Kernels are (C, K_t, K_h, K_w)."]),
    ],
    accepted=[_depthwise_by_taps,
              lambda x, w: layers.conv3d(x, _diagonal(w), padding=_pads(w)),
              lambda x, w: reference.depthwise_conv3d(x.astype(np.float32), w.astype(np.float32))],
    tolerance=Tolerance(ulps=32, why="a sum of up to 125 products, relative to the sum of their magnitudes", scale=magnitude),
    cost=Cost(flops=lambda s: 2 * s.N * s.C * s.T * s.pixels * s.Kt * s.Kh * s.Kw, bytes=lambda s: 2 * s.N * s.C * s.T * s.pixels * s.itemsize),
    large=_large_depthwise,
)  # fmt: skip

# ------------------------------------------------------------------ channel_separated


def one_full_convolution(f: Any, x: Any, w_point: Any, w_depth: Any) -> Any:
    kernel = w_point[:, :, None, None, None] * w_depth[:, None]
    return f(x, w_point, w_depth), layers.conv3d(x, kernel, padding=_pads(w_depth))


def without_mixing_it_is_depthwise(f: Any, x: Any, w_point: Any, w_depth: Any) -> Any:
    channels = x.shape[1]
    w = np.repeat(w_depth[:1], channels, axis=0)
    return f(x, np.eye(channels), w), reference.depthwise_conv3d(x, w)


def with_the_middle_tap_it_mixes(f: Any, x: Any, w_point: Any, w_depth: Any) -> Any:
    return f(x, w_point, _only_the_middle(w_depth)), np.einsum("oc,ncthw->nothw", w_point, x)


def _large_separated(size: tuple[int, int], rng: np.random.Generator) -> dict[str, Any]:
    x = rng.normal(size=(1, 4, 4, *size))
    return {"x": x, "w_point": rng.normal(size=(8, 4)), "w_depth": rng.normal(size=(8, 3, 3, 3))}


channel_separated = Spec(
    cases=families(lambda channels, sizes, k: {
        "x": (channels[0], channels[1], *sizes), "w_point": (channels[3], channels[1]), "w_depth": (channels[3], *k)}),
    laws=[
        Law("it is one full convolution, whose kernel is the product of the two", one_full_convolution),
        Law("with the identity for w_point it is the depthwise convolution", without_mixing_it_is_depthwise),
        Law("with a kernel that is 1 in the middle and 0 around it only mixes channels", with_the_middle_tap_it_mixes),
        BLACK_FIRST,
    ],
    mistakes=[
        Mistake("channels are not mixed", lambda right, x, w_point, w_depth: reference.depthwise_conv3d(x, _fit(w_depth, x.shape[1])),
                ["What does the first output know of the second channel?", "This is the ir variant; the ip one mixes by w_point first."]),
        Mistake("depthwise first", lambda right, x, w_point, w_depth:
                np.einsum("oc,ncthw->nothw", w_point, reference.depthwise_conv3d(x, _fit(w_depth, x.shape[1]))),
                ["How many kernels are there: one for each input, or one for each output?", "Mix first: w_depth has C_out kernels."]),
        Mistake("ReLU between", lambda right, x, w_point, w_depth:
                reference.depthwise_conv3d(np.maximum(np.einsum("oc,ncthw->nothw", w_point, x), 0), w_depth),
                ["Is this step linear?", "Nothing stands between the two; that is (2+1)D."]),
        Mistake("w_point transposed", lambda right, x, w_point, w_depth: right(x, _fit(w_point.T, len(w_depth)), w_depth),
                ["w_point is (C_out, C).", "Output o sums w_point[o, c] x_c over c."]),
        Mistake("one kernel for all outputs", lambda right, x, w_point, w_depth:
                right(x, w_point, np.repeat(w_depth[:1], len(w_depth), axis=0)),
                ["Which kernel meets the last output?", "Output o has the kernel w_depth[o]."]),
        Mistake("kernel flipped", lambda right, x, w_point, w_depth: right(x, w_point, _mirror(w_depth, 3)),
                ["Does the kernel's first tap meet the frame before or after?", "Networks correlate: nothing is flipped."]),
    ],
    accepted=[lambda x, w_point, w_depth: _depthwise_by_taps(np.einsum("oc,ncthw->nothw", w_point, x), w_depth),
              lambda x, w_point, w_depth: layers.conv3d(x, w_point[:, :, None, None, None] * w_depth[:, None], padding=_pads(w_depth)),
              lambda x, w_point, w_depth: reference.channel_separated(*(a.astype(np.float32) for a in (x, w_point, w_depth)))],
    tolerance=Tolerance(ulps=32, why="two sums of products, relative to the sum of their magnitudes", scale=magnitude),
    cost=Cost(flops=lambda s: 2 * s.N * s.O * s.T * s.pixels * (s.C + s.Kt * s.Kh * s.Kw),
              bytes=lambda s: (s.C + s.O) * s.N * s.T * s.pixels * s.itemsize),
    large=_large_separated,
)  # fmt: skip


def _fit(w: np.ndarray, channels: int) -> np.ndarray:
    """A kernel in the wrong place fits only if the numbers of channels happen to agree."""
    if len(w) != channels:
        raise ValueError(f"the kernel has {len(w)} channels, not {channels}")
    return w


# ------------------------------------------------------------------ mid_channels

channels_of_nets = st.one_of(st.integers(1, 9), st.sampled_from([16, 45, 64, 100, 128, 256]))


def _full(c_in: int, c_out: int, k_t: int, k_s: int) -> int:
    return c_in * c_out * k_t * k_s**2


def no_more_weights(f: Any, c_in: int, c_out: int, k_t: int = 3, k_s: int = 3) -> Any:
    return bool(f(c_in, c_out, k_t, k_s) * (k_s**2 * c_in + k_t * c_out) <= _full(c_in, c_out, k_t, k_s))


def one_more_is_too_many(f: Any, c_in: int, c_out: int, k_t: int = 3, k_s: int = 3) -> Any:
    return bool((f(c_in, c_out, k_t, k_s) + 1) * (k_s**2 * c_in + k_t * c_out) > _full(c_in, c_out, k_t, k_s))


def twice_as_wide(f: Any, c_in: int, c_out: int, k_t: int = 3, k_s: int = 3) -> Any:
    return bool(f(2 * c_in, 2 * c_out, k_t, k_s) // 2 == f(c_in, c_out, k_t, k_s))


def _ratio(c_in: int, c_out: int, k_t: int, k_s: int) -> tuple[int, int]:
    return _full(c_in, c_out, k_t, k_s), k_s**2 * c_in + k_t * c_out


def _search(c_in: int, c_out: int, k_t: int = 3, k_s: int = 3) -> Any:
    m = 0
    while (m + 1) * (k_s * k_s * c_in + k_t * c_out) <= c_in * c_out * k_t * k_s * k_s:
        m += 1
    return m


mid_channels = Spec(
    cases={
        "3 × 3 × 3": st.fixed_dictionaries({"c_in": channels_of_nets, "c_out": channels_of_nets}),
        "other kernels": st.fixed_dictionaries({"c_in": channels_of_nets, "c_out": channels_of_nets,
            "k_t": st.sampled_from([1, 5, 7]), "k_s": st.sampled_from([1, 5, 7])}),
    },
    laws=[
        Law("the two steps have no more weights than the full convolution", no_more_weights),
        Law("with one channel more they would have more", one_more_is_too_many),
        Law("with twice the channels before and after there are 2 M or 2 M + 1 between", twice_as_wide),
    ],
    mistakes=[
        Mistake("rounded up", lambda right, c_in, c_out, k_t=3, k_s=3: np.array(-(-_ratio(c_in, c_out, k_t, k_s)[0] // _ratio(c_in, c_out, k_t, k_s)[1])),
                ["May the two steps have more weights than the full convolution?", "Round down: //."]),
        Mistake("not rounded", lambda right, c_in, c_out, k_t=3, k_s=3: np.array(np.divide(*_ratio(c_in, c_out, k_t, k_s))),
                ["Can a convolution have half a channel?", "Round down: //."]),
        Mistake("d not squared", lambda right, c_in, c_out, k_t=3, k_s=3:
                np.array(k_t * k_s * c_in * c_out // (k_s * c_in + k_t * c_out)),
                ["How many taps has a kernel in the plane?", "d², in the numerator and in the denominator."]),
        Mistake("N_in and N_out exchanged", lambda right, c_in, c_out, k_t=3, k_s=3: right(c_out, c_in, k_t, k_s),
                ["Which step meets N_in?", "The one in space: d² N_in + t N_out."]),
        Mistake("always 3 × 3 × 3", lambda right, c_in, c_out, k_t=3, k_s=3: right(c_in, c_out, 3, 3),
                ["A stem may be 3 × 7 × 7. What changes?", "Use k_t and k_s; 27, 9 and 3 are only their values for 3 × 3 × 3."]),
        Mistake("t and d exchanged", lambda right, c_in, c_out, k_t=3, k_s=3: right(c_in, c_out, k_s, k_t),
                ["Which extent is squared?", "The one in space: k_s."]),
    ],
    accepted=[_search, lambda c_in, c_out, k_t=3, k_s=3: int(_full(c_in, c_out, k_t, k_s) / (k_s**2 * c_in + k_t * c_out) + 1e-9),
              lambda c_in, c_out, k_t=3, k_s=3: np.floor_divide(*_ratio(c_in, c_out, k_t, k_s))],
    tolerance=Tolerance(ulps=0, why="whole numbers"),
    cost=Cost(flops=lambda s: 8, bytes=lambda s: 8),
    large=lambda size, rng: {"c_in": size[0], "c_out": size[1]},
)  # fmt: skip

# ------------------------------------------------------------------ factorized_parameters

KINDS = ("full", "(2+1)d", "separable", "channel-separated", "depthwise")
extents = st.sampled_from([1, 3, 5])
PLAIN = {"k_t": 3, "k_s": 3, "stride_t": 1, "stride_s": 1, "kind": "full"}


def of_kind(kind: str, **more: Any) -> st.SearchStrategy[Any]:
    """Channels and a kernel for this kind of convolution."""
    small = st.integers(1, 8)
    pairs = small.map(lambda c: (c, c)) if kind == "depthwise" else st.tuples(small, small)
    strategies = {**more, "k_t": extents, "k_s": extents}
    drawn = st.builds(lambda pair, rest: {"c_in": pair[0], "c_out": pair[1], **rest, "kind": kind},
                      pairs, st.fixed_dictionaries(strategies))  # fmt: skip
    return unsaid(drawn, **PLAIN)


def one_tap_is_a_matrix(f: Any, c_in: int, c_out: int, k_t: int = 3, k_s: int = 3, kind: str = "full") -> Any:
    return f(c_in, c_out, 1, 1, "full"), np.array(c_in * c_out)


def never_more_than_full(f: Any, c_in: int, c_out: int, k_t: int = 3, k_s: int = 3, kind: str = "full") -> Any:
    return bool(f(c_in, c_out, k_t, k_s, "(2+1)d") <= f(c_in, c_out, k_t, k_s, "full"))


def depthwise_is_a_share(f: Any, c_in: int, c_out: int, k_t: int = 3, k_s: int = 3, kind: str = "full") -> Any:
    return f(c_in, c_in, k_t, k_s, "depthwise") * c_in, f(c_in, c_in, k_t, k_s, "full")


def separated_is_depthwise_and_a_matrix(
    f: Any, c_in: int, c_out: int, k_t: int = 3, k_s: int = 3, kind: str = "full"
) -> Any:
    parts = f(c_out, c_out, k_t, k_s, "depthwise") + f(c_in, c_out, 1, 1, "full")
    return f(c_in, c_out, k_t, k_s, "channel-separated"), parts


def separable_is_a_plane_and_a_line(
    f: Any, c_in: int, c_out: int, k_t: int = 3, k_s: int = 3, kind: str = "full"
) -> Any:
    parts = f(c_in, c_out, 1, k_s, "full") + f(c_out, c_out, k_t, 1, "full")
    return f(c_in, c_out, k_t, k_s, "separable"), parts


def _weights_by_shapes(c_in: int, c_out: int, k_t: int = 3, k_s: int = 3, kind: str = "full") -> int:
    m = k_t * k_s * k_s * c_in * c_out // (k_s * k_s * c_in + k_t * c_out)
    shapes = {
        "full": [(c_out, c_in, k_t, k_s, k_s)],
        "(2+1)d": [(m, c_in, 1, k_s, k_s), (c_out, m, k_t, 1, 1)],
        "separable": [(c_out, c_in, 1, k_s, k_s), (c_out, c_out, k_t, 1, 1)],
        "channel-separated": [(c_out, c_in, 1, 1, 1), (c_out, 1, k_t, k_s, k_s)],
        "depthwise": [(c_out, 1, k_t, k_s, k_s)],
    }
    return sum(int(np.prod(shape)) for shape in shapes[kind])


def _in(kinds: str, wrong: Any) -> Any:
    """A mistake in these kinds only; the others are right."""

    def mistaken(right: Any, c_in: int, c_out: int, k_t: int = 3, k_s: int = 3, kind: str = "full") -> Any:
        answer = right(c_in, c_out, k_t, k_s, kind)
        return np.array(wrong(right, c_in, c_out, k_t, k_s, kind)) if kind in kinds.split() else answer

    return mistaken


factorized_parameters = Spec(
    cases={kind: of_kind(kind) for kind in KINDS},
    laws=[
        Law("with one tap the full convolution is a matrix", one_tap_is_a_matrix),
        Law("(2+1)D never has more weights than the full convolution", never_more_than_full),
        Law("a depthwise convolution has the C-th part of the full one's weights", depthwise_is_a_share),
        Law("a channel-separated one is a matrix and a depthwise one", separated_is_depthwise_and_a_matrix),
        Law("a separable one is a full one in the plane and a full one in time", separable_is_a_plane_and_a_line),
    ],
    mistakes=[
        Mistake("k_s not squared", lambda right, c_in, c_out, k_t=3, k_s=3, kind="full":
                np.array(_weights_with(c_in, c_out, k_t, k_s, kind, plane=k_s)),
                ["How many taps has a kernel in the plane?", "k_s for its height times k_s for its width."]),
        Mistake("a bias for every output", lambda right, c_in, c_out, k_t=3, k_s=3, kind="full":
                right(c_in, c_out, k_t, k_s, kind) + c_out,
                ["Are there biases where a batch norm follows?", "Count weights only."]),
        Mistake("(2+1)D with c_out channels between", _in("(2+1)d", lambda right, c_in, c_out, k_t, k_s, kind:
                right(c_in, c_out, k_t, k_s, "separable")),
                ["How wide is (2+1)D between its two steps?", "M = mid_channels(c_in, c_out, k_t, k_s)."]),
        Mistake("(2+1)D and separable: the step in time is depthwise", _in("(2+1)d separable", lambda right, c_in, c_out, k_t, k_s, kind:
                (reference.mid_channels(c_in, c_out, k_t, k_s) if kind == "(2+1)d" else c_out) * (k_s**2 * c_in + k_t)),
                ["What does the step in time do with its channels?", "It mixes them all: k_t M c_out weights."]),
        Mistake("channel-separated: the mixing is not counted", _in("channel-separated", lambda right, c_in, c_out, k_t, k_s, kind:
                c_out * k_t * k_s**2),
                ["Which step sees all channels?", "Add the 1 × 1 × 1 convolution: c_in c_out."]),
        Mistake("channel-separated: depthwise over the inputs", _in("channel-separated", lambda right, c_in, c_out, k_t, k_s, kind:
                c_in * c_out + c_in * k_t * k_s**2),
                ["Which step comes first?", "The channels are mixed first, so there is a kernel for each output."]),
        Mistake("depthwise counted as full", _in("depthwise", lambda right, c_in, c_out, k_t, k_s, kind: c_in * c_out * k_t * k_s**2),
                ["How many inputs does one output see?", "One: leave out c_in."]),
    ],
    accepted=[_weights_by_shapes,
              lambda c_in, c_out, k_t=3, k_s=3, kind="full": float(_weights_by_shapes(c_in, c_out, k_t, k_s, kind))],
    tolerance=Tolerance(ulps=0, why="whole numbers"),
    cost=Cost(flops=lambda s: 10, bytes=lambda s: 8),
    large=lambda size, rng: {"c_in": size[0], "c_out": size[1], "kind": "(2+1)d"},
)  # fmt: skip


def _weights_with(c_in: int, c_out: int, k_t: int, k_s: int, kind: str, plane: int) -> int:
    """The weights if a kernel in the plane had this many taps."""
    m = int(reference.mid_channels(c_in, c_out, k_t, k_s)) if kind == "(2+1)d" else c_out
    if kind in ("(2+1)d", "separable"):
        return m * (c_in * plane + c_out * k_t)
    if kind == "channel-separated":
        return c_out * (c_in + k_t * plane)
    return c_out * k_t * plane * (c_in if kind == "full" else 1)


# ------------------------------------------------------------------ factorized_macs

strides = st.sampled_from([1, 2])
SIZE_AND_STRIDE = {"frames": st.integers(1, 5), "height": st.integers(1, 5), "width": st.integers(1, 5),
                   "stride_t": strides, "stride_s": strides}  # fmt: skip


def every_weight_everywhere(f: Any, **a: Any) -> Any:
    a = {**PLAIN, **a}
    kernel = (a["c_in"], a["c_out"], a["k_t"], a["k_s"], a["kind"])
    positions = a["frames"] * a["height"] * a["width"]
    return f(**{**a, "stride_t": 1, "stride_s": 1}), reference.factorized_parameters(*kernel) * positions


def whole_strides(f: Any, **a: Any) -> Any:
    """The answer at twice the size with a stride of 2 is that of the same output, for a single step."""
    single = {**PLAIN, **a, "kind": "full"}
    bigger = {**single, "frames": 2 * a["frames"], "height": 2 * a["height"], "width": 2 * a["width"]}
    return f(**{**bigger, "stride_t": 2, "stride_s": 2}), f(**{**single, "stride_t": 1, "stride_s": 1})


def space_meets_every_frame(f: Any, **a: Any) -> Any:
    """A stride in time takes nothing from the step in space."""
    a = {**PLAIN, **a}
    split = {**a, "kind": "separable", "frames": 2 * a["frames"]}
    skipping, all_frames = f(**{**split, "stride_t": 2}), f(**{**split, "stride_t": 1})
    in_time = f(**{**a, "c_in": a["c_out"], "kind": "full", "k_s": 1, "stride_t": 1})
    return all_frames - skipping, in_time


def _macs_by_counting(c_in, c_out, frames, height, width, k_t=3, k_s=3, stride_t=1, stride_s=1, kind="full"):  # type: ignore[no-untyped-def]
    def places(n: int, stride: int) -> int:
        return len(range(0, n, stride))

    def plane(stride: int) -> int:
        return places(height, stride) * places(width, stride)

    end = places(frames, stride_t) * plane(stride_s)
    if kind in ("(2+1)d", "separable"):
        m = int(reference.mid_channels(c_in, c_out, k_t, k_s)) if kind == "(2+1)d" else c_out
        return m * (c_in * k_s**2 * frames * plane(stride_s) + c_out * k_t * end)
    if kind == "channel-separated":
        return c_out * (c_in * frames * plane(1) + k_t * k_s**2 * end)
    return c_out * k_t * k_s**2 * end * (c_in if kind == "full" else 1)


def _macs(places: Any) -> Any:
    """A mistake in where the steps run: `places` makes frames, height and width of the input's, of strides and flags."""

    def mistaken(right, c_in, c_out, frames, height, width, k_t=3, k_s=3, stride_t=1, stride_s=1, kind="full"):  # type: ignore[no-untyped-def]
        steps = reference._steps(c_in, c_out, k_t, k_s, kind)
        size, stride = (frames, height, width), (stride_t, stride_s, stride_s)
        return np.array(sum(w * int(np.prod(places(size, stride, (t, s, s)))) for w, t, s in steps))

    return mistaken


def _ceil(size: Any, stride: Any, strided: Any) -> list[int]:
    return [-(-n // k) if yes else n for n, k, yes in zip(size, stride, strided, strict=True)]


factorized_macs = Spec(
    cases={kind: of_kind(kind, **SIZE_AND_STRIDE) for kind in KINDS},
    laws=[
        Law("without stride every weight is used once at every position", every_weight_everywhere),
        Law("a full convolution with stride 2 on twice the size costs what it costs without", whole_strides),
        Law("a stride in time takes work from the step in time only, where space and time are apart", space_meets_every_frame),
    ],
    mistakes=[
        Mistake("every step runs at the output's positions", _macs(lambda size, stride, strided: _ceil(size, stride, (1, 1, 1))),
                ["Which frames does the step in space meet, if only the step in time has a stride in time?",
                 "A step that comes before a stride runs at all positions that are still there."]),
        Mistake("every step runs at the input's positions", _macs(lambda size, stride, strided: size),
                ["How many positions has the output?", "A stride leaves ceil(n / stride) of them."]),
        Mistake("positions rounded down", _macs(lambda size, stride, strided:
                [n // k if yes else n for n, k, yes in zip(size, stride, strided, strict=True)]),
                ["Five positions, every second one, from the first on: how many?", "Round up: ceil(n / stride)."]),
        Mistake("twice the MACs", lambda right, *a, **k: 2 * right(*a, **k),
                ["A product and a sum: how many operations, how many MACs?", "One MAC is both. Don't double."]),
        Mistake("stride in space taken once", _macs(lambda size, stride, strided:
                _ceil(size, (stride[0], stride[1], 1), strided)),
                ["How many axes has space?", "Height and width both have the stride."]),
        Mistake("frames not counted", _macs(lambda size, stride, strided: _ceil(size, stride, strided)[1:]),
                ["At how many positions does one kernel answer?", "Frames times height times width."]),
    ],
    accepted=[_macs_by_counting],
    tolerance=Tolerance(ulps=0, why="whole numbers"),
    cost=Cost(flops=lambda s: 20, bytes=lambda s: 8),
    large=lambda size, rng: {"c_in": 64, "c_out": 64, "frames": 8, "height": size[0], "width": size[1], "kind": "(2+1)d"},
)  # fmt: skip

# ------------------------------------------------------------------ convolution_plan


def mixed_and_reversed_complement(f: Any, kind: str) -> Any:
    x = kind[-1] if kind[-1].isdigit() else "3"
    return f(f"mc{x}") + f(f"rmc{x}"), np.full(5, 4)


def frames_by_themselves(f: Any, kind: str) -> Any:
    return f("f_r2d"), np.ones(5, int)


def the_same_throughout(f: Any, kind: str) -> Any:
    return np.stack([f("r3d"), f("r(2+1)d")]), np.full((2, 5), 3)


def one_group_more(f: Any, kind: str) -> Any:
    return np.array([f(f"mc{x + 1}").sum() - f(f"mc{x}").sum() for x in (2, 3, 4)]), np.full(3, 2)


def _table(kind: str) -> Any:
    rows = {
        "f_r2d": "11111", "r3d": "33333", "r(2+1)d": "33333",
        "mc2": "31111", "mc3": "33111", "mc4": "33311", "mc5": "33331",
        "rmc2": "13333", "rmc3": "11333", "rmc4": "11133", "rmc5": "11113",
    }  # fmt: skip
    return np.array([int(k) for k in rows[kind]])


def _group_by_group(kind: str) -> Any:
    extents = np.ones(5)
    for i in range(5):
        low = "mc" in kind and i + 1 < int(kind[-1])
        if kind in ("r3d", "r(2+1)d") or ("mc" in kind and low != kind.startswith("r")):
            extents[i] = 3
    return extents


def _mixed(wrong: Any) -> Any:
    """A mistake in the mixed ones: `wrong` says of (group, x) whether MCx is 3D there."""

    def mistaken(right: Any, kind: str) -> Any:
        if "mc" not in kind:
            return right(kind)
        low = wrong(np.arange(1, 6), int(kind[-1]))
        return np.where(low if kind.startswith("mc") else ~low, 3, 1)

    return mistaken


convolution_plan = Spec(
    cases={
        "mixed": st.fixed_dictionaries({"kind": st.sampled_from(["mc2", "mc3", "mc4", "mc5"])}),
        "reversed": st.fixed_dictionaries({"kind": st.sampled_from(["rmc2", "rmc3", "rmc4", "rmc5"])}),
        "the same throughout": st.fixed_dictionaries({"kind": st.sampled_from(["f_r2d", "r3d", "r(2+1)d"])}),
    },
    laws=[
        Law("where MCx is 3D, rMCx is 2D, and the other way round", mixed_and_reversed_complement),
        Law("f-R2D sees each frame by itself in every group", frames_by_themselves),
        Law("R3D and R(2+1)D look at three frames in every group", the_same_throughout),
        Law("from MCx to MC(x + 1) one group more is 3D", one_group_more),
    ],
    mistakes=[
        Mistake("mixed and reversed exchanged", _mixed(lambda group, x: group >= x),
                ["Does MCx look for motion early or late?", "Early: 3D below group x, 2D from x on."]),
        Mistake("one group too late", _mixed(lambda group, x: group <= x),
                ["Is group x of MCx 2D or 3D?", "2D: x is the first group that is."]),
        Mistake("one group too early", _mixed(lambda group, x: group < x - 1),
                ["What number has the stem?", "1: the groups count from 1."]),
        Mistake("3D in group x only", _mixed(lambda group, x: group != x),
                ["How many groups change?", "All from x on."]),
        Mistake("0 for 2D", lambda right, kind: np.where(right(kind) == 1, 0, 3),
                ["How many frames does a 2D kernel span?", "One."]),
        Mistake("R(2+1)D has no extent in time", lambda right, kind: right("f_r2d" if kind == "r(2+1)d" else kind),
                ["What does the second of its two steps do?", "It spans three frames, like R3D."]),
    ],
    accepted=[_table, _group_by_group],
    tolerance=Tolerance(ulps=0, why="whole numbers"),
    cost=Cost(flops=lambda s: 5, bytes=lambda s: 40),
    large=lambda size, rng: {"kind": "mc3"},
)  # fmt: skip
