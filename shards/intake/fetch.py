"""One file behind a URL, whole: every wait has an end, and no more bytes are taken than are allowed."""

import os
import re
import tempfile
import time
from pathlib import Path
from typing import Final

import fsspec.asyn
from fsspec.spec import AbstractFileSystem

from unreel.shards.border.limits import Limits
from unreel.shards.errors import MediaRefused, Unreachable
from unreel.shards.remote.folder import RemoteFolder
from unreel.shards.remote.web import Patience, filesystem, patiently, split_url

__all__ = ["fetch"]

_BLOCK_BYTES: Final = 8 << 20
# What follows the question mark is often a signature: it does not belong into reports.
_QUERY: Final = re.compile(r"\?[^\s'\"]+")


def fetch(url: str, path: Path, *, limits: Limits, patience: Patience) -> None:
    """Put the bytes of `url` to `path`, whole or not at all.

    Raises:
        MediaRefused: `unreachable` after all attempts, or `too-many-bytes`, before a byte is taken where the size is stated.
    """
    scheme, _ = split_url(url)
    get = _get_web if scheme in ("http", "https") else _get_object
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".partial")
    os.close(descriptor)
    try:
        get(url, Path(partial), limits, patience)
        os.replace(partial, path)
    except Unreachable as error:
        raise MediaRefused("unreachable", _QUERY.sub("?…", error.reason)) from error
    finally:
        Path(partial).unlink(missing_ok=True)


def _get_web(url: str, path: Path, limits: Limits, patience: Patience) -> None:
    files = filesystem("http", patience)
    patiently(
        url, patience, lambda: fsspec.asyn.sync(files.loop, _stream, files, url, path, limits, patience)
    )


async def _stream(
    files: AbstractFileSystem, url: str, path: Path, limits: Limits, patience: Patience
) -> None:
    session = await files.set_session()
    begun, got = time.monotonic(), 0
    async with session.get(files.encode_url(url)) as response:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise Unreachable(
                url, f"sends its bytes as {response.headers['Content-Encoding']}, which was not asked for"
            )
        stated = response.content_length
        limits.check("bytes", stated or 0)
        with path.open("wb") as file:
            async for block in response.content.iter_any():
                got += len(block)
                limits.check("bytes", got)
                if time.monotonic() - begun > patience.seconds_for(got):
                    raise TimeoutError(f"{got} bytes in {time.monotonic() - begun:.0f} s: too slow")
                file.write(block)
    if stated is not None and got != stated:
        raise OSError(f"{stated} bytes stated, {got} came")


def _get_object(url: str, path: Path, limits: Limits, patience: Patience) -> None:
    """In ranges, each asked for again by itself: stores of objects take them, and say how long an object is."""
    parent, _, name = url.rpartition("/")
    folder = RemoteFolder(parent, patience=patience)
    size = folder.size(name)
    if size is None:
        raise Unreachable(url, "the store does not say how long it is")
    limits.check("bytes", size)
    with path.open("wb") as file:
        for start in range(0, size, _BLOCK_BYTES):
            file.write(folder.read(name, start, min(_BLOCK_BYTES, size - start)))
