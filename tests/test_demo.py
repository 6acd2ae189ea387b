"""The demo does the three jobs and leaves a report with all five parts."""

from __future__ import annotations

import json

import pytest

from vidlearn.cli import main
from vidlearn.demo import run


@pytest.mark.slow
def test_the_demo_does_the_three_jobs_and_writes_a_report(tmp_path):
    said = []
    page = run(tmp_path / "demo", progress=said.append, size=(24, 32), frames=3)
    text = page.read_text(encoding="utf-8")
    assert text.count("<section>") == 5
    assert "sign of I_t" in text and "endpoint error" in text and "not run: " in " ".join(said).lower()
    assert 'class="wrong"' not in text  # every fast path here agrees with its reference
    results = json.loads((tmp_path / "demo" / "marks" / "results.json").read_text())
    assert len(results) == 6 and {"correct", "partly", "not attempted", "unreadable"} <= {r["status"] for r in results}
    assert not [*page.parent.glob("*.part")]


def test_a_report_can_not_replace_a_file(tmp_path, capsys):
    path = tmp_path / "taken"
    path.write_text("mine")
    assert main(["demo", "--out", str(path)]) == 2
    assert "name a folder" in capsys.readouterr().err and path.read_text() == "mine"
