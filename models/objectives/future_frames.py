"""Future frames: a decoder paints the next frames from a tower's map, scored against a copy of the last frame."""

from collections.abc import Mapping
from math import log2
from typing import ClassVar, Final, Literal

import torch
from torch import Tensor, nn

from unreel.models.objectives.objective import Objective, valid_rows
from unreel.models.objectives.outcome import Errors
from unreel.models.towers import Tower
from unreel.pipelines.ops.normalise import STD
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["FutureFrames"]

_LAYERS: Final = 6
"""Convolutions of the decoder, as published for ELo."""

_MOVED: Final = 16 / 255
"""Change of a pixel, root mean square over red, green and blue in [0, 1], from which on it counts as moving."""


class FutureFrames(Objective):
    """A map of one tower → six convolutions, none of them over time, that double its sides → the next frames.

    The loss is the mean squared error over all pixels alike. Each frame gives two answers, of the pixels that differ
    from the last seen frame (the subset `moving pixels`) and of the others; together they are the error of the whole
    frame. Both are held against a copy of the last seen frame. A blurred mean is right where nothing moves, so read the
    moving pixels.

    Args:
        future: frames that are painted; the task's `future`.
        stage: of the tower; "" is the last map. Its first and its last time are read.
        width: channels of the decoder.
        form: `residual`, ours, paints what changes of the last frame: a map of few cells cannot hold a background to the
            pixel, and with `frame`, which is published, most of a short training goes into copying it.
    """

    towers: ClassVar[tuple[str, ...]] = ("video",)
    readout: ClassVar[Literal["head", "whole"]] = "whole"

    def __init__(
        self,
        towers: Mapping[str, Tower],
        *,
        future: int = 2,
        stage: str = "",
        width: int = 64,
        form: Literal["residual", "frame"] = "residual",
    ) -> None:
        super().__init__()
        if form not in ("residual", "frame"):
            raise ValueError(f"form {form!r}: choose residual or frame")
        tower = towers["video"]
        self.stage = tower.map_stage(stage or None)
        self.form, self.future = form, future
        doublings = round(log2(tower.stride[self.stage][-1]))
        if not 0 <= doublings <= _LAYERS - 1:
            raise ValueError(
                f"stage {self.stage!r} halves its input {doublings} times: the decoder doubles {_LAYERS - 1} times at most"
            )
        self.gather = nn.Conv2d(2 * tower.channels[self.stage], width, kernel_size=1)
        self.decoder = _decoder(width, 3 * future, doublings)

    def forward(self, towers: Mapping[str, nn.Module], batch: PretextBatch) -> Errors:
        """Input `video` float `[B, 3, T, H, W]`, targets float `[B, 3, N, H, W]`; 2 N answers a clip."""
        batch, rows = valid_rows(batch)
        video, truth = batch.inputs["video"], batch.targets
        last = video[:, :, -1:].expand_as(truth)
        painted = self.paint(towers["video"], video)
        if painted.shape != truth.shape:
            raise ValueError(
                f"painted {tuple(painted.shape[2:])} for {tuple(truth.shape[2:])} (frames, height, width): set "
                "objective.future to the task's, and task.size to a multiple of the stage's stride"
            )
        std = torch.tensor(STD, device=truth.device).view(3, 1, 1, 1)
        moving = ((truth - last) * std).square().mean(dim=1).sqrt() >= _MOVED
        errors, baselines = ((value - truth).float().square().mean(dim=1) for value in (painted, last))
        valid = batch.valid[:, None].expand(-1, 2 * self.future)
        return Errors(
            loss=(errors.mean(dim=(1, 2, 3)) * batch.valid).sum() / batch.valid.sum().clamp(min=1),
            rows=rows.repeat_interleave(2 * self.future),
            valid=valid.flatten(),
            errors=_parts(errors, moving),
            baselines=_parts(baselines, moving),
            subsets={"moving pixels": _is_moving(moving)},
        )

    def paint(self, tower: nn.Module, video: Tensor) -> Tensor:
        """The next frames, normalised: float `[B, 3, T, H, W]` → float `[B, 3, N, H, W]`."""
        assert isinstance(tower, Tower)
        maps = tower.map(video, self.stage)
        frames = self.decoder(self.gather(torch.cat([maps[:, :, 0], maps[:, :, -1]], dim=1)))
        frames = frames.reshape(len(video), 3, self.future, *frames.shape[2:])
        return video[:, :, -1:] + frames if self.form == "residual" else frames


def _parts(errors: Tensor, moving: Tensor) -> Tensor:
    """What moving and other pixels add to the mean of each frame: `[B, N, H, W]` twice → `[B * 2 * N]`, moving first."""
    inside = (errors * moving).mean(dim=(2, 3))
    return torch.cat([inside, errors.mean(dim=(2, 3)) - inside], dim=1).flatten()


def _is_moving(moving: Tensor) -> Tensor:
    """Which answers of `_parts` are of moving pixels, bool `[B * 2 * N]`; a frame in which none moves has no such answer."""
    frames = moving.flatten(2).any(dim=2)
    return torch.cat([frames, torch.zeros_like(frames)], dim=1).flatten()


def _decoder(width: int, channels: int, doublings: int) -> nn.Sequential:
    """The sides double before each of the last convolutions; the very last one starts at zero."""
    layers: list[nn.Module] = []
    for number in range(_LAYERS):
        if number >= _LAYERS - doublings:
            layers.append(nn.Upsample(scale_factor=2, mode="nearest"))
        final = number == _LAYERS - 1
        layers.append(nn.Conv2d(width, channels if final else width, kernel_size=3, padding=1, bias=final))
        layers += [] if final else [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    for part in layers[-1].parameters():
        nn.init.zeros_(part)
    return nn.Sequential(*layers)
