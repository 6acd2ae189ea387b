"""Attention beyond what its specs say: its memory, its kernel on the CPU, and the equalities between its names."""

from __future__ import annotations

import importlib
import tracemalloc

import numpy as np
import pytest

import vidlearn as vl
from tests.support import nvrtc
from tests.support.fake_cupy import installed
from vidlearn import nonlocal_attention as na
from vidlearn.judge import judge
from vidlearn.nonlocal_attention import fast

RNG = np.random.default_rng(0)

# ------------------------------------------------------------------ one thing under several names


def test_attention_is_a_nonlocal_mean_whose_queries_are_scaled():
    q, k, v = (RNG.normal(size=(2, n, 8)) for n in (5, 7, 7))
    np.testing.assert_allclose(na.attention(q, k, v), na.nonlocal_mean(q / np.sqrt(8), k, v), rtol=1e-13)


def test_a_nonlocal_block_is_self_attention_with_one_head_and_a_way_around():
    x = RNG.normal(size=(2, 4, 3, 2, 5))
    w_theta, w_phi, w_g, w_z = (RNG.normal(size=(4, 4)) / 2 for _ in range(4))
    tokens = x.reshape(2, 4, -1).transpose(0, 2, 1)
    attended = na.multi_head_attention(tokens, np.concatenate([2.0 * w_theta, w_phi, w_g]), w_z)  # 2 = √4
    np.testing.assert_allclose(
        na.nonlocal_block(x, w_g, w_z, w_theta, w_phi), x + attended.transpose(0, 2, 1).reshape(x.shape), rtol=1e-12
    )


def test_gaussian_is_the_embedded_gaussian_without_an_embedding():
    x, eye = RNG.normal(size=(1, 3, 2, 3, 2)), np.eye(3)
    w_g, w_z = RNG.normal(size=(3, 3)), RNG.normal(size=(3, 3))
    np.testing.assert_allclose(
        na.nonlocal_block(x, w_g, w_z, pairwise="gaussian"), na.nonlocal_block(x, w_g, w_z, eye, eye), rtol=1e-13
    )


def test_macs_count_what_the_block_multiplies():
    """torch's own count of the block's products, halved, for every neighborhood and with sub-sampling."""
    torch = pytest.importorskip(
        "torch", reason="not run, because torch is not installed: pip install 'vidlearn[torch]'"
    )
    from torch.utils.flop_counter import FlopCounterMode

    from vidlearn.nets import Net
    from vidlearn.nets.nodes import non_local

    for pool in ((1, 1, 1), (1, 2, 2)):
        block = Net("block", non_local(8, 4, pool), (8, 3, 4, 6))
        expected = int(na.nonlocal_macs(8, 4, 3, 4, 6, subsample=pool[1]))
        assert block.macs() == expected
        with (
            torch.device("meta"),
            FlopCounterMode(display=False) as counter,
        ):  # where no fused kernel hides its products
            block.to_torch().eval()(torch.zeros(1, 8, 3, 4, 6))
        assert counter.get_total_flops() == 2 * expected


# ------------------------------------------------------------------ memory

POSITIONS = 16 * 56 * 56


@pytest.mark.parametrize("name", ["attention", "nonlocal_mean", "pairwise_weights"])
def test_the_whole_form_says_what_it_would_need_before_it_tries(name):
    q = np.zeros((1, POSITIONS, 2))
    tracemalloc.start()
    with pytest.raises(MemoryError, match=r"50,176 queries × 50,176 keys need 20\.1 GB .*online_attention"):
        getattr(na, name)(*[q] * (2 if name == "pairwise_weights" else 3))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6


def test_online_attention_grows_with_the_positions_and_not_with_their_square():
    peaks = []
    for n in (1000, 2000, 4000):
        q, k, v = (RNG.normal(size=(1, n, 4)) for _ in range(3))
        tracemalloc.start()
        na.online_attention.reference(q, k, v, tile=64)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] / peaks[0] == pytest.approx(2, rel=0.1)
    assert peaks[2] / peaks[1] == pytest.approx(2, rel=0.1)


@pytest.mark.slow
def test_online_attention_handles_a_whole_feature_map_of_16_frames_within_a_gigabyte():
    q, k, v = (RNG.normal(size=(1, POSITIONS, 8)).astype(np.float32) for _ in range(3))
    tracemalloc.start()
    y = na.online_attention(q, k, v)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e9
    some = [0, POSITIONS // 2, POSITIONS - 1]
    np.testing.assert_allclose(y[:, some], na.attention(q[:, some], k, v), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["attention", "online_attention", "nonlocal_mean", "nonlocal_block", "multi_head_attention"]
)
def test_torch_takes_its_fused_kernel_whatever_the_layout(name):
    """Where it doesn't, it says nothing and holds all weights."""
    torch = pytest.importorskip(
        "torch", reason="not run, because torch is not installed: pip install 'vidlearn[torch]'"
    )
    operation = vl.operation(name)
    inputs = operation.spec.large((64, 64), np.random.default_rng(0))
    given = {n: torch.as_tensor(v) if isinstance(v, np.ndarray) else v for n, v in inputs.items()}
    if name in ("attention", "online_attention", "nonlocal_mean"):  # features last, but not side by side
        given = {n: v.transpose(1, 2).contiguous().transpose(1, 2) for n, v in given.items()}
    with torch.profiler.profile() as profile:
        operation(**given)
    ran = {event.key for event in profile.key_averages()}
    assert any("flash" in event for event in ran), ran
    assert "aten::_scaled_dot_product_attention_math" not in ran


# ------------------------------------------------------------------ the kernel

#: N, L, M, D, E: around the edges of tiles of 64 queries, 32 keys and 16 features
SHAPES = [(1, 1, 1, 1, 1), (2, 65, 33, 3, 17), (1, 70, 40, 64, 64), (3, 5, 70, 16, 2), (1, 20, 18, 130, 40)]


def on_fake(q, k, v, sanitize=False, **rest):
    with installed(sanitize) as cp:
        online_attention = importlib.import_module("vidlearn.nonlocal_attention.fast_cupy").online_attention
        return online_attention(*map(cp.asarray, (q, k, v)), **rest).get()


def drawn(shape, dtype):
    N, L, M, D, E = shape
    return tuple(RNG.normal(size=s).astype(dtype) for s in ((N, L, D), (N, M, D), (N, M, E)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_kernel_agrees_with_the_reference(shape, dtype):
    q, k, v = drawn(shape, dtype)
    got = on_fake(q, k, v)
    assert got.dtype == dtype
    want = na.attention.reference(*(a.astype(float) for a in (q, k, v)))
    tolerance = 200 * np.finfo(dtype).eps  # scores of a few units, sums of at most a hundred
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("sanitize", ["memory", "races"])
@pytest.mark.parametrize("shape", SHAPES[:4], ids=str)
def test_kernel_stays_in_bounds_and_has_no_race(shape, sanitize):
    q, k, v = drawn(shape, "float32")
    np.testing.assert_allclose(on_fake(q, k, v, sanitize), na.attention.reference(q, k, v), rtol=1e-4, atol=1e-5)


def test_kernel_outlives_scores_that_overflow():
    q, k, v = np.full((1, 1, 1), 400.0), np.array([[[0.0], [4.0]] * 40]), np.array([[[5.0], [7.0]] * 40])
    np.testing.assert_array_equal(on_fake(q, k, v), [[[7.0]]])


def test_a_tile_of_scores_that_overflow_to_minus_infinity_is_forgotten():
    q = np.full((1, 1, 1), 1e30, np.float32)
    k, v = np.array([[[-1e30], [1.0]]], np.float32), np.array([[[5.0], [7.0]]], np.float32)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(na.online_attention.reference(q, k, v, tile=1), [[[7.0]]])
        np.testing.assert_array_equal(fast.online_attention(q, k, v, tile=1), [[[7.0]]])


@pytest.mark.parametrize(("dtype", "score"), [("float32", -3.2e38), ("float64", -1e40)])
def test_kernel_answers_the_only_key_however_low_its_score(dtype, score):
    q, k, v = (np.full((1, 1, 1), n, dtype) for n in (1.0, score, 5.0))
    np.testing.assert_array_equal(on_fake(q, k, v, scale=1.0), [[[5.0]]])


def test_a_numpy_scalar_does_not_change_the_dtype():
    q = np.ones((1, 2, 3), np.float32)
    assert na.attention(q, q, q, scale=np.float64(0.5)).dtype == np.float32


def test_features_too_wide_for_shared_memory_go_tile_by_tile():
    q, k, v = drawn((1, 3, 5, 700, 4), "float64")
    np.testing.assert_allclose(on_fake(q, k, v, tile=2), na.attention.reference(q, k, v), rtol=1e-12)


@pytest.mark.parametrize(
    ("real", "itemsize", "features"),
    [("float", 4, 64), ("float", 4, 128), ("float", 4, 192), ("double", 8, 32), ("double", 8, 64), ("double", 8, 96)],
)
def test_kernel_compiles_for_the_gpu_with_the_tiles_that_are_chosen(real, itemsize, features):
    if nvrtc.why_not():
        pytest.skip(nvrtc.why_not())
    with installed():
        module = importlib.import_module("vidlearn.nonlocal_attention.fast_cupy")
        tile = next(t for t in module.TILES if module._shared(*t, features, features, itemsize) <= module.SHARED)
        kernel = module._compiled(real, *tile, features, features)
    assert b"attention_tiled" in nvrtc.compile_cuda(kernel.code, kernel.options)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_form_for_every_library_is_right_too(dtype):
    """What serves where no fused kernel does: wide features on CuPy, float64 on torch's GPU."""
    pytest.importorskip("torch", reason="not run, because torch is not installed: pip install 'vidlearn[torch]'")
    verdict = judge(fast.online_attention, vl.operation("online_attention"), backend="torch", dtype=dtype, strict=True)
    assert verdict.right, verdict.text()


# ------------------------------------------------------------------ bad input


def test_a_mask_that_shuts_out_everything_is_refused():
    q = np.ones((1, 2, 3))
    mask = np.array([[True, False], [False, False]])
    with pytest.raises(ValueError, match=r"^mask: expected at least one True for each of the 2 queries"):
        na.attention(q, q, q, mask)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"pairwise": "concatenation"}, r"^w_f: expected an array for 'concatenation', got None"),
        ({"w_f": np.ones(4)}, r"^w_f: expected None for 'embedded gaussian', got an array"),
        ({"pairwise": "concatenation", "w_f": np.ones(3)}, r"^w_f: expected 4 numbers"),
    ],
)
def test_w_f_belongs_to_the_concatenation(given, sentence):
    x = np.ones((1, 3, 2))
    with pytest.raises(ValueError, match=sentence):
        na.pairwise_weights(x, x, **given)


def test_a_block_is_held_to_what_its_pairwise_function_needs():
    x, one = np.ones((1, 2, 2, 2, 2)), np.ones((2, 2))
    with pytest.raises(ValueError, match=r"^w_theta: expected weights for 'embedded gaussian', got None"):
        na.nonlocal_block(x, one, one)
    with pytest.raises(ValueError, match=r"^w_theta: expected None for 'gaussian'"):
        na.nonlocal_block(x, one, one, one, one, pairwise="gaussian")
    with pytest.raises(ValueError, match=r"^subsample: expected 1 over time"):
        na.nonlocal_block(x, one, one, one, one, over="time", subsample=2)
    with pytest.raises(ValueError, match=r"^subsample: expected at most the frame's 4 rows or columns, got 9"):
        na.nonlocal_macs(8, 4, 2, 4, 4, subsample=9)


def test_heads_divide_the_features():
    x = np.ones((1, 2, 3))
    with pytest.raises(ValueError, match=r"^heads: expected a divisor of the 3 features, got 2"):
        na.multi_head_attention(x, np.ones((9, 3)), np.ones((3, 3)), heads=2)
    with pytest.raises(ValueError, match=r"^w_qkv: expected 9 rows"):
        na.multi_head_attention(x, np.ones((6, 3)), np.ones((3, 3)))


# ------------------------------------------------------------------ pictures


def test_pictures_draw_what_they_are_given_and_refuse_the_rest():
    plt = pytest.importorskip(
        "matplotlib.pyplot", reason="not run, because Matplotlib is not installed: pip install 'vidlearn[notebooks]'"
    )
    plt.switch_backend("Agg")
    from vidlearn.nonlocal_attention import plots

    weights = np.zeros((3, 2, 2))
    weights[1, 0, 1] = 1
    drawn = {
        "attention_map": plots.attention_map(np.full((3, 8, 8, 3), 0.5), weights, (0, 1, 1)),
        "pairwise_functions": plots.pairwise_functions(np.eye(3), np.eye(3)),
        "online_softmax": plots.online_softmax([1.0, 0.0, 2.0], tile=2),
        "memory": plots.memory({"all": {8: 512.0, 16: 2048.0}}, refused_from=12).figure,
    }
    assert set(drawn) == set(plots.__all__)
    shares = [ax.get_xlabel() for ax in drawn["attention_map"].axes]
    assert shares == ["0 % of the weight", "100 % of the weight", "0 % of the weight"]
    for figure in drawn.values():
        figure.canvas.draw()
        assert np.ptp(np.asarray(figure.canvas.buffer_rgba())[..., :3]) > 0
    plt.close("all")
    with pytest.raises(ValueError, match=r"^query: expected a position"):
        plots.attention_map(np.ones((3, 8, 8)), weights, (3, 0, 0))
    with pytest.raises(ValueError, match=r"^weights: expected \(T, h, w\)"):
        plots.attention_map(np.ones((2, 8, 8)), weights, (0, 0, 0))


def test_more_samples_than_a_launch_takes_go_in_several(monkeypatch):
    torch = pytest.importorskip(
        "torch", reason="not run, because torch is not installed: pip install 'vidlearn[torch]'"
    )
    from vidlearn.nonlocal_attention import fast_torch

    monkeypatch.setattr(fast_torch, "LAUNCH", 3)
    q, k, v = (torch.rand(8, 1, n, 4) for n in (2, 5, 5))
    whole = torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=0.3)
    torch.testing.assert_close(fast_torch._in_launches(q, k, v, None, 0.3), whole)
