"""The picture of a network, read off its tree: one box for each layer or block, from left to right.

A box is as tall as its answer has rows, as wide as it has channels and as deep as it has frames, each on a scale of
doublings, so that the first layer and the last fit on one page. Pathways lie one below the other, joined by arrows
where one reads the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vidlearn.nets.net import Net, Row
from vidlearn.nets.nodes import (
    Arrangement,
    Branches,
    Conv,
    Lateral,
    Layer,
    Linear,
    Node,
    NonLocalMean,
    Pathways,
    Residual,
)
from vidlearn.nets.signal import Shape
from vidlearn.nets.tokens import Attend, PatchEmbed, PooledAttend, Slide

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

_COLORS = {
    "Conv": "#0072B2",
    "Residual": "#009E73",
    "Branches": "#CC79A7",
    "NonLocal": "#56B4E9",
    "Attention": "#56B4E9",
    "MaxPool": "#E69F00",
    "MeanPool": "#E69F00",
    "GlobalPool": "#E69F00",
    "MergeTime": "#999999",
    "Linear": "#D55E00",
}
_SHOWN = ("Conv", "PatchEmbed", "Pool", "GlobalPool", "MergeTime", "Linear")


@dataclass
class _Box:
    kind: str
    text: str
    shape: Shape
    times: int = 1


@dataclass
class _Lanes:
    """Pathways: a row of boxes for each."""

    lanes: list[list[_Box]]


@dataclass
class _Arrow:
    """What the second pathway tells the first one."""

    text: str


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
    drawn = _merged([_Box("input", "input", start), *_boxes("", net.body, rows)])
    boxes = [box for item in drawn for box in _within(item)]
    tallest = max(_size(box)[1] for box in boxes)
    words = 0.32 * max(box.text.count("\n") + 1 + (box.times > 1) for box in boxes)
    deep = max((len(item.lanes) for item in drawn if isinstance(item, _Lanes)), default=1)
    drop = tallest + words + 2.6  # from one pathway to the next
    figure, ax = plt.subplots()
    x, first = 0.0, next((item for item in drawn if isinstance(item, _Lanes)), None)
    for item in drawn:
        if isinstance(item, _Box):
            x = _draw(ax, item, x, -drop * (deep - 1) / 2, tallest)
        elif isinstance(item, _Lanes):
            ends = []
            x += 1.1 * (item is first)  # where the input's shape is written
            for i, lane in enumerate(item.lanes):
                end = x
                for box in lane:
                    end = _draw(ax, box, end, -drop * i, tallest)
                ends.append(end)
            x = max(ends)
        else:
            x += 1.3  # a column of its own, right of the shapes that are written above the second pathway
            ax.annotate("", (x, 0.2), (x, -drop + tallest), arrowprops={"arrowstyle": "->", "color": "#D55E00"})
            ax.text(x - 0.15, -0.35, item.text, fontsize=7, color="#D55E00", ha="right", va="top")
            x += 0.4
    bottom, top = -0.6 - words - drop * (deep - 1), tallest + 2.0
    ax.set(xlim=(-0.3, x + 0.8), ylim=(bottom, top), aspect="equal")
    ax.axis("off")
    kinds = list(dict.fromkeys(box.kind for box in boxes if box.kind in _COLORS))
    names = {"MaxPool": "pool", "MeanPool": "pool", "GlobalPool": "pool", "Conv": "convolution", "Linear": "fully connected",
             "MergeTime": "time into channels", "Residual": "residual block", "Branches": "branches",
             "NonLocal": "non-local block", "Attention": "attention and MLP"}  # fmt: skip
    legend = {names[kind]: Patch(color=_COLORS[kind]) for kind in kinds}
    figure.legend(legend.values(), legend.keys(), loc="lower center", ncols=len(legend), frameon=False, fontsize=8)
    ax.set_title(f"{net.name}: {_large(net.parameters())} weights, {_large(net.macs(start))} MACs", fontsize=10)
    figure.set_size_inches(max(5.0, 0.46 * x), 0.46 * (top - bottom) + 0.8)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.1, top=0.92)
    return figure


def _within(item: _Box | _Lanes | _Arrow) -> list[_Box]:
    return (
        [item]
        if isinstance(item, _Box)
        else [b for lane in item.lanes for b in lane]
        if isinstance(item, _Lanes)
        else []
    )


def _merged(items: list[Any]) -> list[Any]:
    """Boxes that repeat as one; a row of pathways that the next one continues as one."""
    done: list[Any] = []
    for item in items:
        last = done[-1] if done else None
        if isinstance(item, _Lanes):
            item = _Lanes([_merged(lane) for lane in item.lanes])
        elif isinstance(item, _Box) and isinstance(last, _Box) and _same(item, last):
            last.times += 1
            last.text = _either(last.text, item.text)
            continue
        done.append(item)
    return done


def _same(a: _Box, b: _Box) -> bool:
    """Whether two boxes can be drawn as one."""
    alike = a.text == b.text or (a.kind == "Residual" and _form(a.text) == _form(b.text))
    return alike and (a.kind, a.shape) == (b.kind, b.shape)


def _boxes(path: str, node: Node, rows: dict[str, Row]) -> list[Any]:
    """What is drawn of a node: itself, or its parts."""
    if isinstance(node, Layer):
        if type(node).__name__ not in _SHOWN:
            return []
        kind = str(node).split()[0] if type(node).__name__ == "Pool" else node.kind
        kind = "Conv" if isinstance(node, PatchEmbed) else kind
        return [_Box(kind, _text(node), rows[path].shape)]
    assert isinstance(node, Arrangement)
    if isinstance(node, Lateral):
        convolutions = [part for _, part in node.steps if isinstance(part, Conv)]
        return [_Arrow("\n".join(f"{_times(c.kernel)}\n/{_times(c.stride)}" for c in convolutions))]  # type: ignore[arg-type]
    if any(isinstance(part, Residual) and not name for name, part in node.parts()):  # a transformer's block
        inside = [row for name, row in rows.items() if name.startswith(f"{path}.")]
        looks = {Attend: lambda look: look.kind, PooledAttend: lambda _: "to fewer", Slide: lambda _: "near"}
        text = "\n".join(looks[type(row.layer)](row.layer) for row in inside if type(row.layer) in looks)
        return [_Box("Attention", text, inside[-1].shape)]
    if isinstance(node, Residual | Branches):
        inside = [row for name, row in rows.items() if name.startswith(f"{path}.")]
        convolutions = [row.layer for row in inside if isinstance(row.layer, Conv)]
        if isinstance(node, Branches):
            channels = sum(_last(path, branch[-1][0], rows).shape[0] for branch in node.paths)
            return [_Box("Branches", f"{len(node.paths)} branches", (channels, *inside[-1].shape[1:]))]
        if any(isinstance(row.layer, NonLocalMean) for row in inside):
            return [_Box("NonLocal", "look at\nall", inside[-1].shape)]
        short = {name for name, _ in node.shortcut}
        body = [c for c, row in zip(convolutions, [r for r in inside if isinstance(r.layer, Conv)], strict=True)
                if row.path.removeprefix(f"{path}.").split(".")[0] not in short]  # fmt: skip
        return [_Box("Residual", "\n".join(_times(c.kernel) for c in body), inside[-1].shape)]
    if isinstance(node, Pathways):
        lanes = [
            [box for name, part in chain for box in _boxes(_joined(path, name), part, rows)] for chain in node.paths
        ]
        return [_Lanes(lanes)]
    return [box for name, part in node.parts() for box in _boxes(_joined(path, name), part, rows)]


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name


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
    if isinstance(layer, PatchEmbed):
        return f"{_times(layer.kernel)}\npatches"
    if isinstance(layer, Linear):
        return "linear"
    kernel = getattr(layer, "kernel", None)
    return f"pool\n{_times(kernel)}" if kernel else {"GlobalPool": "mean", "MergeTime": "merge\ntime"}[layer.kind]


def _size(box: _Box) -> tuple[float, float, float]:
    """Width, height and depth on the page: doublings of channels, rows and frames."""
    channels, *positions = box.shape
    if not positions:
        return 0.3, 0.35 * math.log2(1 + channels), 0.0
    if len(positions) == 1:  # tokens, features last
        channels, positions = positions[0], [math.isqrt(channels)] * 2
    height = 0.25 + 0.6 * math.log2(1 + positions[-2] / 4)
    depth = 0.2 * math.log2(positions[0]) if len(positions) == 3 else 0.0
    return 0.2 + 0.1 * math.log2(1 + channels), height, depth


def _draw(ax: Axes, box: _Box, x: float, base: float, tallest: float) -> float:
    """Draw one box at x on a pathway's base line, and return where the next one starts."""
    from matplotlib.patches import Polygon

    width, height, depth = _size(box)
    color = _COLORS.get(box.kind, "#BBBBBB")
    y = base + (tallest - height) / 2
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
    ax.text(x + (width + shift) / 2, base - 0.35, lines, ha="center", va="top", fontsize=7, linespacing=1.1)
    ax.text(x + width / 2, base + tallest + 0.5, _times(box.shape), ha="left", va="bottom", fontsize=7, rotation=35,
            rotation_mode="anchor")  # fmt: skip
    return x + room + 0.25
