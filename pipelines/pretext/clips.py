"""Clips for tasks of picture and sound: frames at the times of the sound, one cut and one change of colour for all of them."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards.camera_shift import draw_offsets
from unreel.pipelines.guards.colour_jitter import Jitter, draw_colours
from unreel.pipelines.ops.views import Views
from unreel.shards.sample import Video

__all__ = ["clip_views", "frames_at"]


class Shown(Protocol):
    """The fields of a task that say how its clips are shown; each is documented there."""

    @property
    def window(self) -> int: ...
    @property
    def crop(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def flip(self) -> float: ...
    @property
    def shift(self) -> float: ...
    @property
    def saturation(self) -> float: ...


def frames_at(start: int, count: int, step_seconds: float, video: Video) -> NDArray[np.int32]:
    """The nearest frame to each multiple of `step_seconds` from frame `start` on, i32 `[count]`.

    Mixed frame rates show the same times so, within half a frame, and stay in step with their sound.
    """
    steps = np.rint(np.arange(count) * (step_seconds * float(video.frame_rate)))
    return np.minimum(start + steps, video.frames - 1).astype(np.int32)


def clip_views(task: Shown, draws: Draws, *, frames: int, layout: str = "CTHW") -> Views:
    """One cut, one mirror and one change of colour for all `frames` of a clip: what is seen moves as it did."""
    top, left = draw_offsets(draws, frames=frames, slack=task.window - task.crop, shift=0)
    jitter = Jitter(shift=task.shift, saturation=task.saturation)
    return Views(
        top=top,
        left=left,
        crop=(task.crop, task.crop),
        size=(task.size, task.size),
        flip=draws.chance("flip", task.flip),
        colour=draw_colours(draws, jitter, frames=frames, independent=False),
        layout=layout,
    )
