"""How sound reaches a tower, alike in all tasks: channels mixed, as loud as drawn, shown as features."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.draws import Draws
from unreel.pipelines.ops.spectrogram import FEATURES

__all__ = ["amplify", "cut_columns", "cut_sounds", "show"]


def amplify(sound: Tensor, draws: Draws, *, gain: float) -> tuple[Tensor, dict[str, NDArray]]:
    """Channels mixed and scaled within 1 ± `gain`, never into clipping.

    float `[B, C, N]` → float `[B, 1, N]`, and the facts `gain` and `level`, the RMS, f32 `[B]`.
    """
    mono = sound.mean(dim=1, keepdim=True)
    drawn = torch.from_numpy(draws.uniform("gain", 1, 1, low=1 - gain, high=1 + gain))
    peak = mono.abs().amax(dim=2, keepdim=True)
    factor = torch.minimum(drawn.to(mono.device), 1 / peak.clamp(min=1e-6))
    louder = mono * factor
    level = louder.square().mean(dim=(1, 2)).sqrt()
    return louder, {"gain": factor.flatten().cpu().numpy(), "level": level.cpu().numpy()}


def cut_sounds(sound: Tensor, starts: NDArray[np.int64], *, length: int) -> Tensor:
    """Stretches of each row's sound: float `[B, 1, N]` and starts i64 `[B, K]` → float `[B, K, 1, length]`."""
    begin = torch.from_numpy(starts).to(sound.device)
    at = begin[..., None] + torch.arange(length, device=sound.device)
    return sound.expand(-1, starts.shape[1], -1).gather(2, at)[:, :, None]


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


def show(sound: Tensor, features: str, rate: int) -> Tensor:
    """Features of sounds, see `FEATURES`: float `[..., 1, N]` → float `[..., 1, bands, columns]`."""
    shown = FEATURES[features](sound.flatten(0, -3), rate)
    return shown.view(*sound.shape[:-2], *shown.shape[1:])
