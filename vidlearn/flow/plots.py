"""The pictures of optical flow: every one takes arrays and returns a Matplotlib ``Axes`` or ``Figure``.

Nothing here computes a flow; pictures show what an operation returned. Colors are those of Okabe and Ito, which
people who see color differently can tell apart, and each one is joined by a word, a hatch or a marker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.patheffects as effects
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Circle, Patch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442",
)  # fmt: skip
PALETTE = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY)
GREY = "#8C8C8C"
_BOX = {"facecolor": "black", "alpha": 0.65, "edgecolor": "none", "pad": 2}  # behind white text on a photograph
LABELS = {0: ("flat", GREY), 1: ("edge", ORANGE), 2: ("corner", BLUE)}  # as `classify_structure` numbers them

__all__ = [
    "constraint_lines",
    "correlation",
    "eigenvalue_plane",
    "error_heatmap",
    "flow_color",
    "image",
    "images",
    "patches",
    "pyramid",
    "quiver",
    "refinement",
    "signed",
    "structure_labels",
    "through_aperture",
]


def _axes(ax: Axes | None, size: tuple[float, float] = (6.0, 4.2)) -> Axes:
    return plt.subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def _size_for(pixels: ArrayLike, width: float = 6.4, bar: bool = False) -> tuple[float, float]:
    """Return the figure size that leaves no blank margin around an image, with a color bar or without."""
    height, wide = np.asarray(pixels).shape[:2]
    return width, float(np.clip((width - 0.6 - 1.0 * bar) * height / wide + 0.8, 1.6, 9.0))


def _as_array(value: ArrayLike, name: str, *shape: str) -> np.ndarray:
    """Return the argument as an array with the axes named in `shape` ("H", "W", "2"), or say what is wrong."""
    array = np.asarray(value)
    fits = array.ndim == len(shape) and all(
        not axis.isdigit() or n == int(axis) for axis, n in zip(shape, array.shape, strict=True)
    )
    if not fits or array.size == 0:
        wanted = ", ".join(shape)
        raise ValueError(f"`{name}` must have the shape ({wanted}) and hold something; got {array.shape}")
    return array


def _picture(value: ArrayLike, name: str = "image") -> np.ndarray:
    array = np.asarray(value)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or array.size == 0:
        raise ValueError(f"`{name}` must have the shape (H, W) or (H, W, 3) and hold something; got {array.shape}")
    return array if array.dtype == np.uint8 else np.clip(array, 0, 1)


def image(image: ArrayLike, title: str = "", ax: Axes | None = None) -> Axes:
    """Show an image, with pixels on both axes.

    Parameters
    ----------
    image
        ``(H, W)`` grey or ``(H, W, 3)`` color, float in [0, 1] or uint8.
    title
        What it is.
    ax
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        The axes drawn on.

    Examples
    --------
    >>> ax = image(np.eye(8), "a line")
    >>> ax.get_xlabel()
    'x (px)'
    """
    pixels = _picture(image)
    ax = _axes(ax, _size_for(pixels))
    ax.imshow(pixels, cmap="gray", vmin=0, vmax=1 if pixels.dtype != np.uint8 else 255, interpolation="nearest")
    ax.set(title=title, xlabel="x (px)", ylabel="y (px)")
    return ax


def images(named: Mapping[str, ArrayLike], columns: int = 3, width: float = 3.4) -> Figure:
    """Show several images side by side under their names.

    Parameters
    ----------
    named
        Images as :func:`image` takes them, by title.
    columns
        How many stand in one row.
    width
        Width of each, in inches.

    Returns
    -------
    Figure
        One figure.

    Examples
    --------
    >>> len(images({"left": np.eye(4), "right": 1 - np.eye(4)}).axes)
    2
    """
    if not named:
        raise ValueError("`named` is empty; pass at least one image, such as {'I0': I0}")
    columns = min(columns, len(named))
    rows = -(-len(named) // columns)
    tallest = max(np.shape(pixels)[0] / np.shape(pixels)[1] for pixels in named.values())
    figure, grid = plt.subplots(
        rows, columns, figsize=(columns * width, rows * (width * tallest + 0.45)), layout="constrained", squeeze=False
    )
    for ax in grid.flat[len(named) :]:
        ax.remove()
    for ax, (title, pixels) in zip(grid.flat, named.items(), strict=False):
        image(pixels, title, ax)
        ax.set(xlabel="", ylabel="", xticks=[], yticks=[])
    return figure


def signed(values: ArrayLike, title: str = "", unit: str = "brightness per px", ax: Axes | None = None) -> Axes:
    """Show a signed field, such as a derivative or a residual: purple below zero, green above, white at zero.

    Parameters
    ----------
    values
        ``(H, W)``.
    title
        What it is.
    unit
        The unit beside the color bar.
    ax
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        The axes drawn on.

    Examples
    --------
    >>> signed(np.array([[-1.0, 0.0, 2.0]]), "I_x").get_title()
    'I_x'
    """
    field = _as_array(values, "values", "H", "W")
    ax = _axes(ax, _size_for(field, bar=True))
    # The 99.5th percentile: a few strong edges must not wash out the rest.
    reach = float(np.nanpercentile(np.abs(field), 99.5)) or 1.0
    shown = ax.imshow(field, cmap="PRGn", vmin=-reach, vmax=reach, interpolation="nearest")
    ax.set(title=title, xlabel="x (px)", ylabel="y (px)")
    ax.figure.colorbar(shown, ax=ax, aspect=30, pad=0.02, label=unit)
    return ax


def quiver(
    image: ArrayLike,
    flow: ArrayLike,
    step: int | None = None,
    gain: float | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw a flow as arrows on its image.

    Parameters
    ----------
    image
        ``(H, W)`` or ``(H, W, 3)``: the frame that the flow starts from.
    flow
        ``(H, W, 2)``, (u, v) in px per frame.
    step
        Distance between arrows in px; about twenty arrows across the image if not given.
    gain
        How many times longer than the motion the arrows are; chosen so that long ones are about as
        long as the step if not given. It is written on the picture.
    title
        What it is.
    ax
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        The axes drawn on.

    Examples
    --------
    >>> flow = np.zeros((32, 32, 2)) + (0.5, 0.0)
    >>> ax = quiver(np.zeros((32, 32)), flow, step=8, gain=4)
    """
    pixels = _picture(image)
    field = _as_array(flow, "flow", "H", "W", "2")
    if field.shape[:2] != pixels.shape[:2]:
        raise ValueError(f"`flow` must cover the image; got flow {field.shape} for an image {pixels.shape}")
    height, width = field.shape[:2]
    step = step or max(1, round(max(height, width) / 20))
    y, x = np.mgrid[step // 2 : height : step, step // 2 : width : step]
    u, v = field[y, x, 0], field[y, x, 1]
    lengths = np.hypot(u, v)
    # The 95th percentile: one arrow gone astray must not shrink all the others.
    longest = float(np.percentile(lengths[np.isfinite(lengths)], 95)) if np.isfinite(lengths).any() else 0.0
    if gain is None:
        gain = _round_number(1.15 * step / longest) if longest > 0 else 1.0
    ax = _axes(ax, _size_for(pixels))
    ax.imshow(pixels, cmap="gray", vmin=0, vmax=1 if pixels.dtype != np.uint8 else 255, alpha=0.75)
    arrows = ax.quiver(
        x, y, gain * u, gain * v, angles="xy", scale_units="xy", scale=1, color=YELLOW, width=0.0035,
        headwidth=3.4, headlength=3.6, headaxislength=3.2, zorder=3,
    )  # fmt: skip
    arrows.set_path_effects([effects.Stroke(linewidth=1.3, foreground="black"), effects.Normal()])
    ax.set(title=title, xlabel="x (px)", ylabel="y (px)", xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    _note(ax, f"arrows {gain:g} × the motion")
    return ax


def _round_number(value: float) -> float:
    """Return the largest of 1, 1.5, 2, 3, 5, 7 × 10ⁿ that is not above the value."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(power * max(k for k in (1, 1.5, 2, 3, 5, 7) if k * power <= value * (1 + 1e-12)))


def _note(ax: Axes, text: str) -> None:
    ax.text(
        0.99, 0.015, text, transform=ax.transAxes, ha="right", va="bottom", fontsize=8, color="white", zorder=5,
        bbox=_BOX,
    )  # fmt: skip


def flow_color(
    flow: ArrayLike, max_flow: float | None = None, title: str = "", key: bool = True, ax: Axes | None = None
) -> Axes:
    """Show a flow as color: hue is direction, saturation is length, as in the Middlebury benchmark.

    Parameters
    ----------
    flow
        ``(H, W, 2)``, px per frame.
    max_flow
        The length shown in full color; the longest one present if not given. Pass the same for flows to be compared.
    title
        What it is.
    key
        Whether to draw the wheel that says which color is which direction.
    ax
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        The axes drawn on.

    References
    ----------
    Baker et al., *A database and evaluation methodology for optical flow*, IJCV 2011.

    Examples
    --------
    >>> ax = flow_color(np.ones((8, 8, 2)), title="down and right")
    """
    from vidlearn.video import color_wheel_key, flow_to_color

    field = _as_array(flow, "flow", "H", "W", "2")
    if max_flow is None:
        lengths = np.hypot(field[..., 0], field[..., 1])
        max_flow = float(np.max(lengths[np.isfinite(lengths)], initial=0.0)) or 1.0
    ax = _axes(ax, _size_for(field))
    ax.imshow(flow_to_color(field, max_flow=max_flow), interpolation="nearest")
    ax.set(title=title, xlabel="x (px)", ylabel="y (px)")
    if key:
        inset = ax.inset_axes((0.015, 0.03, 0.2, 0.2))
        wheel = inset.imshow(color_wheel_key(121), extent=(-1, 1, 1, -1))
        wheel.set_clip_path(Circle((0, 0), 1, transform=inset.transData))
        inset.add_patch(Circle((0, 0), 1, fill=False, color="black", linewidth=0.8))
        inset.axis("off")
        outlined = [effects.withStroke(linewidth=2.2, foreground="white")]
        inset.text(1.08, 0, f"{max_flow:.3g} px", va="center", fontsize=8, path_effects=outlined)
    return ax


def constraint_lines(
    Ix: ArrayLike,
    Iy: ArrayLike,
    It: ArrayLike,
    flow: ArrayLike | None = None,
    limit: float | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw what pixels say about their motion: each is a line ``Ix u + Iy v + It = 0`` in the (u, v) plane.

    With one pixel, the point of the line nearest to zero, the normal flow, is marked too.

    Parameters
    ----------
    Ix, Iy, It
        The derivatives at one pixel, or one-dimensional arrays of them; brightness per px and per frame.
    flow
        A (u, v) to mark, such as the true motion; px per frame.
    limit
        Half the width of the plane shown, px per frame.
    title
        What it is.
    ax
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        The axes drawn on; v points down, as in the image.

    Examples
    --------
    >>> ax = constraint_lines(0.25, 0.0, -0.25, flow=(1.0, 0.5))
    """
    a, b, c = (np.atleast_1d(np.asarray(value, float)) for value in (Ix, Iy, It))
    if not (a.ndim == 1 and a.shape == b.shape == c.shape):
        raise ValueError(
            f"`Ix`, `Iy` and `It` must be numbers or 1-D arrays of one length; got {a.shape}, {b.shape}, {c.shape}"
        )
    length = np.hypot(a, b)
    usable = length > 0
    nearest = -c[usable, None] * np.stack([a[usable], b[usable]], -1) / length[usable, None] ** 2
    if limit is None:
        marked = [nearest] if flow is None else [nearest, np.atleast_2d(flow)]
        limit = max(1.0, 1.4 * float(np.percentile(np.abs(np.concatenate(marked)), 90))) if usable.any() else 1.0
    ax = _axes(ax, (5.2, 4.8))
    ax.axhline(0, color="0.75", linewidth=0.8, zorder=0)
    ax.axvline(0, color="0.75", linewidth=0.8, zorder=0)
    # A pixel with a strong gradient is to be trusted more, and its line is drawn darker.
    weight = length[usable] / max(float(length.max(initial=0)), 1e-30)
    for point, gx, gy, strength in zip(nearest, a[usable], b[usable], weight, strict=True):
        along = np.array([-gy, gx]) / np.hypot(gx, gy) * 4 * (limit + np.hypot(*point))
        ends = np.stack([point - along, point + along])
        ax.plot(*ends.T, color=BLUE, linewidth=2 if len(a) == 1 else 0.9, alpha=0.15 + 0.75 * float(strength), zorder=1)
    if len(a) == 1 and usable.any():
        ax.annotate("", nearest[0], (0, 0), arrowprops={"arrowstyle": "-|>", "color": VERMILION, "lw": 2}, zorder=3)
        ax.plot(*nearest[0], "o", color=VERMILION, label="normal flow", zorder=4)
        ax.plot([], [], color=BLUE, linewidth=2, label="every (u, v) that fits")
    else:
        ax.plot([], [], color=BLUE, label=f"{int(usable.sum())} pixels, one line each")
    if flow is not None:
        ax.plot(*np.asarray(flow, float), "*", color="black", markersize=15, label="marked (u, v)", zorder=5)
    ax.set(xlim=(-limit, limit), ylim=(limit, -limit), aspect="equal", title=title,
           xlabel="u, to the right (px per frame)", ylabel="v, down (px per frame)")  # fmt: skip
    ax.legend(loc="lower left", fontsize=8, framealpha=0.9)
    return ax


def through_aperture(image: ArrayLike, center: tuple[float, float], radius: float, ax: Axes | None = None) -> Axes:
    """Show an image through a round hole in a sheet: what a small window knows of the world.

    Parameters
    ----------
    image
        ``(H, W)`` or ``(H, W, 3)``.
    center
        (x, y) of the hole, px.
    radius
        Its radius, px.
    ax
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        The axes drawn on.

    Examples
    --------
    >>> ax = through_aperture(np.eye(32), (16, 16), 5)
    """
    pixels = _picture(image)
    height, width = pixels.shape[:2]
    ax = _axes(ax, _size_for(pixels, 4.0))
    shown = ax.imshow(pixels, cmap="gray", vmin=0, vmax=1 if pixels.dtype != np.uint8 else 255)
    hole = Circle(center, radius, transform=ax.transData)
    shown.set_clip_path(hole)
    ax.add_patch(Circle(center, radius, fill=False, color="black", linewidth=2))
    ax.set_facecolor("#CFC8BC")
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])
    return ax


def eigenvalue_plane(
    eigenvalues: ArrayLike,
    min_eigenvalue: float = 1e-2,
    max_condition: float = 10.0,
    points: Mapping[str, ArrayLike] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw every pixel at its (λ1, λ2), over the regions that `classify_structure` tells apart.

    Parameters
    ----------
    eigenvalues
        ``(..., 2)``, λ1 ≥ λ2 ≥ 0, as `structure_tensor_eigenvalues` returns them; (brightness per px)².
    min_eigenvalue, max_condition
        The two thresholds of `classify_structure`.
    points
        Pairs (λ1, λ2) to mark by name.
    ax
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        The axes drawn on, both logarithmic. No pixel can lie above the diagonal.

    Examples
    --------
    >>> ax = eigenvalue_plane(np.array([[1.0, 0.5], [1.0, 1e-4]]), points={"a corner": (1.0, 0.5)})
    """
    pairs = np.asarray(eigenvalues, float)
    if pairs.ndim < 1 or pairs.shape[-1] != 2 or pairs.size == 0:
        raise ValueError(f"`eigenvalues` must have the shape (..., 2) and hold something; got {pairs.shape}")
    pairs = pairs.reshape(-1, 2)
    top = max(10.0 ** np.ceil(np.log10(max(pairs.max(), 1e-12))), 100 * min_eigenvalue)
    low = min_eigenvalue * 1e-3
    grid = np.geomspace(low, top, 400)
    l1, l2 = np.meshgrid(grid, grid)
    region = np.where(l1 < min_eigenvalue, 0, np.where((l2 >= min_eigenvalue) & (l1 <= max_condition * l2), 2, 1))
    ax = _axes(ax, (6.2, 5.0))
    colors = ListedColormap([LABELS[k][1] for k in range(3)])
    shown = np.ma.masked_where(l2 > l1, region)
    ax.pcolormesh(l1, l2, shown, cmap=colors, vmin=0, vmax=2, alpha=0.28, shading="nearest", rasterized=True)
    ax.plot([low, top], [low, top], color="0.3", linewidth=1)
    # Eigenvalues of zero have no logarithm; they are drawn on the lower border.
    ax.plot(
        *np.maximum(pairs, low).T,
        ".",
        color="black",
        markersize=2,
        alpha=min(1.0, 60 / len(pairs) ** 0.75),
        rasterized=True,
    )
    for (name, at), marker in zip((points or {}).items(), "osD^vP*", strict=False):
        ax.plot(*np.maximum(np.asarray(at, float), low), marker, markersize=11, markerfacecolor=YELLOW,
                markeredgecolor="black", label=name, linestyle="none")  # fmt: skip
    text: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 10, "fontweight": "bold"}
    middle = np.sqrt(low * min_eigenvalue)
    ax.text(middle * 1.4, np.sqrt(low * middle), "flat\nnothing to see", **text)
    ax.text(np.sqrt(min_eigenvalue * top), np.sqrt(low * middle), "edge:\nthe aperture problem", **text)
    ax.text(top / 5, top / 12, "corner:\nsolvable", **text)
    ax.text(middle, np.sqrt(min_eigenvalue * top), "λ2 can't exceed λ1", ha="center", color="0.35", fontsize=9)
    ax.set(xscale="log", yscale="log", xlim=(low, top), ylim=(low, top),
           xlabel="λ1, the larger eigenvalue", ylabel="λ2, the smaller eigenvalue")  # fmt: skip
    if points:
        ax.legend(loc="center left", fontsize=8)
    return ax


def structure_labels(image: ArrayLike, labels: ArrayLike, title: str = "", ax: Axes | None = None) -> Axes:
    """Lay the classes of `classify_structure` over the image they were found in.

    Parameters
    ----------
    image
        ``(H, W)`` or ``(H, W, 3)``.
    labels
        ``(H, W)``: 0 flat, 1 edge, 2 corner.
    title
        What it is.
    ax
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        The axes drawn on; its legend says how large a share each class has.

    Examples
    --------
    >>> ax = structure_labels(np.zeros((4, 4)), np.zeros((4, 4), int))
    """
    pixels = _picture(image)
    classes = _as_array(labels, "labels", "H", "W")
    grey = pixels if pixels.ndim == 2 else pixels.mean(-1)
    ax = _axes(ax, _size_for(pixels))
    ax.imshow(grey, cmap="gray", vmin=0, vmax=1 if pixels.dtype != np.uint8 else 255)
    for number in (1, 2):  # what is flat stays as it is
        color = np.array([int(LABELS[number][1][k : k + 2], 16) for k in (1, 3, 5)]) / 255
        veil = np.zeros((*classes.shape, 4))
        veil[classes == number] = (*color, 0.62)
        ax.imshow(veil, interpolation="nearest")
    share = {number: float(np.mean(classes == number)) for number in LABELS}
    handles = [
        Patch(
            facecolor=color if number else "white", edgecolor="black", alpha=0.8, label=f"{name}, {share[number]:.0%}"
        )
        for number, (name, color) in LABELS.items()
    ]
    ax.legend(handles=handles, loc="lower right", fontsize=8, framealpha=0.9)
    ax.set(title=title, xlabel="x (px)", ylabel="y (px)")
    return ax


def patches(
    named: Mapping[str, ArrayLike], gradients: Mapping[str, tuple[ArrayLike, ArrayLike]], reach: float = 3.0
) -> Figure:
    """Draw the deck's local patch analysis: the patch, its gradients, and how much a wrong motion would cost.

    Parameters
    ----------
    named
        Patches ``(h, w)`` by name.
    gradients
        By the same names, (Ix, Iy) of each patch, ``(h, w)`` each; brightness per px.
    reach
        Half the width of the motions shown, px per frame.

    Returns
    -------
    Figure
        One column a patch. The ellipse in the middle row spans two standard deviations of the gradients along the
        eigenvectors; the bottom row shows the sum of ``(Ix u + Iy v)²``: a bowl can be solved, a valley can't.

    Examples
    --------
    >>> noise = np.random.default_rng(0).random((7, 7))
    >>> figure = patches({"noise": noise}, {"noise": np.gradient(noise)[::-1]})
    """
    if not named or set(named) != set(gradients):
        raise ValueError(f"`gradients` must have the names of `named`; got {sorted(gradients)} for {sorted(named)}")
    figure, grid = plt.subplots(3, len(named), figsize=(2.9 * len(named), 8.2), layout="constrained", squeeze=False)
    flat = {name: tuple(np.asarray(g, float).ravel() for g in gradients[name]) for name in named}
    widest = max(float(np.abs(np.stack(g)).max()) for g in flat.values()) * 1.1 or 1.0
    tensors = {name: np.stack(g) @ np.stack(g).T for name, g in flat.items()}
    deepest = max(float(np.linalg.eigvalsh(J)[-1]) for J in tensors.values()) * reach**2 or 1.0
    motions = np.linspace(-reach, reach, 101)
    u, v = np.meshgrid(motions, motions)
    for column, name in enumerate(named):
        top, middle, bottom = grid[:, column]
        image(named[name], name, top)
        top.set(xticks=[], yticks=[], xlabel="", ylabel="")
        gx, gy = flat[name]
        J = tensors[name]
        values, vectors = np.linalg.eigh(J)
        middle.plot(gx, gy, "o", color=BLUE, markersize=4, alpha=0.6)
        angle = np.linspace(0, 2 * np.pi, 100)
        spread = 2 * np.sqrt(np.maximum(values, 0) / len(gx))
        middle.plot(*(vectors * spread) @ np.stack([np.cos(angle), np.sin(angle)]), color=VERMILION, linewidth=2)
        middle.set(xlim=(-widest, widest), ylim=(widest, -widest), aspect="equal",
                   title=f"λ1 = {values[1]:.2g}, λ2 = {values[0]:.2g}", xlabel="$I_x$ (brightness per px)")  # fmt: skip
        cost = J[0, 0] * u**2 + 2 * J[0, 1] * u * v + J[1, 1] * v**2
        shown = bottom.contourf(u, v, cost, levels=deepest * np.linspace(0, 1, 21) ** 2, cmap="cividis", extend="max")
        bottom.plot(0, 0, "*", color="white", markeredgecolor="black", markersize=13)
        bottom.set(ylim=(reach, -reach), aspect="equal", xlabel="error in u (px)")
    grid[1, 0].set_ylabel("$I_y$ (brightness per px)")
    grid[2, 0].set_ylabel("error in v (px)")
    figure.colorbar(
        shown, ax=grid[2, -1], label="squared residual, summed", ticks=[0, deepest], format="%.2g", shrink=0.8
    )
    return figure


def pyramid(levels: Sequence[ArrayLike], ax: Axes | None = None) -> Axes:
    """Draw a pyramid in one frame: the finest level at the left, the others stacked beside it, all to one scale.

    Parameters
    ----------
    levels
        Images ``(H, W)`` or ``(H, W, 3)``, finest first, as `gaussian_pyramid` returns them.
    ax
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        The axes drawn on; each level carries its size.

    Examples
    --------
    >>> ax = pyramid([np.ones((8, 8)), np.ones((4, 4)), np.ones((2, 2))])
    """
    shapes = [_picture(level, "levels").shape for level in levels]
    if not shapes:
        raise ValueError("`levels` is empty; pass at least one image")
    gap = max(2, shapes[0][1] // 40)
    beside = shapes[1][1] + gap if len(shapes) > 1 else 0
    height = max(shapes[0][0], sum(s[0] + 2 * gap for s in shapes[1:]))
    sheet = np.ones((height, shapes[0][1] + beside, *shapes[0][2:]))
    ax = _axes(ax, _size_for(sheet, 8.0))
    y = 0
    for k, level in enumerate(levels):
        pixels = _picture(level)
        pixels = pixels / 255 if pixels.dtype == np.uint8 else pixels
        h, w = pixels.shape[:2]
        x = 0 if k == 0 else shapes[0][1] + gap
        sheet[y : y + h, x : x + w] = pixels
        if k == 0 or h > height / 12:
            ax.text(x + gap / 2, y + gap / 2, f"{w} × {h}", va="top", fontsize=8, color="white", bbox=_BOX)
        y += 0 if k == 0 else h + 2 * gap
    ax.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.axis("off")
    return ax


def error_heatmap(
    flow: ArrayLike,
    truth: ArrayLike,
    valid: ArrayLike | None = None,
    max_error: float | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Show the endpoint error of every pixel; what has no ground truth is hatched.

    Parameters
    ----------
    flow, truth
        ``(H, W, 2)``, px per frame.
    valid
        ``(H, W)`` bool: where the truth is known; everywhere if not given.
    max_error
        The error at the end of the color scale, px; the 99th percentile if not given.
    title
        Stands before the mean and median error, which the title always gives.
    ax
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        The axes drawn on.

    Examples
    --------
    >>> error_heatmap(np.ones((4, 4, 2)), np.zeros((4, 4, 2))).get_title()
    'mean 1.41 px, median 1.41 px'
    """
    found, true = _as_array(flow, "flow", "H", "W", "2"), _as_array(truth, "truth", "H", "W", "2")
    if found.shape != true.shape:
        raise ValueError(f"`flow` and `truth` must have one shape; got {found.shape} and {true.shape}")
    known = np.ones(found.shape[:2], bool) if valid is None else _as_array(valid, "valid", "H", "W").astype(bool)
    error = np.ma.masked_where(~known, np.hypot(*np.moveaxis(found - np.where(known[..., None], true, 0), -1, 0)))
    inside = error.compressed()
    if inside.size == 0:
        raise ValueError("`valid` is False everywhere, so there is no error to show")
    limit = max_error or float(np.percentile(inside, 99)) or 1.0
    ax = _axes(ax, _size_for(found, bar=True))
    ax.add_patch(
        plt.Rectangle((-0.5, -0.5), *found.shape[1::-1], hatch="////", facecolor="0.85", edgecolor="0.6", zorder=-1)
    )
    shown = ax.imshow(error, cmap="inferno", vmin=0, vmax=limit, interpolation="nearest")
    numbers = f"mean {inside.mean():.3g} px, median {np.median(inside):.3g} px"
    ax.set(title=f"{title}: {numbers}" if title else numbers, xlabel="x (px)", ylabel="y (px)")
    ax.figure.colorbar(shown, ax=ax, aspect=30, pad=0.02, label="endpoint error (px)", extend="max")
    return ax


def refinement(signal0: ArrayLike, signal1: ArrayLike, position: int, estimates: Sequence[float]) -> Figure:
    """Draw the deck's iterative refinement in one dimension: slide a signal by each estimate until it meets the other.

    Parameters
    ----------
    signal0, signal1
        ``(N,)``: brightness along a line in the first and the second frame.
    position
        The sample whose motion is sought.
    estimates
        The displacement after 0, 1, 2, … steps, px.

    Returns
    -------
    Figure
        One panel an estimate.

    Examples
    --------
    >>> x = np.arange(20.0)
    >>> figure = refinement(np.sin(x / 4), np.sin((x - 1) / 4), 10, [0.0, 0.9, 1.0])
    """
    first, second = _as_array(signal0, "signal0", "N"), _as_array(signal1, "signal1", "N")
    x = np.arange(len(first))
    figure, axes = plt.subplots(1, len(estimates), figsize=(3.1 * len(estimates), 2.7), layout="constrained",
                                sharey=True, squeeze=False)  # fmt: skip
    for k, (ax, d) in enumerate(zip(axes[0], estimates, strict=True)):
        moved = np.interp(x + d, x, second)
        ax.plot(x, first, color=BLUE, linewidth=2, label="$I_0(x)$")
        ax.plot(x, moved, color=VERMILION, linewidth=2, linestyle="--", label="$I_1(x + d)$")
        slope = np.gradient(first)[position]
        near = np.abs(x - position) <= max(3, len(x) // 12)
        ax.plot(x[near], first[position] + slope * (x[near] - position), color="black", linewidth=1)
        ax.plot([position] * 2, [first[position], moved[position]], "o-", color=ORANGE, markersize=5, zorder=4)
        ax.set(title=f"d{k} = {d:.3f} px", xlabel="x (px)")
    axes[0, 0].set_ylabel("brightness")
    axes[0, 0].legend(fontsize=8)
    return figure


def correlation(
    volume: ArrayLike, at: tuple[int, int], truth: ArrayLike | None = None, title: str = "", ax: Axes | None = None
) -> Axes:
    """Show one pixel of a correlation volume: how well it fits each displacement that was tried.

    Parameters
    ----------
    volume
        ``((2D+1)², H, W)``, as `correlation_volume` returns it.
    at
        (x, y) of the pixel.
    truth
        The true (u, v) of that pixel, px, to be marked.
    title
        What it is.
    ax
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        The axes drawn on; the best displacement is circled.

    Examples
    --------
    >>> ax = correlation(np.arange(9.0).reshape(9, 1, 1), at=(0, 0))
    """
    scores = _as_array(volume, "volume", "(2D+1)^2", "H", "W")
    side = round(float(np.sqrt(len(scores))))
    if side**2 != len(scores) or side % 2 == 0:
        raise ValueError(f"`volume` must have (2D+1)² displacements first; got {len(scores)}")
    x, y = at
    reach = side // 2
    here = scores[:, y, x].reshape(side, side)
    best = np.unravel_index(np.argmax(here), here.shape)
    ax = _axes(ax, (5.0, 4.2))
    shown = ax.imshow(here, cmap="cividis", extent=(-reach - 0.5, reach + 0.5, reach + 0.5, -reach - 0.5))
    ax.plot(best[1] - reach, best[0] - reach, "o", markersize=15, markerfacecolor="none", markeredgecolor=VERMILION,
            markeredgewidth=2.5, label="best")  # fmt: skip
    if truth is not None:
        ax.plot(*np.asarray(truth, float), "*", color="white", markeredgecolor="black", markersize=13, label="truth")
    ax.legend(loc="lower left", fontsize=8)
    ax.set(title=title, xlabel="dx (px)", ylabel="dy (px)")
    ax.figure.colorbar(shown, ax=ax, label="correlation")
    return ax
