"""Torch's fused attention: tiled on a CPU, memory-efficient on a GPU (FlashAttention in modules of half precision)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vidlearn.nonlocal_attention import fast
from vidlearn.nonlocal_attention.checks import check_mask

__all__ = ["attention", "online_attention"]


def _fused(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float | None) -> Tensor:
    """Torch's fused kernels want a heads' axis, features side by side in memory, and as many in the values as in the keys:
    zeros fill up. What they don't get they don't refuse: torch then holds all weights."""
    scale = q.shape[2] ** -0.5 if scale is None else float(scale)
    features, lacking = v.shape[2], v.shape[2] - q.shape[2]
    if lacking > 0:
        q, k = F.pad(q, (0, lacking)), F.pad(k, (0, lacking))
    elif lacking < 0:
        v = F.pad(v, (0, -lacking))
    q, k, v = (a.contiguous()[:, None] for a in (q, k, v))
    y = F.scaled_dot_product_attention(q, k, v, mask, scale=scale)
    return y[:, 0, :, :features]


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, scale: float | None = None) -> Tensor:
    """Torch's own, with or without a mask."""
    if mask is None:
        return online_attention(q, k, v, scale)
    check_mask(mask)
    return _fused(q, k, v, mask, scale)


def online_attention(q: Tensor, k: Tensor, v: Tensor, scale: float | None = None, tile: int = 128) -> Tensor:
    """Torch's own; its tiles are what fits its caches. On a GPU it has no fused kernel for float64."""
    if q.is_cuda and q.dtype == torch.float64:
        return fast.online_attention(q, k, v, scale, tile)
    return _fused(q, k, v, None, scale)
