"""A row of synchronisation: the clip, the sound that it is asked about, and where both come from."""

import numpy as np
from PIL import Image

from unreel.pipelines.pretext.synchronisation import KINDS
from unreel.pipelines.pretext.task import PretextBatch
from unreel.tools.drawing import BAD, GOOD, INK, Line, beside, stacked, words
from unreel.tools.sheets.clips import clip_strip, sound_strip
from unreel.tools.sheets.rows import decibels, origin

__all__ = ["clip_row"]

_SIDE = 84


def clip_row(batch: PretextBatch, row: int, reason: str | None) -> Image.Image:
    """Synchronisation: frames from left to right, the sound below them on the same axis of time."""
    strip = clip_strip(batch.inputs["video"][row], side=_SIDE)
    sound = batch.inputs["audio"]
    low, high = float(sound.min()), float(sound.max())
    picture = sound_strip(sound[row, 0].cpu().numpy(), low=low, high=high, width=strip.width)
    lines = _words(batch, row) + origin(batch, row, reason)
    return beside([stacked([strip, picture], gap=2), words(lines)], gap=8)


def _words(batch: PretextBatch, row: int) -> list[Line]:
    facts = {name: fact[row] for name, fact in batch.facts.items()}
    partner = int(np.flatnonzero(batch.positions == facts["partner"])[0])
    kind = KINDS[facts["kind"]]
    answer = ("in step (1)", GOOD) if batch.targets[row] else (f"not in step (0): {kind}", BAD)
    whose = f"sound of row {partner}" if partner != row else "its own sound"
    phase = "on the frame grid" if facts["audio_phase"] == 0 else f"{facts['audio_phase']:+d} off the grid"
    return [
        answer,
        (f"{whose}, from sample {facts['audio_start']}, {phase}", INK),
        (f"clip from frame {facts['clip_start']}, sound {facts['shift_frames']:+d} frames from it", INK),
        (f"level {decibels(facts['level']):.0f} dB, {facts['sounding']:.0%} sounding", INK),
    ]
