"""AlexNet as Caffe has it, with batch norm, and VGG-M: five convolutions and fully connected layers on one frame.

torchvision's `alexnet` is another network (no groups, 64 to 384 channels, no norm), which none of the pretext papers
used.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from torch import nn

from unreel.models.towers.inputs import InputSpec
from unreel.models.towers.norm import Norm
from unreel.models.towers.tower import Stage, Tower, embedding

__all__ = ["caffenet", "vgg_m"]


class _Layer(NamedTuple):
    """A convolution, batch norm, ReLU and, perhaps, max pooling of 3x3 with stride 2."""

    channels: int
    size: int
    stride: int
    padding: int
    groups: int
    pool: bool


_CAFFENET: Final = (
    _Layer(96, 11, 4, 0, 1, pool=True),
    _Layer(256, 5, 1, 2, 2, pool=True),
    _Layer(384, 3, 1, 1, 1, pool=False),
    _Layer(384, 3, 1, 1, 2, pool=False),
    _Layer(256, 3, 1, 1, 2, pool=True),
)
_VGG_M: Final = (
    _Layer(96, 7, 2, 0, 1, pool=True),
    _Layer(256, 5, 2, 1, 1, pool=True),
    _Layer(512, 3, 1, 1, 1, pool=False),
    _Layer(512, 3, 1, 1, 1, pool=False),
    _Layer(512, 3, 1, 1, 1, pool=True),
)
_GRID: Final = 6
"""Cells along each side of both networks' last map, at the published size, which `fc6` sees one by one."""


def caffenet(
    *, fc6: int = 4096, embed_dim: int = 4096, grid: int = _GRID, divisor: int = 1, norm: Norm = "batch"
) -> Tower:
    """AlexNet in one column with groups (Krizhevsky et al., NIPS 2012, as Caffe's reference model), 227x227 px.

    Shuffle-and-learn takes `fc7` of 4,096 numbers; order prediction (Lee et al., ICCV 2017) `fc6` of 1,024, which is
    `fc6 = 0, embed_dim = 1024`. Both norm the last three convolutions and the fully connected layers by batch and the
    first two by local responses; here each layer has batch norm. No dropout.

    Args:
        fc6: numbers that `fc6` gives; 0 leaves the layer out.
        embed_dim: numbers that the last fully connected layer gives.
        grid: cells along each side of the last map, as `fc6` sees them; smaller pictures need a smaller one.
        divisor: of every number of channels; 1 is published.
        norm: of all stages.
    """
    spec = InputSpec(kind="frame", channels=3, size=(227, 227), minimum=(39, 39))
    return _tower(spec, _CAFFENET, fc6=fc6, embed_dim=embed_dim, grid=grid, divisor=divisor, norm=norm)


def vgg_m(
    *, fc6: int = 4096, embed_dim: int = 4096, grid: int = _GRID, divisor: int = 1, norm: Norm = "batch"
) -> Tower:
    """VGG-M (Chatfield et al., BMVC 2014), 224x224 px. Arguments and what differs as in `caffenet`."""
    spec = InputSpec(kind="frame", channels=3, size=(224, 224), minimum=(41, 41))
    return _tower(spec, _VGG_M, fc6=fc6, embed_dim=embed_dim, grid=grid, divisor=divisor, norm=norm)


def _tower(
    spec: InputSpec,
    layers: Sequence[_Layer],
    *,
    fc6: int,
    embed_dim: int,
    grid: int,
    divisor: int,
    norm: Norm,
) -> Tower:
    maps = _maps(layers, divisor)
    width = layers[-1].channels // divisor
    if fc6:
        last = nn.Sequential(nn.Linear(fc6, embed_dim, bias=False), nn.BatchNorm1d(embed_dim), nn.ReLU())
        vectors = {"fc6": embedding(width, embed_dim=fc6, grid=grid), "embed": last}
    else:
        vectors = {"embed": embedding(width, embed_dim=embed_dim, grid=grid)}
    return Tower(maps, vectors, inputs=(spec,), embed_dim=embed_dim, norm=norm)


def _maps(layers: Sequence[_Layer], divisor: int) -> dict[str, Stage]:
    maps, fan_in, apart = {}, 3, 1
    for number, layer in enumerate(layers, start=1):
        fan_out = layer.channels // divisor
        apart *= layer.stride * (2 if layer.pool else 1)
        maps[f"conv{number}"] = Stage(_convolution(fan_in, fan_out, layer), fan_out, (apart, apart))
        fan_in = fan_out
    return maps


def _convolution(fan_in: int, fan_out: int, layer: _Layer) -> nn.Module:
    convolution = nn.Conv2d(
        fan_in, fan_out, layer.size, layer.stride, layer.padding, groups=layer.groups, bias=False
    )
    # Caffe and MatConvNet pool over what is left at the border too.
    pool = [nn.MaxPool2d(3, stride=2, ceil_mode=True)] if layer.pool else []
    return nn.Sequential(convolution, nn.BatchNorm2d(fan_out), nn.ReLU(inplace=True), *pool)
