"""`unreel split`: one data set as several."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from unreel.tools.console import console, write_result

__all__ = ["split"]


def split(
    folder: Annotated[Path, typer.Argument(help="A folder of shards.")],
    out: Annotated[Path, typer.Argument(help="An empty folder; each split becomes a folder in it.")],
    by: Annotated[str, typer.Option(help="source, manifest or label:NAME.")] = "source",
    share: Annotated[
        list[str] | None, typer.Option(help="NAME=SHARE, once for each split, with --by source.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Another one draws other recordings.")] = 0,
    json: Annotated[
        str | None, typer.Option(help="Write the result to this file; - for standard output.")
    ] = None,
) -> None:
    """Divide a data set. Nothing is copied: each split links to the tars and indexes its own samples of them.

    By source, whole recordings are drawn by their ids alone, so that one stays where it is when the data set grows; the shares
    are met on average.

    Example: `unreel split shards/ parts/ --share train=0.8 --share val=0.2`
    """
    import msgspec

    from unreel.shards.care.parts import split as split_folder

    found = split_folder(folder, out, by=by, shares=dict(map(_share, share or ())), seed=seed)
    for name, count in found.samples.items():
        console.print(f"{count:8} samples of {found.sources[name]:6} recordings in {escape(str(out / name))}")
    if found.shared_sources:
        console.print(f"[bold red]{found.shared_sources} recordings are in more than one split[/]")
    write_result(msgspec.to_builtins(found), json)


def _share(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError as error:
        raise ValueError(f"--share {text!r}: write NAME=SHARE, such as train=0.8") from error
