"""Counter-based random numbers: what a row draws depends on (seed, task, purpose, position) and on nothing else.

Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011), vectorised over the
rows of a batch. No state, no call order, no worker: the same position draws the same numbers on any number of GPUs,
after any resume, and whatever the rows around it did.
"""

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Draws", "philox4x32", "stream_key"]

_ROUNDS: Final = 10
_MULTIPLIERS: Final = (0xD2511F53, 0xCD9E8D57)
_WEYL: Final = (0x9E3779B9, 0xBB67AE85)
_LOW: Final = 0xFFFFFFFF
_WORD: Final = 32

_FEW: Final = 16
"""Blocks up to which plain integers are quicker: 6 µs a block against 120 µs a call, and each clip is planned alone."""


def philox4x32(counter: NDArray[np.uint64], key: tuple[int, int]) -> NDArray[np.uint32]:
    """Philox4x32-10: `counter` u64 `[4, N]` holding 32-bit words, `key` two 32-bit words → u32 `[4, N]`."""
    if counter.shape[1] > _FEW:
        c0, c1, c2, c3 = counter
        return np.stack(_rounds(c0, c1, c2, c3, key)).astype(np.uint32)
    blocks = [_rounds(c0, c1, c2, c3, key) for c0, c1, c2, c3 in counter.T.tolist()]
    return np.array(blocks, np.uint32).reshape(-1, 4).T


def _rounds(c0: Any, c1: Any, c2: Any, c3: Any, key: tuple[int, int]) -> tuple[Any, Any, Any, Any]:
    """The same arithmetic on plain integers and on columns of u64."""
    k0, k1 = key
    for _ in range(_ROUNDS):
        product0, product1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            (product1 >> _WORD) ^ c1 ^ k0,
            product1 & _LOW,
            (product0 >> _WORD) ^ c3 ^ k1,
            product0 & _LOW,
        )
        k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
    return c0, c1, c2, c3


def stream_key(*names: object) -> tuple[int, int]:
    """Two 32-bit key words for a stream called by `names`, equal on every machine and in every release."""
    digest = hashlib.blake2b("\x1f".join(map(str, names)).encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")


@dataclass(frozen=True)
class Draws:
    """The random numbers of some rows of a batch for one task.

    Attributes:
        seed: the run's seed.
        task: the task's name; two tasks on one position are independent.
        positions: i64 `[B]`, positions in the order of the run; row i of every result belongs to `positions[i]`.
        moments: what the purpose `plan` is drawn by instead of the task's name, so that tasks of one name here choose the
            same moment of a sample; "" keeps tasks independent.

    Every method takes a `purpose`, which names the decision that the numbers are for. One purpose is drawn once.
    """

    seed: int
    task: str
    positions: NDArray[np.int64]
    moments: str = ""

    @classmethod
    def of(cls, seed: int, task: str, positions: ArrayLike, *, moments: str = "") -> "Draws":
        return cls(seed, task, np.atleast_1d(np.asarray(positions, np.int64)), moments)

    def words(self, purpose: str, count: int) -> NDArray[np.uint32]:
        """u32 `[B, count]`, uniform over all 32-bit words."""
        blocks = -(-count // 4)
        counter = np.zeros((4, len(self.positions), blocks), np.uint64)
        counter[0] = np.arange(blocks)
        counter[2] = (self.positions & _LOW)[:, None]
        counter[3] = (self.positions >> _WORD)[:, None]
        name = self.moments if self.moments and purpose == "plan" else self.task
        words = philox4x32(counter.reshape(4, -1), stream_key(self.seed, name, purpose))
        return words.T.reshape(len(self.positions), 4 * blocks)[:, :count]

    def uniform(self, purpose: str, *shape: int, low: float = 0.0, high: float = 1.0) -> NDArray[np.float32]:
        """f32 `[B, *shape]` in [low, high)."""
        words = self.words(purpose, int(np.prod(shape, dtype=int)))
        unit = (words >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
        return (np.float32(low) + np.float32(high - low) * unit).reshape(-1, *shape)

    def chance(self, purpose: str, probability: float, *shape: int) -> NDArray[np.bool_]:
        """bool `[B, *shape]`, True with `probability`."""
        return self.uniform(purpose, *shape) < probability

    def integers(self, purpose: str, low: ArrayLike, high: ArrayLike, *shape: int) -> NDArray[np.int64]:
        """i64 `[B, *shape]` in [low, high); the bounds may be `[B]` arrays. Raises ValueError on an empty range."""
        low, high = np.broadcast_arrays(*(self._per_row(bound, len(shape)) for bound in (low, high)))
        if np.any(empty := high <= low):
            raise ValueError(f"integers for {purpose!r}: empty range [{low[empty][0]}, {high[empty][0]})")
        words = self.words(purpose, int(np.prod(shape, dtype=int))).reshape(-1, *shape).astype(np.uint64)
        # Multiply-shift: the bias is below range / 2**32.
        return low + ((words * (high - low).astype(np.uint64)) >> np.uint64(_WORD)).astype(np.int64)

    def permutations(self, purpose: str, size: int) -> NDArray[np.int64]:
        """i64 `[B, size]`, each row a random permutation of 0 … size - 1."""
        return np.argsort(self.words(purpose, size), axis=1, kind="stable")

    def row(self, index: int) -> "Draws":
        """The draws of one row, with B = 1."""
        return replace(self, positions=self.positions[index : index + 1])

    def groups(self, group: int) -> "Draws":
        """One row for each aligned group of `group` positions, in order: draws that a whole group shares.

        Raises ValueError when the rows are not whole aligned groups.
        """
        heads = self.positions[::group]
        expected = heads[:, None] + np.arange(group)
        if np.any(heads % group) or not np.array_equal(expected.ravel(), self.positions):
            raise ValueError(
                f"group {group}: {len(self.positions)} positions from {self.positions[:1]} are not whole aligned groups"
            )
        return Draws(self.seed, f"{self.task}/group", heads // group)

    @staticmethod
    def _per_row(bound: ArrayLike, trailing: int) -> NDArray[np.int64]:
        values = np.asarray(bound, np.int64)
        return values.reshape(values.shape + (1,) * trailing) if values.ndim else values
