"""What people have is taken: codecs, depths, odd sizes, interlacing, channels and covers come through the whole build."""

from collections.abc import Callable
from pathlib import Path

import pytest

from unreel.shards.build import build
from unreel.shards.catalogue import Catalogue
from unreel.shards.reader import Reader
from unreel.shards.sample import Sidecar

FFmpeg = Callable[..., None]
PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=2")
SOUND = ("-f", "lavfi", "-i", "sine=f=440:d=2")
H264 = ("-c:v", "libx264", "-preset", "ultrafast")

FORMATS: dict[str, tuple[str, tuple[object, ...]]] = {
    "odd sizes": ("clip.mkv", (*PICTURE, "-vf", "crop=159:119,format=yuv444p", *H264)),
    "10 bits": ("clip.mp4", (*PICTURE, "-pix_fmt", "yuv420p10le", *H264)),
    "VP9 of 10 bits": (
        "clip.webm",
        (*PICTURE, "-pix_fmt", "yuv420p10le", "-c:v", "libvpx-vp9", "-cpu-used", 8),
    ),
    "HEVC": (
        "clip.mp4",
        (*PICTURE, "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"),
    ),
    "AV1": ("clip.mp4", (*PICTURE, "-c:v", "libaom-av1", "-cpu-used", 8, "-usage", "realtime")),
    "MPEG-4": ("clip.avi", (*PICTURE, "-c:v", "mpeg4", "-bf", 2)),
    "interlaced H.264": ("clip.ts", (*PICTURE, "-vf", "interlace", *H264, "-flags", "+ilme+ildct")),
    "interlaced MPEG-2": (
        "clip.mpg",
        (*PICTURE, "-vf", "interlace", "-c:v", "mpeg2video", "-flags", "+ilme+ildct"),
    ),
    "mono": ("clip.mp4", (*PICTURE, *SOUND, *H264, "-ac", 1)),
    "5.1": (
        "clip.mkv",
        (*PICTURE, *SOUND, *H264, "-af", "pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0", "-c:a", "ac3"),
    ),
}
FRAMES = {"interlaced H.264": 25, "interlaced MPEG-2": 25}
"""ffmpeg's `interlace` makes one frame of two; every other source has 50."""


def stored(path: Path, out: Path) -> Sidecar:
    summary = build([path], out)
    assert summary.done == 1, summary.reports
    reader = Reader(Catalogue.open(out))
    return reader.read(0, 0).sidecar


@pytest.mark.parametrize("what", FORMATS)
def test_format_is_built(what: str, tmp_path: Path, ffmpeg: FFmpeg) -> None:
    name, arguments = FORMATS[what]
    ffmpeg(*arguments, tmp_path / name)
    sidecar = stored(tmp_path / name, tmp_path / "out")
    assert sidecar.video is not None
    assert (sidecar.video.frames, sidecar.video.height) == (FRAMES.get(what, 50), 128)
    assert (sidecar.audio is not None) == (what in ("mono", "5.1"))


def test_cover_is_not_the_picture(clip: Path, tmp_path: Path, ffmpeg: FFmpeg) -> None:
    """A cover of 1280x720 beside a clip of 160x120, and before a song."""
    cover, film, song = (tmp_path / name for name in ("cover.png", "film.mp4", "song.mp3"))
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=1280x720", "-frames:v", 1, cover)
    attach = ("-map", 0, "-map", 1, "-c", "copy", "-disposition:v:1", "attached_pic")
    ffmpeg("-i", clip, "-i", cover, *attach, film)
    sidecar = stored(film, tmp_path / "out")
    assert (sidecar.original.width, sidecar.original.height) == (160, 120)
    ffmpeg(*SOUND, "-i", cover, "-map", 0, "-map", 1, "-c:v", "copy", "-disposition:v", "attached_pic", song)
    assert build([song], tmp_path / "none").reasons == {"skipped: sound-only": 1}
