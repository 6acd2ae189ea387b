"""The pictures of SlowFast: two rates from one clip, and who reads which frame through a lateral connection.

What is drawn is measured: frames hold their numbers and go through this concept's operations. Colors are those of Okabe
and Ito, and each one is joined by a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from vidlearn.slowfast.reference import lateral_connection, sample_pathways

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["laterals", "pathways"]

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#B8B8B8"
#: the stages of a ResNet-50, and the channels of the Slow pathway after each
STAGES = {"conv1": 64, "res2": 256, "res3": 512, "res4": 1024, "res5": 2048}


def pathways(
    frames: int = 32, alpha: int = 8, beta: float = 1 / 8, how: Literal["stride", "spread"] = "stride"
) -> Figure:
    """Draw which frames each pathway takes from a clip, and where the lateral connections join the two.

    Parameters
    ----------
    frames
        Of the clip, a multiple of `alpha`.
    alpha
        How many times more frames the Fast pathway has.
    beta
        How many times its channels are those of the Slow one, below 1.
    how
        "stride" or "spread", as in `sample_pathways`.

    Returns
    -------
    Figure
        At the left, the frames of both pathways, over the same time. At the right, their stages, with the channels after
        each; green arrows are lateral connections, Fast to Slow.

    Examples
    --------
    >>> figure = pathways(32, 8)
    """
    if frames < 1 or alpha < 1 or frames % alpha:
        raise ValueError(f"frames: expected a multiple of alpha = {alpha}, of at least 1, got {frames}")
    if not 0 < beta < 1:
        raise ValueError(f"beta: expected a share between 0 and 1, such as 1 / 8, got {beta}")
    numbers = np.arange(float(frames)).reshape(1, 1, frames, 1, 1)
    taken = sample_pathways(numbers, alpha, how)[0].ravel()
    figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 3.3), width_ratios=(1, 1.15), layout="constrained")
    for t in range(frames):
        left.add_patch(Rectangle((t - 0.4, -0.3), 0.8, 0.6, facecolor=ORANGE, edgecolor="none"))
    side = min(0.34 * frames / len(taken), 0.1 * frames)
    for t in taken:
        _line(left, t, 0.3, t, 1.25)
        left.add_patch(Rectangle((t - side / 2, 1.25), side, 1.0, facecolor=BLUE, edgecolor="white"))
        left.text(t, 1.75, f"{t:.0f}", ha="center", va="center", fontsize=9, color="white")
    left.set(title=f"one clip of {frames} frames, two rates ({how})", xlim=(-side / 2 - 0.8, frames + side / 2 - 0.2),
             ylim=(-0.7, 2.45), xlabel="frame of the clip")  # fmt: skip
    left.set(yticks=[0, 1.75], yticklabels=[f"Fast\n{frames} frames", f"Slow\n{len(taken)} frames"])
    left.set_xticks(np.arange(0, frames, alpha))
    left.tick_params(length=0)
    left.spines[:].set_visible(False)
    _stages(right, beta)
    return figure


def _stages(ax: Axes, beta: float) -> None:
    """Draw both pathways from stage to stage; each stage but the last hands on to the Slow one."""
    for i, (name, channels) in enumerate(STAGES.items()):
        x = 1.5 * i
        _box(ax, x, 1.25, 1.0, f"{name}\n{channels}", BLUE, "white")
        _box(ax, x, -0.3, 0.6, f"{channels * beta:g}", ORANGE, "black")
        for y in (0.0, 1.75):
            _line(ax, x - 0.95, y, x - 0.55, y)
        if i < len(STAGES) - 1:
            joint = x + 0.75
            ax.annotate("", (joint, 1.7), (joint, 0.0), arrowprops={"arrowstyle": "-|>", "color": GREEN, "lw": 1.8})
    end = 1.5 * (len(STAGES) - 1)
    for y in (0.0, 1.75):
        _line(ax, end + 0.55, y, end + 1.15, 0.875 + (y - 0.875) * 0.25)
    ax.text(end + 1.2, 0.875, "pool\nand\nclassify", va="center", fontsize=9)
    ax.text(0.82, 0.78, "lateral", color=GREEN, fontsize=9, va="center")
    ax.text(end / 2, -0.62, "numbers: channels after each stage", ha="center", fontsize=9)
    ax.set(title="where the Slow pathway learns of the Fast one", xlim=(-1.0, end + 2.2), ylim=(-0.7, 2.45))
    ax.set_axis_off()


def laterals(slow_frames: int = 4, alpha: int = 8, kernel: int = 5) -> Figure:
    """Draw the three lateral connections: which Fast frames each Slow frame reads.

    Parameters
    ----------
    slow_frames
        Of the Slow pathway; the Fast one has `alpha` times as many.
    alpha
        How many times more frames Fast has.
    kernel
        Extent of the time-strided convolution, odd.

    Returns
    -------
    Figure
        Three diagrams. A line joins a Slow frame, above, to each Fast frame that changes what it is given; Fast frames
        that no one reads are hollow. Slow frames stand where they were taken by stride.

    Examples
    --------
    >>> figure = laterals(3, 4)
    """
    if slow_frames < 1 or alpha < 1:
        name, value = ("slow_frames", slow_frames) if slow_frames < 1 else ("alpha", alpha)
        raise ValueError(f"{name}: expected at least 1, got {value}")
    if kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"kernel: expected an odd number of frames, so that one is the middle, got {kernel}")
    frames = slow_frames * alpha
    lit = np.eye(frames).reshape(frames, 1, frames, 1, 1)  # in clip i, frame i is lit
    dark, w = np.zeros((frames, 1, slow_frames, 1, 1)), np.ones((2, 1, kernel, 1, 1))
    figure, axes = plt.subplots(3, 1, figsize=(8.5, 5.2), sharex=True, layout="constrained")
    for ax, how, color in zip(axes, ("time-to-channel", "sample", "conv"), (BLUE, ORANGE, GREEN), strict=True):
        joined = lateral_connection(dark, lit, alpha, how, w=w if how == "conv" else None)  # type: ignore[arg-type]
        reads = joined.any(axis=(1, 3, 4))  # (Fast frame, Slow frame)
        for s in range(slow_frames):
            above = alpha * s  # the frame that the Slow pathway has taken, by stride
            for t in np.flatnonzero(reads[:, s]).tolist():
                ax.plot([t, above], [0.22, 1.1], color=color, linewidth=1.1, zorder=0)
            _box(ax, above, 1.1, 0.55, str(s), GREY, "black", 1.6)
        for t in range(frames):
            seen = reads[t].any()
            ax.add_patch(Rectangle((t - 0.36, -0.22), 0.72, 0.44, facecolor=color if seen else "white",
                                   edgecolor=color if seen else GREY))  # fmt: skip
        channels = joined.shape[1] - 1
        lost = int((~reads.any(axis=1)).sum())
        words = f"time-strided convolution, kernel of {kernel}" if how == "conv" else how.replace("-", " ")
        words = words.replace("sample", "time-strided sampling")
        ax.set(xlim=(-1.3, frames - 0.1), ylim=(-0.4, 1.8), yticks=[0, 1.38], yticklabels=["Fast", "Slow"])
        ax.set_title(
            f"{words}: {channels} channel{'s' * (channels > 1)} from 1, {lost} of {frames} frames unread", fontsize=10
        )
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    axes[-1].set(xticks=np.arange(0, frames, alpha), xlabel="Fast frame")
    return figure


def _box(ax: Axes, x: float, low: float, height: float, words: str, color: str, ink: str, width: float = 1.1) -> None:
    """Draw a box around x with words in it."""
    ax.add_patch(FancyBboxPatch((x - width / 2, low), width, height, facecolor=color, edgecolor="white",
                                boxstyle="round,pad=0,rounding_size=0.12"))  # fmt: skip
    ax.text(x, low + height / 2, words, ha="center", va="center", fontsize=9, color=ink)


def _line(ax: Axes, x0: float, y0: float, x1: float, y1: float) -> None:
    ax.plot([x0, x1], [y0, y1], color="#555555", linewidth=0.8, zorder=0)
