"""The objective of odd one out: its heads written anew, what it asks of a batch, and one batch learned by heart."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from unreel.models.objectives import OddOneOut
from unreel.models.objectives.odd_one_out import ConcatenationHead, DifferencesHead, SharedHead
from unreel.models.towers import Tower, build_tower
from unreel.pipelines.pretext import PretextBatch

HEADS = ("concatenation", "differences", "shared")


def odd_batch(*, rows: int = 8, sequences: int = 4, frames: int = 4, size: int = 16) -> PretextBatch:
    """A bar that moves to the right in steps of two pixels, in one sequence to and fro."""
    odd = torch.arange(rows) % sequences
    clips = 0.1 * torch.randn(rows, sequences, 3, frames, size, size)
    for row, slot in np.ndindex(rows, sequences):
        places = (0, 2, 1, 3) if slot == odd[row] else (0, 1, 2, 3)
        for time, place in enumerate(places):
            clips[row, slot, :, time, :, 2 * place + row % 4 : 2 * place + row % 4 + 3] += 2
    return PretextBatch(
        inputs={"video": clips},
        targets=odd,
        valid=torch.ones(rows, dtype=torch.bool),
        positions=np.arange(rows),
        keys=tuple(f"clip-{row}" for row in range(rows)),
        sources=tuple(f"{row:016x}" for row in range(rows)),
    )


def tower() -> dict[str, Tower]:
    return {"video": build_tower("video", "tiny", channels=(8, 16), embed_dim=32, motion="stack")}


@pytest.mark.parametrize("head", HEADS)
def test_learns_a_batch_by_heart(head: str) -> None:
    towers, batch = tower(), odd_batch()
    objective = OddOneOut(towers, sequences=4, head=head)
    optimiser = torch.optim.AdamW([*towers["video"].parameters(), *objective.parameters()], lr=1e-2)
    for _ in range(80):
        outcome = objective(towers, batch)
        if outcome.loss < 0.05:
            break
        optimiser.zero_grad()
        outcome.loss.backward()
        optimiser.step()
    assert outcome.loss < 0.05


@pytest.mark.parametrize("head", HEADS)
def test_the_loss_is_the_cross_entropy_of_the_slots(head: str) -> None:
    towers, batch = {"video": tower()["video"].eval()}, odd_batch()
    objective = OddOneOut(towers, sequences=4, head=head)
    outcome = objective(towers, batch)
    each = torch.stack([towers["video"](batch.inputs["video"][:, slot]) for slot in range(4)], dim=1)
    logits = objective.head(each)
    assert logits.shape == (8, 4) and torch.allclose(outcome.logits, logits, atol=1e-4)
    right = logits.softmax(1)[torch.arange(8), batch.targets]
    assert torch.allclose(outcome.loss, -right.log().mean(), atol=1e-4)


def test_rows_without_an_answer_and_failed_rows_count_for_nothing() -> None:
    towers, batch = {"video": tower()["video"].eval()}, odd_batch()
    objective = OddOneOut(towers, sequences=4)
    whole = objective(towers, batch)
    valid, targets = batch.valid.clone(), batch.targets.clone()
    valid[2], targets[5] = False, -1
    part = objective(towers, replace(batch, valid=valid, targets=targets))
    kept = [0, 1, 3, 4, 6, 7]
    expected = functional.cross_entropy(whole.logits[kept], batch.targets[kept])
    assert torch.allclose(part.loss, expected, atol=1e-5)
    assert part.rows[part.valid].tolist() == kept


def test_differences_are_those_of_all_pairs() -> None:
    head, embeddings = DifferencesHead(6, 5, 8), torch.randn(3, 5, 6)
    pairs = [embeddings[:, i] - embeddings[:, j] for j in range(5) for i in range(j)]
    assert torch.allclose(head(embeddings), head.layers(torch.stack(pairs).sum(0) / 5), atol=1e-5)


def test_the_shared_head_follows_an_exchange_of_slots_and_the_concatenation_does_not() -> None:
    embeddings, swap = torch.randn(3, 4, 6), torch.tensor([1, 0, 2, 3])
    shared, concatenation = SharedHead(6, 4, 8), ConcatenationHead(6, 4, 8)
    assert torch.allclose(shared(embeddings[:, swap]), shared(embeddings)[:, swap], atol=1e-6)
    assert not torch.allclose(concatenation(embeddings[:, swap]), concatenation(embeddings)[:, swap])


def test_another_number_of_sequences_is_named() -> None:
    towers = tower()
    with pytest.raises(ValueError, match="sequences = 6 in the objective, 4 in the task"):
        OddOneOut(towers)(towers, odd_batch())
    with pytest.raises(ValueError, match="head 'sum': choose one of concatenation, differences, shared"):
        OddOneOut(towers, head="sum")  # type: ignore[arg-type]
