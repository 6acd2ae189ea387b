"""The picture of a network, read off its tree: one box for each layer or block, from left to right.

A box is as tall as its answer has rows, as wide as it has channels and as deep as it has frames, each on a scale of
doublings, so that the first layer and the last fit on one page.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vidlearn.nets.net import Net, Row
from vidlearn.nets.nodes import Arrangement, Branches, Conv, Layer, Linear, Node, Residual
from vidlearn.nets.signal import Shape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

_COLORS = {
    "Conv": "#0072B2",
    "Residual": "#009E73",
    "Branches": "#CC79A7",
    "MaxPool": "#E69F00",
    "MeanPool": "#E69F00",
    "GlobalPool": "#E69F00",
    "MergeTime": "#999999",
    "Linear": "#D55E00",
}
_SHOWN = ("Conv", "Pool", "GlobalPool", "MergeTime", "Linear")


@dataclass
class _Box:
    kind: str
    text: str
    shape: Shape
    axes: int  # of the positions, before everything became one row
    times: int = 1


def draw(net: Net, shape: Shape | None = None) -> Figure:
    """Draw a network for inputs of `shape`; blocks that repeat are drawn once, with how often they come.

    Parameters
    ----------
    net
        Any network.
    shape
        (C, T, H, W) or (C, H, W); the usual input if not given.

    Returns
    -------
    Figure
        Boxes from the input on the left to the answer on the right.

    Examples
    --------
    >>> from vidlearn import nets
    >>> figure = nets.slow_fusion().draw()
    """
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch

    start = tuple(net.input if shape is None else shape)
    rows = {row.path: row for row in net.rows(start)}
    boxes = [_Box("input", "input", start, len(start) - 1)]
    for box in _boxes("", net.body, rows):
        last = boxes[-1]
        same = box.text == last.text or (box.kind == "Residual" and _form(box.text) == _form(last.text))
        if same and (box.kind, box.shape) == (last.kind, last.shape):
            last.times += 1
            last.text = _either(last.text, box.text)
        else:
            boxes.append(box)
    tallest = max(_size(box)[1] for box in boxes)
    figure, ax = plt.subplots()
    x = 0.0
    for box in boxes:
        x = _draw(ax, box, x, tallest)
    lines = max(box.text.count("\n") + 1 + (box.times > 1) for box in boxes)
    bottom, top = -0.6 - 0.32 * lines, tallest + 2.0
    ax.set(xlim=(-0.3, x + 0.8), ylim=(bottom, top), aspect="equal")
    ax.axis("off")
    kinds = list(dict.fromkeys(box.kind for box in boxes if box.kind in _COLORS))
    names = {"MaxPool": "pool", "MeanPool": "pool", "GlobalPool": "pool", "Conv": "convolution", "Linear": "fully connected",
             "MergeTime": "time into channels", "Residual": "residual block", "Branches": "branches"}  # fmt: skip
    legend = {names[kind]: Patch(color=_COLORS[kind]) for kind in kinds}
    figure.legend(legend.values(), legend.keys(), loc="lower center", ncols=len(legend), frameon=False, fontsize=8)
    ax.set_title(f"{net.name}: {_large(net.parameters())} weights, {_large(net.macs(start))} MACs", fontsize=10)
    figure.set_size_inches(max(5.0, 0.46 * x), 0.46 * (top - bottom) + 0.8)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.1, top=0.92)
    return figure


def _boxes(path: str, node: Node, rows: dict[str, Row]) -> list[_Box]:
    """What is drawn of a node: itself, or its parts."""
    if isinstance(node, Layer):
        if type(node).__name__ not in _SHOWN:
            return []
        row = rows[path]
        kind = str(node).split()[0] if type(node).__name__ == "Pool" else node.kind
        return [_Box(kind, _text(node), row.shape, len(row.shape) - 1)]
    assert isinstance(node, Arrangement)
    if isinstance(node, Residual | Branches):
        inside = [row for name, row in rows.items() if name.startswith(f"{path}.")]
        convolutions = [row.layer for row in inside if isinstance(row.layer, Conv)]
        if isinstance(node, Branches):
            text = f"{len(node.paths)} branches"
            channels = sum(_last(path, branch[-1][0], rows).shape[0] for branch in node.paths)
            shape = (channels, *inside[-1].shape[1:])
            return [_Box("Branches", text, shape, len(shape) - 1)]
        short = {name for name, _ in node.shortcut}
        body = [c for c, row in zip(convolutions, [r for r in inside if isinstance(r.layer, Conv)], strict=True)
                if row.path.removeprefix(f"{path}.").split(".")[0] not in short]  # fmt: skip
        shape = inside[-1].shape
        return [_Box("Residual", "\n".join(_times(c.kernel) for c in body), shape, len(shape) - 1)]
    return [box for name, part in node.parts() for box in _boxes(f"{path}.{name}" if path else name, part, rows)]


def _form(text: str) -> list[int]:
    """How many lines, and how many numbers in each."""
    return [line.count("×") for line in text.split("\n")]


def _either(a: str, b: str) -> str:
    """Two blocks' kernels, "3|1×1×1" where one has 3×1×1 and the other 1×1×1."""

    def merged(one: str, two: str) -> str:
        pairs = zip(one.split("×"), two.split("×"), strict=True)
        return "×".join(x if y in x.split("|") else f"{x}|{y}" for x, y in pairs)

    return "\n".join(merged(one, two) for one, two in zip(a.split("\n"), b.split("\n"), strict=True))


def _last(path: str, name: str, rows: dict[str, Row]) -> Row:
    """The last layer inside a part."""
    prefix = f"{path}.{name}"
    return next(row for row in reversed(rows.values()) if row.path == prefix or row.path.startswith(f"{prefix}."))


def _times(sizes: Shape) -> str:
    return "×".join(map(str, sizes))


def _large(n: int) -> str:
    return f"{n / 1e9:.2f} G" if n >= 1e9 else f"{n / 1e6:.2f} M" if n >= 1e6 else f"{n:,}"


def _text(layer: Layer) -> str:
    if isinstance(layer, Conv):
        return _times(layer.kernel) + (f"\n{layer.groups} groups" if layer.groups > 1 else "")
    if isinstance(layer, Linear):
        return "linear"
    kernel = getattr(layer, "kernel", None)
    return f"pool\n{_times(kernel)}" if kernel else {"GlobalPool": "mean", "MergeTime": "merge\ntime"}[layer.kind]


def _size(box: _Box) -> tuple[float, float, float]:
    """Width, height and depth on the page: doublings of channels, rows and frames."""
    channels, *positions = box.shape
    if not positions:
        return 0.3, 0.35 * math.log2(1 + channels), 0.0
    height = 0.25 + 0.6 * math.log2(1 + positions[-2] / 4)
    depth = 0.2 * math.log2(positions[0]) if len(positions) == 3 else 0.0
    return 0.2 + 0.1 * math.log2(1 + channels), height, depth


def _draw(ax: Axes, box: _Box, x: float, tallest: float) -> float:
    """Draw one box at x, and return where the next one starts."""
    from matplotlib.patches import Polygon

    width, height, depth = _size(box)
    color = _COLORS.get(box.kind, "#BBBBBB")
    y = (tallest - height) / 2
    shift, rise = 0.7 * depth, 0.5 * depth
    faces = [([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], 1.0)]
    if depth:
        faces += [
            ([(x, y + height), (x + width, y + height), (x + width + shift, y + height + rise), (x + shift, y + height + rise)], 0.55),
            ([(x + width, y), (x + width + shift, y + rise), (x + width + shift, y + height + rise), (x + width, y + height)], 0.75),
        ]  # fmt: skip
    for corners, alpha in faces:
        ax.add_patch(Polygon(corners, facecolor=color, alpha=alpha, edgecolor="white", linewidth=0.6))
    if box.kind == "Residual":  # the way around
        ax.annotate("", (x + width, y - 0.05), (x, y - 0.05), arrowprops={"arrowstyle": "->", "connectionstyle": "arc3,rad=0.6", "color": color})  # fmt: skip
    if box.kind == "Branches":
        for i in range(1, 4):
            ax.plot([x, x + width], [y + height * i / 4] * 2, color="white", linewidth=0.8)
    lines = box.text + (f"\n{box.times} times" if box.times > 1 else "")
    room = max(width + shift, 1.2)
    ax.text(x + (width + shift) / 2, -0.35, lines, ha="center", va="top", fontsize=7, linespacing=1.1)
    ax.text(x + width / 2, tallest + 0.5, _times(box.shape), ha="left", va="bottom", fontsize=7, rotation=35,
            rotation_mode="anchor")  # fmt: skip
    return x + room + 0.25
