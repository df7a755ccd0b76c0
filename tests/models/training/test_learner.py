"""One step: passes that add up, steps that are refused, the average that follows, and settings that need CUDA."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
import torch

from unreel.models.training import RunConfig, build_model
from unreel.models.training.config import DivergenceConfig, OptimiserConfig, TrainConfig
from unreel.models.training.divergence import History, objection
from unreel.models.training.environment import resolve
from unreel.models.training.learner import Learner
from unreel.pipelines.errors import Diverged
from unreel.pipelines.pretext.task import PretextBatch

ORDER = "shuffle_and_learn"


def config(norm: str = "group", **train: Any) -> RunConfig:
    return RunConfig(
        task={"name": "shuffle_and_learn", "tuples": 2},
        towers={"frame": {"name": "tiny", "channels": [8], "embed_dim": 8, "grid": 2, "norm": norm}},
        objective={"class_weights": "none"},
        optimiser=OptimiserConfig(name="sgd", learning_rate=0.1, clip_norm=1.0),
        train=resolve(TrainConfig(**({"steps": 4, "batch_size": 8} | train), device="cpu")),
    )


def learner(settings: RunConfig) -> Learner:
    return Learner(build_model(settings), settings)


def uneven(order_batch: Callable[..., PretextBatch], step: int) -> PretextBatch:
    """A batch of which the last rows fail."""
    valid = torch.arange(8) < 5
    return replace(order_batch(step, rows=8, size=16, tuples=2), valid=valid)


@pytest.mark.parametrize("passes", [2, 4, 8])
def test_passes_add_up_to_the_whole_batch(order_batch: Callable[..., PretextBatch], passes: int) -> None:
    whole, parts = learner(config()), learner(config(accumulate=passes))
    for step in range(2):
        batch = uneven(order_batch, step)
        one, other = (each.learn(step, {ORDER: batch}) for each in (whole, parts))
        assert other.loss == pytest.approx(one.loss, abs=1e-6)
        assert other.gradient_norm == pytest.approx(one.gradient_norm, rel=1e-4)
        assert (other.tallies[ORDER].right, other.tallies[ORDER].failed) == (one.tallies[ORDER].right, 3)
    for one, other in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_a_first_pass_without_any_row_costs_nothing(order_batch: Callable[..., PretextBatch]) -> None:
    whole, parts = learner(config()), learner(config(accumulate=2))
    batch = replace(order_batch(0, rows=8, size=16, tuples=2), valid=torch.arange(8) >= 4)
    expected = whole.learn(0, {ORDER: batch}).gradient_norm
    assert parts.learn(0, {ORDER: batch}).gradient_norm == pytest.approx(expected, rel=1e-4)


def test_a_step_that_is_refused_moves_nothing(order_batch: Callable[..., PretextBatch]) -> None:
    one = learner(config("batch", ema=0.5))
    before = {name: value.clone() for name, value in one.model.state_dict().items()}
    refused = one.learn(0, {ORDER: order_batch(0, size=16, tuples=2)}, limit=0.01).refused
    assert "a spike: above 0.01" in refused
    assert all(torch.equal(before[name], value) for name, value in one.model.state_dict().items())
    assert one.average is not None
    assert all(torch.equal(before[name], value) for name, value in one.average.model.state_dict().items())
    assert not one.learn(1, {ORDER: order_batch(0, size=16, tuples=2)}).refused
    assert not torch.equal(
        before["objective.head.0.weight"], one.model.state_dict()["objective.head.0.weight"]
    )


def test_the_average_follows_slowly(order_batch: Callable[..., PretextBatch]) -> None:
    one = learner(config("batch", ema=0.999))
    name = "objective.head.0.weight"
    expected = one.model.state_dict()[name].clone()
    for step in range(3):
        one.learn(step, {ORDER: order_batch(step, size=16, tuples=2)})
        kept = (1 + step) / (10 + step)
        expected = kept * expected + (1 - kept) * one.model.state_dict()[name]
    averaged = one.evaluated.state_dict()
    torch.testing.assert_close(averaged[name], expected)
    assert averaged["towers.frame.stages.embed.3.num_batches_tracked"] == 3


def test_a_spike_is_told_from_the_median_of_the_last_losses() -> None:
    policy = DivergenceConfig(spike=2.0, window=12)
    history = History()
    for _ in range(9):
        history.learned(100.0, policy)
    assert history.limit(policy) == float("inf")
    for _ in range(12):
        history.learned(0.5, policy)
    assert (history.limit(policy), len(history.losses)) == (1.0, 12)
    assert history.limit(DivergenceConfig()) == float("inf")
    assert objection(3, loss=0.9, limit=1.0, norm=1.0, rate=0.1) == ""
    assert "the norm of the gradients is inf" in objection(
        3, loss=0.9, limit=1.0, norm=float("inf"), rate=0.1
    )


def test_returns_to_a_checkpoint_are_counted_over_the_whole_run() -> None:
    policy, history = DivergenceConfig(answer="roll_back", most=2), History()
    for _ in range(2):
        history.refused("step 3", policy)
        history.learned(1.0, policy)
    with pytest.raises(Diverged, match="2 returns to a checkpoint are allowed"):
        history.refused("step 9", policy)


def test_what_cannot_be_divided_or_run_here_is_refused() -> None:
    with pytest.raises(ValueError, match=r"train\.batch_size 8: 1 ranks of 3 passes .* multiple of 3"):
        learner(config(accumulate=3))
    pairs = msgspec.structs.replace(
        config(accumulate=2),
        task={"name": "correspondence"},
        towers={kind: {"name": "tiny", "channels": [8], "embed_dim": 8} for kind in ("frame", "audio")},
    )
    with pytest.raises(ValueError, match="rows in groups of"):
        learner(msgspec.structs.replace(pairs, objective={}))
    with pytest.raises(ValueError, match=r"train\.sync_batch_norm needs CUDA"):
        learner(config(sync_batch_norm=True))


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
def test_compiled_stages_keep_the_names_of_their_weights() -> None:
    plain, compiled = learner(config()), learner(config(compile=True))
    assert plain.model.state_dict().keys() == compiled.model.state_dict().keys()
    stages = list(compiled.model.towers["frame"].stages.values())  # type: ignore[union-attr]
    assert all(stage._compiled_call_impl is not None for stage in stages)
    assert plain.model.towers["frame"].stages["embed"]._compiled_call_impl is None  # type: ignore[index, union-attr]
