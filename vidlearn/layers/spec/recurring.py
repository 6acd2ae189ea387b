"""Specs of memory: LSTM on features, ConvGRU on feature maps."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np

from vidlearn import layers
from vidlearn.layers.spec.drawing import cut_to
from vidlearn.spec import Cost, Law, Mistake, Spec, Tolerance, largest

few = st.integers(1, 2)


def _sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def _reordered(w: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    """The rows of the gates in another order."""
    return np.concatenate([np.split(w, len(order))[i] for i in order])


def _reach(*arrays: np.ndarray) -> float:
    """How large a gate's sum can become; rounding errors are measured by it."""
    return 1 + sum(largest(a) for a in arrays) ** 2 * max(a.size for a in arrays)


def _gate_sum(x: np.ndarray, h: np.ndarray, Wx: np.ndarray, Wh: np.ndarray, b: np.ndarray) -> float:
    """The largest sum that a gate can get."""
    rows = [float(np.abs(w).reshape(len(w), -1).sum(axis=1).max()) for w in (Wx, Wh)]
    return 1 + largest(x) * rows[0] + largest(h) * rows[1] + largest(b)


def _gradient_sum(
    *errors: np.ndarray, x: np.ndarray, h: np.ndarray, Wx: np.ndarray, Wh: np.ndarray, b: np.ndarray
) -> float:
    """The largest gradient that such errors can make: by a weight, a sum over all samples and places."""
    most = max(1.0, largest(x), largest(h), *(float(np.abs(w).reshape(len(w), -1).sum(axis=0).max()) for w in (Wx, Wh)))
    return _gate_sum(x, h, Wx, Wh, b) * most * sum(float(np.abs(e).sum()) for e in errors)


# ------------------------------------------------------------------ lstm_cell


def _cell(state: bool) -> Any:
    def shapes(n: int, i: int, d: int) -> Any:
        return {"x": (n, i), "h": (n, d), "c": (n, d), "Wx": (4 * d, i), "Wh": (4 * d, d), "b": (4 * d,)}, {}

    most = {"x": (2, 2), "h": (2, 2), "c": (2, 2), "Wx": (8, 2), "Wh": (8, 2), "b": (8,)}
    drawn = cut_to(most, st.builds(shapes, few, few, few))
    return drawn if state else drawn.map(lambda d: {**d, "h": 0 * d["h"], "c": 0 * d["c"]})


def shut(b: np.ndarray, *gates: float) -> np.ndarray:
    """A bias that holds the four gates shut (−99), half open (0) or open (99)."""
    return np.repeat(np.array(gates), len(b) // 4)


def memory_stays(f: Any, x: Any, h: Any, c: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    new_h, new_c = f(x, h, c, 0 * Wx, 0 * Wh, shut(b, -99, 99, 0, 99))
    return np.stack([new_h, new_c]), np.stack([np.tanh(c), c])


def forgets(f: Any, x: Any, h: Any, c: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    open_ = shut(b, 99, -99, 0, 99)
    return np.stack(f(x, h, c, 0 * Wx, 0 * Wh, open_ + b * (np.arange(len(b)) // (len(b) // 4) == 2))), np.stack(
        [np.tanh(np.tanh(np.split(b, 4)[2])) + 0 * c, np.tanh(np.split(b, 4)[2]) + 0 * c]
    )


def each_sample(f: Any, x: Any, h: Any, c: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    return np.stack(f(x[:1], h[:1], c[:1], Wx, Wh, b)), np.stack(f(x, h, c, Wx, Wh, b))[:, :1]


def says_less_than_one(f: Any, x: Any, h: Any, c: Any, Wx: Any, Wh: Any, b: Any) -> bool:
    return bool(np.all(np.abs(f(x, h, 9 * c, Wx, Wh, b)[0]) <= 1))


def _cell_by_gates(x: Any, h: Any, c: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    d = h.shape[1]
    rows = [slice(k * d, (k + 1) * d) for k in range(4)]
    i, f, g, o = (x @ Wx[r].T + h @ Wh[r].T + b[r] for r in rows)
    c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
    return _sigmoid(o) * np.tanh(c), c


def _cell_joined(x: Any, h: Any, c: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    a = np.concatenate([x, h], axis=1) @ np.concatenate([Wx, Wh], axis=1).T + b
    a = a.reshape(len(x), 4, -1)
    c = c * _sigmoid(a[:, 1]) + _sigmoid(a[:, 0]) * np.tanh(a[:, 2])
    return [_sigmoid(a[:, 3]) * np.tanh(c), c]


def _order(order: tuple[int, ...]) -> Any:
    return lambda right, *args: right(*args[:-3], *(_reordered(w, order) for w in args[-3:]))


def _without_tanh(right: Any, x: Any, h: Any, c: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    new_h, new_c = right(x, h, c, Wx, Wh, b)
    return new_h * new_c / np.where(new_c == 0, 1, np.tanh(new_c)), new_c


def _linear_candidate(right: Any, x: Any, h: Any, c: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    i, f, g, o = np.split(x @ Wx.T + h @ Wh.T + b, 4, axis=1)
    c = _sigmoid(f) * c + _sigmoid(i) * g
    return _sigmoid(o) * np.tanh(c), c


CELL_MISTAKES = [
    Mistake("gates in the order i, f, o, g", _order((0, 1, 3, 2)),
            ["In which order are the gates stacked?", "Input, forget, candidate, output: i, f, g, o."]),
    Mistake("input and forget gate swapped", _order((1, 0, 2, 3)),
            ["Which gate comes first?", "Input, forget, candidate, output."]),
    Mistake("the last state is not heard", lambda right, *args: right(*args[:-2], 0 * args[-2], args[-1]),
            ["What does W_h multiply?", "The state that was said last."]),
    Mistake("bias forgotten", lambda right, *args: right(*args[:-1], 0 * args[-1]),
            ["What opens the forget gate of an untrained network?", "Its bias: add b."]),
]  # fmt: skip

lstm_cell = Spec(
    cases={"in the middle": _cell(True), "at the start": _cell(False)},
    laws=[
        Law("with input shut and forget open the memory stays", memory_stays),
        Law("with forget shut and input open only the candidate is left", forgets),
        Law("each sample has a memory of its own", each_sample),
        Law("what is said lies between −1 and 1", says_less_than_one),
    ],
    mistakes=[
        *CELL_MISTAKES,
        Mistake("tanh of the memory forgotten", _without_tanh,
                ["May h be larger than 1?", "h' = σ(o) tanh(c')."]),
        Mistake("tanh of the candidate forgotten", _linear_candidate,
                ["May one frame add more than 1 to the memory?", "c' = σ(f) c + σ(i) tanh(g)."]),
        Mistake("says the old memory", lambda right, x, h, c, Wx, Wh, b: (
                _sigmoid(np.split(x @ Wx.T + h @ Wh.T + b, 4, axis=1)[3]) * np.tanh(c), right(x, h, c, Wx, Wh, b)[1]),
                ["Which memory is said: before or after this frame?", "The new one: update c first."]),
        Mistake("h and c returned in the other order", lambda right, *args: right(*args)[::-1],
                ["Which comes first?", "h, then c."]),
        Mistake("the old memory is not forgotten", lambda right, x, h, c, Wx, Wh, b: (
                right(x, h, c, Wx, Wh, b)[0], right(x, h, c, Wx, Wh, b)[1]
                + c * (1 - _sigmoid(np.split(x @ Wx.T + h @ Wh.T + b, 4, axis=1)[1]))),
                ["What does the forget gate multiply?", "σ(f) c."]),
    ],
    accepted=[_cell_by_gates, _cell_joined],
    tolerance=Tolerance(ulps=32, why="two sums, two of a sigmoid or tanh after each other",
                        scale=lambda expected, x, h, c, Wx, Wh, b: _gate_sum(x, h, Wx, Wh, b) + largest(c)),
    cost=Cost(flops=lambda s: 8 * s.N * s.D * (s.I + s.D), bytes=lambda s: (4 * s.D * (s.I + s.D) + s.N * (s.I + 4 * s.D)) * s.itemsize),
    large=lambda size, rng: {"x": rng.normal(size=(8, size[1])), "h": rng.normal(size=(8, size[0])), "c": rng.normal(size=(8, size[0])),
                             "Wx": 0.1 * rng.normal(size=(4 * size[0], size[1])), "Wh": 0.1 * rng.normal(size=(4 * size[0], size[0])),
                             "b": rng.normal(size=4 * size[0])},
    outputs=("h", "c"),
)  # fmt: skip

# ------------------------------------------------------------------ lstm_cell_backward


def _with_gradients(drawn: dict[str, Any]) -> dict[str, Any]:
    return {"dh": np.roll(drawn["h"], 1) - 0.5, "dc": np.roll(drawn["c"], 1) + 0.25, **drawn}


def open_memory_passes(f: Any, dh: Any, dc: Any, x: Any, h: Any, c: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    return f(0 * dh, dc, x, h, c, 0 * Wx, 0 * Wh, shut(b, -99, 99, 0, -99))[2], dc


def linear_in_gradients(f: Any, dh: Any, dc: Any, x: Any, h: Any, c: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    twice, once = f(2 * dh, 2 * dc, x, h, c, Wx, Wh, b), f(dh, dc, x, h, c, Wx, Wh, b)
    return np.concatenate([np.ravel(g) for g in twice]), 2 * np.concatenate([np.ravel(g) for g in once])


def slope_of_the_cell(f: Any, dh: Any, dc: Any, x: Any, h: Any, c: Any, Wx: Any, Wh: Any, b: Any) -> bool:
    """Central differences by one number of each argument; they are good to ten digits."""
    given = [x, h, c, Wx, Wh, b]
    found = f(dh, dc, *given)
    step = 1e-5
    for k, value in enumerate(given):
        moved = [np.zeros_like(v) for v in given]
        moved[k].flat[value.size // 2] = step
        up = layers.lstm_cell.reference(*(v + m for v, m in zip(given, moved, strict=True)))
        down = layers.lstm_cell.reference(*(v - m for v, m in zip(given, moved, strict=True)))
        slope = sum(float((g * (u - d)).sum()) for g, u, d in zip((dh, dc), up, down, strict=True)) / (2 * step)
        if abs(slope - np.ravel(found[k])[value.size // 2]) > 1e-6 * _reach(dh, dc, *given):
            return False
    return True


def _memory_only_from_dc(right: Any, dh: Any, dc: Any, *rest: Any) -> Any:
    """The new memory's gradient without its part through what is said."""
    return tuple(a + b for a, b in zip(right(0 * dh, dc, *rest), _output_gate_only(dh, *rest), strict=True))


def _output_gate_only(dh: Any, x: Any, h: Any, c: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    o = _sigmoid(np.split(x @ Wx.T + h @ Wh.T + b, 4, axis=1)[3])
    said = np.tanh(layers.lstm_cell.reference(x, h, c, Wx, Wh, b)[1])
    da = np.concatenate([*[np.zeros_like(dh)] * 3, dh * said * o * (1 - o)], axis=1)
    return da @ Wx, da @ Wh, 0 * c, da.T @ x, da.T @ h, da.sum(axis=0)


def _backward_by_gates(dh: Any, dc: Any, x: Any, h: Any, c: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    a = np.split(x @ Wx.T + h @ Wh.T + b, 4, axis=1)
    i, f, o, g = _sigmoid(a[0]), _sigmoid(a[1]), _sigmoid(a[3]), np.tanh(a[2])
    said = np.tanh(f * c + i * g)
    do, dnew = dh * said, dc + dh * o * (1 - said * said)
    slopes = [dnew * g * i * (1 - i), dnew * c * f * (1 - f), dnew * i * (1 - g * g), do * o * (1 - o)]
    weights, states = np.split(Wx, 4), np.split(Wh, 4)
    dx = sum(s @ w for s, w in zip(slopes, weights, strict=True))
    dhh = sum(s @ w for s, w in zip(slopes, states, strict=True))
    return [dx, dhh, dnew * f, np.concatenate([s.T @ x for s in slopes]), np.concatenate([s.T @ h for s in slopes]),
            np.concatenate([s.sum(axis=0) for s in slopes])]  # fmt: skip


lstm_cell_backward = Spec(
    cases={"in the middle": _cell(True).map(_with_gradients), "at the start": _cell(False).map(_with_gradients)},
    laws=[
        Law("an open forget gate passes the memory's gradient whole", open_memory_passes),
        Law("doubling the answers' gradients doubles all gradients", linear_in_gradients),
        Law("it is the slope of the forward step, number by number", slope_of_the_cell),
    ],
    mistakes=[
        Mistake("no gradient from what is said into the memory", _memory_only_from_dc,
                ["On what does h' hang besides the output gate?", "On c': add dh σ(o) (1 − tanh² c')."]),
        Mistake("the memory's own gradient forgotten", lambda right, dh, dc, *rest: right(dh, 0 * dc, *rest),
                ["Who uses c' besides h'?", "The next moment: start from dc."]),
        Mistake("bias not summed over the batch", lambda right, dh, dc, x, *rest: (
                *right(dh, dc, x, *rest)[:5], right(dh, dc, x, *rest)[5] / len(x)),
                ["To how many samples is the bias added?", "To all: sum over the batch."]),
        Mistake("x and h exchanged in the weights' gradients", lambda right, dh, dc, x, h, c, Wx, Wh, b: (
                *right(dh, dc, x, h, c, Wx, Wh, b)[:3],
                right(dh, dc, x, h, c, Wx, Wh, b)[3] * 0 + right(dh, dc, x, h, c, Wx, Wh, b)[4].mean(),
                *right(dh, dc, x, h, c, Wx, Wh, b)[4:]),
                ["What did W_x multiply?", "x: dW_x = daᵀ x."]),
        Mistake("forget gate not in the memory's gradient", lambda right, dh, dc, x, h, c, Wx, Wh, b: (
                *right(dh, dc, x, h, c, Wx, Wh, b)[:2], dc, *right(dh, dc, x, h, c, Wx, Wh, b)[3:]),
                ["By what was the old memory multiplied?", "By σ(f)."]),
    ],
    accepted=[_backward_by_gates, lambda *args: tuple(_backward_by_gates(*args))],
    tolerance=Tolerance(ulps=64, why="the forward step again, and two sums",
                        scale=lambda expected, dh, dc, x, h, c, Wx, Wh, b: (1 + largest(c)) * _gradient_sum(
                            dh, dc, x=x, h=h, Wx=Wx, Wh=Wh, b=b)),
    cost=Cost(flops=lambda s: 24 * s.N * s.D * (s.I + s.D), bytes=lambda s: (8 * s.D * (s.I + s.D) + s.N * (2 * s.I + 8 * s.D)) * s.itemsize),
    large=lambda size, rng: {"dh": rng.normal(size=(8, size[0])), "dc": rng.normal(size=(8, size[0])), **lstm_cell.large(size, rng)},
    outputs=("dx", "dh", "dc", "dWx", "dWh", "db"),
)  # fmt: skip

# ------------------------------------------------------------------ lstm


def _sequence(frames: st.SearchStrategy[int]) -> Any:
    def shapes(n: int, t: int, i: int, d: int) -> Any:
        return {"x": (n, t, i), "Wx": (4 * d, i), "Wh": (4 * d, d), "b": (4 * d,)}, {}

    most = {"x": (2, 4, 2), "Wx": (8, 2), "Wh": (8, 2), "b": (8,)}
    return cut_to(most, st.builds(shapes, few, frames, few, few))


def the_future_is_unheard(f: Any, x: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    other = x.copy()
    other[:, -1] += 1
    return f(other, Wx, Wh, b)[:, :-1], f(x, Wx, Wh, b)[:, :-1]


def a_shorter_clip_is_a_prefix(f: Any, x: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    return f(x[:, :1], Wx, Wh, b), f(x, Wx, Wh, b)[:, :1]


def goes_on_where_it_was(f: Any, x: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    """With a forget gate held shut, only the last state is carried on; a cell goes on from there."""
    d = Wh.shape[1]
    bias = np.where(np.arange(4 * d) // d == 1, -99.0, b)
    Wx, Wh = Wx.copy(), Wh.copy()
    Wx[d : 2 * d] = Wh[d : 2 * d] = 0
    said = f(x, Wx, Wh, bias)
    return said[:, 1], layers.lstm_cell.reference(x[:, 1], said[:, 0], np.zeros_like(said[:, 0]), Wx, Wh, bias)[0]


def _lstm_loop(x: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    h = c = np.zeros((len(x), Wh.shape[1]))
    said = np.empty((len(x), x.shape[1], Wh.shape[1]))
    for t in range(x.shape[1]):
        h, c = _cell_by_gates(x[:, t], h, c, Wx, Wh, b)
        said[:, t] = h
    return said


def _memory_lost(right: Any, x: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    h, said = np.zeros((len(x), Wh.shape[1])), []
    for t in range(x.shape[1]):
        h, _ = layers.lstm_cell.reference(x[:, t], h, np.zeros_like(h), Wx, Wh, b)
        said.append(h)
    return np.stack(said, axis=1)


lstm = Spec(
    cases={"several frames": _sequence(st.integers(2, 4)), "one frame": _sequence(st.just(1))},
    laws=[
        Law("a later frame changes nothing of what was said before", the_future_is_unheard, ("several frames",)),
        Law("the start of a clip is answered like a shorter clip", a_shorter_clip_is_a_prefix),
        Law("it goes on from what it said last", goes_on_where_it_was, ("several frames",)),
    ],
    mistakes=[
        *CELL_MISTAKES,
        Mistake("frames in reverse", lambda right, x, *w: right(x[:, ::-1], *w)[:, ::-1],
                ["Which frame comes first?", "The first one: memory runs forward in time."]),
        Mistake("the memory is lost between frames", _memory_lost,
                ["What is carried from frame to frame?", "Both h and c."]),
        Mistake("every frame starts anew", lambda right, x, *w: np.concatenate(
                [right(x[:, t : t + 1], *w) for t in range(x.shape[1])], axis=1),
                ["Does the second frame know the first?", "Carry h and c over."]),
        Mistake("says what it knew before the frame", lambda right, x, *w: np.concatenate(
                [np.zeros_like(right(x, *w)[:, :1]), right(x, *w)[:, :-1]], axis=1),
                ["Has the first answer seen the first frame?", "Update, then say."]),
    ],
    accepted=[_lstm_loop, lambda x, Wx, Wh, b: np.swapaxes(np.stack(
        [_lstm_loop(x[n : n + 1], Wx, Wh, b)[0] for n in range(len(x))], axis=1), 0, 1)],
    tolerance=Tolerance(ulps=256, why="a cell's sums and bends, each frame on top of the last",
                        scale=lambda expected, x, Wx, Wh, b: _gate_sum(x, np.ones(1), Wx, Wh, b)),
    cost=Cost(flops=lambda s: 8 * s.N * s.T * s.D * (s.I + s.D),
              bytes=lambda s: (4 * s.D * (s.I + s.D) + s.N * s.T * (s.I + s.D)) * s.itemsize),
    large=lambda size, rng: {"x": rng.normal(size=(4, 16, size[1])), "Wx": 0.1 * rng.normal(size=(4 * size[0], size[1])),
                             "Wh": 0.1 * rng.normal(size=(4 * size[0], size[0])), "b": rng.normal(size=4 * size[0])},
)  # fmt: skip

# ------------------------------------------------------------------ conv_gru_cell


def _maps(*kernel: int) -> Any:
    def shapes(n: int, c: int, d: int, h: int, w: int) -> Any:
        found = {"x": (n, c, h, w), "h": (n, d, h, w), "b": (3 * d,)}
        return {**found, "Wx": (3 * d, c, *kernel), "Wh": (3 * d, d, *kernel)}, {}

    most = {"x": (2, 2, 2, 3), "h": (2, 2, 2, 3), "Wx": (6, 2, *kernel), "Wh": (6, 2, *kernel), "b": (6,)}
    order = ("x", "h", "Wx", "Wh", "b")
    drawn = cut_to(most, st.builds(shapes, few, few, few, few, st.integers(1, 3)))
    return drawn.map(lambda d: {n: d[n] for n in order})


def _hold(b: np.ndarray, r: float, z: float) -> np.ndarray:
    gate = np.arange(len(b)) // (len(b) // 3)
    return np.where(gate == 0, r, np.where(gate == 1, z, b))


def state_stays(f: Any, x: Any, h: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    return f(x, h, 0 * Wx, 0 * Wh, _hold(b, 0, -99)), h


def only_the_candidate(f: Any, x: Any, h: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    got = f(x, h, 0 * Wx, 0 * Wh, _hold(b, 0, 99))
    return got, np.broadcast_to(np.tanh(np.split(b, 3)[2])[:, None, None], got.shape)


def upside_down(f: Any, x: Any, h: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    turned = [np.ascontiguousarray(np.flip(v, (2, 3))) for v in (x, h, Wx, Wh)]
    return np.flip(f(*turned, b), (2, 3)), f(x, h, Wx, Wh, b)


def reset_shuts_the_past_out(f: Any, x: Any, h: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    d = h.shape[1]
    Wx, Wh = Wx.copy(), Wh.copy()
    Wx[: 2 * d] = Wh[: 2 * d] = 0
    held = _hold(b, -99, 99)
    return f(x, h, Wx, Wh, held), f(x, 0 * h, Wx, Wh, held)


def _conv(x: Any, w: Any, b: Any = None) -> Any:
    return layers.conv2d.reference(x, w, b, padding=(w.shape[2] // 2, w.shape[3] // 2))


def _gru(
    x: Any, h: Any, Wx: Any, Wh: Any, b: Any, *, reset_after: bool = False, swapped: bool = False, bend: Any = np.tanh
) -> Any:
    wr, wz, wn = np.split(Wx, 3)
    ur, uz, un = np.split(Wh, 3)
    br, bz, bn = np.split(b, 3)
    r, z = _sigmoid(_conv(x, wr, br) + _conv(h, ur)), _sigmoid(_conv(x, wz, bz) + _conv(h, uz))
    past = r * _conv(h, un) if reset_after else _conv(r * h, un)
    n = bend(_conv(x, wn, bn) + past)
    return z * h + (1 - z) * n if swapped else (1 - z) * h + z * n


def _gru_joined(x: Any, h: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    """Input and state as the channels of one convolution."""
    w, d = np.concatenate([Wx, Wh], axis=1), h.shape[1]
    gates = _sigmoid(_conv(np.concatenate([x, h], axis=1), w[: 2 * d], b[: 2 * d]))
    n = np.tanh(_conv(np.concatenate([x, gates[:, :d] * h], axis=1), w[2 * d :], b[2 * d :]))
    return h + gates[:, d:] * (n - h)


conv_gru_cell = Spec(
    cases={"kernels of 3": _maps(3, 3), "kernels of 1": _maps(1, 1), "kernels of 3 × 5 and 5 × 1": _maps(3, 5) | _maps(5, 1)},
    laws=[
        Law("with the update gate shut the state stays", state_stays),
        Law("with the update gate open only the candidate is left", only_the_candidate),
        Law("turning the picture, the state and the kernels upside down turns the answer", upside_down),
        Law("with the reset gate shut and the update gate open the past is not heard", reset_shuts_the_past_out),
    ],
    mistakes=[
        Mistake("reset after the convolution", lambda right, *args: _gru(*args, reset_after=True),
                ["What does the reset gate multiply: the state, or its convolution?", "The state: W_hn * (r h)."]),
        Mistake("update gate the other way round", lambda right, *args: _gru(*args, swapped=True),
                ["Does an open update gate keep or renew?", "It renews: (1 − z) h + z n."]),
        Mistake("tanh of the candidate forgotten", lambda right, *args: _gru(*args, bend=lambda a: a),
                ["May one frame add more than 1?", "n = tanh(…)."]),
        Mistake("gates in the order z, r, n", lambda right, x, h, *w: right(x, h, *(_reordered(v, (1, 0, 2)) for v in w)),
                ["In which order are the gates stacked?", "Reset, update, candidate."]),
        Mistake("the neighborhood's state is not heard", lambda right, x, h, Wx, Wh, b: right(
                x, h, Wx, Wh * (np.indices(Wh.shape[2:]) == np.reshape([n // 2 for n in Wh.shape[2:]], (2, 1, 1))).all(axis=0), b),
                ["Is W_h a number or a kernel?", "A kernel: convolve the state too."]),
        Mistake("bias forgotten", lambda right, x, h, Wx, Wh, b: right(x, h, Wx, Wh, 0 * b),
                ["What is the candidate of a black frame?", "Add b."]),
    ],
    accepted=[_gru, _gru_joined],
    tolerance=Tolerance(ulps=64, why="two convolutions and two of a sigmoid or tanh after each other",
                        scale=lambda expected, x, h, Wx, Wh, b: _gate_sum(x, h, Wx, Wh, b)),
    cost=Cost(flops=lambda s: 6 * s.N * s.D * (s.C + s.D) * s.Kh * s.Kw * s.H * s.W,
              bytes=lambda s: (s.N * (s.C + 2 * s.D) * s.H * s.W + 3 * s.D * (s.C + s.D) * s.Kh * s.Kw) * s.itemsize),
    large=lambda size, rng: {"x": rng.normal(size=(1, 4, *size)), "h": rng.normal(size=(1, 8, *size)),
                             "Wx": 0.2 * rng.normal(size=(24, 4, 3, 3)), "Wh": 0.2 * rng.normal(size=(24, 8, 3, 3)),
                             "b": rng.normal(size=24)},
)  # fmt: skip

# ------------------------------------------------------------------ conv_gru_cell_backward


def _with_gradient(drawn: dict[str, Any]) -> dict[str, Any]:
    return {"dh": np.roll(drawn["h"], 1) - 0.5, **drawn}


def kept_state_passes(f: Any, dh: Any, x: Any, h: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    return f(dh, x, h, 0 * Wx, 0 * Wh, _hold(b, 0, -99))[1], dh


def linear_in_the_gradient(f: Any, dh: Any, *given: Any, **named: Any) -> Any:
    twice, once = f(2 * dh, *given, **named), f(dh, *given, **named)
    return np.concatenate([np.ravel(g) for g in twice]), 2 * np.concatenate([np.ravel(g) for g in once])


def slope_of_the_step(f: Any, dh: Any, x: Any, h: Any, Wx: Any, Wh: Any, b: Any) -> bool:
    given = [x, h, Wx, Wh, b]
    found = f(dh, *given)
    step = 1e-5
    for k, value in enumerate(given):
        moved = [np.zeros_like(v) for v in given]
        moved[k].flat[value.size // 2] = step
        up = layers.conv_gru_cell.reference(*(v + m for v, m in zip(given, moved, strict=True)))
        down = layers.conv_gru_cell.reference(*(v - m for v, m in zip(given, moved, strict=True)))
        slope = float((dh * (up - down)).sum()) / (2 * step)
        if abs(slope - np.ravel(found[k])[value.size // 2]) > 1e-6 * _reach(dh, *given):
            return False
    return True


def _replaced(position: int, change: Any) -> Any:
    """The right gradients but for one."""

    def wrong(right: Any, dh: Any, x: Any, h: Any, Wx: Any, Wh: Any, b: Any) -> Any:
        found = list(right(dh, x, h, Wx, Wh, b))
        found[position] = change(found, dh, x, h, Wx, Wh, b)
        return tuple(found)

    return wrong


def _update(x: Any, h: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    d = h.shape[1]
    rows = slice(d, 2 * d)
    return _sigmoid(_conv(x, Wx[rows], b[rows]) + _conv(h, Wh[rows]))


def _gru_backward(dh: Any, x: Any, h: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    """Gate by gate."""
    wr, wz, wn = np.split(Wx, 3)
    ur, uz, un = np.split(Wh, 3)
    br, bz, bn = np.split(b, 3)
    pad = (Wx.shape[2] // 2, Wx.shape[3] // 2)
    r, z = _sigmoid(_conv(x, wr, br) + _conv(h, ur)), _sigmoid(_conv(x, wz, bz) + _conv(h, uz))
    n = np.tanh(_conv(x, wn, bn) + _conv(r * h, un))
    back = layers.conv2d_backward.reference
    dan, daz = dh * z * (1 - n * n), dh * (n - h) * z * (1 - z)
    dpast, dun, _ = back(dan, r * h, un, padding=pad)
    dar = dpast * h * r * (1 - r)
    by_x = [back(d, x, w, padding=pad) for d, w in ((dar, wr), (daz, wz), (dan, wn))]
    by_h = [back(d, h, u, padding=pad) for d, u in ((dar, ur), (daz, uz))]
    return [sum(g[0] for g in by_x), dh * (1 - z) + dpast * r + by_h[0][0] + by_h[1][0],
            np.concatenate([g[1] for g in by_x]), np.concatenate([by_h[0][1], by_h[1][1], dun]),
            np.concatenate([g[2] for g in by_x])]  # fmt: skip


conv_gru_cell_backward = Spec(
    cases={"kernels of 3": _maps(3, 3).map(_with_gradient), "kernels of 1": _maps(1, 1).map(_with_gradient),
           "kernels of 3 × 5 and 5 × 1": (_maps(3, 5) | _maps(5, 1)).map(_with_gradient)},
    laws=[
        Law("what is kept passes its gradient whole", kept_state_passes),
        Law("doubling the new state's gradient doubles all gradients", linear_in_the_gradient),
        Law("it is the slope of the forward step, number by number", slope_of_the_step),
    ],
    mistakes=[
        Mistake("only what is kept reaches the old state",
                _replaced(1, lambda g, dh, x, h, Wx, Wh, b: dh * (1 - _update(x, h, Wx, Wh, b))),
                ["In how many places is h used?", "Kept, reset, and in both gates: four terms."]),
        Mistake("what is kept forgotten",
                _replaced(1, lambda g, dh, x, h, Wx, Wh, b: g[1] - dh * (1 - _update(x, h, Wx, Wh, b))),
                ["What of h reaches h' directly?", "(1 − z) h."]),
        Mistake("bias averaged", _replaced(4, lambda g, dh, *rest: g[4] / dh[:, 0].size),
                ["To how many positions is the bias added?", "To all: sum."]),
        Mistake("candidate's gates swapped in the weights' gradients",
                _replaced(2, lambda g, *rest: _reordered(g[2], (1, 0, 2))),
                ["In which order are the gates stacked?", "Reset, update, candidate."]),
        Mistake("the state's weights meet the whole state", _replaced(3, lambda g, dh, x, h, Wx, Wh, b: np.concatenate(
                [g[3][: 2 * h.shape[1]], layers.conv2d_backward.reference(
                    dh * _update(x, h, Wx, Wh, b), h, Wh[2 * h.shape[1] :], padding=(Wh.shape[2] // 2, Wh.shape[3] // 2))[1]])),
                ["What did the candidate's W_h convolve?", "r h, and its tanh has a slope."]),
    ],
    accepted=[_gru_backward, lambda *args: tuple(_gru_backward(*args))],
    tolerance=Tolerance(ulps=128, why="the forward step again, and four convolutions",
                        scale=lambda expected, dh, **given: _gradient_sum(dh, **given)),
    cost=Cost(flops=lambda s: 18 * s.N * s.D * (s.C + s.D) * s.Kh * s.Kw * s.H * s.W,
              bytes=lambda s: (s.N * (2 * s.C + 3 * s.D) * s.H * s.W + 6 * s.D * (s.C + s.D) * s.Kh * s.Kw) * s.itemsize),
    large=lambda size, rng: {"dh": rng.normal(size=(1, 8, *size)), **conv_gru_cell.large(size, rng)},
    outputs=("dx", "dh", "dWx", "dWh", "db"),
)  # fmt: skip
