"""Which submissions resemble each other more than one task explains: pairs for a person to judge, never a mark.

Each function's syntax becomes a row of tokens in which names that a student chose, constants, comments and annotations
leave no trace. Windows of `K` tokens are hashed, and of `WINDOW` neighboring hashes the smallest is kept: the
document fingerprints of Schleimer, Wilkerson and Aiken, *Winnowing*, SIGMOD 2003. What the released exercise holds is
taken away. Submissions with the same code stand together as a group, and what many of the class share stands apart from
the pairs with everyone who has it: a ring of copies looks like a lecture from outside. Submissions are parsed, never run.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidlearn.grade import report
from vidlearn.grade.intake import Paper, papers, printable
from vidlearn.sandbox.submission import Reading, Unreadable

__all__ = ["main", "similar"]

K = 12  #: tokens in one fingerprint: about one line of array code
WINDOW = 3  #: of so many neighboring fingerprints one is kept
COMMON = 0.25  #: what this share of a class wrote makes no pairs, but is shown by itself …
FEWEST_COMMON = 6  #: … and in a small class fewer than this are pairs
EVIDENCE = 8  #: fewer fingerprints than this say nothing, whatever their share
MAX_SOURCE = 256 << 10  #: characters of code that are parsed; stored outputs don't count
MAX_LINES, MAX_WIDTH = 400, 300  #: lines of a function that are shown, and characters of a line
MAX_ALIKE = 20  #: functions of one submission that are looked at for the one most like another's
MAX_PAIRS = 200  #: pairs shown with their lines: no person reads more
MAX_NAMES = 8  #: students named in a line of the terminal; the page names all

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
    text: str = ""
    own: set[bytes] = field(default_factory=set)  # the fingerprints that are not the exercise's
    whole: frozenset[bytes] = frozenset()  # the same before winnowing: what it comes down to as a program


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
        ``same``: groups of submissions with the same code, each with ``students``, ``submissions``, ``exact`` (letter for
        letter, or apart from names, numbers, comments, layout and order) and the ``passages`` of its first two.
        ``common``: code that many have, with ``students``, ``submissions`` and, in the same order, ``shares`` (how much of
        their own code it is), and ``code``.
        ``pairs``, most alike first, each with ``a``, ``b``, ``share_a`` (how much of a's own code, less the common one,
        b has too), ``share_b``, ``fingerprints`` (how many are shared), ``also_a`` and ``also_b`` (who has the same code
        as a, as b) and ``passages`` (where, side by side). ``not_compared``: who was left out, and why; ``compared``,
        ``least``, ``shown``.

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
    ...     for name, text in {"ann": mine, "bob": yours, "eve": mine + "\\n    return sorted(a, key=b.get)"}.items():
    ...         _ = pathlib.Path(folder, f"{name}.py").write_text(text, encoding="utf-8")
    ...     found = similar(folder)
    >>> found["same"][0]["students"], found["pairs"][0]["b"], found["pairs"][0]["share_a"]
    (['ann', 'bob'], 'eve', 1.0)
    """
    if not 0 < least <= 1:
        raise ValueError(f"least: expected a fraction over 0 and up to 1, such as 0.5, got {least:g}")
    released: set[bytes] = set()
    if stub is not None:
        released = _released(Path(stub))
        assignment_id = assignment_id or Path(stub).stem
    found, others = papers(submissions, assignment_id or "")
    scripts = [_script(paper) for paper in found]
    for script in scripts:
        script.own = {mark for unit in script.units for mark, _, _ in unit.prints} - released
        script.whole = frozenset(mark for unit in script.units for mark in unit.everything) - released
        if not script.problem and not script.whole:
            script.problem, script.text = "no code besides the exercise", ""
        elif not script.problem and len(script.own) < EVIDENCE:
            script.problem = "too little code besides the exercise to compare"
    groups = _groups(scripts)
    compared = [group for group in groups if not group[0].problem]
    holders: dict[bytes, list[int]] = defaultdict(list)
    for i, (script, *_) in enumerate(compared):
        for mark in script.own:
            holders[mark].append(i)
    common = _common(compared, holders)
    for entry in common:
        for mark in entry.pop("marks"):
            holders.pop(mark, None)
    own = Counter(i for who in holders.values() for i in who)
    both = Counter((a, b) for who in holders.values() for n, a in enumerate(who) for b in who[n + 1 :])
    alike = [
        (shared, a, b)
        for (a, b), shared in both.items()
        if shared >= EVIDENCE and shared >= least * min(own[a], own[b])
    ]
    alike.sort(key=lambda row: (-row[0] / min(own[row[1]], own[row[2]]), -row[0], row[1], row[2]))
    pairs: list[dict[str, Any]] = []
    for shared, i, j in alike:
        (a, *also_a), (b, *also_b) = compared[i], compared[j]
        pairs.append({
            "a": a.student, "b": b.student, "submission_a": a.submission, "submission_b": b.submission,
            "also_a": [script.student for script in also_a], "also_b": [script.student for script in also_b],
            "share_a": round(shared / own[i], 4), "share_b": round(shared / own[j], 4), "fingerprints": shared,
            "passages": _passages(a, b, a.own & b.own & holders.keys()) if len(pairs) < MAX_PAIRS else [],
        })  # fmt: skip
    left = [{"student": s.student, "submission": s.submission, "why": s.problem} for s in scripts if s.problem]
    left += [{"student": "", "submission": printable(name), "why": "not a submission"} for name in others]
    result = {
        "least": least, "compared": sum(map(len, compared)), "shown": min(len(pairs), MAX_PAIRS),
        "same": [_same(group) for group in groups if len(group) > 1], "common": common, "pairs": pairs,
        "not_compared": left,
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
    for title, rows in _sections(result):
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        print(title)
        for row in rows:
            print("  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
        print()
    print(_sentence(result) + (f" · {Path(out) / 'similar.html'}" if out is not None else ""))
    return 0


def _sections(result: dict[str, Any]) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """What the terminal shows: a heading in plain words, and rows of cells."""
    same = [(f"{len(entry['students'])} students:", _few(entry["students"])) for entry in result["same"]]
    common = [
        (f"{_lines(entry['code'])} in {_size(entry, result)}:", _few(_shares(entry))) for entry in result["common"]
    ]
    pairs = [
        (
            _both(pair),
            _lines(part["a"] for part in pair["passages"]),
            f"{pair['share_a']:.0%}",
            f"{pair['share_b']:.0%}",
        )
        for pair in result["pairs"][:MAX_PAIRS]
    ]
    left = [((entry["student"] or entry["submission"]) + ":", entry["why"]) for entry in result["not_compared"]]
    head = ("", "in common", "of the first's code", "of the second's")
    for title, rows in ((SAME, same), (COMMONLY, common), (PAIRS, pairs and [head, *pairs]), (LEFT, left)):
        if rows:
            yield title, [*rows]


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
        read = Reading(paper.source, paper.suffix, MAX_SOURCE)
    except Unreadable as error:
        script.problem, script.text = printable(str(error)), hashlib.blake2b(paper.source).hexdigest()
        return script
    if not read.statements:
        script.problem = "there is no code in it"
        return script
    script.text = read.text.strip()
    words = _Words(statement for _, statement in read.statements)
    for cell in read.cells:
        script.units += _units(cell.place if len(read.cells) > 1 else "", cell.lines, cell.body, words)
    return script


class _Words:
    """What each name means in one submission: a library's word stays, a student's own word is any word."""

    def __init__(self, statements: Iterable[ast.stmt]) -> None:
        self.imported: dict[str, str] = {}
        self.variables: set[str] = set()
        self.arguments: set[str] = set()
        self.attributes: set[str] = set()
        for node in (node for statement in statements for node in _walk(statement)):
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


def _units(place: str, lines: list[str], body: Sequence[ast.stmt], words: _Words) -> Iterator[_Unit]:
    """One unit a function, wherever it stands, and one for the rest of a cell: so that their order doesn't matter."""
    waiting: list[tuple[str, int, int, Sequence[ast.stmt]]] = [("", 1, len(lines), body)]
    while waiting:
        name, first, last, body = waiting.pop()
        tokens, inner = _tokens(body, words)
        waiting += inner
        everything = [*_grams(tokens)]
        if everything:
            marks = {mark for mark, _, _ in everything}
            if not name:  # the rest of a cell starts where its code does
                first, last = min(line for _, line in tokens), max(line for _, line in tokens)
            shown = [line.removesuffix("\n") for line in lines[first - 1 : last]]
            yield _Unit(name, place, shown, first, _winnowed(everything), marks)


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


# ------------------------------------------------------------------------------------------------- groups and lectures


def _groups(scripts: Iterable[_Script]) -> list[list[_Script]]:
    """Submissions with the same code together, each other one alone. A few lines are the same only letter for letter."""
    groups: dict[Hashable, list[_Script]] = {}
    for script in scripts:
        few = script.problem or len(script.own) < EVIDENCE
        groups.setdefault((script.text or id(script)) if few else script.whole, []).append(script)
    return [*groups.values()]


def _common(groups: Sequence[Sequence[_Script]], holders: dict[bytes, list[int]]) -> list[dict[str, Any]]:
    """Code that many have, a piece for each set of people; what is in no piece still counts for the pairs.

    Copies of one program count once here, so that a ring alone is no lecture.
    """
    most = max(FEWEST_COMMON, COMMON * len(groups))
    left = {mark for mark, who in holders.items() if len(who) >= most}
    units = [(unit, {mark for mark, _, _ in unit.prints} & left) for first, *_ in groups for unit in first.units]
    pieces: dict[tuple[int, ...], list[tuple[_Unit, set[bytes]]]] = defaultdict(list)
    for unit, marks in sorted(units, key=lambda row: -len(row[1])):  # the longest shows best where it comes from
        marks &= left
        left -= marks
        counts = Counter(i for mark in marks for i in holders[mark])
        who = tuple(sorted(i for i, count in counts.items() if count * 4 >= 3 * len(marks)))
        if len(who) >= most:
            pieces[who].append((unit, marks))
    found = []
    for who, parts in pieces.items():
        marks = {mark for _, some in parts for mark in some}
        if len(marks) < EVIDENCE:
            continue
        shares = [(-len(script.own & marks) / len(script.own), script) for i in who for script in groups[i]]
        shares.sort(key=lambda row: (row[0], row[1].student))
        found.append({
            "students": [script.student for _, script in shares],
            "submissions": [script.submission for _, script in shares],
            "shares": [round(-share, 4) for share, _ in shares],
            "code": [side for side, in _merged([_side(unit, some)] for unit, some in parts)],
            "marks": marks,
        })  # fmt: skip
    return sorted(found, key=lambda entry: -len(entry["marks"]))


def _same(group: Sequence[_Script]) -> dict[str, Any]:
    """A group's entry in the result."""
    first, second, *_ = group
    return {
        "students": [script.student for script in group], "submissions": [script.submission for script in group],
        "exact": len({script.text for script in group}) == 1, "passages": _passages(first, second, first.whole),
    }  # fmt: skip


# --------------------------------------------------------------------------------------------------- side by side


def _passages(a: _Script, b: _Script, marks: Set[bytes]) -> list[dict[str, Any]]:
    """Each function of a that shares something, beside the function of b that shares most with it."""
    holders: dict[bytes, list[_Unit]] = defaultdict(list)
    for unit in b.units:
        for mark in {mark for mark, _, _ in unit.prints} & marks:
            if len(holders[mark]) < MAX_ALIKE:
                holders[mark].append(unit)
    rows = []
    for unit in a.units:
        mine = {mark for mark, _, _ in unit.prints} & marks
        partners = {id(other): other for mark in mine for other in holders[mark]}.values()
        if not partners:
            continue
        theirs = {id(other): mine & {mark for mark, _, _ in other.prints} for other in partners}
        partner = max(partners, key=lambda o: (len(theirs[id(o)]), o.name == unit.name, o.place == unit.place))
        shared = theirs[id(partner)]
        rows.append([_side(unit, shared), _side(partner, shared)])
    return [{"a": one, "b": other} for one, other in _merged(rows)]


def _merged(rows: Iterable[list[dict[str, Any]]]) -> list[list[dict[str, Any]]]:
    """Functions in their order in the first script; a function in a function is marked in the outer one."""
    kept: list[list[dict[str, Any]]] = []
    for row in sorted(
        rows, key=lambda row: (len(row[0]["place"]), row[0]["place"], row[0]["first"])
    ):  # cell 9, cell 10
        if kept and all(map(_inside, row, kept[-1])):
            for side, outer in zip(row, kept[-1], strict=True):
                outer["shared"] = sorted({*outer["shared"], *side["shared"]})
        else:
            kept.append(row)
    return kept


def _inside(side: dict[str, Any], outer: dict[str, Any]) -> bool:
    start = side["first"] - outer["first"]
    return side["place"] == outer["place"] and start >= 0 and outer["text"][start:][: len(side["text"])] == side["text"]


def _side(unit: _Unit, shared: set[bytes]) -> dict[str, Any]:
    lines = {line for mark, first, last in unit.prints if mark in shared for line in range(first, last + 1)}
    return {
        "name": printable(unit.name), "place": unit.place, "first": unit.first,
        "shared": sorted(lines), "text": [printable(line[:MAX_WIDTH].expandtabs(4)) for line in unit.lines[:MAX_LINES]],
    }  # fmt: skip


# ----------------------------------------------------------------------------------------------- for a person to read

SAME = "The same code, whatever its names, numbers, comments and order"
COMMONLY = "Code that many have: from a lecture, or passed around?"
PAIRS = "Pairs who have much in common"
LEFT = "Not compared"

_STYLE = """<style>
body.wide { max-width: 80rem; } .two { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
.two > div { min-width: 0; } .two p { margin: .5rem 0 0; } summary { cursor: pointer; }
mark { background: #fc06; color: inherit; }
</style>"""


def _page(result: dict[str, Any]) -> str:
    """The result as a page that stands alone. All that a student wrote is escaped."""
    pairs = result["pairs"][:MAX_PAIRS]
    parts = [
        _STYLE, "<h1>Similar submissions</h1>", f"<p>{_text(_sentence(result))}.</p>",
        "<p>Only a student's own code counts, without the released exercise; names, numbers and comments don't. A short "
        "task has few right answers, so <strong>read before you conclude, and ask</strong>: this is no mark.</p>",
    ]  # fmt: skip
    for entry in result["same"]:
        how = "Letter for letter the same" if entry["exact"] else SAME
        code = [_two(part, entry["exact"], marked=False) for part in entry["passages"]]
        parts += [_heading(2, how), _paragraph(", ".join(entry["students"])), _folded("their code", code)]
    for entry in result["common"]:
        parts.append(_heading(2, f"This code stands in {_size(entry, result)}: from a lecture, or passed around?"))
        parts.append(_paragraph("How much of their own code it is: " + ", ".join(_shares(entry))))
        parts.append(_folded(f"the {_lines(entry['code'])}, marked", map(_column, entry["code"])))
    if pairs:
        parts.append(_heading(2, PAIRS))
        parts.append("<p>The marked lines hold what both have; what many have is left out here.</p>")
        head = ["students", "lines in common", "of the first’s code", "of the second’s"]
        rows = [
            [f"<a href='#pair{i}'>{_text(_both(pair))}</a>", str(_count(side["a"] for side in pair["passages"])),
             f"{pair['share_a']:.0%}", f"{pair['share_b']:.0%}"]
            for i, pair in enumerate(pairs)
        ]  # fmt: skip
        parts.append(report._table(head, rows))
    for i, pair in enumerate(pairs):
        parts.append(f"<h3 id=pair{i}>{_text(_both(pair))}</h3>")
        parts += map(_two, pair["passages"])
    if result["not_compared"]:
        items = [f"{entry['student'] or entry['submission']}: {entry['why']}" for entry in result["not_compared"]]
        parts.append(_heading(2, LEFT) + f"<ul>{''.join(f'<li>{_text(item)}</li>' for item in items)}</ul>")
    return report._document("Similar submissions", "".join(parts), "wide")


def _heading(level: int, text: str) -> str:
    return f"<h{level}>{_text(text)}</h{level}>"


def _paragraph(text: str) -> str:
    return f"<p>{_text(text)}</p>"


def _folded(title: str, code: Iterable[str]) -> str:
    text = "".join(code)
    return f"<details><summary>{_text(title)}</summary>{text}</details>" if text else ""


def _two(passage: dict[str, Any], once: bool = False, marked: bool = True) -> str:
    if once:
        return _column(passage["a"], marked)
    return f"<div class=two>{_column(passage['a'], marked)}{_column(passage['b'], marked)}</div>"


def _column(side: dict[str, Any], marked: bool = True) -> str:
    """A function's lines, with those that are shared marked."""
    shared = set(side["shared"]) if marked else set()
    rows = []
    for number, line in enumerate(side["text"], side["first"]):
        text = f"{number:4}  {_text(line)}"
        rows.append(f"<mark>{text}</mark>" if number in shared else text)
    title = " · ".join(filter(None, (side["place"], side["name"])))
    return f"<div>{_paragraph(title)}<pre>{chr(10).join(rows)}</pre></div>"


def _sentence(result: dict[str, Any]) -> str:
    pairs = len(result["pairs"])
    parts = [
        (len(result["same"]), "group", " with the same code"),
        (len(result["common"]), "piece", " of code that many have"),
    ]
    parts.append((pairs, "pair", f" with {result['least']:.0%} or more in common"))
    told = [f"{count or 'no'} {what}{'s' * (count != 1)}{of}" for count, what, of in parts if count or what == "pair"]
    text = f"{result['compared']} submissions compared: {', '.join(told)}"
    if pairs > result["shown"]:
        text += f", the {result['shown']} most alike with their lines"
    return text


def _size(entry: dict[str, Any], result: dict[str, Any]) -> str:
    return f"{len(entry['students'])} of {result['compared']} submissions"


def _shares(entry: dict[str, Any]) -> list[str]:
    return [f"{student} {share:.0%}" for student, share in zip(entry["students"], entry["shares"], strict=True)]


def _both(pair: dict[str, Any]) -> str:
    names = (pair[x] + (f" (and {len(pair[f'also_{x}'])} with the same)" if pair[f"also_{x}"] else "") for x in "ab")
    return " · ".join(names)


def _few(names: Sequence[str]) -> str:
    rest = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def _count(sides: Iterable[dict[str, Any]]) -> int:
    return sum(len(side["shared"]) for side in sides)


def _lines(sides: Iterable[dict[str, Any]]) -> str:
    count = _count(sides)
    return f"{count} line{'s' * (count != 1)}"


_text = report._text
