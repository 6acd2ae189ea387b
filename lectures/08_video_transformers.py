# %% [markdown]
# # 08 · Video transformers
#
# A transformer reads a sentence: a row of words, of which each may look at every other. A clip is no sentence. What are
# its words, and which of them should look at which?
#
# | slide | section here | code |
# | --- | --- | --- |
# | CS231n · Vision Transformers for Video | [1](#1-a-clip-as-words), [2](#2-tubelets) | `transformers.patch_embed`, `transformers.tubelet_embed` |
# | (not in the decks) where a word stands | [3](#3-where-and-when) | `transformers.add_positions`, `transformers.sinusoidal_positions` |
# | SJTU · Vision transformer: TimeSFormer | [4](#4-one-operation-five-neighborhoods) | `transformers.neighborhood_attention`, `transformers.SCHEMES` |
# | SJTU · the five schemes, and what they cost | [5](#5-what-one-patch-is-compared-with), [6](#6-who-reaches-whom) | `transformers.comparisons`, `transformers.reachable` |
# | SJTU · Divided Space-Time Attention (T+S) | [7](#7-divided-attention-step-by-step) | `transformers.neighborhood_attention` |
# | SJTU · the table of five | [8](#8-find-the-slides-mistake) | `nets.timesformer` |
# | CUHK · Video Transformer | [9](#9-first-every-frame-then-the-clip) | `transformers.factorized_encoder` |
# | CS231n · Vision Transformers for Video, the pooling module | [10](#10-fewer-tokens-wider-ones) | `transformers.pool_tokens`, `transformers.pooling_attention` |
# | CS231n · Vision Transformers for Video (Neimark et al.) | [11](#11-a-window-that-slides) | `transformers.sliding_window_attention` |
#
# Attention itself is the matter of [lecture 06](06_nonlocal_attention.ipynb): every token asks with a query, the keys
# say who fits, and the answer is a mean of the values. Every number and every picture on this page is computed by the
# cell above it.

# %%
import matplotlib.pyplot as plt
import numpy as np

import vidlearn as vl
from vidlearn import nets, transformers, video
from vidlearn.transformers import plots as schemes

BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
rng = np.random.default_rng(0)

# %% [markdown]
# ## 1 · A clip as words
#
# Cut each frame into patches of 16 × 16 pixels. Each patch is a word, or *token*; read them as you read a page, row by
# row, and then turn to the next frame.

# %% alt="Left a frame of a film cut into 10 by 14 patches; right the first tokens, in the order in which they are read"
film = video.read(video.clip_path(), stop=32, step=4)[:, 10:170, 64:288]
ROWS, COLUMNS = 10, 14


def patches(frame):
    """Cut a picture: (rows, columns, 16, 16, 3)."""
    return frame.reshape(ROWS, 16, COLUMNS, 16, 3).swapaxes(1, 2)


def apart(cut, gap=3):
    """Lay the patches out with white between them."""
    room = [(0, 0), (0, 0), (gap, 0), (gap, 0), (0, 0)]
    wide = np.pad(cut, room, constant_values=255).swapaxes(1, 2)
    return wide.reshape(wide.shape[0] * wide.shape[1], -1, 3)


def show(ax, picture, title):
    ax.imshow(picture)
    ax.set_title(title)
    ax.set_axis_off()


figure, axes = plt.subplots(1, 2, figsize=(11, 4), width_ratios=(2, 1), layout="constrained")
show(axes[0], apart(patches(film[0])), f"a frame: {ROWS} × {COLUMNS} patches")
show(
    axes[1], apart(patches(film[0]).reshape(-1, 16, 16, 3)[42:70].reshape(7, 4, 16, 16, 3)), "tokens 42 to 69, as read"
)
print(f"{len(film)} frames: {len(film)} × {ROWS} × {COLUMNS} = {len(film) * ROWS * COLUMNS} tokens")
print(f"a patch: 16 × 16 × 3 = {16 * 16 * 3} numbers")

# %% [markdown]
# A network wants features, not pixels: each patch is multiplied by a matrix, the same one for all.
#
# $$ \text{token} = W \operatorname{vec}(\text{patch}) + b $$
#
# Look at this once more. The same weights, at every place, a step of 16 pixels to the next: it is a **convolution whose
# stride is as long as its kernel**. (So a vision transformer begins with a convolution.)

# %%
x = np.moveaxis(film, -1, 0)[None] / 255.0
w = rng.normal(size=(12, 3, 16, 16)) / 28
tokens = transformers.patch_embed(x, w)
convolved = vl.layers.conv2d(np.moveaxis(film, -1, 1) / 255.0, w, stride=16)  # frame by frame
print("tokens (N, T, S, D):      ", tokens.shape)
print("convolved (T, D, H', W'): ", convolved.shape)
print("equal:", np.allclose(tokens[0], convolved.reshape(len(film), 12, -1).swapaxes(1, 2)))

# %% [markdown]
# **Break something.** A picture of 160 × 224 is to become 10 × 14 patches of 16 × 16. `frame.reshape(10, 14, 16, 16,
# 3)` has the right shape, raises nothing, and trains. What does it cut? Think first; then see.

# %% alt="Cut rightly, patches are squares of the picture; by a bare reshape each is sixteen shreds of a few lines"
wrong = film[0].reshape(ROWS, COLUMNS, 16, 16, 3)
figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
show(axes[0], apart(patches(film[0])), "cut each axis in two, then bring together")
show(axes[1], apart(wrong), "a bare reshape")

# %% [markdown]
# A reshape never moves a number: a patch's 256 pixels lie in 16 pieces, and somebody has to bring them together. That
# is the transpose. No shape will ever tell you that it is missing.
#
# ## 2 · Tubelets
#
# Why should a word last for one frame only? A *tubelet* is a box of, say, 2 × 16 × 16: half as many tokens, and each
# has seen something move. It is a 3D convolution, again with stride = kernel.

# %%
w2 = rng.normal(size=(12, 3, 2, 16, 16)) / 40
boxes = transformers.tubelet_embed(x, w2)
convolved = vl.layers.conv3d(x, w2, stride=(2, 16, 16))
print("tokens:", boxes.shape, " equal:", np.allclose(boxes, convolved.reshape(1, 12, -1).swapaxes(1, 2)))

# %% [markdown]
# The tokens are numbered by t, then y, then x. And where does a first $W$ come from? From one that has learned from
# images, as in [lecture 05](05_3d_convolution.ipynb): repeated and divided, or placed on one frame. The boring video
# is the test again.

# %%
boring = vl.inflation.boring_video(x[:, :, 0], 2)
as_image = transformers.patch_embed(x[:, :, :1], w)[:, 0]
starts = {"repeated, halved": vl.inflation.inflate(w, 2), "on one frame": np.stack([0 * w, w], axis=2)}
for name, start in starts.items():
    said = transformers.tubelet_embed(boring, start)
    print(f"{name:17} on a boring video it says what the image's says: {np.allclose(said, as_image)}")

# %% [markdown]
# ## 3 · Where and when
#
# Attention looks at *what* a token is, never at where it stands. Shuffle the tokens of a clip, let them look at one
# another, take the mean: what changes?

# %% alt="Left a frame, right its patches shuffled: without positions the answer to both is the same to the last digits"
D = 12
weights = rng.normal(size=(3 * D, D)) / 2


def answer(words):
    """Return one answer: all look at all, then the mean."""
    q, k, v = np.split(words @ weights.T, 3, axis=2)
    return (words + vl.nonlocal_attention.attention(q, k, v)).mean(axis=1)


mixed = rng.permutation(tokens.shape[1] * tokens.shape[2])
words = tokens.reshape(1, -1, D)
print(f"shuffled, without positions: changes by {np.abs(answer(words[:, mixed]) - answer(words)).max():.0e}")
space = transformers.sinusoidal_positions(ROWS * COLUMNS, D)
time = transformers.sinusoidal_positions(len(film), D)
placed, placed_wrong = (
    transformers.add_positions(t.reshape(tokens.shape), space, time).reshape(1, -1, D) for t in (words, words[:, mixed])
)
print(f"shuffled, with positions:    changes by {np.abs(answer(placed_wrong) - answer(placed)).max():.0e}")
backward = transformers.add_positions(tokens[:, ::-1], space, time).reshape(1, -1, D)
print(f"the film backward, with:     changes by {np.abs(answer(backward) - answer(placed)).max():.0e}")
here = rng.permutation(ROWS * COLUMNS)
figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
show(axes[0], apart(patches(film[0])), "a frame")
show(axes[1], apart(patches(film[0]).reshape(-1, 16, 16, 3)[here].reshape(ROWS, COLUMNS, 16, 16, 3)), "the same one")

# %% [markdown]
# So each token is told its place and its moment: a vector for where it is in the frame, one for when, **added** to its
# features. They may be learned (TimeSformer's are), or be sines of many wavelengths:
#
# $$ p_{i,\,2d} = \sin(i / 10000^{2d/D}), \qquad p_{i,\,2d+1} = \cos(i / 10000^{2d/D}) $$
#
# Why sines? Because the product of two such vectors depends on the *distance* of the two places alone:

# %% alt="Sinusoidal positions, and their products: bright along the diagonal, and the same along each parallel to it"
p = transformers.sinusoidal_positions(48, 64)
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
axes[0].imshow(p, cmap="RdBu", aspect="auto")
axes[0].set(title="positions: one a row", xlabel="feature", ylabel="position")
axes[1].imshow(p @ p.T, cmap="viridis")
axes[1].set(title="their products", xlabel="position", ylabel="position")
print("products of places 3 apart:", np.round([p[i] @ p[i + 3] for i in (0, 10, 40)], 6))

# %% [markdown]
# ## 4 · One operation, five neighborhoods
#
# Eight frames of 14 × 14 patches are 1,568 tokens; with the *class token*, a word of no place whose answer will be
# read, 1,569. If all look at all, that is $1569^2$ comparisons in each head of each layer. TimeSformer asks: who
# **needs** to look at whom? Here are its five answers. The marked patch asks; what is colored it may look at, in each
# step its own color.

# %% alt="Five schemes on four frames of a film: the asking patch in blue, and in colors what it looks at in each step"
clip = film[:4, :, :160] / 255
figure = schemes.schemes(4, 10, 10, query=(1, 4, 5), clip=clip)

# %% [markdown]
# They are one function. A *neighborhood* divides all patches into groups, and those of a group look at one another;
# a scheme is a list of neighborhoods, one after the other. Groups × patches in each:

# %%
for scheme, kinds in transformers.SCHEMES.items():
    groups = [transformers.neighborhood(8, 14, 14, kind) for kind in kinds]
    listed = ", then ".join(f"{kind}: {len(g)} × {g.shape[1]}" for kind, g in zip(kinds, groups, strict=True))
    print(f"{scheme:6} {listed}")

# %% [markdown]
# Here is the trick by which you can *see* any attention: let every token's value be its own number, written as a row
# with a single 1. Then the answer is the table of who looked at whom, and how much. On 4 frames of 4 × 4 patches, all
# of which like one another equally:

# %% alt="Tables of 64 by 64 tokens for seven neighborhoods: blocks, stripes and grids show who looks at whom"
T, H, W = 4, 4, 4
L = T * H * W
alike, itself = np.zeros((1, L, L)), np.eye(L)[None]
kinds = ("space-time", "space", "time", "block", "stride", "row", "column")
figure, axes = plt.subplots(1, len(kinds), figsize=(13, 2.4), layout="constrained")
for ax, kind in zip(axes, kinds, strict=True):
    looked = transformers.neighborhood_attention(alike, alike, itself, T, H, W, kind, class_token="absent")[0]
    ax.imshow(looked > 0, cmap="Blues", vmin=0, vmax=1.4)
    ax.set(title=f'"{kind}"', xticks=[], yticks=[])
    print(f"{kind:10} looks at {int((looked[0] > 0).sum()):2} of {L}, with {looked[0].max():.4f} each")
axes[0].set(ylabel="who asks", xlabel="who is looked at")

# %% [markdown]
# ## 5 · What one patch is compared with
#
# Count the keys that one query meets, over all steps, with the class token in each of them. With $N$ patches in each of
# $F$ frames:
#
# $$ \text{S: } N + 1 \qquad \text{ST: } NF + 1 \qquad \text{T+S: } N + F + 2 $$

# %% alt="Keys per query against frames: joint attention grows fastest, divided attention hardly grows"
print("of 8 frames:", "".join(f"{f'{size} × {size} px':>14}" for size in (224, 448, 672)))
for scheme in transformers.SCHEMES:
    counts = [int(transformers.comparisons(8, size // 16, size // 16, scheme)) for size in (224, 448, 672)]
    print(f"{scheme:12}", "".join(f"{count:14,}" for count in counts))
ax = schemes.growth()

# %% [markdown]
# How much memory is that? Joint attention on the paper's longest clip, 96 frames, needs a weight for each pair:

# %%
for scheme in ("ST", "T+S"):
    keys = int(transformers.comparisons(96, 14, 14, scheme))
    print(
        f"{scheme:4} {12 * keys * 96 * 196 * 4 / 2**30:7.2f} GiB of attention weights in one layer (12 heads, float32)"
    )

# %% [markdown]
# [Lecture 06](06_nonlocal_attention.ipynb) showed how not to *hold* these weights. They must be computed all the same.
#
# ## 6 · Who reaches whom
#
# Fewer comparisons, at what price? A token that isn't looked at directly may be reached by a detour: first its
# frame's fellow at my place takes it up, then I look at the fellow. **Guess** for each scheme whether, after all its
# steps, every patch has heard of every other.

# %% alt="Who has heard of whom after each step of five schemes: only space alone never reaches everything"
for scheme in transformers.SCHEMES:
    reached = transformers.reachable(4, 4, 4, scheme)
    direct = int(transformers.comparisons(4, 4, 4, scheme)) - len(transformers.SCHEMES[scheme])
    print(f"{scheme:6} {direct:3} keys looked at (one may be twice), {int(reached[0].sum()):3} of 64 patches heard of")
figure = schemes.reach()

# %% [markdown]
# Only **S**, space alone, never hears of another frame: it can't know in which order they came. All others reach
# everything within one layer, and axial attention with the fewest keys. (Reached is not the same as looked at: a detour
# passes through a mean.) Follow one patch through divided and through axial attention:

# %% alt="From one patch, step by step: divided attention fills all frames in two steps, axial attention in three"
T, H, W = 4, 6, 8
start = (1 * H + 2) * W + 3
figure, axes = plt.subplots(4, 2 * T, figsize=(12, 5.4), layout="constrained")
for side, scheme in enumerate(("T+S", "T+W+H")):
    seen = np.zeros((1, T * H * W, 1))
    seen[0, start] = 1
    steps = ["", *transformers.SCHEMES[scheme]]
    for line in range(4):
        for t in range(T):
            ax = axes[line, side * T + t]
            if line >= len(steps):
                ax.set_axis_off()
                continue
            ax.imshow(seen.reshape(T, H, W)[t] > 0, cmap="Blues", vmin=0, vmax=1.3)
            ax.set(xticks=np.arange(W) - 0.5, yticks=np.arange(H) - 0.5, xticklabels=[], yticklabels=[])
            ax.tick_params(length=0)
            ax.grid(color="white")
        if line < len(steps):
            axes[line, side * T].set_ylabel(steps[line] or "at first")
        if line + 1 < len(steps):
            flat = np.zeros_like(seen)
            seen = transformers.neighborhood_attention(flat, flat, seen, T, H, W, steps[line + 1], class_token="absent")
    axes[0, side * T].set_title(scheme, loc="left")

# %% [markdown]
# ## 7 · Divided attention, step by step
#
# One layer of TimeSformer, in its published form. Time first, space second, each with a residual; what comes back from
# time passes one more linear layer (biases left out here):
#
# $$ \begin{aligned}
#    a &= z + W_t \operatorname{attention}_{time}(\operatorname{norm}(z)) \\
#    b &= a + \operatorname{attention}_{space}(\operatorname{norm}(a)) \\
#    z' &= b + \operatorname{mlp}(\operatorname{norm}(b))
#    \end{aligned} $$

# %%
T, H, W, D, HEADS = 4, 3, 3, 8, 2
z = rng.normal(size=(1, 1 + T * H * W, D))
w_time, w_space = rng.normal(size=(2, 3 * D, D)) / 2
w_t, w_up, w_down = rng.normal(size=(D, D)) / 3, rng.normal(size=(4 * D, D)) / 3, rng.normal(size=(D, 4 * D)) / 6


def norm(z):
    return vl.layers.layer_norm(z, np.ones(D), np.zeros(D))


def step(z, w, kind, class_token):
    q, k, v = np.split(norm(z) @ w.T, 3, axis=2)
    return transformers.neighborhood_attention(q, k, v, T, H, W, kind, class_token=class_token, heads=HEADS)


def divided(z):
    a = z.copy()
    a[:, 1:] += step(z[:, 1:], w_time, "time", "absent") @ w_t.T  # the class token stays out of it
    b = a + step(a, w_space, "space", "averaged")
    return b + vl.layers.gelu(norm(b) @ w_up.T) @ w_down.T


print("a layer of T+S:", z.shape, "→", divided(z).shape)
other = z.copy()
other[0, -1] = rng.normal(size=D)  # the last patch of the last frame, another one
changed = np.abs(divided(other) - divided(z))[0].max(axis=1) > 1e-9
print(f"of {T * H * W} patches, {int(changed[1:].sum())} notice; the class token: {bool(changed[0])}")

# %% [markdown]
# **The class token.** It has no place and no moment, so which group is it in? The *paper* lets every patch look at it
# in both steps, and lets it look at everything (`"joins"`). The *published code* leaves it out of the time step
# (`"absent"`), gives a copy of it to each frame in the space step, and takes the mean of the copies (`"averaged"`).
# For patches the space step is the same; for the class token a mean of softmaxes is not the softmax over all:

# %%
paper, code = (step(z, w_space, "space", kind) for kind in ("joins", "averaged"))
print(f"patches differ by        {np.abs(paper[:, 1:] - code[:, 1:]).max():.0e}")
print(f"the class token's answer {np.abs(paper[:, 0] - code[:, 0]).max():.2f}")

# %% [markdown]
# Weights that were trained with the one don't fit the other. This is worth remembering: **a paper's equations and its
# code can disagree, and published weights belong to the code.**
#
# And a second thing that code tells: $W_t$ starts at zero, and so do the positions in time. An untrained TimeSformer
# ignores the order of its frames, and grows out of an image transformer, as an inflated network grows out of an image
# network.

# %%
reversed_frames = z[:, 1:].reshape(1, T, H * W, D)[:, ::-1].reshape(1, -1, D)
backward = np.concatenate([z[:, :1], reversed_frames], axis=1)
difference = np.abs(divided(backward) - divided(z))[0, 0].max()
print(f"without positions in time, the film backward changes the class token by {difference:.0e}")

# %% [markdown]
# Zero, and that with any $W_t$: attention over time without positions in time takes the frames as a heap.
#
# ## 8 · Find the slide's mistake
#
# The slide's table prints *85.9M* parameters for the first two schemes, *121.4M* for the next two and *156.8M* for
# the last, beside its accuracy on Kinetics-**400** and on Something-Something v2, which has 174 classes; and its
# title reads *TimeSFormer [R(2+1)d]*. Why do the parameters come in steps? And to which data set do they belong?

# %%
for scheme in transformers.SCHEMES:
    for_ssv2, for_k400 = (nets.timesformer(scheme=scheme, classes=classes) for classes in (174, 400))
    weights_ = f"{for_ssv2.parameters() / 1e6:6.1f} M with 174 classes, {for_k400.parameters() / 1e6:6.1f} M with 400"
    print(f"{scheme:6} {weights_}   {for_k400.macs() / 1e9:6.1f} G MACs a clip")

# %% [markdown]
# Each step beyond the first has its own norm, queries, keys, values and output, and a linear layer after it, in all
# twelve layers: about 35 million weights more. And all five figures are those of **174 classes**; the networks that
# reached the K400 column are 0.2 M larger. As to the title: R(2+1)D is another network, that of lecture 05; it must
# have stayed from the slide that this one was copied from.
#
# Now the column of MACs. Divided attention compares with nearly eight times fewer keys than joint attention, and yet
# does *more* work? The comparisons are only a part of it: each step also has four matrices through which every token
# passes. Those cost the same for each token; the comparisons grow with the clip.

# %%
for frames, size in ((8, 224), (8, 448), (96, 224)):
    joint, in_turn = (nets.timesformer(frames=frames, size=size, scheme=s).macs() / 1e12 for s in ("ST", "T+S"))
    print(f"{frames:2} frames of {size} × {size}: joint {joint:6.2f} T MACs, divided {in_turn:6.2f} T MACs")
print(f"three views of 8 frames: {3 * nets.timesformer().macs() / 1e12:.2f} T MACs")

# %% [markdown]
# On a short clip of small frames joint attention is the cheaper one; on long and large ones there is no question. (And
# the last line is the *0.59 TFLOPs* of the slide's other table: multiply-accumulates, of three crops.)
#
# ## 9 · First every frame, then the clip
#
# **ViViT** tries four ways. Its second, the *factorized encoder*, is late fusion with a transformer on top: one
# transformer understands each frame by itself and makes one token of it; a second one looks at these tokens, a
# handful.

# %%
x_ = rng.normal(size=(1, 6, 9, D))
one = transformers.factorized_encoder(x_, w_space, w_time, heads=HEADS)
print("from", x_.shape, "to", one.shape)
inside = rng.permutation(9)
shuffled = transformers.factorized_encoder(x_[:, :, inside], w_space, w_time, heads=HEADS)
print(f"patches shuffled within the frames: {np.abs(shuffled - one).max():.0e}")
across = x_.reshape(1, -1, D)[:, rng.permutation(54)].reshape(x_.shape)
shuffled = transformers.factorized_encoder(across, w_space, w_time, heads=HEADS)
print(f"patches shuffled across the frames: {np.abs(shuffled - one).max():.2f}")
joint, apart_ = (8 * 196) ** 2, 8 * 196**2 + 8**2
print(f"pairs compared, 8 frames of 196: joint {joint:,}, factorized {apart_:,}")
vivit = nets.vivit_b()
print(
    f"the real one: {vivit.parameters() / 1e6:.1f} M weights, {vivit.macs() / 1e9:.1f} G MACs for {vivit.input[1]} frames"
)

# %% [markdown]
# ## 10 · Fewer tokens, wider ones
#
# Convolutional networks halve the resolution and double the channels, again and again. The transformers so far don't:
# they carry as many tokens of as many features from the first layer to the last. **MViT** brings the pyramid back. It
# *pools* the queries, the keys and the values, by a small convolution in each channel with a stride. Pool the queries
# by 2 × 2, and a quarter of the tokens come out; pool the keys and values, and each query has less to compare with.

# %%
T, H, W, D = 2, 8, 8, 8
z = rng.normal(size=(1, 1 + T * H * W, D))
w_pool = rng.normal(size=(3, D, 3, 3, 3)) / 5
for stride_q, stride_kv in (((1, 1, 1), (1, 4, 4)), ((1, 2, 2), (1, 4, 4)), ((1, 2, 2), (1, 1, 1))):
    out = transformers.pooling_attention(z, z, z, *w_pool, T, H, W, stride_q=stride_q, stride_kv=stride_kv)
    keys = transformers.pool_tokens(z, w_pool[1], T, H, W, stride_kv).shape[1]
    print(
        f"queries pooled {stride_q}, keys {stride_kv}: {z.shape[1]} tokens → {out.shape[1]}, compared with {keys} keys"
    )

# %% [markdown]
# The class token has no neighbors to be pooled with, and passes by. Where the queries were pooled, MViT's second
# version adds them to the answers: to all, says the paper; to all but the class token's, says the code
# (`residual="patches"`). The first version adds nothing. Its pyramid, block by block
# (nearly all blocks have the same few keys; only where the grid is about to be halved, or has just been, are there more):

# %% alt="MViT block by block: the number of tokens falls in four stages while their features grow from 96 to 768"
mvit = nets.mvit_v1_b()
shapes = {row.path: row.shape for row in mvit.rows()}
blocks = range(16)
asked = [shapes[f"blocks.{i}.attn"][0] for i in blocks]
keys = [shapes[f"blocks.{i}.attn.pool_k.pool"][0] for i in blocks]
features = [shapes[f"blocks.{i}.attn"][1] for i in blocks]
for i in (0, 1, 2, 3, 4, 14, 15):
    print(f"block {i:2}: {asked[i]:6,} queries of {features[i]} features, {keys[i]:5,} keys")
print(f"{mvit.parameters() / 1e6:.1f} M weights, {mvit.macs() / 1e9:.1f} G MACs a clip of {mvit.input[1]} frames")
figure, axes = plt.subplots(1, 2, figsize=(11, 3.2), layout="constrained")
axes[0].step(blocks, asked, where="mid", color=BLUE, label="queries, and answers")
axes[0].step(blocks, keys, where="mid", color=ORANGE, linestyle="--", label="keys and values")
axes[0].set(yscale="log", xlabel="block", ylabel="tokens")
axes[0].legend()
axes[1].bar(blocks, features, color=GREEN)
axes[1].set(xlabel="block", ylabel="features of a token")

# %% [markdown]
# ## 11 · A window that slides
#
# **VTN** is made for long videos: one vector from each frame, hundreds of them, and a transformer that reads them as
# a text. All to all would be too much for hours; so each looks at its neighbors within a window, and a *global* class
# token sees all and is seen by all. The same trick as above shows who looks at whom:

# %% alt="A 33 by 33 table: a diagonal band, and a full first row and first column, those of the class token"
L, window = 33, 7
alike, itself = np.zeros((1, L, L)), np.eye(L)[None]
looked = transformers.sliding_window_attention(alike, alike, itself, window)[0]
figure, ax = plt.subplots(figsize=(4.2, 4.2), layout="constrained")
ax.imshow(looked > 0, cmap="Blues", vmin=0, vmax=1.4)
ax.set(xlabel="who is looked at", ylabel="who asks", title=f"a window of {window}, and the class token")
for length in (250, 1000, 4000):
    print(f"{length:5} frames: all to all {(length + 1) ** 2:12,} pairs, a window of 33 {length * 34 + length + 1:9,}")
vtn = nets.vtn()
print(f"the real one: {vtn.parameters() / 1e6:.1f} M weights, {vtn.macs() / 1e12:.2f} T MACs for {vtn.input[1]} frames")

# %% [markdown]
# A window of 7 reaches 3 frames to each side; how far does a stack of layers reach? As far as a convolution's would:
# 3 more with each layer. The class token is the shortcut.
#
# **Break something.** `neighborhood` counts on tokens in the order t, y, x. Someone stacks them as y, x, t instead
# (each place's moments together), and everything runs. Who looks at whom now?

# %%
T, H, W = 4, 2, 3
numbers = np.arange(T * H * W).reshape(T, H, W)  # what a token is
stacked = numbers.transpose(1, 2, 0).ravel()  # where it was put
for kind in ("time", "space"):
    group = stacked[transformers.neighborhood(T, H, W, kind)[0]]
    places = [tuple(int(i) for i in np.unravel_index(n, (T, H, W))) for n in group]
    print(f'"{kind}" in the wrong order, first group as (t, y, x): {places}')

# %% [markdown]
# The "place through time" holds several places, and the "frame" several moments. The shapes are right, nothing
# is raised, and the loss may fall all the same. Test *who looks at whom*, not only shapes.
#
# ## What to take with you
#
# - A token is a patch or a box of pixels times a matrix: a convolution with stride = kernel.
# - Attention does not know where or when. Positions say it; without them a film is a heap of patches.
# - A scheme is a list of neighborhoods. Count its comparisons, and check whom it reaches.
# - Divided attention meets $N + F + 2$ keys instead of $NF + 1$, for one more attention's weights: count both.
# - Fewer tokens: by looking at frames first (ViViT), by pooling (MViT), by a window (VTN).
#
# Now write four of these yourself: [exercise 08](../exercises/08_video_transformers.ipynb).
