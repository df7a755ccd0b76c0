"""How sound is heard: gain, noise and masks of a row belong to the row, and are off unless asked for."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from unreel.pipelines.draws import Draws
from unreel.pipelines.pretext import Correspondence
from unreel.pipelines.pretext.listening import UNCHANGED, hear

PLAIN = replace(Correspondence(), **UNCHANGED)
SOUND = torch.from_numpy(np.random.default_rng(1).standard_normal((6, 1, 12_000)).astype(np.float32)) * 0.1


def draws(rows: int = 6, first: int = 0) -> Draws:
    return Draws.of(3, "test", np.arange(first, first + rows))


def test_rows_hear_the_sound_that_they_are_given() -> None:
    row, start = np.array([5, 4, 3, 2, 1, 0]), np.arange(12).reshape(6, 2)
    heard, facts = hear(PLAIN, SOUND, draws(), row=row, start=start, length=9600)
    assert heard.shape == (6, 2, 1, 64, 20) and facts["level"].shape == (6, 2)
    alone, of_alone = hear(PLAIN, SOUND[4:5, :, 3 : 3 + 9600], draws(1))
    torch.testing.assert_close(heard[1, 1], alone[0, 0])
    assert facts["level"][1, 1] == pytest.approx(of_alone["level"][0])


def test_channels_are_mixed() -> None:
    both = torch.cat([SOUND, SOUND.flip(0)], dim=1)
    torch.testing.assert_close(hear(PLAIN, both, draws())[0], hear(PLAIN, both.mean(1, True), draws())[0])


@pytest.mark.parametrize("change", [{"gain": 0.5}, {"noise": 1.0}, {"mask_bands": 20}, {"mask_seconds": 0.1}])
def test_a_change_is_of_the_row_and_not_of_the_batch(change: dict) -> None:
    task = replace(PLAIN, **change)
    plain, changed = hear(PLAIN, SOUND, draws())[0], hear(task, SOUND, draws())[0]
    assert (plain != changed).flatten(1).any(1).sum() >= 4
    torch.testing.assert_close(hear(task, SOUND[3:], draws(3, first=3))[0], changed[3:])


def test_noise_comes_to_the_share_of_rows_that_is_asked_for() -> None:
    quiet = 0.1 * torch.ones(200, 1, 2000)
    task = replace(PLAIN, noise=0.3)
    plain, noisy = hear(PLAIN, quiet, draws(200))[0], hear(task, quiet, draws(200))[0]
    assert 40 <= (plain != noisy).flatten(1).any(1).sum() <= 80


@pytest.mark.parametrize(
    "change", [{"noise": 1.5}, {"mask_bands": -1}, {"mask_seconds": 61.0}, {"gain": 2.0}]
)
def test_a_wrong_setting_is_named(change: dict) -> None:
    with pytest.raises(ValueError, match=rf"{next(iter(change))} = .*: must lie between"):
        replace(PLAIN, **change)
