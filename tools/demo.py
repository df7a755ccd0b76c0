"""`unreel demo`: the main job from end to end: media → shards → pretext batches → trained towers → one report."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.markup import escape

from unreel.tools.console import console, output, progress

if TYPE_CHECKING:
    from unreel.models.training import RunConfig
    from unreel.pipelines.selection import Selection
    from unreel.shards.catalogue import Catalogue
    from unreel.tools.stages import DemoFolder, DemoLog, StageRecord

__all__ = ["RECIPES", "demo"]

RECIPES: Final = {"shuffle_and_learn": "shuffle_and_learn_tiny", "correspondence": "correspondence_tiny"}
"""Task → the recipe that the demo trains it by."""

_CLIPS: Final = 600
_FAST_CLIPS: Final = 120
_FAST: Final = ("train.steps=60", "train.max_seconds=45", "train.eval_every=20", "schedule.warmup_steps=10")
"""What `--fast` overrides: enough to see every stage, not enough to learn."""

_MIN_SOURCES: Final = 3
"""On each side of the split: fewer say nothing about other recordings."""

_HOLDOUTS: Final = (0.2, 0.35, 0.5)
"""Shares of held-out sources, tried in turn: of few sources a fifth may be none."""

_SHEET_ROWS: Final = {"shuffle_and_learn": 6, "correspondence": 12}


def demo(
    out: Annotated[Path, typer.Argument(help="Folder for everything that the demo writes.")],
    media: Annotated[
        Path | None, typer.Option(help="Your own videos: a folder, or a CSV manifest with labels.")
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="A tenth of the work: shows every stage, learns little.")
    ] = False,
    workers: Annotated[int, typer.Option(help="Processes that render and build; 0 for one a core.")] = 0,
) -> None:
    """Do everything once, and write a report of it: under ten minutes on two cores.

    Generates a world of moving, sounding objects and, for its held-out clips, its twin without the objects; builds
    shards; draws what the networks will be shown; trains both tasks; evaluates them beside their controls. Run again,
    it goes on where it was stopped; what is done stays as it is. With `--media` it takes your recordings instead.

    Example:

        unreel demo demo-run

        unreel demo demo-mine --media ~/videos
    """
    from unreel.tools.stages import DemoFolder, DemoLog

    if media is not None and not media.exists():
        raise ValueError(f"--media {media}: no such file or folder")
    folder = DemoFolder(out)
    out.mkdir(parents=True, exist_ok=True)
    log = DemoLog.open(folder.log, media=None if media is None else str(media.resolve()), fast=fast)
    _Demo(folder, log, workers=workers or len(os.sched_getaffinity(0))).go()


class _LeftOut(Exception):
    """A task cannot be learned from this data; the message says why."""


@dataclass
class _Demo:
    """One demo in its folder."""

    folder: "DemoFolder"
    log: "DemoLog"
    workers: int
    changed: bool = False
    """Whether a stage was done now."""

    def go(self) -> None:
        """All stages in order; the report is written anew when any of them was."""
        self._make_data()
        for task, recipe in RECIPES.items():
            self._learn(task, recipe)
        if self.changed or not self.folder.report.exists():
            self._report()
        self._tell_verdicts()

    def _make_data(self) -> None:
        folder, media = self.folder, self.log.media
        if media is not None:
            self._stage("build", lambda: self._build(Path(media), folder.shards))
            return
        self._stage("synth", lambda: self._synth(folder.world, twin=False))
        self._stage("synth twin", lambda: self._synth(folder.twin_world, twin=True))
        self._stage("build", lambda: self._build(folder.world / "labels.csv", folder.shards))
        self._stage("build twin", lambda: self._build(folder.twin_world / "labels.csv", folder.twin_shards))

    def _learn(self, task: str, recipe: str) -> None:
        """Draw, train and evaluate one task; or say why not."""
        try:
            config = self._config(recipe)
        except _LeftOut as reason:
            self._show(self.log.skip(self.folder.log, f"train {task}", str(reason)), now=False)
            return
        run = self.folder.run(task)
        twin = self.folder.twin_shards if self.log.media is None else None
        self._stage(f"draw {task}", lambda: self._draw(task, config))
        self._stage(f"train {task}", lambda: _train(config, run))
        self._stage(f"evaluate {task}", lambda: _evaluate(run, twin))

    def _stage(self, name: str, work: Callable[[], str]) -> None:
        record, now = self.log.run(self.folder.log, name, work)
        self.changed |= now
        self._show(record, now=now)

    def _show(self, record: "StageRecord", *, now: bool) -> None:
        """One line a stage."""
        skipped = record.status == "skipped"
        sign = "[yellow]○[/]" if skipped else "[green]✓[/]"
        seconds = "left out" if skipped else f"{record.seconds:6.1f} s"
        again = "" if now or skipped else " [dim](already done)[/]"
        line = f"{sign} {record.name:<26} {seconds:>9}  {escape(record.detail)}{again}"
        console.print(line, soft_wrap=True)

    def _synth(self, out: Path, *, twin: bool) -> str:
        from unreel.tools.synth.command import synth

        synth(
            out,
            clips=_FAST_CLIPS if self.log.fast else _CLIPS,
            without_objects=twin,
            split="val" if twin else "all",
            workers=self.workers,
        )
        return f"{len(list(out.glob('videos/*.mp4')))} clips"

    def _build(self, source: Path, out: Path) -> str:
        from unreel.shards.build import build

        with progress(None, "building") as ticker:
            summary = build(
                [source],
                out,
                workers=self.workers,
                progress=lambda stage, done, total: ticker.say(f"{stage} {done}/{total}"),
            )
        if not summary.samples:
            reasons = ", ".join(f"{count} {reason}" for reason, count in summary.reasons.items())
            raise ValueError(f"nothing of {source} could be built: {reasons or 'there is no media'}")
        counts = f"{summary.done} of {summary.sources} sources"
        return f"{counts}, {summary.skipped} skipped, {summary.refused} refused; {summary.samples} clips"

    def _config(self, recipe: str) -> "RunConfig":
        """The task's settings on this data. Raises _LeftOut when nothing can be learned from it."""
        from unreel.shards.catalogue import Catalogue
        from unreel.tools.recipe import read_recipe

        overrides = [f"data.shards={self.folder.shards.resolve()}", *(_FAST if self.log.fast else ())]
        config = read_recipe(recipe, overrides=overrides)
        holdout = _holdout(Catalogue.open(self.folder.shards), config)
        return read_recipe(recipe, overrides=[*overrides, f"data.holdout={holdout}"])

    def _draw(self, task: str, config: "RunConfig") -> str:
        from unreel.models.training import build_task
        from unreel.pipelines.loader import Loader
        from unreel.shards.catalogue import Catalogue
        from unreel.tools.sheets import contact_sheet

        rows, path = _SHEET_ROWS[task], self.folder.sheet(task)
        path.parent.mkdir(exist_ok=True)
        pretext = build_task(config.task)
        size = -(-rows // pretext.needs.group) * pretext.needs.group
        catalogue = Catalogue.open(self.folder.shards)
        with Loader(
            catalogue, pretext, batch_size=size, seed=config.train.seed, holdout=config.data.holdout
        ) as loader:
            contact_sheet(next(loader), pretext, rows=rows).save(path)
        return str(path)

    def _report(self) -> None:
        from unreel.tools.report import write_report

        write_report(self.folder)

    def _tell_verdicts(self) -> None:
        from unreel.tools.evaluation import read_evaluation
        from unreel.tools.verdicts import judge_pretext

        colours = {"good": "green", "bad": "red", "open": "yellow"}
        for task in RECIPES:
            path = self.folder.run(task) / "eval.json"
            for verdict in judge_pretext(read_evaluation(path)) if path.exists() else ():
                output.print(f"[{colours[verdict.level]}]●[/] {escape(verdict.text)}", soft_wrap=True)
        total = sum(stage.seconds for stage in self.log.stages.values())
        output.print(f"{total:.0f} s of work; open {self.folder.report}", soft_wrap=True)


def _train(config: "RunConfig", run: Path) -> str:
    """Train, or go on from the last checkpoint of a demo that was stopped."""
    from unreel.models.training import RunFolder
    from unreel.tools.train import run_training

    folder = RunFolder(run)
    result = run_training(config, folder, resume=folder.recipe.exists())
    if result.stopped.startswith("SIG"):
        raise KeyboardInterrupt
    return (
        f"{result.step} steps, {result.clips_per_second:.0f} clips/s, {result.data_wait:.0%} getting batches"
    )


def _evaluate(run: Path, twin: Path | None) -> str:
    from unreel.tools.evaluate import evaluate_run
    from unreel.tools.evaluation import write_evaluation
    from unreel.tools.verdicts import plus_minus

    with progress(None, "evaluating") as ticker:
        evaluation = evaluate_run(run, twin=twin, say=ticker.say)
    write_evaluation(evaluation, run / "eval.json")
    on_twin = evaluation.on_twin
    control = f", {plus_minus(on_twin.estimate)} on the twin" if on_twin else ""
    return f"{plus_minus(evaluation.pretext.estimate)} {evaluation.pretext.metric_words}{control}"


def _holdout(catalogue: "Catalogue", config: "RunConfig") -> float:
    """The smallest share that leaves enough sources on both sides. Raises _LeftOut when there is none."""
    from unreel.models.training import build_task
    from unreel.pipelines.selection import select

    needs = build_task(config.task).needs
    why = ""
    for share in _HOLDOUTS:
        try:
            sides = [select(catalogue, needs, split=split, holdout=share) for split in ("train", "val")]
        except ValueError as error:
            why = str(error)
            continue
        counts = [len(_sources(catalogue, side)) for side in sides]
        if min(counts) >= _MIN_SOURCES:
            return share
        why = f"{counts[0]} sources to train on and {counts[1]} held out; at least {_MIN_SOURCES} of each are needed"
    raise _LeftOut(why)


def _sources(catalogue: "Catalogue", selection: "Selection") -> set[str]:
    """The sources of the selected samples."""
    return {
        catalogue.index(shard).samples[selection.ordinal(shard, rank)].source
        for shard, count in enumerate(selection.counts.tolist())
        for rank in range(count)
    }
