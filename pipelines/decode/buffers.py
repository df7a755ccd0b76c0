"""Host memory for batches, used again as soon as nobody holds the batch that lay in it.

A new 38 MB tensor costs as many page faults as it has pages, each time: a sixth of the time of decoding into it.
"""

import math
import sys
from threading import Lock
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Buffers"]

_KEPT: Final = 6
"""Buffers that are kept: those of a loader with two steps ahead, and one batch that the consumer has."""

_FREE: Final = 2
"""References to a buffer that lies only in the list: the list's, and the argument of `getrefcount` itself."""


class Buffers:
    """Tensors without content, from a few blocks of memory that take turns."""

    def __init__(self) -> None:
        self._blocks: list[NDArray[np.uint8]] = []
        self._lock = Lock()

    def take(self, shape: tuple[int, ...], dtype: torch.dtype = torch.uint8) -> Tensor:
        """A tensor of any content. Its memory comes back when the last tensor or array that views it is gone."""
        count = math.prod(shape) * dtype.itemsize
        with self._lock:
            tensor = torch.from_numpy(self._block(max(count, 1)))
        return tensor[:count].view(dtype).view(shape)

    def _block(self, count: int) -> NDArray[np.uint8]:
        for place in range(len(self._blocks)):
            if self._blocks[place].size >= count and sys.getrefcount(self._blocks[place]) == _FREE:
                # To the end: the first that is given up is the one that was used longest ago.
                self._blocks.append(self._blocks.pop(place))
                return self._blocks[-1]
        # Zeros by hand, so that the pages are there before threads meet in them.
        self._blocks = [*self._blocks, np.full(count, 0, np.uint8)][-_KEPT:]
        return self._blocks[-1]
