"""A whole 2D network made 3D: cubes for squares, weights repeated over time and divided."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

from vidlearn import inflation
from vidlearn.nets.net import Net
from vidlearn.nets.nodes import Conv, GlobalPool, Layer, Node, Norm, Pad, Pool

__all__ = ["inflate"]


def inflate(
    net: Net,
    weights: Mapping[str, Any],
    *,
    frames: int = 8,
    kernel: int | Callable[[str, Conv], int] | None = None,
    stride: Mapping[str, int] | None = None,
    time_border: Literal["zeros", "edge"] = "zeros",
) -> tuple[Net, dict[str, Any]]:
    """Return a network for clips made of one for images, and its weights: it starts out as good as the 2D one.

    Every convolution kernel is repeated over time and divided by its new length (:func:`vidlearn.inflation.inflate`);
    norms and linear layers stay as they are. A *boring video*, one frame repeated, then gives what the 2D network gives
    for the frame, exactly, where no window reaches over the clip's ends: with ``time_border="edge"`` everywhere; with
    ``"zeros"``, as networks are trained, at positions whose receptive field in time lies inside the clip.

    Parameters
    ----------
    net
        A network for images, such as ``nets.resnet50()``.
    weights
        Its weights.
    frames
        The frames of a clip, for tables and pictures; the network takes other numbers too.
    kernel
        How many frames each convolution shall see: an odd number, a function of its path and itself, or None for as
        many as it is wide (Carreira and Zisserman's cubes).
    stride
        Strides in time by path, for convolutions and pools; 1 elsewhere.
    time_border
        What lies beyond the clip's ends: zeros, or the first and last frame again.

    Raises
    ------
    ValueError
        If the network is not one for images, a kernel is even, or the clip does not fit a layer: AlexNet's and VGG's
        linear layers look at all positions and take one frame only.

    References
    ----------
    .. [1] J. Carreira and A. Zisserman, "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset", CVPR 2017.

    Examples
    --------
    >>> from vidlearn import nets
    >>> resnet = nets.resnet18()
    >>> clip_net, weights = nets.inflate(resnet, resnet.initial(), kernel=3)
    >>> weights["layer1.0.conv1.weight"].shape
    (64, 64, 3, 3, 3)
    """
    if len(net.input) != 3:
        raise ValueError(f"net: expected a network for images (C, H, W), got {net.name} for {net.input}")
    if time_border not in ("zeros", "edge"):
        raise ValueError(f"time_border: expected 'zeros' or 'edge', got {time_border!r}")
    net.check_weights(weights)
    steps = dict(stride or {})
    changed: dict[str, Node] = {}
    made = dict(weights)
    windows = {path for path, layer in net.layers().items() if isinstance(layer, Conv | Pool)}
    if not steps.keys() <= windows:
        raise ValueError(
            f"stride: {net.name} has no convolution or pool {', '.join(sorted(steps.keys() - windows))}; see its table()"
        )
    for path, layer in net.layers().items():
        new = _layer(path, layer, kernel, steps.pop(path, 1), time_border)
        changed[path] = new
        if isinstance(new, Conv):
            made[f"{path}.weight"] = inflation.inflate(weights[f"{path}.weight"], new.kernel[0])
    clip_net = replace(net.replaced(changed), name=f"inflated {net.name}", input=(net.input[0], frames, *net.input[1:]))
    clip_net.rows()  # a linear layer on all positions, as AlexNet's, takes one frame only: its sentence says so
    return clip_net, made


def _layer(path: str, layer: Layer, kernel: Any, stride: int, time_border: Literal["zeros", "edge"]) -> Layer:
    if isinstance(layer, Conv):
        length = layer.kernel[0] if kernel is None else kernel(path, layer) if callable(kernel) else kernel
        if length % 2 == 0:
            raise ValueError(
                f"kernel: {path}: expected an odd number of frames, so that a middle one exists, got {length}"
            )
        return replace(
            layer,
            kernel=(length, *layer.kernel),
            stride=(stride, *_pair(layer.stride)),
            padding=(length // 2, *_pair(layer.padding)),
            dilation=(1, *_pair(layer.dilation)),
            time_border=time_border,
        )
    if isinstance(layer, Pool):
        return replace(
            layer,
            kernel=(stride, *layer.kernel),
            stride=(stride, *_pair(layer.stride)),
            padding=(0, *_pair(layer.padding)),
        )
    if isinstance(layer, Pad):
        return replace(layer, widths=((0, 0), *layer.widths))
    if isinstance(layer, Norm | GlobalPool):
        return replace(layer, axes=3)
    return layer


def _pair(value: Any) -> tuple[int, ...]:
    return tuple(value)
