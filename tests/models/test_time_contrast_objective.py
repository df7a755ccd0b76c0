"""Time-contrastive networks: both losses against loops, and that each learns a batch by heart."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from unreel.models.objectives import TimeContrast
from unreel.models.objectives.time_contrast import n_pairs, semi_hard_triplets
from unreel.models.towers import Tower, build_tower
from unreel.pipelines.pretext import PretextBatch


def towers_of() -> dict[str, Tower]:
    return {"frame": build_tower("frame", "tiny", channels=(8, 16), embed_dim=32)}


def make(columns: Callable, rows: int = 6) -> PretextBatch:
    """Four pairs a row; a bright bar stands where its pair is in time."""
    generator = torch.Generator().manual_seed(0)
    frames = 0.3 * torch.randn(rows, 8, 3, 32, 32, generator=generator)
    for pair in range(4):
        frames[:, 2 * pair : 2 * pair + 2, :, :, 8 * pair : 8 * pair + 6] += 2
    apart = torch.arange(8)[None] // 2 != torch.arange(4)[:, None]
    targets = (2 * torch.arange(4) + 1).expand(rows, 4).clone()
    inputs = {"frame": frames, "apart": apart.expand(rows, 4, 8).clone()}
    return PretextBatch(inputs=inputs, targets=targets, **columns(0, rows))


@pytest.mark.parametrize("loss", ["triplet", "npairs"])
def test_learns_a_batch_by_heart(loss: str, columns: Callable) -> None:
    torch.manual_seed(0)
    towers, batch = towers_of(), make(columns)
    objective = TimeContrast(towers, loss=loss, embed_dim=8)
    optimiser = torch.optim.AdamW([*towers["frame"].parameters(), *objective.parameters()], lr=1e-2)
    for _ in range(100):
        outcome = objective(towers, batch)
        if outcome.loss < 0.05:
            break
        optimiser.zero_grad()
        outcome.loss.backward()
        optimiser.step()
    assert outcome.loss < 0.05
    assert outcome.hits.min() == 1 and torch.allclose(outcome.chances, torch.tensor(1 / 7))


def example() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    near = -4 * torch.rand(5, 3, 6, generator=generator)
    positive = torch.tensor([1, 3, 5]).expand(5, 3)
    apart = torch.rand(5, 3, 6, generator=generator) < 0.6
    apart.scatter_(2, positive[:, :, None], False)
    apart[0, 0] = False
    return near, positive, apart


def test_semi_hard_triplets_by_hand() -> None:
    near, positive, apart = example()
    losses = semi_hard_triplets(near, positive, apart, margin=0.2)
    for row in range(5):
        for anchor in range(3):
            distance = -near[row, anchor]
            own = float(distance[positive[row, anchor]])
            others = [float(value) for value in distance[apart[row, anchor]]]
            farther = [value for value in others if value > own]
            negative = min(farther) if farther else max(others, default=float("inf"))
            expected = max(0.0, 0.2 + own - negative) if others else 0.0
            assert abs(float(losses[row, anchor]) - expected) < 1e-6


def test_n_pairs_by_hand() -> None:
    near, positive, apart = example()
    losses = n_pairs(near, positive, apart)
    for row in range(5):
        for anchor in range(3):
            own = near[row, anchor, positive[row, anchor]]
            others = near[row, anchor][apart[row, anchor]]
            expected = (1 + (others - own).exp().sum()).log()
            assert torch.allclose(losses[row, anchor], expected, atol=1e-5)


def test_a_hit_is_a_positive_nearer_than_all_negatives(columns: Callable) -> None:
    towers, batch = towers_of(), make(columns)
    towers["frame"].eval()
    objective = TimeContrast(towers, embed_dim=8).eval()
    outcome = objective(towers, batch)
    said = objective.projection(towers["frame"](batch.inputs["frame"].flatten(0, 1))).view(6, 8, 8)
    unit = said / said.norm(dim=2, keepdim=True)
    for row in range(6):
        for pair in range(4):
            distance = (unit[row] - unit[row, 2 * pair]).norm(dim=1)
            hit = distance[2 * pair + 1] < distance[batch.inputs["apart"][row, pair]].min()
            assert bool(outcome.hits[4 * row + pair]) == bool(hit)


@pytest.mark.parametrize("loss", ["triplet", "npairs"])
def test_failed_rows_and_anchors_without_negatives_count_for_nothing(loss: str, columns: Callable) -> None:
    torch.manual_seed(0)
    towers, batch = towers_of(), make(columns)
    objective = TimeContrast(towers, loss=loss, embed_dim=8)
    frames, apart = batch.inputs["frame"].clone(), batch.inputs["apart"].clone()
    frames[[1, 4]] = float("nan")
    apart[0, 2] = False
    valid = ~torch.isin(torch.arange(6), torch.tensor([1, 4]))
    outcome = objective(towers, replace(batch, inputs={"frame": frames, "apart": apart}, valid=valid))
    outcome.loss.backward()
    assert outcome.loss.isfinite() and all(p.grad.isfinite().all() for p in objective.parameters())
    assert set(outcome.rows.tolist()) == {0, 2, 3, 5}
    assert outcome.valid.tolist() == [True, True, False, True] + [True] * 12


def test_wrong_choices_are_told() -> None:
    with pytest.raises(ValueError, match="loss 'quadruplet': choose one of triplet, npairs, infonce"):
        TimeContrast(towers_of(), loss="quadruplet")  # type: ignore[arg-type]
