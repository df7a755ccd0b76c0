"""Misalignment (Owens and Efros, ECCV 2018): does this sound belong to these frames? Picture and sound join early."""

from collections.abc import Mapping
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from unreel.models.objectives.objective import Objective, decide, valid_rows
from unreel.models.objectives.outcome import Decisions
from unreel.models.towers import Tower
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["FusionTrunk", "Misalignment"]

_BANDS = 4
"""Stretches of frequency that a map of sound is pooled to before its time meets that of the clip."""


class Misalignment(Objective):
    """A video tower and an audio tower, whose maps meet in a trunk → the sound belongs to the frames (1) or not (0).

    Args:
        hidden: channels of the trunk; ours, published are 128, 256 and 512 in its three parts.
        video_stage, audio_stage: stages of the towers whose maps meet; by default their last ones.
    """

    towers: ClassVar[tuple[str, ...]] = ("video", "audio")
    readout: ClassVar[Literal["head", "whole"]] = "whole"

    def __init__(
        self,
        towers: Mapping[str, Tower],
        *,
        hidden: int = 128,
        video_stage: str = "",
        audio_stage: str = "",
    ) -> None:
        super().__init__()
        wanted = {"video": video_stage, "audio": audio_stage}
        self.stages = {kind: towers[kind].map_stage(stage or None) for kind, stage in wanted.items()}
        channels = [towers[kind].channels[stage] for kind, stage in self.stages.items()]
        self.trunk = FusionTrunk(*channels, hidden=hidden)

    def forward(self, towers: Mapping[str, nn.Module], batch: PretextBatch) -> Decisions:
        """Inputs `video` float `[B, 3, T, H, W]` and `audio` float `[B, K, 1, F, S]`; targets i64 `[B, K]`.

        The frames pass their tower once for all K sounds.
        """
        batch, rows = valid_rows(batch)
        count = batch.targets.shape[1]
        video, audio = (cast(Tower, towers[kind]) for kind in self.towers)
        seen = video.map(batch.inputs["video"], self.stages["video"])
        heard = audio.map(batch.inputs["audio"].flatten(0, 1), self.stages["audio"])
        logit = self.trunk(seen.repeat_interleave(count, dim=0), heard)
        return decide(
            # The sigmoid of one logit is the softmax of it and 0.
            torch.stack([torch.zeros_like(logit), logit], dim=1),
            batch.targets.flatten(),
            rows=rows.repeat_interleave(count),
            valid=batch.valid.repeat_interleave(count),
            class_weights="none",
        )


class FusionTrunk(nn.Module):
    """Sound at the clip's times, the same at every place → concatenated to the clip's map → convolutions → one logit."""

    def __init__(self, seen: int, heard: int, *, hidden: int) -> None:
        super().__init__()
        self.merge = _convolution(seen + _BANDS * heard, hidden, size=1, stride=1)
        self.layers = nn.Sequential(
            _convolution(hidden, hidden, size=3, stride=(1, 2, 2)),
            _convolution(hidden, hidden, size=3, stride=1),
        )
        self.decide = nn.Linear(hidden, 1)

    def forward(self, seen: Tensor, heard: Tensor) -> Tensor:
        """float `[N, C, T, H, W]`, float `[N, C', F, S]` → logits float `[N]`."""
        times = functional.adaptive_max_pool2d(heard, (_BANDS, seen.shape[2])).flatten(1, 2)
        tiled = times[..., None, None].expand(-1, -1, -1, *seen.shape[3:])
        joint = self.layers(self.merge(torch.cat([seen, tiled], dim=1)))
        return self.decide(joint.mean(dim=(2, 3, 4)))[:, 0]


def _convolution(fan_in: int, fan_out: int, *, size: int, stride: int | tuple[int, int, int]) -> nn.Module:
    layer = nn.Conv3d(fan_in, fan_out, size, stride=stride, padding=size // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm3d(fan_out), nn.ReLU(inplace=True))
