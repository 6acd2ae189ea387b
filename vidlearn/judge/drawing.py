"""Drawing inputs from strategies and shrinking a failing one: the only module that drives Hypothesis."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["draw", "shrink"]


_one_at_a_time = threading.RLock()  # Hypothesis's own state is the process's


class _Enough(BaseException):
    """Ends a Hypothesis run from inside; not an Exception, so that Hypothesis lets it through."""


class _Failing(Exception):
    """What the property raises on a failing input; always from one line, so that there is one failure to shrink."""


def _run(strategy: SearchStrategy[Any], body: Callable[[Any], None], seed: int, examples: int, shrinking: bool) -> None:
    from hypothesis import HealthCheck, Phase, Verbosity, given, settings
    from hypothesis import seed as seeded

    phases = [Phase.generate, Phase.shrink] if shrinking else [Phase.generate]
    quiet = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=phases,
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    with _nothing_from_this_process():
        seeded(seed)(quiet(given(strategy)(body)))()


@contextlib.contextmanager
def _nothing_from_this_process() -> Iterator[None]:
    """Hypothesis also draws constants that it reads in the source of the modules that happen to be loaded.

    The same seed must draw the same in every process, and reading the source takes a while.
    """
    try:
        from hypothesis.internal.conjecture import providers

        real, known = providers._get_local_constants, len(providers._local_constants)
        nothing, cache = providers.Constants(), providers.CONSTANTS_CACHE.cache
    except (ImportError, AttributeError):  # a version that has no such constants, or has them elsewhere
        yield
        return
    with _one_at_a_time:
        if known:
            cache.clear()
        providers._get_local_constants = lambda: nothing
        try:
            yield
        finally:
            providers._get_local_constants = real
            if known:
                cache.clear()


def draw(strategy: SearchStrategy[Any], examples: int, seed: int) -> list[Any]:
    """Draw `examples` values (fewer where the strategy has no more), the same ones for the same seed."""
    drawn: list[Any] = []

    def body(value: Any) -> None:
        drawn.append(value)
        if len(drawn) >= examples:
            raise _Enough

    with contextlib.suppress(_Enough):
        _run(strategy, body, seed, examples, shrinking=False)
    return drawn


def shrink(
    strategy: SearchStrategy[Any],
    fails: Callable[[Any], bool],
    seed: int,
    examples: int,
    calls: int = 300,
    seconds: float = 10.0,
) -> Any | None:
    """Return the smallest value found on which `fails` is true, or None if it failed on none.

    Hypothesis tries simpler and simpler values; the last one that fails is the smallest. It stops after `calls` calls
    or, where a candidate is slow, `seconds`, counted from the first failure; only then may the result hang on the clock.
    """
    smallest: list[Any] = []
    counted = 0
    until = float("inf")

    def body(value: Any) -> None:
        nonlocal counted, until
        if smallest:
            counted += 1
            if counted > calls or time.monotonic() > until:
                raise _Enough
        if fails(value):
            if not smallest:
                until = time.monotonic() + seconds
            smallest[:] = [value]
            raise _Failing

    try:
        _run(strategy, body, seed, examples, shrinking=True)
    except (_Enough, _Failing):
        pass
    except Exception as error:  # Hypothesis says "flaky" in its own way; the caller has its own word for it
        if not smallest:
            raise error
    return smallest[0] if smallest else None
