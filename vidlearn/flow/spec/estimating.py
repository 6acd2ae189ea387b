"""Specs of the flow equation and of Lucas–Kanade: one equation a pixel, 25 a pixel, one motion for the whole image."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np

from vidlearn.flow import reference
from vidlearn.flow.spec.drawing import ZERO_OR_ONE, cut, drawn, fields, quarters, rng_fields, sizes
from vidlearn.layers.spec.drawing import unsaid
from vidlearn.spec import Cost, Law, Mistake, Spec, Tolerance, largest

windows = st.sampled_from([1, 3, 5, 7])


def color_fields(names: str, **more: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Arrays of one common (H, W, 3)."""
    return cut(sizes(3), (3, 3), dict.fromkeys(names.split(), (3,)), **more)


def line_fields(names: str, **more: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Arrays of a single row or column."""
    shapes = st.one_of(st.tuples(st.just(1), st.integers(1, 5)), st.tuples(st.integers(2, 5), st.just(1)))
    return cut(shapes, (5, 5), dict.fromkeys(names.split(), ()), **more)


def with_flow(names: str, channels: tuple[int, ...] = (), most: int = 4) -> st.SearchStrategy[dict[str, Any]]:
    """Images and a flow on the same grid."""
    return cut(sizes(most), (most, most), {**dict.fromkeys(names.split(), channels), "flow": (2,)})


def large_with_flow(names: str) -> Any:
    """Random images and a flow of a realistic size."""

    def large(size: tuple[int, int], rng: np.random.Generator) -> dict[str, Any]:
        images = {name: rng.random(size=size) for name in names.split()}
        return {**images, "flow": rng.normal(size=(*size, 2))}

    return large


# ------------------------------------------------------------------ spatiotemporal_gradients


def ramps_are_exact(f: Any, I0: Any, I1: Any, slope: tuple[float, float, float]) -> Any:
    a, b, c = slope
    y, x = np.mgrid[: I0.shape[0], : I0.shape[1]].astype(float)
    ramp = a * x + b * y
    Ix, Iy, It = f(ramp, ramp + c)
    got = np.stack([Ix, Iy, It])
    want = [a if I0.shape[1] > 1 else 0, b if I0.shape[0] > 1 else 0, c]
    return got, np.broadcast_to(np.reshape(want, (3, 1, 1)), got.shape)


def swapping_turns_time(f: Any, I0: Any, I1: Any) -> Any:
    Ix, Iy, It = f(I0, I1)
    Jx, Jy, Jt = f(I1, I0)
    return np.stack([Jx, Jy, Jt]), np.stack([Ix, Iy, -It])


def offset_invariant(f: Any, I0: Any, I1: Any) -> Any:
    return np.stack(f(I0 + 1, I1 + 1)), np.stack(f(I0, I1))


def transposing_swaps_x_and_y(f: Any, I0: Any, I1: Any) -> Any:
    Ix, Iy, It = f(I0, I1)
    Jx, Jy, Jt = f(np.swapaxes(I0, 0, 1), np.swapaxes(I1, 0, 1))
    return np.stack([Jx, Jy, Jt]), np.stack([np.swapaxes(Iy, 0, 1), np.swapaxes(Ix, 0, 1), np.swapaxes(It, 0, 1)])


def _slopes(image: np.ndarray, wrap: bool = False, step: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    mode = "wrap" if wrap else "edge"
    padded = np.pad(image, [(1, 1), (1, 1)] + [(0, 0)] * (image.ndim - 2), mode=mode)
    return (padded[1:-1, 2:] - padded[1:-1, :-2]) / step, (padded[2:, 1:-1] - padded[:-2, 1:-1]) / step


def gradients_by_hand(I0: Any, I1: Any) -> Any:
    mean = 0.5 * (I0 + I1)
    Ix, Iy = np.zeros_like(mean), np.zeros_like(mean)
    height, width = mean.shape[:2]
    for x in range(width):
        left, right = max(x - 1, 0), min(x + 1, width - 1)
        if right > left:
            Ix[:, x] = (mean[:, right] - mean[:, left]) / (right - left)
    for y in range(height):
        above, below = max(y - 1, 0), min(y + 1, height - 1)
        if below > above:
            Iy[y] = (mean[below] - mean[above]) / (below - above)
    return Ix, Iy, I1 - I0


def gradients_of_each_frame(I0: Any, I1: Any) -> Any:
    a, b = reference.spatiotemporal_gradients(I0, I0), reference.spatiotemporal_gradients(I1, I1)
    return [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2, -(I0 - I1)]


spatiotemporal_gradients = Spec(
    cases={
        "grey": fields("I0 I1", least=2),
        "color": color_fields("I0 I1"),
        "a single row or column": line_fields("I0 I1"),
    },
    laws=[
        Law("a ramp has its slope everywhere, at the border too", ramps_are_exact, ("grey",),
            {"slope": st.tuples(quarters, quarters, quarters)}),
        Law("swapping the frames turns the sign of I_t and nothing else", swapping_turns_time),
        Law("making both frames brighter by 1 changes nothing", offset_invariant),
        Law("transposing the frames exchanges I_x and I_y", transposing_swaps_x_and_y),
    ],
    mistakes=[
        Mistake("sign of I_t", lambda right, I0, I1: (*right(I0, I1)[:2], I0 - I1),
                ["What should I_t be where the image gets brighter?", "I_t = I1 − I0, later less earlier."]),
        Mistake("I_x and I_y swapped", lambda right, I0, I1: tuple(right(I0, I1)[i] for i in (1, 0, 2)),
                ["Which axis of the array is x?", "x runs along columns, axis 1; np.gradient answers rows first."]),
        Mistake("not divided by the distance 2", lambda right, I0, I1: (*_twice_inside(right(I0, I1)[:2]), I1 - I0),
                ["Check the units: intensity per pixel.", "Neighbors on both sides are two pixels apart."]),
        Mistake("derivatives of the first frame only", lambda right, I0, I1: (*right(I0, I0)[:2], I1 - I0),
                ["At which moment is I_t measured?", "Midway: differentiate the mean of the two frames."]),
        Mistake("derivatives of the second frame only", lambda right, I0, I1: (*right(I1, I1)[:2], I1 - I0),
                ["At which moment is I_t measured?", "Midway: differentiate the mean of the two frames."]),
        Mistake("wraps around at the border", lambda right, I0, I1: (*_slopes((I0 + I1) / 2, wrap=True), I1 - I0),
                ["What is to the left of the first column?", "np.roll brings in the other end; use one-sided differences."]),
        Mistake("border counted as two pixels wide", lambda right, I0, I1: (*_slopes((I0 + I1) / 2), I1 - I0),
                ["How far apart are the two pixels you subtract at the border?", "There it is one pixel: don't halve."]),
    ],
    accepted=[gradients_by_hand, gradients_of_each_frame,
              lambda I0, I1: reference.spatiotemporal_gradients(I0.astype(np.float32), I1.astype(np.float32))],
    tolerance=Tolerance(ulps=8, why="one sum, one difference and one division"),
    cost=Cost(flops=lambda s: 6 * s.pixels * s.channels, bytes=lambda s: 5 * s.pixels * s.channels * s.itemsize),
    outputs=("Ix", "Iy", "It"),
    large=rng_fields("I0 I1"),
)  # fmt: skip


def _twice_inside(slopes: Any) -> Any:
    """Central differences not halved; the one-sided ones at the border are as they should be."""
    out = []
    for axis, slope in ((1, slopes[0]), (0, slopes[1])):
        n = slope.shape[axis]
        factor = np.ones(n)
        factor[1 : n - 1] = 2
        out.append(slope * factor.reshape([-1 if a == axis else 1 for a in range(slope.ndim)]))
    return out


# ------------------------------------------------------------------ brightness_constancy_residual


def nothing_moved(f: Any, I0: Any, I1: Any, flow: Any) -> Any:
    return f(I0, I0, np.zeros_like(flow)), np.zeros_like(I0)


def zero_flow_gives_the_difference(f: Any, I0: Any, I1: Any, flow: Any) -> Any:
    return f(I0, I1, np.zeros_like(flow)), I1 - I0


def light_adds_up(f: Any, I0: Any, I1: Any, flow: Any) -> Any:
    return f(I0, I1 + 1, flow), f(I0, I1, flow) + 1


def whole_pixels(f: Any, I0: Any, I1: Any, flow: Any) -> Any:
    if I0.shape[1] < 2:
        return True
    one_right = np.broadcast_to([1.0, 0.0], flow.shape)
    return f(I0, I1, one_right)[:, :-1], I1[:, 1:] - I0[:, :-1]


FLOW_CASES = {"grey": with_flow("I0 I1"), "color": with_flow("I0 I1", (3,), most=3)}

brightness_constancy_residual = Spec(
    cases=FLOW_CASES,
    laws=[
        Law("between two equal frames and with no flow it is zero", nothing_moved),
        Law("with no flow it is the difference of the frames", zero_flow_gives_the_difference),
        Law("a second frame brighter by 1 has a residual larger by 1", light_adds_up),
        Law("a flow of one pixel to the right compares with the right neighbor", whole_pixels),
    ],
    mistakes=[
        Mistake("frames swapped", lambda right, I0, I1, flow: right(I1, I0, flow),
                ["Which frame is I(x + u, y + v)?", "Warp I1; subtract I0."]),
        Mistake("warps against the flow", lambda right, I0, I1, flow: right(I0, I1, -flow),
                ["Where does the pixel (x, y) of I0 go?", "Look up I1 at x + u, not at x − u."]),
        Mistake("u and v swapped", lambda right, I0, I1, flow: right(I0, I1, flow[..., ::-1]),
                ["The last axis is (u, v): right first, then down.", "u moves along columns."]),
        Mistake("sign of the residual", lambda right, I0, I1, flow: -right(I0, I1, flow),
                ["Later less earlier.", "r = I1(x + u, y + v) − I0."]),
        Mistake("warps the first frame", lambda right, I0, I1, flow: I1 - reference.warp(I0, flow),
                ["The flow lives on the grid of I0.", "So it is I1 that is fetched from x + u."]),
        Mistake("rounds to whole pixels", lambda right, I0, I1, flow: right(I0, I1, np.round(flow)),
                ["What is the brightness between two pixels?", "Interpolate bilinearly."]),
    ],
    accepted=[lambda I0, I1, flow: -I0 + reference.warp(I1, flow),
              lambda I0, I1, flow: reference.warp(I1.astype(np.float32), flow.astype(np.float32)) - I0.astype(np.float32)],
    tolerance=Tolerance(ulps=24, why="bilinear interpolation, nine operations, and one difference"),
    cost=Cost(flops=lambda s: 20 * s.pixels * s.channels, bytes=lambda s: (3 * s.channels + 2) * s.pixels * s.itemsize),
    large=large_with_flow("I0 I1"),
)  # fmt: skip

# ------------------------------------------------------------------ linearized_residual


def zero_on_the_line(f: Any, Ix: Any, Iy: Any, It: Any, flow: Any) -> Any:
    d = flow[..., None, :] if Ix.ndim == 3 else flow
    return f(Ix, Iy, -(Ix * d[..., 0] + Iy * d[..., 1]), flow), np.zeros_like(Ix)


def linear_in_the_flow(f: Any, Ix: Any, Iy: Any, It: Any, flow: Any) -> Any:
    return f(Ix, Iy, It, 2 * flow) - It, 2 * (f(Ix, Iy, It, flow) - It)


def still_leaves_change_in_time(f: Any, Ix: Any, Iy: Any, It: Any, flow: Any) -> Any:
    return f(Ix, Iy, It, np.zeros_like(flow)), It


def _d(flow: Any, like: Any) -> tuple[Any, Any]:
    return (flow[..., :1], flow[..., 1:]) if like.ndim == 3 else (flow[..., 0], flow[..., 1])


linearized_residual = Spec(
    cases={"grey": with_flow("Ix Iy It"), "color": with_flow("Ix Iy It", (3,), most=3)},
    laws=[
        Law("it is zero for every flow on the constraint line", zero_on_the_line),
        Law("doubling the flow doubles what it explains", linear_in_the_flow),
        Law("with no flow all the change in time is left", still_leaves_change_in_time),
    ],
    mistakes=[
        Mistake("sign of I_t", lambda right, Ix, Iy, It, flow: right(Ix, Iy, -It, flow),
                ["All three terms stand on one side.", "I_x u + I_y v + I_t."]),
        Mistake("u and v swapped", lambda right, Ix, Iy, It, flow: right(Ix, Iy, It, flow[..., ::-1]),
                ["The last axis is (u, v): right first, then down.", "u goes with I_x."]),
        Mistake("I_t forgotten", lambda right, Ix, Iy, It, flow: right(Ix, Iy, 0 * It, flow),
                ["What is left when nothing moves?", "Add I_t."]),
        Mistake("takes the absolute value", lambda right, Ix, Iy, It, flow: np.abs(right(Ix, Iy, It, flow)),
                ["A residual has a sign.", "Leave out abs."]),
        Mistake("warps against the flow", lambda right, Ix, Iy, It, flow: right(Ix, Iy, It, -flow),
                ["Taylor: I(x + u) ≈ I(x) + I_x u.", "Plus, not minus."]),
    ],
    accepted=[lambda Ix, Iy, It, flow: It + Iy * _d(flow, Ix)[1] + Ix * _d(flow, Ix)[0],
              lambda Ix, Iy, It, flow: (np.stack([Ix, Iy], -1) * (flow[:, :, None] if Ix.ndim == 3 else flow)).sum(-1) + It],
    tolerance=Tolerance(ulps=8, why="two products and two sums", scale=lambda expected, Ix, Iy, It, flow:
                        largest(It) + largest(flow) * (largest(Ix) + largest(Iy))),
    cost=Cost(flops=lambda s: 4 * s.pixels * s.channels, bytes=lambda s: (4 * s.channels + 2) * s.pixels * s.itemsize),
    large=large_with_flow("Ix Iy It"),
)  # fmt: skip

# ------------------------------------------------------------------ normal_flow


def constraint_holds(f: Any, Ix: Any, Iy: Any, It: Any) -> Any:
    d = f(Ix, Iy, It)
    return Ix * d[..., 0] + Iy * d[..., 1], -It, Ix**2 + Iy**2 > 0


def along_the_gradient(f: Any, Ix: Any, Iy: Any, It: Any) -> Any:
    d = f(Ix, Iy, It)
    return Iy * d[..., 0], Ix * d[..., 1]


def contrast_invariant(f: Any, Ix: Any, Iy: Any, It: Any) -> Any:
    return f(2 * Ix, 2 * Iy, 2 * It), f(Ix, Iy, It)


def same_in_faint_light(f: Any, Ix: Any, Iy: Any, It: Any, window: Any = None) -> bool:
    """Within 2 %, and where twice the contrast makes no difference: a tiny number in a denominator is no mistake."""
    more = () if window is None else (window,)
    faint, full, strong = (f(Ix * light, Iy * light, It * light, *more) for light in (1 / 16, 1, 2))
    if not faint.shape == full.shape == strong.shape:
        return False
    unit = np.abs(full).max(initial=0)
    steady = np.abs(strong - full) <= 5e-5 * unit
    return bool((np.abs(faint - full) <= 0.02 * unit)[steady].all())


def dead_zone(right: Any, Ix: Any, Iy: Any, It: Any, *window: Any) -> Any:
    """No motion where the gradients are weak."""
    energy = Ix**2 + Iy**2
    energy = energy.sum(-1) if Ix.ndim == 3 else energy
    summed = _loop_sum(energy, *window) if window or Ix.ndim == 3 else energy
    return np.where((summed > 0.05)[..., None], right(Ix, Iy, It, *window), 0)


normal_flow = Spec(
    cases={
        "where there is a gradient": fields("Ix Iy It").filter(lambda a: bool((np.hypot(a["Ix"], a["Iy"]) > 0).all())),
        "gradient vanishes": fields("Ix Iy It", elements=ZERO_OR_ONE),
    },
    laws=[
        Law("satisfies the flow constraint wherever the gradient is not zero", constraint_holds),
        Law("points along the gradient", along_the_gradient),
        Law("doubling the contrast of both frames changes nothing", contrast_invariant),
        Law("a sixteenth of the contrast changes nothing", same_in_faint_light),
    ],
    mistakes=[
        Mistake("sign of I_t", lambda right, Ix, Iy, It: right(Ix, Iy, -It),
                ["Write the constraint I_x u + I_y v + I_t = 0, then move I_t to the other side.",
                 "The answer is minus I_t ∇I / |∇I|²."]),
        Mistake("u and v swapped", lambda right, Ix, Iy, It: right(Ix, Iy, It)[..., ::-1],
                ["The last axis is (u, v): right first, then down.", "u goes with I_x, v with I_y."]),
        Mistake("divides by the gradient's length, not its square",
                lambda right, Ix, Iy, It: right(Ix, Iy, It) * np.hypot(Ix, Iy)[..., None],
                ["Check the units: the answer is in pixels per frame.",
                 "∇I / |∇I| is the direction; the speed is −I_t / |∇I|."]),
        Mistake("speed without its sign", lambda right, Ix, Iy, It: right(Ix, Iy, -np.abs(It)),
                ["Can the motion be against the gradient?", "Leave out abs: the sign of I_t says which way."]),
        Mistake("nothing done where the gradient vanishes",
                lambda right, Ix, Iy, It: -It[..., None] * np.stack([Ix, Iy], -1) / (Ix**2 + Iy**2)[..., None],
                ["What is 0 / 0?", "Answer 0 where I_x and I_y are both 0."]),
        Mistake("weak gradients taken for none", dead_zone,
                ["How large are the gradients of a photograph in [0, 1]?", "Answer 0 where both are 0, and nowhere else."]),
    ],
    accepted=[
        lambda Ix, Iy, It: -It[..., None] * np.stack([Ix, Iy], -1) / (Ix**2 + Iy**2 + 1e-9)[..., None],
        lambda Ix, Iy, It: np.einsum("ijk,ij->ijk", np.stack([Ix, Iy], -1), -It / np.maximum(Ix**2 + Iy**2, 1e-12)),
        lambda Ix, Iy, It: reference.normal_flow(*(a.astype(np.float32) for a in (Ix, Iy, It))),
    ],
    tolerance=Tolerance(ulps=16, why="three products, one sum and one division per component"),
    cost=Cost(flops=lambda s: 8 * s.pixels, bytes=lambda s: 5 * s.pixels * s.itemsize),
    components=("u", "v"),
    large=rng_fields("Ix Iy It"),
)  # fmt: skip

# ------------------------------------------------------------------ structure_tensor


def symmetric(f: Any, Ix: Any, Iy: Any, window: int = 5) -> Any:
    J = f(Ix, Iy, window)
    return J, np.swapaxes(J, -1, -2)


def blind_to_contrast_reversal(f: Any, Ix: Any, Iy: Any, window: int = 5) -> Any:
    return f(-Ix, -Iy, window), f(Ix, Iy, window)


def trace_is_the_energy(f: Any, Ix: Any, Iy: Any, window: int = 5) -> Any:
    J = f(Ix, Iy, window)
    energy = (Ix**2 + Iy**2).sum(-1) if Ix.ndim == 3 else Ix**2 + Iy**2
    return J[..., 0, 0] + J[..., 1, 1], _loop_sum(energy, window)


def contrast_squared(f: Any, Ix: Any, Iy: Any, window: int = 5) -> Any:
    return f(2 * Ix, 2 * Iy, window), 4 * f(Ix, Iy, window)


def _loop_sum(image: np.ndarray, window: int = 5) -> np.ndarray:
    """The definition, pixel by pixel."""
    r, out = window // 2, np.zeros_like(image)
    for y, x in np.ndindex(*image.shape):
        out[y, x] = image[max(y - r, 0) : y + r + 1, max(x - r, 0) : x + r + 1].sum()
    return out


def _in_loops(Ix: Any, Iy: Any, window: int = 5) -> Any:
    J = np.zeros((*Ix.shape[:2], 2, 2))
    for i, a in enumerate((Ix, Iy)):
        for j, b in enumerate((Ix, Iy)):
            J[..., i, j] = _loop_sum((a * b).sum(-1) if a.ndim == 3 else a * b, window)
    return J


def _by_cumulative_sums(Ix: Any, Iy: Any, window: int = 5) -> Any:
    g = np.stack([Ix, Iy], -1)
    products = np.einsum("...i,...j->...ij", g, g)
    products = products.sum(axis=2) if Ix.ndim == 3 else products
    r = window // 2
    padded = np.pad(products, ((r + 1, r), (r + 1, r), (0, 0), (0, 0))).cumsum(0).cumsum(1)
    return padded[window:, window:] - padded[:-window, window:] - padded[window:, :-window] + padded[:-window, :-window]


def _replicating(Ix: Any, Iy: Any, window: int = 5) -> Any:
    r = window // 2
    wide = [np.pad(a, [(r, r), (r, r)] + [(0, 0)] * (a.ndim - 2), mode="edge") for a in (Ix, Iy)]
    return _in_loops(*wide, window)[r : r + Ix.shape[0], r : r + Ix.shape[1]]


def _swap_diagonal(J: Any) -> Any:
    return J[..., ::-1, ::-1]


def tensor_cases(names: str) -> dict[str, Any]:
    return {
        "grey": unsaid(fields(names, least=2, most=4, window=windows), window=5),
        "color": unsaid(color_fields(names, window=windows), window=5),
        "a single row or column": unsaid(line_fields(names, window=windows), window=5),
    }


def large_color(names: str) -> Any:
    def large(size: tuple[int, int], rng: np.random.Generator) -> dict[str, Any]:
        return {**{n: rng.normal(size=size) for n in names.split()}, "window": 5}

    return large


TENSOR_MISTAKES = [
    Mistake("one pixel instead of the window", lambda right, Ix, Iy, window=5: right(Ix, Iy, 1),
            ["How many equations does a pixel get?", "Sum each product over the K × K neighbors."]),
    Mistake("window one too small", lambda right, Ix, Iy, window=5: right(Ix, Iy, max(window - 2, 1)),
            ["Count the rows that you add up.", "From −K//2 to +K//2, both included: range(-r, r + 1)."]),
    Mistake("mean instead of sum", lambda right, Ix, Iy, window=5: right(Ix, Iy, window) / window**2,
            ["The slide has a Σ.", "Don't divide by the number of pixels."]),
    Mistake("x and y swapped", lambda right, Ix, Iy, window=5: _swap_diagonal(right(Ix, Iy, window)),
            ["What stands at J[0, 0]?", "First row and column belong to x."]),
    Mistake("off-diagonal dropped", lambda right, Ix, Iy, window=5: right(Ix, Iy, window) * np.eye(2),
            ["How does J know a diagonal edge from a corner?", "The corners of the matrix hold Σ I_x I_y."]),
    Mistake("gradients summed before they are multiplied",
            lambda right, Ix, Iy, window=5: right(*(_summed(a, window) for a in (Ix, Iy)), 1),
            ["(Σ a)² is not Σ a².", "Multiply first, then add up over the window."]),
    Mistake("border repeated", lambda right, Ix, Iy, window=5: _replicating(Ix, Iy, window),
            ["How many neighbors has a corner pixel?", "Outside the image there are no equations: pad with zeros."]),
]  # fmt: skip


def _summed(a: Any, window: int = 5) -> Any:
    a = a.sum(-1) if a.ndim == 3 else a
    return _loop_sum(a, window)


structure_tensor = Spec(
    cases=tensor_cases("Ix Iy"),
    laws=[
        Law("it is symmetric", symmetric),
        Law("exchanging black and white changes nothing", blind_to_contrast_reversal),
        Law("its trace is the squared gradient, added up over the window", trace_is_the_energy),
        Law("twice the contrast makes it four times as large", contrast_squared),
    ],
    mistakes=TENSOR_MISTAKES,
    accepted=[_in_loops, _by_cumulative_sums],
    tolerance=Tolerance(ulps=64, why="a sum of K² C products of two numbers each", loose=1e-4),
    cost=Cost(flops=lambda s: (6 * s.channels + 6 * s.window) * s.pixels,
              bytes=lambda s: (2 * s.channels + 4) * s.pixels * s.itemsize),
    large=large_color("Ix Iy"),
)  # fmt: skip

# ------------------------------------------------------------------ structure_tensor_eigenvalues


def psd(elements: st.SearchStrategy[float] = quarters, rank: int = 2) -> st.SearchStrategy[dict[str, Any]]:
    """Sums of `rank` outer products: symmetric, positive semi-definite."""

    def build(g: np.ndarray) -> dict[str, Any]:
        return {"J": np.einsum("...ki,...kj->...ij", g, g)}

    shapes = st.sampled_from([(rank, 2), (1, rank, 2), (2, rank, 2), (2, 3, rank, 2)])
    return shapes.flatmap(lambda s: drawn(s, elements)).map(build)


def ordered(f: Any, J: Any) -> Any:
    values = f(J)
    return bool((values[..., 0] >= values[..., 1]).all() and (values[..., 1] >= 0).all())


def sum_is_trace(f: Any, J: Any) -> Any:
    return f(J).sum(-1), J[..., 0, 0] + J[..., 1, 1]


def product_is_determinant(f: Any, J: Any) -> Any:
    return f(J).prod(-1), J[..., 0, 0] * J[..., 1, 1] - J[..., 0, 1] ** 2


def turning_changes_nothing(f: Any, J: Any, angle: float) -> Any:
    R = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return f(R @ J @ R.T), f(J)


structure_tensor_eigenvalues = Spec(
    cases={"two directions": psd(), "an edge: only one direction": psd(rank=1), "flat": psd(st.just(0.0))},
    laws=[
        Law("λ₁ ≥ λ₂ ≥ 0", ordered, ("two directions", "flat")),
        Law("they add up to the trace", sum_is_trace),
        Law("turning the image changes nothing", turning_changes_nothing, (), {"angle": st.sampled_from([0.3, 1.0, 2.5])}),
    ],
    mistakes=[
        Mistake("the smaller one first", lambda right, J: right(J)[..., ::-1],
                ["Which one comes first?", "λ₁ is the larger; np.linalg.eigvalsh sorts upwards."]),
        Mistake("diagonal taken for the eigenvalues", lambda right, J: np.sort(np.stack([J[..., 0, 0], J[..., 1, 1]], -1))[..., ::-1],
                ["Try a diagonal edge.", "The off-diagonal element matters: use the formula with the square root."]),
        Mistake("half forgotten", lambda right, J: 2 * right(J),
                ["Add the two: is it the trace?", "Mean plus and minus spread, both with a half."]),
        Mistake("square root forgotten", lambda right, J: _with_spread(J, lambda q: q),
                ["Check the units of the two terms you add.", "The spread is the square root of a sum of squares."]),
        Mistake("off-diagonal not squared", lambda right, J: _with_spread(J, np.sqrt, off=lambda b: np.abs(b)),
                ["Check the units under the root.", "It is (half the difference)² + J_xy²."]),
    ],
    accepted=[lambda J: np.linalg.eigvalsh(J)[..., ::-1],
              lambda J: np.sqrt(np.maximum(np.linalg.svd(J @ np.swapaxes(J, -1, -2), compute_uv=False), 0))],
    tolerance=Tolerance(ulps=16, why="a mean, a hypotenuse and their difference, at the size of the larger one"),
    cost=Cost(flops=lambda s: 9 * s.pixels, bytes=lambda s: 6 * s.pixels * s.itemsize),
    components=("λ₁", "λ₂"),
    large=lambda size, rng: {"J": _random_tensors(size, rng)},
)  # fmt: skip


def _with_spread(J: Any, root: Any, off: Any = lambda b: b**2) -> Any:
    mean, half = (J[..., 0, 0] + J[..., 1, 1]) / 2, (J[..., 0, 0] - J[..., 1, 1]) / 2
    spread = root(half**2 + off(J[..., 0, 1]))
    return np.stack([mean + spread, np.maximum(mean - spread, 0)], -1)


def _random_tensors(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    g = rng.normal(size=(*size, 3, 2))
    return np.einsum("...ki,...kj->...ij", g, g)


# ------------------------------------------------------------------ condition_number, classify_structure


def pairs(low: int = 0, least: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    """(…, 2) with λ₁ ≥ λ₂ ≥ 0, on a grid of quarters."""
    elements = st.integers(least, 12).map(lambda k: k / 4)
    shapes = st.sampled_from([(2,), (1, 2), (3, 2), (2, 2, 2)])
    arrays = shapes.flatmap(lambda s: drawn(s, elements))
    return arrays.map(lambda a: {"eigenvalues": np.sort(a, axis=-1)[..., ::-1].copy()})


def edges() -> st.SearchStrategy[dict[str, Any]]:
    return pairs().map(lambda a: {"eigenvalues": a["eigenvalues"] * [1.0, 0.0]})


def at_least_one(f: Any, eigenvalues: Any) -> Any:
    return bool((f(eigenvalues) >= 1).all())


def scale_free(f: Any, eigenvalues: Any) -> Any:
    return f(4 * eigenvalues), f(eigenvalues)


def one_for_equals(f: Any, eigenvalues: Any) -> Any:
    equal = np.repeat(eigenvalues[..., :1], 2, axis=-1)
    return f(equal), np.ones(eigenvalues.shape[:-1]), eigenvalues[..., 0] > 0


condition_number = Spec(
    cases={"two directions": pairs(least=1), "nothing known in one direction": edges()},
    laws=[
        Law("it is never below 1", at_least_one),
        Law("more contrast changes nothing", scale_free),
        Law("two equal eigenvalues give 1", one_for_equals, ("two directions",)),
    ],
    mistakes=[
        Mistake("upside down", lambda right, eigenvalues: 1 / right(eigenvalues),
                ["Is a large number good or bad?", "The larger over the smaller."]),
        Mistake("0 where one direction is unknown",
                lambda right, eigenvalues: np.where(np.isinf(right(eigenvalues)), 0.0, right(eigenvalues)),
                ["How well is that direction known?", "Not at all: the answer there is infinite."]),
        Mistake("difference instead of ratio", lambda right, eigenvalues: eigenvalues[..., 0] - eigenvalues[..., 1],
                ["Should contrast matter?", "λ₁ / λ₂."]),
        Mistake("square root of the ratio", lambda right, eigenvalues: np.sqrt(right(eigenvalues)),
                ["That is the condition of A, not of AᵀA.", "λ₁ / λ₂, without a root."]),
        Mistake("epsilon hides the infinite", lambda right, eigenvalues: eigenvalues[..., 0] / (eigenvalues[..., 1] + 1e-6),
                ["What comes out for λ₂ = 0?", "Answer np.inf there, whatever λ₁ is."]),
    ],
    accepted=[
        lambda eigenvalues: np.where(eigenvalues[..., 1] > 0, eigenvalues[..., 0] / np.maximum(eigenvalues[..., 1], 1e-30), np.inf),
        lambda eigenvalues: np.divide(eigenvalues[..., 0], eigenvalues[..., 1], where=eigenvalues[..., 1] > 0,
                                      out=np.full(eigenvalues.shape[:-1], np.inf)),
    ],
    tolerance=Tolerance(ulps=4, why="one division"),
    cost=Cost(flops=lambda s: s.pixels, bytes=lambda s: 3 * s.pixels * s.itemsize),
    large=lambda size, rng: {"eigenvalues": np.array([0.1, 0.05]) + np.sort(rng.random((*size, 2)))[..., ::-1]},
)  # fmt: skip


def classes(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    """Eigenvalues on a grid that lies between the thresholds, with thresholds of their own at times."""
    small, big = st.sampled_from([0.0, 0.25]), st.sampled_from([1.0, 2.0, 4.0])
    both = {"flat": (small, small), "edge": (big, small), "corner": (big, big)}[kind]
    limits = st.fixed_dictionaries({"min_eigenvalue": st.just(0.5), "max_condition": st.sampled_from([1.5, 3.0, 10.0])})
    n = st.integers(1, 4)
    drawn = n.flatmap(lambda k: st.tuples(*(st.lists(e, min_size=k, max_size=k) for e in both)))
    return st.builds(
        lambda values, more: {"eigenvalues": np.sort(np.array(values).T, axis=-1)[..., ::-1].copy(), **more},
        drawn,
        limits,
    )


def solvable_means_corner(f: Any, eigenvalues: Any, min_eigenvalue: float, max_condition: float) -> Any:
    large_, small = eigenvalues[..., 0], eigenvalues[..., 1]
    want = (small >= min_eigenvalue) & (large_ <= max_condition * small)
    return f(eigenvalues, min_eigenvalue, max_condition) == 2, want


def only_labels(f: Any, eigenvalues: Any, min_eigenvalue: float, max_condition: float) -> Any:
    return bool(np.isin(f(eigenvalues, min_eigenvalue, max_condition), (0, 1, 2)).all())


def scales_with_the_threshold(f: Any, eigenvalues: Any, min_eigenvalue: float, max_condition: float) -> Any:
    return f(2 * eigenvalues, 2 * min_eigenvalue, max_condition), f(eigenvalues, min_eigenvalue, max_condition)


def _labels(flat: Any, corner: Any) -> Any:
    return np.where(flat, 0, np.where(corner, 2, 1))


classify_structure = Spec(
    cases={kind: classes(kind) for kind in ("flat", "edge", "corner")},
    laws=[
        Law("it says corner exactly where both conditions for solving hold", solvable_means_corner),
        Law("it says 0, 1 or 2", only_labels),
        Law("scaling the eigenvalues and their threshold alike changes nothing", scales_with_the_threshold),
    ],
    mistakes=[
        Mistake("edge and corner exchanged", lambda right, eigenvalues, *a: np.array([0, 2, 1])[right(eigenvalues, *a)],
                ["Which of them is solvable?", "0 flat, 1 edge, 2 corner."]),
        Mistake("flat judged by the smaller eigenvalue",
                lambda right, e, low=1e-2, most=10.0: _labels(e[..., 1] < low, right(e, low, most) == 2),
                ["Is an edge flat?", "Flat means that even λ₁ is small."]),
        Mistake("condition not asked for", lambda right, e, low=1e-2, most=10.0: right(e, low, 1e30),
                ["There are two conditions for solving.", "λ₁ / λ₂ must not exceed max_condition."]),
        Mistake("smallness not asked for", lambda right, e, low=1e-2, most=10.0: _labels(e[..., 0] == 0, e[..., 0] <= most * e[..., 1]),
                ["What about noise?", "Below min_eigenvalue an eigenvalue is noise."]),
        Mistake("eigenvalues swapped", lambda right, e, *a: right(e[..., ::-1], *a),
                ["Which of the two comes first?", "The larger comes first."]),
    ],
    accepted=[lambda e, low=1e-2, most=10.0: np.select([e[..., 0] < low, (e[..., 1] >= low) & (e[..., 0] <= most * e[..., 1])], [0, 2], 1),
              lambda e, low=1e-2, most=10.0: _labels(e[..., 0] < low, (e[..., 1] >= low) & (e[..., 0] <= most * e[..., 1])).astype(float)],
    tolerance=Tolerance(ulps=0, why="labels are exact; no case lies on a threshold"),
    cost=Cost(flops=lambda s: 4 * s.pixels, bytes=lambda s: 2 * s.pixels * s.itemsize + 8 * s.pixels),
    defined=lambda expected, eigenvalues, min_eigenvalue=1e-2, max_condition=10.0: np.abs(
        eigenvalues[..., 0] - max_condition * eigenvalues[..., 1]) > 1e-6,
    large=lambda size, rng: {"eigenvalues": np.sort(rng.random((*size, 2)))[..., ::-1].copy()},
)  # fmt: skip

# ------------------------------------------------------------------ lucas_kanade


def solvable(expected: Any, Ix: Any, Iy: Any, It: Any, window: int = 5) -> Any:
    """Where the window knows both directions: elsewhere the answer hangs on a threshold."""
    values = reference.structure_tensor_eigenvalues(reference.structure_tensor(Ix, Iy, window))
    return values[..., 1] > 1e-2 * values[..., 0]


def uniform_motion(f: Any, Ix: Any, Iy: Any, It: Any, window: int = 5, motion: Any = (0.0, 0.0)) -> Any:
    u, v = motion
    got = f(Ix, Iy, -(Ix * u + Iy * v), window)
    return got, np.broadcast_to([u, v], got.shape), solvable(None, Ix, Iy, It, window)


def same_in_any_contrast(f: Any, Ix: Any, Iy: Any, It: Any, window: int = 5) -> Any:
    return f(2 * Ix, 2 * Iy, 2 * It, window), f(Ix, Iy, It, window), solvable(None, Ix, Iy, It, window)


def transposed(f: Any, Ix: Any, Iy: Any, It: Any, window: int = 5) -> Any:
    got = f(*(np.swapaxes(a, 0, 1) for a in (Iy, Ix, It)), window)
    return np.swapaxes(got, 0, 1), f(Ix, Iy, It, window)[..., ::-1], solvable(None, Ix, Iy, It, window)


def _normal_equations(Ix: Any, Iy: Any, It: Any, window: int = 5, eps: float = 1e-9, tensor: Any = None) -> Any:
    J = reference.structure_tensor(Ix, Iy, window) if tensor is None else tensor
    sums = [_loop_sum((a * It).sum(-1) if a.ndim == 3 else a * It, window) for a in (Ix, Iy)]
    det = J[..., 0, 0] * J[..., 1, 1] - J[..., 0, 1] * J[..., 1, 0] + eps
    u = -(J[..., 1, 1] * sums[0] - J[..., 0, 1] * sums[1]) / det
    v = -(J[..., 0, 0] * sums[1] - J[..., 0, 1] * sums[0]) / det
    return np.stack([u, v], -1)


def _by_lstsq(Ix: Any, Iy: Any, It: Any, window: int = 5) -> Any:
    r, out = window // 2, np.zeros((*Ix.shape[:2], 2))
    for y, x in np.ndindex(*Ix.shape[:2]):
        place = (slice(max(y - r, 0), y + r + 1), slice(max(x - r, 0), x + r + 1))
        A = np.stack([Ix[place].ravel(), Iy[place].ravel()], -1)
        out[y, x] = np.linalg.lstsq(A, -It[place].ravel(), rcond=None)[0]
    return out


def solvable_cases() -> dict[str, Any]:
    return {
        "grey": unsaid(fields("Ix Iy It", least=2, most=4, window=st.sampled_from([3, 5])), window=5),
        "color": unsaid(color_fields("Ix Iy It", window=st.sampled_from([1, 3, 5])), window=5),
        "a window larger than the image": fields("Ix Iy It", least=2, most=3, window=st.just(7)),
    }


def known_everywhere(Ix: Any, Iy: Any, It: Any, window: int = 5) -> Any:
    return solvable(None, Ix, Iy, It, window)


lucas_kanade = Spec(
    cases=solvable_cases(),
    laws=[
        Law("where all pixels move alike and both directions are seen, it finds that motion", uniform_motion, (),
            {"motion": st.tuples(quarters, quarters)}),
        Law("doubling the contrast of both frames changes nothing", same_in_any_contrast),
        Law("a sixteenth of the contrast changes nothing", same_in_faint_light),
        Law("transposing the frames exchanges u and v", transposed),
    ],
    mistakes=[
        Mistake("sign of I_t", lambda right, Ix, Iy, It, *w: right(Ix, Iy, -It, *w),
                ["A d = b with b = −I_t.", "There is a minus before the right-hand side."]),
        Mistake("u and v swapped", lambda right, Ix, Iy, It, *w: right(Ix, Iy, It, *w)[..., ::-1],
                ["The last axis is (u, v): right first, then down.", "Solve for d = (u, v) in this order."]),
        Mistake("off-diagonal dropped", lambda right, Ix, Iy, It, window=5: _normal_equations(
                    Ix, Iy, It, window, tensor=reference.structure_tensor(Ix, Iy, window) * np.eye(2)),
                ["Do u and v not know of each other?", "AᵀA has Σ I_x I_y off the diagonal."]),
        Mistake("one pixel instead of the window on the right-hand side",
                lambda right, Ix, Iy, It, window=5: _one_pixel_b(Ix, Iy, It, window),
                ["Which sums stand on the right?", "Aᵀb is summed over the window as AᵀA is."]),
        Mistake("window one too small", lambda right, Ix, Iy, It, window=5: right(Ix, Iy, It, max(window - 2, 1)),
                ["Count the rows that you add up.", "From −K//2 to +K//2, both included."]),
        Mistake("I_t without its sign", lambda right, Ix, Iy, It, *w: right(Ix, Iy, np.abs(It), *w),
                ["Can brightness fall?", "Leave out abs."]),
        Mistake("not divided by the determinant", lambda right, Ix, Iy, It, window=5: _times_det(right, Ix, Iy, It, window),
                ["Check the units: pixels per frame.", "The inverse of a 2 × 2 matrix has 1/det in front."]),
        Mistake("weak gradients taken for none", dead_zone,
                ["How large are the gradients of a photograph in [0, 1]?",
                 "What counts is one eigenvalue beside the other, not how large they are."]),
    ],
    accepted=[_normal_equations, _by_lstsq,
              lambda Ix, Iy, It, window=5: np.linalg.solve(
                  reference.structure_tensor(Ix, Iy, window) + 1e-8 * np.eye(2),
                  -np.stack([_loop_sum((a * It).sum(-1) if a.ndim == 3 else a * It, window) for a in (Ix, Iy)], -1)[..., None])[..., 0]],
    tolerance=Tolerance(ulps=4096, why="sums of K² C products, then a 2 × 2 system of condition at most 100", loose=1e-3),
    cost=Cost(flops=lambda s: (10 * s.channels + 10 * s.window + 20) * s.pixels,
              bytes=lambda s: (3 * s.channels + 2) * s.pixels * s.itemsize),
    defined=solvable,
    components=("u", "v"),
    large=large_color("Ix Iy It"),
)  # fmt: skip


def _one_pixel_b(Ix: Any, Iy: Any, It: Any, window: int = 5) -> Any:
    over = (lambda p: p.sum(-1)) if Ix.ndim == 3 else (lambda p: p)
    b = -np.stack([over(Ix * It), over(Iy * It)], -1)
    return (np.linalg.pinv(reference.structure_tensor(Ix, Iy, window)) @ b[..., None])[..., 0]


def _times_det(right: Any, Ix: Any, Iy: Any, It: Any, window: int = 5) -> Any:
    return right(Ix, Iy, It, window) * np.linalg.det(reference.structure_tensor(Ix, Iy, window))[..., None]


# ------------------------------------------------------------------ motion_field, fit_motion

COUNT = {"translation": 2, "affine": 6, "projective": 8, "rotation": 3}
FOCAL = st.sampled_from([None, 2.0, 8.0])


def parameters_of(model: str) -> st.SearchStrategy[np.ndarray]:
    return drawn((COUNT[model],))


def motions(model: str) -> st.SearchStrategy[dict[str, Any]]:
    more = {"focal": FOCAL} if model == "rotation" else {}
    side = st.integers(1, 4)
    return st.fixed_dictionaries(
        {"parameters": parameters_of(model), "height": side, "width": side, "model": st.just(model), **more}
    )


def adds_up(f: Any, parameters: Any, height: int, width: int, model: str, focal: float | None = None) -> Any:
    rest = (height, width, model, focal)
    return f(2 * parameters + 1, *rest), 2 * f(parameters, *rest) + f(np.ones_like(parameters), *rest)


def centered(f: Any, parameters: Any, height: int, width: int, model: str, focal: float | None = None) -> Any:
    field = f(parameters, 2 * height - 1, 2 * width - 1, model, focal)
    at_zero = f(parameters, 1, 1, model, focal or float(max(2 * height - 1, 2 * width - 1)))
    return field[height - 1, width - 1], at_zero[0, 0]


def opposite_pixels(f: Any, parameters: Any, height: int, width: int, model: str, focal: float | None = None) -> Any:
    field = f(parameters, height, width, model, focal)
    middle = f(parameters, 1, 1, model, focal)[0, 0]
    return field + field[::-1, ::-1], np.broadcast_to(2 * middle, field.shape)


def _uncentered(right: Any, parameters: Any, height: int, width: int, model: str = "affine", focal: Any = None) -> Any:
    f = focal or float(max(height, width))
    return right(parameters, 2 * height - 1, 2 * width - 1, model, f)[height - 1 :, width - 1 :]


def _no_fraction(right: Any, parameters: Any, height: int, width: int, model: str = "affine", focal: Any = None) -> Any:
    f = focal or float(max(height, width))
    big = right(parameters, height + 1 - height % 2, width + 1 - width % 2, model, f)
    return big[:height, :width]


def _x_and_y(right: Any, parameters: Any, height: int, width: int, model: str = "affine", focal: Any = None) -> Any:
    f = focal or float(max(height, width))
    return np.swapaxes(right(parameters, width, height, model, f), 0, 1)


def _mapped(order: dict[str, list[int]]) -> Any:
    def wrong(right: Any, parameters: Any, height: int, width: int, model: str = "affine", focal: Any = None) -> Any:
        p = parameters[order[model]] if model in order else parameters
        return right(p, height, width, model, focal)

    return wrong


def _in_pixel_loops(parameters: Any, height: int, width: int, model: str = "affine", focal: Any = None) -> Any:
    a, f = [float(p) for p in parameters] + [0.0] * 8, float(focal or max(height, width))
    out = np.zeros((height, width, 2))
    for row, column in np.ndindex(height, width):
        x, y = column - (width - 1) / 2, row - (height - 1) / 2
        if model == "translation":
            out[row, column] = a[0], a[1]
        elif model == "rotation":
            out[row, column] = (
                a[0] * x * y / f - a[1] * (f + x * x / f) + a[2] * y,
                a[0] * (f + y * y / f) - a[1] * x * y / f - a[2] * x,
            )
        else:
            q = (a[6], a[7]) if model == "projective" else (0.0, 0.0)
            bend = q[0] * x + q[1] * y
            out[row, column] = a[0] + a[1] * x + a[2] * y + bend * x, a[3] + a[4] * x + a[5] * y + bend * y
    return out


MOTION_CASES = {model: motions(model) for model in COUNT}

motion_field = Spec(
    cases=MOTION_CASES,
    laws=[
        Law("fields add up as their parameters do", adds_up),
        Law("the middle pixel moves as an image of one pixel would", centered),
        Law("two opposite pixels move, on average, as the middle does", opposite_pixels, ("translation", "affine")),
    ],
    mistakes=[
        Mistake("x and y counted from the corner", _uncentered,
                ["Where is x = 0?", "In the middle of the image: x = column − (W − 1)/2."]),
        Mistake("middle rounded to a pixel", _no_fraction,
                ["Where is the middle of an image of two columns?", "Between them: (W − 1)/2 = 0.5."]),
        Mistake("x and y exchanged", _x_and_y,
                ["Which index of the array is x?", "x is the column, y the row."]),
        Mistake("u and v swapped", lambda right, *a, **k: right(*a, **k)[..., ::-1],
                ["The last axis is (u, v): right first, then down.", "u first."]),
        Mistake("parameters in another order", _mapped({"affine": [0, 2, 1, 3, 5, 4], "projective": [0, 2, 1, 3, 5, 4, 7, 6],
                                                        "translation": [1, 0], "rotation": [1, 0, 2]}),
                ["Which parameter goes with x?", "u = a1 + a2 x + a3 y; v = a4 + a5 x + a6 y."]),
    ],
    accepted=[_in_pixel_loops,
              lambda parameters, *a, **k: reference.motion_field(parameters.astype(np.float32), *a, **k)],
    tolerance=Tolerance(ulps=64, why="a sum of at most four products of three numbers each",
                        scale=lambda expected, parameters, height, width, model="affine", focal=None:
                        largest(expected) + 8 * largest(parameters) * max(height, width) ** 2),
    cost=Cost(flops=lambda s: 28 * s.height * s.width, bytes=lambda s: 2 * s.height * s.width * s.itemsize),
    components=("u", "v"),
    large=lambda size, rng: {"parameters": rng.normal(size=6), "height": size[0], "width": size[1], "model": "affine"},
)  # fmt: skip


def _fits(model: str, color: bool = False) -> st.SearchStrategy[dict[str, Any]]:
    """Gradients of some image that determine the model well: a seed for noise, so that few draws are degenerate."""
    least = 4 if model == "projective" else 3

    def build(seed: int, height: int, width: int, focal: float | None) -> dict[str, Any]:
        rng = np.random.default_rng(seed)
        shape = (height, width, 3) if color else (height, width)
        Ix, Iy, It = rng.integers(-8, 9, (3, *shape)) / 4
        return {"Ix": Ix, "Iy": Iy, "It": It, "model": model, "focal": focal}

    side, focal = st.integers(least, 6), FOCAL if model == "rotation" else st.none()
    return unsaid(st.builds(build, st.integers(0, 999), side, side, focal), model="affine", focal=None)


def recovers(f: Any, Ix: Any, Iy: Any, It: Any, a: list[float], model: str = "affine", focal: Any = None) -> Any:
    parameters = np.array(a[: COUNT[model]])
    d = reference.motion_field(parameters, *Ix.shape[:2], model, focal)
    d = d[:, :, None] if Ix.ndim == 3 else d
    return f(Ix, Iy, -(Ix * d[..., 0] + Iy * d[..., 1]), model, focal), parameters


def any_contrast(f: Any, Ix: Any, Iy: Any, It: Any, *rest: Any, **more: Any) -> Any:
    return f(2 * Ix, 2 * Iy, 2 * It, *rest, **more), f(Ix, Iy, It, *rest, **more)


def brighter_and_darker(f: Any, Ix: Any, Iy: Any, It: Any, *rest: Any, **more: Any) -> Any:
    return f(Ix, Iy, -It, *rest, **more), -f(Ix, Iy, It, *rest, **more)


def _by_normal_equations(Ix: Any, Iy: Any, It: Any, model: str = "affine", focal: Any = None) -> Any:
    basis = np.stack([reference.motion_field(e, *Ix.shape[:2], model, focal) for e in np.eye(COUNT[model])], -1)
    basis = basis[:, :, None] if Ix.ndim == 3 else basis
    A = (Ix[..., None] * basis[..., 0, :] + Iy[..., None] * basis[..., 1, :]).reshape(-1, COUNT[model])
    return np.linalg.solve(A.T @ A, -A.T @ It.ravel())


def _by_qr(Ix: Any, Iy: Any, It: Any, model: str = "affine", focal: Any = None) -> Any:
    basis = np.stack([reference.motion_field(e, *Ix.shape[:2], model, focal) for e in np.eye(COUNT[model])], -1)
    basis = basis[:, :, None] if Ix.ndim == 3 else basis
    A = (Ix[..., None] * basis[..., 0, :] + Iy[..., None] * basis[..., 1, :]).reshape(-1, COUNT[model])
    Q, R = np.linalg.qr(A)
    return np.linalg.solve(R, Q.T @ -It.ravel())


def _from_the_corner(right: Any, Ix: Any, Iy: Any, It: Any, model: str = "affine", focal: Any = None) -> Any:
    h, w = Ix.shape[:2]
    f = focal or float(max(h, w))
    wide = [np.zeros((2 * h - 1, 2 * w - 1, *Ix.shape[2:])) for _ in range(3)]
    for big, small in zip(wide, (Ix, Iy, It), strict=True):
        big[h - 1 :, w - 1 :] = small
    return right(*wide, model, f)


fit_motion = Spec(
    cases={**{model: _fits(model) for model in COUNT}, "affine in color": _fits("affine", color=True)},
    laws=[
        Law("it recovers the motion that made the brightness change", recovers, (),
            {"a": st.lists(quarters, min_size=8, max_size=8)}),
        Law("doubling the contrast changes nothing", any_contrast),
        Law("turning the sign of I_t turns the motion", brighter_and_darker),
    ],
    mistakes=[
        Mistake("sign of I_t", lambda right, Ix, Iy, It, *a: right(Ix, Iy, -It, *a),
                ["Move I_t to the other side.", "The right-hand side is −I_t."]),
        Mistake("x and y counted from the corner", _from_the_corner,
                ["Where is x = 0?", "In the middle of the image."]),
        Mistake("only the first color", lambda right, Ix, Iy, It, *a: right(*(b[..., 0] if b.ndim == 3 else b for b in (Ix, Iy, It)), *a)
                if Ix.ndim == 3 else right(Ix, Iy, It, *a) * 1.0,
                ["How many equations gives a pixel in color?", "Three: use all channels."]),
        Mistake("I_x and I_y swapped", lambda right, Ix, Iy, It, *a: right(Iy, Ix, It, *a),
                ["u goes with I_x.", "The row for a pixel is I_x times u's basis plus I_y times v's."]),
        Mistake("fits the first pixels only", lambda right, Ix, Iy, It, *a: right(Ix, *_first_rows(Iy, It), *a),
                ["Does every pixel count?", "Sum over the whole image."]),
    ],
    accepted=[_by_normal_equations, _by_qr],
    tolerance=Tolerance(ulps=2.0**14, why="least squares in up to 8 unknowns; the condition of noise gradients is some hundreds",
                        loose=1e-3),
    cost=Cost(flops=lambda s: 90 * s.pixels * s.channels, bytes=lambda s: 3 * s.pixels * s.channels * s.itemsize),
    large=lambda size, rng: {**{n: rng.normal(size=size) for n in ("Ix", "Iy", "It")}, "model": "affine"},
)  # fmt: skip


def _first_rows(*arrays: Any) -> Any:
    """The last row's equations taken for nothing."""
    return [np.concatenate([a[:-1], np.zeros_like(a[-1:])]) for a in arrays]
