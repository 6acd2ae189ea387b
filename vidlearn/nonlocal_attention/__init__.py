"""Every position looks at every other one: non-local blocks, self-attention, and attention without its memory."""

from __future__ import annotations

from vidlearn.nonlocal_attention import reference
from vidlearn.operation import Operation

# one position, all others: how much of each
pairwise_weights = Operation(reference.pairwise_weights, slide="SJTU · Nonlocal neural networks")
nonlocal_mean = Operation(reference.nonlocal_mean, slide="SJTU · Nonlocal neural networks")

# the block that a network gets
nonlocal_block = Operation(reference.nonlocal_block, slide="CS231n · Spatio-Temporal Self-Attention (Nonlocal Block)")
nonlocal_macs = Operation(reference.nonlocal_macs, slide="SJTU · Nonlocal neural networks", fast=())

# the same under the name that transformers gave it
attention = Operation(reference.attention, slide="CS231n · Recall: Self-Attention")
multi_head_attention = Operation(reference.multi_head_attention, slide="CS231n · Recall: Self-Attention")

# and without ever holding all weights at once
online_attention = Operation(reference.online_attention, slide="CS231n · Recall: Self-Attention")

__all__ = [name for name, value in vars().items() if isinstance(value, Operation)]
