"""A network as a ``torch.nn.Module``: the same tree, the same names, ready to train and to load checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from vidlearn.nets.nodes import Arrangement, Conv, Layer, Linear, Node, Norm, ReLU, Residual

if TYPE_CHECKING:
    from vidlearn.nets.net import Net

__all__ = ["Checked", "Computed", "EdgeConv3d", "build"]


class Checked:
    """Runs before a network's module does: what it can't take is one sentence, as for :meth:`Net.forward`."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.known: set[tuple[int, ...]] = set()

    def __call__(self, module: nn.Module, given: tuple[Any, ...]) -> None:
        """Trace each shape once."""
        x = given[0] if given else None
        if not isinstance(x, torch.Tensor):
            raise TypeError(f"x: expected a tensor of shape (N, …), got {type(x).__name__}")
        shape = tuple(map(int, x.shape[1:]))
        if shape not in self.known:
            self.net.check_input(x)
            self.known.add(shape)
        if not x.is_floating_point():
            raise TypeError(f"x: expected floating-point numbers, got {x.dtype}; x.float() / 255 of decoded frames")


class EdgeConv3d(nn.Conv3d):
    """Convolution that repeats the first and the last frame where others pad time with zeros."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Pad time by the edge, space by zeros."""
        time, *space = (int(p) for p in self.padding)
        index = torch.arange(-time, input.shape[2] + time, device=input.device)
        input = input.index_select(2, index.clamp(0, input.shape[2] - 1))
        return nn.functional.conv3d(input, self.weight, self.bias, self.stride, (0, *space), self.dilation, self.groups)


class Computed(nn.Module):
    """A layer that torch has no module for: its operations, by torch."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self._layer = layer
        for name, shape in layer.learned().items():
            weight = torch.full(shape, 1.0 if name == "weight" else 0.0)
            if len(shape) > 1:
                nn.init.kaiming_normal_(weight) if name == "weight" else nn.init.normal_(weight, std=0.02)
            self.register_parameter(name, nn.Parameter(weight))

    def forward(self, x: Any) -> Any:
        """Compute the layer; gradients flow through it."""
        weights = {name: getattr(self, name) for name in self._layer.learned()}
        return self._layer.apply(x, weights, lambda operation: operation.on("torch"))


class _Arranged(nn.Module):
    def __init__(self, node: Arrangement) -> None:
        super().__init__()
        self._node = node
        self._unnamed: dict[Node, nn.Module] = {}  # a dict keeps them out of the weights' names
        for chain in node.chains():
            # a ReLU may work in place on what was made for it alone: a layer's answer, or a residual block's sum
            own = isinstance(node, Residual) and chain is node.after
            for name, part in chain:
                module = build(part)
                if own and isinstance(part, ReLU):
                    module.inplace = True  # type: ignore[assignment]
                if name:
                    self.add_module(name, module)
                else:
                    self._adopt(part, module)
                own = isinstance(part, Conv | Norm | Linear)

    def forward(self, x: Any) -> Any:
        """Run the parts as the arrangement says."""
        return self._node.run(self._visit, x)

    def _adopt(self, part: Node, module: nn.Module) -> None:
        """Run a part under no name: its weights are this module's own, in the same dictionaries."""
        self._unnamed[part] = module
        _share(self, module)

    def train(self, mode: bool = True) -> _Arranged:
        """Tell the parts without a name too."""
        for module in self._unnamed.values():
            module.train(mode)
        return super().train(mode)

    def _visit(self, name: str, part: Node, x: Any) -> Any:
        return (self._modules[name] if name else self._unnamed[part])(x)  # type: ignore[misc]


def _share(owner: nn.Module, module: nn.Module) -> None:
    """Let a module keep its weights, statistics and parts where its owner does."""
    for kept in ("_parameters", "_buffers", "_modules"):
        getattr(owner, kept).update(getattr(module, kept))
        module.__dict__[kept] = getattr(owner, kept)
    for inner in getattr(module, "_unnamed", {}).values():
        _share(owner, inner)


def build(node: Node) -> nn.Module:
    """Return the module of a node."""
    if isinstance(node, Layer):
        return node.torch()
    assert isinstance(node, Arrangement)
    return _Arranged(node)
