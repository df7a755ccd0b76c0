"""A stretch of frames with steps in seconds, put where something moves and not over a cut; for tasks of whole clips."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unreel.pipelines.pretext.windows import place_time
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import Sidecar, Video

__all__ = ["Stretch", "place_stretch"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Where a stretch lies.

    Attributes:
        frames: i32 `[T]`, ascending.
        motion: mean motion between neighbouring frames of the sample within it, in levels of [0, 255].
    """

    frames: NDArray[np.int32]
    motion: float


def place_stretch(
    sidecar: Sidecar,
    seconds: Sequence[float],
    *,
    at: float,
    by_motion: bool,
    within_scene: bool,
    min_motion: float = 0.0,
    moving_from: int = 0,
) -> Stretch:
    """The frames that lie `seconds` (ascending, from 0) after a start at quantile `at` in [0, 1) of those that are allowed.

    Args:
        by_motion: starts count by the motion that follows them; without, all count alike.
        within_scene: no start before a cut that the stretch would reach over.
        min_motion: least mean motion, in levels of [0, 255], between frame number `moving_from` and the last one.
        moving_from: index into `seconds`.

    Raises:
        PlanImpossible: no picture, a frame rate at which two of the frames are one, or no such stretch.
    """
    video = sidecar.video
    if video is None:
        raise PlanImpossible(f"sample {sidecar.key}: the task takes clips and the sample has none")
    offsets = _offsets(sidecar, video, seconds)
    start, motion = place_time(
        sidecar,
        video,
        span=int(offsets[-1]) + 1,
        at=at,
        by_motion=by_motion,
        uncut=within_scene,
        min_motion=min_motion,
        moving_from=int(offsets[moving_from]),
    )
    return Stretch((start + offsets).astype(np.int32), motion)


def _offsets(sidecar: Sidecar, video: Video, seconds: Sequence[float]) -> NDArray[np.int64]:
    """Frames after the first one. Times and not steps are rounded, so that no error adds up."""
    offsets = np.rint(np.asarray(seconds) * float(video.frame_rate)).astype(np.int64)
    if np.any(np.diff(offsets) < 1):
        raise PlanImpossible(
            f"sample {sidecar.key}: at {float(video.frame_rate):g} frames a second two of the task's times are one frame"
        )
    return offsets
