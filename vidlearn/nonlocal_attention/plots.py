"""The pictures of attention: where a position looks, what each pairwise function makes of the same two vectors, how a
softmax is kept up to date, and what all weights cost.

Colors are those of Okabe and Ito, and each one is joined by a word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vidlearn.nonlocal_attention import reference

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["attention_map", "memory", "online_softmax", "pairwise_functions"]

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#B8B8B8"

# ------------------------------------------------------------------ where one position looks


def attention_map(
    clip: np.ndarray, weights: np.ndarray, query: tuple[int, int, int], times: Sequence[int] | None = None
) -> Figure:
    """Show where one position of a clip looks, drawn over its frames across time.

    Parameters
    ----------
    clip
        (T, H, W) or (T, H, W, 3), floats in [0, 1].
    weights
        (T, h, w), how much of each position goes into the answer: one row of
        :func:`~vidlearn.nonlocal_attention.pairwise_weights` on the grid of features, which may be coarser than the
        frames.
    query
        (t, y, x), the position that looks, on the grid of features.
    times
        Which frames; about six over the whole clip if None.

    Returns
    -------
    Figure
        A row of frames. The more orange, the more is looked at; the position that looks has a blue frame. Below each
        frame: the share of all weight that lies in it.

    Examples
    --------
    >>> figure = attention_map(np.ones((2, 8, 8)), np.full((2, 4, 4), 1 / 32), (0, 1, 1))
    """
    clip, weights = np.asarray(clip, float), np.asarray(weights, float)
    if clip.ndim not in (3, 4) or weights.ndim != 3 or len(clip) != len(weights):
        raise ValueError(
            f"weights: expected (T, h, w) with as many frames as the clip, got shapes {weights.shape} and {clip.shape}"
        )
    if not all(0 <= q < n for q, n in zip(query, weights.shape, strict=True)):
        raise ValueError(f"query: expected a position (t, y, x) on a grid of {weights.shape}, got {query}")
    if times is None:
        times = sorted({*np.linspace(0, len(clip) - 1, min(6, len(clip))).round().astype(int).tolist(), query[0]})
    H, W = clip.shape[1:3]
    high, wide = H / weights.shape[1], W / weights.shape[2]
    most, total = weights.max(), weights.sum()
    figure, axes = plt.subplots(
        1, len(times), figsize=(2.1 * len(times), 2.1 * H / W + 0.75), layout="constrained", squeeze=False
    )
    for ax, t in zip(axes[0], times, strict=True):
        grey = clip[t] if clip.ndim == 3 else clip[t].mean(-1)
        ax.imshow(0.25 + 0.6 * grey, cmap="gray", vmin=0, vmax=1, extent=(0, W, H, 0))
        heat = np.zeros((*weights.shape[1:], 4))
        heat[..., :3] = 0.90, 0.45, 0.0
        heat[..., 3] = 0.85 * np.sqrt(weights[t] / most) if most > 0 else 0
        ax.imshow(heat, extent=(0, W, H, 0), interpolation="nearest")
        share = weights[t].sum() / total if total else 0.0
        ax.set_title(f"frame {t}", fontsize=9)
        ax.set_xlabel(f"{100 * share:.0f} % of the weight", fontsize=9)
        if t == query[0]:
            ax.add_patch(
                Rectangle(
                    (query[2] * wide, query[1] * high), wide, high, fill=False, edgecolor="#56B4E9", linewidth=2.5
                )
            )
            ax.set_title(f"frame {t}: it looks from here", fontsize=9, color=BLUE)
        ax.set(xticks=[], yticks=[], xlim=(0, W), ylim=(H, 0))
    return figure


# ------------------------------------------------------------------ the four functions


def pairwise_functions(theta: np.ndarray, phi: np.ndarray, w_f: np.ndarray | None = None) -> Figure:
    """Draw the weights that the four pairwise functions make of the same positions, side by side.

    Parameters
    ----------
    theta, phi
        (L, D) and (M, D): positions that ask, and positions that are looked at.
    w_f
        (2D,), for the concatenation; ones if not given.

    Returns
    -------
    Figure
        Four matrices with a row for each position that asks; purple is positive, orange negative, and beside each row
        its sum. The two Gaussians differ in what they are given (features, or projections of them), not in what they
        do with it: so they share one picture, and the fourth shows the scores before any of it.

    Examples
    --------
    >>> figure = pairwise_functions(np.eye(3), np.eye(3))
    """
    theta, phi = np.asarray(theta, float)[None], np.asarray(phi, float)[None]
    w_f = np.ones(2 * theta.shape[2]) if w_f is None else np.asarray(w_f, float)
    pictures = {
        "scores θφᵀ": theta[0] @ phi[0].T,
        "(embedded) Gaussian:\nsoftmax": reference.pairwise_weights(theta, phi)[0],
        "dot product:\ndivided by M": reference.pairwise_weights(theta, phi, "dot product")[0],
        "concatenation:\nbent, divided by M": reference.pairwise_weights(theta, phi, "concatenation", w_f)[0],
    }
    L, M = pictures["scores θφᵀ"].shape
    figure, axes = plt.subplots(1, 4, figsize=(11, 1.5 + 2.0 * L / max(L, M)), layout="constrained")
    for ax, (title, values) in zip(axes, pictures.items(), strict=True):
        most = np.abs(values).max() or 1.0
        ax.imshow(values, cmap="PuOr", vmin=-most, vmax=most)
        if L * M <= 36:
            for (i, j), value in np.ndenumerate(values):
                ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=8,
                        color="white" if abs(value) > 0.6 * most else "black")  # fmt: skip
        for i, total in enumerate(values.sum(axis=1)):
            ax.text(M - 0.35, i, f"Σ {total:.2f}", va="center", fontsize=8)
        ax.set(xticks=[], yticks=[], xlim=(-0.5, M + 0.6))
        ax.set_title(title, fontsize=10)
        ax.spines[:].set_visible(False)
    axes[0].set_ylabel("asks", fontsize=9)
    axes[0].set_xlabel("is looked at", fontsize=9)
    return figure


# ------------------------------------------------------------------ the running softmax


def online_softmax(scores: Sequence[float], tile: int = 4) -> Figure:
    """Follow one query's softmax tile by tile: the largest score so far, and the sum that is scaled down with it.

    Parameters
    ----------
    scores
        Of one query, key by key.
    tile
        How many keys are looked at at a time.

    Returns
    -------
    Figure
        Above, the scores and the largest so far. Below, how large a sum each tile leaves, in units of the largest score
        so far: where that rises, what was summed before shrinks (grey), and the new tile is added (blue).

    Examples
    --------
    >>> figure = online_softmax([1.0, 0.5, 3.0, 2.0, 5.0, 1.0], tile=2)
    """
    e = np.asarray(scores, float)
    if e.ndim != 1 or not len(e) or tile < 1:
        raise ValueError(f"scores: expected a row of at least one, and a tile of at least 1, got {e.shape} and {tile}")
    starts = range(0, len(e), tile)
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(8.6, 4.6), layout="constrained", sharex=True, height_ratios=(1, 1)
    )
    above.bar(range(len(e)), e, color=GREY, width=0.85, label="score of a key")
    m, total = -np.inf, 0.0
    for n, start in enumerate(starts):
        part = e[start : start + tile]
        left, right = start - 0.5, start + len(part) - 0.5
        larger = max(m, part.max())
        kept, added = total * np.exp(m - larger), np.exp(part - larger).sum()
        once = {"label": "largest so far, m"} if n == 0 else {}
        above.plot([left, right], [larger, larger], color=ORANGE, linewidth=2.5, **once)
        middle, width = (left + right) / 2, 0.7 * (right - left)
        below.bar(middle, kept, width, color=GREY, label="summed before, × e^(m − m′)" if n == 0 else None)
        below.bar(middle, added, width, bottom=kept, color=BLUE, label="this tile" if n == 0 else None)
        factor = f"× {np.exp(m - larger):.2g}" if n else "first tile"
        below.text(middle, kept + added, f"{factor}\nℓ = {kept + added:.2f}", ha="center", va="bottom", fontsize=8)
        for ax in (above, below):
            ax.axvline(right, color="#DDDDDD", linewidth=0.8, zorder=0)
        m, total = larger, kept + added
    above.set_ylabel("score")
    below.set(ylabel="sum ℓ", xlabel="key", xlim=(-0.5, len(e) - 0.5))
    below.margins(y=0.35)
    for ax in (above, below):
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)
        ax.spines[["top", "right"]].set_visible(False)
    return figure


# ------------------------------------------------------------------ what it costs


def memory(
    measured: Mapping[str, Mapping[int, float]], refused_from: float | None = None, ax: Axes | None = None
) -> Axes:
    """Draw measured memory against the number of positions, both on a scale of doublings.

    Parameters
    ----------
    measured
        Bytes by number of positions, by the name of the form, as ``benchmarks/attention.py`` measures them.
    refused_from
        The number of positions from which on the whole form refuses; a dashed line.
    ax
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        The axes drawn on: a line for each form. On these scales the square of N is twice as steep as N.

    Examples
    --------
    >>> ax = memory({"all weights": {1024: 8e6, 2048: 32e6}, "tile by tile": {1024: 1e6, 2048: 2e6}})
    """
    if not measured or not all(measured.values()):
        raise ValueError("measured: expected bytes by number of positions for at least one form, got none")
    ax = plt.subplots(figsize=(7.2, 3.8), layout="constrained")[1] if ax is None else ax
    for (name, sizes), color, marker in zip(
        measured.items(), (ORANGE, BLUE, GREEN, GREY) * 2, "osD^" * 2, strict=False
    ):
        n = sorted(sizes)
        ax.plot(n, [sizes[i] / 1e6 for i in n], color=color, marker=marker, label=name)
    if refused_from is not None:
        ax.axvline(
            refused_from, color="#555555", linestyle="--", linewidth=0.8, label="all weights: refused from here on"
        )
    ax.set(xscale="log", yscale="log", xlabel="positions N = T·H·W", ylabel="memory, MB")
    ax.set_xscale("log", base=2)
    ax.legend(fontsize=9, frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return ax
