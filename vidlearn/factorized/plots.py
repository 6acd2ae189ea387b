"""The pictures of factorized convolutions; the numbers in them are computed by this concept's operations.

Colors are those of Okabe and Ito, and each one is joined by a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Polygon

from vidlearn.factorized.reference import convolution_plan, factorized_parameters, mid_channels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["kernel_boxes", "plan_table"]

BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
#: one step of time to the lower left, in the units of a tap: time comes towards the reader
DEPTH = np.array([-0.45, -0.38])


def _extent(size: tuple[int, int, int]) -> tuple[float, float]:
    """Width and height of a kernel (K_t, K_h, K_w) as it is drawn."""
    time, height, width = size
    return width + time * abs(DEPTH[0]), height + time * abs(DEPTH[1])


def _box(ax: Axes, left: float, top: float, size: tuple[int, int, int], color: str) -> None:
    """Draw a kernel as a box of its taps, in oblique projection."""
    time, height, width = size
    right, down = np.array([1.0, 0.0]), np.array([0.0, -1.0])
    rear = np.array([left - time * DEPTH[0], top])  # its upper left corner
    hue = np.array(to_rgb(color))

    def face(corner: np.ndarray, along: np.ndarray, m: int, toward: np.ndarray, n: int, strength: float) -> None:
        for i in range(m):
            for j in range(n):
                a = corner + i * along + j * toward
                ax.add_patch(Polygon([a, a + along, a + along + toward, a + toward], closed=True, edgecolor="white",
                                     facecolor=hue * strength + 1 - strength, linewidth=0.8))  # fmt: skip

    face(rear + time * DEPTH, right, width, down, height, 0.85)
    face(rear, DEPTH, time, right, width, 0.35)
    face(rear + width * right, DEPTH, time, down, height, 0.6)


def kernel_boxes(c_in: int = 64, c_out: int = 64, k_t: int = 3, k_s: int = 3) -> Axes:
    """Draw the kernels of a full, a (2+1)D, a channel-separated and a depthwise convolution, with their weights.

    Parameters
    ----------
    c_in, c_out
        Channels before and after. The depthwise convolution keeps its channels and is drawn with `c_out` of them.
    k_t, k_s
        Extent of the kernel in time, and in height and width.

    Returns
    -------
    Axes
        The axes drawn on. Each small block is a tap; time runs towards the reader.

    Examples
    --------
    >>> ax = kernel_boxes(64, 128)
    """
    m = int(mid_channels(c_in, c_out, k_t, k_s))
    full, space, time, point = (k_t, k_s, k_s), (1, k_s, k_s), (k_t, 1, 1), (1, 1, 1)
    drawn: list[tuple[str, Any, int, list[tuple[tuple[int, int, int], str, str]]]] = [
        ("full 3D", "full", c_in, [(full, BLUE, f"for {c_in} × {c_out} pairs")]),
        ("(2+1)D", "(2+1)d", c_in, [(space, ORANGE, f"for {c_in} × {m} pairs"), (time, GREEN, f"for {m} × {c_out} pairs")]),
        ("channel-separated", "channel-separated", c_in,
         [(point, ORANGE, f"for {c_in} × {c_out} pairs"), (full, BLUE, f"for {c_out} channels")]),
        ("depthwise", "depthwise", c_out, [(full, BLUE, f"for {c_out} channels")]),
    ]  # fmt: skip
    tall = _extent(full)[1]
    unit = 2.2 / tall  # inches for one tap
    gap, least = 0.75 / unit, 1.25 / unit  # between boxes, and room for the words below one
    figure, ax = plt.subplots()
    left = 0.0
    for title, kind, before, boxes in drawn:
        start = left
        for k, (size, color, pairs) in enumerate(boxes):
            if k:
                ax.text(left - gap / 2, -tall / 2, "then", ha="center", va="center", fontsize=10)
            width, height = _extent(size)
            slot = max(width, least)
            _box(ax, left + (slot - width) / 2, (height - tall) / 2, size, color)
            ax.text(left + slot / 2, -tall - 0.1 / unit, f"{size[0]} × {size[1]} × {size[2]}\n{pairs}",
                    ha="center", va="top", fontsize=9)  # fmt: skip
            left += slot + gap
        weights = f"{int(factorized_parameters(before, c_out, k_t, k_s, kind)):,}".replace(",", "\u202f")
        ax.text((start + left - gap) / 2, 0.12 / unit, f"{title}\n{weights} weights", ha="center", va="bottom",
                fontsize=11)  # fmt: skip
    ax.set(xlim=(-gap / 4, left - 3 * gap / 4), ylim=(-tall - 0.5 / unit, 0.55 / unit), aspect="equal")
    ax.set_axis_off()
    ax.set_position((0, 0, 1, 1))
    figure.set_size_inches((left - gap / 2) * unit, (tall + 1.05 / unit) * unit)
    return ax


def plan_table(
    kinds: Sequence[str] = ("f_r2d", "mc2", "mc3", "mc4", "mc5", "rmc2", "rmc3", "rmc4", "rmc5", "r3d"),
    ax: Axes | None = None,
) -> Axes:
    """Show which groups of which network look at time: the frames that their kernels span.

    Parameters
    ----------
    kinds
        Names that `convolution_plan` knows.
    ax
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        The axes drawn on: one row for each network, one column for each group.

    Examples
    --------
    >>> ax = plan_table(["mc3", "rmc3"])
    """
    if not kinds:
        raise ValueError("`kinds` is empty; pass at least one name, such as ['mc3']")
    plans = np.stack([convolution_plan(kind) for kind in kinds])  # type: ignore[arg-type]
    ax = plt.subplots(figsize=(5.2, 0.34 * len(kinds) + 1.0), layout="constrained")[1] if ax is None else ax
    for y, plan in enumerate(plans):
        for x, extent in enumerate(plan):
            ax.add_patch(plt.Rectangle((x - 0.46, y - 0.42), 0.92, 0.84, facecolor=BLUE if extent > 1 else "#E5E5E5"))
            ax.text(x, y, f"{extent} frames" if extent > 1 else "1 frame", ha="center", va="center", fontsize=8,
                    color="white" if extent > 1 else "black")  # fmt: skip
    ax.set(xlim=(-0.5, plans.shape[1] - 0.5), ylim=(len(kinds) - 0.5, -0.5), yticks=range(len(kinds)), yticklabels=kinds,
           xticks=range(5), xticklabels=["stem", "group 2", "group 3", "group 4", "group 5"])  # fmt: skip
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    for side in ax.spines.values():
        side.set_visible(False)
    return ax
