"""The libavcodec that the PyAV wheel carries, by address: decoder contexts that the loop without the GIL can call.

The loop reads members of libavcodec's structs, whose places belong to one major version. So the versions are asserted
here, and `packets` decodes one generated clip both ways before it trusts them.
"""

import ctypes
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from unreel.shards.errors import UnreelError

__all__ = ["TESTED", "DecoderUnavailable", "Decoders", "calls"]

TESTED: Final = {"libavcodec": 62, "libavutil": 60}
"""Major versions whose struct members are known: FFmpeg 8."""

_EXTRADATA: Final = 72
_EXTRADATA_SIZE: Final = 80
"""Places of the members in AVCodecContext of libavcodec 62."""

_PADDING: Final = 64
"""AV_INPUT_BUFFER_PADDING_SIZE."""

_OPTIONS: Final[Mapping[bytes, bytes]] = {
    # One thread a context: rows are decoded in parallel, and frame threads would delay each picture.
    b"threads": b"1",
    b"flags": b"+low_delay",
    # Damage is an error, not a picture that FFmpeg has painted over.
    b"err_detect": b"explode",
}

_POINTER: Final = ctypes.c_void_p


_SOUND_OPTIONS: Final[Mapping[bytes, bytes]] = {b"threads": b"1", b"err_detect": b"crccheck+explode"}


class DecoderUnavailable(UnreelError):
    """The libavcodec of this machine cannot be driven without the GIL; says why."""


@cache
def _libraries() -> tuple[ctypes.CDLL, ctypes.CDLL]:
    """libavcodec and libavutil, as PyAV has them in this process.

    Raises:
        DecoderUnavailable: another major version, or libraries that this process does not show.
    """
    for name, major in TESTED.items():
        found = av.library_versions[name]
        if found[0] != major:
            raise DecoderUnavailable(f"{name} {'.'.join(map(str, found))}: tested with {major}")
    codec, util = (ctypes.CDLL(_mapped(name)) for name in TESTED)
    codec.avcodec_find_decoder_by_name.restype = _POINTER
    codec.avcodec_alloc_context3.restype = codec.av_packet_alloc.restype = _POINTER
    util.av_frame_alloc.restype = util.av_mallocz.restype = _POINTER
    return codec, util


def _mapped(name: str) -> str:
    """Path of a library that this process has mapped, in PyAV's version: decord and torchcodec bring others."""
    version = ".".join(map(str, av.library_versions[name]))
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = line.split(maxsplit=5)[-1]
        if Path(path).name.startswith(name) and path.endswith(f".so.{version}"):
            return path
    raise DecoderUnavailable(f"{name} {version} is not among the libraries that this process has mapped")


@cache
def calls() -> NDArray[np.int64]:
    """Addresses that `loop.decode_batch` calls: send_packet, receive_frame, flush_buffers, frame_unref.

    Raises:
        DecoderUnavailable: see `_libraries`.
    """
    codec, util = _libraries()
    functions = (
        codec.avcodec_send_packet,
        codec.avcodec_receive_frame,
        codec.avcodec_flush_buffers,
        util.av_frame_unref,
    )
    return np.array([ctypes.cast(function, _POINTER).value for function in functions], np.int64)


class Decoders:
    """The decoder contexts of one thread, with the packet and the frame that it works with. `close` frees them."""

    def __init__(self) -> None:
        codec, util = _libraries()
        self.worker = np.array([codec.av_packet_alloc(), util.av_frame_alloc()], np.int64)
        self._contexts: dict[int, int] = {}
        self.table = np.zeros(0, np.int64)

    def open(self, slot: int, codec_name: str, extradata: bytes) -> None:
        """Have a context at `slot` of `table`; `extradata` tells it the size of NAL lengths.

        Raises:
            DecoderUnavailable: this libavcodec has no such decoder, or does not open it.
        """
        if slot in self._contexts:
            return
        self._contexts[slot] = _open(codec_name, extradata)
        self.table = np.array([self._contexts.get(n, 0) for n in range(max(self._contexts) + 1)], np.int64)

    def close(self) -> None:
        """Free everything; the decoders are of no use afterwards."""
        codec, util = _libraries()
        frees = [(codec.avcodec_free_context, address) for address in self._contexts.values()]
        packet, frame = (int(address) for address in self.worker)
        for free, address in (*frees, (codec.av_packet_free, packet), (util.av_frame_free, frame)):
            if address:
                free(ctypes.byref(_POINTER(address)))
        self._contexts.clear()
        self.worker[:] = 0


def _open(name: str, extradata: bytes) -> int:
    codec, util = _libraries()
    decoder = _POINTER(codec.avcodec_find_decoder_by_name(name.encode()))
    context = codec.avcodec_alloc_context3(decoder) if decoder else None
    if not context:
        raise DecoderUnavailable(f"this libavcodec has no decoder {name}")
    for key, value in (_SOUND_OPTIONS if name == "flac" else _OPTIONS).items():
        if util.av_opt_set(_POINTER(context), key, value, 0) < 0:
            raise DecoderUnavailable(f"decoder {name} takes no option {key.decode()}")
    if extradata:
        buffer = util.av_mallocz(ctypes.c_size_t(len(extradata) + _PADDING))
        ctypes.memmove(buffer, extradata, len(extradata))
        ctypes.c_void_p.from_address(context + _EXTRADATA).value = buffer
        ctypes.c_int.from_address(context + _EXTRADATA_SIZE).value = len(extradata)
    if codec.avcodec_open2(_POINTER(context), decoder, None) < 0:
        raise DecoderUnavailable(f"decoder {name} does not open")
    return context
