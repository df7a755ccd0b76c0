"""A head that sorts: features of every pair of a few embeddings, with one layer for all pairs, tell the order of all."""

from itertools import combinations

import torch
from torch import Tensor, nn

__all__ = ["PairwiseHead"]


class PairwiseHead(nn.Module):
    """Every pair (i, j), i < j, of N embeddings, concatenated → one shared layer; all pairs together → logits.

    Both networks that sort have this form. OPN (Lee, Huang, Singh, Yang, ICCV 2017) sorts 4 frames into 12 classes:
    512 wide, batch norm and dropout 0.5 in each pair. VCOP (Xu et al., CVPR 2019) sorts 3 clips into 6: 512 wide, no
    norm, dropout 0.5 on all pairs together.

    Args:
        embed_dim: length D of an embedding.
        items: N, frames or clips that one decision is about, 2 or more.
        classes: orders to choose from.
        hidden: width of the layer that the pairs share; 512 is published for both.
        norm: batch norm in that layer; it counts all pairs of a batch together.
        pair_dropout: share of a pair's features that training drops.
        dropout: share of all pairs' features that training drops before the last layer.
    """

    pairs: Tensor

    def __init__(
        self,
        embed_dim: int,
        *,
        items: int,
        classes: int,
        hidden: int = 512,
        norm: bool = False,
        pair_dropout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if items < 2:
            raise ValueError(f"items = {items}: a pair takes 2 or more")
        pairs = torch.tensor(list(combinations(range(items), 2)))
        self.register_buffer("pairs", pairs, persistent=False)
        # Before a norm a bias has no effect.
        layers: list[nn.Module] = [nn.Linear(2 * embed_dim, hidden, bias=not norm)]
        layers += [nn.BatchNorm1d(hidden)] if norm else []
        self.pair = nn.Sequential(*layers, nn.ReLU(inplace=True), nn.Dropout(pair_dropout))
        self.order = nn.Sequential(nn.Dropout(dropout), nn.Linear(len(pairs) * hidden, classes))

    def forward(self, embeddings: Tensor) -> Tensor:
        """float `[B, N, D]` → logits float `[B, classes]`."""
        both = embeddings[:, self.pairs].flatten(2)
        features = self.pair(both.flatten(0, 1)).unflatten(0, both.shape[:2])
        return self.order(features.flatten(1))
