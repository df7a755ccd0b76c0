"""Future frames' objective against loops, its baseline, and that it learns a batch by heart."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from unreel.models.evaluation.pretext import evaluate
from unreel.models.objectives import FutureFrames
from unreel.models.towers import Tower, build_tower
from unreel.pipelines.ops.normalise import STD
from unreel.pipelines.pretext import PretextBatch


@pytest.fixture
def towers() -> dict[str, Tower]:
    torch.manual_seed(0)
    return {"video": build_tower("video", "tiny", channels=(8, 16), embed_dim=0)}


def batch_of(rows: int = 4, future: int = 2) -> PretextBatch:
    """Bars that move right by two pixels a frame on still noise."""
    generator = torch.Generator().manual_seed(2)
    ground = 0.1 * torch.randn(rows, 3, 1, 16, 16, generator=generator)
    clips = ground.repeat(1, 1, 3 + future, 1, 1)
    for row in range(rows):
        for time in range(3 + future):
            left = row + 2 * time
            clips[row, :, time, :, left : left + 3] += 1.5
    return PretextBatch(
        inputs={"video": clips[:, :, :3]},
        targets=clips[:, :, 3:],
        valid=torch.ones(rows, dtype=torch.bool),
        positions=np.arange(rows),
        keys=tuple(f"clip-{row}" for row in range(rows)),
        sources=tuple(f"source-{row}" for row in range(rows)),
    )


def test_loss_and_scores_by_loops(towers: dict[str, Tower]) -> None:
    batch, objective = batch_of(rows=2), FutureFrames(towers, width=8)
    torch.nn.init.normal_(objective.decoder[-1].weight, std=0.1)
    objective.eval()
    towers["video"].eval()
    outcome = objective(towers, batch)
    painted = objective.paint(towers["video"], batch.inputs["video"]).detach().double().numpy()
    truth, last = batch.targets.double().numpy(), batch.inputs["video"][:, :, -1].double().numpy()
    expected: dict[str, list[float]] = {"errors": [], "baselines": []}
    total = 0.0
    for row in range(2):
        parts = {(part, n): [0.0, 0.0] for part in ("moving", "still") for n in range(2)}
        for n in range(2):
            for y in range(16):
                for x in range(16):
                    change = [(truth[row, c, n, y, x] - last[row, c, y, x]) * STD[c] for c in range(3)]
                    part = "moving" if np.sqrt(np.mean(np.square(change))) >= 16 / 255 else "still"
                    error = np.mean(
                        [(painted[row, c, n, y, x] - truth[row, c, n, y, x]) ** 2 for c in range(3)]
                    )
                    copied = np.mean([(last[row, c, y, x] - truth[row, c, n, y, x]) ** 2 for c in range(3)])
                    parts[part, n][0] += error / 256
                    parts[part, n][1] += copied / 256
                    total += error / 256
        expected["errors"] += [errors[0] for errors in parts.values()]
        expected["baselines"] += [errors[1] for errors in parts.values()]
    assert outcome.loss.item() == pytest.approx(total / 4, rel=1e-4)
    np.testing.assert_allclose(outcome.errors.detach().numpy(), expected["errors"], rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(outcome.baselines.numpy(), expected["baselines"], rtol=1e-4, atol=1e-7)
    assert outcome.subsets["moving pixels"].tolist() == [True, True, False, False] * 2
    assert outcome.rows.tolist() == [0] * 4 + [1] * 4


def test_without_training_it_is_exactly_as_good_as_a_copy(towers: dict[str, Tower]) -> None:
    score = evaluate(FutureFrames(towers), towers, [batch_of()])
    assert score.estimate.value == pytest.approx(0, abs=1e-6)
    assert score.subsets["moving pixels"].samples == 8


def test_frames_in_which_nothing_moves_have_no_moving_pixels_to_score(towers: dict[str, Tower]) -> None:
    batch = batch_of()
    still = replace(batch, targets=batch.inputs["video"][:, :, -1:].repeat(1, 1, 2, 1, 1) + 0.01)
    score = evaluate(FutureFrames(towers), towers, [still])
    assert "moving pixels" not in score.subsets and score.estimate.samples == 16


@pytest.mark.parametrize("form", ["residual", "frame"])
def test_learns_a_batch_by_heart(towers: dict[str, Tower], form: str) -> None:
    batch, objective = batch_of(), FutureFrames(towers, width=32, form=form)  # type: ignore[arg-type]
    optimiser = torch.optim.AdamW([*towers["video"].parameters(), *objective.parameters()], lr=1e-2)
    for _ in range(150):
        outcome = objective(towers, batch)
        optimiser.zero_grad()
        outcome.loss.backward()
        optimiser.step()
    gained, possible = outcome.tally()
    assert gained / possible > 0.9


def test_a_blurred_mean_shows_on_moving_pixels(towers: dict[str, Tower]) -> None:
    """A mean over all places of the bar beats the copy, which errs twice, and stays well below the truth."""
    batch, objective = batch_of(), FutureFrames(towers)
    mean = batch.targets.mean(dim=(0, 2, 4), keepdim=True).expand_as(batch.targets)
    objective.paint = lambda tower, video: mean  # type: ignore[method-assign]
    score = evaluate(objective, towers, [batch])
    assert score.subsets["moving pixels"].value < 0.7
    objective.paint = lambda tower, video: batch.targets  # type: ignore[method-assign]
    assert evaluate(objective, towers, [batch]).subsets["moving pixels"].value == 1


def test_failed_rows_count_for_nothing(towers: dict[str, Tower]) -> None:
    whole, objective = batch_of(), FutureFrames(towers)
    towers["video"].eval()
    objective.eval()
    broken = whole.inputs["video"].clone()
    broken[1] = float("nan")
    masked = objective(
        towers, replace(whole, inputs={"video": broken}, valid=torch.tensor([True, False, True, True]))
    )
    assert masked.loss.isfinite() and set(masked.rows.tolist()) == {0, 2, 3}
    nothing = objective(towers, replace(whole, valid=torch.zeros(4, dtype=torch.bool)))
    assert nothing.loss == 0 and not nothing.valid.any()


def test_sizes_that_do_not_agree_are_told_with_what_to_set(towers: dict[str, Tower]) -> None:
    with pytest.raises(ValueError, match=r"set objective\.future to the task's"):
        FutureFrames(towers, future=3)(towers, batch_of())
    with pytest.raises(ValueError, match="form 'sketch': choose residual or frame"):
        FutureFrames(towers, form="sketch")  # type: ignore[arg-type]
