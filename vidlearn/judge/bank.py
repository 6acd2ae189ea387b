"""Inputs and their expected answers, drawn and evaluated once, used for any number of candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from vidlearn.judge.candidate import Outcome, Runner
from vidlearn.judge.drawing import draw

if TYPE_CHECKING:
    from vidlearn.operation import Operation
    from vidlearn.spec import Law

__all__ = ["BANKS", "Bank", "Case"]

BANKS = 4  # sets of inputs, all of which a wrong answer must face: a row that holds by luck earns nothing
PROBES = 6  # inputs of each family on which mistakes are told apart


@dataclass(frozen=True)
class Case:
    """One input and the reference's answer to it."""

    inputs: dict[str, Any]
    expected: tuple[np.ndarray, ...]
    defined: np.ndarray | None = None
    allowed: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)  # errors, as they are asked for


@dataclass(frozen=True)
class Known:
    """A mistake that has a name: how to run it, and what it answers to the probes."""

    name: str
    hints: tuple[str, ...]
    runner: Runner
    answers: tuple[Outcome, ...]


@dataclass(frozen=True)
class Bank:
    """Cases by family and inputs by law, for one operation, seed and precision.

    The expected answers are the reference's in float64, on inputs that `dtype` can represent exactly as given, so
    that only the candidate's own arithmetic is judged.
    """

    operation: Operation
    seed: int
    dtype: str
    families: dict[str, list[Case]] = field(repr=False)
    laws: list[tuple[Law, list[tuple[str, dict[str, Any]]]]] = field(repr=False)  # each input with its family

    @staticmethod
    def draw(operation: Operation, seed: int = 0, examples: int = 25, dtype: str = "float64") -> Bank:
        """Draw a bank; the same arguments give the same bank (and it is kept, so asking again costs nothing).

        What takes no array has no dtype to follow: it is judged in float64.
        """
        return _draw(operation, seed, examples, dtype if operation.signature.arrays else "float64")

    @cached_property
    def probes(self) -> list[Case]:
        """The first few cases of every family: what a candidate answers here tells one mistake from another."""
        return [case for cases in self.families.values() for case in cases[:PROBES]]

    @cached_property
    def wrong(self) -> list[Known]:
        """Each mistake, with its answers to the probes."""
        return [self._known(m.name, m.hints, m.wrong) for m in self.operation.spec.mistakes]

    @cached_property
    def wrong_pairs(self) -> list[Known]:
        """The same for two mistakes at once, either inside the other."""
        mistakes = self.operation.spec.mistakes
        return [
            self._known(f"{a.name}; and {b.name}", [*a.hints[:1], *b.hints[:1]], outer.wrong, inner.wrong)
            for i, a in enumerate(mistakes)
            for b in mistakes[i + 1 :]
            for outer, inner in ((a, b), (b, a))
        ]

    def _known(self, name: str, hints: Sequence[str], wrong: Any, inner: Any = None) -> Known:
        """Run a mistake (inside which another may stand in for the right implementation) on the probes."""
        right = self.operation.reference
        base = (lambda *a, **k: inner(right, *a, **k)) if inner else right
        runner = Runner(lambda *a, **k: wrong(base, *a, **k), self.operation.signature)
        return Known(name, tuple(hints), runner, tuple(runner(case.inputs) for case in self.probes))

    def case(self, inputs: dict[str, Any]) -> Case:
        """Evaluate the reference on one input."""
        return _case(self.operation, inputs)


def rounded(inputs: dict[str, Any], dtype: str) -> dict[str, Any]:
    """Return inputs whose floating values are exactly representable in `dtype`, held in float64."""

    def one(value: Any) -> Any:
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            return value
        if dtype == "bfloat16":
            bits = value.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
            return bits.view(np.float32).astype(np.float64)
        return value.astype(dtype).astype(np.float64)

    return {name: one(value) for name, value in inputs.items()}


def _case(operation: Operation, inputs: dict[str, Any]) -> Case:
    outcome = Runner(operation.reference, operation.signature)(inputs)
    if outcome.problem:
        raise RuntimeError(
            f"the reference of {operation.name} fails on a case of its own spec: it {outcome.problem}; input {inputs}"
        )
    mask = None
    if operation.spec.defined:
        with np.errstate(all="ignore"):
            several = operation.signature.returns_tuple or operation.signature.returns_list
            mask = np.asarray(operation.spec.defined(outcome.answers if several else outcome.answers[0], **inputs))
    return Case(inputs, outcome.answers, mask)


@lru_cache(maxsize=256)
def _draw(operation: Operation, seed: int, examples: int, dtype: str) -> Bank:
    spec = operation.spec
    drawn = {name: [rounded(i, dtype) for i in draw(strategy, examples, seed)] for name, strategy in spec.cases.items()}
    families = {name: [_case(operation, inputs) for inputs in inputs_list] for name, inputs_list in drawn.items()}
    laws = []
    for law in spec.laws:
        from_families = law.cases or tuple(spec.cases)
        share = max(2, examples // (2 * len(from_families)))
        # the last ones: Hypothesis draws the simplest first, and on an image of zeros hardly a law can break
        asked = [(family, inputs) for family in from_families for inputs in drawn[family][-share:]]
        for name, strategy in law.draws.items():
            extra = draw(strategy, len(asked), seed) or [None]
            asked = [(family, {**inputs, name: extra[i % len(extra)]}) for i, (family, inputs) in enumerate(asked)]
        laws.append((law, asked))
    return Bank(operation, seed, dtype, families, laws)
