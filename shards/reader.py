"""Verified random access to the samples of a data set: tars are mapped, members are views, damage has a name."""

import mmap
import tarfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from unreel.shards.catalogue import Catalogue, Member, SampleRow, ShardIndex, read_index
from unreel.shards.errors import ShardError
from unreel.shards.index import SIDECARS_SUFFIX
from unreel.shards.sample import Sidecar, read_sidecar

__all__ = ["EncodedSample", "Reader", "read_shard"]

OPEN_SHARDS: Final = 128
"""Mapped tars kept open: twice the window of shards that the order mixes, since prefetch looks into the next one."""


@dataclass(frozen=True, slots=True)
class EncodedSample:
    """One sample as it lies in the shard.

    Attributes:
        shard: name of the shard.
        row: the sample's row in the shard's index.
        sidecar: what is known of the sample.
        members: member name → its bytes, a view of the mapped tar; valid as long as it is held.
    """

    shard: str
    row: SampleRow
    sidecar: Sidecar
    members: Mapping[str, memoryview]


@dataclass(frozen=True, slots=True)
class _MappedShard:
    path: Path
    index: ShardIndex
    view: memoryview
    sidecars: memoryview | None
    """Content of `NAME.sidecars`, which holds every member `json` of a tar of others."""
    verified: set[tuple[str, int]]
    """(name, offset) of the members whose checksum held; 23 µs for 120 KB are paid once a process."""


class Reader:
    """Random access by (shard, ordinal). Threads may share it."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._mapped = lru_cache(OPEN_SHARDS)(self._map)

    def read(self, shard: int, ordinal: int, *, members: Collection[str] | None = None) -> EncodedSample:
        """The sample `ordinal` of shard number `shard`, with `json` and the named members, by default all.

        Each member's header and CRC32 are checked at its first touch; members that are not asked for are not read.

        Raises:
            ShardError: the shard or a member is not what the index says; names shard, key, expected and found.
            IndexError: the shard has no such sample.
        """
        return _encoded(self._mapped(shard), ordinal, members, read_sidecar)

    def _map(self, shard: int) -> _MappedShard:
        return _map_tar(self.catalogue.path(shard), self.catalogue.index(shard))


def read_shard(
    path: Path,
    *,
    members: Collection[str] | None = None,
    parse: Callable[[memoryview], Sidecar] = read_sidecar,
) -> Iterator[EncodedSample]:
    """Every sample of the committed shard at `path`, in the order of the tar, checked as `Reader.read` does.

    Args:
        members: those to read besides `json`, by default all.
        parse: makes a sidecar of the `json` member.

    Raises:
        ShardError: the shard or a member is not what the index says.
    """
    mapped = _map_tar(path, read_index(path))
    for ordinal in range(len(mapped.index.samples)):
        yield _encoded(mapped, ordinal, members, parse)


def _map_tar(path: Path, index: ShardIndex) -> _MappedShard:
    sidecars = None
    if index.sidecars is not None:
        sidecars = _map_file(path.with_suffix(SIDECARS_SUFFIX), index.sidecars.bytes)
    return _MappedShard(path, index, _map_file(path, index.bytes), sidecars, set())


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


def _encoded(
    mapped: _MappedShard,
    ordinal: int,
    members: Collection[str] | None,
    parse: Callable[[memoryview], Sidecar],
) -> EncodedSample:
    row = mapped.index.samples[ordinal]
    views = {
        member.name: _checked(mapped, row, member)
        for member in row.members
        if members is None or member.name == "json" or member.name in members
    }
    return EncodedSample(mapped.index.shard, row, _sidecar(mapped, row, views["json"], parse), views)


def _checked(mapped: _MappedShard, row: SampleRow, member: Member) -> memoryview:
    beside = mapped.sidecars if member.name == "json" else None
    payload = (mapped.view if beside is None else beside)[member.offset : member.offset + member.size]
    if (member.name, member.offset) not in mapped.verified:
        if beside is None:
            _check_header(mapped, row, member)
        found = zlib.crc32(payload)
        if found != member.crc32:
            raise _damage(mapped, row, member, f"CRC32 {member.crc32:08x}", f"{found:08x}")
        mapped.verified.add((member.name, member.offset))
    return payload


def _check_header(mapped: _MappedShard, row: SampleRow, member: Member) -> None:
    block = bytes(mapped.view[max(0, member.offset - tarfile.BLOCKSIZE) : member.offset])
    expected = f"header of {row.key}.{member.name} with {member.size} bytes"
    if member.header_crc32 is not None:
        if (found := zlib.crc32(block)) != member.header_crc32:
            raise _damage(mapped, row, member, f"{expected}, CRC32 {member.header_crc32:08x}", f"{found:08x}")
        return
    try:
        info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError) as error:
        raise _damage(mapped, row, member, expected, f"a damaged one ({error})") from error
    if (info.name, info.size) != (f"{row.key}.{member.name}", member.size):
        raise _damage(mapped, row, member, expected, f"that of {info.name!r} with {info.size}")


def _sidecar(
    mapped: _MappedShard, row: SampleRow, data: memoryview, parse: Callable[[memoryview], Sidecar]
) -> Sidecar:
    try:
        sidecar = parse(data)
    except ShardError as error:
        raise ShardError(f"{mapped.path}, sample {row.key}: {error}") from error
    if sidecar.key != row.key:
        raise ShardError(f"{mapped.path}: expected the sidecar of {row.key}, found that of {sidecar.key}")
    return sidecar


def _damage(mapped: _MappedShard, row: SampleRow, member: Member, expected: str, found: str) -> ShardError:
    return ShardError(
        f"{mapped.path}, sample {row.key}, member {member.name}: expected {expected}, found {found}"
    )
