"""One writer in a folder, on one machine or on a file system that several share; what a killed one left is taken over.

`flock` decides where the kernel or the file server knows of both writers, and a kernel forgets the lock of a dead process.
Some network file systems grant a lock on each machine by itself, or none at all. So the holder writes its name into the lock
file, with a count that goes on while it lives. Whoever gets the lock and finds a name of another boot (another machine, or
this one before it was started anew) watches the count: a holder that lives is refused to, a silent one taken over. No clock
is compared with another machine's. Should a holder be taken for dead and not be, the folder still gets whole files only: equal
builds write equal bytes, each process under temporary names of its own.
"""

import errno
import fcntl
import os
import platform
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from unreel.shards.errors import CatalogueError
from unreel.shards.files import explain_failure, remove_partials

__all__ = ["locked"]

_BEAT_SECONDS: float = 3.0
"""A holder shows so often that it lives."""
_WATCH_SECONDS: float = 15.0
"""So long a holder of another boot must be silent until it counts as dead."""
# What flock answers where a file system has no locks.
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})


class _Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a folder: the content of `.lock`."""

    process: int
    host: str
    boot: str
    token: str
    beats: int = 0

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for one writer, and remove what a killed one left half written.

    Raises:
        CatalogueError: another writer holds it; it is named.
        WriteFailed, OSError: the folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+b", buffering=0) as lock:
        exclusive = _flock(lock, folder)
        _check_former(lock, folder, exclusive)
        holder = _Holder(process=os.getpid(), host=platform.node(), boot=_boot(), token=secrets.token_hex(8))
        with explain_failure(folder / ".lock", lambda: 4096):
            _write(lock, holder)
        if not exclusive:
            _check_still_mine(lock, folder, holder)
        ended = threading.Event()
        beating = threading.Thread(target=_beat, args=(lock, holder, ended), daemon=True)
        beating.start()
        try:
            remove_partials(folder)
            yield
        finally:
            ended.set()
            beating.join()
            lock.truncate(0)


def _flock(lock: BinaryIO, folder: Path) -> bool:
    """True where the lock is held, False where the file system has none. Raises CatalogueError where another holds it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise _refusal(folder, _read(lock)) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return True


def _check_former(lock: BinaryIO, folder: Path, exclusive: bool) -> None:
    """Raises CatalogueError where a writer who did not take its name away still lives."""
    former = _read(lock)
    if former is None or (exclusive and former.boot == _boot()):
        return
    until = time.monotonic() + _WATCH_SECONDS
    while time.monotonic() < until:
        time.sleep(min(0.2, _BEAT_SECONDS / 4))
        if _read(lock) != former:
            raise _refusal(folder, former)


def _check_still_mine(lock: BinaryIO, folder: Path, holder: _Holder) -> None:
    """Without locks the last one to write its name has the folder, once all who began together have written theirs."""
    time.sleep(_BEAT_SECONDS / 2)
    now = _read(lock)
    if now is None or now.token != holder.token:
        raise _refusal(folder, now)


def _beat(lock: BinaryIO, holder: _Holder, ended: threading.Event) -> None:
    beats = 0
    while not ended.wait(_BEAT_SECONDS):
        beats += 1
        # A full disk stops the build where it writes its shards, and not here.
        with suppress(OSError):
            _write(lock, msgspec.structs.replace(holder, beats=beats))


def _write(lock: BinaryIO, holder: _Holder) -> None:
    text = msgspec.json.encode(holder) + b"\n"
    # The file is open for appending: a shorter text would leave the end of a longer one behind.
    lock.truncate(0)
    lock.write(text)


def _read(lock: BinaryIO) -> _Holder | None:
    try:
        return msgspec.json.decode(os.pread(lock.fileno(), 4096, 0), type=_Holder)
    except msgspec.DecodeError:
        return None


def _refusal(folder: Path, holder: _Holder | None) -> CatalogueError:
    who = "it has just started" if holder is None else str(holder)
    return CatalogueError(
        f"{folder}: another build is writing here ({who}); wait for it, or take another folder"
    )


def _boot() -> str:
    """A name of this start of this machine."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return platform.node()
