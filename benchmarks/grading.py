"""How long a class takes: 300 submissions of exercise 02, and ten trivial notebooks next to nbgrader.

    PYTHONPATH=. python benchmarks/grading.py                  # both; the second needs `make nbgrader`
    PYTHONPATH=. python benchmarks/grading.py --only class --profile wrong.prof

The class: a tenth make one of the mistakes that the specs know by name, and get full feedback; six are hostile; the others
are right, each in a file of its own. Their statuses are checked before a time is printed. The ten: one question, checked
by nbgrader with three assertions and by vidlearn as always, both as a whole command, start included, taking turns; the
best of some rounds counts. Once they are ten copies, of which vidlearn grades one, and once ten that differ in a comment. A
run of one notebook is timed too: the difference is what nine more cost.
"""

from __future__ import annotations

import argparse
import collections
import copy
import cProfile
import json
import os
import platform
import pstats
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vidlearn.grade import grade, nbgrader

ROOT = Path(__file__).resolve().parents[1]
NAME = "02_lucas_kanade"
THEIRS = ROOT / ".peers-nbgrader" / "bin"

T, E, L = "structure_tensor", "structure_tensor_eigenvalues", "lucas_kanade"
#: what a wrong submission changes in the solution: the function, a piece of it, and what stands there instead
MISTAKES = {
    "T: one pixel instead of the window": (T, "reach = window // 2", "window = 1\n    reach = 0"),
    "T: window one too small": (T, "reach = window // 2", "window = max(window - 2, 1)\n    reach = window // 2"),
    "T: mean instead of sum": (T, "return total", "return total / window**2"),
    "T: x and y swapped": (T, "xx, xy, yy =", "yy, xy, xx ="),
    "T: off-diagonal dropped": (T, "    return np.stack([np", "    xy = 0 * xy\n    return np.stack([np"),
    "T: gradients summed before they are multiplied": (
        T, "windowed(Ix * Ix), windowed(Ix * Iy), windowed(Iy * Iy)",
        "windowed(Ix) ** 2, windowed(Ix) * windowed(Iy), windowed(Iy) ** 2",
    ),
    "T: border repeated": (T, "np.pad(product, reach)", 'np.pad(product, reach, mode="edge")'),
    "E: the smaller one first": (E, "[mean + root, mean - root]", "[mean - root, mean + root]"),
    "E: diagonal taken for the eigenvalues": (E, "+ J[..., 0, 1] ** 2", ""),
    "E: half forgotten": (E, "mean + root, mean - root", "2 * (mean + root), 2 * (mean - root)"),
    "E: square root forgotten": (E, "np.sqrt(", "("),
    "E: off-diagonal not squared": (E, "J[..., 0, 1] ** 2", "np.abs(J[..., 0, 1])"),
    "L: sign of I_t": (L, "right = -np", "right = np"),
    "L: u and v swapped": (L, "[..., 0]\n", "[..., ::-1, 0]\n"),
    "L: off-diagonal dropped": (L, "structure_tensor(Ix, Iy, window)", "structure_tensor(Ix, Iy, window) * np.eye(2)"),
    "L: one pixel instead of the window on the right-hand side": (
        L, "windowed(Ix * It), windowed(Iy * It)",
        "*((p.sum(-1) if p.ndim == 3 else p) for p in (Ix * It, Iy * It))",
    ),
    "L: window one too small": (L, "reach = window // 2", "window = max(window - 2, 1)\n    reach = window // 2"),
    "L: I_t without its sign": (L, "reach = window // 2", "It = np.abs(It)\n    reach = window // 2"),
    "L: weak gradients taken for none": (
        L, "return (inverse @ right[..., None])[..., 0]",
        "weak = np.trace(structure_tensor(Ix, Iy, window), axis1=-2, axis2=-1) < 0.05\n"
        "    return np.where(weak[..., None], 0, (inverse @ right[..., None])[..., 0])",
    ),
    "L: not divided by the determinant": (L, "@ right", "* np.linalg.det(structure_tensor(Ix, Iy, window))[..., None, None] @ right"),
}  # fmt: skip
#: what a hostile submission does at the head of the same function
HOSTILE = {
    "never ends": "while True: pass",
    "ends the process": "import os; os._exit(0)",
    "takes all memory": "x = [bytearray(2**26) for _ in range(10**6)]",
    "prints without end": "print('x' * 1000, flush=True) if Ix.size else 0\n    while True: print('x' * 10**6)",
    "starts processes": "import os\n    while True: os.fork()",
    "answers with a liar": "class Yes:\n        def __eq__(self, other): return True\n    return Yes()",
}


def edited(notebook: dict[str, Any], function: str, old: str, new: str) -> dict[str, Any]:
    """The notebook with one piece of one function replaced."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if f"def {function}(" in text and "### BEGIN SOLUTION" in text:
            if old not in text:
                raise SystemExit(f"{function}: the solution has no {old!r}")
            cell["source"] = text.replace(old, new)
    return notebook


def classroom(folder: Path, count: int) -> dict[str, str]:
    """Write submissions, and say what each is: ``right``, or the name of what is wrong with it."""
    solution = json.loads((ROOT / "solutions" / f"{NAME}.ipynb").read_text(encoding="utf-8"))
    kinds = [f"hostile: {name}" for name in HOSTILE][: max(count // 50, 1)]
    kinds += [list(MISTAKES)[i % len(MISTAKES)] for i in range(count // 10)]
    kinds += ["right"] * (count - len(kinds))
    random.Random(0).shuffle(kinds)
    handed = {}
    for number, kind in enumerate(kinds):
        if kind == "right":
            notebook = copy.deepcopy(solution)
        elif kind in MISTAKES:
            notebook = edited(solution, *MISTAKES[kind])
        else:
            head = HOSTILE[kind.removeprefix("hostile: ")]
            notebook = edited(solution, T, "### BEGIN SOLUTION", f"### BEGIN SOLUTION\n    {head}")
        who = f"student{number:03}"
        notebook["cells"].append({"cell_type": "markdown", "id": who, "metadata": {}, "source": f"By {who}."})
        (folder / who).mkdir(parents=True)
        (folder / who / f"{NAME}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
        handed[who] = kind
    return handed


def checked(handed: dict[str, str], results: list[dict[str, Any]]) -> None:
    """Stop if a submission has not got what it should have."""
    for result in results:
        kind = handed[result["student"]]
        if (kind == "right") != (result["status"] == "correct") or result["score"] is None:
            raise SystemExit(f"{result['student']} ({kind}) is {result['status']}, {result['score']}")
        told = {f["text"] for q in result["questions"] for f in q["findings"] if f["kind"] == "looks like"}
        if kind in MISTAKES and kind[3:] not in told:
            print(f"{kind} looks like {' and '.join(sorted(told)) or 'nothing known'}")


def of_a_class(count: int, jobs: int, profile: str | None) -> None:
    """Part one: seconds for a class."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        handed = classroom(folder / "in", count)
        toml = ROOT / "exercises" / f"{NAME}.toml"
        if profile:  # where the time of wrong ones goes, in one process
            for who, kind in handed.items():
                if kind not in MISTAKES:
                    shutil.rmtree(folder / "in" / who)
            profiler = cProfile.Profile()
            profiler.runcall(grade, folder / "in", toml, folder / "out", seed=1)
            profiler.dump_stats(profile)
            pstats.Stats(profiler).sort_stats("cumulative").print_stats(45)
            return
        seconds = timed(lambda: command(folder / "in", toml, folder / "out", jobs))
        results = json.loads((folder / "out" / "results.json").read_text(encoding="utf-8"))
        if len(results) != count:
            raise SystemExit(f"{len(results)} results for {count} submissions")
        checked(handed, results)
    wrong = sum(kind in MISTAKES for kind in handed.values())
    hostile = sum(kind.startswith("hostile") for kind in handed.values())
    statuses = collections.Counter(result["status"] for result in results)
    print(f"\nExercise 02, {platform.machine()}, {jobs} processes on {os.cpu_count()} cores, start included: ", end="")
    print(", ".join(f"{number} {status}" for status, number in statuses.most_common()) + ".\n")
    print("| submissions | of these wrong, with full feedback | hostile | s | submissions/s |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    print(f"| {count} | {wrong} | {hostile} | {seconds:.1f} | {count / seconds:.1f} |")


TRIVIAL = """\
import numpy as np

def linearized_residual(Ix, Iy, It, flow):
    ### BEGIN SOLUTION
    u, v = np.moveaxis(flow if Ix.ndim == 2 else flow[:, :, None], -1, 0)
    return Ix * u + Iy * v + It
    ### END SOLUTION
"""
ASSERTIONS = """\
one = np.ones((2, 3))
assert np.allclose(linearized_residual(one, one, one, np.zeros((2, 3, 2))), 1)
assert np.allclose(linearized_residual(one, one, one, np.ones((2, 3, 2))), 3)
assert linearized_residual(one, one, one, np.ones((2, 3, 2))).shape == (2, 3)"""
ASSIGNMENT = '[assignment]\nid = "hw"\n[[question]]\noperation = "flow.linearized_residual"\npoints = 2\n'


def of_ten(rounds: int, jobs: int) -> None:
    """Part two: trivial notebooks, nbgrader and vidlearn in turns."""
    if not (THEIRS / "nbgrader").exists():
        print("\nNext to nbgrader: not run, because it is not installed: make nbgrader")
        return
    with tempfile.TemporaryDirectory() as scratch:
        kinds = {"one": (1, False), "copies": (10, False), "different": (10, True)}
        courses = {kind: _course(Path(scratch) / kind, *of) for kind, of in kinds.items()}
        candidates: dict[str, Callable[[Path], None]] = {
            "nbgrader autograde": lambda course: _nbgrader(course, "autograde", "hw", "--force"),
            "vidlearn grade": lambda course: _ours(course, 1),
            f"vidlearn grade --jobs {jobs}": lambda course: _ours(course, jobs),
        }
        best = {name: dict.fromkeys(courses, float("inf")) for name in candidates}
        for _ in range(rounds):
            for kind, course in courses.items():
                for name, candidate in candidates.items():
                    best[name][kind] = min(best[name][kind], timed(lambda c=candidate, at=course: c(at)))
    print(f"\nOne trivial question, {platform.machine()}, best of {rounds} rounds in turns, start included.\n")
    print("| ten | | s for one | s for ten | ten: submissions/s | × nbgrader | s for each further one | × nbgrader |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    theirs = best["nbgrader autograde"]
    for kind in ("copies", "different"):
        for name, times in best.items():
            more, more_theirs = ((by[kind] - by["one"]) / 9 for by in (times, theirs))
            further = f"{more:.3f} | {more_theirs / more:.1f}"
            if kind == "copies" and times is not theirs:
                further = " | "  # next to nothing
            print(
                f"| {kind} | {name} | {times['one']:.2f} | {times[kind]:.2f} | {10 / times[kind]:.2f} "
                f"| {theirs[kind] / times[kind]:.1f} | {further} |"
            )


def _course(course: Path, count: int, differ: bool) -> Path:
    """An nbgrader course with `count` right submissions, copies or not, ready to be graded by either."""
    course.mkdir()
    cell = {"cell_type": "code", "metadata": {}, "source": TRIVIAL, "outputs": [], "execution_count": None}
    text = json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 4})
    (course / "hw.ipynb").write_text(text, encoding="utf-8")
    (course / "hw.toml").write_text(ASSIGNMENT, encoding="utf-8")
    source, _ = nbgrader.release(course / "hw.toml", course / "hw.ipynb", course)
    notebook = json.loads(source.read_text(encoding="utf-8"))
    notebook["cells"][1]["source"] = ASSERTIONS  # its own usual kind of test, and not our judge in its kernel
    source.write_text(json.dumps(notebook), encoding="utf-8")
    _nbgrader(course, "generate_assignment", "hw", "--force")
    for number in range(count):
        place = course / "submitted" / f"student{number}" / "hw"
        place.mkdir(parents=True)
        handed = json.loads(source.read_text(encoding="utf-8"))
        if differ:
            answer = next(cell for cell in handed["cells"] if "def linearized_residual" in "".join(cell["source"]))
            answer["source"] = f"# number {number}\n" + "".join(answer["source"])
        (place / "hw.ipynb").write_text(json.dumps(handed), encoding="utf-8")
    return course


def _nbgrader(course: Path, *arguments: str) -> None:
    env = {**os.environ, "PATH": f"{THEIRS}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run([THEIRS / "nbgrader", *arguments], cwd=course, env=env, check=True, capture_output=True)
    if arguments[0] == "autograde":
        there = len(list((course / "autograded").glob("*/hw/hw.ipynb")))
        if there != len(list((course / "submitted").iterdir())):
            raise SystemExit(f"nbgrader graded {there}")


def _ours(course: Path, jobs: int) -> None:
    shutil.rmtree(course / "out", ignore_errors=True)  # else nothing would be graded again
    command(course / "submitted", course / "hw.toml", course / "out", jobs)
    for result in json.loads((course / "out" / "results.json").read_text(encoding="utf-8")):
        if result["status"] != "correct":
            raise SystemExit(f"{result['student']} is {result['status']}: {result['questions']}")


def command(submissions: Path, toml: Path, out: Path, jobs: int) -> None:
    """``vidlearn grade`` in a process of its own."""
    arguments = [submissions, "--assignment", toml, "--out", out, "--jobs", jobs, "--seed", 1]
    # with compiled modules, as pip leaves them for nbgrader
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-m", "vidlearn", "grade", *map(str, arguments)],
        capture_output=True, text=True, cwd=ROOT, env=env,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"vidlearn grade: {done.stderr[-2000:]}")


def timed(action: Callable[[], None]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--submissions", type=int, default=300, help="of exercise 02 (300)")
    parser.add_argument("--jobs", type=int, default=3)  # one more than two cores: some wait for hostile code
    parser.add_argument("--rounds", type=int, default=3, help="of the ten, next to nbgrader (3)")
    parser.add_argument("--only", choices=("class", "ten"), help="one of the two parts")
    parser.add_argument("--profile", metavar="FILE", help="instead: profile the class's wrong submissions")
    args = parser.parse_args()
    if args.only != "ten":
        of_a_class(args.submissions, args.jobs, args.profile)
    if args.only != "class" and not args.profile:
        of_ten(args.rounds, args.jobs)


if __name__ == "__main__":
    main()
