"""With nbgrader: notebooks that it accepts as its own, and our marks in the layout of its course folder.

Nothing here needs nbgrader. A notebook is a plain dict, as `json.load` gives it; what nbgrader asks of its cells
(metadata schema 3, markers, checksums) is written out below and tested against the real package.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vidlearn.grade import report, tables
from vidlearn.grade.assignment import Assignment, Question
from vidlearn.grade.intake import _MOODLE, printable
from vidlearn.sandbox.submission import _without_magics

__all__ = ["checksum", "feedback", "gradebook_csv", "problems", "release", "without_answers"]

#: what a student gets in place of an answer
STUBS = {"code": ["# YOUR CODE HERE", "raise NotImplementedError()"], "markdown": ["YOUR ANSWER HERE"]}

#: the columns of ``nbgrader export``
COLUMNS = (
    "assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email", "raw_score",
    "late_submission_penalty", "score", "max_score",
)  # fmt: skip

_MARKER = re.compile(r"(BEGIN|END) (SOLUTION|HIDDEN TESTS|MARK SCHEME)")  # anywhere in a line, as nbgrader has it
_FOLDER = re.compile(r"\w([\w. -]*\w)?")  # nbgrader takes these names; "+" it does not
_STUDENT = re.compile(r"\w([\w.@+ -]*\w)?")  # an address too
_LONGEST = 60  # characters of a folder's name: at most 255 bytes, whatever the script

_TEST = """\
import vidlearn as vl
from IPython.display import display

card = vl.check({name})
display(card)
assert card.right, "{name} is not right yet: the card says why"
"""  # displayed, not left as the cell's value: nbgrader would try to read that as partial credit


# ---------------------------------------------------------------------------------------------------- notebooks out


def release(assignment: str | Path | Assignment, notebook: str | Path, folder: str | Path) -> list[Path]:
    """Write an assignment into an nbgrader course: ``source`` for the teacher, ``release`` for students.

    The cell that defines an asked function becomes nbgrader's *autograded answer*, and the check below it (made where
    there is none) its *autograder tests*, worth the question's points. Other cells keep what they say to nbgrader.

    Parameters
    ----------
    assignment
        The TOML file, or an `Assignment`.
    notebook
        The solution with its ``### BEGIN SOLUTION`` marks, or an exercise whose functions are still empty. A function
        without marks counts as answer from below its docstring to its end.
    folder
        The course. Both files take the notebook's name, in ``source/ID/`` and ``release/ID/``. Doing it again, from
        what was written too, gives the same files.

    Returns
    -------
    list of Path
        The two files.

    Raises
    ------
    ValueError
        If the notebook can't be read, lacks an asked function, or would break one of nbgrader's rules.
    """
    asked = assignment if isinstance(assignment, Assignment) else Assignment.read(assignment)
    path = Path(notebook)
    for what, name in (("assignment: its id", asked.id), ("notebook: its name", path.stem)):
        if not _FOLDER.fullmatch(name):
            raise ValueError(
                f"{what} {name!r} can't name a part of an nbgrader course; expected letters, digits, - _ ."
            )
    try:
        source = _instructor(asked, _read(path))
        made = {"source": source, "release": _student(source)}
        _check_empty(made["release"]["cells"], [question.operation.short for question in asked.questions])
        found = [sentence for kind in made for sentence in problems(made[kind])]
        if found:
            raise ValueError("; ".join(dict.fromkeys(found)))
    except ValueError as error:
        raise ValueError(f"notebook: {path}: {error}") from None
    written = []
    for kind, text in {kind: _written(made[kind]) for kind in made}.items():
        written.append(Path(folder) / kind / asked.id / f"{path.stem}.ipynb")
        report.write_text(written[-1], text)
    return written


def checksum(cell: Mapping[str, Any]) -> str:
    """nbgrader's checksum of a marked cell, by which it sees whether a locked cell was changed.

    Examples
    --------
    >>> mark = {"schema_version": 3, "grade": False, "solution": True, "locked": False, "grade_id": "warp"}
    >>> checksum({"cell_type": "code", "source": "def warp(): ...", "metadata": {"nbgrader": mark}})
    '2e9d53e0700da40d63dac2847ec6ec89'
    """
    mark = cell["metadata"]["nbgrader"]
    grade, solution = bool(mark.get("grade")), bool(mark.get("solution"))
    locked = not solution and (grade or bool(mark.get("locked")))
    parts = [_text(cell), cell["cell_type"], str(grade), str(solution), str(locked), mark["grade_id"]]
    if grade:
        parts.append(str(float(mark["points"])))
    return hashlib.md5("".join(parts).encode(), usedforsecurity=False).hexdigest()


def without_answers(text: str, kind: str = "code") -> str:
    """A cell as students get it: answers replaced by the stub, hidden tests and marking schemes gone.

    Examples
    --------
    >>> print(without_answers("def f():\\n    ### BEGIN SOLUTION\\n    return 1\\n    ### END SOLUTION"))
    def f():
        # YOUR CODE HERE
        raise NotImplementedError()
    """
    kept: list[str] = []
    inside = ""
    for line in text.split("\n"):
        marker = _MARKER.search(line)
        if marker is None:
            if not inside:
                kept.append(line)
            continue
        edge, region = marker.groups()
        if (edge == "BEGIN") == bool(inside) or (edge == "END" and inside != region):
            raise ValueError(f"{line.strip()!r} is nested or has no partner")
        if edge == "BEGIN" and region == "SOLUTION":
            indent = line[: len(line) - len(line.lstrip())]
            kept += [indent + stub for stub in STUBS.get(kind, STUBS["markdown"])]
        inside = region if edge == "BEGIN" else ""
    if inside:
        raise ValueError(f"'### BEGIN {inside}' has no end")
    return "\n".join(kept)


def problems(notebook: Mapping[str, Any]) -> list[str]:
    """What nbgrader would refuse in a notebook's cells, a sentence each; an empty list if nothing.

    Examples
    --------
    >>> mark = {"schema_version": 3, "grade": True, "solution": False, "locked": True, "grade_id": "test"}
    >>> cell = {"cell_type": "code", "source": "", "metadata": {"nbgrader": mark}}
    >>> problems({"cells": [cell], "metadata": {"kernelspec": {"language": "python"}}})
    ["cell 1 ('test') is graded and has no points"]
    """
    found = []
    if not notebook.get("metadata", {}).get("kernelspec", {}).get("language"):
        found.append("the notebook's kernelspec names no language")
    seen: set[str] = set()
    for number, cell in enumerate(notebook["cells"], 1):
        mark = cell["metadata"].get("nbgrader")
        regions = {region for edge, region in _MARKER.findall(_text(cell)) if edge == "BEGIN"}
        if mark is None:
            found += [
                f"cell {number} holds a marked {region.lower()}, and is no such cell" for region in sorted(regions)
            ]
            continue
        if not isinstance(mark, Mapping):
            found.append(f"cell {number} says nothing that nbgrader can read")
            continue
        place = f"cell {number} ({mark.get('grade_id', '')!r})"
        found += [f"{place} {said}" for said in _broken(cell, mark, regions)]
        if any(mark.get(name) for name in ("grade", "solution", "locked")):
            name = str(mark.get("grade_id"))
            found += [f"{place} has the same grade_id as another cell"] * (name in seen)
            seen.add(name)
    return found


def _broken(cell: Mapping[str, Any], mark: Mapping[str, Any], regions: set[str]) -> list[str]:
    """Rules for one marked cell."""
    found = []
    flags = ("grade", "solution", "locked", "task")
    known = {"schema_version", *flags, "grade_id", "points", "checksum", "cell_type"}
    found += [f"has an unknown key {key!r}" for key in mark if key not in known]
    if mark.get("schema_version") != 3 or isinstance(mark["schema_version"], bool):
        found.append("is not of schema version 3")
    found += [f"does not say whether it is {flag!r}" for flag in flags[:3] if flag not in mark]
    found += [
        f"has a {flag!r} that is neither true nor false"
        for flag in flags
        if not isinstance(mark.get(flag, False), bool)
    ]
    grade, solution, locked, task = (bool(mark.get(flag)) for flag in flags)
    name, points, digest = mark.get("grade_id", ""), mark.get("points", 0), mark.get("checksum", "0" * 32)
    if not isinstance(name, str) or not re.fullmatch(r"[a-zA-Z0-9_\-]*", name):
        found.append("has a grade_id with other characters than letters, digits, _ and -")
    elif (grade or solution or locked) and not name:
        found.append("has no grade_id")
    if grade and "points" not in mark:
        found.append("is graded and has no points")
    if isinstance(points, bool) or not isinstance(points, int | float) or not points >= 0:
        found.append("has points that are not a number from 0 on")
    if not isinstance(digest, str) or len(digest) != 32:
        found.append("has a checksum that is none")
    if mark.get("cell_type", "code") not in ("raw", "code", "markdown"):
        found.append("has a cell_type that there is not")
    elif mark.get("cell_type", cell["cell_type"]) != cell["cell_type"]:
        found.append("was of another cell type")
    if task and cell["cell_type"] != "markdown":
        found.append("is a task and not markdown")
    if not task and cell["cell_type"] == "markdown" and grade != solution:
        found.append("is markdown: graded by hand and answer go together")
    if "SOLUTION" in regions and not solution:
        found.append("holds a marked solution, and is no answer cell")
    if "HIDDEN TESTS" in regions and not grade:
        found.append("holds hidden tests, and is no test cell")
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        notebook = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not a notebook: {error}") from None
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list) or notebook.get("nbformat") != 4:
        raise ValueError("is not a notebook of format 4")
    for cell in notebook["cells"]:
        if not isinstance(cell, dict) or not isinstance(cell.get("metadata", {}), dict) or "cell_type" not in cell:
            raise ValueError("has a cell that is none")
        cell.setdefault("metadata", {})
        cell["source"] = _text(cell)
    return notebook


def _text(cell: Mapping[str, Any]) -> str:
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def _written(notebook: dict[str, Any]) -> str:
    """A notebook's text as Jupyter writes it, so that the released file is, byte for byte, nbgrader's."""
    lines = {"cells": [{**cell, "source": cell["source"].splitlines(keepends=True)} for cell in notebook["cells"]]}
    return json.dumps({**notebook, **lines}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _instructor(assignment: Assignment, notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook for nbgrader's ``source`` folder."""
    kernel = notebook.setdefault("metadata", {}).setdefault("kernelspec", {})
    for key, value in {"display_name": "Python 3", "language": "python", "name": "python3"}.items():
        kernel.setdefault(key, value)
    cells: list[dict[str, Any]] = notebook["cells"]
    shorts = {question.operation.short for question in assignment.questions}
    for cell in cells:
        if _operation(cell) and _operation(cell) not in shorts:
            _unmark(cell)  # a question of the notebook that this assignment does not ask
    answers: list[dict[str, Any]] = []
    for question in assignment.questions:
        _ask(cells, question, answers, notebook.get("nbformat_minor", 0))
    for number, cell in enumerate(cells, 1):
        if "BEGIN SOLUTION" in cell["source"] and "nbgrader" not in cell["metadata"]:
            _mark(cell, f"answer-{number}", solution=True)  # worth nothing, and still not for students' eyes
    return notebook


def _student(source: dict[str, Any]) -> dict[str, Any]:
    """The notebook for nbgrader's ``release`` folder, as nbgrader itself makes it from the other."""
    notebook = copy.deepcopy(source)
    for cell in notebook["cells"]:
        mark, kind = cell["metadata"].get("nbgrader"), cell["cell_type"]
        if kind == "code":
            cell["outputs"], cell["execution_count"] = [], None
        whole = mark and mark.get("solution") and "BEGIN SOLUTION" not in cell["source"]
        cell["source"] = (
            "\n".join(STUBS.get(kind, STUBS["markdown"])) if whole else without_answers(cell["source"], kind)
        )
        if not mark:
            continue
        mark["cell_type"] = kind
        if any(mark.get(name) for name in ("grade", "solution", "locked")):
            mark["checksum"] = checksum(cell)
            cell["metadata"]["deletable"] = False
            if not mark.get("solution"):
                cell["metadata"]["editable"] = False
    return notebook


def _ask(cells: list[dict[str, Any]], question: Question, answers: list[dict[str, Any]], minor: int) -> None:
    """Mark one question's answer and its tests."""
    name = question.operation.short
    places = _wrap_all(cells, name)
    answer = cells[places[-1]]  # the last definition counts, as it does in our grader
    if not any(answer is one for one in answers):  # a cell may answer two questions
        _mark(answer, name, name, solution=True)
        answers.append(answer)
    here = [cell for cell in cells if _is_check(cell, name)]
    for cell in here[1:]:
        _unmark(cell)
    if here:
        test = here[0]
    else:
        test = {"cell_type": "code", "metadata": {}, "source": "", "outputs": [], "execution_count": None}
        if minor >= 5:
            test["id"] = f"check-{name}"[:64]
        cells.insert(places[-1] + 1, test)
    test["source"] = _TEST.format(name=name).rstrip()
    _mark(test, f"check_{name}", name, grade=True, locked=True, points=question.points)


def _mark(cell: dict[str, Any], grade_id: str, operation: str = "", **values: Any) -> None:
    """Write nbgrader's metadata; ours stands beside it, because nbgrader's schema admits no other key."""
    _clear(cell)
    cell["metadata"]["nbgrader"] = {
        "schema_version": 3, "grade": False, "solution": False, "locked": False, "task": False,
        "grade_id": grade_id, **values,
    }  # fmt: skip
    if operation:
        cell["metadata"]["vidlearn"] = {"operation": operation}


def _unmark(cell: dict[str, Any]) -> None:
    mark = cell["metadata"].get("nbgrader")
    if isinstance(mark, Mapping) and mark.get("grade"):
        cell["source"] = without_answers(cell["source"])
    _clear(cell)


def _clear(cell: dict[str, Any]) -> None:
    for key in ("nbgrader", "deletable", "editable"):
        cell["metadata"].pop(key, None)


def _operation(cell: dict[str, Any]) -> str:
    """The function that a cell of ours is about, or an empty string."""
    ours = cell["metadata"].get("vidlearn")
    return str(ours.get("operation", "")) if isinstance(ours, Mapping) else ""


def _is_check(cell: dict[str, Any], name: str) -> bool:
    """Whether a cell is nothing but the check of one function."""
    mark = cell["metadata"].get("nbgrader")
    ours = _operation(cell) == name and isinstance(mark, Mapping) and mark.get("grade")
    return cell["cell_type"] == "code" and (bool(ours) or cell["source"].strip() == f"vl.check({name})")


def _tree(cell: dict[str, Any]) -> ast.Module | None:
    """A code cell as Python, without IPython's own lines; None if it is none."""
    for text in (cell["source"], _without_magics(cell["source"])):
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return None


def _in_cell(tree: ast.AST) -> Iterator[ast.AST]:
    """What runs in the cell itself: all nodes that are in no function."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if not isinstance(node, _FUNCTIONS):
            yield from _in_cell(node)


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def _definitions(cell: dict[str, Any], name: str) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The definitions of a function in a code cell, the last one first."""
    tree = _tree(cell) if cell["cell_type"] == "code" else None
    found = [
        node
        for node in _in_cell(tree or ast.Module([], []))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
    ]
    return sorted(found, key=lambda node: -node.lineno)


def _wrap_all(cells: list[dict[str, Any]], name: str) -> list[int]:
    """Put marks around every answer to a question; return where the cells with one are."""
    found = [i for i, cell in enumerate(cells) if _definitions(cell, name)]
    if not found:
        raise ValueError(f"no cell defines the function {name}, which the assignment asks for")
    for i in found:
        for node in _definitions(cells[i], name):
            _wrap(cells[i], node)
    return found


def _check_empty(cells: list[dict[str, Any]], names: Iterable[str]) -> None:
    """Refuse a notebook for students in which an asked name stands for anything but the stub."""
    for cell in (cell for cell in cells if cell["cell_type"] == "code"):
        tree = _tree(cell)
        for name in names:
            why = _left(cell["source"], tree, name)
            if why:
                first = printable(cell["source"].strip().splitlines()[0])[:60]  # Jupyter gives cells no numbers
                raise ValueError(f"the cell that begins with {first!r} would give students an answer: {why}")


def _left(source: str, tree: ast.Module | None, name: str) -> str:
    """What a cell still says of an asked function, and what to do about it; empty if nothing."""
    tree = tree or ast.Module([], [])
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    defined = [node for node in ast.walk(tree) if isinstance(node, kinds) and node.name == name]
    lines = source.splitlines()
    for one in defined:
        if STUBS["code"][0] not in "\n".join(lines[one.lineno - 1 : one.end_lineno]):
            return (
                f"{name} in line {one.lineno} can't be emptied; define it with def in the cell itself, or take it out"
            )
    if not defined and re.search(rf"^[ \t]*(async[ \t]+)?def[ \t]+{name}\b", source, re.M):
        return f"it defines {name} and is not all Python; take out what is not, or put it in a marked solution"
    for node in _in_cell(tree):
        given = ""
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            given = node.id
        elif isinstance(node, ast.alias):
            given = node.asname or node.name
        if isinstance(node, ast.Name | ast.alias) and given == name:
            return f"{name} gets a value in line {node.lineno}; define it with def, or use another name there"
    return ""


def _wrap(cell: dict[str, Any], node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    """Put marks around a function's body, below its docstring, where there are none: students would get the answer."""
    assert node.end_lineno is not None
    lines = cell["source"].split("\n")
    edges = [edge for line in lines[: node.lineno - 1] for edge, _ in _MARKER.findall(line)]
    end = node.end_lineno
    while end < len(lines) and re.match(r"\s+#", lines[end]):  # a comment under the last line is part of the body
        end += 1
    if edges[-1:] == ["BEGIN"] or any("BEGIN SOLUTION" in line for line in lines[node.lineno - 1 : end]):
        return
    first = node.body[0]
    told = ast.get_docstring(node) is not None and first.end_lineno is not None
    above = first.end_lineno if told and first.end_lineno else node.lineno
    answer = node.body[1:] if told else node.body
    if answer:
        start = answer[0].lineno - 1
        if start < above:
            raise ValueError(
                f"{node.name} has its answer in the line of its head; write it below, for students get what is above"
            )
        while start > above and re.match(r"\s*(#|$)", lines[start - 1]):  # comments in front of it say how it is done
            start -= 1
    else:
        start = end = above
    indent = " " * first.col_offset
    marked = [f"{indent}### BEGIN SOLUTION", *lines[start:end], f"{indent}### END SOLUTION"]
    cell["source"] = "\n".join([*lines[:start], *marked, *lines[end:]])


# --------------------------------------------------------------------------------------------------------- marks in


def gradebook_csv(results: Iterable[dict[str, Any]], assignment: str) -> str:
    """Marks with the columns of ``nbgrader export``. What was not graded has no score there; nbgrader would say 0.

    Parameters
    ----------
    results
        What `vidlearn.grade.grade` returns.
    assignment
        The assignment's id.

    Examples
    --------
    >>> results = [{"student": "ada", "submission": "ada.py", "score": 2.0, "max_score": 3, "status": "partly"}]
    >>> print(gradebook_csv(results, "hw").splitlines()[1])
    hw,,,ada,,,,2.0,0.0,2.0,3.0
    """
    rows = [dict(zip(COLUMNS, COLUMNS, strict=True))]
    for result in results:
        row = {
            "assignment": tables.harmless(assignment),
            "student_id": tables.harmless(_downloaded(result) or result.get("student_id") or result["student"]),
            "max_score": str(float(result["max_score"])),
        }
        if result["score"] is not None:
            score = str(float(result["score"]))
            row |= {"raw_score": score, "late_submission_penalty": "0.0", "score": score}
        rows.append(row)
    return tables.table([row.get(name, "") for name in COLUMNS] for row in rows)


def feedback(
    results: Iterable[dict[str, Any]], assignment: str, folder: str | Path, title: str = ""
) -> tuple[list[Path], list[str]]:
    """Write marks and reports into an nbgrader course, so that ``nbgrader release_feedback`` hands the reports out.

    Parameters
    ----------
    results
        What `vidlearn.grade.grade` made of the course's ``submitted`` folder, or of a course system's download: there a
        student's folder is the id, and the page has the assignment's name.
    assignment
        The assignment's id.
    folder
        The course. It gets ``feedback/STUDENT/ID/NOTEBOOK.html`` and, with nbgrader's columns, ``grades-ID.csv``.
    title
        The assignment's title, for the pages.

    Returns
    -------
    written, left
        The files, and a sentence for each submission that got no page.
    """
    folder, results = Path(folder), list(results)
    if not _FOLDER.fullmatch(assignment):
        raise ValueError(f"assignment: its id {assignment!r} can't name a part of an nbgrader course")
    written, left = [folder / f"grades-{assignment}.csv"], []
    places = [_place(result, assignment) for result in results]
    for result, place in zip(results, places, strict=True):
        who = printable(result["student"])
        if place is None:
            left.append(f"{who}: {printable(result['submission'])} is no place in a course")
            continue
        student, name = place
        if places.count(place) > 1:
            left.append(f"{who}: several submissions would be that of {student}")
            continue
        page = folder / "feedback" / student / assignment
        report.write_text(page / f"{name}.html", report.page(result, title or assignment))
        written.append(page / f"{name}.html")
        for needed in ("timestamp.txt", "submission_secret.txt"):  # by which nbgrader finds whose page it is
            handed = folder / "submitted" / student / assignment / needed
            if handed.is_file() and not handed.is_symlink():
                report.write_text(page / needed, handed.read_text(encoding="utf-8", errors="replace")[:10_000])
    report.write_text(written[0], gradebook_csv(results, assignment))
    return written, left


def _place(result: Mapping[str, Any], assignment: str) -> tuple[str, str] | None:
    """The student's folder in ``feedback`` and the page's name, by which nbgrader looks it up; None if there is none."""
    student, *between = result["submission"].split("/")
    name = Path(between[-1]).stem if between else ""
    if known := _downloaded(result):  # what the file is called there is no name of a notebook in this course
        return known, assignment
    if between[:-1] in ([assignment], []) and _STUDENT.fullmatch(student) and _FOLDER.fullmatch(name):
        return student, name
    return None


def _downloaded(result: Mapping[str, Any]) -> str:
    """The student's id as a folder's name, if the submission comes from a course system's download and not from nbgrader."""
    if not result.get("student_id") and not _MOODLE.fullmatch(result["submission"].split("/")[0]):
        return ""
    known = printable(str(result.get("student_id") or result["student"]))[:_LONGEST]
    return re.sub(r"[^\w.@+ -]|^\W|\W$", "_", known)
