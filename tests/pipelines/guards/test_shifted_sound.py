"""Moments for shifted sound: all that fit, none over an end, evenly, and both classes from the same places."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from unreel.pipelines.guards.shifted_sound import choose_moment, choose_pair, moments_of
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import frame_to_audio

SETTINGS = {"task": "test", "audio_rate": 48_000, "min_sound": 0.25, "scene_cuts": True}


def pairs_of(allowed: np.ndarray, low: int, high: int, **settings: bool) -> list[tuple[int, int]]:
    """Every pair, once: `at` in the middle of each share."""
    count = sum(
        low <= abs(a - b) <= high and allowed[a] and allowed[b]
        for a, b in product(range(len(allowed)), repeat=2)
    )
    count //= 1 if settings.get("both_ways", True) else 2
    return [choose_pair(allowed, low=low, high=high, at=(n + 0.5) / count, **settings) for n in range(count)]


def test_pairs_are_all_that_are_allowed_each_once() -> None:
    allowed = np.random.default_rng(0).random(30) < 0.8
    pairs = pairs_of(allowed, 4, 11)
    expected = {
        (a, b) for a, b in product(range(30), repeat=2) if allowed[a] and allowed[b] and 4 <= abs(a - b) <= 11
    }
    assert set(pairs) == expected and len(pairs) == len(expected)


def test_both_members_of_a_pair_come_from_the_same_places() -> None:
    allowed = np.ones(40, np.bool_)
    first, second = np.array(pairs_of(allowed, 15, 99)).T
    assert (np.bincount(first, minlength=40) == np.bincount(second, minlength=40)).all()


def test_without_the_guard_the_sound_is_always_the_later() -> None:
    first, second = np.array(pairs_of(np.ones(40, np.bool_), 15, 99, both_ways=False)).T
    assert (second - first >= 15).all() and first.max() < 25


def test_no_pair_is_no_pair() -> None:
    assert choose_pair(np.ones(10, np.bool_), low=10, high=20, at=0.5) is None


@pytest.mark.parametrize("rate", [(25, 1), (30000, 1001), (24, 1), (15, 1)])
def test_moments_lie_on_the_frame_grid_and_within_the_clip(sidecar: Callable, rate: tuple[int, int]) -> None:
    clip = sidecar(frames=90, rate=rate)
    moments = moments_of(clip, seconds=0.5, **SETTINGS)
    assert [
        frame_to_audio(k, 48_000, clip.video.frame_rate) for k in range(len(moments.starts))
    ] == moments.starts.tolist()
    assert moments.starts[-1] + moments.length <= clip.audio.samples
    assert len(moments.starts) - 1 + moments.frames <= 90 and len(moments.starts) + moments.frames >= 90


def test_moments_avoid_cuts_and_silence_unless_the_guards_are_off(sidecar: Callable) -> None:
    clip = sidecar(frames=100, cuts=(50,), silence=((0, 48_000),))
    moments = moments_of(clip, seconds=0.4, **SETTINGS)
    assert not moments.allowed[41:50].any() and moments.allowed[50]
    assert not moments.allowed[:17].any() and moments.allowed[18]
    free = moments_of(clip, seconds=0.4, **SETTINGS | {"min_sound": 0.0, "scene_cuts": False})
    assert free.allowed.all()
    assert {choose_moment(free.allowed, (at + 0.5) / 91) for at in range(91)} == set(range(91))


def test_what_is_missing_is_said(sidecar: Callable) -> None:
    with pytest.raises(PlanImpossible, match="clip-00000: test takes picture and sound of 44100 Hz"):
        moments_of(sidecar(0), seconds=0.5, **SETTINGS | {"audio_rate": 44_100})
    with pytest.raises(PlanImpossible, match="75 frames hold no 9 s"):
        moments_of(sidecar(0), seconds=9, **SETTINGS)
    with pytest.raises(PlanImpossible, match="25% above silence"):
        moments_of(sidecar(0, silence=((0, 144_000),)), seconds=1, **SETTINGS)
