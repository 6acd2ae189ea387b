"""Flow in other libraries' layouts, and back."""

import numpy as np
import pytest

from vidlearn import arrays
from vidlearn.video import (
    from_channels_first,
    from_row_column,
    to_channels_first,
    to_raft,
    to_row_column,
    translation,
)

PAIRS = [(to_channels_first, from_channels_first), (to_row_column, from_row_column), (to_raft, from_channels_first)]


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize(("there", "back"), PAIRS)
def test_a_flow_returns_as_it_went(there, back, backend):
    if backend == "torch":
        pytest.importorskip("torch", reason="not run, because PyTorch is not installed: pip install 'vidlearn[torch]'")
    flow = np.random.default_rng(0).normal(size=(3, 4, 5, 2)).astype(np.float32)
    returned = back(there(arrays.from_numpy(flow, backend)))
    assert arrays.backend_of(returned) == backend
    np.testing.assert_array_equal(arrays.to_numpy(returned), flow)


def test_each_layout_is_the_one_it_says():
    flow = np.zeros((4, 5, 2))
    flow[..., 0], flow[..., 1] = 3, 7  # right, down
    assert to_channels_first(flow).shape == (2, 4, 5)
    assert to_channels_first(flow)[:, 0, 0].tolist() == [3, 7]
    assert to_row_column(flow)[:, 0, 0].tolist() == [7, 3]
    assert to_raft(flow).shape == (1, 2, 4, 5)
    assert to_raft(flow[None]).shape == (1, 2, 4, 5)


def test_scikit_image_means_the_same_motion():
    registration = pytest.importorskip(
        "skimage.registration", reason="not run, because scikit-image is not installed: pip install 'vidlearn[video]'"
    )
    scene = translation(displacement=(1.5, -0.75), size=(48, 64))
    found = from_row_column(registration.optical_flow_ilk(scene.I0, scene.I1))
    assert np.median(np.linalg.norm(found - scene.flow, axis=-1)) < 0.2


@pytest.mark.parametrize("there", [to_channels_first, to_row_column, to_raft])
def test_what_is_no_flow_is_refused(there):
    with pytest.raises(ValueError, match=r"flow must have shape \(\.\.\., H, W, 2\), got \(2, 4, 5\)"):
        there(np.zeros((2, 4, 5)))


@pytest.mark.parametrize("back", [from_channels_first, from_row_column])
def test_what_is_no_flow_of_theirs_is_refused(back):
    with pytest.raises(ValueError, match=r"flow must have shape \(\.\.\., 2, H, W\), got \(4, 5, 2\)"):
        back(np.zeros((4, 5, 2)))
