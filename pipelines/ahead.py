"""Steps worked on ahead of the consumer: two stages, one thread each, at most `depth` steps waiting."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

__all__ = ["Ahead"]

Between = TypeVar("Between")
Result = TypeVar("Result")


class Ahead(Generic[Between, Result]):
    """A bounded queue of futures by step number.

    It holds no reference to its owner, whose threads therefore end with it even where nobody calls `close`.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._steps: dict[int, Future[Result]] = {}
        # A thread for each stage: with one for both, decoders would idle while the next step is planned.
        self._first = ThreadPoolExecutor(1, thread_name_prefix="unreel-prepare")
        self._second = ThreadPoolExecutor(1, thread_name_prefix="unreel-decode")

    def take(self, step: int, first: Callable[[int], Between], second: Callable[[Between], Result]) -> Result:
        """Wait for `step`; the steps after it are begun before.

        What either stage raises is raised here. Everything that was begun is then dropped, so that a consumer which can
        mend the cause may take the same step again.
        """
        wanted = range(step, step + self._depth + 1)
        self._drop(number for number in list(self._steps) if number not in wanted)
        for number in wanted:
            if number not in self._steps:
                self._steps[number] = self._begin(number, first, second)
        try:
            return self._steps.pop(step).result()
        except BaseException:
            self.forget()
            raise

    @property
    def ready(self) -> int:
        """Steps that are begun and through with both stages: what a consumer finds without waiting."""
        return sum(step.done() for step in self._steps.values())

    def forget(self) -> None:
        """Drop every step that was begun."""
        self._drop(list(self._steps))

    def close(self) -> None:
        """End the threads after what they are doing now."""
        self.forget()
        self._first.shutdown(cancel_futures=True)
        self._second.shutdown(cancel_futures=True)

    def _drop(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._steps.pop(number).cancel()

    def _begin(
        self, step: int, first: Callable[[int], Between], second: Callable[[Between], Result]
    ) -> Future[Result]:
        between = self._first.submit(first, step)
        return self._second.submit(lambda: second(between.result()))
