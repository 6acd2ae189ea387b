"""Strategies that the flow specs share.

Values lie on a grid of quarters, so that a shrunk counterexample can be checked by hand and is exact in every dtype.
"""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
from hypothesis.extra import numpy as hnp

from vidlearn.spec import array_of

# ------------------------------------------------------------------ drawing

quarters = st.integers(-8, 8).map(lambda k: k / 4)
unit = st.integers(0, 4).map(lambda k: k / 4)
ZERO_OR_ONE = st.sampled_from([0.0, 0.0, 1.0])


def sizes(most: int = 5, least: int = 1) -> st.SearchStrategy[tuple[int, int]]:
    """(H, W), with sizes of one row, one column and one pixel among them."""
    return st.tuples(st.integers(least, most), st.integers(least, most))


def drawn(shape: tuple[int, ...], elements: st.SearchStrategy[Any] = quarters, dtype: Any = np.float64) -> Any:
    """An array of the given shape."""
    if elements is quarters:
        return array_of(*shape)
    return hnp.arrays(dtype, shape, elements=elements, fill=st.nothing())


def cut(
    sizes: st.SearchStrategy[tuple[int, int]], most: tuple[int, int], tails: dict[str, tuple[int, ...]], **more: Any
) -> st.SearchStrategy[dict[str, Any]]:
    """Arrays of quarters on one grid, by name each with its further axes.

    The largest grid is drawn and then cut, so that a smaller example keeps the values of the larger one.
    """

    def of_size(size: tuple[int, int], arrays: dict[str, Any], rest: dict[str, Any]) -> dict[str, Any]:
        return {**{name: a[: size[0], : size[1]].copy() for name, a in arrays.items()}, **rest}

    whole = st.fixed_dictionaries({name: array_of(*most, *tail) for name, tail in tails.items()})
    return st.builds(of_size, sizes, whole, st.fixed_dictionaries(more))


def fields(
    names: str, elements: st.SearchStrategy[float] = quarters, most: int = 5, least: int = 1, **more: Any
) -> st.SearchStrategy[dict[str, Any]]:
    """Arrays of one common (H, W), by name; `more` adds further arguments, each a strategy."""
    if elements is quarters:
        return cut(sizes(most, least), (most, most), dict.fromkeys(names.split(), ()), **more)

    def of_shape(shape: tuple[int, int]) -> st.SearchStrategy[dict[str, Any]]:
        return st.fixed_dictionaries({**{name: drawn(shape, elements) for name in names.split()}, **more})

    return sizes(most, least).flatmap(of_shape)


def rng_fields(names: str) -> Any:
    """Normal random fields of a realistic size, for timing."""

    def large(size: tuple[int, int], rng: np.random.Generator) -> dict[str, Any]:
        return {name: rng.normal(size=size) for name in names.split()}

    return large
