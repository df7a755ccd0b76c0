"""The folder of a build: one builder, one identity, one set of sources."""

from pathlib import Path

import pytest

from unreel.shards.errors import CatalogueError, IdentityMismatch
from unreel.shards.folder import Plan, begin

PLAN = Plan(identity={"unreel": "1", "ffmpeg": "9.0"}, shards=2, digest="aa")


def test_same_plan_continues(tmp_path: Path) -> None:
    begin(tmp_path, PLAN)
    before = (tmp_path / "plan.json").stat().st_mtime_ns
    begin(tmp_path, PLAN)
    assert (tmp_path / "plan.json").stat().st_mtime_ns == before


def test_other_identity_is_refused_and_both_are_named(tmp_path: Path) -> None:
    begin(tmp_path, PLAN)
    other = Plan(identity={"unreel": "1", "ffmpeg": "9.1"}, shards=2, digest="aa")
    with pytest.raises(IdentityMismatch, match=r"ffmpeg is '9\.0' there and '9\.1' here"):
        begin(tmp_path, other)


def test_other_sources_are_refused(tmp_path: Path) -> None:
    begin(tmp_path, PLAN)
    with pytest.raises(CatalogueError, match="2 shards there, 3 here"):
        begin(tmp_path, Plan(identity=PLAN.identity, shards=3, digest="bb"))


def test_shards_without_a_plan_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "shard-000000.index.json").write_bytes(b"{}")
    with pytest.raises(CatalogueError, match="empty folder"):
        begin(tmp_path, PLAN)


def test_damaged_plan_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(CatalogueError, match=r"plan\.json"):
        begin(tmp_path, PLAN)
