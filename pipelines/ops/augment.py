"""Augmentation of sound, whole batch at once on its device: noise, and masks of a spectrogram.

What is drawn comes as `[B]` or `[B, K]` arrays from `Draws`. Noise is made from a key a row by a hash of the sample's
number, so that it too depends on nothing but the position.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.draws import Draws

__all__ = ["add_noise", "draw_masks", "mask_lines"]

_WORD: Final = 0xFFFFFFFF


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


def draw_masks(draws: Draws, purpose: str, *, size: int, count: int, widest: int) -> NDArray[np.int64]:
    """`count` stretches of 0 … `widest` of `size` lines for each row: first line and width, i64 `[B, count, 2]`.

    SpecAugment (Park et al., Interspeech 2019): the width is drawn first, then the place among those it fits in.
    """
    widest = min(widest, size)
    width = draws.integers(f"{purpose}_width", 0, widest + 1, count)
    place = draws.uniform(f"{purpose}_place", count)
    return np.stack([(place * (size - width + 1)).astype(np.int64), width], -1)


def mask_lines(features: Tensor, masks: NDArray[np.int64], axis: int) -> Tensor:
    """Stretches of lines of `axis` (3 bands, 4 time) replaced by the mean of each sound: f32 `[B, K, 1, F, S]` → the same.

    All sounds of a row are masked alike: masks i64 `[B, count, 2]`.
    """
    line = torch.arange(features.shape[axis], device=features.device)
    first, width = torch.from_numpy(masks).to(features.device).unbind(-1)
    inside = (line >= first[..., None]) & (line < (first + width)[..., None])
    hidden = inside.any(1)[:, None, None]
    hidden = hidden[..., None] if axis == 3 else hidden[..., None, :]
    return torch.where(hidden, features.mean(dim=(2, 3, 4), keepdim=True), features)
