"""Limits: how much a source may take before it is refused. They change which sources are taken, never the bytes of a sample."""

from typing import Final

import msgspec

from unreel.shards.errors import MediaRefused

__all__ = ["DEFAULT_LIMITS", "Limits"]

_MIB: Final = 1 << 20
# A decode is given so much processor time for each second of media: 4K HEVC on one thread takes about four.
_CPU_PER_SECOND: Final = 20.0


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one source may cost and claim. Each is checked before anything is allocated for it, where a header states it."""

    wall: float = 20.0
    """Seconds for which a process may give no sign of life; a probe gets one more for each MiB of the source."""
    cpu: float = 60.0
    """Seconds of processor time for a process; a decode gets 20 more for each second of media."""
    memory: int = 4 << 30
    """Bytes of address space of a process."""
    output: int = 64 << 30
    """Bytes that a decode may give."""
    bytes: int = 64 << 30
    """Bytes of the source file."""
    pixels: int = 8192 * 8192
    """Pixels of one picture: a file of 14 KB can ask for gigabytes."""
    frames: int = 3_000_000
    seconds: float = 6 * 3600.0
    channels: int = 64
    streams: int = 128

    def __post_init__(self) -> None:
        for name, value in self.items():
            if not value > 0:
                raise ValueError(f"limit {name}={value}: a number above 0 is needed")

    def items(self) -> list[tuple[str, float]]:
        """Name and value of each."""
        return [(name, getattr(self, name)) for name in self.__struct_fields__]

    def check(self, name: str, found: float) -> None:
        """Raises MediaRefused `too-many-…` or the like where `found` is above the limit `name`."""
        if found > getattr(self, name):
            raise self.refusal(name, f"{found:.10g} {name}")

    def refusal(self, name: str, found: str) -> MediaRefused:
        """The refusal of a source that goes beyond the limit `name`; tells the option that changes it."""
        limit = getattr(self, name)
        return MediaRefused(
            _REASONS[name], f"{found}; the limit is {limit:.10g}, and --limit {name}=NUMBER changes it"
        )

    def probe_wall(self, size: int) -> float:
        """Seconds that a probe of a file of `size` bytes may take."""
        return self.wall + size / _MIB

    def decode_cpu(self, seconds: float) -> float:
        """Seconds of processor time that the decode of so many seconds of media may take."""
        return self.cpu + _CPU_PER_SECOND * seconds


_REASONS: Final = {
    "wall": "timed-out",
    "cpu": "timed-out",
    "memory": "too-much-memory",
    "output": "too-much-output",
    "bytes": "too-many-bytes",
    "pixels": "too-large",
    "frames": "too-many-frames",
    "seconds": "too-long",
    "channels": "too-many-channels",
    "streams": "too-many-streams",
}
DEFAULT_LIMITS: Final = Limits()
