"""Verified random access to the samples of a data set: members are views of bytes, damage has a name."""

import tarfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from unreel.shards.catalogue import Catalogue, Member, SampleRow, read_index
from unreel.shards.errors import ShardError
from unreel.shards.mapped import MappedShard, ShardBytes, Views
from unreel.shards.remote.early import Early
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
class _OpenShard:
    bytes: ShardBytes
    verified: set[tuple[str, int]]
    """(name, offset) of the members whose checksum held; 23 µs for 120 KB are paid once a process."""


class Reader:
    """Random access by (shard, ordinal). Threads may share it.

    Of a data set behind a URL, each sample is one or two requests for byte ranges; `prefetch` begins them early, many at
    once, and what comes is checked on arrival.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._open = lru_cache(OPEN_SHARDS)(self._opened)
        self._early = Early(self._read) if catalogue.remote else None

    def read(self, shard: int, ordinal: int, *, members: Collection[str] | None = None) -> EncodedSample:
        """The sample `ordinal` of shard number `shard`, with `json` and the named members, by default all.

        Each member's header and CRC32 are checked at its first touch; members that are not asked for are not read.

        Raises:
            ShardError: the shard or a member is not what the index says, or is out of reach; names shard, key, expected and
                found.
            IndexError: the shard has no such sample.
        """
        named = None if members is None else tuple(sorted(members))
        if self._early is not None:
            return self._early.take((shard, ordinal, named))
        return self._read(shard, ordinal, named)

    def prefetch(self, places: Iterable[tuple[int, int]], *, members: Collection[str] | None = None) -> None:
        """Begin to fetch the samples at (shard, ordinal) that `read` will be asked for; local ones need none of it."""
        if self._early is not None:
            named = None if members is None else tuple(sorted(members))
            self._early.begin((shard, ordinal, named) for shard, ordinal in places)

    def packets(self, shard: int, ordinal: int, runs: Iterable[tuple[int, int]]) -> EncodedSample:
        """A sample whose picture member holds only the packets of these half-open runs, and zeros elsewhere.

        For a plan that shows a few GOPs of a long clip behind a URL. A member's checksum is over all of it, so these bytes
        are checked by their length only, and by the decoder.

        Raises:
            ShardError: see `read`.
            ValueError: the sample has no picture.
        """
        sample = self._read(shard, ordinal, ())
        video = sample.sidecar.video
        if video is None:
            raise ValueError(f"sample {sample.row.key}: it has no picture, so no packets")
        member = next(m for m in sample.row.members if m.name == video.member)
        payload = bytearray(member.size)
        offsets, sizes = video.packets.offsets, video.packets.sizes
        for first, stop in runs:
            start, end = int(offsets[first]), int(offsets[stop - 1]) + int(sizes[stop - 1])
            span = self._open(shard).bytes.range(member.offset + start, member.offset + end)
            payload[start:end] = span
        return replace(sample, members={**sample.members, video.member: memoryview(payload).toreadonly()})

    def close(self) -> None:
        """End what is being fetched."""
        if self._early is not None:
            self._early.close()

    def _read(self, shard: int, ordinal: int, members: tuple[str, ...] | None) -> EncodedSample:
        opened = self._open(shard)
        try:
            return _encoded(opened, ordinal, members, read_sidecar)
        except ShardError:
            if not self.catalogue.remote:
                raise
            # What is kept here, or what came, is wrong: the place itself is asked, once.
            return _encoded(opened, ordinal, members, read_sidecar, fresh=True)

    def _opened(self, shard: int) -> _OpenShard:
        return _OpenShard(self.catalogue.shard_bytes(shard), set())


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
    opened = _OpenShard(MappedShard(path, read_index(path)), set())
    for ordinal in range(len(opened.bytes.index.samples)):
        yield _encoded(opened, ordinal, members, parse)


def _encoded(
    opened: _OpenShard,
    ordinal: int,
    members: Collection[str] | None,
    parse: Callable[[memoryview], Sidecar],
    *,
    fresh: bool = False,
) -> EncodedSample:
    index = opened.bytes.index
    row = index.samples[ordinal]
    wanted = [m for m in row.members if members is None or m.name == "json" or m.name in members]
    views = opened.bytes.fetch(wanted, fresh=fresh)
    payloads = {member.name: _checked(opened, views, row, member) for member in wanted}
    return EncodedSample(index.shard, row, _sidecar(opened, row, payloads["json"], parse), payloads)


def _checked(opened: _OpenShard, views: Views, row: SampleRow, member: Member) -> memoryview:
    beside = views.sidecars if member.name == "json" else None
    payload = (views.tar if beside is None else beside)[member.offset : member.offset + member.size]
    if views.fetched or (member.name, member.offset) not in opened.verified:
        if beside is None:
            _check_header(opened, views, row, member)
        found = zlib.crc32(payload)
        if found != member.crc32:
            raise _damage(opened, row, member, f"CRC32 {member.crc32:08x}", f"{found:08x}")
        opened.verified.add((member.name, member.offset))
    return payload


def _check_header(opened: _OpenShard, views: Views, row: SampleRow, member: Member) -> None:
    block = bytes(views.tar[max(0, member.offset - tarfile.BLOCKSIZE) : member.offset])
    expected = f"header of {row.key}.{member.name} with {member.size} bytes"
    if member.header_crc32 is not None:
        if (found := zlib.crc32(block)) != member.header_crc32:
            raise _damage(opened, row, member, f"{expected}, CRC32 {member.header_crc32:08x}", f"{found:08x}")
        return
    try:
        info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError) as error:
        raise _damage(opened, row, member, expected, f"a damaged one ({error})") from error
    if (info.name, info.size) != (f"{row.key}.{member.name}", member.size):
        raise _damage(opened, row, member, expected, f"that of {info.name!r} with {info.size}")


def _sidecar(
    opened: _OpenShard, row: SampleRow, data: memoryview, parse: Callable[[memoryview], Sidecar]
) -> Sidecar:
    try:
        sidecar = parse(data)
    except ShardError as error:
        raise ShardError(f"{opened.bytes.name}, sample {row.key}: {error}") from error
    if sidecar.key != row.key:
        raise ShardError(
            f"{opened.bytes.name}: expected the sidecar of {row.key}, found that of {sidecar.key}"
        )
    return sidecar


def _damage(opened: _OpenShard, row: SampleRow, member: Member, expected: str, found: str) -> ShardError:
    return ShardError(
        f"{opened.bytes.name}, sample {row.key}, member {member.name}: expected {expected}, found {found}"
    )
