"""The real data: there without a download, and as true as it is said to be."""

import sys

import numpy as np
import pytest

from vidlearn.video import PHOTOGRAPHS, VideoError, VideoWarning, clip_path, photograph, read, real_pair


def skimage():
    return pytest.importorskip("skimage", reason="not run, because scikit-image is not installed")


def test_the_bundled_clip_is_small_and_has_a_note_of_its_origin():
    assert clip_path().stat().st_size <= 300_000
    note = (clip_path().parent / "README.md").read_text(encoding="utf-8")
    for word in ("CC0", "cityCC0.mpg", "pexels", "write("):
        assert word in note


def test_the_bundled_clip_is_one_moving_shot():
    pytest.importorskip("av", reason="not run, because PyAV is not installed")
    clip = read(clip_path()).astype(float)
    assert clip.shape == (48, 180, 320, 3)
    change = abs(np.diff(clip, axis=0)).mean(axis=(1, 2, 3))
    assert change.min() > 1  # it moves everywhere
    assert change.max() < 3 * np.median(change)  # and there is no cut


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_every_photograph_is_there_without_a_download(name, monkeypatch):
    skimage()
    monkeypatch.setitem(sys.modules, "pooch", None)  # scikit-image's downloader
    image = photograph(name)
    assert image.dtype == np.float64
    assert image.ndim == 2 or image.shape[2] == 3
    assert image.min() >= 0 and image.max() <= 1 and image.std() > 0.05


def test_without_scikit_image_the_clip_stands_in_and_says_so(monkeypatch):
    pytest.importorskip("av", reason="not run, because PyAV is not installed")
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.warns(VideoWarning, match=r"'coffee' is scikit-image's.*pip install 'vidlearn\[video\]'"):
        image = photograph("coffee")
    np.testing.assert_array_equal(image, photograph("city"))
    with pytest.raises(VideoError, match=r"scikit-image.*pip install 'vidlearn\[video\]'"):
        real_pair()


def test_an_unknown_photograph_is_refused_with_the_list_of_those_there_are():
    with pytest.raises(VideoError, match="no photograph 'lena'; there are astronaut"):
        photograph("lena")


def test_the_truth_of_the_real_pair_explains_it(monkeypatch):
    skimage()
    monkeypatch.setitem(sys.modules, "pooch", None)
    ndimage = pytest.importorskip("scipy.ndimage", reason="not run, because SciPy is not installed")
    pair = real_pair()
    assert pair.I0.shape == pair.I1.shape == (500, 741, 3) and pair.flow.shape == (500, 741, 2)
    assert np.isfinite(pair.flow[pair.valid]).all() and pair.valid.mean() > 0.85
    lengths = -pair.flow[pair.valid][:, 0]
    assert lengths.min() > 7 and lengths.max() < 60
    y, x = np.mgrid[:500, :741].astype(float)

    def error(sign):
        known = np.nan_to_num(sign * pair.flow)
        at = [y + known[..., 1], x + known[..., 0]]
        warp = np.stack([ndimage.map_coordinates(pair.I1[..., c], at, order=1, mode="nearest") for c in range(3)], -1)
        return abs(warp - pair.I0)[pair.valid].mean()

    assert error(1) < 0.25 * error(0)
    assert error(1) < 0.25 * error(-1)
