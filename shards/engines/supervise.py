"""What happens when a worker dies: its job is done again, and a source that kills twice is left out and named."""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Final, Protocol, Self, TypeVar

from unreel.shards.engines.engine import Died, Engine
from unreel.shards.engines.work import Work, decode_outcome, encode_job, name_of
from unreel.shards.errors import WorkerLost

__all__ = ["DEATHS", "Job", "supervise"]

DEATHS: Final = 2
"""So many workers a source may kill until it is left out: one death may be chance, such as a system short of memory."""
_UNEXPLAINED: Final = 5
"""So many times a job may be lost without a source to blame."""


class Job(Protocol):
    """A job over several sources."""

    def without(self, source: str, why: str) -> Self:
        """The same job with `source`, as named in a note, left out and reported as the cause of deaths."""


Jobs = TypeVar("Jobs", bound=Job)
Result = TypeVar("Result")


def supervise(engine: Engine, work: Work[Jobs, Result], jobs: Sequence[Jobs]) -> Iterator[Result]:
    """The result of each job, in the order in which they end.

    Which sources are left out depends on the deaths alone, so that a source that always kills is left out of every build.

    Raises:
        WorkerLost: workers die before they reach a source, or a job is lost again and again.
        Exception: whatever the work raises.
    """
    todo, waiting, running = list(jobs), deque(range(len(jobs))), 0
    deaths: Counter[str] = Counter()
    while waiting or running:
        while waiting and engine.has_room:
            ticket = waiting.popleft()
            engine.submit(ticket, name_of(work), encode_job(todo[ticket]))
            running += 1
        event = engine.wait()
        running -= 1
        if isinstance(event, Died):
            todo[event.ticket] = _after_death(todo[event.ticket], event, deaths)
            waiting.appendleft(event.ticket)
        else:
            yield decode_outcome(work, event.outcome)


def _after_death(job: Jobs, event: Died, deaths: Counter[str]) -> Jobs:
    """The job as it is to be done again."""
    if not (event.blame and event.at):
        deaths[f"job {event.ticket}"] += 1
        if deaths[f"job {event.ticket}"] >= _UNEXPLAINED:
            raise WorkerLost(
                f"{_UNEXPLAINED} workers ended on one job, the last one: {event.how}; "
                "what is committed stays, so the same command continues"
            )
        return job
    deaths[event.at] += 1
    if deaths[event.at] < DEATHS:
        return job
    return job.without(event.at, f"{DEATHS} workers ended while they were at it, the last one: {event.how}")
