"""How a shard on disk becomes valid: the commit of a new one, the replacement of an old one, and what a kill left between."""

import hashlib
from pathlib import Path
from typing import Final

from unreel.shards.files import publish, remove_partials, sync_folder, write_atomic
from unreel.shards.index import INDEX_SUFFIX, ShardIndex, parse_index, wds_index, write_index

__all__ = ["commit_shard", "index_path", "remove_shard", "replace_shard", "settle", "settle_folder"]

_INTENT_SUFFIX: Final = ".intent"
_READ_BYTES: Final = 1 << 20


def index_path(shard: Path) -> Path:
    """`NAME.index.json` beside the tar `shard`."""
    return shard.with_name(shard.name.removesuffix(".tar") + INDEX_SUFFIX)


def commit_shard(path: Path, index: ShardIndex) -> None:
    """Publish the synced tar at `partial_name(path)` and its index: killed at any moment, the shard is there or not."""
    # An older index must be gone before the new tar has the name, or a crash between both would commit a mixture.
    index_path(path).unlink(missing_ok=True)
    sync_folder(path.parent)
    publish(path)
    write_atomic(path.with_suffix(".idx"), wds_index(index))
    write_atomic(index_path(path), write_index(index))


def replace_shard(path: Path, index: ShardIndex) -> None:
    """Publish the synced tar at `partial_name(path)` in place of a committed shard.

    Two files cannot change their names in one step, so the new index is first written down as the intent. Killed before the
    tar has its name, the old shard is valid; killed after it, `settle` ends what was begun.
    """
    write_atomic(_intent(path), write_index(index))
    publish(path)
    _finish(path, index)


def remove_shard(path: Path) -> None:
    """Take a shard off the disk. What someone asked to have removed must not lie about after a kill: `settle` goes on."""
    write_atomic(_intent(path), b"")
    _finish_removal(path)


def settle(path: Path) -> None:
    """End the replacement or removal of a shard that was killed, or take it back. No one may be writing the shard."""
    intent = _intent(path)
    if not intent.exists():
        return
    wanted = intent.read_bytes()
    if not wanted:
        _finish_removal(path)
        return
    index = parse_index(wanted, index_path(path))
    if path.exists() and path.stat().st_size == index.bytes and _sha256(path) == index.sha256:
        _finish(path, index)
    else:
        intent.unlink()
        remove_partials(path.parent, path.name)


def settle_folder(folder: Path) -> None:
    """`settle` every shard in `folder`."""
    for intent in sorted(folder.glob(f".*{INDEX_SUFFIX}{_INTENT_SUFFIX}")):
        name = intent.name.removeprefix(".").removesuffix(INDEX_SUFFIX + _INTENT_SUFFIX)
        settle(folder / f"{name}.tar")


def _finish(path: Path, index: ShardIndex) -> None:
    write_atomic(path.with_suffix(".idx"), wds_index(index))
    _intent(path).replace(index_path(path))
    sync_folder(path.parent)


def _finish_removal(path: Path) -> None:
    for file in (index_path(path), path, path.with_suffix(".idx"), _intent(path)):
        file.unlink(missing_ok=True)
        sync_folder(path.parent)


def _intent(path: Path) -> Path:
    return path.with_name(f".{index_path(path).name}{_INTENT_SUFFIX}")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
