"""Negatives by swapping: balanced, every sound used once, never two of one source."""

import numpy as np
import pytest

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards.partner_swap import is_negative, swap_partners

GROUP = 16
ROWS = 25 * GROUP


def draws(seed: int = 0, first: int = 0, rows: int = ROWS) -> Draws:
    return Draws.of(seed, "test", np.arange(first, first + rows))


def names(count: int, rows: int = ROWS) -> list[str]:
    return [f"source {number}" for number in np.random.randint(0, count, rows)]


def test_half_of_each_group_is_negative_and_every_sound_is_heard_once() -> None:
    swap = swap_partners(draws(), names(1000), group=GROUP)
    assert (swap.corresponds.reshape(-1, GROUP).sum(1) == GROUP // 2).all()
    assert (np.sort(swap.partner.reshape(-1, GROUP)) == np.arange(ROWS).reshape(-1, GROUP)).all()
    negatives = np.flatnonzero(~swap.corresponds)
    assert set(swap.partner[negatives]) == set(negatives)
    assert (swap.partner[swap.corresponds] == np.flatnonzero(swap.corresponds)).all()


@pytest.mark.parametrize("count", [4, 12, 1000])
def test_a_fair_negative_never_has_a_partner_of_its_source(count: int) -> None:
    sources = names(count)
    swap = swap_partners(draws(), sources, group=GROUP)
    for row in np.flatnonzero(swap.fair & ~swap.corresponds):
        assert sources[row] != sources[swap.partner[row]]


def test_turning_the_ring_avoids_what_can_be_avoided() -> None:
    pairs = [f"source {row // 2}" for row in range(ROWS)]
    assert swap_partners(draws(), pairs, group=GROUP).fair.all()


def test_one_source_alone_gives_no_fair_negative() -> None:
    swap = swap_partners(draws(), ["same"] * ROWS, group=GROUP)
    assert (swap.fair == swap.corresponds).all()


def test_groups_do_not_know_of_each_other() -> None:
    sources = names(6)
    whole = swap_partners(draws(), sources, group=GROUP)
    half = swap_partners(draws(first=GROUP, rows=GROUP), sources[GROUP : 2 * GROUP], group=GROUP)
    assert (whole.partner[GROUP : 2 * GROUP] - GROUP == half.partner).all()


def test_every_place_in_a_group_is_negative_half_of_the_time() -> None:
    swap = swap_partners(draws(rows=400 * GROUP), names(10_000, 400 * GROUP), group=GROUP)
    share = swap.corresponds.reshape(-1, GROUP).mean(0)
    assert np.abs(share - 0.5).max() < 4 * 0.5 / 400**0.5


def test_a_row_alone_knows_whether_it_is_negative() -> None:
    swap = swap_partners(draws(), names(1000), group=GROUP)
    alone = [is_negative(draws().row(row), GROUP) for row in range(3 * GROUP)]
    assert alone == (~swap.corresponds[: 3 * GROUP]).tolist()


def test_rows_that_are_not_whole_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="whole aligned groups"):
        swap_partners(draws(first=3, rows=GROUP), names(9, GROUP), group=GROUP)
