"""Cuts of made-up sources: nothing is lost without a reason, no clip is too long or goes over a scene."""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from unreel.shards.making.cutting import Piece, Spread, cut, wanted_pieces


class Reel:
    """A source of known length and scenes, which complains when the window goes back or runs ahead."""

    def __init__(self, frames: int, scenes: Sequence[int] = ()) -> None:
        self._frames, self._scenes = frames, sorted(scenes)
        self._start = self._reached = 0

    def reach(self, start: int, stop: int) -> int:
        assert start >= self._start
        self._start = start
        self._reached = max(self._reached, min(stop, self._frames))
        return min(stop, self._frames)

    def cuts(self, start: int, stop: int) -> list[int]:
        assert stop <= self._reached
        return [scene for scene in self._scenes if start < scene < stop]


def pieces(
    reel: Reel,
    *,
    spans: Sequence[tuple[float, float]] = (),
    shortest: int = 5,
    longest: int = 20,
    scenes: bool = True,
) -> tuple[list[Piece], Counter[str]]:
    dropped: Counter[str] = Counter()
    wanted = wanted_pieces(spans, Fraction(10))
    found = cut(reel, wanted, shortest=shortest, longest=longest, scenes=scenes, dropped=dropped)
    return list(found), dropped


def test_fixed_length_until_the_rest_is_too_short() -> None:
    found, dropped = pieces(Reel(43, [7]), scenes=False)
    assert [(piece.start, piece.stop) for piece in found] == [(0, 20), (20, 40)]
    assert dropped == {"short-rest": 3}


def test_scenes_end_clips_and_short_scenes_are_counted() -> None:
    found, dropped = pieces(Reel(60, [12, 14, 50]))
    assert [(piece.start, piece.stop) for piece in found] == [(0, 12), (14, 34), (34, 50), (50, 60)]
    assert dropped == {"short-scene": 2}


def test_spans_are_rounded_to_frames_and_never_go_beyond_the_source() -> None:
    found, dropped = pieces(Reel(60), spans=[(0.24, 1.56), (1.0, 1.9), (5.5, 9.0), (5.8, 7.0), (8.0, 9.0)])
    assert found == [Piece(2, 16, 0), Piece(10, 19, 1), Piece(55, 60, 2)]
    assert dropped == {"short-rest": 2, "after-end": 10}


@given(
    frames=st.integers(0, 200),
    cuts=st.sets(st.integers(1, 199)),
    spans=st.lists(st.tuples(st.integers(0, 250), st.integers(1, 80)), max_size=6),
    scenes=st.booleans(),
)
def test_every_wanted_frame_is_in_a_clip_or_counted(
    frames: int, cuts: set[int], spans: list[tuple[int, int]], scenes: bool
) -> None:
    seconds = sorted((start / 10, (start + length) / 10) for start, length in spans)
    found, dropped = pieces(Reel(frames, list(cuts)), spans=seconds, scenes=scenes)
    assert [piece.start for piece in found] == sorted(piece.start for piece in found)
    for piece in found:
        assert 5 <= piece.frames <= 20
        assert 0 <= piece.start < piece.stop <= frames
        assert not scenes or not any(piece.start < scene < piece.stop for scene in cuts)
    if not spans:
        assert sum(piece.frames for piece in found) + dropped.total() == frames
        return
    wanted = [range(round(start * 10), round(stop * 10)) for start, stop in seconds]
    inside = sum(len([f for f in span if f < frames]) for span in wanted)
    after = sum(len(span) for span in wanted if span.start >= frames)
    assert sum(piece.frames for piece in found) + dropped.total() == inside + after


@given(count=st.integers(0, 500), limit=st.none() | st.integers(1, 20))
def test_spread_keeps_an_even_choice(count: int, limit: int | None) -> None:
    spread: Spread[int] = Spread(limit)
    made = 0
    for item in range(count):
        if spread.wants_next():
            spread.add(item)
            made += 1
    kept = spread.finish()
    assert len(kept) == (count if limit is None else min(limit, count))
    assert kept == sorted(set(kept))
    if limit is not None and count:
        assert made <= limit * (3 + max(0, (count // limit).bit_length()))
        gaps = [second - first for first, second in zip([0, *kept], [*kept, count], strict=True)]
        assert max(gaps) <= 2 * -(-count // limit)
