"""The units inside packets of H.264 and HEVC, and what their parameter sets say, as far as copying needs it.

ITU-T H.264 7.3 and Annex B of ISO/IEC 14496-15 (`avcC`, `hvcC`).
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

__all__ = ["NAL_TYPES", "NalTypes", "is_progressive", "nal_units"]

# Profiles of H.264 whose parameter sets state chroma and depth.
_HIGH: Final = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})

_MOST_BYTES: Final = 256
"""Of a parameter set that is read; real ones have about 30."""


class NalTypes(NamedTuple):
    """Numbers of a codec's units."""

    shift: int
    mask: int
    idr: frozenset[int]
    """Pictures that no later picture looks beyond."""
    headers: frozenset[int]
    """Parameter sets."""
    length_at: int
    """Byte of the out-of-band header whose lowest two bits are the bytes of a unit's length, less one."""

    def kind(self, unit: bytes) -> int:
        """The number of a unit."""
        return unit[0] >> self.shift & self.mask

    def length_size(self, extradata: bytes) -> int:
        """Bytes of the length before each unit."""
        return (extradata[self.length_at] & 3) + 1


NAL_TYPES: Final[Mapping[str, NalTypes]] = {
    "h264": NalTypes(0, 31, frozenset({5}), frozenset({7, 8, 13, 15}), 4),
    "hevc": NalTypes(1, 63, frozenset({19, 20}), frozenset({32, 33, 34}), 21),
}


def nal_units(payload: bytes, length_size: int) -> Iterator[bytes]:
    """The units of a packet; of a damaged packet the last is shorter or empty, and then none comes."""
    start = 0
    while start + length_size < len(payload):
        size = int.from_bytes(payload[start : start + length_size])
        unit = payload[start + length_size : start + length_size + size]
        if not unit:
            return
        yield unit
        start += length_size + size


def is_progressive(codec: str, extradata: bytes) -> bool:
    """Whether the header of an MP4 says that no picture is interlaced."""
    if len(extradata) < 23 or extradata[0] != 1:
        return False
    if codec == "hevc":
        # general_progressive_source_flag and general_interlaced_source_flag
        return extradata[6] >> 6 == 0b10
    sets, size = extradata[5] & 31, int.from_bytes(extradata[6:8])
    return sets == 1 and size <= _MOST_BYTES and _frames_only(extradata[8 : 8 + size])


def _frames_only(unit: bytes) -> bool:
    """frame_mbs_only_flag of a sequence parameter set of H.264 (7.3.2.1.1)."""
    bits = _Bits(unit[1:].replace(b"\0\0\3", b"\0\0"))
    profile = bits.take(24) >> 16
    bits.number()
    if profile in _HIGH:
        if bits.number() == 3:
            bits.take(1)
        bits.number(), bits.number(), bits.take(1)
        if bits.take(1):
            # Scaling lists are rare, and a picture that has them is encoded like any other.
            return False
    bits.number()
    kind = bits.number()
    if kind == 0:
        bits.number()
    elif kind == 1:
        return False
    bits.number(), bits.take(1), bits.number(), bits.number()
    return bits.take(1) == 1


class _Bits:
    """Bits and Exp-Golomb numbers (9.1), from the front; beyond the end all are ones."""

    def __init__(self, data: bytes) -> None:
        self._bits = "".join(f"{byte:08b}" for byte in data)

    def take(self, count: int) -> int:
        taken, self._bits = self._bits[:count], self._bits[count:]
        return int(taken.ljust(count, "1"), 2)

    def number(self) -> int:
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + (self.take(zeros) if zeros else 0)
