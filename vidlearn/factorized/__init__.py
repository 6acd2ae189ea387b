"""3D convolutions taken apart: space from time, channels from each other; and what that saves."""

from __future__ import annotations

from vidlearn.factorized import reference
from vidlearn.operation import Operation

# space, then time
conv2plus1d = Operation(reference.conv2plus1d, slide="SJTU · R(2+1)D")
compose_kernels = Operation(reference.compose_kernels, slide="SJTU · R(2+1)D")
mid_channels = Operation(reference.mid_channels, slide="SJTU · R(2+1)D", fast=())

# channels one by one
depthwise_conv3d = Operation(reference.depthwise_conv3d, slide="CUHK · Parameter-Efficient 3D Networks")
channel_separated = Operation(reference.channel_separated, slide="CUHK · Parameter-Efficient 3D Networks")

# what it costs
factorized_parameters = Operation(
    reference.factorized_parameters, slide="CUHK · Parameter-Efficient 3D Networks", fast=()
)
factorized_macs = Operation(reference.factorized_macs, slide="CUHK · Parameter-Efficient 3D Networks", fast=())
convolution_plan = Operation(reference.convolution_plan, slide="SJTU · R(2+1)D", fast=())

__all__ = [name for name, value in vars().items() if isinstance(value, Operation)]
