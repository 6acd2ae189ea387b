"""Grade a class: hostile code in, marks and reasons out.

`grade` takes a file, a folder with one entry a student, or an archive (zip, tar), also as a course system gives it, and an
assignment file. Each submission runs in a process of its own behind `vidlearn.sandbox`; the judge, the expected values and
the marks stay on this side. A file that cannot be used becomes a status with a sentence, never the end of the batch.
"""

from __future__ import annotations

import argparse
import contextlib
import secrets
import sys
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from vidlearn.grade import report, running
from vidlearn.grade.assignment import Assignment, Question
from vidlearn.grade.grading import BANKS, STATUSES, Desk
from vidlearn.grade.intake import papers, printable
from vidlearn.grade.running import GradeError, Lines
from vidlearn.grade.running import unreadable_memory as _unreadable_memory
from vidlearn.sandbox import LEVELS, MINIMUM, Isolation, SandboxError

__all__ = ["SAMPLES", "STATUSES", "Assignment", "GradeError", "Question", "add_arguments", "grade", "main"]


#: sample submissions and their assignment, for a first try
SAMPLES = Path(__file__).with_name("samples")


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
    banks: int = BANKS,
    executor: Executor | None = None,
    again: bool = False,
    add: bool = False,
    progress: Callable[[str], None] | Lines | None = None,
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
        A folder for ``results.json`` (all results), ``class.html``, ``reports/`` (an HTML, a Markdown and a JSON file a
        student), and for the teacher alone ``run.json`` (the seed, the settings, the isolation) and ``kept/``. Where it
        holds an earlier run with the same seed and settings, only what is new, changed or not yet graded is graded.
    jobs
        Processes to grade in.
    seed
        The secret from which the hidden inputs are drawn. The same seed gives the same marks, whatever `jobs` and
        `executor` are. If not given, it is that of the assignment's last run in `out`, or else drawn anew.
    require_isolation
        The level of isolation ("A", "B" or "C") without which nothing is graded; False asks for none. By default
        several submissions need B, and a single file is graded with a note.
    trust_submissions
        The same as ``require_isolation=False``.
    feedback
        Look for the smallest failing input and the named mistake. This can't change a mark.
    examples
        Inputs drawn for each case family.
    banks
        How many secret sets of inputs are drawn. A submission gets one of them, by its content and the seed.
    executor
        Where to grade instead of processes of this machine: any `concurrent.futures.Executor`, also one whose processes
        run on other machines with the same vidlearn. The isolation is then looked at there; a submission that comes to
        a machine with too little of it is *not run*.
    again
        Grade all, also what `out` holds already, and leave out who is no longer among the submissions.
    add
        Add these submissions to the class in `out`, with its seed and settings: the others keep their marks, and a
        student who is there already gets the mark of the newer hand-in. All results are returned.
    progress
        Called with a line for each submission when it is done.

    Raises
    ------
    GradeError
        If the machine gives less isolation than a class needs, another grader is at work in `out`, the last run there was
        of another assignment or graded others, too, or there is nothing in `out` that could be added to.
    ValueError
        If the submissions or the assignment can't be read.

    Examples
    --------
    >>> results = grade(SAMPLES / "submissions", SAMPLES / "assignment.toml", trust_submissions=True, examples=5)
    >>> results[0]["student"], results[0]["status"]
    ('student-01', 'correct')
    """
    for name, value in (("jobs", jobs), ("examples", examples), ("banks", banks)):
        if value < 1:
            raise ValueError(f"{name}: expected at least 1, got {value}")
    if executor is not None and jobs != 1:
        raise ValueError(f"jobs: the executor decides how many there are; leave jobs={jobs} out")
    if add and (again or out is None):
        raise ValueError(f"add: {'leave again out, which leaves others out' if again else 'name the folder in out'}")
    asked = assignment if isinstance(assignment, Assignment) else Assignment.read(assignment)
    found, others = papers(submissions, asked.id)
    if not found:
        raise ValueError(
            f"submissions: nothing to grade in {submissions}; expected .ipynb or .py files, or a folder a student"
        )
    with contextlib.ExitStack() as stack:
        lines = stack.enter_context(progress if isinstance(progress, Lines) else Lines(progress))
        for name in others:
            lines.say(f"left out: {printable(name)}")
        keeper = stack.enter_context(running.Keeper(out))
        if seed is None:
            seed = keeper.seed(asked)
            if seed is None:
                seed = secrets.randbits(48)
            else:
                lines.say(f"seed: that of the last run, from {keeper.out}/run.json")
        wanted = False if trust_submissions else require_isolation
        staying = None
        if add:
            found, staying = keeper.staying(found)
        several = len(found) + len(staying or ())
        required = _level(wanted, several)
        plan = running.Plan(asked, seed, examples, feedback, banks, required)
        isolation = None
        todo = keeper.look(plan, found, again, staying)
        groups = running.copies(todo)
        here = executor is None and min(jobs, len(groups)) <= 1
        if executor is not None:
            stack.callback(running.close_desks)  # where its tasks came back to this process
        elif todo:  # what is kept says itself how it was made
            stack.enter_context(_unreadable_memory())
            desk = stack.enter_context(Desk(asked, seed, examples, feedback, banks=banks))
            for _, paper in [one for one in todo if here and not one[1].problem][:1]:
                desk.bank_of(paper)  # drawn while the sandbox is tried
            isolation = desk.isolation
            _check_enough(wanted, isolation, several, lines.say)
            desk.sandbox.require = required  # of every single worker, not only of the one that was looked at
            if not here:
                desk.sandbox.close()  # each process that grades has its own
        keeper.begin(isolation)
        changed = keeper.changed(plan)
        kept = len(found) - len(todo)
        if staying is not None:
            lines.say(f"marks kept from the last run: {len(staying)}")
            for name, other in keeper.renamed:
                lines.say(f"{name} is now {other}: another student has the same name")
            for name in sorted(keeper.replaced & {paper.student for _, paper in todo}):
                lines.say(f"{name}: the newer hand-in takes the place of the one before")
        if again:
            lines.say("all are graded anew")
            if keeper.gone:
                lines.say(f"left out, because they are not among these: {', '.join(map(printable, keeper.gone))}")
        elif changed:
            lines.say(f"all are graded anew: since the last run here this changed: {', '.join(changed)}")
        elif kept:
            lines.say(f"{kept} of {len(found)} are as they were and keep their marks")
        lines.begin(len(found), kept)

        def grade_all(some: running.Papers) -> running.Results:
            if executor is not None:
                return running.spread(executor, plan, some)
            return running.one_by_one(desk, some) if here else running.in_processes(plan, some, jobs)

        with contextlib.closing(running.copies_once(groups, grade_all)) as graded:
            for i, result in graded if todo else ():
                lines.graded(keeper.keep(i, result))
        keeper.finish()
    return keeper.results


def _level(asked: str | bool | None, papers: int) -> str | None:
    """The level that every worker must have, or None."""
    if asked is not None and asked is not False and asked not in LEVELS:
        raise ValueError(f"require_isolation: expected one of {', '.join(LEVELS)}, or False, got {asked!r}")
    if asked is False or (asked is None and papers == 1):
        return None
    return MINIMUM if asked is None else str(asked)


def _check_enough(asked: str | bool | None, isolation: dict[str, Any], papers: int, say: Callable[[str], None]) -> None:
    """`GradeError` where this machine gives less than the level that is required; a note for a single paper."""
    level = _level(asked, papers) or MINIMUM
    lacks = {} if asked is False else Isolation(isolation["missing"]).lacks(level)
    if not lacks:
        return
    missing = "; ".join(f"{name}: {why}" for name, why in lacks.items())
    if asked is None and papers == 1:
        say(
            f"note: graded at isolation level {isolation['level']}, which is enough for a file that you trust ({missing})"
        )
        return
    if asked is None:
        raise GradeError(
            f"this machine does not keep {papers} submissions apart as level {level} asks ({missing}): grade on Linux, "
            "or in a container that allows Landlock, or accept the risk with --no-require-isolation (--trust-submissions)"
        )
    raise GradeError(
        f"this machine does not give isolation level {level} ({missing}): see `vidlearn sandbox --probe`, and ask for "
        "less with --require-isolation, or for nothing with --no-require-isolation"
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``vidlearn grade``."""
    parser.add_argument(
        "submissions",
        help="a .py or .ipynb file, a folder with one entry a student, an archive (zip, tar), or a course system's download",
    )
    parser.add_argument("--assignment", required=True, metavar="FILE.toml", help="what is asked, and what it is worth")
    parser.add_argument(
        "--out", required=True, metavar="DIR",
        help="where results.json and the reports go; a run that is there already is continued",
    )  # fmt: skip
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=int, default=1, metavar="N", help="processes to grade in (default 1)")
    where.add_argument("--dask", metavar="ADDRESS", help="grade on a Dask cluster, such as tcp://host:8786")
    parser.add_argument(
        "--seed", type=int, metavar="N",
        help="the secret behind the hidden inputs (default: that of the last run in DIR, or else a new one)",
    )  # fmt: skip
    others = parser.add_mutually_exclusive_group()
    others.add_argument(
        "--again", action="store_true", help="grade all anew, and nobody else: what DIR holds is replaced"
    )
    others.add_argument(
        "--add", action="store_true",
        help="add to the class that DIR holds: late ones, or newer hand-ins; everybody else's marks stay",
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="no line for each submission, and no bar")
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
        with running.cluster(args.dask) if args.dask else contextlib.nullcontext() as executor:
            results = grade(
                args.submissions, args.assignment, args.out, jobs=args.jobs, seed=args.seed, executor=executor,
                require_isolation=args.require_isolation, again=args.again, add=args.add, progress=_progress(args.quiet),
            )  # fmt: skip
    except (GradeError, SandboxError, ValueError) as error:
        print(f"vidlearn grade: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"vidlearn grade: {error.filename or args.out}: {error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("vidlearn grade: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    print(f"{report.summary(results)} · {Path(args.out) / 'results.json'}")
    missing = sum(result["score"] is None for result in results)
    why = f"; it also says why {missing} {'has' if missing == 1 else 'have'} no mark" if missing else ""
    if report.unanswered(results):
        print(f"note: nobody defines what {args.assignment} asks for: is it the right assignment?")
    print(f"next: look at {Path(args.out) / 'class.html'}{why}")
    return int(missing > 0)


def _progress(quiet: bool) -> Lines:
    """A bar on a terminal, if rich is there; otherwise a line for each submission."""
    if sys.stderr.isatty() and not quiet:
        with contextlib.suppress(ImportError):
            return running.Bar()
    return running.Notes(_print) if quiet else Lines(_print)


def _print(line: str) -> None:
    print(line, flush=True)
