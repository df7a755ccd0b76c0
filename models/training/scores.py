"""Losses and scores, gathered over the steps between two rows of the log."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final

import msgspec
import numpy as np

from unreel.models.objectives import METRICS, Decisions
from unreel.models.training.tally import Tally

__all__ = ["TASK", "RunScores", "Scores", "mean_ratio", "scores_in"]

TASK: Final = "task"
"""Before a task's name in the names of its numbers, where a run has several."""


class Scores(msgspec.Struct, kw_only=True):
    """Sums of one task since the last row."""

    metric: str = Decisions.metric
    """What is scored, see `METRICS`."""
    losses: list[float] = []
    """Loss of each step."""
    right: list[float] = []
    """What was right, by class where there are classes; see `Outcome.tally`."""
    total: list[float] = []
    """What there was, likewise."""
    decisions: int = 0
    """Valid answers."""
    failed: int = 0
    """Rows that were not valid."""

    def add(self, tally: Tally) -> None:
        """Count one step."""
        self.metric = tally.metric
        self.right, self.total = _sum(self.right, tally.right), _sum(self.total, tally.total)
        self.decisions += tally.decisions
        self.losses.append(tally.loss)
        self.failed += tally.failed

    def row(self) -> dict[str, float | int]:
        """Mean loss, the score by its metric's name, valid answers and failed rows."""
        return {
            "loss": _mean(self.losses),
            self.metric: mean_ratio(self.right, self.total),
            "decisions": self.decisions,
            "failed": self.failed,
        }


class RunScores(msgspec.Struct, kw_only=True):
    """Sums of a run since the last row; part of a checkpoint, so that a resumed run logs the rows of an unbroken one."""

    tasks: dict[str, Scores] = {}
    """By task, of those that were seen."""
    losses: list[float] = []
    """Loss of each step: of several tasks their sum by their weights."""
    skipped: int = 0
    """Steps that were not learned from; they are in none of the other numbers."""

    def add(self, loss: float, tallies: Mapping[str, Tally]) -> None:
        """Count one step."""
        self.losses.append(loss)
        for task, tally in tallies.items():
            self.tasks.setdefault(task, Scores()).add(tally)

    def row(self, *, several: bool) -> dict[str, float | int]:
        """The row of a run's only task; of `several` the loss and counts of all, and `task/NAME/...` of each."""
        if not several:
            return next(iter(self.tasks.values()), Scores()).row()
        rows = {task: scores.row() for task, scores in self.tasks.items()}
        return {
            "loss": _mean(self.losses),
            "decisions": sum(scores.decisions for scores in self.tasks.values()),
            "failed": sum(scores.failed for scores in self.tasks.values()),
            **{f"{TASK}/{task}/{name}": value for task, row in rows.items() for name, value in row.items()},
        }


def scores_in(numbers: Mapping[str, Any]) -> dict[str, tuple[str, float]]:
    """Task → metric and score of a row; of a run with one task that is not named, by ""."""
    found = {}
    for name, value in numbers.items():
        head, _, metric = name.rpartition("/")
        if metric in METRICS and (not head or head.startswith(f"{TASK}/")):
            found[head.removeprefix(f"{TASK}/")] = metric, value
    return found


def mean_ratio(right: list[float], total: list[float]) -> float:
    """Mean of right / total over the classes that occur; NaN when there was no answer."""
    shares = [hits / count for hits, count in zip(right, total, strict=True) if count]
    return float(np.mean(shares)) if shares else float("nan")


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _sum(first: Sequence[float], second: Sequence[float]) -> list[float]:
    return [a + b for a, b in zip_longest(first, second, fillvalue=0.0)]
