"""Scoring a task: by decision, by source, and without the rows that failed."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unreel.models.evaluation.pretext import PretextScore, evaluate
from unreel.models.objectives import Decisions, Errors, Outcome, Rankings
from unreel.pipelines.pretext.task import PretextBatch


class Reads(nn.Module):
    """An objective that answers what the input says; `modes` remembers how it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.modes: list[bool] = []

    def forward(self, towers: Mapping[str, nn.Module], batch: PretextBatch) -> Decisions:
        self.modes.append(self.training or towers["frame"].training)
        answers = batch.inputs["answer"]
        count = answers.shape[1]
        return Decisions(
            loss=torch.zeros(()),
            logits=nn.functional.one_hot(answers.flatten(), 2).float(),
            targets=batch.targets.flatten(),
            rows=torch.arange(len(batch)).repeat_interleave(count),
            valid=batch.valid.repeat_interleave(count),
        )


def batch_of(answers: Tensor, targets: Tensor, valid: Tensor, start: int = 0) -> PretextBatch:
    rows = range(start, start + len(answers))
    return PretextBatch(
        inputs={"answer": answers},
        targets=targets,
        valid=valid,
        positions=np.arange(start, start + len(answers)),
        keys=tuple(f"k{row}" for row in rows),
        sources=tuple(f"s{row // 2}" for row in rows),
    )


def test_counts_decisions_sources_and_failures() -> None:
    targets = torch.tensor([[1, 0], [0, 0], [1, 0], [0, 1]])
    answers = targets.clone()
    answers[0, 0] = 0
    answers[3] = 1 - targets[3]
    valid = torch.tensor([True, True, True, False])
    objective, towers = Reads(), {"frame": nn.Identity()}
    objective.train()
    score = evaluate(objective, towers, [batch_of(answers, targets, valid)])
    assert score.decisions == (4, 2)
    assert score.estimate.value == pytest.approx((4 / 4 + 1 / 2) / 2)
    assert (score.estimate.samples, score.estimate.sources) == (6, 2)
    assert (score.clips, score.failures, score.chance) == (3, 1, 0.5)
    assert score.auc is not None and score.auc.value == pytest.approx(0.75)
    assert objective.modes == [False], "scored in training mode"


def test_kinds_of_samples_are_scored_by_themselves() -> None:
    targets = torch.tensor([[1, 0], [0, 1], [1, 0], [0, 1]])
    answers = targets.clone()
    answers[1] = 1 - targets[1]
    valid = torch.tensor([True, True, True, False])
    batch = batch_of(answers, targets, valid)
    kinds = {"k0": "law fall", "k1": "law swing", "k3": "law spin"}
    score = evaluate(Reads(), {"frame": nn.Identity()}, [batch], kinds=kinds)
    assert {name: part.value for name, part in score.subsets.items()} == {"law fall": 1.0, "law swing": 0.0}
    assert score.subsets["law fall"].samples == 2, "k2 has no kind, and k3 failed"


def test_content_of_a_failed_row_changes_nothing() -> None:
    targets = torch.tensor([[1], [0], [1], [0]])
    valid = torch.tensor([True, True, True, False])
    scores = [
        evaluate(
            Reads(), {"frame": nn.Identity()}, [batch_of(torch.tensor([[1], [1], [0], [x]]), targets, valid)]
        )
        for x in (0, 1)
    ]
    assert scores[0] == scores[1]


def test_batches_are_pooled() -> None:
    rng = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 2, (20, 3), generator=rng)
    answers = torch.where(torch.rand(20, 3, generator=rng) < 0.7, targets, 1 - targets)
    valid = torch.ones(20, dtype=torch.bool)
    towers = {"frame": nn.Identity()}
    whole = evaluate(Reads(), towers, [batch_of(answers, targets, valid)])
    parts = [batch_of(answers[s : s + 10], targets[s : s + 10], valid[s : s + 10], s) for s in (0, 10)]
    assert evaluate(Reads(), towers, parts) == whole


def test_no_valid_decision_is_an_error() -> None:
    batch = batch_of(
        torch.zeros(2, 1, dtype=torch.long), torch.zeros(2, 1, dtype=torch.long), torch.zeros(2) > 0
    )
    with pytest.raises(ValueError, match="all 2 rows failed"):
        evaluate(Reads(), {"frame": nn.Identity()}, [batch])


class Answers(nn.Module):
    """An objective that returns what it was given."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome

    def forward(self, towers: Mapping[str, nn.Module], batch: PretextBatch) -> Outcome:
        return self.outcome


def rows_of(count: int) -> dict[str, Tensor]:
    return {"loss": torch.zeros(()), "rows": torch.arange(count), "valid": torch.arange(count) < count - 1}


def scored(outcome: Outcome, count: int) -> PretextScore:
    blank = torch.zeros(count, 1, dtype=torch.int64)
    batch = batch_of(blank, blank, torch.ones(count, dtype=torch.bool))
    return evaluate(Answers(outcome), {"frame": nn.Identity()}, [batch])


def test_rankings_are_scored_by_hits_and_by_subset() -> None:
    hits = torch.tensor([1.0, 0, 1, 1, 0, 1])
    hard = torch.tensor([True, True, False, False, False, False])
    outcome = Rankings(hits=hits, chances=torch.full((6,), 0.25), subsets={"hard": hard}, **rows_of(6))
    score = scored(outcome, 6)
    assert (score.metric, score.metric_words) == ("hit_rate", "hit rate")
    assert score.estimate.value == pytest.approx(3 / 5) and score.chance == 0.25
    assert score.subsets["hard"].value == 0.5 and score.subsets["hard"].samples == 2
    assert score.decisions == (5,) and score.auc is None
    right, total = outcome.tally()
    assert (right / total).tolist() == pytest.approx([0.6])


def test_errors_are_scored_against_the_trivial_answer() -> None:
    errors, baselines = torch.tensor([1.0, 2, 1, 9]), torch.tensor([2.0, 4, 2, 1])
    outcome = Errors(errors=errors, baselines=baselines, **rows_of(4))
    score = scored(outcome, 4)
    assert score.metric == "skill" and score.estimate.value == pytest.approx(0.5) and score.chance == 0.0
    right, total = outcome.tally()
    assert (right / total).tolist() == pytest.approx([0.5])
