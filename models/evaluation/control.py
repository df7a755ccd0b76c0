"""What a feature is compared with: the same tower before training, and pixels that no tower has seen."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["calibrate", "low_level"]


@torch.no_grad()
def calibrate(tower: nn.Module, inputs: Iterable[Tensor]) -> nn.Module:
    """Set the running statistics of every batch norm to the mean over `inputs`, by passes in training mode.

    An untrained tower whose batch norm knows nothing of the data (mean 0, variance 1) is a weaker control than it has
    to be. Nothing but the norms is in training mode, and no weight changes.

    Args:
        inputs: batches that the tower takes, of the samples that the probe learns from.

    Returns:
        `tower`, in evaluation mode.
    """
    norms = [module for module in tower.eval().modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all passes
        norm.train()
    for batch in inputs:
        tower(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return tower.eval()


def low_level(x: Tensor, *, cells: int = 8) -> Tensor:
    """The picture or the spectrogram averaged over a coarse grid: float `[B, C, H, W]` → float `[B, C * cells²]`."""
    return functional.adaptive_avg_pool2d(x, cells).flatten(1)
