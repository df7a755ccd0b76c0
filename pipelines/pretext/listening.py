"""How sound reaches a tower, alike in all tasks: channels mixed, noise and gain as drawn, shown as features, masked."""

from dataclasses import replace
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.draws import Draws
from unreel.pipelines.ops.augment import add_noise, draw_masks, mask_lines
from unreel.pipelines.ops.spectrogram import FEATURES, Sounds, levels, show
from unreel.pipelines.pretext.checks import check_choice, check_range

__all__ = ["UNCHANGED", "check_hearing", "cut_columns", "hear"]

UNCHANGED: Final[dict[str, Any]] = {"gain": 0.0, "noise": 0.0, "mask_bands": 0, "mask_seconds": 0.0}
"""Fields of a task with which sound is heard as it is."""

_NOISE: Final = (10.0, 40.0)
"""Decibels by which noise lies below the sound that it is added to, least and most; ours."""

_MASKS: Final = 2
"""Masks of bands and of time for each row, as in SpecAugment's larger policy (Park et al., Interspeech 2019)."""


class Heard(Protocol):
    """The fields of a task that say how its sound is heard; each is documented there.

    `noise` is the share of rows that white noise is added to, `mask_bands` and `mask_seconds` are the widest masks of
    SpecAugment, two of each (published for speech: 27 of 80 bands, 1 s); 0 is off.
    """

    @property
    def audio_rate(self) -> int: ...
    @property
    def features(self) -> str: ...
    @property
    def gain(self) -> float: ...
    @property
    def noise(self) -> float: ...
    @property
    def mask_bands(self) -> int: ...
    @property
    def mask_seconds(self) -> float: ...
    @property
    def min_sound(self) -> float: ...


def check_hearing(task: Heard) -> None:
    """Raise ValueError unless the fields of `Heard` lie in their ranges."""
    check_range(task, 8_000, 192_000, "audio_rate")
    check_choice(task, "features", FEATURES)
    check_range(task, 0, 1, "gain", "noise", "min_sound")
    check_range(task, 0, 256, "mask_bands")
    check_range(task, 0, 60, "mask_seconds")


def hear(
    task: Heard,
    sound: Tensor,
    draws: Draws,
    *,
    row: NDArray[np.int64] | None = None,
    start: NDArray[np.int64] | None = None,
    length: int | None = None,
) -> tuple[Tensor, dict[str, NDArray]]:
    """Stretches of sound as a tower takes them, as loud as drawn but never clipping, all of a row alike.

    Args:
        sound: f32 in [-1, 1] `[B, C, N]`.
        row: i64 `[B]`, whose sound each row hears; None: its own.
        start: i64 `[B, K]`, the first sample of each stretch; None: one, from the first.
        length: samples of every stretch; None: all.

    Returns:
        f32 `[B, K, 1, bands, columns]`, and the facts `gain` f32 `[B]` and `level`, the RMS, f32 `[B, K]`, or `[B]` without
        `start`.
    """
    mono = sound if sound.shape[1] == 1 else sound.mean(dim=1, keepdim=True)
    if task.noise:
        mono = _noisy(mono, draws, task.noise)
    sounds = Sounds(
        row=np.arange(len(mono)) if row is None else row,
        start=np.zeros((len(mono), 1), np.int64) if start is None else start,
        length=mono.shape[2] if length is None else length,
        gain=draws.uniform("gain", 1, low=1 - task.gain, high=1 + task.gain)[:, 0],
    )
    peak, level = levels(mono, sounds)
    gain = np.minimum(sounds.gain, 1 / peak.max(axis=1).clip(1e-6))
    shown = show(mono, task.features, task.audio_rate, replace(sounds, gain=gain))
    level = level[:, 0] * gain if start is None else level * gain[:, None]
    return _masked(task, shown, draws, sounds.length), {"gain": gain, "level": level}


def _noisy(sound: Tensor, draws: Draws, share: float) -> Tensor:
    ratio = draws.uniform("noise_ratio", 1, low=_NOISE[0], high=_NOISE[1])[:, 0]
    return add_noise(sound, np.where(draws.chance("noisy", share), ratio, np.inf).astype(np.float32), draws)


def _masked(task: Heard, shown: Tensor, draws: Draws, length: int) -> Tensor:
    columns = round(task.mask_seconds * task.audio_rate / length * shown.shape[4])
    for axis, name, widest in ((3, "bands", task.mask_bands), (4, "columns", columns)):
        if widest:
            masks = draw_masks(draws, name, size=shown.shape[axis], count=_MASKS, widest=widest)
            shown = mask_lines(shown, masks, axis)
    return shown


def cut_columns(shown: Tensor, starts: NDArray[np.int64], *, samples: int, width: int) -> Tensor:
    """Stretches of features that were computed once: overlapping stretches cost no transform of their own.

    Args:
        shown: float `[B, 1, bands, columns]`.
        starts: i64 `[B, K]`, in audio samples; each stretch begins at the nearest column.
        samples: how many audio samples the features are of.
        width: columns of a stretch.

    Returns:
        float `[B, K, 1, bands, width]`.
    """
    first = np.rint(starts * (shown.shape[3] / samples)).astype(np.int64)
    columns = torch.from_numpy(np.minimum(first, shown.shape[3] - width)).to(shown.device)
    at = columns[..., None] + torch.arange(width, device=shown.device)
    row = torch.arange(len(shown), device=shown.device)[:, None, None]
    return shown[row, 0, :, at].transpose(2, 3)[:, :, None]
