r"""SlowFast: a pathway that looks seldom and closely, one that looks often and fleetingly, and what joins them.

Clips and features are ``(N, C, T, H, W)``. The Fast pathway has :math:`\alpha` times as many frames as the Slow one.
What can be written in `vidlearn.layers` is, so that it runs wherever its arrays are. Shapes are checked by
:class:`vidlearn.Operation`.

References
----------
.. [SF19] C. Feichtenhofer, H. Fan, J. Malik, K. He, "SlowFast networks for video recognition", ICCV 2019.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vidlearn import layers
from vidlearn.arrays import namespace

if TYPE_CHECKING:
    from typing import Literal

    from vidlearn.signature import Array, Float, Int, PositiveInt

__all__ = [
    "clip_span",
    "fused_block",
    "half_resolution",
    "lateral_connection",
    "sample_pathways",
    "time_difference",
    "time_strided_conv",
    "time_strided_sampling",
    "time_to_channel",
    "to_grey",
]


def _same(name: str, kernel: tuple[int, ...]) -> tuple[int, ...]:
    """Return the padding that keeps the size, (K − 1) / 2 on each side."""
    if any(k % 2 == 0 for k in kernel):
        raise ValueError(
            f"{name}: expected a kernel of odd sizes, so that one tap is in the middle, got {tuple(kernel)}"
        )
    return tuple(k // 2 for k in kernel)


def _check_rate(slow: Array, fast: Array, alpha: int) -> None:
    if fast.shape[2] != alpha * slow.shape[2]:
        raise ValueError(
            f"fast: expected alpha × {slow.shape[2]} = {alpha * slow.shape[2]} frames, as slow has {slow.shape[2]} and "
            f"alpha is {alpha}; got {fast.shape[2]}"
        )


def _slow_frames(name: str, x: Array, alpha: int) -> int:
    if x.shape[2] % alpha:
        raise ValueError(f"{name}: expected a multiple of alpha = {alpha} frames, got {x.shape[2]}; cut the clip")
    return int(x.shape[2]) // alpha


# ------------------------------------------------------------------ two rates from one clip


def clip_span(frames: PositiveInt, interval: PositiveInt) -> Int[Array, ""]:
    r"""Count the frames of a video from the first to the last one that a pathway looks at.

    .. math:: (n - 1)\, \tau + 1

    A network "4×16" looks at 4 frames in its Slow pathway, 16 frames of the video apart.

    Parameters
    ----------
    frames
        How many it looks at, n.
    interval
        From one to the next, :math:`\tau`, in frames of the video.

    Returns
    -------
    span
        A number of frames; divided by the video's frame rate, the clip's duration.

    References
    ----------
    C. Feichtenhofer et al., "SlowFast networks for video recognition", ICCV 2019, section 3.1; L9, "Example
    instantiation of a SlowFast network".

    Examples
    --------
    The two pathways of 4×16 with α = 8. The Fast one goes on for a moment after the Slow one's last frame.

    >>> int(clip_span(4, 16)), int(clip_span(32, 2))
    (49, 63)
    """
    return np.array((frames - 1) * interval + 1)


def sample_pathways(
    x: Float[Array, "N C T H W"], alpha: PositiveInt = 8, how: Literal["stride", "spread"] = "stride"
) -> tuple[Float[Array, "N C S H W"], Float[Array, "N C T H W"]]:
    r"""Take the frames of both pathways from one clip: all of them for Fast, one in :math:`\alpha` for Slow.

    .. math:: \text{stride: } t_i = \alpha\, i \qquad
       \text{spread: } t_i = \left\lfloor \frac{i\,(T - 1)}{T/\alpha - 1} \right\rfloor

    The paper says "stride". The code that was published with it, and the trained weights, spread the frames from the
    clip's first to its last one; then a Slow frame and the middle of what `time_strided_conv` sees for it are up to
    :math:`\alpha - 1` frames apart. Whole numbers are divided, so that no rounding error can lead to the frame before.

    Parameters
    ----------
    x
        (N, C, T, H, W), a batch of clips.
    alpha
        How many times more frames the Fast pathway has; T is a multiple of it.
    how
        "stride" or "spread". With a single Slow frame, both take the first.

    Returns
    -------
    slow, fast
        (N, C, T/α, H, W) and (N, C, T, H, W).

    Raises
    ------
    ValueError
        If T is not a multiple of `alpha`.

    References
    ----------
    C. Feichtenhofer et al., "SlowFast networks for video recognition", ICCV 2019, sections 3.1 and 3.2; L9, "Basic
    idea: Two pathways".

    Examples
    --------
    Each frame holds its number.

    >>> clip = np.arange(32.0).reshape(1, 1, 32, 1, 1)
    >>> for how in ("stride", "spread"):
    ...     slow, fast = sample_pathways(clip, 4, how)
    ...     print(slow.ravel().astype(int), fast.shape[2])
    [ 0  4  8 12 16 20 24 28] 32
    [ 0  4  8 13 17 22 26 31] 32
    """
    n, last = _slow_frames("x", x, alpha), x.shape[2] - 1
    times = [alpha * i if how == "stride" else i * last // max(n - 1, 1) for i in range(n)]
    return x[:, :, times], x


# ------------------------------------------------------------------ lateral connections


def time_to_channel(fast: Float[Array, "N C T H W"], alpha: PositiveInt) -> Float[Array, "N E S H W"]:
    r"""Pack every :math:`\alpha` frames in a row into the channels of one: nothing is lost, and there are no weights.

    .. math:: y[a\,C + c,\; s] = x[c,\; \alpha s + a] \qquad a = 0, \dots, \alpha - 1

    The paper reshapes :math:`\{\alpha T, S^2, \beta C\}` to :math:`\{T, S^2, \alpha\beta C\}` and leaves the order of
    the channels open. Here, all channels of the first of the :math:`\alpha` frames come first, then all of the second.

    Parameters
    ----------
    fast
        (N, C, T, H, W), features of the Fast pathway.
    alpha
        How many times more frames it has; T is a multiple of it.

    Returns
    -------
    y
        (N, αC, T/α, H, W).

    Raises
    ------
    ValueError
        If T is not a multiple of `alpha`.

    References
    ----------
    C. Feichtenhofer et al., "SlowFast networks for video recognition", ICCV 2019, section 3.4; SJTU, "SlowFast".

    Examples
    --------
    Two channels over four frames become four channels over two.

    >>> fast = np.array([[0.0, 1.0, 2.0, 3.0], [10.0, 11.0, 12.0, 13.0]]).reshape(1, 2, 4, 1, 1)
    >>> time_to_channel(fast, 2)[0, :, :, 0, 0]
    array([[ 0.,  2.],
           [10., 12.],
           [ 1.,  3.],
           [11., 13.]])
    """
    n, c, _, h, w = fast.shape
    s = _slow_frames("fast", fast, alpha)
    parts = fast.reshape(n, c, s, alpha, h, w)
    return namespace(fast).moveaxis(parts, 3, 1).reshape(n, alpha * c, s, h, w)


def time_strided_sampling(fast: Float[Array, "N C T H W"], alpha: PositiveInt) -> Float[Array, "N C S H W"]:
    r"""Keep the first of every :math:`\alpha` frames and drop the others.

    .. math:: y[c,\; s] = x[c,\; \alpha s]

    Parameters
    ----------
    fast
        (N, C, T, H, W), features of the Fast pathway.
    alpha
        How many times more frames it has.

    Returns
    -------
    y
        (N, C, S, H, W); S is T/α, rounded up.

    References
    ----------
    C. Feichtenhofer et al., "SlowFast networks for video recognition", ICCV 2019, section 3.4; SJTU, "SlowFast".

    Examples
    --------
    >>> time_strided_sampling(np.arange(8.0).reshape(1, 1, 8, 1, 1), 4).ravel()
    array([0., 4.])
    """
    return fast[:, :, ::alpha]


def time_strided_conv(
    fast: Float[Array, "N C T H W"], w: Float[Array, "O C Kt 1 1"], alpha: PositiveInt
) -> Float[Array, "N O S H W"]:
    r"""Convolve over time alone, in steps of :math:`\alpha` frames: the lateral connection that the paper chose.

    .. math:: y[o, s] = \sum_c \sum_{k=0}^{K_t - 1} w[o, c, k]\; x[c,\; \alpha s + k - \lfloor K_t / 2 \rfloor]

    at every pixel; frames outside the clip are zeros. The middle of window s is frame :math:`\alpha s`, the one that the
    Slow pathway sees too if it takes its frames by stride. Where :math:`K_t < \alpha`, some frames are in no window. In
    the network, :math:`K_t` is 5 or 7, there are twice as many channels after it as before, and a batch norm and a ReLU
    follow.

    Parameters
    ----------
    fast
        (N, C, T, H, W), features of the Fast pathway.
    w
        (C_out, C, K_t, 1, 1), K_t odd; no bias.
    alpha
        How many times more frames it has.

    Returns
    -------
    y
        (N, C_out, S, H, W); S is T/α, rounded up, whatever K_t.

    Raises
    ------
    ValueError
        If K_t is even.

    References
    ----------
    C. Feichtenhofer et al., "SlowFast networks for video recognition", ICCV 2019, section 3.4; SJTU, "SlowFast".

    Examples
    --------
    Sums of three frames, around frames 0 and 4; before the first there is nothing.

    >>> time_strided_conv(np.arange(8.0).reshape(1, 1, 8, 1, 1), np.ones((1, 1, 3, 1, 1)), 4).ravel()
    array([ 1., 12.])
    """
    return layers.conv3d(fast, w, stride=(alpha, 1, 1), padding=_same("w", w.shape[2:]))


def lateral_connection(
    slow: Float[Array, "N C S H W"],
    fast: Float[Array, "N D T H W"],
    alpha: PositiveInt = 8,
    how: Literal["conv", "sample", "time-to-channel"] = "conv",
    fuse: Literal["concatenate", "add"] = "concatenate",
    w: Float[Array, "O D Kt 1 1"] | None = None,
) -> Float[Array, "N E S H W"]:
    r"""Hand what the Fast pathway has seen to the Slow one.

    ===============  =========================  ============================
    how              the operation              channels that it hands on
    ===============  =========================  ============================
    conv             `time_strided_conv`        as many as `w` has; 2D in the paper
    sample           `time_strided_sampling`    D
    time-to-channel  `time_to_channel`          αD
    ===============  =========================  ============================

    Nothing goes the other way: the authors tried that too, and found similar results.

    Parameters
    ----------
    slow
        (N, C, S, H, W), features of the Slow pathway.
    fast
        (N, D, αS, H, W), features of the Fast pathway at the same stage.
    alpha
        How many times more frames Fast has.
    how
        How it is brought to the Slow pathway's rate.
    fuse
        "concatenate": put behind the Slow channels. "add": added to them, if there are as many.
    w
        (C_out, D, K_t, 1, 1), K_t odd, for "conv"; None for the others, which have no weights.

    Returns
    -------
    fused
        What the Slow pathway goes on with: (N, C + channels handed on, S, H, W), or of `slow`'s shape.

    Raises
    ------
    ValueError
        If `fast` does not have α times the frames of `slow`, `w` is missing or too much, K_t is even, or the channels
        to be added are not as many.

    References
    ----------
    C. Feichtenhofer et al., "SlowFast networks for video recognition", ICCV 2019, sections 3.3 and 3.4; SJTU,
    "SlowFast".

    Examples
    --------
    >>> slow, fast = np.array([0.0, 4.0]).reshape(1, 1, 2, 1, 1), np.arange(8.0).reshape(1, 1, 8, 1, 1)
    >>> lateral_connection(slow, fast, 4, "time-to-channel")[0, :, :, 0, 0]
    array([[0., 4.],
           [0., 4.],
           [1., 5.],
           [2., 6.],
           [3., 7.]])
    >>> lateral_connection(slow, fast, 4, "sample", "add").ravel()
    array([0., 8.])
    """
    _check_rate(slow, fast, alpha)
    if (w is None) != (how != "conv"):
        got, expected = ("got None", "the weights (C_out, D, K_t, 1, 1)") if w is None else ("got an array", "None")
        raise ValueError(f"w: expected {expected} where how is {how!r}, {got}; only 'conv' has weights")
    if how == "conv":
        handed = time_strided_conv(fast, w, alpha)
    elif how == "sample":
        handed = time_strided_sampling(fast, alpha)
    else:
        handed = time_to_channel(fast, alpha)
    if fuse == "concatenate":
        return namespace(slow).concatenate([slow, handed], axis=1)
    if handed.shape[1] != slow.shape[1]:
        raise ValueError(
            f"fuse: 'add' needs as many channels on both sides, but slow has {slow.shape[1]} and {how!r} hands on "
            f"{handed.shape[1]}; take 'concatenate'"
        )
    return slow + handed


def fused_block(
    slow: Float[Array, "N C S H W"],
    fast: Float[Array, "N D T H W"],
    w_lateral: Float[Array, "M D Kt 1 1"],
    w_slow: Float[Array, "P I At Ah Aw"],
    w_fast: Float[Array, "Q D Bt Bh Bw"],
    alpha: PositiveInt,
) -> tuple[Float[Array, "N P S H W"], Float[Array, "N Q T H W"]]:
    r"""Connect the pathways, then a convolution and a ReLU in each: a SlowFast network in small.

    .. math::

       \text{slow}' &= \max(0,\; W_s * [\text{slow},\; W_l *_\alpha \text{fast}]) \\
       \text{fast}' &= \max(0,\; W_f * \text{fast})

    The Slow pathway's kernel is wider than its features: it takes what was handed over too. The Fast pathway never sees
    the Slow one.

    Parameters
    ----------
    slow
        (N, C, S, H, W), features of the Slow pathway.
    fast
        (N, D, αS, H, W), features of the Fast pathway.
    w_lateral
        (M, D, K_t, 1, 1), K_t odd, of `time_strided_conv`; M = 2D in the paper.
    w_slow
        (C', C + M, ·, ·, ·), odd; the Slow channels come first.
    w_fast
        (D', D, ·, ·, ·), odd.
    alpha
        How many times more frames Fast has.

    Returns
    -------
    slow, fast
        (N, C', S, H, W) and (N, D', αS, H, W): both keep their sizes ("same" padding with zeros).

    Raises
    ------
    ValueError
        If `fast` does not have α times the frames of `slow`, a kernel has an even size, or `w_slow` is not for C + M
        channels.

    References
    ----------
    C. Feichtenhofer et al., "SlowFast networks for video recognition", ICCV 2019, sections 3.3 and 3.4; L9, "Example
    instantiation of a SlowFast network".

    Examples
    --------
    The Slow pathway adds up what it had and what it was given; the Fast one takes the change from the frame before.

    >>> slow, fast = np.array([0.0, 4.0]).reshape(1, 1, 2, 1, 1), np.array([0.0, 1.0, 3.0, 2.0]).reshape(1, 1, 4, 1, 1)
    >>> w_fast = np.array([-1.0, 1.0, 0.0]).reshape(1, 1, 3, 1, 1)
    >>> y_slow, y_fast = fused_block(slow, fast, np.ones((1, 1, 1, 1, 1)), np.ones((1, 2, 1, 1, 1)), w_fast, 2)
    >>> y_slow.ravel(), y_fast.ravel()
    (array([0., 7.]), array([0., 1., 2., 0.]))
    """
    _check_rate(slow, fast, alpha)
    channels = slow.shape[1] + w_lateral.shape[0]
    if w_slow.shape[1] != channels:
        raise ValueError(
            f"w_slow: expected {channels} input channels, {slow.shape[1]} of slow and {w_lateral.shape[0]} that "
            f"w_lateral makes; got {w_slow.shape[1]} in shape {tuple(w_slow.shape)}"
        )
    handed = layers.conv3d(fast, w_lateral, stride=(alpha, 1, 1), padding=_same("w_lateral", w_lateral.shape[2:]))
    fused = namespace(slow).concatenate([slow, handed], axis=1)
    y_slow = layers.conv3d(fused, w_slow, padding=_same("w_slow", w_slow.shape[2:]))
    y_fast = layers.conv3d(fast, w_fast, padding=_same("w_fast", w_fast.shape[2:]))
    return layers.relu(y_slow), layers.relu(y_fast)


# ------------------------------------------------------------------ what the Fast pathway can do without


def to_grey(x: Float[Array, "N 3 T H W"]) -> Float[Array, "N 1 T H W"]:
    r"""Take the colors away: how bright red, green and blue look together.

    .. math:: y = 0.299\,R + 0.587\,G + 0.114\,B

    Parameters
    ----------
    x
        (N, 3, T, H, W), a batch of clips; red, green, blue.

    Returns
    -------
    y
        (N, 1, T, H, W).

    References
    ----------
    C. Feichtenhofer et al., "SlowFast networks for video recognition", ICCV 2019, section 4.1; the weights are those of
    ITU-R BT.601; L9, "SlowFast ablations: Weaken the Fast appearance information".

    Examples
    --------
    A white pixel stays 1.

    >>> pixels = np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])     # white, green, red
    >>> to_grey(pixels.reshape(1, 3, 1, 1, 3)).ravel()
    array([1.   , 0.587, 0.299])
    """
    return 0.299 * x[:, 0:1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:3]


def time_difference(x: Float[Array, "N C T H W"]) -> Float[Array, "N C T H W"]:
    r"""Keep only what changes: each frame less the one before it.

    .. math:: y_t = x_t - x_{t-1}, \qquad y_0 = 0

    Of a clip in which nothing moves, nothing is left. The clip keeps its length: before the first frame, nothing is
    known to change.

    Parameters
    ----------
    x
        (N, C, T, H, W), a batch of clips.

    Returns
    -------
    y
        (N, C, T, H, W); the first frame is zeros.

    References
    ----------
    C. Feichtenhofer et al., "SlowFast networks for video recognition", ICCV 2019, section 4.1; L9, "SlowFast ablations:
    Weaken the Fast appearance information".

    Examples
    --------
    >>> time_difference(np.array([5.0, 5.0, 6.0, 4.0]).reshape(1, 1, 4, 1, 1)).ravel()
    array([ 0.,  0.,  1., -2.])
    """
    xp = namespace(x)
    return xp.concatenate([xp.zeros_like(x[:, :, :1]), x[:, :, 1:] - x[:, :, :-1]], axis=2)


def half_resolution(x: Float[Array, "N C T H W"]) -> Float[Array, "N C T P Q"]:
    r"""Take the detail away: the mean over 2 × 2 pixels.

    .. math:: y[r, q] = \tfrac14 \sum_{k=0}^{1} \sum_{l=0}^{1} x[2r + k,\; 2q + l]

    Parameters
    ----------
    x
        (N, C, T, H, W), a batch of clips; H and W even.

    Returns
    -------
    y
        (N, C, T, H/2, W/2).

    Raises
    ------
    ValueError
        If H or W is odd.

    References
    ----------
    C. Feichtenhofer et al., "SlowFast networks for video recognition", ICCV 2019, section 4.1; L9, "SlowFast ablations:
    Weaken the Fast appearance information".

    Examples
    --------
    >>> half_resolution(np.array([[1.0, 2.0, 0.0, 4.0], [3.0, 2.0, 0.0, 0.0]]).reshape(1, 1, 1, 2, 4)).ravel()
    array([2., 1.])
    """
    if x.shape[3] % 2 or x.shape[4] % 2:
        raise ValueError(
            f"x: expected an even height and width, got {x.shape[3]}×{x.shape[4]}; cut off a row or column"
        )
    return layers.avg_pool3d(x, (1, 2, 2), (1, 2, 2))
