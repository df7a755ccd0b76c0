"""Sources behind URLs: every way in which a server can fail, and builds that are stopped and go on."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from unreel.shards.border.limits import DEFAULT_LIMITS, Limits
from unreel.shards.build import BuildSummary, build
from unreel.shards.catalogue import Catalogue
from unreel.shards.errors import MediaRefused
from unreel.shards.intake.fetch import fetch
from unreel.shards.reader import Reader
from unreel.shards.remote.web import Patience

FFmpeg = Callable[..., None]
CONTENT = bytes(range(256)) * 512
HASTY = Patience(attempts=3, pause_seconds=0.01, connect_seconds=0.5, stall_seconds=0.3, slowest=1 << 20)


@pytest.fixture
def server(faulty_server: Any) -> Any:
    (faulty_server.folder / "a.mp4").write_bytes(CONTENT)
    return faulty_server


def fetched(url: str, folder: Path, limits: Limits = DEFAULT_LIMITS) -> bytes:
    fetch(url, folder / "bytes", limits=limits, patience=HASTY)
    return (folder / "bytes").read_bytes()


def test_file_comes_whole_and_without_a_trace(server: Any, tmp_path: Path) -> None:
    assert fetched(f"{server.url}/a.mp4", tmp_path / "here") == CONTENT
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["bytes"]


def test_passing_trouble_is_asked_again(server: Any, trouble: Any, tmp_path: Path) -> None:
    for kind, value in (("status", "500"), ("reset", ""), ("short", ""), ("stall", ""), ("drip", "")):
        server.trouble = [trouble(kind, times=2, value=value)]
        assert fetched(f"{server.url}/a.mp4", tmp_path) == CONTENT, kind


@pytest.mark.parametrize(
    ("kind", "value", "words", "asked"),
    [
        ("status", "500", "500", 3),
        ("status", "404", "404", 1),
        ("reset", "", "3 attempts", 3),
        ("short", "", "3 attempts", 3),
        ("stall", "", "3 attempts", 3),
        ("drip", "", "3 attempts", 3),
        ("redirect", "file:///etc/passwd", "not http", 1),
        ("redirect", "http://169.254.169.254/latest/meta-data", "private network", 1),
    ],
)
def test_lasting_trouble_is_unreachable_with_its_reason(
    server: Any, trouble: Any, tmp_path: Path, kind: str, value: str, words: str, asked: int
) -> None:
    server.trouble = [trouble(kind, value=value)]
    begun = time.monotonic()
    with pytest.raises(MediaRefused, match=words) as refusal:
        fetched(f"{server.url}/a.mp4?signature=secret", tmp_path / "here")
    assert refusal.value.reason == "unreachable"
    assert "secret" not in refusal.value.detail
    assert len(server.requests) == asked
    assert list((tmp_path / "here").iterdir()) == []
    # A bound that a hanging read would break many times over, not a measurement.
    assert time.monotonic() - begun < 20


def test_address_of_a_cloud_s_keys_is_not_even_asked(tmp_path: Path) -> None:
    for url in ("http://169.254.169.254/latest", "http://[fe80::1]/a.mp4"):
        with pytest.raises(MediaRefused, match="link-local"):
            fetched(url, tmp_path)


def test_size_is_bounded_before_and_while_it_comes(server: Any, tmp_path: Path) -> None:
    with pytest.raises(MediaRefused, match="too-many-bytes: 131072 bytes; the limit is 1000"):
        fetched(f"{server.url}/a.mp4", tmp_path, Limits(bytes=1000))
    assert list(tmp_path.glob("*bytes*")) == []


def test_objects_come_in_ranges(tmp_path: Path) -> None:
    files = fsspec.filesystem("memory")
    files.pipe("/bucket/a.mp4", CONTENT)
    assert fetched("memory://bucket/a.mp4", tmp_path) == CONTENT
    with pytest.raises(MediaRefused, match="too-many-bytes"):
        fetched("memory://bucket/a.mp4", tmp_path, Limits(bytes=1000))
    with pytest.raises(MediaRefused, match="unreachable"):
        fetched("memory://bucket/b.mp4", tmp_path)


@pytest.fixture
def videos(server: Any, ffmpeg: FFmpeg) -> Any:
    """Three videos behind a server."""
    for number in range(3):
        picture = f"testsrc2=s=160x120:r=25:d=2,hue=h={60 * number}"
        ffmpeg("-f", "lavfi", "-i", picture, "-c:v", "libx264", server.folder / f"video{number}.mp4")
    return server


def urls(server: Any) -> list[str]:
    return [f"{server.url}/video{number}.mp4?signature=secret" for number in range(3)]


def remote_build(server: Any, out: Path, **settings: Any) -> BuildSummary:
    return build(urls(server), out, shard_bytes=30_000, patience=HASTY, **settings)


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name.startswith("shard-")}


def test_urls_become_samples_and_leave_no_bytes_behind(videos: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = remote_build(videos, out, workers=2)
    assert (summary.done, summary.samples) == (3, 3)
    assert [report.source for report in summary.reports] == [url.partition("?")[0] for url in urls(videos)]
    catalogue = Catalogue.open(out)
    sidecars = [Reader(catalogue).read(shard, row).sidecar for shard, row, _ in catalogue.rows()]
    assert {sidecar.source.url for sidecar in sidecars} == {report.source for report in summary.reports}
    assert not (out / ".fetched").exists()
    assert not any(b"secret" in path.read_bytes() for path in out.rglob("*") if path.is_file())


def test_bytes_are_those_of_local_files_of_the_same_name(videos: Any, tmp_path: Path) -> None:
    remote_build(videos, tmp_path / "one")
    remote_build(videos, tmp_path / "two", workers=2, cache=tmp_path / "cache", cache_bytes=0)
    assert shards(tmp_path / "one") == shards(tmp_path / "two")
    assert len(shards(tmp_path / "one")) > 3
    assert list((tmp_path / "cache").iterdir()) == []


def test_finished_build_asks_no_server_again(videos: Any, tmp_path: Path) -> None:
    first = remote_build(videos, tmp_path / "out")
    assert len(videos.requests) == 3
    videos.shutdown()
    assert remote_build(videos, tmp_path / "out") == first
    assert len(videos.requests) == 3


def test_lost_shard_is_fetched_again_and_only_it(videos: Any, tmp_path: Path) -> None:
    remote_build(videos, tmp_path / "out")
    before = shards(tmp_path / "out")
    (tmp_path / "out" / "shard-000001.index.json").unlink()
    videos.requests.clear()
    remote_build(videos, tmp_path / "out")
    assert shards(tmp_path / "out") == before
    assert 1 <= len(videos.requests) < 3


def test_bytes_that_changed_since_are_refused(videos: Any, trouble: Any, tmp_path: Path) -> None:
    videos.trouble = [trouble("wrong", suffix="?", times=0)]
    remote_build(videos, tmp_path / "out")
    for index in (tmp_path / "out").glob("*.index.json"):
        index.unlink()
    videos.trouble = [trouble("wrong", times=1)]
    summary = remote_build(videos, tmp_path / "out")
    assert sorted(report.reason for report in summary.reports) == ["", "", "changed"]


def test_source_that_cannot_be_reached_is_refused_and_the_others_are_built(
    videos: Any, trouble: Any, tmp_path: Path
) -> None:
    (videos.folder / "video1.mp4").unlink()
    summary = remote_build(videos, tmp_path / "out")
    assert [(report.status, report.reason) for report in summary.reports] == [
        ("done", ""),
        ("refused", "unreachable"),
        ("done", ""),
    ]
    # It was settled with the plan: the same command finds the same build.
    videos.requests.clear()
    assert remote_build(videos, tmp_path / "out") == summary
    assert videos.requests == []


def test_shard_waits_for_a_source_that_is_gone_for_a_while(videos: Any, trouble: Any, tmp_path: Path) -> None:
    whole = remote_build(videos, tmp_path / "whole")
    videos.trouble = [trouble("status", value="503", times=0)]
    summary = None

    def fail_later(stage: str, done: int, total: int) -> None:
        if stage == "build":
            videos.trouble = [trouble("status", value="503")]

    summary = remote_build(videos, tmp_path / "out", cache_bytes=0, progress=fail_later)
    assert {report.reason for report in summary.reports} <= {"unreachable", "waiting"}
    assert shards(tmp_path / "out") == {}
    videos.trouble = []
    assert remote_build(videos, tmp_path / "out") == whole
    assert shards(tmp_path / "out") == shards(tmp_path / "whole")


def test_records_hold_no_signature_and_are_json(videos: Any, tmp_path: Path) -> None:
    remote_build(videos, tmp_path / "out")
    records = list((tmp_path / "out" / ".urls").iterdir())
    assert len(records) == 3
    assert all("probe" in json.loads(record.read_bytes()) for record in records)
