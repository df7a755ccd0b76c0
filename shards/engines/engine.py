"""What an engine is: it takes bytes, gives bytes back, and reports deaths; what to do about them it leaves to others."""

from types import TracebackType
from typing import NamedTuple, Protocol, Self

__all__ = ["Died", "Done", "Engine", "Event"]


class Done(NamedTuple):
    """A job has ended."""

    ticket: int
    outcome: bytes
    """As `work.perform` gives it: the result, or the exception that was raised."""


class Died(NamedTuple):
    """The process that ran a job is gone, and with it all that the job had not committed."""

    ticket: int
    at: str
    """The job's last note: the source that it was at. Empty before the first."""
    how: str
    """What is known of the end, in words."""
    blame: bool
    """False where the cause lies outside the job, such as the loss of a whole machine."""


Event = Done | Died


class Engine(Protocol):
    """Runs work somewhere. Use it as a context manager: leaving it ends every process that it has started.

    Work is named and not sent: `module:function`, imported where it runs. Jobs and outcomes are bytes.
    """

    @property
    def has_room(self) -> bool:
        """True while another job would be begun soon."""

    def submit(self, ticket: int, work: str, job: bytes) -> None:
        """Take on a job; `ticket` is the caller's number for it."""

    def wait(self) -> Event:
        """The next event of any submitted job; blocks."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
