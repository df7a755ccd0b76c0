"""`unreel inspect`: what a task's batch really contains, or one sample with its sound."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unreel.tools.console import console, progress, write_result
from unreel.tools.settings import parse_setting

if TYPE_CHECKING:
    from unreel.pipelines.pretext import PretextTask

__all__ = ["inspect"]


def inspect(
    dataset: Annotated[
        str, typer.Argument(help="Folder of shards, as `unreel build` writes it, or its URL.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for what is written.")],
    task: Annotated[str | None, typer.Option(help="Contact sheets of this task's batches.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the task; may be given again."),
    ] = None,
    key: Annotated[str | None, typer.Option(help="Show the sample of this key instead.")] = None,
    split: Annotated[str, typer.Option(help="Which sources: train, val, or all.")] = "train",
    step: Annotated[int, typer.Option(min=0, help="First step that is shown.")] = 0,
    steps: Annotated[int, typer.Option(min=1, help="How many steps, one sheet each.")] = 1,
    rows: Annotated[int, typer.Option(min=1, help="Rows of a step that are shown.")] = 16,
    seed: Annotated[int, typer.Option(help="Seed of the run that is looked at.")] = 0,
    backend: Annotated[str, typer.Option(help="Decode backend, or auto.")] = "auto",
    json: Annotated[
        str | None, typer.Option(help="Write what was found to this file; - for standard output.")
    ] = None,
) -> None:
    """Look at data: contact sheets of batches as towers take them, or one sample with picture, curves and sound.

    With `--task`, each sheet shows the rows of one step: frames after cropping and colour jitter, spectrograms, labels,
    and what each guard decided. With `--key`, a page shows one sample: frames, motion with cuts, loudness with silence,
    the spectrogram, the sidecar, and the sound to listen to.

    Examples:

        unreel inspect shards --task shuffle_and_learn --set positive=0.5 --out look
        unreel inspect shards --key clip-0001-000000 --out look
    """
    from unreel.shards.catalogue import Catalogue

    if (task is None) == (key is None):
        raise ValueError("inspect takes one of --task NAME, for batches, and --key KEY, for one sample")
    catalogue = Catalogue.open(dataset)
    out.mkdir(parents=True, exist_ok=True)
    if key is not None:
        from unreel.tools.sample_page import write_sample_page

        found: dict[str, Any] = write_sample_page(catalogue, key, out=out, backend=backend)
    else:
        from unreel.pipelines.loader import FailurePolicy, Loader
        from unreel.pipelines.pretext import make_task

        assert task is not None
        chosen = make_task(task, **_assignments(settings or []))
        loader = Loader(
            catalogue,
            chosen,
            batch_size=-(-rows // chosen.needs.group) * chosen.needs.group,
            seed=seed,
            split=None if split == "all" else split,
            backend=backend,
            prefetch=0,
            # Looking at what fails is what this command is for.
            failures=FailurePolicy(share=1.0, run=10**9),
        )
        with loader:
            loader.step = step
            found = _write_sheets(loader, chosen, steps=steps, rows=rows, out=out)
    for path in found["files"]:
        console.print(f"wrote {path}")
    write_result(found, json)


def _write_sheets(loader: Any, task: "PretextTask", *, steps: int, rows: int, out: Path) -> dict[str, Any]:
    """One PNG a step; returns what `--json` holds."""
    from unreel.tools.sheets import contact_sheet

    shown, files = [], []
    with progress(steps, "drawing") as bar:
        for _ in range(steps):
            step = next(loader)
            path = out / f"{task.name}-step-{step.step:06}.png"
            contact_sheet(step, task, rows=rows).save(path)
            files.append(str(path))
            shown.append(_summary(step))
            bar.advance()
    return {"task": task.name, "guards": getattr(task, "guards", {}), "files": files, "steps": shown}


def _summary(step: Any) -> dict[str, Any]:
    import numpy as np

    targets = step.batch.targets
    # Values that are to be predicted are no labels: each of them is there once.
    values = np.empty(0) if targets.is_floating_point() else targets.cpu().numpy()
    labels, counts = np.unique(values, return_counts=True)
    return {
        "step": step.step,
        "rows": len(step.batch),
        "valid": int(step.batch.valid.sum()),
        "labels": dict(zip(map(str, labels.tolist()), counts.tolist(), strict=True)),
        "keys": list(step.batch.keys),
        "failures": [f"{failure.key}, {failure.stage}: {failure.reason}" for failure in step.failures],
    }


def _assignments(settings: list[str]) -> dict[str, Any]:
    return dict(parse_setting(setting, form="KEY=VALUE", example="positive=0.5") for setting in settings)
