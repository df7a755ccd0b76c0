"""Near words: exactly the pairs that comparing all with all finds, each once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.shards.care import near
from unreel.shards.care.near import LARGEST_DISTANCE, WordIndex
from unreel.shards.making.hashes import distances


def clouds(seed: int, count: int, spread: int) -> np.ndarray:
    """Words around few centres, up to `spread` bits away, so that every distance occurs."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 2**64, 4, np.uint64)
    words = centres[rng.integers(0, 4, count)]
    for number in range(count):
        bits = rng.choice(64, rng.integers(0, spread + 1), replace=False)
        words[number] ^= np.bitwise_or.reduce(np.uint64(1) << bits.astype(np.uint64), initial=np.uint64(0))
    return words


@given(
    seed=st.integers(0, 2**32),
    sizes=st.tuples(st.integers(0, 40), st.integers(0, 40)),
    distance=st.integers(0, LARGEST_DISTANCE),
    part=st.sampled_from([1, 7, 1 << 20]),
)
def test_pairs_are_those_of_brute_force(seed: int, sizes: tuple[int, int], distance: int, part: int) -> None:
    words, queries = np.split(clouds(seed, sum(sizes), 10), [sizes[0]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near, "_PAIRS", part)
        parts = list(WordIndex(words).near(queries, distance))
    found = [pair for asked, number in parts for pair in zip(asked.tolist(), number.tolist(), strict=True)]
    expected = np.argwhere(distances(queries, words) <= distance)
    assert sorted(found) == [tuple(pair) for pair in expected.tolist()]


@pytest.mark.parametrize("distance", [-1, LARGEST_DISTANCE + 1])
def test_distances_out_of_range_are_refused(distance: int) -> None:
    with pytest.raises(ValueError, match=rf"distance {distance}: allowed is 0 to 15"):
        list(WordIndex(np.zeros(1, np.uint64)).near(np.zeros(1, np.uint64), distance))


def test_few_of_many_random_words_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    words = np.random.default_rng(1).integers(0, 2**64, 50_000, np.uint64)
    index, compared = WordIndex(words), []
    listed = WordIndex._listed
    monkeypatch.setattr(
        WordIndex,
        "_listed",
        lambda self, band, keys: (compared.append(len(a)) or (a, b) for a, b in listed(self, band, keys)),
    )
    list(index.near(words[:200], 6))
    assert sum(compared) < 200 * len(words) / 500
