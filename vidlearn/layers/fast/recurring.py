"""Memory, for every array library: the gates of a moment come out of one product, or of one convolution."""

from __future__ import annotations

from typing import Any

from vidlearn import layers
from vidlearn.arrays import namespace
from vidlearn.layers.reference.recurring import check_gates, gru_padding

Array = Any


def _sigmoid(a: Array) -> Array:
    return (1 + namespace(a).tanh(a / 2)) / 2


def _cut(a: Array, parts: int) -> list[Array]:
    """Equal parts along the channels."""
    n = a.shape[1] // parts
    return [a[:, i * n : (i + 1) * n] for i in range(parts)]


def _gates(a: Array) -> tuple[Array, Array, Array, Array]:
    i, f, g, o = _cut(a, 4)
    return _sigmoid(i), _sigmoid(f), namespace(a).tanh(g), _sigmoid(o)


def lstm_cell(x: Array, h: Array, c: Array, Wx: Array, Wh: Array, b: Array) -> tuple[Array, Array]:
    """Two products, four gates."""
    check_gates(4, Wx, h)
    i, f, g, o = _gates(x @ Wx.T + h @ Wh.T + b)
    c = f * c + i * g
    return o * namespace(c).tanh(c), c


def lstm_cell_backward(
    dh: Array, dc: Array, x: Array, h: Array, c: Array, Wx: Array, Wh: Array, b: Array
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """The gates' gradients side by side, then three products."""
    xp = namespace(x)
    check_gates(4, Wx, h)
    i, f, g, o = _gates(x @ Wx.T + h @ Wh.T + b)
    said = xp.tanh(f * c + i * g)
    memory = dc + dh * o * (1 - said**2)
    gates = [memory * g * i * (1 - i), memory * c * f * (1 - f), memory * i * (1 - g**2), dh * said * o * (1 - o)]
    da = xp.concatenate(gates, axis=1)
    return da @ Wx, da @ Wh, memory * f, da.T @ x, da.T @ h, xp.sum(da, axis=0)


def lstm(x: Array, Wx: Array, Wh: Array, b: Array) -> Array:
    """What the frames say in one large product, before the loop over time."""
    xp = namespace(x)
    n, frames, features = x.shape
    heard = (x.reshape(n * frames, features) @ Wx.T + b).reshape(n, frames, Wx.shape[0])
    h = c = heard[:, 0, : Wh.shape[1]] * 0
    check_gates(4, Wx, h)
    said = []
    for t in range(frames):
        i, f, g, o = _gates(heard[:, t] + h @ Wh.T)
        c = f * c + i * g
        h = o * xp.tanh(c)
        said.append(h)
    return xp.stack(said, axis=1)


def _step(x: Array, h: Array, Wx: Array, Wh: Array, b: Array) -> tuple[Array, Array, Array]:
    pad, D = gru_padding(Wx, h), h.shape[1]
    ar, az, an = _cut(layers.conv2d(x, Wx, b, padding=pad), 3)
    ur, uz = _cut(layers.conv2d(h, Wh[: 2 * D], padding=pad), 2)
    r, z = _sigmoid(ar + ur), _sigmoid(az + uz)
    return r, z, namespace(x).tanh(an + layers.conv2d(r * h, Wh[2 * D :], padding=pad))


def conv_gru_cell(x: Array, h: Array, Wx: Array, Wh: Array, b: Array) -> Array:
    """Three convolutions."""
    _, z, n = _step(x, h, Wx, Wh, b)
    return (1 - z) * h + z * n


def conv_gru_cell_backward(
    dh: Array, x: Array, h: Array, Wx: Array, Wh: Array, b: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """Back through three convolutions."""
    xp = namespace(x)
    pad, D = gru_padding(Wx, h), h.shape[1]
    r, z, n = _step(x, h, Wx, Wh, b)
    dan = dh * z * (1 - n**2)
    dreset, dWn, _ = layers.conv2d_backward(dan, r * h, Wh[2 * D :], padding=pad)
    dar, daz = dreset * h * r * (1 - r), dh * (n - h) * z * (1 - z)
    dgates, dWrz, _ = layers.conv2d_backward(xp.concatenate([dar, daz], axis=1), h, Wh[: 2 * D], padding=pad)
    dx, dWx, db = layers.conv2d_backward(xp.concatenate([dar, daz, dan], axis=1), x, Wx, padding=pad)
    return dx, dh * (1 - z) + dreset * r + dgates, dWx, xp.concatenate([dWrz, dWn], axis=0), db
