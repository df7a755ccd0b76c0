"""Where clips begin and end: fixed lengths, scenes, wanted spans; and which of them stay where a source may give only some."""

import heapq
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

__all__ = ["Footage", "Piece", "Spread", "cut", "cut_at_keys", "wanted_pieces"]

Item = TypeVar("Item")

_ENDLESS: Final = sys.maxsize


class Piece(NamedTuple):
    """A part of a source, in stored frames; in steps of 40 ms where there is no picture."""

    start: int
    stop: int
    """Exclusive."""
    span: int
    """Number of the wanted span that it belongs to; 0 where all of the source is wanted."""

    @property
    def frames(self) -> int:
        return self.stop - self.start


class Footage(Protocol):
    """A source that is being decoded, seen through a window that only moves on."""

    def reach(self, start: int, stop: int) -> int:
        """Forget what lies before `start` and decode up to `stop`; where it ends: `stop`, or before it the source's end."""

    def cuts(self, start: int, stop: int) -> Sequence[int]:
        """Ascending frames in (start, stop) at which a scene begins; all of them have been reached."""


def wanted_pieces(spans: Sequence[tuple[float, float]], rate: Fraction) -> list[Piece]:
    """The spans in seconds as frames, each edge at the nearest; without spans one piece that never ends."""
    if not spans:
        return [Piece(0, _ENDLESS, 0)]
    edges = [[round(Fraction(second) * rate) for second in span] for span in spans]
    return [Piece(start, stop, number) for number, (start, stop) in enumerate(edges)]


def cut(
    footage: Footage,
    wanted: Sequence[Piece],
    *,
    shortest: int,
    longest: int,
    scenes: bool,
    dropped: Counter[str],
) -> Iterator[Piece]:
    """Cut wanted pieces into clips, ascending by their starts.

    No clip is longer than `longest`, which bounds how far the decode runs ahead, and with `scenes` none goes over a cut. A
    part shorter than `shortest` is left out, and its frames are counted in `dropped` by their reason: `short-scene` before
    a cut, `short-rest` before the end of a source or span, `after-end` where a span begins after the source.
    """
    heap = sorted(wanted)
    while heap:
        piece = heapq.heappop(heap)
        due = min(piece.stop, piece.start + longest)
        end = footage.reach(piece.start, due)
        if end <= piece.start:
            if piece in wanted and piece.stop != _ENDLESS:
                dropped["after-end"] += piece.frames
            continue
        cuts = footage.cuts(piece.start, end) if scenes else ()
        clip = piece._replace(stop=cuts[0] if cuts else end)
        if clip.frames >= shortest:
            yield clip
        else:
            dropped["short-scene" if cuts else "short-rest"] += clip.frames
        # A window that was not filled is the end of the source.
        if clip.stop < piece.stop and (cuts or end == due):
            heapq.heappush(heap, piece._replace(start=clip.stop))


def cut_at_keys(
    footage: Footage,
    keys: Sequence[int],
    frames: int,
    *,
    shortest: int,
    longest: int,
    dropped: Counter[str],
) -> Iterator[Piece]:
    """Cut a source of `frames` frames where groups of pictures begin: as many whole ones as `longest` holds.

    `keys` ascend from 0, no two of them further apart than `longest`. A part shorter than `shortest` is left out and counted
    in `dropped` as `short-rest`.
    """
    edges, start = [*keys, frames], 0
    while start < frames:
        stop = edges[bisect_right(edges, start + longest) - 1]
        piece = Piece(start, stop, 0)
        if piece.frames < shortest:
            dropped["short-rest"] += piece.frames
        elif footage.reach(start, stop) == stop:
            yield piece
        else:
            # The decode ended early, and says why when it is asked to finish.
            return
        start = stop


class Spread(Generic[Item]):
    """Keeps at most `limit` of a row of items, evenly spread over it, without knowing how many will come.

    Every `stride`-th item is wanted; whenever twice too many are kept, every other one goes and the stride doubles. So
    about `limit · log2(n / limit)` of n items have to be made.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit, self._stride, self._count = limit, 1, 0
        self._kept: list[tuple[int, Item]] = []

    def wants_next(self) -> bool:
        """Count an item that comes; False where it need not be made."""
        self._count += 1
        return (self._count - 1) % self._stride == 0

    def add(self, item: Item) -> None:
        """Keep the item that was counted last."""
        self._kept.append((self._count - 1, item))
        if self._limit is not None and len(self._kept) > 2 * self._limit:
            self._stride *= 2
            self._kept = [pair for pair in self._kept if pair[0] % self._stride == 0]

    def finish(self) -> list[Item]:
        """The items that stay, in their order: of n, those at the middle of each of `limit` equal parts."""
        items = [item for _, item in self._kept]
        limit = len(items) if self._limit is None else min(self._limit, len(items))
        return [items[(2 * part + 1) * len(items) // (2 * limit)] for part in range(limit)]
