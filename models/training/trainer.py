"""The training loop: plain PyTorch over a loader's steps, exact to resume.

Everything that step N does is a function of the recipe, the data and N: the loader's batch, the learning rate, and
torch's generator, which is seeded anew at each step. So a checkpoint holds no state of any generator.

With several ranks all of them run this loop in step: each learns from its rows, rank 0 logs and saves, and whatever ends
the run is agreed on, so that no rank waits for one that has left.
"""

import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final, Protocol

import msgspec
import torch
from torch import Tensor

from unreel.models.objectives.peers import beside
from unreel.models.training.checkpoint import (
    Checkpoint,
    newest_checkpoint,
    read_checkpoint,
    steps_saved,
)
from unreel.models.training.config import RunConfig
from unreel.models.training.environment import differences, record_environment
from unreel.models.training.learner import Learned, Learner
from unreel.models.training.log import (
    GRADIENTS,
    LOADER,
    Listener,
    MetricsFile,
    Row,
    TensorBoard,
    WarningsFile,
)
from unreel.models.training.model import build_model
from unreel.models.training.progress import Progress, SavedState, TrainingResult
from unreel.models.training.ranks import ALONE, Ranks, launched
from unreel.models.training.run import RunFolder
from unreel.models.training.saver import Saver
from unreel.models.training.sharded import load_parts, whole
from unreel.models.training.signals import StopRequest, stop_requests
from unreel.models.training.start import start_towers
from unreel.models.training.tracking import open_tracker
from unreel.models.training.validation import BatchSource, validate
from unreel.pipelines.errors import Diverged, StateMismatch
from unreel.pipelines.failures import join_states, part_of_state
from unreel.pipelines.pretext.task import PretextBatch

__all__ = ["StepSource", "Trainer"]

_BUDGET_ENDS: Final = ("steps", "seconds")
"""Endings that leave time for a last row and a last validation; after a signal there is time for a checkpoint only."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class _Step(Protocol):
    """The batches of a step, by task, and its number."""

    @property
    def step(self) -> int: ...

    @property
    def batches(self) -> Mapping[str, PretextBatch]: ...


class _Stats(Protocol):
    def window(self) -> Mapping[str, float]: ...


class StepSource(Protocol):
    """Gives batches without end, from the step that its state says; a `Loader` is one."""

    @property
    def stats(self) -> _Stats: ...

    def __iter__(self) -> Iterator[_Step]: ...

    def state_dict(self) -> Mapping[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any], /) -> None: ...


class Trainer:
    """Trains one run in one folder.

    Args:
        config: resolved settings, see `environment.resolve`.
        loader: training batches; this rank's part of `config.train.batch_size` clips.
        validation: this rank's part of batches of held-out sources; None trains without validation.
        folder: the run folder, which every rank can read.
        listeners: hear of rows and warnings, beside the run's own metrics file and TensorBoard; on rank 0 only.
        ranks: the processes that train together, see `joined_ranks`.
    """

    def __init__(
        self,
        config: RunConfig,
        *,
        loader: StepSource,
        validation: BatchSource | None,
        folder: RunFolder,
        listeners: Sequence[Listener] = (),
        ranks: Ranks = ALONE,
    ) -> None:
        if config.train.threads:
            torch.set_num_threads(config.train.threads)
        self._config = config
        self._loader = loader
        self._validation = validation
        self._folder = folder
        self._listeners = list(listeners) if ranks.leads else []
        self._ranks = ranks
        self._device = ranks.device(config.train.device)
        self._environment = record_environment(self._device, ranks=ranks.size)
        model = build_model(config)
        if not steps_saved(folder.checkpoints):
            start_towers(model, config.start)
        self._learner = Learner(model.to(self._device), config, ranks=ranks)
        self._saver = Saver(
            folder.checkpoints, keep=config.train.keep, every=config.train.keep_every, ranks=ranks
        )
        self._progress = Progress()

    def train(self, *, resume: bool = False) -> TrainingResult:
        """Train to the end of the budget, or until a signal asks for a stop; either way a checkpoint is saved.

        Raises:
            ValueError: the folder holds a run and `resume` is False.
            StateMismatch: the checkpoint belongs to another run, or another process trains here.
            CheckpointError: no checkpoint is good.
            Diverged: steps went wrong, and `config.divergence` ends the run by it.
        """
        with ExitStack() as stack:
            self._ranks.led(lambda: self._hold(stack, resume))
            stack.enter_context(beside(self._ranks))
            # A launcher passes a signal on that its children were sent as well, and ends those that take too long.
            stop = stack.enter_context(stop_requests(once=launched()))
            self._begin(resume)
            try:
                stopped = self._loop(stop)
            finally:
                self._close()
        return TrainingResult.of(self._progress, stopped=stopped, batch_size=self._config.train.batch_size)

    def _hold(self, stack: ExitStack, resume: bool) -> None:
        stack.enter_context(self._folder.lock())
        if self._folder.recipe.exists() and not resume:
            raise ValueError(f"{self._folder.path} holds a run: add --resume, or choose another folder")

    def _close(self) -> None:
        try:
            self._saver.close()
        finally:
            for listener in self._listeners:
                listener.close()

    def _begin(self, resume: bool) -> None:
        if self._ranks.leads:
            self._listeners.append(WarningsFile(self._folder.warnings, start=0))
        if resume:
            self._restore()
        if not self._ranks.leads:
            return
        self._folder.write_config(self._config)
        self._folder.write_environment(self._environment)
        start = self._progress.step
        self._listeners.append(MetricsFile(self._folder.metrics, start=start))
        for name in dict.fromkeys(self._config.train.log):
            is_own = name == "tensorboard"
            self._listeners.append(
                TensorBoard(self._folder.tensorboard, start=start)
                if is_own
                else open_tracker(name, self._folder.path, self._config)
            )

    def _restore(self) -> None:
        checkpoint = self._newest()
        if checkpoint is None:
            self._warn("there is no checkpoint yet: training starts from step 0")
            return
        state = msgspec.json.decode(checkpoint.state, type=SavedState)
        other = differences(state.environment, self._environment)
        if other:
            self._warn(f"same samples, but not the same last bits as before, since {'; '.join(other)}")
        self._loader.load_state_dict(part_of_state(state.loader, self._ranks.rank))
        self._fill(checkpoint, state)
        self._progress = state.progress

    def _fill(self, checkpoint: Checkpoint, state: SavedState) -> None:
        self._learner.restore(
            model=checkpoint.model,
            average=checkpoint.average,
            optimiser=self._optimiser_of(checkpoint),
            scaler=state.scaler,
        )

    def _optimiser_of(self, checkpoint: Checkpoint) -> Mapping[str, Tensor]:
        if checkpoint.parts is None:
            return checkpoint.optimiser
        return load_parts(checkpoint.parts, dict(self._learner.model.named_parameters()))

    def _newest(self) -> Checkpoint | None:
        """The newest good checkpoint; rank 0 verifies, so that all ranks go on from the same one."""
        found: list[Checkpoint | None] = []

        def choose() -> int | None:
            self._saver.wait()
            checkpoint, damaged = newest_checkpoint(self._folder.checkpoints)
            found.append(checkpoint)
            for error in damaged:
                self._warn(f"{error}. Training goes on from step {checkpoint.step if checkpoint else 0}")
            return checkpoint.step if checkpoint else None

        step = self._ranks.led(choose)
        if found or step is None:
            return found[0] if found else None
        if step not in steps_saved(self._folder.checkpoints):
            raise StateMismatch(
                f"rank {self._ranks.rank}: {self._folder.checkpoints} has no step {step}, from which rank 0 goes on; "
                "the run folder has to be one that every machine sees"
            )
        return read_checkpoint(self._folder.checkpoints / f"step-{step:08d}")

    def _loop(self, stop: StopRequest) -> str:
        """Steps until the budget ends or a signal comes; returns which."""
        budget, steps = self._config.train, iter(self._loader)
        ending = "steps" if self._progress.step >= budget.steps else None
        while ending is None:
            learned = self._step(steps)
            ending = self._ending(self._agreed(stop))
            if learned.at_trunk and not learned.refused:
                self._tell(GRADIENTS, **learned.at_trunk)
            if self._due(budget.log_every) or ending in _BUDGET_ENDS:
                self._log(learned)
            if self._due(budget.eval_every) or ending in _BUDGET_ENDS:
                self._validate()
            if self._due(budget.checkpoint_every) or ending:
                self._save()
        return ending

    def _step(self, steps: Iterator[_Step]) -> Learned:
        progress, began = self._progress, time.perf_counter()
        step = next(steps)
        waited = time.perf_counter() - began
        if step.step != progress.step:
            raise StateMismatch(f"the loader gave step {step.step}, training is at step {progress.step}")
        learned = self._learn(step)
        spent = self._sum([time.perf_counter() - began, waited])
        progress.count(seconds=spent[0] / self._ranks.size, waited=spent[1] / self._ranks.size)
        return learned

    def _learn(self, step: _Step) -> Learned:
        progress, policy = self._progress, self._config.divergence
        batches = {task: batch.to(self._device) for task, batch in step.batches.items()}
        learned = self._learner.learn(step.step, batches, limit=progress.history.limit(policy))
        if learned.refused:
            progress.scores.skipped += 1
            progress.history.refused(learned.refused, policy)
            self._warn(f"{learned.refused} ({progress.history.left_out} so far)")
            if policy.answer == "roll_back":
                self._roll_back(learned.refused)
        else:
            progress.scores.add(learned.loss, learned.tallies)
            progress.history.learned(learned.loss, policy)
        return learned

    def _roll_back(self, reason: str) -> None:
        """Take the weights of the newest checkpoint; the steps go on, so that the same samples do not come again."""
        checkpoint = self._newest()
        if checkpoint is None:
            raise Diverged(f"{reason}. There is no checkpoint to go back to (train.checkpoint_every)")
        self._fill(checkpoint, msgspec.json.decode(checkpoint.state, type=SavedState))
        self._warn(f"back to the weights of step {checkpoint.step}; the samples go on")

    def _agreed(self, stop: StopRequest) -> str | None:
        """The signal that any rank was sent."""
        heard = self._sum([float(stop.signal is each) for each in _SIGNALS])
        return next((each.name for each, count in zip(_SIGNALS, heard, strict=True) if count), None)

    def _sum(self, numbers: Sequence[float]) -> list[float]:
        return self._ranks.sum(torch.tensor(numbers, dtype=torch.float64)).tolist()

    def _ending(self, stopped: str | None) -> str | None:
        budget, progress = self._config.train, self._progress
        if progress.step >= budget.steps:
            return "steps"
        if stopped is not None:
            return stopped
        return "seconds" if 0 < budget.max_seconds <= progress.seconds else None

    def _due(self, every: int) -> bool:
        return every > 0 and self._progress.step % every == 0

    def _log(self, learned: Learned) -> None:
        row = self._progress.close_window(self._config.train.batch_size, several=bool(self._config.tasks))
        self._tell("train", **row, learning_rate=learned.learning_rate, gradient_norm=learned.gradient_norm)
        self._tell(LOADER, **self._loader.stats.window())

    def _validate(self) -> None:
        if self._validation is None:
            return
        scores = validate(
            self._learner.evaluated,
            self._validation,
            self._config,
            device=self._device,
            ranks=self._ranks,
        )
        self._progress.validation = {"step": self._progress.step, "split": "val", **scores}
        self._tell("val", **scores)

    def _save(self) -> None:
        average = self._learner.average
        loader = join_states(self._ranks.gather(dict(self._loader.state_dict())))
        state = SavedState(
            progress=self._progress,
            loader=loader,
            scaler=self._learner.scaler_state(),
            environment=self._environment,
        )
        checkpoint = Checkpoint(
            step=self._progress.step,
            model=whole(self._learner.model.state_dict(), keep=self._ranks.leads),
            optimiser=self._learner.optimiser_tensors(),
            average=whole(average.model.state_dict(), keep=self._ranks.leads) if average else {},
            state=msgspec.json.format(msgspec.json.encode(state), indent=2),
        )
        self._saver.save(checkpoint)

    def _tell(self, split: str, **numbers: float) -> None:
        row = Row(self._progress.step, split, numbers)
        for listener in self._listeners:
            listener.row(row)

    def _warn(self, text: str) -> None:
        for listener in self._listeners:
            listener.warn(text)
