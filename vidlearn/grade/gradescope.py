"""For Gradescope: one result as the ``results.json`` of an autograder."""

from __future__ import annotations

import html
import re
from typing import Any

from vidlearn.grade import report
from vidlearn.grade.intake import printable

__all__ = ["gradescope"]

_MOST_OUTPUT = 16_000  # characters of printed text that Gradescope is given for a question


def gradescope(result: dict[str, Any], visibility: dict[str, str] | None = None) -> dict[str, Any]:
    """One result as Gradescope's ``results.json``.

    Parameters
    ----------
    result
        One entry of what `vidlearn.grade.grade` returns.
    visibility
        What students see of a question, by operation: ``visible``, ``hidden``, ``after_published`` or
        ``after_due_date``. A question that is not named is visible if its result tells anything, and hidden if not:
        the grader leaves the findings out of what students are not to see.

    Returns
    -------
    dict
        Ready for `json.dump`. All text is declared as ``text``, which Gradescope shows as it is. A submission that
        was *not run* has no score: Gradescope then reports a failed autograder, not a zero.

    Examples
    --------
    >>> result = {"student": "ada", "submission": "ada.py", "score": 2.0, "max_score": 3, "status": "partly",
    ...           "questions": [{"operation": "flow.warp", "score": 2.0, "max_score": 3, "status": "partly",
    ...                          "findings": [{"kind": "breaks", "text": "outside", "points": 0}], "output": ""}]}
    >>> made = gradescope(result)
    >>> made["score"], made["tests"][0]["visibility"], made["tests"][0]["output"]
    (2.0, 'visible', 'partly\\nNone of 1 holds yet\\nbreaks: outside\\ntry it: run vl.check(warp) below your function: it shows an input on which it fails.')
    """
    tests = []
    for number, (question, story) in enumerate(zip(result["questions"], report.stories(result), strict=True), 1):
        name = question["operation"]
        test = {
            "name": _clean(name), "number": str(number), "max_score": question["max_score"],
            "visibility": (visibility or {}).get(name) or ("visible" if question.get("findings") else "hidden"),
            "output": _text(question["status"], story), "output_format": "text", "name_format": "text",
        }  # fmt: skip
        if question["score"] is not None:
            test["score"] = question["score"]
            test["status"] = "passed" if question["status"] == "correct" else "failed"
        tests.append(test)
    # the overall status would tell of hidden questions; the total is kept from students by Gradescope itself then
    told = f": {result['status']}" if all(test["visibility"] == "visible" for test in tests) else ""
    made: dict[str, Any] = {
        "output": _clean(result["submission"] + told), "output_format": "text",
        "test_output_format": "text", "test_name_format": "text", "stdout_visibility": "hidden", "tests": tests,
    }  # fmt: skip
    if result["score"] is None:  # not graded is not zero, not even in part
        for test in tests:
            test.pop("score", None)
            test.pop("status", None)
    else:
        made["score"] = result["score"]
    return made


def _text(status: str, story: list[report.Block]) -> str:
    """What the student's page says of one question, in its order and its words, as plain lines."""
    lines = [status]
    for kind, text, points in story:
        if kind == "printed":
            text = text[:_MOST_OUTPUT] + (" … (cut)" if len(text) > _MOST_OUTPUT else "")
        if kind == "try it":
            text = html.unescape(re.sub("</?code>", "", text))
        if kind in report.TITLES:
            lines.append(f"{report.TITLES[kind]}:\n{text}")
        else:
            earned = f" ({points})" if points and (kind, points) != ("breaks", "0") else ""
            lines.append(f"{kind and kind + ': '}{text}{earned}")
    return _clean("\n".join(lines))


def _clean(text: str) -> str:
    """Text with nothing in it that a terminal or a browser acts on, besides line breaks and tabs."""
    return re.sub(r"[^\n\t]+", lambda part: printable(part[0]), text)
