"""Equal gaps: every walk that turns, none that comes back to its own frames, and gaps that both kinds share."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.pipelines.guards.equal_gaps import turning_walks, walkable_gaps


@given(st.lists(st.integers(2, 9), min_size=2, max_size=6))
def test_a_walk_has_the_gaps_it_was_given_and_turns(gaps: list[int]) -> None:
    times, possible = turning_walks(np.array([gaps]), apart=2)
    assert times.shape == (1, 2 ** len(gaps) - 2, len(gaps) + 1)
    for walk, will_do in zip(times[0], possible[0], strict=True):
        steps = np.diff(walk)
        assert np.abs(steps).tolist() == gaps and walk.min() == 0
        assert (steps > 0).any() and (steps < 0).any(), "neither the order of time nor its reversal"
        nearest = min(abs(int(a) - int(b)) for i, a in enumerate(walk) for b in walk[:i])
        assert will_do == (nearest >= 2)


def test_gaps_are_taken_that_can_be_walked_and_others_are_replaced() -> None:
    equal, good, better = [3, 3, 3], [2, 6, 3], [6, 2, 6]
    candidates = np.array([[equal, good], [better, equal]])
    assert walkable_gaps(candidates, apart=2).tolist() == [better, good]


def test_gaps_that_cannot_be_walked_are_refused() -> None:
    with pytest.raises(ValueError, match="let the longest gap be longer"):
        walkable_gaps(np.full((4, 2, 3), 3), apart=2)
