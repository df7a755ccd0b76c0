"""Residual towers on clips that look at time only where the map is coarse: SlowOnly, and 2D3D of DPC."""

from collections.abc import Callable, Sequence
from typing import Final

from torch import nn

from unreel.models.towers.inputs import InputSpec
from unreel.models.towers.layers import Residual, convolution, he_init
from unreel.models.towers.norm import Norm
from unreel.models.towers.tower import Pooling, Stage, Tower, pooled_tower

__all__ = ["resnet2d3d", "slow_only"]

_EXPANSION: Final = 4

Body = Callable[[int, int, tuple[int, int, int], int], nn.Sequential]
"""(channels in, channels, stride, frames that the kernels see) → the body of a residual block."""


def slow_only(
    *,
    depths: Sequence[int] = (3, 4, 6, 3),
    divisor: int = 1,
    embed_dim: int = 512,
    grid: int = 1,
    pooling: Pooling = "mean",
    norm: Norm = "batch",
) -> Tower:
    """The slow pathway alone of SlowFast (Feichtenhofer et al., ICCV 2019), published at 8 frames of 224x224 px.

    A ResNet-50 whose third and fourth stage begin each block with a kernel of three frames. All times stay.

    Args:
        depths: blocks of each of the four stages; (3, 4, 6, 3) makes 50 layers, (3, 4, 23, 3) makes 101.
        divisor: of every number of channels; 1 is published.
        embed_dim: length of the embedding; 0 for the pooled map itself, which is published.
        grid: cells along height and width that the last map is pooled to; 1 is published.
        pooling: over each cell; `mean` is published.
        norm: of all stages.
    """
    spec = InputSpec(kind="video", channels=3, size=(8, 224, 224))
    widths = [width // divisor for width in (64, 128, 256, 512)]
    maps = _maps(_bottleneck, widths, depths, expansion=_EXPANSION, strided_time=False)
    return pooled_tower(spec, maps, embed_dim=embed_dim, grid=grid, pooling=pooling, norm=norm)


def resnet2d3d(
    *,
    depths: Sequence[int] = (2, 2, 2, 2),
    divisor: int = 1,
    final_relu: bool = False,
    embed_dim: int = 256,
    grid: int = 1,
    pooling: Pooling = "mean",
    norm: Norm = "batch",
) -> Tower:
    """The tower of DPC (Han et al., ICCV workshops 2019), published on blocks of 5 frames of 128x128 px.

    Flat kernels in the first two stages, cubic ones in the others, which also halve time; 256 channels at the end.

    Args:
        depths: blocks of each of the four stages; (2, 2, 2, 2) and (3, 4, 6, 3) are published.
        divisor: of every number of channels; 1 is published.
        final_relu: whether the last map has gone through a ReLU. DPC predicts the map before it, and gives the map
            after it to its recurrent part.
        embed_dim: length of the embedding; 0 for the pooled map itself, which is published.
        grid: cells along height and width that the last map is pooled to; 1 is published.
        pooling: over each cell; `mean` is published.
        norm: of all stages.
    """
    spec = InputSpec(kind="video", channels=3, size=(5, 128, 128))
    widths = [width // divisor for width in (64, 128, 256, 256)]
    maps = _maps(_basic, widths, depths, expansion=1, strided_time=True)
    if not final_relu:
        last = list(maps.values())[-1].module.get_submodule(str(depths[-1] - 1))
        last.after = nn.Identity()
    return pooled_tower(spec, maps, embed_dim=embed_dim, grid=grid, pooling=pooling, norm=norm)


def _maps(
    body: Body, widths: Sequence[int], depths: Sequence[int], *, expansion: int, strided_time: bool
) -> dict[str, Stage]:
    """`stem` and `layer1` … `layer4`, of which the last two see three frames."""
    if len(depths) != len(widths):
        raise ValueError(f"depths {list(depths)}: give the blocks of each of the {len(widths)} stages")
    fan_in, time = widths[0], 1
    maps = {"stem": Stage(he_init(_stem(fan_in)), fan_in, (1, 4, 4))}
    for number, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
        deep, step = number > 2, 1 if number == 1 else 2
        stride = (step if deep and strided_time else 1, step, step)
        time, fan_out, apart = time * stride[0], width * expansion, 2 ** (number + 1)
        layer = _layer(body, fan_in, width, fan_out, depth, stride, frames=3 if deep else 1)
        maps[f"layer{number}"] = Stage(he_init(layer), fan_out, (time, apart, apart))
        fan_in = fan_out
    return maps


def _stem(width: int) -> nn.Module:
    return nn.Sequential(
        *convolution(3, width, (1, 7, 7), (1, 2, 2)), nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
    )


def _layer(
    body: Body,
    fan_in: int,
    width: int,
    fan_out: int,
    depth: int,
    stride: tuple[int, int, int],
    *,
    frames: int,
) -> nn.Module:
    plain = stride == (1, 1, 1) and fan_in == fan_out
    shortcut = nn.Identity() if plain else convolution(fan_in, fan_out, (1, 1, 1), stride, relu=False)
    first = Residual(body(fan_in, width, stride, frames), shortcut, nn.ReLU())
    rest = [
        Residual(body(fan_out, width, (1, 1, 1), frames), nn.Identity(), nn.ReLU()) for _ in range(depth - 1)
    ]
    return nn.Sequential(first, *rest)


def _bottleneck(fan_in: int, width: int, stride: tuple[int, int, int], frames: int) -> nn.Sequential:
    return nn.Sequential(
        convolution(fan_in, width, (frames, 1, 1)),
        convolution(width, width, (1, 3, 3), stride),
        convolution(width, width * _EXPANSION, (1, 1, 1), relu=False),
    )


def _basic(fan_in: int, width: int, stride: tuple[int, int, int], frames: int) -> nn.Sequential:
    return nn.Sequential(
        convolution(fan_in, width, (frames, 3, 3), stride),
        convolution(width, width, (frames, 3, 3), relu=False),
    )
