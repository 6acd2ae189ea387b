"""Results out: for Gradescope, into the teacher's own Canvas or Moodle file, and as plain CSV.

A gradebook file is *filled in*, never invented: only the cells of one column change, all other bytes stay as they are.
A student who can't be told from another is listed, never guessed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidlearn.grade.intake import _CANVAS, _GRADESCOPE, _MOODLE, printable

__all__ = ["Filled", "add_arguments", "fill_canvas", "fill_moodle", "gradescope", "main", "plain_csv", "read_results"]

_MOST_OUTPUT = 16_000  # characters of printed text that Gradescope is given for a question


def read_results(path: str | Path) -> list[dict[str, Any]]:
    """Read ``results.json`` as `vidlearn.grade.grade` writes it, and check what the exports rely on.

    Raises
    ------
    ValueError
        If the file is missing, or is not a list of results.
    """
    try:
        results = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"results: {path} cannot be read as JSON: {error}") from None
    if not isinstance(results, list):
        raise ValueError(f"results: expected a list of results in {path}, as vidlearn grade writes it")
    for number, result in enumerate(results, 1):
        problem = _problem(result)
        if problem:
            raise ValueError(f"results: entry {number} of {path} {problem}; expected what vidlearn grade writes")
    return results


def _problem(result: Any) -> str:
    if not isinstance(result, dict):
        return "is not an object"
    if not isinstance(result.get("questions"), list):
        return "has no list of questions"
    named: list[tuple[Any, tuple[str, ...]]] = [(result, ("student", "submission", "status"))]
    named += [(question, ("operation", "status")) for question in result["questions"]]
    for entry, texts in named:
        if not isinstance(entry, dict) or not all(isinstance(entry.get(name), str) for name in texts):
            return f"lacks one of {', '.join(texts)}"
        for name in ("score", "max_score"):
            value = entry.get(name, "missing")
            if value is None and name == "score":
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                return f"has a {name} that is not a number"
    return ""


# ---------------------------------------------------------------------------------------------------- Gradescope


def gradescope(result: dict[str, Any], visibility: dict[str, str] | None = None) -> dict[str, Any]:
    """One result as Gradescope's ``results.json``.

    Parameters
    ----------
    result
        One entry of what `vidlearn.grade.grade` returns.
    visibility
        What students see of a question, by operation: ``visible``, ``hidden``, ``after_published`` or
        ``after_due_date``. A question that is not named is visible if its result tells anything, and hidden if not:
        the grader leaves the findings out of what students are not to see.

    Returns
    -------
    dict
        Ready for `json.dump`. All text is declared as ``text``, which Gradescope shows as it is. A submission that
        was *not run* has no score: Gradescope then reports a failed autograder, not a zero.

    Examples
    --------
    >>> result = {"student": "ada", "submission": "ada.py", "score": 2.0, "max_score": 3, "status": "partly",
    ...           "questions": [{"operation": "flow.warp", "score": 2.0, "max_score": 3, "status": "partly",
    ...                          "findings": [{"kind": "breaks", "text": "outside", "points": 0}], "output": ""}]}
    >>> made = gradescope(result)
    >>> made["score"], made["tests"][0]["visibility"], made["tests"][0]["output"]
    (2.0, 'visible', 'partly\\nbreaks (0): outside')
    """
    tests = []
    for number, question in enumerate(result["questions"], 1):
        name = question["operation"]
        test = {
            "name": _clean(name), "number": str(number), "max_score": question["max_score"],
            "visibility": (visibility or {}).get(name) or ("visible" if question.get("findings") else "hidden"),
            "output": _story(question), "output_format": "text", "name_format": "text",
        }  # fmt: skip
        if question["score"] is not None:
            test["score"] = question["score"]
            test["status"] = "passed" if question["status"] == "correct" else "failed"
        tests.append(test)
    # the overall status would tell of hidden questions; the total is kept from students by Gradescope itself then
    told = f": {result['status']}" if all(test["visibility"] == "visible" for test in tests) else ""
    made: dict[str, Any] = {
        "output": _clean(result["submission"] + told), "output_format": "text",
        "test_output_format": "text", "test_name_format": "text", "stdout_visibility": "hidden", "tests": tests,
    }  # fmt: skip
    if result["score"] is None:  # not graded is not zero, not even in part
        for test in tests:
            test.pop("score", None)
            test.pop("status", None)
    else:
        made["score"] = result["score"]
    return made


def _story(question: dict[str, Any]) -> str:
    lines = [question["status"]]
    for finding in question.get("findings") or ():
        points = f" ({finding['points']:g})" if isinstance(finding.get("points"), int | float) else ""
        lines.append(f"{finding.get('kind', 'note')}{points}: {finding.get('text', '')}")
    if question.get("output"):
        printed = str(question["output"])
        lines += ["printed:", printed[:_MOST_OUTPUT] + (" … (cut)" if len(printed) > _MOST_OUTPUT else "")]
    return _clean("\n".join(lines))


def _clean(text: str) -> str:
    """Text with nothing in it that a terminal or a browser acts on, besides line breaks and tabs."""
    return re.sub(r"[^\n\t]+", lambda part: printable(part[0]), text)


# ---------------------------------------------------------------------------------------------------- plain CSV


def plain_csv(results: Iterable[dict[str, Any]]) -> str:
    """Results as a table: a line a student, a column a question. Marks that do not exist are empty, not 0.

    Text that a spreadsheet would take for a formula gets an apostrophe in front.

    Examples
    --------
    >>> result = {"student": "=1+1", "submission": "a.py", "score": None, "max_score": 3, "status": "not run",
    ...           "questions": []}
    >>> print(plain_csv([result]).strip())
    student,submission,status,score,max_score
    '=1+1,a.py,not run,,3
    """
    results = list(results)
    operations = list(dict.fromkeys(q["operation"] for result in results for q in result["questions"]))
    rows = [["student", "submission", "status", "score", "max_score", *map(_harmless, operations)]]
    for result in results:
        scores = {question["operation"]: question["score"] for question in result["questions"]}
        texts = [_harmless(result[name]) for name in ("student", "submission", "status")]
        numbers = [result["score"], result["max_score"], *(scores.get(name) for name in operations)]
        rows.append(texts + ["" if number is None else f"{number:.12g}" for number in numbers])
    return _table(rows)


def _table(rows: Iterable[Iterable[str]]) -> str:
    """Lines of comma-separated cells; one that holds what separates cells in another country too stands in quotes."""

    def quoted(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"' if re.search(r'[,;|"\t\r\n]', cell) else cell

    return "".join(",".join(map(quoted, row)) + "\n" for row in rows)


def _harmless(text: str) -> str:
    """Text without a formula in it, also where a spreadsheet cuts it into cells at a semicolon."""
    return ";".join(map(_no_formula, printable(str(text)).split(";")))


def _no_formula(text: str) -> str:
    # some programs skip white space, and take the wide forms of East Asian keyboards too
    first = unicodedata.normalize("NFKC", text).lstrip(" \ufffd\u200b\ufeff'\"")[:1]
    return "'" + text if first and first in "=+-@|%" else text


# ------------------------------------------------------------------------------------------ the teacher's file


@dataclass
class Filled:
    """A gradebook file with marks in it, and what a person must still look at."""

    data: bytes  #: the whole file
    written: int  #: cells that now hold a mark
    unmatched: list[str] = field(default_factory=list)  #: submissions whose mark went nowhere, and why
    notes: list[str] = field(default_factory=list)  #: what else to know before it is uploaded


@dataclass
class _Cell:
    value: str
    start: int
    end: int


@dataclass
class _Sheet:
    """A CSV file as spans of its text: what is not replaced stays as it is, byte for byte."""

    text: str
    encoding: str
    delimiter: str
    rows: list[list[_Cell]]

    def value(self, row: list[_Cell], column: int | None) -> str:
        return row[column].value.strip() if column is not None and column < len(row) else ""

    @property
    def decimal(self) -> str:
        """The decimal mark that the file itself uses."""
        cells = [cell.value.strip() for row in self.rows[1:] for cell in row]
        comma = any(re.fullmatch(r"-?\d+,\d{1,2}", value) for value in cells)
        point = any(re.fullmatch(r"-?\d+\.\d+", value) for value in cells)
        return "," if comma and not point else "."

    def replace(self, changes: dict[int, tuple[_Cell, str]]) -> bytes:
        """The file with some cells replaced; a cell that was quoted stays so."""
        parts, at = [], 0
        for start in sorted(changes):
            cell, value = changes[start]
            quoted = self.text[start : start + 1] == '"' or self.delimiter in value
            parts += [self.text[at:start], f'"{value}"' if quoted else value]
            at = cell.end
        return "".join([*parts, self.text[at:]]).encode(self.encoding)


def _sheet(raw: bytes, recognized: Callable[[list[str]], bool], expected: str) -> _Sheet:
    encoding = next((code for bom, code in _BOMS.items() if raw.startswith(bom)), "")
    for code in [encoding] if encoding else ["utf-8", "cp1252"]:
        try:
            text = raw.decode(code)
        except UnicodeDecodeError:
            continue
        for delimiter in ",;\t":
            rows = _rows(text, delimiter)
            if rows and recognized([cell.value.strip() for cell in rows[0]]):
                return _Sheet(text, code, delimiter, rows)
    raise ValueError(f"into: this is not such a file; expected {expected}")


_BOMS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}  # the mark itself stays in the text; so does UTF-8's


def _rows(text: str, delimiter: str) -> list[list[_Cell]]:
    """Split text into cells that know where they stand."""
    plain = re.compile(rf"[^{re.escape(delimiter)}\r\n]*")
    quoted = re.compile(r'"(?:[^"]|"")*"')
    rows: list[list[_Cell]] = []
    row: list[_Cell] = []
    at = int(text.startswith("\ufeff"))
    while at <= len(text):
        start, value = at, ""
        match = quoted.match(text, at)
        if match:
            value, at = match[0][1:-1].replace('""', '"'), match.end()
        elif text.startswith('"', at):
            raise ValueError(f"into: a quotation mark in line {text.count(chr(10), 0, at) + 1} is never closed")
        rest = plain.match(text, at)
        assert rest is not None
        value, at = value + rest[0], rest.end()
        row.append(_Cell(value, start, at))
        if text.startswith(delimiter, at):
            at += 1
            continue
        if len(row) > 1 or row[0].value:
            rows.append(row)
        row = []
        if at == len(text):
            break
        at += 2 if text.startswith("\r\n", at) else 1
    return rows


_CANVAS_IDS = ("id", "sis user id", "integration id")
_CANVAS_TOTAL = re.compile(r"(current|unposted|final|override)\b.*\b(score|points|grade|status)$", re.IGNORECASE)


def fill_canvas(results: Iterable[dict[str, Any]], gradebook: bytes, column: str | None = None) -> Filled:
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

    sheet = _sheet(gradebook, recognized, "a gradebook exported from Canvas, with the columns Student, ID and Section")
    header = [cell.value.strip() for cell in sheet.rows[0]]
    low = [name.lower() for name in header]
    first = low.index("section") + 1
    open_ = [i for i in range(first, len(header)) if header[i] and not _CANVAS_TOTAL.search(header[i])]
    target = _column(header, open_, column, lambda i: bool(re.search(r"\(\d+\)$", header[i])))
    students, possible = [], None
    for row in sheet.rows[1:]:
        if sheet.value(row, 0).lower() == "points possible" and not sheet.value(row, low.index("id")):
            possible = sheet.value(row, target)
            if possible.lower() == "(read only)":
                raise ValueError(f"column: {header[target]!r} is read only in Canvas")
        elif any(sheet.value(row, low.index(name)) for name in ("id", "sis user id", "sis login id") if name in low):
            students.append(row)
    ids = [(low.index(name), "Canvas" if name == "id" else "") for name in _CANVAS_IDS if name in low]
    logins = [low.index("sis login id")] if "sis login id" in low else []
    names = [[low.index("student")]] if "student" in low else []
    if "lastname" in low and "firstname" in low:
        names.append([low.index("firstname"), low.index("lastname")])
    keys = [_keys(sheet, row, ids, logins, names) for row in students]

    def held(row: list[_Cell]) -> str:
        return "is excused in Canvas" if sheet.value(row, target).lower() == "ex" else ""

    claims = [_claims(result, "Canvas", _canvas_id) for result in results]
    return _fill(results, claims, sheet, students, keys, target, lambda row: possible, held)


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


def fill_moodle(results: Iterable[dict[str, Any]], gradebook: bytes, column: str | None = None) -> Filled:
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

    sheet = _sheet(
        gradebook, recognized, "Moodle's grading worksheet (Identifier, Full name, Grade …) or exported gradebook"
    )
    header = [cell.value.strip() for cell in sheet.rows[0]]
    known = {i for what in _COLUMNS if what != "grade" for i in found(header, what)}
    grade = found(header, "grade")
    target = _column(header, [i for i in range(len(header)) if i not in known], column, lambda i: i in grade)
    pairs = [[i, j] for i in found(header, "first")[:1] for j in found(header, "last")[:1]]
    names = [[i] for i in found(header, "name")] + pairs
    students = sheet.rows[1:]
    ids = [(i, "Moodle") for i in found(header, "id")] + [(i, "") for i in found(header, "number")]
    keys = [_keys(sheet, row, ids, found(header, "login"), names) for row in students]
    most, changeable = (next(iter(found(header, what)), None) for what in ("most", "changeable"))

    def held(row: list[_Cell]) -> str:
        return "has a grade that Moodle does not let change" if sheet.value(row, changeable).lower() == "no" else ""

    claims = [_claims(result, "Moodle", _moodle_id) for result in results]
    return _fill(results, claims, sheet, students, keys, target, lambda row: sheet.value(row, most), held)


def _column(header: list[str], open_: list[int], wanted: str | None, usual: Callable[[int], bool]) -> int:
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
_Keys = tuple[set[_Id], set[str], set[str]]


def _keys(
    sheet: _Sheet, row: list[_Cell], ids: list[tuple[int, str]], logins: list[int], names: list[list[int]]
) -> _Keys:
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


def _claims(result: dict[str, Any], system: str, download: Callable[[str], tuple[str, str]]) -> _Keys:
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


def _canvas_id(student: str) -> tuple[str, str]:
    """The student's number in a name such as ``doejane_LATE_12_345_answer``, from Canvas's download."""
    match = re.match(r"[^\W_]+_(?:LATE_)?(\d+)_\d+_", student)
    return (match[1] if match else ""), ""


def _moodle_id(student: str) -> tuple[str, str]:
    """The participant's number and name in ``Jane Doe_31_assignsubmission_file``, from Moodle's download."""
    matches = re.findall(r"(.+?)_(\d+)_assignsubmission_(?:file|onlinetext)", student)
    # two of them: what a student called the file imitates it, and which is real can't be seen
    return (matches[0][1], matches[0][0]) if len(matches) == 1 else ("", "")


def _name(text: str) -> str:
    """A name without what differs by habit: case, spacing, ``Doe, Jane`` for ``Jane Doe``."""
    text = " ".join(unicodedata.normalize("NFC", text).casefold().replace("_", " ").split())
    last, comma, first = text.partition(",")
    return f"{first.strip()} {last.strip()}" if comma else text


def _fill(
    results: list[dict[str, Any]],
    claims: list[_Keys],
    sheet: _Sheet,
    students: list[list[_Cell]],
    keys: list[_Keys],
    target: int,
    possible: Callable[[list[_Cell]], str | None],
    held: Callable[[list[_Cell]], str],
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
    changes: dict[int, tuple[_Cell, str]] = {}
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


# ------------------------------------------------------------------------------------------------ command line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``vidlearn export``."""
    parser.add_argument("results", metavar="MARKS/results.json", help="what vidlearn grade wrote")
    parser.add_argument("--to", required=True, choices=("gradescope", "canvas", "moodle", "nbgrader", "csv", "sqlite"))
    parser.add_argument("--into", metavar="FILE", help="canvas, moodle: the file you downloaded there")
    parser.add_argument("--column", metavar="NAME", help="canvas, moodle: the column to fill")
    parser.add_argument("--student", metavar="NAME", help="gradescope: whose result, if there are several")
    parser.add_argument(
        "--assignment",
        metavar="FILE.toml",
        help="gradescope: says which questions students may see; nbgrader: names it",
    )
    parser.add_argument(
        "--out", required=True, metavar="FILE", help="the file to write; sqlite: to add a run to; nbgrader: the course"
    )


def main(args: argparse.Namespace) -> int:
    """Run ``vidlearn export``: 0 when all went out, 1 when a person must look at some, 2 when it could not be done."""
    results, out, facts = read_results(args.results), Path(args.out), _facts(args.results)
    if out.exists() and any(os.path.samefile(out, path) for path in (args.results, args.into) if path):
        raise ValueError(f"out: {out} is the file that is read; name another, so that it stays as it is")
    into = args.to in ("canvas", "moodle")
    if into != bool(args.into):
        hint = f"expected with --to {args.to}: the file you downloaded there" if into else f"not for --to {args.to}"
        raise ValueError(f"into: {hint}")
    left = []
    if facts.get("finished") is False:
        left.append("grading has not finished; these results are not all")
    if args.to == "gradescope":
        chosen = [result for result in results if args.student in (None, result["student"])]
        if len(chosen) != 1:
            raise ValueError(f"student: Gradescope takes one result, {len(chosen)} are here; name one with --student")
        seen = {}
        if args.assignment:
            from vidlearn.grade.assignment import Assignment

            seen = {q.operation.name: q.visibility for q in Assignment.read(args.assignment).questions}
        data = (json.dumps(gradescope(chosen[0], seen), indent=1) + "\n").encode()
        left += ["it is not graded: the result has no score"] * (chosen[0]["score"] is None)
        _write(out, data)
        print(f"{printable(chosen[0]['student'])} · {out}")
    elif args.to == "csv":
        _write(out, plain_csv(results).encode("utf-8", "backslashreplace"))
        print(f"{len(results)} results · {out}")
    elif args.to == "nbgrader":
        from vidlearn.grade import nbgrader
        from vidlearn.grade.assignment import Assignment

        asked = Assignment.read(args.assignment) if args.assignment else None
        name, title = (asked.id, asked.title) if asked else (str(facts.get("assignment", "")), "")
        if not name:
            raise ValueError(f"assignment: no run.json beside {args.results} names it; give its file with --assignment")
        files, unplaced = nbgrader.feedback(results, name, out, title)
        left += unplaced
        print(f"{len(files) - 1} reports · {files[0]}")
    elif args.to == "sqlite":
        from vidlearn.grade.gradebook import Gradebook

        with Gradebook(out) as gradebook:
            run = gradebook.add(results, str(facts.get("assignment", "")))
            changes = gradebook.changes(run)
        for change in changes:
            print(printable(str(change)))
        print(f"run {run}, {len(changes)} changes since the one before · {out}")
    else:
        fill = fill_canvas if args.to == "canvas" else fill_moodle
        filled = fill(results, Path(args.into).read_bytes(), args.column)
        _write(out, filled.data)
        left += filled.unmatched + filled.notes
        print(f"{filled.written} of {len(results)} marks written · {out}")
    for line in left:
        print(f"vidlearn export: {line}", file=sys.stderr)
    return int(bool(left))


def _facts(results: str | Path) -> dict[str, Any]:
    """What stands in ``run.json`` beside the results, if it is there."""
    try:
        facts = json.loads((Path(results).parent / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _write(path: Path, data: bytes) -> None:
    """Write a whole file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
