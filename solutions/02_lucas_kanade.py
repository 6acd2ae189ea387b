# %% [markdown]
# # Exercise 02 · Lucas–Kanade, and when it can be solved
#
# Three functions: collect the gradients of a window in a matrix, read from its eigenvalues what the window is good for,
# and solve for the motion.
#
# Conventions as in exercise 01: derivatives `(H, W)` or, in color, `(H, W, 3)`; a flow is `(H, W, 2)` with $(u, v)$
# to the right and down. Replace the two lines under `# YOUR CODE HERE`, then run the cell below it.
#
# In Colab, install vidlearn first, from the address that your course gives you: `%pip install ADDRESS`.

# %%
import numpy as np

import vidlearn as vl

# %% [markdown]
# ## 1 · The structure tensor
#
# If the pixels in a $K \times K$ window move alike, each gives one equation. All that their left-hand sides have to say
# fits into one $2 \times 2$ matrix per pixel:
#
# $$ J = A^T\!A = \sum_{p\,\in\,K \times K} \begin{bmatrix} I_x I_x & I_x I_y \\ I_x I_y & I_y I_y \end{bmatrix} $$
#
# **Write** `structure_tensor(Ix, Iy, window=5) -> J`, of shape `(H, W, 2, 2)`:
#
# - `window` is $K$, odd; the window is centered on the pixel. All its pixels weigh the same.
# - Pixels outside the image contribute nothing, so the sums near the border have fewer terms.
# - In color, the sum runs over the three channels too: 75 terms instead of 25 if $K = 5$.
#
# A loop over the $K^2$ places in the window is fine. A loop over the pixels of the image is slow.


# %%
def structure_tensor(Ix, Iy, window=5):
    """Return the sums of products of gradients in the window around each pixel."""
    ### BEGIN SOLUTION
    reach = window // 2

    def windowed(product):
        if product.ndim == 3:
            product = product.sum(axis=-1)
        height, width = product.shape
        padded = np.pad(product, reach)  # zeros: outside the image there is nothing to add
        total = np.zeros_like(product)
        for dy in range(window):
            for dx in range(window):
                total += padded[dy : dy + height, dx : dx + width]
        return total

    xx, xy, yy = windowed(Ix * Ix), windowed(Ix * Iy), windowed(Iy * Iy)
    return np.stack([np.stack([xx, xy], axis=-1), np.stack([xy, yy], axis=-1)], axis=-2)
    ### END SOLUTION


# %% points=2
vl.check(structure_tensor)

# %% [markdown]
# ## 2 · Its eigenvalues
#
# Two large eigenvalues: a corner, and the motion can be solved for. One: an edge. None: nothing to see. A symmetric
# $2 \times 2$ matrix is small enough for a formula: half the trace, plus or minus a root.
#
# **Write** `structure_tensor_eigenvalues(J) -> eigenvalues`: for `J` of shape `(..., 2, 2)`, symmetric, return `(...,
# 2)` with $\lambda_1$ first, and $\lambda_1 \ge \lambda_2 \ge 0$. In exact arithmetic a structure tensor has no
# negative eigenvalue; where rounding makes one, return 0.


# %%
def structure_tensor_eigenvalues(J):
    """Return the eigenvalues of symmetric 2 × 2 matrices, the larger one first."""
    ### BEGIN SOLUTION
    mean = (J[..., 0, 0] + J[..., 1, 1]) / 2
    root = np.sqrt(((J[..., 0, 0] - J[..., 1, 1]) / 2) ** 2 + J[..., 0, 1] ** 2)
    return np.maximum(np.stack([mean + root, mean - root], axis=-1), 0)
    ### END SOLUTION


# %% points=2
vl.check(structure_tensor_eigenvalues)

# %% [markdown]
# ## 3 · Lucas–Kanade
#
# Now solve. The window's equations, in the least-squares sense:
#
# $$ J \begin{bmatrix} u \\ v \end{bmatrix} = -\begin{bmatrix} \sum I_x I_t \\ \sum I_y I_t \end{bmatrix} $$
#
# **Write** `lucas_kanade(Ix, Iy, It, window=5) -> flow`, of shape `(H, W, 2)`, with windows as in `structure_tensor`:
#
# - Where $J$ can be inverted, the flow is the solution.
# - Where it can't (an edge, a flat patch), there are many least-squares solutions. Return the shortest one. On an
#   edge that is the normal flow; where all gradients are 0, it is $(0, 0)$. `np.linalg.pinv` knows about this, and it
#   takes stacks of matrices.


# %%
def lucas_kanade(Ix, Iy, It, window=5):
    """Return the least-squares motion of the window around each pixel."""
    ### BEGIN SOLUTION
    reach = window // 2

    def windowed(product):
        if product.ndim == 3:
            product = product.sum(axis=-1)
        padded = np.pad(product, reach)
        return np.lib.stride_tricks.sliding_window_view(padded, (window, window)).sum(axis=(-2, -1))

    right = -np.stack([windowed(Ix * It), windowed(Iy * It)], axis=-1)
    inverse = np.linalg.pinv(structure_tensor(Ix, Iy, window), rcond=1e-13, hermitian=True)
    return (inverse @ right[..., None])[..., 0]
    ### END SOLUTION


# %% points=3
vl.check(lucas_kanade)

# %% [markdown]
# ## What you have built
#
# Once all three are right, this cell runs them on a photograph that slides by $(0.6, -0.35)$. The mask keeps the pixels
# whose smaller eigenvalue is large: `lucas_kanade` is right there, and nearly nowhere else.

# %% alt="Your Lucas–Kanade flow as arrows where the smaller eigenvalue is large, and its endpoint error"
import matplotlib.pyplot as plt

from vidlearn import video
from vidlearn.flow import plots

scene = video.translation(video.photograph("astronaut").mean(axis=-1), displacement=(0.6, -0.35), scale=2.0)
Ix, Iy, It = vl.flow.spatiotemporal_gradients(scene.I0, scene.I1)
eigenvalues = structure_tensor_eigenvalues(structure_tensor(Ix, Iy))
flow = lucas_kanade(Ix, Iy, It)
solvable = scene.valid & (eigenvalues[..., 1] > 0.01)
figure, axes = plt.subplots(1, 2, figsize=(12, 5.2), layout="constrained")
plots.quiver(
    scene.I0, np.where(solvable[..., None], flow, np.nan), step=7, title="your flow, where solvable", ax=axes[0]
)
plots.error_heatmap(flow, scene.flow, solvable, max_error=0.5, title="its error", ax=axes[1])
