"""`unreel index` as a user meets it."""

import io
import json
import tarfile
from pathlib import Path

import typer
from typer.testing import CliRunner

from tests.conftest import tiny_sample
from unreel.shards.catalogue import Catalogue
from unreel.tools.index import index

APP = typer.Typer()
APP.command()(index)


def test_the_summary_counts_and_the_exit_code_tells_refusals(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        for name, payload in (
            ("a.mp4", tiny_sample(0)[1]["mp4"]),
            ("b.mp4", b"x"),
            ("c.pyd", b"y"),
            ("d.obj", b""),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(payload)
            tar.addfile(info, io.BytesIO(payload))
    arguments = [str(tmp_path), "--workers", "1", "--json", str(tmp_path / "found.json")]
    done = CliRunner().invoke(APP, arguments)
    assert done.exit_code == 3, done.output
    for words in ("1  members refused: code", "1  samples refused: not-media", "1  members ignored: obj"):
        assert words in done.stderr
    assert "1 tars: 1 indexed, 0 kept, 0 refused; 1 samples" in done.stderr
    assert json.loads((tmp_path / "found.json").read_text())["reports"][0]["refusals"][0]["name"] == "b"
    assert len(Catalogue.open(tmp_path)) == 1
    assert CliRunner().invoke(APP, [*arguments, "--ceiling", "1"]).exit_code == 0


def test_a_folder_without_a_sample_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "t.tar").write_bytes(b"\x1f\x8b")
    done = CliRunner().invoke(APP, [str(tmp_path), "--workers", "1"])
    assert done.exit_code == 1 and "compressed with gzip" in done.stderr
