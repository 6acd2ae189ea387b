"""Where in a network time is merged: late, early, slowly; and what each output sees."""

from __future__ import annotations

from vidlearn.fusion import reference
from vidlearn.operation import Operation

# at the end
single_frame = Operation(reference.single_frame, slide="CS231n · Video Classification: Single-Frame CNN")
late_fusion_fc = Operation(
    reference.late_fusion_fc, slide="CS231n · Video Classification: Late Fusion (with FC layers)"
)
late_fusion_pool = Operation(
    reference.late_fusion_pool, slide="CS231n · Video Classification: Late Fusion (with pooling)"
)

# at once, at the start
early_fusion = Operation(reference.early_fusion, slide="CS231n · 2D Conv (Early Fusion) vs 3D Conv (3D CNN)")

# slowly
slow_fusion = Operation(reference.slow_fusion, slide="CS231n · Video Classification: 3D CNN")
temporal_extent = Operation(reference.temporal_extent, slide="CS231n · Video Classification: 3D CNN", fast=())

# what a network sees
fovea_context = Operation(reference.fovea_context, slide="CS231n · Early Fusion vs Late Fusion vs 3D CNN")
receptive_field = Operation(reference.receptive_field, slide="CS231n · Early Fusion vs Late Fusion vs 3D CNN", fast=())

__all__ = [name for name, value in vars().items() if isinstance(value, Operation)]
