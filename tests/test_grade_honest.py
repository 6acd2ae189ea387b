"""Honest but odd submissions: full marks where the answer is right, and a sentence where something could not be used."""

import json
import textwrap

import pytest

from vidlearn.grade import Assignment, grade
from vidlearn.grade.grading import Desk, _content
from vidlearn.grade.intake import Paper

IMPORTS = "import numpy as np\nimport vidlearn as vl\n"
RIGHT = """
def normal_flow(Ix, Iy, It):
    squared = Ix**2 + Iy**2
    scale = -It / np.where(squared > 0, squared, 1)
    return np.stack([scale * Ix, scale * Iy], axis=-1)
"""
STUB = 'def normal_flow(Ix, Iy, It):\n    """Your turn."""\n    # YOUR CODE HERE\n    raise NotImplementedError\n'
TOML = {
    "assignment": {"id": "01_test", "title": "Test", "time_limit": 1, "memory_limit": 256},
    "question": [{"operation": "flow.normal_flow", "points": 10}],
}


def code(source, **more):
    return {
        "cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "execution_count": None, "source": source, **more
    }  # fmt: skip


def notebook(*cells, **metadata):
    """A notebook of code cells, as a student hands it in; a cell given as a dict is taken as it is."""
    full = [cell if isinstance(cell, dict) else code(cell, id=f"c{i}") for i, cell in enumerate(cells)]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": full}).encode()


def inside(statement, source=RIGHT):
    """The same answer with more statements at its beginning."""
    lines = textwrap.indent(textwrap.dedent(statement).strip(), "    ")
    return source.replace("    squared", f"{lines}\n    squared", 1)


def at_the_end(expression, source=RIGHT):
    """The same answer, `out`, handed back as `expression`."""
    return source.replace("return np", "out = np").rstrip() + f"\n    return {expression}\n"


@pytest.fixture(scope="module")
def desk():
    with Desk(Assignment.from_dict(TOML), seed=7, examples=4) as desk:
        yield desk


def marked(desk, source, suffix=".py"):
    """The one question's result of one submission."""
    raw = source if isinstance(source, bytes) else source.encode()
    return desk.grade(Paper("student-01", "student-01" + suffix, raw, suffix))["questions"][0]


def told(question, kind="note"):
    return [finding["text"] for finding in question["findings"] if finding["kind"] == kind]


# -- right answers in another style: all points, and nothing to complain of --------------------------------------------

LOOPS = """
def normal_flow(Ix, Iy, It):
    out = np.zeros(Ix.shape + (2,))
    for y in range(Ix.shape[0]):
        for x in range(Ix.shape[1]):
            n = Ix[y, x] ** 2 + Iy[y, x] ** 2
            if n > 0:
                out[y, x] = -It[y, x] * Ix[y, x] / n, -It[y, x] * Iy[y, x] / n
    return out
"""
STYLES = {
    # what it prints, warns and draws
    "prints": inside("print(Ix)"),
    "prints in other scripts": inside("print('Geschwindigkeit → \u901f\u5ea6 \U0001f600')"),
    "warns": inside("import warnings; warnings.warn('careful'); np.zeros(1) / 0; np.log(-1.0)"),
    "turns warnings into errors": "import warnings\nwarnings.simplefilter('error')\nnp.seterr(all='raise')\n" + RIGHT,
    "logs": "import logging\nlogging.basicConfig(level=10)\n" + inside("logging.getLogger(__name__).info('%s', Ix.shape)"),
    "pictures": """
import matplotlib.pyplot as plt
import matplotlib
from tqdm import tqdm
from vidlearn.flow import plots
matplotlib.use("Agg")
plt.rcParams["figure.figsize"] = (8, 4)
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 4))
for i in tqdm(range(3)):
    left.plot([i])
with plt.style.context("dark"):
    plots.quiver(vl.video.read("x.mp4")[0], ax=right)
axes = plt.subplots(2, 2)[1]
axes[0, 1].imshow(np.zeros((2, 2)), cmap=plt.cm.gray)
for axis in axes.flat:
    axis.axis("off")
plt.tight_layout(); plt.savefig("figure.png"); plt.show()
"""
    + RIGHT,
    "pictures from the function": "import matplotlib.pyplot as plt\n" + inside("plt.figure(); plt.imshow(Ix); plt.show()"),
    # what kind of numbers it gives
    "single precision": at_the_end("out.astype(np.float32)"),
    "Fortran order": at_the_end("np.asfortranarray(out)"),
    "a view with gaps": at_the_end("np.repeat(out, 2, axis=0)[::2]"),
    "big-endian": at_the_end("out.astype('>f8')"),
    "read-only": at_the_end("np.broadcast_to(out, out.shape)"),
    "a small epsilon": """
def normal_flow(Ix, Iy, It):
    return -It[..., None] * np.stack([Ix, Iy], -1) / (Ix**2 + Iy**2 + 1e-9)[..., None]
""",
    # how it is written
    "other names for the arguments": RIGHT.replace("Iy", "gy").replace("Ix", "gx"),
    "loops": LOOPS,
    "recursion": """
def normal_flow(Ix, Iy, It):
    if Ix.shape[0] > 1:
        return np.concatenate([normal_flow(a, b, c) for a, b, c in zip(*(np.array_split(x, 2) for x in (Ix, Iy, It)))])
    n = np.maximum(Ix**2 + Iy**2, 1e-12)
    return np.stack([-It * Ix / n, -It * Iy / n], -1)
""",
    "a generator": """
def pixels(Ix, Iy, It):
    for a, b, c in zip(Ix.flat, Iy.flat, It.flat):
        n = a * a + b * b
        yield (-c * a / n, -c * b / n) if n else (0.0, 0.0)
def normal_flow(Ix, Iy, It):
    return np.array(list(pixels(Ix, Iy, It))).reshape(Ix.shape + (2,))
""",
    "a lambda": """
normal_flow = lambda Ix, Iy, It: np.stack([-It * Ix, -It * Iy], -1) / np.maximum(Ix**2 + Iy**2, 1e-12)[..., None]
""",
    "a partial function": RIGHT.replace("def normal_flow(", "def any_flow(sign, ").replace("-It", "sign * It")
    + "import functools\nnormal_flow = functools.partial(any_flow, -1)\n",
    "a method": "class Flow:\n"
    + textwrap.indent(RIGHT.strip().replace("def normal_flow(", "def of(self, "), "    ")
    + "\nnormal_flow = Flow().of\n",
    "an object that can be called": "class Flow:\n"
    + textwrap.indent(RIGHT.strip().replace("def normal_flow(", "def __call__(self, "), "    ")
    + "\nnormal_flow = Flow()\n",
    "a static method": "class Flow:\n    @staticmethod\n"
    + textwrap.indent(RIGHT.strip().replace("normal_flow", "of"), "    ")
    + "\nnormal_flow = Flow.of\n",
    "decorated": """
import functools, time
def timed(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        start = time.perf_counter()
        answer = function(*args, **kwargs)
        print(f"{time.perf_counter() - start:.3f} s")
        return answer
    return inner
@timed
"""
    + RIGHT.lstrip(),
    "memoized on the bytes": """
import functools
@functools.cache
def of(shape, *raw):
    Ix, Iy, It = (np.frombuffer(one).reshape(shape) for one in raw)
    squared = Ix**2 + Iy**2
    scale = -It / np.where(squared > 0, squared, 1)
    return np.stack([scale * Ix, scale * Iy], axis=-1)
def normal_flow(Ix, Iy, It):
    return of(Ix.shape, *(np.ascontiguousarray(x).tobytes() for x in (Ix, Iy, It)))
""",
    "global state": "calls = []\n" + inside("calls.append(1)"),
    "a global counter": "count = 0\n" + inside("global count\ncount += 1"),
    "a buffer used again": "buffer = {}\n" + at_the_end("buffer.setdefault(out.shape, out)").replace(
        "    return buffer", "    buffer.setdefault(out.shape, out)[...] = out\n    return buffer"
    ),
    "changes its arguments": at_the_end("out").replace("    return out", "    Ix[...] = 0\n    return out"),
    "changes its arguments' shapes": at_the_end("out").replace("    return out", "    Ix.shape = (-1,)\n    return out"),
    "names of other scripts": RIGHT.replace("squared", "größe_²".replace("²", "Δ")).replace("scale", "λ"),
    "names of other scripts, composed otherwise": RIGHT.replace("squared", "gro\u0308\u00dfe", 1).replace("squared", "gr\u00f6\u00dfe"),
    "type hints": "from __future__ import annotations\n"
    + RIGHT.replace("(Ix, Iy, It)", "(Ix: Float[Array, 'H W'], Iy: np.ndarray, It) -> Unknown"),
    "default values and keywords only": RIGHT.replace("(Ix, Iy, It)", "(Ix, Iy, It, *, eps=0.0, **options)"),
    "a match statement and a walrus": inside("match Ix.ndim:\n    case 2 if (n := Ix.size) >= 0: pass\n    case _: raise ValueError"),
    "tabs": RIGHT.replace("    ", "\t"),
    "an old Mac's and Windows' line ends": RIGHT.replace("\n", "\r\n"),
    "asserts and a doctest": inside('"""Normal flow.\n\n>>> 1\n2\n"""\nassert Ix.shape == Iy.shape == It.shape'),
    "threads": inside("""
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(2) as pool: list(pool.map(np.sum, [Ix, Iy]))
    """),
    "random numbers, seeded": inside("np.random.seed(0); np.random.default_rng(0).random()"),
    "slow": inside("import time; time.sleep(0.06)"),  # of 1 s a call
}  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
def test_a_right_answer_in_another_style_gets_all_points(desk, style):
    question = marked(desk, notebook(IMPORTS, STYLES[style], "vl.check(normal_flow)"), ".ipynb")
    assert (question["status"], question["score"]) == ("correct", 10), question
    assert not [text for text in told(question) if "work on a copy" not in text]


# -- cells around the answer -------------------------------------------------------------------------------------------

MARKDOWN = {"cell_type": "markdown", "metadata": {}, "source": ["# normal_flow\n", "def normal_flow(): no"]}
RAW = {"cell_type": "raw", "metadata": {}, "source": "---\ntitle: mine\n---"}
CELLS = {
    "IPython lines": ["%matplotlib inline\n!pip install numpy\nnp.sum?\n%load_ext autoreload\n%autoreload 2\n" + RIGHT],
    "what IPython keeps in names": ["files = !ls\nwhere = %pwd\nprint(files, where)", RIGHT],
    "the same beside the answer": ["files = !ls\n" + RIGHT + "\nwhere = %pwd"],
    "a timed cell": ["%%time\n" + RIGHT],
    "a captured cell": ["%%capture output\n" + RIGHT, "output.show()"],
    "a timed loop": [RIGHT, "%timeit -n 3 normal_flow(np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 2)))"],
    "a shell cell": ["%%bash\ncd /tmp && ls -la | grep x", RIGHT],
    "a cell in R": ["%%R\nx <- c(1, 2)\nplot(x)", RIGHT],
    "a cell of HTML": ["%%html\n<b>bold</b>", RIGHT],
    "a cell written to a file": ["%%writefile mine.py\ndef normal_flow(): return 'not this'", RIGHT],
    "a shell line in a block": ["if False:\n    !pip install torch\n    %cd ..\n" + RIGHT],
    "a shell line over several lines": ["!pip install \\\n    numpy \\\n    scipy\n" + RIGHT],
    "get_ipython": ["get_ipython().run_line_magic('matplotlib', 'inline')\n" + RIGHT],
    "display": ["from IPython.display import display\ndisplay(np.ones(2))\n" + RIGHT],
    "display without import": ["display(np.ones(2))\n" + RIGHT],
    "asks for input": ["name = input('Your name? ')\n", RIGHT],
    "a star import": ["from numpy import *\n", RIGHT],
    "a main block": [RIGHT + "\nif __name__ == '__main__':\n    print(normal_flow(*np.ones((3, 2, 2))))\n"],
    "defined in a main block": ["if __name__ == '__main__':\n" + textwrap.indent(RIGHT, "    ")],
    "defined in a try block": ["try:\n" + textwrap.indent(RIGHT, "    ") + "except ImportError:\n    pass\n"],
    "a helper defined later": [RIGHT.replace("np.stack", "stack"), "def stack(*a, **k): return np.stack(*a, **k)"],
    "helpers later, one through another": [
        RIGHT.replace("np.stack", "stack"), "def stack(*a, **k): return inner(*a, **k)", "def inner(*a, **k): return np.stack(*a, **k)"
    ],
    "imports in a later cell": [RIGHT.replace("np.", "numpy."), "import numpy"],
    "a constant of a later cell": [RIGHT.replace("-It", "SIGN * It"), "SIGN = -1"],
    "a constant that a later cell computes": [RIGHT.replace("-It", "SIGN[0] * It"), "SIGN = np.array([-1.0])"],
    "the exercise cell pasted back": [STUB, RIGHT, STUB],
    "two attempts, the second right": [RIGHT.replace("-It", "It"), RIGHT],
    "text and raw cells": [MARKDOWN, RAW, RIGHT],
    "an empty cell": ["", "   \n\n", "# only words", RIGHT],
    "top-level await": ["import asyncio\nawait asyncio.sleep(0)", RIGHT],
    "what a later cell breaks": [RIGHT, "np.stack = None\nnp = None\ndel normal_flow"],
    "reads a file that is not there": ["image = open('frame0.png', 'rb').read()", RIGHT],
    "mounts Google Drive": ["from google.colab import drive\ndrive.mount('/content/drive')", RIGHT],
    "a form of Colab": ["#@title Normal flow { display-mode: 'form' }\nwindow = 5 #@param {type: 'integer'}\n" + RIGHT],
    "a semicolon at the end": [RIGHT + "\nnormal_flow;"],
    "help": [RIGHT + "\nhelp(normal_flow)\nnormal_flow??"],
}  # fmt: skip


@pytest.mark.parametrize("kind", CELLS)
def test_cells_around_a_right_answer_cost_no_points(desk, kind):
    question = marked(desk, notebook(IMPORTS, *CELLS[kind]), ".ipynb")
    assert (question["status"], question["score"]) == ("correct", 10), question


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("asks for input", "EOFError"),
        ("reads a file that is not there", "FileNotFoundError"),
        ("mounts Google Drive", "google"),
    ],
)
def test_what_could_not_be_run_is_said(desk, kind, sentence):
    question = marked(desk, notebook(IMPORTS, *CELLS[kind]), ".ipynb")
    assert any("while the cells ran" in text and sentence in text for text in told(question)), question["findings"]


def test_modified_arguments_are_mentioned(desk):
    question = marked(desk, IMPORTS + STYLES["changes its arguments"])
    assert any("work on a copy" in text for text in told(question))


def test_cells_that_raise_are_recorded_and_the_rest_runs(desk):
    question = marked(desk, notebook(IMPORTS, "1 / 0", "this is not Python", RIGHT), ".ipynb")
    assert question["score"] == 10
    assert any("ZeroDivisionError" in text for text in told(question))


@pytest.mark.parametrize("cell", ["while True: pass", "import os; os._exit(3)"])
def test_a_cell_that_never_ends_or_exits_does_not_hide_the_answer(desk, cell):
    question = marked(desk, notebook(IMPORTS, cell, RIGHT), ".ipynb")
    assert question["score"] == 10 and any("only definitions were run" in text for text in told(question))
    assert any("while the cells ran: cell 2, line 1" in text for text in told(question))


def test_what_went_wrong_in_the_cells_is_said_under_one_question():
    asked = TOML | {"question": [{"operation": "flow.normal_flow"}, {"operation": "flow.inside_frame"}]}
    raw = notebook(IMPORTS, "1 / 0", "n = 3\nwhile True: pass", RIGHT, "def inside_frame(flow):\n    return flow")
    with Desk(Assignment.from_dict(asked), seed=7, examples=4) as desk:
        result = desk.grade(Paper("student-01", "student-01.ipynb", raw, ".ipynb"))
    first, second = (" ".join(told(question)) for question in result["questions"])
    assert first.count("cell 3, line 2 never ended (no answer within 1 s); only definitions were run") == 1
    assert "while the cells ran" not in second


# -- files -------------------------------------------------------------------------------------------------------------

WHOLE = IMPORTS + RIGHT
OLD = {
    "nbformat": 3, "nbformat_minor": 0, "metadata": {"name": "mine"},
    "worksheets": [{"cells": [
        {"cell_type": "heading", "level": 1, "metadata": {}, "source": "Mine"},
        {"cell_type": "code", "language": "python", "collapsed": False, "input": WHOLE.splitlines(keepends=True),
         "metadata": {}, "outputs": [], "prompt_number": 1},
    ], "metadata": {}}],
}  # fmt: skip
FILES = {
    "a module": (WHOLE, ".py"),
    "a module with a byte-order mark": (b"\xef\xbb\xbf" + WHOLE.encode(), ".py"),
    "a module with Windows' line ends": (WHOLE.replace("\n", "\r\n"), ".py"),
    "a module in UTF-16, as PowerShell writes it": (b"\xff\xfe" + WHOLE.encode("utf-16-le"), ".py"),
    "a module in Latin-1 that says so": (("# -*- coding: latin-1 -*-\n# Größe\n" + WHOLE).encode("latin-1"), ".py"),
    "a module with a main block": (WHOLE + "\nif __name__ == '__main__':\n    raise SystemExit(main())\n", ".py"),
    "percent format": ("# %% [markdown]\n# Words\n# %%\n" + IMPORTS + "# %% second\n" + RIGHT, ".py"),
    "percent format with magics": (f"# ---\n# jupyter: x\n# ---\n# %%\n# %matplotlib inline\n{IMPORTS}\n# %%\n{RIGHT}", ".py"),
    "a notebook saved as Python by Colab": ("# -*- coding: utf-8 -*-\n" + IMPORTS + "!pip install av\n# %matplotlib inline\n" + RIGHT, ".py"),
    "a notebook with a byte-order mark": (b"\xef\xbb\xbf" + notebook(IMPORTS, RIGHT), ".ipynb"),
    "a notebook with Windows' line ends": (notebook(WHOLE.replace("\n", "\r\n")), ".ipynb"),
    "a notebook of format 3": (json.dumps(OLD), ".ipynb"),
    "a notebook of Colab": (
        notebook(
            code("", metadata={"id": "x", "colab": {"base_uri": "https://localhost:8080/"}}), IMPORTS, RIGHT,
            colab={"provenance": [], "toc_visible": True}, accelerator="GPU",
            kernelspec={"name": "python3", "display_name": "Python 3"}, language_info={"name": "python"},
        ), ".ipynb"),
    "a notebook without metadata": (json.dumps({"cells": [code(WHOLE)]}), ".ipynb"),
    "a notebook with lines as a list": (notebook(code(WHOLE.splitlines(keepends=True))), ".ipynb"),
    "a notebook with outputs of megabytes": (
        notebook(IMPORTS, code(RIGHT, outputs=[{"output_type": "stream", "name": "stdout", "text": "x" * 3_000_000}])),
        ".ipynb"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_a_right_answer_in_another_kind_of_file_gets_all_points(desk, kind):
    question = marked(desk, *FILES[kind])
    assert (question["status"], question["score"]) == ("correct", 10), question


# -- what is not right, with a sentence ----------------------------------------------------------------------------------

NOT_RIGHT = {
    "half precision, where it is too coarse": (at_the_end("out.astype(np.float16)"), "partly", "where there is a gradient"),
    "nested lists": (at_the_end("out.tolist()"), "wrong", "returns a value of type list; expected a NumPy array"),
    "a tuple of two arrays": (at_the_end("(out[..., 0], out[..., 1])"), "wrong", "returns a value of type tuple"),
    "a data frame of its own": (
        "class Frame: pass\n" + at_the_end("Frame()"), "wrong", "returns a value of type Frame; expected a NumPy array"
    ),
    "the axes in another order": (at_the_end("np.moveaxis(out, -1, 0)"), "wrong", "returns shape"),
    "prints its answer": (at_the_end("print(out)"), "wrong", "returns None; the last line of the function must return"),
    "yields its answer": (at_the_end("out").replace("return out", "yield out"), "wrong", "a value of type generator"),
    "a coroutine": (RIGHT.replace("def ", "async def "), "wrong", "a value of type coroutine"),
    "asks for input in the function": (inside("input()"), "wrong", "raises EOFError"),
    "an argument too many": (RIGHT.replace("It)", "It, window)", 1), "wrong", "missing 1 required positional argument"),
    "another name": (RIGHT.replace("normal_flow", "normalflow"), "not attempted", "there is no such function"),
    "a syntax error": (RIGHT.replace("Ix**2 +", "Ix**2 + +*"), "crashed", "the cell with normal_flow can't be read: cell 2, line 3: SyntaxError"),
    "a name that is nowhere": (RIGHT.replace("np.stack", "np_stack"), "wrong", "name 'np_stack' is not defined"),
    "a package that is not allowed": ("import pandas as pd\n" + inside("pd.DataFrame()"), "wrong", "No module named 'pandas'"),
    "a file of its own": ("from helpers import stack\n" + RIGHT.replace("np.stack", "stack"), "wrong", "No module named 'helpers'"),
}  # fmt: skip


@pytest.mark.parametrize("kind", NOT_RIGHT)
def test_what_is_not_right_gets_a_sentence(desk, kind):
    source, status, sentence = NOT_RIGHT[kind]
    question = marked(desk, notebook(IMPORTS, source), ".ipynb")
    assert question["status"] == status, question
    said = [finding["text"] for finding in question["findings"]]
    assert any(sentence in text for text in said), said


def test_in_a_python_file_too_a_slip_of_the_keyboard_costs_only_the_function_it_is_in(desk):
    other = "\ndef warp(image, flow)\n    return image\n"
    assert marked(desk, IMPORTS + RIGHT + other, ".py")["status"] == "correct"
    slip = marked(desk, IMPORTS + RIGHT.replace("Ix**2 +", "Ix**2 + +*") + other.replace("flow)", "flow):"), ".py")
    assert (slip["status"], slip["score"]) == ("crashed", 0)
    assert "the part with normal_flow can't be read: the file, line " in slip["findings"][0]["text"]


@pytest.mark.parametrize("mistake", ["def warp(image, flow)\n    return image\n", "I wasn't sure about this\n"])
def test_what_was_commented_out_with_quotes_is_not_graded_for_a_mistake_elsewhere(desk, mistake):
    earlier = f'OLD = """\n{at_the_end("-out")}\ndef helper(x):\n    return x\n"""\n'
    assert marked(desk, IMPORTS + RIGHT + earlier + mistake)["status"] == "correct"


def test_of_two_versions_that_git_could_not_merge_none_is_graded_and_the_report_says_so(desk):
    conflict = f"<<<<<<< HEAD\n{RIGHT}=======\n{at_the_end('-out')}>>>>>>> theirs\n"
    question = marked(desk, IMPORTS + "def warp(image, flow):\n    return image\n" + conflict)
    assert question["status"] == "crashed"
    assert (
        "the part with normal_flow can't be read: the file, line 5: a merge conflict; keep"
        in question["findings"][0]["text"]
    )
    alone = marked(desk, IMPORTS + conflict)
    assert alone["status"] == "unreadable" and "line 3: a merge conflict; keep" in alone["findings"][0]["text"]


def test_a_comment_beside_a_mistake_is_no_new_draw_of_the_inputs(desk):
    mistakes = ["", "def zzz(\n", "def zzz(\n# again", *(f"def zzz( # {i}\n" for i in range(8))]
    files = [(IMPORTS + RIGHT + mistake).encode() for mistake in mistakes]
    cells = [notebook(IMPORTS, RIGHT, *([mistake] if mistake else [])) for mistake in mistakes]
    for suffix, kinds in (".py", files), (".ipynb", cells):
        assert len({_content(Paper("ann", "a", raw, suffix)) for raw in kinds}) == 1


def test_a_file_that_lies_beside_the_notebook_is_not_silently_missed(tmp_path):
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "01_test.ipynb").write_bytes(notebook(IMPORTS, "from helpers import stack", RIGHT))
    (tmp_path / "ada" / "helpers.py").write_text("import numpy as np\nstack = np.stack\n")
    (result,) = grade(tmp_path, Assignment.from_dict(TOML), seed=1, examples=3)
    assert result["score"] == 10
    assert any("No module named 'helpers'" in text for text in told(result["questions"][0]))
