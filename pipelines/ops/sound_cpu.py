"""Features of sound on the CPU: tables for the compiled loops of `sound_loops.py`. Values are those of torchaudio."""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.ops import sound_loops as loops
from unreel.pipelines.ops.sharing import share
from unreel.pipelines.ops.spectrogram import Feature, Sounds

__all__ = ["band_powers", "levels"]

_Tables = tuple[NDArray[np.complex64], NDArray[np.int64], NDArray[np.complex64]]


def band_powers(sound: Tensor, sounds: Sounds, feature: Feature) -> Tensor:
    """As `spectrogram.band_powers`, on CPU tensors."""
    held = sound.float().contiguous()
    rows, count = sounds.start.shape
    columns = sounds.length // feature.hop
    out = torch.empty((rows, count, len(feature.bank), columns))
    first = (feature.size - feature.window) // 2 - feature.missing(sounds.length)[0]
    layout = feature.hop, first, columns, feature.size
    addresses, taper, tables = _addresses(held, sounds), _taper(feature.window), _tables(feature.size)
    bands, weights = _bands(feature)
    # The loop gives powers four times as large.
    scales = (sounds.gain.astype(np.float64) ** 2 / 4).astype(np.float32).repeat(count)

    def work(start: int, stop: int) -> None:
        loops.band_powers(
            start,
            stop,
            addresses,
            scales,
            sounds.length,
            layout,
            taper,
            tables,
            bands,
            weights,
            out.data_ptr(),
        )

    share(work, len(addresses) * -(-columns // loops.LANES), values=out.numel())
    return out


def levels(sound: Tensor, sounds: Sounds) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """As `spectrogram.levels`, on CPU tensors."""
    held = sound.float().contiguous()
    addresses = _addresses(held, sounds)
    peaks, squares = np.empty((2, len(addresses)), np.float32)
    share(
        lambda start, stop: loops.measure(start, stop, addresses, sounds.length, peaks, squares),
        len(addresses),
        values=len(addresses) * sounds.length // 8,
    )
    shape = sounds.start.shape
    return peaks.reshape(shape), np.sqrt(squares / np.float32(sounds.length)).reshape(shape)


def _addresses(sound: Tensor, sounds: Sounds) -> NDArray[np.int64]:
    """Where each stretch begins, i64 `[B * K]`."""
    return (sound.data_ptr() + 4 * (sounds.row[:, None] * sound.shape[2] + sounds.start)).ravel()


@lru_cache(maxsize=8)
def _taper(window: int) -> NDArray[np.float32]:
    """A Hann window, and zeros up to a multiple of `LANES`."""
    return np.pad(torch.hann_window(window).numpy(), (0, -window % loops.LANES))


@lru_cache(maxsize=8)
def _tables(size: int) -> _Tables:
    """Twiddles of each round, where each frequency lies after the last, and the roots that part even from odd samples."""
    twiddles, radices, span = [], [], size // 2
    while span > 8:
        angles = np.arange(span // 8)[:, None] * np.arange(1, 8) / span
        twiddles.append(_roots(angles.ravel()))
        radices.append(8)
        span //= 8
    frequency = np.zeros(1, np.int64)
    for radix in (span, *reversed(radices)):
        frequency = (np.arange(radix)[:, None] + radix * frequency).ravel()
    roots = _roots(np.arange(size // 4 + 1) / size)
    return np.concatenate(twiddles), np.argsort(frequency), roots


def _roots(turns: NDArray[np.float64]) -> NDArray[np.complex64]:
    return np.exp(-2j * np.pi * turns).astype(np.complex64)


@lru_cache(maxsize=8)
def _bands(feature: Feature) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The first frequency of each band, how many it has and where its weights begin, i64 `[F, 3]`; the weights, f32."""
    bank = feature.bank.numpy()
    first = (bank != 0).argmax(1)
    count = (bank != 0).sum(1)
    weights = np.concatenate([row[low : low + n] for row, low, n in zip(bank, first, count, strict=True)])
    return np.stack([first, count, count.cumsum() - count], 1), weights
