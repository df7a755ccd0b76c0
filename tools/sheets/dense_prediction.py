"""A row of dense prediction: the frames of each block, and which blocks are to be predicted."""

from PIL import Image

from unreel.pipelines.pretext.task import PretextBatch
from unreel.tools.drawing import DIM, GOOD, INK, Line, beside, captioned, enlarged, stacked, words
from unreel.tools.sheets.rows import SIDE, origin, visible

__all__ = ["block_row"]


def block_row(batch: PretextBatch, row: int, reason: str | None) -> Image.Image:
    """Dense prediction: a column of frames a block."""
    blocks = batch.inputs["video"][row].transpose(1, 2)
    columns = [
        captioned(
            stacked([enlarged(frame, SIDE // 2) for frame in visible(block)], gap=2),
            _words(batch, row, number),
        )
        for number, block in enumerate(blocks)
    ]
    facts = {name: fact[row] for name, fact in batch.facts.items()}
    lines: list[Line] = [
        (f"motion of the window {facts['window_motion']:.2f} levels a frame", INK),
        (f"window at {facts['window_left']} right, {facts['window_top']} down", INK),
        (f"{facts['grey'].mean():.0%} of frames grey, each frame its own light", INK),
        ("mirrored" if facts["flip"] else "not mirrored", INK),
    ]
    return beside([*columns, words(origin(batch, row, reason) + lines)], gap=8)


def _words(batch: PretextBatch, row: int, number: int) -> list[Line]:
    """When a block begins, and what it is for."""
    frames = batch.inputs["video"].shape[3]
    asked = number in batch.targets[row].tolist()
    role: Line = ("predicted", GOOD) if asked else ("seen", DIM)
    return [role, (f"{batch.facts['seconds'][row, number * frames]:.2f} s", DIM)]
