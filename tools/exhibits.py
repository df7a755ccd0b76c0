"""The report's charts, drawn from evaluations and from logs of training."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from markupsafe import Markup

from unreel.models.evaluation import Finding, PretextScore
from unreel.models.objectives import METRICS
from unreel.tools.about import about
from unreel.tools.charts import Bar, Curve, Point, draw_bars, draw_curves, draw_points
from unreel.tools.evaluation import LOW_LEVEL, TRAINED, UNTRAINED, Evaluation
from unreel.tools.verdicts import CONTROLS

__all__ = ["WORDS", "chart_accuracies", "chart_findings", "chart_training"]

WORDS: Final = {TRAINED: "trained", UNTRAINED: "same tower before training", LOW_LEVEL: "8x8 thumbnail"}
"""Encoder → how people call it."""

Rows = Sequence[dict[str, Any]]
"""Rows of `metrics.jsonl`."""


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


def chart_training(rows: Rows, *, name: str, chance: float) -> list[Markup]:
    """Loss and score over the steps; empty when nothing was logged."""
    if not rows:
        return []
    loss = draw_curves(_curves(rows, "loss"), ylabel="loss", name=f"{name}-loss")
    metric = next(metric for metric in METRICS if metric in rows[0])
    score = draw_curves(_curves(rows, metric), ylabel=METRICS[metric], name=f"{name}-accuracy", chance=chance)
    return [Markup(loss), Markup(score)]


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


def _curves(rows: Rows, quantity: str) -> list[Curve]:
    words = {"train": "training", "val": "held-out sources"}
    chosen = {split: [row for row in rows if row["split"] == split] for split in words}
    return [
        Curve(words[split], [row["step"] for row in part], [row.get(quantity) for row in part])
        for split, part in chosen.items()
        if part
    ]
