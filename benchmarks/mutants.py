"""Does the judge notice when one place of a right answer is changed?

    PYTHONPATH=. python -W ignore benchmarks/mutants.py --only fusion          # a concept, or one operation
    PYTHONPATH=. python -W ignore benchmarks/mutants.py --solutions            # the exercises' solutions instead

In each operation's reference, and in the functions and classes of the same module that it is built on, one place at a time is
changed: an operator, a comparison, a number by one, a sign, a condition, a default. Each of these mutants is judged as a student's
answer is, on one bank of inputs; whoever passes meets three further ones. What is noticed by none of them is listed and must be
read: many a change makes no difference (`reshape(-2, …)`, a border that is cut off again), and the others are holes in a spec.
What only some banks notice is drawn too rarely. Code that refuses bad input is left alone: the judge asks none.
Without `--only` it takes about half an hour; the references that take longest are left out unless they are named.
"""

from __future__ import annotations

import argparse
import ast
import collections
import copy
import inspect
import multiprocessing
import os
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import vidlearn as vl
from vidlearn.grade.sources import defines
from vidlearn.judge import Bank, judge
from vidlearn.judge.patience import patient

SOLUTIONS = Path(__file__).resolve().parents[1] / "solutions"
SEEDS = (11, 12, 13, 14)
RIGHT, WRONG = 10, 11  # how the judging process ends
SLOW = ("flow.coarse_to_fine", "flow.dense", "flow.iterative_lucas_kanade")  # only if named
SECONDS = 2.0  # for one call of a mutant: some never end
OTHER = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And, ast.USub: ast.UAdd,
}  # fmt: skip

Change = tuple[str, Callable[[Any], None]]


def changes(node: ast.AST) -> Iterator[Change]:
    """What can be changed about one node: what that is, and how it is done to a copy of the node."""

    def to(field: str, value: Any) -> Callable[[Any], None]:
        return lambda n: setattr(n, field, value)

    operators = getattr(node, "ops", [getattr(node, "op", None)])
    new = OTHER.get(type(operators[0]))
    if new is not None:
        what = f"{type(operators[0]).__name__} → {new.__name__}"
        yield what, to("ops", [new(), *operators[1:]]) if isinstance(node, ast.Compare) else to("op", new())
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield f"{node.value} → {not node.value}", to("value", not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        for step in (1, -1):
            yield f"{node.value} → {node.value + step}", to("value", node.value + step)
    if isinstance(node, ast.If | ast.IfExp):
        for fixed in (True, False):
            yield f"condition → {fixed}", to("test", ast.Constant(fixed))


def places(node: ast.AST) -> Iterator[ast.AST]:
    """Every node of a definition, without annotations and without what only refuses bad input."""
    if refuses(node):
        return
    yield node
    for field, value in ast.iter_fields(node):
        if field not in ("annotation", "returns", "decorator_list"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from places(child)


def refuses(node: ast.AST) -> bool:
    """Whether this only refuses bad input: raise and its condition, a function called check…, and zip's strict."""
    if isinstance(node, ast.If):
        return isinstance(node.body[-1], ast.Raise)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return ast.unparse(node.value.func).split(".")[-1].lstrip("_").startswith("check")
    if isinstance(node, ast.FunctionDef):
        return node.name.lstrip("_").startswith("check")
    return isinstance(node, ast.Raise) or (isinstance(node, ast.keyword) and node.arg == "strict")


def built_on(tree: ast.Module, name: str) -> ast.Module:
    """The definitions that one function needs, constants that stand before it, and all imports."""
    first = next(s.lineno for s in tree.body if name in defines(s))
    before = [s for s in tree.body if isinstance(s, ast.FunctionDef | ast.ClassDef) or s.lineno < first]
    bound = {n: statement for statement in before for n in defines(statement)}
    found, open_ = {name}, [name]
    while open_:
        used = {n.id for n in ast.walk(bound[open_.pop()]) if isinstance(n, ast.Name)} & bound.keys() - found
        found |= used
        open_ += used
    kept = [s for s in before if isinstance(s, ast.Import | ast.ImportFrom) or found & set(defines(s))]
    return ast.Module(kept, [])


def function_of(tree: ast.Module, name: str) -> Callable[..., Any]:
    space: dict[str, Any] = {}
    exec(compile(ast.fix_missing_locations(tree), "<mutant>", "exec"), space)
    return space[name]  # type: ignore[no-any-return]


def mutants(tree: ast.Module, name: str) -> Iterator[tuple[int, str, Callable[..., Any]]]:
    """Each mutant of the function `name`: the line of the change, what it is, and the changed function."""
    for i, statement in enumerate(tree.body):
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef):
            continue
        for k, node in enumerate(places(statement)):
            for what, change in changes(node):
                body = list(tree.body)
                body[i] = copy.deepcopy(statement)
                change(list(places(body[i]))[k])
                yield getattr(node, "lineno", statement.lineno), what, function_of(ast.Module(body, []), name)


def passes(function: Callable[..., Any], bank: Bank) -> bool:
    """Whether the judge calls it right; in a process of its own, for no signal ends a loop in compiled code."""

    def judged() -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # LAPACK complains there
        verdict = judge(patient(function, SECONDS), bank.operation, bank=bank, shrink=False, named=False)
        os._exit(RIGHT if verdict.status == "right" else WRONG)

    child = multiprocessing.get_context("fork").Process(target=judged)
    child.start()
    child.join(10 * SECONDS)
    if child.exitcode is None:
        child.kill()
        child.join()
    if child.exitcode == 1:  # it raised
        raise SystemExit(f"{bank.operation.name}: the judge itself fails on a mutant")
    return child.exitcode == RIGHT


def sources(solutions: bool) -> Iterator[tuple[Any, str]]:
    """Each operation with the text that its answer stands in."""
    if not solutions:
        for operation in vl.operations().values():
            yield operation, inspect.getsource(sys.modules[operation.reference.__module__])
        return
    operations = {operation.short: operation for operation in vl.operations().values()}
    for path in sorted(SOLUTIONS.glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name in operations:
                yield operations[node.name], path.read_text()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="concepts or operations; all by default")
    parser.add_argument("--solutions", action="store_true", help="mutate the exercises' solutions, not the references")
    asked = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))  # some ask for arrays without end

    rows, total, listed = [], collections.Counter[str](), []
    for operation, text in sources(asked.solutions):
        named = {operation.name, operation.short} & set(asked.only)
        slow = operation.name in SLOW and not asked.solutions
        if not named and (slow or (asked.only and operation.concept not in asked.only)):
            continue
        first, *further = (Bank.draw(operation, seed) for seed in SEEDS)
        lines, count, tree = text.splitlines(), collections.Counter[str](), built_on(ast.parse(text), operation.short)
        if not passes(function_of(tree, operation.short), first):
            raise SystemExit(f"{operation.name}: what is to be changed is not right as it is")
        for line, what, function in mutants(tree, operation.short):
            kind = "caught"
            if passes(function, first):
                kind = "never" if all(passes(function, bank) for bank in further) else "by some"
                listed.append(f"{kind:8} {operation.name}: {line}: {what} | {lines[line - 1].strip()}")
            count[kind] += 1
        rows.append((operation.name, count))
        total += count
        print(f"{operation.name}: {count.total()} mutants, {count['caught']} caught", file=sys.stderr, flush=True)

    print("| operation | mutants | caught | by some banks only | never noticed |\n| --- | ---: | ---: | ---: | ---: |")
    for name, count in [*rows, ("all", total)]:
        print(f"| {name} | {count.total()} | {count['caught']} | {count['by some']} | {count['never']} |")
    print("", *listed, sep="\n")


if __name__ == "__main__":
    main()
