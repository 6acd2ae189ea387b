"""The demo does the three jobs and leaves a report with all five parts."""

from __future__ import annotations

import html
import json
import sys

import numpy as np
import pytest

import vidlearn as vl
from vidlearn import demo
from vidlearn.cli import main
from vidlearn.demo import run
from vidlearn.sandbox import SandboxError


@pytest.mark.slow
def test_the_demo_does_the_three_jobs_and_writes_a_report(tmp_path):
    said = []
    page = run(tmp_path / "demo", progress=said.append, size=(24, 32), frames=3)
    text = page.read_text(encoding="utf-8")
    assert text.count("<section>") == 5
    assert "sign of I_t" in text and "endpoint error" in text and "not run: " in " ".join(said).lower()
    assert 'class="wrong"' not in text  # every fast path here agrees with its reference
    assert "normal_flow: sign of I_t</td>" in text and "no answer within" in text  # why a mark was lost
    results = json.loads((tmp_path / "demo" / "marks" / "results.json").read_text())
    assert len(results) == 6 and {"correct", "partly", "not attempted", "unreadable"} <= {r["status"] for r in results}
    assert not [*page.parent.glob("*.part")]


def test_what_a_machine_lacks_is_said_and_the_rest_is_done(tmp_path, monkeypatch):
    for package in ("av", "cv2", "skimage"):
        monkeypatch.setitem(sys.modules, package, None)

    def no_sandbox(*_):
        raise SandboxError("no process can be started")

    monkeypatch.setattr(demo, "_grades", no_sandbox)
    monkeypatch.setattr(demo, "_agreement", lambda *_: "")
    text = run(tmp_path, progress=lambda line: None).read_text(encoding="utf-8")
    assert text.count("<section>") == 5 and text.count("<p>Not run: ") == 3
    assert "vidlearn[video]" in text and "no process can be started" in text and "sign of I_t" in text


def test_the_wrong_answer_that_is_shown_is_the_one_that_is_judged():
    said = []
    shown = html.unescape(demo._wrong_answer(said.append)).split("<pre>")[1].split("</pre>")[0]
    names = {"np": np, "vl": vl}
    exec(shown, names)
    assert vl.check(names["normal_flow"]).mistake.name == "sign of I_t" and "sign of I_t" in said[0]


def test_a_report_can_not_replace_a_file(tmp_path, capsys):
    path = tmp_path / "taken"
    path.write_text("mine")
    assert main(["demo", "--out", str(path)]) == 2
    assert "name a folder" in capsys.readouterr().err and path.read_text() == "mine"


@pytest.mark.parametrize("found", [True, False])
def test_the_demo_says_how_a_shell_finds_the_command_where_it_does_not(tmp_path, monkeypatch, capsys, found):
    for name in ("activate", "vidlearn"):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text("")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setattr(demo, "run", lambda *_, **__: tmp_path / "report.html")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin") if found else "")
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    assert (". bin/activate" in capsys.readouterr().out) != found
