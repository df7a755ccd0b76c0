"""Tracking by colourising video (Vondrick et al., ECCV 2018): a target's cells copy the colours that they point at."""

from collections.abc import Mapping
from typing import ClassVar, Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from unreel.models.objectives.objective import Objective, valid_rows
from unreel.models.objectives.outcome import Errors
from unreel.models.towers import Tower
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["Colourisation"]

_CHANGED: Final = 10.0
"""Distance in a* and b* from which on the colour of a place counts as changed: a difference that anybody sees."""


class Colourisation(Objective):
    """Maps of one tower → a vector a cell → from every cell of the target a softmax over all cells of the references.

    Scored by the colours that are copied: squared error of the mean a* and b*, against leaving each colour where it was
    in the last reference; the subset `changed` holds the cells at which that is wrong by 10 or more.

    Args:
        stage: of the tower, whose map has as many cells as the task colours; "" is the last map.
        width: numbers in a cell's vector; published 64. The published head has convolutions over time, ours has not: each
            frame's vectors are its own, and can be compared with those of any other frame.
        temperature: that scores are divided by; published 1.
    """

    towers: ClassVar[tuple[str, ...]] = ("frame",)
    readout: ClassVar[Literal["head", "whole"]] = "whole"

    def __init__(
        self, towers: Mapping[str, Tower], *, stage: str = "", width: int = 64, temperature: float = 1.0
    ) -> None:
        super().__init__()
        tower = towers["frame"]
        self.stage = tower.map_stage(stage or None)
        self.temperature = temperature
        self.project = nn.Conv2d(tower.channels[self.stage], width, kernel_size=1)

    def forward(self, towers: Mapping[str, nn.Module], batch: PretextBatch) -> Errors:
        """Inputs `frame`, `colours` and `labels` of the task; one answer for each cell of each target frame."""
        batch, rows = valid_rows(batch)
        vectors = self.embed(towers["frame"], batch.inputs["frame"])
        colours, targets = batch.inputs["colours"], batch.targets.flatten(1)
        if vectors.shape[2:] != colours.shape[1:4]:
            raise ValueError(
                f"map {self.stage} has {tuple(vectors.shape[3:])} cells, the task colours "
                f"{tuple(colours.shape[2:4])}: set task.cells, task.size or objective.stage so that both agree"
            )
        shares = attend(vectors[:, :, -1:], vectors[:, :, :-1], temperature=self.temperature)
        copied = shares @ colours[:, :-1].flatten(1, 3)
        truth, before = colours[:, -1].flatten(1, 2), colours[:, -2].flatten(1, 2)
        valid = (targets >= 0) & batch.valid[:, None]
        baselines = (before - truth).square().sum(dim=2)
        return Errors(
            loss=_cross_entropy(shares, batch.inputs["labels"].flatten(1), targets, valid),
            rows=rows.repeat_interleave(targets.shape[1]),
            valid=valid.flatten(),
            errors=(copied - truth).square().sum(dim=2).flatten(),
            baselines=baselines.flatten(),
            subsets={"cells whose colour changed": (baselines >= _CHANGED**2).flatten()},
        )

    def embed(self, tower: nn.Module, frames: Tensor) -> Tensor:
        """A vector for each cell of each frame: float `[B, T, 3, H, W]` → float `[B, width, T, h, w]`."""
        assert isinstance(tower, Tower)
        maps = self.project(tower.map(frames.flatten(0, 1), self.stage))
        return maps.unflatten(0, frames.shape[:2]).transpose(1, 2)


def attend(asking: Tensor, asked: Tensor, *, temperature: float) -> Tensor:
    """How much each cell of `asking` takes from each of `asked`: float `[B, C, T, h, w]` twice → f32 `[B, P, Q]`.

    Softmax over Q of the inner products, divided by `temperature`; P and Q count cells frame by frame, row by row.
    """
    scores = asking.flatten(2).transpose(1, 2).float() @ asked.flatten(2).float()
    return functional.softmax(scores / temperature, dim=2)


def _cross_entropy(shares: Tensor, labels: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    """-log of all that goes to references of the right label: `[B, P, Q]`, i64 `[B, Q]`, i64 `[B, P]`, bool `[B, P]`."""
    right = labels[:, None] == targets[:, :, None]
    share = torch.where(right, shares, 0).sum(dim=2).clamp(min=torch.finfo(torch.float32).tiny)
    return torch.where(valid, -share.log(), 0).sum() / valid.sum().clamp(min=1)
