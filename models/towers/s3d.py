"""S3D and S3D-G (Xie et al., "Rethinking spatiotemporal feature learning", ECCV 2018), from torchvision's blocks."""

from functools import partial
from typing import Final

import torch
from torch import Tensor, nn
from torchvision.models.video.s3d import SepInceptionBlock3D, TemporalSeparableConv
from torchvision.ops.misc import Conv3dNormActivation

from unreel.models.towers.inputs import InputSpec
from unreel.models.towers.layers import he_init
from unreel.models.towers.norm import Norm
from unreel.models.towers.tower import Pooling, Stage, Tower, pooled_tower

__all__ = ["s3d"]

_MIXED: Final = {
    "mixed3": ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    "mixed4": (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    "mixed5": ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
}
"""Stage → its Inception blocks: channels of branch 0, of the middle and end of branches 1 and 2, and of branch 3."""

_NORM: Final = partial(nn.BatchNorm3d, eps=1e-3, momentum=1e-3)


def s3d(
    *,
    gating: bool = False,
    divisor: int = 1,
    embed_dim: int = 512,
    grid: int = 1,
    pooling: Pooling = "mean",
    norm: Norm = "batch",
) -> Tower:
    """S3D, published at 64 frames of 224x224 px; narration learning (Miech et al., CVPR 2020) takes 32 of 200x200.

    Args:
        gating: S3D-G: each branch of each block, and the last map before them, is scaled channel by channel by what
            its own mean over time and space says. As MIL-NCE's S3D-G has it.
        divisor: of every number of channels; 1 is published.
        embed_dim: length of the embedding; 0 for the pooled map itself.
        grid: cells along height and width that the last map is pooled to; 1 is published.
        pooling: over each cell; `mean` is published.
        norm: of all stages.
    """
    spec = InputSpec(kind="video", channels=3, size=(64, 224, 224), minimum=(5, 17, 17))
    maps = _stem(gating, divisor) | _mixed(gating, divisor)
    return pooled_tower(spec, maps, embed_dim=embed_dim, grid=grid, pooling=pooling, norm=norm)


class Gate(nn.Module):
    """Feature gating: `x * sigmoid(linear(mean over time and space))`, channel by channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.linear(x.mean(dim=(2, 3, 4))))[:, :, None, None, None]


def _stem(gating: bool, divisor: int) -> dict[str, Stage]:
    """`conv1` and `conv2`, each with the pooling behind it."""
    first, second = 64 // divisor, 192 // divisor
    conv1 = [TemporalSeparableConv(3, first, 7, 2, 3, _NORM), _pool()]
    point = Conv3dNormActivation(first, first, kernel_size=1, norm_layer=_NORM)
    conv2 = [point, TemporalSeparableConv(first, second, 3, 1, 1, _NORM), *_gates(gating, second), _pool()]
    return {
        "conv1": Stage(he_init(nn.Sequential(*conv1)), first, (2, 4, 4)),
        "conv2": Stage(he_init(nn.Sequential(*conv2)), second, (2, 8, 8)),
    }


def _pool() -> nn.Module:
    return nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))


def _gates(gating: bool, channels: int) -> list[nn.Module]:
    return [Gate(channels)] if gating else []


def _mixed(gating: bool, divisor: int) -> dict[str, Stage]:
    """`mixed3` … `mixed5`; the pooling between them is the begin of the later one."""
    pools = {"mixed4": nn.MaxPool3d(3, 2, 1), "mixed5": nn.MaxPool3d(2, 2)}
    maps, fan_in = {}, 192 // divisor
    for number, (name, blocks) in enumerate(_MIXED.items(), start=1):
        layers: list[nn.Module] = [pools[name]] if name in pools else []
        for widths in blocks:
            narrow = [width // divisor for width in widths]
            layers.append(_gated(SepInceptionBlock3D(fan_in, *narrow, _NORM), narrow, gating))
            fan_in = narrow[0] + narrow[2] + narrow[4] + narrow[5]
        maps[name] = Stage(he_init(nn.Sequential(*layers)), fan_in, (2**number, *(4 * 2**number,) * 2))
    return maps


def _gated(block: SepInceptionBlock3D, widths: list[int], gating: bool) -> nn.Module:
    if gating:
        for branch, channels in enumerate((widths[0], widths[2], widths[4], widths[5])):
            name = f"branch{branch}"
            setattr(block, name, nn.Sequential(getattr(block, name), Gate(channels)))
    return block
