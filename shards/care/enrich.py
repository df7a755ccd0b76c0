"""Add facts to a data set that unreel built: its sidecars are written anew, its media stay byte for byte."""

from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from unreel.shards.care.rewrite import RewriteSummary, committed_shards, rewrite
from unreel.shards.catalogue import read_index, read_summary
from unreel.shards.errors import CatalogueError
from unreel.shards.making.measure import add_facts, check_facts
from unreel.shards.making.profiles import Profile

__all__ = ["enrich", "is_ours"]

Progress = Callable[[int, int], None]


def is_ours(folder: Path) -> bool:
    """Whether the shards in `folder` hold their own sidecars; tars of others, indexed or not, do not."""
    if not (folder / "catalogue.json").exists():
        return False
    shards = committed_shards(folder)
    return bool(shards) and all(read_index(path).sidecars is None for path in shards)


def enrich(
    folder: Path | str,
    facts: Collection[str],
    *,
    again: bool = False,
    workers: int = 1,
    progress: Progress = lambda done, total: None,
) -> RewriteSummary:
    """Measure `facts` of every sample in `folder` that lacks them, with the thresholds of the profile of its build.

    Args:
        again: also measure those that were measured before.

    Raises:
        ValueError: there is no fact of a name.
        CatalogueError: `folder` is no data set, or merged from several.
        ShardError, MediaRefused: a shard is damaged, or a member does not decode; the shards before it are done.
    """
    names, folder = check_facts(facts), Path(folder)
    change = add_facts(names, profile=_profile(folder), again=again)
    return rewrite(folder, change, workers=workers, progress=progress)


def _profile(folder: Path) -> Profile:
    summary = read_summary(folder)
    if "parts" in summary.profile:
        raise CatalogueError(
            f"{folder}: merged from several data sets; measure the facts of each of them, then merge again"
        )
    try:
        return msgspec.convert(summary.profile, Profile)
    except (msgspec.ValidationError, ValueError) as error:
        raise CatalogueError(
            f"{folder}/catalogue.json: expected a build profile, found {summary.profile}: {error}"
        ) from error
