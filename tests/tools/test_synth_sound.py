"""What is heard: on time, in range, and telling of material, size and shape."""

from dataclasses import replace

import numpy as np
import pytest

from unreel.tools.synth.sound import FLUTTER, VOICES, pitch_of, soundtrack
from unreel.tools.synth.world import World, clip_of
from unreel.tools.synth.write import sound_of

WORLD = World(seed=2, clips=72, frames=75, rate=25, width=64, height=64)
RATE = WORLD.audio_rate


def loudness(wave: np.ndarray, window: int) -> np.ndarray:
    return np.sqrt((wave[: len(wave) // window * window].reshape(-1, window) ** 2).mean(axis=1))


@pytest.mark.parametrize("index", range(12))
def test_sound_is_as_long_as_the_picture_and_in_range(index: int) -> None:
    wave = sound_of(WORLD, clip_of(WORLD, index))
    assert wave.shape == (3 * RATE,) and wave.dtype == np.float32
    assert 0.1 < np.abs(wave).max() <= 1


@pytest.mark.parametrize("index", range(12))
def test_strikes_begin_at_their_events(index: int) -> None:
    """The first sample that a strike changes is the first sample after its event."""
    clip = clip_of(WORLD, index)
    quiet = sound_of(WORLD, replace(clip, motion=replace(clip.motion, events=())))
    for event in clip.motion.events:
        only = replace(clip, motion=replace(clip.motion, events=(event,)))
        heard = np.flatnonzero(np.abs(sound_of(WORLD, only) - quiet) > 1e-4)
        if len(heard):
            assert -1 <= heard[0] - event.seconds * RATE < 0.003 * RATE
        else:
            assert event.seconds > 3 - 0.003


def test_most_windows_of_a_second_are_audible() -> None:
    windows = np.concatenate([loudness(sound_of(WORLD, clip_of(WORLD, index)), RATE) for index in range(24)])
    assert (windows > 0.01).mean() > 0.95


def test_small_objects_sound_high() -> None:
    for voice in VOICES.values():
        pitches = pitch_of(voice, np.array([0.15, 0.25, 0.4]))
        assert (np.diff(pitches) < 0).all() and pitches[1] == pytest.approx(voice.pitch)


def test_shapes_flutter_at_their_own_rates() -> None:
    """The strongest modulation of a steady hum is the shape's."""
    clip = next(c for c in (clip_of(WORLD, i) for i in range(72)) if c.law == "spin")
    motion = replace(clip.motion, events=())
    for shape, flutter in FLUTTER.items():
        wave = soundtrack(clip.dice, motion, voice=VOICES["glass"], flutter=flutter, frame_rate=25, rate=RATE)
        envelope = loudness(wave, RATE // 200)
        spectrum = np.abs(np.fft.rfft(envelope - envelope.mean()))
        if flutter:
            assert spectrum.argmax() / 3 == pytest.approx(flutter, abs=0.5), shape
        else:
            assert envelope.std() < 0.05 * envelope.mean()


def test_sound_class_is_heard_in_a_second() -> None:
    """Nearest class centre of the mean log spectrum; centres from other clips than those tested."""
    bands = np.geomspace(80, 12_000, 25)
    frequencies = np.fft.rfftfreq(RATE, 1 / RATE)
    features, classes = [], []
    for index in range(72):
        clip = clip_of(WORLD, index)
        power = np.abs(np.fft.rfft(sound_of(WORLD, clip)[RATE : 2 * RATE])) ** 2
        level = np.log10(np.histogram(frequencies, bands, weights=power)[0] + 1e-3)
        features.append(level - level.mean())
        classes.append(clip.sound_class)
    known, asked = np.array(features[:36]), np.array(features[36:])
    centres = {name: known[np.array(classes[:36]) == name].mean(axis=0) for name in VOICES}
    guesses = [min(centres, key=lambda name: np.linalg.norm(row - centres[name])) for row in asked]
    assert np.mean([guess == name for guess, name in zip(guesses, classes[36:], strict=True)]) > 0.85
