"""The pictures of fusion: where time is merged, and what one answer has seen of a clip.

Colors are those of Okabe and Ito, and each one is joined by a word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from vidlearn.fusion.reference import receptive_field, temporal_extent
from vidlearn.video.scrubber import Scrubber, scrubber

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["field_growth", "filmstrip", "reach_scrubber", "schemes"]

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#B8B8B8"
#: each layer's extent in time, then its steps: the three small networks on 20 frames
THREE = {
    "late fusion": ((1, 1, 1, 20), (1, 1, 1, 1)),
    "early fusion": ((20, 1, 1, 1), (1, 1, 1, 1)),
    "slow fusion (3D CNN)": ((3, 4, 3, 20), (1, 4, 1, 1)),
}

# ------------------------------------------------------------------ the schemes


def schemes(frames: int = 10) -> Figure:
    """Draw four ways to merge time: single frame, late, early and slow fusion.

    Parameters
    ----------
    frames
        Of the clip. Slow fusion takes windows of 4 frames with stride 2, then of 2 with stride 2, then all that is
        left.

    Returns
    -------
    Figure
        Four networks, read from the frames below to the answer above. The box that merges time is orange.

    Examples
    --------
    >>> figure = schemes()
    """
    if frames < 6:
        raise ValueError(f"frames: expected at least 6, so that slow fusion has two steps, got {frames}")
    figure, axes = plt.subplots(1, 4, figsize=(11.5, 3.9), layout="constrained")
    titles = ("single frame", "late fusion", "early fusion", "slow fusion")
    for ax, title in zip(axes, titles, strict=True):
        for t in range(frames):
            ax.add_patch(Rectangle((t - 0.42, -0.42), 0.84, 0.6, facecolor=GREY, edgecolor="white"))
        ax.set(xlim=(-0.8, frames - 0.2), ylim=(-1.0, 4.95), title=title)
        ax.text((frames - 1) / 2, -0.9, f"{frames} frames", ha="center", fontsize=9)
        ax.set_axis_off()
    end = frames - 1
    for ax, words in ((axes[0], "mean of all answers"), (axes[1], "linear layer on all,\nor pooling and linear")):
        single = ax is axes[0]
        each = range(frames)
        for t in each:
            _box(ax, t, t, 0.8, 1.7, "", BLUE)
            _line(ax, t, 0.22, t, 0.8)
            _line(ax, t, 1.7, end / 2 + (t - end / 2) * 0.8, 2.75)
        ax.text(end / 2, 2.2, "one 2D CNN and classifier" if single else "one 2D CNN", ha="center", va="center",
                fontsize=9, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})  # fmt: skip
        _box(ax, 0, end, 2.75, 3.6, words, ORANGE)
    for t in range(frames):
        _line(axes[2], t, 0.22, t, 0.8)
    _box(axes[2], 0, end, 0.8, 1.7, "2D convolution\non all channels", ORANGE)
    _line(axes[2], end / 2, 1.7, end / 2, 2.75)
    _box(axes[2], end / 2 - 2, end / 2 + 2, 2.75, 3.6, "2D CNN", BLUE)
    _slowly(axes[3], frames)
    for ax in axes:
        _line(ax, end / 2, 3.6, end / 2, 4.2)
        ax.text(end / 2, 4.3, "answer", ha="center", va="bottom", fontsize=9)
    return figure


def _slowly(ax: Axes, frames: int) -> None:
    """Draw windows of 4 and of 2, each with stride 2, and a last one over all that is left."""
    below = [(float(t), 0.22) for t in range(frames)]
    for (kernel, stride), (low, high) in zip(((4, 2), (2, 2)), ((0.8, 1.35), (1.95, 2.5)), strict=True):
        above = []
        for i in range(int(temporal_extent(len(below), kernel, stride))):
            window = below[i * stride : i * stride + kernel]
            middle = sum(x for x, _ in window) / kernel
            for x, y in window:
                _line(ax, x, y, middle, low)
            _box(ax, middle - 0.35, middle + 0.35, low, high, "", ORANGE)
            above.append((middle, high))
        ax.text(
            frames - 0.3, (low + high) / 2, f"{kernel} frames,\nstride {stride}", ha="left", va="center", fontsize=9
        )
        below = above
    for x, y in below:
        _line(ax, x, y, (frames - 1) / 2, 3.05)
    _box(ax, 0, frames - 1, 3.05, 3.6, "3D convolution on the rest", ORANGE)
    ax.set_xlim(-0.8, frames + 2.2)


def _box(ax: Axes, left: float, right: float, low: float, high: float, words: str, color: str) -> None:
    ax.add_patch(FancyBboxPatch((left - 0.3, low), right - left + 0.6, high - low, facecolor=color, edgecolor="white",
                                boxstyle="round,pad=0,rounding_size=0.15"))  # fmt: skip
    ax.text((left + right) / 2, (low + high) / 2, words, ha="center", va="center", fontsize=9,
            color="black" if color == ORANGE else "white")  # fmt: skip


def _line(ax: Axes, x0: float, y0: float, x1: float, y1: float) -> None:
    ax.plot([x0, x1], [y0, y1], color="#555555", linewidth=0.8, zorder=0)


# ------------------------------------------------------------------ the field, layer by layer


def field_growth(
    networks: Mapping[str, tuple[Sequence[int], Sequence[int]]] = THREE, frames: int = 20, ax: Axes | None = None
) -> Axes:
    """Show how many frames one position has seen after each layer, as bars.

    Parameters
    ----------
    networks
        By name: the layers' extents in time, and their strides. The three small networks if not given.
    frames
        Of the clip. A field can't be larger: what reaches over the clip is cut off.
    ax
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        The axes drawn on: a group of bars for each layer, a bar for each network, its number above it.

    Examples
    --------
    >>> ax = field_growth({"3D CNN": ((3, 4, 3), (1, 4, 1))})
    """
    if not networks:
        raise ValueError("networks: expected at least one, such as {'3D CNN': ((3, 4, 3), (1, 4, 1))}, got none")
    ax = plt.subplots(figsize=(7.2, 3.4), layout="constrained")[1] if ax is None else ax
    width, longest = 0.8 / len(networks), max(len(kernels) for kernels, _ in networks.values())
    for i, (name, (kernels, strides)) in enumerate(networks.items()):
        fields = np.minimum(receptive_field(np.asarray(kernels), np.asarray(strides)), frames)
        x = np.arange(len(fields)) + (i - (len(networks) - 1) / 2) * width
        bars = ax.bar(x, fields, width * 0.92, label=name, color=(BLUE, ORANGE, GREEN, GREY)[i % 4])
        ax.bar_label(bars, fontsize=9, padding=2)
    ax.axhline(frames, color="#555555", linewidth=0.8, linestyle="--", label="the whole clip")
    ax.set(xticks=range(longest), xticklabels=[f"layer {n + 1}" for n in range(longest)], ylabel="frames seen",
           xlim=(-0.55, longest - 0.45), ylim=(0, frames * 1.2))  # fmt: skip
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=len(networks) + 1, fontsize=9, frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


# ------------------------------------------------------------------ the field, frame by frame


def filmstrip(clip: np.ndarray, mask: np.ndarray, times: Sequence[int] | None = None) -> Figure:
    """Show frames of a clip with all dark but what one answer has seen.

    Parameters
    ----------
    clip
        (T, H, W) or (T, H, W, 3), floats in [0, 1].
    mask
        (T, H, W), the voxels seen, as `measure_receptive_field` finds them.
    times
        Which frames; about eight over the whole clip if None.

    Returns
    -------
    Figure
        A row of frames. Where something of a frame is seen, an orange frame is around it.

    Examples
    --------
    >>> figure = filmstrip(np.ones((3, 8, 8)), np.zeros((3, 8, 8), bool))
    """
    clip, mask = _checked(clip, mask)
    if times is None:
        times = np.unique(np.linspace(0, len(clip) - 1, min(8, len(clip))).round().astype(int)).tolist()
    shape = clip.shape[2] / clip.shape[1]
    figure, axes = plt.subplots(1, len(times), figsize=(1.35 * shape * len(times), 1.75), squeeze=False,
                                layout="constrained")  # fmt: skip
    for ax, t in zip(axes[0], times, strict=True):
        ax.imshow(_lit(clip[t], mask[t]), vmin=0, vmax=1)
        _outline(ax, bool(mask[t].any()))
        ax.set_title(f"t = {t}", fontsize=9)
    return figure


def reach_scrubber(clip: np.ndarray, masks: Mapping[str, np.ndarray], fps: float = 5.0) -> Scrubber:
    """Show frame by frame which voxels reach one answer of each layer: drag the slider through the clip.

    Parameters
    ----------
    clip
        (T, H, W) or (T, H, W, 3), floats in [0, 1].
    masks
        By the layer's name: (T, H, W), the voxels that one of its positions sees.
    fps
        Speed of playing.

    Returns
    -------
    Scrubber
        One frame of the clip at a time, once for each layer, dark where the layer sees nothing.

    Examples
    --------
    >>> seen = np.zeros((2, 8, 8), bool)
    >>> shown = reach_scrubber(np.ones((2, 8, 8)), {"conv1": seen})     # in a notebook: a slider
    """
    if not masks:
        raise ValueError("masks: expected at least one, such as {'conv1': mask}, got none")
    pairs = {name: _checked(clip, mask, f"masks[{name!r}]") for name, mask in masks.items()}
    frames = next(iter(pairs.values()))[0]
    figure = Figure(figsize=(2.0 * frames.shape[2] / frames.shape[1] * len(pairs), 2.3), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(pairs), squeeze=False)[0]
    stills = []
    for t in range(len(frames)):
        for ax, (name, (_, mask)) in zip(axes, pairs.items(), strict=True):
            ax.clear()
            ax.imshow(_lit(frames[t], mask[t]), vmin=0, vmax=1)
            _outline(ax, bool(mask[t].any()))
            ax.set_title(name, fontsize=9)
        canvas.draw()
        stills.append(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    alt = f"what one answer of {', '.join(masks)} sees of the clip"
    return scrubber(stills, labels=[f"t = {t}" for t in range(len(frames))], alt=alt, fps=fps)


def _checked(clip: Any, mask: Any, name: str = "mask") -> tuple[np.ndarray, np.ndarray]:
    """Return the clip in color and the mask, if they fit."""
    clip, mask = np.asarray(clip), np.asarray(mask, bool)
    if clip.ndim not in (3, 4) or (clip.ndim == 4 and clip.shape[3] != 3) or clip.dtype.kind != "f":
        raise ValueError(
            f"clip: expected floats in [0, 1] of shape (T, H, W) or (T, H, W, 3), got {clip.dtype} {clip.shape}"
        )
    if mask.shape != clip.shape[:3]:
        raise ValueError(f"{name}: expected the clip's (T, H, W) = {clip.shape[:3]}, got {mask.shape}")
    return clip if clip.ndim == 4 else np.repeat(clip[..., None], 3, axis=3), mask


def _lit(frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.clip(frame, 0, 1) * np.where(mask, 1.0, 0.35)[..., None]


def _outline(ax: Axes, seen: bool) -> None:
    ax.set(xticks=[], yticks=[])
    ax.set_xlabel("seen" if seen else "not seen", fontsize=9)
    for side in ax.spines.values():
        side.set(color=ORANGE if seen else GREY, linewidth=2.5 if seen else 1.0)
