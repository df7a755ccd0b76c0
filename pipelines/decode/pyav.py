"""The packet loop in PyAV, under the GIL: what `packets` holds its own loop against, and its fallback."""

from collections.abc import Iterator, Sequence
from typing import Final

import av
import numpy as np
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from unreel.pipelines.decode.backend import Show
from unreel.pipelines.decode.headers import Header, in_band_header
from unreel.pipelines.decode.loop import window_rgb
from unreel.pipelines.decode.stream import Stream, stream_of
from unreel.pipelines.ops.yuv import COLOURS, coefficients
from unreel.pipelines.plan import Window, decode_runs
from unreel.pipelines.plans import shown_frames
from unreel.shards.errors import DecodeFailed
from unreel.shards.reader import EncodedSample

__all__ = ["PacketDecoder"]

_SHIFTS: Final = {
    "yuv420p": (1, 1),
    "yuvj420p": (1, 1),
    "yuv422p": (1, 0),
    "yuvj422p": (1, 0),
    "yuv444p": (0, 0),
    "yuvj444p": (0, 0),
    "yuv411p": (2, 0),
    "yuvj411p": (2, 0),
    "yuv440p": (0, 1),
    "yuvj440p": (0, 1),
}
"""Pixel formats that are converted, and how much coarser their chroma is, as powers of two."""

_FULL_RANGE: Final = 2

_LUMA_ONLY: Final = np.array([1, 1, 0, 0, 0, 0, 0, 0], np.float32)


class PacketDecoder:
    """Decoders of one thread, one for each (codec, NAL length size), kept between samples.

    Attributes:
        produced: pictures that came out of the decoders so far, wanted or not.
    """

    def __init__(self) -> None:
        self.produced = 0
        self._contexts: dict[tuple[str, int], VideoCodecContext] = {}

    def decode(self, sample: EncodedSample, shows: Sequence[Show]) -> None:
        """Write the frames of each plan, cropped to its window, to where they are shown; each frame is decoded once.

        Raises:
            DecodeFailed: a frame could not be decoded.
        """
        stream = stream_of(sample)
        for index, picture in self._pictures(stream, shown_frames([plan for plan, _ in shows])):
            for plan, outs in shows:
                places = np.flatnonzero(plan.frames == index)
                if len(places):
                    assert plan.window is not None
                    write = _convert if len(outs) == 1 else _cut
                    write(picture, stream, plan.window, tuple(out[places[0]] for out in outs))
                for out in outs:
                    out[places[1:]] = out[places[:1]]

    def decode_yuv(
        self, sample: EncodedSample, frames: NDArray[np.int32]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        """Whole pictures as the codec stores them: Y uint8 `[T, H, W]`, U and V uint8 `[T, H/2, W/2]`.

        Raises:
            DecodeFailed: a frame could not be decoded, or is not 8-bit 4:2:0.
        """
        video = stream_of(sample)
        height, width = video.height, video.width
        chroma = (len(frames), (height + 1) // 2, (width + 1) // 2)
        planes = (
            np.empty((len(frames), height, width), np.uint8),
            np.empty(chroma, np.uint8),
            np.empty(chroma, np.uint8),
        )
        for index, picture in self._pictures(video, frames):
            _check_planes(picture)
            for out, plane in zip(planes, picture.planes, strict=True):
                out[frames == index] = _rows(plane)[:, : out.shape[2]]
        return planes

    def _pictures(self, video: Stream, frames: NDArray[np.int32]) -> Iterator[tuple[int, VideoFrame]]:
        """(index, picture) of each wanted frame once, in ascending order."""
        header = in_band_header(video.codec, video.extradata)
        context = self._context(video, header)
        missing = set(frames.tolist())
        try:
            for packet in _packets(video, frames, header):
                for picture in context.decode(packet):
                    self.produced += 1
                    index = picture.pts
                    if index is not None and index in missing:
                        missing.remove(index)
                        yield index, _check(picture, video)
        finally:
            context.flush_buffers()
        if missing:
            raise DecodeFailed(f"frames {sorted(missing)} did not come out of the {video.codec} decoder")

    def _context(self, video: Stream, header: Header) -> VideoCodecContext:
        kept = self._contexts.get((video.codec, header.length_size))
        return kept or self._open(video, header)

    def _open(self, video: Stream, header: Header) -> VideoCodecContext:
        context = av.CodecContext.create(video.codec, "r")
        assert isinstance(context, VideoCodecContext)
        # One thread a context: rows are decoded in parallel, and frame threads would delay each picture.
        context.thread_count = 1
        context.flags |= Flags.low_delay
        # Damage is an error, not a picture that FFmpeg has painted over.
        context.options = {"err_detect": "explode"}
        if header.length_size:
            context.extradata = video.extradata
        self._contexts[video.codec, header.length_size] = context
        return context


def _convert(picture: VideoFrame, video: Stream, window: Window, outs: tuple[NDArray[np.uint8], ...]) -> None:
    """The window as RGB `[H, W, 3]`."""
    shifts = (0, 0) if _is_grey_jpeg(picture, video) else _SHIFTS.get(picture.format.name)
    if shifts is None:
        raise DecodeFailed(f"pictures are {picture.format.name}, expected 8-bit YUV: {', '.join(_SHIFTS)}")
    grey = len(picture.planes) == 1
    numbers = coefficients()[COLOURS.index(video.matrix) + (grey or picture.color_range == _FULL_RANGE)]
    planes = tuple(plane.buffer_ptr for plane in picture.planes)
    strides = tuple(plane.line_size for plane in picture.planes)
    if grey:
        # Weights of zero make any plane its chroma.
        numbers, planes, strides = numbers * _LUMA_ONLY, planes * 3, strides * 3
    where = window.top, window.left, window.height, window.width
    window_rgb(planes, strides, shifts, where, numbers, outs[0].ctypes.data)


def _cut(picture: VideoFrame, _video: Stream, window: Window, outs: tuple[NDArray[np.uint8], ...]) -> None:
    """The window, which begins and ends at even pixels, as Y `[H, W]` and UV `[2, H / 2, W / 2]`."""
    _check_planes(picture)
    for out, plane, scale in zip((outs[0], *outs[1]), picture.planes, (1, 2, 2), strict=True):
        top, left = window.top // scale, window.left // scale
        out[:] = _rows(plane)[top : top + out.shape[0], left : left + out.shape[1]]


def _check_planes(picture: VideoFrame) -> None:
    if picture.format.name not in ("yuv420p", "yuvj420p"):
        raise DecodeFailed(f"pictures are {picture.format.name}, expected 8-bit 4:2:0")


def _is_grey_jpeg(picture: VideoFrame, video: Stream) -> bool:
    """Grey JPEG is of full range, and FFmpeg does not say so; of a grey video the range is not known."""
    return picture.format.name == "gray" and video.codec == "mjpeg"


def _packets(video: Stream, frames: NDArray[np.int32], header: Header) -> Iterator[av.Packet | None]:
    """The packets of each run that `frames` needs, then None, which drains the decoder."""
    member = video.data
    offsets, sizes = video.packets.offsets, video.packets.sizes
    for start, stop in decode_runs(frames, video.packets):
        for index in range(start, stop):
            offset, size = int(offsets[index]), int(sizes[index])
            if offset + size > len(member):
                raise DecodeFailed(
                    f"packet {index} ends at {offset + size}, the member has {len(member)} bytes"
                )
            payload = member[offset : offset + size]
            packet = av.Packet(b"".join((header.in_band, payload)) if index == start else bytes(payload))
            packet.pts = index
            yield packet
    yield None


def _check(picture: VideoFrame, video: Stream) -> VideoFrame:
    if picture.is_corrupt:
        raise DecodeFailed(f"frame {picture.pts} is damaged")
    if (picture.width, picture.height) != (video.width, video.height):
        found = f"{picture.width}x{picture.height}"
        raise DecodeFailed(f"frame {picture.pts} is {found}, the sidecar says {video.width}x{video.height}")
    return picture


def _rows(plane: av.video.plane.VideoPlane) -> NDArray[np.uint8]:
    """A plane without a copy, uint8 `[rows, bytes in a row]`; rows may end in padding."""
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
