"""The one decode of a source: ffmpeg's graph, and a window on its pipes that moves on while it runs."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Self

import ffmpeg
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from unreel.shards.border.limits import DEFAULT_LIMITS, Limits
from unreel.shards.border.probe import Probe
from unreel.shards.errors import MediaRefused
from unreel.shards.making.cutting import Piece
from unreel.shards.making.profiles import Profile
from unreel.shards.making.soundtrack import PIPE, Soundtrack
from unreel.shards.making.streams import Streams
from unreel.shards.sample import STEP_RATE, frame_to_audio

__all__ = [
    "GREY_DIVISOR",
    "SCALE_FLAGS",
    "PictureDecode",
    "RawClip",
    "SoundDecode",
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
# What is not wanted passes by in parts of so many frames.
_SKIPPED_FRAMES: Final = 256
# A hole in the sound's times, or a part too much, is made good from this length on: shorter than a packet, longer than what
# coarse time stamps are off. With FFmpeg's own 0.1 s the sound runs early behind each lost packet.
_GAP_SECONDS: Final = 0.01
# Vorbis has long and short blocks, and its time stamps come and go by up to 21 ms while nothing is missing.
_VORBIS_GAP_SECONDS: Final = 0.03
# swscale and swresample give the same numbers on every machine only when they are told to.
_LAYOUTS: Final = {1: "mono", 2: "stereo"}
SCALE_FLAGS: Final = "bicubic+accurate_rnd+full_chroma_int+bitexact"


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
    outputs = []
    if probe.video is not None:
        stored, small = _picture(source[str(probe.video)], probe, profile, pipes["frames"])
        grey = grey_and_cuts(small, profile.cut_threshold, pipes["cuts"])
        outputs += [
            stored.output(f"pipe:{pipes['yuv']}", **raw_output("yuv420p")),
            grey.output(f"pipe:{pipes['grey']}", **raw_output("gray")),
        ]
    if probe.audio is not None:
        sound = _sound(source[str(probe.audio)], probe, profile, pipes["sound"])
        outputs.append(sound.output(f"pipe:{pipes[PIPE]}", format="s16le", acodec="pcm_s16le", threads=1))
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
    if probe.stride > 1:
        stream = stream.filter("framestep", probe.stride)
    if probe.crop is not None:
        left, top, right, bottom = probe.crop
        stream = stream.filter("crop", right - left, bottom - top, left, top)
    assumed = {} if probe.matrix is None else {"in_color_matrix": probe.matrix}
    stream = stream.filter(
        "scale",
        probe.width,
        probe.height,
        flags=SCALE_FLAGS,
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


def _sound(stream: Any, probe: Probe, profile: Profile, pipe: int) -> Any:
    gap = _VORBIS_GAP_SECONDS if probe.original.audio_codec == "vorbis" else _GAP_SECONDS
    resampled = stream.filter(
        "aresample",
        profile.audio_rate,
        out_chlayout=_LAYOUTS[profile.audio_channels],
        out_sample_fmt="s16",
        **{"async": 1, "min_hard_comp": gap},
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


class _Decode:
    """A running decode; use it as a context manager."""

    def __init__(
        self, path: str, probe: Probe, profile: Profile, limits: Limits, names: Sequence[str]
    ) -> None:
        self._streams = Streams(
            names,
            lambda pipes: decode_command(path, probe, profile, limits, pipes),
            limits=limits,
            seconds=probe.seconds,
        )
        self._probe, self._profile, self._limits = probe, profile, limits

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self._streams.close()
            raise
        return self

    def _begin(self) -> None:
        """Wait for what has to be known before the first clip."""
        raise NotImplementedError

    def __exit__(self, *error: object) -> None:
        self._streams.close()

    def _first_time(self, pipe: str) -> tuple[str, int | None]:
        """The first report of a pipe, and the time in it: microseconds of picture, samples of sound."""
        line = self._streams.take_line(pipe) or ""
        found = _FRAME_LINE.search(line)
        return line, None if found is None else int(found[2])


class PictureDecode(_Decode):
    """The decode of a source with a picture: move the window with `reach`, take clips from it, then `finish`.

    Raises:
        MediaRefused: from any method; the process stalls, or the source is longer than the limit, whatever its header said.
    """

    def __init__(self, path: str, probe: Probe, profile: Profile, limits: Limits = DEFAULT_LIMITS) -> None:
        names = ("yuv", "grey", "frames", "cuts") + (() if probe.audio is None else (PIPE, "sound"))
        super().__init__(path, probe, profile, limits, names)
        self._start = 0
        self._yuv, self._grey = self._planes("yuv", 0), self._planes("grey", 0)
        self._cuts: list[int] = []

    def _begin(self) -> None:
        self._first_line, origin = self._first_time("frames")
        self._sound = self._soundtrack(origin)

    def reach(self, start: int, stop: int) -> int:
        """Forget what lies before `start` and decode up to `stop`; where it ends: `stop`, or before it the source's end."""
        while self._end < start and self._pass_by(min(_SKIPPED_FRAMES, start - self._end)):
            pass
        self._forget(min(max(0, start - self._start), len(self._yuv)))
        missing = stop - self._end
        if missing > 0:
            self._yuv = np.concatenate([self._yuv, self._planes("yuv", missing)])
            self._grey = np.concatenate([self._grey, self._planes("grey", missing)])
        self._limits.check("seconds", float(start / self._probe.sample_rate))
        return min(stop, self._end)

    def cuts(self, start: int, stop: int) -> list[int]:
        """Ascending frames in (start, stop) at which a scene begins; all of them have been reached."""
        self._cuts += read_cuts(self._streams.take_lines("cuts"))
        return [cut for cut in self._cuts if start < cut < stop]

    def clip(self, piece: Piece) -> RawClip:
        """A part of what `reach` has brought into the window."""
        window = slice(piece.start - self._start, piece.stop - self._start)
        sound = None
        if self._sound is not None:
            sound = self._sound.span(self._sample(piece.start), self._sample(piece.start, piece.frames))
        return RawClip(piece.start, self._yuv[window], self._grey[window], sound)

    def finish(self) -> NDArray[np.float64]:
        """Decode the rest for its errors; times in seconds of all decoded source frames.

        Raises:
            MediaRefused: the decode met an error, or the picture changed its form on the way.
        """
        while self._pass_by(_SKIPPED_FRAMES):
            pass
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
        return self._counted(times) if self._probe.counted else times

    @property
    def _end(self) -> int:
        return self._start + len(self._yuv)

    def _pass_by(self, frames: int) -> bool:
        """Decode `frames` and forget what came before them; False at the source's end."""
        self._forget(len(self._yuv))
        self._yuv, self._grey = self._planes("yuv", frames), self._planes("grey", frames)
        if self._sound is not None:
            end = self._sample(self._end)
            self._sound.reach(end - 1, end)
        return len(self._yuv) > 0

    def _forget(self, frames: int) -> None:
        self._yuv, self._grey = self._yuv[frames:], self._grey[frames:]
        self._start += frames

    def _counted(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Times by count, once it is sure that no frame is missing among them."""
        period = float(1 / (self._probe.frame_rate * self._probe.step))
        if len(times) and abs(times[-1] - times[0] - (len(times) - 1) * period) > _MOST_DRIFT * period:
            raise MediaRefused(
                "frames-missing", f"{len(times)} frames in {times[-1] - times[0] + period:.2f} s"
            )
        return times[:1] + np.arange(len(times)) * period

    def _planes(self, pipe: str, count: int) -> NDArray[np.uint8]:
        divisor = 1 if pipe == "yuv" else GREY_DIVISOR
        height, width = self._probe.height // divisor, self._probe.width // divisor
        height = height * 3 // 2 if pipe == "yuv" else height
        data = self._streams.take(pipe, count * height * width)
        whole = len(data) - len(data) % (height * width)
        return np.frombuffer(data, np.uint8, whole).reshape(-1, height, width)

    def _soundtrack(self, origin: int | None) -> Soundtrack | None:
        _, first = self._first_time("sound") if self._probe.audio is not None else ("", None)
        if origin is None or first is None:
            return None
        offset = first - Fraction(origin * self._profile.audio_rate, _MICROSECONDS)
        return Soundtrack(self._streams, round(offset), self._profile.audio_channels)

    def _sample(self, start: int, frames: int = 0) -> int:
        """The sample at frame `start`, or behind the sound of `frames` from there on."""
        rate, audio_rate = self._probe.sample_rate, self._profile.audio_rate
        return frame_to_audio(start, audio_rate, rate) + frame_to_audio(frames, audio_rate, rate)


class SoundDecode(_Decode):
    """The decode of the sound alone, cut like a picture of `STEP_RATE` frames a second that begins with the sound.

    Raises:
        MediaRefused: from any method, as `PictureDecode`.
    """

    def __init__(self, path: str, probe: Probe, profile: Profile, limits: Limits = DEFAULT_LIMITS) -> None:
        super().__init__(path, probe, profile, limits, (PIPE, "sound"))
        self._sound = Soundtrack(self._streams, 0, profile.audio_channels)
        self._step = profile.audio_rate // STEP_RATE
        self.origin = 0.0
        """Time of sample 0 on the source's own clock, in seconds."""

    def _begin(self) -> None:
        _, first = self._first_time("sound")
        self.origin = (first or 0) / self._profile.audio_rate

    def reach(self, start: int, stop: int) -> int:
        """Forget what lies before step `start` and decode up to `stop`; the end: `stop`, or before it the source's end."""
        self._limits.check("seconds", start / STEP_RATE)
        return -(-self._sound.reach(start * self._step, stop * self._step) // self._step)

    def cuts(self, start: int, stop: int) -> Sequence[int]:
        """A sound has no scenes."""
        return ()

    def clip(self, piece: Piece) -> NDArray[np.int16]:
        """i16 `[N, C]`: a part of what `reach` has brought into the window; the source may end inside its last step."""
        start, stop = piece.start * self._step, piece.stop * self._step
        return self._sound.span(start, self._sound.reach(start, stop))

    def finish(self) -> None:
        """Decode the rest for its errors. Raises MediaRefused when the decode met one."""
        self._sound.pass_by()
        self._streams.finish()
