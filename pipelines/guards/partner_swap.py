"""Negative pairs made by swapping sounds between the negatives of a group.

Every frame and every sound of a group is used exactly once, so neither alone can tell the label: the negatives' sounds
are the very sounds that would have been positives. Which rows are negative depends on (seed, group) alone.

Harder negatives hear their own clip at another time and swap with nobody; `draw_roles` says which rows they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unreel.pipelines.draws import Draws

__all__ = ["Roles", "Swap", "draw_roles", "is_negative", "role_of", "swap_partners"]


@dataclass(frozen=True, slots=True)
class Swap:
    """Whose sound each row gets.

    Attributes:
        partner: i64 `[B]`, the row whose sound row i hears; itself where the pair corresponds, and for a negative that
            hears its own clip.
        corresponds: bool `[B]`, the label.
        fair: bool `[B]`, False for a negative whose partner has the same source: its label would be a lie.
    """

    partner: NDArray[np.int64]
    corresponds: NDArray[np.bool_]
    fair: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Roles:
    """What the rows of whole groups are.

    Attributes:
        negative: bool `[B]`, half of each group.
        kind: i64 `[B]`, the kind of negative that a row is, or stands against: 0 hears another source; 1, 2 … its own
            clip at another time. A group has as many positives of each kind as negatives.
        swapping: i64 `[groups]`, negatives of kind 0 in each group.
    """

    negative: NDArray[np.bool_]
    kind: NDArray[np.int64]
    swapping: NDArray[np.int64]


def _members(draws: Draws, group: int) -> NDArray[np.int64]:
    """Members of each group in random order, its negatives first: i64 `[groups, group]`."""
    return draws.groups(group).permutations("partner_swap", group)


def _whole_group(draws: Draws, group: int) -> tuple[Draws, int]:
    """The group that the row of `draws` (B = 1) belongs to, and which member of it the row is."""
    member = int(draws.positions[0]) % group
    return Draws.of(draws.seed, draws.task, draws.positions[0] - member + np.arange(group)), member


def is_negative(draws: Draws, group: int) -> bool:
    """Whether the row of `draws` (B = 1) is a negative of its group."""
    whole, member = _whole_group(draws, group)
    return member in _members(whole, group)[0, : group // 2]


def draw_roles(draws: Draws, *, group: int, shares: Sequence[float], since: int = 0) -> Roles:
    """Which rows are negatives, and of which kind.

    Args:
        shares: of the negatives that are of kind 1, 2 …, together 1 at most. Where a share of a group is no whole number
            it is rounded up or down by chance, so that it holds over many groups.
        since: position in the order of the run from which there are such negatives; before it all are of kind 0. A
            curriculum may depend on the position alone, for that is the same after any resume.
    """
    members, half, heads = _members(draws, group), group // 2, draws.groups(group)
    reached = heads.positions[:, None] * group >= since
    chance = heads.uniform("kinds", 2).astype(np.float64)
    # Of kind 1 and more, of kind 2 and more, …: one number rounds them all, so that they stay in order.
    edges = np.cumsum(np.asarray(shares, np.float64)[::-1])[::-1] * half * reached
    counts = np.floor(edges + chance[:, :1]).astype(np.int64)
    # A negative of kind 0 that is the only one has nobody to swap with.
    lonely = counts[:, 0] == half - 1
    counts[lonely, 0] += np.where(chance[lonely, 1] < 0.5, 1, -1)
    counts = np.minimum(counts, counts[:, :1])
    kind = (np.arange(half) >= half - counts[..., None]).sum(axis=1)
    negative, kinds = np.empty_like(members, np.bool_), np.empty_like(members)
    np.put_along_axis(negative, members, np.arange(group)[None] < half, axis=1)
    np.put_along_axis(kinds, members, np.tile(kind, 2), axis=1)
    return Roles(negative.ravel(), kinds.ravel(), half - counts[:, 0])


def role_of(draws: Draws, *, group: int, shares: Sequence[float], since: int = 0) -> tuple[bool, int]:
    """Whether the row of `draws` (B = 1) is a negative, and its kind; arguments as in `draw_roles`."""
    whole, member = _whole_group(draws, group)
    roles = draw_roles(whole, group=group, shares=shares, since=since)
    return bool(roles.negative[member]), int(roles.kind[member])


def swap_partners(
    draws: Draws, sources: Sequence[str], *, group: int, swapping: NDArray[np.int64] | None = None
) -> Swap:
    """Swap sounds inside each aligned group of `group` rows; half of its rows are negatives.

    The negatives stand in a ring in random order and each hears the one `s` places on, with the `s` that pairs the
    fewest rows of one source.

    Args:
        swapping: of each group, how many negatives swap, see `Roles`; by default all of them. None is alone.

    Raises:
        ValueError: the rows are not whole aligned groups.
    """
    half = group // 2
    members = _members(draws, group)
    ring = (members + group * np.arange(len(members))[:, None])[:, :half]
    count = np.full(len(ring), half) if swapping is None else swapping
    source = np.unique(np.asarray(sources), return_inverse=True)[1]
    rank = np.arange(half)
    swaps = rank < count[:, None]
    steps = (rank + np.arange(1, half)[:, None, None]) % np.maximum(count, 1)[:, None]
    turned = np.take_along_axis(ring[None], np.where(swaps, steps, rank), axis=2)
    clashes = (source[turned] == source[ring]).sum(axis=2)
    partner = np.arange(len(sources))
    partner[ring] = turned[clashes.argmin(axis=0), np.arange(len(ring))]
    corresponds = np.ones(len(sources), np.bool_)
    corresponds[ring] = False
    own = partner == np.arange(len(sources))
    return Swap(partner, corresponds, own | (source[partner] != source))
