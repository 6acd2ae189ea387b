"""What makes an implementation of attention right: its cases, its laws and the mistakes people make.

In each part, the functions that a spec names stand before it.
"""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np

from vidlearn import layers
from vidlearn.layers.spec.drawing import cut_to, features_of, unsaid
from vidlearn.nonlocal_attention import reference
from vidlearn.spec import Cost, Law, Mistake, Spec, Tolerance, largest

few = st.integers(1, 2)
SEED = {"seed": st.integers(0, 99)}


def _softmax(e: np.ndarray, axis: Any = -1) -> np.ndarray:
    p = np.exp(e - e.max(axis=axis, keepdims=True))
    return p / p.sum(axis=axis, keepdims=True)


def _order(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(n)


def _products(q: np.ndarray, k: np.ndarray) -> float:
    """The largest sum of |q k|: what a score's rounding is measured by."""
    return float((np.abs(q) @ np.abs(k).transpose(0, 2, 1)).max())


def _sets(names: str, keys: st.SearchStrategy[int], more: Any = None) -> st.SearchStrategy[Any]:
    """Queries, keys and maybe values of the given names: (N, L, D), (N, M, D), (N, M, E)."""
    q, k, *v = names.split()
    most = {q: (2, 3, 2), k: (2, 4, 2), **{n: (2, 4, 2) for n in v}}
    sizes = st.tuples(few, st.integers(1, 3), keys, few, few).map(
        lambda s: ({q: (s[0], s[1], s[3]), k: (s[0], s[2], s[3]), **{n: (s[0], s[2], s[4]) for n in v}}, {}))  # fmt: skip
    drawn = cut_to(most, sizes)
    return st.tuples(drawn, more).map(lambda d: {**d[0], **d[1]}) if more is not None else drawn


def _large(frames: int = 4, **features: int) -> Any:
    """Tokens of the given features: the positions of a few frames, as a network has them."""

    def drawn(size: tuple[int, int], rng: np.random.Generator) -> dict[str, Any]:
        height, width = features_of(size)
        return {name: rng.normal(size=(1, frames * height * width, d)) for name, d in features.items()}

    return drawn


softmaxed = st.sampled_from(["gaussian", "embedded gaussian"]).map(lambda p: {"pairwise": p})
averaged = st.just({"pairwise": "dot product"})


def _with_w_f(names: str) -> st.SearchStrategy[Any]:
    """The concatenation, whose w_f has twice as many numbers as a position has features."""
    quarters = st.lists(st.integers(-4, 4).map(lambda n: n / 4), min_size=4, max_size=4)

    def joined(drawn: Any, numbers: list[float]) -> Any:
        features = next(iter(drawn.values())).shape[2]
        return {**drawn, "pairwise": "concatenation", "w_f": np.array(numbers[: 2 * features])}

    return st.builds(joined, _sets(names, st.integers(1, 4)), quarters)


def _families(names: str) -> dict[str, st.SearchStrategy[Any]]:
    many = st.integers(1, 4)
    return {
        "softmax": unsaid(_sets(names, many, softmaxed), pairwise="embedded gaussian"),
        "dot product": _sets(names, many, averaged),
        "concatenation": _with_w_f(names),
    }


# ------------------------------------------------------------------ pairwise_weights


def rows_sum_to_one(f: Any, theta: Any, phi: Any, pairwise: str = "embedded gaussian") -> Any:
    w = f(theta, phi, pairwise)
    return w.sum(axis=2), np.ones(w.shape[:2])


def lifting_scores(f: Any, theta: Any, phi: Any, pairwise: str = "embedded gaussian") -> Any:
    """A feature that is 1 in every query and the same in every key adds the same to all scores of a row: so much that
    their exponentials are no longer numbers."""
    one, much = np.ones((*theta.shape[:2], 1)), np.full((*phi.shape[:2], 1), 1024.0)
    return f(np.concatenate([theta, one], 2), np.concatenate([phi, much], 2), pairwise), f(theta, phi, pairwise)


def twice_as_many_halve(f: Any, theta: Any, phi: Any, pairwise: str = "embedded gaussian", w_f: Any = None) -> Any:
    M = phi.shape[1]
    return f(theta, np.concatenate([phi, phi], 1), pairwise, w_f)[:, :, :M], f(theta, phi, pairwise, w_f) / 2


def keys_in_any_order(
    f: Any, theta: Any, phi: Any, pairwise: str = "embedded gaussian", w_f: Any = None, seed: int = 0
) -> Any:
    order = _order(phi.shape[1], seed)
    return f(theta, phi[:, order], pairwise, w_f), f(theta, phi, pairwise, w_f)[:, :, order]


def never_negative(f: Any, theta: Any, phi: Any, pairwise: str = "embedded gaussian", w_f: Any = None) -> Any:
    w = f(theta, phi, pairwise, w_f)
    return np.minimum(w, 0), np.zeros_like(w)


def _weights(theta: Any, phi: Any, pairwise: str = "embedded gaussian", w_f: Any = None, **wrong: Any) -> Any:
    """The definition, with a place for each slip."""
    M, D = phi.shape[1], theta.shape[2]
    if pairwise == "concatenation":
        f = np.concatenate(np.broadcast_arrays(theta[:, :, None], phi[:, None, :]), axis=-1) @ w_f
        f = f if wrong.get("linear") else np.maximum(f, 0)
    else:
        f = np.einsum("nld,nmd->nlm", theta, phi) * wrong.get("scale", 1.0)
    if pairwise in ("dot product", "concatenation") and not wrong.get("softmax"):
        return (
            f / wrong.get("by", M) if wrong.get("by") != "sum" else f / np.where(f.sum(2) == 0, 1, f.sum(2))[..., None]
        )
    return _softmax(f, wrong.get("axis", 2)) if D else f


def _weights_scale(expected: Any, theta: Any, phi: Any, pairwise: str = "embedded gaussian", w_f: Any = None) -> float:
    scores = _products(theta, phi) if w_f is None else largest(w_f) * (largest(theta) + largest(phi)) * len(w_f)
    return 1.0 + scores


pairwise_weights = Spec(
    cases=_families("theta phi"),
    laws=[
        Law("softmax: the weights of a position sum to 1", rows_sum_to_one, cases=("softmax",)),
        Law("softmax: what is added to all scores of a position changes nothing", lifting_scores, cases=("softmax",)),
        Law("a position that is there twice gets half of the weight each time", twice_as_many_halve),
        Law("the order in which positions are looked at changes nothing but the order", keys_in_any_order, draws=SEED),
        Law("after a concatenation no weight is negative", never_negative, cases=("concatenation",)),
    ],
    mistakes=[
        Mistake("softmax over the positions that ask", lambda right, theta, phi, pairwise="embedded gaussian", w_f=None: _weights(theta, phi, pairwise, w_f, axis=1),
                ["Whose weights sum to 1?", "One position's, over all it looks at: the last axis."]),
        Mistake("one softmax over all pairs", lambda right, theta, phi, pairwise="embedded gaussian", w_f=None: _weights(theta, phi, pairwise, w_f, axis=(1, 2)),
                ["Does a position's sum depend on other askers?", "Each row has its own sum."]),
        Mistake("scaled by 1/√D", lambda right, theta, phi, pairwise="embedded gaussian", w_f=None: _weights(theta, phi, pairwise, w_f, scale=theta.shape[2] ** -0.5),
                ["Is there a scale in the paper's Gaussian?", "Transformers divide by √D; the non-local paper does not."]),
        Mistake("softmax of everything", lambda right, theta, phi, pairwise="embedded gaussian", w_f=None: _weights(theta, phi, pairwise, w_f, softmax=True),
                ["Which of the four has an exponential?", "Dot product and concatenation are divided by the number of positions."]),
        Mistake("divided by the features, not by the positions", lambda right, theta, phi, pairwise="embedded gaussian", w_f=None: _weights(theta, phi, pairwise, w_f, by=theta.shape[2]),
                ["A clip twice as long: must the answer grow?", "Divide by M, how many positions are looked at."]),
        Mistake("not divided", lambda right, theta, phi, pairwise="embedded gaussian", w_f=None: _weights(theta, phi, pairwise, w_f, by=1),
                ["A clip twice as long: must the answer grow?", "Divide by M."]),
        Mistake("divided by its sum", lambda right, theta, phi, pairwise="embedded gaussian", w_f=None: _weights(theta, phi, pairwise, w_f, by="sum"),
                ["What if the products sum to 0?", "Only the exponential is surely positive; divide by M."]),
        Mistake("no bend after the concatenation", lambda right, theta, phi, pairwise="embedded gaussian", w_f=None: _weights(theta, phi, pairwise, w_f, linear=True),
                ["Can a weight be negative there?", "A ReLU stands around w_f · [θ, φ]."]),
        Mistake("phi first in the concatenation", lambda right, theta, phi, pairwise="embedded gaussian", w_f=None: right(
                theta, phi, pairwise, w_f if w_f is None else np.roll(w_f, len(w_f) // 2)),
                ["Which half of w_f belongs to the asker?", "The first D numbers are theta's."]),
    ],
    accepted=[_weights,
              lambda theta, phi, pairwise="embedded gaussian", w_f=None: np.stack(
                  [_weights(theta[:, i : i + 1], phi, pairwise, w_f)[:, 0] for i in range(theta.shape[1])], axis=1),
              lambda theta, phi, pairwise="embedded gaussian", w_f=None: _weights(
                  theta.astype(np.float32), phi.astype(np.float32), pairwise, w_f if w_f is None else w_f.astype(np.float32))],
    tolerance=Tolerance(ulps=16, why="a sum of products, whose rounding the exponential passes on; an exponential and a quotient",
                        scale=_weights_scale),
    cost=Cost(flops=lambda s: 2 * s.N * s.L * s.M * (s.D + 3), bytes=lambda s: s.N * (s.L * s.D + s.M * s.D + s.L * s.M) * s.itemsize),
    large=_large(theta=32, phi=32),
)  # fmt: skip

# ------------------------------------------------------------------ nonlocal_mean


def constant_stays(f: Any, theta: Any, phi: Any, g: Any, pairwise: str = "embedded gaussian") -> Any:
    same = np.broadcast_to(g[:, :1], g.shape).copy()
    y = f(theta, phi, same, pairwise)
    return y, np.broadcast_to(g[:, :1], y.shape)


def doubled_clip(f: Any, theta: Any, phi: Any, g: Any, pairwise: str = "embedded gaussian", w_f: Any = None) -> Any:
    return f(theta, np.concatenate([phi, phi], 1), np.concatenate([g, g], 1), pairwise, w_f), f(
        theta, phi, g, pairwise, w_f
    )


def shuffled_together(
    f: Any, theta: Any, phi: Any, g: Any, pairwise: str = "embedded gaussian", w_f: Any = None, seed: int = 0
) -> Any:
    order = _order(phi.shape[1], seed)
    return f(theta, phi[:, order], g[:, order], pairwise, w_f), f(theta, phi, g, pairwise, w_f)


def linear_in_g(f: Any, theta: Any, phi: Any, g: Any, pairwise: str = "embedded gaussian", w_f: Any = None) -> Any:
    return f(theta, phi, -2 * g, pairwise, w_f), -2 * f(theta, phi, g, pairwise, w_f)


def _mean_in_loops(theta: Any, phi: Any, g: Any, pairwise: str = "embedded gaussian", w_f: Any = None) -> Any:
    y = np.zeros((*theta.shape[:2], g.shape[2]))
    w = _weights(theta, phi, pairwise, w_f)
    for i in range(theta.shape[1]):
        for j in range(phi.shape[1]):
            y[:, i] += w[:, i, j, None] * g[:, j]
    return y


def _mean_scale(
    expected: Any, theta: Any, phi: Any, g: Any, pairwise: str = "embedded gaussian", w_f: Any = None
) -> float:
    return _weights_scale(expected, theta, phi, pairwise, w_f) * largest(g)


nonlocal_mean = Spec(
    cases=_families("theta phi g"),
    laws=[
        Law("softmax: where all values are equal, that value is the answer", constant_stays, cases=("softmax",)),
        Law("a clip that is there twice answers as it does once", doubled_clip),
        Law("the order of what is looked at changes nothing", shuffled_together, draws=SEED),
        Law("the answer doubles and turns with the values", linear_in_g),
    ],
    mistakes=[
        Mistake("softmax over the positions that ask", lambda right, theta, phi, g, pairwise="embedded gaussian", w_f=None: _weights(theta, phi, pairwise, w_f, axis=1) @ g,
                ["Whose weights sum to 1?", "One position's, over all it looks at."]),
        Mistake("scaled by 1/√D", lambda right, theta, phi, g, pairwise="embedded gaussian", w_f=None: _weights(
                theta, phi, pairwise, w_f, scale=theta.shape[2] ** -0.5) @ g,
                ["Is there a scale in the paper's Gaussian?", "Transformers divide by √D; the non-local paper does not."]),
        Mistake("not divided", lambda right, theta, phi, g, pairwise="embedded gaussian", w_f=None: _weights(theta, phi, pairwise, w_f, by=1) @ g,
                ["A clip twice as long: must the answer grow?", "Divide by M."]),
        Mistake("divided by the features, not by the positions", lambda right, theta, phi, g, pairwise="embedded gaussian", w_f=None: _weights(
                theta, phi, pairwise, w_f, by=theta.shape[2]) @ g,
                ["A clip twice as long: must the answer grow?", "Divide by M, how many positions are looked at."]),
        Mistake("softmax of everything", lambda right, theta, phi, g, pairwise="embedded gaussian", w_f=None: _weights(theta, phi, pairwise, w_f, softmax=True) @ g,
                ["Which of the four has an exponential?", "Dot product and concatenation are divided by the number of positions."]),
        Mistake("no bend after the concatenation", lambda right, theta, phi, g, pairwise="embedded gaussian", w_f=None: _weights(theta, phi, pairwise, w_f, linear=True) @ g,
                ["Can a weight be negative there?", "A ReLU stands around w_f · [θ, φ]."]),
        Mistake("the asker's own value is left out", lambda right, theta, phi, g, pairwise="embedded gaussian", w_f=None: (
                _weights(theta, phi, pairwise, w_f) * (1 - np.eye(theta.shape[1], phi.shape[1]))) @ g,
                ["Does a position look at itself?", "All positions, itself among them."]),
    ],
    accepted=[_mean_in_loops,
              lambda theta, phi, g, pairwise="embedded gaussian", w_f=None: np.einsum("nlm,nme->nle", _weights(theta, phi, pairwise, w_f), g)],
    tolerance=Tolerance(ulps=32, why="a sum of products, an exponential, a quotient and another sum of products", scale=_mean_scale),
    cost=Cost(flops=lambda s: 2 * s.N * s.L * s.M * (s.D + s.E + 2), bytes=lambda s: s.N * (s.L * (s.D + s.E) + s.M * (s.D + s.E)) * s.itemsize),
    large=_large(theta=32, phi=32, g=32),
)  # fmt: skip

# ------------------------------------------------------------------ nonlocal_block

WIDTHS = ("space-time", "space", "time")


def _block_inputs(pairwise: str, over: st.SearchStrategy[str], subsample: int = 1) -> st.SearchStrategy[Any]:
    most = {"x": (2, 2, 3, 2, 3), "w_g": (2, 2), "w_z": (2, 2), "w_theta": (2, 2), "w_phi": (2, 2), "w_f": (4,)}
    side = st.sampled_from([n for n in (1, 2, 3, 2, 3) if n >= subsample])

    def sized(s: Any) -> Any:
        N, C, M, T, H, W, over = s
        shapes = {"x": (N, C, T, min(H, 2), W), "w_g": (M, C), "w_z": (C, M)}
        if pairwise != "gaussian":
            shapes |= {"w_theta": (M, C), "w_phi": (M, C)}
        if pairwise == "concatenation":
            shapes["w_f"] = (2 * M,)
        return shapes, {"pairwise": pairwise, "over": over, "subsample": subsample}

    drawn = cut_to(most, st.tuples(few, few, few, st.integers(1, 3), side, side, over).map(sized))
    return unsaid(drawn, pairwise="embedded gaussian", over="space-time", subsample=1)


def _one_of(*kinds: str, over: Any = WIDTHS, subsample: int = 1) -> Any:
    return st.one_of([_block_inputs(kind, st.sampled_from(over), subsample) for kind in kinds])


def zero_last_layer(f: Any, x: Any, w_z: Any, **rest: Any) -> Any:
    return f(x, w_z=0 * w_z, **rest), x


def frames_in_any_order(f: Any, x: Any, seed: int, **rest: Any) -> Any:
    order = _order(x.shape[2], seed)
    return f(x[:, :, order], **rest), f(x, **rest)[:, :, order]


def columns_mirrored(f: Any, x: Any, **rest: Any) -> Any:
    return f(x[..., ::-1].copy(), **rest), f(x, **rest)[..., ::-1]


def frames_alone(f: Any, x: Any, over: str = "", **rest: Any) -> Any:
    return f(x[:, :, :1].copy(), over="space", **rest), f(x, over="space", **rest)[:, :, :1]


def places_alone(f: Any, x: Any, over: str = "", **rest: Any) -> Any:
    return f(x[..., :1].copy(), over="time", **rest), f(x, over="time", **rest)[..., :1]


def _tokens(a: Any, over: str) -> Any:
    N, C, T, H, W = a.shape
    if over == "time":
        return a.transpose(0, 3, 4, 2, 1).reshape(N * H * W, T, C)
    a = a.transpose(0, 2, 3, 4, 1)
    return a.reshape(N * T, H * W, C) if over == "space" else a.reshape(N, T * H * W, C)


def _grid(y: Any, shape: tuple[int, ...], over: str) -> Any:
    N, _, T, H, W = shape
    if over == "time":
        return y.reshape(N, H, W, T, -1).transpose(0, 4, 3, 1, 2)
    return y.reshape(N, T, H, W, -1).transpose(0, 4, 1, 2, 3)


def _pooled(a: Any, s: int, time: int = 1) -> Any:
    return a if s == 1 else layers.max_pool3d(a, (min(time, a.shape[2]), s, s))


def _block(x: Any, w_g: Any, w_z: Any, w_theta: Any = None, w_phi: Any = None, w_f: Any = None, pairwise: str = "embedded gaussian",
           over: str = "space-time", subsample: int = 1, *, residual: bool = True, mean: Any = None, pool: str = "", time: int = 1,
           turned: bool = False) -> Any:  # fmt: skip
    """The definition, with a place for each slip."""

    def project(w: Any) -> Any:
        return x if w is None else np.tensordot(w, x, (1, 1)).swapaxes(0, 1)

    theta, phi, g = project(w_theta), project(w_phi), project(w_g)
    phi, g = _pooled(phi, subsample, time), _pooled(g, subsample, time)
    if pool == "mean" and subsample > 1:
        phi, g = (layers.avg_pool3d(a, (1, subsample, subsample)) for a in (project(w_phi), project(w_g)))
    if pool == "first" and subsample > 1:
        small = _pooled(x, subsample)
        phi, g = (small if w is None else np.tensordot(w, small, (1, 1)).swapaxes(0, 1) for w in (w_phi, w_g))
    theta, phi, g = (_tokens(a, over) for a in (theta, phi, g))
    w = (mean or _weights)(theta, phi, pairwise, w_f)
    if turned and w.shape[1] == w.shape[2]:
        w = w.swapaxes(1, 2)
    y = _grid(w @ g, x.shape, over)
    z = np.tensordot(w_z, y, (1, 1)).swapaxes(0, 1)
    return x + z if residual else z


def _block_scale(
    expected: Any,
    x: Any,
    w_g: Any,
    w_z: Any,
    w_theta: Any = None,
    w_phi: Any = None,
    w_f: Any = None,
    *_: Any,
    **__: Any,
) -> float:
    """The answer's magnitude times what the scores' rounding is multiplied with."""

    def gain(w: Any) -> float:
        return 1.0 if w is None else float(np.abs(w).sum(axis=1).max())

    strong = largest(x)
    a, b = gain(w_theta) * strong, gain(w_phi) * strong
    scores = a * b * x.shape[1] if w_f is None else largest(w_f) * (a + b) * len(w_f)
    return strong + gain(w_z) * gain(w_g) * strong * (1 + scores)


nonlocal_block = Spec(
    cases={
        "softmax": _one_of("gaussian", "embedded gaussian"),
        "dot product and concatenation": _one_of("dot product", "concatenation"),
        "sub-sampled": _one_of("embedded gaussian", "gaussian", "dot product", over=("space-time", "space"), subsample=2),
    },
    laws=[
        Law("with w_z = 0 the block changes nothing", zero_last_layer),
        Law("frames in another order: the same answers in that order", frames_in_any_order, draws=SEED),
        Law("a mirrored clip has the mirrored answer", columns_mirrored, cases=("softmax", "dot product and concatenation")),
        Law("over space, a frame is answered by itself", frames_alone),
        Law("over time, a place is answered by itself", places_alone, cases=("softmax", "dot product and concatenation")),
    ],
    mistakes=[
        Mistake("the clip itself is not added", lambda right, *a, **k: _block(*a, **k, residual=False),
                ["What should w_z = 0 leave?", "z = W_z y + x."]),
        Mistake("affinities transposed", lambda right, *a, **k: _block(*a, **k, turned=True),
                ["Who asks, and who is looked at?", "Row i has the weights of position i's answer."]),
        Mistake("softmax over the positions that ask", lambda right, *a, **k: _block(
                *a, **k, mean=lambda t, p, kind, w_f: _weights(t, p, kind, w_f, axis=1)),
                ["Whose weights sum to 1?", "One position's, over all it looks at."]),
        Mistake("scaled by 1/√M", lambda right, *a, **k: _block(
                *a, **k, mean=lambda t, p, kind, w_f: _weights(t, p, kind, w_f, scale=t.shape[2] ** -0.5)),
                ["Is there a scale in the paper's Gaussian?", "Transformers divide by a root; the non-local paper does not."]),
        Mistake("not divided by the positions", lambda right, *a, **k: _block(
                *a, **k, mean=lambda t, p, kind, w_f: _weights(t, p, kind, w_f, by=1)),
                ["A clip twice as long: must the answer grow?", "Divide by how many positions are looked at."]),
        Mistake("divided by the channels", lambda right, *a, **k: _block(
                *a, **k, mean=lambda t, p, kind, w_f: _weights(t, p, kind, w_f, by=t.shape[2])),
                ["What does N stand for in the paper's 1/N?", "Positions that are looked at, not channels."]),
        Mistake("pooled over time too", lambda right, *a, **k: _block(*a, **k, time=2),
                ["What does sub-sampling leave alone?", "Pool 1 × s × s: every frame stays."]),
        Mistake("pooled before the projection", lambda right, *a, **k: _block(*a, **k, pool="first"),
                ["What is pooled: the clip, or what was made of it?", "φ and g, after their projection."]),
        Mistake("not sub-sampled", lambda right, x, w_g, w_z, w_theta=None, w_phi=None, w_f=None, pairwise="embedded gaussian",
                over="space-time", subsample=1: right(x, w_g, w_z, w_theta, w_phi, w_f, pairwise, over, 1),
                ["Which arguments did you not use?", "Pool φ and g over s × s places."]),
        Mistake("pooled by the mean", lambda right, *a, **k: _block(*a, **k, pool="mean"),
                ["Which pool does the paper use?", "The largest of s × s places."]),
        Mistake("space and time mixed up", lambda right, x, w_g, w_z, w_theta=None, w_phi=None, w_f=None, pairwise="embedded gaussian",
                over="space-time", subsample=1: right(x, w_g, w_z, w_theta, w_phi, w_f, pairwise,
                                                      {"space": "time", "time": "space"}.get(over, over), subsample),
                ["Over space: who looks at whom?", "The places of one frame; each frame is a set of its own."]),
        Mistake("frames apart although all belong together", lambda right, x, w_g, w_z, w_theta=None, w_phi=None, w_f=None,
                pairwise="embedded gaussian", over="space-time", subsample=1: right(
                    x, w_g, w_z, w_theta, w_phi, w_f, pairwise, "space" if over == "space-time" else over, subsample),
                ["Can the first frame see the last one?", "Over space-time, all T·H·W positions are one set."]),
    ],
    accepted=[_block,
              lambda *a, **k: np.concatenate([_block(a[0][n : n + 1], *a[1:], **k) for n in range(len(a[0]))])],
    tolerance=Tolerance(ulps=64, why="four sums of products one after the other, an exponential and a quotient", scale=_block_scale),
    cost=Cost(flops=lambda s: 2 * s.N * (4 * s.C * s.M * s.T * s.pixels + 2 * s.M * (s.T * s.pixels) ** 2),
              bytes=lambda s: 2 * s.N * s.C * s.T * s.pixels * s.itemsize),
    large=lambda size, rng: {"x": rng.normal(size=(1, 64, 4, *features_of(size))), "w_g": rng.normal(size=(32, 64)) / 8,
                             "w_z": rng.normal(size=(64, 32)) / 6, "w_theta": rng.normal(size=(32, 64)) / 8,
                             "w_phi": rng.normal(size=(32, 64)) / 8},
)  # fmt: skip

# ------------------------------------------------------------------ nonlocal_macs

small = st.integers(1, 6)


def _counts(over: st.SearchStrategy[str], subsample: st.SearchStrategy[int]) -> st.SearchStrategy[Any]:
    sizes = {n: small for n in ("channels", "inner", "frames")} | {n: st.integers(2, 6) for n in ("height", "width")}
    return unsaid(
        st.fixed_dictionaries({**sizes, "over": over, "subsample": subsample}), over="space-time", subsample=1
    )


def twice_the_channels(f: Any, channels: int, **rest: Any) -> Any:
    return f(2 * channels, **rest) - f(channels, **rest), f(channels, **rest) - f(channels, **rest) + (
        4 * channels * rest["inner"] * rest["frames"] * rest["height"] * rest["width"])  # fmt: skip


def pairs_grow_with_the_square(f: Any, frames: int, over: str = "", **rest: Any) -> Any:
    """Of three clips of 1, 2 and 3 times the frames, the second difference is the pairs of one clip, twice."""
    one, two, three = (f(frames=n * frames, over="space-time", **rest) for n in (1, 2, 3))
    side = rest.get("subsample", 1)
    keys = frames * (rest["height"] // side) * (rest["width"] // side)
    return three - 2 * two + one, np.array(4 * frames * rest["height"] * rest["width"] * keys * rest["inner"])


def _macs(channels: int, inner: int, frames: int, height: int, width: int, over: str = "space-time", subsample: int = 1, *,
          projections: int = 4, products: int = 2, time: bool = False, queries: bool = False, keys: Any = None) -> Any:  # fmt: skip
    positions = frames * height * width
    area = (height // subsample) * (width // subsample)
    looked_at = {"space-time": frames * area, "space": area, "time": frames}[over]
    if time and subsample > 1 and over == "space-time":
        looked_at = max(1, frames // subsample) * area
    asking = frames * area if queries else positions
    return np.array(projections * channels * inner * positions + products * asking * (keys or looked_at) * inner)


nonlocal_macs = Spec(
    cases={"everything": _counts(st.just("space-time"), st.just(1)), "one axis": _counts(st.sampled_from(["space", "time"]), st.just(1)),
           "sub-sampled": _counts(st.sampled_from(["space-time", "space"]), st.just(2))},
    laws=[
        Law("each channel more costs four products per inner channel and position", twice_the_channels),
        Law("the pairs grow with the square of the frames", pairs_grow_with_the_square),
    ],
    mistakes=[
        Mistake("only one product of all pairs", lambda right, *a, **k: _macs(*a, **k, products=1),
                ["What is done with the weights once they are there?", "Two products: scores, and weights times values."]),
        Mistake("the pairs forgotten", lambda right, *a, **k: _macs(*a, **k, products=0),
                ["What makes attention costly on long clips?", "L × K scores, and as many products with values."]),
        Mistake("z forgotten", lambda right, *a, **k: _macs(*a, **k, projections=3),
                ["How many 1 × 1 × 1 convolutions has the block?", "θ, φ, g and z."]),
        Mistake("pooled over time too", lambda right, *a, **k: _macs(*a, **k, time=True),
                ["What does sub-sampling leave alone?", "Every frame stays."]),
        Mistake("queries pooled too", lambda right, *a, **k: _macs(*a, **k, queries=True),
                ["How many positions get an answer?", "All of them; only what is looked at is pooled."]),
        Mistake("multiplications and additions apart", lambda right, *a, **k: 2 * right(*a, **k),
                ["What is one multiply-accumulate?", "One product and its sum count once."]),
        Mistake("everyone looks at everyone", lambda right, channels, inner, frames, height, width, over="space-time", subsample=1: right(
                channels, inner, frames, height, width, "space-time", subsample),
                ["Over space: how many positions are looked at?", "H × W over space, T over time."]),
    ],
    accepted=[_macs, lambda *a, **k: int(_macs(*a, **k))],
    tolerance=Tolerance(ulps=0, why="whole numbers"),
    cost=Cost(flops=lambda s: 8, bytes=lambda s: s.itemsize),
    large=lambda size, rng: {"channels": 512, "inner": 256, "frames": 4, "height": size[0], "width": size[1]},
)  # fmt: skip

# ------------------------------------------------------------------ attention


def _masked(drawn: Any, bits: list[bool]) -> Any:
    L, M = drawn["q"].shape[1], drawn["k"].shape[1]
    mask = np.array(bits[: L * M]).reshape(L, M)
    mask[:, 0] |= ~mask.any(axis=1)
    return {**drawn, "mask": mask}


SCALES = st.sampled_from([None, 1.0, 0.3]).map(lambda s: {} if s is None else {"scale": s})
any_keys = _sets("q k v", st.integers(1, 4), SCALES)


def equal_scores_average(f: Any, q: Any, k: Any, v: Any, **rest: Any) -> Any:
    y = f(0 * q, k, v)
    return y, np.broadcast_to(v.mean(axis=1, keepdims=True), y.shape)


def shut_out(f: Any, q: Any, k: Any, v: Any, mask: Any) -> Any:
    """What no query may look at may be anything."""
    seen = mask.any(axis=0)
    return f(q, np.where(seen[:, None], k, 8.0), np.where(seen[:, None], v, -8.0), mask), f(q, k, v, mask)


def mask_or_cut(f: Any, q: Any, k: Any, v: Any, mask: Any) -> Any:
    """A mask that shuts out the last key for all is the same as not having that key."""
    if k.shape[1] == 1:
        return f(q, k, v, np.ones_like(mask)), f(q, k, v)
    mask = np.ones_like(mask)
    mask[:, -1] = False
    return f(q, k, v, mask), f(q, k[:, :-1].copy(), v[:, :-1].copy())


def keys_and_values_shuffled(f: Any, q: Any, k: Any, v: Any, seed: int, mask: Any = None, **rest: Any) -> Any:
    order = _order(k.shape[1], seed)
    if mask is not None:
        rest["mask"] = mask[:, order]
        return f(q, k[:, order], v[:, order], **rest), f(q, k, v, mask)
    return f(q, k[:, order], v[:, order], **rest), f(q, k, v, **rest)


def queries_apart(f: Any, q: Any, k: Any, v: Any, mask: Any = None, **rest: Any) -> Any:
    first = {} if mask is None else {"mask": mask[:1].copy()}
    every = {} if mask is None else {"mask": mask}
    return f(q[:, :1].copy(), k, v, **first, **rest), f(q, k, v, **every, **rest)[:, :1]


def _monotonous(f: Any, q: Any, k: Any, v: Any, step: float, **rest: Any) -> Any:
    """A feature whose product changes by `step` from key to key."""
    scores = step * np.arange(1, k.shape[1] + 1)[None, :, None] * np.ones((len(k), 1, 1))
    ask = np.concatenate([0 * q, np.ones_like(q[..., :1])], 2)
    return f(ask, np.concatenate([k, scores], 2), v, scale=1.0, **rest)


def rising_scores(f: Any, q: Any, k: Any, v: Any, tile: int | None = None, scale: Any = None) -> Any:
    y = _monotonous(f, q, k, v, 1024.0, **({} if tile is None else {"tile": tile}))
    return y, np.broadcast_to(v[:, -1:], y.shape)


def falling_scores(f: Any, q: Any, k: Any, v: Any, tile: int | None = None, scale: Any = None) -> Any:
    y = _monotonous(f, q, k, v, -1024.0, **({} if tile is None else {"tile": tile}))
    return y, np.broadcast_to(v[:, :1], y.shape)


def _attention(q: Any, k: Any, v: Any, mask: Any = None, scale: Any = None, *, features: int = 0, axis: Any = 2, fill: float = -np.inf,
               after: bool = False) -> Any:  # fmt: skip
    e = np.einsum("nld,nmd->nlm", q, k) * ((features or q.shape[2]) ** -0.5 if scale is None else scale)
    if mask is not None and not after:
        e = np.where(mask, e, fill)
    p = _softmax(e, axis)
    if mask is not None and after:
        p = np.where(mask, p, 0)
    return p @ v


def _no_maximum(q: Any, k: Any, v: Any, mask: Any = None, scale: Any = None) -> Any:
    e = np.einsum("nld,nmd->nlm", q, k) * (q.shape[2] ** -0.5 if scale is None else scale)
    p = np.exp(e if mask is None else np.where(mask, e, -np.inf))
    return (p @ v) / p.sum(axis=2, keepdims=True)


def _attention_in_loops(q: Any, k: Any, v: Any, mask: Any = None, scale: Any = None) -> Any:
    scale = 1 / np.sqrt(q.shape[2]) if scale is None else scale
    y = np.zeros((*q.shape[:2], v.shape[2]))
    for n in range(len(q)):
        for i in range(q.shape[1]):
            seen = np.ones(k.shape[1], bool) if mask is None else mask[i]
            e = scale * k[n, seen] @ q[n, i]
            p = np.exp(e - e.max())
            y[n, i] = p @ v[n, seen] / p.sum()
    return y


def _attention_scale(expected: Any, q: Any, k: Any, v: Any, *_: Any, **__: Any) -> float:
    return (1 + _products(q, k)) * largest(v)


def _negated(right: Any, q: Any, k: Any, v: Any, mask: Any = None, scale: Any = None) -> Any:
    if mask is None:
        return right(q, k, v, mask, scale)
    other = ~mask
    other[:, 0] |= ~other.any(axis=1)
    return right(q, k, v, other, scale)


attention = Spec(
    cases={"all may be seen": any_keys, "large scores": any_keys.map(lambda d: {**d, "k": 1024 * d["k"]}),
           "masked": st.builds(_masked, _sets("q k v", st.integers(1, 4)), st.lists(st.booleans(), min_size=12, max_size=12))},
    laws=[
        Law("a query that no key answers better than another gets the mean", equal_scores_average, cases=("all may be seen",)),
        Law("what no query may look at may be anything", shut_out, cases=("masked",)),
        Law("a key that is shut out for all might as well not be there", mask_or_cut, cases=("masked",)),
        Law("the order of keys with their values changes nothing", keys_and_values_shuffled, draws=SEED),
        Law("each query is answered by itself", queries_apart),
        Law("where scores rise by a thousand from key to key, the last one wins and nothing overflows", rising_scores,
            cases=("all may be seen",)),
    ],
    mistakes=[
        Mistake("softmax over the queries", lambda right, q, k, v, mask=None, scale=None: _attention(q, k, v, None if mask is None else mask, scale, axis=1, fill=-1e9),
                ["Whose weights sum to 1?", "One query's, over all keys: the last axis."]),
        Mistake("not scaled", lambda right, q, k, v, mask=None, scale=None: _attention(q, k, v, mask, 1.0 if scale is None else scale),
                ["How large do products of long vectors become?", "Divide by √D where no scale is given."]),
        Mistake("divided by D, not by its root", lambda right, q, k, v, mask=None, scale=None: _attention(q, k, v, mask, 1 / q.shape[2] if scale is None else scale),
                ["What is the spread of a sum of D products?", "√D."]),
        Mistake("scaled by the number of keys", lambda right, q, k, v, mask=None, scale=None: _attention(q, k, v, mask, k.shape[1] ** -0.5 if scale is None else scale),
                ["Which size is under the root?", "D, the features of a key."]),
        Mistake("mask after the softmax", lambda right, q, k, v, mask=None, scale=None: _attention(q, k, v, mask, scale, after=True),
                ["Do the weights that are left still sum to 1?", "Put −∞ in the scores, then take the softmax."]),
        Mistake("shut-out scores are 0, not −∞", lambda right, q, k, v, mask=None, scale=None: _attention(q, k, v, mask, scale, fill=0.0),
                ["What weight has a score of 0?", "e⁰ is 1; only −∞ gives none."]),
        Mistake("mask turned around", _negated,
                ["What does True mean?", "May look."]),
        Mistake("mask not used", lambda right, q, k, v, mask=None, scale=None: right(q, k, v, None, scale),
                ["Which arguments did you not use?", "Where the mask is False, a score is −∞."]),
        Mistake("a large number taken away where the mask is True", lambda right, q, k, v, mask=None, scale=None: (
                _attention(q, k, v, None, scale) if mask is None else _attention(q, k, v, ~mask, scale, fill=-1e9)),
                ["What does True mean?", "May look: what is False loses its score."]),
        Mistake("the scale that was given is not used", lambda right, q, k, v, mask=None, scale=None: right(q, k, v, mask, None),
                ["Which arguments did you not use?", "1/√D is only for scale = None."]),
        Mistake("divided by the scale that was given", lambda right, q, k, v, mask=None, scale=None: right(
                q, k, v, mask, None if scale is None else 1 / scale),
                ["Is the scale a factor or a divisor?", "Scores are multiplied with it."]),
        Mistake("no maximum", lambda right, q, k, v, mask=None, scale=None: _no_maximum(q, k, v, mask, scale),
                ["How large may a number be whose exponential is still one?", "Subtract a row's largest score before the exponential."]),
        Mistake("sigmoid instead of softmax", lambda right, q, k, v, mask=None, scale=None: (
                1 / (1 + np.exp(-(q @ k.transpose(0, 2, 1)) * (q.shape[2] ** -0.5 if scale is None else scale)))) @ v,
                ["Do keys compete for a query?", "The weights of a query sum to 1."]),
    ],
    accepted=[_attention, _attention_in_loops,
              lambda q, k, v, mask=None, scale=None: _attention(q, k, v, mask, scale, fill=-1e30)],
    tolerance=Tolerance(ulps=32, why="a sum of products, an exponential, a quotient and another sum of products", scale=_attention_scale),
    cost=Cost(flops=lambda s: 2 * s.N * s.L * s.M * (s.D + s.E + 2), bytes=lambda s: s.N * (s.L * (s.D + s.E) + s.M * (s.D + s.E)) * s.itemsize),
    large=_large(q=64, k=64, v=64),
)  # fmt: skip

# ------------------------------------------------------------------ multi_head_attention


def _tokens_and_weights(heads: int, bias: bool) -> st.SearchStrategy[Any]:
    most = {"x": (2, 3, 4), "w_qkv": (12, 4), "w_out": (4, 4), "b_qkv": (12,), "b_out": (4,)}

    def sized(s: Any) -> Any:
        N, L, each = s
        D = heads * each
        shapes = {"x": (N, L, D), "w_qkv": (3 * D, D), "w_out": (D, D)} | (
            {"b_qkv": (3 * D,), "b_out": (D,)} if bias else {}
        )
        return shapes, {"heads": heads}

    def weighed(d: dict[str, Any], lift: float) -> dict[str, Any]:
        if bias:  # what is added to all keys, lifts all scores of a query alike
            D = d["x"].shape[2]
            d["b_qkv"][D : 2 * D] *= lift
        return {**d, "w_qkv": d["w_qkv"] / 4}  # scores of a few units: a softmax that still has a choice

    drawn = cut_to(most, st.tuples(few, st.integers(1, 3), st.integers(1, 4 // heads)).map(sized))
    return unsaid(st.builds(weighed, drawn, st.sampled_from([1.0] * 7 + [4096.0])), heads=1)


def tokens_in_any_order(f: Any, x: Any, seed: int, **rest: Any) -> Any:
    order = _order(x.shape[1], seed)
    return f(x[:, order], **rest), f(x, **rest)[:, order]


def heads_in_any_order(
    f: Any, x: Any, w_qkv: Any, w_out: Any, heads: int = 1, b_qkv: Any = None, b_out: Any = None
) -> Any:
    D = x.shape[2]
    turned = np.arange(D).reshape(heads, -1)[::-1].ravel()
    rows = np.concatenate([turned, D + turned, 2 * D + turned])
    b = None if b_qkv is None else b_qkv[rows]
    return f(x, w_qkv[rows], w_out[:, turned], b, b_out, heads), f(x, w_qkv, w_out, b_qkv, b_out, heads)


def one_token_sees_itself(
    f: Any, x: Any, w_qkv: Any, w_out: Any, heads: int = 1, b_qkv: Any = None, b_out: Any = None
) -> Any:
    D = x.shape[2]
    v = layers.linear(x[:, :1], w_qkv[2 * D :], None if b_qkv is None else b_qkv[2 * D :])
    return f(x[:, :1].copy(), w_qkv, w_out, b_qkv, b_out, heads), layers.linear(v, w_out, b_out)


def _heads(x: Any, w_qkv: Any, w_out: Any, b_qkv: Any = None, b_out: Any = None, heads: int = 1, *, split: str = "head first",
           width: int = 0, out: bool = True, order: str = "qkv", bias: bool = True) -> Any:  # fmt: skip
    D = x.shape[2]
    qkv = x @ w_qkv.T + (0 if b_qkv is None or not bias else b_qkv)
    if order == "interleaved":
        parts = {n: qkv[..., i::3] for i, n in enumerate("qkv")}
    else:
        parts = {n: qkv[..., i * D : (i + 1) * D] for i, n in enumerate(order)}
    each, answers = D // heads, []
    for h in range(heads):
        here = slice(h, None, heads) if split == "features first" else slice(h * each, (h + 1) * each)
        q, k, v = (parts[n][..., here] for n in "qkv")
        answers.append(_attention(q, k, v, features=width or each))
    y = np.concatenate(answers, axis=-1)
    if split == "stacked wrongly":
        y = np.stack(answers, axis=1).reshape(y.shape)
    return y @ w_out.T + (0 if b_out is None else b_out) if out else y


def _heads_scale(
    expected: Any, x: Any, w_qkv: Any, w_out: Any, b_qkv: Any = None, b_out: Any = None, heads: int = 1
) -> float:
    D = x.shape[2]
    q, k, v = np.split(layers.linear(x, w_qkv, b_qkv), 3, axis=-1)
    mixed = largest(v) * float(np.abs(w_out).sum(axis=1).max())
    return largest(x, *([] if b_out is None else [b_out])) + (1 + D * largest(q) * largest(k)) * mixed


multi_head_attention = Spec(
    cases={"one head": _tokens_and_weights(1, False), "several heads": st.one_of(_tokens_and_weights(2, False), _tokens_and_weights(4, False)),
           "with biases": st.one_of(_tokens_and_weights(1, True), _tokens_and_weights(2, True))},
    laws=[
        Law("tokens in another order: the same answers in that order", tokens_in_any_order, draws=SEED),
        Law("the order of the heads is a matter of the weights alone", heads_in_any_order),
        Law("a single token gets its own value", one_token_sees_itself),
    ],
    mistakes=[
        Mistake("not scaled", lambda right, *a, **k: _heads(*a, **k, width=1),
                ["How large do products of long vectors become?", "Divide by √(D/h)."]),
        Mistake("scaled by the whole width", lambda right, x, *a, **k: _heads(x, *a, **k, width=x.shape[2]),
                ["How many products are summed in a head's score?", "√(D/h): each head has D/h features."]),
        Mistake("heads take every h-th feature", lambda right, *a, **k: _heads(*a, **k, split="features first"),
                ["Which features are the first head's?", "The first D/h: reshape to (heads, D/h), not to (D/h, heads)."]),
        Mistake("heads stacked, not side by side", lambda right, *a, **k: _heads(*a, **k, split="stacked wrongly"),
                ["Where do the heads' answers stand for one token?", "Move the heads behind the tokens before you reshape."]),
        Mistake("one head only", lambda right, x, w_qkv, w_out, b_qkv=None, b_out=None, heads=1: right(x, w_qkv, w_out, b_qkv, b_out, 1),
                ["How many softmaxes are there?", "One for each head."]),
        Mistake("keys first", lambda right, *a, **k: _heads(*a, **k, order="kqv"),
                ["In which order are the rows of w_qkv?", "Queries, keys, values."]),
        Mistake("w_out forgotten", lambda right, *a, **k: _heads(*a, **k, out=False),
                ["What mixes the heads' answers?", "A last linear layer."]),
        Mistake("w_out transposed", lambda right, x, w_qkv, w_out, b_qkv=None, b_out=None, heads=1: right(x, w_qkv, w_out.T.copy(), b_qkv, b_out, heads),
                ["Which axis of w_out are the answers?", "y W^T: rows of w_out are outputs."]),
        Mistake("b_out forgotten", lambda right, x, w_qkv, w_out, b_qkv=None, b_out=None, heads=1: right(x, w_qkv, w_out, b_qkv, None, heads),
                ["Which arguments did you not use?", "b_out is added at the end."]),
        Mistake("queries, keys and values interleaved", lambda right, *a, **k: _heads(*a, **k, order="interleaved"),
                ["Which rows of w_qkv are the queries'?", "The first D."]),
        Mistake("bias of the projection forgotten", lambda right, *a, **k: _heads(*a, **k, bias=False),
                ["Which arguments did you not use?", "b_qkv is added to all queries, keys and values."]),
    ],
    accepted=[_heads,
              lambda x, w_qkv, w_out, b_qkv=None, b_out=None, heads=1: sum(
                  _heads(x, w_qkv, np.where(np.arange(x.shape[2]) // (x.shape[2] // heads) == h, w_out, 0), b_qkv, None, heads)
                  for h in range(heads)) + (0 if b_out is None else b_out)],
    tolerance=Tolerance(ulps=32, why="three sums of products, an exponential, a quotient and two more sums", scale=_heads_scale),
    cost=Cost(flops=lambda s: 2 * s.N * s.L * (4 * s.D * s.D + 2 * s.L * s.D), bytes=lambda s: (2 * s.N * s.L * s.D + 4 * s.D * s.D) * s.itemsize),
    large=lambda size, rng: {**_large(x=64)(size, rng), "w_qkv": rng.normal(size=(192, 64)) / 8,
                             "w_out": rng.normal(size=(64, 64)) / 8, "heads": 4},
)  # fmt: skip

# ------------------------------------------------------------------ online_attention


def _online_inputs(
    tiles: st.SearchStrategy[int], keys: st.SearchStrategy[int], grow: float = 1.0
) -> st.SearchStrategy[Any]:
    more = st.tuples(SCALES, tiles).map(lambda s: {**s[0], "tile": s[1]})
    return _sets("q k v", keys, more).map(lambda d: {**d, "k": grow * d["k"]})


def as_attention(f: Any, q: Any, k: Any, v: Any, tile: int, **rest: Any) -> Any:
    return f(q, k, v, tile=tile, **rest), reference.attention(q, k, v, **rest)


def tile_matters_not(f: Any, q: Any, k: Any, v: Any, tile: int, **rest: Any) -> Any:
    return f(q, k, v, tile=tile, **rest), f(q, k, v, tile=tile + 1, **rest)


def _online(q: Any, k: Any, v: Any, scale: Any = None, tile: int = 128, *, correct_sum: bool = True, correct_values: bool = True,
            keep: bool = True, divide: str = "end", drop_tail: bool = False) -> Any:  # fmt: skip
    scale = q.shape[2] ** -0.5 if scale is None else scale
    m = np.full((*q.shape[:2], 1), -np.inf)
    total, y = np.zeros_like(m), np.zeros((*q.shape[:2], v.shape[2]))
    end = k.shape[1] - k.shape[1] % tile if drop_tail and k.shape[1] >= tile else k.shape[1]
    tiles = 0
    for start in range(0, end, tile):
        e = q @ k[:, start : start + tile].transpose(0, 2, 1) * scale
        new = np.maximum(m, e.max(axis=2, keepdims=True)) if keep else e.max(axis=2, keepdims=True)
        c, p = np.exp(m - new), np.exp(e - new)
        if not np.isfinite(m).all():
            c = np.zeros_like(c)
        if divide == "tile":
            y, total, tiles = y + _softmax(e) @ v[:, start : start + tile], total + 1, tiles + 1
        else:
            total = (c if correct_sum or start == 0 else 1) * total + p.sum(axis=2, keepdims=True)
            y = (c if correct_values or start == 0 else 1) * y + p @ v[:, start : start + tile]
        m = new
    return y / total


def _by_logarithm(q: Any, k: Any, v: Any, scale: Any = None, tile: int = 128) -> Any:
    """Answers of tiles, mixed by their log-sum-exp."""
    scale = q.shape[2] ** -0.5 if scale is None else scale
    y, lse = None, None
    for start in range(0, k.shape[1], tile):
        e = q @ k[:, start : start + tile].transpose(0, 2, 1) * scale
        part, more = _softmax(e) @ v[:, start : start + tile], np.logaddexp.reduce(e, axis=2, keepdims=True)
        if y is None:
            y, lse = part, more
        else:
            both = np.logaddexp(lse, more)
            y, lse = np.exp(lse - both) * y + np.exp(more - both) * part, both
    return y


online_attention = Spec(
    cases={"several tiles": _online_inputs(st.integers(1, 2), st.integers(2, 4)),
           "one tile": _online_inputs(st.integers(4, 8), st.integers(1, 4)),
           "large scores": _online_inputs(st.integers(1, 3), st.integers(1, 4), grow=1024.0)},
    laws=[
        Law("it is attention: the same answer as from all weights at once", as_attention, cases=("several tiles",)),
        Law("the size of a tile changes nothing", tile_matters_not, cases=("several tiles",)),
        Law("where scores rise by a thousand from key to key, the last one wins and nothing overflows", rising_scores),
        Law("where scores fall by a thousand from key to key, the first one wins and nothing overflows", falling_scores),
        Law("the order of keys with their values changes nothing", keys_and_values_shuffled, cases=("several tiles", "one tile"), draws=SEED),
    ],
    mistakes=[
        Mistake("the sum is not scaled down", lambda right, *a, **k: _online(*a, **k, correct_sum=False),
                ["A later tile has a larger maximum. By what is the old sum too large?", "Multiply it with e^(m − m′)."]),
        Mistake("the weighted values are not scaled down", lambda right, *a, **k: _online(*a, **k, correct_values=False),
                ["Two things were summed with the old maximum. Which?", "The sum and the values: both are multiplied with e^(m − m′)."]),
        Mistake("nothing is scaled down", lambda right, *a, **k: _online(*a, **k, correct_sum=False, correct_values=False),
                ["A later tile has a larger maximum. What of the earlier ones?", "Multiply sum and values with e^(m − m′)."]),
        Mistake("a softmax for each tile, and their mean", lambda right, *a, **k: _online(*a, **k, divide="tile"),
                ["Do a good and a bad tile count the same?", "Keep the sum, and divide once at the end."]),
        Mistake("the last, shorter tile is left out", lambda right, *a, **k: _online(*a, **k, drop_tail=True),
                ["What if the tile does not divide the keys?", "The last tile has the rest."]),
        Mistake("no maximum", lambda right, q, k, v, scale=None, tile=128: _no_maximum(q, k, v, None, scale),
                ["How large may a number be whose exponential is still one?", "Subtract the largest score so far before the exponential."]),
        Mistake("each tile's own maximum", lambda right, *a, **k: _online(*a, **k, keep=False),
                ["What if a later tile has only small scores?", "m′ is the larger of m and the tile's largest."]),
        Mistake("the scale that was given is not used", lambda right, q, k, v, scale=None, tile=128: right(q, k, v, None, tile),
                ["Which arguments did you not use?", "1/√D is only for scale = None."]),
        Mistake("not scaled by 1/√D", lambda right, q, k, v, scale=None, tile=128: right(q, k, v, 1.0 if scale is None else scale, tile),
                ["How large do products of long vectors become?", "Divide by √D where no scale is given."]),
    ],
    accepted=[_by_logarithm, _online, lambda q, k, v, scale=None, tile=128: _attention(q, k, v, None, scale),
              lambda q, k, v, scale=None, tile=128: np.concatenate([_online(q[:, i : i + 1], k, v, scale, tile) for i in range(q.shape[1])], axis=1)],
    tolerance=Tolerance(ulps=32, why="a sum of products, whose rounding the exponential passes on, an exponential, a quotient and another sum",
                        scale=_attention_scale),
    cost=Cost(flops=lambda s: 2 * s.N * s.L * s.M * (s.D + s.E + 2), bytes=lambda s: s.N * (s.L * (s.D + s.E) + s.M * (s.D + s.E)) * s.itemsize),
    large=_large(q=64, k=64, v=64),
)  # fmt: skip
