"""What each verb does; every function takes the parsed arguments and returns an exit status."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import itertools
import json
import linecache
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import vidlearn as vl

if TYPE_CHECKING:
    from vidlearn.judge import Verdict
    from vidlearn.operation import Operation
    from vidlearn.sandbox.submission import Submission

__all__ = [
    "bench",
    "check",
    "compare",
    "demo",
    "export",
    "flow",
    "grade",
    "lab",
    "list",
    "nets",
    "sandbox",
    "similar",
    "tables",
]


def list(args: argparse.Namespace) -> int:  # the verb's name
    """List the operations."""
    operations = [op for op in vl.operations().values() if args.concept in (None, op.concept)]
    if not operations:
        raise ValueError(f"concept: there is no concept {args.concept!r}; there is {', '.join(vl.CONCEPTS)}")
    if args.json:
        keys = ("name", "concept", "slide", "backends", "summary")
        print(json.dumps([{key: getattr(op, key) for key in keys} for op in operations], indent=2, ensure_ascii=False))
        return 0
    rows = [(op.name, op.slide, " ".join(op.backends), _plain(op.summary)) for op in operations]
    _table(("operation", "slide", "backends", "what it is for"), rows)
    absent = [reason for reason in vl.arrays.available().values() if reason]
    for reason in absent:
        print(f"here: {reason}")
    return 0


def check(args: argparse.Namespace) -> int:
    """Judge the functions of one file that are named as operations are."""
    from vidlearn.judge.patience import limit
    from vidlearn.sandbox.submission import Submission, Unreadable

    if not 0 <= args.seconds <= 1e8:
        raise ValueError(f"seconds: expected a number greater than 0, or 0 for no limit, got {args.seconds:g}")
    seconds = args.seconds or None
    path = Path(args.file)
    if path.suffix not in (".py", ".ipynb"):
        raise ValueError(f"file: expected a .py or .ipynb file, got {path.name}")
    try:
        submission = Submission(path.read_bytes(), path.suffix, lambda: limit(seconds, "no end"))
    except Unreadable as error:
        raise ValueError(f"file: {path.name}: {error}") from None
    only = vl.operation(args.only).short if args.only else None
    # also what is defined where nothing can be read
    asked = [op for op in vl.operations().values() if only in (None, op.short) and _is_there(submission, op.short)]
    if not asked:
        wanted = f"no function called {only}" if only else "no function named as an operation is"
        trouble = f"; {submission.errors[0]}" if submission.errors else "; see vidlearn list"
        raise ValueError(f"file: {path.name} defines {wanted}{trouble}")
    verdicts = []
    for op in asked:
        with contextlib.redirect_stdout(sys.stderr) if args.json else contextlib.nullcontext():
            verdict = _judged(submission, op, args)
        replay = f"vidlearn check {args.file} --only {op.short} --seed {args.seed}"
        replay += f" --seconds {args.seconds:g}" if args.seconds != 10 else ""
        verdicts.append(replace(verdict, replay=replay))
        if not args.json:
            more = verdict.mistake and args.hints < len(verdict.mistake.hints)
            notes = [f"for the next hint, add --hints {args.hints + 1}"] if more else []
            print(replace(verdicts[-1], notes=verdict.notes + notes).text(hints=args.hints), flush=True)
    said = "\n".join(line for verdict in verdicts for line in (verdict.stopped, *verdict.notes))
    broken = [] if only else [message for _, message in submission.broken if message not in said]
    for trouble in broken:  # where an answer may be that nobody could judge
        print(f"vidlearn check: {trouble}", file=sys.stderr)
    if path.suffix == ".ipynb" and re.search(r"\bcell \d+, line", "\n".join([said, *broken])):
        print("vidlearn check: cells are counted from the top, those with code only", file=sys.stderr)
    if args.json:
        print(json.dumps([verdict.to_dict() for verdict in verdicts], indent=2, ensure_ascii=False))
    return int(bool(broken) or not all(verdict.right for verdict in verdicts))


def _is_there(submission: Submission, name: str) -> bool:
    """Whether a submission defines a function, be it in a cell that can't be read."""
    return submission.position(name) >= 0 or not submission.untouched(name)


def _judged(submission: Submission, op: Operation, args: argparse.Namespace) -> Verdict:
    """The verdict on one function of a submission; where it can't be had, why."""
    from vidlearn.judge import Verdict
    from vidlearn.judge.printed import quietly

    before = len(submission.errors)
    try:
        with _quiet_checks(), quietly():
            function = submission.load(op.short)
    except LookupError as error:
        why = str(error.args[0])
        at = re.search(r"(cell \d+|the file), line (\d+)", why)
        line = linecache.getline(f"<{at[1]}>", int(at[2])).strip() if at else ""
        return Verdict(op.name, seed=args.seed, status="crashed", stopped=f"{why}\n{line}" if line else why)
    verdict = vl.check(function, op.name, seed=args.seed, seconds=args.seconds or None)
    endless = [f"while the cells ran: {line}" for line in submission.errors[before:] if ": TimedOut: " in line]
    return replace(verdict, notes=verdict.notes + endless)


class _quiet_checks:
    """While a file's cells run, ``vl.check`` in them says nothing: the file is about to be checked."""

    def __enter__(self) -> None:
        self.check = vl.check
        vl.check = lambda *args, **kwargs: None  # type: ignore[assignment]

    def __exit__(self, *_: object) -> None:
        vl.check = self.check


def compare(args: argparse.Namespace) -> int:
    """Judge and time implementations against the reference."""
    from vidlearn.compare import compare as run

    comparison = run(
        args.operations or None, backends=args.backend, device=args.device, dtype=args.dtype, size=args.size,
        mine=args.mine, seed=args.seed, progress=None if args.json else _progress,
    )  # fmt: skip
    if args.json:
        print(comparison.to_json())
    else:
        print(comparison.text())
    if args.html:
        Path(args.html).write_text(comparison.to_html(), encoding="utf-8")
        print(f"page: {args.html}")
    return int(not comparison.right)


def flow(args: argparse.Namespace) -> int:
    """Render the flow of a video."""
    reason = vl.arrays.available()[args.backend]
    if reason:
        raise ValueError(f"backend: {reason}")
    out = Path(args.out)
    if out.suffix.lower() not in (".mp4", ".mkv", ".mov", ".avi", ".webm"):
        raise ValueError(f"out: expected a film such as flow.mp4, got {out.name}")
    facts = vl.video.info(args.video)
    frames = vl.video.frames(args.video, start=args.start, stop=args.stop)
    pairs = _flows(frames, args.quality, args.backend, args.device)
    first = [*itertools.islice(pairs, 8)]
    if not first:
        raise ValueError(f"video: {args.video} has fewer than two frames between --start and --stop; flow needs two")
    top = args.max_flow or max(0.5, max(float(np.percentile(np.hypot(*np.moveaxis(f, -1, 0)), 99)) for _, f in first))
    count = 0

    def rendered() -> Iterator[np.ndarray]:
        nonlocal count
        for frame, field in itertools.chain(first, pairs):
            count += 1
            if count % 10 == 0:
                _progress(f"{count} frames")
            picture = vl.video.flow_to_color(field, max_flow=top)
            yield picture if args.flow_only else np.concatenate([frame, picture], axis=1)

    vl.video.write(out, rendered(), fps=facts.fps or 25)
    print(
        f"{out}: {count} frames, flow.dense(quality={args.quality!r}) on {args.backend}, full color at {top:.3g} px per frame"
    )
    return 0


def _flows(frames: Iterable[np.ndarray], quality: str, backend: str, device: str | None) -> Iterator[tuple]:
    """Each frame with the flow to the next one; two frames are in memory at a time."""

    def gray(frame: np.ndarray) -> Any:
        image = (frame.astype(np.float32) / 255) @ np.array([0.299, 0.587, 0.114], np.float32)
        return vl.arrays.from_numpy(image, backend, device)

    previous = None
    for frame in frames:
        current = gray(frame)
        if previous is not None:
            yield previous[0], vl.arrays.to_numpy(vl.flow.dense(previous[1], current, quality=quality))
        previous = frame, current


def bench(args: argparse.Namespace) -> int:
    """Time the operations over sizes."""
    from vidlearn.compare import compare as run

    for size in args.sizes:
        print(f"{size[0]}x{size[1]}")
        print(run(args.operations or None, dtype=args.dtype, size=size, progress=_progress).text())
    print("flow.dense against scikit-image and OpenCV: python benchmarks/dense.py, in a checkout")
    return 0


def grade(args: argparse.Namespace) -> int:
    """Grade submissions."""
    from vidlearn.grade import main

    return main(args)


def grade_bundle(args: argparse.Namespace) -> int:
    """Make the autograder for Gradescope."""
    from vidlearn.grade.bundle import main

    return main(args)


def release(args: argparse.Namespace) -> int:
    """Make what students get."""
    from vidlearn.grade.release import main

    return main(args)


def sandbox(args: argparse.Namespace) -> int:
    """Say what keeps submissions apart here."""
    from vidlearn.sandbox.probe import main

    return main(args.probe, args.json)


def export(args: argparse.Namespace) -> int:
    """Bring marks out."""
    from vidlearn.grade.exports import main

    return main(args)


def nets(args: argparse.Namespace) -> int:
    """List the networks, or print the layer table of one."""
    from vidlearn import nets

    zoo = nets.zoo()
    if args.net is None:
        if args.draw or args.shape:
            raise ValueError("net: expected the name of a network to draw or to trace; see vidlearn nets")
        rows = []
        for name, build in zoo.items():
            net = build()
            shape = "×".join(map(str, net.input))
            rows.append((name, shape, f"{net.parameters() / 1e6:.2f} M", f"{net.macs() / 1e9:.2f} G", net.source))
        if args.json:
            keys = ("net", "input", "parameters", "MACs", "source")
            print(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=2, ensure_ascii=False))
        else:
            _table(("net", "input", "parameters", "MACs", "source"), rows)
        return 0
    if args.net not in zoo:
        near = difflib.get_close_matches(args.net, zoo, 3, 0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "see vidlearn nets"
        raise ValueError(f"net: there is no network {args.net!r}; {hint}")
    net = zoo[args.net]()
    if args.draw:
        import matplotlib

        matplotlib.use("Agg")
        net.draw(args.shape).savefig(args.draw, dpi=150)
        print(args.draw)
    elif args.json:
        keys = ("path", "shape", "field", "parameters", "macs")
        lines = [{"layer": str(row.layer), **{key: getattr(row, key) for key in keys}} for row in net.rows(args.shape)]
        print(json.dumps(lines, indent=2, ensure_ascii=False))
    else:
        print(net.table(args.shape))
    return 0


def tables(args: argparse.Namespace) -> int:
    """Recompute the decks' figures."""
    from collections import Counter

    from vidlearn import slides

    figures = slides.figures(args.deck)
    results = [figure.recompute() for figure in figures]
    if args.json:
        print(json.dumps([result.to_dict() for result in results], indent=2, ensure_ascii=False))
    else:
        head = ("deck", "slide", "item", "on the slide", "computed", "unit", "verdict")
        rows = [(r.deck, r.slide, r.item, r.slide_value, r.computed, r.unit, r.verdict) for r in results]
        _table(head, rows)
        for r in results:
            if r.explanation:
                print(f"\n{r.deck}, {r.item}: {r.verdict}. {r.explanation}\n  convention: {r.convention}")
        counts = Counter(r.verdict for r in results)
        print(f"\n{len(results)} figures: " + ", ".join(f"{counts[v]} {v}" for v in slides.VERDICTS if counts[v]))
    changed = [(f, r) for f, r in zip(figures, results, strict=True) if f.expected != r.verdict]
    if args.check:
        for f, r in changed:
            print(f"{r.deck}, {r.item}: expected {f.expected!r}, computed {r.verdict!r}", file=sys.stderr)
    return int(args.check and bool(changed))


def demo(args: argparse.Namespace) -> int:
    """Do the three jobs on real input."""
    from vidlearn.demo import run

    page = run(Path(args.out), progress=lambda line: print(line, flush=True))
    print(f"report: {page}")
    activate = Path(sys.prefix, "bin", "activate")
    if shutil.which("vidlearn") is None and activate.is_file():
        print(f"so that this shell finds the command vidlearn: . {os.path.relpath(activate)}")
    return 0


def similar(args: argparse.Namespace) -> int:
    """List pairs of submissions for a person to read."""
    from vidlearn.grade.similarity import main

    return main(args.submissions, args.stub, args.assignment, args.least, args.out)


def lab(args: argparse.Namespace) -> int:
    """Open JupyterLab."""
    import importlib.util
    import subprocess

    if importlib.util.find_spec("jupyterlab") is None:
        raise ImportError("JupyterLab is not installed: pip install 'vidlearn[notebooks]'")
    if not Path(args.folder).is_dir():
        raise ValueError(f"folder: {args.folder} is not a folder")
    return subprocess.call([sys.executable, "-m", "jupyterlab", f"--notebook-dir={args.folder}"])


def _progress(line: str) -> None:
    """Show one line that the next one replaces, in a terminal only."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line[:100]}", end="", file=sys.stderr, flush=True)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """Print columns; in a terminal, cells are folded so that the table fits. The first is a name to copy: it stays whole."""
    rows = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if sys.stdout.isatty():
        room = shutil.get_terminal_size().columns - 2 * (len(head) - 1)
        while sum(widths) > room and max(widths[1:]) > 10:
            widths[1 + widths[1:].index(max(widths[1:]))] -= 1
    for row in rows:
        cells = [
            textwrap.wrap(cell, width) if len(cell) > width else [cell] for cell, width in zip(row, widths, strict=True)
        ]
        for line in itertools.zip_longest(*cells, fillvalue=""):
            print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def _plain(text: str) -> str:
    """A docstring's sentence without its markup."""
    text = text.replace("\\alpha", "α").replace("\\times", "×")
    return re.sub(r"(?::\w+:)?`+~?([^`]*)`+|\*\*([^*]+)\*\*", lambda found: found[1] or found[2], text)
