"""Repair puts right what is condemned, byte for byte, and touches nothing else."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from unreel.shards.build import build
from unreel.shards.care.removal import Wanted, remove
from unreel.shards.care.repair import index_of_tar, plan_repair, repair
from unreel.shards.care.verify import verify
from unreel.shards.catalogue import Catalogue, read_index
from unreel.shards.commit import index_path
from unreel.shards.errors import CatalogueError


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    for name, pattern in (("a", "testsrc2"), ("b", "testsrc"), ("c", "mandelbrot")):
        picture = ("-f", "lavfi", "-i", f"{pattern}=s=96x64:r=25")
        ffmpeg(*picture, "-t", "1.2", "-c:v", "libx264", "-pix_fmt", "yuv420p", folder / f"{name}.mp4")
    return folder


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, sources: Path) -> Path:
    """Three shards of one clip each."""
    out = tmp_path_factory.mktemp("built")
    build([sources], out, shard_bytes=1)
    return out


@pytest.fixture
def shards(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "shards"))


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in folder.iterdir() if path.name not in (".lock", "build.json")
    }


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut": (lambda folder: (folder / "shard-000001.tar").write_bytes(b"x" * 1000), "rebuild"),
    "gone": (lambda folder: (folder / "shard-000001.tar").unlink(), "rebuild"),
    "bit": (lambda folder: flip(folder / "shard-000001.tar", 6000), "rebuild"),
    "idx": (lambda folder: (folder / "shard-000001.idx").write_bytes(b""), "wds-index"),
    "index": (lambda folder: (folder / "shard-000001.index.json").write_bytes(b"{"), "index"),
    "no index": (lambda folder: (folder / "shard-000001.index.json").unlink(), "index"),
    "arrow": (lambda folder: (folder / "catalogue.arrow").unlink(), "catalogue"),
    "catalogue": (lambda folder: (folder / "catalogue.json").write_bytes(b"{}"), "catalogue"),
    "leftover": (lambda folder: (folder / ".shard-000001.tar.partial").write_bytes(b"x"), "settle"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_damaged_comes_back_byte_for_byte(shards: Path, sources: Path, name: str) -> None:
    before = files(shards)
    damage, action = DAMAGE[name]
    damage(shards)
    damaged = files(shards)
    plan = plan_repair(shards)
    assert [step.action for step in plan.steps] == [action] and not plan.clean and not plan.done
    assert files(shards) == damaged
    done = repair(shards, [sources] if action == "rebuild" else (), shard_bytes=1)
    assert done.clean and not done.left, done
    assert done.identical == (("shard-000001",) if action == "rebuild" else ()) and not done.different
    assert files(shards) == before


def test_shards_that_are_not_condemned_are_not_touched(shards: Path, sources: Path) -> None:
    (shards / "shard-000002.tar").unlink()
    times = {path.name: path.stat().st_mtime_ns for path in shards.glob("shard-00000[01].*")}
    repair(shards, [sources], shard_bytes=1)
    assert {path.name: path.stat().st_mtime_ns for path in shards.glob("shard-00000[01].*")} == times


def test_without_sources_a_damaged_tar_is_left_and_named(shards: Path) -> None:
    (shards / "shard-000001.tar").unlink()
    before = files(shards)
    done = repair(shards)
    assert not done.clean and done.left[0].shard == "shard-000001" and files(shards) == before


def test_other_sources_are_refused_before_anything_changes(shards: Path, sources: Path) -> None:
    (shards / "shard-000001.tar").write_bytes(b"")
    before = files(shards)
    with pytest.raises(CatalogueError, match="begun with other sources"):
        repair(shards, [sources / "a.mp4"], shard_bytes=1)
    assert files(shards) == before


def test_what_was_removed_stays_out(shards: Path, sources: Path) -> None:
    remove(shards, Wanted(sources=("b.mp4",)))
    left = len(Catalogue.open(shards))
    (victim,) = (path for path in shards.glob("*.tar") if b"c.mp4" in path.read_bytes())
    victim.write_bytes(b"")
    done = repair(shards, [sources], shard_bytes=1)
    assert done.clean and len(Catalogue.open(shards)) == left == 2
    assert not [
        path.name for path in shards.iterdir() if b"b.mp4" in path.read_bytes() and path.suffix == ".tar"
    ]


def test_an_index_is_made_of_the_tar_alone(shards: Path) -> None:
    path = shards / "shard-000000.tar"
    index = read_index(path)
    assert index_of_tar(path, index.identity) == index


def test_an_index_is_not_made_of_other_bytes(shards: Path) -> None:
    """A tar that the catalogue does not speak of is no shard, however whole it is."""
    shutil.copyfile(shards / "shard-000000.tar", shards / "shard-000001.tar")
    index_path(shards / "shard-000001.tar").unlink()
    assert [step.action for step in plan_repair(shards).steps] == ["rebuild"]
    assert not verify(shards).clean
