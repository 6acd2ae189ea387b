"""Dense optical flow that is good enough to use: the readable definition of :func:`dense`.

One energy, two budgets. A flow F is good if what it matches looks alike, and if it is smooth::

    E(F) = Σ ψ_D(I1(x + F) − I0(x))  +  γ Σ ψ_D(|∇I1(x + F) − ∇I0(x)|)  +  α Σ ψ_S(|∇F|),     ψ(r) = √(r² + ε²)

The terms are the course's own: brightness constancy, the same for gradients (which a brighter frame leaves alone),
and Horn and Schunck's smoothness. ψ grows like |r|, not r²: a robust estimator that lets a moving edge be an edge.
The energy is minimized from coarse to fine by Gauss–Newton steps: warp, linearize, replace ψ by a weighted square,
solve the linear system by conjugate gradients, take the median of 3×3 neighbors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vidlearn.flow import reference as steps  # the course's own steps; a name, so that either module may come first

if TYPE_CHECKING:
    from typing import Literal

    from jaxtyping import Float

    from vidlearn.signature import Array

__all__ = ["BUDGETS", "Budget", "dense"]

ALPHA = 0.02  # smoothness: the price of a motion that changes by one pixel per pixel
GAMMA = 1.5  # gradient constancy against brightness constancy
EPSILON_DATA = 1e-3  # a quarter of a gray level: below it an error is noise and counts quadratically
SMALLEST_SIDE = 8  # the pyramid ends before its shorter side would be smaller than this
SAME_ORIENTATION = 1e-3  # gradients are parallel if the structure tensor's eigenvalues differ by this factor
TINY = 1e-30  # keeps 0/0 out of conjugate gradients once the answer is exact


@dataclass(frozen=True)
class Budget:
    """How much work `dense` does: where the pyramid ends and how often each loop runs."""

    finest: int  # the finest level solved: 0 is the image itself, 1 is half its size
    warps: int  # how often I1 is warped and the constraint linearized anew, at every coarser level
    last_warps: int  # the same at the finest level solved, where it costs most
    reweightings: int  # how often the robust weights are computed anew, at every warp
    iterations: int  # conjugate gradient steps for each linear system
    epsilon_smooth: float  # flow differences below it (px) are smoothed quadratically; larger is easier to solve


BUDGETS = {
    "fast": Budget(finest=1, warps=2, last_warps=1, reweightings=1, iterations=14, epsilon_smooth=0.03),
    "high": Budget(finest=0, warps=5, last_warps=8, reweightings=2, iterations=30, epsilon_smooth=0.01),
}


def dense(
    I0: Float[Array, "H W *C"], I1: Float[Array, "H W *C"], *, quality: Literal["fast", "high"] = "fast"
) -> Float[Array, "H W 2"]:
    """Estimate the motion of every pixel: coarse-to-fine, robust, and smooth where the images leave it open.

    Parameters
    ----------
    I0, I1
        Two frames, gray ``(H, W)`` or color ``(H, W, 3)``, in [0, 1]. Color is reduced to its luma first.
        A pixel that is not finite is unknown: the flow there comes from its surroundings.
    quality
        ``"fast"`` solves at half the resolution with few iterations; ``"high"`` solves at full resolution with many.

    Returns
    -------
    flow
        ``(H, W, 2)``, (u, v) in pixels per frame: ``I1(x + u, y + v) = I0(x, y)``.

    Raises
    ------
    ValueError
        If `quality` is neither ``"fast"`` nor ``"high"``.

    Notes
    -----
    Every step treats left and right, up and down, x and y alike, so a flipped or turned input gives a flipped or turned
    flow. A frame with a single orientation, such as a grating, gets the normal flow: all that it shows.

    Both frames are taken to be equally exposed; where they are not, match their brightness and contrast first.

    References
    ----------
    L9, "Coarse-to-fine optical flow estimation". T. Brox, A. Bruhn, N. Papenberg and J. Weickert, "High accuracy
    optical flow estimation based on a theory for warping", ECCV 2004: the energy. D. Sun, S. Roth and M. J. Black,
    "Secrets of optical flow estimation and their principles", CVPR 2010: gradients of both frames' mean, the median.

    Examples
    --------
    >>> y, x = np.mgrid[:32, :48]
    >>> texture = lambda x, y: 0.5 + 0.2 * np.sin(0.5 * x + 0.2 * y) + 0.2 * np.cos(0.3 * x - 0.4 * y)
    >>> flow = dense(texture(x, y), texture(x - 1.5, y + 0.5), quality="high")   # moved 1.5 px right, 0.5 px up
    >>> np.median(flow, axis=(0, 1)).round(2)
    array([ 1.5, -0.5])
    """
    budget = budget_of(quality)
    finest = budget.finest if min(I0.shape[:2]) >= 2 * SMALLEST_SIDE else 0
    pyramid = build_pyramid(prepare(I0, finest), prepare(I1, finest))
    stripes = only_orientation(pyramid[0][0])
    flow = np.zeros((*pyramid[-1][0].shape, 2), I0.dtype)
    for level, (J0, J1) in reversed(list(enumerate(pyramid))):
        if flow.shape[:2] != J0.shape:
            flow = steps.upsample_flow(flow, *J0.shape).astype(I0.dtype)
        warps = budget.warps if level else budget.last_warps
        for _ in range(warps if stripes is None else 4 * warps):  # for stripes there are fewer levels to do it in
            flow = steps.median_filter_flow(minimize(J0, J1, flow, budget))
            if stripes is not None:
                flow = flow @ stripes
    return steps.upsample_flow(flow, *I0.shape[:2]).astype(I0.dtype) if finest else flow


def budget_of(quality: str) -> Budget:
    """Look the budget up by its name."""
    if quality not in BUDGETS:
        raise ValueError(f"quality: expected {' or '.join(map(repr, BUDGETS))}, got {quality!r}")
    return BUDGETS[quality]


def build_pyramid(I0: np.ndarray, I1: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Halve both frames while the shorter side stays at SMALLEST_SIDE or more; stripes, only while they are visible."""
    pyramid = [(I0, I1)]
    variance = np.var(I0) if only_orientation(I0) is not None else 0
    while (min(pyramid[-1][0].shape) + 1) // 2 >= SMALLEST_SIDE:
        smaller = tuple(steps.downsample(J) for J in pyramid[-1])
        if np.var(smaller[0]) < variance / 2:
            break  # smoothed away, stripes leave an alias that moves by another period
        pyramid.append(smaller)
    return pyramid


def only_orientation(I: np.ndarray) -> np.ndarray | None:
    """The aperture problem of a whole frame: if all its gradients are parallel, the projection onto them, (2, 2).

    What such a frame shows of a flow is its component along the gradients; the rest would be an invention.
    """
    margins = [min(4, (n - 1) // 4) for n in I.shape]  # where replicated borders bend the gradients
    inner = tuple(slice(m, n - m) for m, n in zip(margins, I.shape, strict=True))
    g = np.stack([slope[inner].ravel() for slope in gradient(I)])
    J = g @ g.T
    large, small = steps.structure_tensor_eigenvalues(J)
    return (J - small * np.eye(2, dtype=I.dtype)) / (large - small) if small < SAME_ORIENTATION * large else None


def prepare(I: np.ndarray, halvings: int) -> np.ndarray:
    """Reduce color to luma, fill unknown pixels with the mean of the known ones, halve, and smooth by [1 2 1]/4."""
    if I.ndim == 3:
        I = I[..., 0] * 0.299 + I[..., 1] * 0.587 + I[..., 2] * 0.114
    known = np.isfinite(I)
    I = np.where(known, I, I.dtype.type(np.sum(I, where=known) / max(known.sum(), 1)))
    for _ in range(halvings):
        I = steps.downsample(I)
    for axis in (0, 1):
        I = along_axis(lambda P: (P[:-2] + 2 * P[1:-1] + P[2:]) / 4, I, axis, margin=1)
    return I


def minimize(I0: np.ndarray, I1: np.ndarray, start: np.ndarray, budget: Budget) -> np.ndarray:
    """Lower the energy from `start`, with I1 warped by `start` and every difference linearized there."""
    warped = warp_cubic(I1, start)
    mean = (I0 + warped) / 2
    differences = np.stack([warped - I0, *gradient(warped - I0)])  # of brightness, of its x and of its y derivative
    slopes = np.stack([gradient(c) for c in (mean, *gradient(mean))])  # (3, 2, H, W): what one px of flow does to each
    inside = inside_weight(start)
    flow = start
    for _ in range(budget.reweightings):
        step = np.moveaxis(flow - start, -1, 0)
        residual = differences + np.sum(slopes * step, axis=1)
        weight = inside * data_weight(residual)
        tensor = np.einsum("chw,cihw,cjhw->ijhw", weight, slopes, slopes)
        force = -np.moveaxis(np.einsum("chw,cihw,chw->ihw", weight, slopes, residual), 0, -1)
        bonds = smoothness_weight(flow, budget.epsilon_smooth)
        force -= stretch(bonds, flow)
        flow = flow + conjugate_gradients(tensor, bonds, force, budget.iterations)
    return flow


def inside_weight(flow: np.ndarray) -> np.ndarray:
    """1 where x + F is inside the frame, 0 from one pixel outside on: what has left can't be compared."""
    height, width = flow.shape[:2]
    y, x = np.mgrid[:height, :width].astype(flow.dtype)
    beyond_x = np.abs(x + flow[..., 0] - (width - 1) / 2) - (width - 1) / 2
    beyond_y = np.abs(y + flow[..., 1] - (height - 1) / 2) - (height - 1) / 2
    return np.clip(1 - np.maximum(beyond_x, beyond_y), 0, 1)


def data_weight(residual: np.ndarray) -> np.ndarray:
    """ψ'(r)/r for the brightness residual, and a common one for the two gradient residuals: (3, H, W)."""
    brightness = 1 / np.sqrt(residual[0] ** 2 + EPSILON_DATA**2)
    gradients = GAMMA / np.sqrt(residual[1] ** 2 + residual[2] ** 2 + EPSILON_DATA**2)
    return np.stack([brightness, gradients, gradients])


def smoothness_weight(flow: np.ndarray, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """α ψ'(|∇F|)/|∇F| on the bonds between vertical and between horizontal neighbors."""
    square_y, square_x = (np.sum(np.diff(flow, axis=axis) ** 2, axis=-1) / 2 for axis in (0, 1))
    square = np.zeros(flow.shape[:2], flow.dtype)  # |∇F|² of a pixel: half of each of its four squared differences
    square[1:] += square_y
    square[:-1] += square_y
    square[:, 1:] += square_x
    square[:, :-1] += square_x
    weight = ALPHA / np.sqrt(square + epsilon**2)
    return (weight[1:] + weight[:-1]) / 2, (weight[:, 1:] + weight[:, :-1]) / 2


def stretch(bonds: tuple[np.ndarray, np.ndarray], flow: np.ndarray) -> np.ndarray:
    """−div(bond ∇F): how each pixel is pulled away from its four neighbors."""
    down, right = bonds[0][..., None] * np.diff(flow, axis=0), bonds[1][..., None] * np.diff(flow, axis=1)
    out = np.zeros_like(flow)
    out[1:] += down
    out[:-1] -= down
    out[:, 1:] += right
    out[:, :-1] -= right
    return out


def conjugate_gradients(
    tensor: np.ndarray, bonds: tuple[np.ndarray, np.ndarray], force: np.ndarray, iterations: int
) -> np.ndarray:
    """Solve (tensor − div bond ∇) d = force from d = 0; preconditioned by each pixel's own 2×2 block."""
    height, width = force.shape[:2]
    around = np.zeros((height, width), force.dtype)  # the sum of the bonds that meet in a pixel
    around[1:] += bonds[0]
    around[:-1] += bonds[0]
    around[:, 1:] += bonds[1]
    around[:, :-1] += bonds[1]
    (a, b), (_, c) = tensor
    a, c = a + around, c + around
    determinant = a * c - b * b + TINY

    def precondition(r: np.ndarray) -> np.ndarray:
        return np.stack([c * r[..., 0] - b * r[..., 1], a * r[..., 1] - b * r[..., 0]], -1) / determinant[..., None]

    def apply(d: np.ndarray) -> np.ndarray:
        return np.einsum("ijhw,hwj->hwi", tensor, d) + stretch(bonds, d)

    solution, residual = np.zeros_like(force), force
    direction, before = np.zeros_like(force), force.dtype.type(np.inf)
    for _ in range(iterations):
        z = precondition(residual)
        now = np.vdot(residual, z)
        direction = z + direction * (now / (before + TINY))
        pulled = apply(direction)
        length = now / (np.vdot(direction, pulled) + TINY)
        solution, residual, before = solution + length * direction, residual - length * pulled, now
    return solution


def gradient(I: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """d/dx and d/dy by [1 −8 0 8 −1]/12, exact for polynomials of degree 4; edges replicated."""

    def slope(P: np.ndarray) -> np.ndarray:
        return (8 * (P[3:-1] - P[1:-3]) - (P[4:] - P[:-4])) / 12

    return along_axis(slope, I, 1, margin=2), along_axis(slope, I, 0, margin=2)


def warp_cubic(I: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """I(x + F) by Keys' cubic convolution (16 neighbors), coordinates clamped to the frame."""
    height, width = I.shape
    y, x = np.mgrid[:height, :width].astype(I.dtype)
    x, y = np.clip(x + flow[..., 0], 0, width - 1), np.clip(y + flow[..., 1], 0, height - 1)
    i, j = np.floor(x).astype(int), np.floor(y).astype(int)
    across, along = cubic((x - i).astype(I.dtype)), cubic((y - j).astype(I.dtype))
    out = np.zeros_like(I)
    for dy in range(4):
        row = np.clip(j + dy - 1, 0, height - 1)
        out += along[dy] * sum(across[dx] * I[row, np.clip(i + dx - 1, 0, width - 1)] for dx in range(4))
    return out


def cubic(t: np.ndarray) -> tuple[np.ndarray, ...]:
    """Weights of the samples at −1, 0, 1, 2 for the point t in [0, 1)."""
    s = 1 - t
    return -0.5 * t * s * s, 1 + t * t * (1.5 * t - 2.5), 1 + s * s * (1.5 * s - 2.5), -0.5 * s * t * t


def along_axis(function, I: np.ndarray, axis: int, margin: int) -> np.ndarray:
    """Apply `function`, written for axis 0, along `axis` of `I` after replicating `margin` pixels at both ends."""
    I = np.moveaxis(I, axis, 0)
    ends = [(margin, margin)] + [(0, 0)] * (I.ndim - 1)
    return np.moveaxis(function(np.pad(I, ends, mode="edge")), 0, axis)
