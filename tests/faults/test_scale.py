"""A million shards with 10⁹ samples: opening, selecting and seeking, with the real files of catalogue and selection."""

import hashlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from unreel.pipelines import selection as selections
from unreel.pipelines.pretext.task import Needs
from unreel.pipelines.selection import select
from unreel.shards import catalogue as catalogues
from unreel.shards.catalogue import Catalogue
from unreel.shards.files import write_atomic

CHILD = Path(__file__).with_name("scale_child.py")
MOST_SECONDS, MOST_MIB = 2.0, 256


def write_catalogue(folder: Path, counts: NDArray[np.int64]) -> None:
    """The two files of a catalogue of shards that are made up."""
    shards = len(counts)
    sums = b"".join(hashlib.sha256(b"%d" % shard).digest() for shard in range(shards))
    columns = {
        "name": pa.array([f"shard-{shard:07}" for shard in range(shards)]),
        "samples": pa.array(counts),
        "bytes": pa.array(counts * 300_000),
        "sha256": pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), shards, [None, pa.py_buffer(sums)]),
        "index_crc32": pa.array(np.zeros(shards, np.uint32)),
    }
    table = pa.table(columns, schema=catalogues._COLUMNS)
    summary = catalogues.Summary(
        identity={}, profile={}, shards=shards, samples=int(counts.sum()), bytes=int(table["bytes"].to_numpy().sum()),
        digest=catalogues._digest(table),
    )  # fmt: skip
    write_atomic(folder / "catalogue.arrow", catalogues._table_bytes(table))
    write_atomic(folder / "catalogue.json", msgspec.json.encode(summary))


class Indexes:
    """Stands in for reading every index: four of five samples are accepted."""

    def __init__(self, catalogue: Catalogue, *_: object) -> None:
        self.classes: list[str] = []
        self.rejected: Counter[str] = Counter()
        self._counts = catalogue.counts

    def __iter__(self) -> Iterator[NDArray[np.uint16]]:
        accepted = (np.arange(self._counts.max()) % 5 > 0).astype(np.uint16)
        return (accepted[:count] for count in self._counts.tolist())


def test_scale_any_step_of_a_large_data_set_is_opened_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: bool, record: Callable[..., None]
) -> None:
    shards = 1_000_000 if full else 20_000
    counts = np.random.default_rng(0).integers(900, 1101, shards)
    write_catalogue(tmp_path, counts)
    monkeypatch.setattr(selections, "_Coder", Indexes)
    selection = select(Catalogue.open(tmp_path), Needs(video=True), split="train", holdout=0.2)
    done = subprocess.run(
        [sys.executable, CHILD, tmp_path, str(10**7)], capture_output=True, text=True, check=True
    )
    figures = json.loads(done.stdout)
    stored = sum(path.stat().st_size for path in (tmp_path / "selections").rglob("*.*") if path.is_file())
    record("scale", "nothing: open, select and seek to step 10⁷", stored_mib=round(stored / 2**20), **figures)
    assert figures["samples"] == counts.sum() and figures["accepted"] == len(selection)
    assert figures["distinct"] == 512 and figures["epoch"] == 10**7 * 256 // len(selection)
    if full:
        assert figures["open_seconds"] + figures["seek_seconds"] <= MOST_SECONDS
        assert figures["peak_mib"] <= MOST_MIB
