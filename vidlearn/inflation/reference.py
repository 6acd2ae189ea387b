"""Inflation from scratch in NumPy: what to put into a 3D kernel, so that a network starts from what images taught.

Images are ``(N, C, H, W)``, clips ``(N, C, T, H, W)``; kernels ``(C_out, C_in, K_h, K_w)`` and
``(C_out, C_in, K_t, K_h, K_w)``. Shapes are checked by :class:`vidlearn.Operation`.

References
----------
.. [I3D] J. Carreira and A. Zisserman, "Quo vadis, action recognition? A new model and the Kinetics dataset",
   CVPR 2017.
.. [TSN] L. Wang et al., "Temporal segment networks: towards good practices for deep action recognition", ECCV 2016.
.. [ViViT] A. Arnab et al., "ViViT: a video vision transformer", ICCV 2021.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vidlearn.signature import Array, Float, OddInt, PositiveInt

__all__ = ["boring_video", "cross_modality", "inflate", "inflate_centered"]


def inflate(w2d: Float[Array, "O I Kh Kw"], k_t: PositiveInt) -> Float[Array, "O I T Kh Kw"]:
    r"""Give a 2D kernel an axis of time, so that a video in which nothing moves is answered as its frame was.

    .. math:: W_{3D}[o, i, t, y, x] = \frac{1}{K_t} W_{2D}[o, i, y, x]

    Summed over time this is the 2D kernel again. So wherever the whole window lies inside a clip of equal frames, the
    3D convolution gives what the 2D one gives on a frame: biases, batch norm and linear layers are taken over as they
    are. Near the ends of the clip zero padding lets through only the share of the window that is inside: 2/3 of the
    answer at the first and last frame for :math:`K_t = 3`. Padding with copies of the end frames has no such loss.

    Parameters
    ----------
    w2d
        (C_out, C_in, K_h, K_w), a kernel that learned from images.
    k_t
        Frames that the new kernel spans.

    Returns
    -------
    w3d
        (C_out, C_in, k_t, K_h, K_w).

    See Also
    --------
    inflate_centered : looks at one frame at first, and is exact at the ends of the clip too.

    References
    ----------
    J. Carreira and A. Zisserman, "Quo vadis, action recognition?", CVPR 2017, section 2.4; SJTU, "Bootstrapping 3D
    filters from 2D Filters".

    Examples
    --------
    >>> inflate(np.array([[[[3.0, 6.0]]]]), 3)[0, 0, :, 0]
    array([[1., 2.],
           [1., 2.],
           [1., 2.]])
    """
    return np.stack([w2d / k_t] * k_t, axis=2)


def inflate_centered(w2d: Float[Array, "O I Kh Kw"], k_t: OddInt) -> Float[Array, "O I T Kh Kw"]:
    r"""Give a 2D kernel an axis of time that it does not use yet: every clip is answered frame by frame at first.

    .. math:: W_{3D}[o, i, t] = W_{2D}[o, i] \text{ at } t = (K_t - 1) / 2, \quad 0 \text{ elsewhere}

    With "same" padding the 3D convolution then gives, on every frame of every clip, what the 2D one gives on that
    frame. Training decides what the zeros become.

    Parameters
    ----------
    w2d
        (C_out, C_in, K_h, K_w), a kernel that learned from images.
    k_t
        Frames that the new kernel spans; odd, so that there is one in the middle.

    Returns
    -------
    w3d
        (C_out, C_in, k_t, K_h, K_w).

    See Also
    --------
    inflate : averages over time instead.

    References
    ----------
    A. Arnab et al., "ViViT: a video vision transformer", ICCV 2021, section 3.4 ("central frame initialization"); L9,
    "Long-term Two-Stream networks and transforming filters by Inflation".

    Examples
    --------
    >>> inflate_centered(np.array([[[[3.0, 6.0]]]]), 3)[0, 0, :, 0]
    array([[0., 0.],
           [3., 6.],
           [0., 0.]])
    """
    w3d = np.zeros((*w2d.shape[:2], k_t, *w2d.shape[2:]), w2d.dtype)
    w3d[:, :, k_t // 2] = w2d
    return w3d


def boring_video(frame: Float[Array, "N C H W"], frames: PositiveInt) -> Float[Array, "N C T H W"]:
    r"""Make the video that tests an inflated network: one image, shown for a while.

    .. math:: x[n, c, t] = \mathrm{frame}[n, c] \quad \text{for every } t

    "Boring video" is the word of the paper. A network inflated rightly says about it what the 2D network says about
    the image.

    Parameters
    ----------
    frame
        (N, C, H, W), a batch of images.
    frames
        How long each is shown, in frames.

    Returns
    -------
    clip
        (N, C, frames, H, W).

    References
    ----------
    J. Carreira and A. Zisserman, "Quo vadis, action recognition?", CVPR 2017, section 2.4; SJTU, "Bootstrapping 3D
    filters from 2D Filters".

    Examples
    --------
    >>> boring_video(np.array([[[[0.0, 0.5]]]]), 3)[0, 0, :, 0]
    array([[0. , 0.5],
           [0. , 0.5],
           [0. , 0.5]])
    """
    return np.stack([frame] * frames, axis=2)


def cross_modality(w: Float[Array, "O C Kh Kw"], channels: PositiveInt) -> Float[Array, "O L Kh Kw"]:
    r"""Start a network for another modality, such as a stack of flow fields, from one that learned on color images.

    .. math:: W'[o, l] = \frac{1}{C} \sum_c W[o, c] \quad \text{for each of the } L \text{ new channels}

    Only the first layer changes, for it alone meets the input. Each new channel gets the mean over the colors, unscaled
    as in the paper: three channels in place of three colors keep the answer to a grey image, and with 20 (the u and v
    of ten flow fields) the weights of an output add up to 20/3 of what they did. The batch norm behind takes that up.

    Parameters
    ----------
    w
        (C_out, C, K_h, K_w), kernel of the first layer, with C = 3 for color.
    channels
        Channels of the new input; 2L for the u and v of L flow fields.

    Returns
    -------
    kernel
        (C_out, channels, K_h, K_w).

    References
    ----------
    L. Wang et al., "Temporal segment networks", ECCV 2016, section 3.2 ("cross modality pre-training"); SJTU,
    "Temporal Segment Network (TSN)".

    Examples
    --------
    >>> w = np.array([1.0, 2.0, 6.0]).reshape(1, 3, 1, 1)
    >>> cross_modality(w, 4)[0, :, 0, 0]
    array([3., 3., 3., 3.])
    """
    return np.stack([w.mean(axis=1)] * channels, axis=1)
