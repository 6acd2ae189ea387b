"""The result of a comparison: plain data with three faces."""

from __future__ import annotations

import html
import json
import math
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from vidlearn.judge import Verdict

__all__ = ["Comparison", "Line"]


@dataclass(frozen=True)
class Line:
    """One implementation of one operation on one device. NaN is a number that could not be measured; `note` says why.

    Errors are against the reference in float64 on the timed input, where the answer is well-defined: the largest
    absolute error, that error over the largest magnitude, and quantiles of the error in units in the last place (of
    each answer's own dtype, at the largest magnitude).
    """

    operation: str
    backend: str
    device: str
    verdict: Verdict
    size: str
    milliseconds: float
    reference_milliseconds: float
    runs: int
    absolute: float
    relative: float
    ulps: tuple[float, float, float]
    tolerance: str
    floor_milliseconds: float
    note: str = ""
    heatmap: Any = field(default=None, compare=False, repr=False)

    @property
    def speed_up(self) -> float:
        """How many times faster than the reference."""
        return self.reference_milliseconds / self.milliseconds

    @property
    def share(self) -> float:
        """Which share of the machine's limit it reaches."""
        return self.floor_milliseconds / self.milliseconds

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, without the heatmap."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("verdict", "heatmap")}
        plain |= {"speed_up": self.speed_up, "share_of_limit": self.share, "ulps": [*map(_plain, self.ulps)]}
        return {name: _plain(value) for name, value in plain.items()} | {"verdict": self.verdict.to_dict()}


def _plain(value: Any) -> Any:
    """JSON has no NaN (not measured: null) and no infinity (a word)."""
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else "infinite"


def _cell(pattern: str, *values: float) -> str:
    return "–" if any(map(math.isnan, values)) else pattern.format(*values)


def _folded(reasons: list[str]) -> list[str]:
    """Reasons in which only the operation differs as one, if there are more than a few."""
    alike: dict[str, list[str]] = {}
    for reason in reasons:
        alike.setdefault(reason.partition(" on ")[2] or reason, []).append(reason)
    out = []
    for rest, said in alike.items():
        rest = rest.replace("it has", "they have").replace("its own", "their own")
        out += said if len(said) <= 3 else [f"{len(said)} operations on {rest}"]
    return out


#: what the two counts of ulp count
ULP = (
    "ulp: the error on the timed input, in units in the last place of the largest value of the answer. A tolerance is for the "
    "judge's inputs, which are small and reach the edges; it counts units of the largest value of inputs and answer, or of "
    "what an operation sums. On a large input a position alone may be rounded by more"
)

HEAD = (
    "operation",
    "on",
    "verdict",
    "max error",
    "relative",
    "ulp 50/99/100 %",
    "reference",
    "this",
    "speed-up",
    "of limit",
)


@dataclass(frozen=True)
class Comparison:
    """All lines, what was not run and why, and the machine's measured limits."""

    dtype: str
    lines: list[Line]
    not_run: list[str]
    machines: list[str]
    warning: str = ""

    @property
    def right(self) -> bool:
        """Whether something ran, and everything that ran is right."""
        return bool(self.lines) and all(line.verdict.right for line in self.lines)

    @property
    def title(self) -> str:
        """What was compared, in two words."""
        return f"{self.dtype}; {'; '.join(sorted({line.size for line in self.lines})) or 'nothing ran'}"

    def rows(self) -> list[tuple[str, ...]]:
        """Return the table's cells."""
        return [
            (
                line.operation, f"{line.backend} {line.device}", line.verdict.status,
                _cell("{:.2g}", line.absolute), _cell("{:.2g}", line.relative),
                _cell("{:.3g} / {:.3g} / {:.3g}", *line.ulps), f"{line.reference_milliseconds:.3g} ms",
                _cell("{:.3g} ms", line.milliseconds), _cell("{:.3g}×", line.speed_up),
                _cell("{:.0f} %" if line.share >= 0.1 else "{:.2g} %", 100 * line.share),
            )
            for line in self.lines
        ]  # fmt: skip

    def facts(self) -> list[str]:
        """Return what belongs beside the table: the machine's limits, notes on lines, what was not run and why."""
        out = [f"warning: {self.warning}"] if self.warning else []
        out += [ULP] if self.lines else []
        out += [f"limit: {machine}" for machine in self.machines]
        if any(line.share > 1 for line in self.lines):
            out.append(
                "of limit: the time in which this machine could move the bytes or do the arithmetic at that rate, as a share "
                "of the time taken; more than 100 % is a small input that it has in its cache, or a view that moves nothing"
            )
        out += [f"{line.operation} on {line.backend}: {line.note}" for line in self.lines if line.note]
        return out + [f"not run: {reason}" for reason in _folded(self.not_run)]

    def text(self) -> str:
        """Return the table in plain lines, with what is wrong spelled out below it."""
        out = [self.title]
        rows = [HEAD, *self.rows()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        left = {0, 1, 2}
        out += [
            "  ".join(
                f"{c:<{w}}" if i in left else f"{c:>{w}}" for i, (c, w) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        if len(self.lines) <= 4:
            out += [f"tolerance of {line.operation} on {line.backend}: {line.tolerance}" for line in self.lines]
        out += self.facts()
        out += [line.verdict.text() for line in self.lines if not line.verdict.right]
        return "\n".join(out)

    def to_json(self, indent: int | None = 2) -> str:
        """Return everything but the heatmaps as JSON."""
        data = {
            "dtype": self.dtype, "right": self.right, "machines": self.machines, "warning": self.warning, "not_run": self.not_run,
            "lines": [line.to_dict() for line in self.lines],
        }  # fmt: skip
        return json.dumps(data, indent=indent, ensure_ascii=False, allow_nan=False)

    def table_html(self) -> str:
        """Return the table, the facts beside it and a card for whatever is wrong, as HTML."""
        head = "".join(f"<th>{html.escape(h)}</th>" for h in HEAD)
        body = "".join(
            f'<tr class="{"right" if line.verdict.right else "wrong"}">'
            + "".join(f"<td>{html.escape(c)}</td>" for c in row)
            + "</tr>"
            for line, row in zip(self.lines, self.rows(), strict=True)
        )
        notes = "".join(f"<li>{html.escape(fact)}</li>" for fact in self.facts())
        cards = "".join(line.verdict._repr_html_() for line in self.lines if not line.verdict.right)
        table = f'<table class="comparison"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        return f'<div style="overflow-x:auto">{table}</div><ul>{notes}</ul>{cards}'

    def to_html(self) -> str:
        """Return a page of its own: the table, the limits, verdicts on what is wrong, and where the errors lie."""
        reasons = {line.operation: line.tolerance for line in self.lines}
        tolerances = "".join(f"<li><code>{html.escape(o)}</code>: {html.escape(t)}</li>" for o, t in reasons.items())
        maps = "".join(_heatmap(line) for line in self.lines if line.heatmap is not None)
        return PAGE.format(title=html.escape(self.title), table=self.table_html(), maps=maps, tolerances=tolerances)


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>vidlearn compare</title>
<style>body{{font:15px/1.5 system-ui,sans-serif;color:#1f2328;background:#fff;margin:2rem auto;max-width:80rem;padding:0 1rem}}
table.comparison{{border-collapse:collapse;font-size:13px}}.comparison td,.comparison th{{padding:3px 10px;border-bottom:1px solid #d0d7de;text-align:right;white-space:nowrap}}
.comparison td:nth-child(-n+3),.comparison th:nth-child(-n+3){{text-align:left}}.comparison tr.wrong td{{background:#fdecea}}
.maps{{display:flex;flex-wrap:wrap;gap:1.2rem}}figure{{margin:0;font-size:12px}}</style>
<h1>Implementations against the reference</h1><p>{title}</p>{table}
<h2>Where the errors lie</h2><p>The absolute error at each pixel, from white (none) to dark (the largest).</p><div class="maps">{maps}</div>
<h2>Tolerances</h2><p>On the judge's inputs, in units in the last place of the largest value of inputs and answer, or of what an operation sums.</p><ul>{tolerances}</ul></html>"""


def _heatmap(line: Line) -> str:
    """The error per pixel as an SVG of at most 48 × 64 squares, each the largest error within it."""
    error = np.asarray(line.heatmap, float)
    rows, columns = min(48, error.shape[0]), min(64, error.shape[1])
    ys, xs = (
        np.linspace(0, error.shape[0], rows + 1).astype(int),
        np.linspace(0, error.shape[1], columns + 1).astype(int),
    )
    blocks = np.maximum.reduceat(np.maximum.reduceat(error, ys[:-1], axis=0), xs[:-1], axis=1)
    largest, top = blocks.max(), np.max(blocks, where=np.isfinite(blocks), initial=0) or 1.0
    blocks = np.minimum(blocks, top)  # an infinite error is as dark as the largest finite one
    squares = []
    for y, x in np.argwhere(blocks > 0):
        shade = round(255 * (1 - 0.85 * blocks[y, x] / top))
        squares.append(
            f'<rect x="{x}" y="{y}" width="1.02" height="1.02" fill="rgb({shade},{shade},{min(255, shade + 25)})"/>'
        )
    caption = f"{line.operation} on {line.backend} {line.device}: at most {largest:.2g}"
    return (
        f'<figure><svg viewBox="0 0 {columns} {rows}" width="{4 * columns}" role="img" style="border:1px solid #d0d7de">'
        f"{''.join(squares)}</svg><figcaption>{html.escape(caption)}</figcaption></figure>"
    )
