"""The objective of sequence sorting: its loss written anew, its mask, and one batch learned by heart."""

from dataclasses import replace

import numpy as np
import torch

from unreel.models.objectives import SequenceSorting
from unreel.models.towers import Tower, build_tower
from unreel.pipelines.pretext import PretextBatch
from unreel.pipelines.pretext.permutations import orders


def sorting_batch(*, rows: int = 12, size: int = 32) -> PretextBatch:
    """Bars that move to the right, shown in the order of the row's label."""
    frames = 0.3 * torch.randn(rows, 4, 3, size, size)
    labels = torch.arange(rows) % 12
    for row, place in np.ndindex(rows, 4):
        left = int(orders(4, reversible=True)[labels[row], place]) * 6 + row % 3
        frames[row, place, :, :, left : left + 5] += 2
    return PretextBatch(
        inputs={"frame": frames},
        targets=labels,
        valid=torch.ones(rows, dtype=torch.bool),
        positions=np.arange(rows),
        keys=tuple(f"clip-{row}" for row in range(rows)),
        sources=tuple(f"{row:016x}" for row in range(rows)),
    )


def tower() -> dict[str, Tower]:
    return {"frame": build_tower("frame", "tiny", channels=(8, 16), embed_dim=32)}


def test_learns_a_batch_by_heart() -> None:
    towers, batch = tower(), sorting_batch()
    objective = SequenceSorting(towers, hidden=32, pair_dropout=0.0)
    optimiser = torch.optim.AdamW([*towers["frame"].parameters(), *objective.parameters()], lr=1e-2)
    for _ in range(80):
        outcome = objective(towers, batch)
        if outcome.loss < 0.05:
            break
        optimiser.zero_grad()
        outcome.loss.backward()
        optimiser.step()
    assert outcome.loss < 0.05


def test_the_loss_is_the_cross_entropy_of_the_orders() -> None:
    towers, batch = {"frame": tower()["frame"].eval()}, sorting_batch()
    objective = SequenceSorting(towers, hidden=16).eval()
    each = torch.stack([towers["frame"](batch.inputs["frame"][:, place]) for place in range(4)], dim=1)
    logits = objective.head(each)
    right = logits.softmax(1)[torch.arange(12), batch.targets]
    outcome = objective(towers, batch)
    assert logits.shape == (12, 12)
    assert torch.allclose(outcome.loss, -right.log().mean(), atol=1e-4)


def test_rows_without_an_answer_and_failed_rows_count_for_nothing() -> None:
    towers, batch = {"frame": tower()["frame"].eval()}, sorting_batch()
    objective = SequenceSorting(towers, hidden=16).eval()
    whole = objective(towers, batch)
    valid, targets = batch.valid.clone(), batch.targets.clone()
    valid[2], targets[5] = False, -1
    part = objective(towers, replace(batch, valid=valid, targets=targets))
    kept = [row for row in range(12) if row not in (2, 5)]
    expected = -whole.logits.log_softmax(1)[kept, batch.targets[kept]].mean()
    assert torch.allclose(part.loss, expected, atol=1e-5)
    assert part.rows[part.valid].tolist() == kept


def test_the_published_head_is_the_default() -> None:
    head = SequenceSorting(tower()).head
    assert [type(layer).__name__ for layer in head.pair] == ["Linear", "BatchNorm1d", "ReLU", "Dropout"]
    assert (head.pair[0].in_features, head.pair[0].out_features, head.pair[3].p) == (64, 512, 0.5)
    assert (head.order[1].in_features, head.order[1].out_features) == (6 * 512, 12)
