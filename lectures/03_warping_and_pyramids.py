# %% [markdown]
# # 03 · Warping, iteration, pyramids
#
# Lucas–Kanade works for motions below a pixel. A car in a film moves by thirty. What now?
#
# | slide of lecture 9 | section here | operation |
# | --- | --- | --- |
# | Iterative refinement | [1](#1-one-step-is-not-enough) | `flow.iterative_lucas_kanade` |
# | Iterative Lukas-Kanade algorithm | [2](#2-warp-solve-repeat) | `flow.warp`, `flow.inside_frame` |
# | Some implementation issues | [3](#3-some-implementation-issues) | `flow.downsample` |
# | Revisiting the small motion assumption | [4](#4-temporal-aliasing) | `flow.apparent_displacement` |
# | Reduce the resolution! | [5](#5-reduce-the-resolution) | `flow.gaussian_pyramid`, `flow.upsample_flow` |
# | Coarse-to-fine optical flow estimation | [5](#5-reduce-the-resolution) | `flow.coarse_to_fine` |
# | (not in the deck) measuring the error | [6](#6-how-wrong-is-it) | `endpoint_error`, `angular_error`, `fl_all` |
# | (not in the deck) a flow to use | [7](#7-a-flow-good-enough-to-use) | `flow.dense`, `flow.median_filter_flow` |
# | Direct methods · Feature-based methods | [8](#8-direct-or-by-features) | |
# | FlowNet | [9](#9-flownet) | `flow.correlation_volume` |

# %%
import matplotlib.pyplot as plt
import numpy as np

import vidlearn as vl
from vidlearn import video
from vidlearn.flow import plots

cat = video.photograph("chelsea").mean(axis=-1)
gravel = video.photograph("gravel")

# %% [markdown]
# ## 1 · One step is not enough
#
# Think of one line of an image, a hill of brightness that moves to the right. Lucas–Kanade measures how much the
# brightness changed ($I_t$), divides by the slope ($I_x$), and says: that far. If the hill were a straight ramp, it
# would be right at once. It is not; so the first answer is only *closer* than no answer.
#
# Then slide $I_1$ back by that much, and measure again what is *left*. That is Newton's method, in a film.

# %% alt="Four steps of one-dimensional refinement: the moved hill comes to lie on the first one"
x = np.arange(80.0)


def hill(x):
    return 0.1 + 0.8 * np.exp(-((x - 38) ** 2) / 150)


I0, I1, position = hill(x), hill(x - 9), 28
slope = np.gradient(I0)[position - 4 : position + 5]
estimates = [0.0]
for _ in range(4):
    left = np.interp(x + estimates[-1], x, I1) - I0  # what the estimate does not explain yet
    estimates.append(estimates[-1] - float((slope @ left[position - 4 : position + 5]) / (slope @ slope)))
plots.refinement(I0, I1, position, estimates[:4])
print("true displacement 9; estimates", "  ".join(f"{d:.4f}" for d in estimates))

# %% [markdown]
# ## 2 · Warp, solve, repeat
#
# The **iterative Lucas–Kanade algorithm**:
#
# 1. Estimate the velocity at each pixel by solving the Lucas–Kanade equations.
# 2. Warp one image towards the other by the flow found so far.
# 3. Repeat until nothing changes.
#
# *To warp* is to fetch: for each pixel of the new image, look up where the flow says it went, and take the brightness
# from there, between pixels by bilinear interpolation: $\operatorname{out}(x, y) = I(x + u,\; y + v)$. So
# `warp(I1, flow)` should look like $I_0$. (Going the other way, *throwing* each pixel to its place, leaves holes.)

# %% alt="The first frame, the second frame warped back by the true flow, and their difference, which is small"
scene = video.rotation3d(cat, rotation=(0.01, -0.02, 0.06), scale=1.5)
back = vl.flow.warp(scene.I1, scene.flow)
inside = vl.flow.inside_frame(scene.flow)
figure, axes = plt.subplots(1, 3, figsize=(12.4, 4), layout="constrained", width_ratios=(1, 1, 1.15))
plots.image(scene.I0, "$I_0$", axes[0])
plots.image(np.where(inside, back, 1.0), "warp($I_1$, true flow)", axes[1])
plots.signed(np.where(inside, back - scene.I0, 0), "difference", "brightness", axes[2])
print(f"{1 - inside.mean():.1%} of the pixels left the frame (white); the warp can say nothing there")

# %% [markdown]
# How far does iteration carry? A photograph of gravel, which has texture everywhere, moves by several lengths:

# %% alt="Error against iterations: short motions converge, long ones do not"
figure, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
rounds = [0, 1, 2, 3, 5, 8, 12]
for distance, color, marker in zip((0.5, 1, 2, 4, 8), plots.PALETTE, "os^Dv", strict=False):
    moved = video.translation(gravel, displacement=(0.8 * distance, 0.6 * distance), size=(160, 160))
    answers = [vl.flow.iterative_lucas_kanade(moved.I0, moved.I1, window=9, iterations=n) for n in rounds]
    errors = [float(vl.flow.endpoint_error(answer, moved.flow, moved.valid)) for answer in answers]
    ax.semilogy(rounds, errors, marker=marker, color=color, label=f"{distance} px")
    print(f"motion {distance:3} px:", "  ".join(f"{n}: {e:.3f}" for n, e in zip(rounds, errors, strict=True)))
ax.set(xlabel="iterations", ylabel="mean endpoint error (px)", title="iterative Lucas–Kanade, 9 × 9")
ax.legend(title="true motion")
# %% [markdown]
# Motions of a pixel or two are cured by a few rounds. The longer the motion, the more rounds it takes; and beyond some
# length no number of rounds helps, for the first step has already looked at the wrong pebble.
#
# ## 3 · Some implementation issues
#
# - **Warping is not easy.** Its errors must be smaller than the refinement that they are to show. And a pixel that has
#   left the frame must not vote: `inside_frame` says which.
# - **Warp one image, take the derivatives of the other.** Then the derivatives are computed once, not in each round.
#   Our `iterative_lucas_kanade` does so: the slopes are those of $I_0$, the warped one is $I_1$.
# - **Low-pass filter first.** Smooth images are closer to their own linear approximation, and their derivatives are
#   less noisy. Does it help? A motion of 4 px, with some noise:

# %%
fast = video.translation(gravel, displacement=(3.2, 2.4), size=(160, 160))
rng = np.random.default_rng(0)
frames = [frame + rng.normal(0, 0.02, frame.shape) for frame in (fast.I0, fast.I1)]


def low_pass(image, times):
    """The smoothing of `downsample`, without leaving pixels out."""
    for _ in range(times):
        padded = np.pad(image, 2, mode="edge")
        rows = sum(k * padded[i : i + image.shape[0]] for i, k in enumerate((1, 4, 6, 4, 1))) / 16
        image = sum(k * rows[:, i : i + image.shape[1]] for i, k in enumerate((1, 4, 6, 4, 1))) / 16
    return image


for times in (0, 1, 2, 4):
    smooth = [low_pass(frame, times) for frame in frames]
    found = vl.flow.iterative_lucas_kanade(*smooth, window=9, iterations=5)
    error = vl.flow.endpoint_error(found, fast.flow, fast.valid)
    print(f"smoothed {times} times: endpoint error {error:.3f} px")

# %% [markdown]
# A little smoothing helps a lot; more of it washes away what the motion is measured by.
#
# ## 4 · Temporal aliasing
#
# *Is this motion small enough?* Probably not: it is much larger than a pixel, and then the higher-order terms win.
# There is a second trouble, and it is worse. These stripes move to the right by 1, 2, 3 … pixels per frame. Watch
# them turn back:

# %%
wavelength = 8
strips = []
for t in range(16):
    rows = []
    for speed in (1, 3, 5, 7):
        stripes = video.aliased_stripes(speed * t, wavelength=wavelength, size=(24, 96)).I1
        rows += [np.kron(stripes, np.ones((3, 3))), np.ones((6, 288))]
    strips.append(np.vstack(rows))
video.scrubber(
    strips, alt="Four rows of stripes moving by 1, 3, 5 and 7 px per frame: the lower two seem to move left", fps=6
)

# %% [markdown]
# The rows move by 1, 3, 5 and 7 px per frame, *all to the right*. A pattern that repeats every $\lambda = 8$ px looks
# the same after moving by 7 px to the right or by 1 px to the left; and every method, your eye included, takes the
# shorter way. This is why wheels in films turn backwards.

# %% alt="Apparent against true displacement: a sawtooth, and the measurements of Lucas–Kanade on it"
true = np.array([d for d in np.arange(0, 17, 0.5) if d % wavelength != wavelength / 2])  # at λ/2 both ways are equal
apparent = vl.flow.apparent_displacement(true, float(wavelength))
measured = []
for distance in true:
    stripes = video.aliased_stripes(float(distance), wavelength=wavelength, size=(32, 64))
    found = vl.flow.iterative_lucas_kanade(stripes.I0, stripes.I1, window=15, iterations=10)
    measured.append(float(np.median(found[8:-8, 16:-16, 0])))
figure, ax = plt.subplots(figsize=(6.8, 4), layout="constrained")
ax.plot(true, true, color="0.6", linestyle=":", label="the truth")
ax.plot(true, apparent, color=plots.BLUE, label="apparent_displacement")
ax.plot(true, measured, "o", color=plots.VERMILION, markersize=5, label="iterative Lucas–Kanade, median")
ax.axhspan(-wavelength / 2, wavelength / 2, color=plots.SKY, alpha=0.15)
ax.set(xlabel="true displacement (px per frame)", ylabel="what is seen (px per frame)", ylim=(-6, 10))
ax.legend(loc="upper left", fontsize=8)
for d in (1.0, 3.0, 5.0, 7.0):
    k = list(true).index(d)
    print(f"true {d:.0f} px: seen {measured[k]:+.2f} px, predicted {apparent[k]:+.0f} px")

# %% [markdown]
# Real images are no stripes, but they do hold many pixels of the same brightness. *How do we know which
# correspondence is the right one?* By making sure that the nearest one is: the motion must stay below half the
# wavelength of the finest detail. We can't slow the world down. But we can drop the fine detail.
#
# ## 5 · Reduce the resolution!
#
# Smooth the image and keep every other pixel: what moved by 16 px now moves by 8. Do it again: 4, 2, 1. A stack of such
# images is a *Gaussian pyramid*.

# %% alt="A Gaussian pyramid: the photograph in five sizes"
color = video.photograph("astronaut")
levels = vl.flow.gaussian_pyramid(color, 5)
plots.pyramid(levels)
for k, level in enumerate(levels):
    print(f"level {k}: {level.shape[1]:3} × {level.shape[0]:3} px, a motion of 16 px is {16 / 2**k:g} px here")

# %% [markdown]
# **Coarse to fine.** Solve at the top, where the motion is small. Carry the flow one level down: twice as many pixels,
# *and every vector twice as long*. Warp with it; what remains is small again. Solve for it; go on.

# %% alt="The flow on each level of the pyramid, from coarse to fine, and its growing detail"
big = video.rotation3d(cat, rotation=(0.02, -0.03, 0.12), scale=1.5)
pyramids = [vl.flow.gaussian_pyramid(image, 5) for image in (big.I0, big.I1)]
flow, stages = np.zeros((*pyramids[0][-1].shape, 2)), []
for J0, J1 in reversed(list(zip(*pyramids, strict=True))):
    if flow.shape[:2] != J0.shape:
        flow = vl.flow.upsample_flow(flow, *J0.shape)
    warped = vl.flow.warp(J1, flow)  # what is left to find is small
    inside = vl.flow.inside_frame(flow)
    Ix, Iy, _ = vl.flow.spatiotemporal_gradients(J0, J0)
    flow = flow + vl.flow.lucas_kanade(Ix * inside, Iy * inside, (warped - J0) * inside, window=9)
    stages.append(flow)
figure, axes = plt.subplots(1, 4, figsize=(13, 3.7), layout="constrained")
longest = float(np.hypot(*np.moveaxis(big.flow, -1, 0)).max())
for ax, stage in zip(axes, stages[::2], strict=False):
    scale = big.I0.shape[0] / stage.shape[0]
    plots.flow_color(stage * scale, max_flow=longest, title=f"{stage.shape[1]} × {stage.shape[0]} px", key=False, ax=ax)
plots.flow_color(big.flow, max_flow=longest, title="the truth", ax=axes[3])
# %% [markdown]
# Those dozen lines are the algorithm, with one step of Lucas–Kanade per level. `flow.coarse_to_fine` takes several on
# each level. Watch how the number of levels decides, and whether more rounds are always better: in a window with
# little in it, a step can also lead away.

# %%
big_error = {"one step per level": vl.flow.endpoint_error(flow, big.flow, big.valid)}
for n in (1, 2, 3, 4, 5):
    found = vl.flow.coarse_to_fine(big.I0, big.I1, window=9, iterations=5, levels=n)
    big_error[f"coarse_to_fine, {n} levels"] = vl.flow.endpoint_error(found, big.flow, big.valid)
print(f"the longest motion is {longest:.1f} px")
for name, error in big_error.items():
    print(f"{name:26} endpoint error {float(error):7.3f} px")

# %% [markdown]
# ## 6 · How wrong is it?
#
# - **Endpoint error** (EPE): how far the arrow's tip is from where it should be, in pixels.
# - **Angular error**: the angle between $(u, v, 1)$ and the truth, in degrees; kind to errors in fast motion.
# - **Fl-all**: the share of pixels that are simply wrong, by more than 3 px *and* more than 5 % of the motion.
#
# Now for something harder than a photograph that slides: two *real* photographs of a motorcycle, taken from two places,
# with a true flow that the makers of the data set measured with structured light (Scharstein et al., GCPR 2014).

# %% alt="The motorcycle pair, its measured flow, and the regions where no truth is known"
pair = video.real_pair()
half = [vl.flow.downsample(image) for image in (pair.I0, pair.I1)]  # half size: quicker to compute
truth = vl.flow.resize_flow(np.nan_to_num(pair.flow), *half[0].shape[:2])
known = vl.flow.downsample(pair.valid.astype(float)) > 0.999
longest = float(np.hypot(*np.moveaxis(truth[known], -1, 0)).max())
figure, axes = plt.subplots(1, 3, figsize=(14, 3.6), layout="constrained")
plots.image(half[0], "$I_0$", axes[0])
plots.image(half[1], "$I_1$", axes[1])
plots.flow_color(
    np.where(known[..., None], truth, np.nan), max_flow=longest, title="measured flow; black: unknown", ax=axes[2]
)
# %%
P0, P1 = (image.mean(axis=-1) for image in half)
answers = {
    "no motion": np.zeros_like(truth),
    "lucas_kanade": vl.flow.lucas_kanade(*vl.flow.spatiotemporal_gradients(P0, P1), window=15),
    "iterative_lucas_kanade": vl.flow.iterative_lucas_kanade(P0, P1, window=15, iterations=5),
    "coarse_to_fine": vl.flow.coarse_to_fine(P0, P1, window=15, iterations=5),
    "dense": vl.flow.dense(P0, P1),
}
print(f"{'':24} {'EPE (px)':>9} {'angle (°)':>10} {'Fl-all (%)':>11}")
for name, found in answers.items():
    measures = [f(found, truth, known) for f in (vl.flow.endpoint_error, vl.flow.angular_error, vl.flow.fl_all)]
    print(f"{name:24} {float(measures[0]):9.2f} {float(measures[1]):10.2f} {float(measures[2]):11.1f}")

# %% alt="Endpoint error of coarse-to-fine and of dense on the motorcycle; dense is wrong mostly at borders"
figure, axes = plt.subplots(1, 2, figsize=(13, 4), layout="constrained")
for ax, name in zip(axes, ("coarse_to_fine", "dense"), strict=True):
    plots.error_heatmap(answers[name], truth, known, max_error=5, title=name, ax=ax)

# %% [markdown]
# Coarse-to-fine Lucas–Kanade finds most of it. What it gets wrong: blank surfaces, where nothing pins the flow down,
# and the borders of things, where the window mixes two motions.
#
# ## 7 · A flow good enough to use
#
# `flow.dense` keeps the warp, the pyramid and the flow equation, and repairs those two weaknesses. Instead of a
# window it lets *all* pixels decide together: each wants its equation satisfied, and each wants to move as its
# neighbors do. And it measures disagreement by its size, not its square, so that a few pixels may disagree strongly:
# an edge in the flow. After each round, a median of the neighbors removes arrows that have gone astray:

# %%
spiked = answers["dense"].copy()
astray = rng.random(spiked.shape[:2]) < 0.05
spiked[astray] = rng.uniform(-30, 30, (int(astray.sum()), 2))
cured = vl.flow.median_filter_flow(spiked)
for name, found in (("as it was", answers["dense"]), ("5 % astray", spiked), ("their 3 × 3 median", cured)):
    print(f"{name:20} endpoint error {float(vl.flow.endpoint_error(found, truth, known)):.2f} px")

# %% [markdown]
# On the film of lecture 01 there is no truth to compare with. But brightness constancy can be tested without one:
# warp the next frame back, and look at what is left.

# %% alt="A frame of the film, its dense flow in color and as arrows" figure="film"
clip = np.stack([frame for _, frame in zip(range(20), video.frames(video.clip_path()), strict=False)])
grey = (clip / 255).mean(axis=-1)
F0, F1 = grey[8], grey[9]
found = vl.flow.dense(F0, F1)
figure, axes = plt.subplots(1, 2, figsize=(13, 3.9), layout="constrained")
plots.quiver(clip[8], found, step=10, title="flow.dense, as arrows", ax=axes[0])
plots.flow_color(found, title="the same in color", ax=axes[1])
inside = vl.flow.inside_frame(found)
for name, motion in (("no motion", np.zeros_like(found)), ("flow.dense", found)):
    left = vl.flow.brightness_constancy_residual(F0, F1, motion)
    print(f"{name:11} mean |I1(x + u, y + v) − I0(x, y)| = {np.abs(left)[inside].mean():.4f}")

# %% [markdown]
# ## 8 · Direct, or by features?
#
# What we did here is a **direct method**: motion straight from brightness derivatives. The other family extracts
# *features* (corners, textured patches, such as SIFT), matches those, and fits a motion to the matches with RANSAC.
#
# | | direct (optical flow) | by features (e.g. SIFT + RANSAC + regression) |
# | --- | --- | --- |
# | gives | a vector at every pixel | vectors at some points |
# | a global motion | fitted at once, with no matches between | fitted to the matches |
# | a change of appearance | hurts | hurts less |
# | suits | video, motion below about 10 px | large motion, tens of pixels |
#
# Brightness constancy is the price of being dense:

# %%
print(f"{'':22} {'direct: dense':>14}")
for gain in (1.0, 1.1, 1.3):
    error = vl.flow.endpoint_error(vl.flow.dense(P0, np.clip(P1 * gain, 0, 1)), truth, known)
    print(f"second frame × {gain:<6} {float(error):11.2f} px")

# %% [markdown]
# ## 9 · FlowNet
#
# In 2015, Fischer et al. asked a convolutional network for the flow: two frames in, flow out, trained on synthetic
# pairs whose truth is known. (The deck gives about 1 second per image, against about 17 for the traditional methods
# of the time.) In its variant *FlowNetC* one layer is not learned at all. It *compares*: the features of each pixel
# of the first frame, with those of all pixels around the same place in the second:
#
# $$ c(d_y, d_x, y, x) = \frac{1}{C} \sum_{k=1}^{C} f_1(k,\, y,\, x)\; f_2(k,\, y + d_y,\, x + d_x) $$
#
# That is a **correlation volume**: for each pixel, a small image of how well each displacement fits. Let us make one,
# with very plain features: the brightness of the $7 \times 7$ patch around a pixel, with mean 0 and length 1.


# %% alt="Correlation of one pixel with its surroundings at a corner, on an edge and on a flat patch"
def patch_features(image, reach=3):
    padded = np.pad(image, reach, mode="edge")
    size = 2 * reach + 1
    shifted = [padded[j : j + image.shape[0], i : i + image.shape[1]] for j in range(size) for i in range(size)]
    features = np.stack(shifted) - np.mean(shifted, axis=0)
    return features * np.sqrt(size**2 / ((features**2).sum(axis=0) + 1e-3))


jump = video.translation(cat, displacement=(5.0, -3.0), size=(128, 128), scale=1.5)
noisy = [frame + rng.normal(0, 0.02, frame.shape) for frame in (jump.I0, jump.I1)]
volume = vl.flow.correlation_volume(*map(patch_features, noisy), 8)
gradients = vl.flow.spatiotemporal_gradients(jump.I0, jump.I0)[:2]
eigenvalues = vl.flow.structure_tensor_eigenvalues(vl.flow.structure_tensor(*gradients, window=7))
inner = np.s_[16:-16, 16:-16]


def place(score):
    y, x = np.unravel_index(np.argmax(score[inner]), score[inner].shape)
    return int(x) + 16, int(y) + 16


spots = {
    "corner": place(eigenvalues[..., 1]),
    "edge": place(eigenvalues[..., 0] - 100 * eigenvalues[..., 1]),
    "flat": place(-eigenvalues[..., 0]),
}
figure, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
for ax, (name, at) in zip(axes, spots.items(), strict=True):
    plots.correlation(volume, at, truth=jump.flow[at[1], at[0]], title=f"{name}, x = {at[0]}, y = {at[1]}", ax=ax)
print("the volume has the shape", volume.shape, "for 17 × 17 displacements")

# %% [markdown]
# A peak, a ridge, a plain: the bowl, the valley and the plain of lecture 02, seen again. Features differ; the aperture
# problem stays. The displacement with the highest peak is already a flow, in whole pixels, and it needs no small
# motion:

# %%
best = volume.argmax(axis=0)
matched = np.stack([best % 17 - 8, best // 17 - 8], axis=-1).astype(float)
labels = vl.flow.classify_structure(eigenvalues, min_eigenvalue=0.02)
for number, name in enumerate(("flat", "edge", "corner")):
    where = jump.valid & (labels == number)
    exact = np.mean((matched[where] == jump.flow[where]).all(axis=-1))
    print(f"{name:7} the highest peak is the truth at {exact:.1%} of the pixels")

# %% [markdown]
# The network learns better features than patches, and it learns what to do where the peak is not clear: to look at the
# neighbors, as Lucas and Kanade did.
#
# ## 10 · Something to break
#
# The most expensive slip in coarse-to-fine is to carry the flow down and forget that the vectors grow too. The picture
# looks *almost* right:


# %%
def upsample_flow(flow, height, width):
    doubled = vl.flow.upsample_flow(flow, height, width)
    return doubled / 2


vl.check(upsample_flow)

# %% [markdown]
# Now break it in your own way:
#
# - Give `coarse_to_fine` one level too many, until the top is a single pixel. Does it hurt?
# - Let the stripes of section 4 move by 5 px, and use `coarse_to_fine`. Why does the pyramid *not* help here?
# - Warp with the flow's sign turned round. How much larger does the residual become than with no motion at all?
#
# **What we have:** a dense flow of real films. **What comes next:** networks that watch films, and that are fed with
# it. First, [exercise 03](../exercises/03_warping_and_pyramids.ipynb).
