"""Heads as more samples: what every attention with several heads does before and after."""

from __future__ import annotations

from typing import Any

from vidlearn.arrays import namespace

Array = Any

__all__ = ["join_heads", "split_heads"]


def split_heads(x: Array, heads: int) -> Array:
    """(N, L, D) to (N h, L, D / h): heads are more samples."""
    N, L, D = x.shape
    return namespace(x).moveaxis(x.reshape(N, L, heads, D // heads), 2, 1).reshape(N * heads, L, D // heads)


def join_heads(x: Array, heads: int) -> Array:
    """(N h, L, D / h) back to (N, L, D)."""
    M, L, D = x.shape
    return namespace(x).moveaxis(x.reshape(M // heads, heads, L, D), 1, 2).reshape(M // heads, L, heads * D)
