"""The folder that a build writes: begun once, never mixed with another identity or other sources."""

from pathlib import Path

import msgspec

from unreel.shards.errors import CatalogueError, IdentityMismatch
from unreel.shards.files import write_atomic
from unreel.shards.identity import differences
from unreel.shards.index import INDEX_SUFFIX

__all__ = ["Plan", "begin", "has_begun"]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder was begun as: the content of `plan.json`."""

    identity: dict[str, str]
    shards: int
    digest: str
    """Over the sources and their division into shards."""
    keep: tuple[str, ...] = ()
    """Rules that a clip keeps to, as `keep.read_rules` orders and writes them."""


def has_begun(folder: Path) -> bool:
    """Whether a build was begun here: its sources and their division into shards are settled."""
    return (folder / "plan.json").exists()


def begin(folder: Path, plan: Plan) -> None:
    """Write down what is built here, or check that the same was begun before.

    Raises:
        IdentityMismatch: another builder began it.
        CatalogueError: it was begun with other sources or other rules, or holds shards that no builder's plan speaks of.
    """
    path = folder / "plan.json"
    if not path.exists():
        if next(folder.glob(f"*{INDEX_SUFFIX}"), None) is not None:
            raise CatalogueError(f"{folder}: holds shards but no plan.json; build into an empty folder")
        write_atomic(path, msgspec.json.format(msgspec.json.encode(plan)) + b"\n")
        return
    try:
        begun = msgspec.json.decode(path.read_bytes(), type=Plan)
    except msgspec.DecodeError as error:
        raise CatalogueError(f"{path}: not the plan of a build: {error}") from error
    if begun.identity != plan.identity:
        raise IdentityMismatch(
            f"{folder}: begun by another builder: {differences(begun.identity, plan.identity)}; "
            "use that builder again, or an empty folder"
        )
    if begun.keep != plan.keep:
        raise CatalogueError(
            f"{folder}: begun to keep {_worded(begun.keep)}, and now to keep {_worded(plan.keep)}; "
            "give the same rules, or an empty folder"
        )
    if begun.digest != plan.digest:
        raise CatalogueError(
            f"{folder}: begun with other sources or labels ({begun.shards} shards there, {plan.shards} here); "
            "give the same sources, or an empty folder"
        )


def _worded(rules: tuple[str, ...]) -> str:
    return f"clips of {' and '.join(rules)}" if rules else "all clips"
