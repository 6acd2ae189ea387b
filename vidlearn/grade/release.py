"""What students get: the exercise without its answers, and checks that need neither the reference nor vidlearn.

A folder ``student/`` holds the notebook and ``checks/``: stored cases with their answers, drawn from a seed that anyone
may know, and the laws of the specs by source, as far as they don't give the answer away.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import io
import json
import math
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from vidlearn.grade.assignment import Assignment, Question
from vidlearn.grade.bundle import autograder, packed
from vidlearn.grade.nbgrader import _check_empty, _read, _wrap_all, without_answers
from vidlearn.grade.sources import defines, source_of
from vidlearn.judge import Bank
from vidlearn.judge.bank import rounded
from vidlearn.judge.candidate import Outcome, Runner
from vidlearn.judge.comparing import _words, first_difference, form_problem
from vidlearn.judge.drawing import shrink
from vidlearn.spec import largest

if TYPE_CHECKING:
    import argparse

    from vidlearn.judge.bank import Case
    from vidlearn.operation import Operation
    from vidlearn.spec import Law

__all__ = ["add_arguments", "main", "release", "student_files"]

PUBLIC_SEED = 0  # that of `vl.check`: with vidlearn installed or without it, students see the same cases
RECORD = "release.json"
SMALL = 12  # numbers in an input that nobody needs to make smaller
TRIES = 60  # calls of a mistake to find a smaller input, after the first on which it fails

_README = """\
# {title}

Open `{notebook}` in Jupyter, in this folder. Write your functions and run the cell below each: it shows what holds, what
breaks, and the smallest stored input on which your function goes wrong. You need Python 3.10 or newer and NumPy.

Outside a notebook: `from checks import check`, then `print(check(your_function))`.

These checks are {cases} stored inputs with their answers and {laws} laws. Grading draws other inputs{left}.{helpers}
"""


def release(
    assignment: str | Path,
    out: str | Path,
    notebook: str | Path | None = None,
    *,
    seed: int | None = None,
    require_isolation: str | bool | None = None,
) -> list[str]:
    """Make all that an assignment needs to be handed out and collected.

    Parameters
    ----------
    assignment
        The TOML file that says what is asked.
    out
        The folder to make: ``student/`` and ``ID.zip`` of it for students, ``gradescope/autograder.zip`` and
        ``nbgrader/`` for you. What an earlier release made there is replaced as long as nobody has changed it since.
    notebook
        The exercise, or the solution: what is an answer is taken out. By default the notebook beside the TOML file.
    seed, require_isolation
        For the autograder: see `vidlearn.grade.bundle.autograder`.

    Returns
    -------
    list of str
        What else the teacher should know, a sentence each.

    Raises
    ------
    ValueError
        If the assignment or the notebook can't be used, or `out` holds something else.
    """
    asked, out = Assignment.read(assignment), Path(out)
    source = Path(notebook) if notebook is not None else Path(assignment).with_suffix(".ipynb")
    if not re.fullmatch(r"\w[\w.-]*", asked.id):
        raise ValueError(f"assignment: its id {asked.id!r} can't name a file; expected letters, digits, - _ .")
    if not source.is_file():
        hint = "" if notebook is not None else "; name one with --notebook"
        raise ValueError(f"notebook: there is no file {source}{hint}")
    before = _record(out, asked.id)
    student, notes = student_files(asked, source)
    bundle = autograder(assignment, seed=seed, require_isolation=require_isolation)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
        new = Path(folder) / "new"
        for name, data in student.items():
            _put(new / "student" / name, data)
        _put(new / f"{asked.id}.zip", packed({f"{asked.id}/{name}": data for name, data in student.items()}))
        _put(new / "gradescope" / "autograder.zip", bundle)
        _for_nbgrader(asked, source, new / "nbgrader")
        made = {str(p.relative_to(new)): _digest(p) for p in sorted(new.rglob("*")) if p.is_file()}
        _put(new / RECORD, (json.dumps({"assignment": asked.id, "files": made}, indent=1) + "\n").encode())
        _swap(new, out, before, Path(folder) / "old")
    return notes + _other_exercises(asked, Path(assignment))


def student_files(assignment: Assignment, notebook: Path) -> tuple[dict[str, bytes], list[str]]:
    """The files of a student's folder by name, and what the teacher should know about them."""
    text, notes = _exercise(assignment, notebook)
    store, laws, texts = _Store(), _Laws(assignment), {}
    questions = {q.operation.short: _question(q, store, laws) for q in assignment.questions}
    found = _helpers(assignment)
    helpers = {c: {"given": h.given, "own": h.own, "withheld": h.withheld} for c, h in found.items()}
    for concept, entry in found.items():
        if entry.given:
            texts[f"checks/helpers_{concept}.py"] = f'"""Functions of vidlearn that you may call."""\n\n{entry.source}'
    index = {
        "assignment": assignment.id,
        "questions": questions,
        "helpers": helpers,
        "torch": "torch" in assignment.packages,
    }
    files = {
        notebook.name: text.encode(),
        "checks/__init__.py": Path(__file__).with_name("checks.py").read_bytes(),
        "checks/cases.npz": store.npz(index),
        **{name: source.encode() for name, source in {**texts, **laws.files()}.items()},
    }
    kept = sum(len(question["laws"]) for question in questions.values())
    left = sum(question["laws_left_out"] for question in questions.values())
    own = [f"`{concept}.{name}`" for concept, entry in found.items() for name in entry.own]
    withheld = [f"{concept}.{name}" for concept, entry in found.items() for name in entry.withheld]
    files["README.md"] = _README.format(
        title=assignment.title, notebook=notebook.name, laws=kept,
        cases=sum(len(cases) for question in questions.values() for cases in question["families"].values()),
        left=f", and looks at {left} more law{'s' * (left > 1)}" if left else "",
        helpers=(f"\nWhere the text allows you {' and '.join(own)}, your own is used." if own else "")
        + (f"\n{' and '.join(f'`{name}`' for name in withheld)} would give an answer away, and is not here: what calls it can be checked where vidlearn is installed." if withheld else ""),
    ).encode()  # fmt: skip
    if withheld:
        notes.append(f"the helper {' and '.join(withheld)} is not handed out: its source is an answer of this exercise")
    if left:
        notes.append(f"{left} of {kept + left} laws are left out: they use the reference or would give the answer away")
    return files, notes


# ------------------------------------------------------------------------------------------------- the notebook


def _exercise(assignment: Assignment, path: Path) -> tuple[str, list[str]]:
    """The notebook without answers, outputs and metadata that is nobody's business."""
    try:
        notebook = _read(path)
        for question in assignment.questions:
            _wrap_all(notebook["cells"], question.operation.short)
        works = False
        lacking = _lacking(assignment)
        for cell in notebook["cells"]:
            code = cell["cell_type"] == "code"
            cell["source"] = without_answers(cell["source"], cell["cell_type"])
            kept = {key: cell["metadata"][key] for key in ("deletable", "editable", "tags") if key in cell["metadata"]}
            cell["metadata"] = kept
            if code:
                cell["outputs"], cell["execution_count"] = [], None
                cell["source"], done = _IMPORT.subn(_EITHER, cell["source"])
                works = works or bool(done)
                if not done and (needs := _needs(cell["source"], lacking)):
                    cell["source"] = f"# this cell needs {' and '.join(needs)}\n{cell['source']}"
        _check_empty(notebook["cells"], [question.operation.short for question in assignment.questions])
    except ValueError as error:
        raise ValueError(f"notebook: {path}: {error}") from None
    kernel = notebook.get("metadata", {}).get("kernelspec")
    notebook["metadata"] = {"language_info": {"name": "python"}, **({"kernelspec": kernel} if kernel else {})}
    note = "the notebook has no line `import vidlearn as vl`; tell students to write `from checks import check`"
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", [] if works else [note]


def _needs(code: str, lacking: list[str]) -> list[str]:
    """What a cell takes that a student with NumPy alone doesn't have."""
    calls = any(re.search(rf"(?<!def )\b{name}\(", code) for name in lacking)
    itself = calls or re.search(r"^(from|import) vidlearn\b", code, re.M)
    pictures = re.search(r"^(from|import) matplotlib\b", code, re.M)
    return ["vidlearn itself"] * bool(itself) + ["matplotlib"] * bool(pictures)


_IMPORT = re.compile(r"^import vidlearn as (\w+)[ \t]*(#.*)?$", re.M)
_EITHER = r"""try:
    import vidlearn as \1
except ModuleNotFoundError:
    import checks as \1  # stored cases and laws, and the helpers that you may call"""


# --------------------------------------------------------------------------------------------------- the cases


class _Store:
    """All numbers in one row for each dtype; the index says where an array begins."""

    def __init__(self) -> None:
        self.rows: dict[str, list[np.ndarray]] = {}
        self.places: dict[tuple[str, bytes, tuple[int, ...]], Any] = {}
        self.ends: dict[str, int] = {}

    def put(self, value: Any) -> Any:
        """What stands in the index for a value."""
        if isinstance(value, dict):
            return {name: self.put(one) for name, one in value.items()}
        if isinstance(value, tuple):
            return {"tuple": [self.put(one) for one in value]}
        if isinstance(value, list):
            return [self.put(one) for one in value]
        if isinstance(value, np.generic):
            return value.item()
        if not isinstance(value, np.ndarray):
            return value
        dtype, flat = str(value.dtype), np.ascontiguousarray(value).ravel()
        key = dtype, flat.tobytes(), value.shape
        if key not in self.places:
            start = self.ends.get(dtype, 0)
            self.rows.setdefault(dtype, []).append(flat)
            self.ends[dtype] = start + flat.size
            self.places[key] = {"array": [dtype, start, list(value.shape)]}
        return self.places[key]

    def npz(self, index: dict[str, Any]) -> bytes:
        file = io.BytesIO()
        rows = {dtype: np.concatenate(parts) for dtype, parts in self.rows.items()}
        np.savez_compressed(file, index=np.array(json.dumps(index, ensure_ascii=False)), **rows)  # type: ignore[arg-type]
        return file.getvalue()


def _families(operation: Operation) -> dict[str, list[Case]]:
    """The cases of each family by size, and for each known mistake one that is small enough to follow by hand."""
    bank = Bank.draw(operation, PUBLIC_SEED)
    families = {name: [*cases] for name, cases in bank.families.items()}
    for known in bank.wrong:

        def fails(case: Case, run: Runner = known.runner) -> bool:
            return not _right(run, operation, case)

        failing = ((_size(case.inputs), name) for name, cases in families.items() for case in cases if fails(case))
        size, name = min(failing, default=(0, ""))
        if size > SMALL:
            found = shrink(
                operation.spec.cases[name], lambda inputs: fails(bank.case(inputs)), PUBLIC_SEED, 25, TRIES, math.inf
            )
            if found is not None and _size(found) < size:
                families[name].append(bank.case(rounded(found, "float64")))
    return {name: sorted(cases, key=lambda case: _size(case.inputs)) for name, cases in families.items()}


def _right(run: Runner, operation: Operation, case: Case) -> bool:
    outcome: Outcome = run(case.inputs)
    if form_problem(outcome, case.expected, "float64", False):
        return False
    axes = operation.signature.returns
    return first_difference(outcome, case, operation.spec, axes, "float64", False) is None


def _question(question: Question, store: _Store, laws: _Laws) -> dict[str, Any]:
    """One asked function in the index: everything but the answer's source."""
    operation = question.operation
    spec, signature, bank = operation.spec, operation.signature, Bank.draw(operation, PUBLIC_SEED)
    released = [(law, asked) for law, asked in bank.laws if laws.take(question, law, [inputs for _, inputs in asked])]
    return {
        "backend": question.backend,
        "parameters": list(signature.python.parameters),
        "form": "tuple" if signature.returns_tuple else "list" if signature.returns_list else "one",
        "axes": [_axes(array.axes) for array in signature.returns],
        "outputs": list(spec.outputs),
        "components": list(spec.components),
        "families": {
            name: [_case(question, case, store) for case in cases] for name, cases in _families(operation).items()
        },
        "laws": [
            {
                "statement": law.statement, "module": laws.module(law), "function": law.holds.__name__,
                "tries": [
                    {"family": name, "inputs": store.put(one), "allowed": store.put(_law_allows(question, law, one))}
                    for name, one in sorted(asked, key=lambda each: _size(each[1]))
                ],
            }
            for law, asked in released
        ],
        "laws_left_out": len(bank.laws) - len(released),
    }  # fmt: skip


def _case(question: Question, case: Case, store: _Store) -> dict[str, Any]:
    tolerance = question.operation.spec.tolerance
    _, keywords = question.operation.signature.order(case.inputs)
    names = [name for name in question.operation.signature.python.parameters if name in case.inputs]
    return {
        "inputs": store.put({name: case.inputs[name] for name in names}),
        "keywords": list(keywords),
        "answers": [store.put(answer) for answer in case.expected],
        "allowed": [store.put(tolerance.allowed(e, case.inputs, "float64", False)) for e in case.expected],
        "defined": store.put(case.defined),
    }


def _law_allows(question: Question, law: Law, inputs: dict[str, Any]) -> Any:
    """The error that is allowed where the law is stated for the right answer; None where it says yes or no."""
    said = _said(law, Runner(question.operation.reference, question.operation.signature).as_function, inputs)
    if isinstance(said, bool | np.bool_):
        return None
    plain = {name: value for name, value in inputs.items() if name not in law.draws}
    return question.operation.spec.tolerance.allowed(np.asarray(said[1]), plain, "float64", False)


def _said(law: Law, function: Callable[..., Any], inputs: dict[str, Any]) -> Any:
    with np.errstate(all="ignore"):
        return law.holds(function, **inputs)


def _size(inputs: dict[str, Any]) -> int:
    return sum(int(np.size(value)) for value in inputs.values() if value is not None)


def _axes(axes: tuple[str, ...]) -> list[str]:
    return [name or f"axis {i}" for i, name in enumerate(_words(axes, len(axes)))]


# ---------------------------------------------------------------------------------------------------- the laws


class _Laws:
    """The laws that can be handed out, by source: one file for each module that they come from."""

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment
        self.found: dict[str, set[str]] = {}

    def module(self, law: Law) -> str:
        return "laws_" + "_".join(part for part in law.holds.__module__.split(".")[1:] if part != "spec")

    def take(self, question: Question, law: Law, inputs: list[dict[str, Any]]) -> bool:
        """Whether a law can be released; if so, its functions are."""
        home = sys.modules[law.holds.__module__]
        if not inspect.isfunction(law.holds) or getattr(home, law.holds.__name__, None) is not law.holds:
            return False
        names = _needed(home, law.holds.__name__)
        if names is None or _gives_the_answer(question, law, inputs):
            return False
        functions = [vars(home)[name] for name in names - {law.holds.__name__} if inspect.isfunction(vars(home)[name])]
        if any(_is_an_answer(function, q) for function in functions for q in self.assignment.questions):
            return False
        self.found.setdefault(law.holds.__module__, set()).update(names)
        return True

    def files(self) -> dict[str, str]:
        texts = {}
        for home, names in self.found.items():
            name = "laws_" + "_".join(part for part in home.split(".")[1:] if part != "spec")
            texts[f"checks/{name}.py"] = (
                '"""Laws that every right answer obeys; `f` is your function."""\n\n'
                "from __future__ import annotations\n\n" + _source(importlib.import_module(home), names)
            )
        return texts


def _statements(module: ModuleType) -> dict[str, ast.stmt]:
    return {bound: node for node in ast.parse(inspect.getsource(module)).body for bound in defines(node)}


def _needed(module: ModuleType, name: str) -> set[str] | None:
    """The names of a module that a function uses, itself included; None if vidlearn's own functions are among them."""
    statements, names, waiting = _statements(module), set[str](), [name]
    while waiting:
        name = waiting.pop()
        if name in names or name not in statements:
            continue
        node = statements[name]
        if isinstance(node, ast.Import | ast.ImportFrom):
            top = (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
            if top.split(".")[0] not in (*sys.stdlib_module_names, "numpy") and (top, name) != (_LARGEST, "largest"):
                return None
        elif not isinstance(node, ast.FunctionDef | ast.Assign | ast.AnnAssign):
            return None
        names.add(name)
        waiting += [inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)]
    return names


_LARGEST = largest.__module__


def _source(module: ModuleType, names: set[str]) -> str:
    """These statements of a module, in its order."""
    text, pieces = inspect.getsource(module), dict[str, None]()
    statements = _statements(module)
    for name in sorted(names, key=lambda name: statements[name].lineno):
        node = statements[name]
        if isinstance(node, ast.ImportFrom) and node.module == _LARGEST:
            pieces[inspect.getsource(largest).strip()] = None
        elif isinstance(node, ast.ImportFrom):
            pieces[f"from {node.module} import {name}"] = None
        else:
            pieces[ast.get_source_segment(text, node) or ast.unparse(node)] = None
    imports = [piece for piece in pieces if piece.startswith(("import ", "from "))]
    if "import numpy as np" not in imports:
        imports.append("import numpy as np")
    return "\n".join(imports) + "\n\n\n" + "\n\n\n".join(p for p in pieces if p not in imports) + "\n"


def _gives_the_answer(question: Question, law: Law, inputs: list[dict[str, Any]]) -> bool:
    """Whether a law works the answer out by itself: its other side is the answer, although `f` answered zeros.

    So it is with one output of several, with some of them together, and with where the answer is a certain label.
    """
    runner = Runner(question.operation.reference, question.operation.signature)

    def zeros(*args: Any, **kwargs: Any) -> Any:
        right = runner.as_function(*args, **kwargs)
        return type(right)(map(np.zeros_like, right)) if isinstance(right, tuple | list) else np.zeros_like(right)

    several = question.operation.signature.returns_tuple or question.operation.signature.returns_list
    could, given, labels = Counter[str](), Counter[str](), []
    for one in inputs:
        right = list(runner({name: value for name, value in one.items() if name not in law.draws}).answers)
        if several:  # an output that is an input is no secret
            known = [any(np.array_equal(r, value) for value in one.values()) for r in right]
            right = [np.zeros_like(r) if k else r for r, k in zip(right, known, strict=True)]
        secrets = {name: part for name, part in _together(right) if np.any(part)}
        could.update(secrets.keys() if several else ["0 to 1"])
        try:
            said = _said(law, zeros, one)
        except Exception:  # zeros are not always an answer that a law can be stated for
            continue
        if isinstance(said, tuple):
            other = np.asarray(said[1])
            given.update(n for n, part in secrets.items() if part.shape == other.shape and np.allclose(other, part))
            labels += [(other.ravel(), r.ravel()) for r in right if other.dtype == bool and other.shape == r.shape]
    return any(2 * given[name] >= could[name] for name in given) or _tells_a_label(labels)


def _together(outputs: list[np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """By name each output, and neighbors stacked or strung together."""
    for start, end in combinations(range(len(outputs) + 1), 2):
        part, name = outputs[start:end], f"{start} to {end}"
        if len(part) == 1:
            yield name, part[0]
            continue
        yield name + ", a row", np.concatenate([one.ravel() for one in part])
        if len({one.shape for one in part}) == 1:
            yield from ((f"{name}, axis {axis}", np.stack(part, axis)) for axis in (0, -1))


def _tells_a_label(pairs: list[tuple[np.ndarray, np.ndarray]]) -> bool:
    """Whether yes and no, over all inputs, say where the answer has one of its values and where not."""
    if not pairs:
        return False
    said, answer = (np.concatenate(side) for side in zip(*pairs, strict=True))
    mixed = 0 < np.count_nonzero(said) < said.size
    return bool(mixed) and any(np.array_equal(said, answer == value) for value in np.unique(answer))


def _is_an_answer(function: Callable[..., Any], question: Question) -> bool:
    """Whether a function, alone, is a right answer to a question: called as students' are, or with all arguments."""
    operation = question.operation
    cases = [case for cases in Bank.draw(operation, PUBLIC_SEED).families.values() for case in cases[-6:]]

    def with_defaults(*args: Any, **kwargs: Any) -> Any:
        given = operation.signature.python.bind(*args, **kwargs)
        given.apply_defaults()
        return function(*given.args, **given.kwargs)

    runs = [Runner(one, operation.signature) for one in (function, with_defaults)]
    return any(all(_right(run, operation, case) for case in cases) for run in runs)


# ------------------------------------------------------------------------------------------------- the helpers


@dataclass
class _Helpers:
    """The helpers of one concept: those handed out with their source, and those that would give an answer away."""

    given: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)  # the exercise asks for them: the student's own is used
    withheld: list[str] = field(default_factory=list)  # they do an asked function's work under another name
    source: str = ""


def _helpers(assignment: Assignment) -> dict[str, _Helpers]:
    """By concept the helpers that the assignment allows."""
    allowed = dict.fromkeys(helper for question in assignment.questions for helper in question.helpers)
    asked = {question.operation.short for question in assignment.questions}
    found: dict[str, _Helpers] = {}
    handed: dict[str, list[Operation]] = {}
    for helper in allowed:
        entry = found.setdefault(helper.concept, _Helpers())
        if helper.short in asked:
            entry.own.append(helper.short)
        elif _tells(helper, assignment):
            entry.withheld.append(helper.short)
        else:
            entry.given.append(helper.short)
            handed.setdefault(helper.concept, []).append(helper)
    for concept, operations in handed.items():
        found[concept].source = source_of(operations, "")
    return found


def _lacking(assignment: Assignment) -> list[str]:
    """The questions that may be answered with a helper which is not handed out."""
    withheld = {name for entry in _helpers(assignment).values() for name in entry.withheld}
    return [
        question.operation.short
        for question in assignment.questions
        if withheld & {helper.short for helper in question.helpers}
    ]


def _tells(helper: Operation, assignment: Assignment) -> bool:
    """Whether the source of a helper holds an answer, by name or by what one of its functions does."""
    try:
        for question in assignment.questions:
            source = source_of([helper], question.operation.short)
    except ValueError:
        return True
    names: dict[str, Any] = {}
    exec(compile(source, f"<{helper.name}>", "exec"), names)  # our own source
    spaces = [names, *(vars(value) for value in names.values() if isinstance(value, SimpleNamespace))]
    functions = [value for space in spaces for value in space.values() if inspect.isfunction(value)]
    return any(_is_an_answer(function, question) for function in functions for question in assignment.questions)


def _other_exercises(assignment: Assignment, path: Path) -> list[str]:
    """A sentence for every helper handed out that an assignment file beside this one asks for."""
    notes = []
    sources = [entry.source for entry in _helpers(assignment).values()]
    for other in sorted(path.resolve().parent.glob("*.toml")):
        if other.name == path.name:
            continue
        try:
            asked = [question.operation for question in Assignment.read(other).questions]
        except ValueError:
            continue
        told = [one.name for one in asked if any(f"def {one.short}(" in text for text in sources)]
        if told:
            notes.append(f"the helpers hold the source of {', '.join(told)}, which {other.name} asks for")
    return notes


# ------------------------------------------------------------------------------------------------- the folders


def _for_nbgrader(assignment: Assignment, notebook: Path, folder: Path) -> None:
    from vidlearn.grade import nbgrader

    nbgrader.release(assignment, notebook, folder)


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _record(out: Path, wanted: str) -> dict[str, str]:
    """The files that an earlier release made in a folder; a `ValueError` if anything there would be lost."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return {}
    refusal = "name another --out, or move it away"
    try:
        record = json.loads((out / RECORD).read_text(encoding="utf-8"))
        known = {str(name): str(digest) for name, digest in record["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"out: {out} is there and is not what vidlearn release made; {refusal}") from None
    if record.get("assignment") != wanted:
        raise ValueError(f"out: {out} holds the release of {record.get('assignment')!r}, not of {wanted!r}; {refusal}")
    tops = {name.split("/")[0] for name in known}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if name.split("/")[0] not in tops or path.is_dir():
            continue
        if known.get(name) != _digest(path):
            raise ValueError(f"out: {path} was {'changed' if name in known else 'added'} by someone; {refusal}")
    return known


def _swap(new: Path, out: Path, before: dict[str, str], old: Path) -> None:
    """Put what was made into its place; nothing of it is there before all of it is made."""
    if not (out / RECORD).exists():
        if out.exists():
            out.rmdir()  # it was empty a moment ago; if not, this refuses
        os.rename(new, out)
        return
    tops = {name.split("/")[0] for name in before}
    for made in new.iterdir():
        if made.name not in (*tops, RECORD) and (out / made.name).exists():
            raise ValueError(f"out: {out / made.name} was not made by vidlearn release; move it away")
    old.mkdir()
    for top in sorted(tops):
        if (out / top).exists():
            os.rename(out / top, old / top)
    for made in sorted(new.iterdir(), key=lambda path: path.name == RECORD):
        os.replace(made, out / made.name)


# ------------------------------------------------------------------------------------------------ command line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``vidlearn release``."""
    from vidlearn.grade.bundle import add_options

    parser.add_argument("assignment", metavar="ASSIGNMENT.toml", help="what is asked, and what it is worth")
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder to make")
    parser.add_argument(
        "--notebook", metavar="FILE.ipynb", help="the exercise or its solution (default: the notebook beside the TOML)"
    )
    add_options(parser)


def main(args: argparse.Namespace) -> int:
    """Run ``vidlearn release``."""
    notes = release(
        args.assignment, args.out, args.notebook, seed=args.seed, require_isolation=args.require_isolation
    )  # fmt: skip
    out = Path(args.out)
    print(f"for students: {out / 'student'}, and as one file: {next(iter(out.glob('*.zip')), '')}")
    print(f"for Gradescope: {out / 'gradescope' / 'autograder.zip'} · for nbgrader: {out / 'nbgrader'}")
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    return 0
