"""Specs of pooling, forward and backward."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
import numpy as np

from vidlearn.layers.reference import pooling as reference
from vidlearn.layers.reference.convolving import per_axis
from vidlearn.layers.reference.pooling import pool_window
from vidlearn.layers.spec.convolving import CUT_OFF, CUT_OFF_HINTS, reached
from vidlearn.layers.spec.drawing import array_of, cut_to, each_axis
from vidlearn.spec import Cost, Law, Mistake, Spec, Tolerance, largest

SIDE, OVERLAP, PADDED, TIES = "side by side", "overlapping", "padded", "equal values"
few = st.integers(1, 2)

# ------------------------------------------------------------------ inputs


def pools(axes: int, backward: bool, ties: bool = False, below: float = 0) -> dict[str, st.SearchStrategy[Any]]:
    """Small inputs under windows that touch, overlap or stand over the edge; `below` makes the padded ones darker."""
    longest = 2 if axes == 3 else 3

    def family(strides: st.SearchStrategy[Any], padded: bool) -> st.SearchStrategy[Any]:
        def sized(n: int, channels: int, kernel: Any, out: Any, more: Any, stride: Any, padding: Any) -> Any:
            padding = tuple(min(p, k // 2) for p, k in zip(padding, kernel, strict=True))
            geometry = zip(kernel, out, more, kernel if stride is None else stride, padding, strict=True)
            size = tuple(max(k, s * (o - 1) + k + m - 2 * p) for k, o, m, s, p in geometry)
            chosen = {
                "kernel": kernel,
                **({} if stride is None else {"stride": stride}),
                **({"padding": padding} if padded else {}),
            }
            shapes = {"x": (n, channels, *size)}
            if backward:
                places = pool_window(np.empty(shapes["x"]), **{"stride": None, "padding": 0, **chosen}).out
                shapes = {"dy": (n, channels, *places), **shapes}
            return shapes, chosen

        per = st.tuples(*[few] * axes)
        kernels = each_axis(axes, *range(1, longest + 1))
        more = st.tuples(*[st.integers(0, 1)] * axes)
        padding = st.just((1,) * axes) if padded else st.just((0,) * axes)
        sizes = st.builds(sized, few, few, kernels, per, more, strides, padding)
        most = {"x": (2, 2, *[7] * axes)} | ({"dy": (2, 2, *[5] * axes)} if backward else {})
        return cut_to(most, sizes)

    def darker(arguments: Any) -> Any:
        return {**arguments, "x": arguments["x"] - below}

    def coarse(arguments: Any) -> Any:
        return {**arguments, "x": np.sign(arguments["x"])}

    by_kernel, given = st.none(), st.tuples(*[few] * axes)
    families = {
        SIDE: family(by_kernel, False),
        OVERLAP: family(given, False),
        PADDED: family(by_kernel | given, True).map(darker),
    }
    return families | ({TIES: family(by_kernel, False).map(coarse)} if ties else {})


def _x_only(expected: Any, x: Any, **_: Any) -> float:
    return largest(x)


def _dy_times(expected: Any, dy: Any, x: Any, kernel: Any, **_: Any) -> float:
    return largest(dy) * math.prod(per_axis("kernel", kernel, x.ndim - 2))


# ------------------------------------------------------------------ laws


def one_by_one(f: Any, x: Any, **_: Any) -> Any:
    return f(x, 1), x


def offset_is_kept(f: Any, x: Any, **pool: Any) -> Any:
    return f(x + 1, **pool), f(x, **pool) + 1


def grows_with_contrast(f: Any, x: Any, **pool: Any) -> Any:
    return f(2 * x, **pool), 2 * f(x, **pool)


def not_below_the_mean(f: Any, x: Any, **pool: Any) -> Any:
    window = pool_window(x, **{"stride": None, "padding": 0, **pool})
    mean = sum(window.pad(x)[(..., *where)] for _, where in window.taps()) / math.prod(window.kernel)
    y = f(x, **pool)
    return np.maximum(y, mean), y


def whole_input_in_one(f: Any, x: Any, **_: Any) -> Any:
    return f(x, x.shape[2:]).reshape(x.shape[:2]), x.reshape(*x.shape[:2], -1).max(axis=-1)


def whole_input_mean(f: Any, x: Any, **_: Any) -> Any:
    return f(x, x.shape[2:]).reshape(x.shape[:2]), x.reshape(*x.shape[:2], -1).mean(axis=-1)


def adds_up(f: Any, x: Any, **pool: Any) -> Any:
    other = np.flip(x, -1)
    return f(x + other, **pool), f(x, **pool) + f(other, **pool)


def nothing_is_lost(f: Any, dy: Any, x: Any, **pool: Any) -> Any:
    return f(dy, x, **pool).sum(axis=(0, 2, 3, 4)) / dy.size, dy.sum(axis=(0, 2, 3, 4)) / dy.size


def linear_in_dy(f: Any, dy: Any, x: Any, **pool: Any) -> Any:
    return f(2 * dy, x, **pool), 2 * f(dy, x, **pool)


def winners_earn_it(f: Any, dy: Any, x: Any, **pool: Any) -> Any:
    dx, y = f(dy, x, **pool), reference.max_pool3d(x, **pool)
    return np.sum(dx * x) / x.size, np.sum(dy * y) / x.size


def same_work(f: Any, dy: Any, x: Any, **pool: Any) -> Any:
    dx, y = f(dy, x, **pool), reference.avg_pool3d(x, **pool)
    return np.sum(dx * x) / x.size, np.sum(dy * y) / x.size


def blind_to_x(f: Any, dy: Any, x: Any, **pool: Any) -> Any:
    return f(dy, 1 - x, **pool), f(dy, x, **pool)


# ------------------------------------------------------------------ styles and mistakes


def _by_windows(reduce: Any, fill: float) -> Any:
    """Views of all windows at once, reduced."""

    def style(x: Any, kernel: Any, stride: Any = None, padding: Any = 0) -> Any:
        window = pool_window(x, kernel, stride, padding)
        axes = tuple(range(2, x.ndim))
        views = np.lib.stride_tricks.sliding_window_view(window.pad(x, fill), window.kernel, axes)
        return reduce(views[(..., *(slice(None, None, s) for s in window.stride), *[slice(None)] * len(axes))],
                      axis=tuple(range(-len(axes), 0)))  # fmt: skip

    return style


def _in_single(function: Any) -> Any:
    def style(*args: Any, **kwargs: Any) -> Any:
        return function(*(a.astype(np.float32) if isinstance(a, np.ndarray) else a for a in args), **kwargs)

    return style


def _back_place_by_place(largest_only: bool) -> Any:
    """Each value of dy goes back to the window that it came from."""

    def style(dy: Any, x: Any, kernel: Any, stride: Any = None, padding: Any = 0) -> Any:
        window = pool_window(x, kernel, stride, padding)
        padded = window.pad(x, -np.inf)
        dpadded = np.zeros_like(padded)
        for place in np.ndindex(*dy.shape):
            where = (
                *place[:2],
                *(slice(q * s, q * s + k) for q, s, k in zip(place[2:], window.stride, window.kernel, strict=True)),
            )
            seen = padded[where]
            if largest_only:
                winner = np.unravel_index(np.argmax(seen), seen.shape)
                dpadded[where][winner] += dy[place]
            else:
                dpadded[where] += dy[place] / seen.size
        return window.unpad(dpadded)

    return style


def _rounds_up(fill: float) -> Any:
    def mistaken(right, x, kernel, stride=None, padding=0):  # type: ignore[no-untyped-def]
        window = pool_window(x, kernel, stride, padding)
        geometry = zip(x.shape[2:], window.kernel, window.stride, window.padding, strict=True)
        missing = [(0, (k - n - 2 * p) % s) for n, k, s, p in geometry]
        padded = np.pad(window.pad(x, fill), [(0, 0), (0, 0), *missing], constant_values=fill)
        return right(padded, kernel, stride, 0)

    return mistaken


def _zeros_around(right, x, kernel, stride=None, padding=0):  # type: ignore[no-untyped-def]
    return right(pool_window(x, kernel, stride, padding).pad(x), kernel, stride, 0)


def _mean(x: Any, kernel: Any, stride: Any = None, padding: Any = 0) -> Any:
    return _by_windows(np.mean, 0.0)(x, kernel, stride, padding)


def _volume(x: Any, kernel: Any) -> int:
    return math.prod(per_axis("kernel", kernel, x.ndim - 2))


def _counted(x: Any, kernel: Any, stride: Any, padding: Any) -> Any:
    """How much of each window stands on the input."""
    return _mean(np.ones_like(x), kernel, stride, padding)


STEP_OF_ONE = Mistake(
    "a step of one where no stride is given",
    lambda right, x, kernel, stride=None, padding=0: right(x, kernel, 1 if stride is None else stride, padding),
    ["Do pools overlap, unless they are told to?", "Without a stride the step is the kernel."],
)
REVERSED = Mistake(
    "kernel in the reverse order of the axes",
    lambda right, x, kernel, stride=None, padding=0: right(
        np.swapaxes(x, 2, -1), kernel, stride, padding
    ).swapaxes(2, -1),
    ["Which axis is the first number of the kernel for?", "The order is that of the axes: (t,) h, w."],
)  # fmt: skip
ROUNDS_UP = "windows that stand over the end are kept"
ROUNDS_UP_HINTS = ["Five columns, pools of two: how many?", "Two: what is left at the end is dropped."]


def _max_spec(axes: int) -> Spec:
    right = reference.max_pool2d if axes == 2 else reference.max_pool3d
    return Spec(
        cases=pools(axes, backward=False, below=2.0),
        laws=[
            Law("a region of one place changes nothing", one_by_one),
            Law("a brighter input has an answer brighter by as much", offset_is_kept),
            Law("it is nowhere below the mean", not_below_the_mean, (SIDE, OVERLAP)),
            Law("one region over the whole input gives its largest value", whole_input_in_one),
        ],
        mistakes=[
            Mistake("padded with zeros", _zeros_around,
                    ["What is the largest of −1, −2 and what is put around?", "Padding must never win: put −∞ around."]),
            Mistake("the mean", lambda right, x, kernel, stride=None, padding=0: _mean(x, kernel, stride, padding),
                    ["Which pool is this?", "Take the largest value of each region."]),
            Mistake("the largest magnitude", lambda right, x, kernel, stride=None, padding=0:
                    np.maximum(right(x, kernel, stride, padding), right(-x, kernel, stride, padding)),
                    ["Is −3 larger than 2?", "Leave out abs."]),
            Mistake("the smallest value", lambda right, x, kernel, stride=None, padding=0: -right(-x, kernel, stride, padding),
                    ["Which of the values is kept?", "The largest."]),
            STEP_OF_ONE,
            REVERSED,
            Mistake(ROUNDS_UP, _rounds_up(-np.inf), ROUNDS_UP_HINTS),
        ],
        accepted=[_by_windows(np.max, -np.inf), _in_single(right)],
        tolerance=Tolerance(ulps=1, why="values are chosen, not computed", scale=_x_only),
        cost=Cost(flops=lambda s: s.N * s.C * s.H * s.W * (s.T if axes == 3 else 1),
                  bytes=lambda s: s.N * s.C * s.H * s.W * (s.T if axes == 3 else 1) * s.itemsize),
        large=_large(axes, backward=False),
    )  # fmt: skip


def _large(axes: int, backward: bool) -> Any:
    def large(size: tuple[int, int], rng: np.random.Generator) -> dict[str, Any]:
        clip = (1, 3, 4, *size) if axes == 3 else (1, 3, *size)
        x = {"x": rng.normal(size=clip), "kernel": 2}
        places = [n // 2 for n in clip[2:]]
        return {"dy": rng.normal(size=(*clip[:2], *places)), **x} if backward else x

    return large


def _clip_bytes(s: Any) -> float:
    return s.N * s.C * s.T * s.H * s.W * s.itemsize


max_pool2d = _max_spec(2)
max_pool3d = _max_spec(3)

avg_pool3d = Spec(
    cases=pools(3, backward=False),
    laws=[
        Law("a region of one place changes nothing", one_by_one),
        Law("without padding, a brighter input has an answer brighter by as much", offset_is_kept, (SIDE, OVERLAP)),
        Law("the mean of a sum is the sum of the means", adds_up),
        Law("one region over the whole input gives its mean", whole_input_mean),
    ],
    mistakes=[
        Mistake("padding not counted", lambda right, x, kernel, stride=None, padding=0:
                right(x, kernel, stride, padding) / _counted(x, kernel, stride, padding),
                ["By what is a region at the border divided?", "By the whole kernel: what is put around counts, as zeros."]),
        Mistake("the sum", lambda right, x, kernel, stride=None, padding=0:
                right(x, kernel, stride, padding) * _volume(x, kernel),
                ["How bright is the mean of equal values?", "Divide by K_t K_h K_w."]),
        Mistake("not divided by the frames", lambda right, x, kernel, stride=None, padding=0:
                right(x, kernel, stride, padding) * per_axis("kernel", kernel, 3)[0],
                ["How many values has a region of 2 × 3 × 3?", "18: time counts, too."]),
        Mistake("the largest value", lambda right, x, kernel, stride=None, padding=0:
                reference.max_pool3d(x, kernel, stride, padding),
                ["Which pool is this?", "The mean of each region."]),
        STEP_OF_ONE,
        REVERSED,
        Mistake(ROUNDS_UP, _rounds_up(0.0), ROUNDS_UP_HINTS),
    ],
    accepted=[_by_windows(np.mean, 0.0), _in_single(reference.avg_pool3d)],
    tolerance=Tolerance(ulps=32, why="a sum over the region and a division", scale=_x_only),
    cost=Cost(flops=lambda s: s.N * s.C * s.T * s.H * s.W, bytes=_clip_bytes),
    large=_large(3, backward=False),
)  # fmt: skip

# ------------------------------------------------------------------ backward


def _wins(x: Any, window: Any) -> list[tuple[Any, Any]]:
    """Each place of the window: its slice, and where it is a winner."""
    padded = window.pad(x, -np.inf)
    views = [(where, padded[(..., *where)]) for _, where in window.taps()]
    best = np.max([view for _, view in views], axis=0)
    return [(where, view == best) for where, view in views]


def _sent_back(dy: Any, x: Any, window: Any, wins: Any, add: bool = True) -> Any:
    dpadded = np.zeros_like(window.pad(x))
    for where, won in wins:
        share = np.where(won, dy, 0)
        dpadded[(..., *where)] = dpadded[(..., *where)] + share if add else np.where(won, share, dpadded[(..., *where)])
    return window.unpad(dpadded)


def _backward(make: Any) -> Any:
    def mistaken(right, dy, x, kernel, stride=None, padding=0):  # type: ignore[no-untyped-def]
        return make(right, dy, x, pool_window(x, kernel, stride, padding))

    return mistaken


def _last_winner(right, dy, x, window):  # type: ignore[no-untyped-def]
    axes = (2, 3, 4)
    extra = [
        (n + 2 * p - k) % s
        for n, p, k, s in zip(window.sizes, window.padding, window.kernel, window.stride, strict=True)
    ]
    inner = tuple(slice(0, n + 2 * p - e) for n, p, e in zip(window.sizes, window.padding, extra, strict=True))
    padded = window.pad(x, -np.inf)
    dpadded = np.zeros_like(padded)
    low = np.nextafter(-np.inf, 0)  # below every value, but finite: what was put around must not be padded again
    turned = np.flip(np.maximum(padded, low)[(..., *inner)], axes)
    dpadded[(..., *inner)] = np.flip(right(np.flip(dy, axes), turned, window.kernel, window.stride), axes)
    return window.unpad(dpadded)


def _overwritten(right, dy, x, window):  # type: ignore[no-untyped-def]
    first: Any = None
    wins = []
    for where, won in _wins(x, window):
        wins.append((where, won if first is None else won & ~first))
        first = won if first is None else first | won
    return _sent_back(dy, x, window, wins, add=False)


CUT = Mistake(
    CUT_OFF,
    _backward(lambda right, dy, x, window: reached(
        right(dy, x, window.kernel, window.stride, window.padding), window)),
    CUT_OFF_HINTS,
)  # fmt: skip

max_pool3d_backward = Spec(
    cases=pools(3, backward=True, ties=True, below=2.0),
    laws=[
        Law("what comes back is in all what came: Σ dx = Σ dy", nothing_is_lost),
        Law("twice the gradient that comes gives twice the gradient that goes", linear_in_dy),
        Law("only winners are paid: ⟨dx, x⟩ = ⟨dy, y⟩", winners_earn_it),
    ],
    mistakes=[
        Mistake("every equal winner gets it all", _backward(lambda right, dy, x, window: _sent_back(dy, x, window, _wins(x, window))),
                ["Two voxels are equally large. How much gradient is there to give?", "The first winner alone gets it."]),
        Mistake("the last of equal winners", _backward(_last_winner),
                ["Two voxels are equally large. Which one wins?", "The first along T, then H, then W, as argmax says."]),
        Mistake("shared alike in the region", _backward(lambda right, dy, x, window:
                reference.avg_pool3d_backward(dy, x, window.kernel, window.stride, window.padding)),
                ["Would the answer change if a smaller voxel did?", "Only the winner gets it; the others get 0."]),
        Mistake("a voxel that wins twice is paid once", _backward(_overwritten),
                ["In how many regions can a voxel win?", "Add what it gets from each: += and not =."]),
        Mistake("winners get 1 and not dy", lambda right, dy, x, kernel, stride=None, padding=0:
                right(np.ones_like(dy), x, kernel, stride, padding),
                ["What is the chain rule?", "Multiply by the gradient that comes from above."]),
        CUT,
    ],
    accepted=[_back_place_by_place(True), _in_single(reference.max_pool3d_backward)],
    tolerance=Tolerance(ulps=16, why="a sum over the regions that a voxel wins", scale=_dy_times),
    cost=Cost(flops=lambda s: s.N * s.C * s.T * s.H * s.W, bytes=lambda s: 2 * _clip_bytes(s)),
    large=_large(3, backward=True),
)  # fmt: skip

avg_pool3d_backward = Spec(
    cases=pools(3, backward=True),
    laws=[
        Law("without padding, what comes back is in all what came: Σ dx = Σ dy", nothing_is_lost, (SIDE, OVERLAP)),
        Law("twice the gradient that comes gives twice the gradient that goes", linear_in_dy),
        Law("⟨dx, x⟩ = ⟨dy, y⟩", same_work),
        Law("it does not depend on x", blind_to_x),
    ],
    mistakes=[
        Mistake("not divided", _backward(lambda right, dy, x, window:
                right(dy, x, window.kernel, window.stride, window.padding) * math.prod(window.kernel)),
                ["How much does the mean change if one of 8 values grows by 1?", "By 1/8: divide by the kernel's volume."]),
        Mistake("padding not counted", _backward(lambda right, dy, x, window:
                right(dy / _counted(x, window.kernel, window.stride, window.padding), x, window.kernel, window.stride, window.padding)),
                ["By what was a region at the border divided?", "By the whole kernel, as in the forward pass."]),
        Mistake("overlapping regions overwrite", _backward(lambda right, dy, x, window:
                _sent_back(dy / math.prod(window.kernel), x, window,
                           [(where, np.ones(dy.shape, bool)) for _, where in window.taps()], add=False)),
                ["In how many regions is a voxel?", "Add what it gets from each: += and not =."]),
        Mistake("all to the largest value", _backward(lambda right, dy, x, window:
                reference.max_pool3d_backward(dy, x, window.kernel, window.stride, window.padding)),
                ["Which values does the mean depend on?", "All alike."]),
        Mistake("not divided by the frames", _backward(lambda right, dy, x, window:
                right(dy, x, window.kernel, window.stride, window.padding) * window.kernel[0]),
                ["How many values has a region of 2 × 3 × 3?", "18: time counts, too."]),
        CUT,
    ],
    accepted=[_back_place_by_place(False), _in_single(reference.avg_pool3d_backward)],
    tolerance=Tolerance(ulps=32, why="a division, and a sum over the regions that hold a voxel", scale=_dy_times),
    cost=Cost(flops=lambda s: s.N * s.C * s.T * s.H * s.W, bytes=_clip_bytes),
    large=_large(3, backward=True),
)  # fmt: skip

# ------------------------------------------------------------------ global_avg_pool


def features(axes: int) -> st.SearchStrategy[Any]:
    shape = st.tuples(*[few] * 2, *[st.integers(1, 3)] * axes)
    return st.builds(lambda shape, x: {"x": x[tuple(map(slice, shape))].copy()}, shape, array_of(2, 2, *[3] * axes))


def order_is_lost(f: Any, x: Any) -> Any:
    return f(np.flip(x, tuple(range(2, x.ndim)))), f(x)


def played_twice(f: Any, x: Any) -> Any:
    return f(np.concatenate([x, x], 2)), f(x)


def offset(f: Any, x: Any) -> Any:
    return f(x + 1), f(x) + 1


global_avg_pool = Spec(
    cases={"a clip": features(3), "an image": features(2), "a signal": features(1)},
    laws=[
        Law("playing it backwards and mirrored changes nothing", order_is_lost),
        Law("playing it twice changes nothing", played_twice),
        Law("a brighter input has an answer brighter by as much", offset),
    ],
    mistakes=[
        Mistake("the sum", lambda right, x: x.reshape(*x.shape[:2], -1).sum(axis=-1),
                ["Should a longer clip have a larger answer?", "Divide by the number of places."]),
        Mistake("the largest value", lambda right, x: x.reshape(*x.shape[:2], -1).max(axis=-1),
                ["Which pool is this?", "The mean over all places."]),
        Mistake("the first moment only", lambda right, x: right(x[:, :, :1]),
                ["Over which axes is the mean?", "All but the first two: time as well."]),
        Mistake("the mean over the channels as well", lambda right, x: right(x) * 0 + right(x).mean(axis=1)[:, None],
                ["What remains of the channels?", "Each keeps its own number: (N, C)."]),
        Mistake("the mean over the batch as well", lambda right, x: right(x) * 0 + right(x).mean(axis=0),
                ["May one clip's answer hang on another's?", "Leave the first axis alone."]),
    ],
    accepted=[lambda x: x.mean(axis=tuple(range(2, x.ndim))),
              lambda x: np.einsum("ncp->nc", x.reshape(*x.shape[:2], -1)) / math.prod(x.shape[2:]),
              _in_single(reference.global_avg_pool)],
    tolerance=Tolerance(ulps=32, why="one sum over all places and a division", scale=lambda expected, x: largest(x)),
    cost=Cost(flops=lambda s: s.N * s.C * s.pixels, bytes=lambda s: s.N * s.C * s.pixels * s.itemsize),
    large=lambda size, rng: {"x": rng.normal(size=(1, 3, 4, *size))},
)  # fmt: skip
