"""A row of audio-visual correspondence: the frame, the sound under it, and where both come from."""

import numpy as np
from PIL import Image

from unreel.pipelines.ops.normalise import denormalise
from unreel.pipelines.pretext.task import PretextBatch
from unreel.tools.drawing import BAD, GOOD, INK, Line, captioned, enlarged, heat, stacked
from unreel.tools.sheets.rows import SIDE, decibels, origin

__all__ = ["pair_card"]


def pair_card(batch: PretextBatch, row: int, reason: str | None) -> Image.Image:
    """Correspondence: the frame, the sound under it, and where both come from."""
    frame = enlarged(denormalise(batch.inputs["frame"][row]).cpu().numpy(), SIDE * 2)
    sound = batch.inputs["audio"]
    low, high = (float(value) for value in (sound.min(), sound.max()))
    picture = heat(
        sound[row, 0].cpu().numpy(), low=low, high=high, width=frame.width, height=frame.width * 2 // 5
    )
    lines = _pair_words(batch, row) + origin(batch, row, reason)
    return captioned(stacked([frame, picture], gap=2), lines)


def _pair_words(batch: PretextBatch, row: int) -> list[Line]:
    facts = {name: fact[row] for name, fact in batch.facts.items()}
    answers = {1: ("corresponds (1)", GOOD), 0: ("does not correspond (0)", BAD)}
    partner = int(np.flatnonzero(batch.positions == facts["partner"])[0])
    phase = "on the frame grid" if facts["audio_phase"] == 0 else f"{facts['audio_phase']:+d} off the grid"
    colours = f"brightness {facts['shift'][0]:+.2f}, saturation {facts['saturation'][0]:.2f}"
    moved = float(facts["misaligned_seconds"])
    return [
        answers[int(batch.targets[row])],
        (f"row {row} sees, row {partner} is heard", INK),
        (f"frame {facts['frame']} at {facts['frame_seconds']:.2f} s, key +{facts['key_distance']}", INK),
        (f"sound from sample {facts['audio_start']}, {phase}", INK),
        (f"moved {abs(moved):.2f} s {'behind' if moved >= 0 else 'before'} the heard row's frame", INK),
        (
            f"gain {facts['gain']:.2f}, level {decibels(facts['level']):.0f} dB, {facts['sounding']:.0%} sounding",
            INK,
        ),
        (f"{colours}" + (", mirrored" if facts["flip"] else ""), INK),
    ]
