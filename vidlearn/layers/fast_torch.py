"""What PyTorch has of its own: convolution, pooling and batch norm by oneDNN on a CPU and cuDNN on a GPU."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vidlearn.layers.reference.convolving import Window, check_channels
from vidlearn.layers.reference.pooling import pool_window
from vidlearn.layers.reference.recurring import check_gates

Ints = int | tuple[int, ...]

__all__ = [
    "avg_pool3d",
    "avg_pool3d_backward",
    "batch_norm",
    "conv1d",
    "conv1d_backward",
    "conv2d",
    "conv2d_backward",
    "conv3d",
    "conv3d_backward",
    "gelu",
    "layer_norm",
    "lstm",
    "max_pool2d",
    "max_pool3d",
    "max_pool3d_backward",
    "softmax",
]


def _geometry(x: Tensor, w: Tensor, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Window:
    check_channels(tuple(x.shape), tuple(w.shape), groups)
    return Window("w", tuple(x.shape[2:]), tuple(w.shape[2:]), stride, padding, dilation)


def _convolve(
    x: Tensor, w: Tensor, b: Tensor | None, stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> Tensor:
    g = _geometry(x, w, stride, padding, dilation, groups)
    convolve = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[x.ndim]
    return convolve(x, w, b, g.stride, g.padding, g.dilation, groups)  # type: ignore[arg-type]


def _convolve_backward(
    dy: Tensor, x: Tensor, w: Tensor, stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> tuple[Tensor, Tensor, Tensor]:
    g = _geometry(x, w, stride, padding, dilation, groups)
    g.check_gradient(dy, len(x), len(w))
    nothing = [0] * len(g.out)
    return torch.ops.aten.convolution_backward(
        dy, x, w, [len(w)], g.stride, g.padding, g.dilation, False, nothing, groups, [True, True, True]
    )


def conv1d(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """torch's own."""
    return _convolve(x, w, b, stride, padding, dilation, groups)


def conv2d(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """torch's own."""
    return _convolve(x, w, b, stride, padding, dilation, groups)


def conv3d(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """torch's own."""
    return _convolve(x, w, b, stride, padding, dilation, groups)


def conv1d_backward(
    dy: Tensor, x: Tensor, w: Tensor, stride: Ints = 1, padding: Ints = 0, dilation: Ints = 1, groups: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """What torch's autograd calls."""
    return _convolve_backward(dy, x, w, stride, padding, dilation, groups)


def conv2d_backward(
    dy: Tensor, x: Tensor, w: Tensor, stride: Ints = 1, padding: Ints = 0, dilation: Ints = 1, groups: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """What torch's autograd calls."""
    return _convolve_backward(dy, x, w, stride, padding, dilation, groups)


def conv3d_backward(
    dy: Tensor, x: Tensor, w: Tensor, stride: Ints = 1, padding: Ints = 0, dilation: Ints = 1, groups: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """What torch's autograd calls."""
    return _convolve_backward(dy, x, w, stride, padding, dilation, groups)


def max_pool2d(x: Tensor, kernel: Ints, stride: Ints | None = None, padding: Ints = 0) -> Tensor:
    """torch's own."""
    g = pool_window(x, kernel, stride, padding)
    return F.max_pool2d(x, g.kernel, g.stride, g.padding)


def max_pool3d(x: Tensor, kernel: Ints, stride: Ints | None = None, padding: Ints = 0) -> Tensor:
    """torch's own."""
    g = pool_window(x, kernel, stride, padding)
    return F.max_pool3d(x, g.kernel, g.stride, g.padding)


def max_pool3d_backward(dy: Tensor, x: Tensor, kernel: Ints, stride: Ints | None = None, padding: Ints = 0) -> Tensor:
    """The winners' places, and what torch's autograd makes of them."""
    g = pool_window(x, kernel, stride, padding)
    g.check_gradient(dy, *x.shape[:2])
    _, winners = F.max_pool3d(x, g.kernel, g.stride, g.padding, return_indices=True)
    return torch.zeros_like(x).flatten(2).scatter_add_(2, winners.flatten(2), dy.flatten(2)).reshape(x.shape)


def avg_pool3d(x: Tensor, kernel: Ints, stride: Ints | None = None, padding: Ints = 0) -> Tensor:
    """torch's own."""
    g = pool_window(x, kernel, stride, padding)
    return F.avg_pool3d(x, g.kernel, g.stride, g.padding)


def avg_pool3d_backward(dy: Tensor, x: Tensor, kernel: Ints, stride: Ints | None = None, padding: Ints = 0) -> Tensor:
    """What torch's autograd calls."""
    g = pool_window(x, kernel, stride, padding)
    g.check_gradient(dy, *x.shape[:2])
    return torch.ops.aten.avg_pool3d_backward(dy, x, g.kernel, g.stride, g.padding, False, True, None)


def batch_norm(x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float = 1e-5) -> Tensor:
    """torch's own, with the stored statistics."""
    return F.batch_norm(x, mean, var, gamma, beta, False, 0.0, eps)


def softmax(x: Tensor) -> Tensor:
    """torch's own."""
    return torch.softmax(x, -1)


def lstm(x: Tensor, Wx: Tensor, Wh: Tensor, b: Tensor) -> Tensor:
    """torch's own, whose gates have the same order; its second bias is zero."""
    empty = x.new_zeros(1, len(x), Wh.shape[1])
    check_gates(4, Wx, empty[0])
    return torch.lstm(x, (empty, empty), (Wx, Wh, b, torch.zeros_like(b)), True, 1, 0.0, False, False, True)[0]


def layer_norm(x: Tensor, gamma: Tensor, beta: Tensor, eps: float = 1e-5) -> Tensor:
    """Torch's own."""
    return F.layer_norm(x, gamma.shape, gamma, beta, eps)


def gelu(x: Tensor) -> Tensor:
    """Torch's own, exact."""
    return F.gelu(x)
