"""Steps of time after which frames lie alike between key frames, so that their place there does not tell their order.

A key frame is coded by itself and those after it as differences, so quality runs through a cycle from one key frame to
the next. Frames that are whole cycles apart all lie at one place of it; with a codec without differences every step will
do. What goes on over cycles, as the refinement of a still background, is left to `guards/frame_blur.py`.
"""

import numpy as np

from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import Sidecar

__all__ = ["whole_step"]


def whole_step(sidecar: Sidecar, *, least: int) -> int:
    """The fewest frames, `least` or more, after which the cycle is where it was: a multiple of the key distance.

    Raises:
        PlanImpossible: key frames come at irregular distances, so that no step does; or there is no picture.
    """
    gop = _key_distance(sidecar)
    return gop * max(1, -(-least // gop))


def _key_distance(sidecar: Sidecar) -> int:
    """Frames from one key frame to the next; 1 where there is a single one, and so no cycle."""
    if sidecar.video is None:
        raise PlanImpossible(f"sample {sidecar.key}: the task takes clips and the sample has none")
    distances = np.unique(np.diff(sidecar.video.packets.key_frames))
    if len(distances) > 1:
        raise PlanImpossible(
            f"sample {sidecar.key}: key frames at distances from {distances[0]} to {distances[-1]}, and no step of time "
            "lies alike between them; build shards with a profile of regular key frames, or switch key_phase off"
        )
    return int(distances[0]) if len(distances) else 1
