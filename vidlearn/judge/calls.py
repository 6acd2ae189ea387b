"""Which of a student's other answers a function calls: where both are wrong, one of them may be all there is to mend."""

from __future__ import annotations

import dis
import types
from collections.abc import Callable, Collection
from typing import Any

__all__ = ["called_by"]


def called_by(function: Callable[..., Any], names: Collection[str]) -> dict[str, Callable[..., Any]]:
    """The functions called by one of `names` that a function can reach through its own module, by name.

    What the module imports from elsewhere under such a name is not the student's, and is left out.

    >>> def warp(image): return image
    >>> def _sampled(image): return warp(image)
    >>> def coarse_to_fine(I0, I1): return _sampled(I1) - I0
    >>> sorted(called_by(coarse_to_fine, {"warp", "dense"}))
    ['warp']
    """
    found: dict[str, Callable[..., Any]] = {}
    seen, ahead = {id(function)}, [function]
    while ahead:
        one = ahead.pop()
        if not isinstance(one, types.FunctionType):
            continue
        for name in _names(one.__code__):
            other = one.__globals__.get(name)
            if not isinstance(other, types.FunctionType) or id(other) in seen:
                continue
            seen.add(id(other))
            if other.__globals__ is not one.__globals__:
                continue
            if name in names:
                found[name] = other
            else:
                ahead.append(other)
    return found


def _names(code: types.CodeType) -> set[str]:
    """The names that some code, with all that is defined inside it, looks up outside."""
    # as `vidlearn.sandbox.submission.looked_up`, which stands alone and is above this floor
    inside = [const for const in code.co_consts if isinstance(const, types.CodeType)]
    own = {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return own.union(*map(_names, inside))
