"""How a model lies on several ranks: whole on each, with gradients that are averaged (DDP)."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from unreel.models.training.ranks import Ranks

__all__ = ["spread", "withheld"]


def spread(model: nn.Module, ranks: Ranks, device: torch.device) -> nn.Module:
    """What is called instead of `model`, whose parameters get the mean of all ranks' gradients by it.

    Weights and buffers become those of rank 0. Buffers, such as the running statistics of batch norm, are rank 0's again
    before each forward pass in training.
    """
    if ranks.size == 1:
        return model
    # Objectives that read a map leave the stages after it unused; looking for those costs one walk over the graph.
    return DistributedDataParallel(
        model,
        device_ids=[device] if device.type == "cuda" else None,
        find_unused_parameters=True,
    )


def withheld(spread_model: nn.Module) -> AbstractContextManager[None]:
    """Inside the block gradients are added up on each rank, and not sent: for all passes of a step but the last."""
    if isinstance(spread_model, DistributedDataParallel):
        return spread_model.no_sync()
    return nullcontext()
