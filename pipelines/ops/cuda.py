# mypy: disable-error-code="no-untyped-def"
"""The CUDA kernel of `render`, in Triton: integers as everywhere, two launches, three with a blur.

The first launch makes bytes of the output's size and their sums; the second changes colours and writes. Bytes between
them stay in the L2 cache, so that DRAM sees the frames once and the result once, which is the floor. Where no view
changes its contrast and none is blurred, nothing has to be known of a whole picture, and the first launch does it all.

Written for the memory's bandwidth; tested in Triton's interpreter. `unreel bench kernels` measures it where CUDA is.
"""

from functools import lru_cache
from typing import Final

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.ops.colour import affine
from unreel.pipelines.ops.jobs import BOUNDS, JOB_FIELDS, Layout, Table, channel_stride, job_table
from unreel.pipelines.ops.taps import Taps, blur_taps
from unreel.pipelines.ops.views import Views
from unreel.pipelines.ops.yuv import Pictures, PlanarYuv, coefficients, extent_of

__all__ = ["render"]

_BLOCK: Final = 512
"""Pixels of one program: three channels of four bytes each for 128 threads."""

_REACH_STEP: Final = 4

_FIELDS: Final = tl.constexpr(len(JOB_FIELDS))
_NUMBERS: Final = tl.constexpr(21)
_COEFFICIENTS: Final = tl.constexpr(8)


@triton.jit
def _rgb_value(pixels, frame, row, column, height, width, channel, mask):
    place = ((frame * height + row) * width + column) * 3 + channel
    return tl.load(pixels + place, mask=mask, other=0).to(tl.int32)


@triton.jit
def _yuv_value(luma, chroma, numbers, frame, row, column, height, width, channel, mask):
    """As `yuv.yuv_to_rgb`, in the same order and without fused operations."""
    y = tl.load(luma + (frame * height + row) * width + column, mask=mask, other=0).to(tl.float32)
    half, plane = width // 2, (height // 2) * (width // 2)
    place = 2 * frame * plane + (row // 2) * half + column // 2
    cb = tl.load(chroma + place, mask=mask, other=0).to(tl.float32) - 128.0
    cr = tl.load(chroma + plane + place, mask=mask, other=0).to(tl.float32) - 128.0
    scale, black = tl.load(numbers), tl.load(numbers + 1)
    of_cb, of_cr = tl.load(numbers + 2 + 2 * channel), tl.load(numbers + 3 + 2 * channel)
    value = (y - black) * scale + (of_cb * cb + of_cr * cr) + 0.5
    return tl.minimum(tl.maximum(value, 0.0), 255.0).to(tl.int32)


@triton.jit
def _level(
    pixels, chroma, numbers, job, extent_y, extent_x, y, x, mask,
    first_y, weight_y, bits_y, first_x, weight_x, bits_x,
    channel: tl.constexpr, PLANAR: tl.constexpr, TAPS_Y: tl.constexpr, TAPS_X: tl.constexpr,
):  # fmt: skip
    """The resized level of one channel at (y, x) of the view, i32 in [0, 255]."""
    frame, height, width = tl.load(job), tl.load(job + 2), tl.load(job + 3)
    top, left = tl.load(job + 9 + 2 * channel), tl.load(job + 10 + 2 * channel)
    from_y, from_x = tl.load(first_y + y, mask=mask, other=0), tl.load(first_x + x, mask=mask, other=0)
    half_y, half_x = 1 << (bits_y - 1), 1 << (bits_x - 1)
    total = tl.zeros_like(y) + half_y
    for tap_y in tl.static_range(TAPS_Y):
        row = (top + tl.minimum(from_y + tap_y, height - 1)).to(tl.int64)
        line = tl.zeros_like(y) + half_x
        for tap_x in tl.static_range(TAPS_X):
            column = left + tl.minimum(from_x + tap_x, width - 1)
            if PLANAR:
                level = _yuv_value(
                    pixels, chroma, numbers, frame, row, column, extent_y, extent_x, channel, mask
                )
            else:
                level = _rgb_value(pixels, frame, row, column, extent_y, extent_x, channel, mask)
            line += level * tl.load(weight_x + x * TAPS_X + tap_x, mask=mask, other=0).to(tl.int32)
        total += (line >> bits_x) * tl.load(weight_y + y * TAPS_Y + tap_y, mask=mask, other=0).to(tl.int32)
    return total >> bits_y


@triton.jit
def _painted(red, green, blue, sums, numbers, bounds, count, channel: tl.constexpr):
    """clamp(matrix · colour + offset + pull · mean) of one channel."""
    at = numbers + 3 * channel
    added = tl.load(numbers + 9 + channel)
    for part in tl.static_range(3):
        added += tl.load(numbers + 12 + 3 * channel + part) * (tl.load(sums + part).to(tl.float32) / count)
    value = tl.load(at) * red + tl.load(at + 1) * green + tl.load(at + 2) * blue + added
    low, high = tl.load(bounds + 2 * channel), tl.load(bounds + 2 * channel + 1)
    return tl.minimum(tl.maximum(value, low), high)


@triton.jit
def _resample(
    pixels, chroma, coefficients_, jobs, first_y, weight_y, all_bits_y, first_x, weight_x, all_bits_x,
    numbers, bounds, levels, sums, out, stride, extent_y, extent_x, height, width,
    PLANAR: tl.constexpr, TAPS_Y: tl.constexpr, TAPS_X: tl.constexpr, DIRECT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Bytes of the output's size and their sums, or, where `DIRECT`, the output itself."""
    view, count = tl.program_id(0).to(tl.int64), height * width
    job = jobs + view * _FIELDS
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = place < count
    transpose = tl.load(job + 6) != 0
    i, j = place // width, place % width
    y, x = tl.where(transpose, j, i), tl.where(transpose, i, j)
    table_y, table_x = tl.load(job + 4), tl.load(job + 5)
    bits_y, bits_x = tl.load(all_bits_y + table_y).to(tl.int32), tl.load(all_bits_x + table_x).to(tl.int32)
    fy, wy = first_y + table_y * height, weight_y + table_y * height * TAPS_Y
    fx, wx = first_x + table_x * width, weight_x + table_x * width * TAPS_X
    colour = coefficients_ + tl.load(job + 1) * _COEFFICIENTS
    red = _level(
        pixels, chroma, colour, job, extent_y, extent_x, y, x, mask, fy, wy, bits_y, fx, wx, bits_x, 0, PLANAR, TAPS_Y, TAPS_X,
    )  # fmt: skip
    green = _level(
        pixels, chroma, colour, job, extent_y, extent_x, y, x, mask, fy, wy, bits_y, fx, wx, bits_x, 1, PLANAR, TAPS_Y, TAPS_X,
    )  # fmt: skip
    blue = _level(
        pixels, chroma, colour, job, extent_y, extent_x, y, x, mask, fy, wy, bits_y, fx, wx, bits_x, 2, PLANAR, TAPS_Y, TAPS_X,
    )  # fmt: skip
    if DIRECT:
        target = out + tl.load(job + 8) + place
        r, g, b = red.to(tl.float32), green.to(tl.float32), blue.to(tl.float32)
        affine_ = numbers + view * _NUMBERS
        tl.store(
            target,
            _painted(r, g, b, sums + 3 * view, affine_, bounds, count, 0).to(out.dtype.element_ty),
            mask=mask,
        )
        tl.store(
            target + stride,
            _painted(r, g, b, sums + 3 * view, affine_, bounds, count, 1).to(out.dtype.element_ty),
            mask=mask,
        )
        tl.store(
            target + 2 * stride,
            _painted(r, g, b, sums + 3 * view, affine_, bounds, count, 2).to(out.dtype.element_ty),
            mask=mask,
        )
    else:
        target = levels + 3 * view * count + place
        tl.store(target, red.to(tl.uint8), mask=mask)
        tl.store(target + count, green.to(tl.uint8), mask=mask)
        tl.store(target + 2 * count, blue.to(tl.uint8), mask=mask)
        # Sums of integers: the order of the programs changes nothing.
        tl.atomic_add(sums + 3 * view, tl.sum(tl.where(mask, red, 0), 0))
        tl.atomic_add(sums + 3 * view + 1, tl.sum(tl.where(mask, green, 0), 0))
        tl.atomic_add(sums + 3 * view + 2, tl.sum(tl.where(mask, blue, 0), 0))


@triton.jit
def _mirrored(at, size):
    at = tl.abs(at)
    # Not below 0 where a share of zero is read beyond the mirror.
    return tl.maximum(tl.where(at < size, at, 2 * (size - 1) - at), 0)


@triton.jit
def _blur_along(levels, shares, soft, height, width, REACH: tl.constexpr, BLOCK: tl.constexpr):
    """Bytes blurred along rows, f32; one program for a stretch of one channel of one view."""
    plane, count = tl.program_id(0).to(tl.int64), height * width
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = place < count
    y, x = place // width, place % width
    view = plane // 3
    source, share = levels + plane * count + y * width, shares + view * REACH
    value = tl.load(source + x, mask=mask, other=0).to(tl.float32) * tl.load(share)
    for away in range(1, REACH):
        near = tl.load(source + _mirrored(x - away, width), mask=mask, other=0).to(tl.float32)
        far = tl.load(source + _mirrored(x + away, width), mask=mask, other=0).to(tl.float32)
        value += tl.load(share + away) * (near + far)
    tl.store(soft + plane * count + place, value, mask=mask)


@triton.jit
def _blurred_down(soft, share, y, x, height, width, mask, REACH: tl.constexpr):
    value = tl.load(soft + y * width + x, mask=mask, other=0.0) * tl.load(share)
    for away in range(1, REACH):
        near = tl.load(soft + _mirrored(y - away, height) * width + x, mask=mask, other=0.0)
        far = tl.load(soft + _mirrored(y + away, height) * width + x, mask=mask, other=0.0)
        value += tl.load(share + away) * (near + far)
    return value


@triton.jit
def _paint(
    levels, soft, shares, jobs, numbers, bounds, sums, out, stride, height, width,
    REACH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Bytes, or floats that are blurred down the columns here, into the output."""
    view, count = tl.program_id(0).to(tl.int64), height * width
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = place < count
    job, share = jobs + view * _FIELDS, shares + view * REACH
    if REACH > 0:
        y, x = place // width, place % width
        source = soft + 3 * view * count
        red = _blurred_down(source, share, y, x, height, width, mask, REACH)
        green = _blurred_down(source + count, share, y, x, height, width, mask, REACH)
        blue = _blurred_down(source + 2 * count, share, y, x, height, width, mask, REACH)
    else:
        first = levels + 3 * view * count + place
        red = tl.load(first, mask=mask, other=0).to(tl.float32)
        green = tl.load(first + count, mask=mask, other=0).to(tl.float32)
        blue = tl.load(first + 2 * count, mask=mask, other=0).to(tl.float32)
    target, affine_ = out + tl.load(job + 8) + place, numbers + view * _NUMBERS
    tl.store(
        target,
        _painted(red, green, blue, sums + 3 * view, affine_, bounds, count, 0).to(out.dtype.element_ty),
        mask=mask,
    )
    tl.store(
        target + stride,
        _painted(red, green, blue, sums + 3 * view, affine_, bounds, count, 1).to(out.dtype.element_ty),
        mask=mask,
    )
    tl.store(
        target + 2 * stride,
        _painted(red, green, blue, sums + 3 * view, affine_, bounds, count, 2).to(out.dtype.element_ty),
        mask=mask,
    )


def render(pictures: Pictures, views: Views) -> Tensor:
    """As `views.render`, on tensors of one CUDA device (or of the CPU in Triton's interpreter); the views fit."""
    out = torch.empty(views.shape, dtype=views.dtype, device=pictures.device)
    if out.numel():
        _launch(pictures, views, out)
    return out


def _launch(pictures: Pictures, views: Views, out: Tensor) -> None:
    device, (height, width), number = out.device, views.size, views.top.size
    planar = isinstance(pictures, PlanarYuv)
    parts = (pictures.luma, pictures.chroma) if isinstance(pictures, PlanarYuv) else (pictures, pictures)
    pixels, chroma = (part.contiguous() for part in parts)
    layout = _layout(device)
    jobs, down, along = job_table(pictures, views, layout, layout)
    numbers = np.concatenate([part.reshape(number, -1) for part in affine(views.colour)], 1)
    job, numbers_, bounds, colours = (_on(part, device) for part in (jobs, numbers, BOUNDS, coefficients()))
    sums = torch.zeros((number, 3), dtype=torch.int32, device=device)
    direct = views.blur is None and not numbers[:, 12:].any()
    levels = torch.empty(0 if direct else 3 * number * height * width, dtype=torch.uint8, device=device)
    _resample[(number, triton.cdiv(height * width, _BLOCK))](
        pixels, chroma, colours, job, *down, *along, numbers_, bounds, levels, sums, out, channel_stride(views),
        *extent_of(pictures)[2:], height, width,
        PLANAR=planar, TAPS_Y=down[1].shape[2], TAPS_X=along[1].shape[2], DIRECT=direct, BLOCK=_BLOCK,
        # A fused multiply-add would round some levels of planes the other way.
        enable_fp_fusion=False,
    )  # fmt: skip
    if not direct:
        soft, share = _soft(levels, views)
        _paint[(number, triton.cdiv(height * width, _BLOCK))](
            levels, soft, share, job, numbers_, bounds, sums, out, channel_stride(views), height, width,
            REACH=0 if views.blur is None else share.shape[1], BLOCK=_BLOCK,
        )  # fmt: skip


def _soft(levels: Tensor, views: Views) -> tuple[Tensor, Tensor]:
    """Levels blurred along their rows, and the shares of the blur; without a blur whatever has an address."""
    if views.blur is None:
        return levels, levels
    shares, (height, width) = blur_taps(views.blur.ravel()), views.size
    # A kernel is compiled for each reach: few of them.
    share = _on(np.pad(shares, ((0, 0), (0, -shares.shape[1] % _REACH_STEP))), levels.device)
    soft = torch.empty(levels.numel(), dtype=torch.float32, device=levels.device)
    _blur_along[(3 * views.top.size, triton.cdiv(height * width, _BLOCK))](
        levels, share, soft, height, width, REACH=share.shape[1], BLOCK=_BLOCK
    )
    return soft, share


def _on(values: NDArray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(device, non_blocking=True)


@lru_cache(maxsize=16)
def _layout(device: torch.device) -> Layout:
    """One for each device, so that the tables of cuts of one size are brought there once."""

    def plain(taps: Taps) -> Table:
        """first i32 `[2 K, size]`, weight i16 `[2 K, size, taps]` and bits i32 `[2 K]`."""
        parts = [np.concatenate([part, part[:, ::-1]]) for part in (taps.first, taps.weight)]
        return tuple(_on(part, device) for part in (*parts, np.tile(taps.bits, 2)))

    return plain
