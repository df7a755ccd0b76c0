"""The contrastive loss against its formula, written anew, and that it learns a batch by heart."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from unreel.models.objectives import Synchronisation
from unreel.models.objectives.contrastive import Projections, contrastive_cost, distance_logits
from unreel.models.towers import Tower, build_tower
from unreel.pipelines.pretext import PretextBatch

MakeBatch = Callable[..., PretextBatch]


def towers() -> dict[str, Tower]:
    return {
        "video": build_tower("video", "tiny", channels=(8, 16), embed_dim=32),
        "audio": build_tower("audio", "tiny", channels=(8, 16), embed_dim=32, grid=4),
    }


@pytest.fixture
def batch(sound_batch: MakeBatch) -> PretextBatch:
    """The frame of each row, four times, is its clip."""
    made = sound_batch(0)
    video = made.inputs["frame"][:, :, None].repeat(1, 1, 4, 1, 1)
    kind = torch.arange(len(made)) // 2 % 3
    return replace(made, inputs={"video": video, "audio": made.inputs["audio"], "kind": kind})


def by_hand(seen: torch.Tensor, heard: torch.Tensor, y: torch.Tensor, eta: float) -> float:
    """E = 1/N Σ y ‖f_v - f_a‖² + (1 - y) max(η - ‖f_v - f_a‖, 0)²."""
    total = 0.0
    for v, a, label in zip(seen.tolist(), heard.tolist(), y.tolist(), strict=True):
        distance = sum((p - q) ** 2 for p, q in zip(v, a, strict=True)) ** 0.5
        total += label * distance**2 + (1 - label) * max(eta - distance, 0) ** 2
    return total / len(y)


@torch.no_grad()
def test_loss_is_the_printed_formula(batch: PretextBatch) -> None:
    nets = {kind: tower.eval() for kind, tower in towers().items()}
    for margin, normalise in ((0.99, True), (3.0, False)):
        objective = Synchronisation(nets, margin=margin, normalise=normalise).eval()
        outcome = objective(nets, batch)
        seen, heard = objective.head.project(
            nets["video"](batch.inputs["video"]), nets["audio"](batch.inputs["audio"])
        )
        expected = by_hand(seen, heard, batch.targets, margin)
        assert outcome.loss.item() == pytest.approx(expected, rel=1e-4)


def test_cost_at_the_edges() -> None:
    distance = torch.tensor([0.0, 0.5, 0.99, 2.0])
    assert torch.allclose(contrastive_cost(distance, torch.tensor(True), 0.99), distance**2)
    pushed = contrastive_cost(distance, torch.tensor(False), 0.99)
    assert torch.allclose(pushed, torch.tensor([0.99**2, 0.49**2, 0, 0]))


def test_the_decision_changes_at_half_the_margin() -> None:
    logits = distance_logits(torch.tensor([0.0, 0.49, 0.51, 5.0]), 1.0)
    assert logits.argmax(1).tolist() == [1, 1, 0, 0]
    assert (logits[:, 1] - logits[:, 0]).diff().max() < 0, "nearer is always more in step"


def test_embeddings_have_length_one_where_asked() -> None:
    pair = Projections(8, 6, hidden=4, normalise=True)(torch.randn(5, 8), torch.randn(5, 6))
    assert all(torch.allclose(side.norm(dim=1), torch.ones(5)) for side in pair)


def test_learns_a_batch_by_heart(batch: PretextBatch) -> None:
    nets = towers()
    objective = Synchronisation(nets, hidden=32)
    parameters = [p for module in (*nets.values(), objective) for p in module.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=1e-2)
    for _ in range(200):
        outcome = objective(nets, batch)
        if outcome.loss < 0.01:
            break
        optimiser.zero_grad()
        outcome.loss.backward()
        optimiser.step()
    assert outcome.loss < 0.01
    assert torch.equal(outcome.logits.argmax(1), outcome.targets)


def test_failed_rows_count_for_nothing_and_subsets_follow_the_rows(batch: PretextBatch) -> None:
    nets = towers()
    objective = Synchronisation(nets)
    kept = [row for row in range(len(batch)) if row not in (1, 4)]
    broken = {name: value.clone() for name, value in batch.inputs.items()}
    for name in ("video", "audio"):
        broken[name][[1, 4]] = float("nan")
    valid = torch.ones(len(batch), dtype=torch.bool)
    valid[[1, 4]] = False
    outcome = objective(nets, replace(batch, inputs=broken, valid=valid))
    assert outcome.loss.isfinite() and outcome.rows.tolist() == kept
    assert torch.equal(outcome.subsets["hard"], batch.inputs["kind"][kept] == 1)
    none = objective(nets, replace(batch, valid=torch.zeros_like(valid)))
    assert none.loss == 0


def test_a_margin_that_pushes_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="margin 0: has to be more than 0"):
        Synchronisation(towers(), margin=0)
