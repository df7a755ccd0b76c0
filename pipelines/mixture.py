"""Several orders as one: data sets by weight, or the classes of one data set, in exact shares of every block of positions.

A block has one slot for each unit of weight; a keyed permutation of its slots says whose turn it is. How often a part
had its turn before is a product, so that any position is found in constant time and each part runs through its own epochs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from unreel.pipelines.draws import Draws
from unreel.pipelines.order import ROUNDS, WINDOW, Order, Place, Positions, grouped, permuted
from unreel.pipelines.selection import Selection
from unreel.shards.catalogue import Catalogue

__all__ = ["Interleaved", "Mixture", "Strata", "balanced", "order_of"]

LARGEST_BLOCK: Final = 1_000_000
"""Positions within which shares are exact."""


@dataclass(frozen=True)
class Mixture:
    """Data sets with their weights: `Mixture([(first, 0.7), (second, 0.3)])`.

    Weights are taken as they are written, so 0.7 and 0.3 are exact in every ten positions, or in every ten groups of a
    task that pairs rows: a group is drawn from one data set, since a partner from another one would tell itself apart.

    Raises:
        ValueError: there is no data set, one is there twice, or a weight is not above 0 or not a round ratio.
    """

    parts: Sequence[tuple[Catalogue, float]]

    def __post_init__(self) -> None:
        digests = [catalogue.digest for catalogue in self.catalogues]
        if not digests or len(set(digests)) < len(digests):
            named = ", ".join(str(catalogue.folder) for catalogue in self.catalogues)
            raise ValueError(f"a mixture of [{named}]: name at least one data set, and each of them once")
        _ = self.weights

    @property
    def catalogues(self) -> tuple[Catalogue, ...]:
        return tuple(catalogue for catalogue, _ in self.parts)

    @property
    def weights(self) -> tuple[int, ...]:
        """Slots of each data set in a block."""
        return _whole_ratio([weight for _, weight in self.parts])

    @property
    def identity(self) -> Any:
        """What the stream depends on, as JSON takes it: the digest of a single data set, else digests and slots."""
        if len(self.parts) == 1:
            return self.catalogues[0].digest
        return [[c.digest, weight] for c, weight in zip(self.catalogues, self.weights, strict=True)]


class Strata:
    """Whose turn it is at a position, and for the how-many-th time.

    Args:
        weights: slots of each part in a block, 1 or more.
        stream: name of the random numbers.
        unit: consecutive aligned positions that are one turn.
    """

    def __init__(self, weights: Sequence[int], seed: int, *, stream: str, unit: int = 1) -> None:
        self._weights, self._seed, self._stream, self._unit = np.array(weights), seed, stream, unit
        self._ends = np.cumsum(self._weights)

    def split(self, positions: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """The part of each position, and the position in the part's own order."""
        turns, inside = np.divmod(positions, self._unit)
        blocks, slots = np.divmod(turns, self._ends[-1])
        keys = Draws.of(self._seed, self._stream, blocks).words("block", 2 * ROUNDS).view(np.uint64).T
        slots = permuted(slots, int(self._ends[-1]), keys)
        parts = np.searchsorted(self._ends, slots, side="right")
        weights = self._weights[parts]
        turns = blocks * weights + slots - (self._ends[parts] - weights)
        return parts, turns * self._unit + inside


class Interleaved:
    """Orders that take turns. Threads may share it."""

    def __init__(self, orders: Sequence[Positions], strata: Strata) -> None:
        self.seed = orders[0].seed
        self._orders, self._strata = orders, strata

    def __len__(self) -> int:
        """Samples that are drawn from."""
        return sum(map(len, self._orders))

    def locate(self, positions: Sequence[int] | NDArray[np.int64] | range) -> list[Place]:
        """The samples at `positions`, any non-negative integers in any order."""
        parts, own = self._strata.split(np.asarray(positions, np.int64))
        places: dict[int, Place] = {}
        for rows, part in grouped(parts):
            places.update(zip(rows.tolist(), self._orders[part].locate(own[rows]), strict=True))
        return [places[row] for row in range(len(parts))]

    def alternates(self, position: int, count: int) -> Iterator[Place]:
        """`count` samples, drawn with repeats, of the part and the window of shards of the sample at `position`."""
        [part], [own] = self._strata.split(np.array([position]))
        return self._orders[part].alternates(int(own), count)


def balanced(selection: Selection, seed: int, *, part: int = 0) -> Interleaved:
    """The classes of a selection in turn: each once in as many positions as there are classes, in random order.

    Small classes are repeated more often than large ones, so that a sample does not come once an epoch of the data set;
    it comes once an epoch of its class. Windows are shorter, so that all classes together open no more shards.
    """
    classes = list(selection.classes.values())
    window = max(1, WINDOW // len(classes))
    stream = f"order/{part}/class"
    orders = [
        Order(chosen, seed, part=part, stream=f"{stream}/{number}", window=window)
        for number, chosen in enumerate(classes)
    ]
    return Interleaved(orders, Strata([1] * len(orders), seed, stream=stream))


def order_of(
    selections: Sequence[Selection], seed: int, *, weights: Sequence[int] = (1,), unit: int = 1
) -> Positions:
    """The order of one selection or of several by weight; those that are divided into classes are balanced.

    Args:
        weights: slots of each selection in a block.
        unit: consecutive aligned positions that are drawn from one selection.
    """
    if len(selections) == 1:
        return _order_of(selections[0], seed, 0, "order")
    orders = [_order_of(chosen, seed, part, f"order/{part}") for part, chosen in enumerate(selections)]
    return Interleaved(orders, Strata(weights, seed, stream="mixture", unit=unit))


def _order_of(selection: Selection, seed: int, part: int, stream: str) -> Positions:
    if selection.classes:
        return balanced(selection, seed, part=part)
    return Order(selection, seed, part=part, stream=stream)


def _whole_ratio(weights: Sequence[float]) -> tuple[int, ...]:
    """The smallest whole numbers in the ratio of `weights`, taken as they are written in decimal."""
    for weight in weights:
        if not 0 < weight < float("inf"):
            raise ValueError(f"weight {weight}: must be above 0; leave out a data set that is not wanted")
    exact = [Fraction(str(weight)) for weight in weights]
    common = lcm(*(weight.denominator for weight in exact))
    whole = [int(weight * common) for weight in exact]
    whole = [weight // gcd(*whole) for weight in whole]
    if sum(whole) > LARGEST_BLOCK:
        raise ValueError(
            f"weights {list(weights)} are the ratio {' : '.join(map(str, whole))}; round them, so that their sum is "
            f"at most {LARGEST_BLOCK}"
        )
    return tuple(whole)
