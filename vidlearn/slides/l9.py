"""Figures of lecture 9: equations and unknowns of optical flow, and what networks have seen and cost."""

from __future__ import annotations

from functools import partial

import numpy as np

from vidlearn import flow, nets
from vidlearn.nets.nodes import Conv, Identity, Layer, Linear, Node, Pool
from vidlearn.slides import attention, sjtu
from vidlearn.slides.figure import Figure

MACS = "multiply-accumulates of convolutions and linear layers, one view of 224×224, no bias, norm or pooling"


def equations(channels: int) -> int:
    """Rows of the least-squares system of one pixel: how many pixels and colors its structure tensor adds up."""
    shape = (9, 9) if channels == 1 else (9, 9, channels)
    ones = np.ones(shape)
    return round(float(flow.structure_tensor(ones, ones, 5)[4, 4, 0, 0]))


def unknowns(model: str) -> int:
    """Parameters that a motion model is fitted with."""
    gradient = np.random.default_rng(0).normal(size=(3, 8, 8))
    return int(flow.fit_motion(*gradient, model=model).size)


def linear_field(path: str) -> str:
    """What a linear layer of VGG-16 has seen, the input's border left aside."""
    row = next(r for r in nets.vgg16().rows() if r.path == path)
    return "x".join(map(str, row.field))


def c3d_layers(kind: type[Layer]) -> int:
    """How many layers of a kind C3D has before its classes."""
    return sum(isinstance(row.layer, kind) for row in nets.c3d().rows()[:-1])


def r50(halve_time: bool, padded_pool: bool = True) -> float:
    """3D ResNet-50 on 8 frames, in billions; half of the frames pooled away after the first stage, or none."""
    net = nets.i3d_r50()
    changed: dict[str, Node] = {} if padded_pool else {"blocks.0.pool": Pool((1, 3, 3), (1, 2, 2))}
    if not halve_time:
        changed |= {"blocks.2": Identity(), "blocks.6.pool": Pool((8, 7, 7), (1, 1, 1), how="mean")}
    return net.replaced(changed).macs() / 1e9


def _deltas() -> list[Figure]:
    methods = {
        "Sport1M": ("80.2", "85.2", "5.0"),
        "UCF101": ("75.8", "85.2", "9.4"),
        "UCF101, in brackets": ("89.1", "90.4", "1.3"),
        "ASLAN": ("68.7", "78.3", "9.6"),
        "YUPENN": ("96.2", "98.1", "1.9"),
        "UMD": ("77.7", "87.7", "10.0"),
        "Object": ("12.0", "22.3", "10.3"),
    }

    def less(best: str, c3d: str) -> float:
        return float(c3d) - float(best)

    return [
        Figure(
            "L9",
            "Video Classification with C3D",
            f"Δ on {name}",
            printed,
            partial(less, a, b),
            "points",
            "C3D less the best before it",
            derived=True,
        )
        for name, (a, b, printed) in methods.items()
    ]


FIGURES = [
    Figure("L9", "Solving the aperture problem", "equations of a 5×5 window", "25", lambda: equations(1), "",
           "pixels of the window"),
    Figure("L9", "RGB version", "equations of a 5×5 window, in color", "75", lambda: equations(3), "",
           "pixels times channels"),
    *(
        Figure("L9", "Motion models", f"unknowns of the {name} model", printed, partial(unknowns, model), "",
               "parameters that are fitted")
        for name, model, printed in (
            ("translation", "translation", "2"), ("affine", "affine", "6"),
            ("perspective", "projective", "8"), ("3D rotation", "rotation", "3"),
        )
    ),
    *(
        Figure("L9", "What is a Good Architecture for 3D ConvNets?", f"C3D: {name}", printed,
               partial(c3d_layers, kind), "", convention)
        for name, printed, kind, convention in (
            ("convolutions", "8", Conv, "layers of that kind"), ("pools", "5", Pool, "layers of that kind"),
            ("fully-connected layers", "2", Linear, "without the last one, which gives the classes"),
        )
    ),
    *_deltas(),
    *(
        Figure(
            "L9", "Going through the conv layers of VGG-16", f"receptive field of {name}", "404x404",
            partial(linear_field, path), "pixels", "r ← r + (k − 1)·jump, not cut off at the input's border",
            explanation="The input has 224×224 pixels only: at its border the field is cut off.",
        )
        for name, path in (("FC 6", "classifier.0"), ("FC 7", "classifier.3"))
    ),
    Figure(
        "L9", "SlowFast ablations: Individual paths", "3D R-50, 8×8, t-reduce 2", "28.1", lambda: r50(True), "GFLOPs",
        MACS, ("the first pool without padding, 112 → 55", lambda: r50(True, padded_pool=False)), None,
        "matches under another convention",
        "The two rows come from two code bases: one pads its first pool, one doesn't.",
    ),
    Figure(
        "L9", "SlowFast ablations: Individual paths", "3D R-50, 8×8, t-reduce 1", "44.9", lambda: r50(False),
        "GFLOPs", MACS,
    ),
    Figure(
        "L9", "SlowFast ablations: Individual paths", "our Slow-only, R-50, 4×16", "20.9",
        lambda: nets.slow_r50(frames=4).macs() / 1e9, "GFLOPs", MACS,
    ),
    *attention.ablations(),
    *sjtu.costs("L9", "SlowFast: State-of-the-art comparison on Kinetics"),
    *attention.on_kinetics("L9", "SlowFast: State-of-the-art comparison on Kinetics"),
    *attention.on_charades(),
]  # fmt: skip
