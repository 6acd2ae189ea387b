"""Similar submissions: what is copied is found however it is dressed up, and what the task itself asks for is not."""

from __future__ import annotations

import ast
import json
import random
import re
from pathlib import Path

import pytest

from vidlearn.cli import main
from vidlearn.grade.similarity import MAX_SOURCE, similar

ROOT = Path(__file__).parents[1]

STUB = '''
import numpy as np
import vidlearn as vl

# %%
def normal_flow(Ix, Iy, It):
    """Return the flow along the gradient."""
    # YOUR CODE HERE
    raise NotImplementedError()

# %%
def lucas_kanade(Ix, Iy, It, window=5):
    """Return the least-squares motion of the window around each pixel."""
    # YOUR CODE HERE
    raise NotImplementedError()

# %%
scene = vl.video.translation(vl.video.photograph("astronaut").mean(axis=-1), displacement=(0.6, -0.35), scale=2.0)
Ix, Iy, It = vl.flow.spatiotemporal_gradients(scene.I0, scene.I1)
flow = lucas_kanade(Ix, Iy, It)
figure = vl.flow.plots.quiver(scene.I0, flow, step=7, title="your flow, where solvable", ax=None)
'''

#: four people who never met: all right, each in a style of their own
STYLES = {
    "textbook": """
def normal_flow(Ix, Iy, It):
    squared = Ix**2 + Iy**2
    safe = np.where(squared == 0, 1, squared)
    return np.stack([-It * Ix / safe, -It * Iy / safe], axis=-1)

def lucas_kanade(Ix, Iy, It, window=5):
    reach = window // 2
    def windowed(product):
        height, width = product.shape
        padded = np.pad(product, reach)
        total = np.zeros_like(product)
        for dy in range(window):
            for dx in range(window):
                total += padded[dy : dy + height, dx : dx + width]
        return total
    xx, xy, yy = windowed(Ix * Ix), windowed(Ix * Iy), windowed(Iy * Iy)
    J = np.stack([np.stack([xx, xy], axis=-1), np.stack([xy, yy], axis=-1)], axis=-2)
    right = -np.stack([windowed(Ix * It), windowed(Iy * It)], axis=-1)
    return (np.linalg.pinv(J, rcond=1e-13, hermitian=True) @ right[..., None])[..., 0]
""",
    "pixel by pixel": """
def normal_flow(Ix, Iy, It):
    rows, columns = It.shape
    flow = np.zeros((rows, columns, 2), dtype=It.dtype)
    for i in range(rows):
        for j in range(columns):
            length = np.hypot(Ix[i, j], Iy[i, j])
            if length > 0:
                speed = -It[i, j] / length
                flow[i, j, 0] = speed * Ix[i, j] / length
                flow[i, j, 1] = speed * Iy[i, j] / length
    return flow

def lucas_kanade(Ix, Iy, It, window=5):
    h, w = Ix.shape
    r = window // 2
    flow = np.zeros((h, w, 2))
    for y in range(h):
        for x in range(w):
            patch = np.s_[max(0, y - r) : y + r + 1, max(0, x - r) : x + r + 1]
            A = np.column_stack([Ix[patch].ravel(), Iy[patch].ravel()])
            flow[y, x] = np.linalg.lstsq(A, -It[patch].ravel(), rcond=None)[0]
    return flow
""",
    "signal processing": """
from scipy.ndimage import uniform_filter

def normal_flow(Ix, Iy, It):
    gradient = np.dstack((Ix, Iy))
    norm2 = (gradient * gradient).sum(axis=2, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        result = -It[:, :, np.newaxis] * gradient / norm2
    result[~np.isfinite(result)] = 0.0
    return result

def box(f, n):
    return uniform_filter(f, size=n, mode="constant") * n**2

def lucas_kanade(Ix, Iy, It, window=5):
    a, b, d = box(Ix**2, window), box(Ix * Iy, window), box(Iy**2, window)
    p, q = box(Ix * It, window), box(Iy * It, window)
    det = a * d - b * b
    ok = det > 1e-12 * (a + d) ** 2
    trace2 = (a + d) ** 2
    u = np.where(ok, (b * q - d * p) / np.where(ok, det, 1), 0)
    v = np.where(ok, (b * p - a * q) / np.where(ok, det, 1), 0)
    edge = ~ok & (trace2 > 0)
    u[edge] = -(a * p + b * q)[edge] / trace2[edge]
    v[edge] = -(b * p + d * q)[edge] / trace2[edge]
    return np.concatenate([u[..., None], v[..., None]], axis=2)
""",
    "linear algebra": """
def normal_flow(Ix, Iy, It):
    g = np.moveaxis(np.array([Ix, Iy]), 0, -1)
    energy = np.einsum("...c,...c->...", g, g)
    factor = np.divide(-It, energy, out=np.zeros_like(energy), where=energy != 0)
    return np.einsum("...c,...->...c", g, factor)

def lucas_kanade(Ix, Iy, It, window=5):
    view = np.lib.stride_tricks.sliding_window_view
    def patches(field):
        k = window // 2
        return view(np.pad(field, ((k, k), (k, k))), (window, window)).reshape(*field.shape, -1)
    A = np.stack(list(map(patches, (Ix, Iy))), axis=-1)
    b = -patches(It)
    U, s, Vt = np.linalg.svd(A, full_matrices=False)
    inverse = np.reciprocal(s, out=np.zeros_like(s), where=s > 1e-6 * s.max(axis=-1, keepdims=True))
    rotated = np.matmul(b[..., None, :], U)[..., 0, :] * inverse
    return np.matmul(rotated[..., None, :], Vt)[..., 0, :]
""",
}


class Disguise(ast.NodeTransformer):
    """What a person does to hide a copy: other names, other numbers, types, a docstring, other order."""

    def __init__(self, seed=0):
        self.random, self.names = random.Random(seed), {}
        self.kept = {"np", "normal_flow", "lucas_kanade", "uniform_filter", "range", "max", "list", "map", "view"}

    def other(self, name):
        if name in self.kept:
            return name
        return self.names.setdefault(name, f"{self.random.choice('qwertz')}{len(self.names)}")

    def visit_Name(self, node):
        return ast.Name(self.other(node.id), node.ctx)

    def visit_arg(self, node):
        return ast.arg(self.other(node.arg), ast.Name("object"))

    def visit_Constant(self, node):
        return ast.Constant(node.value + 1) if type(node.value) is int else node

    def visit_Assign(self, node):
        self.generic_visit(node)
        (target,) = node.targets
        simple = isinstance(target, ast.Name)
        return ast.AnnAssign(target, ast.Constant("float"), node.value, 1) if simple else node

    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        node.name = self.other(node.name)
        node.body.insert(0, ast.Expr(ast.Constant("All of it is my own.")))
        return node

    def visit_Module(self, node):
        self.generic_visit(node)
        functions = [s for s in node.body if isinstance(s, ast.FunctionDef)]
        node.body = [s for s in node.body if s not in functions] + functions[::-1]
        return node


def disguised(text, seed=0):
    return f"import numpy as np\n{ast.unparse(ast.fix_missing_locations(Disguise(seed).visit(ast.parse(text))))}\n"


def handed_in(folder, **texts):
    folder.mkdir(exist_ok=True)
    for student, text in texts.items():
        raw = text if isinstance(text, bytes) else text.encode()
        (folder / f"{student}.py").write_bytes(raw)
    return folder


def who(result):
    return [(pair["a"], pair["b"]) for pair in result["pairs"]]


def same(result):
    return [tuple(entry["students"]) for entry in result["same"]]


@pytest.fixture
def stub(tmp_path):
    path = tmp_path / "task.py"
    path.write_text(STUB)
    return path


@pytest.mark.parametrize("style", STYLES)
def test_a_copy_with_other_names_numbers_comments_and_order_is_found(style, tmp_path, stub):
    original = "import numpy as np\n" + STYLES[style]
    result = similar(handed_in(tmp_path / "in", ann=original, bob=disguised(STYLES[style])), stub)
    assert same(result) == [("ann", "bob")] and result["pairs"] == []
    changed = original.replace("    return", "    Ix = np.asarray(Ix)\n    return", 1)
    (pair,) = similar(handed_in(tmp_path / "in", ann=changed), stub)["pairs"]
    assert pair["share_a"] > 0.8 and pair["share_b"] > 0.8


def test_a_copied_function_among_own_work_is_found_both_ways(tmp_path):
    own = STYLES["linear algebra"] + STYLES["signal processing"].replace("normal_flow", "also").replace("lucas", "x")
    mixed = own + disguised(STYLES["pixel by pixel"].split("def lucas_kanade")[0])
    copied = "import numpy as np\n" + STYLES["pixel by pixel"].split("def lucas_kanade")[0]
    result = similar(handed_in(tmp_path / "in", long=mixed, short=copied))
    (pair,) = result["pairs"]
    assert pair["share_a"] < 0.5 and pair["share_b"] == 1


def test_independent_right_answers_are_not_pairs(tmp_path, stub):
    texts = {name.replace(" ", "_"): "import numpy as np\n" + text for name, text in STYLES.items()}
    result = similar(handed_in(tmp_path / "in", **texts), stub, least=0.25)
    assert result["compared"] == len(STYLES) and result["pairs"] == []


def test_what_was_handed_out_never_counts(tmp_path, stub):
    answered = {
        name.replace(" ", "_"): re.sub(r"(?s)# %%\ndef.*(?=# %%\nscene)", lambda _, t=text: t, STUB)
        for name, text in [*STYLES.items()][:2]
    }
    folder = handed_in(tmp_path / "in", untouched=STUB, also_untouched=STUB + "\n\n# I tried\n", **answered)
    assert same(similar(folder)) == [("also_untouched", "untouched")]  # the stub alone would look like copying
    result = similar(folder, stub, least=0.1)
    assert result["pairs"] == result["same"] == []
    assert {entry["student"] for entry in result["not_compared"]} == {"untouched", "also_untouched"}


def test_the_exercise_notebook_is_found_beside_its_assignment(tmp_path, capsys):
    notebook = ROOT / "exercises" / "02_lucas_kanade.ipynb"
    if not notebook.is_file():
        pytest.skip("not run, because this is an installed package, not a checkout")
    exercise = notebook.read_text(encoding="utf-8")
    for student in ("ann", "bob"):
        (tmp_path / "in" / student).mkdir(parents=True)
        (tmp_path / "in" / student / "02_lucas_kanade.ipynb").write_text(exercise, encoding="utf-8")
        (tmp_path / "in" / student / "scratch.py").write_text("x = 1")
    assert same(similar(tmp_path / "in", assignment_id="02_lucas_kanade")) == [("ann", "bob")]
    toml = ROOT / "exercises" / "02_lucas_kanade.toml"
    assert main(["similar", str(tmp_path / "in"), "--assignment", str(toml), "--least", "0.1"]) == 0
    assert "no pair" in capsys.readouterr().out


BOARD = STYLES["textbook"].split("def lucas_kanade")[1]  # what the lecturer wrote on the board


def alone(draw, functions=3):
    """A program of its own: no two of them share more than chance."""
    calls = ["abs", "sqrt", "exp", "sin", "cos", "tanh", "floor", "ceil", "sign", "square", "cbrt", "log1p"]
    lines, names = ["import numpy as np"], ["Ix", "Iy", "It"]
    for function in range(functions):
        lines.append(f"def f{function}(Ix, Iy, It):")
        for n in range(12):
            a, b, c = (draw.choice(names) for _ in range(3))
            op, po = draw.choice("+-*/"), draw.choice("+-*/@")
            expression = draw.choice([
                f"np.{draw.choice(calls)}({a}) {op} {b}", f"({a} {op} {b}) {po} np.{draw.choice(calls)}({c})",
                f"np.stack([{a}, {b} {op} {c}], axis={n})", f"{a}[..., {n}] {op} {b}[{n}:] {po} {c}",
                f"np.where({a} > {n}, {b}, {c} {op} {a})", f"[{a} {op} i for i in {b} if i != {c}]",
            ])  # fmt: skip
            lines.append(f"    v{n} = {expression}")
            names.append(f"v{n}")
        lines.append(f"    return {draw.choice(names)}")
        del names[3:]
    return "\n".join(lines) + "\n"


def test_what_many_have_makes_no_pairs_and_is_shown_with_their_names(tmp_path, capsys):
    draw = random.Random(1)
    lecture = "def lucas_kanade" + BOARD
    have = {f"s{i:02}": alone(draw, 1) + disguised(lecture, i) for i in range(8)}
    have |= {f"t{i:02}": alone(draw) for i in range(6)}
    result = similar(handed_in(tmp_path / "in", **have))
    (entry,) = result["common"]
    assert result["pairs"] == result["same"] == result["not_compared"] == [] and result["compared"] == 14
    assert sorted(entry["students"]) == [name for name in have if name.startswith("s")]
    assert all(0.1 < share < 0.9 for share in entry["shares"])
    marked = "\n".join(line for side in entry["code"] for line in side["text"])
    assert "np.linalg.pinv" in marked and "np.pad" in marked
    assert main(["similar", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "similar.html").read_text(encoding="utf-8")
    assert "in 8 of 14 submissions" in capsys.readouterr().out
    assert "This code stands in 8 of 14 submissions" in page and "np.linalg.pinv" in page


@pytest.mark.parametrize("copies", [2, 6, 20])
def test_a_ring_of_copies_is_a_group_however_large_it_is(copies, tmp_path):
    draw = random.Random(2)
    ring = {f"s{i:02}": disguised(STYLES["textbook"], i) for i in range(copies)}
    folder = handed_in(tmp_path / "in", **ring, **{f"t{i:02}": alone(draw) for i in range(20 - copies)})
    result = similar(folder)
    assert same(result) == [tuple(ring)] and not result["same"][0]["exact"]
    assert result["pairs"] == result["common"] == [] and result["compared"] == 20


def test_a_ring_in_which_everyone_changed_something_is_not_taken_for_the_task(tmp_path):
    draw, parts = random.Random(3), [alone(random.Random(i), 1) for i in range(30, 37)]
    ring = {f"s{i:02}": disguised(STYLES["textbook"], i) + part for i, part in enumerate(parts)}
    result = similar(handed_in(tmp_path / "in", **ring, **{f"t{i:02}": alone(draw) for i in range(13)}))
    (entry,) = result["common"]
    assert sorted(entry["students"]) == [*ring] and min(entry["shares"]) > 0.5 and result["not_compared"] == []


def test_one_who_shares_with_a_group_is_one_pair(tmp_path):
    texts = {f"s{i}": disguised(STYLES["textbook"], i) for i in range(4)}
    texts["zoe"] = texts["s0"] + alone(random.Random(4), 1)
    (pair,) = similar(handed_in(tmp_path / "in", **texts))["pairs"]
    assert (pair["a"], pair["also_a"], pair["b"], pair["also_b"]) == ("s0", ["s1", "s2", "s3"], "zoe", [])


def test_files_that_are_the_same_letter_for_letter_are_a_group_even_where_they_say_little(tmp_path):
    line = "def f(a, b):\n    return (a * b + a / b) ** (a - b) - a // b\n"
    folder = handed_in(tmp_path / "in", ann=line, bob=line, eve=line.replace("a", "c"), cut="def f(:", off="def f(:")
    result = similar(folder)
    assert same(result) == [("ann", "bob"), ("cut", "off")] and all(entry["exact"] for entry in result["same"])
    assert result["pairs"] == [] and len(result["not_compared"]) == 5


def test_empty_files_are_no_group(tmp_path):
    assert similar(handed_in(tmp_path / "in", ann="", bob="", eve="# ?", zoe="# ?"))["same"] == []


def test_swapped_roles_of_names_are_another_program(tmp_path):
    steps = "+-*/|&^%"
    one = "def f(a, b):\n" + "".join(f"    a = a {x} b {y} a\n" for x in steps for y in steps[:3])
    two = "def f(a, b):\n" + "".join(f"    a = b {x} b {y} b\n" for x in steps for y in steps[:3])
    assert same(similar(handed_in(tmp_path / "same", ann=one, bob=one)))
    apart = similar(handed_in(tmp_path / "in", ann=one, bob=two))
    assert apart["same"] == apart["pairs"] == []


HOSTILE = {
    "parentheses": "x = " + "(" * 50_000 + ")" * 50_000,
    "minus": "x = " + "-" * 50_000 + "1",
    "dots": "x = a" + ".b" * 50_000,
    "calls": "x = a" + "()" * 50_000,
    "sum": "x = 1" + " + 1" * 50_000,
    "lambdas": "x = " + "lambda: " * 20_000 + "1",
    "elif": "if a: pass\n" + "elif a: pass\n" * 10_000,
    "indentation": "".join(" " * i + "if a:\n" for i in range(200)) + " " * 200 + "pass",
    "deep_but_parsed": "x = 1" + " + 1" * 900,
    "a_number": "x = " + "9" * 100_000,
    "huge": "x = 1\n" * MAX_SOURCE,
    "null": "x = 1\0",
    "not_text": b"\xff\xfe\x00\x01",
    "not_python": "this is no program",
    "escape": 'x = "\\d"\n',
    "empty": "",
    "runs": "raise SystemExit(3)\nimport os; os._exit(3)\n",
}


def test_hostile_files_are_named_with_a_reason_and_the_rest_is_compared(tmp_path):
    good = "import numpy as np\n" + STYLES["textbook"]
    folder = handed_in(tmp_path / "in", ann=good, bob=disguised(good), **HOSTILE)
    notebooks = {
        "nested": '{"cells": ' + "[" * 100_000,
        "cut": '{"cells": [{"cell_ty',
        "list": "[1, 2]",
        "numbers": '{"cells": [{"cell_type": "code", "source": 7}]}',
        "surrogate": '{"cells": [{"cell_type": "code", "source": "x = \\"\\ud800\\" "}]}',
    }
    for name, text in notebooks.items():
        (folder / f"{name}.ipynb").write_text(text)
    result = similar(folder, out=tmp_path / "out")
    assert same(result) == [("ann", "bob")]
    reasons = {entry["student"]: entry["why"] for entry in result["not_compared"]}
    assert set(reasons) == {*HOSTILE, *notebooks}
    assert all(0 < len(why) < 200 and why.isprintable() for why in reasons.values())
    assert f"at most {MAX_SOURCE:,}" in reasons["huge"]


def test_a_copy_with_a_slip_of_the_keyboard_is_compared_by_what_can_be_read_of_it(tmp_path):
    good = "import numpy as np\n" + STYLES["textbook"]
    folder = handed_in(tmp_path / "in", ann=good, bob="def other(\n" + disguised(good))
    shown = similar(folder)
    assert same(shown) == [("ann", "bob")] and shown["not_compared"] == []
    (_, last) = shown["same"][0]["passages"]
    text = (folder / "bob.py").read_text().split("\n")
    assert last["b"]["text"][0] == text[last["b"]["first"] - 1] and last["b"]["text"][0].startswith("def lucas_kanade")


def test_what_is_longer_than_code_ever_is_is_not_parsed(tmp_path, monkeypatch):
    folder = handed_in(tmp_path / "in", ann="# %%\n" * MAX_SOURCE, bob="# %%\n" * MAX_SOURCE)
    monkeypatch.setattr(ast, "parse", lambda *_: pytest.fail("it was parsed"))
    result = similar(folder)
    assert same(result) == [("ann", "bob")]
    assert [entry["why"] for entry in result["not_compared"]] == [
        "1,310,720 characters of code; at most 262,144 are read"
    ] * 2


def test_a_copy_as_long_as_a_book_makes_no_page_as_long(tmp_path):
    row = "".join(f" {x} a {y} b" for x in "+-*/|&^%@" for y in "+-*/|&^%@")
    text = "x = (a" + row * 100 + ")\n" + "".join(f"y = a{row[:60]} + {n}\n" for n in range(1000))
    result = similar(handed_in(tmp_path / "in", ann=text, bob=text.replace("a", "c")), out=tmp_path / "out")
    assert len(result["same"]) == 1
    assert (tmp_path / "out" / "similar.html").stat().st_size < len(text)


def test_no_submission_is_run(tmp_path):
    trap = f"open({str(tmp_path / 'ran')!r}, 'w')\n"
    similar(handed_in(tmp_path / "in", ann=trap + STYLES["textbook"], bob=trap + STYLES["textbook"]))
    assert not (tmp_path / "ran").exists()


def test_the_page_and_the_table_hold_nothing_that_acts(tmp_path, capsys):
    evil = 'x = "</pre><script>alert(1)</script>"  # \x1b[31m \u202e <img src=x onerror=1>\n'
    text = STYLES["textbook"].replace("    safe =", "    " + evil + "    safe =")
    folder = handed_in(tmp_path / "in", **{"<b>ann": text, "bob": text})
    assert main(["similar", str(folder), "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "similar.html").read_text(encoding="utf-8")
    assert "<script>" not in page and "<img" not in page and "<b>ann" not in page and "&lt;b&gt;ann" in page
    assert all(c.isprintable() or c == "\n" for c in page + capsys.readouterr().out)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"similar.html", "similar.json"}


def test_the_shared_lines_stand_side_by_side(tmp_path):
    text = "import numpy as np\n" + STYLES["pixel by pixel"]
    changed = disguised(text).replace("np.hypot", "np.sqrt")
    handed_in(tmp_path / "in", ann=text, bob=changed)
    similar(tmp_path / "in", out=tmp_path / "out", least=0.3)
    (pair,) = json.loads((tmp_path / "out" / "similar.json").read_text(encoding="utf-8"))["pairs"]
    sides = {passage["a"]["name"]: (passage["a"], passage["b"]) for passage in pair["passages"]}
    assert {a: b["name"] for a, (_, b) in sides.items()} == {n: n for n in ("normal_flow", "lucas_kanade")}
    a, _ = sides["lucas_kanade"]
    lines = text.split("\n")
    assert a["text"][0] == lines[a["first"] - 1] and a["text"][0].startswith("def lucas_kanade")
    assert any("np.column_stack" in lines[number - 1] for number in a["shared"])


def test_a_function_in_a_function_is_shown_once_and_marked_there(tmp_path):
    text = "import numpy as np\n" + STYLES["textbook"]
    changed = text.replace("    return np.stack([-It", "    Ix = np.asarray(Ix)\n    return np.stack([-It")
    (pair,) = similar(handed_in(tmp_path / "in", ann=text, bob=changed))["pairs"]
    assert [part["a"]["name"] for part in pair["passages"]] == ["normal_flow", "lucas_kanade"]
    lines, (_, outer) = text.split("\n"), [part["a"] for part in pair["passages"]]
    assert any("total +=" in lines[number - 1] for number in outer["shared"])


def test_many_functions_that_are_all_alike_are_compared_in_time_and_shown_shortly(tmp_path):
    text = "".join(f"def f{i}(a, b):\n    return (a * b + a / b) ** (a - b) - a // b\n" for i in range(3000))
    own = "\ndef g(a):\n    return [a - 1, a @ a, (a, a), {a: a}, a[a], a < a, -a, ~a, a if a else a, a or a, a | a]\n"
    result = similar(
        handed_in(tmp_path / "in", ann=text + own, bob=own + text + "x = [a for a in [] if a < a * a + a]")
    )
    assert len(result["pairs"]) == 1 and len(result["pairs"][0]["passages"]) > 3000


def test_three_hundred_submissions_are_compared_and_the_copies_among_them_found(tmp_path, stub):
    draw = random.Random(7)
    texts = {f"s{i:03}": alone(draw) for i in range(300)}
    copies = {("s010", "s200"), ("s050", "s051"), ("s120", "s299")}
    for a, b in copies:
        texts[b] = disguised(texts[a].replace("import numpy as np\n", ""), seed=3)
    result = similar(handed_in(tmp_path / "in", **texts), stub)
    assert result["compared"] == 300
    assert set(same(result)) == copies and result["pairs"] == []
    assert result == similar(tmp_path / "in", stub)  # the same again


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--least", "0"], "least: expected a fraction"),
        (["--stub", "nowhere.py"], "stub: nowhere.py cannot be read"),
        (["--stub", "task.toml"], "stub: expected the exercise as .ipynb or .py"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(arguments, sentence, tmp_path, capsys):
    folder = handed_in(tmp_path / "in", ann=STYLES["textbook"])
    assert main(["similar", str(folder), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("vidlearn similar: ") and sentence in error and error.count("\n") == 1
