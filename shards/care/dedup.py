"""Take near-duplicates out of a data set: the shards that hold them are issued anew without them.

What went stays known in `duplicates.json`, so that neither a repair nor a build that goes on brings it back.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec

from unreel.shards.build import BuildSummary, SourceReport
from unreel.shards.care.duplicates import Candidate, Duplicate, find_duplicates
from unreel.shards.care.likeness import Likeness, Trace, trace_of
from unreel.shards.care.removal import check_own
from unreel.shards.care.rewrite import committed_shards, rewrite_shard
from unreel.shards.catalogue import Catalogue, read_index, recompile_catalogue
from unreel.shards.commit import settle_folder
from unreel.shards.errors import CatalogueError
from unreel.shards.files import write_atomic
from unreel.shards.lock import locked
from unreel.shards.reader import Reader
from unreel.shards.sample import Sidecar

__all__ = ["DUPLICATES_NAME", "Deduplication", "dedup", "drop_again", "read_duplicates"]

DUPLICATES_NAME: Final = "duplicates.json"
_REPORTS_SUFFIX: Final = ".reports.json"
_TRACES: Final = 4096
"""Curves kept in memory, 2 KB each."""

Progress = Callable[[str, int, int], None]
"""Called with a stage (`read`, `compare`, `write`), what is through it, and all."""


class Deduplication(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, and what became of it."""

    done: bool
    """False for a trial."""
    likeness: Likeness
    samples: int
    """That were looked at."""
    unmeasured: int
    """Of them without hashes, which are never duplicates: sound alone, or older sidecars (`unreel migrate` says which)."""
    duplicates: tuple[Duplicate, ...]
    shards_rewritten: int = 0
    shards_removed: int = 0
    samples_left: int


def dedup(
    folder: Path | str,
    likeness: Likeness | None = None,
    *,
    same_source: bool = False,
    dry_run: bool = False,
    progress: Progress = lambda stage, done, total: None,
) -> Deduplication:
    """Find the near-duplicates in `folder`, within and across its shards, and drop them.

    Stopped at any moment, the same call does the rest: what was kept is kept again.

    Raises:
        CatalogueError: no data set, another process is writing, or a shard that holds one is not its own (indexed in place or
            linked; a trial takes them).
        ShardError: a shard is damaged; it is left as it was. Repair it first.
    """
    folder, likeness = Path(folder), likeness or Likeness()
    if dry_run:
        return _found(Catalogue.open(folder), likeness, same_source, progress)
    if not (folder / "catalogue.json").exists():
        raise CatalogueError(f"{folder}: no catalogue.json here; `unreel build` and `unreel index` write it")
    with locked(folder):
        settle_folder(folder)
        if committed_shards(folder):
            recompile_catalogue(folder)
        found = _found(Catalogue.open(folder), likeness, same_source, progress)
        check_own(folder, {duplicate.shard for duplicate in found.duplicates})
        _log(folder, found.duplicates)
        return _dropped(folder, found, progress)


def drop_again(folder: Path) -> None:
    """Drop what `duplicates.json` names and a repair has built again. Raises as `dedup` does."""
    keys = _by_shard(read_duplicates(folder))
    back = [path.stem for path in committed_shards(folder) if _holds(path, keys.get(path.stem, frozenset()))]
    wanted = {shard: keys[shard] for shard in back}
    if wanted:
        with locked(folder):
            for shard, some in wanted.items():
                rewrite_shard(folder / f"{shard}.tar", _without(some))
            recompile_catalogue(folder)


def _holds(path: Path, keys: frozenset[str]) -> bool:
    return any(row.key in keys for row in read_index(path).samples)


def read_duplicates(folder: Path) -> tuple[Duplicate, ...]:
    """All that was ever dropped from `folder`."""
    path = folder / DUPLICATES_NAME
    return msgspec.json.decode(path.read_bytes(), type=tuple[Duplicate, ...]) if path.exists() else ()


def _found(catalogue: Catalogue, likeness: Likeness, same_source: bool, progress: Progress) -> Deduplication:
    reader = Reader(catalogue)
    candidates: list[Candidate] = []
    places: list[tuple[int, int]] = []
    for done, (shard, ordinal, _) in enumerate(catalogue.rows()):
        sample = reader.read(shard, ordinal, members=())
        if len(sample.sidecar.facts.hashes):
            candidates.append(_candidate(sample.shard, sample.sidecar))
            places.append((shard, ordinal))
        progress("read", done + 1, len(catalogue))

    @lru_cache(_TRACES)
    def trace(number: int) -> Trace:
        return trace_of(reader.read(*places[number], members=()).sidecar)

    duplicates = find_duplicates(
        candidates,
        trace,
        likeness,
        same_source=same_source,
        progress=lambda done, total: progress("compare", done, total),
    )
    return Deduplication(
        done=False,
        likeness=likeness,
        samples=len(catalogue),
        unmeasured=len(catalogue) - len(candidates),
        duplicates=tuple(sorted(duplicates, key=lambda found: (found.shard, found.key))),
        samples_left=len(catalogue) - len(duplicates),
    )


def _candidate(shard: str, sidecar: Sidecar) -> Candidate:
    shape, original = sidecar.video or sidecar.image, sidecar.original
    return Candidate(
        shard=shard,
        key=sidecar.key,
        source=sidecar.source.id,
        words=sidecar.facts.hash_words.copy(),
        still=sidecar.video is None,
        pixels=shape.width * shape.height if shape else 0,
        original_pixels=original.width * original.height if original else 0,
        sound=sidecar.audio is not None,
    )


def _dropped(folder: Path, found: Deduplication, progress: Progress) -> Deduplication:
    wanted = _by_shard(found.duplicates)
    rewritten = removed = 0
    for done, (shard, keys) in enumerate(sorted(wanted.items())):
        path = folder / f"{shard}.tar"
        if all(row.key in keys for row in read_index(path).samples):
            _report_gone(folder, shard)
        left = rewrite_shard(path, _without(keys))
        rewritten, removed = rewritten + (left is not None), removed + (left is None)
        progress("write", done + 1, len(wanted))
    if wanted:
        recompile_catalogue(folder)
    return msgspec.structs.replace(found, done=True, shards_rewritten=rewritten, shards_removed=removed)


def _without(keys: frozenset[str]) -> Callable[[Sidecar, Mapping[str, memoryview]], Sidecar | None]:
    return lambda sidecar, members: None if sidecar.key in keys else sidecar


def _by_shard(duplicates: Iterable[Duplicate]) -> dict[str, frozenset[str]]:
    keys: dict[str, set[str]] = {}
    for duplicate in duplicates:
        keys.setdefault(duplicate.shard, set()).add(duplicate.key)
    return {shard: frozenset(some) for shard, some in keys.items()}


def _log(folder: Path, duplicates: tuple[Duplicate, ...]) -> None:
    """Written first, so that a kill between here and the end is known of."""
    if duplicates:
        known = {(found.shard, found.key): found for found in (*read_duplicates(folder), *duplicates)}
        text = msgspec.json.encode([known[place] for place in sorted(known)])
        write_atomic(folder / DUPLICATES_NAME, msgspec.json.format(text) + b"\n")


def _report_gone(folder: Path, shard: str) -> None:
    """Of a shard that goes: its sources are `skipped`, so that a build that goes on does not build it again."""
    path = folder / f"{shard}{_REPORTS_SUFFIX}"
    if not path.exists():
        return
    reports = msgspec.json.decode(path.read_bytes(), type=list[SourceReport])
    gone = {report.source for report in reports if report.samples}
    write_atomic(path, msgspec.json.encode([_gone(report, gone) for report in reports]) + b"\n")
    summary_path = folder / "build.json"
    if summary_path.exists():
        summary = msgspec.json.decode(summary_path.read_bytes(), type=BuildSummary)
        told = [_gone(report, gone) for report in summary.reports]
        summary = msgspec.structs.replace(
            summary,
            done=sum(report.status == "done" for report in told),
            skipped=sum(report.status == "skipped" for report in told),
            samples=sum(report.samples for report in told),
            reports=tuple(told),
        )
        write_atomic(summary_path, msgspec.json.format(msgspec.json.encode(summary)) + b"\n")


def _gone(report: SourceReport, sources: set[str]) -> SourceReport:
    if report.source not in sources:
        return report
    return msgspec.structs.replace(
        report,
        status="skipped",
        reason="near-duplicate",
        detail=f"all its samples are in others, see {DUPLICATES_NAME}",
        samples=0,
    )
