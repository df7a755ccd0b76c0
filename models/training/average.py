"""An average of the weights over the steps (EMA), which is evaluated and loaded instead of the last ones."""

import copy

import torch
from torch import Tensor
from torch.nn import Module

from unreel.models.training.model import PretextModel

__all__ = ["Average"]


class Average:
    """A model that follows another one slowly: each step it keeps `decay` of itself.

    In the first steps it keeps less, (1 + step) / (10 + step), so that it does not start as untrained weights. Running
    statistics of batch norm are averaged too, counts are taken over.
    """

    def __init__(self, model: PretextModel, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self._decay = decay

    @torch.no_grad()
    def follow(self, model: PretextModel, step: int) -> None:
        """Move towards `model` after step number `step`, from 0."""
        decay = min(self._decay, (1 + step) / (10 + step))
        own, other = _values(self.model), _values(model)
        torch._foreach_mul_(own, decay)
        torch._foreach_add_(own, other, alpha=1 - decay)
        for mine, theirs in zip(self.model.buffers(), model.buffers(), strict=True):
            if not mine.is_floating_point():
                mine.copy_(theirs)


def _values(model: Module) -> list[Tensor]:
    floats = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
    return [*model.parameters(), *floats]
