"""`unreel merge`: one catalogue over several data sets."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from unreel.tools.console import console, write_result

__all__ = ["merge"]


def merge(
    out: Annotated[Path, typer.Argument(help="An empty folder for the catalogue.")],
    folders: Annotated[list[Path], typer.Argument(help="Folders of shards.")],
    copy: Annotated[bool, typer.Option("--copy", help="Copy the tars instead of linking to them.")] = False,
    json: Annotated[
        str | None, typer.Option(help="Write the result to this file; - for standard output.")
    ] = None,
) -> None:
    """One catalogue over several folders of shards. The tars stay where they are: OUT holds links and indexes.

    Shards of different builders may stand beside each other there; the catalogue names all their identities. Recordings that
    are in more than one folder are counted.

    Example: `unreel merge all/ shards-a/ shards-b/`
    """
    import msgspec

    from unreel.shards.care.parts import merge as merge_folders

    found = merge_folders(out, folders, copy=copy)
    if found.shared_sources:
        console.print(f"{found.shared_sources} recordings are in more than one of the folders")
    console.print(
        f"{found.samples} samples in {found.shards} shards of {found.identities} builder identities "
        f"in {escape(str(out))}"
    )
    write_result(msgspec.to_builtins(found), json)
