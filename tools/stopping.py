"""SIGTERM and SIGINT end a command in good order; the second one ends it at once."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["Stopped", "stop_in_good_order"]

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Stopped(BaseException):
    """A signal asked the command to stop. Not an `Exception`: nothing that handles failures may swallow it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def stop_in_good_order() -> Iterator[None]:
    """Inside the block the first signal raises `Stopped`, so that all that was begun is undone; the second ends the process.

    Python delivers signals to the main thread; elsewhere the block changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, _stop) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _stop(number: int, _frame: object) -> None:
    for each in _SIGNALS:
        signal.signal(each, _end)
    raise Stopped(number)


def _end(number: int, _frame: object) -> None:
    os._exit(128 + number)
