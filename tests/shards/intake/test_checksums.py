"""Checksums of sources: what differs is refused, what is not listed too, and nothing is asked where there is no list."""

import hashlib
from pathlib import Path

import pytest

from unreel.shards.build import build
from unreel.shards.intake.checksums import with_checksums
from unreel.shards.intake.sources import list_sources

RIGHT, WRONG = "a" * 64, "b" * 64


def outcome(folder: Path, clip: Path, tmp_path: Path, line: str) -> str:
    listed = folder / "SHA256SUMS"
    listed.write_text(line)
    report = build([clip], tmp_path / "out", checksums=listed).reports[0]
    return f"{report.status} {report.reason}: {report.detail}"


def test_source_is_held_against_the_list(clip: Path, tmp_path: Path) -> None:
    folder, right = clip.parent, hashlib.sha256(clip.read_bytes()).hexdigest()
    assert outcome(folder, clip, tmp_path / "a", f"{right} *{clip.name}\n").startswith("done")
    assert outcome(folder, clip, tmp_path / "b", f"{WRONG}  ./{clip.name}\n") == (
        f"refused checksum: expected sha256 {WRONG}, found {right}"
    )
    assert "has no line for it" in outcome(folder, clip, tmp_path / "c", f"{right}  other.mp4\n")


def test_paths_are_relative_to_the_list(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a b.mp4").write_bytes(b"x")
    (tmp_path / "sums").write_text(f"{RIGHT.upper()}  in/a b.mp4\n\n")
    assert [file.sha256 for file in with_checksums(list_sources([tmp_path / "in"]), tmp_path / "sums")] == [
        RIGHT
    ]


@pytest.mark.parametrize("line", ["abc  clip.mp4", RIGHT, f"{RIGHT}\tclip.mp4"])
def test_wrong_list_is_told(tmp_path: Path, line: str) -> None:
    (tmp_path / "sums").write_text(f"{RIGHT}  other.mp4\n{line}\n")
    with pytest.raises(ValueError, match=r"sums, line 2: expected 64 hex digits"):
        with_checksums([], tmp_path / "sums")


def test_manifest_may_hold_them(clip: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "labels.csv"
    manifest.write_text(f"path,sha256\n{clip},{WRONG}\n")
    assert build([manifest], tmp_path / "out").reasons == {"refused: checksum": 1}
    manifest.write_text(f"path,sha256\n{clip},12\n")
    with pytest.raises(ValueError, match=r"column sha256: found '?12'?, expected 64 hex digits"):
        list_sources([manifest])
