"""Colourisation's objective against loops, its masks, and that it learns a batch by heart."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from unreel.models.objectives import Colourisation
from unreel.models.objectives.colourisation import attend
from unreel.models.towers import Tower, build_tower
from unreel.pipelines.pretext import PretextBatch


@pytest.fixture
def towers() -> dict[str, Tower]:
    torch.manual_seed(0)
    return {"frame": build_tower("frame", "tiny", channels=(8, 16), embed_dim=0)}


def batch_of(rows: int = 4, cells: int = 8) -> PretextBatch:
    """Noise of two brightnesses, coloured by brightness: a pattern that moves by a cell from frame to frame."""
    generator = torch.Generator().manual_seed(1)
    pattern = torch.rand(rows, cells, cells, generator=generator) < 0.4
    masks = torch.stack([pattern.roll(time, dims=2) for time in range(4)], dim=1)
    frames = masks.float().repeat_interleave(4, 2).repeat_interleave(4, 3)[:, :, None].repeat(1, 1, 3, 1, 1)
    frames = frames + 0.05 * torch.randn(frames.shape, generator=generator)
    labels = masks.long()
    colours = torch.stack([40.0 * labels, -20.0 * labels], dim=-1)
    return PretextBatch(
        inputs={"frame": frames, "colours": colours, "labels": labels[:, :-1]},
        targets=labels[:, -1].clone(),
        valid=torch.ones(rows, dtype=torch.bool),
        positions=np.arange(rows),
        keys=tuple(f"clip-{row}" for row in range(rows)),
        sources=tuple(f"source-{row}" for row in range(rows)),
    )


def test_loss_and_scores_by_loops(towers: dict[str, Tower]) -> None:
    batch, objective = batch_of(rows=2, cells=4), Colourisation(towers, width=5, temperature=0.7)
    for tower in towers.values():
        tower.eval()
    outcome = objective(towers, batch)
    vectors = objective.embed(towers["frame"], batch.inputs["frame"]).detach()
    losses, errors, baselines = [], [], []
    for row in range(2):
        for y in range(4):
            for x in range(4):
                asked = vectors[row, :, 3, y, x]
                scores = [
                    float(asked @ vectors[row, :, t, i, j]) / 0.7
                    for t in range(3)
                    for i in range(4)
                    for j in range(4)
                ]
                weights = np.exp(np.array(scores) - max(scores))
                weights /= weights.sum()
                names = batch.inputs["labels"][row].flatten().numpy()
                losses.append(-np.log(weights[names == int(batch.targets[row, y, x])].sum()))
                copied = weights @ batch.inputs["colours"][row, :3].reshape(-1, 2).numpy()
                truth = batch.inputs["colours"][row, 3, y, x].numpy()
                errors.append(((copied - truth) ** 2).sum())
                baselines.append(((batch.inputs["colours"][row, 2, y, x].numpy() - truth) ** 2).sum())
    assert outcome.loss.item() == pytest.approx(np.mean(losses), rel=1e-4)
    np.testing.assert_allclose(outcome.errors.detach().numpy(), errors, rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(outcome.baselines.numpy(), baselines)
    changed = outcome.subsets["cells whose colour changed"]
    assert torch.equal(changed, outcome.baselines > 0), "all or nothing here"


def test_learns_a_batch_by_heart(towers: dict[str, Tower]) -> None:
    batch, objective = batch_of(), Colourisation(towers, width=16)
    parameters = [*towers["frame"].parameters(), *objective.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=1e-2)
    for _ in range(60):
        outcome = objective(towers, batch)
        optimiser.zero_grad()
        outcome.loss.backward()
        optimiser.step()
    gained, asked = outcome.tally()
    assert outcome.loss < 0.05 and gained / asked > 0.95


def test_failed_rows_and_clips_without_colour_count_for_nothing(towers: dict[str, Tower]) -> None:
    whole, objective = batch_of(), Colourisation(towers)
    objective(towers, whole)
    for tower in towers.values():
        tower.eval()
    broken = {name: value.clone() for name, value in whole.inputs.items()}
    broken["frame"][1] = float("nan")
    targets = whole.targets.clone()
    targets[2] = -1
    valid = torch.tensor([True, False, True, True])
    masked = objective(towers, replace(whole, inputs=broken, valid=valid, targets=targets))
    alone = [objective(towers, part(whole, row)).loss for row in (0, 3)]
    assert masked.loss.item() == pytest.approx(sum(loss.item() for loss in alone) / 2, rel=1e-4)
    assert set(masked.rows[masked.valid].tolist()) == {0, 3}


def part(batch: PretextBatch, row: int) -> PretextBatch:
    return replace(
        batch,
        inputs={name: value[row : row + 1] for name, value in batch.inputs.items()},
        targets=batch.targets[row : row + 1],
        valid=batch.valid[row : row + 1],
        positions=batch.positions[row : row + 1],
        keys=batch.keys[row : row + 1],
        sources=batch.sources[row : row + 1],
    )


def test_cells_that_do_not_agree_are_told_with_what_to_set(towers: dict[str, Tower]) -> None:
    with pytest.raises(
        ValueError, match=r"conv1 has \(16, 16\) cells, the task colours \(8, 8\): set task.cells"
    ):
        Colourisation(towers, stage="conv1")(towers, batch_of())


def test_shares_add_up_to_one() -> None:
    shares = attend(torch.randn(2, 5, 1, 3, 3), torch.randn(2, 5, 2, 3, 3), temperature=0.1)
    assert shares.shape == (2, 9, 18) and torch.allclose(shares.sum(2), torch.ones(2, 9))
