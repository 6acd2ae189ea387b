"""Between two layers: batch, layer and local response normalization, and the bend that makes depth matter.

Channels are the second axis, ``(N, C, …)``, whatever positions follow; of tokens, features are the last.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vidlearn.signature import Array, Float, OddInt, PositiveFloat

# ------------------------------------------------------------------ batch normalization


def _per_channel(value: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(C,) so that it broadcasts against (N, C, …)."""
    return value.reshape(-1, *[1] * (x.ndim - 2))


def _rest(x: np.ndarray) -> tuple[int, ...]:
    """All axes but the channels."""
    return (0, *range(2, x.ndim))


def batch_norm(
    x: Float[Array, "N C *B"],
    gamma: Float[Array, "C"],
    beta: Float[Array, "C"],
    mean: Float[Array, "C"],
    var: Float[Array, "C"],
    eps: PositiveFloat = 1e-5,
) -> Float[Array, "N C *B"]:
    r"""Normalize each channel by *stored* statistics: batch norm when the network is used, no longer trained.

    .. math:: y = \gamma \, \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    Parameters
    ----------
    x
        (N, C, …).
    gamma, beta
        (C,), the scale and the offset that were learned.
    mean, var
        (C,), the statistics that were kept while training.
    eps
        Keeps the root away from 0.

    Returns
    -------
    y
        (N, C, …).

    References
    ----------
    S. Ioffe and C. Szegedy, "Batch normalization: accelerating deep network training", ICML 2015; SJTU, "Partial BN".

    Examples
    --------
    >>> one = np.ones(1)
    >>> batch_norm(np.array([[3.0], [7.0]]), 2 * one, one, 5 * one, 4 * one, eps=1e-12)
    array([[-1.],
           [ 3.]])
    """
    gamma, beta, mean, var = (_per_channel(v, x) for v in (gamma, beta, mean, var))
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


def batch_norm_train(
    x: Float[Array, "N C *B"], gamma: Float[Array, "C"], beta: Float[Array, "C"], eps: PositiveFloat = 1e-5
) -> tuple[Float[Array, "N C *B"], Float[Array, "C"], Float[Array, "C"]]:
    r"""Normalize each channel by the statistics of the batch at hand: batch norm while the network is trained.

    .. math:: \mu_c = \operatorname{mean}_{n, t, h, w} x, \quad \sigma^2_c = \operatorname{mean}\,(x - \mu_c)^2, \quad
              y = \gamma \, \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    Parameters
    ----------
    x
        (N, C, …).
    gamma, beta
        (C,), the learned scale and offset: the standard deviation and the mean that the answer has.
    eps
        Keeps the root away from 0.

    Returns
    -------
    y, mean, var
        (N, C, …) and twice (C,). The variance is the biased one, divided by the number of values.

    References
    ----------
    S. Ioffe and C. Szegedy, "Batch normalization: accelerating deep network training", ICML 2015; SJTU, "Partial BN".

    Examples
    --------
    >>> y, mean, var = batch_norm_train(np.array([[3.0], [7.0]]), np.ones(1), np.zeros(1), eps=1e-12)
    >>> y.ravel(), mean, var
    (array([-1.,  1.]), array([5.]), array([4.]))
    """
    mean, var = x.mean(axis=_rest(x)), x.var(axis=_rest(x))
    return batch_norm(x, gamma, beta, mean, var, eps), mean, var


def batch_norm_train_backward(
    dy: Float[Array, "N C *B"], x: Float[Array, "N C *B"], gamma: Float[Array, "C"], eps: PositiveFloat = 1e-5
) -> tuple[Float[Array, "N C *B"], Float[Array, "C"], Float[Array, "C"]]:
    r"""Carry the loss's gradient back through :func:`batch_norm_train`, where mean and variance hang on x too.

    With :math:`\hat x = (x - \mu)/\sigma`:

    .. math:: d\gamma = \sum dy\,\hat x, \quad d\beta = \sum dy, \quad
              dx = \frac{\gamma}{\sigma} \bigl( dy - \overline{dy} - \hat x\, \overline{dy\,\hat x} \bigr)

    The two means are what is lost because shifting or stretching a whole channel changes nothing.

    Parameters
    ----------
    dy
        Gradient of the loss by the answer y, (N, C, …).
    x, gamma, eps
        As in the forward call.

    Returns
    -------
    dx, dgamma, dbeta
        Gradients of the loss by the input, the scale and the offset.

    References
    ----------
    S. Ioffe and C. Szegedy, "Batch normalization: accelerating deep network training", ICML 2015, section 3; SJTU,
    "Partial BN".

    Examples
    --------
    >>> dx, dgamma, dbeta = batch_norm_train_backward(np.array([[1.0], [1.0]]), np.array([[3.0], [7.0]]), np.ones(1))
    >>> dx.ravel(), dbeta                                    # lifting all values alike changes nothing
    (array([0., 0.]), array([2.]))
    """
    rest = _rest(x)
    sigma = np.sqrt(x.var(axis=rest, keepdims=True) + eps)
    normal = (x - x.mean(axis=rest, keepdims=True)) / sigma
    through = dy - dy.mean(axis=rest, keepdims=True) - normal * (dy * normal).mean(axis=rest, keepdims=True)
    return _per_channel(gamma, x) / sigma * through, (dy * normal).sum(axis=rest), dy.sum(axis=rest)


def fold_batch_norm(
    w: Float[Array, "O I *B"],
    b: Float[Array, "O"] | None,
    gamma: Float[Array, "O"],
    beta: Float[Array, "O"],
    mean: Float[Array, "O"],
    var: Float[Array, "O"],
    eps: PositiveFloat = 1e-5,
) -> tuple[Float[Array, "O I *B"], Float[Array, "O"]]:
    r"""Merge a batch norm into the convolution before it: one layer less when the network is used.

    .. math:: \gamma\,\frac{W x + b - \mu}{\sigma} + \beta \;=\; \underbrace{\frac{\gamma}{\sigma} W}_{W'} x +
              \underbrace{\beta + (b - \mu)\frac{\gamma}{\sigma}}_{b'}, \qquad \sigma = \sqrt{\mathrm{var} + \epsilon}

    Parameters
    ----------
    w, b
        (C_out, C_in, …) and (C_out,): the convolution; `b` may be None.
    gamma, beta, mean, var, eps
        (C_out,): the batch norm, as in :func:`batch_norm`.

    Returns
    -------
    w, b
        The convolution that does both.

    References
    ----------
    B. Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference",
    CVPR 2018, section 3.2; CS231n, "3D Convolution".

    Examples
    --------
    >>> one = np.ones(1)
    >>> fold_batch_norm(np.array([[3.0]]), None, 2 * one, one, 5 * one, 4 * one, eps=1e-12)
    (array([[3.]]), array([-4.]))
    """
    scale = gamma / np.sqrt(var + eps)
    offset = -mean if b is None else b - mean
    return w * scale.reshape(-1, *[1] * (w.ndim - 1)), beta + offset * scale


# ------------------------------------------------------------------ across channels


def local_response_norm(
    x: Float[Array, "N C *B"],
    size: OddInt = 5,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: PositiveFloat = 2.0,
) -> Float[Array, "N C *B"]:
    r"""Let strong channels quiet their neighbors at the same place: what AlexNet and VGG-M had before batch norm.

    .. math:: y_c = x_c \Big/ \Bigl( k + \frac{\alpha}{n} \sum_{|c' - c| \le n/2} x_{c'}^2 \Bigr)^{\beta}

    Channels beyond the first and the last count as zeros. (The paper has no :math:`1/n`; frameworks do.)

    Parameters
    ----------
    x
        (N, C, …).
    size
        Channels n that are summed over, odd.
    alpha, beta, k
        Strength, exponent and floor.

    Returns
    -------
    y
        (N, C, …).

    References
    ----------
    A. Krizhevsky et al., "ImageNet classification with deep convolutional neural networks", NeurIPS 2012, section
    3.3; CS231n, "Separating Motion and Appearance: Two-Stream Networks" ("norm." in the drawing).

    Examples
    --------
    >>> local_response_norm(np.array([[1.0, 2.0, 0.0]]), size=3, alpha=3.0, beta=1.0, k=1.0)
    array([[0.16666667, 0.33333333, 0.        ]])
    """
    reach, channels = size // 2, x.shape[1]
    padded = np.pad(x * x, [(0, 0), (reach, reach), *[(0, 0)] * (x.ndim - 2)])
    total = sum(padded[:, c : c + channels] for c in range(size))
    return x / (k + alpha / size * total) ** beta


def layer_norm(
    x: Float[Array, "*B D"], gamma: Float[Array, "D"], beta: Float[Array, "D"], eps: PositiveFloat = 1e-5
) -> Float[Array, "*B D"]:
    r"""Normalize each token by its own mean and spread: the norm of transformers, which needs no batch.

    .. math:: y = \gamma \, \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta, \quad
              \mu = \operatorname{mean}_d x_d, \quad \sigma^2 = \operatorname{mean}_d (x_d - \mu)^2

    Parameters
    ----------
    x
        (…, D), the features last.
    gamma, beta
        (D,), the scale and the offset that were learned.
    eps
        Keeps the root away from 0.

    Returns
    -------
    y
        (…, D).

    References
    ----------
    J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer normalization", 2016; SJTU, "TimeSFormer".

    Examples
    --------
    >>> layer_norm(np.array([[1.0, 3.0], [10.0, 30.0]]), np.ones(2), np.zeros(2), eps=1e-12)
    array([[-1.,  1.],
           [-1.,  1.]])
    """
    mean = x.mean(axis=-1, keepdims=True)
    var = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


# ------------------------------------------------------------------ the bend


def relu(x: Float[Array, "*B"]) -> Float[Array, "*B"]:
    r"""Pass what is positive and stop the rest: without a bend, two linear layers are one.

    .. math:: y = \max(x, 0)

    Parameters
    ----------
    x
        Any shape.

    Returns
    -------
    y
        Of the same shape.

    References
    ----------
    CS231n, "C3D: The VGG of 3D CNNs"; V. Nair and G. Hinton, "Rectified linear units improve restricted Boltzmann
    machines", ICML 2010.

    Examples
    --------
    >>> relu(np.array([-2.0, 3.0]))
    array([0., 3.])
    """
    return np.maximum(x, 0)


def relu_backward(dy: Float[Array, "*B"], x: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """Carry the loss's gradient back through :func:`relu`: it passes where the input was positive.

    Parameters
    ----------
    dy
        Gradient of the loss by the answer.
    x
        The input of the forward call. At exactly 0 nothing passes.

    Returns
    -------
    dx
        Gradient of the loss by the input.

    References
    ----------
    CS231n, "C3D: The VGG of 3D CNNs".

    Examples
    --------
    >>> relu_backward(np.array([5.0, 5.0]), np.array([-2.0, 3.0]))
    array([0., 5.])
    """
    return np.where(x > 0, dy, 0.0).astype(dy.dtype)


def gelu(x: Float[Array, "*B"]) -> Float[Array, "*B"]:
    r"""Pass each value in the share that its size deserves: the soft bend of transformers.

    .. math:: y = x \, \Phi(x) = \frac{x}{2} \left( 1 + \operatorname{erf}(x / \sqrt 2) \right)

    :math:`\Phi(x)` is how many of all normally distributed values are smaller than x.

    Parameters
    ----------
    x
        Any shape.

    Returns
    -------
    y
        Of the same shape.

    References
    ----------
    D. Hendrycks, K. Gimpel, "Gaussian error linear units (GELUs)", 2016; SJTU, "TimeSFormer".

    Examples
    --------
    >>> gelu(np.array([-1.0, 0.0, 1.0, 9.0])).round(3)
    array([-0.159,  0.   ,  0.841,  9.   ])
    """
    smaller = 0.5 * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2)))
    return (x * smaller).astype(x.dtype)
