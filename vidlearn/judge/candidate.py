"""Calling an implementation that may be wrong, hostile or on another device, and looking at what comes back."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from vidlearn import arrays
from vidlearn.signature import Signature

__all__ = ["FormError", "Outcome", "Runner", "Stopped"]


class Stopped(BaseException):
    """Raised by a candidate's proxy when judging can't go on: its process died, or its time is up.

    A BaseException, so that no law and no comparison can swallow it.
    """

    def __init__(self, status: str, sentence: str):
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class FormError(Exception):
    """The answer is not even of the right kind: it raised, or it has the wrong shape or type."""


@dataclass(frozen=True)
class Outcome:
    """What one call gave: arrays, or the sentence that says why there are none."""

    answers: tuple[np.ndarray, ...] = ()
    problem: str = ""
    error: str = ""  # the exception's class, where it raised one
    changed: tuple[str, ...] = ()  # arguments that the call modified


class Runner:
    """Runs one implementation on plain NumPy inputs, whatever backend it is written for.

    Every call gets fresh copies of the inputs, so that a candidate can change only its own.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        signature: Signature,
        backend: str = "numpy",
        device: str | None = None,
        dtype: str = "float64",
        strict: bool = False,
    ):
        self.function, self.signature = function, signature
        self.backend, self.device, self.dtype, self.strict = backend, device, dtype, strict
        self.calls = 0
        self._known: dict[Any, Outcome] = {}  # by arguments

    def __call__(self, inputs: dict[str, Any], strided: bool = False) -> Outcome:
        """Call the implementation; a raised exception is an outcome too."""
        self.calls += 1
        given = {n: arrays.from_numpy(v, self.backend, self.device, self.dtype) for n, v in inputs.items()}
        if strided:
            given = {n: _spread(v) for n, v in given.items()}
        positional, keywords = self.signature.order(given)
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"), arrays.full_precision(self.backend):
                warnings.simplefilter("ignore")
                answer = self.function(*positional, **keywords)
        except NotImplementedError:
            return Outcome(problem="raises NotImplementedError: there is no answer yet", error="NotImplementedError")
        except (Exception, SystemExit) as error:
            first = (str(error).strip().splitlines() or [""])[0][:200]
            name = type(error).__name__
            return Outcome(problem=f"raises {name}: {first}" if first else f"raises {name}", error=name)
        try:
            answers = self._answers(answer, inputs)
        except FormError as error:
            return Outcome(problem=str(error), error="form")
        changed = (n for n, v in inputs.items() if isinstance(v, np.ndarray) and not self._still(v, given[n]))
        return Outcome(answers, changed=tuple(changed))

    def _still(self, before: np.ndarray, after: Any) -> bool:
        """Whether an argument is as it was given."""
        if type(after) is np.ndarray and after.dtype == before.dtype and after.tobytes() == before.tobytes():
            return True  # the quick way, for nearly all
        again = arrays.to_numpy(arrays.from_numpy(before, self.backend, self.device, self.dtype))
        return _identical(arrays.to_numpy(after), again)

    def remember(self, inputs: dict[str, Any], outcome: Outcome) -> None:
        """Keep an answer for the laws, many of which ask for the same again."""
        self._known[_key(inputs)] = outcome

    def as_function(self, *args: Any, **kwargs: Any) -> Any:
        """Call it as a law does, with its own arguments; return float64 arrays, or raise FormError."""
        inputs = dict(self.signature.python.bind(*args, **kwargs).arguments)
        outcome = self._known.get(_key(inputs))
        if outcome is None:
            outcome = self(inputs)
            self.remember(inputs, outcome)
        if outcome.problem:
            raise FormError(outcome.problem)
        answers = tuple(np.array(a, np.float64 if a.dtype.kind == "f" else a.dtype) for a in outcome.answers)
        several = self.signature.returns_tuple or self.signature.returns_list
        return answers if several else answers[0]

    def _answers(self, answer: Any, inputs: dict[str, Any]) -> tuple[np.ndarray, ...]:
        several = self.signature.returns_tuple or self.signature.returns_list
        if answer is None:
            raise FormError("returns None; the last line of the function must return its answer")
        if several:
            if type(answer) not in (tuple, list):
                raise FormError(f"returns {_kind(answer)}; expected {self._several()}")
            if self.signature.returns_tuple and len(answer) != len(self.signature.returns):
                raise FormError(f"returns {len(answer)} values; expected {self._several()}")
            return tuple(self._array(a) for a in answer)
        return (self._array(answer),)

    def _several(self) -> str:
        return "a list of arrays" if self.signature.returns_list else f"{len(self.signature.returns)} arrays"

    def _array(self, value: Any) -> np.ndarray:
        """Return the plain host array, or say what came instead. Nothing of the value's own methods is trusted."""
        kind = type(value)
        if self.backend == "numpy":
            if isinstance(value, np.generic) or (isinstance(value, numbers.Real) and not self.strict):
                value = np.asarray(value)
            elif kind is not np.ndarray:
                raise FormError(f"returns {_kind(value)}; expected a NumPy array of numbers")
            host = np.array(value)
        else:
            if arrays._library_of(value) != self.backend or kind.__name__ not in ("Tensor", "ndarray"):
                raise FormError(f"returns {_kind(value)}; expected a {self.backend} array, on the device of its inputs")
            got, wanted = str(getattr(value, "device", "")), self.device
            if self.backend == "torch" and wanted and got.split(":")[0] != wanted.split(":")[0]:
                raise FormError(f"returns a tensor on {got}; expected it on {wanted}, where its inputs are")
            host = arrays.to_numpy(value)
        if host.dtype.kind not in "fiub":
            raise FormError(f"returns an array of dtype {host.dtype}; expected numbers")
        return host


def _key(value: Any) -> Any:
    """The same word for the same arguments, and for no others."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, list | tuple):
        return type(value), *map(_key, value)
    if isinstance(value, dict):
        return tuple((name, _key(value[name])) for name in sorted(value))
    if value is None or isinstance(value, bool | int | float | str | np.generic):
        return type(value), repr(value)
    return object()  # who knows


def _kind(value: Any) -> str:
    return f"a value of type {type(value).__name__}"


def _identical(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _spread(value: Any) -> Any:
    """Return the same values in memory that is not contiguous: every other element of a larger array."""
    library = arrays._library_of(value)
    if library is None or value.ndim == 0:
        return value
    xp = arrays.namespace(value)
    wide = xp.stack([value, xp.zeros_like(value)], axis=-1)
    return wide[..., 0]
