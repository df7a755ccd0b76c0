"""The host's half of a step: order → read → plan, from sidecars alone."""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from unreel.pipelines.draws import Draws
from unreel.pipelines.encoded import EncodedBatch, EncodedRow
from unreel.pipelines.failures import QUARANTINE
from unreel.pipelines.order import Place, Positions
from unreel.pipelines.plan import check_plan
from unreel.pipelines.pretext.task import PretextTask
from unreel.pipelines.stats import Stopwatch
from unreel.pipelines.tasks import unite_needs
from unreel.shards.catalogue import Catalogue
from unreel.shards.errors import PlanImpossible, ShardError, TooManyFailures
from unreel.shards.reader import Reader
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
    """Reads samples and plans them for one or more tasks. Threads may share it."""

    def __init__(
        self,
        readers: Sequence[Reader],
        order: Positions,
        tasks: Mapping[str, PretextTask],
        *,
        avoid: Collection[str] = frozenset(),
        share_moments: bool = False,
    ) -> None:
        """Prepare a planner.

        Args:
            readers: those of the data sets by `Place.part`.
            tasks: by name; each draws for itself, so that its plans do not depend on the others.
            avoid: names of samples (`EncodedRow.name`) that are not read; it may grow while the planner works.
            share_moments: plans are drawn from the same numbers for every task.
        """
        self._readers, self._order, self._tasks, self._avoid = readers, order, tasks, avoid
        self._moments = "moments of all tasks" if share_moments else ""
        self._prefixes = _prefixes([reader.catalogue for reader in readers])
        needs = unite_needs(tasks)
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
            TooManyFailures: a task cannot plan on any of the first samples of the run.
        """
        with watch.stage("read"):
            rows = [self._read(place) for place in self._order.locate(positions)]
        with watch.stage("plan"):
            for task in self._tasks:
                draws = self._draws(task, positions)
                for index, row in enumerate(rows):
                    self._plan(row, task, draws.row(index))
                    self._check_sound(row, task)
        rates = {task: 0 if sound is None else sound.rate for task, sound in self._sounds.items()}
        return EncodedBatch(positions, rows, rates)

    def trial(self, count: int, tasks: Collection[str] = ()) -> list[EncodedRow]:
        """The first samples of the run that `tasks`, or all tasks, can plan, `count` at most, with their plans.

        Raises:
            TooManyFailures: there is none; lists the reasons.
        """
        found: list[EncodedRow] = []
        reasons: dict[str, str] = {}
        wanted = tasks or list(self._tasks)
        for position in range(min(_SEARCHED, len(self._order))):
            row = self._read(self._order.locate([position])[0])
            for task in wanted:
                self._plan(row, task, self._draws(task, np.array([position])))
            if not row.failures:
                found.append(row)
            for _, reason in row.failures.values():
                reasons.setdefault(reason, row.name)
            if len(found) == count:
                break
        if not found:
            listed = "; ".join(f"{name}: {reason}" for reason, name in list(reasons.items())[:20])
            named = f"task{'s' * (len(wanted) > 1)} {' and '.join(wanted)} can plan"
            raise TooManyFailures(f"{named} on none of the first samples: {listed}")
        return found

    @cached_property
    def _sounds(self) -> dict[str, Audio | None]:
        """Task → rate and channels that all rows must have: those of the task's first sample, if it takes sound.

        Taken from the run and not from the batch, so that no row depends on its neighbours.
        """
        first = {task: self.trial(1, [task])[0] for task in self._tasks}
        return {
            task: None if row.sample is None or row.plans[task].sound is None else row.sample.sidecar.audio
            for task, row in first.items()
        }

    def _draws(self, task: str, positions: NDArray[np.int64]) -> Draws:
        return Draws.of(self._order.seed, self._tasks[task].name, positions, moments=self._moments)

    def _read(self, place: Place) -> EncodedRow:
        reader = self._readers[place.part]
        catalogue = reader.catalogue
        row = EncodedRow(shard=self._prefixes[place.part] + catalogue.path(place.shard).stem)
        try:
            known = catalogue.index(place.shard).samples[place.ordinal]
            # From the index, so that a damaged sample keeps its source: partners are chosen by it.
            row.key, row.source = known.key, known.source
            if place.conflict:
                self._fail(row, "order", f"sample {row.key}: {place.conflict}")
            elif row.name in self._avoid:
                self._fail(row, QUARANTINE, "has killed decoder processes and is not tried again")
            else:
                row.sample = reader.read(place.shard, place.ordinal, members=self._members)
        except ShardError as error:
            self._fail(row, "read", str(error))
        return row

    def _fail(self, row: EncodedRow, stage: str, reason: str) -> None:
        """The sample is of no use to any task."""
        row.failures = dict.fromkeys(self._tasks, (stage, reason))

    def _plan(self, row: EncodedRow, task: str, draws: Draws) -> None:
        if row.sample is None:
            return
        try:
            plan = self._tasks[task].plan(row.sample.sidecar, draws)
            check_plan(plan, row.sample.sidecar)
        except PlanImpossible as error:
            row.failures[task] = "plan", str(error)
        else:
            row.plans[task] = plan

    def _check_sound(self, row: EncodedRow, task: str) -> None:
        if row.sample is None or task not in row.plans or row.plans[task].sound is None:
            return
        audio, expected = row.sample.sidecar.audio, self._sounds[task]
        assert audio is not None and expected is not None
        if (audio.rate, audio.channels) != (expected.rate, expected.channels):
            wanted = f"{expected.rate} Hz and {expected.channels} channels expected"
            found = f"found {audio.rate} Hz and {audio.channels}"
            del row.plans[task]
            row.failures[task] = "plan", f"sample {row.key}: sound of {wanted}, {found}"


def _prefixes(catalogues: Sequence[Catalogue]) -> list[str]:
    """What goes before the names of shards, so that those of several data sets are told apart: nothing for one.

    Names of folders, and not their whole paths: a state goes on where the data sets lie elsewhere.
    """
    names = [Path(catalogue.folder).name for catalogue in catalogues]
    if len(names) == 1:
        return [""]
    alike = len(set(names)) < len(names)
    return [f"{number}-{name}/" if alike else f"{name}/" for number, name in enumerate(names)]
