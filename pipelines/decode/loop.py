# mypy: disable-error-code="no-untyped-def, assignment"
"""The loop over libavcodec that runs without the GIL: packets in, pictures of the plan out, whole batches at a time.

Everything that is compiled lies in this one file, because numba's cache does not notice a change in another one.
Addresses are int64; functions of libavcodec are called by address, so that compiled code can be cached on disk.
"""

from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import carray, njit, types  # type: ignore[attr-defined]
from numba.extending import intrinsic as _intrinsic

from unreel.pipelines.addresses import bytes_at, floats_at, pointer

__all__ = [
    "BAD_FORMAT",
    "BAD_PACKET",
    "CORRUPT",
    "DECODER",
    "FIELDS",
    "MISSING",
    "OK",
    "SOUND_FIELDS",
    "SOUND_VIEW_FIELDS",
    "VIEW_FIELDS",
    "WRONG_SIZE",
    "decode_batch",
    "decode_sounds",
    "row_costs",
    "window_rgb",
]

FIELDS: Final = (
    "member",  # address of the member
    "bytes",  # its length
    "table",  # first row of the sample in the joined packet tables
    "frames",  # rows in the table
    "header",  # first byte of the in-band header in the joined headers
    "header_bytes",
    "context",  # slot of the decoder context
    "width",  # of the stored picture
    "height",
    "matrix",  # row of the coefficients for limited range; the next one is for full range
    "row",  # its place in the outputs
)
"""Columns of the job table, one row a sample."""

VIEW_FIELDS: Final = (
    "entry",  # first column of the view in the plans
    "frames",
    "height",  # of the window
    "width",
    "first",  # address of RGB or of Y
    "second",  # address of UV, 0 for RGB
)
"""Columns of the table of views: what one task is shown of every sample, through a window of its own."""

# numba's stubs show the builder's arguments, not those of the compiled function.
intrinsic: Any = _intrinsic

OK: Final = 0
BAD_PACKET: Final = 1
"""A packet lies outside its member; detail: its index."""
DECODER: Final = 2
"""libavcodec refused something; detail: its error code."""
MISSING: Final = 3
"""A frame did not come out; detail: its index."""
CORRUPT: Final = 4
"""A picture is marked as damaged; detail: its index."""
WRONG_SIZE: Final = 5
"""A picture has another size than the sidecar says; detail: width << 32 | height."""
BAD_FORMAT: Final = 6
"""A picture is not 8 bit, or not 4:2:0 where planes are asked for; detail: its pixel format."""

_AGAIN: Final = -11
_END: Final = -541478725
"""AVERROR(EAGAIN) and AVERROR_EOF."""

# Struct members of libavcodec 62 and libavutil 60 (FFmpeg 8), in bytes; `avcodec.py` asserts the versions.
_PACKET_PTS: Final = 8
_PACKET_DATA: Final = 24
_PACKET_SIZE: Final = 32
_FRAME_DATA: Final = 0
_FRAME_LINESIZE: Final = 64
_FRAME_WIDTH: Final = 104
_FRAME_HEIGHT: Final = 108
_FRAME_FORMAT: Final = 116
_FRAME_PTS: Final = 136
_FRAME_FLAGS: Final = 276
_FRAME_RANGE: Final = 280

_FULL_RANGE: Final = 2
"""AVCOL_RANGE_JPEG."""
_GREY: Final = 8
"""AV_PIX_FMT_GRAY8."""


@intrinsic
def _read32(_typing: Any, address: Any) -> Any:
    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], ir.IntType(32).as_pointer())
        return builder.sext(builder.load(pointer, align=4), ir.IntType(64))

    return types.int64(types.int64), build


@intrinsic
def _read64(_typing: Any, address: Any) -> Any:
    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.load(builder.inttoptr(args[0], ir.IntType(64).as_pointer()), align=8)

    return types.int64(types.int64), build


@intrinsic
def _write32(_typing: Any, address: Any, value: Any) -> Any:
    def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], ir.IntType(32).as_pointer())
        builder.store(builder.trunc(args[1], ir.IntType(32)), pointer, align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), build


@intrinsic
def _write64(_typing: Any, address: Any, value: Any) -> Any:
    def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        builder.store(args[1], builder.inttoptr(args[0], ir.IntType(64).as_pointer()), align=8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), build


@intrinsic
def _call(_typing: Any, function: Any, first: Any, second: Any) -> Any:
    """Call a C function `int f(void *, void *)` by its address; one that takes less ignores the rest."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        word = ir.IntType(64)
        kind = ir.FunctionType(ir.IntType(32), [word, word])
        result = builder.call(builder.inttoptr(args[0], kind.as_pointer()), [args[1], args[2]])
        return builder.sext(result, word)

    return types.int64(types.int64, types.int64, types.int64), build


@intrinsic
def _take(_typing: Any, address: Any) -> Any:
    """Add one to the int64 at `address` as one step for all threads; its value before."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", pointer, ir.Constant(ir.IntType(64), 1), "seq_cst")

    return types.int64(types.int64), build


@njit(nogil=True, error_model="numpy")
def _colour_row(luma, terms, scale, black, out):
    """One row of one colour: uint8 luma and float32 chroma terms → uint8."""
    half, zero, white = np.float32(0.5), np.float32(0.0), np.float32(255.0)
    for x in range(len(out)):
        value = (np.float32(luma[x]) - black) * scale + terms[x] + half
        out[x] = np.uint8(np.int32(min(max(value, zero), white)))


@njit(nogil=True, error_model="numpy")
def _interleave(red, green, blue, out):
    for x in range(len(red)):
        out[3 * x] = red[x]
        out[3 * x + 1] = green[x]
        out[3 * x + 2] = blue[x]


@njit(nogil=True, error_model="numpy")
def _chroma_row(cb, cr, of_cb, of_cr, across, out):
    """What chroma adds to one colour, float32, each sample repeated `1 << across` times."""
    middle = np.float32(128.0)
    if across == 1:
        for x in range(len(cb)):
            term = of_cb * (np.float32(cb[x]) - middle) + of_cr * (np.float32(cr[x]) - middle)
            out[2 * x] = term
            out[2 * x + 1] = term
    else:
        for x in range(len(cb)):
            for repeat in range(1 << across):
                term = of_cb * (np.float32(cb[x]) - middle) + of_cr * (np.float32(cr[x]) - middle)
                out[(x << across) + repeat] = term


@njit(nogil=True, error_model="numpy")
def window_rgb(planes, strides, shifts, window, numbers, out):
    """One window of one picture as RGB.

    Args:
        planes, strides: addresses of Y, Cb and Cr, and bytes in a row of each.
        shifts: (across, down): log2 of how much coarser the chroma planes are.
        window: (top, left, height, width).
        numbers: float32 `[8]`: scale and black of luma, then the weights of (Cb, Cr) in red, green and blue.
        out: address of uint8 `[height, width, 3]`.

    A chroma sample stands for all pixels that it covers. float32 in a fixed order and without fused operations gives
    the exact value rounded, on any machine. Planes first and colours interleaved afterwards, each a loop that LLVM
    vectorises: one loop over pixels took ten times as long.
    """
    (across, down), (top, left, height, width) = shifts, window
    first = left >> across
    count = ((left + width - 1) >> across) - first + 1
    skipped = left - (first << across)
    room, room8 = np.empty(3 * (count << across), np.float32), np.empty(3 * width, np.uint8)
    wide, narrow = room.ctypes.data, room8.ctypes.data
    known = -1
    for row in range(height):
        at = (top + row) >> down
        for colour in range(3):
            terms = wide + 4 * colour * (count << across)
            if at != known:
                cb = bytes_at(planes[1] + at * strides[1] + first, count)
                cr = bytes_at(planes[2] + at * strides[2] + first, count)
                weights = numbers[2 + 2 * colour], numbers[3 + 2 * colour]
                _chroma_row(cb, cr, weights[0], weights[1], across, floats_at(terms, count << across))
            luma = bytes_at(planes[0] + (top + row) * strides[0] + left, width)
            target = bytes_at(narrow + colour * width, width)
            _colour_row(luma, floats_at(terms + 4 * skipped, width), numbers[0], numbers[1], target)
        known = at
        parts = bytes_at(narrow, width), bytes_at(narrow + width, width), bytes_at(narrow + 2 * width, width)
        _interleave(parts[0], parts[1], parts[2], bytes_at(out + row * 3 * width, 3 * width))
    # The buffers must live until here: their addresses do not count for numba.
    return room[0] + np.float32(room8[0])


@njit(nogil=True)
def _copy_window(source, stride, top, left, height, width, out):
    """One window of one plane, `[height, width]`, to the address `out`."""
    for row in range(height):
        values = bytes_at(source + (top + row) * stride + left, width)
        target = bytes_at(out + row * width, width)
        for x in range(width):
            target[x] = values[x]


@njit(nogil=True)
def _shifts(kind):
    """How much coarser chroma is, as powers of two (across, down), in 8-bit YUV formats; (-1, -1) for others."""
    if kind == 0 or kind == 12:  # yuv420p, yuvj420p
        return 1, 1
    if kind == 4 or kind == 13:  # yuv422p, yuvj422p
        return 1, 0
    if kind == 5 or kind == 14 or kind == _GREY:  # yuv444p, yuvj444p
        return 0, 0
    if kind == 7 or kind == 138:  # yuv411p, yuvj411p
        return 2, 0
    if kind == 31 or kind == 32:  # yuv440p, yuvj440p
        return 0, 1
    return -1, -1


@njit(nogil=True)
def _show_planes(picture, row, wanted, plan, corner, view):
    """Copy one view's window of Y, U and V to wherever its part of the plan asks for the frame `wanted`."""
    planes, strides, _ = picture
    entry, count, height, width = view[0], view[1], view[2], view[3]
    pixels, half = height * width, (height // 2, width // 2)
    for t in range(count):
        if plan[entry + t] != wanted:
            continue
        place = row * count + t
        target = view[4] + place * pixels
        _copy_window(planes[0], strides[0], corner[0], corner[1], height, width, target)
        for c in range(2):
            target = view[5] + (2 * place + c) * half[0] * half[1]
            corner2 = corner[0] // 2, corner[1] // 2
            _copy_window(planes[1 + c], strides[1 + c], corner2[0], corner2[1], half[0], half[1], target)


@njit(nogil=True, error_model="numpy")
def _show_rgb(picture, row, wanted, plan, corner, view, numbers):
    """Convert one view's window once, and copy it to wherever else its part of the plan asks for the frame `wanted`."""
    planes, strides, shifts = picture
    entry, count, height, width = view[0], view[1], view[2], view[3]
    size = 3 * height * width
    done: Any = np.int64(-1)
    for t in range(count):
        if plan[entry + t] != wanted:
            continue
        target = view[4] + (row * count + t) * size
        if done >= 0:
            _copy_window(done, 0, 0, 0, 1, size, target)
        else:
            window_rgb(planes, strides, shifts, (corner[0], corner[1], height, width), numbers, target)
            done = target


@njit(nogil=True, error_model="numpy")
def _keep(frame, job, wanted, plan, corners, views, coefficients, planar):
    """Write the picture in `frame` wherever a view asks for the frame `wanted`; (status, detail)."""
    kind = _read32(frame + _FRAME_FORMAT)
    size = _read32(frame + _FRAME_WIDTH), _read32(frame + _FRAME_HEIGHT)
    if _read32(frame + _FRAME_FLAGS) & 1:
        return CORRUPT, wanted
    if size[0] != job[7] or size[1] != job[8]:
        return WRONG_SIZE, size[0] << 32 | size[1]
    # Grey JPEG is of full range, and FFmpeg does not say so. A header in band is that of a video, whose range we do not know.
    grey = kind == _GREY
    shifts = _shifts(kind)
    if shifts[0] < 0 or (planar and shifts != (1, 1)) or (grey and job[5] > 0):
        return BAD_FORMAT, kind
    full = 1 if grey or _read32(frame + _FRAME_RANGE) == _FULL_RANGE else 0
    # Weights of zero make any plane a grey one's chroma: its own luma is at hand.
    second, third = (0, 0) if grey else (1, 2)
    planes = (
        _read64(frame + _FRAME_DATA),
        _read64(frame + _FRAME_DATA + 8 * second),
        _read64(frame + _FRAME_DATA + 8 * third),
    )
    strides = (
        _read32(frame + _FRAME_LINESIZE),
        _read32(frame + _FRAME_LINESIZE + 4 * second),
        _read32(frame + _FRAME_LINESIZE + 4 * third),
    )
    picture = planes, strides, shifts
    for view in range(len(views)):
        if planar:
            _show_planes(picture, job[10], wanted, plan, corners[view], views[view])
        else:
            numbers = coefficients[job[9] + full]
            if grey:
                numbers = numbers.copy()
                numbers[2:] = 0
            _show_rgb(picture, job[10], wanted, plan, corners[view], views[view], numbers)
    return OK, 0


@njit(nogil=True)
def _send(calls, context, packet, address, size, index):
    _write64(packet + _PACKET_DATA, address)
    _write32(packet + _PACKET_SIZE, size)
    _write64(packet + _PACKET_PTS, index)
    return _call(calls[0], context, packet)


@njit(nogil=True)
def _receive(calls, context, frame, job, ordered, at, plan, corners, views, coefficients, planar):
    """Take pictures until the decoder wants more; (status, detail, next place in `ordered`, pictures)."""
    produced = 0
    while True:
        got: Any = _call(calls[1], context, frame)
        if got == _AGAIN or got == _END:
            return OK, 0, at, produced
        if got < 0:
            return DECODER, got, at, produced
        produced += 1
        index = _read64(frame + _FRAME_PTS)
        if at >= len(ordered) or index < ordered[at]:
            continue
        if index > ordered[at]:
            return MISSING, ordered[at], at, produced
        status, detail = _keep(frame, job, index, plan, corners, views, coefficients, planar)
        if status != OK:
            return status, detail, at, produced
        while at < len(ordered) and ordered[at] == index:
            at += 1


@njit(nogil=True)
def _decode_row(
    calls, context, packet, frame, job, tables, headers, plan, corners, views, coefficients, planar
):
    """Decode one row from its nearest key frames on; (status, detail, pictures that came out)."""
    offsets, sizes, keys = tables
    ordered = np.sort(plan)
    at, following, produced = 0, np.int64(-1), 0
    while at < len(ordered) and ordered[at] < 0:
        at += 1
    base, header = job[2], headers[job[4] : job[4] + job[5]]
    while at < len(ordered):
        target = ordered[at]
        start = target
        while start > 0 and not keys[base + start]:
            start -= 1
        fresh = following < 0 or start > following
        index = start if fresh else following
        if index > target:
            return MISSING, target, produced
        while index <= target:
            offset, size = np.int64(offsets[base + index]), np.int64(sizes[base + index])
            if offset + size > job[1]:
                return BAD_PACKET, index, produced
            if fresh and len(header):
                # Parameter sets travel in band; the decoder reads up to 64 bytes more than it is told.
                joined = np.zeros(len(header) + size + 64, np.uint8)
                joined[: len(header)] = header
                joined[len(header) : len(header) + size] = bytes_at(job[0] + offset, size)
                sent = _send(calls, context, packet, joined.ctypes.data, len(header) + size, index)
                joined[0] = 0
            else:
                sent = _send(calls, context, packet, job[0] + offset, size, index)
            fresh = False
            if sent < 0:
                return DECODER, sent, produced
            status, detail, at, count = _receive(
                calls, context, frame, job, ordered, at, plan, corners, views, coefficients, planar
            )
            produced += count
            if status != OK:
                return status, detail, produced
            index += 1
        following = index
        if at < len(ordered) and ordered[at] <= target:
            break
    if at < len(ordered):
        # A decoder that holds pictures back gives them when it is told that nothing follows.
        _call(calls[0], context, 0)
        status, detail, at, count = _receive(
            calls, context, frame, job, ordered, at, plan, corners, views, coefficients, planar
        )
        produced += count
        if status != OK:
            return status, detail, produced
    if at < len(ordered):
        return MISSING, ordered[at], produced
    return OK, 0, produced


@njit(nogil=True, cache=True)
def decode_batch(
    calls,
    worker,
    contexts,
    order,
    counter,
    jobs,
    tables,
    headers,
    plans,
    corners,
    views,
    coefficients,
    planar,
    status,
):
    """Decode rows until none is left; every thread of a batch runs this with decoders of its own.

    Args:
        calls: i64 `[4]`: addresses of avcodec_send_packet, avcodec_receive_frame, avcodec_flush_buffers, av_frame_unref.
        worker: i64 `[2]`: this thread's AVPacket and AVFrame.
        contexts: i64 `[slots]`: this thread's decoder contexts.
        order: i64 `[R]`: rows, the longest first, so that threads end together.
        counter: address of an int64 that starts at 0; threads take the next row from it.
        jobs: i64 `[R, len(FIELDS)]`.
        tables: offsets u32, sizes u32 and keys u8 of all rows' packets, joined.
        headers: u8, in-band headers joined.
        plans: i32 `[R, entries]`: the frames of all views side by side; -1 where a view shows nothing of a row.
        corners: i64 `[R, V, 2]`: (top, left) of each view's window.
        views: i64 `[V, len(VIEW_FIELDS)]`; their outputs are RGB `[rows, T, H, W, 3]`, or Y `[rows, T, H, W]` and
            UV `[rows, T, 2, H / 2, W / 2]`.
        coefficients: f32 `[n, 8]`, see `window_rgb`.
        planar: whether Y and UV are wanted.
        status: i64 `[R, 3]`, written: what happened, its detail, and pictures that came out of the decoder.
    """
    while True:
        place = _take(counter)
        if place >= len(order):
            break
        row = order[place]
        context = contexts[jobs[row, 6]]
        code, detail, produced = _decode_row(
            calls,
            context,
            worker[0],
            worker[1],
            jobs[row],
            tables,
            headers,
            plans[row],
            corners[row],
            views,
            coefficients,
            planar,
        )
        _call(calls[3], worker[1], 0)
        _call(calls[2], context, 0)
        status[row, 0], status[row, 1], status[row, 2] = code, detail, produced


@njit(nogil=True, cache=True)
def row_costs(jobs, keys, plans):
    """Pixels that the decoder must produce for each row, i64 `[R]`: what `decode_cost` counts, times the picture."""
    costs = np.zeros(len(jobs), np.int64)
    for row in range(len(jobs)):
        following = np.int64(-1)
        for target in np.sort(plans[row]):
            if target < 0:
                continue
            start = np.int64(target)
            while start > 0 and not keys[jobs[row, 2] + start]:
                start -= 1
            first = start if following < 0 or start > following else following
            if target + 1 > first:
                costs[row] += target + 1 - first
                following = target + 1
        costs[row] *= jobs[row, 7] * jobs[row, 8]
    return costs


SOUND_FIELDS: Final = (
    "member",  # address of the member
    "bytes",
    "context",  # slot of the decoder context
    "first",  # first byte behind the metadata
    "block",  # samples of a block, 0 where blocks differ
    "smallest",  # bytes of the smallest block, 0 where not known
    "channels",
    "row",  # its place in the outputs
)
"""Columns of the table of sounds, one row a sample."""

SOUND_VIEW_FIELDS: Final = (
    "out",  # address of f32 `[rows, channels, samples]`
    "samples",
)
"""Columns of the table of what one task hears of every sample."""

_S16: Final = 1
_S32: Final = 2
"""AVSampleFormat of what FFmpeg's FLAC decoder gives: samples of all channels in turn."""


@njit(nogil=True)
def _crc8(data, start, stop):
    """CRC-8 of a FLAC block header: polynomial 0x07, from 0 (RFC 9639, 9.1.8)."""
    crc = 0
    for at in range(start, stop):
        crc ^= np.int64(data[at])
        for _ in range(8):
            crc = ((crc << 1) ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
    return crc


@njit(nogil=True)
def _block(data, at):
    """A FLAC block header at `at` (RFC 9639, 9.1): (samples in the block, its coded number), (0, 0) where there is none."""
    # A silent block at the end of a file takes eleven bytes, its header six of them.
    if at + 6 > len(data) or data[at] != 0xFF or (data[at + 1] & 0xFE) != 0xF8 or data[at + 3] & 1:
        return 0, 0
    lead = np.int64(data[at + 4])
    more = 0
    while more < 7 and lead & (0x80 >> more):
        more += 1
    if more == 1 or (more == 7 and lead == 0xFF):
        return 0, 0
    # A coded number is like UTF-8: as many bytes as the first has leading ones.
    number = lead & (0x7F >> more)
    count = more if more else 1
    if at + 4 + count >= len(data):
        return 0, 0
    for byte in range(1, count):
        following = np.int64(data[at + 4 + byte])
        if following & 0xC0 != 0x80:
            return 0, 0
        number = number << 6 | following & 0x3F
    end = at + 4 + count
    size, rate = np.int64(data[at + 2]) >> 4, np.int64(data[at + 2]) & 15
    if size == 0 or rate == 15:
        return 0, 0
    samples = 192
    if size in (6, 7) and end + 2 >= len(data):
        return 0, 0
    if size == 6:
        samples, end = np.int64(data[end]) + 1, end + 1
    elif size == 7:
        samples, end = (np.int64(data[end]) << 8 | np.int64(data[end + 1])) + 1, end + 2
    elif size >= 8:
        samples = 256 << (size - 8)
    elif size >= 2:
        samples = 576 << (size - 2)
    end += 0 if rate < 12 else (1 if rate == 12 else 2)
    if end >= len(data) or _crc8(data, at, end) != np.int64(data[end]):
        return 0, 0
    return samples, number


@njit(nogil=True)
def _next_block(data, at, smallest, number):
    """First byte of the block that is numbered `number`, or the end of the data. Its number tells it from chance."""
    for place in range(at + max(smallest, 6), len(data) - 8):
        if data[place] == 0xFF and data[place + 1] & 0xFE == 0xF8:
            samples, found = _block(data, place)
            if samples and found == number:
                return place
    return np.int64(len(data))


@njit(nogil=True, error_model="numpy")
def _copy_sound(frame, first, channels, span, out):
    """Copy what of a decoded block lies in the span (start, stop) into `out` `[C, N]`; whether its format is known."""
    kind, count, data = _read32(frame + _FRAME_FORMAT), _read32(frame + 112), _read64(frame + _FRAME_DATA)
    start = span[0]
    low, high = max(first, start), min(first + count, span[1])
    if kind == _S16:
        narrow = carray(pointer(data), (count, channels), np.int16)
        for channel in range(channels):
            for at in range(low, high):
                out[channel, at - start] = np.float32(narrow[at - first, channel]) * np.float32(2.0**-15)
    elif kind == _S32:
        wide = carray(pointer(data), (count, channels), np.int32)
        for channel in range(channels):
            for at in range(low, high):
                out[channel, at - start] = np.float32(wide[at - first, channel]) * np.float32(2.0**-31)
    else:
        return False
    return True


@njit(nogil=True)
def _share_block(frame, first, samples, job, spans, views):
    """Copy a decoded block to every view whose span it reaches into; whether its format is known."""
    channels = job[6]
    for view in range(len(views)):
        if spans[view, 0] < first + samples and first < spans[view, 1]:
            count = views[view, 1]
            address = views[view, 0] + 4 * job[7] * channels * count
            out = carray(pointer(address), (channels, count), np.float32)
            if not _copy_sound(frame, first, channels, spans[view], out):
                return False
    return True


@njit(nogil=True)
def _heard(first, samples, spans):
    """Whether any span reaches into the block of `samples` that begins at `first`; an empty span reaches nowhere."""
    for view in range(len(spans)):
        if spans[view, 0] < first + samples and first < spans[view, 1]:
            return True
    return False


@njit(nogil=True)
def _decode_sound(calls, context, packet, frame, job, spans, views):
    """Decode the blocks that the spans of one row reach into, each once; (status, detail)."""
    data = bytes_at(job[0], job[1])
    at, first, stop = job[3], np.int64(0), spans[:, 1].max()
    while first < stop:
        samples, number = _block(data, at) if at < len(data) else (0, 0)
        if samples == 0:
            return MISSING, first
        following = _next_block(data, at, job[5], number + 1 if job[4] else number + samples)
        if _heard(first, samples, spans):
            sent = _send(calls, context, packet, job[0] + at, following - at, first)
            got: Any = sent if sent < 0 else _call(calls[1], context, frame)
            if got < 0:
                return DECODER, got
            if _read32(frame + 112) != samples:
                return CORRUPT, first
            if not _share_block(frame, first, samples, job, spans, views):
                return BAD_FORMAT, _read32(frame + _FRAME_FORMAT)
        at, first = following, first + samples
    return OK, 0


@njit(nogil=True, cache=True)
def decode_sounds(calls, worker, contexts, counter, jobs, spans, views, status):
    """Decode spans of FLAC until none is left; threads and arguments as in `decode_batch`.

    Blocks are independent and numbered, so those in front of a span are found by their headers and not decoded.

    Args:
        jobs: i64 `[R, len(SOUND_FIELDS)]`.
        spans: i64 `[R, V, 2]`: (start, stop) of what each view hears; stop 0 where it hears nothing of a row.
        views: i64 `[V, len(SOUND_VIEW_FIELDS)]`; outputs hold integers over their full scale.
        status: i64 `[R, 2]`, written.
    """
    while True:
        row: Any = _take(counter)
        if row >= len(jobs):
            break
        context = contexts[jobs[row, 2]]
        code, detail = _decode_sound(calls, context, worker[0], worker[1], jobs[row], spans[row], views)
        _call(calls[3], worker[1], 0)
        _call(calls[2], context, 0)
        status[row, 0], status[row, 1] = code, detail
