"""What the judge can't say of SlowFast: published frames, sizes for every α and T, who feels whom, PyTorch, pictures."""

from __future__ import annotations

import numpy as np
import pytest

from vidlearn import slowfast

RNG = np.random.default_rng(0)


def numbered(frames):
    """A clip in which each frame holds its number."""
    return np.arange(float(frames)).reshape(1, 1, frames, 1, 1)


def taken(frames, alpha, how):
    return slowfast.sample_pathways(numbered(frames), alpha, how)[0].ravel().astype(int).tolist()


# ------------------------------------------------------------------ two rates


def test_the_paper_takes_every_fourth_frame_and_the_published_code_spreads_them():
    assert taken(32, 4, "stride") == [0, 4, 8, 12, 16, 20, 24, 28]
    assert taken(32, 4, "spread") == [0, 4, 8, 13, 17, 22, 26, 31]


def test_spread_frames_are_those_that_the_published_code_takes():
    """PyTorchVideo's PackPathway: torch.linspace(0, T - 1, T // alpha).long(), at the sizes of its networks."""
    torch = pytest.importorskip("torch", reason="not run, because torch is not installed")
    for frames, alpha in [(32, 8), (32, 4), (64, 4), (64, 8), (16, 8)]:
        assert taken(frames, alpha, "spread") == torch.linspace(0, frames - 1, frames // alpha).long().tolist()


def test_no_spread_frame_is_more_than_alpha_less_1_frames_from_the_strided_one():
    for alpha in range(1, 9):
        for n in range(2, 12):
            apart = np.subtract(taken(n * alpha, alpha, "spread"), taken(n * alpha, alpha, "stride"))
            assert apart[0] == 0
            assert apart[-1] == alpha - 1
            assert (np.diff(apart) >= 0).all()


def test_the_spans_of_the_published_networks():
    spans = [[int(slowfast.clip_span(n, tau)) for n, tau in pair] for pair in
             (((4, 16), (32, 2)), ((8, 8), (32, 2)), ((16, 8), (64, 2)))]  # fmt: skip
    assert spans == [[49, 63], [57, 63], [121, 127]]


@pytest.mark.parametrize("name", ["sample_pathways", "time_to_channel"])
def test_frames_that_alpha_does_not_divide_are_refused_by_name(name):
    argument = "x" if name == "sample_pathways" else "fast"
    with pytest.raises(ValueError, match=f"^{argument}: expected a multiple of alpha = 8 frames, got 12"):
        getattr(slowfast, name)(numbered(12), 8)


# ------------------------------------------------------------------ the connections


@pytest.mark.parametrize("how", ["conv", "sample", "time-to-channel"])
def test_every_connection_has_as_many_frames_as_the_slow_pathway_for_every_alpha_and_t(how):
    for alpha in range(1, 10):
        for n in range(1, 5):
            slow, fast = slowfast.sample_pathways(numbered(alpha * n), alpha)
            for kernel in (1, 3, 5, 7, 9) if how == "conv" else (1,):
                w = np.ones((2, 1, kernel, 1, 1)) if how == "conv" else None
                joined = slowfast.lateral_connection(slow, fast, alpha, how, w=w)
                handed_on = {"conv": 2, "sample": 1, "time-to-channel": alpha}[how]
                assert joined.shape == (1, 1 + handed_on, n, 1, 1)


def test_strided_frames_and_the_sampled_connection_are_of_the_same_moment_and_spread_ones_are_not():
    slow, fast = slowfast.sample_pathways(numbered(32), 4, "stride")
    joined = slowfast.lateral_connection(slow, fast, 4, "sample")
    np.testing.assert_array_equal(joined[:, 0], joined[:, 1])
    spread, _ = slowfast.sample_pathways(numbered(32), 4, "spread")
    joined = slowfast.lateral_connection(spread, fast, 4, "sample")
    assert (joined[:, 0] - joined[:, 1]).ravel().tolist() == [0, 0, 0, 1, 1, 2, 2, 3]


def block(slow, fast, alpha=4):
    w = np.random.default_rng(1)
    shapes = (4, 2, 5, 1, 1), (3, 3 + 4, 1, 3, 3), (2, 2, 3, 3, 3)
    return slowfast.fused_block(slow, fast, *(w.normal(size=s) for s in shapes), alpha)


def test_the_fast_pathway_does_not_change_when_the_slow_one_does_but_the_slow_one_feels_the_fast():
    slow, fast = RNG.normal(size=(2, 3, 2, 5, 4)), RNG.normal(size=(2, 2, 8, 5, 4))
    before, other_slow, other_fast = block(slow, fast), block(slow + 1, fast), block(slow, fast + 1)
    np.testing.assert_array_equal(other_slow[1], before[1])
    assert not np.allclose(other_slow[0], before[0])
    assert not np.allclose(other_fast[0], before[0])
    assert not np.allclose(other_fast[1], before[1])


def test_gradients_flow_from_the_slow_answer_into_the_fast_input_and_not_the_other_way():
    torch = pytest.importorskip("torch", reason="not run, because torch is not installed")
    slow, fast = (torch.randn(s, dtype=torch.float64, requires_grad=True) for s in ((1, 3, 2, 4, 4), (1, 2, 8, 4, 4)))
    weights = [torch.randn(s, dtype=torch.float64) for s in ((4, 2, 5, 1, 1), (3, 7, 1, 3, 3), (2, 2, 3, 3, 3))]
    y_slow, y_fast = slowfast.fused_block(slow, fast, *weights, 4)
    to_slow, to_fast = torch.autograd.grad(y_slow.sum(), (slow, fast), retain_graph=True)
    assert to_slow.abs().max() > 0
    assert to_fast.abs().max() > 0
    assert torch.autograd.grad(y_fast.sum(), slow, allow_unused=True)[0] is None


def test_what_does_not_fit_is_refused_by_name():
    slow, fast, w = numbered(2), numbered(8), np.ones((2, 1, 5, 1, 1))
    for name, call in {
        "fast": lambda: slowfast.lateral_connection(slow, fast, 8, "sample"),
        "w": lambda: slowfast.lateral_connection(slow, fast, 4),
        "fuse": lambda: slowfast.lateral_connection(slow, fast, 4, "conv", "add", w),
        "w_slow": lambda: slowfast.fused_block(slow, fast, w, np.ones((1, 1, 1, 1, 1)), np.ones((1, 1, 1, 1, 1)), 4),
        "w_lateral": lambda: slowfast.fused_block(slow, fast, w[:, :, :4], np.ones((1, 3, 1, 1, 1)), w[:1, :, :1], 4),
        "x": lambda: slowfast.half_resolution(numbered(2)),
    }.items():
        with pytest.raises(ValueError, match=rf"^{name}: "):
            call()
    with pytest.raises(ValueError, match=r"^w: expected None"):
        slowfast.lateral_connection(slow, fast, 4, "sample", w=w)
    with pytest.raises(ValueError, match=r"^w: expected a kernel of odd sizes"):
        slowfast.time_strided_conv(fast, w[:, :, :4], 4)


# ------------------------------------------------------------------ pictures


@pytest.fixture
def plots():
    matplotlib = pytest.importorskip(
        "matplotlib", reason="not run, because Matplotlib is not installed: pip install 'vidlearn[notebooks]'"
    )
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from vidlearn.slowfast import plots

    yield plots
    plt.close("all")


def words(figure):
    return [t.get_text() for ax in figure.axes for t in (*ax.texts, ax.title, *ax.get_yticklabels())]


def test_the_pathways_are_drawn_with_the_frames_that_are_taken(plots):
    for how in ("stride", "spread"):
        figure = plots.pathways(32, 4, how=how)
        figure.canvas.draw()
        shown = [t.get_text() for t in figure.axes[0].texts]
        assert shown == [str(t) for t in taken(32, 4, how)]
    assert "Fast\n32 frames" in words(figure)
    assert len([t for t in words(plots.pathways(8, 8)) if t == "0"]) == 1


def test_the_connections_are_drawn_with_the_frames_that_they_read(plots):
    figure = plots.laterals(4, 8, 5)
    figure.canvas.draw()
    lines = [len(ax.lines) for ax in figure.axes]
    assert lines == [32, 4, 18]  # the first window of five hangs over the clip's start by two
    assert [t for t in words(figure) if "unread" in t] == [
        "time to channel: 8 channels from 1, 0 of 32 frames unread",
        "time-strided sampling: 1 channel from 1, 28 of 32 frames unread",
        "time-strided convolution, kernel of 5: 2 channels from 1, 14 of 32 frames unread",
    ]


def test_pictures_refuse_what_they_cannot_draw(plots):
    for name, call in {
        "frames": lambda: plots.pathways(30, 8),
        "beta": lambda: plots.pathways(32, 8, 2),
        "alpha": lambda: plots.laterals(4, 0),
        "slow_frames": lambda: plots.laterals(0),
        "kernel": lambda: plots.laterals(4, 8, 4),
    }.items():
        with pytest.raises(ValueError, match=f"^{name}: "):
            call()


def test_every_picture_is_tested(plots):
    assert set(plots.__all__) == {"laterals", "pathways"}
