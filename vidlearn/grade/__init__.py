"""Grade a class: hostile code in, marks and reasons out.

`grade` takes a file, a folder with one entry a student, or an archive (zip, tar), also as a course system gives it, and an
assignment file. Each submission runs in a process of its own behind `vidlearn.sandbox`; the judge, the expected values and
the marks stay on this side. A file that cannot be used becomes a status with a sentence, never the end of the batch.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import multiprocessing
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import vidlearn
from vidlearn.grade import report
from vidlearn.grade.assignment import Assignment, Question
from vidlearn.grade.grading import STATUSES, Desk, blank
from vidlearn.grade.intake import Paper, papers, printable
from vidlearn.sandbox import LEVELS, MINIMUM, Isolation, SandboxError

__all__ = ["SAMPLES", "STATUSES", "Assignment", "GradeError", "Question", "add_arguments", "grade", "main"]


#: sample submissions and their assignment, for a first try
SAMPLES = Path(__file__).with_name("samples")


class GradeError(Exception):
    """Grading cannot start; the sentence says why and what to do."""


def grade(
    submissions: str | Path,
    assignment: str | Path | Assignment,
    out: str | Path | None = None,
    *,
    jobs: int = 1,
    seed: int | None = None,
    require_isolation: str | bool | None = None,
    trust_submissions: bool = False,
    feedback: bool = True,
    examples: int = 25,
    progress: Callable[[str], None] | None = None,
) -> list[dict[str, Any]]:
    """Grade submissions and return one result for each.

    Parameters
    ----------
    submissions
        A ``.py`` or ``.ipynb`` file, a folder with one entry a student, or an archive (zip, tar); also a download
        from Canvas, Moodle or Gradescope, or nbgrader's ``submitted`` folder.
    assignment
        The TOML file that says what is asked, or an `Assignment`.
    out
        A folder for ``results.json`` (all results), ``run.json`` (the seed and the isolation, for the teacher) and
        ``reports/`` (a page and a JSON file a student).
    jobs
        Processes to grade in.
    seed
        The secret from which the hidden inputs are drawn. The same seed gives the same marks. Drawn anew if not given.
    require_isolation
        The level of isolation ("A", "B" or "C") without which nothing is graded; False asks for none. By default
        several submissions need B, and a single file is graded with a note.
    trust_submissions
        The same as ``require_isolation=False``.
    feedback
        Look for the smallest failing input and the named mistake. This can't change a mark.
    examples
        Inputs drawn for each case family.
    progress
        Called with a line for each submission when it is done.

    Raises
    ------
    GradeError
        If the machine gives less isolation than a class needs.
    ValueError
        If the submissions or the assignment can't be read.
    """
    if jobs < 1:
        raise ValueError(f"jobs: expected at least 1, got {jobs}")
    asked = assignment if isinstance(assignment, Assignment) else Assignment.read(assignment)
    found, others = papers(submissions, asked.id)
    if not found:
        raise ValueError(
            f"submissions: nothing to grade in {submissions}; expected .ipynb or .py files, or a folder a student"
        )
    say = progress or (lambda line: None)
    for name in others:
        say(f"left out: {printable(name)}")
    seed = secrets.randbits(48) if seed is None else seed
    started = time.time()
    with _unreadable_memory(), Desk(asked, seed, examples, feedback) as desk:
        isolation = desk.isolation
        required = _required(False if trust_submissions else require_isolation, isolation, len(found), say)
        desk.sandbox.require = required  # of every single worker, not only of the one that was looked at
        # written first with nobody graded, and completed as marks come in: a run cut short says so itself
        results = [
            {**blank(paper, asked, "not run", "grading has not come to it", isolation), **paper.facts()}
            for paper in found
        ]
        keeper = _Keeper(out, results, asked)
        keeper.run(seed, isolation, started, finished=False)
        for i, result in _graded(desk, found, jobs):
            results[i] = result = {**result, **found[i].facts()}
            keeper.keep(i)
            mark = "not graded" if result["score"] is None else f"{result['score']:g}/{result['max_score']:g}"
            say(f"{result['student']}: {result['status']}, {mark}")
        keeper.run(seed, isolation, started, finished=True)
    return results


def _required(
    asked: str | bool | None, isolation: dict[str, Any], papers: int, say: Callable[[str], None]
) -> str | None:
    """The level to insist on, or None; `GradeError` where this machine gives less."""
    if asked is not None and asked is not False and asked not in LEVELS:
        raise ValueError(f"require_isolation: expected one of {', '.join(LEVELS)}, or False, got {asked!r}")
    level = MINIMUM if asked is None else str(asked)
    lacks = {} if asked is False else Isolation(isolation["missing"]).lacks(level)
    if not lacks:
        return None if asked is False or (asked is None and papers == 1) else level
    missing = "; ".join(f"{name}: {why}" for name, why in lacks.items())
    if asked is None and papers == 1:
        say(
            f"note: graded at isolation level {isolation['level']}, which is enough for a file that you trust ({missing})"
        )
        return None
    if asked is None:
        raise GradeError(
            f"this machine does not keep {papers} submissions apart as level {level} asks ({missing}): grade on Linux, "
            "or in a container that allows Landlock, or accept the risk with --no-require-isolation (--trust-submissions)"
        )
    raise GradeError(
        f"this machine does not give isolation level {level} ({missing}): see `vidlearn sandbox --probe`, and ask for "
        "less with --require-isolation, or for nothing with --no-require-isolation"
    )


def _graded(desk: Desk, found: list[Paper], jobs: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Results as they come, by index."""
    jobs = min(jobs, len(found))
    if jobs == 1:
        for i, paper in enumerate(found):
            yield i, desk.grade(paper)
        return
    plan = (desk.assignment, desk.seed, desk.examples, desk.feedback, desk.sandbox.require)
    context = multiprocessing.get_context("spawn")  # a fork would carry this process's memory along
    with concurrent.futures.ProcessPoolExecutor(jobs, context, _sit_down, plan) as pool:
        waiting = {pool.submit(_grade_here, paper): i for i, paper in enumerate(found)}
        for done in concurrent.futures.as_completed(waiting):
            i = waiting[done]
            try:
                yield i, done.result()
            except Exception as error:  # one process of the grader ended: these papers are not graded, not zero
                yield i, blank(found[i], desk.assignment, "not run", f"grader error: {type(error).__name__}: {error}")


_desk: Desk | None = None


def _sit_down(assignment: Assignment, seed: int, examples: int, feedback: bool, required: str | None) -> None:
    global _desk
    _keep_private(True)
    with contextlib.suppress(OSError, ImportError):
        from vidlearn.sandbox import confine

        confine.die_with_parent()  # a grader that is killed leaves no one working
    _desk = Desk(assignment, seed, examples, feedback)
    _desk.sandbox.require = required


def _grade_here(paper: Paper) -> dict[str, Any]:
    assert _desk is not None
    return _desk.grade(paper)


@contextmanager
def _unreadable_memory() -> Iterator[None]:
    """While grading, no other process of the same user can read the expected values out of this one."""
    _keep_private(True)
    try:
        yield
    finally:
        _keep_private(False)


def _keep_private(private: bool) -> None:
    with contextlib.suppress(OSError, ImportError):  # where the system has no such thing
        from vidlearn.sandbox import confine

        confine.keep_private(private)


class _Keeper:
    """Writes results as they come, whole files only."""

    def __init__(self, out: str | Path | None, results: list[dict[str, Any]], assignment: Assignment) -> None:
        self.out = Path(out) if out is not None else None
        self.results, self.assignment = results, assignment
        self.names = report.file_names(result["student"] for result in results)
        self.last = 0.0

    def keep(self, i: int) -> None:
        """Write one student's report, and all results about once a second."""
        if self.out is None:
            return
        result = self.results[i]
        report.write_text(self.out / "reports" / f"{self.names[i]}.html", report.page(result, self.assignment.title))
        report.write_text(self.out / "reports" / f"{self.names[i]}.json", report.as_json(result))
        if time.monotonic() - self.last > 1:
            self._all()

    def run(self, seed: int, isolation: dict[str, Any], started: float, finished: bool) -> None:
        """Write all results, and what the teacher needs to repeat the run."""
        if self.out is None:
            return
        self._all()
        facts = {
            "assignment": self.assignment.id, "seed": seed, "finished": finished, "isolation": isolation,
            "vidlearn": vidlearn.__version__, "seconds": round(time.time() - started, 2),
        }  # fmt: skip
        report.write_text(self.out / "run.json", report.as_json(facts))

    def _all(self) -> None:
        assert self.out is not None
        report.write_text(self.out / "results.json", report.as_json(self.results))
        self.last = time.monotonic()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``vidlearn grade``."""
    parser.add_argument(
        "submissions",
        help="a .py or .ipynb file, a folder with one entry a student, an archive (zip, tar), or a course system's download",
    )
    parser.add_argument("--assignment", required=True, metavar="FILE.toml", help="what is asked, and what it is worth")
    parser.add_argument("--out", required=True, metavar="DIR", help="where results.json and the reports go")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes to grade in (default 1)")
    parser.add_argument(
        "--seed", type=int, metavar="N", help="the secret behind the hidden inputs (default: a new one)"
    )
    isolation = parser.add_mutually_exclusive_group()
    isolation.add_argument(
        "--require-isolation", choices=tuple(LEVELS), metavar="LEVEL",
        help=f"grade nothing with less than A, B or C (default: {MINIMUM} for several submissions, a note for one)",
    )  # fmt: skip
    isolation.add_argument(
        "--no-require-isolation", "--trust-submissions", dest="require_isolation", action="store_const", const=False,
        help="grade even where submissions can't be kept apart",
    )  # fmt: skip


def main(args: argparse.Namespace) -> int:
    """Run ``vidlearn grade``: 0 when all submissions were graded, 1 when some were not, 2 when it could not start."""
    try:
        results = grade(
            args.submissions, args.assignment, args.out, jobs=args.jobs, seed=args.seed,
            require_isolation=args.require_isolation, progress=lambda line: print(line, flush=True),
        )  # fmt: skip
    except (GradeError, SandboxError, ValueError) as error:
        print(f"vidlearn grade: {error}", file=sys.stderr)
        return 2
    print(f"{report.summary(results)} · {Path(args.out) / 'results.json'}")
    return int(any(result["score"] is None for result in results))
