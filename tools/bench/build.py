"""`unreel bench build`: the builder beside the same decode, scale and encode by bare ffmpeg, as ratios in one run."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from unreel.tools.bench.contest import machine, print_figures, run_contest
from unreel.tools.console import console, output, write_result

__all__ = ["build"]

REFERENCE: Final = "ffmpeg"


def build(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="What is built: folders, files, globs, manifests. Without any a small world is generated."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes of every contestant.", min=1)] = os.cpu_count() or 1,
    profile: Annotated[str, typer.Option(help="How clips are scaled and encoded.")] = "clips-128",
    repeats: Annotated[int, typer.Option(help="Repeats; the order of the contestants rotates.", min=1)] = 3,
    json: Annotated[
        str | None, typer.Option("--json", help="Write the result to FILE (`-`: standard output).")
    ] = None,
) -> None:
    """Measure what the builder costs over bare ffmpeg on the same sources.

    `ffmpeg` decodes each source, scales it to the same size and encodes it with the same settings of picture and sound, one
    single-threaded process a source and a core, and does no more. `builder` is the whole of `unreel build`: processes
    started, sources checked and hashed, one decode, clips cut, motion, brightness, scenes, silence and loudness measured,
    encoded, written, synced and committed.

    The table of CPU time adds up all processes of a contestant. The table of stages comes from one more build in this
    process under a profiler, so its shares are good and its sum is not.

    Example: `unreel bench build videos/ --workers 2`
    """
    from unreel.tools.bench.builders import Work, builders, stages

    with _sources(sources) as named, tempfile.TemporaryDirectory(prefix="unreel-bench-") as folder:
        work = Work.prepare(named, profile, workers, Path(folder))
        console.print(f"{len(work.entries)} sources, {work.seconds:.0f} s of video, {workers} workers")
        contest, cpu = builders(work)
        figures = run_contest(contest, units=work.seconds, repeats=repeats, reference=REFERENCE)
        shares = stages(work)
    print_figures(figures, unit="s of video/s", reference=REFERENCE, title="median over repeats, wall time")
    ratio = cpu.median(REFERENCE) / cpu.median("builder")
    _print_cpu({name: cpu.median(name) / work.seconds for name in contest}, ratio)
    _print_stages(shares)
    write_result(
        {
            "machine": machine(),
            "setting": {"workers": workers, "profile": profile, "sources": len(work.entries)},
            "seconds_of_video": work.seconds,
            "figures": list(map(asdict, figures)),
            "cpu_ratio": ratio,
            "stages": shares,
        },
        json,
    )


@contextmanager
def _sources(named: list[str] | None) -> Iterator[list[str]]:
    if named:
        yield named
        return
    from unreel.tools.synth import synth

    with tempfile.TemporaryDirectory(prefix="unreel-bench-") as folder:
        console.print("no sources named: a small world is generated first")
        synth(Path(folder) / "world", clips=32)
        yield [str(Path(folder) / "world" / "labels.csv")]


def _print_cpu(seconds: dict[str, float], ratio: float) -> None:
    table = Table("contestant", "CPU s a s of video", title=f"CPU time: ffmpeg / builder = {ratio:.2f}")
    for name, value in seconds.items():
        table.add_row(name, f"{value:.4f}")
    output.print(table)


def _print_stages(shares: dict[str, float]) -> None:
    table = Table("stage of the builder", "share of its time", title="one worker")
    for name, share in sorted(shares.items(), key=lambda item: -item[1]):
        table.add_row(name, f"{share:.1%}")
    output.print(table)
