"""Frozen features: what several encoders say of the same stills, with what is known of each moment."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.draws import Draws
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.pretext.task import PretextBatch, PretextTask

__all__ = ["Encoder", "Features", "StillsLoader", "encode", "still_batches"]

Encoder = Callable[[Tensor], Tensor]
"""Towers and baselines: float `[N, ...]` as a tower takes it → float `[N, D]`."""

_MISSING: Final = ""


class StillsLoader(Protocol):
    """What is needed of `unreel.pipelines.loader.Loader`, made for the task `Stills`."""

    @property
    def task(self) -> PretextTask:
        """The `Stills` that it serves."""

    def media(self, step: int) -> MediaBatch:
        """The decoded media of one step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What encoders say of N clips at T times each (T = 1 for sound), and what is known of them.

    Attributes:
        values: encoder → f32 `[N, T, D]`; D is its own.
        sources: str `[N]`.
        tracks: name → f32 `[N, T]`, NaN where a clip has none of that name.
        labels: name → str `[N]`, "" where a clip has none of that name.
        failures: clips that could not be read, planned or decoded; they are not among the N.
    """

    values: Mapping[str, NDArray[np.float32]]
    sources: NDArray[np.str_]
    tracks: Mapping[str, NDArray[np.float32]]
    labels: Mapping[str, NDArray[np.str_]]
    failures: int = 0

    def __len__(self) -> int:
        return len(self.sources)

    def moments(self, encoder: str) -> NDArray[np.float32]:
        """One row a moment, f32 `[N * T, D]`: for what changes within a clip."""
        values = self.values[encoder]
        return values.reshape(-1, values.shape[2])

    def clips(self, encoder: str) -> NDArray[np.float32]:
        """One row a clip: mean and, with several times, standard deviation over them, f32 `[N, D]` or `[N, 2 D]`."""
        values = self.values[encoder]
        parts = [values.mean(axis=1)] + ([values.std(axis=1)] if values.shape[1] > 1 else [])
        return np.concatenate(parts, axis=1)


def still_batches(loader: StillsLoader, clips: int) -> Iterator[tuple[MediaBatch, PretextBatch]]:
    """The stills of the first `clips` positions, each position once; rows beyond them come as not valid."""
    step = seen = 0
    while seen < clips:
        media = loader.media(step)
        asked = torch.arange(len(media), device=media.valid.device) < clips - seen
        media = replace(media, valid=media.valid & asked)
        yield media, loader.task.build(media, Draws.of(0, loader.task.name, media.positions))
        step, seen = step + 1, seen + len(media)


@torch.no_grad()
def encode(
    loader: StillsLoader, encoders: Mapping[str, Encoder], *, clips: int, modality: str = "frame"
) -> Features:
    """Encode the first `clips` positions of `loader`; every encoder sees the same decoded stills.

    Args:
        modality: the input that the encoders take, `frame`, `video` or `audio`.

    Raises:
        ValueError: not one clip could be decoded.
    """
    batches = still_batches(loader, clips)
    known = [row for media, batch in batches for row in _rows(media, batch, encoders, modality)]
    if not known:
        raise ValueError(f"{clips} clips for features: none could be decoded; `unreel inspect` shows why")
    return Features(
        values={name: np.stack([row.values[name] for row in known]) for name in encoders},
        sources=np.array([row.source for row in known], dtype=str),
        tracks=_columns([row.tracks for row in known], np.full(known[0].times, np.nan, np.float32)),
        labels=_columns([row.labels for row in known], np.array(_MISSING)),
        failures=clips - len(known),
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """One clip."""

    values: dict[str, NDArray[np.float32]]
    source: str
    tracks: dict[str, NDArray]
    labels: dict[str, NDArray]
    times: int


def _rows(
    media: MediaBatch, batch: PretextBatch, encoders: Mapping[str, Encoder], modality: str
) -> Iterator[_Row]:
    """The valid clips of one batch."""
    valid = torch.nonzero(batch.valid).flatten()
    if not len(valid):
        return
    x = batch.inputs[modality][valid]
    x = x[:, None] if modality == "audio" else x
    encoded = {name: _apply(encoder, x) for name, encoder in encoders.items()}
    for index, row in enumerate(valid.tolist()):
        values = {name: value[index] for name, value in encoded.items()}
        yield _row(media, row, values, times=x.shape[1], moments=modality != "audio")


def _apply(encoder: Encoder, x: Tensor) -> NDArray[np.float32]:
    """float `[B, T, ...]` → f32 `[B, T, D]`."""
    values = encoder(x.flatten(0, 1)).float().cpu().numpy()
    return values.reshape(*x.shape[:2], -1)


def _row(
    media: MediaBatch, row: int, values: dict[str, NDArray[np.float32]], *, times: int, moments: bool
) -> _Row:
    sidecar, plan = media.sidecars[row], media.plans[row]
    assert sidecar is not None and plan is not None, "a valid row was read and planned"
    seen = np.asarray(plan.facts.get("moments", plan.frames), np.int64)
    tracks = {name: sidecar.track(name)[seen] for name in sidecar.tracks} if moments else {}
    # A number with a fraction names no class.
    labels = {name: np.array(str(v)) for name, v in sidecar.labels.items() if not isinstance(v, float)}
    return _Row(values, media.sources[row], tracks, labels, times)


def _columns(rows: list[dict[str, NDArray]], missing: NDArray) -> dict[str, NDArray]:
    """One array a name over all rows."""
    names = sorted({name for row in rows for name in row})
    return {name: np.stack([row.get(name, missing) for row in rows]) for name in names}
