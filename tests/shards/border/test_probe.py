"""Probing generated files: what they are, how they are turned, cut and scaled, and why others are not taken."""

import os
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from unreel.shards.border.limits import Limits
from unreel.shards.border.probe import SKIPPED, Probe, probe
from unreel.shards.errors import MediaRefused
from unreel.shards.intake.sources import list_sources
from unreel.shards.making.profiles import PROFILES

PROFILE = PROFILES["clips-128"]
FFmpeg = Callable[..., None]


def look_at(path: Path) -> Probe:
    return probe(list_sources([path])[0], PROFILE)


def reason_for(path: Path) -> str:
    with pytest.raises(MediaRefused) as refusal:
        look_at(path)
    return refusal.value.reason


def test_plain_clip(clip: Path) -> None:
    found = look_at(clip)
    assert (found.demuxer, found.width, found.height, found.rate, found.step) == ("mov", 176, 128, (25, 1), 1)
    assert (found.crop, found.audio, found.seconds) == (None, 1, 2.0)
    assert (found.original.video_codec, found.original.audio_codec) == ("h264", "aac")
    assert (found.original.width, found.original.height, found.original.audio_rate) == (160, 120, 44_100)


@pytest.mark.parametrize(
    ("options", "gop", "b_frames"),
    [
        (["-c:v", "libx264", "-g", 10, "-bf", 0, "-sc_threshold", 0], 10, False),
        (["-c:v", "libx264", "-g", 20, "-bf", 2, "-sc_threshold", 0], 20, True),
        (["-c:v", "libx264", "-g", 250, "-bf", 0, "-sc_threshold", 0], 50, False),
        (["-c:v", "mpeg2video", "-g", 1], 1, False),
    ],
)
@pytest.mark.parametrize("container", ["mkv", "mov", "ts"])
def test_how_the_original_was_encoded_is_counted(
    clip: Path,
    tmp_path: Path,
    ffmpeg: FFmpeg,
    options: list[object],
    gop: int,
    b_frames: bool,
    container: str,
) -> None:
    source = tmp_path / f"a.{container}"
    ffmpeg("-i", clip, *options, "-c:a", "aac", "-b:a", "96k", source)
    original = look_at(source).original
    assert (original.gop, original.b_frames) == (gop, b_frames)
    with av.open(source) as container_file:
        size = sum(packet.size for packet in container_file.demux(video=0))
    assert original.video_bit_rate == pytest.approx(size * 8 / 2, rel=0.01)
    assert original.audio_bit_rate == pytest.approx(96_000, rel=0.35)


def test_without_times_of_showing_the_header_says_whether_frames_are_reordered(
    clip: Path, tmp_path: Path, ffmpeg: FFmpeg
) -> None:
    for number, frames in enumerate((0, 2)):
        source = tmp_path / f"{number}.avi"
        ffmpeg("-i", clip, "-an", "-c:v", "mpeg4", "-bf", frames, source)
        assert look_at(source).original.b_frames == bool(frames)


def test_id_is_of_the_content(clip: Path, tmp_path: Path) -> None:
    copy = tmp_path / "renamed.bin"
    copy.write_bytes(clip.read_bytes())
    assert look_at(copy).id == look_at(clip).id
    copy.write_bytes(clip.read_bytes() + b"\0" * 8)
    assert look_at(copy).id != look_at(clip).id


@pytest.mark.parametrize(
    ("turn", "clockwise", "size"), [(90, 270, (128, 176)), (180, 180, (176, 128)), (-90, 90, (128, 176))]
)
def test_rotation_is_applied(
    clip: Path, tmp_path: Path, ffmpeg: FFmpeg, turn: int, clockwise: int, size: tuple[int, int]
) -> None:
    turned = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", turn, "-i", clip, "-c", "copy", turned)
    found = look_at(turned)
    assert (found.width, found.height) == size
    assert found.original.rotation == clockwise


@pytest.mark.parametrize(("turn", "size"), [(0, (336, 128)), (90, (128, 336))])
def test_pixels_become_square(
    clip: Path, tmp_path: Path, ffmpeg: FFmpeg, turn: int, size: tuple[int, int]
) -> None:
    wide, turned = tmp_path / "wide.mp4", tmp_path / "turned.mp4"
    ffmpeg("-i", clip, "-vf", "setsar=2", "-c:v", "libx264", wide)
    ffmpeg("-display_rotation", turn, "-i", wide, "-c", "copy", turned)
    found = look_at(turned)
    assert (found.width, found.height) == size


@pytest.mark.parametrize("turn", [0, 90])
def test_stable_letterbox_is_cut_as_displayed(clip: Path, tmp_path: Path, ffmpeg: FFmpeg, turn: int) -> None:
    barred, turned = tmp_path / "barred.mp4", tmp_path / "turned.mp4"
    ffmpeg("-i", clip, "-vf", "pad=iw:ih+60:0:20", "-c:v", "libx264", barred)
    ffmpeg("-display_rotation", turn, "-i", barred, "-c", "copy", turned)
    found = look_at(turned)
    assert found.crop == ((0, 20, 160, 140) if turn == 0 else (20, 0, 140, 160))
    assert (found.width, found.height) == ((176, 128) if turn == 0 else (128, 176))


def test_letterbox_of_a_part_stays(clip: Path, tmp_path: Path, ffmpeg: FFmpeg) -> None:
    partly = tmp_path / "partly.mp4"
    bars = "drawbox=0:0:iw:20:black:fill:enable='lt(t,1)',drawbox=0:100:iw:20:black:fill:enable='lt(t,1)'"
    ffmpeg("-i", clip, "-vf", bars, "-c:v", "libx264", partly)
    assert look_at(partly).crop is None


def test_faster_source_gives_every_second_frame(tmp_path: Path, ffmpeg: FFmpeg) -> None:
    fast = tmp_path / "fast.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=160x120:r=60000/1001:d=2", "-c:v", "libx264", fast)
    found = look_at(fast)
    assert (found.rate, found.step) == ((30000, 1001), 2)


def test_high_definition_without_a_tag_is_bt709(tmp_path: Path, ffmpeg: FFmpeg) -> None:
    high = tmp_path / "high.mp4"
    untagged = "testsrc2=s=1280x720:r=25:d=1,format=yuv420p,setparams=colorspace=unknown"
    ffmpeg("-f", "lavfi", "-i", untagged, "-c:v", "libx264", "-preset", "ultrafast", high)
    assert look_at(high).matrix == "bt709"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("testsrc2=s=160x120:r=25:d=0.5", "too-short"),
        ("testsrc2=s=160x24:r=25:d=2", "too-small"),
        ("testsrc2=s=320x64:r=25:d=2", "too-wide"),
    ],
)
def test_sound_media_may_not_suit_the_profile(
    tmp_path: Path, ffmpeg: FFmpeg, source: str, reason: str
) -> None:
    path = tmp_path / "clip.mp4"
    ffmpeg("-f", "lavfi", "-i", source, "-c:v", "libx264", path)
    assert reason_for(path) == reason
    assert reason in SKIPPED


def test_sound_without_picture_and_a_lone_picture_are_no_clips(
    clip: Path, tmp_path: Path, ffmpeg: FFmpeg
) -> None:
    sound, lone = tmp_path / "sound.mp4", tmp_path / "lone.mp4"
    ffmpeg("-i", clip, "-vn", "-c", "copy", sound)
    ffmpeg("-i", clip, "-frames:v", "1", "-an", "-c:v", "libx264", lone)
    assert reason_for(sound) == "sound-only"
    assert reason_for(lone) == "too-short"


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_file_cut_short_is_refused(clip: Path, tmp_path: Path, ffmpeg: FFmpeg, suffix: str) -> None:
    whole, short = tmp_path / f"whole.{suffix}", tmp_path / f"short.{suffix}"
    ffmpeg("-stream_loop", 2, "-i", clip, "-c", "copy", "-movflags", "+faststart", whole)
    short.write_bytes(whole.read_bytes()[: whole.stat().st_size // 3])
    assert reason_for(short) == "truncated"


def test_mp4_without_its_header_is_refused(clip: Path, tmp_path: Path) -> None:
    headless = tmp_path / "headless.mp4"
    headless.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    assert reason_for(headless) == "damaged"


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (
            Limits(pixels=100),
            "too-large: 160x120 pixels; the limit is 100, and --limit pixels=NUMBER changes it",
        ),
        (Limits(seconds=1.5), "too-long: 2 seconds; the limit is 1.5, and --limit seconds=NUMBER"),
        (Limits(frames=49), "too-many-frames: 50 frames; the limit is 49, and --limit frames=NUMBER"),
        (Limits(streams=1), "too-many-streams: 2 streams; the limit is 1, and --limit streams=NUMBER"),
        (Limits(bytes=1000), "too-many-bytes: .* bytes; the limit is 1000, and --limit bytes=NUMBER"),
    ],
)
def test_limits_are_held_before_anything_is_decoded(clip: Path, limits: Limits, message: str) -> None:
    with pytest.raises(MediaRefused, match=message):
        probe(list_sources([clip])[0], PROFILE, limits)


def test_channels_are_limited(clip: Path, tmp_path: Path, ffmpeg: FFmpeg) -> None:
    many = tmp_path / "many.mkv"
    ffmpeg("-i", clip, "-af", "pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0", "-c:v", "copy", many)
    assert look_at(many).original.audio_channels == 6
    with pytest.raises(MediaRefused, match="too-many-channels: 6 channels; the limit is 5"):
        probe(list_sources([many])[0], PROFILE, Limits(channels=5))


def test_frames_that_no_header_states_are_counted(clip: Path, tmp_path: Path, ffmpeg: FFmpeg) -> None:
    stream = tmp_path / "clip.ts"
    ffmpeg("-i", clip, "-c", "copy", stream)
    with pytest.raises(MediaRefused, match="too-many-frames: 50 frames"):
        probe(list_sources([stream])[0], PROFILE, Limits(frames=49))


def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert reason_for(tmp_path / "pipe.mp4") == "unreadable"


def test_file_that_a_manifest_names_may_be_missing(tmp_path: Path) -> None:
    manifest = tmp_path / "labels.csv"
    manifest.write_text("path\nnowhere.mp4\n")
    assert reason_for(manifest) == "missing"
