"""The engine of processes of this machine: one job each, a dead one is replaced, none outlives the build."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from multiprocessing.connection import wait as wait_for_any
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from unreel.shards.engines.engine import Died, Done, Event

__all__ = ["LocalEngine"]

_GRACE_SECONDS: Final = 5.0
"""Workers that are told to end have so long to remove what they have half written."""
_NOTE: Final = b"n"


class LocalEngine:
    """Worker processes; a job that kills its worker costs that worker and no other.

    Each worker is a session of its own, so that whatever it has started can be found and ended with it. Only bytes go
    through the pipes: nothing is pickled, and the caller's main module is not imported again.
    """

    def __init__(self, workers: int) -> None:
        """`workers` processes, started when there is work for them."""
        if workers < 1:
            raise ValueError(
                f"workers {workers}: allowed is 1 or more; this machine has {os.cpu_count()} cores"
            )
        self._most = workers
        self._idle: list[_Worker] = []
        self._busy: dict[Connection, _Worker] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        workers = [*self._idle, *self._busy.values()]
        for worker in workers:
            worker.ask_to_end()
        until = time.monotonic() + _GRACE_SECONDS
        for worker in workers:
            worker.end(until)
        self._idle, self._busy = [], {}

    @property
    def has_room(self) -> bool:
        """True while a worker is idle or may be started."""
        return len(self._busy) < self._most

    def submit(self, ticket: int, work: str, job: bytes) -> None:
        """Give the job to an idle worker, or to a new one."""
        worker = self._idle.pop() if self._idle else _Worker()
        self._busy[worker.pipe] = worker
        worker.begin(ticket, work, job)

    def wait(self) -> Event:
        """The next end of a job or of a worker."""
        while True:
            for pipe in wait_for_any(list(self._busy)):
                assert isinstance(pipe, Connection)
                event = self._busy[pipe].read()
                if event is not None:
                    worker = self._busy.pop(pipe)
                    if isinstance(event, Done):
                        self._idle.append(worker)
                    return event


class _Worker:
    """One process, and this side of its pipe."""

    def __init__(self) -> None:
        self.pipe, theirs = Pipe()
        command = [
            sys.executable,
            "-m",
            "unreel.shards.engines.worker",
            str(theirs.fileno()),
            str(os.getpid()),
        ]
        # What can be imported here can be imported there, however it came to be so.
        path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": path},
        )
        theirs.close()
        self._ticket, self._note = 0, ""

    def begin(self, ticket: int, work: str, job: bytes) -> None:
        self._ticket, self._note = ticket, ""
        # A worker that has died meanwhile is found out by the next read.
        with suppress(BrokenPipeError):
            self.pipe.send_bytes(msgspec.msgpack.encode((work, job)))

    def read(self) -> Event | None:
        """What the worker sent, None for a note."""
        try:
            message = self.pipe.recv_bytes()
        except (EOFError, ConnectionResetError):
            return self._died()
        if message[:1] == _NOTE:
            self._note = message[1:].decode(errors="surrogateescape")
            return None
        return Done(self._ticket, message[1:])

    def _died(self) -> Died:
        self.end(time.monotonic() + _GRACE_SECONDS)
        code = self._process.returncode
        how = signal.strsignal(-code) if code < 0 else f"exit code {code}"
        return Died(self._ticket, self._note, str(how), blame=True)

    def ask_to_end(self) -> None:
        self._process.terminate()

    def end(self, until: float) -> None:
        """Wait for the end, or bring it about at `until` (monotonic seconds); then end all that the worker has started."""
        try:
            self._process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.pipe.close()
        _kill_session(self._process.pid)


def _kill_session(leader: int) -> None:
    for folder in Path("/proc").glob("[0-9]*"):
        # Processes come and go while they are looked at.
        with suppress(OSError):
            if _session(folder) == leader:
                os.kill(int(folder.name), signal.SIGKILL)


def _session(folder: Path) -> int:
    # Field 6 of proc(5); the name before it may hold spaces and ends with the last bracket.
    return int((folder / "stat").read_text().rpartition(")")[2].split()[3])
