"""Flow as colour: the hue is the direction, the saturation the length."""

from __future__ import annotations

from functools import cache

import numpy as np

from .files import VideoError

__all__ = ["color_wheel_key", "flow_to_color"]


@cache
def _wheel() -> np.ndarray:
    """The 55 hues of the Middlebury wheel, (55, 3) in [0, 1]: from red over yellow, green, cyan, blue and magenta."""
    hues = []
    for steps, rising, falling, full in (
        (15, 1, None, 0),  # red to yellow: green rises
        (6, None, 0, 1),  # yellow to green: red falls
        (4, 2, None, 1),
        (11, None, 1, 2),
        (13, 0, None, 2),
        (6, None, 2, 0),
    ):
        ramp = np.floor(255 * np.arange(steps) / steps)
        hue = np.zeros((steps, 3))
        hue[:, full] = 255
        if rising is not None:
            hue[:, rising] = ramp
        else:
            hue[:, falling] = 255 - ramp
        hues.append(hue)
    return np.concatenate(hues) / 255


def flow_to_color(flow: np.ndarray, max_flow: float | None = None) -> np.ndarray:
    """Show a flow in the colours of the Middlebury benchmark: hue for direction, white for no motion.

    With r = ‖(u, v)‖ / `max_flow` and c the wheel's hue in direction (u, v): 1 − r(1 − c) for r ≤ 1, and 0.75 c beyond.

    Parameters
    ----------
    flow
        (..., H, W, 2), floating point, pixels per frame.
    max_flow
        The length, in pixels per frame, that gets the full colour; by default the longest known flow in the array.
        Give it to compare pictures: the colour of a flow then doesn't depend on the rest of the picture.

    Returns
    -------
    numpy.ndarray
        (..., H, W, 3) uint8. Unknown flow (NaN, infinite, or above 1e9) is black.

    Raises
    ------
    VideoError
        If `flow` has another shape or type, or `max_flow` is not a positive number.

    References
    ----------
    S. Baker et al., "A Database and Evaluation Methodology for Optical Flow", IJCV 92 (2011).

    Examples
    --------
    >>> import numpy as np
    >>> flow_to_color(np.array([[[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [np.nan, 0.0]]]), max_flow=1)
    array([[[255,   0,   0],
            [255, 229,   0],
            [255, 255, 255],
            [  0,   0,   0]]], dtype=uint8)
    """
    flow = np.asarray(flow)
    if flow.ndim < 1 or flow.shape[-1] != 2:
        raise VideoError(f"flow must have shape (..., H, W, 2), got {flow.shape}")
    if not np.issubdtype(flow.dtype, np.floating):
        raise VideoError(f"flow must be floating point, got {flow.dtype}; convert it with flow.astype(numpy.float32)")
    if max_flow is not None and not 0 < max_flow < np.inf:
        raise VideoError(f"max_flow must be a length in pixels per frame above 0, or None, got {max_flow!r}")
    known = (np.abs(flow) <= 1e9).all(-1)
    u, v = np.moveaxis(np.where(known[..., None], flow, 0).astype(np.float64), -1, 0)
    length = np.hypot(u, v)
    radius = (length / (max_flow or length.max(initial=0) or 1.0))[..., None]

    hues = _wheel()
    position = (np.arctan2(-v, -u) / np.pi + 1) / 2 * (len(hues) - 1)
    low = np.floor(position).astype(int)
    part = (position - low)[..., None]
    color = (1 - part) * hues[low] + part * hues[(low + 1) % len(hues)]
    color = np.where(radius <= 1, 1 - radius * (1 - color), 0.75 * color)
    return np.where(known[..., None], np.floor(255 * color), 0).astype(np.uint8)


def color_wheel_key(size: int = 101) -> np.ndarray:
    """Draw the key to `flow_to_color`: a disc in which each pixel has the colour of the flow from the center to it.

    Parameters
    ----------
    size
        Side of the picture in pixels.

    Returns
    -------
    numpy.ndarray
        (size, size, 3) uint8, white outside the disc.

    Examples
    --------
    >>> color_wheel_key(5)[2, 4]  # to the right
    array([255,   0,   0], dtype=uint8)
    """
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise VideoError(f"size must be a whole number of pixels from 1 up, got {size!r}")
    axis = np.linspace(-1, 1, size) if size > 1 else np.zeros(1)
    flow = np.stack(np.meshgrid(axis, axis), axis=-1)
    inside = np.hypot(flow[..., 0], flow[..., 1]) <= 1
    return np.where(inside[..., None], flow_to_color(flow, max_flow=1.0), 255).astype(np.uint8)
