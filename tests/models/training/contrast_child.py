"""Run in processes of their own, one a rank: contrastive runs with keys of all ranks, and what batch norm tells. JSON out."""

import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from unreel.models.objectives.objective import take_rows
from unreel.models.objectives.peers import beside, gathered, shares_of, shuffled
from unreel.models.training import RunConfig, RunFolder, Trainer
from unreel.models.training.config import OptimiserConfig, TrainConfig
from unreel.models.training.environment import resolve
from unreel.models.training.ranks import ALONE, Ranks, joined_ranks
from unreel.pipelines.pretext.task import PretextBatch
from unreel.pipelines.stats import LoaderStats

_spec = importlib.util.spec_from_file_location("models_conftest", Path(__file__).parents[1] / "conftest.py")
assert _spec is not None and _spec.loader is not None
conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(conftest)

ROWS, STEPS = 8, 4
FAILED = (5, 6)
"""Rows that are not valid: of two ranks the second has both, so that they hold unlike numbers of keys."""

TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "time_contrast": ("frame", {"loss": "infonce", "embed_dim": 8, "queue": 50, "momentum": 0.5}),
    "dense_prediction": ("video", {"width": 8, "dropout": 0.0, "across_ranks": True}),
}
"""Task → the kind of its tower, and settings of its objective."""


def config(task: str, objective: Mapping[str, Any], **train: Any) -> RunConfig:
    kind, settings = TASKS[task]
    sizes = {"steps": STEPS, "batch_size": ROWS, "log_every": 1, "eval_batches": 1, "threads": 1}
    tower = {"name": "tiny", "channels": [8], "embed_dim": 8, "norm": "group"}
    return RunConfig(
        task={"name": task},
        towers={kind: tower},
        objective={**settings, **objective},
        optimiser=OptimiserConfig(name="sgd", learning_rate=0.05, clip_norm=1.0),
        train=resolve(TrainConfig(**(sizes | train), device="cpu")),
    )


def make_batch(task: str, step: int) -> PretextBatch:
    """Noise with a mean of the row's own."""
    generator = torch.Generator().manual_seed(step)
    means = torch.randn(ROWS, 1, 1, 1, 1, generator=generator)
    if task == "time_contrast":
        inputs = {
            "frame": means + torch.randn(ROWS, 4, 3, 16, 16, generator=generator),
            "apart": (torch.arange(4)[None] // 2 != torch.arange(2)[:, None]).expand(ROWS, 2, 4),
        }
        targets = torch.tensor([1, 3]).expand(ROWS, 2)
    else:
        inputs = {"video": means[..., None] + torch.randn(ROWS, 3, 3, 2, 16, 16, generator=generator)}
        targets = torch.zeros(ROWS, 1, dtype=torch.int64)
    batch = PretextBatch(inputs=inputs, targets=targets, **conftest.columns(step, ROWS))
    return replace(batch, valid=torch.tensor([row not in FAILED for row in range(ROWS)]))


@dataclass
class Part:
    """A rank's rows of batches from memory; ends as a kill at `stop_at`."""

    task: str
    ranks: Ranks
    stop_at: int | None = None
    step: int = 0
    stats: LoaderStats = field(default_factory=LoaderStats)

    def batch(self, step: int, /) -> PretextBatch:
        share = ROWS // self.ranks.size
        rows = torch.arange(self.ranks.rank * share, (self.ranks.rank + 1) * share)
        return take_rows(make_batch(self.task, step), rows)

    def batches(self, step: int, /) -> dict[str, PretextBatch]:
        return {self.task: self.batch(step)}

    def __iter__(self) -> Iterator[Any]:
        while self.step != self.stop_at:
            self.step += 1
            yield conftest.MemoryStep(self.step - 1, self.batches(self.step - 1))
        raise KeyboardInterrupt

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step}

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        self.step = state["step"]


def train(
    folder: Path,
    task: str,
    *,
    ranks: Ranks = ALONE,
    resume: bool = False,
    stop_at: int | None = None,
    objective: Mapping[str, Any] | None = None,
    **settings: Any,
) -> None:
    Trainer(
        config(task, objective or {}, **settings),
        loader=Part(task, ranks, stop_at),
        validation=Part(task, ranks),
        folder=RunFolder(folder),
        ranks=ranks,
    ).train(resume=resume)


def told_by_statistics(ranks: Ranks, *, guarded: bool) -> float:
    """How often a query finds its key, of this rank, beside one of the other rank, by statistics of batch norm alone."""
    rows, channels, found = 16, 4, []
    norm = nn.BatchNorm1d(channels, affine=False, track_running_stats=False)

    def encode(part: Tensor) -> Tensor:
        return functional.normalize(norm(torch.stack([part, torch.zeros_like(part)], dim=2))[:, :, 1])

    with beside(ranks):
        for trial in range(40):
            generator = torch.Generator().manual_seed(2 * trial + ranks.rank)
            content = torch.randn(rows, channels, generator=generator)
            other = content.roll(1, dims=0)
            keys = shuffled(encode, other, 1, salt=trial) if guarded else encode(other)
            every = gathered(keys, shares_of(rows)).unflatten(0, (ranks.size, rows))
            likeness = torch.einsum("rd,srd->rs", encode(content), every)
            # Equal statistics are a tie, which says nothing.
            own = likeness[:, ranks.rank, None]
            ties = (likeness - own).abs() < 1e-6
            found.append(((likeness <= own + 1e-6).all(dim=1).float() / ties.sum(dim=1)).mean())
    return float(torch.stack(found).mean())


def main() -> None:
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    with joined_ranks() as ranks:
        for task in TASKS:
            train(folder / task, task, ranks=ranks)
        train(folder / "shuffled", "time_contrast", ranks=ranks, objective={"shuffle_groups": 1})
        train(folder / "apart", "dense_prediction", ranks=ranks, objective={"across_ranks": False})
        told = [told_by_statistics(ranks, guarded=guarded) for guarded in (False, True)]
        (folder / f"told-{ranks.rank}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
