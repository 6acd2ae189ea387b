"""Optical flow from scratch in NumPy, in the order of the slides. Each function is the shortest program that reads like its slide.

Images are ``(H, W)`` or ``(H, W, 3)`` in [0, 1]; flow is ``(H, W, 2)``, (u, v) = (right, down) in pixels per frame, on
the grid of the first image: ``I1(x + u, y + v) = I0(x, y)``. Shapes are checked by :class:`vidlearn.Operation`.

References
----------
.. [L9] Lecture 9, *Video Recognition, Optical Flow* (slides after Szeliski, Seitz, Efros, Freeman and Durand).
.. [LK81] B. D. Lucas and T. Kanade, "An iterative image registration technique with an application to stereo
   vision", IJCAI 1981.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from typing import Literal

    from vidlearn.signature import Array, Bool, Count, Float, Int, OddInt, PositiveFloat, PositiveInt

__all__ = [
    "angular_error",
    "apparent_displacement",
    "brightness_constancy_residual",
    "classify_structure",
    "coarse_to_fine",
    "condition_number",
    "correlation_volume",
    "downsample",
    "endpoint_error",
    "fit_motion",
    "fl_all",
    "gaussian_pyramid",
    "inside_frame",
    "iterative_lucas_kanade",
    "linearized_residual",
    "lucas_kanade",
    "median_filter_flow",
    "motion_field",
    "normal_flow",
    "resize_flow",
    "spatiotemporal_gradients",
    "structure_tensor",
    "structure_tensor_eigenvalues",
    "upsample_flow",
    "warp",
]

#: pull of iterative Lucas–Kanade toward the flow it had, in squared intensity per squared pixel, for images in [0, 1]
DAMPING = 1e-6


# ------------------------------------------------------------------ one equation a pixel


def spatiotemporal_gradients(
    I0: Float[Array, "H W *C"], I1: Float[Array, "H W *C"]
) -> tuple[Float[Array, "H W *C"], Float[Array, "H W *C"], Float[Array, "H W *C"]]:
    r"""Measure how brightness changes in space and in time: the coefficients of the flow equation.

    .. math:: I_x = \partial_x \tfrac{I_0 + I_1}{2}, \quad I_y = \partial_y \tfrac{I_0 + I_1}{2}, \quad I_t = I_1 - I_0

    Spatial derivatives are central differences, one-sided at the border, of the mean of the two frames: taken midway
    in time, where :math:`I_t` is. Along an axis with a single pixel the derivative is 0.

    Parameters
    ----------
    I0, I1
        First and second frame, (H, W) or (H, W, 3), any intensity unit.

    Returns
    -------
    Ix, Iy, It
        Of the images' shape, in intensity per pixel (right, down) and intensity per frame.

    References
    ----------
    L9, "Optical flow equation".

    Examples
    --------
    >>> ramp = np.array([[0.0, 1.0, 2.0]])
    >>> spatiotemporal_gradients(ramp, ramp - 0.5)
    (array([[1., 1., 1.]]), array([[0., 0., 0.]]), array([[-0.5, -0.5, -0.5]]))
    """
    mean = (I0 + I1) / 2
    Iy = np.gradient(mean, axis=0) if mean.shape[0] > 1 else np.zeros_like(mean)
    Ix = np.gradient(mean, axis=1) if mean.shape[1] > 1 else np.zeros_like(mean)
    return Ix, Iy, I1 - I0


def brightness_constancy_residual(
    I0: Float[Array, "H W *C"], I1: Float[Array, "H W *C"], flow: Float[Array, "H W 2"]
) -> Float[Array, "H W *C"]:
    r"""Test a flow against the one assumption behind all of this: a point keeps its brightness as it moves.

    .. math:: r(x, y) = I_1(x + u, y + v) - I_0(x, y)

    Parameters
    ----------
    I0, I1
        First and second frame, (H, W) or (H, W, 3).
    flow
        (H, W, 2), (u, v) in pixels per frame.

    Returns
    -------
    residual
        Of the images' shape and in their unit; 0 wherever the flow is right, nothing is hidden and the light is steady.

    References
    ----------
    L9, "Optical flow constraints": the equation before it is linearized.

    Examples
    --------
    >>> I0 = np.array([[0.0, 1.0, 2.0, 3.0]])
    >>> moved = I0 - 1.0                                    # the ramp, one pixel further right
    >>> one_right = np.broadcast_to([1.0, 0.0], (1, 4, 2))
    >>> brightness_constancy_residual(I0, moved, one_right)[0, :3]
    array([0., 0., 0.])
    """
    return warp(I1, flow) - I0


def linearized_residual(
    Ix: Float[Array, "H W *C"], Iy: Float[Array, "H W *C"], It: Float[Array, "H W *C"], flow: Float[Array, "H W 2"]
) -> Float[Array, "H W *C"]:
    r"""Test a flow against the flow equation, brightness constancy after one step of Taylor's series.

    .. math:: r = I_x u + I_y v + I_t

    Parameters
    ----------
    Ix, Iy, It
        Derivatives, (H, W) or (H, W, 3).
    flow
        (H, W, 2), (u, v) in pixels per frame.

    Returns
    -------
    residual
        Of the derivatives' shape, in intensity per frame. It differs from the unlinearized one by O(|flow|²).

    References
    ----------
    L9, "Optical flow equation".

    Examples
    --------
    >>> one = np.ones((1, 1))
    >>> linearized_residual(2 * one, 0 * one, -one, np.array([[[0.5, 7.0]]]))
    array([[0.]])
    """
    u, v = _components(flow, Ix.ndim)
    return Ix * u + Iy * v + It


def normal_flow(Ix: Float[Array, "H W"], Iy: Float[Array, "H W"], It: Float[Array, "H W"]) -> Float[Array, "H W 2"]:
    r"""Find all that one pixel can know of its motion: the part along the gradient (the aperture problem).

    .. math:: (u, v) = -\frac{I_t}{|\nabla I|^2} \nabla I

    Among the flows on the line :math:`I_x u + I_y v + I_t = 0` this is the one nearest to zero. Where the gradient
    vanishes nothing is known and the answer is 0.

    Parameters
    ----------
    Ix, Iy, It
        Derivatives, (H, W), in intensity per pixel and per frame.

    Returns
    -------
    flow
        (H, W, 2), (u, v) in pixels per frame.

    References
    ----------
    L9, "Aperture problem". B. K. P. Horn and B. G. Schunck, "Determining optical flow", Artificial Intelligence 17, 1981.

    Examples
    --------
    >>> normal_flow(np.array([[0.0]]), np.array([[0.25]]), np.array([[0.25]]))
    array([[[-0., -1.]]])
    """
    squared = Ix**2 + Iy**2
    speed = -It / np.where(squared == 0, 1, squared)
    return np.where(squared[..., None] == 0, 0, speed[..., None] * np.stack([Ix, Iy], axis=-1))


# ------------------------------------------------------------------ 25 equations a pixel


def structure_tensor(
    Ix: Float[Array, "H W *C"], Iy: Float[Array, "H W *C"], window: OddInt = 5
) -> Float[Array, "H W 2 2"]:
    r"""Collect the gradients around each pixel: the left-hand side of Lucas–Kanade, and its corner detector.

    .. math:: J = A^T A = \sum_{p \in K \times K} \begin{pmatrix} I_x^2 & I_x I_y \\ I_x I_y & I_y^2 \end{pmatrix}

    Parameters
    ----------
    Ix, Iy
        Derivatives, (H, W), or (H, W, 3): then the three colors add up.
    window
        K, odd, in pixels. Pixels outside the image contribute nothing.

    Returns
    -------
    J
        (H, W, 2, 2), symmetric, in squared intensity per squared pixel.

    References
    ----------
    L9, "Conditions for solvability" (there M = AᵀA, the second-moment matrix).

    Examples
    --------
    >>> structure_tensor(np.ones((3, 3)), np.zeros((3, 3)), window=3)[1, 1]
    array([[9., 0.],
           [0., 0.]])
    """
    xx, xy, yy = (_window_sum(_over_color(p), window) for p in (Ix * Ix, Ix * Iy, Iy * Iy))
    return np.stack([np.stack([xx, xy], axis=-1), np.stack([xy, yy], axis=-1)], axis=-2)


def structure_tensor_eigenvalues(J: Float[Array, "*B 2 2"]) -> Float[Array, "*B 2"]:
    r"""Read off how much a patch changes along its strongest and its weakest direction.

    .. math:: \lambda_{1,2} = \tfrac{1}{2}(J_{xx} + J_{yy}) \pm \sqrt{\tfrac{1}{4}(J_{xx} - J_{yy})^2 + J_{xy}^2}

    Parameters
    ----------
    J
        (…, 2, 2), symmetric and positive semi-definite.

    Returns
    -------
    eigenvalues
        (…, 2): λ₁ ≥ λ₂ ≥ 0. Flat patch: both small. Edge: only λ₁ large. Corner or texture: both large.

    References
    ----------
    L9, "Eigenvectors of AᵀA" and "Interpreting the eigenvalues".

    Examples
    --------
    >>> structure_tensor_eigenvalues(np.array([[2.0, 0.0], [0.0, 3.0]]))
    array([3., 2.])
    """
    mean = (J[..., 0, 0] + J[..., 1, 1]) / 2
    spread = np.hypot((J[..., 0, 0] - J[..., 1, 1]) / 2, J[..., 0, 1])
    return np.stack([mean + spread, np.maximum(mean - spread, 0)], axis=-1)


def condition_number(eigenvalues: Float[Array, "*B 2"]) -> Float[Array, "*B"]:
    r"""Say how much worse the weakest direction is known than the strongest.

    .. math:: \kappa = \lambda_1 / \lambda_2

    Parameters
    ----------
    eigenvalues
        (…, 2), λ₁ ≥ λ₂ ≥ 0.

    Returns
    -------
    condition
        (…), at least 1; infinite where λ₂ = 0, that is where nothing is known in one direction.

    References
    ----------
    L9, "Conditions for solvability": λ₁/λ₂ should not be too large.

    Examples
    --------
    >>> condition_number(np.array([[6.0, 3.0], [1.0, 0.0]]))
    array([ 2., inf])
    """
    largest, smallest = eigenvalues[..., 0], eigenvalues[..., 1]
    return np.where(smallest == 0, np.inf, largest / np.where(smallest == 0, 1, smallest))


def classify_structure(
    eigenvalues: Float[Array, "*B 2"], min_eigenvalue: PositiveFloat = 1e-2, max_condition: PositiveFloat = 10.0
) -> Int[Array, "*B"]:
    """Tell where flow can be solved for: flat (0), edge (1) or corner and texture (2).

    Flat where λ₁ < `min_eigenvalue`; a corner, solvable, where λ₂ ≥ `min_eigenvalue` and
    λ₁ ≤ `max_condition` · λ₂; an edge otherwise.

    Parameters
    ----------
    eigenvalues
        (…, 2), λ₁ ≥ λ₂ ≥ 0.
    min_eigenvalue
        Below this an eigenvalue is taken for noise; in the eigenvalues' unit.
    max_condition
        Largest λ₁/λ₂ that still counts as well-conditioned.

    Returns
    -------
    labels
        (…), int64: 0 flat, 1 edge, 2 corner.

    References
    ----------
    L9, "When is this solvable?" and "Interpreting the eigenvalues".

    Examples
    --------
    >>> classify_structure(np.array([[0.0, 0.0], [5.0, 0.0], [5.0, 4.0]]))
    array([0, 1, 2])
    """
    largest, smallest = eigenvalues[..., 0], eigenvalues[..., 1]
    corner = (smallest >= min_eigenvalue) & (largest <= max_condition * smallest)
    return np.where(largest < min_eigenvalue, 0, np.where(corner, 2, 1))


def lucas_kanade(
    Ix: Float[Array, "H W *C"], Iy: Float[Array, "H W *C"], It: Float[Array, "H W *C"], window: OddInt = 5
) -> Float[Array, "H W 2"]:
    r"""Solve the flow equations of a whole window for one motion, by least squares.

    .. math:: A^T A \, d = A^T b: \quad
        \begin{pmatrix} \sum I_x I_x & \sum I_x I_y \\ \sum I_x I_y & \sum I_y I_y \end{pmatrix}
        \begin{pmatrix} u \\ v \end{pmatrix} = - \begin{pmatrix} \sum I_x I_t \\ \sum I_y I_t \end{pmatrix}

    A 5 × 5 window gives 25 equations a pixel, 75 in color. Where they leave a direction open (an edge, a flat patch)
    the answer is the solution nearest to zero, which on an edge is the normal flow.

    Parameters
    ----------
    Ix, Iy, It
        Derivatives, (H, W) or (H, W, 3).
    window
        K, odd, in pixels. Pixels outside the image contribute nothing.

    Returns
    -------
    flow
        (H, W, 2), (u, v) in pixels per frame.

    References
    ----------
    L9, "Lucas–Kanade flow"; Lucas and Kanade, IJCAI 1981.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> Ix, Iy = rng.normal(size=(2, 6, 6))
    >>> lucas_kanade(Ix, Iy, -(2 * Ix - 1 * Iy))[3, 3].round(12)
    array([ 2., -1.])
    """
    J = structure_tensor(Ix, Iy, window)
    b = -np.stack([_window_sum(_over_color(p), window) for p in (Ix * It, Iy * It)], axis=-1)
    return _solve(J, b)


# ------------------------------------------------------------------ one motion for the whole image


def motion_field(
    parameters: Float[Array, "P"],
    height: PositiveInt,
    width: PositiveInt,
    model: Literal["translation", "affine", "projective", "rotation"] = "affine",
    focal: PositiveFloat | None = None,
) -> Float[Array, "H W 2"]:
    r"""Draw the flow of a whole image that moves by one model of 2, 6, 8 or 3 parameters.

    With x, y measured from the middle of the image:

    * translation: :math:`u = a_1,\; v = a_2`
    * affine: :math:`u = a_1 + a_2 x + a_3 y,\; v = a_4 + a_5 x + a_6 y`
    * projective (a moving plane): affine plus :math:`a_7 x^2 + a_8 x y` in u and :math:`a_7 x y + a_8 y^2` in v
    * rotation (a turning camera, :math:`\omega` in radians per frame):
      :math:`u = \omega_x \frac{xy}{f} - \omega_y (f + \frac{x^2}{f}) + \omega_z y,\;
      v = \omega_x (f + \frac{y^2}{f}) - \omega_y \frac{xy}{f} - \omega_z x`

    Parameters
    ----------
    parameters
        (2,), (6,), (8,) or (3,), as the model has.
    height, width
        H and W, in pixels.
    model
        Which of the four.
    focal
        Focal length in pixels, for rotation; ``max(height, width)`` if not given.

    Returns
    -------
    flow
        (H, W, 2), (u, v) in pixels per frame.

    References
    ----------
    L9, "Motion models" and "Affine motion". Rotation: H. C. Longuet-Higgins and K. Prazdny, "The interpretation of a
    moving retinal image", Proc. R. Soc. B 208, 1980.

    Examples
    --------
    >>> motion_field(np.array([1.0, 0.0, 0.0, 0.0, 0.0, 0.0]), 1, 2)
    array([[[1., 0.],
            [1., 0.]]])
    """
    basis = _motion_basis(height, width, model, focal, parameters)
    if len(parameters) != basis.shape[-1]:
        raise ValueError(f"parameters: expected {basis.shape[-1]} for model={model!r}, got {len(parameters)}")
    return basis @ parameters


def fit_motion(
    Ix: Float[Array, "H W *C"],
    Iy: Float[Array, "H W *C"],
    It: Float[Array, "H W *C"],
    model: Literal["translation", "affine", "projective", "rotation"] = "affine",
    focal: PositiveFloat | None = None,
) -> Float[Array, "P"]:
    r"""Recover the motion of the whole image straight from brightness derivatives (a direct method).

    Every pixel gives one equation that is linear in the parameters, so least squares finds them at once:

    .. math:: \min_a \sum \left[ I_x u(x, y; a) + I_y v(x, y; a) + I_t \right]^2

    Parameters
    ----------
    Ix, Iy, It
        Derivatives, (H, W) or (H, W, 3). Pixels where one of them is not finite are left out.
    model, focal
        As in :func:`motion_field`.

    Returns
    -------
    parameters
        (2,), (6,), (8,) or (3,); the solution of least length (in units where the image is about 2 wide) if some
        combination of them can't be told from this image.

    References
    ----------
    L9, "Affine motion" and "Direct methods".

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> Ix, Iy = rng.normal(size=(2, 8, 8))
    >>> a = np.array([0.5, 0.1, 0.0, -0.2, 0.0, 0.1])
    >>> u, v = np.moveaxis(motion_field(a, 8, 8), -1, 0)
    >>> fit_motion(Ix, Iy, -(Ix * u + Iy * v)).round(12) + 0.0
    array([ 0.5,  0.1,  0. , -0.2,  0. ,  0.1])
    """
    height, width = Ix.shape[:2]
    basis = _motion_basis(height, width, model, focal, Ix)
    if Ix.ndim == 3:
        basis = basis[:, :, None]
    A = Ix[..., None] * basis[..., 0, :] + Iy[..., None] * basis[..., 1, :]
    A, b = A.reshape(-1, A.shape[-1]), -It.reshape(-1)
    known = np.isfinite(A).all(axis=-1) & np.isfinite(b)
    unit = motion_units(height, width, model).astype(A.dtype)  # balances columns that grow with x, with x²
    return np.linalg.lstsq(A[known] / unit, b[known], rcond=None)[0] / unit


# ------------------------------------------------------------------ moving the image back


def warp(image: Float[Array, "H W *C"], flow: Float[Array, "H W 2"]) -> Float[Array, "H W *C"]:
    r"""Undo a motion: fetch, for every pixel, the brightness from where the flow says it went.

    .. math:: \mathrm{out}(x, y) = I(x + u, y + v)

    Between pixels it interpolates bilinearly; beyond the frame it repeats the border (see :func:`inside_frame`).

    Parameters
    ----------
    image
        (H, W) or (H, W, 3): the second frame, to bring it onto the grid of the first.
    flow
        (H, W, 2), (u, v) in pixels. Where it is NaN, so is the answer.

    Returns
    -------
    warped
        Of the image's shape.

    References
    ----------
    L9, "Iterative Lucas–Kanade algorithm", step 2.

    Examples
    --------
    >>> warp(np.array([[0.0, 1.0, 4.0]]), np.array([[[0.5, 0.0], [1.0, 0.0], [9.0, 0.0]]]))
    array([[0.5, 4. , 4. ]])
    """
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(flow.dtype)
    x, y = np.clip(x + flow[..., 0], 0, width - 1), np.clip(y + flow[..., 1], 0, height - 1)
    unknown = np.isnan(x) | np.isnan(y)
    x, y = np.where(unknown, 0, x), np.where(unknown, 0, y)
    s, t = x - np.floor(x), y - np.floor(y)  # how far on the way from left to right, from top to bottom
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    if image.ndim == 3:
        s, t = s[..., None], t[..., None]
    above = (1 - s) * image[top, left] + s * image[top, right]
    below = (1 - s) * image[bottom, left] + s * image[bottom, right]
    warped = (1 - t) * above + t * below
    warped[unknown] = np.nan
    return warped


def inside_frame(flow: Float[Array, "H W 2"]) -> Bool[Array, "H W"]:
    r"""Mark the pixels whose destination lies in the frame, the only ones a warp can be trusted at.

    .. math:: 0 \le x + u \le W - 1 \;\wedge\; 0 \le y + v \le H - 1

    Parameters
    ----------
    flow
        (H, W, 2), (u, v) in pixels per frame.

    Returns
    -------
    inside
        (H, W), bool; False where the flow is NaN.

    References
    ----------
    L9, "Some implementation issues": warping is not easy.

    Examples
    --------
    >>> inside_frame(np.array([[[0.0, 0.0], [1.0, 0.0]]]))
    array([[ True, False]])
    """
    height, width = flow.shape[:2]
    y, x = np.mgrid[:height, :width]
    x, y = x + flow[..., 0], y + flow[..., 1]
    return (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)


def iterative_lucas_kanade(
    I0: Float[Array, "H W *C"], I1: Float[Array, "H W *C"], window: OddInt = 5, iterations: Count = 3
) -> Float[Array, "H W 2"]:
    r"""Refine Lucas–Kanade: warp the second frame back by what is known, and solve for what is left.

    The derivatives are those of the first frame, taken once; only the residual changes. With the residual
    :math:`r = I_1(x + u, y + v) - I_0` each round solves, in the window around a pixel, for the whole flow

    .. math:: \left( \sum g g^T + \lambda \right) d
        = \sum g \left( g \cdot d_\mathrm{old} - r \right) + \lambda d_\mathrm{old}, \quad g = \nabla I_0

    where each neighbor is represented by its own old flow, and one that the old flow sends out of the frame is left
    out. Solving for the whole flow, not for a correction of it, keeps neighbors that disagree from drifting apart. The
    pull λ = 10⁻⁶ is far below what an edge or a texture adds up to; where the window says nothing, the old flow stays.

    Parameters
    ----------
    I0, I1
        First and second frame, (H, W) or (H, W, 3).
    window
        K, odd, in pixels.
    iterations
        Rounds of warping and solving, starting from zero flow.

    Returns
    -------
    flow
        (H, W, 2), (u, v) in pixels per frame.

    References
    ----------
    L9, "Iterative refinement" and "Some implementation issues".

    Examples
    --------
    >>> y, x = np.mgrid[:24, :24]
    >>> pattern = lambda x, y: np.sin(x / 2) + np.cos(y / 2)
    >>> flow = iterative_lucas_kanade(pattern(x, y), pattern(x - 0.8, y + 0.3), window=9, iterations=10)
    >>> bool(np.abs(flow[8:16, 8:16] - [0.8, -0.3]).max() < 0.1)
    True
    """
    return _refine(I0, I1, np.zeros((*I0.shape[:2], 2), I0.dtype), window, iterations)


# ------------------------------------------------------------------ coarse to fine


def downsample(image: Float[Array, "H W *C"]) -> Float[Array, "h w *C"]:
    """Halve an image after smoothing it: one step up the pyramid, and half the motion.

    Along an axis of even size n the n/2 samples lie midway between pixel pairs, smoothed by [1 3 3 1]/8; of odd size n
    the (n+1)/2 samples lie on every other pixel, smoothed by [1 4 6 4 1]/16. So the image stays centered, and flipping
    it before or after gives the same. Borders are repeated; an axis of size 1 stays.

    Parameters
    ----------
    image
        (H, W) or (H, W, 3).

    Returns
    -------
    half
        (⌈H/2⌉, ⌈W/2⌉), and its colors.

    References
    ----------
    L9, "Coarse-to-fine estimation". P. J. Burt and E. H. Adelson, "The Laplacian pyramid as a compact image code",
    IEEE Trans. Communications 31, 1983.

    Examples
    --------
    >>> downsample(np.array([[0.0, 8.0, 0.0, 0.0]]))
    array([[3., 1.]])
    """
    return _halve(_halve(image, axis=0), axis=1)


def gaussian_pyramid(image: Float[Array, "H W *C"], levels: PositiveInt) -> list[Float[Array, "h w *C"]]:
    """Build the stack of ever smaller images, the finest first.

    Parameters
    ----------
    image
        (H, W) or (H, W, 3).
    levels
        How many images, the original included.

    Returns
    -------
    pyramid
        List of `levels` images; each has half the size of the one before, never less than one pixel.

    References
    ----------
    L9, "Reduce the resolution!".

    Examples
    --------
    >>> [level.shape for level in gaussian_pyramid(np.zeros((5, 8)), 3)]
    [(5, 8), (3, 4), (2, 2)]
    """
    pyramid = [image]
    while len(pyramid) < levels:
        pyramid.append(downsample(pyramid[-1]))
    return pyramid


def upsample_flow(flow: Float[Array, "h w 2"], height: PositiveInt, width: PositiveInt) -> Float[Array, "H W 2"]:
    """Carry a flow down the pyramid: twice as many pixels, and twice as many pixels per frame.

    It samples bilinearly at the places that :func:`downsample` took its samples from, beyond the outermost of them the
    nearest one, and doubles u where the width doubled and v where the height did.

    Parameters
    ----------
    flow
        (h, w, 2), (u, v) in pixels of the coarse level.
    height, width
        Size of the finer level: 2h or 2h − 1, and 2w or 2w − 1.

    Returns
    -------
    flow
        (height, width, 2), in pixels of the finer level.

    References
    ----------
    L9, "Coarse-to-fine optical flow estimation".

    Examples
    --------
    >>> upsample_flow(np.array([[[1.0, 0.0], [3.0, 0.0]]]), 1, 3)[0, :, 0]
    array([2., 4., 6.])
    """
    for name, fine, coarse in (("height", height, flow.shape[0]), ("width", width, flow.shape[1])):
        if fine not in (2 * coarse, 2 * coarse - 1):
            raise ValueError(
                f"{name}: expected {2 * coarse - 1} or {2 * coarse}, the sizes that halve to {coarse}, got {fine}; "
                "use resize_flow for any other size"
            )
    rows = _finer_positions(height, flow)
    columns = _finer_positions(width, flow)
    grown = np.array([2 if width > 1 else 1, 2 if height > 1 else 1], flow.dtype)
    return _sample(_sample(flow, rows, axis=0), columns, axis=1) * grown


def resize_flow(flow: Float[Array, "h w 2"], height: PositiveInt, width: PositiveInt) -> Float[Array, "H W 2"]:
    r"""Resize a flow with the image it belongs to: its vectors stretch as the image does.

    .. math:: (u, v) \mapsto \left( u \tfrac{W'}{W}, v \tfrac{H'}{H} \right)

    Pixels are squares whose centers lie half a pixel inside (as in most image libraries); sampling is bilinear and
    without smoothing.

    Parameters
    ----------
    flow
        (h, w, 2), (u, v) in pixels.
    height, width
        The new size, any.

    Returns
    -------
    flow
        (height, width, 2), in pixels of the new size.

    References
    ----------
    L9, "Coarse-to-fine optical flow estimation".

    Examples
    --------
    >>> resize_flow(np.ones((2, 2, 2)), 4, 6)[0, 0]
    array([3., 2.])
    """
    rows, columns = (
        np.clip((np.arange(new, dtype=flow.dtype) + 0.5) * (old / new) - 0.5, 0, old - 1)
        for new, old in ((height, flow.shape[0]), (width, flow.shape[1]))
    )
    stretch = np.array([width / flow.shape[1], height / flow.shape[0]], flow.dtype)
    return _sample(_sample(flow, rows, axis=0), columns, axis=1) * stretch


def coarse_to_fine(
    I0: Float[Array, "H W *C"],
    I1: Float[Array, "H W *C"],
    window: OddInt = 5,
    iterations: Count = 3,
    levels: PositiveInt | None = None,
) -> Float[Array, "H W 2"]:
    """Find large motions: solve on a small image, where they are small, and refine down the pyramid.

    Parameters
    ----------
    I0, I1
        First and second frame, (H, W) or (H, W, 3).
    window
        K, odd, in pixels, the same on every level.
    iterations
        Rounds of :func:`iterative_lucas_kanade` on each level.
    levels
        Images in the pyramid; if not given, as many as keep the shorter side at 8 pixels or more.

    Returns
    -------
    flow
        (H, W, 2), (u, v) in pixels per frame.

    References
    ----------
    L9, "Coarse-to-fine optical flow estimation". J.-Y. Bouguet, "Pyramidal implementation of the Lucas Kanade feature
    tracker", Intel, 2000.

    Examples
    --------
    >>> y, x = np.mgrid[:64, :64]
    >>> blob = lambda x, y: np.exp(-((x - 28) ** 2 + (y - 32) ** 2) / 200)
    >>> flow = coarse_to_fine(blob(x, y), blob(x - 7, y), window=9, iterations=5)
    >>> bool(abs(flow[32, 28, 0] - 7) < 0.3)
    True
    """
    if levels is None:
        levels = 1 + max(0, int(np.log2(min(I0.shape[:2]) / 8)))
    pyramids = list(zip(gaussian_pyramid(I0, levels), gaussian_pyramid(I1, levels), strict=True))
    flow = np.zeros((*pyramids[-1][0].shape[:2], 2), I0.dtype)
    for J0, J1 in reversed(pyramids):
        if flow.shape[:2] != J0.shape[:2]:
            flow = upsample_flow(flow, *J0.shape[:2])
        flow = _refine(J0, J1, flow, window, iterations)
    return flow


def apparent_displacement(displacement: Float[Array, "*B"], wavelength: PositiveFloat) -> Float[Array, "*B"]:
    r"""Show what temporal aliasing does: a repeating pattern seems to move by the smallest shift that explains it.

    .. math:: d' = d - \lambda \left\lceil \frac{d}{\lambda} - \frac{1}{2} \right\rceil, \quad -\tfrac{\lambda}{2} < d' \le \tfrac{\lambda}{2}

    A pattern that moves more than half a wavelength per frame seems to move backwards, as wheels do in films.

    Parameters
    ----------
    displacement
        True shift, any shape, in pixels per frame.
    wavelength
        Period of the pattern, in pixels.

    Returns
    -------
    apparent
        Of the same shape, in pixels per frame.

    References
    ----------
    L9, "Revisiting the small motion assumption": temporal aliasing.

    Examples
    --------
    >>> apparent_displacement(np.array([1.0, 3.0, 4.0, 5.0]), 8.0)
    array([ 1.,  3.,  4., -3.])
    """
    return displacement - wavelength * np.ceil(displacement / wavelength - 0.5)


def median_filter_flow(flow: Float[Array, "H W 2"]) -> Float[Array, "H W 2"]:
    """Remove outliers from a flow field, and keep its edges: the 3 × 3 median of each component.

    Parameters
    ----------
    flow
        (H, W, 2), (u, v) in pixels per frame. Borders are repeated.

    Returns
    -------
    flow
        Of the same shape.

    References
    ----------
    D. Sun, S. Roth and M. J. Black, "Secrets of optical flow estimation and their principles", CVPR 2010.

    Examples
    --------
    >>> spike = np.zeros((3, 3, 2)); spike[1, 1] = 9.0
    >>> float(np.abs(median_filter_flow(spike)).max())
    0.0
    """
    padded = np.pad(flow, ((1, 1), (1, 1), (0, 0)), mode="edge")
    neighbors = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
    return np.median(neighbors, axis=(-2, -1)).astype(flow.dtype)


# ------------------------------------------------------------------ how wrong is it


def endpoint_error(
    flow: Float[Array, "*B 2"], truth: Float[Array, "*B 2"], valid: Bool[Array, "*B"] | None = None
) -> Float[Array, ""]:
    r"""Measure a flow by how far, on average, its arrows end from the true ones.

    .. math:: \mathrm{EPE} = \frac{1}{N} \sum \left\| (u, v) - (u^*, v^*) \right\|_2

    Parameters
    ----------
    flow, truth
        (…, 2), in pixels per frame.
    valid
        Mask of the pixels that count; all if not given.

    Returns
    -------
    error
        One number, in pixels; NaN if no pixel counts.

    References
    ----------
    S. Baker et al., "A database and evaluation methodology for optical flow", IJCV 92, 2011.

    Examples
    --------
    >>> float(endpoint_error(np.array([[3.0, 4.0]]), np.array([[0.0, 0.0]])))
    5.0
    """
    return _mean_over(np.sqrt(((flow - truth) ** 2).sum(axis=-1)), valid)


def angular_error(
    flow: Float[Array, "*B 2"], truth: Float[Array, "*B 2"], valid: Bool[Array, "*B"] | None = None
) -> Float[Array, ""]:
    r"""Measure a flow by the angle, in space and time, between its arrows and the true ones.

    .. math:: \mathrm{AE} = \frac{1}{N} \sum \arccos \frac{(u, v, 1) \cdot (u^*, v^*, 1)}{|(u, v, 1)| |(u^*, v^*, 1)|}

    The 1 (a frame) keeps it defined for zero flow and makes errors in fast motion count less.

    Parameters
    ----------
    flow, truth
        (…, 2), in pixels per frame.
    valid
        Mask of the pixels that count; all if not given.

    Returns
    -------
    error
        One number, in degrees; NaN if no pixel counts.

    References
    ----------
    J. L. Barron, D. J. Fleet and S. S. Beauchemin, "Performance of optical flow techniques", IJCV 12, 1994.

    Examples
    --------
    >>> float(angular_error(np.array([[1.0, 0.0]]), np.array([[0.0, 0.0]])).round(6))
    45.0
    """
    # the angle from the cross and the dot product: accurate for small angles, where arccos is not
    (u, v), (p, q) = np.moveaxis(flow, -1, 0), np.moveaxis(truth, -1, 0)
    cross = np.sqrt((v - q) ** 2 + (p - u) ** 2 + (u * q - v * p) ** 2)
    return _mean_over(np.rad2deg(np.arctan2(cross, u * p + v * q + 1)), valid)


def fl_all(
    flow: Float[Array, "*B 2"], truth: Float[Array, "*B 2"], valid: Bool[Array, "*B"] | None = None
) -> Float[Array, ""]:
    r"""Measure a flow by how much of it is simply wrong: off by more than 3 pixels *and* by more than 5 %.

    Parameters
    ----------
    flow, truth
        (…, 2), in pixels per frame.
    valid
        Mask of the pixels that count; all if not given.

    Returns
    -------
    share
        One number, in percent of the pixels that count; NaN if none does.

    References
    ----------
    M. Menze and A. Geiger, "Object scene flow for autonomous vehicles", CVPR 2015 (KITTI's Fl-all).

    Examples
    --------
    >>> truth = np.array([[0.0, 0.0], [100.0, 0.0]])
    >>> float(fl_all(truth + [4.0, 0.0], truth))
    50.0
    """
    error = np.sqrt(((flow - truth) ** 2).sum(axis=-1))
    outlier = (error > 3) & (error > 0.05 * np.sqrt((truth**2).sum(axis=-1)))
    return _mean_over(100 * outlier.astype(flow.dtype), valid)


# ------------------------------------------------------------------ towards FlowNet


def correlation_volume(
    f1: Float[Array, "C H W"], f2: Float[Array, "C H W"], max_displacement: Count
) -> Float[Array, "D H W"]:
    r"""Compare each feature of one frame with those of the other around the same place, as FlowNet-C does.

    .. math:: c(d_y, d_x, y, x) = \frac{1}{C} \sum_c f_1(c, y, x) \, f_2(c, y + d_y, x + d_x)

    Parameters
    ----------
    f1, f2
        Features of the first and the second frame, (C, H, W).
    max_displacement
        D, in pixels: displacements from −D to D along each axis.

    Returns
    -------
    volume
        ((2D + 1)², H, W); the row :math:`(d_y + D)(2D + 1) + d_x + D`. Features outside the image are 0.

    References
    ----------
    L9, "FlowNet". P. Fischer et al., "FlowNet: learning optical flow with convolutional networks", ICCV 2015.

    Examples
    --------
    >>> f = np.zeros((1, 1, 3)); f[0, 0, 1] = 1.0
    >>> moved = np.roll(f, 1, axis=2)
    >>> correlation_volume(f, moved, 1)[:, 0, 1]          # the match is at dy = 0, dx = 1
    array([0., 0., 0., 0., 0., 1., 0., 0., 0.])
    """
    D, (channels, height, width) = max_displacement, f1.shape
    padded = np.pad(f2, ((0, 0), (D, D), (D, D)))
    volume = [
        (f1 * padded[:, D + dy : D + dy + height, D + dx : D + dx + width]).sum(axis=0) / channels
        for dy in range(-D, D + 1)
        for dx in range(-D, D + 1)
    ]
    return np.stack(volume)


# ------------------------------------------------------------------ helpers


def _components(flow: np.ndarray, ndim: int) -> tuple[np.ndarray, np.ndarray]:
    """Split (u, v), with an axis of size 1 for color if there is color."""
    u, v = flow[..., 0], flow[..., 1]
    return (u[..., None], v[..., None]) if ndim == 3 else (u, v)


def _over_color(product: np.ndarray) -> np.ndarray:
    return product.sum(axis=-1) if product.ndim == 3 else product


def _window_sum(image: np.ndarray, window: int) -> np.ndarray:
    """Sum over the K × K window around each pixel; outside the image there is nothing to add."""
    r = window // 2
    padded = np.pad(image, r)
    rows = np.sum([padded[i : i + image.shape[0]] for i in range(window)], axis=0)
    return np.sum([rows[:, i : i + image.shape[1]] for i in range(window)], axis=0)


def _solve(J: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Solve J d = b for symmetric 2 × 2 matrices; of many solutions the shortest, as the pseudo-inverse gives it."""
    threshold = 64 * np.finfo(J.dtype).eps
    return (np.linalg.pinv(J, rcond=threshold, hermitian=True) @ b[..., None])[..., 0]


def _refine(I0: np.ndarray, I1: np.ndarray, flow: np.ndarray, window: int, iterations: int) -> np.ndarray:
    """The rounds of iterative Lucas–Kanade, from a given flow."""
    Ix, Iy, _ = spatiotemporal_gradients(I0, I0)  # derivatives of the frame that is not warped: once
    for _ in range(iterations):
        u, v = _components(flow, I0.ndim)
        target = Ix * u + Iy * v - brightness_constancy_residual(I0, I1, flow)  # what g · d should be
        inside = inside_frame(flow)[..., None] if I0.ndim == 3 else inside_frame(flow)
        gx, gy = Ix * inside, Iy * inside
        b = np.stack([_window_sum(_over_color(g * target), window) for g in (gx, gy)], axis=-1)
        pull = I0.dtype.type(DAMPING)
        flow = _solve(structure_tensor(gx, gy, window) + pull * np.eye(2, dtype=I0.dtype), b + pull * flow)
    return flow


def _halve(image: np.ndarray, axis: int) -> np.ndarray:
    n = image.shape[axis]
    if n == 1:
        return image
    taps = np.array([1, 3, 3, 1]) / 8 if n % 2 == 0 else np.array([1, 4, 6, 4, 1]) / 16
    before = 1 if n % 2 == 0 else 2
    padded = np.pad(image, [(before, 2) if a == axis else (0, 0) for a in range(image.ndim)], mode="edge")
    take = [slice(None)] * image.ndim
    total = np.zeros((), image.dtype)
    for k, tap in enumerate(taps.astype(image.dtype)):
        take[axis] = slice(k, k + n, 2)
        total = total + tap * padded[tuple(take)]
    return total


def _finer_positions(n: int, flow: np.ndarray) -> np.ndarray:
    """Where the n pixels of the finer level lie between the samples of the coarser one."""
    fine = np.arange(n, dtype=flow.dtype)
    return np.clip((fine - 0.5) / 2 if n % 2 == 0 else fine / 2, 0, (n + 1) // 2 - 1)


def _sample(values: np.ndarray, at: np.ndarray, axis: int) -> np.ndarray:
    """Interpolate linearly along one axis, at positions within it."""
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, values.shape[axis] - 1)
    share = (at - np.floor(at)).reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    return (1 - share) * values.take(low, axis) + share * values.take(high, axis)


def _mean_over(values: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
    if valid is None:
        return np.asarray(values.mean())
    count = valid.sum()
    return np.asarray(np.where(valid, values, 0).sum() / count if count else np.nan, values.dtype)


def _motion_basis(height: int, width: int, model: str, focal: float | None, like: np.ndarray) -> np.ndarray:
    """The field of each parameter alone: (H, W, 2, P), so that flow = basis @ parameters."""
    y, x = np.mgrid[:height, :width].astype(like.dtype)
    x, y = x - (width - 1) / 2, y - (height - 1) / 2
    one, zero = np.ones_like(x), np.zeros_like(x)
    f = max(height, width) if focal is None else focal
    u, v = motion_columns(x, y, one, zero, f)[model]
    return np.stack([np.stack(u, axis=-1), np.stack(v, axis=-1)], axis=-2).astype(like.dtype)


def motion_columns(x: Any, y: Any, one: Any, zero: Any, f: float) -> dict[str, tuple[list[Any], list[Any]]]:
    """What each parameter of each model adds to u and to v; plain arithmetic, for arrays of any library."""
    return {
        "translation": ([one, zero], [zero, one]),
        "affine": ([one, x, y, zero, zero, zero], [zero, zero, zero, one, x, y]),
        "projective": ([one, x, y, zero, zero, zero, x * x, x * y], [zero, zero, zero, one, x, y, x * y, y * y]),
        "rotation": ([x * y / f, -(f + x * x / f), y], [f + y * y / f, -x * y / f, -x]),
    }


def motion_units(height: int, width: int, model: str) -> np.ndarray:
    """How large each parameter's field grows over the image."""
    h = max(height, width) / 2
    return np.array(
        {
            "translation": [1, 1],
            "affine": [1, h, h, 1, h, h],
            "projective": [1, h, h, 1, h, h, h * h, h * h],
            "rotation": [1, 1, 1],
        }[model],
        dtype=float,
    )
