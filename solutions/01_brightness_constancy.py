# %% [markdown]
# # Exercise 01 · Brightness constancy and the aperture problem
#
# You will write three functions, each a few lines long: the derivatives of a pair of frames, what the flow equation
# says about a guessed motion, and the one motion that a single pixel can tell you.
#
# Replace the two lines under `# YOUR CODE HERE`, then run the cell below it. The card says what holds. If something
# does not, it shows the *smallest* input on which your function goes wrong, small enough to work out by hand.
#
# All images are floating point in [0, 1]. A flow has the shape `(H, W, 2)`; its last axis is $(u, v)$, to the right and
# down, in pixels per frame: $I_1(x+u,\,y+v) = I_0(x, y)$.
#
# In Colab, install vidlearn first, from the address that your course gives you: `%pip install ADDRESS`.

# %%
import numpy as np

import vidlearn as vl

# %% [markdown]
# ## 1 · Derivatives of a pair of frames
#
# Everything in this lecture is built from three numbers per pixel: how the brightness changes as you step to the right
# ($I_x$), down ($I_y$), and on to the next frame ($I_t$).
#
# **Write** `spatiotemporal_gradients(I0, I1) -> (Ix, Iy, It)`, three arrays of the shape of `I0`:
#
# - `Ix` and `Iy` are the derivatives of the *mean of both frames*, $(I_0 + I_1)/2$: half the difference of the right
#   and left (lower and upper) neighbors.
# - At the border, where one neighbor is missing, take the one-sided difference: the pixel and its one neighbor,
#   not halved.
# - Along an axis with a single pixel there is no neighbor at all; the derivative is 0.
# - `It = I1 - I0`.
#
# `I0` and `I1` are both `(H, W)`, or both `(H, W, 3)` for color, where each channel has its own derivatives.
# Why the mean of both frames? Because `It` belongs to the moment halfway between them, and so should `Ix` and `Iy`.


# %%
def spatiotemporal_gradients(I0, I1):
    """Return Ix, Iy (brightness per pixel) and It (brightness per frame)."""
    ### BEGIN SOLUTION
    mean = (I0 + I1) / 2

    def derivative(axis):
        return np.gradient(mean, axis=axis) if mean.shape[axis] > 1 else np.zeros_like(mean)

    return derivative(1), derivative(0), I1 - I0
    ### END SOLUTION


# %% points=2
vl.check(spatiotemporal_gradients)

# %% [markdown]
# ## 2 · How far is a guess from the flow equation?
#
# For small motions the brightness constancy equation becomes linear. For any guess $(u, v)$ its left-hand side
#
# $$ r = I_x\,u + I_y\,v + I_t $$
#
# is zero if the guess fits this pixel, and otherwise says by how much brightness it misses.
#
# **Write** `linearized_residual(Ix, Iy, It, flow) -> r`: `flow` is `(H, W, 2)`, and `r` has the shape of `Ix`. Like the
# derivatives, it may be `(H, W)` or `(H, W, 3)`; the three channels of a pixel share its one motion.


# %%
def linearized_residual(Ix, Iy, It, flow):
    """Return Ix u + Iy v + It."""
    ### BEGIN SOLUTION
    u, v = flow[..., 0], flow[..., 1]
    if Ix.ndim == 3:
        u, v = u[..., None], v[..., None]
    return Ix * u + Iy * v + It
    ### END SOLUTION


# %% points=1
vl.check(linearized_residual)

# %% [markdown]
# ## 3 · All that one pixel can tell
#
# One equation can't fix two unknowns. Of all motions that fit a pixel, the *normal flow* is the shortest: it points
# along the gradient $\nabla I = (I_x, I_y)$, across the edge.
#
# **Write** `normal_flow(Ix, Iy, It) -> flow` for derivatives of shape `(H, W)`; the answer is `(H, W, 2)`:
#
# - where $\nabla I \ne 0$: the vector $n$ with the least length $|n|$ among those with $I_x n_u + I_y n_v + I_t = 0$;
# - where $\nabla I = 0$ exactly: $(0, 0)$, since nothing can be said there. No warnings about division by zero, please.
#
# Work out on paper how long it is before you write it down. Its unit is pixels per frame; check that yours is too.


# %%
def normal_flow(Ix, Iy, It):
    """Return the shortest flow that satisfies the constraint at each pixel."""
    ### BEGIN SOLUTION
    squared = Ix**2 + Iy**2
    # n = -It ∇I / |∇I|²; where the gradient vanishes, the numerator is 0 and any divisor will do.
    scale = -It / np.where(squared > 0, squared, 1)
    return np.stack([scale * Ix, scale * Iy], axis=-1)
    ### END SOLUTION


# %% points=2
vl.check(normal_flow)

# %% [markdown]
# ## What you have built
#
# Once all three are right, this cell turns them loose on a photograph that moved half a pixel to the right and a
# quarter down. Look at her hair and her collar: each arrow points *across* its edge, whatever the true motion is.

# %% alt="Your normal flow drawn as arrows on a photograph"
import matplotlib.pyplot as plt

from vidlearn import video
from vidlearn.flow import plots

scene = video.translation(video.photograph("astronaut").mean(axis=-1), displacement=(0.5, 0.25), scale=2.0)
Ix, Iy, It = spatiotemporal_gradients(scene.I0, scene.I1)
arrows = np.where((np.hypot(Ix, Iy) > 0.03)[..., None], normal_flow(Ix, Iy, It), np.nan)
part = np.s_[15:95, 70:150]
figure, axes = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
plots.quiver(scene.I0[part], arrows[part], step=5, title="your normal flow", ax=axes[0])
plots.signed(linearized_residual(Ix, Iy, It, scene.flow), "your residual at the true motion", "brightness", axes[1])
