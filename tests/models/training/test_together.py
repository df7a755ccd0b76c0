"""Several tasks in one run: what is logged and saved of each, exact resume, weights, and what is refused."""

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from unreel.models.training import RunConfig, RunFolder, Trainer, build_model, load_run
from unreel.models.training.checkpoint import newest_checkpoint
from unreel.models.training.config import (
    OptimiserConfig,
    TogetherConfig,
    TrainConfig,
    format_toml,
    parse_config,
)
from unreel.models.training.environment import resolve
from unreel.models.training.learner import Learner
from unreel.models.training.log import read_metrics
from unreel.models.training.model import only, towers_of
from unreel.pipelines.pretext.task import PretextBatch

TIMES = {"clips_per_second", "data_wait", "seconds"}
SMALL = {"name": "tiny", "channels": [8, 16], "embed_dim": 16, "grid": 2}

MakeBatch = Callable[..., PretextBatch]


def config(*, together: Mapping[str, Any] | None = None, **train: Any) -> RunConfig:
    settings: dict[str, Any] = {
        "steps": 8,
        "batch_size": 8,
        "log_every": 2,
        "eval_batches": 1,
        "eval_every": 4,
    }
    return RunConfig(
        tasks={
            "order": {"name": "shuffle_and_learn"},
            "sound": {"name": "correspondence", "group": 4},
        },
        # Brightness is what the sound goes with.
        towers={"frame": {**SMALL, "standardise": False}, "audio": SMALL},
        objectives={"order": {"head": "linear"}},
        together=TogetherConfig(**{"weights": {"sound": 0.5}, "gradients_every": 4, **(together or {})}),
        optimiser=OptimiserConfig(learning_rate=3e-3, clip_norm=5),
        train=resolve(TrainConfig(**(settings | train), device="cpu")),
    )


@pytest.fixture
def batches(order_batch: MakeBatch, sound_batch: MakeBatch) -> Callable[[int], dict[str, PretextBatch]]:
    """Makes the batches of a step."""
    return lambda step: {"order": order_batch(step), "sound": sound_batch(step, rows=8)}


@pytest.fixture
def train(
    memory_source: type, batches: Callable[[int], dict[str, PretextBatch]], tmp_path: Path
) -> Callable[..., RunFolder]:
    """Trains in a folder of this name."""

    class Several(memory_source):  # type: ignore[misc]
        def batches(self, step: int, /) -> dict[str, PretextBatch]:
            return batches(step)

    def run(name: str, settings: RunConfig, *, resume: bool = False, **source: Any) -> RunFolder:
        folder = RunFolder(tmp_path / name)
        trainer = Trainer(settings, loader=Several(**source), validation=Several(), folder=folder)
        trainer.train(resume=resume)
        return folder

    return run


def exact_rows(folder: RunFolder) -> Iterator[dict[str, Any]]:
    for row in read_metrics(folder.metrics):
        yield {key: value for key, value in row.items() if key not in TIMES}


def test_each_task_is_logged_beside_the_sum(train: Callable[..., RunFolder]) -> None:
    rows = read_metrics(train("run", config()).metrics)
    for row in (row for row in rows if row["split"] in ("train", "val")):
        parts = row["task/order/loss"] + 0.5 * row["task/sound/loss"]
        assert row["loss"] == pytest.approx(parts, rel=1e-6)
        assert {row[f"task/{task}/failed"] for task in ("order", "sound")} == {0}
        assert row["decisions"] == row["task/order/decisions"] + row["task/sound/decisions"]
        assert 0 <= row["task/sound/balanced_accuracy"] <= 1
    measured = [row for row in rows if row["split"] == "gradients"]
    assert [row["step"] for row in measured] == [1, 5]
    assert all(-1 <= row["cosine/frame/order/sound"] <= 1 for row in measured)
    # One task alone trains the tower of sound: there is nothing to compare.
    assert not [name for row in measured for name in row if "audio" in name]


def test_both_tasks_learn(train: Callable[..., RunFolder]) -> None:
    last = read_metrics(train("run", config(steps=80, eval_every=0)).metrics)[-1]
    assert last["task/order/balanced_accuracy"] > 0.8
    assert last["task/sound/balanced_accuracy"] > 0.8


def test_killed_and_resumed_equals_unbroken(train: Callable[..., RunFolder]) -> None:
    settings = config(checkpoint_every=3)
    unbroken = train("unbroken", settings)
    with pytest.raises(KeyboardInterrupt):
        train("killed", settings, stop_at=5)
    resumed = train("killed", settings, resume=True)
    assert list(exact_rows(resumed)) == list(exact_rows(unbroken))
    saved = [newest_checkpoint(run.checkpoints)[0] for run in (unbroken, resumed)]
    assert saved[0] is not None and saved[1] is not None
    for name, value in {**saved[0].model, **saved[0].optimiser}.items():
        assert torch.equal(value, {**saved[1].model, **saved[1].optimiser}[name])


def test_a_run_is_loaded_whole_and_task_by_task(train: Callable[..., RunFolder]) -> None:
    folder = train("run", config())
    loaded = load_run(folder.path)
    assert list(loaded.tasks) == list(loaded.objectives) == ["order", "sound"]
    assert set(loaded.towers) == {"frame", "audio"}
    with pytest.raises(ValueError, match="the run has the tasks order, sound"):
        _ = loaded.task
    order = loaded.of("order")
    assert (order.task.name, set(order.towers), order.name) == ("shuffle_and_learn", {"frame"}, "order")
    assert order.towers["frame"] is loaded.towers["frame"]
    assert loaded.look("frame") == order.task.look("frame")
    assert loaded.look("audio").seconds == 1.0
    with pytest.raises(ValueError, match="tower 'audio': no task of this run trains it; there are frame"):
        order.look("audio")
    with pytest.raises(ValueError, match="task 'smell': the run has order, sound"):
        loaded.of("smell")


def test_a_task_alone_begins_with_the_weights_it_has_among_others() -> None:
    together, alone = build_model(config()), build_model(only(config(), ["sound"]))
    state = together.state_dict()
    assert set(alone.state_dict()) < set(state)
    assert all(torch.equal(value, state[name]) for name, value in alone.state_dict().items())
    other = build_model(config(seed=1)).state_dict()
    assert not torch.equal(
        other["towers.frame.stages.conv1.0.weight"], state["towers.frame.stages.conv1.0.weight"]
    )


def test_the_norm_at_the_trunk_is_that_of_the_task_alone(
    batches: Callable[[int], dict[str, PretextBatch]],
) -> None:
    settings = config(together={"gradients_every": 1})
    found = Learner(build_model(settings), settings).learn(0, batches(0)).at_trunk
    grown: dict[str, list[torch.Tensor]] = {}
    for task, weight in (("order", 1.0), ("sound", 0.5)):
        model = build_model(settings).train()
        torch.autograd.backward(weight * model(batches(0)[task], task).loss)
        grown[task] = [value.grad for value in model.towers["frame"].parameters() if value.grad is not None]
        norm = math.sqrt(sum(float(value.square().sum()) for value in grown[task]))
        assert found[f"task/{task}/gradient_norm/frame"] == pytest.approx(norm, rel=1e-4)
    product = sum(float((one * other).sum()) for one, other in zip(*grown.values(), strict=True))
    norms = [found[f"task/{task}/gradient_norm/frame"] for task in grown]
    assert found["cosine/frame/order/sound"] == pytest.approx(product / math.prod(norms), abs=1e-4)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_measuring_changes_nothing(
    batches: Callable[[int], dict[str, PretextBatch]], accumulate: int
) -> None:
    learners = [
        Learner(build_model(settings), settings)
        for settings in (
            config(together={"gradients_every": every}, accumulate=accumulate) for every in (0, 1)
        )
    ]
    for step in range(3):
        for each in learners:
            each.learn(step, batches(step))
    states = [each.model.state_dict() for each in learners]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_settings_survive_toml() -> None:
    given = parse_config(format_toml(config()))
    assert given == config()
    assert "[objective]" not in format_toml(given) and "[together]" in format_toml(given)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": {"name": "rotation"}}, "there is both"),
        ({"tasks": {}}, "there is neither"),
        ({"objective": {"head": "linear"}}, "of several tasks write 'objectives.NAME'"),
        ({"objectives": {"smell": {}}}, "objectives.smell: no such task in 'tasks'; there are order, sound"),
        ({"together": TogetherConfig(weights={"smell": 1.0})}, "together.weights.smell: no such task"),
    ],
)
def test_what_is_no_run_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        msgspec.convert({**msgspec.to_builtins(config()), **msgspec.to_builtins(change)}, RunConfig)
    assert message in str(caught.value)


def test_towers_are_those_that_the_tasks_train() -> None:
    standing = {"name": "frame_by_frame"}
    settings = msgspec.structs.replace(
        config(),
        tasks={"sync": {"name": "synchronisation"}},
        objectives={},
        towers={"frame": SMALL, "video": standing, "audio": SMALL},
        together=TogetherConfig(),
    )
    assert towers_of(settings, "sync") == ["video", "frame", "audio"]
    assert set(build_model(settings).towers) == {"video", "frame", "audio"}
    extra = msgspec.structs.replace(config(), towers={**config().towers, "video": {"name": "tiny"}})
    with pytest.raises(
        ValueError, match=r"tasks order, sound train the towers \['audio', 'frame'\], the recipe"
    ):
        build_model(extra)
    ring = msgspec.structs.replace(settings, towers={**settings.towers, "frame": {"name": "stills"}})
    with pytest.raises(ValueError, match="towers video and frame stand on each other"):
        build_model(ring)
    taken = msgspec.structs.replace(
        config(), tasks={"train": {"name": "shuffle_and_learn"}}, objectives={}, together=TogetherConfig()
    )
    with pytest.raises(ValueError, match="task 'train': this word is taken"):
        build_model(msgspec.structs.replace(taken, towers={"frame": SMALL}))
