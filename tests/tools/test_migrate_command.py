"""`unreel migrate` as a user meets it."""

import json
import shutil
from pathlib import Path

import typer
from typer.testing import CliRunner

from unreel.tools.migrate import migrate

GOLDEN = Path(__file__).parents[1] / "golden" / "shards" / "1.0"
APP = typer.Typer()
APP.command()(migrate)


def test_it_says_what_it_found_and_did(tmp_path: Path) -> None:
    folder = shutil.copytree(GOLDEN, tmp_path / "old")
    dry = CliRunner().invoke(APP, [str(folder), "--dry-run", "--json", "-"])
    assert dry.exit_code == 0 and "would write 2 shards anew" in dry.stderr
    assert json.loads(dry.stdout)["outdated"] == {"1.0": 4}
    done = CliRunner().invoke(APP, [str(folder), "--json", "-"])
    assert (
        "4 samples in 2 shards; older than 1.1: 4 of 1.0" in done.stderr
        and "wrote 2 shards anew" in done.stderr
    )
    assert json.loads(done.stdout) == {
        "to": "1.1",
        "shards": 2,
        "samples": 4,
        "outdated": {"1.0": 4},
        "rewritten": 2,
        "indexed": [],
        "done": True,
    }
    assert "older than 1.1: none" in CliRunner().invoke(APP, [str(folder)]).stderr
