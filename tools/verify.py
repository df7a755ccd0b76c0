"""`unreel verify`: is what is on disk what was written?"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.markup import escape
from rich.table import Table

from unreel.tools.console import Exit, console, progress, write_result

if TYPE_CHECKING:
    from unreel.shards.care.verify import Verification

__all__ = ["verify"]

# So many findings are shown on the screen; all of them are in the result.
_SHOWN: Final = 20


def verify(
    folder: Annotated[Path, typer.Argument(help="A folder of shards.")],
    full: Annotated[
        bool, typer.Option("--full", help="Read every byte, check every sidecar, decode every sample.")
    ] = False,
    sample: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the samples that --full decodes, such as 0.05.")
    ] = 1.0,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first damaged shard.")] = False,
    workers: Annotated[
        int | None, typer.Option(help="Processes, one core each.  [default: all cores]")
    ] = None,
    json: Annotated[
        str | None, typer.Option(help="Write the result to this file; - for standard output.")
    ] = None,
) -> None:
    """Check a folder of shards; nothing is changed.

    Quick: catalogue, indexes, sizes and all headers are held against each other. With --full also SHA-256 of every
    tar, CRC32 of every member, every sidecar against its members, and every frame and sound sample is decoded and counted.

    Exit code 0: all is as it was written; 1: there is damage, and `unreel repair` knows what to do about it.

    Example: `unreel verify shards/ --full --json -`
    """
    import msgspec

    from unreel.shards.care.verify import verify as verify_folder

    with progress(None, "checking shards") as ticker:
        found = verify_folder(
            folder,
            mode="full" if full else "quick",
            share=sample,
            workers=workers or len(os.sched_getaffinity(0)),
            strict=strict,
            progress=ticker.follow,
        )
    _print(found)
    write_result(msgspec.to_builtins(found), json)
    raise typer.Exit(Exit.DONE if found.clean else Exit.FAILED)


def _print(found: "Verification") -> None:
    if found.damage:
        table = Table("shard", "sample", "check", "expected and found", title_justify="left")
        for damage in found.damage[:_SHOWN]:
            table.add_row(damage.shard, damage.key, damage.check, escape(damage.detail))
        console.print(table)
    if len(found.damage) > _SHOWN:
        console.print(f"… and {len(found.damage) - _SHOWN} more; --json FILE has all")
    decoded = f", {found.decoded} decoded" if found.mode == "full" else ""
    console.print(
        f"{found.mode}: {found.shards} shards, {found.bytes / 1e6:.1f} MB; {found.intact} of {found.samples} samples "
        f"intact{decoded}; {found.lost} lost, {len(found.condemned)} shards condemned"
    )
