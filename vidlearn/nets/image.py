"""Networks for images: the ancestors that clips' networks are inflated from. Names of weights are torchvision's."""

from __future__ import annotations

from typing import Literal

from vidlearn.nets.net import Net
from vidlearn.nets.nodes import (
    LRN,
    Conv,
    Dropout,
    Flatten,
    GlobalPool,
    Linear,
    MergeTime,
    Node,
    Norm,
    Pad,
    Part,
    Pool,
    ReLU,
    Residual,
    Sequential,
    numbered,
)

__all__ = ["alexnet", "resnet18", "resnet34", "resnet50", "resnet101", "vgg16", "vgg_m_2048"]


def alexnet(classes: int = 1000) -> Net:
    """AlexNet with one tower (Krizhevsky, One weird trick, 2014), for 224×224."""
    features = numbered(
        Conv(3, 64, (11, 11), 4, 2, bias=True),
        ReLU(),
        Pool((3, 3), (2, 2)),
        Conv(64, 192, (5, 5), 1, 2, bias=True),
        ReLU(),
        Pool((3, 3), (2, 2)),
        Conv(192, 384, (3, 3), 1, 1, bias=True),
        ReLU(),
        Conv(384, 256, (3, 3), 1, 1, bias=True),
        ReLU(),
        Conv(256, 256, (3, 3), 1, 1, bias=True),
        ReLU(),
        Pool((3, 3), (2, 2)),
    )
    classifier = numbered(
        Dropout(), Linear(256 * 6 * 6, 4096), ReLU(), Dropout(), Linear(4096, 4096), ReLU(), Linear(4096, classes)
    )
    body = Sequential((("features", features), ("flatten", Flatten()), ("classifier", classifier)))
    return Net("alexnet", body, (3, 224, 224), "Krizhevsky, One weird trick for parallelizing CNNs, 2014")


def vgg16(classes: int = 1000) -> Net:
    """VGG-16: thirteen 3×3 convolutions and three linear layers (Simonyan and Zisserman 2015), for 224×224."""
    steps: list[Node] = []
    c_in = 3
    for c_out, n in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(n):
            steps += [Conv(c_in, c_out, (3, 3), 1, 1, bias=True), ReLU()]
            c_in = c_out
        steps.append(Pool((2, 2)))
    classifier = numbered(
        Linear(512 * 7 * 7, 4096), ReLU(), Dropout(), Linear(4096, 4096), ReLU(), Dropout(), Linear(4096, classes)
    )
    body = Sequential((("features", numbered(*steps)), ("flatten", Flatten()), ("classifier", classifier)))
    source = "Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015"
    return Net("vgg16", body, (3, 224, 224), source)


def vgg_m_2048(classes: int = 101, channels: int = 3) -> Net:
    """VGG-M-2048, the tower of two-stream networks (Chatfield et al. 2014); ``channels=20`` takes ten flow fields."""

    def conv(c_in: int, c_out: int, k: int, stride: int, padding: int) -> Conv:
        return Conv(c_in, c_out, (k, k), stride, padding, bias=True)

    body = Sequential(
        (
            ("conv1", conv(channels, 96, 7, 2, 0)),
            ("relu1", ReLU()),
            ("norm1", LRN()),
            ("pool1", Pool((3, 3), (2, 2))),
            ("conv2", conv(96, 256, 5, 2, 1)),
            ("relu2", ReLU()),
            ("norm2", LRN()),
            ("pad2", Pad(((0, 1), (0, 1)))),  # Caffe rounds up: 26 positions are pooled to 13
            ("pool2", Pool((3, 3), (2, 2))),
            ("conv3", conv(256, 512, 3, 1, 1)),
            ("relu3", ReLU()),
            ("conv4", conv(512, 512, 3, 1, 1)),
            ("relu4", ReLU()),
            ("conv5", conv(512, 512, 3, 1, 1)),
            ("relu5", ReLU()),
            ("pool5", Pool((3, 3), (2, 2))),
            ("flatten", Flatten()),
            ("fc6", Linear(512 * 6 * 6, 4096)),
            ("relu6", ReLU()),
            ("dropout6", Dropout()),
            ("fc7", Linear(4096, 2048)),
            ("relu7", ReLU()),
            ("dropout7", Dropout()),
            ("fc8", Linear(2048, classes)),
        )
    )
    source = "Chatfield et al., Return of the Devil in the Details, BMVC 2014; Simonyan and Zisserman, NeurIPS 2014"
    return Net("vgg_m_2048", body, (channels, 224, 224), source)


# ------------------------------------------------------------------ residual networks


def _basic(c_in: int, c_mid: int, stride: int) -> tuple[Part, ...]:
    return (
        ("conv1", Conv(c_in, c_mid, (3, 3), stride, 1)),
        ("bn1", Norm(c_mid, axes=2)),
        ("relu1", ReLU()),
        ("conv2", Conv(c_mid, c_mid, (3, 3), 1, 1)),
        ("bn2", Norm(c_mid, axes=2)),
    )


def _bottleneck(c_in: int, c_mid: int, stride: int) -> tuple[Part, ...]:
    return (
        ("conv1", Conv(c_in, c_mid, (1, 1))),
        ("bn1", Norm(c_mid, axes=2)),
        ("relu1", ReLU()),
        ("conv2", Conv(c_mid, c_mid, (3, 3), stride, 1)),
        ("bn2", Norm(c_mid, axes=2)),
        ("relu2", ReLU()),
        ("conv3", Conv(c_mid, 4 * c_mid, (1, 1))),
        ("bn3", Norm(4 * c_mid, axes=2)),
    )


def resnet_body(
    kind: Literal["basic", "bottleneck"],
    blocks: tuple[int, ...],
    channels: int,
    classes: int,
    *,
    merge_time: bool = False,
    pool: bool = True,
) -> tuple[Part, ...]:
    """Return the parts of a residual network for images, or for clips whose frames are merged into channels."""
    block, expansion = (_basic, 1) if kind == "basic" else (_bottleneck, 4)
    parts: list[Part] = [("merge", MergeTime())] if merge_time else []
    parts += [("conv1", Conv(channels, 64, (7, 7), 2, 3)), ("bn1", Norm(64, axes=2)), ("relu", ReLU())]
    if pool:
        parts.append(("maxpool", Pool((3, 3), (2, 2), 1)))
    c_in = 64
    for group, n in enumerate(blocks):
        c_mid = 64 * 2**group
        c_out = expansion * c_mid
        layer = []
        for i in range(n):
            stride = 2 if group and not i else 1
            shortcut: tuple[Part, ...] = ()
            if stride > 1 or c_in != c_out:
                shortcut = (("downsample", numbered(Conv(c_in, c_out, (1, 1), stride), Norm(c_out, axes=2))),)
            layer.append(Residual(block(c_in, c_mid, stride), shortcut))
            c_in = c_out
        parts.append((f"layer{group + 1}", numbered(*layer)))
    return (*parts, ("avgpool", GlobalPool(axes=2)), ("flatten", Flatten()), ("fc", Linear(c_in, classes)))


def _resnet(name: str, kind: Literal["basic", "bottleneck"], blocks: tuple[int, ...], classes: int) -> Net:
    body = Sequential(resnet_body(kind, blocks, 3, classes))
    return Net(name, body, (3, 224, 224), "He et al., Deep Residual Learning for Image Recognition, CVPR 2016")


def resnet18(classes: int = 1000) -> Net:
    """ResNet-18 for images (He et al. 2016)."""
    return _resnet("resnet18", "basic", (2, 2, 2, 2), classes)


def resnet34(classes: int = 1000) -> Net:
    """ResNet-34 for images (He et al. 2016)."""
    return _resnet("resnet34", "basic", (3, 4, 6, 3), classes)


def resnet50(classes: int = 1000) -> Net:
    """ResNet-50 for images, with bottlenecks whose stride is in the 3×3 convolution (He et al. 2016)."""
    return _resnet("resnet50", "bottleneck", (3, 4, 6, 3), classes)


def resnet101(classes: int = 1000) -> Net:
    """ResNet-101 for images (He et al. 2016)."""
    return _resnet("resnet101", "bottleneck", (3, 4, 23, 3), classes)
