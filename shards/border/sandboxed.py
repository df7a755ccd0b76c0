"""What runs inside the process of `sandbox`: requests come in, answers go out, until the pipe ends."""

import ctypes
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from unreel.shards.border.probe import probe
from unreel.shards.border.sandbox import (
    LENGTH,
    Answer,
    AnyRequest,
    ConformRequest,
    CopyRequest,
    MemberRequest,
    PictureRequest,
    StoredPicture,
)
from unreel.shards.errors import MediaRefused
from unreel.shards.foreign.members import Described, describe_member
from unreel.shards.making.copying import CopiedClip, clip_of, find_packets_to_copy
from unreel.shards.making.pictures import open_picture, store_picture

__all__ = ["answer", "main"]

_PR_SET_PDEATHSIG: Final = 1


def answer(request: AnyRequest) -> Answer:
    """What a source, a member or a picture is, or why it is refused."""
    try:
        if isinstance(request, PictureRequest):
            return Answer(picture=_store(request))
        if isinstance(request, ConformRequest):
            found = find_packets_to_copy(request.path, request.probe, request.profile, request.limits)
            return Answer(verdict=found)
        if isinstance(request, CopyRequest):
            return Answer(clip=_copy(request))
        if isinstance(request, MemberRequest):
            return Answer(member=_describe(request))
        return Answer(probe=probe(request.source, request.profile, request.limits))
    except MediaRefused as refusal:
        return Answer(refused=(refusal.reason, refusal.detail))
    except MemoryError:
        spent = request.limits.refusal("memory", "the probe needs more memory")
        return Answer(refused=(spent.reason, spent.detail))
    except Exception:  # noqa: BLE001  the worker raises it again, with the source's name
        return Answer(failed=traceback.format_exc())


def _describe(request: MemberRequest) -> Described:
    with open(request.path, "rb") as file:
        data = os.pread(file.fileno(), request.size, request.offset)
    return describe_member(data, request.name, request.limits)


def _store(request: PictureRequest) -> StoredPicture:
    with open_picture(Path(request.path).read_bytes(), request.form, request.limits) as picture:
        jpeg, pixels = store_picture(picture, request.size, request.profile)
    return StoredPicture(jpeg, pixels.tobytes())


def _copy(request: CopyRequest) -> CopiedClip:
    return clip_of(request.path, request.probe, request.profile, request.packets, request.limits)


def main() -> None:
    """Answer until the other side has gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # A terminal sends its interrupt to all; it is the worker that decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Nobody else may write into the answers.
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while length := requests.read(LENGTH.size):
        request = msgspec.json.decode(requests.read(LENGTH.unpack(length)[0]), type=AnyRequest)
        _send(answers, msgspec.json.encode(answer(request)))


def _send(answers: BinaryIO, data: bytes) -> None:
    answers.write(LENGTH.pack(len(data)) + data)
    answers.flush()


if __name__ == "__main__":
    main()
