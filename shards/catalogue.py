"""The catalogue of a data set: all shards with their counts and checksums, compiled from the shards' indexes.

Two files: `catalogue.json` (identity, profile, totals, digest) and `catalogue.arrow` (one row a shard). Opening takes
time and memory by the number of shards; the samples of a shard are read from its index when they are asked for.
"""

import hashlib
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unreel.shards.commit import index_path, settle_folder
from unreel.shards.errors import CatalogueError, IdentityMismatch, ShardError
from unreel.shards.files import write_atomic
from unreel.shards.index import (
    INDEX_SUFFIX,
    Member,
    SampleRow,
    ShardIndex,
    content_digest,
    identity_text,
    parse_index,
    row_of,
)
from unreel.shards.mapped import MappedShard, ShardBytes
from unreel.shards.remote.web import is_url

__all__ = [
    "CATALOGUE_SCHEMA",
    "Catalogue",
    "Member",
    "SampleRow",
    "ShardIndex",
    "Summary",
    "compile_catalogue",
    "identity_text",
    "open_tables",
    "read_index",
    "read_summary",
    "recompile_catalogue",
    "row_of",
]

CATALOGUE_SCHEMA: Final = (1, 0)
"""Version of the catalogue, (major, minor): newer minors are read, newer majors are refused by name."""

OPEN_INDEXES: Final = 128
"""Indexes kept in memory: twice the window of shards that the order mixes, since prefetch looks into the next one."""

_COLUMNS: Final = pa.schema(
    [
        ("name", pa.string()),
        ("samples", pa.int64()),
        ("bytes", pa.int64()),
        ("sha256", pa.binary(32)),
        ("index_crc32", pa.uint32()),
    ]
)


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `catalogue.json`."""

    schema: str = f"{CATALOGUE_SCHEMA[0]}.{CATALOGUE_SCHEMA[1]}"
    identity: dict[str, Any]
    """Builder identity: equal identities promise equal bytes for equal sources. `parts` lists those of a merged data set."""
    profile: dict[str, Any]
    shards: int
    samples: int
    bytes: int
    digest: str


class Catalogue:
    """A data set on disk. Immutable: a folder that has been built further is opened again.

    Attributes:
        folder: where the shards lie.
        identity: builder identity of every shard.
        profile: build profile of every shard.
        digest: hash over the ordered (name, samples, sha256) of the shards; it does not say who built them or when.
        counts: i64 `[shards]`, samples of each shard.
        remote: whether the shards lie behind a URL.
    """

    remote: ClassVar[bool] = False

    def __init__(self, folder: Path, summary: Summary, table: pa.Table) -> None:
        self.folder = folder
        self.identity = summary.identity
        self.profile = summary.profile
        self.digest = summary.digest
        self.counts: NDArray[np.int64] = table["samples"].to_numpy()
        self._table = table
        self._cached_index = lru_cache(OPEN_INDEXES)(self._read_index)

    @classmethod
    def open(cls, folder: Path | str) -> "Catalogue":
        """Open the data set in `folder`, or behind a URL with default settings; see `RemoteCatalogue.open`.

        Raises:
            CatalogueError: there is no catalogue, it is damaged, or its major version is newer.
            ValueError: a URL's scheme is not allowed.
            Unreachable: a URL does not answer.
        """
        if isinstance(folder, str) and is_url(folder):
            from unreel.shards.remote.catalogue import RemoteCatalogue  # brings an HTTP library with it

            return RemoteCatalogue.open(folder)
        folder = Path(folder)
        summary, table = open_tables(folder)
        return cls(folder, summary, table)

    def __len__(self) -> int:
        """Samples in all shards."""
        return int(self.counts.sum())

    def __repr__(self) -> str:
        return f"Catalogue({str(self.folder)!r}, {len(self.counts)} shards, {len(self)} samples, {self.digest[:12]})"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the shards, ascending, without `.tar`."""
        return tuple(self._table["name"].to_pylist())

    @cached_property
    def total_bytes(self) -> int:
        """Of all tars."""
        return int(self._table["bytes"].to_numpy().sum())

    def path(self, shard: int) -> Path:
        """The tar of shard number `shard`."""
        return self.folder / f"{self._table['name'][shard].as_py()}.tar"

    def index(self, shard: int) -> ShardIndex:
        """The index of shard number `shard`; the last ones used are kept.

        Raises:
            ShardError: the index is gone, damaged, or not the one that the catalogue was compiled from.
        """
        return self._cached_index(shard)

    def rows(self) -> Iterator[tuple[int, int, SampleRow]]:
        """Every sample as (shard, ordinal in the shard, row), in the order of the shards."""
        for shard in range(len(self.counts)):
            for ordinal, row in enumerate(self._read_index(shard).samples):
                yield shard, ordinal, row

    def _read_index(self, shard: int) -> ShardIndex:
        path = index_path(self.path(shard))
        data = self._index_data(shard)
        expected, found = self._table["index_crc32"][shard].as_py(), zlib.crc32(data)
        if found != expected:
            raise ShardError(
                f"{path}: the catalogue expects an index with CRC32 {expected:08x}, found {found:08x}; "
                "compile the catalogue again if the shard was rebuilt"
            )
        return parse_index(data, path)

    def shard_bytes(self, shard: int) -> ShardBytes:
        """The bytes of shard number `shard`.

        Raises:
            ShardError: its index or its tar is gone, or not what the catalogue and the index say.
        """
        return MappedShard(self.path(shard), self.index(shard))

    def _index_data(self, shard: int) -> bytes:
        return _index_bytes(index_path(self.path(shard)))


def read_index(shard: Path) -> ShardIndex:
    """The index beside the tar `shard`.

    Raises:
        ShardError: there is none (the shard was never committed), or it is damaged.
    """
    path = index_path(shard)
    return parse_index(_index_bytes(path), path)


def compile_catalogue(
    folder: Path | str, *, identity: Mapping[str, Any], profile: Mapping[str, Any]
) -> Catalogue:
    """Write the catalogue of all committed shards in `folder`; it can be compiled again at any time.

    Raises:
        CatalogueError: the folder holds no committed shard, or the tar of an index is gone or of another size.
        IdentityMismatch: a shard was built by another identity.
    """
    folder = Path(folder)
    settle_folder(folder)
    paths = sorted(folder.glob(f"*{INDEX_SUFFIX}"), key=lambda path: path.name.removesuffix(INDEX_SUFFIX))
    if not paths:
        raise CatalogueError(f"{folder}: no shard with an index; was a build finished here?")
    table = _compile_table(paths, _identity_texts(identity))
    summary = Summary(
        identity=dict(identity),
        profile=dict(profile),
        shards=len(table),
        samples=sum(table["samples"].to_pylist()),
        bytes=sum(table["bytes"].to_pylist()),
        digest=_digest(table),
    )
    write_atomic(folder / "catalogue.arrow", _table_bytes(table))
    write_atomic(folder / "catalogue.json", msgspec.json.format(msgspec.json.encode(summary)) + b"\n")
    return Catalogue(folder, summary, table)


def recompile_catalogue(folder: Path | str) -> int:
    """Compile the catalogue in `folder` again, of the same identity and profile; how many samples it holds.

    It works from `catalogue.json` alone, so also where a kill left that file and `catalogue.arrow` of different ages. Where no
    shard is left, both are removed.

    Raises:
        CatalogueError, IdentityMismatch: see `compile_catalogue`.
    """
    folder = Path(folder)
    settle_folder(folder)
    summary = read_summary(folder)
    if next(folder.glob(f"*{INDEX_SUFFIX}"), None) is not None:
        return len(compile_catalogue(folder, identity=summary.identity, profile=summary.profile))
    for name in ("catalogue.json", "catalogue.arrow"):
        (folder / name).unlink(missing_ok=True)
    return 0


def open_tables(folder: Path) -> tuple[Summary, pa.Table]:
    """Both files of the catalogue in `folder`; Arrow rows are name, samples, bytes, sha256, index_crc32.

    Raises:
        CatalogueError: one of them is gone or damaged, or they do not go together.
    """
    summary = read_summary(folder)
    table = _read_table(folder / "catalogue.arrow")
    if (found := _digest(table)) != summary.digest:
        raise CatalogueError(
            f"{folder}: catalogue.json expects shards with digest {summary.digest}, catalogue.arrow has {found}; "
            "compile the catalogue again"
        )
    if pc.any(pc.match_substring(table["name"], "/")).as_py():
        raise CatalogueError(f"{folder}: a shard's name is no path, and one in catalogue.arrow holds a '/'")
    return summary, table


def _identity_texts(identity: Mapping[str, Any]) -> tuple[str, ...]:
    """The identities that shards of a catalogue may have: several, where data sets were merged."""
    return tuple(identity_text(part) for part in identity.get("parts", [identity]))


def _compile_table(paths: Iterable[Path], identities: Collection[str]) -> pa.Table:
    rows = []
    for path in paths:
        data = path.read_bytes()
        index = parse_index(data, path)
        _check_shard(path, index, identities)
        rows.append(
            {
                "name": index.shard,
                "samples": len(index.samples),
                "bytes": index.bytes,
                "sha256": content_digest(index),
                "index_crc32": zlib.crc32(data),
            }
        )
    return pa.Table.from_pylist(rows, schema=_COLUMNS)


def _check_shard(path: Path, index: ShardIndex, identities: Collection[str]) -> None:
    if index.identity not in identities:
        raise IdentityMismatch(
            f"{path}: built by {index.identity}, this catalogue is of {' and '.join(identities)}"
        )
    tar = path.with_name(f"{index.shard}.tar")
    found = tar.stat().st_size if tar.exists() else None
    if found != index.bytes:
        raise CatalogueError(f"{tar}: its index expects {index.bytes} bytes, found {found}")


def _digest(table: pa.Table) -> str:
    """Column by column and inside Arrow: a million shards take a tenth of a second and no object each."""
    digest = hashlib.sha256()
    digest.update(_joined(table["name"], "\n"))
    digest.update(table["samples"].to_numpy().astype("<i8").tobytes())
    digest.update(_joined(table["sha256"].cast(pa.binary()), b""))
    return digest.hexdigest()


def _joined(column: pa.ChunkedArray, separator: str | bytes) -> memoryview:
    values = pa.ListArray.from_arrays([0, len(column)], column.combine_chunks())
    return memoryview(pc.binary_join(values, separator)[0].as_buffer())


def _table_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def read_summary(folder: Path) -> Summary:
    """The content of `catalogue.json` in `folder`, whatever its table says.

    Raises:
        CatalogueError: it is gone or damaged, or its major version is newer.
    """
    path = folder / "catalogue.json"
    try:
        data = path.read_bytes()
        major = int(msgspec.json.decode(data)["schema"].split(".")[0])
        if major > CATALOGUE_SCHEMA[0]:
            raise CatalogueError(
                f"{path}: schema {major}.x, this reader knows {CATALOGUE_SCHEMA[0]}.x: update unreel"
            )
        return msgspec.json.decode(data, type=Summary)
    except FileNotFoundError as error:
        raise CatalogueError(f"{path.parent}: no catalogue.json here; `unreel build` writes it") from error
    except (msgspec.DecodeError, ValueError, TypeError, KeyError) as error:
        raise CatalogueError(f"{path}: not a catalogue: {error}") from error


def _read_table(path: Path) -> pa.Table:
    try:
        with pa.memory_map(str(path)) as file:
            table = pa.ipc.open_file(file).read_all()
        table.validate(full=True)
    except (OSError, pa.ArrowInvalid) as error:
        raise CatalogueError(f"{path}: not a table of shards: {error}") from error
    if table.schema != _COLUMNS:
        raise CatalogueError(f"{path}: expected columns {_COLUMNS.names}, found {table.schema.names}")
    return table


def _index_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ShardError(f"{path}: no index, so the shard beside it was never committed") from error
