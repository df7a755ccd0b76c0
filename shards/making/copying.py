"""Pictures that need no new encoding: which sources keep the sample contract as they are, and their packets as clips.

FFmpeg runs inside this process: `sandbox` has the same for sources that are not trusted.
"""

import io
from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO, Final

import av
import msgspec
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from unreel.shards.border.limits import Limits
from unreel.shards.border.probe import Probe, open_options
from unreel.shards.care.decodable import FAILURES
from unreel.shards.errors import MediaRefused
from unreel.shards.intake.sources import SourceFile
from unreel.shards.making.encode import MUXER, describe_picture
from unreel.shards.making.parameter_sets import NAL_TYPES, is_progressive, nal_units
from unreel.shards.making.profiles import Profile
from unreel.shards.sample import Video

__all__ = ["CopiedClip", "StoredPackets", "Verdict", "clip_of", "find_packets_to_copy", "why_encoded"]

# Code points of ITU-T H.273; 5 and 6 are one matrix.
_MATRICES: Final = {"bt709": (1,), "smpte170m": (5, 6)}
_LIMITED_RANGE: Final = 1
# Time stamps are rounded to the units of the container.
_OFF_THE_GRID: Final = 0.1


class StoredPackets(msgspec.Struct, frozen=True, kw_only=True):
    """Where the packets of a source's picture lie in its file, one row a frame."""

    offset: bytes
    """u64 `[frames]`"""
    size: bytes
    """u32 `[frames]`"""
    key: bytes
    """u8 `[frames]`: 1 where decoding can start, else 0."""

    def __len__(self) -> int:
        return len(self.key)

    @property
    def keys(self) -> NDArray[np.intp]:
        return np.flatnonzero(np.frombuffer(self.key, "u1"))

    def part(self, start: int, stop: int) -> "StoredPackets":
        """The rows [start, stop)."""
        return StoredPackets(
            offset=self.offset[8 * start : 8 * stop],
            size=self.size[4 * start : 4 * stop],
            key=self.key[start:stop],
        )


class Verdict(msgspec.Struct, frozen=True):
    """The packets of a source whose every packet keeps the contract, or why it does not."""

    packets: StoredPackets | None
    why: str = ""


class CopiedClip(msgspec.Struct, frozen=True):
    """The member of a clip, and what the sidecar says of it."""

    payload: bytes
    video: Video


def why_encoded(source: SourceFile, probe: Probe, profile: Profile) -> str:
    """Why the picture of a source is encoded anew, as far as the probe can tell; empty where its packets may be copied."""
    original = probe.original
    longest = min(profile.gop, profile.clip_frames(probe.frame_rate))
    checks = (
        (profile.copy != "when-conforming", "not asked for"),
        (probe.demuxer != "mov", f"container {probe.demuxer}"),
        (original.video_codec != profile.codec, f"codec {original.video_codec}"),
        (original.pixel_format != "yuv420p", f"pixel format {original.pixel_format}"),
        (original.b_frames, "frames that are stored in another order than shown"),
        (original.rotation != 0, "rotation"),
        (probe.crop is not None, "letterbox"),
        ((original.width, original.height) != (probe.width, probe.height), "size"),
        (probe.step > 1 or not probe.regular, "frame rate"),
        (not 0 < original.gop <= longest, f"key frames {original.gop} frames apart"),
        (bool(source.spans), "spans of a manifest"),
    )
    return next((why for broken, why in checks if broken), "")


def find_packets_to_copy(path: str, probe: Probe, profile: Profile, limits: Limits) -> Verdict:
    """Whether the packets of a source, for which `why_encoded` has nothing to say, keep the contract."""
    try:
        return Verdict(_find_packets(path, probe, profile, limits))
    except (*FAILURES, OSError) as error:
        return Verdict(None, str(error))


def _find_packets(path: str, probe: Probe, profile: Profile, limits: Limits) -> StoredPackets:
    with av.open(f"file:{path}", format=probe.demuxer, options=open_options(limits)) as container:
        assert probe.video is not None
        stream = container.streams[probe.video]
        assert isinstance(stream, VideoStream)
        with open(path, "rb") as file:
            extradata = bytes(stream.codec_context.extradata or b"")
            _demand(is_progressive(profile.codec, extradata), "interlaced, or a header that is not MP4's own")
            packets = _checked_packets(container, stream, file, extradata, profile.codec)
            rows = np.array(
                [(packet.pos, packet.size, packet.is_keyframe, packet.pts) for packet in packets], np.int64
            )
            _demand(len(rows) == probe.pictures, f"{len(rows)} packets of {probe.pictures} pictures")
            _check_times(rows[:, 3], stream, probe)
            _demand(
                bool((np.diff(rows[:, 0]) >= rows[:-1, 1]).all()), "packets that are shown more than once"
            )
            _check_first(_read(file, *rows[0, :2]), extradata, probe, profile)
    stored = StoredPackets(
        offset=rows[:, 0].astype("<u8").tobytes(),
        size=rows[:, 1].astype("<u4").tobytes(),
        key=rows[:, 2].astype("u1").tobytes(),
    )
    gop = int(np.diff([*stored.keys, len(stored)]).max())
    _demand(bool(rows[0, 2]) and gop <= profile.gop, f"key frames {gop} frames apart")
    return stored


def _demand(kept: bool, why: str) -> None:
    if not kept:
        raise ValueError(why)


def _checked_packets(
    container: InputContainer, stream: VideoStream, file: BinaryIO, extradata: bytes, codec: str
) -> Iterator[av.Packet]:
    known = NAL_TYPES[codec]
    for packet in container.demux(stream):
        if not packet.size:
            continue
        _demand(not (packet.is_discard or packet.is_corrupt), "an edit list that hides frames")
        _demand(not packet.has_sidedata("new_extradata"), "a header that changes on the way")
        _demand(
            packet.pts is not None and packet.pts == packet.dts, "frames that are not timed in their order"
        )
        payload = bytes(packet)
        same = packet.pos is not None and _read(file, packet.pos, packet.size) == payload
        _demand(same, "packets that the container changes")
        kinds = {known.kind(unit) for unit in nal_units(payload, known.length_size(extradata))}
        _demand(kinds.isdisjoint(known.headers), "parameter sets inside packets")
        _demand(packet.is_keyframe == (not kinds.isdisjoint(known.idr)), "open groups of pictures")
        yield packet


def _read(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(int(offset))
    return file.read(int(size))


def _check_times(times: NDArray[np.int64], stream: VideoStream, probe: Probe) -> None:
    places = (times - times[0]) * float((stream.time_base or 0) * probe.frame_rate)
    off = np.abs(places - np.arange(len(times))).max()
    _demand(bool(off <= _OFF_THE_GRID), "frames that are not one period apart")


def _check_first(payload: bytes, extradata: bytes, probe: Probe, profile: Profile) -> None:
    """What the picture says of itself, without its container."""
    decoder = av.VideoCodecContext.create(profile.codec, "r")
    decoder.extradata, decoder.thread_count = extradata, 1
    (frame,) = [*decoder.decode(av.Packet(payload)), *decoder.decode(None)]
    _demand((frame.width, frame.height) == (probe.width, probe.height), "size")
    _demand(frame.format.name == "yuv420p", f"pixel format {frame.format.name}")
    _demand(frame.color_range == _LIMITED_RANGE, "no tag of limited range")
    _demand(frame.colorspace in _MATRICES[profile.matrix], f"not tagged with matrix {profile.matrix}")


def clip_of(path: str, probe: Probe, profile: Profile, packets: StoredPackets, limits: Limits) -> CopiedClip:
    """Packets of a source, one group of pictures after the other, as a member of their own.

    Raises:
        MediaRefused: `changed`; the file is not what it was when its packets were found.
    """
    sink = io.BytesIO()
    places = zip(np.frombuffer(packets.offset, "<u8"), np.frombuffer(packets.size, "<u4"), strict=True)
    with (
        av.open(f"file:{path}", format=probe.demuxer, options=open_options(limits)) as container,
        av.open(sink, "w", format="mp4", options=MUXER) as output,
        open(path, "rb") as file,
    ):
        assert probe.video is not None
        template = container.streams[probe.video]
        assert isinstance(template, VideoStream)
        stream = output.add_stream_from_template(template)
        for index, (offset, size) in enumerate(places):
            packet = av.Packet(_read(file, offset, size))
            packet.stream, packet.time_base = stream, 1 / Fraction(probe.frame_rate)
            packet.pts = packet.dts = index
            packet.duration, packet.is_keyframe = 1, bool(packets.key[index])
            output.mux(packet)
    payload = sink.getvalue()
    video = describe_picture(payload, probe.frame_rate, profile)
    if (video.packets.size, video.packets.key) != (packets.size, packets.key):
        raise MediaRefused("changed", "its packets are no longer where they were")
    return CopiedClip(payload, msgspec.structs.replace(video, copied=True))
