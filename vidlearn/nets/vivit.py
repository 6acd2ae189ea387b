"""ViViT's factorized encoder: an image transformer for each moment, and a small transformer over what it said."""

from __future__ import annotations

from vidlearn.nets.net import Net
from vidlearn.nets.nodes import Linear, Part, Sequential, in_turn, numbered
from vidlearn.nets.signal import Shape
from vidlearn.nets.tokens import (
    Attend,
    ClassToken,
    LayerNorm,
    MeanToken,
    PatchEmbed,
    Positions,
    Table,
    attention,
    mlp,
)

__all__ = ["vivit_b"]


def _encoder(depth: int, width: int, attend: Attend, grid: Shape, each: bool) -> Sequential:
    """A transformer over tokens and a class token, or over each moment's, of which only the class token is kept."""
    frames, places = (grid[0], grid[1] * grid[2]) if each else (1, grid[0])
    tables: tuple[Table, ...] = (
        ("cls_token", "class", (1, 1, width)),
        ("pos_embed", "class and space", (1, 1 + places, width)),
    )

    def block() -> Sequential:
        return in_turn(
            (("norm1", LayerNorm(width)), ("attn", attention(width, attend))),
            (("norm2", LayerNorm(width)), ("mlp", mlp(width))),
        )

    steps: tuple[Part, ...] = (
        ("", Positions(frames, places, tables, each)),
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
        ("tubelet_embed", Sequential((("proj", PatchEmbed(3, width, tubelet)),))),
        ("spatial", _encoder(depth, width, space, grid, each=True)),
        ("temporal", _encoder(time_depth, width, time, grid, each=False)),
        ("row", MeanToken()),
        ("head", Linear(width, classes)),
    )
    source = "Arnab et al., ViViT: A Video Vision Transformer, ICCV 2021"
    return Net("vivit_b", Sequential(parts), (3, *clip), source)
