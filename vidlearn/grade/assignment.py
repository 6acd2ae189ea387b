"""An assignment: a small TOML file that says which operations are asked for, and what each is worth."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import vidlearn
from vidlearn.grade.sources import source_of
from vidlearn.operation import Operation
from vidlearn.sandbox import Limits

__all__ = ["Assignment", "Question"]

_LIMITS = ("time_limit", "total_limit", "memory_limit")
VISIBILITY = ("visible", "after_published", "after_due_date", "hidden")


@dataclass(frozen=True)
class Question:
    """One asked function.

    Attributes
    ----------
    operation
        What it should compute.
    points
        What a right answer earns.
    split
        Points for single case families and laws by name; what is left is shared evenly by the rest.
    limits
        Time and memory for the submission's code.
    visibility
        ``"visible"`` reports say what held and what broke; otherwise they show marks only.
    helpers
        Operations of vidlearn that the answer may call.
    backend
        What the answer is handed: arrays of NumPy, or tensors of torch. Where the assignment names torch, either may
        come back.
    """

    operation: Operation
    points: float
    split: Mapping[str, float] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    visibility: str = "visible"
    helpers: tuple[Operation, ...] = ()
    backend: str = "numpy"

    def helper_sources(self) -> dict[str, str]:
        """By concept the source of the helpers allowed in it: function by function, with what they are built on."""
        sources = {}
        for concept in vidlearn.CONCEPTS:
            allowed = [helper for helper in self.helpers if helper.concept == concept]
            sources[concept] = source_of(allowed, self.operation.short) if allowed else ""
        return sources

    def shut(self) -> tuple[str, ...]:
        """The names of all operations that the answer does not find in its view of vidlearn."""
        everything = {operation.short for operation in vidlearn.operations().values()}
        return tuple(sorted(everything - {helper.short for helper in self.helpers}))


@dataclass(frozen=True)
class Assignment:
    """What is asked, in order, and which packages a submission may use for it."""

    id: str
    title: str
    questions: tuple[Question, ...]
    packages: tuple[str, ...] = ("numpy",)
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:  # to the grader's other processes by its text: specs hold functions
        return Assignment.from_dict, (self.data, self.id)

    @staticmethod
    def read(path: str | Path) -> Assignment:
        """Read an assignment file; a `ValueError` names the file, the key and what is expected."""
        path = Path(path)
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ValueError(f"assignment: {path} cannot be read ({error.strerror})") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"assignment: {path} is not TOML: {error}") from None
        try:
            return Assignment.from_dict(data, path.stem)
        except ValueError as error:
            raise ValueError(f"assignment: {path}: {error}") from None

    @staticmethod
    def from_dict(data: Mapping[str, Any], default_id: str = "assignment") -> Assignment:
        """The same from the parsed TOML."""
        head = _table(data, "assignment")
        _known(data, "the file", {"assignment", "question"})
        _known(head, "[assignment]", {"id", "title", "helpers", "packages", *_LIMITS, "visibility"})
        asked = data.get("question", [])
        if not isinstance(asked, list) or not asked:
            raise ValueError(
                'there is no [[question]]; write, for example, [[question]] operation = "flow.normal_flow", points = 10'
            )
        questions = tuple(_question(entry, head, i) for i, entry in enumerate(asked, 1))
        names = [q.operation.name for q in questions]
        if len(set(names)) < len(names):
            raise ValueError("an operation is asked for twice")
        if len({q.operation.short for q in questions}) < len(names):
            raise ValueError("two questions ask for functions of the same name")
        name = str(head.get("id", default_id))
        packages = ("numpy", *_extra_packages(head))
        if "torch" not in packages and any(question.backend == "torch" for question in questions):
            raise ValueError('backend = "torch" needs packages = ["torch"] in [assignment]')
        assignment = Assignment(name, str(head.get("title", name)), questions, packages, data)
        for question in questions:  # now, not in the middle of a batch
            question.helper_sources()
        return assignment

    @property
    def max_score(self) -> float:
        """The points of all questions together."""
        return sum(question.points for question in self.questions)


def _question(entry: Any, head: Mapping[str, Any], number: int) -> Question:
    place = f"[[question]] {number}"
    if not isinstance(entry, dict) or "operation" not in entry:
        raise ValueError(f'{place} names no operation; write operation = "flow.normal_flow"')
    _known(entry, place, {"operation", "points", "helpers", "split", *_LIMITS, "visibility", "backend"})
    operation = vidlearn.operation(str(entry["operation"]))
    points = _number(entry, "points", 1.0, place)
    given = Limits()
    seconds = _number(entry, "time_limit", _number(head, "time_limit", given.seconds, "[assignment]"), place)
    total = _number(entry, "total_limit", _number(head, "total_limit", 10 * seconds, "[assignment]"), place)
    mebibytes = _number(
        entry, "memory_limit", _number(head, "memory_limit", given.memory / 2**20, "[assignment]"), place
    )
    visibility = str(entry.get("visibility", head.get("visibility", "visible")))
    if visibility not in VISIBILITY:
        raise ValueError(f"{place}: visibility is {visibility!r}, expected one of {', '.join(VISIBILITY)}")
    backend = str(entry.get("backend", "numpy"))
    if backend not in ("numpy", "torch"):
        raise ValueError(f"{place}: backend is {backend!r}, expected numpy or torch")
    split = {str(name): _number(entry["split"], name, 0, place) for name in entry.get("split", {})}
    there = [*operation.spec.cases, *(law.statement for law in operation.spec.laws)] if split else []
    for name in split:
        if name not in there:
            raise ValueError(
                f"{place}: split names {name!r}; {operation.name} has " + "; ".join(repr(one) for one in there)
            )
    rest = points - sum(split.values())
    if rest < -1e-9 or (split and rest > 1e-9 and len(split) == len(there)):
        raise ValueError(f"{place}: split adds up to {sum(split.values()):g} of {points:g} points")
    helpers = dict.fromkeys([*head.get("helpers", []), *entry.get("helpers", [])])
    allowed = tuple(vidlearn.operation(str(helper)) for helper in helpers)
    limits = Limits(seconds, total, int(mebibytes * 2**20))
    return Question(operation, points, split, limits, visibility, allowed, backend)


def _table(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key, {})
    if not isinstance(value, dict):
        raise ValueError(f"[{key}] is not a table")
    return value


def _known(table: Mapping[str, Any], place: str, keys: set[str]) -> None:
    for key in table:
        if key not in keys:
            raise ValueError(f"{place} has an unknown key {key!r}; there are {', '.join(sorted(keys))}")


def _number(table: Mapping[str, Any], key: str, default: float, place: str) -> float:
    value = table.get(key, default)
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value < 1e9
        or (value == 0 and "limit" in key)
    ):
        raise ValueError(f"{place}: {key} is {value!r}, expected a positive number")
    return float(value)


def _extra_packages(head: Mapping[str, Any]) -> tuple[str, ...]:
    names = tuple(str(name) for name in head.get("packages", []))
    for name in names:
        if not name.isidentifier() or name == "vidlearn":
            raise ValueError(f"packages names {name!r}; expected importable packages such as 'scipy'")
    return tuple(name for name in names if name != "numpy")
