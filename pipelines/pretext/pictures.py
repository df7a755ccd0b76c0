"""What tasks of single pictures share: a frame of a video, or the one that a still has."""

from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import Sidecar

__all__ = ["draw_frame"]


def draw_frame(sidecar: Sidecar, at: float) -> int:
    """The frame at share `at` in [0, 1) of a video; 0 for a still picture.

    Raises:
        PlanImpossible: the sample has no picture.
    """
    if sidecar.video is not None:
        return int(at * sidecar.video.frames)
    if sidecar.image is not None:
        return 0
    raise PlanImpossible(f"sample {sidecar.key}: the task takes a picture and the sample has none")
