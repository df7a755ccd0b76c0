"""The window of time in which something moves (Misra, Zitnick, Hebert, ECCV 2016 weigh theirs by optical flow)."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["choose_start", "window_motion"]


def window_motion(motion: NDArray[np.float32], span: int) -> NDArray[np.float64]:
    """Mean motion between neighbouring frames of each window of `span` ≥ 2 frames: f64 `[frames - span + 1]`.

    `motion[k]` is the difference of frame k to the frame before, so a window's first frame does not count.
    """
    total = np.cumsum(motion, dtype=np.float64)
    return (total[span - 1 :] - total[: len(motion) - span + 1]) / (span - 1)


def choose_start(weights: NDArray[np.float64], allowed: NDArray[np.bool_], at: float) -> int:
    """The window at quantile `at` in [0, 1) of the allowed ones, each counting by its weight.

    Windows without any motion at all count equally. Raises ValueError when none is allowed.
    """
    if not allowed.any():
        raise ValueError("no window is allowed")
    shares = np.where(allowed, weights, 0.0)
    if shares.sum() <= 0:
        shares = allowed.astype(np.float64)
    steps = np.cumsum(shares)
    return int(np.searchsorted(steps, at * steps[-1], side="right"))
