"""Inception networks: the one for images, inflated to I3D, and with space and time taken apart, S3D.

Their nine Mixed blocks have the same widths. Where they differ: a convolution is 2D, 3D, or 1×k×k and then k×1×1.
"""

from __future__ import annotations

from collections.abc import Callable

from vidlearn.nets.net import Net
from vidlearn.nets.nodes import (
    Branches,
    Conv,
    Dropout,
    Flatten,
    GlobalPool,
    Linear,
    Node,
    Norm,
    Pad,
    Part,
    Pool,
    ReLU,
    Sequential,
    numbered,
)

__all__ = ["i3d_inception", "inception_v1", "s3d"]

#: the widths of each Mixed block: in; 1×1; 1×1 → 3×3; 1×1 → 3×3 (5×5 in GoogLeNet); pool → 1×1
_MIXED = {
    "3b": (192, 64, (96, 128), (16, 32), 32),
    "3c": (256, 128, (128, 192), (32, 96), 64),
    "4b": (480, 192, (96, 208), (16, 48), 64),
    "4c": (512, 160, (112, 224), (24, 64), 64),
    "4d": (512, 128, (128, 256), (24, 64), 64),
    "4e": (512, 112, (144, 288), (32, 64), 64),
    "4f": (528, 256, (160, 320), (32, 128), 128),
    "5b": (832, 256, (160, 320), (32, 128), 128),
    "5c": (832, 384, (192, 384), (48, 128), 128),
}
_EPS = 1e-3

#: a convolution of some width and stride, with its norm and its bend
Unit = Callable[[int, int, int, int], Node]


def _same(width: int, stride: int) -> tuple[int, int]:
    """TensorFlow's "SAME" padding of an even extent: as many positions as strides fit, the odd zero at the end."""
    total = width - stride
    return total // 2, total - total // 2


def _unit(axes: int) -> Unit:
    """Convolution over all axes, named as in the published I3D."""

    def make(c_in: int, c_out: int, width: int, stride: int = 1) -> Node:
        before, after = _same(width, stride)
        uneven = before != after
        conv = Conv(c_in, c_out, (width,) * axes, stride, 0 if uneven else before)
        pad: tuple[Part, ...] = (("pad", Pad(((before, after),) * axes)),) if uneven else ()
        name = f"conv{axes}d"
        return Sequential((*pad, (name, conv), ("bn", Norm(c_out, _EPS, 0.01, axes=axes)), ("relu", ReLU())))

    return make


def _pool(kernel: tuple[int, ...]) -> tuple[Node, Pool]:
    """A pool of stride 2 with the uneven padding of TensorFlow, along the axes that it shrinks."""
    stride = tuple(min(k, 2) for k in kernel)
    return Pad(tuple(_same(k, s) for k, s in zip(kernel, stride, strict=True))), Pool(kernel, stride)


def _inception(axes: int, channels: int, final: tuple[Part, ...]) -> Sequential:
    """Inception-V1 with batch norm, for images or for clips. The first two pools of a clip leave time alone."""
    unit, time = _unit(axes), axes == 3
    kind = f"Conv{axes}d"
    first: tuple[int, ...] = (1, 3, 3) if time else (3, 3)

    def pooled(name: str, kernel: tuple[int, ...]) -> tuple[Part, ...]:
        pad, pool = _pool(kernel)
        return ((f"pad_{name}", pad), (f"MaxPool{axes}d_{name}", pool))

    def mixed(stage: str) -> Part:
        c_in, b0, b1, b2, b3 = _MIXED[stage]
        paths: tuple[tuple[Part, ...], ...] = (
            (("b0", unit(c_in, b0, 1, 1)),),
            (("b1a", unit(c_in, b1[0], 1, 1)), ("b1b", unit(*b1, 3, 1))),
            (("b2a", unit(c_in, b2[0], 1, 1)), ("b2b", unit(*b2, 3, 1))),
            (("b3a", Pool((3,) * axes, (1,) * axes, 1)), ("b3b", unit(c_in, b3, 1, 1))),
        )
        return f"Mixed_{stage}", Branches(paths)

    return Sequential(
        (
            (f"{kind}_1a_7x7", unit(channels, 64, 7, 2)),
            *pooled("2a_3x3", first),
            (f"{kind}_2b_1x1", unit(64, 64, 1, 1)),
            (f"{kind}_2c_3x3", unit(64, 192, 3, 1)),
            *pooled("3a_3x3", first),
            *map(mixed, ("3b", "3c")),
            *pooled("4a_3x3", (3,) * axes),
            *map(mixed, ("4b", "4c", "4d", "4e", "4f")),
            (f"MaxPool{axes}d_5a_2x2", Pool((2,) * axes)),
            *map(mixed, ("5b", "5c")),
            *final,
        )
    )


def inception_v1(classes: int = 1000) -> Net:
    """Inception-V1 with batch norm, for images: the network that I3D was inflated from (Szegedy et al. 2015)."""
    final = (
        ("pool", GlobalPool(axes=2)),
        ("dropout", Dropout()),
        ("flatten", Flatten()),
        ("fc", Linear(1024, classes)),
    )
    source = "Szegedy et al., Going Deeper with Convolutions, CVPR 2015; Ioffe and Szegedy, ICML 2015"
    return Net("inception_v1", _inception(2, 3, final), (3, 224, 224), source)


def i3d_inception(classes: int = 400, channels: int = 3, frames: int = 64) -> Net:
    """I3D, the inflated Inception-V1 (Carreira and Zisserman 2017); ``channels=2`` is the flow stream.

    Its padding is TensorFlow's "SAME" for even extents; an odd number of frames or pixels is padded a little otherwise.
    """
    final: tuple[Part, ...] = (
        ("avg_pool", Pool((2, 7, 7), (1, 1, 1), how="mean")),
        ("dropout", Dropout()),
        ("logits", Sequential((("conv3d", Conv(1024, classes, (1, 1, 1), bias=True)),))),
        ("mean", GlobalPool()),
        ("flatten", Flatten()),
    )
    source = "Carreira and Zisserman, Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset, CVPR 2017"
    return Net("i3d_inception", _inception(3, channels, final), (channels, frames, 224, 224), source)


def s3d(classes: int = 400, frames: int = 64) -> Net:
    """S3D, I3D with space and time taken apart (Xie et al. 2018); torchvision's weights load."""

    def unit(c_in: int, c_out: int, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...]) -> Node:
        return numbered(Conv(c_in, c_out, kernel, stride, padding), Norm(c_out, _EPS, 0.001), ReLU())

    def point(c_in: int, c_out: int) -> Node:
        return unit(c_in, c_out, (1, 1, 1), (1, 1, 1), (0, 0, 0))

    def apart(c_in: int, c_out: int, k: int = 3, stride: int = 1) -> Node:
        space = unit(c_in, c_out, (1, k, k), (1, stride, stride), (0, k // 2, k // 2))
        return numbered(space, unit(c_out, c_out, (k, 1, 1), (stride, 1, 1), (k // 2, 0, 0)))

    def mixed(stage: str) -> Node:
        c_in, b0, b1, b2, b3 = _MIXED[stage]
        return Branches(
            (
                (("branch0", point(c_in, b0)),),
                (("branch1", numbered(point(c_in, b1[0]), apart(*b1))),),
                (("branch2", numbered(point(c_in, b2[0]), apart(*b2))),),
                (("branch3", numbered(Pool((3, 3, 3), (1, 1, 1), 1), point(c_in, b3))),),
            )
        )

    shrink = Pool((1, 3, 3), (1, 2, 2), (0, 1, 1))
    features = numbered(
        apart(3, 64, 7, 2),
        shrink,
        point(64, 64),
        apart(64, 192),
        shrink,
        *map(mixed, ("3b", "3c")),
        Pool((3, 3, 3), (2, 2, 2), 1),
        *map(mixed, ("4b", "4c", "4d", "4e", "4f")),
        Pool((2, 2, 2)),
        *map(mixed, ("5b", "5c")),
    )
    body = Sequential(
        (
            ("features", features),
            ("avgpool", Pool((2, 7, 7), (1, 1, 1), how="mean")),
            ("classifier", numbered(Dropout(0.2), Conv(1024, classes, (1, 1, 1), bias=True))),
            ("mean", GlobalPool()),
            ("flatten", Flatten()),
        )
    )
    return Net("s3d", body, (3, frames, 224, 224), "Xie et al., Rethinking Spatiotemporal Feature Learning, ECCV 2018")
