"""Frames that look alike: a tuple whose middle frame could be the outer one has no order."""

from typing import Final

import torch
from torch import Tensor

from unreel.pipelines.ops.yuv import Pictures, every_pixel

__all__ = ["frame_difference", "nearest_difference", "step_difference"]

_STEP: Final = 4
"""Every fourth pixel both ways: a sixteenth of the work, and what moves is larger than four pixels."""


def frame_difference(pictures: Pictures, *, middle: int, others: tuple[int, ...]) -> Tensor:
    """Smallest mean squared RGB difference of frame `middle` to the `others` of its clip.

    uint8 `[B, T, H, W, 3]`, or planes, with the same result → f32 `[B]`, in squared levels of [0, 255]. The paper sums
    (SSD); the mean does not depend on the picture's size.
    """
    small = every_pixel(pictures, _STEP)[:, [middle, *others]].float()
    return (small[:, 1:] - small[:, :1]).square().mean(dim=(2, 3, 4)).amin(dim=1)


def nearest_difference(pictures: Pictures) -> Tensor:
    """Mean squared RGB difference of the two frames of each clip that are most alike.

    uint8 `[B, T, H, W, 3]`, or planes → f32 `[B]`, in squared levels of [0, 255].
    """
    small = every_pixel(pictures, _STEP).float()
    first, second = torch.triu_indices(small.shape[1], small.shape[1], offset=1)
    return (small[:, first] - small[:, second]).square().mean(dim=(2, 3, 4)).amin(dim=1)


def step_difference(pictures: Pictures, *, sequences: int) -> Tensor:
    """Mean squared RGB difference between neighbouring frames of each sequence.

    uint8 `[B, sequences * T, H, W, 3]`, one sequence after the other, or planes → f32 `[B, sequences]`, in squared
    levels of [0, 255].
    """
    thin = every_pixel(pictures, _STEP).float()
    small = thin.reshape(len(thin), sequences, -1, *thin.shape[2:])
    return small.diff(dim=2).square().mean(dim=(2, 3, 4, 5))
