"""Order: exactly once an epoch, the same from any side, and quick at any size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.pipelines.order import WINDOW, Order, Place, permuted
from unreel.pipelines.selection import Selection

counts_of_shards = st.lists(st.integers(0, 9), min_size=1, max_size=200).filter(any)
seeds = st.integers(0, 2**63)


def order(counts: list[int], seed: int = 0) -> Order:
    return Order(Selection(np.array(counts, np.int64)), seed)


@given(counts_of_shards, seeds, st.integers(0, 3))
def test_each_sample_comes_exactly_once_an_epoch(counts: list[int], seed: int, epoch: int) -> None:
    total = sum(counts)
    places = order(counts, seed).locate(range(epoch * total, (epoch + 1) * total))
    assert {place.epoch for place in places} == {epoch}
    found = sorted((place.shard, place.ordinal) for place in places)
    assert found == [(shard, ordinal) for shard, count in enumerate(counts) for ordinal in range(count)]


@given(counts_of_shards, seeds, st.data())
def test_a_position_depends_on_nothing_but_itself(counts: list[int], seed: int, data: st.DataObject) -> None:
    positions = data.draw(st.lists(st.integers(0, 10**12), min_size=1, max_size=30))
    together = order(counts, seed).locate(positions)
    assert together == [order(counts, seed).locate([position])[0] for position in positions]


@given(counts_of_shards, st.sampled_from([1, 2, 3, 4, 6, 12]))
def test_world_size_does_not_enter(counts: list[int], world: int) -> None:
    batch, whole = 12, order(counts, 5)
    for step in range(3):
        mine = np.arange(step * batch, (step + 1) * batch)
        ranks = [place for part in np.split(mine, world) for place in order(counts, 5).locate(part)]
        assert ranks == whole.locate(mine)


@given(st.integers(1, 3000), st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=6))
def test_permutations_are_bijections(size: int, keys: list[int]) -> None:
    values = permuted(np.arange(size), size, np.array(keys, np.uint64))
    assert np.array_equal(np.sort(values), np.arange(size))


def test_every_place_of_a_window_is_as_likely() -> None:
    size, trials = 12, 6000
    keys = np.random.default_rng(0).integers(0, 2**64, (trials, 6), np.uint64)
    table = np.zeros((size, size))
    for key in keys:
        table[np.arange(size), permuted(np.arange(size), size, key)] += 1
    expected = trials / size
    # Chi-square with 121 degrees of freedom, p = 0.001.
    assert ((table - expected) ** 2 / expected).sum() < 173


def test_neighbours_part() -> None:
    places = order([50] * 4).locate(range(200))
    numbers = np.array([place.shard * 50 + place.ordinal for place in places])
    assert (np.abs(np.diff(numbers)) == 1).sum() < 10


def test_epochs_and_seeds_differ() -> None:
    counts = [10] * 20
    first = order(counts, 1).locate(range(400))
    epochs = [[(p.shard, p.ordinal) for p in first[start : start + 200]] for start in (0, 200)]
    other = [(p.shard, p.ordinal) for p in order(counts, 2).locate(range(200))]
    assert epochs[0] != epochs[1] and epochs[0] != other
    assert len(set(zip(*epochs, strict=True))) == 200


def test_at_most_a_window_of_shards_is_open_at_once() -> None:
    counts = [3] * (4 * WINDOW)
    places = order(counts).locate(range(sum(counts)))
    for start in range(0, len(places), 3 * WINDOW):
        assert len({place.shard for place in places[start : start + 3 * WINDOW]}) == WINDOW


def test_selected_ordinals_are_used_and_empty_shards_skipped() -> None:
    ordinals = [np.array(kept, np.int64) for kept in ([1, 7], [], [4])]
    selection = Selection(np.array([2, 0, 1]), ordinals.__getitem__)
    places = Order(selection, 0).locate(range(6))
    assert sorted(places[:3]) == [Place(0, 0, 1), Place(0, 0, 7), Place(0, 2, 4)]


@pytest.mark.parametrize("shards", [10**5])
def test_any_position_of_a_large_data_set(shards: int) -> None:
    counts = np.random.default_rng(1).integers(1, 20_000, shards)
    large = Order(Selection(counts), 3)
    positions = [0, 10**7, len(large) - 1, len(large), 10**15]
    places = large.locate(positions)
    assert [place.epoch for place in places] == [position // len(large) for position in positions]
    assert all(0 <= place.ordinal < counts[place.shard] for place in places)
    window = large.locate(range(10**7, 10**7 + 5000))
    assert len(set(window)) == 5000


def test_the_order_is_the_same_in_every_release() -> None:
    places = order([3, 0, 5, 1, 4], 2016).locate([*range(8), 12, 13, 14, 10**9])
    first = [(0, 2, 1), (0, 0, 2), (0, 0, 0), (0, 4, 0), (0, 2, 2), (0, 2, 4), (0, 3, 0), (0, 4, 1)]
    later = [(0, 2, 0), (1, 4, 2), (1, 4, 1), (76_923_076, 2, 1)]
    assert [place[:3] for place in places] == first + later
