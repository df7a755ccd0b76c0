"""A row of clip order prediction: the clips as they are shown, a frame or two of each, and their places in time."""

import numpy as np
from PIL import Image

from unreel.pipelines.pretext.permutations import orders
from unreel.pipelines.pretext.task import PretextBatch
from unreel.tools.drawing import DIM, GOOD, INK, Line, beside, captioned, enlarged, words
from unreel.tools.sheets.rows import SIDE, origin, visible

__all__ = ["clips_row"]


def clips_row(batch: PretextBatch, row: int, reason: str | None) -> Image.Image:
    """Clip order prediction: the first and the last frame of each clip, from the first that is shown to the last."""
    clips = batch.inputs["video"][row].transpose(1, 2)
    shown = [_clip(batch, row, place, visible(clips[place])) for place in range(len(clips))]
    return beside([*shown, words(origin(batch, row, reason) + _words(batch, row))], gap=14)


def _clip(batch: PretextBatch, row: int, place: int, frames: np.ndarray) -> Image.Image:
    ends = sorted({0, len(frames) - 1})
    picture = beside([enlarged(frames[end], SIDE * 2 // 3) for end in ends], gap=2)
    facts = {name: fact[row] for name, fact in batch.facts.items()}
    views = [place * len(frames) + end for end in ends]
    times = [float(facts["seconds"][facts["view_frame"][view]]) for view in views]
    keys = [int(facts["key_distance"][facts["view_frame"][view]]) for view in views]
    lines = [
        (f"{times[0]:.2f} … {times[-1]:.2f} s, key +{keys[0]} … +{keys[-1]}", DIM),
        (f"cut {facts['crop_left'][views[0]]} right, {facts['crop_top'][views[0]]} down", DIM),
    ]
    return captioned(picture, lines)


def _words(batch: PretextBatch, row: int) -> list[Line]:
    target = int(batch.targets[row])
    order = orders(batch.inputs["video"].shape[1])[target]
    motion = float(batch.facts["window_motion"][row])
    return [
        (f"clips {' '.join(str(clip + 1) for clip in order)} of time ({target})", GOOD),
        (f"motion of the window {motion:.2f} levels a frame", INK),
        ("mirrored" if batch.facts["flip"][row] else "not mirrored", INK),
    ]
