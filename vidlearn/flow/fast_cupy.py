"""Optical flow on an NVIDIA GPU: the operations that a kernel of their own makes fast; ``fast.py`` has the others.

Written as array operations, Lucas–Kanade sends every product and every partial sum to memory and back. Each kernel in
``kernels/`` does one operation in one pass over its input, and says at its top how few bytes that is and how it gets
near.
"""

from __future__ import annotations

import functools
from importlib import resources
from types import FunctionType
from typing import Any

import cupy as cp
import numpy as np

from vidlearn.flow import fast, fast_dense
from vidlearn.flow.dense_reference import ALPHA, EPSILON_DATA, GAMMA, TINY, Budget
from vidlearn.flow.reference import DAMPING

__all__ = [
    "coarse_to_fine",
    "correlation_volume",
    "dense",
    "iterative_lucas_kanade",
    "lucas_kanade",
    "median_filter_flow",
    "normal_flow",
    "structure_tensor",
    "warp",
]

SHARED_MEMORY = 48 * 1024


@functools.cache
def source(name: str) -> str:
    """Return the CUDA source of a kernel file, with what all kernels share in front; its lines keep their numbers."""
    folder = resources.files("vidlearn.flow") / "kernels"
    common, own = ((folder / file).read_text() for file in ("common.cuh", f"{name}.cu"))
    return f'{common}\n#line 1 "{name}.cu"\n{own}'


def options(dtype: Any, **constants: float) -> tuple[str, ...]:
    """Return the compiler options that fix the kernel's `real` type and its constants."""
    real = {"float32": "float", "float64": "double"}[np.dtype(dtype).name]
    return (f"-Dreal={real}", f"-Dreal2={real}2", *(f"-D{n}={v}" for n, v in constants.items()))


@functools.cache
def _compiled(name: str, options: tuple[str, ...]) -> Any:
    file, _, kernel = name.partition(".")
    return cp.RawKernel(source(file), kernel or file, options)


def _launch(
    name: str, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], **constants: float
) -> None:
    """Launch the kernel "file", or "file.kernel", in the type of its first array."""
    _compiled(name, options(args[0].dtype, **constants))(grid, block, args)


def _blocks(*sizes: tuple[int, int]) -> tuple[int, ...]:
    """Return how many blocks cover each (length, step)."""
    return tuple(-(-length // step) for length, step in sizes)


def _plain(*arrays: Any) -> list[Any]:
    """Lay arrays out as kernels expect them: contiguous, and starting where a pair of numbers may be read at once."""
    rows = [cp.ascontiguousarray(a) for a in arrays]
    return [a.copy() if a.__cuda_array_interface__["data"][0] % (2 * a.itemsize) else a for a in rows]


def _sizes(image: Any) -> tuple[np.int32, np.int32, np.int32]:
    """Return height, width and colors, as kernels take them."""
    height, width, *colors = image.shape
    return np.int32(height), np.int32(width), np.int32(colors[0] if colors else 1)


def _window_shape(window: int, height: int, width: int) -> dict[str, int]:
    """Return the block that sums over a window: wide enough that most of its columns are inner ones."""
    radius = min(window // 2, max(height, width))
    wide = next((w for w in (64, 128, 256, 512, 1024) if w >= 4 * radius), None)
    if wide is None:
        raise ValueError(f"window: at most 513 pixels on CuPy for an image of this size, got {window}")
    return {"RADIUS": radius, "WIDTH": wide, "ROWS": max(1, 512 // wide)}


def _launch_window(name: str, arrays: tuple[Any, ...], image: Any, window: int, **constants: float) -> None:
    height, width, channels = _sizes(image)
    shape = _window_shape(window, int(height), int(width))
    inner = shape["WIDTH"] - 2 * shape["RADIUS"]
    grid = _blocks((int(width), inner), (int(height), shape["ROWS"]))
    _launch(name, grid, (shape["WIDTH"], shape["ROWS"]), (*arrays, height, width, channels), **shape, **constants)


def normal_flow(Ix: Any, Iy: Any, It: Any) -> Any:
    """Find the part of the motion along the gradient; 0 where there is none."""
    Ix, Iy, It = _plain(Ix, Iy, It)
    flow = cp.empty((*Ix.shape, 2), Ix.dtype)
    if Ix.size:
        _launch("normal_flow", _blocks((Ix.size, 256)), (256,), (Ix, Iy, It, flow, np.int32(Ix.size)))
    return flow


def structure_tensor(Ix: Any, Iy: Any, window: int = 5) -> Any:
    """Sum the products of gradients over a window and the colors."""
    Ix, Iy = _plain(Ix, Iy)
    J = cp.empty((*Ix.shape[:2], 2, 2), Ix.dtype)
    _launch_window("structure_tensor", (Ix, Iy, J), Ix, window)
    return J


def lucas_kanade(Ix: Any, Iy: Any, It: Any, window: int = 5) -> Any:
    """Solve the flow equations of each window by least squares; the shortest solution where there are many."""
    Ix, Iy, It = _plain(Ix, Iy, It)
    flow = cp.empty((*Ix.shape[:2], 2), Ix.dtype)
    _launch_window("lucas_kanade", (Ix, Iy, It, flow, flow), Ix, window, DAMPING=0.0)
    return flow


def warp(image: Any, flow: Any) -> Any:
    """Fetch each pixel from where the flow says it went."""
    image, flow = _plain(image, flow)
    out = cp.empty_like(image)
    _launch("warp", _blocks((image.size, 256)), (256,), (image, flow, out, *_sizes(image)))
    return out


def median_filter_flow(flow: Any) -> Any:
    """Take the 3 × 3 median of each component."""
    (flow,) = _plain(flow)
    out = cp.empty_like(flow)
    height, width, _ = _sizes(flow)
    _launch("median_filter_flow", _blocks((int(width), 32), (int(height), 8)), (32, 8), (flow, out, height, width))
    return out


def correlation_volume(f1: Any, f2: Any, max_displacement: int) -> Any:
    """Compare each feature of one frame with those of the other around the same place."""
    f1, f2 = _plain(f1, f2)
    channels, height, width = map(int, f1.shape)
    span = 2 * max_displacement + 1
    shape = {"REACH": max_displacement, "NX": min(span, max(1, 27 // span)), "PIXELS": 2, "WIDTH": 32, "ROWS": 8}
    tile = (shape["ROWS"] * shape["PIXELS"] + span - 1) * (shape["WIDTH"] + shape["NX"] - 1) * f1.itemsize
    shape["CHUNK"] = max(1, min(4, SHARED_MEMORY // tile))
    volume = cp.empty((span * span, height, width), f1.dtype)
    grid = _blocks((width, shape["WIDTH"]), (height, shape["ROWS"] * shape["PIXELS"]), (span, shape["NX"]))
    args = (f1, f2, volume, np.int32(channels), np.int32(height), np.int32(width))
    _launch("correlation_volume", grid, (shape["WIDTH"], shape["ROWS"]), args, **shape)
    return volume


def iterative_lucas_kanade(I0: Any, I1: Any, window: int = 5, iterations: int = 3) -> Any:
    """Warp, solve, repeat: one launch a round, two where the window is too large for one."""
    return refine(I0, I1, cp.zeros((*I0.shape[:2], 2), I0.dtype), window, iterations)


def refine(I0: Any, I1: Any, flow: Any, window: int, iterations: int) -> Any:
    """Run the rounds of iterative Lucas–Kanade, from a given flow."""
    I0, I1, flow = _plain(I0, I1, flow)
    shape = _window_shape(window, *I0.shape[:2])
    fits = 5 * (shape["ROWS"] + 2 * shape["RADIUS"]) * shape["WIDTH"] * I0.itemsize <= SHARED_MEMORY
    for _ in range(iterations):
        refined = cp.empty_like(flow)
        if fits:
            _launch_window("refine", (I0, I1, flow, refined), I0, window, DAMPING=DAMPING)
        else:
            Ix, Iy, It = (cp.empty_like(I0) for _ in range(3))
            _launch("refine.equations", _blocks((I0.size, 256)), (256,), (I0, I1, flow, Ix, Iy, It, *_sizes(I0)))
            _launch_window("lucas_kanade", (Ix, Iy, It, flow, refined), I0, window, DAMPING=DAMPING)
        flow = refined
    return flow


def coarse_to_fine(I0: Any, I1: Any, window: int = 5, iterations: int = 3, levels: int | None = None) -> Any:
    """Run the rounds of every pyramid level as kernels."""
    return fast.down_the_pyramid(I0, I1, window, iterations, levels, refine)


# ---- dense: the loop over pyramid levels is fast_dense's; its two expensive steps are kernels --------------------


def _launch_planes(name: str, shape: tuple[int, ...], *args: Any) -> None:
    """Launch a kernel with one thread for each element of (planes, height, width) or (height, width)."""
    *planes, height, width = shape
    _launch(name, (*_blocks((width, 32), (height, 8)), *planes), (32, 8), args)


def _minimize(scratch: fast_dense.Scratch, frames: Any, flow: Any, budget: Budget) -> None:
    """Lower the energy from `flow`, in place; see dense_reference.minimize. Nothing here waits for the device."""
    shape, dtype = flow.shape[1:], flow.dtype
    size, tiny = tuple(map(np.int32, shape)), dtype.type(TINY)
    constants = [dtype.type(c) for c in (ALPHA, GAMMA, EPSILON_DATA, budget.epsilon_smooth)]
    I0, I1, work = cp.ascontiguousarray(frames[0]), cp.ascontiguousarray(frames[1]), cp.array(flow, order="C")
    start = work.copy()
    difference, mean, inside, down, right = (cp.empty(shape, dtype) for _ in range(5))
    residual, z, p, q, p_before = (cp.empty((2, *shape), dtype) for _ in range(5))
    tensor = cp.empty((3, *shape), dtype)
    system = (tensor, down, right)
    _launch_planes("dense.dense_warp", shape, I0, I1, work, difference, mean, inside, *size)
    for _ in range(budget.reweightings):
        images = (difference, mean, inside)
        _launch_planes(
            "dense.dense_equations", shape, *images, start, work, tensor, residual, down, right, *size, *constants
        )
        p[...], q[...], now, before = 0, 0, cp.zeros((), dtype), cp.full((), np.inf, dtype)
        state = (work, residual, z, *size, tiny)
        _launch_planes("dense.dense_step", shape, now, before, p, q, *system, *state)  # of length 0: only z
        for _ in range(budget.iterations):
            now, p, p_before = cp.dot(residual.ravel(), z.ravel()), p_before, p
            _launch_planes("dense.dense_direction", shape, now, before, z, p_before, *system, p, q, *size, tiny)
            _launch_planes("dense.dense_step", shape, now, cp.dot(p.ravel(), q.ravel()), p, q, *system, *state)
            before = now
    flow[...] = work


def _median(scratch: fast_dense.Scratch, flow: Any) -> None:
    """3 × 3 median of each component, in place."""
    before = cp.array(flow, order="C")
    after = cp.empty_like(before)
    _launch_planes("median_filter_flow.median_filter_planes", flow.shape, before, after, *map(np.int32, flow.shape[1:]))
    flow[...] = after


def dense(I0: Any, I1: Any, *, quality: str = "fast") -> Any:
    """Estimate the motion of every pixel; the algorithm of dense_reference.py."""
    kernels = {"minimize": _minimize, "median": _median}
    with_kernels = FunctionType(fast_dense.dense.__code__, vars(fast_dense) | kernels)
    return with_kernels(I0, I1, quality=quality)
