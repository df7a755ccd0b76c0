"""Audio-visual temporal synchronisation (Korbar, Tran, Torresani, NeurIPS 2018): are a clip and its sound in step?"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from unreel.models.objectives.contrastive import Projections, distance_logits
from unreel.models.objectives.objective import Objective, valid_rows
from unreel.models.objectives.outcome import Decisions
from unreel.models.towers import Tower
from unreel.pipelines.pretext.synchronisation import KINDS
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["MarginHead", "Synchronisation"]


class Synchronisation(Objective):
    """A video tower and an audio tower → they are in step (1) or not (0), scored by kind of negative as well.

    The loss is the published contrastive one; AVTS reports that it did not learn with a cross-entropy.

    Args:
        margin: η of the loss; published 0.99 (unverified).
        hidden: width of the space in which distances are taken; ours.
        normalise: whether embeddings have length 1 there, so that distances lie in [0, 2]; ours.
    """

    towers: ClassVar[tuple[str, ...]] = ("video", "audio")

    def __init__(
        self,
        towers: Mapping[str, Tower],
        *,
        margin: float = 0.99,
        hidden: int = 128,
        normalise: bool = True,
    ) -> None:
        super().__init__()
        if margin <= 0:
            raise ValueError(f"margin {margin}: has to be more than 0")
        project = Projections(
            towers["video"].embed_dim, towers["audio"].embed_dim, hidden=hidden, normalise=normalise
        )
        self.head = MarginHead(project, margin=margin)

    def forward(self, towers: Mapping[str, nn.Module], batch: PretextBatch) -> Decisions:
        """Inputs `video` float `[B, 3, T, H, W]`, `audio` float `[B, 1, F, S]`, `kind` i64 `[B]`; targets i64 `[B]`."""
        batch, rows = valid_rows(batch)
        seen, heard = (towers[name](batch.inputs[name]) for name in self.towers)
        logits = self.head(seen, heard)
        # Minus the logit of the right answer is what it costs.
        costs = -logits.gather(1, batch.targets[:, None])[:, 0]
        kind = batch.inputs["kind"]
        return Decisions(
            loss=torch.where(batch.valid, costs, 0).sum() / batch.valid.sum().clamp(min=1),
            logits=logits,
            targets=batch.targets,
            rows=rows,
            valid=batch.valid,
            subsets={name: kind == number for number, name in enumerate(KINDS)},
        )


class MarginHead(nn.Module):
    """Both embeddings → what "not in step" and "in step" would cost in the contrastive loss, as logits."""

    def __init__(self, project: Projections, *, margin: float) -> None:
        super().__init__()
        self.project, self.margin = project, margin

    def forward(self, seen: Tensor, heard: Tensor) -> Tensor:
        """float `[B, video_dim]`, float `[B, audio_dim]` → logits float `[B, 2]`."""
        return distance_logits(functional.pairwise_distance(*self.project(seen, heard)), self.margin)
