"""How the specs of the layers draw their arrays: quarters, drawn whole and then cut."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import hypothesis.strategies as st

from vidlearn.spec import array_of

__all__ = ["array_of", "cut_to", "each_axis", "features_of", "unsaid"]

Shapes = Mapping[str, tuple[int, ...]]


def cut_to(most: Shapes, sizes: st.SearchStrategy[tuple[Shapes, Mapping[str, Any]]]) -> st.SearchStrategy[Any]:
    """Arrays of the shapes that `sizes` draws, with the further arguments it draws.

    The largest arrays are drawn and then cut, so that a smaller example keeps the values of the larger one.
    """

    def cut(drawn: Any, arrays: Any) -> Any:
        shapes, more = drawn
        return {**{n: arrays[n][tuple(map(slice, shape))].copy() for n, shape in shapes.items()}, **more}

    return st.builds(cut, sizes, st.fixed_dictionaries({n: array_of(*shape) for n, shape in most.items()}))


def each_axis(axes: int, *choices: int) -> st.SearchStrategy[tuple[int, ...]]:
    """One of `choices` for each axis, but not the first of them for all."""
    return st.sampled_from([c for c in product(choices, repeat=axes) if any(n != choices[0] for n in c)])


def unsaid(inputs: st.SearchStrategy[Any], **defaults: Any) -> st.SearchStrategy[Any]:
    """The same inputs, where an argument that has its default's value is left out: so the default itself is asked."""

    def say(given: Any) -> Any:
        return {name: value for name, value in given.items() if name not in defaults or value != defaults[name]}

    return inputs.map(say)


def features_of(size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns that a network has left of a frame of `size`: one for 16 pixels, even, and four at least."""
    height, width = (max(4, n // 16 // 2 * 2) for n in size)
    return height, width
