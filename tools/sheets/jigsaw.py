"""A card of a jigsaw: the tiles as they were laid, and the same tiles where they belong."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unreel.pipelines.pretext.task import PretextBatch
from unreel.tools.drawing import GOOD, INK, Line, beside, captioned, enlarged, stacked
from unreel.tools.sheets.rows import SIDE, origin

__all__ = ["puzzle_card"]

_TILE = SIDE // 2


def puzzle_card(batch: PretextBatch, row: int, reason: str | None) -> Image.Image:
    """Both puzzles beside each other, each tile stretched by itself as the tower takes it."""
    tiles = [_stretched(tile) for tile in batch.inputs["frame"][row].cpu().numpy()]
    order = batch.facts["order"][row]
    laid, solved = _puzzle(tiles), _puzzle([tiles[place] for place in np.argsort(order)])
    lines: list[Line] = [
        (f"order {int(batch.targets[row])}: cells {' '.join(map(str, order.tolist()))}", GOOD),
        ("left as laid, right as it belongs; each tile at its own contrast", INK),
        ("grey" if batch.facts["grey"][row, 0] else "in colour", INK),
        *origin(batch, row, reason),
    ]
    return captioned(beside([laid, solved], gap=14), lines)


def _puzzle(tiles: list[NDArray[np.uint8]]) -> Image.Image:
    side = round(len(tiles) ** 0.5)
    rows = [tiles[start : start + side] for start in range(0, len(tiles), side)]
    return stacked([beside([enlarged(tile, _TILE) for tile in row], gap=3) for row in rows], gap=3)


def _stretched(tile: NDArray[np.float32]) -> NDArray[np.uint8]:
    """f32 `[3, h, w]` → u8 `[h, w, 3]` from three standard deviations below the mean to three above."""
    unit = (tile - tile.mean()) / max(float(tile.std()), 1e-6) / 6 + 0.5
    return (unit.clip(0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
