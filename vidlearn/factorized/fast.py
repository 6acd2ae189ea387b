"""Factorized convolutions for PyTorch and CuPy.

Three of them are written in `vidlearn.layers`, whose operations run wherever their arrays are, so that the reference
is the fast path as well.
"""

from __future__ import annotations

from typing import Any

from vidlearn.arrays import namespace
from vidlearn.factorized.reference import channel_separated, conv2plus1d, depthwise_conv3d

__all__ = ["channel_separated", "compose_kernels", "conv2plus1d", "depthwise_conv3d"]

Array = Any


def compose_kernels(w_space: Array, w_time: Array) -> Array:
    """Sum over the channels between."""
    return namespace(w_space).einsum("omt,mchw->octhw", w_time, w_space)
