"""Sequences out of order whose frames are as far from their neighbours as those of sequences in order.

The same frames in another order have larger gaps: a difference of neighbouring frames shows that at once, whatever is
filmed. Here both kinds go through time in steps of the same lengths; in order all steps lead one way, out of order some
of them turn back. What it costs: a walk that turns covers less time than one that does not. Both at once cannot be had,
since a walk that goes back and forth between its first and its last moment is always longer than the straight one.
"""

from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

__all__ = ["straight_walks", "turning_walks", "walkable_gaps"]


def walkable_gaps(candidates: NDArray[np.int64], *, apart: int) -> NDArray[np.int64]:
    """Of candidates i64 `[C, S, steps]`, the first for each of S sequences that can be walked with a turn: `[S, steps]`.

    Sequences in order take them under the same condition, although they could take any. Raises ValueError when a
    sequence has none.
    """
    chosen = candidates[0].copy()
    for others in candidates[1:]:
        stuck = _stuck(chosen, apart)
        if not stuck.any():
            return chosen
        chosen[stuck] = others[stuck]
    if _stuck(chosen, apart).any():
        raise ValueError("no walk turns without coming near its own frames: let the longest gap be longer")
    return chosen


def straight_walks(gaps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Times of walks that start at 0 and go on by the `gaps`: i64 `[..., steps]` → `[..., steps + 1]`."""
    times = np.zeros((*gaps.shape[:-1], gaps.shape[-1] + 1), np.int64)
    np.cumsum(gaps, axis=-1, out=times[..., 1:])
    return times


def turning_walks(gaps: NDArray[np.int64], *, apart: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Every walk with a turn: its times, the earliest 0, i64 `[S, walks, steps + 1]`, and which of them will do.

    It will do when any two of its frames are `apart` or more: a walk back to the same frame would show a difference and
    its own negative.

    Args:
        gaps: i64 `[S, steps]`, lengths of the steps.
        apart: smallest distance between any two frames.
    """
    times = straight_walks(_turns(gaps.shape[1]) * gaps[:, None])
    times -= times.min(axis=2, keepdims=True)
    nearest = np.diff(np.sort(times, axis=2), axis=2).min(axis=2)
    return times, nearest >= apart


def _stuck(gaps: NDArray[np.int64], apart: int) -> NDArray[np.bool_]:
    """Sequences whose gaps no walk with a turn can have: bool `[S]`."""
    possible = turning_walks(gaps, apart=apart)[1]
    return np.array(possible.sum(axis=1) == 0)


@cache
def _turns(steps: int) -> NDArray[np.int64]:
    """Directions of the steps, ±1, of all walks but the two that never turn: i64 `[2**steps - 2, steps]`."""
    return np.array(list(product((1, -1), repeat=steps))[1:-1], np.int64)
