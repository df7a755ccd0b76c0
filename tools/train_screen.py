"""What a person sees of a training: one line with step, loss, score, speed, waiting and the time that is left."""

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from unreel.models.objectives import METRICS
from unreel.models.training import RunConfig
from unreel.models.training.log import Row
from unreel.models.training.scores import scores_in
from unreel.tools.console import Ticker, console

__all__ = ["Screen", "TimeLeft"]

_BETWEEN_LINES: Final = 30.0
"""Seconds between lines where there is no terminal, such as in the file of a Slurm job."""


class TimeLeft:
    """How long a run will go on, from the wall clock between rows: validations and checkpoints are in it.

    Args:
        steps: of the whole run.
        max_seconds: budget of seconds that go into steps alone; 0 for none.
    """

    def __init__(
        self, steps: int, max_seconds: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._steps, self._max_seconds, self._clock = steps, max_seconds, clock
        self._first: tuple[int, float, float] | None = None

    def after(self, step: int, seconds: float) -> float | None:
        """Seconds from now, where `step` steps took `seconds` so far; None at the first row, from which nothing is known."""
        now = self._clock()
        if self._first is None:
            self._first = (step, seconds, now)
            return None
        done = step - self._first[0]
        if done < 1:
            return None
        left = float(self._steps - step)
        if self._max_seconds:
            # Steps that still fit, by what a step alone takes.
            left = min(left, (self._max_seconds - seconds) * done / max(seconds - self._first[1], 1e-9))
        return max(left, 0.0) * (now - self._first[2]) / done


class Screen:
    """Shows rows and warnings: as a bar in a terminal, and as lines from time to time where there is none."""

    def __init__(
        self, ticker: Ticker, config: RunConfig, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ticker, self._steps, self._clock = ticker, config.train.steps, clock
        self._left = TimeLeft(self._steps, config.train.max_seconds, clock=clock)
        self._spoke = clock()

    def row(self, row: Row) -> None:
        if row.split not in ("train", "val"):
            return
        scores = scores_of(row.numbers)
        if row.split == "val":
            console.print(f"step {row.step:,} · held out ({row.numbers['sources']} sources): {scores}")
            return
        left = self._left.after(row.step, row.numbers["seconds"])
        words = f"{scores} · {_pace(row.numbers)} · {_left_words(left)}"
        self._ticker.say(words)
        self._ticker.follow(row.step, self._steps)
        if not console.is_terminal and self._clock() - self._spoke >= _BETWEEN_LINES:
            self._spoke = self._clock()
            console.print(f"step {row.step:,}/{self._steps:,} · {words}", soft_wrap=True)

    def warn(self, text: str) -> None:
        console.print(text, style="bold yellow", markup=False)

    def close(self) -> None:
        """The bar closes itself."""


def scores_of(numbers: Mapping[str, float]) -> str:
    """Loss and score of a row in words; of several tasks each score by the task's name."""
    found = scores_in(numbers)
    scores = [f"{task or METRICS[metric]} {value:.3f}" for task, (metric, value) in found.items()]
    return " · ".join([f"loss {numbers['loss']:.3f}", *scores])


def _pace(numbers: Mapping[str, float]) -> str:
    return f"{numbers['clips_per_second']:,.0f} clips/s · getting batches {numbers['data_wait']:.0%}"


def _left_words(seconds: float | None) -> str:
    return "time left not known yet" if seconds is None else f"{timedelta(seconds=round(seconds))} left"
