# mypy: disable-error-code="no-untyped-def, no-untyped-call, assignment, call-arg"
"""Compiled loops of the CPU kernel: each view from decoded bytes to a tower's numbers while it lies in the cache.

Everything that is compiled lies in this one file, because numba's cache does not notice a change in another one. Sums of
a resize are made eight pixels at a time: a shuffle brings the two pixels of a pair of taps beside each other, and the
products of pairs are added at once. Addresses are int64: numba counts references to slices of arrays, which in these
short loops took longer than the work (9 µs against 0.6 to part 112 rows into their channels).
"""

from functools import cache, reduce
from typing import Any, Final

import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic

from unreel.pipelines.addresses import bytes_at, floats_at, longs_at

__all__ = ["BLOCK", "LOADS", "REACH", "has_shuffle", "render_views"]

BLOCK: Final = 8
"""Pixels of a line that are made at once."""

SPAN: Final = 32
"""Pixels that are made at once out of several lines."""

PAD: Final = 64
"""Bytes behind each line and plane of scratch: blocks are read and written whole."""

REACH: Final = 16
"""Bytes of a load that pixels are shuffled out of; a block whose taps lie further apart takes two."""

LOADS: Final = 4
"""Most loads that are shuffled: taps that reach further than all are fetched one by one."""

# Columns as `jobs.JOB_FIELDS` has them.
_FRAME, _COLOURS, _HEIGHT, _WIDTH, _DOWN, _ALONG, _TRANSPOSE, _RADIUS, _TARGET, _TOP_LEFT = range(10)

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_BYTES16, _WORDS16 = ir.VectorType(_I8, 16), ir.VectorType(_I16, 16)


@cache
def _has(feature: str) -> bool:
    """Whether this processor has instructions of x86-64 that we name; everything is also written without them."""
    return bool(binding.get_host_cpu_features().get(feature, False))


def has_shuffle() -> bool:
    """Whether lines can be resized by shuffles."""
    return _has("ssse3")


def _call(builder: Any, name: str, result: Any, *args: Any) -> Any:
    kind = ir.FunctionType(result, [arg.type for arg in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)


def _load(builder: Any, address: Any, kind: Any) -> Any:
    load = builder.load(builder.inttoptr(address, kind.as_pointer()))
    load.align = 1
    return load


def _store(builder: Any, value: Any, address: Any) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer())).align = 1


def _order(lanes: list[int]) -> Any:
    return ir.Constant(ir.VectorType(_I32, len(lanes)), lanes)


def _splat(builder: Any, value: Any, count: int) -> Any:
    empty = ir.Constant(ir.VectorType(value.type, count), ir.Undefined)
    return builder.shuffle_vector(builder.insert_element(empty, value, _I32(0)), empty, _order([0] * count))


def _half(builder: Any, bits: Any) -> Any:
    one = builder.shl(_I32(1), builder.sub(builder.trunc(bits, _I32), _I32(1)))
    return _splat(builder, one, BLOCK)


def _products(builder: Any, pixels: Any, weights: Any) -> Any:
    """`<16 x i8>` times `<16 x i16>`, neighbours added: `<8 x i32>`."""
    if _has("avx2"):
        words = builder.zext(pixels, _WORDS16)
        return _call(builder, "llvm.x86.avx2.pmadd.wd", ir.VectorType(_I32, BLOCK), words, weights)
    wide = ir.VectorType(_I32, 16)
    products = builder.mul(builder.zext(pixels, wide), builder.sext(weights, wide))
    even, odd = (
        builder.shuffle_vector(products, products, _order(list(range(first, 16, 2)))) for first in (0, 1)
    )
    return builder.add(even, odd)


def _finish(builder: Any, total: Any, bits: Any, target: Any) -> None:
    """Shift sums down and store them as bytes. They never pass 255: weights add up to 1 within 2 ** -15."""
    shifted = builder.ashr(total, _splat(builder, builder.trunc(bits, _I32), BLOCK))
    _store(builder, builder.trunc(shifted, ir.VectorType(_I8, BLOCK)), target)


def _shuffled(builder: Any, source: Any, orders: list[Any]) -> Any:
    """Bytes out of as many loads as there are orders: where one order is above 127 it gives zero, and another the byte."""
    parts = [_load(builder, builder.add(source, _I64(REACH * n)), _BYTES16) for n in range(len(orders))]
    if _has("ssse3"):
        name = "llvm.x86.ssse3.pshuf.b.128"
        parts = [_call(builder, name, _BYTES16, *pair) for pair in zip(parts, orders, strict=True)]
    # Else never run: without the instruction lines are not resized by shuffles.
    return reduce(builder.or_, parts)


def _gathered(builder: Any, source: Any, offset: Any) -> Any:
    """One byte after the other; `offset` i32 `[16]`."""
    pixels = ir.Constant(_BYTES16, ir.Undefined)
    for lane in range(16):
        away = builder.sext(_load(builder, builder.add(offset, _I64(4 * lane)), _I32), _I64)
        pixel = _load(builder, builder.add(source, away), _I8)
        pixels = builder.insert_element(pixels, pixel, _I32(lane))
    return pixels


def _make_along(pairs: int, loads: int) -> Any:
    """Eight pixels of each of many lines; shuffle and weights stay in registers from line to line."""

    def _along(
        _typing: Any,
        source: Any,
        pitch: Any,
        count: Any,
        mask: Any,
        weight: Any,
        bits: Any,
        target: Any,
        target_pitch: Any,
    ) -> Any:
        """`source`: the block's least first tap in the first line, `mask`: shuffles `[loads, 16]`, `weight` `[pairs, 16]`."""

        def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            source, pitch, count, mask, weight, bits, target, target_pitch = args
            half = _half(builder, bits)
            weights = [
                _load(builder, builder.add(weight, _I64(32 * pair)), _WORDS16) for pair in range(pairs)
            ]
            orders = [_load(builder, builder.add(mask, _I64(16 * n)), _BYTES16) for n in range(loads)]
            with cgutils.for_range(builder, count) as loop:
                line, total = builder.add(source, builder.mul(loop.index, pitch)), half
                for pair, shares in enumerate(weights):
                    at = builder.add(line, _I64(2 * pair))
                    pixels = _shuffled(builder, at, orders)
                    total = builder.add(total, _products(builder, pixels, shares))
                _finish(builder, total, bits, builder.add(target, builder.mul(loop.index, target_pitch)))
            return context.get_dummy_value()

        return types.void(*[types.int64] * 8), build

    return _intrinsic(_along)


_along_1, _along_2, _along_3 = (_make_along(pairs, 1) for pairs in (1, 2, 3))
_wide_3, _wide_4, _wide_5 = (_make_along(pairs, 2) for pairs in (3, 4, 5))


@_intrinsic
def _along_far(
    _typing: Any,
    source: Any,
    pitch: Any,
    count: Any,
    mask: Any,
    weight: Any,
    pairs: Any,
    bits: Any,
    target: Any,
    target_pitch: Any,
) -> Any:
    """As `_make_along`, with any number of pairs out of `LOADS` loads."""

    def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        source, pitch, count, mask, weight, pairs, bits, target, target_pitch = args
        half = _half(builder, bits)
        orders = [_load(builder, builder.add(mask, _I64(16 * n)), _BYTES16) for n in range(LOADS)]
        total = cgutils.alloca_once_value(builder, half)
        with cgutils.for_range(builder, count) as lines:
            line = builder.add(source, builder.mul(lines.index, pitch))
            builder.store(half, total)
            with cgutils.for_range(builder, pairs) as loop:
                pixels = _shuffled(builder, builder.add(line, builder.mul(loop.index, _I64(2))), orders)
                place = builder.add(weight, builder.mul(loop.index, _I64(32)))
                products = _products(builder, pixels, _load(builder, place, _WORDS16))
                builder.store(builder.add(builder.load(total), products), total)
            at = builder.add(target, builder.mul(lines.index, target_pitch))
            _finish(builder, builder.load(total), bits, at)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 9), build


@_intrinsic
def _along_any(
    _typing: Any, source: Any, offset: Any, weight: Any, pairs: Any, bits: Any, target: Any
) -> Any:
    """Eight pixels of one line with any number of taps at any distance, one byte after the other."""

    def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        source, offset, weight, pairs, bits, target = args
        total = cgutils.alloca_once_value(builder, _half(builder, bits))
        with cgutils.for_range(builder, pairs) as loop:
            pixels = _gathered(builder, builder.add(source, builder.mul(loop.index, _I64(2))), offset)
            place = builder.add(weight, builder.mul(loop.index, _I64(32)))
            products = _products(builder, pixels, _load(builder, place, _WORDS16))
            builder.store(builder.add(builder.load(total), products), total)
        _finish(builder, builder.load(total), bits, target)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), build


@_intrinsic
def _down(_typing: Any, source: Any, pitch: Any, weight: Any, pairs: Any, bits: Any, target: Any) -> Any:
    """32 pixels out of lines `pitch` bytes apart; `source`: the first of them, `weight` `[pairs, 2]`."""

    def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        source, pitch, weight, pairs, bits, target = args
        parts = range(0, SPAN, BLOCK)
        totals = [cgutils.alloca_once_value(builder, _half(builder, bits)) for _ in parts]
        with cgutils.for_range(builder, pairs) as loop:
            upper = builder.add(source, builder.mul(loop.index, builder.mul(pitch, _I64(2))))
            lower = builder.add(upper, pitch)
            lines = [_load(builder, line, ir.VectorType(_I8, SPAN)) for line in (upper, lower)]
            pair = _load(builder, builder.add(weight, builder.mul(loop.index, _I64(4))), _I32)
            weights = builder.bitcast(_splat(builder, pair, BLOCK), _WORDS16)
            for first, total in zip(parts, totals, strict=True):
                order = _order([first + lane // 2 + SPAN * (lane % 2) for lane in range(16)])
                products = _products(builder, builder.shuffle_vector(*lines, order), weights)
                builder.store(builder.add(builder.load(total), products), total)
        for first, total in zip(parts, totals, strict=True):
            _finish(builder, builder.load(total), bits, builder.add(target, _I64(first)))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), build


@_intrinsic
def _part(_typing: Any, source: Any, red: Any, green: Any, blue: Any) -> Any:
    """16 interleaved pixels into three lines; all four are addresses."""

    def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        source, *targets = args
        loads = [_load(builder, builder.add(source, _I64(16 * part)), _BYTES16) for part in range(3)]
        for channel, target in enumerate(targets):
            place = [3 * lane + channel for lane in range(16)]
            early = _order([at if at < 32 else 0 for at in place])
            late = _order([lane if at < 32 else at - 16 for lane, at in enumerate(place)])
            line = builder.shuffle_vector(loads[0], loads[1], early)
            _store(builder, builder.shuffle_vector(line, loads[2], late), target)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), build


@njit(nogil=True)
def _part_row(source, width, red, green, blue):
    """A row of interleaved pixels into three lines. The last block begins earlier: nothing behind the row is read."""
    if width < 16:
        pixels = bytes_at(source, 3 * width)
        lines = bytes_at(red, width), bytes_at(green, width), bytes_at(blue, width)
        for x in range(width):
            lines[0][x], lines[1][x], lines[2][x] = pixels[3 * x], pixels[3 * x + 1], pixels[3 * x + 2]
        return
    x = 0
    while x < width:
        at = min(x, width - 16)
        _part(source + 3 * at, red + at, green + at, blue + at)
        x += 16


@njit(nogil=True, error_model="numpy")
def _chroma_row(cb, cr, of_cb, of_cr, out):
    """What chroma adds to one colour, float32, each sample for two pixels."""
    middle = np.float32(128.0)
    for x in range(len(cb)):
        term = of_cb * (np.float32(cb[x]) - middle) + of_cr * (np.float32(cr[x]) - middle)
        out[2 * x] = term
        out[2 * x + 1] = term


@njit(nogil=True, error_model="numpy")
def _colour_row(luma, terms, scale, black, out):
    """One row of one colour: uint8 luma and float32 chroma terms → uint8, the exact value rounded."""
    half, zero, white = np.float32(0.5), np.float32(0.0), np.float32(255.0)
    for x in range(len(out)):
        value = (np.float32(luma[x]) - black) * scale + terms[x] + half
        out[x] = np.uint8(np.int32(min(max(value, zero), white)))


@njit(nogil=True)
def _unpack_yuv(luma, chroma, extent, job, numbers, terms, lines, pitch):
    """The cut out of planes: rows of three lines at `lines`; `terms`: room for a row of floats."""
    height, width = extent
    frame, rows, count = job[_FRAME], job[_HEIGHT], job[_WIDTH]
    half_height, half_width = height // 2, width // 2
    for channel in range(3):
        top, left = job[_TOP_LEFT + 2 * channel], job[_TOP_LEFT + 2 * channel + 1]
        first, last = left >> 1, (left + count - 1) >> 1
        of_cb, of_cr = numbers[2 + 2 * channel], numbers[3 + 2 * channel]
        wide = floats_at(terms, 2 * (last - first + 1))
        shown = floats_at(terms + 4 * (left - 2 * first), count)
        for row in range(rows):
            at = top + row
            if row == 0 or at % 2 == 0:
                place = chroma + (2 * frame * half_height + at // 2) * half_width + first
                cb, cr = (
                    bytes_at(place, last - first + 1),
                    bytes_at(place + half_height * half_width, last - first + 1),
                )
                _chroma_row(cb, cr, of_cb, of_cr, wide)
            source = bytes_at(luma + (frame * height + at) * width + left, count)
            _colour_row(
                source, shown, numbers[0], numbers[1], bytes_at(lines + (3 * row + channel) * pitch, count)
            )


@njit(nogil=True)
def _unpack_rgb(pixels, extent, job, shifted, lines, pitch, spare):
    """The cut out of interleaved pixels: rows of three lines at `lines`; `spare`: a line that nobody reads."""
    height, width = extent
    frame, rows, count = job[_FRAME], job[_HEIGHT], job[_WIDTH]
    for channel in range(3 if shifted else 1):
        top, left = job[_TOP_LEFT + 2 * channel], job[_TOP_LEFT + 2 * channel + 1]
        source = pixels + 3 * ((frame * height + top) * width + left)
        for row in range(rows):
            at = lines + 3 * row * pitch
            red = spare if channel > 0 else at
            green = spare if shifted and channel != 1 else at + pitch
            blue = spare if shifted and channel != 2 else at + 2 * pitch
            _part_row(source + 3 * row * width, count, red, green, blue)


@njit(nogil=True)
def _resize_along(lines, count, pitch, number, table, loads, target, target_pitch):
    """`count` lines at `lines` into as many at `target`; `loads`: how many of them a block is shuffled out of, 0 for none."""
    base, offset, mask, weight, bits = table
    blocks, pairs, shift = base.shape[1], weight.shape[2], bits[number]
    for block in range(blocks):
        place = blocks * number + block
        at, to = lines + base[number, block], target + BLOCK * block
        order, w = mask.ctypes.data + 16 * LOADS * place, weight.ctypes.data + 32 * pairs * place
        if loads == 1 and pairs == 1:
            _along_1(at, pitch, count, order, w, shift, to, target_pitch)
        elif loads == 1 and pairs == 2:
            _along_2(at, pitch, count, order, w, shift, to, target_pitch)
        elif loads == 1 and pairs == 3:
            _along_3(at, pitch, count, order, w, shift, to, target_pitch)
        elif loads == 2 and pairs == 3:
            _wide_3(at, pitch, count, order, w, shift, to, target_pitch)
        elif loads == 2 and pairs == 4:
            _wide_4(at, pitch, count, order, w, shift, to, target_pitch)
        elif loads == 2 and pairs == 5:
            _wide_5(at, pitch, count, order, w, shift, to, target_pitch)
        elif loads > 0:
            _along_far(at, pitch, count, order, w, pairs, shift, to, target_pitch)
        else:
            far = offset.ctypes.data + 64 * place
            for line in range(count):
                _along_any(at + line * pitch, far, w, pairs, shift, to + line * target_pitch)


@njit(nogil=True)
def _resize_down(lines, pitch, number, table, width, target, plane):
    """Rows of three lines into three planes without gaps between their rows."""
    first, weight, bits = table
    size, pairs, shift = weight.shape[1], weight.shape[2], bits[number]
    starts = longs_at(first.ctypes.data + 8 * size * number, size)
    weights = weight.ctypes.data + 4 * pairs * size * number
    for channel in range(3):
        for y in range(size):
            source, out = lines + (3 * starts[y] + channel) * pitch, target + channel * plane + y * width
            # A block that reaches over the row's end is overwritten by the next row.
            for x in range(0, width, SPAN):
                _down(source + x, 3 * pitch, weights + 4 * pairs * y, pairs, shift, out + x)


@njit(nogil=True)
def _sum(plane):
    total = np.uint32(0)
    for x in range(len(plane)):
        total += np.uint32(plane[x])
    return total


@njit(nogil=True, error_model="numpy", fastmath={"contract"})
def _paint(red, green, blue, m, offset, low, high, out):
    """One channel of the result: clamp(m · colour + offset)."""
    of_red, of_green, of_blue = m
    for x in range(len(out)):
        value = of_red * np.float32(red[x]) + of_green * np.float32(green[x]) + of_blue * np.float32(blue[x])
        out[x] = min(max(value + offset, low), high)


@njit(nogil=True)
def _transpose(planes, plane, side, target):
    for channel in range(3):
        source, out = (
            bytes_at(planes + channel * plane, side * side),
            bytes_at(target + channel * plane, side * side),
        )
        for y in range(side):
            for x in range(side):
                out[x * side + y] = source[y * side + x]


@njit(nogil=True, error_model="numpy", fastmath={"contract"})
def _add_scaled(near, far, share, out):
    for x in range(len(out)):
        out[x] += share * (near[x] + far[x])


@njit(nogil=True, error_model="numpy", fastmath={"contract"})
def _scaled(source, share, out):
    for x in range(len(out)):
        out[x] = share * np.float32(source[x])


@njit(nogil=True)
def _widen(source, out):
    for x in range(len(out)):
        out[x] = np.float32(source[x])


@njit(nogil=True)
def _mirrored(at, size):
    at = abs(at)
    return at if at < size else 2 * (size - 1) - at


@njit(nogil=True)
def _blur(plane, height, width, shares, radius, room, out):
    """One plane of bytes at `plane`, blurred along rows and then columns: f32 at `out`; `room` for a plane and a row."""
    line = room + 4 * height * width
    padded, inside = floats_at(line, width + 2 * radius), floats_at(line + 4 * radius, width)
    for y in range(height):
        source = bytes_at(plane + y * width, width)
        _widen(source, inside)
        for x in range(1, radius + 1):
            padded[radius - x] = np.float32(source[_mirrored(-x, width)])
            padded[radius + width - 1 + x] = np.float32(source[_mirrored(width - 1 + x, width)])
        row = floats_at(room + 4 * y * width, width)
        _scaled(inside, shares[0], row)
        for away in range(1, radius + 1):
            near, far = (line + 4 * (radius - away)), (line + 4 * (radius + away))
            _add_scaled(floats_at(near, width), floats_at(far, width), shares[away], row)
    for y in range(height):
        row = floats_at(out + 4 * y * width, width)
        _scaled(floats_at(room + 4 * y * width, width), shares[0], row)
        for away in range(1, radius + 1):
            near, far = _mirrored(y - away, height), _mirrored(y + away, height)
            rows = floats_at(room + 4 * near * width, width), floats_at(room + 4 * far * width, width)
            _add_scaled(rows[0], rows[1], shares[away], row)


@njit(nogil=True)
def _offsets(pictures, count, affine, needed):
    """What is added to each channel: the constant, and the pull to the mean of the picture."""
    mean = (np.float32(0.0), np.float32(0.0), np.float32(0.0))
    if needed:
        scale = np.float64(1.0) / count
        mean = (
            np.float32(_sum(pictures[0]) * scale),
            np.float32(_sum(pictures[1]) * scale),
            np.float32(_sum(pictures[2]) * scale),
        )
    return (
        affine[9] + affine[12] * mean[0] + affine[13] * mean[1] + affine[14] * mean[2],
        affine[10] + affine[15] * mean[0] + affine[16] * mean[1] + affine[17] * mean[2],
        affine[11] + affine[18] * mean[0] + affine[19] * mean[1] + affine[20] * mean[2],
    )


@njit(nogil=True)
def _pulls(affine):
    for place in range(12, 21):
        if affine[place] != 0:
            return True
    return False


@njit(nogil=True)
def _colours(picture, plane, size, job, numbers, bounds, shares, room, out, stride):
    """Blur, change and normalise three planes of bytes."""
    count = size[0] * size[1]
    sharp = bytes_at(picture, count), bytes_at(picture + plane, count), bytes_at(picture + 2 * plane, count)
    added = _offsets(sharp, count, numbers, _pulls(numbers))
    for channel in range(3):
        if job[_RADIUS]:
            at = picture + channel * plane, room + 12 * count, room + 4 * channel * count
            _blur(at[0], size[0], size[1], shares, job[_RADIUS], at[1], at[2])
    soft = floats_at(room, count), floats_at(room + 4 * count, count), floats_at(room + 8 * count, count)
    for channel in range(3):
        target = floats_at(out + 4 * (job[_TARGET] + channel * stride), count)
        matrix = numbers[3 * channel], numbers[3 * channel + 1], numbers[3 * channel + 2]
        low, high = bounds[channel, 0], bounds[channel, 1]
        if job[_RADIUS]:
            _paint(soft[0], soft[1], soft[2], matrix, added[channel], low, high, target)
        else:
            _paint(sharp[0], sharp[1], sharp[2], matrix, added[channel], low, high, target)


@njit(nogil=True, cache=True)
def render_views(
    start,
    stop,
    pixels,
    extent,
    planar,
    shifted,
    jobs,
    size,
    along,
    loads,
    down,
    coefficients,
    affine,
    bounds,
    shares,
    stride,
    out,
):
    """Render views `start` … `stop` - 1.

    Args:
        pixels: addresses of interleaved pixels twice, or of luma and chroma where `planar`.
        extent: (height, width) of the frames.
        shifted: whether channels are cut at places of their own.
        jobs: i64 `[N, columns]`, see `jobs.py`.
        size: (height, width) of the result.
        along: base i64 `[K, blocks]`, offset i32 `[K, blocks, 16]`, mask u8 `[K, blocks, LOADS, 16]`, weight i16 `[K, blocks, pairs, 16]`, bits i64 `[K]`.
        loads: how many loads `mask` needs to reach all offsets, 0 where it does not or this processor has no shuffle.
        down: first i64 `[K, size]`, weight i16 `[K, size, pairs, 2]`, bits i64 `[K]`.
        coefficients: f32 `[C, 8]`, see `yuv.coefficients`.
        affine: f32 `[N, 21]`: matrix, offset and pull, see `colour.affine`.
        bounds: f32 `[3, 2]`, least and largest result of each channel.
        shares: f32 `[N, 1 + largest radius]`, see `taps.blur_taps`.
        stride: floats from one channel to the next.
        out: address of the result, f32.
    """
    height, width = size
    count = height * width
    line, pitch = extent[1] + 2 * along[3].shape[2] + PAD, (width + SPAN - 1) // SPAN * SPAN + PAD
    plane, tallest = count + PAD, jobs[start:stop, _HEIGHT].max()
    cut = np.zeros((3 * tallest + 1) * line, np.uint8)
    terms = np.zeros(extent[1] + 2, np.float32)
    narrow = np.zeros(3 * (tallest + 2 * down[1].shape[2]) * pitch, np.uint8)
    pictures = np.zeros(6 * plane, np.uint8)
    smooth = np.zeros(4 * count + width + 2 * shares.shape[1] if shares.shape[1] > 1 else 1, np.float32)
    lines = cut.ctypes.data
    for number in range(start, stop):
        job = jobs[number]
        if planar:
            numbers = coefficients[job[_COLOURS]]
            _unpack_yuv(pixels[0], pixels[1], extent, job, numbers, terms.ctypes.data, lines, line)
        else:
            _unpack_rgb(pixels[0], extent, job, shifted, lines, line, lines + 3 * tallest * line)
        rows = narrow.ctypes.data
        _resize_along(lines, 3 * job[_HEIGHT], line, job[_ALONG], along, loads, rows, pitch)
        picture = pictures.ctypes.data
        _resize_down(rows, pitch, job[_DOWN], down, width, picture, plane)
        if job[_TRANSPOSE]:
            _transpose(picture, plane, width, picture + 3 * plane)
            picture += 3 * plane
        _colours(
            picture, plane, size, job, affine[number], bounds, shares[number], smooth.ctypes.data, out, stride
        )
    # The buffers must live until here: their addresses do not count for numba.
    return cut[0] + terms[0] + narrow[0] + pictures[0] + smooth[0]
