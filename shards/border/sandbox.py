"""A process that may be killed: what is hostile in a source meets it, and the worker only reads its answer.

The process has no network (seccomp refuses `socket`, for it and for whatever it starts), writes no file, and has limits on
its address space, its processor time and its open files. It is kept from source to source; a death costs one source and
the start of another process.
"""

import atexit
import os
import resource
import selectors
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

import msgspec

from unreel.shards.border.isolation import start_without_network
from unreel.shards.border.limits import Limits
from unreel.shards.border.probe import Probe
from unreel.shards.errors import MediaRefused
from unreel.shards.foreign.members import Described
from unreel.shards.intake.sources import SourceFile
from unreel.shards.making.copying import CopiedClip, StoredPackets, Verdict
from unreel.shards.making.profiles import Profile

__all__ = [
    "LENGTH",
    "Answer",
    "AnyRequest",
    "ConformRequest",
    "CopyRequest",
    "MemberRequest",
    "PictureRequest",
    "Request",
    "StoredPicture",
    "copy_safely",
    "describe_safely",
    "find_safely",
    "probe_safely",
    "store_safely",
]

LENGTH: Final = struct.Struct("<I")
"""What goes before a request or an answer: its length in bytes."""
_COMMAND: Final = (sys.executable, "-m", "unreel.shards.border.sandboxed")
_MOST_ANSWER_BYTES: Final = 64 << 20
_MOST_FILES: Final = 64
# Libraries that start a thread for each core would need address space by the number of cores.
_ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Request(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What the process is asked: what is this source?"""

    source: SourceFile
    profile: Profile
    limits: Limits


class MemberRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What the process is asked: what is this member of a tar?"""

    path: str
    """Of the tar."""
    offset: int
    size: int
    name: str
    """Its extension."""
    limits: Limits


class PictureRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What the process is asked: what is stored of this still picture?"""

    path: str
    form: str
    """Pillow's name of its format."""
    size: tuple[int, int]
    """(width, height) of what is stored."""
    profile: Profile
    limits: Limits


class ConformRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What the process is asked: which packets of this source can be copied?"""

    path: str
    probe: Probe
    profile: Profile
    limits: Limits


class CopyRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What the process is asked: these packets of the source as a member."""

    path: str
    probe: Probe
    profile: Profile
    packets: StoredPackets
    limits: Limits


AnyRequest = Request | MemberRequest | PictureRequest | ConformRequest | CopyRequest


class StoredPicture(msgspec.Struct, frozen=True):
    """A still picture as it is stored."""

    jpeg: bytes
    pixels: bytes
    """uint8 `[H, W, 3]`, row by row."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One of these: what was found, a refusal (reason, detail), or the traceback of a mistake of ours."""

    probe: Probe | None = None
    member: Described | None = None
    picture: StoredPicture | None = None
    verdict: Verdict | None = None
    clip: CopiedClip | None = None
    refused: tuple[str, str] | None = None
    failed: str | None = None


def probe_safely(source: SourceFile, profile: Profile, limits: Limits) -> Probe:
    """`probe` in a process of its own.

    Raises:
        MediaRefused: as `probe` does; or `crashed`, `timed-out`, `too-much-memory` where the process did not survive it.
    """
    size = os.path.getsize(source.path) if os.path.exists(source.path) else 0
    request = Request(source=source, profile=profile, limits=limits)
    answer = _answer(request, source.path, limits, size)
    assert answer.probe is not None
    return answer.probe


def describe_safely(request: MemberRequest) -> Described:
    """`describe_member` in a process of its own.

    Raises:
        MediaRefused: as `describe_member` does, or because the process did not survive it; see `probe_safely`.
    """
    answer = _answer(request, request.path, request.limits, request.size)
    assert answer.member is not None
    return answer.member


def store_safely(request: PictureRequest) -> StoredPicture:
    """`store_picture` in a process of its own.

    Raises:
        MediaRefused: as `open_picture` does, or because the process did not survive it; see `probe_safely`.
    """
    answer = _answer(request, request.path, request.limits, os.path.getsize(request.path))
    assert answer.picture is not None
    return answer.picture


def find_safely(request: ConformRequest) -> Verdict:
    """`find_packets_to_copy` in a process of its own.

    Raises:
        MediaRefused: the process did not survive it; see `probe_safely`.
    """
    answer = _answer(request, request.path, request.limits, os.path.getsize(request.path))
    assert answer.verdict is not None
    return answer.verdict


def copy_safely(request: CopyRequest) -> CopiedClip:
    """`clip_of` in a process of its own.

    Raises:
        MediaRefused: as `clip_of` does, or because the process did not survive it; see `probe_safely`.
    """
    answer = _answer(request, request.path, request.limits, os.path.getsize(request.path))
    assert answer.clip is not None
    return answer.clip


def _answer(request: AnyRequest, path: str, limits: Limits, size: int) -> Answer:
    with _lock:
        data = _ask(msgspec.json.encode(request), limits, limits.probe_wall(size))
    answer = msgspec.json.decode(data, type=Answer)
    if answer.refused is not None:
        raise MediaRefused(*answer.refused)
    if answer.failed is not None:
        raise RuntimeError(f"probing {path} failed:\n{answer.failed}")
    return answer


class _Child:
    """The running process."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.answered = 0
        self.process = start_without_network(
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | _ONE_THREAD,
            bufsize=0,
        )
        for name, most in ((resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_NOFILE, _MOST_FILES)):
            resource.prlimit(self.process.pid, name, (most, most))
        resource.prlimit(self.process.pid, resource.RLIMIT_CORE, (0, 0))
        resource.prlimit(self.process.pid, resource.RLIMIT_AS, (limits.memory, limits.memory))

    def ask(self, request: bytes, wall: float) -> bytes:
        """The answer to a request. Raises EOFError when the process died, TimeoutError after `wall` seconds."""
        assert self.process.stdin is not None
        until = time.monotonic() + wall
        # The limit is on all that the process has used, so each source moves it.
        soft = int(_cpu_seconds(self.process.pid) + self.limits.cpu) + 1
        resource.prlimit(self.process.pid, resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))
        try:
            self.process.stdin.write(LENGTH.pack(len(request)) + request)
        except BrokenPipeError as error:
            raise EOFError from error
        (length,) = LENGTH.unpack(self._read(LENGTH.size, until))
        if length > _MOST_ANSWER_BYTES:
            raise EOFError
        answer = self._read(length, until)
        self.answered += 1
        return answer

    def _read(self, size: int, until: float) -> bytes:
        assert self.process.stdout is not None
        data = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while len(data) < size:
                if not selector.select(max(0.0, until - time.monotonic())):
                    raise TimeoutError
                part = os.read(self.process.stdout.fileno(), size - len(data))
                if not part:
                    raise EOFError
                data += part
        return bytes(data)

    def end(self) -> int:
        """Kill the process; its return code, below 0 for a signal."""
        if self.process.poll() is None:
            # Whoever ends by itself in this moment is waited for a moment, so that its own signal is seen.
            try:
                self.process.wait(0.1)
            except subprocess.TimeoutExpired:
                self.process.kill()
        code = self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        return code


_child: _Child | None = None
_lock = threading.Lock()


def _ask(request: bytes, limits: Limits, wall: float) -> bytes:
    """A death of a process that has answered before may be the fault of what came before: asked again, in a fresh one."""
    global _child
    if _child is not None and _child.limits != limits:
        close()
    while True:
        child = _child = _child or _Child(limits)
        try:
            return child.ask(request, wall)
        except (EOFError, TimeoutError) as error:
            fresh = child.answered == 0
            refusal = _verdict(error, child, limits)
            _child = None
            if fresh or refusal.reason == "timed-out":
                raise refusal from error


def _verdict(error: Exception, child: _Child, limits: Limits) -> MediaRefused:
    if isinstance(error, TimeoutError):
        child.process.kill()
    code = child.end()
    if isinstance(error, TimeoutError):
        return limits.refusal("wall", "the probe took longer")
    if code == -signal.SIGXCPU:
        return limits.refusal("cpu", "the probe took more seconds of processor time")
    if code == -signal.SIGKILL:
        return limits.refusal("memory", "the probe was killed, as the system does when memory runs out")
    ending = signal.strsignal(-code) if code < 0 else f"code {code}"
    return MediaRefused("crashed", f"the process that opened it ended with: {ending}")


def _cpu_seconds(process: int) -> float:
    """Processor time that a process has used so far."""
    # Fields 14 and 15 of proc(5); the name before them may hold spaces and ends with the last bracket.
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@atexit.register
def close() -> None:
    """End the process of this worker, if there is one."""
    global _child
    if _child is not None:
        _child.process.kill()
        _child.end()
        _child = None
