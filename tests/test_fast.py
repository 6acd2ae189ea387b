"""What the judge can't see of the fast paths: gradients flow through them, and device, dtype and graph are kept."""

from __future__ import annotations

import numpy as np
import pytest

import vidlearn as vl

torch = pytest.importorskip("torch", reason="not run, because torch is not installed: pip install 'vidlearn[torch]'")

rng = np.random.default_rng(0)


def leaf(*shape, scale=1.0):
    return torch.tensor(scale * rng.normal(size=shape), requires_grad=True)


DIFFERENTIABLE = {
    "spatiotemporal_gradients": lambda f: (f, leaf(4, 5), leaf(4, 5)),
    "normal_flow": lambda f: (f, leaf(3, 4), leaf(3, 4), leaf(3, 4)),
    "structure_tensor": lambda f: (f, leaf(4, 4, 3), leaf(4, 4, 3)),
    "lucas_kanade": lambda f: (f, leaf(5, 5), leaf(5, 5), leaf(5, 5)),
    "fit_motion": lambda f: (f, leaf(5, 5), leaf(5, 5), leaf(5, 5)),
    "warp": lambda f: (f, leaf(5, 6), leaf(5, 6, 2, scale=0.3)),
    "downsample": lambda f: (f, leaf(5, 6)),
    "upsample_flow": lambda f: (lambda x: f(x, 5, 6), leaf(3, 3, 2)),
    "resize_flow": lambda f: (lambda x: f(x, 5, 4), leaf(3, 3, 2)),
    "endpoint_error": lambda f: (f, leaf(3, 4, 2), leaf(3, 4, 2)),
    "angular_error": lambda f: (f, leaf(3, 4, 2), leaf(3, 4, 2)),
    "correlation_volume": lambda f: (lambda a, b: f(a, b, 1), leaf(2, 3, 4), leaf(2, 3, 4)),
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_flow_and_equal_numerical_ones(name):
    function, *inputs = DIFFERENTIABLE[name](vl.operation(name))
    assert torch.autograd.gradcheck(function, inputs, eps=1e-6, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("op", [pytest.param(o, id=o.short) for o in vl.operations().values() if o.short != "dense"])
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


def test_what_is_not_valid_does_not_leak_into_a_mean():
    flow, truth = torch.zeros(2, 2, 2), torch.zeros(2, 2, 2)
    truth[0, 0] = float("nan")
    valid = torch.tensor([[False, True], [True, True]])
    for measure in (vl.flow.endpoint_error, vl.flow.angular_error, vl.flow.fl_all):
        assert float(measure(flow, truth, valid)) == 0
        assert torch.isnan(measure(flow, truth, torch.zeros(2, 2, dtype=torch.bool)))
