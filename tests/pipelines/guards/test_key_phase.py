"""Steps between key frames: which read alike both ways, and which do not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.pipelines.guards import even_step
from unreel.shards.errors import PlanImpossible


def phases(gop: int, step: int, shown: int = 6) -> set[tuple[int, ...]]:
    """The key distances that a clip can have, over all starts."""
    return {tuple((start + step * np.arange(shown)) % gop) for start in range(gop)}


@given(gop=st.integers(1, 64), wanted=st.integers(1, 200))
def test_clips_show_the_same_phases_in_both_directions(gop: int, wanted: int) -> None:
    step = even_step(np.arange(0, 1000, gop), wanted=wanted)
    forward = phases(gop, step)
    assert {phase[::-1] for phase in forward} == forward


def test_other_steps_tell_the_direction() -> None:
    forward = phases(16, 2)
    assert not forward & {phase[::-1] for phase in forward}


@pytest.mark.parametrize(
    ("gop", "wanted", "step"), [(16, 1, 8), (16, 8, 8), (16, 11, 8), (16, 13, 16), (15, 4, 15), (1, 3, 3)]
)
def test_the_step_is_the_nearest(gop: int, wanted: int, step: int) -> None:
    assert even_step(np.arange(0, 320, gop), wanted=wanted) == step


def test_one_key_frame_leaves_the_step_as_it_is() -> None:
    assert even_step(np.zeros(1, np.int64), wanted=5) == 5


def test_irregular_key_frames_are_refused() -> None:
    with pytest.raises(PlanImpossible, match="distances from 10 to 16"):
        even_step(np.array([0, 16, 26]), wanted=8)
