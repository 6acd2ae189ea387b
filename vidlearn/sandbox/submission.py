"""A submission as a row of cells, run just far enough that one asked function can be called.

Everything here runs inside the worker, on text that a stranger wrote. It stands alone: standard library only.
"""

from __future__ import annotations

import ast
import bisect
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
import warnings
from collections.abc import Callable, Iterator, Set
from itertools import accumulate
from typing import Any, NamedTuple

__all__ = ["Cell", "Reading", "Submission", "Unreadable", "looked_up"]

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
_STATEMENT = re.compile(
    rf"""{_DEFINITION.pattern}|^(?!(?:else|elif|except|finally)\b|<{{7}}[^\n]*\n(?:[ \t]*\n|={{7}}\n)*[ \t]+\S)"""
    r"""[^\s#)\]}'"]""",
    re.M,
)  # a merge conflict within a block is no statement but a part of it
# what no line in it divides: both sides of a merge conflict, a comment, a string (a long one may have no end)
_WHOLE = re.compile(
    r"""^<{7}\ .*?(?:^>{7}[^\n]*|\Z) | \#[^\n]* |"""
    r"""\"{3}[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*(?P<double>\"{3})? |"""
    r"""'{3}[^'\\]*(?:(?:\\.|'(?!''))[^'\\]*)*(?P<single>'{3})? |"""
    r"""\"[^"\\\n]*(?:\\.[^"\\\n]*)*"? | '[^'\\\n]*(?:\\.[^'\\\n]*)*'?""",
    re.M | re.S | re.X,
)
_CONFLICT = "<<<<<<<", "=======", ">>>>>>>"
_MOST = 1 << 20, 1000  # characters and blocks of a broken file that are looked through
_NOT_PARSED = SyntaxError, ValueError, RecursionError, MemoryError, OverflowError


class Unreadable(Exception):
    """The file is not a notebook or a Python file; the sentence says what is wrong with it."""


class Cell(NamedTuple):
    """What of one cell is Python."""

    place: str
    lines: list[str]  # those that line numbers count: the cell's own in a notebook, all of a Python file
    body: list[ast.stmt]
    lost: list[tuple[str, str]]  # a text that is not Python, and why


class Reading:
    """A notebook or a Python file as cells of statements: what counts as the student's code, without running any.

    More than `most` bytes or characters of code are not looked at. The work grows with the file's length and no faster.
    """

    def __init__(self, raw: bytes, suffix: str, most: int | None = None) -> None:
        length, most = len(raw), len(raw) if most is None else most
        self.part = "cell" if suffix == ".ipynb" else "part"  # what is lost at most where something isn't Python
        if suffix == ".ipynb":
            sources = _notebook(raw)
            self.text, length = "\n".join(sources), sum(map(len, sources))
        if length > most:
            raise Unreadable(f"{length:,} characters of code; at most {most:,} are read")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\d" in a string is no matter of whoever reads it
            if suffix == ".ipynb":
                self.cells = [_cell(source, _place(n, sources)) for n, source in enumerate(sources, 1)]
            else:
                self.text = _module(raw)
                self.cells = [*_cells(self.text)]
        self.broken = [lost for cell in self.cells for lost in cell.lost]  # the text of what is not Python, and why
        self.errors = [why for _, why in self.broken]
        self.statements = [(f"<{cell.place}>", statement) for cell in self.cells for statement in cell.body]
        if self.errors and not self.statements:
            raise Unreadable(self.errors[0])

    def position(self, name: str) -> int:
        """The index of the statement that defines `name`, -1 if none does.

        The last definition counts, as it does in Python; but a definition that only says "to do" (a duplicated
        exercise cell) does not hide an answer.
        """
        return self._positions.get(name, -1)

    @functools.cached_property
    def _positions(self) -> dict[str, int]:
        bound = [(name, i) for i, (_, statement) in enumerate(self.statements) for name in _bound(statement)]
        stubs = {i for i, (_, statement) in enumerate(self.statements) if _is_stub(statement)}
        return dict(bound) | {name: i for name, i in bound if i not in stubs}

    def calls(self, name: str, others: Set[str]) -> list[str]:
        """Which of `others`, defined above `name`, its code looks up, itself or through other definitions here."""
        reached, ahead, seen = set[str](), [name], {-1}
        while ahead:
            at = self.position(ahead.pop())
            if at in seen:
                continue
            seen.add(at)
            try:
                new = looked_up(compile(ast.Module([self.statements[at][1]], []), "", "exec")) - reached
            except _NOT_PARSED:
                continue
            reached |= new
            ahead += new - others
        return sorted(other for other in reached & others if 0 <= self.position(other) < self.position(name))

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


class Submission(Reading):
    """A submission that has been read, and the namespace that its cells fill as far as they have been run.

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
        super().__init__(raw, suffix)
        for cell in self.cells:
            name = f"<{cell.place}>"
            linecache.cache[name] = (len(cell.lines), None, cell.lines, name)
        self.ran, self.within = 0, within
        self.at = ""  # the statement that runs
        module = types.ModuleType("__main__" if suffix == ".ipynb" else "submission")
        sys.modules[module.__name__] = module
        self.names: dict[str, Any] = vars(module)

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
        self.at = f"{where.strip('<>')}, line {statement.lineno}"
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
                fresh = looked_up(thing) - names
                names |= fresh
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


def looked_up(code: types.CodeType) -> set[str]:
    """The names that some code, with all that is defined inside it, looks up outside.

    >>> sorted(looked_up((lambda image: [warp(row) for row in image.rows]).__code__))
    ['warp']
    """
    names, stack = set[str](), [code]
    while stack:
        code = stack.pop()
        names |= {step.argval for step in dis.get_instructions(code) if step.opname in _LOOKS_UP}
        stack += [const for const in code.co_consts if isinstance(const, types.CodeType)]
    return names


_LOOKS_UP = "LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"


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
        encoding = tokenize.detect_encoding(io.BytesIO(raw).readline)[0] if cookie else "utf-8-sig"
        if codecs.lookup(encoding).name in ("punycode", "idna"):  # it is for names of hosts, and slow
            raise LookupError(f"nobody writes in {encoding}")
        return raw.decode(encoding)
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
        return [_unix("".join(source)) for source in sources]
    except json.JSONDecodeError as error:
        if text.strip() and (error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated")):
            raise Unreadable("the file is not whole: it ends in the middle; was it cut off?") from None
        raise Unreadable(f"the file is not a notebook: {error.msg} at line {error.lineno}") from None
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError, MemoryError) as error:
        raise Unreadable(f"the file is JSON, but not a notebook ({describe(error)})") from None


def _module(raw: bytes) -> str:
    text = _unix(_decoded(raw, cookie=True))
    if "\0" in text:
        raise Unreadable("the file is not Python: it holds a null byte")
    return text


def _unix(text: str) -> str:
    """With the line ends that Python makes of any."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _place(number: int, among: list[Any]) -> str:
    return f"cell {number}" if len(among) > 1 else "the file"


def _cell(source: str, place: str) -> Cell:
    """A cell of a notebook: it is read as a whole or not at all."""
    lines = io.StringIO(source).readlines()
    try:
        return Cell(place, lines, _tree(source), [])
    except _NOT_PARSED as error:
        return Cell(place, lines, [], [(source, _why(place, error))])


def _cells(text: str) -> Iterator[Cell]:
    """The cells of a Python file, which begin at ``# %%``. Of one that is not Python, what can be read."""
    lines = io.StringIO(text).readlines()
    spans = (_statements(text, lines) or _whole(text)[0]) if _PERCENT.search(text) else []
    pieces = [*_cut(text, _PERCENT, spans)]
    for number, (first, source) in enumerate(pieces, 1):
        place = _place(number, pieces)
        try:
            yield Cell(place, lines, _tree(source, first), [])
        except _NOT_PARSED as error:
            body, lost = _rest(source, first, place)
            yield Cell(place, lines, body, lost if body else [(source, _why(place, error, first))])


def _rest(source: str, first: int, place: str) -> tuple[list[ast.stmt], list[tuple[str, str]]]:
    """What can be read of a Python file that can't be read as a whole, as a notebook's other cells can.

    Only where a definition is among it: a word or a number in an essay is Python, too. Where a long string has no end,
    what comes after the first mistake may be a part of it, and is lost.
    """
    body, lost = list[ast.stmt](), list[tuple[str, str]]()
    if len(source) > _MOST[0] or len(_STATEMENT.findall(source)) > _MOST[1]:
        return [], []
    spans, closed = _whole(source)
    for start, definition in _cut(source, _DEFINITION, spans, first):
        try:
            body += _tree(definition, start)
            continue
        except _NOT_PARSED:
            new = True
        for at, block in _cut(definition, _STATEMENT, _whole(definition)[0], start):
            try:
                body += _tree(block, at)
                new = True
            except _NOT_PARSED as error:
                if new:
                    lost.append((block, _why(place, error, at)))
                new = False  # of several broken lines in a row the first is told
                if not closed:
                    lost[-1] = "\n".join(source.split("\n")[at - first :]), lost[-1][1]
                    break
        if lost and not closed:
            break
    defined = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return (body, lost) if any(isinstance(one, defined) for one in body) else ([], [])


def _cut(text: str, mark: re.Pattern[str], spans: list[tuple[int, int]], first: int = 1) -> Iterator[tuple[int, str]]:
    """The pieces of a text that begin at a mark which is inside no span, each with the number of its first line."""
    starts = [start for start, _ in spans]
    cuts = [0]
    for at in (found.start() for found in mark.finditer(text)):
        before = bisect.bisect_left(starts, at) - 1
        if before < 0 or spans[before][1] <= at:
            cuts.append(at)
    for a, b in zip(cuts, [*cuts[1:], len(text)], strict=True):
        piece = text[a:b]
        if piece.strip() or len(cuts) == 1:
            yield first, piece
        first += piece.count("\n")


def _statements(text: str, lines: list[str]) -> list[tuple[int, int]]:
    """From where to where the top-level statements of a Python file go, if it is one as a whole."""
    try:
        body = _tree(text)
    except _NOT_PARSED:
        return []
    offsets = [0, *accumulate(map(len, lines))]
    decorated = [(getattr(statement, "decorator_list", None) or [statement])[0].lineno for statement in body]
    return [
        (offsets[first - 1], offsets[statement.end_lineno or statement.lineno])
        for first, statement in zip(decorated, body, strict=True)
    ]


def _whole(text: str) -> tuple[list[tuple[int, int]], bool]:
    """From where to where comments, strings and merge conflicts go, and whether the last string has an end."""
    found, last = list[tuple[int, int]](), None
    for last in _WHOLE.finditer(text):
        found.append(last.span())
    closed = last is None or not last[0].startswith(('"""', "'''")) or bool(last["double"] or last["single"])
    return found, closed


def _tree(source: str, first: int = 1) -> list[ast.stmt]:
    """A text as Python, without IPython's own lines if that is what it takes; one of `_NOT_PARSED` if it isn't."""
    try:
        tree = ast.parse(source)
    except _NOT_PARSED:
        tree = ast.parse(_without_magics(source))
    return (ast.increment_lineno(tree, first - 1) if first > 1 else tree).body


def _why(place: str, error: BaseException, first: int = 1) -> str:
    line = f", line {error.lineno + first - 1}" if isinstance(error, SyntaxError) and error.lineno else ""
    if isinstance(error, SyntaxError) and (error.text or "").startswith(_CONFLICT):
        return f"{place}{line}: a merge conflict; keep one version and delete the lines that start with {_CONFLICT[0]} and so on"
    said = str(getattr(error, "msg", None) or error)[:100] or "nested too deeply"
    said = re.sub(r"(?<=\bline )\d+", lambda number: str(int(number[0]) + first - 1), said)
    return f"{place}{line}: {type(error).__name__}: {said}"


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
        if isinstance(inner, ast.Raise) and any(
            isinstance(node, ast.Name) and node.id == "NotImplementedError" for node in ast.walk(inner)
        ):
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
