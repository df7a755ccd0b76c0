# mypy: disable-error-code="no-untyped-def, no-untyped-call, assignment, call-arg"
"""Compiled loops of sound on the CPU: from samples to the power in bands of frequency, several columns at once.

Every number is a vector: its lanes are columns that lie one hop apart, so that a transform of many columns is written like
that of one and no lane waits for another. A real transform of N samples is a complex one of N / 2 (even samples real,
odd ones imaginary), decimated in frequency in place: eight by eight, and by what is left at the end; its results lie in
the order of reversed digits and are read from there. Everything that is compiled lies in this one file, because numba's
cache does not notice a change in another one; addresses are int64 as in `cpu_loops.py`.
"""

from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic

from unreel.pipelines.addresses import floats_at

__all__ = ["LANES", "band_powers", "measure"]

LANES: Final = 16
"""Columns that are made at once; processors with shorter registers take them in turns."""

_I32, _I64, _F32 = ir.IntType(32), ir.IntType(64), ir.FloatType()
_LANES: Final = ir.VectorType(_F32, LANES)
_BYTES: Final = 4 * LANES
_VALUE: Final = 2 * _BYTES
"""Bytes of a complex vector: the real parts of all lanes, then the imaginary ones."""

_FUSED: Final = ("contract",)

_Complex = tuple[Any, Any]


def _load(builder: Any, address: Any, kind: Any = _LANES) -> Any:
    load = builder.load(builder.inttoptr(address, kind.as_pointer()))
    load.align = 4
    return load


def _store(builder: Any, value: Any, address: Any) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer())).align = 4


def _splat(builder: Any, value: Any) -> Any:
    empty = ir.Constant(_LANES, ir.Undefined)
    lanes = ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES)
    return builder.shuffle_vector(builder.insert_element(empty, value, _I32(0)), empty, lanes)


def _number(value: float) -> Any:
    return ir.Constant(_LANES, [value] * LANES)


def _after(builder: Any, address: Any, count: int) -> Any:
    """The address `count` vectors further on."""
    return builder.add(address, _I64(count * _BYTES))


def _add(builder: Any, a: _Complex, b: _Complex) -> _Complex:
    return builder.fadd(a[0], b[0], flags=_FUSED), builder.fadd(a[1], b[1], flags=_FUSED)


def _sub(builder: Any, a: _Complex, b: _Complex) -> _Complex:
    return builder.fsub(a[0], b[0], flags=_FUSED), builder.fsub(a[1], b[1], flags=_FUSED)


def _times(builder: Any, a: _Complex, b: _Complex) -> _Complex:
    products = [builder.fmul(x, y, flags=_FUSED) for x, y in ((a[0], b[0]), (a[1], b[1]))]
    crossed = [builder.fmul(x, y, flags=_FUSED) for x, y in ((a[0], b[1]), (a[1], b[0]))]
    return builder.fsub(*products, flags=_FUSED), builder.fadd(*crossed, flags=_FUSED)


def _turned(builder: Any, a: _Complex, eighths: int) -> _Complex:
    """a · exp(-2πi · eighths / 8), for eighths in 0 … 3."""
    real, imaginary = a
    if eighths == 0:
        return a
    if eighths == 2:
        return imaginary, builder.fneg(real)
    root = _number(np.sqrt(0.5))
    total, difference = builder.fadd(imaginary, real), builder.fsub(imaginary, real)
    first, second = (total, difference) if eighths == 1 else (difference, builder.fneg(total))
    return builder.fmul(first, root, flags=_FUSED), builder.fmul(second, root, flags=_FUSED)


def _transform(builder: Any, values: list[_Complex]) -> list[_Complex]:
    """The transform of 1, 2, 4 or 8 values, in the order of their frequencies."""
    half = len(values) // 2
    if not half:
        return values
    pairs = list(zip(values[:half], values[half:], strict=True))
    even = _transform(builder, [_add(builder, a, b) for a, b in pairs])
    differences = (_sub(builder, a, b) for a, b in pairs)
    odd = _transform(builder, [_turned(builder, d, n * 4 // half) for n, d in enumerate(differences)])
    return [value for pair in zip(even, odd, strict=True) for value in pair]


def _make_butterfly(radix: int, *, last: bool) -> Any:
    def _butterfly(_typing: Any, address: Any, stride: Any, twiddle: Any) -> Any:
        """Transform `radix` values that lie `stride` bytes apart, in place, and multiply all but the first by `twiddle`."""

        def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            address, stride, twiddle = args
            places = [builder.add(address, builder.mul(stride, _I64(number))) for number in range(radix)]
            values = [(_load(builder, at), _load(builder, _after(builder, at, 1))) for at in places]
            for number, value in enumerate(_transform(builder, values)):
                if number and not last:
                    at = builder.add(twiddle, _I64(8 * (number - 1)))
                    real, imaginary = (
                        _splat(builder, _load(builder, builder.add(at, _I64(away)), _F32)) for away in (0, 4)
                    )
                    value = _times(builder, value, (real, imaginary))
                for part in (0, 1):
                    _store(builder, value[part], _after(builder, places[number], part))
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.int64), build

    return _intrinsic(_butterfly)


_butterfly_8 = _make_butterfly(8, last=False)
_last_2, _last_4, _last_8 = (_make_butterfly(radix, last=True) for radix in (2, 4, 8))


@_intrinsic
def _powers(_typing: Any, first: Any, second: Any, twiddle: Any, low: Any, high: Any) -> Any:
    """Four times the powers at frequencies k and N / 2 - k out of the values at `first` and `second`."""

    def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        first, second, twiddle, low, high = args
        a, b = ((_load(builder, at), _load(builder, _after(builder, at, 1))) for at in (first, second))
        mirrored = b[0], builder.fneg(b[1])
        even, odd = _add(builder, a, mirrored), _sub(builder, a, mirrored)
        real, imaginary = (
            _splat(builder, _load(builder, builder.add(twiddle, _I64(away)), _F32)) for away in (0, 4)
        )
        turned = _times(builder, _turned(builder, odd, 2), (real, imaginary))
        for value, target in ((_add(builder, even, turned), low), (_sub(builder, even, turned), high)):
            squares = [builder.fmul(part, part, flags=_FUSED) for part in value]
            _store(builder, builder.fadd(*squares, flags=_FUSED), target)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), build


@_intrinsic
def _columns(_typing: Any, sources: Any, taper: Any, target: Any) -> Any:
    """As many samples of each column as there are columns, tapered: `sources` i64 `[LANES]` addresses, one a column."""

    def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        sources, taper, target = args
        lines = [
            _load(builder, _load(builder, builder.add(sources, _I64(8 * lane)), _I64))
            for lane in range(LANES)
        ]
        for number, line in enumerate(_transposed(builder, lines)):
            factor = _splat(builder, _load(builder, builder.add(taper, _I64(4 * number)), _F32))
            _store(builder, builder.fmul(line, factor), _after(builder, target, number))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), build


def _transposed(builder: Any, lines: list[Any]) -> list[Any]:
    """Lane i of line j becomes lane j of line i: each round interleaves line j with line j + LANES / 2."""
    half = LANES // 2
    lanes = [lane // 2 + LANES * (lane % 2) for lane in range(2 * LANES)]
    orders = [ir.Constant(ir.VectorType(_I32, LANES), part) for part in (lanes[:LANES], lanes[LANES:])]
    for _ in range(LANES.bit_length() - 1):
        pairs = zip(lines[:half], lines[half:], strict=True)
        lines = [builder.shuffle_vector(a, b, order) for a, b in pairs for order in orders]
    return lines


@_intrinsic
def _band(_typing: Any, powers: Any, weights: Any, count: Any, scale: Any, target: Any) -> Any:
    """`scale` times the sum of `count` neighbouring powers, weighted."""

    def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        powers, weights, count, scale, target = args
        total = cgutils.alloca_once_value(builder, _number(0.0))
        with cgutils.for_range(builder, count) as loop:
            power = _load(builder, builder.add(powers, builder.mul(loop.index, _I64(_BYTES))))
            weight = _load(builder, builder.add(weights, builder.mul(loop.index, _I64(4))), _F32)
            product = builder.fmul(power, _splat(builder, weight), flags=_FUSED)
            builder.store(builder.fadd(builder.load(total), product, flags=_FUSED), total)
        _store(builder, builder.fmul(builder.load(total), _splat(builder, scale)), target)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.float32, types.int64), build


@_intrinsic
def _peak_and_squares(_typing: Any, sound: Any, count: Any, target: Any) -> Any:
    """Largest square and sum of squares of `count` vectors, lane by lane: two vectors at `target`."""

    def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        sound, count, target = args
        peak, total = (cgutils.alloca_once_value(builder, _number(0.0)) for _ in range(2))
        with cgutils.for_range(builder, count) as loop:
            value = _load(builder, builder.add(sound, builder.mul(loop.index, _I64(_BYTES))))
            square, most = builder.fmul(value, value), builder.load(peak)
            builder.store(builder.select(builder.fcmp_ordered(">", square, most), square, most), peak)
            builder.store(builder.fadd(builder.load(total), square), total)
        _store(builder, builder.load(peak), target)
        _store(builder, builder.load(total), _after(builder, target, 1))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), build


@njit(nogil=True)
def _transform_in_place(values, length, twiddle):
    """`length` complex vectors in natural order become their transform, frequencies in the order of reversed digits."""
    span = length
    while span > 8:
        stride = span // 8
        for first in range(0, length, span):
            for number in range(stride):
                _butterfly_8(values + (first + number) * _VALUE, stride * _VALUE, twiddle + number * 56)
        twiddle += stride * 56
        span = stride
    for first in range(0, length, span):
        if span == 8:
            _last_8(values + first * _VALUE, _VALUE, 0)
        elif span == 4:
            _last_4(values + first * _VALUE, _VALUE, 0)
        else:
            _last_2(values + first * _VALUE, _VALUE, 0)


@njit(nogil=True)
def _mirrored(sound, length, begin, target):
    """Samples from `begin` on; before the first and behind the last one the sound is mirrored."""
    for number in range(len(target)):
        place = abs(begin + number)
        target[number] = sound[max(0, min(place, 2 * (length - 1) - place))]


@njit(nogil=True)
def _place_columns(sound, length, begin, hop, count, spare, sources):
    """Where each lane's column begins, as addresses; lanes beyond the last column show it again."""
    source = sound + 4 * begin
    if begin < 0 or begin + len(spare) > length:
        _mirrored(floats_at(sound, length), length, begin, spare)
        source = spare.ctypes.data
    for lane in range(LANES):
        sources[lane] = source + 4 * hop * min(lane, count - 1)


@njit(nogil=True)
def _load_columns(sources, taper, values, size):
    for first in range(0, len(taper), LANES):
        _columns(sources.ctypes.data, taper.ctypes.data + 4 * first, values + first * _BYTES)
        sources += 4 * LANES
    floats_at(values + len(taper) * _BYTES, (size - len(taper)) * LANES)[:] = 0


@njit(nogil=True)
def _all_powers(values, size, places, roots, powers):
    half = size // 2
    for number in range(half // 2 + 1):
        first = values + places[number] * _VALUE
        second = values + places[(half - number) % half] * _VALUE
        low, high = powers + number * _BYTES, powers + (half - number) * _BYTES
        _powers(first, second, roots.ctypes.data + 8 * number, low, high)


@njit(nogil=True, cache=True)
def band_powers(start, stop, sounds, scales, length, layout, taper, tables, bands, weights, out):
    """Power in bands of blocks `start` … `stop` of `LANES` columns.

    Args:
        sounds, scales: i64 and f32 `[J]`, the address of each sound, and what its powers are multiplied by.
        length: samples of every sound.
        layout: samples from a column to the next, where the first begins (negative: that much is mirrored), columns, and
            samples of a transform, a power of two of at least 32.
        taper: f32, a multiple of `LANES` of them.
        tables: twiddles c64, where each frequency lies i64 `[size / 2]`, and roots of unity c64, see `sound_cpu.py`.
        bands: i64 `[F, 3]`: the first frequency of each, how many, and where its weights begin.
        weights: f32.
        out: address of f32 `[J, F, columns]`.
    """
    hop, first, columns, size = layout
    twiddles, places, roots = tables
    blocks = (columns + LANES - 1) // LANES
    scratch = np.empty((2 * size + LANES) * LANES, np.float32)
    values = (scratch.ctypes.data + 63) // 64 * 64
    powers, line = values + size * _BYTES, values + (2 * size - 1) * _BYTES
    spare = np.empty((LANES - 1) * hop + len(taper), np.float32)
    sources = np.empty(LANES, np.int64)
    for item in range(start, stop):
        job, block = item // blocks, item % blocks
        count = min(LANES, columns - block * LANES)
        _place_columns(sounds[job], length, first + block * LANES * hop, hop, count, spare, sources)
        _load_columns(sources, taper, values, size)
        _transform_in_place(values, size // 2, twiddles.ctypes.data)
        _all_powers(values, size, places, roots, powers)
        shown = floats_at(line, LANES)
        for band in range(len(bands)):
            low, number, begin = bands[band]
            at = weights.ctypes.data + 4 * begin
            _band(powers + low * _BYTES, at, number, scales[job], line)
            target = out + 4 * ((job * len(bands) + band) * columns + block * LANES)
            floats_at(target, count)[:] = shown[:count]
    # The buffers must live until here: their addresses do not count for numba.
    return scratch[0] + spare[0] + np.float32(sources[0])


@njit(nogil=True, cache=True)
def measure(start, stop, sounds, length, peaks, squares):
    """The largest magnitude and the sum of squares of sounds `start` … `stop` of `length` samples, f32 `[J]` each."""
    lanes = np.empty((2, LANES), np.float32)
    vectors = length // LANES
    for job in range(start, stop):
        _peak_and_squares(sounds[job], vectors, lanes.ctypes.data)
        peak, total = lanes[0].max(), lanes[1].sum()
        for value in floats_at(sounds[job] + vectors * _BYTES, length - vectors * LANES):
            peak, total = max(peak, value * value), total + value * value
        peaks[job], squares[job] = np.sqrt(peak), total
