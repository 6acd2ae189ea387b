"""What makes an implementation of each flow operation right: its cases, its laws and the mistakes people make.

Found by the operation's name. ``estimating.py`` holds the flow equation, Lucas–Kanade and motion models;
``warping.py`` warping, pyramids, dense flow, error measures and the correlation volume. In each, the functions that a
spec names stand before it.
"""

from __future__ import annotations

from vidlearn.flow.spec.estimating import (
    brightness_constancy_residual,
    classify_structure,
    condition_number,
    fit_motion,
    linearized_residual,
    lucas_kanade,
    motion_field,
    normal_flow,
    spatiotemporal_gradients,
    structure_tensor,
    structure_tensor_eigenvalues,
)
from vidlearn.flow.spec.warping import (
    angular_error,
    apparent_displacement,
    coarse_to_fine,
    correlation_volume,
    dense,
    downsample,
    endpoint_error,
    fl_all,
    gaussian_pyramid,
    inside_frame,
    iterative_lucas_kanade,
    median_filter_flow,
    resize_flow,
    upsample_flow,
    warp,
)

__all__ = [
    "angular_error",
    "apparent_displacement",
    "brightness_constancy_residual",
    "classify_structure",
    "coarse_to_fine",
    "condition_number",
    "correlation_volume",
    "dense",
    "downsample",
    "endpoint_error",
    "fit_motion",
    "fl_all",
    "gaussian_pyramid",
    "inside_frame",
    "iterative_lucas_kanade",
    "linearized_residual",
    "lucas_kanade",
    "median_filter_flow",
    "motion_field",
    "normal_flow",
    "resize_flow",
    "spatiotemporal_gradients",
    "structure_tensor",
    "structure_tensor_eigenvalues",
    "upsample_flow",
    "warp",
]
