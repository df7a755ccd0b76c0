"""Audio-visual correspondence (Arandjelovic and Zisserman): do a frame and a second of sound belong together?

`fusion` is the head of L3-Net (ICCV 2017), `distance` that of AVE-Net and `localise` that of AVOL-Net (ECCV 2018, arXiv
1712.06651), which says where in the frame the sound comes from.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from unreel.models.objectives.objective import ClassWeights, Objective, decide, valid_rows
from unreel.models.objectives.outcome import Decisions
from unreel.models.towers import Tower
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["Correspondence", "DistanceHead", "FusionHead", "MapHead"]


class Correspondence(Objective):
    """A frame tower and an audio tower → they correspond (1) or not (0).

    Args:
        head: `fusion`, `distance` or `localise`, all published. Balanced accuracy on a generated world with two seeds: `distance`
            leads after 50 steps (.81, .78; `fusion` .76, .62), `fusion`, our default, is steadier after 250 (.92, .92;
            `distance` .87, .93).
        hidden: width of the head's hidden layer; 128 is published for both.
        class_weights: `none` is published; see `decide`.
        stage: with `localise`, the stage of the frame tower whose map it looks at; by default the last one. The stages
            behind it do not learn, so that a tower for it should end there (`embed_dim = 0`).
    """

    towers: ClassVar[tuple[str, ...]] = ("frame", "audio")

    def __init__(
        self,
        towers: Mapping[str, Tower],
        *,
        head: Literal["fusion", "distance", "localise"] = "fusion",
        hidden: int = 128,
        class_weights: ClassWeights = "balanced",
        stage: str = "",
    ) -> None:
        super().__init__()
        heads = {"fusion": FusionHead, "distance": DistanceHead, "localise": MapHead}
        if head not in heads:
            raise ValueError(f"head {head!r}: choose one of {', '.join(heads)}")
        if stage and head != "localise":
            raise ValueError(f"stage {stage!r}: only the head 'localise' looks at a map, this is {head!r}")
        self.class_weights: ClassWeights = class_weights
        self.stage = towers["frame"].map_stage(stage or None) if head == "localise" else None
        seen = towers["frame"].embed_dim if self.stage is None else towers["frame"].channels[self.stage]
        self.head = heads[head](seen, towers["audio"].embed_dim, hidden=hidden)

    @property
    def readout(self) -> Literal["head", "whole"]:  # type: ignore[override]  # of a class it is a constant
        """Maps are too many numbers to keep of every decision."""
        return "head" if self.stage is None else "whole"

    def forward(self, towers: Mapping[str, nn.Module], batch: PretextBatch) -> Decisions:
        """Inputs `frame` float `[B, 3, H, W]` and `audio` float `[B, 1, F, S]`; targets i64 `[B]`."""
        batch, rows = valid_rows(batch)
        return decide(
            self.head(self._see(towers, batch), towers["audio"](batch.inputs["audio"])),
            batch.targets,
            rows=rows,
            valid=batch.valid,
            class_weights=self.class_weights,
        )

    def maps(self, towers: Mapping[str, nn.Module], batch: PretextBatch) -> Tensor:
        """With `localise`, how much each place of each frame goes with its sound: logits float `[B, H, W]`."""
        assert isinstance(self.head, MapHead), "only the head `localise` has maps"
        return self.head.scores(self._see(towers, batch), towers["audio"](batch.inputs["audio"]))

    def _see(self, towers: Mapping[str, nn.Module], batch: PretextBatch) -> Tensor:
        """What the head takes of the frames: embeddings, or maps."""
        frame = batch.inputs["frame"]
        tower = cast(Tower, towers["frame"])
        return tower(frame) if self.stage is None else tower.map(frame, self.stage)


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


class MapHead(nn.Module):
    """AVOL-Net: AVE-Net's two layers at every place of the map, without normalisation, so that a background may stay small;
    scalar products with the sound → one calibration for all places → their maximum.

    Several instances, one label: of a frame that corresponds, one place has to go with the sound. The calibration starts with
    the right sign, large product = correspondence.
    """

    def __init__(self, frame_channels: int, audio_dim: int, *, hidden: int) -> None:
        super().__init__()
        self.frame = nn.Sequential(
            nn.Conv2d(frame_channels, hidden, 1), nn.ReLU(inplace=True), nn.Conv2d(hidden, hidden, 1)
        )
        self.audio = _projection(audio_dim, hidden)
        self.calibration = nn.Conv2d(1, 1, 1)
        with torch.no_grad():
            self.calibration.weight.fill_(1.0)
            self.calibration.bias.zero_()  # type: ignore[union-attr]  # it has one

    def forward(self, seen: Tensor, heard: Tensor) -> Tensor:
        """float `[B, frame_channels, H, W]`, float `[B, audio_dim]` → logits float `[B, 2]`."""
        best = self.scores(seen, heard).flatten(1).amax(dim=1)
        # The sigmoid of one logit is the softmax of it and 0.
        return torch.stack([torch.zeros_like(best), best], dim=1)

    def scores(self, seen: Tensor, heard: Tensor) -> Tensor:
        """The logit of correspondence at each place, float `[B, H, W]`."""
        products = torch.einsum("bchw,bc->bhw", self.frame(seen), self.audio(heard))
        return self.calibration(products[:, None])[:, 0]


def _projection(fan_in: int, hidden: int) -> nn.Module:
    return nn.Sequential(nn.Linear(fan_in, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, hidden))
