"""Bottleneck residual networks for clips: C2D, I3D, the Slow and the Fast pathway alone on ResNet-50, CSN on ResNet-101.

A block is three convolutions, a narrows, b looks around, c widens; the networks differ in which of them sees time. The
names of the weights are PyTorchVideo's.
"""

from __future__ import annotations

from itertools import cycle, islice
from typing import Literal

from vidlearn.nets.net import Net
from vidlearn.nets.nodes import (
    Conv,
    Dropout,
    Flatten,
    GlobalPool,
    Linear,
    Node,
    Norm,
    Part,
    Pool,
    ReLU,
    Residual,
    Sequential,
    non_local,
    numbered,
)
from vidlearn.nets.signal import Shape

__all__ = ["c2d_r50", "csn_r101", "fast_r50", "i3d_r50", "ip_csn_r101", "slow_r50"]

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def _around(kernel: Shape) -> Shape:
    return tuple(k // 2 for k in kernel)


def _block(c_in: int, c_mid: int, a: Shape, stride: Shape, middle: Literal["2d", "ir", "ip"]) -> Residual:
    """One bottleneck; `a` is the kernel of its first convolution, `middle` says what its second one is."""
    c_out = 4 * c_mid
    if middle == "2d":
        b: Node = Conv(c_mid, c_mid, (1, 3, 3), stride, (0, 1, 1))
    else:
        b = Conv(c_mid, c_mid, (3, 3, 3), stride, 1, groups=c_mid)
        if middle == "ip":  # one more convolution across channels keeps what the depthwise one no longer sees
            b = numbered(Conv(c_mid, c_mid, (1, 1, 1)), b)
    body: tuple[Part, ...] = (
        ("conv_a", Conv(c_in, c_mid, a, 1, _around(a))),
        ("norm_a", Norm(c_mid)),
        ("act_a", ReLU()),
        ("conv_b", b),
        ("norm_b", Norm(c_mid)),
        ("act_b", ReLU()),
        ("conv_c", Conv(c_mid, c_out, (1, 1, 1))),
        ("norm_c", Norm(c_out)),
    )
    shortcut: tuple[Part, ...] = ()
    if c_in != c_out or max(stride) > 1:
        shortcut = (("branch1_conv", Conv(c_in, c_out, (1, 1, 1), stride)), ("branch1_norm", Norm(c_out)))
    return Residual((("branch2", Sequential(body)),), shortcut, (("activation", ReLU()),))


def stem(channels: int, width: int, kernel: Shape, stride: Shape = (1, 2, 2)) -> Sequential:
    """Return the first convolution and the pool after it."""
    return Sequential(
        (
            ("conv", Conv(channels, width, kernel, stride, _around(kernel))),
            ("norm", Norm(width)),
            ("activation", ReLU()),
            ("pool", Pool((1, 3, 3), (1, 2, 2), (0, 1, 1))),
        )
    )


def stage(
    c_in: int,
    c_mid: int,
    n: int,
    kernels: tuple[Shape, ...],
    stride: Shape,
    middle: Literal["2d", "ir", "ip"] = "2d",
    look_after: tuple[int, ...] = (),
) -> Sequential:
    """Return `n` bottlenecks, the first one with the stride; `kernels` of their first convolutions take turns.

    After those of `look_after` there is a non-local block; the bottlenecks keep their names, so that weights trained
    without them load.
    """
    blocks: list[Part] = []
    for i, a in enumerate(islice(cycle(kernels), n)):
        blocks.append((str(i), _block(c_in, c_mid, a, stride if i == 0 else (1, 1, 1), middle)))
        c_in = 4 * c_mid
        if i in look_after:
            blocks.append((f"nonlocal{i}", non_local(c_in)))
    return Sequential((("res_blocks", Sequential(tuple(blocks))),))


def head(width: int, classes: int) -> tuple[Part, ...]:
    """Return the average over all positions and the linear layer."""
    return (
        ("dropout", Dropout()),
        ("output_pool", GlobalPool()),
        ("flatten", Flatten()),
        ("proj", Linear(width, classes)),
    )


def _network(
    depth: int,
    classes: int,
    *,
    first: Shape,
    kernels: tuple[tuple[Shape, ...], ...],
    window: Shape,
    width: int = 64,
    halve_time: bool = False,
    time_strides: Shape = (1, 1, 1, 1),
    middle: Literal["2d", "ir", "ip"] = "2d",
    look_after: tuple[tuple[int, ...], ...] = ((), (), (), ()),
) -> Sequential:
    blocks: list[Node] = [stem(3, width, first)]
    c_in = width
    for i, (n, ks, s) in enumerate(zip(BLOCKS[depth], kernels, time_strides, strict=True)):
        step = 1 if i == 0 else 2
        blocks.append(stage(c_in, width * 2**i, n, ks, (s, step, step), middle, look_after[i]))
        c_in = 4 * width * 2**i
        if i == 0 and halve_time:
            blocks.append(Pool((2, 1, 1)))
    blocks.append(Sequential((("pool", Pool(window, (1, 1, 1), how="mean")), *head(c_in, classes))))
    return Sequential((("blocks", numbered(*blocks)),))


SPACE: tuple[Shape, ...] = ((1, 1, 1),)
TIME: tuple[Shape, ...] = ((3, 1, 1),)


#: after which bottlenecks of a stage the published networks have non-local blocks
LOOK_AFTER: dict[int, tuple[tuple[int, ...], ...]] = {
    50: ((), (1, 3), (1, 3, 5), ()),
    101: ((), (), (6, 13, 20), ()),
}
SLOWFAST = "Feichtenhofer et al., SlowFast Networks for Video Recognition, ICCV 2019"


def slow_kernels(depth: int, seeing_time: int) -> tuple[tuple[Shape, ...], ...]:
    """First kernels of the Slow pathway's bottlenecks, stage by stage; `seeing_time` of the third see time."""
    return (SPACE, SPACE, _some(depth, seeing_time), TIME)


def fast_kernels(depth: int, seeing_time: int) -> tuple[tuple[Shape, ...], ...]:
    """First kernels of the Fast pathway's bottlenecks, stage by stage; `seeing_time` of the third see time."""
    return (TIME, TIME, _some(depth, seeing_time), TIME)


def _some(depth: int, seeing_time: int) -> tuple[Shape, ...]:
    if depth not in BLOCKS:
        raise ValueError(f"depth: expected {' or '.join(map(str, BLOCKS))}, got {depth}")
    return TIME * seeing_time + SPACE * (BLOCKS[depth][2] - seeing_time)


def c2d_r50(classes: int = 400, frames: int = 8) -> Net:
    """C2D on ResNet-50: frame by frame, only pooled over time (Wang et al. 2018); PyTorchVideo's weights load."""
    body = _network(50, classes, first=(1, 7, 7), kernels=(SPACE,) * 4, window=(frames // 2, 7, 7), halve_time=True)
    return Net("c2d_r50", body, (3, frames, 224, 224), "Wang et al., Non-local Neural Networks, CVPR 2018")


def i3d_r50(classes: int = 400, frames: int = 8) -> Net:
    """I3D on ResNet-50: every second 1×1 convolution inflated to 3×1×1 (Wang et al. 2018); PyTorchVideo's weights load."""
    kernels = (TIME, TIME + SPACE, TIME + SPACE, SPACE + TIME)
    body = _network(50, classes, first=(5, 7, 7), kernels=kernels, window=(frames // 2, 7, 7), halve_time=True)
    return Net("i3d_r50", body, (3, frames, 224, 224), "Wang et al., Non-local Neural Networks, CVPR 2018")


def slow_r50(classes: int = 400, frames: int = 8, depth: int = 50, nonlocal_blocks: bool = False) -> Net:
    """The Slow pathway alone, on ResNet-50: time is seen in the last two stages only; PyTorchVideo's weights load."""
    kernels = slow_kernels(depth, 6)
    look_after = LOOK_AFTER[depth] if nonlocal_blocks else ((), (), (), ())
    body = _network(depth, classes, first=(1, 7, 7), kernels=kernels, window=(frames, 7, 7), look_after=look_after)
    name = f"slow_r{depth}{'_nl' if nonlocal_blocks else ''}"
    return Net(name, body, (3, frames, 224, 224), SLOWFAST)


def fast_r50(classes: int = 400, frames: int = 32, depth: int = 50) -> Net:
    """The Fast pathway alone: many frames, an eighth of the channels, and time seen in every stage."""
    kernels = fast_kernels(depth, 6)
    body = _network(depth, classes, first=(5, 7, 7), kernels=kernels, window=(frames, 7, 7), width=8)
    return Net(f"fast_r{depth}", body, (3, frames, 224, 224), SLOWFAST)


def _csn(name: str, middle: Literal["ir", "ip"], classes: int, frames: int) -> Net:
    body = _network(
        101,
        classes,
        first=(3, 7, 7),
        kernels=(SPACE,) * 4,
        window=(frames // 8, 7, 7),
        time_strides=(1, 2, 2, 2),
        middle=middle,
    )
    source = "Tran et al., Video Classification with Channel-Separated Convolutional Networks, ICCV 2019"
    return Net(name, body, (3, frames, 224, 224), source)


def csn_r101(classes: int = 400, frames: int = 32) -> Net:
    """ir-CSN-101: every 3×3×3 convolution depthwise (Tran et al. 2019); PyTorchVideo's weights load."""
    return _csn("csn_r101", "ir", classes, frames)


def ip_csn_r101(classes: int = 400, frames: int = 32) -> Net:
    """ip-CSN-101: a 1×1×1 convolution before every depthwise one keeps channels talking (Tran et al. 2019)."""
    return _csn("ip_csn_r101", "ip", classes, frames)
