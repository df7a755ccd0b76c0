"""Tasks that take turns: a function of the step, exact resume, shares by weight, and each loader's own order."""

from collections import Counter
from collections.abc import Callable

import pytest
import torch

from unreel.pipelines.errors import StateMismatch
from unreel.pipelines.failures import join_states, part_of_state
from unreel.pipelines.loader import Loader
from unreel.pipelines.pretext import Correspondence, ShuffleAndLearn
from unreel.pipelines.turns import Turns
from unreel.shards.catalogue import Catalogue

TASKS = {
    "order": ShuffleAndLearn(window=96, crop=80, size=24, camera_shift=4),
    "sound": Correspondence(window=96, crop=80, size=24, audio_seconds=0.5, group=4),
}

Open = Callable[..., Turns]


@pytest.fixture
def turns(tiny_catalogue: Catalogue) -> Open:
    """Makes tasks that take turns on the tiny data set."""

    def open_turns(rank: int = 0, world_size: int = 1, **settings: object) -> Turns:
        loaders = {
            name: Loader(
                tiny_catalogue,
                task,
                batch_size=8,
                seed=3,
                backend="packets",
                prefetch=0,
                rank=rank,
                world_size=world_size,
            )
            for name, task in TASKS.items()
        }
        return Turns(loaders, **{"seed": 3, **settings})  # type: ignore[arg-type]

    return open_turns


def test_each_step_has_one_task_and_each_task_its_own_order(turns: Open, tiny_catalogue: Catalogue) -> None:
    with (
        turns() as both,
        Loader(tiny_catalogue, TASKS["sound"], batch_size=8, seed=3, backend="packets") as one,
    ):
        steps = [next(both) for _ in range(4)]
        assert [(step.step, list(step.batches)) for step in steps] == [
            (0, ["order"]),
            (1, ["sound"]),
            (2, ["order"]),
            (3, ["sound"]),
        ]
        alone = [one.batch(0), one.batch(1)]
        for found, expected in zip(steps[1::2], alone, strict=True):
            assert found.batch.keys == expected.keys
            assert torch.equal(found.batch.inputs["audio"], expected.inputs["audio"])
        assert (both.stats.steps, both.stats.clips) == (4, 32)
        assert both.stats.decoded == sum(loader.stats.decoded for loader in both.loaders.values()) > 0
        assert set(both.batches(1)) == {"order", "sound"}
        assert both.samples == max(loader.samples for loader in both.loaders.values())


def test_draws_are_by_weight_and_a_function_of_the_step(turns: Open) -> None:
    with (
        turns(weights={"order": 3.0, "sound": 1.0}) as both,
        turns(weights={"order": 3, "sound": 1}) as again,
    ):
        drawn = [both.task_at(step) for step in range(4_000)]
        assert [again.task_at(step) for step in (3_999, 17, 1_024)] == [drawn[3_999], drawn[17], drawn[1_024]]
        # Three standard deviations of a share of 3/4 in 4,000 draws are 0.02.
        assert Counter(drawn)["order"] / len(drawn) == pytest.approx(0.75, abs=0.02)
    with turns(weights={"order": 3.0, "sound": 1.0}, seed=4) as other:
        assert [other.task_at(step) for step in range(50)] != drawn[:50]


@pytest.mark.parametrize("weights", [None, {"order": 1.0, "sound": 2.0}])
def test_goes_on_where_it_stood(turns: Open, weights: dict[str, float] | None) -> None:
    with turns(weights=weights) as whole, turns(weights=weights) as first, turns(weights=weights) as second:
        expected = [next(whole) for _ in range(7)]
        for _ in range(3):
            next(first)
        second.load_state_dict(first.state_dict())
        for step in expected[3:]:
            found = next(second)
            assert (found.step, list(found.batches)) == (step.step, list(step.batches))
            assert found.batch.keys == step.batch.keys and torch.equal(
                found.batch.targets, step.batch.targets
            )


def test_states_of_ranks_are_joined_loader_by_loader(turns: Open) -> None:
    with turns(rank=0, world_size=2) as one, turns(rank=1, world_size=2) as other:
        for _ in range(3):
            next(one), next(other)
        joined = join_states([one.state_dict(), other.state_dict()])
        rows = {name: state["failures"]["rows"] for name, state in joined["loaders"].items()}
        assert rows == {"order": 16, "sound": 8}
        assert part_of_state(joined, 1)["loaders"]["order"]["failures"]["rows"] == 0
    with turns() as alone:
        alone.load_state_dict(part_of_state(joined, 0))
        assert alone.step == 3 and alone.loaders["order"].step == 2


def test_other_turns_are_refused(turns: Open, tiny_catalogue: Catalogue) -> None:
    with turns() as one, turns(weights={"order": 1.0, "sound": 1.0}) as drawn:
        with pytest.raises(StateMismatch, match="take turns as"):
            drawn.load_state_dict(one.state_dict())
        loaders = {"both": Loader(tiny_catalogue, TASKS, batch_size=8, seed=3, backend="packets")}
        with pytest.raises(ValueError, match="loader 'both' has several tasks"):
            Turns(loaders, seed=3)
