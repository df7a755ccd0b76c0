"""Augmentation of sound: levels, spectra and places, and that no row depends on its batch."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch

from unreel.pipelines.draws import Draws
from unreel.pipelines.ops.augment import (
    add_noise,
    amplify,
    cut_sound,
    draw_grid_starts,
    draw_masks,
    mask_lines,
)


def tones(rows: int, length: int = 8000) -> torch.Tensor:
    time = torch.arange(length) / 16_000
    return 0.2 * torch.sin(2 * torch.pi * 300 * torch.arange(1, rows + 1)[:, None, None] * time)


def draws(rows: int, first: int = 0) -> Draws:
    return Draws.of(3, "test", np.arange(first, first + rows))


def test_gain_is_in_decibels_and_never_clips() -> None:
    louder, gain = amplify(tones(3), np.array([6.0206, -20, 40], np.float32))
    assert gain[:2].tolist() == pytest.approx([2, 0.1], rel=1e-4)
    assert louder.abs().amax((1, 2))[2].item() == pytest.approx(1)
    torch.testing.assert_close(louder[0], 2 * tones(3)[0], atol=1e-5, rtol=0)


def test_noise_has_the_power_that_is_asked_for_and_a_flat_spectrum() -> None:
    sound = tones(2, 1 << 15)
    noise = add_noise(sound, np.array([10, np.inf], np.float32), draws(2)) - sound
    ratio = sound[0].square().mean() / noise[0].square().mean()
    assert 10 * ratio.log10().item() == pytest.approx(10, abs=0.2)
    assert not noise[1].any()
    power = torch.fft.rfft(noise[0, 0]).abs().square()[1:].view(32, -1).mean(1)
    assert power.max() / power.min() < 1.6
    assert abs(noise[0].mean()) < 0.02 * noise[0].std()


def test_noise_of_a_row_is_its_own_and_does_not_depend_on_the_batch() -> None:
    sound = tones(1).expand(4, -1, -1)
    whole = add_noise(sound, np.zeros(4, np.float32), draws(4))
    part = add_noise(sound[:2], np.zeros(2, np.float32), draws(2, first=2))
    assert torch.equal(whole[2:], part)
    difference = (whole - sound).flatten(1)
    assert torch.corrcoef(difference).fill_diagonal_(0).abs().max() < 0.05


def test_shifts_lie_on_the_times_of_frames() -> None:
    rate = Fraction(30_000, 1001)
    starts = draw_grid_starts(draws(500), frames=20, audio_rate=48_000, frame_rate=rate)
    grid = [round(Fraction(48_000) * frame / rate) for frame in range(21)]
    assert set(starts.tolist()) == set(grid)


def test_cuts_are_slices_and_may_not_leave_the_sound() -> None:
    sound = torch.rand(3, 2, 100)
    cut = cut_sound(sound, np.array([0, 7, 40]), 60)
    assert torch.equal(cut, torch.stack([sound[0, :, :60], sound[1, :, 7:67], sound[2, :, 40:]]))
    with pytest.raises(ValueError, match=r"sound from 0 … 41 for 60 samples leaves 100 samples"):
        cut_sound(sound, np.array([0, 41]), 60)


@pytest.mark.parametrize("axis", [2, 3])
def test_masks_hide_their_lines_and_no_others(axis: int) -> None:
    features = torch.rand(2, 1, 20, 30)
    masks = np.array([[[2, 3], [10, 0]], [[19, 1], [0, 2]]])
    hidden = mask_lines(features, masks, axis)
    changed = (hidden != features).all(2 if axis == 3 else 3).flatten(1)
    expected = [{2, 3, 4}, {0, 1, 19}]
    assert [set(row.nonzero().flatten().tolist()) for row in changed] == expected
    filling = hidden.movedim(axis, -1)[changed[:, None, None].expand_as(hidden.movedim(axis, -1))]
    assert filling.unique().numel() <= 2 and filling[0].isclose(features[0].mean())


def test_masks_fit_and_reach_every_width_and_both_ends() -> None:
    masks = draw_masks(draws(2000), "time", size=30, count=2, widest=8)
    first, width = masks[..., 0], masks[..., 1]
    assert set(np.unique(width)) == set(range(9))
    assert first.min() == 0 and (first + width).max() == 30


def test_calls_do_not_grow_with_the_batch(calls: Callable[..., int]) -> None:
    def all_of_it(rows: int) -> None:
        sound, chance = tones(rows), draws(rows)
        sound = cut_sound(amplify(sound, np.zeros(rows, np.float32))[0], np.zeros(rows, int), 4000)
        sound = add_noise(sound, np.zeros(rows, np.float32), chance)
        mask_lines(sound.view(rows, 1, 40, 100), draw_masks(chance, "m", size=40, count=2, widest=5), 2)

    assert calls(all_of_it, 2) == calls(all_of_it, 32)
