"""From a file, a folder or a zip archive to one paper a student. Nothing is run here, and nothing is guessed."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

__all__ = ["Paper", "papers", "printable"]

SUFFIXES = (".ipynb", ".py")
MAX_BYTES = 16 << 20
MAX_ENTRIES = 20_000


def printable(name: str) -> str:
    """A file's name with nothing in it that a terminal or a page would act on."""
    return "".join(c if c.isprintable() else "\ufffd" for c in name)


@dataclass(frozen=True)
class Paper:
    """One student's submission: its bytes, or why there are none."""

    student: str
    submission: str
    source: bytes = b""
    suffix: str = ".py"
    problem: str = ""
    status: str = "not run"  # with a problem: "unreadable" is the student's to mend, "not run" the teacher's to decide

    def __post_init__(self) -> None:
        for name in ("student", "submission", "problem"):
            object.__setattr__(self, name, printable(getattr(self, name)))


def papers(submissions: str | Path, assignment_id: str) -> tuple[list[Paper], list[str]]:
    """One paper for each student, sorted by name, and the entries that are none.

    In an entry with several files, the one named after the assignment is taken; without one, the only notebook or
    Python file. Anything else is a paper with a problem: never a guess.
    """
    path = Path(submissions)
    if not path.exists():
        raise ValueError(f"submissions: there is no file or folder {path}")
    if path.is_file():
        if path.suffix.lower() == ".zip":
            return _from_zip(path, assignment_id)
        return [_take(path.stem, [(path.name, partial(_read, path))], assignment_id)], []
    found, others = [], []
    for entry in sorted(path.iterdir()):
        if _is_hidden(entry.name):
            continue
        if entry.is_symlink():
            found.append(Paper(entry.stem, entry.name, problem="a link to somewhere else, which is not followed"))
        elif entry.is_dir():
            files = [
                (str(file.relative_to(entry)), partial(_read, file))
                for file in sorted(entry.rglob("*"))[:MAX_ENTRIES]
                if file.is_file() and not file.is_symlink() and file.suffix.lower() in SUFFIXES
            ]
            found.append(_take(entry.name, files, assignment_id, entry.name + "/"))
        elif entry.suffix.lower() in SUFFIXES:
            found.append(_take(entry.stem, [(entry.name, partial(_read, entry))], assignment_id))
        else:
            others.append(entry.name)
    return found, others


def _take(
    student: str, files: Sequence[tuple[str, Callable[[], bytes]]], assignment_id: str, prefix: str = ""
) -> Paper:
    """Choose the one file that is the submission."""
    files = [(name, read) for name, read in files if not any(map(_is_hidden, PurePosixPath(name).parts))]
    named = [(name, read) for name, read in files if assignment_id.lower() in PurePosixPath(name).stem.lower()]
    choice = named or files
    if not choice:
        return Paper(student, prefix.rstrip("/") or student, problem="no notebook and no Python file in it")
    if len(choice) > 1:
        listed = ", ".join(name for name, _ in choice[:4]) + (", …" if len(choice) > 4 else "")
        return Paper(student, prefix.rstrip("/"), problem=f"several files could be the submission: {listed}")
    name, read = choice[0]
    try:
        return Paper(student, prefix + name, read(), PurePosixPath(name).suffix.lower())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        return Paper(student, prefix + name, problem=f"cannot be read: {error}", status="unreadable")


def _read(path: Path) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("not a plain file")
        return _bounded(file.read(MAX_BYTES + 1))


def _bounded(raw: bytes) -> bytes:
    if len(raw) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES >> 20} MiB")
    return raw


def _from_zip(path: Path, assignment_id: str) -> tuple[list[Paper], list[str]]:
    """Read a zip in memory: nothing is unpacked, so no name in it can reach the disk."""
    try:
        archive = zipfile.ZipFile(path)
        infos = archive.infolist()
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise ValueError(f"submissions: {path} is not a zip archive: {error}") from None
    if len(infos) > MAX_ENTRIES:
        raise ValueError(f"submissions: {path} holds {len(infos)} entries, at most {MAX_ENTRIES} are read")
    plain = [info for info in infos if not info.is_dir() and _is_plain(info)]
    others = [info.filename for info in infos if not info.is_dir() and not _is_plain(info)]
    split = [(PurePosixPath(info.filename).parts, info) for info in plain]
    split = [(parts, info) for parts, info in split if not any(map(_is_hidden, parts))]
    while split and all(len(parts) > 1 and parts[0] == split[0][0][0] for parts, _ in split) and len(split) > 1:
        split = [(parts[1:], info) for parts, info in split]  # one folder around everything
    students: dict[str, list[tuple[str, Callable[[], bytes]]]] = {}
    for parts, info in split:
        if PurePosixPath(parts[-1]).suffix.lower() not in SUFFIXES:
            others.append(info.filename)
            continue
        student = parts[0] if len(parts) > 1 else PurePosixPath(parts[0]).stem
        rest = "/".join(parts[1:]) or parts[0]
        students.setdefault(student, []).append((rest, partial(_inflate, path, info)))
    archive.close()
    return [_take(student, files, assignment_id, student + "/") for student, files in sorted(students.items())], others


def _inflate(path: Path, info: zipfile.ZipInfo) -> bytes:
    with zipfile.ZipFile(path) as archive, archive.open(info) as file:
        return _bounded(
            file.read(MAX_BYTES + 1)
        )  # counted while inflating: the size that an entry claims is not believed


def _is_hidden(name: str) -> bool:
    """Folders and files that systems and editors leave behind."""
    return name.startswith((".", "__MACOSX", "__pycache__"))


def _is_plain(info: zipfile.ZipInfo) -> bool:
    name = PurePosixPath(info.filename)
    mode = info.external_attr >> 16
    regular = not mode or stat.S_IFMT(mode) in (0, stat.S_IFREG)
    return (
        regular
        and not name.is_absolute()
        and ".." not in name.parts
        and "\\" not in info.filename
        and ":" not in info.filename
        and "\0" not in info.filename
    )
