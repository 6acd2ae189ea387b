"""Torch's fused attention: tiled on a CPU, memory-efficient on a GPU (FlashAttention in modules of half precision)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vidlearn.nonlocal_attention import fast
from vidlearn.nonlocal_attention.checks import check_mask

__all__ = ["attention", "online_attention"]


LAUNCH = 65_535  # samples of one launch: CUDA's limit on that axis of a grid


def _fused(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float | None) -> Tensor:
    """Torch's fused kernels want a heads' axis, features side by side in memory, and as many in the values as in the keys
    (on a GPU a multiple of 8): zeros fill up. What they don't get they don't refuse: torch then holds all weights."""
    scale = q.shape[2] ** -0.5 if scale is None else float(scale)
    features = v.shape[2]
    width = max(q.shape[2], features)
    if q.is_cuda:
        width += -width % 8
    q, k, v = (
        (F.pad(a, (0, width - a.shape[2])) if a.shape[2] < width else a).contiguous()[:, None] for a in (q, k, v)
    )
    if q.is_cuda and q.shape[0] > LAUNCH:
        y = _in_launches(q, k, v, mask, scale)
    else:
        y = F.scaled_dot_product_attention(q, k, v, mask, scale=scale)
    return y[:, 0, :, :features]


def _in_launches(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    parts = zip(q.split(LAUNCH), k.split(LAUNCH), v.split(LAUNCH), strict=True)
    return torch.cat([F.scaled_dot_product_attention(*part, mask, scale=scale) for part in parts])


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
