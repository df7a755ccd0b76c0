"""What every objective is, and the masked cross-entropy that tasks with classes share."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from unreel.models.objectives.outcome import Decisions, Outcome
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["ClassWeights", "Objective", "counted_over", "decide", "take_rows", "valid_rows"]

_sum_over_ranks: ContextVar[Callable[[Tensor], Tensor]] = ContextVar("sum", default=lambda counts: counts)

ClassWeights = Literal["none", "balanced"]
"""How the loss weighs classes: `none` counts every decision once, `balanced` every class of the batch equally."""


@contextmanager
def counted_over(sum_over_ranks: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Inside the block, answers that are weighed by how many there are, are counted over all ranks by this function.

    Every rank has to pass the same objectives inside such blocks, in the same order.
    """
    token = _sum_over_ranks.set(sum_over_ranks)
    try:
        yield
    finally:
        _sum_over_ranks.reset(token)


class Objective(nn.Module):
    """The head and the loss that learn from one task's batch; takes `towers` by kind, then its settings by keyword."""

    towers: ClassVar[tuple[str, ...]]
    """Kinds of the towers that it trains."""

    readout: ClassVar[Literal["head", "whole"]] = "head"
    """What learns when the towers are frozen, for the controls: with `head`, its attribute `head` alone, which takes
    embeddings and gives logits, so that each decision passes the towers once; with `whole`, all that is not a tower."""

    def forward(self, towers: Mapping[str, nn.Module], batch: PretextBatch) -> Outcome:
        raise NotImplementedError

    def follow(self, towers: Mapping[str, nn.Module]) -> None:
        """A step has moved the weights; what follows them slowly moves here."""


def decide(
    logits: Tensor, targets: Tensor, *, rows: Tensor, valid: Tensor, class_weights: ClassWeights
) -> Decisions:
    """Softmax cross-entropy over the decisions that are `valid` and have a target.

    With `balanced`, decision i weighs 1 / (count of its class, over all ranks), so that the most likely class is the one that balanced
    accuracy asks for; without weights and with 3 negatives to a positive, saying "negative" always scores 75 %.
    """
    if class_weights not in get_args(ClassWeights):
        raise ValueError(
            f"class_weights {class_weights!r}: choose one of {', '.join(get_args(ClassWeights))}"
        )
    valid = valid & (targets >= 0)
    safe = targets.clamp(min=0)
    weights = valid.float()
    if class_weights == "balanced":
        counts = _sum_over_ranks.get()(_class_counts(safe, valid, logits.shape[1]))
        weights = weights / counts[safe].clamp(min=1)
    losses = functional.cross_entropy(logits.float(), safe, reduction="none")
    total, weight = torch.where(valid, losses * weights, 0).sum(), weights.sum()
    loss = total / weight.clamp(min=torch.finfo(torch.float32).tiny)
    return Decisions(loss=loss, logits=logits, targets=targets, rows=rows, valid=valid, weight=weight)


def _class_counts(targets: Tensor, valid: Tensor, classes: int) -> Tensor:
    """f32 `[classes]`: valid decisions of each class."""
    return torch.zeros(classes, device=targets.device).index_add_(0, targets, valid.float())


def valid_rows(batch: PretextBatch) -> tuple[PretextBatch, Tensor]:
    """The batch without its failed rows, and the row numbers i64 `[B']` that are left.

    Failed rows hold zeros, which batch norm would count into its statistics, so they do not enter a tower. A batch in
    which every row failed stays whole: towers need rows, and its loss is 0 by the mask.
    """
    rows = torch.nonzero(batch.valid).flatten()
    if len(rows) in (0, len(batch)):
        return batch, torch.arange(len(batch), device=batch.valid.device)
    return take_rows(batch, rows), rows


def take_rows(batch: PretextBatch, rows: Tensor) -> PretextBatch:
    """The batch of the rows i64 `[B']` alone."""
    kept = rows.tolist()
    return replace(
        batch,
        inputs={name: value[rows] for name, value in batch.inputs.items()},
        targets=batch.targets[rows],
        valid=batch.valid[rows],
        positions=batch.positions[kept],
        keys=tuple(batch.keys[row] for row in kept),
        sources=tuple(batch.sources[row] for row in kept),
        facts={name: value[kept] for name, value in batch.facts.items()},
    )
