"""What every reader and writer here shares: the error, the look before opening, the write that is all or nothing."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

__all__ = ["VideoError", "VideoWarning", "existing_file", "missing_package", "replacing"]


class VideoError(ValueError):
    """A film, an image or a flow file that can't be read or written; the message says which, why and what to do."""


class VideoWarning(UserWarning):
    """Something was read, but not all of it."""


def missing_package(what: str, packages: str) -> VideoError:
    """The error for `what` when none of `packages` is installed."""
    return VideoError(f"{what} needs {packages}, which is not installed here: pip install 'vidlearn[video]'")


def existing_file(path: str | os.PathLike, kind: str) -> Path:
    """Return `path` as a Path, or say plainly that it is missing, a folder, or empty."""
    path = Path(path)
    if not path.exists():
        raise VideoError(f"{path}: there is no such file; expected {kind}")
    if path.is_dir():
        raise VideoError(f"{path} is a folder; expected {kind}")
    if path.stat().st_size == 0:
        raise VideoError(f"{path} is empty (0 bytes); expected {kind}")
    return path


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary name beside `path`; it takes the place of `path` only when the block ends without an error."""
    path = Path(path)
    if not path.parent.is_dir():
        raise VideoError(f"{path}: the folder {path.parent} does not exist; make it first")
    if path.is_dir():
        raise VideoError(f"{path} is a folder; expected the name of a file to write")
    temporary = path.with_name(f".{path.stem}-{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
