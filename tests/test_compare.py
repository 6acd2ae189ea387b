"""Comparisons: the judge's verdict, an error that is measured, a limit that is measured, and nothing silently absent."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import vidlearn as vl
from vidlearn.compare import Comparison, Machine, compare
from vidlearn.compare.measure import seconds
from vidlearn.compare.running import _errors
from vidlearn.judge.bank import Case
from vidlearn.judge.candidate import Outcome

SMALL = {"size": (16, 24), "repeats": 2, "examples": 6}


def test_what_can_not_run_is_listed_with_its_reason():
    comparison = compare(["warp"], **SMALL)
    for reason in vl.arrays.available().values():
        assert reason is None or reason in comparison.not_run
    assert all(line.verdict.right for line in comparison.lines) and comparison.right


def test_nothing_run_is_nothing_proved():
    comparison = compare(["warp"], backends=["numpy"], **SMALL)  # NumPy has the reference only
    assert not comparison.lines and not comparison.right
    assert "nothing ran" in comparison.text()


def test_a_right_function_of_ones_own_is_right_and_its_error_is_measured():
    def off_by_a_little(Ix, Iy, It):
        return vl.flow.normal_flow.reference(Ix, Iy, It) * (1 + 1e-6)

    (line,) = compare(["normal_flow"], mine=off_by_a_little, dtype="float64", **SMALL).lines
    assert line.verdict.right
    assert line.relative == pytest.approx(1e-6, rel=1e-3)
    assert line.ulps[2] == pytest.approx(1e-6 / np.finfo(float).eps, rel=1e-3)
    assert line.ulps[2] >= line.ulps[1] >= line.ulps[0] > 0
    assert line.heatmap.shape == (16, 24)


def test_a_wrong_function_is_wrong_with_its_mistake_and_the_error_is_where_it_is():
    def left_half_wrong(Ix, Iy, It):
        flow = vl.flow.normal_flow.reference(Ix, Iy, It)
        flow[:, :12] += 1
        return flow

    comparison = compare(["normal_flow"], mine=left_half_wrong, **SMALL)
    (line,) = comparison.lines
    assert not comparison.right
    assert line.heatmap[:, :12].min() > 0.9 and line.heatmap[:, 12:].max() < 1e-3
    assert "wrong" in comparison.text() and "smallest" in comparison.text()


def test_a_function_that_fails_on_the_timed_input_only_is_reported(tmp_path):
    def small_only(Ix, Iy, It):
        if Ix.size > 100:
            raise RuntimeError("too large")
        return vl.flow.normal_flow.reference(Ix, Iy, It)

    comparison = compare(["normal_flow"], mine=small_only, **SMALL)
    assert "RuntimeError: too large" in comparison.text()


def test_all_three_faces_say_the_same():
    comparison = compare(["normal_flow", "warp"], **SMALL)
    data = json.loads(comparison.to_json())
    assert [line["operation"] for line in data["lines"]] == [line.operation for line in comparison.lines]
    page = comparison.to_html()
    for line in comparison.lines:
        assert line.operation in page and line.operation in comparison.text()
        assert data["lines"][0]["tolerance"] in page.replace("&#x27;", "'")
    assert "<script" not in page


def test_the_limit_is_the_larger_of_moving_and_computing():
    machine = Machine("numpy", "cpu", "float32", bandwidth=1e9, rate=1e10)
    assert machine.floor(flops=1e10, moved=0) == pytest.approx(1)
    assert machine.floor(flops=0, moved=2e9) == pytest.approx(2)


def test_a_slow_call_is_timed_once_and_says_so():
    import time

    took, runs = seconds(lambda: time.sleep(0.02), repeats=5, budget=0.01)
    assert runs == 1 and took >= 0.02
    assert seconds(lambda: None, repeats=4)[1] == 4


@pytest.mark.parametrize(
    ("mine", "said"),
    [
        ("nowhere.py:f", "nowhere.py"),
        ("f", "FILE:FUNCTION"),
        ("{file}:absent", "has no function absent"),
        ("{bad}:f", "SyntaxError"),
    ],
)
def test_a_function_that_is_not_there_is_said_so(tmp_path, mine, said):
    file, bad = tmp_path / "mine.py", tmp_path / "bad.py"
    file.write_text("def f(): pass")
    bad.write_text("def f(:")
    with pytest.raises(ValueError, match=said):
        compare(["warp"], mine=mine.format(file=file, bad=bad), **SMALL)
    with pytest.raises(ValueError, match="one operation"):
        compare(["warp", "normal_flow"], mine=f"{file}:f", **SMALL)


TENSORS = """
import torch
def normal_flow(Ix, Iy, It):
    squared = torch.addcmul(Ix * Ix, Iy, Iy)
    flow = torch.stack([-It * Ix, -It * Iy], dim=-1) / torch.where(squared > 0, squared, 1)[..., None]
    return torch.where((squared > 0)[..., None], flow, 0)
"""


def test_a_function_of_tensors_that_is_given_arrays_is_told_once_which_backend_to_name(tmp_path):
    pytest.importorskip("torch", reason="not run, because torch is not installed")
    (tmp_path / "mine.py").write_text(TENSORS)
    mine = f"{tmp_path / 'mine.py'}:normal_flow"
    with pytest.raises(
        ValueError, match=r"^mine: it raises TypeError: [^\n]*NumPy arrays; for tensors: --backend torch$"
    ):
        compare(["normal_flow"], mine=mine, **SMALL)
    assert compare(["normal_flow"], mine=mine, backends=["torch"], device="cpu", **SMALL).right
    (tmp_path / "mine.py").write_text("import torch\nfrom vidlearn.flow import normal_flow\n")
    assert compare(["normal_flow"], mine=mine, **SMALL).right, "one that takes arrays is not stopped"


def test_what_ulp_counts_is_said_beside_the_column_and_beside_the_tolerance():
    comparison = compare(["normal_flow"], backends=["torch"], device="cpu", **SMALL)
    for face in (comparison.text(), comparison.to_html()):
        assert "ulp: the error on the timed input" in face and "largest value of inputs and answer" in face
    (own,) = compare(["normal_flow"], mine=vl.flow.normal_flow.reference, **SMALL).lines
    assert own.tolerance.startswith("0.0001 of that value") and "ulp" in own.tolerance


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_one_value_that_is_no_number_is_an_infinite_error_on_every_face(bad):
    def spoiled(Ix, Iy, It):
        flow = vl.flow.normal_flow.reference(Ix, Iy, It)
        flow[3, 4, 0] = bad
        return flow

    comparison = compare(["normal_flow"], mine=spoiled, **SMALL)
    (line,) = comparison.lines
    assert line.absolute == line.relative == line.ulps[2] == np.inf and line.ulps[0] < 1
    assert np.argwhere(np.isinf(line.heatmap)).tolist() == [[3, 4]]
    assert _strictly(comparison.to_json())["lines"][0]["absolute"] == "infinite"
    assert "at most inf" in comparison.to_html()


@pytest.mark.parametrize(
    ("answer", "said"),
    [(None, "returns None"), (np.zeros((1, 2), np.float32), "returns shape"), ("flow", "a value of type str")],
)
def test_an_answer_of_the_wrong_form_has_no_error_and_no_time(answer, said):
    comparison = compare(["normal_flow"], mine=lambda Ix, Iy, It: answer, **SMALL)
    (line,) = comparison.lines
    assert np.isnan([line.absolute, line.relative, *line.ulps, line.milliseconds, line.speed_up, line.share]).all()
    assert said in line.note and line.note in comparison.text() and "nan" not in comparison.text()
    assert _strictly(comparison.to_json())["lines"][0]["absolute"] is None


def test_the_error_of_a_single_number_is_every_quantile():
    def off(flow, truth, valid=None):
        return vl.flow.endpoint_error.reference(flow, truth, valid) * (1 + 1e-6)

    (line,) = compare(["endpoint_error"], mine=off, dtype="float64", **SMALL).lines
    assert line.ulps[0] == line.ulps[2] == pytest.approx(1e-6 / np.finfo(float).eps, rel=1e-3)


def test_an_error_where_the_answer_is_undefined_does_not_count():
    op = vl.flow.classify_structure
    inputs = op.spec.large(SMALL["size"], np.random.default_rng(0))
    expected = op.reference(**inputs)
    outcome, case = Outcome((expected + 1,)), Case(inputs, (expected,), np.zeros(expected.shape, bool))
    assert _errors(outcome, case, op.signature.returns, 1.0)[:3] == (0, 0, (0, 0, 0))
    half = np.arange(expected.size).reshape(expected.shape) % 2 == 0
    _, _, ulps, heatmap = _errors(outcome, Case(inputs, (expected,), half), op.signature.returns, 1.0)
    assert ulps[0] == ulps[2] > 0  # the other half does not thin the quantiles
    assert ((heatmap > 0) == half).all()


def test_a_heatmap_is_per_pixel_wherever_the_image_axes_are():
    def one_wrong(f1, f2, max_displacement):
        volume = vl.flow.correlation_volume.reference(f1, f2, max_displacement)
        volume[1, 2, 3] += 1
        return volume

    (line,) = compare(["correlation_volume"], mine=one_wrong, **SMALL).lines
    assert np.unravel_index(line.heatmap.argmax(), line.heatmap.shape) == (2, 3)


def test_an_operation_with_nothing_to_compare_is_said_so():
    comparison = compare(["warp", "dense"], backends=["numpy"], **SMALL)
    assert [line.operation for line in comparison.lines] == ["flow.dense"]
    assert any("flow.warp on numpy" in reason for reason in comparison.not_run)


def test_many_operations_that_one_library_lacks_are_one_line_and_all_of_them_in_json():
    comparison = compare([f"flow.{n}" for n in ("warp", "normal_flow", "downsample", "fit_motion")], backends=["numpy"])
    said = [line for line in comparison.text().splitlines() if line.startswith("not run: ")]
    assert said == ["not run: 4 operations on numpy: they have no implementation but the reference itself"]
    assert len(json.loads(comparison.to_json())["not_run"]) == 4


def test_more_than_the_limit_is_explained(monkeypatch):
    (line,) = compare(["dense"], backends=["numpy"], **SMALL).lines
    for milliseconds, explained in ((2 * line.milliseconds, True), (line.milliseconds / 2, False)):
        shown = Comparison("float32", [replace(line, floor_milliseconds=milliseconds)], [], [])
        assert ("more than 100 % is" in shown.text()) == explained == ("more than 100 % is" in shown.table_html())


def test_half_precision_is_judged_and_says_what_the_reference_was_timed_in():
    (line,) = compare(["normal_flow"], mine=vl.flow.normal_flow, dtype="float16", **SMALL).lines
    assert line.verdict.right and "timed in float32" in line.note


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"backends": ["jax"]}, "backends: .*'jax'"),
        ({"dtype": "int32"}, "dtype: .*'int32'"),
        ({"size": (0, 4)}, "size: .*0, 4"),
        ({"repeats": 0}, "repeats: .*0"),
    ],
)
def test_a_bad_argument_is_refused_by_name(bad, said):
    with pytest.raises(ValueError, match=said):
        compare(["warp"], **{**SMALL, **bad})


def test_a_file_of_ones_own_may_hold_dataclasses_and_a_kernel_is_told_its_way(tmp_path):
    file, kernel, script = tmp_path / "mine.py", tmp_path / "warp.cu", tmp_path / "script.py"
    file.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\nimport vidlearn as vl\n"
        "@dataclass\nclass Tile:\n    side: int\n"
        "def warp(image, flow): return vl.flow.warp.reference(image, flow)\n"
    )
    assert compare(["warp"], mine=f"{file}:warp", **SMALL).right
    kernel.write_text("__global__ void warp() {}")
    with pytest.raises(ValueError, match=r"cuda_on_cpu\.Kernel"):
        compare(["warp"], mine=f"{kernel}:warp", **SMALL)
    script.write_text("def warp(image, flow): return image\nraise SystemExit(0)")
    with pytest.raises(ValueError, match="SystemExit"):
        compare(["warp"], mine=f"{script}:warp", **SMALL)


def test_times_taken_on_a_busy_machine_say_so(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("os.getloadavg", lambda: (4.2, 0.0, 0.0), raising=False)
    comparison = compare(["normal_flow"], mine=vl.flow.normal_flow, **SMALL)
    for face in (comparison.text(), comparison.to_html(), comparison.to_json()):
        assert "the 2 cores were overbooked in the last minute (load 4.2)" in face
    monkeypatch.setattr("os.getloadavg", lambda: (1.0, 0.0, 0.0), raising=False)
    assert "warning" not in compare(["normal_flow"], mine=vl.flow.normal_flow, **SMALL).text()


def _strictly(text: str):
    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)
