"""Contact sheets: what the rows of a batch really contain, as the towers take it, with labels and guards in words."""

import textwrap
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unreel.pipelines.loader import Step
from unreel.pipelines.ops.normalise import denormalise
from unreel.pipelines.pretext.task import PretextBatch, PretextTask
from unreel.tools.drawing import (
    BAD,
    DIM,
    GOOD,
    INK,
    Line,
    beside,
    captioned,
    enlarged,
    heat,
    stacked,
    words,
)

__all__ = ["SHEETS", "contact_sheet"]

_SIDE: Final = 150
_LETTERS: Final = "abcde"
_ACROSS: Final = 4


def contact_sheet(step: Step, task: PretextTask, *, rows: int) -> Image.Image:
    """The first `rows` rows of a step, under a head that says which task, which step and how its guards stand."""
    batch = step.batch
    shown = range(min(rows, len(batch)))
    reasons = {failure.row: f"{failure.stage}: {failure.reason}" for failure in step.failures}
    draw = SHEETS.get(task.name, _plain_row)
    cards = [draw(batch, row, reasons.get(row)) for row in shown]
    across = _ACROSS if draw is _pair_card else 1
    lines = [beside(cards[first : first + across], gap=16) for first in range(0, len(cards), across)]
    return stacked([words(_head(step, task)), *lines], gap=18, margin=14)


def _head(step: Step, task: PretextTask) -> list[Line]:
    batch = step.batch
    labels, counts = np.unique(batch.targets.cpu().numpy(), return_counts=True)
    mix = ", ".join(f"{count} of label {label}" for label, count in zip(labels, counts, strict=True))
    title = f"{task.name}, step {step.step}: {len(batch)} rows, {int(batch.valid.sum())} valid; {mix}"
    guards: Mapping[str, str] = getattr(task, "guards", {})
    return [(title, INK), *((f"guard {name}: {how}", DIM) for name, how in guards.items())]


def _origin(batch: PretextBatch, row: int, reason: str | None) -> list[Line]:
    lines: list[Line] = [(batch.keys[row] or "not read", INK), (f"source {batch.sources[row]}", DIM)]
    if reason:
        lines += [(text, BAD) for text in _folded(f"not valid, {reason}", 64)]
    elif not batch.valid[row]:
        lines.append(("not valid: its partner failed or has the same source", BAD))
    return lines


def _folded(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width)


def _tuple_row(batch: PretextBatch, row: int, reason: str | None) -> Image.Image:
    """Shuffle and learn: the five frames, and the tuples asked about them."""
    frames = denormalise(batch.inputs["frame"][row]).cpu().numpy()
    strip = [
        captioned(enlarged(frame, _SIDE), [(text, DIM) for text in _frame_words(batch.facts, row, time)])
        for time, frame in enumerate(frames)
    ]
    return beside([*strip, words(_origin(batch, row, reason) + _tuple_words(batch, row))], gap=8)


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


def _pair_card(batch: PretextBatch, row: int, reason: str | None) -> Image.Image:
    """Correspondence: the frame, the sound under it, and where both come from."""
    frame = enlarged(denormalise(batch.inputs["frame"][row]).cpu().numpy(), _SIDE * 2)
    sound = batch.inputs["audio"]
    low, high = (float(value) for value in (sound.min(), sound.max()))
    picture = heat(
        sound[row, 0].cpu().numpy(), low=low, high=high, width=frame.width, height=frame.width * 2 // 5
    )
    lines = _pair_words(batch, row) + _origin(batch, row, reason)
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
            f"gain {facts['gain']:.2f}, level {_decibels(facts['level']):.0f} dB, {facts['sounding']:.0%} sounding",
            INK,
        ),
        (f"{colours}" + (", mirrored" if facts["flip"] else ""), INK),
    ]


def _decibels(level: float) -> float:
    return float(20 * np.log10(max(level, 1e-6)))


def _plain_row(batch: PretextBatch, row: int, reason: str | None) -> Image.Image:
    """Any other task: every picture among the inputs as it is scaled, and its facts."""
    pictures = []
    for value in batch.inputs.values():
        if value.is_floating_point() and value.ndim >= 4 and value.shape[-3] == 3:
            scaled = value[row].flatten(0, -4) if value.ndim > 4 else value[row][None]
            pictures += [enlarged(picture, _SIDE) for picture in _stretched(scaled.cpu().numpy())]
    facts = [(f"{name} {np.round(fact[row], 3).tolist()}", INK) for name, fact in batch.facts.items()]
    lines = [*_origin(batch, row, reason), (f"target {batch.targets[row].tolist()}", GOOD), *facts]
    return beside([*pictures, words(lines)], gap=8)


def _stretched(pictures: NDArray[np.float32]) -> NDArray[np.uint8]:
    """`[N, 3, H, W]` of any range → u8 `[N, H, W, 3]` from the darkest to the brightest value."""
    low, high = pictures.min(), pictures.max()
    unit = (pictures - low) / max(float(high - low), 1e-9)
    return (unit * 255).astype(np.uint8).transpose(0, 2, 3, 1)


SHEETS: Final[Mapping[str, Callable[[PretextBatch, int, str | None], Image.Image]]] = {
    "correspondence": _pair_card,
    "shuffle_and_learn": _tuple_row,
}
"""Task → how one of its rows is drawn; other tasks get their pictures and their facts."""
