"""`unreel dedup`: take near-duplicates out of a data set."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.markup import escape
from rich.table import Table

from unreel.tools.build import Bars
from unreel.tools.console import console, write_result

if TYPE_CHECKING:
    from unreel.shards.care.dedup import Deduplication

__all__ = ["dedup"]

# So many pairs are shown on the screen; --json and duplicates.json have all.
_SHOWN: Final = 20
_STAGES: Final = {"read": "reading sidecars", "compare": "comparing", "write": "writing shards anew"}


def dedup(
    folder: Annotated[Path, typer.Argument(help="A folder of shards.")],
    distance: Annotated[int, typer.Option(help="Bits of 64 in which hashes of copies differ at most.")] = 6,
    share: Annotated[
        float, typer.Option(help="Share of the shorter sample's seconds that the longer one shows.")
    ] = 0.8,
    motion: Annotated[
        float,
        typer.Option(help="Correlation of motion over time, where not both have sound; 0 asks hashes alone."),
    ] = 0.85,
    sound: Annotated[
        float, typer.Option(help="Correlation of loudness over time, where both have sound.")
    ] = 0.95,
    same_source: Annotated[
        bool, typer.Option("--same-source", help="Clips of one recording may be copies of each other.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")
    ] = False,
    json: Annotated[
        str | None, typer.Option(help="Write all pairs to this file; - for standard output.")
    ] = None,
) -> None:
    """Drop samples that another sample shows too, within and across shards, by the facts in the sidecars alone.

    Of two copies the longer one is kept, then the one with sound, with the larger picture, with the larger picture in its
    source, with the smaller key. The shards that hold dropped samples are written anew, each in one step. Stopped at any
    moment, the same command does the rest.

    Example: `unreel dedup shards/ --dry-run --json pairs.json`
    """
    import msgspec

    from unreel.shards.care.dedup import dedup as dedup_folder
    from unreel.shards.care.likeness import Likeness

    likeness = Likeness(distance=distance, share=share, motion=motion, sound=sound)
    with closing(Bars(_STAGES)) as bars:
        found = dedup_folder(folder, likeness, same_source=same_source, dry_run=dry_run, progress=bars.follow)
    _print(found)
    write_result(msgspec.to_builtins(found), json)


def _print(found: "Deduplication") -> None:
    if found.duplicates:
        table = Table("dropped" if found.done else "would go", "kept", "at", "share", "bits")
        for pair in found.duplicates[:_SHOWN]:
            kept = escape(pair.kept_key)
            table.add_row(
                escape(pair.key), kept, f"{pair.offset} s", f"{pair.share:.2f}", f"{pair.distance:.1f}"
            )
        console.print(table)
    if len(found.duplicates) > _SHOWN:
        console.print(f"… and {len(found.duplicates) - _SHOWN} more; --json FILE has all")
    if found.unmeasured:
        console.print(f"{found.unmeasured:7}  samples without hashes, which are kept")
    verb = "dropped" if found.done else "would drop"
    console.print(
        f"{verb} {len(found.duplicates)} of {found.samples} samples; {found.samples_left} left; "
        f"{found.shards_rewritten} shards written anew, {found.shards_removed} gone"
    )
