"""What makes an implementation of SlowFast right: its cases, its laws and the mistakes people make.

In each part, the functions that a spec names stand before it.
"""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np

from vidlearn import layers
from vidlearn.layers.spec.drawing import cut_to, unsaid
from vidlearn.slowfast import reference
from vidlearn.spec import Cost, Law, Mistake, Spec, Tolerance

few = st.integers(1, 2)
three = st.integers(1, 3)
odd = st.sampled_from([1, 3, 5])

MOVED = Tolerance(ulps=0, why="numbers are moved, none is changed")


def magnitude(x: Any, *kernels: Any) -> float:
    """The largest that an answer can become: rounding errors are measured by it."""
    return float(np.abs(x).max() * np.prod([np.abs(w).reshape(len(w), -1).sum(axis=1).max() for w in kernels]))


def bytes_moved(s: Any) -> float:
    """Every number is read once and written once."""
    return float(2 * s.N * s.C * s.T * s.pixels * s.itemsize)


def one_clip(size: tuple[int, int], rng: np.random.Generator, channels: int = 4, frames: int = 8) -> Any:
    return rng.normal(size=(1, channels, frames, *size))


# ------------------------------------------------------------------ clip_span


def every_frame(f: Any, frames: int, interval: int) -> Any:
    return f(frames, 1), np.array(frames)


def a_single_frame(f: Any, frames: int, interval: int) -> Any:
    return f(1, interval), np.array(1)


def one_frame_more(f: Any, frames: int, interval: int) -> Any:
    return f(frames + 1, interval) - f(frames, interval), np.array(interval)


clip_span = Spec(
    cases={
        "several frames": st.fixed_dictionaries({"frames": st.integers(2, 32), "interval": st.integers(1, 16)}),
        "one frame": st.fixed_dictionaries({"frames": st.just(1), "interval": st.integers(1, 16)}),
    },
    laws=[
        Law("at an interval of 1 a pathway spans as many frames as it looks at", every_frame),
        Law("a single frame spans one frame, whatever the interval", a_single_frame),
        Law("one frame more spans one interval more", one_frame_more),
    ],
    mistakes=[
        Mistake("as many intervals as frames", lambda right, frames, interval: np.array(frames * interval),
                ["How many steps are there between two frames? Between n?", "n frames have n − 1 intervals between them."]),
        Mistake("the first frame is not counted", lambda right, frames, interval: right(frames, interval) - 1,
                ["What is the span of a single frame?", "From the first to the last one, both counted: + 1."]),
        Mistake("interval taken for the frames between", lambda right, frames, interval:
                np.array(frames + (frames - 1) * interval),
                ["If every frame is looked at, what is the interval?", "1: it is the step, not the gap."]),
        Mistake("frames and interval exchanged", lambda right, frames, interval: right(interval, frames),
                ["4×16: which number is which?", "4 frames, 16 apart."]),
    ],
    accepted=[lambda frames, interval: len(range((frames - 1) * interval + 1)),
              lambda frames, interval: np.arange(frames)[-1] * interval + 1,
              lambda frames, interval: frames * interval - interval + 1],
    tolerance=Tolerance(ulps=0, why="whole numbers"),
    cost=Cost(flops=lambda s: 3, bytes=lambda s: 8),
    large=lambda size, rng: {"frames": 32, "interval": 2},
)  # fmt: skip

# ------------------------------------------------------------------ sample_pathways


def _clips(slow: st.SearchStrategy[int], alpha: st.SearchStrategy[int], hows: list[str]) -> Any:
    def shapes(n: int, c: int, s: int, a: int, h: int, w: int, how: str) -> Any:
        return {"x": (n, c, s * a, h, w)}, {"alpha": a, "how": how}

    sizes = st.builds(shapes, few, few, slow, alpha, few, few, st.sampled_from(hows))
    return unsaid(cut_to({"x": (2, 2, 16, 2, 2)}, sizes), alpha=8, how="stride")


def fast_is_the_clip(f: Any, x: Any, alpha: int = 8, how: str = "stride") -> Any:
    return f(x, alpha, how)[1], x


def starts_with_the_clip(f: Any, x: Any, alpha: int = 8, how: str = "stride") -> Any:
    return f(x, alpha, how)[0][:, :, :1], x[:, :, :1]


def ends_with_the_clip(f: Any, x: Any, alpha: int = 8, how: str = "stride") -> Any:
    return f(x, alpha, how)[0][:, :, -1:], x[:, :, -1:]


def same_rates(f: Any, x: Any, alpha: int = 8, how: str = "stride") -> Any:
    return f(x, 1, how)[0], x


def two_clips_in_a_row(f: Any, x: Any, alpha: int = 8, how: str = "stride") -> Any:
    both = f(np.concatenate([x, 2 * x], axis=2), alpha, how)[0]
    one = f(x, alpha, how)[0]
    return both, np.concatenate([one, 2 * one], axis=2)


def _in_a_loop(x: Any, alpha: int = 8, how: str = "stride") -> Any:
    last, n, frames = x.shape[2] - 1, x.shape[2] // alpha, []
    for i in range(n):
        frames.append(x[:, :, int(i * last / (n - 1) + 1e-9) if how == "spread" and n > 1 else alpha * i])
    return [np.stack(frames, axis=2), x]


def _by_linspace(x: Any, alpha: int = 8, how: str = "stride") -> Any:
    times = np.linspace(0, x.shape[2] - 1, x.shape[2] // alpha) + 1e-9
    return (x[:, :, times.astype(int)] if how == "spread" else x[:, :, ::alpha]), x.copy()


def whole_numbers(f: Any, x: Any, alpha: int = 8, how: str = "stride") -> Any:
    """Floats get (T − 1)/(S − 1) · i a hair too small for some i here, and then fall one frame short."""
    numbers = np.arange(495.0).reshape(1, 1, 495, 1, 1)
    return f(numbers, 5, "spread")[0].ravel(), np.array([float(i * 494 // 98) for i in range(99)])


def _with_floats(right: Any, x: Any, alpha: int = 8, how: str = "stride") -> Any:
    times = np.linspace(0, x.shape[2] - 1, x.shape[2] // alpha).astype(int)
    return (x[:, :, times], x) if how == "spread" else right(x, alpha, how)


def _nearest(right: Any, x: Any, alpha: int = 8, how: str = "stride") -> Any:
    n = x.shape[2] // alpha
    times = np.rint(np.linspace(0, x.shape[2] - 1, n)).astype(int)
    return (x[:, :, times], x) if how == "spread" else right(x, alpha, how)


sample_pathways = Spec(
    cases={
        "by stride": _clips(st.integers(2, 4), three, ["stride"]) | _clips(st.just(2), st.just(8), ["stride"]),
        "spread": _clips(st.integers(2, 4), three, ["spread"]),
        "one Slow frame": _clips(st.just(1), three, ["stride", "spread"]),
    },
    laws=[
        Law("the Fast pathway gets the whole clip", fast_is_the_clip),
        Law("the first Slow frame is the first of the clip", starts_with_the_clip),
        Law("spread, the last Slow frame is the last of the clip", ends_with_the_clip, ("spread",)),
        Law("with α = 1 both pathways get the whole clip", same_rates),
        Law("spread over 495 frames with α = 5 they are whole numbers' floors: no fraction is rounded off on the way",
            whole_numbers, ("spread",)),
        Law("by stride, the Slow frames of two clips in a row are those of the one, then those of the other",
            two_clips_in_a_row, ("by stride",)),
    ],
    mistakes=[
        Mistake("the pathways exchanged", lambda right, x, alpha=8, how="stride": right(x, alpha, how)[::-1],
                ["Which one has more frames?", "Return (slow, fast)."]),
        Mistake("the first frames of the clip", lambda right, x, alpha=8, how="stride": (x[:, :, : x.shape[2] // alpha], x),
                ["How much of the clip does your Slow pathway see?", "One frame in α, over the whole clip: a step, not an end."]),
        Mistake("steps of T / α frames", lambda right, x, alpha=8, how="stride": (x[:, :, :: x.shape[2] // alpha], x),
                ["How many Slow frames are there, and how far apart?", "T / α of them, α apart."]),
        Mistake("the last of every α frames", lambda right, x, alpha=8, how="stride":
                (x[:, :, alpha - 1 :: alpha], x) if how == "stride" else right(x, alpha, how),
                ["Which frame is the first that Slow sees?", "Frame 0, then α, 2α, …"]),
        Mistake("stride where spread is asked for", lambda right, x, alpha=8, how="stride": right(x, alpha, "stride"),
                ["Does the last Slow frame change with how?", "Spread frames go from the clip's first to its last one."]),
        Mistake("spread where stride is asked for", lambda right, x, alpha=8, how="stride": right(x, alpha, "spread"),
                ["Are all steps the same?", "By stride, frame i is αi."]),
        Mistake("floor of floating-point numbers", _with_floats,
                ["Is (T − 1)/(S − 1) · i exact as a float?", "Multiply first and divide whole numbers: i (T − 1) // (S − 1)."]),
        Mistake("rounded to the nearest frame", _nearest,
                ["What becomes of 13.3 and of 8.9?", "Both are rounded down: 13 and 8; use //."]),
        Mistake("Fast pathway thinned out too", lambda right, x, alpha=8, how="stride": (right(x, alpha, how)[0],) * 2,
                ["What is fast about the Fast pathway?", "It gets every frame: return x itself."]),
    ],
    accepted=[_in_a_loop, _by_linspace],
    tolerance=MOVED,
    cost=Cost(flops=lambda s: s.T / s.alpha, bytes=lambda s: bytes_moved(s) / s.alpha),
    large=lambda size, rng: {"x": one_clip(size, rng, 3, 32), "alpha": 4, "how": "spread"},
    outputs=("slow", "fast"),
)  # fmt: skip

# ------------------------------------------------------------------ time_to_channel


def _packable(channels: int, slow: st.SearchStrategy[int], alpha: st.SearchStrategy[int]) -> Any:
    def shapes(n: int, s: int, a: int, h: int, w: int) -> Any:
        return {"fast": (n, channels, s * a, h, w)}, {"alpha": a}

    return cut_to({"fast": (2, channels, 9, 2, 2)}, st.builds(shapes, few, slow, alpha, few, few))


def _parts(fast: Any, alpha: int) -> Any:
    """(N, C, S, alpha, H, W)."""
    n, c, t, h, w = fast.shape
    return fast.reshape(n, c, t // alpha, alpha, h, w)


def first_channels_are_sampled(f: Any, fast: Any, alpha: int) -> Any:
    return f(fast, alpha)[:, : fast.shape[1]], fast[:, :, ::alpha]


def packed_in_two_steps(f: Any, fast: Any, alpha: int) -> Any:
    return f(f(fast, alpha), fast.shape[2] // alpha), f(fast, fast.shape[2])


def by_one_is_itself(f: Any, fast: Any, alpha: int) -> Any:
    return f(fast, 1), fast


def still_clip_repeats_its_channels(f: Any, fast: Any, alpha: int) -> Any:
    still = np.repeat(fast[:, :, :1], fast.shape[2], axis=2)
    return f(still, alpha), np.concatenate([still[:, :, ::alpha]] * alpha, axis=1)


def _channels_outer(right: Any, fast: Any, alpha: int) -> Any:
    parts = _parts(fast, alpha)
    n, c, s, a, h, w = parts.shape
    return np.moveaxis(parts, 3, 2).reshape(n, c * a, s, h, w)


def _only_reshaped(right: Any, fast: Any, alpha: int) -> Any:
    n, c, t, h, w = fast.shape
    return fast.reshape(n, c * alpha, t // alpha, h, w)


def _reversed_in_time(right: Any, fast: Any, alpha: int) -> Any:
    return right(_parts(fast, alpha)[:, :, :, ::-1].reshape(fast.shape), alpha)


time_to_channel = Spec(
    cases={
        "several channels": _packable(2, st.integers(2, 3), st.integers(2, 3)),
        "one channel": _packable(1, st.integers(2, 3), three),
        "one Slow frame": _packable(2, st.just(1), three),
    },
    laws=[
        Law("the first C channels are every α-th frame", first_channels_are_sampled),
        Law("packing by α, and the rest after it, is packing all at once", packed_in_two_steps),
        Law("packing by 1 changes nothing", by_one_is_itself),
        Law("if nothing moves, the channels of the first frame are repeated α times", still_clip_repeats_its_channels),
    ],
    mistakes=[
        Mistake("the frames of each channel together", _channels_outer,
                ["In what order are the new channels?", "Channel a·C + c: all channels of the first frame come first."]),
        Mistake("only reshaped", _only_reshaped,
                ["Which frames share a new frame: those in a row, or those far apart?",
                 "Take the time axis apart into (T/α, α), then move the α to the channels before you join them."]),
        Mistake("last of the α frames first", _reversed_in_time,
                ["Whose channels come first?", "Those of the first of the α frames."]),
        Mistake("α frames averaged", lambda right, fast, alpha: _parts(fast, alpha).mean(axis=3),
                ["How many channels has the answer?", "αC: nothing is lost, so nothing may be averaged."]),
        Mistake("one frame in α kept", lambda right, fast, alpha: fast[:, :, ::alpha],
                ["How many channels has the answer?", "αC: no frame is dropped; that would be time_strided_sampling."]),
    ],
    accepted=[lambda fast, alpha: np.concatenate([fast[:, :, a::alpha] for a in range(alpha)], axis=1),
              lambda fast, alpha: np.einsum("ncsahw->nacshw", _parts(fast, alpha)).reshape(
                  len(fast), alpha * fast.shape[1], -1, *fast.shape[3:])],
    tolerance=MOVED,
    cost=Cost(flops=lambda s: s.N * s.C * s.T * s.pixels, bytes=bytes_moved),
    large=lambda size, rng: {"fast": one_clip(size, rng), "alpha": 4},
)  # fmt: skip

# ------------------------------------------------------------------ time_strided_sampling


def _steps(divided: bool) -> Any:
    """α, and the frames that are left after the last whole step."""
    return st.tuples(three, st.just(0)) if divided else st.sampled_from([(2, 1), (3, 1), (3, 2)])


def _frames(divided: bool) -> Any:
    def shapes(n: int, c: int, s: int, step: tuple[int, int], h: int, w: int) -> Any:
        return {"fast": (n, c, s * step[0] + step[1], h, w)}, {"alpha": step[0]}

    return cut_to({"fast": (2, 2, 11, 2, 2)}, st.builds(shapes, few, few, three, _steps(divided), few, few))


def sampled_in_two_steps(f: Any, fast: Any, alpha: int) -> Any:
    return f(f(fast, alpha), 2), f(fast, 2 * alpha)


def others_do_not_matter(f: Any, fast: Any, alpha: int) -> Any:
    kept = np.arange(fast.shape[2])[:, None, None] % alpha == 0
    return f(np.where(kept, fast, 7.0), alpha), f(fast, alpha)


def frames_are_carried(f: Any, fast: Any, alpha: int) -> Any:
    numbers = np.broadcast_to(np.arange(float(fast.shape[2]))[:, None, None], fast.shape).copy()
    got = f(numbers, alpha)
    return got, np.broadcast_to(alpha * np.arange(float(got.shape[2]))[:, None, None], got.shape)


time_strided_sampling = Spec(
    cases={"whole steps": _frames(True), "a rest": _frames(False)},
    laws=[
        Law("sampling by 1 changes nothing", by_one_is_itself),
        Law("sampling by α, then by 2, is sampling by 2α", sampled_in_two_steps),
        Law("what is in the frames between does not matter", others_do_not_matter),
        Law("frame i of the answer is frame αi", frames_are_carried),
    ],
    mistakes=[
        Mistake("the last of every α frames", lambda right, fast, alpha: fast[:, :, alpha - 1 :: alpha],
                ["Which frame is kept first?", "Frame 0."]),
        Mistake("the first frames", lambda right, fast, alpha: fast[:, :, : -(-fast.shape[2] // alpha)],
                ["How far apart are the frames you keep?", "α: write a step, [::alpha]."]),
        Mistake("averages α frames", lambda right, fast, alpha: _averaged(fast, alpha),
                ["Does a frame between count?", "The others are dropped, not averaged."]),
        Mistake("samples space too", lambda right, fast, alpha: fast[:, :, ::alpha, ::alpha],
                ["How tall is the answer?", "Time alone is sampled."]),
        Mistake("a rest is cut off", lambda right, fast, alpha: right(fast, alpha)[:, :, : fast.shape[2] // alpha],
                ["Of 7 frames, which does a step of 3 meet?", "Frames 0, 3 and 6: S is rounded up."]),
    ],
    accepted=[lambda fast, alpha: fast[:, :, np.arange(0, fast.shape[2], alpha)],
              lambda fast, alpha: np.stack([fast[:, :, t] for t in range(fast.shape[2]) if t % alpha == 0], axis=2)],
    tolerance=MOVED,
    cost=Cost(flops=lambda s: s.T / s.alpha, bytes=lambda s: bytes_moved(s) / s.alpha),
    large=lambda size, rng: {"fast": one_clip(size, rng), "alpha": 4},
)  # fmt: skip


def _averaged(fast: Any, alpha: int) -> Any:
    return np.stack([fast[:, :, t : t + alpha].mean(axis=2) for t in range(0, fast.shape[2], alpha)], axis=2)


# ------------------------------------------------------------------ time_strided_conv


def _convolved(divided: bool) -> Any:
    def shapes(n: int, c: int, o: int, s: int, step: tuple[int, int], h: int, w: int, k: int) -> Any:
        return {"fast": (n, c, s * step[0] + step[1], h, w), "w": (o, c, k, 1, 1)}, {"alpha": step[0]}

    most = {"fast": (2, 2, 11, 2, 2), "w": (2, 2, 5, 1, 1)}
    return cut_to(most, st.builds(shapes, few, few, few, three, _steps(divided), few, few, odd))


def middle_tap_samples(f: Any, fast: Any, w: Any, alpha: int) -> Any:
    middle = np.zeros((fast.shape[1], *w.shape[1:]))
    middle[:, :, w.shape[2] // 2, 0, 0] = np.eye(fast.shape[1])
    return f(fast, middle, alpha), fast[:, :, ::alpha]


def dense_then_sampled(f: Any, fast: Any, w: Any, alpha: int) -> Any:
    return f(fast, w, alpha), f(fast, w, 1)[:, :, ::alpha]


def a_column_alone(f: Any, fast: Any, w: Any, alpha: int) -> Any:
    return f(fast[..., :1].copy(), w, alpha), f(fast, w, alpha)[..., :1]


def taps_add_up(f: Any, fast: Any, w: Any, alpha: int) -> Any:
    first = w.copy()
    first[:, :, 1:] = 0
    return f(fast, first, alpha) + f(fast, w - first, alpha), f(fast, w, alpha)


def _padded(fast: Any, before: int, after: int) -> Any:
    return np.pad(fast, [(0, 0), (0, 0), (before, after), (0, 0), (0, 0)])


def _valid(fast: Any, w: Any, alpha: int) -> Any:
    return layers.conv3d(fast, w, stride=(alpha, 1, 1))


def _by_tap(fast: Any, w: Any, alpha: int) -> Any:
    half, frames = w.shape[2] // 2, fast.shape[2]
    padded = _padded(fast, half, half)
    return sum(
        np.einsum("oc,ncthw->nothw", w[:, :, k, 0, 0], padded[:, :, k : k + frames : alpha]) for k in range(w.shape[2])
    )


def _window_by_window(fast: Any, w: Any, alpha: int) -> Any:
    half = w.shape[2] // 2
    padded = _padded(fast, half, half)
    windows = [padded[:, :, t : t + w.shape[2]] for t in range(0, fast.shape[2], alpha)]
    return np.stack([np.einsum("ock,nckhw->nohw", w[..., 0, 0], window) for window in windows], axis=2)


time_strided_conv = Spec(
    cases={"whole steps": _convolved(True), "a rest": _convolved(False)},
    laws=[
        Law("with a 1 in the middle of the kernel it is time-strided sampling", middle_tap_samples),
        Law("it is every α-th frame of the convolution without a stride", dense_then_sampled),
        Law("no pixel sees another", a_column_alone),
        Law("the answers of the kernel's parts add up to that of the kernel", taps_add_up),
    ],
    mistakes=[
        Mistake("no padding", lambda right, fast, w, alpha: _valid(fast, w, alpha),
                ["How many frames has the answer, for a kernel of 1, 3, 5?", "Put ⌊K_t / 2⌋ zeros before and after the clip."]),
        Mistake("all padding before the clip", lambda right, fast, w, alpha: _valid(_padded(fast, w.shape[2] - 1, 0), w, alpha),
                ["Which frame is in the middle of the first window?", "Frame 0: half of the padding is before, half after."]),
        Mistake("all padding after the clip", lambda right, fast, w, alpha: _valid(_padded(fast, 0, w.shape[2] - 1), w, alpha),
                ["Which frame is in the middle of the first window?", "Frame 0: half of the padding is before, half after."]),
        Mistake("no stride", lambda right, fast, w, alpha: right(fast, w, 1),
                ["How many frames has the Slow pathway?", "The kernel takes steps of α frames."]),
        Mistake("stride in space too", lambda right, fast, w, alpha: right(fast, w, alpha)[..., ::alpha, ::alpha],
                ["How tall and wide is the answer?", "As the input: the stride is (α, 1, 1)."]),
        Mistake("kernel flipped", lambda right, fast, w, alpha: right(fast, w[:, :, ::-1], alpha),
                ["Does the kernel's first tap meet the frame before or after?", "Networks correlate: nothing is flipped."]),
        Mistake("window starts in the middle of α frames", lambda right, fast, w, alpha: right(fast, w, 1)[:, :, alpha // 2 :: alpha],
                ["Which frame is in the middle of the first window?", "Frame 0, the one that the Slow pathway sees too."]),
        Mistake("a rest is cut off", lambda right, fast, w, alpha: right(fast, w, alpha)[:, :, : fast.shape[2] // alpha],
                ["Of 7 frames, where are windows with a step of 3?", "Around frames 0, 3 and 6: S is rounded up."]),
        Mistake("edges repeated instead of zeros", lambda right, fast, w, alpha: _valid(
                    np.pad(fast, [(0, 0), (0, 0), (w.shape[2] // 2,) * 2, (0, 0), (0, 0)], mode="edge"), w, alpha),
                ["What is before the first frame?", "Zeros."]),
    ],
    accepted=[_by_tap, _window_by_window,
              lambda fast, w, alpha: reference.time_strided_conv(fast.astype(np.float32), w.astype(np.float32), alpha)],
    tolerance=Tolerance(ulps=16, why="a sum of products, relative to the sum of their magnitudes",
                        scale=lambda expected, fast, w, alpha: magnitude(fast, w)),
    cost=Cost(flops=lambda s: 2 * s.N * s.O * s.C * s.Kt * s.T * s.pixels / s.alpha,
              bytes=lambda s: (s.C + s.O / s.alpha) * s.N * s.T * s.pixels * s.itemsize),
    large=lambda size, rng: {"fast": one_clip(size, rng), "w": rng.normal(size=(8, 4, 5, 1, 1)), "alpha": 4},
)  # fmt: skip

# ------------------------------------------------------------------ lateral_connection


def _joined(how: str, fuse: str) -> Any:
    def shapes(n: int, c: int, d: int, o: int, s: int, a: int, hw: tuple[int, int], k: int) -> Any:
        if fuse == "concatenate":
            a, d = 2, 2 if how == "time-to-channel" else d  # so that every probe tells the ways of packing apart
        else:
            c = {"conv": o, "sample": d, "time-to-channel": a * d}[how]
        weights = {"w": (o, d, k, 1, 1)} if how == "conv" else {}
        return {"slow": (n, c, s, *hw), "fast": (n, d, s * a, *hw), **weights}, {"alpha": a, "how": how, "fuse": fuse}

    most = {"slow": (2, 4, 2, 2, 2), "fast": (2, 2, 16, 2, 2), "w": (2, 2, 5, 1, 1)}
    alpha = st.sampled_from([1, 2, 8] if fuse == "add" and how != "time-to-channel" else [1, 2])
    drawn = cut_to(most, st.builds(shapes, few, few, few, few, few, alpha, st.tuples(few, few), odd))
    return unsaid(drawn.map(_without_spare_weights), alpha=8, how="conv", fuse="concatenate")


def _without_spare_weights(inputs: dict[str, Any]) -> dict[str, Any]:
    named = {n: inputs[n] for n in ("slow", "fast", "alpha", "how", "fuse")}
    return {**named, "w": inputs["w"]} if inputs["how"] == "conv" else named


def slow_channels_first(
    f: Any, slow: Any, fast: Any, alpha: int = 8, how: str = "conv", fuse: str = "concatenate", w: Any = None
) -> Any:
    return f(slow, fast, alpha, how, "concatenate", w)[:, : slow.shape[1]], slow


def black_fast_adds_nothing(
    f: Any, slow: Any, fast: Any, alpha: int = 8, how: str = "conv", fuse: str = "concatenate", w: Any = None
) -> Any:
    return f(slow, 0 * fast, alpha, how, fuse, w), slow


def twice_the_fast(
    f: Any, slow: Any, fast: Any, alpha: int = 8, how: str = "conv", fuse: str = "concatenate", w: Any = None
) -> Any:
    more = f(slow, 2 * fast, alpha, how, fuse, w) - f(slow, fast, alpha, how, fuse, w)
    return more, f(0 * slow, fast, alpha, how, fuse, w)


def middle_tap_is_sample(
    f: Any, slow: Any, fast: Any, alpha: int = 8, how: str = "conv", fuse: str = "concatenate", w: Any = None
) -> Any:
    middle = np.zeros((fast.shape[1], fast.shape[1], 3, 1, 1))
    middle[:, :, 1, 0, 0] = np.eye(fast.shape[1])
    return f(slow, fast, alpha, "conv", fuse, middle), f(slow, fast, alpha, "sample", fuse)


def _handed(slow: Any, fast: Any, alpha: int, how: str, w: Any = None) -> Any:
    return reference.lateral_connection(slow, fast, alpha, how, "concatenate", w)[:, slow.shape[1] :]  # type: ignore[arg-type]


def _fuse(slow: Any, handed: Any, fuse: str) -> Any:
    return slow + handed if fuse == "add" else np.concatenate([slow, handed], axis=1)


def _handing(wrong: Any) -> Any:
    """A mistake in what is handed on: ``wrong(handed, fast, alpha, how)``."""

    def mistaken(
        right: Any, slow: Any, fast: Any, alpha: int = 8, how: str = "conv", fuse: str = "concatenate", w: Any = None
    ) -> Any:
        return _fuse(slow, wrong(_handed(slow, fast, alpha, how, w), fast, alpha, how), fuse)

    return mistaken


def _other_way(
    right: Any, slow: Any, fast: Any, alpha: int = 8, how: str = "conv", fuse: str = "concatenate", w: Any = None
) -> Any:
    return _fuse(fast, np.repeat(slow, alpha, axis=2), fuse)


def _fast_first(
    right: Any, slow: Any, fast: Any, alpha: int = 8, how: str = "conv", fuse: str = "concatenate", w: Any = None
) -> Any:
    handed = _handed(slow, fast, alpha, how, w)
    return slow + handed if fuse == "add" else np.concatenate([handed, slow], axis=1)


def _join_by_hand(
    slow: Any, fast: Any, alpha: int = 8, how: str = "conv", fuse: str = "concatenate", w: Any = None
) -> Any:
    if how == "conv":
        handed = _by_tap(fast, w, alpha)
    else:
        handed = np.concatenate([fast[:, :, a::alpha] for a in range(alpha if how == "time-to-channel" else 1)], axis=1)
    return _fuse(slow, handed, fuse)


lateral_connection = Spec(
    cases={
        "convolved": _joined("conv", "concatenate"),
        "sampled": _joined("sample", "concatenate"),
        "packed": _joined("time-to-channel", "concatenate"),
        "added": st.one_of(*(_joined(how, "add") for how in ("conv", "sample", "time-to-channel"))),
    },
    laws=[
        Law("concatenated, the Slow channels come first, unchanged", slow_channels_first),
        Law("added, a Fast pathway that is all zeros changes nothing", black_fast_adds_nothing, ("added",)),
        Law("what is handed on grows with the Fast features, and with nothing else", twice_the_fast),
        Law("a convolution with a 1 in the middle of its kernel is sampling", middle_tap_is_sample, ("convolved",)),
    ],
    mistakes=[
        Mistake("Fast channels first", _fast_first,
                ["Where does the next kernel look for the Slow features?", "In front: concatenate [slow, handed]."]),
        Mistake("from Slow to Fast", _other_way,
                ["Who learns from whom?", "The connection goes from Fast to Slow; the answer has the Slow frame rate."]),
        Mistake("the Slow features are dropped", lambda right, slow, fast, alpha=8, how="conv", fuse="concatenate", w=None:
                _handed(slow, fast, alpha, how, w),
                ["What does the Slow pathway go on with?", "With both: its own features, and what was handed on."]),
        Mistake("always concatenated", lambda right, slow, fast, alpha=8, how="conv", fuse="concatenate", w=None:
                right(slow, fast, alpha, how, "concatenate", w),
                ["How many channels has the sum of two features?", "Look at fuse: 'add' adds."]),
        Mistake("kernel flipped in time", lambda right, slow, fast, alpha=8, how="conv", fuse="concatenate", w=None: right(
                slow, fast, alpha, how, fuse, w if w is None else w[:, :, ::-1].copy()),
                ["Does the kernel's first tap meet the frame before or after?", "Networks correlate: nothing is flipped."]),
        Mistake("ReLU after the connection", _handing(lambda handed, fast, alpha, how: np.maximum(handed, 0)),
                ["Is the connection linear?", "Here it is: the ReLU comes later."]),
        Mistake("samples the last of every α frames", _handing(lambda handed, fast, alpha, how:
                fast[:, :, alpha - 1 :: alpha] if how == "sample" else handed),
                ["Which of the α frames is kept?", "The first: 0, α, 2α, …"]),
        Mistake("packs the frames of each channel together", _handing(lambda handed, fast, alpha, how:
                _channels_outer(None, fast, alpha) if how == "time-to-channel" else handed),
                ["In what order are the packed channels?", "All channels of the first of the α frames, then of the second."]),
    ],
    accepted=[_join_by_hand,
              lambda slow, fast, alpha=8, how="conv", fuse="concatenate", w=None: reference.lateral_connection(
                  slow.astype(np.float32), fast.astype(np.float32), alpha, how, fuse, None if w is None else w.astype(np.float32))],
    tolerance=Tolerance(ulps=16, why="a sum of products, relative to the sum of their magnitudes",
                        scale=lambda expected, slow, fast, alpha=8, how="conv", fuse="concatenate", w=None:
                        float(np.abs(slow).max()) + (magnitude(fast) if w is None else magnitude(fast, w))),
    cost=Cost(flops=lambda s: 2 * s.N * getattr(s, "O", 1) * s.D * getattr(s, "Kt", 1) * s.S * s.pixels,
              bytes=lambda s: (s.C * s.S + s.D * s.T) * 2 * s.N * s.pixels * s.itemsize),
    large=lambda size, rng: {"slow": one_clip(size, rng, 16, 2), "fast": one_clip(size, rng, 4, 8), "alpha": 4,
                             "w": rng.normal(size=(8, 4, 5, 1, 1))},
)  # fmt: skip

# ------------------------------------------------------------------ fused_block


def _blocks(slow_frames: st.SearchStrategy[int]) -> Any:
    kernel = st.tuples(odd, odd, odd)

    def shapes(
        n: int, c: int, d: int, m: int, out: Any, s: int, a: int, hw: Any, kt: int, k_slow: Any, k_fast: Any
    ) -> Any:
        arrays = {
            "slow": (n, c, s, *hw), "fast": (n, d, s * a, *hw), "w_lateral": (m, d, kt, 1, 1),
            "w_slow": (out[0], c + m, *k_slow), "w_fast": (out[1], d, *k_fast),
        }  # fmt: skip
        return arrays, {"alpha": a}

    most = {
        "slow": (2, 2, 2, 2, 2), "fast": (2, 2, 6, 2, 2), "w_lateral": (2, 2, 5, 1, 1), "w_slow": (2, 4, 5, 5, 5),
        "w_fast": (2, 2, 5, 5, 5),
    }  # fmt: skip
    pair = st.tuples(few, few)
    return cut_to(most, st.builds(shapes, few, few, few, few, pair, slow_frames, three, pair, odd, kernel, kernel))


def fast_ignores_slow(f: Any, slow: Any, fast: Any, *rest: Any, **more: Any) -> Any:
    return f(1 - slow, fast, *rest, **more)[1], f(slow, fast, *rest, **more)[1]


def cut_off(f: Any, slow: Any, fast: Any, w_lateral: Any, w_slow: Any, w_fast: Any, alpha: int) -> Any:
    got = f(slow, fast, 0 * w_lateral, w_slow, w_fast, alpha)[0]
    return got, f(slow, 0 * fast, w_lateral, w_slow, w_fast, alpha)[0]


def no_answer_is_negative(f: Any, **inputs: Any) -> Any:
    return bool(all((np.asarray(y) >= 0).all() for y in f(**inputs)))


def twice_as_strong(f: Any, slow: Any, fast: Any, **rest: Any) -> Any:
    got, once = f(2 * slow, 2 * fast, **rest), f(slow, fast, **rest)
    return np.concatenate([y.ravel() for y in got]), 2 * np.concatenate([y.ravel() for y in once])


def _conv(x: Any, w: Any) -> Any:
    return layers.conv3d(x, w, padding=tuple(k // 2 for k in w.shape[2:]))


def _block(
    slow: Any, fast: Any, w_lateral: Any, w_slow: Any, w_fast: Any, alpha: int,
    order: int = 1, hand: Any = lambda y: y, relus: tuple[Any, Any] = (layers.relu, layers.relu), late: bool = False,
) -> Any:  # fmt: skip
    """The block with a choice at each of its steps; as it should be by default."""
    y_fast = relus[1](_conv(fast, w_fast))
    handed = hand(_by_tap(y_fast if late else fast, w_lateral, alpha))
    fused = np.concatenate([slow, handed][::order], axis=1)
    return relus[0](_conv(fused, w_slow)), y_fast


def _wrongly(**choices: Any) -> Any:
    return lambda right, *inputs: _block(*inputs, **choices)


fused_block = Spec(
    cases={"several Slow frames": _blocks(st.just(2)), "one Slow frame": _blocks(st.just(1))},
    laws=[
        Law("the Fast pathway does not feel the Slow one", fast_ignores_slow),
        Law("a connection of zeros is a Fast pathway of zeros, to the Slow one", cut_off),
        Law("no answer is negative", no_answer_is_negative),
        Law("inputs twice as strong have answers twice as strong", twice_as_strong),
    ],
    mistakes=[
        Mistake("Fast channels first", _wrongly(order=-1),
                ["Which channels of w_slow are for the Slow features?", "The first C: concatenate [slow, lateral]."]),
        Mistake("connected after the Fast pathway's convolution", _wrongly(late=True),
                ["Which Fast features are handed over: before or after the block?", "Those that come in, before w_fast."]),
        Mistake("ReLU on the connection", _wrongly(hand=layers.relu),
                ["How many ReLUs are there?", "Two: one at the end of each pathway. The connection has none here."]),
        Mistake("no ReLU", _wrongly(relus=(lambda y: y, lambda y: y)),
                ["Can an answer be negative?", "Each pathway ends with max(0, ·)."]),
        Mistake("no ReLU in the Fast pathway", _wrongly(relus=(layers.relu, lambda y: y)),
                ["Can a Fast answer be negative?", "Each pathway ends with max(0, ·)."]),
        Mistake("no ReLU in the Slow pathway", _wrongly(relus=(lambda y: y, layers.relu)),
                ["Can a Slow answer be negative?", "Each pathway ends with max(0, ·)."]),
        Mistake("nothing is handed over", _wrongly(hand=np.zeros_like),
                ["What does the Slow pathway know of the Fast one?", "Convolve fast with w_lateral in steps of α."]),
        Mistake("the pathways exchanged", lambda right, *inputs: right(*inputs)[::-1],
                ["Which answer comes first?", "Return (slow, fast)."]),
    ],
    accepted=[_block,
              lambda *a: reference.fused_block(*(x.astype(np.float32) if isinstance(x, np.ndarray) else x for x in a))],
    tolerance=Tolerance(ulps=32, why="two sums of products, relative to the sum of their magnitudes",
                        scale=lambda expected, slow, fast, w_lateral, w_slow, w_fast, alpha: max(
                            magnitude(fast, w_fast), max(magnitude(slow), magnitude(fast, w_lateral)) * magnitude(1.0, w_slow))),
    cost=Cost(flops=lambda s: 2 * s.N * s.pixels * (s.S * s.M * s.D * s.Kt + s.S * s.P * s.I * s.At * s.Ah * s.Aw
                                                    + s.T * s.Q * s.D * s.Bt * s.Bh * s.Bw),
              bytes=lambda s: s.N * s.pixels * (s.S * (s.C + s.P) + s.T * (s.D + s.Q)) * s.itemsize),
    large=lambda size, rng: {
        "slow": one_clip(size, rng, 8, 2), "fast": one_clip(size, rng, 2, 8), "w_lateral": rng.normal(size=(4, 2, 5, 1, 1)),
        "w_slow": rng.normal(size=(8, 12, 1, 3, 3)), "w_fast": rng.normal(size=(2, 2, 3, 3, 3)), "alpha": 4},
    outputs=("slow", "fast"),
)  # fmt: skip

# ------------------------------------------------------------------ to_grey

LUMA = np.array([0.299, 0.587, 0.114])


def _clip(channels: int, frames: st.SearchStrategy[int]) -> Any:
    def shapes(n: int, c: int, t: int, h: int, w: int) -> Any:
        return {"x": (n, channels or c, t, h, w)}, {}

    return cut_to({"x": (2, channels or 2, 4, 2, 2)}, st.builds(shapes, few, few, frames, few, few))


def _primaries(n: int) -> np.ndarray:
    return np.eye(3)[np.arange(n) % 3].reshape(n, 3, 1, 1, 1)


def grey_stays(f: Any, x: Any) -> Any:
    return f(np.repeat(x[:, :1], 3, axis=1)), x[:, :1]


def darker_by_half(f: Any, x: Any) -> Any:
    return f(x / 2), f(x) / 2


def frames_in_any_order(f: Any, x: Any) -> Any:
    return f(x[:, :, ::-1].copy()), f(x)[:, :, ::-1]


def green_weighs_most(f: Any, x: Any) -> Any:
    r, g, b = f(_primaries(3)).ravel()
    return bool(g > r > b > 0)


to_grey = Spec(
    cases={
        "several frames": _clip(3, st.integers(2, 3)), "one frame": _clip(3, st.just(1)),
        "one of red, green and blue": st.fixed_dictionaries({"x": st.integers(1, 3).map(_primaries)}),
    },
    laws=[
        Law("what is grey already stays as it is", grey_stays),
        Law("half as bright a clip is half as bright a grey", darker_by_half),
        Law("each frame is turned grey by itself", frames_in_any_order),
        Law("green looks brighter than red, red brighter than blue", green_weighs_most),
    ],
    mistakes=[
        Mistake("mean of the three colors", lambda right, x: x.mean(axis=1, keepdims=True),
                ["Do a full red and a full green look equally bright?", "Weigh the colors: 0.299, 0.587, 0.114."]),
        Mistake("blue taken for red", lambda right, x: right(x[:, ::-1]),
                ["In what order are the channels?", "Red, green, blue; OpenCV has them the other way round."]),
        Mistake("weights of high-definition television", lambda right, x:
                np.einsum("ncthw,c->nthw", x, np.array([0.2126, 0.7152, 0.0722]))[:, None],
                ["Several standards define luma. Which weights are asked for?", "0.299, 0.587, 0.114."]),
        Mistake("brightest of the three colors", lambda right, x: x.max(axis=1, keepdims=True),
                ["Do all three colors count?", "It is a weighted sum."]),
        Mistake("green alone", lambda right, x: x[:, 1:2],
                ["Do all three colors count?", "It is a weighted sum."]),
        Mistake("channel axis dropped", lambda right, x: right(x)[:, 0],
                ["How many axes has a clip of one channel?", "Five: (N, 1, T, H, W)."]),
    ],
    accepted=[lambda x: np.einsum("ncthw,c->nthw", x, LUMA)[:, None],
              lambda x: (x * LUMA[:, None, None, None]).sum(axis=1, keepdims=True),
              lambda x: np.stack([np.tensordot(LUMA, clip, axes=1)[None] for clip in x])],
    tolerance=Tolerance(ulps=8, why="a sum of three products"),
    cost=Cost(flops=lambda s: 5 * s.N * s.T * s.pixels, bytes=lambda s: 4 * s.N * s.T * s.pixels * s.itemsize),
    large=lambda size, rng: {"x": rng.uniform(size=(1, 3, 8, *size))},
)  # fmt: skip

# ------------------------------------------------------------------ time_difference


def still_clip_is_nothing(f: Any, x: Any) -> Any:
    still = np.repeat(x[:, :, :1], 3, axis=2)
    return f(still), np.zeros_like(still)


def still_picture_behind(f: Any, x: Any) -> Any:
    return f(x + 3 * x[:, :, -1:]), f(x)


def adds_up_to_the_clip(f: Any, x: Any) -> Any:
    return x[:, :, :1] + np.cumsum(f(x), axis=2), x


def played_backwards(f: Any, x: Any) -> Any:
    return f(x[:, :, ::-1].copy())[:, :, 1:], -f(x)[:, :, :0:-1]


def _difference_in_a_loop(x: Any) -> Any:
    y = np.zeros(x.shape)
    for t in range(1, x.shape[2]):
        y[:, :, t] = x[:, :, t] - x[:, :, t - 1]
    return y


def _looks_ahead(x: Any) -> Any:
    return np.diff(x, axis=2, append=x[:, :, -1:])


time_difference = Spec(
    cases={"several frames": _clip(0, st.integers(2, 4)), "one frame": _clip(0, st.just(1))},
    laws=[
        Law("of a clip in which nothing moves, nothing is left", still_clip_is_nothing),
        Law("a still picture added to the clip changes nothing", still_picture_behind),
        Law("the first frame and the changes up to t add up to frame t", adds_up_to_the_clip),
        Law("played backwards, every change is undone", played_backwards, ("several frames",)),
    ],
    mistakes=[
        Mistake("looks ahead", lambda right, x: _looks_ahead(x),
                ["Which frame is subtracted from which?", "Each frame less the one before: the zeros are first, not last."]),
        Mistake("sign", lambda right, x: -right(x),
                ["A pixel gets brighter. Is the difference above 0?", "It is x_t − x_{t−1}, not the other way round."]),
        Mistake("first frame kept", lambda right, x: np.diff(x, axis=2, prepend=0),
                ["What is known to change in the first frame?", "Nothing: it is zeros."]),
        Mistake("last frame taken for the one before the first", lambda right, x: x - np.roll(x, 1, axis=2),
                ["What is before the first frame?", "Nothing; np.roll puts the last one there."]),
        Mistake("a frame short", lambda right, x: np.diff(x, axis=2),
                ["How many frames has the answer?", "As many as the clip: put a frame of zeros first."]),
        Mistake("absolute value", lambda right, x: np.abs(right(x)),
                ["Can an answer be negative?", "Yes: getting darker is a change too, and another one than getting brighter."]),
        Mistake("differences along the rows", lambda right, x: np.diff(x, axis=4, prepend=x[..., :1]),
                ["Which axis is time?", "The third of (N, C, T, H, W)."]),
    ],
    accepted=[_difference_in_a_loop, lambda x: np.diff(x, axis=2, prepend=x[:, :, :1]),
              lambda x: x - x[:, :, np.maximum(np.arange(x.shape[2]) - 1, 0)]],
    tolerance=Tolerance(ulps=2, why="one subtraction"),
    cost=Cost(flops=lambda s: s.N * s.C * s.T * s.pixels, bytes=bytes_moved),
    large=lambda size, rng: {"x": one_clip(size, rng, 3)},
)  # fmt: skip

# ------------------------------------------------------------------ half_resolution


def _even(frames: st.SearchStrategy[int]) -> Any:
    even = st.sampled_from([2, 4])

    def shapes(n: int, c: int, t: int, h: int, w: int) -> Any:
        return {"x": (n, c, t, h, w)}, {}

    return cut_to({"x": (2, 2, 2, 4, 4)}, st.builds(shapes, few, few, frames, even, even))


def brightness_is_kept(f: Any, x: Any) -> Any:
    return f(x).mean(axis=(3, 4)), x.mean(axis=(3, 4))


def mirrored(f: Any, x: Any) -> Any:
    return f(x[..., ::-1].copy()), f(x)[..., ::-1]


def undoes_repeating(f: Any, x: Any) -> Any:
    return f(x.repeat(2, axis=3).repeat(2, axis=4)), x


def on_its_side(f: Any, x: Any) -> Any:
    return f(np.swapaxes(x, 3, 4).copy()), np.swapaxes(f(x), 3, 4)


def _corners(x: Any) -> Any:
    return [x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]


def _halves(x: Any, *axes: int) -> Any:
    for axis in axes:
        n = x.shape[axis]
        if n % 2:
            raise ValueError(f"{n} can't be halved")
        x = (x.take(range(0, n, 2), axis) + x.take(range(1, n, 2), axis)) / 2
    return x


half_resolution = Spec(
    cases={"several frames": _even(st.just(2)), "one frame": _even(st.just(1))},
    laws=[
        Law("every frame stays as bright as it is, on average", brightness_is_kept),
        Law("a mirrored clip has a mirrored answer", mirrored),
        Law("it undoes repeating every pixel 2 × 2 times", undoes_repeating),
        Law("rows and columns are treated alike", on_its_side),
    ],
    mistakes=[
        Mistake("every second pixel", lambda right, x: x[..., ::2, ::2],
                ["Does every pixel count?", "Take the mean of four; to drop three of them lets fine patterns alias."]),
        Mistake("brightest of four", lambda right, x: np.max(_corners(x), axis=0),
                ["Is a picture at half of its resolution brighter?", "The mean, not the maximum."]),
        Mistake("sum of four", lambda right, x: 4 * right(x),
                ["Is a picture at half of its resolution brighter?", "Divide by 4."]),
        Mistake("time halved too", lambda right, x: _halves(x, 2, 3, 4),
                ["How many frames has the answer?", "As many as the clip: the kernel is 1 × 2 × 2."]),
        Mistake("height alone", lambda right, x: _halves(x, 3),
                ["How wide is the answer?", "Half as wide, and half as tall."]),
        Mistake("width alone", lambda right, x: _halves(x, 4),
                ["How tall is the answer?", "Half as tall, and half as wide."]),
    ],
    accepted=[lambda x: sum(_corners(x)) / 4, lambda x: _halves(x, 3, 4),
              lambda x: x.reshape(*x.shape[:3], x.shape[3] // 2, 2, x.shape[4] // 2, 2).mean(axis=(4, 6))],
    tolerance=Tolerance(ulps=4, why="a sum of four and a division"),
    cost=Cost(flops=lambda s: s.N * s.C * s.T * s.pixels, bytes=lambda s: 1.25 * s.N * s.C * s.T * s.pixels * s.itemsize),
    large=lambda size, rng: {"x": one_clip(tuple(n + n % 2 for n in size), rng, 3)},
)  # fmt: skip
