"""Builds, end to end: every source accounted for, equal bytes whoever builds, nothing half done is ever seen."""

import io
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from unreel.shards.build import BuildSummary, build
from unreel.shards.catalogue import Catalogue
from unreel.shards.errors import CatalogueError, IdentityMismatch
from unreel.shards.making.facts import FACTS
from unreel.shards.reader import Reader
from unreel.shards.sample import audio_length

FFmpeg = Callable[..., None]
# Small enough that a handful of sources makes several shards.
SHARD_BYTES = 100_000


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, ffmpeg: FFmpeg) -> Path:
    """Six videos of different content, every other with sound."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(6):
        picture = f"testsrc2=s=160x120:r=25:d={1.5 + number / 5},hue=h={60 * number}"
        sound = ["-f", "lavfi", "-i", f"sine=f={300 + 100 * number}:d=2", "-shortest"] if number % 2 else []
        ffmpeg(
            "-f",
            "lavfi",
            "-i",
            picture,
            *sound,
            "-c:v",
            "libx264",
            "-c:a",
            "aac",
            folder / f"video {number}.mp4",
        )
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def statuses(summary: BuildSummary) -> dict[str, str]:
    return {
        Path(report.source).name: f"{report.status} {report.reason}".strip() for report in summary.reports
    }


def test_odd_folder_is_accounted_for_and_the_rest_is_built(
    clip: Path, tmp_path: Path, ffmpeg: FFmpeg
) -> None:
    odd = tmp_path / "odd"
    odd.mkdir()
    (odd / "fine.mp4").write_bytes(clip.read_bytes())
    (odd / "again.mp4").write_bytes(clip.read_bytes())
    (odd / "text.mp4").write_text("dear diary")
    (odd / "list.mp4").write_text(f"#EXTM3U\n#EXTINF:2,\n{clip}\n")
    (odd / "empty.mp4").touch()
    (odd / "notes.txt").write_text("dear diary")
    (odd / "truncated.mp4").write_bytes(clip.read_bytes()[:-20_000])
    ffmpeg("-i", clip, "-an", "-c", "copy", odd / "silent.mp4")
    ffmpeg("-i", clip, "-vn", "-c", "copy", odd / "sound.m4a")
    ffmpeg("-i", clip, "-frames:v", 1, odd / "picture.png")
    summary = build([odd], tmp_path / "out")
    assert statuses(summary) == {
        "again.mp4": "done",
        "fine.mp4": "skipped duplicate",
        "silent.mp4": "done",
        "text.mp4": "refused not-media",
        "list.mp4": "refused playlist",
        "empty.mp4": "refused empty",
        "truncated.mp4": "refused damaged",
        "notes.txt": "skipped other",
        "sound.m4a": "skipped sound-only",
        "picture.png": "skipped picture",
    }
    assert (summary.sources, summary.done, summary.skipped, summary.refused, summary.samples) == (
        10,
        2,
        4,
        4,
        2,
    )
    assert all(report.detail for report in summary.reports if report.status != "done")
    rows = {row.key.split("-")[0]: row for _, _, row in Catalogue.open(tmp_path / "out").rows()}
    assert [member.name for member in rows["silent"].members] == ["json", "mp4"]
    assert [member.name for member in rows["again"].members] == ["json", "mp4", "flac"]


def test_sample_is_what_its_sidecar_says(clip: Path, tmp_path: Path) -> None:
    build([clip], tmp_path / "out")
    sample = Reader(Catalogue.open(tmp_path / "out")).read(0, 0)
    sidecar = sample.sidecar
    assert sidecar.video is not None
    assert sidecar.audio is not None
    with av.open(io.BytesIO(sample.members["mp4"]), "r") as container:
        frames = list(container.decode(video=0))
    assert len(frames) == sidecar.video.frames == 50
    assert (frames[0].width, frames[0].height) == (sidecar.video.width, sidecar.video.height) == (176, 128)
    assert sidecar.audio.samples == audio_length(50, 48_000, sidecar.video.frame_rate)
    facts = sidecar.facts
    assert [len(curve) for curve in (facts.motion_curve, facts.luma_curve, facts.loudness_curve)] == [50] * 3
    assert facts.motion_curve[0] == 0 < facts.motion_curve[1:].min()
    # sine is at -21 dBFS RMS, a peak of an eighth.
    assert np.median(facts.loudness_curve) == pytest.approx(-21, abs=1)
    assert (facts.silence, facts.content_box) == ((), None)
    assert facts.measured == FACTS
    assert len(facts.hash_words) == 2
    assert sidecar.source.span_us == (0, 2_000_000)


@pytest.mark.parametrize("container", ["mp4", "ts", "mkv"])
def test_spans_are_on_the_clock_of_the_source(tmp_path: Path, ffmpeg: FFmpeg, container: str) -> None:
    source = tmp_path / f"late.{container}"
    picture = ["-f", "lavfi", "-i", "testsrc2=s=160x120:r=24000/1001:d=3"]
    ffmpeg(*picture, "-c:v", "libx264", "-bf", 0, "-output_ts_offset", 7, "-muxdelay", 0, source)
    with av.open(source) as file:
        first = next(file.decode(video=0))
        origin = round(first.pts * first.time_base * 1_000_000)
    assert origin >= 6_900_000
    build([source], tmp_path / "out", clip_seconds=1.5)
    catalogue = Catalogue.open(tmp_path / "out")
    spans = [Reader(catalogue).read(0, ordinal).sidecar.source.span_us for ordinal in range(2)]
    frame = 1001 / 24000 * 1e6
    assert spans[0] == pytest.approx((origin, origin + 35 * frame), abs=1)
    # The next clip begins where this one ends, to the microsecond.
    assert spans[1] == (spans[0][1], pytest.approx(origin + 70 * frame, abs=1))


def test_manifest_gives_labels_split_and_tracks_cut_with_the_clips(tmp_path: Path, ffmpeg: FFmpeg) -> None:
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=160x120:r=50:d=3", "-c:v", "libx264", tmp_path / "fast.mp4")
    track = " ".join(str(frame / 2) for frame in range(150))
    manifest = tmp_path / "labels.csv"
    manifest.write_text(f"path,split,licence,law,height,x[]\nfast.mp4,val,CC0,fall,3,{track}\n")
    build([manifest], tmp_path / "out", clip_seconds=2)
    catalogue = Catalogue.open(tmp_path / "out")
    sidecars = [Reader(catalogue).read(shard, ordinal).sidecar for shard, ordinal, _ in catalogue.rows()]
    assert [sidecar.source.start_frame for sidecar in sidecars] == [0, 50]
    for sidecar in sidecars:
        assert (sidecar.source.split, sidecar.source.licence, sidecar.source.name) == (
            "val",
            "CC0",
            "fast.mp4",
        )
        assert sidecar.labels == {"law": "fall", "height": 3}
    # Every second frame of the source is stored.
    assert np.concatenate([sidecar.track("x") for sidecar in sidecars]).tolist() == list(range(75))


def test_track_of_another_length_is_refused(clip: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "labels.csv"
    manifest.write_text(f"path,x[]\n{clip},1 2 3\n")
    summary = build([manifest], tmp_path / "out")
    assert statuses(summary) == {"clip.mp4": "refused track-length"}
    assert "3 numbers, the source 50 frames" in summary.reports[0].detail


def test_bytes_do_not_depend_on_workers_nor_on_the_folder(videos: Path, tmp_path: Path) -> None:
    one = build([videos], tmp_path / "one", shard_bytes=SHARD_BYTES)
    two = build([videos], tmp_path / "two", workers=2, shard_bytes=SHARD_BYTES)
    assert one == two
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert len(list((tmp_path / "one").glob("*.tar"))) >= 3


def test_finished_build_is_not_touched_again(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = build([videos], out, shard_bytes=SHARD_BYTES)
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.glob("shard-*")}
    assert build([videos], out, shard_bytes=SHARD_BYTES) == first
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.glob("shard-*")} == before


def test_lost_shard_is_built_again(videos: Path, tmp_path: Path) -> None:
    build([videos], tmp_path / "out", shard_bytes=SHARD_BYTES)
    before = contents(tmp_path / "out")
    (tmp_path / "out" / "shard-000001.index.json").unlink()
    build([videos], tmp_path / "out", shard_bytes=SHARD_BYTES)
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_build_continues_to_the_same_bytes(videos: Path, tmp_path: Path, workers: int) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    build([videos], whole, shard_bytes=SHARD_BYTES)
    code = f"from unreel.shards.build import build; build([{str(videos)!r}], {str(out)!r}, workers={workers}, shard_bytes={SHARD_BYTES})"
    rng, killed = random.Random(workers), 0
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", code])
        deadline = time.monotonic() + 60
        already = len(list(out.glob("*.tar")))
        # Killed at a random moment after the first new shard has begun.
        while process.poll() is None and time.monotonic() < deadline:
            if list(out.glob(".*.partial")) or len(list(out.glob("*.tar"))) > already:
                break
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.25))
        killed += process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        for path in out.glob("shard-*"):
            if path.suffix != ".json" or path.name.endswith("index.json"):
                assert path.read_bytes() == (whole / path.name).read_bytes()
    assert killed
    build([videos], out, shard_bytes=SHARD_BYTES)
    assert contents(out) == contents(whole)


def test_other_profile_is_another_identity(videos: Path, tmp_path: Path) -> None:
    build([videos / "video 0.mp4"], tmp_path / "out")
    with pytest.raises(
        IdentityMismatch, match=r"profile is 'clips-128 .*' there and 'clips-128-mjpeg .*' here"
    ):
        build([videos / "video 0.mp4"], tmp_path / "out", profile="clips-128-mjpeg")


def test_other_sources_do_not_go_into_the_same_folder(videos: Path, tmp_path: Path) -> None:
    build([videos / "video 0.mp4"], tmp_path / "out")
    with pytest.raises(CatalogueError, match="other sources"):
        build([videos], tmp_path / "out")


def test_shards_inside_the_sources_are_no_sources(videos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "media"
    folder.mkdir()
    (folder / "a.mp4").write_bytes((videos / "video 0.mp4").read_bytes())
    first = build([folder], folder / "shards")
    assert build([folder], folder / "shards") == first
    assert first.sources == 1


def test_nothing_to_build_leaves_a_summary_and_no_catalogue(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("dear diary")
    summary = build([tmp_path / "text.mp4"], tmp_path / "out")
    assert (summary.sources, summary.refused, summary.samples) == (1, 1, 0)
    assert (tmp_path / "out" / "build.json").exists()
    with pytest.raises(CatalogueError):
        Catalogue.open(tmp_path / "out")


def test_progress_reaches_its_totals(videos: Path, tmp_path: Path) -> None:
    seen: dict[str, tuple[int, int]] = {}
    build([videos], tmp_path / "out", progress=lambda stage, done, total: seen.update({stage: (done, total)}))
    assert seen == {"probe": (6, 6), "build": (6, 6)}


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_every_mutated_source_is_built_or_refused(
    suffix: str, clip: Path, tmp_path: Path, ffmpeg: FFmpeg
) -> None:
    folder, rng = tmp_path / "mutants", random.Random(0)
    folder.mkdir()
    ffmpeg("-stream_loop", 1, "-i", clip, "-c", "copy", tmp_path / f"whole.{suffix}")
    whole = (tmp_path / f"whole.{suffix}").read_bytes()
    for number in range(8):
        mutant = bytearray(whole[: rng.randrange(len(whole) // 2)] if number % 4 == 0 else whole)
        for _ in range((0, 1, 10, 200)[number % 4]):
            mutant[rng.randrange(len(mutant))] = rng.randrange(256)
        (folder / f"{number}.{suffix}").write_bytes(mutant)
    summary = build([folder], tmp_path / "out")
    assert summary.done + summary.skipped + summary.refused == summary.sources == 8
    # Halves are always found out, and so are two hundred wrong bytes.
    for number in (0, 3, 4, 7):
        if suffix != "ts" or number in (3, 7):
            assert statuses(summary)[f"{number}.{suffix}"].startswith("refused")
