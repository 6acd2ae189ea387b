"""What reference and fast path both refuse, each with one sentence."""

from __future__ import annotations

from typing import Any

Array = Any

#: an operation that holds a weight for every pair refuses to hold more than this
MOST_BYTES = 2 * 2**30


def check_memory(samples: int, queries: int, keys: int, itemsize: int) -> None:
    """Refuse, before it is tried, to hold more weights at once than most computers can."""
    wanted = samples * queries * keys * itemsize
    if wanted > MOST_BYTES:
        times = f"{samples:,} × " if samples > 1 else ""
        raise MemoryError(
            f"{times}{queries:,} queries × {keys:,} keys need {wanted / 1e9:.1f} GB for their weights alone, and this form "
            f"holds them all at once (at most {MOST_BYTES / 1e9:.1f} GB); give it fewer, or use online_attention, which "
            f"holds one tile of them"
        )


def check_mask(mask: Array) -> None:
    """Refuse a mask that leaves a query nothing to look at: there is no mean of nothing."""
    if not bool((mask.sum(-1) > 0).all()):
        raise ValueError(
            f"mask: expected at least one True for each of the {mask.shape[0]} queries, got a row of False only"
        )


def check_pair_weights(pairwise: str, w_f: Array | None, features: int) -> None:
    """Hold w_f to the pairwise function that has it."""
    if (w_f is not None) != (pairwise == "concatenation"):
        wanted = "an array for 'concatenation'" if w_f is None else f"None for {pairwise!r}"
        raise ValueError(f"w_f: expected {wanted}, got {'None' if w_f is None else 'an array'}")
    if w_f is not None and w_f.shape[0] != features:
        raise ValueError(f"w_f: expected {features} numbers, for theta's and phi's features, got {w_f.shape[0]}")


def check_block(pairwise: str, w_theta: Array | None, w_phi: Array | None, over: str, subsample: int) -> None:
    """Hold a block's weights and its sub-sampling to what they are for."""
    for name, w in (("w_theta", w_theta), ("w_phi", w_phi)):
        if (w is None) != (pairwise == "gaussian"):
            wanted = (
                "None for 'gaussian', which compares x with itself" if w is not None else f"weights for {pairwise!r}"
            )
            raise ValueError(f"{name}: expected {wanted}, got {'None' if w is None else 'an array'}")
    check_pool(over, subsample)


def check_pool(over: str, subsample: int, height: int | None = None, width: int | None = None) -> None:
    """Hold the sub-sampling to what it is for, and to the frame if its size is given."""
    if subsample > 1 and over == "time":
        raise ValueError("subsample: expected 1 over time, where each place looks only at itself; got a larger one")
    if height and width and subsample > min(height, width):
        raise ValueError(
            f"subsample: expected at most the frame's {min(height, width)} rows or columns, got {subsample}"
        )


def check_heads(features: int, rows: int, heads: int) -> None:
    """Hold the projection and the heads to the tokens' features."""
    if rows != 3 * features:
        raise ValueError(f"w_qkv: expected {3 * features} rows, for queries, keys and values of {features}, got {rows}")
    if features % heads:
        raise ValueError(f"heads: expected a divisor of the {features} features, got {heads}")
