"""The page about one run: of a whole one, of a killed one, and of one that goes on."""

import json
import re
from pathlib import Path

import msgspec
import pytest
from PIL import Image
from typer.testing import CliRunner

from unreel.models.training import RunConfig, RunFolder, TrainingResult
from unreel.models.training.config import TrainConfig
from unreel.tools.cli import app
from unreel.tools.exhibits import training_panels
from unreel.tools.run_files import RunFiles
from unreel.tools.run_page import summarise_run, write_run_page


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """What a kill behind step 30 of 100 leaves, with one warning."""
    path = tmp_path / "order"
    config = RunConfig(
        task={"name": "shuffle_and_learn"},
        towers={"frame": {"name": "tiny"}},
        train=TrainConfig(steps=100, batch_size=32),
    )
    RunFolder(path).write_config(config)
    rows = [
        {"step": step, "split": "train", "loss": 0.7 - step / 100, "balanced_accuracy": None if step == 10 else 0.6,
         "clips_per_second": 100.0, "data_wait": 0.1, "seconds": step / 10, "learning_rate": 0.001, "gradient_norm": 1.5}
        for step in (10, 20, 30)
    ]  # fmt: skip
    rows.append({"step": 30, "split": "val", "loss": 0.5, "balanced_accuracy": 0.7, "sources": 60})
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 40, "spl')
    (path / "warnings.jsonl").write_text('{"step": 20, "text": "step 21: the loss is <nan>"}\n')
    return path


def test_a_killed_run_has_its_page_and_curves(run: Path) -> None:
    page = write_run_page(run).read_text()
    assert (
        "not in training: killed, ended by an error, or by other code; the last row is of step 30 of 100"
        in page
    )
    assert page.count('class="chart"') == 6
    assert "after step 20: step 21: the loss is &lt;nan&gt;" in page
    assert "0.700" in page and "batch_size = 32" in page
    loads = [found for found in re.findall(r'(?:src|href)="([^"]*)"', page) if not found.startswith("#")]
    assert all(found.startswith("data:") for found in loads)
    with Image.open(RunFiles(run).curves) as curves:
        assert curves.width > 800


def test_a_run_that_goes_on_says_so(run: Path) -> None:
    with RunFolder(run).lock():
        assert summarise_run(run).state.startswith("in training; the last row is of step 30")
    result = TrainingResult(
        stopped="SIGTERM", step=34, seconds=3.4, clips_per_second=9, data_wait=0.1, skipped=0, validation={}
    )
    RunFiles(run).result.write_bytes(msgspec.json.encode(result))
    assert summarise_run(run).state == "stopped by SIGTERM at step 34 of 100, after 3 s of training"


def test_the_command_takes_a_run(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    assert CliRunner().invoke(app, ["report", str(run), "--out", str(out)]).exit_code == 0
    assert "Shuffle and learn" in out.read_text()
    (run / "metrics.jsonl").unlink()
    assert CliRunner().invoke(app, ["report", str(run)]).exit_code == 0
    assert "No row was logged yet" in RunFiles(run).report.read_text()


def test_each_of_several_tasks_has_its_curves_and_what_it_asks_of_the_trunk(tmp_path: Path) -> None:
    path = tmp_path / "both"
    config = RunConfig(
        tasks={"order": {"name": "shuffle_and_learn"}, "sound": {"name": "correspondence"}},
        towers={"frame": {"name": "tiny"}, "audio": {"name": "tiny"}},
        train=TrainConfig(steps=100, batch_size=32),
    )
    RunFolder(path).write_config(config)
    rows = [
        {"step": 1, "split": "gradients", "task/order/gradient_norm/frame": 0.1, "task/sound/gradient_norm/frame": 0.9,
         "cosine/frame/order/sound": -0.25},
        {"step": 10, "split": "train", "loss": 1.2, "task/order/loss": 0.7, "task/order/balanced_accuracy": 0.61,
         "task/sound/balanced_accuracy": 0.83,
         "seconds": 9.0, "clips_per_second": 30.0, "data_wait": 0.1},
    ]  # fmt: skip
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = summarise_run(path)
    assert [(panel.ylabel, len(panel.curves)) for panel in run.panels] == [
        ("loss", 1),
        ("order: loss", 1),
        ("order: balanced accuracy", 1),
        ("sound: balanced accuracy", 1),
        ("gradient of each task at the frame tower", 2),
        ("cosine between gradients at the frame tower", 1),
        ("clips a second", 1),
        ("getting batches, % of the time", 1),
    ]
    assert "Shuffle and learn and" in write_run_page(path).read_text()


def test_a_long_log_gives_few_points() -> None:
    rows = [{"step": step, "split": "train", "loss": float(step % 2)} for step in range(1, 10_001)]
    (loss, *_) = training_panels(rows)
    assert len(loss.curves[0].steps) <= 400
    assert loss.curves[0].steps[-1] == 10_000
    assert set(loss.curves[0].values) == {0.5} or max(abs(v - 0.5) for v in loss.curves[0].values if v) < 0.1


def test_several_tasks_have_their_own_curves_and_figures(run: Path) -> None:
    numbers = {"task/a/loss": 0.3, "task/a/hit_rate": 0.4, "task/b/loss": 0.2, "task/b/skill": 0.1}
    rows = [
        {"step": 10, "split": split, "loss": 0.5, "learning_rate": 0.1, **numbers}
        for split in ("train", "val")
    ]
    words = [panel.ylabel for panel in training_panels(rows)]
    assert words == [
        "loss", "a: loss", "a: hit rate", "b: loss", "b: skill over the trivial answer", "learning rate"
    ]  # fmt: skip
    assert all(len(panel.curves) == 2 for panel in training_panels(rows))
    pace = {"seconds": 1.0, "clips_per_second": 9.0, "data_wait": 0.1}
    (run / "metrics.jsonl").write_text("".join(json.dumps(row | pace) + "\n" for row in rows))
    figures = {figure.what: figure.trained for figure in summarise_run(run).figures}
    assert figures == {
        "step": "10", "loss": "0.500", "a: loss": "0.300", "a: hit rate": "0.400", "b: loss": "0.200",
        "b: skill over the trivial answer": "0.100",
    }  # fmt: skip
