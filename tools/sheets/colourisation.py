"""A row of colourisation: what the tower sees above the colours that it copies from, and those that it is asked for."""

import numpy as np
from PIL import Image

from unreel.pipelines.ops.normalise import denormalise
from unreel.pipelines.pretext.task import PretextBatch
from unreel.tools.drawing import DIM, GOOD, INK, Line, beside, captioned, enlarged, hues, stacked, words
from unreel.tools.sheets.rows import SIDE, origin

__all__ = ["colour_row"]


def colour_row(batch: PretextBatch, row: int, reason: str | None) -> Image.Image:
    """Colourisation: the frames in grey, and under each the clusters of its cells."""
    frames = denormalise(batch.inputs["frame"][row]).cpu().numpy()
    labels = np.concatenate([batch.inputs["labels"][row].cpu(), batch.targets[row][None].cpu()])
    strip = [
        captioned(
            stacked([enlarged(frame, SIDE), enlarged(hues(cells), SIDE)]), _frame_words(batch, row, time)
        )
        for time, (frame, cells) in enumerate(zip(frames, labels, strict=True))
    ]
    return beside([*strip, words(origin(batch, row, reason) + _words(batch, row))], gap=8)


def _frame_words(batch: PretextBatch, row: int, time: int) -> list[Line]:
    facts = {name: fact[row] for name, fact in batch.facts.items()}
    role: Line = ("target: asked", GOOD) if time == len(facts["seconds"]) - 1 else ("reference: given", DIM)
    light = f"brightness {facts['brightness'][time]:.2f}, contrast {facts['contrast'][time]:.2f}"
    return [role, (f"{facts['seconds'][time]:.2f} s", DIM), (light, DIM)]


def _words(batch: PretextBatch, row: int) -> list[Line]:
    facts = {name: fact[row] for name, fact in batch.facts.items()}
    known = len(np.unique(batch.inputs["labels"][row].cpu()))
    return [
        (f"{known} clusters of colour, spread {facts['spread']:.1f}", INK),
        ("left out: hardly any colour", DIM) if (batch.targets[row] < 0).all() else ("", INK),
        (f"motion of the window {facts['window_motion']:.2f} levels a frame", INK),
        (f"window at {facts['window_left']} right, {facts['window_top']} down", INK),
        ("mirrored" if facts["flip"] else "not mirrored", INK),
    ]
