"""The pictures of inflation: every one takes arrays and returns a Matplotlib ``Axes`` or ``Figure``.

Nothing here inflates or convolves; pictures show what an operation returned. Colors are those of Okabe and Ito, and
each one is joined by a word or a marker.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from numpy.typing import ArrayLike

__all__ = ["boring_responses", "filmstrip"]

BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8C8C8C"
STYLES = ((VERMILION, "o"), (BLUE, "s"), (GREEN, "^"))


def filmstrip(w2d: ArrayLike, inflated: Mapping[str, ArrayLike]) -> Figure:
    """Show a 2D kernel and what was made of it: one row for each way, one picture for each moment.

    Parameters
    ----------
    w2d
        (K_h, K_w), one 2D kernel.
    inflated
        (K_t, K_h, K_w) by name, as `inflate` and `inflate_centered` return them for one output and one input.

    Returns
    -------
    Figure
        The 2D kernel on the left, the filmstrips beside it, all in one scale of color, with the weights written in
        where there is room.

    Examples
    --------
    >>> w2d = np.array([[-1.0, 1.0]])
    >>> figure = filmstrip(w2d, {"inflate": np.stack([w2d / 3] * 3)})
    """
    plane = np.asarray(w2d, float)
    strips = {name: np.asarray(kernel, float) for name, kernel in inflated.items()}
    if plane.ndim != 2 or plane.size == 0:
        raise ValueError(f"`w2d` must have the shape (Kh, Kw) and hold something; got {plane.shape}")
    if not strips:
        raise ValueError("`inflated` is empty; pass at least one kernel, such as {'inflate': w3d[0, 0]}")
    for name, kernel in strips.items():
        if kernel.ndim != 3 or kernel.shape[1:] != plane.shape:
            raise ValueError(
                f"`inflated[{name!r}]` must have the shape (T, {plane.shape[0]}, {plane.shape[1]}); got {kernel.shape}"
            )
    moments = max(len(kernel) for kernel in strips.values())
    reach = max(np.abs(plane).max(), *(np.abs(k).max() for k in strips.values())) or 1.0
    figure, grid = plt.subplots(
        len(strips), moments + 1, figsize=(1.35 * (moments + 1) + 1.6, 1.5 * len(strips) + 0.5), squeeze=False,
        layout="constrained", gridspec_kw={"width_ratios": [1.0, *[1.0] * moments]},
    )  # fmt: skip
    for ax in grid.flat:
        ax.set_axis_off()
    shown = _kernel(grid[0, 0], plane, reach, "2D kernel")
    for row, (name, kernel) in zip(grid, strips.items(), strict=True):
        for t, (ax, moment) in enumerate(zip(row[1:], kernel, strict=False)):
            _kernel(ax, moment, reach, f"t = {t}")
        row[1].set_ylabel(name, fontsize=9)
    figure.colorbar(shown, ax=grid, shrink=0.8, aspect=25, label="weight")
    return figure


def _kernel(ax: Axes, plane: np.ndarray, reach: float, title: str) -> AxesImage:
    """One slice of a kernel, with its weights in figures if it is small."""
    ax.set_axis_on()
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=9)
    shown = ax.imshow(plane, cmap="PRGn", vmin=-reach, vmax=reach)
    if plane.size <= 25:
        for (y, x), weight in np.ndenumerate(plane):
            ax.text(x, y, f"{weight:.2g}", ha="center", va="center", fontsize=7,
                    color="white" if abs(weight) > 0.6 * reach else "black")  # fmt: skip
    return shown


def boring_responses(
    answer2d: float, answers3d: Mapping[str, ArrayLike], window: int | None = None, ax: Axes | None = None
) -> Axes:
    """Compare what a 2D kernel says about an image with what inflated kernels say about each frame of a boring video.

    Parameters
    ----------
    answer2d
        The answer of the 2D convolution at one pixel.
    answers3d
        (T,), the answers of the 3D convolutions at that pixel, by name.
    window
        K_t, if the frames whose window reaches out of the clip are to be shaded.
    ax
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        The axes drawn on.

    Examples
    --------
    >>> ax = boring_responses(1.0, {"zero padding": [2 / 3, 1.0, 1.0, 2 / 3]}, window=3)
    >>> ax.get_xlabel()
    'frame'
    """
    series = {name: np.atleast_1d(np.asarray(values, float)) for name, values in answers3d.items()}
    if not series or any(v.ndim != 1 or len(v) != len(next(iter(series.values()))) for v in series.values()):
        raise ValueError("`answers3d` must hold at least one series, all of the shape (T,) with one T")
    frames = len(next(iter(series.values())))
    ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")[1] if ax is None else ax
    if window is not None and window > 1:
        before, after = window // 2, (window - 1) // 2
        for k, (start, stop) in enumerate([(-0.5, before - 0.5), (frames - 0.5 - after, frames - 0.5)]):
            ax.axvspan(start, stop, color=GREY, alpha=0.2, linewidth=0,
                       label="the window reaches out of the clip" if k == 0 else None)  # fmt: skip
    ax.axhline(answer2d, color="black", linestyle="--", linewidth=1.2, label="2D kernel, on the image")
    for k, (name, values) in enumerate(series.items()):
        color, marker = STYLES[k % len(STYLES)]
        ax.plot(range(frames), values, color=color, marker=marker, markersize=9 - 3 * k, linewidth=1.4, label=name)
    low, high = (
        min(0.0, answer2d, *(v.min() for v in series.values())),
        max(0.0, answer2d, *(v.max() for v in series.values())),
    )
    room = 0.12 * (high - low or 1.0)
    ax.set(xlabel="frame", ylabel="answer at one pixel", xticks=range(frames), xlim=(-0.5, frames - 0.5),
           ylim=(low - room * (low < 0), high + room * (high > 0)))  # fmt: skip
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize=8, frameon=False)
    return ax
