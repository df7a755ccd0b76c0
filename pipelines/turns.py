"""Several tasks of which each step has one, in turn or drawn: a loader for each, with clips that suit its own task."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from unreel.pipelines.draws import Draws
from unreel.pipelines.errors import StateMismatch
from unreel.pipelines.loader import Loader, Step
from unreel.pipelines.pretext.task import PretextBatch, PretextTask
from unreel.pipelines.selection import Selection
from unreel.pipelines.stats import LoaderStats

__all__ = ["Turns"]

_DRAWN_AT_ONCE: Final = 1024
"""Steps whose tasks are looked up together."""


class Turns:
    """Endless steps of several loaders, of one task each; the steps of each come in its own order, none is left out.

    Which task step N has is a function of N, and of the seed where it is drawn.

    Attributes:
        step: number of the next step.
        loaders: by the name of the task.
        stats: where the time went, of all.
    """

    def __init__(
        self, loaders: Mapping[str, Loader], *, seed: int, weights: Mapping[str, float] | None = None
    ) -> None:
        """Take turns.

        Args:
            loaders: of one task each, by names of yours; they are closed with this.
            seed: of what is drawn.
            weights: task → how often it comes beside the others, by draw; None takes the tasks in turn.

        Raises:
            ValueError: a loader has several tasks.
        """
        several = [name for name, loader in loaders.items() if len(loader.tasks) > 1]
        if several:
            raise ValueError(f"loader {several[0]!r} has several tasks: each loader that takes turns has one")
        self.loaders, self.step = dict(loaders), 0
        self.stats = LoaderStats(self.loaders)
        self._seed, self._weights = seed, dict(weights) if weights else None
        self._drawn: tuple[int, list[str]] = (-1, [])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Step]:
        """This itself: its position is part of its state."""
        return self

    def __next__(self) -> Step:
        """The next step: `batches` holds the one task's batch. Raises TooManyFailures as its loader."""
        self.stats.begin()
        name = self.task_at(self.step)
        own = self.loaders[name].stats
        ready, decoded = own.ready, own.decoded
        found = next(self.loaders[name])
        self.stats.add(len(found.batch), found.seconds, ready=own.ready - ready)
        self.stats.decoded += own.decoded - decoded
        self.stats.alone[name] += own.decoded - decoded
        self.step += 1
        return Step(self.step - 1, {name: found.batch}, found.seconds, found.failures)

    def task_at(self, step: int) -> str:
        """The task that step `step` has."""
        names = list(self.loaders)
        if self._weights is None:
            return names[step % len(names)]
        block = step // _DRAWN_AT_ONCE
        if self._drawn[0] != block:
            self._drawn = block, self._draw(block * _DRAWN_AT_ONCE)
        return self._drawn[1][step % _DRAWN_AT_ONCE]

    def batches(self, step: int) -> Mapping[str, PretextBatch]:
        """The batch of every task at its own step `step`, for a validation; moves nothing."""
        return {name: loader.batch(step) for name, loader in self.loaders.items()}

    def state_dict(self) -> dict[str, Any]:
        """The position of this and of each loader, as JSON takes it."""
        return {
            "step": self.step,
            "seed": self._seed,
            "weights": self._weights,
            "loaders": {name: loader.state_dict() for name, loader in self.loaders.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where another one stood.

        Raises:
            StateMismatch: other tasks take turns there, or otherwise, or a loader's state is of another stream.
        """
        mine = {"seed": self._seed, "weights": self._weights, "loaders": list(self.loaders)}
        theirs = {**{key: state.get(key) for key in mine}, "loaders": list(state.get("loaders", ()))}
        if mine != theirs:
            raise StateMismatch(f"the state is of tasks that take turns as {theirs}, and not as {mine}")
        for name, loader in self.loaders.items():
            loader.load_state_dict(state["loaders"][name])
        self.step = state["step"]

    def close(self) -> None:
        """Close every loader."""
        with ExitStack() as stack:
            for loader in self.loaders.values():
                stack.callback(loader.close)

    @property
    def tasks(self) -> dict[str, PretextTask]:
        """By name."""
        return {name: loader.task for name, loader in self.loaders.items()}

    @property
    def samples(self) -> int:
        """Samples that the task with the most of them uses."""
        return self._largest.samples

    @property
    def selections(self) -> list[Selection]:
        """The samples that the task with the most of them uses of each data set."""
        return self._largest.selections

    @property
    def _largest(self) -> Loader:
        return max(self.loaders.values(), key=lambda loader: loader.samples)

    def _draw(self, first: int) -> list[str]:
        assert self._weights is not None
        names = list(self.loaders)
        edges = np.cumsum([self._weights[name] for name in names], dtype=np.float64)
        draws = Draws.of(self._seed, "turns", np.arange(first, first + _DRAWN_AT_ONCE))
        at = draws.uniform("task").astype(np.float64) * edges[-1]
        return [names[index] for index in np.searchsorted(edges, at, side="right").tolist()]
