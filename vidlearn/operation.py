"""An operation: one public function with a NumPy reference and, by the same name, its fast paths."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from vidlearn.signature import Signature

if TYPE_CHECKING:
    from vidlearn.spec import Spec

__all__ = ["Operation"]


class Operation:
    """A function of the course: call it, and the array you hand in decides which implementation runs.

    Parameters
    ----------
    reference
        The NumPy reference, in ``vidlearn/<concept>/reference.py``. Its annotations declare the shapes.
    slide
        The deck and the slide that it computes, for example ``"L9 · Aperture problem"``.
    fast
        The backends that have an implementation of their own. They are found by name, when first asked for, in
        ``fast_<backend>.py`` and then in ``fast.py`` of the same folder. Index arithmetic has none: ``fast=()``.

    Examples
    --------
    >>> import numpy as np, vidlearn as vl
    >>> vl.flow.normal_flow(np.array([[2.0]]), np.array([[0.0]]), np.array([[1.0]]))
    array([[[-0.5, -0. ]]])
    >>> vl.flow.normal_flow.name, vl.flow.normal_flow.backends
    ('flow.normal_flow', ('numpy', 'torch', 'cupy'))
    """

    def __init__(self, reference: Callable[..., Any], *, slide: str, fast: tuple[str, ...] = ("torch", "cupy")):
        self.reference = reference
        self.slide = slide
        self.fast = fast
        self.concept = reference.__module__.split(".")[1]
        self.short = reference.__name__
        self.name = f"{self.concept}.{self.short}"
        self.__doc__ = reference.__doc__
        self.__name__ = self.__qualname__ = reference.__name__
        self.__module__ = f"vidlearn.{self.concept}"
        self.__wrapped__ = reference  # so that inspect, help() and the docs show the signature

    @cached_property
    def signature(self) -> Signature:
        """What the operation takes and returns, read from the reference's annotations."""
        return Signature(self.reference)

    @cached_property
    def spec(self) -> Spec:
        """What makes an implementation right: cases, laws, mistakes, tolerance, cost."""
        return getattr(importlib.import_module(f"vidlearn.{self.concept}.spec"), self.short)

    @property
    def backends(self) -> tuple[str, ...]:
        """The backends that can run it, whether or not they are installed here."""
        return ("numpy", *(b for b in self.fast if b != "numpy"))

    @property
    def summary(self) -> str:
        """The first sentence of the docstring."""
        return (self.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ").strip()

    def on(self, backend: str) -> Callable[..., Any]:
        """Return the implementation that serves `backend`, with no checks around it."""
        if backend not in self.backends:
            raise ValueError(f"backend: {self.name} runs on {', '.join(self.backends)}, got {backend!r}")
        if backend not in self.fast:
            return self.reference
        folder = f"vidlearn.{self.concept}"
        for room in (f"{folder}.fast_{backend}", f"{folder}.fast"):
            if importlib.util.find_spec(room):
                function = getattr(importlib.import_module(room), self.short, None)
                if function is not None:
                    return function
        raise NotImplementedError(
            f"{self.name} declares {backend}, but neither fast_{backend}.py nor fast.py defines it"
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        arguments, backend = self.signature.check(args, kwargs)
        if backend not in self.backends:
            raise TypeError(
                f"{self.name} runs on {', '.join(self.backends)}, got {backend} arrays; convert them with vidlearn.arrays.to_numpy"
            )
        return _in_single_precision(self.on(backend), arguments)

    def __repr__(self) -> str:
        return f"<operation {self.name}: {', '.join(self.backends)}; {self.slide}>"


def _in_single_precision(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Call `function`; half-precision arrays are computed in float32 and the answer is rounded once, at the end."""
    halves = {
        n: v
        for n, v in arguments.items()
        if str(getattr(v, "dtype", "")).removeprefix("torch.") in ("float16", "bfloat16")
    }
    if not halves:
        return function(**arguments)
    half = next(iter(halves.values())).dtype
    single = type(next(iter(halves.values()))).__module__.split(".")[0] == "torch"

    def cast(value: Any, dtype: Any) -> Any:
        return value.to(dtype) if single else value.astype(dtype)

    float32 = importlib.import_module("torch").float32 if single else "float32"
    answer = function(**{n: cast(v, float32) if n in halves else v for n, v in arguments.items()})

    def lower(value: Any) -> Any:
        if isinstance(value, tuple | list):
            return type(value)(map(lower, value))
        return cast(value, half) if getattr(value, "dtype", None) == float32 else value

    return lower(answer)


def find(name: str, operations: dict[str, Operation]) -> Operation:
    """Return the operation called `name`, with or without its concept, or raise a sentence with near names."""
    hits = [op for op in operations.values() if name in (op.name, op.short)]
    if len(hits) == 1:
        return hits[0]
    if hits:
        raise ValueError(f"name: {name!r} is in several concepts: {', '.join(op.name for op in hits)}")
    import difflib

    near = difflib.get_close_matches(name, [*operations, *(op.short for op in operations.values())], 3, 0.5)
    raise ValueError(
        f"name: there is no operation {name!r}{'; did you mean ' + ' or '.join(near) + '?' if near else ''}"
    )
