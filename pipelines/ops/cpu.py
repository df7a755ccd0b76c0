"""The CPU kernel of `render`: tables for the compiled loops of `cpu_loops.py`, and threads that run them without the GIL.

The first call of a process loads compiled code from numba's cache on disk; the first ever on a machine compiles it.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.ops import cpu_loops as loops
from unreel.pipelines.ops.colour import affine
from unreel.pipelines.ops.normalise import MEAN, STD
from unreel.pipelines.ops.taps import Taps, blur_radius, blur_taps, taps_of, uniform_taps
from unreel.pipelines.ops.views import Views, channel_starts, sources
from unreel.pipelines.ops.yuv import COLOURS, Pictures, PlanarYuv, coefficients, extent_of

__all__ = ["render"]

_Table = tuple[NDArray, ...]

_ALONE: Final = 1 << 19
"""Values up to which one thread does it all: to wake another takes about as long."""

_BOUNDS: Final = np.array([(-m / s, (1 - m) / s) for m, s in zip(MEAN, STD, strict=True)], np.float32)


def render(pictures: Pictures, views: Views) -> Tensor:
    """As `views.render`, on CPU tensors; the views fit the pictures."""
    rows, count = views.top.shape
    shape = (rows, count, 3) if views.layout == "TCHW" else (rows, 3, count)
    out = torch.empty((*shape, *views.size), dtype=torch.float32)
    if out.numel():
        _run(pictures, views, out)
    return out.to(views.dtype)


def _run(pictures: Pictures, views: Views, out: Tensor) -> None:
    planar = isinstance(pictures, PlanarYuv)
    parts = (pictures.luma, pictures.chroma) if isinstance(pictures, PlanarYuv) else (pictures, pictures)
    held = [part.contiguous() for part in parts]
    addresses = held[0].data_ptr(), held[1].data_ptr()
    jobs, along, near, down = _jobs(pictures, views)
    sharp = np.zeros(1, np.float32).repeat(len(jobs))
    shares = blur_taps(sharp if views.blur is None else views.blur.ravel())
    colours = np.concatenate([part.reshape(len(jobs), -1) for part in affine(views.colour)], 1)
    stride = (1 if views.layout == "TCHW" else views.top.shape[1]) * views.size[0] * views.size[1]
    shifted = views.channel_shift is not None
    extent = extent_of(pictures)[2:]

    def work(start: int, stop: int) -> None:
        loops.render_views(
            start,
            stop,
            addresses,
            extent,
            planar,
            shifted,
            jobs,
            views.size,
            along,
            near,
            down,
            coefficients(),
            colours,
            _BOUNDS,
            shares,
            stride,
            out.data_ptr(),
        )

    _share(work, len(jobs), 1 if out.numel() <= _ALONE else torch.get_num_threads())


def _share(work: Any, count: int, threads: int) -> None:
    """work(start, stop) over equal stretches of `count` views, the first of them in this thread."""
    ends = np.linspace(0, count, min(threads, count) + 1).astype(int).tolist()
    others = [_pool(os.getpid()).submit(work, *pair) for pair in pairwise(ends[1:])]
    work(0, ends[1])
    for other in others:
        other.result()


@cache
def _pool(_process: int) -> ThreadPoolExecutor:
    """Of this process: a fork has none of the threads of its parent."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="render")


def _jobs(pictures: Pictures, views: Views) -> tuple[NDArray[np.int64], _Table, bool, _Table]:
    """The table of views, and the tables of their resizes."""
    turn = np.zeros(1, np.int64) if views.turn is None else views.turn % 4
    # A quarter turn is a mirror and a transposition, and mirrors are tables read backwards.
    aside, upside = views.flip[:, None] ^ ((turn == 1) | (turn == 2)), (turn == 2) | (turn == 3)
    tops, lefts = channel_starts(views)
    jobs = np.zeros((views.top.size, len(loops.FIELDS)), np.int64)
    down, height, number_down = _axis(_down_table, tops[:, 0], views, 0)
    along, width, number_along = _axis(_along_table, lefts[:, 0], views, 1)
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
    near = loops.has_shuffle() and bool(along[1].max() <= loops.REACH + 1)
    return jobs, along, near, down


def _colours(pictures: Pictures) -> NDArray[np.int64]:
    """The place of each row's colours in `COLOURS`."""
    if isinstance(pictures, PlanarYuv):
        return np.array([COLOURS.index(name) for name in pictures.colours])
    return np.zeros(len(pictures), np.int64)


def _targets(views: Views) -> NDArray[np.int64]:
    """Where the red of each view begins in the result, in floats, `[B, V]`."""
    (rows, count), plane = views.top.shape, views.size[0] * views.size[1]
    row, view = np.arange(rows)[:, None], np.arange(count)
    return plane * (3 * (row * count + view) if views.layout == "TCHW" else 3 * row * count + view)


def _axis(layout: Any, start: NDArray, views: Views, axis: int) -> tuple[_Table, Any, Any]:
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
def _uniform(layout: Any, extent: int, size: int) -> _Table:
    return layout(uniform_taps(extent, size))


def _with_mirrors(taps: Taps) -> tuple[NDArray[np.int64], NDArray[np.int16], NDArray[np.int64]]:
    """first `[2 K, size]`, weight `[2 K, size, pairs, 2]`, bits `[2 K]`."""
    odd = taps.weight.shape[2] % 2
    weight = np.pad(taps.weight, ((0, 0), (0, 0), (0, odd))).reshape(*taps.first.shape, -1, 2)
    first = np.concatenate([taps.first, taps.first[:, ::-1]]).astype(np.int64)
    return first, np.concatenate([weight, weight[:, ::-1]]), np.tile(taps.bits.astype(np.int64), 2)


def _down_table(taps: Taps) -> _Table:
    return _with_mirrors(taps)


def _along_table(taps: Taps) -> _Table:
    first, weight, bits = _with_mirrors(taps)
    more = -first.shape[1] % loops.BLOCK
    first = np.pad(first, ((0, 0), (0, more)), mode="edge").reshape(len(first), -1, loops.BLOCK)
    weight = np.pad(weight, ((0, 0), (0, more), (0, 0), (0, 0)))
    weight = weight.reshape(*first.shape, -1, 2).swapaxes(2, 3)
    base = first.min(2)
    offset = ((first - base[..., None])[..., None] + np.arange(2)).astype(np.int32).reshape(*base.shape, 16)
    mask = np.minimum(offset, 255).astype(np.uint8)
    return base, offset, mask, np.ascontiguousarray(weight).reshape(*base.shape, -1, 16), bits
