"""Figures of CS231n lecture 10: how large clips are, what each network has seen, and what C3D costs."""

from __future__ import annotations

import functools
from collections.abc import Callable

from vidlearn import nets
from vidlearn.nets import Row
from vidlearn.nets.nodes import Conv, Layer, Linear
from vidlearn.slides.figure import Figure

GIB, KIB = 2.0**30, 2.0**10
MACS = "multiply-accumulates of convolutions and linear layers, one sample, no bias, norm or pooling"


# ------------------------------------------------------------------ how large clips are


def clip_bytes(frames: float, height: int, width: int) -> float:
    """Three bytes a pixel."""
    return 3.0 * frames * height * width


_BIG = "Example task: Video Classification (Problem: Videos are big!)"
_SIZES = [
    Figure(
        "CS231n", _BIG, "one minute of SD video, 640×480", "~1.5",
        lambda: clip_bytes(30 * 60, 480, 640) / 1e9, "GB", "30 frames a second, 3 bytes a pixel",
        ("GiB", lambda: clip_bytes(30 * 60, 480, 640) / GIB), None, "matches under another convention",
        "1.66 GB are 1.55 GiB: the slide's GB are 2³⁰ bytes.",
    ),
    Figure(
        "CS231n", _BIG, "one minute of HD video, 1920×1080", "~10",
        lambda: clip_bytes(30 * 60, 1080, 1920) / 1e9, "GB", "30 frames a second, 3 bytes a pixel",
        ("GiB", lambda: clip_bytes(30 * 60, 1080, 1920) / GIB), None, "matches under another convention",
        "11.2 GB are 10.4 GiB.",
    ),
    Figure(
        "CS231n", _BIG, "a clip of 16 frames, 112×112", "588",
        lambda: clip_bytes(16, 112, 112) / 1e3, "KB", "3 bytes a pixel",
        ("KiB", lambda: clip_bytes(16, 112, 112) / KIB), None, "matches under another convention",
        "602,112 bytes are exactly 588 KiB.",
    ),
    Figure("CS231n", _BIG, "16 frames at 5 frames a second", "3.2", lambda: 16 / 5, "s", "T / fps (from the first "
           "frame to the last are 3.0 s)"),
]  # fmt: skip


# ------------------------------------------------------------------ what each network has seen


def _times(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))


_THREE = "Early Fusion vs Late Fusion vs 3D CNN"
#: as printed: layer, size, receptive field
_TABLE: dict[str, tuple[str, Callable[[], nets.Net], list[tuple[str, str, str]]]] = {
    "Late Fusion": ("late_fusion", nets.late_fusion, [
        ("Conv2D(3x3, 3->12)", "12 x 20 x 64 x 64", "1 x 3 x 3"),
        ("Pool2D(4x4)", "12 x 20 x 16 x 16", "1 x 6 x 6"),
        ("Conv2D(3x3, 12->24)", "24 x 20 x 16 x 16", "1 x 14 x 14"),
        ("GlobalAvgPool", "24 x 1 x 1 x 1", "20 x 64 x 64"),
    ]),
    "Early Fusion": ("early_fusion", nets.early_fusion, [
        ("Conv2D(3x3, 3*20->12)", "12 x 64 x 64", "20 x 3 x 3"),
        ("Pool2D(4x4)", "12 x 16 x 16", "20 x 6 x 6"),
        ("Conv2D(3x3, 12->24)", "24 x 16 x 16", "20 x 14 x 14"),
        ("GlobalAvgPool", "24 x 1 x 1", "20 x 64 x 64"),
    ]),
    "3D CNN": ("slow_fusion", nets.slow_fusion, [
        ("Conv3D(3x3x3, 3->12)", "12 x 20 x 64 x 64", "3 x 3 x 3"),
        ("Pool3D(4x4x4)", "12 x 5 x 16 x 16", "6 x 6 x 6"),
        ("Conv3D(3x3x3, 12->24)", "24 x 5 x 16 x 16", "14 x 14 x 14"),
        ("GlobalAvgPool", "24 x 1 x 1", "20 x 64 x 64"),
    ]),
}  # fmt: skip


@functools.cache
def _rows(name: str) -> dict[str, Row]:
    return {row.path: row for row in nets.zoo()[name]().rows()}


def _three() -> list[Figure]:
    found = []
    for title, (name, _, lines) in _TABLE.items():
        for path, (layer, size, field) in zip(("conv1", "pool1", "conv2", "pool2"), lines, strict=True):

            def shape(name: str = name, path: str = path) -> str:
                return _times(_rows(name)[path].shape)

            def seen(name: str = name, path: str = path) -> str:
                return _times(_rows(name)[path].clipped)

            lost = title == "3D CNN" and layer == "GlobalAvgPool"
            found.append(
                Figure(
                    "CS231n",
                    _THREE,
                    f"{title}, {layer}: size",
                    size,
                    shape,
                    "",
                    "“same” padding, a pool's stride is its kernel",
                    expected="slide is wrong" if lost else "matches",
                    explanation="An axis is missing: a 3D network's average has time as well, as the late fusion row."
                    if lost
                    else "",
                )
            )
            whole = layer == "GlobalAvgPool"
            found.append(
                Figure(
                    "CS231n",
                    _THREE,
                    f"{title}, {layer}: receptive field",
                    field,
                    seen,
                    "",
                    "r ← r + (k − 1)·jump, no larger than the input" if whole else "r ← r + (k − 1)·jump",
                    explanation=f"The recurrence alone gives {_times(_rows(name)[path].field)}; the input ends before."
                    if whole
                    else "",
                )
            )
    return found


def _slides_over(net: nets.Net) -> str:
    """The axes along which the answer of the first convolution still has positions."""
    first = next(row for row in net.rows() if isinstance(row.layer, Conv))
    axes = ("t", "y", "x")[-len(first.shape[1:]) :]
    return " and ".join(sorted(axes, key="xyt".index)) if len(axes) == 2 else "x, y and t"


# ------------------------------------------------------------------ what C3D costs


@functools.cache
def _c3d() -> list[Row]:
    return nets.c3d(classes=487).rows()


def _c3d_sizes() -> list[Figure]:
    printed = [
        ("Conv1 (3x3x3)", "conv1", "64 x 16 x 112 x 112"), ("Pool1 (1x2x2)", "pool1", "64 x 16 x 56 x 56"),
        ("Conv2 (3x3x3)", "conv2", "128 x 16 x 56 x 56"), ("Pool2 (2x2x2)", "pool2", "128 x 8 x 28 x 28"),
        ("Conv3a (3x3x3)", "conv3a", "256 x 8 x 28 x 28"), ("Conv3b (3x3x3)", "conv3b", "256 x 8 x 28 x 28"),
        ("Pool3 (2x2x2)", "pool3", "256 x 4 x 14 x 14"), ("Conv4a (3x3x3)", "conv4a", "512 x 4 x 14 x 14"),
        ("Conv4b (3x3x3)", "conv4b", "512 x 4 x 14 x 14"), ("Pool4 (2x2x2)", "pool4", "512 x 2 x 7 x 7"),
        ("Conv5a (3x3x3)", "conv5a", "512 x 2 x 7 x 7"), ("Conv5b (3x3x3)", "conv5b", "512 x 2 x 7 x 7"),
        ("Pool5", "pool5", "512 x 1 x 3 x 3"), ("FC6", "fc6", "4096"), ("FC7", "fc7", "4096"),
    ]  # fmt: skip

    def shape(path: str) -> Callable[[], str]:
        return lambda: _times(next(row.shape for row in _c3d() if row.path == path))

    convention = "padding 1, pools rounded down"
    return [
        Figure("CS231n", _C3D, f"C3D, {name}: size", size, shape(path), "", convention) for name, path, size in printed
    ]


_C3D = "C3D: The VGG of 3D CNNs"


def macs_of(net: nets.Net, kinds: type[Layer] | tuple[type[Layer], ...] = (Conv, Linear)) -> int:
    """Multiply-accumulates of the layers of some kinds."""
    return sum(row.macs for row in net.rows() if isinstance(row.layer, kinds))


def _slipped_c3d() -> float:
    """C3D's total as the slide has it: the volume of a 3×3×3 kernel multiplied into the linear layers too."""
    net = nets.c3d(classes=487)
    return (macs_of(net, Conv) + 27 * macs_of(net, Linear)) / 1e9


def _slipped_vgg() -> float:
    """VGG-16's total without one of its largest convolutions."""
    net = nets.vgg16()
    return (net.macs() - max(row.macs for row in net.rows())) / 1e9


def _c3d_costs() -> list[Figure]:
    printed = {
        "conv1": "1.04", "conv2": "11.10", "conv3a": "5.55", "conv3b": "11.10", "conv4a": "2.77", "conv4b": "5.55",
        "conv5a": "0.69", "conv5b": "0.69", "fc6": "0.51", "fc7": "0.45", "fc8": "0.05",
    }  # fmt: skip

    def cost(path: str, times: int = 1) -> Callable[[], float]:
        return lambda: times * next(row.macs for row in _c3d() if row.path == path) / 1e9

    found = []
    for path, value in printed.items():
        full = path.startswith("fc")
        found.append(
            Figure(
                "CS231n",
                _C3D,
                f"C3D, {path.upper() if full else path.capitalize()}",
                value,
                cost(path),
                "GMACs",
                MACS,
                None,
                cost(path, 27) if full else None,
                "slide is wrong" if full else "matches",
                "27 times too much: a linear layer has no 3×3×3 kernel." if full else "",
            )
        )
    return found


def _prefix() -> str:
    """The column's heading under which its rows of convolutions are right."""
    first = next(row.macs for row in _c3d() if row.path == "conv1")
    return "GFLOPs" if first >= 1e9 else "MFLOPs"


FIGURES = [
    *_SIZES,
    *_three(),
    Figure(
        "CS231n", "2D Conv (Early Fusion) vs 3D Conv (3D CNN)", "early fusion's kernel slides over", "x and y",
        lambda: _slides_over(nets.early_fusion()), "", "axes that the answer still has",
    ),
    Figure(
        "CS231n", "2D Conv (Early Fusion) vs 3D Conv (3D CNN)", "the 3D kernel slides over", "x and y",
        lambda: _slides_over(nets.slow_fusion()), "", "axes that the answer still has", expected="slide is wrong",
        explanation="Over time as well; that is why it is shift-invariant in time, as the same slide says.",
    ),
    *_c3d_sizes(),
    Figure(
        "CS231n", _C3D, "C3D, heading of the column", "MFLOPs", _prefix, "", "FLOPs as papers say them: " + MACS,
        expected="slide is wrong", explanation="A thousand times more: conv1 alone takes 1.04 billion.",
    ),
    *_c3d_costs(),
    Figure(
        "CS231n", _C3D, "C3D in total", "39.5", lambda: nets.c3d(classes=487).macs() / 1e9, "GFLOP", MACS, None,
        _slipped_c3d, "slide is wrong", "The exact sum of the slide's rows, and so of their 27-fold linear layers too.",
    ),
    Figure("CS231n", _C3D, "AlexNet", "0.7", lambda: nets.alexnet().macs() / 1e9, "GFLOP", MACS + "; one tower"),
    Figure(
        "CS231n", _C3D, "VGG-16", "13.6", lambda: nets.vgg16().macs() / 1e9, "GFLOP", MACS, None, _slipped_vgg,
        "slide is wrong", "One of its 1.85-billion convolutions is missing (which one can't be told).",
    ),
    Figure(
        "CS231n", _C3D, "C3D over VGG-16", "2.9", lambda: nets.c3d(classes=487).macs() / nets.vgg16().macs(), "×", MACS,
        None, lambda: _slipped_c3d() / _slipped_vgg(), "slide is wrong", "It follows from the two slips.",
    ),
]  # fmt: skip
