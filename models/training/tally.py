"""What one step found, added up over its passes and over all ranks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from unreel.models.objectives import Outcome
from unreel.models.training.ranks import Ranks
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["Tally", "count"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The numbers of one step.

    Attributes:
        metric: what is scored, see `METRICS`.
        loss: mean over all answers by their weights; 0 where there is none.
        weight: sum of those weights, see `Outcome.mass`.
        right, total: see `Outcome.tally`.
        decisions: valid answers.
        failed: rows that were not valid.
    """

    metric: str
    loss: float
    weight: float
    right: tuple[float, ...]
    total: tuple[float, ...]
    decisions: int
    failed: int


def count(passes: Sequence[tuple[Outcome, PretextBatch]], ranks: Ranks) -> Tally:
    """Add up the passes of a step over all ranks; one small message, after which every rank knows the same numbers."""
    parts = [_numbers(outcome, batch) for outcome, batch in passes]
    summed = ranks.sum(torch.stack(parts).sum(dim=0)).tolist()
    weighted, weight, decisions, failed = summed[:4]
    classes = (len(summed) - 4) // 2
    whole = ranks.size == len(parts) == 1
    return Tally(
        metric=passes[0][0].metric,
        # A loss that is multiplied and divided again would differ in its last bit.
        loss=float(passes[0][0].loss.detach()) if whole else _mean(weighted, weight),
        weight=weight,
        right=tuple(summed[4 : 4 + classes]),
        total=tuple(summed[4 + classes :]),
        decisions=int(decisions),
        failed=int(failed),
    )


def _numbers(outcome: Outcome, batch: PretextBatch) -> torch.Tensor:
    """f64 `[4 + 2 K]` on the CPU, so that it goes by gloo beside whatever the GPU does."""
    loss, weight = outcome.loss.detach().double().cpu(), outcome.mass.double().cpu()
    failed = (~batch.valid).sum().double().cpu()
    head = torch.stack([loss * weight, weight, outcome.valid.sum().double().cpu(), failed])
    return torch.cat([head, *(part.double().cpu() for part in outcome.tally())])


def _mean(weighted: float, weight: float) -> float:
    return weighted / weight if weight or math.isnan(weighted) else 0.0
