"""Any CPU backend in processes of its own: a crash or a hang costs one sample, and the run goes on.

Each thread of the pool owns one process and gives it a row at a time. A process that dies or stays silent is replaced;
the row that it had is tried once more, and a sample that has killed two is quarantined and not tried again.
"""

import os
import select
import signal
import subprocess
import sys
import threading
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, Final, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.decode.backend import (
    BatchShape,
    DecodeBackend,
    Decoded,
    batch_shape,
    check_row,
    failed,
    only_rgb,
)
from unreel.pipelines.decode.wire import Answer, Arena, pack_request, receive, send
from unreel.pipelines.plan import Plan
from unreel.shards.errors import DecodeFailed, DecoderKilled, UnreelError
from unreel.shards.reader import EncodedSample
from unreel.shards.sample import Sidecar

__all__ = ["Isolated"]

SILENT_SECONDS: Final = 8.0
"""A process that has not answered after this time is killed; a row takes milliseconds."""
_START_SECONDS: Final = 120.0
_STARTS: Final = 3
_DEATHS: Final = 2
"""Processes that one sample may kill before it is quarantined."""


class Isolated:
    """Decodes rows in `workers` processes; the same pixels and sound as the backend it wraps, whose name it has."""

    def __init__(self, backend: DecodeBackend, *, workers: int) -> None:
        """Start `workers` processes of the backend and one in reserve; `backend` itself answers what it declines, and is closed with this.

        Raises:
            ValueError: fewer than one worker.
        """
        if workers < 1:
            raise ValueError(f"workers {workers}: at least 1")
        self.name = backend.name
        self.deaths: Counter[str] = Counter()
        """`shard/key` → processes in a row that died while they decoded it."""
        self._backend = backend
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="decode-isolated")
        # One in reserve: a process takes seconds to start, and the next row should not wait for it.
        self._free = deque(_Worker(self.name) for _ in range(workers + 1))
        self._lock = threading.Lock()

    @property
    def version(self) -> str:
        """That of the wrapped backend: isolation changes no pixel."""
        return self._backend.version

    @property
    def processes(self) -> tuple[int, ...]:
        """Ids of the processes that wait for work."""
        return tuple(worker.process.pid for worker in self._free)

    def declines(self, sidecar: Sidecar) -> str | None:
        """What the wrapped backend says."""
        return self._backend.declines(sidecar)

    def decode(
        self, samples: Sequence[EncodedSample], plans: Sequence[Plan], *, pixels: str = "rgb"
    ) -> Decoded:
        """Decode all rows; see `DecodeBackend.decode`.

        Raises:
            UnreelError: a process cannot be started, or the backend has a bug.
        """
        only_rgb(f"{self.name} in processes of its own", pixels)
        shape = batch_shape(samples, plans)
        frames, audio = shape.blank(len(plans))

        def one(row: int) -> DecodeFailed | None:
            views = tuple(None if values is None else values[row] for values in (frames, audio))
            return self._row(samples[row], plans[row], shape, views)

        outcomes = enumerate(self._pool.map(one, range(len(plans))))
        failures = {row: error for row, error in outcomes if error is not None}
        return Decoded(frames=frames, audio=audio, failures=failures)

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for worker in self._free:
            worker.close()
        self._backend.close()

    def _row(
        self, sample: EncodedSample, plan: Plan, shape: BatchShape, views: Sequence[Tensor | None]
    ) -> DecodeFailed | None:
        name = f"{sample.shard}/{sample.sidecar.key}"
        try:
            check_row(sample, plan, shape, self.declines(sample.sidecar))
            while self.deaths[name] < _DEATHS:
                if self._attempt(sample, plan, views, name):
                    return None
            raise DecoderKilled(f"killed its decoder {_DEATHS} times; quarantined")
        except DecodeFailed as error:
            return failed(sample, self.name, error)

    def _attempt(self, sample: EncodedSample, plan: Plan, views: Sequence[Tensor | None], name: str) -> bool:
        """Whether a process lived through it. Raises DecodeFailed when it says that the sample cannot be decoded."""
        worker = self._take()
        try:
            worker.decode(sample, plan, views)
        except _Died:
            worker.close()
            with self._lock:
                self.deaths[name] += 1
            worker = _Worker(self.name)
            return False
        finally:
            with self._lock:
                self._free.append(worker)
        # A process may die for another reason, such as a want of memory: only deaths in a row are a sample's own.
        with self._lock:
            self.deaths.pop(name, None)
        return True

    def _take(self) -> "_Worker":
        """The process that has been free for longest, ready; one that is killed while it starts has no sample to blame."""
        with self._lock:
            worker = self._free.popleft()
        for _ in range(_STARTS):
            try:
                worker.start()
                return worker
            except _Died as error:
                worker.close()
                reason, worker = error, _Worker(self.name)
        with self._lock:
            self._free.append(worker)
        raise UnreelError(f"{_STARTS} decoder processes in a row did not start: {reason}")


class _Died(Exception):
    """The process ended, or said nothing for too long."""


class _Worker:
    """One decoder process and the memory shared with it."""

    def __init__(self, backend: str) -> None:
        self._arenas = Arena.create("unreel-requests"), Arena.create("unreel-answers")
        descriptors = [arena.descriptor for arena in self._arenas]
        command = [sys.executable, "-m", "unreel.pipelines.decode.worker", backend, str(os.getpid())]
        self.process = subprocess.Popen(
            [*command, *map(str, descriptors)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=descriptors,
            bufsize=0,
        )
        self._ready = False

    def start(self) -> None:
        """Wait until the process is ready, once. Raises _Died."""
        if not self._ready:
            self._receive(_START_SECONDS)
            self._ready = True

    def decode(self, sample: EncodedSample, plan: Plan, views: Sequence[Tensor | None]) -> None:
        """Have one row decoded into its views.

        Raises:
            DecodeFailed: the sample cannot be decoded.
            _Died: the process ended or stays silent.
            UnreelError: the backend has a bug.
        """
        needed = sum(0 if view is None else view.numel() * view.element_size() for view in views)
        requests, answers = self._arenas
        held = answers.grow(max(needed, 1))
        answer = self._ask(pack_request(sample, plan, requests, held))
        if answer.fault is not None:
            raise UnreelError(f"the decoder process failed:\n{answer.fault}")
        if answer.error is not None:
            raise DecodeFailed(answer.error)
        _take(np.frombuffer(answers.view(held), np.uint8), views)

    def close(self) -> None:
        """Kill the process and give the memory back."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        for arena in self._arenas:
            arena.close()

    def _ask(self, request: object) -> Answer:
        try:
            send(cast(BinaryIO, self.process.stdin), request)  # type: ignore[arg-type]
        except BrokenPipeError as error:
            raise _Died(self._words()) from error
        return self._receive(SILENT_SECONDS)

    def _receive(self, seconds: float) -> Answer:
        pipe = cast(BinaryIO, self.process.stdout)
        if not select.select([pipe], [], [], seconds)[0]:
            raise _Died(f"no answer in {seconds:.0f} s")
        answer = receive(pipe, Answer)
        if answer is None:
            raise _Died(self._words())
        return answer

    def _words(self) -> str:
        code = self.process.wait()
        return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def _take(data: NDArray[np.uint8], views: Sequence[Tensor | None]) -> None:
    """Copy pictures and sound out of the shared memory, one behind the other."""
    end = 0
    for view in views:
        if view is not None:
            out = view.numpy().reshape(-1).view(np.uint8)
            out[:] = data[end : end + out.nbytes]
            end += out.nbytes
