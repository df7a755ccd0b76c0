"""Files that are either whole under their final name or not there at all."""

import os
from pathlib import Path

__all__ = ["partial_name", "publish", "sync_folder", "write_atomic"]


def partial_name(path: Path) -> Path:
    """Where a file is written before it has its final name: in the same folder, hidden, never read by anything."""
    return path.with_name(f".{path.name}.partial")


def publish(path: Path) -> None:
    """Give the synced file at `partial_name(path)` its final name, durably."""
    os.replace(partial_name(path), path)
    sync_folder(path.parent)


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` so that after a crash at any moment `path` holds either all of it or what it held before."""
    with partial_name(path).open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    publish(path)


def sync_folder(folder: Path) -> None:
    """Make renames and removals in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
