"""Embeddings of a data set, moment by moment, and the files that they are written to."""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray

from unreel.models.evaluation import still_batches
from unreel.models.export import load_tower
from unreel.models.towers import Tower
from unreel.models.training import load_run
from unreel.pipelines.loader import FailurePolicy, Loader
from unreel.pipelines.media import MediaBatch
from unreel.pipelines.pretext.task import Look, PretextBatch
from unreel.pipelines.stills import Stills
from unreel.shards.catalogue import Catalogue

__all__ = ["Asked", "embed_catalogue"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted: which tower of a run, how many moments of a sample, their mean or each, and which sources."""

    kind: str | None
    moments: int
    mean: bool
    split: str


@dataclass(frozen=True, slots=True)
class _Rows:
    """Embeddings f32 `[N, D]` and what is known of each."""

    embeddings: NDArray[np.float32]
    columns: dict[str, list[Any]]


class _Writer(Protocol):
    def write(self, rows: _Rows) -> None: ...


def embed_catalogue(
    tower: Path,
    data: str,
    out: Path,
    asked: Asked,
    *,
    backend: str,
    threads: int,
    batch_size: int,
    device: str,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Embed every sample of `data` once and write `out`; returns what `--json` holds.

    Raises:
        ValueError: no such tower, another ending than .parquet or .npy, or nothing in the data suits the tower.
    """
    opened = _writer(out)
    encoder, look = _tower(tower, asked.kind)
    on = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    encoder = encoder.to(on).eval()
    loader = Loader(
        Catalogue.open(data),
        Stills.of(look, moments=asked.moments),
        batch_size=batch_size,
        seed=0,
        split=None if asked.split == "all" else asked.split,
        backend=backend,
        threads=threads,
        # Every failure is named at the end; a few do not make the others useless.
        failures=FailurePolicy(share=1.0, run=10**9),
    )
    with loader, opened as writer:
        return _embed(loader, encoder, encoder.kind, asked, writer, say)


def _tower(folder: Path, kind: str | None) -> tuple[Tower, Look]:
    """The tower of an export or of a run, and how it looks at samples."""
    if (folder / "config.json").is_file():
        tower, saved = load_tower(folder)
        return tower, saved.sample_look()
    run = load_run(folder)
    kinds = sorted(run.towers)
    chosen = kinds[0] if kind is None and len(kinds) == 1 else kind
    if chosen not in kinds:
        raise ValueError(f"--tower {kind}: the run has {', '.join(kinds)}; choose one of them")
    return run.towers[chosen], run.look(chosen)


@torch.no_grad()
def _embed(
    loader: Loader, tower: Tower, kind: str, asked: Asked, writer: _Writer, say: Callable[[str], None]
) -> dict[str, Any]:
    rows, failures, seen = 0, [], 0
    for media, batch in still_batches(loader, loader.samples):
        found = _rows(media, batch, tower, kind, mean=asked.mean)
        if found is not None:
            writer.write(found)
            rows += len(found.embeddings)
        # Rows beyond the last sample repeat the first ones, and are not asked for.
        failures += [f"{f.key}, {f.stage}: {f.reason}" for f in media.failures if f.position < loader.samples]
        seen = min(loader.samples, seen + len(media))
        say(f"{seen:,} of {loader.samples:,} samples")
    if not rows:
        raise ValueError(f"{loader.samples} samples: none could be embedded; {failures[:1]}")
    return {
        "rows": rows,
        "samples": seen - len(failures),
        "failures": failures,
        "embed_dim": tower.embed_dim,
        "tower": kind,
    }


def _rows(media: MediaBatch, batch: PretextBatch, tower: Tower, kind: str, *, mean: bool) -> _Rows | None:
    valid = torch.nonzero(batch.valid).flatten()
    if not len(valid):
        return None
    x = batch.inputs[kind][valid].to(next(tower.parameters()).device)
    x = x if kind in ("frame", "video") else x[:, None]
    values = tower(x.flatten(0, 1)).float().cpu().numpy().reshape(*x.shape[:2], -1)
    known = [_moments(media, row, values.shape[1]) for row in valid.tolist()]
    if mean:
        values, known = values.mean(axis=1, keepdims=True), [moments[:1] for moments in known]
    flat = [moment for moments in known for moment in moments]
    columns = {name: [moment[name] for moment in flat] for name in flat[0]}
    if mean:
        columns = {name: columns[name] for name in ("key", "source", "labels")}
    return _Rows(values.reshape(-1, values.shape[2]), columns)


def _moments(media: MediaBatch, row: int, count: int) -> list[dict[str, Any]]:
    """What is known of each moment of a sample; sound starts at `seconds` and belongs to no frame."""
    sidecar, plan = media.sidecars[row], media.plans[row]
    assert sidecar is not None and plan is not None, "a valid row was read and planned"
    frames: list[int | None] = np.asarray(plan.facts["moments"]).tolist() or [None] * count
    rate = float(sidecar.video.frame_rate) if sidecar.video else 0.0
    starts = [frame / rate if frame is not None and rate else _sound_start(media, row) for frame in frames]
    same = {"key": sidecar.key, "source": sidecar.source.id, "labels": json.dumps(sidecar.labels)}
    return [
        same | {"moment": moment, "frame": frame, "seconds": second}
        for moment, (frame, second) in enumerate(zip(frames, starts, strict=True))
    ]


def _sound_start(media: MediaBatch, row: int) -> float:
    plan = media.plans[row]
    return plan.sound.start / media.audio_rate if plan is not None and plan.sound is not None else 0.0


def _writer(out: Path) -> AbstractContextManager[_Writer]:
    kinds: dict[str, Callable[[Path], AbstractContextManager[_Writer]]] = {
        ".parquet": _Parquet,
        ".npy": _Array,
    }
    if out.suffix not in kinds:
        raise ValueError(f"{out}: the name must end in {' or '.join(kinds)}")
    out.parent.mkdir(parents=True, exist_ok=True)
    return kinds[out.suffix](out)


@dataclass
class _Parquet:
    """Row groups as they come, under a draft's name until all are there."""

    path: Path
    _file: Any = None

    def __enter__(self) -> Self:
        return self

    def write(self, rows: _Rows) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        flat = pa.array(rows.embeddings.ravel())
        embedding = pa.FixedSizeListArray.from_arrays(flat, rows.embeddings.shape[1])
        columns = {name: pa.array(values, _ARROW[name](pa)) for name, values in rows.columns.items()}
        table = pa.table({**columns, "embedding": embedding})
        if self._file is None:
            self._file = pq.ParquetWriter(self._draft, table.schema)
        self._file.write_table(table)

    def __exit__(self, kind: object, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            if kind is None:
                self._draft.replace(self.path)
            else:
                self._draft.unlink()

    @property
    def _draft(self) -> Path:
        return self.path.with_suffix(".draft")


_ARROW: dict[str, Callable[[Any], Any]] = {
    "key": lambda pa: pa.string(),
    "source": lambda pa: pa.string(),
    "labels": lambda pa: pa.string(),
    "moment": lambda pa: pa.int32(),
    "frame": lambda pa: pa.int32(),
    "seconds": lambda pa: pa.float64(),
}
"""Column → its type; given, since a batch of sounds has no frame by which it could be guessed."""


@dataclass
class _Array:
    """All rows in memory, then the array and its table."""

    path: Path
    _parts: list[_Rows] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def write(self, rows: _Rows) -> None:
        self._parts.append(rows)

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None or not self._parts:
            return
        np.save(self.path, np.concatenate([part.embeddings for part in self._parts]), allow_pickle=False)
        with self.path.with_suffix(".csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(self._parts[0].columns)
            table.writerows(row for part in self._parts for row in _lines(part))


def _lines(part: _Rows) -> Iterator[tuple[Any, ...]]:
    return zip(*part.columns.values(), strict=True)
