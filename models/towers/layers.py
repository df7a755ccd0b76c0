"""Layers that several families of towers share: convolution with norm, the residual block, initial weights."""

from collections.abc import Sequence
from typing import Final, TypeVar

import torch
from torch import Tensor, nn

__all__ = ["Residual", "convolution", "he_init", "norm_layer"]

_CONVOLUTIONS: Final = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_NORMS: Final = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}

M = TypeVar("M", bound=nn.Module)


def convolution(
    fan_in: int, fan_out: int, size: Sequence[int], stride: Sequence[int] | None = None, *, relu: bool = True
) -> nn.Sequential:
    """A convolution of odd `size` along each axis, padded so that stride 1 keeps the size; batch norm; ReLU.

    Args:
        fan_in: channels that come in.
        fan_out: channels that go out.
        size: of the kernel along each of one to three axes.
        stride: along each axis, by default 1.
        relu: whether a ReLU follows.
    """
    padding = tuple(length // 2 for length in size)
    steps = tuple(stride) if stride else (1,) * len(size)
    layer = _CONVOLUTIONS[len(size)](fan_in, fan_out, tuple(size), steps, padding, bias=False)  # type: ignore[arg-type]
    end = [nn.ReLU(inplace=True)] if relu else []
    return nn.Sequential(layer, norm_layer(fan_out, dims=len(size)), *end)


def norm_layer(channels: int, *, dims: int) -> nn.Module:
    """Batch norm over maps of `dims` axes."""
    return _NORMS[dims](channels)


class Residual(nn.Module):
    """`after(body(x) + shortcut(x))` (He et al., CVPR 2016)."""

    def __init__(self, body: nn.Module, shortcut: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut, self.after = body, shortcut, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.body(x) + self.shortcut(x))


@torch.no_grad()
def he_init(module: M) -> M:
    """Every convolution of `module` as torchvision's residual networks begin: normal, by its fan-out, biases 0."""
    for part in module.modules():
        if isinstance(part, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return module
