"""Optical flow in files: Middlebury's ``.flo`` and KITTI's 16-bit PNG.

One rule for both: where the flow is unknown, it is NaN here and has the format's own mark in the file.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from .files import VideoError, existing_file, missing_package, replacing

__all__ = ["read_flo", "read_kitti_flow", "write_flo", "write_kitti_flow"]

FLO_MAGIC = b"PIEH"  # the float32 202021.25, little-endian
FLO_UNKNOWN = np.float32(1.666666752e9)  # what the Middlebury files hold; anything above 1e9 means unknown
LARGEST_SIDE = 100_000


def read_flo(path: str | os.PathLike) -> np.ndarray:
    """Read a Middlebury ``.flo`` file.

    Returns
    -------
    numpy.ndarray
        (H, W, 2) float32, (u, v) in pixels per frame; NaN where unknown (a component above 1e9 in size, in the file).

    Raises
    ------
    VideoError
        If the file is missing, empty, not a ``.flo`` file, or shorter or longer than its header says.

    References
    ----------
    S. Baker et al., "A Database and Evaluation Methodology for Optical Flow", IJCV 92 (2011).

    Examples
    --------
    >>> import numpy as np, pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "a.flo"
    >>> write_flo(file, np.array([[[0.5, -2.0], [np.nan, 0.0]]]))
    >>> read_flo(file)
    array([[[ 0.5, -2. ],
            [ nan,  nan]]], dtype=float32)
    """
    path = existing_file(path, "a .flo file")
    data = path.read_bytes()
    if data[:4] != FLO_MAGIC:
        raise VideoError(f"{path} is not a .flo file: it begins with {data[:4]!r}, not {FLO_MAGIC!r}")
    if len(data) < 12:
        raise VideoError(f"{path} is cut off inside its header: {len(data)} bytes of 12")
    width, height = (int(n) for n in np.frombuffer(data, "<i4", 2, offset=4))
    if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE):
        raise VideoError(f"{path}: its header gives the size {width}x{height}, which is no image's size")
    expected = 12 + 8 * width * height
    if len(data) != expected:
        raise VideoError(f"{path} has {len(data)} bytes; a flow of {width}x{height} (width x height) has {expected}")
    flow = np.frombuffer(data, "<f4", offset=12).astype(np.float32).reshape(height, width, 2)
    flow[~_known(flow)] = np.nan
    return flow


def write_flo(path: str | os.PathLike, flow: np.ndarray) -> None:
    """Write a flow as a Middlebury ``.flo`` file, in float32; unknown (NaN, infinite, above 1e9) as the format's mark.

    Raises
    ------
    VideoError
        If `flow` is not a floating-point array (H, W, 2).

    Examples
    --------
    See `read_flo`.
    """
    flow = np.array(_checked(flow), dtype="<f4")
    flow[~_known(flow)] = FLO_UNKNOWN
    height, width = flow.shape[:2]
    with replacing(path) as temporary:
        temporary.write_bytes(FLO_MAGIC + np.array([width, height], "<i4").tobytes() + flow.tobytes())


def read_kitti_flow(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Read a KITTI flow file: a 16-bit PNG with red = 64 u + 32768, green = 64 v + 32768, blue = known.

    Returns
    -------
    flow : numpy.ndarray
        (H, W, 2) float32, (u, v) in pixels per frame, in steps of 1/64 px; NaN where unknown.
    valid : numpy.ndarray
        (H, W) bool.

    Raises
    ------
    VideoError
        If the file is missing, empty, damaged, or not a 16-bit RGB image; if OpenCV is not installed.

    References
    ----------
    M. Menze and A. Geiger, "Object Scene Flow for Autonomous Vehicles", CVPR 2015; the KITTI development kit.

    Examples
    --------
    >>> import numpy as np, pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "a.png"
    >>> write_kitti_flow(file, np.array([[[0.5, -2.0], [1000.0, np.nan]]]))
    >>> flow, valid = read_kitti_flow(file)
    >>> flow[0, 0], valid
    (array([ 0.5, -2. ], dtype=float32), array([[ True, False]]))
    """
    cv2 = _opencv()
    path = existing_file(path, "a KITTI flow file (16-bit PNG)")
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise VideoError(f"{path} is not an image, or is damaged; expected a KITTI flow file (16-bit PNG)")
    if image.dtype != np.uint16 or image.ndim != 3 or image.shape[2] != 3:
        raise VideoError(f"{path} is {image.dtype} of shape {image.shape}; a KITTI flow file is a 16-bit RGB image")
    blue, green, red = np.moveaxis(image, -1, 0)  # OpenCV's order
    flow = (np.stack([red, green], axis=-1).astype(np.float32) - 32768) / 64
    valid = blue > 0
    flow[~valid] = np.nan
    return flow, valid


def write_kitti_flow(path: str | os.PathLike, flow: np.ndarray, valid: np.ndarray | None = None) -> None:
    """Write a flow as a KITTI 16-bit PNG: rounded to 1/64 px, clipped to −512 … 511.98 px, zero where unknown.

    Parameters
    ----------
    path
        Ends in ``.png``.
    flow
        (H, W, 2), floating point; NaN and infinity are unknown.
    valid
        (H, W) bool: where the flow is known, on top of that.

    Raises
    ------
    VideoError
        If an argument has another shape or type; if OpenCV is not installed.

    Examples
    --------
    See `read_kitti_flow`.
    """
    cv2 = _opencv()
    flow = np.asarray(_checked(flow), dtype=np.float64)
    known = np.isfinite(flow).all(-1)
    if valid is not None:
        valid = np.asarray(valid)
        if valid.shape != known.shape or valid.dtype != bool:
            raise VideoError(f"valid must be bool of shape {known.shape}, got {valid.dtype} of shape {valid.shape}")
        known &= valid
    image = np.zeros((*known.shape, 3), np.uint16)
    image[known, 0] = 1
    image[known, 2], image[known, 1] = np.clip(np.round(64 * flow[known] + 32768), 0, 65535).T
    if Path(path).suffix.lower() != ".png":
        raise VideoError(f"{path}: a KITTI flow file must end in .png")
    with replacing(path) as temporary:
        temporary.write_bytes(cv2.imencode(".png", image)[1].tobytes())


def _known(flow: np.ndarray) -> np.ndarray:
    return (np.abs(flow) <= 1e9).all(-1)  # false for NaN


def _checked(flow: np.ndarray) -> np.ndarray:
    flow = np.asarray(flow)
    if flow.ndim != 3 or flow.shape[-1] != 2 or 0 in flow.shape:
        raise VideoError(f"flow must have shape (H, W, 2), got {flow.shape}; from_channels_first converts (2, H, W)")
    if not np.issubdtype(flow.dtype, np.floating):
        raise VideoError(f"flow must be floating point, got {flow.dtype}; convert it with flow.astype(numpy.float32)")
    return flow


def _opencv():
    try:
        import cv2
    except ImportError:
        raise missing_package("reading or writing 16-bit PNG files", "OpenCV") from None
    return cv2
