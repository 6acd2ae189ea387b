"""From a file, a folder, an archive or a course system's download to one paper a student.

Nothing is run here, nothing is unpacked to disk, and nothing is guessed: what is not clear becomes a paper with a problem.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import lzma
import math
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

__all__ = ["Paper", "one_paper", "papers", "printable"]

SUFFIXES = (".ipynb", ".py")
ZIPS = (".zip",)
TARS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
MAX_BYTES = 16 << 20
MAX_NESTED = 64 << 20  # a student's own archive, and all that is kept of one student in a class's tar
MAX_KEPT = 256 << 20  # what is kept of a tar, which can only be read from its beginning, in memory
MAX_INFLATED = 4 << 30  # what a class's compressed tar may inflate to; most of it is passed over
MAX_STUDENT_ENTRIES = 5_000
MAX_ENTRIES = 500_000  # the last resort: one student doesn't get there
MAX_NESTED_ENTRIES = 2_000
MAX_LOOK = 2 << 20  # a notebook in which repeated cells are looked for: JSON grows in memory
MAX_NAME = 1_024
MAX_DEPTH = 40
_DAMAGED = (
    OSError, ValueError, zipfile.BadZipFile, tarfile.TarError, NotImplementedError, RuntimeError, EOFError,
    zlib.error, lzma.LZMAError, OverflowError, MemoryError,
)  # fmt: skip


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
    id: str = ""  # what the course system calls the student
    notes: tuple[str, ...] = ()  # late, several attempts, repeated cells: for the report

    def __post_init__(self) -> None:
        for name in ("student", "submission", "problem", "id"):
            object.__setattr__(self, name, printable(getattr(self, name)))
        object.__setattr__(self, "notes", tuple(map(printable, self.notes)))

    def facts(self) -> dict[str, Any]:
        """What a result says beyond the marks: ``student_id`` and ``notes``, where there are any."""
        found = {"student_id": self.id, "notes": list(self.notes)}
        return {key: value for key, value in found.items() if value}


@dataclass(frozen=True)
class _Entry:
    """A file somewhere inside; ``read`` is called for the chosen one only. ``why`` says why it can't be.

    One without parts is nobody's: its name leads elsewhere.
    """

    parts: tuple[str, ...]
    read: Callable[[], bytes] | None = None
    why: str = ""
    folder: bool = False
    origin: str = ""  # its whole name, where a course system puts more in it than the student did
    size: int = 0  # bytes that wait in memory
    cut: bool = False  # stands for all that its student handed in, which was too much

    @property
    def name(self) -> str:
        return "/".join(self.parts)


@dataclass(frozen=True)
class _Attempt:
    """What one student handed in at one time."""

    student: str
    entries: tuple[_Entry, ...]
    place: str
    id: str = ""
    when: tuple[Any, ...] = ()  # compares attempts of one student: the largest is the newest
    notes: tuple[str, ...] = ()
    problem: str = ""


def papers(submissions: str | Path, assignment_id: str) -> tuple[list[Paper], list[str]]:
    """One paper for each student, sorted by name, and the entries that are none, each with the reason.

    Downloads of Canvas, Moodle, Gradescope and nbgrader are known by their layout; otherwise each entry is a student.
    Of several attempts the newest is taken. Of several files the one named after the assignment is taken; without one,
    the only notebook or Python file. Anything else is a paper with a problem: never a guess.

    Raises
    ------
    ValueError
        If there is no such file or folder, or it is an archive that can't be opened at all.

    Examples
    --------
    >>> from vidlearn.grade import SAMPLES
    >>> found, left_out = papers(SAMPLES / "submissions", "01_brightness_constancy")
    >>> [paper.student for paper in found][:2]
    ['student-01', 'student-02']
    """
    path = Path(submissions)
    if not path.exists():
        raise ValueError(f"submissions: there is no file or folder {path}")
    rest = ""
    if path.is_dir():
        entries, rest = _bounded_list(partial(_from_folder, path), MAX_ENTRIES)
    elif _archive_suffix(path.name):
        try:
            with path.open("rb") as file:
                entries, rest = _from_archive(path.name, file, MAX_ENTRIES, path)
        except _DAMAGED as error:
            raise ValueError(f"submissions: {path} cannot be read as an archive: {error}") from None
    else:
        return [_take(_Attempt(path.stem, (_Entry((path.name,), partial(_read, path)),), ""), assignment_id)], []
    attempts, others = _sort(entries, path, assignment_id, whole=not rest)
    found = [_take(attempt, assignment_id) for attempt in _newest(attempts)]
    if rest:  # a result of its own, so that nobody takes the class for complete
        found.append(Paper(f"(the rest of {path.name})", path.name, problem=rest))
    return found, others


def one_paper(folder: str | Path, student: str, assignment_id: str) -> Paper:
    """The paper in a folder that is all one student's: what Gradescope's container holds."""
    entries, rest = _bounded_list(partial(_from_folder, Path(folder)), MAX_ENTRIES, alone=True)
    return _take(_Attempt(student, tuple(entries), "", notes=(rest,) if rest else ()), assignment_id)


# ------------------------------------------------------------------ containers: what is in there


def _archive_suffix(name: str) -> str:
    return next((suffix for suffix in (*ZIPS, *TARS) if name.lower().endswith(suffix)), "")


def _bounded_list(listing: Callable[[], Iterator[_Entry]], limit: int, alone: bool = False) -> tuple[list[_Entry], str]:
    """At most so many entries, and why there are no more. A damaged archive gives what comes before the damage.

    A student who hands in too much has one entry left, which says so, and takes no room from the others. ``alone``: all
    is one student's.
    """
    outer = 0 if alone else _outer(listing())
    students: dict[Hashable, list[_Entry]] = {}
    held: Counter[Hashable] = Counter()
    count, kept, rest = 0, 0, ""
    try:
        for entry in listing():
            who = None if alone else _whose(entry.parts[outer:])
            mine = students.setdefault(who, [])
            if any(map(_is_hidden, entry.parts)) or (mine and mine[0].cut):
                continue
            why = f"more than {MAX_STUDENT_ENTRIES} files" if len(mine) >= MAX_STUDENT_ENTRIES else ""
            if held[who] + entry.size > MAX_NESTED:
                why = f"notebooks, Python files and archives of more than {MAX_NESTED >> 20} MiB together"
            if why:
                count, kept = count - len(mine), kept - held[who]
                mine.clear()
                entry = replace(entry, read=None, why=why, folder=False, size=0, cut=True)
            if count >= limit:
                rest = f"it holds more than {limit} entries; the rest was not read"
                break
            if kept + entry.size > MAX_KEPT:
                rest = f"its notebooks are larger than {MAX_KEPT >> 20} MiB together; the rest was not read"
                break
            mine.append(entry)
            held[who] += entry.size
            count, kept = count + 1, kept + entry.size
    except _DAMAGED as error:
        if not count:
            raise
        rest = f"it is damaged or too large, and was read only up to there: {error}"
    return [entry for mine in students.values() for entry in mine], rest


def _outer(entries: Iterable[_Entry]) -> int:
    """How many folders are around everything."""
    common: tuple[str, ...] | None = None
    with contextlib.suppress(*_DAMAGED):
        for entry in entries:
            if entry.parts and not any(map(_is_hidden, entry.parts)):
                folder = entry.parts if entry.folder else entry.parts[:-1]
                common = folder if common is None else _shared(common, folder)
                if not common:
                    break
    return len(common or ())


def _shared(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return tuple(part for part, _ in pairs)


def _whose(parts: tuple[str, ...]) -> Hashable:
    """The student to whom an entry counts, before anything is known of the layout."""
    first = next((part for part in parts if part != "submitted"), "")
    if match := _CANVAS.fullmatch(first):
        return match.group("name", "id", "anon")
    if match := _MOODLE.fullmatch(first):
        return match.group("name", "id")
    return first


def _from_folder(top: Path) -> Iterator[_Entry]:
    for at, folders, files in os.walk(top):
        here = Path(at).relative_to(top).parts
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        if not folders and not files and here:
            yield _Entry(here, folder=True)
        for name in [*folders, *sorted(files)]:
            path = Path(at, name)
            if path.is_symlink():
                yield _Entry((*here, name), why="a link to somewhere else, which is not followed")
            elif name not in folders or not path.is_dir():
                yield _Entry((*here, name), partial(_read, path))


def _from_archive(name: str, file: BinaryIO, limit: int, path: Path | None = None) -> tuple[list[_Entry], str]:
    """The entries of a zip or tar, read in memory: no name in it can reach the disk."""
    listing = partial(_from_zip, file, path)
    if _archive_suffix(name) not in ZIPS:
        listing = partial(_from_tar, name, file, MAX_INFLATED if path else MAX_KEPT)
    entries, rest = _bounded_list(listing, limit, alone=path is None)
    return _without_parents(entries), rest


def _from_zip(file: BinaryIO, path: Path | None) -> Iterator[_Entry]:
    with contextlib.ExitStack() as stack:
        # a student's own archive lies in memory and stays; one on disk is opened again for what is read of it
        archive = stack.enter_context(zipfile.ZipFile(file)) if path else zipfile.ZipFile(file)
        for info in archive.infolist():
            mode = stat.S_IFMT(info.external_attr >> 16)
            odd = _odd_name(info.orig_filename) or _odd_name(info.filename)
            if odd:
                yield _Entry((), why=odd)
                continue
            why = "" if mode in (0, stat.S_IFREG, stat.S_IFDIR) else _kind(mode)
            read = partial(_inflate, path or archive, info)
            yield _Entry(_parts(info.filename), None if why else read, why, info.is_dir() and not why)


def _from_tar(name: str, file: BinaryIO, most_inflated: int) -> Iterator[_Entry]:
    file.seek(0)
    stream = _Stream(name, file, most_inflated)
    with tarfile.open(fileobj=stream, mode="r:") as archive:  # type: ignore[call-overload]
        while (member := archive.next()) is not None:
            archive.members.clear()  # it would keep them all
            why = ""
            if member.size < 0:
                raise ValueError("an entry has a negative size")
            if odd := _odd_name(member.name):
                yield _Entry((), why=odd)
                continue
            if member.issym() or member.islnk():
                why = _kind(stat.S_IFLNK)
            elif member.issparse():
                why = "a sparse file, which claims bytes that it doesn't hold"
            elif not member.isreg() and not member.isdir():
                why = _kind(0)
            raw = b""
            if not why and member.isreg() and _is_wanted(member.name):
                most = MAX_NESTED if _archive_suffix(member.name) else MAX_BYTES
                if member.size > most:
                    yield _Entry(_parts(member.name), why=f"larger than {most >> 20} MiB")
                    continue
                inside = archive.extractfile(member)
                raw = inside.read(most + 1) if inside else b""
                if len(raw) < member.size:
                    raise EOFError(f"{member.name} is cut off")
            folder = member.isdir() and not why
            yield _Entry(_parts(member.name), None if why else partial(bytes, raw), why, folder, size=len(raw))
        stream.finish()


class _Stream:
    """A tar without its compression, read from its beginning to its end, and no further than ``most``."""

    def __init__(self, name: str, file: BinaryIO, most: int) -> None:
        suffix = _archive_suffix(name)
        self.file: Any = file
        self.most: float = most
        self.last = b""
        if suffix in (".tar.gz", ".tgz"):
            self.file = gzip.GzipFile(fileobj=file)
        elif suffix in (".tar.xz", ".txz"):
            self.file = lzma.LZMAFile(file)  # noqa: SIM115 (the file under it is the caller's)
        elif suffix in (".tar.bz2", ".tbz2"):
            self.file = bz2.BZ2File(file)
        else:
            self.most = math.inf  # nothing grows

    def tell(self) -> int:
        return int(self.file.tell())

    def seek(self, to: int) -> int:
        if to > self.most:
            raise ValueError(f"it inflates to more than {int(self.most) >> 20} MiB")
        return int(self.file.seek(to))

    def read(self, size: int) -> bytes:
        if size > MAX_NESTED + tarfile.BLOCKSIZE:
            raise ValueError("an entry's header is larger than any file may be")
        self.last = self.file.read(size)
        self.seek(self.tell())
        return self.last

    def finish(self) -> None:
        """What tarfile passes in silence: a damaged header, at which it ends, and damage that a checksum tells."""
        if self.last != bytes(512):
            raise ValueError("there is no tar's end mark where its entries end")
        while self.most < math.inf and self.read(1 << 20):
            pass


def _without_parents(entries: list[_Entry]) -> list[_Entry]:
    """Folders matter where they are empty: a student who handed in nothing."""
    parents = {entry.parts[:i] for entry in entries for i in range(1, len(entry.parts))}
    return [entry for entry in entries if not (entry.folder and (entry.parts in parents or not entry.parts))]


def _parts(name: str) -> tuple[str, ...]:
    return PurePosixPath(name).parts


def _odd_name(name: str) -> str:
    """What is wrong with an archive's name for a file, or nothing."""
    path, shown = PurePosixPath(name), name[:120]
    if path.is_absolute() or ".." in path.parts or ":" in name or "\\" in name:
        return f"{shown}: a name that leads out of the archive"
    if "\0" in name or len(name) > MAX_NAME or len(path.parts) > MAX_DEPTH:
        return f"{shown}: a name that no file should have"
    return ""


def _kind(mode: int) -> str:
    return "a link, which is not followed" if mode == stat.S_IFLNK else "a device or another special file"


def _is_wanted(name: str) -> bool:
    """Whether a tar's member is kept in memory while the rest is passed over."""
    path = PurePosixPath(name)
    return (
        path.suffix.lower() in SUFFIXES
        or bool(_archive_suffix(name))
        or path.name in ("timestamp.txt", "submission_metadata.yml")
    )


def _is_hidden(name: str) -> bool:
    """Folders and files that systems and editors leave behind."""
    return name != ".." and name.startswith((".", "__MACOSX", "__pycache__"))


def _read(path: Path) -> bytes:
    most = MAX_NESTED if _archive_suffix(path.name) else MAX_BYTES
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("not a plain file")
        return _bounded(file.read(most + 1), most)


def _inflate(archive: Path | zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    most = MAX_NESTED if _archive_suffix(info.filename) else MAX_BYTES
    with contextlib.ExitStack() as stack:
        if isinstance(archive, Path):
            archive = stack.enter_context(zipfile.ZipFile(archive))
        # counted while inflating: the size that an entry claims is not believed
        return _bounded(stack.enter_context(archive.open(info)).read(most + 1), most)


def _bounded(raw: bytes, most: int) -> bytes:
    if len(raw) > most:
        raise ValueError(f"larger than {most >> 20} MiB")
    return raw


# ------------------------------------------------------------------ layouts: who handed in what

# content_zipper.rb: sortable name in lower case, LATE, user or anonymous id, attachment id, the file's own name
_CANVAS = re.compile(
    r"(?:(?P<late0>LATE_)?anon_(?P<anon>[A-Za-z0-9]+)|(?P<name>.+?)(?P<late>_LATE)?_(?P<id>[1-9]\d*))"
    r"_(?:(?P<file>[1-9]\d*)_(?P<rest>.+)|(?:text|link)\.html)",
    re.DOTALL,
)
# downloader.php: full name (no underscore in it), participant's number, plugin; a folder, or a prefix of flat names
_MOODLE = re.compile(r"(?P<name>.+?)(?:_(?P<id>\d+))?_assignsubmission_(?P<plugin>[a-z]+)(?:_(?P<rest>.*))?", re.DOTALL)
_GRADESCOPE = re.compile(r"submission_(?P<id>\d+)")


_Known = tuple[list[_Attempt], list[str]]


def _sort(entries: list[_Entry], path: Path, assignment_id: str, whole: bool) -> _Known:
    """Whose entries are whose: by a course system's layout if it is one, else by the first part of the name.

    Folders around everything in an archive are the class's if only folders and archives are in them, and one student's
    if the submission lies right there. Otherwise, or if the archive was not read to its end, a person must say.
    """
    others = [entry.why for entry in entries if not entry.parts]
    entries = inner = [entry for entry in entries if entry.parts]
    top = path.resolve().name if path.is_dir() else ""
    while inner:
        for layout in (_gradescope, _moodle, _nbgrader, _canvas):
            known = layout(inner, top, assignment_id)
            if known is not None:
                return known[0], others + known[1]
        first = {entry.parts[0] for entry in inner}
        if len(first) > 1 or any(len(entry.parts) < 2 for entry in inner):
            break
        top = first.pop()
        inner = [replace(entry, parts=entry.parts[1:]) for entry in inner]  # one folder around everything
    several = all(len(entry.parts) > 1 or entry.folder or _archive_suffix(entry.parts[0]) for entry in inner)
    outside = inner is not entries and not path.is_dir()
    attempts, more = _plain(inner if outside and several and whole else entries)
    if outside and not (several and whole):
        files = [one for one in inner if PurePosixPath(one.name).suffix.lower() in (*SUFFIXES, *ZIPS, *TARS)]
        right_there = _named([one for one in files if len(one.parts) == 1], assignment_id)
        if not whole or (len(files) > 1 and not right_there):
            why = "everything is in this folder: if it is the class and no student, give what is in it"
            attempts = [replace(attempt, problem=why) for attempt in attempts]
    return attempts, others + more


def _plain(entries: list[_Entry]) -> _Known:
    """Each file or folder is a student."""
    students: dict[str, list[_Entry]] = {}
    folders, others = set(), []
    for entry in entries:
        first = entry.parts[0]
        if len(entry.parts) > 1 or entry.folder:
            students.setdefault(first, []).append(replace(entry, parts=entry.parts[1:]))
            folders.add(first)
            continue
        suffix = _archive_suffix(first) or PurePosixPath(first).suffix
        if entry.why or suffix.lower() in (*SUFFIXES, *ZIPS, *TARS):
            students.setdefault(first[: len(first) - len(suffix)] or first, []).append(entry)
        else:
            others.append(f"{entry.name} is neither a notebook nor a Python file")
    return [_Attempt(who, tuple(files), who + "/" if who in folders else "") for who, files in students.items()], others


def _canvas(entries: list[_Entry], top: str, assignment_id: str) -> _Known | None:
    files = [(entry, _CANVAS.fullmatch(entry.parts[0])) for entry in entries if len(entry.parts) == 1]
    if len(files) < len(entries) or 2 * sum(match is not None for _, match in files) <= len(files):
        return None
    students: dict[tuple[str, str], dict[str, list[tuple[int, _Entry]]]] = {}
    late = set()
    unknown = [entry for entry, match in files if match is None]
    for entry, match in files:
        if match is None:
            continue
        who = match["name"] or f"anon_{match['anon']}", match["id"] or match["anon"]
        if match["late"] or match["late0"]:
            late.add(who)
        rest = match["rest"] or "text.html"
        one = replace(entry, parts=(rest,), origin=entry.name)
        students.setdefault(who, {}).setdefault(rest, []).append((int(match["file"] or 0), one))
    attempts = []
    for (name, number), named in students.items():
        newest, notes = [], ["handed in late, says Canvas"] if (name, number) in late else []
        for again in sorted(named):
            # hw.ipynb handed in again is called hw-1.ipynb by Canvas itself; without a hw.ipynb it may be another file
            own = re.sub(r"-\d+(?=\.\w+$)", "", again)
            if own != again and own in named:
                named[own] += named.pop(again)
        for own, versions in named.items():
            versions.sort(key=lambda version: version[0])
            newest.append(versions[-1][1])
            if len(versions) > 1:
                notes.append(
                    f"{len(versions)} attempts at {own}; the newest was graded (Canvas file {versions[-1][0]})"
                )
        last = max(version for versions in named.values() for version, _ in versions)
        attempts.append(_Attempt(name, tuple(newest), f"{name}_{number}", number, (last,), tuple(notes)))
    more, others = _plain(unknown)
    return attempts + more, others


def _moodle(entries: list[_Entry], top: str, assignment_id: str) -> _Known | None:
    matches = [_MOODLE.fullmatch(entry.parts[0]) for entry in entries]
    if not any(matches):
        return None
    students: dict[tuple[str, str], list[_Entry]] = {}
    unknown = []
    for entry, match in zip(entries, matches, strict=True):
        if match is None:
            unknown.append(entry)
            continue
        parts = entry.parts[1:] if len(entry.parts) > 1 or entry.folder else (match["rest"] or entry.parts[0],)
        students.setdefault((match["name"], match["id"] or ""), []).append(
            replace(entry, parts=parts, origin=entry.name)
        )
    attempts = [_Attempt(name, tuple(files), f"{name}_{number}", number) for (name, number), files in students.items()]
    more, others = _plain(unknown)
    return attempts + more, others


def _gradescope(entries: list[_Entry], top: str, assignment_id: str) -> _Known | None:
    folders = {entry.parts[0] for entry in entries if len(entry.parts) > 1 or entry.folder}
    about = [entry for entry in entries if entry.parts == ("submission_metadata.yml",)]
    if not folders or not all(map(_GRADESCOPE.fullmatch, folders)):
        return None
    people, trouble = {}, ""
    try:
        people = _submitters(about[0].read().decode("utf-8-sig")) if about and about[0].read else {}
    except _DAMAGED as error:
        trouble = f" ({error})"
    attempts, others = [], []
    for entry in entries:
        if entry.parts[0] not in folders and entry not in about:
            others.append(f"{entry.name} is in no submission's folder")
    for folder in sorted(folders):
        files = tuple(replace(entry, parts=entry.parts[1:]) for entry in entries if entry.parts[0] == folder)
        number = int(folder.removeprefix("submission_")[:18])
        who, when = people.get(folder, ([], ""))
        if not who:
            note = f"submission_metadata.yml says nothing about {folder}{trouble}"
            attempts.append(_Attempt(folder, files, folder + "/", "", ("", number), (note,)))
        for name, number_of, email in who:
            mates = ", ".join(other or mail for other, _, mail in who if (other, mail) != (name, email))
            notes = (f"handed in together with {mates}",) if mates else ()
            student = name or email or folder
            attempts.append(_Attempt(student, files, folder + "/", number_of or email, (when, number), notes))
    return attempts, others


def _submitters(text: str) -> dict[str, tuple[list[tuple[str, str, str]], str]]:
    """By folder name, sid and email of who handed in, and when.

    Only these lines of the file are read, each at the one indentation that it has there: results, which quote what
    students print, lie deeper and can't pass for them.
    """
    found: dict[str, tuple[list[tuple[str, str, str]], str]] = {}
    folder = section = ""
    people: list[dict[str, str]] = []
    when = ""
    for line in [*text.replace("\r\n", "\n").split("\n"), "end:"]:  # not splitlines: students print U+2028 too
        if re.match(r"\S", line):
            if folder:
                who = [(one.get("name", ""), one.get("sid", ""), one.get("email", "")) for one in people]
                found[folder] = who, when
            match = re.fullmatch(r"['\"]?(submission_\d+)['\"]?:\s*", line)
            folder, section, people, when = match[1] if match else "", "", [], ""
        elif folder and (match := re.match(r"  :(\w+):(.*)", line)):
            section = match[1]
            if section == "created_at":
                when = _time(_scalar(match[2]))
        elif section == "submitters" and (match := re.match(r"(?:  - |    |  {4}- | {6}):(name|sid|email):(.*)", line)):
            if "- " in line[:8] or not people:
                people.append({})
            people[-1][match[1]] = _scalar(match[2])
    return found


def _scalar(text: str) -> str:
    text = re.sub(r"^&\S+ ", "", text.strip())
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    if len(text) > 1 and text[0] == text[-1] == '"':
        with contextlib.suppress(ValueError):
            return str(json.loads(text))
    return "" if text in ("~", "null") else text


def _time(text: str) -> str:
    """A moment as text that sorts; empty if it is none."""
    text = re.sub(r"\s+(Z|[+-]\d\d:?\d\d|UTC)$", lambda match: match[1].replace("UTC", "Z"), text.strip())
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return ""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()


def _nbgrader(entries: list[_Entry], top: str, assignment_id: str) -> _Known | None:
    """submitted/<student>/<assignment>/<file>; the other folders of a course hold no submissions."""
    others: list[str] = []
    if any(entry.parts[0] == "submitted" for entry in entries):
        others = sorted({entry.parts[0] for entry in entries if entry.parts[0] != "submitted"})
        others = [f"{name} is not what students handed in" for name in others]
        entries = [replace(e, parts=e.parts[1:]) for e in entries if e.parts[0] == "submitted" and len(e.parts) > 1]
    elif top != "submitted":
        return None
    if not entries or not any(len(entry.parts) > 2 for entry in entries):
        return None
    students: dict[str, dict[str, list[_Entry]]] = {}
    for entry in entries:
        if len(entry.parts) < 3:
            if entry.folder:
                students.setdefault(entry.parts[0], {}).setdefault(entry.parts[-1] if entry.parts[1:] else "", [])
            else:
                others.append(f"{entry.name} is in no assignment's folder")
            continue
        student, assignment, *rest = entry.parts
        students.setdefault(student, {}).setdefault(assignment, []).append(replace(entry, parts=tuple(rest)))
    attempts = []
    for student, handed in students.items():
        match = (
            [name for name in handed if _plainly(name) == _plainly(assignment_id)] if assignment_id else list(handed)
        )
        if not match:
            there = ", ".join(sorted(filter(None, handed))) or "nothing"
            why = f"no folder named {assignment_id}; there is {there}"
            why = next((entry.why for files in handed.values() for entry in files if entry.cut), why)
            attempts.append(_Attempt(student, (), student + "/", student, problem=why))
        for name in match:
            stamp, notes = _timestamp(handed[name])
            files = tuple(entry for entry in handed[name] if entry.name != "timestamp.txt")
            attempts.append(_Attempt(student, files, f"{student}/{name}/", student, (stamp,), notes))
    return attempts, others


def _timestamp(files: list[_Entry]) -> tuple[str, tuple[str, ...]]:
    for entry in files:
        if entry.name == "timestamp.txt" and entry.read:
            try:
                stamp = _time(entry.read().decode("utf-8-sig")[:100])
            except _DAMAGED:
                stamp = ""
            return stamp, () if stamp else ("timestamp.txt holds no time",)
    return "", ()


def _newest(attempts: list[_Attempt]) -> list[_Attempt]:
    """One attempt a student, sorted by name; namesakes are told apart by their ids, or else by a number."""
    students: dict[tuple[str, str], list[_Attempt]] = {}
    for attempt in attempts:
        students.setdefault((attempt.id, "" if attempt.id else attempt.student), []).append(attempt)
    chosen = []
    for several in students.values():
        several.sort(key=lambda attempt: attempt.when)
        newest = several[-1]
        if len(several) > 1 and newest.when == several[-2].when:
            newest = replace(newest, problem=f"{len(several)} attempts, and nothing says which is the newest")
        elif len(several) > 1:
            older = ", ".join(attempt.place.rstrip("/") for attempt in several[:-1])
            note = f"{len(several)} attempts; the newest was graded, in {newest.place.rstrip('/')}, and not {older}"
            newest = replace(newest, notes=(*newest.notes, note))
        chosen.append(newest)
    chosen.sort(key=lambda attempt: attempt.student)
    names = distinct((attempt.student, attempt.id) for attempt in chosen)
    unique = [replace(attempt, student=name) for attempt, name in zip(chosen, names, strict=True)]
    return sorted(unique, key=lambda attempt: attempt.student)


def distinct(students: Iterable[tuple[str, str]]) -> list[str]:
    """A name of its own for each name and id: namesakes are told apart by their ids, or else by a number.

    Examples
    --------
    >>> distinct([("Jane Doe", "31"), ("Jane Doe", "32"), ("Max", "33")])
    ['Jane Doe (31)', 'Jane Doe (32)', 'Max']
    """
    known = [(printable(name), printable(number)) for name, number in students]
    names = Counter(name for name, _ in known)
    unique: dict[str, None] = {}
    for name, number in known:
        if names[name] > 1 and number:
            name = f"{name} ({number})"
        base, count = name, 2
        while name in unique or (name != base and name in names):
            name, count = f"{base} ({count})", count + 1
        unique[name] = None
    return list(unique)


# ------------------------------------------------------------------ the one file that is the submission


def _plainly(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _take(attempt: _Attempt, assignment_id: str) -> Paper:
    """Choose the one file that is the submission."""
    entries = [entry for entry in attempt.entries if not entry.folder]
    # a course system's own name, where there is one: it tells whose number the id is
    place = next((entry.origin.split("/")[0] for entry in entries if entry.origin), attempt.place.rstrip("/"))
    place = place or (entries[0].name if entries else "") or attempt.student
    problem = partial(Paper, attempt.student, place, id=attempt.id)
    notes = list(attempt.notes)
    if why := attempt.problem or next((entry.why for entry in entries if entry.cut), ""):
        return problem(problem=why, notes=tuple(notes))
    opened: list[_Entry] = []
    for entry in entries:
        if not entry.why and entry.read and entry.parts and _archive_suffix(entry.parts[-1]):
            try:  # once: an archive in a student's archive stays shut
                inside, rest = _from_archive(entry.parts[-1], io.BytesIO(entry.read()), MAX_NESTED_ENTRIES)
            except _DAMAGED as error:
                why = f"{entry.name} cannot be read as an archive: {error}"
                return problem(problem=why, status="unreadable", notes=tuple(notes))
            origin = entry.origin and entry.origin + "/"
            opened += [
                replace(one, parts=(*entry.parts, *one.parts), origin=origin and origin + one.name) for one in inside
            ]
            notes += [f"{entry.name}: {rest}"] if rest else []
        else:
            opened.append(entry)
    refused = [f"{entry.name}: {entry.why}" if entry.parts else entry.why for entry in opened if entry.why]
    files = [one for one in opened if one.read and PurePosixPath(one.name).suffix.lower() in SUFFIXES and not one.why]
    # the checks that `vidlearn release` hands out come back with a folder that is handed in whole
    files = [one for one in files if "checks" not in one.parts[:-1]] or files
    choice = _named(files, assignment_id) or files
    if not choice:
        if refused and len(opened) == 1:
            why = opened[0].why
        else:
            there = [entry.name for entry in opened if not entry.why]
            why = "no notebook and no Python file in it" + (f"; there is {_listed(there)}" if there else "")
            why += f" (not used: {_listed(refused)})" if refused else ""
        return problem(problem=why, notes=tuple(notes))
    notes += [f"not used: {_listed(refused)}"] if refused else []
    if len(choice) > 1:
        listed = _listed([entry.name for entry in choice])
        return problem(problem=f"several files could be the submission: {listed}", notes=tuple(notes))
    entry = choice[0]
    paper = Paper(attempt.student, entry.origin or attempt.place + entry.name, id=attempt.id, notes=tuple(notes))
    try:
        assert entry.read is not None
        raw, suffix = _bounded(entry.read(), MAX_BYTES), PurePosixPath(entry.name).suffix.lower()
    except _DAMAGED as error:
        return replace(paper, problem=f"cannot be read: {error}", status="unreadable")
    return replace(paper, source=raw, suffix=suffix, notes=(*notes, *(_repeats(raw) if suffix == ".ipynb" else ())))


def _named(files: list[_Entry], assignment_id: str) -> list[_Entry]:
    """Those that are called what the assignment is; without one, those with it as words of their name: hw1 isn't hw10."""
    wanted, stems = _plainly(assignment_id), [_plainly(PurePosixPath(one.name).stem) for one in files]
    exact = [one for one, stem in zip(files, stems, strict=True) if stem == wanted]
    return exact or [one for one, stem in zip(files, stems, strict=True) if f"_{wanted}_" in f"_{stem}_"]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(name[:120] for name in names[:4]) + (", …" if len(names) > 4 else "")


def _repeats(raw: bytes) -> tuple[str, ...]:
    """A sentence for code cells that a notebook holds twice. Unreadable notebooks are the grader's to report."""
    if len(raw) > MAX_LOOK:
        return ()
    try:
        cells = [cell for cell in json.loads(raw.decode("utf-8-sig"))["cells"] if cell["cell_type"] == "code"]
        sources = ["".join(cell["source"]).strip() for cell in cells]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, MemoryError):
        return ()
    first: dict[str, int] = {}
    again = [i for i, source in enumerate(sources, 1) if source and first.setdefault(source, i) != i]
    return (f"{len(again)} code cells are there more than once; the last definition counts",) if again else ()
