"""The pretext question asked of towers that nobody trained, for objectives that need more of them than an embedding."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

import torch
from torch import nn

from unreel.models.objectives import Objective
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["teach_objective"]

_LEARNING_RATE: Final = 1e-3
_WEIGHT_DECAY: Final = 0.01


def teach_objective(
    objective: nn.Module, towers: Mapping[str, nn.Module], batches: Iterable[PretextBatch], *, steps: int
) -> nn.Module:
    """Train all that is not a tower for `steps` batches, the towers frozen and in evaluation mode.

    An objective without parameters, such as a triplet loss, comes back as it is.

    Returns:
        `objective`, in evaluation mode.
    """
    for tower in towers.values():
        tower.eval().requires_grad_(False)
    parameters = list(objective.parameters())
    if parameters:
        optimiser = torch.optim.AdamW(parameters, lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
        objective.train()
        for batch in islice(batches, steps):
            optimiser.zero_grad()
            torch.autograd.backward(objective(towers, batch).loss)
            optimiser.step()
            if isinstance(objective, Objective):
                objective.follow(towers)
    return objective.eval()
