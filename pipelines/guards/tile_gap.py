"""Tiles cut from anywhere in their cells, so that edges and textures do not run on from one tile to the next.

Noroozi and Favaro leave 21 of 85 pixels to chance, so that neighbours are 21 pixels apart on average and never at a
fixed distance. Without it a jigsaw is solved by continuing lines.
"""

import numpy as np
from numpy.typing import NDArray

from unreel.pipelines.draws import Draws

__all__ = ["place_tiles"]


def place_tiles(
    draws: Draws, order: NDArray[np.int64], *, grid: int, cell: int, tile: int, slack: int, anywhere: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each tile is cut, (top, left), each i64 `[B, tiles]`, in pixels.

    Args:
        order: i64 `[B, tiles]`, the cell that each place shows; cells are numbered by rows.
        grid: cells along each side.
        cell, tile: their sides, in pixels.
        slack: pixels by which the whole grid may be moved.
        anywhere: tiles lie anywhere in their cells; else in their middles.
    """
    grid_place = draws.integers("grid", 0, slack + 1, 2)
    # By cell and not by place, so that no draw depends on the order that is asked for.
    free = cell - tile
    inside = draws.integers("tile", 0, free + 1, 2, grid**2) if anywhere else np.full((1, 2, 1), free // 2)
    inside = np.broadcast_to(inside, (len(order), 2, grid**2))
    corners = np.stack(np.divmod(np.arange(grid**2), grid)) * cell
    by_cell = grid_place[:, :, None] + corners + inside
    top, left = np.take_along_axis(by_cell, order[:, None], axis=2).transpose(1, 0, 2)
    return top, left
