"""A tower and its projection that follow another pair slowly, for keys (He et al., "Momentum contrast", CVPR 2020)."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

__all__ = ["KeyEncoder"]


class KeyEncoder(nn.Module):
    """Copies of modules whose weights keep `momentum` of themselves at each step: θk ← m θk + (1 - m) θq (equation 2).

    Statistics of batch norm are the copies' own, of the rows that they see.
    """

    def __init__(self, modules: Mapping[str, nn.Module], momentum: float) -> None:
        super().__init__()
        self.modules_by_name = nn.ModuleDict(
            {name: copy.deepcopy(module) for name, module in modules.items()}
        )
        self.modules_by_name.requires_grad_(False)
        self.momentum = momentum

    @torch.no_grad()
    def forward(self, rows: Tensor) -> Tensor:
        """The modules one after another."""
        for module in self.modules_by_name.values():
            rows = module(rows)
        return rows

    @torch.no_grad()
    def follow(self, modules: Mapping[str, nn.Module]) -> None:
        """Move towards the weights of `modules`. Raises ValueError where those lie in parts on several ranks."""
        for name, own in self.modules_by_name.items():
            mine: list[Tensor] = list(own.parameters())
            theirs: list[Tensor] = list(modules[name].parameters())
            if any(isinstance(parameter, DTensor) for parameter in (*mine, *theirs)):
                raise ValueError("objective.momentum with train.parallel 'fsdp': choose 'ddp', or momentum 0")
            torch._foreach_mul_(mine, self.momentum)
            torch._foreach_add_(mine, theirs, alpha=1 - self.momentum)
