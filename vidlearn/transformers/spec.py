"""What makes an implementation of video transformers right: its cases, its laws and the mistakes people make.

In each part, the functions that a spec names stand before it.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import hypothesis.strategies as st
import numpy as np

from vidlearn.layers.spec.drawing import cut_to, features_of, unsaid
from vidlearn.spec import Cost, Law, Mistake, Spec, Tolerance, largest
from vidlearn.transformers import reference

few = st.integers(1, 2)
three = st.integers(1, 3)
maybe = st.booleans()
SEED = {"seed": st.integers(0, 99)}


def _on_features(large: Any) -> Any:
    """An input of a realistic size, written for the rows and columns that a network has left of a frame."""
    return lambda size, rng: large(features_of(size), rng)


def _by_weights(expected: Any, x: Any, w: Any, b: Any = None, **_: Any) -> float:
    """The largest sum of magnitudes behind one answer of a linear layer."""
    return float(largest(x) * np.abs(w).reshape(len(w), -1).sum(axis=1).max() + (0 if b is None else largest(b)))


def _order(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(n)


# ------------------------------------------------------------------ patch_embed


def _patches(frames: st.SearchStrategy[int]) -> Any:
    def shapes(n: int, c: int, t: int, p: int, q: int, rows: int, columns: int, d: int, bias: bool) -> Any:
        found = {"x": (n, c, t, p * rows, q * columns), "w": (d, c, p, q)}
        return {**found, "b": (d,)} if bias else found, {}

    most = {"x": (2, 2, 3, 4, 6), "w": (2, 2, 2, 2), "b": (2,)}
    return cut_to(most, st.builds(shapes, few, few, frames, few, few, few, three, few, maybe))


def frames_apart(f: Any, x: Any, w: Any, b: Any = None) -> Any:
    return f(x[:, :, -1:].copy(), w, b), f(x, w, b)[:, -1:]


def picture_moves_by_a_patch(f: Any, x: Any, w: Any, b: Any = None) -> Any:
    N, T, D, rows = len(x), x.shape[2], len(w), x.shape[3] // w.shape[2]
    before = f(x, w, b).reshape(N, T, rows, -1, D)
    return f(np.roll(x, w.shape[3], axis=4), w, b), np.roll(before, 1, axis=3).reshape(N, T, -1, D)


def embedding_is_linear(f: Any, x: Any, w: Any, b: Any = None) -> Any:
    return f(2 * x, w) - f(x, w), f(x, w)


def _cut(x: Any, w: Any) -> np.ndarray:
    """Patches on two grids of axes: (N, C, T, rows, P, columns, Q)."""
    N, C, T, H, W = x.shape
    P, Q = w.shape[2:]
    return x.reshape(N, C, T, H // P, P, W // Q, Q)


def _patch_loops(x: Any, w: Any, b: Any = None) -> Any:
    (T, H, W), (P, Q) = x.shape[2:], w.shape[2:]
    z = [[np.tensordot(x[:, :, t, r : r + P, q : q + Q], w, ([1, 2, 3], [1, 2, 3])) for r in range(0, H, P) for q in range(0, W, Q)]
         for t in range(T)]  # fmt: skip
    return np.moveaxis(np.array(z), 2, 0) + (0 if b is None else b)


def _patch_einsum(x: Any, w: Any, b: Any = None) -> Any:
    z = np.einsum("nctriqj,dcij->ntrqd", _cut(x, w), w)
    return z.reshape(len(x), x.shape[2], -1, len(w)) + (0 if b is None else b)


def _rows_of_patches(right: Any, x: Any, w: Any, b: Any = None) -> Any:
    """Reshaped without exchanging axes: rows of the frame are taken for patches."""
    patches = x.shape[3] // w.shape[2] * (x.shape[4] // w.shape[3])
    cut = np.swapaxes(x, 1, 2).reshape(len(x), x.shape[2], patches, -1)
    return cut @ w.reshape(len(w), -1).T + (0 if b is None else b)


def _columns_first(right: Any, x: Any, w: Any, b: Any = None) -> Any:
    z = right(x, w, b)
    grid = z.reshape(*z.shape[:2], x.shape[3] // w.shape[2], -1, len(w))
    return np.swapaxes(grid, 2, 3).reshape(z.shape)


def _pixels_before_channels(right: Any, x: Any, w: Any, b: Any = None) -> Any:
    """A patch laid out pixel by pixel, against weights laid out channel by channel."""
    pixels = _cut(x, w).transpose(0, 2, 3, 5, 4, 6, 1)
    flat = pixels.reshape(len(x), x.shape[2], -1, w[0].size)
    return flat @ w.reshape(len(w), -1).T + (0 if b is None else b)


patch_embed = Spec(
    cases={"several frames": _patches(st.integers(2, 3)), "one frame": _patches(st.just(1))},
    laws=[
        Law("every frame is embedded by itself", frames_apart),
        Law("a picture moved on by one patch has its tokens moved on by one place", picture_moves_by_a_patch),
        Law("without a bias, doubling the clip doubles the tokens", embedding_is_linear),
    ],
    mistakes=[
        Mistake("reshaped without moving axes", _rows_of_patches,
                ["Does a reshape exchange axes?", "A patch is P rows of Q pixels: cut both axes in two, then bring (P, Q) together."]),
        Mistake("patches column by column", _columns_first,
                ["Which patch is the second one?", "The one to the right of the first."]),
        Mistake("pixels before channels", _pixels_before_channels,
                ["In which order do the weights of a token lie?", "(C, P, Q): all of a channel, then the next."]),
        Mistake("kernel flipped", lambda right, x, w, b=None: right(x, w[..., ::-1, ::-1].copy(), b),
                ["What do frameworks call convolution?", "Cross-correlation: the kernel is not flipped."]),
        Mistake("mean of a patch, not its sum", lambda right, x, w, b=None: right(x, w / w[0].size, b),
                ["Is there a mean in the formula?", "Sum over channels and pixels."]),
        Mistake("bias forgotten", lambda right, x, w, b=None: right(x, w),
                ["What is the token of a black patch?", "Add b."]),
    ],
    accepted=[_patch_loops, _patch_einsum],
    tolerance=Tolerance(ulps=64, why="one sum over a patch's pixels and channels", scale=_by_weights),
    cost=Cost(flops=lambda s: 2 * s.N * s.D * s.C * s.T * s.H * s.W,
              bytes=lambda s: (s.N * s.C * s.T * s.H * s.W + s.D * s.C * s.P * s.Q
                               + s.N * s.D * s.T * s.H * s.W / (s.P * s.Q)) * s.itemsize),
    large=_on_features(lambda size, rng: {"x": rng.normal(size=(1, 3, 4, 16 * size[0], 16 * size[1])), "w": rng.normal(size=(64, 3, 16, 16)),
                                       "b": rng.normal(size=64)}),
)  # fmt: skip

# ------------------------------------------------------------------ tubelet_embed


def _tubes(depth: st.SearchStrategy[int]) -> Any:
    def shapes(n: int, c: int, kt: int, kh: int, kw: int, t: int, rows: int, columns: int, d: int, bias: bool) -> Any:
        found = {"x": (n, c, kt * t, kh * rows, kw * columns), "w": (d, c, kt, kh, kw)}
        return {**found, "b": (d,)} if bias else found, {}

    most = {"x": (2, 2, 6, 4, 4), "w": (2, 2, 3, 2, 2), "b": (2,)}
    return cut_to(most, st.builds(shapes, few, few, depth, few, few, few, few, few, few, maybe))


def tubes_of_one_frame(f: Any, x: Any, w: Any, b: Any = None) -> Any:
    return f(x, w, b), _patch_einsum(x, w[:, :, 0], b).reshape(len(x), -1, len(w))


def later_by_a_tube(f: Any, x: Any, w: Any, b: Any = None) -> Any:
    tubes = x.shape[2] // w.shape[2]
    before = f(x, w, b)
    return f(np.roll(x, w.shape[2], axis=2), w, b), np.roll(before, before.shape[1] // tubes, axis=1)


def _tube_loops(x: Any, w: Any, b: Any = None) -> Any:
    starts = product(*(range(0, n, k) for n, k in zip(x.shape[2:], w.shape[2:], strict=True)))
    kt, kh, kw = w.shape[2:]
    z = [np.tensordot(x[:, :, t : t + kt, r : r + kh, q : q + kw], w, ([1, 2, 3, 4],) * 2) for t, r, q in starts]
    return np.stack(z, axis=1) + (0 if b is None else b)


def _tube_einsum(x: Any, w: Any, b: Any = None) -> Any:
    sizes = [n for axis, k in zip(x.shape[2:], w.shape[2:], strict=True) for n in (axis // k, k)]
    z = np.einsum("nctmriqj,dcmij->ntrqd", x.reshape(*x.shape[:2], *sizes), w)
    return z.reshape(len(x), -1, len(w)) + (0 if b is None else b)


def _place_by_place(right: Any, x: Any, w: Any, b: Any = None) -> Any:
    z = right(x, w, b)
    return np.swapaxes(z.reshape(len(x), x.shape[2] // w.shape[2], -1, len(w)), 1, 2).reshape(z.shape)


def _frames_far_apart(right: Any, x: Any, w: Any, b: Any = None) -> Any:
    """(K_t, T / K_t) where (T / K_t, K_t) is right."""
    T, kt = x.shape[2], w.shape[2]
    return right(x[:, :, np.arange(T).reshape(kt, -1).T.ravel()], w, b)


def _one_frame_of_the_tube(right: Any, x: Any, w: Any, b: Any = None) -> Any:
    first = np.zeros_like(w)
    first[:, :, 0] = w[:, :, 0]
    return right(x, first, b)


def _bare_reshape(right: Any, x: Any, w: Any, b: Any = None) -> Any:
    tokens = int(np.prod([n // k for n, k in zip(x.shape[2:], w.shape[2:], strict=True)]))
    return x.reshape(len(x), tokens, -1) @ w.reshape(len(w), -1).T + (0 if b is None else b)


tubelet_embed = Spec(
    cases={"tubes of several frames": _tubes(st.integers(2, 3)), "tubes of one frame": _tubes(st.just(1))},
    laws=[
        Law("tubes of one frame are patches", tubes_of_one_frame, ("tubes of one frame",)),
        Law("a clip that is later by a tube has the same tokens, later by a frame of them", later_by_a_tube),
        Law("without a bias, doubling the clip doubles the tokens", embedding_is_linear),
    ],
    mistakes=[
        Mistake("one bare reshape", _bare_reshape,
                ["Do a patch's pixels lie side by side in memory?", "Cut each axis in two, bring the parts together, then make rows of them."]),
        Mistake("tokens place by place", _place_by_place,
                ["Which token comes after the first one?", "Its right neighbor: all of a time first, then later."]),
        Mistake("steps of one frame", lambda right, x, w, b=None: reference.tubelet_embed(
                np.concatenate([x[:, :, t : t + w.shape[2]] for t in range(x.shape[2] - w.shape[2] + 1)], axis=2), w, b),
                ["How many tokens are there?", "Tubes don't overlap: the stride is the kernel, in time as well."]),
        Mistake("frames far apart in one tube", _frames_far_apart,
                ["Which frames share a tube?", "Neighbors: reshape T to (T / K_t, K_t), in this order."]),
        Mistake("one frame of each tube", _one_frame_of_the_tube,
                ["Can your token see a motion?", "Sum over all K_t frames."]),
        Mistake("kernel flipped in space", lambda right, x, w, b=None: right(x, w[..., ::-1, ::-1].copy(), b),
                ["Does the kernel's first row meet the patch's first or its last?", "Networks correlate: nothing is flipped."]),
        Mistake("kernel flipped in time", lambda right, x, w, b=None: right(x, w[:, :, ::-1].copy(), b),
                ["Which frame meets the kernel's first one?", "The tube's first: the kernel is not flipped."]),
        Mistake("mean over the frames of a tube", lambda right, x, w, b=None: right(x, w / w.shape[2], b),
                ["Is there a mean in the formula?", "Sum over all K_t frames."]),
        Mistake("bias forgotten", lambda right, x, w, b=None: right(x, w),
                ["What is the token of a black tube?", "Add b."]),
    ],
    accepted=[_tube_loops, _tube_einsum],
    tolerance=Tolerance(ulps=64, why="one sum over a tube's pixels and channels", scale=_by_weights),
    cost=Cost(flops=lambda s: 2 * s.N * s.D * s.C * s.T * s.H * s.W,
              bytes=lambda s: (s.N * s.C * s.T * s.H * s.W + s.D * s.C * s.Kt * s.Kh * s.Kw
                               + s.N * s.D * s.T * s.H * s.W / (s.Kt * s.Kh * s.Kw)) * s.itemsize),
    large=_on_features(lambda size, rng: {"x": rng.normal(size=(1, 3, 4, 16 * size[0], 16 * size[1])), "w": rng.normal(size=(64, 3, 2, 16, 16)),
                                       "b": rng.normal(size=64)}),
)  # fmt: skip

# ------------------------------------------------------------------ sinusoidal_positions


def _lengths(dims: list[int]) -> Any:
    return st.fixed_dictionaries({"length": st.integers(1, 6), "dim": st.sampled_from(dims)})


def pairs_are_on_a_circle(f: Any, length: int, dim: int) -> Any:
    p = f(length, dim).reshape(length, -1, 2)
    return (p**2).sum(axis=2), np.ones((length, dim // 2))


def products_tell_the_distance(f: Any, length: int, dim: int) -> Any:
    p = f(length + 1, dim)
    scores = p @ p.T
    return scores[1:, 1:], scores[:-1, :-1]


def begins_with_sines_of_zero(f: Any, length: int, dim: int) -> Any:
    return f(length, dim)[0], np.tile([0.0, 1.0], dim // 2)


def longer_begins_alike(f: Any, length: int, dim: int) -> Any:
    return f(length + 2, dim)[:length], f(length, dim)


def _waves(length: int, dim: int, exponent: Any = None, start: int = 0, scale: float = 1.0) -> np.ndarray:
    exponent = np.arange(0, dim, 2) / dim if exponent is None else exponent
    angle = scale * np.arange(start, start + length)[:, None] * 10000.0**-exponent
    return np.stack([np.sin(angle), np.cos(angle)], axis=2).reshape(length, dim)


def _angles(length: int, dim: int) -> np.ndarray:
    """One for each feature, the same for a sine and its cosine."""
    return np.outer(np.arange(length), np.exp(-np.log(10000.0) * (np.arange(dim) // 2 * 2) / dim))


def _position_loops(length: int, dim: int) -> Any:
    p = np.zeros((length, dim))
    for pos, i in product(range(length), range(0, dim, 2)):
        p[pos, i] = np.sin(pos / 10000 ** (i / dim))
        p[pos, i + 1] = np.cos(pos / 10000 ** (i / dim))
    return p


sinusoidal_positions = Spec(
    cases={"two features": _lengths([2]), "more features": _lengths([4, 6, 8])},
    laws=[
        Law("each sine and its cosine lie on a circle of radius 1", pairs_are_on_a_circle),
        Law("how much two positions resemble each other depends on their distance alone", products_tell_the_distance),
        Law("the first position is 0, 1, 0, 1, …", begins_with_sines_of_zero),
        Law("a longer row begins as the shorter one", longer_begins_alike),
    ],
    mistakes=[
        Mistake("all sines, then all cosines", lambda right, length, dim: np.concatenate(
                [right(length, dim)[:, ::2], right(length, dim)[:, 1::2]], axis=1),
                ["What is feature 1?", "The cosine of feature 0's angle: sines on even places, cosines on odd ones."]),
        Mistake("sine and cosine swapped", lambda right, length, dim: right(length, dim).reshape(length, -1, 2)[..., ::-1].reshape(length, dim),
                ["What is the first number of position 0?", "sin 0."]),
        Mistake("i/D where 2i/D is right", lambda right, length, dim: _waves(length, dim, np.arange(dim // 2) / dim),
                ["How long is the longest wave?", "The exponent nears 1: 2i/D for the i-th pair."]),
        Mistake("another wave for sine and cosine", lambda right, length, dim: np.where(
                np.arange(dim) % 2, np.cos(np.arange(length)[:, None] * 10000.0 ** (-np.arange(dim) / dim)),
                np.sin(np.arange(length)[:, None] * 10000.0 ** (-np.arange(dim) / dim))),
                ["Do features 0 and 1 have the same angle?", "A pair shares its wave: then a shift is a rotation."]),
        Mistake("the last wave at exactly 10000", lambda right, length, dim: _waves(length, dim, np.arange(dim // 2) / max(dim // 2 - 1, 1)),
                ["What is the last pair's exponent?", "(D − 2)/D, not 1."]),
        Mistake("counts from 1", lambda right, length, dim: _waves(length, dim, start=1),
                ["What is the first position's number?", "0."]),
        Mistake("positions divided by the length", lambda right, length, dim: _waves(length, dim, scale=1 / length),
                ["Does a position depend on how long the clip is?", "Count 0, 1, 2, …, not from 0 to 1."]),
        Mistake("a sine everywhere", lambda right, length, dim: np.sin(_angles(length, dim)),
                ["How is feature 1 told from feature 0?", "By a cosine."]),
    ],
    accepted=[_position_loops,
              lambda length, dim: np.where(np.arange(dim) % 2, np.cos(_angles(length, dim)), np.sin(_angles(length, dim)))],
    tolerance=Tolerance(ulps=8, why="a power, a product with the position, a sine", scale=lambda expected, length, dim: float(length)),
    cost=Cost(flops=lambda s: 4 * s.length * s.dim, bytes=lambda s: 8 * s.length * s.dim),
    large=_on_features(lambda size, rng: {"length": size[0] * size[1], "dim": 64}),
)  # fmt: skip

# ------------------------------------------------------------------ add_positions


def _grid_of_tokens(alike: bool) -> Any:
    def shapes(n: int, t: int, s: int, d: int) -> Any:
        s = t if alike else s
        return {"tokens": (n, t, s, d), "space": (s, d), "time": (t, d)}, {}

    most = {"tokens": (2, 3, 3, 2), "space": (3, 2), "time": (3, 2)}
    return cut_to(most, st.builds(shapes, few, st.integers(1, 3) if alike else few, st.just(3), few))


def nothing_added_nothing_changed(f: Any, tokens: Any, space: Any, time: Any) -> Any:
    return f(tokens, 0 * space, 0 * time), tokens


def frames_differ_by_time(f: Any, tokens: Any, space: Any, time: Any) -> Any:
    z = f(0 * tokens, space, time)
    return z - z[:, :1], np.broadcast_to((time - time[:1])[:, None], z.shape)


def places_differ_by_space(f: Any, tokens: Any, space: Any, time: Any) -> Any:
    z = f(0 * tokens, space, time)
    return z - z[:, :, :1], np.broadcast_to(space - space[:1], z.shape)


def _in_a_row(tokens: Any, space: Any, time: Any, s: Any, t: Any) -> Any:
    """Tokens in one row, each given the position that `s` and `t` say."""
    N, T, S, D = tokens.shape
    number = np.arange(T * S)
    return (tokens.reshape(N, T * S, D) + space[s(number, T, S)] + time[t(number, T, S)]).reshape(tokens.shape)


add_positions = Spec(
    cases={"fewer frames than places": _grid_of_tokens(False), "as many frames as places": _grid_of_tokens(True)},
    laws=[
        Law("positions of zeros change nothing", nothing_added_nothing_changed),
        Law("on tokens of zeros two frames differ by their times alone", frames_differ_by_time),
        Law("on tokens of zeros two places differ by their positions alone", places_differ_by_space),
    ],
    mistakes=[
        Mistake("times in turn, token by token", lambda right, tokens, space, time: _in_a_row(
                tokens, space, time, lambda i, T, S: i % S, lambda i, T, S: i % T),
                ["Which token has the second frame's position?", "Token S is the first of frame 1: repeat each time S times, don't tile them."]),
        Mistake("each place T times in a row", lambda right, tokens, space, time: _in_a_row(
                tokens, space, time, lambda i, T, S: i // T, lambda i, T, S: i // S),
                ["Which token has the second place's position?", "Token 1: tile the places, don't repeat each of them."]),
        Mistake("time forgotten", lambda right, tokens, space, time: right(tokens, space, 0 * time),
                ["Can your model tell a clip from its frames shuffled?", "Add time[t] to every token of frame t."]),
        Mistake("space forgotten", lambda right, tokens, space, time: right(tokens, 0 * space, time),
                ["Can your model tell left from right?", "Add space[s] at every place."]),
        Mistake("the first frame's time for all", lambda right, tokens, space, time: tokens + space + time[0],
                ["Which axis has the frames?", "time[:, None], so that it meets axis T."]),
        Mistake("positions multiplied", lambda right, tokens, space, time: tokens * (space + time[:, None]),
                ["What happens to a token of zeros?", "Positions are added."]),
    ],
    accepted=[
        lambda tokens, space, time: np.stack([tokens[:, t] + (space + time[t]) for t in range(tokens.shape[1])], axis=1),
        lambda tokens, space, time: (tokens.reshape(len(tokens), -1, tokens.shape[3]) + np.tile(space, (len(time), 1))
                                     + np.repeat(time, len(space), axis=0)).reshape(tokens.shape),
    ],
    tolerance=Tolerance(ulps=4, why="two additions"),
    cost=Cost(flops=lambda s: 2 * s.N * s.T * s.S * s.D,
              bytes=lambda s: (2 * s.N * s.T * s.S * s.D + (s.S + s.T) * s.D) * s.itemsize),
    large=_on_features(lambda size, rng: {"tokens": rng.normal(size=(2, 4, size[0] * size[1], 16)), "space": rng.normal(size=(size[0] * size[1], 16)),
                             "time": rng.normal(size=(4, 16))}),
)  # fmt: skip

# ------------------------------------------------------------------ neighborhood


#: what the tokens of one group share: a number made of t, y, x and the extents
_SHARED = {
    "space": lambda t, y, x, H, W: t,
    "space-time": lambda t, y, x, H, W: 0 * t,
    "time": lambda t, y, x, H, W: y * W + x,
    "row": lambda t, y, x, H, W: t * H + y,
    "column": lambda t, y, x, H, W: t * W + x,
    "block": lambda t, y, x, H, W: y // (H // 2) * 2 + x // (W // 2),
    "stride": lambda t, y, x, H, W: t % 2 * 4 + y % 2 * 2 + x % 2,
}


def _shared(frames: int, height: int, width: int, kind: str) -> np.ndarray:
    """For each token, the number of its group."""
    t, y, x = np.unravel_index(np.arange(frames * height * width), (frames, height, width))
    return _SHARED[kind](t, y, x, height, width)


def _extents(kinds: str, least: int = 1, most: int = 3, even: bool = False) -> Any:
    size = st.integers(least, most).map(lambda n: 2 * n if even else n)
    return st.fixed_dictionaries(
        {"frames": size, "height": size, "width": size, "kind": st.sampled_from(kinds.split())}
    )


def each_in_one_group(f: Any, frames: int, height: int, width: int, kind: str) -> Any:
    return np.sort(np.asarray(f(frames, height, width, kind)).ravel()), np.arange(frames * height * width)


def groups_share_a_number(f: Any, frames: int, height: int, width: int, kind: str) -> Any:
    groups = np.asarray(f(frames, height, width, kind)).astype(int)
    number = _shared(frames, height, width, kind)[groups % (frames * height * width)]
    return number, np.broadcast_to(number[:, :1], number.shape)


def numbers_rise(f: Any, frames: int, height: int, width: int, kind: str) -> bool:
    groups = np.asarray(f(frames, height, width, kind))
    return bool((np.diff(groups, axis=1) > 0).all() and (np.diff(groups[:, 0]) > 0).all())


def _grouped(frames: int, height: int, width: int, kind: str) -> np.ndarray:
    number = _shared(frames, height, width, kind)
    return np.argsort(number, kind="stable").reshape(number.max() + 1, -1)


def _grouped_in_loops(frames: int, height: int, width: int, kind: str) -> Any:
    groups: dict[int, list[int]] = {}
    for token, number in enumerate(_shared(frames, height, width, kind).tolist()):
        groups.setdefault(number, []).append(token)
    return np.array([groups[n] for n in sorted(groups)])


def _not_moved(right: Any, frames: int, height: int, width: int, kind: str) -> Any:
    return np.arange(frames * height * width).reshape(right(frames, height, width, kind).shape)


def _numbered_by_place(right: Any, frames: int, height: int, width: int, kind: str) -> Any:
    """Tokens numbered (y, x, t) instead of (t, y, x)."""
    number = np.arange(frames * height * width).reshape(height * width, frames).T.ravel()
    groups = np.sort(number[right(frames, height, width, kind)], axis=1)
    return groups[np.argsort(groups[:, 0])]


def _renamed(**names: str) -> Any:
    def wrong(right: Any, frames: int, height: int, width: int, kind: str) -> Any:
        return right(frames, height, width, names.get(kind, kind))

    return wrong


def _halves_and_remainders_swapped(right: Any, frames: int, height: int, width: int, kind: str) -> Any:
    tokens = np.arange(frames * height * width)
    if kind == "block":
        return tokens.reshape(frames, height // 2, 2, width // 2, 2).transpose(2, 4, 0, 1, 3).reshape(4, -1)
    if kind == "stride":
        return tokens.reshape(2, frames // 2, 2, height // 2, 2, width // 2).transpose(0, 2, 4, 1, 3, 5).reshape(8, -1)
    return right(frames, height, width, kind)


def _stride_over_all_frames(right: Any, frames: int, height: int, width: int, kind: str) -> Any:
    if kind != "stride":
        return right(frames, height, width, kind)
    tokens = np.arange(frames * height * width)
    return tokens.reshape(frames, height // 2, 2, width // 2, 2).transpose(2, 4, 0, 1, 3).reshape(4, -1)


def _block_of_one_frame(right: Any, frames: int, height: int, width: int, kind: str) -> Any:
    if kind != "block":
        return right(frames, height, width, kind)
    tokens = np.arange(frames * height * width)
    return tokens.reshape(frames, 2, height // 2, 2, width // 2).transpose(0, 1, 3, 2, 4).reshape(4 * frames, -1)


neighborhood = Spec(
    cases={"in a frame": _extents("space row column"), "through time": _extents("time space-time"),
           "sparse": _extents("block stride", most=2, even=True)},
    laws=[
        Law("each token is in one group", each_in_one_group),
        Law("the tokens of a group share what the kind says: a frame, a place, a row, …", groups_share_a_number),
        Law("numbers rise in a group, and from group to group", numbers_rise),
    ],
    mistakes=[
        Mistake("reshaped without moving axes", _not_moved,
                ["Does a reshape exchange axes?", "Bring the axes of a group to the end first (transpose), then reshape."]),
        Mistake("tokens numbered place by place", _numbered_by_place,
                ["Which token comes after the first one?", "Its right neighbor in the same frame: t, then y, then x."]),
        Mistake("row and column swapped", _renamed(row="column", column="row"),
                ["Which axis changes along a row?", "x: a row has one t and one y."]),
        Mistake("space and time swapped", _renamed(space="time", time="space"),
                ["Who is compared by attention in space?", "The tokens of one frame."]),
        Mistake("a block of one frame", _block_of_one_frame,
                ["Does the local step see a motion?", "A quarter of the frame, but of all frames."]),
        Mistake("every second place, but all frames", _stride_over_all_frames,
                ["How many groups has the global step?", "8: the stride is 2 in time as well."]),
        Mistake("halves where remainders are right", _halves_and_remainders_swapped,
                ["Is a block in one piece? Is a stride?", "A block is y // (H/2), x // (W/2); a stride is t % 2, y % 2, x % 2."]),
    ],
    accepted=[_grouped, _grouped_in_loops],
    tolerance=Tolerance(ulps=0, why="whole numbers"),
    cost=Cost(flops=lambda s: s.frames * s.height * s.width, bytes=lambda s: 8 * s.frames * s.height * s.width),
    large=_on_features(lambda size, rng: {"frames": 8, "height": size[0], "width": size[1], "kind": "stride"}),
)  # fmt: skip

# ------------------------------------------------------------------ comparisons


def _schemes(names: str) -> Any:
    even = st.integers(1, 4).map(lambda n: 2 * n)
    return st.fixed_dictionaries(
        {"frames": even, "height": even, "width": even, "scheme": st.sampled_from(names.split())}
    )


def in_closed_form(f: Any, frames: int, height: int, width: int, scheme: str) -> Any:
    F, N = frames, height * width
    known = {"S": N + 1, "ST": N * F + 1, "T+S": N + F + 2}.get(scheme)
    got = np.asarray(f(frames, height, width, scheme))
    return got, np.asarray(known if known is not None else got)


def divided_is_space_and_time(f: Any, frames: int, height: int, width: int, scheme: str) -> Any:
    return np.asarray(f(frames, height, width, "T+S")), np.asarray(f(frames, height, width, "S")) + frames + 1


def film_on_its_side(f: Any, frames: int, height: int, width: int, scheme: str) -> Any:
    return np.asarray(f(frames, width, height, scheme)), np.asarray(f(frames, height, width, scheme))


def _keys(frames: int, height: int, width: int, scheme: str, **sizes: int) -> list[int]:
    """How many tokens are looked at in each step."""
    all_ = frames * height * width
    known = {"space": height * width, "space-time": all_, "time": frames, "block": all_ // 4, "stride": all_ // 8,
             "row": width, "column": height, **sizes}  # fmt: skip
    return [known[kind] for kind in reference.SCHEMES[scheme]]


comparisons = Spec(
    cases={"one step": _schemes("S ST"), "two steps": _schemes("T+S L+G"), "three steps": _schemes("T+W+H")},
    laws=[
        Law("S: N + 1, ST: N F + 1, T+S: N + F + 2", in_closed_form, ("one step", "two steps")),
        Law("divided attention costs F + 1 more than attention in space", divided_is_space_and_time),
        Law("a frame on its side costs the same", film_on_its_side),
    ],
    mistakes=[
        Mistake("class token forgotten", lambda right, *a: np.asarray(sum(_keys(*a))),
                ["Who else is a key in every step?", "The class token: one more in each step."]),
        Mistake("class token counted once a layer", lambda right, *a: np.asarray(sum(_keys(*a)) + 1),
                ["How often is the class token a key?", "Once in each step."]),
        Mistake("steps multiplied", lambda right, *a: np.asarray(np.prod([n + 1 for n in _keys(*a)])),
                ["Does one step follow the other, or does it run inside it?", "One after the other: add."]),
        Mistake("space twice", lambda right, *a: np.asarray(sum(n + 1 for n in _keys(*a, time=a[1] * a[2]))),
                ["How many frames are there?", "Through time a token meets F others at its own place."]),
        Mistake("along the width twice", lambda right, *a: np.asarray(sum(n + 1 for n in _keys(*a, column=a[2]))),
                ["How long is a column?", "As long as the frame is high."]),
        Mistake("counts pairs, not keys of one query", lambda right, *a: right(*a) * a[0] * a[1] * a[2],
                ["For how many queries do you count?", "One."]),
        Mistake("global step without a stride in time", lambda right, *a: np.asarray(
                sum(n + 1 for n in _keys(*a, stride=a[0] * a[1] * a[2] // 4))),
                ["Into how many groups does the global step divide the clip?", "8: 2 in time, too."]),
    ],
    accepted=[
        lambda frames, height, width, scheme: sum(n + 1 for n in _keys(frames, height, width, scheme)),
        lambda frames, height, width, scheme: np.array(sum(
            1 + int((_shared(frames, height, width, k) == 0).sum()) for k in reference.SCHEMES[scheme])),
    ],
    tolerance=Tolerance(ulps=0, why="whole numbers"),
    cost=Cost(flops=lambda s: 8, bytes=lambda s: 8),
    large=_on_features(lambda size, rng: {"frames": 8, "height": size[0], "width": size[1], "scheme": "T+S"}),
)  # fmt: skip

# ------------------------------------------------------------------ reachable


def _clips(names: str, least: int, most: int, even: bool = False) -> Any:
    size = st.integers(least, most).map(lambda n: 2 * n if even else n)
    return st.fixed_dictionaries(
        {"frames": size, "height": size, "width": size, "scheme": st.sampled_from(names.split())}
    )


def reaches_itself(f: Any, frames: int, height: int, width: int, scheme: str) -> bool:
    return bool(np.diagonal(f(frames, height, width, scheme)).all())


def both_ways(f: Any, frames: int, height: int, width: int, scheme: str) -> Any:
    reach = f(frames, height, width, scheme)
    return reach, reach.T


def all_to_all(f: Any, frames: int, height: int, width: int, scheme: str) -> bool:
    return bool(f(frames, height, width, scheme).all())


def frames_stay_apart(f: Any, frames: int, height: int, width: int, scheme: str) -> Any:
    frame = np.repeat(np.arange(frames), height * width)
    return f(frames, height, width, scheme), frame[:, None] == frame


def _steps(frames: int, height: int, width: int, scheme: str) -> list[np.ndarray]:
    numbers = [_shared(frames, height, width, kind) for kind in reference.SCHEMES[scheme]]
    return [n[:, None] == n for n in numbers]


def _chained(*a: Any) -> Any:
    reach = np.eye(a[0] * a[1] * a[2])
    for step in _steps(*a):
        reach = step.astype(float) @ reach
    return reach > 0


def _by_walking(*a: Any) -> Any:
    steps = _steps(*a)
    reach = np.zeros(steps[0].shape, bool)
    for i in range(len(reach)):
        from_ = {i}
        for step in reversed(steps):
            from_ = {int(j) for m in from_ for j in np.flatnonzero(step[m])}
        reach[i, sorted(from_)] = True
    return reach


reachable = Spec(
    cases={"space alone": _clips("S", 1, 3), "joint, divided, axial": _clips("ST T+S T+W+H", 1, 3),
           "sparse": _clips("L+G", 1, 2, even=True)},
    laws=[
        Law("a token reaches itself", reaches_itself),
        Law("whoever is reached reaches back", both_ways),
        Law("joint, divided and axial attention: everyone reaches everyone", all_to_all, ("joint, divided, axial",)),
        Law("attention in space alone: no frame reaches another", frames_stay_apart, ("space alone",)),
    ],
    mistakes=[
        Mistake("the last step alone", lambda right, *a: _steps(*a)[-1],
                ["What did the neighbor know before this step?", "Chain the steps: what a neighbor has learned is passed on."]),
        Mistake("the first step alone", lambda right, *a: _steps(*a)[0],
                ["What happens after the first step?", "Chain all steps of the scheme."]),
        Mistake("steps side by side", lambda right, *a: np.any(_steps(*a), axis=0),
                ["Do the steps see the same input?", "One sees the other's output: a chain, not a union."]),
        Mistake("only who is a neighbor in every step", lambda right, *a: np.all(_steps(*a), axis=0),
                ["Must one be a neighbor in all steps?", "A path may take another neighbor in each step."]),
        Mistake("everyone reaches everyone", lambda right, *a: np.ones_like(right(*a)),
                ["Does attention in space leave the frame?", "No: with S each frame stays by itself."]),
    ],
    accepted=[_chained, _by_walking],
    tolerance=Tolerance(ulps=0, why="yes or no"),
    cost=Cost(flops=lambda s: (s.frames * s.height * s.width) ** 2, bytes=lambda s: (s.frames * s.height * s.width) ** 2),
    large=_on_features(lambda size, rng: {"frames": 4, "height": size[0], "width": size[1], "scheme": "T+S"}),
)  # fmt: skip

# ------------------------------------------------------------------ neighborhood_attention


def _tokens(n: int, length: int, d: int, names: str = "q k v") -> dict[str, tuple[int, ...]]:
    return {name: (n, length, d) for name in names.split()}


KINDS = ("space-time", "time", "row", "column", "block", "stride", "space")


def _in_groups(class_token: str) -> Any:
    first = 0 if class_token == "absent" else 1

    def shapes(n: int, each: int, heads: int, t: int, h: int, w: int, number: int) -> Any:
        # Hypothesis draws most inputs with many choices of the one before; the kind must not be among these
        kind = KINDS[(number + n + each + heads + t + h + w) % len(KINDS)]
        t, h, w = (2, 2, 2 * min(w, 2)) if kind in ("block", "stride") else (t, h, w)
        more = {"frames": t, "height": h, "width": w, "kind": kind, "class_token": class_token, "heads": heads}
        return _tokens(n, first + t * h * w, each * heads), more

    twos = st.sampled_from([1, 2, 2])  # a single frame or row makes kinds of groups alike
    drawn = st.builds(shapes, few, few, few, twos, twos, three, st.integers(0, len(KINDS) - 1))
    strong = st.sampled_from([1.0] * 7 + [4096.0])  # now and then, scores whose exponentials are no longer numbers
    asked = st.builds(lambda d, s: {**d, "q": s * d["q"]}, cut_to(_tokens(2, first + 16, 4), drawn), strong)
    return unsaid(asked, class_token="joins", heads=1)


def _softmax(e: np.ndarray, axis: int = -1) -> np.ndarray:
    p = np.exp(e - e.max(axis=axis, keepdims=True))
    return p / p.sum(axis=axis, keepdims=True)


def _attend(q: Any, k: Any, v: Any, scale: Any = None) -> Any:
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    return _softmax(np.einsum("...ld,...md->...lm", q, k) * scale) @ v


def _look_around(
    q: Any, k: Any, v: Any, frames: int, height: int, width: int, kind: str, class_token: str = "joins", heads: int = 1,
    *, groups: Any = None, width_of_scale: Any = None, alone: bool = False, sees: str = "", interleaved: bool = False,
) -> Any:  # fmt: skip
    """The definition head by head and group by group, with a place for each slip."""
    first, D = int(class_token != "absent"), q.shape[2]
    groups = _grouped(frames, height, width, kind) if groups is None else groups
    sees = sees or {"joins": "all", "averaged": "groups", "absent": ""}[class_token]
    y = np.zeros_like(v)
    for h in range(heads):
        here = slice(h, None, heads) if interleaved else slice(h * D // heads, (h + 1) * D // heads)
        Q, K, V = q[..., here], k[..., here], v[..., here]
        scale = None if width_of_scale is None else width_of_scale(D)
        of_class = []
        for group in groups:
            members = group + first
            keys = members if alone else np.concatenate([np.arange(first), members])
            y[:, members, here] = _attend(Q[:, members], K[:, keys], V[:, keys], scale)
            keys = np.concatenate([np.arange(first), members])
            of_class.append(_attend(Q[:, :1], K[:, keys], V[:, keys], scale)[:, 0])
        if first and sees == "all":
            y[:, 0, here] = _attend(Q[:, :1], K, V, scale)[:, 0]
        elif first:
            y[:, 0, here] = of_class[0] if sees == "first" else np.mean(of_class, axis=0)
    return y


def _token_by_token(
    q: Any, k: Any, v: Any, frames: int, height: int, width: int, kind: str, class_token: str = "joins", heads: int = 1
) -> Any:
    """Each head's weights with everything else struck out; a class token's as the mean over its groups."""
    first, (N, L, D) = int(class_token != "absent"), q.shape
    number = np.concatenate([-np.ones(first, int), _shared(frames, height, width, kind)])
    split = lambda a: a.reshape(N, L, heads, D // heads).transpose(0, 2, 1, 3)  # noqa: E731
    Q, K, V = split(q), split(k), split(v)
    e = Q @ K.swapaxes(2, 3) / np.sqrt(D // heads)
    may = (number[:, None] == number) | (number == -1) | (number == -1)[:, None]
    p = _softmax(np.where(may, e, -np.inf))
    if class_token == "averaged":
        groups = [(number == g) | (number == -1) for g in range(number.max() + 1)]
        p[:, :, 0] = np.mean([_softmax(np.where(group, e[:, :, 0], -np.inf)) for group in groups], axis=0)
    return (p @ V).transpose(0, 2, 1, 3).reshape(N, L, D)


def others_do_not_matter(
    f: Any, q: Any, k: Any, v: Any, frames: int, height: int, width: int, kind: str, **rest: Any
) -> Any:
    first = q.shape[1] - frames * height * width
    number = np.concatenate([-np.ones(first, int), _shared(frames, height, width, kind)])
    others, group = (number != number[-1]) & (number != -1), number == number[-1]
    changed = [np.where(others[:, None], 3 - a, a) for a in (q, k, v)]
    grid = (frames, height, width, kind)
    return f(*changed, *grid, **rest)[:, group], f(q, k, v, *grid, **rest)[:, group]


def one_value_comes_back(f: Any, q: Any, k: Any, v: Any, *grid: Any, **rest: Any) -> Any:
    same = np.broadcast_to(v[:, :1], v.shape).copy()
    return f(q, k, same, *grid, **rest), same


def a_head_by_itself(f: Any, q: Any, k: Any, v: Any, heads: int = 1, **rest: Any) -> Any:
    own = q.shape[2] // heads
    alone = f(*(a[..., :own].copy() for a in (q, k, v)), heads=1, **rest)
    return f(q, k, v, heads=heads, **rest)[..., :own], alone


def class_token_gets_the_mean(f: Any, q: Any, k: Any, v: Any, **rest: Any) -> Any:
    return f(q, 0 * k, v, **rest)[:, 0], v.mean(axis=1)


def class_token_gets_the_groups_mean(
    f: Any, q: Any, k: Any, v: Any, frames: int, height: int, width: int, kind: str, **rest: Any
) -> Any:
    number = _shared(frames, height, width, kind)
    M = len(number) // (number.max() + 1)
    want = (v[:, 0] + M * v[:, 1:].mean(axis=1)) / (M + 1)
    return f(q, 0 * k, v, frames, height, width, kind, **rest)[:, 0], want


def _products(expected: Any, q: Any, k: Any, v: Any, *_: Any, **__: Any) -> float:
    return (1 + q.shape[2] * largest(q) * largest(k)) * largest(v)


def _groups_by_place(frames: int, height: int, width: int, kind: str) -> Any:
    return _numbered_by_place(_grouped, frames, height, width, kind)


_SWAPPED = {"space": "time", "time": "space", "row": "column", "column": "row"}

neighborhood_attention = Spec(
    cases={"no class token": _in_groups("absent"), "a class token joins": _in_groups("joins"),
           "a class token, averaged": _in_groups("averaged")},
    laws=[
        Law("who is in another group does not matter", others_do_not_matter),
        Law("values that are all alike come back", one_value_comes_back),
        Law("a head answers as if its features were all", a_head_by_itself),
        Law("with keys of 0 a class token that joins gets the mean of all values", class_token_gets_the_mean,
            ("a class token joins",)),
        Law("with keys of 0 an averaged class token gets the mean over the groups of their means",
            class_token_gets_the_groups_mean, ("a class token, averaged",)),
    ],
    mistakes=[
        Mistake("everyone looks at everyone", lambda right, q, k, v, frames, height, width, kind, class_token="joins", heads=1: right(
                q, k, v, frames, height, width, "space-time", class_token, heads),
                ["Which argument did you not use?", "A token looks at its own group, and at the class token."]),
        Mistake("tokens read place by place", lambda right, q, k, v, frames, height, width, kind, class_token="joins", heads=1: _look_around(
                q, k, v, frames, height, width, kind, class_token, heads, groups=_groups_by_place(frames, height, width, kind)),
                ["Is your rearrange '(h w t)' where the tokens are '(t h w)'?", "Tokens come frame by frame."]),
        Mistake("another kind of group", lambda right, q, k, v, frames, height, width, kind, class_token="joins", heads=1: right(
                q, k, v, frames, height, width, _SWAPPED.get(kind, kind), class_token, heads),
                ["Who looks at whom in space? Along a row?", "Space: one frame. Time: one place. Row: one y. Column: one x."]),
        Mistake("class token is no key of the others", lambda right, *a, **k: _look_around(*a, **k, alone=True),
                ["How many keys has a token in a frame of N?", "N + 1: the class token is one of them."]),
        Mistake("class token looks at everything", lambda right, *a, **k: _look_around(*a, **k, sees="all"),
                ["What does 'averaged' ask of the class token?", "One answer for each group, then their mean."]),
        Mistake("class token always averaged", lambda right, *a, **k: _look_around(*a, **k, sees="groups"),
                ["What does 'joins' let the class token see?", "Everything, in one softmax."]),
        Mistake("class token looks at the first group", lambda right, *a, **k: _look_around(*a, **k, sees="first"),
                ["How many answers has the class token?", "With 'averaged' one for each group: take their mean, don't keep one."]),
        Mistake("scaled by the whole width", lambda right, *a, **k: _look_around(*a, **k, width_of_scale=lambda D: D**-0.5),
                ["How many products are summed in a head's score?", "√(D/h): each head has D/h features."]),
        Mistake("not scaled", lambda right, *a, **k: _look_around(*a, **k, width_of_scale=lambda D: 1.0),
                ["How large do products of long vectors become?", "Divide by √(D/h)."]),
        Mistake("heads take every h-th feature", lambda right, *a, **k: _look_around(*a, **k, interleaved=True),
                ["Which features are the first head's?", "The first D/h: reshape to (heads, D/h), not to (D/h, heads)."]),
    ],
    accepted=[_look_around, _token_by_token],
    tolerance=Tolerance(ulps=32, why="a sum of products, an exponential, a quotient, another sum and a mean over groups",
                        scale=_products),
    cost=Cost(flops=lambda s: 4 * s.N * s.D * s.L * (reference.neighborhood(s.frames, s.height, s.width, s.kind).shape[1] + 1),
              bytes=lambda s: 4 * s.N * s.L * s.D * s.itemsize),
    large=_on_features(lambda size, rng: {**{n: rng.normal(size=(1, 1 + 2 * size[0] * size[1], 64)) for n in "qkv"},
                             "frames": 2, "height": size[0], "width": size[1], "kind": "space", "heads": 2}),
)  # fmt: skip

# ------------------------------------------------------------------ factorized_encoder


def _frames_of_tokens(heads: st.SearchStrategy[int], least: int) -> Any:
    def shapes(n: int, t: int, s: int, each: int, h: int) -> Any:
        D = each * h
        return {"x": (n, t, s, D), "w_space": (3 * D, D), "w_time": (3 * D, D)}, {"heads": h}

    most = {"x": (2, 3, 3, 4), "w_space": (12, 4), "w_time": (12, 4)}
    drawn = cut_to(most, st.builds(shapes, few, st.integers(least, 3), st.integers(least, 3), few, heads))
    # small weights: with large ones each token looks at one other only, whatever the slip
    return unsaid(drawn.map(lambda d: {**d, "w_space": d["w_space"] / 4, "w_time": d["w_time"] / 4}), heads=1)


def frames_in_any_order(f: Any, x: Any, w_space: Any, w_time: Any, heads: int = 1, seed: int = 0) -> Any:
    return f(x[:, _order(x.shape[1], seed)], w_space, w_time, heads), f(x, w_space, w_time, heads)


def places_in_any_order(f: Any, x: Any, w_space: Any, w_time: Any, heads: int = 1, seed: int = 0) -> Any:
    return f(x[:, :, _order(x.shape[2], seed)], w_space, w_time, heads), f(x, w_space, w_time, heads)


def no_values_leave_the_mean(f: Any, x: Any, w_space: Any, w_time: Any, heads: int = 1) -> Any:
    quiet = np.concatenate([np.ones(2 * x.shape[3]), np.zeros(x.shape[3])])[:, None]
    return f(x, quiet * w_space, quiet * w_time, heads), x.mean(axis=(1, 2))


def alike_frames_are_one(f: Any, x: Any, w_space: Any, w_time: Any, heads: int = 1) -> Any:
    one = x[:, :1].copy()
    return f(np.repeat(one, 3, axis=1), w_space, w_time, heads), f(one, w_space, w_time, heads)


def _looked(x: Any, w: Any, heads: int = 1, *, residual: bool = True, order: str = "qkv", scale: Any = None) -> Any:
    """x and what its tokens (the last axis but one) get from one another."""
    D = x.shape[-1]
    qkv = x @ w.T
    parts = {n: qkv[..., i * D : (i + 1) * D] for i, n in enumerate(order)}
    each = D // heads
    heads_ = [_attend(*(parts[n][..., h * each : (h + 1) * each] for n in "qkv"), scale) for h in range(heads)]
    return np.concatenate(heads_, axis=-1) + (x if residual else 0)


def _encode(x: Any, w_space: Any, w_time: Any, heads: int = 1, **slip: Any) -> Any:
    return _looked(_looked(x, w_space, heads, **slip).mean(axis=2), w_time, heads, **slip).mean(axis=1)


def _encode_in_loops(x: Any, w_space: Any, w_time: Any, heads: int = 1) -> Any:
    clips = []
    for clip in x:
        frames = np.stack([_looked(frame, w_space, heads).mean(axis=0) for frame in clip])
        clips.append(_looked(frames, w_time, heads).mean(axis=0))
    return np.stack(clips)


def _time_first(right: Any, x: Any, w_space: Any, w_time: Any, heads: int = 1) -> Any:
    return right(np.swapaxes(x, 1, 2), w_time, w_space, heads)


def _all_at_once(right: Any, x: Any, w_space: Any, w_time: Any, heads: int = 1) -> Any:
    flat = _looked(x.reshape(len(x), -1, x.shape[3]), w_space, heads).reshape(x.shape)
    return _looked(flat.mean(axis=2), w_time, heads).mean(axis=1)


def _every_place_through_time(right: Any, x: Any, w_space: Any, w_time: Any, heads: int = 1) -> Any:
    """Divided attention: time at each place, and the mean at the very end."""
    z = _looked(x, w_space, heads)
    return _looked(np.swapaxes(z, 1, 2), w_time, heads).mean(axis=(1, 2))


def _encoder_scale(expected: Any, x: Any, w_space: Any, w_time: Any, heads: int = 1) -> float:
    """What the first encoder's rounding is measured by, and how much of it the second one can make."""
    D, most = x.shape[3], largest(x)
    scores, values = _stage(np.abs(x).reshape(-1, D), w_space, heads)
    first = most + (1 + scores) * values
    again, _ = _stage(np.full((1, D), most + values), w_time, heads)
    return first * (1 + float(np.abs(w_time).sum(axis=1).max())) * (1 + 2 * again)


def _stage(magnitudes: Any, w: Any, heads: int) -> tuple[float, float]:
    """The largest a score and a value can be."""
    q, k, v = np.split(magnitudes @ np.abs(w).T, 3, axis=1)
    return float(q.max() * k.max() * np.sqrt(q.shape[1] / heads)), float(v.max())


factorized_encoder = Spec(
    cases={"one head": _frames_of_tokens(st.just(1), 1), "two heads": _frames_of_tokens(st.just(2), 2)},
    laws=[
        Law("the order of the frames does not matter", frames_in_any_order, draws=SEED),
        Law("the order of the tokens in their frames does not matter", places_in_any_order, draws=SEED),
        Law("where values are 0, the mean of all tokens is left", no_values_leave_the_mean),
        Law("a clip of frames that are all alike is answered as one of them", alike_frames_are_one),
    ],
    mistakes=[
        Mistake("time before space", _time_first,
                ["Which encoder is the first one?", "Space: the tokens of one frame look at one another."]),
        Mistake("all frames at once in the first encoder", _all_at_once,
                ["Does the first encoder see another frame?", "No: make each frame a sample, N·T of them."]),
        Mistake("time at every place", _every_place_through_time,
                ["How many tokens enter the second encoder?", "One for each frame: take the mean over its tokens before."]),
        Mistake("a frame's first token speaks for it", lambda right, x, w_space, w_time, heads=1: _looked(
                _looked(x, w_space, heads)[:, :, 0], w_time, heads).mean(axis=1),
                ["Is there a class token here?", "No: take the mean over the frame's tokens."]),
        Mistake("the first encoder's weights twice", lambda right, x, w_space, w_time, heads=1: right(x, w_space, w_space, heads),
                ["Which argument did you not use?", "The second encoder has w_time."]),
        Mistake("the second encoder's weights twice", lambda right, x, w_space, w_time, heads=1: right(x, w_time, w_time, heads),
                ["How many encoders are there?", "Two, with weights of their own."]),
        Mistake("input not added", lambda right, *a, **k: _encode(*a, **k, residual=False),
                ["What is left where the values are 0?", "The tokens themselves: x + attention(x), twice."]),
        Mistake("no attention among the frames", lambda right, x, w_space, w_time, heads=1: _looked(x, w_space, heads).mean(axis=(1, 2)),
                ["Is it more than a mean over frames?", "The frames' tokens look at one another first."]),
        Mistake("keys first", lambda right, *a, **k: _encode(*a, **k, order="kqv"),
                ["In which order are the rows of the weights?", "Queries, keys, values."]),
        Mistake("one head only", lambda right, x, w_space, w_time, heads=1: right(x, w_space, w_time, 1),
                ["How many softmaxes are there?", "One for each head."]),
    ],
    accepted=[_encode, _encode_in_loops],
    tolerance=Tolerance(ulps=16, why="twice a projection, a sum of products, an exponential, a quotient and two means",
                        scale=_encoder_scale, loose=1e-6),
    cost=Cost(flops=lambda s: s.N * s.T * s.S * s.D * (6 * s.D + 4 * s.S) + s.N * s.T * s.D * (6 * s.D + 4 * s.T),
              bytes=lambda s: (s.N * s.T * s.S * s.D + 6 * s.D * s.D + s.N * s.D) * s.itemsize),
    large=_on_features(lambda size, rng: {"x": rng.normal(size=(1, 4, size[0] * size[1], 64)), "w_space": rng.normal(size=(192, 64)) / 8,
                             "w_time": rng.normal(size=(192, 64)) / 8, "heads": 4}),
)  # fmt: skip

# ------------------------------------------------------------------ pool_tokens


ones = st.just((1, 1, 1))
odd = st.sampled_from([1, 3, 5])


def _pooled_inputs(strides: Any) -> Any:
    def shapes(n: int, d: int, t: int, h: int, w: int, kt: int, kh: int, kw: int, stride: Any) -> Any:
        found = {"x": (n, 1 + t * h * w, d), "w": (d, kt, kh, kw)}
        return found, {"frames": t, "height": h, "width": w, "stride": stride}

    most = {"x": (2, 19, 2), "w": (2, 5, 5, 5)}
    return unsaid(cut_to(most, st.builds(shapes, few, few, few, three, three, odd, odd, odd, strides)), stride=1)


def class_token_passes_by(f: Any, x: Any, w: Any, **rest: Any) -> Any:
    return f(x, w, **rest)[:, 0], x[:, 0]


def a_window_of_one_picks(f: Any, x: Any, w: Any, frames: int, height: int, width: int, stride: Any = 1) -> Any:
    middle = np.zeros_like(w)
    middle[:, w.shape[1] // 2, w.shape[2] // 2, w.shape[3] // 2] = 1
    return f(x, middle, frames, height, width, 1), x


def a_stride_keeps_some(f: Any, x: Any, w: Any, frames: int, height: int, width: int, stride: Any = 1) -> Any:
    every = f(x, w, frames, height, width, 1)[:, 1:].reshape(len(x), frames, height, width, -1)
    t, r, q = _three(stride)
    some = every[:, ::t, ::r, ::q].reshape(len(x), -1, x.shape[2])
    return f(x, w, frames, height, width, stride)[:, 1:], some


def features_stay_apart(f: Any, x: Any, w: Any, **rest: Any) -> Any:
    return f(x[..., -1:].copy(), w[-1:].copy(), **rest), f(x, w, **rest)[..., -1:]


def _three(stride: Any) -> tuple[int, int, int]:
    return (stride,) * 3 if isinstance(stride, int) else tuple(stride)


def _slid(
    x: Any, w: Any, frames: int, height: int, width: int, stride: Any = 1, *, mode: str = "constant", start: Any = None
) -> Any:
    """Tap by tap over the padded grid."""
    (N, _, D), kernel, step = x.shape, w.shape[1:], _three(stride)
    grid = x[:, 1:].reshape(N, frames, height, width, D)
    padded = np.pad(grid, [(0, 0), *((n // 2, n // 2) for n in kernel), (0, 0)], mode=mode)
    y = sum(w[:, m, i, j] * padded[:, m : m + frames, i : i + height, j : j + width]
            for m, i, j in product(*map(range, kernel)))  # fmt: skip
    t, r, q = start if start is not None else (0, 0, 0)
    return np.concatenate([x[:, :1], y[:, t :: step[0], r :: step[1], q :: step[2]].reshape(N, -1, D)], axis=1)


def _slid_in_loops(x: Any, w: Any, frames: int, height: int, width: int, stride: Any = 1) -> Any:
    size, step = (frames, height, width), _three(stride)
    grid = x[:, 1:].reshape(len(x), *size, -1)
    rows = [x[:, 0]]
    for center in product(*(range(0, n, s) for n, s in zip(size, step, strict=True))):
        total = np.zeros_like(x[:, 0])
        for tap in product(*map(range, w.shape[1:])):
            at = tuple(c + i - n // 2 for c, i, n in zip(center, tap, w.shape[1:], strict=True))
            if all(0 <= a < n for a, n in zip(at, size, strict=True)):
                total = total + w[(slice(None), *tap)] * grid[(slice(None), *at)]
        rows.append(total)
    return np.stack(rows, axis=1)


def _with_class_token_pooled(right: Any, x: Any, w: Any, *grid: Any, **rest: Any) -> Any:
    y = right(x, w, *grid, **rest)
    return np.concatenate([x[:, :1] * w.sum(axis=(1, 2, 3)), y[:, 1:]], axis=1)


def _grid_turned(right: Any, x: Any, w: Any, frames: int, height: int, width: int, stride: Any = 1) -> Any:
    """Tokens laid on a grid (y, x, t) that are numbered (t, y, x)."""
    N, _, D = x.shape
    turned = x[:, 1:].reshape(N, height, width, frames, D).transpose(0, 3, 1, 2, 4).reshape(N, -1, D)
    return right(np.concatenate([x[:, :1], turned], axis=1), w, frames, height, width, stride)


def _not_padded(right: Any, x: Any, w: Any, frames: int, height: int, width: int, stride: Any = 1) -> Any:
    size, step = (frames, height, width), _three(stride)
    full = right(x, w, frames, height, width, 1)[:, 1:].reshape(len(x), *size, -1)
    inside = [
        slice(k // 2, n - k // 2 if n > k // 2 else k // 2 + 1, s)
        for k, n, s in zip(w.shape[1:], size, step, strict=True)
    ]
    return np.concatenate([x[:, :1], full[(slice(None), *inside)].reshape(len(x), -1, x.shape[2])], axis=1)


pool_tokens = Spec(
    cases={"step 1": _pooled_inputs(st.just(1)), "step 2": _pooled_inputs(st.just(2)),
           "a step for each axis": _pooled_inputs(st.sampled_from([(1, 2, 2), (2, 1, 1), (1, 1, 2), (1, 3, 2)]))},
    laws=[
        Law("the class token passes by unchanged", class_token_passes_by),
        Law("a window that is 1 in its center and 0 around changes nothing", a_window_of_one_picks),
        Law("a stride keeps every s-th answer of stride 1", a_stride_keeps_some),
        Law("each feature is pooled by itself", features_stay_apart),
    ],
    mistakes=[
        Mistake("class token pooled as well", _with_class_token_pooled,
                ["Where on the grid is the class token?", "Nowhere: take it off before, put it back after."]),
        Mistake("class token lost", lambda right, *a, **k: right(*a, **k)[:, 1:],
                ["How many tokens come back with stride 1?", "As many as went in: put the class token back."]),
        Mistake("grid (y, x, t) for tokens (t, y, x)", _grid_turned,
                ["Which axis changes slowest from token to token?", "Time: reshape to (frames, height, width)."]),
        Mistake("the first feature's window for all", lambda right, x, w, *a, **k: right(x, np.broadcast_to(w[:1], w.shape).copy(), *a, **k),
                ["Has each feature a window of its own?", "The convolution is depthwise: groups = D, one window each."]),
        Mistake("window flipped", lambda right, x, w, *a, **k: right(x, w[:, ::-1, ::-1, ::-1].copy(), *a, **k),
                ["What do frameworks call convolution?", "Cross-correlation: the window is not flipped."]),
        Mistake("edges repeated instead of zeros", lambda right, *a, **k: _slid(*a, **k, mode="edge"),
                ["What is outside of the grid?", "Zeros."]),
        Mistake("no zeros around", _not_padded,
                ["How many tokens come back with stride 1?", "As many as went in: pad with ⌊K / 2⌋ zeros on each side."]),
        Mistake("stride read as (x, y, t)", lambda right, x, w, frames, height, width, stride=1: right(
                x, w, frames, height, width, stride if isinstance(stride, int) else tuple(stride)[::-1]),
                ["In which order are the three strides?", "Time, height, width, as everywhere."]),
        Mistake("stride ignored", lambda right, x, w, frames, height, width, stride=1: right(x, w, frames, height, width),
                ["How many tokens are left with stride 2?", "⌈n / 2⌉ along each axis."]),
        Mistake("mean of the window", lambda right, x, w, *a, **k: np.concatenate(
                [x[:, :1], right(x, w / w[0].size, *a, **k)[:, 1:]], axis=1),
                ["Is there a mean in the formula?", "Sum what the weights make of the window."]),
    ],
    accepted=[_slid, _slid_in_loops],
    tolerance=Tolerance(ulps=64, why="one sum over a window", scale=lambda expected, x, w, **_: float(
        largest(x) * max(1.0, np.abs(w).reshape(len(w), -1).sum(axis=1).max()))),
    cost=Cost(flops=lambda s: 2 * s.N * s.L * s.D * s.Kt * s.Kh * s.Kw / np.prod(_three(s.stride)),
              bytes=lambda s: (s.N * s.L * s.D * (1 + 1 / np.prod(_three(s.stride))) + s.D * s.Kt * s.Kh * s.Kw) * s.itemsize),
    large=_on_features(lambda size, rng: {"x": rng.normal(size=(1, 1 + 2 * size[0] * size[1], 64)), "w": rng.normal(size=(64, 3, 3, 3)),
                             "frames": 2, "height": size[0], "width": size[1], "stride": (1, 2, 2)}),
)  # fmt: skip

# ------------------------------------------------------------------ pooling_attention


def _pooling_inputs(queries: Any, keys: Any) -> Any:
    def shapes(
        n: int, d: int, t: int, h: int, w: int, kt: int, kh: int, kw: int, s_q: Any, s_kv: Any, residual: str
    ) -> Any:
        found = {**_tokens(n, 1 + t * h * w, d), **{name: (d, kt, kh, kw) for name in ("w_q", "w_k", "w_v")}}
        return found, {"frames": t, "height": h, "width": w, "stride_q": s_q, "stride_kv": s_kv, "residual": residual}

    most = {**_tokens(2, 13, 2), **{name: (2, 5, 5, 5) for name in ("w_q", "w_k", "w_v")}}
    rest = (few, few, few, few, three, odd, odd, odd)
    drawn = cut_to(most, st.builds(shapes, *rest, queries, keys, st.sampled_from(["add", "patches", "none"])))
    return unsaid(drawn, stride_q=1, stride_kv=1, residual="add")


def _middle(w: Any) -> Any:
    one = np.zeros_like(w)
    one[:, w.shape[1] // 2, w.shape[2] // 2, w.shape[3] // 2] = 1
    return one


def without_pooling_plain_attention(f: Any, q: Any, k: Any, v: Any, w_q: Any, w_k: Any, w_v: Any, frames: int, height: int,
                                    width: int, **_: Any) -> Any:  # fmt: skip
    windows = (_middle(w_q), _middle(w_k), _middle(w_v))
    return f(q, k, v, *windows, frames, height, width, 1, 1, "none"), _attend(q, k, v)


def residual_is_the_pooled_queries(f: Any, q: Any, k: Any, v: Any, w_q: Any, w_k: Any, w_v: Any, frames: int, height: int,
                                   width: int, stride_q: Any = 1, stride_kv: Any = 1, residual: str = "add") -> Any:  # fmt: skip
    rest = (q, k, v, w_q, w_k, w_v, frames, height, width, stride_q, stride_kv)
    return f(*rest, "add") - f(*rest, "none"), _slid(q, w_q, frames, height, width, stride_q)


def patches_alone_get_it(f: Any, q: Any, k: Any, v: Any, w_q: Any, w_k: Any, w_v: Any, frames: int, height: int,
                         width: int, stride_q: Any = 1, stride_kv: Any = 1, residual: str = "add") -> Any:  # fmt: skip
    pooled = _slid(q, w_q, frames, height, width, stride_q)
    pooled[:, 0] = 0
    return f(q, k, 0 * v, w_q, w_k, w_v, frames, height, width, stride_q, stride_kv, "patches"), pooled


def _pooled_attention(q: Any, k: Any, v: Any, w_q: Any, w_k: Any, w_v: Any, frames: int, height: int, width: int,
                      stride_q: Any = 1, stride_kv: Any = 1, residual: str = "add", *, scale: Any = None,
                      unpooled: bool = False) -> Any:  # fmt: skip
    grid = (frames, height, width)
    pooled = _slid(q, w_q, *grid, stride_q)
    y = _attend(pooled, _slid(k, w_k, *grid, stride_kv), _slid(v, w_v, *grid, stride_kv), scale)
    if unpooled:
        pooled = _slid(q, _middle(w_q), *grid, stride_q)
    if residual == "none":
        return y
    return y + pooled * (np.arange(y.shape[1])[:, None] >= (residual == "patches"))


def _pooled_in_loops(q: Any, k: Any, v: Any, w_q: Any, w_k: Any, w_v: Any, frames: int, height: int, width: int,
                     stride_q: Any = 1, stride_kv: Any = 1, residual: str = "add") -> Any:  # fmt: skip
    grid = (frames, height, width)
    K, V = (_slid_in_loops(a, w, *grid, stride_kv) for a, w in ((k, w_k), (v, w_v)))
    Q = _slid_in_loops(q, w_q, *grid, stride_q)
    y = np.zeros_like(Q)
    for n, i in product(range(len(Q)), range(Q.shape[1])):
        p = np.exp(K[n] @ Q[n, i] / np.sqrt(Q.shape[2]))
        y[n, i] = p @ V[n] / p.sum()
        if residual == "add" or (residual == "patches" and i > 0):
            y[n, i] += Q[n, i]
    return y


def _pooling_scale(expected: Any, q: Any, k: Any, v: Any, w_q: Any, w_k: Any, w_v: Any, *_: Any, **__: Any) -> float:
    Q, K, V = (
        largest(a) * max(1.0, float(np.abs(w).reshape(len(w), -1).sum(axis=1).max()))
        for a, w in ((q, w_q), (k, w_k), (v, w_v))
    )
    return Q + (1 + q.shape[2] * Q * K) * V


def _changed(**changes: Any) -> Any:
    """The right answer to other arguments; each change is made of all of them, by name."""

    def wrong(right: Any, q: Any, k: Any, v: Any, w_q: Any, w_k: Any, w_v: Any, frames: int, height: int, width: int,
              stride_q: Any = 1, stride_kv: Any = 1, residual: str = "add") -> Any:  # fmt: skip
        given = dict(zip(("q", "k", "v", "w_q", "w_k", "w_v", "frames", "height", "width", "stride_q", "stride_kv", "residual"),
                         (q, k, v, w_q, w_k, w_v, frames, height, width, stride_q, stride_kv, residual), strict=True))  # fmt: skip
        return right(**{**given, **{name: change(given) for name, change in changes.items()}})

    return wrong


pooling_attention = Spec(
    cases={"no steps": _pooling_inputs(st.just(1), st.just(1)),
           "fewer keys": _pooling_inputs(st.just(1), st.sampled_from([2, (1, 2, 2), (1, 1, 2)])),
           "fewer queries": _pooling_inputs(st.sampled_from([2, (1, 2, 2), (1, 1, 2)]), st.sampled_from([1, (1, 1, 2)]))},
    laws=[
        Law("with windows that change nothing it is plain attention", without_pooling_plain_attention),
        Law("what is added is the pooled queries", residual_is_the_pooled_queries),
        Law("where values are 0, 'patches' leaves the pooled queries, and 0 for the class token", patches_alone_get_it),
    ],
    mistakes=[
        Mistake("pooled queries not added", _changed(residual=lambda given: "none"),
                ["What is left where the values are 0?", "The pooled queries: add them to the answers."]),
        Mistake("pooled queries always added", _changed(residual=lambda given: "add"),
                ["Which argument did you not use?", "'patches' spares the class token, 'none' adds nothing."]),
        Mistake("queries added as they were before pooling", lambda right, *a, **k: _pooled_attention(*a, **k, unpooled=True),
                ["Which queries are added?", "The pooled ones, q̂: they have the answers' grid."]),
        Mistake("keys' windows for the values", _changed(w_v=lambda given: given["w_k"]),
                ["How many windows are there?", "Three: w_q, w_k and w_v."]),
        Mistake("values' and keys' stride ignored", _changed(stride_kv=lambda given: 1),
                ["What makes it cheap?", "Keys and values are pooled in steps of stride_kv."]),
        Mistake("queries' stride ignored", _changed(stride_q=lambda given: 1),
                ["How many answers come back?", "As many as pooled queries."]),
        Mistake("one stride for all", _changed(stride_q=lambda given: given["stride_kv"]),
                ["Which of the two strides is the queries'?", "stride_q; stride_kv is for keys and values."]),
        Mistake("not scaled", lambda right, *a, **k: _pooled_attention(*a, **k, scale=1.0),
                ["How large do products of long vectors become?", "Divide by √D."]),
        Mistake("windows flipped", _changed(w_q=lambda given: given["w_q"][:, ::-1, ::-1, ::-1].copy(),
                                            w_k=lambda given: given["w_k"][:, ::-1, ::-1, ::-1].copy(),
                                            w_v=lambda given: given["w_v"][:, ::-1, ::-1, ::-1].copy()),
                ["What do frameworks call convolution?", "Cross-correlation: the window is not flipped."]),
    ],
    accepted=[_pooled_attention, _pooled_in_loops],
    tolerance=Tolerance(ulps=64, why="a sum over a window, a sum of products, an exponential, a quotient and another sum",
                        scale=_pooling_scale, loose=1e-5),
    cost=Cost(flops=lambda s: 4 * s.N * s.D * s.L * s.L / (np.prod(_three(s.stride_q)) * np.prod(_three(s.stride_kv))),
              bytes=lambda s: s.N * s.D * s.L * (3 + 1 / np.prod(_three(s.stride_q))) * s.itemsize),
    large=_on_features(lambda size, rng: {**{n: rng.normal(size=(1, 1 + 2 * size[0] * size[1], 64)) for n in "qkv"},
                             **{n: rng.normal(size=(64, 3, 3, 3)) / 5 for n in ("w_q", "w_k", "w_v")},
                             "frames": 2, "height": size[0], "width": size[1], "stride_kv": (1, 2, 2)}),
)  # fmt: skip

# ------------------------------------------------------------------ sliding_window_attention


def _films(windows: Any) -> Any:
    def shapes(n: int, length: int, d: int, window: int) -> Any:
        return _tokens(n, length, d), {"window": window}

    return cut_to(_tokens(2, 6, 2), st.builds(shapes, few, st.integers(2, 6), few, windows))


def far_away_does_not_matter(f: Any, q: Any, k: Any, v: Any, window: int) -> Any:
    far = np.arange(q.shape[1]) > 1 + window // 2
    changed = [np.where(far[:, None], 3 - a, a) for a in (q, k, v)]
    return f(*changed, window)[:, 1], f(q, k, v, window)[:, 1]


def wide_enough_is_all(f: Any, q: Any, k: Any, v: Any, window: int) -> Any:
    return f(q, k, v, 2 * q.shape[1] + 1), _attend(q, k, v)


def class_token_hears_all(f: Any, q: Any, k: Any, v: Any, window: int) -> Any:
    return f(q, 0 * k, v, window)[:, 0], v.mean(axis=1)


def backwards_is_the_same(f: Any, q: Any, k: Any, v: Any, window: int) -> Any:
    turned = np.r_[0, np.arange(q.shape[1] - 1, 0, -1)]
    return f(q[:, turned], k[:, turned], v[:, turned], window), f(q, k, v, window)[:, turned]


def _slide(q: Any, k: Any, v: Any, window: int, *, before: Any = None, after: Any = None, to_class: bool = True,
           of_class: str = "all", edge: str = "", scale: Any = None) -> Any:  # fmt: skip
    """The definition token by token, with a place for each slip."""
    L, side = q.shape[1], window // 2
    y = np.zeros_like(v)
    for i in range(L):
        keys = [j for j in range(i - (side if before is None else before), i + (side if after is None else after) + 1)]
        lost = sum(j < 1 or j >= L for j in keys)
        keys = [(j - 1) % (L - 1) + 1 for j in keys] if edge == "around" else [j for j in keys if 1 <= j < L]
        keys = ([0] if to_class else []) + keys
        if i == 0:
            keys = list(range(L)) if of_class == "all" else list(range(min(side, L - 1) + 1))
        K, V = k[:, keys], v[:, keys]
        if edge == "zeros" and i:
            K, V = (np.concatenate([a, np.zeros((len(a), lost, a.shape[2]))], axis=1) for a in (K, V))
        y[:, i] = _attend(q[:, i : i + 1], K, V, scale)[:, 0]
    return y


def _banded(q: Any, k: Any, v: Any, window: int) -> Any:
    L = q.shape[1]
    band = np.tri(L, L, window // 2) * np.tri(L, L, window // 2).T
    band[0] = band[:, 0] = 1
    e = band * np.exp(q @ k.swapaxes(1, 2) / np.sqrt(q.shape[2]))
    return e @ v / e.sum(axis=2, keepdims=True)


sliding_window_attention = Spec(
    cases={"a window of one": _films(st.just(1)), "a window of three": _films(st.just(3)),
           "a wide window": _films(st.sampled_from([5, 7, 13]))},
    laws=[
        Law("what lies outside of a frame's window does not matter", far_away_does_not_matter),
        Law("a window over the whole film is plain attention", wide_enough_is_all),
        Law("with keys of 0 the class token gets the mean of all values", class_token_hears_all),
        Law("a film backwards is answered alike, backwards", backwards_is_the_same),
    ],
    mistakes=[
        Mistake("a whole window on each side", lambda right, q, k, v, window: right(q, k, v, 2 * window + 1),
                ["How many frames does a window of 3 hold?", "3: window // 2 on each side, and the frame itself."]),
        Mistake("only what was before", lambda right, q, k, v, window: _slide(q, k, v, window, after=0),
                ["May a frame look ahead?", "Yes: half of the window lies after it."]),
        Mistake("class token looked at by none", lambda right, q, k, v, window: _slide(q, k, v, window, to_class=False),
                ["How does news get through a long film?", "Everyone looks at the class token."]),
        Mistake("class token has a window too", lambda right, q, k, v, window: _slide(q, k, v, window, of_class="window"),
                ["What does the class token look at?", "At everything."]),
        Mistake("around the ends", lambda right, q, k, v, window: _slide(q, k, v, window, edge="around"),
                ["Who is the first frame's left neighbor?", "Nobody: a window ends where the film ends."]),
        Mistake("zeros around are looked at", lambda right, q, k, v, window: _slide(q, k, v, window, edge="zeros"),
                ["What weight has a score of 0?", "e⁰ is 1: give what is outside −∞, or leave it out."]),
        Mistake("everyone looks at everyone", lambda right, q, k, v, window: _attend(q, k, v),
                ["Which argument did you not use?", "A frame looks at window // 2 frames on each side."]),
        Mistake("not scaled", lambda right, q, k, v, window: _slide(q, k, v, window, scale=1.0),
                ["How large do products of long vectors become?", "Divide by √D."]),
    ],
    accepted=[_slide, _banded],
    tolerance=Tolerance(ulps=32, why="a sum of products, an exponential, a quotient and another sum", scale=_products),
    cost=Cost(flops=lambda s: 4 * s.N * s.L * s.D * (min(s.window, s.L) + 2), bytes=lambda s: 4 * s.N * s.L * s.D * s.itemsize),
    large=_on_features(lambda size, rng: {**{n: rng.normal(size=(1, 1 + 8 * size[0] * size[1], 64)) for n in "qkv"}, "window": 33}),
)  # fmt: skip
