"""The bytes of one shard: what every place of shards gives, and the local one, where the tar is mapped into memory."""

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from unreel.shards.errors import ShardError
from unreel.shards.index import SIDECARS_SUFFIX, Member, ShardIndex

__all__ = ["MappedShard", "ShardBytes", "Views"]


class _Sliceable(Protocol):
    def __getitem__(self, span: slice, /) -> memoryview: ...


@dataclass(frozen=True, slots=True)
class Views:
    """Bytes of a shard, sliced by their place in it.

    Attributes:
        tar: the tar.
        sidecars: `NAME.sidecars`, which holds every member `json` of a tar of others; None where there is none.
        fetched: whether they have come from elsewhere just now and were never checked.
    """

    tar: _Sliceable
    sidecars: _Sliceable | None
    fetched: bool = False


class ShardBytes(Protocol):
    """The bytes of one shard, wherever it lies. Threads may share it."""

    @property
    def name(self) -> str:
        """Its path or its URL, for messages."""

    @property
    def index(self) -> ShardIndex:
        """All samples of it."""

    def fetch(self, members: Sequence[Member], *, fresh: bool = False) -> Views:
        """Views in which these members and the header block before each can be sliced.

        Args:
            fresh: what came before proved wrong; nothing that is kept may be given again.

        Raises:
            ShardError: they cannot be had.
        """

    def range(self, start: int, stop: int) -> bytes | memoryview:
        """Bytes [start, stop) of the tar. Raises ShardError."""


class MappedShard:
    """A tar of this machine, mapped into memory; nothing is read before it is touched."""

    def __init__(self, path: Path, index: ShardIndex) -> None:
        """Map the tar at `path`.

        Raises:
            ShardError: it is gone, or not as long as its index says.
        """
        self.name = str(path)
        self.index = index
        sidecars = None
        if index.sidecars is not None:
            sidecars = _map_file(path.with_suffix(SIDECARS_SUFFIX), index.sidecars.bytes)
        self._tar = _map_file(path, index.bytes)
        self._views = Views(self._tar, sidecars)

    def fetch(self, members: Sequence[Member], *, fresh: bool = False) -> Views:
        """All of the shard."""
        return self._views

    def range(self, start: int, stop: int) -> memoryview:
        """Bytes [start, stop) of the tar."""
        return self._tar[start:stop]


def _map_file(path: Path, size: int) -> memoryview:
    try:
        with path.open("rb") as file:
            found = file.seek(0, 2)
            if found != size:
                raise ShardError(f"{path}: expected {size} bytes, found {found}")
            # The view keeps the map alive: samples may outlive the shard's place in the cache.
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError as error:
        raise ShardError(f"{path}: expected {size} bytes, found no file") from error
