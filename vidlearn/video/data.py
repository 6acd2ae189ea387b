"""Real pictures and films that are there without a download."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from .files import VideoError, VideoWarning, missing_package
from .scenes import Scene

__all__ = ["PHOTOGRAPHS", "clip_path", "photograph", "real_pair"]

# Photographs inside scikit-image's wheel. ("city" is the first frame of the clip that comes with vidlearn.)
PHOTOGRAPHS = ("astronaut", "camera", "chelsea", "coffee", "coins", "rocket", "brick", "grass", "gravel", "city")


def clip_path() -> Path:
    """The path of a short real film: 48 frames of 180 x 320 at 12.5 fps, tall buildings in a time lapse, CC0.

    Where it comes from is told in the README beside it.

    Examples
    --------
    >>> clip_path().name
    'city.mp4'
    """
    return Path(__file__).parent / "data" / "city.mp4"


def photograph(name: str = "astronaut") -> np.ndarray:
    """A real photograph, to be looked at or made to move.

    Parameters
    ----------
    name
        One of `PHOTOGRAPHS`. All but ``"city"`` are scikit-image's; without scikit-image a `VideoWarning` says so and
        ``"city"`` comes instead.

    Returns
    -------
    numpy.ndarray
        (H, W, 3), or (H, W) for the grey ones; float64 in [0, 1].

    Raises
    ------
    VideoError
        If there is no photograph of that name, or no package to read it with.

    Examples
    --------
    >>> photograph("coffee").shape
    (400, 600, 3)
    """
    if name not in PHOTOGRAPHS:
        raise VideoError(f"there is no photograph {name!r}; there are {', '.join(PHOTOGRAPHS)}")
    if name != "city":
        try:
            from skimage import data
        except ImportError:
            warnings.warn(
                f"the photograph {name!r} is scikit-image's, which is not installed here: the first frame of the "
                "bundled clip comes instead; pip install 'vidlearn[video]'",
                VideoWarning,
                stacklevel=2,
            )
        else:
            return getattr(data, name)() / 255.0
    from .io import frames

    return next(frames(clip_path())) / 255.0


def real_pair() -> Scene:
    """Two real photographs with measured, dense, sub-pixel flow: the Middlebury 2014 "Motorcycle" stereo pair.

    A camera that moved sideways: the flow is (−disparity, 0), 7 to 60 pixels to the left, larger where nearer. The
    truth was measured with structured light, by the data set's authors. `valid` marks pixels whose truth is known and
    inside I1; some of them are hidden in I1 behind something nearer, as in life. Where the truth is unknown, `flow`
    is NaN.

    Returns
    -------
    Scene
        (500, 741, 3), float64 in [0, 1].

    Raises
    ------
    VideoError
        If scikit-image, whose wheel holds the pair, is not installed.

    References
    ----------
    D. Scharstein et al., "High-resolution stereo datasets with subpixel-accurate ground truth", GCPR 2014.

    Examples
    --------
    >>> pair = real_pair()
    >>> pair.I0.shape, round(float(-pair.flow[pair.valid][:, 0].mean()))
    ((500, 741, 3), 34)
    """
    try:
        from skimage import data
    except ImportError:
        raise missing_package("the real pair", "scikit-image") from None
    left, right, disparity = data.stereo_motorcycle()
    disparity = np.where(np.isfinite(disparity), disparity, np.nan).astype(np.float64)
    flow = np.stack([-disparity, np.where(np.isnan(disparity), np.nan, 0.0)], axis=-1)
    column = np.arange(disparity.shape[1]) - disparity
    valid = (column >= 0) & (column <= disparity.shape[1] - 1)  # false where the disparity is NaN
    return Scene(left / 255.0, right / 255.0, flow, valid, "stereo_motorcycle")
