"""`unreel features`: embeddings of a data set by a trained tower, as Parquet or as a NumPy array."""

from pathlib import Path
from typing import Annotated

import typer

from unreel.tools.console import console, progress, write_result

__all__ = ["features"]


def features(
    tower: Annotated[
        Path, typer.Argument(help="Run folder of `unreel train`, or folder of `unreel export`.")
    ],
    data: Annotated[str, typer.Argument(help="Folder of shards, or its URL.")],
    out: Annotated[Path, typer.Argument(help="File that is written: .parquet, or .npy with keys beside it.")],
    kind: Annotated[
        str | None, typer.Option("--tower", help="Kind of the tower, where a run has several.")
    ] = None,
    moments: Annotated[
        int, typer.Option(min=1, help="Moments of each sample that are embedded; sound has one.")
    ] = 8,
    mean: Annotated[
        bool, typer.Option("--mean", help="One row a sample: the mean over its moments.")
    ] = False,
    split: Annotated[str, typer.Option(help="Which sources: train, val, or all.")] = "all",
    backend: Annotated[str, typer.Option(help="Decode backend, or auto.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="Threads that decode.")] = 2,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples at once.")] = 32,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
    json: Annotated[str | None, typer.Option(help="Write the summary here; - for standard output.")] = None,
) -> None:
    """Embed every sample once, as the tower saw samples in training but without augmentation.

    Parquet is written while it goes on, in constant memory: columns key, source, moment, frame, seconds, labels (JSON)
    and embedding. A .npy holds the embeddings alone, all in memory until the end; OUT.csv beside it has the other columns,
    row by row. Samples that cannot be decoded are left out, counted and named.

    Example:

        unreel features runs/order shards order.parquet

        unreel features towers/order shards order.npy --mean
    """
    from unreel.tools.embed import Asked, embed_catalogue

    asked = Asked(kind=kind, moments=moments, mean=mean, split=split)
    with progress(None, "embedding") as ticker:
        found = embed_catalogue(
            tower,
            data,
            out,
            asked,
            backend=backend,
            threads=threads,
            batch_size=batch_size,
            device=device,
            say=ticker.say,
        )
    for failure in found["failures"][:5]:
        console.print(f"left out: {failure}")
    console.print(f"{found['rows']:,} embeddings of {found['samples']:,} samples in {out}")
    write_result(found, json)
