"""Layers of transformers: tokens instead of a grid, each of them a row of features, and attention among them.

Tokens are (N, L, D). Those of a clip come in the order of time, rows, columns, behind their class token if they have
one; what a layer must know of the grid that they were cut from, it is told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vidlearn import arrays, layers, nonlocal_attention, transformers
from vidlearn.arrays import namespace
from vidlearn.nets.nodes import Array, Conv, Layer, Linear, On, Part, Pool, Sequential
from vidlearn.nets.signal import Reach, Shape, Signal
from vidlearn.nonlocal_attention.heads import join_heads, split_heads

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "GELU",
    "Attend",
    "ClassToken",
    "LayerNorm",
    "MeanToken",
    "OnGrid",
    "PatchEmbed",
    "Patches",
    "PooledAttend",
    "Positions",
    "Share",
    "ShareClass",
    "Slide",
    "StillClass",
    "Table",
    "Tokens",
    "attention",
    "mlp",
]

Kind = Literal["space", "space-time", "time", "block", "stride", "row", "column"]
#: a learned table of positions: its name, what it is for, its shape
Table = tuple[str, Literal["class", "class place", "space", "class and space", "time"], Shape]


def _heads(count: int) -> str:
    return f"{count} heads" if count > 1 else "one head"


def _expect_tokens(x: Signal, count: int | None = None) -> None:
    if not x.tokens or (count is not None and x.shape[0] != count):
        raise ValueError(f"expected {count or 'some'} tokens (L, D), got shape {x.shape} with axes {x.axes}")


def _expect_grid(x: Signal, grid: Shape | None) -> Signal:
    """Hold a clip to the grid that the network was built for: tokens have places of their own."""
    if grid is not None and x.positions != grid:
        raise ValueError(
            f"expected a grid of {'×'.join(map(str, grid))} patches, which this network was built for, got "
            f"{'×'.join(map(str, x.positions))}; build it with other frames or another size"
        )
    return x


def _expect_heads(x: Signal, heads: int) -> None:
    if x.channels % (3 * heads):
        raise ValueError(f"heads: expected a divisor of {x.channels // 3} features, got {heads}")


def _as_tokens(x: Signal) -> Signal:
    return replace(x, shape=(math.prod(x.positions), x.channels), axes=("L",))


def _looking(x: Signal, grid: Shape, kind: Kind) -> dict[str, Reach]:
    """What patches have seen after they looked at their neighbors, as far along each axis as those are away."""
    over = {"space": "HW", "time": "T", "row": "W", "column": "H"}.get(kind, "THW")
    reach = dict(x.reach)
    for axis, n in zip("THW", grid, strict=True):
        if axis not in over or axis not in reach:
            continue
        if kind == "block" and axis != "T":
            reach[axis] = reach[axis].through(n // 2, 1, (n // 2 - 1) // 2)
        else:  # every place may be the first one or the last
            reach[axis] = reach[axis].through(2 * n - 1, 1, n - 1)
    return reach


# ------------------------------------------------------------------ from a clip to tokens and from tokens to an answer


@dataclass(frozen=True)
class PatchEmbed(Layer):
    """Cut a clip into patches and make a token of each: of two axes frame by frame, of three as tubelets."""

    c_in: int
    features: int
    kernel: Shape
    grid: Shape | None = None  # of the patches, where what follows knows their places

    def __str__(self) -> str:
        return f"PatchEmbed {'×'.join(map(str, self.kernel))}, {self.c_in}→{self.features}"

    def output(self, x: Signal) -> Signal:
        kernel = (1,) * (3 - len(self.kernel)) + self.kernel
        x.expect(self.c_in)
        if len(x.positions) != 3 or any(n % k for n, k in zip(x.positions, kernel, strict=True)):
            raise ValueError(
                f"expected a clip (C, T, H, W) of sizes that are multiples of {kernel}, got shape {x.shape}"
            )
        return _as_tokens(_expect_grid(x.windowed(self.features, kernel, kernel, (0, 0, 0)), self.grid))

    def learned(self) -> dict[str, Shape]:
        return {"weight": (self.features, self.c_in, *self.kernel), "bias": (self.features,)}

    def macs(self, x: Any, y: Signal) -> int:
        return math.prod(y.positions) * math.prod(self.learned()["weight"])

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        embed = transformers.patch_embed if len(self.kernel) == 2 else transformers.tubelet_embed
        return on(embed)(x, w["weight"], w["bias"]).reshape(x.shape[0], -1, self.features)


@dataclass(frozen=True)
class Tokens(Layer):
    """A grid's positions as tokens, (C, T, H, W) as (T·H·W, C)."""

    grid: Shape | None = None  # where what follows knows their places

    def output(self, x: Signal) -> Signal:
        return _as_tokens(_expect_grid(x, self.grid))

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        return namespace(x).moveaxis(x.reshape(*x.shape[:2], -1), 1, 2)


@dataclass(frozen=True)
class Positions(Layer):
    """A class token before the others, and what is added to each token so that it knows its place.

    Its `tables` are the ``"class"`` token itself, its ``"class place"``, and what is added at each place of a frame
    (``"space"``; ``"class and space"`` with the class token's first) and in each frame (``"time"``). A clip has one
    class token, or `each` of its frames has one.
    """

    frames: int
    places: int
    tables: tuple[Table, ...]
    each: bool = False

    @property
    def _sets(self) -> int:
        return self.frames if self.each else 1

    def output(self, x: Signal) -> Signal:
        _expect_tokens(x, self.frames * self.places)
        for _, _, shape in self.tables:
            x.expect(shape[-1], "features")
        return replace(x, shape=(x.shape[0] + self._sets, x.channels))

    def learned(self) -> dict[str, Shape]:
        return {name: shape for name, _, shape in self.tables}

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        xp, (N, _, D) = namespace(x), x.shape
        patches: Any = x.reshape(N, self.frames, self.places, D)
        token: Any = 0
        for name, use, _ in self.tables:
            table = w[name].reshape(-1, D)
            if use == "space":
                patches = patches + table
            elif use == "time":
                patches = patches + table[:, None]
            else:
                token = token + table[0]
                patches = patches + table[1:] if use == "class and space" else patches
        patches = patches.reshape(N * self._sets, -1, D)
        first = xp.broadcast_to(token, (N * self._sets, 1, D))
        return xp.concatenate((first, patches), axis=1).reshape(N, -1, D)


@dataclass(frozen=True)
class ClassToken(Layer):
    """The class token alone, or each frame's where each of so many has one.

    `among` is how many frames it looked at further than their own tokens did.
    """

    frames: int = 1
    among: int = 1

    def output(self, x: Signal) -> Signal:
        _expect_tokens(x)
        return replace(x, shape=(self.frames, x.channels), reach=_looking(x, (self.among, 1, 1), "time"))

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        return x.reshape(x.shape[0], self.frames, -1, x.shape[2])[:, :, 0]


@dataclass(frozen=True)
class MeanToken(Layer):
    """The mean over tokens, one for each frame, as one row of features; of a single one that one."""

    def output(self, x: Signal) -> Signal:
        _expect_tokens(x)
        reach = {axis: r.through(x.shape[0]) if axis == "T" else r for axis, r in x.reach.items()}
        return replace(x, shape=(x.channels,), axes=(), reach=reach)

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        return namespace(x).mean(x, axis=1)


# ------------------------------------------------------------------ each token alone


@dataclass(frozen=True)
class LayerNorm(Layer):
    """Each token by its own mean and spread, or each of its heads by its own."""

    features: int
    eps: float = 1e-6
    heads: int = 1

    def __str__(self) -> str:
        return f"LayerNorm {self.features}" + (f", {_heads(self.heads)}" if self.heads > 1 else "")

    def output(self, x: Signal) -> Signal:
        x.expect(self.heads * self.features, "features")
        return x

    def learned(self) -> dict[str, Shape]:
        return {"weight": (self.features,), "bias": (self.features,)}

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        heads = x.reshape(*x.shape[:-1], self.heads, self.features)
        return on(layers.layer_norm)(heads, w["weight"], w["bias"], self.eps).reshape(x.shape)


@dataclass(frozen=True)
class GELU(Layer):
    """x in the share that its size deserves."""

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        return on(layers.gelu)(x)

    def torch(self) -> nn.Module:
        from torch import nn

        return nn.GELU()


def mlp(features: int, names: tuple[str, str, str] = ("fc1", "act", "fc2"), out: int | None = None) -> Sequential:
    """Return a token's two linear layers, four times as wide between them."""
    steps = (Linear(features, 4 * features), GELU(), Linear(4 * features, out or features))
    return Sequential(tuple(zip(names, steps, strict=True)))


# ------------------------------------------------------------------ who comes along


@dataclass(frozen=True)
class Patches(Layer):
    """The tokens without the class token."""

    def output(self, x: Signal) -> Signal:
        _expect_tokens(x)
        return replace(x, shape=(x.shape[0] - 1, x.channels))

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        return x[:, 1:]


@dataclass(frozen=True)
class StillClass(Layer):
    """Zeros before the tokens: added to others, they leave the class token as it is."""

    def output(self, x: Signal) -> Signal:
        _expect_tokens(x)
        return replace(x, shape=(x.shape[0] + 1, x.channels))

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        return namespace(x).pad(x, [(0, 0), (1, 0), (0, 0)])


@dataclass(frozen=True)
class ShareClass(Layer):
    """A copy of the class token for each frame, and back: their mean."""

    frames: int
    back: bool = False

    def output(self, x: Signal) -> Signal:
        _expect_tokens(x)
        gone = 1 - self.frames if self.back else self.frames - 1
        return replace(x, shape=(x.shape[0] + gone, x.channels))

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        xp, (N, _, D) = namespace(x), x.shape
        if self.back:
            x = x.reshape(N, self.frames, -1, D)
            first, patches = xp.mean(x[:, :, 0], axis=1)[:, None], x[:, :, 1:]
        else:
            patches = x[:, 1:].reshape(N, self.frames, -1, D)
            first = xp.broadcast_to(x[:, None, :1], (N, self.frames, 1, D))
            return xp.concatenate((first, patches), axis=2).reshape(N, -1, D)
        return xp.concatenate((first, patches.reshape(N, -1, D)), axis=1)


@dataclass(frozen=True)
class Share(Layer):
    """One of several equal shares of the features: queries, keys or values."""

    index: int
    of: int = 3

    def output(self, x: Signal) -> Signal:
        _expect_tokens(x)
        return replace(x, shape=(x.shape[0], x.channels // self.of))

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        n = x.shape[2] // self.of
        return x[:, :, self.index * n : (self.index + 1) * n]


# ------------------------------------------------------------------ attention


@dataclass(frozen=True)
class Attend(Layer):
    """Tokens look at their neighbors: queries, keys and values side by side, (L, 3D) → (L, D).

    `grid` is the patches' (T, H, W) and `kind` says which of them are neighbors, see
    :func:`vidlearn.transformers.neighborhood`; with several `sets`, as with a class token for each frame, every set has
    such a grid and sees nothing of the others.
    """

    heads: int
    grid: Shape
    kind: Kind = "space-time"
    class_token: Literal["joins", "absent"] = "joins"
    sets: int = 1

    def __post_init__(self) -> None:
        self._neighbors()  # refuses what has none

    def _neighbors(self) -> int:
        return int(transformers.neighborhood(*self.grid, self.kind).shape[1])

    def __str__(self) -> str:
        return f"Attend {self.kind}, {_heads(self.heads)}"

    @property
    def _classes(self) -> int:
        return int(self.class_token == "joins")

    def output(self, x: Signal) -> Signal:
        _expect_tokens(x, self.sets * (self._classes + math.prod(self.grid)))
        _expect_heads(x, self.heads)
        return replace(x, shape=(x.shape[0], x.channels // 3), reach=_looking(x, self.grid, self.kind))

    def macs(self, x: Any, y: Signal) -> int:
        patches = math.prod(self.grid)
        pairs = patches * (self._neighbors() + self._classes) + self._classes * (patches + 1)
        return self.sets * pairs * 2 * y.channels

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        N, L, D = x.shape
        x = x.reshape(N * self.sets, L // self.sets, 3, D // 3)
        q, k, v = x[:, :, 0], x[:, :, 1], x[:, :, 2]
        y = on(transformers.neighborhood_attention)(q, k, v, *self.grid, self.kind, self.class_token, self.heads)
        return y.reshape(N, L, D // 3)


@dataclass(frozen=True)
class Slide(Layer):
    """Frames' tokens look at those near them and at the class token, which looks at all: (1 + T, 3D) → (1 + T, D)."""

    heads: int
    frames: int
    window: int

    def __str__(self) -> str:
        return f"Slide over {self.window}, {_heads(self.heads)}"

    @property
    def _reach(self) -> int:
        return min(self.window // 2, self.frames + 1)

    def output(self, x: Signal) -> Signal:
        _expect_tokens(x, 1 + self.frames)
        _expect_heads(x, self.heads)
        reach = {**x.reach, "T": x.reach["T"].through(2 * self._reach + 1, 1, self._reach)}
        return replace(x, shape=(x.shape[0], x.channels // 3), reach=reach)

    def macs(self, x: Any, y: Signal) -> int:
        """A window's places beyond the clip are computed too."""
        return (1 + self.frames + self.frames * (2 + 2 * self._reach)) * 2 * y.channels

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        D = x.shape[2]
        q, k, v = (split_heads(x[:, :, i * (D // 3) : (i + 1) * (D // 3)], self.heads) for i in range(3))
        y = on(transformers.sliding_window_attention)(q, k, v, self.window)
        return join_heads(y, self.heads)


def attention(features: int, attend: Attend | Slide, project: str = "proj") -> Sequential:
    """Return the projection to queries, keys and values, what they find, and the projection back."""
    steps: tuple[Part, ...] = (
        ("qkv", Linear(features, 3 * features)),
        ("attend", attend),
        (project, Linear(features, features)),
    )
    return Sequential(steps)


# ------------------------------------------------------------------ attention that pools


@dataclass(frozen=True)
class OnGrid(Layer):
    """Tokens through a layer with a window, laid out on their grid; the class token passes by, heads keep apart."""

    layer: Conv | Pool
    grid: Shape
    heads: int = 1

    def __str__(self) -> str:
        return f"OnGrid {self.layer}" + (f", {_heads(self.heads)}" if self.heads > 1 else "")

    def _inside(self, x: Signal) -> Signal:
        _expect_tokens(x, 1 + math.prod(self.grid))
        return replace(x, shape=(x.channels // self.heads, *self.grid), axes=("T", "H", "W"))

    def output(self, x: Signal) -> Signal:
        y = _as_tokens(self.layer.output(self._inside(x)))
        return replace(y, shape=(1 + y.shape[0], x.channels))

    def learned(self) -> dict[str, Shape]:
        return self.layer.learned()

    def macs(self, x: Any, y: Signal) -> int:
        inside = self._inside(x)
        return self.heads * self.layer.macs(inside, self.layer.output(inside))

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        xp, (N, _, D) = namespace(x), x.shape
        grid = x[:, 1:].reshape(N, *self.grid, self.heads, -1)
        grid = xp.moveaxis(xp.moveaxis(grid, 4, 1), 5, 2)
        y = self.layer.apply(grid.reshape(N * self.heads, -1, *self.grid), w, on)
        y = xp.moveaxis(y.reshape(N, D, -1), 1, 2)
        return xp.concatenate((x[:, :1], y), axis=1)


@dataclass(frozen=True)
class PooledAttend(Layer):
    """Queries on one grid look at keys and values on another: three values of tokens, class token first → (L, D).

    With `tables`, three numbers of rows, what a query finds at a key depends also on how far they are apart along the
    height, the width and time; with `residual`, the patches' queries are added to the answer.
    """

    heads: int
    grid: Shape
    seen: Shape
    features: int
    tables: tuple[int, int, int] | None = None
    residual: bool = False

    def __str__(self) -> str:
        return f"Attend {'×'.join(map(str, self.grid))} to {'×'.join(map(str, self.seen))}, {_heads(self.heads)}"

    def output(self, x: tuple[Signal, Signal, Signal]) -> Signal:  # type: ignore[override]
        for signal, grid in zip(x, (self.grid, self.seen, self.seen), strict=True):
            _expect_tokens(signal, 1 + math.prod(grid))
            signal.expect(self.features, "features")
        q, k, _ = x
        seen = _looking(k, self.seen, "space-time")
        return replace(q, reach={axis: q.reach[axis] | seen[axis] for axis in q.reach})

    def learned(self) -> dict[str, Shape]:
        if self.tables is None:
            return {}
        names = ("rel_pos_h", "rel_pos_w", "rel_pos_t")
        return {name: (rows, self.features // self.heads) for name, rows in zip(names, self.tables, strict=True)}

    def macs(self, x: Any, y: Signal) -> int:
        q, k, _ = x
        apart = math.prod(self.grid) * sum(self.seen) if self.tables else 0
        return (2 * q.shape[0] * k.shape[0] + apart) * self.features

    def apply(self, x: Any, w: Mapping[str, Array], on: On) -> Array:
        xp = namespace(x[0])
        q, k, v = (split_heads(a, self.heads) for a in x)
        if self.tables is None:
            y = on(nonlocal_attention.attention)(q, k, v)
        else:
            e = q @ xp.moveaxis(k, 1, 2) * q.shape[2] ** -0.5
            far = self._apart(q[:, 1:], w)
            e = e + xp.pad(far, [(0, 0), (1, 0), (1, 0)])
            y = on(layers.softmax)(e) @ v
        if self.residual:
            y = y + xp.pad(q[:, 1:], [(0, 0), (1, 0), (0, 0)])
        return join_heads(y, self.heads)

    def _apart(self, q: Array, w: Mapping[str, Array]) -> Array:
        """Each query's product with the rows for its distances to all keys, (N, patches, keys)."""
        xp = namespace(q)
        q = q.reshape(q.shape[0], *self.grid, q.shape[2])
        found: Any = 0
        for name, axis, letters in (
            ("rel_pos_h", 1, "nthwd,hkd->nthwk"),
            ("rel_pos_w", 2, "nthwd,wkd->nthwk"),
            ("rel_pos_t", 0, "nthwd,tkd->nthwk"),
        ):
            index = arrays.from_numpy(_distances(self.grid[axis], self.seen[axis]), arrays.backend_of(q))
            each = xp.einsum(letters, q, w[name][index])
            shape = [1, 1, 1]
            shape[axis] = self.seen[axis]
            found = found + each.reshape(*each.shape[:4], *shape)
        return found.reshape(q.shape[0], math.prod(self.grid), -1)


def _distances(queries: int, keys: int) -> np.ndarray:
    """Which row of a table is for query i and key j, on the finer of their two grids: how far they are apart."""
    fine = max(queries, keys)
    q, k = np.arange(queries) * (fine // queries), np.arange(keys) * (fine // keys)
    return q[:, None] - k + (keys - 1) * (fine // keys)
