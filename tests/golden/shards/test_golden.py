"""Data sets that older versions wrote: every later version reads them to equal sidecars, keys and plans, and migrates them."""

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from unreel.shards.care.migrate import migrate
from unreel.shards.care.migrations import MIGRATIONS
from unreel.shards.care.verify import verify
from unreel.shards.catalogue import Catalogue
from unreel.shards.reader import Reader
from unreel.shards.sample import SCHEMA

HERE = Path(__file__).parent
VERSIONS = sorted(path.name for path in HERE.iterdir() if (path / "expected.json").exists())
TODAY = "{}.{}".format(*SCHEMA)

_spec = importlib.util.spec_from_file_location("golden_make", HERE / "make.py")
assert _spec is not None and _spec.loader is not None
make = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make)


def expected(version: str) -> dict[str, Any]:
    return json.loads((HERE / version / "expected.json").read_text())


def as_json(value: object) -> Any:
    return json.loads(json.dumps(value))


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """What of `old` is not in `new`; `new` may know more."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [line for name in old for line in differences(old[name], new.get(name), f"{where}.{name}")]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [line for place, (a, b) in pairs for line in differences(a, b, f"{where}[{place}]")]
    return [] if old == new else [f"{where}: expected {old!r}, found {new!r}"]


def copied(version: str, tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    shutil.copytree(HERE / version, folder, ignore=shutil.ignore_patterns("expected.json"))
    return folder


def test_there_is_a_golden_data_set_of_every_version() -> None:
    assert VERSIONS == sorted({TODAY, *("{}.{}".format(*version) for version in MIGRATIONS)})


@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_small(version: str) -> None:
    assert sum(path.stat().st_size for path in (HERE / version).iterdir()) < 250_000


@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_read_to_equal_rows_sidecars_keys_and_plans(version: str) -> None:
    found, wanted = as_json(make.describe(HERE / version)), expected(version)
    del found["schema"], wanted["schema"]
    assert differences(wanted, found) == []
    assert len(wanted["plans"]["shuffle_and_learn"]["keys"]) == 200


@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_sound(version: str, tmp_path: Path) -> None:
    assert verify(copied(version, tmp_path), mode="full").damage == ()


@pytest.mark.parametrize("version", VERSIONS)
def test_migrated_it_says_the_same_in_todays_version_and_its_media_are_untouched(
    version: str, tmp_path: Path
) -> None:
    folder = copied(version, tmp_path)
    before = media(folder)
    migrate(folder)
    assert media(folder) == before
    found, wanted = as_json(make.describe(folder)), expected(version)
    for one in (found, wanted):
        del one["schema"], one["digest"]
        for row in one["rows"]:
            # Where members lie in the tar changes with the length of sidecars.
            row["members"] = [
                member[0] if isinstance(member, list) else member["name"] for member in row["members"]
            ]
        for sidecar in one["sidecars"]:
            del sidecar["schema"]
    assert differences(wanted, found) == []
    sidecars = [
        msgspec.to_builtins(Reader(catalogue).read(*place).sidecar) for catalogue, place in places(folder)
    ]
    assert {sidecar["schema"] for sidecar in sidecars} == {TODAY}
    assert {"motion", "luma", "cuts", "content_box"} <= set(sidecars[0]["facts"]["measured"])
    assert verify(folder, mode="full").damage == ()


def test_rows_of_1_0_gain_scene_and_luma(tmp_path: Path) -> None:
    folder = copied("1.0", tmp_path)
    assert {row.scene for _, _, row in Catalogue.open(folder).rows()} == {0}
    migrate(folder)
    rows = [row for _, _, row in Catalogue.open(folder).rows()]
    assert all(0 < row.scene < row.frames and row.luma > 16 for row in rows)


def places(folder: Path) -> list[tuple[Catalogue, tuple[int, int]]]:
    catalogue = Catalogue.open(folder)
    return [(catalogue, (shard, ordinal)) for shard, ordinal, _ in catalogue.rows()]


def media(folder: Path) -> dict[tuple[str, str], bytes]:
    found = {}
    for catalogue, place in places(folder):
        sample = Reader(catalogue).read(*place)
        found |= {
            (sample.row.key, name): bytes(data) for name, data in sample.members.items() if name != "json"
        }
    return found
