"""What a task asks of rows beside each other: one clip a source in a batch, and pairs of one source at two times.

Both are pure functions of the position, the seed and the size of the batch over all ranks. Where they meet other rules:
a source that the batch has already gives way to another clip of the same window of shards, so that `distinct_sources`
goes before once an epoch; where 64 draws find no other source, the row fails and says so, so that nothing is repeated in
silence. With `source_pairs` the first of each pair follow the order, and the second is drawn beside it.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from unreel.pipelines.draws import Draws
from unreel.pipelines.order import Place, Positions
from unreel.pipelines.pretext.task import Needs
from unreel.pipelines.selection import Selection
from unreel.shards.catalogue import OPEN_INDEXES, Catalogue
from unreel.shards.errors import ShardError

__all__ = ["Distinct", "SourcePairs", "Sources", "arranged"]

TRIES: Final = 64
"""Draws for a clip of another source."""


def arranged(order: Positions, needs: Needs, sources: "Sources", *, batch_size: int) -> Positions:
    """`order` with what `needs` asks of rows beside each other; `batch_size` rows over all ranks."""
    heads = batch_size // 2 if needs.source_pairs else batch_size
    if needs.distinct_sources:
        order = Distinct(order, sources, heads)
    return SourcePairs(order, sources) if needs.source_pairs else order


class Sources:
    """Which source a place shows, from the indexes. Threads may share it."""

    def __init__(self, catalogues: Sequence[Catalogue], selections: Sequence[Selection]) -> None:
        self._catalogues, self._selections = catalogues, selections
        self._clips = lru_cache(OPEN_INDEXES)(self._read_clips)

    def of(self, place: Place) -> str | None:
        """The source; None where the index cannot be read: that row fails anyway."""
        try:
            return self._catalogues[place.part].index(place.shard).samples[place.ordinal].source
        except ShardError:
            return None

    def others(self, place: Place) -> list[int]:
        """Ordinals of the other accepted clips of the same source in the same shard."""
        if (source := self.of(place)) is None:
            return []
        return [i for i in self._clips(place.part, place.shard)[source] if i != place.ordinal]

    def _read_clips(self, part: int, shard: int) -> Mapping[str, list[int]]:
        """Source → its accepted ordinals in a shard."""
        samples = self._catalogues[part].index(shard).samples
        clips: dict[str, list[int]] = {}
        for ordinal in self._selections[part].ordinals(shard).tolist():
            clips.setdefault(samples[ordinal].source, []).append(ordinal)
        return clips


class Distinct:
    """An order in which no two of `batch` consecutive aligned positions show one source. Threads may share it."""

    def __init__(self, order: Positions, sources: Sources, batch: int) -> None:
        self.seed = order.seed
        self._order, self._sources, self._batch = order, sources, batch
        self._arranged = lru_cache(8)(self._arrange)

    def __len__(self) -> int:
        """Samples that are drawn from."""
        return len(self._order)

    def locate(self, positions: Sequence[int] | NDArray[np.int64] | range) -> list[Place]:
        """The samples at `positions`, any non-negative integers in any order."""
        where = [divmod(int(position), self._batch) for position in positions]
        return [self._arranged(number)[row] for number, row in where]

    def alternates(self, position: int, count: int) -> Iterator[Place]:
        """As the order below has them."""
        return self._order.alternates(position, count)

    def _arrange(self, number: int) -> list[Place]:
        """The samples of one batch: whoever comes first keeps its source, the others are drawn again."""
        first = number * self._batch
        places = self._order.locate(range(first, first + self._batch))
        taken: set[str | None] = set()
        late = []
        for row, place in enumerate(places):
            source = self._sources.of(place)
            if source is not None and source in taken:
                late.append(row)
            taken.add(source)
        for row in late:
            places[row] = self._other(first + row, places[row], taken)
            taken.add(self._sources.of(places[row]))
        return places

    def _other(self, position: int, place: Place, taken: set[str | None]) -> Place:
        for other in self._order.alternates(position, TRIES):
            if self._sources.of(other) not in taken | {None}:
                return other
        return place._replace(
            conflict=f"source {self._sources.of(place)} is in the batch already, and {TRIES} draws found no other; "
            "take smaller batches or more sources"
        )


class SourcePairs:
    """Positions 2 i and 2 i + 1 show the source at position i of the order below. Threads may share it."""

    def __init__(self, order: Positions, sources: Sources) -> None:
        self.seed = order.seed
        self._order, self._sources = order, sources

    def __len__(self) -> int:
        """Positions in which the first of each pair come once."""
        return 2 * len(self._order)

    def locate(self, positions: Sequence[int] | NDArray[np.int64] | range) -> list[Place]:
        """The samples at `positions`, any non-negative integers in any order."""
        wanted = np.asarray(positions, np.int64)
        heads = self._order.locate(wanted // 2)
        pairs = zip(wanted.tolist(), heads, strict=True)
        return [self._partner(position // 2, head) if position % 2 else head for position, head in pairs]

    def alternates(self, position: int, count: int) -> Iterator[Place]:
        """As the order below has them."""
        return self._order.alternates(position // 2, count)

    def _partner(self, pair: int, head: Place) -> Place:
        """Another clip of the head's source, or the head again: its row draws other times."""
        if not (others := self._sources.others(head)):
            return head
        chosen = Draws.of(self.seed, "source_pairs", pair).integers("partner", 0, len(others), 1)[0, 0]
        return head._replace(ordinal=others[chosen])
