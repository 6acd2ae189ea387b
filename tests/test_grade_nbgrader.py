"""Our notebooks are nbgrader's notebooks: by its rules written down again, and by the package itself."""

from __future__ import annotations

import copy
import csv
import importlib.util
import json
import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vidlearn
from vidlearn.cli import main
from vidlearn.grade import Assignment, grade, nbgrader
from vidlearn.sandbox import Sandbox, SandboxError

ROOT = Path(__file__).parents[1]
IDS = [path.stem for path in sorted((ROOT / "exercises").glob("[0-9]*.toml"))]
THEIRS = ROOT / ".peers-nbgrader" / "bin"
needs_nbgrader = pytest.mark.skipif(
    not (THEIRS / "nbgrader").exists(), reason="not run, because nbgrader is not installed: make nbgrader"
)

TOML = '[assignment]\nid = "hw"\n[[question]]\noperation = "flow.warp"\npoints = 2.5\n'


def read(path):
    notebook = json.loads(Path(path).read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
    return notebook


def assignment(name):
    return Assignment.read(ROOT / "exercises" / f"{name}.toml")


def notebook_of(*cells):
    made = [
        {"cell_type": "code", "metadata": {}, "source": text, "outputs": [], "execution_count": None} for text in cells
    ]
    return {"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}


def released(tmp_path, *cells, toml=TOML, notebook=None):
    """Source and release, as notebooks, of a one-question assignment."""
    (tmp_path / "hw.toml").write_text(toml, encoding="utf-8")
    (tmp_path / "nb.ipynb").write_text(json.dumps(notebook or notebook_of(*cells)), encoding="utf-8")
    return [read(path) for path in nbgrader.release(tmp_path / "hw.toml", tmp_path / "nb.ipynb", tmp_path / "course")]


def marked(notebook, **wanted):
    cells = [cell for cell in notebook["cells"] if "nbgrader" in cell["metadata"]]
    return [c for c in cells if all(c["metadata"]["nbgrader"][key] == value for key, value in wanted.items())]


# ------------------------------------------------------------------------------------------- what a release looks like


def test_the_eight_exercises_are_there():
    assert len(IDS) == 8


@pytest.mark.parametrize("kind", ["solutions", "exercises"])
@pytest.mark.parametrize("name", IDS)
def test_every_exercise_keeps_nbgrader_s_rules_and_has_the_questions_points(tmp_path, name, kind):
    asked = assignment(name)
    source, student = map(read, nbgrader.release(asked, ROOT / kind / f"{name}.ipynb", tmp_path))
    for notebook in (source, student):
        assert nbgrader.problems(notebook) == []
        tests = {c["metadata"]["vidlearn"]["operation"]: c for c in marked(notebook, grade=True, locked=True)}
        assert {short: c["metadata"]["nbgrader"]["points"] for short, c in tests.items()} == {
            question.operation.short: question.points for question in asked.questions
        }
        answers = [c["metadata"]["nbgrader"]["grade_id"] for c in marked(notebook, solution=True, grade=False)]
        assert sorted(answers) == sorted(question.operation.short for question in asked.questions)
    for cell in marked(student):
        mark = cell["metadata"]["nbgrader"]
        assert mark["checksum"] == nbgrader.checksum(cell) and mark["cell_type"] == cell["cell_type"]
        assert cell["metadata"]["deletable"] is False
        assert cell["metadata"].get("editable", True) is not mark["locked"]
    handed_out = json.dumps(student)
    assert "SOLUTION" not in handed_out and "HIDDEN" not in handed_out
    assert handed_out.count("raise NotImplementedError()") == len(asked.questions)


@pytest.mark.parametrize("name", IDS)
def test_with_and_without_the_solutions_students_get_the_same_notebook(tmp_path, name):
    made = [
        nbgrader.release(assignment(name), ROOT / kind / f"{name}.ipynb", tmp_path / kind)[1].read_bytes()
        for kind in ("solutions", "exercises")
    ]
    assert made[0] == made[1]


def test_releasing_what_was_released_changes_nothing(tmp_path):
    asked = assignment("01_brightness_constancy")
    paths = nbgrader.release(asked, ROOT / "solutions" / f"{asked.id}.ipynb", tmp_path)
    before = [path.read_bytes() for path in paths]
    assert nbgrader.release(asked, paths[0], tmp_path) == paths
    assert [path.read_bytes() for path in paths] == before
    assert not list(tmp_path.rglob("*.part"))


ANSWERS = {
    "marked": "def warp(image, flow):\n    '''Doc.'''\n    ### BEGIN SOLUTION\n    return SECRET\n    ### END SOLUTION",
    "with a docstring": "def warp(image, flow):\n    '''Doc.'''\n    return SECRET",
    "without one": "def warp(image, flow):\n    x = SECRET\n    return x",
    "comments around it": "def warp(image,\n         flow):\n    '''Doc.'''\n    # SECRET\n\n    return 1\n    # SECRET",
    "a helper after it": "def warp(image, flow):\n    return SECRET\n\ndef other():\n    return 1",
    "a helper before it": "def other():\n    return 1\n\ndef warp(image, flow):\n    '''Doc.'''\n    return SECRET",
    "another answer first": "def warp(image, flow):\n    ### BEGIN SOLUTION\n    return SECRET\n    ### END SOLUTION\n"
    "def warp(image, flow):\n    return SECRET",
    "two in one cell": "def warp(image, flow):\n    return SECRET\n\ndef warp(image, flow):\n    return SECRET",
    "in an if": "if True:\n    def warp(image, flow):\n        return SECRET\nelse:\n    x = 1",
    "in a class, and asynchronous": "class A:\n    async def warp(image, flow):\n        return SECRET",
    "hidden as a whole": "### BEGIN SOLUTION\ndef warp(image, flow):\n    return SECRET\n### END SOLUTION",
}


@pytest.mark.parametrize("text", ANSWERS.values(), ids=ANSWERS)
def test_no_answer_reaches_a_student_whether_it_is_marked_or_not(tmp_path, text):
    source, student = released(tmp_path, "import numpy as np", text)
    assert "SECRET" in json.dumps(source) and "SECRET" not in json.dumps(student)
    assert "NotImplementedError" in json.dumps(student)
    for notebook in (source, student):
        assert nbgrader.problems(notebook) == []
        for cell in notebook["cells"]:
            compile(cell["source"], "cell", "exec")
    assert ("Doc." in text) == ("Doc." in json.dumps(student)) and ("other" in text) == ("other" in json.dumps(student))


@pytest.mark.parametrize("above", ["%%time", "%%timeit -n 1", "%matplotlib inline\n!pip list", "%time x = 1"])
def test_an_answer_in_a_cell_with_ipython_s_own_lines_is_taken_out(tmp_path, above):
    answer = "def warp(image, flow):\n    return SECRET"
    for text in (f"{above}\n{answer}", f"{answer}\n{above.replace('%%', '%')}"):
        _, student = released(tmp_path, text)
        assert "SECRET" not in json.dumps(student) and above.replace("%%", "%") in student["cells"][0][
            "source"
        ].replace("%%", "%")


def test_an_answer_is_taken_out_of_every_cell_and_the_last_one_counts(tmp_path):
    texts = [f"def warp(image, flow):\n    'Doc {i}.'\n    return SECRET" for i in range(3)]
    source, student = released(tmp_path, texts[0], "import numpy as np", *texts[1:])
    assert "SECRET" not in json.dumps(student) and all(f"Doc {i}." in json.dumps(student) for i in range(3))
    assert [cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in source["cells"]] == [
        "answer-1", None, "answer-3", "warp", "check_warp",
    ]  # fmt: skip
    again = tmp_path / "course" / "source" / "hw" / "nb.ipynb"
    paths = nbgrader.release(tmp_path / "hw.toml", again, tmp_path / "again")
    assert [read(path) for path in paths] == [source, student]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("warp = lambda image, flow: SECRET", "gets a value in line 1; define it with def"),
        ("for warp in [SECRET]:\n    pass", "gets a value in line 1"),
        ("(warp := SECRET)", "gets a value in line 1"),
        ("import numpy\nfrom secret import SECRET as warp", "gets a value in line 2"),
        ("class warp:\n    x = SECRET", "can't be emptied"),
        ("def make():\n    def warp(image, flow):\n        return SECRET\n    return warp", "warp in line 2 can't be"),
        ("%%writefile a.py\ndef warp(image, flow):\n    return SECRET", "not all Python; take out what is not"),
        ("def warp(image, flow):\n    return SECRET\n1 +", "not all Python"),
    ],
)
def test_an_answer_that_cannot_be_taken_out_is_refused_and_nothing_is_written(tmp_path, text, why):
    begins = re.escape(repr(text.splitlines()[0]))
    with pytest.raises(ValueError, match=f"nb.ipynb: the cell that begins with {begins} would .*: .*{why}"):
        released(tmp_path, "def warp(image, flow):\n    return 1", text)
    assert not (tmp_path / "course").exists()


def test_a_part_of_a_function_may_be_the_answer_and_the_name_may_be_used(tmp_path):
    part = (
        "def warp(image, flow):\n    h = 1\n    ### BEGIN SOLUTION\n    h = SECRET\n    ### END SOLUTION\n    return h"
    )
    use = "def show():\n    warp = 1\n    return warp\n\nprint(warp, show())\nwarped = [warp for x in [1]]"
    _, student = released(tmp_path, part, use)
    assert "SECRET" not in json.dumps(student) and "return h" in json.dumps(student)
    assert student["cells"][-1]["source"] == use


def test_a_check_is_made_below_the_answer_where_there_is_none(tmp_path):
    source, student = released(tmp_path, "def warp(image, flow):\n    return 1", "print('the end')")
    for notebook in (source, student):
        assert [cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in notebook["cells"]] == [
            "warp", "check_warp", None,
        ]  # fmt: skip
        assert notebook["cells"][1]["metadata"]["nbgrader"]["points"] == 2.5
        assert notebook["metadata"]["kernelspec"]["language"] == "python"


def test_what_a_notebook_holds_beyond_the_assignment_is_worth_nothing_and_no_answer_leaks(tmp_path):
    toml = '[assignment]\nid = "one"\n[[question]]\noperation = "flow.structure_tensor"\npoints = 1\n'
    whole = json.loads((ROOT / "solutions" / "02_lucas_kanade.ipynb").read_text(encoding="utf-8"))
    source, student = released(tmp_path, toml=toml, notebook=whole)
    assert [cell["metadata"]["nbgrader"]["grade_id"] for cell in marked(source, grade=True)] == [
        "check_structure_tensor"
    ]
    assert "HIDDEN" not in json.dumps(source)
    assert "pinv(" not in json.dumps(student) and "SOLUTION" not in json.dumps(student)


def test_stored_outputs_stay_with_the_teacher(tmp_path):
    notebook = notebook_of("def warp(image, flow):\n    return 1", "warp(1, 2)")
    notebook["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "SECRET"}]
    _, student = released(tmp_path, notebook=notebook)
    assert "SECRET" not in json.dumps(student)


def test_a_teacher_s_own_manual_question_is_kept_without_its_answer(tmp_path):
    notebook = notebook_of("def warp(image, flow):\n    return 1")
    mark = {"schema_version": 3, "grade": True, "solution": True, "locked": False, "grade_id": "why", "points": 1}
    notebook["cells"].append({"cell_type": "markdown", "metadata": {"nbgrader": mark}, "source": "SECRET"})
    source, student = released(tmp_path, notebook=notebook)
    assert source["cells"][-1]["source"] == "SECRET" and student["cells"][-1]["source"] == "YOUR ANSWER HERE"
    assert student["cells"][-1]["metadata"]["nbgrader"]["points"] == 1


@pytest.mark.parametrize(
    "cells, said",
    [
        (["x = 1"], "no cell defines the function warp"),
        (["def warp(image, flow): return 1"], "in the line of its head"),
        (["def warp(image, flow):\n    ### BEGIN SOLUTION\n    return 1"], "has no end"),
        (["def warp(image, flow):\n    return 1", "### END SOLUTION"], "nested or has no partner"),
        (["def warp(image, flow):\n    return 1", "### BEGIN HIDDEN TESTS\n### END HIDDEN TESTS"], "hidden tests"),
    ],
)
def test_a_notebook_that_cannot_be_released_is_one_sentence_and_no_file(tmp_path, cells, said):
    with pytest.raises(ValueError, match=said):
        released(tmp_path, *cells)
    assert not (tmp_path / "course").exists()


def test_a_grade_id_used_twice_and_files_that_are_no_notebooks_are_refused(tmp_path):
    notebook = notebook_of("def warp(image, flow):\n    return 1", "1")
    mark = {"schema_version": 3, "grade": False, "solution": False, "locked": True, "grade_id": "warp"}
    notebook["cells"][1]["metadata"]["nbgrader"] = mark
    with pytest.raises(ValueError, match="same grade_id"):
        released(tmp_path, notebook=notebook)
    for text in ("{", "[]", '{"cells": [1], "nbformat": 4}', '{"cells": []}'):
        (tmp_path / "nb.ipynb").write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=r"nb\.ipynb"):
            nbgrader.release(tmp_path / "hw.toml", tmp_path / "nb.ipynb", tmp_path / "course")
    with pytest.raises(ValueError, match="cannot be read"):
        nbgrader.release(tmp_path / "hw.toml", tmp_path / "none.ipynb", tmp_path / "course")


@pytest.mark.parametrize("name", ["../hw", "a+b", "", "a/b", " hw"])
def test_an_id_that_is_no_folder_s_name_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="can't name a part"):
        released(tmp_path, "def warp(image, flow):\n    return 1", toml=TOML.replace('"hw"', json.dumps(name)))
    assert not (tmp_path / "course").exists()


# ---------------------------------------------------------------------------------------------------------- checksums

NAMES = st.text("abcXYZ019_-", min_size=1, max_size=8)
POINTS = st.one_of(st.integers(0, 100), st.floats(0, 100))
MARKS = st.fixed_dictionaries(
    {"schema_version": st.just(3), "grade": st.booleans(), "solution": st.booleans(), "locked": st.booleans(),
     "grade_id": NAMES, "points": POINTS},
    optional={"task": st.just(False)},
)  # fmt: skip
CELLS = st.builds(
    lambda kind, text, mark: {"cell_type": kind, "source": text, "metadata": {"nbgrader": mark}},
    st.sampled_from(["code", "markdown", "raw"]), st.text(max_size=40), MARKS,
)  # fmt: skip


@given(CELLS, st.text(max_size=40), st.randoms())
def test_the_checksum_tells_of_a_changed_cell_and_of_nothing_else(cell, text, random):
    before = nbgrader.checksum(cell)
    same = copy.deepcopy(cell)
    lines = same["source"].splitlines(keepends=True)
    same |= {"source": lines, "outputs": ["x"], "id": "other"}
    same["metadata"]["vidlearn"] = {"operation": "warp"}
    same["metadata"]["nbgrader"]["checksum"] = "0" * 32
    assert nbgrader.checksum(same) == before
    other = copy.deepcopy(cell)
    other["source"] = text
    assert (nbgrader.checksum(other) == before) == (text == cell["source"])
    other = copy.deepcopy(cell)
    other["metadata"]["nbgrader"]["points"] += 1
    assert (nbgrader.checksum(other) == before) != cell["metadata"]["nbgrader"]["grade"]


# ------------------------------------------------------------------------------------------- submissions and marks


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course with one assignment released, and four submissions in nbgrader's layout."""
    course = tmp_path_factory.mktemp("course")
    name = "01_brightness_constancy"
    source, student = nbgrader.release(assignment(name), ROOT / "solutions" / f"{name}.ipynb", course)
    handed = {"ada": source.read_text(encoding="utf-8"), "bob": student.read_text(encoding="utf-8"), "eve": "{"}
    for who, text in handed.items():
        place = course / "submitted" / who / name
        place.mkdir(parents=True)
        (place / f"{name}.ipynb").write_text(text, encoding="utf-8")
        (place / "timestamp.txt").write_text("2026-03-01 10:00:00 UTC", encoding="utf-8")
        (place / "submission_secret.txt").write_text("0" * 64, encoding="utf-8")
    return course


@pytest.fixture(scope="module")
def marks(course):
    try:
        with Sandbox() as sandbox, sandbox.worker():
            pass
    except SandboxError as error:
        pytest.skip(f"not run, because there is no sandbox here: {error}")
    toml = ROOT / "exercises" / "01_brightness_constancy.toml"
    return grade(course / "submitted", toml, seed=3, examples=5, require_isolation=False)


def test_a_notebook_released_for_nbgrader_is_graded_by_us_without_a_remark(marks):
    found = {result["student"]: result for result in marks}
    assert found["ada"]["status"] == "correct" and found["ada"]["score"] == found["ada"]["max_score"] == 5
    assert found["bob"]["status"] == "not attempted" and found["eve"]["status"] == "unreadable"
    kinds = {finding["kind"] for question in found["ada"]["questions"] for finding in question["findings"]}
    assert kinds == {"holds"}, found["ada"]["questions"]  # its own check cells raise nothing in our sandbox


def test_reports_and_marks_go_back_in_nbgrader_s_layout(course, marks):
    name = "01_brightness_constancy"
    written, left = nbgrader.feedback(marks, name, course, "Exercise 01")
    assert left == []
    pages = {path.relative_to(course).as_posix() for path in written[1:]}
    assert pages == {f"feedback/{who}/{name}/{name}.html" for who in ("ada", "bob", "eve")}
    assert "Exercise 01" in (course / "feedback" / "ada" / name / f"{name}.html").read_text(encoding="utf-8")
    assert (course / "feedback" / "ada" / name / "submission_secret.txt").read_text(encoding="utf-8") == "0" * 64
    with written[0].open(encoding="utf-8", newline="") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    assert rows["ada"]["score"] == "5.0" and rows["bob"]["score"] == "0.0" and rows["eve"]["max_score"] == "5.0"


def test_a_submission_from_elsewhere_gets_no_page_and_is_named(tmp_path):
    def result(place):
        return {
            "student": "x\x1b[2J",
            "submission": place,
            "score": 1.0,
            "max_score": 1,
            "status": "correct",
            "questions": [],
        }

    places = [
        "ada.ipynb",
        "../../etc/hw/nb.ipynb",
        "ada/other/nb.ipynb",
        "a/hw/../nb.ipynb",
        "+x/hw/nb.ipynb",
        "/hw/nb.ipynb",
    ]
    written, left = nbgrader.feedback(map(result, places), "hw", tmp_path)
    assert len(left) == len(places) and "\x1b" not in "".join(left)
    assert nbgrader.feedback([result("ada@example.org/hw/nb.ipynb")], "hw", tmp_path / "other")[1] == []
    assert (
        [path.name for path in written]
        == ["grades-hw.csv"]
        == [path.name for path in tmp_path.iterdir() if path.is_file()]
    )
    assert not (tmp_path / "feedback").exists()


def test_what_moodle_lets_download_gets_a_folder_of_the_student_s_number(tmp_path):
    toml = ROOT / "exercises" / "01_brightness_constancy.toml"
    text = (ROOT / "exercises" / "01_brightness_constancy.ipynb").read_text(encoding="utf-8")
    places = [
        "Lovelace Ada_12345_assignsubmission_file/01_brightness_constancy.ipynb",
        "O'Brien Pat_12346_assignsubmission_file_/deeper/my work (1).ipynb",
        "Nobody, (Dr.)_assignsubmission_file/nb.ipynb",
    ]
    with zipfile.ZipFile(tmp_path / "moodle.zip", "w") as download:
        for place in places:
            download.writestr(place, text)
    grade(tmp_path / "moodle.zip", toml, tmp_path / "marks", require_isolation=False)
    arguments = ["export", str(tmp_path / "marks" / "results.json"), "--to", "nbgrader", "--out"]
    assert main([*arguments, str(tmp_path / "course")]) == 0
    name, students = "01_brightness_constancy", {"12345", "12346", "Nobody_ _Dr._"}
    pages = {path.relative_to(tmp_path / "course").as_posix() for path in tmp_path.glob("course/feedback/*/*/*")}
    assert pages == {f"feedback/{student}/{name}/{name}.html" for student in students}
    with open(tmp_path / "course" / f"grades-{name}.csv", encoding="utf-8", newline="") as file:
        assert {row["student_id"] for row in csv.DictReader(file)} == students


def test_two_students_never_share_a_folder_and_no_id_leads_out_of_the_course(tmp_path):
    def result(number, name="Ada"):
        place = f"{name}_assignsubmission_file/nb.ipynb"
        facts = {"student": name, "submission": place, "student_id": number, "status": "correct", "questions": []}
        return facts | {"score": 1.0, "max_score": 1}

    same = [result("12"), result("12", "Bob"), result("a/b"), result("a\\b", "Eve")]
    written, left = nbgrader.feedback(same, "hw", tmp_path / "same")
    assert len(left) == 4 and len(written) == 1
    odd = ["..", "../../x", "/etc", "=1+1", "a\0b", "-", "x" * 5000, "\U0001f600" * 300]
    written, left = nbgrader.feedback(map(result, odd), "hw", tmp_path / "odd")
    assert left == [] and len(written) == 1 + len(odd)
    assert all(path.resolve().parents[2] == tmp_path / "odd" / "feedback" for path in written[1:])
    with written[0].open(encoding="utf-8", newline="") as file:
        rows = [row["student_id"] for row in csv.DictReader(file)]
    assert rows == [path.parts[-3] for path in written[1:]]
    assert all(re.fullmatch(r"\w([\w.@+ -]*\w)?", row) and len(row.encode()) < 256 for row in rows)


def test_a_mark_that_does_not_exist_is_empty_and_no_name_is_a_formula():
    results = [
        {"student": "=1+1", "submission": "a", "score": None, "max_score": 2, "status": "not run", "questions": []}
    ]
    head, row = csv.reader(nbgrader.gradebook_csv(results, "hw").splitlines())
    cells = dict(zip(head, row, strict=True))
    assert cells["student_id"] == "'=1+1" and cells["score"] == cells["raw_score"] == "" and cells["max_score"] == "2.0"


def test_the_export_verb_writes_into_the_course(course, marks, tmp_path, capsys):
    (tmp_path / "results.json").write_text(json.dumps(marks), encoding="utf-8")
    toml = ROOT / "exercises" / "01_brightness_constancy.toml"
    arguments = ["export", str(tmp_path / "results.json"), "--to", "nbgrader", "--out", str(tmp_path / "course")]
    assert main([*arguments, "--assignment", str(toml)]) == 0
    assert "3 reports" in capsys.readouterr().out
    assert (tmp_path / "course" / "grades-01_brightness_constancy.csv").is_file()
    assert main(arguments) == 2 and "--assignment" in capsys.readouterr().err  # no run.json says which one it was


def test_the_benchmark_s_wrong_submissions_make_each_mistake_that_the_specs_know(tmp_path):
    spec = importlib.util.spec_from_file_location("grading_benchmark", ROOT / "benchmarks" / "grading.py")
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    short = {"T": "structure_tensor", "E": "structure_tensor_eigenvalues", "L": "lucas_kanade"}
    known = [f"{key}: {m.name}" for key, name in short.items() for m in vidlearn.operation(name).spec.mistakes]
    assert sorted(benchmark.MISTAKES) == sorted(known)
    handed = benchmark.classroom(tmp_path, 300)  # each edit finds its place in the solution
    assert set(known) <= set(handed.values())
    kinds = [kind.split(":")[0] for kind in handed.values()]
    assert len(kinds) == 300 and kinds.count("hostile") == 6 and kinds.count("right") == 264
    texts = {path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.ipynb")}
    assert len(texts) == 300


# --------------------------------------------------------------------------------------------------- nbgrader itself


def theirs(script, given=None, cwd=None):
    """Run a script with nbgrader's own Python: `given` comes in and the answer goes out as JSON."""
    env = {**os.environ, "PATH": f"{THEIRS}{os.pathsep}{os.environ['PATH']}", "PYTHONWARNINGS": "ignore"}
    env |= {"OMP_NUM_THREADS": "1", "HYPOTHESIS_STORAGE_DIRECTORY": str(Path(cwd or ".") / ".hypothesis")}
    done = subprocess.run(
        [THEIRS / "python", "-c", script], input=json.dumps(given), capture_output=True, text=True, cwd=cwd, env=env
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def drawn(strategy, count):
    """Values of a strategy, the same every time."""
    values = []

    @settings(max_examples=count, database=None, derandomize=True)
    @given(strategy)
    def collect(value):
        values.append(copy.deepcopy(value))

    collect()
    return values


@needs_nbgrader
def test_nbgrader_computes_the_same_checksums(tmp_path):
    cells = drawn(CELLS, 400)
    found = theirs(
        "import json, sys, nbformat\nfrom nbgrader.utils import compute_checksum\n"
        "print(json.dumps([compute_checksum(nbformat.from_dict(cell)) for cell in json.load(sys.stdin)]))",
        cells, tmp_path,
    )  # fmt: skip
    assert len(found) >= 400 and found == [nbgrader.checksum(cell) for cell in cells]


@needs_nbgrader
def test_nbgrader_refuses_the_metadata_that_we_refuse_and_no_other(tmp_path):
    odd = st.one_of(st.booleans(), st.integers(-1, 4), st.text("a b+", max_size=2), st.just("0" * 32), st.just("code"))
    keys = [
        "schema_version",
        "grade",
        "solution",
        "locked",
        "task",
        "grade_id",
        "points",
        "checksum",
        "cell_type",
        "extra",
    ]
    broken = st.builds(
        lambda cell, key, value, drop: _changed(cell, key, value, drop),
        CELLS.filter(lambda cell: cell["cell_type"] != "raw"), st.sampled_from(keys), odd, st.booleans(),
    )  # fmt: skip
    books = [
        {**notebook_of(), "cells": cells, "metadata": {"kernelspec": {"language": "python"}}}
        for cells in drawn(st.lists(st.one_of(CELLS, broken), min_size=1, max_size=3), 400)
    ]
    for book in books:
        for cell in book["cells"]:
            cell |= {"outputs": [], "execution_count": None} if cell["cell_type"] == "code" else {}
    found = theirs(
        "import json, logging, sys, nbformat\nfrom nbgrader.nbgraderformat.v3 import MetadataValidatorV3\n"
        "def refused(book):\n"
        "    try: MetadataValidatorV3().validate_nb(nbformat.from_dict(book))\n"
        "    except Exception as error: return type(error).__name__ + ': ' + str(error)[:200]\n"
        "    return ''\n"
        "logging.disable()\n"
        "print(json.dumps([refused(book) for book in json.load(sys.stdin)]))",
        books, tmp_path,
    )  # fmt: skip
    kept = sum(not said for said in found)
    assert 20 < kept < len(found) - 20  # both kinds were drawn
    for book, said in zip(books, found, strict=True):
        ours = [p for p in nbgrader.problems(book) if "another cell type" not in p]  # nbgrader only warns of that
        assert bool(ours) == bool(said), (book["cells"], ours, said)


def _changed(cell, key, value, drop):
    mark = {**cell["metadata"]["nbgrader"], key: value}
    if drop:
        del mark[key]
    return {**cell, "metadata": {"nbgrader": mark}}


@needs_nbgrader
@pytest.mark.slow
def test_nbgrader_releases_all_eight_byte_for_byte_as_we_do(tmp_path):
    for name in IDS:
        nbgrader.release(assignment(name), ROOT / "solutions" / f"{name}.ipynb", tmp_path)
    ours = {name: (tmp_path / "release" / name / f"{name}.ipynb").read_bytes() for name in IDS}
    outcome = theirs(
        "import json, os, sys\nfrom nbgrader.apps import NbGraderAPI\nfrom traitlets.config import Config\n"
        "config = Config()\nconfig.CourseDirectory.root = os.getcwd()\nconfig.NbGraderAPI.log_level = 'ERROR'\n"
        "api = NbGraderAPI(config=config)\n"
        "made = {name: api.generate_assignment(name, force=True) for name in json.load(sys.stdin)}\n"
        "print(json.dumps({name: [done['success'], done.get('error', ''), done.get('log', '')] for name, done in made.items()}))",
        IDS, tmp_path,
    )  # fmt: skip
    assert {name: done for name, (done, *_) in outcome.items()} == dict.fromkeys(IDS, True), outcome
    assert {name: (tmp_path / "release" / name / f"{name}.ipynb").read_bytes() for name in IDS} == ours


@needs_nbgrader
@pytest.mark.slow
def test_nbgrader_grades_our_notebooks_hands_out_our_reports_and_agrees_on_right_and_empty(course, marks, tmp_path):
    name = "01_brightness_constancy"
    nbgrader.feedback(marks, name, course)
    outcome = theirs(
        "import json, os, sys\nfrom nbgrader.apps import NbGraderAPI\nfrom nbgrader.api import Gradebook\n"
        "from traitlets.config import Config\n"
        "name, exchange = json.load(sys.stdin)\n"
        "config = Config()\nconfig.CourseDirectory.root = os.getcwd()\nconfig.CourseDirectory.course_id = 'c'\n"
        "config.Exchange.root = exchange\n"
        "api = NbGraderAPI(config=config)\n"
        "made = api.generate_assignment(name, force=True)\nassert made['success'], made\n"
        "scores = {}\n"
        "for who in ('ada', 'bob'):\n"
        "    done = api.autograde(name, who)\n    assert done['success'], done\n"
        "with Gradebook('sqlite:///gradebook.db') as book:\n"
        "    scores = {s.student.id: [s.score, s.max_score] for s in book.assignment_submissions(name)}\n"
        "given = api.release_feedback(name)\nassert given['success'], given\n"
        "files = [n for _, _, names in os.walk(exchange) for n in names]\n"
        "print(json.dumps([scores, files]))",
        [name, str(tmp_path)], course,
    )  # fmt: skip
    scores, files = outcome
    ours = {result["student"]: [result["score"], result["max_score"]] for result in marks}
    assert scores == {who: ours[who] for who in ("ada", "bob")} == {"ada": [5, 5], "bob": [0, 5]}
    assert len(files) >= 1 and all(file.endswith(".html") for file in files), files


@needs_nbgrader
@pytest.mark.slow
@pytest.mark.parametrize("kind, said", [("source", "Success"), ("release", "AssertionError")])
def test_nbgrader_validates_the_solution_and_tells_a_student_what_is_missing(course, kind, said):
    name = "01_brightness_constancy"
    told = theirs(
        "import json, subprocess, sys\n"
        "done = subprocess.run(['nbgrader', 'validate', json.load(sys.stdin)], capture_output=True, text=True)\n"
        "print(json.dumps(done.stdout))",
        f"{kind}/{name}/{name}.ipynb", course,
    )  # fmt: skip
    assert said in told
