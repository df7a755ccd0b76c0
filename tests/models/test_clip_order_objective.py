"""Clip order prediction: the head against VCOP's formula, and that it learns a batch by heart."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from unreel.models.objectives import ClipOrder
from unreel.models.towers import Tower, build_tower
from unreel.pipelines.pretext import PretextBatch
from unreel.pipelines.pretext.permutations import orders

SETTINGS = {"hidden": 16, "dropout": 0.0}


def towers_of() -> dict[str, Tower]:
    return {"video": build_tower("video", "tiny", channels=(8, 16), embed_dim=32)}


def make(columns: Callable, rows: int = 12) -> PretextBatch:
    """Clips in which a bright bar moves to the right from one to the next, shown in all orders."""
    generator = torch.Generator().manual_seed(0)
    video = 0.3 * torch.randn(rows, 3, 3, 2, 32, 32, generator=generator)
    targets = torch.arange(rows) % 6
    for row, order in enumerate(orders(3)[targets].tolist()):
        for place, time in enumerate(order):
            video[row, place, :, :, :, 10 * time : 10 * time + 8] += 2
    return PretextBatch(inputs={"video": video}, targets=targets, **columns(0, rows))


def test_learns_a_batch_by_heart(columns: Callable) -> None:
    torch.manual_seed(0)
    towers, batch = towers_of(), make(columns)
    objective = ClipOrder(towers, **SETTINGS)
    optimiser = torch.optim.AdamW([*towers["video"].parameters(), *objective.parameters()], lr=1e-2)
    for _ in range(100):
        outcome = objective(towers, batch)
        if outcome.loss < 0.05:
            break
        optimiser.zero_grad()
        outcome.loss.backward()
        optimiser.step()
    assert outcome.loss < 0.05
    assert torch.equal(outcome.logits.argmax(1), batch.targets)


def test_the_head_by_hand(columns: Callable) -> None:
    torch.manual_seed(0)
    towers, batch = towers_of(), make(columns)
    towers["video"].eval()
    objective = ClipOrder(towers, **SETTINGS).eval()
    a, b, c = (towers["video"](batch.inputs["video"][:, place]) for place in range(3))
    pair, last = objective.head.pair[0], objective.head.order[1]
    joined = [(torch.cat(both, 1) @ pair.weight.T + pair.bias).relu() for both in ((a, b), (a, c), (b, c))]
    logits = torch.cat(joined, 1) @ last.weight.T + last.bias
    outcome = objective(towers, batch)
    assert torch.allclose(outcome.logits, logits, atol=1e-5)
    assert torch.allclose(outcome.loss, functional.cross_entropy(logits, batch.targets), atol=1e-6)


def test_failed_rows_count_for_nothing(columns: Callable) -> None:
    towers, batch = towers_of(), make(columns)
    broken = batch.inputs["video"].clone()
    broken[[1, 4]] = float("nan")
    valid = ~torch.isin(torch.arange(12), torch.tensor([1, 4]))
    outcome = ClipOrder(towers, **SETTINGS)(towers, replace(batch, inputs={"video": broken}, valid=valid))
    assert outcome.loss.isfinite() and not {1, 4} & set(outcome.rows.tolist())


def test_a_task_of_other_clips_is_refused(columns: Callable) -> None:
    towers = towers_of()
    with pytest.raises(ValueError, match="clips = 4: the task gives 3; set both alike"):
        ClipOrder(towers, clips=4, **SETTINGS)(towers, make(columns))
