# %% [markdown]
# # Exercise 05 · 3D convolution, inflation, factorization
#
# Four functions: start a 3D kernel from a 2D one, choose the width between space and time, convolve in two steps, and
# fold a batch norm away.
#
# Clips are `(N, C, T, H, W)`; kernels are `(C_out, C_in, K_t, K_h, K_w)`, and are not flipped. Replace the two lines
# under `# YOUR CODE HERE`, then run the cell below it.
#
# In Colab, install vidlearn first, from the address that your course gives you: `%pip install ADDRESS`.

# %%
import numpy as np

import vidlearn as vl

# %% [markdown]
# ## 1 · Inflate a kernel
#
# A kernel that learned from images is repeated over `k_t` frames, so that a video in which nothing moves is answered as
# its frame was.
#
# **Write** `inflate(w2d, k_t) -> w3d`: from `(C_out, C_in, K_h, K_w)` to `(C_out, C_in, k_t, K_h, K_w)`. Think of a
# window over `k_t` equal frames: what must its weights add up to?


# %%
def inflate(w2d, k_t):
    """Return the 3D kernel that answers a boring video as the 2D kernel answers its frame."""
    ### BEGIN SOLUTION
    return np.repeat(w2d[:, :, None], k_t, axis=2) / k_t
    ### END SOLUTION


# %% points=2
vl.check(inflate)

# %% [markdown]
# ## 2 · How many channels between space and time?
#
# R(2+1)D replaces a $K_t \times K_s \times K_s$ convolution from $C_{in}$ to $C_{out}$ channels by a
# $1 \times K_s \times K_s$ convolution to $M$ channels, and a $K_t \times 1 \times 1$ convolution from there. $M$ is
# the largest whole number with which the two have **no more weights** than the one.
#
# **Write** `mid_channels(c_in, c_out, k_t=3, k_s=3) -> M`, an integer. Count the weights of both, then solve for $M$.


# %%
def mid_channels(c_in, c_out, k_t=3, k_s=3):
    """Return the width that makes a (2+1)D pair as large as the 3D convolution."""
    ### BEGIN SOLUTION
    full = k_t * k_s**2 * c_in * c_out
    return full // (k_s**2 * c_in + k_t * c_out)
    ### END SOLUTION


# %% points=2
vl.check(mid_channels)

# %% [markdown]
# ## 3 · Space, then time
#
# $$ y = W_t *_t \max(0,\; W_s *_{xy} x) $$
#
# **Write** `conv2plus1d(x, w_space, w_time) -> y`, with `x` of shape `(N, C, T, H, W)`:
#
# - `w_space`, of shape `(M, C, K_h, K_w)`, is the same for every frame;
# - a ReLU;
# - `w_time`, of shape `(C_out, M, K_t)`, is the same for every pixel.
#
# All kernel sizes are odd, and zeros are put around so that the answer has as many frames, rows and columns as `x`.
# A loop over the taps of each kernel is fine: pad, then add up shifted copies, each with its weights
# (`np.einsum("mc,ncthw->mnthw", …)`, or a matrix product).


# %%
def conv2plus1d(x, w_space, w_time):
    """Return the clip convolved in space, bent, and convolved in time."""
    ### BEGIN SOLUTION
    frames, height, width = x.shape[2:]
    k_h, k_w = w_space.shape[2:]
    padded = np.pad(x, [(0, 0), (0, 0), (0, 0), (k_h // 2, k_h // 2), (k_w // 2, k_w // 2)])
    between = 0
    for i in range(k_h):
        for j in range(k_w):
            seen = padded[:, :, :, i : i + height, j : j + width]
            between = between + np.einsum("mc,ncthw->nmthw", w_space[:, :, i, j], seen)
    between = np.maximum(between, 0)
    k_t = w_time.shape[2]
    padded = np.pad(between, [(0, 0), (0, 0), (k_t // 2, k_t // 2), (0, 0), (0, 0)])
    return sum(np.einsum("om,nmthw->nothw", w_time[:, :, t], padded[:, :, t : t + frames]) for t in range(k_t))
    ### END SOLUTION


# %% points=4
vl.check(conv2plus1d)

# %% [markdown]
# ## 4 · Fold a batch norm away
#
# Training is over: mean, variance, scale and offset of each output channel are fixed. Then
#
# $$ \gamma\,\frac{W x + b - \mu}{\sqrt{\mathrm{var} + \epsilon}} + \beta $$
#
# is a convolution again. Which weights and which bias has it?
#
# **Write** `fold_batch_norm(w, b, gamma, beta, mean, var, eps=1e-5) -> (w, b)`. `w` is `(C_out, C_in, …)`, with any
# number of kernel axes after these; `b` is `(C_out,)` or `None`; the rest is `(C_out,)`.


# %%
def fold_batch_norm(w, b, gamma, beta, mean, var, eps=1e-5):
    """Return the weights and the bias of the convolution that does both."""
    ### BEGIN SOLUTION
    scale = gamma / np.sqrt(var + eps)
    if b is None:
        b = np.zeros_like(mean)
    return w * scale.reshape(-1, *[1] * (w.ndim - 1)), (b - mean) * scale + beta
    ### END SOLUTION


# %% points=3
vl.check(fold_batch_norm)

# %% [markdown]
# ## What you have built
#
# Once your functions are right, this cell inflates an edge detector, shows it a photograph that stands still and one
# that slides, and draws what it says about the middle frame. Standing still, it is the 2D answer; sliding, edges smear.

# %% alt="An edge kernel inflated by your function: sharp on the clip that stands still, smeared on the one that slides"
import matplotlib.pyplot as plt

from vidlearn import video
from vidlearn.flow import plots

photo = video.photograph("astronaut").mean(axis=-1)[40:200, 60:220]
edge = np.array([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])[None, None] / 4
kernel = inflate(edge, 5)
still = np.stack([photo] * 5)
sliding = np.stack([np.roll(photo, 3 * t, axis=1) for t in range(-2, 3)])
figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
plots.image(photo, "the middle frame", axes[0])
for ax, clip, title in ((axes[1], still, "stands still"), (axes[2], sliding, "slides by 3 px a frame")):
    answer = vl.layers.conv3d(clip[None, None], kernel, padding=(0, 1, 1))[0, 0, 0]
    plots.signed(answer, title, "answer", ax)
