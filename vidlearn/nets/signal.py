"""What flows through a network when it is only traced: a shape, and which part of the input each position has seen."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

__all__ = ["Reach", "Signal"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Reach:
    """Along one axis of the input, position o of a layer has seen ``low + jump·o … high + jump·o``."""

    low: int = 0
    high: int = 0
    jump: int = 1

    @property
    def size(self) -> int:
        """The receptive field's extent: r ← r + (k − 1)·jump, layer by layer."""
        return self.high - self.low + 1

    def through(self, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> Reach:
        """What a window over such positions has seen."""
        first, last = -padding, dilation * (kernel - 1) - padding
        return Reach(self.low + first * self.jump, self.high + last * self.jump, self.jump * stride)

    def __or__(self, other: Reach) -> Reach:
        """What two branches have seen together."""
        return Reach(min(self.low, other.low), max(self.high, other.high), self.jump)


@dataclass(frozen=True)
class Signal:
    """One value in the trace of a network.

    `shape` is (channels, *positions) without the batch; `axes` names the positions' axes (some of T, H, W), or is
    ``("L",)`` for tokens, whose `shape` is (tokens, features); `reach` says for every axis of the network's input what
    one position has seen of it.
    """

    shape: Shape
    axes: tuple[str, ...]
    reach: dict[str, Reach]
    source: str = ""  # the layer it comes from
    uses: list[str] = field(default_factory=list, compare=False)  # the layers it goes to

    @staticmethod
    def input(shape: Shape) -> Signal:
        """The input itself: (C, T, H, W) or (C, H, W)."""
        if not 1 <= len(shape) <= 4 or min(shape) < 1:
            raise ValueError(
                f"the input: expected (C, T, H, W) or (C, H, W) without the batch, each at least 1, got {tuple(shape)}"
            )
        axes = ("T", "H", "W")[4 - len(shape) :]
        return Signal(tuple(shape), axes, {axis: Reach() for axis in axes})

    @property
    def channels(self) -> int:
        """How many channels, or features."""
        return self.shape[-1] if self.tokens else self.shape[0]

    @property
    def tokens(self) -> bool:
        """Whether these are tokens (L, D), features last, and no longer a grid."""
        return self.axes == ("L",)

    @property
    def positions(self) -> Shape:
        """The extents without the channels."""
        return self.shape[:-1] if self.tokens else self.shape[1:]

    @property
    def field(self) -> Shape:
        """The receptive field of one position, along each axis of the input."""
        return tuple(reach.size for reach in self.reach.values())

    def windowed(
        self, channels: int, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape | None = None
    ) -> Signal:
        """What a layer with a window makes of it; a window that has no place is a sentence."""
        dilation = dilation or (1,) * len(kernel)
        if len(kernel) != len(self.positions):
            raise ValueError(
                f"expected {len(kernel)} axes besides the channels, got shape {self.shape} "
                f"({', '.join(('C', *self.axes))})"
            )
        positions = []
        for axis, n, k, s, p, d in zip(self.axes, self.positions, kernel, stride, padding, dilation, strict=True):
            positions.append((n + 2 * p - d * (k - 1) - 1) // s + 1)
            if positions[-1] < 1:
                raise ValueError(
                    f"axis {axis}: expected at least {max(1, d * (k - 1) + 1 - 2 * p)} positions for a window of "
                    f"{d * (k - 1) + 1} with padding {p}, got {n}"
                )
        moved = {
            axis: self.reach[axis].through(k, s, p, d)
            for axis, k, s, p, d in zip(self.axes, kernel, stride, padding, dilation, strict=True)
        }
        return replace(self, shape=(channels, *positions), reach={**self.reach, **moved})

    def expect(self, channels: int, what: str = "channels") -> None:
        """Refuse another number of channels."""
        if self.channels != channels:
            raise ValueError(f"{what}: expected {channels}, got {self.channels} in shape {self.shape}")

    def gathered(self, shape: Shape, axes: tuple[str, ...] = ()) -> Signal:
        """What a layer that looks at all positions of the axes that go makes of it."""
        gone = {
            axis: self.reach[axis].through(n)
            for axis, n in zip(self.axes, self.positions, strict=True)
            if axis not in axes
        }
        return replace(self, shape=shape, axes=axes, reach={**self.reach, **gone})

    def pooled(self) -> Signal:
        """What an average over all positions makes of it: one position, which has seen them all."""
        seen = {axis: self.reach[axis].through(n) for axis, n in zip(self.axes, self.positions, strict=True)}
        return replace(self, shape=(self.channels, *(1,) * len(self.positions)), reach={**self.reach, **seen})

    def _union(self, other: Signal, channels: int) -> Signal:
        if self.positions != other.positions:
            raise ValueError(f"branches meet with positions {self.positions} and {other.positions}; expected the same")
        self.uses.append("meeting")
        other.uses.append("meeting")
        reach = {axis: self.reach[axis] | other.reach[axis] for axis in self.reach}
        shape = (*self.positions, channels) if self.tokens else (channels, *self.positions)
        return Signal(shape, self.axes, reach)

    def __add__(self, other: Signal) -> Signal:
        if self.channels != other.channels:
            raise ValueError(
                f"branches are added with {self.channels} and {other.channels} channels; expected the same"
            )
        return self._union(other, self.channels)

    def beside(self, other: Signal) -> Signal:
        """Concatenate along the channels."""
        return self._union(other, self.channels + other.channels)
