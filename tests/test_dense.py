"""Dense flow: what a user may rely on, for the definition and for every fast path."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from vidlearn import flow
from vidlearn.flow import dense_reference

torch = pytest.importorskip("torch", reason="not run, because torch is not installed: pip install 'vidlearn[torch]'")


def in_torch(I0, I1, **options):
    answer = flow.dense.on("torch")(torch.as_tensor(I0.copy()), torch.as_tensor(I1.copy()), **options)
    return answer.numpy()


IMPLEMENTATIONS = {"reference": flow.dense.reference, "numpy": flow.dense.on("numpy"), "torch": in_torch}
QUALITIES = ("fast", "high")
everywhere = pytest.mark.parametrize("dense", IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS)
in_fast_paths = pytest.mark.parametrize("dense", [IMPLEMENTATIONS["numpy"], in_torch], ids=["numpy", "torch"])
at_both_qualities = pytest.mark.parametrize("quality", QUALITIES)


def texture(height, width, dtype=np.float64, seed=0):
    """Smooth noise, [0, 1]: five binomial blurs of white noise."""
    image = np.random.default_rng(seed).random((height, width))
    for _ in range(5):
        for axis in (0, 1):
            image = (np.roll(image, 1, axis) + 2 * image + np.roll(image, -1, axis)) / 4
    return ((image - image.min()) / (image.max() - image.min())).astype(dtype)


def moved(height, width, u, v, dtype=np.float64, seed=0):
    """Two frames cut from one texture, (u, v) whole pixels apart; nothing wraps around."""
    margin = max(abs(u), abs(v)) + 1
    world = texture(height + 2 * margin, width + 2 * margin, dtype, seed)
    cut = [world[margin - y : margin - y + height, margin - x : margin - x + width] for x, y in ((0, 0), (u, v))]
    return cut[0], cut[1]


def error(found, u, v):
    return np.hypot(found[..., 0] - u, found[..., 1] - v)


# ------------------------------------------------------------------ the fast paths are the definition


@in_fast_paths
@at_both_qualities
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (9, 1), (3, 5), (16, 17), (40, 61), (97, 64)], ids=str)
def test_a_fast_path_agrees_with_the_definition(dense, quality, shape):
    I0, I1 = moved(*shape, 1, 1)
    expected = flow.dense.reference(I0, I1, quality=quality)
    np.testing.assert_allclose(dense(I0, I1, quality=quality), expected, rtol=0, atol=1e-9)


@in_fast_paths
@at_both_qualities
def test_in_single_precision_a_fast_path_agrees_to_a_thousandth_of_a_pixel(dense, quality):
    # a weight is at most 1/EPSILON_DATA = 1000, so rounding of 6e-8 may grow to about 1e-4 in a solution; times warps
    I0, I1 = moved(60, 83, 3, -2, np.float32)
    expected = flow.dense.reference(I0, I1, quality=quality)
    np.testing.assert_allclose(dense(I0, I1, quality=quality), expected, rtol=0, atol=1e-3)


@everywhere
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_answer_has_the_dtype_of_the_frames(dense, dtype):
    I0, I1 = moved(20, 33, 1, 0, dtype)
    assert dense(I0, I1).dtype == dtype
    assert dense(I0, I1).shape == (20, 33, 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_computed_in_single_precision(dtype):
    I0, I1 = (torch.as_tensor(I.copy()).to(dtype) for I in moved(24, 30, 1, 1))
    expected = flow.dense(I0.float(), I1.float())
    found = flow.dense(I0, I1)
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected.to(dtype))


def test_frames_are_left_as_they_were():
    for dense in IMPLEMENTATIONS.values():
        frames = moved(24, 30, 1, 1)
        before = [I.copy() for I in frames]
        dense(*frames)
        assert all(np.array_equal(a, b) for a, b in zip(frames, before, strict=True))


def test_calls_do_not_share_memory():
    I0, I1 = moved(24, 30, 1, 1)
    first = flow.dense(I0, I1)
    kept = first.copy()
    flow.dense(I1, I0)
    assert np.array_equal(first, kept)


# ------------------------------------------------------------------ motions whose answer is known


@in_fast_paths
@at_both_qualities
@pytest.mark.parametrize(("u", "v"), [(1, 0), (0, -3), (-7, 5), (20, -11), (40, 0), (-28, 28)])
def test_a_translation_is_found_to_a_twentieth_of_a_pixel(dense, quality, u, v):
    I0, I1 = moved(240, 320, u, v, np.float32)
    assert np.median(error(dense(I0, I1, quality=quality), u, v)) < 0.05


@everywhere
@at_both_qualities
def test_identical_frames_do_not_move_at_all(dense, quality):
    I = texture(40, 50)
    assert not dense(I, I, quality=quality).any()


@everywhere
@at_both_qualities
def test_flat_frames_do_not_move_whatever_their_brightness(dense, quality):
    flat = np.full((20, 30), 0.5)
    assert not dense(flat, flat + 0.25, quality=quality).any()


@everywhere
@at_both_qualities
@pytest.mark.parametrize("degrees", [0, 30, 45, 90])
def test_a_grating_moves_along_its_normal_only(dense, quality, degrees):
    normal = np.array([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))])
    y, x = np.mgrid[:64, :80].astype(float)

    def grating(x, y):
        return 0.5 + 0.4 * np.sin(2 * np.pi / 12 * (x * normal[0] + y * normal[1]))

    motion = np.array([1.2, 0.7])
    found = dense(grating(x, y), grating(x - motion[0], y - motion[1]), quality=quality)
    tangential = found @ [-normal[1], normal[0]]
    assert np.abs(tangential).max() < 0.02
    inner = found[8:-8, 8:-8] - normal * (normal @ motion)
    assert np.median(np.hypot(*np.moveaxis(inner, -1, 0))) < 0.05


@everywhere
def test_color_is_reduced_to_luma(dense):
    I0, I1 = moved(24, 30, 1, 1)
    gray = dense(I0, I1)
    colored = dense(*(np.stack([I, I, I], axis=-1) for I in (I0, I1)))
    np.testing.assert_allclose(colored, gray, atol=1e-9)


# ------------------------------------------------------------------ symmetries


TURNS = {
    "left and right": (lambda I: I[:, ::-1], [[-1, 0], [0, 1]]),
    "up and down": (lambda I: I[::-1], [[1, 0], [0, -1]]),
    "a quarter turn": (np.rot90, [[0, -1], [1, 0]]),
    "x and y": (lambda I: I.swapaxes(0, 1), [[0, 1], [1, 0]]),
}


@everywhere
@at_both_qualities
@pytest.mark.parametrize(("turn", "matrix"), TURNS.values(), ids=TURNS)
@pytest.mark.parametrize("shape", [(48, 64), (49, 62)], ids=str)
def test_turning_the_frames_turns_the_flow(dense, quality, turn, matrix, shape):
    I0, I1 = moved(*shape, 2, -1, np.float32)
    straight = dense(I0, I1, quality=quality)
    turned = dense(np.ascontiguousarray(turn(I0)), np.ascontiguousarray(turn(I1)), quality=quality)
    np.testing.assert_allclose(turned, turn(straight @ np.array(matrix, np.float32)), atol=1e-3)


# ------------------------------------------------------------------ bad weather


@everywhere
@at_both_qualities
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (1, 9), (9, 1), (2, 2), (3, 5), (8, 8), (15, 16)], ids=str)
def test_tiny_frames_get_a_finite_answer(dense, quality, shape):
    I0, I1 = moved(*shape, 1, 0)
    found = dense(I0, I1, quality=quality)
    assert found.shape == (*shape, 2)
    assert np.isfinite(found).all()


@everywhere
@at_both_qualities
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_broken_pixel_harms_its_neighborhood_only(dense, quality, bad):
    I0, I1 = moved(64, 80, 1, 1)
    whole = dense(I0, I1, quality=quality)
    broken = I0.copy()
    broken[30, 40] = bad
    found = dense(broken, I1, quality=quality)
    assert np.isfinite(found).all()
    away = np.ones(I0.shape, bool)
    away[30 - 12 : 30 + 13, 40 - 12 : 40 + 13] = False
    assert np.abs(found - whole)[away].max() < 0.05


@everywhere
def test_frames_without_a_single_known_pixel_do_not_move(dense):
    unknown = np.full((12, 14), np.nan)
    assert not dense(unknown, unknown).any()


@everywhere
def test_an_unknown_quality_is_refused_by_name(dense):
    I = texture(8, 8)
    with pytest.raises(ValueError, match=r"quality: expected 'fast' or 'high', got 'best'"):
        dense(I, I, quality="best")


def test_frames_of_different_size_are_refused():
    with pytest.raises(ValueError, match="I1"):
        flow.dense(np.zeros((8, 8)), np.zeros((8, 9)))


# ------------------------------------------------------------------ the steps


def test_the_solver_lowers_the_residual_of_its_system():
    rng = np.random.default_rng(0)
    slopes = rng.normal(size=(3, 2, 9, 11))
    tensor = np.einsum("cihw,cjhw->ijhw", slopes, slopes)
    bonds = rng.random((8, 11)), rng.random((9, 10))
    force = rng.normal(size=(9, 11, 2))
    d = dense_reference.conjugate_gradients(tensor, bonds, force, 60)
    back = np.einsum("ijhw,hwj->hwi", tensor, d) + dense_reference.stretch(bonds, d)
    np.testing.assert_allclose(back, force, atol=1e-8)


def test_cubic_warping_reproduces_a_parabola():
    y, x = np.mgrid[:12, :14].astype(float)
    u = np.full((12, 14, 2), [0.3, -0.4])
    I = 0.01 * (x * x + x * y - y * y)
    expected = 0.01 * ((x + 0.3) ** 2 + (x + 0.3) * (y - 0.4) - (y - 0.4) ** 2)
    np.testing.assert_allclose(dense_reference.warp_cubic(I, u)[3:-3, 3:-3], expected[3:-3, 3:-3], atol=1e-12)


def test_what_has_left_the_frame_has_no_weight():
    u = np.zeros((4, 6, 2))
    u[..., 0] = 2
    np.testing.assert_array_equal(dense_reference.inside_weight(u)[0], [1, 1, 1, 1, 0, 0])


# ------------------------------------------------------------------ real scenes


BARS = {  # mean endpoint error (px) of the best of scikit-image ILK and TV-L1 and OpenCV's DIS medium, per scene
    "Dimetrodon": 0.153,
    "Grove2": 0.232,
    "RubberWhale": 0.223,
    "Urban3": 1.296,
}


@pytest.fixture(scope="module")
def scenes():
    folder = os.environ.get("VIDLEARN_REAL_DATA")
    if not folder:
        pytest.skip("not run, because VIDLEARN_REAL_DATA does not name a folder with flow/<scene>/frame10.png …")
    cv2 = pytest.importorskip("cv2", reason="not run, because OpenCV is not installed: pip install 'vidlearn[video]'")
    from vidlearn.video import read_flo

    found = {}
    for name in BARS:
        scene = Path(folder) / "flow" / name
        frames = [cv2.imread(str(scene / f), cv2.IMREAD_GRAYSCALE) for f in ("frame10.png", "frame11.png")]
        found[name] = [*(np.asarray(I, np.float32) / 255 for I in frames), read_flo(scene / "flow10.flo")]
    return found


def mean_error(scene, quality):
    I0, I1, truth = scene  # NaN where the truth is unknown
    return float(np.nanmean(np.linalg.norm(flow.dense(I0, I1, quality=quality) - truth, axis=-1)))


def test_high_quality_beats_the_peers_on_every_real_scene(scenes):
    errors = {name: mean_error(scene, "high") for name, scene in scenes.items()}
    assert {name for name in errors if errors[name] >= BARS[name]} == set(), errors


def test_fast_beats_the_best_mean_of_the_peers(scenes):
    best_peer_mean = 0.508  # TV-L1 over these four scenes; ILK 0.619, DIS medium 0.672
    assert np.mean([mean_error(scene, "fast") for scene in scenes.values()]) < best_peer_mean
