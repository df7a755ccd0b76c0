"""`unreel stats`: what is in a data set, in the terminal, as JSON, or as one page with plots and samples."""

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.markup import escape
from rich.table import Table

from unreel.tools.build import Bars
from unreel.tools.console import console, output, write_result

if TYPE_CHECKING:
    from unreel.shards.care.statistics import Built, Distribution, Statistics

__all__ = ["hours", "looked_at", "size", "stats"]

_STAGES: Final = {
    "indexes": "reading indexes",
    "sidecars": "reading sidecars",
    "pictures": "decoding samples",
}
_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_BAR: Final = 24
_NAME: Final = 26
_COUNT: Final = 10
# So many values of one name are shown on the screen; --json has all that were counted.
_SHOWN: Final = 8


def stats(
    dataset: Annotated[list[str], typer.Argument(help="Folders of shards, or their URLs.")],
    sample: Annotated[
        int | None,
        typer.Option(min=1, help="Look at so many samples, spread evenly.  [default: all indexes]"),
    ] = None,
    facts: Annotated[
        bool, typer.Option("--facts", help="Read every sidecar, and not 1000 of them, spread evenly.")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Write one page with plots and pictures.")] = None,
    pictures: Annotated[int, typer.Option(min=0, help="Samples that the page shows.")] = 48,
    json: Annotated[
        str | None, typer.Option(help="Write the result to this file; - for standard output.")
    ] = None,
) -> None:
    """Show what is in a data set: counts, hours, bytes, and how length, size, motion, sound and labels are spread.

    Counts, lengths and what a filter can ask for come from all indexes; loudness, labels, languages and codecs of the sources
    from the sidecars of 1000 samples. For very large data sets `--sample N` opens the indexes of N samples only.

    Example: `unreel stats shards/ --html stats.html`
    """
    import msgspec

    from unreel.shards.care.statistics import gather
    from unreel.shards.catalogue import Catalogue

    catalogues = [Catalogue.open(folder) for folder in dataset]
    with closing(Bars(_STAGES)) as bars:
        found = gather(catalogues, sample=sample, facts=None if facts else 1000, progress=bars.follow)
        if html is not None:
            from unreel.tools.stats_page import write_page

            write_page(found, catalogues, html, pictures=pictures, progress=bars.follow)
    if json != "-":
        _print(found)
    if html is not None:
        console.print(f"written: {escape(str(html))}")
    write_result(msgspec.to_builtins(found), json)


def hours(seconds: float) -> str:
    """A length in the unit that suits it."""
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.1f} s"


def size(count: float) -> str:
    """Bytes in the unit that suits them."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"


def looked_at(found: "Statistics") -> str:
    """What the numbers come from, in a sentence."""
    rows = "all indexes" if found.rows == found.samples else f"the index rows of {found.rows:,} samples"
    sidecars = "all" if found.sidecars == found.samples else f"{found.sidecars:,} samples, spread evenly"
    return f"counts and lengths from {rows}, * from the sidecars of {sidecars} of {found.samples:,}"


def _print(found: "Statistics") -> None:
    output.print(f"[bold]{escape(', '.join(found.folders))}[/]")
    sound, picture = hours(found.sound_seconds), hours(found.picture_seconds)
    stills = f", {found.stills:,} still pictures" if found.stills else ""
    output.print(
        f"{found.samples:,} samples in {found.shards:,} shards, {size(found.bytes)}; {found.sources:,} sources, "
        f"{picture} of picture, {sound} of sound{stills}"
    )
    output.print(_distributions(found.distributions))
    members = {name: bytes_ for name, (_, bytes_) in found.members.items()}
    output.print(_values("bytes of", members, written=size))
    output.print(_values("split", {name or "(none)": count for name, count in found.splits.items()}))
    output.print(_values("width x height", found.sizes))
    for name, values in found.named.items():
        output.print(_values(f"{name} *", values))
    if found.built is not None:
        _print_built(found.built)
    output.print(f"[dim]{looked_at(found)}[/]")


def _distributions(distributions: Mapping[str, "Distribution"]) -> Table:
    from unreel.shards.making.measures import MEASURES

    table = Table("", "unit", "5 %", "median", "95 %", "largest", "smallest to largest", box=None)
    for column in table.columns[2:6]:
        column.justify = "right"
    for name, found in distributions.items():
        star = "" if name in MEASURES or name == "kilobytes" else " *"
        numbers = (f"{number:.4g}" for number in (found.low, found.median, found.high, found.most))
        table.add_row(name + star, found.unit, *numbers, f"[cyan]{_sparkline(found.counts)}[/]")
    return table


def _sparkline(counts: tuple[int, ...]) -> str:
    most = max(counts)
    # What is there is seen, however little it is.
    return "".join(_BLOCKS[-(-8 * count // most)] for count in counts)


def _values(name: str, values: Mapping[str, int], *, written: Callable[[int], str] = "{:,}".format) -> Table:
    table = Table(name, "", "", box=None, show_header=True)
    table.columns[0].min_width, table.columns[1].min_width = _NAME, _COUNT
    table.columns[1].justify = "right"
    most = max(values.values(), default=1) or 1
    for value, count in list(values.items())[:_SHOWN]:
        bar = "█" * max(1, round(_BAR * count / most)) if count else ""
        table.add_row(escape(value), written(count), f"[cyan]{bar}[/]")
    if len(values) > _SHOWN:
        table.add_row(f"… {len(values) - _SHOWN} more", f"{sum(list(values.values())[_SHOWN:]):,}", "")
    return table


def _print_built(built: "Built") -> None:
    output.print(
        f"the build: {built.sources:,} sources, {built.done:,} done, {built.skipped:,} skipped, {built.refused:,} refused"
    )
    lines = [(count, reason) for reason, count in built.reasons.items()]
    lines += [(count, f"clips dropped: not {rule}") for rule, count in built.filtered.items()]
    lines += [(built.near_duplicates, "samples dropped: near-duplicates")] if built.near_duplicates else []
    for count, words in lines:
        output.print(f"{count:8,}  {escape(words)}")
