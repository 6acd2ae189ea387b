"""Attention on an NVIDIA GPU by one fused kernel; ``fast`` has the others."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any

import cupy as cp
import numpy as np

from vidlearn.nonlocal_attention import fast

__all__ = ["online_attention"]

#: queries and keys of a tile, the fastest first
TILES = ((64, 32), (64, 16), (32, 16), (16, 16))
SHARED = 48 * 1024  # bytes that a block may have


def _shared(queries: int, keys: int, d: int, e: int, itemsize: int) -> int:
    """Bytes of the kernel's shared arrays."""
    return itemsize * ((queries + keys) * (d + 1) + keys * e + queries * (keys + 1) + 256 + 3 * queries)


@functools.cache
def _compiled(real: str, queries: int, keys: int, d: int, e: int) -> Any:
    source = (resources.files("vidlearn.nonlocal_attention") / "kernels" / "attention_tiled.cu").read_text()
    lowest = {"float": "-3.402823466e38f", "double": "-1.797693134862315e308"}[real]
    constants = {"real": real, "LOWEST": f"({lowest})", "QUERIES": queries, "KEYS": keys, "D": d, "E": e}
    return cp.RawKernel(source, "attention_tiled", tuple(f"-D{n}={v}" for n, v in constants.items()))


def online_attention(q: Any, k: Any, v: Any, scale: float | None = None, tile: int = 128) -> Any:
    """One pass over the keys; features that shared memory can't hold go through ``fast``, tile by tile."""
    (N, L, D), (M, E) = q.shape, v.shape[1:]
    fitting = [t for t in TILES if _shared(*t, D, E, q.dtype.itemsize) <= SHARED]
    if not fitting:
        return fast.online_attention(q, k, v, scale, tile)
    queries, keys = fitting[0]
    q, k, v = map(cp.ascontiguousarray, (q, k, v))
    y = cp.empty((N, L, E), q.dtype)
    real = {"float32": "float", "float64": "double"}[q.dtype.name]
    number = q.dtype.type(D**-0.5 if scale is None else scale)
    grid = (-(-L // queries) * N,)
    _compiled(real, queries, keys, D, E)(grid, (256,), (q, k, v, y, np.int32(L), np.int32(M), number))
    return y
