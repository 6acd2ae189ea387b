"""Specs of what stands between two layers: norms and the bend."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np

from vidlearn import layers
from vidlearn.layers.spec.drawing import array_of, cut_to, unsaid
from vidlearn.spec import Cost, Law, Mistake, Spec, Tolerance, largest

few = st.integers(1, 2)
positive = st.integers(1, 8).map(lambda k: k / 4)
EPS = st.sampled_from([1e-5, 0.25])


def _columns(x: np.ndarray, *values: Any) -> list[Any]:
    """(C,) values so that they broadcast against (N, C, …)."""
    return [np.asarray(v).reshape(-1, *[1] * (x.ndim - 2)) for v in values]


def _rest(x: np.ndarray) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def _with_channels(x: Any, names: str, positives: str = "", least: int = 1) -> Any:
    """An array (N, C, …), a vector (C,) for each name, positive for some, and an epsilon."""

    def sized(shape: tuple[int, ...]) -> Any:
        vectors = {n: array_of(shape[1]) for n in names.split()}
        vectors |= {
            n: st.lists(positive, min_size=shape[1], max_size=shape[1]).map(np.array) for n in positives.split()
        }
        return st.fixed_dictionaries({x: array_of(*shape), **vectors, "eps": EPS})

    clip = st.tuples(st.integers(least, 2), few, few, few, few)
    return unsaid(clip.flatmap(sized), eps=1e-5)


def _rows(x: Any, names: str, positives: str = "", least: int = 1) -> Any:
    """The same for rows of features (N, C)."""

    def sized(shape: tuple[int, ...]) -> Any:
        vectors = {n: array_of(shape[1]) for n in names.split()}
        vectors |= {
            n: st.lists(positive, min_size=shape[1], max_size=shape[1]).map(np.array) for n in positives.split()
        }
        return st.fixed_dictionaries({x: array_of(*shape), **vectors, "eps": EPS})

    return unsaid(st.tuples(st.integers(least, 3), few).flatmap(sized), eps=1e-5)


def _large_clip(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(2, 8, 4, *size))


# ------------------------------------------------------------------ batch_norm


def the_mean_becomes_beta(f: Any, x: Any, gamma: Any, beta: Any, mean: Any, var: Any, eps: float = 1e-5) -> Any:
    at_mean = np.broadcast_to(_columns(x, mean)[0], x.shape).copy()
    return f(at_mean, gamma, beta, mean, var, eps), np.broadcast_to(_columns(x, beta)[0], x.shape)


def each_sample_by_itself(f: Any, x: Any, gamma: Any, beta: Any, mean: Any, var: Any, eps: float = 1e-5) -> Any:
    return f(x[:1], gamma, beta, mean, var, eps), f(x, gamma, beta, mean, var, eps)[:1]


def shifting_both(f: Any, x: Any, gamma: Any, beta: Any, mean: Any, var: Any, eps: float = 1e-5) -> Any:
    return f(x + 1, gamma, beta, mean + 1, var, eps), f(x, gamma, beta, mean, var, eps)


def _norm(x: Any, gamma: Any, beta: Any, mean: Any, sigma: Any) -> Any:
    gamma, beta, mean, sigma = _columns(x, gamma, beta, mean, sigma)
    return gamma * (x - mean) / sigma + beta


def _channel_by_channel(x: Any, gamma: Any, beta: Any, mean: Any, var: Any, eps: float = 1e-5) -> Any:
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        y[:, c] = gamma[c] * (x[:, c] - mean[c]) / (var[c] + eps) ** 0.5 + beta[c]
    return y


batch_norm = Spec(
    cases={"clips": _with_channels("x", "gamma beta mean", "var"), "rows of features": _rows("x", "gamma beta mean", "var")},
    laws=[
        Law("the stored mean becomes beta", the_mean_becomes_beta),
        Law("each sample is normalized by itself, whatever else is in the batch", each_sample_by_itself),
        Law("lifting the input and the stored mean alike changes nothing", shifting_both),
    ],
    mistakes=[
        Mistake("statistics of the batch at hand", lambda right, x, gamma, beta, mean, var, eps=1e-5: _norm(
                x, gamma, beta, x.mean(axis=_rest(x)), np.sqrt(x.var(axis=_rest(x)) + eps)),
                ["May the answer to one clip hang on the others in the batch?", "Use the stored mean and var."]),
        Mistake("gamma and beta swapped", lambda right, x, gamma, beta, *rest: right(x, beta, gamma, *rest),
                ["Which of the two multiplies?", "gamma scales, beta is added."]),
        Mistake("epsilon outside the root", lambda right, x, gamma, beta, mean, var, eps=1e-5: _norm(
                x, gamma, beta, mean, np.sqrt(var) + eps),
                ["Where does the formula add ε?", "To the variance, under the root."]),
        Mistake("epsilon forgotten", lambda right, x, gamma, beta, mean, var, eps=1e-5: _norm(
                x, gamma, beta, mean, np.sqrt(var)),
                ["What if the variance is 0?", "Add ε to the variance."]),
        Mistake("divided by the variance", lambda right, x, gamma, beta, mean, var, eps=1e-5: _norm(
                x, gamma, beta, mean, var + eps),
                ["Check the units: in what unit is a variance?", "Divide by its root."]),
        Mistake("beta forgotten", lambda right, x, gamma, beta, *rest: right(x, gamma, 0 * beta, *rest),
                ["What becomes of the mean?", "Add beta."]),
    ],
    accepted=[_channel_by_channel,
              lambda x, gamma, beta, mean, var, eps=1e-5: x * _columns(x, gamma / np.sqrt(var + eps))[0]
              + _columns(x, beta - mean * gamma / np.sqrt(var + eps))[0]],
    tolerance=Tolerance(ulps=32, why="a difference, a root, a quotient and a product, and what they can cancel",
                        scale=lambda expected, x, gamma, beta, mean, var, eps=1e-5: largest(expected, beta)
                        + largest(gamma) * (largest(x) + largest(mean)) / float(np.sqrt(var.min() + eps))),
    cost=Cost(flops=lambda s: 2 * s.N * s.C * s.pixels, bytes=lambda s: 2 * s.N * s.C * s.pixels * s.itemsize),
    large=lambda size, rng: {"x": _large_clip(size, rng), "gamma": rng.normal(size=8), "beta": rng.normal(size=8),
                             "mean": rng.normal(size=8), "var": rng.uniform(0.5, 2, 8)},
)  # fmt: skip

# ------------------------------------------------------------------ batch_norm_train


def mean_is_beta(f: Any, x: Any, gamma: Any, beta: Any, eps: float = 1e-5) -> Any:
    return f(x, gamma, beta, eps)[0].mean(axis=_rest(x)), beta


def lifting_changes_nothing(f: Any, x: Any, gamma: Any, beta: Any, eps: float = 1e-5) -> Any:
    return f(x + 1, gamma, beta, eps)[0], f(x, gamma, beta, eps)[0]


def spread_is_gamma(f: Any, x: Any, gamma: Any, beta: Any, eps: float = 1e-5) -> Any:
    y, _, var = f(x, gamma, beta, eps)
    return y.var(axis=_rest(x)) * (x.var(axis=_rest(x)) + eps), gamma**2 * x.var(axis=_rest(x)) + 0 * var


def statistics_of_the_batch(f: Any, x: Any, gamma: Any, beta: Any, eps: float = 1e-5) -> Any:
    _, mean, var = f(x, gamma, beta, eps)
    return np.stack([mean, var]), np.stack(
        [x.mean(axis=_rest(x)), (x**2).mean(axis=_rest(x)) - x.mean(axis=_rest(x)) ** 2]
    )


def _unbiased(right: Any, x: Any, gamma: Any, beta: Any, eps: float = 1e-5) -> Any:
    count = x.size / x.shape[1]
    var = x.var(axis=_rest(x)) * count / max(count - 1, 1)
    mean = x.mean(axis=_rest(x))
    return _norm(x, gamma, beta, mean, np.sqrt(var + eps)), mean, var


def _per_sample(right: Any, x: Any, gamma: Any, beta: Any, eps: float = 1e-5) -> Any:
    y = np.concatenate([right(row[None], gamma, beta, eps)[0] for row in x])
    return y, *right(x, gamma, beta, eps)[1:]


def _over_all(right: Any, x: Any, gamma: Any, beta: Any, eps: float = 1e-5) -> Any:
    channels = np.ones(x.shape[1])
    mean, var = x.mean() * channels, x.var() * channels
    return _norm(x, gamma, beta, mean, np.sqrt(var + eps)), mean, var


def _as_statistics(y: Any, mean: Any, var: Any) -> Any:
    return y, mean, var


def _train_loop(x: Any, gamma: Any, beta: Any, eps: float = 1e-5) -> Any:
    y, means, variances = np.empty_like(x), [], []
    for c in range(x.shape[1]):
        m = x[:, c].sum() / x[:, c].size
        v = ((x[:, c] - m) ** 2).sum() / x[:, c].size
        y[:, c] = gamma[c] * (x[:, c] - m) / np.sqrt(v + eps) + beta[c]
        means.append(m)
        variances.append(v)
    return y, np.array(means), np.array(variances)


def _spread(x: np.ndarray, eps: float = 1e-5) -> float:
    return float(1 / np.sqrt(x.var(axis=_rest(x)).min() + eps))


batch_norm_train = Spec(
    cases={"clips": _with_channels("x", "gamma beta", least=2), "rows of features": _rows("x", "gamma beta", least=2),
           "one sample": _rows("x", "gamma beta").map(lambda d: {**d, "x": d["x"][:1]})},
    laws=[
        Law("each channel's mean becomes beta", mean_is_beta),
        Law("making everything brighter by 1 changes nothing", lifting_changes_nothing),
        Law("each channel's spread becomes gamma, but for ε", spread_is_gamma),
        Law("it returns the mean and the variance of the batch", statistics_of_the_batch),
    ],
    mistakes=[
        Mistake("divides by the count less one", _unbiased,
                ["Is the batch a sample of something, or all there is?", "Divide by the number of values."]),
        Mistake("each sample by itself", _per_sample,
                ["Over which axes does *batch* norm average?", "Over the samples too; only the channels stay apart."]),
        Mistake("over the channels as well", _over_all,
                ["Which axis stays?", "Each channel has a mean of its own."]),
        Mistake("gamma and beta swapped", lambda right, x, gamma, beta, eps=1e-5: right(x, beta, gamma, eps),
                ["Which of the two multiplies?", "gamma scales, beta is added."]),
        Mistake("returns the standard deviation", lambda right, x, gamma, beta, eps=1e-5: _as_statistics(
                *right(x, gamma, beta, eps)[:2], np.sqrt(right(x, gamma, beta, eps)[2])),
                ["What is stored for later?", "The variance; the root is taken when it is used."]),
        Mistake("epsilon forgotten", lambda right, x, gamma, beta, eps=1e-5: _as_statistics(
                _norm(x, gamma, beta, x.mean(axis=_rest(x)), np.sqrt(np.maximum(x.var(axis=_rest(x)), 1e-12))),
                *right(x, gamma, beta, eps)[1:]),
                ["What if a channel is constant?", "Add ε to the variance, under the root."]),
    ],
    accepted=[_train_loop, lambda x, gamma, beta, eps=1e-5: [
        layers.batch_norm.reference(x, gamma, beta, x.mean(axis=_rest(x)), x.var(axis=_rest(x)), eps),
        x.mean(axis=_rest(x)), x.var(axis=_rest(x))]],
    tolerance=Tolerance(ulps=64, why="two means, a root and a quotient",
                        scale=lambda expected, x, gamma, beta, eps=1e-5: max(
                            largest(x) ** 2, largest(x), largest(beta) + largest(gamma) * largest(x) * _spread(x, eps))),
    cost=Cost(flops=lambda s: 7 * s.N * s.C * s.pixels, bytes=lambda s: 3 * s.N * s.C * s.pixels * s.itemsize),
    large=lambda size, rng: {"x": _large_clip(size, rng), "gamma": rng.normal(size=8), "beta": rng.normal(size=8)},
    outputs=("y", "mean", "var"),
)  # fmt: skip

# ------------------------------------------------------------------ batch_norm_train_backward


def _pair(strategy: Any) -> Any:
    """A gradient of the input's shape, from one array twice as long."""

    def split(drawn: dict[str, Any]) -> dict[str, Any]:
        both = drawn.pop("x")
        half = len(both) // 2
        return {"dy": both[:half], "x": both[half:], **drawn}

    return unsaid(strategy.map(split), eps=1e-5)


def _gradient_clips(least: int) -> Any:
    def sized(shape: tuple[int, ...]) -> Any:
        n, *rest = shape
        return st.fixed_dictionaries({"x": array_of(2 * n, *rest), "gamma": array_of(rest[0]), "eps": EPS})

    return _pair(st.tuples(st.integers(least, 2), few, few, few, few).flatmap(sized))


def _gradient_rows() -> Any:
    def sized(shape: tuple[int, ...]) -> Any:
        return st.fixed_dictionaries({"x": array_of(2 * shape[0], shape[1]), "gamma": array_of(shape[1]), "eps": EPS})

    return _pair(st.tuples(st.integers(2, 3), few).flatmap(sized))


def shifts_are_lost(f: Any, dy: Any, x: Any, gamma: Any, eps: float = 1e-5) -> Any:
    dx = f(dy, x, gamma, eps)[0]
    return dx.sum(axis=_rest(x)), np.zeros(x.shape[1])


def constant_gradients_do_nothing(f: Any, dy: Any, x: Any, gamma: Any, eps: float = 1e-5) -> Any:
    dx = f(np.ones_like(dy), x, gamma, eps)[0]
    return dx, np.zeros_like(dx)


def beta_takes_the_sum(f: Any, dy: Any, x: Any, gamma: Any, eps: float = 1e-5) -> Any:
    return f(dy, x, gamma, eps)[2], dy.sum(axis=_rest(x))


def _fixed_statistics(right: Any, dy: Any, x: Any, gamma: Any, eps: float = 1e-5) -> Any:
    sigma = np.sqrt(x.var(axis=_rest(x)) + eps)
    return dy * _columns(x, gamma / sigma)[0], *right(dy, x, gamma, eps)[1:]


def _variance_fixed(right: Any, dy: Any, x: Any, gamma: Any, eps: float = 1e-5) -> Any:
    sigma = np.sqrt(x.var(axis=_rest(x)) + eps)
    dx = (dy - _columns(x, dy.mean(axis=_rest(x)))[0]) * _columns(x, gamma / sigma)[0]
    return dx, *right(dy, x, gamma, eps)[1:]


def _step_by_step(dy: Any, x: Any, gamma: Any, eps: float = 1e-5) -> Any:
    """Back through the computation's graph, node by node, as cs231n draws it."""
    rest, m = _rest(x), x.size // x.shape[1]
    mean, var = _columns(x, x.mean(axis=rest), x.var(axis=rest))
    centered, sigma = x - mean, np.sqrt(var + eps)
    dnormal = dy * _columns(x, gamma)[0]
    dvar = (dnormal * centered).sum(axis=rest, keepdims=True).reshape(var.shape) * -0.5 / sigma**3
    dcentered = dnormal / sigma + dvar * 2 * centered / m
    dx = dcentered - dcentered.sum(axis=rest, keepdims=True) / m
    return dx, (dy * centered / sigma).sum(axis=rest), dy.sum(axis=rest)


batch_norm_train_backward = Spec(
    cases={"clips": _gradient_clips(1), "rows of features": _gradient_rows()},
    laws=[
        Law("the gradients of a channel's values sum to 0: lifting them all changes nothing", shifts_are_lost),
        Law("a gradient that is the same everywhere does nothing", constant_gradients_do_nothing),
        Law("beta's gradient is the sum of the answer's", beta_takes_the_sum),
    ],
    mistakes=[
        Mistake("mean and variance treated as constants", _fixed_statistics,
                ["Do mean and variance change if one value changes?", "Both hang on x: two more terms."]),
        Mistake("variance treated as a constant", _variance_fixed,
                ["Does the variance change if one value changes?", "One more term: x̂ times the mean of dy·x̂."]),
        Mistake("gamma forgotten", lambda right, dy, x, gamma, eps=1e-5: right(dy, x, np.ones_like(gamma), eps),
                ["By what was x̂ multiplied on the way forward?", "dx̂ = γ dy."]),
        Mistake("gamma's gradient without normalizing", lambda right, dy, x, gamma, eps=1e-5: (
                right(dy, x, gamma, eps)[0], (dy * x).sum(axis=_rest(x)), right(dy, x, gamma, eps)[2]),
                ["What does gamma multiply?", "The normalized input: Σ dy·x̂."]),
        Mistake("means instead of sums for gamma and beta", lambda right, dy, x, gamma, eps=1e-5: (
                right(dy, x, gamma, eps)[0], *(g / (x.size / x.shape[1]) for g in right(dy, x, gamma, eps)[1:])),
                ["To how many values is beta added?", "To all of the channel: the gradients add up."]),
    ],
    accepted=[_step_by_step, lambda dy, x, gamma, eps=1e-5: list(_step_by_step(dy, x, gamma, eps))],
    tolerance=Tolerance(ulps=256, why="two means, a root, a quotient, and a difference of three terms",
                        scale=lambda expected, dy, x, gamma, eps=1e-5: largest(dy) * (1 + largest(gamma)) * (
                            x.size / x.shape[1]) * (1 + largest(x)) * (1 + _spread(x, eps)) ** 2),
    cost=Cost(flops=lambda s: 12 * s.N * s.C * s.pixels, bytes=lambda s: 5 * s.N * s.C * s.pixels * s.itemsize),
    large=lambda size, rng: {"dy": _large_clip(size, rng), "x": _large_clip(size, rng), "gamma": rng.normal(size=8)},
    outputs=("dx", "dgamma", "dbeta"),
)  # fmt: skip

# ------------------------------------------------------------------ fold_batch_norm


def _folding(bias: bool, kernel: int) -> Any:
    def sized(shape: tuple[int, ...]) -> Any:
        o = shape[0]
        vectors = {n: array_of(o) for n in ("gamma", "beta", "mean")}
        vectors["var"] = st.lists(positive, min_size=o, max_size=o).map(np.array)
        b = array_of(o) if bias else st.none()
        return st.fixed_dictionaries({"w": array_of(*shape), "b": b, **vectors, "eps": EPS})

    return unsaid(st.tuples(few, few, *[few] * kernel).flatmap(sized), eps=1e-5)


def norm_after_convolution(
    f: Any, w: Any, b: Any, gamma: Any, beta: Any, mean: Any, var: Any, eps: float = 1e-5, seed: int = 0
) -> Any:
    """On any window: the weights as rows of a matrix, the window as a column."""
    window = np.random.default_rng(seed).integers(-4, 5, (3, w[0].size)) / 4
    merged, bias = f(w, b, gamma, beta, mean, var, eps)
    plain = window @ w.reshape(len(w), -1).T + (0 if b is None else b)
    wanted = gamma * (plain - mean) / np.sqrt(var + eps) + beta
    return window @ np.asarray(merged).reshape(len(w), -1).T + bias, wanted


def no_norm_no_change(f: Any, w: Any, b: Any, gamma: Any, beta: Any, mean: Any, var: Any, eps: float = 1e-5) -> Any:
    one, none = np.ones_like(gamma), np.zeros_like(gamma)
    merged, bias = f(w, b, one, none, none, one - eps, eps)
    return np.concatenate([np.ravel(merged), bias]), np.concatenate([w.ravel(), none if b is None else b])


def _fold_with(w: Any, b: Any, gamma: Any, beta: Any, mean: Any, sigma: Any) -> Any:
    scale = gamma / sigma
    return w * scale.reshape(-1, *[1] * (w.ndim - 1)), beta + ((0 if b is None else b) - mean) * scale


def _fold_loop(w: Any, b: Any, gamma: Any, beta: Any, mean: Any, var: Any, eps: float = 1e-5) -> Any:
    scale = gamma / np.sqrt(var + eps)
    return np.stack([w[o] * scale[o] for o in range(len(w))]), scale * ((0 if b is None else b) - mean) + beta


fold_batch_norm = Spec(
    cases={"without a bias": _folding(False, 3), "with a bias": _folding(True, 3), "rows of features": _folding(True, 0)},
    laws=[
        Law("it gives what the convolution and then the norm give", norm_after_convolution, (), {"seed": st.integers(0, 9)}),
        Law("a norm that does nothing changes nothing", no_norm_no_change),
    ],
    mistakes=[
        Mistake("the convolution's bias forgotten", lambda right, w, b, *norm: right(w, None, *norm),
                ["What reaches the norm: W x, or W x + b?", "b' = β + (b − μ) γ/σ."]),
        Mistake("the convolution's bias not scaled", lambda right, w, b, *norm: (
                right(w, None, *norm)[0], right(w, None, *norm)[1] + (0 if b is None else b)),
                ["Is b added before or after the norm?", "Before: it is scaled too."]),
        Mistake("mean not subtracted", lambda right, w, b, gamma, beta, mean, *rest: right(
                w, b, gamma, beta, 0 * mean, *rest),
                ["What does the norm do first?", "It takes the mean off: b − μ."]),
        Mistake("mean not scaled", lambda right, w, b, gamma, beta, mean, var, eps=1e-5: (
                right(w, b, gamma, beta, mean, var, eps)[0],
                right(w, b, gamma, beta, 0 * mean, var, eps)[1] - mean),
                ["Is the mean taken off before or after the scale?", "Before: −μ γ/σ."]),
        Mistake("divided by the variance", lambda right, w, b, gamma, beta, mean, var, eps=1e-5: _fold_with(
                w, b, gamma, beta, mean, var + eps),
                ["By what does a norm divide?", "By the root of var + ε."]),
        Mistake("epsilon forgotten", lambda right, w, b, gamma, beta, mean, var, eps=1e-5: _fold_with(
                w, b, gamma, beta, mean, np.sqrt(var)),
                ["Is σ² the stored variance?", "σ² = var + ε."]),
        Mistake("weights not scaled", lambda right, w, b, *norm: (w, right(w, b, *norm)[1]),
                ["What multiplies W x?", "γ/σ of each output channel."]),
    ],
    accepted=[_fold_loop, lambda w, b, gamma, beta, mean, var, eps=1e-5: list(
        _fold_with(w, b, gamma, beta, mean, np.sqrt(var + eps)))],
    tolerance=Tolerance(ulps=64, why="a root, a quotient, two products and two sums",
                        scale=lambda expected, w, b, gamma, beta, mean, var, eps=1e-5: largest(beta) + (
                            1 + largest(gamma)) / float(np.sqrt(var.min() + eps)) * (
                            w[0].size * largest(w) + largest(mean) + (0 if b is None else largest(b)))),
    cost=Cost(flops=lambda s: s.O * s.I * s.pixels, bytes=lambda s: 2 * s.O * s.I * s.pixels * s.itemsize),
    large=lambda size, rng: {"w": rng.normal(size=(size[0], size[1], 3, 3, 3)), "b": rng.normal(size=size[0]),
                             "gamma": rng.normal(size=size[0]), "beta": rng.normal(size=size[0]),
                             "mean": rng.normal(size=size[0]), "var": rng.uniform(0.5, 2, size[0])},
    outputs=("w", "b"),
)  # fmt: skip

# ------------------------------------------------------------------ local_response_norm


def _responses(channels: st.SearchStrategy[int]) -> Any:
    def shapes(n: int, c: int, h: int, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0) -> Any:
        return {"x": (n, c, h)}, {"size": size, "alpha": alpha, "beta": beta, "k": k}

    numbers = [st.sampled_from(several) for several in ([3, 5], [2.0, 1.0, 1e-4], [0.75, 0.5], [1.0, 2.0])]
    drawn = cut_to({"x": (2, 5, 2)}, st.builds(shapes, few, channels, few, *numbers))
    return unsaid(drawn, size=5, alpha=1e-4, beta=0.75, k=2.0)


def sign_kept(f: Any, x: Any, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0) -> Any:
    return f(-x, size, alpha, beta, k), -f(x, size, alpha, beta, k)


def far_channels_unheard(f: Any, x: Any, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0) -> Any:
    apart = np.concatenate([x, np.zeros_like(x[:, :1].repeat(size, axis=1)), x], axis=1)
    return f(apart, size, alpha, beta, k)[:, : x.shape[1]], f(x, size, alpha, beta, k)


def positions_apart(f: Any, x: Any, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0) -> Any:
    return f(x[..., :1], size, alpha, beta, k), f(x, size, alpha, beta, k)[..., :1]


def _lrn(x: Any, size: int, alpha: float, beta: float, k: float, *, mean: bool = True, axis: int = 1) -> Any:
    reach = size // 2
    squares = np.moveaxis(x * x, axis, 0)
    n = len(squares)
    total = np.stack([squares[max(0, c - reach) : c + reach + 1].sum(axis=0) for c in range(n)])
    return x / (k + alpha / (size if mean else 1) * np.moveaxis(total, 0, axis)) ** beta


def _lrn_by_matrix(x: Any, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0) -> Any:
    channel = np.arange(x.shape[1])
    near = (np.abs(channel[:, None] - channel) <= size // 2).astype(x.dtype)
    total = np.einsum("cd,nd...->nc...", near, x**2)
    return x * np.exp(-beta * np.log(k + alpha * total / size))


local_response_norm = Spec(
    cases={"several channels": _responses(st.integers(2, 5)), "one channel": _responses(st.just(1))},
    laws=[
        Law("negative values are quieted as positive ones are", sign_kept),
        Law("channels further away than half the window are not heard", far_channels_unheard),
        Law("each position is by itself", positions_apart),
    ],
    mistakes=[
        Mistake("alpha not divided by the window", lambda right, x, size=5, alpha=1e-4, beta=0.75, k=2.0: _lrn(
                x, size, alpha, beta, k, mean=False),
                ["Does a wider window quiet more?", "Frameworks divide alpha by the number of channels summed."]),
        Mistake("across positions, not channels", lambda right, x, size=5, alpha=1e-4, beta=0.75, k=2.0: _lrn(
                x, size, alpha, beta, k, axis=2),
                ["Who are the neighbors?", "Other channels at the same place."]),
        Mistake("floor k forgotten", lambda right, x, size=5, alpha=1e-4, beta=0.75, k=2.0: right(x, size, alpha, beta, 1e-6),
                ["What is the answer where all is nearly 0?", "k + α/n Σ x²."]),
        Mistake("divided by the sum, without the exponent", lambda right, x, size=5, alpha=1e-4, beta=0.75, k=2.0: right(
                x, size, alpha, 1.0, k),
                ["What does beta do?", "The bracket is raised to it."]),
        Mistake("sum of values, not of squares", lambda right, x, size=5, alpha=1e-4, beta=0.75, k=2.0: (
                x * (right(np.sqrt(np.abs(x)), size, alpha, beta, k) / np.where(x == 0, 1, np.sqrt(np.abs(x))))),
                ["Would opposite signs cancel?", "Sum the squares."]),
    ],
    accepted=[lambda x, size=5, alpha=1e-4, beta=0.75, k=2.0: _lrn(x, size, alpha, beta, k),
              _lrn_by_matrix],
    tolerance=Tolerance(ulps=32, why="a sum of squares, a power and a quotient"),
    cost=Cost(flops=lambda s: (2 * s.size + 10) * s.N * s.C * s.pixels, bytes=lambda s: 2 * s.N * s.C * s.pixels * s.itemsize),
    large=lambda size, rng: {"x": rng.normal(size=(1, 16, *size))},
)  # fmt: skip

# ------------------------------------------------------------------ layer_norm


def _tokens(least: int) -> Any:
    """Tokens (…, D) of at least so many features, with scale, offset and epsilon."""
    shapes = st.one_of(st.tuples(st.integers(least, 3)), st.tuples(few, few, st.integers(least, 4)))
    drawn = shapes.flatmap(lambda shape: st.fixed_dictionaries(
        {"x": array_of(*shape), "gamma": array_of(shape[-1]), "beta": array_of(shape[-1]), "eps": EPS}))  # fmt: skip
    return unsaid(drawn, eps=1e-5)


def lifting_a_token(f: Any, x: Any, gamma: Any, beta: Any, eps: float = 1e-5) -> Any:
    return f(x + 3, gamma, beta, eps), f(x, gamma, beta, eps)


def tokens_apart(f: Any, x: Any, gamma: Any, beta: Any, eps: float = 1e-5) -> Any:
    both = np.stack([x, -2 * x])
    return f(both, gamma, beta, eps)[0], f(x, gamma, beta, eps)


def flat_tokens_become_beta(f: Any, x: Any, gamma: Any, beta: Any, eps: float = 1e-5) -> Any:
    return f(np.full_like(x, 0.5), gamma, beta, eps), np.broadcast_to(beta, x.shape)


def _layer_norm(x: Any, gamma: Any, beta: Any, eps: float = 1e-5, axis: Any = -1, unbiased: bool = False) -> Any:
    mean = x.mean(axis=axis, keepdims=True)
    n = x.shape[-1]
    var = ((x - mean) ** 2).mean(axis=axis, keepdims=True) * (n / (n - 1) if unbiased and n > 1 else 1)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


layer_norm = Spec(
    cases={"several features": _tokens(2), "any": _tokens(1)},
    laws=[
        Law("lifting all features of a token alike changes nothing", lifting_a_token),
        Law("a token is normalized by itself, whatever stands beside it", tokens_apart),
        Law("where all features are equal, beta is left", flat_tokens_become_beta),
    ],
    mistakes=[
        Mistake("over all tokens at once", lambda right, x, gamma, beta, eps=1e-5: _layer_norm(x, gamma, beta, eps, axis=None),
                ["Whose mean is it?", "Each token's own: over the last axis."]),
        Mistake("over the first axis", lambda right, x, gamma, beta, eps=1e-5: _layer_norm(x, gamma, beta, eps, axis=0),
                ["Batch norm shares its statistics among samples. Does layer norm?", "Over the last axis."]),
        Mistake("variance divided by D − 1", lambda right, x, gamma, beta, eps=1e-5: _layer_norm(x, gamma, beta, eps, unbiased=True),
                ["Is it an estimate from a sample, or a mean of what is there?", "Divide by D."]),
        Mistake("mean not taken away", lambda right, x, gamma, beta, eps=1e-5: gamma * x / np.sqrt(x.var(axis=-1, keepdims=True) + eps) + beta,
                ["What is the mean of the answer, before gamma and beta?", "0: subtract the mean first."]),
        Mistake("gamma and beta swapped", lambda right, x, gamma, beta, *rest: right(x, beta, gamma, *rest),
                ["Which of the two multiplies?", "gamma scales, beta is added."]),
        Mistake("divided by the variance", lambda right, x, gamma, beta, eps=1e-5: (
                gamma * (x - x.mean(axis=-1, keepdims=True)) / (x.var(axis=-1, keepdims=True) + eps) + beta),
                ["In what unit is a variance?", "Divide by its root."]),
    ],
    accepted=[lambda x, gamma, beta, eps=1e-5: _layer_norm(x, gamma, beta, eps),
              lambda x, gamma, beta, eps=1e-5: np.apply_along_axis(
                  lambda t: (t - t.mean()) / (t.var() + eps) ** 0.5, -1, x) * gamma + beta],
    tolerance=Tolerance(ulps=64, why="two means, a root and a quotient, and what the difference can cancel",
                        scale=lambda expected, x, gamma, beta, eps=1e-5: largest(expected, beta)
                        + largest(gamma) * largest(x) / eps**0.5),
    cost=Cost(flops=lambda s: 8 * s.pixels * s.D, bytes=lambda s: 2 * s.pixels * s.D * s.itemsize),
    large=lambda size, rng: {"x": rng.normal(size=(size[0] * size[1], 64)), "gamma": rng.normal(size=64), "beta": rng.normal(size=64)},
)  # fmt: skip

# ------------------------------------------------------------------ relu, relu_backward


def _any_shape() -> Any:
    shapes = st.one_of(st.tuples(st.integers(1, 5)), st.tuples(few, few, few))
    return shapes.flatmap(lambda shape: st.fixed_dictionaries({"x": array_of(*shape)}))


def twice_is_once(f: Any, x: Any) -> Any:
    return f(f(x)), f(x)


def both_sides(f: Any, x: Any) -> Any:
    return f(x) - f(-x), x


def doubling(f: Any, x: Any) -> Any:
    return f(2 * x), 2 * f(x)


relu = Spec(
    cases={"any shape": _any_shape(), "nothing positive": _any_shape().map(lambda d: {"x": -np.abs(d["x"])})},
    laws=[
        Law("doing it twice is doing it once", twice_is_once),
        Law("what it passes of x, less what it passes of −x, is x", both_sides),
        Law("doubling the input doubles the answer", doubling),
    ],
    mistakes=[
        Mistake("absolute value", lambda right, x: np.abs(x),
                ["What becomes of −2?", "0, not 2."]),
        Mistake("stops the positive", lambda right, x: np.minimum(x, 0),
                ["Which half passes?", "max(x, 0)."]),
        Mistake("leaks", lambda right, x: np.where(x > 0, x, 0.01 * x),
                ["What becomes of negative values?", "Exactly 0; a slope below 0 is another function."]),
        Mistake("1 where it is positive", lambda right, x: (x > 0).astype(float),
                ["What becomes of 2?", "2: that was the derivative."]),
    ],
    accepted=[lambda x: x * (x > 0), lambda x: (x + np.abs(x)) / 2, lambda x: np.where(x > 0, x, 0.0)],
    tolerance=Tolerance(ulps=1, why="nothing is rounded"),
    cost=Cost(flops=lambda s: s.pixels, bytes=lambda s: 2 * s.pixels * s.itemsize),
    large=lambda size, rng: {"x": _large_clip(size, rng)},
)  # fmt: skip


def _gradient_and_input() -> Any:
    shapes = st.one_of(st.tuples(st.integers(1, 5)), st.tuples(few, few, few))
    return shapes.flatmap(lambda shape: st.fixed_dictionaries({"dy": array_of(*shape), "x": array_of(*shape)}))


def linear_in_dy(f: Any, dy: Any, x: Any) -> Any:
    return f(2 * dy, x), 2 * f(dy, x)


def each_value_passes_once(f: Any, dy: Any, x: Any) -> Any:
    return f(dy, x) + f(dy, -x), np.where(x == 0, 0, dy)


relu_backward = Spec(
    cases={"any shape": _gradient_and_input(),
           "nothing positive": _gradient_and_input().map(lambda d: {"dy": d["dy"], "x": -np.abs(d["x"])})},
    laws=[
        Law("doubling the answer's gradient doubles it", linear_in_dy),
        Law("a gradient passes for x or for −x, never for both, and at 0 for neither", each_value_passes_once),
    ],
    mistakes=[
        Mistake("passes where the gradient is positive", lambda right, dy, x: np.maximum(dy, 0),
                ["Which sign decides: the gradient's or the input's?", "The input's: x > 0."]),
        Mistake("passes everywhere", lambda right, dy, x: dy,
                ["Did a negative input change the answer?", "No; so its gradient is 0."]),
        Mistake("multiplies by the input", lambda right, dy, x: dy * np.maximum(x, 0),
                ["What is the slope of relu where x > 0?", "1, not x."]),
        Mistake("passes at 0", lambda right, dy, x: np.where(x >= 0, dy, 0.0),
                ["Which of the two slopes at 0 is agreed on here?", "0: nothing passes where x is not positive."]),
        Mistake("passes where the input is negative", lambda right, dy, x: np.where(x < 0, dy, 0.0),
                ["Which inputs reached the answer?", "The positive ones."]),
    ],
    accepted=[lambda dy, x: dy * (x > 0), lambda dy, x: np.where(layers.relu.reference(x) > 0, dy, 0.0)],
    tolerance=Tolerance(ulps=1, why="nothing is rounded"),
    cost=Cost(flops=lambda s: s.pixels, bytes=lambda s: 3 * s.pixels * s.itemsize),
    large=lambda size, rng: {"dy": _large_clip(size, rng), "x": _large_clip(size, rng)},
)  # fmt: skip

# ------------------------------------------------------------------ gelu


def shares_add_up(f: Any, x: Any) -> Any:
    return f(x) - f(-x), x


def far_out_it_passes(f: Any, x: Any) -> Any:
    far = np.abs(x) + 16
    return f(far), far


def far_below_it_stops(f: Any, x: Any) -> Any:
    far = -np.abs(x) - 16
    return f(far) + far, far


def _normal_share(x: Any) -> Any:
    """How many normal values are smaller: the integral of the bell curve by Simpson's rule."""
    t = np.linspace(0, 1, 201)
    weight = np.ones(201)
    weight[1:-1:2], weight[2:-1:2] = 4, 2
    x = np.asarray(x, float)
    return 0.5 + x * (np.exp(-0.5 * (x[..., None] * t) ** 2) @ weight) / 600 / np.sqrt(2 * np.pi)


gelu = Spec(
    cases={"any shape": _any_shape(), "nothing positive": _any_shape().map(lambda d: {"x": -np.abs(d["x"])})},
    laws=[
        Law("what it passes of x, less what it passes of −x, is x", shares_add_up),
        Law("far above 0 all passes", far_out_it_passes),
        Law("far below 0 nothing passes", far_below_it_stops),
    ],
    mistakes=[
        Mistake("erf of x, not of x/√2", lambda right, x: right(np.sqrt(2) * x) / np.sqrt(2),
                ["erf and the normal distribution measure in other units. Which?", "erf(x/√2)."]),
        Mistake("sigmoid instead of the normal share", lambda right, x: x / (1 + np.exp(-x)),
                ["How many normal values are smaller than 1?", "84 %, not 73 %: that was SiLU."]),
        Mistake("hard bend", lambda right, x: np.maximum(x, 0),
                ["What becomes of −1?", "A little passes: −0.16."]),
        Mistake("the share, not x times the share", lambda right, x: np.where(x == 0, 0.5, right(x) / np.where(x == 0, 1, x)),
                ["What becomes of 9?", "Nearly 9."]),
        Mistake("not halved", lambda right, x: 2 * right(x),
                ["1 + erf reaches 2. What should it reach?", "Divide by 2."]),
    ],
    accepted=[lambda x: x * _normal_share(x), lambda x: x - x * _normal_share(-x)],
    tolerance=Tolerance(ulps=16, why="one error function and two products"),
    cost=Cost(flops=lambda s: 20 * s.pixels, bytes=lambda s: 2 * s.pixels * s.itemsize),
    large=lambda size, rng: {"x": _large_clip(size, rng)},
)  # fmt: skip
