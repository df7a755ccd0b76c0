"""Members that wait for the end of their source, in memory while they are few and in a temporary file when they are many."""

from collections.abc import Mapping
from tempfile import SpooledTemporaryFile
from typing import Final, NamedTuple, Self

__all__ = ["Parked", "Spool"]

_MEMORY_BYTES: Final = 32 << 20


class Parked(NamedTuple):
    """Where the members of one sample lie in the spool: name → (first byte, bytes)."""

    places: Mapping[str, tuple[int, int]]


class Spool:
    """Nothing of a source is stored before all of it was decoded; `TMPDIR` says where a long one waits."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile[bytes](_MEMORY_BYTES)
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def park(self, members: Mapping[str, bytes]) -> Parked:
        """Take the members of one sample."""
        self._file.seek(self._end)
        places = {}
        for name, payload in members.items():
            self._file.write(payload)
            places[name] = (self._end, len(payload))
            self._end += len(payload)
        return Parked(places)

    def fetch(self, parked: Parked) -> dict[str, bytes]:
        """The members again."""
        members = {}
        for name, (start, size) in parked.places.items():
            self._file.seek(start)
            members[name] = self._file.read(size)
        return members
