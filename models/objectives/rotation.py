"""Rotation (Gidaris, Singh, Komodakis, ICLR 2018): by how many quarter turns was a picture turned?"""

from collections.abc import Mapping
from typing import ClassVar

from torch import nn

from unreel.models.objectives.objective import Objective, decide, valid_rows
from unreel.models.objectives.outcome import Decisions
from unreel.models.towers import Tower
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["Rotation"]

_TURNS = 4


class Rotation(Objective):
    """One embedding → one of four turns, by a linear layer, as published; the loss is the mean over the four copies."""

    towers: ClassVar[tuple[str, ...]] = ("frame",)

    def __init__(self, towers: Mapping[str, Tower]) -> None:
        super().__init__()
        self.head = nn.Linear(towers["frame"].embed_dim, _TURNS)

    def forward(self, towers: Mapping[str, nn.Module], batch: PretextBatch) -> Decisions:
        """Inputs `frame` float `[B, 4, 3, H, W]`; targets i64 `[B, 4]`."""
        batch, rows = valid_rows(batch)
        return decide(
            self.head(towers["frame"](batch.inputs["frame"].flatten(0, 1))),
            batch.targets.flatten(),
            rows=rows.repeat_interleave(_TURNS),
            valid=batch.valid.repeat_interleave(_TURNS),
            class_weights="none",
        )
