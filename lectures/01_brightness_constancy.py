# %% [markdown]
# # 01 · Brightness constancy and the aperture problem
#
# Two photographs, taken a moment apart. Which way did each point go?
#
# | slide of lecture 9 | section here | operation |
# | --- | --- | --- |
# | Optical flow · Why estimate motion? | [1](#1-why-estimate-motion) | `flow.dense` (a look ahead) |
# | Problem definition: optical flow | [2](#2-the-problem) | `flow.brightness_constancy_residual` |
# | Optical flow constraints | [3](#3-small-motion-makes-it-linear) | `flow.spatiotemporal_gradients` |
# | Optical flow equation | [3](#3-small-motion-makes-it-linear) | `flow.linearized_residual` |
# | 2 unknowns, one equation | [4](#4-two-unknowns-one-equation) | `flow.normal_flow` |
# | Aperture problem | [5](#5-the-aperture-problem) | `flow.normal_flow` |
# | The barber pole illusion | [6](#6-the-barber-pole) | `flow.normal_flow` |
#
# The deck combines slides of Rick Szeliski, Steve Seitz, Alyosha Efros, Bill Freeman and Fredo Durand. Every number and
# every picture on this page is computed by the cell above it.

# %%
import matplotlib.pyplot as plt
import numpy as np

import vidlearn as vl
from vidlearn import video
from vidlearn.flow import plots

# %% [markdown]
# ## 1 · Why estimate motion?
#
# A film is more than a pile of photographs. To steady a shaky camera, to stitch a panorama, to follow a player across
# the field, to tell *opening* a door from *closing* it, one needs to know how the picture moves. The *optical flow* is
# the plainest form of that knowledge: for each pixel, an arrow from where its point is now to where it will be in the
# next frame.
#
# Here is a real film, and beside it the flow that we will be able to compute by the end of lecture 03. Hue is direction
# and saturation is speed; white stands still. Drag the slider.

# %%
clip = np.stack([frame for _, frame in zip(range(12), video.frames(video.clip_path()), strict=False)])
grey = (clip / 255).mean(axis=-1).astype(np.float32)
flows = [vl.flow.dense(grey[t], grey[t + 1]) for t in range(len(grey) - 1)]
longest = float(np.percentile(np.hypot(*np.moveaxis(np.stack(flows), -1, 0)), 99.5))
video.scrubber(
    [np.hstack([clip[t], video.flow_to_color(flow, max_flow=longest)]) for t, flow in enumerate(flows)],
    alt="A time lapse of a city, and its optical flow in color",
)

# %% [markdown]
# ## 2 · The problem
#
# Call the two frames $I_0$ and $I_1$ (the deck says $H$ and $I$). For each pixel $(x, y)$ of $I_0$ we look for the
# displacement $(u, v)$, in pixels, to the right and down, that leads to the same point in $I_1$.
#
# What can we go by? Two assumptions carry this whole lecture:
#
# - **Brightness constancy.** A point looks the same in both frames: $I_1(x + u,\; y + v) = I_0(x, y)$.
# - **Small motion.** Points do not move far. (Section 3 will show what *far* means.)
#
# To see whether the first one is any good, we need frames whose true motion is known. This photograph has been made to
# slide by exactly $(1.5, -0.75)$: one and a half pixels to the right, three quarters of a pixel up.

# %% alt="Two frames that look alike, and their difference, which is large along edges"
photo = video.photograph("astronaut").mean(axis=-1)
scene = video.translation(photo, displacement=(1.5, -0.75), scale=2.0)
figure, axes = plt.subplots(1, 3, figsize=(12, 3.7), layout="constrained")
plots.image(scene.I0, "$I_0$", axes[0])
plots.image(scene.I1, "$I_1$", axes[1])
plots.signed(scene.I1 - scene.I0, "$I_1 - I_0$", "brightness", axes[2])

# %% [markdown]
# The eye hardly sees a change, yet the difference of the two frames is there wherever the brightness has an edge.
#
# *How wrong is a guess?* Follow the guessed $(u, v)$ into $I_1$, and compare what is there with $I_0$:
#
# $$ r(u, v) = I_1(x + u,\; y + v) - I_0(x, y) $$
#
# This is the **brightness constancy residual**, before any approximation. The true flow should make it vanish.


# %%
def everywhere(u, v):
    """The same motion at every pixel."""
    return np.broadcast_to([float(u), float(v)], scene.flow.shape)


def typical(residual, where):
    return float(np.abs(residual[where]).mean())


nothing = vl.flow.brightness_constancy_residual(scene.I0, scene.I1, everywhere(0, 0))
truth = vl.flow.brightness_constancy_residual(scene.I0, scene.I1, scene.flow)
print(f"no motion:     mean |r| = {typical(nothing, scene.valid):.4f}")
print(f"true motion:   mean |r| = {typical(truth, scene.valid):.4f}")

# %% [markdown]
# Almost zero, not exactly: at half a pixel there is no pixel, so the brightness has to be interpolated, here from the
# four neighbors. That is one of the small errors that real methods live with.
#
# Could we find the flow by trying guesses? Let us try all motions in a small square, and draw how well each one fits.

# %% alt="A valley of residuals over the plane of motions, with its lowest point at the true motion"
guesses = np.linspace(-3, 3, 25)
fit = [
    [typical(vl.flow.brightness_constancy_residual(scene.I0, scene.I1, everywhere(u, v)), scene.valid) for u in guesses]
    for v in guesses
]
figure, ax = plt.subplots(figsize=(5.6, 4.6), layout="constrained")
shown = ax.contourf(guesses, guesses, fit, 20, cmap="cividis")
ax.plot(*scene.flow[0, 0], "*", color="white", markeredgecolor="black", markersize=15, label="the truth")
ax.set(
    xlabel="u (px per frame)",
    ylabel="v (px per frame), down",
    ylim=(3, -3),
    aspect="equal",
    title="mean |r| of each guess",
)
ax.legend()
figure.colorbar(shown, ax=ax, label="brightness")
# %% [markdown]
# A valley with its bottom at the truth. So the equation *knows* the answer. But trying every motion at every pixel is
# slow, and the picture above used the fact that the whole image moves as one. Can we solve for $(u, v)$ instead?
#
# ## 3 · Small motion makes it linear
#
# The unknowns $u$ and $v$ hide inside the image function. If they are small, a Taylor series pulls them out:
#
# $$ I(x + u,\; y + v) \approx I(x, y) + I_x\,u + I_y\,v $$
#
# with the slopes $I_x = \partial I/\partial x$ and $I_y = \partial I/\partial y$, in brightness per pixel. Put this
# into $r = 0$, and write $I_t = I_1 - I_0$ for what has changed from frame to frame:
#
# $$ 0 = I_x\,u + I_y\,v + I_t = \nabla I \cdot (u, v) + I_t $$
#
# This is the **optical flow equation**: linear in the unknowns, and made of three images that can simply be computed.

# %% alt="The three derivatives of the photograph: across, down and in time"
Ix, Iy, It = vl.flow.spatiotemporal_gradients(scene.I0, scene.I1)
figure, axes = plt.subplots(1, 3, figsize=(12, 3.7), layout="constrained")
plots.signed(Ix, "$I_x$: upright edges", ax=axes[0])
plots.signed(Iy, "$I_y$: level edges", ax=axes[1])
plots.signed(It, "$I_t$: edges that move", "brightness per frame", axes[2])
# %% [markdown]
# Look closely: $I_t$ is a mixture of the other two. It has to be, says the equation: $I_t = -1.5\,I_x + 0.75\,I_y$.
#
# How much did the approximation cost? Compare the residual *before* and *after* linearization, at the true motion, for
# motions of growing size.

# %% alt="Before linearization the residual keeps one small height; after it, it grows steeply with the motion"
sizes = np.array([0.125, 0.25, 0.5, 1, 2, 4, 8, 16])
before, after = [], []
for size in sizes:
    moved = video.translation(photo, displacement=(0.8 * size, 0.6 * size), scale=2.0)
    gradients = vl.flow.spatiotemporal_gradients(moved.I0, moved.I1)
    before.append(typical(vl.flow.brightness_constancy_residual(moved.I0, moved.I1, moved.flow), moved.valid))
    after.append(typical(vl.flow.linearized_residual(*gradients, moved.flow), moved.valid))

figure, ax = plt.subplots(figsize=(6.2, 4), layout="constrained")
ax.loglog(sizes, before, "o-", color=plots.BLUE, label="before linearization")
ax.loglog(sizes, after, "s--", color=plots.VERMILION, label="after linearization")
ax.set(xlabel="length of the true motion (px per frame)", ylabel="mean |r| at the truth (brightness)")
ax.legend()
for size, exact, linear in zip(sizes, before, after, strict=True):
    print(f"{size:7.3f} px   before {exact:.5f}   after {linear:.5f}")

# %% [markdown]
# The blue line does not care how large the motion is; its height is the price of interpolating between pixels. The red
# line is what *small motion* means. As $u$ and $v$ go to zero the linear equation becomes exact, as the slide says;
# below about a pixel it loses little; at several pixels it says next to nothing. (Lecture 03 is about getting away
# with large motions all the same.)
#
# ## 4 · Two unknowns, one equation
#
# *How many unknowns and equations per pixel?* Two unknowns, one equation. In the plane of all motions $(u, v)$, a
# pixel's equation is a line: each point of it explains what the pixel saw equally well.

# %% alt="The constraint of one pixel: a line of motions that fit, with the shortest and the true one on it"
small = video.translation(photo, displacement=(0.5, 0.25), scale=2.0)
Ix, Iy, It = vl.flow.spatiotemporal_gradients(small.I0, small.I1)
bend = np.hypot(*np.gradient(np.hypot(Ix, Iy)))  # where the slope itself changes, two frames measure it badly
y, x = np.unravel_index(np.argmax(np.minimum(np.abs(Ix), np.abs(Iy)) - 2 * bend), Ix.shape)
plots.constraint_lines(Ix[y, x], Iy[y, x], It[y, x], flow=small.flow[y, x], title=f"the pixel x = {x}, y = {y}")
print(f"({Ix[y, x]:.3f}) u + ({Iy[y, x]:.3f}) v + ({It[y, x]:.3f}) = 0")

# %% [markdown]
# The line is at right angles to the gradient. So:
#
# - the component of the flow **along the gradient** is determined: it is the distance of the line from the origin;
# - the component **along the edge** is unknown: you may slide along the line as you like.
#
# The point of the line nearest to the origin is the **normal flow**, the shortest motion that fits:
#
# $$ n = -\,\frac{I_t}{|\nabla I|^2}\,\nabla I $$
#
# It is all that one pixel can tell. Here it is for the whole photograph, which slides by $(0.5, 0.25)$ everywhere:

# %% alt="Normal flow arrows on the photograph: each points across its edge, not along the true motion"
normal = vl.flow.normal_flow(Ix, Iy, It)
strong = np.hypot(Ix, Iy) > 0.03
part = np.s_[15:95, 70:190]
shown = np.where(strong[..., None], normal, np.nan)
plots.quiver(small.I0[part], shown[part], step=5, title="normal flow, where the gradient is clear")
# %%
along = np.hypot(*np.moveaxis(normal[strong], -1, 0))
length = np.hypot(*small.flow[0, 0])
print(f"true length               {length:.3f} px")
print(f"normal flow, median       {np.median(along):.3f} px")
print(f"longer than 1.2 × truth   {np.mean(along > 1.2 * length):.1%} of the pixels")

# %% [markdown]
# The normal flow is the truth's shadow on the gradient, and a shadow is no longer than what casts it; the few arrows
# that are longer show where neighboring pixels measured the slope badly. Arrows on the two sides of a head point in
# different directions, though everything moves as one.
#
# ## 5 · The aperture problem
#
# Look at a moving edge through a round hole. It moves to the right; or does it move down and to the right, or up?

# %%
times = np.linspace(0, 6, 9)
ways = {"to the right": (1.0, 0.0), "right and down": (1.0, 0.8), "right and up": (1.0, -1.2)}


def larger(picture, times=2):
    return np.kron(picture, np.ones((times, times)))


def seen(velocity, t, through_hole):
    """One frame of an upright edge with a notch far outside the hole."""
    yy, xx = np.mgrid[:96, :96] - 47.5
    u, v = velocity
    edge = 0.5 + 0.5 * np.tanh((xx - u * (t - 3)) / 1.5)
    notch = np.hypot(xx - u * (t - 3), yy + 36 - v * (t - 3)) < 9
    picture = np.where(notch, 0.15, 0.25 + 0.6 * edge)
    hole = np.hypot(xx, yy) < 18
    return np.where(hole, picture, 0.95 if through_hole else picture)


video.scrubber(
    [larger(np.hstack([seen(way, t, through_hole=True) for way in ways.values()])) for t in times],
    alt="Three edges moving in three directions, seen through a round hole: they look the same",
    labels=[f"t = {t:.2f}" for t in times],
)

# %% [markdown]
# Three motions, one sight. Now take the sheet away:

# %%
video.scrubber(
    [larger(np.hstack([seen(way, t, through_hole=False) for way in ways.values()])) for t in times],
    alt="The same three edges without the sheet: a notch shows that they move in three directions",
    labels=[f"t = {t:.2f}" for t in times],
)

# %%
inside = np.hypot(*(np.mgrid[:96, :96] - 47.5)) < 18
first = seen(ways["to the right"], 5.0, through_hole=True)
for name, way in ways.items():
    there = seen(way, 5.0, through_hole=True)
    print(f"{name:15} true (u, v) = {way}   differs inside the hole by {np.abs(there - first)[inside].max():.1e}")

# %% [markdown]
# Inside the hole the three films are *the same film*. No method, however clever, can tell them apart from what is in
# there; it needs the notch, something that is not a straight edge. Every pixel looks at the world through such a
# hole, as large as the neighborhood that its derivatives are computed from.

# %% alt="For three true motions of an edge the normal flow is the same arrow to the right"
figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
for ax, (name, way) in zip(axes, ways.items(), strict=True):
    edge = video.moving_edge(tuple(0.5 * c for c in way), softness=4, size=(24, 24))
    Ix, Iy, It = vl.flow.spatiotemporal_gradients(edge.I0, edge.I1)
    row = 12
    plots.constraint_lines(Ix[row, 12], Iy[row, 12], It[row, 12], flow=edge.flow[row, 12], limit=1.0, title=name, ax=ax)

# %% [markdown]
# One line, three truths on it; the same normal flow.
#
# ## 6 · The barber pole
#
# A barber's pole turns about its axis, so every point on it moves *sideways*. Yet the stripes seem to climb. Drag:

# %%
poles = [video.barber_pole(speed=1.5 * t, angle=-45).I1 for t in range(8)]
video.scrubber(
    [larger(pole, 3) for pole in poles],
    alt="A striped pole that turns: the stripes seem to move along it",
)

# %%
pole = video.barber_pole(speed=0.5, angle=-45)
Ix, Iy, It = vl.flow.spatiotemporal_gradients(pole.I0, pole.I1)
normal = vl.flow.normal_flow(Ix, Iy, It)
on_pole = pole.valid & (pole.flow[..., 0] > 0)
clear = on_pole & (np.hypot(Ix, Iy) > 0.02)
u, v = np.median(normal[clear], axis=0)
print(f"true motion on the pole:    (u, v) = {tuple(pole.flow[on_pole][0].tolist())}")
print(f"normal flow, median there:  (u, v) = ({u:.3f}, {v:.3f})")

# %% alt="Normal flow on the barber pole: slanted arrows, across the stripes"
figure, axes = plt.subplots(1, 2, figsize=(8.6, 6), layout="constrained")
plots.quiver(pole.I0, np.where(on_pole[..., None], pole.flow, np.nan), step=6, title="true motion", ax=axes[0])
plots.quiver(pole.I0, np.where(clear[..., None], normal, np.nan), step=6, title="normal flow", ax=axes[1])

# %% [markdown]
# A motion to the right has become a slanted one, slower in $u$, and with an upward part that is not there at all.
# Your eye is fooled the same way. It then trusts the *ends* of the stripes, which run along the pole's long sides, and
# sees the pole climb.
#
# ## 7 · Something to break
#
# The most common slip in this lecture is a sign. Here is a normal flow that forgets to move $I_t$ to the other side.
# Before you read the card: on what smallest input would it be wrong?


# %%
def normal_flow(Ix, Iy, It):
    squared = Ix**2 + Iy**2
    return np.stack([It * Ix, It * Iy], axis=-1) / np.where(squared > 0, squared, 1)[..., None]


vl.check(normal_flow)

# %% [markdown]
# Now break it in your own way:
#
# - Divide by the gradient's length instead of its square. What unit does the answer have then?
# - Make the photograph slide by 8 px instead of half a pixel. Where does the normal flow still point the right way?
# - Give `normal_flow` the gradients of two *identical* frames. What should it say, and does it?
#
# **What we have:** one equation per pixel, and with it one component of the flow. **What is missing:** the other one.
# The next lecture gets it from the neighbors. First, [exercise 01](../exercises/01_brightness_constancy.ipynb).
