"""Orders as classes: each occurs once, and with reversals grouped, an order and its reversal are one class."""

from itertools import permutations
from math import factorial

import numpy as np
import pytest

from unreel.pipelines.pretext.permutations import orders


@pytest.mark.parametrize("items", [2, 3, 4, 5])
def test_every_order_is_one_class(items: int) -> None:
    assert [tuple(row) for row in orders(items).tolist()] == list(permutations(range(items)))


@pytest.mark.parametrize("items", [2, 3, 4, 5])
def test_an_order_and_its_reversal_are_one_class(items: int) -> None:
    rows = {tuple(row) for row in orders(items, reversible=True).tolist()}
    backwards = {row[::-1] for row in rows}
    assert len(rows) == factorial(items) // 2 and not rows & backwards
    assert rows | backwards == set(permutations(range(items)))


def test_the_table_is_shared_and_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="read-only"):
        orders(4)[0, 0] = 9
    assert orders(4) is orders(4) and orders(3).dtype == np.int64
