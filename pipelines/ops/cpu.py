"""The CPU kernel of `render`: tables for the compiled loops of `cpu_loops.py`.

The first call of a process loads compiled code from numba's cache on disk; the first ever on a machine compiles it.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.ops import cpu_loops as loops
from unreel.pipelines.ops.colour import affine
from unreel.pipelines.ops.jobs import BOUNDS, Table, channel_stride, job_table
from unreel.pipelines.ops.sharing import share
from unreel.pipelines.ops.taps import Taps, blur_taps
from unreel.pipelines.ops.views import Views
from unreel.pipelines.ops.yuv import Pictures, PlanarYuv, coefficients, extent_of

__all__ = ["render"]


def render(pictures: Pictures, views: Views) -> Tensor:
    """As `views.render`, on CPU tensors; the views fit the pictures."""
    out = torch.empty(views.shape, dtype=torch.float32)
    if out.numel():
        _run(pictures, views, out)
    return out.to(views.dtype)


def _run(pictures: Pictures, views: Views, out: Tensor) -> None:
    planar = isinstance(pictures, PlanarYuv)
    parts = (pictures.luma, pictures.chroma) if isinstance(pictures, PlanarYuv) else (pictures, pictures)
    held = [part.contiguous() for part in parts]
    addresses = held[0].data_ptr(), held[1].data_ptr()
    jobs, down, along = job_table(pictures, views, _down_table, _along_table)
    loads = _loads(along[1]) if loops.has_shuffle() else 0
    shares = np.ones((len(jobs), 1), np.float32) if views.blur is None else blur_taps(views.blur.ravel())
    colours = np.concatenate([part.reshape(len(jobs), -1) for part in affine(views.colour)], 1)
    stride = channel_stride(views)
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
            loads,
            down,
            coefficients(),
            colours,
            BOUNDS,
            shares,
            stride,
            out.data_ptr(),
        )

    share(work, len(jobs), values=out.numel())


def _loads(offset: NDArray[np.int32]) -> int:
    """How many loads hold all taps of any block; 0 where the most do not."""
    loads = int(offset.max()) // loops.REACH + 1
    return loads if loads <= loops.LOADS else 0


def _with_mirrors(taps: Taps) -> tuple[NDArray[np.int64], NDArray[np.int16], NDArray[np.int64]]:
    """first `[2 K, size]`, weight `[2 K, size, pairs, 2]`, bits `[2 K]`."""
    odd = taps.weight.shape[2] % 2
    weight = np.pad(taps.weight, ((0, 0), (0, 0), (0, odd))).reshape(*taps.first.shape, -1, 2)
    first = np.concatenate([taps.first, taps.first[:, ::-1]]).astype(np.int64)
    return first, np.concatenate([weight, weight[:, ::-1]]), np.tile(taps.bits.astype(np.int64), 2)


def _down_table(taps: Taps) -> Table:
    return _with_mirrors(taps)


def _along_table(taps: Taps) -> Table:
    first, weight, bits = _with_mirrors(taps)
    more = -first.shape[1] % loops.BLOCK
    first = np.pad(first, ((0, 0), (0, more)), mode="edge").reshape(len(first), -1, loops.BLOCK)
    weight = np.pad(weight, ((0, 0), (0, more), (0, 0), (0, 0)))
    weight = weight.reshape(*first.shape, -1, 2).swapaxes(2, 3)
    base = first.min(2)
    offset = ((first - base[..., None])[..., None] + np.arange(2)).astype(np.int32).reshape(*base.shape, 16)
    away = offset[:, :, None] - loops.REACH * np.arange(loops.LOADS)[:, None]
    mask = np.where((away >= 0) & (away < loops.REACH), away, 255).astype(np.uint8)
    return base, offset, mask, np.ascontiguousarray(weight).reshape(*base.shape, -1, 16), bits
