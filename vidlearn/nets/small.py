"""The three small networks of the CS231n deck: when is time merged?"""

from __future__ import annotations

from vidlearn.nets.net import Net
from vidlearn.nets.nodes import Conv, GlobalPool, MergeTime, Pool, Sequential

__all__ = ["early_fusion", "late_fusion", "slow_fusion"]

_SLIDE = "CS231n · Early Fusion vs Late Fusion vs 3D CNN"


def late_fusion(frames: int = 20, size: int = 64) -> Net:
    """Late fusion: every frame by itself through two 2D convolutions, then one average over space and time."""
    body = Sequential(
        (
            ("conv1", Conv(3, 12, (1, 3, 3), padding=(0, 1, 1), bias=True)),
            ("pool1", Pool((1, 4, 4))),
            ("conv2", Conv(12, 24, (1, 3, 3), padding=(0, 1, 1), bias=True)),
            ("pool2", GlobalPool()),
        )
    )
    return Net("late_fusion", body, (3, frames, size, size), _SLIDE)


def early_fusion(frames: int = 20, size: int = 64) -> Net:
    """Early fusion: all frames merged by the first convolution; after it there is no time left."""
    body = Sequential(
        (
            ("merge", MergeTime()),
            ("conv1", Conv(3 * frames, 12, (3, 3), padding=1, bias=True)),
            ("pool1", Pool((4, 4))),
            ("conv2", Conv(12, 24, (3, 3), padding=1, bias=True)),
            ("pool2", GlobalPool(axes=2)),
        )
    )
    return Net("early_fusion", body, (3, frames, size, size), _SLIDE)


def slow_fusion(frames: int = 20, size: int = 64) -> Net:
    """Slow fusion, a 3D CNN: time is merged a little in every layer, as space is."""
    body = Sequential(
        (
            ("conv1", Conv(3, 12, (3, 3, 3), padding=1, bias=True)),
            ("pool1", Pool((4, 4, 4))),
            ("conv2", Conv(12, 24, (3, 3, 3), padding=1, bias=True)),
            ("pool2", GlobalPool()),
        )
    )
    return Net("slow_fusion", body, (3, frames, size, size), _SLIDE)
