"""A row of rotation: the four turns of one picture."""

from PIL import Image

from unreel.pipelines.ops.normalise import denormalise
from unreel.pipelines.pretext.task import PretextBatch
from unreel.tools.drawing import GOOD, INK, beside, captioned, enlarged, words
from unreel.tools.sheets.rows import SIDE, origin

__all__ = ["turn_row"]


def turn_row(batch: PretextBatch, row: int, reason: str | None) -> Image.Image:
    """The pictures with their labels; and where the cut was made."""
    pictures = denormalise(batch.inputs["frame"][row]).cpu().numpy()
    answers = batch.targets[row].tolist()
    strip = [
        captioned(enlarged(picture, SIDE), [(f"{90 * answer}° ({answer})", GOOD)])
        for picture, answer in zip(pictures, answers, strict=True)
    ]
    facts = {name: fact[row] for name, fact in batch.facts.items()}
    lines = [
        *origin(batch, row, reason),
        (f"frame {facts['frame']}", INK),
        (f"cut {facts['crop_left'][0]} right, {facts['crop_top'][0]} down in the window", INK),
        (f"window at {facts['window_left']} right, {facts['window_top']} down", INK),
        ("mirrored" if facts["flip"] else "not mirrored", INK),
    ]
    return beside([*strip, words(lines)], gap=8)
