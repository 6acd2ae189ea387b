"""Norms and the bend, for every array library."""

from __future__ import annotations

from typing import Any

from vidlearn.arrays import namespace

Array = Any


def _channels(value: Array, x: Array) -> Array:
    return value.reshape(-1, *[1] * (x.ndim - 2))


def _rest(x: Array) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def batch_norm(x: Array, gamma: Array, beta: Array, mean: Array, var: Array, eps: float = 1e-5) -> Array:
    """One scale and one offset a channel, so that the large array is read once."""
    scale = gamma / namespace(x).sqrt(var + eps)
    return x * _channels(scale, x) + _channels(beta - mean * scale, x)


def batch_norm_train(x: Array, gamma: Array, beta: Array, eps: float = 1e-5) -> tuple[Array, Array, Array]:
    """Two means over all axes but the channels; the second one of what is left, so that nothing cancels."""
    xp = namespace(x)
    mean = xp.mean(x, axis=_rest(x))
    centered = x - _channels(mean, x)
    var = xp.mean(centered * centered, axis=_rest(x))
    return centered * _channels(gamma / xp.sqrt(var + eps), x) + _channels(beta, x), mean, var


def batch_norm_train_backward(dy: Array, x: Array, gamma: Array, eps: float = 1e-5) -> tuple[Array, Array, Array]:
    """What is left of dy without its mean and without its share along the normalized input."""
    xp = namespace(x)
    rest = _rest(x)
    centered = x - _channels(xp.mean(x, axis=rest), x)
    sigma = xp.sqrt(xp.mean(centered * centered, axis=rest) + eps)
    normal = centered / _channels(sigma, x)
    along, mean = xp.mean(dy * normal, axis=rest), xp.mean(dy, axis=rest)
    dx = _channels(gamma / sigma, x) * (dy - _channels(mean, x) - normal * _channels(along, x))
    return dx, xp.sum(dy * normal, axis=rest), xp.sum(dy, axis=rest)


def fold_batch_norm(
    w: Array, b: Array | None, gamma: Array, beta: Array, mean: Array, var: Array, eps: float = 1e-5
) -> tuple[Array, Array]:
    """Scale the kernels, and move the bias."""
    scale = gamma / namespace(w).sqrt(var + eps)
    offset = -mean if b is None else b - mean
    return w * scale.reshape(-1, *[1] * (w.ndim - 1)), beta + offset * scale


def local_response_norm(x: Array, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0) -> Array:
    """A window sum of squares over the channels."""
    reach, channels = size // 2, x.shape[1]
    padded = namespace(x).pad(x * x, [(0, 0), (reach, reach), *[(0, 0)] * (x.ndim - 2)])
    total = sum(padded[:, c : c + channels] for c in range(size))
    return x / (k + alpha / size * total) ** beta


def layer_norm(x: Array, gamma: Array, beta: Array, eps: float = 1e-5) -> Array:
    """Two means over the features, the second one of what is left."""
    xp = namespace(x)
    centered = x - xp.mean(x, axis=-1)[..., None]
    return gamma * (centered / xp.sqrt(xp.mean(centered * centered, axis=-1) + eps)[..., None]) + beta


def relu(x: Array) -> Array:
    """The larger of x and 0."""
    return namespace(x).maximum(x, 0)


def relu_backward(dy: Array, x: Array) -> Array:
    """dy where x was positive."""
    xp = namespace(x)
    return xp.where(x > 0, dy, xp.zeros_like(dy))
