"""What a media member of somebody else's tar is: opened from its bytes, its packets found, its first picture decoded."""

from collections.abc import Iterable
from fractions import Fraction
from typing import Final

import av
import msgspec
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from unreel.shards.border.limits import Limits
from unreel.shards.border.timing import find_grid
from unreel.shards.care.decodable import FAILURES, find_packets, open_member
from unreel.shards.errors import MediaRefused
from unreel.shards.sample import Audio, Image, Original, Packets, Video, pack_column

__all__ = ["KINDS", "Described", "describe_member"]

KINDS: Final = {
    **dict.fromkeys(("mp4", "m4v", "mov", "mkv", "webm", "avi"), "video"),
    **dict.fromkeys(("flac", "wav", "ogg", "opus", "mp3", "m4a", "aac"), "sound"),
    **dict.fromkeys(("jpg", "jpeg", "png", "webp"), "picture"),
}
"""Extension → what is expected in such a member."""

# Code points of ITU-T H.273; 5 and 6 are one matrix.
_MATRICES: Final = {1: "bt709", 5: "smpte170m", 6: "smpte170m", 9: "bt2020nc", 10: "bt2020c"}


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """One of `video`, `audio` and `image`, and what the file was."""

    video: Video | None = None
    audio: Audio | None = None
    image: Image | None = None
    original: Original


def describe_member(data: bytes, name: str, limits: Limits) -> Described:
    """Find out what a member holds; `name` is its extension.

    A video must have one constant rate and packets that lie in the member as they are: sidecars promise both.

    Raises:
        MediaRefused: it is not what its extension says, damaged, above a limit, or cannot be a sample as it is.
    """
    try:
        with open_member(data, name) as container:
            limits.check("streams", len(container.streams))
            limits.check("seconds", (container.duration or 0) / av.time_base)
            if KINDS[name] == "sound":
                return _sound(container, name, limits)
            return (_video if KINDS[name] == "video" else _picture)(container, data, name, limits)
    except FAILURES as error:
        what = error.strerror if isinstance(error, av.FFmpegError) else repr(error)
        raise MediaRefused("damaged", what or "FFmpeg gives no reason") from error


def _video(container: InputContainer, data: bytes, name: str, limits: Limits) -> Described:
    stream = _picture_stream(container, limits)
    packets = find_packets(container, stream, memoryview(data))
    limits.check("frames", len(packets))
    if not packets or not packets[0].key:
        raise MediaRefused("no-key-frame", f"{len(packets)} packets, and the first is no key frame")
    times = [packet.time for packet in packets if packet.time is not None]
    frame = _first_frame(container, stream)
    if frame.rotation % 360:
        raise MediaRefused("rotated", f"turned by {frame.rotation} degrees; `unreel build` stores it upright")
    keys = np.array([packet.key for packet in packets])
    rate = _constant_rate(stream, sorted(times), len(packets))
    video = Video(
        codec=stream.codec_context.name,
        width=frame.width,
        height=frame.height,
        frames=len(packets),
        rate=rate.as_integer_ratio(),
        matrix=_matrix(frame),
        gop=int(np.diff([*np.flatnonzero(keys), len(keys)]).max()),
        b_frames=times != sorted(times),
        extradata=bytes(stream.codec_context.extradata or b""),
        copied=True,
        packets=Packets(
            offset=pack_column("offset", np.array([packet.offset for packet in packets])),
            size=pack_column("size", np.array([packet.size for packet in packets])),
            key=pack_column("key", keys),
        ),
        member=name,
    )
    return Described(video=video, original=_original(container, stream, frame, video))


def _picture_stream(container: InputContainer, limits: Limits) -> VideoStream:
    if not container.streams.video:
        raise MediaRefused("no-picture", "there is no picture in it")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise MediaRefused("no-decoder", "this FFmpeg has no decoder for the picture")
    limits.check("pixels", stream.width * stream.height)
    stream.codec_context.thread_count = 1
    return stream


def _first_frame(container: InputContainer, stream: VideoStream) -> VideoFrame:
    container.seek(0)
    for frame in container.decode(stream):
        return frame
    raise MediaRefused("damaged", "no picture could be decoded")


def _constant_rate(stream: VideoStream, times: list[int], packets: int) -> Fraction:
    if len(times) != packets:
        raise MediaRefused("untimed", f"{len(times)} of {packets} packets have a time")
    if packets < 2:
        raise MediaRefused("too-short", f"{packets} picture; a clip has two or more")
    base = stream.time_base or Fraction(1, av.time_base)
    grid = find_grid(np.array(times, np.int64), base, (stream.average_rate, stream.base_rate))
    if grid is None or not grid.regular:
        raise MediaRefused(
            "variable-rate", "its frames do not come at one rate; `unreel build` stores them at one"
        )
    return grid.rate


def _matrix(frame: VideoFrame) -> str:
    """Untagged pictures: makers of high definition mean BT.709, FFmpeg BT.601 for the rest."""
    untagged = "bt709" if frame.height >= 720 else "smpte170m"
    return _MATRICES.get(int(frame.colorspace), untagged)


def _original(container: InputContainer, stream: VideoStream, frame: VideoFrame, video: Video) -> Original:
    sound = next(iter(container.streams.audio), None)
    rate = stream.average_rate
    return Original(
        container=container.format.name.split(",")[0],
        video_codec=video.codec,
        audio_codec=None if sound is None or sound.codec_context is None else sound.codec_context.name,
        width=video.width,
        height=video.height,
        pixel_format=frame.format.name,
        rate=None if rate is None else rate.as_integer_ratio(),
        audio_rate=0 if sound is None else sound.rate,
        audio_channels=0 if sound is None else sound.channels,
        gop=video.gop,
        b_frames=video.b_frames,
    )


def _sound(container: InputContainer, name: str, limits: Limits) -> Described:
    if not container.streams.audio:
        raise MediaRefused("no-sound", "there is no sound in it")
    stream = container.streams.audio[0]
    limits.check("channels", stream.channels)
    samples = _counted((frame.samples for frame in container.decode(stream)), stream.rate, limits)
    codec = stream.codec_context.name
    audio = Audio(codec=codec, rate=stream.rate, channels=stream.channels, samples=samples, member=name)
    return Described(
        audio=audio,
        original=Original(
            container=container.format.name.split(",")[0],
            audio_codec=codec,
            audio_rate=audio.rate,
            audio_channels=audio.channels,
        ),
    )


def _counted(counts: Iterable[int], rate: int, limits: Limits) -> int:
    total = 0
    for count in counts:
        total += count
        limits.check("seconds", total / rate)
    if not total:
        raise MediaRefused("damaged", "no sound could be decoded")
    return total


def _picture(container: InputContainer, data: bytes, name: str, limits: Limits) -> Described:
    stream = _picture_stream(container, limits)
    frame = next(iter(container.decode(stream)), None)
    if frame is None:
        raise MediaRefused("damaged", "no picture could be decoded")
    image = Image(codec=stream.codec_context.name, width=frame.width, height=frame.height, member=name)
    original = Original(
        container=container.format.name,
        video_codec=image.codec,
        width=image.width,
        height=image.height,
        pixel_format=frame.format.name,
    )
    return Described(image=image, original=original)
