"""What an objective found on a batch: its loss, and decisions, rankings or errors that can be scored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

import torch
from torch import Tensor

__all__ = ["METRICS", "Decisions", "Errors", "Outcome", "Rankings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What every kind has: M answers about a batch of B rows.

    Attributes:
        loss: f32 scalar, the mean over the valid answers; 0 when there is none.
        rows: i64 `[M]`, the batch row of each answer: intervals are taken over the rows' sources.
        valid: bool `[M]`; the other answers count for nothing.
        subsets: name → bool `[M]`: answers that are scored by themselves as well, such as "hard negatives".
        weight: f32 scalar, what `loss` is divided by: the sum of its answers' weights; None where each weighs 1.
    """

    metric: ClassVar[str]
    """What is scored: one of `METRICS`."""

    loss: Tensor
    rows: Tensor
    valid: Tensor
    subsets: Mapping[str, Tensor] = field(default_factory=dict)
    weight: Tensor | None = None

    @property
    def mass(self) -> Tensor:
        """How much the loss counts beside those of other ranks and passes: the sum of its answers' weights, a scalar."""
        return self.valid.sum() if self.weight is None else self.weight.detach()

    def tally(self) -> tuple[Tensor, Tensor]:
        """What is right and what there is, each float `[K]`, over the valid answers: the score is their mean ratio."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions(Outcome):
    """Choices among classes, scored by balanced accuracy: the mean of the classes' recalls.

    Attributes:
        logits: float `[M, classes]`.
        targets: i64 `[M]`; -1 where there is nothing to decide.
    """

    metric: ClassVar[str] = "balanced_accuracy"

    logits: Tensor
    targets: Tensor

    def tally(self) -> tuple[Tensor, Tensor]:
        """Right and all decisions by class."""
        targets, classes = self.targets[self.valid], self.logits.shape[1]
        right = targets[self.logits.detach()[self.valid].argmax(dim=1) == targets]
        counts = [torch.bincount(part, minlength=classes) for part in (right, targets)]
        return counts[0].float(), counts[1].float()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rankings(Outcome):
    """Searches for the one right candidate, scored by the share that found it.

    Attributes:
        hits: f32 `[M]`, 1 where the right candidate came first, else 0.
        chances: f32 `[M]`, the probability of a hit by guessing.
        against: name → (hits, chances) of the same searches among a part of the candidates, such as "other clips".
    """

    metric: ClassVar[str] = "hit_rate"

    hits: Tensor
    chances: Tensor
    against: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def tally(self) -> tuple[Tensor, Tensor]:
        """Hits and searches, each one number."""
        return self.hits[self.valid].float().sum()[None], self.valid.float().sum()[None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors(Outcome):
    """Predictions of values, scored by skill: 1 - error / error of a trivial baseline; 0 is no better than it.

    Attributes:
        errors: f32 `[M]`, not negative.
        baselines: f32 `[M]`, the same error of the trivial answer, such as a copy of the last frame.
    """

    metric: ClassVar[str] = "skill"

    errors: Tensor
    baselines: Tensor

    def tally(self) -> tuple[Tensor, Tensor]:
        """How much error is less than the baseline's, and the baseline's, each one number."""
        errors, baselines = self.errors.detach()[self.valid].float(), self.baselines[self.valid].float()
        return (baselines - errors).sum()[None], baselines.sum()[None]


METRICS: Final[Mapping[str, str]] = {
    "balanced_accuracy": "balanced accuracy",
    "hit_rate": "hit rate",
    "skill": "skill over the trivial answer",
}
"""Metric → how people call it."""
