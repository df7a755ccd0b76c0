"""Is what is on disk what was written? Quick by names, sizes and headers, or in full down to every decoded frame."""

import hashlib
import mmap
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import pyarrow as pa

from unreel.shards.care.contract import contract_breaches
from unreel.shards.care.decodable import decode_breaches
from unreel.shards.catalogue import Summary, open_tables
from unreel.shards.commit import index_path
from unreel.shards.errors import CatalogueError, ShardError
from unreel.shards.index import (
    INDEX_SCHEMA,
    INDEX_SUFFIX,
    SIDECARS_SUFFIX,
    Member,
    SampleRow,
    ShardIndex,
    content_digest,
    parse_index,
    row_of,
    wds_index,
)
from unreel.shards.pool import Pool
from unreel.shards.sample import Sidecar, read_sidecar
from unreel.shards.writer import BLOCK, tar_header

__all__ = ["Damage", "Mode", "ShardReport", "Verification", "verify", "verify_shard"]

Mode = Literal["quick", "full"]

_ROW_OF_ANY_VERSION: Final = (
    *("key", "source", "split", "frames", "rate", "width", "height"),
    *("audio_samples", "audio_rate", "members"),
)


class Damage(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it was written."""

    check: str
    """What found it: `catalogue`, `uncommitted`, `unsettled`, `leftover`, `index`, `missing`, `size`, `sha256`, `layout`,
    `wds-index`, `sidecars`, `header`, `checksum`, `sidecar`, `row`, `contract` or `decode`."""
    detail: str
    """What was expected and what was found."""
    shard: str = ""
    """Empty for the catalogue as a whole."""
    key: str = ""
    """The sample; empty for the shard as a whole."""


class ShardReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one shard."""

    shard: str
    expected: int
    """Samples that it should hold."""
    intact: int
    """Samples that passed every check; a reader refuses them all the same where the shard's size or index is wrong."""
    decoded: int = 0
    bytes: int = 0
    damage: tuple[Damage, ...] = ()


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a data set."""

    folder: str
    mode: Mode
    clean: bool
    shards: int
    samples: int
    """That it should hold."""
    intact: int
    lost: int
    """samples - intact."""
    decoded: int
    bytes: int
    condemned: tuple[str, ...]
    """Shards with any damage, by name."""
    damage: tuple[Damage, ...]


class _Job(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    listed: dict[str, Any] | None
    """Its row in the catalogue; None where the catalogue does not know it or cannot be read."""
    has_catalogue: bool
    full: bool
    share: float


Progress = Callable[[int, int], None]
"""Called with the shards that are checked and all shards."""


def verify(
    folder: Path | str,
    *,
    mode: Mode = "quick",
    share: float = 1.0,
    workers: int = 1,
    strict: bool = False,
    progress: Progress = lambda done, total: None,
) -> Verification:
    """Check a data set on disk. Nothing is changed.

    Args:
        mode: `quick` holds catalogue, indexes, sizes and every header against each other, and reads no payload. `full` also
            reads every byte: SHA-256 of each tar, CRC32 of each member, each sidecar against its members, and decodes.
        share: how much of the samples `full` decodes, in [0, 1]; which ones depends on their keys alone.
        workers: processes.
        strict: raise at the first damaged shard instead of counting.

    Raises:
        CatalogueError: `folder` holds no shard and no catalogue.
        ShardError: with `strict`, the first damage.
        ValueError: `share` is out of range.
    """
    folder = Path(folder)
    if not 0 <= share <= 1:
        raise ValueError(f"share {share}: allowed is 0 to 1")
    listed, damage = _catalogue(folder)
    names = sorted({*(listed or ()), *_names(folder)})
    if not names and damage:
        raise CatalogueError(f"{folder}: no shards and no catalogue here; `unreel build` writes them")
    damage += _leftovers(folder)
    jobs = [
        _Job(
            path=str(folder / f"{name}.tar"),
            listed=(listed or {}).get(name),
            has_catalogue=listed is not None,
            full=mode == "full",
            share=share,
        )
        for name in names
    ]
    reports = []
    with Pool(workers) as pool:
        for report in pool.run(_run, jobs):
            reports.append(report)
            progress(len(reports), len(jobs))
            if strict and (found := [*damage, *report.damage]):
                raise ShardError(_sentence(folder, found[0], report))
    return _summarise(folder, mode, damage, sorted(reports, key=lambda report: report.shard))


def verify_shard(path: Path, *, full: bool = True, share: float = 1.0) -> ShardReport:
    """Check one shard and its index, without a catalogue."""
    return _run(_Job(path=str(path), listed=None, has_catalogue=False, full=full, share=share))


def _catalogue(folder: Path) -> tuple[dict[str, dict[str, Any]] | None, list[Damage]]:
    """Name → row of each shard that the catalogue lists; None where it cannot be read."""
    try:
        summary, table = open_tables(folder)
    except CatalogueError as error:
        return None, [Damage(check="catalogue", detail=str(error))]
    rows = {row["name"]: row for row in table.to_pylist()}
    return rows, list(_totals(summary, table))


def _totals(summary: Summary, table: pa.Table) -> Iterator[Damage]:
    found = (len(table), sum(table["samples"].to_pylist()), sum(table["bytes"].to_pylist()))
    stated = (summary.shards, summary.samples, summary.bytes)
    for what, expected, counted in zip(("shards", "samples", "bytes"), stated, found, strict=True):
        if expected != counted:
            yield Damage(
                check="catalogue",
                detail=f"catalogue.json expects {expected} {what}, catalogue.arrow has {counted}",
            )


def _names(folder: Path) -> Iterator[str]:
    for suffix in (INDEX_SUFFIX, ".tar"):
        yield from (path.name.removesuffix(suffix) for path in folder.glob(f"[!.]*{suffix}"))


def _leftovers(folder: Path) -> list[Damage]:
    found = {
        "unsettled": "a change of a shard was killed; give that command again, or repair",
        "leftover": "half of a file that a killed program was writing; give that command again, or repair",
    }
    patterns = {"unsettled": ".*.intent", "leftover": ".*.partial"}
    return [
        Damage(check=check, detail=f"{path.name}: {found[check]}")
        for check, pattern in patterns.items()
        for path in sorted(folder.glob(pattern))
    ]


def _run(job: _Job) -> ShardReport:
    path = Path(job.path)
    listed = job.listed["samples"] if job.listed else 0
    try:
        data = index_path(path).read_bytes()
        index = parse_index(data, index_path(path))
    except FileNotFoundError:
        return _lost(path, listed, "index" if job.listed else "uncommitted", f"no {index_path(path).name}")
    except ShardError as error:
        return _lost(path, listed, "index", str(error))
    if not path.exists():
        expected = f"expected {len(index.samples)} samples in {index.bytes} bytes, found no file"
        return _lost(path, len(index.samples), "missing", expected)
    with path.open("rb") as file:
        size = file.seek(0, 2)
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) if size else memoryview(b"")
    return _Shard(path, index, view, job).report(_against_catalogue(job, index, data))


def _lost(path: Path, samples: int, check: str, detail: str) -> ShardReport:
    if check == "uncommitted":
        detail += ": the shard was never committed; give the command that was writing it again, or delete it"
    damage = Damage(shard=path.stem, check=check, detail=detail)
    return ShardReport(shard=path.stem, expected=samples, intact=0, damage=(damage,))


def _against_catalogue(job: _Job, index: ShardIndex, data: bytes) -> Iterator[Damage]:
    if job.listed is None:
        if job.has_catalogue:
            yield Damage(
                check="catalogue", shard=index.shard, detail="the catalogue does not list this shard"
            )
        return
    found = {
        "samples": len(index.samples),
        "bytes": index.bytes,
        "sha256": content_digest(index),
        "index_crc32": zlib.crc32(data),
    }
    for name, value in found.items():
        if job.listed[name] != value:
            shown = [part.hex() if isinstance(part, bytes) else part for part in (job.listed[name], value)]
            detail = f"the catalogue expects {name} {shown[0]}, the index has {shown[1]}"
            yield Damage(check="catalogue", shard=index.shard, detail=detail)


class _Shard:
    """One shard whose index could be read."""

    def __init__(self, path: Path, index: ShardIndex, view: memoryview, job: _Job) -> None:
        self.path, self.index, self.view, self.job = path, index, view, job
        self.sidecars: memoryview | None = None
        self.decoded = 0

    def report(self, first: Iterator[Damage]) -> ShardReport:
        whole = [*first, *self._whole()]
        samples = {row.key: list(self._sample(row)) for row in self.index.samples}
        return ShardReport(
            shard=self.index.shard,
            expected=len(self.index.samples),
            intact=sum(not damage for damage in samples.values()),
            decoded=self.decoded,
            bytes=len(self.view),
            damage=(*whole, *(found for damage in samples.values() for found in damage)),
        )

    def _whole(self) -> Iterator[Damage]:
        index = self.index
        if len(self.view) != index.bytes:
            yield self._damage(
                "size",
                f"expected {len(index.samples)} samples in {index.bytes} bytes, found {len(self.view)} bytes",
            )
        elif self.job.full and (found := hashlib.sha256(self.view).hexdigest()) != index.sha256:
            yield self._damage("sha256", f"expected a tar with SHA-256 {index.sha256}, found {found}")
        if len({row.key for row in index.samples}) != len(index.samples):
            yield self._damage("index", "expected keys that differ, found one twice")
        yield from self._side_file()
        yield from self._layout()
        wds = self.path.with_suffix(".idx")
        if not wds.exists() or wds.read_bytes() != wds_index(index):
            what = "another one" if wds.exists() else "no file"
            yield self._damage(
                "wds-index", f"{wds.name}: expected the wds2idx text of the index, found {what}"
            )

    def _side_file(self) -> Iterator[Damage]:
        expected = self.index.sidecars
        if expected is None:
            return
        path = self.path.with_suffix(SIDECARS_SUFFIX)
        data = path.read_bytes() if path.exists() else b""
        if (len(data), hashlib.sha256(data).hexdigest()) != (expected.bytes, expected.sha256):
            yield self._damage("sidecars", f"{path.name}: expected {expected}, found {len(data)} bytes")
        self.sidecars = memoryview(data)

    def _layout(self) -> Iterator[Damage]:
        """Our tars hold the members of the index one after the other, and nothing else."""
        if self.index.sidecars is not None or self.index.partial:
            return
        position = 0
        for row in self.index.samples:
            for member in row.members:
                if member.offset != position + BLOCK:
                    detail = f"expected {member.name} at {position + BLOCK}, the index says {member.offset}"
                    yield self._damage("layout", detail, row.key)
                    return
                position = member.offset + member.size + -member.size % BLOCK
        if self.index.bytes != position + 2 * BLOCK or any(self.view[position:]):
            detail = f"expected the end of the tar at {position}, after {len(self.index.samples)} samples"
            yield self._damage(
                "layout", f"{detail}; found {len(self.view) - position} bytes more that are not zero"
            )

    def _sample(self, row: SampleRow) -> Iterator[Damage]:
        broken = [damage for member in row.members if (damage := self._member(row, member)) is not None]
        yield from broken
        if not broken and self.job.full:
            members = {member.name: self._payload(member) for member in row.members}
            yield from self._content(row, members)

    def _member(self, row: SampleRow, member: Member) -> Damage | None:
        if not self._in_side_file(member):
            block = bytes(self.view[max(0, member.offset - BLOCK) : member.offset])
            if not _header_holds(row, member, block):
                return self._damage(
                    "header",
                    f"{member.name}: expected its header of {member.size} bytes, found another block",
                    row.key,
                )
        payload = self._payload(member)
        if len(payload) != member.size:
            detail = f"{member.name}: expected {member.size} bytes at {member.offset}, found {len(payload)}"
            return self._damage("size", detail, row.key)
        if self.job.full and (found := zlib.crc32(payload)) != member.crc32:
            detail = f"{member.name}: expected CRC32 {member.crc32:08x}, found {found:08x}"
            return self._damage("checksum", detail, row.key)
        return None

    def _content(self, row: SampleRow, members: Mapping[str, memoryview]) -> Iterator[Damage]:
        if "json" not in members:
            yield self._damage("sidecar", "expected a member json, found none", row.key)
            return
        try:
            sidecar = read_sidecar(members["json"])
        except ShardError as error:
            yield self._damage("sidecar", str(error), row.key)
            return
        yield from self._described(row, sidecar, members)

    def _described(
        self, row: SampleRow, sidecar: Sidecar, members: Mapping[str, memoryview]
    ) -> Iterator[Damage]:
        if (found := self._differs(row, sidecar)) is not None:
            yield self._damage("row", found, row.key)
        sizes = {name: len(payload) for name, payload in members.items() if name != "json"}
        breaches = list(contract_breaches(sidecar, sizes))
        yield from (self._damage("contract", breach, row.key) for breach in breaches)
        if not breaches and _chosen(row.key, self.job.share):
            self.decoded += 1
            theirs = self.index.sidecars is not None
            for breach in decode_breaches(sidecar, members, longer_sound=theirs):
                yield self._damage("decode", breach, row.key)

    def _differs(self, row: SampleRow, sidecar: Sidecar) -> str | None:
        expected = row_of(sidecar, row.members)
        current = self.index.schema == f"{INDEX_SCHEMA[0]}.{INDEX_SCHEMA[1]}"
        for name in SampleRow.__struct_fields__ if current else _ROW_OF_ANY_VERSION:
            if getattr(row, name) != getattr(expected, name):
                return f"the sidecar says {name} {getattr(expected, name)}, the index {getattr(row, name)}"
        return None

    def _in_side_file(self, member: Member) -> bool:
        return self.index.sidecars is not None and member.name == "json"

    def _payload(self, member: Member) -> memoryview:
        view = self.sidecars if self._in_side_file(member) and self.sidecars is not None else self.view
        return view[member.offset : member.offset + member.size]

    def _damage(self, check: str, detail: str, key: str = "") -> Damage:
        return Damage(shard=self.index.shard, key=key, check=check, detail=detail)


def _header_holds(row: SampleRow, member: Member, block: bytes) -> bool:
    if member.header_crc32 is not None:
        return len(block) == BLOCK and zlib.crc32(block) == member.header_crc32
    return block == tar_header(f"{row.key}.{member.name}", member.size)


def _chosen(key: str, share: float) -> bool:
    """Whether a sample is among the `share` that is decoded: the same ones each time."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest()) < share * 2.0**64


def _sentence(folder: Path, damage: Damage, report: ShardReport) -> str:
    where = folder / f"{damage.shard}.tar" if damage.shard else folder
    sample = f", sample {damage.key}" if damage.key else ""
    counts = f" ({report.intact} of {report.expected} samples are intact)" if damage.shard else ""
    return f"{where}{sample}: {damage.check}: {damage.detail}{counts}"


def _summarise(folder: Path, mode: Mode, damage: list[Damage], reports: list[ShardReport]) -> Verification:
    found = (*damage, *(part for report in reports for part in report.damage))
    samples, intact = sum(report.expected for report in reports), sum(report.intact for report in reports)
    return Verification(
        folder=str(folder),
        mode=mode,
        clean=not found,
        shards=len(reports),
        samples=samples,
        intact=intact,
        lost=samples - intact,
        decoded=sum(report.decoded for report in reports),
        bytes=sum(report.bytes for report in reports),
        condemned=tuple(report.shard for report in reports if report.damage),
        damage=found,
    )
