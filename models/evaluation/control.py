"""What a feature is compared with: the same tower before training, and pixels that no tower has seen."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["calibrate", "low_level", "random_twin"]


def random_twin(build: Callable[[], nn.Module], inputs: Iterable[Tensor], *, seed: int = 0) -> nn.Module:
    """A tower as it is before training, its batch norm calibrated on `inputs`, in evaluation mode.

    Without calibration a random network's batch norm passes on the statistics of nothing (mean 0, variance 1), and
    the control would be weaker than a random network has to be.

    Args:
        build: makes a new tower with weights from torch's global generator, which is left as it was.
        inputs: batches that the tower takes, the ones that the probe learns from.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        twin = build()
    return calibrate(twin, inputs)


@torch.no_grad()
def calibrate(tower: nn.Module, inputs: Iterable[Tensor]) -> nn.Module:
    """Set the running statistics of every batch norm to the mean over `inputs`, by passes in training mode.

    Nothing else is in training mode, and no weight changes. Returns `tower`, in evaluation mode.
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
