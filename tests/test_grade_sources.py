"""What an assignment allows is handed out whole: with all that it is built on, from whatever module, and no answer."""

import ast
import sys

import pytest

import vidlearn
from vidlearn.grade import Assignment
from vidlearn.grade.sources import source_of
from vidlearn.judge import judge
from vidlearn.sandbox import Sandbox

OPERATIONS = vidlearn.operations()


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_source_of_an_operation_stands_alone(name, monkeypatch):
    operation = OPERATIONS[name]
    text = source_of([operation], "")
    imported = {node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
    assert not any(module.startswith("vidlearn") for module in imported)
    space = {"__name__": "handed_out"}
    monkeypatch.setitem(sys.modules, "handed_out", sys)  # dataclasses look their module up
    exec(compile(text, "<handed out>", "exec"), space)
    verdict = judge(space[operation.short], operation, examples=3, shrink=False)
    assert verdict.right, verdict.text()


@pytest.mark.parametrize(
    ("helper", "asked"),
    [
        ("flow.iterative_lucas_kanade", "flow.warp"),
        ("nonlocal_attention.attention", "layers.softmax"),
        ("transformers.sliding_window_attention", "nonlocal_attention.attention"),
        ("layers.max_pool3d", "layers.max_pool3d"),
    ],
)
def test_what_is_built_on_the_answer_is_refused_also_across_concepts(helper, asked):
    with pytest.raises(ValueError, match=r"helpers: .* cannot be allowed: it is"):
        Assignment.from_dict({"question": [{"operation": asked, "helpers": [helper]}]})


def test_a_helper_that_is_built_on_another_concept_works_in_the_sandbox():
    data = {"question": [{"operation": "flow.warp", "helpers": ["nonlocal_attention.nonlocal_block", "layers.relu"]}]}
    question = Assignment.from_dict(data).questions[0]
    code = b"from vidlearn import nonlocal_attention\ndef block(*a, **k): return nonlocal_attention.nonlocal_block(*a, **k)\n"
    with Sandbox() as sandbox, sandbox.worker() as worker:
        worker.open(code, ".py", asked=["block"], helpers=question.helper_sources(), shut=question.shut())
        verdict = judge(worker.load("block"), vidlearn.operation("nonlocal_block"), examples=3, shrink=False)
    assert verdict.right, verdict.text()
