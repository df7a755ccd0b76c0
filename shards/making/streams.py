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

from unreel.shards.border.isolation import start_without_network
from unreel.shards.border.limits import DEFAULT_LIMITS, Limits
from unreel.shards.errors import MediaRefused

__all__ = ["Streams"]

_PIPE_BYTES: Final = 1 << 20
_MOST_FILES: Final = 64
_NO_MEMORY: Final = "Cannot allocate memory"
_COMPLAINT_BYTES: Final = 4096
# ffmpeg names its parts by their place in memory, which is another in every run.
_ADDRESS: Final = re.compile(r" @ 0x[0-9a-f]+\]")


class Streams:
    """A process that writes several pipes at once; `close` it in the end, whatever happened.

    `take` reads all pipes until the asked one has enough: a pipe that nobody drains would block the process, and with it
    the others. The process runs ahead by what the pipes hold and no further, so memory stays bounded.
    """

    def __init__(
        self,
        names: Sequence[str],
        command: Callable[[Mapping[str, int]], list[str]],
        *,
        limits: Limits = DEFAULT_LIMITS,
        seconds: float = 0.0,
    ) -> None:
        """`command` makes the argument list from the file descriptor of each of `names`.

        The process may give nothing for `limits.wall` seconds, and takes processor time for `seconds` of media.
        """
        self._limits, self._given = limits, 0
        pipes = {name: os.pipe() for name in (*names, "complaint")}
        try:
            self._process = _start(command, {name: write for name, (_, write) in pipes.items()})
            _restrain(self._process.pid, limits, seconds)
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
            MediaRefused: the process stalls, or gives more than `limits.output`.
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

    def take_lines(self, name: str) -> bytes:
        """The whole lines of a pipe that have been written and not yet taken; waits for none."""
        while any(key.data == name for key, _ in self._selector.select(0)):
            self._drain()
        buffer = self._buffers[name]
        return self.take(name, buffer.rfind(b"\n") + 1)

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
        if code == -signal.SIGXCPU:
            raise self._limits.refusal("cpu", "the decode took more seconds of processor time")
        if _NO_MEMORY in complaint or code == -signal.SIGKILL:
            raise self._limits.refusal("memory", "the decode needs more memory")
        if code < 0:
            raise MediaRefused("crashed", f"ffmpeg ended with: {signal.strsignal(-code)}")
        # Some demuxers end a damaged file with a complaint and no error.
        if code or complaint:
            first = _ADDRESS.sub("]", complaint.split("\n", 1)[0])
            raise MediaRefused("damaged", first or f"ffmpeg ended with code {code}")
        return rest

    def _is_open(self, name: str) -> bool:
        return any(key.data == name for key in self._selector.get_map().values())

    def _drain(self) -> None:
        ready = self._selector.select(self._limits.wall)
        if not ready:
            raise self._limits.refusal("wall", "ffmpeg gave nothing for longer")
        for key, _ in ready:
            data = os.read(key.fd, _PIPE_BYTES)
            self._given += len(data)
            if data:
                self._keep(key.data, data)
            else:
                self._selector.unregister(key.fd)
                os.close(key.fd)

        self._limits.check("output", self._given)

    def _keep(self, name: str, data: bytes) -> None:
        buffer = self._buffers[name]
        if name != "complaint" or len(buffer) < _COMPLAINT_BYTES:
            buffer += data


def _start(
    command: Callable[[Mapping[str, int]], list[str]], pipes: Mapping[str, int]
) -> subprocess.Popen[bytes]:
    return start_without_network(
        command(pipes),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=pipes["complaint"],
        pass_fds=[pipe for name, pipe in pipes.items() if name != "complaint"],
        # A group of its own, so that killing it kills whatever it has started; in the session of the worker, so that a
        # killed worker takes it along.
        process_group=0,
    )


def _restrain(process: int, limits: Limits, seconds: float) -> None:
    cpu = int(limits.decode_cpu(seconds))
    resource.prlimit(process, resource.RLIMIT_AS, (limits.memory, limits.memory))
    resource.prlimit(process, resource.RLIMIT_CPU, (cpu, cpu + 1))
    # It writes to pipes and to nothing else.
    resource.prlimit(process, resource.RLIMIT_FSIZE, (0, 0))
    resource.prlimit(process, resource.RLIMIT_CORE, (0, 0))
    resource.prlimit(process, resource.RLIMIT_NOFILE, (_MOST_FILES, _MOST_FILES))
