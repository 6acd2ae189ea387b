"""Results out: ``vidlearn export``, and as plain CSV. Each course system has a module of its own name."""

from __future__ import annotations

import argparse
import difflib
import json
import math
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vidlearn.grade import tables
from vidlearn.grade.canvas import fill_canvas
from vidlearn.grade.filling import Filled
from vidlearn.grade.gradescope import gradescope
from vidlearn.grade.intake import printable
from vidlearn.grade.moodle import fill_moodle

__all__ = ["Filled", "add_arguments", "fill_canvas", "fill_moodle", "gradescope", "main", "plain_csv", "read_results"]


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


def plain_csv(results: Iterable[dict[str, Any]]) -> str:
    """Results as a table: a line a student, a column a question. Marks that do not exist are empty, not 0.

    ``student_id`` is what the course system calls the student, and ``note`` says who was late or handed in several times.
    Text that a spreadsheet would take for a formula gets an apostrophe in front.

    Examples
    --------
    >>> result = {"student": "=1+1", "submission": "a.py", "score": None, "max_score": 3, "status": "not run",
    ...           "questions": []}
    >>> print(plain_csv([result]).strip())
    student,student_id,submission,status,score,max_score,note
    '=1+1,,a.py,not run,,3,
    """
    results = list(results)
    operations = list(dict.fromkeys(q["operation"] for result in results for q in result["questions"]))
    texts = ["student", "student_id", "submission", "status"]
    rows = [[*texts, "score", "max_score", *map(tables.harmless, operations), "note"]]
    for result in results:
        scores = {question["operation"]: question["score"] for question in result["questions"]}
        numbers = [result["score"], result["max_score"], *(scores.get(name) for name in operations)]
        rows.append([tables.harmless(result.get(name, "")) for name in texts])
        rows[-1] += ["" if number is None else f"{number:.12g}" for number in numbers]
        rows[-1].append(tables.harmless("; ".join(map(str, result.get("notes", [])))))
    return tables.table(rows)


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
        if args.student is not None and not chosen:
            near = difflib.get_close_matches(args.student, [result["student"] for result in results], 3, 0.5)
            hint = (
                f"did you mean {' or '.join(map(printable, near))}?" if near else "the names are those in results.json"
            )
            raise ValueError(f"student: there is no student {printable(args.student)}; {hint}")
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
            first = not any(one["id"] < run for one in gradebook.runs(str(facts.get("assignment", ""))))
        for change in changes:
            print(printable(str(change)))
        since = "the first of this assignment" if first else f"changes since the one before: {len(changes)}"
        print(f"run {run}, {since} · {out}")
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
