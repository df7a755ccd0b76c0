"""A contest: rotation, and ratios inside one repeat."""

import pytest

from unreel.tools.bench.contest import rotate, run_contest


def test_rotation_begins_at_another_contestant_each_repeat() -> None:
    names = ["a", "b", "c"]
    assert [rotate(names, repeat)[0] for repeat in range(4)] == ["a", "b", "c", "a"]
    assert all(sorted(rotate(names, repeat)) == names for repeat in range(-1, 4))


def test_ratios_are_taken_inside_each_repeat() -> None:
    # The machine is half as fast in the second repeat: speeds change, the ratio does not.
    drift = {-1: 9.0, 0: 1.0, 1: 2.0, 2: 1.0}
    contest = {"ffmpeg": lambda repeat: 1.0 * drift[repeat], "loader": lambda repeat: 1.25 * drift[repeat]}
    reference, loader = run_contest(contest, units=10, repeats=3, reference="ffmpeg")
    assert (reference.ratio, reference.ratio_low, reference.ratio_high) == (1.0, 1.0, 1.0)
    assert loader.ratio == loader.ratio_low == loader.ratio_high == pytest.approx(0.8)
    assert loader.speed == pytest.approx(8.0)
