"""`unreel export`: a trained tower for others, as safetensors, as a `torch.export` program, and as ONNX."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unreel.tools.console import console, progress, write_result

if TYPE_CHECKING:
    from torch import Tensor

    from unreel.models.training import LoadedRun

__all__ = ["export"]

_TOLERANCE = 1e-4
"""Largest relative difference that a graph may have from its tower: other kernels round otherwise."""


def export(
    run: Annotated[Path, typer.Argument(help="Run folder of `unreel train`.")],
    out: Annotated[Path, typer.Argument(help="Folder for the tower; it must not hold another one.")],
    tower: Annotated[str | None, typer.Option(help="Its kind; needed where a run trained several.")] = None,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Also model.onnx; needs `pip install 'unreel[export]'`.")
    ] = False,
    program: Annotated[
        bool, typer.Option("--program", help="Also model.pt2, for torch.export.load.")
    ] = False,
    json: Annotated[
        str | None, typer.Option(help="Write what was written here; - for standard output.")
    ] = None,
) -> None:
    """Write a tower of a run in the layout of model hubs: model.safetensors, config.json, and a card as README.md.

    Every file is read back and run against the tower on the same numbers before the command ends; one that differs is
    an error. No file holds a pickle. The card carries what `unreel eval` found, beside its controls.

    Example:

        unreel export runs/order towers/order --onnx --program
    """
    from unreel.models.towers import trunk_of
    from unreel.models.training import load_run

    if (out / "config.json").exists():
        raise ValueError(f"{out}: holds a tower already; choose another folder")
    loaded = load_run(run)
    kind = _choose(sorted(loaded.towers), tower)
    below = trunk_of(kind, str(loaded.recipe.towers[kind]["name"]))
    if below:
        raise ValueError(f"--tower {kind}: it stands on the {below} tower; export that one")
    with progress(None, f"exporting the {kind} tower") as ticker:
        ticker.say("writing and running against the tower")
        checks = _write(loaded, kind, run, out, onnx=onnx, program=program)
    for name, error in checks.items():
        console.print(f"wrote {out / name}, differs by {error:.1e} at most")
    write_result({"tower": kind, "folder": str(out), "differences": checks}, json)


def _choose(kinds: list[str], asked: str | None) -> str:
    if asked is None and len(kinds) == 1:
        return kinds[0]
    if asked not in kinds:
        found = "several towers" if asked is None else repr(asked)
        raise ValueError(f"--tower: {found}; choose one of {', '.join(kinds)}")
    return asked


def _write(
    loaded: "LoadedRun", kind: str, run: Path, out: Path, *, onnx: bool, program: bool
) -> dict[str, float]:
    """Every file and its largest difference. Raises UnreelError where that is too large."""
    from importlib.metadata import version

    from unreel.models.export import largest_difference, load_tower, save_tower, write_onnx, write_program
    from unreel.models.export.card import model_card
    from unreel.tools.about import about

    tower, example = loaded.towers[kind].eval(), _example(loaded, kind)
    saved = save_tower(
        tower,
        out,
        recipe=loaded.recipe.towers[kind],
        look=loaded.look(kind),
        task=", ".join(task.name for task in loaded.tasks.values()),
        step=loaded.step,
        version=version("unreel"),
    )
    checks = {"model.safetensors": largest_difference(tower, load_tower(out)[0], example)}
    if program:
        checks["model.pt2"] = largest_difference(
            tower, write_program(tower, example, out / "model.pt2"), example
        )
    if onnx:
        checks["model.onnx"] = largest_difference(
            tower, write_onnx(tower, example, out / "model.onnx"), example
        )
    _refuse(checks, out)
    title = " and ".join(about(task.name).title for task in loaded.tasks.values())
    (out / "README.md").write_text(model_card(saved, title=title, scores=_scores(run), checks=checks))
    return checks


def _refuse(checks: dict[str, float], out: Path) -> None:
    from unreel.shards.errors import UnreelError

    for name, error in checks.items():
        if not error <= _TOLERANCE:
            raise UnreelError(
                f"{out / name}: its embeddings differ from the tower's by {error:.1e} of the largest value, allowed "
                f"is {_TOLERANCE:g}; do not use it, and report the tower's name and settings"
            )


def _example(loaded: "LoadedRun", kind: str) -> "Tensor":
    """Two rows of noise in the sizes that the tower was trained on. Raises ValueError for a tower of several inputs."""
    import torch

    tower, look = loaded.towers[kind], loaded.look(kind)
    if len(tower.inputs) != 1:
        raise ValueError(
            f"the {kind} tower takes {len(tower.inputs)} inputs: towers of one input are exported"
        )
    spec = tower.inputs[0]
    if look.seconds:
        from unreel.pipelines.ops import show

        rates = [getattr(task, "audio_rate", 0) for task in loaded.tasks.values()]
        rate = int(max(rates)) or 48_000
        generator = torch.Generator().manual_seed(0)
        sound = 0.1 * torch.randn(2, spec.channels, round(look.seconds * rate), generator=generator)
        return sound if kind == "waveform" else show(sound[:, :1], look.features, rate)[:, 0]
    axes = (look.frames, look.size, look.size) if len(spec.axes) == 3 else (look.size, look.size)
    return torch.randn(2, spec.channels, *axes, generator=torch.Generator().manual_seed(0))


def _scores(run: Path) -> list[str]:
    """What `unreel eval` found, a line each."""
    from unreel.tools.evaluation import read_evaluations
    from unreel.tools.verdicts import judge_knowledge, judge_pretext

    verdicts = []
    for evaluation in read_evaluations(run).values():
        verdicts += judge_pretext(evaluation)
        for knowledge in evaluation.knowledge:
            verdicts += judge_knowledge(knowledge)
    return [verdict.text for verdict in verdicts]
