"""By how much the sound of recordings is early or late, by the distances of a trained sync-offset run."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from unreel.models.objectives.sync_offset import SyncOffset as SyncOffsetObjective
from unreel.models.objectives.sync_offset import estimate_offset
from unreel.models.training import LoadedRun, load_run
from unreel.pipelines.draws import Draws
from unreel.pipelines.loader import FailurePolicy, Loader
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.pretext import SyncOffset
from unreel.pipelines.pretext.listening import UNCHANGED
from unreel.shards.catalogue import Catalogue

__all__ = ["Offsets", "Recording", "measure_offsets"]

_ROWS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """The estimate for one source.

    Attributes:
        name: of the source.
        offset: steps by which its sound is late; below 0 it is early.
        confidence: median of the averaged distances less their minimum.
        distance: the minimum.
        clips: samples that it was measured on.
        moments: rows whose distances were averaged.
    """

    name: str
    offset: int
    confidence: float
    distance: float
    clips: int
    moments: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Offsets:
    """What `unreel offset` finds.

    Attributes:
        run, media: paths.
        step_seconds: how long a step is.
        max_offset: steps either way that were looked at.
        recordings: by name.
        failures: rows that could not be read, planned or decoded.
    """

    run: str
    media: str
    step_seconds: float
    max_offset: int
    recordings: tuple[Recording, ...]
    failures: int


@dataclass(slots=True)
class _Heard:
    """Distances of one source so far."""

    keys: set[str] = field(default_factory=set)
    curves: list[Tensor] = field(default_factory=list)


def measure_offsets(
    run: Path,
    media: Path,
    *,
    passes: int,
    backend: str = "packets",
    say: Callable[[str], None] = lambda _: None,
) -> Offsets:
    """Estimate the offset of every source of `media`, the newest checkpoint of `run` judging.

    Args:
        media: a folder of shards, or what shards can be built of.
        passes: how many moments of each sample are looked at.
        say: hears what is being done.

    Raises:
        ValueError: the run is of another task, or nothing in `media` suits it.
    """
    loaded = load_run(run)
    task = loaded.task
    if not isinstance(task, SyncOffset):
        raise ValueError(f"run {run} is of task {task.name}: offsets are measured by runs of sync_offset")  # noqa: TRY004 -- a user's choice
    # Nothing is drawn but the moment: the clip as it is, with its sound as it is.
    still = replace(task, any_offset=False, flip=0.0, shift=0.0, saturation=0.0, **UNCHANGED)
    with _shards(media, say) as catalogue:
        heard, failures = _listen(loaded, still, catalogue, passes, backend, say)
    if not heard:
        raise ValueError(
            f"{media}: all {failures} moments failed; `unreel inspect --task sync_offset` shows why"
        )
    return Offsets(
        run=str(run),
        media=str(media),
        step_seconds=task.step_seconds,
        max_offset=task.max_offset,
        recordings=tuple(_judge(name, heard[name], task) for name in sorted(heard)),
        failures=failures,
    )


@contextmanager
def _shards(media: Path, say: Callable[[str], None]) -> Iterator[Catalogue]:
    """The data set in `media`, or one that is built of it and gone afterwards."""
    if (media / "catalogue.json").exists():
        yield Catalogue.open(media)
        return
    if not media.exists():
        raise ValueError(f"{media}: no such file or folder")
    from unreel.shards.build import build

    with TemporaryDirectory(prefix="unreel-offset-") as folder:
        summary = build(
            [media], Path(folder), progress=lambda stage, done, total: say(f"{stage} {done}/{total}")
        )
        if not summary.samples:
            reasons = ", ".join(f"{count} {reason}" for reason, count in summary.reasons.items())
            raise ValueError(f"nothing of {media} could be read: {reasons or 'there is no media'}")
        yield Catalogue.open(folder)


@torch.no_grad()
def _listen(
    loaded: LoadedRun,
    task: SyncOffset,
    catalogue: Catalogue,
    passes: int,
    backend: str,
    say: Callable[[str], None],
) -> tuple[dict[str, _Heard], int]:
    """The distances of every source by name, and how many rows failed."""
    objective = loaded.objective
    assert isinstance(objective, SyncOffsetObjective)
    heard: dict[str, _Heard] = {}
    failures, seed = 0, loaded.recipe.train.seed
    everything = FailurePolicy(share=1.0, run=10**9)
    with Loader(
        catalogue, task, batch_size=_ROWS, seed=seed, split=None, backend=backend, failures=everything
    ) as loader:
        steps = math.ceil(passes * loader.samples / _ROWS)
        for step in range(steps):
            say(f"step {step + 1} of {steps}")
            media = loader.media(step)
            batch = task.build(media.as_rgb(), Draws.of(seed, task.name, media.positions))
            distances = objective.distances(loaded.towers, batch).mean(dim=1)
            failures += _note(heard, media, distances)
    return heard, failures


def _note(heard: dict[str, _Heard], media: MediaBatch, distances: Tensor) -> int:
    """Add each valid row to its source's; returns how many were not valid."""
    valid = media.valid.tolist()
    for row, (key, sidecar) in enumerate(zip(media.keys, media.sidecars, strict=True)):
        if valid[row] and sidecar is not None:
            source = heard.setdefault(sidecar.source.name, _Heard())
            source.keys.add(key)
            source.curves.append(distances[row])
    return len(valid) - sum(valid)


def _judge(name: str, heard: _Heard, task: SyncOffset) -> Recording:
    curves = torch.stack(heard.curves)
    index, confidence = estimate_offset(curves[None])
    return Recording(
        name=name,
        offset=int(index) - task.max_offset,
        confidence=float(confidence),
        distance=float(curves.mean(dim=0).min()),
        clips=len(heard.keys),
        moments=len(heard.curves),
    )
