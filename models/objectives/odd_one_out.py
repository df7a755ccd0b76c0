"""Odd one out (Fernando, Bilen, Gavves, Gould, CVPR 2017): which of several sequences is out of order?"""

from collections.abc import Callable, Mapping
from typing import ClassVar, Final, Literal

import torch
from torch import Tensor, nn

from unreel.models.objectives.objective import ClassWeights, Objective, decide, valid_rows
from unreel.models.objectives.outcome import Decisions
from unreel.models.towers import Tower
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["ConcatenationHead", "DifferencesHead", "OddOneOut", "SharedHead"]


class OddOneOut(Objective):
    """A clip tower, once for each sequence → the slot of the odd one.

    Args:
        sequences: the task's; 6 is published.
        head: `concatenation` and `differences` are published, `shared`, our default, is one score a sequence.
        hidden: width of the head's hidden layer.
        class_weights: `none` is published; see `decide`. Slots are drawn evenly, so it matters little.
    """

    towers: ClassVar[tuple[str, ...]] = ("video",)

    def __init__(
        self,
        towers: Mapping[str, Tower],
        *,
        sequences: int = 6,
        head: Literal["concatenation", "differences", "shared"] = "shared",
        hidden: int = 128,
        class_weights: ClassWeights = "none",
    ) -> None:
        super().__init__()
        if head not in _HEADS:
            raise ValueError(f"head {head!r}: choose one of {', '.join(_HEADS)}")
        self.sequences = sequences
        self.class_weights: ClassWeights = class_weights
        self.head = _HEADS[head](towers["video"].embed_dim, sequences, hidden)

    def forward(self, towers: Mapping[str, nn.Module], batch: PretextBatch) -> Decisions:
        """Input `video` float `[B, sequences, 3, T, H, W]`; targets i64 `[B]`."""
        batch, rows = valid_rows(batch)
        clips = batch.inputs["video"]
        if clips.shape[1] != self.sequences:
            raise ValueError(
                f"sequences = {self.sequences} in the objective, {clips.shape[1]} in the task: set both alike"
            )
        embeddings = towers["video"](clips.flatten(0, 1)).unflatten(0, clips.shape[:2])
        return decide(
            self.head(embeddings),
            batch.targets,
            rows=rows,
            valid=batch.valid,
            class_weights=self.class_weights,
        )


class ConcatenationHead(nn.Module):
    """All embeddings, concatenated → linear, ReLU → linear: each slot has weights of its own."""

    def __init__(self, embed_dim: int, sequences: int, hidden: int) -> None:
        super().__init__()
        self.layers = _layers(sequences * embed_dim, hidden, sequences)

    def forward(self, embeddings: Tensor) -> Tensor:
        """float `[B, N, D]` → logits float `[B, N]`."""
        return self.layers(embeddings.flatten(1))


class DifferencesHead(nn.Module):
    """The differences of all pairs, later from earlier, added up → linear, ReLU → linear.

    Of N slots, slot k (from 0) has the weight N - 1 - 2 k in that sum; it is divided by N.
    """

    weights: Tensor

    def __init__(self, embed_dim: int, sequences: int, hidden: int) -> None:
        super().__init__()
        weights = (sequences - 1 - 2 * torch.arange(sequences)) / sequences
        self.register_buffer("weights", weights, persistent=False)
        self.layers = _layers(embed_dim, hidden, sequences)

    def forward(self, embeddings: Tensor) -> Tensor:
        """float `[B, N, D]` → logits float `[B, N]`."""
        return self.layers(torch.einsum("bnd,n->bd", embeddings, self.weights))


class SharedHead(nn.Module):
    """Each embedding beside the mean of all → linear, ReLU → one score: every slot is asked the same question.

    Exchanging two sequences exchanges their scores, which the other heads have to learn from examples.
    """

    def __init__(self, embed_dim: int, sequences: int, hidden: int) -> None:
        super().__init__()
        self.layers = _layers(2 * embed_dim, hidden, 1)

    def forward(self, embeddings: Tensor) -> Tensor:
        """float `[B, N, D]` → logits float `[B, N]`."""
        mean = embeddings.mean(dim=1, keepdim=True).expand_as(embeddings)
        return self.layers(torch.cat([embeddings, mean], dim=2))[..., 0]


def _layers(fan_in: int, hidden: int, fan_out: int) -> nn.Module:
    return nn.Sequential(nn.Linear(fan_in, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, fan_out))


_HEADS: Final[Mapping[str, Callable[[int, int, int], nn.Module]]] = {
    "concatenation": ConcatenationHead,
    "differences": DifferencesHead,
    "shared": SharedHead,
}
