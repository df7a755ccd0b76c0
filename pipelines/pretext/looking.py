"""How frames reach a tower, alike in most tasks: cut, mirrored and recoloured as the fields of the task say."""

from typing import Any, Protocol

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards.camera_shift import draw_offsets
from unreel.pipelines.guards.colour_jitter import Jitter, draw_colours
from unreel.pipelines.ops.views import Views

__all__ = ["frame_views"]


class Shown(Protocol):
    """The fields that every task with frames has; each is documented there.

    Those of `Jitter`, `camera_shift` and `independent_jitter` are looked for too; what a task lacks changes nothing.
    """

    @property
    def window(self) -> int: ...
    @property
    def crop(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def flip(self) -> float: ...


def frame_views(task: Shown, draws: Draws, *, frames: int, **more: Any) -> Views:
    """`frames` views of each row; `more` are other fields of `Views`.

    Without `camera_shift` and `independent_jitter` all views of a row have one cut and one change of colour: what is seen
    moves as it did.
    """
    slack, shift = task.window - task.crop, getattr(task, "camera_shift", 0)
    top, left = draw_offsets(draws, frames=frames, slack=slack, shift=shift)
    independent = getattr(task, "independent_jitter", False)
    return Views(
        top=top,
        left=left,
        crop=(task.crop, task.crop),
        size=(task.size, task.size),
        flip=draws.chance("flip", task.flip),
        colour=draw_colours(draws, Jitter.of(task), frames=frames, independent=independent),
        **more,
    )
