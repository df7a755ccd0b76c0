"""Sound: how much of it is silent, and where it starts."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards.audio_phase import Placed, grid_phase, grid_starts, place_sound
from unreel.pipelines.guards.silence import sounding_share
from unreel.shards.sample import Sidecar, audio_length, frame_to_audio

Make = Callable[..., Sidecar]
RATES = [Fraction(25), Fraction(30000, 1001), Fraction(24), Fraction(24000, 1001), Fraction(7)]


@pytest.mark.parametrize("spans", [(), ((0, 100),), ((10, 20), (30, 90), (95, 100)), ((40, 41),)])
def test_sounding_share_against_counting_samples(spans: tuple[tuple[int, int], ...]) -> None:
    silent = np.zeros(100)
    for start, stop in spans:
        silent[start:stop] = 1
    starts = np.arange(70)
    expected = [1 - silent[start : start + 30].mean() for start in starts]
    np.testing.assert_allclose(sounding_share(spans, starts, 30), expected, atol=1e-12)


@pytest.mark.parametrize("rate", RATES)
def test_grid_starts_are_the_times_of_frames_that_leave_room(rate: Fraction) -> None:
    samples = audio_length(97, 48_000, rate)
    expected = [frame_to_audio(frame, 48_000, rate) for frame in range(98)]
    expected = [start for start in expected if start + 48_000 <= samples]
    starts = grid_starts(samples=samples, length=48_000, audio_rate=48_000, frame_rate=rate)
    assert starts.tolist() == expected
    assert {grid_phase(start, audio_rate=48_000, frame_rate=rate) for start in expected} == {0}


def test_sound_that_just_fits_has_one_start_and_longer_has_none() -> None:
    settings = {"audio_rate": 48_000, "frame_rate": Fraction(25), "length": 48_000}
    assert grid_starts(samples=48_000, **settings).tolist() == [0]
    assert grid_starts(samples=47_999, **settings).tolist() == []


def placed(clip: Sidecar, **settings: object) -> list[Placed]:
    assert clip.audio is not None and clip.video is not None
    starts = grid_starts(
        samples=clip.audio.samples, length=48_000, audio_rate=48_000, frame_rate=clip.video.frame_rate
    )
    defaults = {"length": 48_000, "misalignment": 0, "on_grid": True, "negative": False}
    chances = Draws.of(5, "test", np.arange(300)).uniform("plan", 3).tolist()
    every = np.arange(len(starts))
    return [place_sound(clip, starts, every, at=tuple(at), **(defaults | settings)) for at in chances]


def phases(found: list[Placed]) -> set[int]:
    return {grid_phase(p.sound.start, audio_rate=48_000, frame_rate=Fraction(25)) for p in found}


def test_a_frame_lies_in_the_middle_of_its_sound(sidecar: Make) -> None:
    for found in placed(sidecar()):
        assert abs(found.frame * 1920 - (found.sound.start + 24_000)) <= 960


def test_misalignment_is_up_to_the_limit_and_within_the_clip(sidecar: Make) -> None:
    found = placed(sidecar(), misalignment=10)
    assert {p.misaligned for p in found} == set(range(-10, 11))
    assert all(0 <= p.frame < 75 and 0 <= p.sound.start <= 144_000 - 48_000 for p in found)
    away = [(p.sound.start + 24_000) / 1920 - p.frame - p.misaligned for p in found]
    assert np.abs(away).max() <= 0.5


@pytest.mark.parametrize(
    ("on_grid", "misalignment", "negative", "on_the_grid"),
    [
        (True, 0, True, True),
        (True, 10, False, True),
        (False, 0, False, True),
        (False, 0, True, False),
        (False, 10, False, False),
        (False, 10, True, False),
    ],
)
def test_both_remedies_treat_classes_alike_and_neither_leaks(
    sidecar: Make, on_grid: bool, misalignment: int, negative: bool, on_the_grid: bool
) -> None:
    found = placed(sidecar(), on_grid=on_grid, misalignment=misalignment, negative=negative)
    assert (phases(found) == {0}) == on_the_grid
