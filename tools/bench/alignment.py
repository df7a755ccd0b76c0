"""`unreel bench alignment`: sound against picture in what a loader decodes, for every container, against what was drawn."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.table import Table

from unreel.tools.console import Exit, output, progress, write_result

if TYPE_CHECKING:
    from unreel.tools.bench.survey import Row

__all__ = ["alignment"]

_HEADS = ("source", "stored as", "sound, samples", "picture, ms", "beep by its flash, samples", "… ms")
_PAGE = (
    "container",
    "codecs",
    "frames a second",
    "",
    "sound by the container, samples",
    "picture by the container, ms",
    "beep by its flash, samples",
    "… ms",
    "stored as Opus, ms",
)


def alignment(
    only: Annotated[
        str, typer.Option(help="Only the sources in whose name this stands, such as `MPEG-PS`.")
    ] = "",
    quick: Annotated[bool, typer.Option("--quick", help="Only the dozen that show the most.")] = False,
    ffmpeg: Annotated[
        str | None, typer.Option(help="The program that writes the sources; by default the pinned one.")
    ] = None,
    table: Annotated[Path | None, typer.Option(help="Write the table to this file, as Markdown.")] = None,
    json: Annotated[
        str | None, typer.Option("--json", help="Write the result to FILE (`-`: standard output).")
    ] = None,
) -> None:
    """Measure how far sound and picture are apart in what a loader decodes.

    Clips with flashes and beeps, drawn to the audio sample, are written in every container and built into shards: whole, in
    short clips, cut at their scenes, and with Opus. What the `packets` backend decodes of them is held against the
    container's own time stamps and against what was drawn. Exit code 1: something is further off than promised.

    Example: `unreel bench alignment --only Matroska`
    """
    import imageio_ffmpeg

    from unreel.tools.bench.flashes import CASES, QUICK
    from unreel.tools.bench.survey import READINGS, survey

    cases = [case for case in CASES if only in case.name and (not quick or case.name in QUICK)]
    if not cases:
        raise ValueError(f"--only {only!r}: no source has this in its name; one is {CASES[0].name!r}")
    with progress(len(cases) * (1 + len(READINGS)), "measuring") as bar:
        rows = survey(cases, ffmpeg or imageio_ffmpeg.get_ffmpeg_exe(), done=bar.advance)
    _print(rows)
    if table is not None:
        table.write_text(_markdown(rows))
    write_result({"rows": rows}, json)
    if not all(row.within for row in rows):
        raise typer.Exit(Exit.FAILED)


def _print(rows: Sequence["Row"]) -> None:
    shown = Table(*_HEADS, title="the worst of each; above 0 is late")
    for row in rows:
        style = None if row.within else "bold red"
        shown.add_row(*_cells(row), style=style)
    output.print(shown)


def _cells(row: "Row") -> tuple[str, ...]:
    return row.case, row.reading, *_figures(row)


def _figures(row: "Row") -> tuple[str, str, str, str]:
    from unreel.tools.bench.survey import AUDIO_RATE

    sound, content = (_signed(seconds * AUDIO_RATE, 1) for seconds in (row.sound, row.content))
    return sound, _signed(row.picture * 1000, 2), content, _signed(row.content * 1000, 2)


def _signed(value: float, digits: int) -> str:
    """Nothing is "-0.0"."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def _markdown(rows: Sequence["Row"]) -> str:
    """One line a source: the worst of all its readings with FLAC, and that with Opus."""
    from unreel.tools.bench.flashes import CASES

    lines = [f"| {' | '.join(_PAGE)} |", "|---|---|---:|---|" + "---:|" * (len(_PAGE) - 4)]
    for case in CASES:
        mine = [row for row in rows if row.case == case.name]
        if mine:
            opus = max((row.content for row in mine if row.reading == "Opus"), key=abs)
            rate = "variable" if case.variable else f"{float(case.rate):.5g}"
            said = (
                case.container,
                case.codecs,
                rate,
                case.what,
                *_figures(_worst(mine)),
                _signed(opus * 1000, 2),
            )
            lines.append(f"| {' | '.join(said)} |")
    return "\n".join(lines) + "\n"


def _worst(rows: Sequence["Row"]) -> "Row":
    """The worst of each figure over the rows that are stored as FLAC."""
    flac = [row for row in rows if row.reading != "Opus"]
    names = ("sound", "picture", "content")
    worst = {name: max((getattr(row, name) for row in flac), key=abs) for name in names}
    return msgspec.structs.replace(flac[0], **worst)
