"""Encode the members of a clip with PyAV: one thread, bitexact, the same bytes from the same frames."""

import io
import sys
from collections.abc import Mapping
from fractions import Fraction
from typing import Final, Literal, cast

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from unreel.shards.making.codecs import CODECS
from unreel.shards.making.profiles import Profile
from unreel.shards.sample import Audio, Packets, Video, pack_column

__all__ = ["MUXER", "describe_picture", "encode_picture", "encode_sound", "to_rgb"]

# Code points of ITU-T H.273 for matrix, primaries and transfer.
_COLOUR: Final = {"bt709": (1, 1, 1), "smpte170m": (6, 6, 6)}
_LIMITED_RANGE: Final = 1
# No version strings and no clock in the file; no edit list, so that frame 0 is at time 0 for every reader.
MUXER: Final = {"fflags": "+bitexact", "use_editlist": "0"}

# Codec of a profile → encoder, muxer, options.
_SOUND: Final[Mapping[str, tuple[Literal["flac", "libopus"], str, dict[str, str]]]] = {
    "flac": ("flac", "flac", {"flags": "+bitexact"}),
    "opus": ("libopus", "ogg", {"flags": "+bitexact", "application": "audio", "vbr": "on"}),
}
_LAYOUTS: Final = {1: "mono", 2: "stereo"}


def encode_picture(yuv: NDArray[np.uint8], rate: Fraction, profile: Profile) -> tuple[bytes, Video]:
    """Encode frames: uint8 `[T, H * 3 / 2, W]` planar 4:2:0 of limited range → (MP4, what the sidecar says of it)."""
    buffer = io.BytesIO()
    height, width = yuv.shape[1] * 2 // 3, yuv.shape[2]
    with av.open(buffer, "w", format="mp4", options=MUXER) as container:
        encoder, options = CODECS[profile.codec].encoder, profile.encoder_options
        stream = cast(VideoStream, container.add_stream(encoder, rate=rate, options=options))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        _tag(stream.codec_context, profile)
        for index, planes in enumerate(yuv):
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = index, 1 / rate
            frame.color_range, frame.colorspace = _LIMITED_RANGE, _COLOUR[profile.matrix][0]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    payload = buffer.getvalue()
    return payload, describe_picture(payload, rate, profile)


def _tag(context: av.VideoCodecContext, profile: Profile) -> None:
    context.thread_count = 1
    context.color_range = _LIMITED_RANGE
    context.colorspace, context.color_primaries, context.color_trc = _COLOUR[profile.matrix]


def describe_picture(payload: bytes, rate: Fraction, profile: Profile) -> Video:
    """Read the packet table back from the file that was written: it is what readers will rely on."""
    with av.open(io.BytesIO(payload), "r", format="mov") as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        return Video(
            codec=profile.codec,
            width=stream.width,
            height=stream.height,
            frames=len(packets),
            rate=rate.as_integer_ratio(),
            matrix=profile.matrix,
            gop=profile.gop,
            extradata=stream.codec_context.extradata or b"",
            packets=Packets(
                offset=pack_column("offset", np.array([packet.pos for packet in packets])),
                size=pack_column("size", np.array([packet.size for packet in packets])),
                key=pack_column("key", np.array([packet.is_keyframe for packet in packets])),
            ),
        )


def to_rgb(planes: NDArray[np.uint8], profile: Profile) -> NDArray[np.uint8]:
    """One frame, uint8 `[H * 3 / 2, W]` planar 4:2:0 of limited range → uint8 `[H, W, 3]`."""
    frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
    frame.color_range, frame.colorspace = _LIMITED_RANGE, _COLOUR[profile.matrix][0]
    return frame.to_ndarray(format="rgb24", threads=1).astype(np.uint8, copy=False)


def encode_sound(sound: NDArray[np.int16], profile: Profile) -> tuple[bytes, Audio]:
    """Encode sound, int16 `[N, C]` → (16-bit FLAC or Opus in Ogg, what the sidecar says of it).

    Opus decodes to the same N samples: its look-ahead and its last frame's padding are cut off by the container.
    """
    codec, container_format, options = _SOUND[profile.audio_codec]
    rate, layout = profile.audio_rate, _LAYOUTS[sound.shape[1]]
    if profile.audio_codec == "opus":
        options = {**options, "b": str(1000 * profile.audio_kbps)}
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container_format, options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout, format="s16", options=options)
        stream.codec_context.thread_count = 1
        frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    samples, channels = sound.shape
    # msgspec leaves a default out where the object is the same: a string that came from another process never is.
    member = sys.intern(profile.audio_codec)
    return buffer.getvalue(), Audio(
        codec=member, rate=rate, channels=channels, samples=samples, member=member
    )
