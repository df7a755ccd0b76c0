"""Channel splitting (Lee, Huang, Singh, Yang, ICCV 2017): each frame shows one of its three colours, as grey."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["split_channels"]


def split_channels(pictures: Tensor, channel: NDArray[np.int64]) -> Tensor:
    """Of each frame the channel that `channel`, i64 `[B, T]` in {0, 1, 2}, names, in the place of all three.

    float `[B, T, 3, H, W]` → the same shape, a view without a copy of the channel.
    """
    rows, times = channel.shape
    index = torch.from_numpy(channel).to(pictures.device)
    row, time = (torch.arange(count, device=pictures.device) for count in (rows, times))
    return pictures[row[:, None], time, index][:, :, None].expand_as(pictures)
