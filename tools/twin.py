"""The object-less twin of a data set: the same task on the same moments of clips in which there is nothing to see."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast

from unreel.pipelines.draws import Draws
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.plan import Plan
from unreel.pipelines.pretext.task import Needs, PretextBatch, PretextTask
from unreel.shards.catalogue import Catalogue
from unreel.shards.errors import PlanImpossible
from unreel.shards.reader import Reader
from unreel.shards.sample import Sidecar

__all__ = ["Transplanted", "transplant", "with_settings"]

Moment = tuple[str, int]
"""Name of a source and the frame at which a sample of it starts: equal for a clip and for its twin."""

Task = TypeVar("Task", bound=PretextTask)


@dataclass(frozen=True)
class Transplanted:
    """A task that plans each sample by the sidecar of its original, so that both show the same frames and windows.

    A twin's own sidecar would not do: nothing moves in it, and a planner that looks for motion plans something else.

    Attributes:
        task: what is planned and built.
        originals: folder of the data set whose twin is read.
    """

    task: PretextTask
    originals: str

    @property
    def name(self) -> str:
        """The task's own: its random numbers go by it."""
        return self.task.name

    @property
    def needs(self) -> Needs:
        """The task's needs; what moves is asked of the original when it is planned."""
        return replace(self.task.needs, min_motion=0.0)

    @cached_property
    def sidecars(self) -> Mapping[Moment, Sidecar]:
        """Every original's sidecar, by what it shows."""
        catalogue = Catalogue.open(self.originals)
        reader = Reader(catalogue)
        read = (reader.read(shard, ordinal, members=()).sidecar for shard, ordinal, _ in catalogue.rows())
        return {_moment(sidecar): sidecar for sidecar in read}

    def plan(self, sidecar: Sidecar, draws: Draws) -> Plan:
        """The plan of the original.

        Raises:
            PlanImpossible: the twin shows a moment that the data set does not, or its original cannot be planned.
        """
        original = self.sidecars.get(_moment(sidecar))
        if original is None:
            raise PlanImpossible(
                f"sample {sidecar.key}: no original of {sidecar.source.name} in the data set"
            )
        return self.task.plan(original, draws)

    def build(self, media: MediaBatch, draws: Draws) -> PretextBatch:
        """The task's own batch."""
        return self.task.build(media, draws)


def transplant(task: PretextTask, originals: Path) -> PretextTask:
    """`task` for the twin of the data set `originals`, without the guard that drops clips in which nothing changes."""
    moved = Transplanted(with_settings(task, min_difference=0.0), str(originals))
    # `name` is a class variable of tasks; here it is the wrapped task's.
    return cast(PretextTask, moved)


def with_settings(task: Task, **settings: Any) -> Task:
    """`task` with those of `settings` that it has."""
    known = {field.name for field in fields(task)}  # type: ignore[arg-type]
    return replace(task, **{name: value for name, value in settings.items() if name in known})  # type: ignore[type-var]


def _moment(sidecar: Sidecar) -> Moment:
    return sidecar.source.name, sidecar.source.start_frame
