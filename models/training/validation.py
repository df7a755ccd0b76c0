"""Validation: the same batches of held-out sources every time."""

from typing import Protocol

import torch

from unreel.models.training.config import TrainConfig
from unreel.models.training.learner import autocast
from unreel.models.training.model import PretextModel
from unreel.models.training.scores import Scores
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["BatchSource", "validate"]


class BatchSource(Protocol):
    """Gives any batch of a fixed sequence; a `Loader` of the held-out sources is one."""

    def batch(self, step: int, /) -> PretextBatch:
        """The batch of step `step`."""


@torch.no_grad()
def validate(model: PretextModel, source: BatchSource, config: TrainConfig) -> dict[str, float | int]:
    """Loss and balanced accuracy on the first `config.eval_batches` batches, and how many sources they show."""
    model.eval()
    scores, sources = Scores(), set[str]()
    for step in range(config.eval_batches):
        batch = source.batch(step).to(config.device)
        with autocast(config):
            outcome = model(batch)
        scores.add(outcome, loss=float(outcome.loss), failed=int((~batch.valid).sum()))
        sources.update(batch.sources)
    return {**scores.row(), "sources": len(sources - {""})}
