"""A row of sequence sorting: the four frames as they are shown, and the order in which they were filmed."""

import numpy as np
from numpy.typing import NDArray
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
        captioned(
            enlarged(_neutral(frame) if _grey(batch, row, place) else frame, SIDE),
            [(text, DIM) for text in _frame_words(batch, row, place)],
        )
        for place, frame in enumerate(frames)
    ]
    return beside([*strip, words(origin(batch, row, reason) + _row_words(batch, row))], gap=8)


def _grey(batch: PretextBatch, row: int, place: int) -> bool:
    """Whether all three channels are one."""
    return bool((batch.inputs["frame"][row, place].diff(dim=0) == 0).all())


def _neutral(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """u8 `[H, W, 3]` without the tint that undoing a scale of each channel's own gives to one channel shown thrice."""
    return np.repeat(frame.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)


def _frame_words(batch: PretextBatch, row: int, place: int) -> list[str]:
    value = {name: fact[row] for name, fact in batch.facts.items()}
    time = int(value["view_frame"][place])
    return [
        f"frame {time + 1} of 4, {value['seconds'][time]:.2f} s",
        f"cut {value['crop_left'][place]} right, {value['crop_top'][place]} down",
        f"only {_CHANNELS[value['channel'][place]]}" if _grey(batch, row, place) else "all channels",
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
