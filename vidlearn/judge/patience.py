"""A limit on how long a student's code may take in this process, so that a loop without an end is an answer too."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from vidlearn.judge.candidate import Stopped

__all__ = ["SECONDS", "TimedOut", "limit", "patient"]

SECONDS = 10.0  # for one call


class TimedOut(Stopped):
    """Raised in the middle of code whose time is up. A BaseException: `except Exception` does not swallow it."""


@contextlib.contextmanager
def limit(seconds: float | None, what: str = "no answer") -> Iterator[None]:
    """End the code in the ``with`` block when `seconds` have passed.

    There is no limit where the system has no interval timer (Windows) and outside the main thread, nor where an alarm
    of somebody else's rings earlier. One that would ring later is put back. A single long call into compiled code is
    ended only when it returns, and a loop around a bare ``except: pass`` not at all.

    Parameters
    ----------
    seconds
        How long to wait; None is for ever.
    what
        What there is none of by then; the sentence begins with it.

    Raises
    ------
    TimedOut
        In the block, when time is up.
    ValueError
        If `seconds` is not a positive number.

    Examples
    --------
    >>> with limit(0.05):
    ...     time.sleep(1)
    Traceback (most recent call last):
    vidlearn.judge.patience.TimedOut: no answer within 0.05 s: is there a loop that never ends? A loop over ...
    """
    seconds = _checked(seconds)
    here = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if seconds is None or not here:
        yield
        return
    left, interval = signal.getitimer(signal.ITIMER_REAL)
    if 0 < left <= seconds:
        yield
        return
    sentence = (
        f"{what} within {seconds:g} s: is there a loop that never ends? "
        "A loop over pixels is slow, too: NumPy computes whole arrays at once"
    )
    rang = False

    def ring(*_: object) -> None:
        nonlocal rang
        rang = True
        raise TimedOut("timed out", sentence)

    start, before = time.monotonic(), signal.signal(signal.SIGALRM, ring)
    try:
        # it rings again and again, for code that goes on after a bare `except:`
        signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if rang:
            raise TimedOut("timed out", sentence)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)  # once more: it may have rung just as the first was called
        signal.signal(signal.SIGALRM, before if before is not None else signal.SIG_DFL)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - start), 1e-6), interval)


def patient(function: Callable[..., Any], seconds: float | None) -> Callable[..., Any]:
    """Return `function` with a :func:`limit` on each call."""
    _checked(seconds)  # now: what a call raises is the student's mistake

    def call(*args: Any, **kwargs: Any) -> Any:
        with limit(seconds):
            return function(*args, **kwargs)

    return call


def _checked(seconds: float | None) -> float | None:
    if seconds is None or 0 < seconds <= 1e8:
        return seconds
    raise ValueError(f"seconds: expected a number greater than 0, or None for no limit, got {seconds!r}")
