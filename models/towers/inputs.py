"""What a tower takes: the axes of its input, the channels, and the sizes that make sense."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from torch import Tensor

__all__ = ["AXES", "InputSpec"]

AXES: Final[Mapping[str, tuple[str, ...]]] = {
    "frame": ("height", "width"),
    "video": ("time", "height", "width"),
    "audio": ("bands", "columns"),
    "waveform": ("samples",),
}
"""Kind → the axes of one channel of its input, in order, after rows and channels."""

_VALUES: Final[Mapping[str, str]] = {
    "frame": "RGB, each channel with mean 0 and variance 1 over a data set",
    "video": "RGB, each channel with mean 0 and variance 1 over a data set",
    "audio": "a log spectrogram, with mean 0 and variance 1 or of that order",
    "waveform": "sound in [-1, 1]",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """The contract of one input of a tower: float `[B, channels, *axes]`.

    Attributes:
        kind: `frame`, `video`, `audio` (a log spectrogram) or `waveform`.
        channels: how many it takes.
        size: along each axis, as published; what a tower's figures are given for.
        minimum: along each axis; under it a stage would have no cell left. By default 1, which padded layers take.
        multiple: along each axis; a size has to be a multiple of it. By default 1.
    """

    kind: str
    channels: int
    size: tuple[int, ...]
    minimum: tuple[int, ...] = ()
    multiple: tuple[int, ...] = ()

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the axes after rows and channels."""
        return AXES[self.kind]

    @property
    def values(self) -> str:
        """What the values are and of what scale. It is not checked: that would wait for the device at each step."""
        return _VALUES[self.kind]

    @property
    def shape(self) -> str:
        """As text, e.g. `[B, 3, height, width]`."""
        return f"[B, {self.channels}, {', '.join(self.axes)}]"

    def check(self, x: Tensor) -> None:
        """Raise ValueError, naming what was found and what is allowed, unless `x` can be taken."""
        if x.dim() != 2 + len(self.axes) or x.shape[1] != self.channels:
            raise ValueError(f"{self.kind} input {list(x.shape)}: the tower takes {self.shape}")
        if not x.is_floating_point():
            raise ValueError(f"{self.kind} input of {x.dtype}: the tower takes floats, {self.values}")
        ones = (1,) * len(self.axes)
        limits = zip(self.axes, x.shape[2:], self.minimum or ones, self.multiple or ones, strict=True)
        for axis, found, minimum, multiple in limits:
            if found < minimum or found % multiple:
                steps = f" and a multiple of {multiple}" if multiple > 1 else ""
                raise ValueError(
                    f"{self.kind} input {list(x.shape)}: {axis} is {found}, it has to be {minimum} or more{steps}"
                )
