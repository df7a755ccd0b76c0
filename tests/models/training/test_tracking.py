"""Trackers: what they are sent, that a resumed run goes on in its place, and what their failures cost."""

import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from unreel.models.training import RunConfig
from unreel.models.training.config import TrainConfig
from unreel.models.training.log import Row
from unreel.models.training.tracking import open_tracker

CONFIG = RunConfig(
    task={"name": "rotation"}, towers={"frame": {"name": "tiny"}}, train=TrainConfig(steps=9, batch_size=4)
)
ROWS = [Row(10, "train", {"loss": 0.5, "seconds": 1.0}), Row(10, "val", {"loss": math.nan})]


def report(name: str, folder: Path) -> None:
    tracker = open_tracker(name, folder, CONFIG)
    for row in ROWS:
        tracker.row(row)
    tracker.warn("step 9: the loss is nan")
    tracker.close()


class StandIn:
    """Instead of W&B's run: keeps what it is sent, or fails."""

    id = "abc"

    def __init__(self, *, broken: bool = False) -> None:
        self.sent: list[dict[str, float]] = []
        self._broken = broken

    def log(self, numbers: dict[str, float]) -> None:
        if self._broken:
            raise ConnectionError("gone")
        self.sent.append(numbers)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A module `wandb` whose `init` keeps its arguments and gives `run`."""
    seen = SimpleNamespace(calls=[], run=StandIn())
    module: Any = ModuleType("wandb")
    module.Settings = lambda **settings: settings
    module.AlertLevel = SimpleNamespace(WARN="WARN")
    module.init = lambda **arguments: (seen.calls.append(arguments), seen.run)[1]
    monkeypatch.setitem(sys.modules, "wandb", module)
    return seen


def test_rows_settings_and_identity_reach_the_tracker(stand_in: SimpleNamespace, tmp_path: Path) -> None:
    report("wandb", tmp_path)
    report("wandb", tmp_path)
    first, second = stand_in.calls
    assert (first["id"], second["id"], second["resume"]) == (None, "abc", "allow")
    assert first["config"]["task.name"] == "rotation" and first["config"]["train.steps"] == 9
    assert stand_in.run.sent[0] == {"step": 10, "train/loss": 0.5, "train/seconds": 1.0}
    assert json.loads((tmp_path / "tracking.json").read_text()) == {"wandb": "abc"}


def test_a_tracker_that_fails_costs_its_rows_and_says_so_once(
    stand_in: SimpleNamespace, tmp_path: Path
) -> None:
    stand_in.run = StandIn(broken=True)
    tracker = open_tracker("wandb", tmp_path, CONFIG)
    with pytest.warns(UserWarning, match=r"wandb: ConnectionError: gone\. It hears no more"):
        tracker.row(ROWS[0])
    # A second warning would be an error here.
    tracker.row(ROWS[1])
    tracker.close()


def test_a_tracker_that_does_not_begin_is_a_mistake_of_the_recipe(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ValueError, match=r"train\.log names 'mlflow'.*pip install mlflow"):
        open_tracker("mlflow", tmp_path, CONFIG)


@pytest.mark.filterwarnings("ignore")
def test_mlflow_keeps_rows_and_settings_beside_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    report("mlflow", tmp_path)
    report("mlflow", tmp_path)
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("unreel").experiment_id])
    assert (run.info.status, run.info.run_name) == ("FINISHED", tmp_path.name)
    assert run.data.params["train.steps"] == "9"
    losses = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(metric.step, metric.value) for metric in losses] == [(10, 0.5), (10, 0.5)]
    assert math.isnan(client.get_metric_history(run.info.run_id, "val/loss")[0].value)


@pytest.mark.filterwarnings("ignore")
def test_wandb_writes_offline_below_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path))
    report("wandb", tmp_path)
    report("wandb", tmp_path)
    stored = list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    identity = json.loads((tmp_path / "tracking.json").read_text())["wandb"]
    assert len(stored) == 2 and all(path.stem == f"run-{identity}" for path in stored)
    # W&B's own process writes the file, and not always before `finish` returns.
    ends = time.monotonic() + 60
    while not all(b"train/loss" in path.read_bytes() for path in stored):
        assert time.monotonic() < ends
        time.sleep(0.05)
