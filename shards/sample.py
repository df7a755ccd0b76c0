"""The sample contract: what one sample of a shard is made of, and the sidecar that describes it.

One sample is one bounded moment: a clip of one source (picture, sound or both), one still picture, or one sound. Its
members lie next to each other in the tar, `json` first, so that a streaming reader can plan before the payload arrives:

    json    the sidecar, `Sidecar` below
    mp4     moving picture only: constant frame rate, closed GOPs, key frame at 0, no B-frames
    flac    sound, 16 bit; its sample 0 is at the time of frame 0
    opus    the same as Opus in Ogg
    jpg     one baseline JPEG picture
    txt     narration

Long numeric columns of the sidecar are base64 little-endian arrays and not JSON numbers: 11 µs to parse against 69 µs,
which counts at thousands of clips a second under the GIL.
"""

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from unreel.shards.errors import ShardError

__all__ = [
    "MEMBERS",
    "SCHEMA",
    "STEP_RATE",
    "Audio",
    "Facts",
    "Image",
    "Original",
    "Packets",
    "Segment",
    "Sidecar",
    "Source",
    "Video",
    "audio_length",
    "check_key",
    "frame_to_audio",
    "pack_column",
    "read_sidecar",
    "write_sidecar",
]

SCHEMA: Final = (1, 1)
"""Version of the sidecar, (major, minor): newer minors are read, newer majors are refused by name."""

MEMBERS: Final = ("json", "mp4", "flac", "opus", "jpg", "txt")
"""Every member that a shard may hold, in the order in which a sample's members lie in the tar."""

STEP_RATE: Final = 25
"""Steps a second on which facts and positions of a sample without a moving picture are counted: 40 ms are whole samples
at every usual rate."""

_KEY = re.compile(r"[a-z0-9_-]+")

COLUMN_DTYPES: Final[Mapping[str, str]] = {
    "offset": "<u4",
    "size": "<u4",
    "key": "u1",
    "motion": "<f2",
    "luma": "<f2",
    "loudness": "<f2",
    "hashes": "<u8",
    "track": "<f4",
}
"""Little-endian dtype of each packed column."""


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of the sidecar's parts: immutable, defaults left out of the JSON."""


class Source(Record, frozen=True, kw_only=True):
    """Where a sample comes from; two samples with one `id` show the same recording."""

    id: str
    """16 hex digits: digest of the source's content. Splits are by source, never by clip."""
    name: str
    """Path below the listed folder. It informs people; nothing opens it."""
    start_frame: int = 0
    """Index of the sample's frame 0 among the source's frames at the sample's own rate: of its moving picture; of the
    video that a still picture was taken from, at the rate at which its clips would be stored; else `STEP_RATE`."""
    split: str | None = None
    """Split that the manifest asked for; None lets the reader divide by `id`."""
    span_us: tuple[int, int] | None = None
    """(start, stop) of the sample on the source's own clock, in microseconds; None: not known. Since 1.1."""
    licence: str | None = None
    url: str | None = None
    takedown_id: str | None = None


class Packets(Record, frozen=True, kw_only=True):
    """Where each packet of the video member lies, in stream order, one row a frame."""

    offset: bytes
    """u32 `[frames]`: first byte of the packet, counted from the start of the member."""
    size: bytes
    """u32 `[frames]`: bytes in the packet."""
    key: bytes
    """u8 `[frames]`: 1 where decoding can start, else 0."""

    @property
    def offsets(self) -> NDArray[np.uint32]:
        return np.frombuffer(self.offset, "<u4")

    @property
    def sizes(self) -> NDArray[np.uint32]:
        return np.frombuffer(self.size, "<u4")

    @property
    def key_frames(self) -> NDArray[np.intp]:
        """Ascending indices of the key frames; the first is 0."""
        return np.flatnonzero(np.frombuffer(self.key, "u1"))


class Video(Record, frozen=True, kw_only=True):
    """The picture member."""

    codec: str
    """FFmpeg's name: `h264`, `hevc`, `vp9`, `mjpeg`."""
    width: int
    height: int
    frames: int
    rate: tuple[int, int]
    """Frames per second as numerator and denominator."""
    matrix: str
    """YUV matrix that the stream is tagged with: `bt709` or `smpte170m` (BT.601); range is limited."""
    gop: int
    """Largest distance of two key frames, in frames."""
    b_frames: bool = False
    """True when packet order is not presentation order; the `packets` backend declines such samples by name."""
    extradata: bytes = b""
    """The codec's out-of-band header as the container stores it (for H.264 the avcC record)."""
    copied: bool = False
    """True when the packets are the source's own and nothing was encoded anew. Since 1.1."""
    packets: Packets
    member: str = "mp4"

    @property
    def frame_rate(self) -> Fraction:
        return Fraction(*self.rate)


class Audio(Record, frozen=True, kw_only=True):
    """The sound member."""

    codec: str
    """FFmpeg's name: `flac`, `opus`."""
    rate: int
    """Samples per second."""
    channels: int
    samples: int
    """Samples per channel: `round(frames * rate / frame_rate)` where there is a picture."""
    bits: int = 16
    member: str = "flac"


class Image(Record, frozen=True, kw_only=True):
    """The still picture of a sample that is one picture. Since 1.1."""

    codec: str
    """FFmpeg's name: `mjpeg` for baseline JPEG."""
    width: int
    height: int
    member: str = "jpg"


class Segment(Record, frozen=True, kw_only=True):
    """A timed piece of a transcript. Since 1.1."""

    start_ms: int
    """Milliseconds from the sample's frame 0; negative where the words began before the clip."""
    stop_ms: int
    """Exclusive; beyond the sample's end where the words go on after the clip."""
    text: str


class Facts(Record, frozen=True, kw_only=True):
    """What samplers and guards need to know, measured once in the one decode of the build."""

    measured: tuple[str, ...] = ()
    """Names of the facts that were measured: an empty fact that is listed here was looked for and not found. Since 1.1;
    sidecars of 1.0 list none and hold all facts of 1.0."""

    motion: bytes = b""
    """f16 `[frames]`: mean absolute luma difference to the frame before, in [0, 255]; 0 at frame 0. Since 1.1 both frames are
    brought to one brightness first."""
    luma: bytes = b""
    """f16 `[frames]`: mean luma, in [0, 255]; one value for a still picture."""
    loudness: bytes = b""
    """f16 `[steps]`: RMS level of the sound beside each frame, in dBFS, not below -120; without a moving picture beside
    each 40 ms, the last of them perhaps shorter."""
    cuts: tuple[int, ...] = ()
    """Ascending frames at which a new scene starts; frame 0 is not listed."""
    content_box: tuple[int, int, int, int] | None = None
    """(left, top, right, bottom) in stored pixels, right and bottom exclusive: the picture without a stable letterbox."""
    silence: tuple[tuple[int, int], ...] = ()
    """Ascending (start, stop) spans, in audio samples, that are quieter than the profile's threshold."""
    overlay_box: tuple[int, int, int, int] | None = None
    """(left, top, right, bottom) in stored pixels of what stays still while the picture moves: a logo, a clock's frame, a
    caption bar. None: there is none. Since 1.1."""
    hashes: bytes = b""
    """u64 `[n]`: perceptual hash of one frame a second, the first of frame 0; near pictures differ in few bits. Since 1.1."""

    @property
    def hash_words(self) -> NDArray[np.uint64]:
        return np.frombuffer(self.hashes, "<u8")

    @property
    def motion_curve(self) -> NDArray[np.float32]:
        return np.frombuffer(self.motion, "<f2").astype(np.float32)

    @property
    def luma_curve(self) -> NDArray[np.float32]:
        return np.frombuffer(self.luma, "<f2").astype(np.float32)

    @property
    def loudness_curve(self) -> NDArray[np.float32]:
        return np.frombuffer(self.loudness, "<f2").astype(np.float32)


class Original(Record, frozen=True, kw_only=True):
    """What the source file was: its encoding is a cue that a task can learn instead of its content."""

    container: str
    video_codec: str | None = None
    audio_codec: str | None = None
    width: int = 0
    height: int = 0
    pixel_format: str | None = None
    rate: tuple[int, int] | None = None
    """Average frame rate that the container states."""
    audio_rate: int = 0
    audio_channels: int = 0
    rotation: int = 0
    """Degrees clockwise that the container asks a player to turn the picture; already applied to the sample."""
    gop: int = 0
    """Longest run of frames that begins with a key frame; 0: not known. Since 1.1."""
    b_frames: bool = False
    """Whether frames were stored in another order than shown. Since 1.1."""
    video_bit_rate: int = 0
    """Bits per second of the picture's packets, as counted; 0: not known. Since 1.1."""
    audio_bit_rate: int = 0
    """Bits per second of the sound's packets, as counted; 0: not known or no sound. Since 1.1."""


class Sidecar(Record, frozen=True, kw_only=True, omit_defaults=False):
    """Everything that is known of a sample without decoding it: the `json` member."""

    schema: str = f"{SCHEMA[0]}.{SCHEMA[1]}"
    key: str
    source: Source
    video: Video | None = None
    audio: Audio | None = None
    image: Image | None = None
    """The still picture; a sample has no `video` beside it. Since 1.1."""
    facts: Facts = Facts()
    original: Original | None = None
    transcript: tuple[Segment, ...] = ()
    """What is said in the sample, in the order of time; the member `txt` holds the same words. Since 1.1."""
    language: str | None = None
    """ISO 639-1 code of the transcript's language. Since 1.1."""
    labels: dict[str, str | int | float] = {}
    """One value a sample, from the manifest."""
    tracks: dict[str, bytes] = {}
    """f32 `[frames]` a name: labels that change over time, from the manifest's columns named `name[]`."""

    @property
    def seconds(self) -> float:
        """Length in seconds, of the picture if there is one, else of the sound."""
        if self.video is not None:
            return float(self.video.frames / self.video.frame_rate)
        return self.audio.samples / self.audio.rate if self.audio is not None else 0.0

    @property
    def steps(self) -> int:
        """Values in each curve of the facts and in each track: frames, 1 for a still picture, else steps of 40 ms."""
        if self.video is not None:
            return self.video.frames
        if self.image is not None or self.audio is None:
            return int(self.image is not None)
        return -(-self.audio.samples * STEP_RATE // self.audio.rate)

    def track(self, name: str) -> NDArray[np.float32]:
        """The label `name` over time, f32 `[frames]`. Raises KeyError when the sample has none of that name."""
        return np.frombuffer(self.tracks[name], COLUMN_DTYPES["track"])


class _Version(msgspec.Struct):
    """The one field that every version of the sidecar has."""

    schema: str


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Sidecar)
_version_decoder = msgspec.json.Decoder(_Version)


def write_sidecar(sidecar: Sidecar) -> bytes:
    """The `json` member of a sample; equal sidecars give equal bytes."""
    check_key(sidecar.key)
    return _encoder.encode(sidecar)


def read_sidecar(data: bytes | memoryview) -> Sidecar:
    """Parse a `json` member.

    Raises:
        ShardError: it is no sidecar, or its major version is newer than this reader.
    """
    try:
        major = int(_version_decoder.decode(data).schema.split(".")[0])
        if major > SCHEMA[0]:
            raise ShardError(
                f"sidecar schema {major}.x is newer than this reader ({SCHEMA[0]}.x): update unreel"
            )
        return _decoder.decode(data)
    except (msgspec.DecodeError, ValueError) as error:
        raise ShardError(f"not a sidecar: {error}") from error


def pack_column(name: str, values: NDArray) -> bytes:
    """Pack an array as the column `name` stores it; see `COLUMN_DTYPES`."""
    return np.ascontiguousarray(values, COLUMN_DTYPES[name]).tobytes()


def check_key(key: str) -> str:
    """Return `key`, or raise ValueError if it holds anything but `a-z 0-9 _ -`: keys are never paths."""
    if not _KEY.fullmatch(key):
        raise ValueError(f"key {key!r}: allowed are a-z, 0-9, '_' and '-'")
    return key


def frame_to_audio(frame: int, audio_rate: int, frame_rate: Fraction) -> int:
    """Audio sample at the time of frame `frame`: `round(frame * audio_rate / frame_rate)`, halves to even."""
    return round(Fraction(frame * audio_rate) / frame_rate)


def audio_length(frames: int, audio_rate: int, frame_rate: Fraction) -> int:
    """Audio samples beside `frames` frames."""
    return frame_to_audio(frames, audio_rate, frame_rate)
