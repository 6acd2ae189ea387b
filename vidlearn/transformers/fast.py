"""Video transformers for PyTorch and CuPy.

Most references are written in operations that run wherever their arrays are. Two have a quicker way: they hold no
weight that a mask would strike out, because what looks at one another is gathered first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vidlearn import layers
from vidlearn.arrays import backend_of, from_numpy, namespace
from vidlearn.nonlocal_attention import attention
from vidlearn.nonlocal_attention.heads import join_heads, split_heads
from vidlearn.transformers.reference import (
    add_positions,
    check_heads,
    check_tokens,
    factorized_encoder,
    neighborhood,
    patch_embed,
    pool_tokens,
    pooling_attention,
    tubelet_embed,
)

__all__ = [
    "add_positions",
    "factorized_encoder",
    "neighborhood_attention",
    "patch_embed",
    "pool_tokens",
    "pooling_attention",
    "sliding_window_attention",
    "tubelet_embed",
]

Array = Any


def _like(index: np.ndarray, x: Array) -> Array:
    """An index table in the library and on the device of `x`."""
    backend = backend_of(x)
    return from_numpy(index, backend, device=str(x.device) if backend == "torch" else None)


def neighborhood_attention(
    q: Array,
    k: Array,
    v: Array,
    frames: int,
    height: int,
    width: int,
    kind: Any,
    class_token: str = "joins",
    heads: int = 1,
) -> Array:
    """Each group is a sample of its own."""
    check_tokens(q, frames, height, width, class_token != "absent")
    check_heads(q, heads)
    groups = neighborhood(frames, height, width, kind)
    (G, M), D, xp = groups.shape, q.shape[2] // heads, namespace(q)
    order, back = _like(groups.ravel(), q), _like(np.argsort(groups.ravel()), q)
    q, k, v = (split_heads(a, heads) for a in (q, k, v))
    first = 0 if class_token == "absent" else 1

    def gathered(x: Array, alone: bool = False) -> Array:
        """(N, L, D) to (N G, M, D), with the class token before each group unless it is left `alone`."""
        members = x[:, first:][:, order].reshape(-1, G, M, D)
        if first and not alone:
            members = xp.concatenate([xp.broadcast_to(x[:, None, :1], (x.shape[0], G, 1, D)), members], axis=2)
        return members.reshape(-1, members.shape[2], D)

    look = attention.on(backend_of(q))
    alone = class_token == "joins"  # its query looks at everything
    y = look(gathered(q, alone), gathered(k), gathered(v)).reshape(q.shape[0], G, -1, D)
    tokens = y[:, :, y.shape[2] - M :].reshape(q.shape[0], G * M, D)[:, back]
    if class_token == "joins":
        tokens = xp.concatenate([look(q[:, :1], k, v), tokens], axis=1)
    elif class_token == "averaged":
        tokens = xp.concatenate([xp.mean(y[:, :, :1], axis=1), tokens], axis=1)
    return join_heads(tokens, heads)


def sliding_window_attention(q: Array, k: Array, v: Array, window: int) -> Array:
    """Each token's keys side by side: the class token's, then those of its window."""
    L, xp = q.shape[1], namespace(q)
    reach = min(window // 2, L)
    own = np.arange(1, L)[:, None] + np.arange(-reach, reach + 1)
    seen = np.concatenate([np.ones((L - 1, 1), bool), (own >= 1) & (own < L)], axis=1)
    keys = np.concatenate([np.zeros((L - 1, 1), int), own.clip(0, L - 1)], axis=1)
    backend = backend_of(q)
    y = attention.on(backend)(q[:, :1], k, v)
    if L == 1:
        return y
    table = _like(keys, q)
    e = xp.einsum("nld,nlwd->nlw", q[:, 1:], k[:, table]) * q.shape[2] ** -0.5
    e = xp.where(_like(seen, q), e, xp.full_like(e, -xp.inf))
    rest = xp.einsum("nlw,nlwd->nld", layers.softmax.on(backend)(e), v[:, table])
    return xp.concatenate([y, rest], axis=1)
