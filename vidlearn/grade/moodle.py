"""For Moodle: marks in its offline grading worksheet, or in a gradebook exported from it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from vidlearn.grade import filling, tables

__all__ = ["fill_moodle"]

#: headers of Moodle's files; the worksheet's are translated
_COLUMNS = {
    "id": ("identifier", "identifiant", "id"),
    "number": ("id number", "id-nummer", "numéro d'identification"),
    "login": ("email address", "username", "e-mail-adresse", "anmeldename", "adresse de courriel", "nom d'utilisateur"),
    "name": ("full name", "vollständiger name", "nom complet"),
    "first": ("first name", "vorname", "prénom"),
    "last": ("last name", "surname", "nachname", "nom", "nom de famille"),
    "grade": ("grade", "bewertung", "note"),
    "most": ("maximum grade",),
    "changeable": ("grade can be changed",),
    "theirs": ("status", "last modified (submission)", "last modified (grade)", "feedback comments"),
}


def fill_moodle(results: Iterable[dict[str, Any]], gradebook: bytes, column: str | None = None) -> filling.Filled:
    """Write marks into Moodle's offline grading worksheet, or into a gradebook exported from Moodle.

    Parameters
    ----------
    results
        As for `fill_canvas`. Students are told by the number in ``Identifier`` or by ``ID number``, else by ``Username``
        or ``Email address``, else by name. The folders of Moodle's own download hold the number.
    gradebook
        The file's bytes. Feedback and the time of the last change stay: Moodle needs the latter to see conflicts.
    column
        The column of the marks; ``Grade`` if not given.

    Raises
    ------
    ValueError
        If this is not such a file, or it has no such column.

    Examples
    --------
    >>> sheet = b'Identifier,"Full name",Grade,"Last modified (grade)"\\nParticipant 31,"Jane Doe",,-\\n'
    >>> fill_moodle([{"student": "Jane Doe_31_assignsubmission_file_", "score": 3, "max_score": 5}], sheet).data
    b'Identifier,"Full name",Grade,"Last modified (grade)"\\nParticipant 31,"Jane Doe",3.00,-\\n'
    """

    def found(header: list[str], what: str) -> list[int]:
        return [i for i, name in enumerate(header) if name.lower().replace("\u2019", "'") in _COLUMNS[what]]

    results = list(results)

    def recognized(header: list[str]) -> bool:
        return len(header) > 1 and any(found(header, what) for what in ("id", "number", "login", "name"))

    sheet = tables.read(
        gradebook, recognized, "Moodle's grading worksheet (Identifier, Full name, Grade …) or exported gradebook"
    )
    header = [cell.value.strip() for cell in sheet.rows[0]]
    known = {i for what in _COLUMNS if what != "grade" for i in found(header, what)}
    grade = found(header, "grade")
    target = filling.column(header, [i for i in range(len(header)) if i not in known], column, lambda i: i in grade)
    pairs = [[i, j] for i in found(header, "first")[:1] for j in found(header, "last")[:1]]
    names = [[i] for i in found(header, "name")] + pairs
    students = sheet.rows[1:]
    ids = [(i, "Moodle") for i in found(header, "id")] + [(i, "") for i in found(header, "number")]
    keys = [filling.keys(sheet, row, ids, found(header, "login"), names) for row in students]
    most, changeable = (next(iter(found(header, what)), None) for what in ("most", "changeable"))

    def held(row: list[tables.Cell]) -> str:
        return "has a grade that Moodle does not let change" if sheet.value(row, changeable).lower() == "no" else ""

    claims = [filling.claims(result, "Moodle", _id) for result in results]
    return filling.fill(results, claims, sheet, students, keys, target, lambda row: sheet.value(row, most), held)


def _id(student: str) -> tuple[str, str]:
    """The participant's number and name in ``Jane Doe_31_assignsubmission_file``, from Moodle's download."""
    matches = re.findall(r"(.+?)_(\d+)_assignsubmission_(?:file|onlinetext)", student)
    # two of them: what a student called the file imitates it, and which is real can't be seen
    return (matches[0][1], matches[0][0]) if len(matches) == 1 else ("", "")
