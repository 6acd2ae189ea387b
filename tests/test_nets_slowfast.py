"""Pathways, laterals and non-local blocks in networks: what goes where, and what starts as nothing."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

from tests.test_nets import lively
from vidlearn import nets, slowfast
from vidlearn.nets.nodes import (
    Conv,
    Flatten,
    GlobalPool,
    Join,
    Lateral,
    Linear,
    Norm,
    Pathways,
    ReLU,
    Residual,
    Sequential,
    non_local,
    numbered,
)
from vidlearn.nets.views import Frames

torch = pytest.importorskip("torch", reason="not run, because torch is not installed: pip install 'vidlearn[torch]'")

RNG = np.random.default_rng(0)
SMALL = (3, 8, 32, 32)


# ------------------------------------------------------------------ two pathways


def two_pathways():
    """Four frames and two, a lateral connection, a non-local block, and the end of both."""
    lateral = Lateral((("tell", Conv(2, 4, (3, 1, 1), (2, 1, 1), (1, 0, 0))), ("bend", ReLU())))
    slow = (("every", Frames(2)), ("a", Conv(3, 5, (1, 3, 3), padding=(0, 1, 1), bias=True)))
    fast = (("b", Conv(3, 2, (3, 3, 3), padding=1, bias=True)),)
    steps = [("views", Pathways((slow, fast))), ("lateral", lateral)]
    steps += [("again", Pathways(((("c", Conv(9, 6, (1, 1, 1))), ("look", non_local(6, 3))), (("d", Norm(2)),))))]
    steps += [("pool", Pathways(((("slow", GlobalPool()),), (("fast", GlobalPool()),)))), ("join", Join())]
    steps += [("flatten", Flatten()), ("fc", Linear(8, 3))]
    return nets.Net("two pathways", Sequential(tuple(steps)), (3, 4, 4, 4))


def test_numpy_torch_and_the_trace_agree_on_pathways():
    net = two_pathways()
    weights = lively(net)
    x = RNG.normal(size=(2, *net.input))
    want = net.forward(x, weights)
    assert want.shape[1:] == net.output()
    module = net.to_torch(weights).eval()
    with torch.no_grad():
        np.testing.assert_allclose(module(torch.from_numpy(x)).numpy(), want, rtol=1e-9)
    folded, merged = net.folded(weights)
    np.testing.assert_allclose(folded.forward(x, merged), want, rtol=1e-9)


def test_a_lateral_connection_is_the_operation_of_that_name():
    fast, slow = RNG.normal(size=(1, 2, 4, 3, 3)), RNG.normal(size=(1, 5, 2, 3, 3))
    w = RNG.normal(size=(4, 2, 3, 1, 1))
    lateral = Lateral((("tell", Conv(2, 4, (3, 1, 1), (2, 1, 1), (1, 0, 0))),))
    got = lateral.run(lambda name, part, x: part.apply(x, {"weight": w}, lambda op: op.reference), (slow, fast))
    np.testing.assert_allclose(got[0], slowfast.lateral_connection(slow, fast, 2, w=w))
    np.testing.assert_array_equal(got[1], fast)


def test_the_fast_pathway_never_hears_of_the_slow_one():
    net = nets.slowfast(8, 4, fast_width=2)
    weights = lively(net, dtype="float32")
    louder = {n: w * 2 if ".multipathway_blocks.0." in n and w.ndim > 1 else w for n, w in weights.items()}
    assert any(w is not louder[n] for n, w in weights.items())
    heard = []

    def listen(module, given, answer):
        heard.append(answer[1].detach().numpy().copy())

    x = torch.from_numpy(RNG.random((1, *SMALL), np.float32))
    for w in (weights, louder):
        module = net.to_torch(w).eval()
        getattr(module.blocks, "4").register_forward_hook(listen)
        with torch.no_grad():
            module(x)
    np.testing.assert_array_equal(heard[0], heard[1])


@pytest.mark.parametrize("how", ["stride", "spread"])
def test_published_networks_spread_the_slow_frames_and_the_paper_strides(how):
    frames = Frames(8, how)
    x = np.arange(32.0).reshape(1, 1, 32, 1, 1)
    got = frames.apply(x, {}, lambda op: op.reference).ravel().tolist()
    assert got == ([0, 8, 16, 24] if how == "stride" else [0, 10, 20, 31])
    assert nets.slowfast_r50().layers()["blocks.0.multipathway_blocks.every"] == Frames(4, "spread")
    assert nets.slowfast_4x16_r50().layers()["blocks.0.multipathway_blocks.every"] == Frames(8)


@pytest.mark.parametrize("weak", ["grey", "time difference", "flow", "half"])
def test_weak_inputs_compute_the_same_in_numpy_and_torch(weak):
    net = nets.slowfast(8, 4, fast_width=4, weak=weak)
    weights = lively(net, dtype="float32")
    x = RNG.random((1, net.input[0], 8, 32, 32), np.float32)
    want = net.forward(x, weights)
    with torch.no_grad():
        got = net.to_torch(weights).eval()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * np.abs(want).max())


def test_time_differences_of_a_still_clip_tell_the_slow_pathway_nothing_new():
    """The Fast pathway then sees black, whatever the clip shows."""
    net = nets.slowfast(8, 4, fast_width=2, weak="time difference")
    view = nets.Net("view", Sequential((("seen", net.layers()["blocks.0.multipathway_blocks.difference"]),)), SMALL)
    still = np.repeat(RNG.random((1, 3, 1, 4, 4)), 8, axis=2)
    np.testing.assert_array_equal(view.forward(still, {}), 0 * still)


# ------------------------------------------------------------------ non-local blocks


def test_a_network_with_new_non_local_blocks_answers_as_it_did_without():
    plain, looking = nets.slowfast(8, 4, fast_width=2), nets.slowfast(8, 4, fast_width=2, nonlocal_blocks=True)
    trained = lively(plain, dtype="float32")
    assert trained.keys() < looking.shapes().keys()
    weights = {**looking.initial(), **trained}
    x = RNG.random((1, *SMALL), np.float32)
    np.testing.assert_array_equal(looking.forward(x, weights), plain.forward(x, trained))
    module = looking.to_torch()
    missing, unexpected = module.load_state_dict({n: torch.from_numpy(w) for n, w in trained.items()}, strict=False)
    assert not unexpected
    assert all(".nonlocal" in name or name.endswith("num_batches_tracked") for name in missing)
    with torch.no_grad():
        got = module.eval()(torch.from_numpy(x)).numpy()
    want = plain.forward(x, trained)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 * np.abs(want).max())


def test_a_non_local_block_sees_the_whole_clip():
    net = nets.Net("looking", numbered(Conv(2, 4, (3, 3, 3), padding=1), non_local(4)), (2, 6, 8, 10))
    fields = {row.path: row.field for row in net.rows()}
    assert fields["0"] == (3, 3, 3)
    assert fields["1.norm"] == (8, 10, 12)  # the clip and, beyond it, the first layer's padding


@pytest.mark.parametrize(
    ("pool", "first"), [((1, 2, 2), False), ((1, 2, 2), True), ((2, 2, 2), True), ((1, 1, 1), False)]
)
def test_pooling_before_or_after_the_projection_is_computed_as_traced(pool, first):
    net = nets.Net("looking", non_local(4, 2, pool, "dot product", first), (4, 4, 4, 6))
    weights = lively(net)
    x = RNG.normal(size=(2, *net.input))
    want = net.forward(x, weights)
    with torch.no_grad():
        np.testing.assert_allclose(net.to_torch(weights).eval()(torch.from_numpy(x)).numpy(), want, rtol=1e-9)
    assert want.shape[1:] == net.output()


# ------------------------------------------------------------------ names


def test_a_part_without_a_name_keeps_its_weights_under_its_parents():
    net = nets.Net("looking", Sequential((("block", non_local(4, 2)),)), (4, 2, 4, 4))
    assert "block.conv_theta.weight" in net.shapes()
    module = net.to_torch()
    state = {n for n in module.state_dict() if not n.endswith("num_batches_tracked")}
    assert state == set(net.shapes())
    learned = sum(len(layer.learned()) for layer in net.layers().values())
    assert len(list(module.parameters())) == learned
    twin = copy.deepcopy(module).double()
    for p in twin.parameters():
        torch.nn.init.normal_(p)
    x = torch.rand(1, *net.input, dtype=torch.float64)
    twin(x).square().sum().backward()
    assert all(p.grad is not None for p in twin.parameters())
    assert not torch.equal(twin.block.conv_theta.weight.float(), module.block.conv_theta.weight)


# ------------------------------------------------------------------ what can't be


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"alpha": 3}, r"^alpha: expected a divisor of the 32 frames, got 3"),
        ({"depth": 18}, r"^depth: expected 50 or 101, got 18"),
        ({"lateral_kernel": 4}, r"^lateral_kernel: expected an odd number"),
    ],
)
def test_impossible_descriptions_are_refused(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        nets.slowfast(**given)


def test_pathways_that_do_not_fit_are_a_sentence():
    one = Sequential((("lateral", Lateral((("c", Conv(3, 2, (1, 1, 1))),))),))
    with pytest.raises(ValueError, match=r"odd: lateral \(Lateral\): expected 2 pathways, got one value"):
        nets.Net("odd", one, (3, 4, 4, 4)).rows()
    left = Sequential((("two", Pathways(((("a", ReLU()),), (("b", ReLU()),)))),))
    with pytest.raises(ValueError, match=r"odd: expected one answer at the end, got 2 pathways; put Join\(\) there"):
        nets.Net("odd", left, (3, 4, 4, 4)).rows()
    three = Sequential(
        (*left.steps, ("three", Pathways(((("a", ReLU()),),) * 1 + ((("b", ReLU()),), (("c", ReLU()),)))))
    )
    with pytest.raises(ValueError, match=r"expected 3 pathways, got 2"):
        nets.Net("odd", three, (3, 4, 4, 4)).rows()
    with pytest.raises(ValueError, match=r"T a multiple of 4"):
        nets.slowfast(8, 4).rows((3, 6, 32, 32))


def test_residuals_of_norms_that_start_at_zero_are_identities_in_training_too():
    block = Residual((("conv", Conv(2, 2, (1, 1, 1))), ("norm", Norm(2, gamma=0.0))), after=())
    net = nets.Net("zero", Sequential((("block", block),)), (2, 2, 3, 3))
    x = torch.rand(2, *net.input)
    assert torch.equal(net.to_torch().train()(x), x)
    assert replace(block, after=()).body[1][1].gamma == 0


# ------------------------------------------------------------------ beyond Python

TRAVELLERS = {
    "slowfast with non-local blocks": lambda: nets.slowfast(8, 4, fast_width=2, nonlocal_blocks=True),
    "timesformer": lambda: nets.timesformer(5, 2, 32, depth=2, width=24, heads=2),
    "sparse timesformer": lambda: nets.timesformer(5, 4, 64, "L+G", depth=2, width=24, heads=2),
    "mvit": lambda: nets.mvit_v2_s(frames=4, size=64),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TRAVELLERS)
def test_modules_can_be_exported_and_traced(name):
    """As engineers take a network to another runtime."""
    net = TRAVELLERS[name]()
    module = net.to_torch().eval()
    x = torch.rand(1, *(SMALL if "slowfast" in name else net.input))
    with torch.no_grad():
        want = module(x)
        exported = torch.export.export(module, (x,)).module()
        torch.testing.assert_close(exported(x), want)
        torch.testing.assert_close(torch.jit.trace(module, x, check_trace=False)(x), want, rtol=1e-4, atol=1e-5)
