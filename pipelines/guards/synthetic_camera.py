"""A camera that is made up: frames cut at sizes and places of no meaning, so that zooms and pans of the real one drown.

Which made-up path hides a real one follows from what a task asks. The visible path is the sum of both. Where the label is
an *order*, a made-up path that is smooth in time is a second camera that pans: it tells the order by itself. A path that
is smooth in the order in which frames are *shown* does not hide the real one either: steady steps cancel in the difference
of two steps, and what is left is the real path's. What hides it is a place and a size for each frame by itself, spread
several times as far as the real camera goes; see `guards/camera_shift.py` for places.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from unreel.pipelines.draws import Draws

__all__ = ["CAMERA_PATHS", "draw_pan", "draw_zoom"]

CAMERA_PATHS: Final = ("own", "whole", "steady")
"""Forms of a made-up path: each frame by itself, between pixels or by whole ones; or straight and steady in time."""


def draw_pan(draws: Draws, times: NDArray[np.floating], *, slack: int, shift: int) -> NDArray[np.float32]:
    """Where each frame is cut along a steady pan, in pixels from the window's (top, left): f32 `[2, B, T]`.

    The pan goes from one place to another at most `shift` pixels away in each axis, while `times` `[B, T]` go from their
    earliest to their latest, and stays within `slack`.
    """
    place = draws.uniform("clip_offset", 2, 1) * (slack - shift)
    ends = draws.uniform("pan", 2, 2) * shift
    early, late = times.min(axis=1, keepdims=True), times.max(axis=1, keepdims=True)
    share = ((times - early) / np.maximum(late - early, 1e-6))[:, None]
    path = place + ends[..., :1] + share * (ends[..., 1:] - ends[..., :1])
    return np.moveaxis(path.astype(np.float32), 1, 0)


def draw_zoom(draws: Draws, *, frames: int, most: float) -> NDArray[np.float32]:
    """Share of its side that each frame's cut keeps: f32 `[B, frames]` in (1 / (1 + most), 1], its logarithm uniform.

    Things are shown up to 1 + `most` times as large. Logarithms, because zooms multiply.
    """
    return np.exp(-np.log1p(most) * draws.uniform("zoom", frames)).astype(np.float32)
