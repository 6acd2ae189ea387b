"""The autograder for Gradescope: a zip that grades one submission in Gradescope's container, as `vidlearn grade` would.

The zip holds vidlearn itself, the assignment, the secret seed, ``setup.sh`` (once, when the container is built: Python and
NumPy) and ``run_autograder`` (for every submission). In the container that script comes back to `grade_here`.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
import os
import secrets
import sys
import traceback
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidlearn.grade.assignment import Assignment
from vidlearn.grade.intake import Paper, one_paper, printable
from vidlearn.sandbox import LEVELS, MINIMUM, Isolation, SandboxError

if TYPE_CHECKING:
    import argparse

__all__ = ["add_options", "autograder", "grade_here", "main", "packed"]

_SETUP = """\
#!/usr/bin/env bash
# Gradescope runs this once, as root, when it builds the container. It needs Python 3.11 or newer, and gets NumPy.
set -euo pipefail
base="${VIDLEARN_AUTOGRADER:-/autograder}"
newest() {
  for name in python3.14 python3.13 python3.12 python3.11 python3; do
    if command -v "$name" > /dev/null && "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
      echo "$name"
      return
    fi
  done
}
if [ -z "$(newest)" ]; then
  apt-get update
  apt-get install -y python3.12 python3.12-venv || apt-get install -y python3.11 python3.11-venv
fi
"$(newest)" -m venv "$base/venv"
"$base/venv/bin/python" -m pip install --no-cache-dir REQUIREMENTS
chmod -R go+rX "$base/venv"  # a submission runs as another user, and needs Python and NumPy
"""

_RUN = """\
#!/usr/bin/env bash
# Gradescope runs this for every submission. What it prints is for instructors; marks go into results.json alone.
base="${VIDLEARN_AUTOGRADER:-/autograder}"
mkdir -p "$base/results"
# first, so that a grader that is stopped at any moment has said so: without a score, for not graded is not zero
cat > "$base/results/results.json" << 'END'
NOT_GRADED
END
HYPOTHESIS_STORAGE_DIRECTORY="$(mktemp -d)"  # what it keeps belongs to nobody
export HYPOTHESIS_STORAGE_DIRECTORY
exec "$base/venv/bin/python" -I -B -c \\
  'import sys; sys.path.insert(0, sys.argv[1] + "/source"); from vidlearn.grade.bundle import grade_here; sys.exit(grade_here(sys.argv[1]))' \\
  "$base"
"""


def autograder(
    assignment: str | Path, *, seed: int | None = None, require_isolation: str | bool | None = None
) -> bytes:
    """Return ``autograder.zip`` for Gradescope; the same arguments with a seed give the same bytes.

    Parameters
    ----------
    assignment
        The TOML file that says what is asked.
    seed
        The secret from which hidden inputs are drawn, for all students alike; a new one if it is not given. It stands in
        the zip: don't hand that out.
    require_isolation
        The level (``"A"``, ``"B"``, ``"C"``) without which a submission is not graded, ``"B"`` by default; False asks
        for none.

    Examples
    --------
    >>> from vidlearn.grade import SAMPLES
    >>> data = autograder(SAMPLES / "assignment.toml", seed=7)
    >>> zipfile.ZipFile(io.BytesIO(data)).namelist()[:4]
    ['assignment.toml', 'grading.json', 'run_autograder', 'setup.sh']
    """
    asked = Assignment.read(assignment)
    if require_isolation not in (None, True, False, *LEVELS):
        raise ValueError(f"require_isolation: expected one of {', '.join(LEVELS)}, or False, got {require_isolation!r}")
    level = MINIMUM if require_isolation in (None, True) else require_isolation or None
    plan = {"seed": secrets.randbits(48) if seed is None else seed, "require_isolation": level, "id": asked.id}
    needed = " ".join(f'"{requirement}"' for requirement in _requirements(asked))
    files = {
        "assignment.toml": Path(assignment).read_bytes(),
        "grading.json": (json.dumps(plan, indent=1) + "\n").encode(),
        "run_autograder": _RUN.replace("NOT_GRADED", json.dumps(_not_graded(_UNFINISHED))).encode(),
        "setup.sh": _SETUP.replace("REQUIREMENTS", needed).encode(),
    }
    package = Path(__file__).parents[1]
    for path in sorted(package.rglob("*")):
        name = path.relative_to(package).as_posix()
        if path.is_file() and "__pycache__" not in path.parts and not name.startswith("grade/samples/"):
            files[f"vidlearn/{name}"] = path.read_bytes()
    return packed(files, executable=("run_autograder", "setup.sh"))


def packed(files: Mapping[str, bytes], executable: Collection[str] = ()) -> bytes:
    """A zip archive of these files: the same files give the same bytes.

    >>> packed({"a.txt": b"a"}) == packed({"a.txt": b"a"})
    True
    """
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)  # of 1980, not of now
            info.create_system = 3  # Unix: or the mode is not looked at
            info.external_attr = (0o100755 if name in executable else 0o100644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return file.getvalue()


def _requirements(assignment: Assignment) -> list[str]:
    """What pip installs in the container: what vidlearn itself needs, and the packages that answers may use."""
    try:
        own = [one for one in importlib.metadata.requires("vidlearn") or [] if "extra ==" not in one]
    except importlib.metadata.PackageNotFoundError:
        own = ["numpy>=2.0", "hypothesis>=6.130"]
    sold_as = importlib.metadata.packages_distributions()  # sklearn is sold as scikit-learn
    extra = [sold_as.get(name, [name])[0] for name in assignment.packages if name != "numpy"]
    return [*own, *extra]


# --------------------------------------------------------------------------------------------- in the container

_UNFINISHED = (
    "Grading did not come to its end; this is no mark. Time or memory may have run out: "
    "ask your course staff to run the autograder again."
)


def grade_here(base: str | Path = "/autograder") -> int:
    """Grade ``submission/`` in Gradescope's folder, write ``results/results.json``, and return an exit status.

    What went wrong on the grader's side is printed, for instructors, and gives no score: Gradescope then reports that
    the autograder failed. What is wrong with the submission gives 0 and a sentence.
    """
    base = Path(base)
    try:
        made, status = _results(base), 0
    except (SandboxError, ValueError, OSError) as error:
        made, status = _not_graded(f"This submission was not graded: {error}"), 1
    except Exception:
        traceback.print_exc()
        made, status = _not_graded("This submission was not graded: the autograder itself failed."), 1
    if "score" not in made:
        print(made["output"], file=sys.stderr)
    part = base / "results" / ".results.json.part"
    part.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    os.replace(part, base / "results" / "results.json")
    return status


def _not_graded(sentence: str) -> dict[str, Any]:
    return {"output": sentence, "output_format": "text", "stdout_visibility": "hidden"}


def _results(base: Path) -> dict[str, Any]:
    from vidlearn.grade import _unreadable_memory
    from vidlearn.grade.exports import gradescope
    from vidlearn.grade.grading import Desk

    source = base / "source"
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # submissions run as another user: let the secrets be root's alone
        for folder in (source, base / "results"):
            folder.chmod(0o700)
    plan = json.loads((source / "grading.json").read_text(encoding="utf-8"))
    assignment = Assignment.from_dict(Assignment.read(source / "assignment.toml").data, plan["id"])
    who, when = _handed_in(base / "submission_metadata.json")
    if not (base / "submission").is_dir():
        raise ValueError(f"there is no folder {base / 'submission'}")
    paper = one_paper(base / "submission", who, assignment.id)
    with _unreadable_memory(), Desk(assignment, plan["seed"]) as desk:
        held = Isolation(desk.isolation["missing"])
        if plan["require_isolation"]:
            lacks = held.lacks(plan["require_isolation"])
            if lacks:
                missing = "; ".join(f"{name}: {why}" for name, why in lacks.items())
                raise ValueError(
                    f"for the course staff: this container gives isolation level {held.level}, and the autograder was made to "
                    f"ask for {plan['require_isolation']} ({missing}). Make it again with --require-isolation "
                    f"{held.level}, if you accept what that leaves open"
                )
            desk.sandbox.require = plan["require_isolation"]
        result = {**desk.grade(paper), **paper.facts()}
    if result["score"] is None and paper.problem:  # the student sees this at once, and can hand in again
        result = _nothing_usable(result, paper)
    made = gradescope(result, {q.operation.name: q.visibility for q in assignment.questions})
    lines = [f"{assignment.title} · {who}" + (f" · handed in {when}" if when else ""), made["output"]]
    lines += [f"Note: {note}" for note in result.get("notes", [])]
    if result["score"] is None:
        lines.append("This submission was not graded; ask your course staff to run the autograder again.")
    lines.append(f"Isolation {held}")
    return {**made, "output": "\n".join(lines)}


def _nothing_usable(result: dict[str, Any], paper: Paper) -> dict[str, Any]:
    questions = [{**question, "score": 0.0, "status": "unreadable"} for question in result["questions"]]
    notes = [*result.get("notes", []), f"{paper.problem}. Hand in one notebook or one Python file"]
    return {**result, "score": 0.0, "status": "unreadable", "questions": questions, "notes": notes}


def _handed_in(path: Path) -> tuple[str, str]:
    """Who handed in, and when, as Gradescope says it; a file that can't be read is nobody's fault."""
    facts: Any = {}
    with contextlib.suppress(OSError, ValueError, RecursionError):
        facts = json.loads(path.read_text(encoding="utf-8"))
    users = facts.get("users") if isinstance(facts, dict) else None
    users = users if isinstance(users, list) else []
    names = [
        str(user.get("name") or user.get("email") or user.get("id") or "") for user in users if isinstance(user, dict)
    ]
    when = facts.get("created_at") if isinstance(facts, dict) else None
    told = [printable(text)[:200] for text in (", ".join(filter(None, names)), when if isinstance(when, str) else "")]
    return told[0] or "a student", told[1]


# ------------------------------------------------------------------------------------------------ command line


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that say how the autograder grades."""
    parser.add_argument(
        "--seed", type=int, metavar="N", help="the secret behind the autograder's hidden inputs (default: a new one)"
    )
    isolation = parser.add_mutually_exclusive_group()
    isolation.add_argument(
        "--require-isolation", choices=tuple(LEVELS), metavar="LEVEL",
        help=f"the autograder grades nothing with less than A, B or C (default: {MINIMUM})",
    )  # fmt: skip
    isolation.add_argument(
        "--no-require-isolation", dest="require_isolation", action="store_const", const=False,
        help="it grades even where nothing can be kept apart",
    )  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``vidlearn grade bundle``."""
    parser.add_argument("assignment", metavar="ASSIGNMENT.toml", help="what is asked, and what it is worth")
    parser.add_argument("--out", required=True, metavar="FILE.zip", help="the zip to write, for Gradescope")
    add_options(parser)


def main(args: argparse.Namespace) -> int:
    """Run ``vidlearn grade bundle``."""
    from vidlearn.grade.exports import _write

    out = Path(args.out)
    if out.is_dir():
        raise ValueError(f"out: {out} is a folder; name the zip file to write")
    _write(out, autograder(args.assignment, seed=args.seed, require_isolation=args.require_isolation))
    print(f"{out}: upload it to Gradescope as the autograder; it holds the secret seed, so keep it to yourself")
    return 0
