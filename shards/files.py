"""Files that are either whole under their final name or not there at all."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from unreel.shards.errors import WriteFailed
from unreel.shards.faults import fault

__all__ = [
    "discard",
    "explain_failure",
    "partial_name",
    "publish",
    "remove_partials",
    "sync_folder",
    "write_atomic",
]

# Two processes that write one file, even on two machines, write two temporary files: the slower one cannot publish what
# the other has written only half of. The process id is added at use, since a fork copies the rest.
_MINE: Final = secrets.token_hex(4)


def partial_name(path: Path) -> Path:
    """Where this process writes a file before it has its final name: in the same folder, hidden, never read by anything."""
    return path.with_name(f".{path.name}.{_MINE}{os.getpid():x}.partial")


def remove_partials(folder: Path, name: str = "") -> None:
    """Remove what killed processes left half written in `folder`, or of the file `name` alone; nobody may be writing."""
    for partial in folder.glob(f".{name}*.partial"):
        partial.unlink(missing_ok=True)


def publish(path: Path) -> None:
    """Give the synced file at `partial_name(path)` its final name, durably."""
    with explain_failure(path, lambda: 0):
        os.replace(partial_name(path), path)
        fault("after-rename")
        sync_folder(path.parent)


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` so that after a crash at any moment `path` holds either all of it or what it held before.

    Raises:
        WriteFailed: the disk is full, the folder may not be written, or the like; `path` is as it was.
    """
    try:
        with explain_failure(path, lambda: len(data)):
            _write_and_sync(partial_name(path), data)
            publish(path)
    finally:
        discard(path)


def discard(path: Path) -> None:
    """Remove this process's temporary file of `path`, if there is one and it can be removed."""
    with suppress(OSError):
        partial_name(path).unlink(missing_ok=True)


@contextmanager
def explain_failure(path: Path, needed: Callable[[], int]) -> Iterator[None]:
    """Turn what keeps `path` from being written into a `WriteFailed`.

    Args:
        needed: bytes that were to be written, asked when it has failed.
    """
    try:
        yield
    except OSError as error:
        what = error.strerror or str(error)
        raise WriteFailed(
            f"{path}: {what}: {needed():,} more bytes were to be written and {_free(path)}; what is committed stays, and the "
            "same command continues once this is mended"
        ) from error


def sync_folder(folder: Path) -> None:
    """Make renames and removals in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_and_sync(path: Path, data: bytes) -> None:
    half = len(data) // 2
    fault("write")
    with path.open("wb") as file:
        file.write(data[:half])
        fault("mid-manifest")
        file.write(data[half:])
        file.flush()
        os.fsync(file.fileno())


def _free(path: Path) -> str:
    try:
        return f"{shutil.disk_usage(path.parent).free:,} are free"
    except OSError as error:
        return f"the free space is unknown ({error.strerror})"
