"""Check your functions: stored cases with their answers, and laws that every right answer obeys. It needs NumPy only.

    from checks import check

    check(normal_flow)

shows what holds and what breaks, with the smallest stored input on which the function goes wrong. This is not the
grading: that draws other inputs. ``cases.npz`` holds the numbers, ``laws_*.py`` the laws.
"""

from __future__ import annotations

import importlib
import io
import json
import numbers
import signal
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

__all__ = ["Card", "check"]

READABLE = 64  # arrays with more elements than this are shown by shape and range
PRINTED = 10  # lines that a function prints and are shown
FORM = "the answer has the right shape and type"
LAYOUT = "reads arrays in any memory layout"


class Card:
    """What was found about one function: `right`, and a row (name, what broke or "") for all that is counted."""

    def __init__(
        self, name: str, status: str, rows: list[tuple[str, str]], smallest: str = "", notes: str = ""
    ) -> None:
        self.name, self.status, self.rows, self.smallest, self.notes = name, status, rows, smallest, notes

    @property
    def right(self) -> bool:
        """Whether everything held."""
        return self.status == "right"

    def __repr__(self) -> str:
        held = [name for name, why in self.rows if not why]
        lines = [f"{self.status}   {self.name}" + (f"   {len(held)} of {len(self.rows)} hold" if self.rows else "")]
        facts = [("holds", "; ".join(held))]
        facts += [("breaks", f"{name}: it {why}" if name == FORM else name) for name, why in self.rows if why]
        facts += [("smallest" if i == 0 else "", line) for i, line in enumerate(self.smallest.splitlines())]
        for title, text in [*facts, ("note", self.notes)]:
            for i, line in enumerate(textwrap.wrap(text, 104, subsequent_indent="  ")):
                lines.append(f"  {'' if i else title:<9} {line}")
        return "\n".join(lines)


class _Form(Exception):
    """The answer is not even of the right kind."""


class _Stopped(BaseException):
    """There is nothing to say of the answers but this status and sentence; `except Exception` does not swallow it."""


class _Withheld(ImportError):
    """A helper that the exercise allows is not among the checks."""


@contextmanager
def _limit(seconds: float | None) -> Iterator[None]:
    """Stop a call after that many seconds, where the system can and nobody else has an alarm set."""
    here = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if seconds is None or seconds <= 0 or not here or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return

    def ring(*_: object) -> None:
        raise _Stopped("timed out", _ENDLESS.format(seconds))

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)  # once more: it may have rung just as the first was called
        signal.signal(signal.SIGALRM, before if before is not None else signal.SIG_DFL)


@contextmanager
def _quietly() -> Iterator[None]:
    """Show the first lines that are printed, and say how many more there were."""
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            yield
    finally:
        lines = printed.getvalue().splitlines()
        for line in lines[:PRINTED]:
            print(line)
        if more := len(lines[PRINTED:]):
            print(f"… and {more} more printed line{'s' * (more > 1)}")


def check(function: Callable[..., Any], *, seconds: float | None = 10) -> Card:
    """Look at a function: it is known by its name.

    One call may take `seconds`; None is for ever, and shows all that is printed: for a debugger, say. On Windows, and
    outside the main thread, there is no limit.
    """
    name = getattr(function, "__name__", "")
    index, question = _store()[0], _store()[0]["questions"].get(name)
    if question is None:
        raise ValueError(f"there are no checks for {name or function!r}; there are for {', '.join(index['questions'])}")
    try:
        with _quietly() if seconds else nullcontext():
            return _Check(function, name, question, seconds).card()
    except _Stopped as stop:
        status, sentence = stop.args
        return Card(name, status, [], notes=sentence)


_ENDLESS = (
    "no answer within {:g} s: is there a loop that never ends? "
    "A loop over pixels is slow, too: NumPy computes whole arrays at once"
)


class _Check:
    def __init__(
        self, function: Callable[..., Any], name: str, question: dict[str, Any], seconds: float | None
    ) -> None:
        self.function, self.name, self.question, self.seconds = function, name, question, seconds
        self.form = self.smallest = ""
        self.changed: set[str] = set()
        self.unanswered: set[str] = set()
        self.size = 0
        self.attempted = False

    def card(self) -> Card:
        rows = [(f"cases: {name}", self.family(name, cases)) for name, cases in self.question["families"].items()]
        if not self.attempted:
            return Card(self.name, "not attempted", [], notes="the function raises NotImplementedError: write its body")
        if self.form:  # a right form is no feat, and not counted
            rows.insert(0, (FORM, self.form))
        elif layout := self.layout():
            rows.append((LAYOUT, layout))
        rows += [(law["statement"], self.law(law)) for law in self.question["laws"]]
        notes = []
        if self.changed:
            notes.append(f"your function modifies its argument {' and '.join(sorted(self.changed))}; work on a copy")
        if left := self.question["laws_left_out"]:
            notes.append(f"{left} more law{'s are' if left > 1 else ' is'} looked at when it is graded")
        status = "wrong" if any(why for _, why in rows) else "right"
        return Card(self.name, status, rows, self.smallest, "; ".join(notes))

    def family(self, name: str, cases: list[dict[str, Any]]) -> str:
        """What breaks on the first case that is answered wrong; they are stored by size."""
        first = ""
        for case in cases:
            inputs, expected = _opened(case["inputs"]), _opened(case["answers"])
            try:
                got = self.answers(inputs, case["keywords"])
            except NotImplementedError:
                got, why = [], "raises NotImplementedError: there is no answer yet"
            except _Form as error:
                got, why, self.attempted = [], str(error), True
            else:
                why, self.attempted = _form_problem(got, expected), True
            if not got:
                self.unanswered.add(name)
            self.form = self.form or why
            if not why:
                why = self.difference(got, expected, _opened(case["allowed"]), _opened(case["defined"]))
            if why and not first:
                first = why
                self.remember(inputs, why)
        return first

    def layout(self) -> str:
        """The same cases in memory with gaps, as `a[..., 0]` or a slice has it."""
        for cases in self.question["families"].values():
            for case in cases[:3]:
                inputs, expected = _opened(case["inputs"]), _opened(case["answers"])
                try:
                    whole = self.answers(inputs, case["keywords"])
                    apart = self.answers(inputs, case["keywords"], _with_gaps)
                except (_Form, NotImplementedError):
                    return "breaks on a view with gaps in memory"
                allowed = [a + 1e-4 * _largest(e) for a, e in zip(_opened(case["allowed"]), expected, strict=True)]
                if _form_problem(apart, whole) or self.difference(apart, whole, allowed, _opened(case["defined"])):
                    return "answers differently on a view with gaps in memory"
        return ""

    def law(self, law: dict[str, Any]) -> str:
        """What breaks a law where there is an answer; a family without one has its own row, and takes no law with it."""
        holds = getattr(importlib.import_module(f".{law['module']}", __package__), law["function"])
        several = self.question["form"] != "one"

        def answer(*args: Any, **kwargs: Any) -> Any:
            inputs = {**dict(zip(self.question["parameters"], args, strict=False)), **kwargs}
            got = self.answers(inputs, [*kwargs])
            got = [g.astype(float) if g.dtype.kind == "f" else g for g in got]
            return tuple(got) if several else got[0]

        stated, silent = False, ""
        for stored in law["tries"]:
            inputs, answered = _opened(stored["inputs"]), True
            try:
                with np.errstate(all="ignore"):
                    said = holds(answer, **inputs)
                if isinstance(said, bool | np.bool_):
                    why = "" if said else "breaks it"
                else:
                    got, expected, *mask = map(np.asarray, said)
                    why = _form_problem([got], [expected]) or self.difference(
                        [got], [expected], [_opened(stored["allowed"])], mask[0] if mask else None
                    )
            except (_Form, NotImplementedError) as error:
                why, answered = str(error) or "raises NotImplementedError", False
            except Exception as error:
                why = f"raises {type(error).__name__}: {error}"
            if why and (answered or stored["family"] not in self.unanswered):
                if not self.smallest:
                    self.remember(inputs, f"breaks “{law['statement']}”: {why}")
                return why
            stated, silent = stated or not why, silent or why
        return "" if stated else silent

    def answers(
        self, inputs: dict[str, Any], keywords: list[str], changed: Callable[[Any], Any] = np.copy
    ) -> list[Any]:
        """Call the function on copies and return its answers as arrays, or say what came instead."""
        arrays = {n: changed(v) for n, v in inputs.items() if isinstance(v, np.ndarray)}
        given = {**inputs, **(_tensors(arrays) if self.question["backend"] == "torch" else arrays)}
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"), _limit(self.seconds):
                warnings.simplefilter("ignore")
                said = self.function(
                    *(v for n, v in given.items() if n not in keywords),
                    **{n: v for n, v in given.items() if n in keywords},
                )
        except NotImplementedError:
            raise
        except _Withheld as error:
            raise _Stopped("can't be checked here", str(error)) from None
        except Exception as error:
            first = (str(error).strip().splitlines() or [""])[0][:200]
            raise _Form(f"raises {type(error).__name__}" + (f": {first}" if first else "")) from None
        self.changed |= {n for n, v in arrays.items() if not np.array_equal(v, inputs[n], v.dtype.kind == "f")}
        if said is None:
            raise _Form("returns None; the last line of the function must return its answer")
        if self.question["form"] == "one":
            return [_array(said)]
        if type(said) not in (tuple, list):
            raise _Form(f"returns a value of type {type(said).__name__}; expected several arrays")
        return [_array(one) for one in said]

    def difference(self, got: list[Any], expected: list[Any], allowed: list[Any], defined: Any) -> str:
        """Where the answers first differ by more than is allowed, in words."""
        for k, (g, e, a) in enumerate(zip(got, expected, allowed, strict=True)):
            with np.errstate(all="ignore"):
                g = g.astype(float) if g.dtype.kind != "b" else g
                real = e.dtype.kind == "f"
                equal = (g == e) | (np.isnan(g) & np.isnan(e)) if real else g == e
                wrong = ~(equal | ((np.abs(g - e) <= a) & np.isfinite(e)) if real else equal)
            if defined is not None and e.ndim:
                wrong &= defined.reshape(defined.shape + (1,) * (wrong.ndim - defined.ndim))
            if wrong.any():
                return self.words(k, g, e, tuple(map(int, np.argwhere(wrong)[0])), len(expected) > 1)
        return ""

    def words(self, k: int, got: Any, expected: Any, at: tuple[int, ...], several: bool) -> str:
        names, outputs, parts = self.question["axes"], self.question["outputs"], self.question["components"]
        axes = names[min(k, len(names) - 1)] if names else []
        label = f"({', '.join(parts)}) = " if parts and expected.ndim and expected.shape[-1] == len(parts) else ""
        at = at[:-1] if label else at
        if len(axes) < len(at):
            axes = [f"axis {i}" for i in range(len(at))]
        place = ", ".join(f"{axis}={i}" for axis, i in zip(axes, at, strict=False))
        head = (outputs[k] if k < len(outputs) else f"output {k}") if several else ""
        where = " ".join(part for part in (head, f"at {place}" if place else "") if part)
        want, have = (
            f"{label}({', '.join(map(_number, x[at]))})" if label else _number(x[at]) for x in (expected, got)
        )
        return f"{where + ': ' if where else ''}expected {want}, got {have}"

    def remember(self, inputs: dict[str, Any], why: str) -> None:
        """Keep the smallest of the first failing inputs of each family."""
        size = sum(np.size(v) for v in inputs.values())
        if not self.smallest or size < self.size:
            self.size = size
            lines = [f"{name} = {_shown(value)}" for name, value in inputs.items()]
            self.smallest = "\n".join([*lines, why])


# -- looking at answers -----------------------------------------------------------------------------------------


def _array(value: Any) -> np.ndarray:
    if isinstance(value, np.generic | numbers.Real):
        value = np.asarray(value)
    if type(value).__module__ == "torch" and _store()[0]["torch"]:
        value = value.detach().cpu().numpy()
    if type(value) is not np.ndarray:
        raise _Form(f"returns a value of type {type(value).__name__}; expected a NumPy array of numbers")
    if value.dtype.kind not in "fiub":
        raise _Form(f"returns an array of dtype {value.dtype}; expected numbers")
    return np.array(value)


def _tensors(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The same memory as torch tensors, for a question that is asked in torch."""
    torch = importlib.import_module("torch")
    return {name: torch.from_numpy(value) for name, value in arrays.items()}


def _form_problem(got: list[Any], expected: list[Any]) -> str:
    if len(got) != len(expected):
        return f"returns {len(got)} arrays; expected {len(expected)}"
    for g, e in zip(got, expected, strict=True):
        if g.shape != e.shape:
            return f"returns shape {g.shape}; expected {e.shape}"
        if (g.dtype.kind == "b") != (e.dtype.kind == "b"):
            return f"returns dtype {g.dtype}; expected {'a mask of dtype bool' if e.dtype.kind == 'b' else 'numbers'}"
    return ""


def _with_gaps(value: np.ndarray) -> np.ndarray:
    return np.stack([value, np.zeros_like(value)], axis=-1)[..., 0] if value.ndim else value.copy()


def _largest(value: np.ndarray) -> float:
    finite = np.abs(value[np.isfinite(value)]) if value.dtype.kind == "f" else np.zeros(0)
    return float(finite.max()) if finite.size else 0.0


def _number(value: Any) -> str:
    return str(bool(value)) if np.asarray(value).dtype.kind == "b" else f"{value + 0:.6g}"


def _shown(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return repr(value)
    if value.size > READABLE:
        return f"an array of shape {value.shape}, from {np.nanmin(value):.4g} to {np.nanmax(value):.4g}"
    return f"np.array({value.tolist()!r})"


# -- what is stored ---------------------------------------------------------------------------------------------


_CASES = Path(__file__).with_name("cases.npz")


@cache
def _store() -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The index, and all numbers in one row for each dtype."""
    with np.load(_CASES, allow_pickle=False) as file:
        return json.loads(str(file["index"])), {name: file[name] for name in file.files if name != "index"}


def _opened(value: Any) -> Any:
    """A stored value: an array stands in the index as its dtype, where it begins, and its shape."""
    if isinstance(value, list):
        return [_opened(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "tuple" in value:
        return tuple(_opened(value["tuple"]))
    if "array" in value:
        dtype, start, shape = value["array"]
        row = _store()[1][dtype]
        return row[start : start + int(np.prod(shape, dtype=int))].reshape(shape)
    return {name: _opened(one) for name, one in value.items()}


# -- where vidlearn is not installed: `import checks as vl` -------------------------------------------------------


def __getattr__(name: str) -> Any:
    """``vl.layers``, ``vl.flow`` and so on hold the helpers that the exercise allows, and nothing else."""
    helpers = _store()[0]["helpers"] if _CASES.exists() and not name.startswith("__") else {}
    if name not in helpers:
        raise AttributeError(f"{name} is not among the checks; it needs vidlearn itself")
    space = SimpleNamespace(**{short: partial(_own, short) for short in helpers[name]["own"]})
    for short in helpers[name]["withheld"]:
        setattr(space, short, partial(_withheld, f"{name}.{short}"))
    for short in helpers[name]["given"]:
        setattr(space, short, getattr(importlib.import_module(f".helpers_{name}", __package__), short))
    return space


def _own(name: str, *args: Any, **kwargs: Any) -> Any:
    """A helper that the exercise itself asks for: the notebook's own."""
    function = getattr(sys.modules["__main__"], name, None)
    if function is None:
        raise NameError(f"{name} is asked for in this exercise: define yours first, it is used here")
    return function(*args, **kwargs)


def _withheld(name: str, *_: Any, **__: Any) -> Any:
    raise _Withheld(
        f"{name} would give an answer of this exercise away, and is not here: a function that calls it can be checked "
        "where vidlearn is installed, and is graded like any other"
    )
