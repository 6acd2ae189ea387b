"""Figures of the SJTU deck: parameters and costs of fused two-stream and 3D networks, and the price of flow."""

from __future__ import annotations

import math
from collections.abc import Callable

from vidlearn import nets
from vidlearn.nets.nodes import Conv, Linear, Norm
from vidlearn.slides import attention
from vidlearn.slides.figure import Figure

MACS = "multiply-accumulates of convolutions and linear layers, one view, no bias, norm or pooling"
WITHOUT_NORM = "weights of convolutions and the linear layer with its bias; batch norm not counted; 400 classes"


def parameters(net: nets.Net, *, norm: bool = False, bias: bool = True) -> float:
    """Count in millions what a network learns, with or without batch norm's and convolutions' offsets."""
    return (
        sum(
            math.prod(shape)
            for layer in net.layers().values()
            if norm or not isinstance(layer, Norm)
            for name, shape in layer.learned().items()
            if bias or name != "bias"
        )
        / 1e6
    )


# ------------------------------------------------------------------ two-stream fusion

D = 512  # channels where the towers meet


def _tower(*, bias: bool = True) -> dict[str, float]:
    """The parameters of a VGG-M-2048 tower on ten flow fields, in millions: of each layer, by its name."""
    net = nets.vgg_m_2048(classes=101, channels=20)
    return {
        path: sum(math.prod(s) for n, s in layer.learned().items() if bias or n != "bias") / 1e6
        for path, layer in net.layers().items()
        if isinstance(layer, Conv | Linear)
    }


def convolutions(*, bias: bool = True, upto: int = 5) -> float:
    """The convolutions of one tower, up to one of them."""
    return sum(n for path, n in _tower(bias=bias).items() if path.startswith("conv") and int(path[4:]) <= upto)


def above(*, bias: bool = True, since: int = 6) -> float:
    """The layers of one tower from one of them on."""
    return sum(n for path, n in _tower(bias=bias).items() if int(path[-1]) >= since)


def filter_(c_in: int, c_out: int = D, *, bias: bool = True) -> float:
    """The 1×1 convolution that merges the towers."""
    return (c_in * c_out + bias * c_out) / 1e6


TWO = "two VGG-M-2048 towers, both with a first layer for 20 channels, 101 classes"
_RESULTS, _WHERE = "Two-stream CNN · Spatial fusion: Results", "Two-stream CNN · Where to fuse: Results"

_FUSION = [
    Figure("SJTU", _RESULTS, "Sum at the softmax", "181.42", lambda: 2 * (convolutions() + above()), "M", TWO),
    Figure("SJTU", _RESULTS, "Max at ReLU5", "97.31", lambda: 2 * convolutions() + above(), "M", TWO + "; with biases",
           ("without biases", lambda: 2 * convolutions(bias=False) + above(bias=False)), None,
           "matches under another convention", "This row leaves biases out, the others count them."),
    Figure("SJTU", _RESULTS, "Concatenation at ReLU5", "172.81",
           lambda: 2 * convolutions() + above() + _tower(bias=False)["fc6"], "M", TWO + "; FC6 sees 2·512 channels"),
    Figure("SJTU", _RESULTS, "Bilinear at ReLU5", "6.61", lambda: 2 * convolutions(), "M",
           TWO + "; the SVM not counted",
           None, convolutions, "slide is wrong",
           "That is one tower of convolutions; the ten layers of the row are two."),
    Figure("SJTU", _RESULTS, "Sum at ReLU5", "97.31", lambda: 2 * convolutions() + above(), "M", TWO + "; with biases",
           ("without biases", lambda: 2 * convolutions(bias=False) + above(bias=False)), None,
           "matches under another convention", "This row leaves biases out, the others count them."),
    Figure("SJTU", _RESULTS, "Conv at ReLU5", "97.58", lambda: 2 * convolutions() + filter_(2 * D) + above(), "M",
           TWO + "; a merging filter of 1×1×2D×D, as the deck defines it", None,
           lambda: 2 * convolutions() + filter_(D) + above(), "slide is wrong",
           "The printed figure has a filter of D×D, half of what the deck's definition needs."),
    Figure("SJTU", _WHERE, "ReLU2", "91.90", lambda: _merged_after(2, 256), "M",
           TWO + "; a merging filter of 2D×D, one tower above",
           ("a filter of D×D", lambda: _merged_after(2, 256, 1)), None, "not reproduced",
           "Tried with filters of D×D and of 2D×D."),
    Figure("SJTU", _WHERE, "ReLU3", "93.08", lambda: _merged_after(3, D), "M",
           TWO + "; a merging filter of 2D×D, one tower above",
           ("a filter of D×D", lambda: _merged_after(3, D, 1)), None, "not reproduced",
           "Tried with filters of D×D and of 2D×D."),
    Figure("SJTU", _WHERE, "ReLU4", "95.48", lambda: _merged_after(4, D), "M",
           TWO + "; a merging filter of 2D×D, one tower above"),
    Figure("SJTU", _WHERE, "ReLU5", "97.57", lambda: 2 * convolutions() + filter_(2 * D) + above(), "M",
           TWO + "; a merging filter of 1×1×2D×D, as the deck defines it", None,
           lambda: 2 * convolutions(bias=False) + filter_(D, bias=False) + above(bias=False), "slide is wrong",
           "A filter of D×D and no biases: the same network as 97.58M of the table before."),
    Figure("SJTU", _WHERE, "ReLU5 + FC8", "181.68", lambda: 2 * (convolutions() + above()) + filter_(2 * D), "M",
           TWO + "; a merging filter of 1×1×2D×D, as the deck defines it", None,
           lambda: 2 * (convolutions() + above()) + filter_(D), "slide is wrong",
           "Again a filter of D×D."),
    Figure("SJTU", _WHERE, "ReLU3 + ReLU5 + FC6", "190.06", lambda: _merged_thrice(), "M",
           TWO + "; both towers kept, filters of 2D×D at ReLU3 and ReLU5, one tower's FC7 sees both FC6",
           ("filters of D×D", lambda: _merged_thrice(1)), None, "not reproduced",
           "The deck does not say what is merged where. Tried: filters of 2D×D, of D×D; with a single FC7 far less."),
]  # fmt: skip


def _merged_after(layer: int, width: int, towers: int = 2) -> float:
    """Two towers up to a convolution, a filter over `towers` times their width, and one tower from there on."""
    return convolutions() + above() + convolutions(upto=layer) + filter_(towers * width, width)


def _merged_thrice(towers: int = 2) -> float:
    """Two whole towers, a filter after two of their layers, and an FC7 that sees both FC6."""
    return 2 * (convolutions() + above() + filter_(towers * D)) + _tower(bias=False)["fc7"]


# ------------------------------------------------------------------ 3D networks

_TABLE = {
    "R2D": (nets.r2d_18, "11.4"), "f-R2D": (nets.f_r2d_18, "11.4"), "R3D": (nets.r3d_18, "33.4"),
    "MC2": (nets.mc2_18, "11.4"), "MC3": (nets.mc3_18, "11.7"), "MC4": (nets.mc4_18, "12.7"),
    "MC5": (nets.mc5_18, "16.9"), "rMC2": (nets.rmc2_18, "33.3"), "rMC3": (nets.rmc3_18, "33.0"),
    "rMC4": (nets.rmc4_18, "32.0"), "rMC5": (nets.rmc5_18, "27.9"),
    "R(2+1)D": (lambda: nets.r2plus1d_18(shared_mid=False), "33.3"),
}  # fmt: skip


def table(deck: str, slide: str) -> list[Figure]:
    """The table of twelve networks, which two decks show."""

    def count(build: Callable[[], nets.Net], norm: bool) -> Callable[[], float]:
        return lambda: parameters(build(), norm=norm)

    return [
        Figure(
            deck,
            slide,
            f"{name}, 18 layers",
            printed,
            count(build, False),
            "M",
            WITHOUT_NORM,
            ("batch norm counted", count(build, True)),
            None,
            "matches under another convention" if name == "MC5" else "matches",
            "The only row that needs batch norm's scales and offsets counted; three others come out only without them."
            if name == "MC5"
            else "",
        )
        for name, (build, printed) in _TABLE.items()
    ]


def days(seconds_a_frame: float, videos: int, seconds: float, fps: float) -> float:
    """Time to compute the flow of a data set."""
    return seconds_a_frame * videos * seconds * fps / 86400


def i3d_at(size: int) -> nets.Net:
    """I3D on ResNet-50 for clips of 8 frames of another size."""
    net = nets.i3d_r50()
    return nets.Net(net.name, net.body, (3, 8, size, size), net.source)


def costs(deck: str, slide: str) -> list[Figure]:
    """What clips cost on Kinetics, which two decks show."""
    return [
        Figure(deck, slide, "I3D", "108", lambda: nets.i3d_inception().macs() / 1e9, "GFLOPs",
               MACS + "; 64 frames of 224×224",
               expected="not reproduced",
               explanation="Inception-V1 inflated, as its weights were published, takes 3 % more."),
        Figure(deck, slide, "two-stream I3D", "216",
               lambda: (nets.i3d_inception().macs() + nets.i3d_inception(channels=2).macs()) / 1e9, "GFLOPs",
               MACS + "; 64 frames of RGB and of flow", expected="not reproduced",
               explanation="216 is twice 108; but the flow stream's first layer has two channels, not three."),
        Figure(deck, slide, "S3D", "66.4", lambda: nets.s3d().macs() / 1e9, "GFLOPs", MACS + "; 64 frames of 224×224",
               expected="not reproduced", explanation="torchvision's network of that name takes 8 % more."),
        Figure(deck, slide, "R(2+1)D", "152", lambda: nets.r2plus1d_34().macs() / 1e9, "GFLOPs",
               MACS + "; 34 layers, 32 frames of 112×112"),
        Figure(deck, slide, "R(2+1)D, two streams", "304",
               lambda: (nets.r2plus1d_34().macs() + nets.r2plus1d_34(channels=2).macs()) / 1e9, "GFLOPs",
               MACS + "; 34 layers, 32 frames of 112×112, RGB and flow"),
    ]  # fmt: skip


_FLOW = "Two-stream CNN · Problem: Precompute optical flow"
_TIMESFORMER = "Vision transformer · TimeSFormer"

FIGURES = [
    *_FUSION,
    Figure("SJTU", _FLOW, "flow of UCF-101", "1.5", lambda: days(0.06, 10_000, 6, 30), "days",
           "0.06 s a frame, 10,000 videos, 6 s, 30 Hz: the slide's own numbers", expected="slide is wrong",
           derived=True,
           explanation="Its own numbers give a day and a quarter."),
    Figure("SJTU", _FLOW, "flow of Kinetics-400", "50", lambda: days(0.06, 240_000, 10, 30), "days",
           "0.06 s a frame, 240,000 videos, 10 s, 30 Hz: the slide's own numbers", derived=True),
    *table("SJTU", "3D CNN · R(2+1)D"),
    *costs("SJTU", "3D CNN · SlowFast"),
    *attention.nonlocal_table(),
    *attention.on_kinetics("SJTU", "3D CNN · SlowFast"),
    *attention.timesformer(),
    Figure("SJTU", _TIMESFORMER, "I3D 8×8 R50, parameters", "28.0", lambda: nets.i3d_r50().parameters() / 1e6, "M",
           "all that is learned, batch norm's scales and offsets among it; 400 classes"),
    Figure("SJTU", _TIMESFORMER, "I3D 8×8 R50, inference", "1.11", lambda: 30 * i3d_at(256).macs() / 1e12, "TFLOPs",
           MACS + "; 30 views of 8 frames of 256×256"),
]  # fmt: skip
