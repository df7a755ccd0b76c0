"""Frame rates: constant ones are kept or divided, variable ones go to the nearest."""

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from unreel.shards.border.timing import find_grid, shown_frames, storage_rate
from unreel.shards.making.profiles import PROFILES

PROFILE = PROFILES["clips-128"]
NTSC = Fraction(30000, 1001)
MILLISECOND = Fraction(1, 1000)


def times(rate: Fraction, count: int, time_base: Fraction) -> NDArray[np.int64]:
    """Times of `count` frames, rounded to whole units as containers do."""
    return np.array([round(frame / rate / time_base) for frame in range(count)])


@pytest.mark.parametrize(
    "rate", [Fraction(24000, 1001), Fraction(25), NTSC, Fraction(30), Fraction(25, 2), Fraction(60)]
)
def test_rate_is_exact_though_matroska_times_are_whole_milliseconds(rate: Fraction) -> None:
    grid = find_grid(times(rate, 300, MILLISECOND), MILLISECOND, [Fraction(round(rate * 1000), 1000)])
    assert grid is not None
    assert grid.rate == rate
    assert grid.regular


def test_times_that_ffmpeg_adds_up_are_still_on_the_grid() -> None:
    """MPEG program streams: a stamp now and then, and whole units added for each frame behind it."""
    rate, tick = Fraction(60000, 1001), Fraction(1, 90_000)
    frames = np.arange(360)
    stamped = frames - frames % 11
    guessed = times(rate, 360, tick)[stamped] + frames % 11 * 1501
    assert find_grid(guessed, tick, [rate]) is None
    grid = find_grid(guessed, tick, [rate], guessed=True)
    assert grid is not None
    assert (grid.rate, grid.regular) == (rate, True)


def test_variable_rate_has_no_grid() -> None:
    gaps = np.random.default_rng(0).integers(20, 60, 200)
    assert find_grid(np.cumsum(gaps), MILLISECOND, [Fraction(25)]) is None


def test_gap_leaves_the_rate_and_is_not_regular() -> None:
    broken = np.delete(times(Fraction(25), 250, MILLISECOND), slice(100, 104))
    grid = find_grid(broken, MILLISECOND, [Fraction(25)])
    assert grid is not None
    assert (grid.rate, grid.regular) == (25, False)


def test_hidden_packets_do_not_hide_the_rate() -> None:
    shown = times(Fraction(24), 240, MILLISECOND)
    grid = find_grid(np.sort(np.concatenate([shown, shown[40::40]])), MILLISECOND, [Fraction(24)])
    assert grid is not None
    assert (grid.rate, grid.regular) == (24, False)


@pytest.mark.parametrize(
    ("constant", "stored", "step"),
    [
        (Fraction(30), Fraction(30), 1),
        (Fraction(60), Fraction(30), 2),
        (Fraction(60000, 1001), NTSC, 2),
        (Fraction(50), Fraction(25), 2),
        (Fraction(120), Fraction(30), 4),
        (Fraction(6), Fraction(6), 1),
        (Fraction(3002, 100), Fraction(3002, 100), 1),
    ],
)
def test_constant_rate_is_kept_or_divided(constant: Fraction, stored: Fraction, step: int) -> None:
    assert storage_rate(constant, constant, PROFILE) == (stored, step)


@pytest.mark.parametrize(
    ("mean", "stored"), [("23.5", "24000/1001"), ("26", "25"), ("29.96", "30000/1001"), ("48", "30")]
)
def test_variable_rate_becomes_the_nearest(mean: str, stored: str) -> None:
    assert storage_rate(None, Fraction(mean), PROFILE) == (Fraction(stored), 1)


def test_shown_frames_repeat_over_a_gap() -> None:
    seconds = np.array([0.0, 0.04, 0.16, 0.20]) + 7
    assert shown_frames(seconds, Fraction(25), 6).tolist() == [0, 1, 1, 1, 2, 3]
