"""The verdict's face in a notebook: a card with heatmaps, in plain HTML that needs no script and no network."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vidlearn.judge.verdict import Verdict

__all__ = ["card", "heatmap"]

MOST = 16  # rows and columns of a heatmap
MOST_PIECES = 8
_COLORS = {"right": "#1a7f37", "wrong": "#b42318", "not attempted": "#6b7280"}
_STYLE = (
    "font:14px/1.5 system-ui,sans-serif;color:#1f2328;background:#fff;border:1px solid #d0d7de;border-left:6px solid {color};"
    "border-radius:6px;padding:10px 14px;margin:6px 0;max-width:60em"
)


def card(verdict: Verdict) -> str:
    """Return the verdict as self-contained HTML."""
    color = _COLORS.get(verdict.status, "#9a6700")
    held = sum(row.held for row in verdict.shown)
    tally = f" · {held} of {len(verdict.shown)} hold" if verdict.shown else ""
    out = [
        f'<div class="vidlearn-verdict" style="{_STYLE.format(color=color)}">',
        f'<div><b style="color:{color}">{html.escape(verdict.status)}</b> <code>{html.escape(verdict.operation)}</code>'
        f'<span style="color:#57606a">{tally} · seed {verdict.seed}</span></div>',
        '<table style="border-collapse:collapse;margin:6px 0 0;background:transparent;font-size:inherit;color:inherit">',
    ]
    for title, body in verdict._facts(hints=0):
        lines = "<br>".join(map(html.escape, body.split("\n")))
        style = "font-family:ui-monospace,monospace;font-size:13px;" if title in ("smallest", "", "again") else ""
        out.append(_row(title, f'<span style="{style}">{lines}</span>'))
        if title == "looks like" and verdict.mistake:
            out += _hints(verdict.mistake.hints)
    out.append("</table>")
    if verdict.counterexample and (pictures := verdict.counterexample.pictures):
        with np.errstate(invalid="ignore"):  # infinity less infinity
            differences = [(p.name, p.got - p.expected) for p in pictures]
        maps = [
            heatmap([(p.name, p.expected) for p in pictures], "expected"),
            heatmap([(p.name, p.got) for p in pictures], "got"),
            heatmap(differences, "difference"),
        ]
        out.append(f'<div style="display:flex;flex-wrap:wrap;gap:10px 28px;margin-top:8px">{"".join(maps)}</div>')
    return "".join([*out, "</div>"])


def _hints(hints: list[str]) -> list[str]:
    """Return one folded row a hint: the next one only when asked for."""
    fold = '<details style="color:inherit"><summary style="cursor:pointer">hint {} of {}</summary>{}</details>'
    return [_row("", fold.format(i + 1, len(hints), html.escape(hint))) for i, hint in enumerate(hints)]


def _row(title: str, body: str) -> str:
    cell = "border:0;padding:2px 12px 2px 0;vertical-align:top;text-align:left;background:transparent"
    return f'<tr style="background:transparent"><th style="{cell};font-weight:600;white-space:nowrap;color:#57606a">{html.escape(title)}</th><td style="{cell};white-space:normal">{body}</td></tr>'


def heatmap(pieces: Sequence[tuple[str, np.ndarray]], title: str) -> str:
    """Return the pieces of an array as tables of colored numbers, blue below zero and orange above."""
    shown = [(name, np.asarray(values, float)[:MOST, :MOST]) for name, values in pieces[:MOST_PIECES]]
    finite = np.concatenate([np.abs(cut[np.isfinite(cut)]) for _, cut in shown])
    top = finite.max() if finite.size and finite.max() > 0 else 1.0
    whole, cut = pieces[0][1].shape, shown[0][1].shape
    more = f" (first {cut[0]}×{cut[1]} of {whole[0]}×{whole[1]})" if whole != cut else ""
    more += f" (first {len(shown)} of {len(pieces)})" if len(pieces) > len(shown) else ""
    note = "color:#57606a;font-size:12px"
    tables = []
    for name, values in shown:
        rows = "".join("<tr>" + "".join(_cell(v, top) for v in line) + "</tr>" for line in values)
        tables.append(
            f'<div><div style="{note}">{html.escape(name)}</div>'
            f'<table style="border-collapse:collapse;margin:0;font:11px ui-monospace,monospace">{rows}</table></div>'
        )
    return (
        f'<figure style="margin:0"><figcaption style="{note};font-weight:600">{html.escape(title + more)}</figcaption>'
        f'<div style="display:flex;flex-wrap:wrap;gap:4px 10px">{"".join(tables)}</div></figure>'
    )


def _cell(value: float, top: float) -> str:
    if not np.isfinite(value):
        color, text = "#e5e7eb", str(value)
    else:
        strength = min(abs(value) / top, 1.0)
        red, green, blue = (213, 94, 0) if value > 0 else (0, 114, 178)
        mix = [round(255 - strength * 0.75 * (255 - c)) for c in (red, green, blue)]
        color, text = f"rgb({mix[0]},{mix[1]},{mix[2]})", f"{value + 0:.3g}"
    return (
        f'<td style="background:{color};color:#111;border:1px solid #fff;padding:2px 5px;text-align:right">{text}</td>'
    )
