"""A pool of processes of this machine for a function and its jobs; a killed worker is an error and no hang."""

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Final, Self, TypeVar

from unreel.shards.errors import UnreelError

__all__ = ["Pool"]

Job = TypeVar("Job")
Result = TypeVar("Result")

_PR_SET_PDEATHSIG: Final = 1


class Pool:
    """Processes of this machine; with one worker, this process itself. Use it as a context manager.

    Functions and jobs may be anything that `multiprocessing` carries, which pickles them from one process of ours to the
    next; `engines` carries bytes alone, and outlives its workers.
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise ValueError(
                f"workers {workers}: allowed is 1 or more; this machine has {os.cpu_count()} cores"
            )
        # Started anew and not forked: a fork copies the locks of threads that it does not copy.
        spawn = multiprocessing.get_context("spawn")
        self._pool = (
            ProcessPoolExecutor(workers, spawn, initializer=_settle, initargs=(os.getpid(),))
            if workers > 1
            else None
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def run(self, work: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[Result]:
        """The result of each job, in the order in which they finish.

        Raises:
            UnreelError: a worker was killed.
        """
        if self._pool is None:
            yield from map(work, jobs)
            return
        try:
            for done in as_completed([self._pool.submit(work, job) for job in jobs]):
                yield done.result()
        except BrokenProcessPool as error:
            raise UnreelError(
                "a worker process was killed, by a crash or for lack of memory; what is committed stays, "
                "so the same command continues"
            ) from error


def _settle(parent: int) -> None:
    """A worker ends with its parent, even a killed one, and at once when it is interrupted."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if os.getppid() != parent:
        os._exit(1)
