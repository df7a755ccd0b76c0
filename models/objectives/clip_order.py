"""Clip order prediction (VCOP; Xu et al., CVPR 2019): in which of all orders are a few clips shown?"""

import math
from collections.abc import Mapping
from typing import ClassVar

from torch import nn

from unreel.models.objectives.objective import Objective, decide, valid_rows
from unreel.models.objectives.outcome import Decisions
from unreel.models.objectives.pairs import PairwiseHead
from unreel.models.towers import Tower
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["ClipOrder"]


class ClipOrder(Objective):
    """Embeddings of one video tower, in pairs → which order. Every order is equally likely, so no weights are needed.

    Args:
        clips: that are shown, as the task has them; published 3.
        hidden: width of the layer that the pairs share; published 512.
        dropout: before the last layer; published 0.5.
    """

    towers: ClassVar[tuple[str, ...]] = ("video",)

    def __init__(
        self, towers: Mapping[str, Tower], *, clips: int = 3, hidden: int = 512, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.clips = clips
        self.head = PairwiseHead(
            towers["video"].embed_dim,
            items=clips,
            classes=math.factorial(clips),
            hidden=hidden,
            dropout=dropout,
        )

    def forward(self, towers: Mapping[str, nn.Module], batch: PretextBatch) -> Decisions:
        """Input `video` float `[B, clips, 3, T, H, W]`; targets i64 `[B]`, a row of `orders(clips)`."""
        batch, rows = valid_rows(batch)
        clips = batch.inputs["video"]
        if clips.shape[1] != self.clips:
            raise ValueError(f"clips = {self.clips}: the task gives {clips.shape[1]}; set both alike")
        embeddings = towers["video"](clips.flatten(0, 1)).unflatten(0, clips.shape[:2])
        return decide(
            self.head(embeddings), batch.targets, rows=rows, valid=batch.valid, class_weights="none"
        )
