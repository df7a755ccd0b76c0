"""One ffmpeg process and the pipes that it fills, drained together by one thread."""

import fcntl
import os
import re
import resource
import selectors
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from unreel.shards.errors import MediaRefused

__all__ = ["Streams"]

_PIPE_BYTES: Final = 1 << 20
_MEMORY_BYTES: Final = 8 << 30
"""Address space that one ffmpeg may take."""
_STALL_SECONDS: Final = 60.0
"""A process that gives nothing on any pipe for so long is killed."""
_COMPLAINT_BYTES: Final = 4096
# ffmpeg names its parts by their place in memory, which is another in every run.
_ADDRESS: Final = re.compile(r" @ 0x[0-9a-f]+\]")


class Streams:
    """A process that writes several pipes at once; `close` it in the end, whatever happened.

    `take` reads all pipes until the asked one has enough: a pipe that nobody drains would block the process, and with it
    the others. The process runs ahead by what the pipes hold and no further, so memory stays bounded.
    """

    def __init__(self, names: Sequence[str], command: Callable[[Mapping[str, int]], list[str]]) -> None:
        """`command` makes the argument list from the file descriptor of each of `names`."""
        pipes = {name: os.pipe() for name in (*names, "complaint")}
        try:
            self._process = _start(command, {name: write for name, (_, write) in pipes.items()})
        except BaseException:
            for read, _ in pipes.values():
                os.close(read)
            raise
        finally:
            for _, write in pipes.values():
                os.close(write)
        self._buffers = {name: bytearray() for name in pipes}
        self._selector = selectors.DefaultSelector()
        for name, (read, _) in pipes.items():
            fcntl.fcntl(read, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            self._selector.register(read, selectors.EVENT_READ, name)

    def close(self) -> None:
        """Kill the process if it still runs, and close the pipes."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for key in list(self._selector.get_map().values()):
            os.close(key.fd)
        self._selector.close()

    def take(self, name: str, size: int) -> bytes:
        """The next `size` bytes of a pipe, fewer only at its end.

        Raises:
            MediaRefused: the process stalls.
        """
        buffer = self._buffers[name]
        while len(buffer) < size and self._is_open(name):
            self._drain()
        taken = bytes(memoryview(buffer)[:size])
        del buffer[:size]
        return taken

    def take_line(self, name: str) -> str | None:
        """The next line of a pipe without its end, None at the end of the pipe."""
        buffer = self._buffers[name]
        while (end := buffer.find(b"\n")) < 0 and self._is_open(name):
            self._drain()
        line = self.take(name, end + 1 if end >= 0 else len(buffer))
        return line.decode().rstrip("\n") if line else None

    def finish(self) -> dict[str, bytes]:
        """Read all pipes to their ends; what was not yet taken of each.

        Raises:
            MediaRefused: the process failed or complained, with the first line of its complaint.
        """
        while self._selector.get_map():
            self._drain()
        code = self._process.wait()
        rest = {name: bytes(buffer) for name, buffer in self._buffers.items()}
        complaint = rest.pop("complaint").decode(errors="replace").strip()
        # Some demuxers end a damaged file with a complaint and no error.
        if code or complaint:
            first = _ADDRESS.sub("]", complaint.split("\n", 1)[0])
            raise MediaRefused("damaged", first or f"ffmpeg ended with code {code}")
        return rest

    def _is_open(self, name: str) -> bool:
        return any(key.data == name for key in self._selector.get_map().values())

    def _drain(self) -> None:
        ready = self._selector.select(_STALL_SECONDS)
        if not ready:
            raise MediaRefused("stalled", f"ffmpeg gave nothing for {_STALL_SECONDS:.0f} s")
        for key, _ in ready:
            data = os.read(key.fd, _PIPE_BYTES)
            if data:
                self._keep(key.data, data)
            else:
                self._selector.unregister(key.fd)
                os.close(key.fd)

    def _keep(self, name: str, data: bytes) -> None:
        buffer = self._buffers[name]
        if name != "complaint" or len(buffer) < _COMPLAINT_BYTES:
            buffer += data


def _start(
    command: Callable[[Mapping[str, int]], list[str]], pipes: Mapping[str, int]
) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        command(pipes),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=pipes["complaint"],
        pass_fds=[pipe for name, pipe in pipes.items() if name != "complaint"],
        # A group of its own, so that killing it kills whatever it has started.
        start_new_session=True,
    )
    resource.prlimit(process.pid, resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    return process
