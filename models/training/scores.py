"""Losses and balanced accuracy, gathered over the steps between two rows of the log."""

from itertools import zip_longest

import msgspec
import numpy as np
import torch

from unreel.models.objectives import Outcome

__all__ = ["Scores", "balanced_accuracy"]


class Scores(msgspec.Struct, kw_only=True):
    """Sums since the last row; part of a checkpoint, so that a resumed run logs the rows of an unbroken one."""

    losses: list[float] = []
    """Loss of each step."""
    right: list[int] = []
    """Right decisions by class."""
    total: list[int] = []
    """Decisions by class."""
    failed: int = 0
    """Rows that were not valid."""

    def add(self, outcome: Outcome, *, loss: float, failed: int) -> None:
        """Count one batch."""
        targets = outcome.targets[outcome.valid]
        right = outcome.logits.detach()[outcome.valid].argmax(dim=1) == targets
        classes = outcome.logits.shape[1]
        counts = torch.stack(
            [torch.bincount(t, minlength=classes) for t in (targets[right], targets)]
        ).tolist()
        self.right, self.total = _sum(self.right, counts[0]), _sum(self.total, counts[1])
        self.losses.append(loss)
        self.failed += failed

    def row(self) -> dict[str, float | int]:
        """Mean loss, balanced accuracy, decisions and failed rows."""
        return {
            "loss": float(np.mean(self.losses)),
            "balanced_accuracy": balanced_accuracy(self.right, self.total),
            "decisions": sum(self.total),
            "failed": self.failed,
        }


def balanced_accuracy(right: list[int], total: list[int]) -> float:
    """Mean over the classes that occur of the share of right decisions; NaN when there was no decision."""
    shares = [hits / count for hits, count in zip(right, total, strict=True) if count]
    return float(np.mean(shares)) if shares else float("nan")


def _sum(first: list[int], second: list[int]) -> list[int]:
    return [a + b for a, b in zip_longest(first, second, fillvalue=0)]
