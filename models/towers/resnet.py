"""Residual towers as torchvision builds them: ResNet-18 on frames and on log spectrograms, R(2+1)D-18 on clips."""

from torch import nn
from torchvision.models import resnet18
from torchvision.models.video import r2plus1d_18

from unreel.models.towers.tower import Pooling, Tower, embedding

__all__ = ["r2plus1d_18_video", "resnet18_audio", "resnet18_frame"]

_CHANNELS = 512
"""Channels of the last map of each of these networks."""


def resnet18_frame(*, embed_dim: int = 512, grid: int = 3, pooling: Pooling = "mean") -> Tower:
    """ResNet-18 (He et al., CVPR 2016) on RGB frames; its last map, 7x7 at 224 px, pooled to `grid` x `grid`."""
    stages = _resnet18_stages(channels=3)
    stages["embed"] = embedding(_CHANNELS, embed_dim=embed_dim, grid=grid, pooling=pooling)
    return Tower("frame", stages, embed_dim=embed_dim)


def resnet18_audio(*, embed_dim: int = 512, grid: int = 1, pooling: Pooling = "mean") -> Tower:
    """ResNet-18 whose first convolution takes the one channel of a log spectrogram."""
    stages = _resnet18_stages(channels=1)
    stages["embed"] = embedding(_CHANNELS, embed_dim=embed_dim, grid=grid, pooling=pooling)
    return Tower("audio", stages, embed_dim=embed_dim)


def r2plus1d_18_video(*, embed_dim: int = 512, grid: int = 1, pooling: Pooling = "mean") -> Tower:
    """R(2+1)D-18 (Tran et al., CVPR 2018) on clips, published at 16 frames of 112x112 px."""
    network = r2plus1d_18(weights=None)
    stages: dict[str, nn.Module] = {"stem": network.stem, **_layers(network)}
    stages["embed"] = embedding(_CHANNELS, embed_dim=embed_dim, grid=grid, pooling=pooling, dims=3)
    return Tower("video", stages, embed_dim=embed_dim)


def _resnet18_stages(*, channels: int) -> dict[str, nn.Module]:
    network = resnet18(weights=None)
    if channels != 3:
        network.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
    return {"stem": stem, **_layers(network)}


def _layers(network: nn.Module) -> dict[str, nn.Module]:
    return {name: network.get_submodule(name) for name in ("layer1", "layer2", "layer3", "layer4")}
