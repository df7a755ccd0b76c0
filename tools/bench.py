"""`unreel bench`: the loader beside bare decoding of the same frames and beside bare ffmpeg, as ratios in one run."""

import os
import platform
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from unreel.tools.console import console, output, progress, write_result

__all__ = ["Contest", "Figure", "bench", "rotate", "run_contest"]

Contest = Mapping[str, Callable[[int], float]]
"""Contestant → function from the number of a repeat (-1: the warm-up) to the seconds that its work took."""

REFERENCE: Final = "ffmpeg"


@dataclass(frozen=True, slots=True)
class Figure:
    """One contestant over all repeats.

    Attributes:
        name: contestant.
        clips_per_second: median over the repeats; absolute, so only good for this machine in this hour.
        ratio, ratio_low, ratio_high: median, least and largest ratio of speeds to the reference of the same repeat.
    """

    name: str
    clips_per_second: float
    ratio: float
    ratio_low: float
    ratio_high: float


def bench(
    dataset: Annotated[
        Path | None, typer.Argument(help="Folder of shards. Without it a small world is generated and built.")
    ] = None,
    backend: Annotated[str, typer.Option(help="Decode backend of the loader; `auto` measures.")] = "auto",
    threads: Annotated[int, typer.Option(help="Decode threads of every contestant.", min=1)] = os.cpu_count()
    or 1,
    frames: Annotated[int, typer.Option(help="Consecutive frames a clip, from a random start.", min=1)] = 16,
    batch: Annotated[int, typer.Option(help="Clips a batch.", min=1)] = 32,
    steps: Annotated[int, typer.Option(help="Batches a repeat.", min=1)] = 24,
    repeats: Annotated[int, typer.Option(help="Repeats; the order of the contestants rotates.", min=1)] = 5,
    json: Annotated[
        str | None, typer.Option("--json", help="Write the result to FILE (`-`: standard output).")
    ] = None,
) -> None:
    """Measure what the loader costs over bare decoding of exactly the same frames.

    Every figure is a ratio inside one repeat, since machines drift and ratios stay. `ffmpeg` is the physical limit on
    CPU: as many frames decoded from start to end and converted to RGB, one single-threaded process a core.

    Example: `unreel bench shards/ --frames 16 --threads 2`
    """
    from unreel.tools.contestants import Setting, contestants

    with _dataset(dataset) as folder:
        setting = Setting(folder=folder, threads=threads, frames=frames, batch=batch, steps=steps)
        with contestants(setting, backend) as contest:
            figures = run_contest(contest, clips=batch * steps, repeats=repeats)
    _print(figures)
    write_result(
        {"machine": _machine(), "setting": setting.words(), "figures": list(map(asdict, figures))}, json
    )


def run_contest(contest: Contest, *, clips: int, repeats: int, reference: str = REFERENCE) -> list[Figure]:
    """Run every contestant once uncounted, then `repeats` times in rotated order; ratios are to `reference`."""
    speeds: dict[str, list[float]] = {name: [] for name in contest}
    with progress((repeats + 1) * len(contest), "bench") as ticker:
        for repeat in range(-1, repeats):
            for name in rotate(list(contest), repeat):
                ticker.say(name)
                seconds = contest[name](repeat)
                ticker.advance()
                if repeat >= 0:
                    speeds[name].append(clips / seconds)
    return [_figure(name, values, speeds[reference]) for name, values in speeds.items()]


def rotate(names: Sequence[str], by: int) -> list[str]:
    """`names` begun at another one in each repeat, so that none always runs first."""
    by %= len(names)
    return [*names[by:], *names[:by]]


def _figure(name: str, speeds: Sequence[float], reference: Sequence[float]) -> Figure:
    ratios = [speed / base for speed, base in zip(speeds, reference, strict=True)]
    return Figure(name, statistics.median(speeds), statistics.median(ratios), min(ratios), max(ratios))


@contextmanager
def _dataset(dataset: Path | None) -> Iterator[Path]:
    if dataset is not None:
        yield dataset
        return
    from unreel.tools.contestants import generated_shards

    with tempfile.TemporaryDirectory(prefix="unreel-bench-") as folder:
        console.print("no shards named: a small world is generated first")
        yield generated_shards(Path(folder))


def _print(figures: Sequence[Figure]) -> None:
    table = Table(
        "contestant", "clips/s", f"of {REFERENCE}", "least … largest", title="median over repeats, RGB uint8"
    )
    for figure in sorted(figures, key=lambda figure: -figure.ratio):
        spread = f"{figure.ratio_low:.2f} … {figure.ratio_high:.2f}"
        table.add_row(figure.name, f"{figure.clips_per_second:.0f}", f"{figure.ratio:.2f}", spread)
    output.print(table)


def _machine() -> dict[str, object]:
    return {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
