"""What the judge can't see of the fast paths: gradients flow through them and stay finite, device and dtype are kept,
inputs are left alone in any memory layout, and the bodies that a CuPy kernel stands in front of are right as well.
"""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import vidlearn as vl
from tests.support.fake_cupy import installed

torch = pytest.importorskip("torch", reason="not run, because torch is not installed: pip install 'vidlearn[torch]'")

rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def inputs_do_not_hang_on_the_order_of_tests(monkeypatch):
    monkeypatch.setitem(globals(), "rng", np.random.default_rng(0))


def leaf(*shape, scale=1.0):
    return torch.tensor(scale * rng.normal(size=shape), requires_grad=True)


DIFFERENTIABLE = {
    "spatiotemporal_gradients": lambda f: (f, leaf(4, 5), leaf(4, 5)),
    "normal_flow": lambda f: (f, leaf(3, 4), leaf(3, 4), leaf(3, 4)),
    "structure_tensor": lambda f: (f, leaf(4, 4, 3), leaf(4, 4, 3)),
    "structure_tensor_eigenvalues": lambda f: (f, leaf(3, 2, 2)),
    "lucas_kanade": lambda f: (f, leaf(5, 5), leaf(5, 5), leaf(5, 5)),
    "motion_field": lambda f: (lambda a: f(a, 3, 4, "rotation"), leaf(3)),
    "fit_motion": lambda f: (f, leaf(5, 5), leaf(5, 5), leaf(5, 5)),
    "warp": lambda f: (f, leaf(5, 6), leaf(5, 6, 2, scale=0.3)),
    "iterative_lucas_kanade": lambda f: (lambda a, change: f(a, a + change, 5, 2), leaf(7, 8), leaf(7, 8, scale=0.01)),
    "downsample": lambda f: (f, leaf(5, 6)),
    "upsample_flow": lambda f: (lambda x: f(x, 5, 6), leaf(3, 3, 2)),
    "resize_flow": lambda f: (lambda x: f(x, 5, 4), leaf(3, 3, 2)),
    "median_filter_flow": lambda f: (f, leaf(3, 4, 2)),
    "endpoint_error": lambda f: (f, leaf(3, 4, 2), leaf(3, 4, 2)),
    "angular_error": lambda f: (f, leaf(3, 4, 2), leaf(3, 4, 2)),
    "correlation_volume": lambda f: (lambda a, b: f(a, b, 1), leaf(2, 3, 4), leaf(2, 3, 4)),
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_flow_and_equal_numerical_ones(name):
    function, *inputs = DIFFERENTIABLE[name](vl.operation(name))
    assert torch.autograd.gradcheck(function, inputs, eps=1e-6, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    "op",
    [pytest.param(o, id=o.name) for o in vl.operations().values() if o.short != "dense" and "torch" in o.backends],
)
def test_answers_keep_the_dtype_and_device_of_the_question(op, dtype):
    inputs = op.spec.large((12, 16), np.random.default_rng(0))
    given = {n: vl.arrays.from_numpy(v, "torch") for n, v in inputs.items()}
    given = {n: v.to(dtype) if torch.is_tensor(v) and v.is_floating_point() else v for n, v in given.items()}
    answer = op(**given)
    for part in answer if isinstance(answer, tuple | list) else [answer]:
        assert part.device.type == "cpu"
        assert part.dtype in (dtype, torch.int64, torch.bool)
    kinds = {s.kind for s in op.signature.returns}
    if kinds == {"Float"}:
        assert {p.dtype for p in (answer if isinstance(answer, tuple | list) else [answer])} == {dtype}


def flat(*shape, value=0.0):
    return torch.full(shape, value, dtype=torch.float64, requires_grad=True)


def square(x):
    image = torch.zeros(16, 16, dtype=torch.float64)
    image[5:11, x : x + 6] = 1
    return image.requires_grad_()


NOTHING_TO_GO_BY = {
    "normal_flow, no gradient": lambda: vl.flow.normal_flow(flat(4, 4), flat(4, 4), leaf(4, 4)),
    "lucas_kanade, flat": lambda: vl.flow.lucas_kanade(flat(4, 4), flat(4, 4), leaf(4, 4)),
    "lucas_kanade, edge": lambda: vl.flow.lucas_kanade(flat(4, 4, value=1.0), flat(4, 4), leaf(4, 4)),
    "structure_tensor_eigenvalues, flat": lambda: vl.flow.structure_tensor_eigenvalues(flat(3, 2, 2)),
    "fit_motion, flat": lambda: vl.flow.fit_motion(flat(4, 4), flat(4, 4), flat(4, 4)),
    "fit_motion, edge": lambda: vl.flow.fit_motion(leaf(4, 4), flat(4, 4), leaf(4, 4)),
    "iterative_lucas_kanade, flat": lambda: vl.flow.iterative_lucas_kanade(flat(6, 6), flat(6, 6)),
    "coarse_to_fine, flat around a square": lambda: vl.flow.coarse_to_fine(square(4), square(5)),
    "median_filter_flow, all alike": lambda: vl.flow.median_filter_flow(flat(3, 3, 2)),
    "endpoint_error, no error": lambda: vl.flow.endpoint_error(flat(3, 3, 2), flat(3, 3, 2)),
    "angular_error, no error": lambda: vl.flow.angular_error(flat(3, 3, 2), flat(3, 3, 2)),
}


@pytest.mark.parametrize("case", NOTHING_TO_GO_BY)
def test_gradients_stay_finite_where_there_is_nothing_to_go_by(case, monkeypatch):
    leaves = []
    for make in (leaf, flat, square):
        monkeypatch.setitem(
            globals(), make.__name__, lambda *a, _make=make, **k: leaves.append(_make(*a, **k)) or leaves[-1]
        )
    NOTHING_TO_GO_BY[case]().sum().backward()
    assert leaves
    assert all(torch.isfinite(x.grad).all() for x in leaves)


@pytest.mark.parametrize("name", ["endpoint_error", "angular_error"])
def test_a_masked_loss_has_the_gradient_of_the_selected_pixels(name):
    """Sparse ground truth is NaN where it is unknown; a network is trained through this."""
    measure, flow = vl.operation(name), leaf(3, 4, 2)
    truth, valid = leaf(3, 4, 2).detach(), torch.tensor(rng.random((3, 4)) < 0.5)
    truth[~valid] = float("nan")
    (masked,) = torch.autograd.grad(measure(flow, truth, valid), flow)
    (selected,) = torch.autograd.grad(measure(flow[valid], truth[valid]), flow)
    torch.testing.assert_close(masked, selected)


def test_a_flow_that_is_not_known_gives_no_gradient():
    image, flow = leaf(4, 5), leaf(4, 5, 2, scale=0.3)
    with torch.no_grad():
        flow[1, 2] = float("nan")
    warped = vl.flow.warp(image, flow)
    assert torch.isnan(warped).sum() == 1
    warped[~torch.isnan(warped)].sum().backward()
    assert torch.isfinite(image.grad).all()
    assert torch.isfinite(flow.grad).all()


def test_what_is_not_valid_does_not_leak_into_a_mean():
    flow, truth = torch.zeros(2, 2, 2), torch.zeros(2, 2, 2)
    truth[0, 0] = float("nan")
    valid = torch.tensor([[False, True], [True, True]])
    for measure in (vl.flow.endpoint_error, vl.flow.angular_error, vl.flow.fl_all):
        assert float(measure(flow, truth, valid)) == 0
        assert torch.isnan(measure(flow, truth, torch.zeros(2, 2, dtype=torch.bool)))


def derivatives(shape):
    return dict(zip(("Ix", "Iy", "It"), rng.normal(size=(3, *shape)), strict=True))


def frames(shape):
    return dict(zip(("I0", "I1"), rng.random((2, *shape)), strict=True))


def flows(h, w, *names):
    return {n: 2 * rng.normal(size=(h, w, 2)) for n in names}


def eigenvalues(h, w):
    return {"eigenvalues": -np.sort(-rng.choice([0, 0.005, 0.1, 1, 3], size=(h, w, 2)), axis=-1)}


def gram(h, w):
    root = rng.normal(size=(h, w, 2, 2))
    return root @ np.swapaxes(root, -1, -2)


#: arguments for an image of h × w and its colors `c`, () or (3,)
ARGUMENTS = {
    "spatiotemporal_gradients": lambda h, w, c: frames((h, w, *c)),
    "brightness_constancy_residual": lambda h, w, c: frames((h, w, *c)) | flows(h, w, "flow"),
    "linearized_residual": lambda h, w, c: derivatives((h, w, *c)) | flows(h, w, "flow"),
    "normal_flow": lambda h, w, c: derivatives((h, w)),
    "structure_tensor": lambda h, w, c: dict(list(derivatives((h, w, *c)).items())[:2]) | {"window": 7},
    "structure_tensor_eigenvalues": lambda h, w, c: {"J": gram(h, w)},
    "condition_number": lambda h, w, c: eigenvalues(h, w),
    "classify_structure": lambda h, w, c: eigenvalues(h, w),
    "lucas_kanade": lambda h, w, c: derivatives((h, w, *c)),
    "motion_field": lambda h, w, c: {"parameters": rng.normal(size=8), "height": h, "width": w, "model": "projective"},
    "fit_motion": lambda h, w, c: derivatives((h, w, *c)) | {"model": "rotation"},
    "warp": lambda h, w, c: {"image": rng.random((h, w, *c))} | flows(h, w, "flow"),
    "inside_frame": lambda h, w, c: flows(h, w, "flow"),
    "iterative_lucas_kanade": lambda h, w, c: frames((h, w, *c)) | {"iterations": 1},
    "downsample": lambda h, w, c: {"image": rng.random((h, w, *c))},
    "gaussian_pyramid": lambda h, w, c: {"image": rng.random((h, w, *c)), "levels": 3},
    "upsample_flow": lambda h, w, c: flows((h + 1) // 2, (w + 1) // 2, "flow") | {"height": h, "width": w},
    "resize_flow": lambda h, w, c: flows(3, 4, "flow") | {"height": h, "width": w},
    "coarse_to_fine": lambda h, w, c: frames((h, w, *c)) | {"iterations": 1, "levels": 2},
    "apparent_displacement": lambda h, w, c: {"displacement": 9 * rng.normal(size=(h, w)), "wavelength": 4.0},
    "median_filter_flow": lambda h, w, c: flows(h, w, "flow"),
    "endpoint_error": lambda h, w, c: flows(h, w, "flow", "truth"),
    "angular_error": lambda h, w, c: flows(h, w, "flow", "truth") | {"valid": rng.random((h, w)) < 0.7},
    "fl_all": lambda h, w, c: flows(h, w, "flow", "truth") | {"valid": rng.random((h, w)) < 0.7},
    "correlation_volume": lambda h, w, c: (
        dict(zip(("f1", "f2"), rng.normal(size=(2, 4, h, w)), strict=True)) | {"max_displacement": 2}
    ),
}
#: in units of eps: window sums of noise have conditions up to thousands; the rest is a handful of operations
ULPS = dict.fromkeys(("lucas_kanade", "fit_motion", "iterative_lucas_kanade", "coarse_to_fine"), 2**15)
SHAPES = [(1, 1), (1, 6), (5, 1), (6, 7), (8, 8)]


def test_every_body_of_fast_is_compared_below():
    assert set(ARGUMENTS) == {op.short for op in vl.operations().values() if op.concept == "flow"} - {"dense"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backend", ["torch", "cupy"])
@pytest.mark.parametrize("name", ARGUMENTS)
def test_the_common_body_equals_the_reference_in_any_memory_layout(name, backend, dtype):
    """Also where a CuPy kernel would serve: the common body is what a new device starts from."""
    with installed():
        body = getattr(importlib.import_module("vidlearn.flow.fast"), name)
        for h, w in SHAPES:
            for color in ((), (3,)):
                host = ARGUMENTS[name](h, w, color)
                host = {
                    n: v.astype(dtype) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v
                    for n, v in host.items()
                }
                given = {n: scattered(vl.arrays.from_numpy(v, backend)) for n, v in host.items()}
                with np.errstate(all="ignore"):
                    want = vl.operation(name).reference(**host)
                got = body(**given)
                several = isinstance(want, tuple | list)
                assert type(got) is type(want) or not several
                for g, w_ in zip(got if several else [got], want if several else [want], strict=True):
                    assert vl.arrays.backend_of(g) == backend
                    same(vl.arrays.to_numpy(g), np.asarray(w_), ULPS.get(name, 64), dtype)
                for n, v in host.items():
                    np.testing.assert_array_equal(vl.arrays.to_numpy(given[n]), v, err_msg=f"{n} was changed")


def scattered(value):
    """The same array with a gap after every element."""
    if not hasattr(value, "shape"):
        return value
    return vl.arrays.namespace(value).stack([value, value], axis=-1)[..., 0]


def same(got, want, ulps, dtype):
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    if want.dtype.kind != "f":
        np.testing.assert_array_equal(got, want)
        return
    error = ulps * np.finfo(dtype).eps
    np.testing.assert_allclose(
        got, want, rtol=error, atol=error * max(1, np.abs(want[np.isfinite(want)]).max(initial=0))
    )


def test_a_class_that_is_ruled_out_costs_nothing_unless_it_is_the_right_one():
    logits, labels = torch.tensor([[0.0, -torch.inf]], dtype=torch.float64), torch.tensor([0])
    assert float(vl.layers.cross_entropy(logits, labels)) == 0
