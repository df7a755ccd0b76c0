"""Motion encodings: a clip → what changes in it, as the first stage of a tower of clips.

Odd-one-out networks (Fernando, Bilen, Gavves, Gould, CVPR 2017) see motion alone, in one of three encodings.
"""

from typing import Final, Literal, get_args

import torch
from torch import Tensor, nn

from unreel.models.towers.tower import Stage

__all__ = ["Motion", "MotionEncoding", "motion_stage"]

Motion = Literal["none", "stack", "sum", "dynamic"]
"""`none` leaves clips as they are; see `MotionEncoding` for the others."""

_SHORTEST: Final = 2
"""Frames, at least, of a clip in which something changes."""


class MotionEncoding(nn.Module):
    """A clip as its motion.

    Args:
        motion: `stack`, each frame minus the one before it, which says when each change was; `sum`, the absolute
            differences added up into one picture, which says where; `dynamic`, the dynamic image of Bilen et al. (CVPR
            2016) by approximate rank pooling, frame t of T weighted by 2 t - T - 1, which says where to. Absolute values
            in `sum` are ours: signed differences add up to the last frame minus the first, in which no order is left.
    """

    def __init__(self, motion: Motion) -> None:
        super().__init__()
        if motion not in get_args(Motion):
            raise ValueError(f"motion {motion!r}: choose one of {', '.join(get_args(Motion))}")
        self.motion = motion

    def forward(self, x: Tensor) -> Tensor:
        """float `[B, C, T, H, W]`, T ≥ 2 → `[B, C, T - 1, H, W]` of `stack`, `[B, C, 1, H, W]` of the others."""
        if self.motion == "none":
            return x
        if x.shape[2] < _SHORTEST:
            raise ValueError(f"a clip of {x.shape[2]} frame has no motion: {_SHORTEST} or more are needed")
        if self.motion == "stack":
            return x.diff(dim=2)
        if self.motion == "sum":
            return x.diff(dim=2).abs().sum(dim=2, keepdim=True)
        frames = x.shape[2]
        weights = 2 * torch.arange(1, frames + 1, device=x.device, dtype=x.dtype) - frames - 1
        return torch.einsum("bcthw,t->bchw", x, weights)[:, :, None]


def motion_stage(motion: Motion, *, channels: int = 3) -> dict[str, Stage]:
    """The first stage of a tower of clips, `motion`; none where clips stay as they are."""
    return {} if motion == "none" else {"motion": Stage(MotionEncoding(motion), channels, (1, 1, 1))}
