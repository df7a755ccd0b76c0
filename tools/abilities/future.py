"""What comes next in held-out clips, painted beside what came and a copy of the last frame."""

from typing import Final

import torch
from PIL import Image
from torch import Tensor

from unreel.models.evaluation import Estimate, bootstrap
from unreel.models.evaluation.scores import skill
from unreel.models.objectives import FutureFrames
from unreel.models.towers import Tower
from unreel.pipelines.pretext.task import PretextBatch
from unreel.tools.abilities.ability import Ability, Examined
from unreel.tools.drawing import DIM, INK, Line, beside, captioned, enlarged, stacked, words
from unreel.tools.evaluation import TRAINED
from unreel.tools.sheets.rows import visible

__all__ = ["paint_futures"]

_COPY: Final = "last frame copied"
_SHOWN: Final = 6
"""Clips of the picture."""

_SIDE: Final = 128
_BATCHES: Final = 4


@torch.no_grad()
def paint_futures(examined: Examined) -> Ability:
    """How sharp painted frames are where the truth differs from the last seen frame, and pictures of them.

    Sharpness is the mean size of steps between neighbouring pixels over that of the truth: 1 is as sharp; a mean of many
    futures is below, and so is a copy where the truth has more edges than the place had before.
    """
    objective, tower = examined.loaded.objective, examined.loaded.towers["video"]
    assert isinstance(objective, FutureFrames)
    with examined.held_out(examined.loaded.task) as loader:
        batches = [loader.batch(step) for step in range(_BATCHES)]
    steps: dict[str, list[Tensor]] = {TRAINED: [], _COPY: [], "truth": []}
    for batch in batches:
        video, truth = batch.inputs["video"][batch.valid], batch.targets[batch.valid]
        last = video[:, :, -1:].expand_as(truth)
        moving = (truth - last).abs().amax(dim=1) > 0.3
        for name, frames in ((TRAINED, objective.paint(tower, video)), (_COPY, last), ("truth", truth)):
            steps[name].append(_steps(frames, moving))
    sources = [
        s for batch in batches for s, valid in zip(batch.sources, batch.valid.tolist(), strict=True) if valid
    ]
    truth_steps = torch.cat(steps.pop("truth"))
    sharpness = {name: _ratio(torch.cat(values), truth_steps, sources) for name, values in steps.items()}
    return Ability(
        figures={"sharpness where it moves (1: as the truth)": sharpness},
        picture=_picture(batches[0], objective, tower),
        about="The last seen frame, what came, and what was painted for the last of the future frames.",
    )


def _steps(frames: Tensor, moving: Tensor) -> Tensor:
    """Sum over moving places of the steps to the right and down, `[B, 3, N, H, W]`, `[B, N, H, W]` → f32 `[B]`."""
    right = (frames[..., :-1, 1:] - frames[..., :-1, :-1]).abs()
    down = (frames[..., 1:, :-1] - frames[..., :-1, :-1]).abs()
    return ((right + down).mean(dim=1) * moving[..., :-1, :-1]).sum(dim=(1, 2, 3))


def _ratio(steps: Tensor, truth: Tensor, sources: list[str]) -> Estimate:
    """Sum of steps / sum of the truth's, as 1 - (truth - steps) / truth, with its bootstrap over sources."""
    return bootstrap(skill((truth - steps).numpy(), truth.numpy()), sources)


def _picture(batch: PretextBatch, objective: FutureFrames, tower: Tower) -> Image.Image:
    painted = objective.paint(tower, batch.inputs["video"])
    rows = []
    for row in torch.nonzero(batch.valid).flatten().tolist()[:_SHOWN]:
        parts = (batch.inputs["video"][row, :, -1], batch.targets[row, :, -1], painted[row, :, -1])
        titles = ("last seen", "what came", "painted")
        cards = [
            captioned(enlarged(frame, _SIDE), [(title, DIM)])
            for frame, title in zip(visible(torch.stack(parts)), titles, strict=True)
        ]
        rows.append(beside(cards))
    pairs = [beside(rows[first : first + 2], gap=24) for first in range(0, len(rows), 2)]
    head: list[Line] = [("the last of the future frames", INK)]
    return stacked([words(head), *pairs], margin=10)
