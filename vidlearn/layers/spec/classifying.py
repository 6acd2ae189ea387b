"""Specs of what turns features into a class: linear layers, softmax, cross-entropy."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np

from vidlearn.layers.spec.drawing import cut_to
from vidlearn.spec import Cost, Law, Mistake, Spec, Tolerance, largest

few = st.integers(1, 2)
three = st.integers(1, 3)

# ------------------------------------------------------------------ linear


def _linear_inputs(leading: int, bias: bool) -> Any:
    def shapes(b: tuple[int, ...], i: int, o: int) -> Any:
        found = {"x": (*b, i), "w": (o, i)}
        return {**found, "b": (o,)} if bias else found, {}

    most = {"x": (*(2,) * leading, 3), "w": (3, 3), "b": (3,)}
    return cut_to(most, st.builds(shapes, st.tuples(*[few] * leading), three, three))


def each_row_by_itself(f: Any, x: Any, w: Any, b: Any = None) -> Any:
    return f(x[0], w, b), f(x, w, b)[0]


def sums_go_through(f: Any, x: Any, w: Any, b: Any = None) -> Any:
    return f(x + 1, w) - f(x, w), f(np.ones_like(x), w)


def nothing_gives_the_bias(f: Any, x: Any, w: Any, b: Any = None) -> Any:
    y = f(np.zeros_like(x), w, b)
    return y, np.broadcast_to(np.zeros(len(w)) if b is None else b, y.shape)


def _linear_scale(expected: Any, x: Any, w: Any, b: Any = None) -> float:
    return (1 + largest(x)) * float(np.abs(w).sum(axis=1).max()) + (0 if b is None else largest(b))


def _fitting(w: np.ndarray) -> np.ndarray:
    """The transposed weights, cut and repeated so that they have the shape of the right ones."""
    o, i = w.shape
    return np.resize(w.T, (o, i)) if o != i else w.T


def _dot_products(x: Any, w: Any, b: Any = None) -> Any:
    y = np.stack([(x * row).sum(axis=-1) for row in w], axis=-1)
    return y if b is None else y + b


linear = Spec(
    cases={"a batch, no bias": _linear_inputs(1, False), "a batch, with a bias": _linear_inputs(1, True),
           "several leading axes": _linear_inputs(2, True)},
    laws=[
        Law("each row is answered by itself", each_row_by_itself),
        Law("what is added to the input adds its own answer", sums_go_through),
        Law("zeros give the bias", nothing_gives_the_bias),
    ],
    mistakes=[
        Mistake("weights not transposed", lambda right, x, w, b=None: right(x, _fitting(w), b),
                ["Which axis of w meets the features?", "The second: a row of w for each output."]),
        Mistake("bias forgotten", lambda right, x, w, b=None: right(x, w),
                ["What is the answer to zeros?", "Add b."]),
        Mistake("bias taken off", lambda right, x, w, b=None: right(x, w, None if b is None else -b),
                ["What is the answer to zeros?", "+ b."]),
        Mistake("mean instead of the sum", lambda right, x, w, b=None: right(x / x.shape[-1], w, b),
                ["Is there a mean in the formula?", "Sum over the features."]),
        Mistake("relu on top", lambda right, x, w, b=None: np.maximum(right(x, w, b), 0),
                ["May a score be negative?", "The bend is a layer of its own."]),
    ],
    accepted=[_dot_products, lambda x, w, b=None: np.einsum("...i,oi->...o", x, w) + (0 if b is None else b)],
    tolerance=Tolerance(ulps=32, why="one sum over the features", scale=_linear_scale),
    cost=Cost(flops=lambda s: 2 * s.pixels * s.I * s.O, bytes=lambda s: (s.pixels * (s.I + s.O) + s.I * s.O) * s.itemsize),
    large=lambda size, rng: {"x": rng.normal(size=size), "w": rng.normal(size=(64, size[1])), "b": rng.normal(size=64)},
)  # fmt: skip

# ------------------------------------------------------------------ linear_backward


def _backward_inputs(leading: int) -> Any:
    def shapes(b: tuple[int, ...], i: int, o: int) -> Any:
        return {"dy": (*b, o), "x": (*b, i), "w": (o, i)}, {}

    most = {"dy": (*(3,) * leading, 3), "x": (*(3,) * leading, 3), "w": (3, 3)}
    return cut_to(most, st.builds(shapes, st.tuples(*[three] * leading), three, three))


def same_loss_both_ways(f: Any, dy: Any, x: Any, w: Any) -> Any:
    """<dy, x Wᵀ> = <dx, x> = <dW, W>: the three ways to weigh the same sum."""
    dx, dw, _ = f(dy, x, w)
    loss = (dy * (x @ w.T)).sum()
    return np.array([(dx * x).sum(), (dw * w).sum()]), np.array([loss, loss])


def bias_takes_the_sum(f: Any, dy: Any, x: Any, w: Any) -> Any:
    return f(dy, x, w)[2], dy.reshape(-1, dy.shape[-1]).sum(axis=0)


def rows_add_up(f: Any, dy: Any, x: Any, w: Any) -> Any:
    first, rest = f(dy[:1], x[:1], w), f(0 * dy, x, w)
    both = f(np.concatenate([dy[:1], 0 * dy]), np.concatenate([x[:1], x]), w)
    return both[1], first[1] + rest[1]


def _einsum_backward(dy: Any, x: Any, w: Any) -> Any:
    return (np.einsum("...o,oi->...i", dy, w), np.einsum("bo,bi->oi", dy.reshape(-1, len(w)), x.reshape(-1, w.shape[1])),
            dy.sum(axis=tuple(range(dy.ndim - 1))))  # fmt: skip


def _row_loop(dy: Any, x: Any, w: Any) -> Any:
    dw, db = np.zeros_like(w), np.zeros(len(w))
    for gradient, row in zip(dy.reshape(-1, len(w)), x.reshape(-1, w.shape[1]), strict=True):
        dw += np.outer(gradient, row)
        db += gradient
    return [dy @ w, dw, db]


linear_backward = Spec(
    cases={"a batch": _backward_inputs(1), "several leading axes": _backward_inputs(2)},
    laws=[
        Law("weighed by the input, by the weights or by the answer, the loss is the same", same_loss_both_ways),
        Law("the bias takes the sum of all rows' gradients", bias_takes_the_sum),
        Law("what each row says about the weights adds up", rows_add_up),
    ],
    mistakes=[
        Mistake("gradients averaged over the rows", lambda right, dy, x, w: (
                right(dy, x, w)[0], *(g / (dy.size / dy.shape[-1]) for g in right(dy, x, w)[1:])),
                ["Where does a mean over the batch belong?", "In the loss; here the rows add up."]),
        Mistake("bias not summed", lambda right, dy, x, w: (*right(dy, x, w)[:2], dy.reshape(-1, len(w))[0]),
                ["To how many rows is the bias added?", "To all: sum over the leading axes."]),
        Mistake("only the first row for the weights", lambda right, dy, x, w: (
                right(dy, x, w)[0], right(dy.reshape(-1, len(w))[:1], x.reshape(-1, w.shape[1])[:1], w)[1],
                right(dy, x, w)[2]),
                ["Which rows used the weights?", "All of them."]),
        Mistake("weights not transposed for the input", lambda right, dy, x, w: (
                right(dy, x, _fitting(w))[0], *right(dy, x, w)[1:]),
                ["dx has the shape of x: which product of dy and w has it?", "dy @ w, with no transpose."]),
        Mistake("sign", lambda right, dy, x, w: tuple(-g for g in right(dy, x, w)),
                ["Gradient or step?", "The gradient; the optimizer turns its sign."]),
    ],
    accepted=[_einsum_backward, _row_loop],
    tolerance=Tolerance(ulps=64, why="one sum over the rows or over the outputs",
                        scale=lambda expected, dy, x, w: dy.size * (1 + largest(dy)) * max(1, largest(x)) * max(1, largest(w))),
    cost=Cost(flops=lambda s: 4 * s.pixels * s.I * s.O,
              bytes=lambda s: (s.pixels * (2 * s.I + s.O) + 2 * s.I * s.O) * s.itemsize),
    large=lambda size, rng: {"dy": rng.normal(size=(size[0], 64)), "x": rng.normal(size=size), "w": rng.normal(size=(64, size[1]))},
    outputs=("dx", "dw", "db"),
)  # fmt: skip

# ------------------------------------------------------------------ softmax


def _scores(leading: int, least: int = 2) -> Any:
    def shapes(b: tuple[int, ...], k: int) -> Any:
        return {"x": (*b, k)}, {}

    return cut_to({"x": (*(3,) * leading, 4)}, st.builds(shapes, st.tuples(*[three] * leading), st.integers(least, 4)))


def _stable(x: np.ndarray, axis: int = -1) -> np.ndarray:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def rows_sum_to_one(f: Any, x: Any) -> Any:
    p = f(x)
    return p.sum(axis=-1), np.ones(x.shape[:-1])


def lifting_a_row(f: Any, x: Any) -> Any:
    return f(x + 1), f(x)


def equal_scores(f: Any, x: Any) -> Any:
    p = f(np.zeros_like(x))
    return p, np.full_like(p, 1 / x.shape[-1])


def differences_become_ratios(f: Any, x: Any) -> Any:
    p = f(x)
    return p[..., 0] * np.exp(x[..., 1] - x[..., 0]), p[..., 1]


softmax = Spec(
    cases={"a batch": _scores(1), "several leading axes": _scores(2),
           "huge scores": _scores(1).map(lambda d: {"x": 1000 * d["x"]}),
           "one class": _scores(1, 1).map(lambda d: {"x": d["x"][:, :1]})},
    laws=[
        Law("the probabilities sum to 1", rows_sum_to_one),
        Law("adding a number to all scores changes nothing", lifting_a_row),
        Law("equal scores are equally probable", equal_scores),
        Law("a score larger by d is e^d times as probable", differences_become_ratios, ("a batch", "several leading axes")),
    ],
    mistakes=[
        Mistake("overflows for large scores", lambda right, x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True),
                ["What is e^1000?", "Take the largest score off first: it changes nothing."]),
        Mistake("over the first axis", lambda right, x: _stable(x, axis=0),
                ["Which axis are the classes?", "The last one."]),
        Mistake("over everything", lambda right, x: np.exp(x - x.max()) / np.exp(x - x.max()).sum(),
                ["Do the probabilities of each row sum to 1?", "Sum over the last axis only."]),
        Mistake("not divided by the sum", lambda right, x: np.exp(x - x.max(axis=-1, keepdims=True)),
                ["Do they sum to 1?", "Divide by the sum of the exponentials."]),
        Mistake("logarithm of it", lambda right, x: np.log(np.maximum(right(x), 1e-300)),
                ["Can a probability be negative?", "No logarithm here; it comes with the loss."]),
        Mistake("base 2", lambda right, x: right(x * np.log(2)),
                ["Which base has the exponential?", "e."]),
    ],
    accepted=[lambda x: np.exp(x - np.log(np.exp(x - x.max(axis=-1, keepdims=True)).sum(axis=-1, keepdims=True))
                               - x.max(axis=-1, keepdims=True)),
              lambda x: _stable(x - 3)],
    tolerance=Tolerance(ulps=16, why="an exponential of a rounded difference, a sum and a quotient",
                        scale=lambda expected, x: 1 + largest(x)),
    cost=Cost(flops=lambda s: 4 * s.pixels * s.K, bytes=lambda s: 2 * s.pixels * s.K * s.itemsize),
    large=lambda size, rng: {"x": rng.normal(size=size)},
)  # fmt: skip

# ------------------------------------------------------------------ cross_entropy


def _labeled(factor: float = 1.0, least: int = 2) -> Any:
    def with_labels(drawn: dict[str, Any], seeds: list[int]) -> dict[str, Any]:
        logits = drawn["x"] * factor
        return {"logits": logits, "labels": np.array([s % logits.shape[1] for s in seeds[: len(logits)]])}

    return st.builds(with_labels, _scores(1, least), st.lists(st.integers(0, 11), min_size=3, max_size=3))


def knows_nothing(f: Any, logits: Any, labels: Any) -> Any:
    return np.asarray(f(np.zeros_like(logits), labels)), np.asarray(np.log(logits.shape[1]))


def lifted_rows(f: Any, logits: Any, labels: Any) -> Any:
    lifted = logits + np.arange(len(logits))[:, None]
    return np.asarray(f(lifted, labels)), np.asarray(f(logits, labels))


def mean_of_the_rows(f: Any, logits: Any, labels: Any) -> Any:
    each = [f(logits[i : i + 1], labels[i : i + 1]) for i in range(len(logits))]
    return np.asarray(f(logits, labels)), np.mean(each)


def _log_softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def _picked(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return values[np.arange(len(labels)), labels]


def _hot(labels: np.ndarray, classes: int) -> np.ndarray:
    return (np.arange(classes) == labels[:, None]).astype(float)


cross_entropy = Spec(
    cases={"a batch": _labeled(), "huge scores": _labeled(1000.0)},
    laws=[
        Law("whoever knows nothing pays log K", knows_nothing),
        Law("adding a number to all scores of a row changes nothing", lifted_rows),
        Law("the loss of a batch is the mean of its rows' losses", mean_of_the_rows),
    ],
    mistakes=[
        Mistake("sum instead of the mean", lambda right, x, y: right(x, y) * len(y),
                ["Does a larger batch cost more?", "Divide by the number of samples."]),
        Mistake("logarithm to base 2", lambda right, x, y: right(x, y) / np.log(2),
                ["In what unit is log 4 of four equal classes?", "The natural logarithm."]),
        Mistake("probability instead of its logarithm", lambda right, x, y: -_picked(np.exp(_log_softmax(x)), y).mean(),
                ["What does a sure and wrong answer cost?", "−log p."]),
        Mistake("softmax over the samples", lambda right, x, y: -_picked(_log_softmax(x, 0), y).mean(),
                ["Which axis are the classes?", "The last one."]),
        Mistake("sign", lambda right, x, y: -right(x, y),
                ["Is a loss negative?", "−log p is at least 0."]),
        Mistake("overflows for large scores", lambda right, x, y: -np.log(
                _picked(np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True), y)).mean(),
                ["What is e^1000, and log 0?", "Take the largest score off, and the logarithm of the sum alone."]),
        Mistake("labels counted from 1", lambda right, x, y: right(x, (y - 1) % x.shape[1]),
                ["Which number has the first class?", "0."]),
    ],
    accepted=[lambda logits, labels: -(_hot(labels, logits.shape[1]) * _log_softmax(logits)).sum() / len(labels),
              lambda logits, labels: np.mean([-_log_softmax(row)[k] for row, k in zip(logits, labels, strict=True)])],
    tolerance=Tolerance(ulps=32, why="an exponential, a sum, a logarithm, a mean"),
    cost=Cost(flops=lambda s: 5 * s.N * s.K, bytes=lambda s: s.N * s.K * s.itemsize),
    large=lambda size, rng: {"logits": rng.normal(size=size), "labels": rng.integers(0, size[1], size[0])},
)  # fmt: skip

# ------------------------------------------------------------------ cross_entropy_backward


def rows_sum_to_zero(f: Any, logits: Any, labels: Any) -> Any:
    return f(logits, labels).sum(axis=-1), np.zeros(len(logits))


def slope_of_the_loss(f: Any, logits: Any, labels: Any) -> bool:
    """Central differences of the loss, score by score; they are good to ten digits, not to the last."""
    step, found = 1e-5, np.empty_like(logits)
    for place in np.ndindex(logits.shape):
        up, down = logits.copy(), logits.copy()
        up[place] += step
        down[place] -= step
        found[place] = -(_picked(_log_softmax(up), labels).mean() - _picked(_log_softmax(down), labels).mean()) / (
            2 * step
        )
    return bool(np.abs(f(logits, labels) - found).max() < 1e-6)


cross_entropy_backward = Spec(
    cases={"a batch": _labeled(), "huge scores": _labeled(1000.0)},
    laws=[
        Law("the gradients of a row sum to 0: lifting all scores changes nothing", rows_sum_to_zero),
        Law("it is the slope of the loss, score by score", slope_of_the_loss, ("a batch",)),
    ],
    mistakes=[
        Mistake("not divided by the number of samples", lambda right, x, y: right(x, y) * len(y),
                ["Is the loss a sum or a mean?", "A mean: divide by N."]),
        Mistake("sign", lambda right, x, y: -right(x, y),
                ["Should the right score go up or down?", "p − 1 for the right class: the optimizer goes against it."]),
        Mistake("1 not taken off", lambda right, x, y: np.exp(_log_softmax(x)) / len(y),
                ["Do the gradients of a row sum to 0?", "Take 1 off at the right class."]),
        Mistake("softmax over the samples", lambda right, x, y: (np.exp(_log_softmax(x, 0)) - _hot(y, x.shape[1])) / len(y),
                ["Which axis are the classes?", "The last one."]),
        Mistake("1 taken off at the next class", lambda right, x, y: right(x, (y + 1) % x.shape[1]),
                ["Which number has the first class?", "0."]),
    ],
    accepted=[lambda logits, labels: (np.exp(_log_softmax(logits)) - _hot(labels, logits.shape[1])) / len(labels),
              lambda logits, labels: np.stack([(_stable(row) - (np.arange(len(row)) == k)) / len(labels)
                                               for row, k in zip(logits, labels, strict=True)])],
    tolerance=Tolerance(ulps=16, why="an exponential of a rounded difference, a sum, a quotient",
                        scale=lambda expected, logits, labels: 1 + largest(logits)),
    cost=Cost(flops=lambda s: 5 * s.N * s.K, bytes=lambda s: 2 * s.N * s.K * s.itemsize),
    large=lambda size, rng: {"logits": rng.normal(size=size), "labels": rng.integers(0, size[1], size[0])},
)  # fmt: skip
