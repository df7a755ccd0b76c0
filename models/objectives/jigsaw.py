"""Jigsaw puzzles (Noroozi and Favaro, ECCV 2016): in which order were the tiles laid?"""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from unreel.models.objectives.objective import Objective, decide, valid_rows
from unreel.models.objectives.outcome import Decisions
from unreel.models.towers import Tower
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["Jigsaw"]


class Jigsaw(Objective):
    """The context-free network: one tower for all tiles, their embeddings side by side → the number of the order.

    Args:
        permutations: as in the task; published 1,000.
        tiles: places of the puzzle; published 9.
        hidden: width of the layer that sees all tiles; published 4,096.
    """

    towers: ClassVar[tuple[str, ...]] = ("frame",)

    def __init__(
        self,
        towers: Mapping[str, Tower],
        *,
        permutations: int = 1000,
        tiles: int = 9,
        hidden: int = 4096,
    ) -> None:
        super().__init__()
        self.tiles = tiles
        self.head = TileHead(tiles * towers["frame"].embed_dim, hidden=hidden, permutations=permutations)

    def forward(self, towers: Mapping[str, nn.Module], batch: PretextBatch) -> Decisions:
        """Inputs `frame` float `[B, tiles, 3, h, w]`; targets i64 `[B]`.

        Raises ValueError when the batch has other tiles or orders than the head.
        """
        tiles = batch.inputs["frame"]
        if tiles.shape[1] != self.tiles:
            raise ValueError(
                f"objective.tiles = {self.tiles}: the task lays {tiles.shape[1]}; set them alike"
            )
        orders = self.head.permutations
        if len(batch) and int(batch.targets.max()) >= orders:
            raise ValueError(f"objective.permutations = {orders}: the task asks for more; set them alike")
        batch, rows = valid_rows(batch)
        tiles = batch.inputs["frame"]
        embeddings = towers["frame"](tiles.flatten(0, 1)).view(len(tiles), -1)
        return decide(
            self.head(embeddings), batch.targets, rows=rows, valid=batch.valid, class_weights="none"
        )


class TileHead(nn.Module):
    """All tiles' embeddings → linear, batch norm, ReLU → linear."""

    def __init__(self, width: int, *, hidden: int, permutations: int) -> None:
        super().__init__()
        self.permutations = permutations
        self.layers = nn.Sequential(
            nn.Linear(width, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, permutations),
        )

    def forward(self, embeddings: Tensor) -> Tensor:
        """float `[B, width]` → logits float `[B, permutations]`."""
        return self.layers(embeddings)
