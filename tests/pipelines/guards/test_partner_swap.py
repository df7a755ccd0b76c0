"""Negatives by swapping: balanced, every sound used once, never two of one source."""

import numpy as np
import pytest

from unreel.pipelines.draws import Draws
from unreel.pipelines.guards.partner_swap import draw_roles, is_negative, role_of, swap_partners

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


SHARES = (0.25, 0.3)


def test_kinds_have_their_shares_and_a_positive_for_each_negative() -> None:
    roles = draw_roles(draws(rows=400 * GROUP), group=GROUP, shares=SHARES)
    for kind, share in enumerate((0.45, *SHARES)):
        of_kind = roles.kind == kind
        groups = of_kind.reshape(-1, GROUP)
        negatives = (of_kind & roles.negative).reshape(-1, GROUP)
        assert (negatives.sum(1) * 2 == groups.sum(1)).all()
        assert abs(of_kind.mean() - share) < 0.01
        assert (negatives.sum(1) != 1).all() or kind, "a lone negative has nobody to swap with"


def test_only_negatives_of_kind_0_swap() -> None:
    roles = draw_roles(draws(), group=GROUP, shares=SHARES)
    swap = swap_partners(draws(), names(1000), group=GROUP, swapping=roles.swapping)
    swapped = swap.partner != np.arange(ROWS)
    assert (swapped == (roles.negative & (roles.kind == 0))).all()
    assert (swap.corresponds == ~roles.negative).all()
    assert (np.sort(swap.partner) == np.arange(ROWS)).all()


def test_a_row_alone_knows_its_role() -> None:
    whole = draw_roles(draws(rows=2 * GROUP), group=GROUP, shares=SHARES)
    for row in range(2 * GROUP):
        role = role_of(draws(rows=2 * GROUP).row(row), group=GROUP, shares=SHARES)
        assert role == (whole.negative[row], whole.kind[row])


def test_a_curriculum_goes_by_the_position_alone() -> None:
    late = draw_roles(draws(), group=GROUP, shares=(0.5,), since=10 * GROUP)
    assert not late.kind[: 10 * GROUP].any()
    always = draw_roles(draws(), group=GROUP, shares=(0.5,))
    assert (late.kind[10 * GROUP :] == always.kind[10 * GROUP :]).all()
    assert (late.negative == always.negative).all()


@pytest.mark.parametrize("group", [4, 6, 16])
def test_all_negatives_may_be_hard(group: int) -> None:
    rows = 10 * group
    roles = draw_roles(draws(rows=rows), group=group, shares=(0.5, 0.5))
    swap = swap_partners(draws(rows=rows), names(1000, rows), group=group, swapping=roles.swapping)
    assert (roles.kind > 0).all() and (swap.partner == np.arange(rows)).all()
