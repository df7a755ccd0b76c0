"""Validation: the same batches of held-out sources every time."""

from typing import Protocol

import torch

from unreel.models.objectives.objective import counted_over
from unreel.models.training.config import TrainConfig
from unreel.models.training.learner import autocast
from unreel.models.training.model import PretextModel
from unreel.models.training.parallel import put_away
from unreel.models.training.ranks import Ranks
from unreel.models.training.scores import Scores
from unreel.models.training.tally import count
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["BatchSource", "validate"]


class BatchSource(Protocol):
    """Gives any batch of a fixed sequence; a `Loader` of the held-out sources is one."""

    def batch(self, step: int, /) -> PretextBatch:
        """The batch of step `step`."""


@torch.no_grad()
def validate(
    model: PretextModel, source: BatchSource, config: TrainConfig, *, device: torch.device, ranks: Ranks
) -> dict[str, float | int]:
    """Loss and score on the first `config.eval_batches` batches, and how many sources they show.

    Each rank looks at its rows of every batch; all of them are given the same numbers.
    """
    model.eval()
    scores, sources = Scores(), set[str]()
    for step in range(config.eval_batches):
        batch = source.batch(step).to(device)
        with autocast(config), counted_over(ranks.sum):
            outcome = model(batch)
        scores.add(count([(outcome, batch)], ranks))
        sources.update(batch.sources)
    put_away(model)
    sources = set().union(*ranks.gather(sorted(sources)))
    return {**scores.row(), "sources": len(sources - {""})}
