"""What makes an implementation of a layer right; each file is one kind, as in ``reference``."""

from vidlearn.layers.spec.classifying import (
    cross_entropy,
    cross_entropy_backward,
    linear,
    linear_backward,
    softmax,
)
from vidlearn.layers.spec.convolving import (
    conv1d,
    conv1d_backward,
    conv2d,
    conv2d_backward,
    conv3d,
    conv3d_backward,
    conv_macs,
    conv_parameters,
    convolution_size,
)
from vidlearn.layers.spec.normalizing import (
    batch_norm,
    batch_norm_train,
    batch_norm_train_backward,
    fold_batch_norm,
    local_response_norm,
    relu,
    relu_backward,
)
from vidlearn.layers.spec.pooling import (
    avg_pool3d,
    avg_pool3d_backward,
    global_avg_pool,
    max_pool2d,
    max_pool3d,
    max_pool3d_backward,
)
from vidlearn.layers.spec.recurring import (
    conv_gru_cell,
    conv_gru_cell_backward,
    lstm,
    lstm_cell,
    lstm_cell_backward,
)

__all__ = [
    "avg_pool3d",
    "avg_pool3d_backward",
    "batch_norm",
    "batch_norm_train",
    "batch_norm_train_backward",
    "conv1d",
    "conv1d_backward",
    "conv2d",
    "conv2d_backward",
    "conv3d",
    "conv3d_backward",
    "conv_gru_cell",
    "conv_gru_cell_backward",
    "conv_macs",
    "conv_parameters",
    "convolution_size",
    "cross_entropy",
    "cross_entropy_backward",
    "fold_batch_norm",
    "global_avg_pool",
    "linear",
    "linear_backward",
    "local_response_norm",
    "lstm",
    "lstm_cell",
    "lstm_cell_backward",
    "max_pool2d",
    "max_pool3d",
    "max_pool3d_backward",
    "relu",
    "relu_backward",
    "softmax",
]
