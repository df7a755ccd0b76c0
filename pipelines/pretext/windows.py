"""Where in a clip a window of time lies: within a scene, and where something moves. What tasks of time share."""

import numpy as np

from unreel.pipelines.guards.motion_window import choose_start, window_motion
from unreel.pipelines.guards.scene_cuts import uncut_starts
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import Sidecar, Video

__all__ = ["frames_in", "place_time"]


def place_time(
    sidecar: Sidecar, video: Video, *, span: int, at: float, by_motion: bool, uncut: bool
) -> tuple[int, float]:
    """The first frame of a window of `span` ≥ 2 frames, and the mean motion between its frames.

    Args:
        at: number in [0, 1) that chooses among the windows.
        by_motion: windows count by their motion; without, all alike.
        uncut: no window reaches over a cut.

    Raises:
        PlanImpossible: no such window, or the sidecar has no motion curve.
    """
    cuts, curve = sidecar.facts.cuts if uncut else (), sidecar.facts.motion_curve
    if len(curve) != video.frames:
        raise PlanImpossible(f"sample {sidecar.key}: its sidecar has no motion curve")
    starts = video.frames - span + 1
    if starts < 1 or not (allowed := uncut_starts(cuts, frames=video.frames, span=span)).any():
        raise PlanImpossible(
            f"sample {sidecar.key}: no {span} frames without a cut among its {video.frames} "
            f"(cuts at {list(cuts)}); take fewer frames or shorter steps"
        )
    motion = window_motion(curve, span)
    first = choose_start(motion if by_motion else np.ones(starts), allowed, at)
    return first, float(motion[first])


def frames_in(seconds: float, video: Video) -> int:
    """Whole frames nearest to `seconds`, at least 1."""
    return max(1, round(seconds * float(video.frame_rate)))
