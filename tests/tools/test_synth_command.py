"""`unreel synth` as a user meets it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from unreel.tools.synth import synth

APP = typer.Typer()
APP.command()(synth)
SMALL = ["--clips", "2", "--seconds", "1", "--size", "48x32", "--rate", "10", "--workers", "1"]


def test_writes_a_world_and_says_so(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        APP, [str(tmp_path / "world"), *SMALL, "--json", str(tmp_path / "summary.json")]
    )
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "summary.json").read_text())["new"] == 2
    world = json.loads((tmp_path / "world" / "world.json").read_text())
    assert (world["frames"], world["width"], world["height"], world["objects"]) == (10, 48, 32, True)
    assert not any(world["nuisances"].values())


def test_switches_reach_the_world(tmp_path: Path) -> None:
    switches = [
        "--clips",
        "11",
        "--split",
        "val",
        "--without-objects",
        "--camera",
        "--logo",
        "--audio-offset",
        "-0.2",
    ]
    assert CliRunner().invoke(APP, [str(tmp_path / "world"), *SMALL, *switches]).exit_code == 0
    world = json.loads((tmp_path / "world" / "world.json").read_text())
    assert world["objects"] is False
    videos = sorted(path.name for path in (tmp_path / "world" / "videos").iterdir())
    assert videos == ["clip-00004.mp4", "clip-00009.mp4"]
    assert {name for name, value in world["nuisances"].items() if value} == {"camera", "logo", "audio_offset"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "128"], "WIDTHxHEIGHT"),
        (["--workers", "-1"], "--workers -1"),
        (["--clips", "0"], "clips is 0"),
        (["--split", "test"], "train, val"),
    ],
)
def test_mistakes_are_value_errors(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(APP, [str(tmp_path / "world"), *arguments])
    assert isinstance(done.exception, ValueError) and message in str(done.exception)
    assert not (tmp_path / "world").exists()


def test_help_teaches() -> None:
    assert "unreel synth world" in CliRunner().invoke(APP, ["--help"]).output


@pytest.mark.parametrize(("module", "heavy"), [("synth", "av numpy torch"), ("synth.write", "torch")])
def test_imports_stay_light(module: str, heavy: str) -> None:
    """The program must start at once, and a worker process must not wait for torch."""
    code = f"import sys, unreel.tools.{module}; print(set('{heavy}'.split()) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
