"""Residual networks for clips that differ in one thing: where a convolution sees time.

Tran et al. 2018 compare them: 2D everywhere (R2D on merged frames, f-R2D on each), 3D everywhere (R3D), 3D first and 2D
later (MCx) or the other way round (rMCx), and space and time one after the other (R(2+1)D). All have five groups of
convolutions; :func:`vidlearn.factorized.convolution_plan` says in which of them time is seen. The names of the weights are
torchvision's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from vidlearn.factorized.reference import convolution_plan, mid_channels
from vidlearn.nets.net import Net
from vidlearn.nets.nodes import (
    Conv,
    Flatten,
    GlobalPool,
    Linear,
    Node,
    Norm,
    Part,
    ReLU,
    Residual,
    Sequential,
    numbered,
)

#: what a group's convolutions see: space only, space and time at once, or one after the other
Kind = Literal["space", "full", "apart"]

_SOURCE = "Tran et al., A Closer Look at Spatiotemporal Convolutions for Action Recognition, CVPR 2018"


def _convolution(kind: Kind, c_in: int, c_out: int, stride: int, mid: int) -> Node:
    """One 3×3×3 convolution of a kind, without its norm."""
    if kind == "full":
        return Conv(c_in, c_out, (3, 3, 3), stride, 1)
    if kind == "space":
        return Conv(c_in, c_out, (1, 3, 3), (1, stride, stride), (0, 1, 1))
    return numbered(
        Conv(c_in, mid, (1, 3, 3), (1, stride, stride), (0, 1, 1)),
        Norm(mid),
        ReLU(),
        Conv(mid, c_out, (3, 1, 1), (stride, 1, 1), (1, 0, 0)),
    )


def _stem(kind: Kind, channels: int) -> Node:
    if kind == "apart":  # 45 channels between space and time: as many weights as the 3×7×7 convolution has
        space = (Conv(channels, 45, (1, 7, 7), (1, 2, 2), (0, 3, 3)), Norm(45), ReLU())
        return numbered(*space, Conv(45, 64, (3, 1, 1), 1, (1, 0, 0)), Norm(64), ReLU())
    time = 3 if kind == "full" else 1
    return numbered(Conv(channels, 64, (time, 7, 7), (1, 2, 2), (time // 2, 3, 3)), Norm(64), ReLU())


def _block(kind: Kind, c_in: int, c_out: int, stride: int, shared_mid: bool) -> Residual:
    first, second = (int(mid_channels(c, c_out, 3, 3)) for c in (c_in, c_out))
    body = (
        ("conv1", numbered(_convolution(kind, c_in, c_out, stride, first), Norm(c_out), ReLU())),
        ("conv2", numbered(_convolution(kind, c_out, c_out, 1, first if shared_mid else second), Norm(c_out))),
    )
    shortcut: tuple[Part, ...] = ()
    if stride > 1 or c_in != c_out:
        step = (1 if kind == "space" else stride, stride, stride)
        shortcut = (("downsample", numbered(Conv(c_in, c_out, (1, 1, 1), step), Norm(c_out))),)
    return Residual(body, shortcut)


def _network(
    name: str,
    plan: Any,
    blocks: tuple[int, ...] = (2, 2, 2, 2),
    *,
    classes: int,
    frames: int,
    shared_mid: bool = False,
    channels: int = 3,
) -> Net:
    in_time: Kind = "apart" if plan == "r(2+1)d" else "full"
    kinds: list[Kind] = [in_time if extent > 1 else "space" for extent in convolution_plan(plan)]
    parts: list[Part] = [("stem", _stem(kinds[0], channels))]
    c_in = 64
    for group, (kind, n) in enumerate(zip(kinds[1:], blocks, strict=True)):
        c_out = 64 * 2**group
        layer = []
        for i in range(n):
            layer.append(_block(kind, c_in, c_out, 2 if group and not i else 1, shared_mid))
            c_in = c_out
        parts.append((f"layer{group + 1}", numbered(*layer)))
    parts += [("avgpool", GlobalPool()), ("flatten", Flatten()), ("fc", Linear(512, classes))]
    return Net(name, Sequential(tuple(parts)), (channels, frames, 112, 112), _SOURCE)


def r3d_18(classes: int = 400, frames: int = 16) -> Net:
    """R3D-18: every convolution sees 3×3×3 (Tran et al. 2018); torchvision's weights load."""
    return _network("r3d_18", "r3d", classes=classes, frames=frames)


def mc3_18(classes: int = 400, frames: int = 16) -> Net:
    """MC3-18: 3D in the first two groups, 2D after them (Tran et al. 2018); torchvision's weights load."""
    return _network("mc3_18", "mc3", classes=classes, frames=frames)


def r2plus1d_18(classes: int = 400, frames: int = 16, shared_mid: bool = True) -> Net:
    """R(2+1)D-18: space, then time (Tran et al. 2018); torchvision's weights load.

    The channels between space and time make the weights of a pair as many as those of the 3D convolution that it
    stands for. The paper computes them for each convolution (``shared_mid=False``); torchvision once a block.
    """
    return _network("r2plus1d_18", "r(2+1)d", classes=classes, frames=frames, shared_mid=shared_mid)


def r2plus1d_34(classes: int = 400, frames: int = 32, channels: int = 3) -> Net:
    """R(2+1)D-34 with the paper's channels between space and time (Tran et al. 2018); ``channels=2`` takes flow."""
    return _network("r2plus1d_34", "r(2+1)d", (3, 4, 6, 3), classes=classes, frames=frames, channels=channels)


def f_r2d_18(classes: int = 400, frames: int = 8) -> Net:
    """f-R2D-18: every frame by itself, averaged at the end (Tran et al. 2018)."""
    return _network("f_r2d_18", "f_r2d", classes=classes, frames=frames)


def r2d_18(classes: int = 400, frames: int = 8) -> Net:
    """R2D-18: all frames' channels merged before the first convolution, then images only (Tran et al. 2018)."""
    from vidlearn.nets.image import resnet_body

    body = Sequential((*resnet_body("basic", (2, 2, 2, 2), 3 * frames, classes, merge_time=True, pool=False),))
    return Net("r2d_18", body, (3, frames, 112, 112), _SOURCE)


def _mixed(x: int, reverse: bool) -> Callable[..., Net]:
    plan = f"{'rmc' if reverse else 'mc'}{x}"
    name = f"{plan}_18"

    def build(classes: int = 400, frames: int = 8) -> Net:
        return _network(name, plan, classes=classes, frames=frames)

    build.__name__ = build.__qualname__ = name
    first, then = ("2D", "3D") if reverse else ("3D", "2D")
    build.__doc__ = f"{'r' * reverse}MC{x}-18: {first} convolutions, from group {x} on {then} (Tran et al. 2018)."
    return build


mc2_18, mc4_18, mc5_18 = (_mixed(x, reverse=False) for x in (2, 4, 5))
rmc2_18, rmc3_18, rmc4_18, rmc5_18 = (_mixed(x, reverse=True) for x in (2, 3, 4, 5))

__all__ = [
    "f_r2d_18",
    "mc2_18",
    "mc3_18",
    "mc4_18",
    "mc5_18",
    "r2d_18",
    "r2plus1d_18",
    "r2plus1d_34",
    "r3d_18",
    "rmc2_18",
    "rmc3_18",
    "rmc4_18",
    "rmc5_18",
]
