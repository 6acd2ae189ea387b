# %% [markdown]
# # Exercise 06 · Non-local attention
#
# Four functions: say how much of each position goes into an answer, build the block that is put into a network, look in
# several ways at once, and do without the memory.
#
# A set of positions is `(N, L, D)`: `L` positions of `D` features for each of `N` samples; a clip is `(N, C, T, H, W)`.
# Replace the two lines under `# YOUR CODE HERE`, then run the cell below it.
#
# In Colab, install vidlearn first, from the address that your course gives you: `%pip install ADDRESS`.

# %%
import numpy as np

import vidlearn as vl

# %% [markdown]
# The softmax is given. It takes each row's largest score away first: that changes no weight, and no exponential
# overflows.


# %%
def softmax(scores):
    """Return each row's exponentials, divided by their sum."""
    f = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return f / f.sum(axis=-1, keepdims=True)


# %% [markdown]
# ## 1 · How much of each?
#
# Position $i$ asks with $\theta_i$; position $j$ is looked at by its $\phi_j$. How much of $j$ goes into the answer at
# $i$?
#
# | `pairwise` | $f_{ij}$ | weight |
# | --- | --- | --- |
# | `"gaussian"`, `"embedded gaussian"` | $e^{\theta_i \cdot \phi_j}$ | $f_{ij} / \sum_j f_{ij}$ |
# | `"dot product"` | $\theta_i \cdot \phi_j$ | $f_{ij} / M$ |
# | `"concatenation"` | $\max(0,\; w_f \cdot [\theta_i, \phi_j])$ | $f_{ij} / M$ |
#
# (The two Gaussians differ in what they are given, so here they are the same.)
#
# **Write** `pairwise_weights(theta, phi, pairwise="embedded gaussian", w_f=None) -> w`, from `(N, L, D)` and
# `(N, M, D)` to `(N, L, M)`. `w_f` has `2D` numbers, those for $\theta$ first, and is `None` where it isn't
# needed. *Which of the axes must sum to 1?*


# %%
def pairwise_weights(theta, phi, pairwise="embedded gaussian", w_f=None):
    """Return how much each position that asks takes from each that is looked at."""
    ### BEGIN SOLUTION
    M, D = phi.shape[1:]
    if pairwise == "concatenation":
        f = (theta @ w_f[:D])[:, :, None] + (phi @ w_f[D:])[:, None, :]
        return np.maximum(f, 0) / M
    f = theta @ phi.transpose(0, 2, 1)
    return f / M if pairwise == "dot product" else softmax(f)
    ### END SOLUTION


# %% points=3
vl.check(pairwise_weights)

# %% [markdown]
# ## 2 · The block
#
# $$ z_i = x_i + W_z\, y_i, \qquad y_i = \sum_j w_{ij}\, W_g x_j, \qquad
#    \theta = W_\theta x, \quad \phi = W_\phi x $$
#
# The weights come from your `pairwise_weights`, for many sets of positions at once: `theta` is `(sets, L, M)`, `phi` and
# `g` are `(sets, K, M)`. What is left is to make the sets, and to bring the answer back into the shape of a clip.
#
# **Write** `nonlocal_block(x, w_g, w_z, w_theta=None, w_phi=None, w_f=None, pairwise="embedded gaussian",
# over="space-time", subsample=1) -> z`, from `(N, C, T, H, W)` to the same.
#
# - `w_g`, `w_theta` and `w_phi` are `(M, C)`, `w_z` is `(C, M)`. Without `w_theta` and `w_phi` (the Gaussian) `x` itself
#   is compared.
# - `over`: who looks at one another. `"space-time"`: all positions of a clip; `"space"`: those of one frame; `"time"`:
#   one place through time.
# - `subsample = s` > 1: what is looked at, $\phi$ and $g$, is max-pooled over `s × s` places, and every frame stays. Two
#   lines do it: cut rows and columns that fill no pool, then reshape and take the largest. You are never asked for it
#   together with `over="time"`: there a place looks only at itself, so there are no neighbors to pool.


# %%
def nonlocal_block(
    x, w_g, w_z, w_theta=None, w_phi=None, w_f=None, pairwise="embedded gaussian", over="space-time", subsample=1
):
    """Return the clip in which each position has looked at the others."""
    ### BEGIN SOLUTION
    N, C, T, H, W = x.shape

    def projected(w):
        return x if w is None else np.einsum("mc,ncthw->nmthw", w, x)

    def sets(a):
        n, c, t, h, w = a.shape
        if over == "time":
            return a.transpose(0, 3, 4, 2, 1).reshape(n * h * w, t, c)
        return a.transpose(0, 2, 3, 4, 1).reshape(n if over == "space-time" else n * t, -1, c)

    theta, phi, g = projected(w_theta), projected(w_phi), projected(w_g)
    s, h, w = subsample, H // subsample, W // subsample
    if s > 1:
        phi, g = (a[..., : h * s, : w * s].reshape(*a.shape[:3], h, s, w, s).max(axis=(4, 6)) for a in (phi, g))
    y = pairwise_weights(sets(theta), sets(phi), pairwise, w_f) @ sets(g) @ w_z.T
    if over == "time":
        return x + y.reshape(N, H, W, T, C).transpose(0, 4, 3, 1, 2)
    return x + y.reshape(N, T, H, W, C).transpose(0, 4, 1, 2, 3)
    ### END SOLUTION


# %% points=4
vl.check(nonlocal_block)

# %% [markdown]
# ## 3 · In several ways at once
#
# Each head has its own share of the features: the first $D/h$ numbers of queries, keys and values are the first head's,
# and so on. Each looks for itself; what they find is put side by side, and one more matrix mixes it:
#
# $$ q, k, v = x W_{qkv}^T + b_{qkv}, \qquad
#    y = [\operatorname{attention}(q_1, k_1, v_1), \dots, \operatorname{attention}(q_h, k_h, v_h)]\, W_{out}^T + b_{out} $$
#
# where $\operatorname{attention}(q, k, v) = \operatorname{softmax}(q k^T / \sqrt{d})\, v$, and $d$ is the number of
# features that *it* is given.
#
# **Write** `multi_head_attention(x, w_qkv, w_out, b_qkv=None, b_out=None, heads=1) -> y`. `w_qkv` is `(3D, D)`: rows for
# the queries, then for the keys, then for the values. A loop over the heads is fine.


# %%
def multi_head_attention(x, w_qkv, w_out, b_qkv=None, b_out=None, heads=1):
    """Return what each token finds, looking with several heads."""
    ### BEGIN SOLUTION
    qkv = x @ w_qkv.T
    if b_qkv is not None:
        qkv = qkv + b_qkv
    heads_of = (np.split(part, heads, axis=2) for part in np.split(qkv, 3, axis=2))
    found = [softmax(q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[2])) @ v for q, k, v in zip(*heads_of, strict=True)]
    y = np.concatenate(found, axis=2) @ w_out.T
    return y if b_out is None else y + b_out
    ### END SOLUTION


# %% points=3
vl.check(multi_head_attention)

# %% [markdown]
# ## 4 · Without the memory
#
# Look at a `tile` of keys at a time, and keep three things for each query: the largest score so far $m$, the sum
# $\ell = \sum_j e^{e_{ij} - m}$ and the weighted values $a = \sum_j e^{e_{ij} - m} v_j$. A tile may bring a larger
# maximum $m'$. Then what you have summed was summed with the wrong one. *By which factor is it too large?*
#
# $$ e_{ij} = \text{scale} \cdot q_i \cdot k_j, \qquad y_i = a_i / \ell_i $$
#
# **Write** `online_attention(q, k, v, scale=None, tile=128) -> y`, from `(N, L, D)`, `(N, M, D)` and `(N, M, E)` to
# `(N, L, E)`. Where `scale` is `None` it is $1/\sqrt D$. The last tile may be shorter. Scores may be so large that
# $e^{e_{ij}}$ alone overflows.


# %%
def online_attention(q, k, v, scale=None, tile=128):
    """Return attention's answer, with at most one tile of weights held at once."""
    ### BEGIN SOLUTION
    if scale is None:
        scale = q.shape[2] ** -0.5
    largest = np.full((*q.shape[:2], 1), -np.inf, q.dtype)
    total, values = 0.0, 0.0
    for start in range(0, k.shape[1], tile):
        scores = scale * q @ k[:, start : start + tile].transpose(0, 2, 1)
        larger = np.maximum(largest, scores.max(axis=2, keepdims=True))
        shrink = np.exp(largest - larger)
        weights = np.exp(scores - larger)
        total = shrink * total + weights.sum(axis=2, keepdims=True)
        values = shrink * values + weights @ v[:, start : start + tile]
        largest = larger
    return values / total
    ### END SOLUTION


# %% points=4
vl.check(online_attention)

# %% [markdown]
# ## What you have built
#
# Once your functions are right, this cell asks of a real film: *where does the upper edge of a tower look?* The features
# are the brightness of the 5 × 5 positions around each position (their mean taken away, all of one length), as in
# non-local means, from which the block has its name. The edge finds itself in the other frames, although the camera
# moves, and other edges like it.

# %% alt="From a tower's upper edge, three frames: what is looked at are upper edges and the tops of rows of windows"
from vidlearn import video
from vidlearn.nonlocal_attention import plots

film = video.read(video.clip_path(), step=22)[:, 10:170, 64:288] / 255.0
T, H, W = len(film), 40, 56  # a position is 4 × 4 pixels
small = film.mean(axis=-1).reshape(T, H, 4, W, 4).mean(axis=(2, 4))
padded = np.pad(small, [(0, 0), (2, 2), (2, 2)], mode="edge")
around = np.stack([padded[:, i : i + H, j : j + W] for i in range(5) for j in range(5)], axis=-1)
around = around - around.mean(axis=-1, keepdims=True)
tokens = (around / np.linalg.norm(around, axis=-1, keepdims=True)).reshape(1, -1, 25)
place = (1, 3, 22)  # frame, row, column of the position that looks
asks = 20 * tokens[:, [np.ravel_multi_index(place, (T, H, W))]]  # 20: how picky the softmax is
weights = pairwise_weights(asks, tokens)
print("tile by tile, the same:", np.allclose(online_attention(asks, tokens, tokens, scale=1.0), weights @ tokens))
clip, one = np.moveaxis(around, -1, 0)[None, :, :, ::4, ::4], np.eye(25)
print("the block with W_z = 0 changes nothing:", bool((nonlocal_block(clip, one, 0 * one, one, one) == clip).all()))
figure = plots.attention_map(0.5 * film, weights.reshape(T, H, W), place)
figure.set_size_inches(11, 3.2)
