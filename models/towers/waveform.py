"""The sound network of multisensory learning (Owens and Efros, ECCV 2018): convolutions on the raw waveform.

A kind of its own, `waveform`: its input is samples, not a log spectrogram, so what an `audio` tower is fed does not fit.
"""

import math
from typing import Final

import torch
from torch import Tensor, nn

from unreel.models.towers.inputs import InputSpec
from unreel.models.towers.layers import Residual, convolution, he_init, norm_layer
from unreel.models.towers.norm import Norm
from unreel.models.towers.tower import Pooling, Stage, Tower, pooled_tower

__all__ = ["SOUND_STRIDE", "multisensory_waveform", "sound_maps"]

SOUND_STRIDE: Final = 1024
"""Samples between neighbouring cells of the last map."""

_WIDTHS: Final = (128, 128, 256)


def multisensory_waveform(
    *,
    channels: int = 1,
    divisor: int = 1,
    embed_dim: int = 256,
    grid: int = 1,
    pooling: Pooling = "mean",
    norm: Norm = "batch",
) -> Tower:
    """Five convolutions with stride 4 and one pooling: a cell for each 1,024 samples, published at 21 kHz and 4.2 s.

    Args:
        channels: of the sound; 2 is published, 1 is what shards hold by default.
        divisor: of every number of channels; 1 is published.
        embed_dim: length of the embedding; 0 for the pooled map itself. Published is no embedding: see `fusion.py`.
        grid: cells that the time of the last map is pooled to.
        pooling: over each cell.
        norm: of all stages.
    """
    spec = InputSpec(kind="waveform", channels=channels, size=(87_588,))
    maps = sound_maps(channels, divisor)
    return pooled_tower(spec, maps, embed_dim=embed_dim, grid=grid, pooling=pooling, norm=norm)


def sound_maps(channels: int, divisor: int) -> dict[str, Stage]:
    """`conv1`, which sees 65 samples, and `layer2` … `layer4`, residual blocks that see 15."""
    fan_in = 64 // divisor
    pool = nn.MaxPool1d(4, ceil_mode=True)
    stem = nn.Sequential(Compress(), *convolution(channels, fan_in, (65,), (4,)), pool)
    maps = {"conv1": Stage(he_init(stem), fan_in, (16,))}
    for number, width in enumerate(_WIDTHS, start=2):
        fan_out = width // divisor
        maps[f"layer{number}"] = Stage(he_init(_block(fan_in, fan_out)), fan_out, (4 ** (number + 1),))
        fan_in = fan_out
    return maps


class Compress(nn.Module):
    """`sign(x) * log(1 + 255 |x|) / log(256)`: μ-law, so that quiet sound is not lost beside loud sound."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sign() * torch.log1p(255 * x.abs()) / math.log(256)


def _block(fan_in: int, fan_out: int) -> nn.Module:
    """Norm and ReLU follow the sum, as published; the shortcut takes every fourth cell."""
    body = nn.Sequential(
        convolution(fan_in, fan_out, (15,), (4,)), nn.Conv1d(fan_out, fan_out, 15, padding=7)
    )
    thin = nn.MaxPool1d(1, 4) if fan_in == fan_out else convolution(fan_in, fan_out, (1,), (4,), relu=False)
    return Residual(body, thin, nn.Sequential(norm_layer(fan_out, dims=1), nn.ReLU()))
