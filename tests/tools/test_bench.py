"""The contest: rotation, ratios inside one repeat, and the real contestants on a tiny data set."""

import numpy as np
import pytest

from unreel.shards.catalogue import Catalogue
from unreel.tools.bench import rotate, run_contest
from unreel.tools.contestants import WINDOW, Setting, contestants


def test_rotation_begins_at_another_contestant_each_repeat() -> None:
    names = ["a", "b", "c"]
    assert [rotate(names, repeat)[0] for repeat in range(4)] == ["a", "b", "c", "a"]
    assert all(sorted(rotate(names, repeat)) == names for repeat in range(-1, 4))


def test_ratios_are_taken_inside_each_repeat() -> None:
    # The machine is half as fast in the second repeat: speeds change, the ratio does not.
    drift = {-1: 9.0, 0: 1.0, 1: 2.0, 2: 1.0}
    contest = {"ffmpeg": lambda repeat: 1.0 * drift[repeat], "loader": lambda repeat: 1.25 * drift[repeat]}
    reference, loader = run_contest(contest, clips=10, repeats=3)
    assert (reference.ratio, reference.ratio_low, reference.ratio_high) == (1.0, 1.0, 1.0)
    assert loader.ratio == loader.ratio_low == loader.ratio_high == pytest.approx(0.8)
    assert loader.clips_per_second == pytest.approx(8.0)


def test_contestants_run_on_real_shards(tiny_catalogue: Catalogue) -> None:
    setting = Setting(folder=tiny_catalogue.folder, threads=1, frames=4, batch=4, steps=2)
    with contestants(setting, "packets") as contest:
        assert {"ffmpeg", "bare packets", "loader"} <= set(contest)
        seconds = [run(-1) for run in contest.values()]
    assert np.all(np.array(seconds) > 0)
    assert WINDOW <= 128
