"""Red, green and blue cut at places of their own, so that chromatic aberration does not tell the place on the lens.

Colour fringes point away from the middle of the picture, and tasks of position learn to read them (Doersch et al., ICCV
2015). Noroozi and Favaro move each channel by up to two pixels.
"""

import numpy as np
from numpy.typing import NDArray

from unreel.pipelines.draws import Draws

__all__ = ["draw_channel_shift"]


def draw_channel_shift(draws: Draws, *, views: int, reach: int) -> NDArray[np.int64]:
    """Rows and columns by which the cut of each channel is moved, i64 `[B, views, 3, 2]` in [-reach, reach].

    Every view has its own: a shift that tiles shared would leave the differences between tiles.
    """
    return draws.integers("channel_shift", -reach, reach + 1, views, 3, 2)
