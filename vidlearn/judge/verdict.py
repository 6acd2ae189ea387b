"""The verdict: plain data with three faces (text, a card in a notebook, JSON)."""

from __future__ import annotations

import json
import re
import textwrap
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

__all__ = ["Counterexample", "Named", "Picture", "Row", "Verdict"]

READABLE = 64  # arrays with more elements than this are shown by shape and range
LARGE = "an array of shape"
MOST_CALLS = 3  # of a law that are shown


@dataclass(frozen=True)
class Row:
    """One thing that was looked at: a case family, a law, or the form of the answer."""

    kind: str
    name: str
    held: bool
    detail: str = ""

    @property
    def title(self) -> str:
        """The name, with a word before it that says it is a family of cases."""
        return f"cases: {self.name}" if self.kind == "case" else self.name


@dataclass(frozen=True)
class Named:
    """The mistake that an answer looks like, with its hints from the gentlest to the plainest."""

    name: str
    hints: list[str]


@dataclass(frozen=True)
class Picture:
    """A piece of an answer that can be drawn, and the right one beside it; `name` says which piece."""

    name: str
    expected: np.ndarray
    got: np.ndarray


Call = tuple[tuple[str, Any, bool], ...]  # each argument: its name, its value, and whether it is given by name


@dataclass(frozen=True)
class Counterexample:
    """The smallest input found on which the answer is wrong.

    `calls` are those that show it: one on the input itself, or those that a law makes with what it makes of the input.
    """

    breaks: str
    inputs: dict[str, Any]
    where: str
    expected: str
    got: str
    pictures: tuple[Picture, ...] = field(default=(), compare=False)
    calls: tuple[Call, ...] = field(default=(), compare=False)

    def paste(self) -> dict[str, str]:
        """Return each argument as Python that can be pasted."""
        return {name: _literal(value) for name, value in self.inputs.items()}

    def lines(self, function: str, array: str = "{}") -> list[str]:
        """Return the input and the calls as lines of Python, for a cell below the function.

        `array` wraps each array, such as ``"torch.from_numpy({})"``. What is too large to be written out is a comment.
        """

        def literal(value: Any) -> str:
            text = _literal(value)
            return array.format(text) if text.startswith("np.array(") else text

        lines = [f"{name} = {literal(value)}" for name, value in self.inputs.items()]
        for call in self.calls[:MOST_CALLS]:
            given = [
                (f"{name}=" if named else "") + (name if _alike(self.inputs.get(name), value) else literal(value))
                for name, value, named in call
            ]
            lines.append(f"{function}({', '.join(given)})")
        lines = [f"# {line}" if LARGE in line else line for line in lines]
        if any(re.search(r"\b(?:nan|inf)\b", line) for line in lines):
            lines.insert(0, "from numpy import inf, nan")
        return lines


def _literal(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return repr(value)
    if value.size > READABLE:
        return f"{LARGE} {value.shape}, from {np.nanmin(value):.4g} to {np.nanmax(value):.4g}"
    return f"np.array({value.tolist()!r})"


def _alike(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    return type(a) is type(b) and bool(a == b)


@dataclass(frozen=True)
class Verdict:
    """What the judge found about one implementation.

    Attributes
    ----------
    status
        ``"right"``, ``"wrong"``, ``"not attempted"``, or the word a sandbox gave (``"timed out"``, ``"crashed"``, …).
    rows
        Everything that was looked at, whether it held, and what broke.
    counterexample, mistake
        The smallest failing input, and the named mistake that explains every probed answer, if one does.
    """

    operation: str
    backend: str = "numpy"
    device: str = "cpu"
    dtype: str = "float64"
    seed: int = 0
    status: str = "wrong"
    rows: list[Row] = field(default_factory=list)
    counterexample: Counterexample | None = None
    mistake: Named | None = None
    notes: list[str] = field(default_factory=list)
    stopped: str = ""
    replay: str = ""

    @property
    def right(self) -> bool:
        """Whether everything held."""
        return self.status == "right"

    @property
    def shown(self) -> list[Row]:
        """The rows that are listed and counted: case families, laws, and what breaks the form; a right form is no feat."""
        return [row for row in self.rows if row.kind != "form" or not row.held]

    @property
    def score(self) -> float:
        """The share of case families and laws that hold; 0 unless at least one case family does."""
        judged = [row for row in self.rows if row.kind != "form"]
        if self.stopped or not any(row.held for row in judged if row.kind == "case"):
            return 0.0
        return sum(row.held for row in judged) / len(judged)

    def hint(self, number: int = 1) -> str:
        """Return hint `number` of the mistake it looks like, from 1; the next one only when you ask for it."""
        if not self.mistake or not 1 <= number <= len(self.mistake.hints):
            return "there is no further hint"
        return self.mistake.hints[number - 1]

    def with_rows_of(self, other: Verdict) -> Verdict:
        """The same where a row also has to hold in another verdict, on other inputs."""
        broken = {row.name: row for row in other.rows if not row.held}
        rows = [broken.pop(row.name, row) if row.held else row for row in self.rows]
        names = {row.name for row in self.rows}
        return replace(self, rows=rows + [row for name, row in broken.items() if name not in names])

    # -- faces ---------------------------------------------------------------------------------------------------

    def text(self, hints: int = 1) -> str:
        """Return the verdict for a terminal, with the first `hints` hints."""
        head = f"{self.status}   {self.operation}"
        if self.shown:
            head += f"   {sum(row.held for row in self.shown)} of {len(self.shown)} hold"
        where = (
            ""
            if (self.backend, self.dtype) == ("numpy", "float64")
            else f"   {self.backend} {self.device} {self.dtype}"
        )
        lines = [f"{head}{where}   seed {self.seed}"]
        for title, body in self._facts(hints):
            unbroken = title == "again"  # a command must stay one line
            parts = [body] if unbroken else body.split("\n")
            wrapped = [
                w for p in parts for w in (textwrap.wrap(p, 10**4 if unbroken else 104, subsequent_indent="  ") or [""])
            ]
            lines += [f"  {title:<11} {wrapped[0]}", *(f"  {'':<11} {more}" for more in wrapped[1:])]
        return "\n".join(lines)

    def _facts(self, hints: int) -> list[tuple[str, str]]:
        """The lines of the verdict: a title of one or two words, and what there is to say."""
        facts = []
        held = [row.title for row in self.shown if row.held]
        broken = [row for row in self.shown if not row.held]
        if self.status == "not attempted":
            facts.append(("to do", "the function raises NotImplementedError; write its body and check again"))
        if self.stopped:
            facts.append(("stopped", self.stopped))
        if held:
            facts.append(("holds", "; ".join(held)))
        if broken:
            facts.append(
                (
                    "breaks",
                    "\n".join(row.title + (f": it {row.detail}" if row.kind == "form" else "") for row in broken),
                )
            )
        if self.counterexample:
            c = self.counterexample
            facts.append(("smallest", "\n".join(c.lines(self.operation.rpartition(".")[2]))))
            facts.append(
                ("", f"{c.where}   expected {c.expected}   got {c.got}".strip() if c.expected else f"it {c.got}")
            )
        if self.mistake:
            facts.append(("looks like", self.mistake.name))
            for i in range(min(hints, len(self.mistake.hints))):
                facts.append((f"hint {i + 1}/{len(self.mistake.hints)}", self.mistake.hints[i]))
        facts += [("note", note) for note in self.notes]
        if self.replay and self.status not in ("right", "not attempted"):
            facts.append(("again", self.replay))
        return facts

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as plain data, ready for JSON."""
        c = self.counterexample
        return {
            "operation": self.operation,
            "backend": self.backend,
            "device": self.device,
            "dtype": self.dtype,
            "seed": self.seed,
            "status": self.status,
            "score": round(self.score, 6),
            "rows": [{"kind": r.kind, "name": r.name, "held": r.held, "detail": r.detail} for r in self.rows],
            "counterexample": c
            and {"breaks": c.breaks, "inputs": c.paste(), "where": c.where, "expected": c.expected, "got": c.got},
            "mistake": self.mistake and {"name": self.mistake.name, "hints": list(self.mistake.hints)},
            "notes": list(self.notes),
            "stopped": self.stopped,
            "replay": self.replay,
        }

    def to_json(self, indent: int | None = 2) -> str:
        """Return :meth:`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False)

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from vidlearn.judge.card import card

        return card(self)
