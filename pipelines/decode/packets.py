"""The default backend on CPU: packets straight from the mapped shard into a decoder that is kept, no demuxer.

The sidecar's packet table says where each packet lies, so nothing is opened, probed or searched. Only the runs of
packets that a plan needs are decoded, each from its nearest key frame on.
"""

import threading
from collections.abc import Iterator
from typing import ClassVar, Final

import av
import numpy as np
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from numpy.typing import NDArray

from unreel.pipelines.decode.headers import CODECS, Header, in_band_header
from unreel.pipelines.decode.rows import RowBackend
from unreel.pipelines.plan import Plan, decode_runs
from unreel.shards.errors import DecodeFailed
from unreel.shards.reader import EncodedSample
from unreel.shards.sample import Video

__all__ = ["PacketDecoder", "Packets"]

_MATRIX: Final = {"bt709": Colorspace.ITU709, "smpte170m": Colorspace.SMPTE170M}


class PacketDecoder:
    """Decoders of one thread, one for each (codec, NAL length size), kept between samples.

    Attributes:
        produced: pictures that came out of the decoders so far, wanted or not.
    """

    def __init__(self) -> None:
        self.produced = 0
        self._contexts: dict[tuple[str, int], VideoCodecContext] = {}
        self._reformatter = VideoReformatter()

    def decode_rgb(self, sample: EncodedSample, plan: Plan, out: NDArray[np.uint8]) -> None:
        """Write the plan's frames, cropped to its window, into `out`, uint8 `[T, H, W, 3]`.

        The whole picture is converted and then cropped: a pixel has one value, whatever window it is seen through.

        Raises:
            DecodeFailed: a frame could not be decoded.
        """
        video, window = sample.sidecar.video, plan.window
        assert video is not None and window is not None
        rows = slice(window.top, window.top + window.height)
        columns = slice(window.left, window.left + window.width)
        for index, picture in self._pictures(sample, plan.frames):
            out[plan.frames == index] = self._rgb(picture, video)[rows, columns]

    def decode_yuv(
        self, sample: EncodedSample, frames: NDArray[np.int32]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        """Whole pictures as the codec stores them: Y uint8 `[T, H, W]`, U and V uint8 `[T, H/2, W/2]`.

        Raises:
            DecodeFailed: a frame could not be decoded, or is not 8-bit 4:2:0.
        """
        video = sample.sidecar.video
        assert video is not None
        height, width = video.height, video.width
        chroma = (len(frames), (height + 1) // 2, (width + 1) // 2)
        planes = (
            np.empty((len(frames), height, width), np.uint8),
            np.empty(chroma, np.uint8),
            np.empty(chroma, np.uint8),
        )
        for index, picture in self._pictures(sample, frames):
            if picture.format.name not in ("yuv420p", "yuvj420p"):
                raise DecodeFailed(f"pictures are {picture.format.name}, expected 8-bit 4:2:0")
            for out, plane in zip(planes, picture.planes, strict=True):
                out[frames == index] = _rows(plane)[:, : out.shape[2]]
        return planes

    def _pictures(self, sample: EncodedSample, frames: NDArray[np.int32]) -> Iterator[tuple[int, VideoFrame]]:
        """(index, picture) of each wanted frame once, in ascending order."""
        video = sample.sidecar.video
        assert video is not None
        header = in_band_header(video.codec, video.extradata)
        context = self._context(video, header)
        missing = set(frames.tolist())
        try:
            for packet in _packets(sample.members[video.member], video, frames, header):
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

    def _context(self, video: Video, header: Header) -> VideoCodecContext:
        kept = self._contexts.get((video.codec, header.length_size))
        return kept or self._open(video, header)

    def _open(self, video: Video, header: Header) -> VideoCodecContext:
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

    def _rgb(self, picture: VideoFrame, video: Video) -> NDArray[np.uint8]:
        """The whole picture as RGB, full range, uint8 `[H, W, 3]`."""
        rgb = self._reformatter.reformat(
            picture,
            format="rgb24",
            src_colorspace=_MATRIX[video.matrix],
            dst_color_range=ColorRange.JPEG,
            # The default starts threads for each picture: 31 µs instead of 11 for 176x128.
            threads=1,
        )
        return _rows(rgb.planes[0])[:, : 3 * video.width].reshape(video.height, video.width, 3)


class Packets(RowBackend):
    """Packets of mapped shards into kept PyAV decoders; needs nothing beyond the locked wheels."""

    name: ClassVar[str] = "packets"
    errors: ClassVar[tuple[type[Exception], ...]] = (DecodeFailed, av.FFmpegError)

    def __init__(self, *, threads: int) -> None:
        super().__init__(threads=threads)
        self._local = threading.local()

    @property
    def version(self) -> str:
        codec = ".".join(map(str, av.library_versions["libavcodec"]))
        return f"PyAV {av.__version__}, libavcodec {codec}"

    def _declines_video(self, video: Video) -> str | None:
        if video.b_frames:
            return (
                "packets takes no B-frames: packet order must be presentation order; use decord or torchcodec"
            )
        if video.codec not in CODECS:
            return f"packets takes {', '.join(CODECS)}, not {video.codec}"
        if video.matrix not in _MATRIX:
            return f"packets converts the matrices {', '.join(_MATRIX)}, not {video.matrix}"
        return None

    def _pictures(self, sample: EncodedSample, plan: Plan, out: NDArray[np.uint8]) -> None:
        if not hasattr(self._local, "decoder"):
            self._local.decoder = PacketDecoder()
        self._local.decoder.decode_rgb(sample, plan, out)


def _packets(
    member: memoryview, video: Video, frames: NDArray[np.int32], header: Header
) -> Iterator[av.Packet | None]:
    """The packets of each run that `frames` needs, then None, which drains the decoder."""
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


def _check(picture: VideoFrame, video: Video) -> VideoFrame:
    if picture.is_corrupt:
        raise DecodeFailed(f"frame {picture.pts} is damaged")
    if (picture.width, picture.height) != (video.width, video.height):
        found = f"{picture.width}x{picture.height}"
        raise DecodeFailed(f"frame {picture.pts} is {found}, the sidecar says {video.width}x{video.height}")
    return picture


def _rows(plane: av.video.plane.VideoPlane) -> NDArray[np.uint8]:
    """A plane without a copy, uint8 `[rows, bytes in a row]`; rows may end in padding."""
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
