"""Transformers as trees: the decks' counts, the published networks' answers, and who learns of what."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from tests.support import published
from tests.support.fake_cupy import installed
from vidlearn import arrays, nets, transformers
from vidlearn.nets.nodes import Conv, Residual, Sequential
from vidlearn.nets.tokens import Attend, LayerNorm, OnGrid, PatchEmbed, Positions, Tokens

torch = pytest.importorskip("torch", reason="not run, because torch is not installed: pip install 'vidlearn[torch]'")

TINY = published.TINY
SMALL = {
    **{f"timesformer {scheme}": nets.timesformer(3, **TINY, scheme=scheme) for scheme in transformers.SCHEMES},
    "vivit_b": nets.vivit_b(3, 4, 8, depth=2, time_depth=1, width=12, heads=2, tubelet=(2, 4, 4)),
    "vtn": nets.vtn(3, 6, 8, depth=1, time_depth=2, width=12, heads=2, patch=4, window=3),
    "mvit_v1_b": nets.mvit_v1_b(3, 4, 32),
    "mvit_v2_s": nets.mvit_v2_s(3, 4, 32),
}
LARGE = ("mvit_v1_b", "mvit_v2_s")  # whose depth and features no argument changes
small = pytest.mark.parametrize(
    "net", [pytest.param(net, marks=[pytest.mark.slow] * (name in LARGE), id=name) for name, net in SMALL.items()]
)


def drawn(net, seed=0, dtype="float64"):
    weights = published.random_weights(net.shapes(), seed)
    if net.name.startswith("mvit"):  # sixteen blocks of hundreds of features: small steps keep the numbers small
        weights = {n: 0.1 * w if w.ndim > 1 else w for n, w in weights.items()}
    clip = np.random.default_rng(seed + 1).random((2, *net.input))
    return clip.astype(dtype), {name: w.astype(dtype) for name, w in weights.items()}


# ------------------------------------------------------------------ the decks' numbers


@pytest.mark.parametrize(
    ("scheme", "millions"), [("S", 85.9), ("ST", 85.9), ("T+S", 121.4), ("L+G", 121.4), ("T+W+H", 156.8)]
)
def test_timesformers_parameters_are_the_decks(scheme, millions):
    """SJTU · TimeSFormer, for the 174 classes of Something-Something."""
    assert round(nets.timesformer(174, scheme=scheme).parameters() / 1e6, 1) == millions


def test_multiply_accumulates_and_parameters_are_the_published_ones():
    assert round(3 * nets.timesformer().macs() / 1e12, 2) == 0.59  # SJTU · TimeSFormer: TFLOPs of three views
    for name, parameters, billions in (("mvit_v1_b", 36610672, 70.599), ("mvit_v2_s", 34537744, 64.224)):
        net = nets.zoo()[name]()
        assert net.parameters() == parameters  # as torchvision says of its weights
        assert round(net.macs() / 1e9, 3) == billions
    assert round(nets.vivit_b().parameters() / 1e6, 1) == 115.1  # Arnab et al. 2021, table 2


@small
def test_multiply_accumulates_are_half_of_what_torch_counts(net):
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        net.to_torch().eval()(torch.empty(1, *net.input))
    assert counter.get_total_flops() == 2 * net.macs()


# ------------------------------------------------------------------ the same answers


@small
def test_numpy_torch_and_cupy_compute_the_same(net):
    x, weights = drawn(net)
    want = net.forward(x, weights)
    assert np.abs(want[0] - want[1]).max() > 1e-3, "two clips must differ, or nothing is tested"
    close = {"rtol": 1e-9, "atol": 1e-9 * np.abs(want).max()}
    in_torch = {n: torch.from_numpy(w) for n, w in weights.items()}
    np.testing.assert_allclose(net.forward(torch.from_numpy(x), in_torch).numpy(), want, **close)
    with torch.no_grad():
        np.testing.assert_allclose(net.to_torch(weights).eval()(torch.from_numpy(x)).numpy(), want, **close)
    with installed():
        on_device = {n: arrays.from_numpy(w, "cupy") for n, w in weights.items()}
        np.testing.assert_allclose(net.forward(arrays.from_numpy(x, "cupy"), on_device).get(), want, **close)


@pytest.mark.parametrize("scheme", published.SCHEMES)
def test_timesformer_answers_as_hugging_faces_port_did(scheme):
    """With the weights' official names; space only is answered frame by frame there, and so it is asked here."""
    frames, size = TINY["frames"], TINY["size"]
    x = published.clip(frames, size)
    if scheme == "S":
        frames, x = 1, np.moveaxis(x, 2, 1).reshape(-1, 3, 1, size, size)
    net = nets.timesformer(3, **{**TINY, "frames": frames}, scheme=scheme)
    got = net.forward(x, published.random_weights(net.shapes()))
    np.testing.assert_allclose(got, published.kept_answers()[scheme], rtol=1e-9)


def test_the_kept_answers_are_those_of_hugging_faces_port():
    reason = published.missing("torchvision") or published.missing("transformers")
    if reason:
        pytest.skip(reason)
    kept = published.kept_answers()
    for scheme, answers in published.timesformer_answers().items():
        np.testing.assert_allclose(answers, kept[scheme], rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize("size", [32, 64])
def test_torchvisions_mvit_weights_load_unchanged_and_give_the_same_answer(name, size):
    reason = published.missing("torchvision")
    if reason:
        pytest.skip(reason)
    theirs = published.mvit(name, 4, size).double().eval()
    net = nets.zoo()[name](400, 4, size)
    x, weights = drawn(net)
    theirs.load_state_dict({n: torch.from_numpy(w) for n, w in weights.items()})  # strict: every name, every shape
    ours = net.to_torch().double().eval()
    ours.load_state_dict(theirs.state_dict())
    with torch.no_grad():
        want = theirs(torch.from_numpy(x)).numpy()
        close = {"rtol": 1e-9, "atol": 1e-9 * np.abs(want).max()}
        np.testing.assert_allclose(ours(torch.from_numpy(x)).numpy(), want, **close)
    np.testing.assert_allclose(net.forward(x, weights), want, **close)


# ------------------------------------------------------------------ who learns of what


def test_space_alone_can_not_tell_a_clip_from_its_frames_shuffled():
    for scheme in transformers.SCHEMES:
        net = SMALL[f"timesformer {scheme}"]
        x, weights = drawn(net)
        backwards = x[:, :, ::-1].copy()
        same = np.allclose(net.forward(backwards, weights), net.forward(x, weights), rtol=1e-9)
        assert same == (scheme == "S")
        untimed = {n: 0 * w if n.endswith("time_embed") else w for n, w in weights.items()}
        if scheme != "L+G":  # whose sparse step sees every second frame
            np.testing.assert_allclose(net.forward(backwards, untimed), net.forward(x, untimed), rtol=1e-9)


def test_vivit_learns_the_order_of_frames_from_its_second_encoder_alone():
    net = SMALL["vivit_b"]
    x, weights = drawn(net)
    swapped = x.reshape(2, 3, 2, 2, 8, 8)[:, :, ::-1].reshape(x.shape)  # moments, of two frames each
    assert not np.allclose(net.forward(swapped, weights), net.forward(x, weights), rtol=1e-3)
    weights["temporal.pos_embed"] = np.zeros_like(weights["temporal.pos_embed"])
    np.testing.assert_allclose(net.forward(swapped, weights), net.forward(x, weights), rtol=1e-9)


@pytest.mark.parametrize("scheme", ["S", "ST", "T+S"])
def test_after_one_block_a_token_knows_whom_its_scheme_reaches(scheme):
    """By gradients; the other two schemes' second step passes everything on through the class token."""
    net = nets.timesformer(3, **{**TINY, "depth": 1, "frames": 3, "size": 12}, scheme=scheme)
    x, weights = drawn(net)
    module, found = net.to_torch(weights).eval(), {}
    part = dict(module.named_modules())["model"]
    part.patch_embed.register_forward_hook(lambda _m, _i, y: found.update(before=y.requires_grad_()))
    part.blocks.register_forward_hook(lambda _m, _i, y: found.update(after=y))
    module(torch.from_numpy(x[:1]))
    patches = (
        found["after"].reshape(1, -1, 10, 12)[:, :, 1:].reshape(27, 12) if scheme == "S" else found["after"][0, 1:]
    )
    reached = np.zeros((27, 27), bool)
    for i, token in enumerate(patches):
        (gradient,) = torch.autograd.grad(token.square().sum(), found["before"], retain_graph=True)
        reached[i] = (gradient[0] != 0).any(-1).numpy()
    np.testing.assert_array_equal(reached, transformers.reachable(3, 3, 3, scheme))


@pytest.mark.parametrize(
    ("scheme", "steps"),
    [
        ("S", {"attn": (1, 224, 224)}),
        ("ST", {"attn": (8, 224, 224)}),
        ("T+S", {"temporal_attn": (8, 16, 16), "attn": (8, 224, 224)}),
        ("L+G", {"local_attn": (8, 112, 112), "attn": (8, 224, 224)}),
        ("T+W+H", {"temporal_attn": (8, 16, 16), "width_attn": (8, 16, 224), "attn": (8, 224, 224)}),
    ],
)
def test_the_receptive_field_of_a_patch_grows_step_by_step(scheme, steps):
    rows = {row.path: row.clipped for row in nets.timesformer(scheme=scheme).rows()}
    assert {name: rows[f"model.blocks.0.{name}.attend"] for name in steps} == steps
    assert rows["model.head"] == (8, 224, 224)


def test_vtns_frames_see_a_window_more_with_each_layer_and_its_class_token_sees_all():
    rows = {row.path: row.clipped[0] for row in nets.vtn().rows()}
    assert [rows[f"temporal.blocks.{i}.attn.attend"] for i in range(3)] == [33, 65, 97]
    assert rows["spatial.class"] == 1
    assert rows["temporal.class"] == 250


def test_mvit_sees_everything_after_its_first_attention_but_its_tokens_become_fewer():
    rows = {row.path: row for row in nets.mvit_v2_s().rows()}
    assert rows["conv_proj"].clipped == (3, 7, 7)
    assert rows["blocks.0.attn.pool_k.pool"].clipped == (7, 15, 15)
    assert rows["blocks.0.attn"].clipped == (16, 224, 224)
    shapes = [rows[f"blocks.{i}.mlp.3"].shape for i in (0, 1, 3, 14)]
    assert shapes == [(1 + 8 * n * n, c) for n, c in ((56, 96), (28, 192), (14, 384), (7, 768))]


# ------------------------------------------------------------------ training, copying, other types


@small
def test_every_weight_learns(net):
    x, weights = drawn(net)
    module = net.to_torch(weights)
    module(torch.from_numpy(x)).square().sum().backward()
    idle = {name for name, p in module.named_parameters() if p.grad is None or not bool((p.grad != 0).any())}
    last = "blocks.15.attn."  # its answer is the class token's, which no convolution pools and which is at no distance
    places = {f"{last}{name}" for name in ("rel_pos_h", "rel_pos_w", "rel_pos_t", "pool_q.pool.weight")}
    assert idle == (places if net.name == "mvit_v2_s" else set())


def test_a_copy_of_a_module_has_weights_of_its_own():
    net = SMALL["timesformer T+S"]
    x, weights = drawn(net)
    module = net.to_torch(weights).eval()
    other = copy.deepcopy(module)
    with torch.no_grad():
        other.model.cls_token.zero_()
        want, got = module(torch.from_numpy(x)), other(torch.from_numpy(x))
    np.testing.assert_allclose(want.numpy(), net.forward(x, weights), rtol=1e-9)
    np.testing.assert_allclose(
        got.numpy(), net.forward(x, {**weights, "model.cls_token": 0 * weights["model.cls_token"]}), rtol=1e-9
    )


@small
def test_half_precision_goes_through(net):
    x, weights = drawn(net, dtype="float32")
    want = net.forward(x, weights)
    halves = {n: torch.from_numpy(w).bfloat16() for n, w in weights.items()}
    got = net.forward(torch.from_numpy(x).bfloat16(), halves)
    assert got.dtype == torch.bfloat16
    np.testing.assert_allclose(got.float().numpy(), want, atol=0.2 * np.abs(want).max())


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: nets.timesformer(scheme="TS"), "scheme: expected one of S, ST, .*got 'TS'"),
        (lambda: nets.timesformer(size=100), "size: expected a multiple of the patch's 16, got 100"),
        (lambda: nets.mvit_v1_b(size=48), "size: expected a multiple of 32, got 48"),
        (lambda: nets.mvit_v2_s(frames=3), "frames: expected a multiple of 2, got 3"),
        (lambda: nets.vivit_b(frames=9), "multiples of the tubelet's"),
        (lambda: nets.vtn(window=32), "window: expected an odd number, got 32"),
        (lambda: nets.vtn(size=24), "size: expected a multiple of the patch's 16, got 24"),
        (lambda: nets.timesformer(heads=7).rows(), r"attn\.attend .*heads: expected a divisor of 768 features, got 7"),
        (lambda: nets.timesformer(frames=7, scheme="L+G"), "frames: expected an even number for 'stride'"),
        (lambda: nets.timesformer().rows((3, 4, 224, 224)), r"timesformer: model.*: expected a grid of 8×14×14 .*, got 4×14×14"),
        (
            lambda: nets.timesformer().rows((3, 8, 224, 225)),
            r"patch_embed\.proj .*multiples of \(1, 16, 16\), got shape",
        ),
        (lambda: nets.timesformer().rows((1, 8, 224, 224)), r"patch_embed\.proj .*channels: expected 3, got 1"),
        (lambda: nets.mvit_v1_b().rows((3, 16, 256, 256)), r"tokens .*: expected a grid of 8×56×56 .*, got 8×64×64"),
    ],
)
def test_what_can_not_be_is_said_in_a_sentence(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_layers_that_want_tokens_say_so_to_a_grid():
    for layer in (Attend(1, (1, 2, 2)), OnGrid(Conv(1, 1, (1, 1, 1)), (1, 2, 2)), Positions(1, 4, ())):
        with pytest.raises(ValueError, match=r"tokens \(L, D\), got shape \(3, 1, 2, 2\)"):
            nets.Net("grid", layer, (3, 1, 2, 2)).rows()


def test_names_of_parts_without_a_name_may_not_collide():
    twice = tuple(("", Residual((("norm", LayerNorm(4)),), after=())) for _ in range(2))
    with pytest.raises(ValueError, match="'norm' among"):
        Sequential(twice)
    embed = Sequential((("proj", PatchEmbed(3, 4, (2, 2))), ("", Positions(1, 1, ()))))
    with pytest.raises(ValueError, match="a name of its own"):
        Sequential((("", embed), ("proj", Tokens())))


@pytest.mark.parametrize("name", ["timesformer", "mvit_v2_s", "vivit_b", "vtn"])
def test_a_clip_of_another_grid_is_refused_although_it_has_as_many_patches(name):
    """Tokens have places: as many of them at other places would be answered, and wrongly."""
    net = {
        "timesformer": lambda: nets.timesformer(5, 2, 64, depth=1, width=24, heads=2),
        "mvit_v2_s": lambda: nets.mvit_v2_s(5, 4, 64),
        "vivit_b": lambda: nets.vivit_b(5, 4, 64, depth=1, time_depth=1, width=24, heads=2),
        "vtn": lambda: nets.vtn(5, 4, 64, depth=1, time_depth=1, width=24, heads=2),
    }[name]()
    c, t, h, w = net.input
    for shape in ((c, 4 * t, h // 2, w // 2), (c, t, h // 2, 2 * w)):
        with pytest.raises(ValueError, match=r"expected a grid of .* patches, which this network was built for"):
            net.output(shape)
        with pytest.raises(ValueError, match=r"expected a grid"):
            net.to_torch()(torch.rand(1, *shape))


def test_weights_have_one_owner_however_they_are_set():
    net = nets.timesformer(5, 2, 32, depth=1, width=24, heads=2)
    x = torch.rand(2, *net.input)
    state = {n: 0.1 * torch.randn_like(v) for n, v in net.to_torch().state_dict().items()}
    modules = [net.to_torch().eval() for _ in range(3)]
    modules[0].load_state_dict(state)
    modules[1].load_state_dict(state, assign=True)
    with torch.no_grad():
        want = modules[0](x)
        torch.testing.assert_close(modules[1](x), want)
        torch.testing.assert_close(torch.func.functional_call(modules[2], state, (x,)), want)


def test_parts_without_a_name_hear_of_training_and_keep_their_statistics():
    from vidlearn.nets.nodes import Conv, Dropout, Norm, Sequential

    net = nets.Net(
        "unnamed",
        Sequential((("a", Conv(2, 2, (1, 1, 1))), ("", Sequential((("n", Norm(2)), ("d", Dropout())))))),
        (2, 2, 3, 3),
    )
    module = net.to_torch().eval()
    x = torch.rand(2, *net.input)
    torch.testing.assert_close(module(x), module(x))
    assert {n for n in module.state_dict() if not n.endswith("num_batches_tracked")} == set(net.shapes())


def test_an_exported_transformer_takes_batches_of_any_size():
    module = nets.timesformer(5, 2, 32, depth=1, width=24, heads=2).to_torch().eval()
    x = torch.rand(2, 3, 2, 32, 32)
    exported = torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim("clips")},)).module()
    other = torch.rand(5, 3, 2, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(exported(other), module(other))
