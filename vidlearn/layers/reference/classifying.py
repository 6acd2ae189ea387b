"""From features to a class: linear layers, softmax, and the loss that trains them, forward and backward."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vidlearn.signature import Array, Float, Int


def linear(x: Float[Array, "*B I"], w: Float[Array, "O I"], b: Float[Array, "O"] | None = None) -> Float[Array, "*B O"]:
    r"""Score every class by a weighted sum of all features.

    .. math:: y_o = \sum_i W_{oi}\, x_i + b_o

    Parameters
    ----------
    x
        (…, I), features along the last axis.
    w
        (O, I), a row of weights for each output.
    b
        (O,), or None.

    Returns
    -------
    y
        (…, O).

    References
    ----------
    CS231n, "Video Classification: Late Fusion (with FC layers)".

    Examples
    --------
    >>> linear(np.array([1.0, 2.0]), np.array([[3.0, 4.0], [0.0, 1.0]]), np.array([0.5, 0.0]))
    array([11.5,  2. ])
    """
    y = x @ w.T
    return y if b is None else y + b


def linear_backward(
    dy: Float[Array, "*B O"], x: Float[Array, "*B I"], w: Float[Array, "O I"]
) -> tuple[Float[Array, "*B I"], Float[Array, "O I"], Float[Array, "O"]]:
    r"""Carry the loss's gradient back through :func:`linear`.

    .. math:: dx = dy\, W, \quad dW = dy^T x, \quad db = \sum dy

    where the sums of dW and db run over all leading axes.

    Parameters
    ----------
    dy
        Gradient of the loss by the answer, (…, O).
    x, w
        As in the forward call.

    Returns
    -------
    dx, dw, db
        Gradients of the loss by the input, the weights and the bias.

    References
    ----------
    CS231n, "Video Classification: Late Fusion (with FC layers)".

    Examples
    --------
    >>> dx, dw, db = linear_backward(np.array([[1.0, 0.0]]), np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [0.0, 1.0]]))
    >>> dx, dw, db
    (array([[3., 4.]]), array([[1., 2.],
           [0., 0.]]), array([1., 0.]))
    """
    rows, features = dy.reshape(-1, dy.shape[-1]), x.reshape(-1, x.shape[-1])
    return dy @ w, rows.T @ features, rows.sum(axis=0)


def softmax(x: Float[Array, "*B K"]) -> Float[Array, "*B K"]:
    r"""Turn scores into probabilities: positive, summing to 1, and larger for larger scores.

    .. math:: p_k = \frac{e^{x_k}}{\sum_j e^{x_j}}

    Adding a number to all scores changes nothing; so the largest is taken off first, and no exponential overflows.

    Parameters
    ----------
    x
        (…, K), scores along the last axis.

    Returns
    -------
    p
        (…, K).

    References
    ----------
    CS231n, "Video Classification: Single-Frame CNN".

    Examples
    --------
    >>> softmax(np.array([1000.0, 1000.0]))
    array([0.5, 0.5])
    """
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _check_labels(labels: np.ndarray, classes: int) -> None:
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels: expected numbers from 0 to {classes - 1}, got {labels.min()} to {labels.max()}")


def cross_entropy(logits: Float[Array, "N K"], labels: Int[Array, "N"]) -> Float[Array, ""]:
    r"""Measure how surprised the scores are by the right answers: the loss of classification.

    .. math:: L = -\frac{1}{N} \sum_n \log \operatorname{softmax}(x_n)_{k_n}

    Parameters
    ----------
    logits
        (N, K), a row of scores for each sample.
    labels
        (N,), the right class of each, from 0.

    Returns
    -------
    loss
        0-d, in nats; log K for a network that knows nothing.

    Raises
    ------
    ValueError
        If a label is no class.

    References
    ----------
    CS231n, "Example task: Video Classification".

    Examples
    --------
    >>> round(float(cross_entropy(np.zeros((2, 4)), np.array([0, 3]))), 4)   # log 4
    1.3863
    """
    _check_labels(labels, logits.shape[1])
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probability = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return -log_probability[np.arange(len(labels)), labels].mean()


def cross_entropy_backward(logits: Float[Array, "N K"], labels: Int[Array, "N"]) -> Float[Array, "N K"]:
    r"""Say how each score should change: probability less 1 for the right class, probability for the others.

    .. math:: \frac{\partial L}{\partial x_{nk}} = \frac{1}{N} \bigl( \operatorname{softmax}(x_n)_k - [k = k_n] \bigr)

    Parameters
    ----------
    logits, labels
        As in :func:`cross_entropy`.

    Returns
    -------
    dlogits
        (N, K).

    Raises
    ------
    ValueError
        If a label is no class.

    References
    ----------
    CS231n, "Example task: Video Classification".

    Examples
    --------
    >>> cross_entropy_backward(np.zeros((1, 4)), np.array([0]))
    array([[-0.75,  0.25,  0.25,  0.25]])
    """
    _check_labels(labels, logits.shape[1])
    gradient = softmax(logits)
    gradient[np.arange(len(labels)), labels] -= 1
    return gradient / len(labels)
