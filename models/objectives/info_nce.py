"""InfoNCE (van den Oord et al., 2018): a query has to find its key among those of the batch, of all ranks, and of a queue."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from unreel.models.objectives.peers import gathered, shares_of

__all__ = ["ClipContrast", "KeyQueue", "info_nce", "source_numbers"]


def info_nce(queries: Tensor, keys: Tensor, *, own: Tensor, against: Tensor, temperature: float) -> Tensor:
    """-log of the softmax of a query's own key, over scalar products divided by a temperature, f32 `[M]`.

    L = -log(exp(q·k⁺/τ) / (exp(q·k⁺/τ) + Σ exp(q·k⁻/τ))): van den Oord, Li, Vinyals, "Representation learning with
    contrastive predictive coding", arXiv 1807.03748, equation 4, with the scalar products and τ of He et al.
    ("Momentum contrast", CVPR 2020, equation 1).

    Args:
        queries: float `[M, D]`.
        keys: float `[K, D]`.
        own: i64 `[M]`, the column of each query's own key.
        against: bool `[M, K]`, the keys that stand against it; the own one counts whatever is said here.
    """
    logits = queries.float() @ keys.float().mT / temperature
    among = against.scatter(1, own[:, None], True)
    return functional.cross_entropy(logits.masked_fill(~among, -torch.inf), own, reduction="none")


class KeyQueue(nn.Module):
    """Keys of the last batches and the sources they are of, first in, first out (He et al., CVPR 2020); part of a checkpoint.

    Every rank puts in the keys of all ranks, so that all hold the same.

    Args:
        size: of the queue, in keys.
        dim: of a key.
    """

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("keys", torch.zeros(size, dim))
        self.register_buffer("sources", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))
        self.register_buffer("next", torch.zeros((), dtype=torch.int64))
        self.keys: Tensor
        self.sources: Tensor
        self.filled: Tensor
        self.next: Tensor

    def held(self) -> tuple[Tensor, Tensor]:
        """Copies of the keys f32 `[Q, D]` and sources i64 `[Q]` that are there, in no order."""
        filled = int(self.filled)
        return self.keys[:filled].clone(), self.sources[:filled].clone()

    @torch.no_grad()
    def push(self, keys: Tensor, sources: Tensor) -> None:
        """Put keys `[N, D]` and their sources i64 `[N]` in, the oldest out."""
        size = len(self.keys)
        keys, sources = keys[-size:], sources[-size:]
        places = (int(self.next) + torch.arange(len(keys), device=keys.device)) % size
        self.keys[places] = keys.to(self.keys.dtype)
        self.sources[places] = sources
        self.next.copy_((self.next + len(keys)) % size)
        self.filled.copy_((self.filled + len(keys)).clamp(max=size))


class ClipContrast(nn.Module):
    """InfoNCE of moments of clips: against moments of the same clip that are named, and all of clips of other sources.

    Those are the clips of the batch on all ranks, with gradients, and in training those of a queue, without.

    Args:
        dim: of the embeddings, which have length 1.
        temperature: τ.
        queue: keys of earlier batches that stand against each query; 0 for none.
    """

    def __init__(self, dim: int, *, temperature: float, queue: int) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature {temperature}: has to be more than 0")
        self.temperature = temperature
        self.queue = KeyQueue(queue, dim) if queue else None

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        *,
        positive: Tensor,
        apart: Tensor,
        sources: Tensor,
        valid: Tensor,
    ) -> Tensor:
        """What each query costs, f32 `[B, P]`.

        Args:
            queries: float `[B, P, D]`.
            keys: float `[B, F, D]`.
            positive: i64 `[B, P]` into F.
            apart: bool `[B, P, F]`, moments of the own clip that stand against a query.
            sources: i64 `[B]`; a clip of the same source is no negative, but for 0, which is no source.
            valid: bool `[B]`; keys of other rows stand against nothing.
        """
        rows, times = keys.shape[:2]
        shares = shares_of(rows * times)
        every = gathered(keys.flatten(0, 1), shares)
        of_source = gathered(sources.repeat_interleave(times), shares)
        usable = gathered(valid.to(torch.uint8).repeat_interleave(times), shares).bool()
        first = shares.first + times * torch.arange(rows, device=keys.device)
        against = usable & _unlike(sources, of_source)
        own_clip = first[:, None] + torch.arange(times, device=keys.device)
        against = against.scatter(1, own_clip, False)[:, None].expand(-1, queries.shape[1], -1)
        against = against.scatter(2, own_clip[:, None].expand_as(apart), apart)
        own = (first[:, None] + positive).flatten()
        pool, stands = self._with_queue(every, against.flatten(0, 1), sources, queries.shape[1])
        losses = info_nce(queries.flatten(0, 1), pool, own=own, against=stands, temperature=self.temperature)
        if self.training and self.queue is not None:
            self.queue.push(every[usable], of_source[usable])
        return losses.reshape(queries.shape[:2])

    def _with_queue(
        self, keys: Tensor, against: Tensor, sources: Tensor, queries: int
    ) -> tuple[Tensor, Tensor]:
        if self.queue is None or not self.training:
            return keys, against
        held, of_source = self.queue.held()
        unlike = _unlike(sources, of_source).repeat_interleave(queries, dim=0)
        return torch.cat([keys, held]), torch.cat([against, unlike], dim=1)


def source_numbers(sources: Sequence[str]) -> Tensor:
    """A number for each source's name, i64 `[B]`, equal on every machine; 0 for a source that is not known."""
    digests = [hashlib.blake2b(name.encode(), digest_size=7).digest() for name in sources]
    numbers = [int.from_bytes(digest, "little") + 1 for digest in digests]
    return torch.tensor([number if name else 0 for name, number in zip(sources, numbers, strict=True)])


def _unlike(sources: Tensor, others: Tensor) -> Tensor:
    """Where the sources differ, or are not known, bool `[B, K]`."""
    return (sources[:, None] != others) | (others == 0)
