"""A row of shuffle and learn: the five frames, and the tuples asked about them."""

from collections.abc import Mapping
from typing import Final

from numpy.typing import NDArray
from PIL import Image

from unreel.pipelines.ops.normalise import denormalise
from unreel.pipelines.pretext.task import PretextBatch
from unreel.tools.drawing import BAD, DIM, GOOD, INK, Line, beside, captioned, enlarged, words
from unreel.tools.sheets.rows import SIDE, origin

__all__ = ["tuple_row"]

_LETTERS: Final = "abcde"


def tuple_row(batch: PretextBatch, row: int, reason: str | None) -> Image.Image:
    """Shuffle and learn: the five frames, and the tuples asked about them."""
    frames = denormalise(batch.inputs["frame"][row]).cpu().numpy()
    strip = [
        captioned(enlarged(frame, SIDE), [(text, DIM) for text in _frame_words(batch.facts, row, time)])
        for time, frame in enumerate(frames)
    ]
    return beside([*strip, words(origin(batch, row, reason) + _tuple_words(batch, row))], gap=8)


def _frame_words(facts: Mapping[str, NDArray], row: int, time: int) -> list[str]:
    value = {name: fact[row, time] for name, fact in facts.items() if fact[row].shape == (len(_LETTERS),)}
    return [
        f"{_LETTERS[time]}: {value['seconds']:.2f} s, key +{value['key_distance']}",
        f"cut {value['crop_left']} right, {value['crop_top']} down",
        f"brightness {value['brightness']:.2f}",
        f"contrast {value['contrast']:.2f}",
        "grey" if value["grey"] else f"sat {value['saturation']:.2f}, hue {value['hue']:+.2f}",
    ]


def _tuple_words(batch: PretextBatch, row: int) -> list[Line]:
    lines: list[Line] = []
    answers = {1: ("in order (1)", GOOD), 0: ("not in order (0)", BAD), -1: ("left out (-1)", DIM)}
    for members, target in zip(
        batch.inputs["tuples"][row].tolist(), batch.targets[row].tolist(), strict=True
    ):
        answer, colour = answers[target]
        lines.append((f"{' '.join(_LETTERS[member] for member in members)}  {answer}", colour))
    facts = {name: fact[row] for name, fact in batch.facts.items()}
    alike = ": frames look alike, left out" if (batch.targets[row] == -1).all() else ""
    return [
        *lines,
        (f"motion of the window {facts['window_motion']:.2f} levels a frame", INK),
        (f"c differs from a or e by {facts['difference']:.0f} at least{alike}", INK),
        (f"window at {facts['window_left']} right, {facts['window_top']} down", INK),
        ("mirrored" if facts["flip"] else "not mirrored", INK),
    ]
