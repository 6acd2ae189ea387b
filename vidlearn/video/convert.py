"""Flow between this library's layout and those of others, for NumPy, torch and CuPy arrays alike.

Here: (..., H, W, 2), last axis (u, v) = (right, down). OpenCV is the same. torchvision, RAFT: (N, 2, H, W), (u, v).
scikit-image: (2, H, W), (row, column) = (v, u). All of them mean I1(x + u, y + v) = I0(x, y).
"""

from __future__ import annotations

from typing import Any

from ..arrays import namespace

__all__ = ["from_channels_first", "from_row_column", "to_channels_first", "to_raft", "to_row_column"]


def to_channels_first(flow: Any) -> Any:
    """(..., H, W, 2) to (..., 2, H, W).

    Examples
    --------
    >>> import numpy as np
    >>> to_channels_first(np.zeros((4, 5, 2))).shape
    (2, 4, 5)
    """
    _check(flow, -1, "(..., H, W, 2)")
    return namespace(flow).stack([flow[..., 0], flow[..., 1]], axis=-3)


def from_channels_first(flow: Any) -> Any:
    """(..., 2, H, W), as torchvision and RAFT give it, to (..., H, W, 2).

    Examples
    --------
    >>> import numpy as np
    >>> from_channels_first(np.zeros((7, 2, 4, 5))).shape
    (7, 4, 5, 2)
    """
    _check(flow, -3, "(..., 2, H, W)")
    return namespace(flow).stack([flow[..., 0, :, :], flow[..., 1, :, :]], axis=-1)


def to_row_column(flow: Any) -> Any:
    """(..., H, W, 2) to scikit-image's (..., 2, H, W) in the order (row, column) = (v, u).

    Examples
    --------
    >>> import numpy as np
    >>> to_row_column(np.array([[[3.0, 4.0]]])).ravel()
    array([4., 3.])
    """
    _check(flow, -1, "(..., H, W, 2)")
    return namespace(flow).stack([flow[..., 1], flow[..., 0]], axis=-3)


def from_row_column(flow: Any) -> Any:
    """scikit-image's (..., 2, H, W), (row, column), to (..., H, W, 2), (u, v).

    Examples
    --------
    >>> import numpy as np
    >>> from_row_column(np.array([[[4.0]], [[3.0]]]))
    array([[[3., 4.]]])
    """
    _check(flow, -3, "(..., 2, H, W)")
    return namespace(flow).stack([flow[..., 1, :, :], flow[..., 0, :, :]], axis=-1)


def to_raft(flow: Any) -> Any:
    """(H, W, 2) or (N, H, W, 2) to (N, 2, H, W), the batch that torchvision's RAFT gives.

    `from_channels_first` goes back.

    Examples
    --------
    >>> import numpy as np
    >>> to_raft(np.zeros((4, 5, 2))).shape
    (1, 2, 4, 5)
    """
    first = to_channels_first(flow)
    return first[None] if first.ndim == 3 else first


def _check(flow: Any, axis: int, expected: str) -> None:
    if flow.ndim < 3 or flow.shape[axis] != 2:
        raise ValueError(f"flow must have shape {expected}, got {tuple(flow.shape)}")
