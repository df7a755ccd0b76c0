"""Everything that the report shows, gathered from a demo's folder; what is not there is None or empty."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from markupsafe import Markup

from unreel.models.training.log import read_metrics
from unreel.tools.about import ABOUT, About, about
from unreel.tools.evaluation import Evaluation, Knowledge, read_evaluations
from unreel.tools.exhibits import WORDS, chart_accuracies, chart_findings, chart_training
from unreel.tools.stages import DemoFolder, DemoLog, StageRecord
from unreel.tools.verdicts import CONTROLS, Verdict, judge_knowledge, judge_pretext

__all__ = ["DataSection", "Pace", "Probed", "Summary", "TaskSection", "data_uri", "pace_of", "summarise"]

_REFUSALS: Final = 20
"""Sources that were not built and are listed; `build.json` has all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What one tower knows: the numbers, sentences about them, and bars."""

    knowledge: Knowledge
    verdicts: Sequence[Verdict]
    chart: Markup | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How quickly a run trained, and what it waited for.

    Attributes:
        waiting: share of the time in which training waited for data or built a batch.
        shares: stage → its share of the last session's time; empty where it was not recorded. `read`, `plan` and
            `decode` run beside training, so that they do not add up to 1 with `wait`, `build` and `step`.
    """

    steps: int
    seconds: float
    clips_per_second: float
    waiting: float
    shares: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSection:
    """One task of the demo; `skipped` says why it was left out, and is empty when it was not."""

    name: str
    about: About
    skipped: str = ""
    evaluation: Evaluation | None = None
    verdicts: Sequence[Verdict] = ()
    probed: Sequence[Probed] = ()
    curves: Sequence[Markup] = ()
    pace: Pace | None = None
    sheet: str | None = None
    environment: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSection:
    """What became of the sources; `refusals` are the first that were not built."""

    counts: dict[str, int]
    reasons: dict[str, int]
    refusals: Sequence[dict[str, str]]
    megabytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The whole report; `media` is the user's folder, None for the generated world."""

    media: str | None
    tasks: Sequence[TaskSection]
    accuracies: Markup | None
    data: DataSection | None
    stages: Sequence[StageRecord]
    words: dict[str, str]
    controls: dict[str, str]

    @property
    def seconds(self) -> float:
        """Of all stages."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def environment(self) -> dict[str, Any]:
        """That of the first run that recorded one."""
        return next((task.environment for task in self.tasks if task.environment), {})


def summarise(folder: DemoFolder) -> Summary:
    """Gather what is there. Raises ValueError when the folder holds neither a log nor a run."""
    log = _read(folder.log, DemoLog) or DemoLog()
    runs = {path.parent.name for path in folder.path.glob("runs/*/recipe.toml")}
    skipped = log.skipped("train")
    if not runs and not log.stages:
        raise ValueError(f"{folder.path}: no demo.json and no runs; `unreel demo {folder.path}` makes them")
    tasks = [_task(folder, name, skipped.get(name, "")) for name in _in_order(runs | set(skipped))]
    return Summary(
        media=log.media,
        tasks=tasks,
        accuracies=chart_accuracies([task.evaluation for task in tasks if task.evaluation]),
        data=_data(folder.shards),
        stages=list(log.stages.values()),
        words=WORDS,
        controls=CONTROLS,
    )


def _in_order(names: Iterable[str]) -> list[str]:
    """Known tasks first, as they are listed."""
    known = list(ABOUT)
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))


def _task(folder: DemoFolder, name: str, skipped: str) -> TaskSection:
    run = folder.run(name)
    evaluation = next(iter(read_evaluations(run).values()), None)
    rows = read_metrics(run / "metrics.jsonl") if (run / "metrics.jsonl").exists() else []
    chance = evaluation.pretext.chance if evaluation else None
    return TaskSection(
        name=name,
        about=about(name),
        skipped=skipped,
        evaluation=evaluation,
        verdicts=judge_pretext(evaluation) if evaluation else (),
        probed=[_probed(name, knowledge) for knowledge in evaluation.knowledge] if evaluation else (),
        curves=chart_training(rows, name=name, chance=chance),
        pace=pace_of(run, rows),
        sheet=data_uri(folder.sheet(name)),
        environment=_read(run / "environment.json", dict) or {},
    )


def _probed(task: str, knowledge: Knowledge) -> Probed:
    return Probed(
        knowledge=knowledge,
        verdicts=judge_knowledge(knowledge),
        chart=chart_findings(knowledge.findings, name=f"{task}-{knowledge.tower}"),
    )


def pace_of(run: Path, rows: Sequence[dict[str, Any]]) -> Pace | None:
    """From the rows of training; a row's `clips_per_second` and `data_wait` are of the steps since the row before."""
    rows = [row for row in rows if row["split"] == "train"]
    if not rows:
        return None
    ends = [row["seconds"] for row in rows]
    spans = [end - start for start, end in zip([0.0, *ends], ends, strict=False)]
    return Pace(
        steps=rows[-1]["step"],
        seconds=ends[-1],
        clips_per_second=_weighted(rows, "clips_per_second", spans),
        waiting=_weighted(rows, "data_wait", spans),
        shares=_shares(_read(run / "loader.json", dict)),
    )


def _shares(stats: dict[str, Any] | None) -> dict[str, float]:
    if stats is None or not stats["elapsed"]:
        return {}
    shares = {stage: seconds / stats["elapsed"] for stage, seconds in stats["seconds"].items()}
    return {**shares, "step": max(0.0, 1 - shares["wait"] - shares["build"])}


def _weighted(rows: Sequence[dict[str, Any]], name: str, spans: Sequence[float]) -> float:
    return sum(row[name] * span for row, span in zip(rows, spans, strict=True)) / max(sum(spans), 1e-9)


def _data(shards: Path) -> DataSection | None:
    summary = _read(shards / "build.json", dict)
    if summary is None:
        return None
    missed = [report for report in summary["reports"] if report["status"] != "done"]
    reasons: dict[str, int] = {}
    for report in missed:
        reason = f"{report['status']}: {report.get('reason', '')}"
        reasons[reason] = reasons.get(reason, 0) + 1
    return DataSection(
        counts={name: summary[name] for name in ("sources", "done", "skipped", "refused", "samples")},
        reasons=reasons,
        refusals=[{**report, "source": Path(report["source"]).name} for report in missed[:_REFUSALS]],
        megabytes=sum(path.stat().st_size for path in shards.glob("*.tar")) / 1e6,
    )


def _read(path: Path, kind: Any) -> Any:
    """The JSON file at `path` as `kind`; None when it is not there."""
    return msgspec.json.decode(path.read_bytes(), type=kind) if path.exists() else None


def data_uri(path: Path) -> str | None:
    """A PNG as a data: URI; None when it is not there."""
    if not path.exists():
        return None
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
