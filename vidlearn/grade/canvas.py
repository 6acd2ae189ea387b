"""For Canvas: marks in the gradebook that a teacher exported there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from vidlearn.grade import filling, tables

__all__ = ["fill_canvas"]

_IDS = ("id", "sis user id", "integration id")
_TOTAL = re.compile(r"(current|unposted|final|override)\b.*\b(score|points|grade|status)$", re.IGNORECASE)


def fill_canvas(results: Iterable[dict[str, Any]], gradebook: bytes, column: str | None = None) -> filling.Filled:
    """Write marks into the gradebook that a teacher exported from Canvas.

    Parameters
    ----------
    results
        What `vidlearn.grade.grade` returns. A submission belongs to the student whose ``ID`` or ``SIS User ID``, else
        ``SIS Login ID``, else name is its ``student`` (or its ``student_id``, ``login``, ``name``). The names of files
        in Canvas's own download hold the ``ID``, and mean nothing else; a number of Moodle's means nobody here.
    gradebook
        The exported file's bytes.
    column
        The assignment, with or without the number in parentheses. Not needed where there is only one.

    Raises
    ------
    ValueError
        If this is not such a file, or it has no such column: Canvas would make a new assignment of it.

    Examples
    --------
    >>> gradebook = b"Student,ID,SIS Login ID,Section,Flow (7)\\n    Points Possible,,,,5\\nDoe Jane,12,jd,A,\\n"
    >>> print(fill_canvas([{"student": "jd", "score": 4.5, "max_score": 5}], gradebook).data.decode().strip())
    Student,ID,SIS Login ID,Section,Flow (7)
        Points Possible,,,,5
    Doe Jane,12,jd,A,4.50
    """

    results = list(results)

    def recognized(header: list[str]) -> bool:
        low = [name.lower() for name in header]
        return "section" in low and "id" in low and bool(low) and (low[0] == "student" or "lastname" in low)

    sheet = tables.read(
        gradebook, recognized, "a gradebook exported from Canvas, with the columns Student, ID and Section"
    )
    header = [cell.value.strip() for cell in sheet.rows[0]]
    low = [name.lower() for name in header]
    first = low.index("section") + 1
    open_ = [i for i in range(first, len(header)) if header[i] and not _TOTAL.search(header[i])]
    target = filling.column(header, open_, column, lambda i: bool(re.search(r"\(\d+\)$", header[i])))
    students, possible = [], None
    for row in sheet.rows[1:]:
        if sheet.value(row, 0).lower() == "points possible" and not sheet.value(row, low.index("id")):
            possible = sheet.value(row, target)
            if possible.lower() == "(read only)":
                raise ValueError(f"column: {header[target]!r} is read only in Canvas")
        elif any(sheet.value(row, low.index(name)) for name in ("id", "sis user id", "sis login id") if name in low):
            students.append(row)
    ids = [(low.index(name), "Canvas" if name == "id" else "") for name in _IDS if name in low]
    logins = [low.index("sis login id")] if "sis login id" in low else []
    names = [[low.index("student")]] if "student" in low else []
    if "lastname" in low and "firstname" in low:
        names.append([low.index("firstname"), low.index("lastname")])
    keys = [filling.keys(sheet, row, ids, logins, names) for row in students]

    def held(row: list[tables.Cell]) -> str:
        return "is excused in Canvas" if sheet.value(row, target).lower() == "ex" else ""

    claims = [filling.claims(result, "Canvas", _id) for result in results]
    return filling.fill(results, claims, sheet, students, keys, target, lambda row: possible, held)


def _id(student: str) -> tuple[str, str]:
    """The student's number in a name such as ``doejane_LATE_12_345_answer``, from Canvas's download."""
    match = re.match(r"[^\W_]+_(?:LATE_)?(\d+)_\d+_", student)
    return (match[1] if match else ""), ""
