# %% [markdown]
# # 06 · Non-local attention
#
# A ball leaves a hand in the first frame and is caught in the last one. A kernel of 3×3×3 sees neither both hands nor
# both frames. Can one layer let every place and moment of a clip look at every other one? And can it be paid for?
#
# | slide | section here | code |
# | --- | --- | --- |
# | SJTU · 3D CNN: Non-local Neural Networks | [1](#1-how-far-a-convolution-sees), [2](#2-one-position-looks-at-all) | `layers.conv3d`, `nonlocal_attention.nonlocal_mean` |
# | SJTU · (a) Instantiations | [3](#3-four-ways-to-be-alike) | `nonlocal_attention.pairwise_weights` |
# | SJTU · figure 1: the ball in the first frame | [4](#4-where-does-it-look) | `nonlocal_attention.plots.attention_map` |
# | CS231n · Spatio-Temporal Self-Attention (Nonlocal Block) | [5](#5-the-block) | `nonlocal_attention.nonlocal_block` |
# | SJTU · (d) Space vs. time vs. spacetime | [6](#6-space-time-or-both) | `nonlocal_attention.nonlocal_macs` |
# | SJTU · (e) Non-local vs. 3D Conv | [7](#7-sub-sampling-and-the-slides-12) | `nonlocal_attention.nonlocal_macs`, `vidlearn tables` |
# | CS231n · Recall: Self-Attention | [8](#8-queries-keys-values) | `nonlocal_attention.attention`, `nonlocal_attention.multi_head_attention` |
# | zh · Non-local | [9](#9-find-the-slides-mistake) | `nonlocal_attention.nonlocal_mean` |
# | L9 · Non-Local Blocks: THW × THW | [10](#10-a-number-for-every-pair) | `nonlocal_attention.attention` |
# | (not in the decks) attention without its memory | [11](#11-tile-by-tile) | `nonlocal_attention.online_attention` |
#
# Every number and every picture on this page is computed by the cell above it.

# %%
import tracemalloc

import matplotlib.pyplot as plt
import numpy as np

import vidlearn as vl
from vidlearn import nonlocal_attention, video
from vidlearn.nonlocal_attention import plots
from vidlearn.nonlocal_attention.checks import MOST_BYTES
from vidlearn.slides import attention as paper

BLUE, ORANGE = "#0072B2", "#D55E00"
rng = np.random.default_rng(0)

# %% [markdown]
# ## 1 · How far a convolution sees
#
# How many layers of 3×3×3 does it take until the first and the last of 32 frames meet? Each layer reaches one frame
# further to either side:
#
# $$ r_L = 1 + 2L $$
#
# Light the first frame, and follow it through layers that take the mean of three frames. (Bright is much, dark is
# little, on a scale of powers of ten; white is nothing at all.)

# %% alt="The light of frame 0 spreads by one frame in each layer, and fades: white above the diagonal, dark along it"
frames = 32
light = np.zeros((1, 1, frames, 1, 1))
light[0, 0, 0] = 1
felt = [light]
for _ in range(frames - 1):
    felt.append(vl.layers.conv3d(felt[-1], np.full((1, 1, 3, 1, 1), 1 / 3), padding=(1, 0, 0)))
felt = np.array(felt)[:, 0, 0, :, 0, 0]
figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
shown = ax.imshow(np.log10(np.where(felt > 0, felt, np.nan)), cmap="viridis", vmin=-15, aspect="auto")
ax.set(xlabel="frame", ylabel="layers", title="how much of frame 0 is in each frame")
figure.colorbar(shown, label="power of ten", ax=ax)
meet = next(n for n in range(frames) if felt[n, (frames - 1) // 2] > 0 and felt[n, frames // 2] > 0)
sees = vl.fusion.receptive_field(np.full(meet, 3), np.ones(meet, int))[-1]
print(f"after {meet} layers a kernel in the middle has seen {sees} frames: the first and the last meet there")
print(f"after {frames - 1} layers the last frame has heard of the first: a share of {felt[-1, -1]:.0e} of it")

# %% [markdown]
# Strides and pools help (they shorten the clip), but the way stays long, and at each step the message is mixed with
# others. A convolution is *local*: it weighs by **where** something lies. That is good for edges, and bad for the ball.
#
# ## 2 · One position looks at all
#
# Write the clip as a set of $N = T \cdot H \cdot W$ positions, each with its features $x_i$. The answer at $i$ is a mean
# over all positions $j$, weighted by how well the two fit:
#
# $$ y_i = \frac{1}{\mathcal C_i} \sum_j f(x_i, x_j)\; g(x_j) $$
#
# $f$ says *how much*, $g$ says *of what*, and $\mathcal C_i$ divides. Here are five positions, by hand: a ball is seen
# twice, with two bits of floor and one of sky between. Let $f = e^{x_i \cdot x_j}$, and divide by the sum:

# %%
names = ("ball", "floor", "floor", "sky", "ball")
x = np.array([[2.0, 0], [0, 1], [0, 1], [0, -1], [2, 0]])
scores = x @ x[0]  # the first ball asks
f = np.exp(scores)
weights = f / f.sum()
for name, score, weight in zip(names, scores, weights, strict=True):
    print(f"{name:6} score {score:4.1f}   e^score {np.exp(score):5.1f}   weight {weight:.3f}")
by_hand = weights @ x
print(
    "answer:", by_hand.round(3), "  as nonlocal_mean:", nonlocal_attention.nonlocal_mean(*[x[None]] * 3)[0, 0].round(3)
)

# %% [markdown]
# The ball looks at itself and at the other ball. How far apart the two are plays no part: it weighs by **what** is there.
# Test that: put the positions in another order. A convolution says something else; this says the same, in that order.

# %%
order = rng.permutation(12)
clip = rng.normal(size=(1, 12, 3))
mixed = clip[:, order]
mean = nonlocal_attention.nonlocal_mean
kernel = rng.normal(size=(3, 3, 3, 1, 1))


def convolved(positions):
    return vl.layers.conv3d(np.moveaxis(positions, 1, 2)[..., None, None], kernel, padding=(1, 0, 0))[..., 0, 0]


apart = np.abs(mean(mixed, mixed, mixed) - mean(clip, clip, clip)[:, order]).max()
print(f"non-local mean: in another order, the answers differ by {apart:.0e}")
print(
    f"convolution:    in another order, the answers differ by {np.abs(convolved(mixed) - convolved(clip)[..., order]).max():.1f}"
)

# %% [markdown]
# Two sides of one coin: it finds the ball wherever it lies, and it can't tell before from after. In a convolutional
# network the layers around it know; a transformer must be told ([lecture 08](08_video_transformers.ipynb)).
#
# ## 3 · Four ways to be alike
#
# The paper tries four functions $f$. Two are the exponential and differ in what they are given: the features, or
# projections of them, $\theta_i = W_\theta x_i$ and $\phi_j = W_\phi x_j$. Then they are normalized, in two ways:
#
# | | $f$ | divided by |
# | --- | --- | --- |
# | Gaussian | $e^{x_i \cdot x_j}$ | the sum over $j$: a **softmax** |
# | embedded Gaussian | $e^{\theta_i \cdot \phi_j}$ | the sum over $j$: a **softmax** |
# | dot product | $\theta_i \cdot \phi_j$ | $N$ |
# | concatenation | $\max(0, w_f \cdot [\theta_i, \phi_j])$ | $N$ |
#
# Our five positions, each a row. Beside each row is its sum.

# %% alt="Scores of five positions and the weights three functions make of them, with the sums of their rows"
plots.pairwise_functions(x, x, w_f=np.array([1.0, 0.5, 1.0, 0.5]))

# %% [markdown]
# Why isn't everything divided by its sum? Look at the sky's row of the dot product: its weights sum to less than
# nothing. Divide by that, and every sign turns around; and if the sum is 0, there is no answer at all. Only the
# exponential is surely positive.
#
# **Break something, 1.** A matrix has two axes. Take the softmax over the wrong one: no shape will complain. But let
# all values be 1. What must a mean of ones be?

# %%
theta, phi = rng.normal(size=(2, 1, 6, 4))
ones = np.ones((1, 6, 1))
scores = theta @ phi.transpose(0, 2, 1)
right, wrong = (np.exp(scores) / np.exp(scores).sum(axis=axis, keepdims=True) for axis in (2, 1))
print("over all that are looked at:", (right @ ones).ravel().round(2))
print("over all that ask:          ", (wrong @ ones).ravel().round(2))

# %% [markdown]
# **Break something, 2.** Why divide by $N$? Let the clip be twice as long, by repeating it: nothing new is there to be
# seen. What does each function answer, compared with what it said before?

# %%
g, w_f = rng.normal(size=(1, 6, 4)), rng.normal(size=8)
print(f"{'':18} {'divided':>8} {'not divided':>12}")
for kind in ("embedded gaussian", "dot product", "concatenation"):
    last = w_f if kind == "concatenation" else None
    once = mean(theta, phi, g, kind, last)
    twice = mean(theta, np.tile(phi, (1, 2, 1)), np.tile(g, (1, 2, 1)), kind, last)
    ratio = np.linalg.norm(twice) / np.linalg.norm(once)
    print(f"{kind:18} {ratio:7.2f}× {2 * ratio:11.2f}×")

# %% [markdown]
# Without the division a longer clip answers louder, and a network that was trained on 32 frames can't be used on 128.
# Which of the four is best? By the slide's table (a), it hardly matters: they are within half a percent. What helps is
# *that* positions look at one another.
#
# ## 4 · Where does it look?
#
# On a real film. A position is 4 × 4 pixels; its features are the 5 × 5 positions around it. These three frames are 22
# frames apart. The marked position lies just above the upper edge of a tower, and is asked twice. First
# $\theta$ and $\phi$ keep of the features only the **color**; then only the **shape**, the pattern of bright and dark.

# %%
film = video.read(video.clip_path(), step=22)[:, 10:170, 64:288] / 255.0
T, H, W = len(film), 40, 56
small = film.reshape(T, H, 4, W, 4, 3).mean(axis=(2, 4))
padded = np.pad(small, [(0, 0), (2, 2), (2, 2), (0, 0)], mode="edge")
around = np.stack([padded[:, i : i + H, j : j + W] for i in range(5) for j in range(5)], axis=3)  # (T, H, W, 25, 3)
color = around.mean(axis=3) - around.mean(axis=(0, 1, 2, 3))
shape = around.mean(axis=4) - around.mean(axis=(3, 4))[..., None]


def looks(features, place, pick):
    """Return how much one position looks at each: features of one length, and `pick` says how picky the softmax is."""
    tokens = features / np.linalg.norm(features, axis=-1, keepdims=True)
    tokens = tokens.reshape(1, T * H * W, -1)
    asks = pick * tokens[:, [np.ravel_multi_index(place, (T, H, W))]]
    return nonlocal_attention.pairwise_weights(asks, tokens).reshape(T, H, W)


place = (1, 3, 22)
print(f"{T} × {H} × {W} = {T * H * W:,} positions are looked at; the mean weight is {1 / (T * H * W):.5f}")

# %% alt="By color, the position above the tower looks at dusky places along the edges of towers, in all three frames"
figure = plots.attention_map(0.5 * film, looks(color, place, 100), place)
figure.set_size_inches(11, 3.2)
print(f"color: the largest weight is {looks(color, place, 100).max():.4f}")

# %% alt="By shape, the same position looks at upper edges of towers, in all three frames, and at the tops of window rows"
figure = plots.attention_map(0.5 * film, looks(shape, place, 20), place)
figure.set_size_inches(11, 3.2)
print(f"shape: the largest weight is {looks(shape, place, 20).max():.4f}")

# %% [markdown]
# By color it finds what is half sky and half wall; by shape it finds upper edges: its own, in the other frames, where the
# camera has moved it, and those of other buildings. Here we chose by hand. A network *learns* $W_\theta$ and $W_\phi$:
# it learns **what shall count as alike**.
#
# ## 5 · The block
#
# Into a network it goes like this: project to fewer channels, look, project back, and **add the clip itself**.
#
# $$ z_i = x_i + W_z\, y_i $$
#
# Let $W_z$ start at zero. What does the block do then?

# %%
C, M = 8, 4
x = rng.normal(size=(1, C, 4, 5, 6))
w_theta, w_phi, w_g = rng.normal(size=(3, M, C)) / np.sqrt(C)
w_z = rng.normal(size=(C, M)) / np.sqrt(M)
block = nonlocal_attention.nonlocal_block
for scale in (0, 0.01, 1):
    change = block(x, w_g, scale * w_z, w_theta, w_phi) - x
    print(f"W_z × {scale:<4}: the clip changes by {np.abs(change).max():.4f}")

# %% [markdown]
# By nothing. So it can be put anywhere into a network that is trained already, and the network still works; from there
# it learns. (In code it is often the scale of a batch norm behind $W_z$ that starts at zero.) Without the "$x_i +$" the
# answer would be all zeros, and everything behind it blind.
#
# ## 6 · Space, time, or both
#
# Who looks at whom? All positions of the clip, or those of one frame, or one place through time. Change one
# position, and see who notices:

# %% alt="Changing one position: over space its frame notices, over time its place in all frames, over both everybody"
changed = x.copy()
changed[0, :, 1, 2, 3] += 1
ways = ("space-time", "space", "time")
figure, axes = plt.subplots(3, 4, figsize=(8, 5), layout="constrained")
for over, line in zip(ways, axes, strict=True):
    notice = np.abs(block(changed, w_g, w_z, w_theta, w_phi, over=over) - block(x, w_g, w_z, w_theta, w_phi, over=over))
    notice = notice[0].max(axis=0) > 1e-12
    macs = int(nonlocal_attention.nonlocal_macs(1024, 512, 4, 14, 14, over=over))
    print(f"{over:10} {int(notice.sum()):3} of {notice.size} notice;   in a real network: {macs / 1e9:.2f} G MACs")
    for t, ax in enumerate(line):
        ax.imshow(notice[t], cmap="Blues", vmin=0, vmax=1.4)
        ax.set(xticks=np.arange(6) - 0.5, yticks=np.arange(5) - 0.5, xticklabels=[], yticklabels=[])
        ax.tick_params(length=0)
        ax.grid(color="white")
        if over == ways[0]:
            ax.set_title(f"frame {t}")
    line[0].set_ylabel(over)
    line[1].plot(3, 2, "o", color=ORANGE)

# %% [markdown]
# The slide's table (d) has space-time in front, by half a percent and more. And it costs little more, in this
# layer: most of the work is in the four projections. That changes where there are more positions:
#
# $$ \text{MACs} = \underbrace{4\, C M N}_{\theta,\, \phi,\, g,\, z} + \underbrace{2\, M N K}_{\theta\phi^T,\; w g} $$
#
# with $K$ the positions that each of the $N$ looks at, $N$ itself for space-time.

# %% alt="Work of a block against positions: projections grow in proportion, looking overtakes them and grows as the square"
sides = np.array([7, 14, 28, 56])
positions = 4 * sides**2
whole = np.array([int(nonlocal_attention.nonlocal_macs(512, 256, 4, s, s)) for s in sides])
pooled = np.array([int(nonlocal_attention.nonlocal_macs(512, 256, 4, s, s, subsample=2)) for s in sides])
projections = 4 * 512 * 256 * positions
figure, ax = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
ax.loglog(positions, projections / 1e9, "s-", color="#8C8C8C", label="the four projections")
ax.loglog(positions, (whole - projections) / 1e9, "o-", color=ORANGE, label="looking")
ax.loglog(positions, (pooled - projections) / 1e9, "d--", color=BLUE, label="looking, sub-sampled by 2")
ax.set(
    xlabel="positions N", ylabel="G multiply-accumulates", xticks=positions, xticklabels=[f"{n:,}" for n in positions]
)
ax.minorticks_off()
ax.legend(frameon=False)
for n, all_, fewer in zip(positions, whole, pooled, strict=True):
    print(f"N = {n:6,}: {all_ / 1e9:7.2f} G MACs, sub-sampled {fewer / 1e9:7.2f}")

# %% [markdown]
# ## 7 · Sub-sampling, and the slide's 1.2×
#
# A trick that costs nearly nothing: max-pool **what is looked at**, $\phi$ and $g$, over 2 × 2 places. Each frame stays,
# and each position still gets its answer; there is only a quarter to look at.

# %%
full, fewer = (block(x[..., :4, :], w_g, w_z, w_theta, w_phi, subsample=s) for s in (1, 2))
print("in", x[..., :4, :].shape, "  out", full.shape, "  out, sub-sampled", fewer.shape)

# %% [markdown]
# Now the slide's table (e): ResNet-101 on 32 frames of 224², with five blocks, two in the third stage (28²) and three in
# the fourth (14²). It prints **1.2×** the work of the same network without. Is it?

# %%
plain = paper.of_the_paper("C2D").macs()
five = [(512, 256, 4, 28, 28)] * 2 + [(1024, 512, 4, 14, 14)] * 3
for text, pool in (("all positions are looked at", 1), ("pooled after the projection", 2)):
    macs = sum(int(nonlocal_attention.nonlocal_macs(*sizes, subsample=pool)) for sizes in five)
    print(f"{text:30} {plain / 1e9:.1f} G + {macs / 1e9:5.2f} G   {1 + macs / plain:.2f}×")
early = paper.pooled_first(paper.of_the_paper("NL C2D"), (1, 2, 2)).macs()
print(
    f"{'pooled before the projection':30} {plain / 1e9:.1f} G + {(early - plain) / 1e9:5.2f} G   {early / plain:.2f}×"
)

# %% [markdown]
# Only the last one rounds to the slide's figure. Pool $x$ *first*, and the projections for $\phi$ and $g$ are a quarter
# as well. The paper's text says "adding a max pooling layer after $\phi$ and $g$"; its figure belongs to its code.
# (Is it the same function? No: the largest of projections isn't the projection of the largest.)
#
# ## 8 · Queries, keys, values
#
# A transformer calls the same thing by other names. $\theta$ is the **query** (what I look for), $\phi$ the **key** (what I
# offer), $g$ the **value** (what you get). And it scales the scores:
#
# $$ \operatorname{attention}(q, k, v) = \operatorname{softmax}\Bigl(\frac{q k^T}{\sqrt D}\Bigr)\, v $$

# %%
q, k, v = rng.normal(size=(3, 1, 6, 4))
as_attention = nonlocal_attention.attention(q, k, v)
as_nonlocal = nonlocal_attention.nonlocal_mean(q / np.sqrt(4), k, v)
print(f"attention and the embedded Gaussian differ by {np.abs(as_attention - as_nonlocal).max():.0e}")

# %% [markdown]
# Why $\sqrt D$? Take vectors of $D$ random numbers. Their products grow like $\sqrt D$, and a softmax of large numbers
# has eyes for one key only; the others get no weight, and no gradient.

# %%
for D in (4, 64, 1024):
    q_, k_ = rng.normal(size=(1, 200, D)), rng.normal(size=(1, 100, D))
    top = [nonlocal_attention.pairwise_weights(s * q_, k_).max(axis=2).mean() for s in (1, D**-0.5)]
    print(f"D = {D:4}: spread of the scores {(q_ @ k_.transpose(0, 2, 1)).std():5.1f}, "
          f"largest of 100 weights {top[0]:.2f}, scaled {top[1]:.2f}")  # fmt: skip

# %% [markdown]
# The non-local paper has no scale; PySlowFast's code of its block has one. Do as was done when your weights were trained.
#
# And **several heads**: cut $q$, $k$ and $v$ in $h$ parts along the features, let each part look for itself, put the
# answers side by side, and mix them with $W_{out}$. One head may look for color and another for shape. With a single head,
# it is our block without its "$x_i +$":

# %%
w_qkv = rng.normal(size=(3 * C, C)) / np.sqrt(C)
w_out = rng.normal(size=(C, C)) / np.sqrt(C)
tokens = x.reshape(1, C, -1).swapaxes(1, 2)  # (N, L, C)
w_q, w_k, w_v = np.split(w_qkv, 3)
heads = nonlocal_attention.multi_head_attention(tokens, w_qkv, w_out)
inside = block(x, w_v, w_out, w_q / np.sqrt(C), w_k) - x
print(f"one head and the block differ by {np.abs(heads.swapaxes(1, 2).reshape(x.shape) - inside).max():.0e}")
two = nonlocal_attention.multi_head_attention(tokens, w_qkv, w_out, heads=2)
print(f"two heads and one differ by {np.abs(two - heads).max():.1f}, with the same {w_qkv.size + w_out.size} weights")

# %% [markdown]
# ## 9 · Find the slide's mistake
#
# The Chinese slides show the paper's figure of the block, in which three arrows leave $x$: to $\theta$, $\phi$ and $g$.
# Below it stands: *from left to right these are K, Q and V, only in 3D*. The softmax is taken over each row of
# $\theta\phi^T$. What is wrong? And would you notice?

# %%
theta, phi = q, k
paper_says = nonlocal_attention.nonlocal_mean(theta, phi, v)
slide_says = nonlocal_attention.nonlocal_mean(phi, theta, v)  # queries = φ, keys = θ
print(f"the answers differ by {np.abs(paper_says - slide_says).max():.2f}")
pooled = k[:, ::2]  # only half of it is looked at
print("asked by θ:", nonlocal_attention.pairwise_weights(theta, pooled).shape[1], "answers for 6 positions")
print("asked by φ:", nonlocal_attention.pairwise_weights(pooled, theta).shape[1], "answers for 6 positions")

# %% [markdown]
# From left to right they are **Q, K, V**: $\theta$ asks, because the rows of $\theta\phi^T$ belong to $\theta$, and it is
# over each row that the weights sum to 1. Train from scratch with the names exchanged, and nobody will ever know: the
# two matrices learn each other's part. Load trained weights, and the answers are others. And with sub-sampling it can't
# even be built: $\phi$ is pooled, so that there would be fewer answers than positions.
#
# ## 10 · A number for every pair
#
# All looking at all means a table of $N \times N$ weights. For one clip, in one layer, one head:

# %%
print("   T ×  H ×  W        N       float32       float64")
for sizes in ((4, 14, 14), (4, 28, 28), (8, 28, 28), (8, 56, 56), (16, 56, 56)):
    n = int(np.prod(sizes))
    print("{:4} × {:2} × {:2} {:8,}".format(*sizes, n), *(f"{n * n * size / 1e6:10,.1f} MB" for size in (4, 8)))

# %% [markdown]
# Twice the side, four times the positions, sixteen times the memory. Ask for the last row, and vidlearn doesn't even
# begin: it says so at once, where plain NumPy would try, and take the machine down with it.

# %%
many = rng.normal(size=(1, 16 * 56 * 56, 8))
try:
    nonlocal_attention.attention(many, many, many)
except MemoryError as error:
    print(error)

# %% [markdown]
# ## 11 · Tile by tile
#
# *"Use `online_attention`."* But a softmax needs its whole row, doesn't it? The largest score (or the exponential
# overflows), and the sum. Look closer: what is wanted in the end is a quotient of two sums,
#
# $$ y = \frac{\sum_j e^{e_j - m}\, v_j}{\sum_j e^{e_j - m}}, $$
#
# and sums can be made in parts. Only $m$, the largest score, isn't known in advance. So take the largest *so far*. When
# a later tile brings a larger one, $m'$, all that has been summed is too large by the **same** factor $e^{m' - m}$:
# scale it down, and go on.
#
# $$ c = e^{m - m'}, \qquad \ell' = c\,\ell + \sum_{j \in \text{tile}} e^{e_j - m'}, \qquad
#    a' = c\,a + \sum_{j \in \text{tile}} e^{e_j - m'} v_j $$

# %%
e = np.array([1.0, 0.2, 1.3, 2.4, 0.5, 1.8, 1.2, 2.1, 0.3, 3.6, 0.4, 3.2])
v_ = rng.normal(size=12)
m, total, a = -np.inf, 0.0, 0.0
for start in range(0, 12, 3):
    tile, values = e[start : start + 3], v_[start : start + 3]
    larger = max(m, tile.max())
    c = np.exp(m - larger)
    p = np.exp(tile - larger)
    m, total, a = larger, c * total + p.sum(), c * a + p @ values
    print(f"keys {start:2}–{start + 2:<2}   largest {m:.1f}   what was summed × {c:.3f}   sum {total:.3f}   a {a:+.3f}")
at_once = np.exp(e) @ v_ / np.exp(e).sum()
print(f"a / sum = {a / total:.12f}\nat once   {at_once:.12f}")

# %% alt="Twelve scores in tiles of three: the largest so far is a staircase; at each step the old sum shrinks"
plots.online_softmax(e, tile=3)

# %% [markdown]
# Above, the scores and the largest so far. Below, what each tile leaves in the sum: grey is what was there, scaled
# down, blue is what the tile adds. Where the staircase is flat, nothing is scaled.
#
# It is no approximation, the answers agree to the last digits, whatever the tile:

# %%
q, k, v = rng.normal(size=(3, 1, 500, 16))
for tile in (1, 7, 128, 1000):
    apart = np.abs(
        nonlocal_attention.online_attention(q, k, v, tile=tile) - nonlocal_attention.attention(q, k, v)
    ).max()
    print(f"tiles of {tile:4}: differ by {apart:.0e}")

# %% [markdown]
# **Break something, 3.** Forget to scale down: one of the two, or both. And **4**: leave out the largest score, as
# many first tries do.

# %%
row, tiles = e[None], (slice(0, 6), slice(6, 12))


def careless(keep_total, keep_a):
    """Two tiles; the factor is left out where it is told to be."""
    (m1, m2), (first, second) = (e[t].max() for t in tiles), tiles
    c = np.exp(m1 - max(m1, m2))
    p, r = np.exp(e[first] - m1), np.exp(e[second] - max(m1, m2))
    return ((1 if keep_a else c) * p @ v_[first] + r @ v_[second]) / ((1 if keep_total else c) * p.sum() + r.sum())


for text, broken in (("right", (False, False)), ("sum not scaled", (True, False)), ("values not scaled", (False, True)),
                     ("neither", (True, True))):  # fmt: skip
    print(f"{text:18} {careless(*broken):+.4f}")
with np.errstate(all="ignore"):
    high = e + 1000
    print("no largest score: ", np.exp(high) @ v_ / np.exp(high).sum())

# %% [markdown]
# *Neither* is the sly one: each tile is right in itself, and the answer is a plausible mean, with wrong weights.
#
# What is held at once? Measured, in single precision, with 16 features:

# %% alt="Memory against positions: all weights grow as the square of N, to the line of refusal; tiles as N"


def held(form, n):
    """Return the bytes that a form holds at most, its inputs not counted."""
    given = rng.standard_normal((3, 1, n, 16), np.float32)
    tracemalloc.start()
    form(*given)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


sizes = (196, 392, 784, 1568, 3136)
forms = {"all weights": nonlocal_attention.attention, "tile by tile": nonlocal_attention.online_attention}
measured = {name: {n: held(form, n) for n in sizes} for name, form in forms.items()}
refused_from = round((MOST_BYTES / 4) ** 0.5)
ax = plots.memory(measured, refused_from=refused_from)
print(f"four bytes for each of {refused_from:,}² weights are {MOST_BYTES / 2**30:.0f} GiB: refused from there")
for n in sizes:
    print(f"N = {n:5,}:", *(f"{name} {bytes_[n] / 1e6:7.2f} MB  " for name, bytes_ in measured.items()))

# %% [markdown]
# The whole form holds three such tables while it works: scores, exponentials, quotients. Tile by tile, twice the
# positions take twice the memory.
#
# And the clip that was refused? Sixteen of its positions, each of which looks at all 50,176, tile by tile:

# %%
some = nonlocal_attention.online_attention(many[:, :16], many, many)
print("keys:", f"{many.shape[1]:,}", "  answers:", some.shape)
print(
    f"they differ from attention's by {np.abs(some - nonlocal_attention.attention(many[:, :16], many, many)).max():.0e}"
)

# %% [markdown]
# Nothing is saved in *work*: all pairs are still computed. But on a GPU, where the way to memory is the bottleneck, it is
# also faster: the tiles stay in the small, quick memory next to the cores. That is **FlashAttention**, and vidlearn's
# own CUDA kernel does the same.
#
# ## What to take with you
#
# - A convolution weighs by where, attention by what. One layer joins all places and moments; their order is lost on it.
# - Softmax over what is looked at; division by $N$ for the others. Test it with ones, and with a clip shown twice.
# - The block adds to its input, and starts as the identity: it can be put into what works already.
# - Non-local block and self-attention are one operation, with other names and a scale.
# - $N^2$ is the price: pool what is looked at, look within space or time only, or never hold all the weights at once.
# - A figure may belong to the code and not to the text: 1.32 and 1.23 are both "sub-sampled".
#
# Now write four of these yourself: [exercise 06](../exercises/06_nonlocal_attention.ipynb). Next:
# [two speeds](07_slowfast.ipynb).
