"""Losses and scores, gathered over the steps between two rows of the log."""

from collections.abc import Sequence
from itertools import zip_longest

import msgspec
import numpy as np

from unreel.models.objectives import Decisions
from unreel.models.training.tally import Tally

__all__ = ["Scores", "mean_ratio"]


class Scores(msgspec.Struct, kw_only=True):
    """Sums since the last row; part of a checkpoint, so that a resumed run logs the rows of an unbroken one."""

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
    skipped: int = 0
    """Steps that were not learned from; they are in none of the other numbers."""

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
            "loss": float(np.mean(self.losses)) if self.losses else float("nan"),
            self.metric: mean_ratio(self.right, self.total),
            "decisions": self.decisions,
            "failed": self.failed,
        }


def mean_ratio(right: list[float], total: list[float]) -> float:
    """Mean of right / total over the classes that occur; NaN when there was no answer."""
    shares = [hits / count for hits, count in zip(right, total, strict=True) if count]
    return float(np.mean(shares)) if shares else float("nan")


def _sum(first: Sequence[float], second: Sequence[float]) -> list[float]:
    return [a + b for a, b in zip_longest(first, second, fillvalue=0.0)]
