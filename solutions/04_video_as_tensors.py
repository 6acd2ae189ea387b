# %% [markdown]
# # Exercise 04 · Convolution, fusion, receptive fields
#
# Four functions: convolve in space and time, merge frames late, merge them early, and count what a network sees.
#
# Clips are `(N, C, T, H, W)`; kernels are `(C_out, C_in, K_t, K_h, K_w)`, and are not flipped. Replace the two lines
# under `# YOUR CODE HERE`, then run the cell below it.
#
# In Colab, install vidlearn first, from the address that your course gives you: `%pip install ADDRESS`.

# %%
import numpy as np

import vidlearn as vl

# %% [markdown]
# ## 1 · 3D convolution
#
# $$ y[n, o, t, r, q] = b[o] + \sum_{i, m, k, l} W[o, i, m, k, l]\; x[n, i, t + m,\; r + k,\; q + l] $$
#
# **Write** `conv3d(x, w, b=None, stride=1, padding=0, dilation=1, groups=1) -> y`. Don't loop over the positions of
# the answer, there are many. Loop over the *taps* of the kernel, there are few: for each tap $(m, k, l)$, cut out of
# the padded clip the part that this tap meets, multiply it by `w[:, :, m, k, l]` over the channels
# (`np.einsum("oi,nithw->nothw", …)`), and add it to the answer.
#
# - `stride`, `padding` and `dilation` are one number, or three, for `T`, `H`, `W`: `np.broadcast_to(stride, 3)` makes
#   three of either.
# - `padding` zeros stand before and after each axis. An answer with stride $s$ takes every $s$-th position, and the
#   taps of a kernel with dilation $d$ lie $d$ apart. Along one axis the answer has
#   $\lfloor (n + 2p - d(k - 1) - 1) / s \rfloor + 1$ positions.
# - `groups`: channels are cut into so many groups, inputs and outputs alike, that don't see one another; `w` has
#   `C / groups` input channels. Write it for one group first; then do each group by itself and join the answers.


# %%
def conv3d(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    """Return the cross-correlation of a clip with kernels that slide over t, y and x."""
    ### BEGIN SOLUTION
    stride, padding, dilation = (np.broadcast_to(n, 3) for n in (stride, padding, dilation))
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    out = [
        (n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[2:], w.shape[2:], stride, dilation, strict=True)
    ]
    parts = []
    for clip, kernels in zip(np.split(x, groups, axis=1), np.split(w, groups), strict=True):
        part = 0
        for tap in np.ndindex(*w.shape[2:]):
            starts = tap * dilation
            met = [slice(a, a + s * (n - 1) + 1, s) for a, s, n in zip(starts, stride, out, strict=True)]
            part = part + np.einsum("oi,nithw->nothw", kernels[(..., *tap)], clip[(..., *met)])
        parts.append(part)
    y = np.concatenate(parts, axis=1)
    return y if b is None else y + b[:, None, None, None]
    ### END SOLUTION


# %% points=5
vl.check(conv3d)

# %% [markdown]
# ## 2 · Late fusion with pooling
#
# A network for images has made features of every frame, of shape `(N, T, D, H, W)`. Average them over time and space,
# and classify what is left:
#
# $$ y = W \operatorname{mean}_{t, h, w} f_{t, \cdot, h, w} + b $$
#
# **Write** `late_fusion_pool(features, w, b=None) -> y`, with `w` of shape `(K, D)`, `b` of shape `(K,)` or `None`, and
# an answer of shape `(N, K)`: one row of scores for each clip.


# %%
def late_fusion_pool(features, w, b=None):
    """Return the scores of K classes from features averaged over time and space."""
    ### BEGIN SOLUTION
    scores = features.mean(axis=(1, 3, 4)) @ w.T
    return scores if b is None else scores + b
    ### END SOLUTION


# %% points=2
vl.check(late_fusion_pool)

# %% [markdown]
# ## 3 · Early fusion
#
# Now time goes first. The kernel is as long as the clip, and slides over x and y only; the answer has no time any more.
#
# **Write** `early_fusion(x, w, b=None) -> y`, from `(N, C, T, H, W)` to `(N, C_out, H, W)`, with `w` of shape
# `(C_out, C, T, K_h, K_w)`. `K_h` and `K_w` are odd; put zeros around so that no row or column is lost.
#
# You may use `vl.layers.conv2d(x, w, b, padding=(…, …))`, with `x` of shape `(N, C, H, W)`. How do `C` and `T` become
# one axis, and must it be done in the same way for the clip and for the kernel?


# %%
def early_fusion(x, w, b=None):
    """Return the 2D convolution of all frames' channels, laid side by side."""
    ### BEGIN SOLUTION
    merged = x.reshape(len(x), -1, *x.shape[3:])
    kernels = w.reshape(len(w), -1, *w.shape[3:])
    return vl.layers.conv2d(merged, kernels, b, padding=(w.shape[3] // 2, w.shape[4] // 2))
    ### END SOLUTION


# %% points=3
vl.check(early_fusion)

# %% [markdown]
# ## 4 · Receptive field
#
# How many frames (or rows, or columns) of the input has one position of each layer seen? Write down for a stack of
# convolutions and pools how far its windows reach, and how far apart two neighboring positions lie in the input.
#
# **Write** `receptive_field(kernels, strides, dilations=None) -> fields`: three arrays of one length, an entry for each
# layer, in the order in which they run; the answer is such an array too. Dilation 1 is meant if `dilations` is `None`.
# Don't ask where the input ends.
#
# Try it by hand first: kernels 3, 4, 3 with strides 1, 4, 1 have seen 3, 6, 14.


# %%
def receptive_field(kernels, strides, dilations=None):
    """Return how much of the input one position has seen, after each layer."""
    ### BEGIN SOLUTION
    if dilations is None:
        dilations = np.ones_like(kernels)
    jumps = np.concatenate([[1], np.cumprod(strides)[:-1]])
    return 1 + np.cumsum(dilations * (kernels - 1) * jumps)
    ### END SOLUTION


# %% points=3
vl.check(receptive_field)

# %% [markdown]
# ## What you have built
#
# Once your functions are right, this cell looks for a spot that flies to the right, with your two convolutions. Your
# 3D convolution finds it whenever it starts, your early fusion at one start only; and your receptive fields are those
# of the three networks in the lecture.

# %% alt="Your 3D convolution answers 1 wherever the spot starts; your early fusion answers 1 at one start only"
import matplotlib.pyplot as plt

frames, starts = 10, range(8)
detector = np.zeros((1, 1, 3, 3, 7))
for k in range(3):
    detector[0, 0, k, :2, 2 * k : 2 * k + 2] = 1 / 12
long_detector = np.zeros((1, 1, frames, 3, 7))
long_detector[:, :, 4:7] = detector
clips = np.zeros((len(starts), 1, frames, 12, 16))
for s in starts:
    for k in range(3):
        clips[s, 0, s + k, 5:7, 4 + 2 * k : 6 + 2 * k] = 1
slow = conv3d(clips, detector, padding=(0, 1, 3)).max(axis=(1, 2, 3, 4))
early = early_fusion(clips, long_detector).max(axis=(1, 2, 3))
figure, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
ax.plot(starts, slow, "o-", color="#0072B2", label="your 3D convolution")
ax.plot(starts, early, "s-", color="#D55E00", label="your early fusion")
ax.set(xlabel="frame at which the spot starts", ylabel="largest answer", ylim=(0, 1.1))
ax.legend()
for name, net in (("late", (1, 1, 1)), ("3D", (3, 4, 3))):
    time = receptive_field(np.array(net), np.array([1, 4 if net[1] > 1 else 1, 1]))
    space = receptive_field(np.array([3, 4, 3]), np.array([1, 4, 1]))
    print(name, [f"{t}×{s}×{s}" for t, s in zip(time, space, strict=True)])
