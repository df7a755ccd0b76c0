"""A row of the arrow of time: the frames as they are shown, when each was filmed, and which way the clip runs."""

from PIL import Image

from unreel.pipelines.pretext.task import PretextBatch
from unreel.tools.drawing import BAD, DIM, GOOD, INK, Line, beside, captioned, enlarged, words
from unreel.tools.sheets.rows import SIDE, origin, visible

__all__ = ["arrow_row"]


def arrow_row(batch: PretextBatch, row: int, reason: str | None) -> Image.Image:
    """The arrow of time: the clip's frames from the first that is shown to the last."""
    frames = visible(batch.inputs["video"][row].transpose(1, 2).flatten(0, 1))
    facts = {name: fact[row] for name, fact in batch.facts.items()}
    # Of differences there is one less than of frames; each belongs to the later of the two.
    order = facts["view_frame"][-len(frames) :]
    strip = [
        captioned(
            enlarged(frame, SIDE * 2 // 3),
            [(f"{facts['seconds'][at]:.2f} s", DIM), (f"key +{facts['key_distance'][at]}", DIM)],
        )
        for frame, at in zip(frames, order, strict=True)
    ]
    return beside([*strip, words(origin(batch, row, reason) + _words(batch, row))], gap=4)


def _words(batch: PretextBatch, row: int) -> list[Line]:
    answer = ("backwards (0)", BAD) if batch.facts["backward"][row] else ("forwards (1)", GOOD)
    motion = float(batch.facts["window_motion"][row])
    return [
        answer,
        (f"motion of the window {motion:.2f} levels a frame", INK),
        ("mirrored" if batch.facts["flip"][row] else "not mirrored", INK),
    ]
