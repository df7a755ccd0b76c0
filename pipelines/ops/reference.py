"""The reference of `render` in plain torch: the numbers that every kernel is held against, on any device."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.ops.colour import paint
from unreel.pipelines.ops.geometry import crop, flip_rows, resize
from unreel.pipelines.ops.taps import Taps, blur_bands, blur_taps, taps_of
from unreel.pipelines.ops.views import Views, channel_starts, sources
from unreel.pipelines.ops.yuv import Pictures, PlanarYuv, yuv_to_rgb

__all__ = ["render"]


def render(pictures: Pictures, views: Views) -> Tensor:
    """As `views.render`; the views fit the pictures."""
    frames = yuv_to_rgb(pictures) if isinstance(pictures, PlanarYuv) else pictures
    rows, count = views.top.shape
    pixels = _cut(frames, views).view(rows, count, *views.size, 3)
    pixels = _turn(flip_rows(pixels, views.flip), views.turn).flatten(0, 1)
    planes = pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    # The mean is that of the sharp picture: sums of levels are exact, sums of blurred ones are not.
    mean = planes.mean((2, 3))
    painted = paint(_blur(planes, views.blur).flatten(2), mean, views.colour)
    clips = painted.to(views.dtype).view(-1, views.together, 3, *views.size)
    return clips.transpose(1, 2).contiguous().view(views.shape)


def _cut(frames: Tensor, views: Views) -> Tensor:
    """Every view cut and resized: uint8 `[N, h, w, 3]`."""
    flat, source = frames.flatten(0, 1), sources(views, frames.shape[1])
    if not views.whole:
        return _resample(flat, source, views)
    size = int(views.crop[0]), int(views.crop[1])
    top, left = channel_starts(views)
    if views.channel_shift is None:
        which = None if views.frame is None else source
        cut = crop(flat, source=which, top=top[:, 0], left=left[:, 0], size=size)
        return resize(cut, views.size)
    cut = crop(flat, source=source.repeat(3), top=top.ravel(), left=left.ravel(), size=size)
    # Channel c of the cut that was made for channel c.
    own = cut.view(-1, 3, *cut.shape[1:]).diagonal(dim1=1, dim2=4).contiguous()
    return resize(own, views.size)


def _resample(flat: Tensor, source: NDArray[np.int64], views: Views) -> Tensor:
    """Cuts of several sizes or between pixels, as products with matrices; sums of integers, so doubles are exact."""
    planes = flat.index_select(0, torch.from_numpy(source).to(flat.device)).permute(0, 3, 1, 2).double()
    extents = views.extents.reshape(-1, 2)
    for axis, starts in ((1, channel_starts(views)[1]), (0, channel_starts(views)[0])):
        start = starts.astype(np.float64).ravel()
        taps = taps_of(start, extents[:, axis].astype(np.float64).repeat(3), views.size[axis])
        planes = _pass(planes.transpose(2, 3) if axis == 0 else planes, start, taps)
        planes = planes.transpose(2, 3) if axis == 0 else planes
    return planes.permute(0, 2, 3, 1).to(torch.uint8).contiguous()


def _pass(planes: Tensor, start: NDArray[np.float64], taps: Taps) -> Tensor:
    """Along the last axis: `[N, C, lines, length]` → `[N, C, lines, size]`, whole numbers in [0, 255]."""
    dense = np.zeros((len(start), taps.first.shape[1], planes.shape[3] + taps.weight.shape[2]))
    column = np.floor(start).astype(np.int64)[:, None] + taps.first
    np.put_along_axis(dense, column[..., None] + np.arange(taps.weight.shape[2]), taps.weight, 2)
    weight = torch.from_numpy(dense[:, :, : planes.shape[3]]).to(planes.device)
    bits = torch.from_numpy(taps.bits).to(planes.device).view(-1, 3, 1, 1)
    scaled = (planes @ weight.view(-1, 3, *weight.shape[1:]).transpose(2, 3) + 2.0 ** (bits - 1)) * 2.0**-bits
    return scaled.floor_().clamp_(0, 255)


def _turn(pixels: Tensor, turn: NDArray[np.int64] | None) -> Tensor:
    """Quarter turns counter-clockwise, uint8 `[B, V, h, h, 3]`."""
    if turn is None:
        return pixels
    side = pixels.shape[2]
    square = np.arange(side * side).reshape(side, side)
    orders = np.stack([np.rot90(square, quarters).ravel() for quarters in range(4)])
    index = torch.from_numpy(orders[turn % 4]).to(pixels.device)[..., None].expand(-1, -1, -1, 3)
    return pixels.flatten(2, 3).gather(2, index).view_as(pixels)


def _blur(planes: Tensor, sigma: NDArray[np.float32] | None) -> Tensor:
    """Along rows, then along columns: f32 `[N, 3, h, w]`."""
    if sigma is None:
        return planes
    shares = blur_taps(sigma.ravel())
    down, along = (
        torch.from_numpy(blur_bands(shares, size)).to(planes.device)[:, None] for size in planes.shape[2:]
    )
    return down @ (planes @ along.transpose(2, 3))
