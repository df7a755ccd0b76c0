"""Write one shard: a deterministic USTAR, and then its index, which is the commit."""

import hashlib
import os
import tarfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from unreel.shards.commit import commit_shard, replace_shard
from unreel.shards.faults import fault
from unreel.shards.files import discard, explain_failure, partial_name
from unreel.shards.index import Member, SampleRow, ShardIndex, row_of
from unreel.shards.sample import MEMBERS, Sidecar, check_key, write_sidecar

__all__ = ["ShardWriter", "tar_header"]

BLOCK: Final = tarfile.BLOCKSIZE

Payload = bytes | memoryview


def tar_header(name: str, size: int) -> bytes:
    """The USTAR header block of a member: no clock, no user and no machine in it.

    Raises ValueError when the name is longer than 100 bytes or the size is not below 8 GiB.
    """
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")


class ShardWriter:
    """Writes `NAME.tar`; use it as a context manager and end with `commit`.

    The tar grows under a hidden name. Leaving the context without `commit` throws it away. `commit` publishes the tar,
    `NAME.idx` for DALI, and last `NAME.index.json`: without that file the shard does not exist.
    """

    def __init__(self, path: Path, *, identity: str) -> None:
        """Begin the shard at `path`, which ends in `.tar`; `identity` is `identity_text` of the builder."""
        if path.suffix != ".tar":
            raise ValueError(f"shard {path}: the name must end in .tar")
        self.path = path
        self.name = check_key(path.stem)
        self._identity = identity
        self._hash = hashlib.sha256()
        self._size = 0
        with explain_failure(path, lambda: BLOCK):
            self._file: BinaryIO = partial_name(path).open("wb")
        fault("temp-open")
        self._rows: dict[str, SampleRow] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Without a commit, what is still in the buffer is thrown away: that it cannot be written is no news.
        with suppress(OSError):
            self._file.close()
        discard(self.path)

    def __len__(self) -> int:
        """Samples so far."""
        return len(self._rows)

    @property
    def size(self) -> int:
        """Bytes of the tar so far."""
        return self._size

    def add(self, sidecar: Sidecar, members: Mapping[str, Payload]) -> SampleRow:
        """Append one sample: its sidecar and the members that the sidecar declares, and `txt` if there is one.

        Raises:
            ValueError: the key is taken, or a member is unknown, missing, or not declared by the sidecar.
        """
        if sidecar.key in self._rows:
            raise ValueError(f"shard {self.name}: key {sidecar.key!r} is taken")
        _check_members(sidecar, members)
        payloads: dict[str, Payload] = {"json": write_sidecar(sidecar), **members}
        placed = tuple(
            self._append(sidecar.key, name, payloads[name]) for name in MEMBERS if name in payloads
        )
        row = row_of(sidecar, placed)
        self._rows[sidecar.key] = row
        return row

    def commit(self) -> ShardIndex:
        """Publish the shard. Killed at any moment, it is there as a whole or not at all.

        Raises:
            ValueError: the shard is empty.
        """
        index = self._end()
        commit_shard(self.path, index)
        return index

    def replace(self, old: ShardIndex) -> ShardIndex:
        """Publish the shard in place of the committed one whose index is `old`; where both are equal, do nothing.

        Killed at any moment, one of both is valid; see `commit.settle`. Raises ValueError when the shard is empty.
        """
        index = self._end()
        if index != old:
            replace_shard(self.path, index)
        return index

    def _end(self) -> ShardIndex:
        if not self._rows:
            raise ValueError(f"shard {self.name}: no sample was added")
        self._write(bytes(2 * BLOCK))
        fault("before-fsync")
        with explain_failure(self.path, lambda: self._size - os.fstat(self._file.fileno()).st_size):
            self._file.flush()
            os.fsync(self._file.fileno())
        return ShardIndex(
            shard=self.name,
            bytes=self._size,
            sha256=self._hash.hexdigest(),
            identity=self._identity,
            samples=tuple(self._rows.values()),
        )

    def _append(self, key: str, name: str, payload: Payload) -> Member:
        self._write(tar_header(f"{key}.{name}", len(payload)))
        offset = self._size
        fault("mid-member")
        self._write(payload)
        self._write(bytes(-len(payload) % BLOCK))
        return Member(name, offset, len(payload), zlib.crc32(payload))

    def _write(self, data: Payload) -> None:
        with explain_failure(self.path, lambda: len(data)):
            fault("write")
            self._file.write(data)
        self._hash.update(data)
        self._size += len(data)


def _check_members(sidecar: Sidecar, members: Mapping[str, Payload]) -> None:
    unknown = sorted(set(members) - set(MEMBERS[1:]))
    if unknown:
        raise ValueError(f"sample {sidecar.key}: members {unknown} are unknown, allowed are {MEMBERS[1:]}")
    declared = {part.member for part in (sidecar.video, sidecar.audio, sidecar.image) if part is not None}
    given = set(members) - {"txt"}
    if given != declared:
        raise ValueError(
            f"sample {sidecar.key}: the sidecar declares {sorted(declared)}, given are {sorted(given)}"
        )
