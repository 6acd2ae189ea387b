"""SlowFast networks: two pathways on one clip, a slow one that sees what is there and a fast one that sees it move.

One description has them all: frames and α say what each pathway sees, β how thin the fast one is. The names of the
weights are PyTorchVideo's.
"""

from __future__ import annotations

from typing import Literal

from vidlearn.nets.bottleneck import (
    BLOCKS,
    LOOK_AFTER,
    SLOWFAST,
    fast_kernels,
    head,
    slow_kernels,
    stage,
    stem,
)
from vidlearn.nets.net import Net
from vidlearn.nets.nodes import (
    Conv,
    GlobalPool,
    Join,
    Lateral,
    Node,
    Norm,
    Part,
    Pathways,
    ReLU,
    Sequential,
    numbered,
)
from vidlearn.nets.views import Channels, Frames, Upsample, Weak

__all__ = ["slowfast", "slowfast_4x16_r50", "slowfast_16x8_r101_50_50", "slowfast_r50", "slowfast_r101"]

Weakness = Literal["none", "grey", "time difference", "flow", "half"]


def slowfast(
    frames: int = 32,
    alpha: int = 4,
    depth: int = 50,
    fast_width: int = 8,
    lateral_kernel: int = 7,
    lateral_ratio: int = 2,
    classes: int = 400,
    nonlocal_blocks: bool = False,
    weak: Weakness = "none",
    seeing_time: int = 6,
    sampling: Literal["stride", "spread"] = "stride",
    name: str = "",
) -> Net:
    """Return a SlowFast network (Feichtenhofer et al. 2019).

    Parameters
    ----------
    frames
        Of the clip, all of which the Fast pathway sees.
    alpha
        α: the Slow pathway sees every α-th of them.
    depth
        50 or 101: the ResNet that both pathways are.
    fast_width
        Channels of the Fast pathway's first convolution; β is this over the Slow one's 64.
    lateral_kernel, lateral_ratio
        The lateral convolution's extent in time, and how many times more channels it makes than it takes.
    classes
        Of the answer.
    nonlocal_blocks
        Whether the Slow pathway has non-local blocks: five in ResNet-50's second and third stage, three in
        ResNet-101's third.
    weak
        What is taken from the Fast pathway: color, everything but change, everything but motion (then the clip has two
        more channels, the optical flow), half of the resolution.
    seeing_time
        How many blocks of the third stage see time, the first ones: all 6 of ResNet-50's, 6 of ResNet-101's 23.
    sampling
        Which frames the Slow pathway sees: those that the lateral connections look at, or, as the published weights
        were trained, others that are spread from the first to the last.
    name
        Of the network; made from the parameters if it is not given.

    Examples
    --------
    >>> from vidlearn import nets
    >>> nets.slowfast(frames=32, alpha=8, lateral_kernel=5).macs() / 1e9      # 4×16, as the paper counts
    27.63...
    """
    if depth not in BLOCKS:
        raise ValueError(f"depth: expected {' or '.join(map(str, BLOCKS))}, got {depth}")
    if min(frames, fast_width, lateral_ratio) < 1:
        raise ValueError(
            f"frames, fast_width, lateral_ratio: expected at least 1 each, got {frames}, {fast_width}, {lateral_ratio}"
        )
    if alpha < 1 or frames % alpha:
        raise ValueError(f"alpha: expected a divisor of the {frames} frames, got {alpha}")
    if lateral_kernel % 2 == 0:
        raise ValueError(
            f"lateral_kernel: expected an odd number of frames, so that one is the middle, got {lateral_kernel}"
        )
    look_after = LOOK_AFTER[depth] if nonlocal_blocks else ((), (), (), ())
    slow_frames = frames // alpha
    seen, channels = _weakened(weak)

    def lateral(c: int) -> Lateral:
        """From the Fast pathway's c channels to the Slow one, a convolution in time with stride α."""
        conv = Conv(c, lateral_ratio * c, (lateral_kernel, 1, 1), (alpha, 1, 1), (lateral_kernel // 2, 0, 0))
        steps: list[Part] = [("conv_fast_to_slow", conv), ("norm", Norm(lateral_ratio * c)), ("activation", ReLU())]
        return Lateral(tuple(steps) if weak != "half" else (*steps, ("upsample", Upsample(2))))

    def block(slow: tuple[Part, ...], fast: tuple[Part, ...], c: int) -> Sequential:
        parts: list[Part] = [("multipathway_blocks", Pathways((slow, fast)))]
        return Sequential(tuple(parts) if not c else (*parts, ("multipathway_fusion", lateral(c))))

    slow_view: tuple[Part, ...] = (
        *((("colors", Channels(0, 3)),) if weak == "flow" else ()),
        ("every", Frames(alpha, sampling)),
    )
    blocks: list[Node] = [
        block(
            (*slow_view, ("0", stem(3, 64, (1, 7, 7)))),
            (*seen, ("1", stem(channels, fast_width, (5, 7, 7)))),
            fast_width,
        )
    ]
    slow_in, fast_in = 64 + lateral_ratio * fast_width, fast_width
    for i, n in enumerate(BLOCKS[depth]):
        stride = (1, 1, 1) if i == 0 else (1, 2, 2)
        slow = stage(slow_in, 64 * 2**i, n, slow_kernels(depth, seeing_time)[i], stride, look_after=look_after[i])
        fast = stage(fast_in, fast_width * 2**i, n, fast_kernels(depth, seeing_time)[i], stride)
        fast_in = 4 * fast_width * 2**i
        slow_in = 256 * 2**i + lateral_ratio * fast_in
        blocks.append(block((("0", slow),), (("1", fast),), fast_in if i < 3 else 0))
    pools = Pathways(((("slow", GlobalPool()),), (("fast", GlobalPool()),)))
    blocks.append(Sequential((("pool", pools), ("join", Join()))))
    blocks.append(Sequential(head(2048 + 32 * fast_width, classes)))
    body = Sequential((("blocks", numbered(*blocks)),))
    name = name or "_".join((
        f"slowfast_{slow_frames}f{alpha}a_r{depth}", *([f"w{fast_width}"] if fast_width != 8 else []),
        *(["nl"] if nonlocal_blocks else []), *([weak.replace(" ", "_")] if weak != "none" else []),
    ))  # fmt: skip
    return Net(name, body, (5 if weak == "flow" else 3, frames, 224, 224), SLOWFAST)


def _weakened(weak: Weakness) -> tuple[tuple[Part, ...], int]:
    """What stands before the Fast pathway, and how many channels it leaves."""
    views: dict[str, tuple[tuple[Part, ...], int]] = {
        "none": ((), 3),
        "grey": ((("grey", Weak("grey")),), 1),
        "time difference": ((("difference", Weak("time difference")),), 3),
        "flow": ((("flow", Channels(3, 5)),), 2),
        "half": ((("halved", Weak("half")),), 3),
    }
    if weak not in views:
        raise ValueError(f"weak: expected one of {', '.join(map(repr, views))}, got {weak!r}")
    return views[weak]


def slowfast_4x16_r50(classes: int = 400) -> Net:
    """SlowFast 4×16 on ResNet-50: 4 frames against 32, as the paper's first table has it."""
    return slowfast(32, 8, lateral_kernel=5, classes=classes, name="slowfast_4x16_r50")


def slowfast_r50(classes: int = 400) -> Net:
    """SlowFast 8×8 on ResNet-50: 8 frames against 32; PyTorchVideo's weights load."""
    return slowfast(32, 4, lateral_kernel=7, classes=classes, sampling="spread", name="slowfast_r50")


def slowfast_r101(classes: int = 400) -> Net:
    """SlowFast 8×8 on ResNet-101, whose third stage sees time in every block; PyTorchVideo's weights load."""
    return slowfast(
        32, 4, 101, lateral_kernel=5, classes=classes, seeing_time=23, sampling="spread", name="slowfast_r101"
    )


def slowfast_16x8_r101_50_50(classes: int = 400) -> Net:
    """SlowFast 16×8 on ResNet-101: 16 frames against 64, 6 blocks of 23 see time; PyTorchVideo's weights load."""
    return slowfast(64, 4, 101, lateral_kernel=5, classes=classes, sampling="spread", name="slowfast_16x8_r101_50_50")
