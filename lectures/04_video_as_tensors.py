# %% [markdown]
# # 04 · Video as tensors: fusion and receptive fields
#
# A network for images looks at one picture. A video has many. When should a network look at time: at the end, at the
# start, or a little in every layer?
#
# | slide of CS231n, lecture 10 | section here | code |
# | --- | --- | --- |
# | Today: Video = 2D + Time | [1](#1-a-clip-is-a-tensor) | `video.read`, `video.scrubber` |
# | Problem: Videos are big! | [2](#2-videos-are-big) | `slides` |
# | Training on Clips | [3](#3-train-on-clips-average-over-clips) | `fusion.single_frame` |
# | Single-Frame CNN; Late Fusion | [4](#4-time-at-the-end) | `fusion.late_fusion_fc`, `fusion.late_fusion_pool` |
# | Early Fusion | [5](#5-time-at-the-start) | `fusion.early_fusion` |
# | 3D CNN; 3D Convolution | [6](#6-time-a-little-in-every-layer) | `fusion.slow_fusion`, `fusion.temporal_extent` |
# | Early Fusion vs Late Fusion vs 3D CNN | [7](#7-three-networks-row-for-row) | `nets`, `fusion.receptive_field` |
# | (not in the deck) what one answer has seen | [8](#8-measured-not-believed) | `layers.conv3d_backward` |
# | 2D Conv (Early Fusion) vs 3D Conv (3D CNN) | [9](#9-the-same-motion-a-moment-later) | `fusion`, `layers.conv3d` |
# | First-layer filters: visualize as video clips! | [10](#10-filters-are-clips) | `layers.conv3d` |
# | Sports-1M; Karpathy et al. | [11](#11-fovea-and-context) | `fusion.fovea_context` |
#
# Every number and every picture on this page is computed by the cell above it.

# %%
import matplotlib.pyplot as plt
import numpy as np

import vidlearn as vl
from vidlearn import nets, slides, video
from vidlearn.flow import plots

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#8C8C8C"
rng = np.random.default_rng(0)

# %% [markdown]
# ## 1 · A clip is a tensor
#
# A grey picture is a table of numbers, a color picture has three of them, and a video is a row of pictures: four axes.
# Files and cameras give `(T, H, W, 3)`: time, rows, columns, color. Networks want the color, the *channels*, in
# front, `(C, T, H, W)`; and as they work on several clips at once, there is a fifth axis: `(N, C, T, H, W)`.

# %%
film = video.read(video.clip_path())
x = np.moveaxis(film, -1, 0)[None] / 255
print("as read:      ", film.shape, film.dtype)
print("for a network:", x.shape, x.dtype)

# %% [markdown]
# So a video can be cut along any axis. Cut at one $t$, it is a frame. Cut at one *row* $y$, it is a picture too, of
# width $W$ and height $T$: each line of it is the same line of the scene, a moment later. What stands still makes
# upright stripes; what moves makes slanted ones, and the slant is the speed. (In this film the camera moves.)

# %% alt="Left a frame of the city film with one line marked; right the same line at all times: streaks of what moves"
row = 150
figure, axes = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
axes[0].imshow(film[0])
axes[0].axhline(row, color=ORANGE, linewidth=1.5)
axes[0].set(title="cut at t = 0", xlabel="x (px)", ylabel="y (px)")
axes[1].imshow(film[:, row], aspect="auto", interpolation="nearest")
axes[1].set(title=f"cut at y = {row}", xlabel="x (px)", ylabel="t (frames)")

# %% [markdown]
# ## 2 · Videos are big
#
# Three bytes a pixel, thirty frames a second. How much is a minute?

# %%
for name, width, height in (("SD", 640, 480), ("HD", 1920, 1080)):
    minute = 3 * width * height * 30 * 60
    print(f"{name}, a minute: {minute:>14,} bytes = {minute / 1e9:5.2f} GB = {minute / 2**30:5.2f} GiB")
short = video.read(video.clip_path(), stop=32, step=2)[:, 34:146, 104:216]  # every second frame, a square of it
print(f"a clip of {short.shape}: {short.nbytes:,} bytes = {short.nbytes / 2**10:.0f} KiB")
print(f"{len(short)} frames at 5 frames a second: {len(short) / 5} s")

# %% [markdown]
# The slide says *~1.5 GB*, *~10 GB* and *588 KB*. Which of the columns did it use? (Its K and G are powers of 1024, as
# memory is counted; disks are sold, and networks rated, by powers of 1000.)
#
# The raw video does not fit; and for a network it is far worse, for training has to keep what every layer answered.
# The solution is to look at less: **short clips, few frames a second, few pixels**.

# %%
first = nets.c3d().rows()[0]
video_bytes, answer_bytes = short.nbytes, 4 * int(np.prod(first.shape))
print(f"the clip {video_bytes / 2**20:.2f} MiB; the answer of C3D's first layer {answer_bytes / 2**20:.0f} MiB")

# %% [markdown]
# ## 3 · Train on clips, average over clips
#
# *In training*, cut a few frames out of the long video at random, and give the clip the video's label. *In the test*,
# cut several clips, evenly, classify each one, and average the probabilities.

# %% alt="A timeline: in training three clips lie at random, in the test five lie evenly over the video"
frames, clip_length = 48, 8
starts = {
    "training": rng.integers(0, frames - clip_length, 3),
    "test": np.linspace(0, frames - clip_length, 5).round().astype(int),
}
figure, ax = plt.subplots(figsize=(8, 1.9), layout="constrained")
for y, (places, color) in enumerate(zip(starts.values(), (ORANGE, BLUE), strict=True)):
    ax.broken_barh([(0, frames)], (y - 0.32, 0.64), color="0.92")
    ax.broken_barh([(start, clip_length) for start in places], (y - 0.32, 0.64), color=color, alpha=0.75, ec="white")
ax.set(yticks=[0, 1], yticklabels=list(starts), xlabel="frame of the video", xlim=(0, frames), ylim=(1.5, -0.5))

# %% [markdown]
# Why average? A clip may show the wrong moment. Suppose a classifier's scores are right on average, but each clip adds
# chance of its own (what follows is made up, to show the effect):

# %% alt="The share of right answers grows with the number of clips whose probabilities are averaged"
videos, clips, classes = 2000, 16, 10
labels = rng.integers(classes, size=videos)
scores = np.eye(classes)[labels][:, None] + rng.normal(size=(videos, clips, classes))
counts = [1, 2, 4, 8, 16]
right = [float(np.mean(vl.fusion.single_frame(scores[:, :n]).argmax(axis=1) == labels)) for n in counts]
figure, ax = plt.subplots(figsize=(5.6, 3.2), layout="constrained")
ax.plot(counts, right, "o-", color=BLUE)
ax.set(xscale="log", xticks=counts, xticklabels=counts, ylim=(0, 1.02), xlabel="clips averaged", ylabel="share right")
ax.minorticks_off()
print("  ".join(f"{n} clips: {share:.1%}" for n, share in zip(counts, right, strict=True)))

# %% [markdown]
# ## 4 · Time at the end
#
# **Single frame.** Forget that it is a video. Run a network for images on every frame and average the probabilities;
# that is what `single_frame` just did. For recognizing sports this is hard to beat: a pool gives swimming away.
# *Always try this first.*
#
# **Late fusion.** Run the same network for images on every frame, but stop before the classifier: there are features
# $f$ of shape $T \times D \times H' \times W'$. *With a fully connected layer*, string all of them into one vector,
# and let every one have a weight. *With pooling*, average over time and space first, and classify the $D$ numbers left:
#
# $$ y_{\text{fc}} = W \,\operatorname{vec}(f) + b \qquad\qquad
#    y_{\text{pool}} = W \operatorname{mean}_{t, h, w}(f) + b $$
#
# What does that cost, and what does it lose? Let us make a clip of something that happens: a spot flies to the right,
# from the fourth frame to the eighth.

# %% alt="Twelve frames: empty ones, five in which a bright spot moves to the right, empty ones again"
T, SIZE = 12, 14


def flight(start, direction=1, length=5):
    """A clip (1, 1, T, SIZE, SIZE): a spot flies for `length` frames, 2 px a frame, from frame `start` on."""
    clip = np.zeros((1, 1, T, SIZE, SIZE))
    for k in range(length):
        step = k if direction > 0 else length - 1 - k
        clip[0, 0, start + k, 6:8, 2 + 2 * step : 4 + 2 * step] = 1
    return clip


seen = flight(3)
figure, axes = plt.subplots(1, T, figsize=(11, 1.3), layout="constrained")
for t, ax in enumerate(axes):
    ax.imshow(seen[0, 0, t], cmap="gray", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[], title=f"t = {t}")

# %%
D, K = 6, 3  # features and classes
w_frame = rng.normal(size=(D, 1, 1, 3, 3))  # one network for images, the same for every frame


def features(clip):
    """Features (N, T, D, H', W') of every frame: convolution, ReLU, pooling, as short as a network can be."""
    answer = vl.layers.relu(vl.layers.conv3d(clip, w_frame, padding=(0, 1, 1)))
    return np.moveaxis(vl.layers.max_pool3d(answer, (1, 2, 2)), 2, 1)


f = features(seen)
w_pool = rng.normal(size=(K, D))
w_fc = rng.normal(size=(K, f[0].size))
print("features", f.shape)
print(f"weights: {w_pool.size} with pooling, {w_fc.size:,} with a fully connected layer")

# %% [markdown]
# **Break something**: play the clip backwards. Now the spot flies to the left. Who notices?


# %%
def per_frame(clip):
    """Probabilities of every frame by itself, averaged."""
    return vl.fusion.single_frame(features(clip).mean(axis=(3, 4)) @ w_pool.T)


late = {
    "single frame": per_frame,
    "late, pooling": lambda clip: vl.fusion.late_fusion_pool(features(clip), w_pool),
    "late, fc": lambda clip: vl.fusion.late_fusion_fc(features(clip), w_fc),
}
for name, ask in late.items():
    print(f"{name:14} forwards {ask(seen)[0].round(4)}   backwards {ask(seen[:, :, ::-1])[0].round(4)}")

# %% [markdown]
# An average does not know an order: with pooling, *standing up* and *sitting down* are one class. The fully connected
# layer does know; but it has weights for each frame, and what it compares are features of whole frames, long after
# the pixels that moved have been pooled away. Motion is easiest to see in the pixels. So:
#
# ## 5 · Time at the start
#
# **Early fusion.** Lay the channels of all frames side by side, $3T$ of them, and let the very first convolution see
# all at once:
#
# $$ y[o, r, q] = b[o] + \sum_{c, t, i, j} W[o, c, t, i, j]\; x[c, t, r + i, q + j] $$
#
# It slides over $x$ and $y$. There is nothing left to slide over in time: after this one layer, time is gone, and a
# network for images does the rest.

# %%
w_early = rng.normal(size=(D, 1, T, 3, 3))
y = vl.fusion.early_fusion(seen, w_early)
merged = seen.reshape(1, 1 * T, SIZE, SIZE)
print("clip", seen.shape, "→ answer", y.shape)
same = vl.layers.conv2d(merged, w_early.reshape(D, 1 * T, 3, 3), padding=1)
print("it is a 2D convolution of C·T channels:", np.allclose(y, same))
same = vl.layers.conv3d(seen, w_early, padding=(0, 1, 1))[:, :, 0]
print("or a 3D one whose kernel is as long as the clip:", np.allclose(y, same))

# %% [markdown]
# ## 6 · Time, a little in every layer
#
# **3D CNN, or slow fusion.** Space is not merged at once: each layer merges three pixels by three, and pools. Treat
# time in the same way. The kernel has an extent $K_t$ in time that is *shorter than the clip*, and slides over $x$,
# $y$ and $t$:
#
# $$ y[o, t, r, q] = b[o] + \sum_{c, m, i, j} W[o, c, m, i, j]\; x[c, t + m, r + i, q + j] $$
#
# The answer has a time again, a shorter one: $\lfloor (T - K_t)/s \rfloor + 1$ moments. The network of Karpathy et al.
# takes ten frames:

# %%
moments = 10
for kernel, stride in ((4, 2), (2, 2), (2, 2)):
    after = int(vl.fusion.temporal_extent(moments, kernel, stride))
    print(f"{moments:2} frames, windows of {kernel} every {stride} → {after}")
    moments = after
w_slow = rng.normal(size=(D, 1, 3, 3, 3))
print("clip", seen.shape, "→ answer", vl.fusion.slow_fusion(seen, w_slow).shape)

# %% [markdown]
# ## 7 · Three networks, row for row
#
# The deck lays three small networks side by side, on clips of 20 frames of 64×64. In vidlearn they are data, and the
# slide's table can be read off them. *Receptive field* is what one position of the layer has seen of the clip, in
# frames × pixels × pixels. **Before you look**: which column of the three will differ, and where?

# %%
three = {"Late": nets.late_fusion(), "Early": nets.early_fusion(), "3D CNN": nets.slow_fusion()}
for name, net in three.items():
    print(f"{name:7} {'×'.join(map(str, net.input)):>12}")
    for row in net.rows():
        shape, field = ("×".join(map(str, v)) for v in (row.shape, row.clipped))
        print(f"  {row.path:6} {shape:>14}   sees {field:9} {row.parameters:6,} weights {row.macs / 1e6:6.2f} M MACs")
    print(f"  in all {'':30} {net.parameters():6,} weights {net.macs() / 1e6:6.2f} M MACs")

# %% [markdown]
# All three build up slowly in space: 3, 6, 14 pixels, then everything. In time,
#
# - late fusion sees one frame, until the end, when it sees all at once;
# - early fusion sees all at once, from the start;
# - the 3D CNN builds up slowly in time as well: 3, 6, 14 frames. That is why it is called *slow fusion*.
#
# And look at the price. Early fusion has its weights in the first layer, which has a kernel for all the frames; the 3D
# CNN does three times the work of late fusion there, for its kernels are three frames long and go to every frame.
#
# Here are the three as one picture:

# %% alt="Frames seen after each layer: late fusion 1, 1, 1, 20; early fusion 20 throughout; 3D CNN 3, 6, 14, 20"
figure, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
for (name, net), color, marker in zip(three.items(), plots.PALETTE, "os^", strict=False):
    layers_ = [row for row in net.rows() if row.path != "merge"]
    ax.plot([row.path for row in layers_], [row.clipped[0] for row in layers_], marker + "-", color=color, label=name)
ax.set(ylabel="frames seen", title="where time is merged", yticks=range(0, 21, 5))
ax.legend()

# %% [markdown]
# **The formula.** Let $r$ be the receptive field along one axis, and $j$ the *jump*: how far apart two neighboring
# positions lie in the input. A window of $k$ positions reaches from its first to its last, $k - 1$ jumps further; and
# a stride spreads the positions:
#
# $$ r \leftarrow r + (k - 1)\, j, \qquad j \leftarrow s\, j, \qquad \text{starting from } r = j = 1 $$

# %%
print("3, 4/4, 3:     ", vl.fusion.receptive_field(np.array([3, 4, 3]), np.array([1, 4, 1])))
print("…, average 16: ", vl.fusion.receptive_field(np.array([3, 4, 3, 16]), np.array([1, 4, 1, 16])))
print("the slide's rows", [row.field for row in three["3D CNN"].rows()])

# %% [markdown]
# The last row says 74 pixels; the clip has 64. The formula does not know where the input ends: the rest of the window
# is padding. The deck prints what is left of it, 20×64×64.
#
# **Break something**: what happens to the field if the jump is multiplied *before* the window is added?
#
# ## 8 · Measured, not believed
#
# A formula can be wrong, and so can the code that follows it. The receptive field can be *measured*: ask which voxels
# (pixels of a clip) change one value of the answer. Backpropagation says so for all at once: set the gradient at one
# position of the answer to 1 and go back through the layers. What gets a gradient has been seen.


# %%
CLIP = (20, 64, 64)
STACKS = {  # of each network: extent in time, and zeros before and after, of conv1 and conv2; extent in time of pool1
    "late": ((1, 0), 1, (1, 0)),
    "early": ((20, 0), 1, (1, 0)),
    "3D CNN": ((3, 1), 4, (3, 1)),
}


def reach(name, *position):
    """The gradient (T, H, W) of one answer of conv2 by the voxels, with all weights equal."""
    (k1, p1), k, (k2, p2) = STACKS[name]
    x = np.zeros((1, 1, *CLIP))
    w1, w2 = (np.ones((1, 1, n, 3, 3)) / (9 * n) for n in (k1, k2))
    merged = vl.layers.conv3d(x, w1, padding=(p1, 1, 1))
    pooled = vl.layers.avg_pool3d(merged, (k, 4, 4))
    dy = np.zeros(pooled.shape)
    dy[(0, 0, *position)] = 1  # now back, from the answer to the clip
    dy, _, _ = vl.layers.conv3d_backward(dy, pooled, w2, padding=(p2, 1, 1))
    dy = vl.layers.avg_pool3d_backward(dy, merged, (k, 4, 4))
    dx, _, _ = vl.layers.conv3d_backward(dy, x, w1, padding=(p1, 1, 1))
    return dx[0, 0]


def extent(dx):
    """How many frames, rows and columns have a gradient."""
    return "×".join(str(len(np.unique(axis))) for axis in np.nonzero(dx))


reaches = {"late": reach("late", 10, 8, 8), "early": reach("early", 0, 8, 8), "3D CNN": reach("3D CNN", 2, 8, 8)}
for name, dx in reaches.items():
    print(f"{name:6} in the middle: {extent(dx):8} in a corner: {extent(reach(name, 0, 0, 0))}")

# %% [markdown]
# The formula is right in the middle, and only there: at the border a part of the window lies outside. And within the
# field not all voxels count alike; the middle reaches the answer along many ways, the rim along few. Drag the
# slider: the lighter, the more it counts.

# %%
clip = film[:20, 26:154, 96:224].reshape(20, 64, 2, 64, 2, 3).mean(axis=(2, 4)) / 255


def lit(t):
    """Frame t three times: dark, but for what one answer of each network sees."""
    panels = []
    for dx in reaches.values():
        light = 0.3 + 0.7 * np.sqrt(dx[t] / dx.max())[..., None]
        panels.append(np.kron(clip[t] * light, np.ones((4, 4, 1))))
        panels.append(np.ones((256, 8, 3)))
    return np.hstack(panels[:-1])


video.scrubber(
    [lit(t) for t in range(20)],
    alt="What one answer of late fusion, early fusion and the 3D CNN sees of the clip: one frame, all, fourteen",
    labels=[f"t = {t}" for t in range(20)],
    fps=5,
)

# %% [markdown]
# The same without a slider:

# %% alt="For five frames: late fusion sees one patch at one time, early fusion at all times, the 3D CNN around a time"
times = (0, 4, 10, 14, 19)
figure, axes = plt.subplots(3, len(times), figsize=(8.4, 5.4), layout="constrained")
for line, (name, dx) in zip(axes, reaches.items(), strict=True):
    for ax, t in zip(line, times, strict=True):
        ax.imshow(clip[t] * (0.3 + 0.7 * np.sqrt(dx[t] / dx.max())[..., None]))
        ax.set(xticks=[], yticks=[], title=f"t = {t}" if dx is reaches["late"] else "")
    line[0].set_ylabel(name)

# %% [markdown]
# ## 9 · The same motion, a moment later
#
# Early fusion and a 3D convolution both have kernels with an extent in time. *What is the difference?*
#
# Build a detector by hand, for the spot that flies to the right: three frames, bright where the spot should be in each.
# Early fusion needs a kernel as long as the clip; give it the same detector, on frames 4 to 6, and zeros elsewhere.
# Then let the spot start earlier or later, and ask each for the largest answer anywhere.

# %% alt="However late the spot starts, the 3D kernel answers 1; the early fusion kernel does so at one start only"
detector = np.zeros((1, 1, 3, 3, 7))
for k in range(3):
    detector[0, 0, k, :2, 2 * k : 2 * k + 2] = 1 / 12
long_detector = np.zeros((1, 1, T, 3, 7))
long_detector[:, :, 4:7] = detector
begins = range(T - 2)
answers = {
    "3D convolution": [vl.fusion.slow_fusion(flight(s, length=3), detector).max() for s in begins],
    "early fusion": [vl.fusion.early_fusion(flight(s, length=3), long_detector).max() for s in begins],
    "3D, spot flies to the left": [vl.fusion.slow_fusion(flight(s, -1, 3), detector).max() for s in begins],
}
figure, ax = plt.subplots(figsize=(6.8, 3.4), layout="constrained")
for (name, values), color, marker in zip(answers.items(), (BLUE, ORANGE, GREY), "os^", strict=True):
    ax.plot(begins, values, marker + "-", color=color, label=name)
ax.set(xlabel="frame at which the spot starts", ylabel="largest answer", ylim=(0, 1.1), xticks=begins)
ax.legend()

# %% [markdown]
# The 3D kernel slides over time, so it finds the motion *whenever* it happens. (Flown to the left, only one frame of
# three fits.) The early fusion kernel waits at one moment; a frame too early or too late, and a frame less fits.
# To catch the motion at every start, it must learn the same filter again for each:

# %%
early_size = len(begins) * long_detector.size
print(f"3D convolution: {detector.size} weights, one filter; early fusion: {early_size:,}, {len(begins)} filters")
late_start, start = (vl.fusion.slow_fusion(flight(s), detector) for s in (4, 3))
print("the clip one frame later, the answer one later: ", np.allclose(late_start[:, :, 1:], start[:, :, :-1]))

# %% [markdown]
# Five ways to look at time, two questions. Who notices that the clip runs backwards? Who gives the same answer when it
# all happens two frames later? (Weights are random; the answers don't depend on them.)


# %%
def head(answer):
    """ReLU, average over all positions, linear layer."""
    return vl.layers.global_avg_pool(vl.layers.relu(answer)) @ w_pool.T


ways = {
    **late,
    "early": lambda clip: head(vl.fusion.early_fusion(clip, w_early)),
    "3D CNN (slow)": lambda clip: head(vl.fusion.slow_fusion(clip, w_slow)),
}
print(f"{'':14} notices the order   same answer two frames later")
for name, ask in ways.items():
    order = not np.allclose(ask(seen), ask(seen[:, :, ::-1]))
    later = np.allclose(ask(seen), ask(flight(5)))
    print(f"{name:14} {'yes' if order else 'no':19} {'yes' if later else 'no'}")

# %% [markdown]
# Only the last one says yes twice.
#
# ## 10 · Filters are clips
#
# A filter of an image network can be looked at as a small picture. A filter of a 3D network has a time, so it can be
# looked at as a small *film*; the deck shows those of Karpathy's first layer, 3 (colors) × 4 (frames) × 5 × 5.
#
# There is no trained network on this page. But ask what a first layer has to tell apart: cut many little clips of that
# size out of the film, and find the patterns in which they differ most (their principal components). Of the first 12
# patterns, here are the four that matter most and, right of them, the four that change most in time. What is it that
# changes? Edges that *move*, and edges that come and go. Trained filters show patterns of these kinds.

# %% alt="Eight patterns, each as four little frames: left, color and edges that stay; right, ones that move"
size, length, count = 5, 4, 6000
corner = [rng.integers(0, n - s, count) for n, s in zip(film.shape[:3], (length, size, size), strict=True)]
cuts = np.stack([film[t : t + length, y : y + size, x : x + size] for t, y, x in zip(*corner, strict=True)]) / 255
_, patterns = np.linalg.eigh(np.cov(cuts.reshape(count, -1).T))
filters = patterns.T[::-1][:12].reshape(-1, length, size, size, 3)
change = ((filters - filters.mean(axis=1, keepdims=True)) ** 2).sum(axis=(1, 2, 3, 4))  # of a length of 1
chosen = [*range(4), *np.sort(np.argsort(-change[4:])[:4] + 4)]
figure, axes = plt.subplots(length, len(chosen), figsize=(8, 4.2), layout="constrained")
for column, pattern, name in zip(axes.T, filters[chosen], chosen, strict=True):
    column[0].set_title(f"pattern {name + 1}\n{change[name]:.0%} changes", fontsize=8)
    for t, ax in enumerate(column):
        ax.imshow(0.5 + 0.5 * pattern[t] / np.abs(pattern).max())
        ax.set(xticks=[], yticks=[], ylabel=f"t = {t}" if ax in axes[:, 0] else "")

# %% [markdown]
# ## 11 · Fovea and context
#
# Karpathy et al. taught their networks on a million videos of 487 sports. To be fast enough, they looked as an eye
# does: at the center sharply (*fovea*), at the whole coarsely (*context*), with one network each. How much is saved?

# %% alt="A frame, its middle half in full resolution, and the whole of it in half the resolution"
picture = np.moveaxis(film[:1, :, 70:250], -1, 0)[None] / 255
fovea, context = vl.fusion.fovea_context(picture)
figure, axes = plt.subplots(1, 3, figsize=(10, 3.7), layout="constrained")
for ax, part, title in zip(axes, (picture, fovea, context), ("the frame", "fovea", "context"), strict=True):
    ax.imshow(np.moveaxis(part[0, :, 0], 0, -1))
    ax.set_title(f"{title}, {part.shape[3]}×{part.shape[4]}")
share = (fovea.size + context.size) / picture.size
print(f"the two together have {share:.2f} of the frame's pixels, and so of the work of a convolution")

# %% [markdown]
# ## 12 · Find the slide's mistakes
#
# Two, in what you have just seen. *The first* is in the table: the deck gives the answer of GlobalAvgPool as
# 24×1×1×1 for late fusion, 24×1×1 for early fusion, and 24×1×1 for the 3D CNN. *The second* is in the comparison of
# early fusion and 3D convolution: "Weight: $C_{out} \times C_{in} \times 3 \times 3 \times 3$. Slide over x and y."
# Think before you run the cell.

# %%
for result in slides.recompute("CS231n"):
    if result.verdict == "slide is wrong" and "Fusion" in result.slide:
        print(f"{result.item}: slide {result.slide_value}, computed {result.computed}\n    {result.explanation}")

# %% [markdown]
# ## What to take with you
#
# - A video is a tensor with a time axis, and it is large: train on short clips, average over many.
# - A network for images on single frames is a strong start. Averages over time are blind to order.
# - Early fusion sees motion, but at one moment only; a 3D convolution finds it whenever it happens.
# - The receptive field says how much of the input an answer has seen, in space and in time. Count it, or measure it.
#
# Now write four of these yourself: [exercise 04](../exercises/04_video_as_tensors.ipynb). The next lecture asks what a 3D
# kernel costs, and how to get one for less: [05](05_3d_convolution.ipynb).
