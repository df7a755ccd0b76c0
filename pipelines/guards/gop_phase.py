"""Frames whose place in their GOP was drawn: how old a picture's last key frame is tells nothing of its time.

Codecs draw key frames sharper than others, and what follows one gets more blurred or more exact the further it lies behind
it. Times that are a fixed step apart have phases a fixed step apart, which tells the step.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import Packets

__all__ = ["gop_phases", "times_by_phase"]


def gop_phases(packets: Packets) -> NDArray[np.int64]:
    """Frames from each frame's key frame to it: i64 `[frames]`, 0 for a key frame."""
    keys = packets.key_frames
    frames = np.arange(len(packets.key))
    return frames - keys[np.searchsorted(keys, frames, side="right") - 1]


def times_by_phase(
    phases: NDArray[np.int64], *, first: int, gaps: Sequence[int], wanted: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Ascending frames that have the phases `wanted`, as early as can be: i32 `[len(gaps) + 1]`.

    The first lies at `first` or later, and each next one at least `gaps` frames behind the one before. With phases that
    were drawn uniformly, a gap is up to a GOP longer than asked, and no frame's phase tells anything of the others'.

    Args:
        phases: from `gop_phases`.

    Raises:
        PlanImpossible: the sample ends before.
    """
    times: list[int] = []
    for phase, gap in zip(wanted.tolist(), (0, *gaps), strict=True):
        earliest = times[-1] + gap if times else first
        found = np.flatnonzero(phases[earliest:] == phase)
        if not len(found):
            raise PlanImpossible(
                f"no frame of {len(phases)} from {earliest} on is {phase} behind a key frame"
            )
        times.append(earliest + int(found[0]))
    return np.array(times, np.int32)
