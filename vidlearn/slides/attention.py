"""Figures of attention and of two speeds that several decks show: non-local networks, SlowFast, TimeSformer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from vidlearn import nets
from vidlearn.nets.bottleneck import BLOCKS, LOOK_AFTER, SPACE, TIME, head, stage
from vidlearn.nets.nodes import Conv, Node, Norm, Pool, ReLU, Sequential, non_local, numbered
from vidlearn.nets.signal import Shape
from vidlearn.slides.figure import Figure

MACS = "multiply-accumulates of convolutions, linear layers and attention, one view, no bias, norm or pooling"
AT_224, AT_256 = f"{MACS}; frames of 224×224", f"{MACS}; frames of 256×256"
NOT_SAID = "The published networks are not described well enough: "


def billions(net: nets.Net, size: int = 224) -> float:
    """What one view costs, in billions."""
    return net.macs((*net.input[:2], size, size)) / 1e9


# ------------------------------------------------------------------ SlowFast

two_speeds = partial(nets.slowfast, 32, 8, lateral_kernel=5)  # 4×16
R101 = partial(nets.slowfast, depth=101, lateral_kernel=5)


def pooled_first(net: nets.Net, pool: Shape = (2, 2, 2)) -> nets.Net:
    """The same network with non-local blocks that max-pool *before* they project what is looked at."""
    blocks = {path.removesuffix(".conv_theta"): layer for path, layer in net.layers().items() if "conv_theta" in path}
    return net.replaced({path: non_local(layer.c_in, pool=pool, pool_first=True) for path, layer in blocks.items()})  # type: ignore[attr-defined]


SMALLER = "what is looked at is max-pooled by 2×2×2, before its projection"
FIRST = "what is looked at is max-pooled by 1×2×2, before its projection"
PAPER_POOL = "what is looked at is max-pooled by 1×2×2, after its projection, as the paper of the blocks says"


def _costs(deck: str, slide: str, rows: tuple[tuple[str, str, Callable[[], nets.Net]], ...]) -> list[Figure]:
    return [
        Figure(deck, slide, name, printed, lambda build=build: billions(build(), 256), "GFLOPs", AT_256)  # type: ignore[misc]
        for name, printed, build in rows
    ]


def _with_nonlocal(deck: str, slide: str, name: str, printed: str, build: Callable[..., nets.Net]) -> Figure:
    return Figure(
        deck, slide, name, printed, lambda: billions(build(nonlocal_blocks=True), 256), "GFLOPs",
        f"{AT_256}; {PAPER_POOL}", (SMALLER, lambda: billions(pooled_first(build(nonlocal_blocks=True)), 256)), None,
        "matches under another convention",
        "Two networks, with 8 and with 16 frames, come out by this convention alone: three blocks in the third stage.",
    )  # fmt: skip


_R50 = "SlowFast 8×8, R50"


def on_kinetics(deck: str, slide: str) -> list[Figure]:
    """Rows of the comparison on Kinetics that both decks have, and those that one of them has."""
    rows = [
        *_costs(deck, slide, (("SlowFast 4×16, R50", "36.1", two_speeds), (_R50, "65.7", nets.slowfast_r50))),
        Figure(deck, slide, "SlowFast 8×8, R101", "106", lambda: billions(nets.slowfast_r101(), 256), "GFLOPs",
               f"{AT_256}; every block of the third stage sees time",
               ("6 of its 23 blocks see time", lambda: billions(R101(32, 4), 256)), None, "not reproduced",
               "With 6 of the third stage's 23 blocks seeing time, as the row of 213 has it, it is 106.51: nearly."),
    ]  # fmt: skip
    if deck == "L9":
        rows += [
            Figure(deck, slide, f"{_R50} + NL", "80.8",
                   lambda: billions(nets.slowfast(32, 4, nonlocal_blocks=True), 256), "GFLOPs", f"{AT_256}; {PAPER_POOL}",
                   (SMALLER, lambda: billions(pooled_first(nets.slowfast(32, 4, nonlocal_blocks=True)), 256)), None,
                   "not reproduced", NOT_SAID + "tried with two non-local blocks in the second and three in the third stage."),
            _with_nonlocal(deck, slide, "SlowFast 8×8, R101 + NL", "115", partial(R101, 32, 4)),
        ]  # fmt: skip
    else:
        rows += [
            *_costs(deck, slide, (("SlowFast 16×8, R101", "213", nets.slowfast_16x8_r101_50_50),)),
            _with_nonlocal(deck, slide, "SlowFast 16×8, R101 + NL", "234", partial(R101, 64, 4)),
        ]
    rows += [
        Figure(deck, slide, f"Nonlocal R{depth}", printed, partial(_long_clip, depth), "GFLOPs",
               f"{AT_256}; 128 frames, I3D 3×1×1 with five non-local blocks; {PAPER_POOL}",
               (FIRST, partial(_long_clip, depth, pool_first=True)), None, "matches under another convention",
               "As the paper's own code was written; in ResNet-101, too, only 6 blocks of the third stage can see time.")
        for depth, printed in ((50, "282"), (101, "359"))
    ]  # fmt: skip
    return rows


def on_charades() -> list[Figure]:
    """The last rows of lecture 9's comparison on Charades: 16×8 networks on ResNet-101."""
    slide = "SlowFast: State-of-the-art comparison Charades"
    return [
        *_costs("L9", slide, (("Slow-only", "187", partial(nets.slow_r50, frames=16, depth=101)),
                              ("SlowFast", "213", nets.slowfast_16x8_r101_50_50))),
        _with_nonlocal("L9", slide, "SlowFast, +NL", "234", partial(R101, 64, 4)),
    ]  # fmt: skip


def narrow_first(net: nets.Net) -> nets.Net:
    """The same network with each bottleneck's stride in its first convolution instead of its second."""
    changed: dict[str, Node] = {}
    layers = net.layers()
    for path, layer in layers.items():
        if path.endswith("conv_b") and isinstance(layer, Conv) and max(layer.stride) > 1:  # type: ignore[arg-type]
            first = layers[path.removesuffix("b") + "a"]
            assert isinstance(first, Conv)
            changed |= {
                path: replace(layer, stride=1),
                path.removesuffix("b") + "a": replace(first, stride=layer.stride),
            }
    return net.replaced(changed)


def ablations() -> list[Figure]:
    """Lecture 9's tables of SlowFast's parts."""
    alone, thin = (
        "SlowFast ablations: Individual paths",
        "SlowFast ablations: Making the Fast path thin in channel dimension",
    )
    weak = "SlowFast ablations: Weaken the Fast appearance information"
    odd = "64 β is no whole number of channels, and how it was rounded is not published; tried {}."

    def share(width: int, **more: Any) -> Callable[[], float]:
        return lambda: billions(nets.slowfast(32, 8, **{"lateral_kernel": 5, "fast_width": width, **more}))

    rows = [
        Figure("L9", alone, "our Fast-only, R-50, 32×2", "4.9", lambda: billions(nets.fast_r50()), "GFLOPs",
               f"{AT_224}; strides in the 3×3 convolutions",
               ("strides in the first 1×1 convolutions", lambda: billions(narrow_first(nets.fast_r50()))), None,
               "matches under another convention", "The rows of this slide come from two code bases."),
        Figure("L9", thin, "Slow-only", "20.9", lambda: billions(nets.slow_r50(frames=4)), "GFLOPs", AT_224),
        Figure("L9", thin, "β = 1/4", "41.7", share(16), "GFLOPs", f"{AT_224}; lateral kernels of 5 frames",
               ("lateral kernels of 7 frames", share(16, lateral_kernel=7)), None, "matches under another convention",
               "The other rows that come out need kernels of 5."),
        Figure("L9", thin, "β = 1/6", "32.0", share(11), "GFLOPs", f"{AT_224}; 11 channels", ("10 channels", share(10)), None,
               "not reproduced", odd.format("10 and 11")),
        Figure("L9", thin, "β = 1/8", "27.6", share(8), "GFLOPs", f"{AT_224}; lateral kernels of 5 frames"),
        Figure("L9", thin, "β = 1/12", "25.1", share(5), "GFLOPs", f"{AT_224}; 5 channels", ("6 channels", share(6)), None,
               "not reproduced", odd.format("5 and 6")),
        Figure("L9", thin, "β = 1/16", "23.4", share(4), "GFLOPs", f"{AT_224}; lateral kernels of 5 frames"),
        Figure("L9", thin, "β = 1/32", "21.9", share(2), "GFLOPs", f"{AT_224}; lateral kernels of 5 frames"),
        Figure("L9", weak, "RGB", "27.6", share(8), "GFLOPs", AT_224),
        Figure("L9", weak, "RGB, β = 1/4, half", "26.3", share(16, weak="half"), "GFLOPs",
               f"{AT_224}; lateral answers enlarged to the Slow pathway's size",
               ("as many lateral channels as the Fast pathway has", share(16, weak="half", lateral_ratio=1)), None, "not reproduced",
               "How pathways of two resolutions are joined is not published."),
        Figure("L9", weak, "gray-scale", "26.1", share(8, weak="grey"), "GFLOPs", f"{AT_224}; the Fast pathway has one channel"),
        Figure("L9", weak, "time diff", "26.2", share(8, weak="time difference"), "GFLOPs", f"{AT_224}; of three colors",
               ("of one", share(8, weak="grey")), None, "not reproduced", "Neither one nor three channels give it."),
        Figure("L9", weak, "optical flow", "26.9", share(8, weak="flow"), "GFLOPs", f"{AT_224}; two channels"),
    ]  # fmt: skip
    return rows


def _stage(pathway: int, name: str) -> str:
    """Where a pathway of SlowFast 4×16 stands after a stage: "4×56², 256" is frames × side², channels."""
    net = nets.slowfast_4x16_r50()
    if name == "data layer":
        slow = next(row.shape for row in net.rows() if row.path.endswith("every"))
        _, t, s, _ = (slow, net.input)[pathway]
        return f"{t}×{s}²"
    block, part = {"conv1": (0, "conv"), "pool1": (0, "pool")}.get(name, (int(name[-1]) - 1, ""))
    prefix = f"blocks.{block}.multipathway_blocks.{pathway}.{part}"
    c, t, s, _ = [row.shape for row in net.rows() if row.path.startswith(prefix)][-1]
    return f"{t}×{s}², {c}"


def instantiation(deck: str, slide: str) -> list[Figure]:
    """The table of SlowFast's stages: frames × side² and channels of each pathway."""
    printed = {
        "data layer": ("4×224²", "32×224²"),
        "conv1": ("4×112², 64", "32×112², 8"),
        "pool1": ("4×56², 64", "32×56², 8"),
        "res2": ("4×56², 256", "32×56², 32"),
        "res3": ("4×28², 512", "32×28², 64"),
        "res4": ("4×14², 1024", "32×14², 128"),
        "res5": ("4×7², 2048", "32×7², 256"),
    }
    return [
        Figure(deck, slide, f"{name}, {pathway}", values[i], partial(_stage, i, name), "frames × side², channels",
               "traced through the network; channels without those of the lateral connection")
        for name, values in printed.items() for i, pathway in enumerate(("Slow", "Fast"))
    ]  # fmt: skip


# ------------------------------------------------------------------ non-local networks


#: which blocks of a stage have a kernel in time, in turn
IN_TURN = (TIME, TIME + SPACE, TIME + SPACE, SPACE + TIME)


def of_the_paper(kind: str = "C2D", depth: int = 101, *, frames: int = 32, size: int = 224, most: int = 23) -> nets.Net:
    """The networks of the non-local paper's table 1: time halved by the first layer, by the first pool and by the second.

    `kind` is C2D, I3D 3×3×3, I3D 3×1×1, NL C2D or NL I3D. Kernels are inflated in every second block, in the third
    stage among its first `most`; there are five non-local blocks.
    """
    first: Shape = (5, 7, 7) if "I3D" in kind else (1, 7, 7)
    look_after = LOOK_AFTER[50] if "NL" in kind else ((), (), (), ())
    parts: list[Node] = [
        Sequential((("conv", Conv(3, 64, first, (2, 2, 2), (first[0] // 2, 3, 3))), ("norm", Norm(64)), ("activation", ReLU()),
                    ("pool", Pool((3, 3, 3), (2, 2, 2), 1)))),
    ]  # fmt: skip
    c_in = 64
    for i, n in enumerate(BLOCKS[depth]):
        seeing = tuple(IN_TURN[i][j % len(IN_TURN[i])] if j < most else SPACE[0] for j in range(n))
        step = (1, 1, 1) if i == 0 else (1, 2, 2)
        kernels = seeing if kind in ("I3D 3×1×1", "NL I3D") else SPACE
        part = stage(c_in, 64 * 2**i, n, kernels, step, look_after=look_after[i])
        parts.append(_cubes(part, seeing) if kind == "I3D 3×3×3" else part)
        c_in = 256 * 2**i
        if i == 0:
            parts.append(Pool((3, 1, 1), (2, 1, 1), (1, 0, 0)))
    parts.append(Sequential(head(c_in, 400)))
    return nets.Net(kind, Sequential((("blocks", numbered(*parts)),)), (3, frames, size, size), "Wang et al. 2018")


def _cubes(part: Node, seeing: tuple[Shape, ...]) -> Node:
    """A stage whose 3×3 convolutions are 3×3×3 in the blocks that see time."""
    net = nets.Net("a stage", part, (1, 1, 1, 1))
    cubes: dict[str, Node] = {
        path: replace(layer, kernel=(3, 3, 3), padding=1)
        for path, layer in net.layers().items()
        if path.endswith("conv_b") and isinstance(layer, Conv) and seeing[int(path.split(".")[1])] in TIME
    }
    return net.replaced(cubes).body


def as_coded(net: nets.Net) -> nets.Net:
    """The same network with strides in the first 1×1 convolutions and a first pool without padding in space."""
    return narrow_first(net).replaced({"blocks.0.pool": Pool((3, 3, 3), (2, 2, 2), (1, 0, 0))})


def _long_clip(depth: int, pool_first: bool = False) -> float:
    net = of_the_paper("NL I3D", depth, frames=128, most=6)
    return billions(pooled_first(net, (1, 2, 2)) if pool_first else net, 256)


def nonlocal_table() -> list[Figure]:
    """Table (e) of the non-local paper: what 3D convolutions and non-local blocks cost, as multiples of C2D on ResNet-101."""
    slide = "3D CNN · Nonlocal neural networks (e)"
    without_norm = "convolutions and the linear layer with biases, 400 classes; batch norm not counted"

    def parameters(kind: str, norm: bool = False) -> float:
        layers = of_the_paper(kind).layers().values()
        return sum(_count(layer) for layer in layers if norm or not isinstance(layer, Norm)) / 1e6

    rows = [
        Figure("SJTU", slide, "C2D R101, parameters", "43.2", lambda: parameters("C2D"), "M", without_norm),
        Figure("SJTU", slide, "C2D R101, computation", "34.2", lambda: billions(of_the_paper()), "B", f"{AT_224}; 32 frames, as table 1",
               ("strides in the first 1×1 convolutions and a first pool without padding", lambda: billions(as_coded(of_the_paper()))), None,
               "matches under another convention", "That is how the paper's own code was written."),
    ]  # fmt: skip
    for kind, name, more, longer in (
        ("I3D 3×3×3", "I3D 3×3×3", "1.5", "1.8"), ("I3D 3×1×1", "I3D 3×1×1", "1.2", "1.5"), ("NL C2D", "NL C2D, 5-block", "1.2", "1.2"),
    ):  # fmt: skip
        rows += [
            Figure("SJTU", slide, f"{name}, parameters", more, lambda kind=kind: parameters(kind) / parameters("C2D"), "×",  # type: ignore[misc]
                   without_norm),
            Figure("SJTU", slide, f"{name}, computation", longer, partial(_ratio, kind), "×",
                   f"{AT_224}; 32 frames; {PAPER_POOL if 'NL' in kind else 'kernels inflated in every second block'}",
                   (FIRST, partial(_ratio, kind, pool_first=True)) if "NL" in kind else None, None,
                   "matches under another convention" if "NL" in kind else "matches",
                   "As the paper's own code was written." if "NL" in kind else ""),
        ]  # fmt: skip
    return rows


def _ratio(kind: str, pool_first: bool = False) -> float:
    net = of_the_paper(kind)
    return billions(pooled_first(net, (1, 2, 2)) if pool_first else net) / billions(of_the_paper())


def _count(layer: Any) -> int:
    return sum(math.prod(shape) for shape in layer.learned().values())


# ------------------------------------------------------------------ TimeSformer

SCHEMES = {"Space": ("S", "85.9"), "Joint Space-Time": ("ST", "85.9"), "Divided Space-Time": ("T+S", "121.4"),
           "Sparse Local Global": ("L+G", "121.4"), "Axial": ("T+W+H", "156.8")}  # fmt: skip


def timesformer() -> list[Figure]:
    """Parameters of TimeSformer's five schemes, and what its inference costs."""
    params, cost = "Vision transformer · TimeSFormer: schemes", "Vision transformer · TimeSFormer"
    counted = "all that is learned, positions among it; 400 classes"

    def millions(scheme: Any, classes: int = 400) -> float:
        return nets.timesformer(classes=classes, scheme=scheme).parameters() / 1e6

    def figure(slide: str, name: str, scheme: str, printed: str) -> Figure:
        return Figure(
            "SJTU", slide, name, printed, lambda: millions(scheme), "M", counted,
            ("174 classes, those of Something-Something v2", lambda: millions(scheme, 174)), None,
            "matches under another convention", "The column is of the networks for Something-Something v2.",
        )  # fmt: skip

    return [
        *(figure(params, name, scheme, printed) for name, (scheme, printed) in SCHEMES.items()),
        figure(cost, "TimeSformer, parameters", "T+S", "121.4"),
        Figure("SJTU", cost, "TimeSformer, inference", "0.59", lambda: 3 * nets.timesformer().macs() / 1e12, "TFLOPs",
               f"{AT_224}; 3 views of 8 frames"),
        Figure("SJTU", cost, "SlowFast R50, parameters", "34.6", lambda: nets.slowfast_r50().parameters() / 1e6, "M",
               "all that is learned, batch norm's scales and offsets among it; 400 classes"),
        Figure("SJTU", cost, "SlowFast R50, inference", "1.97", lambda: 30 * billions(nets.slowfast_r50(), 256) / 1e3, "TFLOPs",
               f"{AT_256}; 30 views"),
    ]  # fmt: skip
