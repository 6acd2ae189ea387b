"""One figure of a deck, and the rule by which it is judged."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["VERDICTS", "Figure", "Result"]

VERDICTS = ("matches", "matches under another convention", "slide is wrong", "not reproduced")

Value = float | int | str


@dataclass(frozen=True)
class Result:
    """A figure recomputed: what ``vidlearn tables --json`` prints."""

    deck: str
    slide: str
    item: str
    slide_value: str
    computed: str
    unit: str
    convention: str
    verdict: str
    explanation: str

    def to_dict(self) -> dict[str, str]:
        """Return the fields by name."""
        return asdict(self)


@dataclass(frozen=True)
class Figure:
    """A value as a slide prints it, and how to compute it.

    Parameters
    ----------
    deck, slide, item
        Where it stands, and what it says.
    slide_value
        As printed; its digits say how precisely it is compared.
    compute
        Computes it by `convention`, in `unit`; never from `slide_value`.
    convention
        What is counted, and how.
    other
        Another convention, by name, by which the slide's value may come out.
    slip
        Computes what the slide prints *if* it has made the mistake that `explanation` names.
    derived
        Whether `compute` takes numbers from the same slide only: then a disagreement is the slide's own.
    expected
        The verdict that ``--check`` holds it to.
    explanation
        Why it is not simply right.
    """

    deck: str
    slide: str
    item: str
    slide_value: str
    compute: Callable[[], Value]
    unit: str = ""
    convention: str = ""
    other: tuple[str, Callable[[], Value]] | None = None
    slip: Callable[[], Value] | None = None
    expected: str = "matches"
    explanation: str = ""
    derived: bool = False

    def agrees(self, value: Value) -> bool:
        """Return whether the slide prints this value: text exactly, a number to the digits it prints."""
        if isinstance(value, str):
            return value == self.slide_value
        found = re.fullmatch(r"~?(-?\d+)(?:\.(\d+))?", self.slide_value)
        if found is None:
            raise ValueError(f"slide_value: expected a number such as 39.5, got {self.slide_value!r}")
        decimals = len(found[2] or "")
        return abs(value - float(self.slide_value.lstrip("~"))) <= 0.5 * 10.0**-decimals + 1e-9

    def recompute(self) -> Result:
        """Compute the figure, and say how the slide's value stands to it."""
        value = self.compute()
        convention, explanation = self.convention, self.explanation
        if self.agrees(value):
            verdict = "matches"
        elif self.other and self.agrees(self.other[1]()):
            verdict, convention = "matches under another convention", f"{self.convention}; the slide: {self.other[0]}"
        elif isinstance(value, str) or self.derived or (self.slip and self.agrees(self.slip())):
            verdict = "slide is wrong"
        else:
            verdict = "not reproduced"
        return Result(
            self.deck,
            self.slide,
            self.item,
            self.slide_value,
            self._text(value),
            self.unit,
            convention,
            verdict,
            explanation,
        )

    def _text(self, value: Any) -> str:
        """Print a number with two digits more than the slide, whole numbers whole."""
        if isinstance(value, str | int):
            return str(value)
        decimals = len(self.slide_value.partition(".")[2]) + 2
        return f"{value:.{decimals}f}"
