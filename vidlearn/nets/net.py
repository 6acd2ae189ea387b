"""A network: a tree of nodes with a name, and all that can be read off the tree."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vidlearn import arrays
from vidlearn.nets.nodes import Arrangement, Conv, Identity, Layer, Node, Norm
from vidlearn.nets.signal import Shape, Signal

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

__all__ = ["Net", "Row"]

Array = Any
Weights = Mapping[str, Array]


@dataclass(frozen=True)
class Row:
    """One layer of a network, as traced for one input shape."""

    path: str
    layer: Layer
    shape: Shape
    field: Shape  # receptive field along each axis of the input
    clipped: Shape  # the same, no larger than the input
    parameters: int
    macs: int


@dataclass(frozen=True)
class Net:
    """A network as data.

    Parameters
    ----------
    name
        Its name, as in the zoo.
    body
        The tree of named parts; their names are the weights' names.
    input
        The usual shape of one input, (C, T, H, W) or (C, H, W).
    source
        The paper or the slide that it is from.

    Examples
    --------
    >>> from vidlearn import nets
    >>> net = nets.c3d(classes=487)
    >>> net.macs() / 1e9, net.parameters() / 1e6             # multiply-accumulates and weights, in billions and millions
    (38.53..., 65.31...)
    """

    name: str
    body: Node
    input: Shape
    source: str = ""

    # -------------------------------------------------------------- read off the tree

    def rows(self, shape: Shape | None = None) -> list[Row]:
        """Trace one input of `shape` and return a row for each layer, in the order in which they run.

        Raises
        ------
        ValueError
            If a layer can't take what reaches it: the sentence names the layer, the axis, what came, what was expected.
        """
        return self._trace(shape)[0]

    def output(self, shape: Shape | None = None) -> Shape:
        """Return the shape of the answer to one input of `shape`."""
        return self._trace(shape)[1].shape

    def parameters(self) -> int:
        """Return how many numbers training changes by their gradient (batch norm's scale and offset among them)."""
        return sum(math.prod(s) for layer in self.layers().values() for s in layer.learned().values())

    def macs(self, shape: Shape | None = None) -> int:
        """Return the multiply-accumulates of convolutions, linear layers and attention for one sample: no bias, norm, pooling."""
        return sum(row.macs for row in self.rows(shape))

    def layers(self) -> dict[str, Layer]:
        """Return every layer by its path."""
        return dict(_layers("", self.body))

    def shapes(self) -> dict[str, Shape]:
        """Return the name and the shape of every weight, those that training keeps and does not learn included."""
        return {
            _join(path, name): shape
            for path, layer in self.layers().items()
            for name, shape in {**layer.learned(), **layer.kept()}.items()
        }

    def table(self, shape: Shape | None = None) -> str:
        """Return the layer table as text: output shape, receptive field, parameters, MACs."""
        rows = self.rows(shape)
        head = ("layer", "", "output", "receptive field", "parameters", "MACs")
        lines = [
            (
                row.path,
                str(row.layer),
                "×".join(map(str, row.shape)),
                "×".join(map(str, row.clipped)),
                f"{row.parameters:,}",
                f"{row.macs:,}",
            )
            for row in rows
        ]
        shape_text = "×".join(map(str, tuple(self.input if shape is None else shape)))
        lines.append((self.name, shape_text, "", "", f"{self.parameters():,}", f"{self.macs(shape):,}"))
        widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]

        def text(line: tuple[str, ...]) -> str:
            cells = [c.ljust(w) if i < 4 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))]
            return "  ".join(cells).rstrip()

        return "\n".join([text(head), *map(text, lines)])

    def draw(self, shape: Shape | None = None) -> Figure:
        """Draw the network for inputs of `shape`, from left to right; blocks that repeat are drawn once."""
        from vidlearn.nets.draw import draw

        return draw(self, shape)

    # -------------------------------------------------------------- compute

    def initial(self, seed: int = 0, dtype: str = "float32") -> dict[str, np.ndarray]:
        """Return random weights: He's normal for convolutions and linear layers, 1 and 0 for norms, small embeddings."""
        rng = np.random.default_rng(seed)
        weights = {}
        for path, layer in self.layers().items():
            for name, shape in {**layer.learned(), **layer.kept()}.items():
                if len(shape) > 1:
                    spread = math.sqrt(2 / math.prod(shape[1:])) if name == "weight" else 0.02
                    value = spread * rng.standard_normal(shape)
                else:
                    start = {"weight": getattr(layer, "gamma", 1.0), "running_var": 1.0}.get(name, 0.0)
                    value = np.full(shape, start)
                weights[_join(path, name)] = value.astype(dtype)
        return weights

    def forward(self, x: Array, weights: Weights) -> Array:
        """Compute the network on a batch (N, …), by the layer operations of the library that `x` belongs to.

        Parameters
        ----------
        x
            NumPy, torch or CuPy array of shape (N, *input).
        weights
            Arrays of the same library and dtype by name: :meth:`initial`, or a checkpoint; see :meth:`shapes`.

        Raises
        ------
        ValueError, TypeError
            If a weight is missing, left over or of another shape, or a layer can't take what reaches it.
        """
        if not isinstance(weights, Mapping):
            raise TypeError(
                f"weights: expected arrays by name, got {type(weights).__name__}; it is forward(x, weights)"
            )
        backend = arrays.backend_of(x, *weights.values())
        self._check(x, weights)

        half = "float16" in str(x.dtype)  # bfloat16 too: the operation itself computes these in float32

        def on(operation: Any) -> Any:
            return operation if half else operation.on(backend)

        by_path: dict[str, dict[str, Array]] = {}
        for name, value in weights.items():
            path, _, short = name.rpartition(".")
            by_path.setdefault(path, {})[short] = value

        def run(path: str, node: Node, value: Array) -> Array:
            if isinstance(node, Layer):
                return node.apply(value, by_path.get(path, {}), on)
            assert isinstance(node, Arrangement)
            return node.run(lambda name, part, v: run(_join(path, name), part, v), value)

        return run("", self.body, x)

    def to_torch(self, weights: Weights | None = None) -> nn.Module:
        """Return the ``torch.nn.Module`` of the network, with torch's own initial weights or with `weights`."""
        import importlib

        made = importlib.import_module("vidlearn.nets.module")
        module = made.build(self.body)
        module.register_forward_pre_hook(made.Checked(self))
        if weights is not None:
            torch = importlib.import_module("torch")
            self.check_weights(weights)
            kind = self._kind(weights)
            tensors = {
                n: v.detach().cpu() if torch.is_tensor(v) else torch.as_tensor(np.asarray(arrays.to_numpy(v)))
                for n, v in weights.items()
            }
            if kind:
                module = module.to(getattr(torch, kind))
            module.load_state_dict(tensors, strict=False)  # norms' num_batches_tracked may be missing
        return module

    # -------------------------------------------------------------- change the tree

    def replaced(self, layers: Mapping[str, Node]) -> Net:
        """Return the network with other nodes at some paths."""

        left = set(layers)

        def change(path: str, node: Node) -> Node:
            left.discard(path)
            if path in layers:
                return layers[path]
            if isinstance(node, Arrangement):
                return node.rebuilt(lambda name, part: change(_join(path, name), part))
            return node

        changed = replace(self, body=change("", self.body))
        if left:
            raise ValueError(f"layers: {self.name} has no part {', '.join(sorted(left))}; see its table()")
        return changed

    def folded(self, weights: Weights) -> tuple[Net, dict[str, Array]]:
        """Return the network in inference form, every batch norm folded into the convolution before it, and its weights.

        ``y = γ (W x + b − μ)/σ + β`` is a convolution again, of weights ``W γ/σ`` and bias ``β + (b − μ) γ/σ``.
        """
        from vidlearn import layers as operations

        self.check_weights(weights)
        pairs = self._trace(None)[2]
        changed: dict[str, Node] = {}
        folded = dict(weights)
        for norm_path, conv_path in pairs.items():
            conv, norm = self.layers()[conv_path], self.layers()[norm_path]
            assert isinstance(conv, Conv)
            assert isinstance(norm, Norm)
            w, b = folded.pop(f"{conv_path}.weight"), folded.pop(f"{conv_path}.bias", None)
            norms = [folded.pop(f"{norm_path}.{n}") for n in ("weight", "bias", "running_mean", "running_var")]
            folded.pop(f"{norm_path}.num_batches_tracked", None)
            folded[f"{conv_path}.weight"], folded[f"{conv_path}.bias"] = operations.fold_batch_norm(
                w, b, *norms, norm.eps
            )
            changed |= {conv_path: replace(conv, bias=True), norm_path: Identity()}
        return self.replaced(changed), folded

    # -------------------------------------------------------------- inside

    def _trace(self, shape: Shape | None) -> tuple[list[Row], Signal, dict[str, str]]:
        """Return the rows, the last signal, and for every norm that follows a convolution alone, that convolution."""
        try:
            start = Signal.input(self.input if shape is None else tuple(shape))
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None
        extents = dict(zip(start.axes, start.positions, strict=True))
        rows: list[Row] = []
        made: dict[str, tuple[Layer, Signal]] = {}
        follows: dict[str, str] = {}

        def visit(path: str, node: Node, x: Any) -> Any:
            if isinstance(node, Arrangement):
                try:
                    return node.run(lambda name, part, v: visit(_join(path, name), part, v), x)
                except ValueError as error:
                    raise error if getattr(error, "located", False) else self._located(path, node, error) from None
            assert isinstance(node, Layer)
            for signal in x if isinstance(x, tuple) else (x,):
                signal.uses.append(path)
            if isinstance(node, Norm) and x.source:
                follows[path] = x.source
            try:
                y = replace(node.output(x), source=path, uses=[])
            except ValueError as error:
                raise self._located(path, node, error) from None
            learned = sum(math.prod(s) for s in node.learned().values())
            clipped = tuple(min(size, extents[axis]) for axis, size in zip(y.reach, y.field, strict=True))
            rows.append(Row(path, node, y.shape, y.field, clipped, learned, node.macs(x, y)))
            made[path] = (node, y)
            return y

        last = visit("", self.body, start)
        if isinstance(last, tuple):
            raise ValueError(f"{self.name}: expected one answer at the end, got {len(last)} pathways; put Join() there")
        alone = {
            norm: conv
            for norm, conv in follows.items()
            if isinstance(made[conv][0], Conv) and made[conv][1].uses == [norm]
        }
        return rows, last, alone

    def _located(self, path: str, node: Node, error: ValueError) -> ValueError:
        where = f"{self.name}: {path or 'the input'} ({node if isinstance(node, Layer) else type(node).__name__})"
        located = ValueError(f"{where}: {error}")
        located.located = True  # type: ignore[attr-defined]
        return located

    def check_input(self, x: Array) -> None:
        """Refuse a batch that a layer can't take with the sentence that names the layer."""
        if not hasattr(x, "shape") or len(x.shape) < 2 or x.shape[0] < 1:
            got = tuple(x.shape) if hasattr(x, "shape") else type(x).__name__
            raise ValueError(f"x: expected an array of shape (N, {', '.join(map(str, self.input))}), got {got}")
        if len(x.shape) == len(self.input):
            raise ValueError(f"x: expected a batch (N, …), got shape {tuple(x.shape)}; a single input is x[None]")
        self._trace(tuple(map(int, x.shape[1:])))

    def _check(self, x: Array, weights: Weights) -> None:
        self.check_input(x)
        self.check_weights(weights)
        wanted, kind = self._kind(weights), str(x.dtype).removeprefix("torch.")
        if wanted and kind != wanted:
            raise TypeError(f"x: expected {wanted}, as the weights are, got {kind}; convert one of them")

    def _kind(self, weights: Weights) -> str:
        """The floating-point type of the weights, or nothing where there are none."""
        known = self.shapes()
        kinds = sorted({str(w.dtype).removeprefix("torch.") for n, w in weights.items() if n in known})
        if len(kinds) > 1:
            raise TypeError(
                f"weights: expected one floating-point type, got {' and '.join(kinds)}; convert some of them"
            )
        return kinds[0] if kinds else ""

    def check_weights(self, weights: Weights) -> None:
        """Refuse weights of other names or shapes with a sentence that names the first few."""
        wanted = self.shapes()
        got = {n: tuple(w.shape) for n, w in weights.items() if not n.endswith("num_batches_tracked")}
        missing, extra = [n for n in wanted if n not in got], [n for n in got if n not in wanted]
        if missing or extra:
            said = [
                f"{len(names)} {what} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
                for names, what in ((missing, "missing"), (extra, "unknown"))
                if names
            ]
            raise ValueError(
                f"weights: expected the {len(wanted)} names of {self.name}, got {len(got)}: {'; '.join(said)}"
            )
        for name, shape in wanted.items():
            if got[name] != shape:
                raise ValueError(f"weights: {name}: expected shape {shape}, got {got[name]}")

    def _repr_html_(self) -> str:
        import html

        return f"<pre>{html.escape(self.table())}</pre>"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name


def _layers(path: str, node: Node) -> Iterator[tuple[str, Layer]]:
    if isinstance(node, Layer):
        yield path, node
    elif isinstance(node, Arrangement):
        for name, part in node.parts():
            yield from _layers(_join(path, name), part)
