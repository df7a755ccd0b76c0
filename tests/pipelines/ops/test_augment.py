"""Augmentation of sound: levels, spectra and masks, and that no row depends on its batch."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from unreel.pipelines.draws import Draws
from unreel.pipelines.ops.augment import add_noise, draw_masks, mask_lines


def tones(rows: int, length: int = 8000) -> torch.Tensor:
    time = torch.arange(length) / 16_000
    return 0.2 * torch.sin(2 * torch.pi * 300 * torch.arange(1, rows + 1)[:, None, None] * time)


def draws(rows: int, first: int = 0) -> Draws:
    return Draws.of(3, "test", np.arange(first, first + rows))


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


@pytest.mark.parametrize("axis", [3, 4])
def test_masks_hide_their_lines_in_all_sounds_of_a_row_and_no_others(axis: int) -> None:
    features = torch.rand(2, 3, 1, 20, 30)
    masks = np.array([[[2, 3], [10, 0]], [[19, 1], [0, 2]]])
    hidden = mask_lines(features, masks, axis)
    changed = (hidden != features).all(7 - axis).flatten(2)
    expected = [{2, 3, 4}, {0, 1, 19}]
    for row in range(2):
        for sound in range(3):
            assert set(changed[row, sound].nonzero().flatten().tolist()) == expected[row]
            filling = hidden[row, sound].movedim(axis - 2, 0)[changed[row, sound]]
            torch.testing.assert_close(filling, features[row, sound].mean().expand_as(filling))


def test_masks_fit_and_reach_every_width_and_both_ends() -> None:
    masks = draw_masks(draws(2000), "time", size=30, count=2, widest=8)
    first, width = masks[..., 0], masks[..., 1]
    assert set(np.unique(width)) == set(range(9))
    assert first.min() == 0 and (first + width).max() == 30


def test_calls_do_not_grow_with_the_batch(calls: Callable[..., int]) -> None:
    def all_of_it(rows: int) -> None:
        sound, chance = tones(rows), draws(rows)
        sound = add_noise(sound, np.zeros(rows, np.float32), chance)
        mask_lines(sound.view(rows, 2, 1, 40, 100), draw_masks(chance, "m", size=40, count=2, widest=5), 3)

    assert calls(all_of_it, 2) == calls(all_of_it, 32)
