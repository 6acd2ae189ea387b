"""The command line of the notebook pipeline; see the package's docstring."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Run one of the three commands and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m vidlearn.notebooks", description="Build notebooks and pages.")
    parser.add_argument("command", choices=["build", "check", "site"])
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the repository (default: here)")
    parser.add_argument("--only", default="", help="only the notebooks whose name contains this")
    given = parser.parse_args(arguments)
    if not (given.root / "lectures").is_dir():
        parser.error(f"{given.root} holds no lectures/ folder; run this in the repository's root, or pass --root")

    if given.command == "site":
        from vidlearn.notebooks.site import build_site

        for page in build_site(given.root, only=given.only):
            print(f"wrote {page.relative_to(given.root)}", flush=True)
        return 0

    from vidlearn.notebooks.build import generated, stale

    changed = stale(given.root, only=given.only)
    if given.command == "check":
        for path in changed:
            print(f"out of date: {path.relative_to(given.root)} (run: python -m vidlearn.notebooks build)")
        return 1 if changed else 0
    for path, text in generated(given.root, only=given.only).items():
        if path in changed:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(given.root)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
