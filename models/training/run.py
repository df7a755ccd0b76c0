"""The run folder: what is in it, how a run is continued, and how a trained run is loaded.

RUN/recipe.toml        every setting, defaults and `auto` choices written out
    environment.json   device, threads and versions
    metrics.jsonl      one JSON object a logged step
    warnings.jsonl     what went wrong on the way, if anything did
    checkpoints/       see `checkpoint.py`
    tensorboard/

`unreel train` adds what a person looks at, see `tools/run_files.py`.
"""

import fcntl
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, cast

import msgspec

from unreel.models.objectives import Objective
from unreel.models.towers import Tower
from unreel.models.training.checkpoint import Checkpoint, newest_checkpoint, read_checkpoint, steps_saved
from unreel.models.training.config import RunConfig, format_toml, parse_config
from unreel.models.training.environment import Environment
from unreel.models.training.model import PretextModel, build_model, build_tasks, only, trunks
from unreel.pipelines.errors import CheckpointError, StateMismatch
from unreel.pipelines.pretext.task import Look, TrainableTask

__all__ = ["LoadedRun", "RunFolder", "continue_config", "load_run", "settings_by_name"]

_FREE: Final = {
    "data.shards",
    "divergence.answer",
    "divergence.most",
    "divergence.spike",
    "divergence.window",
    "train.max_seconds",
    "train.eval_every",
    "train.eval_batches",
    "train.checkpoint_every",
    "train.keep",
    "train.keep_every",
    "train.log",
    "train.threads",
    "train.compile",
    "loader.threads",
    "loader.workers",
    "loader.prefetch",
    "loader.failures",
}
"""Settings that a resumed run may change. No loss so far depends on them, but for last bits that `train.threads` and
`train.compile` change; shards may have moved, and their loader refuses a state of other ones."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The paths of a run."""

    path: Path

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.toml"

    @property
    def environment(self) -> Path:
        return self.path / "environment.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def warnings(self) -> Path:
        return self.path / "warnings.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    def read_config(self) -> RunConfig:
        """The run's settings. Raises ValueError when the folder holds no run."""
        if not self.recipe.is_file():
            raise ValueError(f"{self.path}: no run (recipe.toml is missing); `unreel train` makes one")
        return parse_config(self.recipe.read_text())

    def write_config(self, config: RunConfig) -> None:
        """Write the settings, whole or not at all."""
        self.path.mkdir(parents=True, exist_ok=True)
        draft = self.recipe.with_suffix(".draft")
        draft.write_text(format_toml(config))
        draft.replace(self.recipe)

    def write_environment(self, environment: Environment) -> None:
        """Record what the run depends on beside its settings."""
        self.environment.write_bytes(msgspec.json.format(msgspec.json.encode(environment), indent=2) + b"\n")

    @property
    def is_held(self) -> bool:
        """Whether a trainer, on this machine, holds the folder just now."""
        if not (self.path / ".lock").exists():
            return False
        with (self.path / ".lock").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for one trainer; the system lets go of it when the process ends, however it ends.

        Raises:
            StateMismatch: another process trains in this folder.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StateMismatch(f"{self.path}: another process is training in this folder") from error
            yield


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedRun:
    """A trained run: modules on the CPU, in evaluation mode.

    Attributes:
        recipe: its settings.
        step: of the checkpoint.
        tasks, objectives: by the names that the recipe gives them.
        towers: by kind.
    """

    recipe: RunConfig
    step: int
    tasks: Mapping[str, TrainableTask]
    towers: Mapping[str, Tower]
    objectives: Mapping[str, Objective]

    @property
    def name(self) -> str:
        """Of the only task, in its recipe. Raises ValueError where there are several."""
        if len(self.tasks) > 1:
            raise ValueError(f"the run has the tasks {', '.join(self.tasks)}: take `run.of(NAME)`")
        return next(iter(self.tasks))

    @property
    def task(self) -> TrainableTask:
        """The only task. Raises ValueError where there are several."""
        return self.tasks[self.name]

    @property
    def objective(self) -> Objective:
        """The only objective. Raises ValueError where there are several."""
        return self.objectives[self.name]

    def of(self, task: str) -> "LoadedRun":
        """The same run as if this task were the only one. Raises ValueError for a task that it does not have."""
        recipe = only(self.recipe, [task])
        return LoadedRun(
            recipe=recipe,
            step=self.step,
            tasks={task: self.tasks[task]},
            towers={kind: self.towers[kind] for kind in recipe.towers},
            objectives={task: self.objectives[task]},
        )

    def look(self, kind: str) -> Look:
        """How the tower of `kind` sees a sample: in the first task that shows it one, or whose tower stands on it."""
        kinds = [kind, *(above for above in self.towers if kind in trunks(self.recipe, above)[1:])]
        for above in kinds:
            for name, task in self.tasks.items():
                if above in self.objectives[name].towers:
                    look = task.look(above)
                    return look if above == kind else _seen_below(look, kind)
        raise ValueError(f"tower {kind!r}: no task of this run trains it; there are {', '.join(self.towers)}")


def _seen_below(look: Look, kind: str) -> Look:
    """What a tower shows to the one that it stands on: frames of its clips, or clips of one frame."""
    return replace(look, frames=1, step_seconds=0.0, clip=kind == "video")


def load_run(folder: Path | str, *, step: int | Literal["latest"] = "latest") -> LoadedRun:
    """Load a checkpoint of a run, by default the newest good one; newer damaged ones are named in a warning.

    Where the run keeps an average of its weights, that is what is loaded.

    Raises:
        ValueError: no run in this folder, or no checkpoint of this step.
        CheckpointError: the checkpoint is damaged, or of a model that this version builds otherwise.
    """
    run = RunFolder(Path(folder))
    config = run.read_config()
    checkpoint = _newest(run) if step == "latest" else _of_step(run, step)
    model = build_model(config)
    _fill(model, checkpoint, run)
    model.eval()
    return LoadedRun(
        recipe=config,
        step=checkpoint.step,
        tasks=build_tasks(config),
        towers={kind: cast(Tower, tower) for kind, tower in model.towers.items()},
        objectives={name: model.objective_of(name) for name in config.named_tasks},
    )


def continue_config(saved: RunConfig, given: RunConfig) -> RunConfig:
    """The settings of a resumed run: the saved ones, but for those that a run may change on its way.

    Raises:
        StateMismatch: `given` asks for something else that the losses depend on; the message names it.
    """
    if given.train.epochs and given.train.epochs == saved.train.epochs:
        # Steps were counted from the epochs when the run began.
        given = msgspec.structs.replace(
            given, train=msgspec.structs.replace(given.train, steps=saved.train.steps)
        )
    before, now = settings_by_name(saved), settings_by_name(given)
    differing = [
        key for key in {**before, **now} if before.get(key) != now.get(key) and now.get(key) != "auto"
    ]
    fixed = [
        f"{key}: {before.get(key)!r} saved, {now.get(key)!r} asked for"
        for key in differing
        if key not in _FREE and not key.startswith("data.shards.")
    ]
    if fixed:
        raise StateMismatch(
            f"this run has other settings: {'; '.join(fixed)}. Ask for the saved ones, or start a new run"
        )
    return msgspec.structs.replace(
        given,
        train=msgspec.structs.replace(given.train, device=saved.train.device, amp=saved.train.amp),
        loader=msgspec.structs.replace(given.loader, backend=saved.loader.backend),
    )


def _fill(model: PretextModel, checkpoint: Checkpoint, run: RunFolder) -> None:
    try:
        model.load_state_dict(checkpoint.average or checkpoint.model)
    except RuntimeError as error:
        raise CheckpointError(
            f"{run.path}, step {checkpoint.step}: its weights do not fit the model of its recipe ({error}); "
            "load it with the version that trained it"
        ) from error


def _newest(run: RunFolder) -> Checkpoint:
    checkpoint, damaged = newest_checkpoint(run.checkpoints)
    if checkpoint is None:
        raise ValueError(f"{run.path}: the run has no checkpoint yet")
    for error in damaged:
        warnings.warn(f"{error}; using step {checkpoint.step}", RuntimeWarning, stacklevel=3)
    return checkpoint


def _of_step(run: RunFolder, step: int) -> Checkpoint:
    saved = steps_saved(run.checkpoints)
    if step not in saved:
        raise ValueError(f"{run.path}: no checkpoint of step {step}; there are {saved or 'none'}")
    return read_checkpoint(run.checkpoints / f"step-{step:08d}")


def settings_by_name(config: RunConfig) -> dict[str, Any]:
    """Settings by their dotted names."""
    flat: dict[str, Any] = {}
    pending = [("", msgspec.to_builtins(config))]
    while pending:
        prefix, value = pending.pop()
        if isinstance(value, dict):
            pending += [(f"{prefix}.{key}" if prefix else key, child) for key, child in value.items()]
        else:
            flat[prefix] = list(value) if isinstance(value, (list, tuple)) else value
    return flat
