"""A submission as a row of cells, run just far enough that one asked function can be called.

Everything here runs inside the worker, on text that a stranger wrote. It stands alone: standard library only.
"""

from __future__ import annotations

import ast
import builtins
import codecs
import contextlib
import dis
import functools
import io
import json
import linecache
import re
import sys
import tokenize
import traceback
import types
from collections.abc import Callable
from typing import Any

__all__ = ["Submission", "Unreadable"]

# a line of IPython's own with what a backslash continues, or `name = !command`; a name with question marks
_MAGIC = re.compile(
    r"^([ \t]*)(?:(?P<name>[\w,][\w, \t]*=[ \t]*)?[%!?](?:[^\n]*\\\n)*[^\n]*|\w[\w.]*\?{1,2}[ \t]*)$", re.M
)
_PERCENT = re.compile(r"^# %%.*$", re.M)
_NOT_PYTHON = {
    "!", "HTML", "R", "bash", "cmd", "cython", "file", "html", "javascript", "js", "julia", "latex", "markdown", "octave",
    "perl", "ruby", "script", "sh", "sql", "svg", "sx", "system", "writefile",
}  # fmt: skip


# in column 0, if brackets and strings above are closed: a definition with its decorators, and any statement
_DEFINITION = re.compile(r"^(?:@[^\n]*\n(?:[@#)\]} \t][^\n]*\n|\n){0,20})?(?:class\b|(?:async[ \t]+)?def\b)", re.M)
_STATEMENT = re.compile(rf"""{_DEFINITION.pattern}|^(?!(?:else|elif|except|finally)\b)[^\s#)\]}}'"]""", re.M)
_MOST = 1 << 20, 1000  # characters and blocks of a broken file that are looked through
_NOT_PARSED = SyntaxError, ValueError, RecursionError, MemoryError


class Unreadable(Exception):
    """The file is not a notebook or a Python file; the sentence says what is wrong with it."""


class Submission:
    """Cells of a notebook or a Python file, and the namespace they fill as far as they have been run.

    To grade a function, the cells are run in order up to its definition and no further: what a later cell redefines
    or breaks has not happened yet. A statement that raises is recorded and the next one runs. Names that the function
    uses and that only a later cell defines are then taken from there.

    Each statement runs within what `within` returns, except imports: half of one is worse than a slow one.
    """

    def __init__(
        self,
        raw: bytes,
        suffix: str,
        within: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext,
    ) -> None:
        sources = _notebook(raw) if suffix == ".ipynb" else _module(raw)
        self.errors: list[str] = []
        self.broken: list[tuple[str, str]] = []  # the text of a cell that is not Python, and why
        self.statements: list[tuple[str, ast.stmt]] = []
        self.part = "cell" if suffix == ".ipynb" else "part"  # what is lost at most where something isn't Python
        for number, source in enumerate(sources, 1):
            self._parse(source, f"cell {number}" if len(sources) > 1 else "the file")
        if self.errors and not self.statements:
            raise Unreadable(self.errors[0])
        self.ran, self.within = 0, within
        module = types.ModuleType("__main__" if suffix == ".ipynb" else "submission")
        sys.modules[module.__name__] = module
        self.names: dict[str, Any] = vars(module)

    def _parse(self, source: str, place: str) -> None:
        try:
            pieces = [_tree(source)]
            source = pieces[0][0]
        except _NOT_PARSED as error:
            pieces, lost = self._rest(source, place) if self.part == "part" else ([], [])
            for text, why in lost or [(source, _why(place, error))]:
                self.errors.append(why)
                self.broken.append((text, why))
        name = f"<{place}>"
        self.statements += [(name, statement) for _, tree in pieces for statement in tree.body]
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)

    def _rest(self, source: str, place: str) -> tuple[list[tuple[str, ast.Module]], list[tuple[str, str]]]:
        """What can be read of a Python file that can't be read as a whole, as a notebook's other cells can.

        Only where a definition is among it: a word or a number in an essay is Python, too.
        """
        kept, lost = [], list[tuple[str, str]]()
        if len(source) > _MOST[0] or len(_STATEMENT.findall(source)) > _MOST[1]:
            return [], []
        for definition in _cut(source, _DEFINITION):
            try:
                kept.append(_tree(definition))
                continue
            except _NOT_PARSED:
                new = True
            for block in _cut(definition, _STATEMENT):
                try:
                    kept.append(_tree(block))
                    new = True
                except _NOT_PARSED as error:
                    if new:
                        lost.append((block, _why(place, error)))
                    new = False  # of several broken lines in a row the first is told
        defined = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        return (kept, lost) if any(isinstance(one, defined) for _, tree in kept for one in tree.body) else ([], [])

    def position(self, name: str) -> int:
        """The index of the statement that defines `name`, -1 if none does.

        The last definition counts, as it does in Python; but a definition that only says "to do" (a duplicated
        exercise cell) does not hide an answer.
        """
        found = [i for i, (_, statement) in enumerate(self.statements) if name in _bound(statement)]
        answered = [i for i in found if not _is_stub(self.statements[i][1])]
        return (answered or found or [-1])[-1]

    def untouched(self, name: str) -> bool:
        """Whether `name` is missing, or still the exercise's empty body."""
        return self._is_empty(name) and not self._broken(name)

    def _is_empty(self, name: str) -> bool:
        at = self.position(name)
        return at < 0 or _is_stub(self.statements[at][1])

    def _broken(self, name: str) -> str:
        """Why the cell or part in which `name` is defined could not be read, if there is one."""
        define = re.compile(
            rf"^[ \t]*(?:async\s+)?(?:def\s+|class\s+|(?={re.escape(name)}\s*=)){re.escape(name)}\b", re.M
        )
        return next((why for source, why in self.broken if define.search(source)), "")

    def load(self, name: str, everything: bool = True) -> Callable[..., Any]:
        """Run what is needed to call `name` and return it.

        With `everything` false only imports, definitions and assignments of constants are run: the way back in when
        a cell ends the process or never ends.
        """
        if self._is_empty(name) and (why := self._broken(name)):
            raise LookupError(f"the {self.part} with {name} can't be read: {why}")
        at = self.position(name)
        while self.ran <= at:
            where, statement = self.statements[self.ran]
            self.ran += 1
            if everything or _is_harmless(statement):
                self._run(where, statement)
        function = self.names.get(name)
        if not callable(function):
            last = self.errors[-1] if self.errors else "its definition did not run"
            raise LookupError(f"{name} is not a function here: {last}")
        self._fill_in(function, everything)
        return function

    def _run(self, where: str, statement: ast.stmt) -> None:
        within = contextlib.nullcontext if isinstance(statement, ast.Import | ast.ImportFrom) else self.within
        try:
            with within():
                exec(compile(ast.Module([statement], []), where, "exec"), self.names)
        except BaseException as error:  # exit() in a cell is no reason to stop either
            self.errors.append(
                f"{where.strip('<>')}, line {_line(error, where) or statement.lineno}: {describe(error)}"
            )

    def _fill_in(self, function: Any, everything: bool) -> None:
        """Run later statements for the names that are used and not there, until none is missing or none is found.

        Definitions come first. For what is then still missing, the first cell that computes it is asked, after what it
        needs itself. What is there already stays as it is, whatever else those statements bind.
        """
        tried: set[int] = set()

        def fill(thing: Any) -> None:
            while True:
                missing = {name for name in self._used(thing) if name not in self.names and not hasattr(builtins, name)}
                later = [
                    i
                    for i in range(self.ran, len(self.statements))
                    if i not in tried and _bound(self.statements[i][1]) & missing
                ]
                chosen = [i for i in later if _is_harmless(self.statements[i][1])]
                computes = not chosen and everything
                if computes:
                    chosen = [i for i in later if self.statements[i][0] == self.statements[later[0]][0]]
                if not chosen:
                    return
                tried.update(chosen)
                for i in chosen:
                    where, statement = self.statements[i]
                    if computes:
                        with contextlib.suppress(SyntaxError, ValueError):
                            fill(compile(ast.Module([statement], []), where, "exec"))
                    there = {name: value for name, value in dict(self.names).items() if name not in missing}
                    self._run(where, statement)
                    self.names.update(there)

        fill(function)

    def _used(self, thing: Any) -> set[str]:
        """Names that a function or other code, and the functions of this submission that it names, look up globally."""
        names: set[str] = set()
        seen: list[Any] = []  # kept, so that no two have one id
        stack = [thing]
        while stack:
            thing = stack.pop()
            if any(thing is one for one in seen):
                continue
            seen.append(thing)
            if isinstance(thing, types.CodeType):
                fresh = {
                    step.argval for step in dis.get_instructions(thing) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")
                } - names
                names |= fresh
                stack += [const for const in thing.co_consts if isinstance(const, types.CodeType)]
                stack += [self.names[name] for name in fresh if name in self.names]
            elif isinstance(thing, types.FunctionType):
                if thing.__globals__ is self.names:
                    stack.append(thing.__code__)
                for cell in thing.__closure__ or ():
                    with contextlib.suppress(ValueError):  # a cell that is still empty
                        stack.append(cell.cell_contents)
            elif isinstance(thing, types.MethodType):
                stack.append(thing.__func__)
            elif isinstance(thing, functools.partial):
                stack.append(thing.func)
        return names


def describe(error: BaseException) -> str:
    """An exception in one line, whatever its own methods do."""
    try:
        text = str(error).strip().splitlines()
    except BaseException:
        text = []
    return f"{type(error).__name__}: {text[0][:300]}" if text else type(error).__name__


def _line(error: BaseException, where: str) -> int | None:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == where]
    return lines[0] if lines else None


def _decoded(raw: bytes, cookie: bool) -> str:
    """The text, in the encoding that its first bytes or (in a Python file) its first lines say."""
    try:
        if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # some shells write nothing else
            return raw.decode("utf-16")
        return raw.decode(tokenize.detect_encoding(io.BytesIO(raw).readline)[0] if cookie else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"the file is not text: {error.reason} at byte {error.start}") from None
    except (SyntaxError, LookupError, ValueError) as error:
        raise Unreadable(f"the file is not text: {describe(error)}") from None


def _notebook(raw: bytes) -> list[str]:
    text = _decoded(raw, cookie=False)
    try:
        data = json.loads(text)
        sheets = data.get("worksheets", [data])
        cells = [cell for sheet in sheets for cell in sheet["cells"]]
        sources = [cell.get("source", cell.get("input", "")) for cell in cells if cell["cell_type"] == "code"]
        return ["".join(source) for source in sources]
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" starting at")
        raise Unreadable(f"the file is not a notebook: {what} at line {error.lineno}; was it cut off?") from None
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError, MemoryError) as error:
        raise Unreadable(f"the file is JSON, but not a notebook ({describe(error)})") from None


def _module(raw: bytes) -> list[str]:
    text = _decoded(raw, cookie=True)
    if "\0" in text:
        raise Unreadable("the file is not Python: it holds a null byte")
    return _cut(text, _PERCENT)


def _cut(text: str, mark: re.Pattern[str]) -> list[str]:
    """The pieces of a text that begin at a mark, with blank lines in front, so that line numbers stay those of the file."""
    marks = [m.start() for m in mark.finditer(text)]
    if not marks:
        return [text]
    pieces = [(a, text[a:b]) for a, b in zip([0, *marks], [*marks, len(text)], strict=True)]
    return ["\n" * text.count("\n", 0, at) + piece for at, piece in pieces if piece.strip()]


def _tree(source: str) -> tuple[str, ast.Module]:
    """A text as Python, without IPython's own lines if that is what it takes; one of `_NOT_PARSED` if it isn't."""
    try:
        return source, ast.parse(source)
    except _NOT_PARSED:
        text = _without_magics(source)
        return text, ast.parse(text)


def _why(place: str, error: BaseException) -> str:
    line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
    return f"{place}{line}: {type(error).__name__}: {getattr(error, 'msg', None) or error}"


def _without_magics(source: str) -> str:
    """IPython's own lines made harmless: ``%matplotlib inline``, ``!pip …``, ``array?``; a foreign cell made empty."""
    first = source.lstrip().split("\n", 1)[0]
    if first.startswith("%%") and first[2:].strip().split(" ")[0] in _NOT_PYTHON:
        return ""

    def nothing(line: re.Match[str]) -> str:
        return f"{line[1]}{line['name'] + 'None' if line['name'] else 'pass'}" + "\n" * line[0].count("\n")

    return _MAGIC.sub(nothing, source)


def _bound(statement: ast.stmt) -> set[str]:
    """The names that a top-level statement binds, or of which it sets a part."""
    names: set[str] = set()
    stack: list[ast.AST] = [statement]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.comprehension):  # its target lives inside it
            stack += [node.iter, *node.ifs]
        elif not isinstance(node, ast.Lambda):
            if isinstance(node, ast.MatchAs | ast.MatchStar) and node.name:
                names.add(node.name)
            if isinstance(node, ast.Name | ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
                root: ast.expr = node
                while isinstance(root, ast.Attribute | ast.Subscript):
                    root = root.value
                names |= {root.id} if isinstance(root, ast.Name) else set()
            stack += ast.iter_child_nodes(node)
    return names


def _is_stub(statement: ast.stmt) -> bool:
    """A function whose body is a docstring and ``pass``, ``...`` or ``raise NotImplementedError``."""
    if not isinstance(statement, ast.FunctionDef):
        return False
    for inner in statement.body:
        if isinstance(inner, ast.Pass) or (isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Constant)):
            continue
        if isinstance(inner, ast.Raise) and inner.exc is not None and "NotImplementedError" in ast.dump(inner.exc):
            continue
        return False
    return True


def _is_harmless(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
        return True
    if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
        return not any(
            isinstance(node, ast.Call | ast.Await | ast.ListComp | ast.Subscript) for node in ast.walk(statement.value)
        )
    if isinstance(statement, ast.Try):  # `try: import vidlearn as vl`, `except ImportError: import …`
        inside = [*statement.body, *(inner for handler in statement.handlers for inner in handler.body)]
        return all(isinstance(inner, ast.Import | ast.ImportFrom) for inner in inside)
    return False
