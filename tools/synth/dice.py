"""The random numbers of one clip: each decision is named, and drawn from (seed, clip index, name) alone.

The raw words of NumPy's Philox, which its compatibility policy keeps as they are, and none of NumPy's distributions,
which it may change. `unreel.pipelines.draws` does the same for batches, but its package brings torch along: over two
seconds of start for every worker process of a program that only needs NumPy.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Dice", "dealt"]


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
        unit = (self.words(purpose, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return low + (high - low) * unit

    def integer(self, purpose: str, low: int, high: int) -> int:
        """A uniform integer in [low, high)."""
        return low + int(self.words(purpose, 1)[0]) % (high - low)

    def sign(self, purpose: str) -> int:
        """-1 or 1 with equal chance."""
        return 2 * self.integer(purpose, 0, 2) - 1

    def field(self, purpose: str, *shape: int) -> NDArray[np.float32]:
        """White noise of zero mean and unit variance, f32 `[*shape]`: the sum of four bytes, close to normal."""
        count = int(np.prod(shape, dtype=int))
        parts = self.words(purpose, -(-count // 2)).view(np.uint8).reshape(-1, 4)[:count]
        # A byte has variance (256**2 - 1) / 12.
        return ((parts.sum(axis=1, dtype=np.float32) - 510) * np.float32((65_535 / 3) ** -0.5)).reshape(shape)

    def words(self, purpose: str, count: int) -> NDArray[np.uint64]:
        """u64 `[count]`, uniform over all 64-bit words."""
        name = f"{self.seed}\x1f{self.clip}\x1f{purpose}".encode()
        key = np.frombuffer(hashlib.blake2b(name, digest_size=16).digest(), "<u8")
        return np.asarray(np.random.Philox(key=key).random_raw(count), np.uint64)


def dealt(dice: Dice, purpose: str, choices: int) -> int:
    """A choice in [0, choices) that is balanced: every aligned run of `choices` clips holds each value once."""
    block, place = divmod(dice.clip, choices)
    return int(np.argsort(Dice(dice.seed, block).words(f"dealt/{purpose}", choices))[place])
