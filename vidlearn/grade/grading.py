"""One submission graded: run behind the sandbox, judged on this side, scored, then explained."""

from __future__ import annotations

import ast
import contextlib
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import TracebackType
from typing import Any

import numpy as np

from vidlearn.grade.assignment import Assignment, Question
from vidlearn.grade.intake import Paper
from vidlearn.judge import BANKS, Bank, Counterexample, Row, Stopped, Verdict, judge
from vidlearn.sandbox import LAYERS, Candidate, Sandbox, SandboxError, Unreadable, Worker, submission

__all__ = ["BANKS", "STATUSES", "Desk", "blank"]

MAX_CODE = 1 << 18  # characters that are parsed on this side

STATUSES = (
    "correct",
    "partly",
    "wrong",
    "not attempted",
    "crashed",
    "timed out",
    "out of memory",
    "unreadable",
    "not run",
)
FEEDBACK_SEED = (
    0  # the seed of `vl.check`: what a student is shown can be shown again, and says nothing of the hidden one
)


def blank(
    paper: Paper, assignment: Assignment, status: str, why: str, isolation: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A result with no marks: 0 where what was handed in could not be used, none at all where it was not run."""
    score = None if status == "not run" else 0.0
    questions = [
        {
            "operation": question.operation.name, "score": score, "max_score": question.points, "status": status,
            "findings": [{"kind": "note", "text": why}], "output": "",
        }
        for question in assignment.questions
    ]  # fmt: skip
    return {
        "submission": paper.submission, "student": paper.student, "score": score, "max_score": assignment.max_score,
        "status": status, "isolation": isolation, "questions": questions,
    }  # fmt: skip


class Desk:
    """Where submissions are graded one after another: a warm sandbox, and banks drawn once from the secret seed.

    There are several banks, of which a submission gets one. The secret and the file's code decide which, so the same
    code meets the same inputs, whoever hands it in and whichever process grades it. A bank is drawn when a submission
    first needs it.
    """

    def __init__(
        self,
        assignment: Assignment,
        seed: int,
        examples: int = 25,
        feedback: bool = True,
        layers: Sequence[str] = LAYERS,
        banks: int = BANKS,
    ) -> None:
        self.assignment, self.seed, self.examples, self.feedback = assignment, seed, examples, feedback
        self.banks = banks
        self.layers = layers
        self.sandbox = Sandbox(assignment.packages, layers)
        self.sandbox.begin()  # it warms up and is tried while banks are drawn here
        self.views = {q.operation.name: (q.helper_sources(), q.shut()) for q in assignment.questions}
        seeds = [_bank_seed(seed, number) for number in range(banks)]
        self.exams = {q.operation.name: _Exam(q, seeds, examples) for q in assignment.questions}

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.sandbox.close()

    @cached_property
    def isolation(self) -> dict[str, Any]:
        """The layers that hold around a worker here."""
        with self.sandbox.worker() as worker:
            return worker.isolation.to_dict()

    def grade(self, paper: Paper) -> dict[str, Any]:
        """Grade one paper. Whatever is wrong with it ends up in its result.

        If the warm process ends meanwhile (the system may have needed its memory), that says nothing about the paper: it
        is graded once more, from a new one.
        """
        for _ in range(2):
            try:
                if self.sandbox.ended:
                    self._start_again()
                result = self._grade(paper)
            except SandboxError as error:
                result = blank(paper, self.assignment, "not run", f"grader error: {error}")
            if not self.sandbox.ended:
                return result
        if result["score"] is None:
            return result
        return blank(paper, self.assignment, "not run", "grader error: the warm process is gone for the second time")

    def _start_again(self) -> None:
        required = self.sandbox.require
        self.sandbox.close()
        self.sandbox = Sandbox(self.assignment.packages, self.layers)
        self.sandbox.require = required

    def _grade(self, paper: Paper) -> dict[str, Any]:
        try:
            if paper.problem:
                return blank(paper, self.assignment, paper.status, paper.problem, self.isolation)
            number = self.bank_of(paper)
            with _Bench(self, paper) as bench:
                return self._result(paper, bench, number)
        except Unreadable as error:
            return blank(paper, self.assignment, "unreadable", str(error), self.isolation)
        except Stopped as stop:
            return blank(paper, self.assignment, stop.status, f"reading the file: {stop.sentence}", self.isolation)

    def bank_of(self, paper: Paper) -> int:
        """The number of the bank that this paper gets, which is drawn by now."""
        digest = hmac.digest(str(self.seed).encode(), _content(paper), "sha256")
        number = int.from_bytes(digest[:8], "big") % self.banks
        for exam in self.exams.values():
            exam.bank(number)
        return number

    def _result(self, paper: Paper, bench: _Bench, number: int) -> dict[str, Any]:
        answers = {}
        # in the order of the definitions, so that cells run once and only as far as the question needs
        for question in sorted(self.assignment.questions, key=lambda q: bench.places[q.operation.short][0]):
            answers[question.operation.name] = self._question(question, bench, number)
        self._say_what_follows(paper, answers)
        questions = [answers[question.operation.name] for question in self.assignment.questions]
        marks = [entry["score"] for entry in questions]
        return {
            "submission": paper.submission, "student": paper.student,
            "score": None if None in marks else round(sum(marks), 2), "max_score": self.assignment.max_score,
            "status": _overall([entry["status"] for entry in questions], sum(mark or 0 for mark in marks)),
            "isolation": bench.isolation, "questions": questions,
        }  # fmt: skip

    def _question(self, question: Question, bench: _Bench, number: int) -> dict[str, Any]:
        exam = self.exams[question.operation.name]
        at, untouched = bench.places[question.operation.short]
        if untouched:
            why = "there is no such function" if at < 0 else "the function is still the empty one"
            return _entry(question, 0.0, "not attempted", [_note(why)], "")
        try:
            candidate = bench.function(question)
        except Stopped as stop:
            return _entry(question, 0.0, stop.status, [_note(stop.sentence)], bench.output())
        except LookupError as error:
            return _entry(question, 0.0, "crashed", [_note(str(error.args[0]))], bench.output())
        new = [line for line in candidate.load_errors if line not in bench.told]
        bench.told.update(new)  # under one question is enough
        sentences = [_note(f"while the cells ran: {line}") for line in new]
        output = bench.output()
        verdict = exam.verdict(candidate, number)
        bench.output()  # what is printed here may be a hidden input: nobody sees it
        if verdict.stopped:
            status = verdict.status if verdict.status in STATUSES else "crashed"
            score = None if status == "not run" else 0.0
            return _entry(question, score, status, [_note(verdict.stopped), *sentences], output)
        if verdict.status == "not attempted":
            return _entry(question, 0.0, "not attempted", [_note("the function raises NotImplementedError")], output)
        shares, nothing = exam.points(verdict.rows), "" if verdict.right else exam.earns_nothing(verdict.rows)
        if nothing:
            shares = dict.fromkeys(shares, 0.0)
        score = round(sum(shares.values()), 2)
        status = "correct" if verdict.right else "partly" if score else "wrong"
        score = question.points if verdict.right else min(score, question.points)
        findings = _findings(verdict, shares, question)
        if not verdict.right:
            explained, printed = self._explain(question, bench)
            findings += explained
            output += printed
        if nothing and any(finding["kind"] == "holds" for finding in findings) and question.visibility == "visible":
            findings.append(_note(nothing))
        return _entry(question, score, status, findings + sentences, output)

    def _say_what_follows(self, paper: Paper, answers: dict[str, dict[str, Any]]) -> None:
        """Where a wrong answer calls another that is wrong, too, say so: there may be one thing to mend, not two."""
        wrong = {
            question.operation.short: question
            for question in self.assignment.questions
            if answers[question.operation.name]["status"] not in ("correct", "not run")
            and question.visibility == "visible"
        }
        read = _read(paper) if len(wrong) > 1 else None
        for name, question in wrong.items():
            answer = answers[question.operation.name]
            if read and (called := read.calls(name, set(wrong) - {name})):
                beside = "which is not right either" if len(called) == 1 else "which are not right either"
                # what it looks like may be none of this function's
                kept = [one for one in answer["findings"] if one["kind"] not in ("looks like", "hint")]
                answer["findings"] = [*kept, _note(f"it calls your {' and '.join(called)}, {beside}: begin there")]

    def _explain(self, question: Question, bench: _Bench) -> tuple[list[dict[str, Any]], str]:
        """What a wrong answer looks like and prints, in a fresh worker, on inputs that anyone can draw."""
        if question.visibility != "visible" or not self.feedback:
            return [], ""
        try:
            with bench.again(question) as candidate:
                candidate.worker.take_output()  # what the cells print is known
                shown = judge(candidate, question.operation, seed=FEEDBACK_SEED, examples=self.examples, shrink=True)
                printed = candidate.worker.take_output()
        except (Stopped, LookupError, SandboxError, Unreadable):
            return [], ""
        findings = [_note(f"it {row.detail}") for row in shown.rows if row.kind == "form" and not row.held]
        if shown.counterexample:
            findings.append({"kind": "smallest", "text": _to_paste(shown.counterexample, question)})
        if shown.mistake:
            findings.append({"kind": "looks like", "text": shown.mistake.name})
            findings += [{"kind": "hint", "text": hint} for hint in shown.mistake.hints[:1]]
        if candidate.error and any("raises" in row.detail for row in shown.rows):
            # which Python this is, and where it lives, is no matter of theirs
            story = re.sub(
                r'File "/[^"\n]*/(?:site-packages/|python3\.\d+/|(?=vidlearn/sandbox/))', 'File "', candidate.error
            )
            findings.append({"kind": "traceback", "text": story.strip()[-2000:]})
        return findings, printed


def _content(paper: Paper) -> bytes:
    """What decides the bank: the code without comments and formatting, so that these are no new draw of the inputs.

    Where there is none to be read, or more than an exercise ever has, it is the file.
    """
    read = _read(paper)
    try:
        code = "\n".join(ast.dump(statement) for _, statement in read.statements) if read else ""
    except (RecursionError, MemoryError):
        code = ""
    return code.encode("utf-8", "surrogatepass") if code else paper.source


def _read(paper: Paper) -> submission.Reading | None:
    """Its code as the sandbox reads it, where there is some and it is short enough to be parsed on this side."""
    try:
        return submission.Reading(paper.source, paper.suffix, MAX_CODE)
    except (submission.Unreadable, RecursionError, MemoryError):
        return None


def _bank_seed(seed: int, number: int) -> int:
    """The seed of one bank: nothing that a bank's inputs could give away leads back to the secret or to another bank."""
    return int.from_bytes(hmac.digest(str(seed).encode(), b"bank %d" % number, "sha256")[:8], "big")


@dataclass
class _Exam:
    """One question's secret banks, and what an empty-handed answer would hold on them."""

    question: Question
    seeds: list[int]
    examples: int

    def bank(self, number: int) -> Bank:
        """One bank; it is drawn once."""
        return Bank.draw(self.question.operation, self.seeds[number], self.examples)

    def verdict(self, candidate: Any, number: int) -> Verdict:
        """The verdict on one bank; for a wrong answer a row must then hold on all of them.

        What goes wrong on few inputs may hold on one bank and break on the next. The points of a wrong answer don't
        hang on which one it got.
        """
        verdict = self._on(number, candidate)
        if verdict.status != "wrong":
            return verdict
        far = isinstance(candidate, Candidate)
        if far:
            candidate.seconds = 0.0  # as long again for the others together
        for other in range(len(self.seeds)):
            if other != number:
                again = self._on(other, candidate)
                if far and again.status == "timed out" and candidate.seconds > self.question.limits.total - 0.01:
                    break  # slow, and known to be wrong: what was seen so far counts
                if not again.rows or again.stopped:
                    return again
                verdict = replace(verdict.with_rows_of(again), notes=verdict.notes or again.notes)
        return verdict

    def _on(self, number: int, candidate: Callable[..., Any]) -> Verdict:
        return judge(candidate, self.question.operation, bank=self.bank(number), shrink=False, named=False)

    @cached_property
    def for_nothing(self) -> list[set[str]]:
        """The names of what holds for an answer of zeros, and for one that hands its first argument back."""
        right = self.question.operation.reference

        def like(answer: Any, make: Any) -> Any:
            return (
                type(answer)(like(part, make) for part in answer) if isinstance(answer, tuple | list) else make(answer)
            )

        def zeros(*args: Any, **kwargs: Any) -> Any:
            return like(right(*args, **kwargs), np.zeros_like)

        def echo(*args: Any, **kwargs: Any) -> Any:
            first = next((value for value in (*args, *kwargs.values()) if isinstance(value, np.ndarray)), None)
            answer = right(*args, **kwargs)
            return like(
                answer,
                lambda part: (
                    first.copy() if first is not None and np.shape(part) == first.shape else np.zeros_like(part)
                ),
            )

        verdicts = [self.verdict(idle, 0) for idle in (zeros, echo)]
        return [
            {row.name for row in verdict.rows if row.held and row.kind != "form"}
            for verdict in verdicts
            if not verdict.right
        ]

    def earns_nothing(self, rows: list[Row]) -> str:
        """Why what holds is worth no points, or an empty string: it must say something about this answer."""
        if not any(row.held for row in rows if row.kind == "case"):
            return "a law alone earns no points: at least one family of cases must be right"
        held = {row.name for row in rows if row.held and row.kind != "form"}
        if any(held <= nothing for nothing in self.for_nothing):
            return "what holds here also holds for an answer that computes nothing, so it earns no points"
        return ""

    def points(self, rows: list[Row]) -> dict[str, float]:
        """Points earned by row. A break of form counts as one more row where no case shows it already."""
        counted = [row for row in rows if row.kind != "form"]
        if all(row.held for row in counted):
            counted += [row for row in rows if row.kind == "form" and not row.held]
        split = self.question.split
        free = [row for row in counted if row.name not in split]
        each = (self.question.points - sum(split.values())) / len(free) if free else 0.0
        return {row.name: (split.get(row.name, each) if row.held else 0.0) for row in counted}


class _Bench:
    """One submission's worker, started again where it died; a cell that never ends is then left out."""

    def __init__(self, desk: Desk, paper: Paper) -> None:
        self.desk, self.paper, self.everything = desk, paper, True
        self.why_not_everything = ""
        self.told = set[str]()  # what went wrong in the cells, as far as it is said in the result
        self.isolation: dict[str, Any] | None = None
        self.places: dict[str, tuple[int, bool]] = {}
        first = desk.assignment.questions[0]
        self.worker, self.knows = self._open(first), False  # whether it has met hidden inputs
        self.opened_for = first.helpers, first.limits.memory

    def __enter__(self) -> _Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.worker.close()

    def _open(self, question: Question) -> Worker:
        worker = self.desk.sandbox.worker(question.limits)
        try:
            self.isolation = worker.isolation.to_dict()
            asked = [q.operation.short for q in self.desk.assignment.questions]
            helpers, shut = self.desk.views[question.operation.name]
            self.places = worker.open(self.paper.source, self.paper.suffix, asked=asked, helpers=helpers, shut=shut)
            if set(self.places) != set(asked):
                raise Stopped("crashed", "the process answered out of order")
        except BaseException:
            worker.close()
            raise
        return worker

    def function(self, question: Question) -> Candidate:
        """The question's function, in the worker that is there if it still lives.

        One that was asked before knows hidden inputs. If it has anything to say as it loads the next function, a fresh
        one is asked, whose words can be shown.
        """
        if self.worker.dead or self.opened_for != (question.helpers, question.limits.memory):
            self._renew(question)
        self.worker.limits = question.limits
        if self.knows:
            with contextlib.suppress(Stopped, LookupError):
                candidate = self._load(self.worker, question)
                if not candidate.load_errors and not self.worker.output:
                    return candidate
            self._renew(question)
        try:
            candidate = self._load(self.worker, question)
        except Stopped as stop:
            if not self.everything:
                raise
            self.everything = False
            how = "never ended" if stop.status == "timed out" else "ended the process"
            at = self.worker.at or "a cell"
            self.why_not_everything = f"{at} {how} ({stop.sentence}); only definitions were run"
            self._renew(question)
            candidate = self._load(self.worker, question)
        self.knows = True
        return candidate

    def _renew(self, question: Question) -> None:
        self.worker.close()
        self.worker, self.knows = self._open(question), False
        self.opened_for = question.helpers, question.limits.memory

    def _load(self, worker: Worker, question: Question) -> Candidate:
        candidate = worker.load(question.operation.short, everything=self.everything, backend=question.backend)
        if self.why_not_everything:
            candidate.load_errors.insert(0, self.why_not_everything)
        return candidate

    def again(self, question: Question) -> _Fresh:
        """The question's function in a fresh worker."""
        return _Fresh(self, question)

    def output(self) -> str:
        """What the submission printed since the last question."""
        return self.worker.take_output()


class _Fresh:
    def __init__(self, bench: _Bench, question: Question) -> None:
        self.bench, self.question = bench, question

    def __enter__(self) -> Candidate:
        self.worker = self.bench._open(self.question)
        try:
            return self.bench._load(self.worker, self.question)
        except BaseException:
            self.worker.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.worker.close()


def _note(text: str) -> dict[str, Any]:
    return {"kind": "note", "text": text}


def _entry(
    question: Question, score: float | None, status: str, findings: list[dict[str, Any]], output: str
) -> dict[str, Any]:
    if question.visibility != "visible":
        findings = []
    return {
        "operation": question.operation.name, "score": score, "max_score": question.points, "status": status,
        "findings": findings, "output": output if question.visibility == "visible" else "",
    }  # fmt: skip


def _findings(verdict: Verdict, shares: dict[str, float], question: Question) -> list[dict[str, Any]]:
    """What held and what broke, in words; never the hidden input on which it did."""
    # rounded so that the rows add up to the whole, as far as they go
    points, upto = {}, 0.0
    for name, share in shares.items():
        points[name] = round(round(upto + share, 2) - round(upto, 2), 2)
        upto += share
    findings = []
    for row in verdict.rows:
        finding: dict[str, Any] = {"kind": "holds" if row.held else "breaks", "text": row.name, "row": row.kind}
        if row.name in shares:
            findings.append({**finding, "points": points[row.name]})
        elif not row.held:
            findings.append(finding)
    return findings + [_note(text) for text in verdict.notes]


def _to_paste(case: Counterexample, question: Question) -> str:
    """The smallest failing input as lines of Python, for a cell below the function."""
    lines = case.lines(question.operation.short, "torch.from_numpy({})" if question.backend == "torch" else "{}")
    if case.breaks not in question.operation.spec.cases:
        lines.append(f"# breaks: {case.breaks}")
    said = f"{case.where}: expected {case.expected}, got {case.got}".removeprefix(": ")
    lines.append("# " + " ".join((said if case.expected else f"it {case.got}").split()))
    return "\n".join(lines)


def _overall(statuses: list[str], score: float) -> str:
    if len(set(statuses)) == 1:
        return statuses[0]
    if "not run" in statuses:
        return "not run"
    if score > 0:
        return "partly"
    return next((status for status in statuses if status not in ("correct", "not attempted")), "partly")
