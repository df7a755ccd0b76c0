"""Files: whole or not there, nothing left behind, and one error that says what could not be written."""

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from unreel.shards import files
from unreel.shards.errors import WriteFailed
from unreel.shards.files import partial_name, remove_partials, write_atomic


def test_two_processes_never_share_a_temporary_file(tmp_path: Path) -> None:
    code = "from pathlib import Path; from unreel.shards.files import partial_name; print(partial_name(Path('a')))"
    names = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(names | {str(partial_name(Path("a")))}) == 3


def test_partials_of_one_file_are_removed_and_others_kept(tmp_path: Path) -> None:
    for name in (".a.tar.1.partial", ".b.tar.2.partial", "a.tar"):
        (tmp_path / name).touch()
    remove_partials(tmp_path, "a.tar")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".b.tar.2.partial", "a.tar"]
    remove_partials(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


def test_failed_write_keeps_the_old_file_and_says_what_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "plan.json"
    write_atomic(path, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(WriteFailed, match=r"plan\.json: No space left on device: 4 more bytes .* are free"):
        write_atomic(path, b"new!")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"plan.json": b"old"}


def test_limit_on_file_sizes_is_such_a_failure(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(WriteFailed, match="File too large"):
            write_atomic(tmp_path / "a", bytes(20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())
