"""The overlay of a clip: a logo, a clock's frame or a caption bar that stays still while the picture around it moves."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from unreel.shards.making.analyse import Box

__all__ = ["overlay_box"]

# So many frames are compared, at places of no period (fractions of the golden ratio): a moving pattern that repeats itself
# would look still at evenly spaced ones.
_FRAMES: Final = 16
_GOLDEN: Final = (5**0.5 - 1) / 2
# A pixel lies on an edge when the picture's slope there is, on average over time, this many levels a pixel.
_SLOPE: Final = 12.0
# An edge is still when its slopes of all frames add up to this share of their sizes: moving edges cancel each other.
_COHERENCE: Final = 0.95
# A still edge is there, with half of that slope at least, in this share of the frames: a few chance meetings are no edge.
_PRESENCE: Final = 0.9
# An edge moves below this share. The picture moves where so many of all edges do; where fewer do, the camera stands still or
# creeps, and what is laid over the picture cannot be told from the picture.
_MOVING_COHERENCE: Final = 0.6
_FEWEST_MOVING: Final = 0.65
# Still edges are gathered in squares of this side; a square counts with this many of them, an overlay with that many.
_SQUARE: Final = 8
_FEWEST_IN_SQUARE: Final = 6
_FEWEST: Final = 40
# The picture moves around an overlay: of a ring of this width, this share of pixels changes by these levels.
_RING: Final = 8
_RING_SHARE: Final = 0.8
_RING_LEVELS: Final = 32
# What covers more of the picture is the picture.
_LARGEST_SHARE: Final = 0.5


def overlay_box(luma: NDArray[np.uint8]) -> Box | None:
    """(left, top, right, bottom) of what stays still while the picture moves, right and bottom exclusive, else None.

    Edges tell it: those of an overlay have the same slope in every frame, those of a moving picture cancel each other out.
    It has to be sure that the picture moves, so there is none where the camera stands still (most edges are still), nor
    where the ground around is plain or still. Of several overlays the one with the most edges is given.

    Args:
        luma: uint8 `[T, h, w]`.
    """
    chosen = luma[_places(len(luma))]
    if len(chosen) < 2 or min(luma.shape[1:]) <= 2 * _SQUARE:
        return None
    moving, still, edges = _edges(chosen)
    if np.count_nonzero(moving) < _FEWEST_MOVING * np.count_nonzero(edges):
        return None
    box = _densest(still)
    return box if box is not None and _stands_out(box, chosen) else None


def _places(frames: int) -> NDArray[np.intp]:
    return np.unique((np.arange(_FRAMES) * _GOLDEN % 1 * frames).astype(np.intp))


def _edges(luma: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """bool `[h, w]` each: edges that move, edges that are still, all edges."""
    across, down = np.zeros((2, *luma.shape[1:]), np.int32)
    size, present = np.zeros((2, *luma.shape[1:]), np.int32)
    for picture in luma.astype(np.int16):
        right, below = picture[:-1, 1:] - picture[:-1, :-1], picture[1:, :-1] - picture[:-1, :-1]
        across[:-1, :-1] += right
        down[:-1, :-1] += below
        slope = np.abs(right) + np.abs(below)
        size[:-1, :-1] += slope
        present[:-1, :-1] += slope >= _SLOPE / 2
    edges = size >= _SLOPE * len(luma)
    together = np.abs(across) + np.abs(down)
    still = edges & (together >= _COHERENCE * size) & (present >= _PRESENCE * len(luma))
    return edges & (together < _MOVING_COHERENCE * size), still, edges


def _densest(still: NDArray[np.bool_]) -> Box | None:
    """The box of the group of neighbouring squares that holds the most still edges."""
    from scipy import ndimage  # only clips with something still in them wait for its import

    height, width = (side // _SQUARE * _SQUARE for side in still.shape)
    squares = still[:height, :width].reshape(height // _SQUARE, _SQUARE, width // _SQUARE, _SQUARE)
    counts = squares.sum(axis=(1, 3))
    groups, number = ndimage.label(counts >= _FEWEST_IN_SQUARE, np.ones((3, 3)))
    totals = ndimage.sum_labels(counts, groups, np.arange(1, number + 1))
    if not number or totals.max() < _FEWEST:
        return None
    group = np.kron(groups == 1 + int(np.argmax(totals)), np.ones((_SQUARE, _SQUARE), np.bool_))
    rows, columns = np.nonzero(still[:height, :width] & group)
    # A slope lies between a pixel and the next one.
    return int(columns.min()), int(rows.min()), int(columns.max()) + 2, int(rows.max()) + 2


def _stands_out(box: Box, luma: NDArray[np.uint8]) -> bool:
    left, top, right, bottom = box
    if (right - left) * (bottom - top) > _LARGEST_SHARE * luma[0].size:
        return False
    outer = np.s_[:, max(0, top - _RING) : bottom + _RING, max(0, left - _RING) : right + _RING]
    changes = np.ptp(luma[outer], axis=0) >= _RING_LEVELS
    ring = np.ones(changes.shape, np.bool_)
    above, before = min(top, _RING), min(left, _RING)
    ring[above : above + bottom - top, before : before + right - left] = False
    return bool(ring.any() and changes[ring].mean() >= _RING_SHARE)
