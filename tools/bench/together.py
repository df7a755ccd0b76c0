"""`unreel bench together`: several tasks from one decode against a stream for each of them."""

import os
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from unreel.tools.bench.contest import machine, print_figures, run_contest
from unreel.tools.console import output, write_result
from unreel.tools.settings import parse_setting

if TYPE_CHECKING:
    from unreel.pipelines import Needs, PretextTask

__all__ = ["together"]

ONE: Final = "one stream"
SEPARATE: Final = "a stream a task"
DEFAULT: Final = ("shuffle_and_learn", "correspondence")


def together(
    dataset: Annotated[Path, typer.Argument(help="Folder of shards.")],
    task: Annotated[
        list[str] | None,
        typer.Option(help="NAME, or LABEL=NAME where one comes twice; give this option for each task."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="LABEL.KEY=VALUE: a setting of a task.")
    ] = None,
    share_moments: Annotated[
        bool,
        typer.Option("--share-moments", help="The tasks look at the same moment of a sample where they can."),
    ] = False,
    backend: Annotated[str, typer.Option(help="Decode backend.")] = "packets",
    threads: Annotated[int, typer.Option(help="Decode threads of every stream.", min=1)] = os.cpu_count()
    or 1,
    batch: Annotated[int, typer.Option(help="Clips a batch.", min=1)] = 32,
    steps: Annotated[int, typer.Option(help="Batches a repeat, of every task.", min=1)] = 12,
    repeats: Annotated[int, typer.Option(help="Repeats; the order of the contestants rotates.", min=1)] = 5,
    json: Annotated[
        str | None, typer.Option("--json", help="Write the result to FILE (`-`: standard output).")
    ] = None,
) -> None:
    """Measure what one decode for several tasks saves: the same batches, bit for bit, from one stream or from one each.

    All streams take the samples that suit every task. Batches are built too; `decode` is the time of the decoder alone.

    Example: `unreel bench together shards/ --task shuffle_and_learn --task correspondence`
    """
    tasks = _tasks(task or DEFAULT, settings or [])
    chosen = {"backend": backend, "threads": threads, "batch_size": batch, "share_moments": share_moments}
    streams = _Streams(dataset, tasks, chosen, steps)
    contest = {ONE: streams.one, SEPARATE: streams.separate}
    figures = run_contest(contest, units=batch * steps, repeats=repeats, reference=SEPARATE)
    print_figures(
        figures, unit="clips/s", reference=SEPARATE, title=f"{len(tasks)} tasks, median over repeats"
    )
    found = streams.found()
    output.print(found.text())
    setting = {"tasks": list(tasks), "steps": steps, **chosen}
    write_result(
        {"machine": machine(), "setting": setting, "figures": list(map(asdict, figures)), **asdict(found)},
        json,
    )


def _tasks(named: Sequence[str], settings: Sequence[str]) -> "dict[str, PretextTask]":
    """The tasks by label."""
    from unreel.pipelines.pretext import make_task

    pairs = [text.rpartition("=") for text in named]
    names = {label or name: name for label, _, name in pairs}
    chosen: dict[str, dict[str, Any]] = {label: {} for label in names}
    for text in settings:
        path, value = parse_setting(text, form="LABEL.KEY=VALUE", example="shuffle_and_learn.window=96")
        label, _, key = path.partition(".")
        if label not in chosen:
            raise ValueError(f"--set {text}: no task {label!r}; there are {', '.join(chosen)}")
        chosen[label][key] = value
    if len(names) < max(2, len(named)):
        raise ValueError(f"--task {', '.join(named)}: two tasks or more, each with a label of its own")
    return {label: make_task(name, **chosen[label]) for label, name in names.items()}


@dataclass(frozen=True, slots=True)
class _Found:
    """What was saved.

    Attributes:
        shown, alone: task → pictures shown, and decoded in its own stream.
        decoded: pictures decoded in the one stream.
        seconds: contestant → seconds of the decoder, the median over repeats.
    """

    shown: dict[str, int]
    alone: dict[str, int]
    decoded: int
    seconds: dict[str, float]

    def text(self) -> str:
        alone = sum(self.alone.values())
        listed = " + ".join(f"{count:,} ({task})" for task, count in self.alone.items())
        one, separate = self.seconds[ONE], self.seconds[SEPARATE]
        return (
            f"pictures decoded: {self.decoded:,} instead of {listed} = {alone:,}: {1 - self.decoded / alone:.0%} saved; "
            f"decode: {one:.2f} s instead of {separate:.2f} s: {1 - one / separate:.0%} saved"
        )


class _Streams:
    """The contestants. Every repeat opens its loaders anew: one kept between repeats would start with its queue full."""

    def __init__(
        self, dataset: Path, tasks: "Mapping[str, PretextTask]", settings: dict[str, Any], steps: int
    ) -> None:
        from unreel.pipelines.tasks import unite_needs

        needs = unite_needs(tasks)
        self._dataset, self._settings, self._steps = dataset, settings, steps
        # Its own needs would give each task other samples, and other pictures to decode.
        self._tasks = {name: _with_needs(task, needs) for name, task in tasks.items()}
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)
        self._stats: dict[str, Any] = {}

    def one(self, repeat: int) -> float:
        """Seconds of all tasks from one stream."""
        return self._run(ONE, repeat, [self._tasks])

    def separate(self, repeat: int) -> float:
        """Seconds of a stream for each task, one after the other."""
        return self._run(SEPARATE, repeat, [{name: task} for name, task in self._tasks.items()])

    def found(self) -> _Found:
        """Counts and seconds of what ran."""
        one = self._stats[ONE][0]
        separate = {name: stats.decoded for stats in self._stats[SEPARATE] for name in stats.alone}
        seconds = {name: statistics.median(found) for name, found in self._seconds.items()}
        return _Found(shown=dict(one.shown), alone=separate, decoded=one.decoded, seconds=seconds)

    def _run(self, name: str, repeat: int, streams: "list[dict[str, PretextTask]]") -> float:
        from unreel.pipelines import Loader
        from unreel.shards import Catalogue

        stats, elapsed = [], 0.0
        for tasks in streams:
            loader = Loader(
                Catalogue.open(self._dataset), tasks, seed=1, split=None, holdout=0.0, **self._settings
            )
            with loader:
                # The self-test of the decoder is no part of a stream.
                _ = loader.backend
                for _ in range(self._steps):
                    next(loader)
            stats.append(loader.stats)
            elapsed += loader.stats.elapsed
        if repeat >= 0:
            self._seconds[name].append(sum(one.seconds["decode"] for one in stats))
        self._stats[name] = stats
        return elapsed


def _with_needs(task: "PretextTask", needs: "Needs") -> Any:
    """The task asking for other samples than its own needs do."""
    inner = type(task)
    asking = type(inner.__name__, (inner,), {"needs": property(lambda _self: needs)})
    return asking(**{field.name: getattr(task, field.name) for field in fields(task)})  # type: ignore[arg-type]
