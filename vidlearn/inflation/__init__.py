"""From a 2D network to a 3D one that starts out as good: kernels that learned from images, given an axis of time."""

from __future__ import annotations

from vidlearn.inflation import reference
from vidlearn.operation import Operation

inflate = Operation(reference.inflate, slide="SJTU · Bootstrapping 3D filters from 2D Filters")
inflate_centered = Operation(
    reference.inflate_centered, slide="L9 · Long-term Two-Stream networks and transforming filters by Inflation"
)
boring_video = Operation(reference.boring_video, slide="SJTU · Bootstrapping 3D filters from 2D Filters")
cross_modality = Operation(reference.cross_modality, slide="SJTU · Temporal Segment Network (TSN)")

__all__ = [name for name, value in vars().items() if isinstance(value, Operation)]
