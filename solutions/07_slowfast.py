# %% [markdown]
# # Exercise 07 · SlowFast: two speeds
#
# Four functions: take two pathways from one clip, join the Fast one to the Slow one in two ways, and build a block of
# both.
#
# Clips and features are `(N, C, T, H, W)`; kernels are `(C_out, C_in, K_t, K_h, K_w)`, and are not flipped. Replace the
# two lines under `# YOUR CODE HERE`, then run the cell below it.
#
# In Colab, install vidlearn first, from the address that your course gives you: `%pip install ADDRESS`.

# %%
import numpy as np

import vidlearn as vl

# %% [markdown]
# ## 1 · Two pathways from one clip
#
# The Fast pathway takes all $T$ frames of `x`, the Slow pathway one for every $\alpha$ of them: $S = T/\alpha$ frames.
# Which ones?
#
# - `how="stride"`, as the paper says it: frames $0, \alpha, 2\alpha, \dots$
# - `how="spread"`, as the published code does it: from the first frame to the last one, evenly,
#   $\left\lfloor \dfrac{i\,(T-1)}{S-1} \right\rfloor$ for $i = 0, \dots, S-1$. (If $S = 1$: frame 0.)
#
# **Write** `sample_pathways(x, alpha=8, how="stride") -> (slow, fast)`. Whole numbers stay exact if you multiply before
# you divide, and divide with `//`.


# %%
def sample_pathways(x, alpha=8, how="stride"):
    """Return the Slow pathway's frames, and the Fast pathway's."""
    ### BEGIN SOLUTION
    frames = x.shape[2]
    places = np.arange(frames // alpha)
    index = places * alpha if how == "stride" else places * (frames - 1) // max(len(places) - 1, 1)
    return x[:, :, index], x
    ### END SOLUTION


# %% points=3
vl.check(sample_pathways)

# %% [markdown]
# ## 2 · Time to channels
#
# The Fast features have $\alpha$ times as many frames as the Slow ones. To be put beside them, they must lose time. One
# way loses nothing: $\alpha$ frames in a row become one frame with $\alpha$ times as many channels.
#
# **Write** `time_to_channel(fast, alpha) -> y`: from `(N, C, T, H, W)` to `(N, alpha·C, T/alpha, H, W)`. The order of
# the new channels: all `C` channels of the first of the $\alpha$ frames, then all of the second, and so on. (Take the
# time axis apart, move an axis, put two axes together.)


# %%
def time_to_channel(fast, alpha):
    """Return the features with every `alpha` frames packed into the channels of one."""
    ### BEGIN SOLUTION
    n, c, t, h, w = fast.shape
    parts = fast.reshape(n, c, t // alpha, alpha, h, w)
    return parts.transpose(0, 3, 1, 2, 4, 5).reshape(n, alpha * c, t // alpha, h, w)
    ### END SOLUTION


# %% points=2
vl.check(time_to_channel)

# %% [markdown]
# ## 3 · The connection that the paper chose
#
# A convolution over time only, whose kernel takes steps of $\alpha$ frames:
#
# $$ y[o, s] = \sum_{c}\sum_{k=0}^{K_t - 1} w[o, c, k]\; x[c,\; \alpha s + k - \lfloor K_t/2 \rfloor] $$
#
# the same at every pixel. Frames before the first and after the last are zeros.
#
# **Write** `time_strided_conv(fast, w, alpha) -> y`: `fast` is `(N, C, T, H, W)`, `w` is `(C_out, C, K_t, 1, 1)` with odd
# $K_t$, and `y` is `(N, C_out, T/alpha, H, W)`. Pad time, then add up one term for each tap: the frames it meets are a
# slice with step `alpha` (`np.einsum("oc,ncthw->nothw", …)`).


# %%
def time_strided_conv(fast, w, alpha):
    """Return the Fast features brought to the Slow pathway's frame rate."""
    ### BEGIN SOLUTION
    frames, half = fast.shape[2], w.shape[2] // 2
    padded = np.pad(fast, [(0, 0), (0, 0), (half, half), (0, 0), (0, 0)])
    taps = [w[:, :, k, 0, 0] for k in range(w.shape[2])]
    return sum(np.einsum("oc,ncthw->nothw", tap, padded[:, :, k : k + frames : alpha]) for k, tap in enumerate(taps))
    ### END SOLUTION


# %% points=3
vl.check(time_strided_conv)

# %% [markdown]
# ## 4 · A block of two pathways
#
# First the connection: the Fast features, brought to the Slow rate with `w_lateral`, are put *behind* the Slow channels.
# Then each pathway goes its way, through a convolution that keeps the size (odd kernels, zeros around) and a ReLU:
#
# $$ \text{slow}' = \max(0,\; w_{slow} * [\text{slow},\, \text{lateral}]) \qquad
#    \text{fast}' = \max(0,\; w_{fast} * \text{fast}) $$
#
# The Fast pathway never sees the Slow one.
#
# **Write** `fused_block(slow, fast, w_lateral, w_slow, w_fast, alpha=8) -> (slow, fast)`. Use your `time_strided_conv`, and
# `vl.layers.conv3d(x, w, padding=(…, …, …))`, which you wrote in exercise 04.


# %%
def fused_block(slow, fast, w_lateral, w_slow, w_fast, alpha=8):
    """Return both pathways after the connection, a convolution each and a ReLU each."""
    ### BEGIN SOLUTION
    fused = np.concatenate([slow, time_strided_conv(fast, w_lateral, alpha)], axis=1)

    def same(x, w):
        return np.maximum(vl.layers.conv3d(x, w, padding=tuple(k // 2 for k in w.shape[2:])), 0)

    return same(fused, w_slow), same(fast, w_fast)
    ### END SOLUTION


# %% points=4
vl.check(fused_block)

# %% [markdown]
# ## What you have built
#
# Once your functions are right, this cell lights one of 32 Fast frames at a time, and looks which Slow frames feel it.
# Packing time into channels lets all frames through. The kernel of five lets through five of every eight: the other
# three reach the Slow pathway only if the Fast pathway's own convolutions pass them on to a neighbor. At the right,
# where the Slow frames themselves are taken from: by stride they are the middles of the windows, spread they are not.

# %% alt="Three grids of Slow against Fast frames: full windows of eight, windows of five, and the Slow frames' places"
import matplotlib.pyplot as plt

light = np.eye(32).reshape(1, 32, 32, 1, 1)  # channel i is lit in frame i
packed = time_to_channel(light, 8).reshape(8, 32, 4).sum(axis=0).T
strided = time_strided_conv(light, np.eye(32)[:, :, None, None, None] * np.ones((5, 1, 1)), 8)[0, :, :, 0, 0].T
frames = np.arange(32.0).reshape(1, 1, 32, 1, 1)
figure, axes = plt.subplots(1, 3, figsize=(13, 2.4), layout="constrained", sharey=True)
for ax, grid, title in ((axes[0], packed, "time to channels"), (axes[1], strided, "strided, kernel of 5")):
    ax.imshow(grid, cmap="Blues", vmin=0, vmax=1.4, aspect="auto")
    ax.set_title(title)
for how, mark, color in (("stride", "s", "#0072B2"), ("spread", "o", "#D55E00")):
    slow, _ = sample_pathways(frames, 8, how)
    axes[2].plot(slow.ravel(), range(4), mark, color=color, label=how)
axes[2].set(title="the Slow frames", xlim=(-1, 32))
axes[2].legend()
axes[0].set(ylabel="Slow frame", yticks=range(4))
for ax in axes:
    ax.set_xlabel("Fast frame")
