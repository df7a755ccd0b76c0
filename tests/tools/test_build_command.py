"""`unreel build` as a user meets it."""

import json
import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest
import typer
from typer.testing import CliRunner

from unreel.shards.catalogue import Catalogue
from unreel.shards.making.profiles import PROFILES
from unreel.shards.reader import Reader
from unreel.tools.build import build

APP = typer.Typer()
APP.command()(build)


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A folder of one video and one text that pretends to be one."""
    folder = tmp_path / "media"
    folder.mkdir()
    source = ["-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=1.2", "-c:v", "libx264", str(folder / "a.mp4")]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source], check=True)
    (folder / "text.mp4").write_text("dear diary")
    return folder


def test_summary_counts_and_says_why(media: Path, tmp_path: Path) -> None:
    out, summary = tmp_path / "shards", tmp_path / "summary.json"
    done = CliRunner().invoke(
        APP, [str(media), str(out), "--workers", "1", "--ceiling", "0.5", "--json", str(summary)]
    )
    assert done.exit_code == 0, done.output
    written = json.loads(summary.read_text())
    assert {name: written[name] for name in ("sources", "done", "skipped", "refused", "samples")} == {
        "sources": 2,
        "done": 1,
        "skipped": 0,
        "refused": 1,
        "samples": 1,
    }
    assert [(report["status"], report.get("reason", "")) for report in written["reports"]] == [
        ("done", ""),
        ("refused", "not-media"),
    ]
    assert json.loads((out / "build.json").read_text()) == written
    assert (out / "catalogue.json").exists()
    assert "1 done, 0 skipped, 1 refused" in done.stderr


def test_refusals_above_the_ceiling_are_exit_code_3(media: Path, tmp_path: Path) -> None:
    assert CliRunner().invoke(APP, [str(media), str(tmp_path / "shards"), "--workers", "1"]).exit_code == 3


def test_nothing_built_is_a_failure_even_without_refusals(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("dear diary")
    done = CliRunner().invoke(APP, [str(tmp_path / "notes.md"), str(tmp_path / "shards"), "--workers", "1"])
    assert done.exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["only-one"], "at least one source"),
        (["nowhere", "out"], "no such file"),
        ([".", "out", "--profile", "clips-1"], "clips-128"),
        ([".", "out", "--workers", "-1"], "workers -1"),
        ([".", "out", "--shard-bytes", "64 parsec"], "--shard-bytes '64 parsec'"),
        ([], "at least one source"),
    ],
)
def test_wrong_use_says_what_is_needed(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        CliRunner().invoke(APP, arguments, catch_exceptions=False)


def test_profiles_are_listed_with_their_settings() -> None:
    shown = CliRunner().invoke(APP, ["--profile", "list"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert all(f" {name} " in shown.stdout for name in PROFILES)
    records = json.loads(CliRunner().invoke(APP, ["--profile", "list", "--json", "-"]).stdout)
    assert records["clips-256"]["side"] == 256
    assert records.keys() == PROFILES.keys()


def test_own_profile_and_size_of_shards(media: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text("side = 64\ngop = 4\n")
    options = ["--profile", str(mine), "--shard-bytes", "1MiB", "--workers", "1", "--ceiling", "1"]
    CliRunner().invoke(APP, [str(media), str(tmp_path / "shards"), *options], catch_exceptions=False)
    catalogue = Catalogue.open(tmp_path / "shards")
    video = Reader(catalogue).read(0, 0).sidecar.video
    assert video is not None
    assert (video.height, video.gop, video.packets.key_frames[1]) == (64, 4, 4)
    assert catalogue.profile["name"] == "mine"


def test_help_shows_an_example() -> None:
    assert "unreel build videos/" in CliRunner().invoke(APP, ["--help"], terminal_width=200).output


def test_dry_run_says_what_would_be_built_and_builds_nothing(media: Path, tmp_path: Path) -> None:
    out, record = tmp_path / "shards", tmp_path / "estimate.json"
    done = CliRunner().invoke(
        APP, [str(media), str(out), "--dry-run", "--workers", "1", "--json", str(record)]
    )
    assert done.exit_code == 0, done.output
    assert not out.exists()
    found = json.loads(record.read_text())
    assert (found["shards"], found["totals"]["samples"]) == (1, 1)
    assert found["reasons"] == {"refused: not-media": 1}
    assert "nothing was built" in done.stderr
    nothing = CliRunner().invoke(APP, [str(media / "text.mp4"), str(out), "--dry-run", "--workers", "1"])
    assert nothing.exit_code == 1
