"""Things that are begun before they are asked for, many at once: for places where each request takes its time."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any, Final, Generic, TypeVar

__all__ = ["Early"]

Result = TypeVar("Result")

THREADS: Final = 32
"""Requests at once: a request waits, and costs no core."""
HELD: Final = 4096
"""Begun and never asked for, of which the oldest are dropped: a loader that jumps leaves some behind."""


class Early(Generic[Result]):
    """Results of `work(*key)`, begun by `begin` and given out once by `take`. Threads may share it."""

    def __init__(self, work: Callable[..., Result]) -> None:
        self._work = work
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="unreel-fetch")
        self._begun: OrderedDict[tuple[Hashable, ...], Future[Result]] = OrderedDict()
        self._lock = Lock()

    def begin(self, keys: Iterable[tuple[Any, ...]]) -> None:
        """Begin the work of those keys that are not begun yet."""
        with self._lock:
            for key in keys:
                if key not in self._begun:
                    self._begun[key] = self._pool.submit(self._work, *key)
            while len(self._begun) > HELD:
                self._begun.popitem(last=False)[1].cancel()

    def take(self, key: tuple[Any, ...]) -> Result:
        """The result of `key`, begun here if it was not before; what `work` raises is raised here."""
        with self._lock:
            begun = self._begun.pop(key, None)
        return self._work(*key) if begun is None else begun.result()

    def close(self) -> None:
        """Drop what has not begun to run, and end the threads after what runs."""
        self._pool.shutdown(wait=True, cancel_futures=True)
