"""Find near-duplicates: samples whose seconds another sample shows too, in one pass that compares few pairs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from unreel.shards.care.likeness import Likeness, Trace, agreement
from unreel.shards.care.near import WordIndex

__all__ = ["Candidate", "Duplicate", "find_duplicates"]

_BLOCK: Final = 1024
"""Samples that are asked about at once."""
_SHOWN: Final = 0.5
"""Share of a sample's seconds that must show something: of two black clips nobody can say that they are one."""
_LEAST_BITS: Final = 16
"""A hash with fewer bits set is of a plain picture, and plain pictures are no copies of each other."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sample that may be a copy, or the original of one."""

    shard: str
    key: str
    source: str
    words: NDArray[np.uint64]
    """u64 `[n]`, a hash a second."""
    still: bool
    """A still picture, which is compared with still pictures only."""
    pixels: int
    original_pixels: int
    sound: bool

    @property
    def preference(self) -> tuple[object, ...]:
        """Of two copies the one with the smaller value is kept: longer (in seconds begun), with sound, larger picture,
        larger picture in its source, smaller key."""
        return -len(self.words), not self.sound, -self.pixels, -self.original_pixels, self.key, self.shard


class Duplicate(msgspec.Struct, frozen=True, kw_only=True):
    """A sample that goes, and the one that is kept and shows the same."""

    shard: str
    key: str
    kept_shard: str
    kept_key: str
    offset: int
    """Second of the kept sample that second 0 of this one is."""
    share: float
    """Share of its seconds that show something which are in the kept one."""
    distance: float
    """Mean distance of the hashes of those seconds, in bits of 64."""
    same_source: bool


def find_duplicates(
    candidates: Sequence[Candidate],
    trace: Callable[[int], Trace],
    likeness: Likeness,
    *,
    same_source: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Duplicate]:
    """Which samples to drop, so that no two of the others are copies. The order of `candidates` decides nothing.

    Samples are taken by `Candidate.preference`; one goes where a sample that was kept shows `likeness.share` of its seconds.
    So nothing is dropped for the sake of a sample that is dropped itself, and each pair is named once.

    Args:
        trace: gives the curves of a candidate by its number; asked only where hashes match.
        same_source: whether clips of one recording may be copies of each other.
    """
    order = sorted(range(len(candidates)), key=lambda number: candidates[number].preference)
    kept = _Kept()
    found: list[Duplicate] = []
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        table = _table([candidates[number].words for number in block], start)
        places = _Places(candidates, order, likeness, same_source)
        places.add(table, kept.runs)
        places.add(table, [_Run(table)])
        dropped: set[int] = set()
        found += _settle(places, trace, dropped)
        kept.take(table.where(~np.isin(table.ranks, np.fromiter(dropped, np.int64))))
        progress(min(start + _BLOCK, len(order)), len(order))
    return found


@dataclass(frozen=True, slots=True)
class _Table:
    """Words of samples, plain ones left out, with the rank of their sample and their second."""

    words: NDArray[np.uint64]
    ranks: NDArray[np.int64]
    seconds: NDArray[np.int64]

    def where(self, mask: NDArray[np.bool_]) -> "_Table":
        return _Table(self.words[mask], self.ranks[mask], self.seconds[mask])


def _table(words: Sequence[NDArray[np.uint64]], first: int) -> _Table:
    lengths = np.array([len(some) for some in words], np.int64)
    ranks = first + np.repeat(np.arange(len(words)), lengths)
    seconds = np.concatenate([np.arange(length) for length in lengths]) if len(words) else lengths
    table = _Table(np.concatenate(words) if len(words) else np.zeros(0, np.uint64), ranks, seconds)
    return table.where(_shown(table.words))


def _shown(words: NDArray[np.uint64]) -> NDArray[np.bool_]:
    return np.bitwise_count(words) >= _LEAST_BITS


class _Run:
    """Words that can be asked for."""

    def __init__(self, table: _Table) -> None:
        self.table = table
        self.index = WordIndex(table.words)


class _Kept:
    """The words of all that is kept, as runs of growing size: each word is sorted anew only a few times."""

    def __init__(self) -> None:
        self.runs: list[_Run] = []

    def take(self, table: _Table) -> None:
        """Add words of samples that are kept."""
        while self.runs and len(self.runs[-1].table.words) <= len(table.words):
            older = self.runs.pop().table
            table = _Table(
                np.concatenate([older.words, table.words]),
                np.concatenate([older.ranks, table.ranks]),
                np.concatenate([older.seconds, table.seconds]),
            )
        self.runs.append(_Run(table))


class _Places:
    """Where samples of a block may lie in samples before them: seconds that match, by (sample, earlier one, offset)."""

    def __init__(
        self, candidates: Sequence[Candidate], order: Sequence[int], likeness: Likeness, same_source: bool
    ) -> None:
        self.candidates, self.order = candidates, order
        self.likeness, self._same_source = likeness, same_source
        self._parts: list[tuple[NDArray[np.int64], ...]] = []

    def add(self, table: _Table, runs: Sequence[_Run]) -> None:
        for run in runs:
            for asked, found in run.index.near(table.words, self.likeness.distance):
                earlier = run.table.ranks[found] < table.ranks[asked]
                asked, found = asked[earlier], found[earlier]
                bits = np.bitwise_count(table.words[asked] ^ run.table.words[found]).astype(np.int64)
                offsets = run.table.seconds[found] - table.seconds[asked]
                pairs = np.stack([table.ranks[asked], run.table.ranks[found], offsets])
                self._parts.append(_counted(pairs, np.ones(len(asked), np.int64), bits))

    def promising(self) -> Iterator[tuple[int, int, int, int, int]]:
        """(sample, earlier sample, offset, seconds that match, sum of their distances), best first for each sample."""
        if not self._parts:
            return
        pairs, counts, bits = (np.concatenate(column, axis=-1) for column in zip(*self._parts, strict=True))
        pairs, counts, bits = _counted(pairs, counts, bits)
        asked, earlier, offsets = pairs
        enough = counts >= self._needed(asked)
        rows = [column[enough] for column in (asked, earlier, offsets, counts, bits)]
        best = np.lexsort((rows[2], rows[1], rows[4] / rows[3], -rows[3], rows[0]))
        for row in zip(*(column[best].tolist() for column in rows), strict=True):
            if self._comparable(row[0], row[1]):
                yield row

    def at(self, rank: int) -> Candidate:
        return self.candidates[self.order[rank]]

    def shown(self, rank: int) -> int:
        """Seconds of a sample that show something."""
        return int(_shown(self.at(rank).words).sum())

    def _needed(self, ranks: NDArray[np.int64]) -> NDArray[np.float64]:
        unique, inverse = np.unique(ranks, return_inverse=True)
        needed = [self._least(rank) for rank in unique.tolist()]
        return np.array(needed)[inverse] - 1e-9

    def _least(self, rank: int) -> float:
        """Seconds that must match, so that a sample is a copy."""
        shown = self.shown(rank)
        return self.likeness.share * shown if shown >= _SHOWN * len(self.at(rank).words) else np.inf

    def _comparable(self, rank: int, other: int) -> bool:
        one, two = self.at(rank), self.at(other)
        return one.still == two.still and (self._same_source or one.source != two.source)


def _counted(
    pairs: NDArray[np.int64], counts: NDArray[np.int64], bits: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Equal pairs as one, their counts and bits added."""
    unique, inverse = np.unique(pairs, axis=1, return_inverse=True)
    length = unique.shape[1]
    summed = (np.bincount(inverse.ravel(), column, minlength=length) for column in (counts, bits))
    return unique, *(column.astype(np.int64) for column in summed)  # type: ignore[return-value]


def _settle(places: _Places, trace: Callable[[int], Trace], dropped: set[int]) -> Iterator[Duplicate]:
    """Decide the samples of a block one after the other, each against those that are kept; adds to `dropped`."""
    for rank, earlier, offset, seconds, bits in places.promising():
        if rank in dropped or earlier in dropped:
            continue
        one, other = places.at(rank), places.at(earlier)
        if not one.still:
            traces = trace(places.order[rank]), trace(places.order[earlier])
            if not agreement(*traces, offset, places.likeness):
                continue
        dropped.add(rank)
        yield Duplicate(
            shard=one.shard,
            key=one.key,
            kept_shard=other.shard,
            kept_key=other.key,
            offset=offset,
            share=round(seconds / places.shown(rank), 4),
            distance=round(bits / seconds, 3),
            same_source=one.source == other.source,
        )
