"""Each tile normalised by itself, so that vignetting, exposure and lighting do not tell where in a picture it was."""

from typing import Final

import torch
from torch import Tensor

__all__ = ["standardise_tiles"]

_FLAT: Final = 1e-3
"""Standard deviations below this are noise of the codec, and are not blown up."""

_EPSILON: Final = 1e-12
"""Added to variances, so that one of zero has a root: far below what counts as flat."""


def standardise_tiles(tiles: Tensor) -> Tensor:
    """Mean 0 and variance 1 in each channel of each tile; float `[..., 3, h, w]`."""
    # One pass of a compiled kernel; torch's own mean and deviation over two axes take ten times as long.
    standard, _, inverse = torch.native_layer_norm(tiles, tiles.shape[-2:], None, None, _EPSILON)
    return standard.mul_((1 / (_FLAT * inverse)).clamp_(max=1))
