"""Optical flow: from one equation a pixel to a dense field, in the order it is taught."""

from __future__ import annotations

from vidlearn.flow import dense_reference, reference
from vidlearn.operation import Operation

# one equation a pixel
spatiotemporal_gradients = Operation(reference.spatiotemporal_gradients, slide="L9 · Optical flow equation")
brightness_constancy_residual = Operation(
    reference.brightness_constancy_residual, slide="L9 · Optical flow constraints (grayscale images)"
)
linearized_residual = Operation(reference.linearized_residual, slide="L9 · Optical flow equation")
normal_flow = Operation(reference.normal_flow, slide="L9 · Aperture problem")

# 25 equations a pixel
structure_tensor = Operation(reference.structure_tensor, slide="L9 · Conditions for solvability")
structure_tensor_eigenvalues = Operation(reference.structure_tensor_eigenvalues, slide="L9 · Eigenvectors of AᵀA")
condition_number = Operation(reference.condition_number, slide="L9 · When is this solvable?")
classify_structure = Operation(reference.classify_structure, slide="L9 · Interpreting the eigenvalues")
lucas_kanade = Operation(reference.lucas_kanade, slide="L9 · Lucas-Kanade flow")

# one motion for the whole image
motion_field = Operation(reference.motion_field, slide="L9 · Motion models")
fit_motion = Operation(reference.fit_motion, slide="L9 · Affine motion")

# moving the image back
warp = Operation(reference.warp, slide="L9 · Iterative refinement")
inside_frame = Operation(reference.inside_frame, slide="L9 · Some implementation issues")
iterative_lucas_kanade = Operation(reference.iterative_lucas_kanade, slide="L9 · Iterative refinement")

# coarse to fine
downsample = Operation(reference.downsample, slide="L9 · Reduce the resolution!")
gaussian_pyramid = Operation(reference.gaussian_pyramid, slide="L9 · Reduce the resolution!")
upsample_flow = Operation(reference.upsample_flow, slide="L9 · Coarse-to-fine optical flow estimation")
resize_flow = Operation(reference.resize_flow, slide="L9 · Coarse-to-fine optical flow estimation")
coarse_to_fine = Operation(reference.coarse_to_fine, slide="L9 · Coarse-to-fine optical flow estimation")
apparent_displacement = Operation(reference.apparent_displacement, slide="L9 · Revisiting the small motion assumption")
median_filter_flow = Operation(reference.median_filter_flow, slide="L9 · Errors in Lucas-Kanade")
dense = Operation(
    dense_reference.dense, slide="L9 · Coarse-to-fine optical flow estimation", fast=("numpy", "torch", "cupy")
)

# how wrong is it
endpoint_error = Operation(reference.endpoint_error, slide="L9 · Errors in Lucas-Kanade")
angular_error = Operation(reference.angular_error, slide="L9 · Errors in Lucas-Kanade")
fl_all = Operation(reference.fl_all, slide="L9 · Errors in Lucas-Kanade")

# towards FlowNet
correlation_volume = Operation(reference.correlation_volume, slide="L9 · FlowNet")

__all__ = [name for name, value in vars().items() if isinstance(value, Operation)]
