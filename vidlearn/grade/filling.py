"""Marks into a file that a course system exported: which column, whose row, and which cells may change.

A file is *filled in*, never invented: only the cells of one column change, all other bytes stay as they are. A student who
can't be told from another is listed, never guessed.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from vidlearn.grade.intake import _CANVAS, _GRADESCOPE, _MOODLE, printable
from vidlearn.grade.tables import Cell, Sheet

__all__ = ["Filled", "Keys", "claims", "column", "fill", "keys"]


@dataclass
class Filled:
    """A gradebook file with marks in it, and what a person must still look at."""

    data: bytes  #: the whole file
    written: int  #: cells that now hold a mark
    unmatched: list[str] = field(default_factory=list)  #: submissions whose mark went nowhere, and why
    notes: list[str] = field(default_factory=list)  #: what else to know before it is uploaded


def column(header: list[str], open_: list[int], wanted: str | None, usual: Callable[[int], bool]) -> int:
    """The one column to fill."""
    if wanted is None:
        fits = [i for i in open_ if usual(i)]
    else:
        fits = [i for i in open_ if header[i] == wanted.strip()]
        fits = fits or [i for i in open_ if re.sub(r"\s*\(\d+\)$", "", header[i]) == wanted.strip()]
    if len(fits) == 1:
        return fits[0]
    listed = ", ".join(repr(printable(header[i])) for i in open_[:12]) or "none"
    asked = "name the one to fill with --column" if wanted is None else f"{len(fits)} of them are {printable(wanted)!r}"
    raise ValueError(f"column: {asked}; the file has {listed}")


_Id = tuple[str, str]  # whose id it is, a course system's own or (an empty string) the university's; and the id
Keys = tuple[set[_Id], set[str], set[str]]


def keys(sheet: Sheet, row: list[Cell], ids: list[tuple[int, str]], logins: list[int], names: list[list[int]]) -> Keys:
    """What a row's student goes by: ids, logins, names."""
    own = {(system, sheet.value(row, i)) for i, system in ids}
    for system, value in list(own):  # "Participant 31", in any language
        if system == "Moodle" and (match := re.fullmatch(r"\D+ (\d+)", value)):
            own.add((system, match[1]))
    return (
        {(system, value) for system, value in own if value},
        {sheet.value(row, i).casefold() for i in logins} - {""},
        {_name(" ".join(sheet.value(row, i) for i in columns)) for columns in names} - {""},
    )


def claims(result: dict[str, Any], system: str, download: Callable[[str], tuple[str, str]]) -> Keys:
    """What a submission's student may go by, in a file of this system.

    Where a course system gave an id, ``student`` is a name that it shows, and perhaps the student's own choice: no id.
    """
    student, known = str(result["student"]).strip(), str(result.get("student_id") or "").strip()
    number, name = ("", "") if known else download(student)
    own = known or student
    issuer = _issuer(result, known) if known and known != student else None
    meant = ("Canvas", "Moodle", "") if issuer is None else (issuer,)  # what a teacher calls them may be any id
    logins = (own if "" in meant else "", result.get("login"), result.get("email"))
    return (
        {(one, own) for one in meant if own} | ({(system, number)} if number else set()),
        {str(text or "").casefold() for text in logins} - {""},
        {_name(str(text or "")) for text in (student, name, result.get("name"))} - {""},
    )


def _issuer(result: dict[str, Any], known: str) -> str:
    """Whose id it is, as the place of the submission in a download tells; the university's if Gradescope passes it on."""
    place = str(result.get("submission", "")).split("/")[0]
    for system, layout in (("Moodle", _MOODLE), ("Canvas", _CANVAS)):
        match = layout.fullmatch(place)
        if match and known in (match["id"], match.groupdict().get("anon")):
            return system
    return "" if _GRADESCOPE.fullmatch(place) else "nobody knows"


def _name(text: str) -> str:
    """A name without what differs by habit: case, spacing, ``Doe, Jane`` for ``Jane Doe``."""
    text = " ".join(unicodedata.normalize("NFC", text).casefold().replace("_", " ").split())
    last, comma, first = text.partition(",")
    return f"{first.strip()} {last.strip()}" if comma else text


def fill(
    results: list[dict[str, Any]],
    claims: list[Keys],
    sheet: Sheet,
    students: list[list[Cell]],
    keys: list[Keys],
    target: int,
    possible: Callable[[list[Cell]], str | None],
    held: Callable[[list[Cell]], str],
) -> Filled:
    """Match every submission to at most one row, then write the marks of those that alone match theirs."""
    places: list[list[int]] = []
    filled = Filled(b"", 0)
    for result, claim in zip(results, claims, strict=True):
        levels = ([i for i, own in enumerate(keys) if own[level] & claim[level]] for level in range(3))
        by_id, by_login, by_name = levels
        fits = by_id or by_login or by_name
        if result.get("student_id") and by_name and not set(fits) & set(by_name):
            fits = fits + by_name  # the id may be another system's: it is one student's here, the name another's
        places.append(fits)
    taken = Counter(fits[0] for fits in places if len(fits) == 1)
    changes: dict[int, tuple[Cell, str]] = {}
    for result, fits in zip(results, places, strict=True):
        who = printable(str(result["student"]))
        if len(fits) != 1:
            filled.unmatched.append(f"{who}: {'several students' if fits else 'no student'} of the gradebook fit")
            continue
        row = students[fits[0]]
        refusal = held(row)
        if taken[fits[0]] > 1:
            filled.unmatched.append(f"{who}: another submission fits the same student")
        elif result["score"] is None:
            filled.notes.append(f"{who} is not graded; the cell stays as it is")
        elif target >= len(row):
            filled.unmatched.append(f"{who}: the row has fewer cells than the header")
        elif refusal:
            filled.unmatched.append(f"{who}: {refusal}; the cell stays as it is")
        else:
            changes[row[target].start] = row[target], f"{result['score']:.2f}".replace(".", sheet.decimal)
            most = _number(possible(row) or "")
            if most is not None and most != result["max_score"]:
                note = f"marks are out of {result['max_score']:g}, the column is out of {most:g}; they are not scaled"
                if note not in filled.notes:
                    filled.notes.append(note)
    filled.data, filled.written = sheet.replace(changes), len(changes)
    return filled


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None
