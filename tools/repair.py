"""`unreel repair`: put right what `verify` condemns, and nothing else."""

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from unreel.tools.build import Bars
from unreel.tools.console import Exit, console, write_result
from unreel.tools.sizes import read_size

if TYPE_CHECKING:
    from unreel.shards.care.repair import Repair

__all__ = ["repair"]


def repair(
    folder: Annotated[Path, typer.Argument(help="A folder of shards.")],
    sources: Annotated[
        list[str] | None, typer.Argument(help="What it was built from; needed where a tar is damaged.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be done, and change nothing.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Verify quickly: bits that changed in payloads are not seen.")
    ] = False,
    profile: Annotated[
        str | None, typer.Option(help="Profile of the build.  [default: as the catalogue says]")
    ] = None,
    clip_seconds: Annotated[
        float | None, typer.Option(help="As given to the build; needed where catalogue.json is lost.")
    ] = None,
    shard_bytes: Annotated[str | None, typer.Option(help="As given to the build, such as 64MiB.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes, one core each.  [default: all cores]")
    ] = None,
    json: Annotated[
        str | None, typer.Option(help="Write the result to this file; - for standard output.")
    ] = None,
) -> None:
    """Put right what `unreel verify` condemns: files that follow from others are written anew, damaged shards rebuilt.

    With the sources and the same builder a shard comes back byte for byte. Other sources, settings or versions are refused
    before anything is changed.

    Exit code 0: all is as it was written; 1: damage is left.

    Example: `unreel repair shards/ videos/ --plan`
    """
    import msgspec

    from unreel.shards.care.repair import plan_repair
    from unreel.shards.care.repair import repair as repair_folder
    from unreel.shards.care.verify import Mode

    count = workers or len(os.sched_getaffinity(0))
    mode: Mode = "quick" if quick else "full"
    if plan:
        found = plan_repair(folder, mode=mode, workers=count)
    else:
        with closing(Bars()) as bars:
            found = repair_folder(
                folder,
                sources or (),
                mode=mode,
                profile=profile,
                clip_seconds=clip_seconds,
                shard_bytes=None if shard_bytes is None else read_size("--shard-bytes", shard_bytes),
                workers=count,
                progress=bars.follow,
            )
    _print(found)
    write_result(msgspec.to_builtins(found), json)
    raise typer.Exit(Exit.DONE if found.clean else Exit.FAILED)


def _print(found: "Repair") -> None:
    if found.steps:
        table = Table("do" if not found.done else "did", "shard", "because of", title_justify="left")
        for step in found.steps:
            table.add_row(step.action, step.shard, ", ".join(step.why))
        console.print(table)
    if found.done:
        for shard in found.identical:
            console.print(f"{shard}: rebuilt, byte for byte what it was")
        for shard in found.different:
            console.print(f"{shard}: rebuilt, with other bytes than before")
    if found.clean:
        console.print("nothing is condemned")
    elif found.done:
        console.print(f"{len(found.left)} findings are left; rebuilding needs the sources")
