"""Figures of "A New Level of Action Understanding"."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from vidlearn import nets
from vidlearn.nets.nodes import Linear
from vidlearn.slides.figure import Figure

_ROWS = {
    "TSN-3seg, ResNet50, ImageNet": ((70.6, 89.4), (73.6, 91.0), ("3.0", "1.6")),
    "TSN-3seg, ResNet50, IG-1B": ((73.1, 90.4), (75.7, 91.9), ("2.6", "1.5")),
    "TSN-3seg, Efficient-b4, ImageNet": ((73.3, 91.0), (75.2, 92.0), ("1.9", "1.0")),
    "SlowOnly-4x16, ResNet50": ((72.9, 90.9), (76.8, 92.5), ("3.9", "1.6")),
    "SlowOnly-4x16, ResNet50, ImageNet": ((73.8, 90.9), (76.6, 92.5), ("2.8", "1.6")),
    "SlowOnly-8x8, ResNet101": ((76.3, 92.6), (80.4, 94.4), ("4.1", "1.8")),
    "SlowOnly-8x8, ResNet101, ImageNet": ((76.8, 92.8), (80.5, 94.4), ("3.7", "1.6")),
    "irCSN-32x2, irCSN-152, IG-65M": ((82.6, 95.3), (83.6, 96.0), ("1.0", "0.7")),
}


def _more(a: float, b: float) -> float:
    return b - a


def head_width(build: Callable[[], nets.Net]) -> int:
    """How many channels the linear layer at the end of a network is given."""
    return next(layer.n_in for layer in build().layers().values() if isinstance(layer, Linear))


FIGURES = [
    *(
        Figure(
            "NLA",
            "Unified Model Design",
            f"{head}: in_channels",
            "2048",
            partial(head_width, build),
            "channels",
            "ResNet-50, averaged over all positions",
        )
        for head, build in (("TSNHead", nets.resnet50), ("I3DHead", nets.i3d_r50))
    ),
    *(
        Figure(
            "NLA",
            "Improvement on Kinetics & Downstream Tasks",
            f"{name}: Δ {top}",
            printed[i],
            partial(_more, a[i], b[i]),
            "points",
            "with web data less without",
            derived=True,
        )
        for name, (a, b, printed) in _ROWS.items()
        for i, top in enumerate(("top-1", "top-5"))
    ),
]
