"""The exercises' assignment files: they ask for what the exercises ask for, and their solutions earn full marks."""

import re
from pathlib import Path

import pytest

from vidlearn.grade import SAMPLES, Assignment, grade
from vidlearn.grade.grading import Desk
from vidlearn.grade.intake import Paper

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "exercises").glob("*.toml"))


def solution_of(file):
    path = ROOT / "solutions" / f"{file.stem}.py"
    if not path.exists():
        pytest.skip(f"not run, because solutions/{path.name} is not written yet")
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def desks():
    opened = {}
    yield lambda file: opened.setdefault(file, Desk(Assignment.read(file), seed=1, examples=6, feedback=False))
    for desk in opened.values():
        desk.sandbox.close()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_assignment_asks_for_the_exercise_s_functions_and_points(file):
    text = solution_of(file)
    cells = [cell for cell in re.split(r"^# %%", text, flags=re.M) if "### BEGIN SOLUTION" in cell]
    asked = [re.findall(r"^def (\w+)\(", cell, re.M)[-1] for cell in cells]
    points = [float(p) for p in re.findall(r"^# %% .*\bpoints=([\d.]+)", text, re.M)]
    assignment = Assignment.read(file)
    assert assignment.id == file.stem
    assert [q.operation.short for q in assignment.questions] == asked
    assert [q.points for q in assignment.questions] == points


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_solution_earns_full_marks_and_the_empty_exercise_none(file, desks):
    solution, desk = solution_of(file), desks(file)
    result = desk.grade(Paper("solution", f"{file.stem}.py", solution.encode(), ".py"))
    assert result["score"] == result["max_score"], result["questions"]
    empty = re.sub(
        r"^( *)### BEGIN SOLUTION.*?### END SOLUTION", r"\1raise NotImplementedError", solution, flags=re.M | re.S
    )
    result = desk.grade(Paper("empty", f"{file.stem}.py", empty.encode(), ".py"))
    assert (result["status"], result["score"]) == ("not attempted", 0)


def test_the_samples_show_one_of_each(tmp_path):
    results = grade(SAMPLES / "submissions", SAMPLES / "assignment.toml", tmp_path, seed=1, examples=8)
    statuses = {result["student"]: [question["status"] for question in result["questions"]] for result in results}
    assert statuses == {
        "student-01": ["correct", "correct", "correct"],
        "student-02": ["correct", "correct", "wrong"],
        "student-03": ["not attempted"] * 3,
        "student-04": ["correct", "correct", "timed out"],
        "student-05": ["unreadable"] * 3,
        "student-06": ["partly", "partly", "partly"],
    }
    looks_like = [f["text"] for f in results[1]["questions"][2]["findings"] if f["kind"] == "looks like"]
    assert looks_like == ["sign of I_t"]
