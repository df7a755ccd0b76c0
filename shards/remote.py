"""A data set behind a URL: byte ranges of its files, each of the length that was asked for, with bounded retries."""

import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import fsspec.asyn
from aiohttp import ClientError

from unreel.shards.errors import Unreachable
from unreel.shards.web import Patience, filesystem, split_url

__all__ = ["RemoteFolder"]

Answer = TypeVar("Answer")

_FINAL: Final = (FileNotFoundError, PermissionError, Unreachable)
"""Asking again does not help."""
_FINAL_STATUS: Final = frozenset({400, 401, 403, 404, 405, 410, 416})
_LIBRARIES: Final = ("aiobotocore", "botocore", "gcsfs")
LARGEST_FILE: Final = 4 << 30
"""Bytes of a catalogue or an index that are fetched as a whole."""


class RemoteFolder:
    """The files below one URL. Threads may share it.

    Attributes:
        url: where the data set lies, without a slash at its end.
    """

    def __init__(self, url: str, *, patience: Patience | None = None) -> None:
        """Nothing is fetched yet.

        Raises:
            ValueError: the scheme is not allowed, or its library is not installed.
        """
        scheme, _ = split_url(url)
        self.url = url.rstrip("/")
        self._patience = patience or Patience()
        self._files = filesystem(scheme, self._patience)
        self._down: dict[str, float] = {}

    def read(self, name: str, start: int, length: int) -> bytes:
        """Bytes [start, start + length) of the file `name`.

        Raises:
            Unreachable: they did not come as asked for in any attempt.
        """

        def ask() -> bytes:
            data = self._ask("cat_file", name, length, start=start, end=start + length)
            if len(data) != length:
                raise OSError(f"asked for {length} bytes at {start}, got {len(data)}")
            return data

        return self._patiently(name, ask)

    def whole(self, name: str, *, limit: int = LARGEST_FILE) -> bytes:
        """The file `name`, of at most `limit` bytes.

        Raises:
            Unreachable: it could not be fetched, or is larger.
        """
        size = self._patiently(name, lambda: self._ask("info", name, 0)["size"])
        if size is None or size > limit:
            raise Unreachable(f"{self.url}/{name}", f"{size} bytes, at most {limit} are fetched")
        return self.read(name, 0, size)

    def _ask(self, method: str, name: str, size: int, **arguments: Any) -> Any:
        """One request of fsspec that ends in time, whatever drips in."""
        target = f"{self.url}/{name}"
        if not self._files.async_impl:
            return getattr(self._files, method)(target, **arguments)
        limit = self._patience.seconds_for(size)
        request = getattr(self._files, f"_{method}")
        return fsspec.asyn.sync(self._files.loop, request, target, timeout=limit, **arguments)

    def _patiently(self, name: str, ask: Callable[[], Answer]) -> Answer:
        target, reason = f"{self.url}/{name}", ""
        if time.monotonic() < self._down.get(name, 0.0):
            raise Unreachable(target, "did not answer a moment ago")
        for attempt in range(self._patience.attempts):
            if attempt:
                time.sleep(self._patience.pause_seconds * 2 ** (attempt - 1))
            try:
                return ask()
            except _FINAL as error:
                raise Unreachable(target, _words(error)) from error
            except Exception as error:
                if not _is_of_the_way(error):
                    raise
                reason = _words(error)
                if getattr(error, "status", None) in _FINAL_STATUS:
                    raise Unreachable(target, reason) from error
        # Otherwise one file that does not answer holds up all that ask for others.
        self._down[name] = time.monotonic() + self._patience.rest_seconds
        raise Unreachable(target, f"{reason} ({self._patience.attempts} attempts)")


def _is_of_the_way(error: Exception) -> bool:
    """Whether an error came from the network or a store's library, and not from a bug: each library has its own root."""
    return isinstance(error, OSError | ClientError) or type(error).__module__.partition(".")[0] in _LIBRARIES


def _words(error: Exception) -> str:
    return getattr(error, "reason", None) or str(error) or type(error).__name__
