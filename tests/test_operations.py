"""Every operation, on every backend, in every precision, before the one judge; and every spec held to its promises.

Nothing here knows an operation: cases, laws, mistakes and tolerances come from the specs.
"""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

import vidlearn as vl
from tests.support.fake_cupy import installed
from vidlearn.judge import judge
from vidlearn.spec import Cost

OPERATIONS = vl.operations()
SLOW = ("flow.dense", "flow.coarse_to_fine", "flow.iterative_lucas_kanade")
SEEDS = (0, 1)


def each(pairs):
    """Parametrize by (operation, further); the ones that take seconds are marked slow."""
    return [
        pytest.param(
            *p, id="-".join([p[0].name, *map(str, p[1:])]), marks=[pytest.mark.slow] if p[0].name in SLOW else []
        )
        for p in pairs
    ]


def candidates(attribute):
    return [
        pytest.param(
            op, part, id=f"{op.name}-{getattr(part, 'name', i)}", marks=[pytest.mark.slow] if op.name in SLOW else []
        )
        for op in OPERATIONS.values()
        for i, part in enumerate(getattr(op.spec, attribute))
    ]


dtypes = pytest.mark.parametrize("dtype", ["float64", "float32"])
operations = pytest.mark.parametrize("op", [p for p in each((o,) for o in OPERATIONS.values())])


@dtypes
@operations
def test_the_reference_is_right_by_its_own_spec(op, dtype):
    for seed in SEEDS:
        verdict = judge(op.reference, op, strict=True, dtype=dtype, seed=seed)
        assert verdict.right, verdict.text()


@dtypes
@pytest.mark.parametrize(("op", "backend"), each((o, b) for o in OPERATIONS.values() for b in o.fast if b != "cupy"))
def test_fast_paths_agree_with_the_reference(op, backend, dtype):
    reason = vl.arrays.available()[backend]
    if reason:
        pytest.skip(f"not run, because {reason}")
    verdict = judge(op.on(backend), op, backend=backend, device="cpu", strict=True, dtype=dtype)
    assert verdict.right, verdict.text()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("op", each((o,) for o in OPERATIONS.values() if "torch" in o.fast))
def test_torch_paths_agree_with_the_reference_in_half_precision(op, dtype):
    """Computed in float32 and rounded once: so within an ulp or so of half precision. Laws, which subtract and divide
    answers, are not held to it."""
    reason = vl.arrays.available()["torch"]
    if reason:
        pytest.skip(f"not run, because {reason}")
    verdict = judge(op, op, backend="torch", strict=True, dtype=dtype, examples=12, shrink=False)
    assert all(row.held for row in verdict.rows if row.kind != "law"), verdict.text()


@dtypes
@pytest.mark.parametrize("op", each((o,) for o in OPERATIONS.values() if "cupy" in o.fast))
def test_cupy_paths_agree_with_the_reference_on_the_stand_in(op, dtype):
    """The very source that a GPU runs: array code through a strict fake of CuPy, kernels through g++."""
    with installed():
        verdict = judge(op.on("cupy"), op, backend="cupy", strict=True, dtype=dtype, examples=12)
    assert verdict.right, verdict.text()


@dtypes
@pytest.mark.parametrize(
    ("op", "backend"),
    [
        pytest.param(o, b, id=f"{o.name}-{b}", marks=pytest.mark.gpu(b))
        for o in OPERATIONS.values()
        for b in ("torch", "cupy")
        if b in o.fast
    ],
)
def test_fast_paths_agree_with_the_reference_on_a_gpu(op, backend, dtype):
    verdict = judge(op.on(backend), op, backend=backend, device="cuda", strict=True, dtype=dtype)
    assert verdict.right, verdict.text()


@pytest.mark.parametrize(("op", "mistake"), candidates("mistakes"))
def test_every_mistake_is_caught_and_named(op, mistake):
    for seed in SEEDS:
        verdict = judge(lambda *a, **k: mistake.wrong(op.reference, *a, **k), op, seed=seed, shrink=False)
        assert verdict.status == "wrong", f"{mistake.name} is not caught"
        assert verdict.mistake is not None, f"{mistake.name} is caught, but not named"
        assert verdict.mistake.name == mistake.name
        assert verdict.score < 1
        assert len(mistake.hints) >= 1


@pytest.mark.parametrize(("op", "style"), candidates("accepted"))
def test_every_accepted_style_passes(op, style):
    for seed in SEEDS:
        verdict = judge(style, op, seed=seed)
        assert verdict.right, verdict.text()


@operations
def test_every_law_is_broken_by_something(op):
    """A law that no mistake and no nonsense breaks would be a sentence, not a law."""
    wrong = [lambda *a, m=m, **k: m.wrong(op.reference, *a, **k) for m in op.spec.mistakes]
    wrong += [_scrambled(op), _constant(op), _sensitive(op)]
    unbroken = {law.statement for law in op.spec.laws}
    for candidate in wrong:
        if unbroken:
            verdict = judge(candidate, op, shrink=False)
            unbroken -= {row.name for row in verdict.rows if row.kind == "law" and not row.held}
    assert not unbroken


SHAPES = {"longer": lambda a: np.pad(a, [(0, 1)] * a.ndim), "flat": np.ravel}


@operations
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_an_answer_of_another_shape_is_judged_too(op, shape):
    """Laws compare two answers of a wrong shape with each other, sometimes within a mask of the right one."""

    def candidate(*args, **kwargs):
        answer = op.reference(*args, **kwargs)
        several = isinstance(answer, tuple | list)
        return type(answer)(shape(np.asarray(a)) for a in answer) if several else shape(np.asarray(answer))

    assert judge(candidate, op, shrink=False, examples=6).status in ("wrong", "right")


def _scrambled(op):
    """The right answer plus something that depends on where and on the values."""

    def candidate(*args, **kwargs):
        def spoil(a):
            a = np.asarray(a)
            ramp = np.arange(a.size).reshape(a.shape)
            return ~a if a.dtype.kind == "b" else (a + (1 + ramp) * (1 + a * a)).astype(a.dtype)

        answer = op.reference(*args, **kwargs)
        return type(answer)(map(spoil, answer)) if isinstance(answer, tuple | list) else spoil(answer)

    return candidate


def _sensitive(op):
    """The right answer plus a number that hangs on every element of every argument, each in its own way."""

    def candidate(*args, **kwargs):
        arrays = [np.asarray(a, float).ravel() for a in (*args, *kwargs.values()) if isinstance(a, np.ndarray)]
        hash_ = sum(float(np.nan_to_num(a**2 + a) @ np.sqrt(k + 2 + np.arange(a.size))) for k, a in enumerate(arrays))

        def spoil(a):
            a = np.asarray(a)
            spread = (1 + hash_ % 7) * (1 + np.sqrt(np.arange(a.size))).reshape(a.shape)
            return a ^ (spread % 2 > 1) if a.dtype.kind == "b" else (a + spread).astype(a.dtype)

        answer = op.reference(*args, **kwargs)
        return type(answer)(map(spoil, answer)) if isinstance(answer, tuple | list) else spoil(answer)

    return candidate


def _constant(op):
    def candidate(*args, **kwargs):
        answer = op.reference(*args, **kwargs)
        flat = lambda a: np.full_like(a, 1)  # noqa: E731
        return type(answer)(map(flat, answer)) if isinstance(answer, tuple | list) else flat(answer)

    return candidate


@operations
def test_costs_and_large_inputs_are_stated(op):
    rng = np.random.default_rng(0)
    inputs = op.spec.large((24, 32), rng)
    arguments, backend = op.signature.check((), inputs)
    assert backend == "numpy"
    scalars = {n: v for n, v in {**_defaults(op), **arguments}.items() if not isinstance(v, np.ndarray)}
    sizes = Cost.sizes(op.signature.sizes(arguments), 4, scalars)
    assert op.spec.cost.flops(sizes) > 0
    assert op.spec.cost.bytes(sizes) > 0
    assert op.spec.tolerance.why
    if op.name not in SLOW:
        op(**inputs)


def _defaults(op):
    return {n: p.default for n, p in op.signature.python.parameters.items() if p.default is not p.empty}


@operations
def test_half_precision_is_computed_in_single_and_rounded_once(op):
    inputs = op.spec.large((12, 16), np.random.default_rng(0))
    half = {
        n: v.astype(np.float16) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v for n, v in inputs.items()
    }
    if all(half[n] is inputs[n] for n in inputs):
        assert op.signature.arrays == {} or all(s.kind != "Float" for s in op.signature.arrays.values())
        return
    single = {
        n: v.astype(np.float32) if isinstance(v, np.ndarray) and v.dtype == np.float16 else v for n, v in half.items()
    }
    got, want = op(**half), op(**single)
    several = isinstance(got, tuple | list)
    for g, w in zip(got if several else [got], want if several else [want], strict=True):
        g, w = np.asarray(g), np.asarray(w)
        assert g.dtype == (np.float16 if w.dtype == np.float32 else w.dtype)
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(g, w.astype(g.dtype))


@contextlib.contextmanager
def raises_about(name):
    with pytest.raises((TypeError, ValueError)) as caught:
        yield
    assert name in str(caught.value)


def test_arrays_of_two_libraries_are_not_mixed():
    torch = pytest.importorskip("torch", reason="not run, because torch is not installed")
    with raises_about("numpy and torch"):
        vl.flow.normal_flow(np.zeros((2, 2)), torch.zeros(2, 2, dtype=torch.float64), np.zeros((2, 2)))


def test_a_backend_that_an_operation_does_not_have_is_named():
    with raises_about("backend"):
        vl.flow.normal_flow.on("jax")


def test_operations_are_found_by_either_name_and_near_misses_are_offered():
    assert vl.operation("flow.warp") is vl.operation("warp") is vl.flow.warp
    with raises_about("did you mean"):
        vl.operation("normal_flaw")


def test_every_operation_names_its_slide_and_its_source():
    for op in OPERATIONS.values():
        assert " · " in op.slide
        assert op.summary.endswith("."), op.name
        for section in ("Parameters", "Returns", "References", "Examples"):
            assert f"{section}\n" in op.__doc__, f"{op.name} has no {section}"
