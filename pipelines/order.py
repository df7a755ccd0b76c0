"""Which sample is at position N: a pure function of (selection, seed, N), without state, in constant time.

Each epoch permutes the shards; each window of `WINDOW` shards of that order is read as one, its samples permuted by a
keyed bijection. World size, batch size and what was read before do not enter. A million shards with 10⁹ samples open
and seek in a fraction of a second, since nothing is ever as long as the number of samples.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isqrt
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unreel.pipelines.draws import Draws
from unreel.pipelines.selection import Selection, select

__all__ = ["ROUNDS", "WINDOW", "Order", "Place", "Positions", "Selection", "grouped", "permuted", "select"]

WINDOW: Final = 64
"""Shards whose samples are mixed with each other: the reader keeps twice as many open."""

ROUNDS: Final = 6
"""Feistel rounds; four make a permutation that passes for random (Luby and Rackoff 1988), two are for the weak mixer."""


class Place(NamedTuple):
    """Where the sample of a position lies."""

    epoch: int
    """Of the catalogue, or of the class, that the sample was drawn from."""
    shard: int
    ordinal: int
    part: int = 0
    """Number of the catalogue in a mixture."""
    conflict: str = ""
    """Why this sample cannot be used here; its row fails."""


class Positions(Protocol):
    """What has a sample at every position from 0 on."""

    seed: int

    def __len__(self) -> int:
        """Samples that are drawn from."""

    def locate(self, positions: Sequence[int] | NDArray[np.int64] | range) -> list[Place]:
        """The samples at `positions`, any non-negative integers in any order."""

    def alternates(self, position: int, count: int) -> Iterator[Place]:
        """`count` samples, drawn with repeats, that could stand at `position` without another shard being opened."""


@dataclass(frozen=True, slots=True)
class _Epoch:
    """The order of one epoch.

    Attributes:
        shards: i64 `[S]`, the shards in the order of this epoch.
        starts: i64 `[S + 1]`, rank of each shard's first sample, and the total.
    """

    shards: NDArray[np.int64]
    starts: NDArray[np.int64]


class Order:
    """The order of one selection. Threads may share it.

    Args:
        part: number of the catalogue in a mixture, for `Place.part`.
        stream: name of its random numbers; orders that are drawn from side by side have different ones.
        window: shards whose samples are mixed with each other.
    """

    def __init__(
        self, selection: Selection, seed: int, *, part: int = 0, stream: str = "order", window: int = WINDOW
    ) -> None:
        self.selection = selection
        self.seed = seed
        self._part, self._stream, self._window = part, stream, window
        self._shards = np.flatnonzero(selection.counts)
        self._epoch = lru_cache(2)(self._build_epoch)

    def __len__(self) -> int:
        """Positions of one epoch."""
        return len(self.selection)

    def locate(self, positions: Sequence[int] | NDArray[np.int64] | range) -> list[Place]:
        """The samples at `positions`, any non-negative integers in any order."""
        wanted = np.asarray(positions, np.int64)
        places: list[Place | None] = [None] * len(wanted)
        for rows, epoch in grouped(wanted // len(self)):
            ranks = self._shuffled(epoch, wanted[rows] % len(self))
            for row, place in zip(rows.tolist(), self._places(epoch, ranks), strict=True):
                places[row] = place
        return [place for place in places if place is not None]

    def alternates(self, position: int, count: int) -> Iterator[Place]:
        """`count` samples, drawn with repeats, of the window of shards in which the sample at `position` lies."""
        epoch, rank = divmod(position, len(self))
        starts = self._epoch(epoch).starts
        shard = int(np.searchsorted(starts, rank, side="right")) - 1
        first, last = self._borders(starts, shard // self._window)
        draws = Draws.of(self.seed, f"{self._stream}/alternates", position)
        return self._places(epoch, draws.integers("rank", first, last, count)[0])

    def _build_epoch(self, epoch: int) -> _Epoch:
        permutation = Draws.of(self.seed, self._stream, epoch).permutations("shards", len(self._shards))[0]
        shards = self._shards[permutation]
        return _Epoch(shards, np.concatenate([[0], np.cumsum(self.selection.counts[shards])]))

    def _shuffled(self, epoch: int, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ranks in the epoch after the permutation inside their windows."""
        starts = self._epoch(epoch).starts
        shuffled = np.empty_like(ranks)
        window_of = (np.searchsorted(starts, ranks, side="right") - 1) // self._window
        for rows, window in grouped(window_of):
            first, last = self._borders(starts, window)
            keys = Draws.of(self.seed, f"{self._stream}/{epoch}", window).words("window", 2 * ROUNDS)[0]
            shuffled[rows] = first + permuted(ranks[rows] - first, last - first, keys.view(np.uint64))
        return shuffled

    def _borders(self, starts: NDArray[np.int64], window: int) -> tuple[int, int]:
        """Ranks of a window's first sample and of the next window's."""
        last = min((window + 1) * self._window, len(starts) - 1)
        return int(starts[window * self._window]), int(starts[last])

    def _places(self, epoch: int, ranks: NDArray[np.int64]) -> Iterator[Place]:
        order = self._epoch(epoch)
        numbers = np.searchsorted(order.starts, ranks, side="right") - 1
        inside = ranks - order.starts[numbers]
        for shard, rank in zip(order.shards[numbers].tolist(), inside.tolist(), strict=True):
            yield Place(epoch, shard, self.selection.ordinal(shard, rank), self._part)


def permuted(values: ArrayLike, size: int, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """A keyed permutation of 0 … size - 1, evaluated at `values` only.

    A generalised Feistel network over residues (Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA
    2002): the domain is the smallest near-square rectangle that holds `size`, and values outside walk on.

    Args:
        values: integers in [0, size), `[N]`.
        keys: u64 `[rounds]`, or `[rounds, N]` for a permutation a value.
    """
    left = isqrt(size - 1) + 1
    right = -(-size // left)
    values = np.asarray(values, np.uint64)
    keys = np.broadcast_to(keys.reshape(len(keys), -1), (len(keys), len(values)))
    result = _feistel(values, left, right, keys)
    while np.any(outside := result >= size):
        result[outside] = _feistel(result[outside], left, right, keys[:, outside])
    return result.astype(np.int64)


def _feistel(
    values: NDArray[np.uint64], left: int, right: int, keys: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """One pass over [0, left * right): each round adds a keyed hash of one residue to the other."""
    sizes = (np.uint64(left), np.uint64(right))
    high, low = values // sizes[1], values % sizes[1]
    for key in keys:
        high, low, sizes = low, (high + _mixed(low + key)) % sizes[0], sizes[::-1]
    return high * sizes[1] + low


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), brought below 2**32 so that sums cannot wrap."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (values ^ (values >> np.uint64(31))) >> np.uint64(32)


def grouped(values: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.intp], int]]:
    """(rows, value) of each distinct value: almost always one or two in a batch."""
    if len(values) and (values == values[0]).all():
        yield np.arange(len(values)), int(values[0])
        return
    for value in np.unique(values).tolist():
        yield np.flatnonzero(values == value), value
