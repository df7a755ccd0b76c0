"""Corners and overlays covered: a clock that runs tells the order of frames, a logo whose clip it is, both where a cut lies.

Each frame of a clip is covered at the same places of what the tower sees: where the box is in any of its frames. Covered in
the stored picture alone, a box would stand still while cuts are moved, and tell how far each of them was.
"""

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.media import MediaBatch
from unreel.pipelines.ops.views import Views

if TYPE_CHECKING:
    from unreel.pipelines.plan import Plan
    from unreel.shards.sample import Sidecar

__all__ = ["cover", "overlay_boxes"]

_CORNERS: Final = 4
_AROUND: Final = 1
"""Pixels of the tower's input by which a box is wider: a resize blends a pixel with its neighbours."""


def cover(shown: Tensor, media: MediaBatch, views: Views, *, corners: float, measured: bool) -> Tensor:
    """`shown`, what `render` made of `views`, with boxes of every clip set to 0, the mean of all pictures; in place.

    Args:
        corners: share of the picture's height and width that is covered in each corner; the picture without its letterbox.
        measured: whether the overlay that the sidecar names is covered.

    Raises ValueError for views that are turned: their corners are elsewhere.
    """
    boxes = overlay_boxes(media, corners=corners, measured=measured)
    if not (boxes[..., 2:] > boxes[..., :2]).any():
        return shown
    if views.turn is not None:
        raise ValueError(
            "corners of views that are turned cannot be covered: switch overlay_mask and corner_mask off"
        )
    first, stop = _in_views(boxes, views)
    spans = [
        (np.arange(side) >= first[..., axis, None]) & (np.arange(side) < stop[..., axis, None])
        for axis, side in enumerate(views.size)
    ]
    spans[1] = np.where(views.flip[:, None, None], spans[1][..., ::-1], spans[1])
    covered = (spans[0][..., None] & spans[1][..., None, :]).any(axis=1)
    mask = torch.from_numpy(covered).to(shown.device)
    # Whatever the order of the axes between, a row's views are all covered alike.
    return shown.masked_fill_(mask.view(len(mask), *[1] * (shown.ndim - 3), *mask.shape[1:]), 0.0)


def overlay_boxes(media: MediaBatch, *, corners: float, measured: bool) -> NDArray[np.int64]:
    """(top, left, bottom, right) of what is to be covered of each row's decoded window, in its pixels: i64 `[B, 5, 4]`.

    Boxes without any extent stand for those that there are not.
    """
    boxes = np.zeros((len(media), _CORNERS + 1, 4), np.int64)
    for row, (sidecar, plan) in enumerate(zip(media.sidecars, media.plans, strict=True)):
        if sidecar is None or plan is None:
            continue
        if corners or (measured and sidecar.facts.overlay_box):
            boxes[row] = _boxes(sidecar, plan, corners, measured)
    return boxes


def _boxes(sidecar: "Sidecar", plan: "Plan", corners: float, measured: bool) -> NDArray[np.int64]:
    stored = sidecar.video or sidecar.image
    assert stored is not None
    left, top, right, bottom = sidecar.facts.content_box or (0, 0, stored.width, stored.height)
    high, wide = round(corners * (bottom - top)), round(corners * (right - left))
    boxes = [
        (row, column, row + high, column + wide)
        for row in (top, bottom - high)
        for column in (left, right - wide)
    ]
    x0, y0, x1, y1 = (sidecar.facts.overlay_box if measured else None) or (0, 0, 0, 0)
    window = (plan.window.top, plan.window.left) if plan.window else (0, 0)
    return np.array([*boxes, (y0, x0, y1, x1)]) - np.array([*window, *window])


def _in_views(boxes: NDArray[np.int64], views: Views) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First (row, column) of each box in any of a clip's views, and the one behind its last: each i64 `[B, N, 2]`.

    Boxes that no view shows are empty.
    """
    starts = np.stack([views.top, views.left], axis=2)[:, None].astype(np.float64)
    scale = np.array(views.size) / views.extents[:, None]
    first = (boxes[:, :, None, :2] - starts) * scale
    stop = (boxes[:, :, None, 2:] - starts) * scale
    seen = ((stop > 0) & (first < views.size) & (stop > first)).all(axis=3, keepdims=True)
    lowest = np.where(seen, first, np.inf).min(axis=2)
    highest = np.where(seen, stop, -np.inf).max(axis=2)
    size = np.array(views.size)
    low = np.clip(np.floor(lowest) - _AROUND, 0, size)
    high = np.clip(np.ceil(highest) + _AROUND, 0, size)
    return low.astype(np.int64), high.astype(np.int64)
