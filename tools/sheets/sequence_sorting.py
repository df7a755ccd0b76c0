"""A row of sequence sorting: the four frames as they are shown, and the order in which they were filmed."""

from PIL import Image

from unreel.pipelines.ops.normalise import denormalise
from unreel.pipelines.pretext.task import PretextBatch
from unreel.tools.drawing import DIM, GOOD, INK, Line, beside, captioned, enlarged, words
from unreel.tools.sheets.rows import SIDE, origin

__all__ = ["shuffled_row"]

_CHANNELS = ("red", "green", "blue")


def shuffled_row(batch: PretextBatch, row: int, reason: str | None) -> Image.Image:
    """Sequence sorting: four frames, under each which of them it is in time."""
    frames = denormalise(batch.inputs["frame"][row]).cpu().numpy()
    strip = [
        captioned(enlarged(frame, SIDE), [(text, DIM) for text in _frame_words(batch, row, place)])
        for place, frame in enumerate(frames)
    ]
    return beside([*strip, words(origin(batch, row, reason) + _row_words(batch, row))], gap=8)


def _frame_words(batch: PretextBatch, row: int, place: int) -> list[str]:
    value = {name: fact[row] for name, fact in batch.facts.items()}
    time = int(value["view_frame"][place])
    grey = bool((batch.inputs["frame"][row, place].diff(dim=0) == 0).all())
    return [
        f"frame {time + 1} of 4, {value['seconds'][time]:.2f} s",
        f"cut {value['crop_left'][place]} right, {value['crop_top'][place]} down",
        f"only {_CHANNELS[value['channel'][place]]}" if grey else "all channels",
    ]


def _row_words(batch: PretextBatch, row: int) -> list[Line]:
    value = {name: fact[row] for name, fact in batch.facts.items()}
    target = int(batch.targets[row])
    shown = " ".join(str(time + 1) for time in value["view_frame"])
    answer = ("left out (-1): two frames look alike", DIM) if target < 0 else (f"order {target} of 12", GOOD)
    return [
        answer,
        (f"shown as {shown}", INK),
        (f"motion of the window {value['window_motion']:.2f} levels a frame", INK),
        (f"two frames differ by {value['difference']:.0f} at least", INK),
        ("mirrored" if value["flip"] else "not mirrored", INK),
    ]
