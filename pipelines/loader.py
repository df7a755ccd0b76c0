"""The loader: the only place that composes order → read → plan → decode → pretext.

What step N gives is a pure function of (catalogue, task, seed, N). Reading and planning run in one thread and decoding
in another, a few steps ahead; building runs on the device in the consumer's thread.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from threading import Lock
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.ahead import Ahead
from unreel.pipelines.arranged import Sources, arranged
from unreel.pipelines.criteria import Filters
from unreel.pipelines.decode import Choice, choose_backend, make_backend
from unreel.pipelines.decode.backend import PIXELS, DecodeBackend, TogetherBackend
from unreel.pipelines.decode.isolated import Isolated
from unreel.pipelines.draws import Draws
from unreel.pipelines.encoded import EncodedBatch
from unreel.pipelines.failures import FailureLog, FailurePolicy
from unreel.pipelines.media import MediaBatch, SampleFailure
from unreel.pipelines.mixture import Mixture, order_of
from unreel.pipelines.order import Positions
from unreel.pipelines.planner import Planner
from unreel.pipelines.plans import Cost
from unreel.pipelines.pretext.task import Needs, PretextBatch, PretextTask
from unreel.pipelines.selection import Progress, Selection, select
from unreel.pipelines.state import STATE_VERSION, check_state, settings_of
from unreel.pipelines.stats import LoaderStats, Stopwatch
from unreel.pipelines.tasks import Tasks, name_tasks, unite_needs
from unreel.shards.catalogue import Catalogue
from unreel.shards.errors import ShardError
from unreel.shards.reader import Reader

__all__ = ["FailurePolicy", "Loader", "Step"]

logger = logging.getLogger(__name__)

Value = TypeVar("Value")

FETCHED_AHEAD: Final = 4
"""Steps, beyond the one that is being planned, whose samples are fetched where they lie behind a URL."""

_TRIAL: Final = 32
"""Clips on which `auto` measures the backends."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step as the loader hands it out.

    Attributes:
        step: its number, from 0.
        batches: this rank's rows by the name of the task: of the same samples, from one decode.
        seconds: stage → seconds spent on this step; `wait` is what the consumer waited for it.
        failures: the rows that are not valid, and why.
    """

    step: int
    batches: Mapping[str, PretextBatch]
    seconds: Mapping[str, float]
    failures: tuple[SampleFailure, ...] = ()

    @property
    def batch(self) -> PretextBatch:
        """The rows of the only task. Raises ValueError where there are several."""
        return _only(self.batches, "step.batches[name]")


@dataclass(frozen=True, slots=True)
class _Prepared:
    encoded: EncodedBatch
    cost: Cost
    watch: Stopwatch


@dataclass(frozen=True, slots=True)
class _Decoded:
    media: Mapping[str, MediaBatch]
    failures: tuple[SampleFailure, ...]
    cost: Cost
    watch: Stopwatch


class Loader:
    """Endless steps of one task or several over a data set or a mixture; iterate, or take any step with `batch` and `media`.

    With several tasks each sample is read and decoded once. The samples are those that suit all of them; what a task sees of
    a sample, and what it makes of it, is what it would see and make alone.

    Example:
        with Loader(Catalogue.open("shards"), ShuffleAndLearn(), batch_size=64, seed=1) as loader:
            for step in loader:
                loss = objective(towers, step.batch).loss

    Attributes:
        tasks: by name.
        step: number of the next step.
        stats: where the time went.
        failures: which samples failed.
        selections: the samples that are used of each data set.
        choice: what `auto` measured and chose; None where it has not chosen, or a backend was named.
    """

    def __init__(
        self,
        data: Catalogue | Mixture,
        task: Tasks,
        *,
        batch_size: int,
        seed: int,
        split: str | None = "train",
        holdout: float = 0.2,
        filters: Filters | None = None,
        balance: str | None = None,
        backend: str | DecodeBackend = "auto",
        threads: int = 2,
        workers: int = 0,
        pixels: str = "rgb",
        share_moments: bool = False,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world_size: int = 1,
        prefetch: int = 2,
        failures: FailurePolicy | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Prepare a loader; nothing is decoded yet.

        Args:
            data: one data set, or several by weight.
            task: one task, or several that share each decode: a mapping of names of yours, or a list, by their own names.
            batch_size: rows of a step over all ranks; rank r has the r-th of `world_size` equal parts.
            split, holdout, filters, progress: see `select`.
            balance: name of a label whose values come equally often; see `mixture.balanced`.
            backend: a name in `decode.BACKENDS`; `auto`, which measures once and keeps to its choice; or a backend
                of your own, which you close.
            threads: CPU threads that decode.
            workers: processes that decode instead of threads; slower by the copies, and a sample that crashes its decoder
                then costs its own row and not the run. 0 decodes in threads.
            pixels: what a task is given: `rgb` in `media.frames`, or `yuv420` in `media.yuv`, half the bytes, which
                `render` takes as well (a task that wants RGB calls `media.as_rgb()`). Windows must then begin and end
                at even pixels, and the backend must be `packets`.
            share_moments: tasks plan a sample with the same random numbers, so that they look at the same moment of it where
                they can: fewer pictures are decoded. Each task's plans are spread as ever, and are no longer independent
                of the other tasks' plans.
            device: where batches are built.
            prefetch: steps that are worked on while the consumer has one; 0 works on none.
            failures: what failed samples do to the run.

        Raises:
            ValueError: sizes do not divide, no sample can be used, two tasks ask for what cannot be had together, or a
                choice is not allowed.
            ShardError: the policy refuses damaged data sets, and a shard is missing, cut or swapped.
        """
        self.tasks = name_tasks(task)
        self._needs = unite_needs(self.tasks)
        local = _local_batch(batch_size, world_size, self.tasks, self._needs)
        _check_choices(rank, world_size, prefetch, backend)
        self.seed, self.batch_size = seed, batch_size
        mixture = data if isinstance(data, Mixture) else Mixture([(data, 1)])
        chosen: dict[str, Any] = {
            "split": split,
            "holdout": holdout,
            "filters": dict(filters or {}),
            "balance": balance,
        }
        self.selections = [select(c, self._needs, progress=progress, **chosen) for c in mixture.catalogues]
        if failures is not None and failures.mode == "refuse":
            _check_shards(mixture.catalogues, self.selections)
        self.step, self.stats = 0, LoaderStats(self.tasks)
        self.failures = FailureLog(failures or FailurePolicy(), self.tasks)
        readers = [Reader(c) for c in mixture.catalogues]
        order = self._order(mixture)
        avoid = self.failures.quarantine
        self._planner = Planner(readers, order, self.tasks, avoid=avoid, share_moments=share_moments)
        self._mine = np.arange(rank * local, (rank + 1) * local)
        self.choice: Choice | None = None
        self._wanted, self._threads, self._workers = backend, threads, workers
        self._pixels = _checked_pixels(pixels, backend)
        self._device = torch.device(device)
        self._decoding = Lock()
        self._ahead = Ahead[_Prepared, _Decoded](prefetch)
        # Only what decides the content of a step: world size, threads and prefetch do not.
        self._stream = {
            "version": STATE_VERSION,
            "catalogue": mixture.identity,
            "tasks": {name: {"name": task.name, **settings_of(task)} for name, task in self.tasks.items()},
            "seed": seed,
            "share_moments": share_moments,
            "batch_size": batch_size,
            **settings_of(chosen),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Step]:
        """The loader itself: its position is part of its state, so all iterators share it."""
        return self

    def __next__(self) -> Step:
        """The next step.

        Raises:
            TooManyFailures: the policy on failed samples stops the run.
        """
        self.stats.begin()
        _ = self.backend  # resolved here, before two threads could both resolve it
        waiting, ready = Stopwatch(), self._ahead.ready
        with waiting.stage("wait"):
            done = self._ahead.take(self.step, self._prepare, self._decode)
        seconds = done.watch.seconds
        seconds["wait"] = waiting.seconds["wait"]
        self.failures.add(len(self._mine), done.failures)
        with done.watch.stage("build"):
            batches = {task: self._build(task, media) for task, media in done.media.items()}
        self.stats.add(len(self._mine), seconds, ready=ready, cost=done.cost)
        self.step += 1
        return Step(self.step - 1, batches, seconds, done.failures)

    def media(self, step: int) -> MediaBatch:
        """The decoded media of any step on this rank, where the backend left it; moves nothing, counts no failure.

        Raises:
            TooManyFailures: every row failed, so that not even the shape of the batch is known.
            ValueError: there are several tasks; take `media_of_tasks`.
        """
        return _only(self.media_of_tasks(step), "media_of_tasks")

    def media_of_tasks(self, step: int) -> Mapping[str, MediaBatch]:
        """As `media`, for each task by its name, from one decode."""
        return self._decode(self._prepare(step)).media

    def batch(self, step: int) -> PretextBatch:
        """What iterating gives at any step on this rank; moves nothing, counts no failure. Raises as `media`."""
        return _only(self.batches(step), "batches")

    def batches(self, step: int) -> Mapping[str, PretextBatch]:
        """As `batch`, for each task by its name, from one decode."""
        return {task: self._build(task, media) for task, media in self.media_of_tasks(step).items()}

    @property
    def task(self) -> PretextTask:
        """The only task. Raises ValueError where there are several."""
        return _only(self.tasks, "loader.tasks[name]")

    @property
    def samples(self) -> int:
        """Samples that are used, of all data sets."""
        return sum(map(len, self.selections))

    @cached_property
    def backend(self) -> DecodeBackend:
        """The decode backend; resolves `auto` at first use."""
        made = self._wanted if not isinstance(self._wanted, str) else self._make_backend(self._wanted)
        if len(self.tasks) > 1 and not isinstance(made, TogetherBackend):
            logger.warning("backend %s has no decode_together: it decodes for each task in turn", made.name)
        return made

    def _make_backend(self, name: str) -> DecodeBackend:
        device = str(self._device)
        if name == "auto":
            self.choice = self._choose(device)
            name = self.choice.name
            logger.info("decode backend %s: %s", name, self.choice)
        if self._workers:
            return Isolated(make_backend(name, threads=1, device=device), workers=self._workers)
        return make_backend(name, threads=self._threads, device=device)

    def _choose(self, device: str) -> Choice:
        rows = self._planner.trial(_TRIAL)
        samples = [row.sample for row in rows if row.sample is not None]
        plans = [[row.plans[task] for row in rows] for task in self.tasks]
        return choose_backend(samples, *plans, threads=self._threads, device=device)

    def state_dict(self) -> dict[str, Any]:
        """The position after the last step that was handed out and what it depends on, as JSON takes it.

        Equal on all ranks but for `failures`, which are the rank's own.
        """
        return {**self._identity(), "step": self.step, "failures": self.failures.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where another loader stood, of any world size. `auto` takes over that loader's choice of backend.

        Raises:
            StateMismatch: the state is of another stream; names every difference with both sides.
        """
        if self._wanted == "auto" and "backend" not in self.__dict__:
            self._wanted = state.get("backend", "auto")
        check_state(state, self._identity())
        self._ahead.forget()
        self.step = state["step"]
        self.failures.load_state_dict(state["failures"])

    def close(self) -> None:
        """Stop the threads and give back the decoders that this loader made."""
        self._ahead.close()
        self._planner.close()
        if isinstance(self._wanted, str) and "backend" in self.__dict__:
            self.backend.close()

    def _order(self, mixture: Mixture) -> Positions:
        needs = self._needs
        # Positions below are pairs where the task asks for pairs.
        unit = needs.aligned // (2 if needs.source_pairs else 1)
        order = order_of(self.selections, self.seed, weights=mixture.weights, unit=unit)
        sources = Sources(mixture.catalogues, self.selections)
        return arranged(order, needs, sources, batch_size=self.batch_size)

    def _identity(self) -> dict[str, Any]:
        return {**self._stream, "backend": self.backend.name, "backend_version": self.backend.version}

    def _positions(self, step: int) -> NDArray[np.int64]:
        return step * self.batch_size + self._mine

    def _prepare(self, step: int) -> _Prepared:
        watch = Stopwatch()
        for later in range(step, step + FETCHED_AHEAD + 1):
            self._planner.expect(self._positions(later))
        encoded = self._planner.prepare(self._positions(step), watch)
        with watch.stage("plan"):
            return _Prepared(encoded, encoded.cost(), watch)

    def _decode(self, prepared: _Prepared) -> _Decoded:
        encoded, watch = prepared.encoded, prepared.watch
        # `media` may be called while the next steps are decoded, and not every backend takes two calls at once.
        with self._decoding, watch.stage("decode"):
            found = encoded.decode(self.backend, pixels=self._pixels)
            media = {task: _pinned(one, self._device) for task, one in found.items()}
        return _Decoded(media, encoded.failures, prepared.cost, watch)

    def _build(self, name: str, media: MediaBatch) -> PretextBatch:
        task = self.tasks[name]
        draws = Draws.of(self.seed, task.name, media.positions)
        return task.build(media.to(self._device, non_blocking=True), draws)


def _only(values: Mapping[str, Value], instead: str) -> Value:
    if len(values) > 1:
        raise ValueError(f"there are {len(values)} tasks ({', '.join(values)}): take {instead}")
    return next(iter(values.values()))


def _local_batch(batch_size: int, world_size: int, tasks: Mapping[str, PretextTask], needs: Needs) -> int:
    """Rows of one rank. A task pairs rows inside groups, so a group must never be cut by a border of a rank."""
    if batch_size < 1 or world_size < 1 or batch_size % world_size:
        raise ValueError(f"batch size {batch_size}: must be a positive multiple of the {world_size} ranks")
    local, group = batch_size // world_size, needs.aligned
    if local % group:
        pair = f"task {next(iter(tasks))} pairs"
        if len(tasks) > 1:
            pair = f"tasks {', '.join(f'{name} ({task.needs.aligned})' for name, task in tasks.items())} pair"
        raise ValueError(
            f"batch size {batch_size} is {local} a rank: {pair} rows in groups of {group}, "
            f"so it must be a multiple of {group}; take {-(-local // group) * group * world_size}"
        )
    return local


def _check_choices(rank: int, world_size: int, prefetch: int, backend: str | DecodeBackend) -> None:
    if not 0 <= rank < world_size:
        raise ValueError(f"rank {rank}: must be in [0, {world_size})")
    if prefetch < 0:
        raise ValueError(f"prefetch {prefetch}: a number of steps, 0 or more")
    if backend == "auto" and world_size > 1:
        raise ValueError(
            f"backend 'auto' with {world_size} ranks: each could choose another; let rank 0 choose and name it to all"
        )


def _check_shards(catalogues: Sequence[Catalogue], selections: Sequence[Selection]) -> None:
    """Open every shard that is used: its index must be the catalogue's, and its tar as long as the index says."""
    damaged = []
    for catalogue, selection in zip(catalogues, selections, strict=True):
        for shard in np.flatnonzero(selection.counts).tolist():
            try:
                catalogue.shard_bytes(shard)
            except ShardError as error:
                damaged.append(str(error))
    if damaged:
        shown = "; ".join(damaged[:10])
        raise ShardError(f"{len(damaged)} shards are damaged and the failure mode is 'refuse': {shown}")


def _checked_pixels(pixels: str, backend: str | DecodeBackend) -> str:
    if pixels not in PIXELS:
        raise ValueError(f"pixels {pixels!r}: allowed are {', '.join(PIXELS)}")
    if pixels != "rgb" and backend in ("auto", "dali", "decord", "torchcodec"):
        raise ValueError(f"pixels {pixels!r}: planes come from backend 'packets'")
    return pixels


def _pinned(media: MediaBatch, device: torch.device) -> MediaBatch:
    """Host tensors in pinned memory, from which a copy to CUDA runs beside the consumer's kernels."""
    if device.type != "cuda":
        return media

    def pin(values: Tensor | None) -> Tensor | None:
        return values if values is None or values.is_cuda else values.pin_memory()

    yuv = media.yuv
    if yuv is not None:
        yuv = replace(yuv, luma=yuv.luma.pin_memory(), chroma=yuv.chroma.pin_memory())
    return replace(media, frames=pin(media.frames), audio=pin(media.audio), yuv=yuv)
