"""C3D: VGG with cubes for squares."""

from __future__ import annotations

from vidlearn.nets.net import Net
from vidlearn.nets.nodes import Conv, Dropout, Flatten, Linear, Part, Pool, ReLU, Sequential

__all__ = ["c3d"]


def c3d(classes: int = 487) -> Net:
    """C3D: eight 3×3×3 convolutions and 2×2×2 pools, the first of them 1×2×2 (Tran et al. 2015; CS231n · C3D)."""
    widths = {"1": 64, "2": 128, "3a": 256, "3b": 256, "4a": 512, "4b": 512, "5a": 512, "5b": 512}
    parts: list[Part] = []
    c_in = 3
    for stage, c_out in widths.items():
        parts += [(f"conv{stage}", Conv(c_in, c_out, (3, 3, 3), padding=1, bias=True)), (f"relu{stage}", ReLU())]
        if not stage.endswith("a"):
            parts.append((f"pool{stage[0]}", Pool((1, 2, 2) if stage == "1" else (2, 2, 2))))
        c_in = c_out
    parts.append(("flatten", Flatten()))
    for i, (n_in, n_out) in enumerate(((512 * 3 * 3, 4096), (4096, 4096)), 6):
        parts += [(f"fc{i}", Linear(n_in, n_out)), (f"relu{i}", ReLU()), (f"dropout{i}", Dropout())]
    parts.append(("fc8", Linear(4096, classes)))
    source = "Tran et al., Learning Spatiotemporal Features with 3D Convolutional Networks, ICCV 2015"
    return Net("c3d", Sequential(tuple(parts)), (3, 16, 112, 112), source)
