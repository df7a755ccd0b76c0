"""Sequence sorting (OPN: Lee, Huang, Singh, Yang, ICCV 2017): in which order were four shuffled frames filmed?"""

from collections.abc import Mapping
from typing import ClassVar, Final

from torch import nn

from unreel.models.objectives.objective import ClassWeights, Objective, decide, valid_rows
from unreel.models.objectives.outcome import Decisions
from unreel.models.objectives.pairs import PairwiseHead
from unreel.models.towers import Tower
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["SequenceSorting"]

_FRAMES: Final = 4
_ORDERS: Final = 12
"""4! / 2: an order and its reversal are one class."""


class SequenceSorting(Objective):
    """Four embeddings of one tower, in pairs → one of 12 orders.

    Args:
        hidden: width of the layer that all pairs share; 512 is published.
        norm: batch norm in that layer; published.
        pair_dropout: share of a pair's features that training drops; 0.5 is published.
        class_weights: `none` is published; see `decide`. Orders are drawn evenly, so it matters little.
    """

    towers: ClassVar[tuple[str, ...]] = ("frame",)

    def __init__(
        self,
        towers: Mapping[str, Tower],
        *,
        hidden: int = 512,
        norm: bool = True,
        pair_dropout: float = 0.5,
        class_weights: ClassWeights = "none",
    ) -> None:
        super().__init__()
        self.class_weights: ClassWeights = class_weights
        self.head = PairwiseHead(
            towers["frame"].embed_dim,
            items=_FRAMES,
            classes=_ORDERS,
            hidden=hidden,
            norm=norm,
            pair_dropout=pair_dropout,
        )

    def forward(self, towers: Mapping[str, nn.Module], batch: PretextBatch) -> Decisions:
        """Input `frame` float `[B, 4, 3, H, W]`; targets i64 `[B]` in [0, 12), -1 where there is no answer."""
        batch, rows = valid_rows(batch)
        frames = batch.inputs["frame"]
        embeddings = towers["frame"](frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        return decide(
            self.head(embeddings),
            batch.targets,
            rows=rows,
            valid=batch.valid,
            class_weights=self.class_weights,
        )
