"""Bring a data set of an older version to the current one: sidecars and indexes change, media stay byte for byte."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from unreel.shards.care.migrations import Version, version_of
from unreel.shards.care.rewrite import committed_shards, rewrite
from unreel.shards.catalogue import read_index
from unreel.shards.errors import CatalogueError
from unreel.shards.index import INDEX_SCHEMA, ShardIndex
from unreel.shards.reader import read_shard
from unreel.shards.sample import SCHEMA, Sidecar

__all__ = ["Migration", "migrate"]

Progress = Callable[[int, int], None]


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """What was found and done."""

    to: str
    """The current version of the sidecar."""
    shards: int
    samples: int
    outdated: dict[str, int]
    """Version of the sidecar → samples that have it, of those older than `to` or with an older index."""
    rewritten: int
    """Shards; in a dry run those that would be."""
    indexed: tuple[str, ...]
    """Older shards whose tars belong to others: `unreel index` writes their sidecars anew."""
    done: bool
    """False in a dry run."""


def migrate(
    folder: Path | str, *, dry_run: bool = False, progress: Progress = lambda done, total: None
) -> Migration:
    """Write the shards in `folder` that are older than this program anew, one after the other and each in one step.

    Stopped at any moment, the same call does the rest.

    Raises:
        CatalogueError: there is no data set, or another process is writing there.
        ShardError: a shard is damaged, or its major version is newer than this program; nothing is changed before all
            versions are known.
    """
    folder = Path(folder)
    shards = committed_shards(folder)
    if not shards:
        raise CatalogueError(f"{folder}: no shard with an index; was a build finished here?")
    indexes = {path: read_index(path) for path in shards}
    found = {path: Counter(_versions(path)) for path in shards}
    old = {path for path in shards if _is_old(indexes[path], found[path])}
    theirs = {path for path in old if indexes[path].sidecars is not None or indexes[path].partial}
    names = {path.stem for path in old - theirs}
    if not dry_run:
        rewrite(folder, keep, only=lambda index: index.shard in names, progress=progress)
    return Migration(
        to="{}.{}".format(*SCHEMA),
        shards=len(shards),
        samples=sum(len(index.samples) for index in indexes.values()),
        outdated={
            "{}.{}".format(*version): count
            for version, count in sorted(sum((found[path] for path in old), Counter()).items())
        },
        rewritten=len(names),
        indexed=tuple(sorted(path.stem for path in theirs)),
        done=not dry_run,
    )


def keep(sidecar: Sidecar, members: Mapping[str, memoryview]) -> Sidecar:
    """The change that changes nothing: `rewrite` itself writes the current version."""
    return sidecar


def _versions(path: Path) -> list[Version]:
    """The version of each sample's sidecar; the media are not read."""
    return [version_of(sample.sidecar.schema) for sample in read_shard(path, members=())]


def _is_old(index: ShardIndex, versions: Counter[Version]) -> bool:
    return version_of(index.schema) < INDEX_SCHEMA or any(version < SCHEMA for version in versions)
