"""Decoded media on its way from a decode backend to a pretext task."""

from collections.abc import Sequence, Sized
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.ops.yuv import Pictures, PlanarYuv, yuv_to_rgb
from unreel.pipelines.plan import Plan
from unreel.shards.sample import Sidecar

__all__ = ["MediaBatch", "SampleFailure"]


@dataclass(frozen=True, slots=True)
class SampleFailure:
    """Why one row of a batch is not valid.

    Attributes:
        row: row in the batch.
        position: position in the order of the run.
        shard, key: which sample; the name of the data set goes before the shard's in a mixture.
        stage: `order`, `read`, `plan`, `decode` or `quarantine`.
        reason: the error's message.
        task: the task whose row is not valid, where a step has several and the others have theirs; else "".
    """

    row: int
    position: int
    shard: str
    key: str
    stage: str
    reason: str
    task: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaBatch:
    """The decoded media of B samples.

    Attributes:
        frames: uint8 in [0, 255], `[B, T, H, W, 3]`, RGB; None where the task takes no picture.
        yuv: the pictures as the codec stores them, in place of `frames`; None unless they are asked for.
        audio: float32 in [-1, 1], `[B, C, N]`; None where the task takes no sound.
        audio_rate: samples per second of `audio`; 0 without sound.
        valid: bool `[B]`; rows that failed are False and hold zeros, also where zeros of planes are no black.
        positions: i64 `[B]`, positions in the order of the run.
        keys: sample keys, "" where the shard's index could not be read.
        sources: source ids, "" where the shard's index could not be read.
        plans: what was decoded; None for a row that could not be planned.
        sidecars: what is known of each sample; None where it could not be read.
        failures: one entry for each row that is not valid.
    """

    frames: Tensor | None
    audio: Tensor | None
    audio_rate: int
    valid: Tensor
    positions: NDArray[np.int64]
    keys: tuple[str, ...]
    sources: tuple[str, ...]
    plans: tuple[Plan | None, ...]
    sidecars: tuple[Sidecar | None, ...]
    failures: tuple[SampleFailure, ...] = ()
    yuv: PlanarYuv | None = None

    def __post_init__(self) -> None:
        rows = len(self.positions)
        lengths = {name: len(value) for name, value in self._columns() if value is not None}
        if set(lengths.values()) != {rows}:
            raise ValueError(f"a batch of {rows} positions holds columns of other lengths: {lengths}")

    def __len__(self) -> int:
        return len(self.positions)

    def __repr__(self) -> str:
        shapes = {
            name: tuple(t.shape)
            for name, t in (("frames", self.frames), ("audio", self.audio))
            if t is not None
        }
        return f"MediaBatch({shapes}, valid {int(self.valid.sum())} of {len(self)}, on {self.valid.device})"

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "MediaBatch":
        """The same batch with its tensors on `device`."""
        return replace(
            self,
            frames=None if self.frames is None else self.frames.to(device, non_blocking=non_blocking),
            audio=None if self.audio is None else self.audio.to(device, non_blocking=non_blocking),
            yuv=None if self.yuv is None else self.yuv.to(device, non_blocking=non_blocking),
            valid=self.valid.to(device, non_blocking=non_blocking),
        )

    @property
    def pictures(self) -> Pictures | None:
        """`frames` or `yuv`, whichever is there: what `render` takes."""
        return self.frames if self.yuv is None else self.yuv

    def as_rgb(self) -> "MediaBatch":
        """The same batch with `frames` in place of `yuv`, converted where the planes are; rows that failed hold zeros."""
        if self.yuv is None:
            return self
        frames = yuv_to_rgb(self.yuv)
        frames[~self.valid.to(frames.device)] = 0
        return replace(self, frames=frames, yuv=None)

    def fact(self, name: str) -> NDArray:
        """The plans' fact `name` as one array `[B, ...]`; rows without a plan hold zeros.

        Raises KeyError if no plan has it.
        """
        known = [np.asarray(plan.facts[name]) for plan in self.plans if plan is not None]
        if not known:
            raise KeyError(name)
        blank = np.zeros_like(known[0])
        return np.stack([blank if plan is None else np.asarray(plan.facts[name]) for plan in self.plans])

    def _columns(self) -> Sequence[tuple[str, Sized | None]]:
        names = ("frames", "yuv", "audio", "valid", "keys", "sources", "plans", "sidecars")
        return [(name, getattr(self, name)) for name in names]
