"""Compiled selections: how many accepted samples each shard has, and which, found once and kept beside the catalogue.

A folder of four files: `selection.json` (what was asked, totals, checksum), `counts.npy` (i32 `[classes, shards]`),
`sums.npy` (CRC32 of each shard's codes) and `codes.bin`, one code a sample: 0 is not accepted, c + 1 is class c. Without
classes a code is one bit, with them two bytes. The file is mapped, so that memory grows with shards, not with samples.
"""

import hashlib
import logging
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from unreel.shards.errors import CatalogueError
from unreel.shards.files import sync_folder

__all__ = ["COMPILED_VERSION", "Codes", "Compiled", "Label", "compile_codes", "load_codes", "store_codes"]

logger = logging.getLogger(__name__)

COMPILED_VERSION: Final = 1
"""Raised when equal criteria would accept other samples; what another version stored is compiled anew."""

OPEN_CODES: Final = 256
"""Shards whose accepted ordinals are kept unpacked."""

Label = str | int | float


class Codes(Protocol):
    """The codes of all shards, in their order; `classes` and `rejected` hold once it is exhausted."""

    @property
    def classes(self) -> Sequence[Label]:
        """The label's value of each class."""

    @property
    def rejected(self) -> Mapping[str, int]:
        """Reason → samples that failed it."""

    def __iter__(self) -> Iterator[NDArray[np.uint16]]:
        """Codes of each shard, u16 `[samples]`."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `selection.json`."""

    identity: dict[str, Any]
    classes: list[Label]
    rejected: dict[str, int]
    bytes: int
    """Size of the codes."""
    digest: str
    """SHA-256 of counts and sums."""


class Compiled:
    """The accepted samples of a catalogue by class and shard. Threads may share it.

    Attributes:
        counts: i32 `[classes, shards]`; one class where samples are not divided.
        classes: the label's value of each class; empty where samples are not divided.
        rejected: reason → samples that failed it; a sample can fail several.
    """

    def __init__(
        self,
        samples: NDArray[np.int64],
        counts: NDArray[np.int32],
        sums: NDArray[np.uint32],
        codes: NDArray[np.uint8],
        summary: Summary,
    ) -> None:
        self.counts, self.classes, self.rejected = counts, tuple(summary.classes), summary.rejected
        self._samples, self._sums, self._codes = samples, sums, codes
        self._starts = _starts(samples, packed=not summary.classes)
        self._unpacked = lru_cache(OPEN_CODES)(self._unpack)

    def accepted(self, shard: int, number: int | None = None) -> NDArray[np.int64]:
        """Ascending ordinals of the accepted samples of a shard, i64; of class `number` only, or of all.

        Raises:
            CatalogueError: the stored codes are damaged.
        """
        return self._unpacked(shard, number)

    def _unpack(self, shard: int, number: int | None) -> NDArray[np.int64]:
        data = self._codes[self._starts[shard] : self._starts[shard + 1]]
        if zlib.crc32(data.data) != self._sums[shard]:
            raise CatalogueError(
                f"shard number {shard}: its part of the compiled selection is damaged; delete the folder "
                "'selections' beside the catalogue, and it is compiled again"
            )
        if self.classes:
            codes = data.view("<u2")
            return np.flatnonzero(codes > 0 if number is None else codes == number + 1)
        return np.flatnonzero(np.unpackbits(data, count=int(self._samples[shard])))


def compile_codes(samples: NDArray[np.int64], codes: Codes, identity: Mapping[str, Any]) -> Compiled:
    """Compile in memory; `samples` are those of each shard, `[shards]`."""
    sink = BytesIO()
    counts, sums = _write(len(samples), codes, sink, packed=not _divides(identity))
    data = np.frombuffer(sink.getvalue(), np.uint8)
    return Compiled(samples, counts, sums, data, _summary(codes, identity, counts, sums, len(data)))


def store_codes(
    folder: Path, samples: NDArray[np.int64], codes: Codes, identity: Mapping[str, Any]
) -> Compiled:
    """Compile into `folder`, which is there whole or not at all; another process may write the same beside us.

    What `load_codes` did not take is removed.

    Raises OSError when nothing can be written there, before `codes` is touched.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
    try:
        with (partial / "codes.bin").open("wb") as sink:
            counts, sums = _write(len(samples), codes, sink, packed=not _divides(identity))
            summary = _summary(codes, identity, counts, sums, sink.tell())
        np.save(partial / "counts.npy", counts, allow_pickle=False)
        np.save(partial / "sums.npy", sums, allow_pickle=False)
        (partial / "selection.json").write_bytes(msgspec.json.encode(summary) + b"\n")
        _publish(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    compiled = load_codes(folder, samples, identity)
    assert compiled is not None
    return compiled


def load_codes(folder: Path, samples: NDArray[np.int64], identity: Mapping[str, Any]) -> Compiled | None:
    """What `store_codes` wrote for this identity; None where there is none, or a damaged one, which is said aloud."""
    if not folder.is_dir():
        return None
    try:
        summary = msgspec.json.decode((folder / "selection.json").read_bytes(), type=Summary)
        counts = np.load(folder / "counts.npy", mmap_mode="r", allow_pickle=False)
        sums = np.load(folder / "sums.npy", mmap_mode="r", allow_pickle=False)
        codes = np.memmap(folder / "codes.bin", np.uint8, "r") if summary.bytes else np.empty(0, np.uint8)
    except (OSError, ValueError, msgspec.DecodeError) as error:
        logger.warning("%s: not a compiled selection, compiled again: %s", folder, error)
        return None
    whole = _digest(counts, sums) == summary.digest and summary.bytes == len(codes)
    if not whole or summary.identity != identity:
        logger.warning("%s: a damaged or another compiled selection, compiled again", folder)
        return None
    return Compiled(samples, counts, sums, codes, summary)


def _divides(identity: Mapping[str, Any]) -> bool:
    return identity["balance"] is not None


def _write(
    shards: int, codes: Codes, sink: IO[bytes], *, packed: bool
) -> tuple[NDArray[np.int32], NDArray[np.uint32]]:
    """Write the codes of all shards; counts and sums of what was written."""
    counts, sums = np.zeros((1, shards), np.int32), np.zeros(shards, np.uint32)
    for shard, values in enumerate(codes):
        data = np.packbits(values > 0).tobytes() if packed else values.astype("<u2").tobytes()
        found = np.bincount(values)[1:]
        if len(found) > len(counts):
            counts = np.concatenate([counts, np.zeros((len(found) - len(counts), shards), np.int32)])
        counts[: len(found), shard] = found
        sums[shard] = zlib.crc32(data)
        sink.write(data)
    return counts, sums


def _starts(samples: NDArray[np.int64], *, packed: bool) -> NDArray[np.int64]:
    """First byte of each shard's codes, and the end."""
    return np.concatenate([[0], np.cumsum(-(-samples // 8) if packed else 2 * samples)])


def _summary(
    codes: Codes,
    identity: Mapping[str, Any],
    counts: NDArray[np.int32],
    sums: NDArray[np.uint32],
    size: int,
) -> Summary:
    digest = _digest(counts, sums)
    rejected = dict(codes.rejected)
    return Summary(
        identity=dict(identity), classes=list(codes.classes), rejected=rejected, bytes=size, digest=digest
    )


def _digest(counts: NDArray[np.int32], sums: NDArray[np.uint32]) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(counts).data)
    digest.update(np.ascontiguousarray(sums).data)
    return digest.hexdigest()


def _publish(partial: Path, folder: Path) -> None:
    """Sync and rename, unless another process was first."""
    for path in partial.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(partial)
    try:
        partial.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
    sync_folder(folder.parent)
