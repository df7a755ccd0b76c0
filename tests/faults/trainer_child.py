"""Run in a process of its own: imports once and forks a process for each training run it is asked for. JSON lines."""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import torch

from unreel.models.training import RunFolder, checkpoint
from unreel.models.training.learner import Learned, Learner
from unreel.pipelines.pretext.task import PretextBatch
from unreel.tools.recipe import read_recipe
from unreel.tools.train import run_training

SETTINGS = (
    "task.size=32",
    "towers.frame.channels=[8]",
    "towers.frame.embed_dim=16",
    "train.batch_size=8",
    "train.log_every=5",
    "train.eval_every=0",
    "train.eval_batches=1",
    "train.checkpoint_every=5",
    "train.threads=1",
    "train.ema=0.9",
    "data.holdout=0.4",
    "schedule.warmup_steps=10",
    "loader.threads=1",
)


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        process = os.fork()
        if not process:
            _end_with(request)
        _say(process=process)
        _, status = os.waitpid(process, 0)
        _say(exit=os.waitstatus_to_exitcode(status))


def _say(**numbers: int) -> None:
    sys.stdout.write(json.dumps(numbers) + "\n")
    sys.stdout.flush()


def _end_with(request: dict[str, Any]) -> NoReturn:
    code = 1
    try:
        code = _train(request)
    finally:
        if sys.exc_info()[0]:
            traceback.print_exc()
        os._exit(code)


def _train(request: dict[str, Any]) -> int:
    torch.set_num_threads(1)
    folder = Path(request["folder"])
    _write_down_steps(folder.with_suffix(".steps"))
    _disturb_saving(request)
    overrides = [*SETTINGS, f"train.steps={request['steps']}", f"data.shards={request['data']}"]
    config = read_recipe("shuffle_and_learn_tiny", overrides=overrides)
    result = run_training(config, RunFolder(folder), resume=True)
    return 128 + signal.Signals[result.stopped] if result.stopped.startswith("SIG") else 0


def _write_down_steps(path: Path) -> None:
    """After each step a line: its number, its samples, and loss and learning rate to the last bit."""
    learn = Learner.learn

    def watched(self: Learner, step: int, batches: Mapping[str, PretextBatch], **limits: float) -> Learned:
        learned = learn(self, step, batches, **limits)
        line = [step, next(iter(batches.values())).keys, learned.loss.hex(), learned.learning_rate.hex()]
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        return learned

    Learner.learn = watched  # type: ignore[method-assign]


def _disturb_saving(request: dict[str, Any]) -> None:
    """Each file of a checkpoint takes `slow` seconds to become durable; at number `die_at` the process is killed."""
    sync, calls = checkpoint._sync, 0

    def disturbed(path: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == request.get("die_at"):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(request.get("slow", 0.0))
        sync(path)

    checkpoint._sync = disturbed


if __name__ == "__main__":
    main()
