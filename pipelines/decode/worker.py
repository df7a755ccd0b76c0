"""A decoder process: `python -m unreel.pipelines.decode.worker BACKEND OWNER REQUESTS ANSWERS`, fed by `isolated.py`."""

import ctypes
import os
import resource
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import BinaryIO, Final

import numpy as np

from unreel.pipelines.decode import make_backend
from unreel.pipelines.decode.backend import DecodeBackend, Decoded
from unreel.pipelines.decode.together import decode_together
from unreel.pipelines.decode.wire import Answer, Arena, Request, receive, send, unpack_request

__all__ = ["main"]

_PR_SET_PDEATHSIG: Final = 1


def main() -> None:
    """Decode one row a request until the pipe ends."""
    name, owner, requests, answers = sys.argv[1:5]
    _settle(int(owner))
    source, sink = sys.stdin.buffer, _own_output()
    backend = make_backend(name, threads=1)
    send(sink, Answer())
    arenas = Arena(int(requests)), Arena(int(answers))
    while (request := receive(source, Request)) is not None:
        send(sink, _answer(backend, request, *arenas))


def _settle(owner: int) -> None:
    """End with the owner, even a killed one; leave interrupts to it; write no core file of a crash that is expected."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.getppid() != owner:
        os._exit(1)


def _own_output() -> BinaryIO:
    """The pipe of answers; what libraries print goes to the error output instead."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _answer(backend: DecodeBackend, request: Request, requests: Arena, answers: Arena) -> Answer:
    try:
        _fail_on_purpose(request)
        sample, plans = unpack_request(request, requests)
        found = decode_together(backend, [sample], [[plan] for plan in plans], pixels=request.pixels)
    except Exception:  # noqa: BLE001 - the owner raises it, where it can be seen
        return Answer(fault=traceback.format_exc())
    _hand_out(found, answers, request.arenas[1])
    return Answer(errors=[_reason(decoded) for decoded in found])


def _reason(decoded: Decoded) -> str | None:
    return None if not decoded.failures else str(decoded.failures[0].__cause__ or decoded.failures[0])


def _fail_on_purpose(request: Request) -> None:
    """For drills: `UNREEL_FAULT_DECODE=SIGNAL:TEXT` kills this process at each sample whose sidecar holds TEXT."""
    name, _, text = os.environ.get("UNREEL_FAULT_DECODE", "").partition(":")
    if text and text.encode() in request.sidecar:
        os.kill(os.getpid(), signal.Signals[name])


def _hand_out(found: Sequence[Decoded], answers: Arena, size: int) -> None:
    view, end = answers.view(size), 0
    for decoded in found:
        for values in decoded.tensors:
            data = np.ascontiguousarray(values[0].numpy())
            np.frombuffer(view, np.uint8, data.nbytes, end)[:] = data.reshape(-1).view(np.uint8)
            end += data.nbytes


if __name__ == "__main__":
    main()
