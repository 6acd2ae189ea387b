"""Convolution in one, two and three dimensions, forward and backward, as a loop over the kernel's taps.

What every framework calls convolution is cross-correlation: the kernel is not flipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vidlearn.signature import Array, Counts, Float, Int, PositiveInt, PositiveInts

# ------------------------------------------------------------------ sizes


def per_axis(name: str, value: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
    """Return one number for each axis: a single number stands for all of them."""
    numbers = tuple(value) if isinstance(value, tuple | list) else (value,) * axes
    if len(numbers) != axes:
        raise ValueError(f"{name}: expected one number, or {axes} (one an axis), got {len(numbers)}: {value}")
    return tuple(int(n) for n in numbers)


def output_sizes(
    sizes: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[int, ...]:
    """Return how many places a window has along each axis; refuse where it has none."""
    result = tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(sizes, kernel, stride, padding, dilation, strict=True)
    )
    if min(result) < 1:
        axis = next(i for i, n in enumerate(result) if n < 1)
        raise ValueError(
            f"w: its kernel {kernel} with dilation {dilation} reaches over {dilation[axis] * (kernel[axis] - 1) + 1} "
            f"positions along axis {axis} of {sizes}, expected at most {sizes[axis] + 2 * padding[axis]} "
            f"({sizes[axis]} and padding {padding[axis]} on both sides)"
        )
    return result


# ------------------------------------------------------------------ all dimensions at once


class _Window:
    """The geometry of one convolution: which slice of the padded input each kernel tap sees."""

    def __init__(self, x_shape, w_shape, stride, padding, dilation, groups) -> None:  # type: ignore[no-untyped-def]
        axes = len(x_shape) - 2
        self.kernel, self.sizes = tuple(w_shape[2:]), tuple(x_shape[2:])
        self.stride = per_axis("stride", stride, axes)
        self.padding = per_axis("padding", padding, axes)
        self.dilation = per_axis("dilation", dilation, axes)
        self.out = output_sizes(self.sizes, self.kernel, self.stride, self.padding, self.dilation)
        self.groups, self.batch, self.outputs = groups, x_shape[0], w_shape[0]
        if x_shape[1] % groups or w_shape[0] % groups:
            raise ValueError(
                f"groups: expected a divisor of the {x_shape[1]} input and {w_shape[0]} output channels, got {groups}"
            )
        if w_shape[1] * groups != x_shape[1]:
            raise ValueError(
                f"w: expected {x_shape[1] // groups} input channels (x has {x_shape[1]}, groups={groups}), "
                f"got {w_shape[1]} in shape {tuple(w_shape)}"
            )

    def pad(self, x: np.ndarray) -> np.ndarray:
        """Put zeros around x."""
        return np.pad(x, [(0, 0), (0, 0), *((p, p) for p in self.padding)])

    def unpad(self, x: np.ndarray) -> np.ndarray:
        """Take what `pad` put around off again."""
        return x[(..., *(slice(p, p + n) for p, n in zip(self.padding, self.sizes, strict=True)))]

    def taps(self) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
        """Return each tap of the kernel, with the slice of the padded input that it meets."""
        for tap in product(*map(range, self.kernel)):
            yield (
                tap,
                tuple(
                    slice(t * d, t * d + (n - 1) * s + 1, s)
                    for t, d, n, s in zip(tap, self.dilation, self.out, self.stride, strict=True)
                ),
            )

    def split(self, x: np.ndarray) -> np.ndarray:
        """(N, C, …) as (N, groups, C / groups, positions)."""
        return x.reshape(len(x), self.groups, x.shape[1] // self.groups, -1)


def _forward(x, w, b, stride, padding, dilation, groups):  # type: ignore[no-untyped-def]
    window = _Window(x.shape, w.shape, stride, padding, dilation, groups)
    padded = window.pad(x)
    weights = w.reshape(groups, w.shape[0] // groups, *w.shape[1:])  # (groups, outputs, inputs, *kernel)
    y = np.zeros((len(x), groups, w.shape[0] // groups, math.prod(window.out)), x.dtype)
    for tap, where in window.taps():
        y += weights[(..., *tap)] @ window.split(padded[(..., *where)])
    y = y.reshape(len(x), w.shape[0], *window.out)
    return y if b is None else y + b.reshape(-1, *[1] * len(window.out))


def _backward(dy, x, w, stride, padding, dilation, groups):  # type: ignore[no-untyped-def]
    window = _Window(x.shape, w.shape, stride, padding, dilation, groups)
    if dy.shape != (len(x), len(w), *window.out):
        raise ValueError(
            f"dy: expected the shape of the forward answer, {(len(x), len(w), *window.out)}, got {dy.shape}"
        )
    padded = window.pad(x)
    weights = w.reshape(groups, w.shape[0] // groups, *w.shape[1:])
    dpadded, dweights = np.zeros_like(padded), np.zeros_like(weights)
    dout = window.split(dy)
    for tap, where in window.taps():  # y += W_tap x_tap; so dx_tap += W_tapᵀ dy and dW_tap = dy x_tapᵀ
        seen = padded[(..., *where)]
        dpadded[(..., *where)] += (np.swapaxes(weights[(..., *tap)], -1, -2) @ dout).reshape(seen.shape)
        dweights[(..., *tap)] = (dout @ np.swapaxes(window.split(seen), -1, -2)).sum(axis=0)
    return window.unpad(dpadded), dweights.reshape(w.shape), dy.sum(axis=(0, *range(2, dy.ndim)))
