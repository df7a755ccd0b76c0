"""Where a window of the stored picture lies: inside the picture without its letterbox."""

from unreel.pipelines.plan import Window
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import Sidecar

__all__ = ["place_window"]


def place_window(sidecar: Sidecar, *, size: int, at: tuple[float, float], inside: bool) -> Window:
    """A square window of `size` pixels at (down, right) = `at`, each in [0, 1) of the room that there is.

    `inside` keeps it within the content box; without, anywhere in the stored picture.

    Raises:
        PlanImpossible: the picture or its content box is smaller than the window, or there is no picture.
    """
    video = sidecar.video or sidecar.image
    if video is None:
        raise PlanImpossible(f"sample {sidecar.key}: the task takes pictures and the sample has none")
    box = sidecar.facts.content_box if inside else None
    left, top, right, bottom = box or (0, 0, video.width, video.height)
    room = (bottom - top - size, right - left - size)
    if min(room) < 0:
        raise PlanImpossible(
            f"sample {sidecar.key}: content of {right - left}x{bottom - top} pixels is smaller than a window of {size}"
        )
    down, aside = (int(share * (free + 1)) for share, free in zip(at, room, strict=True))
    return Window(top=top + down, left=left + aside, height=size, width=size)
