"""Colours that change from frame to frame, so that following a colour does not follow a motion."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from unreel.pipelines.draws import Draws
from unreel.pipelines.ops.colour import Colour

__all__ = ["Jitter", "draw_colours"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Jitter:
    """How far colours may change.

    Attributes:
        brightness, contrast, saturation: factors are drawn from [1 - x, 1 + x], x in [0, 1].
        shift: brightness is moved by [-x, x] of the range from black to white.
        hue: colours turn by [-x, x] of a whole turn.
        grey: probability in [0, 1] that a frame loses its colours.
    """

    brightness: float = 0.0
    shift: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    grey: float = 0.0

    @classmethod
    def of(cls, task: object) -> "Jitter":
        """What the fields of a task that have these names ask for."""
        names = (field.name for field in fields(cls))
        return cls(**{name: getattr(task, name) for name in names if hasattr(task, name)})


def draw_colours(draws: Draws, jitter: Jitter, *, frames: int, independent: bool) -> Colour:
    """Colour changes of `frames` frames of each clip; with `independent` False all frames of a clip share one."""
    unit = draws.uniform("colour", 6, frames if independent else 1)
    unit = np.broadcast_to(unit, (*unit.shape[:2], frames))

    def around(centre: float, reach: float, column: int) -> NDArray[np.float32]:
        return np.float32(centre) + np.float32(reach) * (2 * unit[:, column] - 1)

    return Colour(
        brightness=around(1, jitter.brightness, 0),
        shift=around(0, jitter.shift, 1),
        contrast=around(1, jitter.contrast, 2),
        saturation=around(1, jitter.saturation, 3),
        hue=around(0, jitter.hue, 4),
        grey=(unit[:, 5] < jitter.grey).astype(np.float32),
    )
