"""The layers that every network of the course is built of, forward and backward."""

from __future__ import annotations

from vidlearn.layers.reference import classifying, convolving, normalizing, pooling, recurring
from vidlearn.operation import Operation

# convolution: the same small pattern, looked for everywhere
conv1d = Operation(convolving.conv1d, slide="CS231n · Convolution Layer")
conv2d = Operation(convolving.conv2d, slide="CS231n · Convolution Layer")
conv3d = Operation(convolving.conv3d, slide="CS231n · 3D Convolution")
conv1d_backward = Operation(convolving.conv1d_backward, slide="CS231n · Convolution Layer")
conv2d_backward = Operation(convolving.conv2d_backward, slide="CS231n · Convolution Layer")
conv3d_backward = Operation(convolving.conv3d_backward, slide="CS231n · 3D Convolution")
convolution_size = Operation(convolving.convolution_size, slide="CS231n · C3D: The VGG of 3D CNNs", fast=())
conv_parameters = Operation(convolving.conv_parameters, slide="SJTU · R(2+1)D", fast=())
conv_macs = Operation(convolving.conv_macs, slide="CS231n · C3D: The VGG of 3D CNNs", fast=())

# pooling: what a region says, in one number
max_pool2d = Operation(pooling.max_pool2d, slide="CS231n · Early Fusion vs Late Fusion vs 3D CNN")
max_pool3d = Operation(pooling.max_pool3d, slide="CS231n · C3D: The VGG of 3D CNNs")
max_pool3d_backward = Operation(pooling.max_pool3d_backward, slide="CS231n · C3D: The VGG of 3D CNNs")
avg_pool3d = Operation(pooling.avg_pool3d, slide="CS231n · Video Classification: Late Fusion (with pooling)")
avg_pool3d_backward = Operation(
    pooling.avg_pool3d_backward, slide="CS231n · Video Classification: Late Fusion (with pooling)"
)
global_avg_pool = Operation(pooling.global_avg_pool, slide="CS231n · Early Fusion vs Late Fusion vs 3D CNN")

# between two layers
batch_norm = Operation(normalizing.batch_norm, slide="SJTU · Partial BN")
batch_norm_train = Operation(normalizing.batch_norm_train, slide="SJTU · Partial BN")
batch_norm_train_backward = Operation(normalizing.batch_norm_train_backward, slide="SJTU · Partial BN")
fold_batch_norm = Operation(normalizing.fold_batch_norm, slide="CS231n · 3D Convolution")
local_response_norm = Operation(
    normalizing.local_response_norm, slide="CS231n · Separating Motion and Appearance: Two-Stream Networks"
)
layer_norm = Operation(normalizing.layer_norm, slide="SJTU · TimeSFormer")
relu = Operation(normalizing.relu, slide="CS231n · C3D: The VGG of 3D CNNs")
relu_backward = Operation(normalizing.relu_backward, slide="CS231n · C3D: The VGG of 3D CNNs")
gelu = Operation(normalizing.gelu, slide="SJTU · TimeSFormer")

# from features to a class
linear = Operation(classifying.linear, slide="CS231n · Video Classification: Late Fusion (with FC layers)")
linear_backward = Operation(
    classifying.linear_backward, slide="CS231n · Video Classification: Late Fusion (with FC layers)"
)
softmax = Operation(classifying.softmax, slide="CS231n · Video Classification: Single-Frame CNN")
cross_entropy = Operation(classifying.cross_entropy, slide="CS231n · Example task: Video Classification")
cross_entropy_backward = Operation(
    classifying.cross_entropy_backward, slide="CS231n · Example task: Video Classification"
)

# memory
lstm_cell = Operation(recurring.lstm_cell, slide="CS231n · Modeling long-term temporal structure")
lstm_cell_backward = Operation(recurring.lstm_cell_backward, slide="CS231n · Modeling long-term temporal structure")
lstm = Operation(recurring.lstm, slide="CS231n · Modeling long-term temporal structure")
conv_gru_cell = Operation(recurring.conv_gru_cell, slide="CS231n · Recurrent Convolutional Network")
conv_gru_cell_backward = Operation(recurring.conv_gru_cell_backward, slide="CS231n · Recurrent Convolutional Network")
