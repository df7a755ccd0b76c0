"""Distances of two embeddings, and the contrastive loss with a margin that pulls pairs together and pushes others apart."""

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Projections", "contrastive_cost", "distance_logits"]


def contrastive_cost(distance: Tensor, same: Tensor, margin: float) -> Tensor:
    """What each pair costs: d² where it is the `same`, max(margin - d, 0)² where it is not.

    Hadsell, Chopra, LeCun, CVPR 2006; its mean over pairs is the loss of AVTS and of SyncNet.

    Args:
        distance: float, not negative.
        same: bool, of the same shape.
    """
    return torch.where(same, distance.square(), (margin - distance).clamp(min=0).square())


def distance_logits(distance: Tensor, margin: float) -> Tensor:
    """Logits of "not the same" and "the same", float `[..., 2]`: minus what each answer costs.

    The cheaper answer is the decision: the same where the distance is less than half the margin.
    """
    return -torch.stack(
        [
            contrastive_cost(distance, torch.full_like(distance, same, dtype=torch.bool), margin)
            for same in (0, 1)
        ],
        dim=-1,
    )


class Projections(nn.Module):
    """Two embeddings brought to one space: linear, batch norm, ReLU, linear for each, then L2 normalisation if asked for."""

    def __init__(self, video_dim: int, audio_dim: int, *, hidden: int, normalise: bool) -> None:
        super().__init__()
        self.video, self.audio = _projection(video_dim, hidden), _projection(audio_dim, hidden)
        self.normalise = normalise

    def forward(self, seen: Tensor, heard: Tensor) -> tuple[Tensor, Tensor]:
        """float `[N, video_dim]`, float `[M, audio_dim]` → float `[N, hidden]`, `[M, hidden]`."""
        pair = self.video(seen).float(), self.audio(heard).float()
        return (functional.normalize(pair[0]), functional.normalize(pair[1])) if self.normalise else pair


def _projection(fan_in: int, hidden: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(fan_in, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, hidden),
    )
