"""The optimiser, its schedule, and its state as flat named tensors."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import SGD, AdamW, Optimizer

from unreel.models.training.config import OptimiserConfig, ScheduleConfig
from unreel.models.training.sharded import divided
from unreel.pipelines.errors import StateMismatch

__all__ = ["build_optimiser", "learning_rate_share", "load_state", "state_tensors"]


def build_optimiser(model: nn.Module, config: OptimiserConfig) -> Optimizer:
    """AdamW or SGD over all parameters of `model`; vectors and scalars (biases, norm scales) are not decayed."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    if config.name == "sgd":
        return SGD(groups, lr=config.learning_rate, momentum=config.momentum)
    return AdamW(groups, lr=config.learning_rate, betas=config.betas)


def learning_rate_share(step: int, *, steps: int, config: ScheduleConfig) -> float:
    """Learning rate of step number `step` (from 0), as a share of its peak.

    `stairs` is what the pretext papers of 2016 to 2018 train with. The cosine is that of SGDR (Loshchilov and Hutter, ICLR 2017) without restarts, over the steps after the warm-up.
    """
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.name == "constant":
        return 1.0
    if config.name == "stairs":
        return config.drop ** sum(step >= at for at in config.drops)
    progress = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    return config.floor + (1 - config.floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def state_tensors(optimiser: Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """The optimiser's state by `PARAMETER/KEY`; parameters that have not moved yet have none."""
    return {
        f"{name}/{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimiser.state.get(parameter, {}).items()
        if value is not None
    }


def load_state(optimiser: Optimizer, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `state_tensors` gave, on the parameters' devices and in their memory layout.

    Raises:
        StateMismatch: a tensor belongs to a parameter that the model does not have.
    """
    parameters = dict(model.named_parameters())
    optimiser.state.clear()
    for entry, value in tensors.items():
        name, _, key = entry.rpartition("/")
        if name not in parameters:
            raise StateMismatch(
                f"the saved optimiser knows {name!r}, the model does not: another recipe wrote it"
            )
        optimiser.state[parameters[name]][key] = _like(parameters[name], value)


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    # Scalars, such as AdamW's step count, stay on the CPU, where the optimiser keeps them.
    if value.dim() == 0 or isinstance(value, DTensor):
        return value
    if isinstance(parameter, DTensor):
        return divided({"": value}, {"": parameter})[""]
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
