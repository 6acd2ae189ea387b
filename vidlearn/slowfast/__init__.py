"""Two pathways at two speeds: one looks seldom and closely, the other often and fleetingly; and how they are joined."""

from __future__ import annotations

from vidlearn.operation import Operation
from vidlearn.slowfast import reference

# two rates from one clip
clip_span = Operation(reference.clip_span, slide="L9 · Example instantiation of a SlowFast network", fast=())
sample_pathways = Operation(reference.sample_pathways, slide="L9 · Basic idea: Two pathways")

# lateral connections: the Fast pathway at the Slow one's rate
time_to_channel = Operation(reference.time_to_channel, slide="SJTU · SlowFast")
time_strided_sampling = Operation(reference.time_strided_sampling, slide="SJTU · SlowFast")
time_strided_conv = Operation(reference.time_strided_conv, slide="SJTU · SlowFast")
lateral_connection = Operation(reference.lateral_connection, slide="SJTU · SlowFast")
fused_block = Operation(reference.fused_block, slide="L9 · Example instantiation of a SlowFast network")

# what the Fast pathway can do without
to_grey = Operation(reference.to_grey, slide="L9 · SlowFast ablations: Weaken the Fast appearance information")
time_difference = Operation(
    reference.time_difference, slide="L9 · SlowFast ablations: Weaken the Fast appearance information"
)
half_resolution = Operation(
    reference.half_resolution, slide="L9 · SlowFast ablations: Weaken the Fast appearance information"
)

__all__ = [name for name, value in vars().items() if isinstance(value, Operation)]
