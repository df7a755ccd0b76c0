"""The page about one run: everything that its folder says, with curves, in one HTML file; it needs no finished run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from markupsafe import Markup

from unreel.models.objectives import METRICS
from unreel.models.training import RunFolder, TrainingResult
from unreel.models.training.config import format_toml
from unreel.models.training.log import read_metrics
from unreel.models.training.scores import TASK, scores_in
from unreel.shards.files import write_atomic
from unreel.tools.about import About, about
from unreel.tools.charts import Panel, draw_curves, draw_panels
from unreel.tools.evaluation import Evaluation, read_evaluations
from unreel.tools.exhibits import Rows, training_panels
from unreel.tools.page import render
from unreel.tools.provenance import Session, read_provenance
from unreel.tools.run_files import FILES, RunFiles
from unreel.tools.summary import Pace, data_uri, pace_of
from unreel.tools.verdicts import CONTROLS, Verdict, judge_pretext, number

__all__ = ["RunSummary", "summarise_run", "write_run_page"]

_MOST_WARNINGS: Final = 20


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the last row of training, and of the last validation, as words."""

    what: str
    trained: str
    held_out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """What the page shows; what is not there is None or empty."""

    name: str
    abouts: Sequence[About]
    state: str
    figures: Sequence[Figure]
    evaluations: Sequence[Evaluation]
    verdicts: Sequence[Verdict]
    panels: Sequence[Panel]
    warnings: Sequence[str]
    more_warnings: int
    sheets: Sequence[str]
    pace: Pace | None
    sessions: Sequence[Session]
    environment: Mapping[str, Any]
    recipe: str
    files: Mapping[str, str]

    @property
    def title(self) -> str:
        return " and ".join(each.title for each in self.abouts)

    @property
    def curves(self) -> list[Markup]:
        return [Markup(draw_curves(panel, name=f"curve-{place}")) for place, panel in enumerate(self.panels)]


def write_run_page(path: Path, out: Path | None = None) -> Path:
    """Draw `curves.png` of the run in the folder `path`, and write its page; returns the page's path.

    Raises:
        ValueError: the folder holds no run, or a file of it cannot be read.
    """
    run = summarise_run(path)
    files = RunFiles(path)
    if run.panels:
        write_atomic(files.curves, draw_panels(run.panels, title=f"{run.name}: {run.title}"))
    page = out or files.report
    page.write_text(render("run_report.html.j2", run=run, controls=CONTROLS), encoding="utf-8")
    return page


def summarise_run(path: Path) -> RunSummary:
    """Gather what is there. Raises ValueError when the folder holds no run."""
    folder, files = RunFolder(path), RunFiles(path)
    config = folder.read_config()
    rows = read_metrics(folder.metrics) if folder.metrics.exists() else []
    warnings = read_metrics(folder.warnings) if folder.warnings.exists() else []
    evaluations = list(read_evaluations(path).values())
    return RunSummary(
        name=path.resolve().name,
        abouts=[about(str(task["name"])) for task in config.named_tasks.values()],
        state=_state(folder, rows, config.train.steps),
        figures=_figures(rows),
        evaluations=evaluations,
        verdicts=[verdict for evaluation in evaluations for verdict in judge_pretext(evaluation)],
        panels=training_panels(rows, chances={each.name: each.pretext.chance for each in evaluations}),
        warnings=[
            f"after step {warning['step']}: {warning['text']}" for warning in warnings[-_MOST_WARNINGS:]
        ],
        more_warnings=max(0, len(warnings) - _MOST_WARNINGS),
        sheets=[uri for sheet in files.sheets if (uri := data_uri(sheet))],
        pace=pace_of(path, rows),
        sessions=read_provenance(files.provenance).sessions,
        environment=_json(folder.environment),
        recipe=format_toml(config),
        files={name: what for name, what in FILES.items() if _is_there(files, name)},
    )


def _is_there(files: RunFiles, name: str) -> bool:
    return (
        name == "report.html"
        or (name == "samples.png" and bool(files.sheets))
        or (files.path / name).exists()
    )


def _state(folder: RunFolder, rows: Rows, steps: int) -> str:
    """How far the run is, and how its last session ended."""
    result = RunFiles(folder.path).result
    if result.exists():
        ended = msgspec.convert(_json(result), TrainingResult)
        how = {"steps": "done", "seconds": "stopped by train.max_seconds"}.get(
            ended.stopped, f"stopped by {ended.stopped}"
        )
        return f"{how} at step {ended.step:,} of {steps:,}, after {ended.seconds:,.0f} s of training"
    last = max((row["step"] for row in rows), default=0)
    how = "in training" if folder.is_held else "not in training: killed, ended by an error, or by other code"
    return f"{how}; the last row is of step {last:,} of {steps:,}"


def _figures(rows: Rows) -> list[Figure]:
    trained, held_out = (
        next((row for row in reversed(rows) if row["split"] == split), {}) for split in ("train", "val")
    )
    names = {"step": "step", "loss": "loss", **_score_names({**trained, **held_out})}
    names |= {"decisions": "answers", "failed": "failed rows", "sources": "sources"}
    return [
        Figure(what, _words(trained.get(name)), _words(held_out.get(name)))
        for name, what in names.items()
        if name in trained or name in held_out
    ]


def _score_names(numbers: Mapping[str, Any]) -> dict[str, str]:
    """Entries of a row that are scores, and of several tasks each one's loss, in words."""
    names: dict[str, str] = {}
    for task, (metric, _) in scores_in(numbers).items():
        head, said = (f"{TASK}/{task}/", f"{task}: ") if task else ("", "")
        names |= {f"{head}loss": f"{said}loss", f"{head}{metric}": f"{said}{METRICS[metric]}"}
    return names


def _words(value: float | None) -> str:
    return f"{value:,}" if isinstance(value, int) else number(value)


def _json(path: Path) -> dict[str, Any]:
    return msgspec.json.decode(path.read_bytes()) if path.exists() else {}
