"""The training loop: it learns, repeats itself, resumes exactly, and stops when it should."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from unreel.models.training import RunConfig, RunFolder, Trainer, TrainingResult, load_run
from unreel.models.training.checkpoint import newest_checkpoint, read_checkpoint
from unreel.models.training.config import DivergenceConfig, OptimiserConfig, ScheduleConfig, TrainConfig
from unreel.models.training.environment import resolve
from unreel.models.training.log import Row, read_metrics
from unreel.pipelines.errors import Diverged, StateMismatch

STEPS = 12
TIMES = {"clips_per_second", "data_wait", "seconds"}


def config(**train: Any) -> RunConfig:
    settings: dict[str, Any] = {
        "steps": STEPS,
        "batch_size": 8,
        "log_every": 3,
        "eval_every": 6,
        "eval_batches": 2,
    }
    return RunConfig(
        task={"name": "shuffle_and_learn"},
        towers={"frame": {"name": "tiny", "channels": [8, 16], "embed_dim": 32, "grid": 2}},
        optimiser=OptimiserConfig(learning_rate=3e-3, clip_norm=5),
        schedule=ScheduleConfig(warmup_steps=3),
        train=resolve(TrainConfig(**(settings | train), device="cpu")),
    )


@dataclass
class Witness:
    """Remembers what a listener hears."""

    rows: list[Row] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    closed: bool = False

    def row(self, row: Row) -> None:
        self.rows.append(row)

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def close(self) -> None:
        self.closed = True


@dataclass
class Bench:
    """Runs trainers on batches from memory."""

    folder: RunFolder
    source: type
    witness: Witness = field(default_factory=Witness)

    def train(
        self, settings: RunConfig, *, resume: bool = False, folder: RunFolder | None = None, **source: Any
    ) -> TrainingResult:
        trainer = Trainer(
            settings,
            loader=self.source(**source),
            validation=self.source(),
            folder=folder or self.folder,
            listeners=[self.witness],
        )
        return trainer.train(resume=resume)


@pytest.fixture
def bench(tmp_path: Path, memory_source: type) -> Bench:
    return Bench(RunFolder(tmp_path / "run"), memory_source)


def exact_rows(folder: RunFolder) -> list[dict[str, Any]]:
    """The rows of a run without what the clock decides."""
    rows = read_metrics(folder.metrics)
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]


def weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    checkpoint, _ = newest_checkpoint(folder.checkpoints)
    assert checkpoint is not None
    average = {f"average/{name}": tensor for name, tensor in checkpoint.average.items()}
    return {**checkpoint.model, **checkpoint.optimiser, **average}


def assert_same_run(first: RunFolder, second: RunFolder) -> None:
    assert exact_rows(first) == exact_rows(second)
    one, other = weights(first), weights(second)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_learns_and_says_so(bench: Bench) -> None:
    result = bench.train(config(steps=60, log_every=10, eval_every=0))
    rows = read_metrics(bench.folder.metrics)
    assert (result.stopped, result.step) == ("steps", 60)
    assert result.validation["balanced_accuracy"] > 0.9
    assert [row["step"] for row in rows] == [10, 20, 30, 40, 50, 60, 60]
    assert rows[-1]["split"] == "val"
    assert rows[-1]["sources"] == 8
    assert rows[0]["loss"] > 3 * rows[-2]["loss"]
    assert bench.witness.closed
    assert list(bench.folder.tensorboard.glob("events.*"))


def test_two_runs_with_one_seed_are_one_run(bench: Bench, tmp_path: Path) -> None:
    other = RunFolder(tmp_path / "other")
    bench.train(config())
    bench.train(config(), folder=other)
    assert_same_run(bench.folder, other)


def test_another_seed_is_another_run(bench: Bench, tmp_path: Path) -> None:
    other = RunFolder(tmp_path / "other")
    bench.train(config())
    bench.train(config(seed=1), folder=other)
    assert exact_rows(bench.folder)[0]["loss"] != exact_rows(other)[0]["loss"]


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_killed_three_times_and_resumed_equals_unbroken(bench: Bench, tmp_path: Path, name: str) -> None:
    settings = msgspec.structs.replace(
        config(checkpoint_every=2), optimiser=OptimiserConfig(name=name, learning_rate=3e-3)
    )
    unbroken = RunFolder(tmp_path / "unbroken")
    bench.train(settings, folder=unbroken)
    for resume, kill in ((False, 3), (True, 5), (True, 10)):
        with pytest.raises(KeyboardInterrupt):
            bench.train(settings, resume=resume, stop_at=kill)
    result = bench.train(settings, resume=True)
    assert result.step == STEPS
    assert bench.witness.warnings == []
    assert_same_run(bench.folder, unbroken)


def test_killed_before_the_first_checkpoint_starts_again_aloud(bench: Bench, tmp_path: Path) -> None:
    unbroken = RunFolder(tmp_path / "unbroken")
    bench.train(config(), folder=unbroken)
    with pytest.raises(KeyboardInterrupt):
        bench.train(config(), stop_at=7)
    bench.train(config(), resume=True)
    assert "no checkpoint yet" in bench.witness.warnings[0]
    assert_same_run(bench.folder, unbroken)


def test_resumes_from_the_one_before_a_damaged_checkpoint_aloud(bench: Bench, tmp_path: Path) -> None:
    unbroken = RunFolder(tmp_path / "unbroken")
    bench.train(config(checkpoint_every=4), folder=unbroken)
    with pytest.raises(KeyboardInterrupt):
        bench.train(config(checkpoint_every=4), stop_at=9)
    model = bench.folder.checkpoints / "step-00000008" / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-1])
    bench.train(config(checkpoint_every=4), resume=True)
    assert "model.safetensors" in bench.witness.warnings[0]
    assert "step 4" in bench.witness.warnings[0]
    assert_same_run(bench.folder, unbroken)


def test_a_finished_run_resumes_to_nothing(bench: Bench) -> None:
    first = bench.train(config())
    before = bench.folder.metrics.read_bytes()
    second = bench.train(config(), resume=True)
    assert (second.step, second.validation) == (first.step, first.validation)
    assert bench.folder.metrics.read_bytes() == before


def test_other_threads_are_a_loud_warning(bench: Bench) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench.train(config(checkpoint_every=2), stop_at=4)
    bench.train(config(checkpoint_every=2, threads=2), resume=True)
    assert "threads: 1 saved, 2 now" in bench.witness.warnings[0]


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "SIGINT")])
def test_a_signal_saves_and_stops(bench: Bench, tmp_path: Path, number: int, name: str) -> None:
    unbroken = RunFolder(tmp_path / "unbroken")
    bench.train(config(), folder=unbroken)
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    bench.source = signalling(bench.source, step=4, number=number)
    result = bench.train(config())
    assert (result.stopped, result.step) == (name, 5)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
    bench.train(config(), resume=True)
    assert_same_run(bench.folder, unbroken)


def signalling(source: type, *, step: int, number: int) -> type:
    """A source that sends this process a signal while it makes step `step` for the first time."""
    sent = False

    class Signalling(source):  # type: ignore[misc]
        def __iter__(self) -> Iterator[Any]:
            nonlocal sent
            for item in super().__iter__():
                if item.step == step and not sent:
                    sent = True
                    os.kill(os.getpid(), number)
                yield item

    return Signalling


def test_seconds_stop_early_with_a_checkpoint(bench: Bench) -> None:
    result = bench.train(config(max_seconds=1e-6))
    assert (result.stopped, result.step) == ("seconds", 1)
    assert result.validation["step"] == 1
    assert (bench.folder.checkpoints / "step-00000001").is_dir()


def poisoned(source: type, *steps: int, bad: float = float("nan")) -> type:
    """A source whose pictures are no numbers at some steps."""

    class Poisoned(source):  # type: ignore[misc]
        def batch(self, step: int, /) -> Any:
            batch = super().batch(step)
            if step in steps:
                batch = replace(batch, inputs={**batch.inputs, "frame": batch.inputs["frame"] * bad})
            return batch

    return Poisoned


def answering(answer: str, **train: Any) -> RunConfig:
    settings = {"checkpoint_every": 2, "eval_every": 0, "log_every": 1, "eval_batches": 1}
    divergence = DivergenceConfig(answer=answer)  # type: ignore[arg-type]
    return msgspec.structs.replace(config(**(settings | train)), divergence=divergence)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_and_names_the_step(bench: Bench, bad: float) -> None:
    bench.source = poisoned(bench.source, 5, bad=bad)
    with pytest.raises(Diverged, match=r"step 5: the loss is nan"):
        bench.train(answering("stop"))
    assert all(tensor.isfinite().all() for tensor in weights(bench.folder).values())


def test_steps_that_went_wrong_are_left_out_and_counted(bench: Bench, tmp_path: Path) -> None:
    unbroken, bench.source = RunFolder(tmp_path / "unbroken"), poisoned(bench.source, 4, 5)
    result = bench.train(answering("skip"), folder=unbroken)
    assert (result.step, result.skipped) == (STEPS, 2)
    assert "step 4: the loss is nan" in bench.witness.warnings[0]
    rows = [row for row in exact_rows(unbroken) if row["split"] == "train"]
    assert [row["skipped"] for row in rows] == [0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0]
    assert all(tensor.isfinite().all() for tensor in weights(unbroken).values())
    # What was left out is known to a resumed run.
    with pytest.raises(KeyboardInterrupt):
        bench.train(answering("skip"), stop_at=7)
    assert bench.train(answering("skip"), resume=True).skipped == 2
    assert_same_run(bench.folder, unbroken)


def test_too_many_steps_in_a_row_end_the_run(bench: Bench) -> None:
    bench.source = poisoned(bench.source, 1, 3, 4, 5, 6)
    with pytest.raises(Diverged, match=r"step 6: .* 3 steps in a row left out are allowed"):
        bench.train(answering("skip"))


def test_rolling_back_takes_the_weights_of_the_checkpoint_and_goes_on(bench: Bench, tmp_path: Path) -> None:
    good = bench.source
    bench.source = poisoned(good, 5)
    bench.train(answering("roll_back", steps=6))
    assert "back to the weights of step 4" in bench.witness.warnings[1]
    found, other = weights(bench.folder), RunFolder(tmp_path / "other")
    bench.source = good
    bench.train(answering("skip", steps=6), folder=other)
    before = newest_checkpoint(other.checkpoints)[0]
    assert before is not None
    at_4 = read_checkpoint(other.checkpoints / "step-00000004")
    assert all(torch.equal(found[name], at_4.model[name]) for name in at_4.model)
    bench.source = poisoned(good, 1)
    with pytest.raises(Diverged, match="no checkpoint to go back to"):
        bench.train(answering("roll_back"), folder=RunFolder(tmp_path / "early"))


def test_the_average_of_the_weights_is_saved_loaded_and_resumed(bench: Bench, tmp_path: Path) -> None:
    unbroken, settings = RunFolder(tmp_path / "unbroken"), config(ema=0.9, checkpoint_every=4)
    bench.train(settings, folder=unbroken)
    with pytest.raises(KeyboardInterrupt):
        bench.train(settings, stop_at=6)
    bench.train(settings, resume=True)
    assert_same_run(bench.folder, unbroken)
    saved = newest_checkpoint(bench.folder.checkpoints)[0]
    assert saved is not None
    loaded = load_run(bench.folder.path)
    name = "towers.frame.stages.embed.2.weight"
    taken = loaded.towers["frame"].state_dict()[name.removeprefix("towers.frame.")]
    assert torch.equal(taken, saved.average[name])
    assert not torch.equal(taken, saved.model[name])


def test_a_folder_with_a_run_is_not_overwritten(bench: Bench) -> None:
    bench.train(config())
    with pytest.raises(ValueError, match="add --resume"):
        bench.train(config())


def test_two_trainers_do_not_share_a_folder(bench: Bench) -> None:
    with bench.folder.lock(), pytest.raises(StateMismatch, match="another process"):
        bench.train(config())


def test_a_loader_at_another_step_is_refused(bench: Bench) -> None:
    class Ahead(bench.source):  # type: ignore[misc, name-defined]
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self.step = 3

    bench.source = Ahead
    with pytest.raises(StateMismatch, match="gave step 3, training is at step 0"):
        bench.train(config())


def test_bf16_learns_on_cpu(bench: Bench) -> None:
    result = bench.train(config(steps=40, amp="bf16", eval_every=0))
    assert result.validation["balanced_accuracy"] > 0.8


def test_the_run_folder_explains_itself(bench: Bench) -> None:
    bench.train(config())
    environment = json.loads(bench.folder.environment.read_text())
    assert environment["threads"] == 1
    assert environment["torch"] == torch.__version__
    assert bench.folder.read_config() == config()
