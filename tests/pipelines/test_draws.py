"""Random numbers: Random123's known answers, and what a row draws depends on nothing but itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.pipelines.draws import Draws, philox4x32, stream_key

ONES = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        # kat_vectors of Random123 1.14, philox4x32 with 10 rounds.
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ONES,) * 4, (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
@pytest.mark.parametrize("blocks", [0, 1, 16, 17, 100])
def test_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], expected: tuple[int, ...], blocks: int
) -> None:
    counters = np.tile(np.array(counter, np.uint64)[:, None], blocks)
    words = philox4x32(counters, key)
    assert words.shape == (4, blocks) and words.T.tolist() == [list(expected)] * blocks


def test_streams_are_the_same_in_every_release() -> None:
    assert stream_key(7, "task", "purpose") == (0x683591AF, 0xB99747A9)
    draws = Draws.of(7, "task", [0, 1, 2**40])
    assert draws.integers("i", 0, 1000, 4).tolist() == [
        [264, 243, 394, 233],
        [617, 694, 425, 64],
        [583, 644, 742, 206],
    ]
    assert draws.permutations("p", 5).tolist() == [[0, 2, 1, 3, 4], [3, 4, 0, 1, 2], [2, 1, 4, 0, 3]]


positions = st.lists(st.integers(0, 2**62), min_size=1, max_size=20)


@given(st.integers(), positions, st.data())
def test_rows_do_not_depend_on_their_neighbours(seed: int, where: list[int], data: st.DataObject) -> None:
    row = data.draw(st.integers(0, len(where) - 1))
    batch, alone = Draws.of(seed, "task", where), Draws.of(seed, "task", where[row])
    assert np.array_equal(batch.uniform("u", 3, 2)[row], alone.uniform("u", 3, 2)[0])
    assert np.array_equal(batch.permutations("p", 7)[row], alone.permutations("p", 7)[0])
    assert np.array_equal(batch.row(row).integers("i", 3, 90), alone.integers("i", 3, 90))


@given(positions)
def test_more_words_begin_with_the_fewer(where: list[int]) -> None:
    draws = Draws.of(1, "task", where)
    assert np.array_equal(draws.words("w", 9)[:, :5], draws.words("w", 5))


def test_seed_task_purpose_and_position_all_count() -> None:
    base = Draws.of(1, "a", range(64)).words("p", 4)
    others = [
        Draws.of(2, "a", range(64)).words("p", 4),
        Draws.of(1, "b", range(64)).words("p", 4),
        Draws.of(1, "a", range(64)).words("q", 4),
        Draws.of(1, "a", range(64, 128)).words("p", 4),
        Draws.of(1, "a", np.arange(64) + 2**32).words("p", 4),
    ]
    assert all(not np.any(base == other) for other in others)


@given(st.integers(-100, 100), st.integers(1, 10**6))
def test_integers_stay_in_their_range(low: int, width: int) -> None:
    values = Draws.of(0, "t", range(50)).integers("i", low, low + width, 3)
    assert values.shape == (50, 3) and values.min() >= low and values.max() < low + width


def test_bounds_may_differ_by_row() -> None:
    low = np.arange(40)
    values = Draws.of(0, "t", range(40)).integers("i", low, low + 2, 30)
    assert np.array_equal(np.unique(values - low[:, None]), [0, 1])


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"integers for 'start': empty range \[5, 5\)"):
        Draws.of(0, "t", [0, 1]).integers("start", [0, 5], [1, 5])


def test_numbers_are_uniform() -> None:
    draws = Draws.of(3, "t", range(20_000))
    values = draws.uniform("u", low=-1.0, high=3.0)
    assert values.dtype == np.float32 and values.min() >= -1 and values.max() < 3
    # Four standard errors of a uniform mean.
    assert abs(values.mean() - 1) < 4 * (4 / 12**0.5) / 20_000**0.5
    counts = np.bincount(draws.integers("i", 0, 10), minlength=10)
    assert ((counts - 2000) ** 2 / 2000).sum() < 28  # chi-square, 9 degrees of freedom, p = 0.001
    assert abs(draws.chance("c", 0.25).mean() - 0.25) < 4 * (0.1875 / 20_000) ** 0.5


def test_permutations_are_permutations_and_all_occur() -> None:
    rows = Draws.of(0, "t", range(600)).permutations("p", 3)
    assert np.array_equal(np.sort(rows, axis=1), np.tile(range(3), (600, 1)))
    assert len(np.unique(rows, axis=0)) == 6


def test_a_group_shares_its_draws_on_every_rank() -> None:
    whole = Draws.of(0, "t", range(64)).groups(16).words("w", 2)
    halves = [Draws.of(0, "t", range(start, start + 32)).groups(16).words("w", 2) for start in (0, 32)]
    assert whole.shape == (4, 2) and np.array_equal(whole, np.concatenate(halves))
    assert not np.array_equal(whole, Draws.of(0, "t", range(4)).words("w", 2))


@pytest.mark.parametrize("where", [range(8), range(8, 24), [*range(15), 17], range(17)])
def test_parts_of_groups_are_refused(where: list[int]) -> None:
    with pytest.raises(ValueError, match=r"group 16: .* are not whole aligned groups"):
        Draws.of(0, "t", where).groups(16)


def test_tasks_may_share_the_moment_that_they_plan_and_nothing_else() -> None:
    one, other = (Draws.of(1, task, [4, 9], moments="all") for task in "ab")
    assert np.array_equal(one.uniform("plan", 3), other.uniform("plan", 3))
    assert np.array_equal(one.row(1).uniform("plan", 3)[0], one.uniform("plan", 3)[1])
    assert not np.array_equal(one.uniform("flip", 3), other.uniform("flip", 3))
    assert np.array_equal(one.uniform("flip", 3), Draws.of(1, "a", [4, 9]).uniform("flip", 3))
    assert not np.array_equal(one.uniform("plan", 3), Draws.of(1, "a", [4, 9]).uniform("plan", 3))
