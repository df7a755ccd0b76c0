"""Time-contrastive networks, single view (Sermanet et al., arXiv 1704.06888): near in time is near in the embedding."""

from collections.abc import Mapping
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from unreel.models.objectives.info_nce import ClipContrast, source_numbers
from unreel.models.objectives.momentum import KeyEncoder
from unreel.models.objectives.objective import Objective, valid_rows
from unreel.models.objectives.outcome import Rankings
from unreel.models.objectives.peers import grouped, shuffled
from unreel.models.towers import Tower
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["TimeContrast", "n_pairs", "semi_hard_triplets"]

Loss = Literal["triplet", "npairs", "infonce"]


class TimeContrast(Objective):
    """Each anchor is to lie nearer to its positive than to frames of its clip that are farther away in time.

    Scored by rankings: a hit is an anchor whose positive is nearer than each of its negatives in the clip.

    Args:
        loss: `triplet` with semi-hard negatives, published for a single view; `npairs` (Sohn, NIPS 2016), published
            for several views, on embeddings that are not normalised; or `infonce`, ours here, in which frames of all
            clips of other sources stand against an anchor as well: those of the batch on all ranks, and of a queue.
        embed_dim: of the embedding that is compared; published 32.
        margin: of the triplets; published 0.2.
        npairs_decay: weight of the mean squared length of the embeddings in `npairs`; ours is what is usual, 0.002.
        temperature: of `infonce`; 0.07 as in momentum contrast.
        queue: with `infonce`, keys of earlier batches that are kept; 0 for none.
        momentum: with `infonce`, what the encoder of the keys keeps of itself at each step, such as 0.999; 0 takes the
            keys of the tower itself, with gradients.
        shuffle_groups: with `infonce`, ShuffleBN: keys are made in so many groups on each rank, of frames that were
            shuffled across all of them, and queries in as many that were not, so that batch norm does not tell which
            keys are of a query's own batch. 0 for none; 1 needs several ranks.
    """

    towers: ClassVar[tuple[str, ...]] = ("frame",)
    readout: ClassVar[Literal["head", "whole"]] = "whole"

    def __init__(
        self,
        towers: Mapping[str, Tower],
        *,
        loss: Loss = "triplet",
        embed_dim: int = 32,
        margin: float = 0.2,
        npairs_decay: float = 0.002,
        temperature: float = 0.07,
        queue: int = 0,
        momentum: float = 0.0,
        shuffle_groups: int = 0,
    ) -> None:
        super().__init__()
        if loss not in get_args(Loss):
            raise ValueError(f"loss {loss!r}: choose one of {', '.join(get_args(Loss))}")
        if loss != "infonce" and (queue or momentum or shuffle_groups):
            raise ValueError(f"loss {loss!r} has no queue, momentum or shuffle_groups: choose 'infonce'")
        if not 0 <= momentum < 1 or queue < 0 or shuffle_groups < 0:
            raise ValueError(
                f"momentum {momentum}, queue {queue}, shuffle_groups {shuffle_groups}: "
                "a share below 1, and numbers from 0 on, are needed"
            )
        self.loss: Loss = loss
        self.margin, self.npairs_decay, self.shuffle_groups = margin, npairs_decay, shuffle_groups
        self.projection = nn.Linear(towers["frame"].embed_dim, embed_dim)
        self.contrast = (
            ClipContrast(embed_dim, temperature=temperature, queue=queue) if loss == "infonce" else None
        )
        self.key = KeyEncoder(self._encoder(towers), momentum) if momentum else None

    def forward(self, towers: Mapping[str, nn.Module], batch: PretextBatch) -> Rankings:
        """Inputs `frame` float `[B, F, 3, H, W]` and `apart` bool `[B, P, F]`; targets i64 `[B, P]` into F.

        The anchors are the frames 0, 2, 4 …
        """
        batch, rows = valid_rows(batch)
        apart, positive = batch.inputs["apart"], batch.targets
        queries, keys = self._said(towers, batch)
        near = queries @ keys.mT if self.loss == "npairs" else 2 * (queries @ keys.mT) - 2
        usable = batch.valid[:, None] & apart.any(dim=2)
        losses = self._losses(queries, keys, near, batch) + self._decay(keys)[:, None]
        return Rankings(
            loss=torch.where(usable, losses, 0).sum() / usable.sum().clamp(min=1),
            rows=rows.repeat_interleave(positive.shape[1]),
            valid=usable.flatten(),
            hits=(_chosen(near, positive) > _best(near, apart)).float().flatten(),
            chances=(1 / (1 + apart.sum(dim=2))).flatten(),
        )

    def follow(self, towers: Mapping[str, nn.Module]) -> None:
        if self.key is not None:
            self.key.follow(self._encoder(towers))

    def _encoder(self, towers: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
        return {"tower": towers["frame"], "projection": self.projection}

    def _said(self, towers: Mapping[str, nn.Module], batch: PretextBatch) -> tuple[Tensor, Tensor]:
        """Embeddings of the anchors f32 `[B, P, D]` and of all frames f32 `[B, F, D]`, of length 1 but for `npairs`."""
        frames = batch.inputs["frame"]
        everything, anchors = frames.flatten(0, 1), frames[:, ::2].flatten(0, 1)

        def encode(pictures: Tensor) -> Tensor:
            return self._unit(self.projection(towers["frame"](pictures)))

        def encode_key(pictures: Tensor) -> Tensor:
            if self.key is None:
                return encode(pictures)
            self.key.train(towers["frame"].training)
            return self._unit(self.key(pictures))

        if not self.training or (self.key is None and not self.shuffle_groups):
            keys = encode(everything).reshape(*frames.shape[:2], -1)
            return keys[:, ::2], keys
        if not self.shuffle_groups:
            queries, keys = encode(anchors), encode_key(everything)
        else:
            queries = grouped(encode, anchors, self.shuffle_groups)
            salt = int(batch.positions[0])
            keys = shuffled(encode_key, everything, self.shuffle_groups, salt=salt)
        return queries.reshape(*frames[:, ::2].shape[:2], -1), keys.reshape(*frames.shape[:2], -1)

    def _unit(self, said: Tensor) -> Tensor:
        return said.float() if self.loss == "npairs" else functional.normalize(said.float(), dim=1)

    def _losses(self, queries: Tensor, keys: Tensor, near: Tensor, batch: PretextBatch) -> Tensor:
        positive, apart = batch.targets, batch.inputs["apart"]
        if self.loss == "triplet":
            return semi_hard_triplets(near, positive, apart, margin=self.margin)
        if self.contrast is None:
            return n_pairs(near, positive, apart)
        sources = source_numbers(batch.sources).to(keys.device)
        return self.contrast(
            queries, keys, positive=positive, apart=apart, sources=sources, valid=batch.valid
        )

    def _decay(self, said: Tensor) -> Tensor:
        """What long embeddings cost, f32 `[B]`; nothing where they are normalised."""
        if self.loss != "npairs":
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
