"""A row of misalignment: the clip, and under it the two sounds that it is asked about."""

from PIL import Image

from unreel.pipelines.pretext.task import PretextBatch
from unreel.tools.drawing import BAD, GOOD, INK, Line, beside, stacked, words
from unreel.tools.sheets.clips import clip_strip, sound_strip
from unreel.tools.sheets.rows import decibels, origin

__all__ = ["two_sounds_row"]

_SIDE = 84


def two_sounds_row(batch: PretextBatch, row: int, reason: str | None) -> Image.Image:
    """Misalignment: frames from left to right, both sounds below them on the same axis of time."""
    strip = clip_strip(batch.inputs["video"][row], side=_SIDE)
    sounds = batch.inputs["audio"]
    low, high = float(sounds.min()), float(sounds.max())
    pictures = [
        sound_strip(sound[0].cpu().numpy(), low=low, high=high, width=strip.width, height=45)
        for sound in sounds[row]
    ]
    return beside(
        [stacked([strip, *pictures], gap=2), words(_words(batch, row) + origin(batch, row, reason))], gap=8
    )


def _words(batch: PretextBatch, row: int) -> list[Line]:
    facts = {name: fact[row] for name, fact in batch.facts.items()}
    lines: list[Line] = [(f"clip from frame {facts['clip_start']}", INK)]
    names = ("upper", "lower")
    for slot, (name, target) in enumerate(zip(names, batch.targets[row].tolist(), strict=True)):
        start, level = facts["audio_start"][slot], decibels(facts["level"][slot])
        moved = "its own sound (1)" if target else f"{facts['shift_frames']:+d} frames off (0)"
        lines.append((f"{name}: {moved}, from sample {start}, {level:.0f} dB", GOOD if target else BAD))
    return lines
