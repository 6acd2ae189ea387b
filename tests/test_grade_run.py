"""A run over a class: several secret banks, only what changed is graded, a kill loses nothing, and any executor will do."""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import dataclasses
import importlib
import importlib.metadata
import io
import itertools
import json
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.support import answers
from vidlearn import grade as grading
from vidlearn.grade import Assignment, GradeError, grade, running
from vidlearn.grade.grading import Desk, _content
from vidlearn.grade.intake import Paper
from vidlearn.judge import Stopped, judge
from vidlearn.sandbox import Isolation, Sandbox, SandboxError

RIGHT = "\nimport numpy as np" + answers.RIGHT
WRONG = RIGHT.replace("-It", "It")
PARTLY = RIGHT.replace("np.where(squared > 0, squared, 1)", "squared")
TOML = {
    "assignment": {"id": "01_test", "title": "Test", "time_limit": 1, "memory_limit": 256},
    "question": [{"operation": "flow.normal_flow", "points": 10}],
}
ASKED = Assignment.from_dict(TOML)
EXECUTOR = {"trust_submissions": True, "examples": 3, "seed": 5}


def handed_in(folder, **sources):
    """A class: one file a student."""
    folder.mkdir(exist_ok=True)
    for student, source in sources.items():
        (folder / f"{student}.py").write_text(source)
    return folder


@pytest.fixture
def students(tmp_path):
    return handed_in(tmp_path / "in", ada=RIGHT, ben=WRONG, cleo=PARTLY)


@pytest.fixture
def graded(monkeypatch):
    """The students whom a desk of this process grades, in order."""
    names, real = [], Desk.grade

    def watched(self, paper):
        names.append(paper.student)
        return real(self, paper)

    monkeypatch.setattr(Desk, "grade", watched)
    return names


def run(folder, out=None, **more):
    """A run, and what it said."""
    said = []
    results = grade(folder, ASKED, out, **{"examples": 3, "progress": said.append, **more})
    return results, said


def facts(out):
    return json.loads((out / "run.json").read_text())


# ------------------------------------------------------------------------------------------------ several secret banks


def bank_of(desk, source, student="ada"):
    return desk.bank_of(Paper(student, f"{student}.py", source, ".py"))


def test_the_same_file_meets_the_same_bank_whoever_hands_it_in_and_a_class_meets_them_all():
    files = [f"{RIGHT}{i}\n".encode() for i in range(40)]
    with Desk(ASKED, seed=3, examples=2) as desk, Desk(ASKED, seed=4, examples=2) as other:
        banks = [bank_of(desk, source) for source in files]
        assert banks == [bank_of(desk, source, "ben") for source in files]
        assert set(banks) == {0, 1, 2, 3} and max(map(banks.count, banks)) < 25
        assert banks != [bank_of(other, source) for source in files]  # not to be chosen without the secret


def cells_of(*sources):
    cells = [{"cell_type": "code", "source": source, "outputs": []} for source in sources]
    return json.dumps({"nbformat": 4, "metadata": {}, "cells": cells}).encode()


@pytest.mark.parametrize(
    ("suffix", "first", "others"),
    [
        (".py", RIGHT.encode(), [f"# {i}\n{RIGHT}\n{' ' * i}# again\n".encode() for i in range(12)]),
        (".py", RIGHT.encode(), [RIGHT.replace("(", "(" + " " * i).encode() for i in range(12)]),
        (".py", b"!pip install x\n" + RIGHT.encode(), [f"!pip install x\n{RIGHT}# {i}".encode() for i in range(12)]),
        (".py", RIGHT.encode("utf-16"), [RIGHT.encode()]),
        (".ipynb", cells_of(RIGHT), [cells_of(f"# {i}\n" * i + RIGHT) for i in range(12)]),
        (".ipynb", cells_of(RIGHT), [cells_of(RIGHT).replace(b"[]", b"[%d]" % i) for i in range(12)]),
    ],
)  # fmt: skip
def test_comments_and_formatting_are_no_new_draw_of_the_inputs(suffix, first, others):
    with Desk(ASKED, seed=3, examples=2) as desk:
        banks = {desk.bank_of(Paper("ada", "a", raw, suffix)) for raw in (first, *others)}
        assert len(banks) == 1


@pytest.mark.parametrize(
    ("suffix", "raw"),
    [
        (".py", b"a\n" * 140_000),  # more than is parsed outside the sandbox
        (".ipynb", cells_of("a\n" * 70_000, "b\n" * 70_000)),
        (".ipynb", b"{"),
        (".py", b"\0"),
        (".py", b"\xff"),
        (".py", b"-" * 100_000 + b"1"),
    ],
)
def test_where_the_code_cannot_be_read_the_file_decides(suffix, raw):
    assert _content(Paper("ada", "a", raw, suffix)) == raw


def test_banks_differ_and_the_same_seed_draws_the_same():
    def inputs(desk):
        return [
            [
                case.inputs["Ix"].tobytes()
                for cases in desk.exams["flow.normal_flow"].bank(number).families.values()
                for case in cases
            ]
            for number in range(desk.banks)
        ]

    with Desk(ASKED, seed=3, examples=6) as desk, Desk(ASKED, seed=3, examples=6) as twin:
        first = inputs(desk)
        assert len({tuple(bank) for bank in first}) == 4
        assert first == inputs(twin)


def test_a_right_answer_waits_for_no_bank_once_it_is_open_and_each_is_drawn_once(tmp_path, monkeypatch):
    from vidlearn.judge import bank as banks

    open_now, drawn, real_draw, real_worker = [], [], banks.draw, Sandbox._fork

    def drawing(strategy, examples, seed):
        assert not [worker for worker in open_now if worker._output >= 0]
        drawn.append((id(strategy), seed))
        return real_draw(strategy, examples, seed)

    def forking(self, limits):
        open_now.append(real_worker(self, limits))
        return open_now[-1]

    monkeypatch.setattr(banks, "draw", drawing)
    monkeypatch.setattr(Sandbox, "_fork", forking)
    folder = handed_in(tmp_path / "in", **{f"s{i:02}": f"{RIGHT}{i}\n" for i in range(12)})
    results, _ = run(folder, seed=90_210, feedback=False)
    assert {r["status"] for r in results} == {"correct"}
    assert len({seed for _, seed in drawn}) == 4 and len(drawn) == len(set(drawn))


@pytest.mark.parametrize("name", ["flow.fl_all", "flow.median_filter_flow", "layers.max_pool3d"])
def test_a_wrong_answer_earns_the_same_whichever_bank_its_code_got(name):
    asked = Assignment.from_dict({"question": [{"operation": name, "points": 10}]})
    with Desk(asked, seed=8, examples=6) as desk:  # few, so that some are lucky
        exam, numbers = desk.exams[name], range(desk.banks)
    operation = asked.questions[0].operation
    lucky = 0
    for mistake in operation.spec.mistakes:

        def answer(*args, **kwargs):
            return mistake.wrong(operation.reference, *args, **kwargs)  # noqa: B023

        rows = [exam.verdict(answer, number).rows for number in numbers]
        held = [{row.name for row in each if row.held} for each in rows]
        earned = {0 if exam.earns_nothing(each) else round(sum(exam.points(each).values()), 2) for each in rows}
        assert held == held[:1] * len(held) and len(earned) == 1, mistake.name
        alone = [judge(answer, operation, bank=exam.bank(number), shrink=False).rows for number in numbers]
        lucky += any({row.name for row in each if row.held} != held[0] for each in alone)
    assert lucky  # else nothing is shown here


def test_a_slow_wrong_answer_gets_its_time_twice_and_not_for_every_bank():
    calls = []
    with Desk(ASKED, seed=8, examples=6, feedback=False) as desk:
        exam, limits = desk.exams["flow.normal_flow"], ASKED.questions[0].limits
        with desk.sandbox.worker(limits) as worker:
            worker.open(WRONG.encode(), ".py")
            candidate, ask = worker.load("normal_flow"), worker._ask

            def slow(*args, **kwargs):
                calls.append(candidate.seconds)
                candidate.seconds += 100  # by the clock of this test
                return ask(*args, **kwargs)

            worker._ask, worker.limits = slow, dataclasses.replace(limits, total=1e9)
            exam._on(2, candidate)
            enough = dataclasses.replace(limits, total=150.0 * len(calls))  # for one bank and a half
            worker.limits, exam.question = enough, dataclasses.replace(exam.question, limits=enough)
            calls.clear()
            candidate.seconds = 0.0
            verdict = exam.verdict(candidate, 2)
    assert verdict.status == "wrong" and verdict.rows
    assert sum(now < before for before, now in itertools.pairwise(calls)) == 1
    assert 2 < 100 * len(calls) / enough.total * 1.5 < 3


def test_an_answer_that_ends_its_process_on_another_bank_is_told_so_on_each():
    asked = Assignment.from_dict({"question": [{"operation": "flow.normal_flow"}]})
    with Desk(asked, seed=8, examples=3) as desk:
        exam = desk.exams["flow.normal_flow"]

    def fatal(Ix, Iy, It):
        if any(np.array_equal(Ix, case.inputs["Ix"]) for case in one):
            raise Stopped("crashed", "the process ended")
        return np.zeros((*Ix.shape, 2))

    every = [[case for cases in exam.bank(n).families.values() for case in cases] for n in range(desk.banks)]
    one = [next(c for c in every[2] if c.inputs["Ix"].size > 3)]
    assert {exam.verdict(fatal, number).status for number in range(desk.banks)} == {"crashed"}


def test_what_is_drawn_does_not_hang_on_what_else_a_process_has_loaded(tmp_path, monkeypatch):
    import hypothesis.strategies as st

    from vidlearn.judge.drawing import draw

    strategy = st.integers(0, 10**9)
    first = draw(strategy, 60, seed=1)
    (tmp_path / "loaded_here.py").write_text(f"NUMBERS = {[*range(10**6, 10**6 + 300)]}")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("loaded_here")
    assert draw(strategy, 60, seed=1) == first


def test_marks_do_not_depend_on_how_many_processes_grade(tmp_path):
    folder = handed_in(
        tmp_path / "in", **{f"s{i:02}": f"{source}{i}\n" for i, source in enumerate([RIGHT, WRONG, PARTLY] * 3)}
    )
    one, _ = run(folder, seed=5)
    assert one == run(folder, seed=5, jobs=2)[0]


# ---------------------------------------------------------------------------------------------------- the same file twice


def test_copies_are_graded_once_and_get_the_same_result_under_their_own_names(tmp_path, graded):
    folder = handed_in(tmp_path / "in", ada=WRONG, ben=RIGHT, cleo=WRONG, dora=WRONG + "#", emil=WRONG)
    (folder / "fay.ipynb").write_bytes(cells_of(WRONG))
    results, said = run(folder, tmp_path / "out", seed=5, feedback=False)
    assert sorted(graded) == ["ada", "ben", "dora", "fay"]
    assert [r["student"] for r in results] == ["ada", "ben", "cleo", "dora", "emil", "fay"]
    first = results[0]
    for i, name in ((2, "cleo"), (4, "emil")):
        assert results[i] == {**first, "student": name, "submission": f"{name}.py"}
        assert json.loads((tmp_path / "out" / "reports" / f"{name}.json").read_text()) == results[i]
    assert sum(": wrong" in line or ": partly" in line for line in said) == 5
    graded.clear()
    again, _ = run(folder, tmp_path / "out", feedback=False)
    assert again == results and graded == []  # each is kept under its own name
    (folder / "ada.py").write_text(RIGHT)
    assert run(folder, tmp_path / "out", feedback=False)[0][1:] == results[1:] and graded == ["ada"]


@pytest.mark.parametrize("how", ["here", "processes", "executor"])
def test_a_copy_gets_what_it_would_get_alone(tmp_path, how):
    sources = {"ada": WRONG, "ben": PARTLY, "cleo": "def normal_flow(:", "dora": "import os; os._exit(3)"}
    folder, alone = (
        handed_in(tmp_path / name, **{f"{who}{i}": source for who, source in sources.items() for i in range(first, 2)})
        for name, first in (("in", 0), ("alone", 1))
    )
    if how == "executor":
        with ThreadPoolExecutor(2) as threads:
            results, _ = run(folder, executor=threads, **EXECUTOR)
    else:
        results, _ = run(folder, jobs=1 + (how == "processes"), **EXECUTOR)
    assert len(results) == 8 and results[1::2] == run(alone, **EXECUTOR)[0]


def test_what_has_no_mark_is_not_handed_on(tmp_path, graded, monkeypatch):
    folder = handed_in(tmp_path / "in", ada=RIGHT, ben=RIGHT, cleo=RIGHT)
    real = Desk._grade

    def failing(self, paper):
        if paper.student == "ada":
            raise SandboxError("no processes left")
        return real(self, paper)

    monkeypatch.setattr(Desk, "_grade", failing)
    results, _ = run(folder, seed=5)
    assert [r["score"] for r in results] == [None, 10, 10] and graded == ["ada", "ben", "cleo"]


def test_papers_that_could_not_be_read_are_no_copies_of_one_another():
    todo = [(i, Paper(f"s{i}", f"s{i}", problem="two files")) for i in range(2)]
    assert [len(group) for group in running.copies(todo)] == [1, 1]


# --------------------------------------------------------------------------------------------- only what changed, again


def test_a_second_run_grades_only_what_is_new_or_changed(tmp_path, students, graded):
    out = tmp_path / "out"
    first, _ = run(students, out)
    assert graded == ["ada", "ben", "cleo"]
    graded.clear()
    again, said = run(students, out)
    assert again == first and graded == []
    assert said == [f"seed: that of the last run, from {out}/run.json", "3 of 3 are as they were and keep their marks"]
    handed_in(students, ben=RIGHT + "# mended", dora=WRONG)
    changed, said = run(students, out)
    assert graded == ["ben", "dora"] and "2 of 4 are as they were and keep their marks" in said
    assert [r["score"] for r in changed] == [10, 10, first[2]["score"], 0] and changed[0] == first[0]
    assert json.loads((out / "results.json").read_text()) == changed
    assert "correct" in (out / "reports" / "ben.html").read_text()
    assert len(list((out / "kept").iterdir())) == 4
    graded.clear()
    assert run(students)[0] != [] and len(graded) == 4  # with no folder there is nothing to keep


def test_a_kept_result_is_what_a_new_run_with_the_seed_would_give(tmp_path, students):
    out = tmp_path / "out"
    run(students, out, seed=77)
    handed_in(students, ben=PARTLY)
    continued, _ = run(students, out)
    assert continued == run(students, tmp_path / "other", seed=77)[0]


def test_again_grades_all_with_the_same_secret(tmp_path, students, graded):
    out = tmp_path / "out"
    first, _ = run(students, out)
    seed = facts(out)["seed"]
    again, said = run(students, out, again=True)
    assert again == first and len(graded) == 6 and "all are graded anew" in said and facts(out)["seed"] == seed


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 6}, "seed"),
        ({"examples": 4}, "examples"),
        ({"banks": 2}, "banks"),
        ({"feedback": False}, "feedback"),
    ],
)
def test_where_the_seed_or_a_setting_changed_all_are_graded_anew_and_it_is_said(
    tmp_path, students, graded, change, named
):
    out = tmp_path / "out"
    run(students, out, seed=5)
    _, said = run(students, out, **change)
    assert len(graded) == 6
    assert f"all are graded anew: since the last run here this changed: {named}" in said
    assert len(list((out / "kept").iterdir())) == 3


def test_marks_stay_where_less_isolation_is_required_and_are_made_again_where_they_had_too_little(
    tmp_path, students, graded
):
    out = tmp_path / "out"
    first, _ = run(students, out, require_isolation="B")
    for less in (None, False, "C"):
        assert run(students, out, require_isolation=less)[0] == first and len(graded) == 3
    for one in (out / "kept").iterdir():
        weak = {**json.loads(one.read_text()), "isolation": Isolation({"seccomp": "not here"}).to_dict()}
        one.write_text(json.dumps(weak))
    run(students, out, require_isolation=False)
    assert len(graded) == 3
    assert run(students, out, require_isolation="B")[0] == first and len(graded) == 6


def test_one_file_more_does_not_end_the_marks_of_a_class(tmp_path, students, graded):
    out, late = tmp_path / "out", tmp_path / "late.py"
    run(students, out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    late.write_text(RIGHT)
    with pytest.raises(
        GradeError,
        match=r"^3 students of the last run in .*out are not among these .*: ada, ben, cleo; give another --out, --add to keep",
    ):
        run(late, out)
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} and len(graded) == 3
    handed_in(students, dora=RIGHT)
    assert len(run(students, out)[0]) == 4 and len(graded) == 4


def everything(out):
    """All that a run leaves, less what tells how long it took."""
    files = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    return {**files, "run.json": {**facts(out), "seconds": 0}}


def test_a_late_file_is_added_to_a_class_and_the_folder_is_that_of_the_whole_class(tmp_path, students, graded):
    out, late = tmp_path / "out", tmp_path / "bob.py"
    run(students, out)
    secret = facts(out)["seed"]
    late.write_text(PARTLY + "# late")
    results, said = run(late, out, add=True)
    assert graded == ["ada", "ben", "cleo", "bob"] and "marks kept from the last run: 3" in said
    assert [r["student"] for r in results] == ["ada", "ben", "bob", "cleo"] and facts(out)["seed"] == secret
    added = everything(out)
    (students / late.name).write_bytes(late.read_bytes())
    again, _ = run(students, out)  # a plain run over the whole folder keeps them all
    assert again == results and len(graded) == 4 and everything(out) == added
    run(students, tmp_path / "whole", seed=secret)
    assert everything(tmp_path / "whole") == added


def test_who_is_added_again_gets_the_mark_of_the_newer_hand_in(tmp_path, students, graded):
    out, late = tmp_path / "out", tmp_path / "ben.py"
    first, _ = run(students, out)
    late.write_text(RIGHT + "# at last")
    results, said = run(late, out, add=True)
    assert [r["score"] for r in results] == [10, 10, first[2]["score"]] and results[::2] == first[::2]
    assert "ben: the newer hand-in takes the place of the one before" in said and len(graded) == 4
    assert "correct" in (out / "reports" / "ben.html").read_text()
    (students / late.name).write_bytes(late.read_bytes())
    assert run(students, out)[0] == results and len(graded) == 4
    assert len(list((out / "kept").iterdir())) == 3  # the old mark is gone by now
    again, said = run(late, out, add=True)
    assert again == results and "1 of 1 are as they were and keep their marks" in said and len(graded) == 4


def moodle(folder, **sources):
    """Moodle's download: a folder a student, by name and number."""
    for who, source in sources.items():
        name, number = re.fullmatch(r"(\D+)(\d+)", who).groups()
        own = folder / f"{name.replace('_', ' ')}_{number}_assignsubmission_file"
        own.mkdir(parents=True)
        (own / "01_test.py").write_text(source)
    return folder


def people(results):
    return [(r["student"], r["student_id"], r["score"]) for r in results]


def test_a_namesake_of_another_id_is_added_beside_the_one_who_is_there(tmp_path, graded):
    out = tmp_path / "out"
    run(moodle(tmp_path / "in", Jane_Doe31=RIGHT, Max33=RIGHT), out, seed=5)
    results, said = run(moodle(tmp_path / "late", Jane_Doe32=WRONG), out, add=True)
    assert people(results)[0] == ("Jane Doe (31)", "31", 10) and people(results)[2] == ("Max", "33", 10)
    assert people(results)[1][:2] == ("Jane Doe (32)", "32") and people(results)[1][2] < 10
    assert "Jane Doe is now Jane Doe (31): another student has the same name" in said
    assert not [line for line in said if "takes the place" in line]
    pages = {"Jane_Doe_31", "Jane_Doe_32", "Max"}
    assert {path.stem.strip("_") for path in (out / "reports").iterdir()} == pages
    assert "Jane Doe (31)" in next((out / "reports").glob("Jane_Doe_31*.html")).read_text()
    moodle(tmp_path / "in", Jane_Doe32=WRONG)
    again, _ = run(tmp_path / "in", out)
    assert again == results  # the same as of one download


def test_of_two_namesakes_the_one_of_the_same_id_is_replaced(tmp_path):
    out = tmp_path / "out"
    run(moodle(tmp_path / "in", Jane_Doe31=RIGHT, Jane_Doe32=WRONG), out, seed=5)
    for _ in range(2):
        results, said = run(moodle(tmp_path / f"late{_}", Jane_Doe32=RIGHT + "# at last"), out, add=True)
        assert people(results) == [("Jane Doe (31)", "31", 10), ("Jane Doe (32)", "32", 10)]
        assert ("Jane Doe (32): the newer hand-in takes the place of the one before" in said) == (_ == 0)
    both = moodle(tmp_path / "both", Jane_Doe31=WRONG, Jane_Doe32=WRONG)
    assert [r["score"] < 10 for r in run(both, out, add=True)[0]] == [True, True]


def test_who_has_changed_the_name_is_known_by_the_id_and_who_has_none_by_the_name(tmp_path):
    out = tmp_path / "out"
    run(moodle(tmp_path / "in", Jane_Doe31=WRONG, Max33=WRONG), out, seed=5)
    results, _ = run(moodle(tmp_path / "late", Jane_Roe31=RIGHT), out, add=True)
    assert [r["student"] for r in results] == ["Jane Roe", "Max"] and results[0]["score"] == 10
    (tmp_path / "Max.py").write_text(RIGHT + "# at last")
    results, _ = run(tmp_path / "Max.py", out, add=True)
    assert [(r["student"], r["score"]) for r in results] == [("Jane Roe", 10), ("Max", 10)]


def test_added_is_only_to_a_class_of_the_same_seed_settings_and_assignment(tmp_path, students, graded):
    out, late = tmp_path / "out", handed_in(tmp_path / "late", dora=RIGHT)
    with pytest.raises(GradeError, match="out holds no marks to add to: leave --add out"):
        run(late, out, add=True)
    run(students, out, seed=5)
    before = everything(out)
    for change, named in (({"seed": 6}, "seed"), ({"examples": 4}, "examples"), ({"banks": 1}, "banks")):
        with pytest.raises(GradeError, match=rf"this changed: {named}. Marks would not be comparable: grade the whole"):
            run(late, out, add=True, **change)
    dearer = Assignment.from_dict({**TOML, "question": [{"operation": "flow.normal_flow", "points": 20}]})
    with pytest.raises(GradeError, match="this changed: assignment"):
        grade(late, dearer, out, examples=3, add=True)
    other = Assignment.from_dict({**TOML, "assignment": {"id": "other"}})
    with pytest.raises(GradeError, match="holds the marks of another assignment, 01_test"):
        grade(late, other, out, examples=3, add=True)
    for more in ({"again": True}, {"out": None}):
        with pytest.raises(ValueError, match=r"^add: "):
            grade(late, ASKED, **{"out": out, "add": True, **more})
    assert everything(out) == before and len(graded) == 3


def test_one_file_that_is_added_must_be_kept_apart_as_its_class_was(tmp_path, students, monkeypatch):
    out, late = tmp_path / "out", handed_in(tmp_path / "late", dora=RIGHT)
    run(students, out, seed=5)
    before = everything(out)
    limits_only(monkeypatch)
    with pytest.raises(GradeError, match="does not keep 4 submissions apart"):
        run(late, out, add=True)
    assert everything(out) == before


def test_marks_that_stay_were_made_with_as_much_isolation_as_is_required_now(tmp_path, students):
    out, late = tmp_path / "out", handed_in(tmp_path / "late", dora=RIGHT)
    run(students, out, seed=5)
    weak = json.loads((out / "results.json").read_text())
    for result in weak[:2]:
        result["isolation"] = Isolation({"seccomp": "not here"}).to_dict()
    (out / "results.json").write_text(json.dumps(weak))
    before = everything(out)
    with pytest.raises(GradeError, match=r"the marks of ada, ben in .* with less isolation than level B, which is req"):
        run(late, out, add=True)
    assert everything(out) == before
    assert len(run(late, out, add=True, require_isolation=False)[0]) == 4


@pytest.mark.parametrize("damage", ["{", "[3]", '[{"student": "ada"}]', "[" * 100_000, '[{"questions": 1}]'])
def test_marks_that_cannot_be_read_are_not_added_to(tmp_path, students, damage):
    out, late = tmp_path / "out", handed_in(tmp_path / "late", dora=RIGHT)
    run(students, out, seed=5)
    (out / "results.json").write_text(damage)
    with pytest.raises(GradeError, match=r"results.json cannot be read: grade the whole class again, without --add"):
        run(late, out, add=True)
    assert (out / "results.json").read_text() == damage


class Killed(BaseException):
    """The run ends here, as by kill -9: nothing more is written."""


@pytest.mark.parametrize("write", [0, 1, 2, 5, 12, 15, 16, 18])
def test_a_run_that_adds_and_is_killed_at_any_moment_loses_nothing(tmp_path, students, graded, monkeypatch, write):
    out, late = tmp_path / "out", handed_in(tmp_path / "late", bob=PARTLY + "# late")
    run(students, out, seed=5)
    first, writes, real = json.loads((out / "results.json").read_text()), [], running.report.write_text

    def dying(path, text):
        if len(writes) == write:
            raise Killed
        writes.append(path)
        real(path, text)

    monkeypatch.setattr(running.report, "write_text", dying)
    with contextlib.suppress(Killed):
        run(late, out, add=True)
    monkeypatch.undo()
    now = {result["student"]: result for result in json.loads((out / "results.json").read_text())}
    assert [now[result["student"]] for result in first] == first
    results, _ = run(late, out, add=True)
    assert [r["student"] for r in results] == ["ada", "ben", "bob", "cleo"] and None not in [
        r["score"] for r in results
    ]
    (students / "bob.py").write_bytes((late / "bob.py").read_bytes())
    run(students, tmp_path / "whole", seed=5)
    assert everything(tmp_path / "whole") == everything(out)


@pytest.mark.parametrize("write", [1, 2, 3, 11, 13, 15])
def test_who_was_being_added_when_a_run_was_killed_is_not_forgotten_by_the_next(tmp_path, students, monkeypatch, write):
    out, late = tmp_path / "out", handed_in(tmp_path / "late", bob=PARTLY + "# late")
    run(students, out, seed=5)
    writes, real = [], running.report.write_text

    def dying(path, text):
        if len(writes) == write:
            raise Killed
        writes.append(path)
        real(path, text)

    monkeypatch.setattr(running.report, "write_text", dying)
    try:
        run(late, out, add=True)
    except Killed:
        done = False
    else:
        done = True
    monkeypatch.undo()
    known = "bob" in (out / "run.json").read_text() + (out / "results.json").read_text()
    try:
        results, _ = run(handed_in(tmp_path / "later", dora=RIGHT + "# later"), out, add=True)
    except GradeError as error:
        assert "did not come to bob: let it come to its end first" in str(error) and not done
    else:
        scores = {r["student"]: r["score"] for r in results}
        assert None not in scores.values() and ("bob" in scores) == known


def test_what_a_run_did_not_come_to_is_graded_before_others_are_added(tmp_path, students):
    out, late = tmp_path / "out", handed_in(tmp_path / "late", dora=RIGHT)

    def stop(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grade(students, ASKED, out, examples=3, progress=stop)
    with pytest.raises(GradeError, match=r"did not come to .*cleo: let it come to its end first, then add others"):
        run(late, out, add=True)
    run(students, out)
    assert len(run(late, out, add=True)[0]) == 4


def test_the_marks_of_one_student_stay_when_a_class_comes(tmp_path, graded):
    folder = handed_in(tmp_path / "in", ada=RIGHT)
    run(folder, tmp_path / "out")
    run(handed_in(folder, ben=RIGHT), tmp_path / "out")
    assert graded == ["ada", "ben"]


def test_a_changed_assignment_is_graded_anew_with_the_same_secret_and_another_one_is_refused(tmp_path, students):
    out, said = tmp_path / "out", []
    run(students, out)
    seed = facts(out)["seed"]
    dearer = Assignment.from_dict({**TOML, "question": [{"operation": "flow.normal_flow", "points": 20}]})
    results = grade(students, dearer, out, examples=3, progress=said.append)
    assert [r["max_score"] for r in results] == [20] * 3 and facts(out)["seed"] == seed
    assert "all are graded anew: since the last run here this changed: assignment" in said
    other = Assignment.from_dict({**TOML, "assignment": {"id": "other"}})
    with pytest.raises(GradeError, match="out holds the marks of another assignment, 01_test: give another --out"):
        grade(students, other, out, examples=3)
    assert (facts(out)["seed"], facts(out)["assignment"]) == (seed, "01_test")
    grade(students, other, out, examples=3, again=True)
    assert facts(out)["seed"] != seed and facts(out)["assignment"] == "other"


def test_another_version_of_vidlearn_keeps_nothing(tmp_path, students, graded, monkeypatch):
    out = tmp_path / "out"
    run(students, out)
    real = running.Plan
    monkeypatch.setattr(running, "Plan", lambda *a: real(*a, version="0.0.1"))
    _, said = run(students, out)
    assert len(graded) == 6 and any(line.endswith("changed: vidlearn") for line in said)


def test_another_version_of_what_draws_the_inputs_keeps_nothing_and_grades_nothing(
    tmp_path, students, graded, monkeypatch
):
    out, late = tmp_path / "out", handed_in(tmp_path / "late", dora=RIGHT)
    run(students, out, seed=5)
    plan, paper = running.Plan(ASKED, 5, 3), Paper("ada", "ada.py", RIGHT.encode(), ".py")
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.1" if name == "hypothesis" else real(name))
    other = running.grade_there(plan, paper)
    assert other["status"] == "not run" and other["score"] is None
    assert "hypothesis is 0.1 where this was to be graded, and " in other["questions"][0]["findings"][0]["text"]
    with pytest.raises(GradeError, match=r"this changed: hypothesis. Marks would not be comparable"):
        run(late, out, add=True)
    _, said = run(students, out)
    assert "all are graded anew: since the last run here this changed: hypothesis" in said and len(graded) == 6


def test_a_student_who_is_gone_leaves_neither_result_nor_page(tmp_path, students):
    out = tmp_path / "out"
    run(students, out)
    (out / "reports" / "my notes.txt").write_text("the teacher's own")
    (students / "ben.py").unlink()
    with pytest.raises(
        GradeError, match=r"^1 student of the last run in .* is not among these submissions: ben; .*--again"
    ):
        run(students, out)
    results, said = run(students, out, again=True)
    assert [r["student"] for r in results] == ["ada", "cleo"]
    assert "left out, because they are not among these: ben" in said
    assert {p.name for p in (out / "reports").iterdir()} == {
        "my notes.txt", *(f"{name}{suffix}" for name in ("ada", "cleo") for suffix in (".html", ".json", ".md"))
    }  # fmt: skip
    assert len(list((out / "kept").iterdir())) == 2


def test_pages_named_in_a_forged_record_are_not_taken_away(tmp_path, students):
    out = tmp_path / "out"
    run(students, out)
    (tmp_path / "mine.html").write_text("")
    record = facts(out)
    (out / "run.json").write_text(json.dumps({**record, "pages": ["../../mine", "..", 7, None, "ada\n"]}))
    run(students, out)
    assert (tmp_path / "mine.html").exists()


def test_what_was_not_run_is_tried_again(tmp_path, students, monkeypatch):
    out, real, broken = tmp_path / "out", Sandbox.worker, [True]

    def failing(self, limits=None):
        if limits is not None and broken:
            raise SandboxError("no processes left")
        return real(self, limits)

    monkeypatch.setattr(Sandbox, "worker", failing)
    first, _ = run(students, out, seed=5)
    assert {r["status"] for r in first} == {"not run"} and not (out / "kept").exists()
    broken.clear()
    second, _ = run(students, out)
    assert [r["status"] for r in second] == ["correct", "wrong", "partly"]


def test_notes_are_those_of_today(tmp_path, students, graded, monkeypatch):
    out = tmp_path / "out"
    run(students, out)
    real = grading.papers

    def late(*args):
        found, others = real(*args)
        return [Paper(p.student, p.submission, p.source, p.suffix, notes=("handed in late",)) for p in found], others

    monkeypatch.setattr(grading, "papers", late)
    results, _ = run(students, out)
    assert [r["notes"] for r in results] == [["handed in late"]] * 3 and len(graded) == 3
    assert "handed in late" in (out / "reports" / "ada.html").read_text()


@pytest.mark.parametrize("damage", ["{", '{"score": 10, "questions": [3]}', "[" * 100_000])
def test_a_damaged_file_is_graded_again_and_never_believed(tmp_path, students, graded, damage):
    out = tmp_path / "out"
    first, _ = run(students, out)
    for one in (out / "kept").iterdir():
        one.write_text(damage)
    assert run(students, out)[0] == first and len(graded) == 6
    (out / "run.json").write_text(damage)
    assert [r["score"] for r in run(students, out)[0]] == [r["score"] for r in first]


@pytest.mark.parametrize(
    "change",
    [
        {"score": None},
        {"questions": []},
        {"questions": [{"operation": "flow.warp", "score": 10.0, "max_score": 10}]},
        {"student": "ben"},
    ],
    ids=["no score", "no question", "another question", "another student"],
)
def test_a_kept_mark_that_is_not_whole_or_not_of_this_student_is_made_again(tmp_path, students, graded, change):
    out = tmp_path / "out"
    first, _ = run(students, out)
    for one in (out / "kept").iterdir():
        kept = json.loads(one.read_text())
        if kept["student"] == "ada":
            one.write_text(json.dumps({**kept, **change}))
    graded.clear()
    assert run(students, out)[0] == first and graded == ["ada"]


def test_half_written_files_of_a_killed_run_are_taken_away(tmp_path, students):
    out = tmp_path / "out"
    run(students, out)
    halves = [out / ".results.json.17.part", out / "reports" / ".ada.html.17.part", out / "kept" / ".ab.json.17.part"]
    for half in halves:
        half.write_text("{")
    run(students, out)
    assert not list(out.rglob("*.part"))


def test_two_graders_do_not_write_one_folder(tmp_path, students):
    out = tmp_path / "out"
    said = []

    def meanwhile(line):
        if "ada" in line:
            with pytest.raises(GradeError, match=r"another grader is at work in .*out"):
                grade(students, ASKED, out, examples=3)
            said.append(line)

    grade(students, ASKED, out, examples=3, progress=meanwhile)
    assert said
    assert len(run(students, out)[0]) == 3  # and the folder is free again


def test_the_seed_is_read_when_nobody_else_can_write_it(tmp_path, students):
    out = tmp_path / "out"
    with running.Keeper(out) as keeper:
        assert keeper.seed(ASKED) is None
        with pytest.raises(GradeError, match="another grader"):
            run(students, out)
    late = running.Keeper(out)  # made before a whole run of another one, and at work after it
    run(students, out, seed=5)
    with late as keeper:
        assert keeper.seed(ASKED) == 5


def test_the_secret_is_in_no_file_but_the_teachers(tmp_path, students):
    out, seed = tmp_path / "out", 87_654_321_987
    run(students, out, seed=seed)
    plan = running.Plan(ASKED, seed, 3, True, 4, "B")
    secrets = [str(seed), f"{seed:x}", plan.key, *(p.stem for p in (out / "kept").iterdir())]
    for path in [out / "results.json", out / "class.html", *(out / "reports").iterdir()]:
        assert not [one for one in secrets if one in path.read_text()], path
    assert str(seed) not in repr(plan) and seed == facts(out)["seed"]


# ------------------------------------------------------------------------------------------------------------- executors


def test_any_executor_gives_the_same_marks(tmp_path, students):
    here, _ = run(students, **EXECUTOR)
    with ThreadPoolExecutor(2) as threads:
        assert run(students, executor=threads, **EXECUTOR)[0] == here
    assert not running._desks  # nothing is left open behind a class
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as processes:
        assert run(students, tmp_path / "out", executor=processes, **EXECUTOR)[0] == here
    assert facts(tmp_path / "out")["isolation"] == here[0]["isolation"]


def test_a_desk_is_opened_once_for_a_plan_and_closed_for_the_next(students, monkeypatch):
    opened, closed, real_open, real_close = [], [], Sandbox.__init__, Sandbox.close

    def opening(self, *args):
        opened.append(self)
        real_open(self, *args)

    def closing(self):
        closed.append(self)
        real_close(self)

    monkeypatch.setattr(Sandbox, "__init__", opening)
    monkeypatch.setattr(Sandbox, "close", closing)
    paper = Paper("ada", "ada.py", RIGHT.encode(), ".py")
    first, second = (running.Plan(ASKED, seed, 2, False) for seed in (1, 2))
    for plan in (first, first, second):
        assert running.grade_there(plan, paper)["score"] == 10
    assert len(opened) == 2 and closed == opened[:1]
    running.close_desks()
    assert closed == opened and all(sandbox._process.poll() is not None for sandbox in opened)


def test_a_grader_elsewhere_cannot_be_read_by_its_neighbours(students):
    if not Path("/proc/self/status").exists():
        pytest.skip("not run, because this system has no such flag")
    from vidlearn.sandbox import confine

    asked = running.Plan(ASKED, 1, 2, False)
    running.grade_there(asked, Paper("ada", "ada.py", RIGHT.encode(), ".py"))
    assert confine._prctl(3) == 0  # PR_GET_DUMPABLE
    running.close_desks()
    assert confine._prctl(3) == 1


def test_where_a_process_isolates_less_than_is_required_a_submission_is_not_run_with_the_reason(students, monkeypatch):
    limits_only(monkeypatch)
    with ThreadPoolExecutor(1) as threads:
        results, _ = run(students, executor=threads, seed=5)
        for result in results:
            assert result["status"] == "not run" and result["score"] is None
            assert "isolation level B is required" in result["questions"][0]["findings"][0]["text"]
            assert "seccomp" in result["questions"][0]["findings"][0]["text"]
        assert run(students, executor=threads, **EXECUTOR)[0][0]["isolation"]["level"] == "C"


def limits_only(monkeypatch):
    monkeypatch.setattr("vidlearn.grade.grading.Sandbox", lambda packages, layers: Sandbox(packages, ("limits",)))


def test_what_is_required_is_asked_of_each_worker_and_not_only_of_the_one_that_was_looked_at(students, monkeypatch):
    limits_only(monkeypatch)
    monkeypatch.setattr(Desk, "isolation", {"level": "A", "enforced": [], "missing": {}})
    for result in run(students, seed=5)[0]:
        assert result["score"] is None
        assert "isolation level B is required" in result["questions"][0]["findings"][0]["text"]


def test_a_sandbox_that_is_started_again_requires_what_the_last_one_did(monkeypatch):
    limits_only(monkeypatch)
    with Desk(ASKED, seed=5, examples=2, feedback=False) as desk:
        paper = Paper("ada", "ada.py", RIGHT.encode(), ".py")
        assert desk.grade(paper)["status"] == "correct"
        desk.sandbox.require = "B"
        desk.sandbox._process.kill()
        desk.sandbox._process.wait()
        result = desk.grade(paper)
    assert result["score"] is None
    assert "isolation level B is required" in result["questions"][0]["findings"][0]["text"]


def test_another_version_elsewhere_does_not_grade():
    plan = running.Plan(ASKED, 1, 2, False, version="0.0.1")
    result = running.grade_there(plan, Paper("ada", "ada.py", RIGHT.encode(), ".py"))
    assert result["status"] == "not run" and "and 0.0.1 where" in result["questions"][0]["findings"][0]["text"]


def test_who_grades_nothing_keeps_no_sandbox_and_where_all_is_done_none_is_started(tmp_path, students, monkeypatch):
    opened, real_open, real_pool = [], Sandbox.__init__, running.in_processes

    def opening(self, *args):
        opened.append(self)
        real_open(self, *args)

    def pool(*args):
        assert [sandbox.ended for sandbox in opened] == [True]
        return real_pool(*args)

    monkeypatch.setattr(Sandbox, "__init__", opening)
    monkeypatch.setattr(running, "in_processes", pool)
    first, _ = run(students, tmp_path / "out", jobs=2)
    left = everything(tmp_path / "out")
    assert run(students, tmp_path / "out")[0] == first and everything(tmp_path / "out") == left
    assert len(opened) == 1


def test_a_task_that_is_lost_elsewhere_is_not_a_zero(tmp_path, students, graded):
    class Losing(concurrent.futures.Executor):
        def submit(self, function, plan, paper):
            future = concurrent.futures.Future()
            if paper.student == "ben":
                future.set_exception(RuntimeError("worker-3 is gone\nwith a long story"))
            else:
                future.set_result(function(plan, paper))
            return future

    out = tmp_path / "out"
    results, _ = run(students, out, executor=Losing(), **EXECUTOR)
    assert [r["status"] for r in results] == ["correct", "not run", "partly"]
    text = results[1]["questions"][0]["findings"][0]["text"]
    assert text == "grader error: RuntimeError: worker-3 is gone"
    graded.clear()
    assert run(students, out, **EXECUTOR)[0][1]["status"] == "wrong" and graded == ["ben"]


def test_an_executor_decides_how_many_there_are(students):
    with ThreadPoolExecutor(1) as threads, pytest.raises(ValueError, match="leave jobs=2 out"):
        grade(students, ASKED, executor=threads, jobs=2)


def test_a_grader_process_that_ends_costs_nobody_a_mark(tmp_path):
    folder = handed_in(tmp_path / "in", **{f"s{i:02}": f"{RIGHT}{i}\n" for i in range(8)})
    killed = []

    def kill_one(line):
        if ": correct" in line and not killed:
            killed.append(multiprocessing.active_children()[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    results = grade(folder, ASKED, tmp_path / "out", examples=3, seed=5, jobs=2, progress=kill_one)
    assert killed and [r["status"] for r in results] == ["correct"] * 8


def test_a_sandbox_whose_process_ends_costs_nobody_a_mark(tmp_path, monkeypatch):
    folder = handed_in(tmp_path / "in", **{f"s{i:02}": f"{RIGHT}{i}\n" for i in range(4)})
    sandboxes, real = [], Sandbox.worker

    def watched(self, limits=None):
        worker = real(self, limits)
        if limits is not None and self not in sandboxes:
            sandboxes.append(self)
            if len(sandboxes) == 1:  # in the middle of a submission
                self._process.kill()
                self._process.wait()
        return worker

    monkeypatch.setattr(Sandbox, "worker", watched)
    results, _ = run(folder, seed=5, require_isolation="C")
    assert [r["status"] for r in results] == ["correct"] * 4 and len(sandboxes) == 2
    assert sandboxes[1].require == "C"


@pytest.mark.parametrize("early", [True, False])
def test_a_submission_under_which_the_sandbox_ends_each_time_is_for_a_person(tmp_path, monkeypatch, early):
    folder, real = handed_in(tmp_path / "in", ada=RIGHT, ben=RIGHT + "# fatal", cleo=RIGHT), Desk._grade

    def fatal(self, paper):
        if b"fatal" in paper.source and early:
            self.sandbox._process.kill()
            self.sandbox._process.wait()
        result = real(self, paper)
        if b"fatal" in paper.source:
            self.sandbox._process.kill()
            self.sandbox._process.wait()
        return result

    monkeypatch.setattr(Desk, "_grade", fatal)
    results, _ = run(folder, seed=5)
    assert [r["status"] for r in results] == ["correct", "not run", "correct"]
    assert "the warm process is gone" in results[1]["questions"][0]["findings"][0]["text"]


@pytest.fixture(scope="module")
def dask():
    distributed = pytest.importorskip("distributed", reason="not run, because dask.distributed is not installed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=0
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_two_processes_of_a_dask_cluster_grade_as_this_one_does(tmp_path, students, dask):
    for i in range(6):
        handed_in(students, **{f"more{i}": f"{RIGHT}{i}\n"})
    here, _ = run(students, seed=5)
    results, _ = run(students, tmp_path / "out", seed=5, executor=dask.get_executor(pure=False))
    assert results == here
    desks = dask.run(lambda: len(__import__("vidlearn.grade.running").grade.running._desks))
    assert len(desks) == 2 and all(count == 1 for count in desks.values())  # both took part; each keeps its desk
    log = str(dask.get_worker_logs())
    assert "RIGHT" not in log and "normal_flow(Ix" not in log


def test_a_dask_worker_with_too_little_isolation_does_not_grade(students, dask):
    def weaken():
        from vidlearn.grade import grading
        from vidlearn.sandbox import Sandbox

        grading.Sandbox = lambda packages, layers: Sandbox(packages, ("limits",))

    def mend():
        from vidlearn.grade import grading
        from vidlearn.sandbox import Sandbox

        grading.Sandbox = Sandbox

    dask.run(weaken)
    try:
        results, _ = run(students, seed=6, executor=dask.get_executor(pure=False))
    finally:
        dask.run(mend)
    for result in results:
        assert result["status"] == "not run"
        assert "isolation level B is required" in result["questions"][0]["findings"][0]["text"]


def test_a_dask_worker_that_is_killed_costs_nobody_a_mark(tmp_path, dask):
    folder = handed_in(tmp_path / "in", **{f"s{i:02}": f"{RIGHT}{i}\n" for i in range(12)})
    killed = []

    def kill_one(line):
        if ": correct" in line and not killed:
            killed.extend(dask.run(os.getpid).values())
            os.kill(killed[0], signal.SIGKILL)

    results = grade(folder, ASKED, examples=3, seed=7, executor=dask.get_executor(pure=False), progress=kill_one)
    assert killed and [r["status"] for r in results] == ["correct"] * 12


def test_the_process_that_leads_needs_no_sandbox(students, monkeypatch):
    def none_here(*args, **more):
        raise AssertionError("this machine has no sandbox")

    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        monkeypatch.setattr(Sandbox, "__init__", none_here)
        assert [r["status"] for r in run(students, executor=processes, seed=5)[0]] == ["correct", "wrong", "partly"]


def test_the_command_grades_on_a_dask_cluster(tmp_path, students, dask, capsys):
    assert command(tmp_path, students, "--dask", dask.scheduler.address) == 0
    assert "ada: correct, 4/4" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------------- kill -9, resume

LEADER = """
import sys
from vidlearn.grade import Assignment, grade
if __name__ == "__main__":
    submissions, out, asked, feedback = sys.argv[1:]
    grade(
        submissions, asked, out, seed=31, examples=3, jobs=2, feedback=feedback == "feedback",
        progress=lambda line: print(line, flush=True),
    )
"""
CLASS = [
    RIGHT,
    WRONG,
    PARTLY,
    "def normal_flow(Ix, Iy, It:\n",
    "def normal_flow(Ix, Iy, It):\n    raise NotImplementedError\n",
    "import os\ndef normal_flow(Ix, Iy, It): os._exit(3)\n",
    RIGHT.replace("    squared", "    print(Ix.shape)\n    squared", 1),
]


def children(of):
    """Processes whose parent is this one."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = path.read_text().rpartition(")")
            if int(rest.split()[1]) == of and rest.split()[0] != "Z":
                found.append(int(name.split()[0]))
    return found


def descendants(of):
    direct = children(of)
    return [*direct, *(pid for one in direct for pid in descendants(one))]


def alive(pids):
    states = []
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                states.append(pid)
    return states


def check_what_lies_there(out):
    """At every moment each file is whole, and no student is there twice."""
    if (out / "results.json").exists():
        students = [result["student"] for result in json.loads((out / "results.json").read_text())]
        assert len(students) == len(set(students)) == 50
    for path in [*out.glob("kept/*.json"), *out.glob("reports/*.json"), *out.glob("run.json")]:
        json.loads(path.read_text())


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="not run, because processes are followed in /proc")
@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_a_run_of_fifty_that_is_killed_again_and_again_ends_with_the_same_marks(tmp_path, kills):
    folder = handed_in(tmp_path / "in", **{f"s{i:02}": f"{CLASS[i % len(CLASS)]}{i}\n" for i in range(50)})
    (tmp_path / "a.toml").write_text(
        '[assignment]\nid = "x"\ntime_limit = 1\n[[question]]\noperation = "flow.normal_flow"\npoints = 4\n'
    )
    (tmp_path / "lead.py").write_text(LEADER)
    whole, out = tmp_path / "whole", tmp_path / "out"

    def lead(where):
        feedback = "feedback" if kills > 3 else "marks only"
        return [sys.executable, str(tmp_path / "lead.py"), str(folder), str(where), str(tmp_path / "a.toml"), feedback]

    subprocess.run(lead(whole), check=True, capture_output=True)
    chance = random.Random(9)
    graded_lines: list[str] = []
    for turn in range(kills):
        before = len(list(out.glob("kept/*.json")))
        with (tmp_path / f"log{turn}").open("w+") as log:
            leader = subprocess.Popen(lead(out), stdout=log, stderr=subprocess.STDOUT)
            # at any moment: while it starts, between two marks, or in the middle of one
            more = chance.choice([0, 0, 1, 2, 3])
            until = time.monotonic() + chance.uniform(0.2, 2.5) + 60 * bool(more)
            while leader.poll() is None and time.monotonic() < until:
                if more and len(list(out.glob("kept/*.json"))) >= before + more:
                    time.sleep(chance.uniform(0, 0.05))
                    break
                time.sleep(0.002)
            family = descendants(leader.pid)
            leader.kill()
            leader.wait()
            log.seek(0)
            graded_lines += re.findall(r"^(s\d\d): ", log.read(), re.M)
        deadline = time.monotonic() + 10
        while alive(family) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not alive(family), "a grader that is killed leaves no one working"
        check_what_lies_there(out)
        assert len(list(out.glob("kept/*.json"))) >= before  # nothing is lost
    kept = len(list(out.glob("kept/*.json")))
    assert kept > 0
    last = subprocess.run(lead(out), check=True, capture_output=True, text=True).stdout
    assert f"{kept} of 50 are as they were" in last
    graded_lines += re.findall(r"^(s\d\d): ", last, re.M)
    # what was said to be graded was kept: at most the paper that was being written when the run was killed comes twice
    assert len(graded_lines) == len(set(graded_lines)) and len(graded_lines) <= 50
    assert (out / "results.json").read_bytes() == (whole / "results.json").read_bytes()
    assert (out / "class.html").read_bytes() == (whole / "class.html").read_bytes()
    for room in ("reports", "kept"):
        mine, theirs = ({p.name: p.read_bytes() for p in (where / room).iterdir()} for where in (out, whole))
        assert mine == theirs
    assert not list(out.rglob("*.part"))
    one, other = ({**facts(where), "seconds": 0} for where in (out, whole))
    assert one == other and one["finished"] is True


# ------------------------------------------------------------------------------------------------------- the command


def command(tmp_path, submissions, *options):
    (tmp_path / "a.toml").write_text(
        '[assignment]\nid = "x"\n[[question]]\noperation = "flow.normal_flow"\npoints = 4\n'
    )
    parser = argparse.ArgumentParser()
    grading.add_arguments(parser)
    given = [str(submissions), "--assignment", str(tmp_path / "a.toml"), "--out", str(tmp_path / "out"), *options]
    return grading.main(parser.parse_args(given))


def test_the_command_tells_what_it_kept_and_what_it_grades_again(tmp_path, students, capsys):
    assert command(tmp_path, students, "--seed", "3") == 0
    assert "ada: correct, 4/4" in capsys.readouterr().out
    assert command(tmp_path, students) == 0
    told = capsys.readouterr().out
    assert "seed: that of the last run" in told and "3 of 3 are as they were" in told and "ada" not in told
    assert command(tmp_path, students, "--again", "--quiet") == 0
    told = capsys.readouterr().out
    assert "all are graded anew" in told and "ada:" not in told and "3 submissions" in told


def test_the_command_adds_a_late_file_and_says_how_where_it_was_not_asked_to(tmp_path, students, capsys):
    late = tmp_path / "bob.py"
    late.write_text(RIGHT + "# late")
    assert command(tmp_path, students, "--quiet") == 0
    assert command(tmp_path, late) == 2 and "--add to keep their marks beside these" in capsys.readouterr().err
    assert command(tmp_path, late, "--add") == 0
    told = capsys.readouterr().out
    assert "marks kept from the last run: 3" in told and "bob: correct, 4/4" in told and "4 submissions" in told
    with pytest.raises(SystemExit):
        command(tmp_path, late, "--add", "--again")


def test_a_stopped_command_says_how_to_go_on(tmp_path, students, capsys, monkeypatch):
    real = Desk.grade

    def stopped(self, paper):
        if paper.student == "ben":
            raise KeyboardInterrupt
        return real(self, paper)

    monkeypatch.setattr(Desk, "grade", stopped)
    assert command(tmp_path, students) == 130
    assert "the same command goes on from here" in capsys.readouterr().err
    monkeypatch.undo()
    assert command(tmp_path, students) == 0
    assert "1 of 3 are as they were" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path, students, capsys):
    (tmp_path / "out").write_text("a file")
    assert command(tmp_path, students) == 2
    told = capsys.readouterr().err
    assert told.startswith("vidlearn grade: ") and "out" in told and told.count("\n") == 1


def test_a_cluster_that_is_not_there_is_one_sentence(tmp_path, students, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert command(tmp_path, students, "--dask", "tcp://127.0.0.1:9") == 2
    assert "pip install 'vidlearn[cluster]'" in capsys.readouterr().err


def test_a_terminal_gets_a_bar_with_the_time_left_and_names_that_do_nothing_there():
    console = pytest.importorskip("rich.console", reason="not run, because rich is not installed")
    screen = io.StringIO()
    with running.Bar(console.Console(file=screen, force_terminal=True, width=120, color_system=None)) as bar:
        bar.begin(3, 1)
        for student, score in (("[red]ada", 1.0), ("[b]ben\x1b[2J", None)):
            bar.graded(
                {"student": student, "status": "correct" if score else "not run", "score": score, "max_score": 1}
            )
            bar._bar.refresh()
    told = screen.getvalue()
    assert "2/3" in told and "3/3" in told and "left · [red]ada" in told and "\x1b[2J" not in told
    assert "[b]ben\ufffd[2J: not run, not graded" in told and "[red]ada: correct" not in told


def test_without_rich_or_a_terminal_there_are_lines(monkeypatch):
    assert type(grading._progress(False)) is running.Lines
    monkeypatch.setattr(sys, "stderr", type("Terminal", (io.StringIO,), {"isatty": lambda self: True})())
    assert type(grading._progress(True)) is running.Notes
    monkeypatch.setitem(sys.modules, "rich", None)
    assert type(grading._progress(False)) is running.Lines


def test_a_line_for_a_student_holds_no_command_for_a_terminal():
    said = []
    running.Lines(said.append).graded({"student": "a\x1b[2J\n", "status": "correct", "score": 1.0, "max_score": 1.0})
    assert said == ["a\ufffd[2J\ufffd: correct, 1/1"]
