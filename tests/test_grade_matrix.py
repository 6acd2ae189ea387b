"""What other graders were seen to get wrong, one row each, and what this one gives, measured on one batch in one folder."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

import vidlearn
from tests.support.answers import IMPORTS, RIGHT, STUB, WRONG, ZEROS
from vidlearn.grade import Assignment, GradeError, grade

ASSIGNMENT = """
[assignment]
id = "matrix"
time_limit = 1
memory_limit = 256
[[question]]
operation = "flow.normal_flow"
points = 2
"""
CHECK = "assert vl.check(normal_flow), 'hidden tests'"


def notebook(*cells, **metadata):
    """A notebook as nbgrader releases and collects it: the last cell is a locked test."""
    full = [
        {"cell_type": "code", "id": f"c{i}", "metadata": metadata, "outputs": [], "execution_count": None, "source": source}
        for i, source in enumerate(cells)
    ]  # fmt: skip
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": full})


def inside(statement, source=RIGHT):
    """The same answer with one more statement in it."""
    return source.replace("    squared", f"    {statement}\n    squared", 1)


SNOOP = """
import glob, os
found = []
for place in {places!r}:
    for path in [place, *glob.glob(place + "/**/*.toml", recursive=True), *glob.glob(place + "/**/*.py", recursive=True)]:
        try: found.append(open(path).read()[:200])
        except OSError: pass
print("found", len(found), "files")
"""


@dataclass(frozen=True)
class Row:
    """One submission, and what it must get: the mark, the status, and a sentence somewhere in its report."""

    name: str
    source: str
    score: float
    status: str
    says: str
    suffix: str = ".ipynb"
    and_says: tuple[str, ...] = ()


LOCKED = {"nbgrader": {"grade": True, "solution": False, "locked": True, "grade_id": "test", "schema_version": 3}}
# the names are the rows of the comparison; a row of two has two submissions
ROWS = [
    Row("correct", notebook(IMPORTS, RIGHT, CHECK), 2, "correct", "where there is a gradient"),
    Row("wrong", notebook(IMPORTS, WRONG, CHECK), 0, "wrong", "sign of I_t", ".ipynb", ("expected (u, v) = ",)),
    Row(
        "partly right",
        notebook(IMPORTS, RIGHT.replace("np.where(squared > 0, squared, 1)", "squared"), CHECK),
        1.0,
        "partly",
        "gradient vanishes",
    ),
    Row(
        "patches the test machinery, answers 0",
        notebook(
            IMPORTS,
            ZEROS,
            "import numpy.testing, unittest\n"
            "np.allclose = np.array_equal = np.isclose = numpy.testing.assert_allclose = lambda *a, **k: True\n"
            "vl.check = vl.judge = lambda *a, **k: True\n"
            "unittest.TestCase.assertEqual = lambda *a, **k: None",
            CHECK,
        ),
        0,
        "wrong",
        "earns no points",
    ),
    Row(
        "returns an object whose __eq__ is always true",
        "class Same:\n    def __eq__(self, other): return True\ndef normal_flow(Ix, Iy, It): return Same()\n",
        0,
        "wrong",
        "returns a value of type Same; expected a NumPy array of numbers",
        ".py",
    ),
    Row(
        "correct, and emits a warning",
        notebook(IMPORTS, inside("import warnings; warnings.warn('careful'); np.zeros(1) / 0"), CHECK),
        2,
        "correct",
        "where there is a gradient",
    ),
    Row(
        "os._exit(0)",
        notebook("import os\ndef normal_flow(Ix, Iy, It): os._exit(0)", CHECK),
        0,
        "crashed",
        "the process ended by itself, with exit code 0",
    ),
    Row(
        "infinite loop",
        notebook("def normal_flow(Ix, Iy, It):\n    while True: pass", CHECK),
        0,
        "timed out",
        "no answer within 1 s",
    ),
    Row(
        "200,000 printed lines, in a cell",
        notebook(IMPORTS, "for i in range(200_000): print('line', i)", RIGHT, CHECK),
        2,
        "correct",
        "bytes more",
    ),
    Row(
        "200,000 printed lines, by the function",
        notebook(IMPORTS, inside("for i in range(200_000 // 50): print('line', i)"), CHECK),
        2,
        "correct",
        "where there is a gradient",
    ),
    Row("reads the hidden tests from disk", SNOOP + IMPORTS + ZEROS, 0, "wrong", "found 0 files", ".py"),
    Row(
        "duplicated test cell",
        notebook(IMPORTS, RIGHT, CHECK, CHECK, nbgrader=LOCKED),
        2,
        "correct",
        "where there is a gradient",
    ),
    Row(
        "duplicated exercise cell",
        notebook(IMPORTS, STUB, RIGHT, STUB, CHECK),
        2,
        "correct",
        "where there is a gradient",
    ),
    Row(
        "deleted test cell, wiped metadata",
        json.dumps({"cells": [{"cell_type": "code", "source": (IMPORTS + RIGHT).splitlines(keepends=True)}]}),
        2,
        "correct",
        "where there is a gradient",
    ),
    Row("truncated JSON", notebook(IMPORTS, RIGHT, CHECK)[:-40], 0, "unreadable", "was it cut off?"),
]


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """All rows in one folder with a right answer after them, graded at once: what the class's folder then holds."""
    folder = tmp_path_factory.mktemp("matrix")
    (folder / "in").mkdir()
    (folder / "a.toml").write_text(ASSIGNMENT)
    places = [
        str(folder),
        str(folder / "a.toml"),
        str(folder / "out" / "run.json"),
        str(Path(vidlearn.__file__).parent),
    ]
    for i, row in enumerate(ROWS):
        (folder / "in" / f"student-{i:02}{row.suffix}").write_text(row.source.replace("{places!r}", repr(places)))
    (folder / "in" / "student-99.py").write_text(IMPORTS + RIGHT)
    try:
        grade(folder / "in", Assignment.read(folder / "a.toml"), folder / "out", seed=7, examples=6)
    except GradeError as error:
        pytest.skip(f"not run, because {error}")
    assert all(Path(place).exists() for place in places)  # there was something to find
    return folder / "out"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_our_column(batch, row):
    result = json.loads((batch / "results.json").read_text())[ROWS.index(row)]
    (question,) = result["questions"]
    assert (question["status"], result["status"]) == (row.status, row.status), question
    assert question["score"] == result["score"]
    assert 0 < result["score"] < 2 if row.status == "partly" else result["score"] == row.score
    said = [finding["text"] for finding in question["findings"]] + [question["output"]]
    for sentence in (row.says, *row.and_says):
        assert any(sentence in text for text in said), said
    assert len(question["output"]) < 70_000


def test_the_others_are_graded(batch):
    results = json.loads((batch / "results.json").read_text())
    assert len(results) == len(ROWS) + 1 and results[-1]["status"] == "correct"
    assert json.loads((batch / "run.json").read_text())["finished"] is True
    pages = list((batch / "reports").glob("*.html"))
    assert len(pages) == len(results) and all(page.stat().st_size < 200_000 for page in pages)
