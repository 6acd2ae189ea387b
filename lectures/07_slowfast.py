# %% [markdown]
# # 07 · SlowFast: two speeds
#
# A hand is a hand for the whole clip; what it does is over in a moment. Must a network look at *what* is there as often
# as at *how* it moves? And with as many channels?
#
# | slide | section here | code |
# | --- | --- | --- |
# | L9 · Human brain: Separate visual pathways | [1](#1-what-changes-and-what-stays) | `video.read` |
# | L9 · Basic idea: Two pathways; SJTU · SlowFast | [2](#2-two-rates-from-one-clip) | `slowfast.sample_pathways`, `slowfast.clip_span` |
# | (not in the decks) the published code | [3](#3-stride-or-spread) | `slowfast.sample_pathways` |
# | SJTU · SlowFast, figure 1: lateral connections | [4](#4-three-lateral-connections) | `slowfast.lateral_connection` |
# | L9 · Basic idea: Two pathways | [5](#5-a-block-of-two) | `slowfast.fused_block` |
# | L9, zh · Example instantiation of a SlowFast network | [6](#6-the-network-stage-by-stage) | `nets.slowfast_4x16_r50` |
# | L9 · SlowFast ablations: Individual paths | [7](#7-what-each-pathway-costs) | `Net.rows`, `nets.slow_r50`, `nets.fast_r50` |
# | L9 · Making the Fast path thin in channel dimension | [8](#8-how-thin-and-find-the-slides-mistake) | `nets.slowfast` |
# | L9 · Weaken the Fast appearance information | [9](#9-take-something-away) | `slowfast.to_grey`, `slowfast.time_difference`, … |
# | L9 · Pytorch code available | [10](#10-trained-networks) | `Net.to_torch` |
#
# Every number and every picture on this page is computed by the cell above it.

# %%
import matplotlib.pyplot as plt
import numpy as np

import vidlearn as vl
from vidlearn import nets, video

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#8C8C8C"
rng = np.random.default_rng(0)
film = video.read(video.clip_path(), stop=32) / 255  # 32 frames

# %% [markdown]
# ## 1 · What changes, and what stays
#
# Four frames of a film, eight apart, and under each how it differs from the frame that follows it. It is evening in a
# city, and the camera moves a little.

# %% alt="Four frames of the city film that look alike; below them where each differs from the next: edges and windows"
grey = film.mean(axis=-1)
figure, axes = plt.subplots(2, 4, figsize=(11, 3.25), layout="constrained")
for column, t in enumerate(range(0, 32, 8)):
    axes[0, column].imshow(film[t])
    axes[0, column].set_title(f"t = {t}", fontsize=10)
    axes[1, column].imshow(np.abs(grey[t + 1] - grey[t]), cmap="gray", vmax=0.3)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel("frame")
axes[1, 0].set_ylabel("|next − this|")

# %% [markdown]
# *What is there* could be told from any one of the frames: towers, glass, night. Average the colors over a sixteenth of
# the picture, and next to nothing changes from one frame to the next; single pixels do change.

# %%
blocks = film.reshape(32, 4, 45, 4, 80, 3).mean(axis=(2, 4))
print("from one frame to the next, of a range of 1:")
for what, values in (("a pixel", film), ("the mean of a sixteenth", blocks)):
    print(f"    {what:24} changes by {np.abs(np.diff(values, axis=0)).mean():.4f}")

# %% [markdown]
# *What happens* is a matter of single frames. In some windows somebody switches the light. Here are three of them:
# brightness over time, in every frame (line) and in every eighth (dots). The jumps are switches; the gentle slopes are
# the camera's.

# %% alt="The brightness of three windows jumps at frames 9, 18, 21 and 25; every eighth frame alone misses when"
windows = {"a": (16, 231, BLUE), "b": (131, 238, ORANGE), "c": (118, 219, GREY)}
figure, axes = plt.subplots(1, 2, figsize=(11, 3.4), width_ratios=(1, 2), layout="constrained")
axes[0].imshow(film[22, :150, 190:270])
for name, (y, x, color) in windows.items():
    axes[0].plot(x - 190, y, "o", ms=14, mfc="none", mec="white", mew=3)
    axes[0].plot(x - 190, y, "o", ms=14, mfc="none", mec=color, mew=2)
    bright = grey[:, y - 1 : y + 2, x - 2 : x + 3].mean(axis=(1, 2))
    axes[1].plot(bright, color=color, label=f"window {name}")
    axes[1].plot(range(0, 32, 8), bright[::8], "o", color=color)
axes[0].set(xticks=[], yticks=[], title="t = 22")
axes[1].set(xlabel="t (frames)", ylabel="brightness")
axes[1].legend()

# %% [markdown]
# Whoever looks at every eighth frame knows *that* a light was on, not when it came. So: look **seldom and closely** for
# what is there, and **often and fleetingly** for what happens. The retina seems to do so too: most of its cells (P) see
# color and detail and are slow, a fifth or so (M) are fast and see neither. A SlowFast network has two pathways:
#
# - **Slow**: few frames, many channels;
# - **Fast**: $\alpha$ times as many frames, $\beta$ times as many channels ($\beta$ is about 1/8).
#
# ## 2 · Two rates from one clip
#
# The Slow pathway takes $T$ frames, $\tau$ frames of the video apart; $T \times \tau$ is the network's name. The Fast
# one takes $\alpha T$ frames, $\tau/\alpha$ apart. From the first to the last, $n$ frames at an interval $\tau$ span
#
# $$ (n - 1)\,\tau + 1 $$
#
# frames of the video.

# %%
print("T×τ     α    Slow frames   span    Fast frames   span")
for frames, tau, alpha in ((4, 16, 8), (8, 8, 4), (16, 8, 4)):
    slow, fast = vl.slowfast.clip_span(frames, tau), vl.slowfast.clip_span(alpha * frames, tau // alpha)
    print(f"{frames:>2}×{tau:<4} {alpha:>2} {frames:9} every {tau:<2} {int(slow):4} {alpha * frames:9} every {tau // alpha} "
          f"{int(fast):4}")  # fmt: skip

# %% [markdown]
# The code is short: cut one clip for the Fast pathway; the Slow one takes every $\alpha$-th frame of it.

# %%
clip = np.moveaxis(film, -1, 0)[None]  # (N, C, T, H, W)
slow, fast = vl.slowfast.sample_pathways(clip, alpha=8)
print("clip", clip.shape, "  Slow", slow.shape, "  Fast", fast.shape)

# %% [markdown]
# **Break something**: turn the frames *between* two Slow frames around, so that within each eighth of the clip time runs
# backwards. What does each pathway notice?

# %%
order = np.concatenate([[start, *range(start + 7, start, -1)] for start in range(0, 32, 8)])
slow_broken, fast_broken = vl.slowfast.sample_pathways(clip[:, :, order], alpha=8)
print("frames now:", *order[:12], "…")
print(f"largest change that the Slow pathway sees: {np.abs(slow_broken - slow).max():.2f}")
print(f"largest change that the Fast pathway sees: {np.abs(fast_broken - fast).max():.2f}")

# %% [markdown]
# ## 3 · Stride, or spread
#
# The paper says *every $\alpha$-th frame*. The code that its authors published does something else: it spreads the Slow
# frames over the clip, so that the last one is the clip's last frame, and rounds down:
#
# $$ t_i = \left\lfloor \frac{i\,(T_{fast} - 1)}{T_{slow} - 1} \right\rfloor \qquad\text{instead of}\qquad t_i = \alpha i $$
#
# Let each frame hold its own number, and see which are taken. (8×8: 32 frames, $\alpha = 4$.)

# %% alt="32 Fast frames in a row; Slow frames by stride are 4 apart, spread ones drift to the right by up to 3 frames"
numbers = np.arange(32.0).reshape(1, 1, 32, 1, 1)
taken = {how: vl.slowfast.sample_pathways(numbers, 4, how)[0].ravel().astype(int) for how in ("stride", "spread")}
figure, ax = plt.subplots(figsize=(9, 2.1), layout="constrained")
ax.scatter(range(32), [1] * 32, marker="|", color=GREY, s=120)
for y, (how, color) in zip((2, 0), (("stride", BLUE), ("spread", ORANGE)), strict=True):
    print(f"{how}: {taken[how].tolist()}")
    ax.scatter(taken[how], [y] * 8, marker="s", color=color, s=60)
    for t in taken[how]:
        ax.plot([t, t], [1, y], color=color, linewidth=0.8)
        ax.annotate(str(t), (t, y), xytext=(0, 8 if y else -17), textcoords="offset points", ha="center", fontsize=9)
ax.set(yticks=[2, 1, 0], yticklabels=["Slow, stride", "Fast", "Slow, spread"], xticks=[], ylim=(-0.9, 2.9))
ax.spines[:].set_visible(False)
print("apart by:", (taken["spread"] - taken["stride"]).tolist(), "frames")

# %% [markdown]
# Why does it matter? In the next section the Fast features will be brought to the Slow rate by a *stride*, centered on
# frames 0, 4, 8, … With spread frames, the two features that are put side by side belong to different moments, three
# frames apart at the end. A trained network has got used to that. So use the sampling that the weights were trained
# with; vidlearn offers both, by name.
#
# ## 4 · Three lateral connections
#
# After each stage, what the Fast pathway has seen is handed to the Slow one. But there are $\alpha$ times as many frames
# of it. Three ways to fit them together:
#
# - **time to channels**: pack $\alpha$ frames in a row into the channels of one;
# - **time-strided sampling**: take every $\alpha$-th frame, drop the others;
# - **time-strided convolution**: a 5×1×1 kernel that takes steps of $\alpha$ frames, and makes twice as many channels.
#
# Nobody needs to believe a drawing: light one Fast frame at a time, and look which Slow frames feel it.

# %% alt="Which of 32 Fast frames each of 4 Slow frames feels: all eight of its own; one in eight; five around that one"
light = np.eye(32).reshape(32, 1, 32, 1, 1)  # in clip i, frame i is lit
empty = np.zeros((32, 1, 4, 1, 1))
kernel = np.ones((2, 1, 5, 1, 1))
figure, axes = plt.subplots(3, 1, figsize=(9, 4.3), sharex=True, layout="constrained")
for ax, how in zip(axes, ("time-to-channel", "sample", "conv"), strict=True):
    joined = vl.slowfast.lateral_connection(empty, light, alpha=8, how=how, w=kernel if how == "conv" else None)
    felt = np.abs(joined).max(axis=(1, 3, 4)).T  # (Slow frame, Fast frame)
    ax.pcolormesh(felt, cmap="Blues", vmin=0, vmax=1.4, edgecolors="white", linewidth=0.5)
    ax.set(title=f"{how}: one channel in, {joined.shape[1] - 1} out", yticks=np.arange(4) + 0.5, yticklabels=range(4))
    ax.set_ylabel("Slow frame")
    ax.invert_yaxis()
axes[-1].set(xticks=np.arange(0, 32, 4) + 0.5, xticklabels=range(0, 32, 4), xlabel="Fast frame")

# %% [markdown]
# Look at the last one again. Steps of eight, a kernel of five: frames 3, 4 and 5 of every eight are **not seen** by the
# connection itself, nor are the last five. (They are not lost: the Fast pathway's own convolutions have mixed neighbors
# before.) In the 8×8 network the steps are of four, its published weights have kernels of seven, and all get through.
#
# What do the connections cost? With $D$ Fast channels, they hand on $\alpha D$, $D$ or $2D$; only the convolution has
# weights. They are put behind the Slow channels, or, if there happen to be as many, added to them:

# %%
c_slow, c_fast, alpha = 256, 32, 8  # after the first stage, β = 1/8
x_slow, x_fast = rng.normal(size=(1, c_slow, 2, 1, 1)), rng.normal(size=(1, c_fast, 16, 1, 1))
w = rng.normal(size=(2 * c_fast, c_fast, 5, 1, 1))
for how in ("time-to-channel", "sample", "conv"):
    given = {"w": w} if how == "conv" else {}
    joined = vl.slowfast.lateral_connection(x_slow, x_fast, alpha=alpha, how=how, **given)
    weights = w.size if given else 0
    print(f"{how:16} Slow {c_slow} + {joined.shape[1] - c_slow:3} channels   {weights:6,} weights")
added = vl.slowfast.lateral_connection(x_slow, x_fast, alpha=alpha, how="time-to-channel", fuse="add")
print("αβ = 1, so that time-to-channel can also be added:", added.shape[1], "channels")

# %% [markdown]
# ## 5 · A block of two
#
# Now one block of both: connect, then a convolution and a ReLU in each pathway. The connection is one-way:
#
# $$ \text{slow}' = \max\bigl(0,\, W_s * [\text{slow},\, W_l *_\alpha \text{fast}]\bigr) \qquad
#    \text{fast}' = \max(0,\, W_f * \text{fast}) $$

# %%
x_slow, x_fast = rng.normal(size=(1, 8, 4, 6, 6)), rng.normal(size=(1, 2, 16, 6, 6))
w_lateral, w_slow = rng.normal(size=(4, 2, 5, 1, 1)), rng.normal(size=(8, 8 + 4, 1, 3, 3))
w_fast = rng.normal(size=(2, 2, 3, 3, 3))


def block(x_slow, x_fast):
    return vl.slowfast.fused_block(x_slow, x_fast, w_lateral, w_slow, w_fast, alpha=4)


before, dark_slow, dark_fast = block(x_slow, x_fast), block(0 * x_slow, x_fast), block(x_slow, 0 * x_fast)
print("Slow", x_slow.shape, "→", before[0].shape, "   Fast", x_fast.shape, "→", before[1].shape)
print(f"Slow pathway switched off: the Fast one changes by {np.abs(dark_slow[1] - before[1]).max():.2f}")
print(f"Fast pathway switched off: the Slow one changes by {np.abs(dark_fast[0] - before[0]).max():.2f}")

# %% [markdown]
# ## 6 · The network, stage by stage
#
# Both pathways are ResNet-50s. The table of the paper, read off the network: kernels as time × space², channels after
# them, and the sizes $T \times S^2$. A star marks kernels that see time.

# %%
net = nets.slowfast_4x16_r50()
PATHS = {"multipathway_blocks.0": "Slow", "multipathway_blocks.1": "Fast", "multipathway_fusion": "lateral"}


def pathway(row):
    """Slow, Fast, lateral, or head."""
    return next((name for part, name in PATHS.items() if part in row.path), "head")


def stage(row):
    """conv1, res2, …, res5, or head."""
    return ("conv1", "res2", "res3", "res4", "res5", "head", "head")[int(row.path.split(".")[1])]


def size(row):
    return f"{row.shape[1]}×{row.shape[2]}²"


def kernels(rows):
    """The convolutions of the first block, shortcuts left out."""
    text = []
    for row in rows:
        if row.layer.kind == "Conv" and "branch1" not in row.path:
            kt, _, ks = row.layer.kernel
            text.append(f"{kt}×{ks}²{'*' if kt > 1 else ''} {row.shape[0]}")
    return ", ".join(text)


rows = net.rows()
print(f"{'':6} {'Slow':36} {'T×S²':8} {'Fast':34} T×S²")
for name in ("conv1", "res2", "res3", "res4", "res5"):
    cells = []
    for side in ("Slow", "Fast"):
        here = [row for row in rows if stage(row) == name and pathway(row) == side]
        first = [row for row in here if ".res_blocks." not in row.path or ".res_blocks.0." in row.path]
        cells += [kernels(first), size([row for row in here if row.layer.kind in ("Conv", "Pool")][-1])]
    print(f"{name:6} {cells[0]:36} {cells[1]:8} {cells[2]:34} {cells[3]}")

# %% [markdown]
# Read it column by column. *Down the Slow one*, time is seen only in the last two stages: at 16 frames' distance, things
# have moved too far for a kernel to follow before the picture has become small. *Down the Fast one*, time is seen
# everywhere, and there are eight times fewer channels. *Neither* ever has fewer frames than at its start: no stride and
# no pool in time, until the last average.
#
# And what the table does not say: each Slow stage takes more channels than the one before it has made.

# %% alt="Both pathways as boxes, taller for more frames and wider for more channels; arrows up from Fast to Slow"
figure, ax = plt.subplots(figsize=(11, 3.8), layout="constrained")
ax.hlines([0, 1], -0.9, 9, color=GREY, zorder=0)
for x, name in enumerate(("conv1", "res2", "res3", "res4", "res5")):
    for y, side, color in ((1, "Slow", BLUE), (0, "Fast", ORANGE)):
        c, t, *_ = [row for row in rows if (stage(row), pathway(row)) == (name, side)][-1].shape
        width, height = 0.045 * c**0.45, 0.06 * t**0.7
        ax.add_patch(plt.Rectangle((2 * x - width / 2, y - height / 2), width, height, color=color))
        ax.text(2 * x, y - height / 2 - 0.05, f"{t} frames, {c} channels", ha="center", va="top", fontsize=9)
    lateral = [row for row in rows if (stage(row), pathway(row)) == (name, "lateral")]
    if lateral:
        ax.annotate("", (2 * x + 1, 1), (2 * x + 1, 0), arrowprops={"arrowstyle": "->", "color": "black"})
        ax.text(2 * x + 1.05, 0.3, f"+ {lateral[-1].shape[0]}", fontsize=9)
    ax.text(2 * x, 1.3, name, ha="center")
ax.set(xlim=(-1.2, 9.2), ylim=(-0.6, 1.45), yticks=[0, 1], yticklabels=["Fast", "Slow"], xticks=[])
ax.tick_params(length=0)
ax.spines[:].set_visible(False)

# %% [markdown]
# ## 7 · What each pathway costs
#
# Eight times the frames at an eighth of the channels: is the Fast pathway not as dear as the Slow one? A convolution
# takes $C_{in} \cdot C_{out}$ multiply-accumulates for each position and tap. So count: $\alpha$ times the positions,
# and $\beta^2$ times the work for each.

# %% alt="Work and weights of each stage, stacked by pathway: the Slow pathway is the bulk, Fast is thin but for conv1"
sides = ("Slow", "Fast", "lateral", "head")
stages = ("conv1", "res2", "res3", "res4", "res5", "head")


def share(network, what):
    """Work or weights by pathway and stage."""
    found = {side: dict.fromkeys(stages, 0) for side in sides}
    for row in network.rows():
        found[pathway(row)][stage(row)] += getattr(row, what)
    return found


figure, axes = plt.subplots(1, 2, figsize=(11, 3.4), layout="constrained")
for ax, what, unit, scale in (
    (axes[0], "macs", "G multiply-accumulates", 1e9),
    (axes[1], "parameters", "M weights", 1e6),
):
    found = share(net, what)
    whole = sum(sum(values.values()) for values in found.values())
    bottom = np.zeros(len(stages))
    for side, color in zip(sides, (BLUE, ORANGE, "#009E73", GREY), strict=True):
        values = np.array([found[side][name] for name in stages]) / scale
        ax.bar(stages, values, bottom=bottom, color=color, label=side)
        bottom += values
        print(f"{side:8} {values.sum():7.3f} {unit:23} {values.sum() * scale / whole:6.1%}")
    ax.set(ylabel=unit, ylim=(0, 1.06 * bottom.max()))
axes[0].legend()

# %% [markdown]
# About a fifth of the work, and hardly any weights. $\alpha\beta^2$ would be less, an eighth; but the Fast pathway sees
# time in every stage, and in its first convolution $\beta$ counts only once: there are three colors in, thin or not.
# That one layer takes:

# %%
first = next(row for row in rows if row.path == "blocks.0.multipathway_blocks.1.conv")
print(f"the Fast conv1: {first.macs / sum(share(net, 'macs')['Fast'].values()):.0%} of the Fast pathway's work")
for name, network in (("Slow-only", nets.slow_r50(frames=4)), ("Fast-only", nets.fast_r50()), ("SlowFast", net)):
    print(f"{name:10} {network.macs() / 1e9:6.2f} G MACs   {network.parameters() / 1e6:6.2f} M weights")

# %% [markdown]
# SlowFast takes more than the two together: the laterals, and the channels that they add to the Slow pathway, are to be
# paid as well. The slide has 20.9 for Slow-only and 27.6 for SlowFast, but **4.9** for Fast-only. Where can that come
# from? Older ResNets halve the picture in the *first* convolution of a block, newer ones, and all of the above, in the
# second. If the first one did it, it would have a quarter of the positions:

# %%
early = [row for row in nets.fast_r50().rows() if row.path.endswith(".0.branch2.conv_a") and row.path[7] in "234"]
print(f"Fast-only, stride first: {(nets.fast_r50().macs() - 0.75 * sum(row.macs for row in early)) / 1e9:.2f} G MACs")

# %% [markdown]
# ## 8 · How thin, and find the slide's mistake
#
# How small can $\beta$ be? The slide lists what was tried, with GFLOPs (again multiply-accumulates). Recompute its column
# before you read on. Two kinds of trouble are in it.

# %%
PRINTED = {"1/4": 41.7, "1/6": 32.0, "1/8": 27.6, "1/12": 25.1, "1/16": 23.4, "1/32": 21.9}
for beta, printed in PRINTED.items():
    width = 64 / int(beta[2:])
    thin = nets.slowfast(32, 8, fast_width=round(width), lateral_kernel=5)
    fast = sum(share(thin, "macs")["Fast"].values()) / thin.macs()
    print(f"β = {beta:5} {width:5.2f} Fast channels: slide {printed:5.1f}   computed {thin.macs() / 1e9:6.2f} "
          f"  Fast {fast:5.1%}")  # fmt: skip

# %% [markdown]
# *First*: at 1/6 and 1/12 there is no such network. 64 channels over 6 is not a whole number; somebody rounded, and the
# paper doesn't say how. *Second*: 1/4. Everything else agrees. Is there one number that could have been different?

# %%
for kernel in (5, 7):
    got = [nets.slowfast(32, 8, fast_width=w, lateral_kernel=kernel).macs() / 1e9 for w in (16, 8)]
    print(f"lateral kernel of {kernel}: β = 1/4 {got[0]:.2f}, β = 1/8 {got[1]:.2f}")
for width in (10, 11, 5, 6):
    thin = nets.slowfast(32, 8, fast_width=width, lateral_kernel=5)
    print(f"{width:2} Fast channels: {thin.macs() / 1e9:.2f}")

# %% [markdown]
# With a lateral kernel of seven the first row comes out, but then 1/8 does not. So the rows of one table seem to come
# from two versions of the network. And rounding up gives nearly what is printed for 1/6, but for 1/12 the figure lies
# between the two. That is no scandal, and it changes no conclusion; but whoever compares models by such a column should
# know how far to trust it. (`vidlearn tables` recomputes what it can of all the decks.)
#
# ## 9 · Take something away
#
# The Fast pathway should see motion, and needn't know what moves. So how much may be taken from it? The paper
# tried: colors; everything but the change from frame to frame; everything but the optical flow; half of the resolution.

# %% alt="A piece of the film as the Fast pathway may see it: in color, grey, time difference, flow, half resolution"
piece = clip[:, :, 21:26, 60:156, 190:286]
grey_piece = vl.slowfast.to_grey(piece)
pairs = zip(grey_piece[0, 0, :-1], grey_piece[0, 0, 1:], strict=True)
flow = np.stack([vl.flow.dense(before, after) for before, after in pairs])  # (T − 1, H, W, 2), frame by frame
pictures = {
    "RGB": np.moveaxis(piece[0], 0, -1)[1:],
    "grey": grey_piece[0, 0, 1:],
    "time difference": np.moveaxis(0.5 + vl.slowfast.time_difference(piece)[0], 0, -1)[1:].clip(0, 1),
    "optical flow": video.flow_to_color(flow, 1.5),
    "half resolution": np.moveaxis(vl.slowfast.half_resolution(piece)[0], 0, -1)[1:],
}
figure, axes = plt.subplots(4, 5, figsize=(9.5, 7.8), layout="constrained")
for column, (name, strip) in zip(axes.T, pictures.items(), strict=True):
    for t, ax in enumerate(column):
        ax.imshow(strip[t], cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
    column[0].set_title(name, fontsize=10)
for t, ax in enumerate(axes[:, 0]):
    ax.set_ylabel(f"t = {22 + t}")

# %% [markdown]
# A window goes dark at $t = 25$. Which columns show that it was a *window*? Which one shows at a glance *when*? The flow
# shows it too, and is wrong: nothing has jumped. A switched light breaks the brightness constancy of lecture 01.
#
# And what is left of a clip in which nothing moves?

# %%
still = np.repeat(piece[:, :, :1], 8, axis=2)
print("time difference of a still clip, largest:", np.abs(vl.slowfast.time_difference(still)).max())
print("grey: the weights of red, green and blue are", end=" ")
print(*(f"{vl.slowfast.to_grey(c.reshape(1, 3, 1, 1, 1)).item():.3f}" for c in np.eye(3)))

# %% [markdown]
# What is saved? Only the first convolution of the Fast pathway looks at the input, so only that one gets cheaper; with
# half of the resolution, all of them do, and the paper spends the gain on more channels ($\beta$ = 1/4).

# %%
tried = {"RGB": ("none", 8, 27.6), "grey": ("grey", 8, 26.1), "time difference": ("time difference", 8, 26.2),
         "optical flow": ("flow", 8, 26.9), "half, β = 1/4": ("half", 16, 26.3)}  # fmt: skip
for name, (weak, width, printed) in tried.items():
    network = nets.slowfast(32, 8, fast_width=width, lateral_kernel=5, weak=weak)
    print(f"{name:16} slide {printed:5.1f}   computed {network.macs() / 1e9:6.2f} G MACs")

# %% [markdown]
# Grey and flow come out as printed. The time difference here has three colors, and costs what RGB costs; the slide's
# figure is nearly that of *one* channel. How the last row was counted is not published. And the accuracy: without
# color it is 75.5 instead of 75.6 %, says the slide. The Fast pathway doesn't need color.
#
# ## 10 · Trained networks
#
# One description has the whole family: with more frames, deeper, with the non-local blocks of lecture 06.

# %%
for network in (
    nets.slowfast_4x16_r50(),
    nets.slowfast_r50(),
    nets.slowfast(32, 4, lateral_kernel=7, nonlocal_blocks=True),
    nets.slowfast_r101(),
    nets.slowfast_16x8_r101_50_50(),
):
    macs = network.macs((3, network.input[1], 256, 256))
    print(f"{network.name:26} {network.parameters() / 1e6:6.2f} M weights {macs / 1e9:7.2f} G MACs at 256²")

# %% [markdown]
# PyTorchVideo publishes trained weights of some. The names are the same here, so that they load as they are:
#
# ```python
# import torch
# published = torch.hub.load("facebookresearch/pytorchvideo", "slowfast_r50", pretrained=True).state_dict()
# net = nets.slowfast_r50()
# assert {name for name in published if not name.endswith("num_batches_tracked")} == set(net.shapes())
# module = net.to_torch()
# module.load_state_dict(published)
# ```

# %%
shapes = nets.slowfast_r50().shapes()
print(len(shapes), "weights, among them")
for name in ("blocks.0.multipathway_blocks.1.conv.weight", "blocks.0.multipathway_fusion.conv_fast_to_slow.weight",
             "blocks.4.multipathway_blocks.0.res_blocks.2.branch2.conv_a.weight", "blocks.6.proj.weight"):  # fmt: skip
    print(f"    {name:66} {'×'.join(map(str, shapes[name]))}")

# %% [markdown]
# Section 3 is not forgotten: these weights were trained with spread Slow frames, and so the networks here that load them
# take spread frames too. The one of the paper's table, 4×16, has no published weights here; it takes every eighth frame:

# %%
for network in (nets.slowfast_4x16_r50(), nets.slowfast_r50()):
    print(f"{network.name:18}", network.layers()["blocks.0.multipathway_blocks.every"])

# %% [markdown]
# ## What to take with you
#
# - What is there changes slowly, what happens is quick: give each its own frame rate, and its own number of channels.
# - $\alpha$ times the frames at $\beta$ times the channels is about $\alpha\beta^2$ of the work: Fast is cheap.
# - Features of different rates must be brought together on purpose; know which frames meet.
# - "Every $\alpha$-th frame" is not what the published code does. Read the code before you use the weights.
#
# Now write four of these yourself: [exercise 07](../exercises/07_slowfast.ipynb).
