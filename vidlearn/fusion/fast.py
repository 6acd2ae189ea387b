"""Fusion for PyTorch and CuPy: the reference is written in operations that run wherever their arrays are."""

from vidlearn.fusion.reference import (
    early_fusion,
    fovea_context,
    late_fusion_fc,
    late_fusion_pool,
    single_frame,
    slow_fusion,
)

__all__ = ["early_fusion", "fovea_context", "late_fusion_fc", "late_fusion_pool", "single_frame", "slow_fusion"]
