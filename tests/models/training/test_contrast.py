"""Contrastive runs: two ranks that see each other's keys against one with the same batch, queues that resume, ShuffleBN."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from unreel.models.training.checkpoint import newest_checkpoint
from unreel.models.training.log import read_metrics

CHILD = Path(__file__).with_name("contrast_child.py")
spec = importlib.util.spec_from_file_location("contrast_child", CHILD)
assert spec is not None and spec.loader is not None
child = importlib.util.module_from_spec(spec)
spec.loader.exec_module(child)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two ranks left."""
    folder = tmp_path_factory.mktemp("contrast")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, CHILD, folder], env={**os.environ, **place, "RANK": rank, "LOCAL_RANK": rank}
        )
        for rank in "01"
    ]
    assert [process.wait(timeout=240) for process in processes] == [0, 0]
    return folder


def assert_same(first: Path, second: Path, *, within: float) -> None:
    """Losses, scores and weights, queues among them."""
    rows = [read_metrics(run / "metrics.jsonl") for run in (first, second)]
    assert len(rows[0]) == len(rows[1]) == child.STEPS + 1
    for one, other in zip(*rows, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=within)
        assert (one["hit_rate"], one["decisions"]) == (other["hit_rate"], other["decisions"])
    models = [newest_checkpoint(run / "checkpoints")[0].model for run in (first, second)]
    assert set(models[0]) == set(models[1])
    for name, value in models[0].items():
        assert torch.allclose(value.double(), models[1][name].double(), atol=within, rtol=within), name


@pytest.mark.parametrize("task", child.TASKS)
def test_two_ranks_that_see_each_others_keys_equal_one(task: str, pair: Path, tmp_path: Path) -> None:
    child.train(tmp_path, task)
    assert_same(tmp_path, pair / task, within=1e-5)


def test_without_each_others_keys_they_do_not(pair: Path) -> None:
    losses = [read_metrics(pair / run / "metrics.jsonl")[0]["loss"] for run in ("dense_prediction", "apart")]
    # Half as many candidates are easier by up to log 2.
    assert 0.2 < losses[0] - losses[1] < 1.0


def test_a_shuffled_batch_gives_the_same_losses_where_no_row_sees_another(pair: Path, tmp_path: Path) -> None:
    child.train(tmp_path, "time_contrast")
    assert_same(tmp_path, pair / "shuffled", within=1e-5)


def test_statistics_tell_the_rank_of_a_key_without_shuffling_and_not_with_it(pair: Path) -> None:
    for rank in (0, 1):
        plain, guarded = json.loads((pair / f"told-{rank}.json").read_text())
        assert plain > 0.99
        assert 0.4 < guarded < 0.6


def test_queue_and_slow_keys_resume_to_the_bit(tmp_path: Path) -> None:
    child.train(tmp_path / "whole", "time_contrast", checkpoint_every=1)
    with pytest.raises(KeyboardInterrupt):
        child.train(tmp_path / "cut", "time_contrast", checkpoint_every=1, stop_at=2)
    child.train(tmp_path / "cut", "time_contrast", checkpoint_every=1, resume=True)
    assert_same(tmp_path / "whole", tmp_path / "cut", within=0)
    model = newest_checkpoint(tmp_path / "cut" / "checkpoints")[0].model
    assert int(model["objective.contrast.queue.filled"]) == 50
    assert any(name.startswith("objective.key.") for name in model)
