"""Attention: an answer at one position that is a weighted mean over all positions, however far away.

Tokens are ``(N, L, D)``: L positions of D features for each of N samples; clips are ``(N, C, T, H, W)``. Shapes are
checked by :class:`vidlearn.Operation`.

References
----------
.. [NL] X. Wang, R. Girshick, A. Gupta, K. He, "Non-local neural networks", CVPR 2018.
.. [V] A. Vaswani et al., "Attention is all you need", NeurIPS 2017.
.. [O] M. Milakov, N. Gimelshein, "Online normalizer calculation for softmax", 2018.
.. [F] T. Dao et al., "FlashAttention: fast and memory-efficient exact attention with IO-awareness", NeurIPS 2022.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vidlearn import layers
from vidlearn.nonlocal_attention.checks import (
    check_block,
    check_heads,
    check_mask,
    check_memory,
    check_pair_weights,
    check_pool,
)

if TYPE_CHECKING:
    from typing import Literal

    from vidlearn.signature import Array, Bool, Float, Int, PositiveFloat, PositiveInt

__all__ = [
    "attention",
    "multi_head_attention",
    "nonlocal_block",
    "nonlocal_macs",
    "nonlocal_mean",
    "online_attention",
    "pairwise_weights",
]

# ------------------------------------------------------------------ how much of each


def pairwise_weights(
    theta: Float[Array, "N L D"],
    phi: Float[Array, "N M D"],
    pairwise: Literal["gaussian", "embedded gaussian", "dot product", "concatenation"] = "embedded gaussian",
    w_f: Float[Array, "F"] | None = None,
) -> Float[Array, "N L M"]:
    r"""Say how much of each position j goes into the answer at position i.

    .. math:: \begin{aligned}
              \text{(embedded) Gaussian:} &\quad f_{ij} = e^{\theta_i \cdot \phi_j}, && w_{ij} = f_{ij} / \textstyle\sum_j f_{ij} \\
              \text{dot product:} &\quad f_{ij} = \theta_i \cdot \phi_j, && w_{ij} = f_{ij} / M \\
              \text{concatenation:} &\quad f_{ij} = \max(0,\, w_f \cdot [\theta_i, \phi_j]), && w_{ij} = f_{ij} / M
              \end{aligned}

    Only the exponential is positive and can be divided by its sum: that is a softmax over j. The other two can sum to
    0, and are divided by the number of positions M, so that a longer clip does not answer louder. Gaussian and
    embedded Gaussian differ in what they are given: the features themselves, or projections of them.

    Parameters
    ----------
    theta
        (N, L, D), the positions that ask.
    phi
        (N, M, D), the positions that are looked at.
    pairwise
        The pairwise function f with its normalization.
    w_f
        (2D,), only for ``"concatenation"``: D numbers for theta, then D for phi.

    Returns
    -------
    w
        (N, L, M); with the two Gaussians each row sums to 1.

    Raises
    ------
    ValueError
        If `w_f` is missing, not needed, or not of 2D numbers.
    MemoryError
        If the weights are more than the reference may hold, 2 GiB; nothing has been computed then.

    References
    ----------
    X. Wang et al., "Non-local neural networks", CVPR 2018, section 3.2; SJTU, "Nonlocal neural networks".

    Examples
    --------
    The first of two positions resembles itself by 1 and the other by 0: e to 1.

    >>> x = np.array([[[1.0], [0.0]]])
    >>> pairwise_weights(x, x)[0].round(3)
    array([[0.731, 0.269],
           [0.5  , 0.5  ]])
    >>> pairwise_weights(x, x, "dot product")[0]
    array([[0.5, 0. ],
           [0. , 0. ]])
    """
    check_pair_weights(pairwise, w_f, 2 * theta.shape[2])
    check_memory(len(theta), theta.shape[1], phi.shape[1], theta.itemsize)
    M = phi.shape[1]
    if w_f is not None:
        to_theta, to_phi = np.split(w_f, 2)
        f = np.maximum(0, (theta @ to_theta)[:, :, None] + (phi @ to_phi)[:, None, :])
        return f / M
    f = theta @ phi.transpose(0, 2, 1)
    if pairwise == "dot product":
        return f / M
    return layers.softmax.reference(f)


def nonlocal_mean(
    theta: Float[Array, "N L D"],
    phi: Float[Array, "N M D"],
    g: Float[Array, "N M E"],
    pairwise: Literal["gaussian", "embedded gaussian", "dot product", "concatenation"] = "embedded gaussian",
    w_f: Float[Array, "F"] | None = None,
) -> Float[Array, "N L E"]:
    r"""Answer at every position with a weighted mean over all positions: the non-local operation.

    .. math:: y_i = \frac{1}{\mathcal{C}(x)} \sum_j f(\theta_i, \phi_j)\, g_j

    A convolution weighs by *where* j lies from i; this weighs by *what* is there, wherever it lies.

    Parameters
    ----------
    theta, phi
        (N, L, D) and (N, M, D): what decides the weights, see :func:`pairwise_weights`.
    g
        (N, M, E), what is averaged.
    pairwise, w_f
        The pairwise function, see :func:`pairwise_weights`.

    Returns
    -------
    y
        (N, L, E).

    Raises
    ------
    ValueError
        If `w_f` is missing, not needed, or not of 2D numbers.
    MemoryError
        If the weights are more than the reference may hold, 2 GiB; nothing has been computed then.

    References
    ----------
    X. Wang et al., CVPR 2018, equation 1; SJTU, "Nonlocal neural networks"; A. Buades et al., "A non-local algorithm
    for image denoising", CVPR 2005.

    Examples
    --------
    The first position resembles the second far more than the third, and takes its value.

    >>> theta = np.array([[[9.0]]])
    >>> phi = np.array([[[0.0], [1.0], [0.0]]])
    >>> nonlocal_mean(theta, phi, np.array([[[5.0], [7.0], [5.0]]])).round(3)
    array([[[7.]]])
    """
    return pairwise_weights(theta, phi, pairwise, w_f) @ g


# ------------------------------------------------------------------ the block


def nonlocal_block(
    x: Float[Array, "N C T H W"],
    w_g: Float[Array, "M C"],
    w_z: Float[Array, "C M"],
    w_theta: Float[Array, "M C"] | None = None,
    w_phi: Float[Array, "M C"] | None = None,
    w_f: Float[Array, "F"] | None = None,
    pairwise: Literal["gaussian", "embedded gaussian", "dot product", "concatenation"] = "embedded gaussian",
    over: Literal["space-time", "space", "time"] = "space-time",
    subsample: PositiveInt = 1,
) -> Float[Array, "N C T H W"]:
    r"""Let every place and moment of a clip look at every other one: the block that is put into a trained network.

    .. math:: z_i = W_z\, y_i + x_i, \quad y_i = \frac{1}{\mathcal{C}(x)} \sum_j f(W_\theta x_i, W_\phi x_j)\, W_g x_j

    With :math:`W_z = 0` it changes nothing: so it can be put between any two layers of a network that works already,
    and learn from there.

    Parameters
    ----------
    x
        (N, C, T, H, W), a batch of clips of features.
    w_g, w_z
        (M, C) and (C, M): to fewer channels and back, at every position alone (1 × 1 × 1 convolutions).
    w_theta, w_phi
        (M, C); None for ``"gaussian"``, which compares x with itself.
    w_f
        (2M,), only for ``"concatenation"``.
    pairwise
        The pairwise function, see :func:`pairwise_weights`.
    over
        Who looks at whom: all places at all moments, the places of one frame, or one place through time.
    subsample
        s: what is looked at (φ and g) is max-pooled over s × s places, not over time. That costs :math:`s^2` times
        less and keeps an answer at every position. Rows and columns beyond a multiple of s are not looked at.

    Returns
    -------
    z
        (N, C, T, H, W).

    Raises
    ------
    ValueError
        If weights are missing or not needed, if `subsample` has no place in the frame, or is asked for over time.
    MemoryError
        If the weights of all pairs are more than the reference may hold, 2 GiB; nothing has been computed then.

    References
    ----------
    X. Wang et al., CVPR 2018, equation 6 and figure 2; CS231n, "Spatio-Temporal Self-Attention (Nonlocal Block)".

    Examples
    --------
    One dark and one bright pixel. By dot product the bright one sees itself, halved because there are two.

    >>> x, one = np.array([0.0, 1.0]).reshape(1, 1, 1, 1, 2), np.ones((1, 1))
    >>> nonlocal_block(x, one, one, one, one, pairwise="dot product").ravel()
    array([0. , 1.5])
    >>> nonlocal_block(x, one, 0 * one, one, one).ravel()
    array([0., 1.])
    """
    check_block(pairwise, w_theta, w_phi, over, subsample)
    N, C, T, H, W = x.shape
    theta = x if w_theta is None else np.einsum("mc,ncthw->nmthw", w_theta, x)
    phi = x if w_phi is None else np.einsum("mc,ncthw->nmthw", w_phi, x)
    g = np.einsum("mc,ncthw->nmthw", w_g, x)
    if subsample > 1:
        phi, g = (layers.max_pool3d(a, (1, subsample, subsample)) for a in (phi, g))

    def tokens(a: Array) -> Array:
        """Write (N, C, T, H, W) as sets of positions (sets, positions, C) that look at one another."""
        sets, rest = {"space-time": ((0,), (2, 3, 4)), "space": ((0, 2), (3, 4)), "time": ((0, 3, 4), (2,))}[over]
        count = int(np.prod([a.shape[axis] for axis in sets]))
        return a.transpose(*sets, *rest, 1).reshape(count, -1, a.shape[1])

    y = nonlocal_mean(tokens(theta), tokens(phi), tokens(g), pairwise, w_f) @ w_z.T
    if over == "time":
        return x + y.reshape(N, H, W, T, C).transpose(0, 4, 3, 1, 2)
    return x + y.reshape(N, T, H, W, C).transpose(0, 4, 1, 2, 3)


def nonlocal_macs(
    channels: PositiveInt,
    inner: PositiveInt,
    frames: PositiveInt,
    height: PositiveInt,
    width: PositiveInt,
    over: Literal["space-time", "space", "time"] = "space-time",
    subsample: PositiveInt = 1,
) -> Int[Array, ""]:
    r"""Count the multiply-accumulates of an embedded Gaussian :func:`nonlocal_block` on one clip.

    .. math:: \underbrace{4\, C M L}_{\theta,\, \phi,\, g,\, z} + \underbrace{2\, L\, K M}_{\theta \phi^T,\; w g}

    for :math:`L = THW` positions of which each looks at K. The second term grows with the square of L; sub-sampling
    by s divides it by :math:`s^2`. (φ and g are pooled after their projection, as in the paper.)

    Parameters
    ----------
    channels, inner
        C and M.
    frames, height, width
        T, H, W.
    over, subsample
        As in :func:`nonlocal_block`.

    Returns
    -------
    macs
        A number.

    Raises
    ------
    ValueError
        If `subsample` has no place in the frame, or is asked for over time.

    References
    ----------
    X. Wang et al., CVPR 2018, section 3.3; SJTU, "Nonlocal neural networks" (e).

    Examples
    --------
    One position that looks at itself: four projections and two products. Two positions: twice as many projections and
    four times as many products.

    >>> int(nonlocal_macs(8, 4, 1, 1, 1)), int(nonlocal_macs(8, 4, 1, 1, 2))
    (136, 288)
    """
    check_pool(over, subsample, height, width)
    positions = frames * height * width
    keys = {
        "space-time": frames * (height // subsample) * (width // subsample),
        "space": (height // subsample) * (width // subsample),
        "time": frames,
    }[over]
    return np.array(4 * channels * inner * positions + 2 * positions * keys * inner)


# ------------------------------------------------------------------ as transformers say it


def attention(
    q: Float[Array, "N L D"],
    k: Float[Array, "N M D"],
    v: Float[Array, "N M E"],
    mask: Bool[Array, "L M"] | None = None,
    scale: PositiveFloat | None = None,
) -> Float[Array, "N L E"]:
    r"""Look up values by how well their keys answer a query: scaled dot-product attention.

    .. math:: y = \operatorname{softmax}\!\left( q k^T / \sqrt{D} \right) v

    It is :func:`nonlocal_mean` with the embedded Gaussian, ``theta = q / √D``, ``phi = k`` and ``g = v``. The scale
    keeps the softmax soft: the product of two vectors of D standard normal numbers has a spread of :math:`\sqrt D`.

    Parameters
    ----------
    q
        (N, L, D), queries.
    k, v
        (N, M, D) and (N, M, E), keys and their values.
    mask
        (L, M), True where a query may look; None if everywhere.
    scale
        What the products are multiplied with, :math:`1/\sqrt D` if it is None.

    Returns
    -------
    y
        (N, L, E).

    Raises
    ------
    ValueError
        If the mask leaves a query nothing to look at.
    MemoryError
        If the weights of all pairs are more than the reference may hold, 2 GiB; nothing has been computed then.

    References
    ----------
    A. Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.2.1; CS231n, "Recall: Self-Attention".

    Examples
    --------
    A query that no key answers better than another gets the mean.

    >>> v = np.array([[[1.0], [3.0]]])
    >>> attention(np.zeros((1, 1, 2)), np.ones((1, 2, 2)), v)
    array([[[2.]]])
    >>> attention(np.zeros((1, 1, 2)), np.ones((1, 2, 2)), v, mask=np.array([[False, True]]))
    array([[[3.]]])
    """
    check_memory(len(q), q.shape[1], k.shape[1], q.itemsize)
    e = q @ k.transpose(0, 2, 1) * (q.shape[2] ** -0.5 if scale is None else scale)
    if mask is not None:
        check_mask(mask)
        e = np.where(mask, e, -np.inf)
    return layers.softmax.reference(e) @ v


def multi_head_attention(
    x: Float[Array, "N L D"],
    w_qkv: Float[Array, "Q D"],
    w_out: Float[Array, "D D"],
    b_qkv: Float[Array, "Q"] | None = None,
    b_out: Float[Array, "D"] | None = None,
    heads: PositiveInt = 1,
) -> Float[Array, "N L D"]:
    r"""Let tokens look at one another in several ways at once, each in its own share of the features.

    .. math:: q, k, v = x W_{qkv}^T + b_{qkv}, \quad
              y = [\operatorname{attention}(q_1, k_1, v_1), \dots, \operatorname{attention}(q_h, k_h, v_h)]\, W_{out}^T + b_{out}

    Head i has features :math:`i D/h \dots (i + 1) D/h - 1` of q, k and v. With one head, no bias and the scale taken into
    the queries, it is a :func:`nonlocal_block` without its "+ x".

    Parameters
    ----------
    x
        (N, L, D), tokens.
    w_qkv, b_qkv
        (3D, D) and (3D,): rows for the queries, then the keys, then the values, as published weights have them.
    w_out, b_out
        (D, D) and (D,): mixes the heads' answers.
    heads
        h, a divisor of D.

    Returns
    -------
    y
        (N, L, D).

    Raises
    ------
    ValueError
        If `w_qkv` has not 3D rows, or `heads` does not divide D.
    MemoryError
        If the weights of all pairs are more than the reference may hold, 2 GiB; nothing has been computed then.

    References
    ----------
    A. Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.2.2; CS231n, "Recall: Self-Attention".

    Examples
    --------
    With keys that are all 0 each token gets the mean of all.

    >>> x = np.array([[[1.0, 0.0], [3.0, 4.0]]])
    >>> w_qkv = np.concatenate([np.zeros((4, 2)), np.eye(2)])
    >>> multi_head_attention(x, w_qkv, np.eye(2), heads=2)
    array([[[2., 2.],
            [2., 2.]]])
    """
    N, L, D = x.shape
    check_heads(D, w_qkv.shape[0], heads)
    qkv = layers.linear(x, w_qkv, b_qkv).reshape(N, L, 3, heads, D // heads)
    q, k, v = qkv.transpose(2, 0, 3, 1, 4).reshape(3, N * heads, L, D // heads)
    y = attention(q, k, v).reshape(N, heads, L, D // heads)
    return layers.linear(y.transpose(0, 2, 1, 3).reshape(N, L, D), w_out, b_out)


# ------------------------------------------------------------------ without its memory


def online_attention(
    q: Float[Array, "N L D"],
    k: Float[Array, "N M D"],
    v: Float[Array, "N M E"],
    scale: PositiveFloat | None = None,
    tile: PositiveInt = 128,
) -> Float[Array, "N L E"]:
    r"""Compute :func:`attention` one tile of keys after the other, and never hold all weights.

    A softmax seems to need its whole row, for the largest score and for the sum. But both can be kept up to date: when
    a tile brings a larger maximum m′, what was summed so far was too large by :math:`e^{m' - m}`, and is scaled down.

    .. math:: \begin{aligned}
              m' &= \max(m, \max_j e_{ij}), \quad c = e^{m - m'} \\
              \ell' &= c\,\ell + \textstyle\sum_j e^{e_{ij} - m'} \\
              a' &= c\,a + \textstyle\sum_j e^{e_{ij} - m'} v_j, \quad y = a / \ell
              \end{aligned}

    Memory grows with L × tile, no longer with L × M. It is the same answer, not an approximation.

    Parameters
    ----------
    q
        (N, L, D), queries.
    k, v
        (N, M, D) and (N, M, E), keys and their values.
    scale
        What the products are multiplied with, :math:`1/\sqrt D` if it is None.
    tile
        How many keys are looked at at a time.

    Returns
    -------
    y
        (N, L, E).

    References
    ----------
    M. Milakov, N. Gimelshein, "Online normalizer calculation for softmax", 2018; T. Dao et al., "FlashAttention",
    NeurIPS 2022, algorithm 1; CS231n, "Recall: Self-Attention".

    Examples
    --------
    Scores of 0 and 800: the second tile makes the first one vanish, and nothing overflows.

    >>> q, k, v = np.ones((1, 1, 1)), np.array([[[0.0], [800.0]]]), np.array([[[5.0], [7.0]]])
    >>> online_attention(q, k, v, tile=1)
    array([[[7.]]])
    """
    scale = q.shape[2] ** -0.5 if scale is None else scale
    N, L, _ = q.shape
    m = np.full((N, L, 1), np.finfo(q.dtype).min, q.dtype)  # the largest score so far
    total = np.zeros((N, L, 1), q.dtype)
    y = np.zeros((N, L, v.shape[2]), q.dtype)
    for start in range(0, k.shape[1], tile):
        e = q @ k[:, start : start + tile].transpose(0, 2, 1) * scale
        larger = np.maximum(m, e.max(axis=2, keepdims=True))
        correction = np.exp(m - larger)
        p = np.exp(e - larger)
        total = correction * total + p.sum(axis=2, keepdims=True)
        y = correction * y + p @ v[:, start : start + tile]
        m = larger
    return y / total
