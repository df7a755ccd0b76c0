"""A row of time contrast: pairs of frames that are near in time, and which of the others are negatives of each."""

from PIL import Image

from unreel.pipelines.pretext.task import PretextBatch
from unreel.tools.drawing import DIM, GOOD, INK, Line, beside, captioned, enlarged, words
from unreel.tools.sheets.rows import SIDE, origin, visible

__all__ = ["pairs_row"]


def pairs_row(batch: PretextBatch, row: int, reason: str | None) -> Image.Image:
    """Time contrast: the frames pair by pair, the anchor first."""
    frames = visible(batch.inputs["frame"][row])
    facts = {name: fact[row] for name, fact in batch.facts.items()}
    cards = [
        captioned(
            enlarged(frame, SIDE * 2 // 3),
            [
                (f"{number}: {facts['seconds'][number]:.2f} s", DIM),
                (f"{facts['crop_left'][number]} right, {facts['crop_top'][number]} down", DIM),
            ],
        )
        for number, frame in enumerate(frames)
    ]
    pairs = [beside(cards[first : first + 2], gap=2) for first in range(0, len(cards), 2)]
    return beside([*pairs, words(origin(batch, row, reason) + _words(batch, row))], gap=14)


def _words(batch: PretextBatch, row: int) -> list[Line]:
    lines: list[Line] = []
    for pair, apart in enumerate(batch.inputs["apart"][row].tolist()):
        negatives = " ".join(str(number) for number, negative in enumerate(apart) if negative)
        lines.append(
            (f"{2 * pair} near {int(batch.targets[row, pair])}, far from {negatives or 'none'}", GOOD)
        )
    motion = float(batch.facts["window_motion"][row])
    return [
        *lines,
        (f"motion of the window {motion:.2f} levels a frame", INK),
        ("mirrored" if batch.facts["flip"][row] else "not mirrored", INK),
    ]
