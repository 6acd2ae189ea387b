"""What the judge can't say of inflation in one operation: whole networks on boring videos, memory, gradients, pictures."""

from __future__ import annotations

import numpy as np
import pytest

import vidlearn as vl
from vidlearn import inflation, layers

RNG = np.random.default_rng(0)
IMAGE = RNG.normal(size=(2, 3, 9, 9))
W1, B1 = RNG.normal(size=(4, 3, 3, 3)), RNG.normal(size=4)
W2 = RNG.normal(size=(2, 4, 3, 3))


def net2d(image):
    return layers.conv2d(layers.relu(layers.conv2d(image, W1, B1)), W2)


def net3d(clip, inflate, pad):
    for w, b, last in ((W1, B1, False), (W2, None, True)):
        clip = layers.conv3d(pad(clip), inflate(w, 3), b)
        clip = clip if last else layers.relu(clip)
    return clip


def repeat_ends(clip):
    return np.pad(clip, [(0, 0), (0, 0), (1, 1), (0, 0), (0, 0)], mode="edge")


def zeros_around(clip):
    return np.pad(clip, [(0, 0), (0, 0), (1, 1), (0, 0), (0, 0)])


def test_an_inflated_network_says_of_a_boring_video_what_the_2d_network_says_of_its_frame():
    got = net3d(inflation.boring_video(IMAGE, 5), inflation.inflate, lambda clip: clip)
    assert got.shape[2] == 1
    np.testing.assert_allclose(got[:, :, 0], net2d(IMAGE), rtol=1e-10)


def test_repeating_the_end_frames_makes_every_frame_right():
    got = net3d(inflation.boring_video(IMAGE, 4), inflation.inflate, repeat_ends)
    np.testing.assert_allclose(got, inflation.boring_video(net2d(IMAGE), 4), rtol=1e-10)


def test_zeros_around_the_clip_spoil_the_ends_and_deeper_networks_more_frames():
    right = inflation.boring_video(net2d(IMAGE), 6)
    got = net3d(inflation.boring_video(IMAGE, 6), inflation.inflate, zeros_around)
    fine = [bool(np.allclose(got[:, :, t], right[:, :, t])) for t in range(6)]
    assert fine == [False, False, True, True, False, False]


def test_with_zeros_around_three_frames_the_ends_keep_two_thirds():
    clip = inflation.boring_video(IMAGE, 5)
    y = layers.conv3d(clip, inflation.inflate(W1, 3), padding=(1, 0, 0))
    share = y / layers.conv2d(IMAGE, W1)[:, :, None]
    np.testing.assert_allclose(share[:, :, [0, 4]], 2 / 3)
    np.testing.assert_allclose(share[:, :, 1:4], 1)


def test_centered_inflation_answers_a_moving_clip_frame_by_frame():
    clip = RNG.normal(size=(1, 3, 5, 9, 9))
    got = net3d(clip, inflation.inflate_centered, zeros_around)
    for t in range(5):
        np.testing.assert_allclose(got[:, :, t], net2d(clip[:, :, t]), rtol=1e-10)


def test_twenty_flow_channels_make_the_first_layer_20_3_times_as_loud():
    flow = np.ones((1, 20, 3, 3))
    grey = np.ones((1, 3, 3, 3))
    louder = layers.conv2d(flow, inflation.cross_modality(W1, 20)) / layers.conv2d(grey, W1)
    np.testing.assert_allclose(louder, 20 / 3)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("name", ["inflate", "inflate_centered", "boring_video", "cross_modality"])
def test_answers_own_their_memory(name, backend):
    if reason := vl.arrays.available()[backend]:
        pytest.skip(f"not run, because {reason}")
    source = vl.arrays.from_numpy(np.ones((1, 1, 1, 1)), backend)
    answer = getattr(inflation, name)(source, 3)
    flat = answer.reshape(-1)
    flat[0] = 7
    others = flat[1:]
    assert float(source.reshape(-1)[0]) == 1
    assert bool((others != 7).all())


def test_gradients_reach_the_2d_kernel():
    torch = pytest.importorskip("torch", reason="not run, because torch is not installed")
    for inflate in (inflation.inflate, inflation.inflate_centered):
        w = torch.ones(1, 1, 2, 2, dtype=torch.float64, requires_grad=True)
        inflate(w, 3).sum().backward()
        torch.testing.assert_close(w.grad, torch.ones_like(w))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: inflation.inflate(W1, 0), "k_t: expected an integer of at least 1, got 0"),
        (lambda: inflation.inflate_centered(W1, 4), "k_t: expected an odd integer"),
        (lambda: inflation.boring_video(IMAGE[0], 3), r"frame: expected shape \(N, C, H, W\)"),
        (lambda: inflation.cross_modality(W1, 2.0), "channels: expected an integer"),
    ],
)
def test_impossible_values_are_refused_by_name(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


# ------------------------------------------------------------------ pictures

matplotlib = pytest.importorskip(
    "matplotlib", reason="not run, because Matplotlib is not installed: pip install 'vidlearn[notebooks]'"
)
matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402  after the backend is chosen

from vidlearn.inflation import plots  # noqa: E402

PLANE = W1[0, 0]
DRAWN = {
    "filmstrip": lambda: plots.filmstrip(
        PLANE, {f.short: f(W1, 3)[0, 0] for f in (inflation.inflate, inflation.inflate_centered)}
    ),
    "boring_responses": lambda: plots.boring_responses(1.0, {"zeros": [2 / 3, 1.0, 2 / 3]}, window=3),
}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_there_is_a_test_for_every_picture():
    assert set(DRAWN) == set(plots.__all__)


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_can_be_rendered_and_is_not_blank(name):
    drawn = DRAWN[name]()
    figure = drawn if hasattr(drawn, "savefig") else drawn.figure
    figure.canvas.draw()
    assert np.ptp(np.asarray(figure.canvas.buffer_rgba())[..., :3]) > 0


def test_the_filmstrip_shows_the_weights_it_was_given():
    shown = [ax.images[0].get_array() for ax in DRAWN["filmstrip"]().axes if ax.images]
    third = PLANE / 3
    none = np.zeros_like(PLANE)
    for got, want in zip(shown, [PLANE, third, third, third, none, PLANE, none], strict=True):
        np.testing.assert_allclose(np.asarray(got), want)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: plots.filmstrip(W1, {"inflate": W1[0]}), "w2d"),
        (lambda: plots.filmstrip(PLANE, {}), "inflated"),
        (lambda: plots.filmstrip(PLANE, {"inflate": PLANE}), "inflated"),
        (lambda: plots.boring_responses(1.0, {}), "answers3d"),
        (lambda: plots.boring_responses(1.0, {"a": [1.0], "b": [1.0, 2.0]}), "answers3d"),
    ],
)
def test_what_can_not_be_drawn_is_refused_by_name(call, name):
    with pytest.raises(ValueError, match=name):
        call()
