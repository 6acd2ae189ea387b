"""The annotations of a reference are its contract; this module reads and enforces them.

A reference says what it takes in its annotations, jaxtyping-style::

    def normal_flow(Ix: Float[Array, "H W"], Iy: Float[Array, "H W"], ...) -> Float[Array, "H W 2"]

A capital name is a size that must agree wherever it is named; a number is that size exactly; ``*B`` stands for any
number of leading axes and ``*C`` for an optional color axis. Bodies therefore hold mathematics and no shape checks,
and every operation refuses a bad argument with the same kind of sentence.
"""

from __future__ import annotations

import inspect
import math
import numbers
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vidlearn.arrays import _library_of, backend_of

if TYPE_CHECKING:  # what the annotations mean to a type checker; nothing of this is imported at run time
    from jaxtyping import Bool, Float, Int  # noqa: F401

    Array = Any
    from typing import TypeAlias

    OddInt: TypeAlias = int
    PositiveInt: TypeAlias = int
    Count: TypeAlias = int
    PositiveFloat: TypeAlias = float
    PositiveInts: TypeAlias = int | tuple[int, ...]
    Counts: TypeAlias = int | tuple[int, ...]

__all__ = ["ArraySpec", "Signature"]

_ARRAY = re.compile(r"""(Float|Int|Bool)\[Array, ?["']([^"']*)["']\]""")
_HALF = ("float16", "bfloat16")

#: scalar annotations: what is accepted, in words and as a test
_SCALARS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "int": ("an integer", lambda v: True),
    "Count": ("an integer of at least 0", lambda v: v >= 0),
    "PositiveInt": ("an integer of at least 1", lambda v: v >= 1),
    "OddInt": ("an odd integer of at least 1", lambda v: v >= 1 and v % 2 == 1),
    "float": ("a number", lambda v: not math.isnan(v)),
    "PositiveFloat": ("a number above 0", lambda v: v > 0 and math.isfinite(v)),
}
#: one number for every axis, or a tuple with one each: a stride, a padding
_PER_AXIS = {"PositiveInts": "PositiveInt", "Counts": "Count"}


@dataclass(frozen=True)
class ArraySpec:
    """Kind and axes of one array: ``Float[Array, "H W 2"]`` is ``ArraySpec("Float", ("H", "W", "2"))``."""

    kind: str
    axes: tuple[str, ...]

    def __str__(self) -> str:
        names = ", ".join(a.replace("*C", "[C]").replace("*B", "…") for a in self.axes)
        return f"({names},)" if len(self.axes) == 1 else f"({names})"

    def bind(self, name: str, shape: tuple[int, ...], sizes: dict[str, tuple[int, str]]) -> None:
        """Match `shape` with the axes, remembering in `sizes` which argument said which size first."""
        axes = list(self.axes)
        star = next((i for i, a in enumerate(axes) if a.startswith("*")), None)
        if star is not None:
            extra = len(shape) - (len(axes) - 1)
            if extra < 0 or (axes[star] == "*C" and extra > 1):
                raise ValueError(self._shape_message(name, shape, sizes))
            axes[star : star + 1] = [f"{axes[star]}{i}" for i in range(extra)]
            count = (extra, name)
            if sizes.setdefault(self.axes[star] + " axes", count)[0] != extra:
                raise ValueError(self._shape_message(name, shape, sizes))
        if len(axes) != len(shape):
            raise ValueError(self._shape_message(name, shape, sizes))
        for axis, n in zip(axes, shape, strict=True):
            wanted = int(axis) if axis.isdigit() else sizes.setdefault(axis, (n, name))[0]
            if n != wanted:
                raise ValueError(self._shape_message(name, shape, sizes))
        if 0 in shape:
            raise ValueError(f"{name}: is empty, of shape {shape}; expected at least one element along every axis")

    def _shape_message(self, name: str, shape: tuple[int, ...], sizes: dict[str, tuple[int, str]]) -> str:
        known = [f"{a} = {n} from {who}" for a, (n, who) in sizes.items() if a in self.axes and who != name]
        others = {
            who
            for a, (_, who) in sizes.items()
            if who != name and a.startswith("*") and a.split(" ")[0][:2] in self.axes
        }
        if others and not known:
            known = [f"axes as in {' and '.join(sorted(others))}"]
        return f"{name}: expected shape {self}{' with ' + ', '.join(known) if known else ''}, got {tuple(shape)}"


def _array_spec(annotation: str) -> ArraySpec | None:
    found = _ARRAY.search(annotation)
    return ArraySpec(found[1], tuple(found[2].split())) if found else None


class Signature:
    """What one reference function takes and gives back, read from its annotations."""

    def __init__(self, function: Callable[..., Any]):
        self.python = inspect.signature(function)
        notes = {n: str(p.annotation) for n, p in self.python.parameters.items()}
        self.optional = {n for n, a in notes.items() if a.endswith("| None")}
        self.notes = {n: a.removesuffix(" | None") for n, a in notes.items()}
        self.arrays = {n: spec for n, a in self.notes.items() if (spec := _array_spec(a))}
        result = str(self.python.return_annotation)
        self.returns = tuple(ArraySpec(k, tuple(axes.split())) for k, axes in _ARRAY.findall(result))
        self.returns_list = result.startswith("list[")
        self.returns_tuple = result.startswith("tuple[")

    def order(self, arguments: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Split named arguments into positional and keyword-only ones, as a student's function takes them."""
        positional, keywords = [], {}
        gap = False
        for name, parameter in self.python.parameters.items():
            if name not in arguments:
                gap = True
            elif parameter.kind is parameter.KEYWORD_ONLY or gap:
                keywords[name] = arguments[name]
            else:
                positional.append(arguments[name])
        return positional, keywords

    def sizes(self, arguments: dict[str, Any]) -> dict[str, int]:
        """Return the named sizes (H, W, …) of these arguments."""
        sizes: dict[str, tuple[int, str]] = {}
        for name, spec in self.arrays.items():
            if arguments.get(name) is not None:
                spec.bind(name, tuple(np.shape(arguments[name])), sizes)
        return {axis: n for axis, (n, _) in sizes.items()}

    def check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """Return the arguments by name and their backend, or raise the sentence that says what is wrong."""
        try:
            arguments = self.python.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise TypeError(f"{error}; the signature is {self.summary()}") from None
        sizes: dict[str, tuple[int, str]] = {}
        dtypes: dict[str, str] = {}
        for name, value in arguments.items():
            if value is None and name in self.optional:
                continue
            if name in self.arrays:
                dtype = self._check_array(name, value)
                self.arrays[name].bind(name, tuple(value.shape), sizes)
                if self.arrays[name].kind == "Float":
                    dtypes.setdefault(dtype, name)
            else:
                self._check_scalar(name, value)
                if isinstance(value, np.generic):  # a NumPy number would carry its own dtype into the answer
                    arguments[name] = value.item()
        if len(dtypes) > 1:
            what = ", ".join(f"{name} is {dtype}" for dtype, name in dtypes.items())
            raise TypeError(
                f"{', '.join(dtypes.values())}: expected one floating-point type in a call, but {what}; convert one of them"
            )
        return dict(arguments), backend_of(*arguments.values())

    def summary(self) -> str:
        """Return the parameters with their shapes, in one line."""
        return "(" + ", ".join(f"{n}: {self.arrays.get(n, a)}" for n, a in self.notes.items()) + ")"

    def _check_array(self, name: str, value: Any) -> str:
        spec = self.arrays[name]
        if _library_of(value) is None or (isinstance(value, np.ndarray) and type(value) is not np.ndarray):
            raise TypeError(
                f"{name}: expected a NumPy, PyTorch or CuPy array of shape {spec}, got {type(value).__name__}; "
                f"convert it with np.asarray({name}, dtype=float)"
            )
        dtype = str(value.dtype).removeprefix("torch.")
        if spec.kind == "Float" and not (dtype.startswith("float") or dtype == "bfloat16"):
            how = f"{name} / 255.0" if dtype == "uint8" else f"np.asarray({name}, dtype=np.float32)"
            raise TypeError(f"{name}: expected floating-point values, got {dtype}; convert with {how}")
        if spec.kind == "Bool" and dtype != "bool":
            raise TypeError(f"{name}: expected a mask of dtype bool, got {dtype}; write {name} != 0")
        if spec.kind == "Int" and not dtype.startswith(("int", "uint")):
            raise TypeError(f"{name}: expected integers, got {dtype}")
        return dtype

    def _check_scalar(self, name: str, value: Any) -> None:
        note = self.notes[name]
        if note.startswith("Literal"):
            choices = re.findall(r"""["']([^"']+)["']""", note)
            if not isinstance(value, str) or value not in choices:
                raise ValueError(f"{name}: expected one of {', '.join(map(repr, choices))}, got {value!r}")
            return
        if note in _PER_AXIS:
            note = _PER_AXIS[note]
            if isinstance(value, tuple | list) and value:
                for one in value:
                    self._check_number(name, one, note)
                return
        if note in _SCALARS:
            self._check_number(name, value, note)

    @staticmethod
    def _check_number(name: str, value: Any, note: str) -> None:
        words, holds = _SCALARS[note]
        whole = note in ("int", "Count", "PositiveInt", "OddInt")
        kind = numbers.Integral if whole else numbers.Real
        if isinstance(value, bool | np.bool_) or not isinstance(value, kind):
            raise TypeError(f"{name}: expected {words}, got {value!r} of type {type(value).__name__}")
        if not holds(value):
            raise ValueError(f"{name}: expected {words}, got {value!r}")
