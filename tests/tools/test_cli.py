"""The program: every command is there, helps, and turns errors into one line and an exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from unreel.shards.errors import CatalogueError
from unreel.tools import cli
from unreel.tools.cli import COMMANDS, app
from unreel.tools.console import Exit, write_result


def test_program_lists_every_command() -> None:
    done = CliRunner().invoke(app, ["--help"])
    assert done.exit_code == 0
    assert all(name in done.output for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_command_help_shows_an_example(name: str) -> None:
    done = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert f"unreel {name}" in done.output.split("Usage", 1)[1].split("\n", 1)[1], "no example"


def test_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).output.startswith("unreel 0.")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("threads 0: allowed are 1 and more"), Exit.USAGE),
        (CatalogueError("no index"), Exit.FAILED),
        (FileNotFoundError(2, "No such file", "shards"), Exit.FAILED),
    ],
)
def test_errors_are_one_line_and_a_code(
    error: Exception, code: Exit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == code
    assert "Traceback" not in capsys.readouterr().err


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise AssertionError("ours")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(AssertionError):
        cli.main()


def test_wrong_usage_exits_with_2() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "unreel.tools.cli", "build", "--no-such-option"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == Exit.USAGE


def test_result_goes_to_file_or_standard_output(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    write_result({"done": 3}, str(tmp_path / "result.json"))
    write_result({"done": 3}, "-")
    write_result({"done": 3}, None)
    assert json.loads((tmp_path / "result.json").read_text()) == {"done": 3}
    assert json.loads(capsysbinary.readouterr().out) == {"done": 3}
