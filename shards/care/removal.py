"""Take sources out of a data set: their samples, and what the folder's reports say of them.

Only the shards that hold them are written anew; their other samples are copied byte for byte. Stopped at any moment, the same
call does the rest, and no reader ever sees a mixture.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from unreel.shards.build import BuildSummary, SourceReport, all_filtered
from unreel.shards.care.rewrite import committed_shards, rewrite
from unreel.shards.catalogue import read_index
from unreel.shards.commit import settle_folder
from unreel.shards.errors import CatalogueError
from unreel.shards.files import write_atomic
from unreel.shards.lock import locked
from unreel.shards.reader import read_shard
from unreel.shards.sample import Sidecar, Source

__all__ = [
    "LOG_NAME",
    "Log",
    "Removal",
    "Removed",
    "Wanted",
    "check_own",
    "find_removed",
    "read_log",
    "remove",
]

LOG_NAME: Final = "removed.json"
"""Beside the catalogue: what was removed, so that a repair does not bring it back. It holds ids and no names."""

_REPORTS_SUFFIX: Final = ".reports.json"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is to go; a sample goes where any of these names it."""

    sources: tuple[str, ...] = ()
    """`Source.id`, 16 hex digits, or `Source.name`."""
    takedowns: tuple[str, ...] = ()
    """`Source.takedown_id`."""

    def named_by(self, source: Source) -> list[str]:
        """Which of these name a source."""
        sources = [name for name in self.sources if name in (source.id, source.name)]
        return sources + [name for name in self.takedowns if name == source.takedown_id]


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """One source that goes."""

    id: str
    name: str
    takedown_id: str | None
    licence: str | None
    url: str | None
    shards: tuple[str, ...]
    samples: int
    bytes: int
    """Of its members."""


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """What was removed, or would be."""

    done: bool
    """False for a trial."""
    removed: tuple[Removed, ...]
    unmatched: tuple[str, ...]
    """What was asked for and names no sample here."""
    shards_rewritten: int
    shards_removed: int
    samples_removed: int
    samples_left: int


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """What was ever removed from a folder."""

    sources: tuple[str, ...] = ()
    takedowns: tuple[str, ...] = ()


Progress = Callable[[int, int], None]
"""Called with the shards that are done and all that are written anew."""


def remove(
    folder: Path | str,
    wanted: Wanted,
    *,
    dry_run: bool = False,
    progress: Progress = lambda done, total: None,
) -> Removal:
    """Remove every sample that `wanted` names, and compile the catalogue anew.

    What came of a source in other folders (exports, features, checkpoints) is not known here and not touched.

    Raises:
        ValueError: `wanted` is empty.
        CatalogueError: no data set, another process is writing, or its tars are not its own (indexed in place or linked).
        ShardError: an affected shard is damaged; it is left as it was. Repair it first.
    """
    folder = Path(folder)
    if not wanted.sources and not wanted.takedowns:
        raise ValueError("nothing to remove: name at least one source or takedown id")
    with locked(folder):
        settle_folder(folder)
        removed = find_removed(folder, wanted)
        affected = {shard for source in removed for shard in source.shards}
        check_own(folder, affected)
        if not dry_run:
            _log(folder, wanted, removed)
            _scrub_reports(folder, removed)
    counts = _would_remove(folder, removed) if dry_run else _rewritten(folder, removed, affected, progress)
    return Removal(
        done=not dry_run, removed=tuple(removed), unmatched=_unmatched(folder, wanted, removed), **counts
    )


def _would_remove(folder: Path, removed: Sequence[Removed]) -> dict[str, int]:
    indexes = [read_index(path) for path in committed_shards(folder)]
    ids = {source.id for source in removed}
    left = [sum(row.source not in ids for row in index.samples) for index in indexes]
    touched = [count for count, index in zip(left, indexes, strict=True) if count != len(index.samples)]
    return {
        "shards_rewritten": sum(count > 0 for count in touched),
        "shards_removed": sum(count == 0 for count in touched),
        "samples_removed": sum(len(index.samples) for index in indexes) - sum(left),
        "samples_left": sum(left),
    }


def _rewritten(
    folder: Path, removed: Sequence[Removed], affected: Collection[str], progress: Progress
) -> dict[str, int]:
    ids = frozenset(source.id for source in removed)

    def keep(sidecar: Sidecar, members: object) -> Sidecar | None:
        return None if sidecar.source.id in ids else sidecar

    summary = rewrite(folder, keep, only=lambda index: index.shard in affected, progress=progress)
    return {
        "shards_rewritten": summary.rewritten,
        "shards_removed": summary.removed,
        "samples_removed": summary.dropped,
        "samples_left": summary.samples,
    }


def find_removed(folder: Path, wanted: Wanted) -> list[Removed]:
    """The sources that `wanted` names, by id, with all their samples."""
    ids = {source.id for _, source, _ in _samples(folder) if wanted.named_by(source)}
    found: dict[str, list[tuple[str, Source, int]]] = {}
    for shard, source, size in _samples(folder, ids):
        found.setdefault(source.id, []).append((shard, source, size))
    return [_summary(found[name]) for name in sorted(found)]


def _samples(folder: Path, ids: Collection[str] | None = None) -> Iterator[tuple[str, Source, int]]:
    """(shard, source, bytes) of each sample; of these sources only, where `ids` says so."""
    for path in committed_shards(folder):
        index = read_index(path)
        if ids is not None and not any(row.source in ids for row in index.samples):
            continue
        for sample in read_shard(path, members=()):
            if ids is None or sample.sidecar.source.id in ids:
                yield index.shard, sample.sidecar.source, sum(member.size for member in sample.row.members)


def _summary(samples: Sequence[tuple[str, Source, int]]) -> Removed:
    source = samples[0][1]
    return Removed(
        id=source.id,
        name=source.name,
        takedown_id=source.takedown_id,
        licence=source.licence,
        url=source.url,
        shards=tuple(sorted({shard for shard, _, _ in samples})),
        samples=len(samples),
        bytes=sum(size for _, _, size in samples),
    )


def _unmatched(folder: Path, wanted: Wanted, removed: Sequence[Removed]) -> tuple[str, ...]:
    found = {name for one in removed for name in (one.id, one.name, one.takedown_id)}
    log = read_log(folder)
    # A call that was killed and is made again finds nothing of what it has already removed.
    found |= {*log.sources, *log.takedowns}
    return tuple(name for name in (*wanted.sources, *wanted.takedowns) if name not in found)


def check_own(folder: Path, shards: Collection[str]) -> None:
    """Raises CatalogueError where one of the shards is indexed in place, a link, or a part: it is not this folder's to change."""
    for shard in sorted(shards):
        path = folder / f"{shard}.tar"
        index = read_index(path)
        if path.is_symlink() or index.partial or index.sidecars is not None:
            raise CatalogueError(
                f"{path}: this tar belongs to another folder or program and is only indexed here; "
                "change it where the tar was written, and index, merge or split again"
            )


def read_log(folder: Path) -> Log:
    """What was removed from `folder`; empty where nothing was."""
    path = folder / LOG_NAME
    return msgspec.json.decode(path.read_bytes(), type=Log) if path.exists() else Log()


def _log(folder: Path, wanted: Wanted, removed: Sequence[Removed]) -> None:
    """Written first, so that a kill between here and the end is known of."""
    if not removed:
        return
    log = read_log(folder)
    sources = {*log.sources, *(source.id for source in removed)}
    takedowns = {*log.takedowns, *(source.takedown_id for source in removed if source.takedown_id)}
    log = Log(sources=tuple(sorted(sources)), takedowns=tuple(sorted(takedowns)))
    write_atomic(folder / LOG_NAME, msgspec.json.format(msgspec.json.encode(log)) + b"\n")


def _scrub_reports(folder: Path, removed: Sequence[Removed]) -> None:
    """The builder's reports forget the sources' names. A removed source is `skipped`, so no resumed build takes it again."""
    paths: set[str] = set()
    for shard in sorted({shard for source in removed for shard in source.shards}):
        file = folder / f"{shard}{_REPORTS_SUFFIX}"
        if file.exists():
            reports = msgspec.json.decode(file.read_bytes(), type=list[SourceReport])
            places = _places(reports, folder / f"{shard}.tar", {source.id for source in removed})
            paths |= {reports[place].source for place in places}
            scrubbed = [_GONE if place in places else report for place, report in enumerate(reports)]
            write_atomic(file, msgspec.json.encode(scrubbed) + b"\n")
    file = folder / "build.json"
    if paths and file.exists():
        summary = msgspec.json.decode(file.read_bytes(), type=BuildSummary)
        write_atomic(file, msgspec.json.format(msgspec.json.encode(_scrubbed(summary, paths))) + b"\n")


_GONE: Final = SourceReport(source="", status="skipped", reason="removed", detail="removed on request")


def _places(reports: Sequence[SourceReport], path: Path, ids: Collection[str]) -> set[int]:
    """Where the reports on the sources `ids` stand. Reports and samples have one order, and some reports have no sample."""
    sources = {
        sample.sidecar.source.id: sample.sidecar.source.name for sample in read_shard(path, members=())
    }
    places: set[int] = set()
    at = 0
    for source, name in sources.items():
        following = (i for i in range(at, len(reports)) if Path(reports[i].source).as_posix().endswith(name))
        place = next(following, None)
        if place is not None:
            at = place + 1
            if source in ids:
                places.add(place)
    return places


def _scrubbed(summary: BuildSummary, paths: Collection[str]) -> BuildSummary:
    gone = [report for report in summary.reports if report.source in paths]
    names = [Path(path).name for path in paths]
    reports = [
        _GONE
        if report.source in paths
        else msgspec.structs.replace(report, detail="")
        if any(name in report.detail for name in names)
        else report
        for report in summary.reports
    ]
    return msgspec.structs.replace(
        summary,
        done=summary.done - len(gone),
        skipped=summary.skipped + len(gone),
        samples=summary.samples - sum(report.samples for report in gone),
        reports=tuple(reports),
        filtered=all_filtered(reports),
    )
