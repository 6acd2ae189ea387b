"""A student's report as a page: what was asked, what held, what broke, and what to try next."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["file_names", "page", "summary", "write_text"]

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .3rem; }
.mark { float: right; font-weight: 600; }
table { border-collapse: collapse; width: 100%; } td { padding: .15rem .6rem .15rem 0; vertical-align: top; }
td:first-child { white-space: nowrap; opacity: .75; width: 6.5rem; }
td:last-child { text-align: right; white-space: nowrap; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #8881; padding: .6rem;
  border-radius: 4px; margin: .3rem 0; }
footer { margin-top: 3rem; font-size: .85rem; opacity: .75; }
"""


def page(result: dict[str, Any], title: str) -> str:
    """One student's report as HTML that stands alone. All that a student wrote is escaped."""
    parts = [
        f"<h1>{_text(title)} <span class=mark>{_mark(result)}</span></h1>",
        f"<p>{_text(result['student'])} · {_text(result['submission'])} · {_text(result['status'])}</p>",
    ]
    parts += [f"<p>{_text(note)}.</p>" for note in result.get("notes", [])]
    for question in result["questions"]:
        parts.append(
            f"<h2><code>{_text(question['operation'])}</code> · {_text(question['status'])} "
            f"<span class=mark>{_mark(question)}</span></h2>"
        )
        rows = []
        for finding in question["findings"]:
            text = _text(finding["text"])
            if finding["kind"] in ("smallest", "traceback"):
                text = f"<pre>{text}</pre>"
            points = f"{finding['points']:g}" if "points" in finding else ""
            rows.append(f"<tr><td>{_text(finding['kind'])}</td><td>{text}</td><td>{points}</td></tr>")
        parts.append(f"<table>{''.join(rows)}</table>" if rows else "")
        if question["output"]:
            parts.append(f"<details><summary>printed</summary><pre>{_text(question['output'])}</pre></details>")
    isolation = result.get("isolation")
    if isolation:
        lacks = "; ".join(f"{name} ({why})" for name, why in isolation["missing"].items())
        held = f"Isolation level {isolation['level']}: {', '.join(isolation['enforced'])}." + (
            f" Missing: {lacks}." if lacks else ""
        )
        parts.append(f"<footer>{_text(held)}</footer>")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head += f"<title>{_text(title)}</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def summary(results: list[dict[str, Any]]) -> str:
    """The class in one line."""
    counts: dict[str, int] = {}
    for result in results:
        counts[result["status"]] = counts.get(result["status"], 0) + 1
    marks = [result["score"] for result in results if result["score"] is not None]
    parts = [f"{len(results)} submission{'s' if len(results) != 1 else ''}"]
    parts += [f"{count} {status}" for status, count in sorted(counts.items(), key=lambda pair: -pair[1])]
    if marks:
        parts.append(f"mean {sum(marks) / len(marks):.2f} of {results[0]['max_score']:g}")
    levels = sorted({result["isolation"]["level"] for result in results if result.get("isolation")})
    if levels:
        parts.append(f"isolation {'/'.join(levels)}")
    return " · ".join(parts)


def file_names(students: Iterable[str]) -> list[str]:
    """A file name for each student: plain characters only, no two alike, even where case is not told apart."""
    taken: set[str] = set()
    names = []
    for student in students:
        base = re.sub(r"[^A-Za-z0-9._-]+", "_", student).strip("._")[:80] or "student"
        name, number = base, 2
        while name.lower() in taken:
            name, number = f"{base}-{number}", number + 1
        taken.add(name.lower())
        names.append(name)
    return names


def write_text(path: Path, text: str) -> None:
    """Write a whole file or nothing: readers never see half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8", errors="backslashreplace")
    os.replace(part, path)


def as_json(value: Any) -> str:
    """JSON for a file."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _mark(entry: dict[str, Any]) -> str:
    return "not graded" if entry["score"] is None else f"{entry['score']:g} / {entry['max_score']:g}"


def _text(value: Any) -> str:
    return html.escape(str(value))
