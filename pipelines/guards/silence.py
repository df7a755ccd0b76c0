"""How much of a stretch of sound is not silent, from the sidecar's spans."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["sounding_share"]


def sounding_share(
    silence: Sequence[tuple[int, int]], starts: NDArray[np.int64], length: int
) -> NDArray[np.float64]:
    """Share in [0, 1] of each stretch [start, start + length) that no silent span covers; f64 like `starts`.

    `silence` holds ascending (start, stop) spans in audio samples.
    """
    if not silence:
        return np.ones(len(starts))
    spans = np.asarray(silence, np.float64)
    # Silent samples before each edge: the sum grows along a span and stays level between spans.
    covered = np.concatenate([[0.0], np.cumsum(spans[:, 1] - spans[:, 0])]).repeat(2)[1:-1]
    before = np.interp(np.stack([starts, starts + length]), spans.ravel(), covered)
    return 1 - (before[1] - before[0]) / length
