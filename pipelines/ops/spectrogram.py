"""Sound as a picture of time and frequency: what is asked for, and what the numbers are.

Columns lie one hop apart and each window is centred on its hop, so N samples give N // hop columns: half a window minus
half a hop of mirrored sound is added on both sides. L3-Net counts 200 columns for one second in this way. On the device
torchaudio makes them, and says what they are; on the CPU a compiled loop does, see `sound_cpu.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import log
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torchaudio import functional as audio_functional

__all__ = ["FEATURES", "Feature", "Sounds", "band_powers", "levels", "log_mel", "log_spectrogram", "show"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Feature:
    """How sound is shown: log(max(power in a band, floor)) * slope + offset.

    Attributes:
        window: samples of a Hann window; the hop is half of it, and the transform has the next power of two.
        bank: f32 `[F, size / 2 + 1]`, the share of each frequency in each band; rows have no gaps.
    """

    window: int
    bank: Tensor
    floor: float
    slope: float
    offset: float

    @property
    def hop(self) -> int:
        """Samples from one column to the next."""
        return self.window // 2

    @property
    def size(self) -> int:
        """Samples of a transform."""
        return 2 * (self.bank.shape[1] - 1)

    def missing(self, length: int) -> tuple[int, int]:
        """Mirrored samples in front of `length` samples and behind them."""
        missing = (length // self.hop - 1) * self.hop + self.size - length
        return missing // 2, missing - missing // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Sounds:
    """K stretches of sound for each of B rows; arrays on the host.

    Attributes:
        row: i64 `[B]`, whose sound a row hears.
        start: i64 `[B, K]`, the first sample of each stretch.
        length: samples of every stretch.
        gain: f32 `[B]`, factor; all stretches of a row alike.
    """

    row: NDArray[np.int64]
    start: NDArray[np.int64]
    length: int
    gain: NDArray[np.float32]

    @classmethod
    def whole(cls, sound: Tensor) -> "Sounds":
        """All of each row, as it is."""
        rows = len(sound)
        start = np.zeros((rows, 1), np.int64)
        return cls(row=np.arange(rows), start=start, length=sound.shape[2], gain=np.ones(rows, np.float32))


def _power_of_two(at_least: int) -> int:
    return 1 << (at_least - 1).bit_length()


@lru_cache(maxsize=8)
def _log_spectrogram(rate: int) -> Feature:
    window = rate // 100
    bank = torch.eye(_power_of_two(window) // 2 + 1)
    # log(max(√power, 1e-12)) / 5 without the root.
    return Feature(window=window, bank=bank, floor=1e-24, slope=0.1, offset=0.0)


@lru_cache(maxsize=8)
def _log_mel(rate: int, bands: int = 64) -> Feature:
    window = rate // 50
    bins = _power_of_two(window) // 2 + 1
    # Triangles of equal height on the mel scale of O'Shaughnessy (HTK).
    bank = audio_functional.melscale_fbanks(bins, 50.0, rate / 2, bands, rate).T
    # A sine of amplitude 1 at the centre of a bin has half the window's sum as its magnitude.
    bank = (bank / (window / 4) ** 2).contiguous()
    return Feature(window=window, bank=bank, floor=1e-10, slope=1 / (5 * log(10)), offset=1.0)


FEATURES: Final[Mapping[str, Callable[[int], Feature]]] = {
    "logmel": _log_mel,
    "spectrogram": _log_spectrogram,
}
"""Name → how a task shows sound of a rate to a tower; `log_mel` and `log_spectrogram` say what the numbers are."""


def log_spectrogram(sound: Tensor, rate: int) -> Tensor:
    """L3-Net's spectrogram, 257 bins by 200 columns for a second at 48 kHz (Arandjelovic and Zisserman, 2017).

    Windows of 10 ms, half overlapping, at least 512 bins of transform; log(max(magnitude, 1e-12)) / 5.

    f32 in [-1, 1] `[B, 1, N]` → f32 `[B, 1, bins, N // hop]`.
    """
    return show(sound, "spectrogram", rate)[:, 0]


def log_mel(sound: Tensor, rate: int) -> Tensor:
    """Log-mel bands, ours: windows of 20 ms every 10 ms, 64 bands from 50 Hz to half the rate.

    Decibels below a full-scale sine, from -100 dB → -1 to 0 dB → 1; a second of sound gives 100 columns.

    f32 in [-1, 1] `[B, 1, N]` → f32 `[B, 1, bands, N // hop]`, not below -1.
    """
    return show(sound, "logmel", rate)[:, 0]


def show(
    sound: Tensor, feature: str, rate: int, sounds: Sounds | None = None, *, implementation: str = "auto"
) -> Tensor:
    """Features of stretches of sound, see `FEATURES`: f32 in [-1, 1] `[R, 1, N]` → f32 `[B, K, 1, F, length // hop]`.

    Args:
        sounds: which stretches; None: all of each row.
        implementation: `torchaudio`, or on the CPU also `numba`; `auto` is the quicker one.

    Raises ValueError where a stretch leaves its sound or is shorter than half a window.
    """
    sounds = sounds or Sounds.whole(sound)
    how = FEATURES[feature](rate)
    _check(sound, sounds, max(how.hop, *(side + 1 for side in how.missing(sounds.length))))
    if implementation == "torchaudio" or sound.device.type != "cpu":
        powers = band_powers(sound, sounds, how)
    else:
        from unreel.pipelines.ops import sound_cpu

        powers = sound_cpu.band_powers(sound, sounds, how)
    return powers.clamp_(min=how.floor).log_().mul_(how.slope).add_(how.offset).unsqueeze(2)


def band_powers(sound: Tensor, sounds: Sounds, feature: Feature) -> Tensor:
    """Powers in the bands of `feature` by torchaudio, on the device of `sound`: f32 `[B, K, F, columns]`."""
    device, (rows, count) = sound.device, sounds.start.shape
    padded = functional.pad(_cut(sound, sounds).flatten(0, 1), feature.missing(sounds.length), mode="reflect")
    taper = torch.hann_window(feature.window, device=device)
    spectrum = audio_functional.spectrogram(
        padded,
        0,
        taper,
        feature.size,
        feature.hop,
        feature.window,
        power=None,
        normalized=False,
        center=False,
    )
    # torchaudio's own power takes a root and squares it again: 16 ms for 32 seconds, against 3 ms.
    power = spectrum.real.square() + spectrum.imag.square()
    return (feature.bank.to(device) @ power).view(rows, count, len(feature.bank), -1)


def levels(sound: Tensor, sounds: Sounds) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Largest magnitude and RMS of each stretch before its gain, f32 `[B, K]` each, on the host."""
    _check(sound, sounds, 1)
    if sound.device.type == "cpu":
        from unreel.pipelines.ops import sound_cpu

        return sound_cpu.levels(sound, sounds)
    stretches = _cut(sound, sounds, gain=False)
    peak, level = stretches.abs().amax(dim=2), stretches.square().mean(dim=2).sqrt()
    return peak.cpu().numpy(), level.cpu().numpy()


def _cut(sound: Tensor, sounds: Sounds, *, gain: bool = True) -> Tensor:
    """f32 `[B, K, length]`, amplified."""
    row, start = (torch.from_numpy(part).to(sound.device) for part in (sounds.row, sounds.start))
    whole = sound.unfold(2, sounds.length, 1)
    stretches = whole[row[:, None], 0, start]
    if not gain:
        return stretches
    return stretches * torch.from_numpy(sounds.gain).to(sound.device)[:, None, None]


def _check(sound: Tensor, sounds: Sounds, least: int) -> None:
    length, start = sounds.length, sounds.start
    if sound.shape[1] != 1:
        raise ValueError(f"sound of {sound.shape[1]} channels: mix them to one first")
    if sounds.row.size and (sounds.row.min() < 0 or sounds.row.max() >= len(sound)):
        raise ValueError(f"sounds of rows {sounds.row.min()} … {sounds.row.max()}: there are {len(sound)}")
    if length < least:
        raise ValueError(f"sounds of {length} samples: this feature takes at least {least}")
    if start.size and (start.min() < 0 or start.max() + length > sound.shape[2]):
        raise ValueError(
            f"sounds from {start.min()} … {start.max()} for {length} samples leave {sound.shape[2]} samples"
        )
