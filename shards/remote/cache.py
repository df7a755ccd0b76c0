"""A bounded folder of bytes that were fetched: what was used longest ago goes first."""

import os
import tempfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Final

__all__ = ["ByteCache", "default_cache", "keep"]

_ENVIRONMENT: Final = "UNREEL_CACHE"


def default_cache() -> Path:
    """Where fetched bytes are kept: `UNREEL_CACHE`, else below the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get(_ENVIRONMENT) or Path(home, "unreel"))


def keep(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, among others that may write the same one; it need not outlive a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".partial", delete=False) as file:
        try:
            file.write(data)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


class ByteCache:
    """Files below a folder, at most `limit` bytes of them. Threads may share it, and so may processes: whoever finds a
    file gone fetches it again. It checks nothing: whoever reads checks.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        """Begin with what earlier runs left in `folder`.

        Raises:
            ValueError: the limit is negative.
        """
        if limit < 0:
            raise ValueError(f"cache limit {limit}: bytes, 0 or more")
        self._folder, self._limit = folder, limit
        self._lock = Lock()
        self._sizes: OrderedDict[str, int] = OrderedDict(_found(folder))
        self._held = sum(self._sizes.values())

    @property
    def held(self) -> int:
        """Bytes that are kept now."""
        return self._held

    def get(self, name: str) -> bytes | None:
        """What was put under `name`, None where it is not or no longer kept."""
        try:
            data = (self._folder / name).read_bytes()
        except FileNotFoundError:
            self.drop(name)
            return None
        with self._lock:
            if name in self._sizes:
                self._sizes.move_to_end(name)
        return data

    def put(self, name: str, data: bytes) -> None:
        """Keep `data` under `name`, a path below the folder; other files go until all fit. Too large data are not kept."""
        if len(data) > self._limit:
            return
        keep(self._folder / name, data)
        with self._lock:
            self._held += len(data) - self._sizes.pop(name, 0)
            self._sizes[name] = len(data)
            old = self._surplus()
        for gone in old:
            (self._folder / gone).unlink(missing_ok=True)

    def drop(self, name: str) -> None:
        """Forget what is kept under `name`: it proved wrong, or is gone."""
        with self._lock:
            self._held -= self._sizes.pop(name, 0)
        (self._folder / name).unlink(missing_ok=True)

    def _surplus(self) -> list[str]:
        names = []
        while self._held > self._limit:
            name, size = self._sizes.popitem(last=False)
            self._held -= size
            names.append(name)
        return names


def _found(folder: Path) -> list[tuple[str, int]]:
    """(name, bytes) of the files below `folder`, the one used longest ago first."""
    found = []
    for root, _, names in os.walk(folder):
        for path in (Path(root, name) for name in names if not name.startswith(".")):
            # Another process may clear it away between both looks.
            with suppress(FileNotFoundError):
                status = path.stat()
                found.append((status.st_mtime_ns, str(path.relative_to(folder)), status.st_size))
    return [(name, size) for _, name, size in sorted(found)]
