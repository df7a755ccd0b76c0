"""Objectives against formulas written anew, their masks, and that every head learns one batch by heart."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from unreel.models.objectives import OBJECTIVES, Correspondence, Objective, ShuffleAndLearn
from unreel.models.objectives.correspondence import DistanceHead, MapHead
from unreel.models.objectives.objective import decide
from unreel.models.towers import Tower, build_tower
from unreel.pipelines.pretext import TASKS, PretextBatch

MakeBatch = Callable[..., PretextBatch]
HEADS = [
    ("shuffle_and_learn", "linear"),
    ("shuffle_and_learn", "hidden"),
    ("correspondence", "fusion"),
    ("correspondence", "distance"),
    ("correspondence", "localise"),
]


@pytest.fixture
def make(order_batch: MakeBatch, sound_batch: MakeBatch) -> dict[str, MakeBatch]:
    return {"shuffle_and_learn": order_batch, "correspondence": sound_batch}


def towers_of(objective: type[Objective]) -> dict[str, Tower]:
    return {kind: build_tower(kind, "tiny", channels=(8, 16), embed_dim=32) for kind in objective.towers}


def test_every_task_has_its_objective() -> None:
    assert set(OBJECTIVES) == set(TASKS)


@pytest.mark.parametrize(("name", "head"), HEADS)
def test_learns_a_batch_by_heart(name: str, head: str, make: dict[str, MakeBatch]) -> None:
    objective_class, batch = OBJECTIVES[name], make[name](0)
    towers = towers_of(objective_class)
    objective = objective_class(towers, head=head)
    parameters = [p for module in (*towers.values(), objective) for p in module.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=1e-2)
    for _ in range(200):
        outcome = objective(towers, batch)
        if outcome.loss < 0.05:
            break
        optimiser.zero_grad()
        outcome.loss.backward()
        optimiser.step()
    assert outcome.loss < 0.05
    assert torch.equal(outcome.logits.argmax(1), outcome.targets)


@pytest.mark.parametrize(("name", "head"), HEADS)
def test_failed_rows_count_for_nothing(name: str, head: str, make: dict[str, MakeBatch]) -> None:
    whole = make[name](0)
    towers = towers_of(OBJECTIVES[name])
    objective = OBJECTIVES[name](towers, head=head)
    kept = torch.tensor([row for row in range(len(whole)) if row not in (1, 4)])
    broken = {key: value.clone() for key, value in whole.inputs.items()}
    for key in set(broken) - {"tuples"}:
        broken[key][[1, 4]] = float("nan")
    masked = objective(
        towers,
        replace(whole, inputs=broken, valid=~torch.isin(torch.arange(len(whole)), torch.tensor([1, 4]))),
    )
    alone = objective(
        towers,
        PretextBatch(
            inputs={key: value[kept] for key, value in whole.inputs.items()},
            targets=whole.targets[kept],
            valid=whole.valid[kept],
            positions=whole.positions[kept],
            keys=tuple(whole.keys[row] for row in kept),
            sources=tuple(whole.sources[row] for row in kept),
        ),
    )
    assert masked.loss.isfinite()
    assert torch.equal(masked.loss, alone.loss)
    assert set(masked.rows.tolist()) == set(kept.tolist())


def test_a_batch_of_failed_rows_has_no_loss(order_batch: MakeBatch) -> None:
    batch = order_batch(0)
    towers = towers_of(ShuffleAndLearn)
    outcome = ShuffleAndLearn(towers)(towers, replace(batch, valid=torch.zeros_like(batch.valid)))
    outcome.loss.backward()
    assert outcome.loss == 0
    assert not outcome.valid.any()


def test_tuples_without_an_answer_are_left_out(order_batch: MakeBatch) -> None:
    batch = order_batch(0)
    towers = {kind: tower.eval() for kind, tower in towers_of(ShuffleAndLearn).items()}
    objective = ShuffleAndLearn(towers)
    targets = batch.targets.clone()
    targets[:, 2:] = -1
    fewer = replace(
        batch, targets=batch.targets[:, :2], inputs={**batch.inputs, "tuples": batch.inputs["tuples"][:, :2]}
    )
    assert torch.allclose(
        objective(towers, replace(batch, targets=targets)).loss, objective(towers, fewer).loss
    )


def test_one_tuple_embeds_only_its_frames(order_batch: MakeBatch) -> None:
    batch = order_batch(0, tuples=1)
    towers = {kind: tower.eval() for kind, tower in towers_of(ShuffleAndLearn).items()}
    objective = ShuffleAndLearn(towers)
    seen: list[int] = []
    towers["frame"].register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    logits = objective(towers, batch).logits
    frames = batch.inputs["frame"][:, [1, 2, 3]]
    expected = objective.head(torch.cat([towers["frame"](frames[:, time]) for time in range(3)], dim=1))
    assert seen[0] == 3 * len(batch)
    assert torch.allclose(logits, expected, atol=1e-5)


def by_hand(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """sum of w (log sum exp z - z of the target), over sum of w."""
    losses = logits.exp().sum(1).log() - logits[torch.arange(len(targets)), targets]
    return (weights * losses).sum() / weights.sum()


def test_cross_entropy_by_hand() -> None:
    logits, targets = torch.randn(8, 2), torch.tensor([1, 0, 0, 0, 1, 0, 0, -1])
    rows, valid = torch.arange(8), torch.tensor([True] * 6 + [False] + [True])
    used, weights = torch.arange(6), torch.tensor([1 / 2, 1 / 4, 1 / 4, 1 / 4, 1 / 2, 1 / 4])
    plain, balanced = (
        decide(logits, targets, rows=rows, valid=valid, class_weights=weighting).loss
        for weighting in ("none", "balanced")
    )
    assert torch.allclose(plain, by_hand(logits[used], targets[used], torch.ones(6)))
    assert torch.allclose(balanced, by_hand(logits[used], targets[used], weights))


def test_balanced_weights_make_a_constant_answer_a_coin() -> None:
    logits = torch.tensor([[3.0, -3.0]]).repeat(8, 1).requires_grad_()
    targets = torch.tensor([0] * 6 + [1] * 2)
    valid = torch.ones(8, dtype=torch.bool)
    decide(logits, targets, rows=targets, valid=valid, class_weights="balanced").loss.backward()
    assert logits.grad is not None
    # The pull of both classes on "always the first" is that of a 50/50 batch: towards the second.
    assert logits.grad.sum(0)[0] > 0.4


def test_distance_head_starts_with_the_right_sign() -> None:
    head = DistanceHead(16, 16, hidden=8)
    head.audio.load_state_dict(head.frame.state_dict())
    seen = torch.randn(32, 16)
    same, other = head(seen, seen), head(seen, seen.roll(1, 0))
    assert torch.allclose(head.distance(seen, seen), torch.zeros(32), atol=1e-4)
    assert (same.argmax(1) == 1).all()
    assert (same[:, 1] - same[:, 0]).mean() > (other[:, 1] - other[:, 0]).mean()


def test_distance_by_hand() -> None:
    head, seen, heard = DistanceHead(4, 5, hidden=3), torch.randn(7, 4), torch.randn(7, 5)
    a, b = head.frame(seen), head.audio(heard)
    a, b = a / a.square().sum(1, keepdim=True).sqrt(), b / b.square().sum(1, keepdim=True).sqrt()
    assert torch.allclose(head.distance(seen, heard), (a - b).square().sum(1).sqrt(), atol=1e-4)


@torch.no_grad()
def test_map_by_hand() -> None:
    head, seen, heard = MapHead(4, 5, hidden=3), torch.randn(2, 4, 3, 6), torch.randn(2, 5)
    head.calibration.weight.fill_(0.7)
    head.calibration.bias.fill_(-0.2)
    scores = head.scores(seen, heard)
    sound = head.audio(heard)
    for row, line, column in ((0, 0, 0), (1, 2, 5), (1, 1, 3)):
        place = head.frame(seen[row, :, line, column][None, :, None, None]).flatten()
        assert torch.allclose(scores[row, line, column], 0.7 * place @ sound[row] - 0.2, atol=1e-5)
    logits = head(seen, heard)
    assert torch.allclose(logits[:, 1] - logits[:, 0], scores.flatten(1).max(1).values)


def test_maps_are_those_of_the_stage_asked_for(sound_batch: MakeBatch) -> None:
    towers = towers_of(Correspondence)
    first = Correspondence(towers, head="localise", stage="conv1")
    assert first.maps(towers, sound_batch(0)).shape == (16, 16, 16) and first.readout == "whole"
    assert Correspondence(towers, head="localise").maps(towers, sound_batch(0)).shape == (16, 8, 8)
    with pytest.raises(ValueError, match="only the head 'localise' looks at a map, this is 'fusion'"):
        Correspondence(towers, stage="conv1")


def test_wrong_choices_are_listed() -> None:
    towers = towers_of(Correspondence)
    with pytest.raises(ValueError, match="head 'cosine': choose one of fusion, distance, localise"):
        Correspondence(towers, head="cosine")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="head 'deep': choose 'linear' or 'hidden'"):
        ShuffleAndLearn(towers, head="deep")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="class_weights 'some': choose one of none, balanced"):
        decide(
            torch.zeros(1, 2),
            torch.zeros(1, dtype=torch.long),
            rows=torch.zeros(1),
            valid=torch.ones(1, dtype=torch.bool),
            class_weights="some",  # type: ignore[arg-type]
        )
