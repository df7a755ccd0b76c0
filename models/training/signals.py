"""SIGTERM and SIGINT ask a run to stop after its step; the second one ends it at once, where one process asks."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["StopRequest", "stop_requests"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Which signal asked for a stop, None as long as none has."""

    def __init__(self, *, once: bool = False) -> None:
        self.signal: signal.Signals | None = None
        self._once = once

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Remember the signal, and, unless one is all that counts, let a second end the process as if nobody listened."""
        self.signal = self.signal or signal.Signals(number)
        if self._once:
            return
        for each in _SIGNALS:
            # Not Python's own handler: its KeyboardInterrupt would wait for the checkpoint that is being written.
            signal.signal(each, signal.SIG_DFL)


@contextmanager
def stop_requests(*, once: bool = False) -> Iterator[StopRequest]:
    """Listen inside the block. Python delivers signals to the main thread only; elsewhere nothing is received.

    Args:
        once: further signals change nothing: those of a launcher that a terminal or a scheduler signals beside its
            children come twice.
    """
    request = StopRequest(once=once)
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    previous = {number: signal.signal(number, request.receive) for number in _SIGNALS}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
