"""A row of sync offset: its frames, and the sound around them with the place at which it is in step."""

from PIL import Image, ImageDraw

from unreel.pipelines.ops.normalise import denormalise
from unreel.pipelines.pretext.task import PretextBatch
from unreel.tools.drawing import GOOD, INK, Line, beside, enlarged, stacked, words
from unreel.tools.sheets.clips import sound_strip
from unreel.tools.sheets.rows import decibels, origin

__all__ = ["offset_row"]

_SIDE = 84


def offset_row(batch: PretextBatch, row: int, reason: str | None) -> Image.Image:
    """Sync offset: the first frame of each clip; below, all sound of the row, the part of the clips in a green frame."""
    clips = batch.inputs["video"][row]
    pictures = denormalise(clips[:, :, 0]).cpu().numpy()
    strip = beside([enlarged(picture, _SIDE) for picture in pictures], gap=2)
    sound = _sound(batch, row, width=max(strip.width, 420))
    return beside(
        [stacked([strip, sound], gap=2), words(_words(batch, row) + origin(batch, row, reason))], gap=8
    )


def _sound(batch: PretextBatch, row: int, *, width: int) -> Image.Image:
    """The first column of each of the sounds, which begin a step apart: together they are the sound of the row."""
    sounds = batch.inputs["audio"]
    columns = sounds[row, :, 0].mean(dim=2).T.cpu().numpy()
    picture = sound_strip(columns, low=float(sounds.min()), high=float(sounds.max()), width=width)
    step = width / columns.shape[1]
    candidates = batch.inputs["candidates"][row]
    first, last = (int(candidates[end, int(batch.targets[row])]) for end in (0, -1))
    box = (first * step, 0, (last + 1) * step - 1, picture.height - 1)
    ImageDraw.Draw(picture).rectangle(box, outline=GOOD, width=2)
    return picture


def _words(batch: PretextBatch, row: int) -> list[Line]:
    facts = {name: fact[row] for name, fact in batch.facts.items()}
    count = batch.inputs["candidates"].shape[2]
    return [
        (f"in step with candidate {int(batch.targets[row])} of {count}", GOOD),
        (
            f"{batch.inputs['video'].shape[1]} clips of {batch.inputs['video'].shape[3]} frames from {facts['frames'][0]}",
            INK,
        ),
        (f"sound from sample {facts['audio_start']}, {facts['sounding']:.0%} sounding", INK),
        (f"level {decibels(facts['level']):.0f} dB", INK),
    ]
