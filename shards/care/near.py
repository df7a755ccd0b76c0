"""Near words: which of many 64-bit hashes differ in few bits from others, found without comparing all pairs."""

from collections.abc import Iterator
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["LARGEST_DISTANCE", "WordIndex"]

_BANDS: Final = 4
_BITS: Final = 16
_RANGE: Final = 1 << _BITS
LARGEST_DISTANCE: Final = 15
"""More than three wrong bits in a band of 16 would mean to look into most of its 65,536 lists."""

_PAIRS: Final = 1 << 20
"""Pairs that are compared at once: what memory a question takes."""


class WordIndex:
    """Some words, to be asked which of them are near others.

    Multi-index hashing (M. Norouzi, A. Punjani, D. J. Fleet, "Fast Search in Hamming Space with Multi-Index Hashing", 2012):
    two words that differ in at most `d` bits differ in at most `d // 4` bits in one of four bands, so the lists of the words
    with one of few values in a band hold all that is near. At a distance of 6, one word in about a thousand is compared.
    """

    def __init__(self, words: NDArray[np.uint64]) -> None:
        self.words = words
        self._orders: list[NDArray[np.intp]] = []
        self._starts: list[NDArray[np.intp]] = []
        for band in range(_BANDS):
            keys = _band(words, band)
            order = np.argsort(keys, kind="stable")
            self._orders.append(order)
            self._starts.append(np.searchsorted(keys[order], np.arange(_RANGE + 1)))

    def near(
        self, queries: NDArray[np.uint64], distance: int
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Every pair (number of a query, number of a word) that differs in at most `distance` bits, once, in parts.

        Raises:
            ValueError: `distance` is out of range.
        """
        if not 0 <= distance <= LARGEST_DISTANCE:
            raise ValueError(f"distance {distance}: allowed is 0 to {LARGEST_DISTANCE} bits of 64")
        radius = distance // _BANDS
        for band in range(_BANDS):
            keys = _band(queries, band)
            for flip in _flips(radius):
                for asked, found in self._listed(band, keys ^ flip):
                    wrong = queries[asked] ^ self.words[found]
                    hit = np.bitwise_count(wrong) <= distance
                    # An earlier band has given this pair already.
                    for earlier in range(band):
                        hit &= np.bitwise_count(_band(wrong, earlier)) > radius
                    if hit.any():
                        yield asked[hit], found[hit]

    def _listed(
        self, band: int, keys: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        starts = self._starts[band]
        counts = starts[keys + 1] - starts[keys]
        ends = np.cumsum(counts)
        first = 0
        while first < len(keys):
            before = ends[first - 1] if first else 0
            stop = max(first + 1, int(np.searchsorted(ends, before + _PAIRS, side="right")))
            some = counts[first:stop]
            asked = np.repeat(np.arange(first, stop), some)
            inside = np.arange(len(asked)) - np.repeat(np.cumsum(some) - some, some)
            yield asked, self._orders[band][starts[keys[asked]] + inside]
            first = stop


def _band(words: NDArray[np.uint64], band: int) -> NDArray[np.int64]:
    return ((words >> np.uint64(_BITS * band)) & np.uint64(_RANGE - 1)).astype(np.int64)


def _flips(radius: int) -> list[int]:
    """All values of a band with at most `radius` bits set."""
    return [
        sum(1 << bit for bit in bits)
        for count in range(radius + 1)
        for bits in combinations(range(_BITS), count)
    ]
