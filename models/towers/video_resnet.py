"""Residual towers on clips from torchvision's blocks: R3D, MC3 and R(2+1)D (Tran et al., CVPR 2018)."""

from collections.abc import Sequence
from typing import Final

from torch import nn
from torchvision.models.video.resnet import BasicBlock, Conv2Plus1D, Conv3DNoTemporal, Conv3DSimple

from unreel.models.towers.inputs import InputSpec
from unreel.models.towers.layers import he_init
from unreel.models.towers.motion import Motion, motion_stage
from unreel.models.towers.norm import Norm
from unreel.models.towers.tower import Pooling, Stage, Tower, pooled_tower

__all__ = ["mc3", "r2plus1d", "r3d"]

Maker = type[Conv3DSimple] | type[Conv3DNoTemporal] | type[Conv2Plus1D]

_WIDTHS: Final = (64, 128, 256, 512)
_SPEC: Final = InputSpec(kind="video", channels=3, size=(16, 112, 112))


def r3d(
    *,
    depths: Sequence[int] = (2, 2, 2, 2),
    divisor: int = 1,
    embed_dim: int = 512,
    grid: int = 1,
    pooling: Pooling = "mean",
    norm: Norm = "batch",
) -> Tower:
    """R3D, published at 16 frames of 112x112 px: 3x3x3 convolutions throughout.

    Args:
        depths: blocks of each of the four stages; (2, 2, 2, 2) makes 18 layers, (3, 4, 6, 3) makes 34.
        divisor: of every number of channels; 1 is published.
        embed_dim: length of the embedding; 0 for the pooled map itself, which is published.
        grid: cells along height and width that the last map is pooled to; 1 is published.
        pooling: over each cell; `mean` is published.
        norm: of all stages.
    """
    maps = _maps([Conv3DSimple] * 4, depths, divisor, separable=False)
    return pooled_tower(_SPEC, maps, embed_dim=embed_dim, grid=grid, pooling=pooling, norm=norm)


def mc3(
    *,
    depths: Sequence[int] = (2, 2, 2, 2),
    divisor: int = 1,
    embed_dim: int = 512,
    grid: int = 1,
    pooling: Pooling = "mean",
    norm: Norm = "batch",
) -> Tower:
    """MC3: 3x3x3 convolutions in the first stage, 1x3x3 in the others, which keep all times. Arguments as in `r3d`."""
    makers: list[Maker] = [Conv3DSimple, Conv3DNoTemporal, Conv3DNoTemporal, Conv3DNoTemporal]
    maps = _maps(makers, depths, divisor, separable=False)
    return pooled_tower(_SPEC, maps, embed_dim=embed_dim, grid=grid, pooling=pooling, norm=norm)


def r2plus1d(
    *,
    depths: Sequence[int] = (2, 2, 2, 2),
    divisor: int = 1,
    published_middles: bool = False,
    embed_dim: int = 512,
    grid: int = 1,
    pooling: Pooling = "mean",
    motion: Motion = "none",
    norm: Norm = "batch",
) -> Tower:
    """R(2+1)D: each convolution in space, then in time. Arguments as in `r3d`, and:

    Args:
        published_middles: how many channels lie between space and time where a stage widens. In the paper the second
            convolution there has as many as its own widths give it, which makes 33.2 and 63.5 million parameters with
            18 and 34 layers; torchvision, whose weights for 18 layers fit with False, gives it those of the first.
        motion: show what changes in place of what is there, see `MotionEncoding`; published is `none`.
    """
    maps = _maps([Conv2Plus1D] * 4, depths, divisor, separable=True)
    for name in ("layer2", "layer3", "layer4") if published_middles else ():
        block = maps[name].module.get_submodule("0")
        he_init(_publish(block, maps[name].channels))
    maps = motion_stage(motion) | maps
    return pooled_tower(_SPEC, maps, embed_dim=embed_dim, grid=grid, pooling=pooling, norm=norm)


def _maps(
    makers: Sequence[Maker], depths: Sequence[int], divisor: int, *, separable: bool
) -> dict[str, Stage]:
    """`stem` and `layer1` … `layer4`, whose parameters have the names that torchvision gives them."""
    if len(depths) != len(_WIDTHS):
        raise ValueError(f"depths {list(depths)}: give the blocks of each of the {len(_WIDTHS)} stages")
    fan_in, apart = 64 // divisor, (1, 2, 2)
    maps = {"stem": Stage(he_init(_stem(fan_in, divisor, separable=separable)), fan_in, apart)}
    for number, (maker, depth, channels) in enumerate(zip(makers, depths, _WIDTHS, strict=True), start=1):
        fan_out, step = channels // divisor, 1 if number == 1 else 2
        time, height, width = maker.get_downsample_stride(step)
        apart = (apart[0] * time, apart[1] * height, apart[2] * width)
        maps[f"layer{number}"] = Stage(he_init(_layer(maker, fan_in, fan_out, depth, step)), fan_out, apart)
        fan_in = fan_out
    return maps


def _stem(channels: int, divisor: int, *, separable: bool) -> nn.Module:
    if not separable:
        return _normed(nn.Conv3d(3, channels, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False))
    middle = 45 // divisor
    space = nn.Conv3d(3, middle, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False)
    time = nn.Conv3d(middle, channels, (3, 1, 1), 1, (1, 0, 0), bias=False)
    return nn.Sequential(*_normed(space), *_normed(time))


def _publish(block: nn.Module, channels: int) -> nn.Module:
    """The second convolution of `block` with `3 * 3² * N * N / (3² * N + 3 * N)` channels in its middle (section 3.5)."""
    convolution = block.get_submodule("conv2")
    middle = 27 * channels * channels // (9 * channels + 3 * channels)
    convolution.register_module("0", Conv2Plus1D(channels, channels, middle))
    return convolution


def _normed(layer: nn.Conv3d) -> nn.Sequential:
    return nn.Sequential(layer, nn.BatchNorm3d(layer.out_channels), nn.ReLU(inplace=True))


def _layer(maker: Maker, fan_in: int, fan_out: int, depth: int, step: int) -> nn.Module:
    shortcut = None
    if step != 1 or fan_in != fan_out:
        layer = nn.Conv3d(fan_in, fan_out, 1, maker.get_downsample_stride(step), bias=False)
        shortcut = nn.Sequential(layer, nn.BatchNorm3d(fan_out))
    first = BasicBlock(fan_in, fan_out, maker, step, shortcut)
    return nn.Sequential(first, *(BasicBlock(fan_out, fan_out, maker) for _ in range(depth - 1)))
