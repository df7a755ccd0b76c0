"""The head alone: it learns what frozen towers tell, nothing where they tell nothing, and leaves the model as it was."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unreel.models.evaluation.readout import Frozen, evaluate_readouts
from unreel.models.objectives import Decisions
from unreel.pipelines.pretext.task import PretextBatch


class Decides(nn.Module):
    """An objective with a linear head on one tower."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, 2)

    def forward(self, towers: Mapping[str, nn.Module], batch: PretextBatch) -> Decisions:
        logits = self.head(towers["frame"](batch.inputs["frame"]))
        rows = torch.arange(len(batch))
        return Decisions(
            loss=logits.sum(), logits=logits, targets=batch.targets, rows=rows, valid=batch.valid
        )


class Blind(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def batch(step: int, rows: int = 64) -> PretextBatch:
    generator = torch.Generator().manual_seed(step)
    targets = (torch.rand(rows, generator=generator) < 0.25).long()
    frames = torch.randn(rows, 6, generator=generator)
    frames[:, 2] += 3 * targets
    return PretextBatch(
        inputs={"frame": 10 * frames + 40},
        targets=targets,
        valid=torch.ones(rows, dtype=torch.bool),
        positions=np.arange(rows),
        keys=tuple(f"{step}-{row}" for row in range(rows)),
        sources=tuple(f"{step}-{row // 2}" for row in range(rows)),
    )


def models() -> dict[str, Frozen]:
    torch.manual_seed(0)
    return {
        "seeing": Frozen(Decides(6), {"frame": nn.Identity()}),
        "blind": Frozen(Decides(6), {"frame": Blind()}),
    }


def test_head_learns_what_the_towers_tell() -> None:
    scores = evaluate_readouts(models(), train=map(batch, range(8)), test=map(batch, range(8, 12)))
    assert scores["seeing"].estimate.value > 0.85
    assert scores["blind"].estimate.value == pytest.approx(0.5)
    assert scores["seeing"].estimate.sources == 4 * 32
    assert scores["seeing"].clips == sum(scores["seeing"].decisions) == 4 * 64


def test_model_is_left_as_it_was() -> None:
    frozen = models()
    before = {
        name: frozen["seeing"].objective.state_dict()[name].clone() for name in ("head.weight", "head.bias")
    }
    first = evaluate_readouts(frozen, train=map(batch, range(4)), test=[batch(9)])
    after = frozen["seeing"].objective.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert evaluate_readouts(frozen, train=map(batch, range(4)), test=[batch(9)]) == first


def test_training_is_read_until_there_are_enough_decisions() -> None:
    read: list[int] = []

    def batches() -> object:
        for step in range(100):
            read.append(step)
            yield batch(step)

    evaluate_readouts(models(), train=batches(), test=[batch(200)], decisions=150)
    assert read == [0, 1, 2]


def test_failed_rows_change_nothing_and_are_counted() -> None:
    whole = batch(9)
    valid = torch.arange(64) % 4 != 0
    broken = replace(whole, valid=valid)
    garbage = {"frame": torch.where(valid[:, None], whole.inputs["frame"], 1e6)}
    scores = [
        evaluate_readouts(models(), train=map(batch, range(4)), test=[test])["seeing"]
        for test in (broken, replace(broken, inputs=garbage))
    ]
    assert scores[0] == scores[1]
    assert (scores[0].failures, scores[0].clips) == (16, 48)


def test_nothing_valid_is_an_error() -> None:
    dead = replace(batch(0), valid=torch.zeros(64, dtype=torch.bool))
    with pytest.raises(ValueError, match="all 64 rows failed"):
        evaluate_readouts(models(), train=[dead], test=[batch(1)])
