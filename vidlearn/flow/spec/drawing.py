"""Strategies that the flow specs share.

Values lie on a grid of quarters, so that a shrunk counterexample can be checked by hand and is exact in every dtype.
"""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
from hypothesis.extra import numpy as hnp

# ------------------------------------------------------------------ drawing

quarters = st.integers(-8, 8).map(lambda k: k / 4)
unit = st.integers(0, 4).map(lambda k: k / 4)
ZERO_OR_ONE = st.sampled_from([0.0, 0.0, 1.0])


def sizes(most: int = 5, least: int = 1) -> st.SearchStrategy[tuple[int, int]]:
    """(H, W), with sizes of one row, one column and one pixel among them."""
    return st.tuples(st.integers(least, most), st.integers(least, most))


def fields(
    names: str, elements: st.SearchStrategy[float] = quarters, most: int = 5, least: int = 1, **more: Any
) -> st.SearchStrategy[dict[str, Any]]:
    """Arrays of one common (H, W), by name; `more` adds further arguments, each a strategy."""

    def of_shape(shape: tuple[int, int]) -> st.SearchStrategy[dict[str, Any]]:
        arrays = {name: hnp.arrays(np.float64, shape, elements=elements, fill=st.nothing()) for name in names.split()}
        return st.fixed_dictionaries({**arrays, **more})

    return sizes(most, least).flatmap(of_shape)


def rng_fields(names: str) -> Any:
    """Normal random fields of a realistic size, for timing."""

    def large(size: tuple[int, int], rng: np.random.Generator) -> dict[str, Any]:
        return {name: rng.normal(size=size) for name in names.split()}

    return large
