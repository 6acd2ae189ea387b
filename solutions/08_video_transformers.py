# %% [markdown]
# # Exercise 08 · Video transformers
#
# Four functions: write a clip as tokens, count what a query is compared with, let tokens look at their neighborhood,
# and look at space before time.
#
# Clips are `(N, C, T, H, W)`; tokens are `(N, L, D)`: `L` of them, of `D` features. Replace the two lines under
# `# YOUR CODE HERE`, then run the cell below it.
#
# In Colab, install vidlearn first, from the address that your course gives you: `%pip install ADDRESS`.

# %%
import numpy as np

import vidlearn as vl

# %% [markdown]
# Attention itself is given. Each of the `heads` works on its own part of the features; `q`, `k` and `v` are `(N, L,
# D)`, and there may be more keys than queries.


# %%
def look(q, k, v, heads):
    """Return for each query the mean of the values, weighted by how well the keys match it."""
    answers = []
    for a, b, c in zip(*(np.split(x, heads, axis=2) for x in (q, k, v)), strict=True):
        scores = a @ b.transpose(0, 2, 1) / np.sqrt(a.shape[2])
        weights = np.exp(scores - scores.max(axis=2, keepdims=True))
        answers.append(weights / weights.sum(axis=2, keepdims=True) @ c)
    return np.concatenate(answers, axis=2)


# %% [markdown]
# ## 1 · A clip as tokens
#
# Cut the clip in boxes of $K_t \times K_h \times K_w$ that don't overlap, and map the numbers in each box to $D$
# features:
#
# $$ \text{token}_{t, y, x} = b + \sum_{c, i, j, k} W[:, c, i, j, k]\; x[c,\; t K_t + i,\; y K_h + j,\; x K_w + k] $$
#
# **Write** `tubelet_embed(x, w, b=None) -> tokens`, from `(N, C, T, H, W)` with `w` of shape `(D, C, K_t, K_h, K_w)`
# and `b` of shape `(D,)` to `(N, L, D)`. The tokens are numbered by $t$, then $y$, then $x$ (that of $x$ changes
# fastest). All sizes are multiples of the kernel's. *One reshape cuts each axis in two; which axes must then be
# brought together?*


# %%
def tubelet_embed(x, w, b=None):
    """Return one token for each box of the clip."""
    ### BEGIN SOLUTION
    N, C, T, H, W = x.shape
    D, _, k_t, k_h, k_w = w.shape
    boxes = x.reshape(N, C, T // k_t, k_t, H // k_h, k_h, W // k_w, k_w)
    tokens = np.einsum("nctiyjxk,dcijk->ntyxd", boxes, w).reshape(N, -1, D)
    if b is not None:
        tokens = tokens + b
    return tokens
    ### END SOLUTION


# %% points=2
vl.check(tubelet_embed)

# %% [markdown]
# ## 2 · What one query is compared with
#
# A clip has $T \times H \times W$ patches. TimeSformer's five schemes let a patch look at these, step after step:
#
# | scheme | first | then | then |
# | --- | --- | --- | --- |
# | `"S"` | the patches of its frame | | |
# | `"ST"` | all patches | | |
# | `"T+S"` | its place in all frames | the patches of its frame | |
# | `"L+G"` | in all frames, the quarter ($H/2 \times W/2$) that it lies in | in every second frame, every second patch of every second row | |
# | `"T+W+H"` | its place in all frames | its row of its frame | its column of its frame |
#
# A patch is among those that it looks at, and **in each step** so is the class token.
#
# **Write** `comparisons(frames, height, width, scheme) -> number`: how many keys a patch's query is compared with, over
# all steps. (Height and width are even for `"L+G"`, and so is the number of frames.)


# %%
def comparisons(frames, height, width, scheme):
    """Return the number of keys that one query meets."""
    ### BEGIN SOLUTION
    everything = frames * height * width
    steps = {
        "S": [height * width],
        "ST": [everything],
        "T+S": [frames, height * width],
        "L+G": [everything // 4, everything // 8],
        "T+W+H": [frames, width, height],
    }[scheme]
    return sum(steps) + len(steps)
    ### END SOLUTION


# %% points=2
vl.check(comparisons)

# %% [markdown]
# ## 3 · Look at your neighborhood
#
# All these steps are one function. `vl.transformers.neighborhood(frames, height, width, kind)` gives the groups, one a
# row: the numbers of the patches that look at one another. In a clip of 2 frames of 1 × 2 patches:

# %%
print(vl.transformers.neighborhood(2, 1, 2, "space").tolist())
print(vl.transformers.neighborhood(2, 1, 2, "time").tolist())

# %% [markdown]
# **Write** `neighborhood_attention(q, k, v, frames, height, width, kind, class_token="joins", heads=1) -> answers`.
# All of `q`, `k`, `v` and the answers are `(N, L, D)`.
#
# - `"absent"`: there are only patches. Those of a group look at the group.
# - `"joins"`: token 0 is the class token, the patches follow. Each group may look at the class token too, and the class
#   token looks at everything.
# - `"averaged"`: token 0 is the class token, and each group may look at it. It looks at each group (and at itself), and
#   what it gets from the groups is averaged.
#
# A loop over the groups is fine.


# %%
def neighborhood_attention(q, k, v, frames, height, width, kind, class_token="joins", heads=1):
    """Return what each token gets from the tokens it may look at."""
    ### BEGIN SOLUTION
    groups = vl.transformers.neighborhood(frames, height, width, kind)
    answers = np.zeros_like(v)
    if class_token == "absent":
        for group in groups:
            answers[:, group] = look(q[:, group], k[:, group], v[:, group], heads)
        return answers
    for group in groups + 1:
        seen = [0, *group]
        answers[:, group] = look(q[:, group], k[:, seen], v[:, seen], heads)
        if class_token == "averaged":
            answers[:, :1] += look(q[:, :1], k[:, seen], v[:, seen], heads) / len(groups)
    if class_token == "joins":
        answers[:, :1] = look(q[:, :1], k, v, heads)
    return answers
    ### END SOLUTION


# %% points=5
vl.check(neighborhood_attention)

# %% [markdown]
# ## 4 · First every frame, then the clip
#
# ViViT's factorized encoder understands every frame by itself, makes one token of it, and lets the frames look at one
# another. Stripped to the order of its steps:
#
# $$ z_t = \operatorname{mean}_s \big(x_t + \operatorname{attention}(x_t;\, W_{space})\big), \qquad
#    \text{answer} = \operatorname{mean}_t \big(z + \operatorname{attention}(z;\, W_{time})\big) $$
#
# **Write** `factorized_encoder(x, w_space, w_time, heads=1) -> answer`, from `(N, T, S, D)` (`S` patches in each of `T`
# frames) to `(N, D)`. Both weights are `(3D, D)`: of what $W x$ has, the first `D` numbers are the query, then come the
# key and the value.


# %%
def factorized_encoder(x, w_space, w_time, heads=1):
    """Return D features of each clip: attention in each frame, then among the frames."""
    ### BEGIN SOLUTION
    N, T, S, D = x.shape
    patches = x.reshape(N * T, S, D)
    patches = patches + look(*np.split(patches @ w_space.T, 3, axis=2), heads)
    moments = patches.mean(axis=1).reshape(N, T, D)
    moments = moments + look(*np.split(moments @ w_time.T, 3, axis=2), heads)
    return moments.mean(axis=1)
    ### END SOLUTION


# %% points=3
vl.check(factorized_encoder)

# %% [markdown]
# ## What you have built
#
# Once your functions are right, this cell cuts a real film into tokens, and asks *what in the clip looks like the
# marked patch?* The patches are their own queries and keys, and the value is a picture of where you are: so what
# comes out is how much each patch was looked at. Divided attention looks at other moments first, then at the rest of
# its frame.

# %% alt="Attention of one marked patch over four frames of a film, within its frame, through time, and over everything"
import matplotlib.pyplot as plt

from vidlearn import video

film = video.read(video.clip_path(), stop=32, step=8)[:, 10:170, 64:288]
grid = (len(film), 10, 14)
asked = (1 * 10 + 5) * 14 + 6  # frame 1, row 5, column 6
clip = np.moveaxis(film, -1, 0)[None] / 255.0
itself = np.eye(3 * 16 * 16).reshape(-1, 3, 1, 16, 16)  # W = 1: a token is the pixels of its patch
tokens = tubelet_embed(clip, itself)
alike = tokens - tokens.mean(axis=1, keepdims=True)
alike = 8 * alike / np.linalg.norm(alike, axis=2, keepdims=True)  # the scale decides how picky the softmax is
where = np.eye(tokens.shape[1], tokens.shape[2])[None]  # each patch says its own number
figure, axes = plt.subplots(3, len(film), figsize=(11, 6.6), layout="constrained")
for line, kind in zip(axes, ("space", "time", "space-time"), strict=True):
    looked = neighborhood_attention(alike, alike, where, *grid, kind, class_token="absent")[0, asked]
    looked = looked[: tokens.shape[1]].reshape(grid)
    bright = 0.2 + 0.8 * np.sqrt(looked / looked.max())
    for t, ax in enumerate(line):
        ax.imshow((film[t] / 255) ** 0.6 * np.kron(bright[t], np.ones((16, 16)))[..., None])
        ax.set(xticks=[], yticks=[], title=f"{kind}, frame {8 * t}")
    line[1].add_patch(plt.Rectangle((6 * 16, 5 * 16), 16, 16, fill=False, color="#D55E00", linewidth=2))
