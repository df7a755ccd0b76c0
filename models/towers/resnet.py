"""Residual towers as torchvision builds them: ResNet-18 on frames and on log spectrograms, R(2+1)D-18 on clips."""

from torch import nn
from torchvision.models import resnet18
from torchvision.models.video import r2plus1d_18

from unreel.models.towers.inputs import InputSpec
from unreel.models.towers.norm import Norm
from unreel.models.towers.tower import Pooling, Stage, Tower, pooled_tower

__all__ = ["r2plus1d_18_video", "resnet18_audio", "resnet18_frame"]


def resnet18_frame(
    *, embed_dim: int = 512, grid: int = 3, pooling: Pooling = "mean", norm: Norm = "batch"
) -> Tower:
    """ResNet-18 (He et al., CVPR 2016) on RGB frames; its last map, 7x7 at 224 px, pooled to `grid` x `grid`."""
    spec = InputSpec(kind="frame", channels=3, size=(224, 224))
    return pooled_tower(spec, _resnet18(3), embed_dim=embed_dim, grid=grid, pooling=pooling, norm=norm)


def resnet18_audio(
    *, embed_dim: int = 512, grid: int = 1, pooling: Pooling = "mean", norm: Norm = "batch"
) -> Tower:
    """ResNet-18 whose first convolution takes the one channel of a log spectrogram."""
    spec = InputSpec(kind="audio", channels=1, size=(64, 100))
    return pooled_tower(spec, _resnet18(1), embed_dim=embed_dim, grid=grid, pooling=pooling, norm=norm)


def r2plus1d_18_video(
    *, embed_dim: int = 512, grid: int = 1, pooling: Pooling = "mean", norm: Norm = "batch"
) -> Tower:
    """R(2+1)D-18 (Tran et al., CVPR 2018) on clips, published at 16 frames of 112x112 px."""
    network = r2plus1d_18(weights=None)
    maps = {"stem": Stage(network.stem, 64, (1, 2, 2))}
    for number, channels in enumerate((64, 128, 256, 512), start=1):
        layer, time = network.get_submodule(f"layer{number}"), 2 ** (number - 1)
        maps[f"layer{number}"] = Stage(layer, channels, (time, 2 * time, 2 * time))
    spec = InputSpec(kind="video", channels=3, size=(16, 112, 112))
    return pooled_tower(spec, maps, embed_dim=embed_dim, grid=grid, pooling=pooling, norm=norm)


def _resnet18(channels: int) -> dict[str, Stage]:
    network = resnet18(weights=None)
    if channels != 3:
        network.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
    maps = {"stem": Stage(stem, 64, (4, 4))}
    for number, width in enumerate((64, 128, 256, 512), start=1):
        apart = 2 ** (number + 1)
        maps[f"layer{number}"] = Stage(network.get_submodule(f"layer{number}"), width, (apart, apart))
    return maps
