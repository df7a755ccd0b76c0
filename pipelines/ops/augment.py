"""Augmentation of sound, whole batch at once on its device: gain, noise, shifts on the frame grid, masks of a spectrogram.

What is drawn comes as `[B]` or `[B, K]` arrays from `Draws`. Noise is made from a key a row by a hash of the sample's
number, so that it too depends on nothing but the position.
"""

from fractions import Fraction
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.draws import Draws

__all__ = ["add_noise", "amplify", "cut_sound", "draw_grid_starts", "draw_masks", "mask_lines"]

_WORD: Final = 0xFFFFFFFF


def amplify(sound: Tensor, decibels: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Louder by `decibels`, `[B]`, but never into clipping: f32 in [-1, 1] `[B, C, N]` → the same, and gains f32 `[B]`."""
    wanted = torch.from_numpy(10.0 ** (np.float32(decibels) / 20)).to(sound)
    gain = torch.minimum(wanted, 1 / sound.abs().amax(dim=(1, 2)).clamp(min=1e-6))
    return sound * gain[:, None, None], gain


def add_noise(sound: Tensor, ratio: NDArray[np.float32], draws: Draws) -> Tensor:
    """White noise, `ratio` decibels below the power of each row, f32 `[B]` (inf adds none); clamped to [-1, 1].

    f32 `[B, C, N]` → the same. Uniform and not Gaussian: the spectrum is as flat, and no sample is far out.
    """
    power = sound.square().mean(dim=(1, 2), keepdim=True)
    # Uniform noise in [-a, a] has a third of a² as its power.
    reach = (3 * power * torch.from_numpy(10.0 ** (-np.float32(ratio) / 10)).to(sound)[:, None, None]).sqrt()
    return (sound + reach * _white(draws.words("noise", 1)[:, 0], sound)).clamp_(-1, 1)


def _white(keys: NDArray[np.uint32], like: Tensor) -> Tensor:
    """Uniform in [-1, 1), f32, as `like` `[B, C, N]`: C. Wellons' hash `lowbias32` of each sample's number and key."""
    count = like.shape[1] * like.shape[2]
    number = torch.arange(count, device=like.device) * 0x9E3779B9
    x = (number + torch.from_numpy(keys.astype(np.int64)).to(like.device)[:, None]) & _WORD
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _WORD
    x = ((x ^ (x >> 15)) * 0x846CA68B) & _WORD
    x = (x ^ (x >> 16)) >> 8
    return (x.float() * 2.0**-23 - 1).view_as(like)


def draw_grid_starts(
    draws: Draws, *, frames: int, audio_rate: int, frame_rate: Fraction
) -> NDArray[np.int64]:
    """Starts in samples at the times of frames 0 … `frames`, i64 `[B]`: no start tells a label by its phase."""
    frame = draws.integers("sound_shift", 0, frames + 1)
    numerator, denominator = audio_rate * frame_rate.denominator, frame_rate.numerator
    return (2 * frame * numerator + denominator) // (2 * denominator)


def cut_sound(sound: Tensor, start: NDArray[np.int64], length: int) -> Tensor:
    """`length` samples from `start[b]` of each row: f32 `[B, C, N]` → `[B, C, length]`.

    Raises ValueError when a cut leaves the sound.
    """
    if len(start) and (start.min() < 0 or start.max() + length > sound.shape[2]):
        raise ValueError(
            f"sound from {start.min()} … {start.max()} for {length} samples leaves {sound.shape[2]} samples"
        )
    index = torch.from_numpy(start).to(sound.device)[:, None] + torch.arange(length, device=sound.device)
    return sound.gather(2, index[:, None].expand(-1, sound.shape[1], -1))


def draw_masks(draws: Draws, purpose: str, *, size: int, count: int, widest: int) -> NDArray[np.int64]:
    """`count` stretches of 0 … `widest` of `size` lines for each row: first line and width, i64 `[B, count, 2]`.

    SpecAugment (Park et al., Interspeech 2019): the width is drawn first, then the place among those it fits in.
    """
    widest = min(widest, size)
    width = draws.integers(f"{purpose}_width", 0, widest + 1, count)
    place = draws.uniform(f"{purpose}_place", count)
    return np.stack([(place * (size - width + 1)).astype(np.int64), width], -1)


def mask_lines(features: Tensor, masks: NDArray[np.int64], axis: int) -> Tensor:
    """Stretches of lines of `axis` (2 bands, 3 time) replaced by the mean of their row: f32 `[B, 1, F, S]` → the same."""
    line = torch.arange(features.shape[axis], device=features.device)
    first, width = torch.from_numpy(masks).to(features.device).unbind(-1)
    inside = (line >= first[..., None]) & (line < (first + width)[..., None])
    hidden = inside.any(1)
    hidden = hidden[:, None, :, None] if axis == 2 else hidden[:, None, None, :]
    return torch.where(hidden, features.mean(dim=(1, 2, 3), keepdim=True), features)
