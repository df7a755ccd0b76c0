"""Rows of all ranks at once, with gradients: what contrastive losses compare with, and how batches are shuffled across ranks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from unreel.pipelines.draws import stream_key

__all__ = ["Shares", "beside", "gathered", "grouped", "shares_of", "shuffled"]

Encode = Callable[[Tensor], Tensor]
"""Rows `[N, ...]` → what is said of each, `[N, D]`."""

_FEWEST: Final = 2
"""Rows that batch norm needs to have statistics."""


class Peers(Protocol):
    """Those that train together; `models.training.ranks.Ranks` is one."""

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    @property
    def group(self) -> Any: ...


@dataclass(frozen=True)
class _Alone:
    rank: int = 0
    size: int = 1
    group: Any = None


_ALONE: Final = _Alone()
_peers: ContextVar[Peers] = ContextVar("peers", default=_ALONE)


@contextmanager
def beside(peers: Peers) -> Iterator[None]:
    """Inside the block objectives see the rows of all `peers`, each of which passes the same objectives in the same order."""
    token = _peers.set(peers)
    try:
        yield
    finally:
        _peers.reset(token)


@dataclass(frozen=True, slots=True)
class Shares:
    """How many rows each rank has: failed rows are left out, so that ranks differ."""

    rank: int
    sizes: tuple[int, ...]

    @property
    def first(self) -> int:
        """Number of this rank's first row among those of all."""
        return sum(self.sizes[: self.rank])

    @property
    def total(self) -> int:
        return sum(self.sizes)


def shares_of(count: int) -> Shares:
    """The shares where this rank has `count` rows."""
    peers = _peers.get()
    if peers.size == 1:
        return Shares(0, (count,))
    sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(peers.size)]
    dist.all_gather(sizes, torch.tensor([count]), group=peers.group)
    return Shares(peers.rank, tuple(int(size) for size in sizes))


def gathered(rows: Tensor, shares: Shares) -> Tensor:
    """The rows of all ranks in their order, `[n, ...]` → `[shares.total, ...]`; gradients go back to the rank of each row.

    A row's gradient is the sum of those of all ranks' losses, so that DDP's mean over ranks is that of the mean loss.
    """
    if len(shares.sizes) == 1:
        return rows
    return _Gather.apply(rows, shares, _peers.get().group)  # type: ignore[no-untyped-call]


class _Gather(torch.autograd.Function):
    """all_gather of parts of unlike size; backward adds up all ranks' gradients and keeps the own rows'."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, shares: Shares, group: Any) -> Tensor:
        ctx.shares, ctx.group = shares, group
        room = rows.new_zeros(max(shares.sizes), *rows.shape[1:])
        room[: len(rows)] = rows
        parts = [torch.empty_like(room) for _ in shares.sizes]
        dist.all_gather(parts, room, group=group)
        return torch.cat([part[:size] for part, size in zip(parts, shares.sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=ctx.group)
        first = ctx.shares.first
        return total[first : first + ctx.shares.sizes[ctx.shares.rank]], None, None


def grouped(encode: Encode, rows: Tensor, groups: int) -> Tensor:
    """`encode` of `groups` parts of the rows by themselves, each with its own statistics of batch norm: as on so many ranks."""
    return torch.cat([encode(part) for part in rows.tensor_split(groups)])


def shuffled(encode: Encode, rows: Tensor, groups: int, *, salt: int) -> Tensor:
    """As `grouped`, of rows that were permuted across all groups of all ranks, and back in their order.

    ShuffleBN (He, Fan, Wu, Xie, Girshick, "Momentum contrast", CVPR 2020, section 3.3): a query and its key are
    normalised beside other rows, so that batch statistics do not tell which key is of the query's own batch.

    Args:
        groups: on each rank.
        salt: any number of the batch; with the ranks' other ones it decides the permutation.

    Raises:
        ValueError: there is one group in all, so that rows stay beside each other, or too few rows for so many groups.
    """
    shares = shares_of(len(rows))
    parts = groups * len(shares.sizes)
    if parts < 2 or shares.total < _FEWEST * parts:
        raise ValueError(
            f"shuffle_groups {groups} on {len(shares.sizes)} ranks: {shares.total} rows cannot be shuffled among {parts} "
            f"groups; 2 groups or more are needed, with {_FEWEST} rows each"
        )
    order = _permutation(shares, salt).to(rows.device)
    mine = slice(shares.rank * groups, (shares.rank + 1) * groups)
    # Pictures take no gradient, so that only what is said of them goes back by `gathered`.
    parts_of_all = gathered(rows.detach(), shares)[order].tensor_split(parts)[mine]
    said = torch.cat([encode(part) for part in parts_of_all])
    back = torch.empty_like(order)
    back[order] = torch.arange(shares.total, device=order.device)
    return gathered(said, shares_of(len(said)))[back][shares.first : shares.first + len(rows)]


def _permutation(shares: Shares, salt: int) -> Tensor:
    """The same on every rank."""
    salts = gathered(torch.tensor([salt]), Shares(shares.rank, (1,) * len(shares.sizes)))
    generator = torch.Generator().manual_seed(stream_key("shuffle", *salts.tolist())[0])
    return torch.randperm(shares.total, generator=generator)
