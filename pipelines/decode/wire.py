"""What a decoder process and its owner say to each other: length-prefixed messages on pipes, media in shared memory."""

import mmap
import os
import struct
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from unreel.pipelines.plan import Plan, Span, Window
from unreel.shards.index import SampleRow
from unreel.shards.reader import EncodedSample
from unreel.shards.sample import read_sidecar, write_sidecar

__all__ = ["Answer", "Arena", "Request", "pack_request", "receive", "send", "unpack_request"]

_LENGTH: Final = struct.Struct("<I")
_LONGEST: Final = 64 << 20
"""Bytes of a message; media do not travel in messages."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """The plan of one task."""

    frames: bytes
    """i32 indices."""
    window: tuple[int, int, int, int] | None
    sound: tuple[int, int] | None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One row that is to be decoded."""

    shard: str
    sidecar: bytes
    members: dict[str, tuple[int, int]]
    """Member → (start, size) in the arena of requests."""
    plans: list[Wanted]
    """Those of the tasks that take something of this sample."""
    pixels: str
    arenas: tuple[int, int]
    """Bytes of the arenas of requests and answers; the process maps them anew when they have grown."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it. For each task in turn its pictures lie in the arena of answers, and its sound behind them."""

    errors: list[str | None] = []
    """For each task why it cannot have its part of this sample."""
    fault: str | None = None
    """A bug: what the backend raised, which is no fault of the sample."""


class Arena:
    """Memory that two processes share, without a name: when both are gone it is gone, even if they were killed."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._map: mmap.mmap | None = None

    @classmethod
    def create(cls, name: str) -> "Arena":
        """A new one, of no bytes."""
        return cls(os.memfd_create(name, os.MFD_CLOEXEC))

    def grow(self, size: int) -> int:
        """Make it hold at least `size` bytes; returns how many it holds."""
        held = os.fstat(self.descriptor).st_size
        if size > held:
            held = max(size, 2 * held)
            os.ftruncate(self.descriptor, held)
        return held

    def view(self, size: int) -> mmap.mmap:
        """Its bytes; `size` is how many it holds now."""
        if self._map is None or len(self._map) != size:
            self._map = mmap.mmap(self.descriptor, size)
        return self._map

    def close(self) -> None:
        """Give the memory back, once the views of it are gone too."""
        os.close(self.descriptor)


def pack_request(
    sample: EncodedSample, plans: Sequence[Plan], pixels: str, requests: Arena, answer_bytes: int
) -> Request:
    """Copy the sample's members into the arena and say where they lie; `answer_bytes` is what the other arena holds."""
    starts, end = {}, 0
    for name, payload in sample.members.items():
        starts[name] = (end, len(payload))
        end += len(payload)
    held = requests.grow(max(end, 1))
    view = requests.view(held)
    for name, (start, size) in starts.items():
        view[start : start + size] = sample.members[name]
    return Request(
        shard=sample.shard,
        sidecar=write_sidecar(sample.sidecar),
        members=starts,
        plans=[_pack_plan(plan) for plan in plans],
        pixels=pixels,
        arenas=(held, answer_bytes),
    )


def unpack_request(request: Request, requests: Arena) -> tuple[EncodedSample, list[Plan]]:
    """The sample and the plans; the members are views of the arena."""
    view = memoryview(requests.view(request.arenas[0])).toreadonly()
    sidecar = read_sidecar(request.sidecar)
    members: Mapping[str, memoryview] = {
        name: view[start : start + size] for name, (start, size) in request.members.items()
    }
    row = SampleRow(key=sidecar.key, source=sidecar.source.id, members=())
    sample = EncodedSample(request.shard, row, sidecar, members)
    return sample, [_unpack_plan(wanted) for wanted in request.plans]


def _pack_plan(plan: Plan) -> Wanted:
    window, sound = plan.window, plan.sound
    return Wanted(
        frames=plan.frames.astype("<i4").tobytes(),
        window=None if window is None else (window.top, window.left, window.height, window.width),
        sound=None if sound is None else (sound.start, sound.length),
    )


def _unpack_plan(wanted: Wanted) -> Plan:
    frames: NDArray[np.int32] = np.frombuffer(wanted.frames, "<i4")
    window = None if wanted.window is None else Window(*wanted.window)
    return Plan(frames=frames, window=window, sound=None if wanted.sound is None else Span(*wanted.sound))


def send(pipe: BinaryIO, message: msgspec.Struct) -> None:
    """Write one message."""
    data = msgspec.msgpack.encode(message)
    pipe.write(_LENGTH.pack(len(data)) + data)
    pipe.flush()


def receive(pipe: BinaryIO, kind: Any) -> Any:
    """Read one message of the type `kind`; None at the end of the pipe.

    Raises:
        ValueError: what comes is no message.
    """
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > _LONGEST:
        raise ValueError(f"a message of {length} bytes: at most {_LONGEST}")
    data = pipe.read(length)
    return msgspec.msgpack.decode(data, type=kind) if len(data) == length else None
