"""Where a run came from: the state of a checkout, and one session after the other."""

import subprocess
from pathlib import Path

import pytest

from unreel.shards.catalogue import Catalogue
from unreel.tools.provenance import git_state, note_session, read_provenance


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


def test_git_state_of_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert git_state("code", tmp_path).commit == ""
    assert "git" in git_state("code", tmp_path).words
    git(tmp_path, "init")
    (tmp_path / "a.py").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    clean = git_state("code", tmp_path)
    assert (len(clean.commit), clean.changed) == (40, 0) and clean.words.endswith("clean")
    (tmp_path / "a.py").write_text("2")
    (tmp_path / "b.py").write_text("new")
    changed = git_state("code", tmp_path)
    assert changed.commit == clean.commit
    assert (changed.changed, set(changed.files)) == (2, {"a.py", "b.py"})
    monkeypatch.setenv("PATH", "")
    assert git_state("code", tmp_path).commit == ""


def test_sessions_are_noted_one_after_the_other(tiny_catalogue: Catalogue, tmp_path: Path) -> None:
    path, shards = tmp_path / "provenance.json", str(tiny_catalogue.folder)
    for step in (0, 40):
        note_session(path, shards, [20], [4], from_step=step, ranks=2)
    first, second = read_provenance(path).sessions
    assert (first.from_step, second.from_step, second.ranks) == (0, 40, 2)
    assert first.data[0].digest == tiny_catalogue.digest
    assert (first.data[0].samples, first.data[0].used, first.data[0].held_out) == (len(tiny_catalogue), 20, 4)
    assert first.libraries["torch"] and first.machine.cores > 0
    path.write_text("{")
    with pytest.raises(ValueError, match="not the provenance"):
        read_provenance(path)
