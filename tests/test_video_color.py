"""The colour of a flow: the Middlebury wheel, to the byte."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidlearn.video import VideoError, color_wheel_key, flow_to_color


@pytest.mark.parametrize(
    ("uv", "color"),
    [
        ((1, 0), (255, 0, 0)),
        ((0, 1), (255, 229, 0)),
        ((-1, 0), (0, 209, 255)),
        ((0, -1), (88, 0, 255)),
        ((0.5, 0.5), (255, 155, 74)),
        ((0, 0), (255, 255, 255)),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_colors_are_those_of_the_middlebury_wheel(uv, color, dtype):
    picture = flow_to_color(np.array([[uv]], dtype), max_flow=1)
    assert picture.dtype == np.uint8
    assert tuple(picture[0, 0]) == color


def test_beyond_the_unit_radius_colors_darken():
    assert flow_to_color(np.array([[[2.0, 0.0]]]), max_flow=1)[0, 0].tolist() == [191, 0, 0]


@pytest.mark.parametrize("unknown", [np.nan, np.inf, -np.inf, 1.7e9, -1.7e9])
def test_unknown_flow_is_black_and_does_not_set_the_scale(unknown):
    flow = np.array([[[3.0, 0.0], [unknown, 0.0], [0.0, unknown]]])
    assert flow_to_color(flow)[0].tolist() == [[255, 0, 0], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("flow", [np.zeros((3, 4, 2)), np.full((3, 4, 2), np.nan), np.zeros((0, 4, 2))])
def test_flows_with_no_motion_to_scale_by_are_shown_too(flow):
    picture = flow_to_color(flow)
    assert picture.shape == (*flow.shape[:2], 3)
    assert (picture == np.where(np.isnan(flow[..., :1]), 0, 255)).all()


@given(st.floats(0, 2 * np.pi), st.floats(0.25, 1.0), st.floats(0.1, 100))
def test_only_direction_and_relative_length_matter(angle, radius, unit):
    flow = radius * np.array([[[np.cos(angle), np.sin(angle)]]])
    one, other = flow_to_color(flow, max_flow=1.5), flow_to_color(unit * flow, max_flow=1.5 * unit)
    assert abs(one.astype(int) - other).max() <= 1


def test_by_default_the_longest_flow_gets_the_full_color():
    flow = np.array([[[4.0, 0.0], [2.0, 0.0]]])
    np.testing.assert_array_equal(flow_to_color(flow), flow_to_color(flow, max_flow=4))


def test_a_stack_of_flows_is_colored_as_its_flows_are():
    flows = np.random.default_rng(0).normal(size=(3, 4, 5, 2))
    np.testing.assert_array_equal(
        flow_to_color(flows, max_flow=2), np.stack([flow_to_color(flow, max_flow=2) for flow in flows])
    )


def test_the_key_shows_each_direction_where_it_points():
    key = color_wheel_key(101)
    assert key.shape == (101, 101, 3)
    assert key[50, 100].tolist() == [255, 0, 0]  # right
    assert key[100, 50].tolist() == [255, 229, 0]  # down
    assert key[50, 50].tolist() == [255, 255, 255]
    assert key[0, 0].tolist() == [255, 255, 255]  # outside


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: flow_to_color(np.zeros((2, 4, 5))), r"flow must have shape \(..., H, W, 2\), got \(2, 4, 5\)"),
        (lambda: flow_to_color(np.zeros((4, 5, 2), int)), "flow must be floating point, got int64"),
        (lambda: flow_to_color(np.zeros((4, 5, 2)), max_flow=0), "max_flow must be a length .* got 0"),
        (lambda: flow_to_color(np.zeros((4, 5, 2)), max_flow=np.nan), "max_flow must be a length"),
        (lambda: color_wheel_key(0), "size must be a whole number of pixels from 1 up, got 0"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(call, said):
    with pytest.raises(VideoError, match=said):
        call()
