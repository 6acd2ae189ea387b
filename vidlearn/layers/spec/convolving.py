"""Specs of convolution in one, two and three dimensions, of its gradients, and of counting what it costs."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
import numpy as np

from vidlearn.layers.reference import convolving as reference
from vidlearn.layers.reference.convolving import Window, per_axis
from vidlearn.layers.spec.drawing import cut_to, each_axis, unsaid
from vidlearn.spec import Cost, Law, Mistake, Spec, Tolerance

PLAIN, BIAS, STRIDE, DILATION, GROUPS = "plain", "padding and a bias", "stride", "dilation", "groups"
few = st.integers(1, 2)

# ------------------------------------------------------------------ inputs


def layers_of(axes: int, backward: bool) -> dict[str, st.SearchStrategy[Any]]:
    """Small inputs and kernels; in each family one thing is not as in the plain one."""
    longest = 2 if axes == 3 else 3
    ones, no_padding, alone = st.just((1,) * axes), st.just((0,) * axes), st.just(1)
    around = st.sampled_from([(0,) * axes, (1,) * axes])

    def family(  # type: ignore[no-untyped-def]
        stride=ones, padding=no_padding, dilation=ones, groups=alone, names=(), shortest=1, channels=2, longest=longest
    ) -> st.SearchStrategy[Any]:
        def sized(n, inputs, outputs, kernel, out, rest, stride, padding, dilation, groups):  # type: ignore[no-untyped-def]
            # what is left at the end: too little for one more step
            geometry = zip(kernel, out, rest, stride, padding, dilation, strict=True)
            size = [max(1, s * (o - 1) + min(r, s - 1) + d * (k - 1) + 1 - 2 * p) for k, o, r, s, p, d in geometry]
            window = Window("w", size, kernel, stride, padding, dilation)
            shapes = {"x": (n, inputs * groups, *size), "w": (outputs * groups, inputs, *kernel)}
            if backward:
                shapes = {"dy": (n, outputs * groups, *window.out), **shapes}
            elif "b" in names:
                shapes["b"] = (outputs * groups,)
            known = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
            return shapes, {name: known[name] for name in names if name != "b"}

        kernels = st.tuples(*[st.integers(shortest, longest)] * axes)
        places, rest = st.tuples(*[few] * axes), st.tuples(*[st.integers(0, 1)] * axes)
        sizes = st.builds(sized, few, few, few, kernels, places, rest, stride, padding, dilation, groups)
        most = {"x": (2, channels, *[6] * axes), "w": (channels, 2, *[3] * axes), "b": (channels,),
                "dy": (2, channels, *[3] * axes)}  # fmt: skip
        wanted = ("dy", "x", "w") if backward else ("x", "w", *(["b"] if "b" in names else []))
        return cut_to({name: most[name] for name in wanted}, sizes)

    return {
        PLAIN: family(),
        BIAS: family(padding=each_axis(axes, 0, 1), names=("b", "padding")),
        STRIDE: unsaid(
            family(stride=each_axis(axes, 1, 2), padding=around, names=("stride", "padding")), padding=(0,) * axes
        ),
        DILATION: family(dilation=each_axis(axes, 1, 2), names=("dilation",), shortest=2, longest=2),
        GROUPS: family(groups=st.just(2), names=("groups",), channels=4),
    }


def magnitude(expected: Any, x: Any, w: Any, b: Any = None, **geometry: Any) -> float:
    """The largest that an answer can become: rounding errors are measured by it."""
    return float(
        np.abs(x).max() * np.abs(w).reshape(len(w), -1).sum(axis=1).max() + (0 if b is None else np.abs(b).max())
    )


def gradient_magnitude(expected: Any, dy: Any, x: Any, w: Any, **geometry: Any) -> float:
    """The same of the three gradients."""
    places = dy.size / dy.shape[1]
    return float(np.abs(dy).max() * (np.abs(w).sum(axis=(0, *range(2, w.ndim))).max() + places * (np.abs(x).max() + 1)))


# ------------------------------------------------------------------ laws


def linear(f: Any, x: Any, w: Any, b: Any = None, **geometry: Any) -> Any:
    return f(2 * x, w, **geometry), 2 * f(x, w, **geometry)


def bias_is_added(f: Any, x: Any, w: Any, b: Any = None, **geometry: Any) -> Any:
    b = np.arange(1.0, 1 + len(w)) if b is None else b
    return f(x, w, b, **geometry), f(x, w, **geometry) + b.reshape(-1, *[1] * (x.ndim - 2))


def impulse(f: Any, x: Any, w: Any) -> Any:
    one = np.zeros((1, x.shape[1], *[1] * (x.ndim - 2)))
    one[0, 0] = 1
    return f(one, w, padding=tuple(k - 1 for k in w.shape[2:]))[0], _flip(w[:, 0], w.ndim - 2)


def moves_along(f: Any, x: Any, w: Any) -> Any:
    whole = f(x, w)
    axes = [a for a in range(2, x.ndim) if whole.shape[a] > 1]
    got = [f(np.delete(x, 0, a), w).ravel() for a in axes]
    want = [np.delete(whole, 0, a).ravel() for a in axes]
    return (np.concatenate(got), np.concatenate(want)) if axes else True


def groups_are_apart(f: Any, x: Any, w: Any, groups: int) -> Any:
    parts = [f(a, b) for a, b in zip(np.split(x, groups, 1), np.split(w, groups), strict=True)]
    return f(x, w, groups=groups), np.concatenate(parts, 1)


def frame_by_frame(f: Any, x: Any, w: Any) -> Any:
    frames = [reference.conv2d(x[:, :, t], w[:, :, 0]) for t in range(x.shape[2])]
    return f(x, w[:, :, :1]), np.stack(frames, 2)


def same_work(f: Any, dy: Any, x: Any, w: Any, **geometry: Any) -> Any:
    dx, dw, _ = f(dy, x, w, **geometry)
    work = np.sum(dy * reference._forward(x, w, None, **_all(geometry))) / x.size
    return np.stack([np.sum(dx * x), np.sum(dw * w)]) / x.size, np.stack([work, work])


def linear_in_dy(f: Any, dy: Any, x: Any, w: Any, **geometry: Any) -> Any:
    once, twice = f(dy, x, w, **geometry), f(2 * dy, x, w, **geometry)
    return np.concatenate([g.ravel() for g in twice]), 2 * np.concatenate([g.ravel() for g in once])


def bias_sees_all(f: Any, dy: Any, x: Any, w: Any, **geometry: Any) -> Any:
    return f(dy, x, w, **geometry)[2], np.moveaxis(dy, 1, 0).reshape(dy.shape[1], -1).sum(axis=1)


def each_knows_the_other(f: Any, dy: Any, x: Any, w: Any, **geometry: Any) -> Any:
    dx, dw, _ = f(dy, x, w, **geometry)
    other_x, other_w = f(dy, 1 - x, w, **geometry)[0], f(dy, x, 1 - w, **geometry)[1]
    return np.concatenate([other_x.ravel(), other_w.ravel()]), np.concatenate([dx.ravel(), dw.ravel()])


# ------------------------------------------------------------------ styles and mistakes


def _flip(w: Any, axes: int) -> Any:
    return np.flip(w, tuple(range(-axes, 0)))


def _all(geometry: Any) -> Any:
    return {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, **geometry}


def _by_windows(
    x: Any, w: Any, b: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """Views of all windows, and one einsum a group."""
    g = Window("w", x.shape[2:], w.shape[2:], stride, padding, dilation)
    reach = tuple(d * (k - 1) + 1 for d, k in zip(g.dilation, g.kernel, strict=True))
    axes = tuple(range(2, x.ndim))
    windows = np.lib.stride_tricks.sliding_window_view(g.pad(x), reach, axes)
    steps = tuple(slice(None, None, s) for s in g.stride) + tuple(slice(None, None, d) for d in g.dilation)
    windows = windows[(slice(None), slice(None), *steps)]
    parts = [np.einsum("nc...k,ock->no...", _flat(a, len(axes)), k.reshape(*k.shape[:2], -1))
             for a, k in zip(np.split(windows, groups, 1), np.split(w, groups), strict=True)]  # fmt: skip
    y = np.concatenate(parts, 1)
    return y if b is None else y + np.reshape(b, (1, -1, *[1] * len(axes)))


def _flat(windows: Any, axes: int) -> Any:
    return windows.reshape(*windows.shape[:-axes], -1)


def _in_single(function: Any) -> Any:
    def style(*args: Any, **kwargs: Any) -> Any:
        return function(*(a.astype(np.float32) if isinstance(a, np.ndarray) else a for a in args), **kwargs)

    return style


def _backward_place_by_place(
    dy: Any, x: Any, w: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """Each value of dy goes back to the window that it came from."""
    g = Window("w", x.shape[2:], w.shape[2:], stride, padding, dilation)
    padded = g.pad(x)
    dpadded, dw = np.zeros_like(padded), np.zeros_like(w)
    inputs, outputs = w.shape[1], len(w) // groups
    for place in np.ndindex(*g.out):
        window = tuple(slice(q * s, q * s + d * (k - 1) + 1, d)
                       for q, s, d, k in zip(place, g.stride, g.dilation, g.kernel, strict=True))  # fmt: skip
        for o in range(len(w)):
            part = (slice(None), slice(o // outputs * inputs, (o // outputs + 1) * inputs), *window)
            for n in range(len(x)):
                error = dy[(n, o, *place)]
                dpadded[(n, *part[1:])] += error * w[o]
                dw[o] += error * padded[(n, *part[1:])]
    return g.unpad(dpadded), dw, sum(d.reshape(len(w), -1).sum(1) for d in dy)


def _wrong(make: Any) -> Any:
    """A mistake of a forward pass, given the arguments that the geometry has."""

    def mistaken(right, x, w, b=None, stride=1, padding=0, dilation=1, groups=1):  # type: ignore[no-untyped-def]
        axes = x.ndim - 2
        g = {"stride": per_axis("stride", stride, axes), "padding": per_axis("padding", padding, axes),
             "dilation": per_axis("dilation", dilation, axes), "groups": groups}  # fmt: skip
        return make(right, x, w, b, **g)

    return mistaken


def _padded(mode: str | None) -> Any:
    def make(right, x, w, b, padding, **g):  # type: ignore[no-untyped-def]
        width = [(0, 0), (0, 0), *((p, p) if mode else (0, 2 * p) for p in padding)]
        return right(np.pad(x, width, mode=mode or "constant"), w, b, padding=0, **g)

    return _wrong(make)


def _one_more(right, x, w, b, stride, padding, dilation, groups):  # type: ignore[no-untyped-def]
    window = Window("w", x.shape[2:], w.shape[2:], stride, padding, dilation)
    geometry = zip(x.shape[2:], w.shape[2:], stride, padding, dilation, strict=True)
    missing = [(0, (d * (k - 1) + 1 - n - 2 * p) % s) for n, k, s, p, d in geometry]
    padded = np.pad(window.pad(x), [(0, 0), (0, 0), *missing])
    return right(padded, w, b, stride=stride, dilation=dilation, groups=groups)


def _first_group_only(right, x, w, b, groups, **g):  # type: ignore[no-untyped-def]
    return right(np.concatenate(np.split(x, groups, 1)[:1] * groups, 1), w, b, groups=groups, **g)


FORWARD_MISTAKES = [
    Mistake("kernel flipped", _wrong(lambda right, x, w, b, **g: right(x, _flip(w, x.ndim - 2), b, **g)),
            ["Which tap of the kernel meets the first value under the window?",
             "Networks correlate: the kernel is laid on as it is, not turned around."]),
    Mistake("padded by repeating the border", _padded("edge"),
            ["What stands outside the input?", "Zeros: padding adds nothing to the sum."]),
    Mistake("padding at the end only", _padded(None),
            ["Where is the middle of the kernel at the first place?", "Pad on both sides alike."]),
    Mistake("bias forgotten", _wrong(lambda right, x, w, b, **g: right(x, w, None, **g)),
            ["What is the answer to a black input?", "Add b[o] to every place of channel o."]),
    Mistake("mean over the input channels", _wrong(lambda right, x, w, b, **g: right(x, w / w.shape[1], b, **g)),
            ["What becomes of the input channels?", "They are summed, not averaged."]),
    Mistake("stride ignored", _wrong(lambda right, x, w, b, stride, **g: right(x, w, b, stride=1, **g)),
            ["How many places does the window have?", "It moves by `stride`, so there are fewer."]),
    Mistake("a place too many at the end", _wrong(_one_more),
            ["Six columns, a kernel of three, steps of two: how many places?",
             "Two: the last step must fit whole, and what is left at the end is dropped."]),
    Mistake("dilation ignored", _wrong(lambda right, x, w, b, dilation, **g: right(x, w, b, dilation=1, **g)),
            ["How far apart are the taps?", "By `dilation`: the window reaches over d (k − 1) + 1 positions."]),
    Mistake("all groups look at the first group's channels", _wrong(_first_group_only),
            ["Which input channels does the second half of the outputs see?", "Group j sees the j-th share of the channels."]),
]  # fmt: skip

SWAPPED = Mistake(
    "stride in the reverse order of the axes",
    _wrong(lambda right, x, w, b, stride, **g: right(x, w, b, stride=stride[::-1], **g)),
    ["Which axis is the first number of the stride for?", "The order is that of the axes: (t,) h, w."],
)


def _wrong_gradient(make: Any) -> Any:
    def mistaken(right, dy, x, w, stride=1, padding=0, dilation=1, groups=1):  # type: ignore[no-untyped-def]
        g = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        return make(right, *right(dy, x, w, **g), dy, x, w, g)

    return mistaken


def _overwritten(right, dx, dw, db, dy, x, w, g):  # type: ignore[no-untyped-def]
    """dx with the last tap's share where windows overlap."""
    window = Window("w", x.shape[2:], w.shape[2:], g["stride"], g["padding"], g["dilation"])
    dpadded = np.zeros_like(window.pad(x))
    for tap, where in window.taps():
        only = np.zeros_like(w)
        only[(..., *tap)] = w[(..., *tap)]
        share = window.pad(right(dy, x, only, **g)[0])[(..., *where)]
        dpadded[(..., *where)] = share
    return window.unpad(dpadded), dw, db


def _flipped_kernel(right, dx, dw, db, dy, x, w, g):  # type: ignore[no-untyped-def]
    return right(dy, x, _flip(w, x.ndim - 2), **g)[0], dw, db


CUT_OFF = "dx ends with the last window"
CUT_OFF_HINTS = ["What shape has dx?", "That of x: what no window reached gets 0."]


def reached(dx: Any, window: Window) -> Any:
    """dx up to the end of the last window."""
    ends = [max(where[axis].stop for _, where in window.taps()) - p for axis, p in enumerate(window.padding)]
    return dx[(..., *(slice(0, end) for end in ends))]


def _reached(right, dx, dw, db, dy, x, w, g):  # type: ignore[no-untyped-def]
    return reached(dx, Window("w", x.shape[2:], w.shape[2:], g["stride"], g["padding"], g["dilation"])), dw, db


BACKWARD_MISTAKES = [
    Mistake("dx with the kernel flipped", _wrong_gradient(_flipped_kernel),
            ["Which taps did x[i] meet, and at which places?", "y[t] used w[k] x[t + k]: dx[j] takes w[k] dy[j − k]."]),
    Mistake("overlapping windows overwrite dx", _wrong_gradient(_overwritten),
            ["To how many windows does one input belong?", "Their shares add up: += and not =."]),
    Mistake(CUT_OFF, _wrong_gradient(_reached), CUT_OFF_HINTS),
    Mistake("dw flipped", _wrong_gradient(lambda right, dx, dw, db, dy, x, w, g: (dx, _flip(dw, w.ndim - 2), db)),
            ["Which input did w[k] multiply at place t?", "dw[k] sums dy[t] x[t + k]."]),
    Mistake("dw of the first clip only", _wrong_gradient(lambda right, dx, dw, db, dy, x, w, g:
            (dx, right(dy[:1], x[:1], w, **g)[1], db)),
            ["Whose loss depends on the weights?", "Sum dw over the batch."]),
    Mistake("db averaged over the batch", _wrong_gradient(lambda right, dx, dw, db, dy, x, w, g: (dx, dw, db / len(x))),
            ["Is dy already the gradient of the whole loss?", "Sum; the mean, if any, is in dy."]),
    Mistake("db of the first place only", _wrong_gradient(lambda right, dx, dw, db, dy, x, w, g:
            (dx, dw, dy.reshape(*dy.shape[:2], -1)[..., 0].sum(axis=0))),
            ["To how many places was b added?", "Sum dy over all of them."]),
]  # fmt: skip

# ------------------------------------------------------------------ the six specs


def _macs(s: Any, sizes: str, kernel: str, places: str = "") -> float:
    taps = math.prod(getattr(s, k) for k in kernel.split())
    if places:
        return s.N * s.O * s.I * taps * math.prod(getattr(s, q) for q in places.split())
    axes = len(sizes.split())
    geometry = [per_axis(n, getattr(s, n), axes) for n in ("stride", "padding", "dilation")]
    out = Window("w", [getattr(s, n) for n in sizes.split()], [getattr(s, k) for k in kernel.split()], *geometry).out
    return s.N * s.O * s.I * taps * math.prod(out)


def _read(s: Any, sizes: str) -> float:
    return s.N * s.C * math.prod(getattr(s, n) for n in sizes.split()) * s.itemsize


def _large(axes: int, backward: bool) -> Any:
    def large(size: tuple[int, int], rng: np.random.Generator) -> dict[str, Any]:
        shape = {1: (size[0] * size[1],), 2: size, 3: (4, *size)}[axes]
        arrays = {"x": rng.normal(size=(1, 3, *shape)), "w": rng.normal(size=(8, 3, *[3] * axes))}
        return {**({"dy": rng.normal(size=(1, 8, *shape))} if backward else {}), **arrays, "padding": 1}

    return large


def _forward_spec(axes: int, sizes: str, kernel: str) -> Spec:
    right = {1: reference.conv1d, 2: reference.conv2d, 3: reference.conv3d}[axes]
    return Spec(
        cases=layers_of(axes, backward=False),
        laws=[
            Law("the answer to a single 1 is the kernel back to front", impulse, (PLAIN,)),
            Law("without a bias, an input twice as strong has an answer twice as strong", linear, (STRIDE, GROUPS)),
            Law("a bias is added to every place of its channel", bias_is_added, (BIAS,)),
            Law("without its first line, the input's answer is the same without its first line", moves_along, (PLAIN,)),
            Law("each group is a convolution of its own", groups_are_apart, (GROUPS,)),
            *([Law("a kernel of one moment sees each frame by itself", frame_by_frame, (PLAIN,))] if axes == 3 else []),
        ],
        mistakes=[*FORWARD_MISTAKES, *([SWAPPED] if axes > 1 else [])],
        accepted=[_by_windows, _in_single(right)],
        tolerance=Tolerance(ulps=32, why="a sum of at most a few dozen products, in any order", scale=magnitude),
        cost=Cost(flops=lambda s: 2 * _macs(s, sizes, kernel),
                  bytes=lambda s: _read(s, sizes) + _macs(s, sizes, kernel) * s.itemsize
                  / (s.I * math.prod(getattr(s, k) for k in kernel.split()))),
        large=_large(axes, backward=False),
    )  # fmt: skip


def _backward_spec(axes: int, sizes: str, kernel: str, places: str) -> Spec:
    right = {1: reference.conv1d_backward, 2: reference.conv2d_backward, 3: reference.conv3d_backward}[axes]
    return Spec(
        cases=layers_of(axes, backward=True),
        laws=[
            Law("⟨dy, y⟩ = ⟨dx, x⟩ = ⟨dw, w⟩", same_work, (BIAS, STRIDE)),
            Law("twice the gradient that comes gives twice the gradients that go", linear_in_dy, (DILATION, GROUPS)),
            Law("db is the sum of dy over the batch and all places", bias_sees_all, (BIAS,)),
            Law("dx does not depend on x, nor dw on w", each_knows_the_other, (PLAIN, BIAS)),
        ],
        mistakes=BACKWARD_MISTAKES,
        accepted=[_backward_place_by_place, _in_single(right), lambda *a, **k: list(right(*a, **k))],
        tolerance=Tolerance(
            ulps=64, why="sums of products over kernel and batch, in any order", scale=gradient_magnitude
        ),
        cost=Cost(flops=lambda s: 4 * _macs(s, sizes, kernel, places), bytes=lambda s: 2 * _read(s, sizes)),
        outputs=("dx", "dw", "db"),
        large=_large(axes, backward=True),
    )


conv1d = _forward_spec(1, "L", "K")
conv2d = _forward_spec(2, "H W", "Kh Kw")
conv3d = _forward_spec(3, "T H W", "Kt Kh Kw")
conv1d_backward = _backward_spec(1, "L", "K", "M")
conv2d_backward = _backward_spec(2, "H W", "Kh Kw", "P Q")
conv3d_backward = _backward_spec(3, "T H W", "Kt Kh Kw", "S P Q")

# ------------------------------------------------------------------ counting

counts = st.integers(1, 6)


def windows(**more: Any) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({"size": st.integers(1, 12), "kernel": st.integers(1, 4), **more})


def as_many_as_answers(f: Any, size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> Any:
    if dilation * (kernel - 1) + 1 > size + 2 * padding:
        return True
    y = reference.conv1d(np.zeros((1, 1, size)), np.zeros((1, 1, kernel)), None, stride, padding, dilation)
    return f(size, kernel, stride, padding, dilation), np.array(y.shape[2])


def half_a_kernel_keeps(f: Any, size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> Any:
    return f(size, 2 * kernel + 1, 1, kernel), np.array(size)


def dilation_is_a_longer_kernel(
    f: Any, size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> Any:
    return f(size, kernel, stride, padding, dilation), f(size, dilation * (kernel - 1) + 1, stride, padding)


def _size(change: Any) -> Any:
    def mistaken(right, size, kernel, stride=1, padding=0, dilation=1):  # type: ignore[no-untyped-def]
        return np.array(max(0, int(change(size, kernel, stride, padding, dilation))))

    return mistaken


convolution_size = Spec(
    cases={
        "plain": windows(),
        "stride and padding": windows(stride=st.integers(2, 3), padding=st.integers(0, 2)),
        "dilation": windows(dilation=st.integers(2, 3), padding=st.integers(0, 2)),
    },
    laws=[
        Law("there is one place for each answer of conv1d", as_many_as_answers),
        Law("an odd kernel 2p + 1 with padding p keeps the size", half_a_kernel_keeps),
        Law("dilation is a kernel of d (k − 1) + 1", dilation_is_a_longer_kernel),
    ],
    mistakes=[
        Mistake("the last + 1 forgotten", _size(lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) // s),
                ["How many places has a kernel as long as the input?", "One: (n − k) / s steps make one place more."]),
        Mistake("rounds up", _size(lambda n, k, s, p, d: -((n + 2 * p - d * (k - 1) - 1) // -s) + 1),
                ["May the window stand over the edge?", "Round down: the last step must fit whole."]),
        Mistake("padding counted once", _size(lambda n, k, s, p, d: (n + p - d * (k - 1) - 1) // s + 1),
                ["On how many sides is padding put?", "Both: 2 p."]),
        Mistake("dilation times the kernel", _size(lambda n, k, s, p, d: (n + 2 * p - d * k) // s + 1),
                ["Over how many positions do 2 taps with dilation 3 reach?", "4: d (k − 1) + 1."]),
        Mistake("size over stride", _size(lambda n, k, s, p, d: n // s),
                ["Does the kernel's length not matter?", "It takes k − 1 places away; padding gives 2 p back."]),
    ],
    accepted=[lambda size, kernel, stride=1, padding=0, dilation=1:
              len(range(0, size + 2 * padding - dilation * (kernel - 1), stride)),
              lambda size, kernel, stride=1, padding=0, dilation=1:
              float(max(0, math.floor((size + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1)))],
    tolerance=Tolerance(ulps=0, why="whole numbers"),
    cost=Cost(flops=lambda s: 8, bytes=lambda s: 8),
    large=lambda size, rng: {"size": size[0], "kernel": 3, "stride": 2, "padding": 1},
)  # fmt: skip


def kernels(**more: Any) -> dict[str, st.SearchStrategy[Any]]:
    """Layers without groups and with two or three of them."""
    extents = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)

    def of(groups: int, named: bool) -> st.SearchStrategy[Any]:
        channels = counts.map(lambda n: n * groups)
        only = {"groups": st.just(groups)} if named else {}
        return st.fixed_dictionaries({"c_in": channels, "c_out": channels, "kernel": extents, **more, **only})

    return {"one group": of(1, False), "groups": st.integers(2, 3).flatmap(lambda g: of(g, True))}


def as_many_as_weights(f: Any, c_in: int, c_out: int, kernel: Any, groups: int = 1, bias: bool = True) -> Any:
    w, b = np.zeros((c_out, c_in // groups, *kernel)), np.zeros(c_out)
    return f(c_in, c_out, kernel, groups, bias), np.array(w.size + bias * b.size)


def groups_save(f: Any, c_in: int, c_out: int, kernel: Any, groups: int = 1, bias: bool = True) -> Any:
    return f(c_in, c_out, kernel, groups, False) * groups, f(c_in, c_out, kernel, 1, False)


def bias_is_one_a_channel(f: Any, c_in: int, c_out: int, kernel: Any, groups: int = 1, bias: bool = True) -> Any:
    return f(c_in, c_out, kernel, groups, True) - f(c_in, c_out, kernel, groups, False), np.array(c_out)


conv_parameters = Spec(
    cases={**kernels(), "no bias": kernels(bias=st.just(False))["one group"]},
    laws=[
        Law("there is one for each number of w and b", as_many_as_weights),
        Law("g groups have the g-th part of the weights", groups_save),
        Law("a bias is one number a channel that goes", bias_is_one_a_channel),
    ],
    mistakes=[
        Mistake("one kernel for all input channels", lambda right, c_in, c_out, kernel, groups=1, bias=True:
                np.array(c_out * (math.prod(kernel) + bias)),
                ["How many channels does a kernel look at?", "All of its group: times c_in / groups."]),
        Mistake("bias forgotten", lambda right, c_in, c_out, kernel, groups=1, bias=True: right(c_in, c_out, kernel, groups, False),
                ["What is learned besides w?", "b: one number a channel that goes."]),
        Mistake("a bias for each input channel", lambda right, c_in, c_out, kernel, groups=1, bias=True:
                right(c_in, c_out, kernel, groups, False) + bias * c_in,
                ["Of which shape is b?", "(c_out,)."]),
        Mistake("groups ignored", lambda right, c_in, c_out, kernel, groups=1, bias=True: right(c_in, c_out, kernel, 1, bias),
                ["What does a group not see?", "The channels of the others: c_in / groups in each kernel."]),
        Mistake("groups counted twice", lambda right, c_in, c_out, kernel, groups=1, bias=True:
                np.array((c_out // groups) * (c_in // groups) * math.prod(kernel) + bias * c_out),
                ["How many groups are there?", "There are still c_out kernels in all."]),
        Mistake("extents of the kernel added", lambda right, c_in, c_out, kernel, groups=1, bias=True:
                np.array(c_out * (c_in // groups * sum(kernel) + bias)),
                ["How many taps has a 3 × 3 kernel?", "Multiply the extents."]),
    ],
    accepted=[lambda c_in, c_out, kernel, groups=1, bias=True:
              int(np.zeros((c_out, c_in // groups, *kernel)).size) + (c_out if bias else 0),
              lambda c_in, c_out, kernel, groups=1, bias=True:
              float(c_out * c_in / groups * np.prod(kernel) + c_out * bias)],
    tolerance=Tolerance(ulps=0, why="whole numbers"),
    cost=Cost(flops=lambda s: 6, bytes=lambda s: 8),
    large=lambda size, rng: {"c_in": size[0], "c_out": size[1], "kernel": (3, 3, 3)},
)  # fmt: skip


def once_a_place(f: Any, c_in: int, c_out: int, kernel: Any, output_size: Any, groups: int = 1) -> Any:
    weights = reference.conv_parameters(c_in, c_out, kernel, groups, False)
    return f(c_in, c_out, kernel, output_size, groups), weights * math.prod(output_size)


def twice_the_places(f: Any, c_in: int, c_out: int, kernel: Any, output_size: Any, groups: int = 1) -> Any:
    longer = (2 * output_size[0], *output_size[1:])
    return f(c_in, c_out, kernel, longer, groups), 2 * f(c_in, c_out, kernel, output_size, groups)


def groups_save_macs(f: Any, c_in: int, c_out: int, kernel: Any, output_size: Any, groups: int = 1) -> Any:
    return f(c_in, c_out, kernel, output_size, groups) * groups, f(c_in, c_out, kernel, output_size, 1)


def macs_of() -> dict[str, st.SearchStrategy[Any]]:
    """The same layers, with as many output sizes as their kernels have extents."""
    size = st.tuples(*[st.integers(1, 5)] * 3)

    def fit(layer: Any, size: Any) -> Any:
        groups = {"groups": layer.pop("groups")} if "groups" in layer else {}
        return {**layer, "output_size": size[: len(layer["kernel"])], **groups}

    return {name: st.builds(fit, layers, size) for name, layers in kernels().items()}


conv_macs = Spec(
    cases=macs_of(),
    laws=[
        Law("every weight is used once at every place", once_a_place),
        Law("twice as many places take twice the work", twice_the_places),
        Law("g groups take the g-th part of the work", groups_save_macs),
    ],
    mistakes=[
        Mistake("operations, two for each MAC", lambda right, *a, **k: 2 * right(*a, **k),
                ["What is one MAC?", "A product and a sum together: don't double."]),
        Mistake("places of the input, not of the output", lambda right, c_in, c_out, kernel, output_size, groups=1:
                right(c_in, c_out, kernel, tuple(q + k - 1 for q, k in zip(output_size, kernel, strict=True)), groups),
                ["How many answers are computed?", "Count the output's places: output_size."]),
        Mistake("groups ignored", lambda right, c_in, c_out, kernel, output_size, groups=1:
                right(c_in, c_out, kernel, output_size, 1),
                ["How many channels does one output see?", "c_in / groups."]),
        Mistake("the frames forgotten", lambda right, c_in, c_out, kernel, output_size, groups=1:
                right(c_in, c_out, kernel, (1, *output_size[1:]), groups),
                ["At how many moments does the kernel answer?", "Multiply all of output_size."]),
        Mistake("one input channel", lambda right, c_in, c_out, kernel, output_size, groups=1:
                np.array(c_out * math.prod(kernel) * math.prod(output_size)),
                ["How many channels does a kernel look at?", "c_in / groups."]),
    ],
    accepted=[lambda c_in, c_out, kernel, output_size, groups=1:
              int(np.prod([c_in // groups, c_out, *kernel, *output_size])),
              lambda c_in, c_out, kernel, output_size, groups=1:
              float(np.prod(kernel) * np.prod(output_size) * c_in * c_out / groups)],
    tolerance=Tolerance(ulps=0, why="whole numbers"),
    cost=Cost(flops=lambda s: 8, bytes=lambda s: 8),
    large=lambda size, rng: {"c_in": 3, "c_out": 64, "kernel": (3, 3, 3), "output_size": (16, *size)},
)  # fmt: skip
