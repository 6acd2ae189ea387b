"""``vidlearn demo``: the three jobs on real input, and a report that shows what came out."""

from __future__ import annotations

import base64
import functools
import html
import inspect
import io
import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import vidlearn as vl

__all__ = ["run"]

Say = Callable[[str], None]
WORST = 10.0  # endpoint error, in pixels, that the heatmap shows in full red


def normal_flow(Ix: Any, Iy: Any, It: Any) -> Any:
    squared = Ix**2 + Iy**2
    speed = It / np.where(squared == 0, 1, squared)
    return np.stack([Ix, Iy], axis=-1) * speed[..., None]


def run(out: Path | str, *, progress: Say = print, size: tuple[int, int] = (120, 160), frames: int = 12) -> Path:
    """Do the three jobs on real input and write ``report.html`` into `out`.

    Parameters
    ----------
    out
        Folder for the report; made if it is not there.
    progress
        Called with a line as each step begins or says something.
    size
        Image size at which all operations are compared.
    frames
        How many frames of the film are worked on.

    Returns
    -------
    pathlib.Path
        The report.
    """
    from vidlearn.sandbox import SandboxError
    from vidlearn.video import VideoError

    out = Path(out)
    if out.exists() and not out.is_dir():
        raise ValueError(f"out: {out} is a file; name a folder for the report")
    out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    steps: list[tuple[str, Callable[[], str]]] = [
        ("the flow of a real film", lambda: _film(frames, progress)),
        ("a real pair with measured ground truth", lambda: _pair(progress)),
        ("every operation against its reference", lambda: _agreement(size, progress)),
        ("a student's wrong answer", lambda: _wrong_answer(progress)),
        ("the sample submissions, graded in a sandbox", lambda: _grades(out, progress)),
    ]
    sections = []
    for number, (title, step) in enumerate(steps, 1):
        progress(f"[{number}/{len(steps)}] {title}")
        try:
            body = step()
        except (ImportError, VideoError, SandboxError) as error:  # a package or a means that this machine lacks
            progress(f"      not run: {error}")
            body = f"<p>Not run: {html.escape(str(error))}</p>"
        sections.append(f"<section><h2>{html.escape(title[0].upper() + title[1:])}</h2>{body}</section>")
    page = out / "report.html"
    unfinished = page.with_suffix(".part")
    unfinished.write_text(PAGE.format(sections="".join(sections)), encoding="utf-8")
    os.replace(unfinished, page)
    progress(f"done in {time.monotonic() - started:.0f} s")
    return page.resolve()


def _backends() -> list[tuple[str, str]]:
    """Every backend that runs here, on each of its devices."""
    return [(b, d) for b, reason in vl.arrays.available().items() if not reason for d in vl.arrays.devices(b)]


def _gray(image: np.ndarray) -> np.ndarray:
    image = image.astype(np.float32) / (255 if image.dtype == np.uint8 else 1)
    return np.ascontiguousarray(image @ np.array([0.299, 0.587, 0.114], np.float32))


def _dense(I0: np.ndarray, I1: np.ndarray, backend: str, device: str, quality: str = "fast") -> np.ndarray:
    given = (vl.arrays.from_numpy(I, backend, device) for I in (I0, I1))
    return vl.arrays.to_numpy(vl.flow.dense(*given, quality=quality))


def _film(count: int, say: Say) -> str:
    from vidlearn.video import clip_path, color_wheel_key, flow_to_color, read, scrubber

    film = read(clip_path(), stop=count + 1)
    gray = [_gray(frame) for frame in film]
    flows = [_dense(a, b, "numpy", "cpu") for a, b in itertools.pairwise(gray)]
    top = float(np.percentile([np.hypot(f[..., 0], f[..., 1]) for f in flows], 99))
    say(
        f"      {clip_path().name}: {count} flows of {film.shape[1]}x{film.shape[2]}, full color at {top:.2f} px per frame"
    )
    pictures = [
        np.concatenate([frame, flow_to_color(flow, top)], axis=1) for frame, flow in zip(film, flows, strict=False)
    ]
    rows: list[tuple[str, float, float | None]] = []
    start = time.perf_counter()
    reference = vl.flow.dense.reference(gray[0], gray[1])
    rows.append(("NumPy reference", 1e3 * (time.perf_counter() - start), None))
    for backend, device in _backends():
        start = time.perf_counter()
        flow = _dense(gray[0], gray[1], backend, device)
        rows.append((f"{backend} {device}", 1e3 * (time.perf_counter() - start), float(np.abs(flow - reference).max())))
    cells = "".join(
        f"<tr><td>{n}</td><td>{ms:.0f} ms</td><td>{'–' if d is None else f'{d:.1e} px'}</td></tr>" for n, ms, d in rows
    )
    say("      " + "; ".join(f"{n} {ms:.0f} ms" for n, ms, _ in rows))
    key = _img(color_wheel_key(81), "Key: color is the direction of the motion, strength its speed", 81)
    return (
        f"<p>{html.escape(clip_path().name)}: the first {count} frames, and for each the flow to the next one. The key says which way "
        f"a color moves; full color is {top:.2f} px per frame.</p>"
        f'<div class="row">{scrubber(pictures, alt="frames and their flow")._repr_html_()}{key}</div>'
        f"<p>The first flow by every implementation that is here (one run each, warm-up included), and how far it is from the reference:</p>"
        f"<table><tr><th>implementation</th><th>time</th><th>largest difference</th></tr>{cells}</table>"
    )


def _pair(say: Say) -> str:
    from vidlearn.video import flow_to_color, real_pair

    pair = real_pair()
    I0, I1 = _gray(pair.I0), _gray(pair.I1)
    valid = np.isfinite(pair.flow).all(axis=-1)
    truth = np.where(valid[..., None], pair.flow, 0).astype(np.float32)
    rows: list[tuple[str, float, float, float, float]] = []
    last = np.zeros_like(truth)
    runs: list[tuple[str, Callable[[], np.ndarray]]] = [("zero flow", lambda: np.zeros_like(truth))]
    for quality in ("fast", "high"):
        for backend, device in _backends():
            job = functools.partial(_dense, I0, I1, backend, device, quality)
            runs.append((f"flow.dense {quality}, {backend} {device}", job))
    for name, compute in runs:
        start = time.perf_counter()
        last = compute()
        took = 1e3 * (time.perf_counter() - start)
        measures = [
            float(m(last, truth, valid)) for m in (vl.flow.endpoint_error, vl.flow.angular_error, vl.flow.fl_all)
        ]
        rows.append((name, measures[0], measures[1], measures[2], took))
        say(f"      {name}: endpoint error {measures[0]:.2f} px, Fl-all {measures[2]:.1f} %, {took:.0f} ms")
    cells = "".join(
        f"<tr><td>{html.escape(n)}</td><td>{e:.2f} px</td><td>{a:.1f}°</td><td>{f:.1f} %</td><td>{t:.0f} ms</td></tr>"
        for n, e, a, f, t in rows
    )
    top = float(np.hypot(truth[..., 0], truth[..., 1]).max())
    distance = np.where(valid, np.hypot(*np.moveaxis(last - truth, -1, 0)), 0)
    shade = np.clip(255 * (1 - distance / WORST), 0, 255).astype(np.uint8)
    heat = np.stack([np.full_like(shade, 255), shade, shade], axis=-1)
    heat[~valid] = 210
    pictures = [
        (pair.I0, "the first frame"),
        (
            flow_to_color(np.where(valid[..., None], pair.flow, np.nan), top),
            f"measured flow, full color at {top:.0f} px; unknown is black",
        ),
        (flow_to_color(last, top), runs[-1][0]),
        (heat, f"its error: white none, red {WORST:g} px or more, gray unknown"),
    ]
    figures = "".join(
        f"<figure>{_img(p, c, 480)}<figcaption>{html.escape(c)}</figcaption></figure>" for p, c in pictures
    )
    return (
        f"<p>Two views of one scene with a measured displacement for nearly every pixel, up to {top:.0f} px: hard for any method "
        f"that was not trained for it. Errors are over every pixel whose truth is known, those that leave the frame included."
        f'</p><div class="row">{figures}</div>'
        f"<table><tr><th>estimate</th><th>endpoint error</th><th>angular error</th><th>Fl-all</th><th>time</th></tr>{cells}</table>"
    )


def _agreement(size: tuple[int, int], say: Say) -> str:
    from vidlearn.compare import compare

    comparison = compare(size=size, examples=8, repeats=3)
    say("\n".join("      " + line for line in comparison.text().splitlines()))
    return (
        "<p>Judged by the spec of each operation, and timed against the NumPy reference on one input of "
        f"{size[0]}×{size[1]}. <em>Of limit</em>: how close to the time in which this machine could move the bytes or do the "
        f"arithmetic at all; a machine reads a small input from its cache.</p>{comparison.table_html()}"
    )


def _wrong_answer(say: Say) -> str:
    verdict = vl.check(normal_flow)
    say("\n".join("      " + line for line in verdict.text().splitlines()))
    source = inspect.getsource(normal_flow).replace(": Any", "").replace(" -> Any", "") + "\nvl.check(normal_flow)"
    return f"<pre>{html.escape(source)}</pre>{verdict._repr_html_()}"


def _grades(out: Path, say: Say) -> str:
    from vidlearn.grade import SAMPLES, grade

    results = grade(
        SAMPLES / "submissions",
        SAMPLES / "assignment.toml",
        out / "marks",
        jobs=2,
        seed=0,
        trust_submissions=True,  # they come with vidlearn, so that a machine without isolation shows its marks too
        progress=lambda line: say("      " + line),
    )
    rows = []
    for result in results:
        score = "–" if result["score"] is None else f"{result['score']:g}"
        link = next(
            (p for p in sorted((out / "marks" / "reports").glob("*.html")) if p.stem == result["student"]), None
        )
        name = html.escape(str(result["student"]))
        name = f'<a href="marks/reports/{html.escape(link.name)}">{name}</a>' if link else name
        rows.append(
            f"<tr><td>{name}</td><td>{score} of {result['max_score']:g}</td><td>{html.escape(result['status'])}</td>"
            f"<td>{html.escape(_reason(result))}</td></tr>"
        )
    isolation = next((r["isolation"] for r in results if r.get("isolation")), None)
    return (
        "<p>Each ran in a process of its own that held neither the expected answers nor the score.</p>"
        f"<table class='marks'><tr><th>submission</th><th>marks</th><th>status</th><th>why</th></tr>{''.join(rows)}</table>"
        f"<p>Isolation here: {html.escape(_words(isolation))}. All marks with reasons: <code>marks/results.json</code></p>"
    )


def _reason(result: dict[str, Any]) -> str:
    """The first thing to say about each answer that is not right, said once."""
    said = []
    for question in result["questions"]:
        findings = {f["kind"]: f["text"] for f in reversed(question["findings"])}  # the first of each kind
        about = next((findings[kind] for kind in ("looks like", "note", "breaks") if kind in findings), "")
        if question["status"] != "correct" and about:
            same = all(about in [f["text"] for f in q["findings"]] for q in result["questions"])
            said.append(about if same else f"{vl.operation(question['operation']).short}: {about}")
    return "; ".join(dict.fromkeys(said))


def _words(isolation: Any) -> str:
    if isinstance(isolation, dict):
        level, held = isolation.get("level", "?"), isolation.get("layers") or isolation.get("enforced") or []
        return f"level {level}: {', '.join(map(str, held))}"
    return str(isolation)


def _img(picture: np.ndarray, alt: str, width: int) -> str:
    """A picture as an <img> with its bytes in it."""
    from PIL import Image

    if picture.dtype != np.uint8:
        picture = np.clip(255 * picture + 0.5, 0, 255).astype(np.uint8)
    image = Image.fromarray(picture)
    if image.width > 2 * width:
        image = image.resize((2 * width, round(2 * width * image.height / image.width)))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=85)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{html.escape(alt)}" width="{width}" src="data:image/webp;base64,{data}">'


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>vidlearn demo</title><style>
body{{font:16px/1.55 system-ui,sans-serif;color:#1f2328;background:#fff;max-width:72rem;margin:2rem auto;padding:0 1.2rem}}
h1{{font-size:1.7rem;margin-bottom:.2rem}}h2{{margin-top:2.4rem;border-bottom:1px solid #d0d7de;padding-bottom:.3rem}}
table{{border-collapse:collapse;font-size:14px}}section>table{{margin:1rem 0}}.marks td:nth-child(-n+3){{white-space:nowrap}}td,th{{padding:3px 12px 3px 0;border-bottom:1px solid #eaeef2;text-align:left}}
.comparison td,.comparison th{{text-align:right;white-space:nowrap}}.comparison td:nth-child(-n+3),.comparison th:nth-child(-n+3){{text-align:left}}
.comparison{{font-size:12px}}.comparison td,.comparison th{{padding-right:8px}}.comparison tr.wrong td{{background:#fdecea}}.row{{display:flex;flex-wrap:wrap;gap:1rem;align-items:flex-end}}
figure{{margin:0;max-width:480px}}figcaption{{font-size:13px;color:#57606a}}pre{{background:#f6f8fa;padding:.8rem;border-radius:6px;overflow-x:auto}}
img{{border-radius:3px;max-width:100%;height:auto}}</style>
<h1>vidlearn</h1><p>The three jobs on real input: compute and compare, check an answer, grade submissions.</p>{sections}</html>"""
