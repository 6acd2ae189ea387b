"""Inflation for PyTorch and CuPy alike: nothing is computed but one division or mean, and copies.

The copies are written out, not broadcast views, because a kernel is trained in place.
"""

from __future__ import annotations

from typing import Any

from vidlearn.arrays import namespace

Array = Any


def inflate(w2d: Array, k_t: int) -> Array:
    """Equal shares of the kernel at every moment."""
    return namespace(w2d).stack([w2d / k_t] * k_t, axis=2)


def inflate_centered(w2d: Array, k_t: int) -> Array:
    """The kernel in the middle of zeros."""
    around = (k_t // 2, k_t // 2)
    return namespace(w2d).pad(w2d[:, :, None], ((0, 0), (0, 0), around, (0, 0), (0, 0)))


def boring_video(frame: Array, frames: int) -> Array:
    """The same image at every moment."""
    return namespace(frame).stack([frame] * frames, axis=2)


def cross_modality(w: Array, channels: int) -> Array:
    """The mean over the colors, in every channel."""
    return namespace(w).stack([w.mean(axis=1)] * channels, axis=1)
