"""`unreel bench profiles` on one small video."""

import json
import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest
from typer.testing import CliRunner

from unreel.tools.bench.command import bench


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "a.mp4"
    source = ["-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=2", "-f", "lavfi", "-i", "sine=d=2"]
    subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source, "-c:v", "libx264", str(path)], check=True
    )
    return path


def test_costs_are_measured_beside_the_default_profile(video: Path, tmp_path: Path) -> None:
    names = ["--name", "clips-128", "--name", "clips-128-mjpeg", "--name", "frames"]
    out = tmp_path / "costs.json"
    options = ["--clips", "4", "--repeats", "2", "--json", str(out)]
    done = CliRunner().invoke(bench, ["profiles", str(video), *names, *options], catch_exceptions=False)
    assert done.exit_code == 0
    costs = json.loads(out.read_text())
    assert costs["clips-128"]["decode"] == 1
    assert costs["clips-128-mjpeg"]["decode"] > 0
    assert costs["clips-128-mjpeg"]["picture_bytes_per_hour"] > costs["clips-128"]["picture_bytes_per_hour"]
    assert costs["clips-128-mjpeg"]["sound_bytes_per_hour"] == costs["clips-128"]["sound_bytes_per_hour"] > 0
    assert costs["frames"]["samples"] == 2
    assert costs["frames"].get("decode") is None
    assert all(cost["build_cpu"] > 0 for cost in costs.values())


def test_profile_that_takes_nothing_is_named(video: Path) -> None:
    with pytest.raises(ValueError, match="profile images: takes nothing"):
        CliRunner().invoke(bench, ["profiles", str(video), "--name", "images"], catch_exceptions=False)
