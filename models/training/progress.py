"""How far a run is, what of it a checkpoint saves, and how it ended."""

from typing import Any

import msgspec

from unreel.models.training.divergence import History
from unreel.models.training.environment import Environment
from unreel.models.training.scores import RunScores

__all__ = ["Progress", "SavedState", "TrainingResult"]


class Progress(msgspec.Struct, kw_only=True):
    """How far a run is."""

    step: int = 0
    """Steps that are completed."""
    seconds: float = 0.0
    """Spent on steps, resumes included, validation and saving excluded."""
    waited: float = 0.0
    """Of those, spent waiting for the loader."""
    logged: tuple[int, float, float] = (0, 0.0, 0.0)
    """`step`, `seconds` and `waited` at the last row of the log."""
    scores: RunScores = msgspec.field(default_factory=RunScores)
    """Since the last row of the log."""
    history: History = msgspec.field(default_factory=History)
    """Losses so far, and steps that went wrong."""
    validation: dict[str, float | int | str | None] = {}
    """The last validation's row."""

    def count(self, *, seconds: float, waited: float) -> None:
        """One more step is done."""
        self.step += 1
        self.seconds += seconds
        self.waited += waited

    def close_window(self, batch_size: int, *, several: bool = False) -> dict[str, float | int]:
        """The numbers since the last row, and begin anew; `several` as in `RunScores.row`."""
        step, seconds, waited = self.logged
        elapsed = max(self.seconds - seconds, 1e-9)
        row = {
            **self.scores.row(several=several),
            "clips_per_second": (self.step - step) * batch_size / elapsed,
            "data_wait": (self.waited - waited) / elapsed,
            "skipped": self.scores.skipped,
            "seconds": self.seconds,
        }
        self.logged, self.scores = (self.step, self.seconds, self.waited), RunScores()
        return row


class SavedState(msgspec.Struct, frozen=True, kw_only=True):
    """`state.json` of a checkpoint."""

    progress: Progress
    loader: dict[str, Any]
    scaler: dict[str, Any]
    environment: Environment


class TrainingResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended."""

    stopped: str
    """`steps` (all done), `seconds`, `SIGTERM` or `SIGINT`."""
    step: int
    seconds: float
    clips_per_second: float
    data_wait: float
    """Share of the seconds, in [0, 1], that went into getting batches: waiting for media, and building from them."""
    skipped: int
    """Steps that were not learned from, because they went wrong."""
    validation: dict[str, float | int | str | None]
    """The last validation's row; empty without one."""

    @classmethod
    def of(cls, progress: Progress, *, stopped: str, batch_size: int) -> "TrainingResult":
        seconds = max(progress.seconds, 1e-9)
        return cls(
            stopped=stopped,
            step=progress.step,
            seconds=progress.seconds,
            clips_per_second=progress.step * batch_size / seconds,
            data_wait=progress.waited / seconds,
            skipped=progress.history.left_out,
            validation=progress.validation,
        )
