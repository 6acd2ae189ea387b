"""Where a network merges time, from scratch: at the end, at once at the start, or slowly.

Clips are ``(N, C, T, H, W)``. What convolves and what classifies are operations of ``vidlearn.layers``, so these
functions serve every array library. Shapes are checked by :class:`vidlearn.Operation`.

References
----------
.. [CS231n] Lecture 10, *Video Understanding* (slides after Justin Johnson).
.. [K14] A. Karpathy et al., "Large-scale video classification with convolutional neural networks", CVPR 2014.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vidlearn import layers
from vidlearn.arrays import namespace

if TYPE_CHECKING:
    from vidlearn.signature import Array, Float, Int, PositiveInt

__all__ = [
    "early_fusion",
    "fovea_context",
    "late_fusion_fc",
    "late_fusion_pool",
    "receptive_field",
    "single_frame",
    "slow_fusion",
    "temporal_extent",
]

# ------------------------------------------------------------------ at the end


def single_frame(logits: Float[Array, "N T K"]) -> Float[Array, "N K"]:
    r"""Classify every frame by itself, and average what the frames say: the baseline to try first.

    .. math:: p_k = \frac{1}{T} \sum_t \operatorname{softmax}(x_t)_k

    Probabilities are averaged, not scores: a frame that is very sure can't outvote all others.

    Parameters
    ----------
    logits
        (N, T, K), the scores of K classes for each of T frames.

    Returns
    -------
    p
        (N, K), probabilities.

    References
    ----------
    CS231n, "Video Classification: Single-Frame CNN".

    Examples
    --------
    >>> single_frame(np.array([[[0.0, 0.0], [100.0, 0.0]]]))   # one frame knows nothing, one is sure
    array([[0.75, 0.25]])
    """
    return namespace(logits).mean(layers.softmax(logits), axis=1)


def late_fusion_fc(
    features: Float[Array, "N T D H W"], w: Float[Array, "K F"], b: Float[Array, "K"] | None = None
) -> Float[Array, "N K"]:
    r"""Late fusion with a fully connected layer: it sees all frames' features, each with weights of its own.

    .. math:: y_k = \sum_{t, d, h, w} W_{k, (t, d, h, w)}\; f_{t, d, h, w} + b_k

    It can tell the order of the frames, at the price of weights for every frame.

    Parameters
    ----------
    features
        (N, T, D, H, W), the features of each frame, all from the same 2D network.
    w
        (K, T·D·H·W), the last four flattened in this order.
    b
        (K,), or None.

    Returns
    -------
    y
        (N, K), scores.

    Raises
    ------
    ValueError
        If `w` is for another number of features.

    References
    ----------
    CS231n, "Video Classification: Late Fusion (with FC layers)"; [K14]_.

    Examples
    --------
    >>> features = np.array([1.0, 5.0]).reshape(1, 2, 1, 1, 1)
    >>> late_fusion_fc(features, np.array([[-1.0, 1.0]]))      # later less earlier
    array([[4.]])
    """
    flat = features.reshape(features.shape[0], -1)
    if w.shape[1] != flat.shape[1]:
        frames, channels, height, width = features.shape[1:]
        raise ValueError(
            f"w: expected {flat.shape[1]} columns, for {frames} frames of {channels}×{height}×{width} features, "
            f"got {w.shape[1]} in shape {tuple(w.shape)}"
        )
    return layers.linear(flat, w, b)


def late_fusion_pool(
    features: Float[Array, "N T D H W"], w: Float[Array, "K D"], b: Float[Array, "K"] | None = None
) -> Float[Array, "N K"]:
    r"""Late fusion with pooling: average the frames' features over space and time, then one linear layer.

    .. math:: y = W\, \operatorname{mean}_{t, h, w} f_{t, \cdot, h, w} + b

    Few weights; but it can't tell one order of the frames from another.

    Parameters
    ----------
    features
        (N, T, D, H, W), the features of each frame, all from the same 2D network.
    w
        (K, D).
    b
        (K,), or None.

    Returns
    -------
    y
        (N, K), scores.

    References
    ----------
    CS231n, "Video Classification: Late Fusion (with pooling)".

    Examples
    --------
    >>> features = np.array([1.0, 5.0]).reshape(1, 2, 1, 1, 1)
    >>> late_fusion_pool(features, np.array([[2.0]]))
    array([[6.]])
    """
    xp = namespace(features)
    return layers.linear(layers.global_avg_pool(xp.moveaxis(features, 1, 2)), w, b)


# ------------------------------------------------------------------ at once, at the start


def early_fusion(
    x: Float[Array, "N C T H W"], w: Float[Array, "O C T Kh Kw"], b: Float[Array, "O"] | None = None
) -> Float[Array, "N O H W"]:
    r"""Early fusion: the first 2D convolution sees all frames at once, and after it there is no time left.

    .. math:: y[o, r, q] = b[o] + \sum_{c, t, i, j} w[o, c, t, i, j]\; x[c, t, r + i - p, q + j - p]

    The frames' channels lie side by side, C·T of them. The kernel slides over x and y only: the same motion at another
    time needs another filter.

    Parameters
    ----------
    x
        (N, C, T, H, W).
    w
        (C_out, C, T, K_h, K_w), odd in height and width; as many frames as the clip.
    b
        (C_out,), or None.

    Returns
    -------
    y
        (N, C_out, H, W): zeros are put around, so that no position is lost.

    Raises
    ------
    ValueError
        If the kernel's height or width is even.

    References
    ----------
    CS231n, "2D Conv (Early Fusion) vs 3D Conv (3D CNN)"; [K14]_.

    Examples
    --------
    >>> clip = np.array([1.0, 5.0]).reshape(1, 1, 2, 1, 1)
    >>> early_fusion(clip, np.array([-1.0, 1.0]).reshape(1, 1, 2, 1, 1))
    array([[[[4.]]]])
    """
    n, c, t, height, width = x.shape
    merged, kernel = x.reshape(n, c * t, height, width), w.reshape(w.shape[0], c * t, *w.shape[3:])
    return layers.conv2d(merged, kernel, b, padding=_same(w))


# ------------------------------------------------------------------ slowly


def slow_fusion(
    x: Float[Array, "N C T H W"],
    w: Float[Array, "O C Kt Kh Kw"],
    b: Float[Array, "O"] | None = None,
    stride: PositiveInt = 1,
) -> Float[Array, "N O S H W"]:
    r"""Slow fusion: each layer merges a few frames, a 3D convolution that leaves some time for the next one.

    .. math:: y[o, t, r, q] = b[o] + \sum_{c, m, i, j} w[o, c, m, i, j]\; x[c, s\,t + m, r + i - p, q + j - p]

    In time nothing is put around: the first layer of Karpathy et al. sees 4 of 10 frames with stride 2 and makes 4 of
    them. A motion is found whenever it happens: shift the clip by s frames, and the answer shifts by one.

    Parameters
    ----------
    x
        (N, C, T, H, W).
    w
        (C_out, C, K_t, K_h, K_w), odd in height and width.
    b
        (C_out,), or None.
    stride
        Frames from one window to the next.

    Returns
    -------
    y
        (N, C_out, ⌊(T − K_t)/s⌋ + 1, H, W).

    Raises
    ------
    ValueError
        If the kernel's height or width is even, or it has more frames than the clip.

    References
    ----------
    CS231n, "Video Classification: 3D CNN"; [K14]_, section 3.1.

    Examples
    --------
    >>> clip = np.array([1.0, 5.0, 6.0]).reshape(1, 1, 3, 1, 1)
    >>> slow_fusion(clip, np.array([-1.0, 1.0]).reshape(1, 1, 2, 1, 1)).ravel()
    array([4., 1.])
    """
    return layers.conv3d(x, w, b, stride=(stride, 1, 1), padding=(0, *_same(w)))


def _same(w: np.ndarray) -> tuple[int, int]:
    """The zeros around height and width that keep every position."""
    height, width = w.shape[3:]
    if height % 2 == 0 or width % 2 == 0:
        raise ValueError(f"w: expected an odd height and width, so that a kernel has a center, got {height}×{width}")
    return height // 2, width // 2


def temporal_extent(frames: PositiveInt, kernel: PositiveInt, stride: PositiveInt = 1) -> Int[Array, ""]:
    r"""Count the frames that a layer of slow fusion leaves.

    .. math:: \left\lfloor \frac{T - K_t}{s} \right\rfloor + 1

    Parameters
    ----------
    frames
        Frames T that come.
    kernel, stride
        Frames of a window, and from one window to the next.

    Returns
    -------
    extent
        0-d; 0 if the window is longer than the clip.

    References
    ----------
    CS231n, "Video Classification: 3D CNN"; [K14]_, section 3.1.

    Examples
    --------
    >>> int(temporal_extent(10, 4, 2)), int(temporal_extent(4, 2, 2))   # the paper's first two layers
    (4, 2)
    """
    return np.asarray(max(0, (frames - kernel) // stride + 1))


# ------------------------------------------------------------------ what a network sees


def fovea_context(
    x: Float[Array, "N C T H W"],
) -> tuple[Float[Array, "N C T P Q"], Float[Array, "N C T P Q"]]:
    r"""Split a clip as an eye does: its center sharply, the whole of it coarsely, each at a quarter of the pixels.

    .. math:: \text{fovea} = x[\tfrac{H}{4} : \tfrac{3H}{4},\; \tfrac{W}{4} : \tfrac{3W}{4}], \qquad
              \text{context}[r, q] = \tfrac14 \sum_{i, j \in \{0, 1\}} x[2r + i, 2q + j]

    Two networks on these cost half of one on the whole frame.

    Parameters
    ----------
    x
        (N, C, T, H, W), H and W even. Where H/2 is odd, the center lies half a pixel up, and likewise to the left.

    Returns
    -------
    fovea, context
        Each (N, C, T, H/2, W/2).

    Raises
    ------
    ValueError
        If H or W is odd.

    References
    ----------
    [K14]_, section 3.2; CS231n, "Early Fusion vs Late Fusion vs 3D CNN".

    Examples
    --------
    >>> fovea, context = fovea_context(np.arange(16.0).reshape(1, 1, 1, 4, 4))
    >>> fovea[0, 0, 0], context[0, 0, 0]
    (array([[ 5.,  6.],
           [ 9., 10.]]), array([[ 2.5,  4.5],
           [10.5, 12.5]]))
    """
    height, width = x.shape[3:]
    if height % 2 or width % 2:
        raise ValueError(f"x: expected an even height and width, got {height}×{width}; cut off a row or a column")
    top, left = height // 4, width // 4
    fovea = x[..., top : top + height // 2, left : left + width // 2]
    return fovea, layers.avg_pool3d(x, (1, 2, 2))


def receptive_field(
    kernels: Int[Array, "L"], strides: Int[Array, "L"], dilations: Int[Array, "L"] | None = None
) -> Int[Array, "L"]:
    r"""Follow through a stack of layers how much of the input one output position has seen, along one axis.

    .. math:: r_l = r_{l-1} + d_l (k_l - 1)\, j_{l-1}, \qquad j_l = s_l\, j_{l-1}, \qquad r_0 = j_0 = 1

    The jump j is how far apart two neighbors of a layer lie in the input. Near the input's border, or where the input is
    smaller than r, only a part of the field exists.

    Parameters
    ----------
    kernels
        (L,), extents of the windows of convolutions and pools, in the order in which they run.
    strides
        (L,), their steps.
    dilations
        (L,), the steps between their taps; 1 if None.

    Returns
    -------
    fields
        (L,), the receptive field after each layer.

    Raises
    ------
    ValueError
        If a number is below 1.

    References
    ----------
    CS231n, "Early Fusion vs Late Fusion vs 3D CNN"; W. Luo et al., "Understanding the effective receptive field in deep
    convolutional neural networks", NeurIPS 2016.

    Examples
    --------
    Convolution 3, pool 4 with stride 4, convolution 3: the deck's three networks, in space.

    >>> receptive_field(np.array([3, 4, 3]), np.array([1, 4, 1]))
    array([ 3,  6, 14])
    """
    dilations = np.ones_like(kernels) if dilations is None else dilations
    for name, values in (("kernels", kernels), ("strides", strides), ("dilations", dilations)):
        if values.min() < 1:
            raise ValueError(f"{name}: expected numbers of at least 1, got {values.tolist()}")
    fields, field, jump = [], 1, 1
    for k, s, d in zip(kernels.tolist(), strides.tolist(), dilations.tolist(), strict=True):
        field += d * (k - 1) * jump
        jump *= s
        fields.append(field)
    return np.array(fields)
