"""Grading: wrong answers get a reason, and one bad file never stops a batch.

What other graders get wrong is in `test_grade_matrix`, what is right but odd in `test_grade_honest`.
"""

import argparse
import json
import os
import zipfile

import numpy as np
import pytest

from tests.support.answers import IMPORTS, RIGHT, STUB, WRONG, ZEROS
from vidlearn import grade as grading
from vidlearn.grade import STATUSES, Assignment, grade
from vidlearn.grade.grading import Desk
from vidlearn.grade.intake import Paper

TOML = {
    "assignment": {"id": "01_test", "title": "Test", "time_limit": 1, "memory_limit": 256},
    "question": [{"operation": "flow.normal_flow", "points": 10}],
}


def notebook(*cells, **metadata):
    """A notebook of code cells, as a student hands it in."""
    full = [
        {"cell_type": "code", "id": f"c{i}", "metadata": {}, "outputs": [], "execution_count": None, "source": source}
        for i, source in enumerate(cells)
    ]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": full}).encode()


@pytest.fixture(scope="module")
def desk():
    with Desk(Assignment.from_dict(TOML), seed=7, examples=6) as desk:
        yield desk


def marked(desk, source, suffix=".py"):
    """The one question's result of one submission."""
    raw = source if isinstance(source, bytes) else source.encode()
    return desk.grade(Paper("student-01", "student-01" + suffix, raw, suffix))["questions"][0]


def told(question, kind):
    return [finding["text"] for finding in question["findings"] if finding["kind"] == kind]


# ------------------------------------------------------------------ statuses and marks


@pytest.mark.parametrize(
    ("source", "status"),
    [
        (IMPORTS + RIGHT, "correct"),
        (IMPORTS + RIGHT.replace("np.where(squared > 0, squared, 1)", "squared"), "partly"),
        (IMPORTS + WRONG, "wrong"),
        (IMPORTS + STUB, "not attempted"),
        ("", "not attempted"),
        (IMPORTS + "def normal_flow(Ix, Iy, It):\n    if True: raise NotImplementedError\n", "not attempted"),
        ("import os\ndef normal_flow(Ix, Iy, It): os.abort()\n", "crashed"),
        ("def normal_flow(Ix, Iy, It):\n    while True: pass\n", "timed out"),
        (IMPORTS + "def normal_flow(Ix, Iy, It): return np.ones(1 << 36)\n", "out of memory"),
        ("def normal_flow(Ix, Iy, It:\n", "unreadable"),
    ],
)
def test_every_status_is_reached_by_what_it_means(desk, source, status):
    question = marked(desk, source)
    assert question["status"] == status and status in STATUSES
    assert (
        (question["score"] == 10)
        if status == "correct"
        else (0 < question["score"] < 10)
        if status == "partly"
        else question["score"] == 0
    )


# the right flow and as much along the edge: it satisfies the constraint, and is no case's answer
SLIDES = RIGHT.replace("scale * Ix, scale * Iy]", "scale * Ix - Iy + (squared == 0), scale * Iy + Ix]")
A_LAW_ALONE = "a law alone earns no points: at least one family of cases must be right"
NOTHING_COMPUTED = "what holds here also holds for an answer that computes nothing, so it earns no points"


FLAT = "def classify_structure(eigenvalues, *_, **__):\n    return np.zeros(eigenvalues.shape[:-1], int)\n"


@pytest.mark.parametrize(
    ("name", "answer", "holds", "why"),
    [
        ("flow.classify_structure", FLAT, "flat", NOTHING_COMPUTED),  # a family of cases, but zeros hold it, too
        ("flow.normal_flow", SLIDES, "satisfies the flow constraint wherever the gradient is not zero", A_LAW_ALONE),
    ],
    ids=["a family that needs nothing", "a law that zeros break"],
)
def test_what_says_nothing_of_an_answer_earns_nothing_with_the_reason(name, answer, holds, why):
    with Desk(Assignment.from_dict({**TOML, "question": [{"operation": name}]}), seed=7, examples=6) as desk:
        question = marked(desk, IMPORTS + answer)
    assert question["score"] == 0 and question["status"] == "wrong"
    assert holds in told(question, "holds") and told(question, "note") == [why], question


def test_an_answer_that_computes_nothing_earns_nothing_though_some_laws_hold_for_it(desk):
    question = marked(desk, IMPORTS + ZEROS)
    assert question["score"] == 0 and told(question, "holds") and told(question, "note") == [A_LAW_ALONE]


@pytest.mark.parametrize("answer", [RIGHT, RIGHT.replace("np.where(squared > 0, squared, 1)", "squared")])
def test_the_points_of_the_rows_add_up_to_the_marks(answer):
    asked = {**TOML, "question": [{"operation": "flow.normal_flow", "points": 0.98}]}  # five rows of 0.196
    with Desk(Assignment.from_dict(asked), seed=3, examples=6) as desk:
        question = marked(desk, IMPORTS + answer)
    shown = [finding["points"] for finding in question["findings"] if "points" in finding]
    assert 0 < question["score"] == pytest.approx(sum(shown)) and all(x == round(x, 2) for x in shown)


def test_points_follow_the_split_by_case_family_and_law():
    asked = {**TOML, "question": [{"operation": "flow.normal_flow", "points": 10, "split": {"gradient vanishes": 7}}]}
    with Desk(Assignment.from_dict(asked), seed=3, examples=6) as desk:
        question = marked(desk, IMPORTS + RIGHT.replace("np.where(squared > 0, squared, 1)", "squared"))
    lost = [f for f in question["findings"] if f["kind"] == "breaks"]
    assert any(f["text"] == "gradient vanishes" and f["points"] == 0 for f in lost)
    assert 0 < question["score"] <= 3


def test_a_wrong_definition_and_a_right_one_are_each_graded_on_their_own():
    asked = {
        "assignment": TOML["assignment"],
        "question": [{"operation": "flow.condition_number"}, {"operation": "flow.normal_flow"}],
    }
    with Desk(Assignment.from_dict(asked), seed=3, examples=4) as desk:
        source = IMPORTS + RIGHT + "\nimport os\ndef condition_number(eigenvalues): os._exit(1)\n"
        result = desk.grade(Paper("a", "a.py", source.encode(), ".py"))
    assert [q["status"] for q in result["questions"]] == ["crashed", "correct"] and result["status"] == "partly"


FOLLOWS = """
import numpy as np
def structure_tensor(Ix, Iy, window=5):
    return TENSOR
def solve(J, b):
    return np.linalg.pinv(J) @ b
def sums(Ix, Iy, window):
    return structure_tensor(Ix, Iy, window)
def lucas_kanade(Ix, Iy, It, window=5):
    return solve(sums(Ix, Iy, window), np.ones((*It.shape[:2], 2, 1)))[..., 0]
"""


@pytest.mark.parametrize(
    ("source", "begin"),
    [
        (FOLLOWS.replace("TENSOR", "np.ones((*Ix.shape[:2], 2, 2))"), "begin there"),
        (FOLLOWS.replace("return TENSOR", "raise NotImplementedError"), "begin there"),
        (FOLLOWS.replace("TENSOR", "np.ones((*Ix.shape[:2], 2, 2))").replace("sums(Ix, Iy, window)", "np.eye(2)"), ""),
    ],
    ids=["wrong", "missing", "not called"],
)
def test_a_wrong_answer_that_calls_another_wrong_answer_is_told_where_to_begin(source, begin):
    asked = {
        "assignment": TOML["assignment"],
        "question": [{"operation": "flow.structure_tensor"}, {"operation": "flow.lucas_kanade"}],
    }
    with Desk(Assignment.from_dict(asked), seed=3, examples=4, feedback=False) as desk:
        result = desk.grade(Paper("a", "a.py", source.encode(), ".py"))
    first, second = ([note for note in told(q, "note") if "begin" in note] for q in result["questions"])
    said = "it calls your structure_tensor, which is not right either: begin there"
    assert first == [] and second == ([said] if begin else [])


def test_the_same_seed_gives_the_same_result(tmp_path):
    (tmp_path / "student-01.py").write_text(IMPORTS + WRONG)
    first, again = (grade(tmp_path, Assignment.from_dict(TOML), seed=5, examples=4) for _ in range(2))
    assert first == again


def test_hidden_questions_show_marks_and_no_reasons():
    asked = {**TOML, "question": [{"operation": "flow.normal_flow", "points": 10, "visibility": "hidden"}]}
    with Desk(Assignment.from_dict(asked), seed=3, examples=4) as desk:
        question = marked(desk, IMPORTS + WRONG.replace("    squared", "    print(Ix)\n    squared", 1))
    assert question["status"] == "wrong" and question["findings"] == [] and question["output"] == ""


def hidden_in(result, desk):
    """The hidden inputs of a size that nobody guesses which a result tells."""
    banks = [exam.bank(number) for exam in desk.exams.values() for number in range(desk.banks)]
    cases = [case for bank in banks for family in bank.families.values() for case in family]
    arrays = [np.asarray(value) for case in cases for value in case.inputs.values()]
    shown = json.dumps(result)
    return [array.tolist() for array in arrays if array.size > 3 and str(array.tolist()) in shown]


TELLS = {
    "prints": "print(Ix.tolist())",
    "warns": "import warnings; warnings.warn(str(Ix.tolist()))",
    "raises": "raise ValueError(Ix.tolist())",
    "exits": "print(Ix.tolist(), flush=True); import os; os._exit(3)",
    "is not written": "print(Ix.tolist()); raise NotImplementedError",
}


@pytest.mark.parametrize("answer", [RIGHT, WRONG], ids=["right", "wrong"])
@pytest.mark.parametrize("how", TELLS)
def test_no_report_holds_a_hidden_input(desk, how, answer):
    source = IMPORTS + answer.replace("    squared", f"    {TELLS[how]}\n    squared", 1)
    assert hidden_in(marked(desk, source), desk) == []


@pytest.mark.parametrize("tells", ["print(seen)", "raise ValueError(seen)"])
def test_a_later_cell_does_not_tell_the_inputs_of_an_earlier_question(tells):
    keeps = IMPORTS + "seen = []\n" + RIGHT.replace("    squared", "    seen.append(Ix.tolist())\n    squared", 1)
    right = "def condition_number(e): return np.where(e[..., 1] > 0, e[..., 0] / np.where(e[..., 1] > 0, e[..., 1], 1), np.inf)"
    asked = {
        "assignment": TOML["assignment"],
        "question": [{"operation": "flow.normal_flow"}, {"operation": "flow.condition_number"}],
    }
    with Desk(Assignment.from_dict(asked), seed=3, examples=4) as desk:
        raw = notebook(keeps, tells, right)
        result = desk.grade(Paper("a", "a.ipynb", raw, ".ipynb"))
        assert hidden_in(result, desk) == []
    assert [entry["status"] for entry in result["questions"]] == ["correct", "correct"], result


def test_what_is_shown_as_printed_comes_from_loading_and_for_a_wrong_answer_from_inputs_that_anyone_can_draw(desk):
    prints = "    print('called', Ix.shape)\n    squared"
    right, wrong = (
        marked(desk, IMPORTS + "print('loaded')\n" + answer.replace("    squared", prints, 1))
        for answer in (RIGHT, WRONG)
    )
    assert right["output"] == "loaded\n"
    assert wrong["output"].startswith("loaded\ncalled (") and wrong["output"].count("loaded") == 1


def test_helpers_are_there_when_allowed_and_answers_never(desk):
    asked = {
        "assignment": {**TOML["assignment"], "helpers": ["flow.spatiotemporal_gradients"]},
        "question": TOML["question"],
    }
    with Desk(Assignment.from_dict(asked), seed=3, examples=4) as allowed:
        uses = RIGHT.replace("    squared", "    vl.flow.spatiotemporal_gradients(Ix, Iy)\n    squared", 1)
        assert marked(allowed, IMPORTS + uses)["score"] == 10
        assert marked(desk, IMPORTS + uses)["score"] == 0  # not allowed in that assignment
        question = marked(allowed, IMPORTS + "def normal_flow(Ix, Iy, It): return vl.flow.normal_flow(Ix, Iy, It)\n")
    assert question["score"] == 0 and any(
        "not here while the exercise is graded" in text for text in told(question, "traceback")
    )


def test_a_helper_for_one_question_is_not_there_for_another():
    asked = {
        "assignment": TOML["assignment"],
        "question": [
            {"operation": "flow.spatiotemporal_gradients"},
            {"operation": "flow.normal_flow", "helpers": ["flow.spatiotemporal_gradients"]},
        ],
    }
    borrowed = "def spatiotemporal_gradients(I0, I1): return vl.flow.spatiotemporal_gradients(I0, I1)\n"
    uses = RIGHT.replace("    squared", "    vl.flow.spatiotemporal_gradients(Ix, Iy)\n    squared", 1)
    with Desk(Assignment.from_dict(asked), seed=3, examples=4) as desk:
        result = desk.grade(Paper("a", "a.py", (IMPORTS + borrowed + uses).encode(), ".py"))
    assert [q["status"] for q in result["questions"]] == ["wrong", "correct"], result


def test_only_the_packages_that_the_assignment_names_can_be_imported(desk):
    pytest.importorskip("scipy", reason="not run, because SciPy is not installed")
    uses = RIGHT.replace("    squared", "    from scipy import ndimage; ndimage.uniform_filter(Ix, 3)\n    squared", 1)
    asked = {"assignment": {**TOML["assignment"], "packages": ["scipy"]}, "question": TOML["question"]}
    with Desk(Assignment.from_dict(asked), seed=3, examples=4) as allowed:
        assert marked(allowed, IMPORTS + uses)["score"] == 10
    question = marked(desk, IMPORTS + uses)
    assert question["score"] == 0 and any("No module named 'scipy'" in text for text in told(question, "traceback"))


# ------------------------------------------------------------------ assignments


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": []}, "no \\[\\[question\\]\\]"),
        ({"question": [{"points": 3}]}, "names no operation"),
        ({"question": [{"operation": "flow.normal_flo"}]}, "did you mean"),
        ({"question": [{"operation": "flow.normal_flow", "point": 3}]}, "unknown key 'point'"),
        ({"question": [{"operation": "flow.normal_flow", "points": -1}]}, "positive"),
        ({"question": [{"operation": "flow.normal_flow", "split": {"no such law": 1}}]}, "no such law"),
        ({"question": [{"operation": "flow.normal_flow", "points": 1, "split": {"gradient vanishes": 2}}]}, "adds up"),
        ({"question": [{"operation": "flow.normal_flow", "visibility": "maybe"}]}, "visibility"),
        ({"question": [{"operation": "flow.normal_flow"}] * 2}, "twice"),
        ({"assignment": {"helpers": ["flow.normal_flow"]}}, "is itself asked for"),
        (
            {"assignment": {"helpers": ["flow.coarse_to_fine"]}, "question": [{"operation": "flow.warp"}]},
            "is built on warp",
        ),
    ],
)
def test_a_mistake_in_an_assignment_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        Assignment.from_dict({**TOML, **change})


# ------------------------------------------------------------------ batches and files


def test_a_batch_of_everything_that_can_go_wrong_gives_one_result_each(tmp_path):
    folder = tmp_path / "in"
    for name in ("student-05", "student-06", "student-07"):
        (folder / name).mkdir(parents=True)
    (folder / "student-01.py").write_text(IMPORTS + RIGHT)
    (folder / "student-02.ipynb").write_bytes(b"\xff\xfe\x00")
    (folder / "student-03.ipynb").write_text("[" * 100_000)
    (folder / "student-04.py").write_bytes(b"def normal_flow(): \0")
    (folder / "student-06" / "a.py").write_text(RIGHT)
    (folder / "student-06" / "b.py").write_text(RIGHT)
    (folder / "student-07" / "notes.py").write_text("")
    (folder / "student-07" / "My 01_test (final).ipynb").write_bytes(notebook(IMPORTS, RIGHT))
    (folder / "student-08.py").symlink_to(folder / "student-01.py")
    (folder / "student-09.ipynb").write_text('{"cells": {"a": 1}}')
    (folder / "<b>odd' \u202ename.py").write_text(IMPORTS + RIGHT)
    (folder / "read me.txt").write_text("")
    lines = []
    results = grade(
        folder, Assignment.from_dict(TOML), tmp_path / "out", seed=1, examples=4, jobs=2, progress=lines.append
    )
    status = {r["student"]: (r["status"], r["score"]) for r in results}
    assert status.pop("<b>odd' \ufffdname") == ("correct", 10)
    assert status == {
        "student-01": ("correct", 10),
        "student-02": ("unreadable", 0),
        "student-03": ("unreadable", 0),
        "student-04": ("unreadable", 0),
        "student-05": ("not run", None),
        "student-06": ("not run", None),
        "student-07": ("correct", 10),
        "student-08": ("not run", None),
        "student-09": ("unreadable", 0),
    }
    assert any("read me.txt" in line for line in lines)
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == results
    assert json.loads((tmp_path / "out" / "run.json").read_text())["finished"] is True
    pages = sorted((tmp_path / "out" / "reports").glob("*.html"))
    assert len(pages) == len(results)
    assert not any("<b>odd" in page.read_text() for page in pages)
    assert not list((tmp_path / "out").rglob("*.part"))


def test_a_zip_is_read_in_memory_and_hostile_names_in_it_are_left_out(tmp_path):
    path = tmp_path / "class.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("student-01/01_test.py", IMPORTS + RIGHT)
        archive.writestr("student-02.ipynb", notebook(IMPORTS, WRONG))
        archive.writestr("student-03/big.py", "#" * (17 << 20))
        archive.writestr("class/../../escaped.py", RIGHT)
        archive.writestr("/absolute.py", RIGHT)
        archive.writestr("__MACOSX/class/student-01/._01_test.py", "")
        link = zipfile.ZipInfo("student-04.py")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    before = sorted(os.listdir(tmp_path))
    results = grade(path, Assignment.from_dict(TOML), seed=1, examples=4)
    assert {r["student"]: r["status"] for r in results} == {
        "student-01": "correct",
        "student-02": "wrong",
        "student-03": "unreadable",
        "student-04": "not run",
    }
    assert sorted(os.listdir(tmp_path)) == before


def test_one_file_can_be_graded(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(IMPORTS + RIGHT)
    (result,) = grade(path, Assignment.from_dict(TOML), seed=1, examples=4)
    assert set(result) == {"submission", "student", "score", "max_score", "status", "isolation", "questions"}
    assert set(result["questions"][0]) == {"operation", "score", "max_score", "status", "findings", "output"}
    assert (result["student"], result["score"], result["max_score"]) == ("mine", 10, 10)


def test_several_submissions_are_refused_where_they_cannot_be_kept_apart(tmp_path, monkeypatch):
    for i in range(2):
        (tmp_path / f"student-0{i}.py").write_text(IMPORTS + RIGHT)
    monkeypatch.setattr(Desk, "isolation", {"level": "C", "enforced": ["limits"], "missing": {"seccomp": "not here"}})
    with pytest.raises(grading.GradeError, match=r"seccomp: not here.*--trust-submissions"):
        grade(tmp_path, Assignment.from_dict(TOML), seed=1, examples=4)
    assert len(grade(tmp_path, Assignment.from_dict(TOML), seed=1, examples=4, trust_submissions=True)) == 2


def test_a_failure_of_the_grader_is_not_a_zero(tmp_path, monkeypatch):
    from vidlearn.sandbox import Sandbox, SandboxError

    path = tmp_path / "mine.py"
    path.write_text(IMPORTS + RIGHT)
    monkeypatch.setattr(Desk, "isolation", {"level": "A", "enforced": [], "missing": {}})

    def broken(self, limits=None):
        raise SandboxError("no processes left")

    monkeypatch.setattr(Sandbox, "worker", broken)
    (result,) = grade(path, Assignment.from_dict(TOML), seed=1)
    assert result["status"] == "not run" and result["score"] is None
    assert "no processes left" in result["questions"][0]["findings"][0]["text"]


def test_the_command_prints_a_line_for_the_class_and_says_what_it_left_undone(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "student-01.py").write_text(IMPORTS + RIGHT)
    (tmp_path / "a.toml").write_text(
        '[assignment]\nid = "x"\n[[question]]\noperation = "flow.normal_flow"\npoints = 4\n'
    )
    parser = argparse.ArgumentParser()
    grading.add_arguments(parser)
    command = [
        str(tmp_path / "in"),
        "--assignment",
        str(tmp_path / "a.toml"),
        "--out",
        str(tmp_path / "out"),
        "--seed",
        "3",
    ]
    assert grading.main(parser.parse_args(command)) == 0
    *_, last, advice = capsys.readouterr().out.splitlines()
    assert "class.html" in advice
    assert "1 submission" in last and "1 correct" in last and "mean 4.00 of 4" in last and "results.json" in last
    assert grading.main(parser.parse_args(["nowhere", *command[1:]])) == 2
    assert "there is no file or folder nowhere" in capsys.readouterr().err


def test_what_a_student_prints_is_escaped_and_stripped_of_control_characters(tmp_path):
    (tmp_path / "in").mkdir()
    evil = "print('<script>x</script>\\x1b[2J\\u202e')\n" + RIGHT
    (tmp_path / "in" / "student-01.py").write_text(IMPORTS + evil)
    grade(tmp_path / "in", Assignment.from_dict(TOML), tmp_path / "out", seed=1, examples=4)
    page = (tmp_path / "out" / "reports" / "student-01.html").read_text()
    assert "<script>" not in page and "&lt;script&gt;" in page and "\x1b" not in page and "\u202e" not in page


@pytest.mark.parametrize(("answer", "asked"), [("x = 1\n", True), (IMPORTS + WRONG, False)])
def test_the_wrong_assignment_is_noticed_beside_a_file_that_cannot_be_read(tmp_path, capsys, answer, asked):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "ada.py").write_text(answer)
    (tmp_path / "in" / "ben.ipynb").write_text("{")
    (tmp_path / "a.toml").write_text(
        '[assignment]\nid = "x"\n[[question]]\noperation = "flow.normal_flow"\npoints = 4\n'
    )
    parser = argparse.ArgumentParser()
    grading.add_arguments(parser)
    given = [str(tmp_path / "in"), "--assignment", str(tmp_path / "a.toml"), "--out", str(tmp_path / "out")]
    grading.main(parser.parse_args([*given, "--trust-submissions"]))
    assert ("is it the right assignment?" in capsys.readouterr().out) == asked
