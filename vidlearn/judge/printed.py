"""What a student's code prints while it is looked at: enough of it to debug by, not a flood above the card."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from typing import TextIO

__all__ = ["quietly"]


@contextlib.contextmanager
def quietly(lines: int = 10) -> Iterator[None]:
    """Let through the first lines printed in the ``with`` block, and say at its end how many more there were.

    Parameters
    ----------
    lines
        How many lines are shown.

    Examples
    --------
    >>> with quietly(lines=2):
    ...     for row in range(5):
    ...         print("row", row)
    row 0
    row 1
    … and 3 more printed lines
    """
    first = _First(sys.stdout, lines)
    try:
        with contextlib.redirect_stdout(first):
            yield
    finally:
        first.end()


class _First(io.TextIOBase):
    """A stream that hands on its first lines and counts the others."""

    def __init__(self, out: TextIO, most: int) -> None:
        self.out, self.most, self.ended, self.within = out, most, 0, False  # within a line

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.ended < self.most:
            lines = text.split("\n")[: self.most - self.ended + 1]
            shown = "\n".join(lines) if self.ended + len(lines) <= self.most else "\n".join(lines[:-1]) + "\n"
            self.out.write(shown)
        self.ended += text.count("\n")
        self.within = not text.endswith("\n") if text else self.within
        return len(text)

    def flush(self) -> None:
        self.out.flush()

    def end(self) -> None:
        """Say what was left out."""
        if self.ended < self.most and self.within:
            self.out.write("\n")  # so that what comes next has a line of its own
        if more := max(self.ended - self.most + self.within, 0):
            self.out.write(f"… and {more} more printed line{'s' * (more > 1)}\n")
