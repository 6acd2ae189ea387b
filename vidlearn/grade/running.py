"""A run over a class: what is kept from the last one, where the rest is graded, and what lies on disk at every moment.

A task is a `Plan` and a paper, so it can go to any process, here or on another machine, which opens a `Desk` for the plan
once and keeps it. Only the process that leads the run writes, and only whole files: it can be killed at any moment, and
the next run goes on from there.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import contextlib
import gc
import hashlib
import json
import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import vidlearn
from vidlearn.grade import report
from vidlearn.grade.assignment import Assignment
from vidlearn.grade.grading import BANKS, Desk, blank
from vidlearn.grade.intake import Paper, distinct, printable
from vidlearn.sandbox import Isolation, SandboxError

__all__ = [
    "Bar",
    "GradeError",
    "Keeper",
    "Lines",
    "Notes",
    "Plan",
    "cluster",
    "copies",
    "copies_once",
    "grade_there",
    "in_processes",
    "one_by_one",
    "spread",
]

Papers = Sequence[tuple[int, Paper]]
Results = Generator[tuple[int, dict[str, Any]], None, None]


def _hypothesis() -> str:
    """The version of the library that draws the inputs: another one may draw others from the same seed."""
    from importlib import metadata

    return metadata.version("hypothesis")


class GradeError(Exception):
    """Grading cannot start; the sentence says why and what to do."""


@dataclass(frozen=True)
class Plan:
    """All that a process needs to grade any paper of a run.

    Two processes with the same plan give the same paper the same mark. The seed is left out of ``repr``, which other
    people's executors write into their logs.
    """

    assignment: Assignment
    seed: int = field(repr=False)
    examples: int = 25
    feedback: bool = True
    banks: int = BANKS
    required: str | None = None
    version: str = vidlearn.__version__
    hypothesis: str = field(default_factory=_hypothesis)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What results depend on besides the seed and the paper, in a few words."""
        return {
            "assignment": _digest([self.assignment.id, self.assignment.data]), "examples": self.examples,
            "feedback": self.feedback, "banks": self.banks, "vidlearn": self.version, "hypothesis": self.hypothesis,
        }  # fmt: skip

    @cached_property
    def key(self) -> str:
        """The plan in one word."""
        return _digest([self.settings, self.seed, self.required])

    def key_of(self, paper: Paper) -> str:
        """One paper under this plan in one word: the same word, the same result."""
        content = hashlib.sha256(paper.source).hexdigest()
        return _digest([self.settings, self.seed, paper.student, paper.submission, paper.suffix, content])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:32]


# ------------------------------------------------------------------------------------------------------ where to grade


def copies(todo: Papers) -> list[list[tuple[int, Paper]]]:
    """The papers in groups of the same bytes, which get the same result: the bank too is chosen by what they say."""
    groups: dict[Any, list[tuple[int, Paper]]] = {}
    for i, paper in todo:
        groups.setdefault(i if paper.problem else (paper.suffix, paper.source), []).append((i, paper))
    return list(groups.values())


def copies_once(groups: Sequence[Papers], grade: Callable[[Papers], Results]) -> Results:
    """Grade one paper of each group and hand its result on to the others; where there is no mark, nothing is handed on."""
    others = {group[0][0]: group[1:] for group in groups}
    left: list[tuple[int, Paper]] = []
    with contextlib.closing(grade([group[0] for group in groups])) as graded:
        for i, result in graded:
            yield i, result
            for j, paper in others[i]:
                if result["score"] is None:
                    left.append((j, paper))
                else:
                    yield j, {**result, "submission": paper.submission, "student": paper.student}
    if left:
        yield from grade(left)


def one_by_one(desk: Desk, todo: Papers) -> Results:
    """Grade in this process."""
    for i, paper in todo:
        yield i, desk.grade(paper)


def in_processes(plan: Plan, todo: Papers, jobs: int) -> Results:
    """Grade in processes of this machine.

    Where one of them ends unasked, its pool is lost with it. What is left gets a new pool, from the other end, and then
    each paper its own: only one that ends its grader every time stays without a mark.
    """
    lost: list[tuple[int, Paper]] = []
    with _pool(jobs, todo) as pool:
        yield from spread(pool, plan, todo, lost)
    again = lost[::-1]
    lost = []
    if again:
        with _pool(jobs, again) as pool:
            yield from spread(pool, plan, again, lost)
    for one in lost:
        with _pool(1, [one]) as pool:
            yield from spread(pool, plan, [one])


def _pool(jobs: int, todo: Papers) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")  # a fork would carry this process's memory along
    return ProcessPoolExecutor(min(jobs, len(todo)), context, _begin, (os.getpid(),))


def _begin(parent: int) -> None:
    """In a process of ours: end with the one that leads the run, however that ends, and leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    atexit.register(gc.freeze)  # else Python looks through all that is loaded before it ends
    with contextlib.suppress(OSError, ImportError):
        from vidlearn.sandbox import confine

        confine.die_with_parent()
    if os.getppid() != parent:  # it ended before the kernel knew
        os._exit(1)


def spread(executor: Executor, plan: Plan, todo: Papers, lost: list[tuple[int, Paper]] | None = None) -> Results:
    """Grade wherever an executor brings its tasks. Papers whose pool broke are added to `lost`, if that is given."""
    waiting: dict[concurrent.futures.Future[dict[str, Any]], tuple[int, Paper]] = {}
    try:
        try:
            for one in todo:
                waiting[executor.submit(grade_there, plan, one[1])] = one
        except BrokenExecutor:
            if lost is None:
                raise
            lost += todo[len(waiting) :]
        for done in concurrent.futures.as_completed(list(waiting)):
            i, paper = waiting.pop(done)
            try:
                yield i, done.result()
            except BrokenExecutor as error:
                if lost is None:
                    yield i, _failed(plan, paper, error)
                else:
                    lost.append((i, paper))
            except Exception as error:
                yield i, _failed(plan, paper, error)
    finally:  # the run was stopped, or an error is on its way
        for future in waiting:
            future.cancel()


def _failed(plan: Plan, paper: Paper, error: Exception) -> dict[str, Any]:
    """The grader's failure is not a zero."""
    what = str(error).strip().partition("\n")[0] or "no message"
    return blank(paper, plan.assignment, "not run", f"grader error: {type(error).__name__}: {what}")


# --------------------------------------------------------------------------------------------- in any process, anywhere

_seat = threading.Lock()  # one submission at a time in one process: its memory flags and its banks are the process's
_desks: dict[str, Desk] = {}


def grade_there(plan: Plan, paper: Paper) -> dict[str, Any]:
    """Grade one paper at this process's desk for the plan, which is opened by its first paper and closed at exit."""
    both = (("vidlearn", vidlearn.__version__, plan.version), ("hypothesis", _hypothesis(), plan.hypothesis))
    for name, here, there in both:
        if here != there:
            why = f"{name} is {here} where this was to be graded, and {there} where the run is led"
            return blank(paper, plan.assignment, "not run", f"grader error: {why}")
    with _seat:
        try:
            desk = _desk(plan)
        except SandboxError as error:
            return blank(paper, plan.assignment, "not run", f"grader error: {error}")
        return desk.grade(paper)


def _desk(plan: Plan) -> Desk:
    if plan.key not in _desks:
        close_desks()
        keep_private(True)
        desk = Desk(plan.assignment, plan.seed, plan.examples, plan.feedback, banks=plan.banks)
        desk.sandbox.require = plan.required
        _desks[plan.key] = desk
    return _desks[plan.key]


@atexit.register
def close_desks() -> None:
    """Close this process's desk, and with it every process behind it."""
    for key in list(_desks):
        _desks.pop(key).sandbox.close()
        keep_private(False)


def keep_private(private: bool) -> None:
    """Whether other processes of the same user are kept from reading the expected values out of this one."""
    with contextlib.suppress(OSError, ImportError):  # where the system has no such thing
        from vidlearn.sandbox import confine

        confine.keep_private(private)


@contextlib.contextmanager
def unreadable_memory() -> Iterator[None]:
    """While grading, no other process of the same user can read the expected values out of this one."""
    keep_private(True)
    try:
        yield
    finally:
        keep_private(False)


@contextlib.contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """The workers of a running Dask cluster as an executor."""
    try:
        from distributed import Client
    except ImportError:
        raise GradeError("--dask needs Dask's cluster package: pip install 'vidlearn[cluster]'") from None
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise GradeError(f"no Dask scheduler answers at {address} ({error})") from None
    with client:
        yield client.get_executor(pure=False)


# ------------------------------------------------------------------------------------------------------ what lies there


class Keeper:
    """A run's folder, in which there are whole files only at every moment; or no folder at all.

    ``kept/`` holds each mark under the name of all that it depends on, so that the next run finds what needs no second
    look. It is for the teacher alone, as ``run.json`` is: the secret seed is part of those names.
    """

    def __init__(self, out: str | Path | None) -> None:
        self.out = Path(out) if out is not None else None
        self.before: dict[str, Any] = {}
        self.replaced: set[str] = set()  # who was there before, and is added again
        self.renamed: list[tuple[str, str]] = []  # who is told apart from somebody added by another name than before
        self._lock, self._next, self._started = -1, 0.0, time.monotonic()

    def __enter__(self) -> Keeper:
        """Take the folder, and only then look at what the last run left in it."""
        if self.out is not None:
            self.out.mkdir(parents=True, exist_ok=True)
            self._take()
            with contextlib.suppress(OSError, ValueError, RecursionError):
                facts = json.loads((self.out / "run.json").read_text(encoding="utf-8"))
                self.before = facts if isinstance(facts, dict) else {}
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._lock >= 0:
            os.close(self._lock)

    def seed(self, assignment: Assignment) -> int | None:
        """The secret of the last run here, if it was the same assignment."""
        seed = self.before.get("seed")
        return seed if self.before.get("assignment") == assignment.id and type(seed) is int else None

    def changed(self, plan: Plan) -> list[str]:
        """What is not as in the last run here, so that nothing of it can be kept; nothing where there was none."""
        if not self.before:
            return []
        last = self.before.get("settings")
        last = {**(last if isinstance(last, dict) else {}), "seed": self.before.get("seed")}
        return [name for name, value in {"seed": plan.seed, **plan.settings}.items() if last.get(name) != value]

    def staying(self, found: Sequence[Paper]) -> tuple[list[Paper], list[dict[str, Any]]]:
        """What is added, and the results of the last run here of the other students; `GradeError` without any.

        A student is the one of the same id, and the one of the same name only where one of the two has no id. Others of
        the same name are told apart as in one download.
        """
        if self.out is None or not self.before:
            raise GradeError(
                f"{self.out} holds no marks to add to: leave --add out, or name the folder of a graded class"
            )
        try:
            last = json.loads((self.out / "results.json").read_text(encoding="utf-8"))
            if not all(result.keys() >= _PARTS for result in last):
                raise ValueError
            people = [(str(result["student"]), str(result.get("student_id", ""))) for result in last]
            waiting = {i for i, result in enumerate(last) if _is_later(result)}
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise GradeError(
                f"the marks in {self.out}/results.json cannot be read: grade the whole class again, without --add"
            ) from None
        by_id = {number: i for i, (_, number) in enumerate(people) if number}
        by_name = {name: i for i, (name, _) in enumerate(people)}
        new: dict[int, int] = {}  # whose place in the last run is whose among the added
        for j, paper in enumerate(found):
            at = by_id.get(paper.id) if paper.id else None
            if at is None and (at := by_name.get(paper.student)) is not None and paper.id and people[at][1]:
                at = None
            if at is not None:
                new[at] = j
        if left := sorted(people[i][0] for i in waiting - new.keys()):
            raise GradeError(
                f"the last run in {self.out} did not come to {_few(left)}: let it come to its end first, then add others"
            )
        stay = [i for i in range(len(last)) if i not in new]
        own = [people[i] for i in stay] + [(paper.student, paper.id) for paper in found]
        names = distinct((name.removesuffix(f" ({number})") if number else name, number) for name, number in own)
        added = [replace(paper, student=name) for paper, name in zip(found, names[len(stay) :], strict=True)]
        self.replaced = {added[j].student for i, j in new.items() if i not in waiting}
        self.renamed = [(people[i][0], name) for i, name in zip(stay, names, strict=False) if people[i][0] != name]
        return added, [{**last[i], "student": name} for i, name in zip(stay, names, strict=False)]

    def look(
        self, plan: Plan, found: Sequence[Paper], again: bool, staying: list[dict[str, Any]] | None = None
    ) -> Papers:
        """Return the papers that are to be graded; nothing is written yet.

        A folder with the marks of others is no place for these, unless they are `staying` or all is graded `again`:
        `GradeError`.
        """
        self.plan, self.again, self.adds = plan, again, staying is not None
        everyone: list[tuple[str, Paper | None, dict[str, Any] | None]] = [(one.student, one, None) for one in found]
        if staying:
            everyone = sorted([*everyone, *((one["student"], None, one) for one in staying)], key=lambda one: one[0])
        self.papers = [paper for _, paper, _ in everyone]
        self.names = report.file_names(student for student, _, _ in everyone)
        there = self.before.get("pages")
        gone = {name for name in there if isinstance(name, str)} if isinstance(there, list) else set()
        self.gone = sorted(name for name in gone - set(self.names) if re.fullmatch(r"[\w-][\w.-]*", name))
        last = self.before.get("assignment")
        if isinstance(last, str) and last != plan.assignment.id and not again:
            raise GradeError(
                f"{self.out} holds the marks of another assignment, {printable(last)}: give another --out, or --again to "
                "replace them"
            )
        if self.adds and (changed := self.changed(plan)):
            raise GradeError(
                f"since the last run in {self.out} this changed: {', '.join(changed)}. Marks would not be comparable: grade "
                "the whole class again, without --add"
            )
        weak = [one["student"] for one in staying or () if one["score"] is not None and not self._enough(one)]
        if weak:
            raise GradeError(
                f"the marks of {_few(weak)} in {self.out} were made with less isolation than level {plan.required}, which "
                "is required: grade the whole class again, without --add"
            )
        if self.gone and not again and not self.adds:
            count = len(self.gone)
            raise GradeError(
                f"{count} {'student' if count == 1 else 'students'} of the last run in {self.out} "
                f"{'is' if count == 1 else 'are'} not among these submissions: {_few(self.gone)}; give another --out, --add "
                "to keep their marks beside these, or --again to leave them out"
            )
        self.kept = {}
        for i, (_, paper, result) in enumerate(everyone):
            if paper is not None:
                result = None if again or self.out is None else self._kept(paper)
            if result is not None:
                self.kept[i] = result
        return [(i, paper) for i, paper in enumerate(self.papers) if paper is not None and i not in self.kept]

    def begin(self, isolation: dict[str, Any] | None) -> None:
        """Write down what is known from before; `results` holds it, too."""
        self.isolation = isolation
        # written first with nobody graded, and completed as marks come in: a run cut short says so itself
        self.results = [
            self._with_facts(
                self.kept.get(i) or blank(paper, self.plan.assignment, "not run", report.LATER, isolation), paper
            )
            if paper is not None
            else self.kept[i]
            for i, paper in enumerate(self.papers)
        ]
        if self.out is None:
            return
        for part in [one for room in (".", "reports", "kept") for one in (self.out / room).glob(".*.part")]:
            part.unlink(missing_ok=True)  # half a file of a run that was killed as it wrote
        for one in (self.out / "kept").glob("*.json") if self.again else ():
            one.unlink()
        self._run(finished=False)
        for i, name in enumerate(self.names):  # a page from before says what no longer counts
            if i in self.kept or (self.out / "reports" / f"{name}.html").exists():
                self._pages(i)

    def keep(self, i: int, result: dict[str, Any]) -> dict[str, Any]:
        """Write one student's mark and report at once, and all results every now and then."""
        paper = self.papers[i]
        assert paper is not None
        self.results[i] = full = self._with_facts(result, paper)
        if self.out is None:
            return full
        self._pages(i)
        if result["score"] is not None and not paper.problem:  # final, and not to be had for nothing
            text = json.dumps(result, separators=(",", ":")) + "\n"
            report.write_text(self.out / "kept" / f"{self.plan.key_of(paper)}.json", text)
        if time.monotonic() > self._next:
            self._all()
        return full

    def finish(self) -> None:
        """Write the whole, and take away what belongs to nobody any more."""
        if self.out is None:
            return
        for name in self.gone:
            for suffix in _PAGES:
                (self.out / "reports" / f"{name}{suffix}").unlink(missing_ok=True)
        self.gone = []
        current = {f"{self.plan.key_of(paper)}.json" for paper in self.papers if paper is not None}
        for one in (self.out / "kept").glob("*.json"):
            if (
                one.name not in current and not self.adds
            ):  # the others' marks are there for the next run of the whole class
                one.unlink(missing_ok=True)
        self._run(finished=True)

    def _take(self) -> None:
        """Nobody else writes here meanwhile. The system lets go of it when this process ends, however it ends."""
        try:
            import fcntl
        except ImportError:
            return
        assert self.out is not None
        self._lock = os.open(self.out, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise GradeError(f"another grader is at work in {self.out}: wait for it, or give another --out") from None
        except OSError:
            pass  # a file system without locks

    def _kept(self, paper: Paper) -> dict[str, Any] | None:
        """The paper's result from before, if there is one and it is whole."""
        assert self.out is not None
        if paper.problem:
            return None
        try:
            kept = json.loads((self.out / "kept" / f"{self.plan.key_of(paper)}.json").read_text(encoding="utf-8"))
            asked = [question.operation.name for question in self.plan.assignment.questions]
            whole = kept["score"] is not None and [entry["operation"] for entry in kept["questions"]] == asked
            return kept if whole and self._enough(kept) and kept["student"] == paper.student else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def _enough(self, result: dict[str, Any]) -> bool:
        """Whether a result was made with as much isolation as is required now."""
        with contextlib.suppress(KeyError, TypeError, AttributeError):  # else nothing is known about it
            return self.plan.required is None or not Isolation(result["isolation"]["missing"]).lacks(self.plan.required)
        return False

    def _with_facts(self, result: dict[str, Any], paper: Paper) -> dict[str, Any]:
        return {**result, **paper.facts()}

    def _pages(self, i: int) -> None:
        assert self.out is not None
        title, result = self.plan.assignment.title, self.results[i]
        texts = (report.page(result, title), report.markdown(result, title), report.as_json(result))
        for suffix, text in zip(_PAGES, texts, strict=True):
            report.write_text(self.out / "reports" / f"{self.names[i]}{suffix}", text)

    def _run(self, finished: bool) -> None:
        """All results, and what the teacher needs to repeat or continue the run."""
        assert self.out is not None
        levels = [result["isolation"] for result in self.results if result["isolation"]]
        isolation = self.isolation or max(levels, key=lambda one: one["level"], default=None)  # the weakest
        facts = {
            "assignment": self.plan.assignment.id, "seed": self.plan.seed, "finished": finished,
            "isolation": isolation, "vidlearn": self.plan.version, "settings": self.plan.settings,
            "pages": sorted([*self.names, *self.gone]), "seconds": round(time.monotonic() - self._started, 2),
        }  # fmt: skip
        report.write_text(self.out / "class.html", report.class_page(self.results, self.plan.assignment))
        # a seed is on disk before anything that was made with it; where it is there already, nobody who is added is only
        # in this file, from which no run would miss them
        seed_first = not finished and not self.adds
        if seed_first:
            report.write_text(self.out / "run.json", report.as_json(facts))
        self._all()
        if not seed_first:
            report.write_text(self.out / "run.json", report.as_json(facts))

    def _all(self) -> None:
        assert self.out is not None
        start = time.monotonic()
        report.write_text(self.out / "results.json", report.as_json(self.results))
        now = time.monotonic()
        self._next = now + max(1.0, 20 * (now - start))  # a large class is not written over and over


_PAGES = (".html", ".md", ".json")
_PARTS = {"submission", "student", "score", "max_score", "status", "isolation", "questions"}


def _is_later(result: dict[str, Any]) -> bool:
    """Whether a run was cut short before it came to this submission."""
    told = [finding["text"] for entry in result["questions"] for finding in entry["findings"]]
    return result["score"] is None and report.LATER in told


def _few(names: list[str]) -> str:
    return ", ".join(map(printable, names[:3])) + (" …" if len(names) > 3 else "")


# ------------------------------------------------------------------------------------------------- what is seen of it


class Lines:
    """Tells of a run line by line."""

    def __init__(self, write: Callable[[str], None] | None = None) -> None:
        self.write = write or (lambda line: None)

    def say(self, line: str) -> None:
        """Something to know that is about no single submission."""
        self.write(line)

    def begin(self, papers: int, done: int) -> None:
        """How many there are, and how many have their mark already."""

    def graded(self, result: dict[str, Any]) -> None:
        """One more is done."""
        self.write(_line(result))

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        return


class Notes(Lines):
    """Tells only what a person must know."""

    def graded(self, result: dict[str, Any]) -> None:
        """One more is done."""
        if result["score"] is None:
            self.say(_line(result))


class Bar(Notes):
    """Shows a bar with the time that is left, on a terminal; lines only for what a person must know.

    `ImportError` without rich.
    """

    def __init__(self, console: Any = None) -> None:
        from rich import progress
        from rich.console import Console

        self._bar = progress.Progress(
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("·"),
            progress.TimeRemainingColumn(),
            progress.TextColumn("left · {task.description}", markup=False),
            console=console or Console(stderr=True),
            transient=True,
        )
        super().__init__(lambda line: self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True))

    def begin(self, papers: int, done: int) -> None:
        """Show the bar."""
        self._task = self._bar.add_task("", total=papers, completed=done)
        self._bar.start()

    def graded(self, result: dict[str, Any]) -> None:
        """Move the bar."""
        super().graded(result)
        self._bar.update(self._task, advance=1, description=printable(result["student"])[:40])

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()


def _line(result: dict[str, Any]) -> str:
    mark = "not graded" if result["score"] is None else f"{result['score']:g}/{result['max_score']:g}"
    return f"{printable(result['student'])}: {result['status']}, {mark}"
