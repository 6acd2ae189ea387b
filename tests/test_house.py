"""The house itself: what an import costs, which floor may import which, and that rooms have the same names everywhere."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import vidlearn as vl
from vidlearn.notebooks.links import on_page_markdown

PACKAGE = Path(vl.__file__).parent
ROOT = PACKAGE.parent

#: from the ground up; a module imports from its own floor's folder and from the floors below
FLOORS = [
    ("arrays",), ("signature",), ("operation", "spec"), ("judge",), ("cuda_on_cpu",), ("video",), ("layers",),
    ("nonlocal_attention",),
    tuple(c for c in vl.CONCEPTS if c not in ("layers", "nonlocal_attention")), ("nets",), ("slides",), ("sandbox",),
    ("compare", "grade"), ("notebooks",), ("demo",), ("cli",),
]  # fmt: skip
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}


def imports(path: Path) -> set[str]:
    """Rooms of vidlearn that a file imports at run time (not those for type checkers only)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(inner) for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }  # fmt: skip
    names = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "vidlearn":
            parts = node.module.split(".")
            names |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("vidlearn.")}
    return names & set(FLOOR)


FILES = sorted(p for p in PACKAGE.rglob("*.py") if "samples" not in p.parts)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_imports_upwards(path):
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room in ("__init__", "__main__"):
        return
    assert room in FLOOR, f"{room} is on no floor: add it to FLOORS and to the design"
    above = {name for name in imports(path) if name != room and FLOOR[name] >= FLOOR[room]}
    assert not above, f"{path.name} is on floor {FLOOR[room]} and imports {sorted(above)}"


HEAVY = (
    "torch",
    "cupy",
    "matplotlib",
    "hypothesis",
    "scipy",
    "av",
    "cv2",
    "skimage",
    "pandas",
    "PIL",
    "rich",
    "IPython",
)


@pytest.mark.parametrize(
    "what", ["vidlearn", "vidlearn.flow", "vidlearn.video", "vidlearn.judge", "vidlearn.cli", "vidlearn.grade"]
)
def test_importing_loads_numpy_and_nothing_heavier(what):
    code = f"import {what}, sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("concept", vl.CONCEPTS)
def test_every_concept_has_its_rooms(concept):
    for room in ("reference", "spec"):
        assert importlib.util.find_spec(f"vidlearn.{concept}.{room}")


def test_every_declared_fast_path_exists_and_takes_the_same_arguments():
    import inspect

    for op in vl.operations().values():
        for backend in op.fast:
            if vl.arrays.available()[backend]:
                continue  # CuPy's are opened in test_operations, through the stand-in
            want = [(p.name, p.default) for p in inspect.signature(op.reference).parameters.values()]
            got = [(p.name, p.default) for p in inspect.signature(op.on(backend)).parameters.values()]
            assert got == want, f"{op.name} on {backend}"


def test_public_functions_have_types_and_a_docstring():
    for op in vl.operations().values():
        assert all(p.annotation is not p.empty for p in op.signature.python.parameters.values()), op.name
        assert op.signature.returns, op.name


def test_names_that_the_package_offers_are_all_there():
    for name in dir(vl):
        if not name.startswith("__"):
            getattr(vl, name)
    with pytest.raises(AttributeError, match="nonsense"):
        vl.nonsense  # noqa: B018


@pytest.mark.parametrize(
    "name",
    ["README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "Makefile", "mkdocs.yml", ".ci/run"],
)
def test_the_repository_has_what_a_visitor_looks_for(name):
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("not run, because this is an installed package, not a checkout")
    assert (ROOT / name).stat().st_size > 0


def links(path: Path) -> list[str]:
    """Where the links of a page lead that are neither in code nor to elsewhere."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        text = "\n".join("".join(c["source"]) for c in json.loads(text)["cells"] if c["cell_type"] == "markdown")
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:", link)]


@pytest.mark.parametrize("room", [".", "docs", "docs/api", "benchmarks", "lectures", "exercises"])
def test_links_lead_to_files_of_the_repository(room):
    if not (ROOT / ".git").exists():
        pytest.skip("not run, because this is no checkout: what is made here can't be told from what is kept")
    kept = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    here = {*kept, *(str(parent) for name in kept for parent in Path(name).parents)}
    pages = [page for end in ("md", "ipynb") for page in sorted((ROOT / room).glob(f"*.{end}"))]
    pages = [page for page in pages if str(page.relative_to(ROOT)) in kept]
    assert pages
    for page in pages:
        for link in links(page):
            at = os.path.relpath((page.parent / link.split("#")[0]).resolve() if link[0] != "#" else page, ROOT)
            assert at in here, f"{page.relative_to(ROOT)} links to {link}"


@pytest.mark.parametrize(
    ("page", "link", "there"),
    [
        ("student.md", "../lectures/01_a.ipynb#end", "lectures/01_a.md#end"),
        ("lectures/02_b.md", "../exercises/01_a.ipynb", "../exercises/01_a.md"),
        ("lectures/02_b.md", "01_a.ipynb", "01_a.md"),
    ],
)
def test_on_the_site_a_link_to_a_notebook_leads_to_its_page(page, link, there):
    on_site = on_page_markdown(
        f"[x]({link}) [download](02_b.ipynb){{ .md-button }}", SimpleNamespace(file=SimpleNamespace(src_uri=page))
    )
    assert on_site == f"[x]({there}) [download](02_b.ipynb){{ .md-button }}"
