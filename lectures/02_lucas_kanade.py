# %% [markdown]
# # 02 · Lucas–Kanade, and when it can be solved
#
# One pixel gives one equation for two unknowns. Where does the second one come from?
#
# | slide of lecture 9 | section here | operation |
# | --- | --- | --- |
# | Solving the aperture problem | [1](#1-ask-the-neighbors) | `flow.lucas_kanade` |
# | Lukas-Kanade flow | [2](#2-least-squares) | `flow.structure_tensor`, `flow.lucas_kanade` |
# | RGB version | [3](#3-color-75-equations) | `flow.lucas_kanade` |
# | Conditions for solvability | [4](#4-when-can-it-be-solved) | `flow.structure_tensor_eigenvalues` |
# | When is this solvable? | [4](#4-when-can-it-be-solved) | `flow.condition_number` |
# | Eigenvectors of AᵀA | [4](#4-when-can-it-be-solved) | `flow.structure_tensor` |
# | Local patch analysis | [5](#5-three-patches) | `flow.structure_tensor_eigenvalues` |
# | Interpreting the eigenvalues · Observation | [6](#6-reading-the-eigenvalues) | `flow.classify_structure` |
# | Motion models · Affine motion | [7](#7-one-motion-for-the-whole-image) | `flow.motion_field`, `flow.fit_motion` |
# | Errors in Lukas-Kanade | [8](#8-when-the-assumptions-break) | `flow.endpoint_error` |
#
# (The deck writes *Lukas*; the paper is B. D. Lucas and T. Kanade, IJCAI 1981.)

# %%
import matplotlib.pyplot as plt
import numpy as np

import vidlearn as vl
from vidlearn import video
from vidlearn.flow import plots

photo = video.photograph("astronaut")
scene = video.translation(photo.mean(axis=-1), displacement=(0.6, -0.35), scale=2.0)
Ix, Iy, It = vl.flow.spatiotemporal_gradients(scene.I0, scene.I1)

# %% [markdown]
# ## 1 · Ask the neighbors
#
# In [lecture 01](01_brightness_constancy.ipynb) a pixel drew a line in the plane of motions: all $(u, v)$ that it could
# accept. A neighbor draws another line. *If both move alike*, the motion must lie on both lines: where they cross.
#
# That "if" is the idea. **Pretend that the pixels around a point share its $(u, v)$.** A $5 \times 5$ window then gives
# 25 equations for the two unknowns:
#
# $$
# \underbrace{\begin{bmatrix} I_x(p_1) & I_y(p_1) \\ \vdots & \vdots \\
# I_x(p_{25}) & I_y(p_{25}) \end{bmatrix}}_{A\;(25 \times 2)}
# \underbrace{\begin{bmatrix} u \\ v \end{bmatrix}}_{d} =
# \underbrace{-\begin{bmatrix} I_t(p_1) \\ \vdots \\ I_t(p_{25}) \end{bmatrix}}_{b\;(25 \times 1)}
# $$
#
# Here are the 25 lines around two points of the photograph, which slides by $(0.6, -0.35)$ everywhere.

# %% alt="Twenty-five lines that cross near the true motion at a corner, and nearly parallel ones on an edge"
eigenvalues = vl.flow.structure_tensor_eigenvalues(vl.flow.structure_tensor(Ix, Iy))
weakest, strongest = eigenvalues[..., 1], eigenvalues[..., 0]
inner = np.s_[8:-8, 8:-8]


def where_largest(score):
    y, x = np.unravel_index(np.argmax(score[inner]), score[inner].shape)
    return y + 8, x + 8


corner = where_largest(weakest)
edge = where_largest(strongest - 300 * weakest)
figure, axes = plt.subplots(1, 2, figsize=(10.4, 4.8), layout="constrained")
for ax, (name, (y, x)) in zip(axes, {"a corner": corner, "an edge": edge}.items(), strict=True):
    window = np.s_[y - 2 : y + 3, x - 2 : x + 3]
    lines = [field[window].ravel() for field in (Ix, Iy, It)]
    plots.constraint_lines(*lines, flow=scene.flow[y, x], limit=1.5, title=f"{name}, x = {x}, y = {y}", ax=ax)

# %% [markdown]
# At the corner, the lines come from all directions and cross close to the star, the true motion. On the edge they are
# nearly one line: 25 neighbors that all say the same thing are worth no more than one.
#
# ## 2 · Least squares
#
# The lines do not cross in *one* point: there is noise, and the derivatives are rough. With more equations than
# unknowns we take the $d$ that comes closest to all of them:
#
# $$ \min_d \; \lVert A d - b \rVert^2 \quad\Longleftrightarrow\quad A^T\!A\, d = A^T b $$
#
# $$
# \begin{bmatrix} \sum I_x I_x & \sum I_x I_y \\ \sum I_x I_y & \sum I_y I_y \end{bmatrix}
# \begin{bmatrix} u \\ v \end{bmatrix} = -\begin{bmatrix} \sum I_x I_t \\ \sum I_y I_t \end{bmatrix}
# $$
#
# By hand, at the corner:

# %%
y, x = corner
window = np.s_[y - 2 : y + 3, x - 2 : x + 3]
A = np.stack([Ix[window].ravel(), Iy[window].ravel()], axis=-1)
b = -It[window].ravel()
d = np.linalg.lstsq(A, b, rcond=None)[0]
print("A is", A.shape, "and b is", b.shape)
print("least squares            d =", d.round(4))
print("normal equations         d =", np.linalg.solve(A.T @ A, A.T @ b).round(4))
print("flow.lucas_kanade there    =", vl.flow.lucas_kanade(Ix, Iy, It)[y, x].round(4))
print("the truth                  =", scene.flow[y, x])
print("AᵀA is flow.structure_tensor there:", np.allclose(A.T @ A, vl.flow.structure_tensor(Ix, Iy)[y, x]))

# %% [markdown]
# The same four sums at every pixel are a whole flow field. On an edge the answer is not unique; we take the shortest
# one, which is the normal flow again.

# %% alt="Lucas–Kanade flow as arrows on the photograph, and its endpoint error, small where there is texture"
flow = vl.flow.lucas_kanade(Ix, Iy, It, window=5)
figure, axes = plt.subplots(1, 2, figsize=(12.4, 5.4), layout="constrained", width_ratios=(1, 1.12))
plots.quiver(scene.I0, flow, step=10, gain=12, title="Lucas–Kanade, 5 × 5", ax=axes[0])
plots.error_heatmap(flow, scene.flow, scene.valid, max_error=1, title="error", ax=axes[1])
# %% [markdown]
# Most arrows agree with one another and with the truth. In the large dark areas there is nothing to hold on to.
#
# ## 3 · Color: 75 equations
#
# A color pixel has three brightnesses, and they move together: $3 \times 25 = 75$ equations per window. Does it help?
# It does against noise, and now and then it is everything. This pattern is printed in colors of *equal grey*:

# %% alt="A color pattern whose grey version is blank; color Lucas–Kanade finds its motion and grey does not"
pattern = video.translation(displacement=(0.5, 0.3), size=(48, 64), seed=3)
red_up, green_down = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])


def paint(values):
    """More red where there is less green; the mean of the channels stays the same."""
    return 0.5 + 0.4 * (2 * values[..., None] - 1) * (red_up - green_down)


C0, C1 = paint(pattern.I0), paint(pattern.I1)
in_color = vl.flow.lucas_kanade(*vl.flow.spatiotemporal_gradients(C0, C1), window=9)
in_grey = vl.flow.lucas_kanade(*vl.flow.spatiotemporal_gradients(C0.mean(-1), C1.mean(-1)), window=9)
plots.images({"color": C0, "its grey version": C0.mean(-1)}, width=4)
print(f"grey, 81 equations:    endpoint error {vl.flow.endpoint_error(in_grey, pattern.flow, pattern.valid):.3f} px")
print(f"color, 243 equations:  endpoint error {vl.flow.endpoint_error(in_color, pattern.flow, pattern.valid):.3f} px")

# %% [markdown]
# And on the noisy photograph, with the same $5 \times 5$ window:

# %%
colored = video.translation(photo, displacement=(0.6, -0.35), scale=2.0)
rng = np.random.default_rng(0)
N0, N1 = (frame + rng.normal(0, 0.02, frame.shape) for frame in (colored.I0, colored.I1))
for name, F0, F1 in (("grey, 25 equations", N0[..., 1], N1[..., 1]), ("color, 75 equations", N0, N1)):
    estimate = vl.flow.lucas_kanade(*vl.flow.spatiotemporal_gradients(F0, F1))
    print(f"{name:20} endpoint error {vl.flow.endpoint_error(estimate, colored.flow, colored.valid):.3f} px")

# %% [markdown]
# ## 4 · When can it be solved?
#
# $A^T\!A$ is a $2 \times 2$ matrix. To solve for $d$ it must be invertible; and since images are noisy, it should be so
# *comfortably*:
#
# - its eigenvalues $\lambda_1 \ge \lambda_2$ should not be too small (else noise decides);
# - its condition $\lambda_1 / \lambda_2$ should not be too large (else one direction is known and the other is not).
#
# What are these eigenvalues? $A^T\!A = \sum \nabla I\, \nabla I^T$ is the *second moment matrix* of the gradients in
# the window, the *structure tensor*. The eigenvector of the larger eigenvalue points where the brightness changes
# fastest; the other one is at right angles to it, along the edge. The eigenvalue is how much changes that way.

# %%
J = vl.flow.structure_tensor(Ix, Iy)
for name, (y, x) in {"corner": corner, "edge": edge}.items():
    values, vectors = np.linalg.eigh(J[y, x])
    small, large = values
    across = vectors[:, 1]
    g = np.array([Ix[y, x], Iy[y, x]])
    angle = np.degrees(np.arccos(min(1.0, abs(across @ g) / np.linalg.norm(g))))
    condition = vl.flow.condition_number(np.array([large, small]))
    print(f"{name:7} λ1 = {large:.4f}  λ2 = {small:.4f}  condition {condition:8.1f}   "
          f"first eigenvector and gradient differ by {angle:.1f}°")  # fmt: skip

# %% [markdown]
# (At the corner, where no eigenvalue is much larger than the other, its direction means little.)
#
# ## 5 · Three patches
#
# The deck's *local patch analysis*, on patches from our photograph. Top: the patch. Middle: the gradients of its
# pixels, as points. Bottom: how much the sum of squares grows if $(u, v)$ is wrong by so much.

# %% alt="A flat patch, an edge and a corner, their gradients, and their error surfaces: a plain, a valley, a bowl"
calm = where_largest(-strongest)
named, slopes = {}, {}
for name, (y, x) in {"low texture": calm, "edge": edge, "high texture": corner}.items():
    window = np.s_[y - 5 : y + 6, x - 5 : x + 6]
    named[name], slopes[name] = scene.I0[window], (Ix[window], Iy[window])
plots.patches(named, slopes)
# %% [markdown]
# A **plain**: every motion fits, $\lambda_1$ and $\lambda_2$ are both small. A **valley**: slide along it for free;
# $\lambda_1 \gg \lambda_2$. That is the aperture problem. A **bowl**: one lowest point, both eigenvalues large.
#
# ## 6 · Reading the eigenvalues
#
# So two numbers tell what a window is good for. Here is every pixel of the photograph in the plane of its eigenvalues
# (logarithmic, for they spread over many powers of ten).

# %% alt="All pixels in the plane of their two eigenvalues, with the regions flat, edge and corner"
plots.eigenvalue_plane(
    eigenvalues,
    points={"low texture": eigenvalues[calm], "edge": eigenvalues[edge], "high texture": eigenvalues[corner]},
)
# %% alt="The photograph with edges and corners marked"
labels = vl.flow.classify_structure(eigenvalues)
plots.structure_labels(scene.I0, labels, title="where the flow can be solved for")
# %% [markdown]
# *Observation.* Optical flow is a problem of two images, **but its difficulty can be read from one of them**: no $I_t$
# went into these labels. That is how feature trackers choose what to follow.
#
# Do the labels keep their promise? The endpoint error of each class, on frames with a little noise:

# %%
noisy0, noisy1 = (frame + rng.normal(0, 0.01, frame.shape) for frame in (scene.I0, scene.I1))
gradients = vl.flow.spatiotemporal_gradients(noisy0, noisy1)
noisy = vl.flow.lucas_kanade(*gradients)
labels = vl.flow.classify_structure(vl.flow.structure_tensor_eigenvalues(vl.flow.structure_tensor(*gradients[:2])))
for number, name in enumerate(("flat", "edge", "corner")):
    where = scene.valid & (labels == number)
    error = vl.flow.endpoint_error(noisy, scene.flow, where)
    print(f"{name:7} {where.mean():6.1%} of the pixels   endpoint error {error:.3f} px")

# %% [markdown]
# ## 7 · One motion for the whole image
#
# Why stop at a window? If the *whole* image moves by a simple law, all pixels can vote on that law's few numbers.
#
# | model | unknowns | when |
# | --- | --- | --- |
# | translation | 2 | far away, small pan |
# | affine | 6 | translation, turn, zoom, shear |
# | projective (the deck: perspective) | 8 | a plane in front of a moving camera |
# | 3D rotation | 3 | a camera that turns on the spot, whatever the depth |
#
# For affine motion, $u = a_1 + a_2 x + a_3 y$ and $v = a_4 + a_5 x + a_6 y$. Put this into the flow equation:
#
# $$ I_x (a_1 + a_2 x + a_3 y) + I_y (a_4 + a_5 x + a_6 y) + I_t \approx 0 $$
#
# Each pixel provides *one linear constraint in six unknowns*; least squares over all pixels finds them, straight from
# brightness derivatives, with no features and no matching. The other models go the same way.

# %%
image = video.photograph("coffee").mean(axis=-1)
true = {
    "translation": [0.6, -0.4],
    "affine": [0.3, 0.004, -0.003, -0.2, 0.003, 0.002],
    "projective": [0.3, 0.004, -0.003, -0.2, 0.003, 0.002, 1e-5, -2e-5],
    "rotation": [0.001, -0.0015, 0.004],
}
scenes = {
    "translation": video.translation(image, true["translation"]),
    "affine": video.affine(image, true["affine"]),
    "projective": video.projective(image, true["projective"]),
    "rotation": video.rotation3d(image, true["rotation"]),
}
height, width = scenes["affine"].I0.shape
fields = {}
for model, moved in scenes.items():
    found = vl.flow.fit_motion(*vl.flow.spatiotemporal_gradients(moved.I0, moved.I1), model=model)
    fields[model] = vl.flow.motion_field(found, height, width, model=model)
    error = vl.flow.endpoint_error(fields[model], moved.flow, moved.valid)
    print(f"{model}: {len(found)} unknowns, {moved.I0.size} equations, endpoint error {error:.4f} px")
    print("   true ", "  ".join(f"{a:9.5f}" for a in true[model]))
    print("   found", "  ".join(f"{a:9.5f}" for a in found))

# %% alt="The flow fields fitted with the four motion models, drawn as arrows"
figure, axes = plt.subplots(2, 2, figsize=(11, 7.6), layout="constrained")
for ax, (model, moved) in zip(axes.flat, scenes.items(), strict=True):
    plots.quiver(moved.I0, fields[model], step=16, title=f"{model}, {len(true[model])} unknowns", ax=ax)

# %% [markdown]
# All of them come out a little too large: on steep slopes the difference of two neighbors is less than the derivative.
# (The next lecture's iteration cures that.) What if the model is *wrong*? Fit each one to the turning camera:

# %%
turning = scenes["rotation"]
gradients = vl.flow.spatiotemporal_gradients(turning.I0, turning.I1)
for model in scenes:
    guess = vl.flow.motion_field(vl.flow.fit_motion(*gradients, model=model), height, width, model=model)
    error = vl.flow.endpoint_error(guess, turning.flow, turning.valid)
    print(f"{model:12} {len(true[model])} unknowns   endpoint error {error:.4f} px")

# %% [markdown]
# A translation can't turn, and fails; the affine and the projective model contain a small turn, and hold. The fewer
# unknowns, the less noise gets in, and the more must be known beforehand.
#
# ## 8 · When the assumptions break
#
# Suppose $A^T\!A$ is easily invertible and there is little noise. What can still go wrong? Exactly what we assumed.
#
# - **Brightness constancy is not satisfied.** Someone switches on a lamp.
# - **The motion is not small.** The next lecture.
# - **A point does not move like its neighbors.** The window reaches across the border of something that moves
#   otherwise.


# %%
def error_of(I0, I1, truth, window=5):
    estimate = vl.flow.lucas_kanade(*vl.flow.spatiotemporal_gradients(I0, I1), window=window)
    return float(vl.flow.endpoint_error(estimate, truth.flow, truth.valid))


print(f"all assumptions hold                  {error_of(scene.I0, scene.I1, scene):.3f} px")
for gain in (1.02, 1.05, 1.1):
    print(f"second frame brighter by {gain - 1:4.0%}         {error_of(scene.I0, scene.I1 * gain, scene):.3f} px")
for distance in (2, 4, 8):
    far = video.translation(photo.mean(axis=-1), displacement=(distance, 0), scale=2.0)
    print(f"a motion of {distance} px                      {error_of(far.I0, far.I1, far):.3f} px")

# %% [markdown]
# *What is the ideal window size?* A large window has more equations, so noise and the aperture problem hurt less. But
# its pixels are further apart, and need not move alike. Here the left half of the image moves up, the right half down.

# %% alt="Error against window size: it falls, then rises where neighbors move differently"
two = np.zeros((128, 128, 2))
two[:, :64, 1], two[:, 64:, 1] = -0.5, 0.5
torn = video.scene_from_flow(two, video.photograph("gravel"), scale=2.0)
torn0, torn1 = (frame + rng.normal(0, 0.02, frame.shape) for frame in (torn.I0, torn.I1))
estimates = {
    w: vl.flow.lucas_kanade(*vl.flow.spatiotemporal_gradients(torn0, torn1), window=w)
    for w in (3, 5, 7, 9, 13, 17, 25, 33, 49)
}
near = np.zeros((128, 128), bool)
near[:, 54:74] = True
figure, ax = plt.subplots(figsize=(6.4, 4), layout="constrained")
for name, where, style in (
    ("less than 10 px from the border", near, "s--"),
    ("elsewhere", ~near, "o-"),
):
    errors = [float(vl.flow.endpoint_error(f, torn.flow, torn.valid & where)) for f in estimates.values()]
    ax.plot(list(estimates), errors, style, color=plots.VERMILION if name[0] == "l" else plots.BLUE, label=name)
    best = list(estimates)[int(np.argmin(errors))]
    print(f"{name:32} best window {best:2d}, endpoint error {min(errors):.3f} px")
ax.set(xlabel="window (px)", ylabel="endpoint error (px)", ylim=(0, None), title="two halves, moving apart")
ax.legend()
# %% alt="The two halves' flow in color, from a small window: noisy, and from a large one: blurred at the border"
figure, axes = plt.subplots(1, 3, figsize=(12, 4.3), layout="constrained")
plots.flow_color(torn.flow, max_flow=1, title="truth", ax=axes[0])
plots.flow_color(estimates[5], max_flow=1, title="5 × 5", key=False, ax=axes[1])
plots.flow_color(estimates[33], max_flow=1, title="33 × 33", key=False, ax=axes[2])

# %% [markdown]
# There is no best window for everywhere. Small ones shiver; large ones blur what should be torn.
#
# ## 9 · Something to break
#
# Here is a structure tensor whose author forgot the window. It has the right shape, and it is symmetric. What is the
# smaller eigenvalue of a single gradient's outer product, always?


# %%
def structure_tensor(Ix, Iy, window=5):
    gradient = np.stack([Ix, Iy], axis=-1)
    return gradient[..., :, None] * gradient[..., None, :]


vl.check(structure_tensor)

# %% [markdown]
# Now break it in your own way:
#
# - Multiply both frames by 10. Which of $\lambda_1$, $\lambda_2$, $\lambda_1/\lambda_2$ and the flow change? Which of
#   the two thresholds of `classify_structure` depends on the camera's exposure?
# - Replace the photograph by `video.moving_edge()`. What is the condition number? What does `lucas_kanade` answer?
# - Make the window as large as the image. Which motion model is that?
#
# **What we have:** a flow wherever two eigenvalues are large, if the motion is below a pixel or so. **What is
# missing:** real motions, which are not that small. First, [exercise 02](../exercises/02_lucas_kanade.ipynb).
