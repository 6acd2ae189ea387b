"""Reading a submission: cells, IPython lines, definitions and stubs."""

import ast
import contextlib
import inspect
import json
import linecache
import sys
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidlearn.sandbox import submission
from vidlearn.sandbox.submission import Reading, Submission, Unreadable


def cells(*sources):
    return json.dumps({"cells": [{"cell_type": "code", "source": source} for source in sources]}).encode()


def test_the_last_definition_counts_unless_it_is_only_a_stub():
    work = Submission(
        cells("def f(): return 1", "def f(): return 2", "def f():\n    raise NotImplementedError"), ".ipynb"
    )
    assert work.load("f")() == 2


@pytest.mark.parametrize(
    "body", ["pass", "...", '"""Later."""', "raise NotImplementedError", "raise NotImplementedError('x')"]
)
def test_an_empty_body_is_untouched(body):
    assert Submission(f"def f(x):\n    '''Doc.'''\n    {body}\n".encode(), ".py").untouched("f")


@pytest.mark.parametrize("body", ["return None", "x = 1", "raise ValueError", "if x: raise NotImplementedError"])
def test_anything_else_is_an_attempt(body):
    assert not Submission(f"def f(x):\n    {body}\n".encode(), ".py").untouched("f")


def test_a_function_is_graded_before_later_cells_run():
    work = Submission(cells("k = 1", "def f(): return k", "k = 2", "def g(): return k"), ".ipynb")
    f = work.load("f")
    assert f() == 1
    assert work.load("g")() == 2


def test_names_defined_only_later_are_found_even_through_other_functions():
    work = Submission(
        cells("def f(): return g()", "def g(): return h() + C", "def h(): return 1", "C = 2", "1/0"), ".ipynb"
    )
    assert work.load("f")() == 3 and work.errors == []


@pytest.mark.parametrize(
    "later",
    [
        ["K = int('2')"],
        ["K = [2 for _ in range(1)]\nK = sum(K)"],  # the whole cell, in order
        ["K = twice(D)", "def twice(x): return x + E", "D = int('1')", "E = int(D)"],  # and what it needs itself
        ["K = [2][0]\nimport math", "K = int('x')"],  # the first cell, as whoever runs them from the top would have it
        ["for K in range(3): pass"],
        ["print(K := 2)"],
    ],
)  # fmt: skip
def test_what_a_later_cell_computes_is_found(later):
    work = Submission(cells("def f(): return K", "raise ValueError", *later, "f()"), ".ipynb")
    assert work.load("f")() == 2 and work.errors == []


def test_what_a_partial_a_decorator_or_a_method_calls_is_found_in_later_cells():
    source = """
import functools
def wrapped(function):
    @functools.wraps(function)
    def inner(*args): return function(*args)
    return inner
class Any:
    def g(self): return K
@wrapped
def a(): return K
b = functools.partial(lambda x: K + x, 0)
c = Any().g
def d(): return b()
"""
    for name in "abcd":
        assert Submission(cells(source, "K = int('2')"), ".ipynb").load(name)() == 2


def test_a_name_that_is_only_an_attribute_runs_no_later_cell():
    work = Submission(cells("def f(x): return x.real", "real = 1 / 0"), ".ipynb")
    assert work.load("f")(2) == 2 and work.errors == []


def test_what_fills_in_a_name_changes_no_other():
    work = Submission(cells("def g(): return 1\ndef f(): return g() + K", "K, g = int('1'), None"), ".ipynb")
    assert work.load("f")() == 2


def test_an_error_in_a_later_cell_that_is_needed_is_told():
    work = Submission(cells("def f(): return K", "K = 1 / 0"), ".ipynb")
    work.load("f")
    assert work.errors == ["cell 2, line 1: ZeroDivisionError: division by zero"]


def test_what_computes_is_not_run_where_definitions_alone_are():
    work = Submission(cells("def f(): return K", "K = int('2')"), ".ipynb")
    work.load("f", everything=False)
    assert "K" not in work.names


@pytest.mark.parametrize(
    "source",
    [
        "for _ in [0]:\n    def f(): return 1",
        "while True:\n    def f(): return 1\n    break",
        "match 1:\n    case 1:\n        def f(): return 1",
        "(f := lambda: 1)",
        "with open('/dev/null') as _:\n    f = lambda: 1",
        "for f in [lambda: 1]: pass",
        "match (lambda: 1):\n    case f: pass",
        "def f(): return f.answer\nf.answer = 1",
        "try:\n    1 / 0\nexcept ArithmeticError:\n    def f(): return 1",
    ],
)
def test_a_function_is_found_wherever_it_is_bound(source):
    work = Submission(source.encode(), ".py")
    assert not work.untouched("f") and work.load("f")() == 1


@pytest.mark.parametrize(
    "source", ["def g():\n    f = 1", "g = lambda: (f := 1)", "[f for f in [1]]", "g = f", "g[f] = 1"]
)
def test_a_name_that_is_bound_inside_something_or_only_read_is_no_definition(source):
    assert Submission(source.encode(), ".py").position("f") == -1


def test_definitions_alone_can_be_run():
    work = Submission(cells("import math\nx = 3", "raise SystemExit", "def f(): return math.floor(2.5) + x"), ".ipynb")
    assert work.load("f", everything=False)() == 5 and work.errors == []


@pytest.mark.parametrize(
    "cell",
    [
        "%matplotlib inline\nx = 1", "!ls -l\nx = 1", "x?\nx = 1", "?x\nx = 1", "%%time\nx = 1", "%%bash\necho x = 1",
        "for i in range(2):\n    %time i\nx = 1", "text = '''\n%s\n'''\nx = 1", "y = (7\n% 4)\nx = 1",
    ],
)  # fmt: skip
def test_ipython_lines_do_not_break_a_cell(cell):
    work = Submission(cells("x = 1", cell, "def f(): return x"), ".ipynb")
    assert work.load("f")() == 1 and work.errors == []


def test_a_long_line_of_blanks_in_what_is_not_python_is_soon_read():
    work = Submission(cells("?" + " " * 400_000 + "x\n" + " " * 400_000 + "x y", "def f(): return 1"), ".ipynb")
    assert work.load("f")() == 1


def test_text_with_percent_signs_is_left_alone():
    work = Submission(cells("text = '''\n%matplotlib\n'''", "def f(): return text"), ".ipynb")
    assert work.load("f")() == "\n%matplotlib\n"


def test_a_percent_script_loses_only_the_cell_with_the_error():
    work = Submission(b"# %%\nx = 1\n# %% [markdown]\n# words\n# %%\nbroken here\n# %%\ndef f(): return x\n", ".py")
    assert work.load("f")() == 1
    assert len(work.errors) == 1 and "line 6" in work.errors[0]


def test_an_error_in_a_cell_names_the_cell_and_the_line():
    work = Submission(cells("x = 1\ny = x / 0", "def f(): return x"), ".ipynb")
    assert work.load("f")() == 1
    assert work.errors == ["cell 1, line 2: ZeroDivisionError: division by zero"]


def test_older_notebooks_with_worksheets_are_read():
    raw = json.dumps(
        {"worksheets": [{"cells": [{"cell_type": "code", "input": ["def f():\n", "    return 1"]}]}]}
    ).encode()
    assert Submission(raw, ".ipynb").load("f")() == 1


def test_what_is_no_function_is_said_to_be_none():
    with pytest.raises(LookupError, match="f is not a function here"):
        Submission(b"f = 3", ".py").load("f")


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b"3", b'{"cells": 3}', b'{"cells": [3]}', b'{"cells": [{}]}', b"\xff\xfe", b"[" * 50_000,
     b'{"cells": [{"cell_type": "code", "source": 3}]}'],
)  # fmt: skip
def test_a_broken_notebook_is_unreadable_with_a_sentence(raw):
    with pytest.raises(Unreadable, match=r"the file (is|ends)"):
        Submission(raw, ".ipynb")


@given(st.binary(max_size=200), st.sampled_from([".py", ".ipynb"]))
def test_no_bytes_do_more_than_make_a_file_unreadable(raw, suffix):
    try:
        work = Submission(raw, suffix)
    except Unreadable as error:
        assert str(error)
    else:
        assert work.untouched("no_such_name")


@given(st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["cells", "cell_type", "source", "worksheets", "code"]), inner, max_size=3),
))  # fmt: skip
def test_no_json_does_more_than_make_a_notebook_unreadable(value):
    try:
        Submission(json.dumps(value).encode(), ".ipynb")
    except Unreadable:
        return


BROKEN = """import numpy as np
K = 2

@np.vectorize
def a(x):
    '''Text
in column 0'''
    return K * x

def b(x)
    return x

def c(x):
    return [x, 2
if K:
    D = 3
else:
    D = 4
prnt D

def d():
    return D
"""


def test_in_a_python_file_only_the_broken_definitions_are_lost_and_each_is_named_by_line():
    work = Submission(BROKEN.encode(), ".py")
    assert work.load("a")(3) == 6 and work.load("d")() == 3
    assert [error.split(":")[0] for error in work.errors] == [f"the file, line {n}" for n in (10, 14, 19)]
    for name, line in ("b", 10), ("c", 14):
        assert not work.untouched(name)
        with pytest.raises(
            LookupError, match=f"the part with {name} can't be read: the file, line {line}: SyntaxError"
        ):
            work.load(name)


def test_in_a_cell_of_a_python_file_too():
    work = Submission(b"# %%\ndef a(): return 1\n# %%\ndef b(): return 2\ndef c(: return 3\n", ".py")
    assert work.load("a")() + work.load("b")() == 3
    assert work.errors == ["cell 2, line 5: SyntaxError: invalid syntax"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Dear all\n\nhere is no answer\nGoodbye\n", 1),
        ("import numpy as np\n\ndef f(:\n    return 1\n", 3),
        ("x = 1\ny = (\n", 2),
        ("def f(): pass\n" + "y = (\n" * 2000, 202),  # nobody's exercise: it is not looked through
    ],
)
def test_a_file_in_which_no_definition_can_be_read_is_unreadable_and_the_sentence_names_the_line(text, line):
    with pytest.raises(Unreadable, match=rf"^the file, line {line}: SyntaxError: "):
        Submission(text.encode(), ".py")


def counted(monkeypatch, work, *args):
    """How many characters are parsed meanwhile."""
    parsed, parse = [], ast.parse
    monkeypatch.setattr(submission.ast, "parse", lambda text: parsed.append(len(text)) or parse(text))
    with contextlib.suppress(Unreadable):
        work(*args)
    monkeypatch.setattr(submission.ast, "parse", parse)
    return sum(parsed)


@pytest.mark.parametrize(
    "text",
    [
        "# %%\n" * 2_000,
        "# %%\nx y\n" * 1_000,
        "\n" * 2_000 + "def f(:\n pass\n" * 900,
        "def g(): pass\n" + "\n" * 2_000 + "x y\n" * 900,
        'x = """\n' * 501 + "def f(:\n",
        "<<<<<<< a\n" * 500 + "def f(): pass\n",
    ],
)
def test_the_work_on_a_file_grows_with_its_length_and_no_faster(text, monkeypatch):
    assert counted(monkeypatch, Submission, text.encode(), ".py") <= 10 * len(text)


def test_a_file_of_more_than_is_asked_for_is_not_even_cut(monkeypatch):
    raw = b"# %%\n" * 100_000
    with pytest.raises(Unreadable, match="500,000 characters of code; at most 1,000 are read"):
        Reading(raw, ".py", 1_000)
    assert counted(monkeypatch, Reading, raw, ".py", 1_000) == 0
    assert Reading(cells("x = 1") + b" " * 2_000, ".ipynb", 1_000).position("x") == 0  # only its code counts


@pytest.mark.parametrize("encoding", ["punycode", "idna"])
def test_an_encoding_that_is_slow_to_read_is_refused(encoding):
    with pytest.raises(Unreadable, match=f"nobody writes in {encoding}"):
        Submission(f"# -*- coding: {encoding} -*-\nx = 1\n".encode(), ".py")


def test_lines_are_those_of_the_file_in_errors_and_in_tracebacks():
    work = Submission(b"# %%\nx = 1\n\n# %%\n\ndef f(): return 1 / 0\ny = x / 0\n\ndef g():\n\n  pass\n oops\n", ".py")
    f = work.load("f")
    with pytest.raises(ZeroDivisionError) as caught:
        f()
    frame = traceback.extract_tb(caught.tb)[-1]
    assert (frame.filename, frame.lineno, frame.line) == ("<cell 2>", 6, "def f(): return 1 / 0")
    assert inspect.getsource(f) == "def f(): return 1 / 0\n"
    said = "IndentationError: unindent does not match any outer indentation level"
    assert work.errors == [f"cell 2, line 12: {said}"]


def test_a_line_number_within_a_sentence_is_the_files_too():
    work = Submission(b"def f(): return 1\n\n\ndef g(x):\n    if x:\n    return x\n", ".py")
    assert work.errors == [
        "the file, line 6: IndentationError: expected an indented block after 'if' statement on line 5"
    ]


ANSWER = "def f():\n    return 1\n"
EARLIER = 'first try:\ndef f():\n    return 2\n\ndef g():\n    """a"""\n    return 3\n'.replace('"""', "'''")


@pytest.mark.parametrize(
    "source",
    [
        f'{ANSWER}OLD = """\n{EARLIER}"""\n',
        f'{ANSWER}"""\n{EARLIER}"""\n',
        f'def h():\n    y = """\n{EARLIER}"""\n    return y\n'.replace("first try:\n", "", 1) + ANSWER,
        f'"""\n{EARLIER}"""\n{ANSWER}',
        f"# it's \"\"\" here\n{ANSWER}OLD = r'''\\\n{EARLIER}'''\n".replace("'''a'''", "'a'"),
        f'{ANSWER}text = "\\"" + """{EARLIER}"""\n',
    ],
)
@pytest.mark.parametrize("mistake", ["", "wasn't here\n", "def g(:\n    pass\n", "x = (\n"])
def test_a_definition_in_a_string_is_none_in_a_broken_file_either(source, mistake):
    work = Submission((source + mistake).encode(), ".py")
    assert work.load("f")() == 1 and len(work.broken) == bool(mistake)


def test_after_a_mistake_in_a_file_with_a_string_without_an_end_nothing_is_guessed():
    work = Submission(
        f'{ANSWER}\ndef g():\n    """Text\n    return 1\n\ndef h():\n    """More."""\n\n{ANSWER}'.encode(), ".py"
    )
    assert work.load("f")() == 1
    for name in "gh":
        with pytest.raises(LookupError, match=f"the part with {name} can't be read: the file, line "):
            work.load(name)


@pytest.mark.parametrize(
    "conflict",
    [
        "<<<<<<< HEAD\ndef g():\n    return 1\n=======\ndef g():\n    return 2\n>>>>>>> theirs\n",
        "def g():\n    y = 1\n<<<<<<< HEAD\n    return y\n=======\n    return 2\n>>>>>>> theirs\n",
        "def g():\n    y = 1\n<<<<<<< HEAD\n=======\n    y = 2\n>>>>>>> theirs\n    return y\n",
        "def g():\n<<<<<<< HEAD\n    return 1\n||||||| base\n    return 0\n=======\n    return 2\n>>>>>>> theirs\n",
    ],
)
@pytest.mark.parametrize("around", ["def f():\n    return 1\n{}", "{}def f():\n    return 1\n"])
def test_of_two_versions_that_git_could_not_merge_none_is_chosen(conflict, around):
    work = Submission(around.format(conflict).encode(), ".py")
    assert work.load("f")() == 1 and not work.untouched("g")
    with pytest.raises(
        LookupError, match=r"^the part with g can't be read: the file, line \d: a merge conflict; keep one"
    ):
        work.load("g")


def test_a_file_that_is_nothing_but_a_merge_conflict_says_so():
    with pytest.raises(Unreadable, match=r"^the file, line 1: a merge conflict; keep one version"):
        Submission(f"<<<<<<< HEAD\n{ANSWER}=======\n{ANSWER}>>>>>>> b\n".encode(), ".py")


@pytest.mark.parametrize("before", ["", "%matplotlib inline\n"])
def test_a_line_that_looks_like_a_cells_begins_none_within_a_statement(before):
    source = f'# %%\n{before}HELP = """\n# %% cells\n"""\n# %%\ndef f():\n    """Text\n# %%\n"""\n# %% not here\n    return HELP\n'
    work = Submission(source.encode(), ".py")
    assert work.load("f")() == "\n# %% cells\n" and work.errors == []
    assert [cell.place for cell in work.cells] == ["cell 1", "cell 2"]


@pytest.mark.parametrize("suffix", [".py", ".ipynb"])
def test_ipython_lines_with_windows_line_ends_do_not_break_a_file(suffix):
    text = "import math\r\nmath?\r\n!ls\r\ndef f(): return 1\r\n"
    raw = text.encode() if suffix == ".py" else cells(text)
    work = Submission(raw, suffix)
    assert work.load("f")() == 1 and work.errors == []


@pytest.mark.parametrize(
    ("source", "called"),
    [
        ("def warp(): pass\ndef f(): return warp()", ["warp"]),
        ("def warp(): pass\ndef g(): return [warp() for _ in 'ab']\ndef f(): return g()", ["warp"]),
        ("def warp(): pass\ndef f(): return h()\ndef h(): return warp()", ["warp"]),  # through a function below it
        ("def warp(): pass\ndef f(a, b):\n    warp = a - b\n    return warp", []),
        ("def warp(): pass\ndef f(warp): return warp()", []),
        ("def warp(): pass\nimport v\ndef f(): return v.warp()", []),
        ("def warp(): pass\ndef f(): return warp()\ndef f(): return 1", []),  # an earlier attempt
        ("def warp(): pass\ndef f(): return warp()\ndef f(): pass", ["warp"]),  # an empty cell pasted back
        ("class A:\n    def warp(self): pass\ndef f(): return warp()", []),
        ("def f(): return warp()\ndef warp(): return f()", []),  # who wrote from top to bottom began with f
        ("def dense(): return 1\ndef warp(): return dense()\ndef f(): return warp()", ["warp"]),  # the next one tells
        ("f = 1", []),
        ("def warp(): pass\nreturn warp\ndef f(): return warp()\nf = f\nreturn f", []),
    ],
)  # fmt: skip
def test_which_other_answers_above_it_a_function_looks_up(source, called):
    assert Reading(source.encode(), ".py").calls("f", {"warp", "dense"}) == called


def test_reading_runs_nothing_and_leaves_no_trace():
    main, lines = sys.modules["__main__"], dict(linecache.cache)
    Reading(cells("raise SystemExit"), ".ipynb")
    assert sys.modules["__main__"] is main and linecache.cache == lines
