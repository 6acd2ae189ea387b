"""Video transformers, from scratch: a clip becomes tokens, and each scheme says which token looks at which.

Clips are ``(N, C, T, H, W)``. Tokens are ``(N, L, D)``, numbered frame by frame and in each frame row by row; a class
token, where there is one, comes first. In arguments `frames`, `height` and `width` count tokens, not pixels. What
attends and what convolves are operations of ``vidlearn.nonlocal_attention`` and ``vidlearn.layers``, so most of these
functions serve every array library. Shapes are checked by :class:`vidlearn.Operation`.

References
----------
.. [TS] G. Bertasius, H. Wang, L. Torresani, "Is space-time attention all you need for video understanding?", ICML 2021.
.. [VV] A. Arnab et al., "ViViT: a video vision transformer", ICCV 2021.
.. [MV] H. Fan et al., "Multiscale vision transformers", ICCV 2021; Y. Li et al., "MViTv2", CVPR 2022.
.. [VTN] D. Neimark et al., "Video transformer network", ICCV workshops 2021.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vidlearn import layers
from vidlearn.arrays import namespace
from vidlearn.nonlocal_attention import attention
from vidlearn.nonlocal_attention.checks import check_memory
from vidlearn.nonlocal_attention.heads import join_heads, split_heads

if TYPE_CHECKING:
    from typing import Any, Literal

    from vidlearn.signature import Array, Bool, Float, Int, OddInt, PositiveInt, PositiveInts

__all__ = [
    "SCHEMES",
    "add_positions",
    "comparisons",
    "factorized_encoder",
    "neighborhood",
    "neighborhood_attention",
    "patch_embed",
    "pool_tokens",
    "pooling_attention",
    "reachable",
    "sinusoidal_positions",
    "sliding_window_attention",
    "tubelet_embed",
]

#: TimeSformer's five schemes: the neighborhoods in which attention runs, one step after the other
SCHEMES: dict[str, tuple[Any, ...]] = {
    "S": ("space",),
    "ST": ("space-time",),
    "T+S": ("time", "space"),
    "L+G": ("block", "stride"),
    "T+W+H": ("time", "row", "column"),
}

# ------------------------------------------------------------------ a clip becomes tokens


def patch_embed(
    x: Float[Array, "N C T H W"], w: Float[Array, "D C P Q"], b: Float[Array, "D"] | None = None
) -> Float[Array, "N T S D"]:
    r"""Cut every frame into patches and make one token of each: an image transformer's first layer.

    .. math:: z[t, s, d] = b[d] + \sum_{c, i, j} w[d, c, i, j]\; x[c,\, t,\, P r + i,\, Q q + j],
              \qquad s = r \tfrac{W}{Q} + q

    It is a convolution whose stride is its kernel.

    Parameters
    ----------
    x
        (N, C, T, H, W); H a multiple of P, W of Q.
    w
        (D, C, P, Q), patches of P × Q pixels to tokens of D features.
    b
        (D,), or None.

    Returns
    -------
    z
        (N, T, S, D), the S = HW / PQ patches of each frame, row by row.

    Raises
    ------
    ValueError
        If a frame can't be cut into whole patches.

    References
    ----------
    A. Dosovitskiy et al., "An image is worth 16×16 words", ICLR 2021; [TS]_, section 3; SJTU, "TimeSFormer".

    Examples
    --------
    A frame of 2 × 4 pixels in two patches, each of which becomes its sum.

    >>> patch_embed(np.arange(8.0).reshape(1, 1, 1, 2, 4), np.ones((1, 1, 2, 2))).ravel()
    array([10., 18.])
    """
    tokens = _embed(x, w[:, :, None], b)
    return tokens.reshape(x.shape[0], x.shape[2], -1, w.shape[0])


def tubelet_embed(
    x: Float[Array, "N C T H W"], w: Float[Array, "D C Kt Kh Kw"], b: Float[Array, "D"] | None = None
) -> Float[Array, "N L D"]:
    r"""Cut a clip into small tubes through space and time and make one token of each.

    .. math:: z[l, d] = b[d] + \sum_{c, m, i, j} w[d, c, m, i, j]\; x[c,\, K_t t + m,\, K_h r + i,\, K_w q + j],
              \qquad l = \left(t \tfrac{H}{K_h} + r\right) \tfrac{W}{K_w} + q

    A tube can see a motion inside itself, which a patch of one frame can't. With :math:`K_t = 1` it is
    :func:`patch_embed`.

    Parameters
    ----------
    x
        (N, C, T, H, W); T, H and W multiples of the tube's extents.
    w
        (D, C, K_t, K_h, K_w).
    b
        (D,), or None.

    Returns
    -------
    z
        (N, L, D), L = (T / K_t) (H / K_h) (W / K_w), ordered by time, then rows, then columns.

    Raises
    ------
    ValueError
        If the clip can't be cut into whole tubes.

    References
    ----------
    [VV]_, section 3.2; CUHK, "Video Transformer".

    Examples
    --------
    What comes minus what was, for two pixels.

    >>> clip = np.array([1.0, 2.0, 5.0, 9.0]).reshape(1, 1, 2, 1, 2)
    >>> tubelet_embed(clip, np.array([-1.0, 1.0]).reshape(1, 1, 2, 1, 1)).ravel()
    array([4., 7.])
    """
    return _embed(x, w, b)


def _embed(x: Array, w: Array, b: Array | None) -> Array:
    """A convolution whose stride is its kernel, its answers in a row."""
    clip, tube = (tuple(map(int, a.shape[2:])) for a in (x, w))  # while torch traces, sizes are tensors
    if any(n % k for n, k in zip(clip, tube, strict=True)):
        raise ValueError(
            f"x: expected frames × height × width to be multiples of w's {'×'.join(map(str, tube))}, "
            f"got {'×'.join(map(str, clip))}; crop the clip"
        )
    z = layers.conv3d(x, w, b, stride=tube)
    return namespace(z).moveaxis(z.reshape(x.shape[0], w.shape[0], -1), 1, 2)


def sinusoidal_positions(length: PositiveInt, dim: PositiveInt) -> Float[Array, "L D"]:
    r"""Say in D numbers where a token is, by waves from short to long.

    .. math:: p[l, 2i] = \sin\left(l \cdot 10000^{-2i/D}\right), \qquad p[l, 2i + 1] = \cos\left(l \cdot 10000^{-2i/D}\right)

    Attention itself does not know the order of its tokens: this is added to them. A shift by any number of places is the
    same rotation of each pair, wherever it begins; nothing is learned, and any length has its positions.

    Parameters
    ----------
    length
        L, how many positions.
    dim
        D, even.

    Returns
    -------
    p
        (L, D), float64.

    Raises
    ------
    ValueError
        If `dim` is odd.

    References
    ----------
    A. Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.5; CUHK, "Video Transformer".

    Examples
    --------
    >>> sinusoidal_positions(2, 4).round(4)
    array([[0.    , 1.    , 0.    , 1.    ],
           [0.8415, 0.5403, 0.01  , 1.    ]])
    """
    if dim % 2:
        raise ValueError(f"dim: expected an even number, for pairs of a sine and a cosine, got {dim}")
    angle = np.arange(length)[:, None] * 10000.0 ** (-np.arange(0, dim, 2) / dim)
    return np.stack([np.sin(angle), np.cos(angle)], axis=2).reshape(length, dim)


def add_positions(
    tokens: Float[Array, "N T S D"], space: Float[Array, "S D"], time: Float[Array, "T D"]
) -> Float[Array, "N T S D"]:
    r"""Tell every token where in its frame it is, and when.

    .. math:: z'[t, s] = z[t, s] + p_{\text{space}}[s] + p_{\text{time}}[t]

    S + T positions instead of S T. Without the ones of time a model can't tell a clip from its frames shuffled.

    Parameters
    ----------
    tokens
        (N, T, S, D), S tokens in each of T frames.
    space
        (S, D), one for each place, the same in all frames.
    time
        (T, D), one for each frame, the same at all places.

    Returns
    -------
    z
        (N, T, S, D).

    References
    ----------
    [TS]_, section 3 and appendix; SJTU, "TimeSFormer".

    Examples
    --------
    >>> tokens = np.zeros((1, 2, 2, 1))
    >>> add_positions(tokens, np.array([[1.0], [2.0]]), np.array([[10.0], [20.0]]))[0, :, :, 0]
    array([[11., 12.],
           [21., 22.]])
    """
    return tokens + space + time[:, None]


# ------------------------------------------------------------------ who looks at whom


def neighborhood(
    frames: PositiveInt,
    height: PositiveInt,
    width: PositiveInt,
    kind: Literal["space", "space-time", "time", "block", "stride", "row", "column"],
) -> Int[Array, "G M"]:
    r"""Divide a clip's tokens into groups in which everyone looks at everyone.

    ================  =====================================================================
    ``"space"``       a frame
    ``"space-time"``  all
    ``"time"``        one place through time
    ``"block"``       a quarter, H/2 × W/2, of all frames: sparse attention's local step
    ``"stride"``      every second frame, row and column: sparse attention's global step
    ``"row"``         along the width of a frame
    ``"column"``      along its height
    ================  =====================================================================

    Parameters
    ----------
    frames, height, width
        T, H and W, in tokens. H and W even for ``"block"``, and T as well for ``"stride"``.
    kind
        Which groups.

    Returns
    -------
    groups
        (G, M), G groups of M tokens' numbers; each of 0 … THW − 1 is in one of them. Numbers rise in a group, and
        groups stand in the order of their first numbers. A class token has no number.

    Raises
    ------
    ValueError
        If an extent that has to be halved is odd.

    References
    ----------
    [TS]_, section 3 and figure 2; SJTU, "TimeSFormer".

    Examples
    --------
    Two frames of 1 × 3 tokens.

    >>> neighborhood(2, 1, 3, "space")
    array([[0, 1, 2],
           [3, 4, 5]])
    >>> neighborhood(2, 1, 3, "time")
    array([[0, 3],
           [1, 4],
           [2, 5]])
    """
    T, H, W = frames, height, width
    halved = {"block": {"height": H, "width": W}, "stride": {"frames": T, "height": H, "width": W}}.get(kind, {})
    for name, n in halved.items():
        if n % 2:
            raise ValueError(
                f"{name}: expected an even number for {kind!r} neighborhoods, which halve it (scheme L+G), got {n}"
            )
    tokens = np.arange(T * H * W)
    if kind == "space":
        return tokens.reshape(T, H * W)
    if kind == "time":
        return tokens.reshape(T, H * W).T
    if kind == "row":
        return tokens.reshape(T * H, W)
    if kind == "column":
        return tokens.reshape(T, H, W).transpose(0, 2, 1).reshape(T * W, H)
    if kind == "block":
        return tokens.reshape(T, 2, H // 2, 2, W // 2).transpose(1, 3, 0, 2, 4).reshape(4, -1)
    if kind == "stride":
        return tokens.reshape(T // 2, 2, H // 2, 2, W // 2, 2).transpose(1, 3, 5, 0, 2, 4).reshape(8, -1)
    return tokens[None]


def comparisons(
    frames: PositiveInt,
    height: PositiveInt,
    width: PositiveInt,
    scheme: Literal["S", "ST", "T+S", "L+G", "T+W+H"],
) -> Int[Array, ""]:
    r"""Count the keys that one token is compared with in a layer, the class token in each step among them.

    .. math:: \text{S:}\; N + 1, \qquad \text{ST:}\; N F + 1, \qquad \text{T+S:}\; N + F + 2

    for F frames of N tokens. Time and cost of attention are in proportion.

    Parameters
    ----------
    frames, height, width
        F, and N = height · width, in tokens.
    scheme
        One of ``SCHEMES``.

    Returns
    -------
    keys
        0-d, summed over the scheme's steps.

    Raises
    ------
    ValueError
        If an extent that has to be halved (by ``"L+G"``) is odd.

    References
    ----------
    [TS]_, section 3; SJTU, "TimeSFormer".

    Examples
    --------
    TimeSformer's 8 frames of 224 × 224 pixels, in patches of 16 × 16.

    >>> [int(comparisons(8, 14, 14, scheme)) for scheme in SCHEMES]
    [197, 1569, 206, 590, 39]
    """
    steps = [neighborhood(frames, height, width, kind) for kind in SCHEMES[scheme]]
    return np.asarray(sum(groups.shape[1] + 1 for groups in steps))


def reachable(
    frames: PositiveInt,
    height: PositiveInt,
    width: PositiveInt,
    scheme: Literal["S", "ST", "T+S", "L+G", "T+W+H"],
) -> Bool[Array, "L L"]:
    r"""Follow which token's input reaches which token's output in one layer, step after step.

    In each step a token learns what anyone of its group knows. Two steps that look at a few can so do what one step
    does that looks at all.

    Parameters
    ----------
    frames, height, width
        T, H and W, in tokens.
    scheme
        One of ``SCHEMES``.

    Returns
    -------
    reach
        (L, L), L = THW: True at [i, j] if the output of token i depends on the input of token j. What goes through
        the class token is not counted.

    Raises
    ------
    ValueError
        If an extent that has to be halved (by ``"L+G"``) is odd.

    References
    ----------
    [TS]_, section 3 and figure 2; SJTU, "TimeSFormer".

    Examples
    --------
    Two frames of two tokens: with attention in space alone, each frame stays by itself.

    >>> reachable(2, 1, 2, "S").astype(int)
    array([[1, 1, 0, 0],
           [1, 1, 0, 0],
           [0, 0, 1, 1],
           [0, 0, 1, 1]])
    >>> bool(reachable(2, 1, 2, "T+S").all())
    True
    """
    return reached(frames, height, width, SCHEMES[scheme])


def reached(frames: int, height: int, width: int, kinds: tuple[Any, ...]) -> Array:
    """The same for any steps: a scheme's first ones, too."""
    reach = np.eye(frames * height * width, dtype=bool)
    for kind in kinds:
        groups = neighborhood(frames, height, width, kind)
        reach[groups] = reach[groups].any(axis=1, keepdims=True)
    return reach


def neighborhood_attention(
    q: Float[Array, "N L D"],
    k: Float[Array, "N L D"],
    v: Float[Array, "N L D"],
    frames: PositiveInt,
    height: PositiveInt,
    width: PositiveInt,
    kind: Literal["space", "space-time", "time", "block", "stride", "row", "column"],
    class_token: Literal["joins", "averaged", "absent"] = "joins",
    heads: PositiveInt = 1,
) -> Float[Array, "N L D"]:
    r"""Let every token look at its neighborhood only: one attention for all schemes.

    .. math:: y_i = \sum_{j \in G(i)} \operatorname{softmax}_j\!\left( \frac{q_i \cdot k_j}{\sqrt{D / h}} \right) v_j,
              \qquad G(i) = \{\text{class token}\} \cup \text{the group of } i

    Parameters
    ----------
    q, k, v
        (N, L, D): THW tokens, after a class token if there is one.
    frames, height, width
        T, H and W, in tokens.
    kind
        The groups, see :func:`neighborhood`.
    class_token
        ``"joins"``: it is a key in every group, and looks at everything itself. ``"averaged"``: it is a key in every
        group, looks at one group and itself at a time, and its answers are averaged; so TimeSformer's published code
        does in space. ``"absent"``: there is none; so it does in time.
    heads
        h, a divisor of D; head i has features :math:`i D/h \dots (i + 1) D/h - 1`.

    Returns
    -------
    y
        (N, L, D).

    Raises
    ------
    ValueError
        If the number of tokens does not fit, `heads` does not divide D, or an extent that has to be halved is odd.
    MemoryError
        If the reference's weights of all pairs are more than 2 GiB. The fast path holds only those that are needed.

    References
    ----------
    [TS]_, equations 5 to 11 and figure 2; SJTU, "TimeSFormer".

    Examples
    --------
    Two frames of one row of two tokens. With keys that are all 0 each gets its group's mean.

    >>> v = np.array([1.0, 3.0, 10.0, 30.0]).reshape(1, 4, 1)
    >>> neighborhood_attention(v, 0 * v, v, 2, 1, 2, "space", "absent").ravel()
    array([ 2.,  2., 20., 20.])
    >>> neighborhood_attention(v, 0 * v, v, 2, 1, 2, "time", "absent").ravel()
    array([ 5.5, 16.5,  5.5, 16.5])
    """
    check_tokens(q, frames, height, width, class_token != "absent")
    check_heads(q, heads)
    check_memory(len(q) * heads, q.shape[1], k.shape[1], q.itemsize)
    groups = neighborhood(frames, height, width, kind)
    first = 0 if class_token == "absent" else 1  # the number of the first token that is in a group
    q, k, v = (split_heads(a, heads) for a in (q, k, v))

    of_group = np.zeros((len(groups), q.shape[1]), bool)  # who is a key in which group
    np.put_along_axis(of_group, groups + first, True, axis=1)
    of_group[:, :first] = True
    group_of = np.empty(groups.size, int)
    group_of[groups] = np.arange(len(groups))[:, None]
    y = attention(q[:, first:], k, v, of_group[group_of])

    if class_token == "joins":
        y = np.concatenate([attention(q[:, :1], k, v), y], axis=1)
    elif class_token == "averaged":
        each = attention(np.repeat(q[:, :1], len(groups), axis=1), k, v, of_group)
        y = np.concatenate([each.mean(axis=1, keepdims=True), y], axis=1)
    return join_heads(y, heads)


# ------------------------------------------------------------------ what the functions here share


def check_tokens(x: Array, frames: int, height: int, width: int, class_token: bool = True, name: str = "q") -> None:
    """Hold the number of tokens to the clip's."""
    expected = frames * height * width + class_token
    if x.shape[1] != expected:
        one = "a class token and " if class_token else ""
        raise ValueError(
            f"{name}: expected {expected} tokens, {one}frames × height × width = {frames}×{height}×{width}, "
            f"got {x.shape[1]}"
        )


def check_heads(x: Array, heads: int) -> None:
    """Hold the heads to the features."""
    if x.shape[2] % heads:
        raise ValueError(f"heads: expected a divisor of the {x.shape[2]} features, got {heads}")


# ------------------------------------------------------------------ ViViT: frames first


def factorized_encoder(
    x: Float[Array, "N T S D"],
    w_space: Float[Array, "E D"],
    w_time: Float[Array, "E D"],
    heads: PositiveInt = 1,
) -> Float[Array, "N D"]:
    r"""Let the tokens of each frame look at one another, make one token of each frame, and let those look at one another.

    .. math::

        z_{t, s} &= x_{t, s} + \operatorname{attention}_{s}(x_t), \qquad f_t = \tfrac1S \textstyle\sum_s z_{t, s}

        g_t &= f_t + \operatorname{attention}_{t}(f), \qquad y = \tfrac1T \textstyle\sum_t g_t

    This is ViViT's second model, its order of steps and no more: the real one has positions, layer norms, several
    layers of each encoder with perceptrons, mixes the heads, and class tokens instead of the means.

    Parameters
    ----------
    x
        (N, T, S, D), S tokens in each of T frames.
    w_space, w_time
        (3D, D): rows for the queries, then the keys, then the values.
    heads
        A divisor of D.

    Returns
    -------
    y
        (N, D). As nothing here tells it the time, the order of the frames does not matter.

    Raises
    ------
    ValueError
        If the weights have not 3D rows, or `heads` does not divide D.

    References
    ----------
    [VV]_, section 3.3, "Model 2: Factorised encoder"; CUHK, "Video Transformer".

    Examples
    --------
    With keys that are all 0 each step doubles the mean: it adds the mean of the values.

    >>> w = np.array([[0.0], [0.0], [1.0]])
    >>> factorized_encoder(np.array([1.0, 3.0, 5.0, 7.0]).reshape(1, 2, 2, 1), w, w)
    array([[16.]])
    """
    N, T, S, D = x.shape
    check_heads(x.reshape(N, T * S, D), heads)
    for name, w in (("w_space", w_space), ("w_time", w_time)):
        if w.shape[0] != 3 * D:
            raise ValueError(
                f"{name}: expected {3 * D} rows, for queries, keys and values of {D} features, got {w.shape[0]}"
            )
    xp = namespace(x)
    frames = xp.mean(_look(x.reshape(N * T, S, D), w_space, heads), axis=1)
    return xp.mean(_look(frames.reshape(N, T, D), w_time, heads), axis=1)


def _look(x: Array, w: Array, heads: int) -> Array:
    """Each token, plus what it gets from the others."""
    D = x.shape[2]
    qkv = layers.linear(x, w)
    q, k, v = (split_heads(qkv[..., i * D : (i + 1) * D], heads) for i in range(3))
    return x + join_heads(attention(q, k, v), heads)


# ------------------------------------------------------------------ MViT: fewer tokens


def pool_tokens(
    x: Float[Array, "N L D"],
    w: Float[Array, "D Kt Kh Kw"],
    frames: PositiveInt,
    height: PositiveInt,
    width: PositiveInt,
    stride: PositiveInts = 1,
) -> Float[Array, "N M D"]:
    r"""Make fewer tokens of many: put them back on their grid, and let a small window slide over it in steps.

    .. math:: y[t, r, q, d] = \sum_{m, i, j} w[d, m, i, j]\; x[s_t t + m - p_t,\; s_h r + i - p_h,\; s_w q + j - p_w,\; d]

    Each feature has a window of its own (a depthwise convolution), with zeros around. The class token has no place on
    the grid and passes by. Published models norm the answer.

    Parameters
    ----------
    x
        (N, 1 + THW, D), the class token first.
    w
        (D, K_t, K_h, K_w), odd, so that p = ⌊K / 2⌋ zeros keep the grid in place.
    frames, height, width
        T, H and W, in tokens.
    stride
        Steps, one number or three for (t, y, x).

    Returns
    -------
    y
        (N, 1 + ⌈T / s_t⌉ ⌈H / s_h⌉ ⌈W / s_w⌉, D).

    Raises
    ------
    ValueError
        If the number of tokens does not fit, a window is even, or `stride` has not one or three numbers.

    References
    ----------
    [MV]_, section 3.1; CS231n, "Vision Transformers for Video" ("Pooling module: reduce number of tokens").

    Examples
    --------
    A class token and a row of four. Every second one stays, with what is left and right of it.

    >>> x = np.array([100.0, 1.0, 2.0, 3.0, 4.0]).reshape(1, 5, 1)
    >>> pool_tokens(x, np.ones((1, 1, 1, 3)), 1, 1, 4, stride=(1, 1, 2)).ravel()
    array([100.,   3.,   9.])
    """
    check_tokens(x, frames, height, width, name="x")
    return _pool("w", "stride", x, w, (frames, height, width), stride)


def _pool(weights: str, steps: str, x: Array, w: Array, grid: tuple[int, int, int], stride: int | tuple) -> Array:
    """Pool all but the class token; `weights` and `steps` are what the caller calls `w` and `stride`."""
    kernel = tuple(w.shape[1:])
    if not all(n % 2 for n in kernel):
        raise ValueError(
            f"{weights}: expected odd extents, so that a window has a center, got {'×'.join(map(str, kernel))}"
        )
    step = (stride,) * 3 if isinstance(stride, int | np.integer) else tuple(stride)
    if len(step) != 3:
        raise ValueError(f"{steps}: expected one number or three, for (t, y, x), got {step}")
    xp, (N, _, D) = namespace(x), x.shape
    clip = xp.moveaxis(x[:, 1:], 1, 2).reshape(N, D, *grid)
    pooled = layers.conv3d(clip, w[:, None], stride=step, padding=tuple(n // 2 for n in kernel), groups=D)
    return xp.concatenate([x[:, :1], xp.moveaxis(pooled.reshape(N, D, -1), 1, 2)], axis=1)


def pooling_attention(
    q: Float[Array, "N L D"],
    k: Float[Array, "N L D"],
    v: Float[Array, "N L D"],
    w_q: Float[Array, "D Kt Kh Kw"],
    w_k: Float[Array, "D Kt Kh Kw"],
    w_v: Float[Array, "D Kt Kh Kw"],
    frames: PositiveInt,
    height: PositiveInt,
    width: PositiveInt,
    stride_q: PositiveInts = 1,
    stride_kv: PositiveInts = 1,
    residual: Literal["add", "patches", "none"] = "add",
) -> Float[Array, "N M D"]:
    r"""Attend after pooling: fewer keys make it cheap, fewer queries make the next layer coarser.

    .. math:: y = \hat q + \operatorname{attention}(\hat q, \hat k, \hat v), \qquad
              \hat q = \operatorname{pool}(q, s_q), \quad \hat k = \operatorname{pool}(k, s_{kv}), \quad
              \hat v = \operatorname{pool}(v, s_{kv})

    There are as many answers as pooled queries; keys and values are pooled alike, or they would not be pairs.

    Parameters
    ----------
    q, k, v
        (N, 1 + THW, D), the class token first. Heads are samples: hand in each head's D features as a sample.
    w_q, w_k, w_v
        (D, K_t, K_h, K_w), odd; see :func:`pool_tokens`.
    frames, height, width
        T, H and W, in tokens.
    stride_q, stride_kv
        Steps of the queries, and of keys and values; one number or three for (t, y, x).
    residual
        Where the pooled queries are added: to all answers as the paper of MViTv2 says, to all but the class token's
        as its published code does, or nowhere as in the first MViT.

    Returns
    -------
    y
        (N, M, D), M = 1 + ⌈T / s_t⌉ ⌈H / s_h⌉ ⌈W / s_w⌉ with the steps of the queries.

    Raises
    ------
    ValueError
        If the number of tokens does not fit, a window is even, or a stride has not one or three numbers.

    References
    ----------
    [MV]_; MViTv2, section 4.1 and figure 2; CS231n, "Vision Transformers for Video".

    Examples
    --------
    A class token and two more. With keys that are all 0 each gets the mean of all values.

    >>> x, one = np.array([0.0, 3.0, 6.0]).reshape(1, 3, 1), np.ones((1, 1, 1, 1))
    >>> pooling_attention(x, x, x, one, 0 * one, one, 1, 1, 2, residual="none").ravel()
    array([3., 3., 3.])
    >>> pooling_attention(x, x, x, one, 0 * one, one, 1, 1, 2, stride_q=(1, 1, 2)).ravel()
    array([3., 6.])
    """
    check_tokens(q, frames, height, width)
    grid = (frames, height, width)
    q = _pool("w_q", "stride_q", q, w_q, grid, stride_q)
    k = _pool("w_k", "stride_kv", k, w_k, grid, stride_kv)
    v = _pool("w_v", "stride_kv", v, w_v, grid, stride_kv)
    y = attention(q, k, v)
    if residual == "patches":
        return namespace(y).concatenate([y[:, :1], y[:, 1:] + q[:, 1:]], axis=1)
    return y if residual == "none" else y + q


# ------------------------------------------------------------------ VTN: neighbors in a long film


def sliding_window_attention(
    q: Float[Array, "N L D"], k: Float[Array, "N L D"], v: Float[Array, "N L D"], window: OddInt
) -> Float[Array, "N L D"]:
    r"""Let each frame look at the frames near it, and one class token at all: attention for long films.

    .. math:: y_i = \operatorname{attention}\left(q_i,\; \{k_0\} \cup \{k_j : |i - j| \le \lfloor \text{window} / 2 \rfloor\},
              \dots \right), \qquad y_0 = \operatorname{attention}(q_0, k, v)

    Cost grows with L · window, not with L². Over the class token, and from layer to layer through the neighbors, news
    still travels through the whole film.

    Parameters
    ----------
    q, k, v
        (N, L, D), the class token first; then, in VTN, one token for each frame.
    window
        Odd: how many tokens are looked at, half of the others on each side.

    Returns
    -------
    y
        (N, L, D).

    Raises
    ------
    MemoryError
        If the reference's weights of all pairs are more than 2 GiB. The fast path holds only those that are needed.

    References
    ----------
    [VTN]_, section 3.2; I. Beltagy et al., "Longformer: the long-document transformer", 2020; CS231n, "Vision
    Transformers for Video".

    Examples
    --------
    A class token of 0 and three frames. With keys that are all 0: the mean of the class token and the window.

    >>> v = np.array([0.0, 3.0, 6.0, 9.0]).reshape(1, 4, 1)
    >>> sliding_window_attention(v, 0 * v, v, window=3).ravel()
    array([4.5, 3. , 4.5, 5. ])
    """
    check_memory(len(q), q.shape[1], k.shape[1], q.itemsize)
    place = np.arange(q.shape[1])
    near = abs(place[:, None] - place) <= window // 2
    near[0] = near[:, 0] = True
    return attention(q, k, v, near)
