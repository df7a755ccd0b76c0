"""What is this file? Opened with a pinned demuxer, its packets read to the end, its first picture decoded."""

import errno
import hashlib
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Final, NamedTuple

import av
import msgspec
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from unreel.shards.border.containers import check_count, check_pages, check_riff, shows_picture
from unreel.shards.border.geometry import letterbox, stored_size
from unreel.shards.border.limits import DEFAULT_LIMITS, Limits
from unreel.shards.border.signatures import HEAD_BYTES, identify, picture_format
from unreel.shards.border.timing import find_grid, storage_rate
from unreel.shards.errors import MediaRefused
from unreel.shards.intake.checksums import check_sha256
from unreel.shards.intake.source_file import Caption
from unreel.shards.intake.sources import SourceFile, is_plain_file
from unreel.shards.intake.subtitles import Subtitles, subtitle_stream
from unreel.shards.making.analyse import Box
from unreel.shards.making.pictures import fitted_size, open_picture
from unreel.shards.making.profiles import Profile
from unreel.shards.sample import STEP_RATE, Original

__all__ = ["SKIPPED", "Probe", "open_options", "probe"]

SKIPPED: Final = frozenset(
    {
        "animated",
        "duplicate",
        "filtered",
        "manifest",
        "other",
        "picture",
        "sound-only",
        "too-short",
        "too-small",
        "too-wide",
        "transcript",
        "video",
        "without-sound",
    }
)
"""Reasons for which a source is sound and still not for this profile; any other reason is a refusal."""

# AVCOL_SPC_UNSPECIFIED of libavutil; PyAV has no name for it.
_UNSPECIFIED: Final = 2
_READ_BYTES: Final = 1 << 20
# Header and packets may disagree on the length by this share and these seconds before a file counts as cut short.
_MISSING_SHARE: Final = 0.02
_MISSING_SECONDS: Final = 0.5
# MP4 states the length of each stream to a fraction of a frame; codecs with long frames are rounded up.
_MISSING_TAIL: Final = 0.1
# Containers whose header states the length; of the others FFmpeg guesses it from what is there.
_STATES_LENGTH: Final = frozenset({"avi", "flv", "matroska", "mov"})
# MPEG streams time their PES packets, and of two frames in one packet FFmpeg guesses the second.
_TIMES_NOT_EACH_FRAME: Final = frozenset({"mpeg", "mpegts"})
# In words of libavutil's imgutils.c.
_TOO_LARGE: Final = re.compile(r"Picture size (\d+x\d+) (?:exceeds specified max pixel count|is invalid)")
# What PyAV raises on damaged files; some of it comes from its own tables and not from FFmpeg.
_FAILURES: Final = (av.FFmpegError, ArithmeticError, EOFError, LookupError, ValueError)


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """What the builder needs to know of a source before it decodes it."""

    id: str
    """16 hex digits: BLAKE2b of the file's bytes."""
    demuxer: str
    """FFmpeg's name; of a still picture Pillow's name of its format."""
    still: bool = False
    """It is a still picture."""
    video: int | None = None
    """Index of the moving picture's stream in the container; None: there is none, or it is not wanted."""
    audio: int | None = None
    """Index of the sound's stream; None: there is no sound."""
    crop: Box | None = None
    """(left, top, right, bottom) of the source's picture, as turned for display, without a stable letterbox."""
    matrix: str | None = None
    """YUV matrix to assume where the stream names none."""
    width: int = 0
    height: int = 0
    """Of the stored picture."""
    rate: tuple[int, int] = (STEP_RATE, 1)
    """Of the stored moving picture, else of the steps in which sound is cut."""
    step: int = 1
    """Every `step`-th source frame is at that rate; the source's rate is constant where this is above 1."""
    stride: int = 1
    """Of the frames at that rate, every `stride`-th is stored; 1 unless each becomes a still picture."""
    counted: bool = False
    """The frames' places are counted, because the container does not time each of them."""
    regular: bool = False
    """The source's frames are one period apart, none is missing."""
    pictures: int = 0
    """Pictures that the packets promise, from the first on that can be decoded."""
    seconds: float = 0.0
    lead: float = 0.0
    """Seconds from the container's beginning, where a player's clock starts, to the first decoded picture."""
    captions: tuple[Caption, ...] = ()
    """Words of a track of text subtitles, ascending, on the clock of the first decoded picture."""
    language: str | None = None
    """ISO 639-1 code of these words, where the track tells it."""
    original: Original

    @property
    def frame_rate(self) -> Fraction:
        return Fraction(*self.rate)

    @property
    def sample_rate(self) -> Fraction:
        """Stored frames a second."""
        return self.frame_rate / self.stride


class _Packets(msgspec.Struct):
    """Counts over a file's packets, of which a shortcut could be made."""

    times: list[int] = []
    """Times of the pictures in the order in which they are stored, in units of their stream."""
    timed: bool = True
    """Whether every picture says when it is shown, not only when it is decoded."""
    keys: list[int] = []
    """Which of the pictures are key frames."""
    promised: list[int] = []
    """Times of those of the pictures that a decoder gives."""
    video_bytes: int = 0
    audio_bytes: int = 0

    def add_picture(self, packet: av.Packet, time: int, codec: str) -> None:
        self.video_bytes += packet.size
        shown = shows_picture(codec, memoryview(packet))
        if packet.size and not shown:
            return
        if shown and not packet.is_discard:
            self.promised.append(time)
        self.timed = self.timed and packet.pts is not None
        if packet.is_keyframe:
            self.keys.append(len(self.times))
        self.times.append(time)

    @property
    def gop(self) -> int:
        """Longest run of frames that begins with a key frame; 0 where none is marked as one."""
        return int(np.diff([*self.keys, len(self.times)]).max()) if self.keys else 0

    @property
    def reordered(self) -> bool:
        return bool((np.diff(self.times) < 0).any())


class _Contents(msgspec.Struct, frozen=True):
    """What reading a file to its end shows."""

    first: VideoFrame
    times: NDArray[np.int64]
    """Ascending presentation times of the pictures, in units of their stream."""
    ends: dict[int, Fraction]
    """Index of a stream → seconds at which its last packet ends."""
    packets: _Packets
    subtitles: Subtitles | None
    """Of a track of text; None: there is none."""

    @property
    def captions(self) -> tuple[Caption, ...]:
        first = self.first
        if self.subtitles is None or first.pts is None or first.time_base is None:
            return ()
        return self.subtitles.captions(first.pts * first.time_base)


def probe(source: SourceFile, profile: Profile, limits: Limits = DEFAULT_LIMITS) -> Probe:
    """Find out what a source is and how the profile will store it.

    FFmpeg runs inside this process: `sandbox.probe_safely` is the same where the source is not trusted.

    Raises:
        MediaRefused: the profile does not take it; the reasons in `SKIPPED` are no fault of the file.
    """
    if not os.path.exists(source.path):
        raise MediaRefused("missing", "there is no such file")
    if not is_plain_file(source.path):
        raise MediaRefused("unreadable", "not a regular file that can be read")
    limits.check("bytes", os.path.getsize(source.path))
    demuxer, digest, still = _identify_and_digest(source, profile)
    if still:
        return _measure_still(source.path, demuxer, digest, profile, limits)
    if demuxer == "ogg":
        check_pages(source.path)
    if demuxer == "wav":
        check_riff(source.path)
    try:
        return _open(source, demuxer, digest, profile, limits)
    except _FAILURES as error:
        if isinstance(error, av.FFmpegError) and error.errno in (errno.ENOMEM, errno.EINVAL):
            # FFmpeg tells only its log which limit was reached.
            limit = _limit_in_log(lambda: _open(source, demuxer, digest, profile, limits), limits)
            if limit is not None:
                raise limit from error
            if error.errno == errno.ENOMEM:
                raise limits.refusal("memory", "FFmpeg needs more memory to open it") from error
        what = error.strerror if isinstance(error, av.FFmpegError) else repr(error)
        raise MediaRefused("damaged", f"opened as {demuxer}: {what}") from error


def _open(source: SourceFile, demuxer: str, digest: str, profile: Profile, limits: Limits) -> Probe:
    with av.open(f"file:{source.path}", format=demuxer, options=open_options(limits)) as container:
        return _measure(container, demuxer, digest, profile, limits)


def _limit_in_log(attempt: Callable[[], object], limits: Limits) -> MediaRefused | None:
    """Fail again, with an ear on the log."""
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as log, suppress(*_FAILURES):
            attempt()
    finally:
        av.logging.set_level(None)
    text = "".join(line for _, _, line in log)
    if "max_streams" in text:
        return limits.refusal("streams", f"more than {limits.streams} streams")
    if found := _TOO_LARGE.search(text):
        return limits.refusal("pixels", f"{found[1]} pixels")
    return None


def _identify_and_digest(source: SourceFile, profile: Profile) -> tuple[str, str, bool]:
    """(demuxer or Pillow's format, digest, whether it is a still picture that the profile takes)."""
    digest, sha256 = hashlib.blake2b(digest_size=8), hashlib.sha256()
    try:
        with open(source.path, "rb") as file:
            head = file.read(HEAD_BYTES)
            still = picture_format(head) if profile.pictures == "store" else None
            demuxer = still or identify(head, source.name)
            file.seek(0)
            while block := file.read(_READ_BYTES):
                digest.update(block)
                if source.sha256:
                    sha256.update(block)
    except OSError as error:
        raise MediaRefused("unreadable", str(error)) from error
    if source.sha256 is not None:
        check_sha256(source.sha256, sha256.hexdigest())
    return demuxer, digest.hexdigest(), still is not None


def _measure_still(path: str, form: str, digest: str, profile: Profile, limits: Limits) -> Probe:
    with open_picture(Path(path).read_bytes(), form, limits) as picture:
        width, height = fitted_size(*picture.size, profile)
        original = picture.describe()
    return Probe(id=digest, demuxer=form, still=True, width=width, height=height, original=original)


def open_options(limits: Limits) -> dict[str, str]:
    """For the container, and for the decoders by which FFmpeg finds out what is in it."""
    return {
        "protocol_whitelist": "file",
        # One above the limit, so that the refusal is ours and names the option.
        "max_streams": str(limits.streams + 1),
        "max_pixels": str(limits.pixels),
        "threads": "1",
    }


def _measure(container: InputContainer, demuxer: str, digest: str, profile: Profile, limits: Limits) -> Probe:
    limits.check("streams", len(container.streams))
    stream = _picture_stream(container, profile)
    if stream is None:
        return _measure_sound(container, demuxer, digest, profile, limits)
    audio = _sound_stream(container) if profile.videos == "clips" else None
    _check_claims(container, stream, audio, limits)
    contents = _read_through(container, stream, audio, limits)
    _check_length(container, demuxer, contents.ends)
    check_count(demuxer, stream.frames, len(contents.packets.times))
    timing = _timing(stream, contents.times, profile, guessed=demuxer in _TIMES_NOT_EACH_FRAME)
    crop = letterbox(container, stream, contents.first, timing.seconds)
    width, height = stored_size(contents.first, stream, crop, profile)
    return Probe(
        id=digest,
        demuxer=demuxer,
        video=stream.index,
        audio=None if audio is None else audio.index,
        crop=crop,
        matrix=_assumed_matrix(contents.first),
        width=width,
        height=height,
        rate=timing.rate.as_integer_ratio(),
        step=timing.step,
        regular=timing.regular,
        pictures=_promised(contents),
        stride=profile.picture_stride(timing.rate),
        counted=demuxer in _TIMES_NOT_EACH_FRAME and timing.regular,
        seconds=timing.seconds,
        lead=_lead(container, contents.first),
        captions=contents.captions,
        language=contents.subtitles.language if contents.subtitles and contents.captions else None,
        original=_original(demuxer, stream, audio, contents, timing.seconds),
    )


def _measure_sound(
    container: InputContainer, demuxer: str, digest: str, profile: Profile, limits: Limits
) -> Probe:
    audio = _sound_stream(container)
    if audio is None:
        raise MediaRefused(
            "without-sound", f"there is no sound in it, and profile {profile.name} takes sound"
        )
    _check_claims(container, None, audio, limits)
    start, end = _read_sound(container, audio, limits)
    _check_length(container, demuxer, {audio.index: end})
    seconds = end - start
    if seconds < profile.min_seconds:
        raise MediaRefused(
            "too-short", f"{seconds:.2f} s; profile {profile.name} takes {profile.min_seconds} s or more"
        )
    original = Original(
        container=demuxer,
        audio_codec=audio.codec_context.name,
        audio_rate=audio.rate,
        audio_channels=audio.channels,
    )
    return Probe(id=digest, demuxer=demuxer, audio=audio.index, seconds=seconds, original=original)


def _picture_stream(container: InputContainer, profile: Profile) -> VideoStream | None:
    """The largest picture, or None where the sound alone is wanted; covers of albums do not count."""
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        if not container.streams.audio:
            raise MediaRefused("no-stream", "there is neither a moving picture nor a sound in it")
        if profile.sounds == "skip":
            raise MediaRefused(
                "sound-only", f"there is no moving picture in it, and profile {profile.name} needs one"
            )
        return None
    if profile.videos == "skip":
        raise MediaRefused("video", f"a moving picture, and profile {profile.name} takes none")
    if profile.videos == "sound":
        return None
    decodable = [s for s in streams if s.codec_context is not None]
    if not decodable:
        raise MediaRefused("no-decoder", "this FFmpeg has no decoder for the picture")
    return max(decodable, key=lambda s: (s.width * s.height, -s.index))


def _sound_stream(container: InputContainer) -> av.AudioStream | None:
    streams = container.streams.audio
    if not streams:
        return None
    decodable = [s for s in streams if s.codec_context is not None and s.rate]
    if not decodable:
        raise MediaRefused("no-decoder", "this FFmpeg has no decoder for the sound")
    return decodable[0]


def _check_claims(
    container: InputContainer, stream: VideoStream | None, audio: av.AudioStream | None, limits: Limits
) -> None:
    """What the header claims is held against the limits before anything is allocated for it."""
    limits.check("seconds", (container.duration or 0) / av.time_base)
    limits.check("channels", 0 if audio is None else audio.channels)
    if stream is None:
        return
    if stream.width * stream.height > limits.pixels:
        raise limits.refusal("pixels", f"{stream.width}x{stream.height} pixels")
    limits.check("frames", stream.frames)
    stream.codec_context.options = {"max_pixels": str(limits.pixels)}
    stream.codec_context.thread_count = 1


def _read_through(
    container: InputContainer, stream: VideoStream, audio: av.AudioStream | None, limits: Limits
) -> _Contents:
    first: VideoFrame | None = None
    packets = _Packets()
    track = subtitle_stream(container)
    subtitles = None if track is None else Subtitles(track)
    ends: dict[int, Fraction] = {}
    for packet in container.demux():
        time = packet.dts if packet.pts is None else packet.pts
        if time is None or packet.time_base is None:
            continue
        if packet.stream_index == stream.index:
            # Theora and AVI have packets without a byte: the frame before is shown again.
            if first is None and packet.size:
                first = next(iter(stream.decode(packet)), None)
            packets.add_picture(packet, time, stream.codec_context.name)
            limits.check("frames", len(packets.times))
        elif audio is not None and packet.stream_index == audio.index:
            packets.audio_bytes += packet.size
        elif subtitles is not None:
            subtitles.add(packet)
        here = (time + (packet.duration or 0)) * packet.time_base
        ends[packet.stream_index] = max(ends.get(packet.stream_index, here), here)
    # A decoder may hold a single picture back until it knows that no other follows.
    first = first or next(iter(stream.decode(None)), None)
    if first is None:
        raise MediaRefused("damaged", "no picture could be decoded")
    return _Contents(first, np.sort(np.array(packets.times, np.int64)), ends, packets, subtitles)


def _read_sound(container: InputContainer, audio: av.AudioStream, limits: Limits) -> tuple[float, float]:
    """Seconds at which the first packet of the sound begins and the last one ends."""
    times = []
    for packet in container.demux(audio):
        time = packet.dts if packet.pts is None else packet.pts
        if time is not None and packet.time_base is not None:
            times.append((time * packet.time_base, (time + (packet.duration or 0)) * packet.time_base))
            limits.check("frames", len(times))
    if not times:
        raise MediaRefused("damaged", "no packet of its sound could be read")
    return float(min(start for start, _ in times)), float(max(end for _, end in times))


def _check_length(container: InputContainer, demuxer: str, ends: Mapping[int, Fraction | float]) -> None:
    """Some demuxers end a file that was cut short without an error."""
    stated, end = (container.duration or 0) / av.time_base, float(max(ends.values(), default=0))
    if demuxer in _STATES_LENGTH and end < stated * (1 - _MISSING_SHARE) - _MISSING_SECONDS:
        raise MediaRefused("truncated", f"the header states {stated:.1f} s, the packets end at {end:.1f} s")
    for stream in container.streams if demuxer == "mov" else ():
        # Fragments count no samples in the header, and their length is a guess.
        if stream.frames and stream.duration and stream.index in ends:
            due = float((stream.duration + (stream.start_time or 0)) * (stream.time_base or 0))
            found = float(ends[stream.index])
            if found < due - _MISSING_TAIL:
                raise MediaRefused(
                    "truncated", f"{stream.type} {stream.index} lasts {due:.2f} s, its packets {found:.2f} s"
                )


def _promised(contents: _Contents) -> int:
    """Pictures before the first key frame are not decoded; from there on each packet has one."""
    first = contents.first.pts
    return sum(first is None or time >= first for time in contents.packets.promised)


class _Timing(NamedTuple):
    rate: Fraction
    """Of the stored picture."""
    step: int
    regular: bool
    seconds: float


def _timing(stream: VideoStream, times: NDArray[np.int64], profile: Profile, *, guessed: bool) -> _Timing:
    if len(times) < 2 or times[0] == times[-1]:
        raise MediaRefused("too-short", f"{len(times)} picture; profile {profile.name} takes clips")
    time_base = stream.time_base or Fraction(1, av.time_base)
    mean = Fraction(len(times) - 1) / (int(times[-1] - times[0]) * time_base)
    seconds = float(len(times) / mean)
    grid = find_grid(times, time_base, (stream.average_rate, stream.base_rate), guessed=guessed)
    rate, step = storage_rate(grid and grid.rate, mean, profile)
    if round(seconds * rate) < profile.min_frames(rate):
        raise MediaRefused(
            "too-short", f"{seconds:.2f} s; profile {profile.name} takes {profile.min_seconds} s or more"
        )
    return _Timing(rate, step, grid is not None and grid.regular, seconds)


def _lead(container: InputContainer, first: VideoFrame) -> float:
    if first.pts is None or first.time_base is None or container.start_time is None:
        return 0.0
    return round(float(first.pts * first.time_base - Fraction(container.start_time, av.time_base)), 6)


def _assumed_matrix(frame: VideoFrame) -> str | None:
    """FFmpeg takes untagged pictures for BT.601; makers of high definition mean BT.709."""
    untagged = frame.colorspace == _UNSPECIFIED
    return ("bt709" if frame.height >= 720 else "smpte170m") if untagged else None


def _original(
    demuxer: str, stream: VideoStream, audio: av.AudioStream | None, contents: _Contents, seconds: float
) -> Original:
    rate, frame, packets = stream.average_rate, contents.first, contents.packets
    return Original(
        container=demuxer,
        video_codec=stream.codec_context.name,
        audio_codec=None if audio is None else audio.codec_context.name,
        width=frame.width,
        height=frame.height,
        pixel_format=frame.format.name,
        rate=None if rate is None else rate.as_integer_ratio(),
        audio_rate=0 if audio is None else audio.rate,
        audio_channels=0 if audio is None else audio.channels,
        rotation=-frame.rotation % 360,
        gop=packets.gop,
        # AVI and raw streams do not say when a frame is shown; there the codec's header has to be believed.
        b_frames=packets.reordered if packets.timed else bool(stream.codec_context.has_b_frames),
        video_bit_rate=round(packets.video_bytes * 8 / seconds),
        audio_bit_rate=round(packets.audio_bytes * 8 / seconds),
    )
