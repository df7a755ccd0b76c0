"""`unreel offset`: one line a recording, from shards or from a file; runs of other tasks are refused."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from unreel.models.training import RunFolder
from unreel.shards.catalogue import Catalogue
from unreel.tools.offset import offset
from unreel.tools.offsets import measure_offsets
from unreel.tools.recipe import read_recipe
from unreel.tools.train import run_training

SMALL = [
    "task.frames=3",
    "task.max_offset=4",
    "task.windows=2",
    "task.stride=3",
    "task.window=96",
    "task.crop=80",
    "task.size=32",
    "data.holdout=0.4",
    "loader.backend=packets",
    "train.steps=2",
    "train.batch_size=8",
    "train.eval_batches=1",
    "train.device=cpu",
]


@pytest.fixture(scope="module")
def run(tiny_catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    overrides = [f"data.shards={tiny_catalogue.folder}", *SMALL]
    run_training(read_recipe("sync_offset_tiny", overrides=overrides), RunFolder(folder))
    return folder


def test_every_recording_is_judged_once(run: Path, tiny_catalogue: Catalogue) -> None:
    found = measure_offsets(run, Path(tiny_catalogue.folder), passes=2)
    names = [each.name for each in found.recordings]
    assert names == sorted(set(names)) and len(names) > 5
    assert all(
        -4 <= each.offset <= 4 and each.confidence >= 0 and 0 <= each.distance <= 2
        for each in found.recordings
    )
    assert found == measure_offsets(run, Path(tiny_catalogue.folder), passes=2)


def test_the_command_prints_and_writes_what_was_found(
    run: Path, tiny_catalogue: Catalogue, tmp_path: Path
) -> None:
    app, out = typer.Typer(), tmp_path / "offsets.json"
    app.command()(offset)
    arguments = [str(run), str(tiny_catalogue.folder), "--passes", "1", "--json", str(out)]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    written = json.loads(out.read_text())
    assert written["step_seconds"] == 0.04 and written["max_offset"] == 4
    for each in written["recordings"]:
        assert each["name"] in result.output


def test_what_cannot_be_measured_is_said(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing\.mp4: no such file or folder"):
        measure_offsets(run, tmp_path / "nothing.mp4", passes=1)
