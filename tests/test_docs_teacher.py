"""The pages for teachers: what they say to type works as it stands, and prints what they show."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEFT_OUT = {
    "python -m pip install": "it is installed already",
    "python -m vidlearn.notebooks": "tests/test_notebooks.py runs it",
}


def steps(page):
    """The commands of a page's console blocks, each with the lines that are shown below it."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif line.startswith("> "):
                found[-1] = (found[-1][0].removesuffix("\\") + line[2:], found[-1][1])
            else:
                found[-1][1].append(line)
    return found


def level(text):
    """The same text whatever isolation this machine gives."""
    return re.sub(r"\bisolation [ABC]\b", "isolation A", text)


@pytest.fixture
def copy(tmp_path):
    """What the commands use of a copy of the repository; they write beside it."""
    (tmp_path / "tests" / "support").mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "support" / "classroom.py", tmp_path / "tests" / "support")
    for name in ("exercises", "solutions"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "tests" / "attacks").symlink_to(ROOT / "tests" / "attacks")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", ["teacher.md", "threat_model.md"])
def test_what_the_page_says_to_type_works_in_order_and_prints_what_it_shows(page, copy):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    space = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ran = 0
    for command, shown in steps(page):
        if any(command.startswith(known) for known in LEFT_OUT):
            continue
        done = subprocess.run(
            command, shell=True, cwd=copy, env=space, capture_output=True, text=True, encoding="utf-8", timeout=300
        )
        said = level(done.stdout + done.stderr).splitlines()
        assert done.returncode in (0, 1), f"{command}: {said}"  # 1: a person must look at some, and the page says so
        if not any("not run" in line or "not graded" in line for line in said):
            assert done.returncode == 0, f"{command}: {said}"
        for line in shown:
            assert line == "…" or level(line) in said, f"{command} did not print {line!r} but {said}"
        ran += 1
    assert ran


def test_the_options_that_the_pages_name_exist():
    from vidlearn.cli import parser

    names = {"grading.md", "teacher.md", "threat_model.md"}
    for page in names:
        for command, _ in steps(page):
            if command.startswith("vidlearn ") and not command.startswith("vidlearn sandbox"):
                parser().parse_args(shlex.split(command.replace("grade bundle", "'grade bundle'"), comments=True)[1:])


def test_the_threat_model_names_every_class_of_attack():
    text = (ROOT / "docs" / "threat_model.md").read_text(encoding="utf-8")
    classes = {path.stem for path in (ROOT / "tests" / "attacks").glob("*.toml")}
    assert classes and not {name for name in classes if f"`{name}`" not in text}


def test_links_from_page_to_page_lead_to_a_heading():
    slugify = pytest.importorskip(
        "markdown.extensions.toc", reason="not run, because Markdown is not installed"
    ).slugify
    texts = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
    for page in ("teacher.md", "threat_model.md", "grading.md"):
        for target, anchor in re.findall(r"\]\(([\w-]*(?:\.md)?)#([\w-]+)\)", texts[page]):
            headings = re.findall(r"^#+ (.*)$", texts[target or page], re.MULTILINE)
            assert anchor in {slugify(heading.replace("`", ""), "-") for heading in headings}, f"{page}: {anchor}"
