"""The source of some operations' references with all that they are built on, as one text that stands alone.

It is what a submission finds where an assignment allows helpers: function by function, so that nothing else comes along.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from vidlearn.operation import Operation

__all__ = ["defines", "source_of"]


def source_of(operations: list[Operation], asked: str) -> str:
    """The text of some references and of all that they use; refuses where that includes an answer.

    Parameters
    ----------
    operations
        What the text defines.
    asked
        The short name of what must not be in it.

    Raises
    ------
    ValueError
        If one of the operations is what is asked for, or is built on it.
    """
    text = _Text(asked)
    homes = [text.needs(operation) for operation in operations]
    top = homes[0]
    handed = [
        f"{operation.short} = {home.place}.{operation.short}"
        for operation, home in zip(operations, homes, strict=True)
        if home is not top
    ]
    modules = [module.wrapped() for module in text.in_order() if module is not top]
    parts = ["from __future__ import annotations\n\nfrom types import SimpleNamespace\n\nimport numpy as np"]
    return "\n\n\n".join([*parts, *modules, top.text(), *handed]) + "\n"


def defines(node: ast.stmt) -> list[str]:
    """The names that a statement binds."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [target.id for target in targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).split(".")[0] for alias in node.names]
    return []


@dataclass(eq=False)
class _Module:
    """What is taken over from one module."""

    module: ModuleType
    source: str = field(init=False, repr=False)
    statements: dict[str, ast.stmt] = field(init=False, repr=False)
    pieces: dict[str, str] = field(default_factory=dict)
    borrowed: dict[str, dict[str, str]] = field(default_factory=dict)  # by the name of a module, what is used of it
    on: list[_Module] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.source = inspect.getsource(self.module)
        self.statements = {bound: node for node in ast.parse(self.source).body for bound in defines(node)}

    @property
    def place(self) -> str:
        return "_" + self.module.__name__.removeprefix("vidlearn.").replace(".", "_")

    def text(self) -> str:
        modules = [
            f"{name} = SimpleNamespace({', '.join(f'{one}={where}' for one, where in used.items())})"
            for name, used in self.borrowed.items()
        ]
        return "\n\n".join([*modules, *(piece for piece in self.pieces.values() if piece)])

    def wrapped(self) -> str:
        """The module as a function, so that its names are its own."""
        body = textwrap.indent(self.text(), "    ")
        return (
            f"def {self.place}():\n{body}\n\n    return SimpleNamespace(**locals())\n\n\n{self.place} = {self.place}()"
        )


class _Text:
    """Follows names from statement to statement, and from module to module of this package."""

    def __init__(self, asked: str) -> None:
        self.asked = asked
        self.modules: dict[str, _Module] = {}

    def needs(self, operation: Operation) -> _Module:
        """Take over an operation, and return the module that it lives in."""
        home = inspect.getmodule(operation.reference)
        if home is None:
            raise ValueError(f"helpers: the source of {operation.name} cannot be found")
        self.wanted = operation
        return self._take(home, operation.short)

    def in_order(self) -> list[_Module]:
        """All modules, each after those that it is built on."""
        done: dict[_Module, None] = {}

        def visit(module: _Module) -> None:
            if module not in done:
                for other in module.on:
                    visit(other)
                done[module] = None

        for module in self.modules.values():
            visit(module)
        return list(done)

    def _take(self, home: ModuleType, name: str) -> _Module:
        here = self.modules.get(home.__name__)
        if here is None:
            here = self.modules[home.__name__] = _Module(home)
        if name in here.pieces:
            return here
        if name == self.asked:
            how = "is itself asked for" if name == self.wanted.short else f"is built on {name}, which is asked for"
            raise ValueError(f"helpers: {self.wanted.name} cannot be allowed: it {how}")
        node = here.statements[name]
        here.pieces[name] = ""  # marks it as under way: functions may call one another
        if isinstance(node, ast.FunctionDef) and isinstance(getattr(home, name, None), Operation):
            node.decorator_list = []  # the plain function is meant
        for used, attribute in sorted(set(_uses(node)) - {(name, "")}):
            statement = here.statements.get(used)
            if isinstance(statement, ast.FunctionDef | ast.Assign | ast.AnnAssign | ast.ClassDef):
                self._take(home, used)
            elif isinstance(statement, ast.Import | ast.ImportFrom) and used != "np":
                self._import(here, statement, used, attribute)
        marks = [f"@{ast.unparse(mark)}\n" for mark in getattr(node, "decorator_list", [])]
        text = "".join(marks) + (ast.get_source_segment(here.source, node) or ast.unparse(node))
        del here.pieces[name]  # it stands after what it is built on
        here.pieces[name] = text
        return here

    def _import(self, here: _Module, statement: ast.Import | ast.ImportFrom, name: str, attribute: str) -> None:
        """Keep an import, or take over what is imported where it is of this package."""
        value = getattr(here.module, name)
        if isinstance(statement, ast.Import) or not (statement.module or "").startswith("vidlearn"):
            here.pieces.setdefault(name, ast.unparse(statement))
        elif isinstance(value, ModuleType):
            if attribute:
                there, original = self._found(value, attribute)
                here.borrowed.setdefault(name, {})[attribute] = f"{there.place}.{original}"
                here.on.append(there)
        else:
            imported = next(alias.name for alias in statement.names if (alias.asname or alias.name) == name)
            there, original = self._found(importlib.import_module(str(statement.module)), imported)
            here.pieces.setdefault(name, f"{name} = {there.place}.{original}")
            here.on.append(there)

    def _found(self, module: ModuleType, name: str) -> tuple[_Module, str]:
        """Take over what a module calls by a name, and return where it is defined and how it is called there."""
        value: Any = getattr(module, name)
        if isinstance(value, Operation):  # references may call one another's references
            there = self._take(inspect.getmodule(value.reference) or module, value.short)
            there.pieces.setdefault(f"{value.short}.reference", f"{value.short}.reference = {value.short}")
            return there, value.short
        home = sys.modules.get(getattr(value, "__module__", ""), module) if callable(value) else module
        original = value.__name__ if callable(value) and hasattr(value, "__name__") else name
        return self._take(home, original), original


def _uses(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Names that a statement reads, each with the attribute asked of it; annotations are only read."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        yield node.value.id, node.attr
        return
    if isinstance(node, ast.Name):
        yield node.id, ""
    for key, child in ast.iter_fields(node):
        if key not in ("annotation", "returns"):
            for one in child if isinstance(child, list) else [child]:
                if isinstance(one, ast.AST):
                    yield from _uses(one)
