"""`unreel remove`: take sources out of a data set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from unreel.tools.console import Exit, console, progress, write_result

if TYPE_CHECKING:
    from unreel.shards.care.removal import Removal

__all__ = ["remove"]


def remove(
    folder: Annotated[Path, typer.Argument(help="A folder of shards.")],
    source: Annotated[
        list[str] | None, typer.Option(help="Id or name of a source; can be given several times.")
    ] = None,
    takedown: Annotated[
        list[str] | None, typer.Option(help="Takedown id of sources; can be given several times.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")
    ] = False,
    json: Annotated[
        str | None, typer.Option(help="Write the result to this file; - for standard output.")
    ] = None,
) -> None:
    """Take sources out of a data set: every sample of them, and what the reports say of them.

    The shards that hold them are written anew without them, one after the other and each in one step, and the catalogue
    is compiled again. Stopped at any moment, the same command does the rest.

    Exit code 1: something was asked for that is not there.

    Example: `unreel remove shards/ --takedown 2026-117 --dry-run`
    """
    import msgspec

    from unreel.shards.care.removal import Wanted
    from unreel.shards.care.removal import remove as remove_sources

    wanted = Wanted(sources=tuple(source or ()), takedowns=tuple(takedown or ()))
    with progress(None, "writing shards anew") as ticker:
        found = remove_sources(folder, wanted, dry_run=dry_run, progress=ticker.follow)
    _print(found)
    write_result(msgspec.to_builtins(found), json)
    raise typer.Exit(Exit.FAILED if found.unmatched else Exit.DONE)


def _print(found: "Removal") -> None:
    if found.removed:
        table = Table("source", "name", "takedown", "samples", "MB", "shards", title_justify="left")
        for source in found.removed:
            size, shards = f"{source.bytes / 1e6:.1f}", " ".join(source.shards)
            name, takedown = escape(source.name), escape(source.takedown_id or "")
            table.add_row(source.id, name, takedown, str(source.samples), size, shards)
        console.print(table)
    for name in found.unmatched:
        console.print(f"[bold red]not here:[/] {escape(name)}")
    verb = "removed" if found.done else "would remove"
    console.print(
        f"{verb} {found.samples_removed} samples of {len(found.removed)} sources; {found.samples_left} samples left; "
        f"{found.shards_rewritten} shards written anew, {found.shards_removed} gone"
    )
