"""A data set behind a URL: byte ranges of its files, each of the length that was asked for, with bounded retries."""

import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import fsspec.asyn

from unreel.shards.errors import Unreachable
from unreel.shards.remote.web import Patience, filesystem, patiently, split_url

__all__ = ["RemoteFolder"]

Answer = TypeVar("Answer")

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

    def size(self, name: str) -> int | None:
        """Bytes in the file `name`; None where the place does not say.

        Raises:
            Unreachable: it did not answer in any attempt.
        """
        return self._patiently(name, lambda: self._ask("info", name, 0)["size"])

    def whole(self, name: str, *, limit: int = LARGEST_FILE) -> bytes:
        """The file `name`, of at most `limit` bytes.

        Raises:
            Unreachable: it could not be fetched, or is larger.
        """
        size = self.size(name)
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
        target = f"{self.url}/{name}"
        if time.monotonic() < self._down.get(name, 0.0):
            raise Unreachable(target, "did not answer a moment ago")

        def rest() -> None:
            # Otherwise one file that does not answer holds up all that ask for others.
            self._down[name] = time.monotonic() + self._patience.rest_seconds

        return patiently(target, self._patience, ask, given_up=rest)
