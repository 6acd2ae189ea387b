"""What makes an implementation right: the vocabulary in which every concept's ``spec.py`` is written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["Cost", "Law", "Mistake", "Spec", "Tolerance", "array_of", "largest"]

Inputs = dict[str, Any]


@dataclass(frozen=True)
class Law:
    """A property that holds with no reference at all.

    Parameters
    ----------
    statement
        One line for the student; it completes "breaks …".
    holds
        ``holds(f, **inputs)``: uses the implementation `f` and returns ``(got, expected)`` or ``(got, expected, mask)``,
        arrays the judge compares with the operation's tolerance, or a bool.
    cases
        The case families whose inputs it is tried on; all of them if empty.
    draws
        Strategies for further named arguments of `holds` (a shift, a permutation's seed, …).
    """

    statement: str
    holds: Callable[..., Any]
    cases: tuple[str, ...] = ()
    draws: Mapping[str, SearchStrategy[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Mistake:
    """A wrong implementation that careful people write, with a name and hints that lead out of it.

    `wrong` is called as ``wrong(right, *inputs)``: it may use the right implementation (and then two mistakes can be
    combined), or ignore it.
    """

    name: str
    wrong: Callable[..., Any]
    hints: Sequence[str]


@dataclass(frozen=True)
class Tolerance:
    """How far a right answer may be from the reference, and why.

    The allowed error is ``ulps × eps(dtype) × scale``; `scale` defaults to the largest magnitude among the expected
    answer and the inputs (so that an expected zero still allows for the rounding of what it was made from). A person's answer is held to ``loose × scale`` instead: it may carry a small epsilon in a denominator or
    run in float32. The suite proves that every named mistake is further away than that.
    """

    ulps: float
    why: str
    loose: float = 1e-4
    scale: Callable[..., Any] | None = None

    def allowed(self, expected: np.ndarray, inputs: Inputs, dtype: str, strict: bool) -> Any:
        """Return the largest allowed absolute error, an array or a number."""
        if expected.dtype.kind != "f":
            return 0.0
        scale = self.scale(expected, **inputs) if self.scale else largest(expected, *inputs.values())
        precise = self.ulps * (2.0**-7 if dtype == "bfloat16" else float(np.finfo(dtype).eps))
        return np.maximum(precise if strict else max(self.loose, precise), 0) * scale


def largest(*values: Any) -> float:
    """Return the largest finite magnitude in the floating-point arrays among `values`, 0 if there is none."""
    floats = [np.abs(v[np.isfinite(v)]) for v in values if isinstance(v, np.ndarray) and v.dtype.kind == "f"]
    return max((float(v.max()) for v in floats if v.size), default=0.0)


def array_of(*shape: int) -> SearchStrategy[np.ndarray]:
    """Quarters from −2 to 2, drawn as one string of bytes: quicker to draw and to shrink than number by number."""
    import hypothesis.strategies as st

    count = math.prod(shape)

    def values(drawn: bytes) -> np.ndarray:
        steps = np.frombuffer(drawn, np.uint8).astype(int) % 17  # 0, 1, 2, 3, 4, … stand for 0, ¼, −¼, ½, −½, …
        return (np.where(steps % 2, steps + 1, -steps) / 8).reshape(shape)

    return st.binary(min_size=count, max_size=count).map(values)


@dataclass(frozen=True)
class Cost:
    """Floating-point operations, and the fewest bytes that must move, as functions of the sizes.

    Each is called with a namespace of the named sizes (``s.H``, ``s.W``, …), ``s.pixels``, ``s.itemsize`` and the
    scalar arguments (``s.window``, …).
    """

    flops: Callable[[Any], float]
    bytes: Callable[[Any], float]

    @staticmethod
    def sizes(sizes: Mapping[str, int], itemsize: int, scalars: Mapping[str, Any]) -> SimpleNamespace:
        """Collect what the two functions may ask for."""
        named = {axis.lstrip("*").replace(" axes", "_axes"): n for axis, n in sizes.items()}
        leading = [n for axis, n in sizes.items() if axis.startswith("*B") and not axis.endswith(" axes")]
        pixels = sizes["H"] * sizes["W"] if {"H", "W"} <= sizes.keys() else math.prod(leading)
        known = {"pixels": pixels, "channels": sizes.get("*C0", 1), "itemsize": itemsize}
        return SimpleNamespace(**{**scalars, **named, **known})


@dataclass(frozen=True)
class Spec:
    """Everything the judge needs to know about one operation.

    Parameters
    ----------
    cases
        Named families of inputs; each a Hypothesis strategy for keyword arguments. Values on a coarse grid (quarters)
        make a shrunk counterexample one that a person can check by hand.
    laws, mistakes
        See :class:`Law` and :class:`Mistake`.
    accepted
        Right answers in other styles, ``style(*inputs)``: the suite proves that each passes.
    tolerance, cost
        See :class:`Tolerance` and :class:`Cost`.
    defined
        ``defined(expected, **inputs)``: mask of the elements where the answer is well-defined; None if everywhere.
    components
        Names along the last axis of the answer, such as ``("u", "v")``, for messages.
    outputs
        Names of the answers, where there are several.
    large
        ``large(size, rng)``: one input of a realistic size, for timing.
    """

    cases: Mapping[str, SearchStrategy[Inputs]]
    laws: Sequence[Law]
    mistakes: Sequence[Mistake]
    tolerance: Tolerance
    cost: Cost
    large: Callable[[tuple[int, int], np.random.Generator], Inputs]
    accepted: Sequence[Callable[..., Any]] = ()
    defined: Callable[..., Any] | None = None
    components: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
