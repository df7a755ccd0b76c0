"""The one decode of a source: ffmpeg's graph, and the clips that are cut from its pipes while it runs."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Self

import ffmpeg
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from unreel.shards.errors import MediaRefused
from unreel.shards.limits import DEFAULT_LIMITS, Limits
from unreel.shards.probe import Probe
from unreel.shards.profiles import Profile
from unreel.shards.sample import audio_length, frame_to_audio
from unreel.shards.streams import Streams

__all__ = [
    "GREY_DIVISOR",
    "Decode",
    "RawClip",
    "compile_outputs",
    "decode_command",
    "grey_and_cuts",
    "input_options",
    "raw_output",
    "read_cuts",
]

# The grey copy has a quarter of each side: codec noise averages out and movement stays.
GREY_DIVISOR: Final = 4
# Times are printed as integers of this unit; FFmpeg prints seconds with six digits only.
_MICROSECONDS: Final = 1_000_000
# Decoded times may end this many frames from where the count ends.
_MOST_DRIFT: Final = 1.5
_FRAME_LINE: Final = re.compile(r"frame:(\d+)\s+pts:(-?\d+)")
# FFmpeg's own VP9 decoder does not notice that a packet was read too far or not to its end, and dav1d only when told to.
_STRICT_DECODERS: Final = {"vp9": {"c:v": "libvpx-vp9"}, "libdav1d": {"strict": "strict"}}
_MARK: Final = "unreel"
# swscale and swresample give the same numbers on every machine only when they are told to.
_LAYOUTS: Final = {1: "mono", 2: "stereo"}
_SCALE_FLAGS: Final = "bicubic+accurate_rnd+full_chroma_int+bitexact"


@dataclass(frozen=True, slots=True)
class RawClip:
    """A decoded clip.

    Attributes:
        start: index of its first frame among the stored frames of the source.
        yuv: uint8 `[T, H * 3 / 2, W]`, planar 4:2:0, limited range.
        grey: uint8 `[T, H / 4, W / 4]`, full range.
        sound: int16 `[N, C]` with sample 0 at the time of frame 0; None where the source has no sound.
    """

    start: int
    yuv: NDArray[np.uint8]
    grey: NDArray[np.uint8]
    sound: NDArray[np.int16] | None


def decode_command(
    path: str, probe: Probe, profile: Profile, limits: Limits, pipes: Mapping[str, int]
) -> list[str]:
    """The argument list of the one ffmpeg process; `pipes` are descriptors of `yuv`, `grey`, `frames`, `cuts`, `pcm`, `sound`."""
    source = ffmpeg.input(f"file:{path}", **input_options(probe.demuxer, probe.original.video_codec, limits))
    stored, small = _picture(source[str(probe.video)], probe, profile, pipes["frames"])
    outputs = [
        stored.output(f"pipe:{pipes['yuv']}", **raw_output("yuv420p")),
        grey_and_cuts(small, profile.cut_threshold, pipes["cuts"]).output(
            f"pipe:{pipes['grey']}", **raw_output("gray")
        ),
    ]
    if probe.audio is not None:
        sound = _sound(source[str(probe.audio)], profile, pipes["sound"])
        outputs.append(sound.output(f"pipe:{pipes['pcm']}", format="s16le", acodec="pcm_s16le", threads=1))
    return compile_outputs(outputs)


def compile_outputs(outputs: Sequence[Any]) -> list[str]:
    """The argument list of an ffmpeg that writes these pipes, quiet but for errors, each of which ends it."""
    graph = ffmpeg.merge_outputs(*outputs).global_args(
        "-nostdin", "-hide_banner", "-loglevel", "error", "-xerror", "-filter_complex_threads", "1"
    )
    return graph.compile(cmd=imageio_ffmpeg.get_ffmpeg_exe())


def input_options(demuxer: str, codec: str | None, limits: Limits) -> dict[str, Any]:
    """Of an input file: its demuxer is pinned, nothing else may be opened, any error ends the decode."""
    return {
        "format": demuxer,
        "protocol_whitelist": "file",
        "max_pixels": limits.pixels,
        "max_streams": limits.streams + 1,
        "err_detect": "crccheck+bitstream+buffer+explode",
        **_STRICT_DECODERS.get(codec or "", {}),
        "flags": "+bitexact",
        "threads": 1,
        # Time stamps as they are in the container: the first decoded picture is the origin, for sound as well.
        "copyts": None,
    }


def raw_output(pixels: str) -> dict[str, Any]:
    """Options of an output of bare frames."""
    return {"format": "rawvideo", "pix_fmt": pixels, "fps_mode": "passthrough", "threads": 1}


def _picture(stream: Any, probe: Probe, profile: Profile, frames_pipe: int) -> tuple[Any, Any]:
    stream = stream.filter("settb", f"1/{_MICROSECONDS}")
    stream = _report_frames(stream, "metadata", frames_pipe).filter("setpts", _new_times(probe))
    if probe.step > 1:
        stream = stream.filter("framestep", probe.step)
    stream = stream.filter("fps", "{}/{}".format(*probe.rate))
    if probe.crop is not None:
        left, top, right, bottom = probe.crop
        stream = stream.filter("crop", right - left, bottom - top, left, top)
    assumed = {} if probe.matrix is None else {"in_color_matrix": probe.matrix}
    stream = stream.filter(
        "scale",
        probe.width,
        probe.height,
        flags=_SCALE_FLAGS,
        out_color_matrix=profile.matrix,
        out_range="limited",
        **assumed,
    ).filter("format", "yuv420p")
    both = stream.filter_multi_output("split")
    return both[0], both[1]


def _new_times(probe: Probe) -> str:
    rate = probe.frame_rate * probe.step
    return f"N*{rate.denominator}/{rate.numerator}/TB" if probe.counted else "PTS-STARTPTS"


def grey_and_cuts(stream: Any, threshold: float, pipe: int) -> Any:
    """The grey copy of a stored picture, full range; a line goes into `pipe` where a scene starts."""
    small = stream.filter(
        "scale", f"iw/{GREY_DIVISOR}", f"ih/{GREY_DIVISOR}", flags="area+accurate_rnd+bitexact"
    )
    scored = small.filter("format", "gray").filter("scdet", threshold=threshold)
    return scored.filter("metadata", mode="print", key="lavfi.scd.time", file=f"pipe:{pipe}", direct=1)


def _sound(stream: Any, profile: Profile, pipe: int) -> Any:
    resampled = stream.filter(
        "aresample",
        profile.audio_rate,
        out_chlayout=_LAYOUTS[profile.audio_channels],
        out_sample_fmt="s16",
        **{"async": 1},
    )
    return _report_frames(resampled, "ametadata", pipe)


def _report_frames(stream: Any, kind: str, pipe: int) -> Any:
    """Print number and time of each frame that passes; the filter prints only frames that carry the key."""
    marked = stream.filter(kind, mode="add", key=_MARK, value=1)
    return marked.filter(kind, mode="print", key=_MARK, file=f"pipe:{pipe}", direct=1)


def read_cuts(lines: bytes) -> tuple[int, ...]:
    """Frames at which scenes start, of what `grey_and_cuts` wrote."""
    changes = (int(number) for number, _ in _FRAME_LINE.findall(lines.decode()))
    # scdet holds a change against the change before, and frame 1 has none before it.
    return tuple(number for number in changes if number > 1)


class _Track:
    """The sound of a source as it comes out of the pipe, addressed by samples from the first picture on."""

    def __init__(self, streams: Streams, offset: int, channels: int) -> None:
        """`offset`: where the pipe's first sample lies; negative where the sound begins before the picture."""
        self._streams, self._channels = streams, channels
        self._start = min(0, offset)
        self._held = np.zeros((max(0, offset), channels), np.int16)

    def span(self, start: int, length: int) -> NDArray[np.int16]:
        """i16 `[length, C]`: samples [start, start + length), silent where the sound has ended; starts never go back by more than one."""
        missing = start + length - self._start - len(self._held)
        taken = self._streams.take("pcm", 2 * self._channels * max(0, missing))
        fresh = np.frombuffer(taken, np.int16).reshape(-1, self._channels)
        held = np.concatenate([self._held, fresh])[max(0, start - 1 - self._start) :]
        self._start, self._held = max(self._start, start - 1), held
        found = held[start - self._start :][:length]
        return np.pad(found, ((0, length - len(found)), (0, 0)))


class Decode:
    """The running decode of one source; use it as a context manager, exhaust `clips`, then call `finish`."""

    def __init__(self, path: str, probe: Probe, profile: Profile, limits: Limits = DEFAULT_LIMITS) -> None:
        names = ("yuv", "grey", "frames", "cuts") + (() if probe.audio is None else ("pcm", "sound"))
        self._streams = Streams(
            names,
            lambda pipes: decode_command(path, probe, profile, limits, pipes),
            limits=limits,
            seconds=probe.seconds,
        )
        self._probe, self._profile, self._limits = probe, profile, limits
        self._first_line = ""
        self.dropped = 0
        """Frames at the end that were too few for a clip."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._streams.close()

    def clips(self) -> Iterator[RawClip]:
        """Clips of the longest length, one after the other; a rest that is too short is dropped and counted.

        Raises:
            MediaRefused: the process stalls, or the source is longer than the limit, whatever its header said.
        """
        rate, profile, track = self._probe.frame_rate, self._profile, None
        width, height, longest = self._probe.width, self._probe.height, profile.clip_frames(rate)
        for start in itertools.count(0, longest):
            yuv = self._planes("yuv", longest, height * 3 // 2, width)
            grey = self._planes("grey", longest, height // GREY_DIVISOR, width // GREY_DIVISOR)
            if len(yuv) < profile.min_frames(rate):
                self.dropped = len(yuv)
                return
            self._limits.check("seconds", float(start / rate))
            track = self._track() if start == 0 else track
            yield RawClip(start, yuv, grey, None if track is None else self._beside(track, start, len(yuv)))

    def finish(self) -> tuple[NDArray[np.float64], tuple[int, ...]]:
        """(times in seconds of all decoded source frames, stored frames at which scenes start).

        Raises:
            MediaRefused: the decode met an error, or the picture changed its form on the way.
        """
        rest = self._streams.finish()
        lines = _FRAME_LINE.findall(f"{self._first_line}\n{rest['frames'].decode()}")
        numbers = np.array([int(number) for number, _ in lines])
        if not np.array_equal(numbers, np.arange(len(numbers))):
            raise MediaRefused("changes-form", "size or pixel format of the picture change on the way")
        if len(lines) != self._probe.pictures:
            raise MediaRefused(
                "frames-missing", f"{len(lines)} pictures came out of packets for {self._probe.pictures}"
            )
        times = np.array([int(time) for _, time in lines]) / _MICROSECONDS
        return (self._counted(times) if self._probe.counted else times), read_cuts(rest["cuts"])

    def _counted(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Times by count, once it is sure that no frame is missing among them."""
        period = float(1 / (self._probe.frame_rate * self._probe.step))
        if len(times) and abs(times[-1] - times[0] - (len(times) - 1) * period) > _MOST_DRIFT * period:
            raise MediaRefused(
                "frames-missing", f"{len(times)} frames in {times[-1] - times[0] + period:.2f} s"
            )
        return times[:1] + np.arange(len(times)) * period

    def _planes(self, pipe: str, count: int, height: int, width: int) -> NDArray[np.uint8]:
        data = self._streams.take(pipe, count * height * width)
        whole = len(data) - len(data) % (height * width)
        return np.frombuffer(data, np.uint8, whole).reshape(-1, height, width)

    def _track(self) -> _Track | None:
        self._first_line = self._streams.take_line("frames") or ""
        line = self._streams.take_line("sound") if self._probe.audio is not None else None
        picture, sound = (_FRAME_LINE.search(text or "") for text in (self._first_line, line))
        if picture is None or sound is None:
            return None
        origin = Fraction(int(picture[2]) * self._profile.audio_rate, _MICROSECONDS)
        return _Track(self._streams, round(int(sound[2]) - origin), self._profile.audio_channels)

    def _beside(self, track: _Track, start: int, frames: int) -> NDArray[np.int16]:
        audio_rate, rate = self._profile.audio_rate, self._probe.frame_rate
        return track.span(frame_to_audio(start, audio_rate, rate), audio_length(frames, audio_rate, rate))
