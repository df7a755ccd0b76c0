"""The report's charts, drawn from evaluations and from logs of training."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from types import MappingProxyType
from typing import Any, Final

from markupsafe import Markup

from unreel.models.evaluation import Finding, PretextScore
from unreel.models.objectives import METRICS
from unreel.models.training.log import GRADIENTS
from unreel.models.training.scores import TASK, scores_in
from unreel.tools.about import about
from unreel.tools.charts import Bar, Curve, Panel, Point, draw_bars, draw_curves, draw_points
from unreel.tools.evaluation import LOW_LEVEL, TRAINED, UNTRAINED, Evaluation
from unreel.tools.verdicts import CONTROLS

__all__ = ["WORDS", "chart_accuracies", "chart_findings", "chart_training", "training_panels"]

WORDS: Final = {TRAINED: "trained", UNTRAINED: "same tower before training", LOW_LEVEL: "8x8 thumbnail"}
"""Encoder → how people call it."""

Rows = Sequence[dict[str, Any]]
"""Rows of `metrics.jsonl`."""

_MOST_POINTS: Final = 400
_MOST_CURVES: Final = 3
_DECADES: Final = 30
"""How many times the smallest value the largest has to be for a logarithmic axis."""


def chart_accuracies(evaluations: Sequence[Evaluation]) -> Markup | None:
    """Every accuracy with its interval, each beside its control; None without an evaluation."""
    points = [point for evaluation in evaluations for point in _points(evaluation)]
    if not points:
        return None
    words = sorted({evaluation.pretext.metric_words for evaluation in evaluations})
    chance = evaluations[0].pretext.chance
    svg = draw_points(
        points,
        xlabel=f"{' or '.join(words)}, 95 % interval over sources",
        name="accuracies",
        chance=chance,
    )
    return Markup(svg)


def chart_findings(findings: Sequence[Finding], *, name: str) -> Markup | None:
    """What linear probes read from each encoder's features; None when there is nothing to draw."""
    probes = [finding for finding in findings if finding.method != "knn"]
    if not probes:
        return None
    encoders = [encoder for encoder in WORDS if encoder in probes[0].estimates]
    svg = draw_bars(
        [_bar(finding, encoders) for finding in probes],
        [WORDS[encoder] for encoder in encoders],
        xlabel="R² (tracks) or balanced accuracy (labels), 95 % interval over sources",
        name=name,
        chance={row: finding.chance for row, finding in enumerate(probes)},
    )
    return Markup(svg)


def chart_training(rows: Rows, *, name: str, chance: float | None) -> list[Markup]:
    """Loss and score over the steps; empty when nothing was logged."""
    panels = training_panels(rows, chances={} if chance is None else {"": chance})[:2]
    return [Markup(draw_curves(panel, name=f"{name}-{number}")) for number, panel in enumerate(panels)]


def training_panels(rows: Rows, *, chances: Mapping[str, float] = MappingProxyType({})) -> list[Panel]:
    """What a run's log says over the steps: loss, score of each task, learning rate, gradients, speed, waiting; what is not
    there is left out.

    Args:
        chances: the score of guessing, by task; by "" for a run with one.
    """
    panels = [
        Panel("loss", _curves(rows, "loss")),
        *_task_panels(rows, chances),
        Panel("learning rate", _curves(rows, "learning_rate")),
        Panel("norm of the gradients", _curves(rows, "gradient_norm"), log=_spans_decades(rows)),
        *_trunk_panels(rows),
        Panel("clips a second", _curves(rows, "clips_per_second"), floor=0),
        Panel("getting batches, % of the time", _curves(rows, "data_wait", scale=100), floor=0),
    ]
    return [panel for panel in panels if panel.curves]


def _task_panels(rows: Rows, chances: Mapping[str, float]) -> Iterator[Panel]:
    """The score of a run's task; of several tasks the loss and the score of each."""
    found = {task: metric for row in rows for task, (metric, _) in scores_in(row).items()}
    for task, metric in found.items():
        if task:
            yield Panel(f"{task}: loss", _curves(rows, f"{TASK}/{task}/loss"))
        name = f"{TASK}/{task}/{metric}" if task else metric
        words = f"{task}: {METRICS[metric]}" if task else METRICS[metric]
        yield Panel(words, _curves(rows, name), chance=chances.get(task))


def _trunk_panels(rows: Rows) -> Iterator[Panel]:
    """For each tower that tasks share the norm of each task's gradient, and the cosine between those of each two."""
    measured = [row for row in rows if row["split"] == GRADIENTS]
    names = dict.fromkeys(name for row in measured for name in row if "/" in name)
    for tower in dict.fromkeys(name.split("/")[3] for name in names if name.startswith(TASK)):
        norms = {name.split("/")[1]: name for name in names if name.endswith(f"/gradient_norm/{tower}")}
        yield from _compared(f"gradient of each task at the {tower} tower", measured, norms)
        between = [name for name in names if name.startswith(f"cosine/{tower}/")]
        pairs = {" and ".join(name.split("/")[2:]): name for name in between}
        yield from _compared(f"cosine between gradients at the {tower} tower", measured, pairs)


def _compared(what: str, rows: Rows, named: Mapping[str, str]) -> Iterator[Panel]:
    """A panel for each three of the curves."""
    curves = [_curve(label, [row for row in rows if name in row], name, 1.0) for label, name in named.items()]
    for start in range(0, len(curves), _MOST_CURVES):
        yield Panel(what, curves[start : start + _MOST_CURVES])


def _points(evaluation: Evaluation) -> Iterator[Point]:
    title = about(evaluation.task).title
    yield _point(f"{title}: held-out sources", evaluation.pretext, series=0)
    if evaluation.on_twin is not None:
        yield _point("the same clips without objects", evaluation.on_twin, series=1)
    for name, score in evaluation.controls.items():
        yield _point(f"the head alone, on {CONTROLS[name]}", score, series=2)


def _point(label: str, score: PretextScore, *, series: int) -> Point:
    return Point(label, score.estimate.value, score.estimate.interval, series)


def _bar(finding: Finding, encoders: Sequence[str]) -> Bar:
    estimates = [finding.estimates.get(encoder) for encoder in encoders]
    return Bar(
        finding.factor,
        [estimate.value if estimate else None for estimate in estimates],
        [estimate.interval if estimate else None for estimate in estimates],
    )


def _curves(rows: Rows, quantity: str, *, scale: float = 1) -> list[Curve]:
    words = {"train": "training", "val": "held-out sources"}
    chosen = {split: [row for row in rows if row["split"] == split and quantity in row] for split in words}
    return [_curve(words[split], part, quantity, scale) for split, part in chosen.items() if part]


def _curve(label: str, rows: Rows, quantity: str, scale: float) -> Curve:
    """A line of at most `_MOST_POINTS`, each the mean of as many rows: a long log would make a page of megabytes."""
    size = -(-len(rows) // _MOST_POINTS)
    parts = [rows[start : start + size] for start in range(0, len(rows), size)]
    return Curve(
        label, [part[-1]["step"] for part in parts], [_mean(part, quantity, scale) for part in parts]
    )


def _mean(rows: Rows, quantity: str, scale: float) -> float | None:
    values = [row[quantity] for row in rows if row[quantity] is not None]
    return scale * fmean(values) if values else None


def _spans_decades(rows: Rows) -> bool:
    values = [row["gradient_norm"] for row in rows if row.get("gradient_norm")]
    return bool(values) and max(values) > _DECADES * min(values)
