"""A clip as tokens, and who looks at whom: space, time, both, one after the other, or coarser and coarser."""

from __future__ import annotations

from vidlearn.operation import Operation
from vidlearn.transformers import reference
from vidlearn.transformers.reference import SCHEMES

# a clip becomes tokens
patch_embed = Operation(reference.patch_embed, slide="SJTU · TimeSFormer")
tubelet_embed = Operation(reference.tubelet_embed, slide="CUHK · Video Transformer")
sinusoidal_positions = Operation(reference.sinusoidal_positions, slide="CUHK · Video Transformer", fast=())
add_positions = Operation(reference.add_positions, slide="SJTU · TimeSFormer")

# TimeSformer: five schemes, one attention
neighborhood = Operation(reference.neighborhood, slide="SJTU · TimeSFormer", fast=())
comparisons = Operation(reference.comparisons, slide="SJTU · TimeSFormer", fast=())
reachable = Operation(reference.reachable, slide="SJTU · TimeSFormer", fast=())
neighborhood_attention = Operation(reference.neighborhood_attention, slide="SJTU · TimeSFormer")

# ViViT: the frames first, then what they say
factorized_encoder = Operation(reference.factorized_encoder, slide="CUHK · Video Transformer")

# MViT: fewer tokens, layer by layer
pool_tokens = Operation(reference.pool_tokens, slide="CS231n · Vision Transformers for Video")
pooling_attention = Operation(reference.pooling_attention, slide="CS231n · Vision Transformers for Video")

# VTN: neighbors in a long film
sliding_window_attention = Operation(reference.sliding_window_attention, slide="CS231n · Vision Transformers for Video")

__all__ = ["SCHEMES", *[name for name, value in vars().items() if isinstance(value, Operation)]]
