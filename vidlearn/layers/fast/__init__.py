"""Layers written once for every array library; what torch does better stands in ``fast_torch.py``.

Convolution is *im2col*: the windows are laid out as the columns of one matrix, and the rest is one matrix product, the
thing that a GPU does at its full rate. The price is memory: each value of the input is copied once for each tap.
"""

from vidlearn.layers.fast.classifying import (
    cross_entropy,
    cross_entropy_backward,
    linear,
    linear_backward,
    softmax,
)
from vidlearn.layers.fast.convolving import (
    conv1d,
    conv1d_backward,
    conv2d,
    conv2d_backward,
    conv3d,
    conv3d_backward,
)
from vidlearn.layers.fast.normalizing import (
    batch_norm,
    batch_norm_train,
    batch_norm_train_backward,
    fold_batch_norm,
    layer_norm,
    local_response_norm,
    relu,
    relu_backward,
)
from vidlearn.layers.fast.pooling import (
    avg_pool3d,
    avg_pool3d_backward,
    global_avg_pool,
    max_pool2d,
    max_pool3d,
    max_pool3d_backward,
)
from vidlearn.layers.fast.recurring import (
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
    "cross_entropy",
    "cross_entropy_backward",
    "fold_batch_norm",
    "global_avg_pool",
    "layer_norm",
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
