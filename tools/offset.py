"""`unreel offset`: is the sound of recordings early or late, and by how much?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from unreel.tools.console import output, progress, write_result

if TYPE_CHECKING:
    from unreel.tools.offsets import Offsets

__all__ = ["offset"]


def offset(
    run: Annotated[
        Path, typer.Argument(help="Run folder of `unreel train` on a recipe of task `sync_offset`.")
    ],
    media: Annotated[Path, typer.Argument(help="A media file, a folder of them, or a folder of shards.")],
    passes: Annotated[
        int, typer.Option(min=1, help="Moments of each clip whose distances are averaged.")
    ] = 8,
    backend: Annotated[str, typer.Option(help="Decode backend.")] = "packets",
    json: Annotated[
        str | None, typer.Option("--json", help="Write the result to FILE (`-`: stdout).")
    ] = None,
) -> None:
    """Estimate by how much the sound of each recording is early or late, as SyncNet does.

    Clips of a few frames are compared with the sound at every offset that the run was trained for. The offset whose
    distance, averaged over all moments of a recording, is least is the estimate; above 0 the sound is late. Confidence is
    the median distance less the least: near 0 nothing that is seen goes with anything that is heard.

    Example:

        unreel offset runs/offset talk.mp4

        unreel offset runs/offset shards --passes 16 --json offsets.json
    """
    import msgspec

    from unreel.tools.offsets import measure_offsets

    with progress(None, "measuring offsets") as ticker:
        found = measure_offsets(run, media, passes=passes, backend=backend, say=ticker.say)
    output.print(_table(found))
    write_result(msgspec.to_builtins(found), json)


def _table(found: "Offsets") -> Table:
    title = f"sound is late by (of at most {found.max_offset} steps of {1000 * found.step_seconds:g} ms either way)"
    table = Table(title=title, title_justify="left")
    for column in ("recording", "steps", "ms", "confidence", "least distance", "clips", "moments"):
        table.add_column(column, justify="left" if column == "recording" else "right")
    for each in found.recordings:
        moved = f"{each.offset:+d}" if each.offset else "0"
        numbers = (f"{each.confidence:.3f}", f"{each.distance:.3f}", f"{each.clips}", f"{each.moments}")
        table.add_row(each.name, moved, f"{1000 * each.offset * found.step_seconds:.0f}", *numbers)
    return table
