"""Which of a student's other answers a function calls: where both are wrong, one of them may be all there is to mend."""

from __future__ import annotations

import types
from collections.abc import Callable, Collection
from typing import Any

from vidlearn.sandbox.submission import looked_up

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
        for name in looked_up(one.__code__):
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
