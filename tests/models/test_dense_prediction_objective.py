"""Dense prediction's objective against slow loops: the loss, which candidates stand against which, and their chances."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from unreel.models.evaluation.pretext import evaluate
from unreel.models.objectives import DensePrediction
from unreel.models.objectives.dense_prediction import ConvGru
from unreel.models.towers import Tower, build_tower
from unreel.pipelines.pretext import PretextBatch

CLIPS, BLOCKS, STEPS = 3, 4, 2


@pytest.fixture
def towers() -> dict[str, Tower]:
    torch.manual_seed(0)
    return {"video": build_tower("video", "tiny", channels=(8, 16), embed_dim=0)}


def batch_of(rows: int = CLIPS) -> PretextBatch:
    """Bars that wander, each clip at a pace of its own."""
    generator = torch.Generator().manual_seed(2)
    video = 0.3 * torch.randn(rows, BLOCKS, 3, 4, 8, 8, generator=generator)
    for row in range(rows):
        for block in range(BLOCKS):
            video[row, block, row % 3, :, :, (2 * row + (row + 1) * block) % 8] += 2
    return PretextBatch(
        inputs={"video": video},
        targets=torch.arange(BLOCKS - STEPS, BLOCKS).expand(rows, STEPS),
        valid=torch.ones(rows, dtype=torch.bool),
        positions=np.arange(rows),
        keys=tuple(f"clip-{row}" for row in range(rows)),
        sources=tuple(f"source-{row}" for row in range(rows)),
    )


def by_loops(guesses: torch.Tensor, truth: torch.Tensor) -> tuple[float, dict[str, list[tuple[int, float]]]]:
    """The mean loss, and for each kind of candidates (hit, chance) of each prediction, over `[B, S, C, h, w]`."""
    clips, steps, _, height, width = truth.shape
    places = [
        (b, s, y, x) for b in range(clips) for s in range(steps) for y in range(height) for x in range(width)
    ]
    losses = []
    found: dict[str, list[tuple[int, float]]] = {}
    for b, s, y, x in places:
        score = {(c, t, j, i): float(guesses[b, s, :, y, x] @ truth[c, t, :, j, i]) for c, t, j, i in places}
        own = score[b, s, y, x]
        losses.append(np.log(np.exp(np.array(list(score.values())) - own).sum()))
        kinds = {
            "other places": [k for k in places if k[0] == b and k[2:] != (y, x)],
            "other steps": [k for k in places if k[0] == b and k[2:] == (y, x) and k[1] != s],
            "other clips": [k for k in places if k[0] != b],
        }
        kinds["all"] = [k for k in places if k != (b, s, y, x)]
        assert sum(map(len, kinds.values())) == 2 * len(kinds["all"]), "every candidate is of one kind"
        for name, rivals in kinds.items():
            hit = all(own > score[k] for k in rivals)
            found.setdefault(name, []).append((int(hit), 1 / (1 + len(rivals))))
    return float(np.mean(losses)), found


def test_loss_candidates_and_chances_by_loops(towers: dict[str, Tower]) -> None:
    batch = batch_of()
    objective = DensePrediction(towers, width=12, dropout=0).eval()
    towers["video"].eval()
    outcome = objective(towers, batch)
    features = objective.embed(towers["video"], batch.inputs["video"]).detach()
    guesses = objective.guess(features[:, :-STEPS], STEPS).detach()
    loss, found = by_loops(guesses, features[:, -STEPS:])
    assert outcome.loss.item() == pytest.approx(loss, rel=1e-4)
    kinds = {"all": (outcome.hits, outcome.chances), **outcome.against}
    assert set(kinds) == set(found)
    for name, (hits, chances) in kinds.items():
        assert hits.tolist() == [hit for hit, _ in found[name]], name
        np.testing.assert_allclose(chances.numpy(), [chance for _, chance in found[name]])
    assert outcome.rows.tolist() == np.repeat(np.arange(CLIPS), STEPS * 4).tolist()


def test_guesses_never_see_what_they_are_about(towers: dict[str, Tower]) -> None:
    objective = DensePrediction(towers, width=8, dropout=0)
    seen = torch.randn(2, 3, 8, 2, 2, requires_grad=True)
    guesses = objective.guess(seen, 2)
    assert guesses.shape == (2, 2, 8, 2, 2)
    (gradient,) = torch.autograd.grad(guesses[0, 1, :, 0, 0].sum(), seen)
    assert gradient[0, :, :, 0, 0].abs().sum() > 0, "a state remembers every block at its place"
    assert gradient[1].abs().sum() == 0 and gradient[0, :, :, 1, 1].abs().sum() == 0


def test_recurrent_unit_by_hand() -> None:
    unit = ConvGru(3, dropout=0)
    x, state = torch.randn(1, 3, 1, 1), torch.randn(1, 3, 1, 1)
    both = torch.cat([x, state], dim=1).flatten()
    gates = (unit.gates.weight[:, :, 0, 0] @ both).sigmoid()
    update, reset = gates[:3], gates[3:]
    mixed = torch.cat([x.flatten(), state.flatten() * reset])
    candidate = (unit.candidate.weight[:, :, 0, 0] @ mixed).tanh()
    expected = (1 - update) * state.flatten() + update * candidate
    assert torch.allclose(unit(x, state).flatten(), expected, atol=1e-6)


def test_learns_a_batch_by_heart(towers: dict[str, Tower]) -> None:
    batch, objective = batch_of(), DensePrediction(towers, width=32, dropout=0)
    optimiser = torch.optim.AdamW([*towers["video"].parameters(), *objective.parameters()], lr=5e-3)
    for _ in range(80):
        outcome = objective(towers, batch)
        optimiser.zero_grad()
        outcome.loss.backward()
        optimiser.step()
    assert outcome.loss < 0.1 and outcome.hits.mean() > 0.95


def test_failed_rows_are_neither_asked_nor_candidates(towers: dict[str, Tower]) -> None:
    whole, objective = batch_of(), DensePrediction(towers, width=8, dropout=0)
    towers["video"].eval()
    broken = whole.inputs["video"].clone()
    broken[1] = float("nan")
    masked = objective(
        towers, replace(whole, inputs={"video": broken}, valid=torch.tensor([True, False, True]))
    )
    alone = objective(
        towers,
        replace(
            whole,
            inputs={"video": whole.inputs["video"][[0, 2]]},
            targets=whole.targets[[0, 2]],
            valid=whole.valid[[0, 2]],
            positions=whole.positions[[0, 2]],
            keys=("a", "b"),
            sources=("a", "b"),
        ),
    )
    assert torch.equal(masked.loss, alone.loss)
    assert set(masked.rows.tolist()) == {0, 2}
    nothing = objective(towers, replace(whole, valid=torch.zeros(CLIPS, dtype=torch.bool)))
    nothing.loss.backward()
    assert nothing.loss == 0 and not nothing.valid.any()


def test_evaluation_reports_each_kind_of_candidates_with_its_own_chance(towers: dict[str, Tower]) -> None:
    score = evaluate(DensePrediction(towers, width=8), towers, [batch_of(), batch_of()])
    assert score.chance == pytest.approx(1 / 24)
    assert score.subset_chances["against other steps"] == pytest.approx(1 / 2)
    assert score.subset_chances["against other places"] == pytest.approx(1 / 7)
    assert score.subset_chances["against other clips"] == pytest.approx(1 / 17)
    assert set(score.subsets) == set(score.subset_chances)
    assert score.subsets["against other steps"].samples == score.estimate.samples == 48


def test_batch_norm_without_running_statistics() -> None:
    tower = build_tower("video", "tiny", channels=(8, 16), embed_dim=0, norm="minibatch").eval()
    video = torch.randn(4, 3, 4, 8, 8)
    assert not any("running" in name for name in tower.state_dict())
    assert torch.allclose(tower(video), tower.train()(video))
