"""The random numbers of one clip: each decision is named, and drawn from (seed, clip index, name) alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unreel.pipelines.draws import Draws, stream_key

__all__ = ["Dice", "dealt"]

_TASK = "synth"


@dataclass(frozen=True)
class Dice:
    """Draws for clip `clip` of the world `seed`; one purpose is drawn once."""

    seed: int
    clip: int

    def number(self, purpose: str, low: float, high: float) -> float:
        """A uniform number in [low, high)."""
        return float(self.numbers(purpose, 1, low, high)[0])

    def numbers(self, purpose: str, count: int, low: float, high: float) -> NDArray[np.float64]:
        """f64 `[count]`, uniform in [low, high)."""
        draws = Draws.of(self.seed, _TASK, self.clip)
        return draws.uniform(purpose, count, low=low, high=high)[0].astype(np.float64)

    def integer(self, purpose: str, low: int, high: int) -> int:
        """A uniform integer in [low, high)."""
        return int(Draws.of(self.seed, _TASK, self.clip).integers(purpose, low, high)[0])

    def sign(self, purpose: str) -> int:
        """-1 or 1 with equal chance."""
        return 2 * self.integer(purpose, 0, 2) - 1

    def generator(self, purpose: str) -> np.random.Generator:
        """For fields of noise, where there are too many numbers to name."""
        low, high = stream_key(self.seed, _TASK, purpose, self.clip)
        return np.random.Generator(np.random.Philox(key=low + (high << 32)))


def dealt(dice: Dice, purpose: str, choices: int) -> int:
    """A choice in [0, choices) that is balanced: every aligned run of `choices` clips holds each value once."""
    block = Draws.of(dice.seed, f"{_TASK}/dealt", dice.clip // choices)
    return int(block.permutations(purpose, choices)[0, dice.clip % choices])
