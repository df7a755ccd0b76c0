"""`unreel migrate`: bring the sidecars of an older data set to the current version."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from unreel.tools.console import console, progress, write_result

if TYPE_CHECKING:
    from unreel.shards.care.migrate import Migration

__all__ = ["migrate"]


def migrate(
    folder: Annotated[Path, typer.Argument(help="A folder of shards.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")
    ] = False,
    json: Annotated[
        str | None, typer.Option(help="Write the result to this file; - for standard output.")
    ] = None,
) -> None:
    """Bring a data set of an older version to the current one.

    Sidecars and indexes are written anew, one shard after the other and each in one step; pictures and sound stay byte
    for byte. Stopped at any moment, the same command does the rest. Older versions are read without it, too: it adds
    what newer ones know by name. Facts that came later are measured by `unreel index --facts`.

    A data set of a newer major version is refused by name, and nothing is changed.

    Example: `unreel migrate shards/ --dry-run`
    """
    import msgspec

    from unreel.shards.care.migrate import migrate as migrate_folder

    with progress(None, "writing sidecars anew") as ticker:
        found = migrate_folder(folder, dry_run=dry_run, progress=ticker.follow)
    _print(found)
    write_result(msgspec.to_builtins(found), json)


def _print(found: "Migration") -> None:
    versions = ", ".join(f"{count} of {version}" for version, count in found.outdated.items()) or "none"
    console.print(f"{found.samples} samples in {found.shards} shards; older than {found.to}: {versions}")
    verb = "wrote" if found.done else "would write"
    console.print(f"{verb} {found.rewritten} shards anew")
    for name in found.indexed:
        console.print(f"left {escape(name)}: a tar of others; `unreel index` writes its sidecars anew")
