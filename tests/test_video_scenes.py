"""Synthetic scenes: the truth is the truth of the motion, to the last bits of the arithmetic."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidlearn import video
from vidlearn.video import (
    affine,
    aliased_stripes,
    barber_pole,
    flat_patch,
    moving_corner,
    moving_edge,
    projective,
    rotation3d,
    scene_from_flow,
    translation,
)

MOVING_PLANES = [translation, affine, projective, rotation3d]
PATTERNS = [moving_edge, moving_corner, flat_patch, aliased_stripes]


def photo(color=True):
    pytest.importorskip("skimage", reason="not run, because scikit-image is not installed")
    return video.photograph("coffee" if color else "camera")


def targets(scene):
    y, x = np.mgrid[: scene.I0.shape[0], : scene.I0.shape[1]].astype(float)
    return x + scene.flow[..., 0], y + scene.flow[..., 1]


def warped(scene, order=3):
    ndimage = pytest.importorskip("scipy.ndimage", reason="not run, because SciPy is not installed: pip install scipy")
    x, y = targets(scene)
    channels = np.atleast_3d(scene.I1)
    out = [ndimage.map_coordinates(c, [y, x], order=order, mode="mirror") for c in np.moveaxis(channels, -1, 0)]
    return np.stack(out, axis=-1).reshape(scene.I1.shape)


def check_form(scene):
    size = scene.I0.shape[:2]
    assert scene.I0.shape == scene.I1.shape
    assert scene.flow.shape == (*size, 2)
    assert scene.valid.shape == size and scene.valid.dtype == bool
    for image in (scene.I0, scene.I1):
        assert image.dtype == np.float64 and image.min() >= 0 and image.max() <= 1
    x, y = targets(scene)
    inside = (x >= 0) & (x <= size[1] - 1) & (y >= 0) & (y <= size[0] - 1)
    assert not (scene.valid & ~inside).any()


def check_truth(scene):
    """The second frame, as a function of the plane: I1 on the grid, and I0 where the flow leads."""
    y, x = np.mgrid[: scene.I1.shape[0], : scene.I1.shape[1]].astype(float)
    np.testing.assert_allclose(scene.second(x, y), scene.I1, rtol=0, atol=1e-12)
    np.testing.assert_allclose(scene.second(*targets(scene)), scene.I0, rtol=0, atol=1e-12)


@pytest.mark.parametrize("make", MOVING_PLANES)
@pytest.mark.parametrize("kind", ["texture", "grey photograph", "color photograph"])
def test_the_truth_of_a_moving_plane_is_exact(make, kind):
    scene = make(None if kind == "texture" else photo(kind.startswith("color")), size=(40, 56))
    check_form(scene)
    check_truth(scene)
    assert scene.name == make.__name__
    assert scene.I0.shape == ((40, 56, 3) if kind.startswith("color") else (40, 56))


@pytest.mark.parametrize("make", PATTERNS)
@pytest.mark.parametrize("rgb", [False, True])
def test_the_truth_of_a_moving_pattern_is_exact(make, rgb):
    scene = make(rgb=rgb, size=(33, 48))
    check_form(scene)
    check_truth(scene)
    assert scene.name == make.__name__
    assert scene.I0.shape == ((33, 48, 3) if rgb else (33, 48))


@settings(max_examples=25)
@given(st.tuples(st.integers(-9, 9), st.integers(-7, 7)), st.integers(0, 5))
def test_moving_by_whole_pixels_is_shifting_the_picture(displacement, seed):
    u, v = displacement
    scene = translation(displacement=displacement, size=(20, 24), seed=seed)
    padded = np.pad(scene.I1, 10, constant_values=np.nan)
    shifted = padded[10 + v : 30 + v, 10 + u : 34 + u]
    assert (scene.valid == ~np.isnan(shifted)).all()
    np.testing.assert_allclose(scene.I0[scene.valid], shifted[scene.valid], rtol=0, atol=1e-12)


@pytest.mark.parametrize("make", MOVING_PLANES)
@pytest.mark.parametrize("color", [False, True])
def test_a_photograph_warped_back_by_the_truth_is_the_first_frame(make, color):
    # The only error left is the interpolator's, on the sharpest edges: far less than a grey level on average.
    scene = make(photo(color))
    error = abs(warped(scene) - scene.I0)[scene.valid]
    assert error.mean() < 0.0012
    assert error.max() < 0.05
    assert error.mean() < 0.05 * abs(scene.I1 - scene.I0)[scene.valid].mean()


@pytest.mark.parametrize("make", [*PATTERNS, barber_pole])
def test_a_pattern_warped_back_by_the_truth_is_the_first_frame(make):
    scene = make()
    assert abs(warped(scene) - scene.I0)[scene.valid].max() < 0.005


@pytest.mark.parametrize("make", [translation, affine, projective, rotation3d, moving_corner])
def test_the_truth_explains_the_frames_better_than_its_opposite(make):
    scene = make()
    right = abs(warped(scene) - scene.I0)[scene.valid].mean()
    wrong = video.Scene(scene.I0, scene.I1, -scene.flow, scene.valid, "backwards")
    assert right < 0.1 * abs(warped(wrong) - scene.I0)[scene.valid].mean()


def test_parameters_mean_what_the_motion_models_say():
    a = [0.5, 0.02, -0.03, -0.25, 0.03, 0.01, 2e-4, -1e-4]
    y, x = np.mgrid[-20:21, -30:31].astype(float)
    flow = projective(parameters=a, size=(41, 61)).flow
    np.testing.assert_allclose(flow[..., 0], a[0] + a[1] * x + a[2] * y + a[6] * x**2 + a[7] * x * y, atol=1e-12)
    np.testing.assert_allclose(flow[..., 1], a[3] + a[4] * x + a[5] * y + a[6] * x * y + a[7] * y**2, atol=1e-12)
    np.testing.assert_allclose(
        affine(parameters=a[:6], size=(41, 61)).flow, projective(parameters=[*a[:6], 0, 0], size=(41, 61)).flow
    )
    np.testing.assert_allclose(
        translation(displacement=(2, 3), size=(4, 5)).flow, np.broadcast_to([2.0, 3.0], (4, 5, 2))
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_small_turn_of_the_camera_moves_the_picture_as_the_first_order_formula_says(axis):
    angle, f = 1e-4, 80.0
    wx, wy, wz = omega = angle * np.eye(3)[axis]
    y, x = np.mgrid[-20:21, -30:31].astype(float)
    u = wx * x * y / f - wy * (f + x**2 / f) + wz * y
    v = wx * (f + y**2 / f) - wy * x * y / f - wz * x
    flow = rotation3d(rotation=omega, focal=f, size=(41, 61)).flow
    np.testing.assert_allclose(flow, np.stack([u, v], -1), atol=3 * angle**2 * f)


def test_turning_the_camera_there_and_back_leads_every_pixel_home():
    there, size, f = np.array([0.02, -0.05, 0.1]), (21, 31), 40.0
    flow = rotation3d(rotation=there, focal=f, size=size).flow
    y, x = np.mgrid[-10:11, -15:16].astype(float)
    rays = np.stack([x, y, np.full_like(x, f)], -1)
    moved = np.stack([x + flow[..., 0], y + flow[..., 1], np.full_like(x, f)], -1)
    # A rotation keeps the angles between rays.
    unit = [r / np.linalg.norm(r, axis=-1, keepdims=True) for r in (rays, moved)]
    np.testing.assert_allclose(
        np.einsum("hwc,c->hw", unit[0], unit[0][3, 4]), np.einsum("hwc,c->hw", unit[1], unit[1][3, 4]), atol=1e-12
    )


def test_stripes_that_move_by_a_wavelength_seem_to_stand():
    scene = aliased_stripes(8.0, wavelength=8.0, angle=30)
    np.testing.assert_allclose(scene.I1, scene.I0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(scene.flow, axis=-1), 8)


def test_on_the_barber_pole_sliding_sideways_looks_like_climbing():
    scene = barber_pole(3.0, wavelength=12.0, angle=45.0)
    check_form(scene)
    pole = scene.flow[..., 0] != 0
    climbed = np.roll(scene.I0, 3, axis=0)  # the same stripes, moved down by 3 instead of to the right
    inner = pole & (np.arange(96)[:, None] >= 3)
    np.testing.assert_allclose(scene.I1[inner], climbed[inner], atol=1e-12)
    np.testing.assert_array_equal(scene.I0[~pole], scene.I1[~pole])
    assert (pole & ~scene.valid).sum() == 3 * 96  # the columns that pass under its side


def test_the_brightness_of_an_edge_changes_across_it_only():
    scene = moving_edge(angle=90)
    assert np.ptp(scene.I0, axis=1).max() < 1e-12
    assert scene.I0[-1, 0] > 0.9 > 0.1 > scene.I0[0, 0]


def test_any_flow_at_all_can_be_a_scene_s_truth():
    y, x = np.mgrid[:40, :50] / 8.0
    check_truth(scene_from_flow(np.stack([np.sin(y), np.cos(x * y / 9)], -1), seed=3))


def test_a_seed_draws_the_same_scene_and_another_seed_another():
    one, same, other = translation(seed=1), translation(seed=1), translation(seed=2)
    np.testing.assert_array_equal(one.I0, same.I0)
    assert abs(one.I0 - other.I0).mean() > 0.05
    assert one.I0.std() > 0.1


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 2)])
def test_tiny_scenes_and_images_work(size):
    check_truth(translation(size=size))
    check_truth(translation(np.full(size, 0.5), size=(3, 3)))


def test_a_scene_travels_to_another_process():
    for scene in (moving_edge(rgb=True), translation(), barber_pole()):
        again = pickle.loads(pickle.dumps(scene))
        np.testing.assert_array_equal(again.I0, scene.I0)
    check_truth(pickle.loads(pickle.dumps(moving_edge(rgb=True))))


def test_a_scene_can_not_be_changed():
    with pytest.raises(AttributeError):
        translation().name = "mine"


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: translation(np.zeros((4, 4), np.uint8)), TypeError, "image must be floating point .* got uint8"),
        (lambda: translation(np.full((4, 4), 2.0)), ValueError, r"image must lie in \[0, 1\], got 2 … 2"),
        (lambda: translation(np.full((4, 4), np.nan)), ValueError, r"image must lie in \[0, 1\]"),
        (lambda: translation(np.zeros((4, 4, 4))), ValueError, r"image must have shape .* got \(4, 4, 4\)"),
        (lambda: translation(displacement=(1, 2, 3)), ValueError, "displacement must be 2 numbers"),
        (lambda: translation(displacement=(1, np.nan)), ValueError, "displacement must be finite"),
        (lambda: translation(size=(0, 4)), ValueError, "size must be"),
        (lambda: translation(size=(4.0, 4)), ValueError, "size must be"),
        (lambda: translation(np.zeros((4, 4)), scale=0), ValueError, "scale must be a number above 0, got 0"),
        (lambda: affine(parameters=(1, 2)), ValueError, "parameters must be 6 numbers"),
        (lambda: projective(parameters="12345678"), ValueError, "parameters must be 8 numbers"),
        (lambda: rotation3d(rotation=(0, 2, 0)), ValueError, "turns part of the picture behind the camera"),
        (lambda: rotation3d(focal=-1), ValueError, "focal must be"),
        (lambda: scene_from_flow(np.zeros((2, 4, 5))), ValueError, r"flow must have shape .* got \(2, 4, 5\)"),
        (lambda: scene_from_flow(np.zeros((4, 5, 2), int)), ValueError, "flow must be finite and floating"),
        (lambda: moving_edge(softness=0), ValueError, "softness must be"),
        (lambda: flat_patch(level=2), ValueError, "level must lie in"),
        (lambda: aliased_stripes(wavelength=-1), ValueError, "wavelength must be"),
        (lambda: barber_pole(width=100), ValueError, "width must be"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(call, error, said):
    with pytest.raises(error, match=said):
        call()


@pytest.mark.parametrize(("make", "model", "count"), [(affine, "affine", 6), (projective, "projective", 8)])
def test_scenes_and_motion_models_speak_of_the_same_parameters(make, model, count):
    from vidlearn import flow

    a = np.array([0.5, 0.02, -0.03, -0.25, 0.03, 0.01, 2e-4, -1e-4])[:count]
    np.testing.assert_allclose(
        make(parameters=a, size=(20, 31)).flow, flow.motion_field(a, 20, 31, model=model), rtol=0, atol=1e-12
    )
