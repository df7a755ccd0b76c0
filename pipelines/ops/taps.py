"""Weights of a resize and of a blur, computed on the host: small tables that every implementation reads alike.

A resize is two passes, along rows and then along columns; each sums pixels times 16-bit weights, adds a half, shifts and
clamps to 8 bits. The weights are those of Pillow's antialiased bilinear filter in the form of torch's kernel for uint8,
so integers come out, and every implementation gives the same ones.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLUR_REACH", "Taps", "blur_bands", "blur_radius", "blur_taps", "taps_of", "uniform_taps"]

BLUR_REACH: Final = 3
"""A Gaussian ends at this many standard deviations."""

_MOST_BITS: Final = 22


@dataclass(frozen=True, slots=True)
class Taps:
    """How each of `size` pixels is made of some pixels of a line; one table for each of K lines.

    Attributes:
        first: i32 `[K, size]`, the first pixel that counts, from the line's start.
        weight: i16 `[K, size, taps]`, weights from there on; the rest is zero.
        bits: i32 `[K]`: weights are in units of 2 ** -bits.
    """

    first: NDArray[np.int32]
    weight: NDArray[np.int16]
    bits: NDArray[np.int32]


@lru_cache(maxsize=64)
def uniform_taps(extent: int, size: int) -> Taps:
    """One table, for lines of `extent` whole pixels."""
    return taps_of(np.zeros(1), np.array([extent], np.float64), size)


def taps_of(start: NDArray[np.float64], extent: NDArray[np.float64], size: int) -> Taps:
    """Tables for cuts of `extent` pixels from `start`, f64 `[K]`; `first` counts from the pixel that `start` lies in.

    A cut between pixels reads the pixels that it touches and no others.
    """
    inside = np.ceil(start + extent) - np.floor(start)
    centre = (start - np.floor(start))[:, None] + (extent / size)[:, None] * (np.arange(size) + 0.5)
    support = np.maximum(extent / size, 1.0)[:, None]
    first = np.maximum(np.floor(centre - support + 0.5), 0)
    last = np.minimum(np.floor(centre + support + 0.5), inside[:, None])
    share = _triangle(first, last - first, centre, support)
    bits = _bits(share.max((1, 2)))
    weight = (share * 2.0 ** bits[:, None, None] + 0.5).astype(np.int16)
    return Taps(first.astype(np.int32), weight, bits)


def _triangle(
    first: NDArray[np.float64],
    count: NDArray[np.float64],
    centre: NDArray[np.float64],
    support: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Shares that add up to 1, f64 `[K, size, taps]`."""
    tap = np.arange(int(count.max()))
    away = (tap + (first - centre)[..., None] + 0.5) * (1 / support)[..., None]
    share = np.where(tap < count[..., None], np.maximum(1 - np.abs(away), 0), 0)
    # One after the other, as compilers of C add them: the last bit decides how a tie is rounded.
    return share / share.cumsum(-1)[..., -1:]


def _bits(largest: NDArray[np.float64]) -> NDArray[np.int32]:
    """The most bits with which the largest share still fits 16 bits, i32 `[K]`."""
    fits = (0.5 + largest[:, None] * 2.0 ** np.arange(1, _MOST_BITS + 1)).astype(np.int64) < 1 << 15
    return fits.cumprod(1).sum(1).astype(np.int32)


def blur_radius(sigma: NDArray[np.float32]) -> NDArray[np.int64]:
    """Pixels to each side that a blur of `sigma` reads."""
    return np.ceil(BLUR_REACH * sigma).astype(np.int64)


def blur_taps(sigma: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shares of the pixel itself and its neighbours at 1, 2, …, f32 `[N, 1 + largest radius]`; (1, 0, …) at sigma 0."""
    radius = blur_radius(sigma)[:, None]
    away = np.arange(1 + radius.max(initial=0))
    wide = np.maximum(sigma.astype(np.float64), 1e-6)[:, None]
    share = np.where(away <= radius, np.exp(-0.5 * (away / wide) ** 2), 0)
    return (share / (2 * share.sum(1, keepdims=True) - share[:, :1])).astype(np.float32)


def blur_bands(shares: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """The same as matrices, f32 `[N, size, size]`: row i makes pixel i; beyond the edge the picture is mirrored."""
    radius = shares.shape[1] - 1
    away = np.arange(-radius, radius + 1)
    source = np.abs(np.arange(size)[:, None] + away)
    source = np.where(source < size, source, 2 * (size - 1) - source)
    of_tap = (source.T[..., None] == np.arange(size)).astype(np.float32)
    return np.einsum("nk,kij->nij", shares[:, np.abs(away)], of_tap)
