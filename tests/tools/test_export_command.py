"""`unreel export` and `unreel features` on a tiny run: files that give the tower's own embeddings."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

from unreel.models.export import load_tower
from unreel.models.training import RunFolder, load_run
from unreel.pipelines.loader import Loader
from unreel.pipelines.stills import Stills
from unreel.shards.catalogue import Catalogue
from unreel.tools.cli import app
from unreel.tools.recipe import read_recipe
from unreel.tools.train import run_training

OVERRIDES = [
    "data.holdout=0.4",
    "loader.backend=packets",
    "train.steps=2",
    "train.batch_size=16",
    "train.eval_batches=1",
    "train.device=cpu",
    "task.window=96",
    "task.crop=80",
    "task.size=32",
    "task.audio_seconds=0.5",
]


@pytest.fixture(scope="module")
def run(tiny_catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steps of correspondence: a run with two towers."""
    folder = tmp_path_factory.mktemp("run") / "sound"
    shards = f"data.shards={tiny_catalogue.folder}"
    run_training(read_recipe("correspondence_tiny", overrides=[shards, *OVERRIDES]), RunFolder(folder))
    return folder


@pytest.fixture(scope="module")
def exported(run: Path) -> Path:
    out = run.parent / "tower"
    result = CliRunner().invoke(
        app, ["export", str(run), str(out), "--tower", "frame", "--program", "--json", "-"]
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert set(found["differences"]) == {"model.safetensors", "model.pt2"}
    assert max(found["differences"].values()) < 1e-5
    return out


def test_the_folder_is_a_tower_with_a_card(run: Path, exported: Path) -> None:
    ours = load_run(run).towers["frame"]
    tower, config = load_tower(exported)
    x = torch.randn(3, 3, 32, 32)
    assert torch.equal(tower(x), ours(x)) and config.task == "correspondence"
    card = (exported / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: unreel\n") and "Not evaluated" in card and "model.pt2" in card


def test_export_asks_which_tower_and_does_not_overwrite(run: Path, exported: Path) -> None:
    several = CliRunner().invoke(app, ["export", str(run), str(run.parent / "new")])
    assert "several towers; choose one of audio, frame" in str(several.exception)
    again = CliRunner().invoke(app, ["export", str(run), str(exported), "--tower", "frame"])
    assert "holds a tower already" in str(again.exception)


def test_parquet_holds_every_moment_of_every_sample(
    exported: Path, tiny_catalogue: Catalogue, tmp_path: Path
) -> None:
    out = tmp_path / "seen.parquet"
    arguments = ["features", str(exported), str(tiny_catalogue.folder), str(out), "--moments", "3"]
    result = CliRunner().invoke(app, [*arguments, "--backend", "packets", "--device", "cpu", "--json", "-"])
    assert result.exit_code == 0, result.output
    table = pq.read_table(out)
    found = json.loads(result.stdout)
    assert table.num_rows == found["rows"] == 3 * found["samples"]
    rows = table.to_pylist()
    assert {row["moment"] for row in rows} == {0, 1, 2} and len(rows[0]["embedding"]) == 128
    tower, config = load_tower(exported)
    stills = Stills.of(config.sample_look(), moments=3)
    with Loader(tiny_catalogue, stills, batch_size=8, seed=3, backend="packets", prefetch=0) as loader:
        batch = loader.batch(0)
    with torch.no_grad():
        expected = tower(batch.inputs["frame"].flatten(0, 1)).view(8, 3, -1)
    by_place = {(row["key"], row["moment"]): row["embedding"] for row in rows}
    for row, key in enumerate(batch.keys):
        for moment in range(3):
            assert np.allclose(by_place[key, moment], expected[row, moment], atol=1e-5)


def test_sound_and_means_go_to_an_array_with_its_table(
    run: Path, tiny_catalogue: Catalogue, tmp_path: Path
) -> None:
    out = tmp_path / "heard.npy"
    arguments = ["features", str(run), str(tiny_catalogue.folder), str(out), "--tower", "audio", "--mean"]
    result = CliRunner().invoke(app, [*arguments, "--backend", "packets", "--device", "cpu"])
    assert result.exit_code == 0, result.output
    values = np.load(out, allow_pickle=False)
    with (tmp_path / "heard.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(values) == len({row["key"] for row in table}) and values.shape[1] == 128


def test_another_ending_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["features", str(tmp_path), str(tmp_path), str(tmp_path / "x.pt")])
    assert "the name must end in .parquet or .npy" in str(result.exception)
