"""`unreel bench loader`: the loader beside bare decoding of the same frames and beside bare ffmpeg, as ratios in one run."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from unreel.tools.bench.contest import machine, print_figures, run_contest
from unreel.tools.console import console, write_result

__all__ = ["dataset_or_generated", "loader"]

REFERENCE: Final = "ffmpeg"


def loader(
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
    peers: Annotated[
        bool, typer.Option(help="Also other people's loaders: needs `pip install 'unreel[bench]'`.")
    ] = False,
    sources: Annotated[
        Path | None, typer.Option(help="Folder that the shards were built from: peers also read these files.")
    ] = None,
    vp9: Annotated[
        Path | None,
        typer.Option(
            help="Shards of the same sources in VP9: DALI's CPU reader against our loader on these."
        ),
    ] = None,
    json: Annotated[
        str | None, typer.Option("--json", help="Write the result to FILE (`-`: standard output).")
    ] = None,
) -> None:
    """Measure what the loader costs over bare decoding of exactly the same frames.

    Every figure is a ratio inside one repeat, since machines drift and ratios stay. `ffmpeg` is the physical limit on
    CPU: as many frames decoded from start to end and converted to RGB, one single-threaded process a core.

    With `--peers`, torchcodec, decord and PyAV under PyTorch's DataLoader, SPDL's pipeline and WebDataset's loader read the
    same clips, and give the same RGB pictures of 112x112.

    Example: `unreel bench loader shards/ --frames 16 --threads 2 --peers --sources videos/`
    """
    from unreel.tools.bench.contestants import Setting, contestants

    with dataset_or_generated(dataset) as folder:
        setting = Setting(
            folder=folder,
            threads=threads,
            frames=frames,
            batch=batch,
            steps=steps,
            peers=peers,
            sources=sources,
            vp9=vp9,
        )
        with contestants(setting, backend) as contest:
            figures = run_contest(contest, units=batch * steps, repeats=repeats, reference=REFERENCE)
    print_figures(figures, unit="clips/s", reference=REFERENCE, title="median over repeats, RGB uint8")
    write_result(
        {"machine": machine(), "setting": setting.words(), "figures": list(map(asdict, figures))}, json
    )


@contextmanager
def dataset_or_generated(dataset: Path | None) -> Iterator[Path]:
    """The folder of shards that was named, or a small generated world for as long as the context lasts."""
    if dataset is not None:
        yield dataset
        return
    from unreel.tools.bench.contestants import generated_shards

    with tempfile.TemporaryDirectory(prefix="unreel-bench-") as folder:
        console.print("no shards named: a small world is generated first")
        yield generated_shards(Path(folder))
