"""Mixtures and balance: exact shares in every block, each part exactly once an epoch of its own, groups undivided."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.pipelines.mixture import Mixture, Strata, balanced, order_of
from unreel.pipelines.order import WINDOW, Order
from unreel.pipelines.selection import Selection
from unreel.shards.catalogue import Catalogue, compile_catalogue

weights_of_parts = st.lists(st.integers(1, 9), min_size=1, max_size=6)
seeds = st.integers(0, 2**63)


@given(weights_of_parts, seeds, st.integers(1, 5), st.integers(0, 10**9))
def test_shares_are_exact_in_every_block(weights: list[int], seed: int, unit: int, block: int) -> None:
    size = unit * sum(weights)
    positions = np.arange(block * size, (block + 1) * size)
    parts, own = Strata(weights, seed, stream="s", unit=unit).split(positions)
    assert Counter(parts.tolist()) == {part: unit * weight for part, weight in enumerate(weights)}
    for part, weight in enumerate(weights):
        # Each part goes on where the block before left it, and misses nothing.
        expected = np.arange(block * unit * weight, (block + 1) * unit * weight)
        assert np.array_equal(np.sort(own[parts == part]), expected)
    heads = positions % unit == 0
    assert np.array_equal(np.repeat(parts[heads], unit), parts)
    assert np.array_equal(own % unit, positions % unit)


@given(weights_of_parts, seeds, st.lists(st.integers(0, 10**15), min_size=1, max_size=40))
def test_a_position_depends_on_nothing_but_itself(
    weights: list[int], seed: int, positions: list[int]
) -> None:
    strata = Strata(weights, seed, stream="s", unit=3)
    alone = [strata.split(np.array([position])) for position in positions]
    parts, own = strata.split(np.array(positions))
    assert parts.tolist() == [part[0] for part, _ in alone]
    assert own.tolist() == [mine[0] for _, mine in alone]


def test_every_slot_of_a_block_is_as_likely() -> None:
    parts, _ = Strata([1, 1, 2], 3, stream="s").split(np.arange(4 * 5000))
    table = np.stack([(parts.reshape(-1, 4) == part).sum(0) for part in range(3)])
    expected = np.array([[1250.0], [1250.0], [2500.0]])
    # Chi-square with 6 degrees of freedom, p = 0.001.
    assert ((table - expected) ** 2 / expected).sum() < 22.5


def selection(counts: list[int], classes: int = 0) -> Selection:
    whole = np.array(counts)
    parts = {f"c{n}": Selection(whole // (n + 1)) for n in range(classes)}
    return Selection(sum(part.counts for part in parts.values()) if parts else whole, classes=parts)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20).filter(any), seeds)
def test_each_part_comes_exactly_once_in_each_of_its_epochs(counts: list[int], seed: int) -> None:
    selections = [selection(counts), selection([7, 2])]
    order = order_of(selections, seed, weights=(2, 3), unit=2)
    places = order.locate(range(4 * 5 * (sum(counts) + 9)))
    for part, chosen in enumerate(selections):
        mine = [place for place in places if place.part == part]
        complete = [epoch for epoch, n in Counter(p.epoch for p in mine).items() if n == len(chosen)]
        assert len(complete) >= 2
        for epoch in complete:
            assert len({place[1:3] for place in mine if place.epoch == epoch}) == len(chosen)


def test_parts_of_equal_shape_are_not_shuffled_alike() -> None:
    order = order_of([selection([5] * 40)] * 2, 1, weights=(1, 1))
    places = order.locate(range(80))
    first, second = ([p[1:3] for p in places if p.part == part] for part in (0, 1))
    assert first != second


def test_one_part_alone_is_its_own_order() -> None:
    alone = order_of([selection([3, 4, 5])], 7, weights=(1,), unit=4)
    assert alone.locate(range(30)) == Order(selection([3, 4, 5]), 7).locate(range(30))


def test_classes_come_equally_often_whatever_their_size() -> None:
    order = balanced(selection([12, 0, 6, 60], classes=3), 5)
    places = order.locate(range(300))
    assert len(order) == 78 + 39 + 26
    for start in range(0, 300, 3):
        assert len(places[start : start + 3]) == 3
    classes, _ = Strata([1, 1, 1], 5, stream="order/0/class").split(np.arange(300))
    assert all(set(block) == {0, 1, 2} for block in classes.reshape(-1, 3).tolist())


def test_all_classes_together_open_no_more_shards_than_one_order() -> None:
    order = balanced(selection([8] * 400, classes=4), 5)
    first = order.locate(range(4 * 2 * 16))
    assert len({place.shard for place in first}) <= WINDOW


@pytest.fixture
def other(tiny_catalogue: Catalogue, tmp_path: Path) -> Catalogue:
    """One shard of the tiny data set as a data set of its own."""
    for path in tiny_catalogue.folder.glob("tiny-1*"):
        shutil.copy(path, tmp_path / path.name)
    return compile_catalogue(tmp_path, identity=tiny_catalogue.identity, profile={})


@pytest.mark.parametrize(
    ("weights", "slots"),
    [
        ((0.7, 0.3), (7, 3)),
        ((1, 2), (1, 2)),
        ((20, 10), (2, 1)),
        ((0.125, 1e-3), (125, 1)),
        ((1e-7, 2e-7), (1, 2)),
    ],
)
def test_weights_are_taken_as_written(
    tiny_catalogue: Catalogue, other: Catalogue, weights: tuple[float, float], slots: tuple[int, int]
) -> None:
    assert Mixture(list(zip((tiny_catalogue, other), weights, strict=True))).weights == slots


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((0, 1), "weight 0: must be above 0"),
        ((-1, 1), "weight -1"),
        ((float("nan"), 1), "weight nan"),
        ((float("inf"), 1), "weight inf"),
        ((0.1234567, 0.7654321), "round them, so that their sum is at most 1000000"),
    ],
)
def test_wrong_weights_are_refused(
    tiny_catalogue: Catalogue, other: Catalogue, weights: tuple[float, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Mixture(list(zip((tiny_catalogue, other), weights, strict=True)))


def test_a_data_set_twice_or_none_is_refused(tiny_catalogue: Catalogue) -> None:
    for parts in ([], [(tiny_catalogue, 1), (tiny_catalogue, 2)]):
        with pytest.raises(ValueError, match="name at least one data set, and each of them once"):
            Mixture(parts)


def test_identities_name_digests_and_slots(tiny_catalogue: Catalogue, other: Catalogue) -> None:
    one: Any = Mixture([(tiny_catalogue, 5)]).identity
    assert one == tiny_catalogue.digest
    both = Mixture([(tiny_catalogue, 0.5), (other, 0.25)]).identity
    assert both == [[tiny_catalogue.digest, 2], [other.digest, 1]]
