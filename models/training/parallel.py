"""How a model lies on several ranks: whole on each, with gradients that are averaged (DDP)."""

from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from unreel.models.towers import Tower
from unreel.models.training.config import TrainConfig
from unreel.models.training.model import PretextModel
from unreel.models.training.ranks import Ranks

__all__ = ["spread", "withheld"]


def spread(model: PretextModel, config: TrainConfig, ranks: Ranks, device: torch.device) -> nn.Module:
    """What is called instead of `model`, whose parameters get the mean of all ranks' gradients by it.

    Weights and buffers become those of rank 0. Buffers, such as the running statistics of batch norm, are rank 0's again
    before each forward pass in training.

    Raises:
        ValueError: statistics of batch norm should be those of all ranks, on a CPU.
    """
    if config.sync_batch_norm and device.type != "cuda":
        raise ValueError(
            "train.sync_batch_norm needs CUDA devices: on a CPU set `norm` of the towers to 'group' or 'layer', "
            "which do not look at other rows"
        )
    if config.compile:
        _compile(model)
    if ranks.size == 1:
        return model
    if config.sync_batch_norm:
        nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    # Objectives that read a map leave the stages after it unused; looking for those costs one walk over the graph.
    return DistributedDataParallel(
        model,
        device_ids=[device] if device.type == "cuda" else None,
        find_unused_parameters=True,
    )


def _compile(model: PretextModel) -> None:
    """Stage by stage and in place: names of parameters stay, and heads read maps of compiled stages as well."""
    for tower in model.towers.values():
        for stage in cast(Tower, tower).stages.values():
            stage.compile()


def withheld(spread_model: nn.Module) -> AbstractContextManager[None]:
    """Inside the block gradients are added up on each rank, and not sent: for all passes of a step but the last."""
    if isinstance(spread_model, DistributedDataParallel):
        return spread_model.no_sync()
    return nullcontext()
