"""Orders of a few things as the classes of a task: which permutation has which number."""

from functools import cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

__all__ = ["orders"]


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
