"""Spectrograms against a Fourier transform written out in numpy, and against levels that are known."""

import numpy as np
import torch

from unreel.pipelines.ops.spectrogram import FEATURES, log_mel, log_spectrogram

RATE = 48_000


def by_hand(sound: np.ndarray) -> np.ndarray:
    """The published spectrogram of one second, f64 `[257, 200]`, from the definition."""
    padded = np.pad(sound.astype(np.float64), 136, mode="reflect")
    ticks = np.arange(480)
    window = np.zeros(512)
    window[16:496] = 0.5 - 0.5 * np.cos(2 * np.pi * ticks / 480)
    waves = np.exp(-2j * np.pi * np.outer(np.arange(257), np.arange(512)) / 512)
    columns = np.stack([padded[240 * k : 240 * k + 512] * window for k in range(200)], axis=1)
    return np.log(np.maximum(np.abs(waves @ columns), 1e-12)) / 5


def sine(hertz: float, level: float = 1.0) -> torch.Tensor:
    time = torch.arange(RATE, dtype=torch.float64) / RATE
    return (level * torch.sin(2 * torch.pi * hertz * time)).float()[None, None]


def test_published_shape_and_values() -> None:
    sound = torch.randn(3, 1, RATE) * 0.1
    found = log_spectrogram(sound, RATE)
    assert found.shape == (3, 1, 257, 200)
    for row in range(3):
        np.testing.assert_allclose(found[row, 0], by_hand(sound[row, 0].numpy()), atol=2e-3)


def test_silence_is_the_floor_of_both_features() -> None:
    silence = torch.zeros(1, 1, RATE)
    torch.testing.assert_close(log_mel(silence, RATE), torch.full((1, 1, 64, 100), -1.0))
    floor = torch.full((1, 1, 257, 200), float(np.log(1e-12) / 5))
    torch.testing.assert_close(log_spectrogram(silence, RATE), floor)


def test_log_mel_states_decibels_below_full_scale() -> None:
    loud, soft = (log_mel(sine(1500, level), RATE)[0, 0] for level in (1.0, 0.1))
    assert abs(loud.max() - 1) < 0.06
    band = int(loud.mean(1).argmax())
    torch.testing.assert_close(loud[band] - soft[band], torch.full((100,), 0.4), atol=1e-3, rtol=0)


def test_higher_tones_lie_in_higher_bands() -> None:
    bands = [int(log_mel(sine(hertz), RATE)[0, 0].mean(1).argmax()) for hertz in (200, 800, 3200, 12800)]
    assert bands == sorted(set(bands))


def test_a_click_lies_in_its_column() -> None:
    sound = torch.zeros(1, 1, RATE)
    sound[0, 0, 24_000] = 1.0
    for feature, columns in (("logmel", 100), ("spectrogram", 200)):
        loudest = int(FEATURES[feature](sound, RATE)[0, 0].mean(0).argmax())
        assert abs(loudest + 0.5 - columns / 2) <= 1
