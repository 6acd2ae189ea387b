"""Pooling over views of one padded array: no window is copied twice."""

from __future__ import annotations

import math
from typing import Any

from vidlearn.arrays import namespace
from vidlearn.layers.reference.convolving import Window
from vidlearn.layers.reference.pooling import pool_window

Array = Any
Ints = int | tuple[int, ...]


def _pad(x: Array, window: Window, value: float) -> Array:
    xp = namespace(x)
    width = [(0, 0), (0, 0), *((p, p) for p in window.padding)]
    if value == 0 or max(window.padding) == 0:
        return xp.pad(x, width)
    known = xp.pad(xp.ones_like(x), width) > 0  # only zeros are padded alike by every library
    padded = xp.pad(x, width)
    return xp.where(known, padded, xp.full_like(padded, value))


def _largest(x: Array, window: Window) -> tuple[Array, Array]:
    """The largest value of each window, and the number of the first place that has it."""
    xp = namespace(x)
    padded = _pad(x, window, -math.inf)
    best, first = None, None
    for i, (_, where) in enumerate(window.taps()):
        view = padded[(..., *where)]
        if best is None:
            best, first = view, xp.zeros_like(view)
        else:
            better = (view > best) | (xp.isnan(view) & ~xp.isnan(best))
            best = xp.where(better, view, best)
            first = xp.where(better, xp.full_like(first, i), first)
    return best, first


def _spread(dy: Array, x: Array, window: Window, share: Any) -> Array:
    xp = namespace(x)
    dpadded = _pad(xp.zeros_like(x), window, 0)
    for i, (_, where) in enumerate(window.taps()):
        dpadded[(..., *where)] += share(i)
    return window.unpad(dpadded)


def max_pool2d(x: Array, kernel: Ints, stride: Ints | None = None, padding: Ints = 0) -> Array:
    """The largest of all views."""
    return _largest(x, pool_window(x, kernel, stride, padding))[0]


def max_pool3d(x: Array, kernel: Ints, stride: Ints | None = None, padding: Ints = 0) -> Array:
    """The largest of all views."""
    return _largest(x, pool_window(x, kernel, stride, padding))[0]


def max_pool3d_backward(dy: Array, x: Array, kernel: Ints, stride: Ints | None = None, padding: Ints = 0) -> Array:
    """Each region's gradient to its first winner."""
    xp = namespace(x)
    window = pool_window(x, kernel, stride, padding)
    window.check_gradient(dy, *x.shape[:2])
    first = _largest(x, window)[1]
    return _spread(dy, x, window, lambda i: xp.where(first == i, dy, xp.zeros_like(dy)))


def avg_pool3d(x: Array, kernel: Ints, stride: Ints | None = None, padding: Ints = 0) -> Array:
    """The mean of all views."""
    window = pool_window(x, kernel, stride, padding)
    padded = _pad(x, window, 0)
    total = sum(padded[(..., *where)] for _, where in window.taps())
    return total / math.prod(window.kernel)


def avg_pool3d_backward(dy: Array, x: Array, kernel: Ints, stride: Ints | None = None, padding: Ints = 0) -> Array:
    """Each region's gradient shared alike."""
    window = pool_window(x, kernel, stride, padding)
    window.check_gradient(dy, *x.shape[:2])
    part = dy / math.prod(window.kernel)
    return _spread(dy, x, window, lambda i: part)


def global_avg_pool(x: Array) -> Array:
    """The mean over all positions."""
    return namespace(x).mean(x.reshape(*x.shape[:2], -1), axis=-1)
