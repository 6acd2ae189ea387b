"""Convolution in one, two and three dimensions, forward and backward, as a loop over the kernel's taps.

What every framework calls convolution is cross-correlation: the kernel is not flipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from vidlearn.signature import Array, Count, Counts, Float, Int, PositiveInt, PositiveInts

# ------------------------------------------------------------------ sizes


def per_axis(name: str, value: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
    """Return one number for each axis: a single number stands for all of them."""
    numbers = tuple(value) if isinstance(value, tuple | list) else (value,) * axes
    if len(numbers) != axes:
        raise ValueError(f"{name}: expected one number, or {axes} (one an axis), got {len(numbers)}: {value}")
    return tuple(int(n) for n in numbers)


def output_sizes(
    name: str,
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
            f"{name}: a window of {kernel} with dilation {dilation} reaches over {dilation[axis] * (kernel[axis] - 1) + 1} "
            f"positions along axis {axis} of {sizes}, expected at most {sizes[axis] + 2 * padding[axis]} "
            f"({sizes[axis]} and padding {padding[axis]} on both sides)"
        )
    return result


# ------------------------------------------------------------------ all dimensions at once


class Window:
    """The geometry of a window that slides: which slice of the padded input each of its places meets."""

    def __init__(self, name, sizes, kernel, stride, padding, dilation) -> None:  # type: ignore[no-untyped-def]
        axes = len(sizes)
        self.sizes, self.kernel = tuple(sizes), tuple(kernel)
        self.stride = per_axis("stride", stride, axes)
        self.padding = per_axis("padding", padding, axes)
        self.dilation = per_axis("dilation", dilation, axes)
        self.out = output_sizes(name, self.sizes, self.kernel, self.stride, self.padding, self.dilation)

    def pad(self, x: np.ndarray, value: float = 0) -> np.ndarray:
        """Put `value` around x."""
        return np.pad(x, [(0, 0), (0, 0), *((p, p) for p in self.padding)], constant_values=value)

    def unpad(self, x: np.ndarray) -> np.ndarray:
        """Take what `pad` put around off again."""
        inside: Any = (..., *(slice(p, p + n) for p, n in zip(self.padding, self.sizes, strict=True)))
        return x[inside]

    def check_gradient(self, dy, batch: int, channels: int) -> None:  # type: ignore[no-untyped-def]
        """Refuse a gradient that has not the shape of the answer."""
        expected = (batch, channels, *self.out)
        if tuple(dy.shape) != expected:
            raise ValueError(
                f"dy: expected the shape of the forward answer, {expected} (kernel {self.kernel}, stride {self.stride}, "
                f"padding {self.padding}, dilation {self.dilation}), got {tuple(dy.shape)}"
            )

    def taps(self) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
        """Return each place in the window, with the slice of the padded input that it meets."""
        for tap in product(*map(range, self.kernel)):
            yield (
                tap,
                tuple(
                    slice(t * d, t * d + (n - 1) * s + 1, s)
                    for t, d, n, s in zip(tap, self.dilation, self.out, self.stride, strict=True)
                ),
            )


def _split(x: np.ndarray, groups: int) -> np.ndarray:
    """(N, C, …) as (N, groups, C / groups, positions)."""
    return x.reshape(len(x), groups, x.shape[1] // groups, -1)


def check_channels(x_shape: tuple[int, ...], w_shape: tuple[int, ...], groups: int) -> None:
    """Refuse groups that don't divide the channels, and kernels for other channels."""
    if x_shape[1] % groups or w_shape[0] % groups:
        raise ValueError(
            f"groups: expected a divisor of the {x_shape[1]} input and {w_shape[0]} output channels, got {groups}"
        )
    if w_shape[1] * groups != x_shape[1]:
        raise ValueError(
            f"w: expected {x_shape[1] // groups} input channels (x has {x_shape[1]}, groups={groups}), "
            f"got {w_shape[1]} in shape {tuple(w_shape)}"
        )


def _forward(x, w, b, stride, padding, dilation, groups):  # type: ignore[no-untyped-def]
    check_channels(x.shape, w.shape, groups)
    window = Window("w", x.shape[2:], w.shape[2:], stride, padding, dilation)
    padded = window.pad(x)
    weights = w.reshape(groups, w.shape[0] // groups, *w.shape[1:])  # (groups, outputs, inputs, *kernel)
    y = np.zeros((len(x), groups, w.shape[0] // groups, math.prod(window.out)), x.dtype)
    for tap, where in window.taps():
        y += weights[(..., *tap)] @ _split(padded[(..., *where)], groups)
    y = y.reshape(len(x), w.shape[0], *window.out)
    return y if b is None else y + b.reshape(-1, *[1] * len(window.out))


def _backward(dy, x, w, stride, padding, dilation, groups):  # type: ignore[no-untyped-def]
    check_channels(x.shape, w.shape, groups)
    window = Window("w", x.shape[2:], w.shape[2:], stride, padding, dilation)
    window.check_gradient(dy, len(x), len(w))
    padded = window.pad(x)
    weights = w.reshape(groups, w.shape[0] // groups, *w.shape[1:])
    dpadded, dweights = np.zeros_like(padded), np.zeros_like(weights)
    dout = _split(dy, groups)
    for tap, where in window.taps():  # y += W_tap x_tap; so dx_tap += W_tapᵀ dy and dW_tap = dy x_tapᵀ
        seen = padded[(..., *where)]
        dpadded[(..., *where)] += (np.swapaxes(weights[(..., *tap)], -1, -2) @ dout).reshape(seen.shape)
        dweights[(..., *tap)] = (dout @ np.swapaxes(_split(seen, groups), -1, -2)).sum(axis=0)
    return window.unpad(dpadded), dweights.reshape(w.shape), dy.sum(axis=(0, *range(2, dy.ndim)))


# ------------------------------------------------------------------ forward


def conv1d(
    x: Float[Array, "N C L"],
    w: Float[Array, "O I K"],
    b: Float[Array, "O"] | None = None,
    stride: PositiveInts = 1,
    padding: Counts = 0,
    dilation: PositiveInts = 1,
    groups: PositiveInt = 1,
) -> Float[Array, "N O M"]:
    r"""Weigh each moment with its neighbors: the convolution of features over time alone.

    .. math:: y[n, o, t] = b[o] + \sum_{i, k} w[o, i, k]\; x[n, i, s\,t + d\,k - p]

    Parameters
    ----------
    x
        (N, C, L), L moments.
    w
        (C_out, C / groups, K).
    b
        (C_out,), or None.
    stride, padding, dilation
        Step between windows, zeros put around, and step between the taps of a window.
    groups
        The channels are cut into so many groups that don't see one another.

    Returns
    -------
    y
        (N, C_out, ⌊(L + 2p − d(K − 1) − 1)/s⌋ + 1).

    Raises
    ------
    ValueError
        If the window has no place, or the channels don't fit the groups.

    References
    ----------
    CS231n, "Convolution Layer".

    Examples
    --------
    >>> conv1d(np.array([[[1.0, 2.0, 4.0]]]), np.array([[[-1.0, 1.0]]]))
    array([[[1., 2.]]])
    """
    return _forward(x, w, b, stride, padding, dilation, groups)


def conv2d(
    x: Float[Array, "N C H W"],
    w: Float[Array, "O I Kh Kw"],
    b: Float[Array, "O"] | None = None,
    stride: PositiveInts = 1,
    padding: Counts = 0,
    dilation: PositiveInts = 1,
    groups: PositiveInt = 1,
) -> Float[Array, "N O P Q"]:
    r"""Look for the same small pattern everywhere in an image.

    .. math:: y[n, o, r, q] = b[o] + \sum_{i, k, l} w[o, i, k, l]\; x[n, i, s\,r + d\,k - p,\; s\,q + d\,l - p]

    Parameters
    ----------
    x
        (N, C, H, W).
    w
        (C_out, C / groups, K_h, K_w).
    b
        (C_out,), or None.
    stride, padding, dilation
        One number for both axes, or (along H, along W).
    groups
        The channels are cut into so many groups that don't see one another.

    Returns
    -------
    y
        (N, C_out, H', W').

    Raises
    ------
    ValueError
        If the window has no place, or the channels don't fit the groups.

    References
    ----------
    CS231n, "Convolution Layer".

    Examples
    --------
    >>> image = np.array([[[[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]]])
    >>> conv2d(image, np.array([[[[-1.0, 1.0]]]]))           # an edge between the second and the third column
    array([[[[0., 1.],
             [0., 1.]]]])
    """
    return _forward(x, w, b, stride, padding, dilation, groups)


def conv3d(
    x: Float[Array, "N C T H W"],
    w: Float[Array, "O I Kt Kh Kw"],
    b: Float[Array, "O"] | None = None,
    stride: PositiveInts = 1,
    padding: Counts = 0,
    dilation: PositiveInts = 1,
    groups: PositiveInt = 1,
) -> Float[Array, "N O S P Q"]:
    r"""Look for the same small motion everywhere and at every time: the window slides over x, y **and t**.

    .. math:: y[n, o, t, r, q] = b[o] + \sum_{i, m, k, l} w[o, i, m, k, l]\; x[n, i, t + m,\; r + k,\; q + l]

    (with stride 1 and no padding; stride, padding and dilation act on each axis as in :func:`conv1d`.)

    Parameters
    ----------
    x
        (N, C, T, H, W).
    w
        (C_out, C / groups, K_t, K_h, K_w).
    b
        (C_out,), or None.
    stride, padding, dilation
        One number for all axes, or (along T, along H, along W).
    groups
        The channels are cut into so many groups that don't see one another.

    Returns
    -------
    y
        (N, C_out, T', H', W').

    Raises
    ------
    ValueError
        If the window has no place, or the channels don't fit the groups.

    References
    ----------
    CS231n, "3D Convolution"; D. Tran et al., "Learning spatiotemporal features with 3D convolutional networks",
    ICCV 2015.

    Examples
    --------
    >>> clip = np.arange(3.0).reshape(1, 1, 3, 1, 1)         # each frame one brighter than the one before
    >>> conv3d(clip, np.array([-1.0, 1.0]).reshape(1, 1, 2, 1, 1)).ravel()
    array([1., 1.])
    """
    return _forward(x, w, b, stride, padding, dilation, groups)


# ------------------------------------------------------------------ backward


def conv1d_backward(
    dy: Float[Array, "N O M"],
    x: Float[Array, "N C L"],
    w: Float[Array, "O I K"],
    stride: PositiveInts = 1,
    padding: Counts = 0,
    dilation: PositiveInts = 1,
    groups: PositiveInt = 1,
) -> tuple[Float[Array, "N C L"], Float[Array, "O I K"], Float[Array, "O"]]:
    r"""Carry the loss's gradient back through :func:`conv1d`.

    .. math:: dw[o, i, k] = \sum_{n, t} dy[n, o, t]\; x[n, i, s\,t + d\,k - p], \quad
              dx[n, i, j] = \sum_{s\,t + d\,k - p\, =\, j} w[o, i, k]\; dy[n, o, t], \quad
              db[o] = \sum_{n, t} dy[n, o, t]

    Parameters
    ----------
    dy
        Gradient of the loss by the answer, of the answer's shape.
    x, w, stride, padding, dilation, groups
        As in the forward call.

    Returns
    -------
    dx, dw, db
        Gradients of the loss by the input, the weights and the bias.

    References
    ----------
    CS231n, "Convolution Layer"; Y. LeCun et al., "Gradient-based learning applied to document recognition", 1998.

    Examples
    --------
    >>> conv1d_backward(np.ones((1, 1, 2)), np.array([[[1.0, 2.0, 4.0]]]), np.array([[[-1.0, 1.0]]]))
    (array([[[-1.,  0.,  1.]]]), array([[[3., 6.]]]), array([2.]))
    """
    return _backward(dy, x, w, stride, padding, dilation, groups)


def conv2d_backward(
    dy: Float[Array, "N O P Q"],
    x: Float[Array, "N C H W"],
    w: Float[Array, "O I Kh Kw"],
    stride: PositiveInts = 1,
    padding: Counts = 0,
    dilation: PositiveInts = 1,
    groups: PositiveInt = 1,
) -> tuple[Float[Array, "N C H W"], Float[Array, "O I Kh Kw"], Float[Array, "O"]]:
    """Carry the loss's gradient back through :func:`conv2d`; the equations are those of :func:`conv1d_backward`.

    Parameters
    ----------
    dy
        Gradient of the loss by the answer, of the answer's shape.
    x, w, stride, padding, dilation, groups
        As in the forward call.

    Returns
    -------
    dx, dw, db
        Gradients of the loss by the input, the weights and the bias.

    References
    ----------
    CS231n, "Convolution Layer".

    Examples
    --------
    >>> dx, dw, db = conv2d_backward(np.ones((1, 1, 1, 1)), np.full((1, 1, 2, 2), 3.0), np.full((1, 1, 2, 2), 5.0))
    >>> dx.ravel(), dw.ravel(), db
    (array([5., 5., 5., 5.]), array([3., 3., 3., 3.]), array([1.]))
    """
    return _backward(dy, x, w, stride, padding, dilation, groups)


def conv3d_backward(
    dy: Float[Array, "N O S P Q"],
    x: Float[Array, "N C T H W"],
    w: Float[Array, "O I Kt Kh Kw"],
    stride: PositiveInts = 1,
    padding: Counts = 0,
    dilation: PositiveInts = 1,
    groups: PositiveInt = 1,
) -> tuple[Float[Array, "N C T H W"], Float[Array, "O I Kt Kh Kw"], Float[Array, "O"]]:
    """Carry the loss's gradient back through :func:`conv3d`; the equations are those of :func:`conv1d_backward`.

    Parameters
    ----------
    dy
        Gradient of the loss by the answer, of the answer's shape.
    x, w, stride, padding, dilation, groups
        As in the forward call.

    Returns
    -------
    dx, dw, db
        Gradients of the loss by the input, the weights and the bias.

    References
    ----------
    CS231n, "3D Convolution".

    Examples
    --------
    >>> clip, kernel = np.arange(3.0).reshape(1, 1, 3, 1, 1), np.array([-1.0, 1.0]).reshape(1, 1, 2, 1, 1)
    >>> dx, dw, db = conv3d_backward(np.ones((1, 1, 2, 1, 1)), clip, kernel)
    >>> dx.ravel(), dw.ravel(), db
    (array([-1.,  0.,  1.]), array([1., 3.]), array([2.]))
    """
    return _backward(dy, x, w, stride, padding, dilation, groups)


# ------------------------------------------------------------------ counting


def convolution_size(
    size: PositiveInt, kernel: PositiveInt, stride: PositiveInt = 1, padding: Count = 0, dilation: PositiveInt = 1
) -> Int[Array, ""]:
    r"""Count the places of a window along one axis.

    .. math:: \left\lfloor \frac{n + 2p - d(k - 1) - 1}{s} \right\rfloor + 1

    Parameters
    ----------
    size
        Positions n of the input.
    kernel, stride, padding, dilation
        The window, along this axis.

    Returns
    -------
    places
        0-d; 0 if the window is longer than the padded input.

    References
    ----------
    CS231n, "C3D: The VGG of 3D CNNs".

    Examples
    --------
    >>> int(convolution_size(112, 7, stride=2, padding=3))
    56
    """
    return np.asarray(max(0, (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1))


def conv_parameters(
    c_in: PositiveInt, c_out: PositiveInt, kernel: PositiveInts, groups: PositiveInt = 1, bias: bool = True
) -> Int[Array, ""]:
    r"""Count what a convolution has to learn.

    .. math:: C_{out} \cdot \left( \frac{C_{in}}{g} \prod_a K_a + 1 \right)

    Parameters
    ----------
    c_in, c_out
        Channels that come and go.
    kernel
        Extents of the kernel, one number for each axis.
    groups
        Groups of channels that don't see one another.
    bias
        Whether each output channel has one.

    Returns
    -------
    parameters
        0-d.

    Raises
    ------
    ValueError
        If `groups` does not divide the channels.

    References
    ----------
    SJTU, "R(2+1)D".

    Examples
    --------
    >>> int(conv_parameters(3, 64, (3, 3, 3)))               # C3D's first layer
    5248
    """
    if not isinstance(bias, bool | np.bool_):
        raise TypeError(f"bias: expected True or False, got {bias!r}")
    return np.asarray(c_out * (_inputs(c_in, c_out, groups) * math.prod(_tuple(kernel)) + bool(bias)))


def conv_macs(
    c_in: PositiveInt, c_out: PositiveInt, kernel: PositiveInts, output_size: PositiveInts, groups: PositiveInt = 1
) -> Int[Array, ""]:
    r"""Count the multiply-accumulates of a convolution: every output value takes one for each weight of its kernel.

    .. math:: \prod_a N_a \cdot C_{out} \cdot \frac{C_{in}}{g} \prod_a K_a

    Biases are not counted. What papers call FLOPs is, most often, this number; twice this number is operations.

    Parameters
    ----------
    c_in, c_out
        Channels that come and go.
    kernel
        Extents of the kernel, one number for each axis.
    output_size
        Positions of the *output* along each axis.
    groups
        Groups of channels that don't see one another.

    Returns
    -------
    macs
        0-d.

    Raises
    ------
    ValueError
        If `groups` does not divide the channels.

    References
    ----------
    CS231n, "C3D: The VGG of 3D CNNs" (whose MFLOPs are billions of these).

    Examples
    --------
    >>> int(conv_macs(3, 64, (3, 3, 3), (16, 112, 112)))     # C3D's first layer: 1.04 billion
    1040449536
    """
    weights = c_out * _inputs(c_in, c_out, groups) * math.prod(_tuple(kernel))
    return np.asarray(weights * math.prod(_tuple(output_size)))


def _tuple(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _inputs(c_in: int, c_out: int, groups: int) -> int:
    if c_in % groups or c_out % groups:
        raise ValueError(f"groups: expected a divisor of {c_in} and {c_out} channels, got {groups}")
    return c_in // groups
