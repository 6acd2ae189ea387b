"""Architectures as data: a network is a tree of small frozen dataclasses, and everything else is read off it.

The layer table (output shape, receptive field, parameters, multiply-accumulates), the forward pass in NumPy, torch and
CuPy, the ``torch.nn.Module`` that loads published weights, its inference form and its picture.

>>> from vidlearn import nets
>>> net = nets.slow_fusion()
>>> for row in net.rows():                     # or print(net.table())
...     print(row.path, row.shape, row.clipped, row.parameters)
conv1 (12, 20, 64, 64) (3, 3, 3) 984
pool1 (12, 5, 16, 16) (6, 6, 6) 0
conv2 (24, 5, 16, 16) (14, 14, 14) 7800
pool2 (24, 1, 1, 1) (20, 64, 64) 0
"""

from __future__ import annotations

from collections.abc import Callable

from vidlearn.nets.bottleneck import c2d_r50, csn_r101, fast_r50, i3d_r50, ip_csn_r101, slow_r50
from vidlearn.nets.c3d import c3d
from vidlearn.nets.image import alexnet, resnet18, resnet34, resnet50, resnet101, vgg16, vgg_m_2048
from vidlearn.nets.inception import i3d_inception, inception_v1, s3d
from vidlearn.nets.inflating import inflate
from vidlearn.nets.mvit import mvit_v1_b, mvit_v2_s
from vidlearn.nets.net import Net, Row
from vidlearn.nets.residual import (
    f_r2d_18,
    mc2_18,
    mc3_18,
    mc4_18,
    mc5_18,
    r2d_18,
    r2plus1d_18,
    r2plus1d_34,
    r3d_18,
    rmc2_18,
    rmc3_18,
    rmc4_18,
    rmc5_18,
)
from vidlearn.nets.slowfast import slowfast, slowfast_4x16_r50, slowfast_16x8_r101_50_50, slowfast_r50, slowfast_r101
from vidlearn.nets.small import early_fusion, late_fusion, slow_fusion
from vidlearn.nets.timesformer import timesformer
from vidlearn.nets.vivit import vivit_b, vtn

_BUILDERS: tuple[Callable[..., Net], ...] = (
    late_fusion,
    early_fusion,
    slow_fusion,
    alexnet,
    vgg_m_2048,
    vgg16,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    inception_v1,
    c3d,
    i3d_inception,
    s3d,
    r2d_18,
    f_r2d_18,
    r3d_18,
    mc2_18,
    mc3_18,
    mc4_18,
    mc5_18,
    rmc2_18,
    rmc3_18,
    rmc4_18,
    rmc5_18,
    r2plus1d_18,
    r2plus1d_34,
    c2d_r50,
    i3d_r50,
    slow_r50,
    fast_r50,
    slowfast_4x16_r50,
    slowfast_r50,
    slowfast_r101,
    slowfast_16x8_r101_50_50,
    csn_r101,
    ip_csn_r101,
    timesformer,
    mvit_v1_b,
    mvit_v2_s,
    vivit_b,
    vtn,
)

__all__ = [
    "Net",
    "Row",
    "alexnet",
    "c2d_r50",
    "c3d",
    "csn_r101",
    "early_fusion",
    "f_r2d_18",
    "fast_r50",
    "i3d_inception",
    "i3d_r50",
    "inception_v1",
    "inflate",
    "ip_csn_r101",
    "late_fusion",
    "mc2_18",
    "mc3_18",
    "mc4_18",
    "mc5_18",
    "mvit_v1_b",
    "mvit_v2_s",
    "r2d_18",
    "r2plus1d_18",
    "r2plus1d_34",
    "r3d_18",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "rmc2_18",
    "rmc3_18",
    "rmc4_18",
    "rmc5_18",
    "s3d",
    "slow_fusion",
    "slow_r50",
    "slowfast",
    "slowfast_4x16_r50",
    "slowfast_16x8_r101_50_50",
    "slowfast_r50",
    "slowfast_r101",
    "timesformer",
    "vgg16",
    "vgg_m_2048",
    "vivit_b",
    "vtn",
    "zoo",
]


def zoo() -> dict[str, Callable[..., Net]]:
    """Return every network's builder by its name."""
    return {build.__name__: build for build in _BUILDERS}
