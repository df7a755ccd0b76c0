"""Frames by their distance from a key frame: the phases asked for, in the order of time, and no fixed steps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.pipelines.guards.gop_phase import gop_phases, times_by_phase
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import Packets


def packets(keys: list[int], frames: int) -> Packets:
    flags = np.isin(np.arange(frames), keys).astype("u1").tobytes()
    return Packets(offset=b"", size=b"", key=flags)


def test_phases_count_from_each_key_frame_however_long_its_group() -> None:
    assert gop_phases(packets([0, 3, 4, 9], 11)).tolist() == [0, 1, 2, 0, 0, 1, 2, 3, 4, 0, 1]


@given(
    gop=st.integers(1, 20),
    first=st.integers(0, 30),
    gaps=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    data=st.data(),
)
def test_times_have_their_phases_and_keep_their_gaps(
    gop: int, first: int, gaps: list[int], data: st.DataObject
) -> None:
    wanted = np.array(
        data.draw(st.lists(st.integers(0, gop - 1), min_size=len(gaps) + 1, max_size=len(gaps) + 1))
    )
    frames = first + sum(gaps) + gop * (len(gaps) + 1)
    phases = gop_phases(packets(list(range(0, frames, gop)), frames))
    times = times_by_phase(phases, first=first, gaps=gaps, wanted=wanted)
    assert (phases[times] == wanted).all()
    steps = np.diff(times)
    assert (steps >= gaps).all() and (steps < np.array(gaps) + gop).all()
    assert first <= times[0] < first + gop


def test_a_sample_that_ends_before_is_refused() -> None:
    phases = gop_phases(packets([0, 16], 32))
    with pytest.raises(PlanImpossible, match="no frame of 32 from 30 on is 2 behind a key frame"):
        times_by_phase(phases, first=12, gaps=[10], wanted=np.array([4, 2]))
