"""Two ranks against one with the same global batch: the same samples, losses and weights; endings that are agreed on."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from unreel.models.training.checkpoint import newest_checkpoint, read_checkpoint
from unreel.models.training.log import read_metrics
from unreel.models.training.ranks import ALONE, Ranks, joined_ranks, launched
from unreel.pipelines.errors import CheckpointError
from unreel.pipelines.failures import FailureLog, FailurePolicy, join_states, part_of_state
from unreel.pipelines.media import SampleFailure

CHILD = Path(__file__).with_name("ranks_child.py")
spec = importlib.util.spec_from_file_location("ranks_child", CHILD)
assert spec is not None and spec.loader is not None
child = importlib.util.module_from_spec(spec)
spec.loader.exec_module(child)

JOBS: dict[str, dict[str, Any]] = {
    "whole": {},
    "stopped": {"only": {"1": {"signal_at": 1}}},
    "onwards": {"resume": True},
    "taken": {"folder": "whole"},
    "passes": {"accumulate": 2, "ema": 0.5},
    "divided": {"parallel": "fsdp", "accumulate": 2, "ema": 0.5},
    "cut": {"parallel": "fsdp", "checkpoint_every": 1, "signal_at": 1, "name": "adamw"},
    "cut again": {"folder": "cut", "parallel": "fsdp", "resume": True, "name": "adamw"},
    "cut for one": {"parallel": "fsdp", "signal_at": 1, "name": "adamw"},
    "plain": {"name": "adamw"},
    "spare": {"spare": True},
    "shared": {"several": "shared"},
    "shared measured": {"several": "shared", "gradients_every": 1},
    "shared passes": {"several": "shared", "accumulate": 2},
    "shared divided": {"several": "shared", "parallel": "fsdp", "gradients_every": 2},
    "shared divided passes": {"several": "shared", "parallel": "fsdp", "accumulate": 2},
    "turns": {"several": "turns", "gradients_every": 2},
}
"""Run → what two ranks are asked to do, one after another."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """The folder of `JOBS`, beside the run `alone` of one process, and what each rank said of each."""
    folder = tmp_path_factory.mktemp("ranks")
    before = torch.get_num_threads()
    child.train(folder / "alone")
    child.train(folder / "shared alone", several="shared", gradients_every=1)
    child.train(folder / "turns alone", several="turns", gradients_every=2)
    with pytest.raises(KeyboardInterrupt):
        child.train(folder / "onwards", checkpoint_every=1, stop_at=2)
    torch.set_num_threads(before)
    return folder, together(folder, JOBS)


def together(folder: Path, jobs: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """What two ranks say to `jobs`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, CHILD, folder, json.dumps(jobs)],
            env={**os.environ, **place, "RANK": rank, "LOCAL_RANK": rank},
        )
        for rank in "01"
    ]
    assert [process.wait(timeout=240) for process in processes] == [0, 0]
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in "01"]


def assert_close(first: Path, second: Path, *, validation: bool = True, weights: float = 1e-5) -> None:
    rows = [
        [row for row in read_metrics(run / "metrics.jsonl") if validation or row["split"] == "train"]
        for run in (first, second)
    ]
    assert [row["step"] for row in rows[0]] == [row["step"] for row in rows[1]]
    for one, other in zip(*rows, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-5)
        for exact in ("balanced_accuracy", "decisions", "failed"):
            assert one[exact] == other[exact]
    saved = [newest_checkpoint(run / "checkpoints")[0] for run in (first, second)]
    assert saved[0] is not None and saved[1] is not None
    for name, weight in saved[0].model.items():
        torch.testing.assert_close(weight, saved[1].model[name], rtol=0, atol=weights)


def test_two_ranks_learn_what_one_learns(runs: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, said = runs
    assert_close(folder / "alone", folder / "whole")
    assert read_metrics(folder / "whole" / "metrics.jsonl")[-1]["sources"] == child.ROWS
    seen = [rank["whole"]["seen"] for rank in said]
    assert [one + other for one, other in zip(*seen, strict=True)] == [
        list(range(step * child.ROWS, (step + 1) * child.ROWS)) for step in range(child.STEPS)
    ]


def test_a_signal_to_one_rank_stops_both_at_one_step(runs: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, said = runs
    assert [(rank["stopped"]["stopped"], rank["stopped"]["step"]) for rank in said] == [("SIGTERM", 2)] * 2
    # One rank goes on from what two have saved.
    before = torch.get_num_threads()
    child.train(folder / "stopped", resume=True)
    torch.set_num_threads(before)
    assert_close(folder / "alone", folder / "stopped")


def test_two_ranks_go_on_from_what_one_has_saved(runs: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, said = runs
    assert [rank["onwards"]["step"] for rank in said] == [child.STEPS] * 2
    assert any("ranks: 1 saved, 2 now" in text for text in said[0]["onwards"]["warnings"])
    assert_close(folder / "alone", folder / "onwards")


@pytest.mark.parametrize("name", ["passes", "divided", "spare"])
def test_passes_and_parts_learn_the_same(runs: tuple[Path, list[dict[str, Any]]], name: str) -> None:
    folder, said = runs
    assert [rank[name]["step"] for rank in said] == [child.STEPS] * 2
    assert_close(folder / "alone", folder / name, validation=False)
    saved = [newest_checkpoint(folder / run / "checkpoints")[0] for run in ("passes", name)]
    assert saved[0] is not None and saved[1] is not None
    assert bool(saved[1].average) == (name != "spare")
    for weight, value in saved[0].average.items() if saved[1].average else ():
        torch.testing.assert_close(value, saved[1].average[weight], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "every"),
    [
        ("shared", 0),
        ("shared measured", 1),
        ("shared passes", 0),
        ("shared divided", 2),
        ("shared divided passes", 0),
        ("turns", 2),
    ],
)
def test_two_ranks_learn_several_tasks_as_one_does(
    runs: tuple[Path, list[dict[str, Any]]], name: str, every: int
) -> None:
    folder, _ = runs
    alone, several = folder / f"{name.split()[0]} alone", folder / name
    rows = [
        {(row["step"], row["split"]): row for row in read_metrics(run / "metrics.jsonl")}
        for run in (alone, several)
    ]
    compared = 0
    for place, row in rows[1].items():
        # Classes of a pass and losses of a validation are counted otherwise where a step comes in passes.
        for number in row.keys() - {"seconds", "data_wait", "clips_per_second", "gradient_norm"}:
            if "passes" not in name or place[1] == "train":
                compared += 1
                assert row[number] == pytest.approx(rows[0][place][number], abs=2e-5), (place, number)
    assert compared > 50
    measured = [row for place, row in rows[1].items() if place[1] == "gradients"]
    assert bool(measured) == bool(every)
    saved = [newest_checkpoint(run / "checkpoints")[0] for run in (alone, several)]
    assert saved[0] is not None and saved[1] is not None
    for weight, value in saved[0].model.items():
        torch.testing.assert_close(value, saved[1].model[weight], rtol=0, atol=1e-5)


def test_a_divided_optimiser_goes_on_at_any_number_of_ranks(runs: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, said = runs
    assert [(rank["cut"]["stopped"], rank["cut again"]["step"]) for rank in said] == [
        ("SIGTERM", child.STEPS)
    ] * 2
    before = torch.get_num_threads()
    child.train(folder / "cut for one", parallel="fsdp", name="adamw", resume=True)
    torch.set_num_threads(before)
    for run in ("cut", "cut for one"):
        assert_close(folder / "plain", folder / run, weights=1e-3)


def test_divided_generations_are_safetensors_and_json(runs: tuple[Path, list[dict[str, Any]]]) -> None:
    generation = max((runs[0] / "cut" / "checkpoints").glob("step-*"))
    files = {
        path.relative_to(generation).as_posix(): path for path in generation.rglob("*") if path.is_file()
    }
    assert len([name for name in files if name.startswith("optimizer/")]) == 2
    assert not any(path.name == "optimizer.safetensors" for path in files.values())
    for name, path in files.items():
        text = path.read_bytes()
        if name.endswith(".safetensors"):
            length = int.from_bytes(text[:8], "little")
            text = text[8 : 8 + length]
        json.loads(text)
    part = next(path for name, path in files.items() if name.startswith("optimizer/"))
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"optimizer/shard-"):
        read_checkpoint(generation)


def test_what_rank_0_refuses_ends_every_rank(runs: tuple[Path, list[dict[str, Any]]]) -> None:
    _, said = runs
    assert "add --resume" in said[0]["taken"]["refused"]
    assert "rank 0 stopped: ValueError" in said[1]["taken"]["failed"]


def test_alone_nothing_is_sent() -> None:
    values = torch.ones(2)
    assert ALONE.sum(values) is values
    assert ALONE.gather([1]) == [[1]]
    assert ALONE.led(lambda: 3) == 3
    with joined_ranks({}) as ranks:
        assert ranks == ALONE
    assert launched({"WORLD_SIZE": "1"})


def test_a_launcher_that_says_half_is_refused() -> None:
    with (
        pytest.raises(ValueError, match=r"MASTER_ADDR.*torchrun"),
        joined_ranks({"WORLD_SIZE": "2", "RANK": "0"}),
    ):
        pass


def test_a_process_group_without_gloo_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_backend_config", lambda: "cuda:nccl")
    names = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    with (
        pytest.raises(ValueError, match="cpu:gloo"),
        joined_ranks({**dict.fromkeys(names, "0"), "WORLD_SIZE": "2"}),
    ):
        pass


def test_one_cuda_device_is_not_for_several_ranks() -> None:
    with pytest.raises(ValueError, match=r"'cuda:1' with 2 ranks"):
        Ranks(0, 2).device("cuda:1")


def test_failures_of_ranks_are_added_up_and_never_twice() -> None:
    logs = [FailureLog(FailurePolicy()) for _ in range(2)]
    for rank, log in enumerate(logs):
        for key in range(rank + 1):
            log.add(4, [SampleFailure(0, key, "shard", str(key), "decode", "cut")])
    joined = join_states([{"step": 3, "failures": log.state_dict()} for log in logs])
    assert (joined["step"], joined["failures"]["rows"], joined["failures"]["failed"]) == (3, 12, 3)
    assert joined["failures"]["stages"] == {"decode": 3}
    parts = [part_of_state(joined, rank) for rank in range(4)]
    assert join_states(parts) == joined
