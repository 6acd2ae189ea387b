# %% [markdown]
# # 05 · 3D convolution: C3D, inflation, factorization
#
# A kernel that also slides over time can see motion. What does it cost, what can it be started from, and can it be had
# for less?
#
# | slide | section here | code |
# | --- | --- | --- |
# | CS231n · C3D: The VGG of 3D CNNs | [1](#1-vgg-with-cubes) | `nets.c3d`, `layers.conv_macs` |
# | CS231n · C3D, the column of MFLOPs | [2](#2-find-the-slides-mistake) | `slides`, `vidlearn tables` |
# | SJTU · I3D: bootstrapping 3D filters from 2D filters | [3](#3-inflation) | `inflation.inflate` |
# | SJTU · I3D: the boring video | [4](#4-the-boring-video) | `inflation.boring_video`, `nets.inflate` |
# | SJTU · TSN: cross-modality initialization | [5](#5-from-colors-to-flow) | `inflation.cross_modality` |
# | SJTU · R(2+1)D | [6](#6-space-then-time) | `factorized.conv2plus1d`, `factorized.mid_channels` |
# | SJTU · R(2+1)D: MCx, rMCx, and the table | [7](#7-where-in-the-network) | `factorized.convolution_plan`, `nets` |
# | SJTU · S3D, CSN | [8](#8-channels-apart) | `factorized.factorized_parameters` |
# | (not in the decks) using a trained network | [9](#9-a-network-in-use) | `layers.fold_batch_norm`, `Net.to_torch` |
#
# Every number and every picture on this page is computed by the cell above it.

# %%
import matplotlib.pyplot as plt
import numpy as np

import vidlearn as vl
from vidlearn import nets, slides
from vidlearn.factorized import plots as parts
from vidlearn.inflation import plots as inflated

BLUE, ORANGE = "#0072B2", "#D55E00"

# %% [markdown]
# ## 1 · VGG with cubes
#
# Take VGG, make every 3×3 kernel a 3×3×3 kernel and every 2×2 pool a 2×2×2 pool. That is C3D, the first 3D network that
# many people used. One pool is different: the first is 1×2×2. Can you see from the shapes below why? (There are
# 16 frames, and five pools.)

# %% alt="C3D as boxes: taller is more rows, wider is more channels, deeper is more frames"
c3d = nets.c3d(classes=487)  # as many as Sports-1M has
c3d.draw()

# %% [markdown]
# In vidlearn a network is data: a tree of small records. The table is read off the tree. *Receptive field* is what one
# position of a layer has seen of the input, in frames × pixels × pixels; *MACs* are multiply-accumulates, what a
# convolution is made of.

# %%
rows = [row for row in c3d.rows() if row.layer.kind in ("Conv", "Pool", "Linear")]
for row in rows:
    shape, field = ("×".join(map(str, v)) for v in (row.shape, row.clipped))
    print(f"{row.path:7} {shape:>14}   sees {field:11} {row.parameters:>11,} weights {row.macs / 1e9:8.3f} G MACs")
print(f"{c3d.parameters():,} weights, {c3d.macs() / 1e9:.2f} G MACs")

# %% [markdown]
# Where do the multiply-accumulates go, and where the weights? Each output value of a convolution takes one MAC for each
# weight of its kernel:
#
# $$ \text{MACs} = \underbrace{T' H' W'}_{\text{positions}} \cdot C_{out} \cdot C_{in} \cdot K_t K_h K_w $$
#
# Early layers have many positions; the linear layers at the end have one, and nearly all the weights. And time costs
# its share: the third extent of the kernel alone makes everything threefold.

# %% alt="Multiply-accumulates of C3D's layers are in the convolutions, its weights in the linear layers"
names = [row.path for row in rows if row.macs]
figure, axes = plt.subplots(1, 2, figsize=(11, 3.4), layout="constrained")
axes[0].bar(names, [row.macs / 1e9 for row in rows if row.macs], color=BLUE)
axes[0].set(title="where the work is", ylabel="G multiply-accumulates")
axes[1].bar(names, [row.parameters / 1e6 for row in rows if row.macs], color=ORANGE)
axes[1].set(title="where the weights are", ylabel="million weights")
for ax in axes:
    ax.tick_params(axis="x", rotation=60)
first = int(vl.layers.conv_macs(3, 64, (3, 3, 3), (16, 112, 112)))
print(f"conv1: {first:,} MACs; with a 1×3×3 kernel it would be {first // 3:,}")

# %% [markdown]
# ## 2 · Find the slide's mistake
#
# The slide prints, in a column headed *MFLOPs*, 1.04 for conv1, …, and at the end 0.51, 0.45 and 0.05 for FC6 to FC8:
# 39.5 in all, "2.9× VGG". Compare with the table above before you read on. Two things are wrong.
#
# *The heading*: 1.04 **billion**, so GFLOPs; and what is counted are multiply-accumulates, each two operations. Papers
# call them FLOPs all the same. *The linear layers*: each is too large by the same factor. Which one, and where does it
# come from?

# %%
fc6 = next(row for row in rows if row.path == "fc6")
print(f"FC6 on the slide over FC6 computed: {0.51e9 / fc6.macs:.1f}")
for result in slides.recompute("CS231n"):
    if result.verdict == "slide is wrong" and result.slide.startswith("C3D"):
        print(
            f"{result.item:28} slide {result.slide_value:>6}   computed {result.computed:>7}\n    {result.explanation}"
        )

# %% [markdown]
# Twenty-seven: the volume of a 3×3×3 kernel, which a linear layer does not have. `vidlearn tables` does this for every
# figure of the decks that can be computed, and says by which convention each comes out.
#
# ## 3 · Inflation
#
# 3D networks have many weights, and labeled video is scarce. Images are not. Can a 3D kernel be *started* from a 2D one
# that has learned from a million photographs?
#
# Ask for the least that one may expect: on a video in which nothing moves, the 3D network should say what the 2D one
# says about the frame. If the kernel is repeated $K_t$ times, a window over $K_t$ equal frames adds up $K_t$ times the
# 2D answer. So divide:
#
# $$ W_{3D}[o, i, t, y, x] = \frac{1}{K_t} W_{2D}[o, i, y, x] $$
#
# Another start puts the 2D kernel on the middle frame and zeros beside it. It looks at one frame only; training
# decides what the zeros become.

# %% alt="An edge kernel, repeated over three frames at a third of its strength, and placed on the middle frame only"
edge = np.array([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
repeated = vl.inflation.inflate(edge[None, None], 3)
centered = vl.inflation.inflate_centered(edge[None, None], 3)
inflated.filmstrip(edge, {"inflate": repeated[0, 0], "inflate_centered": centered[0, 0]})

# %% [markdown]
# ## 4 · The boring video
#
# Repeat one frame, and compare. The 2D answer at one pixel is the line; the dots are what the 3D kernels say about each
# frame of the clip. **Break something**: what would you see if the division by $K_t$ were forgotten?

# %% alt="Inside the clip both 3D kernels give the 2D answer; at its ends, zero padding takes a third of the repeated one's"
rng = np.random.default_rng(0)
frame = rng.random((1, 1, 9, 9))
clip = vl.inflation.boring_video(frame, 7)
pixel = (0, 0, slice(None), 4, 4)
answer = float(vl.layers.conv2d(frame, edge[None, None], padding=1)[0, 0, 4, 4])
answers = {
    "inflate, zero padding": vl.layers.conv3d(clip, repeated, padding=1)[pixel],
    "inflate_centered": vl.layers.conv3d(clip, centered, padding=1)[pixel],
}
inflated.boring_responses(answer, answers, window=3)
print("share of the 2D answer:", np.round(answers["inflate, zero padding"] / answer, 3))

# %% [markdown]
# So the law has a condition: **it holds where the window lies inside the clip**. At the ends, zero padding shows the
# kernel a black frame that no video had. Repeating the end frames instead makes it hold everywhere.
#
# What holds for one layer holds for a whole network, as long as every other layer treats all frames alike: batch norm,
# ReLU, pooling in space and the final average do. `nets.inflate` does it to any network for images. A small ResNet, in
# double precision:

# %%
resnet = nets.resnet18(classes=5)
weights = resnet.initial(seed=0, dtype="float64")
frame = rng.random((1, 3, 32, 32))
said = resnet.forward(frame, weights)
for border in ("edge", "zeros"):
    network, made = nets.inflate(resnet, weights, kernel=lambda path, conv: min(3, conv.kernel[0]), time_border=border)
    over = network.forward(vl.inflation.boring_video(frame, 4), made)
    print(f"beyond the clip's ends: {border:6} largest difference {np.abs(over - said).max() / np.abs(said).max():.1e}")

# %% [markdown]
# With the end frames repeated, the two networks agree to the last digits. With zeros they don't: every layer lets its
# border in a little further, and on so short a clip that is everywhere.
#
# ## 5 · From colors to flow
#
# The other stream of a two-stream network looks at a stack of $L$ flow fields: $2L$ channels, where the photographs had
# three. *Cross-modality initialization* averages the kernel over the colors and hands every flow channel the mean.

# %%
colors = rng.normal(size=(8, 3, 3, 3))
flow_kernel = vl.inflation.cross_modality(colors, 20)
print("from", colors.shape, "to", flow_kernel.shape)
print("all channels alike:", bool((flow_kernel == flow_kernel[:, :1]).all()))
grey = np.repeat(rng.random((1, 1, 6, 6)), 3, axis=1)
before = vl.layers.conv2d(grey, colors)
after = vl.layers.conv2d(grey, vl.inflation.cross_modality(colors, 3))
print(f"on a grey picture nothing changes: {np.abs(before - after).max():.1e}")

# %% [markdown]
# ## 6 · Space, then time
#
# Must a kernel see space and time at once? Put a 1×3×3 convolution first and a 3×1×1 convolution after it: together
# they see 3×3×3 again. How many channels, $M$, should there be between the two? R(2+1)D chooses as many as make the
# *weights* equal:
#
# $$ M = \left\lfloor \frac{K_t K_s^2\, C_{in} C_{out}}{K_s^2\, C_{in} + K_t\, C_{out}} \right\rfloor $$

# %% alt="The kernels of full, (2+1)D, channel-separated and depthwise convolutions as boxes, with their weights"
for c_in, c_out in ((64, 64), (64, 128), (128, 128)):
    m = int(vl.factorized.mid_channels(c_in, c_out, 3, 3))
    full, apart = (int(vl.factorized.factorized_parameters(c_in, c_out, kind=kind)) for kind in ("full", "(2+1)d"))
    print(f"{c_in:3} → {c_out:3}   M = {m:3}   weights: full {full:,}, (2+1)D {apart:,}")
parts.kernel_boxes(64, 64)

# %% [markdown]
# With the same number of weights, what is gained? A **ReLU between the two**: twice as many bends. Without it, the pair
# is just one 3D kernel of a special kind, a sum of $M$ products of a pattern in space and a pattern in time:

# %%
x = rng.normal(size=(1, 2, 5, 6, 6))
w_space, w_time = rng.normal(size=(4, 2, 3, 3)), rng.normal(size=(3, 4, 3))
one = vl.factorized.compose_kernels(w_space, w_time)
linear = vl.layers.conv3d(
    vl.layers.conv3d(x, w_space[:, :, None], padding=(0, 1, 1)), w_time[..., None, None], padding=(1, 0, 0)
)
print("without a ReLU, one kernel does it:", np.allclose(linear, vl.layers.conv3d(x, one, padding=1)))
print("with it, none does:               ", not np.allclose(vl.factorized.conv2plus1d(x, w_space, w_time), linear))

# %% [markdown]
# ## 7 · Where in the network
#
# Is time needed in all layers? The same paper tries: 3D below and 2D above (**MCx**, mixed convolutions: motion is a
# low-level thing), or 2D below and 3D above (**rMCx**, reversed: motion is about what has been recognized).

# %% alt="Which of five groups see three frames: the first ones in MC, the last ones in reversed MC"
parts.plan_table()

# %% [markdown]
# Twelve networks of 18 layers, on 8 frames of 112×112. The slide prints the weights; here they are, computed, beside
# the work. (R(2+1)D is said to be cheaper than R3D. Is it?)

# %% alt="Weights and work of twelve residual networks: work hangs on where the 3D convolutions are, weights on how many"
family = [
    "r2d_18",
    "f_r2d_18",
    "mc2_18",
    "mc3_18",
    "mc4_18",
    "mc5_18",
    "rmc5_18",
    "rmc4_18",
    "rmc3_18",
    "rmc2_18",
    "r3d_18",
]
built = {name: nets.zoo()[name](frames=8) for name in family}
built["r2plus1d_18"] = nets.r2plus1d_18(frames=8, shared_mid=False)
for name, net in built.items():
    print(f"{name:12} {net.parameters() / 1e6:6.2f} M weights {net.macs() / 1e9:6.2f} G MACs")
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), sharey=True, layout="constrained")
labels = [name.removesuffix("_18") for name in built]
axes[0].barh(labels, [net.parameters() / 1e6 for net in built.values()], color=ORANGE)
axes[1].barh(labels, [net.macs() / 1e9 for net in built.values()], color=BLUE)
axes[0].set(xlabel="million weights")
axes[1].set(xlabel="G multiply-accumulates")
axes[0].invert_yaxis()

# %% [markdown]
# Equal in weights by construction, and so nearly equal in work. What R(2+1)D buys is accuracy, not speed.
#
# ## 8 · Channels apart
#
# There is a third thing to take apart. A kernel mixes space, time *and channels*. In a **depthwise** convolution each
# channel is seen by itself, and 1×1×1 convolutions do the mixing: channel-separated networks. Per layer of 64 channels:

# %%
kinds = ("full", "(2+1)d", "separable", "channel-separated", "depthwise")
whole = int(vl.factorized.factorized_parameters(64, 64, kind="full"))
for kind in kinds:
    weights_ = int(vl.factorized.factorized_parameters(64, 64, kind=kind))
    macs = int(vl.factorized.factorized_macs(64, 64, 8, 56, 56, kind=kind))
    print(f"{kind:18} {weights_:8,} weights   {macs / 1e6:8.1f} M MACs on 8×56×56   1/{whole / weights_:.1f}")

# %% [markdown]
# And the large networks that follow from these ideas, each at its usual input:

# %%
for name in ("c3d", "i3d_inception", "s3d", "r2plus1d_34", "i3d_r50", "c2d_r50", "csn_r101", "ip_csn_r101"):
    net = nets.zoo()[name]()
    shape = "×".join(map(str, net.input))
    print(
        f"{name:14} {shape:>14} {net.parameters() / 1e6:7.2f} M weights {net.macs() / 1e9:8.2f} G MACs   {net.source[:48]}"
    )

# %% [markdown]
# ## 9 · A network in use
#
# Once training is over, batch norm is a fixed scale and offset for each channel, and a convolution followed by a scale is
# a convolution again:
#
# $$ W' = \frac{\gamma}{\sigma} W, \qquad b' = \beta + (b - \mu)\frac{\gamma}{\sigma} $$

# %%
net = nets.r2plus1d_18(classes=10)
weights = net.initial(seed=0)
for name, w in weights.items():
    if w.ndim == 1:  # norms as after training: none of them does nothing
        weights[name] = (w + 0.1 * rng.random(w.shape)).astype(w.dtype)
small, merged = net.folded(weights)
x = rng.random((1, 3, 4, 16, 16)).astype(np.float32)
before, after = net.forward(x, weights), small.forward(x, merged)
print(f"layers: {len(net.layers())}, of which norms {sum(layer.kind == 'Norm' for layer in net.layers().values())}")
print(f"after folding, norms: {sum(layer.kind == 'Norm' for layer in small.layers().values())}")
print(f"largest difference of the answers: {np.abs(before - after).max() / np.abs(before).max():.1e}")

# %% [markdown]
# The same tree makes a `torch.nn.Module` whose weights have the names that torchvision uses, so that its checkpoints
# load unchanged:
#
# ```python
# from torchvision.models.video import R2Plus1D_18_Weights
# state = R2Plus1D_18_Weights.DEFAULT.get_state_dict()
# module = nets.r2plus1d_18().to_torch()
# module.load_state_dict(state)
# ```
#
# ## What to take with you
#
# - A 3D kernel slides over time as well: it finds a motion whenever it happens, and costs $K_t$ times as much.
# - Inflation starts it from photographs; the boring video is the test, and its ends are the catch.
# - Space and time can be taken apart (another bend for the same weights), and so can channels (far fewer weights).
# - Check a figure before you quote it. The slide's 27 was there for anyone to find.
#
# Now write four of these yourself: [exercise 05](../exercises/05_3d_convolution.ipynb).
