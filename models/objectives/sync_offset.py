"""Sync offset (SyncNet, Chung and Zisserman, ACCV workshop 2016): at which offset is a clip's sound nearest to it?"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from unreel.models.objectives.contrastive import Projections, contrastive_cost
from unreel.models.objectives.objective import Objective, valid_rows
from unreel.models.objectives.outcome import Rankings
from unreel.models.towers import Tower
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["SyncOffset", "estimate_offset"]


class SyncOffset(Objective):
    """A video tower and an audio tower → the distance of a clip to its sound at each offset; the nearest is the answer.

    An answer is right within `tolerance` steps, with distances averaged over the windows of a row.

    Args:
        loss: `multiway` is the published successor (`joonson/syncnet_trainer`): a softmax over all offsets of scaled
            cosines, for each window; the default. `contrastive` is the first SyncNet's: every wrong offset is pushed
            beyond the margin, wrong and right ones weighing the same.
        margin: of `contrastive`; ours, the published value was not found.
        tolerance: offsets as near as this to the right one are right too, published 1, and are pushed away by neither
            loss: they share most of their sound with it. That is ours.
        hidden: width of the space in which distances are taken; published 1,024, ours 128.
    """

    towers: ClassVar[tuple[str, ...]] = ("video", "audio")
    readout: ClassVar[Literal["head", "whole"]] = "whole"

    def __init__(
        self,
        towers: Mapping[str, Tower],
        *,
        loss: Literal["multiway", "contrastive"] = "multiway",
        margin: float = 1.0,
        tolerance: int = 1,
        hidden: int = 128,
    ) -> None:
        super().__init__()
        if loss not in ("multiway", "contrastive"):
            raise ValueError(f"loss {loss!r}: choose one of multiway, contrastive")
        self.loss, self.margin, self.tolerance = loss, margin, tolerance
        dims = towers["video"].embed_dim, towers["audio"].embed_dim
        self.project = Projections(*dims, hidden=hidden, normalise=True)
        # The published trainer starts at 10; its offset moves all candidates alike and is left out.
        self.scale = nn.Parameter(torch.tensor(10.0))

    def forward(self, towers: Mapping[str, nn.Module], batch: PretextBatch) -> Rankings:
        """Inputs `video` float `[B, W, 3, T, H, W]`, `audio` float `[B, S, 1, F, S]` and `candidates` i64 `[B, W, C]`;
        targets i64 `[B]`."""
        batch, rows = valid_rows(batch)
        distances = self.distances(towers, batch)
        apart = (torch.arange(distances.shape[2], device=rows.device) - batch.targets[:, None]).abs()
        costs = self._costs(distances, apart[:, None].expand_as(distances), batch.targets)
        found, _ = estimate_offset(distances.detach())
        near = apart <= self.tolerance
        return Rankings(
            loss=torch.where(batch.valid, costs, 0).sum() / batch.valid.sum().clamp(min=1),
            rows=rows,
            valid=batch.valid,
            hits=near.gather(1, found[:, None])[:, 0].float(),
            chances=near.float().mean(dim=1),
        )

    def distances(self, towers: Mapping[str, nn.Module], batch: PretextBatch) -> Tensor:
        """Euclidean distance in [0, 2] of each window to each of its candidates, f32 `[B, W, C]`."""
        video, audio, candidates = (batch.inputs[name] for name in ("video", "audio", "candidates"))
        seen, heard = self.project(towers["video"](video.flatten(0, 1)), towers["audio"](audio.flatten(0, 1)))
        seen, heard = seen.unflatten(0, video.shape[:2]), heard.unflatten(0, audio.shape[:2])
        squares = 2 - 2 * seen @ heard.transpose(1, 2)
        # The root has no slope at 0.
        return squares.gather(2, candidates).clamp(min=1e-6).sqrt()

    def _costs(self, distances: Tensor, apart: Tensor, targets: Tensor) -> Tensor:
        """Loss of each row, the mean over its windows: float `[B]`."""
        right, wrong = apart == 0, apart > self.tolerance
        if self.loss == "multiway":
            cosine = 1 - distances.square() / 2
            logits = (self.scale * cosine).masked_fill(~(right | wrong), -torch.inf)
            picked = targets[:, None].expand(logits.shape[:2])
            return (
                functional.cross_entropy(logits.flatten(0, 1), picked.flatten(), reduction="none")
                .view(picked.shape)
                .mean(1)
            )
        costs = contrastive_cost(distances, right, self.margin)
        pulled = (costs * right).sum(2) / right.sum(2)
        pushed = (costs * wrong).sum(2) / wrong.sum(2).clamp(min=1)
        return ((pulled + pushed) / 2).mean(1)


def estimate_offset(distances: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest candidate of distances that are averaged over windows, and how sure that is.

    float `[B, W, C]` → index i64 `[B]`, and confidence f32 `[B]`: the median of a row's averages less their minimum, as
    `joonson/syncnet_python` has it.
    """
    mean = distances.float().mean(dim=1)
    least, index = mean.min(dim=1)
    return index, mean.median(dim=1).values - least
