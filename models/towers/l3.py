"""The VGG-like towers of L3-Net (Arandjelovic and Zisserman, ICCV 2017) and of AVE-Net (ECCV 2018)."""

from torch import nn

from unreel.models.towers.inputs import InputSpec
from unreel.models.towers.norm import Norm
from unreel.models.towers.tower import Pooling, Stage, Tower, pooled_tower

__all__ = ["l3_audio", "l3_frame"]

_BLOCKS = (64, 128, 256, 512)
"""Output channels of the four blocks of two convolutions each."""


def l3_frame(
    *,
    stride: int = 1,
    divisor: int = 1,
    embed_dim: int = 0,
    grid: int = 1,
    pooling: Pooling = "max",
    norm: Norm = "batch",
) -> Tower:
    """The vision network, published at 224x224 px.

    Args:
        stride: of the first convolution: 1 is L3-Net, 2 is AVE-Net, four times cheaper at no loss.
        divisor: of every number of channels; 1 is published.
        embed_dim: 0, as published, is the last map's maximum, 512 numbers; otherwise a layer behind the pooling.
        grid: cells along each side; 1 is published.
        pooling: over each cell; `max` is published.
        norm: of all stages.
    """
    spec = InputSpec(kind="frame", channels=3, size=(224, 224), minimum=(8 * stride,) * 2)
    return pooled_tower(
        spec, _stages(3, stride, divisor), embed_dim=embed_dim, grid=grid, pooling=pooling, norm=norm
    )


def l3_audio(
    *,
    stride: int = 1,
    divisor: int = 1,
    embed_dim: int = 0,
    grid: int = 1,
    pooling: Pooling = "max",
    norm: Norm = "batch",
) -> Tower:
    """The audio network, published on a 257x200 log spectrogram of one second. Arguments as in `l3_frame`."""
    spec = InputSpec(kind="audio", channels=1, size=(257, 200), minimum=(8 * stride,) * 2)
    return pooled_tower(
        spec, _stages(1, stride, divisor), embed_dim=embed_dim, grid=grid, pooling=pooling, norm=norm
    )


def _stages(channels: int, stride: int, divisor: int) -> dict[str, Stage]:
    """`block1` … `block4`, with 2x2 max pooling between them."""
    stages = {}
    for number, published in enumerate(_BLOCKS, start=1):
        width = published // divisor
        layers = [
            *_convolution(channels, width, stride if number == 1 else 1),
            *_convolution(width, width, 1),
        ]
        halved = number < len(_BLOCKS)
        layers += [nn.MaxPool2d(2)] if halved else []
        apart = stride * 2 ** (number if halved else number - 1)
        stages[f"block{number}"] = Stage(nn.Sequential(*layers), width, (apart, apart))
        channels = width
    return stages


def _convolution(fan_in: int, fan_out: int, stride: int) -> list[nn.Module]:
    layer = nn.Conv2d(fan_in, fan_out, kernel_size=3, stride=stride, padding=1)
    return [layer, nn.BatchNorm2d(fan_out), nn.ReLU(inplace=True)]
