"""Packages beyond NumPy in the sandbox: torch and SciPy where the assignment names them, and nowhere else."""

import json
import textwrap
from pathlib import Path

import numpy as np
import pytest

import vidlearn as vl
from vidlearn.grade import Assignment
from vidlearn.grade.grading import Desk
from vidlearn.grade.intake import Paper
from vidlearn.judge import Stopped
from vidlearn.sandbox import LAYERS, Limits, Sandbox, SandboxError, installed

pytest.importorskip("torch", reason="not run, because torch is not installed")

X = np.arange(6.0).reshape(2, 3)
QUESTION = {"operation": "flow.normal_flow", "points": 10}
HEAD = {"id": "t", "time_limit": 5, "memory_limit": 256}
WRITTEN_FOR_TORCH = """
import torch
def normal_flow(Ix, Iy, It):
    squared = Ix**2 + Iy**2
    scale = -It / torch.where(squared > 0, squared, torch.ones_like(squared))
    return torch.stack([scale * Ix, scale * Iy], dim=-1)
"""
BOTH_WAYS = "import torch\n" + WRITTEN_FOR_TORCH.replace("import torch\n", "").replace(
    "    squared", "    Ix, Iy, It = map(torch.as_tensor, (Ix, Iy, It))\n    squared", 1
)
ANSWERS = {  # each right, from NumPy's arrays to what is returned, which is judged as an array
    "a tensor": "return y",
    "one that asks for its gradient": "return y.requires_grad_()",
    "a parameter of a module": "return torch.nn.Parameter(y)",
    "one with gaps in memory": "return torch.stack([y, y], -1)[..., 0]",
    "one turned round": "return y.T.contiguous().T",
    "single precision": "return y.float()",
    "what autograd gives": "z = y.clone().requires_grad_(); (z**2 / 2).sum().backward(); return z.grad",
    "an array of NumPy": "return y.numpy()",
    "after a matrix product in four threads": "torch.set_num_threads(4); torch.ones(200, 200) @ torch.ones(200, 200); return y",
    "after a layer": "torch.nn.Conv3d(1, 2, 3)(torch.ones(1, 1, 4, 8, 8)).sum().backward(); return y",
}


@pytest.fixture(scope="module", params=["A", "B"])
def sandbox(request):
    without = () if request.param == "A" else ("namespaces", "file system")
    with Sandbox(["torch"], [name for name in LAYERS if name not in without]) as sandbox:
        yield sandbox


@pytest.fixture
def call(sandbox):
    """Run the body of a function of `x` in a worker, where `y` is x as a tensor."""
    workers = []

    def run(body, *values, backend="numpy"):
        source = "import torch\ndef f(x):\n    y = torch.as_tensor(x)\n" + textwrap.indent(
            textwrap.dedent(body), "    "
        )
        worker = sandbox.worker(Limits(memory=256 << 20))
        workers.append(worker)
        worker.open(source.encode(), ".py")
        return worker.load("f", backend=backend)(*values)

    yield run
    for worker in workers:
        worker.close()


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_tensor_is_taken_as_an_array(call, kind):
    answer = call(ANSWERS[kind], X)
    assert type(answer) is np.ndarray
    np.testing.assert_array_equal(answer, X)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "int64", "bool", "float8_e4m3fn"])
def test_any_dtype_arrives_with_its_values(call, dtype):
    answer = call(f"return (y > 1).to(torch.{dtype})", X)
    assert answer.dtype.name == {"bfloat16": "float32", "float8_e4m3fn": "float32"}.get(dtype, dtype)
    np.testing.assert_array_equal(answer, X > 1)


@pytest.mark.parametrize("body", ["return y.to_sparse()", "return y.to('meta')", "return torch.nn.Linear(1, 1)"])
def test_what_holds_no_plain_numbers_is_no_array(call, body):
    assert not isinstance(call(body, X), np.ndarray)


def test_several_tensors_come_back_in_their_tuple(call):
    answers = call("return y, [y + 1, None]", X)
    assert type(answers) is tuple and type(answers[1]) is list and answers[1][1] is None
    np.testing.assert_array_equal(answers[1][0], X + 1)


def test_tensors_go_in_where_the_question_says_so_and_changes_are_seen(call):
    x = X.copy()
    assert call("return type(x).__name__, str(x.dtype)", x, backend="torch") == ("Tensor", "torch.float64")
    assert call("return type(x).__name__", x) == "ndarray"
    call("x *= 2", x, backend="torch")
    np.testing.assert_array_equal(x, 2 * X)


def test_memory_is_limited_beyond_what_torch_needs(call):
    with pytest.raises(Stopped) as stopped:
        call("return torch.ones(1 << 28)", X)
    assert stopped.value.status == "out of memory"


@pytest.fixture(scope="module")
def marked():
    """The questions of a submission, by name; the first hands out tensors, the second arrays."""
    asked = [{**QUESTION, "backend": "torch"}, {"operation": "flow.condition_number", "points": 4}]
    assignment = Assignment.from_dict({"assignment": {**HEAD, "packages": ["torch"]}, "question": asked})
    with Desk(assignment, seed=5, examples=3) as desk:

        def mark(source):
            result = desk.grade(Paper("a", "a.py", source.encode(), ".py"))
            return {question["operation"]: question for question in result["questions"]}

        yield mark


@pytest.mark.parametrize("source", [WRITTEN_FOR_TORCH, BOTH_WAYS])
def test_an_answer_written_for_torch_gets_full_marks_where_the_question_hands_it_tensors(marked, source):
    question = marked(source)["flow.normal_flow"]
    assert (question["status"], question["score"]) == ("correct", 10), question


def test_a_student_checks_an_answer_written_for_torch_with_tensors():
    names = {}
    exec(WRITTEN_FOR_TORCH, names)
    verdict = vl.check(names["normal_flow"], backend="torch", examples=3)
    assert verdict.right and verdict.replay == "vl.check(normal_flow, seed=0, examples=3, backend='torch')"
    assert not vl.check(names["normal_flow"], examples=3).right


def test_a_wrong_answer_in_torch_has_its_mistake_named(marked):
    question = marked(WRITTEN_FOR_TORCH.replace("-It", "It"))["flow.normal_flow"]
    assert question["status"] == "wrong" and {"kind": "looks like", "text": "sign of I_t"} in question["findings"]


@pytest.mark.parametrize("wrap", ["", "torch.as_tensor"])
def test_otherwise_it_is_handed_arrays_and_may_return_tensors(marked, wrap):
    source = f"""
import numpy as np
import torch
def condition_number(eigenvalues):
    first, second = eigenvalues[..., 0], eigenvalues[..., 1]
    assert not torch.is_tensor(first)
    return {wrap}(np.where(second > 0, first / np.where(second > 0, second, 1), np.inf))
"""
    question = marked(source)["flow.condition_number"]
    assert (question["status"], question["score"]) == ("correct", 4), question


def test_where_the_assignment_does_not_name_torch_there_is_none():
    with Desk(Assignment.from_dict({"assignment": HEAD, "question": [QUESTION]}), seed=5, examples=3) as desk:
        question = desk.grade(Paper("a", "a.py", BOTH_WAYS.encode(), ".py"))["questions"][0]
    assert question["score"] == 0 and "No module named 'torch'" in json.dumps(question["findings"])


@pytest.mark.parametrize(
    ("head", "question", "message"),
    [
        ({}, {"backend": "torch"}, 'backend = "torch" needs packages = ["torch"]'),
        ({"packages": ["torch"]}, {"backend": "jax"}, "backend is 'jax', expected numpy or torch"),
    ],
)
def test_a_backend_that_cannot_be_is_refused(head, question, message):
    with pytest.raises(ValueError, match=message.replace("[", r"\[").replace("]", r"\]")):
        Assignment.from_dict({"assignment": {**HEAD, **head}, "question": [{**QUESTION, **question}]})


def test_a_package_that_is_not_installed_is_named_with_the_command():
    with pytest.raises(SandboxError, match="the package no_such_package is not installed here: pip install no_such"):
        Sandbox(["no_such_package"])


def test_a_package_that_cannot_be_imported_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "broken_here.py").write_text("raise RuntimeError('not for this processor')")
    monkeypatch.syspath_prepend(tmp_path)
    with (
        Sandbox(["broken_here"]) as sandbox,
        pytest.raises(SandboxError, match=r"^the warm process did not start: RuntimeError: not for this processor$"),
    ):
        sandbox.worker()


def test_a_package_brings_what_it_depends_on_and_nothing_else():
    names = {Path(path).name for path in installed(["torch"])}
    assert {"torch", "torchgen", "typing_extensions.py", "sympy"} <= names
    assert not names & {"vidlearn", "pytest", "hypothesis", "pip"}


@pytest.mark.parametrize("package", ["scipy", "skimage", "cv2"])
def test_other_packages_work_with_what_they_depend_on(package):
    pytest.importorskip(package, reason=f"not run, because {package} is not installed")
    body = {
        "scipy": "from scipy import ndimage, optimize, signal; return ndimage.uniform_filter(x, 3)",
        "cv2": "import cv2; return cv2.GaussianBlur(x, (3, 3), 1)",
        "skimage": "from skimage import filters, transform; return filters.gaussian(x)",
    }[package]
    with Sandbox([package]) as sandbox, sandbox.worker(Limits(seconds=20)) as worker:
        worker.open(f"def f(x): {body}".encode(), ".py")
        assert worker.load("f")(np.ones((4, 4))) == pytest.approx(np.ones((4, 4)))
        with pytest.raises(ModuleNotFoundError, match="torch"):
            worker.open(b"def g(x): import torch", ".py")
            worker.load("g")(1)
