"""Settings, schedule, scores, models from settings, and runs that are loaded or continued."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from unreel.models.training import RunConfig, RunFolder, Trainer, build_model, build_task, load_run
from unreel.models.training.config import ScheduleConfig, TrainConfig, format_toml, parse_config
from unreel.models.training.environment import resolve
from unreel.models.training.log import MetricsFile, Row, read_metrics
from unreel.models.training.optimiser import learning_rate_share
from unreel.models.training.run import continue_config
from unreel.models.training.scores import mean_ratio
from unreel.pipelines.errors import CheckpointError, StateMismatch
from unreel.pipelines.pretext import TASKS, ShuffleAndLearn


def config(**train: Any) -> RunConfig:
    settings: dict[str, Any] = {"steps": 4, "batch_size": 8, "device": "cpu", "eval_batches": 1}
    return RunConfig(
        task={"name": "shuffle_and_learn", "tuples": 2},
        towers={"frame": {"name": "tiny", "channels": [8, 16], "embed_dim": 32}},
        objective={"head": "linear"},
        train=resolve(TrainConfig(**(settings | train))),
    )


def test_settings_survive_toml() -> None:
    assert parse_config(format_toml(config())) == config()


def test_a_setting_that_is_none_is_left_out_since_toml_has_no_null() -> None:
    given = msgspec.structs.replace(config(), objective={"stage": None, "hidden": 8})
    assert parse_config(format_toml(given)).objective == {"hidden": 8}


def test_a_text_that_is_no_recipe_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="not a recipe"):
        parse_config("[train]\nsteps = 0\n")


@pytest.mark.parametrize(
    ("step", "share"),
    [(0, 0.1), (8, 0.9), (9, 1.0), (10, 1.0), (60, 0.55), (110, 0.1), (200, 0.1)],
)
def test_cosine_after_warm_up(step: int, share: float) -> None:
    schedule = ScheduleConfig(name="cosine", warmup_steps=10, floor=0.1)
    assert learning_rate_share(step, steps=110, config=schedule) == pytest.approx(share)


def test_constant_stays() -> None:
    schedule = ScheduleConfig(name="constant", warmup_steps=2)
    assert [learning_rate_share(s, steps=9, config=schedule) for s in range(4)] == [0.5, 1, 1, 1]


def test_stairs_fall_at_their_steps_and_are_read_from_a_recipe() -> None:
    schedule = ScheduleConfig(name="stairs", warmup_steps=2, drops=(4, 6))
    shares = [learning_rate_share(step, steps=9, config=schedule) for step in range(8)]
    assert shares == pytest.approx([0.5, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])
    recipe = 'task.name = "rotation"\ntowers.frame.name = "tiny"\ntrain = {steps = 9, batch_size = 4}\n'
    config = parse_config(recipe + 'schedule = {name = "stairs", drops = [4, 6], drop = 0.5}')
    assert parse_config(format_toml(config)).schedule.drops == (4, 6)
    for wrong, message in (
        ('"stairs", drops = [6, 4]', "must ascend"),
        ('"cosine", drops = [4]', "'stairs'"),
    ):
        with pytest.raises(ValueError, match=message):
            parse_config(f"{recipe}schedule = {{name = {wrong}}}")


def test_mean_ratio_is_the_mean_of_the_classes() -> None:
    assert mean_ratio([75, 0], [75, 25]) == 0.5
    assert mean_ratio([3, 4], [4, 4]) == 0.875
    assert mean_ratio([3, 0], [4, 0]) == 0.75


def test_models_of_one_seed_are_equal_and_leave_the_generator_alone() -> None:
    before = torch.get_rng_state()
    first, second, other = build_model(config()), build_model(config()), build_model(config(), seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    states = [model.state_dict() for model in (first, second, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["objective.head.weight"], states[2]["objective.head.weight"])


def test_tasks_are_built_from_settings() -> None:
    assert build_task({"name": "shuffle_and_learn", "tuples": 2}) == ShuffleAndLearn(tuples=2)
    with pytest.raises(ValueError, match=f"task 'shuffle': choose one of {', '.join(sorted(TASKS))}"):
        build_task({"name": "shuffle"})
    with pytest.raises(ValueError, match="tuples"):
        build_task({"name": "shuffle_and_learn", "tuples": "two"})
    with pytest.raises(ValueError, match="no 'name'"):
        build_task({"tuples": 2})


def test_a_recipe_with_the_towers_of_another_task_is_refused() -> None:
    settings = msgspec.structs.replace(config(), towers={"audio": {"name": "tiny"}})
    with pytest.raises(ValueError, match=r"trains the towers \['frame'\], the recipe has \['audio'\]"):
        build_model(settings)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta:x"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    if device.startswith("cuda") and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ValueError, match=r"train\.device"):
        resolve(TrainConfig(steps=1, batch_size=1, device=device))


def test_fp16_needs_a_gpu() -> None:
    with pytest.raises(ValueError, match="fp16"):
        resolve(TrainConfig(steps=1, batch_size=1, device="cpu", amp="fp16"))


def test_a_cut_line_of_the_metrics_is_dropped_and_later_rows_are_written_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step":2,"split":"train","loss":1.0}\n{"step":4,"split":"train"}\n{"step":5,"spl')
    assert [row["step"] for row in read_metrics(path)] == [2, 4]
    file = MetricsFile(path, start=3)
    file.row(Row(4, "train", {"loss": float("nan")}))
    file.close()
    assert read_metrics(path) == [
        {"step": 2, "split": "train", "loss": 1.0},
        {"step": 4, "split": "train", "loss": None},
    ]


def test_a_resumed_run_keeps_its_settings() -> None:
    saved = config(amp="auto")
    asked = config(max_seconds=9, keep=7, amp="auto")
    continued = continue_config(saved, asked)
    assert (continued.train.max_seconds, continued.train.keep) == (9, 7)
    with pytest.raises(StateMismatch, match=r"train\.steps: 4 saved, 5 asked for"):
        continue_config(saved, config(steps=5))
    epochs = config(epochs=2, steps=7)
    assert continue_config(epochs, config(epochs=2, steps=4)).train.steps == 7
    with pytest.raises(StateMismatch, match=r"train\.epochs: 2 saved, 3 asked for"):
        continue_config(epochs, config(epochs=3, steps=7))
    with pytest.raises(StateMismatch, match=r"objective\.head: 'linear' saved, None asked for"):
        continue_config(saved, msgspec.structs.replace(saved, objective={}))


@pytest.fixture
def run(tmp_path: Path, memory_source: type) -> Path:
    """A trained run with checkpoints of steps 2 and 4."""
    folder = RunFolder(tmp_path / "run")
    trainer = Trainer(
        config(checkpoint_every=2), loader=memory_source(), validation=memory_source(), folder=folder
    )
    trainer.train()
    return folder.path


def test_a_trained_run_is_loaded(run: Path) -> None:
    newest, older = load_run(run), load_run(run, step=2)
    assert (newest.step, older.step) == (4, 2)
    assert newest.task == ShuffleAndLearn(tuples=2)
    assert newest.recipe.objective == {"head": "linear"}
    assert not newest.towers["frame"].training
    x = torch.randn(1, 3, 32, 32)
    assert not torch.equal(newest.towers["frame"](x), older.towers["frame"](x))


def test_loading_says_what_is_missing_or_damaged(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no checkpoint of step 3; there are \[2, 4\]"):
        load_run(run, step=3)
    with pytest.raises(ValueError, match="no run"):
        load_run(tmp_path)
    (run / "checkpoints" / "step-00000004" / "state.json").unlink()
    with pytest.warns(RuntimeWarning, match=r"state\.json missing; using step 2"):
        assert load_run(run).step == 2


def test_weights_of_another_model_are_named(run: Path) -> None:
    recipe = run / "recipe.toml"
    recipe.write_text(recipe.read_text().replace('head = "linear"', 'head = "hidden"'))
    with pytest.raises(CheckpointError, match=r"step 4: its weights do not fit the model of its recipe"):
        load_run(run)
