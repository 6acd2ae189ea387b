"""What is released: students get cases and laws and no answer; the autograder marks one submission as the grader would."""

from __future__ import annotations

import ast
import functools
import importlib.util
import inspect
import io
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

import vidlearn as vl
from vidlearn.cli import main as cli
from vidlearn.grade import SAMPLES, Assignment, grade, grading, report
from vidlearn.grade.bundle import _handed_in, autograder, grade_here
from vidlearn.grade.intake import Paper, one_paper
from vidlearn.grade.release import _Laws, _right, _size, release, student_files
from vidlearn.judge import Bank
from vidlearn.sandbox import LAYERS
from vidlearn.spec import Law

ROOT = Path(__file__).parents[1]
EXERCISES = sorted((ROOT / "exercises").glob("*.toml"))
FIRST = EXERCISES[0]


def solution_of(file):
    return ROOT / "solutions" / f"{file.stem}.py"


@pytest.fixture(scope="module")
def handed_out(tmp_path_factory):
    """A student's folder for each exercise, made from the *solution*: the harder way."""
    made = {}

    def of(file):
        if file not in made:
            folder = tmp_path_factory.mktemp(file.stem)
            files, _ = student_files(Assignment.read(file), solution_of(file).with_suffix(".ipynb"))
            for name, data in files.items():
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_bytes(data)
            made[file] = folder
        return made[file]

    return of


def opened(folder):
    """The folder's checks as a package of their own in this process."""
    name = f"checks_{folder.name.replace('-', '_')}"
    if name not in sys.modules:
        place = folder / "checks"
        spec = importlib.util.spec_from_file_location(
            name, place / "__init__.py", submodule_search_locations=[str(place)]
        )
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="module")
def numpy_alone(tmp_path_factory):
    """A folder of packages with NumPy in it and nothing else."""
    folder = tmp_path_factory.mktemp("packages")
    home = Path(np.__file__).parents[1]
    for name in ("numpy", "numpy.libs"):
        if (home / name).exists():
            (folder / name).symlink_to(home / name)
    return folder


#: answers that do without a helper which is not handed out, because it would give another answer away
WITHOUT_HELPER = {
    "early_fusion": """
def early_fusion(x, w, b=None):
    return conv3d(x, w, b, padding=(0, w.shape[3] // 2, w.shape[4] // 2))[:, :, 0]
"""
}

AS_A_STUDENT = """
import ast, importlib.util, json, sys
sys.path[:0] = [".", sys.argv[1]]
import numpy
assert importlib.util.find_spec("vidlearn") is None
notebook, answers = json.load(open(sys.argv[2])), open(sys.argv[3]).read()
more = json.loads(sys.argv[4])
functions = {n.name: ast.get_source_segment(answers, n) for n in ast.parse(answers).body if isinstance(n, ast.FunctionDef)}
import __main__
names, cards = vars(__main__), {}
for cell in notebook["cells"]:
    if cell["cell_type"] != "code" or "matplotlib" in cell["source"] or "needs vidlearn itself" in cell["source"]:
        continue
    if cell["source"].startswith("vl.check("):
        asked = cell["source"][9:-1]
        empty = vl.check(names[asked])
        exec("\\n\\n".join([*functions.values(), *more.values()]), names)
        written = vl.check(names[asked])
        cards[asked] = [empty.status, written.status, repr(written)]
    else:
        exec(cell["source"], names)
print(json.dumps(cards))
"""


# ------------------------------------------------------------------------------------------- what students get


@pytest.mark.parametrize("file", EXERCISES, ids=lambda file: file.stem)
def test_solutions_pass_every_released_check_with_numpy_alone_and_empty_exercises_are_not_attempted(
    file, handed_out, numpy_alone
):
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        AS_A_STUDENT,
        str(numpy_alone),
        f"{file.stem}.ipynb",
        str(solution_of(file)),
    ]
    command.append(json.dumps(WITHOUT_HELPER if file.stem.startswith("04") else {}))
    done = subprocess.run(command, cwd=handed_out(file), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    cards = json.loads(done.stdout.strip().splitlines()[-1])
    assert list(cards) == [q.operation.short for q in Assignment.read(file).questions]
    for name, (empty, written, text) in cards.items():
        assert (empty, written) == ("not attempted", "right"), f"{name}: {text}"


def shape_of(function):
    """A function's body as a tree, without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return ast.dump(ast.Module(body, []))


def functions_in(text):
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]


def code_of(folder):
    """All Python in a student's folder."""
    texts = {path.name: path.read_text() for path in folder.rglob("*.py")}
    for path in folder.rglob("*.ipynb"):
        cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
        texts |= {f"{path.name}, cell {i}": cell["source"] for i, cell in enumerate(cells)}
    return texts


@pytest.mark.parametrize("file", EXERCISES, ids=lambda file: file.stem)
def test_no_released_file_holds_an_answer(file, handed_out):
    answers = {node.name: shape_of(node) for node in functions_in(solution_of(file).read_text())}
    secret = {}
    for question in Assignment.read(file).questions:
        operation = question.operation
        for function in {operation.reference, *(operation.on(b) for b in operation.backends if b != "cupy")}:
            secret[shape_of(ast.parse(inspect.getsource(function).strip()).body[0])] = operation.name
        for style in operation.spec.accepted:
            node = next((n for n in functions_in_module(style) if n.name == style.__name__), None)
            if node:
                secret[shape_of(node)] = f"{operation.name}, {node.name}"
        secret[answers[operation.short]] = f"the solution of {operation.name}"
    assert len(secret) > len(answers) / 2
    for name, text in code_of(handed_out(file)).items():
        found = [secret[shape_of(node)] for node in functions_in(text) if shape_of(node) in secret]
        assert not found, f"{name} holds {found}"
        asked = {question.operation.short for question in Assignment.read(file).questions}
        for node in functions_in(text):
            if node.name in asked:
                assert "NotImplementedError" in ast.dump(node) and len(node.body) <= 2, f"{name} defines {node.name}"


def functions_in_module(function):
    return [] if function.__name__ == "<lambda>" else functions_in(inspect.getsource(inspect.getmodule(function)))


def test_a_law_that_works_the_answer_out_is_left_out_and_the_files_say_how_many(handed_out):
    folder = handed_out(next(file for file in EXERCISES if file.stem.startswith("04")))
    with np.load(folder / "checks" / "cases.npz", allow_pickle=False) as file:
        questions = json.loads(str(file["index"]))["questions"]
    kept = [law["function"] for law in questions["receptive_field"]["laws"]]
    assert "by_brute_force" not in kept and "a_pixel_sees_itself" in kept
    assert questions["receptive_field"]["laws_left_out"] == 1
    assert not any("by_brute_force" in text for text in code_of(folder).values())
    assert "Grading draws other inputs, and looks at 3 more laws." in (folder / "README.md").read_text()


GIVEN_AWAY = {
    "flow.classify_structure": "it says corner exactly where both conditions for solving hold",
    "layers.conv1d_backward": "db is the sum of dy over the batch and all places",
    "layers.batch_norm_train": "it returns the mean and the variance of the batch",
    "layers.batch_norm_train_backward": "beta's gradient is the sum of the answer's",
    "layers.linear_backward": "the bias takes the sum of all rows' gradients",
}


def taken(name):
    """The laws of an operation that students get, and those that they don't."""
    asked = Assignment.from_dict({"question": [{"operation": name}]})
    (question,), laws = asked.questions, _Laws(asked)
    kept, left = [], []
    for law, asked in Bank.draw(question.operation, 0).laws:
        (kept if laws.take(question, law, [inputs for _, inputs in asked]) else left).append(law.statement)
    return kept, left


@pytest.mark.parametrize("name", GIVEN_AWAY)
def test_a_law_that_says_one_output_of_several_or_where_a_label_stands_is_left_out(name):
    kept, left = taken(name)
    assert GIVEN_AWAY[name] in left and kept


@pytest.mark.parametrize("name", ["flow.gaussian_pyramid", "slowfast.sample_pathways", "flow.spatiotemporal_gradients"])
def test_a_law_that_says_an_output_is_the_input_gives_nothing_away(name):
    kept, left = taken(name)
    assert not left and len(kept) > 2


ITS_HELPER = """
import numpy as np

def by_hand(Ix, Iy, It):
    squared = Ix**2 + Iy**2
    scale = -It / np.where(squared > 0, squared, 1)
    return np.stack([scale * Ix, scale * Iy], axis=-1)

def time_turns_it(f, Ix, Iy, It):
    return f(Ix, Iy, -It), 0 * by_hand(Ix, Iy, It) - f(Ix, Iy, It)
"""


@pytest.mark.parametrize("helper", ["is the answer", "is something else"])
def test_a_law_is_left_out_if_a_function_that_it_uses_is_an_answer(helper, tmp_path, monkeypatch):
    name = f"laws_that_use_what_{helper.replace(' ', '_')}"
    (tmp_path / f"{name}.py").write_text(
        ITS_HELPER.replace("scale * Ix,", "Ix," if "else" in helper else "scale * Ix,")
    )
    monkeypatch.syspath_prepend(tmp_path)
    law = Law("time turns it", importlib.import_module(name).time_turns_it)
    asked = Assignment.from_dict({"question": [{"operation": "flow.normal_flow"}]})
    (question,) = asked.questions
    inputs = [case.inputs for cases in Bank.draw(question.operation, 0).families.values() for case in cases[-2:]]
    assert _Laws(asked).take(question, law, inputs) == ("else" in helper)


@pytest.mark.parametrize("file", EXERCISES, ids=lambda file: file.stem)
def test_every_named_mistake_is_caught(file, handed_out, record_property):
    checks, missed, caught = opened(handed_out(file)), [], 0
    for question in Assignment.read(file).questions:
        operation = question.operation
        for mistake in operation.spec.mistakes:

            def wrong(*args, mistake=mistake, operation=operation, **kwargs):
                return mistake.wrong(operation.reference, *args, **kwargs)

            wrong.__name__ = operation.short
            card = checks.check(wrong)
            if card.right:
                missed.append(f"{operation.name}: {mistake.name}")
            else:
                caught += 1
                assert (card.smallest and "expected" in repr(card)) or "raises" in repr(card) or "breaks" in repr(card)
    print(f"{file.stem}: {caught} of {caught + len(missed)} mistakes are caught; missed: {missed}")
    assert not missed


def test_the_card_shows_the_smallest_stored_input_that_fails(handed_out):
    checks = opened(handed_out(FIRST))

    def normal_flow(Ix, Iy, It):
        return np.stack([Ix, Iy], -1)

    text = repr(checks.check(normal_flow))
    assert text.startswith("wrong   normal_flow")
    assert "expected (u, v) = (" in text and "Ix = np.array([[" in text
    index, _ = checks._store()
    for question in index["questions"].values():
        for cases in question["families"].values():
            sizes = [sum(np.size(value) for value in checks._opened(case["inputs"]).values()) for case in cases]
            assert sizes == sorted(sizes)


def test_a_known_mistake_that_shows_on_large_inputs_only_is_shown_on_a_smaller_one(handed_out):
    file = next(file for file in EXERCISES if file.stem.startswith("07"))
    checks, smaller = opened(handed_out(file)), 0
    for question in Assignment.read(file).questions:
        bank = Bank.draw(question.operation, 0)
        drawn = [case.inputs for cases in bank.families.values() for case in cases]
        stored = checks._store()[0]["questions"][question.operation.short]["families"].values()
        added = [checks._opened(case["inputs"]) for cases in stored for case in cases]
        added = [
            one
            for one in added
            if not any(one.keys() == two.keys() and all(np.array_equal(one[n], two[n]) for n in one) for two in drawn)
        ]

        def smallest_that_shows(known, inputs, bank=bank, operation=question.operation):
            cases = (bank.case(one) for one in inputs)
            return min((_size(c.inputs) for c in cases if not _right(known.runner, operation, c)), default=np.inf)

        shown = [(smallest_that_shows(known, drawn), smallest_that_shows(known, added)) for known in bank.wrong]
        smaller += sum(one < without for without, one in shown)
        assert len(added) <= len(bank.wrong) and (smaller or not added)
    assert smaller


def rounded(function):
    def normal_flow(*args):
        return function(*args) * (1 + 2e-5)

    return normal_flow


def strings(Ix, Iy, It):
    return [["0"]]


def changes_its_input(Ix, Iy, It):
    Ix += 1
    return np.zeros((*Ix.shape, 2))


def only_contiguous(Ix, Iy, It):
    from vidlearn import flow

    assert Ix.flags.c_contiguous
    return flow.normal_flow.reference(Ix, Iy, It)


def test_the_checks_hold_answers_to_the_judge_s_rules(handed_out):
    check = opened(handed_out(FIRST)).check

    def named(function):
        function.__name__ = "normal_flow"
        return check(function)

    assert named(rounded(vl.flow.normal_flow.reference)).right  # float32 and a small epsilon are a person's right
    assert "returns a value of type list" in repr(named(strings))
    assert "modifies its argument Ix" in repr(named(changes_its_input))
    assert [name for name, why in named(only_contiguous).rows if why] == ["reads arrays in any memory layout"]
    assert "returns None" in repr(named(lambda *a: None))
    assert "raises ZeroDivisionError" in repr(named(lambda *a: 1 / 0))
    with pytest.raises(ValueError, match="there are no checks for 'warp'"):
        warp = lambda: None  # noqa: E731
        warp.__name__ = "warp"
        check(warp)


@pytest.mark.parametrize("shape", ["right", "wrong"])
def test_the_check_the_handout_and_the_report_count_the_same_things_and_list_what_they_count(shape, handed_out):
    code = (
        "import numpy as np\ndef normal_flow(Ix, Iy, It):\n"
        f"    return np.zeros((*Ix.shape, {2 if shape == 'right' else 3}))\n"
    )
    names: dict = {}
    exec(code, names)
    verdict, card = vl.check(names["normal_flow"]), opened(handed_out(FIRST)).check(names["normal_flow"])
    asked = next(q for q in Assignment.read(FIRST).questions if q.operation.short == "normal_flow")
    spec = asked.operation.spec
    counted = len(spec.cases) + len(spec.laws) + (shape == "wrong")
    left = opened(handed_out(FIRST))._store()[0]["questions"]["normal_flow"]["laws_left_out"]

    said = re.search(r"(\d+) of (\d+) hold", verdict.text())
    assert int(said[2]) == counted == len(verdict.shown)
    assert verdict.text().count("\n  breaks") == 1 and int(said[1]) == sum(row.held for row in verdict.shown)
    assert said[0] in verdict._repr_html_()

    said = re.search(r"(\d+) of (\d+) hold", repr(card))
    assert int(said[2]) == counted - left == len(card.rows)
    assert int(said[2]) - int(said[1]) == repr(card).count("\n  breaks")

    with grading.Desk(Assignment.read(FIRST), seed=1, examples=5) as desk:
        result = desk.grade(Paper("ada", "ada.py", code.encode(), ".py"))
    (question,) = (q for q in result["questions"] if q["operation"] == "flow.normal_flow")
    told = report.markdown({**result, "questions": [question]}, "T")
    said = re.search(r"(?:(\d+)|None) of (\d+) hold", told)
    assert int(said[2]) == counted
    assert told.count("- **holds**") == int(said[1] or 0) and told.count("- **breaks**") == counted - int(said[1] or 0)


def test_a_family_without_an_answer_takes_no_law_of_the_others_with_it(handed_out):
    right = vl.flow.spatiotemporal_gradients.reference

    def spatiotemporal_gradients(I0, I1):
        if I0.ndim > 2:
            raise ValueError("not in color")
        return right(I0, I1)

    card, verdict = opened(handed_out(FIRST)).check(spatiotemporal_gradients), vl.check(spatiotemporal_gradients)
    broken = [name for name, why in card.rows if why]
    assert broken == [row.title for row in verdict.shown if not row.held]
    assert "cases: color" in broken and len(broken) < len(card.rows) - 1


def test_the_released_checks_end_a_call_that_never_ends(handed_out):
    def normal_flow(Ix, Iy, It):
        try:
            while True:
                pass
        except Exception:
            return Ix

    before = signal.getsignal(signal.SIGALRM)
    card = opened(handed_out(FIRST)).check(normal_flow, seconds=0.1)
    assert card.status == "timed out" and not card.right
    assert "no answer within 0.1 s: is there a loop that never ends?" in repr(card)
    assert signal.getsignal(signal.SIGALRM) is before and signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_what_calls_a_helper_that_is_not_handed_out_is_not_said_to_be_wrong(handed_out):
    folder = handed_out(ROOT / "exercises" / "04_video_as_tensors.toml")
    vl = opened(folder)

    def early_fusion(x, w, b=None):
        return vl.layers.conv2d(x.reshape(len(x), -1, *x.shape[3:]), w.reshape(len(w), -1, *w.shape[3:]), b)

    card = vl.check(early_fusion)
    assert (card.status, card.rows, card.right) == ("can't be checked here", [], False)
    assert "can be checked where vidlearn is installed, and is graded like any other" in " ".join(repr(card).split())
    assert "layers.conv2d` would give an answer away" in (folder / "README.md").read_text()

    def early_fusion(x, w, b=None):
        raise ImportError("my own")

    assert vl.check(early_fusion).status == "wrong"


def test_of_what_a_function_prints_the_first_lines_are_shown(handed_out, capsys):
    def normal_flow(Ix, Iy, It):
        print("here")
        return It

    check = opened(handed_out(FIRST)).check
    check(normal_flow)
    *shown, last = capsys.readouterr().out.splitlines()
    assert shown == ["here"] * 10 and re.fullmatch(r"… and \d+ more printed lines", last)
    check(normal_flow, seconds=None)  # a debugger speaks through the same stream
    assert set(capsys.readouterr().out.splitlines()) == {"here"}


@pytest.mark.parametrize("file", EXERCISES, ids=lambda file: file.stem)
def test_the_cell_that_draws_says_what_it_needs_beside_numpy(file, handed_out):
    cells = json.loads((handed_out(file) / f"{file.stem}.ipynb").read_text())["cells"]
    needs = {
        cell["source"].split("\n")[0].removeprefix("# this cell needs ")
        for cell in cells
        if cell["cell_type"] == "code" and re.search("matplotlib|from vidlearn", cell["source"])
    }
    expected = {"06": "vidlearn itself", "07": "matplotlib"}.get(file.stem[:2], "vidlearn itself and matplotlib")
    assert needs == {expected}


def test_a_question_in_torch_is_checked_with_tensors(tmp_path):
    torch = pytest.importorskip("torch", reason="not run, because torch is not installed")
    data = {
        "assignment": {"id": "t", "packages": ["torch"]},
        "question": [{"operation": "flow.normal_flow", "backend": "torch"}],
    }
    cell = {"cell_type": "code", "metadata": {}, "source": "def normal_flow(Ix, Iy, It):\n    pass", "outputs": []}
    (tmp_path / "t.ipynb").write_text(json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [cell]}))
    files, _ = student_files(Assignment.from_dict(data), tmp_path / "t.ipynb")
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)

    def normal_flow(Ix, Iy, It):
        assert isinstance(Ix, torch.Tensor)
        squared = Ix**2 + Iy**2
        scale = -It / torch.where(squared > 0, squared, 1.0)
        return torch.stack([scale * Ix, scale * Iy], dim=-1)

    card = opened(tmp_path).check(normal_flow)
    assert card.right, card
    card = opened(tmp_path).check(functools.wraps(normal_flow)(lambda *a: normal_flow(*a) + 1))
    assert card.status == "wrong" and "expected" in repr(card)


def test_a_released_notebook_holds_no_output_no_metadata_and_no_hidden_test(tmp_path):
    notebook = json.loads(solution_of(FIRST).with_suffix(".ipynb").read_text())
    notebook["metadata"]["otter"] = {"tests": {"q1": "secret"}}
    for cell in notebook["cells"]:
        cell["metadata"]["hidden"] = "secret"
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = (
                [{"output_type": "stream", "name": "stdout", "text": "secret"}],
                3,
            )
    (tmp_path / "nb.ipynb").write_text(json.dumps(notebook))
    files, notes = student_files(Assignment.read(FIRST), tmp_path / "nb.ipynb")
    text = files["nb.ipynb"].decode()
    assert "secret" not in text and "HIDDEN TESTS" not in text and "SOLUTION" not in text and not notes
    assert "import checks as vl" in text and '"vl.check(normal_flow)"' in text


def test_an_answer_without_marks_is_taken_out_too(tmp_path):
    source = 'def normal_flow(Ix, Iy, It):\n    """Say it."""\n    secret = Ix\n    return secret\n'
    asked = "".join(
        f"def {name}(*a):\n    return 'secret'\n" for name in ("spatiotemporal_gradients", "linearized_residual")
    )
    cells = [{"cell_type": "code", "metadata": {}, "source": text, "outputs": []} for text in (source, asked)]
    (tmp_path / "nb.ipynb").write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}))
    files, notes = student_files(Assignment.read(FIRST), tmp_path / "nb.ipynb")
    assert b"secret" not in files["nb.ipynb"] and b"Say it." in files["nb.ipynb"]
    assert any("from checks import check" in note for note in notes)


SECOND = {
    "in the same cell": ("def normal_flow(*a):\n    return 1\n\ndef normal_flow(*a):\n    return 'secret'", ""),
    "in another": ("def normal_flow(*a):\n    return 'secret'", ""),
    "in an if": ("if True:\n    def normal_flow(*a):\n        return 'secret'", ""),
    "timed": ("%%time\ndef normal_flow(*a):\n    return 'secret'\n%timeit normal_flow()", ""),
    "a lambda": (
        "normal_flow = lambda *a: 'secret'",
        "begins with .normal_flow = lambda.* would .*: normal_flow gets a",
    ),
    "in a function": (
        "def f():\n    def normal_flow(*a):\n        return 'secret'",
        "normal_flow in line 2 can't be emptied",
    ),
}


@pytest.mark.parametrize("what", SECOND)
def test_a_second_answer_is_taken_out_too_or_refused(what, tmp_path):
    text, why = SECOND[what]
    cells = [
        {"cell_type": "code", "metadata": {}, "source": source, "outputs": []}
        for source in ("def normal_flow(*a):\n    return 'secret'", text)
    ]
    (tmp_path / "nb.ipynb").write_text(json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": cells}))
    asked = Assignment.from_dict({"question": [{"operation": "flow.normal_flow"}]})
    if why:
        with pytest.raises(ValueError, match=why):
            student_files(asked, tmp_path / "nb.ipynb")
    else:
        files, _ = student_files(asked, tmp_path / "nb.ipynb")
        assert b"secret" not in files["nb.ipynb"]


@pytest.mark.parametrize("more", ["", "import os\nos._exit(0)"], ids=["as it is", "a cell ends the process"])
@pytest.mark.parametrize("file", [EXERCISES[2], EXERCISES[3]], ids=lambda file: file.stem)
def test_the_notebook_students_get_is_graded_as_the_original_is(file, more, handed_out):
    """Where vidlearn is not there they import the checks; in the sandbox they get its view, helpers and all."""
    notebook = json.loads((handed_out(file) / f"{file.stem}.ipynb").read_text())
    answers = {node.name: ast.unparse(node) for node in functions_in(solution_of(file).read_text())}
    for cell in notebook["cells"]:
        for name, text in answers.items():
            if cell["cell_type"] == "code" and cell["source"].startswith(f"def {name}("):
                cell["source"] = text
    notebook["cells"].insert(2, {"cell_type": "code", "metadata": {}, "source": more, "outputs": []})
    with grading.Desk(Assignment.read(file), seed=1, examples=4, feedback=False) as desk:
        result = desk.grade(Paper("ada", "a.ipynb", json.dumps(notebook).encode(), ".ipynb"))
    assert result["score"] == result["max_score"], result["questions"]


def test_a_folder_handed_in_whole_is_one_submission_although_the_checks_are_in_it(tmp_path, handed_out):
    shutil.copytree(handed_out(FIRST), tmp_path / "ada")
    (tmp_path / "ada" / f"{FIRST.stem}.ipynb").rename(tmp_path / "ada" / "mine.ipynb")
    paper = one_paper(tmp_path / "ada", "ada", FIRST.stem)
    assert not paper.problem and paper.submission == "mine.ipynb"


# ------------------------------------------------------------------------------------------- the folder


def test_a_release_holds_all_three_bundles_and_can_be_made_again(tmp_path):
    out = tmp_path / "out"
    release(FIRST, out, seed=5)
    made = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert {name.split("/")[0] for name in made} == {
        "student", f"{FIRST.stem}.zip", "gradescope", "nbgrader", "release.json",
    }  # fmt: skip
    with zipfile.ZipFile(out / f"{FIRST.stem}.zip") as archive:
        inside = {name.removeprefix(f"{FIRST.stem}/"): archive.read(name) for name in archive.namelist()}
    assert inside == {name.removeprefix("student/"): data for name, data in made.items() if name.startswith("student/")}
    release(FIRST, out, seed=5)
    assert {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()} == made
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("touch", ["foreign folder", "changed", "added", "in the way"])
def test_what_somebody_else_put_there_is_not_lost(tmp_path, touch):
    out, mine = tmp_path / "out", b"mine"
    place = out / {"foreign folder": "a.txt", "changed": "student/README.md", "added": "student/more.py",
                   "in the way": "student"}[touch]  # fmt: skip
    if touch in ("changed", "added"):
        release(FIRST, out, seed=5)
    elif touch == "in the way":
        out.mkdir()
        (out / "release.json").write_text('{"files": {}}')
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(mine)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=r"^out: .*(out|README|more|student)"):
        release(FIRST, out, seed=5)
    assert place.read_bytes() == mine and sorted(tmp_path.rglob("*")) == before


def test_a_release_does_not_replace_that_of_another_assignment(tmp_path):
    out = tmp_path / "handout"
    release(FIRST, out, seed=5)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    second = sorted(FIRST.parent.glob("02_*.toml"))[0]
    with pytest.raises(ValueError, match=r"holds the release of '01_brightness_constancy', not of '02_lucas_kanade'"):
        release(second, out)
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


BAD = {
    "no such TOML": (["release", "none.toml"], "assignment: none.toml cannot be read"),
    "bad TOML": (["release", "bad.toml"], "assignment: bad.toml is not TOML"),
    "no notebook": (["release", "lone.toml"], "notebook: there is no file lone.ipynb; name one with --notebook"),
    "no such notebook": (["release", "lone.toml", "--notebook", "x.ipynb"], "notebook: there is no file x.ipynb"),
    "not a notebook": (["release", "lone.toml", "--notebook", "bad.toml"], "notebook: bad.toml: is not a notebook"),
    "other functions": (
        ["release", "lone.toml", "--notebook", "empty.ipynb"], "no cell defines the function spatiotemporal_gradients",
    ),
    "an id with a slash": (["release", "id.toml", "--notebook", "empty.ipynb"], "can't name a file"),
    "bundle: no such TOML": (["grade", "bundle", "none.toml"], "assignment: none.toml cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_released_is_one_sentence_and_nothing_is_written(case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("bad.toml").write_text("[assign")
    shutil.copy(FIRST, "lone.toml")
    Path("id.toml").write_text('[assignment]\nid = "../x"\n[[question]]\noperation = "flow.warp"\n')
    Path("empty.ipynb").write_text('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}')
    before = sorted(tmp_path.rglob("*"))
    arguments, sentence = BAD[case]
    assert cli([*arguments, "--out", "made"]) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("arguments", [["grade", "bundle"], ["grade"], ["release"]])
def test_each_verb_has_its_own_help(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli([*arguments, "--help"])
    assert stop.value.code == 0
    assert f"usage: vidlearn {' '.join(arguments)} " in capsys.readouterr().out


# ------------------------------------------------------------------------------------------- Gradescope


@pytest.fixture(scope="module")
def bundle():
    return autograder(FIRST, seed=4_242_424_242)


def container(folder, data, submission, metadata="{}"):
    """A folder as Gradescope's container has it: the zip unpacked by mode, Python where setup.sh puts it."""
    for name in ("source", "submission", "results", "venv/bin"):
        (folder / name).mkdir(parents=True)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            path = Path(archive.extract(info, folder / "source"))
            path.chmod(stat.S_IMODE(info.external_attr >> 16))
    shutil.copy(folder / "source" / "run_autograder", folder)
    python = folder / "venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    for name, text in submission.items():
        (folder / "submission" / name).write_text(text)
    (folder / "submission_metadata.json").write_text(metadata)
    return folder


def run(folder, *before):
    environment = {"PATH": os.environ["PATH"], "VIDLEARN_AUTOGRADER": str(folder)}
    done = subprocess.run([*before, folder / "run_autograder"], env=environment, capture_output=True, text=True)
    return valid(json.loads((folder / "results" / "results.json").read_text())), done


FORMATS = ("text", "html", "simple_format", "md", "ansi")
VISIBILITY = ("hidden", "after_due_date", "after_published", "visible")
KINDS = {
    "score": (int, float), "max_score": (int, float), "execution_time": (int, float), "output": str, "tests": list, "name": str,
    "number": str, "tags": list, "extra_data": dict, "leaderboard": list, "output_format": FORMATS, "name_format": FORMATS,
    "test_output_format": FORMATS, "test_name_format": FORMATS, "visibility": VISIBILITY, "stdout_visibility": VISIBILITY,
    "status": ("passed", "failed"),
}  # fmt: skip
TOP = {
    "score", "execution_time", "output", "output_format", "test_output_format", "test_name_format", "visibility",
    "stdout_visibility", "extra_data", "tests", "leaderboard",
}  # fmt: skip
TEST = {
    "score", "max_score", "status", "name", "name_format", "number", "output", "output_format", "tags", "visibility",
    "extra_data",
}  # fmt: skip


def valid(made):
    """Gradescope's specification of results.json, as far as it can be checked."""
    for entry, keys in [(made, TOP), *((test, TEST) for test in made.get("tests", []))]:
        assert set(entry) <= keys
        for key, value in entry.items():
            expected = KINDS[key]
            if isinstance(expected, tuple) and isinstance(expected[0], str):
                assert value in expected, (key, value)
            else:
                assert isinstance(value, expected) and not isinstance(value, bool), (key, value)
    return made


WRONG = "import numpy as np\ndef normal_flow(Ix, Iy, It):\n    return np.stack([Ix, Iy], -1)\n"
HOSTILE = """
import os, signal, glob
found = []
for path in glob.glob("BASE/**/*", recursive=True) + ["BASE/source/grading.json", "BASE/source/assignment.toml"]:
    try:
        found.append(open(path).read())
    except OSError:
        pass
try:
    found += [open(f"/proc/{os.getppid()}/" + name, "rb").read(10**6) for name in ("mem", "environ", "cmdline")]
except OSError:
    pass
for path in ("BASE/results/results.json", "BASE/results/.results.json.part", "BASE/source/grading.json"):
    try:
        open(path, "w").write('{"score": 100}')
    except OSError:
        pass
print('{"score": 100}', "4242424242" in repr(found), len(found))
for victim in (os.getppid(), 1):
    try:
        os.kill(victim, signal.SIGKILL)
    except OSError:
        pass
def normal_flow(*a):
    os._exit(0)
"""

HANDED_IN = {
    "right": (lambda: {f"{FIRST.stem}.py": solution_of(FIRST).read_text()}, 5.0, "correct"),
    "wrong": (lambda: {"a.py": WRONG}, 0.0, "wrong"),
    "hostile": (lambda: {"a.py": HOSTILE}, 0.0, "ended"),
    "nothing": (dict, 0.0, "no notebook and no Python file in it"),
    "several files": (lambda: {"a.py": WRONG, "b.py": WRONG}, 0.0, "Hand in one notebook or one Python file"),
    "cut off": (lambda: {"a.ipynb": '{"cells": ['}, 0.0, "unreadable"),
}


@pytest.mark.parametrize("what", HANDED_IN)
def test_the_autograder_marks_what_was_handed_in_and_writes_a_valid_file(what, tmp_path, bundle):
    files, score, told = HANDED_IN[what]
    files = {name: text.replace("BASE", str(tmp_path)) for name, text in files().items()}
    metadata = {"users": [{"name": "Ada\x1b[1m"}, {"name": "Grace", "email": "g@x"}], "created_at": "2026-11-01T10:00"}
    made, done = run(container(tmp_path, bundle, files, json.dumps(metadata)))
    assert made["score"] == score, done.stderr
    assert sum(test["max_score"] for test in made["tests"]) == 5
    text = json.dumps(made)
    assert told in text and "Isolation level" in made["output"] and "handed in 2026-11-01T10:00" in made["output"]
    assert "Ada\ufffd[1m, Grace" in made["output"]
    assert "4242424242" not in text and made["stdout_visibility"] == "hidden" and not done.stdout
    if what == "hostile":
        assert '{"score": 100} False' in made["tests"][2]["output"] or "ended" in made["tests"][2]["output"]
        assert json.loads((tmp_path / "source" / "grading.json").read_text())["seed"] == 4_242_424_242


@pytest.mark.parametrize(
    "text", ["", "[]", '{"users": 3, "created_at": 4}', '{"users": [{"name": null}, 5]}', "[" * 100_000]
)
def test_metadata_that_cannot_be_read_is_a_student_without_a_name(text, tmp_path):
    (tmp_path / "m.json").write_text(text)
    assert _handed_in(tmp_path / "m.json") == ("a student", "")
    assert _handed_in(tmp_path / "none.json") == ("a student", "")


def test_the_autograder_gives_the_marks_of_the_grader_itself(tmp_path, bundle):
    ours = grade(SAMPLES / "submissions" / "student-06.py", FIRST, seed=4_242_424_242, feedback=False)[0]
    text = (SAMPLES / "submissions" / "student-06.py").read_text()
    made, _ = run(container(tmp_path, bundle, {"student-06.py": text}))
    assert made["score"] == ours["score"] > 0
    assert [test["score"] for test in made["tests"]] == [question["score"] for question in ours["questions"]]


def test_the_zip_is_the_same_every_time_and_its_scripts_can_be_run():
    bundle, again, other = autograder(FIRST, seed=7), autograder(FIRST, seed=7), autograder(FIRST)
    assert again == bundle != other
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        modes = {info.filename: stat.S_IMODE(info.external_attr >> 16) for info in archive.infolist()}
        scripts = {name for name in modes if archive.read(name).startswith(b"#!")}
        assert b"hypothesis" in archive.read("setup.sh")
    assert scripts == {name for name, mode in modes.items() if mode == 0o755} == {"run_autograder", "setup.sh"}
    assert not any("__pycache__" in name or "samples" in name for name in modes)


def test_scripts_are_bash_that_can_be_read(tmp_path, bundle):
    folder = container(tmp_path, bundle, {})
    for name in ("setup.sh", "run_autograder"):
        assert subprocess.run(["bash", "-n", folder / "source" / name]).returncode == 0


def test_a_grader_that_is_killed_leaves_a_file_that_says_so_and_gives_no_score(tmp_path, bundle):
    folder = container(tmp_path, bundle, {"a.py": WRONG})
    (folder / "venv" / "bin" / "python").write_text("#!/bin/sh\nkill -9 $$\n")
    made, _ = run(folder)
    assert "did not come to its end" in made["output"]
    assert "score" not in made and "tests" not in made  # Gradescope then says that the autograder failed


def test_a_container_that_gives_less_than_is_required_grades_nobody(tmp_path, bundle, monkeypatch):

    monkeypatch.setattr(grading, "Desk", functools.partial(grading.Desk, layers=("limits",)))
    folder = container(tmp_path / "b", bundle, {"a.py": solution_of(FIRST).read_text()})
    assert grade_here(folder) == 1
    made = valid(json.loads((folder / "results" / "results.json").read_text()))
    assert "score" not in made and "isolation level C" in made["output"] and "--require-isolation C" in made["output"]
    folder = container(
        tmp_path / "any", autograder(FIRST, require_isolation=False), {"a.py": solution_of(FIRST).read_text()}
    )
    assert grade_here(folder) == 0
    made = valid(json.loads((folder / "results" / "results.json").read_text()))
    assert made["score"] == 5 and "Isolation level C" in made["output"]


def test_without_namespaces_the_seed_can_be_neither_read_nor_changed(tmp_path, bundle, monkeypatch):
    layers = tuple(name for name in LAYERS if name not in ("namespaces", "file system"))
    monkeypatch.setattr(grading, "Desk", functools.partial(grading.Desk, layers=layers))
    text = HOSTILE.replace("BASE", str(tmp_path)) + solution_of(FIRST).read_text()
    folder = container(tmp_path, bundle, {"a.py": text})
    status = grade_here(folder)
    made = valid(json.loads((folder / "results" / "results.json").read_text()))
    if status and "gives isolation level" in made["output"]:
        pytest.skip(f"not run, because {made['output']}")
    assert made["score"] == 5 and '{"score": 100} False' in json.dumps(made).replace("\\", "")
    assert "Isolation level B" in made["output"]
    assert json.loads((folder / "source" / "grading.json").read_text())["seed"] == 4_242_424_242


def test_before_a_submission_runs_the_seed_and_the_results_are_closed_to_all_but_root(tmp_path, bundle, monkeypatch):
    if os.geteuid():
        pytest.skip("not run, because only root grades as one user and runs submissions as another")
    folder, modes = container(tmp_path, bundle, {"a.py": WRONG}), {}

    class Looked(grading.Desk):
        def grade(self, paper):
            for name in ("source", "results", "submission"):
                modes[name] = stat.S_IMODE((folder / name).stat().st_mode)
            raise ValueError("seen enough")

    monkeypatch.setattr(grading, "Desk", Looked)
    for name in ("source", "results", "submission"):
        (folder / name).chmod(0o755)
    assert grade_here(folder) == 1
    assert modes == {"source": 0o700, "results": 0o700, "submission": 0o755}


def test_the_autograder_runs_as_an_ordinary_user_too(bundle):
    if os.geteuid() or not shutil.which("setpriv"):
        pytest.skip("not run, because only root can become another user, with setpriv")
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    reach = [*as_nobody, "sh", "-c", f"exec '{sys.executable}' -c 'import numpy'"]
    if subprocess.run(reach, capture_output=True).returncode:
        pytest.skip(f"not run, because another user can't start {sys.executable}")
    with tempfile.TemporaryDirectory() as name:
        folder = container(Path(name), bundle, {"a.py": solution_of(FIRST).read_text()})
        subprocess.run(["chown", "-R", "65534:65534", folder], check=True)
        made, done = run(folder, *as_nobody)
    assert made.get("score") == 5, done.stderr
