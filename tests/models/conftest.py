"""Batches that live in memory: bars that move to the right, with a tone whose pitch says how fast."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from unreel.pipelines.pretext.task import PretextBatch
from unreel.pipelines.stats import LoaderStats

TUPLES = torch.tensor([[1, 2, 3], [1, 0, 3], [1, 4, 3], [3, 2, 1]])
IN_ORDER = torch.tensor([1, 0, 0, 1])


def make_order_batch(step: int, *, rows: int = 8, size: int = 32, tuples: int = 4) -> PretextBatch:
    """Shuffle-and-learn: five frames of a bar that moves to the right, four tuples a clip."""
    generator = torch.Generator().manual_seed(step)
    frames = 0.3 * torch.randn(rows, 5, 3, size, size, generator=generator)
    starts = torch.randint(0, size // 4, (rows,), generator=generator)
    for row, start in enumerate(starts.tolist()):
        for time in range(5):
            left = start + time * size // 8
            frames[row, time, :, :, left : left + size // 8] += 2
    return PretextBatch(
        inputs={"frame": frames, "tuples": TUPLES[:tuples].expand(rows, tuples, 3)},
        targets=IN_ORDER[:tuples].expand(rows, tuples).clone(),
        **columns(step, rows),
    )


def make_sound_batch(step: int, *, rows: int = 16, size: int = 32) -> PretextBatch:
    """Correspondence: the brightness of a picture is the pitch of its sound, in every other row."""
    generator = torch.Generator().manual_seed(step)
    seen = torch.randint(0, 4, (rows,), generator=generator)
    targets = torch.arange(rows) % 2
    heard = (seen + (1 - targets) * torch.randint(1, 4, (rows,), generator=generator)) % 4
    frames = 0.1 * torch.randn(rows, 3, size, size, generator=generator) + seen[:, None, None, None] - 1.5
    audio = 0.1 * torch.randn(rows, 1, 32, 40, generator=generator)
    for row, pitch in enumerate(heard.tolist()):
        audio[row, 0, 8 * pitch : 8 * pitch + 8] += 2
    return PretextBatch(inputs={"frame": frames, "audio": audio}, targets=targets, **columns(step, rows))


def columns(step: int, rows: int) -> dict[str, Any]:
    return {
        "valid": torch.ones(rows, dtype=torch.bool),
        "positions": np.arange(rows) + step * rows,
        "keys": tuple(f"clip-{step}-{row}" for row in range(rows)),
        "sources": tuple(f"{row:016x}" for row in range(rows)),
    }


@dataclass(frozen=True)
class MemoryStep:
    step: int
    batches: Mapping[str, PretextBatch]
    seconds: Mapping[str, float] = field(default_factory=dict)


class MemorySource:
    """Endless order batches from memory, with a loader's state; `stop_at` ends the stream as a kill would."""

    def __init__(self, *, stop_at: int | None = None) -> None:
        self.step = 0
        self.stats = LoaderStats()
        self._stop_at = stop_at

    def batch(self, step: int, /) -> PretextBatch:
        return make_order_batch(step)

    def batches(self, step: int, /) -> dict[str, PretextBatch]:
        return {"shuffle_and_learn": self.batch(step)}

    def __iter__(self) -> Iterator[MemoryStep]:
        while True:
            if self.step == self._stop_at:
                raise KeyboardInterrupt
            self.step += 1
            yield MemoryStep(self.step - 1, self.batches(self.step - 1))

    def state_dict(self) -> dict[str, int]:
        return {"step": self.step}

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        self.step = state["step"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors: on a busy machine, threads that wait for each other cost ten times what they save."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def order_batch() -> Callable[..., PretextBatch]:
    """Makes the shuffle-and-learn batch of a step."""
    return make_order_batch


@pytest.fixture
def sound_batch() -> Callable[..., PretextBatch]:
    """Makes the correspondence batch of a step."""
    return make_sound_batch


@pytest.fixture
def memory_source() -> type[MemorySource]:
    """The class of sources that make batches in memory."""
    return MemorySource


@pytest.fixture(name="columns")
def columns_fixture() -> Callable[[int, int], dict[str, Any]]:
    """Makes what each batch has beside inputs and targets: step and rows → columns."""
    return columns
