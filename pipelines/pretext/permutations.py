"""Orders of a few things as the classes of a task: which permutation has which number."""

from functools import cache
from itertools import permutations
from math import factorial

import numpy as np
from numpy.typing import NDArray

from unreel.pipelines.draws import Draws

__all__ = ["far_orders", "orders"]


@cache
def orders(items: int, *, reversible: bool = False) -> NDArray[np.int64]:
    """Permutations of 0 … `items` - 1 in lexicographic order, one a class: i64 `[classes, items]`, read only.

    Class k shows at place i what belongs at place `orders(items)[k, i]`. With `reversible` an order and its reversal
    are one class, of which the row has the smaller number first: `items`! / 2 classes, as in OPN (ICCV 2017); without,
    all `items`!, as in VCOP (CVPR 2019).
    """
    rows = [row for row in permutations(range(items)) if not reversible or row[0] <= row[-1]]
    table = np.array(rows, np.int64)
    table.setflags(write=False)
    return table


@cache
def far_orders(items: int, count: int) -> NDArray[np.int64]:
    """`count` permutations of 0 … `items` - 1 that differ as much as can be, one a class: i64 `[count, items]`, read only.

    Greedy, as Noroozi and Favaro publish it (ECCV 2016, algorithm 1): after a first one at random, always the candidate
    with the largest mean Hamming distance to those already taken. 1,000 of 9 take about two seconds, once a process.

    Raises:
        ValueError: there are fewer permutations than `count`.
    """
    if not 2 <= count <= factorial(items):
        raise ValueError(f"permutations = {count}: {items} tiles have 2 to {factorial(items)}")
    columns = orders(items).T.astype(np.int8)
    matches = np.zeros(columns.shape[1], np.int32)
    first = Draws.of(0, "permutations", items).integers("first", 0, columns.shape[1])
    chosen = first.tolist()
    while len(chosen) < count:
        # Fewest places in common, summed over those taken, is the largest mean Hamming distance.
        for column, value in zip(columns, columns[:, chosen[-1]], strict=True):
            matches += column == value
        matches[chosen[-1]] = np.iinfo(np.int32).max // 2
        chosen.append(int(matches.argmin()))
    table = orders(items)[chosen]
    table.setflags(write=False)
    return table
