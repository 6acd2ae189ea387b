"""Measure what one position of a network's answer sees of its input, instead of believing the formula.

A voxel is a pixel of a clip. What `receptive_field` counts is found here by asking the network itself: does the answer
change when the voxel does?
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np

__all__ = ["measure_receptive_field", "receptive_extent"]

#: values of a batch of changed copies, so that it fits into memory
BATCH = 1 << 20


def measure_receptive_field(
    f: Callable[[Any], Any],
    shape: tuple[int, int, int, int],
    position: tuple[int, ...] | None = None,
    method: Literal["perturbation", "gradient"] = "perturbation",
    draws: int = 4,
    seed: int = 0,
) -> np.ndarray:
    r"""Find the voxels of the input that change one position of an answer.

    A voxel counts if :math:`\partial y_p / \partial x_v \ne 0` on one of the drawn inputs at least. With
    ``"perturbation"`` every voxel is changed in turn, which takes :math:`T H W` copies of the clip for each draw and
    needs NumPy alone. With ``"gradient"`` PyTorch goes back once for each draw. Where max pooling or a ReLU decides who
    is heard, the gradient reaches the winners of that draw only: take more draws, 50 say. Inputs are
    :math:`u^{30}` with uniform u, so that few voxels are bright, and others in every draw.

    Parameters
    ----------
    f
        From (N, C, T, H, W) to (N, C', …): NumPy arrays for ``"perturbation"``, tensors for ``"gradient"``; float64.
        It must treat the samples of a batch one by one.
    shape
        (C, T, H, W) of one input.
    position
        Which position of the answer, one index for each axis behind its channels; its middle if None.
    method
        How to ask.
    draws
        How many random inputs to ask with.
    seed
        Of the random numbers.

    Returns
    -------
    mask
        (T, H, W), bool: which voxels are seen.

    Raises
    ------
    ValueError
        If the shape, the position, the method or the number of draws is impossible.

    References
    ----------
    W. Luo et al., "Understanding the effective receptive field in deep convolutional neural networks", NeurIPS 2016;
    CS231n, "Early Fusion vs Late Fusion vs 3D CNN".

    Examples
    --------
    A convolution over three frames, "same" padding: in the middle it sees three, at the start of the clip two.

    >>> from vidlearn import layers
    >>> f = lambda x: layers.conv3d(x, np.ones((1, 1, 3, 1, 1)), padding=(1, 0, 0))
    >>> measure_receptive_field(f, (1, 5, 1, 1)).ravel()
    array([False,  True,  True,  True, False])
    >>> measure_receptive_field(f, (1, 5, 1, 1), position=(0, 0, 0)).ravel()
    array([ True,  True, False, False, False])
    """
    if len(shape) != 4 or min(shape) < 1:
        raise ValueError(f"shape: expected four positive numbers (C, T, H, W), got {tuple(shape)}")
    if draws < 1:
        raise ValueError(f"draws: expected at least 1, got {draws}")
    if method not in ("perturbation", "gradient"):
        raise ValueError(f'method: expected "perturbation" or "gradient", got {method!r}')
    rng = np.random.default_rng(seed)
    seen = np.zeros(shape[1:], bool)
    for draw in range(draws):
        x = rng.random(shape) ** 30
        if method == "gradient":
            seen |= _by_gradient(f, x, position, rng)
        else:
            _by_perturbation(f, x, position, 2.0 if draw % 2 == 0 else -2.0, seen)
    return seen


def receptive_extent(mask: np.ndarray) -> tuple[int, ...]:
    """Measure how far the marked voxels reach along each axis, from the first to the last.

    Parameters
    ----------
    mask
        Bool, of any number of axes.

    Returns
    -------
    extent
        A number for each axis; 0 where nothing is marked. Gaps, as a dilation leaves them, are counted.

    References
    ----------
    CS231n, "Early Fusion vs Late Fusion vs 3D CNN".

    Examples
    --------
    >>> receptive_extent(np.array([[False, True, False, True, False]]))
    (1, 3)
    """
    marked = np.nonzero(np.asarray(mask))
    return tuple(int(axis.max() - axis.min()) + 1 if axis.size else 0 for axis in marked)


def _at(answer: Any, position: tuple[int, ...] | None) -> Any:
    """All channels of one position of each answer, (N, C')."""
    sizes = tuple(answer.shape[2:])
    if position is None:
        position = tuple(n // 2 for n in sizes)
    if len(position) != len(sizes) or not all(0 <= p < n for p, n in zip(position, sizes, strict=True)):
        raise ValueError(f"position: expected a place in an answer of {sizes} positions, got {tuple(position)}")
    return answer[(slice(None), slice(None), *position)]


def _by_perturbation(f: Any, x: np.ndarray, position: Any, change: float, seen: np.ndarray) -> None:
    """Mark in `seen` the voxels whose change changes the answer; those that are marked are not asked again."""
    for voxels in _batches(np.argwhere(~seen), max(1, BATCH // x.size)):
        clips = np.repeat(x[None], len(voxels) + 1, axis=0)  # the last one stays as it is
        copy, (t, row, column) = np.arange(len(voxels)), voxels.T
        clips[copy, :, t, row, column] += change
        y = np.asarray(_at(f(clips), position))
        # more than what sums in another order differ by
        least = 1e-12 * max(float(np.abs(y).max()), 1e-12)
        seen[t, row, column] |= (np.abs(y[:-1] - y[-1]) > least).any(axis=1)


def _batches(voxels: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return iter(np.array_split(voxels, math.ceil(len(voxels) / size))) if len(voxels) else iter(())


def _by_gradient(f: Any, x: np.ndarray, position: Any, rng: np.random.Generator) -> np.ndarray:
    """Where a random mixture of the answer's channels has a gradient."""
    try:
        import torch
    except ImportError:
        raise ImportError(
            "method 'gradient' needs PyTorch: pip install 'vidlearn[torch]'; or take method='perturbation'"
        ) from None
    clip = torch.from_numpy(x[None]).requires_grad_()
    y = _at(f(clip), position)[0]
    (y * torch.from_numpy(rng.standard_normal(len(y))).to(y)).sum().backward()
    assert clip.grad is not None
    return (clip.grad[0] != 0).any(dim=0).numpy()
