"""Reports: a student's as a page and as Markdown, and the class on one page.

All three are made from results alone. Whatever a student wrote is text in them, never markup.
"""

from __future__ import annotations

import html
import json
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

from vidlearn.grade.assignment import Assignment
from vidlearn.grade.intake import printable

__all__ = ["class_page", "file_names", "markdown", "page", "stories", "summary", "unanswered", "write_text"]

# no script, no picture, nothing from elsewhere, whatever the text below holds
_HEAD = """<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">"""

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
body.wide { max-width: 60rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .3rem; overflow-wrap: anywhere; }
.mark { float: right; font-weight: 600; margin-left: 1rem; }
table { border-collapse: collapse; width: 100%; } tr { break-inside: avoid; }
td, th { padding: .15rem .8rem .15rem 0; vertical-align: top; text-align: left; overflow-wrap: break-word; }
th { font-weight: 600; font-size: .85rem; opacity: .75; } .number { text-align: right; white-space: nowrap; }
.report { table-layout: fixed; } .report td:first-child { opacity: .75; width: 6.5rem; } .report .number { width: 3.5rem; padding-right: 0; }
.wide table { font-size: .9rem; } .wide .tight { width: auto; } .tight .bar { width: 14rem; } .wide code { white-space: nowrap; } .scroll { overflow-x: auto; }
h3 { font-size: 1rem; font-weight: 600; margin: 1rem 0 0; } h3 + p { margin-top: .2rem; } .who { font-size: .9rem; }
.bar { width: 20%; min-width: 5rem; padding-right: 0; }
.bar span { display: inline-block; height: .8em; background: #5b8def; border-radius: 2px; print-color-adjust: exact; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #8882; padding: .6rem;
  border-radius: 4px; margin: .3rem 0; font-size: .85rem; }
svg { display: block; max-width: 100%; height: auto; } svg rect { fill: #5b8def; print-color-adjust: exact; }
svg text { fill: currentColor; font: 12px system-ui, sans-serif; text-anchor: middle; }
svg line { stroke: currentColor; opacity: .4; }
footer { margin-top: 3rem; font-size: .85rem; opacity: .75; }
@media print { body { font-size: 11pt; margin: 0 auto; } a { color: inherit; text-decoration: none; } }
"""

LATER = "grading has not come to it"  # the reason of a submission in a run that was cut short
MANY = 20  # more students than this are folded away

_LEADS = {
    "not attempted": "There is no answer yet",
    "crashed": "Nothing could be looked at",
    "timed out": "Nothing could be looked at",
    "out of memory": "Nothing could be looked at",
    "unreadable": "The file could not be read",
    "not run": "Not graded. This is not a zero: a person has to look at it",
}

#: true at every level; which layers held is for the teacher
_APART = "Each submission runs in a process of its own, which holds neither the expected answers nor anybody's marks."

TITLES = {
    "smallest": "The smallest input found on which it goes wrong",
    "traceback": "Where it stopped",
    "printed": "What it printed",
}

_TRIES = {
    "not attempted": "write the function under its name and run <code>vl.check({name})</code> below it.",
    "crashed": "restart the kernel and run all cells from the top: they have to reach the end.",
    "timed out": "look for a loop that never ends. A loop over pixels is slow, too: NumPy computes whole arrays at once.",
    "out of memory": "print the shapes of the arrays on the way, for a small input: one of them grows too fast.",
    "unreadable": "open the very file that you handed in. Where Jupyter can't read it either, hand in the whole file again.",
}


# ------------------------------------------------------------------------------------------------------- one student


def page(result: dict[str, Any], title: str) -> str:
    """One student's report as HTML that stands alone. All that a student wrote is escaped."""
    parts = [
        f"<h1><span class=mark>{_mark(result)}</span> {_text(title)}</h1>",
        f"<p>{_text(result['student'])} · {_text(result['submission'])} · {_text(_standing(result))}</p>",
    ]
    parts += [f"<p>{_text(_sentence(note))}</p>" for note in result.get("notes", [])]
    for heading, mark, blocks in _sections(result):
        if heading:
            parts.append(f"<h2><span class=mark>{mark[0]}</span> <code>{_text(heading)}</code> · {_text(mark[1])}</h2>")
        rows = []
        for kind, text, points in blocks:
            if not kind:
                parts.append(f"<p>{_text(_sentence(text))}</p>")
            elif kind == "printed":
                rows.append(
                    _row(kind, f"<details><summary>what it printed</summary><pre>{_text(text)}</pre></details>")
                )
            elif kind in ("smallest", "traceback"):
                rows.append(_row(kind, f"<pre>{_text(text)}</pre>"))
            elif kind == "try it":
                rows.append(_row(kind, text))
            else:
                rows.append(_row(kind, _text(_sentence(text) if kind in ("note", "hint") else text), points))
        parts.append(f"<table class=report>{''.join(rows)}</table>" if rows else "")
    parts.append(f"<footer>{_text(_apart(result))}</footer>" if result.get("isolation") else "")
    return _document(title, "".join(parts))


def markdown(result: dict[str, Any], title: str) -> str:
    r"""One student's report as Markdown, for a comment on GitHub or in a course system.

    It can be read as it stands, too. Sentences are text: what could be taken for markup in them is escaped, and a word that
    would act all the same (a link, a mention, a tag) is shown as code.

    Examples
    --------
    >>> result = {"student": "ada", "submission": "<b>.py", "score": 1.0, "max_score": 3, "status": "partly",
    ...           "questions": [{"operation": "flow.warp", "score": 1.0, "max_score": 3, "status": "partly",
    ...                          "findings": [{"kind": "holds", "text": "inside", "points": 1},
    ...                                       {"kind": "breaks", "text": "outside", "points": 0}], "output": ""}]}
    >>> print(markdown(result, "Warping"))
    # Warping
    <BLANKLINE>
    **1 / 3** · partly · ada · `<b>.py`
    <BLANKLINE>
    ## `flow.warp` · 1 / 3 · partly
    <BLANKLINE>
    1 of 2 hold.
    <BLANKLINE>
    - **holds**: inside (1)
    - **breaks**: outside
    - **try it**: run `vl.check(warp)` below your function: it shows an input on which it fails.
    <BLANKLINE>
    """
    told = [f"**{_mark(result)}**", _standing(result), _inline(result["student"]), _code(result["submission"])]
    lines = [f"# {_inline(title)}", "", " · ".join(filter(None, told)), ""]
    for note in result.get("notes", []):
        lines += [_inline(_sentence(note)), ""]
    for heading, mark, blocks in _sections(result):
        if heading:
            lines += [f"## `{heading}` · {mark[0]} · {mark[1]}", ""]
        for kind, text, points in blocks:
            text = _head(text) if kind == "printed" else text
            if kind in TITLES:
                lines += ["", f"{TITLES[kind]}:", "", *_fenced(text, "python" if kind == "smallest" else "text"), ""]
            elif kind == "try it":
                lines.append(f"- **try it**: {re.sub('</?code>', '`', text)}")
            elif not kind:
                lines += [_inline(_sentence(text)), ""]
            else:
                said = _inline(_sentence(text) if kind in ("note", "hint") else text)
                lines.append(
                    f"- **{kind}**: {said}{f' ({points})' if points and (kind, points) != ('breaks', '0') else ''}"
                )
        lines.append("")
    if result.get("isolation"):
        lines += [_inline(_apart(result)), ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


Block = tuple[str, str, str]  # kind, text, points


def _sections(result: dict[str, Any]) -> list[tuple[str, tuple[str, str], list[Block]]]:
    """What there is to say of each question: its name, mark and status, and the blocks in the order of reading."""
    questions, told = result["questions"], stories(result)
    if len(questions) > 1 and result["status"] in ("unreadable", "not run") and told.count(told[0]) == len(told):
        return [("", ("", ""), told[0])]  # the same for all: once is enough
    return [
        (_plain(question["operation"]), (_mark(question), question["status"]), story)
        for question, story in zip(questions, told, strict=True)
    ]


def stories(result: dict[str, Any]) -> list[list[Block]]:
    """What there is to say of each question: kind, text and points of each block, in the order of reading."""
    return [_blocks(question) for question in result["questions"]]


def _blocks(question: dict[str, Any]) -> list[Block]:
    """First what is right, then what breaks, on which input, what it looks like, and what to do."""
    status, findings = question["status"], question["findings"]
    by_kind = defaultdict(list)
    for finding in findings:
        points = f"{finding['points']:g}" if "points" in finding else ""
        text = f"cases: {finding['text']}" if finding.get("row") == "case" else str(finding["text"])
        by_kind[finding["kind"]].append((finding["kind"], text, points))
    notes = by_kind.pop("note", [])
    if not findings and status not in ("correct", "not run"):
        lead = "Only the mark is shown for this question"
    elif status in _LEADS:
        lead = f"{_LEADS[status]}: {notes.pop(0)[1]}" if notes else _LEADS[status]
    else:
        lead = _count(findings)
    blocks: list[Block] = [("", lead, "")] if lead else []
    for kind in ("holds", "breaks"):
        blocks += by_kind.pop(kind, [])
    blocks += notes
    for kind in ("smallest", "looks like", "hint"):
        blocks += by_kind.pop(kind, [])
    tip = _tip(question) if findings else ""
    if tip and any(text.startswith("it calls your ") for _, text, _ in notes):
        tip = "mend what it calls first: that may be all. Then " + tip
    blocks += [("try it", tip, "")] if tip else []
    for rest in by_kind.values():
        blocks += rest
    if question["output"]:
        blocks.append(("printed", question["output"], ""))
    return blocks


def _count(findings: list[dict[str, Any]]) -> str:
    """How much holds, in words; what is listed below is counted."""
    rows = [finding for finding in findings if finding["kind"] in ("holds", "breaks")]
    held = sum(finding["kind"] == "holds" for finding in rows)
    if not rows or held == len(rows):
        return f"All {held} hold" if held > 1 else ""
    return f"{held} of {len(rows)} hold" if held else f"None of {len(rows)} holds yet"


def _tip(question: dict[str, Any]) -> str:
    name = _text(question["operation"].rpartition(".")[2])
    if question["status"] in _TRIES:
        return _TRIES[question["status"]].format(name=name)
    if question["status"] not in ("partly", "wrong"):
        return ""
    if any(finding["kind"] == "smallest" for finding in question["findings"]):
        return "paste the smallest input into a cell below your function, and follow it through by hand."
    return f"run <code>vl.check({name})</code> below your function: it shows an input on which it fails."


def _standing(result: dict[str, Any]) -> str:
    questions = result["questions"]
    right = sum(question["status"] == "correct" for question in questions)
    if len(questions) < 2 or not 0 < right < len(questions):
        return str(result["status"])
    return f"{result['status']}: {right} of {len(questions)} questions are correct"


# ---------------------------------------------------------------------------------------------------------- the class


def summary(results: list[dict[str, Any]]) -> str:
    """The class in one line."""
    counts: dict[str, int] = {}
    for result in results:
        counts[result["status"]] = counts.get(result["status"], 0) + 1
    marks = _scores(results)
    parts = [f"{len(results)} submission{'s' if len(results) != 1 else ''}"]
    parts += [f"{count} {status}" for status, count in sorted(counts.items(), key=lambda pair: -pair[1])]
    if marks:
        parts.append(f"mean {mean(marks):.2f} of {results[0]['max_score']:g}")
    levels = sorted({result["isolation"]["level"] for result in results if result.get("isolation")})
    if levels:
        parts.append(f"isolation {'/'.join(levels)}")
    return " · ".join(parts)


def unanswered(results: Sequence[dict[str, Any]]) -> bool:
    """Whether nobody has tried any question, which the wrong assignment looks like.

    Examples
    --------
    >>> unanswered([{"questions": [{"status": "not attempted"}]}, {"questions": [{"status": "unreadable"}]}])
    True
    """
    statuses = {question["status"] for result in results for question in result["questions"]}
    return "not attempted" in statuses and statuses <= {"not attempted", "unreadable", "not run"}


def class_page(results: Sequence[dict[str, Any]], assignment: Assignment) -> str:
    """The class on one page for the teacher: marks, what is hard, which mistakes are common, and who isn't graded.

    Parameters
    ----------
    results
        All results of a run, in the order of ``results.json``: the links to the students' pages follow from it.
    assignment
        What was asked.

    Returns
    -------
    str
        HTML that stands alone: no script, no other file. All that a student wrote is escaped.
    """
    results = list(results)
    names = file_names(result["student"] for result in results)
    links = [
        f'<a href="reports/{name}.html">{_text(result["student"])}</a>'
        for name, result in zip(names, results, strict=True)
    ]
    parts = [f"<h1>{_text(assignment.title)}</h1>", f"<p>{_text(summary(results))}</p>"]
    if unanswered(results):
        parts.append(
            f"<p><strong>Nobody defines what {_text(assignment.id)} asks for: is it the right assignment?</strong></p>"
        )
    parts += [_not_graded(results, links), _marks(results), _statuses(results), _questions(results, assignment)]
    parts += [_hardest(results, assignment), _mistakes(results, assignment, links), _everyone(results, links)]
    parts.append(_layers(results))
    return _document(f"{assignment.title} · class", "".join(parts), "wide")


def _not_graded(results: list[dict[str, Any]], links: list[str]) -> str:
    rows, later = [], 0
    for result, link in zip(results, links, strict=True):
        if result["score"] is None:
            whys = dict.fromkeys(
                finding["text"]
                for question in result["questions"]
                if question["score"] is None
                for finding in question["findings"]
                if finding["kind"] == "note"
            )
            if [*whys] == [LATER]:
                later += 1
            else:
                rows.append([link, _text("; ".join(whys) or "no reason was kept")])
    told = f"<p><strong>Grading has not come to its end: {later} to go.</strong></p>" if later else ""
    return told + ("<h2>Not graded: a person has to look</h2>" + _table(["student", "why"], rows) if rows else "")


def _marks(results: list[dict[str, Any]]) -> str:
    scores, full = _scores(results), max((result["max_score"] for result in results), default=0)
    if not scores or full <= 0:
        return ""
    bins = [0] * 10
    for score in scores:
        bins[min(9, max(0, int(10 * score / full + 1e-9)))] += 1
    return (
        f"<h2>Marks</h2><p>mean {mean(scores):.2f}, median {median(scores):.2f} of {full:g}"
        f"{_not_counted(len(results) - len(scores))}</p>" + _histogram(bins, full)
    )


def _histogram(bins: list[int], full: float) -> str:
    """Ten bars drawn by hand; each says how many it stands for."""
    wide, high, base = 56, 120, 140
    drawn = []
    for i, count in enumerate(bins):
        height, left = high * count / max(bins), 20 + wide * i
        drawn.append(f'<rect x="{left + 3}" y="{base - height:.1f}" width="{wide - 6}" height="{height:.1f}"/>')
        if count:
            drawn.append(f'<text x="{left + wide / 2:g}" y="{base - height - 5:.1f}">{count}</text>')
    for i in range(11):
        drawn.append(f'<text x="{20 + wide * i}" y="{base + 16}">{full * i / 10:.3g}</text>')
    drawn.append(f'<line x1="20" y1="{base}" x2="{20 + 10 * wide}" y2="{base}"/>')
    said = ", ".join(f"{count} from {full * i / 10:.3g}" for i, count in enumerate(bins) if count)
    return (
        f'<svg viewBox="0 0 {40 + 10 * wide} {base + 25}" width="{40 + 10 * wide}" role="img" '
        f'aria-label="submissions by mark: {said}">{"".join(drawn)}</svg>'
    )


def _statuses(results: list[dict[str, Any]]) -> str:
    counts = Counter(result["status"] for result in results)
    rows = [[_text(status), str(count), _bar(count / len(results))] for status, count in counts.most_common()]
    return "<h2>Status</h2>" + _table(["", "submissions", ""], rows, "tight")


def _questions(results: list[dict[str, Any]], assignment: Assignment) -> str:
    rows = []
    for asked in assignment.questions:
        entries = _entries(results, asked.operation.name)
        scores, points = _scores(entries), asked.points
        right = sum(entry["status"] == "correct" for entry in entries)
        empty = sum(entry["status"] == "not attempted" for entry in entries)
        rows.append([
            f"<code>{_text(asked.operation.name)}</code>", f"{points:g}",
            *([f"{mean(scores):.2f}", f"{median(scores):.2f}", f"{right / len(scores):.0%}"] if scores else [""] * 3),
            str(empty), _bar(right / len(scores) if scores else 0),
        ])  # fmt: skip
    return "<h2>Questions</h2>" + _table(["question", "points", "mean", "median", "correct", "not attempted", ""], rows)


def _hardest(results: list[dict[str, Any]], assignment: Assignment) -> str:
    """Of the answers that could be looked at, the share that breaks each law and each family of cases."""
    rows, silent = [], []
    for asked in assignment.questions:
        judged = [e for e in _entries(results, asked.operation.name) if e["status"] in ("correct", "partly", "wrong")]
        if asked.visibility != "visible":
            silent.append(asked.operation.name)
            continue
        kinds = {name: "cases" for name in asked.operation.spec.cases}
        kinds |= {law.statement: "law" for law in asked.operation.spec.laws}
        order = [*kinds]
        broken = Counter(
            name
            for entry in judged
            for name in dict.fromkeys(finding["text"] for finding in entry["findings"] if finding["kind"] == "breaks")
        )
        for name in sorted(broken, key=lambda one: (order.index(one) if one in order else -1, one)):
            kind, count = kinds.get(name, "form"), broken[name]
            rows.append((count / len(judged), [
                f"<code>{_text(asked.operation.short)}</code>", kind, _text(name),
                f"{count} of {len(judged)}", f"{count / len(judged):.0%}", _bar(count / len(judged)),
            ]))  # fmt: skip
    rows.sort(key=lambda row: -row[0])
    parts = ["<h2>Hardest laws and cases</h2><p>Of the answers that returned something, how many break it.</p>"]
    head = ["question", "", "what breaks", "answers", "", ""]
    parts.append(_table(head, [row for _, row in rows[:15]]) if rows else "<p>Nothing breaks.</p>")
    if len(rows) > 15:
        more = _table(head, [row for _, row in rows[15:]])
        parts.append(f"<details><summary>{len(rows) - 15} more</summary>{more}</details>")
    if silent:
        parts.append(f"<p>Marks only, so no reasons are kept: {_text(', '.join(silent))}.</p>")
    return "".join(parts)


def _mistakes(results: list[dict[str, Any]], assignment: Assignment, links: list[str]) -> str:
    who: dict[tuple[str, str], list[str]] = defaultdict(list)
    hints: dict[tuple[str, str], str] = {}
    nameless: dict[str, list[str]] = defaultdict(list)
    for result, link in zip(results, links, strict=True):
        for question in result["questions"]:
            looks = [finding["text"] for finding in question["findings"] if finding["kind"] == "looks like"]
            for name in dict.fromkeys(looks):
                who[question["operation"], name].append(link)
                said = [finding["text"] for finding in question["findings"] if finding["kind"] == "hint"]
                hints.setdefault((question["operation"], name), said[0] if said else "")
            if question["status"] in ("partly", "wrong") and question["findings"] and not looks:
                nameless[question["operation"]].append(link)
    if not who and not nameless:
        return ""
    parts = ["<h2>Commonest mistakes</h2>"]
    for (operation, name), students in sorted(who.items(), key=lambda item: -len(item[1])):
        count = f"{len(students)} answer{'s' * (len(students) > 1)}"
        parts.append(f"<h3>{_text(name)} · <code>{_text(operation)}</code> · {count}</h3>")
        hint = hints[operation, name]
        parts.append(f"<p>The hint they got: {_text(hint)}</p>" if hint else "")
        parts.append(_who(students))
    for operation, students in sorted(nameless.items(), key=lambda item: -len(item[1])):
        many = len(students)
        answers, look = ("1 answer", "looks") if many == 1 else (f"{many} answers", "look")
        parts.append(
            f"<p>{answers} to <code>{_text(operation)}</code> that {'is' if many == 1 else 'are'} not correct {look} like "
            f"none of the mistakes that have a name:</p>{_who(students)}"
        )
    return "".join(parts)


def _who(links: list[str]) -> str:
    told = f"<p class=who>{', '.join(dict.fromkeys(links))}</p>"
    return f"<details><summary>who</summary>{told}</details>" if len(links) > MANY else told


def _everyone(results: list[dict[str, Any]], links: list[str]) -> str:
    operations = list(dict.fromkeys(q["operation"] for result in results for q in result["questions"]))
    rows = []
    for result, link in zip(results, links, strict=True):
        scores = {question["operation"]: _score(question) for question in result["questions"]}
        marks = [_score(result), *(scores.get(name, "") for name in operations)]
        rows.append([link, _text(result["status"]), *marks, _text("; ".join(result.get("notes", [])))])
    head = ["student", "status", "mark", *(f"<code>{_text(name.rpartition('.')[2])}</code>" for name in operations)]
    head.append("note")
    if not any(row[-1] for row in rows):
        head, rows = head[:-1], [row[:-1] for row in rows]
    return "<h2>Everyone</h2>" + _table(head, rows)


def _layers(results: list[dict[str, Any]]) -> str:
    counts = Counter(_isolation(result) for result in results if result.get("isolation"))
    said = [f"{text} ({count} of {len(results)})" for text, count in counts.most_common()]
    without = len(results) - sum(counts.values())
    if without:
        said.append(f"no isolation is on record for {without}.")
    return "<footer>" + "".join(f"<p>{_text(line)}</p>" for line in said) + "</footer>"


def _entries(results: list[dict[str, Any]], operation: str) -> list[dict[str, Any]]:
    return [q for result in results for q in result["questions"] if q["operation"] == operation]


def _scores(entries: Iterable[dict[str, Any]]) -> list[float]:
    return [entry["score"] for entry in entries if entry["score"] is not None]


def _not_counted(count: int) -> str:
    return f"; {count} not graded and not counted" if count else ""


# -------------------------------------------------------------------------------------------------------------- files


def _head(text: str, lines: int = 20, width: int = 200) -> str:
    """The beginning of what was printed, for a comment field; the page has all of it."""
    all_lines = text.splitlines()
    kept = [line if len(line) <= width else f"{line[:width]} …" for line in all_lines[:lines]]
    more = len(all_lines) - lines
    return "\n".join([*kept, *([f"… and {more:,} lines more"] if more > 0 else [])])


def file_names(students: Iterable[str]) -> list[str]:
    """A file name for each student: letters of any script, no two alike, even where case is not told apart."""
    taken: set[str] = set()
    names = []
    for student in students:
        plain = unicodedata.normalize("NFC", student)
        base = re.sub(r"[^\w.-]+", "_", plain).strip("._")[:60] or "student"  # in UTF-8 within a file name's 255 bytes
        name, number = base, 2
        while name.casefold() in taken:
            name, number = f"{base}-{number}", number + 1
        taken.add(name.casefold())
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


# --------------------------------------------------------------------------------------------------------------- text


def _document(title: str, body: str, look: str = "") -> str:
    head = f"{_HEAD}<title>{_text(title)}</title><style>{_STYLE}</style>"
    return f'<!doctype html><html lang=en><head>{head}</head><body class="{look}">{body}</body></html>\n'


def _row(kind: str, content: str, points: str = "") -> str:
    return f"<tr><td>{_text(kind)}</td><td>{content}</td><td class=number>{points}</td></tr>"


def _table(head: list[str], rows: list[list[str]], shape: str = "") -> str:
    """A table of HTML cells; columns of numbers stand to the right."""
    numbers = [
        bool(rows) and all(re.fullmatch(r"[\d.,%]*( of \d+)?|–", row[i]) for row in rows) for i in range(len(head))
    ]
    look = [" class=number" if number else "" for number in numbers]
    lines = ["".join(f"<th{kind}>{cell}</th>" for cell, kind in zip(head, look, strict=True))]
    for row in rows:
        cells = zip(row, look, strict=True)
        lines.append("".join(cell if cell.startswith("<td") else f"<td{kind}>{cell}</td>" for cell, kind in cells))
    return f"<div class=scroll><table{shape and f' class={shape}'}><tr>{'</tr><tr>'.join(lines)}</tr></table></div>"


def _bar(share: float) -> str:
    return f'<td class=bar><span style="width:{100 * share:.1f}%"></span></td>'


def _isolation(result: dict[str, Any]) -> str:
    held = result["isolation"]
    lacks = "; ".join(f"{name} ({why})" for name, why in held["missing"].items())
    said = f"Isolation level {held['level']}: {', '.join(held['enforced'])}."
    return said + (f" Missing: {lacks}." if lacks else "")


def _apart(result: dict[str, Any]) -> str:
    """For a student: the plain fact, and by name what the machine could not give."""
    return f"{_APART} {_isolation(result)}" if result["isolation"]["missing"] else _APART


def _mark(entry: dict[str, Any]) -> str:
    return "not graded" if entry["score"] is None else f"{entry['score']:g} / {entry['max_score']:g}"


def _score(entry: dict[str, Any]) -> str:
    return "–" if entry["score"] is None else f"{entry['score']:g}"


def _sentence(text: str) -> str:
    """A full stop at the end, where there is none."""
    text = text.strip()
    return text if text.endswith((".", "!", "?", "…", ":")) or not text else text + "."


def _plain(value: Any) -> str:
    """Text with nothing in it that acts on a terminal or turns the writing direction round."""
    return "".join(c if c in "\n\t" else printable(c) for c in str(value))


def _text(value: Any) -> str:
    return html.escape(_plain(value))


#: what acts in some renderer even where it is escaped: addresses, mentions, numbers of issues, tags, formulas
_ACTS = re.compile(r"://|www\.|[@<$]|#\d|&[#\w]|\bGH-\d|[0-9a-f]{7}|[^\W\d]\.\w|\w\.[^\W\d]|(?<!\w)\.\w", re.IGNORECASE)
_MARKUP = re.compile(r"[\\`*\[\]~]|(?<![^\W_])_|_(?![^\W_])")


def _inline(text: Any) -> str:
    r"""Text in a line of Markdown that shows it as it was written.

    Examples
    --------
    >>> print(_inline("* write to @all, or I_t *= 2 in hw.py."))
    \* write to `@all`, or I_t \*= 2 in `hw.py`.
    """
    shown = " ".join(map(_word, _plain(text).split()))
    # at the beginning these make a heading, a quote, a rule or a list
    return re.sub(r"^(?=[#>=]|[-+](?:[-+ ]|$))|^(\d+)(?=[.)](?: |$))", r"\1\\", shown)


def _word(word: str) -> str:
    if not _ACTS.search(word):
        return _MARKUP.sub(r"\\\g<0>", word)
    inner = word.lstrip("(\"'")
    code = inner.rstrip(".,;:!?\"'") or inner
    while code.endswith(")") and code.count(")") > code.count("("):
        code = code[:-1].rstrip("\"'")
    return word[: len(word) - len(inner)] + _code(code) + inner[len(code) :]


def _code(text: Any) -> str:
    """Text as code in a line of Markdown."""
    text = " ".join(_plain(text).split())
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{space}{text}{space}{ticks}" if text else ""


def _fenced(text: str, language: str) -> list[str]:
    """A block of code whose fence is longer than any in it."""
    text = _plain(text).strip("\n")
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return [fence + language, *text.split("\n"), fence]
