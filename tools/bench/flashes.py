"""Flash-and-beep media in every container: what is drawn when is known to the audio sample."""

import functools
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, starmap
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["CASES", "QUICK", "Case", "beep", "flash_frames", "is_flash"]

SECONDS: Final = 6
# Unevenly apart, so that nothing that is late by a period looks right; none near a whole second or two.
_FLASHES: Final = (0.52, 1.4, 2.44, 3.32, 4.6)
_NEW_SCENE: Final = 2.9
_WIDTH, _HEIGHT = 128, 96
# Small enough that a flash is no cut: the scene changes once, at a known frame.
_FLASH: Final = (slice(36, 60), slice(54, 74))
_GROUNDS: Final = ((60, 90), (115, 145))
BEEP_SECONDS: Final = 0.05
_TONES: Final = 240
_LOWEST, _HIGHEST = 300.0, 6000.0
_AMPLITUDE: Final = 0.35

_PAL: Final = Fraction(25)
_NTSC_FILM, _NTSC, _NTSC_60 = Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001)
_ALL_RATES: Final = (_NTSC_FILM, _PAL, _NTSC, Fraction(30), Fraction(50), _NTSC_60, Fraction(60))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One file: a container, codecs, a rate, and what is unusual about its times.

    Attributes:
        container: the format as people call it; rows of the table with one container are neighbours.
        suffix: of the file's name.
        codecs: `picture + sound`, as people call them.
        options: of ffmpeg's output.
        rate: frames a second as drawn; of a variable rate about the mean.
        what: what is unusual, in a few words.
        coarse: the container's time stamps are whole milliseconds.
        guessed: it does not time each frame, and FFmpeg adds whole units of its clock from one stamp to the next.
        lost: audio samples by which the container may be wrong about what was drawn, because it has no place for it.
        picture_at, sound_at: seconds at which each begins.
        sound_seconds: length of the sound; None: as long as the picture.
        audio_rate: samples a second as drawn.
        variable: frames lie unevenly in time.
        cut_at: the file is copied from this second on, packet by packet.
    """

    container: str
    suffix: str
    codecs: str
    options: str
    rate: Fraction = _PAL
    what: str = ""
    coarse: bool = False
    guessed: bool = False
    lost: float = 0.0
    picture_at: float = 0.0
    sound_at: float = 0.0
    sound_seconds: float | None = None
    audio_rate: int = 48_000
    variable: bool = False
    cut_at: float | None = None
    seconds: int = SECONDS

    @property
    def name(self) -> str:
        """Unique among all cases."""
        rate = "variable" if self.variable else f"{float(self.rate):.5g}"
        return " ".join(filter(None, (self.container, self.codecs, rate, self.what)))

    @property
    def times(self) -> list[float]:
        """Seconds at which each flash is shown, counted from the first frame that was drawn."""
        return [self.shown_at(frame) for frame in flash_frames(self)]

    @property
    def beeps(self) -> list[float]:
        """Seconds of the first sample of each beep, on the same clock; a sample lies up to half of one off its flash."""
        starts = (round((time - self._delay) * self.audio_rate) for time in self.times)
        return [start / self.audio_rate + self._delay for start in starts]

    @property
    def _delay(self) -> float:
        """Seconds by which the sound begins after the picture."""
        return self.sound_at - self.picture_at

    def shown_at(self, frame: int) -> float:
        """Seconds from the first frame to this one."""
        uneven = 0.012 * (frame % 3 == 1) + 0.16 * (frame // 40) if self.variable else 0.0
        return float(frame / self.rate) + uneven

    def write(self, folder: Path, ffmpeg: str) -> Path:
        """Make the file with the program `ffmpeg`.

        Raises:
            subprocess.CalledProcessError: it cannot; what it said is in `stderr`.
        """
        path = folder / (re.sub(r"[^A-Za-z0-9.]+", "-", self.name) + self.suffix)
        raw = folder / "raw.yuv", folder / "raw.pcm"
        _pictures(self).tofile(raw[0])
        _sound(self).tofile(raw[1])
        moved = self._moved()
        # MP4 keeps times to the sample; ffmpeg's own shifts of what it encodes do not.
        whole = folder / ("whole.mov" if self.suffix == ".mov" else "whole.mp4") if moved else path
        _run(ffmpeg, [*_inputs(self, *raw), *self._filters(), *self.options.split(), str(whole)])
        if moved:
            twice = [option.replace("WHOLE", str(whole)) for option in moved]
            _run(ffmpeg, [*twice, "-c", "copy", str(path)])
        for scratch in {*raw, whole} - {path}:
            scratch.unlink()
        return path

    def _moved(self) -> list[str]:
        """How the encoded file is read again to be copied into the last one; empty where it is that already."""
        if self.cut_at is not None:
            return ["-ss", str(self.cut_at), "-i", "WHOLE"]
        if self.picture_at == self.sound_at:
            return []
        shifts = (("-itsoffset", str(at), "-i", "WHOLE") for at in (self.picture_at, self.sound_at))
        return [*chain(*shifts), "-map", "0:v", "-map", "1:a"]

    def _filters(self) -> list[str]:
        if not self.variable:
            return []
        times = f"(N/{self.rate}+0.012*eq(mod(N,3),1)+0.16*floor(N/40))/TB"
        return [
            "-vf",
            f"settb=1/90000,setpts='{times}'",
            "-fps_mode",
            "passthrough",
            "-enc_time_base",
            "1/90000",
        ]


def flash_frames(case: Case) -> list[int]:
    """Numbers of the bright frames: every one is kept when a fast source is stored at half its rate."""
    step = 3 if case.variable else 2
    rounds = range(0, case.seconds, SECONDS)
    return [
        step * round(case.rate * Fraction(start + flash) / step) for start in rounds for flash in _FLASHES
    ]


def is_flash(luma: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pictures, uint8 `[T, H, W]` of any size, show the bright field: `[T]`."""
    height, width = luma.shape[1:]
    inner = luma[:, height * 7 // 16 : height * 9 // 16, width * 15 // 32 : width * 17 // 32]
    return inner.mean((1, 2)) > 185


@functools.cache
def beep(rate: int) -> NDArray[np.float64]:
    """The beep at `rate` samples a second, `[N]`: many tones at once from its first sample on, the same at any rate."""
    rng = np.random.default_rng(1)
    tones, phases = rng.uniform(_LOWEST, _HIGHEST, _TONES), rng.uniform(0, 2 * np.pi, _TONES)
    time = np.arange(round(BEEP_SECONDS * rate)) / rate
    return _AMPLITUDE / np.sqrt(_TONES) * np.sin(2 * np.pi * np.outer(time, tones) + phases).sum(1)


def _pictures(case: Case) -> NDArray[np.uint8]:
    """Planar 4:2:0, uint8 `[T, bytes]`: two still grounds one after the other, a bright field at each flash."""
    rng = np.random.default_rng(0)
    grounds = [rng.integers(*levels, (_HEIGHT, _WIDTH), np.uint8) for levels in _GROUNDS]
    frames = int(case.rate * case.seconds)
    luma = np.stack(grounds)[(np.arange(frames) >= float(case.rate) * _NEW_SCENE).astype(int)]
    for frame in flash_frames(case):
        luma[frame][_FLASH] = 235
    chroma = np.full((frames, _WIDTH * _HEIGHT // 2), 128, np.uint8)
    return np.concatenate([luma.reshape(frames, -1), chroma], 1)


def _sound(case: Case) -> NDArray[np.int16]:
    length = case.seconds if case.sound_seconds is None else case.sound_seconds
    sound, burst = np.zeros(round(length * case.audio_rate) + case.audio_rate), beep(case.audio_rate)
    for time in case.beeps:
        start = round((time - case._delay) * case.audio_rate)
        if 0 <= start <= len(sound) - len(burst):
            sound[start : start + len(burst)] = burst
    kept = sound[: round(length * case.audio_rate)]
    return np.round(kept * 32767).clip(-32768, 32767).astype(np.int16)


def _inputs(case: Case, picture: Path, sound: Path) -> list[str]:
    size = f"{_WIDTH}x{_HEIGHT}"
    return [
        *("-f", "rawvideo", "-s", size, "-r", str(case.rate)),
        *("-i", str(picture)),
        *("-f", "s16le", "-ar", str(case.audio_rate), "-ac", "1"),
        *("-i", str(sound), "-map", "0:v", "-map", "1:a"),
    ]


def _run(ffmpeg: str, arguments: Sequence[str]) -> None:
    command = [ffmpeg, "-nostdin", "-v", "error", "-y", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)


_H264: Final = "-c:v libx264 -preset veryfast -pix_fmt yuv420p"
_VP9: Final = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 500k"
_VP8: Final = "-c:v libvpx -deadline realtime -cpu-used 8 -b:v 500k"
_MPEG2: Final = "-c:v mpeg2video -q:v 4"
_MPEG4: Final = "-c:v mpeg4 -q:v 4"

_MP4 = Case(container="MP4", suffix=".mp4", codecs="H.264 + AAC", options=f"{_H264} -c:a aac")
_MOV = Case(container="MOV", suffix=".mov", codecs="H.264 + PCM", options=f"{_H264} -c:a pcm_s16le")
_TS = Case(container="TS", suffix=".ts", codecs="H.264 + AAC", options=f"{_H264} -c:a aac")
_PS = Case(
    container="MPEG-PS",
    suffix=".mpg",
    codecs="MPEG-2 + MP2",
    options=f"{_MPEG2} -c:a mp2",
    guessed=True,
)
_MKV = Case(
    container="Matroska", suffix=".mkv", codecs="H.264 + AAC", options=f"{_H264} -c:a aac", coarse=True
)
_WEBM = Case(
    container="WebM",
    suffix=".webm",
    codecs="VP9 + Opus",
    options=f"{_VP9} -c:a libopus -b:a 128k",
    coarse=True,
)
_AVI = Case(container="AVI", suffix=".avi", codecs="MPEG-4 + PCM", options=f"{_MPEG4} -c:a pcm_s16le")
_FLV = Case(container="FLV", suffix=".flv", codecs="H.264 + AAC", options=f"{_H264} -c:a aac", coarse=True)
# MP3 loses its priming there; two frames of it is the most that a decoder and an encoder hold back.
_AVI_MP3 = replace(_AVI, codecs="MPEG-4 + MP3", options=f"{_MPEG4} -c:a mp3", lost=1152)


def _at_rates(case: Case, rates: Sequence[Fraction]) -> Iterator[Case]:
    return (replace(case, rate=rate) for rate in rates)


def _shifted(case: Case) -> Iterator[Case]:
    """Starts and lengths that differ; every container can say all of it."""
    yield replace(case, what="starts at 5 s", options=f"{case.options} -output_ts_offset 5")
    yield replace(case, what="picture 0.5 s after the sound", picture_at=0.5)
    yield replace(case, what="sound 0.73 s after the picture", sound_at=0.73)
    yield replace(case, what="sound 2 s shorter", sound_seconds=SECONDS - 2)
    yield replace(case, what="sound 2 s longer", sound_seconds=SECONDS + 2)


def _with_codecs(case: Case, *others: tuple[str, str]) -> Iterator[Case]:
    return starmap(lambda codecs, options: replace(case, codecs=codecs, options=options), others)


def _mp4() -> Iterator[Case]:
    yield from _at_rates(_MP4, _ALL_RATES)
    yield from _shifted(_MP4)
    yield replace(_MP4, what="no B-frames", options=f"{_MP4.options} -bf 0")
    yield replace(_MP4, what="cut by an edit list", cut_at=0.88)
    yield replace(
        _MP4,
        what="fragments",
        options=f"{_MP4.options} -movflags +frag_keyframe+empty_moov+default_base_moof",
    )
    yield replace(_MP4, what="44.1 kHz", audio_rate=44_100)
    yield replace(_MP4, variable=True)
    yield replace(_MP4, what="60 s", rate=_NTSC, seconds=60)
    yield from _with_codecs(
        _MP4,
        ("H.264 + MP3", f"{_H264} -c:a mp3"),
        ("H.264 + Opus", f"{_H264} -c:a libopus -b:a 128k"),
        ("MPEG-4 + AC-3", f"{_MPEG4} -c:a ac3"),
    )


def _mov() -> Iterator[Case]:
    yield from _at_rates(_MOV, _ALL_RATES)
    yield from _shifted(_MOV)
    yield replace(_MOV, what="cut by an edit list", cut_at=0.88)
    yield replace(_MOV, variable=True)
    yield from _with_codecs(
        _MOV,
        ("H.264 + AAC", f"{_H264} -c:a aac"),
        ("MJPEG + ALAC", "-c:v mjpeg -pix_fmt yuvj420p -c:a alac"),
    )


def _matroska() -> Iterator[Case]:
    yield from _at_rates(_MKV, _ALL_RATES)
    yield from _shifted(_MKV)
    yield replace(_MKV, variable=True)
    yield replace(_MKV, what="44.1 kHz", audio_rate=44_100)
    yield from _with_codecs(
        _MKV,
        ("H.264 + FLAC", f"{_H264} -c:a flac"),
        ("H.264 + PCM", f"{_H264} -c:a pcm_s16le"),
        ("H.264 + MP3", f"{_H264} -c:a mp3"),
        ("H.264 + Opus", f"{_H264} -c:a libopus -b:a 128k"),
        ("H.264 + Vorbis", f"{_H264} -c:a libvorbis"),
    )


def _webm() -> Iterator[Case]:
    yield from _at_rates(_WEBM, _ALL_RATES)
    yield from _shifted(_WEBM)
    yield replace(_WEBM, variable=True)
    yield from _with_codecs(_WEBM, ("VP8 + Vorbis", f"{_VP8} -c:a libvorbis"))


def _avi() -> Iterator[Case]:
    yield from _at_rates(_AVI, _ALL_RATES)
    yield replace(_AVI, what="sound 2 s shorter", sound_seconds=SECONDS - 2)
    yield replace(_AVI, what="sound 2 s longer", sound_seconds=SECONDS + 2)
    # The encoder's delay is stored nowhere.
    yield replace(_AVI, codecs="MPEG-4 + AC-3", options=f"{_MPEG4} -c:a ac3", lost=256)
    yield from _at_rates(_AVI_MP3, (_NTSC_FILM, _PAL, _NTSC))


def _program_stream() -> Iterator[Case]:
    yield from _at_rates(_PS, _ALL_RATES)
    yield from _shifted(_PS)
    yield from _with_codecs(
        _PS, ("MPEG-2 + AC-3", f"{_MPEG2} -c:a ac3"), ("MPEG-1 + MP2", "-c:v mpeg1video -q:v 4 -c:a mp2")
    )


def _transport_stream() -> Iterator[Case]:
    yield from _at_rates(_TS, _ALL_RATES)
    yield from _shifted(_TS)
    yield replace(_TS, variable=True)
    yield replace(_TS, what="44.1 kHz", audio_rate=44_100)
    yield replace(_TS, what="60 s", rate=_NTSC, seconds=60)
    yield from _with_codecs(
        _TS, ("MPEG-2 + MP2", f"{_MPEG2} -c:a mp2"), ("H.264 + AC-3", f"{_H264} -c:a ac3")
    )


CASES: Final[Sequence[Case]] = (
    *_mp4(),
    *_mov(),
    *_matroska(),
    *_webm(),
    *_avi(),
    *_program_stream(),
    *_transport_stream(),
    *_at_rates(_FLV, (_PAL, _NTSC)),
)
"""All of them, by container."""

QUICK: Final[Sequence[str]] = (
    "MP4 H.264 + AAC 23.976",
    "MP4 H.264 + AAC 25 picture 0.5 s after the sound",
    "MP4 H.264 + AAC 25 cut by an edit list",
    "MP4 H.264 + AAC 25 fragments",
    "MP4 H.264 + AAC variable",
    "Matroska H.264 + AAC 29.97",
    "MOV H.264 + PCM 25 sound 2 s longer",
    "WebM VP9 + Opus 25 sound 0.73 s after the picture",
    "AVI MPEG-4 + PCM 25",
    "AVI MPEG-4 + MP3 25",
    "MPEG-PS MPEG-2 + MP2 59.94",
    "TS H.264 + AAC 29.97",
)
"""Names of those that show the most in the shortest time."""
