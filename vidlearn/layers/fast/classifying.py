"""Linear layers, softmax and cross-entropy, for every array library."""

from __future__ import annotations

from typing import Any

from vidlearn.arrays import arange_like, namespace

Array = Any


def linear(x: Array, w: Array, b: Array | None = None) -> Array:
    """One matrix product."""
    y = x @ w.T
    return y if b is None else y + b


def linear_backward(dy: Array, x: Array, w: Array) -> tuple[Array, Array, Array]:
    """Two matrix products and a sum."""
    rows, features = dy.reshape(-1, dy.shape[-1]), x.reshape(-1, x.shape[-1])
    return dy @ w, rows.T @ features, namespace(x).sum(rows, axis=0)


def _largest(x: Array) -> Array:
    return namespace(x).amax(x, -1)[..., None]


def softmax(x: Array) -> Array:
    """Exponentials of scores below 0, over their sum."""
    xp = namespace(x)
    e = xp.exp(x - _largest(x))
    return e / xp.sum(e, axis=-1)[..., None]


def _is_right(logits: Array, labels: Array) -> Array:
    """(N, K), 1 where the class is the right one; a label that is no class is refused."""
    classes = logits.shape[1]
    xp = namespace(logits)
    low, high = int(xp.amin(labels)), int(xp.amax(labels))
    if low < 0 or high >= classes:
        raise ValueError(f"labels: expected numbers from 0 to {classes - 1}, got {low} to {high}")
    return xp.where(arange_like(logits, classes) == labels[:, None], xp.ones_like(logits), xp.zeros_like(logits))


def cross_entropy(logits: Array, labels: Array) -> Array:
    """The logarithm of the sum of exponentials, less the right score."""
    xp = namespace(logits)
    shifted = logits - _largest(logits)
    right = xp.sum(
        xp.where(_is_right(logits, labels) > 0, shifted, xp.zeros_like(shifted)), axis=-1
    )  # −inf · 0 is no 0
    return xp.mean(xp.log(xp.sum(xp.exp(shifted), axis=-1)) - right)


def cross_entropy_backward(logits: Array, labels: Array) -> Array:
    """Probability, less 1 for the right class."""
    return (softmax(logits) - _is_right(logits, labels)) / logits.shape[0]
