"""``judge``: run an implementation on a bank, look at every answer and every law, shrink what fails, name the mistake."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vidlearn.judge.bank import PROBES, Bank, Case, Known, rounded
from vidlearn.judge.candidate import FormError, Outcome, Runner, Stopped
from vidlearn.judge.comparing import Difference, first_difference, form_problem, planes, same
from vidlearn.judge.drawing import shrink as smallest_of
from vidlearn.judge.verdict import Call, Counterexample, Named, Picture, Row, Verdict

if TYPE_CHECKING:
    from vidlearn.operation import Operation
    from vidlearn.spec import Law

__all__ = ["Stopped", "judge"]

FORM = "the answer has the right shape and type"
LAYOUT = "reads arrays in any memory layout"
REPEAT = "gives the same answer when asked again"


def judge(
    candidate: Callable[..., Any],
    operation: Operation,
    *,
    backend: str = "numpy",
    device: str | None = None,
    dtype: str = "float64",
    strict: bool = False,
    examples: int = 25,
    seed: int = 0,
    shrink: bool = True,
    named: bool = True,
    bank: Bank | None = None,
) -> Verdict:
    """Decide whether `candidate` computes `operation`, and if not, where, how and why not.

    Parameters
    ----------
    candidate
        Called as the reference is, with arrays of `backend`. It may be a fast path, a student's function in this
        process, or a proxy for one in a sandbox: they are judged alike.
    operation
        What it should compute.
    backend, device, dtype
        What the candidate is given.
    strict
        Hold it to the arithmetic (``ulps``), and to the dtype, as a fast path is held; otherwise to the tolerance
        that a person's answer gets.
    examples
        Inputs drawn for each case family.
    seed
        The same seed gives the same verdict.
    shrink
        Look for the smallest failing input. This calls the candidate more often, and can't change its score.
    named
        Look for a mistake that has a name. Where only the score counts, this can be left out.
    bank
        Inputs and expected answers drawn before, when many candidates are judged alike. It brings its own seed and
        dtype.

    Returns
    -------
    Verdict
        Plain data with a text, a notebook and a JSON face.

    Examples
    --------
    >>> import vidlearn as vl
    >>> verdict = judge(lambda Ix, Iy, It: vl.flow.normal_flow(Ix, Iy, -It), vl.flow.normal_flow)
    >>> verdict.status, verdict.mistake.name
    ('wrong', 'sign of I_t')
    """
    bank = bank or Bank.draw(operation, seed, examples, dtype)
    runner = Runner(candidate, operation.signature, backend, device, bank.dtype, strict)
    trial = _Trial(bank, runner, examples)
    verdict = Verdict(
        operation=operation.name, backend=backend, device=device or "cpu", dtype=bank.dtype, seed=bank.seed
    )
    try:
        trial.run()
    except Stopped as stop:
        return replace(verdict, status=stop.status, rows=trial.rows, stopped=stop.sentence, notes=trial.notes())
    verdict = replace(verdict, rows=trial.rows, notes=trial.notes(), status=trial.status())
    if verdict.status != "wrong":
        return verdict
    verdict = replace(verdict, counterexample=trial.first_counterexample(), mistake=trial.mistake() if named else None)
    if shrink:
        with contextlib.suppress(Stopped):  # the score stands; only the feedback is poorer
            verdict = replace(verdict, counterexample=trial.shrunk() or verdict.counterexample)
    return verdict


class _Trial:
    """One candidate before one bank: what it answered, and what follows from that."""

    def __init__(self, bank: Bank, runner: Runner, examples: int):
        self.bank, self.runner, self.examples = bank, runner, examples
        self.operation, self.spec = bank.operation, bank.operation.spec
        self.axes = self.operation.signature.returns
        self.rows: list[Row] = []
        self.outcomes: dict[str, list[Outcome]] = {}
        self.failures: list[tuple[Row, Case | None, Law | None, dict[str, Any], Difference]] = []

    # -- looking -------------------------------------------------------------------------------------------------

    def look(self, outcome: Outcome, case: Case) -> tuple[str, Difference | None]:
        """Return the form's problem and the first difference of one outcome."""
        form = form_problem(outcome, case.expected, self.runner.dtype, self.runner.strict)
        if form:
            return form, Difference("", "", form)
        return "", first_difference(outcome, case, self.spec, self.axes, self.runner.dtype, self.runner.strict)

    def run(self) -> None:
        """Answer every case, then every law; fill `rows`."""
        case_rows, form = [], ""
        for family, cases in self.bank.families.items():
            outcomes = self.outcomes[family] = []
            row, first = Row("case", family, True, ""), None
            for case in cases:
                outcome = self.runner(case.inputs)
                outcomes.append(outcome)
                self.runner.remember(case.inputs, outcome)
                problem, difference = self.look(outcome, case)
                form = form or problem
                if difference and not first:
                    row = replace(
                        row,
                        held=False,
                        detail=problem or f"{difference.where}: expected {difference.expected}, got {difference.got}",
                    )
                    first = (row, case, None, case.inputs, difference)
            case_rows.append(row)
            if first:
                self.failures.append(first)
        if not self._answered():
            return
        self.rows = [Row("form", FORM, not form, form), *case_rows]
        if not form:
            self._look_again()
        for law, asked in self.bank.laws:
            self._try_law(law, asked)

    def _answered(self) -> bool:
        return any(o.error != "NotImplementedError" for outcomes in self.outcomes.values() for o in outcomes)

    def _look_again(self) -> None:
        """Ask some cases a second time, once in the same memory layout and once in another."""
        again = [(f, i, c) for f, cases in self.bank.families.items() for i, c in enumerate(cases[:3])]
        for name, strided, always in ((REPEAT, False, False), (LAYOUT, True, True)):
            row = Row("form", name, True, "")
            for family, i, case in again:
                before, after = self.outcomes[family][i], self.runner(case.inputs, strided=strided)
                if not same(after, before, case, self.spec):
                    where = "on a view with gaps in memory" if strided else "on the same input"
                    row = replace(row, held=False, detail=f"answers differently {where} than it did before")
                    self.failures.append((row, case, None, case.inputs, Difference("", "", row.detail)))
                    break
            if always or not row.held:
                self.rows.append(row)

    def _try_law(self, law: Law, asked: list[tuple[str, dict[str, Any]]]) -> None:
        """A law breaks on an input where there is an answer; where there is none, only if there is none anywhere.

        A family that gets no answer has its own row for that. It must not take every law with it.
        """
        row = Row("law", law.statement, True, "")
        stated, broken, silent = False, None, None
        for family, inputs in asked:
            difference = self._breaks(law, inputs)
            if difference is None:
                stated = True
            elif difference.unanswered and self._unanswered(family):
                silent = silent or (inputs, difference)
            else:
                broken = inputs, difference
                break
        broken = broken or (None if stated else silent)
        if broken:
            inputs, difference = broken
            said = f"{difference.where}: expected {difference.expected}, got {difference.got}"
            row = replace(row, held=False, detail=said if difference.where else difference.got)
            self.failures.append((row, None, law, inputs, difference))
        self.rows.append(row)

    def _unanswered(self, family: str) -> bool:
        """Whether some input of this family gets no answer at all: its own row says so already."""
        return any(outcome.problem for outcome in self.outcomes[family])

    def _breaks(self, law: Law, inputs: dict[str, Any], runner: Runner | None = None) -> Difference | None:
        """Return how the law breaks on this input for the candidate (or another), or None."""
        try:
            with np.errstate(all="ignore"):
                said = law.holds((runner or self.runner).as_function, **inputs)
        except FormError as error:
            return Difference("", "", str(error), unanswered=True)
        except Stopped:
            raise
        except Exception as error:  # an answer so odd that the law can't even be stated for it
            return Difference(
                "", "", f"gives an answer that the law can't be stated for ({type(error).__name__}: {error})"
            )
        if isinstance(said, bool | np.bool_):
            return None if said else Difference("", "", f"breaks “{law.statement}”")
        got, expected, *mask = (np.asarray(v) for v in said)
        if mask and mask[0].shape != got.shape[: mask[0].ndim]:  # the answer has not the shape that it should
            return Difference("", "", f"gives answers of shape {got.shape} where the law is about {mask[0].shape}")
        outcome, case = (
            Outcome((got,)),
            Case(
                {k: v for k, v in inputs.items() if k not in law.draws},
                (np.asarray(expected),),
                mask[0] if mask else None,
            ),
        )
        form = form_problem(outcome, case.expected, self.runner.dtype, False)
        if form:
            return Difference("", "", form)
        return first_difference(outcome, case, self.spec, self.axes, self.runner.dtype, self.runner.strict)

    # -- concluding ----------------------------------------------------------------------------------------------

    def status(self) -> str:
        if not self._answered():
            return "not attempted"
        return "right" if self.rows and all(row.held for row in self.rows) else "wrong"

    def notes(self) -> list[str]:
        changed = sorted({n for outcomes in self.outcomes.values() for o in outcomes for n in o.changed})
        if not changed:
            return []
        return [
            f"your function modifies its argument {' and '.join(changed)}; work on a copy, the caller still needs it"
        ]

    def mistake(self) -> Named | None:
        """Name the mistake, or the pair of mistakes, that gives the candidate's answers on every probe."""
        outcomes = [o for outcomes in self.outcomes.values() for o in outcomes[:PROBES]]
        for listed in (self.bank.wrong, None):
            if listed is None:
                if not any(o.answers for o in outcomes):
                    return None
                listed = self.bank.wrong_pairs
            for known in listed:
                answers = zip(outcomes, known.answers, self.bank.probes, strict=True)
                if all(same(o, a, c, self.spec) for o, a, c in answers) and self._explained_by(known):
                    return Named(known.name, list(known.hints))
        return self._mistake_in_a_family()

    def _mistake_in_a_family(self) -> Named | None:
        """Name the mistake that gives the answers to a family that fails, whatever else is wrong or not yet written."""
        start = 0
        for family, outcomes in self.outcomes.items():
            tried = outcomes[:PROBES]
            span = slice(start, start + len(tried))
            start += len(tried)
            cases = self.bank.probes[span]
            wrong_here = any(o.answers and self.look(o, c)[1] for o, c in zip(tried, cases, strict=True))
            for known in self.bank.wrong if wrong_here else ():
                answers = zip(tried, known.answers[span], cases, strict=True)
                if all(same(o, a, c, self.spec) for o, a, c in answers) and self._explained_by(known, family):
                    return Named(f"{known.name} (in the cases: {family})", list(known.hints))
        return None

    def _explained_by(self, known: Known, family: str = "") -> bool:
        """Whether a mistake fails where the candidate does: on few probes two mistakes, or one and none, may agree."""
        cases = [(row, case) for row, case, law, *_ in self.failures if row.kind == "case" and case and law is None]
        for row, case in cases:
            if row.name == (family or row.name):
                at = next(i for i, each in enumerate(self.bank.families[row.name]) if each is case)
                theirs = known.runner(case.inputs)
                if not self.look(theirs, case)[1] or not same(self.outcomes[row.name][at], theirs, case, self.spec):
                    return False
        laws = [] if cases else [(law, inputs) for _, _, law, inputs, _ in self.failures if law is not None]
        return all(self._breaks(law, inputs, known.runner) for law, inputs in laws)

    def _pictures(self, got: tuple[np.ndarray, ...], expected: tuple[np.ndarray, ...]) -> tuple[Picture, ...]:
        """The first answer that differs beside the right one; none for single numbers."""
        for k, (g, e) in enumerate(zip(got, expected, strict=True)):
            if e.size > 1 and not np.array_equal(g, e, equal_nan=e.dtype.kind == "f"):
                axes = self.axes[min(k, len(self.axes) - 1)].axes if self.axes else ()
                pieces = (planes(a.astype(float), axes, self.spec.components) for a in (e, g))
                return tuple(Picture(name, want, answer) for (name, want), (_, answer) in zip(*pieces, strict=True))
        return ()

    def first_counterexample(self) -> Counterexample | None:
        if not self.failures:
            return None
        row, _, law, inputs, difference = self.failures[0]
        calls = () if law else self._calls(inputs)
        return Counterexample(row.name, inputs, difference.where, difference.expected, difference.got, calls=calls)

    def shrunk(self) -> Counterexample | None:
        """Shrink the first thing that failed."""
        row, _, law, _, _ = self.failures[0]
        if row.kind == "form":
            return None
        dtype = self.runner.dtype
        pictures: tuple[Picture, ...] = ()
        if law is None:
            strategy = self.spec.cases[row.name]

            def difference_on(inputs: dict[str, Any]) -> Difference | None:
                nonlocal pictures
                fresh, outcome = self.bank.case(inputs), self.runner(inputs)
                problem, difference = self.look(outcome, fresh)
                pictures = () if problem else self._pictures(outcome.answers, fresh.expected)
                return difference
        else:
            import hypothesis.strategies as st

            families = [self.spec.cases[n] for n in (law.cases or tuple(self.spec.cases))]
            extra = st.fixed_dictionaries(dict(law.draws))
            strategy = st.builds(lambda inputs, more: {**inputs, **more}, st.one_of(families), extra)

            def difference_on(inputs: dict[str, Any]) -> Difference | None:
                return self._breaks(law, inputs)

        found = smallest_of(
            strategy, lambda i: difference_on(rounded(i, dtype)) is not None, self.bank.seed, self.examples
        )
        if found is None:
            return None
        found = rounded(found, dtype)
        difference = difference_on(found)
        if difference is None:
            difference, pictures = Difference("", "the same answer each time", "another one on this call"), ()
        return Counterexample(
            row.name, found, difference.where, difference.expected, difference.got, pictures, self._calls(found, law)
        )

    def _calls(self, inputs: dict[str, Any], law: Law | None = None) -> tuple[Call, ...]:
        """How the function was called: on the inputs, or with what a law made of them."""
        signature = self.operation.signature
        asked: list[dict[str, Any]] = []

        def noted(*args: Any, **kwargs: Any) -> Any:
            arguments = dict(signature.python.bind(*args, **kwargs).arguments)
            asked.append({name: v.copy() if isinstance(v, np.ndarray) else v for name, v in arguments.items()})
            return self.runner.as_function(*args, **kwargs)

        if law is None:
            asked = [inputs]
        else:
            with contextlib.suppress(Exception), np.errstate(all="ignore"):
                law.holds(noted, **inputs)
        calls = []
        for one in asked:
            positional, by_name = signature.order({name: (name, value) for name, value in one.items()})
            calls.append(tuple((*each, False) for each in positional) + tuple((*e, True) for e in by_name.values()))
        return tuple(calls)
