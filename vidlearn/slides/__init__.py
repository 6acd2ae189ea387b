"""The decks' figures as data, and the code that recomputes each: ``vidlearn tables`` prints them.

A slide's slip is never copied. Where a figure is wrong, the code that computes it right stands beside the code that
makes the slide's mistake, and the verdict follows from the two.

>>> from vidlearn import slides
>>> wrong = [r.item for r in slides.recompute(deck="CS231n") if r.verdict == "slide is wrong"]
>>> "C3D, FC6" in wrong
True
"""

from __future__ import annotations

import importlib

from vidlearn.slides.figure import VERDICTS, Figure, Result

#: the decks by their short names; the figures of each stand in a file of that name
DECKS = {
    "CS231n": "CS231n lecture 10, Video Understanding",
    "L9": "Lecture 9, Video Recognition, Optical Flow",
    "SJTU": "Action Recognition in Videos",
    "NLA": "A New Level of Action Understanding",
    "zh": "Video Understanding (in Chinese)",
}

__all__ = ["DECKS", "VERDICTS", "Figure", "Result", "figures", "recompute"]


def figures(deck: str | None = None) -> list[Figure]:
    """Return every figure, or those of one deck, in the order of the slides."""
    if deck is not None and deck not in DECKS:
        raise ValueError(f"deck: expected one of {', '.join(DECKS)}, got {deck!r}")
    wanted = [deck] if deck else list(DECKS)
    return [f for name in wanted for f in importlib.import_module(f"vidlearn.slides.{name.lower()}").FIGURES]


def recompute(deck: str | None = None) -> list[Result]:
    """Recompute every figure, or those of one deck."""
    return [figure.recompute() for figure in figures(deck)]
