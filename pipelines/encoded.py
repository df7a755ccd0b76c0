"""The encoded half of a batch: samples read and plans made on the host, each row with its failure if it has one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from unreel.pipelines.decode.backend import DecodeBackend, Decoded
from unreel.pipelines.decode.together import decode_together, spread
from unreel.pipelines.failures import QUARANTINE, describe
from unreel.pipelines.media import MediaBatch, SampleFailure
from unreel.pipelines.plan import Plan
from unreel.pipelines.plans import Cost, cost_of
from unreel.shards.errors import DecoderKilled, TooManyFailures
from unreel.shards.reader import EncodedSample

__all__ = ["EncodedBatch", "EncodedRow"]


@dataclass(slots=True)
class EncodedRow:
    """One row on its way to the decoder.

    Attributes:
        shard, key, source: which sample, the name of the data set before that of the shard where there are several; key and
            source are "" where the index could not be read.
        sample: None where the sample could not be read.
        plans: task → what it takes of the sample; tasks that cannot plan it are missing.
        failures: task → (stage, reason) of what went wrong.
    """

    shard: str
    key: str = ""
    source: str = ""
    sample: EncodedSample | None = None
    plans: dict[str, Plan] = field(default_factory=dict)
    failures: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`shard/key`, or `data set/shard/key` where there are several."""
        return f"{self.shard}/{self.key}"

    def wanted(self, task: str) -> Plan | None:
        """What is decoded for a task; None where something went wrong before."""
        return None if task in self.failures else self.plans.get(task)


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """The rows of one step on one rank.

    Attributes:
        positions: i64 `[B]`.
        rows: B rows.
        audio_rates: task → samples per second of every row's sound; 0 without sound.
    """

    positions: NDArray[np.int64]
    rows: Sequence[EncodedRow]
    audio_rates: dict[str, int]

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks, in their order."""
        return list(self.audio_rates)

    def cost(self) -> Cost:
        """Pictures that are shown and decoded for all rows, by the plans alone."""
        costs = [
            cost_of([row.wanted(task) for task in self.tasks], row.sample.sidecar)
            for row in self.rows
            if row.sample is not None
        ]
        return Cost.sum(costs, tasks=len(self.tasks))

    def decode(self, backend: DecodeBackend, *, pixels: str = "rgb") -> dict[str, MediaBatch]:
        """Decode the rows that have a plan, once for all tasks; the others keep their place and hold zeros.

        Raises:
            TooManyFailures: a task has no row with a plan, so that not even the shape of its batch is known.
        """
        ready = [i for i, row in enumerate(self.rows) if any(map(row.wanted, self.tasks))]
        plans = [[self.rows[i].wanted(task) for i in ready] for task in self.tasks]
        for task, wanted in zip(self.tasks, plans, strict=True):
            if not any(wanted):
                self._stop(task)
        samples = [sample for i in ready if (sample := self.rows[i].sample) is not None]
        found = decode_together(backend, samples, plans, pixels=pixels)
        for task, decoded in zip(self.tasks, found, strict=True):
            for index, error in decoded.failures.items():
                stage = QUARANTINE if isinstance(error.__cause__, DecoderKilled) else "decode"
                self.rows[ready[index]].failures[task] = stage, str(error)
        return {
            task: self._media(task, spread(decoded, ready, len(self.rows)))
            for task, decoded in zip(self.tasks, found, strict=True)
        }

    @property
    def failures(self) -> tuple[SampleFailure, ...]:
        """What failed, row by row: one entry where it is the same for all tasks, else one for each that failed."""
        return tuple(failure for index, row in enumerate(self.rows) for failure in self._of_row(index, row))

    def _stop(self, task: str) -> None:
        of_task = f" of task {task}" if len(self.tasks) > 1 else ""
        failed = describe([f for f in self.failures if f.task in ("", task)])
        raise TooManyFailures(f"all {len(self.rows)} samples of a batch{of_task} failed: {failed}")

    def _of_row(self, index: int, row: EncodedRow) -> Iterator[SampleFailure]:
        found = [(task, row.failures[task]) for task in self.tasks if task in row.failures]
        alike = len(found) == len(self.tasks) and len({why for _, why in found}) == 1
        for task, why in found[:1] if alike else found:
            where = index, int(self.positions[index]), row.shard, row.key
            yield SampleFailure(*where, *why, task="" if alike else task)

    def _media(self, task: str, decoded: Decoded) -> MediaBatch:
        return MediaBatch(
            frames=decoded.frames,
            yuv=decoded.yuv,
            audio=decoded.audio,
            audio_rate=self.audio_rates[task],
            valid=torch.tensor([task not in row.failures for row in self.rows]),
            positions=self.positions,
            keys=tuple(row.key for row in self.rows),
            sources=tuple(row.source for row in self.rows),
            plans=tuple(row.plans.get(task) for row in self.rows),
            sidecars=tuple(None if row.sample is None else row.sample.sidecar for row in self.rows),
            failures=tuple(f for f in self.failures if f.task in ("", task)),
        )
