"""Multiscale vision transformers: tokens become fewer and richer on the way, because attention pools what it looks at.

The names of the weights are torchvision's.
"""

from __future__ import annotations

from vidlearn.nets.net import Net
from vidlearn.nets.nodes import Conv, Dropout, Linear, Part, Pathways, Pool, Residual, Sequential, numbered
from vidlearn.nets.signal import Shape
from vidlearn.nets.tokens import (
    ClassToken,
    LayerNorm,
    MeanToken,
    OnGrid,
    PooledAttend,
    Positions,
    Share,
    Table,
    Tokens,
    mlp,
)

__all__ = ["mvit_v1_b", "mvit_v2_s"]

_DEPTH = 16
#: the blocks at which the frames' sides are halved
_HALVED = (1, 3, 14)


def _halved(grid: Shape, times: int) -> Shape:
    return (grid[0], grid[1] // times, grid[2] // times)


def _pooled(name: str, index: int, width: int, heads: int, grid: Shape, stride: int | None) -> tuple[Part, ...]:
    """Queries, keys or values: their share, and a depthwise convolution over its grid unless the stride is None."""
    share: tuple[Part, ...] = ((name[-1], Share(index)),)
    if stride is None:
        return share
    d = width // heads
    pool = OnGrid(Conv(d, d, (3, 3, 3), (1, stride, stride), 1, groups=d), grid, heads)
    return (*share, (name, Sequential((("pool", pool), ("norm_act", numbered(LayerNorm(d, heads=heads)))))))


def _block(c_in: int, c_out: int, heads: int, grid: Shape, stride: int, seen: Shape, v2: bool) -> Sequential:
    """One block: attention to a grid of `seen` places, and an MLP.

    The first version widens at the end of a block and pools queries only where it halves the grid; the second one
    widens at its start, pools them everywhere, adds them to the answer and knows how far tokens are apart.
    """
    width, wider = (c_out if v2 else c_in), c_in != c_out
    small = _halved(grid, stride)
    values = Pathways(
        (
            _pooled("pool_q", 0, width, heads, grid, stride if v2 or stride > 1 else None),
            _pooled("pool_k", 1, width, heads, grid, grid[1] // seen[1]),
            _pooled("pool_v", 2, width, heads, grid, grid[1] // seen[1]),
        )
    )
    side, time = max(small[1], seen[1]), max(small[0], seen[0])
    tables = (2 * side - 1, 2 * side - 1, 2 * time - 1) if v2 else None
    attn = Sequential(
        (
            ("qkv", Linear(c_in, 3 * width)),
            ("", values),
            ("", PooledAttend(heads, small, seen, width, tables, residual=v2)),
            ("project", numbered(Linear(width, width))),
        )
    )
    project: tuple[Part, ...] = (("project", Linear(c_in, c_out)),) if wider else ()
    skip: tuple[Part, ...] = ()
    if stride > 1:
        skip = (("pool_skip", OnGrid(Pool((1, 3, 3), (1, 2, 2), (0, 1, 1)), grid)),)

    def added(norm: Part, part: Part, shortcut: tuple[Part, ...], widens: bool) -> tuple[Part, ...]:
        """A residual; what widens starts from the normalized tokens."""
        if widens:
            return norm, ("", Residual((part,), (*project, *shortcut), after=()))
        return (("", Residual((norm, part), shortcut, after=())),)

    forward = mlp(width, ("0", "1", "3"), c_out)
    return Sequential(
        (
            *added(("norm1", LayerNorm(c_in)), ("attn", attn), skip, wider and v2),
            *added(("norm2", LayerNorm(width)), ("mlp", forward), (), wider and not v2),
        )
    )


def _mvit(name: str, classes: int, frames: int, size: int, widened: tuple[int, ...], source: str, v2: bool) -> Net:
    """Stages of 96, 192, 384 and 768 features; `widened` are the blocks that double them."""
    if frames < 2 or frames % 2:
        raise ValueError(f"frames: expected a multiple of 2, got {frames}")
    if size < 32 or size % 32:
        raise ValueError(f"size: expected a multiple of 32, got {size}")
    grid: Shape = (frames // 2, size // 4, size // 4)
    places = grid[1] * grid[2]
    tables: tuple[Table, ...] = (
        ("class_token", "class", (96,)),
        ("spatial_pos", "space", (places, 96)),
        ("temporal_pos", "time", (grid[0], 96)),
        ("class_pos", "class place", (96,)),
    )
    first = grid
    blocks, c_in, heads = [], 96, 1
    for i in range(_DEPTH):
        stride = 2 if i in _HALVED else 1
        heads *= stride
        c_out = 2 * c_in if i in widened else c_in
        blocks.append(_block(c_in, c_out, heads, grid, stride, _halved(grid, 8 // heads), v2))
        grid, c_in = _halved(grid, stride), c_out
    parts: tuple[Part, ...] = (
        ("conv_proj", Conv(3, 96, (3, 7, 7), (2, 4, 4), (1, 3, 3), bias=True)),
        ("tokens", Tokens(first)),
        ("pos_encoding", Positions(frames // 2, places, tables[:1] if v2 else tables)),
        ("blocks", numbered(*blocks)),
        ("class", ClassToken()),
        ("row", MeanToken()),
        ("norm", LayerNorm(768)),
        ("head", numbered(Dropout(), Linear(768, classes))),
    )
    return Net(name, Sequential(parts), (3, frames, size, size), source)


def mvit_v1_b(classes: int = 400, frames: int = 16, size: int = 224) -> Net:
    """MViT-B, 16 frames: attention pools, and tokens become fewer as features become more; torchvision's weights load."""
    source = "Fan et al., Multiscale Vision Transformers, ICCV 2021"
    return _mvit("mvit_v1_b", classes, frames, size, (0, 2, 13), source, v2=False)


def mvit_v2_s(classes: int = 400, frames: int = 16, size: int = 224) -> Net:
    """MViTv2-S, 16 frames: with pooled queries added and distances known to attention; torchvision's weights load."""
    source = "Li et al., MViTv2: Improved Multiscale Vision Transformers for Classification and Detection, CVPR 2022"
    return _mvit("mvit_v2_s", classes, frames, size, (1, 3, 14), source, v2=True)
