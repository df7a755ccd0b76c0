"""When a step went wrong: a loss or a gradient that is no number, or a loss that jumped; and how often it may."""

import math
from statistics import median

import msgspec

from unreel.models.training.config import DivergenceConfig
from unreel.pipelines.errors import Diverged

__all__ = ["History", "objection"]

_FEWEST = 10
"""Losses before a jump can be told."""


class History(msgspec.Struct, kw_only=True):
    """What is known of a run's steps so far; part of a checkpoint, so that a resumed run answers as an unbroken one."""

    losses: list[float] = []
    """The last `window` losses that were learned from."""
    in_a_row: int = 0
    """Steps just now that were not."""
    left_out: int = 0
    """All such steps."""
    rolled_back: int = 0
    """Returns to a checkpoint."""

    def limit(self, config: DivergenceConfig) -> float:
        """The largest loss that is no spike."""
        if not config.spike or len(self.losses) < min(_FEWEST, config.window):
            return math.inf
        return config.spike * median(self.losses)

    def learned(self, loss: float, config: DivergenceConfig) -> None:
        """A step moved the weights."""
        self.losses = [*self.losses, loss][-config.window :]
        self.in_a_row = 0

    def refused(self, reason: str, config: DivergenceConfig) -> None:
        """A step was not learned from.

        Raises:
            Diverged: by the settings the run ends here.
        """
        self.in_a_row += 1
        self.left_out += 1
        if config.answer == "stop":
            raise Diverged(reason)
        if config.answer == "roll_back":
            self.rolled_back += 1
        count = self.rolled_back if config.answer == "roll_back" else self.in_a_row
        if count > config.most:
            what = "returns to a checkpoint" if config.answer == "roll_back" else "steps in a row left out"
            raise Diverged(f"{reason}. {config.most} {what} are allowed (divergence.most)")


def objection(step: int, *, loss: float, limit: float, norm: float, rate: float) -> str:
    """Why a step is not learned from; empty where nothing speaks against it."""
    if math.isfinite(loss) and math.isfinite(norm) and loss <= limit:
        return ""
    if loss > limit and math.isfinite(loss):
        found = f"the loss is {loss:.4g}, a spike: above {limit:.4g}"
    elif math.isfinite(loss):
        found = f"the norm of the gradients is {norm}"
    else:
        found = f"the loss is {loss}"
    return (
        f"step {step}: {found} at learning rate {rate:.3g}; the weights were not moved. "
        "Lower optimiser.learning_rate, set optimiser.clip_norm, or look at the batch"
    )
