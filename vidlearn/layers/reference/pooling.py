"""Pooling: a window's largest value or its mean, forward and backward, as a loop over the window's places."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from vidlearn.layers.reference.convolving import Window, per_axis

if TYPE_CHECKING:
    from vidlearn.signature import Array, Counts, Float, PositiveInts

# ------------------------------------------------------------------ all dimensions at once


def pool_window(x, kernel, stride, padding):  # type: ignore[no-untyped-def]
    """Return the geometry of a pool; refuse a padding that leaves a region empty."""
    axes = x.ndim - 2
    kernel = per_axis("kernel", kernel, axes)
    padding = per_axis("padding", padding, axes)
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise ValueError(
            f"padding: expected at most half the kernel {kernel}, so that no window is empty, got {padding}"
        )
    return Window("kernel", tuple(x.shape[2:]), kernel, kernel if stride is None else stride, padding, 1)


def _views(x, window, fill):  # type: ignore[no-untyped-def]
    padded = window.pad(x, fill)
    return [(where, padded[(..., *where)]) for _, where in window.taps()]


def _spread(dy, x, window, share):  # type: ignore[no-untyped-def]
    """Give each place of each window its share of dy; places that several windows see add up."""
    dpadded = window.pad(np.zeros_like(x), 0)
    for (_, where), part in zip(window.taps(), share, strict=True):
        dpadded[(..., *where)] += part
    return window.unpad(dpadded)


def _max(x, kernel, stride, padding):  # type: ignore[no-untyped-def]
    window = pool_window(x, kernel, stride, padding)
    return np.max([view for _, view in _views(x, window, -np.inf)], axis=0)


def _max_backward(dy, x, kernel, stride, padding):  # type: ignore[no-untyped-def]
    window = pool_window(x, kernel, stride, padding)
    window.check_gradient(dy, *x.shape[:2])
    first = np.argmax([view for _, view in _views(x, window, -np.inf)], axis=0)  # of several largest, the first
    return _spread(dy, x, window, [dy * (first == i) for i in range(math.prod(window.kernel))])


# ------------------------------------------------------------------ the largest value


def max_pool2d(
    x: Float[Array, "N C H W"], kernel: PositiveInts, stride: PositiveInts | None = None, padding: Counts = 0
) -> Float[Array, "N C P Q"]:
    r"""Keep the strongest answer of each small region of an image.

    .. math:: y[n, c, r, q] = \max_{k, l} x[n, c, s\,r + k - p,\; s\,q + l - p]

    Parameters
    ----------
    x
        (N, C, H, W).
    kernel
        Extent of the region: one number, or (along H, along W).
    stride
        Step between regions; the kernel if None.
    padding
        Places put around that never win; at most half the kernel.

    Returns
    -------
    y
        (N, C, H', W').

    Raises
    ------
    ValueError
        If a region has no place.

    References
    ----------
    CS231n, "Early Fusion vs Late Fusion vs 3D CNN".

    Examples
    --------
    >>> max_pool2d(np.array([[[[1.0, 5.0, 2.0, 0.0]]]]), (1, 2))
    array([[[[5., 2.]]]])
    """
    return _max(x, kernel, stride, padding)


def max_pool3d(
    x: Float[Array, "N C T H W"], kernel: PositiveInts, stride: PositiveInts | None = None, padding: Counts = 0
) -> Float[Array, "N C S P Q"]:
    r"""Keep the strongest answer of each small region of space *and time*.

    .. math:: y[n, c, t, r, q] = \max_{m, k, l} x[n, c, s\,t + m - p,\; s\,r + k - p,\; s\,q + l - p]

    Parameters
    ----------
    x
        (N, C, T, H, W).
    kernel
        Extent of the region: one number, or (along T, along H, along W).
    stride
        Step between regions; the kernel if None.
    padding
        Places put around that never win; at most half the kernel.

    Returns
    -------
    y
        (N, C, T', H', W').

    Raises
    ------
    ValueError
        If a region has no place.

    References
    ----------
    CS231n, "C3D: The VGG of 3D CNNs" (2×2×2 everywhere, but 1×2×2 first).

    Examples
    --------
    >>> clip = np.array([1.0, 5.0, 2.0, 0.0]).reshape(1, 1, 4, 1, 1)
    >>> max_pool3d(clip, (2, 1, 1)).ravel()
    array([5., 2.])
    """
    return _max(x, kernel, stride, padding)


def max_pool3d_backward(
    dy: Float[Array, "N C S P Q"],
    x: Float[Array, "N C T H W"],
    kernel: PositiveInts,
    stride: PositiveInts | None = None,
    padding: Counts = 0,
) -> Float[Array, "N C T H W"]:
    """Carry the loss's gradient back through :func:`max_pool3d`: each region's goes to its winner alone.

    Of several equal winners the first along T, then H, then W, gets it all. A voxel that wins in several regions gets
    the sum.

    Parameters
    ----------
    dy
        Gradient of the loss by the answer, of the answer's shape.
    x, kernel, stride, padding
        As in the forward call.

    Returns
    -------
    dx
        Gradient of the loss by the input, (N, C, T, H, W).

    References
    ----------
    CS231n, "C3D: The VGG of 3D CNNs".

    Examples
    --------
    >>> clip = np.array([1.0, 5.0, 2.0, 0.0]).reshape(1, 1, 4, 1, 1)
    >>> max_pool3d_backward(np.array([7.0, 3.0]).reshape(1, 1, 2, 1, 1), clip, (2, 1, 1)).ravel()
    array([0., 7., 3., 0.])
    """
    return _max_backward(dy, x, kernel, stride, padding)


# ------------------------------------------------------------------ the mean


def avg_pool3d(
    x: Float[Array, "N C T H W"], kernel: PositiveInts, stride: PositiveInts | None = None, padding: Counts = 0
) -> Float[Array, "N C S P Q"]:
    r"""Average each small region of space and time.

    .. math:: y[n, c, t, r, q] = \frac{1}{K_t K_h K_w} \sum_{m, k, l} x[n, c, s\,t + m - p,\; s\,r + k - p,\; s\,q + l - p]

    Places put around count as zeros, so that a region at the border is divided by the whole kernel's volume.

    Parameters
    ----------
    x
        (N, C, T, H, W).
    kernel
        Extent of the region: one number, or (along T, along H, along W).
    stride
        Step between regions; the kernel if None.
    padding
        Zeros put around; at most half the kernel.

    Returns
    -------
    y
        (N, C, T', H', W').

    Raises
    ------
    ValueError
        If a region has no place.

    References
    ----------
    CS231n, "Video Classification: Late Fusion (with pooling)".

    Examples
    --------
    >>> clip = np.array([1.0, 5.0, 2.0, 0.0]).reshape(1, 1, 4, 1, 1)
    >>> avg_pool3d(clip, (2, 1, 1)).ravel()
    array([3., 1.])
    """
    window = pool_window(x, kernel, stride, padding)
    return sum(view for _, view in _views(x, window, 0)) / math.prod(window.kernel)


def avg_pool3d_backward(
    dy: Float[Array, "N C S P Q"],
    x: Float[Array, "N C T H W"],
    kernel: PositiveInts,
    stride: PositiveInts | None = None,
    padding: Counts = 0,
) -> Float[Array, "N C T H W"]:
    """Carry the loss's gradient back through :func:`avg_pool3d`: all places of a region share it alike.

    Parameters
    ----------
    dy
        Gradient of the loss by the answer, of the answer's shape.
    x, kernel, stride, padding
        As in the forward call; of `x` only the shape matters.

    Returns
    -------
    dx
        Gradient of the loss by the input, (N, C, T, H, W).

    References
    ----------
    CS231n, "Video Classification: Late Fusion (with pooling)".

    Examples
    --------
    >>> clip = np.array([1.0, 5.0, 2.0, 0.0]).reshape(1, 1, 4, 1, 1)
    >>> avg_pool3d_backward(np.array([8.0, 4.0]).reshape(1, 1, 2, 1, 1), clip, (2, 1, 1)).ravel()
    array([4., 4., 2., 2.])
    """
    window = pool_window(x, kernel, stride, padding)
    window.check_gradient(dy, *x.shape[:2])
    volume = math.prod(window.kernel)
    return _spread(dy, x, window, [dy / volume] * volume)


def global_avg_pool(x: Float[Array, "N C *B"]) -> Float[Array, "N C"]:
    r"""Summarize a whole clip, or image, in one number a channel: where and when no longer matter.

    .. math:: y[n, c] = \operatorname{mean}_{t, h, w}\; x[n, c, t, h, w]

    Parameters
    ----------
    x
        (N, C, …), any number of positions' axes.

    Returns
    -------
    y
        (N, C).

    References
    ----------
    CS231n, "Early Fusion vs Late Fusion vs 3D CNN"; M. Lin et al., "Network in network", ICLR 2014.

    Examples
    --------
    >>> global_avg_pool(np.array([[[1.0, 5.0], [2.0, 0.0]]]))
    array([[3., 1.]])
    """
    return x.reshape(*x.shape[:2], -1).mean(axis=-1)
