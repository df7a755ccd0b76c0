"""Dense predictive coding (Han, Xie, Zisserman, ICCV workshops 2019): features of blocks to come, place by place."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from unreel.models.objectives.objective import Objective, valid_rows
from unreel.models.objectives.outcome import Rankings
from unreel.models.objectives.peers import Shares, gathered, shares_of
from unreel.models.towers import Tower
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["ConvGru", "DensePrediction"]


class DensePrediction(Objective):
    """A map a block → a recurrent state at each place → predictions, each of which has to find its block and place.

    Candidates are all predicted blocks and places of the batch. Scores are inner products without temperature, of
    features before their ReLU (published). Scored by the share that finds its own first, and against three kinds of
    candidates alone: `other places` of the same clip (at any step), `other steps` at the same place, `other clips`.

    Args:
        stage: of the tower; "" is the last map. Its time is averaged, as published.
        width: channels of features and state; published 256. Towers end in a ReLU, and the published features are taken
            before it: a linear layer of ours behind the tower gives features of both signs.
        dropout: on the state; published 0.1.
        across_ranks: whether the blocks of all ranks are candidates, with gradients; else those of a rank's own clips.
    """

    towers: ClassVar[tuple[str, ...]] = ("video",)
    readout: ClassVar[Literal["head", "whole"]] = "whole"

    def __init__(
        self,
        towers: Mapping[str, Tower],
        *,
        stage: str = "",
        width: int = 256,
        dropout: float = 0.1,
        across_ranks: bool = False,
    ) -> None:
        super().__init__()
        tower = towers["video"]
        self.stage = tower.map_stage(stage or None)
        self.across_ranks = across_ranks
        self.project = nn.Conv2d(tower.channels[self.stage], width, kernel_size=1)
        self.aggregate = ConvGru(width, dropout=dropout)
        self.predict = nn.Sequential(
            nn.Conv2d(width, width, kernel_size=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, kernel_size=1),
        )

    def forward(self, towers: Mapping[str, nn.Module], batch: PretextBatch) -> Rankings:
        """Input `video` float `[B, N, 3, T, H, W]`, targets i64 `[B, S]`; B * S * h * w answers, place by place."""
        batch, rows = valid_rows(batch)
        features = self.embed(towers["video"], batch.inputs["video"])
        steps = batch.targets.shape[1]
        guesses = self.guess(features[:, :-steps], steps)
        truth = features[:, -steps:]
        _, _, _, height, width = truth.shape
        said, candidates = _flat(guesses), _flat(truth)
        valid = batch.valid.repeat_interleave(steps * height * width)
        shares = shares_of(len(said)) if self.across_ranks else Shares(0, (len(said),))
        usable = gathered(valid.to(torch.uint8), shares).bool()
        scores = said @ gathered(candidates, shares).T
        own = shares.first + torch.arange(len(scores), device=scores.device)
        scores = scores.masked_fill(~usable, -torch.inf) if not usable.all() and usable.any() else scores
        losses = functional.cross_entropy(scores, own, reduction="none")
        found = {
            name: _contest(scores.detach(), own, members)
            for name, members in _rivals(own, shares.total, steps, height * width)
        }
        return Rankings(
            loss=torch.where(valid, losses, 0).sum() / valid.sum().clamp(min=1),
            rows=rows.repeat_interleave(steps * height * width),
            valid=valid,
            hits=found["all"][0],
            chances=found["all"][1],
            against={name: contest for name, contest in found.items() if name != "all"},
        )

    def embed(self, tower: nn.Module, video: Tensor) -> Tensor:
        """Features of each block and place, of both signs: float `[B, N, 3, T, H, W]` → float `[B, N, width, h, w]`."""
        assert isinstance(tower, Tower)
        maps = tower.map(video.flatten(0, 1), self.stage).mean(dim=2)
        return self.project(maps).unflatten(0, video.shape[:2])

    def guess(self, seen: Tensor, steps: int) -> Tensor:
        """Features of the next `steps` blocks, each from what was seen and guessed before: float `[B, N, C, h, w]`."""
        state = torch.zeros_like(seen[:, 0])
        for block in functional.relu(seen).unbind(1):
            state = self.aggregate(block, state)
        guesses = [self.predict(state)]
        for _ in range(steps - 1):
            state = self.aggregate(functional.relu(guesses[-1]), state)
            guesses.append(self.predict(state))
        return torch.stack(guesses, dim=1)


class ConvGru(nn.Module):
    """A gated recurrent unit (Cho et al., 2014) at each place by itself: its convolutions see one place."""

    def __init__(self, width: int, *, dropout: float) -> None:
        super().__init__()
        self.gates = nn.Conv2d(2 * width, 2 * width, kernel_size=1)
        self.candidate = nn.Conv2d(2 * width, width, kernel_size=1)
        self.dropout = nn.Dropout(dropout)
        for layer in (self.gates, self.candidate):
            nn.init.orthogonal_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        """Input and state, each float `[B, C, h, w]` → the new state."""
        update, reset = self.gates(torch.cat([x, state], dim=1)).sigmoid().chunk(2, dim=1)
        candidate = self.candidate(torch.cat([x, state * reset], dim=1)).tanh()
        return self.dropout(state * (1 - update) + candidate * update)


def _flat(features: Tensor) -> Tensor:
    """`[B, S, C, h, w]` → f32 `[B * S * h * w, C]`: clip by clip, step by step, place by place."""
    return features.flatten(3).transpose(2, 3).flatten(0, 2).float()


def _rivals(own: Tensor, total: int, steps: int, places: int) -> list[tuple[str, Tensor]]:
    """Kind → which candidates (columns) stand against which prediction (row) beside its own, bool `[M, total]`."""
    number = torch.arange(total, device=own.device)
    clip, place = number // (steps * places), number % places
    same_clip, same_place = clip[own][:, None] == clip, place[own][:, None] == place
    itself = own[:, None] == number
    return [
        ("all", ~itself),
        ("other places", same_clip & ~same_place),
        ("other steps", same_clip & same_place & ~itself),
        ("other clips", ~same_clip),
    ]


def _contest(scores: Tensor, own: Tensor, rivals: Tensor) -> tuple[Tensor, Tensor]:
    """1 where the own candidate beats all rivals, and the chance of it by guessing: f32 `[M]` twice."""
    best = scores.masked_fill(~rivals, -torch.inf).amax(dim=1)
    found = scores.gather(1, own[:, None])[:, 0]
    return (found > best).float(), 1 / (1 + rivals.sum(dim=1))
