"""What a run folder says of its run: recipe, training, evaluation. The records that `unreel runs` compares."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import msgspec

from unreel.models.evaluation import Estimate
from unreel.models.objectives import METRICS
from unreel.models.training.config import RunConfig
from unreel.models.training.log import read_metrics
from unreel.models.training.model import only
from unreel.models.training.run import RunFolder
from unreel.models.training.scores import scores_in
from unreel.tools.evaluation import Evaluation, read_evaluations
from unreel.tools.verdicts import plus_minus

__all__ = ["RunRecord", "differing", "find_runs", "read_runs", "sorted_by"]

_RECIPE: Final = "recipe.toml"
_NOWHERE: Final = "-"
_BESIDE: Final = "trained with"

_UNREMARKABLE: Final = ("train.threads", "loader.")
"""Settings that no score depends on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run.

    Attributes:
        name: its folder, below the one that all runs share.
        folder: its path.
        task: its name; in a run of several there is a record for each, with the recipe's name for it.
        settings: every setting by its dotted name.
        step, seconds: trained so far.
        clips_per_second, waiting: of the whole training; None before the first row of the log.
        validation: metric and score of the last validation; None without one.
        evaluation: of this task; None where `unreel eval` did not run.
    """

    name: str
    folder: Path
    task: str
    settings: Mapping[str, Any]
    step: int
    seconds: float
    clips_per_second: float | None
    waiting: float | None
    validation: tuple[str, float] | None
    evaluation: Evaluation | None

    @property
    def score(self) -> float:
        """By which runs are sorted; -inf where nothing was scored."""
        if self.evaluation is not None:
            return self.evaluation.pretext.estimate.value
        return float("-inf") if self.validation is None else self.validation[1]

    @property
    def score_words(self) -> str:
        if self.evaluation is not None:
            return f"{plus_minus(self.evaluation.pretext.estimate)} {self.evaluation.pretext.metric_words}"
        if self.validation is None:
            return _NOWHERE
        metric, value = self.validation
        return f"{100 * value:.1f}\u202f% {METRICS[metric]} (validation)"

    @property
    def twin_words(self) -> str:
        found = self.evaluation.on_twin if self.evaluation else None
        return _NOWHERE if found is None else plus_minus(found.estimate)

    @property
    def control_words(self) -> str:
        best = self._best_control
        return _NOWHERE if best is None else plus_minus(best)

    @property
    def _best_control(self) -> Estimate | None:
        controls = self.evaluation.controls.values() if self.evaluation else ()
        return max((control.estimate for control in controls), key=attrgetter("value"), default=None)

    def as_json(self) -> dict[str, Any]:
        """The record for programs."""
        names = ("name", "task", "step", "seconds", "clips_per_second", "waiting", "validation")
        plain = {name: getattr(self, name) for name in names}
        return plain | {
            "folder": str(self.folder),
            "settings": dict(self.settings),
            "evaluation": msgspec.to_builtins(self.evaluation),
        }


def find_runs(folders: Iterable[Path]) -> list[Path]:
    """Every run folder among `folders` and below them.

    Raises:
        ValueError: a folder does not exist, or there is no run in any.
    """
    folders = list(folders)
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such folder")
    found = sorted({path.parent for folder in folders for path in folder.rglob(_RECIPE)})
    if not found:
        raise ValueError(
            f"{', '.join(map(str, folders))}: no run ({_RECIPE} is nowhere below); train one first"
        )
    return found


def read_runs(folders: Iterable[Path]) -> list[RunRecord]:
    """The records of `find_runs(folders)`, each named below the folder that all share.

    Raises:
        ValueError: there is none, or a recipe or an evaluation cannot be read.
    """
    found = find_runs(folders)
    shared = Path(os.path.commonpath([path.resolve().parent for path in found]))
    return [record for path in found for record in _read(path, str(path.resolve().relative_to(shared)))]


def _read(folder: Path, name: str) -> list[RunRecord]:
    """A record for each task."""
    config = RunFolder(folder).read_config()
    rows = read_metrics(folder / "metrics.jsonl") if (folder / "metrics.jsonl").exists() else []
    trained = [row for row in rows if row["split"] == "train"]
    evaluations = read_evaluations(folder)
    return [
        RunRecord(
            name=name,
            folder=folder,
            task=task,
            settings=_settings(config, task),
            step=trained[-1]["step"] if trained else 0,
            seconds=trained[-1]["seconds"] if trained else 0.0,
            clips_per_second=_speed(trained, config.train.batch_size),
            waiting=_waiting(trained),
            validation=_validation(rows, task if config.tasks else ""),
            evaluation=evaluations.get(task if config.tasks else ""),
        )
        for task in config.named_tasks
    ]


def _settings(config: RunConfig, task: str) -> dict[str, Any]:
    """Those of the run as this task sees it, by the names that they have in a run of it alone, and what trained beside it."""
    flat = _flat(only(config, [task]))
    others = [name for name in config.tasks if name != task]
    prefixes = {f"tasks.{task}.": "task.", f"objectives.{task}.": "objective."}
    named = {_renamed(name, prefixes): value for name, value in flat.items()}
    return named | ({_BESIDE: ", ".join(others)} if others else {})


def _renamed(name: str, prefixes: Mapping[str, str]) -> str:
    found = next((prefix for prefix in prefixes if name.startswith(prefix)), "")
    return prefixes.get(found, "") + name.removeprefix(found)


def differing(records: Sequence[RunRecord]) -> list[str]:
    """Settings that not all records share, but for those that no score depends on; none where there is one record."""
    names = sorted({name for record in records for name in record.settings})
    named = [name for name in names if not name.startswith(_UNREMARKABLE) and name != "task.name"]
    return [name for name in named if len({str(record.settings.get(name)) for record in records}) > 1]


def sorted_by(records: Sequence[RunRecord], column: str) -> list[RunRecord]:
    """Records in the order of `column`, the best score first. Raises ValueError for another column."""
    keys = {"run": "name", "task": "task", "step": "step", "score": "score", "seconds": "seconds"}
    if column not in keys:
        raise ValueError(f"--sort {column}: choose one of {', '.join(keys)}")
    return sorted(records, key=attrgetter(keys[column]), reverse=column == "score")


def _flat(config: RunConfig) -> dict[str, Any]:
    sections = msgspec.to_builtins(config)
    return {
        name: value
        for section, table in sections.items()
        for name, value in _entries(section, table)
        if not isinstance(value, dict)
    }


def _entries(prefix: str, table: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _entries(f"{prefix}.{key}", value)
        else:
            yield f"{prefix}.{key}", value


def _speed(rows: Sequence[Mapping[str, Any]], batch_size: int) -> float | None:
    return rows[-1]["step"] * batch_size / max(rows[-1]["seconds"], 1e-9) if rows else None


def _waiting(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Share of the seconds; a row's share is of those since the row before."""
    if not rows:
        return None
    ends = [row["seconds"] for row in rows]
    spans = [end - start for start, end in zip([0.0, *ends], ends, strict=False)]
    return sum(row["data_wait"] * span for row, span in zip(rows, spans, strict=True)) / max(ends[-1], 1e-9)


def _validation(rows: Sequence[Mapping[str, Any]], task: str) -> tuple[str, float] | None:
    last: Mapping[str, Any] = next((row for row in reversed(rows) if row["split"] == "val"), {})
    metric, value = scores_in(last).get(task, ("", None))
    return None if value is None else (metric, value)
