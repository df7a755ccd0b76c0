"""The host's half of a step: order → read → plan, from sidecars alone."""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from unreel.pipelines.draws import Draws
from unreel.pipelines.encoded import EncodedBatch, EncodedRow
from unreel.pipelines.failures import QUARANTINE
from unreel.pipelines.order import Place, Positions
from unreel.pipelines.plan import Plan, check_plan
from unreel.pipelines.pretext.task import PretextTask
from unreel.pipelines.stats import Stopwatch
from unreel.shards.errors import PlanImpossible, ShardError, TooManyFailures
from unreel.shards.reader import EncodedSample, Reader
from unreel.shards.sample import Audio

__all__ = ["Planner"]

_SEARCHED: Final = 1024
"""Positions searched for the first samples that a task can plan on."""

_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "video": ("mp4",),
    "image": ("jpg",),
    "audio": ("flac", "opus"),
}
"""What is read of a sample beside its sidecar, by what the task needs."""


class Planner:
    """Reads samples and plans them for one task. Threads may share it."""

    def __init__(
        self,
        readers: Sequence[Reader],
        order: Positions,
        task: PretextTask,
        *,
        avoid: Collection[str] = frozenset(),
    ) -> None:
        """Prepare a planner.

        Args:
            readers: those of the data sets by `Place.part`.
            avoid: `shard/key` of samples that are not read; it may grow while the planner works.
        """
        self._readers, self._order, self._task, self._avoid = readers, order, task, avoid
        needs = task.needs
        self._members = [name for need, names in _MEMBERS.items() if getattr(needs, need) for name in names]

    def expect(self, positions: NDArray[np.int64]) -> None:
        """Begin to fetch the samples at `positions`, where they lie behind a URL."""
        if not any(reader.catalogue.remote for reader in self._readers):
            return
        for place in self._order.locate(positions):
            self._readers[place.part].prefetch([(place.shard, place.ordinal)], members=self._members)

    def close(self) -> None:
        """End what is being fetched."""
        for reader in self._readers:
            reader.close()

    def prepare(self, positions: NDArray[np.int64], watch: Stopwatch) -> EncodedBatch:
        """Read and plan the samples at `positions`; a row that fails carries its reason.

        Raises:
            TooManyFailures: the task cannot plan on any of the first samples of the run.
        """
        with watch.stage("read"):
            rows = [self._read(place) for place in self._order.locate(positions)]
        draws = self._draws(positions)
        with watch.stage("plan"):
            for index, row in enumerate(rows):
                self._plan(row, draws.row(index))
                self._check_sound(row)
        return EncodedBatch(positions, rows, 0 if self._sound is None else self._sound.rate)

    def trial(self, count: int) -> list[tuple[EncodedSample, Plan]]:
        """The first samples of the run that can be planned, `count` at most, with their plans.

        Raises:
            TooManyFailures: there is none; lists the reasons.
        """
        found: list[tuple[EncodedSample, Plan]] = []
        reasons: dict[str, str] = {}
        for position in range(min(_SEARCHED, len(self._order))):
            row = self._read(self._order.locate([position])[0])
            self._plan(row, self._draws(np.array([position])))
            if row.sample is not None and row.plan is not None:
                found.append((row.sample, row.plan))
            elif row.failure is not None:
                reasons.setdefault(row.failure[1], row.name)
            if len(found) == count:
                break
        if not found:
            listed = "; ".join(f"{name}: {reason}" for reason, name in list(reasons.items())[:20])
            raise TooManyFailures(f"task {self._task.name} can plan on none of the first samples: {listed}")
        return found

    @cached_property
    def _sound(self) -> Audio | None:
        """Rate and channels that all rows must have: those of the first sample of the run, if it takes sound.

        Taken from the run and not from the batch, so that no row depends on its neighbours.
        """
        sample, plan = self.trial(1)[0]
        return None if plan.sound is None else sample.sidecar.audio

    def _draws(self, positions: NDArray[np.int64]) -> Draws:
        return Draws.of(self._order.seed, self._task.name, positions)

    def _read(self, place: Place) -> EncodedRow:
        reader = self._readers[place.part]
        catalogue = reader.catalogue
        row = EncodedRow(shard=catalogue.path(place.shard).stem)
        try:
            known = catalogue.index(place.shard).samples[place.ordinal]
            # From the index, so that a damaged sample keeps its source: partners are chosen by it.
            row.key, row.source = known.key, known.source
            if place.conflict:
                row.failure = ("order", f"sample {row.key}: {place.conflict}")
            elif row.name in self._avoid:
                row.failure = (QUARANTINE, "has killed decoder processes and is not tried again")
            else:
                row.sample = reader.read(place.shard, place.ordinal, members=self._members)
        except ShardError as error:
            row.failure = ("read", str(error))
        return row

    def _plan(self, row: EncodedRow, draws: Draws) -> None:
        if row.sample is None:
            return
        try:
            plan = self._task.plan(row.sample.sidecar, draws)
            check_plan(plan, row.sample.sidecar)
        except PlanImpossible as error:
            row.failure = ("plan", str(error))
        else:
            row.plan = plan

    def _check_sound(self, row: EncodedRow) -> None:
        if row.sample is None or row.plan is None or row.plan.sound is None:
            return
        audio, expected = row.sample.sidecar.audio, self._sound
        assert audio is not None and expected is not None
        if (audio.rate, audio.channels) != (expected.rate, expected.channels):
            wanted = f"{expected.rate} Hz and {expected.channels} channels expected"
            found = f"found {audio.rate} Hz and {audio.channels}"
            row.plan, row.failure = None, ("plan", f"sample {row.key}: sound of {wanted}, {found}")
