"""Factorized 3D convolutions: the same field of view in steps that cost less, or that do more for the same cost.

Clips are ``(N, C, T, H, W)``. All convolutions here have stride 1, "same" padding with zeros, and no bias; kernels are
odd. They are written in `vidlearn.layers`. Shapes are checked by :class:`vidlearn.Operation`.

References
----------
.. [R21D] D. Tran et al., "A closer look at spatiotemporal convolutions for action recognition", CVPR 2018.
.. [S3D] S. Xie et al., "Rethinking spatiotemporal feature learning: speed-accuracy trade-offs in video
   classification", ECCV 2018.
.. [CSN] D. Tran et al., "Video classification with channel-separated convolutional networks", ICCV 2019.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vidlearn import layers

if TYPE_CHECKING:
    from typing import Literal

    from vidlearn.signature import Array, Float, Int, PositiveInt

__all__ = [
    "channel_separated",
    "compose_kernels",
    "conv2plus1d",
    "convolution_plan",
    "depthwise_conv3d",
    "factorized_macs",
    "factorized_parameters",
    "mid_channels",
]


def _same(name: str, kernel: tuple[int, ...]) -> tuple[int, ...]:
    """Return the padding that keeps the size, (K − 1) / 2 on each side."""
    if any(k % 2 == 0 for k in kernel):
        raise ValueError(
            f"{name}: expected a kernel of odd sizes, so that one tap is in the middle, got {tuple(kernel)}"
        )
    return tuple(k // 2 for k in kernel)


# ------------------------------------------------------------------ space, then time


def conv2plus1d(
    x: Float[Array, "N C T H W"], w_space: Float[Array, "M C Kh Kw"], w_time: Float[Array, "O M Kt"]
) -> Float[Array, "N O T H W"]:
    r"""Convolve in space, then in time, with a nonlinearity between: the (2+1)D convolution.

    .. math:: y = W_t *_t \max(0,\, W_s *_{xy} x)

    It sees what one :math:`K_t \times K_h \times K_w` convolution sees. With the M of `mid_channels` it has as many
    weights too, twice as many nonlinearities, and is easier to train. In the network, a batch norm stands before the
    ReLU.

    Parameters
    ----------
    x
        (N, C, T, H, W), a batch of clips.
    w_space
        (M, C, K_h, K_w), odd; the same 2D kernel for every frame.
    w_time
        (C_out, M, K_t), odd; the same 1D kernel for every pixel.

    Returns
    -------
    y
        (N, C_out, T, H, W).

    Raises
    ------
    ValueError
        If a kernel has an even size.

    References
    ----------
    D. Tran et al., "A closer look at spatiotemporal convolutions for action recognition", CVPR 2018, section 3.5; SJTU,
    "R(2+1)D".

    Examples
    --------
    A pixel that lights up for one frame; the kernel in time subtracts the frame before.

    >>> x = np.array([0.0, 1.0, 0.0, 0.0]).reshape(1, 1, 4, 1, 1)
    >>> conv2plus1d(x, np.ones((1, 1, 1, 1)), np.array([[[-1.0, 1.0, 0.0]]])).ravel()
    array([ 0.,  1., -1.,  0.])
    """
    pad_space, pad_time = _same("w_space", w_space.shape[2:]), _same("w_time", w_time.shape[2:])
    between = layers.relu(layers.conv3d(x, w_space[:, :, None], padding=(0, *pad_space)))
    return layers.conv3d(between, w_time[..., None, None], padding=(*pad_time, 0, 0))


def compose_kernels(w_space: Float[Array, "M C Kh Kw"], w_time: Float[Array, "O M Kt"]) -> Float[Array, "O C Kt Kh Kw"]:
    r"""Write a convolution in space and one in time, with nothing between, as the one 3D convolution that they are.

    .. math:: W[o, c, t, y, x] = \sum_m W_t[o, m, t] \, W_s[m, c, y, x]

    Only kernels of this form are in reach: as a matrix of :math:`C_{out} K_t` rows and :math:`C K_h K_w` columns, W has
    at most rank M. That is the constraint; the nonlinearity of `conv2plus1d` is what it is traded for.

    Parameters
    ----------
    w_space
        (M, C, K_h, K_w).
    w_time
        (C_out, M, K_t).

    Returns
    -------
    w
        (C_out, C, K_t, K_h, K_w).

    References
    ----------
    D. Tran et al., CVPR 2018, section 3.5; S. Xie et al., "Rethinking spatiotemporal feature learning", ECCV 2018;
    SJTU, "R(2+1)D".

    Examples
    --------
    A difference over space and a mean over time make a kernel of six taps.

    >>> compose_kernels(np.array([[[[-1.0, 1.0]]]]), np.array([[[0.25, 0.5, 0.25]]]))[0, 0, :, 0]
    array([[-0.25,  0.25],
           [-0.5 ,  0.5 ],
           [-0.25,  0.25]])
    """
    return np.einsum("omt,mchw->octhw", w_time, w_space)


def mid_channels(c_in: PositiveInt, c_out: PositiveInt, k_t: PositiveInt = 3, k_s: PositiveInt = 3) -> Int[Array, ""]:
    r"""Choose the channels between space and time so that a (2+1)D convolution has the weights of the full one.

    .. math:: M = \left\lfloor \frac{t\, d^2 N_{in} N_{out}}{d^2 N_{in} + t\, N_{out}} \right\rfloor

    It solves :math:`M (d^2 N_{in} + t N_{out}) = t d^2 N_{in} N_{out}` and rounds down, so that fewer than
    :math:`d^2 N_{in} + t N_{out}` weights are lost. Each convolution has its own M: a block whose first convolution
    doubles the channels has two.

    Parameters
    ----------
    c_in, c_out
        Channels before and after, N_in and N_out.
    k_t, k_s
        Extent of the kernel in time, t, and in height and width, d.

    Returns
    -------
    m
        A number; 0 where even one channel between has more weights than the full convolution.

    References
    ----------
    D. Tran et al., CVPR 2018, section 3.5; SJTU, "R(2+1)D".

    Examples
    --------
    In the first group of R(2+1)D-18, at the start of the second, and in the stem, whose kernel is 3 × 7 × 7:

    >>> [int(m) for m in (mid_channels(64, 64), mid_channels(64, 128), mid_channels(3, 64, 3, 7))]
    [144, 230, 83]

    The published nets have 45 channels in the stem.
    """
    space, time = k_s**2 * c_in, k_t * c_out
    return np.array(k_t * space * c_out // (space + time))


# ------------------------------------------------------------------ channels one by one


def depthwise_conv3d(x: Float[Array, "N C T H W"], w: Float[Array, "C Kt Kh Kw"]) -> Float[Array, "N C T H W"]:
    r"""Convolve every channel with a kernel of its own; no channel sees another.

    .. math:: y_c = w_c * x_c

    A full convolution costs :math:`C` times as much. As it mixes no channels, something else must: the 1 × 1 × 1
    convolutions before and behind it in a bottleneck ("interaction-reduced", ir-CSN), or one more of them just before
    it (`channel_separated`).

    Parameters
    ----------
    x
        (N, C, T, H, W), a batch of clips.
    w
        (C, K_t, K_h, K_w), odd.

    Returns
    -------
    y
        (N, C, T, H, W).

    Raises
    ------
    ValueError
        If the kernel has an even size.

    References
    ----------
    D. Tran et al., "Video classification with channel-separated convolutional networks", ICCV 2019, section 3; CUHK,
    "Parameter-Efficient 3D Networks".

    Examples
    --------
    >>> x = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]).reshape(1, 2, 3, 1, 1)
    >>> w = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]).reshape(2, 3, 1, 1)     # the second channel looks back
    >>> depthwise_conv3d(x, w)[0, :, :, 0, 0]
    array([[1., 2., 3.],
           [0., 1., 2.]])
    """
    return layers.conv3d(x, w[:, None], padding=_same("w", w.shape[1:]), groups=x.shape[1])


def channel_separated(
    x: Float[Array, "N C T H W"], w_point: Float[Array, "O C"], w_depth: Float[Array, "O Kt Kh Kw"]
) -> Float[Array, "N O T H W"]:
    r"""Mix the channels at each point, then convolve each with a kernel of its own: interaction-preserved, ip-CSN.

    .. math:: y_o = w_o * \sum_c P_{oc} \, x_c

    It is the full convolution whose kernel is the product :math:`P_{oc} w_o[t, y, x]`: every two channels still meet,
    but all that lead to one output share the shape of its kernel. Without the first step ("interaction-reduced",
    ir-CSN) it is `depthwise_conv3d`.

    Parameters
    ----------
    x
        (N, C, T, H, W), a batch of clips.
    w_point
        (C_out, C), weights of the 1 × 1 × 1 convolution.
    w_depth
        (C_out, K_t, K_h, K_w), odd.

    Returns
    -------
    y
        (N, C_out, T, H, W).

    Raises
    ------
    ValueError
        If a kernel has an even size.

    References
    ----------
    D. Tran et al., "Video classification with channel-separated convolutional networks", ICCV 2019, section 3; CUHK,
    "Parameter-Efficient 3D Networks".

    Examples
    --------
    The second channel less the first, then the change from the frame before:

    >>> x = np.array([[1.0, 1.0, 1.0], [1.0, 2.0, 4.0]]).reshape(1, 2, 3, 1, 1)
    >>> channel_separated(x, np.array([[-1.0, 1.0]]), np.array([-1.0, 1.0, 0.0]).reshape(1, 3, 1, 1)).ravel()
    array([0., 1., 2.])
    """
    padding = _same("w_depth", w_depth.shape[1:])
    mixed = layers.conv3d(x, w_point[..., None, None, None])
    return layers.conv3d(mixed, w_depth[:, None], padding=padding, groups=len(w_depth))


# ------------------------------------------------------------------ what it costs


def _steps(c_in: int, c_out: int, k_t: int, k_s: int, kind: str) -> list[tuple[int, bool, bool]]:
    """Return the weights of each step, and whether it already runs at the output's rate in time and in space."""
    if kind == "full":
        return [(c_in * c_out * k_t * k_s**2, True, True)]
    if kind in ("(2+1)d", "separable"):
        m = int(mid_channels(c_in, c_out, k_t, k_s)) if kind == "(2+1)d" else c_out
        return [(c_in * m * k_s**2, False, True), (m * c_out * k_t, True, True)]
    if kind == "channel-separated":
        return [(c_in * c_out, False, False), (c_out * k_t * k_s**2, True, True)]
    if c_in != c_out:
        raise ValueError(
            f"c_out: expected c_in = {c_in}, for a depthwise convolution keeps its channels; got {c_out}; "
            "'channel-separated' can change their number"
        )
    return [(c_out * k_t * k_s**2, True, True)]


def factorized_parameters(
    c_in: PositiveInt,
    c_out: PositiveInt,
    k_t: PositiveInt = 3,
    k_s: PositiveInt = 3,
    kind: Literal["full", "(2+1)d", "separable", "channel-separated", "depthwise"] = "full",
) -> Int[Array, ""]:
    r"""Count the weights of a :math:`K_t \times K_s \times K_s` convolution and of the ways to take it apart.

    ===================  ==============================================================  =====================
    kind                 steps                                                           weights
    ===================  ==============================================================  =====================
    full                 one 3D convolution                                              c_in c_out k_t k_s²
    (2+1)d               space, then time, with M = `mid_channels` between               M (k_s² c_in + k_t c_out)
    separable            the same with M = c_out (S3D)                                   c_out (k_s² c_in + k_t c_out)
    channel-separated    1 × 1 × 1, then depthwise (ip-CSN)                              c_out (c_in + k_t k_s²)
    depthwise            each channel by itself (ir-CSN); c_in = c_out                   c_out k_t k_s²
    ===================  ==============================================================  =====================

    Parameters
    ----------
    c_in, c_out
        Channels before and after.
    k_t, k_s
        Extent of the kernel in time, and in height and width.
    kind
        Which of the five.

    Returns
    -------
    parameters
        A number; no biases, no batch norm.

    Raises
    ------
    ValueError
        If `kind` is "depthwise" and the channels differ.

    References
    ----------
    D. Tran et al., CVPR 2018; S. Xie et al., ECCV 2018; D. Tran et al., ICCV 2019; CUHK, "Parameter-Efficient 3D
    Networks".

    Examples
    --------
    >>> for kind in ("full", "(2+1)d", "separable", "channel-separated", "depthwise"):
    ...     print(f"{int(factorized_parameters(64, 64, kind=kind)):7} {kind}")
     110592 full
     110592 (2+1)d
      49152 separable
       5824 channel-separated
       1728 depthwise
    """
    return np.array(sum(weights for weights, _, _ in _steps(c_in, c_out, k_t, k_s, kind)))


def factorized_macs(
    c_in: PositiveInt,
    c_out: PositiveInt,
    frames: PositiveInt,
    height: PositiveInt,
    width: PositiveInt,
    k_t: PositiveInt = 3,
    k_s: PositiveInt = 3,
    stride_t: PositiveInt = 1,
    stride_s: PositiveInt = 1,
    kind: Literal["full", "(2+1)d", "separable", "channel-separated", "depthwise"] = "full",
) -> Int[Array, ""]:
    r"""Count the multiplications of a convolution and of the ways to take it apart, "same" padding, odd kernel.

    Every weight is used once at each position where its step runs. Without stride, equal weights mean equal cost. With
    stride, a step that comes before it runs at more positions: in a (2+1)D convolution with a stride in time, the step
    in space meets every frame, and only the step in time skips some. So (2+1)D, which has the weights of the full
    convolution, is not the cheaper of the two.

    Parameters
    ----------
    c_in, c_out
        Channels before and after.
    frames, height, width
        Size of the input.
    k_t, k_s
        Extent of the kernel in time, and in height and width.
    stride_t, stride_s
        Stride in time, and in height and width; the output has ``ceil(size / stride)`` positions along each axis.
    kind
        Which of the five, as in `factorized_parameters`.

    Returns
    -------
    macs
        A number of multiply-accumulate operations, for one clip.

    Raises
    ------
    ValueError
        If `kind` is "depthwise" and the channels differ.

    References
    ----------
    D. Tran et al., CVPR 2018 and ICCV 2019; CUHK, "Parameter-Efficient 3D Networks". Papers often say FLOPs for this number.

    Examples
    --------
    >>> int(factorized_macs(64, 64, 8, 56, 56)) == 8 * 56 * 56 * int(factorized_parameters(64, 64))
    True
    >>> strided = {"frames": 8, "height": 56, "width": 56, "stride_t": 2, "stride_s": 2}
    >>> full, split = (int(factorized_macs(64, 128, kind=kind, **strided)) for kind in ("full", "(2+1)d"))
    >>> full, split
    (693633024, 1107886080)
    """
    macs = 0
    for weights, strided_in_time, strided_in_space in _steps(c_in, c_out, k_t, k_s, kind):
        t, s = stride_t if strided_in_time else 1, stride_s if strided_in_space else 1
        macs += weights * -(-frames // t) * -(-height // s) * -(-width // s)  # −(−n // s) rounds up
    return np.array(macs)


def convolution_plan(
    kind: Literal["f_r2d", "mc2", "mc3", "mc4", "mc5", "rmc2", "rmc3", "rmc4", "rmc5", "r3d", "r(2+1)d"],
) -> Int[Array, "5"]:
    r"""Say where an 18-layer video ResNet looks at time: the kernel's extent in time, in each of its five groups.

    A mixed convolution network, MCx, is 3D below group x and 2D from group x on: motion is low-level. A reversed one,
    rMCx, is 2D below and 3D from group x on: motion is high-level. Group 1 is the stem.

    Parameters
    ----------
    kind
        "f_r2d": every frame by itself; "r3d": 3D throughout; "r(2+1)d": the same extents, in two steps each; or one of
        the mixed ones. (R2D is none of them: it takes the frames of a clip for channels of its stem, and has no time
        from there on.)

    Returns
    -------
    extents
        Five numbers, K_t in groups 1 to 5.

    References
    ----------
    D. Tran et al., "A closer look at spatiotemporal convolutions for action recognition", CVPR 2018, sections 3.1 to
    3.5; SJTU, "R(2+1)D".

    Examples
    --------
    >>> convolution_plan("mc3"), convolution_plan("rmc3")
    (array([3, 3, 1, 1, 1]), array([1, 1, 3, 3, 3]))
    """
    group = np.arange(1, 6)
    if kind in ("r3d", "r(2+1)d"):
        in_time = group > 0
    elif kind == "f_r2d":
        in_time = group > 5
    elif kind.startswith("mc"):
        in_time = group < int(kind[-1])
    else:
        in_time = group >= int(kind[-1])
    return np.where(in_time, 3, 1)
