"""What `unreel train` leaves in a run folder beside the trainer's own files, and a page that says what each file is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from unreel.shards.files import write_atomic

__all__ = ["FILES", "RunFiles", "write_guide"]

FILES: Final = {
    "report.html": "all of this on one page that loads nothing; `unreel report RUN` draws it anew",
    "curves.png": "loss, score, learning rate, gradients, speed and waiting over the steps",
    "samples.png": "rows of the first training batch as the towers take them; of several tasks samples-NAME.png",
    "recipe.toml": "every setting, defaults and `auto` choices written out; `unreel train RUN/recipe.toml` trains it again",
    "provenance.json": "each session: command, git state, digests of the shards, machine, libraries",
    "environment.json": "what last bits depend on: device, threads, versions",
    "metrics.jsonl": "a row a logged step and a validation: loss, score, learning rate, norm of the gradients, clips a second",
    "warnings.jsonl": "what went wrong on the way; not there where nothing did",
    "loader.json": "where the loader's time went in the last session, and which backend it took",
    "result.json": "how the last session ended; not there while it goes on, or after a kill",
    "eval.json": "scores on held-out sources beside their controls; `unreel eval RUN` writes it; of several tasks eval-NAME.json of each",
    "checkpoints/": "weights, optimiser and state by step, in safetensors and JSON, with a manifest of SHA-256",
    "tensorboard/": "the same numbers: `tensorboard --logdir RUN`",
    "wandb/": "the same for W&B, with train.log; `wandb sync` sends what was written offline",
    "mlflow.db": "the same for MLflow, with train.log: `mlflow ui --backend-store-uri sqlite:///RUN/mlflow.db`",
    "tracking.json": "what the trackers call this run",
}
"""File of a run folder → what it is; not every run has all of them."""


@dataclass(frozen=True, slots=True)
class RunFiles:
    """The paths of what is added to a run."""

    path: Path

    @property
    def guide(self) -> Path:
        return self.path / "README.txt"

    @property
    def provenance(self) -> Path:
        return self.path / "provenance.json"

    @property
    def curves(self) -> Path:
        return self.path / "curves.png"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    @property
    def loader(self) -> Path:
        return self.path / "loader.json"

    def sheet(self, task: str = "") -> Path:
        """The samples sheet, of one task among several where it is named."""
        return self.path / (f"samples-{task}.png" if task else "samples.png")

    @property
    def sheets(self) -> list[Path]:
        """Those that are there."""
        return sorted(self.path.glob("samples*.png"))


def write_guide(files: RunFiles) -> None:
    """Write `README.txt`: what this folder is, and what each file of it."""
    width = max(map(len, FILES)) + 2
    lines = [f"{name:<{width}}{what}" for name, what in FILES.items()]
    head = "A training run of unreel. Open report.html first; `unreel train ... --resume` goes on with a run that was ended."
    write_atomic(files.guide, "\n".join([head, "", *lines, ""]).encode())
