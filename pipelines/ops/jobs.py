"""What a kernel has to know of each view, as one table of integers: the same for every kernel."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from unreel.pipelines.ops.normalise import MEAN, STD
from unreel.pipelines.ops.taps import Taps, blur_radius, taps_of, uniform_taps
from unreel.pipelines.ops.views import Views, channel_starts, sources
from unreel.pipelines.ops.yuv import COLOURS, Pictures, PlanarYuv, extent_of

__all__ = ["BOUNDS", "JOB_FIELDS", "Layout", "Table", "channel_stride", "job_table"]

JOB_FIELDS: Final = (
    "frame",
    "colours",
    "height",
    "width",
    "down",
    "along",
    "transpose",
    "radius",
    "target",
    "top_red",
    "left_red",
    "top_green",
    "left_green",
    "top_blue",
    "left_blue",
)
"""A view's frame among all, its row's colours as in `COLOURS`, height and width of the cut in pixels, the numbers of its
tables, whether it is transposed, its blur's radius, where its red begins in the result, and where each channel is cut."""

BOUNDS: Final = np.array([(-m / s, (1 - m) / s) for m, s in zip(MEAN, STD, strict=True)], np.float32)
"""Black and white of each channel after normalisation, `[3, 2]`."""

Table = tuple[Any, ...]
Layout = Callable[[Taps], Table]


def job_table(
    pictures: Pictures, views: Views, down_layout: Layout, along_layout: Layout
) -> tuple[NDArray[np.int64], Table, Table]:
    """The table of views, i64 `[N, len(JOB_FIELDS)]`, and the tables of the resizes of columns and of rows.

    A layout brings `Taps` into the form of a kernel: K tables, and behind them the K that read backwards.
    """
    turn = np.zeros(1, np.int64) if views.turn is None else views.turn % 4
    # A quarter turn is a mirror and a transposition, and mirrors are tables read backwards.
    aside, upside = views.flip[:, None] ^ ((turn == 1) | (turn == 2)), (turn == 2) | (turn == 3)
    tops, lefts = channel_starts(views)
    jobs = np.zeros((views.top.size, len(JOB_FIELDS)), np.int64)
    down, height, number_down = _axis(down_layout, tops[:, 0], views, 0)
    along, width, number_along = _axis(along_layout, lefts[:, 0], views, 1)
    columns = {
        "frame": sources(views, extent_of(pictures)[1]).reshape(views.top.shape),
        "colours": _colours(pictures)[:, None],
        "height": height,
        "width": width,
        "down": number_down + upside * (len(down[0]) // 2),
        "along": number_along + aside * (len(along[0]) // 2),
        "transpose": turn % 2,
        "radius": 0 if views.blur is None else blur_radius(views.blur),
        "target": _targets(views),
    }
    for place, column in enumerate(columns.values()):
        jobs[:, place].reshape(views.top.shape)[:] = column
    jobs[:, len(columns) :: 2], jobs[:, len(columns) + 1 :: 2] = np.floor(tops), np.floor(lefts)
    return jobs, down, along


def _colours(pictures: Pictures) -> NDArray[np.int64]:
    """The place of each row's colours in `COLOURS`."""
    if isinstance(pictures, PlanarYuv):
        return np.array([COLOURS.index(name) for name in pictures.colours])
    return np.zeros(len(pictures), np.int64)


def _targets(views: Views) -> NDArray[np.int64]:
    """Where the red of each view begins in the result, in floats, `[B, V]`."""
    clip, view = np.divmod(np.arange(views.top.size), views.together)
    return (views.size[0] * views.size[1] * (3 * clip * views.together + view)).reshape(views.top.shape)


def _axis(layout: Layout, start: NDArray, views: Views, axis: int) -> tuple[Table, Any, Any]:
    """Tables of one axis, how many pixels each view reads, and its table; the second half of the tables are mirrors."""
    if views.whole:
        extent = int(views.crop[axis])
        return _uniform(layout, extent, views.size[axis]), extent, 0
    extents = views.extents[..., axis].ravel().astype(np.float64)
    kinds = np.stack([start - np.floor(start), extents], 1)
    kinds, number = np.unique(kinds, axis=0, return_inverse=True)
    table = layout(taps_of(kinds[:, 0], kinds[:, 1], views.size[axis]))
    count = np.ceil(start + extents) - np.floor(start)
    return table, count.reshape(views.top.shape), number.reshape(views.top.shape)


@lru_cache(maxsize=64)
def _uniform(layout: Layout, extent: int, size: int) -> Table:
    return layout(uniform_taps(extent, size))


def channel_stride(views: Views) -> int:
    """Values from a view's red to its green."""
    return views.together * views.size[0] * views.size[1]
