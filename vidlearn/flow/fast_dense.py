"""`dense`, written once for NumPy, torch and CuPy: the arithmetic of dense_reference.py in memory that is reused.

Every step writes into scratch memory (`out=`) that is taken once: fresh temporaries would cost more than arithmetic.
Inside the solver an image is one row of H·W numbers, so that a neighbor is a constant offset and all operations run
over contiguous memory; bonds across the row ends are zero. After the pyramid is built, nothing waits for the device.
"""

from __future__ import annotations

import importlib
import math
from typing import Any

from vidlearn.arrays import backend_of
from vidlearn.flow.dense_reference import (
    ALPHA,
    EPSILON_DATA,
    GAMMA,
    SAME_ORIENTATION,
    SMALLEST_SIDE,
    TINY,
    Budget,
    budget_of,
)

__all__ = ["dense"]

Array = Any


class Scratch:
    """The array library, and memory by name: asking again for a name gives the same memory, cut to the level's size."""

    def __init__(self, like: Array, pixels: int):
        self.backend = backend_of(like)
        self.xp = importlib.import_module(self.backend)
        self.pixels, self.like = pixels, like
        self.memory: dict[str, Array] = {}

    def empty(self, *shape: int, integer: bool = False) -> Array:
        dtype = self.xp.int64 if integer else self.like.dtype
        on_device = {"device": self.like.device} if self.backend == "torch" else {}
        return self.xp.empty(shape, dtype=dtype, **on_device)

    def zeros(self, *shape: int) -> Array:
        out = self.empty(*shape)
        out[...] = 0
        return out

    def arange(self, n: int) -> Array:
        on_device = {"device": self.like.device} if self.backend == "torch" else {}
        return self.xp.arange(n, dtype=self.like.dtype, **on_device)

    def __call__(self, name: str, *shape: int, integer: bool = False) -> Array:
        size = math.prod(shape)
        planes = -(-size // self.pixels)
        if name not in self.memory or self.memory[name].shape[0] < size:
            self.memory[name] = self.empty(max(planes * self.pixels, size), integer=integer)
        return self.memory[name][:size].reshape(shape)

    def constant(self, value: float) -> Array:
        """A number as a 0-d array: some libraries want an array where `out=` is given."""
        out = self.empty()
        out[...] = value
        return out

    def take(self, source: Array, index: Array, out: Array) -> None:
        """out = source[index]; each library has one spelling that is fast."""
        if self.backend == "numpy":
            source.take(index, out=out, mode="wrap")  # all indices are valid, but "raise" would buffer the output
        elif self.backend == "torch":
            self.xp.index_select(source, 0, index.reshape(-1), out=out.reshape(-1))
        else:
            self.xp.take(source, index, out=out)

    def scale_and_add(self, out: Array, scale: Array, a: Array) -> None:
        """out = out · scale + a, in one pass where the library has it."""
        if self.backend == "torch" and hasattr(scale, "dim"):
            self.xp.addcmul(a, out, scale, out=out)
        else:
            out *= scale
            out += a

    def add_product(self, out: Array, a: Array, b: Array) -> None:
        """out += a b, in one pass where the library has it."""
        if self.backend == "torch":
            out.addcmul_(a, b)
        else:
            product = self("product", *out.shape)
            self.xp.multiply(a, b, out=product)
            out += product


def dense(I0: Array, I1: Array, *, quality: str = "fast") -> Array:
    """Estimate the motion of every pixel; see :func:`vidlearn.flow.dense`. Not differentiable."""
    budget = budget_of(quality)
    height, width = I0.shape[:2]
    if backend_of(I0) == "torch":
        I0, I1 = I0.detach(), I1.detach()
    finest = budget.finest if min(height, width) >= 2 * SMALLEST_SIDE else 0
    frames = prepare(I0, I1, finest)
    stripes = only_orientation(frames[0])
    pyramid = build_pyramid(frames, striped=stripes is not None)
    scratch = Scratch(frames, math.prod(frames.shape[1:]))
    flow = scratch.zeros(2, *pyramid[-1].shape[1:])
    for level in reversed(range(len(pyramid))):
        flow = upsample(scratch, flow, *pyramid[level].shape[1:])
        warps = budget.warps if level else budget.last_warps
        for _ in range(warps if stripes is None else 4 * warps):
            minimize(scratch, pyramid[level], flow, budget)
            median(scratch, flow)
            if stripes is not None:
                project(scratch, flow, stripes)
    out = scratch.empty(height, width, 2)
    components = scratch.xp.moveaxis(out, 2, 0)
    if finest:
        upsample(scratch, flow, height, width, out=components)
    else:
        components[...] = flow
    return out


def prepare(I0: Array, I1: Array, halvings: int) -> Array:
    """Both frames as one (2, H, W): luma, unknown pixels filled with the mean of the known ones, halved, smoothed."""
    scratch = Scratch(I0, math.prod(I0.shape[:2]))
    xp = scratch.xp
    frames = scratch.empty(2, *I0.shape[:2])
    for frame, I in zip(frames, (I0, I1), strict=True):
        frame[...] = I if I.ndim == 2 else I[..., 0] * 0.299 + I[..., 1] * 0.587 + I[..., 2] * 0.114
        if not math.isfinite(float(frame.sum())):
            unknown = ~xp.isfinite(frame)
            frame[unknown] = 0
            frame[unknown] = frame.sum() / max(1, int((~unknown).sum()))
    for axis in (1, 2) * halvings:
        frames = halve(frames, axis)
    for axis in (1, 2):  # [1 1] twice is [1 2 1]
        P = padded(scratch, frames, axis, 1)
        pairs = at(P, axis, 0, -1) + at(P, axis, 1, None)
        xp.add(at(pairs, axis, 0, -1), at(pairs, axis, 1, None), out=frames)
    frames *= 1 / 16
    return frames


def only_orientation(I: Array) -> tuple[float, float, float] | None:
    """Return the projection (xx, xy, yy) onto the gradients if all are parallel, else None."""
    scratch = Scratch(I, math.prod(I.shape))
    slopes = []
    for axis in (2, 1):
        slope = gradient(scratch, I[None], axis, scratch("slope x" if axis == 2 else "slope y", 1, *I.shape))
        for border, n in ((1, I.shape[0]), (2, I.shape[1])):
            m = min(4, (n - 1) // 4)
            at(slope, border, 0, m)[...] = 0
            at(slope, border, n - m, None)[...] = 0
        slopes.append(slope.reshape(-1))
    gx, gy = slopes
    a, b, c = (float(scratch.xp.dot(p, q)) for p, q in ((gx, gx), (gx, gy), (gy, gy)))
    spread = math.hypot((a - c) / 2, b)
    large, small = (a + c) / 2 + spread, (a + c) / 2 - spread
    if not small < SAME_ORIENTATION * large:
        return None
    return (a - small) / (large - small), b / (large - small), (c - small) / (large - small)


def build_pyramid(frames: Array, striped: bool) -> list[Array]:
    """Halve (2, H, W) while the shorter side stays at SMALLEST_SIDE or more; stripes, only while they are visible."""
    pyramid = [frames]
    while (min(pyramid[-1].shape[1:]) + 1) // 2 >= SMALLEST_SIDE:
        smaller = pyramid[-1]
        for axis in (1, 2):
            smaller = halve(smaller, axis)
        if striped and variance(smaller[0]) < variance(frames[0]) / 2:
            break
        pyramid.append(smaller)
    return pyramid


def variance(I: Array) -> float:
    return float(((I - I.mean()) ** 2).mean())


def halve(images: Array, axis: int) -> Array:
    """[1 3 3 1]/8 at even sizes, [1 4 6 4 1]/16 at odd ones, at every other sample of (2, H, W)."""
    n = images.shape[axis]
    P = padded(Scratch(images, 1), images, axis, 2)
    if n % 2:
        outer = at(P, axis, 0, n, 2) + at(P, axis, 4, n + 4, 2)
        inner = at(P, axis, 1, n + 1, 2) + at(P, axis, 3, n + 3, 2)
        outer *= 1 / 16
        inner *= 4 / 16
        outer += inner
        inner = at(P, axis, 2, n + 2, 2) * (6 / 16)
    else:
        outer = at(P, axis, 1, n + 1, 2) + at(P, axis, 4, n + 4, 2)
        inner = at(P, axis, 2, n + 2, 2) + at(P, axis, 3, n + 3, 2)
        outer *= 1 / 8
        inner *= 3 / 8
    outer += inner
    return outer


def upsample(scratch: Scratch, flow: Array, height: int, width: int, out: Array | None = None) -> Array:
    """Bilinear, at the places that `halve` took its samples from; u and v double along the axis that grew."""
    xp = scratch.xp
    for axis, n in ((1, height), (2, width)):
        if n == flow.shape[axis]:
            continue
        fine = out if axis == 2 and out is not None else None
        if fine is None:
            fine = scratch(f"finer {axis}", *flow.shape[:axis], n, *flow.shape[axis + 1 :])
        flow[2 - axis] *= 2
        if n % 2:  # samples at 0, 2, 4, …: keep them and put the means between
            at(fine, axis, 0, n, 2)[...] = flow
            between = at(fine, axis, 1, n, 2)
            xp.add(at(flow, axis, 0, -1), at(flow, axis, 1, None), out=between)
            between *= 0.5
        else:  # samples at 0.5, 2.5, …: a pixel is three parts of the nearer one and one part of the other
            at(fine, axis, 0, 1)[...] = at(flow, axis, 0, 1)
            at(fine, axis, n - 1, n)[...] = at(flow, axis, -1, None)
            near = scratch("near", *flow.shape)
            xp.multiply(flow, 0.75, out=near)
            flow *= 0.25
            xp.add(at(near, axis, 1, None), at(flow, axis, 0, -1), out=at(fine, axis, 2, n, 2))
            xp.add(at(near, axis, 0, -1), at(flow, axis, 1, None), out=at(fine, axis, 1, n - 1, 2))
        flow = fine
    return flow


def minimize(scratch: Scratch, frames: Array, flow: Array, budget: Budget) -> None:
    """Lower the energy from `flow`, in place, with I1 warped and every difference linearized there."""
    xp = scratch.xp
    _, height, width = flow.shape
    shape, n = (height, width), height * width
    # the difference D and the mean M of I0 and the warped I1, with their derivatives
    images = scratch("images", 2, *shape)
    inside = warp_cubic(scratch, frames[1], flow, images[0])
    xp.add(images[0], frames[0], out=images[1])
    images[1] *= 0.5
    images[0] -= frames[0]
    along_x = gradient(scratch, images, 2, scratch("along_x", 2, *shape))
    along_y = gradient(scratch, images, 1, scratch("along_y", 2, *shape))
    second_x = gradient(scratch, along_x[1:], 2, scratch("second_x", 1, *shape))[0]
    mixed = gradient(scratch, along_x[1:], 1, scratch("mixed", 1, *shape))[0]
    second_y = gradient(scratch, along_y[1:], 1, scratch("second_y", 1, *shape))[0]
    channels = [(images[0], along_x[1], along_y[1]), (along_x[0], second_x, mixed), (along_y[0], mixed, second_y)]
    start = flow if budget.reweightings == 1 else scratch("start", 2, *shape)
    if budget.reweightings > 1:
        start[...] = flow
    residual, weight = scratch("residual", 3, *shape), scratch("weight", 2, *shape)
    tensor, force, one = scratch("tensor", 3, *shape), scratch("force", 2, *shape), scratch("one", *shape)
    for k in range(budget.reweightings):
        for r, (D, gx, gy) in zip(residual, channels, strict=True):
            r[...] = D
            if k:
                for g, new, old in zip((gx, gy), flow, start, strict=True):
                    xp.subtract(new, old, out=one)
                    scratch.add_product(r, g, one)
        # the robust weights
        xp.multiply(residual[0], residual[0], out=weight[0])
        xp.multiply(residual[1], residual[1], out=weight[1])
        scratch.add_product(weight[1], residual[2], residual[2])
        weight += EPSILON_DATA**2
        xp.sqrt(weight, out=weight)
        xp.divide(inside, weight, out=weight)
        weight[1] *= GAMMA
        # the normal equations: tensor (xx, xy, yy) and force
        tensor[...] = 0
        smoothness_force(scratch, flow, budget.epsilon_smooth, force)
        for c, (_, gx, gy) in enumerate(channels):
            for i, g in enumerate((gx, gy)):
                xp.multiply(weight[min(c, 1)], g, out=one)
                scratch.add_product(tensor[i], one, gx)
                if i:
                    scratch.add_product(tensor[2], one, gy)
                one *= residual[c]
                force[i] -= one
        conjugate_gradients(scratch, tensor.reshape(3, n), force.reshape(2, n), flow.reshape(2, n), width, budget)


def smoothness_force(scratch: Scratch, flow: Array, epsilon: float, force: Array) -> None:
    """Write div(bond ∇F) to `force`, and minus the bonds to scratch "down" (H·W) and "right" (H·W, 0 at row ends)."""
    xp = scratch.xp
    _, height, width = flow.shape
    n = height * width
    F, force = flow.reshape(2, n), force.reshape(2, n)
    step_down, step_right = scratch("step_down", 2, n), scratch("step_right", 2, n)
    square, weight, one = scratch("square", 2, n), scratch("bond weight", n), scratch("one", n)
    weight[...] = epsilon**2
    for step, offset in ((step_down, width), (step_right, 1)):
        xp.subtract(F[:, offset:], F[:, : n - offset], out=step[:, : n - offset])
        step[:, n - offset :] = 0
        if step is step_right:
            step.reshape(2, height, width)[:, :, -1] = 0
        xp.multiply(step, step, out=square)
        xp.add(square[0], square[1], out=one)
        one *= 0.5
        weight += one
        weight[offset:] += one[: n - offset]
    xp.sqrt(weight, out=weight)
    xp.divide(scratch.constant(-ALPHA / 2), weight, out=weight)
    force[...] = 0
    for name, step, offset in (("down", step_down, width), ("right", step_right, 1)):
        bond = scratch(name, n)
        xp.add(weight[offset:], weight[: n - offset], out=bond[: n - offset])
        bond[n - offset :] = 0
        if step is step_right:
            bond.reshape(height, width)[:, -1] = 0
        step *= bond
        force -= step
        force[:, offset:] += step[:, : n - offset]


def conjugate_gradients(scratch: Scratch, tensor: Array, force: Array, flow: Array, width: int, budget: Budget) -> None:
    """Add the solution d of (tensor − div bond ∇) d = force to `flow`; `force` becomes the residual."""
    xp, add_product, n = scratch.xp, scratch.add_product, flow.shape[1]
    down, right = scratch("down", n), scratch("right", n)
    block = scratch("block", 2, n)  # the diagonal of the system
    block[0], block[1] = tensor[0], tensor[2]
    for bond, offset in ((down, width), (right, 1)):
        block -= bond
        block[:, offset:] -= bond[: n - offset]
    across = tensor[1]
    # the inverse of each pixel's 2 × 2 block
    determinant, inverse, inverse_across = scratch("one", n), scratch("inverse", 2, n), scratch("inverse across", n)
    xp.multiply(across, across, out=inverse_across)
    xp.multiply(block[0], block[1], out=determinant)
    determinant -= inverse_across
    determinant += TINY
    xp.divide(block[1], determinant, out=inverse[0])
    xp.divide(block[0], determinant, out=inverse[1])
    xp.divide(across, determinant, out=inverse_across)
    inverse_across *= -1
    z, p, q, r = scratch("z", 2, n), scratch("p", 2, n), scratch("q", 2, n), force
    p[...] = 0
    neighbors = []
    for bond, offset in ((down, width), (right, 1)):
        cut = bond[: n - offset]
        neighbors += [(q[:, offset:], cut, p[:, : n - offset]), (q[:, : n - offset], cut, p[:, offset:])]
    z_all, p_all, q_all, r_all = (v.reshape(-1) for v in (z, p, q, r))
    (z0, z1), (p0, p1), (q0, q1), (r0, r1) = z, p, q, r
    before = math.inf
    for _ in range(budget.iterations):
        xp.multiply(inverse, r, out=z)
        add_product(z0, inverse_across, r1)
        add_product(z1, inverse_across, r0)
        now = xp.dot(r_all, z_all)
        scratch.scale_and_add(p, now / (before + TINY), z)
        xp.multiply(block, p, out=q)
        add_product(q0, across, p1)
        add_product(q1, across, p0)
        for here, bond, there in neighbors:
            add_product(here, bond, there)
        length = now / (xp.dot(p_all, q_all) + TINY)
        add_product(flow, p, length)
        add_product(r, q, -length)
        before = now


def median(scratch: Scratch, flow: Array) -> None:
    """3 × 3 median of each component, in place.

    Columns of three are sorted once and shared by three neighbors; the median of nine is then the median of the largest
    low, the middle middle and the smallest high.
    """
    xp = scratch.xp
    P = padded(scratch, flow, 1, 1)
    low, mid, high, other = (scratch(name, *flow.shape) for name in ("z", "p", "q", "square"))
    sort3(xp, at(P, 1, 0, -2), at(P, 1, 1, -1), at(P, 1, 2, None), low, mid, high, other)
    P = padded(scratch, low, 2, 1)
    xp.maximum(at(P, 2, 0, -2), at(P, 2, 2, None), out=other)
    xp.maximum(low, other, out=low)
    P = padded(scratch, high, 2, 1)
    xp.minimum(at(P, 2, 0, -2), at(P, 2, 2, None), out=other)
    xp.minimum(high, other, out=high)
    P = padded(scratch, mid, 2, 1)
    middle(xp, at(P, 2, 0, -2), at(P, 2, 1, -1), at(P, 2, 2, None), mid, other)
    middle(xp, low, mid, high, flow, other)


def sort3(xp: Any, a: Array, b: Array, c: Array, low: Array, mid: Array, high: Array, spare: Array) -> None:
    xp.minimum(a, b, out=low)
    xp.maximum(a, b, out=high)
    xp.minimum(high, c, out=spare)
    xp.maximum(high, c, out=high)
    xp.maximum(low, spare, out=mid)
    xp.minimum(low, spare, out=low)


def middle(xp: Any, a: Array, b: Array, c: Array, out: Array, spare: Array) -> None:
    """Median of three; `out` may be `b`."""
    xp.maximum(a, b, out=spare)
    xp.minimum(spare, c, out=spare)
    xp.minimum(a, b, out=out)
    xp.maximum(out, spare, out=out)


def project(scratch: Scratch, flow: Array, projection: tuple[float, float, float]) -> None:
    xx, xy, yy = projection
    u, v = flow[0] * xx + flow[1] * xy, flow[0] * xy + flow[1] * yy
    flow[0], flow[1] = u, v


def gradient(scratch: Scratch, images: Array, axis: int, out: Array) -> Array:
    """[1 −8 0 8 −1]/12 along `axis` of (planes, H, W), edges replicated."""
    P = padded(scratch, images, axis, 2)
    scratch.xp.subtract(at(P, axis, 3, -1), at(P, axis, 1, -3), out=out)
    out *= 8
    out += at(P, axis, 0, -4)
    out -= at(P, axis, 4, None)
    out *= 1 / 12
    return out


def warp_cubic(scratch: Scratch, I: Array, flow: Array, out: Array) -> Array:
    """Write I(x + F) to `out` and return the weight of what is inside the frame; see dense_reference."""
    xp = scratch.xp
    height, width = I.shape
    where = scratch("where", 2, height, width)
    inside, beyond = scratch("inside", height, width), scratch("one", height, width)
    xp.add(flow[0], scratch.arange(width), out=where[0])
    xp.add(flow[1], scratch.arange(height)[:, None], out=where[1])
    for w, n, o in zip(where, (width, height), (inside, beyond), strict=True):
        xp.subtract(w, scratch.constant((n - 1) / 2), out=o)
        xp.abs(o, out=o)
        o -= (n - 1) / 2
        xp.clip(w, 0, n - 1, out=w)
    xp.maximum(inside, beyond, out=inside)
    xp.subtract(scratch.constant(1.0), inside, out=inside)
    xp.clip(inside, 0, 1, out=inside)
    floor = scratch("floor", 2, height, width)
    xp.floor(where, out=floor)
    where -= floor
    floor[1] *= width + 3
    floor[0] += floor[1]
    index = scratch("index", height, width, integer=True)
    index[...] = floor[0]
    weights = cubic(scratch, where)
    P = padded(scratch, padded(scratch, I[None], 2, 2, name="warp x"), 1, 2, name="warp y")[0, 1:, 1:].reshape(-1)
    sample, row = scratch("sample", height, width), scratch("row", height, width)
    out[...] = 0
    for dy in range(4):
        row[...] = 0
        for dx in range(4):
            scratch.take(P[dy * (width + 3) + dx :], index, sample)
            scratch.add_product(row, weights[dx, 0], sample)
        scratch.add_product(out, weights[dy, 1], row)
    return inside


def cubic(scratch: Scratch, t: Array) -> Array:
    """Keys' weights of the samples at −1, 0, 1, 2 for t in [0, 1): (4, *t.shape)."""
    xp = scratch.xp
    weights = scratch("weights", 4, *t.shape)
    s = scratch("1 - t", *t.shape)
    xp.subtract(scratch.constant(1.0), t, out=s)
    for a, b, outer, inner in ((t, s, weights[0], weights[1]), (s, t, weights[3], weights[2])):
        xp.multiply(a, b, out=outer)
        outer *= b
        outer *= -0.5
        xp.multiply(a, 1.5, out=inner)
        inner -= 2.5
        inner *= a
        inner *= a
        inner += 1
    return weights


def padded(scratch: Scratch, images: Array, axis: int, margin: int, name: str = "padded") -> Array:
    """A copy of (planes, H, W) with `margin` replicated samples at both ends of `axis`."""
    shape = list(images.shape)
    shape[axis] += 2 * margin
    P = scratch(name, *shape)
    at(P, axis, margin, -margin)[...] = images
    at(P, axis, 0, margin)[...] = at(images, axis, 0, 1)
    at(P, axis, -margin, None)[...] = at(images, axis, -1, None)
    return P


def at(array: Array, axis: int, start: int, stop: int | None, step: int = 1) -> Array:
    """Slice one axis."""
    return array[(slice(None),) * axis + (slice(start, stop, step),)]
