"""The trunk of multisensory learning (Owens and Efros, ECCV 2018): picture and sound are joined early.

A kind of its own, `fusion`: its input is a pair, a clip and its waveform, and neither has an embedding without the
other, so it cannot stand in the place of a video tower and an audio tower.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from unreel.models.towers.inputs import InputSpec
from unreel.models.towers.layers import Residual, convolution, he_init, norm_layer
from unreel.models.towers.norm import Norm
from unreel.models.towers.tower import Inputs, Pooling, Stage, Tower, embedding
from unreel.models.towers.waveform import sound_maps

__all__ = ["FusionTower", "multisensory_fusion"]

_CUBE: Final = (3, 3, 3)


class FusionTower(Tower):
    """A tower on pairs of a clip, float `[B, 3, T, H, W]`, and its sound, float `[B, C, N]`.

    Its stages are those of the clip, those of the sound, `merge`, and those of both. `channels` and `stride` name them
    all; the map of a stage of the clip does not need the sound, but the pair is checked.
    """

    def __init__(
        self,
        clip: Mapping[str, Stage],
        sound: Mapping[str, Stage],
        joint: Mapping[str, Stage],
        embed: nn.Module,
        *,
        inputs: tuple[InputSpec, InputSpec],
        embed_dim: int,
        norm: Norm,
    ) -> None:
        """`joint` begins with `merge`, whose module takes the last maps of `clip` and of `sound`."""
        maps = {**clip, **sound, **joint}
        super().__init__(maps, {"embed": embed}, inputs=inputs, embed_dim=embed_dim, norm=norm, kind="fusion")
        self._clip, self._sound = tuple(clip), tuple(sound)

    def _walk(self, x: Inputs) -> Iterator[tuple[str, Tensor]]:
        clip, sound = self.check(x)
        for name in self._clip:
            clip = self.stages[name](clip)
            yield name, clip
        for name in self._sound:
            sound = self.stages[name](sound)
            yield name, sound
        both = self.stages["merge"](clip, sound)
        yield "merge", both
        for name in list(self.stages)[len(self._clip) + len(self._sound) + 1 :]:
            both = self.stages[name](both)
            yield name, both


def multisensory_fusion(
    *,
    channels: int = 1,
    divisor: int = 1,
    embed_dim: int = 512,
    grid: int = 1,
    pooling: Pooling = "mean",
    norm: Norm = "batch",
) -> Tower:
    """The published network: 125 frames of 224x224 px at 29.97 Hz with their 4.2 s of sound at 21 kHz.

    Published is random pooling of the sound to the clip's length in time; here it is adaptive, the same at each call.

    Args:
        channels: of the sound; 2 is published, 1 is what shards hold by default.
        divisor: of every number of channels; 1 is published.
        embed_dim: length of the embedding; 0 for the pooled map itself, which is published.
        grid: cells along height and width that the last map is pooled to; 1 is published.
        pooling: over each cell; `mean` is published.
        norm: of all stages.
    """
    width = 512 // divisor
    return FusionTower(
        _clip_maps(divisor),
        {f"sound_{name}": stage for name, stage in sound_maps(channels, divisor).items()},
        _joint_maps(divisor),
        embedding(width, embed_dim=embed_dim, grid=grid, pooling=pooling, dims=3),
        inputs=(
            InputSpec(kind="video", channels=3, size=(125, 224, 224)),
            InputSpec(kind="waveform", channels=channels, size=(87_588,)),
        ),
        embed_dim=embed_dim or width * grid**2,
        norm=norm,
    )


class Merge(nn.Module):
    """Sound at the clip's times, the same at every place → concatenated to the clip's map → two 1x1x1 convolutions."""

    def __init__(self, clip: int, sound: int, *, divisor: int) -> None:
        super().__init__()
        middle, after = 512 // divisor, 128 // divisor
        self.sound = convolution(sound, 2 * clip, (3,))
        self.kept = clip
        self.body = nn.Sequential(convolution(3 * clip, middle, (1, 1, 1)), nn.Conv3d(middle, after, 1))
        self.after = nn.Sequential(norm_layer(after, dims=3), nn.ReLU())

    def forward(self, clip: Tensor, sound: Tensor) -> Tensor:
        """float `[B, clip, T, H, W]`, float `[B, sound, N]` → float `[B, 128 / divisor, T, H, W]`."""
        heard = self.sound(functional.adaptive_max_pool1d(sound, clip.shape[2]))
        both = torch.cat([clip, heard[..., None, None].expand(-1, -1, -1, *clip.shape[3:])], dim=1)
        # The shortcut is the clip and the last part of the sound, as many channels as come out.
        short = torch.cat([both[:, : self.kept], both[:, -self.kept :]], dim=1)
        return self.after(self.body(both) + short)


def _clip_maps(divisor: int) -> dict[str, Stage]:
    width = 64 // divisor
    stem = nn.Sequential(
        *convolution(3, width, (5, 7, 7), (2, 2, 2)), nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
    )
    layer = nn.Sequential(_block(width, width), _block(width, width, (2, 2, 2)))
    return {
        "clip_conv1": Stage(he_init(stem), width, (2, 4, 4)),
        "clip_layer2": Stage(he_init(layer), width, (4, 8, 8)),
    }


def _joint_maps(divisor: int) -> dict[str, Stage]:
    """`merge` and `layer3` … `layer5`; `layer4` halves time, height and width, `layer5` keeps all times."""
    first, second, third = (n // divisor for n in (128, 256, 512))
    merge = Merge(64 // divisor, 256 // divisor, divisor=divisor)
    layer3 = nn.Sequential(_block(first, first), _block(first, first))
    layer4 = nn.Sequential(_block(first, second, (2, 2, 2)), _block(second, second))
    layer5 = nn.Sequential(_block(second, third, (1, 2, 2)), _block(third, third))
    return {
        "merge": Stage(he_init(merge), first, (4, 8, 8)),
        "layer3": Stage(he_init(layer3), first, (4, 8, 8)),
        "layer4": Stage(he_init(layer4), second, (8, 16, 16)),
        "layer5": Stage(he_init(layer5), third, (8, 32, 32)),
    }


def _block(fan_in: int, fan_out: int, stride: tuple[int, int, int] = (1, 1, 1)) -> nn.Module:
    """Norm and ReLU follow the sum, as published."""
    body = nn.Sequential(
        convolution(fan_in, fan_out, _CUBE, stride), nn.Conv3d(fan_out, fan_out, 3, padding=1)
    )
    if fan_in != fan_out:
        shortcut: nn.Module = convolution(fan_in, fan_out, (1, 1, 1), stride, relu=False)
    else:
        shortcut = nn.Identity() if stride == (1, 1, 1) else nn.MaxPool3d(1, stride)
    return Residual(body, shortcut, nn.Sequential(norm_layer(fan_out, dims=3), nn.ReLU()))
