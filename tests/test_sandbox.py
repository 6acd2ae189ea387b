"""A worker's function behaves like a local one, and its end, however it comes, is reported and contained."""

import os
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import vidlearn as vl
from vidlearn.judge import Stopped, judge
from vidlearn.sandbox import LAYERS, Candidate, Isolation, Limits, Sandbox, SandboxError, Unreadable
from vidlearn.sandbox import worker as far

# each is the body of a normal_flow: right, wrong and odd
ANSWERS = {
    "right": """
        n = Ix**2 + Iy**2
        scale = -It / np.where(n > 0, n, 1)
        return np.stack([scale * Ix, scale * Iy], -1)""",
    "single precision": """
        n = Ix**2 + Iy**2
        scale = -It / np.where(n > 0, n, 1)
        return np.stack([scale * Ix, scale * Iy], -1).astype(np.float32)""",
    "wrong sign": """
        n = Ix**2 + Iy**2
        return np.stack([It * Ix, It * Iy], -1) / np.where(n > 0, n, 1)[..., None]""",
    "not a number where the gradient vanishes": """
        return -It[..., None] * np.stack([Ix, Iy], -1) / (Ix**2 + Iy**2)[..., None]""",
    "changes its arguments": """
        n = Ix**2 + Iy**2
        n[n == 0] = 1
        It /= -n
        return np.stack([It * Ix, It * Iy], -1)""",
    "long double": """
        n = (Ix**2 + Iy**2).astype(np.longdouble)
        scale = -It / np.where(n > 0, n, 1)
        return np.stack([scale * Ix, scale * Iy], -1)""",
    "long double number": "    return np.longdouble(0)",
    "complex": "    return np.stack([Ix, Iy], -1) + 0j",
    "wrong shape": "    return Ix",
    "nested list": "    return np.zeros(Ix.shape + (2,)).tolist()",
    "plain number": "    return 0.0",
    "NumPy number": "    return np.float64(0)",
    "two arrays": "    return Ix, Iy",
    "text": "    return 'flow'",
    "nothing": "    return None",
    "raises": "    raise ValueError('no idea')",
    "raises an exception of its own": "    class Odd(KeyError): pass\n        raise Odd('key')",
    "not attempted": "    x = 1\n        raise NotImplementedError",
    "matrix": "    return np.matrix(Ix)",
    "forgets what it said": """
        global turn
        turn = globals().get('turn', 0) + 1
        return np.full(Ix.shape + (2,), float(turn))""",
    "reads memory as if it were contiguous": """
        flat = np.frombuffer(It.base if It.base is not None and not It.flags.c_contiguous else It, float)[:It.size]
        n = Ix**2 + Iy**2
        scale = -flat.reshape(It.shape) / np.where(n > 0, n, 1)
        return np.stack([scale * Ix, scale * Iy], -1)""",
}
RIGHT = "import numpy as np\ndef normal_flow(Ix, Iy, It):\n" + textwrap.indent(
    textwrap.dedent(ANSWERS["right"]), "    "
)


def source_of(body):
    return "import numpy as np\ndef normal_flow(Ix, Iy, It):\n" + textwrap.indent(
        textwrap.dedent("    " * (not body.startswith("\n")) + body), "    "
    )


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def call(sandbox):
    """Load one function of a source; the worker ends with the test."""
    workers = []

    def load(source, name="f", **limits):
        worker = sandbox.worker(Limits(**limits))
        workers.append(worker)
        worker.open(textwrap.dedent(source).encode(), ".py")
        return worker.load(name)

    yield load
    for worker in workers:
        worker.close()


@pytest.mark.parametrize("kind", ANSWERS)
def test_the_judge_cannot_tell_a_sandboxed_function_from_a_local_one(call, kind):
    source = source_of(ANSWERS[kind])
    local = {}
    exec(source, local)
    here = judge(local["normal_flow"], vl.flow.normal_flow, examples=5, seed=3).to_dict()
    there = judge(call(source, "normal_flow"), vl.flow.normal_flow, examples=5, seed=3).to_dict()
    assert there == here


arrays = st.sampled_from(["f8", "f4", "i8", "u1", "?", "c16"]).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(arrays, max_size=3), st.dictionaries(st.sampled_from(["a", "b"]), arrays | st.none() | st.text(max_size=5))
)
def test_arguments_and_answers_go_across_unchanged(positional, keywords):
    f = _echo()
    back = f(*positional, **keywords)
    assert type(back) is tuple and len(back) == len(positional) + len(keywords)
    for sent, got in zip([*positional, *keywords.values()], back, strict=True):
        assert type(got) is type(sent)
        if isinstance(sent, np.ndarray):
            assert got.dtype == sent.dtype and got.shape == sent.shape and got.tobytes() == sent.tobytes()
        else:
            assert got == sent


_open = {}


def _echo():
    if not _open:
        _open["sandbox"] = Sandbox()
        _open["worker"] = _open["sandbox"].worker(Limits(total=60))
        _open["worker"].open(b"def f(*a, **k): return (*a, *k.values())", ".py")
    return _open["worker"].load("f")


@pytest.fixture(scope="module", autouse=True)
def _close_echo():
    yield
    if _open:
        _open["worker"].close()
        _open["sandbox"].close()


def test_a_large_clip_goes_both_ways(call):
    clip = np.random.default_rng(0).random((1, 3, 16, 112, 112)).astype(np.float32)
    np.testing.assert_array_equal(call("def f(x): return x[..., ::-1]")(clip), clip[..., ::-1])


def test_changed_arguments_are_changed_here_too(call):
    x, y = np.ones(3), np.ones(3)
    call("def f(x, y):\n    x += 1")(x, y=y)
    assert x.tolist() == [2, 2, 2] and y.tolist() == [1, 1, 1]


def test_a_changed_argument_keeps_its_shape_whatever_the_worker_says():
    said = [[0, np.zeros(1)], [0, np.zeros((2, 3))], [1, np.full(3, 7.0)]]
    worker = SimpleNamespace(limits=Limits(), _ask=lambda *_, **__: (far.ANSWER, ["answer", said]))
    x, y = np.ones(3), np.ones(3)
    assert Candidate(worker, "f")(x, y) == "answer"
    assert x.tolist() == [1, 1, 1] and y.tolist() == [7, 7, 7]


def test_what_cannot_travel_is_named_with_its_dtype(call):
    back = call("import numpy as np\ndef f(kind): return [np.zeros(2, kind), np.zeros(2)]")
    for kind in ("G", "U4", "O"):
        stranger, array = back(kind)
        if np.dtype(kind) == np.complex128:
            pytest.skip("not run, because this processor's long double is a double")
        assert type(stranger).__name__ == f"ndarray of dtype {np.dtype(kind)}"
        assert array.tolist() == [0, 0]


# the submission answers in its worker's place while its cells run
FORGED = """
import sys
frame = sys._getframe()
while frame.f_code.co_name != "_serve": frame = frame.f_back
frame.f_locals["speak"].say({kind}, frame.f_locals["number"], {value})
def f(): pass
"""


def test_errors_in_the_cells_are_few_and_short_whatever_the_worker_says(call):
    errors = call(FORGED.format(kind=far.ANSWER, value="['x' * 3000] * 40")).load_errors
    assert errors == ["x" * 500] * 20


def test_a_long_refusal_is_cut(call):
    with pytest.raises(LookupError) as refused:
        call(FORGED.format(kind=far.REFUSED, value="'x' * 60000"))
    assert len(str(refused.value)) == 500


@pytest.mark.parametrize("value", ["", "None", "[1]", "b'x'"])
def test_a_refusal_that_says_nothing_is_a_refusal(call, value):
    with pytest.raises(LookupError, match=r"^$") as refused:
        call(FORGED.format(kind=far.REFUSED, value=f"*[{value}]"))
    assert refused.type is LookupError  # and no mistake of the grader's


def test_a_flood_in_place_of_a_few_words_ends_the_worker_unread(call):
    with pytest.raises(Stopped, match="at most 131072 are accepted"):
        call(FORGED.format(kind=far.ANSWER, value="['x' * 65000] * 1000"))


def test_many_long_errors_in_the_cells_do_not_keep_a_function_from_loading(call):
    f = call("import nothing\n" * 30 + "raise ValueError('ü' * 9000)\ndef f(): return 1")
    assert f() == 1 and len(f.load_errors) == 20


@pytest.mark.parametrize("kind", [ValueError, ZeroDivisionError, NotImplementedError, KeyError, StopIteration, OSError])
def test_an_exception_arrives_as_one_of_its_kind(call, kind):
    with pytest.raises(kind) as here:
        raise kind("why")
    with pytest.raises(kind) as there:
        call(f"def f(): raise {kind.__name__}('why')")()
    assert str(there.value) == str(here.value) and there.type.__name__ == kind.__name__


@pytest.mark.parametrize("how", ["exit()", "raise KeyboardInterrupt", "raise SystemExit(0)", "raise GeneratorExit"])
def test_what_would_end_the_grader_arrives_as_an_ordinary_error(call, how):
    f = call(f"from sys import exit\ndef f(): {how}")
    with pytest.raises(RuntimeError):
        f()


@pytest.mark.parametrize(
    ("source", "limits", "status", "sentence"),
    [
        ("def f(): __import__('os')._exit(4)", {}, "crashed", "ended by itself, with exit code 4"),
        ("def f(): __import__('os').abort()", {}, "crashed", "ended by SIG"),
        ("def f(): __import__('ctypes').string_at(0)", {}, "crashed", "wrong memory access"),
        ("def f():\n    while True: pass", {"seconds": 0.3}, "timed out", "no answer within 0.3 s"),
        ("def f(): return [0] * 10**9", {"memory": 64 << 20}, "out of memory", "more than the 0.0625 GiB allowed"),
    ],
)
def test_an_end_is_named_and_stays_the_answer(call, source, limits, status, sentence):
    f = call(source, **limits)
    for _ in range(2):
        with pytest.raises(Stopped) as stopped:
            f()
        assert stopped.value.status == status and sentence in stopped.value.sentence


def test_time_adds_up_over_calls(call):
    f = call("import time\ndef f(): time.sleep(0.1)", seconds=1, total=0.35)
    with pytest.raises(Stopped, match=r"no answer within|all calls together"):
        for _ in range(5):
            f()
    assert 0.3 < f.seconds < 3


def test_time_is_the_graders_not_the_students(call):
    f = call("import time\ntime.time = time.monotonic = lambda: 0\ndef f():\n    while True: pass", seconds=0.3)
    start = time.monotonic()
    with pytest.raises(Stopped):
        f()
    assert time.monotonic() - start < 3


def test_one_workers_end_leaves_the_others_alone(sandbox):
    with sandbox.worker() as first, sandbox.worker() as second:
        for worker in (first, second):
            worker.open(
                b"import os\nstate = []\ndef f(x): state.append(x); return len(state)\ndef die(): os._exit(1)", ".py"
            )
        f = second.load("f")
        assert f(1) == 1
        with pytest.raises(Stopped):
            first.load("die")()
        assert f(1) == 2


def test_closing_a_worker_ends_its_process(sandbox):
    children = Path(f"/proc/{sandbox._process.pid}/task/{sandbox._process.pid}/children")
    if not children.exists():
        pytest.skip("not run, because this system has no /proc to count processes in")
    worker = sandbox.worker()
    worker.open(
        b"import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\ndef f(): pass", ".py"
    )
    worker.load("f")()
    keeper = children.read_text().split()[-1]
    worker.close()
    deadline = time.monotonic() + 5
    while _lives(keeper) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _lives(keeper)


def _lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_closing_the_sandbox_ends_what_is_left():
    sandbox = Sandbox()
    worker = sandbox.worker()
    worker.open(b"def f(): pass", ".py")
    f = worker.load("f")
    sandbox.close()
    time.sleep(0.1)
    with pytest.raises(Stopped):
        f()
    with pytest.raises(SandboxError, match="warm process is gone"):
        sandbox.worker()
    worker.close()


def test_printed_text_is_kept_and_cut(call):
    f = call("import os\ndef f(n):\n    print('a' * n)\n    os.write(1, b'\\x1b[2Jb')")
    f(10)
    assert sorted(f.worker.take_output()) == sorted("a" * 10 + "\n[2Jb")
    f(200_000)
    assert len(f.worker.output) < 66_000 and "bytes more" in f.worker.output


def test_an_unreadable_submission_is_refused_with_a_sentence(sandbox):
    for raw, suffix in ((b"{", ".ipynb"), (b"def f(:", ".py"), (b"\xff\xfe\x00", ".py")):
        with sandbox.worker() as worker, pytest.raises(Unreadable, match=r"file|line"):
            worker.open(raw, suffix)


def test_the_layers_that_hold_are_named_and_those_that_do_not_say_why():
    with Sandbox(layers=["limits"]) as bare, bare.worker() as worker:
        assert worker.isolation.level == "C" and worker.isolation.enforced == ("limits",)
        assert worker.isolation.to_dict()["missing"]["seccomp"] == "not asked for"
        assert "Missing: namespaces (not asked for)" in str(worker.isolation)
    with pytest.raises(ValueError, match="unknown"):
        Sandbox(layers=["magic"])


@pytest.mark.parametrize(
    ("missing", "level"),
    [
        ([], "A"),
        (["other user", "Landlock"], "A"),
        (["namespaces", "file system"], "B"),
        (["seccomp"], "C"),
        (["limits"], "C"),
    ],
)
def test_levels_follow_from_the_layers(missing, level):
    assert Isolation({name: "x" if name in missing else "" for name in LAYERS}).level == level


def test_a_worker_starts_with_nothing_of_the_graders(call):
    source = """
        import os, sys
        def f(): return sorted(os.environ), [name for name in sys.modules if name.startswith("vidlearn")], sys.argv
    """
    os.environ["VIDLEARN_TEST_SECRET"] = "secret"
    try:
        environment, modules, arguments = call(source)()
    finally:
        del os.environ["VIDLEARN_TEST_SECRET"]
    assert "VIDLEARN_TEST_SECRET" not in environment and modules == [] and arguments == [""]


def test_a_flood_of_text_is_not_read_for_ever(call, monkeypatch):
    monkeypatch.setattr("vidlearn.sandbox.MAX_OUTPUT", 1 << 20)
    f = call("def f(n):\n    print('a' * n)\n    return 1.0", seconds=1)
    assert f(1 << 19) == 1.0
    f.worker.take_output()
    with pytest.raises(Stopped, match="no answer within 1 s"):
        f(1 << 26)
    assert f.worker._printed < 1 << 22
