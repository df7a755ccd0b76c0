"""Validation: the same batches of held-out sources every time."""

from collections.abc import Mapping
from typing import Protocol

import torch

from unreel.models.objectives.objective import counted_over
from unreel.models.training.backward import autocast
from unreel.models.training.config import RunConfig
from unreel.models.training.model import PretextModel
from unreel.models.training.parallel import put_away
from unreel.models.training.ranks import Ranks
from unreel.models.training.scores import RunScores
from unreel.models.training.tally import Tally, count
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["BatchSource", "validate"]


class BatchSource(Protocol):
    """Gives any batch of a fixed sequence; a `Loader` of the held-out sources is one."""

    def batches(self, step: int, /) -> Mapping[str, PretextBatch]:
        """The batches of step `step`, by task."""


@torch.no_grad()
def validate(
    model: PretextModel, source: BatchSource, config: RunConfig, *, device: torch.device, ranks: Ranks
) -> dict[str, float | int]:
    """Loss and score on the first `train.eval_batches` batches of every task, and how many sources they show.

    Each rank looks at its rows of every batch; all of them are given the same numbers.
    """
    model.eval()
    scores, sources = RunScores(), set[str]()
    for step in range(config.train.eval_batches):
        tallies: dict[str, Tally] = {}
        for task, batch in source.batches(step).items():
            tallies[task] = _tally(model, task, batch.to(device), config, ranks)
            sources.update(batch.sources)
        loss = sum(config.weight_of(task) * tally.loss for task, tally in tallies.items())
        scores.add(loss, tallies)
    put_away(model)
    sources = set().union(*ranks.gather(sorted(sources)))
    return {**scores.row(several=bool(config.tasks)), "sources": len(sources - {""})}


def _tally(model: PretextModel, task: str, batch: PretextBatch, config: RunConfig, ranks: Ranks) -> Tally:
    with autocast(config.train), counted_over(ranks.sum):
        outcome = model(batch, task)
    return count([(outcome, batch)], ranks)
