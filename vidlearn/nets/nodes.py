"""What networks are built of: small frozen dataclasses, layers and ways to arrange them.

A *layer* knows what it makes of a shape, its weights, its multiply-accumulates, how NumPy, torch and CuPy compute it
(through ``vidlearn.layers``), and which ``torch.nn`` module trains it. An *arrangement* knows in which order its parts
run; :meth:`Arrangement.run` says so once, and serves tracing, computing and training alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from vidlearn import layers, nonlocal_attention
from vidlearn.arrays import namespace
from vidlearn.nets.signal import Shape, Signal
from vidlearn.operation import Operation

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "LRN",
    "Arrangement",
    "Branches",
    "Conv",
    "Dropout",
    "Flatten",
    "GlobalPool",
    "Identity",
    "Join",
    "Lateral",
    "Layer",
    "Linear",
    "MergeTime",
    "Node",
    "NonLocalMean",
    "Norm",
    "Pad",
    "Part",
    "Pathways",
    "Pool",
    "ReLU",
    "Residual",
    "Sequential",
    "in_turn",
    "non_local",
    "numbered",
    "side_by_side",
]

Array = Any
#: runs the part of that name on a value
Visit = Callable[[str, "Node", Any], Any]
#: finds the implementation of an operation that fits the arrays at hand
On = Callable[[Operation], Callable[..., Any]]


def _times(sizes: Shape) -> str:
    return "×".join(map(str, sizes))


def _window(kernel: Shape, stride: Shape, padding: Shape) -> str:
    parts = [_times(kernel)]
    parts += [f"/{_times(stride)}"] if max(stride) > 1 else []
    parts += [f"pad {_times(padding)}"] if max(padding) > 0 else []
    return " ".join(parts)


def _check_window(layer: Any, **least: int) -> None:
    """Hold a layer's kernel to two or three numbers, and what goes with it to one number or as many."""
    kernel = layer.kernel
    if not isinstance(kernel, tuple) or len(kernel) not in (2, 3) or min(kernel) < 1:
        raise ValueError(f"kernel: expected two numbers for images or three for clips, got {kernel!r}")
    for name, smallest in least.items():
        value = getattr(layer, name)
        numbers = (value,) * len(kernel) if isinstance(value, int) else tuple(value)
        if len(numbers) != len(kernel) or min(numbers) < smallest:
            raise ValueError(
                f"{name}: expected one number, or {len(kernel)} as the kernel has, of at least {smallest}, got {value}"
            )
        object.__setattr__(layer, name, numbers)


def _check_counts(layer: Any, *names: str) -> None:
    """Hold numbers of channels and features to whole ones of at least 1."""
    for name in names:
        value = getattr(layer, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name}: expected an integer of at least 1, got {value!r}")


class Node:
    """A layer or an arrangement of nodes."""


# ------------------------------------------------------------------ layers


@dataclass(frozen=True)
class Layer(Node):
    """One layer. What it does not define, it has not: no weights, no multiply-accumulates, the shape as it came."""

    @property
    def kind(self) -> str:
        """The layer's name in tables and messages."""
        return type(self).__name__

    def __str__(self) -> str:
        return self.kind

    def output(self, x: Signal) -> Signal:
        """Trace it: what it makes of a shape and of a receptive field, or the sentence that says why it can't."""
        return x

    def learned(self) -> dict[str, Shape]:
        """The weights that training changes by their gradient, with their shapes."""
        return {}

    def kept(self) -> dict[str, Shape]:
        """The statistics that training keeps beside them."""
        return {}

    def macs(self, x: Any, y: Signal) -> int:
        """Multiply-accumulates for one sample with the traced input `x` and answer `y`."""
        return 0

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        """Compute it on (N, …) arrays; ``on(operation)`` is the implementation for these arrays."""
        return x

    def torch(self) -> nn.Module:
        """The ``torch.nn`` module that computes the same and can be trained; its operations, where torch has none."""
        from vidlearn.nets.module import Computed

        return Computed(self)


@dataclass(frozen=True)
class Identity(Layer):
    """Nothing; it stands where a batch norm was folded away."""

    def torch(self) -> nn.Module:
        from torch import nn

        return nn.Identity()


@dataclass(frozen=True)
class Conv(Layer):
    """Convolution with as many axes as `kernel` has numbers: two for images, three for clips.

    `time_border` says what lies before the first and after the last frame: ``"zeros"``, as everywhere, or ``"edge"``,
    that frame again.
    """

    c_in: int
    c_out: int
    kernel: Shape
    stride: Shape | int = 1
    padding: Shape | int = 0
    dilation: Shape | int = 1
    groups: int = 1
    bias: bool = False
    time_border: Literal["zeros", "edge"] = "zeros"

    def __post_init__(self) -> None:
        _check_counts(self, "c_in", "c_out", "groups")
        _check_window(self, stride=1, padding=0, dilation=1)
        if self.c_in % self.groups or self.c_out % self.groups:
            raise ValueError(f"groups: expected a divisor of {self.c_in} and {self.c_out} channels, got {self.groups}")
        if self.time_border not in ("zeros", "edge") or (self.time_border == "edge" and len(self.kernel) == 2):
            raise ValueError(f"time_border: expected 'zeros', or 'edge' for clips, got {self.time_border!r}")

    def __str__(self) -> str:
        groups = f", {self.groups} groups" if self.groups > 1 else ""
        return f"Conv {_window(self.kernel, self.stride, self.padding)}, {self.c_in}→{self.c_out}{groups}"  # type: ignore[arg-type]

    def output(self, x: Signal) -> Signal:
        x.expect(self.c_in)
        return x.windowed(self.c_out, self.kernel, self.stride, self.padding, self.dilation)  # type: ignore[arg-type]

    def learned(self) -> dict[str, Shape]:
        weight = {"weight": (self.c_out, self.c_in // self.groups, *self.kernel)}
        return {**weight, "bias": (self.c_out,)} if self.bias else weight

    def macs(self, x: Any, y: Signal) -> int:
        return math.prod(y.positions) * math.prod(self.learned()["weight"])

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        padding = self.padding
        if self.time_border == "edge" and padding[0]:  # type: ignore[index]
            x = namespace(x).pad(x, self._border(x.ndim), mode="edge")
            padding = (0, *padding[1:])  # type: ignore[index]
        convolve = on(layers.conv3d if len(self.kernel) == 3 else layers.conv2d)
        return convolve(x, w["weight"], w.get("bias"), self.stride, padding, self.dilation, self.groups)

    def _border(self, axes: int) -> list[tuple[int, int]]:
        border = [(0, 0)] * axes
        border[2] = (self.padding[0],) * 2  # type: ignore[index]
        return border

    def torch(self) -> nn.Module:
        from torch import nn

        from vidlearn.nets.module import EdgeConv3d

        kinds: dict[int, Any] = {2: nn.Conv2d, 3: EdgeConv3d if self.time_border == "edge" else nn.Conv3d}
        return kinds[len(self.kernel)](
            self.c_in, self.c_out, self.kernel, self.stride, self.padding, self.dilation, self.groups, self.bias
        )


@dataclass(frozen=True)
class Norm(Layer):
    """Batch norm over everything but the channels."""

    channels: int
    eps: float = 1e-5
    momentum: float = 0.1
    axes: int = 3  # of the positions, for torch, which has one module for each
    gamma: float = 1.0  # what training starts its scale from; 0 as the last of a residual's body: it starts as nothing

    def __str__(self) -> str:
        return f"Norm {self.channels}"

    def output(self, x: Signal) -> Signal:
        x.expect(self.channels)
        if len(x.positions) != self.axes:
            raise ValueError(f"expected {self.axes} axes besides the channels, got shape {x.shape}; set Norm's axes")
        return x

    def learned(self) -> dict[str, Shape]:
        return {"weight": (self.channels,), "bias": (self.channels,)}

    def kept(self) -> dict[str, Shape]:
        return {"running_mean": (self.channels,), "running_var": (self.channels,)}

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        return on(layers.batch_norm)(x, w["weight"], w["bias"], w["running_mean"], w["running_var"], self.eps)

    def torch(self) -> nn.Module:
        from torch import nn

        kind = nn.BatchNorm3d if self.axes == 3 else nn.BatchNorm2d
        norm = kind(self.channels, eps=self.eps, momentum=self.momentum)
        nn.init.constant_(norm.weight, self.gamma)
        return norm


@dataclass(frozen=True)
class LRN(Layer):
    """Local response normalization across neighboring channels, as AlexNet and VGG-M have it."""

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 2.0

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        return on(layers.local_response_norm)(x, self.size, self.alpha, self.beta, self.k)

    def torch(self) -> nn.Module:
        from torch import nn

        return nn.LocalResponseNorm(self.size, self.alpha, self.beta, self.k)


@dataclass(frozen=True)
class ReLU(Layer):
    """max(x, 0)."""

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        return on(layers.relu)(x)

    def torch(self) -> nn.Module:
        from torch import nn

        return nn.ReLU()


@dataclass(frozen=True)
class Dropout(Layer):
    """Leaves out a share of the features while training; nothing otherwise."""

    p: float = 0.5

    def torch(self) -> nn.Module:
        from torch import nn

        return nn.Dropout(self.p)


@dataclass(frozen=True)
class Pad(Layer):
    """Zeros around the positions, not always the same number on both sides: (before, after) for each axis."""

    widths: tuple[tuple[int, int], ...]

    def output(self, x: Signal) -> Signal:
        if len(self.widths) != len(x.positions):
            raise ValueError(f"expected {len(self.widths)} axes besides the channels, got shape {x.shape}")
        sizes = tuple(n + a + b for n, (a, b) in zip(x.positions, self.widths, strict=True))
        moved = {
            axis: replace(r := x.reach[axis], low=r.low - a * r.jump, high=r.high - a * r.jump)
            for axis, (a, _) in zip(x.axes, self.widths, strict=True)
        }
        return replace(x, shape=(x.channels, *sizes), reach={**x.reach, **moved})

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        return namespace(x).pad(x, [(0, 0), (0, 0), *self.widths])

    def torch(self) -> nn.Module:
        from torch import nn

        flat: Any = tuple(n for pair in reversed(self.widths) for n in pair)
        return nn.ConstantPad3d(flat, 0.0) if len(self.widths) == 3 else nn.ConstantPad2d(flat, 0.0)


@dataclass(frozen=True)
class Pool(Layer):
    """The largest value, or the mean, of a window; its stride is its kernel unless it says otherwise."""

    kernel: Shape
    stride: Shape | None = None
    padding: Shape | int = 0
    how: Literal["max", "mean"] = "max"

    def __post_init__(self) -> None:
        if self.stride is None:
            object.__setattr__(self, "stride", self.kernel)
        _check_window(self, stride=1, padding=0)
        if self.how not in ("max", "mean") or (self.how == "mean" and len(self.kernel) == 2):
            raise ValueError(f"how: expected 'max', or 'mean' for clips, got {self.how!r}")
        if any(2 * p > k for p, k in zip(self.padding, self.kernel, strict=True)):  # type: ignore[arg-type]
            raise ValueError(f"padding: expected at most half the kernel {self.kernel}, got {self.padding}")

    def __str__(self) -> str:
        return f"{self.how.capitalize()}Pool {_window(self.kernel, self.stride, self.padding)}"  # type: ignore[arg-type]

    def output(self, x: Signal) -> Signal:
        return x.windowed(x.channels, self.kernel, self.stride, self.padding)  # type: ignore[arg-type]

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        if self.how == "mean":
            return on(layers.avg_pool3d)(x, self.kernel, self.stride, self.padding)
        pool = layers.max_pool3d if len(self.kernel) == 3 else layers.max_pool2d
        return on(pool)(x, self.kernel, self.stride, self.padding)

    def torch(self) -> nn.Module:
        from torch import nn

        kinds: dict[Any, Any] = {("max", 2): nn.MaxPool2d, ("max", 3): nn.MaxPool3d, ("mean", 3): nn.AvgPool3d}
        return kinds[self.how, len(self.kernel)](self.kernel, self.stride, self.padding)


@dataclass(frozen=True)
class GlobalPool(Layer):
    """The mean over all positions."""

    axes: int = 3

    def output(self, x: Signal) -> Signal:
        if len(x.positions) != self.axes:
            raise ValueError(f"expected {self.axes} axes besides the channels, got shape {x.shape}")
        return x.pooled()

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        return on(layers.global_avg_pool)(x).reshape(*x.shape[:2], *(1,) * self.axes)

    def torch(self) -> nn.Module:
        from torch import nn

        return nn.AdaptiveAvgPool3d(1) if self.axes == 3 else nn.AdaptiveAvgPool2d(1)


@dataclass(frozen=True)
class NonLocalMean(Layer):
    """At each position of the first of three values the mean of the third, weighted by how the first fits the second."""

    pairwise: Literal["gaussian", "embedded gaussian", "dot product"] = "embedded gaussian"

    def __str__(self) -> str:
        return f"NonLocalMean, {self.pairwise}"

    def output(self, x: tuple[Signal, Signal, Signal]) -> Signal:  # type: ignore[override]
        theta, phi, g = x
        if theta.channels != phi.channels or phi.positions != g.positions:
            raise ValueError(f"expected queries, keys and values that fit, got shapes {[a.shape for a in x]}")
        everywhere = g.pooled().reach
        reach = {axis: theta.reach[axis] | everywhere[axis] for axis in theta.reach}
        return replace(theta, shape=(g.channels, *theta.positions), reach=reach)

    def macs(self, x: Any, y: Signal) -> int:
        theta, phi, g = x
        return math.prod(theta.positions) * math.prod(phi.positions) * (theta.channels + g.channels)

    def apply(self, x: Any, w: Mapping[str, Array], on: On) -> Array:
        theta, phi, g = (namespace(a).moveaxis(a.reshape(*a.shape[:2], -1), 1, 2) for a in x)
        y = on(nonlocal_attention.nonlocal_mean)(theta, phi, g, self.pairwise)
        return namespace(y).moveaxis(y, 2, 1).reshape(*x[2].shape[:2], *x[0].shape[2:])


@dataclass(frozen=True)
class MergeTime(Layer):
    """All frames' channels side by side, (C, T, H, W) as (C·T, H, W): early fusion's first step."""

    def output(self, x: Signal) -> Signal:
        if x.axes != ("T", "H", "W"):
            raise ValueError(f"expected a clip (C, T, H, W), got shape {x.shape} with axes {('C', *x.axes)}")
        return x.gathered((x.shape[0] * x.shape[1], *x.shape[2:]), ("H", "W"))

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        return x.reshape(x.shape[0], -1, *x.shape[3:])

    def torch(self) -> nn.Module:
        from torch import nn

        return nn.Flatten(1, 2)


@dataclass(frozen=True)
class Flatten(Layer):
    """Everything but the batch in one row of features."""

    def output(self, x: Signal) -> Signal:
        return x.gathered((math.prod(x.shape),))

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        return x.reshape(x.shape[0], -1)

    def torch(self) -> nn.Module:
        from torch import nn

        return nn.Flatten()


@dataclass(frozen=True)
class Linear(Layer):
    """A fully connected layer on a row of features, or on each token."""

    n_in: int
    n_out: int
    bias: bool = True

    def __post_init__(self) -> None:
        _check_counts(self, "n_in", "n_out")

    def __str__(self) -> str:
        return f"Linear {self.n_in}→{self.n_out}"

    def output(self, x: Signal) -> Signal:
        if len(x.shape) > 1 and not x.tokens:
            raise ValueError(f"expected a row of features, got shape {x.shape}; put Flatten before it")
        x.expect(self.n_in, "features")
        return replace(x, shape=(*x.shape[:-1], self.n_out))

    def learned(self) -> dict[str, Shape]:
        return {"weight": (self.n_out, self.n_in), **({"bias": (self.n_out,)} if self.bias else {})}

    def macs(self, x: Any, y: Signal) -> int:
        return math.prod(y.shape) * self.n_in

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        return on(layers.linear)(x, w["weight"], w.get("bias"))

    def torch(self) -> nn.Module:
        from torch import nn

        return nn.Linear(self.n_in, self.n_out, self.bias)


# ------------------------------------------------------------------ arrangements

Part = tuple[str, Node]


@dataclass(frozen=True)
class Arrangement(Node):
    """Named parts, and the order in which they run.

    A part's name is its place in the weights' names; a part may be named "": its weights are called as if they were
    the arrangement's own. A value that runs through may be a tuple, one for each of several pathways.
    """

    def __post_init__(self) -> None:
        names = list(self._names())
        bad = [name for name in names if "." in name or names.count(name) > 1]
        if bad:
            raise ValueError(
                f"parts: expected a name of its own, without a dot, for each; got {bad[0]!r} among {names}"
            )
        if () in self.chains() and isinstance(self, Pathways):
            raise ValueError("paths: expected at least one part in each; where a branch does nothing, put Identity()")

    def _names(self) -> Iterator[str]:
        """The names of the parts, and of the parts of those that have none."""
        for name, part in self.parts():
            if isinstance(part, Arrangement) and not name:
                yield from part._names()
            else:
                yield name

    def chains(self) -> list[tuple[Part, ...]]:
        """The parts that run one after the other, chain by chain."""
        return [value for field in fields(self) if isinstance(value := getattr(self, field.name), tuple)]

    def parts(self) -> Iterator[Part]:
        """All parts by name, in the order in which they run."""
        for chain in self.chains():
            yield from chain

    def rebuilt(self, change: Callable[[str, Node], Node]) -> Arrangement:
        """The same arrangement of changed parts."""
        return replace(
            self,
            **{
                field.name: tuple((name, change(name, part)) for name, part in value)
                for field in fields(self)
                if isinstance(value := getattr(self, field.name), tuple)
            },
        )

    def run(self, visit: Visit, x: Any) -> Any:
        """Run the parts on a value of any kind: a traced signal, an array of any library."""
        raise NotImplementedError


@dataclass(frozen=True)
class Sequential(Arrangement):
    """One after the other."""

    steps: tuple[Part, ...]

    def run(self, visit: Visit, x: Any) -> Any:
        for name, part in self.steps:
            x = visit(name, part, x)
        return x


def numbered(*steps: Node) -> Sequential:
    """One after the other, named "0", "1", … as torch's own Sequential does."""
    return Sequential(tuple((str(i), step) for i, step in enumerate(steps)))


def _is_own(parts: tuple[Part, ...]) -> bool:
    """Whether the last answer lies in memory of its own that no gradient needs as it is."""
    for _, part in reversed(parts):
        if not isinstance(part, Identity):
            return _is_own(part.steps) if isinstance(part, Sequential) else isinstance(part, Conv | Norm | Linear)
    return False


@dataclass(frozen=True)
class Residual(Arrangement):
    """What the body adds to the input, or to a shortcut from it; then `after`, most often a ReLU."""

    body: tuple[Part, ...]
    shortcut: tuple[Part, ...] = ()
    after: tuple[Part, ...] = (("relu", ReLU()),)

    def run(self, visit: Visit, x: Any) -> Any:
        y, rest = x, x
        for name, part in self.body:
            y = visit(name, part, y)
        for name, part in self.shortcut:
            rest = visit(name, part, rest)
        if _is_own(self.body):
            y += rest  # in place where it can be
        else:
            y = y + rest
        for name, part in self.after:
            y = visit(name, part, y)
        return y


def in_turn(*bodies: tuple[Part, ...]) -> Sequential:
    """One residual after the other, all their parts named as one block's: each body adds to what came out before."""
    return Sequential(tuple(("", Residual(body, after=())) for body in bodies))


def side_by_side(values: tuple[Any, ...]) -> Any:
    """Concatenate the channels of signals, or of arrays of any library."""
    if isinstance(values[0], Signal):
        joined = values[0]
        for value in values[1:]:
            joined = joined.beside(value)
        return joined
    return namespace(values[0]).concatenate(values, axis=1)


@dataclass(frozen=True)
class Pathways(Arrangement):
    """Side by side: one chain of parts for each value of a tuple, or each on the same value; the answer is a tuple."""

    paths: tuple[tuple[Part, ...], ...]

    def chains(self) -> list[tuple[Part, ...]]:
        return list(self.paths)

    def rebuilt(self, change: Callable[[str, Node], Node]) -> Pathways:
        return type(self)(tuple(tuple((name, change(name, part)) for name, part in path) for path in self.paths))

    def run(self, visit: Visit, x: Any) -> Any:
        values = x if isinstance(x, tuple) else (x,) * len(self.paths)
        if len(values) != len(self.paths):
            raise ValueError(f"expected {len(self.paths)} pathways, got {len(values)}")
        answers = []
        for path, y in zip(self.paths, values, strict=True):
            for name, part in path:
                y = visit(name, part, y)
            answers.append(y)
        return tuple(answers)


@dataclass(frozen=True)
class Branches(Pathways):
    """Side by side on the same input, each one part after the other, and their channels concatenated."""

    def run(self, visit: Visit, x: Any) -> Any:
        return side_by_side(super().run(visit, x))


@dataclass(frozen=True)
class Join(Arrangement):
    """The end of pathways: their channels concatenated."""

    def run(self, visit: Visit, x: Any) -> Any:
        return side_by_side(_several(x))


@dataclass(frozen=True)
class Lateral(Arrangement):
    """What the steps make of the second pathway, concatenated to the first; the second goes on as it is."""

    steps: tuple[Part, ...]

    def run(self, visit: Visit, x: Any) -> Any:
        first, second = _several(x, 2)
        y = second
        for name, part in self.steps:
            y = visit(name, part, y)
        return side_by_side((first, y)), second


def _several(x: Any, count: int | None = None) -> tuple[Any, ...]:
    if not isinstance(x, tuple) or (count and len(x) != count):
        got = f"{len(x)} pathways" if isinstance(x, tuple) else "one value"
        raise ValueError(f"expected {count or 'several'} pathways, got {got}; put Pathways before it")
    return x


def non_local(
    channels: int,
    inner: int | None = None,
    pool: Shape = (1, 2, 2),
    pairwise: Literal["embedded gaussian", "dot product"] = "embedded gaussian",
    pool_first: bool = False,
) -> Residual:
    """Return a non-local block: what every position finds at all others, added to it; it starts as an identity.

    `inner` channels, half of them unless it is said, meet. What is looked at is max-pooled, after its projection as in
    the paper or, cheaper, before it. (Wang et al., "Non-local neural networks", CVPR 2018.)
    """
    inner = inner or channels // 2

    def project(name: str, pooled: bool) -> tuple[Part, ...]:
        conv: Part = (name, Conv(channels, inner, (1, 1, 1), bias=True))
        if not pooled or max(pool) == 1:
            return (conv,)
        small: Part = (f"{name}_pool", Pool(pool))
        return (small, conv) if pool_first else (conv, small)

    look = Pathways((project("conv_theta", False), project("conv_phi", True), project("conv_g", True)))
    body: tuple[Part, ...] = (
        ("", look),
        ("mean", NonLocalMean(pairwise)),
        ("conv_out", Conv(inner, channels, (1, 1, 1), bias=True)),
        ("norm", Norm(channels, gamma=0.0)),
    )
    return Residual(body, after=())
