"""Rotation and jigsaw: each learns a batch by heart, and counts what the formula counts."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from unreel.models.objectives import Jigsaw, Objective, Rotation
from unreel.models.towers import build_tower
from unreel.pipelines.pretext import PretextBatch


def batch_of(tiles: int, targets: torch.Tensor) -> PretextBatch:
    rows = len(targets)
    generator = torch.Generator().manual_seed(1)
    columns: dict[str, Any] = {
        "valid": torch.ones(rows, dtype=torch.bool),
        "positions": np.arange(rows),
        "keys": tuple(map(str, range(rows))),
        "sources": tuple(map(str, range(rows))),
    }
    frames = torch.randn(rows, tiles, 3, 16, 16, generator=generator)
    return PretextBatch(inputs={"frame": frames}, targets=targets, **columns)


TURNS = batch_of(4, torch.arange(4).repeat(6, 1))
PUZZLES = batch_of(9, torch.arange(6) % 5)


def tower():
    torch.manual_seed(0)
    return {"frame": build_tower("frame", "tiny", channels=(8, 16), embed_dim=32)}


@pytest.mark.parametrize(
    ("objective", "batch", "settings"),
    [(Rotation, TURNS, {}), (Jigsaw, PUZZLES, {"permutations": 5, "hidden": 32})],
)
def test_learns_a_batch_by_heart(
    objective: type[Objective], batch: PretextBatch, settings: dict[str, Any]
) -> None:
    towers = tower()
    learner = objective(towers, **settings)
    optimiser = torch.optim.AdamW([*towers["frame"].parameters(), *learner.parameters()], lr=1e-2)
    for _ in range(200):
        outcome = learner(towers, batch)
        if outcome.loss < 0.05:
            break
        optimiser.zero_grad()
        outcome.loss.backward()
        optimiser.step()
    assert outcome.loss < 0.05
    right, total = outcome.tally()
    assert torch.equal(right, total) and total.sum() == batch.targets.numel()


def test_the_loss_of_rotation_is_the_mean_over_valid_copies() -> None:
    towers = tower()
    learner = Rotation(towers).eval()
    towers["frame"].eval()
    batch = replace(TURNS, valid=torch.tensor([True, False, True, True, True, True]))
    outcome = learner(towers, batch)
    kept = batch.inputs["frame"][batch.valid]
    logits = torch.stack([learner.head(towers["frame"](kept[:, turn])) for turn in range(4)], 1)
    expected = -functional.log_softmax(logits, 2).diagonal(dim1=1, dim2=2).mean()
    assert torch.allclose(outcome.loss, expected, atol=1e-6)
    assert outcome.rows.tolist() == [row for row in (0, 2, 3, 4, 5) for _ in range(4)]


def test_a_head_for_another_puzzle_says_so() -> None:
    with pytest.raises(ValueError, match=r"objective\.permutations = 3: the task asks for more"):
        Jigsaw(tower(), permutations=3, hidden=8)(tower(), PUZZLES)
    with pytest.raises(ValueError, match=r"objective\.tiles = 4: the task lays 9"):
        Jigsaw(tower(), tiles=4, permutations=5, hidden=8)(tower(), PUZZLES)
