"""The one decode, against flash-and-beep clips: sound and picture stay together, frames stay on their places."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from unreel.shards.border.probe import probe
from unreel.shards.errors import MediaRefused
from unreel.shards.intake.sources import list_sources
from unreel.shards.making.cutting import cut, wanted_pieces
from unreel.shards.making.profiles import PROFILES
from unreel.shards.making.transcode import PictureDecode, RawClip
from unreel.shards.sample import audio_length

RATE = 48_000
# Short clips, so that the sound is cut several times.
PROFILE = msgspec.structs.replace(PROFILES["clips-128"], clip_seconds=2.0)
SECONDS = 6
BEEP = 2400
FFmpeg = Callable[..., None]


@dataclass(frozen=True)
class FlashAndBeep:
    """A dark picture with a short flash and a burst of noise that begins with it, five times."""

    rate: Fraction

    @property
    def flashes(self) -> list[int]:
        # Even frames: at a divided rate they are stored.
        return [2 * round(self.rate * second / 2) for second in (0.52, 1.4, 2.44, 3.32, 4.6)]

    @property
    def beep(self) -> NDArray[np.int16]:
        return np.where(np.random.default_rng(0).random(BEEP) < 0.5, -12_000, 12_000).astype(np.int16)

    def write(self, folder: Path) -> list[object]:
        """Write raw picture and sound; ffmpeg's arguments to read them."""
        luma = np.random.default_rng(1).integers(20, 40, (int(self.rate * SECONDS), 96, 128), np.uint8)
        luma[self.flashes] = 235
        chroma = np.full((len(luma), 96 * 128 // 2), 128, np.uint8)
        np.concatenate([luma.reshape(len(luma), -1), chroma], 1).tofile(folder / "raw.yuv")
        sound = np.zeros(SECONDS * RATE, np.int16)
        for flash in self.flashes:
            start = round(flash * RATE / self.rate)
            sound[start : start + BEEP] = self.beep
        sound.tofile(folder / "raw.pcm")
        picture = ["-f", "rawvideo", "-s", "128x96", "-r", self.rate, "-i", folder / "raw.yuv"]
        return [*picture, "-f", "s16le", "-ar", RATE, "-ac", 1, "-i", folder / "raw.pcm"]


def decode(path: Path) -> tuple[list[RawClip], NDArray[np.float64], int]:
    source = list_sources([path])[0]
    found, dropped = probe(source, PROFILE), Counter[str]()
    shortest, longest = PROFILE.min_frames(found.frame_rate), PROFILE.clip_frames(found.frame_rate)
    with PictureDecode(source.path, found, PROFILE) as running:
        pieces = cut(
            running,
            wanted_pieces((), found.frame_rate),
            shortest=shortest,
            longest=longest,
            scenes=False,
            dropped=dropped,
        )
        clips = [running.clip(piece) for piece in pieces]
        return clips, running.finish(), dropped["short-rest"]


def lateness(clip: RawClip, rate: Fraction, beep: NDArray[np.int16]) -> list[int]:
    """Samples by which each beep is late against the flash that is seen with it."""
    assert clip.sound is not None
    late = []
    for flash in np.flatnonzero(clip.grey.mean(axis=(1, 2)) > 128).tolist():
        due = round(flash * RATE / rate)
        first = max(0, due - 3000)
        heard = clip.sound[first : due + BEEP + 3000, 0].astype(np.float64)
        if len(heard) > BEEP + 3000:
            match = np.correlate(heard, beep.astype(np.float64), "valid")
            late.append(int(match.argmax()) + first - due)
    return late


NTSC, NTSC60 = Fraction(30000, 1001), Fraction(60000, 1001)
CONTAINERS = {
    "mp4": ("plain.mp4", Fraction(25), "-c:v libx264 -bf 0 -c:a aac", 1),
    "mp4 with B-frames": ("b.mp4", Fraction(25), "-c:v libx264 -bf 3 -c:a aac", 1),
    "mp4 that starts at 5 s": (
        "late.mp4",
        Fraction(25),
        "-c:v libx264 -bf 3 -c:a aac -output_ts_offset 5",
        31,
    ),
    "mp4 at 29.97": ("ntsc.mp4", NTSC, "-c:v libx264 -c:a aac", 1),
    "mp4 at 59.94": ("ntsc60.mp4", NTSC60, "-c:v libx264 -c:a aac", 1),
    "mov": ("pcm.mov", Fraction(50), "-c:v libx264 -c:a pcm_s16le", 1),
    "ts": ("a.ts", Fraction(25), "-c:v libx264 -c:a aac", 1),
    "mpeg-ps": ("a.mpg", Fraction(25), "-c:v mpeg2video -c:a mp2", 1),
    # Times are whole milliseconds there.
    "matroska": ("a.mkv", Fraction(25), "-c:v libx264 -c:a aac", 48),
    "webm": ("a.webm", Fraction(30), "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libvorbis", 48),
    "flv": ("a.flv", Fraction(25), "-c:v libx264 -c:a aac", 48),
    # MP3 in AVI stores neither its priming nor the muxer's shift: a frame late by the container's own account.
    "avi": ("a.avi", Fraction(25), "-c:v mpeg4 -c:a mp3", 1152),
}


@pytest.mark.parametrize("case", CONTAINERS)
def test_sound_stays_with_the_picture(case: str, tmp_path: Path, ffmpeg: FFmpeg) -> None:
    name, rate, codecs, tolerance = CONTAINERS[case]
    scene = FlashAndBeep(rate)
    ffmpeg(*scene.write(tmp_path), *codecs.split(), tmp_path / name)
    clips, _, _ = decode(tmp_path / name)
    stored = rate if rate <= 30 else rate / 2
    late = [value for clip in clips for value in lateness(clip, stored, scene.beep)]
    assert len(late) >= 4
    assert max(map(abs, late)) <= tolerance
    for clip in clips:
        assert clip.sound is not None
        assert len(clip.sound) == audio_length(len(clip.yuv), RATE, stored)


@pytest.mark.parametrize(
    ("name", "rate"), [("a.mp4", Fraction(25)), ("a.mpg", Fraction(25)), ("fast.mp4", Fraction(60))]
)
def test_each_frame_is_on_its_place(name: str, rate: Fraction, tmp_path: Path, ffmpeg: FFmpeg) -> None:
    scene = FlashAndBeep(rate)
    codec = ["-c:v", "mpeg2video" if name.endswith("mpg") else "libx264"]
    ffmpeg(*scene.write(tmp_path), *codec, tmp_path / name)
    clips, times, dropped = decode(tmp_path / name)
    step = 2 if rate > 30 else 1
    grey = np.concatenate([clip.grey for clip in clips])
    assert np.flatnonzero(grey.mean(axis=(1, 2)) > 128).tolist() == [flash // step for flash in scene.flashes]
    assert (len(times), len(grey) * step, dropped) == (rate * SECONDS, rate * SECONDS, 0)
    lengths = [len(clip.yuv) for clip in clips]
    assert [clip.start for clip in clips] == [sum(lengths[:number]) for number in range(len(clips))]


def test_sound_that_ends_early_is_silent_to_the_end(clip: Path, tmp_path: Path, ffmpeg: FFmpeg) -> None:
    short = tmp_path / "short.mp4"
    ffmpeg("-i", clip, "-af", "atrim=end=0.5", "-c:v", "copy", "-c:a", "aac", short)
    (only,), _, _ = decode(short)
    assert only.sound is not None
    assert len(only.sound) == 2 * RATE
    assert np.abs(only.sound[: RATE // 4]).max() > 1000
    assert not only.sound[RATE:].any()


def test_rest_too_short_for_a_clip_is_dropped_and_counted(tmp_path: Path, ffmpeg: FFmpeg) -> None:
    path = tmp_path / "clip.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=4.4", "-c:v", "libx264", path)
    clips, _, dropped = decode(path)
    assert ([len(clip.yuv) for clip in clips], dropped) == ([50, 50], 10)


def test_cut_is_found_where_the_scene_changes(tmp_path: Path, ffmpeg: FFmpeg) -> None:
    path = tmp_path / "cut.mp4"
    scenes = "testsrc2=s=160x120:r=25:d=1[a];mandelbrot=s=160x120:r=25,trim=end=0.8[b];[a][b]concat"
    ffmpeg("-filter_complex", scenes, "-c:v", "libx264", path)
    source = list_sources([path])[0]
    with PictureDecode(source.path, probe(source, PROFILE), PROFILE) as running:
        assert running.reach(0, 26) == 26
        # Known at once, before the rest is decoded.
        assert running.cuts(0, 26) == [25]
        running.finish()
        assert running.cuts(0, 45) == [25]


def test_picture_is_turned_as_the_container_asks(tmp_path: Path, ffmpeg: FFmpeg) -> None:
    upright, turned = tmp_path / "upright.mp4", tmp_path / "turned.mp4"
    bright_left = "color=black:s=160x120:r=25:d=1,drawbox=0:0:80:ih:white:fill"
    ffmpeg("-f", "lavfi", "-i", bright_left, "-c:v", "libx264", upright)
    ffmpeg("-display_rotation", -90, "-i", upright, "-c", "copy", turned)
    (only,), _, _ = decode(turned)
    height, width = only.grey.shape[1:]
    assert (width * 4, height * 4) == (128, 176)
    # A quarter clockwise, left becomes top.
    assert only.grey[0, : height // 2 - 2].min() > 200
    assert only.grey[0, height // 2 + 2 :].max() < 50


def test_damage_in_the_middle_refuses_the_whole_source(clip: Path, tmp_path: Path) -> None:
    data = bytearray(clip.read_bytes())
    middle = data.index(b"mdat") + 20_000
    data[middle : middle + 400] = np.random.default_rng(0).bytes(400)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(data)
    with pytest.raises(MediaRefused, match="damaged"):
        decode(damaged)
