"""Windows of time that stay within one scene."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["uncut_starts"]


def uncut_starts(cuts: Sequence[int], *, frames: int, span: int) -> NDArray[np.bool_]:
    """Where a window of `span` frames can start without a cut inside it: bool `[frames - span + 1]`.

    `cuts` are frames at which a new scene starts; a window may start on one, and end just before one.
    """
    starts = np.zeros(frames + 1, np.int32)
    starts[1 + np.asarray(cuts, np.intp)] = 1
    scene = np.cumsum(starts[1:])
    return scene[: frames - span + 1] == scene[span - 1 :]
