"""Perceptual hashes: 64 bits of a picture's coarse form, by which near copies are found without decoding."""

from fractions import Fraction
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["distances", "picture_hashes"]

_SIDE: Final = 8


def picture_hashes(grey: NDArray[np.uint8], frame_rate: Fraction) -> NDArray[np.uint64]:
    """Hashes of one frame a second, the first of frame 0: `[T, h, w]` → u64 `[n]`.

    Bit `8 u + v` says whether the DCT-II coefficient of `u + 1` waves down and `v + 1` across is above the median of the 64
    (C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010). A coefficient counts waves over
    the whole picture, so pictures of any size are compared without being scaled. A plain picture has the hash 0.
    """
    seconds = np.arange(int((len(grey) - 1) / frame_rate) + 1)
    pictures = grey[[min(round(second * frame_rate), len(grey) - 1) for second in seconds.tolist()]]
    down, across = (_waves(side) for side in pictures.shape[1:])
    waves = down @ pictures.astype(np.float32) @ across.T
    room = [(0, 0), *((0, _SIDE - side) for side in waves.shape[1:])]
    # Rounding noise around an exact zero would make the bits of plain pictures random.
    coefficients = np.round(np.pad(waves, room).reshape(len(pictures), -1), 2)
    bits = coefficients > np.median(coefficients, axis=1, keepdims=True)
    return np.packbits(bits, axis=1, bitorder="little").view("<u8")[:, 0]


@lru_cache
def _waves(side: int) -> NDArray[np.float32]:
    """The orthonormal DCT-II's first waves after the mean, at most `_SIDE`: f32 `[n, side]`. SciPy's takes longer to import
    than a minute of video takes to hash."""
    numbers = np.arange(1, min(_SIDE, side - 1) + 1)[:, None]
    places = 2 * np.arange(side) + 1
    return (np.sqrt(2 / side) * np.cos(np.pi * numbers * places / (2 * side))).astype(np.float32)


def distances(hashes: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """In how many of 64 bits they differ: u64 `[n]`, `[m]` → u8 `[n, m]`. Copies differ in few, others in about 32."""
    return np.bitwise_count(hashes[:, None] ^ others[None, :])
