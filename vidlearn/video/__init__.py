"""Clips in and out, flow files and colours, real data, and scenes whose true flow is known exactly.

Importing this package imports NumPy only; PyAV, OpenCV, scikit-image and Pillow are imported by what uses them.
"""

from .color import color_wheel_key, flow_to_color
from .convert import from_channels_first, from_row_column, to_channels_first, to_raft, to_row_column
from .data import PHOTOGRAPHS, clip_path, photograph, real_pair
from .files import VideoError, VideoWarning
from .flowfile import read_flo, read_kitti_flow, write_flo, write_kitti_flow
from .io import Info, frames, info, read, write
from .scenes import (
    Scene,
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
from .scrubber import Scrubber, scrubber

__all__ = [  # noqa: RUF022  in the order of use
    "frames",
    "read",
    "info",
    "write",
    "Info",
    "VideoError",
    "VideoWarning",
    "clip_path",
    "photograph",
    "PHOTOGRAPHS",
    "real_pair",
    "Scene",
    "scene_from_flow",
    "translation",
    "affine",
    "projective",
    "rotation3d",
    "moving_edge",
    "moving_corner",
    "flat_patch",
    "aliased_stripes",
    "barber_pole",
    "flow_to_color",
    "color_wheel_key",
    "read_flo",
    "write_flo",
    "read_kitti_flow",
    "write_kitti_flow",
    "to_channels_first",
    "from_channels_first",
    "to_raft",
    "to_row_column",
    "from_row_column",
    "scrubber",
    "Scrubber",
]
