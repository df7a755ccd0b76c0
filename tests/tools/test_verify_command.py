"""`unreel verify` as a user meets it."""

import json
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from unreel.shards.catalogue import Catalogue
from unreel.tools.verify import verify

APP = typer.Typer()
APP.command()(verify)


@pytest.fixture
def shards(tiny_catalogue: Catalogue, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_catalogue.folder, tmp_path / "shards"))


def test_a_sound_folder_is_exit_code_0_and_a_damaged_one_1(shards: Path, tmp_path: Path) -> None:
    arguments = [str(shards), "--full", "--sample", "0.2", "--workers", "1"]
    done = CliRunner().invoke(APP, arguments)
    assert done.exit_code == 0 and "36 of 36 samples intact" in done.stderr, done.output
    (shards / "tiny-1.tar").write_bytes(b"")
    done = CliRunner().invoke(APP, [*arguments, "--json", str(tmp_path / "found.json")])
    assert done.exit_code == 1 and "24 of 36 samples intact" in done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["clean"], found["condemned"], found["lost"]) == (False, ["tiny-1"], 12)
    assert found["damage"][0]["check"] == "size" and found["damage"][0]["shard"] == "tiny-1"
