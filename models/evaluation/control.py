"""What a feature is compared with: the same tower before training, and pixels that no tower has seen."""

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["CELLS", "Thumbnail", "calibrate", "low_level"]

CELLS: Final = 8
"""Cells along each side of the coarse grid that stands for what plain pixels know."""

_MOMENTS: Final = 4
"""Stretches of a clip that are averaged each by itself: enough to tell its direction."""

T = TypeVar("T")


@torch.no_grad()
def calibrate(
    module: nn.Module, inputs: Iterable[T], *, run: Callable[[T], object] | None = None
) -> nn.Module:
    """Set the running statistics of every batch norm to the mean over `inputs`, by passes in training mode.

    An untrained tower whose batch norm knows nothing of the data (mean 0, variance 1) is a weaker control than it has
    to be. Nothing but the norms is in training mode, and no weight changes.

    Args:
        inputs: batches of the samples that the probe learns from.
        run: passes a batch through `module`; by default calls it.

    Returns:
        `module`, in evaluation mode.
    """
    norms = [part for part in module.eval().modules() if isinstance(part, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all passes
        norm.train()
    for batch in inputs:
        (run or module)(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return module.eval()


def low_level(x: Tensor, *, cells: int = CELLS) -> Tensor:
    """A picture, a spectrogram or a clip averaged over a coarse grid.

    float `[B, C, H, W]` → float `[B, C * cells²]`; float `[B, C, T, H, W]` → float `[B, C * 4 * cells²]`.
    """
    if x.dim() == 5:
        return functional.adaptive_avg_pool3d(x, (_MOMENTS, cells, cells)).flatten(1)
    return functional.adaptive_avg_pool2d(x, cells).flatten(1)


class Thumbnail(nn.Module):
    """`low_level` in the place of a tower of `kind`."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.embed_dim = {"frame": 3, "audio": 1, "video": 3 * _MOMENTS}[kind] * CELLS**2

    def forward(self, x: Tensor) -> Tensor:
        return low_level(x)
