"""Re-issue committed shards sample by sample: sidecars change or samples go, media are copied byte for byte.

A shard is old or new, never a mixture, whenever the program ends; the same call made again does the rest. What is written
has the current schema and is what `ShardWriter` would write of the same samples. A rewritten shard keeps its builder
identity, which says who made the media. The digest of the catalogue changes with the bytes, so states of runs that were
saved before belong to the data set as it was.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from unreel.shards.care.migrations import upgrade_sidecar, version_of
from unreel.shards.catalogue import read_index, recompile_catalogue
from unreel.shards.commit import remove_shard, settle, settle_folder
from unreel.shards.errors import CatalogueError, ShardError
from unreel.shards.index import INDEX_SCHEMA, INDEX_SUFFIX, ShardIndex
from unreel.shards.lock import locked
from unreel.shards.pool import Pool
from unreel.shards.reader import read_shard
from unreel.shards.sample import Sidecar
from unreel.shards.writer import ShardWriter

__all__ = ["Change", "RewriteSummary", "committed_shards", "rewrite", "rewrite_shard"]

Change = Callable[[Sidecar, Mapping[str, memoryview]], Sidecar | None]
"""(sidecar of the current version, the sample's members) → the sidecar to write; None drops the sample."""

Progress = Callable[[int, int], None]
"""Called with the shards that are done and all shards."""


class RewriteSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the shards: `rewritten + unchanged + removed == shards`."""

    shards: int
    rewritten: int
    unchanged: int
    removed: int
    """Shards of which no sample was left."""
    samples: int
    """In what is left."""
    dropped: int


class _Job(msgspec.Struct, frozen=True):
    path: str
    change: Change


class _Outcome(msgspec.Struct, frozen=True):
    before: int
    after: int
    same: bool


def rewrite_shard(path: Path, change: Change) -> ShardIndex | None:
    """Re-issue the committed shard at `path`; its new index, or None where no sample is left and the shard was removed.

    Every member is checked against the index before it is copied. A shard that would come out as it is is left alone.

    Raises:
        ShardError: the shard was not committed, is damaged, is a tar of others, or is newer than this program. It is left
            as it was.
        ValueError: `change` gave a sidecar that does not go with the members, or a key twice.
    """
    settle(path)
    old = _readable_index(path)
    with ShardWriter(path, identity=old.identity) as writer:
        for sample in read_shard(path, parse=upgrade_sidecar):
            sidecar = change(sample.sidecar, sample.members)
            if sidecar is not None:
                media = {name: payload for name, payload in sample.members.items() if name != "json"}
                writer.add(sidecar, media)
        if len(writer):
            return writer.replace(old)
    remove_shard(path)
    return None


def rewrite(
    folder: Path | str,
    change: Change,
    *,
    only: Callable[[ShardIndex], bool] = lambda index: True,
    workers: int = 1,
    progress: Progress = lambda done, total: None,
) -> RewriteSummary:
    """Re-issue the shards in `folder` of which `only` says so, and compile the catalogue anew.

    Stopped at any moment, it can be called again: shards that come out as they are are left alone.

    Args:
        change: leaves its own result as it is, so that it may meet a sample twice; with more than one worker it is a
            function of a module, or `functools.partial` of one.
        workers: processes; copying alone is bound by the disk, so more than one pays where `change` computes.

    Raises:
        CatalogueError: another process is writing in the folder, or it holds no data set.
        ShardError, ValueError: see `rewrite_shard`; the shards before it are done.
    """
    folder = Path(folder)
    if not (folder / "catalogue.json").exists():
        raise CatalogueError(f"{folder}: no catalogue.json here; `unreel build` and `unreel index` write it")
    with locked(folder), Pool(workers) as pool:
        settle_folder(folder)
        shards = committed_shards(folder)
        jobs = [_Job(str(path), change) for path in shards if only(read_index(path))]
        outcomes: list[_Outcome] = []
        for outcome in pool.run(_run, jobs):
            outcomes.append(outcome)
            progress(len(outcomes), len(jobs))
        return _summarise(len(shards), outcomes, recompile_catalogue(folder))


def committed_shards(folder: Path) -> list[Path]:
    """The tars in `folder` that have an index, by name."""
    names = sorted(path.name.removesuffix(INDEX_SUFFIX) for path in folder.glob(f"*{INDEX_SUFFIX}"))
    return [folder / f"{name}.tar" for name in names]


def _run(job: _Job) -> _Outcome:
    path = Path(job.path)
    before = read_index(path)
    after = rewrite_shard(path, job.change)
    return _Outcome(len(before.samples), 0 if after is None else len(after.samples), after == before)


def _readable_index(path: Path) -> ShardIndex:
    index = read_index(path)
    if index.sidecars is not None or index.partial:
        raise ShardError(
            f"{path}: a tar of others, or a part of one, is indexed and never written anew; `unreel index` writes its sidecars"
        )
    if version_of(index.schema) > INDEX_SCHEMA:
        raise ShardError(
            f"{path}: index schema {index.schema} is newer than {INDEX_SCHEMA[0]}.{INDEX_SCHEMA[1]}: update unreel"
        )
    return index


def _summarise(shards: int, outcomes: Iterable[_Outcome], samples: int) -> RewriteSummary:
    changed = [outcome for outcome in outcomes if not outcome.same]
    removed = sum(outcome.after == 0 for outcome in changed)
    return RewriteSummary(
        shards=shards,
        rewritten=len(changed) - removed,
        unchanged=shards - len(changed),
        removed=removed,
        samples=samples,
        dropped=sum(outcome.before - outcome.after for outcome in changed),
    )
