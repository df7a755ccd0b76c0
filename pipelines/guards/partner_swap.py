"""Negative pairs made by swapping sounds between the negatives of a group.

Every frame and every sound of a group is used exactly once, so neither alone can tell the label: the negatives' sounds
are the very sounds that would have been positives. Which rows are negative depends on (seed, group) alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unreel.pipelines.draws import Draws

__all__ = ["Swap", "is_negative", "swap_partners"]


@dataclass(frozen=True, slots=True)
class Swap:
    """Whose sound each row gets.

    Attributes:
        partner: i64 `[B]`, the row whose sound row i hears; itself where the pair corresponds.
        corresponds: bool `[B]`, the label.
        fair: bool `[B]`, False for a negative whose partner has the same source: its label would be a lie.
    """

    partner: NDArray[np.int64]
    corresponds: NDArray[np.bool_]
    fair: NDArray[np.bool_]


def _negatives(draws: Draws, group: int) -> NDArray[np.int64]:
    """Members of each group that are negative, in random order: i64 `[groups, group // 2]`."""
    return draws.groups(group).permutations("partner_swap", group)[:, : group // 2]


def is_negative(draws: Draws, group: int) -> bool:
    """Whether the row of `draws` (B = 1) is a negative of its group."""
    member = int(draws.positions[0]) % group
    whole = Draws.of(draws.seed, draws.task, draws.positions[0] - member + np.arange(group))
    return member in _negatives(whole, group)


def swap_partners(draws: Draws, sources: Sequence[str], *, group: int) -> Swap:
    """Swap sounds inside each aligned group of `group` rows; half of its rows are negatives.

    The negatives stand in a ring in random order and each hears the one `s` places on, with the `s` that pairs the
    fewest rows of one source. Raises ValueError when the rows are not whole aligned groups.
    """
    members = _negatives(draws, group)
    ring = members + group * np.arange(len(members))[:, None]
    source = np.unique(np.asarray(sources), return_inverse=True)[1]
    turned = np.stack([np.roll(ring, -places, axis=1) for places in range(1, group // 2)])
    clashes = (source[turned] == source[ring]).sum(axis=2)
    partner = np.arange(len(sources))
    partner[ring] = turned[clashes.argmin(axis=0), np.arange(len(ring))]
    corresponds = partner == np.arange(len(sources))
    return Swap(partner, corresponds, corresponds | (source[partner] != source))
