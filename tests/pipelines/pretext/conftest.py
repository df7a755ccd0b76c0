"""Made-up sidecars and media for tasks: plans come from the task itself, pixels and sound from a function."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from unreel.pipelines.draws import Draws
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.plan import check_plan
from unreel.pipelines.pretext.task import PretextBatch, PretextTask
from unreel.shards.sample import Sidecar

SEED = 7


Paint = Callable[[Sidecar, np.ndarray], np.ndarray]
"""Sidecar and frame indices `[T]` → u8 `[T, H, W, 3]`."""

Sing = Callable[[Sidecar, int, int], np.ndarray]
"""Sidecar, start and length in audio samples → f32 `[length]`."""


def noise(sidecar: Sidecar, frames: np.ndarray) -> np.ndarray:
    """64 by 64 pixels of a texture of the source's own that moves by two pixels a frame."""
    rng = np.random.default_rng(int(sidecar.source.id, 16))
    texture = rng.integers(0, 256, (64, 640, 3), np.uint8)
    return np.stack([texture[:, 2 * frame : 2 * frame + 64] for frame in frames])


def hum(sidecar: Sidecar, start: int, length: int) -> np.ndarray:
    """Noise at the clip's own level."""
    rng = np.random.default_rng(int(sidecar.source.id, 16))
    return (rng.uniform(0.01, 0.3) * rng.standard_normal(length)).clip(-1, 1).astype(np.float32)


def filmed(
    task: PretextTask,
    sidecars: Sequence[Sidecar],
    *,
    positions: Sequence[int] | None = None,
    seed: int = SEED,
    failed: Sequence[int] = (),
    paint: Paint = noise,
    sing: Sing = hum,
) -> tuple[MediaBatch, Draws]:
    """Media as a backend would give them for the task's own plans; rows in `failed` hold zeros and are not valid."""
    draws = Draws.of(seed, task.name, np.arange(len(sidecars)) if positions is None else positions)
    plans = [task.plan(sidecar, draws.row(row)) for row, sidecar in enumerate(sidecars)]
    for plan, sidecar in zip(plans, sidecars, strict=True):
        check_plan(plan, sidecar)
    valid = np.array([row not in failed for row in range(len(sidecars))])
    pairs = list(zip(plans, sidecars, strict=True))
    frames = (
        np.stack([paint(sidecar, plan.frames) for plan, sidecar in pairs]) * valid[:, None, None, None, None]
    )
    audio = None
    if plans[0].sound is not None:
        sounds = [sing(sidecar, plan.sound.start, plan.sound.length) for plan, sidecar in pairs]
        audio = torch.from_numpy(np.stack(sounds) * valid[:, None]).float()[:, None]
    media = MediaBatch(
        frames=torch.from_numpy(frames.astype(np.uint8)),
        audio=audio,
        audio_rate=48_000 if audio is not None else 0,
        valid=torch.from_numpy(valid),
        positions=draws.positions,
        keys=tuple(sidecar.key for sidecar in sidecars),
        sources=tuple(sidecar.source.id for sidecar in sidecars),
        plans=tuple(plans),
        sidecars=tuple(sidecars),
    )
    return media, draws


def batched(task: PretextTask, sidecars: Sequence[Sidecar], **settings: object) -> PretextBatch:
    return task.build(*filmed(task, sidecars, **settings))


@pytest.fixture
def film() -> Callable[..., tuple[MediaBatch, Draws]]:
    """Makes media from a task's plans; see `filmed`."""
    return filmed


@pytest.fixture
def batch_of() -> Callable[..., PretextBatch]:
    """Makes a task's batch from sidecars; see `filmed`."""
    return batched
