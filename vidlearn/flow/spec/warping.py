"""What makes an implementation right: moving the image back, coarse to fine, errors, correlation."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
from hypothesis.extra import numpy as hnp

from vidlearn.flow import dense_reference, reference
from vidlearn.flow.spec.drawing import drawn, quarters, sizes
from vidlearn.layers.spec.drawing import unsaid
from vidlearn.spec import Cost, Law, Mistake, Spec, Tolerance, array_of, largest

# ------------------------------------------------------------------ drawing images, flows and pairs of frames


def with_flow(
    elements: st.SearchStrategy[float] = quarters, most: int = 5, least: int = 1, colors: tuple[int, ...] | None = None
) -> st.SearchStrategy[dict[str, Any]]:
    """A flow, and with `colors` (``()`` for grey, ``(3,)``) an image of the same size before it."""

    whole = {"flow": drawn((most, most, 2), elements)}
    if colors is not None:
        whole = {"image": drawn((most, most, *colors)), **whole}

    def of_size(size: tuple[int, int], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
        return {name: array[: size[0], : size[1]].copy() for name, array in arrays.items()}

    return st.builds(of_size, sizes(most, least), st.fixed_dictionaries(whole))


def images(size: st.SearchStrategy[tuple[int, int]], colors: tuple[int, ...] = (), **more: Any) -> Any:
    """An image of one of these sizes, and further arguments."""
    return size.flatmap(lambda s: st.fixed_dictionaries({"image": drawn((*s, *colors)), **more}))


def landing_inside() -> st.SearchStrategy[dict[str, Any]]:
    """A grey image and a flow that never leaves it."""

    def of_size(size: tuple[int, int], share: np.ndarray, image: np.ndarray) -> dict[str, Any]:
        height, width = size
        own = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1)
        steps = 4 * (np.array([width, height]) - 1)  # quarters of a pixel from border to border
        to = (4 * own + np.floor(np.abs(share[:height, :width]) / 2 * steps)) % (steps + 1) / 4
        return {"image": image[:height, :width].copy(), "flow": to - own}

    return st.builds(of_size, sizes(5), array_of(5, 5, 2), array_of(5, 5))


def single_line(most: int = 5) -> st.SearchStrategy[tuple[int, int]]:
    """Sizes of one row or one column."""
    long = st.integers(1, most)
    return st.one_of(long.map(lambda n: (1, n)), long.map(lambda n: (n, 1)))


def transposed(flow: np.ndarray) -> np.ndarray:
    """The flow of the transposed frames: x and y change places, and so do u and v."""
    return np.swapaxes(flow, 0, 1)[..., ::-1]


def mirrored(flow: np.ndarray) -> np.ndarray:
    """The flow of the frames seen in a mirror: left and right change places, and u changes sign."""
    return flow[:, ::-1] * [-1, 1]


def color_last(values: np.ndarray, image: np.ndarray) -> np.ndarray:
    """One number a pixel, with an axis for color if the image has one."""
    return values[..., None] if image.ndim == 3 else values


def texture(x: Any, y: Any, phases: Any) -> np.ndarray:
    """A smooth pattern in [0, 1] with slopes in every direction around every pixel."""
    a, b, c = phases
    return 0.5 + 0.2 * np.sin(0.9 * x + 0.2 * y + a) + 0.2 * np.sin(0.9 * y - 0.2 * x + b) + 0.1 * np.sin(x + y + c)


def moved_texture(size: tuple[int, int], shift: tuple[float, float], phases: Any, colors: int = 0) -> Any:
    """Two frames in which such a pattern moves by `shift` = (u, v), on a grid of 1/64."""
    y, x = np.mgrid[: size[0], : size[1]]
    pair = []
    for u, v in ((0, 0), shift):
        planes = [texture(x - u, y - v, np.asarray(phases) + k) for k in range(max(colors, 1))]
        pair.append(np.round((np.stack(planes, -1) if colors else planes[0]) * 64) / 64)
    return {"I0": pair[0], "I1": pair[1]}


def frames(
    size: st.SearchStrategy[tuple[int, int]], shifts: st.SearchStrategy[float], colors: int = 0, **more: Any
) -> st.SearchStrategy[dict[str, Any]]:
    """Two such frames, and further arguments."""
    phase = st.integers(0, 12).map(lambda k: k / 2)
    pairs = st.builds(
        moved_texture, size, st.tuples(shifts, shifts), st.tuples(phase, phase, phase), colors=st.just(colors)
    )
    return st.builds(lambda pair, rest: {**pair, **rest}, pairs, st.fixed_dictionaries(more))


def few_frames(size: tuple[int, int], shifts: Any, colors: int = 0, **more: Any) -> st.SearchStrategy[dict[str, Any]]:
    """One pair of frames for each shift: so few, because each takes long."""
    pairs = [moved_texture(size, shift, (0.5 + k, 1.5 * k, 1.0), colors) for k, shift in enumerate(shifts)]
    return st.sampled_from(range(len(pairs))).map(lambda k: {**pairs[k], **more})


def translation_found(f: Any, shift: Any, size: int, margin: int, within: float, **arguments: Any) -> bool:
    """Whether the middle of a textured frame is seen to move by `shift`."""
    flow = f(**moved_texture((size, size), shift, (0.0, 1.0, 2.0)), **arguments)
    middle = flow[margin:-margin, margin:-margin]
    return bool(np.abs(np.median(middle, axis=(0, 1)) - shift).max() < within)


def large_frames(size: tuple[int, int], rng: np.random.Generator) -> dict[str, Any]:
    """Two frames of a realistic size, for timing."""
    return moved_texture(size, (0.75, -0.5), rng.uniform(0, 6, 3))


def large_image_and_flow(size: tuple[int, int], rng: np.random.Generator) -> dict[str, Any]:
    return {"image": rng.random(size), "flow": rng.normal(size=(*size, 2))}


def large_flow(size: tuple[int, int], rng: np.random.Generator) -> dict[str, Any]:
    return {"flow": rng.normal(size=(*size, 2))}


def large_flow_and_truth(size: tuple[int, int], rng: np.random.Generator) -> dict[str, Any]:
    return {"flow": rng.normal(size=(*size, 2)), "truth": rng.normal(size=(*size, 2))}


def vectors(s: Any) -> int:
    """How many vectors there are in (…, 2)."""
    return math.prod(getattr(s, f"B{i}") for i in range(s.B_axes))


# ------------------------------------------------------------------ warp


def zero_flow_changes_nothing(f: Any, image: Any, flow: Any) -> Any:
    return f(image, np.zeros_like(flow)), image


def fetches_whole_pixels(f: Any, image: Any, flow: Any) -> Any:
    whole = np.floor(flow)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    columns = np.clip(x + whole[..., 0], 0, image.shape[1] - 1).astype(int)
    return f(image, whole), image[np.clip(y + whole[..., 1], 0, image.shape[0] - 1).astype(int), columns]


def ramp_gives_the_destination(f: Any, image: Any, flow: Any) -> Any:
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]]
    to = np.clip(x + flow[..., 0], 0, flow.shape[1] - 1) + 10 * np.clip(y + flow[..., 1], 0, flow.shape[0] - 1)
    return f(x + 10.0 * y, flow), to


def warp_of_a_brighter_image(f: Any, image: Any, flow: Any) -> Any:
    return f(2 * image + 1, flow), 2 * f(image, flow) + 1


def splat(right: Any, image: Any, flow: Any) -> Any:
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    out = np.zeros_like(image)
    x_to, y_to = (np.floor(np.nan_to_num(c) + 0.5).astype(int) for c in (x + flow[..., 0], y + flow[..., 1]))
    inside = (x_to >= 0) & (x_to < width) & (y_to >= 0) & (y_to < height)
    out[y_to[inside], x_to[inside]] = image[inside]
    return out


def corners_not_centers(right: Any, image: Any, flow: Any) -> Any:
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    u = (x + flow[..., 0]) * width / max(width - 1, 1) - 0.5 - x
    v = (y + flow[..., 1]) * height / max(height - 1, 1) - 0.5 - y
    return right(image, np.stack([u, v], axis=-1))


def warp_by_loops(image: Any, flow: Any) -> Any:
    out = np.empty_like(image)
    height, width = image.shape[:2]
    for y in range(height):
        for x in range(width):
            if np.isnan(flow[y, x]).any():
                out[y, x] = np.nan
                continue
            px, py = min(max(x + flow[y, x, 0], 0), width - 1), min(max(y + flow[y, x, 1], 0), height - 1)
            i, j = min(int(px), max(width - 2, 0)), min(int(py), max(height - 2, 0))
            i2, j2 = min(i + 1, width - 1), min(j + 1, height - 1)
            a, b = px - i, py - j
            out[y, x] = (1 - b) * ((1 - a) * image[j, i] + a * image[j, i2])
            out[y, x] += b * ((1 - a) * image[j2, i] + a * image[j2, i2])
    return out


def warp_by_tents(image: Any, flow: Any) -> Any:
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    px, py = np.clip(x + flow[..., 0], 0, width - 1), np.clip(y + flow[..., 1], 0, height - 1)
    across = np.maximum(0, 1 - np.abs(px[..., None] - np.arange(width)))
    down = np.maximum(0, 1 - np.abs(py[..., None] - np.arange(height)))
    return np.einsum("yxj,yxi,ji...->yx...", down, across, image)


warp = Spec(
    cases={
        "the flow stays in the frame": landing_inside(),
        "the flow leaves the frame": with_flow(st.integers(-16, 16).map(lambda k: k / 4), most=4, colors=()),
        "color": with_flow(most=3, colors=(3,)),
        "the flow is unknown (NaN) in places": with_flow(st.sampled_from([0.5, -1.0, 0.25, np.nan]), most=3, colors=()),
    },
    laws=[
        Law(
            "zero flow changes nothing",
            zero_flow_changes_nothing,
            cases=("the flow stays in the frame", "the flow leaves the frame", "color"),
        ),
        Law(
            "whole-pixel flow fetches single pixels, beyond the frame those of the border",
            fetches_whole_pixels,
            cases=("the flow stays in the frame", "the flow leaves the frame", "color"),
        ),
        Law(
            "on a ramp it finds the destination itself",
            ramp_gives_the_destination,
            cases=("the flow stays in the frame", "the flow leaves the frame"),
        ),
        Law("doubling the contrast and adding 1 does the same to the answer", warp_of_a_brighter_image),
    ],
    mistakes=[
        Mistake(
            "moves the other way",
            lambda right, image, flow: right(image, -flow),
            [
                "Which pixel of the image is the answer at (x, y) made of?",
                "Fetch from (x + u, y + v): the flow says where the pixel went.",
            ],
        ),
        Mistake(
            "u and v swapped",
            lambda right, image, flow: right(image, flow[..., ::-1]),
            ["The last axis is (u, v): right first, then down.", "flow[..., 0] is added to x, flow[..., 1] to y."],
        ),
        Mistake(
            "nearest pixel, no interpolation",
            lambda right, image, flow: right(image, np.floor(flow + 0.5)),
            [
                "What is the brightness halfway between two pixels?",
                "Weigh the four pixels around the destination by how near they are: bilinear interpolation.",
            ],
        ),
        Mistake(
            "0 outside the frame",
            lambda right, image, flow: np.where(
                color_last(reference.inside_frame(flow) | np.isnan(flow).any(axis=-1), image), right(image, flow), 0
            ),
            [
                "What is the answer where the flow points out of the frame?",
                "Clamp the destination to the frame, so that the border is repeated.",
            ],
        ),
        Mistake(
            "pushes pixels instead of fetching them",
            splat,
            [
                "Does every pixel of the answer get a value, and only one?",
                "Loop over the pixels of the answer and fetch each from where the flow points (backward warp).",
            ],
        ),
        Mistake(
            "grid normalized for corners, sampled by centers",
            corners_not_centers,
            [
                "Try zero flow: the image should come back.",
                "With coordinates 2x/(W − 1) − 1, grid_sample needs align_corners=True.",
            ],
        ),
    ],
    accepted=[
        warp_by_loops,
        warp_by_tents,
        lambda image, flow: warp_by_loops(image.astype(np.float32), flow.astype(np.float32)),
    ],
    tolerance=Tolerance(ulps=16, why="two interpolations in a row, of three roundings each; positions are exact"),
    cost=Cost(
        flops=lambda s: (10 + 9 * s.channels) * s.pixels,
        bytes=lambda s: (2 + 2 * s.channels) * s.pixels * s.itemsize,
    ),
    large=large_image_and_flow,
)


# ------------------------------------------------------------------ inside_frame


def destinations(options: Any) -> st.SearchStrategy[dict[str, Any]]:
    """A flow whose destinations are, along each axis of size n, among ``options(n)``."""

    def of_size(size: tuple[int, int]) -> st.SearchStrategy[dict[str, Any]]:
        y, x = np.mgrid[: size[0], : size[1]]
        to = (drawn(size, st.sampled_from(options(n))) for n in size[::-1])
        return st.builds(lambda i, j: {"flow": np.stack([i - x, j - y], axis=-1)}, *to)

    return sizes(4).flatmap(of_size)


def staying_is_inside(f: Any, flow: Any) -> Any:
    return f(np.zeros_like(flow)), np.ones(flow.shape[:2], bool)


def no_way_back_in(f: Any, flow: Any) -> Any:
    return f(2 * flow) & ~f(flow), np.zeros(flow.shape[:2], bool)


def inside_in_a_mirror(f: Any, flow: Any) -> Any:
    return f(mirrored(flow)), f(flow)[:, ::-1]


def inside_with(test: Any) -> Any:
    """A mistake in the test of the destination (x, y) against the largest coordinates (W − 1, H − 1)."""

    def wrong(right: Any, flow: Any) -> Any:
        y, x = np.mgrid[: flow.shape[0], : flow.shape[1]]
        return test(x + flow[..., 0], y + flow[..., 1], flow.shape[1] - 1, flow.shape[0] - 1)

    return wrong


inside_frame = Spec(
    cases={
        "destinations off the border": destinations(lambda n: [0.5, (n - 1) / 2 + 0.25, n + 1.0, -1.5]),
        "destinations on the border": destinations(lambda n: [0.0, n - 1.0]),
        "destinations within a pixel of the border": destinations(lambda n: [n - 0.5, -0.25, n - 1.0]),
        "the flow is unknown (NaN) in places": with_flow(st.sampled_from([0.0, np.nan]), most=3),
    },
    laws=[
        Law("staying where it is is inside", staying_is_inside),
        Law("moving twice as far never leads back in", no_way_back_in),
        Law("mirroring the flow mirrors the mask", inside_in_a_mirror),
    ],
    mistakes=[
        Mistake(
            "the border itself counts as outside",
            inside_with(lambda x, y, w, h: (x > 0) & (x < w) & (y > 0) & (y < h)),
            ["Is a pixel of the outermost row in the frame?", "Write ≤, not <: 0 ≤ x + u ≤ W − 1."],
        ),
        Mistake(
            "up to W instead of W − 1",
            inside_with(lambda x, y, w, h: (x >= 0) & (x < w + 1) & (y >= 0) & (y < h + 1)),
            [
                "Between which two pixels lies W − ½?",
                "Beyond W − 1 there is no pixel to interpolate with: x + u ≤ W − 1.",
            ],
        ),
        Mistake(
            "u and v swapped",
            lambda right, flow: right(flow[..., ::-1]),
            ["The last axis is (u, v): right first, then down.", "u is added to x, v to y."],
        ),
        Mistake(
            "either coordinate is enough",
            inside_with(lambda x, y, w, h: ((x >= 0) & (x <= w)) | ((y >= 0) & (y <= h))),
            ["Is a pixel above the frame inside it?", "Both coordinates must be in range: and, not or."],
        ),
        Mistake(
            "tests the flow, not where it leads",
            lambda right, flow: (
                (flow[..., 0] >= 0)
                & (flow[..., 0] <= flow.shape[1] - 1)
                & (flow[..., 1] >= 0)
                & (flow[..., 1] <= flow.shape[0] - 1)
            ),
            ["A flow of −1 is fine at x = 3. Is it at x = 0?", "Test x + u and y + v, not u and v."],
        ),
    ],
    accepted=[
        lambda flow: np.array(
            [
                [
                    bool(0 <= x + flow[y, x, 0] <= flow.shape[1] - 1 and 0 <= y + flow[y, x, 1] <= flow.shape[0] - 1)
                    for x in range(flow.shape[1])
                ]
                for y in range(flow.shape[0])
            ]
        ),
        lambda flow: np.all(
            np.abs(
                flow
                + np.stack(np.mgrid[: flow.shape[0], : flow.shape[1]][::-1], -1)
                - (c := (np.array(flow.shape[1::-1]) - 1) / 2)
            )
            <= c,
            axis=-1,
        ),
    ],
    tolerance=Tolerance(ulps=0, why="a mask is right or wrong"),
    cost=Cost(flops=lambda s: 6 * s.pixels, bytes=lambda s: s.pixels * (2 * s.itemsize + 1)),
    large=large_flow,
)


# ------------------------------------------------------------------ iterative_lucas_kanade


def still_is_zero(f: Any, I0: Any, I1: Any, **arguments: Any) -> Any:
    return f(I0, I0, **arguments), np.zeros((*I0.shape[:2], 2))


def flow_ignores_brightness(f: Any, I0: Any, I1: Any, **arguments: Any) -> Any:
    return f(I0 + 0.5, I1 + 0.5, **arguments), f(I0, I1, **arguments)


def flow_in_a_mirror(f: Any, I0: Any, I1: Any, **arguments: Any) -> Any:
    return f(I0[:, ::-1], I1[:, ::-1], **arguments), mirrored(f(I0, I1, **arguments))


def iterations_find_a_translation(f: Any, I0: Any, I1: Any, shift: Any, **arguments: Any) -> bool:
    return translation_found(f, shift, size=16, margin=5, within=0.1, window=9, iterations=6)


def rounds(residual: Any = None, slopes: Any = None, keep_outside: bool = False, update: Any = None) -> Any:
    """Iterative Lucas–Kanade with one thing done differently, from a given flow or from zero."""

    def wrong(right: Any, I0: Any, I1: Any, window: int = 5, iterations: int = 3) -> Any:
        Ix, Iy, _ = reference.spatiotemporal_gradients(*(slopes(I0, I1) if slopes else (I0, I0)))
        flow = np.zeros((*I0.shape[:2], 2), I0.dtype)
        for _ in range(iterations):
            r = (residual or (lambda I0, I1, flow: reference.warp(I1, flow) - I0))(I0, I1, flow)
            inside = color_last(reference.inside_frame(flow) | keep_outside, I0)
            old = 0 if update else Ix * color_last(flow[..., 0], I0) + Iy * color_last(flow[..., 1], I0)
            found = reference.lucas_kanade(Ix * inside, Iy * inside, (r - old) * inside, window)
            flow = update(flow, found) if update else found
        return flow

    return wrong


def solved_by_loops(I0: Any, I1: Any, window: int = 5, iterations: int = 3) -> Any:
    """Iterative Lucas–Kanade as a person writes it: a list of equations for every pixel."""
    Ix, Iy, _ = reference.spatiotemporal_gradients(I0, I0)
    flow, r = np.zeros((*I0.shape[:2], 2)), window // 2
    for _ in range(iterations):
        error = reference.warp(I1, flow) - I0
        inside = reference.inside_frame(flow)
        target = Ix * color_last(flow[..., 0], I0) + Iy * color_last(flow[..., 1], I0) - error
        new = np.zeros_like(flow)
        for y in range(I0.shape[0]):
            for x in range(I0.shape[1]):
                patch = (slice(max(y - r, 0), y + r + 1), slice(max(x - r, 0), x + r + 1))
                known = inside[patch]
                A = np.stack([Ix[patch][known].ravel(), Iy[patch][known].ravel()], axis=1)
                new[y, x] = np.linalg.lstsq(A, target[patch][known].ravel(), rcond=None)[0]
        flow = new
    return flow


def solved_by_cramer(I0: Any, I1: Any, window: int = 5, iterations: int = 3) -> Any:
    """Iterative Lucas–Kanade with the two equations solved by hand, and a small epsilon in the denominator."""
    Iy, Ix = np.gradient(I0, axis=0), np.gradient(I0, axis=1)
    flow = np.zeros((*I0.shape[:2], 2))
    r = window // 2

    def total(values: Any) -> Any:
        values = values.sum(axis=-1) if values.ndim == 3 else values
        padded = np.pad(values, r)
        return np.lib.stride_tricks.sliding_window_view(padded, (window, window)).sum(axis=(-2, -1))

    for _ in range(iterations):
        known = color_last(reference.inside_frame(flow).astype(float), I0)
        b = Ix * color_last(flow[..., 0], I0) + Iy * color_last(flow[..., 1], I0) - reference.warp(I1, flow) + I0
        xx, xy, yy, bx, by = (total(known * p) for p in (Ix * Ix, Ix * Iy, Iy * Iy, Ix * b, Iy * b))
        flow = np.stack([yy * bx - xy * by, xx * by - xy * bx], axis=-1) / (xx * yy - xy * xy + 1e-12)[..., None]
    return flow


def solvable(I0: Any, I1: Any, window: int, iterations: int, flow: Any = None) -> tuple[Any, Any]:
    """Where in all rounds the window pins the flow down, far above the small pull λ; and the flow itself."""
    flow = np.zeros((*I0.shape[:2], 2)) if flow is None else flow
    Ix, Iy, _ = reference.spatiotemporal_gradients(I0, I0)
    mask = np.ones(I0.shape[:2], bool)
    for _ in range(iterations):
        inside = color_last(reference.inside_frame(flow), I0)
        J = reference.structure_tensor(Ix * inside, Iy * inside, window)
        mask &= reference.structure_tensor_eigenvalues(J)[..., 1] > 0.05
        flow = reference._refine(I0, I1, flow, window, 1)
    return mask, flow


small_shifts = st.sampled_from([0.25, -0.375, 0.5, -0.625, 0.75])
six_or_seven = st.tuples(st.integers(6, 7), st.integers(6, 7))
windows = st.sampled_from([5, 7, 15])

iterative_lucas_kanade = Spec(
    cases={
        "one round": unsaid(frames(six_or_seven, small_shifts, window=windows, iterations=st.just(1)), window=5),
        "several rounds": unsaid(
            frames(six_or_seven, small_shifts, window=windows, iterations=st.integers(2, 3)), window=5, iterations=3
        ),
        "color": unsaid(
            frames(six_or_seven, small_shifts, colors=3, window=st.just(5), iterations=st.just(2)), window=5
        ),
    },
    laws=[
        Law("between two identical frames nothing moves", still_is_zero),
        Law("brightening both frames by ½ changes nothing", flow_ignores_brightness),
        Law("mirroring both frames mirrors the flow", flow_in_a_mirror),
        Law(
            "a textured pattern that moves is found to move by just that",
            iterations_find_a_translation,
            cases=("several rounds",),
            draws={"shift": st.tuples(small_shifts, small_shifts)},
        ),
    ],
    mistakes=[
        Mistake(
            "keeps only the last correction",
            rounds(update=lambda flow, found: found),
            [
                "After the second round, is the flow of the first one still in the answer?",
                "What a round finds is what is left of the motion; the flow so far has to be added to it.",
            ],
        ),
        Mistake(
            "solves for a correction and adds it",
            rounds(update=lambda flow, found: flow + found),
            [
                "Neighbors in a window may have different flows so far. Which one does your equation use for each?",
                "Solve for the whole flow: Σ g gᵀ d = Σ g (g · d_old − r), with each neighbor's own d_old.",
            ],
        ),
        Mistake(
            "warps the first frame",
            rounds(residual=lambda I0, I1, flow: I1 - reference.warp(I0, flow)),
            [
                "Which frame lies on the grid of the answer, and which one has to be brought there?",
                "The residual is I1(x + u, y + v) − I0(x, y).",
            ],
        ),
        Mistake(
            "warps the other way",
            rounds(residual=lambda I0, I1, flow: reference.warp(I1, -flow) - I0),
            [
                "After a good round the warped second frame should look like the first. Does it?",
                "warp(I1, flow) already fetches from (x + u, y + v): no minus sign.",
            ],
        ),
        Mistake(
            "trusts pixels that left the frame",
            rounds(keep_outside=True),
            [
                "What is the brightness of a pixel that has moved out of the frame?",
                "Leave out of the sums the pixels where inside_frame(flow) is False.",
            ],
        ),
        Mistake(
            "slopes of both frames' mean",
            rounds(slopes=lambda I0, I1: (I0, I1)),
            [
                "The second frame is warped onto the first. Whose slopes are on that grid?",
                "Take the derivatives of I0, once.",
            ],
        ),
    ],
    accepted=[solved_by_loops, solved_by_cramer],
    defined=lambda expected, I0, I1, window=5, iterations=3: solvable(I0, I1, window, iterations)[0],
    tolerance=Tolerance(
        ulps=512,
        why="sums over a window, then 2 × 2 systems whose condition multiplies their rounding, up to three times over",
    ),
    cost=Cost(
        flops=lambda s: s.iterations * s.pixels * s.channels * (10 * s.window + 40),
        bytes=lambda s: (2 * s.channels + 2) * s.pixels * s.itemsize,
    ),
    components=("u", "v"),
    large=lambda size, rng: {**large_frames(size, rng), "window": 5, "iterations": 3},
)


# ------------------------------------------------------------------ downsample


def plain_stays_plain(f: Any, image: Any) -> Any:
    half = f(np.full_like(image, 0.75))
    return half, np.full_like(half, 0.75)


def half_of_the_mirror_image(f: Any, image: Any) -> Any:
    return f(image[::-1, ::-1]), f(image)[::-1, ::-1]


def half_of_the_transposed(f: Any, image: Any) -> Any:
    return f(np.swapaxes(image, 0, 1)), np.swapaxes(f(image), 0, 1)


def half_of_a_sum(f: Any, image: Any) -> Any:
    other = np.roll(image, 1, axis=0) ** 2
    return f(image + other), f(image) + f(other)


def halved(even: Any, odd: Any, mode: str = "edge", axes: tuple[int, ...] = (0, 1)) -> Any:
    """Halving with taps of one's own: ``(taps, how many pixels before the sample the first lies)``."""

    def wrong(right: Any, image: Any) -> Any:
        for axis in (0, 1):
            n = image.shape[axis]
            if n == 1:
                continue
            taps, before = even if n % 2 == 0 else odd
            if axis not in axes:
                taps, before = [1], 0
            ends = [(before, len(taps)) if a == axis else (0, 0) for a in range(image.ndim)]
            padded = np.moveaxis(np.pad(image, ends, mode=mode), axis, 0)
            total = sum(t * padded[k : k + n : 2] for k, t in enumerate(np.array(taps) / sum(taps)))
            image = np.moveaxis(total, 0, axis)
        return image

    return wrong


FOUR, FIVE = ([1, 3, 3, 1], 1), ([1, 4, 6, 4, 1], 2)


def halving_matrix(n: int) -> np.ndarray:
    """Row i holds the weights of the i-th sample."""
    if n == 1:
        return np.ones((1, 1))
    taps, before = FOUR if n % 2 == 0 else FIVE
    matrix = np.zeros(((n + 1) // 2, n))
    for i in range(len(matrix)):
        for k, tap in enumerate(taps):
            matrix[i, min(max(2 * i - before + k, 0), n - 1)] += tap / sum(taps)
    return matrix


even_sides = st.tuples(st.sampled_from([2, 4, 6]), st.sampled_from([2, 4, 6]))
odd_sides = st.tuples(st.sampled_from([3, 5, 7]), st.sampled_from([3, 5, 7]))

downsample = Spec(
    cases={
        "even sides": images(even_sides),
        "odd sides": images(odd_sides),
        "a single row or column": images(single_line(6)),
        "color": images(st.tuples(st.integers(2, 4), st.integers(2, 4)), colors=(3,)),
    },
    laws=[
        Law("a plain image stays plain", plain_stays_plain),
        Law("turning the image by 180° turns the answer", half_of_the_mirror_image),
        Law("swapping rows and columns swaps those of the answer", half_of_the_transposed),
        Law("the half of a sum is the sum of the halves", half_of_a_sum),
    ],
    mistakes=[
        Mistake(
            "not smoothed",
            lambda right, image: image[::2, ::2],
            [
                "What becomes of a checkerboard if you keep every other pixel?",
                "Smooth before you subsample: [1 3 3 1]/8 for even sides, [1 4 6 4 1]/16 for odd ones.",
            ],
        ),
        Mistake(
            "the five taps on even sides too",
            halved(FIVE, FIVE),
            [
                "Is the middle of the small image where the middle of the large one was?",
                "On an even side the samples lie between two pixels: [1 3 3 1]/8.",
            ],
        ),
        Mistake(
            "two taps on even sides",
            halved(([1, 1], 0), FIVE),
            [
                "How much does averaging two pixels smooth?",
                "On an even side the weights are [1 3 3 1]/8: one pixel further on each side.",
            ],
        ),
        Mistake(
            "zeros beyond the border",
            halved(FOUR, FIVE, mode="constant"),
            ["Is a plain white image still white at its border?", "Repeat the border: np.pad(..., mode='edge')."],
        ),
        Mistake(
            "smoothed along the rows only",
            halved(FOUR, FIVE, axes=(1,)),
            ["Transpose the image: do you get the transposed answer?", "Smooth along both axes, one after the other."],
        ),
        Mistake(
            "an odd side loses its last line",
            lambda right, image: right(image[: max(image.shape[0] // 2 * 2, 1), : max(image.shape[1] // 2 * 2, 1)]),
            ["How many samples does a side of 5 get?", "⌈n/2⌉ of them, so 3: at pixels 0, 2 and 4."],
        ),
    ],
    accepted=[
        lambda image: np.einsum(
            "ij,jk...,lk->il...", halving_matrix(image.shape[0]), image, halving_matrix(image.shape[1])
        ),
        lambda image: halved(FOUR, FIVE)(None, image.astype(np.float32)),
        lambda image: np.swapaxes(halved(FOUR, FIVE)(None, np.swapaxes(image, 0, 1)), 0, 1),
    ],
    tolerance=Tolerance(ulps=16, why="two weighted sums of at most five terms"),
    cost=Cost(flops=lambda s: 8 * s.channels * s.pixels, bytes=lambda s: 1.25 * s.channels * s.pixels * s.itemsize),
    large=lambda size, rng: {"image": rng.random(size)},
)


# ------------------------------------------------------------------ gaussian_pyramid


def flat(levels: Any) -> np.ndarray:
    """All levels behind one another."""
    return np.concatenate([np.ravel(level) for level in levels])


def starts_with_the_image(f: Any, image: Any, levels: Any) -> Any:
    return f(image, levels)[0], image


def above_a_level(f: Any, image: Any, levels: Any) -> Any:
    pyramid = f(image, levels + 1)
    return flat(pyramid[1:]), flat(f(pyramid[1], levels))


def one_more_level(f: Any, image: Any, levels: Any) -> Any:
    return flat(f(image, levels + 1)[:levels]), flat(f(image, levels))


def plain_pyramid(f: Any, image: Any, levels: Any) -> Any:
    values = flat(f(np.full_like(image, 0.75), levels))
    return values, np.full_like(values, 0.75)


def each_half_of_the_one_before(image: Any, levels: int) -> Any:
    pyramid = [image]
    for _ in range(levels - 1):
        pyramid.append(halved(FOUR, FIVE)(None, pyramid[-1]))
    return pyramid


def until_one_pixel(right: Any, image: Any, levels: int) -> Any:
    pyramid = right(image, levels)
    return [p for k, p in enumerate(pyramid) if k == 0 or max(pyramid[k - 1].shape[:2]) > 1]


from_two = st.tuples(st.integers(3, 6), st.integers(3, 6))

gaussian_pyramid = Spec(
    cases={
        "one level": images(from_two, levels=st.just(1)),
        "several levels": images(from_two, levels=st.integers(2, 3)),
        "more levels than halvings": images(st.tuples(st.integers(1, 2), st.integers(1, 2)), levels=st.integers(3, 4)),
        "color": images(from_two, colors=(3,), levels=st.just(2)),
    },
    laws=[
        Law("the first level is the image itself", starts_with_the_image),
        Law("from any level on it is the pyramid of that level", above_a_level),
        Law("one more level leaves the others as they are", one_more_level),
        Law("a plain image stays plain on all levels", plain_pyramid),
    ],
    mistakes=[
        Mistake(
            "coarsest first",
            lambda right, image, levels: right(image, levels)[::-1],
            ["Which level comes first?", "The finest first: index 0 is the image itself."],
        ),
        Mistake(
            "one level too many",
            lambda right, image, levels: right(image, levels + 1),
            ["How many images should there be?", "`levels` counts the original too: halve levels − 1 times."],
        ),
        Mistake(
            "without the image itself",
            lambda right, image, levels: right(image, levels + 1)[1:],
            ["What is the first level?", "Start the list with the image, then append halves."],
        ),
        Mistake(
            "not smoothed",
            lambda right, image, levels: [image[:: 2**k, :: 2**k] for k in range(levels)],
            ["What becomes of a checkerboard?", "Use downsample, which smooths before it subsamples."],
        ),
        Mistake(
            "halves the original each time",
            lambda right, image, levels: [image] + [right(image, 2)[1] for _ in range(levels - 1)],
            ["How large is the third level?", "Halve the level before: downsample(pyramid[-1])."],
        ),
        Mistake(
            "ends early, at one pixel",
            until_one_pixel,
            ["What is half of one pixel here?", "An axis of size 1 stays; always return `levels` images."],
        ),
    ],
    accepted=[
        each_half_of_the_one_before,
        lambda image, levels: tuple(each_half_of_the_one_before(image.astype(np.float32), levels)),
    ],
    tolerance=Tolerance(ulps=32, why="two weighted sums of at most five terms a level, of an average of such"),
    cost=Cost(
        flops=lambda s: 8 * s.channels * s.pixels * (4 - 4.0 ** (2 - s.levels)) / 3,
        bytes=lambda s: s.channels * s.pixels * s.itemsize * (1 + (4 - 4.0 ** (1 - s.levels)) / 3),
    ),
    outputs=("level 0", "level 1", "level 2", "level 3"),
    large=lambda size, rng: {"image": rng.random(size), "levels": 4},
)


# ------------------------------------------------------------------ upsample_flow


def growing(to_size: Any, shapes: st.SearchStrategy[tuple[int, int]]) -> st.SearchStrategy[dict[str, Any]]:
    """A flow (h, w, 2), and a height and a width drawn from ``to_size(n)``, sizes that n may grow to."""
    return shapes.flatmap(
        lambda s: st.fixed_dictionaries(
            {"flow": drawn((*s, 2)), "height": st.sampled_from(to_size(s[0])), "width": st.sampled_from(to_size(s[1]))}
        )
    )


def constant_flow_doubles(f: Any, flow: Any, height: int, width: int) -> Any:
    grown = np.array([2.0 if width > 1 else 1.0, 2.0 if height > 1 else 1.0])
    even = np.broadcast_to([0.75, -0.5], flow.shape).copy()
    return f(even, height, width), np.broadcast_to([0.75, -0.5] * grown, (height, width, 2))


def growing_in_a_mirror(f: Any, flow: Any, height: int, width: int) -> Any:
    return f(mirrored(flow), height, width), mirrored(f(flow, height, width))


def growing_transposed(f: Any, flow: Any, height: int, width: int) -> Any:
    return f(transposed(flow), width, height), transposed(f(flow, height, width))


def every_other_pixel_is_a_sample(f: Any, flow: Any, height: int, width: int) -> Any:
    return f(flow, height, width)[::2, ::2], 2 * flow


def interpolated(flow: Any, rows: Any, columns: Any) -> np.ndarray:
    """The flow at these positions, bilinear, beyond the outermost samples the nearest."""
    h, w = flow.shape[:2]
    down = np.stack([np.interp(rows, range(h), column) for column in flow.reshape(h, -1).T], -1).reshape(-1, w, 2)
    across = np.moveaxis(down, 1, 0).reshape(w, -1)
    out = np.stack([np.interp(columns, range(w), line) for line in across.T], axis=-1)
    return np.moveaxis(out.reshape(-1, len(rows), 2), 0, 1)


def doubled(flow: Any, height: int, width: int, rows: Any, columns: Any) -> np.ndarray:
    return interpolated(flow, rows, columns) * [2 if width > 1 else 1, 2 if height > 1 else 1]


def finer(n: int) -> np.ndarray:
    """Where the n pixels of the finer level lie among the samples of the coarser."""
    return (np.arange(n) - 0.5) / 2 if n % 2 == 0 else np.arange(n) / 2


upsample_flow = Spec(
    cases={
        "to even sides": growing(lambda n: [2 * n], st.tuples(st.integers(1, 3), st.integers(1, 3))),
        "to odd sides": growing(lambda n: [2 * n - 1], st.tuples(st.integers(2, 3), st.integers(2, 3))),
        "a row or column stays single": growing(
            lambda n: [2 * n - 1] if n == 1 else [2 * n, 2 * n - 1], single_line(4)
        ),
    },
    laws=[
        Law("a constant flow becomes twice as large along each axis that grew", constant_flow_doubles),
        Law("mirroring the flow mirrors the answer", growing_in_a_mirror),
        Law("swapping x and y swaps them in the answer", growing_transposed),
        Law(
            "to odd sides, every other pixel holds twice a coarse vector",
            every_other_pixel_is_a_sample,
            cases=("to odd sides",),
        ),
    ],
    mistakes=[
        Mistake(
            "values not doubled",
            lambda right, flow, height, width: (
                right(flow, height, width) / [2 if width > 1 else 1, 2 if height > 1 else 1]
            ),
            [
                "One coarse pixel is how many fine pixels wide?",
                "A motion of 1 px on the coarse level is one of 2 px on the finer: multiply by 2.",
            ],
        ),
        Mistake(
            "each vector repeated",
            lambda right, flow, height, width: (
                flow.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
                * [2 if width > 1 else 1, 2 if height > 1 else 1]
            ),
            ["Does the flow jump from block to block?", "Interpolate bilinearly between the coarse vectors."],
        ),
        Mistake(
            "sampled at x/2 on even sides too",
            lambda right, flow, height, width: doubled(
                flow, height, width, np.arange(height) / 2, np.arange(width) / 2
            ),
            [
                "Mirror the flow: is the answer mirrored?",
                "On an even side downsample's samples lie between pixels: pixel x is at (x − ½)/2.",
            ],
        ),
        Mistake(
            "first and last pixels aligned",
            lambda right, flow, height, width: doubled(
                flow,
                height,
                width,
                np.linspace(0, flow.shape[0] - 1, height),
                np.linspace(0, flow.shape[1] - 1, width),
            ),
            [
                "Where did downsample take its first sample from?",
                "On an even side at 0.5, between two pixels: the outermost pixels lie outside all samples.",
            ],
        ),
        Mistake(
            "doubles u and v, whatever grew",
            lambda right, flow, height, width: (
                right(flow, height, width) * [1 if width > 1 else 2, 1 if height > 1 else 2]
            ),
            [
                "What if the coarse level has a single row, and the finer one too?",
                "Double v only where the height doubled, and u only where the width did.",
            ],
        ),
        Mistake(
            "values halved",
            lambda right, flow, height, width: (
                right(flow, height, width) / [4 if width > 1 else 1, 4 if height > 1 else 1]
            ),
            ["Is a motion longer or shorter when pixels are smaller?", "Multiply by 2; do not divide."],
        ),
    ],
    accepted=[
        lambda flow, height, width: doubled(flow, height, width, finer(height), finer(width)),
        lambda flow, height, width: doubled(flow.astype(np.float32), height, width, finer(height), finer(width)).astype(
            np.float32
        ),
    ],
    tolerance=Tolerance(ulps=16, why="two interpolations in a row; the shares are 0, ¼, ½ or ¾, which are exact"),
    cost=Cost(
        flops=lambda s: 20 * s.height * s.width,
        bytes=lambda s: 2 * (s.h * s.w + s.height * s.width) * s.itemsize,
    ),
    components=("u", "v"),
    large=lambda size, rng: {
        "flow": rng.normal(size=((size[0] + 1) // 2, (size[1] + 1) // 2, 2)),
        "height": size[0],
        "width": size[1],
    },
)


# ------------------------------------------------------------------ resize_flow


def same_size_same_flow(f: Any, flow: Any, height: int, width: int) -> Any:
    return f(flow, *flow.shape[:2]), flow


def constant_flow_stretches(f: Any, flow: Any, height: int, width: int) -> Any:
    stretched = [width / flow.shape[1], height / flow.shape[0]]
    return f(np.ones_like(flow), height, width), np.broadcast_to(stretched, (height, width, 2))


def stretched_by(u: Any, v: Any) -> Any:
    """A mistake in how the values grow: `u` and `v` are factors, given the two ratios of the sizes."""

    def wrong(right: Any, flow: Any, height: int, width: int) -> Any:
        rx, ry = width / flow.shape[1], height / flow.shape[0]
        return right(flow, height, width) / [rx, ry] * [u(rx, ry), v(rx, ry)]

    return wrong


def resized(flow: Any, height: int, width: int, position: Any) -> np.ndarray:
    """Resize with ``position(i, old, new)``: where pixel i of the new size lies among the old ones."""
    h, w = flow.shape[:2]
    rows, columns = position(np.arange(height), h, height), position(np.arange(width), w, width)
    return interpolated(flow, rows, columns) * [width / w, height / h]


two_to_four = st.tuples(st.integers(2, 4), st.integers(2, 4))

resize_flow = Spec(
    cases={
        "larger": growing(lambda n: [n + 1, 2 * n, 2 * n + 1], two_to_four),
        "smaller": growing(lambda n: range(1, n), two_to_four),
        "one side larger, the other smaller": st.builds(
            lambda f, grow, shrink: {"flow": f, "height": f.shape[0] + grow, "width": max(f.shape[1] - shrink, 1)},
            two_to_four.flatmap(lambda s: drawn((*s, 2))),
            st.integers(1, 4),
            st.integers(1, 3),
        ),
    },
    laws=[
        Law("resizing to the same size changes nothing", same_size_same_flow),
        Law("u grows as the width does, and v as the height does", constant_flow_stretches),
        Law("mirroring the flow mirrors the answer", growing_in_a_mirror),
        Law("swapping x and y swaps them in the answer", growing_transposed),
    ],
    mistakes=[
        Mistake(
            "values not stretched",
            stretched_by(lambda rx, ry: 1, lambda rx, ry: 1),
            [
                "The image gets twice as wide. How far does a car in it drive now?",
                "Multiply u by W′/W and v by H′/H.",
            ],
        ),
        Mistake(
            "values divided, not multiplied",
            stretched_by(lambda rx, ry: 1 / rx, lambda rx, ry: 1 / ry),
            ["Do motions get longer or shorter in a larger image?", "u is multiplied by new width over old width."],
        ),
        Mistake(
            "the width's factor for both",
            stretched_by(lambda rx, ry: rx, lambda rx, ry: rx),
            ["What if only the height changes?", "v is multiplied by H′/H, u by W′/W."],
        ),
        Mistake(
            "factors swapped",
            stretched_by(lambda rx, ry: ry, lambda rx, ry: rx),
            ["Shapes are (height, width); vectors are (u, v). Which goes with which?", "u with width, v with height."],
        ),
        Mistake(
            "first and last pixels aligned",
            lambda right, flow, height, width: resized(
                flow, height, width, lambda i, old, new: i * (old - 1) / max(new - 1, 1)
            ),
            [
                "Pixels are squares. Where in its square does a sample lie?",
                "New pixel i is at (i + ½) · old/new − ½: half-pixel centers (align_corners=False).",
            ],
        ),
        Mistake(
            "corners instead of centers",
            lambda right, flow, height, width: resized(flow, height, width, lambda i, old, new: i * old / new),
            [
                "Mirror the flow: is the answer mirrored?",
                "Pixel i has its center at i + ½; add the half before scaling, and take it off after.",
            ],
        ),
    ],
    accepted=[
        lambda flow, height, width: resized(
            flow, height, width, lambda i, old, new: np.clip((i + 0.5) * old / new - 0.5, 0, old - 1)
        ),
        lambda flow, height, width: resized(
            flow.astype(np.float32),
            height,
            width,
            lambda i, old, new: np.linspace(0.5, new - 0.5, new) * old / new - 0.5,
        ).astype(np.float32),
    ],
    tolerance=Tolerance(
        ulps=64, why="a position off by an ulp of the size moves the answer by that much of a slope; then interpolation"
    ),
    cost=Cost(
        flops=lambda s: 20 * s.height * s.width,
        bytes=lambda s: 2 * (s.h * s.w + s.height * s.width) * s.itemsize,
    ),
    components=("u", "v"),
    large=lambda size, rng: {
        "flow": rng.normal(size=(size[0] * 3 // 4, size[1] * 3 // 4, 2)),
        "height": size[0],
        "width": size[1],
    },
)


# ------------------------------------------------------------------ coarse_to_fine


def pyramid_finds_a_translation(f: Any, I0: Any, I1: Any, shift: Any, **arguments: Any) -> bool:
    y, x = np.mgrid[:32, :32]

    def blob(u: float, v: float) -> np.ndarray:
        return np.exp(-((x - u - 16) ** 2) / 60 - (y - v - 16) ** 2 / 60)

    flow = f(blob(-shift[0] / 2, -shift[1] / 2), blob(shift[0] / 2, shift[1] / 2), 9, 5, 3)
    at = flow[16 - round(shift[1] / 2), 16 - round(shift[0] / 2)]
    return bool(np.abs(at - shift).max() < 0.3)


def descends(upsample: Any = None, refine: Any = None) -> Any:
    """Coarse-to-fine with one thing done differently."""

    def wrong(right: Any, I0: Any, I1: Any, window: int = 5, iterations: int = 3, levels: int | None = None) -> Any:
        if levels is None:
            levels = 1 + max(0, int(np.log2(min(I0.shape[:2]) / 8)))
        pyramids = [reference.gaussian_pyramid(I, levels) for I in (I0, I1)]
        flow = right(pyramids[0][-1], pyramids[1][-1], window, iterations, 1)
        for J0, J1 in reversed(list(zip(*pyramids, strict=True))[:-1]):
            flow = (upsample or reference.upsample_flow)(flow, *J0.shape[:2])
            flow = (refine or reference._refine)(J0, J1, flow, window, iterations)
        return flow

    return wrong


def rounds_from(I0: Any, I1: Any, flow: Any, window: int, iterations: int) -> Any:
    """The rounds as one system each: the sums by cumulative sums."""
    Iy, Ix = np.gradient(I0, axis=0), np.gradient(I0, axis=1)
    r, (height, width) = window // 2, I0.shape[:2]

    def total(values: Any) -> Any:
        table = np.pad(values, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
        top, bottom = np.clip(np.arange(height) - r, 0, height), np.clip(np.arange(height) + r + 1, 0, height)
        left, right = np.clip(np.arange(width) - r, 0, width), np.clip(np.arange(width) + r + 1, 0, width)
        rows = table[bottom] - table[top]
        return rows[:, right] - rows[:, left]

    for _ in range(iterations):
        known = reference.inside_frame(flow)
        b = Ix * flow[..., 0] + Iy * flow[..., 1] - reference.warp(I1, flow) + I0
        xx, xy, yy, bx, by = (total(known * p) for p in (Ix * Ix, Ix * Iy, Iy * Iy, Ix * b, Iy * b))
        J = np.stack([np.stack([xx, xy], -1), np.stack([xy, yy], -1)], -2) + 1e-6 * np.eye(2)
        flow = np.linalg.solve(J, (np.stack([bx, by], -1) + 1e-6 * flow)[..., None])[..., 0]
    return flow


def solvable_down(I0: Any, I1: Any, window: int, iterations: int, levels: int | None) -> Any:
    """The same as `solvable` on the finest level, once the coarser ones have been descended."""
    if levels is None:
        levels = 1 + max(0, int(np.log2(min(I0.shape[:2]) / 8)))
    flow = None
    for J0, J1 in reversed(list(zip(*(reference.gaussian_pyramid(I, levels) for I in (I0, I1)), strict=True))):
        if flow is not None:
            flow = reference.upsample_flow(flow, *J0.shape[:2])
        mask, flow = solvable(J0, J1, window, iterations, flow)
    return mask


coarse_sizes = st.tuples(st.integers(10, 12), st.integers(10, 12))
large_shifts = st.sampled_from([0.75, -1.125, 1.25, -0.625])

coarse_to_fine = Spec(
    cases={
        "one level": frames(
            six_or_seven, small_shifts, window=st.just(7), iterations=st.integers(1, 2), levels=st.just(1)
        ),
        "two levels": frames(
            coarse_sizes, large_shifts, window=st.just(7), iterations=st.integers(1, 2), levels=st.just(2)
        ),
        "as many levels as fit": few_frames(
            (16, 17),
            [(0.75, -1.125), (-1.125, 0.75), (1.25, 1.25), (-0.625, -1.125), (1.25, 0.75), (-1.125, -0.625)],
            window=9,
            iterations=2,
            levels=None,
        ),
    },
    laws=[
        Law("between two identical frames nothing moves", still_is_zero),
        Law("brightening both frames by ½ changes nothing", flow_ignores_brightness),
        Law("mirroring both frames mirrors the flow", flow_in_a_mirror),
        Law(
            "a blob that moves by several pixels is found to move by just that",
            pyramid_finds_a_translation,
            cases=("as many levels as fit",),
            draws={"shift": st.sampled_from([(6.0, 0.0), (-6.0, 2.0), (0.0, -6.0)])},
        ),
    ],
    mistakes=[
        Mistake(
            "not doubled between levels",
            descends(upsample=lambda flow, height, width: reference.upsample_flow(flow, height, width) / 2),
            [
                "A motion of 1 px on the coarse level: how many pixels is it on the next?",
                "Use upsample_flow, which doubles the values as well.",
            ],
        ),
        Mistake(
            "starts every level from zero",
            lambda right, I0, I1, window=5, iterations=3, levels=None: right(I0, I1, window, iterations, 1),
            [
                "What does a level learn from the one before?",
                "Start from the upsampled coarser flow, not from zero.",
            ],
        ),
        Mistake(
            "solves the coarsest level only",
            descends(refine=lambda J0, J1, flow, window, iterations: flow),
            [
                "How accurate can the flow of a small image be?",
                "On every level down to the image itself, refine the upsampled flow.",
            ],
        ),
        Mistake(
            "adds the coarse flow to an unwarped solution",
            descends(
                refine=lambda J0, J1, flow, window, iterations: (
                    flow + reference.iterative_lucas_kanade(J0, J1, window, iterations)
                )
            ),
            [
                "Once the coarse motion is known, how much is left to find?",
                "Warp the second frame by the coarse flow before you solve on the finer level.",
            ],
        ),
        Mistake(
            "frames swapped",
            lambda right, I0, I1, *rest: right(I1, I0, *rest),
            [
                "On which frame's grid is the flow?",
                "On the first's: I1(x + u, y + v) = I0(x, y). Warp I1 towards I0.",
            ],
        ),
        Mistake(
            "u and v swapped",
            lambda right, *arguments: right(*arguments)[..., ::-1],
            ["The last axis is (u, v): right first, then down.", "u goes with x and I_x, v with y and I_y."],
        ),
    ],
    accepted=[
        lambda I0, I1, window, iterations, levels: descends()(
            lambda J0, J1, *rest: solved_by_cramer(J0, J1, window, iterations), I0, I1, window, iterations, levels
        ),
        lambda I0, I1, window, iterations, levels: descends(
            refine=lambda J0, J1, flow, *rest: rounds_from(J0, J1, flow, *rest)
        )(reference.coarse_to_fine, I0, I1, window, iterations, levels),
    ],
    defined=lambda expected, I0, I1, window, iterations, levels: solvable_down(I0, I1, window, iterations, levels),
    tolerance=Tolerance(
        ulps=1024,
        why="as in iterative Lucas–Kanade, on every level, and doubled from each to the next",
    ),
    cost=Cost(
        flops=lambda s: 4 / 3 * s.iterations * s.pixels * s.channels * (10 * s.window + 40),
        bytes=lambda s: (2 * s.channels + 2) * s.pixels * s.itemsize,
    ),
    components=("u", "v"),
    large=lambda size, rng: {**large_frames(size, rng), "window": 5, "iterations": 3, "levels": 3},
)


# ------------------------------------------------------------------ apparent_displacement


def displacements(shares: Any, *wavelengths: float) -> st.SearchStrategy[dict[str, Any]]:
    """Displacements k · λ / 8 for k drawn from `shares`."""
    return st.builds(
        lambda k, wavelength: {"displacement": k * wavelength / 8, "wavelength": wavelength},
        hnp.array_shapes(min_dims=1, max_dims=2, max_side=4).flatmap(
            lambda shape: drawn(shape, st.sampled_from(shares).map(float))
        ),
        st.sampled_from(wavelengths),
    )


def within_half_a_wavelength(f: Any, displacement: Any, wavelength: float) -> bool:
    apparent = f(displacement, wavelength)
    return bool(((apparent > -wavelength / 2) & (apparent <= wavelength / 2)).all())


def off_by_whole_periods(f: Any, displacement: Any, wavelength: float) -> Any:
    periods = (displacement - f(displacement, wavelength)) / wavelength
    return periods, np.round(periods)


def one_period_more(f: Any, displacement: Any, wavelength: float) -> Any:
    return f(displacement + wavelength, wavelength), f(displacement, wavelength)


def seen_twice(f: Any, displacement: Any, wavelength: float) -> Any:
    apparent = f(displacement, wavelength)
    return f(apparent, wavelength), apparent


apparent_displacement = Spec(
    cases={
        "less than half a wavelength": displacements([0, 1, 2, 3, -1, -2, -3], 8.0, 4.0, 3.0),
        "more than half a wavelength": displacements(
            [5, 6, 7, 9, 11, -5, -7, -10, 13, 14, -13, 21, -22], 8.0, 4.0, 3.0
        ),
        "exactly half a wavelength, and whole ones": displacements([4, -4, 12, -12, 20, -20], 8.0, 4.0, 3.0),
    },
    laws=[
        Law("lies above −λ/2, and at most at λ/2", within_half_a_wavelength),
        Law("differs from the true shift by whole wavelengths", off_by_whole_periods),
        Law("one wavelength more looks the same", one_period_more),
        Law("what is already wrapped stays", seen_twice),
    ],
    mistakes=[
        Mistake(
            "wraps to 0 … λ",
            lambda right, displacement, wavelength: displacement % wavelength,
            [
                "Can a pattern seem to move backwards?",
                "Choose the smallest shift in either direction: from −λ/2 to λ/2.",
            ],
        ),
        Mistake(
            "−λ/2 instead of λ/2",
            lambda right, displacement, wavelength: (displacement + wavelength / 2) % wavelength - wavelength / 2,
            [
                "At exactly half a wavelength both directions explain it. Which is the answer?",
                "The positive one: the range is (−λ/2, λ/2].",
            ],
        ),
        Mistake(
            "takes off whole wavelengths towards zero",
            lambda right, displacement, wavelength: np.fmod(displacement, wavelength),
            [
                "The pattern moves by ¾ of a wavelength. Is there a shorter shift that looks the same?",
                "Take off the nearest whole number of wavelengths, not the one below.",
            ],
        ),
        Mistake(
            "wraps once only",
            lambda right, displacement, wavelength: (
                displacement
                - wavelength * (displacement > wavelength / 2)
                + wavelength * (displacement <= -wavelength / 2)
            ),
            ["What if it moves by ten wavelengths?", "Take off as many as needed: λ ⌈d/λ − ½⌉."],
        ),
        Mistake(
            "cut off at half a wavelength",
            lambda right, displacement, wavelength: np.clip(displacement, -wavelength / 2, wavelength / 2),
            [
                "What is seen when it moves by exactly one wavelength?",
                "Nothing seems to move then: subtract whole wavelengths, do not clip.",
            ],
        ),
        Mistake(
            "wraps by half wavelengths",
            lambda right, displacement, wavelength: right(displacement, wavelength / 2),
            [
                "By how much can you shift a pattern without a visible change?",
                "By whole wavelengths; half a wavelength turns crests into troughs.",
            ],
        ),
    ],
    accepted=[
        lambda displacement, wavelength: wavelength / 2 - (wavelength / 2 - displacement) % wavelength,
        lambda displacement, wavelength: (
            -(np.mod(wavelength / 2 - displacement.astype(np.float32), wavelength) - wavelength / 2)
        ),
        lambda displacement, wavelength: displacement + wavelength * np.floor(0.5 - displacement / wavelength),
    ],
    tolerance=Tolerance(ulps=8, why="one product and one difference of numbers no larger than the true shift"),
    cost=Cost(flops=lambda s: 5 * vectors(s), bytes=lambda s: 2 * vectors(s) * s.itemsize),
    large=lambda size, rng: {"displacement": rng.normal(size=size) * 8, "wavelength": 6.0},
)


# ------------------------------------------------------------------ median_filter_flow


def constant_flow_stays(f: Any, flow: Any) -> Any:
    even = np.broadcast_to([0.75, -0.5], flow.shape).copy()
    return f(even), even


def lone_outlier_goes(f: Any, flow: Any, where: tuple[int, int]) -> Any:
    even = np.broadcast_to([0.75, -0.5], flow.shape).copy()
    spiked = even.copy()
    spiked[where[0] % flow.shape[0], where[1] % flow.shape[1]] = 50.0
    return f(spiked), even


def medians_in_a_mirror(f: Any, flow: Any) -> Any:
    return f(mirrored(flow)), mirrored(f(flow))


def each_component_alone(f: Any, flow: Any) -> Any:
    return f(flow * [1, 0])[..., 0], f(flow)[..., 0]


def nine_neighbors(flow: Any, mode: str = "edge", radius: int = 1) -> np.ndarray:
    """(K², H, W, 2): the neighbors of each pixel."""
    height, width = flow.shape[:2]
    padded = np.pad(flow, ((radius, radius), (radius, radius), (0, 0)), mode=mode)
    size = 2 * radius + 1
    return np.stack([padded[i : i + height, j : j + width] for i in range(size) for j in range(size)])


def border_untouched(right: Any, flow: Any) -> Any:
    out = flow.copy()
    out[1:-1, 1:-1] = right(flow)[1:-1, 1:-1]
    return out


def vector_of_median_length(right: Any, flow: Any) -> Any:
    near = nine_neighbors(flow)
    middle = np.argsort(np.hypot(near[..., 0], near[..., 1]), axis=0, kind="stable")[4]
    return np.take_along_axis(near, middle[None, ..., None], axis=0)[0]


def median_by_loops(flow: Any) -> Any:
    out = np.empty_like(flow)
    height, width = flow.shape[:2]
    for y in range(height):
        for x in range(width):
            near = [
                flow[min(max(y + j, 0), height - 1), min(max(x + i, 0), width - 1)]
                for j in (-1, 0, 1)
                for i in (-1, 0, 1)
            ]
            out[y, x] = sorted(n[0] for n in near)[4], sorted(n[1] for n in near)[4]
    return out


median_filter_flow = Spec(
    cases={
        "three or more pixels a side": with_flow(most=5, least=3),
        "two pixels a side": with_flow(most=2, least=2),
        "a single row or column": single_line().flatmap(lambda s: st.fixed_dictionaries({"flow": drawn((*s, 2))})),
    },
    laws=[
        Law("a constant flow stays", constant_flow_stays),
        Law(
            "a single outlier in a constant flow disappears",
            lone_outlier_goes,
            cases=("three or more pixels a side", "two pixels a side"),
            draws={"where": st.tuples(st.integers(0, 5), st.integers(0, 5))},
        ),
        Law("mirroring the flow mirrors the answer", medians_in_a_mirror),
        Law("u does not depend on v", each_component_alone),
    ],
    mistakes=[
        Mistake(
            "mean instead of median",
            lambda right, flow: nine_neighbors(flow).mean(axis=0),
            ["What does a single wild vector do to its neighbors?", "The median is the 5th of 9 sorted values."],
        ),
        Mistake(
            "zeros beyond the border",
            lambda right, flow: np.median(nine_neighbors(flow, mode="constant"), axis=0),
            ["Does a constant flow stay constant in the corners?", "Repeat the border: np.pad(..., mode='edge')."],
        ),
        Mistake(
            "border left as it was",
            border_untouched,
            [
                "Look at the outermost rows and columns.",
                "Repeat the border, so that every pixel has nine neighbors.",
            ],
        ),
        Mistake(
            "5 × 5 window",
            lambda right, flow: np.median(nine_neighbors(flow, radius=2), axis=0),
            ["How many neighbors are there?", "3 × 3: one pixel to each side."],
        ),
        Mistake(
            "u and v in one pot",
            lambda right, flow: np.repeat(
                np.median(np.moveaxis(nine_neighbors(flow), 0, -1), axis=(-2, -1))[..., None], 2, axis=-1
            ),
            ["If all v change, does your u?", "Take the median of each component by itself."],
        ),
        Mistake(
            "the vector of median length",
            vector_of_median_length,
            ["Two opposite vectors have the same length.", "Sort u by itself and v by itself."],
        ),
    ],
    accepted=[
        median_by_loops,
        lambda flow: np.sort(nine_neighbors(flow), axis=0)[4],
        lambda flow: np.median(nine_neighbors(flow.astype(np.float32)), axis=0),
    ],
    tolerance=Tolerance(ulps=1, why="a median of nine is one of them: nothing is rounded"),
    cost=Cost(flops=lambda s: 2 * 19 * s.pixels, bytes=lambda s: 4 * s.pixels * s.itemsize),
    components=("u", "v"),
    large=large_flow,
)


# ------------------------------------------------------------------ dense


def dense_mirrored(f: Any, I0: Any, I1: Any, quality: str) -> Any:
    return f(I0[:, ::-1], I1[:, ::-1], quality=quality), mirrored(f(I0, I1, quality=quality))


def dense_turned(f: Any, I0: Any, I1: Any, quality: str) -> Any:
    turned = np.rot90(f(I0, I1, quality=quality))
    return f(np.rot90(I0), np.rot90(I1), quality=quality), np.stack([turned[..., 1], -turned[..., 0]], axis=-1)


def dense_finds_a_translation(f: Any, I0: Any, I1: Any, quality: str, shift: Any) -> bool:
    return translation_found(f, shift, size=20, margin=5, within=0.15, quality="high")


def one_level_only(right: Any, I0: Any, I1: Any, *, quality: str = "fast") -> Any:
    budget = dense_reference.budget_of(quality)
    J0, J1 = dense_reference.prepare(I0, 0), dense_reference.prepare(I1, 0)
    flow = np.zeros((*J0.shape, 2), J0.dtype)
    for _ in range(budget.last_warps):
        flow = reference.median_filter_flow(dense_reference.minimize(J0, J1, flow, budget))
    return flow


dense_shifts = [(0.75, -0.5), (-1.25, 0.5), (1.0, 1.25), (-0.5, -0.75), (0.25, 1.5), (1.5, 0.25)]

dense = Spec(
    cases={
        "small frames, fast": few_frames((10, 11), dense_shifts, quality="fast"),
        "frames that are halved first, fast": few_frames((17, 16), dense_shifts, quality="fast"),
        "high quality": few_frames((12, 10), dense_shifts[:3], quality="high"),
        "color": few_frames((10, 12), dense_shifts[:4], colors=3, quality="fast"),
    },
    laws=[
        Law("between two identical frames nothing moves", still_is_zero),
        Law("mirroring both frames mirrors the flow", dense_mirrored, cases=("small frames, fast", "color")),
        Law(
            "turning both frames by 90° turns the flow",
            dense_turned,
            cases=("small frames, fast", "frames that are halved first, fast"),
        ),
        Law(
            "a textured pattern that moves is found to move by just that",
            dense_finds_a_translation,
            cases=("high quality",),
            draws={"shift": st.sampled_from([(0.75, -0.5), (-1.0, 0.25)])},
        ),
    ],
    mistakes=[
        Mistake(
            "frames swapped",
            lambda right, I0, I1, *, quality="fast": right(I1, I0, quality=quality),
            [
                "From which frame to which does the flow lead, and on whose grid is it?",
                "From I0 to I1, on the grid of I0: I1(x + u, y + v) = I0(x, y).",
            ],
        ),
        Mistake(
            "u and v swapped",
            lambda right, I0, I1, *, quality="fast": right(I0, I1, quality=quality)[..., ::-1],
            ["The last axis is (u, v): right first, then down.", "u goes with x and I_x, v with y and I_y."],
        ),
        Mistake(
            "in pixels of half the size",
            lambda right, I0, I1, *, quality="fast": right(I0, I1, quality=quality) / 2,
            [
                "On which level of the pyramid are your pixels?",
                "Each time the flow goes down a level, its values double.",
            ],
        ),
        Mistake(
            "a single level",
            one_level_only,
            [
                "How far may a pattern move before the linearized equation leads astray?",
                "Start on a small image, and refine from coarse to fine.",
            ],
        ),
        Mistake(
            "one color only",
            lambda right, I0, I1, *, quality="fast": (
                right(I0[..., 0], I1[..., 0], quality=quality) if I0.ndim == 3 else right(I0, I1, quality=quality)
            ),
            ["What if something moves that is not red?", "Reduce color to its luma: 0.299 R + 0.587 G + 0.114 B."],
        ),
    ],
    accepted=[
        lambda I0, I1, *, quality="fast": mirrored(dense_reference.dense(I0[:, ::-1], I1[:, ::-1], quality=quality)),
        lambda I0, I1, *, quality="fast": transposed(
            dense_reference.dense(np.swapaxes(I0, 0, 1), np.swapaxes(I1, 0, 1), quality=quality)
        ),
    ],
    tolerance=Tolerance(
        ulps=2048,
        why="conjugate gradients and robust weights multiply each rounding; in float32 that is half a thousandth",
        loose=1e-2,
    ),
    cost=Cost(
        flops=lambda s: 2000 * s.pixels,
        bytes=lambda s: (2 * s.channels + 2) * s.pixels * s.itemsize,
    ),
    components=("u", "v"),
    large=lambda size, rng: {**large_frames(size, rng), "quality": "fast"},
)


# ------------------------------------------------------------------ endpoint_error, angular_error, fl_all


def flow_and_truth(
    flow: st.SearchStrategy[float] = quarters,
    truth: st.SearchStrategy[float] = quarters,
    mask: st.SearchStrategy[bool] | None = None,
    apart: bool = False,
) -> st.SearchStrategy[dict[str, Any]]:
    """A flow, the true one and perhaps a mask; with `apart`, `flow` draws what is added to the truth."""

    def of_shape(shape: tuple[int, ...]) -> st.SearchStrategy[dict[str, Any]]:
        arrays = {"flow": drawn((*shape, 2), flow), "truth": drawn((*shape, 2), truth)}
        if mask is not None:
            arrays["valid"] = drawn(shape, mask, bool)
        both = st.fixed_dictionaries(arrays)
        return both.map(lambda a: {**a, "flow": a["flow"] + a["truth"]}) if apart else both

    return hnp.array_shapes(min_dims=1, max_dims=2, max_side=3).flatmap(of_shape)


def one_counts(cases: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """The same with at least one pixel that counts, and one that does not if there are two."""

    def adjusted(a: dict[str, Any]) -> dict[str, Any]:
        valid = a["valid"].copy()
        valid.flat[-1], valid.flat[0] = False, True
        return {**a, "valid": valid}

    return cases.map(adjusted)


def over(values: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
    """The mean over the pixels that count."""
    return np.asarray((values if valid is None else values[valid]).mean())


def truth_has_no_error(f: Any, flow: Any, truth: Any, valid: Any = None) -> Any:
    return f(truth, truth, valid), np.zeros(())


def error_is_symmetric(f: Any, flow: Any, truth: Any, valid: Any = None) -> Any:
    return f(truth, flow, valid), f(flow, truth, valid)


def hidden_pixels_do_not_count(f: Any, flow: Any, truth: Any, valid: Any) -> Any:
    return f(np.where(valid[..., None], flow, 77.0), truth, valid), f(flow, truth, valid)


def every_pixel_twice(f: Any, flow: Any, truth: Any, valid: Any = None) -> Any:
    again = [a if a is None else np.concatenate([a, a]) for a in (flow, truth, valid)]
    return f(*again), f(flow, truth, valid)


def three_and_four_make_five(f: Any, flow: Any, truth: Any, valid: Any = None) -> Any:
    return f(truth + np.array([3.0, 4.0]), truth, valid), np.asarray(5.0)


def error_doubles(f: Any, flow: Any, truth: Any, valid: Any = None) -> Any:
    return f(2 * flow, 2 * truth, valid), 2 * f(flow, truth, valid)


def turned_both(f: Any, flow: Any, truth: Any, valid: Any = None) -> Any:
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    return f(flow @ turn, truth @ turn, valid), f(flow, truth, valid)


ALL, SOME, NONE = "every pixel counts", "some pixels count", "no pixel counts"
nobody = flow_and_truth(mask=st.just(False))
ignores_the_mask = Mistake(
    "ignores the mask",
    lambda right, flow, truth, valid=None: right(flow, truth, None),
    ["What is `valid` for?", "Average over the pixels where valid is True, and only those."],
)
divides_by_all = Mistake(
    "divides by the number of all pixels",
    lambda right, flow, truth, valid=None: (
        right(flow, truth) if valid is None else np.asarray(np.nan_to_num(right(flow, truth, valid)) * valid.mean())
    ),
    ["How many pixels count?", "Divide by valid.sum(), not by the size of the field."],
)


def zero_for_nothing(right: Any, flow: Any, truth: Any, valid: Any = None) -> Any:
    return np.asarray(0.0) if valid is not None and not valid.any() else right(flow, truth, valid)


says_zero_for_nothing = Mistake(
    "0 if no pixel counts",
    zero_for_nothing,
    ["Is a flow perfect if nobody looked at it?", "The mean of nothing is NaN; 0 would claim that all is right."],
)

endpoint_error = Spec(
    cases={ALL: flow_and_truth(), SOME: one_counts(flow_and_truth(mask=st.booleans())), NONE: nobody},
    laws=[
        Law("the truth has no error", truth_has_no_error, cases=(ALL, SOME)),
        Law("off by (3, 4) everywhere is an error of 5", three_and_four_make_five, cases=(ALL, SOME)),
        Law("doubling both flows doubles the error", error_doubles),
        Law("turning both flows by 90° changes nothing", turned_both),
        Law("listing every pixel twice changes nothing", every_pixel_twice),
        Law("what is not valid does not matter", hidden_pixels_do_not_count, cases=(SOME, NONE)),
    ],
    mistakes=[
        Mistake(
            "mean squared error",
            lambda right, flow, truth, valid=None: over(((flow - truth) ** 2).sum(axis=-1), valid),
            ["What unit has the answer?", "Pixels: take the square root of each pixel's du² + dv²."],
        ),
        Mistake(
            "root of the mean square",
            lambda right, flow, truth, valid=None: np.sqrt(over(((flow - truth) ** 2).sum(axis=-1), valid)),
            [
                "What comes first, the square root or the mean?",
                "Take the length of each pixel's error, then the mean.",
            ],
        ),
        Mistake(
            "|du| + |dv|",
            lambda right, flow, truth, valid=None: over(np.abs(flow - truth).sum(axis=-1), valid),
            ["How far apart are (0, 0) and (3, 4)?", "Take the Euclidean length, √(du² + dv²)."],
        ),
        ignores_the_mask,
        divides_by_all,
        says_zero_for_nothing,
    ],
    accepted=[
        lambda flow, truth, valid=None: over(np.linalg.norm(flow - truth, axis=-1), valid),
        lambda flow, truth, valid=None: over(np.hypot(*np.moveaxis((flow - truth).astype(np.float32), -1, 0)), valid),
        lambda flow, truth, valid=None: over(np.sqrt(((flow - truth) ** 2).sum(axis=-1) + 1e-12), valid),
    ],
    tolerance=Tolerance(
        ulps=32,
        why="a square root of two squares, then a mean of positive numbers; a pixel is the least scale",
        scale=lambda expected, flow, truth, **rest: max(1.0, np.abs(flow).max(), np.abs(truth).max()),
    ),
    cost=Cost(flops=lambda s: 7 * vectors(s), bytes=lambda s: 4 * vectors(s) * s.itemsize),
    large=large_flow_and_truth,
)


def right_angle(f: Any, flow: Any, truth: Any, valid: Any = None) -> Any:
    still = np.zeros_like(truth)
    return f(still + np.array([1.0, 0.0]), still, valid), np.asarray(45.0)


def by_arccos(flow: Any, truth: Any, valid: Any = None, third: float = 1.0) -> np.ndarray:
    a, b = (np.concatenate([x, np.full((*x.shape[:-1], 1), third)], axis=-1) for x in (flow, truth))
    cosine = (a * b).sum(axis=-1) / np.maximum(np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1), 1e-12)
    return over(np.rad2deg(np.arccos(np.clip(cosine, -1, 1))), valid)


def by_chord(flow: Any, truth: Any, valid: Any = None) -> np.ndarray:
    a, b = (np.concatenate([x, np.ones((*x.shape[:-1], 1))], axis=-1) for x in (flow, truth))
    a, b = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    angle = 2 * np.arctan2(np.linalg.norm(a - b, axis=-1), np.linalg.norm(a + b, axis=-1))
    return over(angle * 180 / np.pi, valid)


angular_error = Spec(
    cases={ALL: flow_and_truth(), SOME: one_counts(flow_and_truth(mask=st.booleans())), NONE: nobody},
    laws=[
        Law("the truth has no error", truth_has_no_error, cases=(ALL, SOME)),
        Law("one pixel per frame instead of rest is an error of 45°", right_angle, cases=(ALL, SOME)),
        Law("the flow and the truth may change places", error_is_symmetric),
        Law("turning both flows by 90° changes nothing", turned_both),
        Law("listing every pixel twice changes nothing", every_pixel_twice),
        Law("what is not valid does not matter", hidden_pixels_do_not_count, cases=(SOME, NONE)),
    ],
    mistakes=[
        Mistake(
            "in radians",
            lambda right, flow, truth, valid=None: np.deg2rad(right(flow, truth, valid)),
            ["What unit has the answer?", "Degrees: np.rad2deg."],
        ),
        Mistake(
            "without the 1",
            lambda right, flow, truth, valid=None: by_arccos(flow, truth, valid, third=0.0),
            ["What is the angle between a flow and rest?", "Compare (u, v, 1) with (u*, v*, 1): in space and time."],
        ),
        Mistake(
            "the cosine, not the angle",
            lambda right, flow, truth, valid=None: over(
                ((flow * truth).sum(-1) + 1) / np.sqrt(((flow**2).sum(-1) + 1) * ((truth**2).sum(-1) + 1)),
                valid,
            ),
            ["What is the error of the truth?", "Take the arccos of the normalized dot product."],
        ),
        ignores_the_mask,
        divides_by_all,
        says_zero_for_nothing,
    ],
    accepted=[by_arccos, by_chord],
    tolerance=Tolerance(
        ulps=16,
        why="an angle is as accurate as the cross and the dot product it is made of, relative to half a turn",
        scale=lambda expected, **inputs: 180.0,
    ),
    cost=Cost(flops=lambda s: 40 * vectors(s), bytes=lambda s: 4 * vectors(s) * s.itemsize),
    large=large_flow_and_truth,
)


def between_0_and_100(f: Any, flow: Any, truth: Any, valid: Any = None) -> bool:
    share = f(flow, truth, valid)
    return bool(0 <= share <= 100)


def off_by_a_lot(f: Any, flow: Any, truth: Any, valid: Any = None) -> Any:
    return f(truth + 500.0, truth, valid), np.asarray(100.0)


def fl_with(test: Any, times: float = 100.0) -> Any:
    """A mistake in the test of the error against the length of the true flow (and of the flow)."""

    def wrong(right: Any, flow: Any, truth: Any, valid: Any = None) -> Any:
        error, length = (np.sqrt((x**2).sum(axis=-1)) for x in (flow - truth, truth))
        return over(times * test(error, length, np.sqrt((flow**2).sum(axis=-1))).astype(float), valid)

    return wrong


errors_to_8 = st.integers(-8, 8).map(float)
SLOW, FAST, LIMIT = "slow motion", "fast motion", "off by exactly 3 pixels"

fl_all = Spec(
    cases={
        SLOW: flow_and_truth(errors_to_8, quarters.map(np.round), apart=True),
        FAST: flow_and_truth(errors_to_8, st.sampled_from([90.0, -130.0, 1.0]), apart=True),  # never at 5 % exactly
        LIMIT: flow_and_truth(quarters.map(np.round), quarters.map(np.round), apart=True).map(
            lambda a: {**a, "flow": a["truth"] + np.where(np.arange(2) == 0, 3.0, 0.0)}
        ),
        SOME: one_counts(flow_and_truth(errors_to_8, st.sampled_from([0.0, 90.0]), mask=st.booleans(), apart=True)),
        NONE: nobody,
    },
    laws=[
        Law("the truth has no error", truth_has_no_error, cases=(SLOW, FAST, SOME)),
        Law("500 pixels off everywhere is 100 %", off_by_a_lot, cases=(SLOW, FAST, SOME)),
        Law("lies between 0 and 100", between_0_and_100, cases=(SLOW, FAST, SOME)),
        Law("turning both flows by 90° changes nothing", turned_both, cases=(SLOW, FAST)),
        Law("what is not valid does not matter", hidden_pixels_do_not_count, cases=(SOME, NONE)),
    ],
    mistakes=[
        Mistake(
            "either limit is enough",
            fl_with(lambda error, length, own: (error > 3) | (error > 0.05 * length)),
            ["Is half a pixel too much where nothing moves?", "Both limits must be exceeded: and, not or."],
        ),
        Mistake(
            "3 pixels only",
            fl_with(lambda error, length, own: error > 3),
            ["Is 4 pixels much if the car drives 100?", "An outlier must be off by more than 5 % as well."],
        ),
        Mistake(
            "a fraction, not percent",
            lambda right, flow, truth, valid=None: right(flow, truth, valid) / 100,
            ["What is the answer if all is wrong?", "100: multiply by 100."],
        ),
        Mistake(
            "3 pixels count as an outlier",
            fl_with(lambda error, length, own: (error >= 3) & (error > 0.05 * length)),
            ["What if the error is 3 pixels exactly?", "More than 3: write >, not >=."],
        ),
        Mistake(
            "the share of good pixels",
            lambda right, flow, truth, valid=None: 100 - right(flow, truth, valid),
            ["What is the error of the truth?", "Count what is wrong, not what is right."],
        ),
        ignores_the_mask,
        divides_by_all,
        says_zero_for_nothing,
    ],
    accepted=[
        lambda flow, truth, valid=None: fl_with(lambda e, t, own: e > np.maximum(3, 0.05 * t))(
            None, flow, truth, valid
        ),
        lambda flow, truth, valid=None: fl_with(lambda e, t, own: (e > 3) & (e / np.maximum(t, 1e-9) > 0.05))(
            None, flow.astype(np.float32), truth.astype(np.float32), valid
        ),
    ],
    tolerance=Tolerance(
        ulps=8, why="a count and one division; no case lies on the limit of 5 %", scale=lambda expected, **inputs: 100.0
    ),
    cost=Cost(flops=lambda s: 14 * vectors(s), bytes=lambda s: 4 * vectors(s) * s.itemsize),
    large=lambda size, rng: {"flow": 4 * rng.normal(size=(*size, 2)), "truth": rng.normal(size=(*size, 2))},
)


# ------------------------------------------------------------------ correlation_volume


def features(D: st.SearchStrategy[int], channels: st.SearchStrategy[int], most: int = 4) -> Any:
    """Two feature maps and a largest displacement."""

    def of_shape(shape: tuple[int, int, int]) -> st.SearchStrategy[dict[str, Any]]:
        return st.fixed_dictionaries({"f1": drawn(shape), "f2": drawn(shape), "max_displacement": D})

    return st.tuples(channels, st.integers(1, most), st.integers(1, most)).flatmap(of_shape)


def middle_is_the_dot_product(f: Any, f1: Any, f2: Any, max_displacement: int) -> Any:
    volume = f(f1, f2, max_displacement)
    return volume[len(volume) // 2], (f1 * f2).mean(axis=0)


def smaller_search_is_the_middle(f: Any, f1: Any, f2: Any, max_displacement: int) -> Any:
    D, size = max_displacement + 1, f1.shape[1:]
    wide = f(f1, f2, D).reshape(2 * D + 1, 2 * D + 1, *size)
    return wide[1:-1, 1:-1].reshape(-1, *size), f(f1, f2, max_displacement)


def channels_twice(f: Any, f1: Any, f2: Any, max_displacement: int) -> Any:
    twice = (np.concatenate([x, x]) for x in (f1, f2))
    return f(*twice, max_displacement), f(f1, f2, max_displacement)


def volumes_transposed(f: Any, f1: Any, f2: Any, max_displacement: int) -> Any:
    D, (_, height, width) = 2 * max_displacement + 1, f1.shape
    volume = f(f1, f2, max_displacement).reshape(D, D, height, width)
    turned = f(np.swapaxes(f1, 1, 2), np.swapaxes(f2, 1, 2), max_displacement).reshape(D, D, width, height)
    return turned, volume.transpose(1, 0, 3, 2)


def match_at_the_shift(f: Any, f1: Any, f2: Any, max_displacement: int) -> Any:
    """A single feature that moves one to the right, looked up at its old place."""
    here, there = np.zeros((1, 3, 3)), np.zeros((1, 3, 3))
    here[0, 1, 1] = there[0, 1, 2] = 1.0
    return f(here, there, 1)[:, 1, 1], np.eye(9)[5]


def volume_with(pad: Any) -> Any:
    """A volume whose second map is padded by ``pad(f2, D)``."""

    def wrong(right: Any, f1: Any, f2: Any, max_displacement: int) -> Any:
        D, (_, height, width) = max_displacement, f1.shape
        padded = pad(f2, D)
        return np.stack(
            [
                (f1 * padded[:, j : j + height, i : i + width]).mean(axis=0)
                for j in range(2 * D + 1)
                for i in range(2 * D + 1)
            ]
        )

    return wrong


def columns_outer(right: Any, f1: Any, f2: Any, max_displacement: int) -> Any:
    n = 2 * max_displacement + 1
    volume = right(f1, f2, max_displacement)
    return volume.reshape(n, n, *volume.shape[1:]).swapaxes(0, 1).reshape(volume.shape)


def volume_by_loops(f1: Any, f2: Any, max_displacement: int) -> Any:
    D, (channels, height, width) = max_displacement, f1.shape
    out = np.zeros(((2 * D + 1) ** 2, height, width))
    for k in range(len(out)):
        dy, dx = k // (2 * D + 1) - D, k % (2 * D + 1) - D
        for y in range(max(0, -dy), min(height, height - dy)):
            for x in range(max(0, -dx), min(width, width - dx)):
                out[k, y, x] = f1[:, y, x] @ f2[:, y + dy, x + dx] / channels
    return out


def volume_by_einsum(f1: Any, f2: Any, max_displacement: int) -> Any:
    D, (channels, height, width) = max_displacement, f1.shape
    padded = np.pad(f2, ((0, 0), (D, D), (D, D)))
    around = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    return np.einsum("cyx,cabyx->abyx", f1, around).reshape(-1, height, width) / channels


one_channel, channels_to_3 = st.just(1), st.integers(2, 3)

correlation_volume = Spec(
    cases={
        "no displacement": features(st.just(0), channels_to_3),
        "one channel": features(st.integers(1, 2), one_channel, most=3),
        "several channels": features(st.just(1), channels_to_3, most=3),
        "further than the image": features(st.just(3), st.integers(1, 2), most=2),
    },
    laws=[
        Law("the middle row compares each feature with the one at its own place", middle_is_the_dot_product),
        Law("a smaller search is the middle of a wider one", smaller_search_is_the_middle),
        Law("listing every channel twice changes nothing", channels_twice),
        Law("swapping x and y swaps dx and dy", volumes_transposed),
        Law("a feature that moves one to the right is found at dy = 0, dx = 1", match_at_the_shift),
    ],
    mistakes=[
        Mistake(
            "sum over channels, not mean",
            lambda right, f1, f2, max_displacement: right(f1, f2, max_displacement) * len(f1),
            ["Should twice as many channels give twice the answer?", "Divide by C."],
        ),
        Mistake(
            "dx outer, dy inner",
            columns_outer,
            ["In which order do the displacements come?", "dy is the outer loop, dx the inner one."],
        ),
        Mistake(
            "displacements reversed",
            lambda right, f1, f2, max_displacement: right(f1, f2, max_displacement)[::-1],
            [
                "Let a feature move one to the right: which row is it in?",
                "Row 0 is dy = dx = −D: f2 at (y − D, x − D).",
            ],
        ),
        Mistake(
            "wraps around the border",
            volume_with(lambda f2, D: np.pad(f2, ((0, 0), (D, D), (D, D)), mode="wrap")),
            ["What lies to the left of the first column?", "Zeros: pad, do not roll."],
        ),
        Mistake(
            "repeats the border",
            volume_with(lambda f2, D: np.pad(f2, ((0, 0), (D, D), (D, D)), mode="edge")),
            ["What is a feature outside the image?", "0: np.pad's default mode."],
        ),
        Mistake(
            "frames swapped",
            lambda right, f1, f2, max_displacement: right(f2, f1, max_displacement),
            ["Which of the two maps stays in place?", "f1 stays at (y, x); f2 is looked up at (y + dy, x + dx)."],
        ),
    ],
    accepted=[
        volume_by_loops,
        volume_by_einsum,
        lambda f1, f2, max_displacement: volume_by_einsum(
            f1.astype(np.float32), f2.astype(np.float32), max_displacement
        ),
    ],
    tolerance=Tolerance(
        ulps=8,
        why="a mean of products, one a channel, none larger than the largest product",
        scale=lambda expected, f1, f2, **rest: max(largest(f1) * largest(f2), largest(expected)),
    ),
    cost=Cost(
        flops=lambda s: 2 * s.C * (2 * s.max_displacement + 1) ** 2 * s.pixels,
        bytes=lambda s: (2 * s.C + (2 * s.max_displacement + 1) ** 2) * s.pixels * s.itemsize,
    ),
    large=lambda size, rng: {
        "f1": rng.normal(size=(16, *size)),
        "f2": rng.normal(size=(16, *size)),
        "max_displacement": 3,
    },
)
