"""Run in processes of their own, one a rank: trains what the command line asks for, one after another. JSON out."""

import importlib.util
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from unreel.models.objectives.objective import take_rows
from unreel.models.training import RunConfig, RunFolder, Trainer
from unreel.models.training.config import OptimiserConfig, TogetherConfig, TrainConfig
from unreel.models.training.environment import resolve
from unreel.models.training.ranks import ALONE, Ranks, joined_ranks
from unreel.pipelines.errors import UnreelError
from unreel.pipelines.pretext.task import PretextBatch
from unreel.pipelines.stats import LoaderStats

_PATH = Path(__file__).parents[1] / "conftest.py"
_spec = importlib.util.spec_from_file_location("models_conftest", _PATH)
assert _spec is not None and _spec.loader is not None
_conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_conftest)

ROWS = 8
STEPS = 4
FAILED = (5, 6)
"""Rows of each batch that are not valid: of two ranks the second has both, so that their own means count unlike."""


def config(*, name: Any = "sgd", several: str = "", gradients_every: int = 0, **train: Any) -> RunConfig:
    """A run of one task, or of several in the mode `several`."""
    settings: dict[str, Any] = {
        "steps": STEPS,
        "batch_size": 2 * ROWS if several else ROWS,
        "log_every": 1,
        "eval_batches": 1,
        "threads": 1,
    }
    order = {"name": "shuffle_and_learn", "tuples": 3}
    tower = {"name": "tiny", "channels": [8], "embed_dim": 8, "grid": 2, "norm": "group"}
    asked: dict[str, Any] = {"task": order, "towers": {"frame": tower}}
    if several:
        # The last of them leaves the head of the first without gradients.
        asked = {
            "tasks": {"order": order, "sound": {"name": "correspondence", "group": 4}},
            "towers": {"frame": tower, "audio": tower},
            # Classes in balance are counted in each pass.
            "objectives": {name: {"class_weights": "none"} for name in ("order", "sound")},
            "together": TogetherConfig(
                mode=several,  # type: ignore[arg-type]
                weights={"sound": 0.5},
                gradients_every=gradients_every,
            ),
        }
    return RunConfig(
        **asked,
        # Adam divides small gradients by themselves, and so makes a rounding as large as a gradient.
        optimiser=OptimiserConfig(name=name, learning_rate=0.1 if name == "sgd" else 1e-4, clip_norm=1.0),
        train=resolve(TrainConfig(**(settings | train), device="cpu")),
    )


@dataclass
class Part:
    """A rank's rows of batches from memory; sends this process a signal at step `signal_at`, ends as a kill at `stop_at`."""

    ranks: Ranks
    signal_at: int | None = None
    stop_at: int | None = None
    several: str = ""
    step: int = 0
    seen: list[list[int]] = field(default_factory=list)
    stats: LoaderStats = field(default_factory=LoaderStats)

    def batches(self, step: int, /) -> dict[str, PretextBatch]:
        # Three tuples a clip, so that the classes are not even.
        rows = 2 * ROWS if self.several else ROWS
        order = _conftest.make_order_batch(step, rows=rows, size=16, tuples=3)
        if not self.several:
            return {"shuffle_and_learn": self._mine(order)}
        made = {"order": order, "sound": _conftest.make_sound_batch(step, rows=rows, size=16)}
        if self.several == "turns":
            name = list(made)[step % 2]
            made = {name: made[name]}
        return {name: self._mine(batch) for name, batch in made.items()}

    def _mine(self, whole: PretextBatch) -> PretextBatch:
        valid = torch.tensor([row not in FAILED for row in range(len(whole))])
        whole = replace(whole, valid=valid)
        share = len(whole) // self.ranks.size
        return take_rows(whole, torch.arange(self.ranks.rank * share, (self.ranks.rank + 1) * share))

    def __iter__(self) -> Iterator[Any]:
        while self.step != self.stop_at:
            if self.step == self.signal_at:
                os.kill(os.getpid(), signal.SIGTERM)
            batches = self.batches(self.step)
            self.seen.append(next(iter(batches.values())).positions.tolist())
            self.step += 1
            yield _conftest.MemoryStep(self.step - 1, batches)
        raise KeyboardInterrupt

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step}

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        self.step = state["step"]


@dataclass
class Ear:
    """Keeps what a listener is told in warnings."""

    warnings: list[str] = field(default_factory=list)

    def row(self, row: object) -> None:
        """Rows are read from the run's file."""

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def close(self) -> None:
        """Nothing is open."""


def train(folder: Path, *, ranks: Ranks = ALONE, resume: bool = False, **asked: Any) -> dict[str, Any]:
    """Train one run; `asked` are settings of a `Part` or of the section `train`."""
    spare = asked.pop("spare", False)
    of_part = {name: asked.pop(name) for name in ("signal_at", "stop_at") if name in asked}
    several = asked.get("several", "")
    part, ear = Part(ranks, **of_part, several=several), Ear()
    trainer = Trainer(
        config(**asked),
        loader=part,
        validation=Part(ranks, several=several),
        folder=RunFolder(folder),
        listeners=[ear],
        ranks=ranks,
    )
    if spare:
        # As the stages behind a map that a head reads: never used.
        trainer._learner.model.spare = torch.nn.Linear(2, 2)
    try:
        result = trainer.train(resume=resume)
    except ValueError as error:
        return {"refused": str(error)}
    except UnreelError as error:
        return {"failed": f"{type(error).__name__}: {error}"}
    return {"stopped": result.stopped, "step": result.step, "seen": part.seen, "warnings": ear.warnings}


def main() -> None:
    folder, jobs = Path(sys.argv[1]), json.loads(sys.argv[2])
    torch.set_num_threads(1)
    with joined_ranks() as ranks:
        found = {}
        for name, asked in jobs.items():
            mine = {
                key: value for key, value in asked.items() if key != "only" and not isinstance(value, dict)
            }
            # Some settings are of one rank alone.
            mine |= asked.get("only", {}).get(str(ranks.rank), {})
            found[name] = train(folder / mine.pop("folder", name), ranks=ranks, **mine)
        (folder / f"rank-{ranks.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
