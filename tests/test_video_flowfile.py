"""Flow files: bit for bit there and back, NaN where unknown, and a sentence for whatever is malformed."""

import os
import pathlib
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vidlearn.video import VideoError, read_flo, read_kitti_flow, write_flo, write_kitti_flow

REAL = os.environ.get("VIDLEARN_REAL_DATA")
needs_real_data = pytest.mark.skipif(not REAL, reason="not run, because VIDLEARN_REAL_DATA is not set")
sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))


def flows(elements):
    return sizes.flatmap(lambda size: hnp.arrays(np.float32, (*size, 2), elements=elements))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("flow")


# .flo


@given(flow=flows(st.floats(-1e9, 1e9, width=32)))
def test_a_known_flow_returns_from_flo_bit_for_bit(folder, flow):
    write_flo(folder / "a.flo", flow)
    back = read_flo(folder / "a.flo")
    assert back.dtype == np.float32
    assert back.tobytes() == flow.tobytes()
    assert back.flags.writeable


@given(flow=flows(st.floats(width=32)))
def test_unknown_flow_is_nan_in_both_components_and_stays_so(folder, flow):
    write_flo(folder / "a.flo", flow)
    back = read_flo(folder / "a.flo")
    known = (np.abs(flow) <= 1e9).all(-1)
    np.testing.assert_array_equal(back[known], flow[known])
    assert np.isnan(back[~known]).all()
    first = (folder / "a.flo").read_bytes()
    write_flo(folder / "a.flo", back)
    assert (folder / "a.flo").read_bytes() == first


def test_the_bytes_of_flo_are_those_of_its_definition(tmp_path):
    flow = np.arange(12, dtype=np.float64).reshape(2, 3, 2)
    write_flo(tmp_path / "a.flo", flow)
    header = np.float32(202021.25).tobytes() + np.array([3, 2], "<i4").tobytes()
    assert (tmp_path / "a.flo").read_bytes() == header + flow.astype("<f4").tobytes()


def test_opencv_reads_what_is_written(tmp_path):
    cv2 = pytest.importorskip("cv2", reason="not run, because OpenCV is not installed: pip install 'vidlearn[video]'")
    flow = np.random.default_rng(0).normal(size=(5, 7, 2)).astype(np.float32)
    write_flo(tmp_path / "a.flo", flow)
    np.testing.assert_array_equal(cv2.readOpticalFlow(str(tmp_path / "a.flo")), flow)


@needs_real_data
@pytest.mark.parametrize("name", ["Dimetrodon", "Grove2", "RubberWhale", "Urban3"])
def test_a_real_flo_file_returns_byte_for_byte(tmp_path, name):
    original = pathlib.Path(REAL) / "flow" / name / "flow10.flo"
    write_flo(tmp_path / "a.flo", read_flo(original))
    assert (tmp_path / "a.flo").read_bytes() == original.read_bytes()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"HEIP" + bytes(20), "is not a .flo file: it begins with b'HEIP'"),
        (b"PIEH\x01\0\0\0", "is cut off inside its header: 8 bytes of 12"),
        (b"PIEH" + np.array([-1, 4], "<i4").tobytes(), "its header gives the size -1x4"),
        (b"PIEH" + np.array([1 << 30, 1 << 30], "<i4").tobytes(), "its header gives the size 1073741824x1073741824"),
        (b"PIEH" + np.array([3, 2], "<i4").tobytes() + bytes(47), r"has 59 bytes; a flow of 3x2 .* has 60"),
        (b"PIEH" + np.array([3, 2], "<i4").tobytes() + bytes(49), r"has 61 bytes; a flow of 3x2 .* has 60"),
    ],
)
def test_a_malformed_flo_file_is_named_and_explained(tmp_path, data, said):
    (tmp_path / "bad.flo").write_bytes(data)
    with pytest.raises(VideoError, match=said) as caught:
        read_flo(tmp_path / "bad.flo")
    assert "bad.flo" in str(caught.value)


# KITTI


@given(data=st.data(), size=sizes)
def test_every_flow_that_kitti_can_hold_returns_bit_for_bit(folder, data, size):
    pytest.importorskip("cv2", reason="not run, because OpenCV is not installed: pip install 'vidlearn[video]'")
    steps = data.draw(hnp.arrays(np.int32, (*size, 2), elements=st.integers(-32768, 32767)))
    valid = data.draw(hnp.arrays(bool, size))
    flow = (steps / 64).astype(np.float32)
    write_kitti_flow(folder / "a.png", flow, valid)
    back, known = read_kitti_flow(folder / "a.png")
    np.testing.assert_array_equal(known, valid)
    assert back.dtype == np.float32
    assert back[valid].tobytes() == flow[valid].tobytes()
    assert np.isnan(back[~valid]).all()


def test_kitti_pixels_are_those_of_the_development_kit(tmp_path):
    cv2 = pytest.importorskip("cv2", reason="not run, because OpenCV is not installed: pip install 'vidlearn[video]'")
    flow = np.array([[[1.0, -1.0], [1000.0, -1000.0], [np.nan, 3.0], [5.0, 5.0], [0.009, -0.007]]])
    write_kitti_flow(tmp_path / "a.png", flow, np.array([[True, True, True, False, True]]))
    pixels = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)[..., ::-1]
    expected = [[32832, 32704, 1], [65535, 0, 1], [0, 0, 0], [0, 0, 0], [32769, 32768, 1]]
    assert pixels.dtype == np.uint16
    assert pixels[0].tolist() == expected


def test_a_malformed_kitti_file_is_named_and_explained(tmp_path):
    cv2 = pytest.importorskip("cv2", reason="not run, because OpenCV is not installed: pip install 'vidlearn[video]'")
    cv2.imwrite(str(tmp_path / "eight.png"), np.zeros((4, 4, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "grey.png"), np.zeros((4, 4), np.uint16))
    (tmp_path / "noise.png").write_bytes(bytes(100))
    (tmp_path / "empty.png").touch()
    for name, said in {
        "eight.png": "is uint8 of shape",
        "grey.png": r"is uint16 of shape \(4, 4\); a KITTI flow file is a 16-bit RGB image",
        "noise.png": "is not an image, or is damaged",
        "empty.png": "is empty",
        "missing.png": "there is no such file",
    }.items():
        with pytest.raises(VideoError, match=said):
            read_kitti_flow(tmp_path / name)


# Both


@pytest.mark.parametrize(("write", "name"), [(write_flo, "a.flo"), (write_kitti_flow, "a.png")])
@pytest.mark.parametrize(
    ("flow", "said"),
    [
        (np.zeros((2, 4, 5)), r"flow must have shape \(H, W, 2\), got \(2, 4, 5\); from_channels_first converts"),
        (np.zeros((4, 5)), r"flow must have shape \(H, W, 2\), got \(4, 5\)"),
        (np.zeros((4, 0, 2)), r"got \(4, 0, 2\)"),
        (np.zeros((4, 5, 2), int), r"flow must be floating point, got int64; convert"),
    ],
)
def test_what_is_no_flow_is_refused_and_nothing_is_left(tmp_path, write, name, flow, said):
    with pytest.raises(VideoError, match=said):
        write(tmp_path / name, flow)
    assert list(tmp_path.iterdir()) == []


def test_other_arguments_of_write_kitti_flow_are_checked(tmp_path):
    flow = np.zeros((4, 5, 2))
    with pytest.raises(VideoError, match=r"valid must be bool of shape \(4, 5\), got uint8 of shape \(4, 5\)"):
        write_kitti_flow(tmp_path / "a.png", flow, np.ones((4, 5), np.uint8))
    with pytest.raises(VideoError, match=r"must end in \.png"):
        write_kitti_flow(tmp_path / "a.jpg", flow)


def test_without_opencv_kitti_names_the_command(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(VideoError, match=r"OpenCV.*pip install 'vidlearn\[video\]'"):
        write_kitti_flow(tmp_path / "a.png", np.zeros((2, 2, 2)))
