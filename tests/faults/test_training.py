"""R2, R12, R16, R18: a trainer that is killed, told to stop, given damaged checkpoints, or numbers that are none."""

import hashlib
import importlib.util
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from unreel.models.training import RunFolder, Trainer
from unreel.models.training.checkpoint import newest_checkpoint
from unreel.models.training.log import read_metrics
from unreel.pipelines.pretext.task import PretextBatch
from unreel.shards.catalogue import Catalogue

EVERY = 5
"""Steps between checkpoints in `trainer_child`."""

TIMES = {"clips_per_second", "data_wait", "seconds"}
HERE = Path(__file__).parent


def load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


memory = load(HERE.parent / "models" / "training" / "ranks_child.py")


@dataclass
class Runs:
    """Training runs on the tiny data set, each in a process of its own, one at a time."""

    server: subprocess.Popen[str]
    data: str
    steps: int

    def start(self, folder: Path, **request: Any) -> int:
        """Begin or go on; returns the process."""
        asked = {"folder": str(folder), "data": self.data, "steps": self.steps, **request}
        assert self.server.stdin is not None
        self.server.stdin.write(json.dumps(asked) + "\n")
        self.server.stdin.flush()
        return int(self._answer()["process"])

    def end(self) -> int:
        """Wait for the run that was started; its exit code, negative for a signal."""
        return int(self._answer()["exit"])

    def _answer(self) -> dict[str, int]:
        assert self.server.stdout is not None
        return json.loads(self.server.stdout.readline())


@pytest.fixture
def runs(tiny_catalogue: Catalogue, full: bool, tmp_path: Path) -> Iterator[Runs]:
    with (tmp_path / "server.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, HERE / "trainer_child.py"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
        yield Runs(server, str(tiny_catalogue.folder), 60 if full else 12)
        assert server.stdin is not None
        server.stdin.close()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()


def steps_of(folder: Path) -> list[list[Any]]:
    """What each step of a run wrote down, repeated steps included; a line that a kill cut short is none."""
    path = folder.with_suffix(".steps")
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def wait_for(folder: Path, step: int) -> None:
    """Until a run has written down this step, or is at its end."""
    deadline = time.monotonic() + 120
    while not any(entry[0] >= step for entry in steps_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.002)


def digest(folder: Path) -> str:
    checkpoint, damaged = newest_checkpoint(folder / "checkpoints")
    assert checkpoint is not None and not damaged
    sums = hashlib.sha256()
    for tensors in (checkpoint.model, checkpoint.average, checkpoint.optimiser):
        for name in sorted(tensors):
            sums.update(tensors[name].contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return sums.hexdigest()


def exact_rows(folder: Path) -> list[dict[str, Any]]:
    rows = read_metrics(folder / "metrics.jsonl")
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]


def unbroken(runs: Runs, folder: Path) -> Path:
    runs.start(folder)
    assert runs.end() == 0
    return folder


def differing(first: Path, second: Path) -> list[int]:
    """Steps of `second`, each time it came to them, that are not those of `first`."""
    expected = {entry[0]: entry for entry in steps_of(first)}
    return [entry[0] for entry in steps_of(second) if entry != expected[entry[0]]]


def lost(folder: Path) -> int:
    """Steps that a killed run has to do again; the checkpoint that is there must be good."""
    done = steps_of(folder)[-1][0] + 1
    checkpoint, damaged = newest_checkpoint(folder / "checkpoints")
    assert not damaged
    return done - (checkpoint.step if checkpoint else 0)


def test_R2_killed_trainers_repeat_every_step_to_the_bit(
    runs: Runs, tmp_path: Path, full: bool, record: Callable[..., None]
) -> None:
    plain, rng = unbroken(runs, tmp_path / "plain"), random.Random(2)
    kills, in_saving, most_lost, wrong, different = 0, 0, 0, 0, 0
    trials = 12 if full else 2
    for trial in range(trials):
        folder = tmp_path / f"killed-{trial}"
        # A third of the runs is killed three times, one resume after another.
        for _ in range((3 if full else 2) if trial % 3 == 0 else 1):
            done = max((entry[0] for entry in steps_of(folder)), default=-1)
            if trial % 4 == 1:
                # A generation is synced in eight places: five files, two folders around the rename, and the draft.
                runs.start(folder, die_at=rng.randrange(1, 16))
                in_saving += 1
            else:
                process = runs.start(folder)
                wait_for(folder, min(done + rng.randrange(1, 8), runs.steps - 2))
                time.sleep(rng.uniform(0, 0.02))
                os.kill(process, signal.SIGKILL)
            assert runs.end() == -signal.SIGKILL
            kills += 1
            most_lost = max(most_lost, lost(folder))
        runs.start(folder)
        assert runs.end() == 0
        wrong += len(differing(plain, folder))
        different += (digest(folder), exact_rows(folder)) != (digest(plain), exact_rows(plain))
    record(
        "R2", "the trainer is killed", runs=trials, kills=kills, while_saving=in_saving, steps=runs.steps,
        steps_that_differ=wrong, runs_that_end_otherwise=different, most_steps_lost=most_lost, interval=EVERY,
    )  # fmt: skip
    assert wrong == different == 0
    # A generation is written beside the steps that follow it, so that up to the next one can be lost as well.
    assert most_lost <= 2 * EVERY


def test_R12_signals_save_and_end_in_ten_seconds(
    runs: Runs, tmp_path: Path, full: bool, record: Callable[..., None]
) -> None:
    runs.steps = 24 if full else 12
    plain, rng = unbroken(runs, tmp_path / "plain"), random.Random(12)
    trials, twice = (20, 5) if full else (3, 1)
    slowest, codes, wrong = {"once": 0.0, "twice": 0.0}, [], 0
    for trial in range(trials):
        folder, again = tmp_path / f"told-{trial}", trial < twice
        number = (signal.SIGTERM, signal.SIGINT)[trial % 2]
        process = runs.start(folder, slow=1.0 if again else 0.0)
        wait_for(folder, rng.randrange(0, runs.steps - 6))
        began = time.monotonic()
        os.kill(process, number)
        if again:
            time.sleep(1)
            began = time.monotonic()
            os.kill(process, number)
        codes.append(runs.end() == (-number if again else 128 + number))
        kind = "twice" if again else "once"
        slowest[kind] = max(slowest[kind], time.monotonic() - began)
        if not again:
            assert lost(folder) == 0
        runs.start(folder)
        assert runs.end() == 0
        wrong += len(differing(plain, folder)) + (digest(folder) != digest(plain))
    record(
        "R12", "SIGTERM and SIGINT in training", signals=trials, second_signals=twice, right_exit_codes=sum(codes),
        steps_or_ends_that_differ=wrong, slowest_seconds=round(slowest["once"], 2),
        slowest_after_second=round(slowest["twice"], 2),
    )  # fmt: skip
    assert all(codes) and not wrong
    assert slowest["once"] <= 10 and slowest["twice"] <= 10


FILES = ("model.safetensors", "average.safetensors", "optimizer.safetensors", "state.json", "manifest.json")


def harm(path: Path, kind: str, share: float) -> None:
    data = bytearray(path.read_bytes())
    if kind == "flip":
        data[int(share * (len(data) - 1))] ^= 1 << int(share * 7)
        path.write_bytes(data)
    elif kind == "cut":
        path.write_bytes(data[: int(share * len(data))])
    else:
        path.unlink()


def test_R16_damaged_checkpoints_are_found_before_training(
    tmp_path: Path, full: bool, record: Callable[..., None]
) -> None:
    settings = {"checkpoint_every": 1, "ema": 0.5}
    memory.train(tmp_path / "run", **settings)
    rng, places = random.Random(16), 15 if full else 3
    damages = [(kind, FILES[n % 5], rng.random()) for kind in ("flip", "cut") for n in range(places)]
    damages += [("missing", name, 0.0) for name in FILES[: 5 if full else 1]]
    found = fell_back = same = 0
    for kind, name, share in damages:
        run = tmp_path / "damaged"
        shutil.copytree(tmp_path / "run", run)
        harm(run / "checkpoints" / "step-00000004" / name, kind, share)
        said = memory.train(run, resume=True, **settings)
        found += name in said["warnings"][0]
        fell_back += "goes on from step 3" in said["warnings"][0] and len(said["seen"]) == 1
        same += digest(run) == digest(tmp_path / "run")
        shutil.rmtree(run)
    record(
        "R16", "checkpoints are damaged", damages=len(damages), found=found, went_on_from_the_one_before=fell_back,
        ended_as_undamaged=same,
    )  # fmt: skip
    assert found == fell_back == same == len(damages)


def test_R18_numbers_that_are_none_cost_their_step(
    tmp_path: Path, full: bool, record: Callable[..., None]
) -> None:
    steps = 20 if full else 6
    harms: dict[str, Callable[[PretextBatch], PretextBatch]] = {
        "NaN picture": lambda batch: pictures(batch, float("nan")),
        "infinite picture": lambda batch: pictures(batch, float("inf")),
        "NaN gradient": lambda batch: batch,
        "black clips": lambda batch: pictures(batch, 0.0),
        "one label": lambda batch: replace(batch, targets=torch.ones_like(batch.targets)),
    }
    table = []
    for name, change in harms.items():
        at = 3
        part = Harmed(memory.ALONE, change=change, at=at)
        run = RunFolder(tmp_path / name)
        trainer = Trainer(memory.config(steps=steps), loader=part, validation=None, folder=run)
        if name == "NaN gradient":
            for weight in trainer._learner.model.parameters():
                weight.register_hook(partial(spoiled, part))
        result = trainer.train()
        rows = [row for row in read_metrics(run.metrics) if row["split"] == "train"]
        finite = all(row["loss"] is not None for row in rows if not row["skipped"])
        saved, _ = newest_checkpoint(run.checkpoints)
        assert saved is not None
        whole = all(bool(tensor.isfinite().all()) for tensor in saved.model.values())
        table.append([name, result.skipped, sum(row["skipped"] for row in rows[: at + 1]), finite, whole])
    record(
        "R18",
        "numbers that are none",
        steps=steps,
        columns="what, left out, at once, finite, whole",
        table=table,
    )
    assert [row[1] for row in table] == [1, 1, 1, 0, 0]
    assert [row[2] for row in table] == [1, 1, 1, 0, 0]
    assert all(row[3] and row[4] for row in table)


def spoiled(part: Any, gradient: torch.Tensor) -> torch.Tensor:
    return gradient * float("nan") if part.step == part.at + 1 else gradient


def pictures(batch: PretextBatch, factor: float) -> PretextBatch:
    return replace(batch, inputs={**batch.inputs, "frame": batch.inputs["frame"] * factor})


@dataclass
class Harmed(memory.Part):  # type: ignore[misc, name-defined]
    """Batches from memory, of which one is changed."""

    change: Callable[[PretextBatch], PretextBatch] = lambda batch: batch
    at: int = 0

    def batches(self, step: int, /) -> dict[str, PretextBatch]:
        batches: dict[str, PretextBatch] = super().batches(step)
        return {name: self.change(batch) if step == self.at else batch for name, batch in batches.items()}
