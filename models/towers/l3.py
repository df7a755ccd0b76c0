"""The VGG-like towers of L3-Net (Arandjelovic and Zisserman, ICCV 2017) and of AVE-Net (ECCV 2018)."""

from torch import nn

from unreel.models.towers.tower import Tower

__all__ = ["l3_audio", "l3_frame"]

_BLOCKS = (64, 128, 256, 512)
"""Output channels of the four blocks of two convolutions each."""


def l3_frame(*, stride: int = 1) -> Tower:
    """The vision network, published at 224x224 px.

    Args:
        stride: of the first convolution: 1 is L3-Net, 2 is AVE-Net, four times cheaper at no loss.
    """
    return Tower("frame", _stages(channels=3, stride=stride), embed_dim=_BLOCKS[-1])


def l3_audio(*, stride: int = 1) -> Tower:
    """The audio network, published on a 257x200 log spectrogram of one second. `stride` as in `l3_frame`."""
    return Tower("audio", _stages(channels=1, stride=stride), embed_dim=_BLOCKS[-1])


def _stages(*, channels: int, stride: int) -> dict[str, nn.Module]:
    """`block1` … `block4`; 2x2 max pooling between them, global max pooling, which is the embedding, at the end."""
    stages: dict[str, nn.Module] = {}
    for number, width in enumerate(_BLOCKS, start=1):
        layers = [
            *_convolution(channels, width, stride if number == 1 else 1),
            *_convolution(width, width, 1),
        ]
        pool = [nn.MaxPool2d(2)] if number < len(_BLOCKS) else []
        stages[f"block{number}"] = nn.Sequential(*layers, *pool)
        channels = width
    return {**stages, "embed": nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten())}


def _convolution(fan_in: int, fan_out: int, stride: int) -> list[nn.Module]:
    layer = nn.Conv2d(fan_in, fan_out, kernel_size=3, stride=stride, padding=1)
    return [layer, nn.BatchNorm2d(fan_out), nn.ReLU(inplace=True)]
