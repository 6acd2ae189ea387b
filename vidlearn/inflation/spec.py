"""What makes an implementation of inflation right: its cases, its laws and the mistakes people make.

Most laws run a small convolution with the kernel that is judged: what counts is what a network then answers.
"""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np

from vidlearn import layers
from vidlearn.inflation import reference
from vidlearn.layers.spec.drawing import array_of
from vidlearn.spec import Cost, Law, Mistake, Spec, Tolerance

quarters = st.integers(-8, 8).map(lambda k: k / 4)


def kernels(name: str, inputs: st.SearchStrategy[int], **more: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A 2D kernel (C_out, C_in, K_h, K_w), and further arguments."""
    shapes = st.tuples(st.integers(1, 2), inputs, st.sampled_from([1, 3]), st.sampled_from([1, 3]))
    return shapes.flatmap(lambda shape: st.fixed_dictionaries({name: array_of(*shape), **more}))


some = st.integers(1, 3)
#: pictures and clips that laws convolve; a law takes the channels it needs
IMAGE = {"image": array_of(1, 4, 3, 3)}
CLIP = {"clip": array_of(1, 3, 4, 3, 3)}


def _kernel_of(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A kernel with about as many weights as an image of this size has pixels, in a layer of ResNet's proportions."""
    channels = max(1, round((size[0] * size[1] / 9) ** 0.5))
    return channels, channels, 3, 3


# ------------------------------------------------------------------ inflate


def sums_to_the_2d_kernel(f: Any, w2d: Any, k_t: int) -> Any:
    return f(w2d, k_t).sum(axis=2), w2d


def boring_video_inside(f: Any, w2d: Any, k_t: int, image: Any) -> Any:
    image = image[:, : w2d.shape[1]]
    got = layers.conv3d(reference.boring_video(image, k_t + 1), f(w2d, k_t))
    return got, reference.boring_video(layers.conv2d(image, w2d), 2)


def share_at_the_ends(f: Any, w2d: Any, k_t: int, image: Any) -> Any:
    image, frames = image[:, : w2d.shape[1]], k_t + 1
    got = layers.conv3d(reference.boring_video(image, frames), f(w2d, k_t), padding=(k_t - 1, 0, 0))
    inside = np.convolve(np.ones(frames), np.ones(k_t)) / k_t
    return got, layers.conv2d(image, w2d)[:, :, None] * inside[:, None, None]


def every_moment_alike(f: Any, w2d: Any, k_t: int) -> Any:
    w3d = f(w2d, k_t)
    return w3d, np.broadcast_to(w3d[:, :, :1], w3d.shape)


def one_frame_changes_nothing(f: Any, w2d: Any, k_t: int) -> Any:
    return f(w2d, 1), w2d[:, :, None]


def inflate_in_a_loop(w2d: Any, k_t: int) -> Any:
    w3d = np.empty((*w2d.shape[:2], k_t, *w2d.shape[2:]), w2d.dtype)
    for t in range(k_t):
        w3d[:, :, t] = w2d / k_t
    return w3d


inflate = Spec(
    cases={
        "several frames": kernels("w2d", some, k_t=st.integers(2, 4)),
        "a single frame": kernels("w2d", some, k_t=st.just(1)),
    },
    laws=[
        Law("summed over time it is the 2D kernel again", sums_to_the_2d_kernel),
        Law("answers a boring video as the 2D kernel answers its frame", boring_video_inside, draws=IMAGE),
        Law("with zeros around the clip, an answer near its ends has the share of the window that is inside",
            share_at_the_ends, draws=IMAGE),
        Law("every moment has the same weights", every_moment_alike),
        Law("with a single frame nothing changes but the shape", one_frame_changes_nothing),
    ],
    mistakes=[
        Mistake("not divided by k_t", lambda right, w2d, k_t: right(w2d, k_t) * k_t,
                ["A boring video must give what its frame gave. How large is your answer to it?",
                 "k_t equal slices add up: divide each by k_t."]),
        Mistake("divided by k_t squared", lambda right, w2d, k_t: right(w2d, k_t) / k_t,
                ["Sum your kernel over time. What should come out?", "Divide once: by k_t."]),
        Mistake("divided by the input channels too", lambda right, w2d, k_t: right(w2d, k_t) / w2d.shape[1],
                ["The sum over channels was there before; what is new?", "Only the sum over time is new: divide by k_t alone."]),
        Mistake("only the middle frame", lambda right, w2d, k_t: _at(w2d, k_t, k_t // 2),
                ["This is a right idea with another name: inflate_centered.", "Here every moment has an equal share."]),
        Mistake("only the first frame", lambda right, w2d, k_t: _at(w2d, k_t, 0),
                ["Which moments does your kernel look at?", "Every moment has an equal share."]),
        Mistake("time as the last axis", lambda right, w2d, k_t: np.moveaxis(right(w2d, k_t), 2, -1),
                ["Kernels are (C_out, C_in, K_t, K_h, K_w).", "Time stands before height and width: axis 2."]),
        Mistake("time before the input channels", lambda right, w2d, k_t: np.moveaxis(right(w2d, k_t), 2, 1),
                ["Kernels are (C_out, C_in, K_t, K_h, K_w).", "Time stands behind the channels: axis 2."]),
    ],
    accepted=[inflate_in_a_loop,
              lambda w2d, k_t: np.repeat(w2d[:, :, np.newaxis], k_t, axis=2) / k_t,
              lambda w2d, k_t: np.einsum("oihw,t->oithw", w2d, np.full(k_t, 1 / k_t)),
              lambda w2d, k_t: reference.inflate(w2d.astype(np.float32), k_t)],
    tolerance=Tolerance(ulps=128, why="one division; in the laws, sums of up to 108 products of it"),
    cost=Cost(flops=lambda s: s.O * s.I * s.Kh * s.Kw, bytes=lambda s: (1 + s.k_t) * s.O * s.I * s.Kh * s.Kw * s.itemsize),
    large=lambda size, rng: {"w2d": rng.normal(size=_kernel_of(size)), "k_t": 3},
)  # fmt: skip


def _at(w2d: np.ndarray, k_t: int, moment: int) -> np.ndarray:
    """The 2D kernel at one moment, zeros elsewhere."""
    w3d = np.zeros((*w2d.shape[:2], k_t, *w2d.shape[2:]))
    w3d[:, :, moment] = w2d
    return w3d


# ------------------------------------------------------------------ inflate_centered


def frame_by_frame(f: Any, w2d: Any, k_t: int, clip: Any) -> Any:
    clip = clip[:, : w2d.shape[1]]
    got = layers.conv3d(clip, f(w2d, k_t), padding=(k_t // 2, 0, 0))
    return got, np.stack([layers.conv2d(clip[:, :, t], w2d) for t in range(clip.shape[2])], axis=2)


def boring_video_everywhere(f: Any, w2d: Any, k_t: int, image: Any) -> Any:
    image = image[:, : w2d.shape[1]]
    got = layers.conv3d(reference.boring_video(image, 3), f(w2d, k_t), padding=(k_t // 2, 0, 0))
    return got, reference.boring_video(layers.conv2d(image, w2d), 3)


def the_same_backwards(f: Any, w2d: Any, k_t: int) -> Any:
    w3d = f(w2d, k_t)
    return w3d[:, :, ::-1], w3d


inflate_centered = Spec(
    cases={
        "several frames": kernels("w2d", some, k_t=st.sampled_from([3, 5])),
        "a single frame": kernels("w2d", some, k_t=st.just(1)),
    },
    laws=[
        Law("summed over time it is the 2D kernel again", sums_to_the_2d_kernel),
        Law("answers every frame of any clip as the 2D kernel does", frame_by_frame, draws=CLIP),
        Law("answers a boring video right at its ends too", boring_video_everywhere, draws=IMAGE),
        Law("is the same forwards and backwards in time", the_same_backwards),
    ],
    mistakes=[
        Mistake("in the first frame", lambda right, w2d, k_t: _at(w2d, k_t, 0),
                ["Which frame does your kernel look at, for the answer at t?", "The middle of k_t frames is at k_t // 2."]),
        Mistake("in the last frame", lambda right, w2d, k_t: _at(w2d, k_t, k_t - 1),
                ["Which frame does your kernel look at, for the answer at t?", "The middle of k_t frames is at k_t // 2."]),
        Mistake("repeated over all frames", lambda right, w2d, k_t: reference.inflate(w2d, k_t),
                ["This is a right idea with another name: inflate.", "Here all frames but the middle one have weight 0."]),
        Mistake("divided by k_t", lambda right, w2d, k_t: right(w2d, k_t) / k_t,
                ["How many slices of your kernel are not zero?", "Just one: there is nothing to share."]),
        Mistake("time as the last axis", lambda right, w2d, k_t: np.moveaxis(right(w2d, k_t), 2, -1),
                ["Kernels are (C_out, C_in, K_t, K_h, K_w).", "Time stands before height and width: axis 2."]),
    ],
    accepted=[lambda w2d, k_t: np.pad(w2d[:, :, None], [(0, 0), (0, 0), (k_t // 2, k_t // 2), (0, 0), (0, 0)]),
              lambda w2d, k_t: np.einsum("oihw,t->oithw", w2d, np.eye(k_t)[k_t // 2]),
              lambda w2d, k_t: np.stack([w2d if t == k_t // 2 else 0 * w2d for t in range(k_t)], axis=2)],
    tolerance=Tolerance(ulps=128, why="exact; in the laws, sums of up to 27 products"),
    cost=Cost(flops=lambda s: s.O * s.I * s.Kh * s.Kw, bytes=lambda s: (1 + s.k_t) * s.O * s.I * s.Kh * s.Kw * s.itemsize),
    large=lambda size, rng: {"w2d": rng.normal(size=_kernel_of(size)), "k_t": 3},
)  # fmt: skip

# ------------------------------------------------------------------ boring_video


def images(channels: st.SearchStrategy[int], frames: st.SearchStrategy[int]) -> st.SearchStrategy[Any]:
    """A batch of images (N, C, H, W), and how long to show them."""
    shapes = st.tuples(st.integers(1, 2), channels, some, some)
    return shapes.flatmap(lambda shape: st.fixed_dictionaries({"frame": array_of(*shape), "frames": frames}))


def every_frame_is_the_frame(f: Any, frame: Any, frames: int) -> Any:
    clip = f(frame, frames)
    return np.moveaxis(clip, 2, 0), np.broadcast_to(frame, (frames, *frame.shape))


def nothing_moves(f: Any, frame: Any, frames: int) -> Any:
    change = np.diff(f(frame, frames + 1), axis=2)
    return change, np.zeros_like(change)


def shown_longer(f: Any, frame: Any, frames: int) -> Any:
    return f(frame, frames + 2)[:, :, :frames], f(frame, frames)


boring_video = Spec(
    cases={
        "several frames": images(some, st.integers(2, 4)),
        "a single frame": images(some, st.just(1)),
    },
    laws=[
        Law("every frame is the frame", every_frame_is_the_frame),
        Law("nothing moves", nothing_moves),
        Law("shown longer, it begins the same", shown_longer),
    ],
    mistakes=[
        Mistake("time before the channels", lambda right, frame, frames: np.moveaxis(right(frame, frames), 2, 1),
                ["Clips are (N, C, T, H, W).", "Time stands behind the channels: axis 2."]),
        Mistake("time as the last axis", lambda right, frame, frames: np.moveaxis(right(frame, frames), 2, -1),
                ["Clips are (N, C, T, H, W).", "Time stands before height and width: axis 2."]),
        Mistake("only the first frame is shown", lambda right, frame, frames: right(frame, frames) * _first(frames),
                ["What does the second frame show?", "The same as the first."]),
        Mistake("tiled so that channels become frames", lambda right, frame, frames:
                np.tile(frame, (1, frames, 1, 1)).reshape(len(frame), frame.shape[1], frames, *frame.shape[2:]),
                ["Show a red image. Is the second frame red?",
                 "np.tile runs through all channels before it begins again; make the new axis first, then repeat along it."]),
        Mistake("brightness shared among the frames", lambda right, frame, frames: right(frame, frames) / frames,
                ["It is the kernel that is divided by its frames.", "Each frame is the image itself."]),
    ],
    accepted=[lambda frame, frames: np.repeat(frame[:, :, None], frames, axis=2),
              lambda frame, frames: np.broadcast_to(frame[:, :, None], (*frame.shape[:2], frames, *frame.shape[2:])).copy(),
              lambda frame, frames: frame[:, :, None] * np.ones((frames, 1, 1))],
    tolerance=Tolerance(ulps=1, why="copies; one rounding is allowed for a product with 1"),
    cost=Cost(flops=lambda s: s.N * s.C * s.pixels, bytes=lambda s: (1 + s.frames) * s.N * s.C * s.pixels * s.itemsize),
    large=lambda size, rng: {"frame": rng.random(size=(1, 3, *size)), "frames": 4},
)  # fmt: skip


def _first(frames: int) -> np.ndarray:
    return (np.arange(frames) == 0).astype(float)[:, None, None]


# ------------------------------------------------------------------ cross_modality


def channels_alike(f: Any, w: Any, channels: int) -> Any:
    kernel = f(w, channels)
    return kernel, np.broadcast_to(kernel[:, :1], kernel.shape)


def grey_answered_as_before(f: Any, w: Any, channels: int, image: Any) -> Any:
    grey = np.repeat(image[:, :1], w.shape[1], axis=1)
    return layers.conv2d(grey, f(w, w.shape[1])), layers.conv2d(grey, w)


def adds_up_in_proportion(f: Any, w: Any, channels: int) -> Any:
    return f(w, channels).sum(axis=1), channels / w.shape[1] * w.sum(axis=1)


def colors_in_any_order(f: Any, w: Any, channels: int) -> Any:
    return f(w[:, ::-1], channels), f(w, channels)


def _channel_by_channel(w: Any, channels: int) -> Any:
    kernel = np.zeros((w.shape[0], channels, *w.shape[2:]))
    for channel in range(channels):
        for color in range(w.shape[1]):
            kernel[:, channel] += w[:, color] / w.shape[1]
    return kernel


cross_modality = Spec(
    cases={
        "color": kernels("w", st.just(3), channels=st.integers(1, 6)),
        "two channels": kernels("w", st.just(2), channels=st.integers(1, 4)),
        "a single channel": kernels("w", st.just(1), channels=st.integers(1, 4)),
    },
    laws=[
        Law("all channels have the same weights", channels_alike),
        Law("with as many channels as before, a grey image is answered as before", grey_answered_as_before, draws=IMAGE),
        Law("its weights add up to L/C of what they were", adds_up_in_proportion),
        Law("the order of the colors does not matter", colors_in_any_order),
    ],
    mistakes=[
        Mistake("colors in turn: R, G, B, R, …", lambda right, w, channels: w[:, np.arange(channels) % w.shape[1]],
                ["What has red to do with the motion to the right?", "Average over the colors first."]),
        Mistake("sum over the colors, not their mean", lambda right, w, channels: right(w, channels) * w.shape[1],
                ["With three channels for three colors, what answers a grey image?", "Divide by the number of colors."]),
        Mistake("mean over the outputs", lambda right, w, channels:
                np.repeat(np.broadcast_to(w.mean(axis=(0, 1)), (len(w), 1, *w.shape[2:])), channels, axis=1),
                ["Do the outputs still look for different things?", "The colors are axis 1; the outputs are axis 0."]),
        Mistake("scaled by C / L", lambda right, w, channels: right(w, channels) * w.shape[1] / channels,
                ["A sound wish, to keep the sum; but it is another convention.", "The mean, unscaled, in every channel."]),
        Mistake("the first color only", lambda right, w, channels: np.repeat(w[:, :1], channels, axis=1),
                ["Which colors does your kernel remember?", "The mean over all of them."]),
        Mistake("averaged over the window as well", lambda right, w, channels:
                np.broadcast_to(right(w, channels).mean(axis=(2, 3), keepdims=True), (len(w), channels, *w.shape[2:])),
                ["Edges are still edges in a flow field. Does your kernel see them?", "Average over axis 1 alone."]),
    ],
    accepted=[_channel_by_channel,
              lambda w, channels: np.repeat(np.mean(w, axis=1, keepdims=True), channels, axis=1),
              lambda w, channels: np.einsum("ochw,lc->olhw", w, np.full((channels, w.shape[1]), 1 / w.shape[1])),
              lambda w, channels: reference.cross_modality(w.astype(np.float32), channels)],
    tolerance=Tolerance(ulps=128, why="a mean of three; in the laws, sums of up to 27 products of it"),
    cost=Cost(flops=lambda s: s.O * s.C * s.Kh * s.Kw, bytes=lambda s: (s.C + s.channels) * s.O * s.Kh * s.Kw * s.itemsize),
    large=lambda size, rng: {"w": rng.normal(size=(max(1, size[0] * size[1] // 49), 3, 7, 7)), "channels": 20},
)  # fmt: skip
