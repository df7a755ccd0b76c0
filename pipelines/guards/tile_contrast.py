"""Each tile normalised by itself, so that vignetting, exposure and lighting do not tell where in a picture it was."""

from typing import Final

from torch import Tensor

__all__ = ["standardise_tiles"]

_FLAT: Final = 1e-3
"""Standard deviations below this are noise of the codec, and are not blown up."""


def standardise_tiles(tiles: Tensor) -> Tensor:
    """Mean 0 and variance 1 in each channel of each tile; float `[..., 3, h, w]`, changed in place."""
    tiles -= tiles.mean((-2, -1), keepdim=True)
    return tiles.div_(tiles.std((-2, -1), keepdim=True, correction=0).clamp(min=_FLAT))
