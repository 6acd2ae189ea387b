"""Non-local operations for every array library.

Three savings: a dot product's weights are never made, because (θ φᵀ) g = θ (φᵀ g), which is linear in the positions;
softmax weights are never all held, because `online_attention` needs one tile of them; and projection and change of
layout are one matrix product.
"""

from __future__ import annotations

from typing import Any

from vidlearn import layers
from vidlearn import nonlocal_attention as own
from vidlearn.arrays import backend_of, namespace
from vidlearn.nonlocal_attention.checks import (
    check_block,
    check_heads,
    check_mask,
    check_memory,
    check_pair_weights,
)
from vidlearn.nonlocal_attention.heads import join_heads, split_heads

Array = Any

__all__ = [
    "attention",
    "multi_head_attention",
    "nonlocal_block",
    "nonlocal_mean",
    "online_attention",
    "pairwise_weights",
]


def _itemsize(x: Array) -> int:
    return int(x.dtype.itemsize)


def _flipped(x: Array) -> Array:
    return namespace(x).moveaxis(x, 1, 2)


def pairwise_weights(theta: Array, phi: Array, pairwise: str = "embedded gaussian", w_f: Array | None = None) -> Array:
    """One matrix product, and a softmax or a quotient."""
    check_pair_weights(pairwise, w_f, 2 * theta.shape[2])
    check_memory(len(theta), theta.shape[1], phi.shape[1], _itemsize(theta))
    if w_f is not None:
        D = theta.shape[2]
        f = (theta @ w_f[:D])[:, :, None] + (phi @ w_f[D:])[:, None, :]
        return namespace(f).maximum(f, 0) / phi.shape[1]
    f = theta @ _flipped(phi)
    return f / phi.shape[1] if pairwise == "dot product" else layers.softmax.on(backend_of(f))(f)


def nonlocal_mean(
    theta: Array, phi: Array, g: Array, pairwise: str = "embedded gaussian", w_f: Array | None = None
) -> Array:
    """Without the weights where they are not needed: only a concatenation's bend asks for each of them."""
    check_pair_weights(pairwise, w_f, 2 * theta.shape[2])
    if pairwise == "dot product":
        return theta @ (_flipped(phi) @ g / phi.shape[1])
    if pairwise == "concatenation":
        return pairwise_weights(theta, phi, pairwise, w_f) @ g
    return own.online_attention.on(backend_of(theta))(theta, phi, g, 1.0)


def nonlocal_block(
    x: Array,
    w_g: Array,
    w_z: Array,
    w_theta: Array | None = None,
    w_phi: Array | None = None,
    w_f: Array | None = None,
    pairwise: str = "embedded gaussian",
    over: str = "space-time",
    subsample: int = 1,
) -> Array:
    """Project, look, project back."""
    check_block(pairwise, w_theta, w_phi, over, subsample)
    xp, backend = namespace(x), backend_of(x)
    N, _, T, H, W = x.shape

    def projected(w: Array | None, pool: int = 1) -> Array:
        """(N, C, T, H, W), projected and pooled, as sets of positions that look at one another."""
        a = x if w is None else xp.einsum("mc,ncthw->nmthw", w, x)
        if pool > 1:
            a = layers.max_pool3d.on(backend)(a, (1, pool, pool))
        sets = {"space-time": N, "space": N * T, "time": N * H * W}[over]
        a = xp.moveaxis(a, 1, -1)
        return (xp.moveaxis(a, 1, 3) if over == "time" else a).reshape(sets, -1, a.shape[-1])

    theta, phi, g = projected(w_theta), projected(w_phi, subsample), projected(w_g, subsample)
    y = own.nonlocal_mean.on(backend)(theta, phi, g, pairwise, w_f)
    if over == "time":
        return x + xp.einsum("cm,nhwtm->ncthw", w_z, y.reshape(N, H, W, T, -1))
    return x + xp.einsum("cm,nthwm->ncthw", w_z, y.reshape(N, T, H, W, -1))


def attention(q: Array, k: Array, v: Array, mask: Array | None = None, scale: float | None = None) -> Array:
    """All weights where some are shut out by a mask; tile by tile otherwise."""
    backend = backend_of(q)
    if mask is None:
        return own.online_attention.on(backend)(q, k, v, scale)
    check_mask(mask)
    check_memory(len(q), q.shape[1], k.shape[1], _itemsize(q))
    e = q @ _flipped(k) * (q.shape[2] ** -0.5 if scale is None else scale)
    xp = namespace(e)
    return layers.softmax.on(backend)(xp.where(mask, e, xp.full_like(e, -xp.inf))) @ v


def multi_head_attention(
    x: Array, w_qkv: Array, w_out: Array, b_qkv: Array | None = None, b_out: Array | None = None, heads: int = 1
) -> Array:
    """Heads are samples more."""
    backend, D = backend_of(x), x.shape[2]
    check_heads(D, w_qkv.shape[0], heads)
    linear = layers.linear.on(backend)
    qkv = linear(x, w_qkv, b_qkv)
    q, k, v = (split_heads(qkv[:, :, i * D : (i + 1) * D], heads) for i in range(3))
    return linear(join_heads(own.attention.on(backend)(q, k, v), heads), w_out, b_out)


def online_attention(q: Array, k: Array, v: Array, scale: float | None = None, tile: int = 128) -> Array:
    """The reference's steps; where a library has a fused kernel, that one is used."""
    xp = namespace(q)
    q = q * (q.shape[2] ** -0.5 if scale is None else scale)
    lowest = -1.79e308 if "64" in str(q.dtype) else -3.4e38  # so that a tile of −∞ alone is no nan
    y: Any = 0.0
    total: Any = 0.0
    m: Any = None
    for start in range(0, k.shape[1], tile):
        e = q @ _flipped(k[:, start : start + tile])
        larger = xp.maximum(xp.amax(e, axis=2)[..., None], lowest)
        if m is not None:
            larger = xp.maximum(m, larger)
            correction = xp.exp(m - larger)
            y, total = correction * y, correction * total
        p = xp.exp(e - larger)
        y, total, m = y + p @ v[:, start : start + tile], total + xp.sum(p, axis=2)[..., None], larger
    return y / total
