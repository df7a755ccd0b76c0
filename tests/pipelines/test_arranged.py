"""Rows beside each other: one clip a source, pairs of one source, and which rule wins."""

from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unreel.pipelines.arranged import Sources, arranged
from unreel.pipelines.order import Order, Place, Positions
from unreel.pipelines.pretext.task import Needs
from unreel.pipelines.selection import Selection
from unreel.shards.errors import ShardError

DISTINCT, PAIRS = Needs(distinct_sources=True), Needs(source_pairs=True)
BOTH = Needs(distinct_sources=True, source_pairs=True)


class Made:
    """A catalogue of nothing but sources: text of one letter a sample, one text a shard."""

    def __init__(self, shards: list[str], lost: int | None = None) -> None:
        self.shards, self.lost = shards, lost
        self.counts = np.array([len(shard) for shard in shards])

    def index(self, shard: int) -> Any:
        if shard == self.lost:
            raise ShardError("gone")
        return SimpleNamespace(samples=[SimpleNamespace(source=letter) for letter in self.shards[shard]])


def arrange(made: Made, needs: Needs, batch: int = 4, seed: int = 1) -> Positions:
    chosen = Selection(made.counts)
    return arranged(Order(chosen, seed), needs, Sources([made], [chosen]), batch_size=batch)


def letters(made: Made, places: list[Place]) -> str:
    return "".join(made.shards[place.shard][place.ordinal] for place in places)


shards_of_sources = st.lists(st.text("abcdefgh", min_size=1, max_size=9), min_size=1, max_size=8)


@settings(max_examples=50)
@given(shards_of_sources, st.integers(0, 99), st.sampled_from([2, 4, 6]))
def test_no_source_twice_in_a_batch(shards: list[str], seed: int, batch: int) -> None:
    made = Made(shards)
    places = arrange(made, DISTINCT, batch, seed).locate(range(10 * batch))
    for start in range(0, len(places), batch):
        rows = places[start : start + batch]
        usable = letters(made, [place for place in rows if not place.conflict])
        assert len(set(usable)) == len(usable)


@settings(max_examples=50)
@given(shards_of_sources, st.integers(0, 99), st.sampled_from([DISTINCT, PAIRS, BOTH]), st.data())
def test_a_position_depends_on_nothing_but_itself(
    shards: list[str], seed: int, needs: Needs, data: st.DataObject
) -> None:
    positions = data.draw(st.lists(st.integers(0, 10**6), min_size=1, max_size=20))
    together = arrange(Made(shards), needs, 4, seed).locate(positions)
    alone = [arrange(Made(shards), needs, 4, seed).locate([position])[0] for position in positions]
    assert together == alone


@given(st.integers(0, 99))
def test_no_row_fails_where_there_are_sources_enough(seed: int) -> None:
    places = arrange(Made(["aaaabbccdefgh", "abcdefgghh"]), DISTINCT, batch=6, seed=seed).locate(range(60))
    assert not any(place.conflict for place in places)


def test_without_a_conflict_the_order_is_untouched() -> None:
    made = Made(["abcd", "efgh"])
    expected = Order(Selection(made.counts), 1).locate(range(8))
    assert arrange(made, DISTINCT, batch=8).locate(range(8)) == expected


def test_one_clip_a_source_goes_before_once_an_epoch() -> None:
    made = Made(["aaaaaaabcd"])
    places = arrange(made, DISTINCT, batch=4).locate(range(4000))
    assert not any(place.conflict for place in places)
    shown = Counter(letters(made, places))
    # Four sources and four rows: each batch has each source, however many clips it has.
    assert shown == {"a": 1000, "b": 1000, "c": 1000, "d": 1000}


def test_a_row_without_another_source_fails_and_says_what_to_do() -> None:
    places = arrange(Made(["aab"]), DISTINCT, batch=3).locate(range(3))
    [failed] = [place for place in places if place.conflict]
    assert "64 draws found no other; take smaller batches or more sources" in failed.conflict


@settings(max_examples=50)
@given(shards_of_sources, st.integers(0, 99))
def test_pairs_show_one_source(shards: list[str], seed: int) -> None:
    made = Made(shards)
    total = int(made.counts.sum())
    places = arrange(made, PAIRS, seed=seed).locate(range(2 * total))
    heads, partners = places[::2], places[1::2]
    assert heads == Order(Selection(made.counts), seed).locate(range(total))
    assert letters(made, heads) == letters(made, partners)
    for head, partner in zip(heads, partners, strict=True):
        assert partner.shard == head.shard
        alone = made.shards[head.shard].count(letters(made, [head])) == 1
        assert (partner == head) == alone


def test_every_other_clip_is_as_likely_a_partner() -> None:
    made = Made(["aaaa"])
    places = arrange(made, PAIRS).locate(range(8000))
    pairs = Counter(
        (head.ordinal, partner.ordinal) for head, partner in zip(places[::2], places[1::2], strict=True)
    )
    assert len(pairs) == 12
    # Chi-square with 11 degrees of freedom, p = 0.001.
    assert sum((count - 4000 / 12) ** 2 / (4000 / 12) for count in pairs.values()) < 31.3


def test_partners_are_accepted_samples() -> None:
    made = Made(["aaaaaa"])
    chosen = Selection(np.array([2]), lambda shard: np.array([1, 4]))
    order = arranged(Order(chosen, 1), PAIRS, Sources([made], [chosen]), batch_size=4)
    places = order.locate(range(40))
    assert {place.ordinal for place in places} == {1, 4}
    assert all(a.ordinal != b.ordinal for a, b in zip(places[::2], places[1::2], strict=True))


def test_no_two_pairs_of_a_batch_show_one_source() -> None:
    made = Made(["aabbccdd", "eeff"])
    shown = letters(made, arrange(made, BOTH, batch=8).locate(range(800)))
    for start in range(0, 800, 8):
        batch = shown[start : start + 8]
        assert batch[::2] == batch[1::2] and len(set(batch)) == 4


def test_a_lost_index_costs_its_own_rows_and_no_other() -> None:
    shards = ["aab", "ccd", "eef"]
    whole = arrange(Made(shards), PAIRS, batch=6).locate(range(54))
    lost = arrange(Made(shards, lost=1), PAIRS, batch=6).locate(range(54))
    assert [p for p in lost if p.shard != 1] == [p for p in whole if p.shard != 1]
    assert [p.shard for p in lost] == [p.shard for p in whole]
    distinct = arrange(Made(shards, lost=1), DISTINCT, batch=6).locate(range(54))
    # A source that nobody knows cannot be in conflict, and never stands in for another.
    assert any(place.shard == 1 for place in distinct)
    assert not any(place.conflict for place in distinct if place.shard == 1)


@pytest.mark.parametrize(
    ("needs", "aligned"),
    [(Needs(), 1), (Needs(group=3), 3), (PAIRS, 2), (Needs(group=3, source_pairs=True), 6)],
)
def test_pairs_and_groups_are_never_cut(needs: Needs, aligned: int) -> None:
    assert needs.aligned == aligned
