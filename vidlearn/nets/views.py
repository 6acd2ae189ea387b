"""Layers that choose what a pathway sees of a clip: fewer frames, no colors, only change, half of the resolution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from vidlearn import slowfast
from vidlearn.arrays import namespace
from vidlearn.nets.nodes import Array, Layer, On
from vidlearn.nets.signal import Signal

__all__ = ["Channels", "Frames", "Upsample", "Weak"]


@dataclass(frozen=True)
class Frames(Layer):
    """One of `every` so many frames: by stride, or spread over the clip from its first frame to its last."""

    every: int
    how: Literal["stride", "spread"] = "stride"

    def __str__(self) -> str:
        return f"Frames, 1 of {self.every}{', spread' if self.how == 'spread' else ''}"

    def output(self, x: Signal) -> Signal:
        if x.axes != ("T", "H", "W") or x.shape[1] % self.every:
            raise ValueError(f"expected a clip (C, T, H, W) with T a multiple of {self.every}, got shape {x.shape}")
        return x.windowed(x.channels, (1, 1, 1), (self.every, 1, 1), (0, 0, 0))  # spread: nearly

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        return on(slowfast.sample_pathways)(x, self.every, self.how)[0]


@dataclass(frozen=True)
class Weak(Layer):
    """A clip without its colors, without what stands still, or at half of its resolution."""

    how: Literal["grey", "time difference", "half"]

    def __str__(self) -> str:
        return f"Weak, {self.how}"

    def output(self, x: Signal) -> Signal:
        if self.how == "grey":
            x.expect(3)
        if self.how == "half" and any(n % 2 for n in x.positions[1:]):
            raise ValueError(f"expected even height and width, to be halved, got shape {x.shape}")
        channels = {"grey": 1, "time difference": x.channels, "half": x.channels}[self.how]
        kernel, stride, padding = {
            "grey": ((1, 1, 1), (1, 1, 1), (0, 0, 0)),
            "time difference": ((3, 1, 1), (1, 1, 1), (1, 0, 0)),
            "half": ((1, 2, 2), (1, 2, 2), (0, 0, 0)),
        }[self.how]
        return x.windowed(channels, kernel, stride, padding)

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        operation = {
            "grey": slowfast.to_grey,
            "time difference": slowfast.time_difference,
            "half": slowfast.half_resolution,
        }
        return on(operation[self.how])(x)


@dataclass(frozen=True)
class Channels(Layer):
    """Some of the channels, from `first` up to but without `end`."""

    first: int
    end: int

    def output(self, x: Signal) -> Signal:
        if x.channels < self.end:
            raise ValueError(f"expected at least {self.end} channels, got shape {x.shape}")
        return replace(x, shape=(self.end - self.first, *x.positions))

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        return x[:, self.first : self.end]


@dataclass(frozen=True)
class Upsample(Layer):
    """Each place `times` × `times` times, as large again as another pathway."""

    times: int

    def output(self, x: Signal) -> Signal:
        c, t, h, w = x.shape
        finer = {a: replace(r, jump=max(1, r.jump // self.times)) for a, r in x.reach.items() if a != "T"}
        return replace(x, shape=(c, t, h * self.times, w * self.times), reach={**x.reach, **finer})

    def apply(self, x: Array, w: Mapping[str, Array], on: On) -> Array:
        n, c, t, height, width = x.shape
        rows = namespace(x).broadcast_to(x[:, :, :, :, None, :, None], (n, c, t, height, self.times, width, self.times))
        return rows.reshape(n, c, t, height * self.times, width * self.times)
