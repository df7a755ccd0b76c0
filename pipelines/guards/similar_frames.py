"""Frames that look alike: a tuple whose middle frame could be the outer one has no order."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.ops.sharing import share
from unreel.pipelines.ops.yuv import Pictures, every_pixel, extent_of

__all__ = ["frame_difference", "nearest_difference", "step_difference"]

_STEP: Final = 4
"""Every fourth pixel both ways: a sixteenth of the work, and what moves is larger than four pixels."""


def frame_difference(pictures: Pictures, *, middle: int, others: tuple[int, ...]) -> Tensor:
    """Smallest mean squared RGB difference of frame `middle` to the `others` of its clip.

    uint8 `[B, T, H, W, 3]`, or planes, with the same result → f32 `[B]`, in squared levels of [0, 255]. The paper sums
    (SSD); the mean does not depend on the picture's size.
    """
    return _differences(pictures, np.array([(middle, other) for other in others])).amin(dim=1)


def nearest_difference(pictures: Pictures) -> Tensor:
    """Mean squared RGB difference of the two frames of each clip that are most alike.

    uint8 `[B, T, H, W, 3]`, or planes → f32 `[B]`, in squared levels of [0, 255].
    """
    frames = extent_of(pictures)[1]
    return _differences(pictures, np.stack(np.triu_indices(frames, k=1), axis=1)).amin(dim=1)


def step_difference(pictures: Pictures, *, sequences: int) -> Tensor:
    """Mean squared RGB difference between neighbouring frames of each sequence.

    uint8 `[B, sequences * T, H, W, 3]`, one sequence after the other, or planes → f32 `[B, sequences]`, in squared
    levels of [0, 255].
    """
    first = np.arange(extent_of(pictures)[1]).reshape(sequences, -1)[:, :-1].ravel()
    between = _differences(pictures, np.stack([first, first + 1], axis=1))
    return between.view(len(between), sequences, -1).mean(dim=2)


def _differences(pictures: Pictures, pairs: NDArray[np.int64]) -> Tensor:
    """Mean squared difference of each pair of frames of each clip: pairs i64 `[K, 2]` → f32 `[B, K]`."""
    small = every_pixel(pictures, _STEP).flatten(2)
    if small.device.type == "cpu":
        return _compiled(small, pairs)
    first, second = (torch.from_numpy(column).to(small.device) for column in pairs.T)
    return (small[:, first].float() - small[:, second].float()).square().mean(dim=2)


def _compiled(small: Tensor, pairs: NDArray[np.int64]) -> Tensor:
    from unreel.pipelines.ops import pixel_loops

    frames, sums = small.contiguous().numpy(), np.zeros((len(small), len(pairs)), np.int64)
    share(
        lambda start, stop: pixel_loops.square_differences(start, stop, frames, pairs, sums),
        len(frames),
        values=sums.size * frames.shape[2],
    )
    return torch.from_numpy((sums / frames.shape[2]).astype(np.float32))
