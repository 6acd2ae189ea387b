"""The verbs as a person types them: what is printed, the exit status, and one clear sentence when it can't be done."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest

import vidlearn as vl
from vidlearn.cli import main

RIGHT = """
import numpy as np
import vidlearn as vl

def normal_flow(Ix, Iy, It):
    squared = Ix**2 + Iy**2
    speed = -It / np.where(squared == 0, 1, squared)
    return np.stack([Ix, Iy], axis=-1) * speed[..., None]

vl.check(normal_flow)
"""
WRONG = RIGHT.replace("-It", "It")


@pytest.fixture
def notebook(tmp_path):
    def make(*sources):
        cells = [
            {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": s} for s in sources
        ]
        path = tmp_path / "mine.ipynb"
        path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
        return path

    return make


def test_list_names_every_operation(capsys):
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in vl.operations())
    assert main(["list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"name", "concept", "slide", "backends", "summary"} <= set(rows[0])
    assert main(["list", "cooking"]) == 2


@pytest.mark.parametrize("columns", [80, 100])
def test_list_fits_the_terminal_and_shows_no_markup(capsys, monkeypatch, columns):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in vl.operations()), "a name can be copied"
    assert max(map(len, shown.splitlines())) <= columns and not re.search(r"`|\*\*|:\w+:|\\", shown)


def test_check_says_right_and_exits_0(tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text(RIGHT)
    assert main(["check", str(path)]) == 0
    assert capsys.readouterr().out.count("right   flow.normal_flow") == 1


def test_check_names_the_mistake_in_a_notebook_and_exits_1(notebook, capsys):
    path = notebook("%matplotlib inline\n!ls", WRONG)
    assert main(["check", str(path), "--seed", "7"]) == 1
    out = capsys.readouterr().out
    assert "looks like  sign of I_t" in out
    assert f"vidlearn check {path} --only normal_flow --seed 7" in out


def test_the_line_that_replays_a_verdict_replays_it(tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text(WRONG)
    main(["check", str(path), "--seed", "5"])
    first = capsys.readouterr().out
    command = first.split("again")[1].split("vidlearn ", 1)[1].split()
    main(command)
    assert capsys.readouterr().out == first


def test_check_gives_further_hints_and_json_when_asked(tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text(WRONG)
    main(["check", str(path)])
    assert "for the next hint, add --hints 2" in capsys.readouterr().out
    main(["check", str(path), "--hints", "2"])
    told = capsys.readouterr().out
    assert "hint 2/2" in told and "next hint" not in told
    main(["check", str(path), "--json"])
    assert json.loads(capsys.readouterr().out)[0]["mistake"]["name"] == "sign of I_t"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.py", None, "absent.py"),
        ("mine.txt", "x", "expected a .py or .ipynb file"),
        ("cut.ipynb", '{"cells": [{"cell_type": "co', "the file is not whole: it ends in the middle; was it cut off?"),
        ("page.ipynb", "<html>", "not a notebook"),
        ("empty.ipynb", "", "not a notebook"),
        ("broken.py", "def normal_flow(:", "SyntaxError"),
        ("other.py", "def cooking(): pass", "no function named as an operation"),
    ],
)
def test_check_says_in_one_sentence_what_is_wrong_with_a_file(tmp_path, capsys, name, content, said):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    assert main(["check", str(path)]) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error


def test_flow_renders_a_film(tmp_path, capsys):
    film = tmp_path / "in.mp4"
    rng = np.random.default_rng(0)
    texture = np.kron(rng.integers(0, 255, (12, 16, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    vl.video.write(film, (np.roll(texture, t, axis=1) for t in range(5)), fps=10)
    out = tmp_path / "out.mp4"
    assert main(["flow", str(film), "--out", str(out)]) == 0
    assert "4 frames" in capsys.readouterr().out
    assert vl.video.read(out).shape == (4, 48, 128, 3)


def test_flow_leaves_nothing_behind_when_it_can_not_be_done(tmp_path, capsys):
    bad = tmp_path / "in.mp4"
    bad.write_bytes(b"not a film")
    out = tmp_path / "out.mp4"
    assert main(["flow", str(bad), "--out", str(out)]) == 2
    assert main(["flow", str(vl.video.clip_path()), "--out", str(out), "--start", "47"]) == 2
    assert main(["flow", str(vl.video.clip_path()), "--out", str(tmp_path / "out.txt")]) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4"]
    assert "Traceback" not in capsys.readouterr().err


def test_compare_prints_one_row_an_implementation_and_names_what_did_not_run(capsys):
    assert main(["compare", "normal_flow", "--size", "24x32"]) == 0
    out = capsys.readouterr().out
    assert "normal_flow" in out and "torch" in out
    for reason in vl.arrays.available().values():
        if reason:
            assert reason.split(":")[0] in " ".join(out.split())


def test_compare_judges_a_function_of_ones_own(tmp_path, capsys):
    path = tmp_path / "kernel.py"
    path.write_text(WRONG)
    assert main(["compare", "normal_flow", "--mine", f"{path}:normal_flow", "--size", "24x32", "--json"]) == 1
    assert "sign of I_t" in capsys.readouterr().out
    assert main(["compare", "normal_flow", "--mine", f"{path}:absent", "--size", "24x32"]) == 2
    assert "absent" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["cook"], ["compare", "--size", "big"], ["check"]])
def test_bad_arguments_exit_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verb", "unneeded"),
    [
        ("grade", {"vidlearn.grade.bundle", "vidlearn.grade.release", "vidlearn.grade.exports", "hypothesis"}),
        ("check", {"vidlearn.grade", "hypothesis"}),
    ],
)
def test_a_verb_loads_nothing_of_another(verb, unneeded):
    code = f"import sys; from vidlearn.cli import parser; parser({verb!r}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "vidlearn.cli" in loaded and not unneeded & set(loaded)


def test_an_unknown_operation_is_answered_with_near_ones(capsys):
    assert main(["compare", "normal_flaw"]) == 2
    assert "did you mean" in capsys.readouterr().err


def test_the_package_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "vidlearn", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"vidlearn {vl.__version__}"


def test_a_function_that_cannot_be_read_has_its_verdict_beside_the_others(notebook, capsys):
    path = notebook(
        "def linearized_residual(Ix, Iy, It, flow):\n    return Ix * flow[..., 0] + Iy * flow[..., 1] + It",
        "x = 1\n\ndef warp(image, flow):\n    return image[",
        "y = = 2",
    )
    assert main(["check", str(path)]) == 1
    told = capsys.readouterr()
    assert "linearized_residual" in told.out
    assert "crashed   flow.warp" in told.out
    assert "the cell with warp can't be read: cell 2, line 4: SyntaxError" in told.out
    assert "              return image[\n" in told.out
    assert "cell 3, line 1: SyntaxError" in told.err and "cell 2" not in told.err
    assert told.err.count("cells are counted from the top, those with code only") == 1
    main(["check", str(path), "--only", "linearized_residual"])
    assert capsys.readouterr().err == ""  # nothing of other cells, nor how cells are counted


def test_a_name_that_is_no_function_costs_no_other_its_verdict(tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text("warp = 3\n" + RIGHT)
    assert main(["check", str(path)]) == 1
    told = capsys.readouterr().out
    assert "right   flow.normal_flow" in told and "crashed   flow.warp" in told
    assert "warp is not a function here" in told


def test_what_cells_print_is_cut_and_stays_out_of_json(tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text("for i in range(12): print('row', i)\n" + RIGHT)
    main(["check", str(path)])
    told = capsys.readouterr().out
    assert "row 9\n… and 2 more printed lines\nright" in told
    main(["check", str(path), "--json"])
    told = capsys.readouterr()
    assert json.loads(told.out)[0]["status"] == "right" and "row 0" in told.err


ENDLESS = """
while True:
    pass

def normal_flow(Ix, Iy, It):
    try:
        while True:
            pass
    except Exception:
        return Ix
"""


def test_check_ends_what_never_ends_and_says_what_to_look_for(tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text(ENDLESS)
    assert main(["check", str(path), "--seconds", "0.2", "--json"]) == 1
    (verdict,) = json.loads(capsys.readouterr().out)
    assert verdict["status"] == "timed out" and verdict["score"] == 0
    assert verdict["stopped"].startswith("no answer within 0.2 s: is there a loop that never ends?")
    assert "while the cells ran: the file, line 2: TimedOut: no end within 0.2 s" in verdict["notes"][0]
    assert verdict["replay"].endswith("--seconds 0.2")


def test_a_cell_that_never_ends_costs_no_right_answer(tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text("while True: pass\n" + RIGHT)
    assert main(["check", str(path), "--seconds", "0.5"]) == 0
    assert "right   flow.normal_flow" in capsys.readouterr().out


@pytest.mark.parametrize("seconds", ["-1", "nan"])
def test_check_refuses_a_limit_that_is_none(tmp_path, capsys, seconds):
    path = tmp_path / "mine.py"
    path.write_text(RIGHT)
    assert main(["check", str(path), "--seconds", seconds]) == 2
    assert "seconds: expected" in capsys.readouterr().err
