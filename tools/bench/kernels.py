"""`unreel bench kernels`: the pass from decoded frames to a tower's input beside eager torch, and its share of a batch's time."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table

from unreel.tools.bench.contest import Figure, machine
from unreel.tools.bench.loader import dataset_or_generated
from unreel.tools.console import output, write_result

if TYPE_CHECKING:
    from unreel.tools.bench.views import Share

__all__ = ["kernels"]

_FASTER: Final = 3.0
_SHARE: Final = 0.05


def kernels(
    dataset: Annotated[
        Path | None, typer.Argument(help="Folder of shards. Without it a small world is generated and built.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where views are made: `cpu` or `cuda`.")] = "cpu",
    threads: Annotated[
        int,
        typer.Option(
            help="Threads. With one, processor time counts, which a busy machine changes least.", min=1
        ),
    ] = 1,
    repeats: Annotated[int, typer.Option(help="Repeats; the order of the contestants rotates.", min=1)] = 7,
    steps: Annotated[int, typer.Option(help="Batches of each recipe; 0 leaves the shares out.", min=0)] = 8,
    recipe: Annotated[
        list[str] | None, typer.Option(help="Only these recipes; by default all that are for two CPU cores.")
    ] = None,
    json: Annotated[
        str | None, typer.Option("--json", help="Write the result to FILE (`-`: standard output).")
    ] = None,
) -> None:
    """Measure the kernel that makes views, and how much of a batch's time building takes.

    The first table: eager torch and the kernel, on RGB and on planes, at the sizes of recipes; on a GPU also the
    share of the memory's bandwidth. The second, on the CPU: for each recipe the processor time of decoding, of building
    with augmentation, and of the training step, and the share of building in their sum.

    Example: `unreel bench kernels shards/ --repeats 7 --steps 8`
    """
    from unreel.tools.bench.views import CASES, contest_of, floor_share, shares

    found: dict[str, list[Figure]] = {
        case.name: contest_of(case, device=device, threads=threads, repeats=repeats) for case in CASES
    }
    floors = {case.name: floor_share(case) for case in CASES} if device != "cpu" else {}
    _print_speeds(found, floors)
    parts: list[Share] = []
    if steps:
        with dataset_or_generated(dataset) as folder:
            parts = shares(folder, recipe, steps=steps)
        _print_shares(parts)
    write_result(
        {
            "machine": machine() | {"device": device, "threads": threads},
            "figures": {name: list(map(asdict, figures)) for name, figures in found.items()},
            "bandwidth": floors,
            "shares": [asdict(part) | {"share": part.share} for part in parts],
        },
        json,
    )


def _print_speeds(found: dict[str, list[Figure]], floors: dict[str, float]) -> None:
    table = Table(
        "views", "by", "views/s", "times eager", "least … largest", title=f"bar: {_FASTER:g} times eager"
    )
    for name, figures in found.items():
        for figure in figures:
            spread = f"{figure.ratio_low:.1f} … {figure.ratio_high:.1f}"
            table.add_row(name, figure.name, f"{figure.speed:.0f}", f"{figure.ratio:.1f}", spread)
        if name in floors:
            table.add_row(name, "of the bandwidth", "", f"{floors[name]:.2f}", "")
    output.print(table)


def _print_shares(parts: list["Share"]) -> None:
    heads = ("recipe", "decode, ms", "build, ms", "step, ms", "share of building")
    table = Table(*heads, title=f"processor time of a batch, medians; bar: {_SHARE:.0%}")
    for part in parts:
        times = (f"{1000 * seconds:.1f}" for seconds in (part.decode, part.build, part.step))
        style = None if part.share <= _SHARE else "bold red"
        table.add_row(f"{part.recipe} ({part.batch} rows)", *times, f"{part.share:.1%}", style=style)
    output.print(table)
