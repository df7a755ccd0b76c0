"""How a model lies on several ranks: whole on each, with gradients that are averaged (DDP), or in parts (FSDP2)."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import cast

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.parallel import DistributedDataParallel

from unreel.models.towers import Tower
from unreel.models.training.config import TrainConfig
from unreel.models.training.model import PretextModel
from unreel.models.training.ranks import Ranks

__all__ = ["prepare", "put_away", "replicate", "shard", "withheld"]


def prepare(model: PretextModel, config: TrainConfig, ranks: Ranks, device: torch.device) -> None:
    """Make, in place, what the settings ask for beside DDP: compiled stages, parts on each rank, one batch norm of all.

    Raises:
        ValueError: statistics of batch norm should be those of all ranks, on a CPU; or fp16 with parts, whose overflow is
            seen by one rank only.
    """
    if config.parallel == "fsdp" and config.amp == "fp16":
        raise ValueError("train.parallel 'fsdp' with train.amp 'fp16': choose amp 'bf16' or 'off'")
    if config.sync_batch_norm and device.type != "cuda":
        raise ValueError(
            "train.sync_batch_norm needs CUDA devices: on a CPU set `norm` of the towers to 'group' or 'layer', "
            "which do not look at other rows"
        )
    if config.compile:
        _compile(model)
    if config.parallel == "fsdp":
        shard(model, ranks, device)
    elif config.sync_batch_norm and ranks.size > 1:
        nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]


def replicate(model: PretextModel, device: torch.device, *, unused: bool) -> DistributedDataParallel:
    """What is called instead of `model`, whose parameters get the mean of all ranks' gradients by it.

    Weights and buffers become those of rank 0. Buffers, such as the running statistics of batch norm, are rank 0's again
    before each forward pass in training.

    Args:
        unused: some parameters get no gradient, as those of stages after the map that a head reads; looking for them costs a
            walk over the graph in each pass.
    """
    ids = [device] if device.type == "cuda" else None
    return DistributedDataParallel(model, device_ids=ids, find_unused_parameters=unused)


def shard(model: PretextModel, ranks: Ranks, device: torch.device) -> None:
    """Divide, in place, every parameter among the ranks; a stage's are whole only while it runs."""
    if ranks.size == 1:
        return
    mesh = init_device_mesh(device.type, (ranks.size,))
    for parameter in model.parameters():
        # Parts are cut from rows that lie one after another.
        parameter.data = parameter.data.contiguous()
    for tower in model.towers.values():
        for stage in cast(Tower, tower).stages.values():
            fully_shard(stage, mesh=mesh)
    fully_shard(model, mesh=mesh)


def put_away(model: nn.Module) -> None:
    """After passes without a backward: nothing stays whole that should lie in parts."""
    if isinstance(model, FSDPModule):
        model.reshard()


def _compile(model: PretextModel) -> None:
    """Stage by stage and in place: names of parameters stay, and heads read maps of compiled stages as well."""
    for tower in model.towers.values():
        for stage in cast(Tower, tower).stages.values():
            stage.compile()


def withheld(spread_model: nn.Module) -> AbstractContextManager[None]:
    """Inside the block gradients are added up on each rank, and not sent: for all passes of a step but the last."""
    if isinstance(spread_model, DistributedDataParallel):
        return spread_model.no_sync()
    return _unsent(spread_model) if isinstance(spread_model, FSDPModule) else nullcontext()


@contextmanager
def _unsent(model: FSDPModule) -> Iterator[None]:
    model.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        model.set_requires_gradient_sync(True)
