"""The house itself: what an import costs, which floor may import which, and that rooms have the same names everywhere."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import vidlearn as vl

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
