"""The judge before candidates that cheat, that are odd but right, and that can't make up their mind."""

from __future__ import annotations

import concurrent.futures
import json
import re
import signal
import time

import numpy as np
import pytest

import vidlearn as vl
from vidlearn.judge import Bank, Stopped, drawing, judge
from vidlearn.judge.candidate import Runner
from vidlearn.judge.comparing import planes
from vidlearn.judge.patience import TimedOut, patient

OP = vl.flow.normal_flow
right = OP.reference


class AlwaysEqual:
    def __eq__(self, other):
        return True

    __le__ = __lt__ = __ge__ = __gt__ = __eq__
    __hash__ = None


class Lying(np.ndarray):
    """An array whose arithmetic always comes out right."""

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return np.bool_(True)

    def __array_function__(self, function, types, args, kwargs):
        return np.zeros(())


def zeros(Ix, Iy, It):
    return np.zeros((*Ix.shape, 2))


CHEATS = {
    "an object that equals everything": lambda Ix, Iy, It: AlwaysEqual(),
    "an array subclass with its own arithmetic": lambda Ix, Iy, It: zeros(Ix, Iy, It).view(Lying),
    "a masked array": lambda Ix, Iy, It: np.ma.masked_all((*Ix.shape, 2)),
    "an array of objects": lambda Ix, Iy, It: np.full((*Ix.shape, 2), AlwaysEqual(), dtype=object),
    "NaN everywhere": lambda Ix, Iy, It: np.full((*Ix.shape, 2), np.nan),
    "infinity everywhere": lambda Ix, Iy, It: np.full((*Ix.shape, 2), np.inf),
    "a shape that would broadcast": lambda Ix, Iy, It: np.zeros((1, 1, 2)) if Ix.size > 1 else np.zeros(2),
    "a number that would broadcast": lambda Ix, Iy, It: 0.0,
    "an empty array": lambda Ix, Iy, It: np.zeros((0, 2)),
    "a list": lambda Ix, Iy, It: right(Ix, Iy, It).tolist(),
    "text": lambda Ix, Iy, It: right(Ix, Iy, It).astype(str),
    "complex numbers": lambda Ix, Iy, It: right(Ix, Iy, It) * 1j,
    "a mask": lambda Ix, Iy, It: np.ones((*Ix.shape, 2), bool),
    "nothing": lambda Ix, Iy, It: None,
    "an exception": lambda Ix, Iy, It: 1 / 0,
    "leaving": lambda Ix, Iy, It: exit(0),
    "a lone zero answer": zeros,
}


def changes_its_inputs_to_fit(Ix, Iy, It):
    """Erase the question, then give the erased question's answer."""
    Ix[...] = Iy[...] = It[...] = 0
    return zeros(Ix, Iy, It)


CHEATS["changing its inputs until zero is right"] = changes_its_inputs_to_fit


@pytest.mark.parametrize("cheat", CHEATS.values(), ids=CHEATS)
def test_no_cheat_is_right(cheat):
    verdict = judge(cheat, OP)
    assert verdict.status == "wrong"
    assert verdict.counterexample is not None
    json.loads(verdict.to_json())
    assert verdict.text() and verdict._repr_html_()


@pytest.mark.parametrize("cheat", CHEATS.values(), ids=CHEATS)
def test_no_cheat_earns_points_for_what_zero_would_earn(cheat):
    verdict = judge(cheat, OP)
    if any(row.kind == "case" and row.held for row in verdict.rows):
        assert verdict.score < 1  # a lone zero is right where the gradient vanishes, and only there
    else:
        assert verdict.score == 0


def test_an_array_subclass_is_refused_before_its_methods_run():
    detail = judge(CHEATS["an array subclass with its own arithmetic"], OP).rows[0].detail
    assert "Lying" in detail


def in_single_precision(Ix, Iy, It):
    return right(*(a.astype(np.float32) for a in (Ix, Iy, It)))


def noisy(Ix, Iy, It):
    import warnings

    print("hello")
    warnings.warn("odd", stacklevel=1)
    return right(Ix, Iy, It)


def overwriting(Ix, Iy, It):
    squared = Ix**2 + Iy**2
    It *= -1
    It /= np.where(squared == 0, 1, squared)
    return np.where(squared[..., None] == 0, 0, It[..., None] * np.stack([Ix, Iy], axis=-1))


@pytest.mark.parametrize("odd", [in_single_precision, noisy, overwriting], ids=lambda f: f.__name__)
def test_odd_but_right_is_right(odd):
    verdict = judge(odd, OP)
    assert verdict.right, verdict.text()


def test_modified_arguments_are_noted_and_do_not_reach_the_judge():
    verdict = judge(overwriting, OP)
    assert verdict.notes and "It" in verdict.notes[0]


def test_strictness_holds_a_fast_path_to_its_dtype():
    assert judge(in_single_precision, OP).right
    assert not judge(in_single_precision, OP, strict=True).right


def test_the_smallest_counterexample_is_one_pixel_that_can_be_pasted():
    verdict = judge(lambda Ix, Iy, It: right(Ix, Iy, -It), OP, seed=7)
    assert {value.shape for value in verdict.counterexample.inputs.values()} == {(1, 1)}
    inputs = {n: eval(v, {"np": np}) for n, v in verdict.counterexample.paste().items()}
    expected = right(**inputs)
    assert f"({expected[0, 0, 0] + 0:.6g}, {expected[0, 0, 1] + 0:.6g})" in verdict.counterexample.expected
    assert verdict.counterexample.where == "at y=0, x=0"


def test_two_mistakes_at_once_are_both_named():
    verdict = judge(lambda Ix, Iy, It: right(Ix, Iy, -It)[..., ::-1], OP)
    assert "sign of I_t" in verdict.mistake.name and "swapped" in verdict.mistake.name


def test_a_mistake_nobody_listed_is_not_named():
    assert judge(lambda Ix, Iy, It: right(Ix, Iy, It) + 0.37, OP).mistake is None


def test_hints_come_one_at_a_time():
    verdict = judge(lambda Ix, Iy, It: right(Ix, Iy, -It), OP)
    first, second = verdict.mistake.hints[:2]
    assert first.split()[0] in verdict.text(hints=1)
    assert "hint 2" not in verdict.text(hints=1) and "hint 2" in verdict.text(hints=2)
    assert verdict.hint(1) == first and verdict.hint(2) == second
    assert verdict.hint(99) == "there is no further hint"


def test_the_same_seed_gives_the_same_verdict():
    wrong = lambda Ix, Iy, It: right(Ix, Iy, It) * 1.5  # noqa: E731
    assert judge(wrong, OP, seed=3).to_dict() == judge(wrong, OP, seed=3).to_dict()


def test_shrinking_is_feedback_and_never_changes_the_score():
    wrong = lambda Ix, Iy, It: right(Ix, Iy, It) * 1.5  # noqa: E731
    a, b = judge(wrong, OP, shrink=True), judge(wrong, OP, shrink=False)
    assert (a.score, a.status, a.rows) == (b.score, b.status, b.rows)


def test_a_candidate_that_answers_differently_each_time_is_told_so():
    calls = iter(range(10**9))
    verdict = judge(lambda Ix, Iy, It: right(Ix, Iy, It) + next(calls) * 1e3, OP)
    assert verdict.status == "wrong"
    seen = iter(range(10**9))

    def turns_bad(Ix, Iy, It):
        return right(Ix, Iy, It) * (1 if next(seen) < 2 * 25 else 2)

    verdict = judge(turns_bad, OP)
    assert verdict.status == "wrong"
    assert any(row.name == "gives the same answer when asked again" for row in verdict.rows)


def test_a_candidate_that_trusts_the_memory_layout_is_caught():
    def raw(Ix, Iy, It):
        flat = [np.frombuffer(a.base if a.base is not None else a, dtype=a.dtype)[: a.size] for a in (Ix, Iy, It)]
        return right(*(a.reshape(Ix.shape) for a in flat))

    verdict = judge(raw, OP)
    assert [row.name for row in verdict.rows if not row.held] == ["reads arrays in any memory layout"]


def test_an_empty_body_is_not_attempted_rather_than_wrong():
    def todo(Ix, Iy, It):
        raise NotImplementedError

    verdict = judge(todo, OP)
    assert verdict.status == "not attempted" and verdict.score == 0


def test_a_proxy_can_end_the_judging():
    def dead(Ix, Iy, It):
        raise Stopped("timed out", "the call took longer than 2 s")

    verdict = judge(dead, OP)
    assert verdict.status == "timed out" and "2 s" in verdict.text() and verdict.score == 0


def test_stopping_halfway_gives_no_points():
    calls = iter(range(10**9))

    def dies(Ix, Iy, It):
        if next(calls) > 40:
            raise Stopped("crashed", "the process ended")
        return right(Ix, Iy, It)

    assert judge(dies, OP).score == 0


def test_partial_credit_says_what_is_right():
    """Right except where the gradient vanishes."""

    def partly(Ix, Iy, It):
        return -It[..., None] * np.stack([Ix, Iy], -1) / (Ix**2 + Iy**2)[..., None]

    verdict = judge(partly, OP)
    held = {row.name: row.held for row in verdict.rows if row.kind == "case"}
    assert held == {"where there is a gradient": True, "gradient vanishes": False}
    assert 0 < verdict.score < 1


def test_a_family_without_an_answer_does_not_take_the_laws_of_the_others_with_it():
    operation = vl.flow.structure_tensor

    def grey_only(Ix, Iy, window=5):
        if Ix.ndim == 3:
            raise ValueError("no color yet")
        return operation.reference(Ix, Iy, window)

    verdict = judge(grey_only, operation, shrink=False)
    broken = [row.name for row in verdict.rows if not row.held]
    colored = [name for name in operation.spec.cases if "color" in name]
    of_color_alone = [law.statement for law in operation.spec.laws if law.cases and set(law.cases) <= set(colored)]
    assert broken == ["the answer has the right shape and type", *colored, *of_color_alone]


@pytest.mark.parametrize("error", [NotImplementedError, ValueError])
def test_what_is_not_written_yet_costs_the_same_wherever_it_comes_first(error):
    operation = vl.flow.structure_tensor

    def color_only(Ix, Iy, window=5):
        if Ix.ndim == 2:
            raise error("no grey yet")
        return operation.reference(Ix, Iy, window)

    verdict = judge(color_only, operation, shrink=False)
    assert verdict.status == "wrong"
    assert next(row for row in verdict.rows if row.name == "color").held
    assert verdict.score > 0.5


@pytest.mark.parametrize("name", ["_local_constants", "Constants", "CONSTANTS_CACHE", "_get_local_constants"])
def test_a_version_of_hypothesis_without_constants_of_the_process_is_let_be(monkeypatch, name):
    from hypothesis.internal.conjecture import providers

    monkeypatch.delattr(providers, name)
    before, ran = vars(providers).copy(), False
    with drawing._nothing_from_this_process():
        ran = vars(providers) == before
    assert ran and vars(providers) == before


def test_a_replay_asks_the_same():
    verdict = vl.check(lambda *a: right(*a) + 1, "normal_flow", seed=3, examples=5)
    assert verdict.replay == "vl.check(normal_flow, seed=3, examples=5)"


def test_a_law_that_breaks_where_there_is_an_answer_is_broken_whatever_else_has_none():
    operation = vl.flow.structure_tensor

    def grey_only_and_signed(Ix, Iy, window=5):
        if Ix.ndim == 3:
            raise ValueError("no color yet")
        return operation.reference(Ix, Iy, window) * (-1 if Ix.size > 1 else 1)

    laws = [row for row in judge(grey_only_and_signed, operation, shrink=False).rows if row.kind == "law"]
    assert not all(row.held for row in laws)
    assert all(not row.held for row in judge(lambda *a, **k: 1 / 0, operation, shrink=False).rows if row.kind == "law")


def test_a_bank_is_drawn_once_and_serves_many_candidates():
    bank = Bank.draw(OP, seed=11)
    assert Bank.draw(OP, seed=11) is bank
    assert judge(right, OP, bank=bank).right and not judge(zeros, OP, bank=bank).right
    assert judge(right, OP, bank=bank).seed == 11


def test_a_function_of_another_backend_is_judged_by_the_same_spec():
    torch = pytest.importorskip("torch", reason="not run, because torch is not installed")

    def in_torch(Ix, Iy, It):
        squared = Ix**2 + Iy**2
        gradient = torch.stack([Ix, Iy], -1)
        return torch.where(squared[..., None] == 0, 0.0, -(It / squared)[..., None] * gradient)

    assert judge(in_torch, OP, backend="torch", strict=True).right
    verdict = judge(lambda *a: in_torch(*a).numpy(), OP, backend="torch")
    assert "torch" in verdict.rows[0].detail


def test_the_card_is_safe_html_with_heatmaps():
    def wrong(Ix, Iy, It):
        raise RuntimeError("<script>alert(1)</script>")

    html = judge(wrong, OP)._repr_html_()
    assert "<script>" not in html and "&lt;script&gt;" in html
    html = judge(lambda Ix, Iy, It: right(Ix, Iy, It) + 1, OP)._repr_html_()
    assert "expected" in html and "difference" in html


@pytest.mark.parametrize(
    ("operation", "wrong", "place", "pieces"),
    [
        (vl.flow.normal_flow, lambda *a: right(*a) + 1, "at y=0, x=0", ["u", "v"]),
        (
            vl.flow.structure_tensor,
            lambda *a, **k: vl.flow.structure_tensor.reference(*a, **k) + 1,
            "at y=0, x=0, [0, 0]",
            ["[0, 0]", "[0, 1]", "[1, 0]", "[1, 1]"],
        ),
        (
            vl.layers.conv2d,
            lambda *a, **k: vl.layers.conv2d.reference(*a, **k) + 1,
            "at sample=0, channel=0, y=0, x=0",
            None,
        ),
    ],
    ids=["flow", "tensor", "batch"],
)
def test_a_counterexample_is_placed_and_drawn_by_the_names_of_its_axes(operation, wrong, place, pieces):
    counterexample = judge(wrong, operation).counterexample
    assert counterexample.where == place
    names = [picture.name for picture in counterexample.pictures]
    assert names == pieces or (pieces is None and all(name.startswith("sample=") for name in names))


def test_the_pieces_of_an_answer_are_height_by_width_wherever_these_axes_stand():
    clip = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    for axes, moved in ((("N", "C", "H", "W"), clip), (("H", "W", "N", "C"), clip.transpose(2, 3, 0, 1))):
        pieces = dict(planes(moved, axes, ()))
        assert len(pieces) == 6
        assert np.array_equal(pieces["sample=1, channel=2"], clip[1, 2])
    assert [(name, piece.shape) for name, piece in planes(np.zeros(3), ("P",), ())] == [("", (1, 3))]
    assert [name for name, _ in planes(np.zeros((2, 2)), ("*B", "2"), ("λ₁", "λ₂"))] == ["λ₁", "λ₂"]
    between = [name for name, _ in planes(np.zeros((1, 1, 2, 3, 3)), ("N", "E", "S", "H", "W"), ())]
    assert between == ["sample=0, channel=0, t=0", "sample=0, channel=0, t=1"]


def test_check_of_a_wrong_answer_that_calls_another_wrong_answer_says_where_to_begin():
    cells = """
import numpy as np
def structure_tensor(Ix, Iy, window=5):
    return np.ones((*Ix.shape[:2], 2, 2))
def solved(Ix, Iy, window):
    return np.linalg.pinv(structure_tensor(Ix, Iy, window))
def lucas_kanade(Ix, Iy, It, window=5):
    return (solved(Ix, Iy, window) @ np.ones((2, 1)))[..., 0]
"""
    names = {}
    exec(cells, names)
    begin = "it calls your structure_tensor, which is not right either: begin there"
    assert vl.check(names["lucas_kanade"], examples=5).notes == [begin]
    assert vl.check(names["structure_tensor"], examples=5).notes == []
    names["structure_tensor"] = vl.flow.structure_tensor  # the library's own is right
    assert vl.check(names["lucas_kanade"], examples=5).notes == []
    exec(cells.replace("structure_tensor(Ix, Iy, window))", "vl.flow.structure_tensor(Ix, Iy, window))"), names)
    names["vl"] = vl  # the one of the same name is not what it calls
    assert vl.check(names["lucas_kanade"], examples=5).notes == []


def test_a_law_s_counterexample_shows_the_calls_that_break_it_and_they_can_be_pasted():
    operation = vl.nonlocal_attention.pairwise_weights

    def overflows(theta, phi, pairwise="embedded gaussian", w_f=None):
        answer = operation.reference(theta, phi, pairwise, w_f)
        if "gaussian" in pairwise:
            scores = np.exp(np.einsum("nld,nmd->nlm", theta, phi))
            answer = scores / scores.sum(-1, keepdims=True)
        return answer

    counterexample = judge(overflows, operation).counterexample
    assert counterexample.breaks == "softmax: what is added to all scores of a position changes nothing"
    lines = counterexample.lines("overflows")
    answers, names = [], {"np": np}
    with np.errstate(all="ignore"):
        for line in lines:
            if line.startswith("overflows("):
                answers.append(eval(line, {**names, "overflows": overflows}))
            else:
                exec(line, names)
    assert len(answers) == 2 and any(np.isnan(answer).any() for answer in answers)


def test_a_row_that_holds_by_luck_on_the_first_inputs_does_not_hold_on_the_card():
    operation = vl.flow.fl_all
    wrong = next(m.wrong for m in operation.spec.mistakes if m.name == "3 pixels count as an outlier")

    def fl_all(*args, **kwargs):
        return wrong(operation.reference, *args, **kwargs)

    cards = [vl.check(fl_all, seed=seed) for seed in range(4)]
    alone = [judge(fl_all, operation, seed=seed, shrink=False) for seed in range(4)]
    held = [{row.name for row in verdict.rows if row.held} for verdict in alone]
    assert any(one != held[0] for one in held)  # else nothing is shown here
    assert {row.name for row in cards[0].rows if row.held} == set.intersection(*held)


def test_what_a_function_prints_while_it_is_checked_is_cut(capsys):
    def normal_flow(Ix, Iy, It):
        print("here")
        return right(Ix, Iy, It)

    assert vl.check(normal_flow).right
    printed = capsys.readouterr().out.splitlines()
    assert printed[:10] == ["here"] * 10 and len(printed) == 11 and "more" in printed[-1]


def test_a_law_does_not_ask_again_what_was_answered_and_cannot_spoil_it():
    calls = []

    def counted(Ix, Iy, It):
        calls.append((Ix.tobytes(), Iy.tobytes(), It.tobytes(), Ix.shape))
        return right(Ix, Iy, It)

    runner = Runner(counted, OP.signature)
    one = np.ones((2, 2))
    first = runner.as_function(one, one, one)
    kept = first.copy()
    first[:] = 7
    assert np.array_equal(runner.as_function(one.copy(), one, It=one), kept) and len(calls) == 1
    for other in (one + 1e-12, one.reshape(1, 4), one.astype(np.float32)):
        runner.as_function(other, other, other)
    assert len(calls) == 4
    assert judge(counted, OP).right
    in_cases = [call for call in calls[4:] if calls[4:].count(call) > 1]
    assert len(in_cases) < len(calls) / 3  # asked again: those of the same draw, for memory, and for steadiness


@pytest.mark.parametrize(
    ("a", "b"),
    [([np.zeros(2000)], [np.full(2000, 1e-9)]), (1, True), (1, 1.0), ("1", 1), ([1], (1,)), (object(), object())],
)
def test_two_arguments_that_differ_are_not_taken_for_one(a, b):
    from vidlearn.judge.candidate import _key

    assert _key({"x": a}) != _key({"x": b})
    assert isinstance(a, object) and (type(a) is object or _key({"x": a}) == _key({"x": a}))


@pytest.mark.parametrize("bad", [3, "normal_flow", None])
def test_check_wants_a_function(bad):
    with pytest.raises(TypeError, match="function"):
        vl.check(bad)


def test_check_wants_a_name_it_knows():
    with pytest.raises(ValueError, match="name"):
        vl.check(lambda x: x)
    assert vl.check(lambda Ix, Iy, It: right(Ix, Iy, It), "normal_flow").right


def test_a_counterexample_in_a_batch_is_placed_by_sample_channel_and_time():
    def conv3d(x, w, b=None, **geometry):
        return -vl.layers.conv3d(x, w, b, **geometry)

    text = judge(conv3d, vl.operation("conv3d")).text()
    assert re.search(r"at sample=\d, channel=\d, t=\d, y=\d, x=\d", text), text


def test_float32_is_judged_as_float32_and_the_users_choice_of_tf32_comes_back():
    """On a GPU, torch's convolutions would otherwise round to TF32, far beyond the tolerance of float32."""
    torch = pytest.importorskip(
        "torch", reason="not run, because torch is not installed: pip install 'vidlearn[torch]'"
    )
    seen = set()

    def candidate(x):
        seen.add((torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32))
        return torch.relu(x)

    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    try:
        verdict = judge(candidate, vl.operation("relu"), backend="torch", dtype="float32", strict=True)
        assert torch.backends.cudnn.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32 = before
    assert verdict.right, verdict.text()
    assert seen == {(False, False)}


def test_a_mistake_is_named_although_another_part_is_not_written_yet():
    """Where no mistake explains everything, one that explains a whole failing family is named with that family."""

    def pairwise_weights(theta, phi, pairwise="embedded gaussian", w_f=None):
        if pairwise == "concatenation":
            raise NotImplementedError
        f = theta @ phi.transpose(0, 2, 1)
        if pairwise == "dot product":
            return f / phi.shape[1]
        e = np.exp(f)
        return e / e.sum(axis=1, keepdims=True)

    verdict = judge(pairwise_weights, vl.operation("pairwise_weights"), shrink=False)
    assert verdict.mistake.name == "softmax over the positions that ask (in the cases: softmax)"
    assert verdict.mistake.hints


def test_a_wrong_answer_of_no_known_kind_is_not_given_a_name():
    verdict = judge(lambda x: x + 1, vl.operation("relu"), shrink=False)
    assert verdict.status == "wrong"
    assert verdict.mistake is None


# -- patience ---------------------------------------------------------------------------------------------------------


def test_check_ends_a_call_that_never_ends_and_the_card_says_what_to_look_for():
    def normal_flow(Ix, Iy, It):
        try:
            while True:
                pass
        except Exception:
            return Ix

    verdict = vl.check(normal_flow, seconds=0.1)
    assert verdict.status == "timed out" and not verdict.right and verdict.score == 0
    for face in (verdict.text(), verdict._repr_html_()):
        assert "timed out" in face and "no answer within 0.1 s: is there a loop that never ends?" in face


def test_code_that_goes_on_after_a_bare_except_is_ended_when_its_time_is_up_again():
    rounds = []

    def stubborn(*_):
        for _ in range(2):
            try:
                while True:
                    pass
            except:  # noqa: E722
                rounds.append(1)
        return 0

    with pytest.raises(TimedOut):
        patient(stubborn, 0.05)()
    assert len(rounds) == 2


def test_an_alarm_of_the_user_s_is_put_back_and_one_that_rings_earlier_stands():
    rang = []
    before = signal.signal(signal.SIGALRM, lambda *_: rang.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 60)
        with pytest.raises(TimedOut):
            patient(time.sleep, 0.05)(5)
        assert 50 < signal.getitimer(signal.ITIMER_REAL)[0] < 60 and not rang
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        patient(time.sleep, 5)(0.2)
        assert rang == [1]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_nothing_is_left_behind_by_a_limit_and_a_thread_has_none():
    before = signal.getsignal(signal.SIGALRM)
    assert patient(abs, 5)(-1) == 1 and patient(abs, None)(-1) == 1
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert pool.submit(patient(abs, 5), -1).result() == 1
    assert signal.getsignal(signal.SIGALRM) is before and signal.getitimer(signal.ITIMER_REAL) == (0, 0)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_check_refuses_a_limit_that_is_none(seconds):
    with pytest.raises(ValueError, match="seconds: expected a number greater than 0, or None"):
        vl.check(right, "normal_flow", seconds=seconds)
