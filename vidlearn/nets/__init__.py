"""Architectures as data: a network is a tree of small frozen dataclasses, and everything else is read off it.

The layer table (output shape, receptive field, parameters, multiply-accumulates), the forward pass in NumPy, torch and
CuPy, the ``torch.nn.Module`` that loads published weights, its inference form and its picture.

>>> from vidlearn import nets
>>> print(nets.slow_fusion().table())
layer                           output       receptive field  parameters        MACs
...
"""

from __future__ import annotations

from collections.abc import Callable

from vidlearn.nets.c3d import c3d
from vidlearn.nets.inflating import inflate
from vidlearn.nets.net import Net, Row
from vidlearn.nets.small import early_fusion, late_fusion, slow_fusion

_BUILDERS: tuple[Callable[..., Net], ...] = (
    late_fusion,
    early_fusion,
    slow_fusion,
    c3d,
)

__all__ = ["Net", "Row", "c3d", "early_fusion", "inflate", "late_fusion", "slow_fusion", "zoo"]


def zoo() -> dict[str, Callable[..., Net]]:
    """Return every network's builder by its name."""
    return {build.__name__: build for build in _BUILDERS}
