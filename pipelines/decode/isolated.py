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

from unreel.pipelines.decode.backend import DecodeBackend, Decoded, check_pixels, failed
from unreel.pipelines.decode.views import View, make_views
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
        return self.decode_together(samples, [plans], pixels=pixels)[0]

    def decode_together(
        self, samples: Sequence[EncodedSample], plans: Sequence[Sequence[Plan | None]], *, pixels: str = "rgb"
    ) -> list[Decoded]:
        """Decode all rows for all tasks; see `TogetherBackend.decode_together`. Raises as `decode`."""
        check_pixels(self.name, pixels)
        views = make_views(samples, plans, pixels)
        for view in views:
            view.check(self, samples)
        list(self._pool.map(lambda row: self._row(samples[row], row, views), range(len(samples))))
        return [view.finish(samples) for view in views]

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for worker in self._free:
            worker.close()
        self._backend.close()

    def _row(self, sample: EncodedSample, row: int, views: Sequence[View]) -> None:
        """Decode one row into the views that have a plan for it; a process that dies fails it for all of them."""
        name = f"{sample.shard}/{sample.sidecar.key}"
        wanted = [view for view in views if view.plans[row] is not None]
        while wanted and self.deaths[name] < _DEATHS:
            if (errors := self._attempt(sample, row, wanted, name)) is None:
                continue
            for view, reason in zip(wanted, errors, strict=True):
                if reason is not None:
                    view.fail(row, failed(sample, self.name, DecodeFailed(reason)))
            return
        for view in wanted:
            killed = DecoderKilled(f"killed its decoder {_DEATHS} times; quarantined")
            view.fail(row, failed(sample, self.name, killed))

    def _attempt(
        self, sample: EncodedSample, row: int, views: Sequence[View], name: str
    ) -> list[str | None] | None:
        """For each view why it cannot have the row, None where it has it; None for all when the process has died."""
        worker = self._take()
        try:
            errors = worker.decode(sample, row, views)
        except _Died:
            worker.close()
            with self._lock:
                self.deaths[name] += 1
            worker = _Worker(self.name)
            return None
        finally:
            with self._lock:
                self._free.append(worker)
        # A process may die for another reason, such as a want of memory: only deaths in a row are a sample's own.
        with self._lock:
            self.deaths.pop(name, None)
        return errors

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

    def decode(self, sample: EncodedSample, row: int, views: Sequence[View]) -> list[str | None]:
        """Have one row decoded into its views; for each why it cannot have it, or None.

        Raises:
            _Died: the process ended or stays silent.
            UnreelError: the backend has a bug.
        """
        parts = [values[row] for view in views for values in view.tensors]
        plans = [plan for view in views if (plan := view.plans[row]) is not None]
        requests, answers = self._arenas
        held = answers.grow(max(sum(part.numel() * part.element_size() for part in parts), 1))
        answer = self._ask(pack_request(sample, plans, views[0].shape.pixels, requests, held))
        if answer.fault is not None:
            raise UnreelError(f"the decoder process failed:\n{answer.fault}")
        _take(np.frombuffer(answers.view(held), np.uint8), parts)
        return answer.errors

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


def _take(data: NDArray[np.uint8], parts: Sequence[Tensor]) -> None:
    """Copy pictures and sound out of the shared memory, one behind the other."""
    end = 0
    for part in parts:
        out = part.numpy().reshape(-1).view(np.uint8)
        out[:] = data[end : end + out.nbytes]
        end += out.nbytes
