"""What the judge can't say of fusion: published numbers, what breaks, fields that are measured, pictures."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from vidlearn import fusion, layers, nets
from vidlearn.arrays import from_numpy, to_numpy
from vidlearn.fusion.measure import measure_receptive_field, receptive_extent
from vidlearn.nets.nodes import Sequential

RNG = np.random.default_rng(0)

# ------------------------------------------------------------------ what each kind can and can't tell


def spot(start, frames=8):
    """A pixel that is bright in two frames, darker in the second one, beginning at `start`."""
    clip = np.zeros((1, 1, frames, 1, 1))
    clip[0, 0, start, 0, 0], clip[0, 0, start + 1, 0, 0] = 1.0, 0.5
    return clip


def test_late_fusion_with_pooling_is_blind_to_the_order_of_frames_and_with_a_layer_is_not():
    features = RNG.normal(size=(2, 5, 3, 2, 2))
    backwards = features[:, ::-1].copy()
    pool, fc = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 5 * 3 * 2 * 2))
    np.testing.assert_allclose(fusion.late_fusion_pool(backwards, pool), fusion.late_fusion_pool(features, pool))
    assert not np.allclose(fusion.late_fusion_fc(backwards, fc), fusion.late_fusion_fc(features, fc))


def test_slow_fusion_finds_a_motion_later_as_well_and_early_fusion_does_not():
    w = np.array([1.0, -2.0]).reshape(1, 1, 2, 1, 1)
    now, later = (fusion.slow_fusion(spot(start), w) for start in (2, 4))
    np.testing.assert_array_equal(later[:, :, 3:], now[:, :, 1:-2])  # the same answers, two frames later
    long = np.zeros((1, 1, 8, 1, 1))
    long[0, 0, 2:4] = np.array([1.0, 0.5]).reshape(2, 1, 1)  # a detector that waits at frame 2
    answers = [float(fusion.early_fusion(spot(start), long).squeeze()) for start in range(7)]
    assert answers[2] == 1.25
    assert all(answer < 1.25 for start, answer in enumerate(answers) if start != 2)


def test_early_fusion_is_a_3d_convolution_as_long_as_the_clip():
    x, w, b = RNG.normal(size=(2, 3, 4, 5, 6)), RNG.normal(size=(2, 3, 4, 3, 3)), RNG.normal(size=2)
    one = layers.conv3d(x, w, b, padding=(0, 1, 1))
    np.testing.assert_allclose(fusion.early_fusion(x, w, b), one[:, :, 0], atol=1e-12)


def test_slow_fusion_leaves_as_many_frames_as_are_counted():
    for frames, kernel, stride in [(10, 4, 2), (7, 3, 3), (5, 5, 1), (8, 1, 2)]:
        y = fusion.slow_fusion(np.ones((1, 1, frames, 1, 1)), np.ones((1, 1, kernel, 1, 1)), stride=stride)
        assert y.shape[2] == fusion.temporal_extent(frames, kernel, stride)


def test_the_first_layers_of_the_paper_leave_four_frames_and_then_two():
    assert fusion.temporal_extent(10, 4, 2) == 4
    assert fusion.temporal_extent(4, 2, 2) == 2
    assert fusion.temporal_extent(3, 4, 2) == 0


# ------------------------------------------------------------------ receptive fields


def test_the_small_networks_of_the_deck_see_three_then_six_then_fourteen():
    assert fusion.receptive_field(np.array([3, 4, 3]), np.array([1, 4, 1])).tolist() == [3, 6, 14]


def test_a_neuron_of_the_first_linear_layer_of_vgg16_would_see_404_pixels():
    kernels = [3] * 2 + [2] + [3] * 2 + [2] + ([3] * 3 + [2]) * 3 + [7]
    strides = [2 if k == 2 else 1 for k in kernels]
    fields = fusion.receptive_field(np.array(kernels), np.array(strides))
    assert fields[-2:].tolist() == [212, 404]


def test_the_order_of_the_layers_matters():
    pool_last, pool_first = (fusion.receptive_field(np.array(k), np.array(s))[-1]
                             for k, s in [((3, 4), (1, 4)), ((4, 3), (4, 1))])  # fmt: skip
    assert (pool_last, pool_first) == (6, 12)


def without_the_last_layer(make, frames, size):
    """A small network up to conv2: its global pool would see all."""
    net = make(frames=frames, size=size)
    return dataclasses.replace(net, body=Sequential(net.body.steps[:-1]))


@pytest.mark.parametrize("method", ["perturbation", "gradient"])
@pytest.mark.parametrize("make", [nets.late_fusion, nets.early_fusion, nets.slow_fusion], ids=lambda f: f.__name__)
def test_measured_fields_are_those_of_the_networks_rows(make, method):
    pytest.importorskip("torch", reason="not run, because torch is not installed")
    size = 20 if method == "gradient" else 12  # voxel by voxel takes its time; 12 cuts the field off at the border
    net = without_the_last_layer(make, frames=size, size=size)
    weights = {name: from_numpy(w, "torch") for name, w in net.initial(dtype="float64").items()}

    def f(x):
        if method == "gradient":
            return net.forward(x, weights)
        return to_numpy(net.forward(from_numpy(x, "torch"), weights))

    mask = measure_receptive_field(f, net.input, method=method, draws=1 if method == "perturbation" else 40)
    assert receptive_extent(mask) == net.rows()[-1].clipped


def two_layers(x):
    first = layers.conv3d(x, W1, padding=1)
    return layers.conv3d(layers.relu(first), W2, stride=2, padding=2, dilation=2)


W1, W2 = RNG.normal(size=(2, 1, 3, 3, 3)), RNG.normal(size=(2, 2, 3, 3, 3))


def test_both_ways_to_measure_agree_with_each_other_and_with_the_formula():
    pytest.importorskip("torch", reason="not run, because torch is not installed")

    def in_torch(x):
        first = layers.conv3d(x, from_numpy(W1, "torch"), padding=1)
        return layers.conv3d(layers.relu(first), from_numpy(W2, "torch"), stride=2, padding=2, dilation=2)

    shape = (1, 9, 9, 9)
    changed = measure_receptive_field(two_layers, shape, draws=2)
    graded = measure_receptive_field(in_torch, shape, method="gradient", draws=10)
    np.testing.assert_array_equal(changed, graded)
    formula = int(fusion.receptive_field(np.array([3, 3]), np.array([1, 2]), np.array([1, 2]))[-1])
    assert receptive_extent(changed) == (formula,) * 3


def test_at_the_border_a_part_of_the_field_lies_outside():
    mask = measure_receptive_field(two_layers, (1, 9, 9, 9), position=(0, 0, 0), draws=2)
    assert receptive_extent(mask) == (4, 4, 4)  # of seven: three lie before the first voxel


def test_what_no_answer_sees_is_not_marked():
    mask = measure_receptive_field(lambda x: np.ones((len(x), 1, 1)), (1, 2, 2, 2))
    assert not mask.any()
    assert receptive_extent(mask) == (0, 0, 0)


def test_samples_are_asked_in_batches_that_fit(monkeypatch):
    sizes = []

    def f(x):
        sizes.append(len(x))
        return layers.conv3d(x, np.ones((1, 1, 3, 1, 1)), padding=(1, 0, 0))

    whole = measure_receptive_field(f, (1, 5, 2, 2), draws=1)
    monkeypatch.setattr("vidlearn.fusion.measure.BATCH", 60)
    sizes.clear()
    np.testing.assert_array_equal(measure_receptive_field(f, (1, 5, 2, 2), draws=1), whole)
    assert max(sizes) <= 60 // 20 + 1


# ------------------------------------------------------------------ what is refused

X = np.ones((1, 2, 4, 4, 6))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fusion.late_fusion_fc(X, np.ones((3, 5))), "w: expected 192 columns, for 2 frames"),
        (lambda: fusion.early_fusion(X, np.ones((1, 2, 4, 2, 3))), "w: expected an odd"),
        (lambda: fusion.early_fusion(X, np.ones((1, 2, 3, 3, 3))), "w: .*T = 4 from x"),
        (lambda: fusion.slow_fusion(X, np.ones((1, 2, 2, 3, 4))), "w: expected an odd"),
        (lambda: fusion.slow_fusion(X, np.ones((1, 2, 2, 3, 3)), stride=0), "stride"),
        (lambda: fusion.fovea_context(X[..., 1:]), "x: expected an even height and width, got 4×5"),
        (lambda: fusion.receptive_field(np.array([3, 0]), np.array([1, 1])), "kernels: .*at least 1"),
        (lambda: measure_receptive_field(two_layers, (1, 2, 2)), "shape: expected four"),
        (lambda: measure_receptive_field(two_layers, (1, 9, 9, 9), (0, 0, 99)), "position: "),
        (lambda: measure_receptive_field(two_layers, (1, 9, 9, 9), method="guess"), "method: "),
        (lambda: measure_receptive_field(two_layers, (1, 9, 9, 9), draws=0), "draws: "),
    ],
)
def test_impossible_values_are_refused_by_name(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


@pytest.mark.parametrize("name", ["single_frame", "late_fusion_fc", "late_fusion_pool", "early_fusion", "slow_fusion"])
def test_gradients_agree_with_finite_differences(name):
    torch = pytest.importorskip("torch", reason="not run, because torch is not installed")
    shapes = {
        "single_frame": [(2, 3, 4)],
        "late_fusion_fc": [(2, 2, 2, 1, 2), (3, 8), (3,)],
        "late_fusion_pool": [(2, 2, 2, 1, 2), (3, 2), (3,)],
        "early_fusion": [(1, 2, 3, 3, 3), (2, 2, 3, 3, 3), (2,)],
        "slow_fusion": [(1, 2, 3, 3, 3), (2, 2, 2, 3, 3), (2,)],
    }[name]
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(s, dtype=torch.float64, generator=generator, requires_grad=True) for s in shapes]
    assert torch.autograd.gradcheck(getattr(fusion, name), inputs, fast_mode=True)


# ------------------------------------------------------------------ pictures

matplotlib = pytest.importorskip(
    "matplotlib", reason="not run, because Matplotlib is not installed: pip install 'vidlearn[notebooks]'"
)
matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402  after the backend is chosen

from vidlearn.fusion import plots  # noqa: E402

CLIP = np.linspace(0, 1, 5 * 8 * 8 * 3).reshape(5, 8, 8, 3)
SEEN = np.zeros((5, 8, 8), bool)
SEEN[1:3, 2:5, 2:5] = True
DRAWN = {
    "schemes": plots.schemes,
    "field_growth": lambda: plots.field_growth().figure,
    "filmstrip": lambda: plots.filmstrip(CLIP, SEEN),
}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_there_is_a_test_for_every_picture():
    assert {*DRAWN, "reach_scrubber"} == set(plots.__all__)


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_can_be_rendered_and_is_not_blank(name):
    figure = DRAWN[name]()
    figure.canvas.draw()
    assert np.ptp(np.asarray(figure.canvas.buffer_rgba())[..., :3]) > 0


def test_bars_carry_the_fields_clipped_to_the_clip():
    ax = plots.field_growth({"one": ((3, 4, 3, 16), (1, 4, 1, 16))}, frames=20)
    assert [bar.get_height() for bar in ax.patches] == [3, 6, 14, 20]
    with pytest.raises(ValueError, match="networks"):
        plots.field_growth({})


def test_schemes_say_how_many_frames_and_want_enough_of_them():
    assert all(any(t.get_text() == "7 frames" for t in ax.texts) for ax in plots.schemes(7).axes)
    with pytest.raises(ValueError, match="frames"):
        plots.schemes(5)


def test_a_filmstrip_darkens_what_is_not_seen_and_says_which_frames_are():
    figure = plots.filmstrip(CLIP, SEEN, times=(0, 2))
    assert [ax.get_xlabel() for ax in figure.axes] == ["not seen", "seen"]
    shown = np.asarray(figure.axes[1].images[0].get_array())
    np.testing.assert_allclose(shown[SEEN[2]], CLIP[2][SEEN[2]])
    assert (shown[~SEEN[2]] < CLIP[2][~SEEN[2]]).all()
    with pytest.raises(ValueError, match="mask: "):
        plots.filmstrip(CLIP, SEEN[:3])
    with pytest.raises(ValueError, match="clip: "):
        plots.filmstrip((255 * CLIP).astype(np.uint8), SEEN)


def test_a_scrubber_has_a_still_for_every_frame_and_names_the_layers():
    pytest.importorskip("PIL", reason="not run, because Pillow is not installed")
    page = plots.reach_scrubber(CLIP, {"conv1": SEEN, "pool1": ~SEEN}).html
    assert page.count("<img") == len(CLIP)
    assert "conv1, pool1" in page
    with pytest.raises(ValueError, match="masks"):
        plots.reach_scrubber(CLIP, {})
    with pytest.raises(ValueError, match=r"masks\['conv1'\]"):
        plots.reach_scrubber(CLIP, {"conv1": SEEN[1:]})
