"""What CuPy needs kernels for: convolution of clips without im2col's memory, and the error function in GELU."""

from __future__ import annotations

import functools
import math
from importlib import resources
from typing import Any

import cupy as cp
import numpy as np

from vidlearn.layers.fast import convolving
from vidlearn.layers.reference.convolving import Window, check_channels

__all__ = ["conv3d", "gelu"]

Ints = int | tuple[int, ...]
PLACES, CHUNK, EACH = 64, 16, 4
MOST = 65535  # blocks along the grid's last axis


@functools.cache
def _compiled(real: str, outputs: int) -> Any:
    source = (resources.files("vidlearn.layers") / "kernels" / "conv3d_tiled.cu").read_text()
    constants = {"real": real, "OUTPUTS": outputs, "PLACES": PLACES, "CHUNK": CHUNK, "EACH": EACH}
    return cp.RawKernel(source, "conv3d_tiled", tuple(f"-D{n}={v}" for n, v in constants.items()))


def conv3d(
    x: Any, w: Any, b: Any = None, stride: Ints = 1, padding: Ints = 0, dilation: Ints = 1, groups: int = 1
) -> Any:
    """The matrix product of im2col, its columns made where they are needed."""
    check_channels(x.shape, w.shape, groups)
    if x.shape[0] * groups > MOST:
        return convolving.conv3d(x, w, b, stride, padding, dilation, groups)
    window = Window("w", x.shape[2:], w.shape[2:], stride, padding, dilation)
    x, w = cp.ascontiguousarray(x), cp.ascontiguousarray(w)
    b = cp.zeros(w.shape[0], x.dtype) if b is None else cp.ascontiguousarray(b)
    y = cp.empty((x.shape[0], w.shape[0], *window.out), x.dtype)
    outputs = w.shape[0] // groups
    tile = 64 if outputs > 16 else 16  # few channels: a lower tile, so that fewer threads work for nothing
    places = y[0, 0].size
    grid = (-(-places // PLACES), -(-outputs // tile), x.shape[0] * groups)
    sizes = (groups, w.shape[1], outputs, *window.sizes, *window.kernel, *window.out)
    geometry = map(np.int32, (*sizes, *window.stride, *window.padding, *window.dilation))
    real = {"float32": "float", "float64": "double"}[x.dtype.name]
    _compiled(real, tile)(grid, (tile * PLACES // EACH**2,), (x, w, b, y, *geometry))
    return y


def gelu(x: Any) -> Any:
    """CuPy's error function: NumPy's spelling has none."""
    from cupyx.scipy.special import erf

    return x * (erf(x * math.sqrt(0.5)) + 1) / 2
