"""The pictures of video transformers: who looks at whom in each scheme, whom that reaches, and what it costs.

Each is drawn from the operations themselves. Colors are those of Okabe and Ito, and each one is joined by a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from vidlearn.transformers.reference import SCHEMES, comparisons, neighborhood, reached

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["growth", "reach", "schemes"]

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#E4E4E4"
#: of a scheme's first, second and third step
STEPS = (ORANGE, GREEN, PURPLE)
NAMES = {"S": "Space", "ST": "Joint space-time", "T+S": "Divided space-time", "L+G": "Sparse local global", "T+W+H": "Axial"}  # fmt: skip
WORDS = {"block": "block (local)", "stride": "stride (global)"}

# ------------------------------------------------------------------ who looks at whom


def schemes(
    frames: int = 4,
    height: int = 6,
    width: int = 6,
    query: tuple[int, int, int] = (1, 2, 3),
    clip: np.ndarray | None = None,
) -> Figure:
    """Draw TimeSformer's five schemes as its deck does: one patch, and the patches that it is compared with.

    Parameters
    ----------
    frames, height, width
        The clip, in patches. All even, for the sparse scheme halves them.
    query
        (t, y, x), the patch that looks.
    clip
        (frames, H, W) or (frames, H, W, 3), floats in [0, 1], to draw in grey below the patches; none if not given.

    Returns
    -------
    Figure
        A column for each scheme and a row for each frame, about the query's. The query is blue; each step of a scheme
        has a color, and a patch that is looked at in two steps has both.

    Examples
    --------
    >>> figure = schemes()
    """
    extents = (frames, height, width)
    _check_query(query, extents)
    clip = None if clip is None else np.asarray(clip)
    if clip is not None and (clip.ndim not in (3, 4) or len(clip) != frames):
        raise ValueError(f"clip: expected (T, H, W) or (T, H, W, 3) with T = {frames} frames, got {clip.shape}")
    times = [t for t in range(query[0] - 2, query[0] + 3) if 0 <= t < frames]
    figure, axes = plt.subplots(
        len(times), len(SCHEMES), figsize=(11.5, 0.9 + 2.15 * len(times) * height / width), layout="constrained",
        squeeze=False,
    )  # fmt: skip
    for column, (scheme, steps) in zip(axes.T, SCHEMES.items(), strict=True):
        looked_at = [_seen(*extents, kind, query) for kind in steps]
        keys = int(comparisons(*extents, scheme))  # type: ignore[arg-type]
        column[0].set_title(f"{NAMES[scheme]} ({scheme})\n{keys} keys, with the class token", fontsize=9)
        for ax, t in zip(column, times, strict=True):
            if clip is not None:
                grey = clip[t] if clip.ndim == 3 else clip[t].mean(axis=-1)
                ax.imshow(0.3 + 0.7 * grey, extent=(0, width, height, 0), cmap="gray", vmin=0, vmax=1)
            _patches(ax, [seen[t] for seen in looked_at], clip is not None)
            if t == query[0]:
                ax.add_patch(Rectangle((query[2], query[1]), 1, 1, facecolor=BLUE, edgecolor="white"))
        handles = [Patch(color=c, label=f"{i}. {WORDS.get(k, k)}") for i, (k, c) in enumerate(zip(steps, STEPS, strict=False), 1)]  # fmt: skip
        column[-1].legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.02), fontsize=9, frameon=False)
    for ax, t in zip(axes[:, 0], times, strict=True):
        away = t - query[0]
        ax.set_ylabel(f"frame t {'+' if away > 0 else '−'} {abs(away)}" if away else "frame t\n(blue: the query)")
    return figure


def _check_query(query: tuple[int, int, int], extents: tuple[int, int, int]) -> None:
    if len(query) != 3 or not all(0 <= q < n for q, n in zip(query, extents, strict=True)):
        raise ValueError(f"query: expected a place (t, y, x) in {'×'.join(map(str, extents))} patches, got {query}")


def _seen(frames: int, height: int, width: int, kind: Any, query: tuple[int, int, int]) -> np.ndarray:
    """(T, H, W), True for whoever is in the query's group."""
    groups = neighborhood(frames, height, width, kind)
    number = np.ravel_multi_index(query, (frames, height, width))
    own = groups[(groups == number).any(axis=1)]
    return np.isin(np.arange(groups.size), own).reshape(frames, height, width)


def _patches(ax: Axes, seen: Sequence[np.ndarray], over_a_frame: bool) -> None:
    """One frame's patches, each in the colors of the steps that look at it."""
    height, width = seen[0].shape
    for y in range(height):
        for x in range(width):
            colors = [color for step, color in zip(seen, STEPS, strict=False) if step[y, x]]
            if not colors and not over_a_frame:
                colors = [GREY]
            for i, color in enumerate(colors):
                ax.add_patch(
                    Rectangle((x + i / len(colors), y), 1 / len(colors), 1, facecolor=color, linewidth=0,
                              alpha=0.65 if over_a_frame else 1)
                )  # fmt: skip
            ax.add_patch(Rectangle((x, y), 1, 1, fill=False, edgecolor="white", linewidth=1))
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


# ------------------------------------------------------------------ whom that reaches


def reach(frames: int = 4, height: int = 4, width: int = 4) -> Figure:
    """Draw for each scheme which token's input reaches which token's output, step after step.

    Parameters
    ----------
    frames, height, width
        The clip, in patches. All even, for the sparse scheme halves them.

    Returns
    -------
    Figure
        A column for each scheme and a row after each of its steps. In a square outputs go downwards and inputs to the
        right; blue where one reaches the other. White lines part the frames; below stands what share of the clip a
        token knows of by then.

    Examples
    --------
    >>> figure = reach()
    """
    rows = max(map(len, SCHEMES.values()))
    figure, axes = plt.subplots(rows, len(SCHEMES), figsize=(11.5, 0.4 + 2.75 * rows), layout="constrained")
    tokens, frame = frames * height * width, height * width
    for column, (scheme, steps) in zip(axes.T, SCHEMES.items(), strict=True):
        for ax in column[len(steps) :]:
            ax.set_axis_off()
        column[0].set_title(f"{NAMES[scheme]} ({scheme})", fontsize=10)
        for n, (ax, step) in enumerate(zip(column, steps, strict=False), 1):
            known = reached(frames, height, width, steps[:n])
            ax.imshow(np.where(known[..., None], _rgb(BLUE), _rgb(GREY)), extent=(0, tokens, tokens, 0))
            for edge in range(frame, tokens, frame):
                ax.axhline(edge, color="white", linewidth=1)
                ax.axvline(edge, color="white", linewidth=1)
            middle = [(t + 0.5) * frame for t in range(frames)]
            ax.set(xticks=middle, xticklabels=range(frames), yticks=middle, yticklabels=range(frames))
            ax.tick_params(length=0, labelsize=9)
            ax.set_xlabel(
                f"{'after' if n == 1 else 'and then'} {WORDS.get(step, step)}: {100 * known.mean():.0f} %", fontsize=9
            )
            ax.spines[:].set_visible(False)
    axes[0, 0].set_ylabel("output's frame (across: input's)", fontsize=9)
    return figure


def _rgb(color: str) -> np.ndarray:
    return np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])


# ------------------------------------------------------------------ what it costs


def growth(
    frames: Sequence[int] = (8, 16, 32, 64, 96), height: int = 14, width: int = 14, ax: Axes | None = None
) -> Axes:
    """Show how many keys a query is compared with as a clip gets longer.

    Parameters
    ----------
    frames
        The lengths; all even.
    height, width
        A frame, in patches: 14 × 14 of 16 × 16 pixels make 224 × 224.
    ax
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        The axes drawn on: a line for each scheme, its name at the end; both axes by powers.

    Examples
    --------
    >>> ax = growth((8, 16))
    """
    if len(frames) < 2:
        raise ValueError(f"frames: expected at least two lengths, such as (8, 96), got {tuple(frames)}")
    ax = plt.subplots(figsize=(7.4, 3.8), layout="constrained")[1] if ax is None else ax
    colors = ("#555555", "#D55E00", BLUE, ORANGE, GREEN)
    for (scheme, name), color in zip(NAMES.items(), colors, strict=True):
        keys = [int(comparisons(n, height, width, scheme)) for n in frames]  # type: ignore[arg-type]
        ax.plot(frames, keys, "o-", color=color)
        ax.annotate(f"{name} ({scheme}): {keys[-1]:,}", (frames[-1], keys[-1]), va="center", fontsize=9, color=color,
                    xytext=(7, {"S": -3, "T+S": 6}.get(scheme, 0)), textcoords="offset points")  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel="frames", ylabel="keys of one query", xticks=frames, xticklabels=frames,
           xlim=(frames[0] * 0.9, frames[-1] * (frames[-1] / frames[0]) ** 0.75))  # fmt: skip
    ax.minorticks_off()
    ax.spines[["top", "right"]].set_visible(False)
    return ax
