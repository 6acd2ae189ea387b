"""Convolution as one matrix product over all windows, and its two gradients likewise."""

from __future__ import annotations

import math
from typing import Any

from vidlearn.arrays import namespace
from vidlearn.layers.reference.convolving import Window, check_channels

Array = Any
Ints = int | tuple[int, ...]


def _columns(x: Array, window: Window, groups: int) -> Array:
    """Every window as a column: (N, groups, C / groups · taps, places)."""
    xp = namespace(x)
    padded = xp.pad(x, [(0, 0), (0, 0), *((p, p) for p in window.padding)])
    seen = xp.stack([padded[(..., *where)] for _, where in window.taps()], axis=2)  # (N, C, taps, *places)
    return seen.reshape(x.shape[0], groups, x.shape[1] // groups * seen.shape[2], math.prod(window.out))


def _convolve(x: Array, w: Array, b: Array | None, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Array:
    check_channels(tuple(x.shape), tuple(w.shape), groups)
    window = Window("w", tuple(x.shape[2:]), tuple(w.shape[2:]), stride, padding, dilation)
    y = w.reshape(groups, w.shape[0] // groups, -1) @ _columns(x, window, groups)
    y = y.reshape(x.shape[0], w.shape[0], *window.out)
    return y if b is None else y + b.reshape(-1, *[1] * len(window.out))


def _convolve_backward(
    dy: Array, x: Array, w: Array, stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> tuple[Array, Array, Array]:
    xp = namespace(x)
    check_channels(tuple(x.shape), tuple(w.shape), groups)
    window = Window("w", tuple(x.shape[2:]), tuple(w.shape[2:]), stride, padding, dilation)
    window.check_gradient(dy, x.shape[0], w.shape[0])
    rows = dy.reshape(x.shape[0], groups, w.shape[0] // groups, -1)
    weights = w.reshape(groups, w.shape[0] // groups, -1)
    dw = xp.sum(rows @ xp.moveaxis(_columns(x, window, groups), -1, -2), axis=0).reshape(w.shape)
    dcolumns = xp.moveaxis(weights, -1, -2) @ rows
    dcolumns = dcolumns.reshape(*x.shape[:2], math.prod(window.kernel), *window.out)
    dpadded = xp.zeros_like(xp.pad(x, [(0, 0), (0, 0), *((p, p) for p in window.padding)]))
    for i, (_, where) in enumerate(window.taps()):
        dpadded[(..., *where)] += dcolumns[:, :, i]
    return window.unpad(dpadded), dw, xp.sum(dy, axis=(0, *range(2, dy.ndim)))


def conv1d(
    x: Array,
    w: Array,
    b: Array | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Array:
    """One matrix product over all windows in time."""
    return _convolve(x, w, b, stride, padding, dilation, groups)


def conv2d(
    x: Array,
    w: Array,
    b: Array | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Array:
    """One matrix product over all windows of the image."""
    return _convolve(x, w, b, stride, padding, dilation, groups)


def conv3d(
    x: Array,
    w: Array,
    b: Array | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Array:
    """One matrix product over all windows of the clip."""
    return _convolve(x, w, b, stride, padding, dilation, groups)


def conv1d_backward(
    dy: Array, x: Array, w: Array, stride: Ints = 1, padding: Ints = 0, dilation: Ints = 1, groups: int = 1
) -> tuple[Array, Array, Array]:
    """Both gradients as matrix products; columns that overlap add up."""
    return _convolve_backward(dy, x, w, stride, padding, dilation, groups)


def conv2d_backward(
    dy: Array, x: Array, w: Array, stride: Ints = 1, padding: Ints = 0, dilation: Ints = 1, groups: int = 1
) -> tuple[Array, Array, Array]:
    """Both gradients as matrix products; columns that overlap add up."""
    return _convolve_backward(dy, x, w, stride, padding, dilation, groups)


def conv3d_backward(
    dy: Array, x: Array, w: Array, stride: Ints = 1, padding: Ints = 0, dilation: Ints = 1, groups: int = 1
) -> tuple[Array, Array, Array]:
    """Both gradients as matrix products; columns that overlap add up."""
    return _convolve_backward(dy, x, w, stride, padding, dilation, groups)
