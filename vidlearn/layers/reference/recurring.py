"""Memory: what a network carries from frame to frame. LSTM on features, ConvGRU on feature maps, forward and backward."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vidlearn.layers.reference.convolving import conv2d, conv2d_backward

if TYPE_CHECKING:
    from vidlearn.signature import Array, Float


def _sigmoid(a: np.ndarray) -> np.ndarray:
    return (1 + np.tanh(a / 2)) / 2  # the same as 1 / (1 + e^(−a)), and never too large


def check_gates(gates: int, Wx: Array, h: Array) -> None:
    """Refuse weights that have not as many rows as the gates of this state need."""
    if Wx.shape[0] != gates * h.shape[1]:
        raise ValueError(
            f"Wx: expected {gates * h.shape[1]} rows, {gates} gates of {h.shape[1]} numbers each, "
            f"got {Wx.shape[0]} in shape {tuple(Wx.shape)}"
        )


# ------------------------------------------------------------------ LSTM


def lstm_cell(
    x: Float[Array, "N I"],
    h: Float[Array, "N D"],
    c: Float[Array, "N D"],
    Wx: Float[Array, "G I"],
    Wh: Float[Array, "G D"],
    b: Float[Array, "G"],
) -> tuple[Float[Array, "N D"], Float[Array, "N D"]]:
    r"""Read one frame's features, forget some of the memory, add some, and say something about it.

    .. math:: (i, f, g, o) = W_x x + W_h h + b, \quad
              c' = \sigma(f)\, c + \sigma(i) \tanh g, \quad h' = \sigma(o) \tanh c'

    Parameters
    ----------
    x
        (N, I), the features of one moment.
    h, c
        (N, D), what was said last and what is remembered.
    Wx, Wh, b
        (4D, I), (4D, D) and (4D,): the gates in the order input, forget, candidate, output.

    Returns
    -------
    h, c
        (N, D) each.

    Raises
    ------
    ValueError
        If the weights have not 4D rows.

    References
    ----------
    S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 1997; CS231n, "Modeling long-term
    temporal structure".

    Examples
    --------
    >>> zero, forget = np.zeros((1, 1)), np.array([-99.0, 99.0, 0.0, 99.0])   # add nothing, keep all, say all
    >>> h, c = lstm_cell(zero, zero, np.array([[0.5]]), np.zeros((4, 1)), np.zeros((4, 1)), forget)
    >>> c, h                                                  # the memory stays; tanh(0.5) is said
    (array([[0.5]]), array([[0.46211716]]))
    """
    check_gates(4, Wx, h)
    i, f, g, o = np.split(x @ Wx.T + h @ Wh.T + b, 4, axis=1)
    c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
    return _sigmoid(o) * np.tanh(c), c


def lstm_cell_backward(
    dh: Float[Array, "N D"],
    dc: Float[Array, "N D"],
    x: Float[Array, "N I"],
    h: Float[Array, "N D"],
    c: Float[Array, "N D"],
    Wx: Float[Array, "G I"],
    Wh: Float[Array, "G D"],
    b: Float[Array, "G"],
) -> tuple[
    Float[Array, "N I"],
    Float[Array, "N D"],
    Float[Array, "N D"],
    Float[Array, "G I"],
    Float[Array, "G D"],
    Float[Array, "G"],
]:
    r"""Carry the loss's gradient back through :func:`lstm_cell`: through what was said and through the memory.

    With :math:`\bar c = dc + dh\, \sigma(o)(1 - \tanh^2 c')`, the whole gradient of the new memory:

    .. math:: dc_{old} = \bar c\, \sigma(f), \quad
              di = \bar c \tanh(g)\, \sigma'(i), \quad df = \bar c\, c\, \sigma'(f), \quad
              dg = \bar c\, \sigma(i) (1 - \tanh^2 g), \quad do = dh \tanh(c')\, \sigma'(o)

    and from there as through a linear layer. Where the forget gate is open, nothing shrinks the gradient on its way
    through time.

    Parameters
    ----------
    dh, dc
        (N, D), gradients of the loss by the two answers.
    x, h, c, Wx, Wh, b
        As in the forward call.

    Returns
    -------
    dx, dh, dc, dWx, dWh, db
        Gradients of the loss by the arguments of the forward call.

    References
    ----------
    CS231n, "Modeling long-term temporal structure"; S. Hochreiter and J. Schmidhuber, Neural Computation 1997.

    Examples
    --------
    >>> zero, keep = np.zeros((1, 1)), np.array([-99.0, 99.0, 0.0, -99.0])
    >>> dx, dh, dc, *_ = lstm_cell_backward(zero, np.ones((1, 1)), zero, zero, zero, np.zeros((4, 1)), np.zeros((4, 1)), keep)
    >>> dc                                                   # an open forget gate passes it whole
    array([[1.]])
    """
    check_gates(4, Wx, h)
    i, f, g, o = np.split(x @ Wx.T + h @ Wh.T + b, 4, axis=1)
    i, f, g, o = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)
    said = np.tanh(f * c + i * g)
    memory = dc + dh * o * (1 - said**2)
    gates = [memory * g * i * (1 - i), memory * c * f * (1 - f), memory * i * (1 - g**2), dh * said * o * (1 - o)]
    da = np.concatenate(gates, axis=1)
    return da @ Wx, da @ Wh, memory * f, da.T @ x, da.T @ h, da.sum(axis=0)


def lstm(
    x: Float[Array, "N T I"], Wx: Float[Array, "G I"], Wh: Float[Array, "G D"], b: Float[Array, "G"]
) -> Float[Array, "N T D"]:
    r"""Run an LSTM over the features of a clip's frames, from an empty memory.

    .. math:: (h_t, c_t) = \operatorname{lstm\_cell}(x_t, h_{t-1}, c_{t-1}), \qquad h_0 = c_0 = 0

    Parameters
    ----------
    x
        (N, T, I), a row of features for each frame.
    Wx, Wh, b
        As in :func:`lstm_cell`, the same at every moment.

    Returns
    -------
    h
        (N, T, D): what is said after each frame. The last one has seen the whole clip.

    Raises
    ------
    ValueError
        If the weights have not 4D rows.

    References
    ----------
    J. Donahue et al., "Long-term recurrent convolutional networks for visual recognition and description", CVPR 2015;
    CS231n, "Modeling long-term temporal structure".

    Examples
    --------
    >>> say = np.array([99.0, 99.0, 0.0, 99.0])              # add all, keep all, say all
    >>> x, Wx = np.ones((1, 3, 1)), np.array([[0.0], [0.0], [99.0], [0.0]])
    >>> np.round(np.arctanh(lstm(x, Wx, np.zeros((4, 1)), say)), 6)[0, :, 0]  # it counts the frames
    array([1., 2., 3.])
    """
    h = c = np.zeros((len(x), Wh.shape[1]), x.dtype)
    said = []
    for t in range(x.shape[1]):
        h, c = lstm_cell(x[:, t], h, c, Wx, Wh, b)
        said.append(h)
    return np.stack(said, axis=1)


# ------------------------------------------------------------------ ConvGRU


def conv_gru_cell(
    x: Float[Array, "N C H W"],
    h: Float[Array, "N D H W"],
    Wx: Float[Array, "G C Kh Kw"],
    Wh: Float[Array, "G D Kh Kw"],
    b: Float[Array, "G"],
) -> Float[Array, "N D H W"]:
    r"""Remember a feature map from frame to frame: a recurrent network that is a convolution at every moment.

    .. math:: r = \sigma(W_{xr} * x + W_{hr} * h + b_r), \quad z = \sigma(W_{xz} * x + W_{hz} * h + b_z), \quad
              n = \tanh\bigl(W_{xn} * x + W_{hn} * (r\, h) + b_n\bigr), \quad h' = (1 - z)\, h + z\, n

    Each position remembers what its neighborhood said; with every step it hears K//2 pixels further.

    Parameters
    ----------
    x
        (N, C, H, W), the feature map of one frame.
    h
        (N, D, H, W), what is remembered.
    Wx, Wh, b
        (3D, C, K, K), (3D, D, K, K), (3D,), odd: reset r, update z, candidate n in this order.

    Returns
    -------
    h
        (N, D, H, W).

    Raises
    ------
    ValueError
        If the weights have not 3D rows, or the kernel's size is even.

    References
    ----------
    N. Ballas et al., "Delving deeper into convolutional networks for learning video representations", ICLR 2016; CS231n,
    "Recurrent Convolutional Network".

    Examples
    --------
    >>> keep = np.array([0.0, -99.0, 0.0])                   # an update gate that is shut
    >>> h = np.array([[[[0.25]]]])
    >>> conv_gru_cell(np.ones((1, 1, 1, 1)), h, np.zeros((3, 1, 1, 1)), np.zeros((3, 1, 1, 1)), keep)
    array([[[[0.25]]]])
    """
    pad = gru_padding(Wx, h)
    D = h.shape[1]
    ar, az, an = np.split(conv2d(x, Wx, b, padding=pad), 3, axis=1)
    ur, uz = np.split(conv2d(h, Wh[: 2 * D], padding=pad), 2, axis=1)
    r, z = _sigmoid(ar + ur), _sigmoid(az + uz)
    n = np.tanh(an + conv2d(r * h, Wh[2 * D :], padding=pad))
    return (1 - z) * h + z * n


def conv_gru_cell_backward(
    dh: Float[Array, "N D H W"],
    x: Float[Array, "N C H W"],
    h: Float[Array, "N D H W"],
    Wx: Float[Array, "G C Kh Kw"],
    Wh: Float[Array, "G D Kh Kw"],
    b: Float[Array, "G"],
) -> tuple[
    Float[Array, "N C H W"],
    Float[Array, "N D H W"],
    Float[Array, "G C Kh Kw"],
    Float[Array, "G D Kh Kw"],
    Float[Array, "G"],
]:
    r"""Carry the loss's gradient back through :func:`conv_gru_cell`.

    The old state is used in four places, and its gradients add up: kept (:math:`dh\,(1 - z)`), reset
    (:math:`d(rh)\, r`), and in the convolutions that make the two gates.

    Parameters
    ----------
    dh
        (N, D, H, W), gradient of the loss by the new state.
    x, h, Wx, Wh, b
        As in the forward call.

    Returns
    -------
    dx, dh, dWx, dWh, db
        Gradients of the loss by the arguments of the forward call.

    References
    ----------
    N. Ballas et al., ICLR 2016; CS231n, "Recurrent Convolutional Network".

    Examples
    --------
    >>> keep, zero = np.array([0.0, -99.0, 0.0]), np.zeros((3, 1, 1, 1))
    >>> one = np.ones((1, 1, 1, 1))
    >>> conv_gru_cell_backward(5 * one, one, one, zero, zero, keep)[1]   # what is kept passes its gradient whole
    array([[[[5.]]]])
    """
    pad = gru_padding(Wx, h)
    D = h.shape[1]
    ar, az, an = np.split(conv2d(x, Wx, b, padding=pad), 3, axis=1)
    ur, uz = np.split(conv2d(h, Wh[: 2 * D], padding=pad), 2, axis=1)
    r, z = _sigmoid(ar + ur), _sigmoid(az + uz)
    n = np.tanh(an + conv2d(r * h, Wh[2 * D :], padding=pad))

    dan = dh * z * (1 - n**2)
    dreset, dWn, _ = conv2d_backward(dan, r * h, Wh[2 * D :], padding=pad)
    dar, daz = dreset * h * r * (1 - r), dh * (n - h) * z * (1 - z)
    dgates, dWrz, _ = conv2d_backward(np.concatenate([dar, daz], axis=1), h, Wh[: 2 * D], padding=pad)
    dx, dWx, db = conv2d_backward(np.concatenate([dar, daz, dan], axis=1), x, Wx, padding=pad)
    return dx, dh * (1 - z) + dreset * r + dgates, dWx, np.concatenate([dWrz, dWn]), db


def gru_padding(Wx: np.ndarray, h: np.ndarray) -> tuple[int, int]:
    """The zeros that keep every position; and a check of the gates."""
    check_gates(3, Wx, h)
    height, width = Wx.shape[2:]
    if height % 2 == 0 or width % 2 == 0:
        raise ValueError(f"Wx: expected an odd kernel, so that it has a center, got {height}×{width}")
    return height // 2, width // 2
