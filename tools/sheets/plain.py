"""A row of a task that has no sheet of its own: its pictures as they are scaled, its target and its facts."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unreel.pipelines.pretext.task import PretextBatch
from unreel.tools.drawing import GOOD, INK, beside, enlarged, words
from unreel.tools.sheets.rows import SIDE, origin

__all__ = ["plain_row"]


def plain_row(batch: PretextBatch, row: int, reason: str | None) -> Image.Image:
    """Any other task: every picture among the inputs as it is scaled, and its facts."""
    pictures = []
    for value in batch.inputs.values():
        if value.is_floating_point() and value.ndim >= 4 and value.shape[-3] == 3:
            scaled = value[row].flatten(0, -4) if value.ndim > 4 else value[row][None]
            pictures += [enlarged(picture, SIDE) for picture in _stretched(scaled.cpu().numpy())]
    facts = [(f"{name} {np.round(fact[row], 3).tolist()}", INK) for name, fact in batch.facts.items()]
    lines = [*origin(batch, row, reason), (f"target {batch.targets[row].tolist()}", GOOD), *facts]
    return beside([*pictures, words(lines)], gap=8)


def _stretched(pictures: NDArray[np.float32]) -> NDArray[np.uint8]:
    """`[N, 3, H, W]` of any range → u8 `[N, H, W, 3]` from the darkest to the brightest value."""
    low, high = pictures.min(), pictures.max()
    unit = (pictures - low) / max(float(high - low), 1e-9)
    return (unit * 255).astype(np.uint8).transpose(0, 2, 3, 1)
