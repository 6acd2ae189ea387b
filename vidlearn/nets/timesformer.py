"""TimeSformer: an image transformer whose tokens also look through time, in one of five ways.

The names of the weights are those of the published checkpoints, and of the two steps that have none by the same rule.
"""

from __future__ import annotations

from typing import Literal

from vidlearn import transformers
from vidlearn.nets.net import Net
from vidlearn.nets.nodes import Linear, Part, Sequential, in_turn, numbered
from vidlearn.nets.signal import Shape
from vidlearn.nets.tokens import (
    Attend,
    ClassToken,
    LayerNorm,
    MeanToken,
    PatchEmbed,
    Patches,
    Positions,
    ShareClass,
    StillClass,
    Table,
    attention,
    mlp,
)

__all__ = ["timesformer"]

Scheme = Literal["S", "ST", "T+S", "L+G", "T+W+H"]
#: what the weights of a step are called that is not a block's last one
_PREFIX = {"time": "temporal", "block": "local", "row": "width"}


def _step(prefix: str, width: int, attend: Attend) -> tuple[Part, ...]:
    """A step of attention; all but a block's last one have a prefix and a linear layer more."""
    norm, look = LayerNorm(width), attention(width, attend)
    if not prefix:
        return ("norm1", norm), ("attn", look)
    return (f"{prefix}_norm1", norm), (f"{prefix}_attn", look), (f"{prefix}_fc", Linear(width, width))


def _block(scheme: Scheme, width: int, heads: int, grid: Shape) -> Sequential:
    T, H, W = grid
    frame = Attend(heads, (1, H, W), "space", sets=T)
    if scheme == "S":
        steps = [_step("", width, frame)]
    elif scheme == "T+S":  # the class token sits time out, and looks at each frame: its answers are averaged
        time = _step("temporal", width, Attend(heads, grid, "time", "absent"))
        space = _step("", width, frame)
        steps = [
            (("patches", Patches()), *time, ("still", StillClass())),
            (("share", ShareClass(T)), *space, ("mean", ShareClass(T, back=True))),
        ]
    else:
        *kinds, last = transformers.SCHEMES[scheme]
        steps = [_step(_PREFIX[kind], width, Attend(heads, grid, kind)) for kind in kinds]
        steps.append(_step("", width, Attend(heads, grid, last)))
    return in_turn(*steps, (("norm2", LayerNorm(width)), ("mlp", mlp(width))))


def timesformer(
    classes: int = 400,
    frames: int = 8,
    size: int = 224,
    scheme: Scheme = "T+S",
    depth: int = 12,
    width: int = 768,
    heads: int = 12,
    patch: int = 16,
) -> Net:
    """TimeSformer on ViT-B/16, first time and then space unless another scheme is asked for; published weights load."""
    if scheme not in transformers.SCHEMES:
        raise ValueError(f"scheme: expected one of {', '.join(transformers.SCHEMES)}, got {scheme!r}")
    if size < patch or size % patch:
        raise ValueError(f"size: expected a multiple of the patch's {patch}, got {size}")
    grid = (frames, size // patch, size // patch)
    places, each = grid[1] * grid[2], scheme == "S"
    tables: tuple[Table, ...] = (
        ("cls_token", "class", (1, 1, width)),
        ("pos_embed", "class and space", (1, 1 + places, width)),
        ("time_embed", "time", (1, frames, width)),
    )
    model: tuple[Part, ...] = (
        ("patch_embed", Sequential((("proj", PatchEmbed(3, width, (patch, patch), grid)),))),
        ("", Positions(frames, places, tables[:2] if each else tables, each)),
        ("blocks", numbered(*(_block(scheme, width, heads, grid) for _ in range(depth)))),
        ("class", ClassToken(frames if each else 1)),
        ("row", MeanToken()),
        ("norm", LayerNorm(width)),
        ("head", Linear(width, classes)),
    )
    source = "Bertasius et al., Is Space-Time Attention All You Need for Video Understanding?, ICML 2021"
    return Net("timesformer", Sequential((("model", Sequential(model)),)), (3, frames, size, size), source)
