"""Frames each blurred by a little, so that a codec's sharpness does not tell their time.

A codec makes a still background sharper from frame to frame, or lets it decay until the next key frame. That is a clock
for clips that last: over two seconds and more of still backgrounds without any object it told the direction of 77 to 86
clips of 100, over six tenths of a second of none. Frames of one place between key frames do not help where the source
itself was coded so before.
"""

import numpy as np
from numpy.typing import NDArray

from unreel.pipelines.draws import Draws

__all__ = ["draw_blur"]


def draw_blur(draws: Draws, *, frames: int, most: float) -> NDArray[np.float32] | None:
    """Standard deviation of each frame's blur, uniform in [0, `most`) pixels, f32 `[B, frames]`; None for `most` 0."""
    return draws.uniform("blur", frames, high=most) if most else None
