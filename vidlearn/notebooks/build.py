"""Notebooks from percent scripts, and exercises from solutions.

A solution is marked as nbgrader marks one: what stands between ``### BEGIN SOLUTION`` and ``### END SOLUTION`` is
taken out of the exercise. A cell ``vl.check(f)`` that carries ``points=2`` is the test of ``f``. The nbgrader metadata
(schema 3), the checksums and the hidden assertion that makes nbgrader's autograder agree with the card the student
sees are derived from these two marks, so that nobody keeps them by hand.
"""

from __future__ import annotations

import ast
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import jupytext
import nbformat

from vidlearn.grade.nbgrader import checksum, without_answers

if TYPE_CHECKING:
    from nbformat import NotebookNode

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
CHECK = re.compile(r"^vl\.check\((\w+)\)$", re.MULTILINE)

__all__ = ["exercise", "generated", "lecture", "solution", "stale"]


def lecture(source: Path) -> NotebookNode:
    """Return a percent script as a notebook without outputs, the same every time."""
    notebook = jupytext.read(source, fmt="py:percent")
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        if "alt" in cell.metadata and not cell.source.endswith(";"):
            cell.source += ";"  # the picture is the result; a notebook would also print the Axes
        # An id made of the text survives the insertion of a cell elsewhere, so a diff shows only what changed.
        digest = hashlib.sha256(f"{cell.cell_type} {cell.source}".encode()).hexdigest()[:12]
        seen[digest] = seen.get(digest, 0) + 1
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
    return notebook


def solution(source: Path) -> NotebookNode:
    """Return a solution as the notebook that goes into nbgrader's ``source`` folder."""
    notebook = lecture(source)
    for cell in notebook.cells:
        points = cell.metadata.pop("points", None)
        if cell.cell_type != "code":
            continue
        if "### BEGIN SOLUTION" in cell.source:
            name = _function_name(cell, source)
            _mark(cell, name, grade_id=name, solution=True)
        elif points is not None:
            found = CHECK.search(cell.source)
            if found is None:
                raise ValueError(f"{source}: a cell with points must hold the line vl.check(FUNCTION): {cell.source!r}")
            name = found[1]
            # nbgrader counts a test cell as passed unless it raises, and a card does not raise.
            hidden = f"### BEGIN HIDDEN TESTS\nassert vl.check({name}).right\n### END HIDDEN TESTS\n"
            cell.source = hidden + cell.source
            _mark(cell, name, grade_id=f"check_{name}", grade=True, locked=True, points=points)
    return notebook


def exercise(source: Path) -> NotebookNode:
    """Return what a student gets: the solution without its answers, locked and checksummed as nbgrader does."""
    notebook = solution(source)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            try:
                cell.source = without_answers(cell.source)
            except ValueError as error:
                raise ValueError(f"{source}: {error}") from None
        mark = cell.metadata.get("nbgrader")
        if mark:
            cell.metadata.deletable = False
            if mark.locked:
                cell.metadata.editable = False
            mark.cell_type = cell.cell_type
            mark.checksum = checksum(cell)
    return notebook


def generated(root: Path, only: str = "") -> dict[Path, str]:
    """Return the text of every generated notebook by its path."""
    texts = {}
    for folder, kinds in (("lectures", {"lectures": lecture}), ("solutions", _FROM_SOLUTIONS)):
        for source in sorted((root / folder).glob("[0-9]*.py")):
            if only in source.stem:
                for target, make in kinds.items():
                    notebook = make(source)
                    nbformat.validate(notebook)
                    texts[root / target / f"{source.stem}.ipynb"] = nbformat.writes(notebook).rstrip("\n") + "\n"
    return texts


_FROM_SOLUTIONS = {"solutions": solution, "exercises": exercise}


def stale(root: Path, only: str = "") -> list[Path]:
    """Return the generated notebooks that are missing or differ from what their source gives."""
    return [
        path
        for path, text in generated(root, only).items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def _mark(cell: NotebookNode, operation: str, **values: object) -> None:
    """Write nbgrader's metadata; ours stands beside it, because nbgrader's schema admits no other key."""
    defaults = {"schema_version": 3, "grade": False, "solution": False, "locked": False, "task": False}
    cell.metadata.nbgrader = nbformat.from_dict({**defaults, **values})
    cell.metadata.vidlearn = nbformat.from_dict({"operation": operation})


def _function_name(cell: NotebookNode, source: Path) -> str:
    names = [node.name for node in ast.parse(cell.source).body if isinstance(node, ast.FunctionDef)]
    if not names:
        raise ValueError(f"{source}: a solution cell defines no function: {cell.source[:80]!r}")
    return names[-1]  # helpers may stand above the function that is asked for
