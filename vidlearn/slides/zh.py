"""Figures and claims of the Chinese deck."""

from __future__ import annotations

from vidlearn import nets
from vidlearn.slides import attention, sjtu
from vidlearn.slides.figure import Figure


def crops() -> str:
    """The side of a 256 pixel frame, cut to a share of it."""
    return ", ".join(str(int(256 * share)) for share in (1, 0.875, 0.75, 0.66))


def compute_falls() -> str:
    """Whether R(2+1)D takes fewer multiply-accumulates than R3D."""
    apart, together = nets.r2plus1d_18(frames=8, shared_mid=False).macs(), nets.r3d_18(frames=8).macs()
    return "lower" if apart < together else "a little higher"


def time_in_i3d() -> str:
    """How the number of positions in time changes on the way through I3D."""
    steps = [nets.i3d_inception().input[1]]
    for row in nets.i3d_inception().rows():
        if (
            row.path.startswith(("Conv3d", "MaxPool3d", "Mixed"))
            and row.shape[1] != steps[-1]
            and "pad" not in row.path
        ):
            steps.append(row.shape[1])
    return "stays" if len(steps) == 1 else " → ".join(map(str, steps))


FIGURES = [
    Figure("zh", "TSN · 数据增强", "sides of the crops", "256, 224, 192, 168", crops, "pixels",
           "256 times 1, 0.875, 0.75 and 0.66, rounded down (168.96 is 168)"),
    Figure("zh", "I3D · inflate", "time in I3D", "stays", time_in_i3d, "frames", "positions in time, layer by layer",
           expected="slide is wrong",
           explanation="Only the first two pools leave time alone; the stem and two later pools halve it."),
    *sjtu.table("zh", "R(2+1)D"),
    *attention.instantiation("zh", "SlowFast · Table 1"),
    Figure("zh", "R(2+1)D", "computation of (2+1)D against 3D", "lower", compute_falls, "",
           "multiply-accumulates of the 18-layer networks on 8 frames of 112×112, the paper's widths",
           expected="slide is wrong",
           explanation="The widths are chosen so that the *parameters* are equal, and then computation is nearly so."),
]  # fmt: skip
