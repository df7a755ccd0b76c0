"""Time-contrastive networks, single view (Sermanet et al., arXiv 1704.06888): near in time is near in the embedding."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from unreel.models.objectives.objective import Objective, valid_rows
from unreel.models.objectives.outcome import Rankings
from unreel.models.towers import Tower
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["TimeContrast", "n_pairs", "semi_hard_triplets"]


class TimeContrast(Objective):
    """Each anchor is to lie nearer to its positive than to frames of its clip that are farther away in time.

    Scored by rankings: a hit is an anchor whose positive is nearer than each of its negatives.

    Args:
        loss: `triplet` with semi-hard negatives, published for a single view; or `npairs` (Sohn, NIPS 2016), published
            for several views, on embeddings that are not normalised.
        embed_dim: of the embedding that is compared; published 32.
        margin: of the triplets; published 0.2.
        npairs_decay: weight of the mean squared length of the embeddings in `npairs`; ours is what is usual, 0.002.
    """

    towers: ClassVar[tuple[str, ...]] = ("frame",)
    readout: ClassVar[Literal["head", "whole"]] = "whole"

    def __init__(
        self,
        towers: Mapping[str, Tower],
        *,
        loss: Literal["triplet", "npairs"] = "triplet",
        embed_dim: int = 32,
        margin: float = 0.2,
        npairs_decay: float = 0.002,
    ) -> None:
        super().__init__()
        if loss not in ("triplet", "npairs"):
            raise ValueError(f"loss {loss!r}: choose 'triplet' or 'npairs'")
        self.triplet, self.margin, self.npairs_decay = loss == "triplet", margin, npairs_decay
        self.projection = nn.Linear(towers["frame"].embed_dim, embed_dim)

    def forward(self, towers: Mapping[str, nn.Module], batch: PretextBatch) -> Rankings:
        """Inputs `frame` float `[B, F, 3, H, W]` and `apart` bool `[B, P, F]`; targets i64 `[B, P]` into F.

        The anchors are the frames 0, 2, 4 …
        """
        batch, rows = valid_rows(batch)
        frames, apart, positive = batch.inputs["frame"], batch.inputs["apart"], batch.targets
        said = self.projection(towers["frame"](frames.flatten(0, 1))).float().unflatten(0, frames.shape[:2])
        near = self._nearness(said)
        usable = batch.valid[:, None] & apart.any(dim=2)
        losses = self._losses(near, positive, apart) + self._decay(said)[:, None]
        return Rankings(
            loss=torch.where(usable, losses, 0).sum() / usable.sum().clamp(min=1),
            rows=rows.repeat_interleave(positive.shape[1]),
            valid=usable.flatten(),
            hits=(_chosen(near, positive) > _best(near, apart)).float().flatten(),
            chances=(1 / (1 + apart.sum(dim=2))).flatten(),
        )

    def _nearness(self, said: Tensor) -> Tensor:
        """How near each frame is to each anchor, float `[B, F, D]` → `[B, P, F]`: products, or squared distances below 0."""
        if not self.triplet:
            return said[:, ::2] @ said.mT
        unit = functional.normalize(said, dim=2)
        return 2 * (unit[:, ::2] @ unit.mT) - 2

    def _losses(self, near: Tensor, positive: Tensor, apart: Tensor) -> Tensor:
        if self.triplet:
            return semi_hard_triplets(near, positive, apart, margin=self.margin)
        return n_pairs(near, positive, apart)

    def _decay(self, said: Tensor) -> Tensor:
        """What long embeddings cost, f32 `[B]`; nothing where they are normalised."""
        if self.triplet:
            return said.new_zeros(len(said))
        return self.npairs_decay * said.square().sum(dim=2).mean(dim=1)


def semi_hard_triplets(near: Tensor, positive: Tensor, apart: Tensor, *, margin: float) -> Tensor:
    """Triplet losses with the negative that is just farther away than the positive (Schroff et al., CVPR 2015).

    Where every negative is nearer than the positive it is the farthest of them, as TensorFlow's implementation has it.

    Args:
        near: minus the squared distances of anchors and frames, float `[B, P, F]`.
        positive: i64 `[B, P]` into F.
        apart: the negatives, bool `[B, P, F]`.

    Returns:
        max(0, margin + d² of the positive - d² of the negative), `[B, P]`; NaN and infinite nowhere.
    """
    chosen = _chosen(near, positive)
    farther = apart & (near < chosen[:, :, None])
    just = _best(near, farther)
    farthest = near.masked_fill(~apart, torch.inf).amin(dim=2)
    negative = torch.where(farther.any(dim=2), just, farthest)
    return torch.where(apart.any(dim=2), margin - chosen + negative, 0).clamp(min=0)


def n_pairs(near: Tensor, positive: Tensor, apart: Tensor) -> Tensor:
    """Softmax cross-entropy of the positive among itself and the negatives (Sohn, NIPS 2016), `[B, P]`; see above."""
    candidates = apart.scatter(2, positive[:, :, None], True)
    return near.masked_fill(~candidates, -torch.inf).logsumexp(dim=2) - _chosen(near, positive)


def _chosen(near: Tensor, positive: Tensor) -> Tensor:
    return near.gather(2, positive[:, :, None]).squeeze(2)


def _best(near: Tensor, among: Tensor) -> Tensor:
    return near.masked_fill(~among, -torch.inf).amax(dim=2)
