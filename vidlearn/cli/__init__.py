"""The command line: ``vidlearn VERB``. Each verb imports what it needs, when it is asked for."""

from __future__ import annotations

import argparse
import atexit
import gc
import importlib
import os
import sys
import tempfile
from collections.abc import Sequence

__all__ = ["main", "parser"]


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """Build the parser of all verbs.

    With `only`, the other verbs are there in name: the modules that know their arguments are not imported.
    """
    from vidlearn import __version__

    top = argparse.ArgumentParser(prog="vidlearn", description="A teaching library for video understanding.")
    top.add_argument("--version", action="version", version=f"vidlearn {__version__}")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, help_: str) -> argparse.ArgumentParser:
        return verbs.add_parser(name, help=help_, description=help_[0].upper() + help_[1:] + ".")

    p = verb("list", "list every operation with its concept, deck slide and backends")
    p.add_argument("concept", nargs="?", help="only this concept")
    p.add_argument("--json", action="store_true", help="as JSON")

    p = verb("check", "judge your functions in a notebook or a module: the student's loop")
    p.add_argument("file", help="a .py or .ipynb file with functions named as operations are")
    p.add_argument("--only", metavar="OPERATION", help="judge this one only")
    p.add_argument("--seed", type=int, default=0, help="which inputs are drawn (default 0)")
    p.add_argument("--hints", type=int, default=1, metavar="N", help="show the first N hints (default 1)")
    p.add_argument("--seconds", type=float, default=10, metavar="N", help="for one call (default 10; 0: for ever)")
    p.add_argument("--json", action="store_true", help="as JSON")

    p = verb("compare", "judge and time fast paths, or a function of your own, against the reference")
    p.add_argument("operations", nargs="*", metavar="OPERATION", help="such as flow.warp or warp; all if none is named")
    p.add_argument("--backend", action="append", choices=("numpy", "torch", "cupy"), help="only this one; repeatable")
    p.add_argument("--device", help="for torch: cpu or cuda (default: each that is here)")
    p.add_argument("--dtype", default="float32", choices=("float64", "float32", "float16", "bfloat16"))
    p.add_argument("--size", type=_size, default=(480, 640), metavar="HxW", help="image size for timing (480x640)")
    p.add_argument("--mine", metavar="FILE:FUNCTION", help="your own implementation of the one OPERATION named")
    p.add_argument("--seed", type=int, default=0)
    form = p.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as JSON")
    form.add_argument("--html", metavar="FILE", help="write a page with error heatmaps")

    p = verb("flow", "compute dense optical flow of a video and render it")
    p.add_argument("video", help="a film, a folder of images, or .npz")
    p.add_argument("--out", required=True, metavar="X.mp4", help="the film to write")
    p.add_argument("--quality", default="fast", choices=("fast", "high"))
    p.add_argument("--backend", default="numpy", choices=("numpy", "torch", "cupy"))
    p.add_argument("--device", help="for torch: cpu or cuda")
    p.add_argument("--start", type=int, default=0, help="first frame (default 0)")
    p.add_argument("--stop", type=int, help="frame to stop before (default: the end)")
    p.add_argument(
        "--max-flow", type=float, metavar="PX", help="speed shown in full color (default: from the first pairs)"
    )
    p.add_argument("--flow-only", action="store_true", help="leave out the original frames")

    p = verb("bench", "time the operations at several sizes, and flow.dense against other libraries' flow")
    p.add_argument("operations", nargs="*", metavar="OPERATION", help="all if none is named")
    p.add_argument(
        "--sizes", type=_sizes, default=[(120, 160), (480, 640)], metavar="HxW,HxW", help="(120x160,480x640)"
    )
    p.add_argument("--dtype", default="float32", choices=("float64", "float32"))

    def verb_of(module: str, name: str, help_: str) -> None:
        p = verb(name, help_)
        if only in (None, name):
            importlib.import_module(module).add_arguments(p)

    verb_of("vidlearn.grade", "grade", "grade a folder of submissions in a sandbox")
    verb_of(
        "vidlearn.grade.bundle",
        "grade bundle",
        "make the autograder for Gradescope: one zip that grades one submission there",
    )
    verb_of(
        "vidlearn.grade.release",
        "release",
        "make what students get, and the Gradescope and nbgrader bundles of an assignment",
    )

    p = verb("sandbox", "say what keeps submissions apart on this machine, as tried just now")
    p.add_argument("--probe", action="store_true", help="show every attempt to get out, and what came of it")
    p.add_argument("--json", action="store_true", help="as JSON")

    p = verb("similar", "list submissions that share more code than the task explains, for you to read; never a mark")
    p.add_argument("submissions", help="a folder with one entry a student, or an archive")
    p.add_argument(
        "--stub", metavar="FILE", help="the exercise as handed out (.ipynb, .py): what stands in it is no copy"
    )
    p.add_argument(
        "--assignment", metavar="FILE.toml", help="choose files by its id; the notebook beside it is the stub"
    )
    p.add_argument("--least", type=float, default=0.5, metavar="SHARE", help="of one's own code (default 0.5)")
    p.add_argument(
        "--out", metavar="DIR", help="write similar.html, with the shared lines side by side, and similar.json"
    )

    verb_of(
        "vidlearn.grade.exports",
        "export",
        "bring marks out: Gradescope, your Canvas or Moodle file, CSV, or an SQLite gradebook",
    )

    p = verb("nets", "list the networks, or print one's layer table: shapes, receptive fields, parameters, MACs")
    p.add_argument("net", nargs="?", help="such as r3d_18; all if none is named")
    p.add_argument("--shape", type=_shape, metavar="CxTxHxW", help="of one input (default: the usual one)")
    form = p.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as JSON")
    form.add_argument("--draw", metavar="FILE.png", help="draw it instead (also .svg, .pdf)")

    p = verb("tables", "recompute every figure of the decks, and say which are right")
    p.add_argument("--deck", help="only this deck: CS231n, L9, SJTU, NLA or zh")
    p.add_argument("--check", action="store_true", help="fail if a verdict is not the one that stands with the figure")
    p.add_argument("--json", action="store_true", help="as JSON")

    p = verb("demo", "do the three jobs on real input and write a report")
    p.add_argument("--out", default="demo-report", metavar="DIR", help="where the report goes (demo-report)")

    p = verb("lab", "open the lectures and exercises in JupyterLab")
    p.add_argument("folder", nargs="?", default=".", help="the folder to open (default: this one)")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; return its exit status: 0 done and right, 1 done and something is wrong, 2 it could not be done."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:2] == ["grade", "bundle"]:  # a verb of two words; submissions in a folder of that name are ./bundle
        given[:2] = ["grade bundle"]
    args = parser(given[0] if given else None).parse_args(given)
    # Hypothesis would leave a folder of its own wherever a verb is run
    os.environ.setdefault(
        "HYPOTHESIS_STORAGE_DIRECTORY",
        os.path.join(tempfile.gettempdir(), f"vidlearn-{os.getuid()}" if hasattr(os, "getuid") else "vidlearn"),
    )
    # and would look for plugins in everything that is installed; what is drawn is not theirs to change
    os.environ.setdefault("HYPOTHESIS_NO_PLUGINS", "1")
    from vidlearn.cli import verbs

    atexit.register(gc.freeze)  # else Python looks through all that is loaded before it ends
    try:
        status = getattr(verbs, args.verb.replace(" ", "_"))(args)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader (`| head`) has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(f"\nvidlearn {args.verb}: stopped", file=sys.stderr)
        return 130
    except (ValueError, TypeError, OSError, ImportError, NotImplementedError) as error:
        if os.environ.get("VIDLEARN_TRACEBACK"):
            raise
        said = str(error)
        if isinstance(error, OSError) and error.filename:
            said = f"{error.filename}: {error.strerror}"
        print(f"vidlearn {args.verb}: {said}", file=sys.stderr)
        return 2


def _size(text: str) -> tuple[int, int]:
    try:
        height, width = map(int, text.lower().split("x"))
        if height < 1 or width < 1:
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH such as 480x640, got {text!r}") from None
    return height, width


def _shape(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(map(int, text.lower().split("x")))
        if min(sizes) < 1 or len(sizes) not in (3, 4):
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected CxTxHxW or CxHxW such as 3x16x112x112, got {text!r}") from None
    return sizes


def _sizes(text: str) -> list[tuple[int, int]]:
    return [_size(part) for part in text.split(",")]
