"""Steps of time after which frames lie alike between key frames, read forwards or backwards.

A key frame is coded by itself and those after it as differences, so quality runs through a cycle from one key frame to
the next, and the cycle has a direction: a sharp frame, then a decay. Frames that are half a cycle apart lie at p,
p + ½, p, p + ½ … of it, and at the same places when they are read backwards; so do frames a whole cycle apart, and
all frames of a codec without differences.
"""

import numpy as np
from numpy.typing import NDArray

from unreel.shards.errors import PlanImpossible

__all__ = ["even_step"]


def even_step(key_frames: NDArray[np.int64], *, wanted: int) -> int:
    """The number of frames nearest to `wanted` whose steps read alike both ways: a multiple of half a key distance.

    Args:
        key_frames: ascending frame numbers; with a single one there is no cycle, and `wanted` is kept.
        wanted: frames from one frame of a clip to the next, at least 1.

    Raises:
        PlanImpossible: key frames come at irregular distances, so that no step does.
    """
    distances = np.unique(np.diff(key_frames))
    if len(distances) == 0:
        return wanted
    if len(distances) > 1:
        raise PlanImpossible(
            f"key frames at distances from {distances[0]} to {distances[-1]}: no step of time lies alike between them "
            "both ways; build shards with a profile of regular key frames, or switch key_phase off"
        )
    gop = int(distances[0])
    unit = gop // 2 if gop % 2 == 0 else gop
    return unit * max(1, round(wanted / unit))
