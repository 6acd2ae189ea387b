# %% [markdown]
# # Exercise 03 · Warping, iteration, pyramids
#
# Three functions carry Lucas–Kanade from half a pixel to thirty: fetch an image along a flow, carry a flow to the next
# finer level, and refine.
#
# Conventions as before: images `(H, W)` or `(H, W, 3)`, float; a flow is `(H, W, 2)` with $(u, v)$ to the right and
# down, in pixels per frame. Replace the two lines under `# YOUR CODE HERE`, then run the cell below it.
#
# In Colab, install vidlearn first, from the address that your course gives you: `%pip install ADDRESS`.

# %%
import numpy as np

import vidlearn as vl

# %% [markdown]
# ## 1 · Warping
#
# To undo a motion, fetch each pixel from where it went: $\operatorname{out}(x, y) = I(x + u,\; y + v)$. So
# `warp(I1, flow)` looks like $I_0$ where the flow is right.
#
# **Write** `warp(image, flow)`, for `image` of shape `(H, W)` or `(H, W, 3)`; the answer has the same shape:
#
# - Clamp the position first: $x + u$ to $[0, W-1]$ and $y + v$ to $[0, H-1]$. So beyond the frame the border repeats.
# - Between pixels, interpolate bilinearly between the four neighbors: for a position a fraction $s$ of the way from its
#   left to its right neighbor, weigh them by $1 - s$ and $s$, and likewise from top to bottom.
# - At a position on the last column there is no right neighbor, and none is needed.
# - Where the flow is NaN, the answer is NaN.


# %%
def warp(image, flow):
    """Return image(x + u, y + v), interpolated bilinearly."""
    ### BEGIN SOLUTION
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    x = np.clip(x + flow[..., 0], 0, width - 1)
    y = np.clip(y + flow[..., 1], 0, height - 1)
    unknown = np.isnan(x + y)
    x, y = np.where(unknown, 0, x), np.where(unknown, 0, y)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    s, t = x - left, y - top
    if image.ndim == 3:
        s, t = s[..., None], t[..., None]
    upper = (1 - s) * image[top, left] + s * image[top, right]
    lower = (1 - s) * image[bottom, left] + s * image[bottom, right]
    out = (1 - t) * upper + t * lower
    out[unknown] = np.nan
    return out
    ### END SOLUTION


# %% points=3
vl.check(warp)

# %% [markdown]
# ## 2 · One level down the pyramid
#
# A pyramid halves an image from level to level. On the way back, a flow found on the small image must become a flow of
# the larger one: more pixels, *and longer vectors*.
#
# **Write** `upsample_flow(flow, height, width)`: `flow` is `(h, w, 2)`; the answer is `(height, width, 2)`. `height` is
# either $2h$ or $2h - 1$, the two sizes that halve to $h$, and `width` likewise. (You may rely on that.) Along each
# axis:
#
# - If the finer size is **even**, coarse sample $k$ lies midway between the fine pixels $2k$ and $2k + 1$. So the fine
#   pixel $i$ is at the coarse position $(i - \tfrac12)/2$.
# - If it is **odd**, coarse sample $k$ lies on the fine pixel $2k$. So $i$ is at the coarse position $i/2$.
# - Clamp the positions to $[0, h - 1]$ (or $w - 1$), and interpolate linearly between samples, along both axes.
# - Double $u$ if the width grew, and $v$ if the height did. (An axis of size 1 stays of size 1, and does not grow.)


# %%
def upsample_flow(flow, height, width):
    """Return the flow on the next finer level of a pyramid."""
    ### BEGIN SOLUTION
    for axis, fine in ((0, height), (1, width)):
        coarse = flow.shape[axis]
        i = np.arange(fine)
        at = np.clip((i - 0.5) / 2 if fine % 2 == 0 else i / 2, 0, coarse - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, coarse - 1)
        share = (at - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        flow = (1 - share) * flow.take(low, axis) + share * flow.take(high, axis)
        if fine > 1:
            flow[..., 1 - axis] *= 2  # u with the width, v with the height
    return flow
    ### END SOLUTION


# %% points=3
vl.check(upsample_flow)

# %% [markdown]
# ## 3 · Iterative Lucas–Kanade
#
# **Write** `iterative_lucas_kanade(I0, I1, window=5, iterations=3) -> flow`. Start from zero flow, and take the slopes
# $g = \nabla I_0$ of the *first* frame once: `Ix, Iy, _ = vl.flow.spatiotemporal_gradients(I0, I0)`. Then, in each
# round:
#
# 1. Warp $I_1$ by the flow found so far, and take what is left: $r = \operatorname{warp}(I_1, \text{flow}) - I_0$.
# 2. Solve for the *whole* flow $d$, not for a correction. A pixel's equation is $g \cdot d = g \cdot d_{\text{old}} -
# r$, with    its own old flow $d_{\text{old}}$. Solve it by least squares in the $K \times K$ window around each
# pixel, the shortest    solution where there are many.
# 3. A pixel whose old flow leads out of the frame knows nothing, and its equation is left out:
#    `vl.flow.inside_frame(flow)` says which ones stay.
#
# Images are `(H, W)` or `(H, W, 3)`; in color every channel gives an equation. With `iterations=0` the answer is zero.
#
# You may use `vl.flow.lucas_kanade`, which solves $I_x u + I_y v + I_t = 0$ in windows. What must its `It` be? And how
# does one leave a pixel's equation out?


# %%
def iterative_lucas_kanade(I0, I1, window=5, iterations=3):
    """Return the flow after some rounds of warping and solving."""
    ### BEGIN SOLUTION
    Ix, Iy, _ = vl.flow.spatiotemporal_gradients(I0, I0)
    flow = np.zeros((*I0.shape[:2], 2), I0.dtype)
    for _ in range(iterations):
        inside = vl.flow.inside_frame(flow)
        u, v = flow[..., 0], flow[..., 1]
        if I0.ndim == 3:
            inside, u, v = inside[..., None], u[..., None], v[..., None]
        left = vl.flow.warp(I1, flow) - I0
        It = left - (Ix * u + Iy * v)
        # an equation times 0 is left out
        flow = vl.flow.lucas_kanade(Ix * inside, Iy * inside, It * inside, window)
    return flow
    ### END SOLUTION


# %% points=4
vl.check(iterative_lucas_kanade)

# %% [markdown]
# ## What you have built
#
# Once all three are right, this cell makes a photograph of a cat turn, by many pixels near its corners, and finds that
# motion from coarse to fine with your functions.

# %% alt="The flow found from coarse to fine with your functions, the true flow, and the error"
import matplotlib.pyplot as plt

from vidlearn import video
from vidlearn.flow import plots

cat = video.photograph("chelsea").mean(axis=-1)
scene = video.rotation3d(cat, rotation=(0.01, -0.02, 0.06), scale=1.5)
pyramids = [vl.flow.gaussian_pyramid(image, 5) for image in (scene.I0, scene.I1)]
flow = np.zeros((*pyramids[0][-1].shape, 2))
for J0, J1 in reversed(list(zip(*pyramids, strict=True))):
    if flow.shape[:2] != J0.shape:
        flow = upsample_flow(flow, *J0.shape)
    flow = flow + iterative_lucas_kanade(J0, warp(J1, flow), window=9, iterations=2)
figure, axes = plt.subplots(1, 3, figsize=(14, 3.8), layout="constrained")
longest = float(np.hypot(*np.moveaxis(scene.flow, -1, 0)).max())
plots.flow_color(flow, max_flow=longest, title="your flow", ax=axes[0])
plots.flow_color(scene.flow, max_flow=longest, title="the truth", ax=axes[1])
plots.error_heatmap(flow, scene.flow, scene.valid, max_error=2, title="error", ax=axes[2])
