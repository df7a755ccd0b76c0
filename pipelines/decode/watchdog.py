"""A call that may never return, with a limit: the caller goes on, and the thread that hangs is left to itself."""

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

__all__ = ["Hung", "within"]

Result = TypeVar("Result")


class Hung(Exception):
    """The call has not returned in time. It may hold what it was given for ever: use none of that again."""


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """What `call()` returns or raises, if that takes no longer than `seconds`.

    Raises:
        Hung: it takes longer.
    """
    answers: SimpleQueue[tuple[Result | None, BaseException | None]] = SimpleQueue()

    def work() -> None:
        try:
            answers.put((call(), None))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            answers.put((None, error))

    # A daemon: a thread inside a library cannot be ended, and must not keep the process alive.
    Thread(target=work, name="watched", daemon=True).start()
    try:
        result, error = answers.get(timeout=seconds)
    except Empty:
        raise Hung(f"no answer in {seconds:g} s") from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]
