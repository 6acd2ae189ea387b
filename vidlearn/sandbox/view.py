"""The student's view of vidlearn, inside the worker.

The helper operations that the assignment allows are here, as source text of their own. What the exercise asks for is
not, nor are references, fast paths, specs and the judge. Everything else (pictures, videos, `vl.check`) is *quiet*: it
can be imported, called and looped over, and does nothing, so that a notebook's cells run without a screen.
It stands alone: standard library only.
"""

from __future__ import annotations

import dis
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import types
from typing import Any

__all__ = ["Packages", "View"]

_QUIET = {
    "matplotlib",
    "IPython",
    "ipywidgets",
    "ipykernel",
    "seaborn",
    "plotly",
    "tqdm",
    "rich",
    "jupyterlab",
    "nbformat",
}
_SHUT = {
    "reference",
    "fast",
    "fast_numpy",
    "fast_torch",
    "fast_cupy",
    "spec",
    "judge",
    "grade",
    "sandbox",
    "compare",
    "cli",
}


class Quiet:
    """Takes any call, attribute or loop, and does nothing."""

    def __call__(self, *_: Any, **__: Any) -> Quiet:
        return self

    def __getattr__(self, name: str) -> Quiet:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, _: Any) -> Quiet:
        return self

    def __setitem__(self, _: Any, __: Any) -> None:
        pass

    def __iter__(self) -> Any:
        # nothing to loop over; but `figure, axes = plt.subplots()` gets as many as it asks for
        frame = sys._getframe(1)
        code = frame.f_code.co_code
        wants = code[frame.f_lasti + 1] if code[frame.f_lasti] == dis.opmap["UNPACK_SEQUENCE"] else 0
        return iter([self] * wants)

    def __enter__(self) -> Quiet:
        return self

    def __exit__(self, *_: Any) -> None:
        return None

    def __repr__(self) -> str:
        return "<nothing: pictures and checks are off while this is graded>"


def _pass_through(items: Any = (), *_: Any, **__: Any) -> Any:
    return items


class _Stub(types.ModuleType):
    """A module that has whatever is asked of it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        if self.__name__.startswith("tqdm") and name in ("tqdm", "trange", "auto", "notebook"):
            return self if name in ("auto", "notebook") else range if name == "trange" else _pass_through
        return Quiet()


class _Vidlearn(types.ModuleType):
    """``vidlearn`` or a concept of it, as the student may see it."""

    def __init__(self, name: str, finder: View) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self.__dict__["_finder"] = finder

    def __getattr__(self, name: str) -> Any:
        finder: View = self.__dict__["_finder"]
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        inside = f"{self.__name__}.{name}".removeprefix("vidlearn.")
        if inside in finder.concepts:
            return importlib.import_module(f"vidlearn.{inside}")
        if name in finder.shut or name in _SHUT:
            raise AttributeError(
                f"vidlearn.{inside} is not here while the exercise is graded: "
                "write it yourself, or use what the assignment allows"
            )
        return Quiet()


class View(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds ``vidlearn`` (the view) and the quiet packages before anything on the disk is asked.

    `helpers` maps a concept to the source of the operations that the assignment allows in it; `shut` holds the names
    of all other operations.
    """

    def __init__(self, helpers: dict[str, str], shut: set[str]) -> None:
        self.helpers, self.shut = helpers, shut
        self.concepts = set(helpers)
        self.quiet = _QUIET - set(sys.modules)  # a package that the assignment allows is the real one

    def install(self) -> None:
        """Put the view first in line."""
        sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """Claim ``vidlearn`` and the quiet packages."""
        top, _, rest = name.partition(".")
        if top in self.quiet:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        if top != "vidlearn":
            return None
        if any(part in _SHUT for part in rest.split(".")):
            raise ModuleNotFoundError(f"{name} is not here while the exercise is graded", name=name)
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """A module of the right kind."""
        return _Vidlearn(spec.name, self) if spec.name.split(".")[0] == "vidlearn" else _Stub(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Fill a concept with the helpers allowed in it."""
        source = self.helpers.get(module.__name__.removeprefix("vidlearn."))
        if source:
            exec(compile(source, f"<{module.__name__}>", "exec"), module.__dict__)


class Packages(importlib.abc.MetaPathFinder):
    """Finds the allowed packages where they are installed, and no other that lies beside them.

    `paths` are folders, modules and shared libraries of packages, as they lie in a folder of installed ones.
    """

    def __init__(self, paths: list[str]) -> None:
        self.folders = {os.path.basename(path).split(".")[0]: os.path.dirname(path) for path in paths}

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """Locate a top-level package; its own modules are found by the usual way."""
        folder = self.folders.get(name)
        return importlib.machinery.PathFinder.find_spec(name, [folder]) if folder else None
