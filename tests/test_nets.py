"""A network is data: what is read off the tree agrees with what is computed, in NumPy, torch and CuPy."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.support.fake_cupy import installed
from vidlearn import arrays, layers, nets
from vidlearn.nets.nodes import (
    Branches,
    Conv,
    Dropout,
    Flatten,
    Linear,
    Norm,
    Pool,
    ReLU,
    Residual,
    Sequential,
    numbered,
)
from vidlearn.nets.signal import Signal

torch = pytest.importorskip("torch", reason="not run, because torch is not installed: pip install 'vidlearn[torch]'")

#: an input on which the whole network still has a place and which is small enough for a test; None where its last layers
#: allow the usual one only
SMALL = {
    "late_fusion": (3, 5, 8, 8), "slow_fusion": (3, 5, 8, 8), "early_fusion": (3, 20, 8, 8),
    "r2d_18": (3, 8, 32, 32), "inception_v1": (3, 64, 64), "fast_r50": None,
    **dict.fromkeys(("slowfast_4x16_r50", "slowfast_r50", "slowfast_r101", "slowfast_16x8_r101_50_50"), (3, 8, 32, 32)),
    **dict.fromkeys(("alexnet", "vgg16", "vgg_m_2048", "c3d", "i3d_inception", "s3d")),
    **dict.fromkeys(("c2d_r50", "i3d_r50", "slow_r50", "csn_r101", "ip_csn_r101")),
    **dict.fromkeys(("timesformer", "mvit_v1_b", "mvit_v2_s", "vivit_b", "vtn")),  # test_nets_transformers has small ones
}  # fmt: skip
#: of those, the ones that no other library publishes: test_nets_published has the others
UNPUBLISHED = {"vgg_m_2048": {}, "c3d": {}, "i3d_inception": {"frames": 16}, "ip_csn_r101": {"frames": 8},
               "fast_r50": {"frames": 8}}  # fmt: skip
#: the same description as another one, only larger: the stand-in takes its time
LARGER = ("slowfast_r50", "slowfast_r101", "slowfast_16x8_r101_50_50")
ZOO = nets.zoo()


def small(net):
    shape = SMALL.get(net.name, "unlisted")
    if shape == "unlisted":
        channels, *positions = net.input
        shape = (channels, 4, 32, 32) if len(positions) == 3 else (channels, 32, 32)
    return shape


def lively(net, seed=0, dtype="float64"):
    """Random weights whose norms do something."""
    rng = np.random.default_rng(seed)
    weights = net.initial(seed, dtype)
    for name, value in weights.items():
        if name.endswith(("running_mean", "bias")):
            weights[name] = (0.1 * rng.standard_normal(value.shape)).astype(dtype)
        elif name.endswith("running_var") or (value.ndim == 1 and name.endswith("weight")):
            weights[name] = rng.uniform(0.5, 1.5, value.shape).astype(dtype)
    return weights


TINY = nets.Net(
    "tiny",
    Sequential(
        (
            ("conv1", Conv(3, 4, (3, 3, 3), stride=(1, 2, 2), padding=1)),
            ("bn1", Norm(4)),
            ("relu", ReLU()),
            ("block", Residual(
                (("conv", Conv(4, 6, (1, 3, 3), padding=(0, 1, 1))), ("bn", Norm(6))),
                (("downsample", numbered(Conv(4, 6, (1, 1, 1)), Norm(6))),),
            )),
            ("mixed", Branches((
                (("a", Conv(6, 2, (1, 1, 1), bias=True)),),
                (("b", numbered(Conv(6, 3, (3, 1, 1), padding=(1, 0, 0)))), ("relu", ReLU())),
                (("c", Pool((3, 3, 3), (1, 1, 1), 1)),),
            ))),
            ("flatten", Flatten()),
            ("fc", Linear(11 * 4 * 4 * 4, 5)),
        )
    ),
    (3, 4, 8, 8),
)  # fmt: skip


def test_every_builder_is_in_the_zoo_under_its_own_name():
    for name, build in ZOO.items():
        net = build()
        assert net.name == name
        assert net.source
        assert build.__doc__


@pytest.mark.parametrize("name", ZOO)
def test_the_traced_shapes_are_those_that_torch_computes(name):
    net = ZOO[name]()
    shape = small(net)
    if shape is None:
        shape = net.input
    with torch.device("meta"):
        module = net.to_torch().eval()
        assert tuple(module(torch.empty(2, *shape)).shape) == (2, *net.output(shape))
    state = {n: tuple(t.shape) for n, t in module.state_dict().items() if not n.endswith("num_batches_tracked")}
    assert state == net.shapes()
    assert sum(p.numel() for p in module.parameters()) == net.parameters() == sum(r.parameters for r in net.rows())


@pytest.mark.parametrize("name", ZOO)
def test_multiply_accumulates_are_half_of_what_torch_counts(name):
    """torch counts two operations for each multiply-accumulate of convolutions and linear layers, and nothing else."""
    from torch.utils.flop_counter import FlopCounterMode

    net = ZOO[name]()
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        net.to_torch().eval()(torch.empty(1, *net.input))
    assert counter.get_total_flops() == 2 * net.macs()


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in ZOO if SMALL.get(n, ()) is not None or n in UNPUBLISHED])
def test_numpy_and_torch_compute_the_same_net(name):
    net = ZOO[name](**UNPUBLISHED.get(name, {}))
    dtype, close = ("float32", 1e-5) if name in UNPUBLISHED else ("float64", 1e-9)  # these are large
    weights = lively(net, dtype=dtype)
    x = np.random.default_rng(1).random((1, *(small(net) or net.input))).astype(dtype)
    with torch.no_grad():
        want = net.to_torch(weights).eval()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(net.forward(x, weights), want, rtol=close, atol=close * np.abs(want).max())


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in ZOO if SMALL.get(n, ()) is not None and n not in LARGER])
def test_numpy_and_cupy_compute_the_same_net(name):
    """On the stand-in: 3D convolutions are the CUDA kernel's own source, the others im2col."""
    net = ZOO[name]()
    weights = lively(net, dtype="float32")
    x = np.random.default_rng(1).random((1, *small(net)), np.float32)
    want = net.forward(x, weights)
    with installed():
        on_device = {n: arrays.from_numpy(w, "cupy") for n, w in weights.items()}
        got = net.forward(arrays.from_numpy(x, "cupy"), on_device).get()
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize(
    "net", [TINY, nets.late_fusion(4, 8), nets.early_fusion(4, 8), nets.slow_fusion(4, 8)], ids=lambda n: n.name
)
def test_numpy_torch_and_cupy_agree_through_one_forward(net):
    weights = lively(net)
    x = np.random.default_rng(1).random((2, *net.input))
    want = net.forward(x, weights)
    got = net.forward(torch.from_numpy(x), {n: torch.from_numpy(w) for n, w in weights.items()})
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-9)
    with installed():
        on_device = {n: arrays.from_numpy(w, "cupy") for n, w in weights.items()}
        got = net.forward(arrays.from_numpy(x, "cupy"), on_device)
        np.testing.assert_allclose(got.get(), want, rtol=1e-9)


def test_half_precision_is_computed_in_single_layer_by_layer():
    weights = lively(TINY, dtype="float32")
    x = np.random.default_rng(1).random((2, *TINY.input)).astype(np.float32)
    half = {n: w.astype(np.float16) for n, w in weights.items()}
    got = TINY.forward(x.astype(np.float16), half)
    assert got.dtype == np.float16
    want = TINY.forward(x, weights)
    np.testing.assert_allclose(got, want, atol=0.02 * np.abs(want).max())
    in_torch = {n: torch.from_numpy(w).bfloat16() for n, w in weights.items()}
    assert TINY.forward(torch.from_numpy(x).bfloat16(), in_torch).dtype == torch.bfloat16


@pytest.mark.parametrize("backend", [pytest.param(b, marks=pytest.mark.gpu(b)) for b in ("torch", "cupy")])
def test_the_same_forward_on_a_gpu(backend):
    weights = lively(TINY)
    x = np.random.default_rng(1).random((2, *TINY.input))
    moved = {n: arrays.from_numpy(w, backend, "cuda") for n, w in weights.items()}
    got = arrays.to_numpy(TINY.forward(arrays.from_numpy(x, backend, "cuda"), moved))
    np.testing.assert_allclose(got, TINY.forward(x, weights), rtol=1e-9)


def test_nothing_is_changed_that_a_shortcut_or_the_caller_still_needs():
    """Blocks that bend before they convolve, or do nothing at all."""
    body = Sequential(
        (
            ("first", Residual((("relu", ReLU()), ("conv", Conv(2, 2, (1, 3, 3), padding=(0, 1, 1)))), after=())),
            ("idle", Residual((("dropout", Dropout()),), after=())),
            ("branches", Branches(((("relu", ReLU()),), (("point", Conv(2, 1, (1, 1, 1))),)))),
        )
    )
    net = nets.Net("preactivated", body, (2, 2, 4, 4))
    weights = lively(net)
    x = np.random.default_rng(1).standard_normal((1, *net.input))
    before = x.copy()
    want = net.forward(x, weights)
    np.testing.assert_array_equal(x, before)
    in_torch = torch.from_numpy(x.copy())
    with torch.no_grad():
        got = net.to_torch(weights).eval()(in_torch)
    np.testing.assert_array_equal(in_torch.numpy(), before)
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-12, atol=1e-12)


def test_training_changes_every_learned_weight():
    module = TINY.to_torch().double()
    before = {n: p.detach().clone() for n, p in module.named_parameters()}
    x = torch.rand(4, *TINY.input, dtype=torch.float64)
    module(x).square().sum().backward()
    torch.optim.SGD(module.parameters(), 0.1).step()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None
        assert not torch.equal(parameter, before[name]), name


# ------------------------------------------------------------------ batch norm folded away


def test_the_folded_net_computes_the_same_without_norms():
    weights = lively(TINY)
    x = np.random.default_rng(1).random((2, *TINY.input))
    folded, merged = TINY.folded(weights)
    assert not any(isinstance(layer, Norm) for layer in folded.layers().values())
    assert set(merged) == set(folded.shapes())
    np.testing.assert_allclose(folded.forward(x, merged), TINY.forward(x, weights), rtol=1e-10, atol=1e-12)
    assert set(TINY.shapes()) == set(weights), "the original is as it was"


def test_a_norm_whose_convolution_is_used_elsewhere_too_stays():
    body = Sequential(
        (
            ("conv", Conv(2, 2, (1, 1, 1))),
            ("block", Residual((("bn", Norm(2)),), after=())),
        )
    )
    net = nets.Net("reused", body, (2, 1, 2, 2))
    weights = lively(net)
    folded, merged = net.folded(weights)
    x = np.random.default_rng(1).random((1, 2, 1, 2, 2))
    np.testing.assert_allclose(folded.forward(x, merged), net.forward(x, weights), rtol=1e-12)
    assert isinstance(folded.layers()["block.bn"], Norm)


# ------------------------------------------------------------------ receptive fields


@pytest.mark.parametrize("build", [nets.late_fusion, nets.early_fusion, nets.slow_fusion], ids=lambda b: b.__name__)
def test_the_decks_three_networks_row_for_row(build):
    printed = {  # CS231n · Early Fusion vs Late Fusion vs 3D CNN; the 3D row of the pool lacks an axis on the slide
        "late_fusion": [((12, 20, 64, 64), (1, 3, 3)), ((12, 20, 16, 16), (1, 6, 6)), ((24, 20, 16, 16), (1, 14, 14)), ((24, 1, 1, 1), (20, 64, 64))],
        "early_fusion": [((12, 64, 64), (20, 3, 3)), ((12, 16, 16), (20, 6, 6)), ((24, 16, 16), (20, 14, 14)), ((24, 1, 1), (20, 64, 64))],
        "slow_fusion": [((12, 20, 64, 64), (3, 3, 3)), ((12, 5, 16, 16), (6, 6, 6)), ((24, 5, 16, 16), (14, 14, 14)), ((24, 1, 1, 1), (20, 64, 64))],
    }  # fmt: skip
    rows = [r for r in build().rows() if r.path != "merge"]
    assert [(r.shape, r.clipped) for r in rows] == printed[build.__name__]


def test_branches_see_together_what_each_sees():
    rows = {row.path: row.field for row in TINY.rows()}
    assert rows["mixed.a"] == (3, 7, 7)
    assert rows["mixed.b.0"] == (5, 7, 7)
    assert rows["mixed.c"] == (5, 11, 11)
    assert Signal.input((1, 4, 4)).field == (1, 1)
    whole = {row.path: row.clipped for row in TINY.rows()}
    assert whole["fc"] == (4, 8, 8)


@pytest.mark.parametrize("net", [nets.slow_fusion(8, 16), TINY], ids=lambda n: n.name)
def test_the_receptive_field_read_off_the_tree_is_the_one_that_gradients_find(net):
    """All weights and inputs positive, so that nothing cancels; the mean over space of one output position."""
    last = "conv2" if net.name == "slow_fusion" else "mixed.c"
    row = {r.path: r for r in net.rows()}[last]
    weights = {n: np.abs(w) + 0.1 for n, w in net.initial(0, "float64").items()}
    module = net.to_torch(weights).eval()
    found = {}
    for name, part in module.named_modules():
        if name == last:
            part.register_forward_hook(lambda _m, _i, out: found.update(y=out))
    seen = np.zeros(net.input[1:], bool)
    middle = tuple(n // 2 for n in row.shape[1:])
    for seed in range(40):  # a maximum passes its gradient to one voxel at a time
        x = torch.from_numpy(np.random.default_rng(seed).random((1, *net.input)) ** 30).requires_grad_()
        module(x)
        found["y"][(0, slice(None), *middle)].sum().backward()
        seen |= (x.grad[0] != 0).any(dim=0).numpy()
    low = [int(np.flatnonzero(seen.any(axis=tuple(a for a in range(3) if a != axis))).min()) for axis in range(3)]
    high = [int(np.flatnonzero(seen.any(axis=tuple(a for a in range(3) if a != axis))).max()) for axis in range(3)]
    reach = _reaches(net, last)
    for axis, (r, o, n) in enumerate(zip(reach, middle, net.input[1:], strict=True)):
        assert low[axis] == max(0, r.low + r.jump * o)
        assert high[axis] == min(n - 1, r.high + r.jump * o)


def _reaches(net, path):
    seen = {}

    def visit(prefix, node, x):
        if hasattr(node, "run"):
            return node.run(lambda name, part, v: visit(f"{prefix}.{name}".lstrip("."), part, v), x)
        seen[prefix] = y = node.output(x)
        return y

    visit("", net.body, Signal.input(net.input))
    return list(seen[path].reach.values())


# ------------------------------------------------------------------ inflation of whole networks


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "inception_v1"])
def test_a_boring_video_through_the_inflated_net_gives_what_the_frame_gives(name):
    net = ZOO[name](classes=7)
    weights = lively(net)
    frame = np.random.default_rng(1).random((1, 3, 32, 32))
    clip = np.repeat(frame[:, :, None], 5, axis=2)
    want = net.forward(frame, weights)
    inflated, made = nets.inflate(net, weights, kernel=lambda path, conv: min(3, conv.kernel[0]), time_border="edge")
    np.testing.assert_allclose(inflated.forward(clip, made), want, rtol=1e-9, atol=1e-9 * np.abs(want).max())
    padded, made = nets.inflate(net, weights, kernel=3)
    difference = np.abs(padded.forward(clip, made) - want).max()
    assert difference > 1e-3 * np.abs(want).max(), "zeros beyond the clip's ends must show"


def test_with_zero_padding_the_law_holds_where_the_receptive_field_is_inside_the_clip():
    body = Sequential(
        (("conv1", Conv(3, 4, (3, 3), padding=1)), ("relu", ReLU()), ("conv2", Conv(4, 2, (3, 3), padding=1)))
    )
    net = nets.Net("two_layers", body, (3, 6, 6))
    weights = lively(net)
    frame = np.random.default_rng(1).random((1, 3, 6, 6))
    inflated, made = nets.inflate(net, weights, frames=9)
    got = inflated.forward(np.repeat(frame[:, :, None], 9, axis=2), made)
    want = net.forward(frame, weights)
    reach = inflated.rows()[-1].field[0] // 2
    holds = [bool(np.allclose(got[:, :, t], want, rtol=1e-12, atol=1e-12)) for t in range(9)]
    assert holds == [reach <= t < 9 - reach for t in range(9)]


def test_what_can_not_be_inflated_is_refused():
    net = ZOO["resnet18"]()
    with pytest.raises(ValueError, match="odd number of frames"):
        nets.inflate(net, net.initial(), kernel=2)
    with pytest.raises(ValueError, match="images"):
        nets.inflate(nets.slow_fusion(), {})
    with pytest.raises(ValueError, match="missing"):
        nets.inflate(net, {})
    for path in ("layer9", "relu"):
        with pytest.raises(ValueError, match=path):
            nets.inflate(net, net.initial(), stride={path: 2})
    with pytest.raises(ValueError, match="time_border"):
        nets.inflate(net, net.initial(), time_border="edges")
    alexnet = ZOO["alexnet"]()
    with pytest.raises(ValueError, match=r"inflated alexnet: classifier\.1 .*features"):
        nets.inflate(alexnet, alexnet.initial(), kernel=3)


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ((1, 4, 8, 8), r"tiny: conv1 \(Conv 3×3×3.*\): channels: expected 3, got 1"),
        ((3, 8, 8), r"tiny: conv1 .*expected 3 axes besides the channels, got shape \(3, 8, 8\)"),
        ((3, 4, 8, 10), r"tiny: fc \(Linear 704→5\): features: expected 704, got 880"),
    ],
)
def test_an_impossible_shape_names_the_layer_and_what_it_got(shape, says):
    with pytest.raises(ValueError, match=says):
        TINY.rows(shape)
    no_batch = "a single input is" if len(shape) < 4 else says  # which is what such a shape looks like here
    with pytest.raises(ValueError, match=no_batch):
        TINY.forward(np.zeros((1, *shape)), lively(TINY))


def test_too_few_frames_name_the_layer_and_the_axis():
    with pytest.raises(ValueError, match=r"c3d: pool5 .*axis T: expected at least 2 positions .*got 1"):
        nets.c3d().rows((3, 8, 112, 112))


def test_branches_that_do_not_fit_are_named():
    bad = Residual((("conv", Conv(4, 6, (1, 1, 1))),))
    with pytest.raises(ValueError, match=r"bad: block \(Residual\): branches are added with 6 and 4 channels"):
        nets.Net("bad", Sequential((("block", bad),)), (4, 1, 2, 2)).rows()
    bad = Branches(((("a", Conv(4, 6, (1, 1, 1))),), (("b", Conv(4, 6, (1, 3, 3))),)))
    with pytest.raises(ValueError, match=r"bad: block \(Branches\): branches meet with positions"):
        nets.Net("bad", Sequential((("block", bad),)), (4, 1, 4, 4)).rows()


def test_weights_of_other_names_shapes_or_types_are_refused():
    weights = lively(TINY)
    x = np.zeros((1, *TINY.input))
    with pytest.raises(ValueError, match=r"1 missing \(fc.bias\)"):
        TINY.forward(x, {n: w for n, w in weights.items() if n != "fc.bias"})
    with pytest.raises(ValueError, match=r"1 unknown \(head.weight\)"):
        TINY.forward(x, {**weights, "head.weight": weights["fc.weight"]})
    with pytest.raises(ValueError, match=r"weights: fc.bias: expected shape \(5,\), got \(6,\)"):
        TINY.forward(x, {**weights, "fc.bias": np.zeros(6)})
    with pytest.raises(TypeError, match="x: expected float64, as the weights are, got float32"):
        TINY.forward(x.astype(np.float32), weights)
    with pytest.raises(ValueError, match="missing"):
        TINY.folded({n: w for n, w in weights.items() if n != "conv1.weight"})
    mixed = {**weights, "fc.bias": weights["fc.bias"].astype(np.float16)}
    for use in (lambda: TINY.forward(x, mixed), lambda: TINY.to_torch(mixed)):
        with pytest.raises(TypeError, match="one floating-point type, got float16 and float64"):
            use()
    bfloat = {n: torch.from_numpy(w).bfloat16() for n, w in weights.items()}
    assert next(TINY.to_torch(bfloat).parameters()).dtype == torch.bfloat16
    with pytest.raises(ValueError, match="missing"):
        TINY.to_torch({n: w for n, w in weights.items() if n != "fc.bias"})


def test_groups_that_do_not_divide_are_refused_when_the_layer_is_made():
    with pytest.raises(ValueError, match="groups"):
        Conv(4, 6, (1, 1, 1), groups=4)
    with pytest.raises(ValueError, match="kernel: expected two numbers for images or three for clips, got 3"):
        Conv(4, 6, 3)
    with pytest.raises(ValueError, match="stride: expected one number, or 3"):
        Conv(4, 6, (1, 1, 1), stride=(2, 2))
    for name, make in {
        "stride": lambda: Conv(1, 1, (1, 1, 1), stride=0),
        "groups": lambda: Conv(1, 1, (1, 1, 1), groups=0),
        "kernel": lambda: Conv(1, 1, (0, 3, 3)),
        "time_border": lambda: Conv(1, 1, (3, 3), padding=1, time_border="edge"),
        "how": lambda: Pool((2, 2, 2), how="avg"),
        "padding": lambda: Pool((3, 3, 3), (1, 1, 1), 2),
        "parts": lambda: Sequential((("c", ReLU()), ("c", ReLU()))),
        "paths": lambda: Branches(((), (("c", ReLU()),))),
    }.items():
        with pytest.raises(ValueError, match=name):
            make()


def test_inputs_of_another_rank_and_empty_batches_are_refused():
    for shape in ((2, 3, 4, 8, 8), (), (3, 0, 8, 8)):
        with pytest.raises(ValueError, match="tiny: the input: expected"):
            TINY.rows(shape)
    for x in (np.zeros((0, *TINY.input)), np.zeros(()), [1.0]):
        with pytest.raises((ValueError, TypeError), match="x: expected"):
            TINY.forward(x, lively(TINY))
    with pytest.raises(ValueError, match="axes"):
        nets.Net("image", Sequential((("norm", Norm(3)),)), (3, 4, 4)).rows()
    with pytest.raises(ValueError, match="no part nope"):
        TINY.replaced({"nope": ReLU()})


def test_a_network_without_weights_runs():
    net = nets.Net("bend", Sequential((("relu", ReLU()),)), (1, 2, 2, 2))
    x = np.random.default_rng(0).standard_normal((1, *net.input))
    np.testing.assert_array_equal(net.forward(x, {}), np.maximum(x, 0))
    np.testing.assert_array_equal(net.to_torch({})(torch.from_numpy(x)).numpy(), np.maximum(x, 0))


def test_a_body_that_ends_in_a_bend_can_be_trained():
    block = Residual((("c", Conv(2, 2, (1, 3, 3), padding=(0, 1, 1))), ("r", ReLU())))
    module = nets.Net("late_bend", Sequential((("block", block),)), (2, 2, 4, 4)).to_torch()
    module(torch.rand(1, 2, 2, 4, 4)).sum().backward()
    assert all(p.grad is not None for p in module.parameters())


def test_the_table_ends_with_the_sums():
    lines = TINY.table().splitlines()
    assert lines[0].split()[:2] == ["layer", "output"]
    assert lines[-1].split()[-2:] == [f"{TINY.parameters():,}", f"{TINY.macs():,}"]
    assert sum(row.macs for row in TINY.rows()) == TINY.macs() > 0
    assert math.prod(TINY.output()) == 5
    assert replace(TINY, name="<b>")._repr_html_().count("<b>") == 0


def test_the_command_lists_networks_and_prints_one(capsys):
    import json

    from vidlearn.cli import main

    assert main(["nets", "--json"]) == 0
    assert {row["net"] for row in json.loads(capsys.readouterr().out)} == set(ZOO)
    assert main(["nets", "slow_fusion", "--shape", "3x8x16x16"]) == 0
    assert capsys.readouterr().out.rstrip() == nets.slow_fusion().table((3, 8, 16, 16))
    assert main(["nets", "slow_fusion", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["shape"] == [12, 20, 64, 64]
    assert main(["nets", "resnet19"]) == 2
    assert "resnet19" in capsys.readouterr().err
    assert main(["nets", "c3d", "--shape", "3x8x112x112"]) == 2
    assert "pool5" in capsys.readouterr().err


@pytest.mark.parametrize("name", ZOO)
def test_every_net_can_be_drawn(name):
    import matplotlib.pyplot as plt

    net = ZOO[name]()
    figure = net.draw()
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert "×".join(map(str, net.input)) in texts
    assert "×".join(map(str, net.output())) in texts or any("mean" in text for text in texts)
    pathways = 2 if "slowfast" in name else 1
    assert len(texts) < 50 * pathways, "deep networks must fit on a page"
    plt.close(figure)


def test_a_picture_is_written_and_a_wrong_ending_is_refused(tmp_path, capsys):
    from vidlearn.cli import main

    assert main(["nets", "slow_fusion", "--draw", str(tmp_path / "net.png")]) == 0
    assert (tmp_path / "net.png").stat().st_size > 1000
    assert main(["nets", "slow_fusion", "--draw", str(tmp_path / "net.nonsense")]) == 2
    assert "nonsense" in capsys.readouterr().err
    assert not (tmp_path / "net.nonsense").exists()
    assert main(["nets", "--draw", str(tmp_path / "all.png")]) == 2


def test_a_batch_too_large_for_the_kernels_grid_goes_another_way(monkeypatch):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 2, 3, 4, 4)), rng.standard_normal((2, 1, 2, 3, 3))
    with installed():
        from vidlearn.layers import fast_cupy

        monkeypatch.setattr(fast_cupy, "MOST", 3)
        monkeypatch.setattr(fast_cupy, "_compiled", None)  # the kernel must not be asked
        got = fast_cupy.conv3d(arrays.from_numpy(x, "cupy"), arrays.from_numpy(w, "cupy"), groups=2).get()
    np.testing.assert_allclose(got, layers.conv3d(x, w, groups=2), rtol=1e-12)


# ------------------------------------------------------------------ sentences


@pytest.mark.parametrize(
    ("given", "error", "sentence"),
    [
        (torch.rand(1, 3, 2, 48, 48), ValueError, r"^timesformer: model.*: expected a grid of 2×2×2 patches.*, got 2×3×3"),
        (torch.rand(3, 2, 32, 32), ValueError, r"^x: expected a batch .* x\[None\]"),
        (torch.zeros(1, 3, 2, 32, 32, dtype=torch.uint8), TypeError, r"^x: expected floating-point numbers"),
        ([1], TypeError, r"^x: expected a tensor of shape \(N, …\), got list"),
    ],
)
def test_a_module_says_what_it_cannot_take(given, error, sentence):
    module = nets.timesformer(5, 2, 32, depth=1, width=24, heads=2).to_torch()
    with pytest.raises(error, match=sentence):
        module(given)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: nets.vivit_b(classes=0), r"^n_out: expected an integer of at least 1, got 0"),
        (lambda: nets.mvit_v1_b(classes="x"), r"^n_out: expected an integer of at least 1, got 'x'"),
        (lambda: nets.slowfast(fast_width=0), r"^frames, fast_width, lateral_ratio: expected at least 1 each"),
        (lambda: nets.slowfast(weak="gray"), r"^weak: expected one of 'none', 'grey'"),
        (lambda: Conv(0, 3, (3, 3)), r"^c_in: expected an integer of at least 1, got 0"),
    ],
)
def test_numbers_that_make_no_network_are_refused(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()


def test_swapped_arguments_of_forward_are_a_sentence():
    with pytest.raises(TypeError, match=r"^weights: expected arrays by name, got ndarray; it is forward\(x, weights\)"):
        TINY.forward({}, np.zeros((1, *TINY.input)))
