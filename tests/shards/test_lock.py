"""The lock of a folder: one writer, who is named; a dead one is taken over, one that may live is not."""

import errno
import fcntl
import os
import threading
import time
from pathlib import Path

import msgspec
import pytest

from unreel.shards import lock
from unreel.shards.errors import CatalogueError
from unreel.shards.lock import locked

FOREIGN = {"process": 7, "host": "farm-12", "boot": "another boot", "token": "t", "beats": 4}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_BEAT_SECONDS", 0.05)
    monkeypatch.setattr(lock, "_WATCH_SECONDS", 0.5)


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system on which `flock` is not supported."""

    def refuse(_file: object, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)


def write_holder(folder: Path, **fields: object) -> None:
    (folder / ".lock").write_bytes(msgspec.json.encode({**FOREIGN, **fields}))


def test_second_writer_is_told_who_writes(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(CatalogueError, match=f"process {os.getpid()} on"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass
    assert (tmp_path / ".lock").read_bytes() == b""


def test_what_a_killed_builder_left_half_written_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".shard-000000.tar.12ab.partial").write_bytes(b"half")
    (tmp_path / "shard-000001.tar").write_bytes(b"whole")
    with locked(tmp_path):
        assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "shard-000001.tar"]


def test_dead_writer_of_this_boot_is_taken_over_at_once(tmp_path: Path) -> None:
    write_holder(tmp_path, boot=lock._boot(), host="here")
    started = time.monotonic()
    with locked(tmp_path):
        assert time.monotonic() - started < lock._WATCH_SECONDS


def test_silent_writer_of_another_boot_is_taken_over_after_the_watch(tmp_path: Path) -> None:
    write_holder(tmp_path)
    started = time.monotonic()
    with locked(tmp_path):
        assert time.monotonic() - started >= lock._WATCH_SECONDS


def beating(folder: Path, ended: threading.Event) -> None:
    beats = 0
    while not ended.wait(0.02):
        beats += 1
        write_holder(folder, beats=beats)


def test_living_writer_of_another_machine_is_left_alone(tmp_path: Path) -> None:
    write_holder(tmp_path)
    ended = threading.Event()
    thread = threading.Thread(target=beating, args=(tmp_path, ended))
    thread.start()
    try:
        with pytest.raises(CatalogueError, match="process 7 on farm-12"), locked(tmp_path):
            pass
    finally:
        ended.set()
        thread.join()


def test_holder_beats(tmp_path: Path) -> None:
    with locked(tmp_path):
        seen = set()
        until = time.monotonic() + 5
        while len(seen) < 3 and time.monotonic() < until:
            seen.add((tmp_path / ".lock").read_bytes())
        assert len(seen) >= 3


@pytest.mark.usefixtures("without_locks")
def test_without_flock_the_name_in_the_file_counts(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(CatalogueError, match=f"process {os.getpid()}"), locked(tmp_path):
        pass
    write_holder(tmp_path, boot=lock._boot())
    with locked(tmp_path):
        pass


@pytest.mark.usefixtures("without_locks")
def test_without_flock_one_of_many_gets_the_folder(tmp_path: Path) -> None:
    got: list[int] = []
    begun = threading.Barrier(4)

    def try_it(number: int) -> None:
        begun.wait()
        try:
            with locked(tmp_path):
                got.append(number)
                time.sleep(0.3)
        except CatalogueError:
            pass

    threads = [threading.Thread(target=try_it, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) <= 1


def test_other_failures_of_flock_are_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_file: object, _operation: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match="Input/output"), locked(tmp_path):
        pass
