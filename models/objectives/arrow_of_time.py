"""The arrow of time (Wei, Lim, Zisserman, Freeman, CVPR 2018): does a clip run forwards (1) or backwards (0)?"""

from collections.abc import Mapping
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from unreel.models.objectives.objective import ClassWeights, Objective, decide, valid_rows
from unreel.models.objectives.outcome import Decisions
from unreel.models.towers import Tower
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["ArrowOfTime", "LateMaps"]


class ArrowOfTime(Objective):
    """The groups of a clip pass one video tower each, and a head joins them → the direction.

    Args:
        head: `maps` is published (T-CAM): it joins the groups' last maps, so that the class activation map of a clip
            can be drawn. `embeddings` joins their embeddings instead, by one hidden layer.
        groups: parts of a clip, as the task has them; published 2.
        hidden: channels of the head's layers; published 1024.
        dropout: of the head's convolutions; published 0.5.
        class_weights: `none` is published; see `decide`. Both directions are equally likely.
    """

    towers: ClassVar[tuple[str, ...]] = ("video",)
    readout: ClassVar[Literal["head", "whole"]] = "whole"

    def __init__(
        self,
        towers: Mapping[str, Tower],
        *,
        head: Literal["maps", "embeddings"] = "maps",
        groups: int = 2,
        hidden: int = 1024,
        dropout: float = 0.5,
        class_weights: ClassWeights = "none",
    ) -> None:
        super().__init__()
        if head not in ("maps", "embeddings"):
            raise ValueError(f"head {head!r}: choose 'maps' or 'embeddings'")
        tower = towers["video"]
        self.class_weights: ClassWeights = class_weights
        self.groups = groups
        self.maps = head == "maps"
        self.head = (
            LateMaps(groups * tower.channels[tower.map_stage()], hidden=hidden, dropout=dropout)
            if self.maps
            else _late_embeddings(groups * tower.embed_dim, hidden)
        )

    def forward(self, towers: Mapping[str, nn.Module], batch: PretextBatch) -> Decisions:
        """Input `video` float `[B, groups, 3, T, H, W]`; targets i64 `[B]`."""
        batch, rows = valid_rows(batch)
        clips = batch.inputs["video"]
        if clips.shape[1] != self.groups:
            raise ValueError(f"groups = {self.groups}: the task gives {clips.shape[1]}; set both alike")
        tower = cast(Tower, towers["video"])
        parts = clips.flatten(0, 1)
        # The head is of pictures: what is left of a group's time is averaged.
        said = tower.map(parts).mean(dim=2) if self.maps else tower(parts)
        return decide(
            self.head(said.unflatten(0, clips.shape[:2]).flatten(1, 2)),
            batch.targets,
            rows=rows,
            valid=batch.valid,
            class_weights=self.class_weights,
        )


class LateMaps(nn.Module):
    """T-CAM's head: two 3x3 convolutions with batch norm, ReLU and dropout → mean over places → linear."""

    def __init__(self, channels: int, *, hidden: int, dropout: float) -> None:
        super().__init__()
        widths = ((channels, hidden), (hidden, hidden))
        self.convolutions = nn.Sequential(*(_convolution(*pair, dropout) for pair in widths))
        self.classes = nn.Linear(hidden, 2)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of all groups, float `[B, groups * C, H, W]` → logits float `[B, 2]`."""
        return self.classes(self.convolutions(maps).mean(dim=(2, 3)))

    def activation(self, maps: Tensor) -> Tensor:
        """Where the clip looks as if it ran forwards: float `[B, H, W]`, the logit's difference before the mean."""
        weights, bias = self.classes.weight, self.classes.bias
        seen = torch.einsum("bchw,c->bhw", self.convolutions(maps), weights[1] - weights[0])
        return seen + (bias[1] - bias[0])


def _convolution(fan_in: int, fan_out: int, dropout: float) -> nn.Module:
    layer = nn.Conv2d(fan_in, fan_out, 3, padding=1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(fan_out), nn.ReLU(inplace=True), nn.Dropout(dropout))


def _late_embeddings(width: int, hidden: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, 2))
