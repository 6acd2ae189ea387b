"""The notebooks are what their sources give, they run, and an exercise is graded as nbgrader would grade it."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("jupytext", reason="not run, because jupytext is not installed: pip install 'vidlearn[notebooks]'")

from vidlearn.notebooks.build import exercise, generated, lecture, solution, stale

ROOT = Path(__file__).parents[1]
LECTURES = sorted((ROOT / "lectures").glob("[0-9]*.py"))
SOLUTIONS = sorted((ROOT / "solutions").glob("[0-9]*.py"))


def ids(paths):
    return [path.stem for path in paths]


def verdicts(notebook) -> dict:
    """Run the cells in order, as a student would, and return the verdict of each check by function name."""
    names, found = {"__name__": "__main__"}, {}
    for cell in notebook.cells:
        if cell.cell_type != "code" or "alt" in cell.metadata:  # the picture at the end needs all answers
            continue
        is_check = cell.metadata.get("nbgrader", {}).get("grade")
        if is_check:
            check = cell.source.splitlines()[-1]
            found[cell.metadata.vidlearn.operation] = eval(check, names)
        else:
            exec(cell.source, names)
    return found


def test_the_sources_are_there():
    assert len(LECTURES) == len(SOLUTIONS) >= 3
    assert ids(LECTURES) == ids(SOLUTIONS)


def test_generated_notebooks_are_up_to_date():
    assert stale(ROOT) == [], "run: python -m vidlearn.notebooks build"


def test_building_twice_gives_the_same_bytes():
    assert generated(ROOT) == generated(ROOT)


def test_generated_notebooks_are_valid_and_hold_no_output():
    for path, text in generated(ROOT).items():
        notebook = nbformat.reads(text, as_version=4)
        nbformat.validate(notebook)
        assert notebook.metadata.kernelspec.name == "python3"
        assert len({cell.id for cell in notebook.cells}) == len(notebook.cells), path
        assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code"), path


def test_inserting_a_cell_keeps_the_ids_of_the_others(tmp_path):
    text = LECTURES[0].read_text(encoding="utf-8")
    longer = tmp_path / "01_longer.py"
    longer.write_text(text.replace("# %%\n", "# %%\nextra = 1\n\n# %%\n", 1), encoding="utf-8")
    before, after = ([cell.id for cell in lecture(path).cells] for path in (LECTURES[0], longer))
    assert len(after) == len(before) + 1
    assert set(before) < set(after)


@pytest.mark.parametrize("source", SOLUTIONS, ids=ids(SOLUTIONS))
def test_no_answer_is_left_in_an_exercise(source):
    answers = [cell.source for cell in solution(source).cells if "### BEGIN SOLUTION" in cell.source]
    handed_out = "\n".join(cell.source for cell in exercise(source).cells)
    assert answers
    assert "SOLUTION" not in handed_out and "HIDDEN" not in handed_out
    assert handed_out.count("raise NotImplementedError()") == len(answers)
    for answer in answers:
        body = answer.split("### BEGIN SOLUTION")[1].split("### END SOLUTION")[0]
        last = body.strip().splitlines()[-1].strip()  # what the function returns
        assert not any(last == line.strip() for line in handed_out.splitlines()), last


@pytest.mark.parametrize("source", SOLUTIONS, ids=ids(SOLUTIONS))
def test_every_solution_is_judged_right(source):
    found = verdicts(solution(source))
    assert len(found) in (3, 4)
    for name, verdict in found.items():
        assert verdict.right, f"{name}\n{verdict}"


@pytest.mark.parametrize("source", SOLUTIONS, ids=ids(SOLUTIONS))
def test_every_untouched_exercise_is_not_attempted(source):
    found = verdicts(exercise(source))
    assert {name: verdict.status for name, verdict in found.items()} == dict.fromkeys(found, "not attempted")
    assert len(found) in (3, 4)


@pytest.mark.parametrize("source", SOLUTIONS, ids=ids(SOLUTIONS))
def test_each_question_names_an_operation_and_its_points(source):
    import vidlearn as vl

    for cell in exercise(source).cells:
        mark = cell.metadata.get("nbgrader")
        if mark and mark.solution:
            operation = vl.operation(cell.metadata.vidlearn.operation)
            written = ast.parse(cell.source).body[-1].args
            assert [a.arg for a in written.args] == list(inspect.signature(operation).parameters)
        if mark and mark.grade:
            assert mark.points > 0 and mark.locked and cell.metadata.editable is False


def test_exercises_are_what_nbgrader_itself_would_release(tmp_path):
    pytest.importorskip("nbgrader", reason="not run, because nbgrader is not installed: pip install nbgrader")
    from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions, ComputeChecksums, LockCells

    for source in SOLUTIONS:
        released, ours = solution(source), exercise(source)
        for step in (LockCells, ClearSolutions, ComputeChecksums, ClearHiddenTests, ComputeChecksums):
            released, _ = step().preprocess(released, {})
        for theirs, cell in zip(released.cells, ours.cells, strict=True):
            assert theirs.source.strip() == cell.source.strip()
            assert theirs.metadata.get("nbgrader", {}).get("checksum") == cell.metadata.get("nbgrader", {}).get(
                "checksum"
            )
            assert theirs.metadata.get("editable", True) == cell.metadata.get("editable", True)
            assert theirs.metadata.get("deletable", True) == cell.metadata.get("deletable", True)


def test_a_marker_without_a_partner_is_an_error(tmp_path):
    broken = tmp_path / "09_broken.py"
    broken.write_text("# %%\ndef f():\n    ### BEGIN SOLUTION\n    return 1\n", encoding="utf-8")
    with pytest.raises(ValueError, match="has no end"):
        exercise(broken)


@pytest.mark.parametrize("source", LECTURES, ids=ids(LECTURES))
def test_a_lecture_runs_as_a_script(source):
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, source], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_lecture_becomes_a_page_with_described_pictures(tmp_path):
    pytest.importorskip(
        "ipykernel", reason="not run, because ipykernel is not installed: pip install 'vidlearn[notebooks]'"
    )
    from vidlearn.notebooks.site import execute, render

    notebook = lecture(LECTURES[0])
    execute(notebook, ROOT)
    page = render(notebook, LECTURES[0].stem, tmp_path).read_text(encoding="utf-8")
    figures = sorted((tmp_path / f"{LECTURES[0].stem}_files").iterdir())
    drawn = [cell for cell in notebook.cells if cell.cell_type == "code" and "alt" in cell.metadata]
    assert len(figures) == len(drawn) > 3
    for cell in drawn:
        assert f"![{cell.metadata.alt}](" in page
    assert "vidlearn-verdict" in page  # the card of the wrong answer
    assert "Traceback" not in page and "<Axes" not in page


def test_the_command_says_what_is_out_of_date(tmp_path, capsys):
    from vidlearn.notebooks.__main__ import main

    for folder in ("lectures", "solutions"):
        (tmp_path / folder).mkdir()
    (tmp_path / "lectures" / "01_a.py").write_text("# %%\nx = 1\n", encoding="utf-8")
    assert main(["check", "--root", str(tmp_path)]) == 1
    assert "out of date: lectures/01_a.ipynb" in capsys.readouterr().out
    assert main(["build", "--root", str(tmp_path)]) == 0
    assert main(["check", "--root", str(tmp_path)]) == 0
