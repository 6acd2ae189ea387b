"""A gradebook that remembers: every run of the grader in one SQLite file, and what changed since the one before."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["Change", "Gradebook"]

_OURS = 0x76696C67  # SQLite's application id: "vilg"
_TABLES = """
CREATE TABLE runs (id INTEGER PRIMARY KEY, assignment TEXT NOT NULL, at TEXT NOT NULL, digest TEXT NOT NULL);
CREATE TABLE results (
    run INTEGER NOT NULL REFERENCES runs, student TEXT NOT NULL, submission TEXT NOT NULL,
    score REAL, max_score REAL NOT NULL, status TEXT NOT NULL, PRIMARY KEY (run, student, submission)
);
CREATE TABLE questions (
    run INTEGER NOT NULL, student TEXT NOT NULL, submission TEXT NOT NULL, operation TEXT NOT NULL,
    score REAL, max_score REAL NOT NULL, status TEXT NOT NULL, findings TEXT NOT NULL,
    PRIMARY KEY (run, student, submission, operation),
    FOREIGN KEY (run, student, submission) REFERENCES results
);
"""


@dataclass(frozen=True)
class Change:
    """What is different for one question of one submission. ``None`` stands for *not graded* and for *not there*."""

    student: str
    submission: str
    operation: str
    before: float | None
    after: float | None
    was: str  #: the status before; empty where it was not there
    now: str  #: the status now; empty where it is gone

    def __str__(self) -> str:
        def mark(score: float | None, status: str) -> str:
            return "not there" if not status else f"{status}, {'not graded' if score is None else f'{score:g}'}"

        return f"{self.student} · {self.operation}: {mark(self.before, self.was)} → {mark(self.after, self.now)}"


class Gradebook:
    """Runs, results and questions in an SQLite file.

    The tables ``runs``, ``results`` and ``questions`` may be read with any tool. ``score`` is NULL where there is no mark.

    Parameters
    ----------
    path
        The file. It is made if it is not there; ``":memory:"`` makes one that is not kept.

    Raises
    ------
    ValueError
        If the file is something else.

    Examples
    --------
    >>> def run(score, status):
    ...     question = {"operation": "flow.warp", "score": score, "max_score": 2, "status": status, "findings": []}
    ...     return [{"student": "ada", "submission": "ada.py", "score": score, "max_score": 2, "status": status,
    ...              "questions": [question]}]
    >>> with Gradebook(":memory:") as book:
    ...     first, second = book.add(run(0, "wrong"), "01"), book.add(run(2, "correct"), "01")
    ...     print(*book.changes(second))
    ada · flow.warp: wrong, 0 → correct, 2
    """

    def __init__(self, path: str | Path) -> None:
        if str(path) != ":memory:":
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None)  # transactions are begun by hand
        except sqlite3.Error as error:
            raise ValueError(f"gradebook: {path} cannot be opened: {error}") from None
        try:
            self._db.execute("PRAGMA foreign_keys = ON")
            self._db.execute("BEGIN IMMEDIATE")  # two exports at once take turns
            (mark,) = self._db.execute("PRAGMA application_id").fetchone()
            (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if mark != _OURS:
                if tables:
                    raise ValueError(f"gradebook: {path} is a database of something else; name another file")
                for statement in _TABLES.split(";\n"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA application_id = {_OURS}")
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._db.close()
            raise ValueError(f"gradebook: {path} is not an SQLite file that can be written: {error}") from None
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Gradebook:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._db.close()

    def add(self, results: Iterable[dict[str, Any]], assignment: str = "", at: datetime | None = None) -> int:
        """Keep a run, whole or not at all, and return its number.

        The very results of the assignment's last run are not kept twice: its number is returned.

        Parameters
        ----------
        results
            What `vidlearn.grade.grade` returns.
        assignment
            Its id. Changes are told within one assignment.
        at
            When; now if not given.
        """
        results = list(results)
        digest = hashlib.sha256(json.dumps(results, sort_keys=True).encode()).hexdigest()
        when = (at or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")
        self._db.execute("BEGIN IMMEDIATE")
        try:
            last = self._db.execute(
                "SELECT id, digest FROM runs WHERE assignment = ? ORDER BY id DESC LIMIT 1", (_text(assignment),)
            ).fetchone()
            if last and last[1] == digest:
                self._db.execute("ROLLBACK")
                return int(last[0])
            run = self._db.execute(
                "INSERT INTO runs (assignment, at, digest) VALUES (?, ?, ?)", (_text(assignment), when, digest)
            ).lastrowid
            assert run is not None
            for result in results:
                who = run, _text(result["student"]), _text(result["submission"])
                marks = result["score"], result["max_score"], _text(result["status"])
                self._db.execute("INSERT INTO results VALUES (?, ?, ?, ?, ?, ?)", (*who, *marks))
                for question in result["questions"]:
                    findings = json.dumps(question.get("findings", []))
                    marks = question["score"], question["max_score"], _text(question["status"])
                    self._db.execute(
                        "INSERT INTO questions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                        (*who, _text(question["operation"]), *marks, findings),
                    )
            self._db.execute("COMMIT")
        except sqlite3.IntegrityError as error:
            self._db.execute("ROLLBACK")
            raise ValueError(
                f"results: a submission or a question is there twice ({error}); nothing was kept"
            ) from None
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        return run

    def runs(self, assignment: str | None = None) -> list[dict[str, Any]]:
        """All runs, oldest first: ``id``, ``assignment``, ``at``."""
        rows = self._db.execute(
            "SELECT id, assignment, at FROM runs WHERE ?1 IS NULL OR assignment = ?1 ORDER BY id", (assignment,)
        )
        return [dict(zip(("id", "assignment", "at"), row, strict=True)) for row in rows]

    def history(self, student: str) -> list[dict[str, Any]]:
        """A student's results over all runs, oldest first."""
        names = "run", "assignment", "at", "submission", "score", "max_score", "status"
        rows = self._db.execute(
            "SELECT runs.id, assignment, at, submission, score, max_score, status FROM results "
            "JOIN runs ON runs.id = run WHERE student = ? ORDER BY runs.id, submission",
            (_text(student),),
        )
        return [dict(zip(names, row, strict=True)) for row in rows]

    def changes(self, run: int) -> list[Change]:
        """What a run changed, question by question, against the run before it of the same assignment.

        A first run changes nothing.

        Raises
        ------
        ValueError
            If there is no such run.
        """
        found = self._db.execute("SELECT assignment FROM runs WHERE id = ?", (run,)).fetchone()
        if not found:
            raise ValueError(f"run: there is no run {run}; there is {[entry['id'] for entry in self.runs()]}")
        (before,) = self._db.execute(
            "SELECT max(id) FROM runs WHERE assignment = ? AND id < ?", (found[0], run)
        ).fetchone()
        if before is None:
            return []
        old, new = self._marks(before), self._marks(run)
        nothing = (None, "")
        return [
            Change(*key, was[0], now[0], was[1], now[1])
            for key in sorted(old.keys() | new.keys())
            if (was := old.get(key, nothing)) != (now := new.get(key, nothing))
        ]

    def _marks(self, run: int) -> dict[tuple[str, str, str], tuple[float | None, str]]:
        rows = self._db.execute(
            "SELECT student, submission, operation, score, status FROM questions WHERE run = ?", (run,)
        )
        return {(student, file, name): (score, status) for student, file, name, score, status in rows}


def _text(value: Any) -> str:
    """Text that SQLite can hold: a name may carry half of a surrogate pair."""
    return str(value).encode("utf-8", "backslashreplace").decode()
