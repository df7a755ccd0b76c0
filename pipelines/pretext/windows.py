"""Where in a clip a window of time lies: within a scene, and where something moves. What tasks of time share."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from unreel.pipelines.guards.motion_window import choose_start, window_motion
from unreel.pipelines.guards.scene_cuts import uncut_starts
from unreel.pipelines.plan import Window
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import Sidecar, Video

__all__ = ["TIME_FACTS", "frames_at", "frames_in", "place_time", "time_facts"]

TIME_FACTS: Final = ("frames", "seconds", "window_motion", "key_distance", "window_top", "window_left")
"""What `time_facts` says."""


def place_time(
    sidecar: Sidecar,
    video: Video,
    *,
    span: int,
    at: float,
    by_motion: bool,
    uncut: bool,
    min_motion: float = 0.0,
    moving_from: int = 0,
) -> tuple[int, float]:
    """The first frame of a window of `span` ≥ 2 frames, and the mean motion between its frames.

    Args:
        at: number in [0, 1) that chooses among the windows.
        by_motion: windows count by their motion; without, all alike.
        uncut: no window reaches over a cut.
        min_motion: least mean motion, in levels of [0, 255], between frame number `moving_from` of a window and its last.
        moving_from: less than `span - 1`.

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
    tail = window_motion(curve, span - moving_from)[moving_from:]
    if not (allowed := allowed & (tail >= min_motion)).any():
        raise PlanImpossible(
            f"sample {sidecar.key}: no window of {span} frames moves by {min_motion:g} levels a frame from its frame "
            f"{moving_from} on; lower min_motion"
        )
    first = choose_start(motion if by_motion else np.ones(starts), allowed, at)
    return first, float(motion[first])


def frames_in(seconds: float, video: Video) -> int:
    """Whole frames nearest to `seconds`, at least 1."""
    return max(1, round(seconds * float(video.frame_rate)))


def time_facts(
    video: Video, frames: NDArray[np.int32], window: Window, motion: float
) -> dict[str, NDArray | float | int]:
    """What an audit is told of T planned frames: their times, how far each lies behind its key frame, and the window.

    Args:
        frames: i32 `[T]`.
        motion: of the window of time, as `place_time` gives it.
    """
    keys = video.packets.key_frames
    return {
        "frames": frames,
        "seconds": (frames / float(video.frame_rate)).astype(np.float32),
        "window_motion": motion,
        "key_distance": frames - keys[np.searchsorted(keys, frames, side="right") - 1],
        "window_top": window.top,
        "window_left": window.left,
    }


def frames_at(start: int, count: int, step_seconds: float, video: Video) -> NDArray[np.int32]:
    """The nearest frame to each multiple of `step_seconds` from frame `start` on, i32 `[count]`.

    Mixed frame rates show the same times so, within half a frame, and stay in step with their sound.
    """
    steps = np.rint(np.arange(count) * (step_seconds * float(video.frame_rate)))
    return np.minimum(start + steps, video.frames - 1).astype(np.int32)
