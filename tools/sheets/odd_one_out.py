"""Rows of odd one out: every sequence as it is shown, when its frames were filmed, and which of them is odd."""

from collections.abc import Mapping

from numpy.typing import NDArray
from PIL import Image

from unreel.pipelines.ops.normalise import denormalise
from unreel.pipelines.pretext.task import PretextBatch
from unreel.tools.drawing import BAD, DIM, GOOD, INK, Line, beside, captioned, enlarged, stacked, words
from unreel.tools.sheets.rows import SIDE, origin

__all__ = ["sequences_card"]


def sequences_card(batch: PretextBatch, row: int, reason: str | None) -> Image.Image:
    """Odd one out: one line a sequence, and where the clip comes from."""
    facts = {name: fact[row] for name, fact in batch.facts.items()}
    lines = [_sequence(batch, row, facts, slot) for slot in range(len(facts["gaps"]))]
    return stacked([words([*origin(batch, row, reason), *_words(batch, row, facts)]), *lines], gap=4)


def _sequence(batch: PretextBatch, row: int, facts: Mapping[str, NDArray], slot: int) -> Image.Image:
    frames = denormalise(batch.inputs["video"][row, slot].transpose(0, 1)).cpu().numpy()
    strip = [
        captioned(enlarged(frame, SIDE * 3 // 5), [(f"{seconds:.2f} s", DIM)])
        for frame, seconds in zip(frames, facts["seconds"][slot], strict=True)
    ]
    kind: Line = ("out of order", BAD) if slot == facts["odd"] else ("in order", GOOD)
    gaps = facts["gaps"][slot]
    said: list[Line] = [
        (f"{slot}: {kind[0]}", kind[1]),
        (f"mean gap {gaps.mean():.2f} s", INK),
        (f"covers {facts['span_seconds'][slot]:.2f} s", INK),
    ]
    return beside([*strip, words(said)], gap=3)


def _words(batch: PretextBatch, row: int, facts: Mapping[str, NDArray]) -> list[Line]:
    target = int(batch.targets[row])
    change = float(facts["difference"][int(facts["odd"])])
    answer = (
        ("left out (-1): the odd sequence shows no change", DIM) if target < 0 else (f"odd: {target}", BAD)
    )
    return [
        answer,
        (f"change a step in it {change:.0f}" + (", mirrored" if facts["flip"] else ""), INK),
    ]
