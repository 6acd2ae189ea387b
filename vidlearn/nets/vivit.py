"""An image transformer for each moment, and a small transformer over what it said: ViViT's factorized encoder, VTN.

No weights of theirs are published for torch by these names; they follow the image transformer's.
"""

from __future__ import annotations

from vidlearn.nets.net import Net
from vidlearn.nets.nodes import Dropout, Linear, Part, Residual, Sequential, in_turn, numbered
from vidlearn.nets.signal import Shape
from vidlearn.nets.tokens import (
    GELU,
    Attend,
    ClassToken,
    LayerNorm,
    MeanToken,
    PatchEmbed,
    Positions,
    Slide,
    Table,
    attention,
    mlp,
)

__all__ = ["vivit_b", "vtn"]


def _tables(places: int, width: int) -> tuple[Table, ...]:
    return ("cls_token", "class", (1, 1, width)), ("pos_embed", "class and space", (1, 1 + places, width))


def _encoder(depth: int, width: int, attend: Attend, frames: int, places: int) -> Sequential:
    """A transformer over the tokens of each frame and a class token, of which only the class token is kept."""

    def block() -> Sequential:
        return in_turn(
            (("norm1", LayerNorm(width)), ("attn", attention(width, attend))),
            (("norm2", LayerNorm(width)), ("mlp", mlp(width))),
        )

    steps: tuple[Part, ...] = (
        ("", Positions(frames, places, _tables(places, width), each=True)),
        ("blocks", numbered(*(block() for _ in range(depth)))),
        ("norm", LayerNorm(width)),
        ("class", ClassToken(frames)),
    )
    return Sequential(steps)


def vivit_b(
    classes: int = 400,
    frames: int = 32,
    size: int = 224,
    depth: int = 12,
    time_depth: int = 4,
    width: int = 768,
    heads: int = 12,
    tubelet: Shape = (2, 16, 16),
) -> Net:
    """ViViT-B/16×2 with the factorized encoder: first the tokens of each moment, then the moments (Arnab et al. 2021)."""
    clip = (frames, size, size)
    if any(n < k or n % k for n, k in zip(clip, tubelet, strict=True)):
        raise ValueError(f"frames, size: expected multiples of the tubelet's {tubelet}, got {clip}")
    grid = tuple(n // k for n, k in zip(clip, tubelet, strict=True))
    space = Attend(heads, (1, *grid[1:]), "space", sets=grid[0])
    time = Attend(heads, (grid[0], 1, 1), "time")
    parts: tuple[Part, ...] = (
        ("tubelet_embed", Sequential((("proj", PatchEmbed(3, width, tubelet, grid)),))),
        ("spatial", _encoder(depth, width, space, grid[0], grid[1] * grid[2])),
        ("temporal", _encoder(time_depth, width, time, 1, grid[0])),
        ("row", MeanToken()),
        ("head", Linear(width, classes)),
    )
    source = "Arnab et al., ViViT: A Video Vision Transformer, ICCV 2021"
    return Net("vivit_b", Sequential(parts), (3, *clip), source)


def vtn(
    classes: int = 400,
    frames: int = 250,
    size: int = 224,
    depth: int = 12,
    time_depth: int = 3,
    width: int = 768,
    heads: int = 12,
    patch: int = 16,
    window: int = 33,
) -> Net:
    """VTN on ViT-B/16: a long film frame by frame, then frames that look at those near them (Neimark et al. 2021).

    As in Longformer, a norm follows each sum; its second set of projections, for the class token alone, is left out.
    """
    if size < patch or size % patch:
        raise ValueError(f"size: expected a multiple of the patch's {patch}, got {size}")
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window: expected an odd number, got {window}")
    side = size // patch

    def block() -> Sequential:
        look = (("attn", attention(width, Slide(heads, frames, window))),)
        return Sequential(
            (
                ("", Residual(look, after=(("norm1", LayerNorm(width, 1e-5)),))),
                ("", Residual((("mlp", mlp(width)),), after=(("norm2", LayerNorm(width, 1e-5)),))),
            )
        )

    temporal: tuple[Part, ...] = (
        ("", Positions(1, frames, _tables(frames, width))),
        ("norm", LayerNorm(width, 1e-5)),
        ("blocks", numbered(*(block() for _ in range(time_depth)))),
        ("class", ClassToken(among=frames)),
    )
    parts: tuple[Part, ...] = (
        ("patch_embed", Sequential((("proj", PatchEmbed(3, width, (patch, patch), (frames, side, side))),))),
        ("spatial", _encoder(depth, width, Attend(heads, (1, side, side), "space", sets=frames), frames, side * side)),
        ("temporal", Sequential(temporal)),
        ("row", MeanToken()),
        ("head", numbered(LayerNorm(width), Linear(width, width), GELU(), Dropout(), Linear(width, classes))),
    )
    source = "Neimark et al., Video Transformer Network, ICCV workshops 2021"
    return Net("vtn", Sequential(parts), (3, frames, size, size), source)
