"""Migration: older shards are written anew one by one, newer ones refused by name, nothing is touched before all is known."""

import shutil
from pathlib import Path

import pytest

from unreel.shards.care import rewrite as rewrite_module
from unreel.shards.care.migrate import migrate
from unreel.shards.care.migrations import version_of
from unreel.shards.catalogue import Catalogue, read_index
from unreel.shards.errors import CatalogueError, ShardError
from unreel.shards.index import INDEX_SCHEMA, ShardIndex
from unreel.shards.lock import locked

GOLDEN = Path(__file__).parents[2] / "golden" / "shards" / "1.0"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Two shards of version 1.0."""
    return Path(shutil.copytree(GOLDEN, tmp_path / "old", ignore=shutil.ignore_patterns("expected.json")))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def test_what_is_old_is_counted_written_anew_and_then_left_alone(old: Path) -> None:
    found = migrate(old)
    assert (found.to, found.shards, found.samples, found.outdated) == ("1.1", 2, 4, {"1.0": 4})
    assert (found.rewritten, found.indexed, found.done) == (2, (), True)
    assert {version_of(index.schema) for index in indexes(old)} == {INDEX_SCHEMA}
    after = contents(old)
    again = migrate(old)
    assert (again.rewritten, again.outdated) == (0, {})
    assert contents(old) == after


def indexes(folder: Path) -> list[ShardIndex]:
    return [read_index(path) for path in sorted(folder.glob("*.tar"))]


def test_a_dry_run_changes_nothing(old: Path) -> None:
    before = contents(old)
    found = migrate(old, dry_run=True)
    assert (found.rewritten, found.outdated, found.done) == (2, {"1.0": 4}, False)
    assert contents(old) == before and not (old / ".lock").exists()


def test_killed_between_two_shards_the_same_call_does_the_rest(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path(shutil.copytree(old, tmp_path / "whole"))
    migrate(whole)
    run, calls = rewrite_module._run, 0

    def killed(job: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return run(job)

    monkeypatch.setattr(rewrite_module, "_run", killed)
    with pytest.raises(KeyboardInterrupt):
        migrate(old)
    assert [version_of(index.schema) for index in indexes(old)] == [INDEX_SCHEMA, (1, 0)]
    monkeypatch.undo()
    assert migrate(old).rewritten == 1
    assert contents(old) == contents(whole)
    assert len(Catalogue.open(old)) == 4


def test_newer_majors_are_refused_by_name_and_nothing_is_changed(old: Path) -> None:
    index = old / "shard-000001.index.json"
    index.write_bytes(index.read_bytes().replace(b'"schema":"1.0"', b'"schema":"2.0"'))
    before = contents(old)
    with pytest.raises(ShardError, match=r"shard-000001\.index\.json: index schema 2\.x, .*: update unreel"):
        migrate(old)
    assert contents(old) == before


def test_a_folder_without_shards_or_in_use_is_refused(old: Path, tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="no shard with an index"):
        migrate(tmp_path)
    with locked(old), pytest.raises(CatalogueError, match="another build is writing"):
        migrate(old)
