"""Comparing an answer with the expected one: exact kind and shape first, then every element within the tolerance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vidlearn.judge.bank import Case
from vidlearn.judge.candidate import Outcome
from vidlearn.signature import ArraySpec
from vidlearn.spec import Spec, largest

__all__ = ["Difference", "first_difference", "form_problem", "planes", "same"]

_AXIS_NAMES = {"H": "y", "W": "x", "T": "t", "C": "channel", "D": "displacement", "P": "parameter"}
#: where there is a batch (N), letters mean what they mean in networks: N O S P Q is an answer of N C T H W
_IN_A_BATCH = {"N": "sample", "O": "channel", "S": "t", "P": "y", "Q": "x", "D": "feature"}


@dataclass(frozen=True)
class Difference:
    """Where an answer first differs, in words, with the expected and the given value.

    With nothing expected, `got` is a sentence about the answer as a whole: "returns shape (1, 1); …".
    """

    where: str
    expected: str
    got: str
    unanswered: bool = False  # there was no answer at all


def form_problem(outcome: Outcome, expected: tuple[np.ndarray, ...], dtype: str, strict: bool) -> str:
    """Say what is wrong with the kind, shape or type of an answer, or return an empty string."""
    if outcome.problem:
        return outcome.problem
    if len(outcome.answers) != len(expected):
        return f"returns {len(outcome.answers)} arrays; expected {len(expected)}"
    for got, want in zip(outcome.answers, expected, strict=True):
        if got.shape != want.shape:
            return f"returns shape {got.shape}; expected {want.shape}"
        if want.dtype.kind == "b" and got.dtype.kind != "b":
            return f"returns dtype {got.dtype}; expected a mask of dtype bool"
        if want.dtype.kind != "b" and got.dtype.kind == "b":
            return "returns a mask of dtype bool; expected numbers"
        if strict and want.dtype.kind == "f" and str(got.dtype) != ("float32" if dtype == "bfloat16" else dtype):
            return f"returns dtype {got.dtype}; expected {dtype}, as its inputs have"
    return ""


def _wrong(got: np.ndarray, want: np.ndarray, tolerance: Any, defined: np.ndarray | None) -> np.ndarray:
    """Mask of the elements that are not right: written as ``not (error <= tolerance)``, so that NaN is wrong."""
    with np.errstate(all="ignore"):
        got = got.astype(np.float64) if got.dtype.kind != "b" else got
        equal = (got == want) | (np.isnan(got) & np.isnan(want)) if want.dtype.kind == "f" else got == want
        close = np.abs(got - want) <= tolerance if want.dtype.kind == "f" else equal
    wrong = ~(equal | (close & np.isfinite(want)))
    if defined is not None:
        wrong &= defined.reshape(defined.shape + (1,) * (wrong.ndim - defined.ndim))
    return wrong


def first_difference(
    outcome: Outcome, case: Case, spec: Spec, axes: tuple[ArraySpec, ...], dtype: str, strict: bool
) -> Difference | None:
    """Return the first element that is not right, or None. The form must have been checked."""
    for k, (got, want) in enumerate(zip(outcome.answers, case.expected, strict=True)):
        if (k, dtype, strict) not in case.allowed:  # the same for every candidate
            case.allowed[k, dtype, strict] = spec.tolerance.allowed(want, case.inputs, dtype, strict)
        allowed = case.allowed[k, dtype, strict]
        masked = case.defined if want.ndim else None
        wrong = _wrong(got, want, allowed, masked)
        if wrong.any():
            index = tuple(int(i) for i in np.argwhere(wrong)[0])
            names = axes[min(k, len(axes) - 1)].axes if axes else ()
            return _describe(got, want, index, names, spec, k, several=len(case.expected) > 1)
    return None


def _describe(
    got: np.ndarray, want: np.ndarray, index: tuple[int, ...], axes: tuple[str, ...], spec: Spec, k: int, several: bool
) -> Difference:
    head = ""
    if several:
        head = spec.outputs[k] if k < len(spec.outputs) else f"output {k}"
    if spec.components and want.ndim and want.shape[-1] == len(spec.components):
        label = f"({', '.join(spec.components)}) = "
        index = index[:-1]
        expected, given = (label + "(" + ", ".join(map(_number, x[index])) + ")" for x in (want, got))
    else:
        expected, given = _number(want[index]), _number(got[index])
    place = ", ".join(_places(_words(axes, len(index)), index))
    where = " ".join(w for w in (head, f"at {place}" if place else "") if w)
    return Difference(where, expected, given)


def _places(names: Sequence[str], index: tuple[int, ...]) -> list[str]:
    """An index in words, ``["y=0", "x=2"]``; what has no name comes last, in brackets."""
    bare = [str(i) for name, i in zip(names, index, strict=False) if not name]
    return [f"{name}={i}" for name, i in zip(names, index, strict=False) if name] + (
        [f"[{', '.join(bare)}]"] if bare else []
    )


def planes(values: np.ndarray, axes: tuple[str, ...], components: Sequence[str]) -> list[tuple[str, np.ndarray]]:
    """Cut an answer into pictures, each with a name: height by width where there are such axes, else the last two."""
    if len(axes) != values.ndim:
        axes = ("",) * values.ndim
    names = _words(axes, values.ndim)
    pairs = (("H", "W"), ("h", "w"), ("P", "Q"), ("Kh", "Kw"))
    shown = next((pair for pair in pairs if set(pair) <= set(axes)), ())
    named = bool(components) and values.ndim > 0 and values.shape[-1] == len(components)
    rest = values.ndim - named
    flat = [axes.index(axis) for axis in shown] or list(range(max(rest - 2, 0), rest))
    others = [i for i in range(values.ndim) if i not in flat]
    found = []
    for index in np.ndindex(*(values.shape[i] for i in others)):
        at = index[: len(index) - named]
        words = _places([names[i] for i in others[: len(at)]], at)
        words += [components[index[-1]]] if named else []
        cut: list[Any] = [slice(None)] * values.ndim
        for axis, i in zip(others, index, strict=True):
            cut[axis] = i
        found.append((", ".join(words), np.atleast_2d(values[tuple(cut)])))
    return found


def _words(axes: tuple[str, ...], count: int) -> list[str]:
    """What each of an answer's axes is called beside the others: N L D are tokens, N C T H W is a clip."""
    if len(axes) < count:  # a starred axis stands for none or several
        return [""] * count
    words = {**_AXIS_NAMES, "L": "token"}
    if "N" in axes:
        words |= {**_IN_A_BATCH, "M": "key" if "L" in axes else "token"}
        words["E"] = "channel" if "H" in axes else "feature"
        words |= {"S": "patch"} if "T" in axes else {}
    return [words.get(axis.lstrip("*"), "") for axis in axes]


def _number(value: Any) -> str:
    return f"{value + 0:.6g}" if np.asarray(value).dtype.kind != "b" else str(bool(value))  # + 0: no "-0"


def same(a: Outcome, b: Outcome, case: Case, spec: Spec) -> bool:
    """Whether two outcomes are the same answer; an exception is an answer, recognized by its class."""
    if a.problem or b.problem:
        return bool(a.problem and b.problem and a.error == b.error)
    if [x.shape for x in a.answers] != [x.shape for x in b.answers]:
        return False
    for i, (x, y) in enumerate(zip(a.answers, b.answers, strict=True)):
        want = y if y.dtype.kind != "f" else y.astype(np.float64)
        if (x.dtype.kind == "b") != (want.dtype.kind == "b"):
            return False
        allowed = spec.tolerance.allowed(want, case.inputs, "float32", False) + spec.tolerance.loose * largest(want)
        fits = case.defined is not None and want.ndim and want.shape[: case.defined.ndim] == case.defined.shape
        if i < len(case.expected) and _wrong(x, want, allowed, case.defined if fits else None).any():
            return False
    return True
