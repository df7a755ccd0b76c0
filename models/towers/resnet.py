"""Residual towers from torchvision's blocks (He et al., CVPR 2016), on frames and on log spectrograms."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from unreel.models.towers.inputs import InputSpec
from unreel.models.towers.layers import he_init
from unreel.models.towers.norm import Norm
from unreel.models.towers.tower import Pooling, Stage, Tower, pooled_tower

__all__ = ["resnet_audio", "resnet_frame"]

Block = Literal["basic", "bottleneck"]

_BLOCKS: Final[Mapping[str, type[BasicBlock] | type[Bottleneck]]] = {
    "basic": BasicBlock,
    "bottleneck": Bottleneck,
}
_WIDTHS: Final = (64, 128, 256, 512)


def resnet_frame(
    *,
    block: Block = "basic",
    depths: Sequence[int] = (2, 2, 2, 2),
    divisor: int = 1,
    embed_dim: int = 512,
    grid: int = 3,
    pooling: Pooling = "mean",
    norm: Norm = "batch",
) -> Tower:
    """A ResNet on RGB frames, published at 224x224 px, where its last map has 7x7 cells.

    Args:
        block: `basic` for ResNet-18 and 34, `bottleneck` for the deeper ones.
        depths: blocks of each of the four stages.
        divisor: of every number of channels; 1 is published.
        embed_dim: length of the embedding; 0 for the pooled map itself, which is published.
        grid: cells along each side that the last map is pooled to; 1 is published, see `embedding` for why 3.
        pooling: over each cell; `mean` is published.
        norm: of all stages.
    """
    spec = InputSpec(kind="frame", channels=3, size=(224, 224))
    maps = _maps(3, block, depths, divisor)
    return pooled_tower(spec, maps, embed_dim=embed_dim, grid=grid, pooling=pooling, norm=norm)


def resnet_audio(
    *,
    block: Block = "basic",
    depths: Sequence[int] = (2, 2, 2, 2),
    divisor: int = 1,
    embed_dim: int = 512,
    grid: int = 1,
    pooling: Pooling = "mean",
    norm: Norm = "batch",
) -> Tower:
    """A ResNet whose first convolution takes the one channel of a log spectrogram. Arguments as in `resnet_frame`."""
    spec = InputSpec(kind="audio", channels=1, size=(64, 100))
    maps = _maps(1, block, depths, divisor)
    return pooled_tower(spec, maps, embed_dim=embed_dim, grid=grid, pooling=pooling, norm=norm)


def _maps(channels: int, block: Block, depths: Sequence[int], divisor: int) -> dict[str, Stage]:
    """`stem` and `layer1` … `layer4`, whose parameters have the names that torchvision gives them."""
    if block not in _BLOCKS:
        raise ValueError(f"block {block!r}: choose one of {', '.join(_BLOCKS)}")
    if len(depths) != len(_WIDTHS):
        raise ValueError(f"depths {list(depths)}: give the blocks of each of the {len(_WIDTHS)} stages")
    kind, fan_in = _BLOCKS[block], 64 // divisor
    maps = {"stem": Stage(he_init(_stem(channels, fan_in)), fan_in, (4, 4))}
    for number, (depth, width) in enumerate(zip(depths, _WIDTHS, strict=True), start=1):
        planes, apart = width // divisor, 2 ** (number + 1)
        layer = _layer(kind, fan_in, planes, depth, 1 if number == 1 else 2)
        fan_in = planes * kind.expansion
        maps[f"layer{number}"] = Stage(he_init(layer), fan_in, (apart, apart))
    return maps


def _stem(channels: int, width: int) -> nn.Module:
    layer = nn.Conv2d(channels, width, kernel_size=7, stride=2, padding=3, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))


def _layer(
    kind: type[BasicBlock] | type[Bottleneck], fan_in: int, planes: int, depth: int, stride: int
) -> nn.Module:
    fan_out, shortcut = planes * kind.expansion, None
    if stride != 1 or fan_in != fan_out:
        layer = nn.Conv2d(fan_in, fan_out, 1, stride, bias=False)
        shortcut = nn.Sequential(layer, nn.BatchNorm2d(fan_out))
    first = kind(fan_in, planes, stride, shortcut)
    return nn.Sequential(first, *(kind(fan_out, planes) for _ in range(depth - 1)))
