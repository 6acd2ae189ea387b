"""Every flow operation but `dense`, written once for PyTorch and CuPy, in the order of the reference.

Same definitions as ``reference.py``; what differs: the 2 × 2 systems are solved in closed form, windows are summed by
doubling, and nothing waits for the device. What CuPy does better with a kernel stands in ``fast_cupy.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vidlearn.arrays import arange_like, backend_of, namespace
from vidlearn.flow.reference import DAMPING, motion_columns, motion_units

Array = Any

# ------------------------------------------------------------------ one equation a pixel


def spatiotemporal_gradients(I0: Array, I1: Array) -> tuple[Array, Array, Array]:
    """Central differences of the mean of both frames, one-sided at the border, and the difference in time."""
    mean = (I0 + I1) / 2
    return _gradient(mean, 1), _gradient(mean, 0), I1 - I0


def brightness_constancy_residual(I0: Array, I1: Array, flow: Array) -> Array:
    """I1 where the flow leads, less I0."""
    return warp(I1, flow) - I0


def linearized_residual(Ix: Array, Iy: Array, It: Array, flow: Array) -> Array:
    """Ix u + Iy v + It."""
    u, v = _components(flow, Ix.ndim)
    return Ix * u + Iy * v + It


def normal_flow(Ix: Array, Iy: Array, It: Array) -> Array:
    """The part of the motion along the gradient; 0 where there is none."""
    xp = namespace(Ix)
    squared = Ix * Ix + Iy * Iy
    none = squared == 0
    speed = xp.where(none, xp.zeros_like(It), -It / xp.where(none, xp.ones_like(squared), squared))
    return xp.stack([speed * Ix, speed * Iy], axis=-1)


# ------------------------------------------------------------------ 25 equations a pixel


def structure_tensor(Ix: Array, Iy: Array, window: int = 5) -> Array:
    """Window sums of the products of gradients."""
    xp = namespace(Ix)
    xx, xy, yy = _window_sums([Ix * Ix, Ix * Iy, Iy * Iy], window)
    return xp.stack([xp.stack([xx, xy], axis=-1), xp.stack([xy, yy], axis=-1)], axis=-2)


def structure_tensor_eigenvalues(J: Array) -> Array:
    """Mean and spread of a symmetric 2 × 2 matrix."""
    xp = namespace(J)
    mean, half, off = (J[..., 0, 0] + J[..., 1, 1]) / 2, (J[..., 0, 0] - J[..., 1, 1]) / 2, J[..., 0, 1]
    none = (half == 0) & (off == 0)  # there hypot has no slope; see _root
    zero = xp.zeros_like(half)
    spread = xp.where(none, zero, xp.hypot(xp.where(none, xp.ones_like(half), half), xp.where(none, zero, off)))
    return xp.stack([mean + spread, xp.maximum(mean - spread, 0)], axis=-1)


def condition_number(eigenvalues: Array) -> Array:
    """The larger eigenvalue over the smaller, infinite where that is 0."""
    xp = namespace(eigenvalues)
    largest, smallest = eigenvalues[..., 0], eigenvalues[..., 1]
    none = smallest == 0
    return xp.where(none, xp.full_like(largest, xp.inf), largest / xp.where(none, xp.ones_like(smallest), smallest))


def classify_structure(eigenvalues: Array, min_eigenvalue: float = 1e-2, max_condition: float = 10.0) -> Array:
    """0 flat, 1 edge, 2 corner."""
    xp = namespace(eigenvalues)
    largest, smallest = eigenvalues[..., 0], eigenvalues[..., 1]
    corner = (smallest >= min_eigenvalue) & (largest <= max_condition * smallest)
    labels = xp.ones_like(largest, dtype=xp.int64)
    return xp.where(largest < min_eigenvalue, labels * 0, xp.where(corner, labels * 2, labels))


def lucas_kanade(Ix: Array, Iy: Array, It: Array, window: int = 5) -> Array:
    """Window sums, then the shortest least-squares solution in closed form."""
    return _solve(*_window_sums([Ix * Ix, Ix * Iy, Iy * Iy, -Ix * It, -Iy * It], window))


# ------------------------------------------------------------------ one motion for the whole image


def motion_field(
    parameters: Array, height: int, width: int, model: str = "affine", focal: float | None = None
) -> Array:
    """The model's field at every pixel."""
    basis = _motion_basis(height, width, model, focal, parameters)
    if len(parameters) != basis.shape[-1]:
        raise ValueError(f"parameters: expected {basis.shape[-1]} for model={model!r}, got {len(parameters)}")
    return basis @ parameters


def fit_motion(Ix: Array, Iy: Array, It: Array, model: str = "affine", focal: float | None = None) -> Array:
    """Least squares over all pixels; of many solutions the shortest, by the singular values of the balanced system."""
    xp = namespace(Ix)
    height, width = Ix.shape[:2]
    unit = _constant(motion_units(height, width, model), Ix)
    basis = _motion_basis(height, width, model, focal, Ix) / unit
    if Ix.ndim == 3:
        basis = basis[:, :, None]
    known = xp.isfinite(Ix) & xp.isfinite(Iy) & xp.isfinite(It)
    Ix, Iy, It = (xp.where(known, d, xp.zeros_like(d)) for d in (Ix, Iy, It))  # an equation of zeros says nothing
    A = Ix[..., None] * basis[..., 0, :] + Iy[..., None] * basis[..., 1, :]
    return _least_squares(A.reshape(-1, A.shape[-1]), -It.reshape(-1)) / unit


# ------------------------------------------------------------------ moving the image back


def warp(image: Array, flow: Array) -> Array:
    """Bilinear samples at (x + u, y + v), clamped to the frame."""
    xp = namespace(image)
    height, width = image.shape[:2]
    x = arange_like(flow, width)[None, :] + flow[..., 0]
    y = arange_like(flow, height)[:, None] + flow[..., 1]
    unknown = xp.isnan(x) | xp.isnan(y)
    x = xp.clip(xp.where(unknown, xp.zeros_like(x), x), 0, width - 1)
    y = xp.clip(xp.where(unknown, xp.zeros_like(y), y), 0, height - 1)
    x0, y0 = xp.floor(x), xp.floor(y)
    s, t = x - x0, y - y0
    left, top = _integers(x0), _integers(y0)
    right, bottom = xp.clip(left + 1, 0, width - 1), xp.clip(top + 1, 0, height - 1)
    if image.ndim == 3:
        s, t, unknown = s[..., None], t[..., None], unknown[..., None]
    above = (1 - s) * image[top, left] + s * image[top, right]
    below = (1 - s) * image[bottom, left] + s * image[bottom, right]
    warped = (1 - t) * above + t * below
    return xp.where(unknown, xp.full_like(warped, xp.nan), warped)


def inside_frame(flow: Array) -> Array:
    """Whether (x + u, y + v) lies in the frame."""
    height, width = flow.shape[:2]
    x = arange_like(flow, width)[None, :] + flow[..., 0]
    y = arange_like(flow, height)[:, None] + flow[..., 1]
    return (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)


def iterative_lucas_kanade(I0: Array, I1: Array, window: int = 5, iterations: int = 3) -> Array:
    """Warp, solve, repeat, from zero flow."""
    return refine(I0, I1, _zero_flow(I0), window, iterations)


def refine(I0: Array, I1: Array, flow: Array, window: int, iterations: int) -> Array:
    """Run the rounds of iterative Lucas–Kanade, from a given flow."""
    xp = namespace(I0)
    Ix, Iy = _gradient(I0, 1), _gradient(I0, 0)
    for _ in range(iterations):
        u, v = _components(flow, I0.ndim)
        target = Ix * u + Iy * v - (warp(I1, flow) - I0)
        inside = inside_frame(flow)[..., None] if I0.ndim == 3 else inside_frame(flow)
        gx, gy = xp.where(inside, Ix, xp.zeros_like(Ix)), xp.where(inside, Iy, xp.zeros_like(Iy))
        xx, xy, yy, bx, by = _window_sums([gx * gx, gx * gy, gy * gy, gx * target, gy * target], window)
        flow = _solve(xx + DAMPING, xy, yy + DAMPING, bx + DAMPING * flow[..., 0], by + DAMPING * flow[..., 1])
    return flow


# ------------------------------------------------------------------ coarse to fine


def downsample(image: Array) -> Array:
    """Half the size, smoothed, centered."""
    return _halve(_halve(image, 0), 1)


def gaussian_pyramid(image: Array, levels: int) -> list[Array]:
    """Ever smaller images, the finest first."""
    pyramid = [image]
    while len(pyramid) < levels:
        pyramid.append(downsample(pyramid[-1]))
    return pyramid


def upsample_flow(flow: Array, height: int, width: int) -> Array:
    """The geometry of `downsample` undone; values double along an axis that grew."""
    for name, fine, coarse in (("height", height, flow.shape[0]), ("width", width, flow.shape[1])):
        if fine not in (2 * coarse, 2 * coarse - 1):
            raise ValueError(
                f"{name}: expected {2 * coarse - 1} or {2 * coarse}, the sizes that halve to {coarse}, got {fine}; "
                "use resize_flow for any other size"
            )
    xp = namespace(flow)
    for axis, n in ((0, height), (1, width)):
        fine = arange_like(flow, n)
        at = (fine - 0.5) / 2 if n % 2 == 0 else fine / 2
        flow = _sample(flow, xp.clip(at, 0, (n + 1) // 2 - 1), axis)
    return flow * _constant([2 if width > 1 else 1, 2 if height > 1 else 1], flow)


def resize_flow(flow: Array, height: int, width: int) -> Array:
    """Any size, half-pixel centers; values stretch as the image does."""
    xp = namespace(flow)
    stretch = _constant([width / flow.shape[1], height / flow.shape[0]], flow)
    for axis, new in ((0, height), (1, width)):
        old = flow.shape[axis]
        flow = _sample(flow, xp.clip((arange_like(flow, new) + 0.5) * (old / new) - 0.5, 0, old - 1), axis)
    return flow * stretch


def coarse_to_fine(I0: Array, I1: Array, window: int = 5, iterations: int = 3, levels: int | None = None) -> Array:
    """Iterative Lucas–Kanade from the top of the pyramid down."""
    return down_the_pyramid(I0, I1, window, iterations, levels, refine)


def down_the_pyramid(I0: Array, I1: Array, window: int, iterations: int, levels: int | None, refine: Any) -> Array:
    """`coarse_to_fine` with a `refine` of the caller's choice."""
    if levels is None:
        levels = 1 + max(0, int(np.log2(min(I0.shape[:2]) / 8)))
    pyramids = list(zip(gaussian_pyramid(I0, levels), gaussian_pyramid(I1, levels), strict=True))
    flow = _zero_flow(pyramids[-1][0])
    for J0, J1 in reversed(pyramids):
        if flow.shape[:2] != J0.shape[:2]:
            flow = upsample_flow(flow, *J0.shape[:2])
        flow = refine(J0, J1, flow, window, iterations)
    return flow


def apparent_displacement(displacement: Array, wavelength: float) -> Array:
    """The smallest shift that a pattern of this wavelength shows."""
    return displacement - wavelength * namespace(displacement).ceil(displacement / wavelength - 0.5)


def median_filter_flow(flow: Array) -> Array:
    """The 3 × 3 median of each component: NaN where a neighbor is, as minimum and maximum pass it on.

    Columns of three are sorted once and shared by three pixels; the median of nine is the middle of the largest low,
    the middle middle and the smallest high.
    """
    xp = namespace(flow)
    height, width = flow.shape[:2]
    padded = xp.pad(flow, ((1, 1), (1, 1), (0, 0)), mode="edge")
    columns = _sort3(*(padded[i : i + height] for i in range(3)))
    low, middle, high = ([part[:, j : j + width] for j in range(3)] for part in columns)
    return _sort3(_sort3(*low)[2], _sort3(*middle)[1], _sort3(*high)[0])[1]


# ------------------------------------------------------------------ how wrong is it


def endpoint_error(flow: Array, truth: Array, valid: Array | None = None) -> Array:
    """Mean distance of the arrows' ends."""
    flow, truth = _where_valid(valid, flow, truth)
    return _mean_over(_length(flow - truth), valid)


def angular_error(flow: Array, truth: Array, valid: Array | None = None) -> Array:
    """Mean angle between (u, v, 1) and (u*, v*, 1), in degrees."""
    xp = namespace(flow)
    flow, truth = _where_valid(valid, flow, truth)
    u, v, p, q = flow[..., 0], flow[..., 1], truth[..., 0], truth[..., 1]
    cross = _root((v - q) ** 2 + (p - u) ** 2 + (u * q - v * p) ** 2)
    return _mean_over(xp.arctan2(cross, u * p + v * q + 1) * (180 / np.pi), valid)


def fl_all(flow: Array, truth: Array, valid: Array | None = None) -> Array:
    """Percent of arrows off by more than 3 px and more than 5 %."""
    xp = namespace(flow)
    flow, truth = _where_valid(valid, flow, truth)
    error = _length(flow - truth)
    outlier = (error > 3) & (error > 0.05 * _length(truth))
    return _mean_over(xp.where(outlier, xp.full_like(error, 100), xp.zeros_like(error)), valid)


# ------------------------------------------------------------------ towards FlowNet


def correlation_volume(f1: Array, f2: Array, max_displacement: int) -> Array:
    """Mean product over channels, for each displacement."""
    xp = namespace(f1)
    D, (_, height, width) = max_displacement, f1.shape
    padded = xp.pad(f2, ((0, 0), (D, D), (D, D)))
    return xp.stack(
        [
            xp.mean(f1 * padded[:, D + dy : D + dy + height, D + dx : D + dx + width], axis=0)
            for dy in range(-D, D + 1)
            for dx in range(-D, D + 1)
        ],
        axis=0,
    )


# ------------------------------------------------------------------ helpers


def _components(flow: Array, ndim: int) -> tuple[Array, Array]:
    u, v = flow[..., 0], flow[..., 1]
    return (u[..., None], v[..., None]) if ndim == 3 else (u, v)


def _length(flow: Array) -> Array:
    return _root(flow[..., 0] ** 2 + flow[..., 1] ** 2)


def _root(squared: Array) -> Array:
    """Square root whose slope at 0 is 0: it is infinite, and infinity times 0 would fill all gradients with NaN."""
    xp = namespace(squared)
    none = squared == 0
    return xp.where(none, xp.zeros_like(squared), xp.sqrt(xp.where(none, xp.ones_like(squared), squared)))


def _sort3(a: Array, b: Array, c: Array) -> tuple[Array, Array, Array]:
    xp = namespace(a)
    low, high = xp.minimum(a, b), xp.maximum(a, b)
    rest = xp.minimum(high, c)
    return xp.minimum(low, rest), xp.maximum(low, rest), xp.maximum(high, c)


def _zero_flow(image: Array) -> Array:
    xp = namespace(image)
    gray = image if image.ndim == 2 else image[..., 0]
    return xp.stack([xp.zeros_like(gray), xp.zeros_like(gray)], axis=-1)


def _integers(values: Array) -> Array:
    return values.long() if backend_of(values) == "torch" else values.astype("int64")


def _eps(like: Array) -> float:
    return 2.0**-52 if str(like.dtype).endswith("64") else 2.0**-23


def _constant(values: Any, like: Array) -> Array:
    """A few numbers as an array of the same library, dtype and device."""
    if backend_of(like) == "torch":
        return like.new_tensor([float(v) for v in values])
    return namespace(like).asarray(np.asarray(values, dtype=str(like.dtype)))


def _gradient(image: Array, axis: int) -> Array:
    xp = namespace(image)
    n = image.shape[axis]
    if n == 1:
        return xp.zeros_like(image)

    def part(start: int, stop: int) -> Array:
        return image[start:stop] if axis == 0 else image[:, start:stop]

    first, last = part(1, 2) - part(0, 1), part(n - 1, n) - part(n - 2, n - 1)
    return xp.concatenate([first, (part(2, n) - part(0, n - 2)) / 2, last], axis=axis)


def _window_sums(products: list[Array], window: int) -> Array:
    """K × K sums of several images at once (colors added up), by adding shifted sums of 1, 2, 4, … pixels."""
    xp = namespace(products[0])
    planes = xp.stack([xp.sum(p, axis=-1) if p.ndim == 3 else p for p in products], axis=0)
    r = window // 2
    for axis in (1, 2):
        n = planes.shape[axis]
        padded = xp.pad(planes, [(r, r) if a == axis else (0, 0) for a in range(3)])
        planes = _running_sum(padded, window, n, axis)
    return planes


def _running_sum(padded: Array, window: int, n: int, axis: int) -> Array:
    def part(values: Array, start: int, length: int) -> Array:
        return values[:, start : start + length] if axis == 1 else values[:, :, start : start + length]

    total, done, span, sums = None, 0, 1, padded
    while True:
        if window & span:  # this power of two is a part of the window
            piece = part(sums, done, n)
            total = piece if total is None else total + piece
            done += span
        if 2 * span > window:
            return total
        length = sums.shape[axis] - span
        sums = part(sums, 0, length) + part(sums, span, length)
        span *= 2


def _solve(a: Array, b: Array, c: Array, p: Array, q: Array) -> Array:
    """Solve [[a, b], [b, c]] d = (p, q): by Cramer's rule, or along the one direction that there is, or not at all."""
    xp = namespace(a)
    trace = a + c
    one, zero = xp.ones_like(trace), xp.zeros_like(trace)
    unit = xp.where(trace == 0, one, trace)
    a, b, c, p, q = a / unit, b / unit, c / unit, p / unit, q / unit
    half = (a - c) / 2
    largest = 0.5 + _root(half * half + b * b)
    det = a * c - b * b
    full = det > 64 * _eps(a) * largest * largest
    safe, square = xp.where(full, det, one), largest * largest
    u = xp.where(full, (c * p - b * q) / safe, (a * p + b * q) / square)
    v = xp.where(full, (a * q - b * p) / safe, (b * p + c * q) / square)
    flat = trace == 0
    return xp.stack([xp.where(flat, zero, u), xp.where(flat, zero, v)], axis=-1)


def _motion_basis(height: int, width: int, model: str, focal: float | None, like: Array) -> Array:
    xp = namespace(like)
    x = (arange_like(like, width) - (width - 1) / 2)[None, :]
    y = (arange_like(like, height) - (height - 1) / 2)[:, None]
    x, y = x + 0 * y, y + 0 * x
    f = max(height, width) if focal is None else focal
    u, v = motion_columns(x, y, xp.ones_like(x), xp.zeros_like(x), f)[model]
    return xp.stack([xp.stack(u, axis=-1), xp.stack(v, axis=-1)], axis=-2)


def _least_squares(A: Array, b: Array) -> Array:
    """The shortest least-squares solution, singular values below eps · max(shape) of the largest taken for 0.

    In float64, whatever comes in: singular vectors as long as an image lose two digits in float32.
    """
    cut = _eps(A) * max(A.shape)
    if backend_of(A) == "torch":
        import torch

        return (torch.linalg.pinv(A.double(), rtol=cut) @ b.double()).to(A.dtype)
    return (namespace(A).linalg.pinv(A.astype("float64"), rcond=cut) @ b.astype("float64")).astype(A.dtype)


def _halve(image: Array, axis: int) -> Array:
    n = image.shape[axis]
    if n == 1:
        return image
    taps, before = ((1 / 8, 3 / 8, 3 / 8, 1 / 8), 1) if n % 2 == 0 else ((1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16), 2)
    padded = namespace(image).pad(image, [(before, 2) if a == axis else (0, 0) for a in range(image.ndim)], mode="edge")
    take: list[Any] = [slice(None)] * image.ndim
    total = 0
    for k, tap in enumerate(taps):
        take[axis] = slice(k, k + n, 2)
        total = total + tap * padded[tuple(take)]
    return total


def _sample(values: Array, at: Array, axis: int) -> Array:
    """Linear interpolation along one axis."""
    xp = namespace(values)
    floor = xp.floor(at)
    low = _integers(floor)
    high = xp.clip(low + 1, 0, values.shape[axis] - 1)
    share = (at - floor).reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    lower, upper = (values[low], values[high]) if axis == 0 else (values[:, low], values[:, high])
    return (1 - share) * lower + share * upper


def _where_valid(valid: Array | None, *fields: Array) -> tuple[Array, ...]:
    """0 where a field does not count, before any arithmetic: what is unknown there may not reach the gradients."""
    if valid is None:
        return fields
    return tuple(namespace(f).where(valid[..., None], f, namespace(f).zeros_like(f)) for f in fields)


def _mean_over(values: Array, valid: Array | None) -> Array:
    xp = namespace(values)
    if valid is None:
        return xp.mean(values)
    count = xp.sum(xp.where(valid, xp.ones_like(values), xp.zeros_like(values)))
    return xp.sum(xp.where(valid, values, xp.zeros_like(values))) / count  # 0 / 0 is NaN: no pixel counts
