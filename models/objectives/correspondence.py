"""Audio-visual correspondence (Arandjelovic and Zisserman): do a frame and a second of sound belong together?

`fusion` is the head of L3-Net (ICCV 2017), `distance` that of AVE-Net (ECCV 2018, arXiv 1712.06651).
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from unreel.models.objectives.objective import ClassWeights, Objective, decide, valid_rows
from unreel.models.objectives.outcome import Decisions
from unreel.models.towers import Tower
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["Correspondence", "DistanceHead", "FusionHead"]


class Correspondence(Objective):
    """A frame tower and an audio tower → they correspond (1) or not (0).

    Args:
        head: `fusion` or `distance`, both published. Balanced accuracy on a generated world with two seeds: `distance`
            leads after 50 steps (.81, .78; `fusion` .76, .62), `fusion`, our default, is steadier after 250 (.92, .92;
            `distance` .87, .93).
        hidden: width of the head's hidden layer; 128 is published for both.
        class_weights: `none` is published; see `decide`.
    """

    towers: ClassVar[tuple[str, ...]] = ("frame", "audio")

    def __init__(
        self,
        towers: Mapping[str, Tower],
        *,
        head: Literal["fusion", "distance"] = "fusion",
        hidden: int = 128,
        class_weights: ClassWeights = "balanced",
    ) -> None:
        super().__init__()
        heads = {"fusion": FusionHead, "distance": DistanceHead}
        if head not in heads:
            raise ValueError(f"head {head!r}: choose one of {', '.join(heads)}")
        self.class_weights: ClassWeights = class_weights
        self.head = heads[head](towers["frame"].embed_dim, towers["audio"].embed_dim, hidden=hidden)

    def forward(self, towers: Mapping[str, nn.Module], batch: PretextBatch) -> Decisions:
        """Inputs `frame` float `[B, 3, H, W]` and `audio` float `[B, 1, F, S]`; targets i64 `[B]`."""
        batch, rows = valid_rows(batch)
        seen, heard = (towers[name](batch.inputs[name]) for name in self.towers)
        return decide(
            self.head(seen, heard),
            batch.targets,
            rows=rows,
            valid=batch.valid,
            class_weights=self.class_weights,
        )


class FusionHead(nn.Module):
    """L3-Net: both embeddings, concatenated → linear, ReLU → linear."""

    def __init__(self, frame_dim: int, audio_dim: int, *, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(frame_dim + audio_dim, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, 2)
        )

    def forward(self, seen: Tensor, heard: Tensor) -> Tensor:
        """float `[B, frame_dim]`, float `[B, audio_dim]` → logits float `[B, 2]`."""
        return self.layers(torch.cat([seen, heard], dim=1))


class DistanceHead(nn.Module):
    """AVE-Net: linear, ReLU, linear, L2 normalisation of each side → their Euclidean distance → linear 1 → 2.

    The last layer starts with the sign that the paper asks for, small distance = correspondence, and at equal odds for
    orthogonal embeddings, whose distance is √2.
    """

    def __init__(self, frame_dim: int, audio_dim: int, *, hidden: int) -> None:
        super().__init__()
        self.frame = _projection(frame_dim, hidden)
        self.audio = _projection(audio_dim, hidden)
        self.calibration = nn.Linear(1, 2)
        with torch.no_grad():
            self.calibration.weight.copy_(torch.tensor([[1.0], [-1.0]]))
            self.calibration.bias.copy_(torch.tensor([-(2**0.5), 2**0.5]))

    def forward(self, seen: Tensor, heard: Tensor) -> Tensor:
        """float `[B, frame_dim]`, float `[B, audio_dim]` → logits float `[B, 2]`."""
        return self.calibration(self.distance(seen, heard)[:, None])

    def distance(self, seen: Tensor, heard: Tensor) -> Tensor:
        """Euclidean distance of the normalised embeddings, float `[B]` in [0, 2]."""
        return functional.pairwise_distance(
            functional.normalize(self.frame(seen)), functional.normalize(self.audio(heard))
        )


def _projection(fan_in: int, hidden: int) -> nn.Module:
    return nn.Sequential(nn.Linear(fan_in, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, hidden))
