"""A worker process of the local engine: jobs come in through a pipe, notes and outcomes go out, until the pipe ends."""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from unreel.shards.engines.work import perform

__all__ = ["main", "settle_in"]

_PR_SET_PDEATHSIG: Final = 1
# When memory runs out, the system ends a worker, whose job can be done again, before it ends the builder.
_OOM_SCORE: Final = "500"


def main() -> None:
    """Serve the pipe with the descriptor `argv[1]` for the process `argv[2]`."""
    settle_in(int(sys.argv[2]))
    with Connection(int(sys.argv[1])) as pipe, suppress(EOFError):
        while True:
            work, job = msgspec.msgpack.decode(pipe.recv_bytes(), type=tuple[str, bytes])
            outcome = perform(
                work, job, lambda text: pipe.send_bytes(b"n" + text.encode(errors="surrogateescape"))
            )
            pipe.send_bytes(b"d" + outcome)


def settle_in(parent: int) -> None:
    """End with the parent, even a killed one; end in good order when asked to; leave interrupts to the parent."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    if os.getppid() != parent:
        os._exit(1)


def _leave(number: int, _frame: object) -> NoReturn:
    # Raised where the work is, so that its context managers remove what they have begun.
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
