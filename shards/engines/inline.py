"""The engine that is this process: no start-up, and no protection from a source that kills it."""

from types import TracebackType
from typing import Self

from unreel.shards.engines.engine import Done
from unreel.shards.engines.work import perform

__all__ = ["InlineEngine"]


class InlineEngine:
    """One job at a time, in the process of the caller."""

    def __init__(self) -> None:
        self._job: tuple[int, str, bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._job = None

    @property
    def has_room(self) -> bool:
        """True while no job waits."""
        return self._job is None

    def submit(self, ticket: int, work: str, job: bytes) -> None:
        """Keep the job until `wait`."""
        self._job = ticket, work, job

    def wait(self) -> Done:
        """Do the job."""
        assert self._job is not None, "wait without a job"
        ticket, work, job = self._job
        self._job = None
        return Done(ticket, perform(work, job, lambda _source: None))
