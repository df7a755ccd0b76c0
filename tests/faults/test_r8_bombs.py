"""R8: decode bombs. Small files that ask for much are refused by a limit with a name, before the memory is taken."""

import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.shards.conftest import run_ffmpeg
from unreel.shards.border import sandbox
from unreel.shards.border.limits import DEFAULT_LIMITS, Limits
from unreel.shards.errors import MediaRefused
from unreel.shards.intake.source_file import SourceFile
from unreel.shards.making.profiles import PROFILES

SECONDS, MIB = 2.0, 512
MOVIE = "testsrc2=s=320x240:r=25:d=1"
EDGE = 16_383
MANY = 10_000


def wide(folder: Path) -> Path:
    """VP8 in WebM whose header and whose key frame both say 16383x16383: 400 MB a picture from a few KB."""
    path = folder / "wide.webm"
    run_ffmpeg("-f", "lavfi", "-i", MOVIE, "-c:v", "libvpx", "-g", 25, path)
    data = path.read_bytes()
    for name, side in ((b"\xb0\x82", 320), (b"\xba\x82", 240)):
        data = data.replace(name + struct.pack(">H", side), name + struct.pack(">H", EDGE))
    # The start code of a VP8 key frame, then both sides with 14 bits.
    data = data.replace(
        b"\x9d\x01\x2a" + struct.pack("<HH", 320, 240), b"\x9d\x01\x2a" + struct.pack("<HH", EDGE, EDGE)
    )
    path.write_bytes(data)
    return path


def wide_inside(folder: Path) -> Path:
    """The same, but the container says 320x240 and only the key frame lies."""
    data = wide(folder).read_bytes()
    for name, side in ((b"\xb0\x82", 320), (b"\xba\x82", 240)):
        data = data.replace(name + struct.pack(">H", EDGE), name + struct.pack(">H", side))
    path = folder / "inside.webm"
    path.write_bytes(data)
    return path


def long(folder: Path) -> Path:
    path = folder / "long.mkv"
    late = f"{MOVIE},setpts='if(eq(N,24),86400/TB,PTS)'"
    run_ffmpeg("-f", "lavfi", "-i", late, "-fps_mode", "passthrough", "-c:v", "mpeg4", path)
    return path


def loud(folder: Path) -> Path:
    path = folder / "loud.mkv"
    noise = ["-f", "s16le", "-ar", 8000, "-ac", 192, "-t", 1, "-i", "/dev/zero"]
    run_ffmpeg("-f", "lavfi", "-i", MOVIE, *noise, "-c:v", "mpeg4", "-c:a", "pcm_s16le", path)
    return path


def crowded(folder: Path) -> Path:
    """A million empty tracks of eight bytes."""
    path, tracks = folder / "crowded.mp4", 1_000_000
    head = struct.pack(">I4s4sI4s", 20, b"ftyp", b"isom", 0, b"isom")
    path.write_bytes(
        head + struct.pack(">I4s", 8 + 8 * tracks, b"moov") + struct.pack(">I4s", 8, b"trak") * tracks
    )
    return path


def many(folder: Path) -> Path:
    path = folder / "many.mp4"
    run_ffmpeg(
        "-f", "lavfi", "-i", f"color=s=16x16:r=1000:d={MANY / 1000}", "-c:v", "mpeg4", "-g", 1000, path
    )
    return path


BOMBS = {
    "a picture of 16383x16383": (wide, DEFAULT_LIMITS, "too-large", "pixels"),
    "a picture of 16383x16383 that only the codec tells": (
        wide_inside,
        DEFAULT_LIMITS,
        "too-large",
        "pixels",
    ),
    "24 hours claimed by one second": (long, DEFAULT_LIMITS, "too-long", "seconds"),
    "192 channels": (loud, DEFAULT_LIMITS, "too-many-channels", "channels"),
    "1,000,000 streams": (crowded, DEFAULT_LIMITS, "too-many-streams", "streams"),
    # A film has 200,000 frames: by default 3,000,000 are taken, so this one sets a limit.
    "twice as many frames as a limit takes": (many, Limits(frames=MANY // 2), "too-many-frames", "frames"),
}


@pytest.mark.parametrize("what", BOMBS)
def test_R8_decode_bomb(
    what: str, tmp_path: Path, record: Callable[..., None], peak_mib: Callable[[], int]
) -> None:
    make, limits, reason, option = BOMBS[what]
    path = make(tmp_path)
    nothing = SourceFile(path=str(tmp_path / "nothing"), name="nothing")
    with pytest.raises(MediaRefused, match="missing"):
        sandbox.probe_safely(nothing, PROFILES["clips-128"], limits)
    began = time.monotonic()
    with pytest.raises(MediaRefused) as refused:
        sandbox.probe_safely(SourceFile(path=str(path), name=path.name), PROFILES["clips-128"], limits)
    seconds = time.monotonic() - began
    peak = peak_mib()
    record(
        "R8",
        what,
        bytes=path.stat().st_size,
        reason=refused.value.reason,
        message=refused.value.detail,
        seconds=round(seconds, 2),
        peak_mib=peak,
    )
    assert refused.value.reason == reason
    assert f"--limit {option}=" in refused.value.detail
    assert 0 < peak <= MIB
    assert seconds <= SECONDS
