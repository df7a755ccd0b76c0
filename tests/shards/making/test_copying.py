"""Pictures that are copied: the source's own frames, in samples like any other; what does not conform is encoded."""

import io
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import av
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from unreel.pipelines.decode import make_backend
from unreel.pipelines.plan import Plan, Window
from unreel.shards.border.limits import DEFAULT_LIMITS
from unreel.shards.border.sandbox import ConformRequest, find_safely, probe_safely
from unreel.shards.build import BuildSummary, build
from unreel.shards.care.verify import verify
from unreel.shards.catalogue import Catalogue
from unreel.shards.intake.sources import list_sources
from unreel.shards.making.copying import why_encoded
from unreel.shards.making.cutting import Piece, cut_at_keys
from unreel.shards.making.profiles import DEFAULT_PROFILE, PROFILES, Profile
from unreel.shards.reader import EncodedSample, Reader

FFmpeg = Callable[..., None]
COPY = msgspec.structs.replace(PROFILES[DEFAULT_PROFILE], copy="when-conforming", clip_seconds=2)
HEVC = msgspec.structs.replace(COPY, codec="hevc")
H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-threads", "1", "-crf", "30")
GOPS = ("-bf", "0", "-g", "12", "-sc_threshold", "0", "-flags", "+cgop")
BT709 = ("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv")
PLAIN = (*H264, *GOPS, *BT709)


def source(ffmpeg: FFmpeg, path: Path, *options: str, picture: str = "testsrc2=s=224x128:r=25:d=5") -> Path:
    ffmpeg("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", "sine=d=5", *options, "-c:a", "aac", path)
    return path


def samples(folder: Path) -> list[EncodedSample]:
    catalogue = Catalogue.open(folder)
    return [Reader(catalogue).read(shard, ordinal) for shard, ordinal, _ in catalogue.rows()]


def run(path: Path, out: Path, profile: Profile = COPY, **options: int) -> BuildSummary:
    return build([path], out, profile=profile, **options)


def frames(data: Path | bytes, form: str = "yuv420p") -> list[NDArray[np.uint8]]:
    with av.open(io.BytesIO(data) if isinstance(data, bytes) else data) as container:
        return [frame.to_ndarray(format=form) for frame in container.decode(video=0)]


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_copied_clips_show_the_frames_of_the_source(tmp_path: Path, ffmpeg: FFmpeg, codec: str) -> None:
    x265 = "pools=none:frame-threads=1:log-level=none:open-gop=0:scenecut=0:bframes=0:keyint=12:min-keyint=12"
    options = PLAIN if codec == "h264" else ("-c:v", "libx265", "-x265-params", x265, *BT709)
    path = source(ffmpeg, tmp_path / "a.mp4", *options, "-pix_fmt", "yuv420p")
    summary = run(path, tmp_path / "out", COPY if codec == "h264" else HEVC)
    assert (summary.samples, summary.copied, summary.reports[0].copied) == (3, 3, 3)
    found, expected = samples(tmp_path / "out"), frames(path)
    # Two seconds hold four groups of 12 frames; the last clip has the rest.
    assert [sample.row.frames for sample in found] == [48, 48, 29]
    for sample, start in zip(found, (0, 48, 96), strict=True):
        video, facts = sample.sidecar.video, sample.sidecar.facts
        assert video is not None and video.copied and video.gop <= 16 and not video.b_frames
        assert sample.sidecar.source.start_frame == start
        assert np.array_equal(frames(bytes(sample.members["mp4"])), expected[start : start + video.frames])
        assert len(facts.motion_curve) == len(facts.loudness_curve) == video.frames
        assert sample.sidecar.audio is not None and sample.sidecar.audio.samples == video.frames * 1920
        assert list(video.packets.key_frames) == list(range(0, video.frames, 12))
    assert verify(tmp_path / "out", mode="full").clean


def test_the_backend_packets_takes_copied_clips(tmp_path: Path, ffmpeg: FFmpeg) -> None:
    run(source(ffmpeg, tmp_path / "a.mp4", *PLAIN), tmp_path / "copied")
    found = samples(tmp_path / "copied")
    plan = Plan(frames=np.array([0, 13, 28], np.int32), window=Window(left=0, top=0, width=224, height=128))
    backend = make_backend("packets", threads=1, device="cpu")
    decoded = backend.decode(found, [plan] * 3)
    backend.close()
    assert not decoded.failures and decoded.frames is not None
    expected = frames(tmp_path / "a.mp4", "rgb24")
    for sample, start in enumerate((0, 48, 96)):
        ours = decoded.frames[sample].numpy()
        for place, frame in enumerate((0, 13, 28)):
            assert np.abs(ours[place].astype(int) - expected[start + frame]).mean() < 2


def reason(path: Path) -> str:
    """Why a file is encoded; empty where it is copied."""
    (file,) = list_sources([path])
    probe = probe_safely(file, COPY, DEFAULT_LIMITS)
    request = ConformRequest(path=file.path, probe=probe, profile=COPY, limits=DEFAULT_LIMITS)
    return why_encoded(file, probe, COPY) or find_safely(request).why


OTHERS = {
    "B-frames": ("another order than shown", (*H264, *BT709, "-bf", "2", "-g", "12")),
    "long groups": ("50 frames apart", (*H264, *BT709, "-bf", "0", "-g", "50", "-sc_threshold", "0")),
    "open groups": (
        "another order than shown",
        (*H264, *BT709, "-bf", "0", "-g", "12", "-x264-params", "open-gop=1:bframes=2:b-adapt=0"),
    ),
    "intra refresh": (
        "open groups",
        (*H264, *BT709, "-bf", "0", "-x264-params", "intra-refresh=1:keyint=12"),
    ),
    "another size": ("^size", (*PLAIN, "-vf", "scale=240:136")),
    "full range": (
        "pixel format yuvj420p",
        (*H264, *GOPS, "-colorspace", "bt709", "-color_range", "pc", "-vf", "scale=out_range=full"),
    ),
    "no tags": ("no tag of limited range", (*H264, *GOPS)),
    "another matrix": (
        "not tagged with matrix bt709",
        (*H264, *GOPS, "-colorspace", "smpte170m", "-color_range", "tv"),
    ),
    "10 bit": ("pixel format yuv420p10le", ("-c:v", "libx264", "-pix_fmt", "yuv420p10le", *GOPS, *BT709)),
    "4:4:4": ("pixel format yuv444p", ("-c:v", "libx264", "-pix_fmt", "yuv444p", *GOPS, *BT709)),
    "variable rate": ("frame rate", (*PLAIN, "-vf", "select='lt(n,50)+not(mod(n,3))'", "-fps_mode", "vfr")),
    "fast": ("frame rate", (*PLAIN, "-r", "50")),
    "interlaced": ("interlaced", (*PLAIN, "-x264-params", "interlaced=1")),
    "in-band headers": ("parameter sets", (*PLAIN, "-x264-params", "repeat-headers=1")),
    "wide pixels": ("^size", (*PLAIN, "-vf", "setsar=16/15")),
    "another codec": ("codec mpeg4", ("-c:v", "mpeg4", "-bf", "0", "-g", "12", *BT709)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_does_not_conform_is_encoded(tmp_path: Path, ffmpeg: FFmpeg, name: str) -> None:
    why, options = OTHERS[name]
    path = source(ffmpeg, tmp_path / "a.mp4", *options)
    assert re.search(why, reason(path))
    summary = run(path, tmp_path / "out")
    assert summary.samples and summary.copied == 0
    assert not any(
        sample.sidecar.video.copied for sample in samples(tmp_path / "out") if sample.sidecar.video
    )


def test_turned_cut_and_letterboxed_pictures_are_encoded(tmp_path: Path, ffmpeg: FFmpeg) -> None:
    plain = source(ffmpeg, tmp_path / "a.mp4", *PLAIN)
    ffmpeg("-display_rotation", "180", "-i", plain, "-c", "copy", tmp_path / "turned.mp4")
    ffmpeg("-ss", "0.3", "-i", plain, "-c", "copy", tmp_path / "cut.mp4")
    bars = "testsrc2=s=224x96:r=25:d=5,pad=224:128:0:16"
    source(ffmpeg, tmp_path / "bars.mp4", *PLAIN, picture=bars)
    for name, why in (("turned", "rotation"), ("cut", "edit list"), ("bars", "letterbox")):
        assert why in reason(tmp_path / f"{name}.mp4")
        assert run(tmp_path / f"{name}.mp4", tmp_path / name).copied == 0
    assert reason(plain) == ""
    assert run(plain, tmp_path / "plain", msgspec.structs.replace(COPY, copy="never")).copied == 0


def test_workers_do_not_change_a_byte(tmp_path: Path, ffmpeg: FFmpeg) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    source(ffmpeg, folder / "a.mp4", *PLAIN)
    source(ffmpeg, folder / "b.mp4", *OTHERS["B-frames"][1])
    for workers in (1, 2):
        assert run(folder, tmp_path / f"out{workers}", workers=workers).copied == 3
    one, two = (sorted((tmp_path / f"out{workers}").glob("*.tar")) for workers in (1, 2))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_what_the_profile_cannot_mean_is_refused() -> None:
    for field in ({"codec": "vp9"}, {"scenes": True}, {"videos": "sound"}, {"copy": "always"}):
        with pytest.raises(ValueError, match="copy"):
            msgspec.structs.replace(COPY, **field)


class Endless:
    def reach(self, start: int, stop: int) -> int:
        return stop

    def cuts(self, start: int, stop: int) -> tuple[int, ...]:
        return ()


def test_clips_are_whole_groups_of_pictures() -> None:
    dropped: Counter[str] = Counter()
    found = cut_at_keys(Endless(), [0, 7, 10, 20, 30], 33, shortest=5, longest=10, dropped=dropped)
    assert list(found) == [Piece(0, 10, 0), Piece(10, 20, 0), Piece(20, 30, 0)]
    assert dropped == {"short-rest": 3}
