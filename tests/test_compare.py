"""Comparisons: the judge's verdict, an error that is measured, a limit that is measured, and nothing silently absent."""

from __future__ import annotations

import json

import numpy as np
import pytest

import vidlearn as vl
from vidlearn.compare import Machine, compare
from vidlearn.compare.measure import seconds

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
