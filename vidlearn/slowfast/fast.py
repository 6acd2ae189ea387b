"""SlowFast for PyTorch and CuPy: the reference is written in operations that run wherever their arrays are."""

from vidlearn.slowfast.reference import (
    fused_block,
    half_resolution,
    lateral_connection,
    sample_pathways,
    time_difference,
    time_strided_conv,
    time_strided_sampling,
    time_to_channel,
    to_grey,
)

__all__ = [
    "fused_block",
    "half_resolution",
    "lateral_connection",
    "sample_pathways",
    "time_difference",
    "time_strided_conv",
    "time_strided_sampling",
    "time_to_channel",
    "to_grey",
]
