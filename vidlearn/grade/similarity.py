"""Which submissions resemble each other more than one task explains: pairs for a person to judge, never a mark.

Each function's syntax becomes a row of tokens in which names that a student chose, constants, comments and annotations
leave no trace. Windows of `K` tokens are hashed, and of `WINDOW` neighboring hashes the smallest is kept: the
document fingerprints of Schleimer, Wilkerson and Aiken, *Winnowing*, SIGMOD 2003. What the released exercise holds is
taken away, and so is what a large share of the class wrote. Submissions are parsed here and never run.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import html
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidlearn.grade import report
from vidlearn.grade.intake import Paper, papers, printable
from vidlearn.sandbox.submission import Unreadable, _module, _notebook, _without_magics

__all__ = ["main", "similar"]

K = 12  #: tokens in one fingerprint: about one line of array code
WINDOW = 3  #: of so many neighboring fingerprints one is kept
COMMON = 0.25  #: what this share of a class wrote is nobody's idea …
FEWEST_COMMON = 6  #: … but in a small class a few who copy are not "the class"
EVIDENCE = 8  #: fewer fingerprints than this say nothing, whatever their share
MAX_SOURCE = 256 << 10  #: characters of code that are parsed; stored outputs don't count
MAX_LINES, MAX_WIDTH = 400, 300  #: lines of a function that are shown, and characters of a line
MAX_PAIRS = 200  #: pairs shown with their lines: no person reads more

_BUILTINS = frozenset(dir(builtins))
_Prints = list[tuple[bytes, int, int]]  # a fingerprint, and the first and last line that it covers


@dataclass
class _Unit:
    """One function's body, or what a cell holds besides functions."""

    name: str
    place: str
    lines: list[str]
    first: int
    prints: _Prints
    everything: set[bytes]  # before winnowing: what a stub holds must be recognized wherever the window falls


@dataclass
class _Script:
    """What one student wrote, as far as it can be parsed."""

    student: str
    submission: str
    units: list[_Unit] = field(default_factory=list)
    problem: str = ""

    def prints(self) -> set[bytes]:
        return {mark for unit in self.units for mark, _, _ in unit.prints}


def similar(
    submissions: str | Path,
    stub: str | Path | None = None,
    *,
    least: float = 0.5,
    assignment_id: str | None = None,
    out: str | Path | None = None,
) -> dict[str, Any]:
    """List pairs of submissions that share more code than the task explains.

    A high share is a reason to read two submissions side by side. It is not evidence of who wrote what, and it must
    not become a mark.

    Parameters
    ----------
    submissions
        A folder with one entry a student, or an archive, as for `vidlearn.grade.grade`.
    stub
        The exercise as it was handed out (``.ipynb`` or ``.py``): what stands in it is nobody's own.
    least
        A pair is listed if one of the two shares at least this fraction of its own code with the other; over 0, up to 1.
    assignment_id
        Chooses the file where a student handed in several; the stub's name, if not given.
    out
        A folder for ``similar.html`` and ``similar.json``.

    Returns
    -------
    dict
        ``pairs``, most alike first, each with ``a``, ``b``, ``share_a`` (how much of a's own code b has too),
        ``share_b``, ``fingerprints`` (how many are shared) and ``passages`` (where, side by side); ``not_compared``:
        who was left out, and why; ``compared``, ``common``, ``least``, ``shown``.

    Raises
    ------
    ValueError
        If the submissions or the stub can't be read, or `least` is no fraction.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> mine = '''def f(a, b):
    ...     c = a * b + a.sum(axis=0)
    ...     d = c / (b @ b.T + 1)
    ...     return [c - d, (d + a) ** 2, a / c]'''
    >>> yours = mine.replace("c", "total").replace("d =", "e =").replace("d,", "e,").replace("(d", "(e")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name, text in {"ann": mine, "bob": yours}.items():
    ...         _ = pathlib.Path(folder, f"{name}.py").write_text(text, encoding="utf-8")
    ...     pair, = similar(folder)["pairs"]
    >>> pair["a"], pair["b"], pair["share_a"], pair["share_b"]
    ('ann', 'bob', 1.0, 1.0)
    """
    if not 0 < least <= 1:
        raise ValueError(f"least: expected a fraction over 0 and up to 1, such as 0.5, got {least:g}")
    released: set[bytes] = set()
    if stub is not None:
        released = _released(Path(stub))
        assignment_id = assignment_id or Path(stub).stem
    found, others = papers(submissions, assignment_id or "")
    scripts = [_script(paper) for paper in found]
    holders: dict[bytes, list[int]] = defaultdict(list)
    for i, script in enumerate(scripts):
        for mark in script.prints() - released:
            holders[mark].append(i)
    most = max(FEWEST_COMMON, COMMON * sum(not script.problem for script in scripts))
    common = {mark for mark, who in holders.items() if len(who) >= most}
    own = Counter(i for mark, who in holders.items() if mark not in common for i in who)
    both = Counter(
        (a, b) for mark, who in holders.items() if mark not in common for n, a in enumerate(who) for b in who[n + 1 :]
    )
    alike = [
        (shared, a, b)
        for (a, b), shared in both.items()
        if shared >= EVIDENCE and shared >= least * min(own[a], own[b])
    ]
    alike.sort(key=lambda row: (-row[0] / min(own[row[1]], own[row[2]]), -row[0], row[1], row[2]))
    pairs: list[dict[str, Any]] = []
    for shared, a, b in alike:
        marks = {mark for mark in scripts[a].prints() & scripts[b].prints() if mark not in common} - released
        pairs.append({
            "a": scripts[a].student, "b": scripts[b].student,
            "submission_a": scripts[a].submission, "submission_b": scripts[b].submission,
            "share_a": round(shared / own[a], 4), "share_b": round(shared / own[b], 4), "fingerprints": shared,
            "passages": _passages(scripts[a], scripts[b], marks) if len(pairs) < MAX_PAIRS else [],
        })  # fmt: skip
    for i, script in enumerate(scripts):
        if not script.problem and own[i] < EVIDENCE:
            script.problem = "too little code of its own to compare"
    left = [{"student": s.student, "submission": s.submission, "why": s.problem} for s in scripts if s.problem]
    left += [{"student": "", "submission": printable(name), "why": "not a submission"} for name in others]
    result = {
        "least": least, "compared": len(scripts) - sum(bool(s.problem) for s in scripts), "common": len(common),
        "shown": min(len(pairs), MAX_PAIRS), "pairs": pairs, "not_compared": left,
    }  # fmt: skip
    if out is not None:
        report.write_text(Path(out) / "similar.json", report.as_json(result))
        report.write_text(Path(out) / "similar.html", _page(result))
    return result


def main(submissions: str, stub: str | None, assignment: str | None, least: float, out: str | None) -> int:
    """Run ``vidlearn similar``; 0 whether there are pairs or not: this is no verdict."""
    assignment_id = None
    if assignment is not None:
        from vidlearn.grade.assignment import Assignment

        assignment_id = Assignment.read(assignment).id
        beside = Path(assignment).with_name(f"{assignment_id}.ipynb")
        stub = stub or (str(beside) if beside.is_file() else None)
    result = similar(submissions, stub, least=least, assignment_id=assignment_id, out=out)
    rows = [("shared", "of", "fingerprints", "students")] + [
        (f"{pair['share_a']:.0%}", f"{pair['share_b']:.0%}", str(pair["fingerprints"]), f"{pair['a']} · {pair['b']}")
        for pair in result["pairs"][:MAX_PAIRS]
    ]
    if result["pairs"]:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    for entry in result["not_compared"]:
        print(f"not compared: {entry['student'] or entry['submission']}: {entry['why']}")
    print(_sentence(result) + (f" · {Path(out) / 'similar.html'}" if out is not None else ""))
    return 0


# ---------------------------------------------------------------------------------------------- from text to tokens


def _released(path: Path) -> set[bytes]:
    if path.suffix.lower() not in (".ipynb", ".py"):
        raise ValueError(f"stub: expected the exercise as .ipynb or .py, got {path.name}")
    try:
        script = _script(Paper("stub", path.name, path.read_bytes(), path.suffix.lower()))
    except OSError as error:
        raise ValueError(f"stub: {path} cannot be read: {error.strerror}") from None
    if script.problem:
        raise ValueError(f"stub: {path}: {script.problem}")
    return {mark for unit in script.units for mark in unit.everything}


def _script(paper: Paper) -> _Script:
    """Parse what can be parsed; a sentence where nothing can."""
    script = _Script(paper.student, paper.submission, problem=paper.problem)
    if paper.problem:
        return script
    try:
        sources = _notebook(paper.source) if paper.suffix == ".ipynb" else _module(paper.source)
    except Unreadable as error:
        script.problem = printable(str(error))
        return script
    length = sum(map(len, sources))
    if length > MAX_SOURCE:
        script.problem = f"{length:,} characters of code; at most {MAX_SOURCE:,} are read"
        return script
    trees: list[tuple[str, str, ast.Module]] = []
    reason = ""
    for number, source in enumerate(sources, 1):
        place = f"cell {number}" if len(sources) > 1 else ""
        for text in (source, _without_magics(source)):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # "\d" in a student's text is not the teacher's trouble
                    trees.append((place, text, ast.parse(text)))
                break
            except SyntaxError as error:
                reason = f"{place or 'the file'}, line {error.lineno}: not Python ({error.msg[:100]})"
            except (ValueError, RecursionError, MemoryError, OverflowError):
                reason = f"{place or 'the file'}: nested too deeply, or not text that Python can parse"
    if not trees:
        script.problem = printable(reason) or "there is no code in it"
        return script
    words = _Words([tree for _, _, tree in trees])
    for place, text, tree in trees:
        script.units += _units(place, text, tree, words)
    return script


class _Words:
    """What each name means in one submission: a library's word stays, a student's own word is any word."""

    def __init__(self, trees: Iterable[ast.Module]) -> None:
        self.imported: dict[str, str] = {}
        self.variables: set[str] = set()
        self.arguments: set[str] = set()
        self.attributes: set[str] = set()
        for node in (node for tree in trees for node in _walk(tree)):
            match node:
                case ast.Import(names=names):
                    for alias in names:
                        name = alias.name if alias.asname else alias.name.split(".")[0]
                        self.imported[alias.asname or name] = name
                case ast.ImportFrom(module=module, names=names):
                    for alias in names:
                        self.imported[alias.asname or alias.name] = f"{module}.{alias.name}"
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    self.variables.add(name)
                case ast.ClassDef(name=name, body=body):
                    self.variables.add(name)
                    self.attributes |= {inner.name for inner in body if isinstance(inner, ast.FunctionDef)}
                case ast.arg(arg=name):
                    self.variables.add(name)
                    self.arguments.add(name)
                case ast.Name(id=name, ctx=ast.Store()):
                    self.variables.add(name)
                case ast.Attribute(attr=name, ctx=ast.Store()):
                    self.attributes.add(name)

    def of_name(self, name: str) -> str | None:
        """The library's or the language's word, None for a student's own."""
        if name in self.imported:
            return self.imported[name]
        return name if name in _BUILTINS and name not in self.variables else None


def _walk(root: ast.AST) -> Iterator[ast.AST]:
    """All nodes, without recursion: a submission decides how deep they are nested."""
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(ast.iter_child_nodes(node))


def _units(place: str, text: str, tree: ast.Module, words: _Words) -> Iterator[_Unit]:
    """One unit a function, wherever it stands, and one for the rest of a cell: so that their order doesn't matter."""
    lines = text.split("\n")
    waiting: list[tuple[str, int, int, Sequence[ast.stmt]]] = [("", 1, len(lines), tree.body)]
    while waiting:
        name, first, last, body = waiting.pop()
        tokens, inner = _tokens(body, words)
        waiting += inner
        everything = [*_grams(tokens)]
        if everything:
            marks = {mark for mark, _, _ in everything}
            if not name:  # the rest of a cell starts where its code does
                first, last = min(line for _, line in tokens), max(line for _, line in tokens)
            yield _Unit(name, place, lines[first - 1 : last], first, _winnowed(everything), marks)


def _tokens(
    body: Sequence[ast.stmt], words: _Words
) -> tuple[list[tuple[str, int]], list[tuple[str, int, int, Sequence[ast.stmt]]]]:
    """Statements as a row of (token, line), and the functions that stand among them.

    A token that starts with a space is a student's own name: which one doesn't matter, but which are the same does.
    """
    tokens: list[tuple[str, int]] = []
    inner: list[tuple[str, int, int, Sequence[ast.stmt]]] = []
    stack: list[tuple[ast.AST, int]] = [(node, 0) for node in reversed(body)]
    while stack:
        node, line = stack.pop()
        line = getattr(node, "lineno", line)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inner.append((node.name, node.lineno, node.end_lineno or node.lineno, node.body))
            continue
        if isinstance(node, ast.Import | ast.ImportFrom | ast.expr_context | ast.Pass):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # a docstring, or a number that does nothing
        children = [*ast.iter_child_nodes(node)]
        kind = type(node).__name__
        match node:
            case ast.Constant() | ast.UnaryOp(op=ast.USub(), operand=ast.Constant()):
                tokens.append(("constant", line))
                continue
            case ast.Name(id=name):
                tokens.append((words.of_name(name) or " " + name, line))
                continue
            case ast.Attribute(value=ast.Name(id=name), attr=attr) if name in words.imported:
                tokens.append((f"{words.imported[name]}.{attr}", line))
                continue
            case ast.Attribute(attr=attr):
                tokens.append(("." if attr in words.attributes else f".{attr}", line))
            case ast.Call(args=given):
                tokens.append((f"Call{len(given)}", line))
            case ast.keyword(arg=arg):
                tokens.append(("=" if arg in words.arguments else f"{arg}=", line))
            case ast.BinOp(left=left, op=op, right=right):
                kind, children = type(op).__name__, [left, right]
                tokens.append((kind, line))
            case ast.AnnAssign(target=target, value=value):
                children = [target] + ([value] if value is not None else [])
                tokens.append(("Assign", line))  # with or without a type: the same statement
            case ast.arg(arg=name):
                tokens.append((" " + name, line))
                continue
            case ast.Module() | ast.Expr() | ast.arguments():
                pass
            case _:
                tokens.append((kind, line))
        stack += [(child, line) for child in reversed(children)]
    return tokens, inner


def _grams(tokens: Sequence[tuple[str, int]]) -> Iterator[tuple[bytes, int, int]]:
    """The hash of each window of K tokens, with the first and last line that it covers."""
    for start in range(len(tokens) - K + 1):
        window = tokens[start : start + K]
        names: dict[str, int] = {}
        row = [
            f" {names.setdefault(token, len(names))}" if token.startswith(" ") else token for token, _ in window
        ]  # renamed throughout is the same; swapped is not
        lines = [line for _, line in window]
        mark = hashlib.blake2b("\n".join(row).encode("utf-8", "backslashreplace"), digest_size=8).digest()
        yield mark, min(lines), max(lines)


def _winnowed(grams: _Prints) -> _Prints:
    """Of each window of neighboring hashes the smallest, the rightmost of equals."""
    count = max(1, len(grams) - WINDOW + 1)
    kept = {
        min(range(i, min(i + WINDOW, len(grams))), key=lambda j: (grams[j][0], -j)) for i in range(count)
    }  # the same choice in every text that holds the window
    return [grams[i] for i in sorted(kept)]


# --------------------------------------------------------------------------------------------------- side by side


def _passages(a: _Script, b: _Script, marks: set[bytes]) -> list[dict[str, Any]]:
    """Each function of a that shares something, beside the function of b that shares most with it."""
    passages = []
    for unit in a.units:
        mine = {mark for mark, _, _ in unit.prints} & marks
        if not mine:
            continue
        partner = max(b.units, key=lambda other: len(mine & {mark for mark, _, _ in other.prints}))
        shared = mine & {mark for mark, _, _ in partner.prints}
        passages.append({"fingerprints": len(shared), "a": _side(unit, shared), "b": _side(partner, shared)})
    return sorted(passages, key=lambda passage: -passage["fingerprints"])


def _side(unit: _Unit, shared: set[bytes]) -> dict[str, Any]:
    lines = {line for mark, first, last in unit.prints if mark in shared for line in range(first, last + 1)}
    return {
        "name": printable(unit.name), "place": unit.place, "first": unit.first,
        "shared": sorted(lines), "text": [printable(line[:MAX_WIDTH].expandtabs(4)) for line in unit.lines[:MAX_LINES]],
    }  # fmt: skip


_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 80rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .3rem; }
table { border-collapse: collapse; } td, th { padding: .15rem .8rem .15rem 0; text-align: left; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
.two > div { overflow-x: auto; } pre { margin: 0; font-size: .85rem; }
mark { background: #fc06; color: inherit; }
"""


def _page(result: dict[str, Any]) -> str:
    """The pairs as a page that stands alone. All that a student wrote is escaped."""
    pairs = result["pairs"][:MAX_PAIRS]
    parts = ["<h1>Similar submissions</h1>", f"<p>{_text(_sentence(result))}</p>"]
    parts.append(
        "<p>The share is of a student's own code: without the released exercise, and without what a large share of the "
        "class wrote. Names, constants and comments don't count. Marked lines hold what both have. A short task has "
        "few right answers, so <strong>read before you conclude, and ask</strong>: this is no mark.</p>"
    )
    if pairs:
        rows = [
            f"<tr><td><a href='#pair{i}'>{_text(pair['a'])} · {_text(pair['b'])}</a></td>"
            f"<td>{pair['share_a']:.0%}</td><td>{pair['share_b']:.0%}</td><td>{pair['fingerprints']}</td></tr>"
            for i, pair in enumerate(pairs)
        ]
        parts.append(
            "<table><tr><th>students</th><th>of the first</th><th>of the second</th><th>fingerprints</th></tr>"
            f"{''.join(rows)}</table>"
        )
    for i, pair in enumerate(pairs):
        parts.append(
            f"<h2 id=pair{i}>{_text(pair['a'])} ({pair['share_a']:.0%}) · {_text(pair['b'])} ({pair['share_b']:.0%})</h2>"
        )
        for passage in pair["passages"]:
            parts.append(f"<div class=two>{_column(passage['a'])}{_column(passage['b'])}</div>")
    if result["not_compared"]:
        items = [
            f"<li>{_text(entry['student'] or entry['submission'])}: {_text(entry['why'])}</li>"
            for entry in result["not_compared"]
        ]
        parts.append(f"<h2>Not compared</h2><ul>{''.join(items)}</ul>")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head += f"<title>Similar submissions</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def _column(side: dict[str, Any]) -> str:
    shared = set(side["shared"])
    rows = []
    for number, line in enumerate(side["text"], side["first"]):
        text = f"{number:4}  {_text(line)}"
        rows.append(f"<mark>{text}</mark>" if number in shared else text)
    title = " · ".join(filter(None, (side["place"], side["name"])))
    return f"<div><p>{_text(title)}</p><pre>{chr(10).join(rows)}</pre></div>"


def _sentence(result: dict[str, Any]) -> str:
    pairs = len(result["pairs"])
    text = f"{result['compared']} submissions compared, {pairs or 'no'} pair{'s' * (pairs != 1)} at {result['least']:.0%} or more"
    if pairs > result["shown"]:
        text += f", the {result['shown']} most alike with their lines"
    if result["common"]:
        text += f"; {result['common']} fingerprints of common code left out"
    return text


def _text(value: Any) -> str:
    return html.escape(str(value))
