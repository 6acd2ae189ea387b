"""vidlearn: a teaching library for video understanding.

For each concept of the course: a NumPy reference that reads like the slide, PyTorch and CuPy fast paths by the same
name, the properties that prove they agree, and one judge that says who is right, on which smallest input someone is
not, and which mistake it looks like.

>>> import numpy as np, vidlearn as vl
>>> I0 = np.array([[0.0, 1.0, 2.0]])
>>> Ix, Iy, It = vl.flow.spatiotemporal_gradients(I0, I0 - 0.5)   # the ramp moved half a pixel to the right
>>> vl.flow.normal_flow(Ix, Iy, It)[0, :, 0]
array([0.5, 0.5, 0.5])
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vidlearn.operation import Operation, find

if TYPE_CHECKING:
    from vidlearn.judge import Verdict

__version__ = "0.1.0"

#: the concepts, in the order of the course; each is a folder
CONCEPTS = (
    "flow",
    "layers",
    "fusion",
    "inflation",
    "factorized",
    "nonlocal_attention",
    "slowfast",
    "transformers",
)
_MODULES = (*CONCEPTS, "nets", "slides", "video", "judge", "arrays", "cuda_on_cpu", "compare", "grade", "sandbox")

__all__ = ["CONCEPTS", "Operation", "check", "operation", "operations"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"vidlearn.{name}")
    raise AttributeError(f"module 'vidlearn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})


def operations() -> dict[str, Operation]:
    """Return every operation by its full name, in the order it is taught."""
    found = {}
    for concept in CONCEPTS:
        for value in vars(importlib.import_module(f"vidlearn.{concept}")).values():
            if isinstance(value, Operation):
                found[value.name] = value
    return found


def operation(name: str) -> Operation:
    """Return the operation called `name`, such as ``"flow.warp"`` or just ``"warp"``."""
    return find(name, operations())


def check(
    function: Callable[..., Any],
    name: str | None = None,
    *,
    seed: int = 0,
    examples: int = 25,
    backend: str = "numpy",
    seconds: float | None = 10,
) -> Verdict:
    """Judge your own function against the operation of the same name; in a notebook the verdict shows as a card.

    Parameters
    ----------
    function
        Your implementation, with the operation's arguments in the operation's order.
    name
        The operation, if the function is called something else.
    seed, examples
        Which inputs are drawn, and how many of each family. A wrong answer is asked those of the next three seeds, too,
        so that a row holds here as it will when it is graded.
    backend
        Whose arrays your function takes and returns: ``"torch"`` if it is written for tensors.
    seconds
        How long one call may take, so that a loop without an end is an answer too (``"timed out"``). None is for ever:
        for a debugger, say. On Windows, and outside the main thread, there is no limit.

    Examples
    --------
    >>> def normal_flow(Ix, Iy, It):
    ...     return np.zeros(Ix.shape + (2,))
    >>> import numpy as np
    >>> print(check(normal_flow).status)
    wrong
    """
    from dataclasses import replace

    from vidlearn.judge import BANKS, judge
    from vidlearn.judge.calls import called_by
    from vidlearn.judge.patience import patient
    from vidlearn.judge.printed import quietly

    if not callable(function):
        raise TypeError(
            f"function: expected a function, got {type(function).__name__}; write check(normal_flow), without parentheses after the name"
        )
    called = name or str(getattr(function, "__name__", ""))
    if called in ("", "<lambda>"):
        raise ValueError(
            "name: the function has no name of its own; say which operation it is: check(f, 'normal_flow')"
        )
    target = operation(called)
    how: dict[str, Any] = {"examples": examples, "backend": backend}
    with quietly() if seconds else contextlib.nullcontext():  # a debugger speaks, too
        verdict = judge(patient(function, seconds), target, seed=seed, **how)
        how |= {"shrink": False, "named": False}
        if verdict.status == "wrong":
            for further in range(1, BANKS):  # a row that holds by luck here may break when it is graded
                verdict = verdict.with_rows_of(judge(patient(function, seconds), target, seed=seed + further, **how))
            known = {each.short: each for each in operations().values() if each is not target}
            for other, its in called_by(function, known).items():
                if not judge(patient(its, seconds), known[other], seed=seed, **how).right:
                    verdict.notes.append(f"it calls your {other}, which is not right either: begin there")
                    verdict = replace(verdict, mistake=None)  # it may be none of this function's
    more = "" if examples == 25 else f", examples={examples}"
    more += "" if backend == "numpy" else f", backend={backend!r}"
    return replace(verdict, replay=f"vl.check({target.short}, seed={seed}{more})")
