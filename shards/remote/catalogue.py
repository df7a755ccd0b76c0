"""The catalogue of a data set behind a URL: its two files are mirrored, indexes and members come when they are asked for."""

import hashlib
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from unreel.shards.catalogue import Catalogue, open_tables
from unreel.shards.commit import index_path
from unreel.shards.errors import CatalogueError, ShardError, Unreachable
from unreel.shards.index import SIDECARS_SUFFIX, Member, ShardIndex
from unreel.shards.mapped import Views
from unreel.shards.remote.cache import ByteCache, default_cache, keep
from unreel.shards.remote.folder import RemoteFolder
from unreel.shards.remote.web import Patience

__all__ = ["RemoteCatalogue", "RemoteShard"]

CACHE_BYTES: Final = 20 << 30
_SUMMARY_BYTES: Final = 1 << 20
# Members that are not wanted are fetched along where a second request would cost more than their bytes.
_GAP: Final = 64 << 10
_BLOCK: Final = 512


class RemoteCatalogue(Catalogue):
    """A catalogue whose shards lie behind a URL. `folder` is the local mirror of its two files.

    Attributes:
        place: where the shards lie.
        cache: what was fetched of them.
    """

    remote = True
    place: RemoteFolder
    cache: ByteCache

    @classmethod
    def open(
        cls,
        folder: Path | str,
        *,
        cache: Path | None = None,
        cache_bytes: int = CACHE_BYTES,
        patience: Patience | None = None,
    ) -> "RemoteCatalogue":
        """Open the data set behind the URL `folder`.

        Args:
            cache: local folder of what is fetched; None: `UNREEL_CACHE`, else `~/.cache/unreel`.
            cache_bytes: most bytes of indexes and members that are kept there.
            patience: how long is waited for an answer.

        Raises:
            CatalogueError: there is no catalogue, it is damaged, or its major version is newer.
            Unreachable: the place does not answer.
            ValueError: the URL's scheme is not allowed.
        """
        remote = RemoteFolder(str(folder), patience=patience)
        local = cache or default_cache()
        mirror = _mirror(remote, local)
        summary, table = open_tables(mirror)
        catalogue = cls(mirror, summary, table)
        catalogue.place, catalogue.cache = remote, ByteCache(local / "bytes", cache_bytes)
        return catalogue

    def shard_bytes(self, shard: int) -> "RemoteShard":
        """The shard with this number, of which nothing but the index is fetched."""
        return RemoteShard(self.place, self.cache, self.index(shard))

    def _index_data(self, shard: int) -> bytes:
        """The index, from the cache where its checksum holds there, else fetched."""
        expected, name = self._table["index_crc32"][shard].as_py(), index_path(self.path(shard)).name
        kept = f"{self.digest[:16]}/{name}"
        data = self.cache.get(kept)
        if data is None or zlib.crc32(data) != expected:
            try:
                data = self.place.whole(name)
            except Unreachable as error:
                raise ShardError(str(error)) from error
            self.cache.put(kept, data)
        return data


class RemoteShard:
    """Byte ranges of one shard, fetched and kept.

    Attributes:
        name: its URL.
        index: all samples of it.
    """

    def __init__(self, place: RemoteFolder, cache: ByteCache, index: ShardIndex) -> None:
        self.name = f"{place.url}/{index.shard}.tar"
        self.index = index
        self._place, self._cache = place, cache

    def fetch(self, members: Sequence[Member], *, fresh: bool = False) -> Views:
        """The payloads of these members with the header block before each, in as few requests as make sense.

        Args:
            fresh: what is kept proved wrong; the place itself is asked.

        Raises:
            ShardError: the place does not give them.
        """
        outside = self.index.sidecars is not None
        beside = [member for member in members if outside and member.name == "json"]
        inside = [member for member in members if member not in beside]
        tar = [(start, self._span(".tar", start, stop, fresh=fresh)) for start, stop in _joined(inside)]
        sidecars = [
            (
                member.offset,
                self._span(SIDECARS_SUFFIX, member.offset, member.offset + member.size, fresh=fresh),
            )
            for member in beside
        ]
        return Views(tar=_Sparse(tar), sidecars=_Sparse(sidecars) if outside else None, fetched=True)

    def range(self, start: int, stop: int) -> bytes:
        """Bytes [start, stop) of the tar. Raises ShardError."""
        return self._span(".tar", start, stop, fresh=False)

    def _span(self, suffix: str, start: int, stop: int, *, fresh: bool) -> bytes:
        kept = f"{self.index.sha256[:16]}/{suffix[1:]}-{start}-{stop}"
        data = None if fresh else self._cache.get(kept)
        if data is None or len(data) != stop - start:
            try:
                data = self._place.read(self.index.shard + suffix, start, stop - start)
            except Unreachable as error:
                raise ShardError(str(error)) from error
            self._cache.put(kept, data)
        return data


class _Sparse:
    def __init__(self, parts: Sequence[tuple[int, bytes]]) -> None:
        self._parts = parts

    def __getitem__(self, span: slice) -> memoryview:
        for start, data in self._parts:
            if start <= span.start and span.stop <= start + len(data):
                return memoryview(data)[span.start - start : span.stop - start]
        raise IndexError(f"bytes {span.start} to {span.stop} were not fetched")


def _joined(members: Sequence[Member]) -> list[tuple[int, int]]:
    """Half-open spans that hold all of these members, ascending by offset, and the header block before each."""
    spans: list[tuple[int, int]] = []
    for member in sorted(members, key=lambda member: member.offset):
        start, stop = max(0, member.offset - _BLOCK), member.offset + member.size
        if spans and start - spans[-1][1] <= _GAP:
            spans[-1] = (spans[-1][0], stop)
        else:
            spans.append((start, stop))
    return spans


def _mirror(remote: RemoteFolder, place: Path) -> Path:
    """A local folder with the catalogue's two files: another one for each digest, so that an older one is never mixed in."""
    data = remote.whole("catalogue.json", limit=_SUMMARY_BYTES)
    try:
        digest = str(msgspec.json.decode(data)["digest"])
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise CatalogueError(f"{remote.url}/catalogue.json: not a catalogue: {error}") from error
    named = hashlib.blake2b(f"{remote.url}\n{digest}".encode(), digest_size=8).hexdigest()
    folder = place / "catalogues" / named
    keep(folder / "catalogue.json", data)
    if not (folder / "catalogue.arrow").exists():
        keep(folder / "catalogue.arrow", remote.whole("catalogue.arrow"))
    return folder
