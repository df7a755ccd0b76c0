"""Contact sheets: what the rows of a batch really contain, as the towers take it, with labels and guards in words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from unreel.pipelines.loader import Step
from unreel.pipelines.pretext.task import PretextBatch, PretextTask
from unreel.tools.drawing import DIM, INK, Line, beside, stacked, words
from unreel.tools.sheets.arrow_of_time import arrow_row
from unreel.tools.sheets.clip_order import clips_row
from unreel.tools.sheets.colourisation import colour_row
from unreel.tools.sheets.correspondence import pair_card
from unreel.tools.sheets.dense_prediction import block_row
from unreel.tools.sheets.future_frames import future_row
from unreel.tools.sheets.jigsaw import puzzle_card
from unreel.tools.sheets.misalignment import two_sounds_row
from unreel.tools.sheets.odd_one_out import sequences_card
from unreel.tools.sheets.plain import plain_row
from unreel.tools.sheets.rotation import turn_row
from unreel.tools.sheets.sequence_sorting import shuffled_row
from unreel.tools.sheets.shuffle_and_learn import tuple_row
from unreel.tools.sheets.sync_offset import offset_row
from unreel.tools.sheets.synchronisation import clip_row
from unreel.tools.sheets.time_contrast import pairs_row

__all__ = ["SHEETS", "Sheet", "contact_sheet"]


@dataclass(frozen=True, slots=True)
class Sheet:
    """How the rows of one task are drawn.

    Attributes:
        draw: batch, row and the reason of a failure → a picture.
        across: rows of the batch beside each other.
    """

    draw: Callable[[PretextBatch, int, str | None], Image.Image]
    across: int = 1


SHEETS: Final[Mapping[str, Sheet]] = {
    "arrow_of_time": Sheet(arrow_row),
    "colourisation": Sheet(colour_row),
    "clip_order": Sheet(clips_row),
    "correspondence": Sheet(pair_card, across=4),
    "dense_prediction": Sheet(block_row),
    "future_frames": Sheet(future_row),
    "jigsaw": Sheet(puzzle_card, across=3),
    "rotation": Sheet(turn_row),
    "odd_one_out": Sheet(sequences_card, across=2),
    "sequence_sorting": Sheet(shuffled_row),
    "shuffle_and_learn": Sheet(tuple_row),
    "misalignment": Sheet(two_sounds_row),
    "sync_offset": Sheet(offset_row),
    "synchronisation": Sheet(clip_row),
    "time_contrast": Sheet(pairs_row),
}
"""By task; other tasks get their pictures and their facts."""


_MOST_LABELS: Final = 8
"""Labels that are counted one by one."""


def contact_sheet(step: Step, task: PretextTask, *, rows: int) -> Image.Image:
    """The first `rows` rows of a step, under a head that says which task, which step and how its guards stand."""
    batch = step.batch
    shown = range(min(rows, len(batch)))
    reasons = {failure.row: f"{failure.stage}: {failure.reason}" for failure in step.failures}
    sheet = SHEETS.get(task.name, Sheet(plain_row))
    cards = [sheet.draw(batch, row, reasons.get(row)) for row in shown]
    starts = range(0, len(cards), sheet.across)
    lines = [beside(cards[first : first + sheet.across], gap=16) for first in starts]
    return stacked([words(_head(step, task)), *lines], gap=18, margin=14)


def _head(step: Step, task: PretextTask) -> list[Line]:
    batch = step.batch
    labels, counts = np.unique(batch.targets.cpu().numpy(), return_counts=True)
    mix = ", ".join(f"{count} of label {label}" for label, count in zip(labels, counts, strict=True))
    if len(labels) > _MOST_LABELS:
        mix = f"{counts.sum()} answers of {len(labels)} labels"
    if batch.targets.is_floating_point():
        mix = "targets are values and no labels"
    title = f"{task.name}, step {step.step}: {len(batch)} rows, {int(batch.valid.sum())} valid; {mix}"
    guards: Mapping[str, str] = getattr(task, "guards", {})
    return [(title, INK), *((f"guard {name}: {how}", DIM) for name, how in guards.items())]
