"""Where the time of a loader goes, by stage, and which stage the others wait for."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from unreel.pipelines.plans import Cost

__all__ = ["STAGES", "LoaderStats", "Stopwatch"]

STAGES: Final = ("read", "plan", "decode", "wait", "build")
"""`read` and `plan` share one thread and `decode` has its own; `wait` and `build` are in the consumer's."""


class Stopwatch:
    """Seconds by stage of one step."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what runs inside towards the stage `name`."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - begun


class LoaderStats:
    """Sums over the steps that were handed out.

    Attributes:
        steps: steps handed out.
        clips: rows handed out, failed ones included.
        seconds: stage → seconds, summed.
        ready: steps that lay ready whenever one was asked for, summed: the depth of the queue.
        starved: how often none lay ready.
        elapsed: seconds from the first request for a step to the last step handed out, pauses included.
        shown: task → pictures that it was shown.
        alone: task → pictures that a decoder has to produce for it in a stream of its own.
        decoded: pictures that it had to produce for all tasks together.
    """

    def __init__(self, tasks: Iterable[str] = ("",)) -> None:
        self.steps = self.clips = self.ready = self.starved = self.decoded = 0
        self.shown = dict.fromkeys(tasks, 0)
        self.alone = dict.fromkeys(self.shown, 0)
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._begun: float | None = None
        self.elapsed = 0.0
        self._shown = self._totals()

    def begin(self) -> None:
        """A step is asked for."""
        if self._begun is None:
            self._begun = time.perf_counter()

    def add(self, clips: int, seconds: Mapping[str, float], *, ready: int, cost: Cost | None = None) -> None:
        """A step of `clips` rows is handed out, `begin` came before it; `ready` steps lay ready when it was asked for.

        `cost`: of its plans.
        """
        assert self._begun is not None
        if cost is not None:
            self.decoded += cost.decoded
            for task, shown, alone in zip(self.shown, cost.shown, cost.alone, strict=True):
                self.shown[task] += shown
                self.alone[task] += alone
        self.steps += 1
        self.clips += clips
        self.ready += ready
        self.starved += ready == 0
        for name, spent in seconds.items():
            self.seconds[name] += spent
        self.elapsed = time.perf_counter() - self._begun

    def window(self) -> dict[str, float]:
        """What happened since this was last asked, as numbers for a log.

        `clips_per_second`; `queue`: steps that lay ready on average; `starved`: share of steps that the consumer had to wait
        for; `decoded`: pictures decoded for a clip, and `alone`: what each task by itself would have needed, in sum; and for
        each stage, and for the consumer, the share of the time that it was busy, by its name.
        """
        now, before = self._totals(), self._shown
        self._shown = now
        grown = {name: value - before[name] for name, value in now.items()}
        steps, elapsed = max(grown.pop("steps"), 1), max(grown.pop("elapsed"), 1e-9)
        rates = {name: grown.pop(name) / steps for name in ("queue", "starved")}
        clips = grown.pop("clips")
        rates |= {name: grown.pop(name) / max(clips, 1) for name in ("decoded", "alone")}
        return {"clips_per_second": clips / elapsed, **rates} | {
            name: spent / elapsed for name, spent in grown.items()
        }

    def _totals(self) -> dict[str, float]:
        counts = {"steps": self.steps, "clips": self.clips, "queue": self.ready, "starved": self.starved}
        counts |= {"decoded": self.decoded, "alone": sum(self.alone.values())}
        return {**counts, "elapsed": self.elapsed, **self.seconds, "consumer": self.consumer}

    @property
    def saved(self) -> float:
        """Share of the pictures of separate streams that one decode for all tasks did not need, in [0, 1]."""
        alone = sum(self.alone.values())
        return 1 - self.decoded / alone if alone else 0.0

    @property
    def consumer(self) -> float:
        """Seconds that the consumer took for itself between two steps."""
        return max(0.0, self.elapsed - self.seconds["wait"] - self.seconds["build"])

    @property
    def bottleneck(self) -> str:
        """A stage, or `consumer`: the most costly part of the thread that was busy for longest."""
        spent = {**self.seconds, "consumer": self.consumer}
        threads = (("read", "plan"), ("decode",), ("build", "consumer"))
        busiest = max(threads, key=lambda parts: sum(spent[part] for part in parts))
        return max(busiest, key=lambda part: spent[part])

    def __str__(self) -> str:
        rate = self.clips / self.elapsed if self.elapsed else 0.0
        shares = ", ".join(f"{name} {self.seconds[name]:.2f} s" for name in STAGES)
        queue = f"queue {self.ready / max(self.steps, 1):.1f}, starved {self.starved} of {self.steps} steps"
        return (
            f"{self.clips} clips in {self.elapsed:.2f} s ({rate:.0f}/s), {shares}; {queue}{self._together()}: "
            f"the bottleneck is {self.bottleneck}"
        )

    def _together(self) -> str:
        """What several tasks share; nothing to say of one."""
        if len(self.alone) < 2:
            return ""
        alone = ", ".join(f"{task} {count}" for task, count in self.alone.items())
        return f"; {self.decoded} pictures decoded instead of {alone}: {self.saved:.0%} saved"
