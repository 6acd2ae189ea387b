"""Reports: what a student reads, and what the teacher sees of a class."""

import html
import json
import re

import numpy as np
import pytest

from vidlearn.grade import SAMPLES, Assignment, grade, report

TOML = """
[assignment]
id = "01_test"
title = "Exercise <01> | test"

[[question]]
operation = "flow.normal_flow"
points = 10

[[question]]
operation = "flow.linearized_residual"
points = 5
"""

EVIL = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](https://evil.example/a)",
    "![picture](https://evil.example/a.png)",
    "https://evil.example/b and www.evil.example",
    "<https://evil.example/c>",
    "see https://intranet/page",
    "a _slanted_ word",
    "GH-12 and 0123abcdef",
    "@everyone see #12 and octo/cat#3",
    "| a | b |\n|---|---|\n| c | d |",
    "a `b` ``c`` ```\n<b>out</b>\n```` d",
    "`",
    "``````\n# heading",
    "# heading",
    "- item\n- item",
    "1. item",
    "> quote",
    "**bold** _slanted_ ~~gone~~ __x__ $x$",
    "title\n===\nother\n---",
    "    indented",
    "&lt;b&gt; &#60;b&#62; \\<b>",
    "</pre></details></table></body>",
    "\x1b[2J\u202etxt\x00",
    "[x]: https://evil.example/d\n\n[x]",
    "<!-- x",
    "```\n~~~\n```",
]


@pytest.fixture
def assignment(tmp_path):
    (tmp_path / "a.toml").write_text(TOML)
    return Assignment.read(tmp_path / "a.toml")


def question(operation, status, score, most, *findings, output=""):
    told = [dict(zip(("kind", "text", "points"), finding, strict=False)) for finding in findings]
    return {
        "operation": operation, "status": status, "score": score, "max_score": most, "findings": told, "output": output,
    }  # fmt: skip


def result(student, status, score, *questions, **more):
    held = {"level": "A", "enforced": ["seccomp"], "missing": {}}
    return {
        "student": student, "submission": f"{student}.py", "status": status, "score": score, "max_score": 15,
        "isolation": held, "questions": list(questions), **more,
    }  # fmt: skip


def right(student):
    return result(
        student, "correct", 15,
        question("flow.normal_flow", "correct", 10, 10, ("holds", "gradient vanishes", 10)),
        question("flow.linearized_residual", "correct", 5, 5, ("holds", "grey", 5)),
    )  # fmt: skip


def wrong(student, mistake="sign of I_t", broken=("gradient vanishes",)):
    return result(
        student, "partly", 5,
        question(
            "flow.normal_flow", "wrong", 0, 10, *(("breaks", name, 0) for name in broken),
            *([("looks like", mistake), ("hint", "Write it down.")] if mistake else []),
        ),
        question("flow.linearized_residual", "correct", 5, 5, ("holds", "grey", 5)),
    )  # fmt: skip


def hostile(text):
    """A result in which a student got his text into every place that there is."""
    findings = [(kind, text) for kind in ("note", "smallest", "looks like", "hint", "traceback", "holds", "breaks")]
    first = question("flow.normal_flow", "wrong", 0, 10, *findings, output=text)
    second = question("flow.linearized_residual", "not run", None, 5, ("note", text))
    missing = {"level": "B", "enforced": ["seccomp"], "missing": {"namespaces": text}}
    return result(text, "not run", None, first, second, notes=[text], isolation=missing) | {"submission": text}


@pytest.mark.parametrize("text", EVIL)
def test_markdown_shows_a_students_text_and_does_nothing_else_with_it(text):
    markdown_it = pytest.importorskip("markdown_it", reason="not run, because markdown-it-py is not installed")
    made = report.markdown(hostile(text), "Exercise 01")
    tokens = markdown_it.MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(made)
    kinds = {token.type for token in tokens} | {c.type for token in tokens for c in token.children or ()}
    ours = {"heading", "paragraph", "bullet_list", "list_item", "strong"}
    assert kinds <= {f"{kind}_{end}" for kind in ours for end in ("open", "close")} | {
        "inline", "text", "softbreak", "code_inline", "fence",
    }  # fmt: skip
    headings = [token.tag for token in tokens if token.type == "heading_open"]
    assert headings == ["h1", "h2", "h2"], "a student's text must not become a heading"
    plain = [c.content for token in tokens for c in token.children or () if c.type == "text"]
    # GitHub and others make links of these where they stand as text
    assert not any(re.search(r"://|www\.|@|#\d|GH-\d|[0-9a-f]{7}", part) for part in plain)
    fences = [token.content for token in tokens if token.type == "fence"]
    assert len(fences) == 3 and len(set(fences)) == 1, "smallest, traceback and printed, each in one block"
    assert all(c.isprintable() or c == "\n" for c in made)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Not graded: two files (a.py, b.py) could be it.", "Not graded: two files (a.py, b.py) could be it."),
        ("I_x u + I_y v + I_t = 0", "I_x u + I_y v + I_t = 0"),
        ("1. write *this* to @all", "1. write *this* to @all"),
        ("3.5 of 4", "3.5 of 4"),
        ("- a [b] ~c~ _d_ `e` \\\\ |f|", "- a [b] ~c~ _d_ `e` \\\\ |f|"),
    ],
)
def test_a_sentence_is_text_in_markdown_and_reads_as_it_was_written(said, shown):
    markdown_it = pytest.importorskip("markdown_it", reason="not run, because markdown-it-py is not installed")
    told = question("flow.normal_flow", "wrong", 0, 10, ("hint", said))
    parts = markdown_it.MarkdownIt("commonmark").parse(report.markdown(result("ada", "wrong", 0, told), "T"))
    line = next(part.children for part in parts if part.content.startswith("**hint**"))
    assert "".join(part.content for part in line) == f"hint: {report._sentence(shown)}"
    code = [part.content for part in line if part.type == "code_inline"]
    assert all(part in ("a.py", "b.py", "@all") for part in code), "only what would act is code"


@pytest.mark.parametrize("text", EVIL)
def test_pages_hold_a_students_text_as_text(text, assignment):
    for made in (report.page(hostile(text), "T"), report.class_page([hostile(text), right("b")], assignment)):
        body = made.split("<body", 1)[1]
        known = {"h1", "h2", "p", "span", "table", "tr", "td", "th", "pre", "code", "details", "summary", "footer", "a",
                 "h3", "div", "svg", "rect", "text", "line", "body", "html"}  # fmt: skip
        assert {tag.lower() for tag in re.findall(r"</?([A-Za-z!][\w-]*)", body)} <= known
        assert "onerror=" not in re.sub(r">[^<]*<", "><", body), "no attribute may come from a student"
        links = re.findall(r'href="([^"]*)"', body)
        assert all(re.fullmatch(r"reports/[A-Za-z0-9._-]+\.html", link) for link in links)
        assert made.count("</body>") == 1 and made.endswith("</html>\n")
        assert all(c.isprintable() or c in "\n\t" for c in made)
    visible = "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
    assert html.escape(visible) in report.page(hostile(text), "T")


def test_pages_need_no_script_and_no_other_file(assignment):
    for made in (report.page(right("ada"), "T"), report.class_page([right("ada")], assignment)):
        assert "default-src 'none'" in made
        assert not re.search(r"<script|<link|<img|src=|url\(|@import|http", made.replace("http-equiv", ""))


def test_a_student_reads_what_is_right_before_what_breaks_and_what_to_do_after():
    told = question(
        "flow.normal_flow", "partly", 6, 10, ("breaks", "B", 0), ("looks like", "L"), ("hint", "T"), ("note", "N"),
        ("smallest", "Ix = 1"), ("holds", "H", 6), ("traceback", "R"), output="P",
    )  # fmt: skip
    made = report.markdown(result("ada", "partly", 6, told), "Title")
    order = [
        "6 / 15",
        "6 / 10",
        "1 of 2 hold",
        "holds",
        "breaks",
        "note",
        "smallest input",
        "looks like",
        "hint",
        "try it",
    ]
    order += ["Where it stopped", "What it printed"]
    places = [made.index(word) for word in order]
    assert places == sorted(places)
    page = report.page(result("ada", "partly", 6, told), "Title")
    found = re.findall(r"<tr><td>([^<]*)</td>", page)
    assert found == ["holds", "breaks", "note", "smallest", "looks like", "hint", "try it", "traceback", "printed"]


@pytest.mark.parametrize("note", ["it calls your warp, which is not right either: begin there", "another"])
def test_to_mend_another_answer_first_is_said_where_this_one_calls_it(note):
    wrong = [question(name, "wrong", 0, 5, ("breaks", "B", 0), ("note", note)) for name in ("flow.warp", "flow.dense")]
    assert report.markdown(result("a", "wrong", 0, *wrong), "T").count(
        "mend what it calls first"
    ) == 2 * note.startswith("it")


def test_a_file_that_could_not_be_read_is_told_once():
    broken = [question(name, "unreadable", 0, 5, ("note", "it was cut off")) for name in ("flow.warp", "flow.dense")]
    for made in (report.page(result("a", "unreadable", 0, *broken), "T"),
                 report.markdown(result("a", "unreadable", 0, *broken), "T")):  # fmt: skip
        assert made.count("it was cut off") == 1 and made.count("try it") == 1


def test_not_graded_is_not_shown_as_zero(assignment):
    missing = result("ada", "not run", None, *(question(q, "not run", None, 5, ("note", "two files")) for q in "ab"))
    assert "not graded" in report.markdown(missing, "T") and "This is not a zero" in report.markdown(missing, "T")
    page = report.class_page([missing, right("ben")], assignment)
    assert "mean 15.00, median 15.00 of 15; 1 not graded" in page
    assert re.search(r"a person has to look.*ada.*two files", page, re.DOTALL)


def test_marks_only_means_marks_only():
    bare = question("flow.normal_flow", "wrong", 0, 10)
    made = report.markdown(result("ada", "wrong", 0, bare), "T")
    assert "Only the mark is shown" in made and "try it" not in made


def text_of(page):
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.split("</style>")[1])).split())


def test_the_class_page_counts_what_breaks_among_the_answers_that_could_be_looked_at(assignment):
    class_ = [right("a"), right("b"), wrong("c"), wrong("d", broken=("gradient vanishes", "points along the gradient"))]
    idle = question("flow.normal_flow", "not attempted", 0, 10, ("note", "empty"))
    class_.append(result("e", "not attempted", 0, idle, {**idle, "operation": "flow.linearized_residual"}))
    text = text_of(report.class_page(class_, assignment))
    assert "normal_flow cases gradient vanishes 2 of 4 50%" in text
    assert "normal_flow law points along the gradient 1 of 4 25%" in text
    assert text.index("gradient vanishes 2 of 4") < text.index("points along the gradient 1 of 4")
    assert "flow.normal_flow 10 4.00 0.00 40% 1" in text, "points, mean, median, share right, not attempted"
    assert "5 submissions" in text and "mean 8.00, median 5.00 of 15" in text
    svg = report.class_page(class_, assignment).split("<svg")[1]
    assert "1 from 0, 2 from 4.5, 2 from 13.5" in svg


def test_the_class_page_names_the_commonest_mistakes_and_who_made_them(assignment):
    class_ = [wrong("c"), wrong("d"), wrong("e", "forgot the norm"), wrong("<f>", None), right("g")]
    page = report.class_page(class_, assignment)
    text = text_of(page)
    assert re.search(r"sign of I_t · flow.normal_flow · 2 answers .* c , d .*forgot the norm .* 1 answer .* e ", text)
    assert (
        "1 answer to flow.normal_flow that is not correct looks like none of the mistakes that have a name: <f>" in text
    )
    assert '<a href="reports/c.html">c</a>' in page and '<a href="reports/f.html">&lt;f&gt;</a>' in page


def idle(student, status="not attempted"):
    return result(
        student, status, 0, question("flow.normal_flow", status, 0, 10, ("note", "there is no such function"))
    )


@pytest.mark.parametrize(
    ("class_", "asked"),
    [
        ([idle("a"), idle("b", "unreadable"), idle("c", "not run")], True),
        ([idle("a"), right("b")], False),
        ([idle("a", "unreadable")], False),
        ([idle("a"), idle("b", "crashed")], False),
    ],
)
def test_where_nobody_tried_any_question_the_class_page_asks_for_the_right_assignment(assignment, class_, asked):
    assert ("is it the right assignment?" in text_of(report.class_page(class_, assignment))) == asked


def test_the_class_page_says_who_was_late(assignment):
    late = {**right("a"), "notes": ["handed in late, says Canvas", "<b>2 attempts"]}
    page = report.class_page([late, right("b")], assignment)
    assert "a correct 15 10 5 handed in late, says Canvas; <b>2 attempts b correct 15 10 5" in text_of(page)
    assert "<th>note" in page and "<th>note" not in report.class_page([right("b")], assignment)


def test_the_layers_of_the_isolation_are_the_teachers_matter(assignment):
    assert "seccomp" in report.class_page([right("a")], assignment)
    for made in (report.page(right("a"), "T"), report.markdown(right("a"), "T")):
        assert "seccomp" not in made and "Isolation" not in made and "a process of its own" in made


def test_a_layer_that_the_machine_could_not_give_is_named_in_every_report(assignment):
    held = {"level": "B", "enforced": ["limits", "Landlock"], "missing": {"seccomp": "not <here>"}}
    result = {**right("a"), "isolation": held}
    reports = report.page(result, "T"), report.markdown(result, "T"), report.class_page([result], assignment)
    for made in reports:
        assert "Missing: seccomp (not" in made and "not <here>" not in made.replace("`not <here>`", "")


def test_a_mark_at_the_edge_of_a_bar_and_full_marks_are_counted_once(assignment):
    for score in (0, 1.5, 3, 14.99, 15):
        page = report.class_page([{**right("a"), "score": score}], assignment)
        assert len(re.findall(r"<rect[^>]*height=\"120\.0\"", page)) == 1


def test_the_links_of_the_class_page_lead_to_the_students_pages(tmp_path):
    chosen = tmp_path / "in"
    chosen.mkdir()
    for name in ("student-02.ipynb", "student-05.ipynb"):
        (chosen / name).write_bytes((SAMPLES / "submissions" / name).read_bytes())
    asked = Assignment.read(SAMPLES / "assignment.toml")
    results = grade(chosen, asked, tmp_path / "out", seed=1, examples=4)
    page = report.class_page(json.loads((tmp_path / "out" / "results.json").read_text()), asked)
    links = re.findall(r'href="([^"]*)"', page)
    assert len(links) > len(results) and all((tmp_path / "out" / link).is_file() for link in links)


def test_a_run_that_was_cut_short_leaves_no_page_that_looks_whole(tmp_path, assignment):
    (tmp_path / "in").mkdir()
    for name in "abc":
        (tmp_path / "in" / f"{name}.py").write_text(CLIPPED)

    def stop(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grade(tmp_path / "in", assignment, tmp_path / "out", seed=1, examples=3, progress=stop)
    assert "Grading has not come to its end: 3 to go." in (tmp_path / "out" / "class.html").read_text()
    grade(tmp_path / "in", assignment, tmp_path / "out", seed=1, examples=3)
    assert "Grading has not" not in (tmp_path / "out" / "class.html").read_text()


def test_three_hundred_students_fit_on_a_page(assignment):
    page = report.class_page(
        [wrong(f"student-{i}") if i % 3 else right(f"student-{i}") for i in range(300)], assignment
    )
    assert len(page) < 400_000 and "200 of 300" in page
    assert "<summary>who</summary>" in page, "two hundred names are folded away"


CLIPPED = """
import numpy as np
def normal_flow(Ix, Iy, It):
    n = Ix**2 + Iy**2
    flow = np.stack([-It * Ix, -It * Iy], axis=-1) / n[..., None]
    return flow
"""
NO_FLOW = "def linearized_residual(Ix, Iy, It, flow):\n    raise ValueError('a\\nb')\n"


def test_the_smallest_input_runs_as_it_stands_below_the_function(tmp_path, assignment):
    (tmp_path / "ada.py").write_text(CLIPPED + NO_FLOW)
    (got,) = grade(tmp_path / "ada.py", assignment, seed=1, examples=8)
    smallest = [f["text"] for q in got["questions"] for f in q["findings"] if f["kind"] == "smallest"]
    assert len(smallest) == 2
    for text, short in zip(smallest, ("normal_flow", "linearized_residual"), strict=True):
        calls = []
        space = {"np": np, short: lambda *args, calls=calls: calls.append(args)}
        exec(text, space)  # our own text, made of arrays
        assert len(calls) == 1 and all(isinstance(value, np.ndarray) for value in calls[0])
        operation = next(q.operation for q in assignment.questions if q.operation.short == short)
        operation(*calls[0])  # an input that the operation takes
    assert smallest[0].splitlines()[-1].startswith("# at y=0, x=0: expected (u, v) = (0, 0), got")
    assert smallest[1].splitlines()[-1] == "# it raises ValueError: a"


@pytest.mark.parametrize(
    ("raises", "where"), [("np.gradient(Ix, edge_order=7)", "numpy/"), ("vl.flow.normal_flow(Ix, Iy, It)", "vidlearn/")]
)
def test_a_traceback_does_not_say_where_the_grader_keeps_its_python(tmp_path, assignment, raises, where):
    (tmp_path / "ada.py").write_text(
        f"import numpy as np\nimport vidlearn as vl\ndef normal_flow(Ix, Iy, It):\n    return {raises}\n"
    )
    (got,) = grade(tmp_path / "ada.py", assignment, seed=1, examples=4)
    (story,) = [f["text"] for f in got["questions"][0]["findings"] if f["kind"] == "traceback"]
    assert "line 4" in story
    assert f'File "{where}' in story and "site-packages" not in story and 'File "/' not in story


def test_rows_say_whether_they_are_cases_or_laws(tmp_path, assignment):
    (tmp_path / "ada.py").write_text(CLIPPED)
    (got,) = grade(tmp_path / "ada.py", assignment, seed=1, examples=4)
    kinds = {f["text"]: f["row"] for f in got["questions"][0]["findings"] if f["kind"] in ("holds", "breaks")}
    assert kinds["gradient vanishes"] == "case" and kinds["points along the gradient"] == "law"
    page = report.page(got, "T")
    assert "cases: gradient vanishes" in page and "cases: points" not in page
    assert "cases: gradient vanishes" in report.markdown(got, "T")


def test_names_in_any_script_name_their_files():
    names = report.file_names(["Анна", "Борис", "李雷", "Flo Gül", "Flo Göl", "a/b", "A/B", "x" * 300, "李" * 300])
    assert names[:7] == ["Анна", "Борис", "李雷", "Flo_Gül", "Flo_Göl", "a_b", "A_B-2"]
    assert all(len(f".{name}.html.99999.part".encode()) < 255 for name in names)


def test_a_comment_field_gets_the_head_of_what_was_printed():
    question = {
        "operation": "flow.warp",
        "score": 1.0,
        "max_score": 1.0,
        "status": "correct",
        "findings": [],
        "output": "hello\n" * 9000,
    }
    result = {
        "student": "s",
        "submission": "s.py",
        "score": 1.0,
        "max_score": 1.0,
        "status": "correct",
        "isolation": None,
        "questions": [question],
    }
    text = report.markdown(result, "T")
    assert len(text) < 3000 and "… and 8,980 lines more" in text
    assert report.page(result, "T").count("hello") == 9000
