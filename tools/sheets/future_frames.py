"""A row of future frames: what is seen, and what is to be painted."""

from PIL import Image

from unreel.pipelines.pretext.task import PretextBatch
from unreel.tools.drawing import DIM, GOOD, INK, Line, beside, captioned, enlarged, words
from unreel.tools.sheets.rows import SIDE, origin, visible

__all__ = ["future_row"]


def future_row(batch: PretextBatch, row: int, reason: str | None) -> Image.Image:
    """Future frames: the seen frames, then those that follow."""
    seen, future = (visible(part[row].transpose(0, 1)) for part in (batch.inputs["video"], batch.targets))
    roles: list[Line] = [("seen", DIM)] * len(seen) + [("painted", GOOD)] * len(future)
    seconds = batch.facts["seconds"][row]
    strip = [
        captioned(enlarged(frame, SIDE // 2), [role, (f"{time:.2f} s", DIM)])
        for frame, role, time in zip([*seen, *future], roles, seconds, strict=True)
    ]
    facts = {name: fact[row] for name, fact in batch.facts.items()}
    lines: list[Line] = [
        (f"motion of the window {facts['window_motion']:.2f} levels a frame", INK),
        (f"window at {facts['window_left']} right, {facts['window_top']} down", INK),
        ("mirrored" if facts["flip"] else "not mirrored", INK),
    ]
    return beside([*strip, words(origin(batch, row, reason) + lines)], gap=8)
