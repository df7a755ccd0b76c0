"""Spectrograms against a Fourier transform written out in numpy, against known levels, and the loop against torchaudio."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unreel.pipelines.ops import sound_cpu
from unreel.pipelines.ops.spectrogram import (
    FEATURES,
    Sounds,
    band_powers,
    levels,
    log_mel,
    log_spectrogram,
    show,
)

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
        loudest = int(show(sound, feature, RATE)[0, 0, 0].mean(0).argmax())
        assert abs(loudest + 0.5 - columns / 2) <= 1


@settings(max_examples=40, deadline=None)
@given(
    feature=st.sampled_from(sorted(FEATURES)),
    rate=st.sampled_from([8000, 11_025, 16_000, 44_100, 48_000, 96_000]),
    seconds=st.floats(0.05, 0.6),
    seed=st.integers(0, 1000),
)
def test_the_loop_gives_the_powers_of_torchaudio(feature: str, rate: int, seconds: float, seed: int) -> None:
    """Any rate and length, stretches that begin anywhere, sounds of other rows, gains; within 1e-6 of the loudest."""
    rng = np.random.default_rng(seed)
    sound = torch.from_numpy(rng.standard_normal((3, 1, rate)).astype(np.float32)) * 0.1
    length = round(seconds * rate)
    sounds = Sounds(
        row=rng.integers(0, 3, 4),
        start=rng.integers(0, rate - length + 1, (4, 2)),
        length=length,
        gain=rng.uniform(0.1, 2, 4).astype(np.float32),
    )
    how = FEATURES[feature](rate)
    found, expected = sound_cpu.band_powers(sound, sounds, how), band_powers(sound, sounds, how)
    assert found.shape == expected.shape == (4, 2, len(how.bank), length // how.hop)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6 * expected.max().item())


def test_log_mel_is_the_same_by_both_within_a_ten_thousandth() -> None:
    sound = torch.randn(4, 1, RATE) * torch.tensor([0.3, 0.01, 1e-4, 0.0])[:, None, None]
    found, expected = (show(sound, "logmel", RATE, implementation=name) for name in ("auto", "torchaudio"))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_threads_and_neighbours_change_no_bit() -> None:
    sound, before = torch.randn(12, 1, 2 * RATE) * 0.1, torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        # More than half a million values: less is left to one thread.
        shared = show(sound, "spectrogram", RATE)
        assert shared.numel() > 1 << 19
    finally:
        torch.set_num_threads(before)
    alone = torch.cat([show(row[None], "spectrogram", RATE) for row in sound])
    assert torch.equal(shared, alone)


def test_levels_are_peak_and_root_mean_square_of_each_stretch() -> None:
    sound = torch.randn(3, 1, 1000) * 0.1
    start = np.array([[0, 499], [3, 77], [123, 498]])
    sounds = Sounds(row=np.array([2, 0, 1]), start=start, length=501, gain=np.full(3, 9, np.float32))
    peak, level = levels(sound, sounds)
    for row, whose in enumerate(sounds.row):
        for k, begin in enumerate(sounds.start[row]):
            part = sound[whose, 0, begin : begin + 501]
            assert peak[row, k] == pytest.approx(part.abs().max().item(), rel=1e-6)
            assert level[row, k] == pytest.approx(part.square().mean().sqrt().item(), rel=1e-5)


def test_stretches_may_not_leave_the_sound_nor_be_too_short() -> None:
    sound = torch.zeros(2, 1, RATE)
    sounds = Sounds(
        row=np.arange(2), start=np.array([[0], [41]]), length=RATE - 40, gain=np.ones(2, np.float32)
    )
    with pytest.raises(ValueError, match=r"sounds from 0 … 41 for 47960 samples leave 48000 samples"):
        show(sound, "logmel", RATE, sounds)
    with pytest.raises(ValueError, match=r"sounds of rows 0 … 1: there are 1"):
        show(sound[:1], "logmel", RATE, replace(sounds, start=np.zeros((2, 1), np.int64)))
    with pytest.raises(ValueError, match=r"sounds of 200 samples: this feature takes at least 480"):
        show(sound[..., :200], "logmel", RATE)
    with pytest.raises(ValueError, match=r"sound of 2 channels: mix them to one first"):
        show(sound.expand(-1, 2, -1), "logmel", RATE)
