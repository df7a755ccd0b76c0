"""Shards are re-issued without touching media: equal bytes, verified copies, old or new after a kill at any moment."""

import os
import shutil
import tarfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import msgspec
import pytest

from unreel.shards.care import rewrite as rewrite_module
from unreel.shards.care.rewrite import rewrite, rewrite_shard
from unreel.shards.catalogue import Catalogue, compile_catalogue, read_index
from unreel.shards.commit import replace_shard
from unreel.shards.errors import CatalogueError, ShardError
from unreel.shards.index import SideFile, write_index
from unreel.shards.lock import locked
from unreel.shards.reader import read_shard
from unreel.shards.sample import Sidecar

Sample = tuple[Sidecar, dict[str, bytes]]
Members = Mapping[str, memoryview]


def label(sidecar: Sidecar, members: Members) -> Sidecar:
    return msgspec.structs.replace(sidecar, labels={"bytes": len(members["mp4"])})


def drop(sidecar: Sidecar, members: Members, *, prefix: str) -> Sidecar | None:
    return None if sidecar.key.startswith(prefix) else sidecar


def keep(sidecar: Sidecar, members: Members) -> Sidecar:
    return sidecar


def fail_at(sidecar: Sidecar, members: Members, *, key: str) -> Sidecar:
    if sidecar.key == key:
        raise RuntimeError(key)
    return label(sidecar, members)


def media(path: Path) -> dict[str, bytes]:
    """File name → bytes of every member but the sidecars, by another tar reader."""
    with tarfile.open(path) as tar:
        files = {name: tar.extractfile(name) for name in tar.getnames() if not name.endswith(".json")}
        return {name: file.read() for name, file in files.items() if file}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def test_sidecars_change_and_media_stay_byte_for_byte(catalogue: Catalogue) -> None:
    folder = catalogue.folder
    before = {name: media(folder / f"{name}.tar") for name in "ab"}
    summary = rewrite(folder, label)
    assert (summary.shards, summary.rewritten, summary.unchanged, summary.samples) == (2, 2, 0, 6)
    assert {name: media(folder / f"{name}.tar") for name in "ab"} == before
    again = Catalogue.open(folder)
    assert again.digest != catalogue.digest and again.identity == catalogue.identity
    for sample in read_shard(folder / "a.tar"):
        assert sample.sidecar.labels["bytes"] == 700


def test_nothing_to_change_leaves_every_byte_and_the_digest(catalogue: Catalogue) -> None:
    before = contents(catalogue.folder)
    assert rewrite(catalogue.folder, keep).unchanged == 2
    assert contents(catalogue.folder) == before


def test_the_same_change_gives_the_same_bytes_on_one_process_or_two(
    catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other") / "copy"
    shutil.copytree(catalogue.folder, other)
    rewrite(catalogue.folder, label)
    rewrite(other, label, workers=2)
    assert contents(other) == contents(catalogue.folder)


def test_samples_go_and_an_empty_shard_goes_with_its_index(catalogue: Catalogue) -> None:
    folder = catalogue.folder
    summary = rewrite(folder, partial(drop, prefix="a-"))
    assert (summary.removed, summary.unchanged, summary.dropped, summary.samples) == (1, 1, 3, 3)
    assert Catalogue.open(folder).names == ("b",)
    assert not list(folder.glob("a.*")) and not list(folder.glob(".a.*"))
    rewrite(folder, partial(drop, prefix="b-"))
    assert {path.name for path in folder.iterdir()} == {".lock"}


def test_a_dropped_sample_leaves_no_byte_behind(
    tmp_path: Path, folder: Path, sample: Callable[..., Sample]
) -> None:
    rewrite_shard(folder / "a.tar", partial(drop, prefix="a-1"))
    left = (folder / "a.tar").read_bytes()
    assert sample("a-1", sound=False)[1]["mp4"] not in left and b"a-1" not in left
    assert sample("a-2")[1]["mp4"] in left


def test_only_the_shards_that_are_asked_for_are_read(catalogue: Catalogue) -> None:
    damaged = catalogue.folder / "a.tar"
    damaged.write_bytes(bytes(damaged.stat().st_size))
    before = damaged.read_bytes()
    assert rewrite(catalogue.folder, label, only=lambda index: index.shard == "b").rewritten == 1
    assert damaged.read_bytes() == before


@pytest.mark.parametrize("member", ["json", "mp4", "flac"])
def test_damage_is_found_and_nothing_is_replaced(folder: Path, member: str) -> None:
    path = folder / "a.tar"
    place = next(one for one in read_index(path).samples[2].members if one.name == member)
    data = bytearray(path.read_bytes())
    data[place.offset + place.size // 2] ^= 1
    path.write_bytes(data)
    before = contents(folder)
    with pytest.raises(ShardError, match=rf"a\.tar, sample a-2, member {member}: expected CRC32"):
        rewrite_shard(path, label)
    assert contents(folder) == before


def test_a_change_that_fails_leaves_the_shard_as_it_was(folder: Path) -> None:
    before = contents(folder)
    with pytest.raises(RuntimeError, match="a-2"):
        rewrite_shard(folder / "a.tar", partial(fail_at, key="a-2"))
    assert contents(folder) == before


def test_a_sidecar_that_does_not_go_with_the_members_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="the sidecar declares"):
        rewrite_shard(folder / "a.tar", lambda s, m: msgspec.structs.replace(s, video=None))


def test_an_index_of_a_newer_minor_version_is_not_written_anew(folder: Path) -> None:
    path = folder / "a.index.json"
    path.write_bytes(write_index(msgspec.structs.replace(read_index(folder / "a.tar"), schema="1.99")))
    assert len(read_index(folder / "a.tar").samples) == 3
    with pytest.raises(ShardError, match=r"index schema 1\.99 is newer than \d+\.\d+: update"):
        rewrite_shard(folder / "a.tar", keep)


@pytest.mark.parametrize("change", [{"partial": True}, {"sidecars": SideFile(bytes=0, sha256="")}])
def test_tars_of_others_and_parts_of_one_are_not_written_anew(
    folder: Path, change: dict[str, object]
) -> None:
    path = folder / "a.index.json"
    path.write_bytes(write_index(msgspec.structs.replace(read_index(folder / "a.tar"), **change)))
    before = contents(folder)
    with pytest.raises(
        ShardError, match="a tar of others, or a part of one, is indexed and never written anew"
    ):
        rewrite_shard(folder / "a.tar", label)
    assert contents(folder) == before


def test_a_folder_that_is_being_written_or_is_no_data_set_is_refused(
    catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with locked(catalogue.folder), pytest.raises(CatalogueError, match="another build is writing"):
        rewrite(catalogue.folder, keep)
    with pytest.raises(CatalogueError, match=r"no catalogue\.json here"):
        rewrite(tmp_path_factory.mktemp("empty"), keep)


class Killed(BaseException):
    """As if the process had ended here."""


class KillingSystem:
    """Counts every rename, removal and sync; the process ends before or after one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, moment: int, *, after: bool) -> None:
        self.calls, self.moment, self.after, self.dead = 0, moment, after, False
        for name in ("replace", "unlink", "fsync"):
            monkeypatch.setattr(os, name, partial(self._call, getattr(os, name)))

    def _call(self, operation: Callable[..., object], *arguments: object, **more: object) -> None:
        if self.dead:
            # A killed process cleans nothing up.
            raise Killed
        self.dead = self.calls == self.moment
        self.calls += 1
        if self.dead and not self.after:
            raise Killed
        operation(*arguments, **more)
        if self.dead:
            raise Killed


def kill_at_each_moment(
    catalogue: Catalogue, change: rewrite_module.Change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[int, set[str]]:
    """How many moments there are, and the digests that were found after a kill at each, once settled."""
    digests, moment = set(), 0
    while True:
        for after in (False, True):
            folder = tmp_path / f"{moment}-{after}"
            shutil.copytree(catalogue.folder, folder)
            with monkeypatch.context() as patch:
                system = KillingSystem(patch, moment, after=after)
                try:
                    rewrite(folder, change)
                except Killed:
                    pass
            if not system.dead:
                return moment, digests
            digests.add(recompiled(folder, catalogue))
            rewrite(folder, change)
            digests.add("end " + recompiled(folder, catalogue))
        moment += 1


def recompiled(folder: Path, like: Catalogue) -> str:
    """The digest of what is valid in `folder`; every member of it is read and checked."""
    found = compile_catalogue(folder, identity=like.identity, profile=like.profile)
    for shard in found.names:
        for sample in read_shard(folder / f"{shard}.tar"):
            assert sample.members
    assert not list(folder.glob(".*.intent"))
    return found.digest


@pytest.mark.parametrize("change", [label, partial(drop, prefix="a-")], ids=["changed", "removed"])
def test_killed_at_any_moment_each_shard_is_old_or_new_and_the_same_call_does_the_rest(
    catalogue: Catalogue,
    change: rewrite_module.Change,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, scratch = catalogue.digest, tmp_path_factory.mktemp("killed")
    moments, digests = kill_at_each_moment(catalogue, change, scratch, monkeypatch)
    ends = {digest for digest in digests if digest.startswith("end ")}
    assert moments > 10 and len(ends) == 1
    # Old, the first shard new, both new: nothing else, whenever it was.
    new = ends.pop().removeprefix("end ")
    assert {old, new} <= digests and len(digests) <= 4


def test_an_intent_that_was_not_carried_out_is_taken_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(folder)
    index = msgspec.structs.replace(read_index(folder / "a.tar"), sha256="0" * 64)
    (folder / ".a.tar.partial").write_bytes(b"new")
    with monkeypatch.context() as patch:
        patch.setattr("unreel.shards.commit.publish", lambda path: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            replace_shard(folder / "a.tar", index)
    rewrite_shard(folder / "a.tar", keep)
    assert contents(folder) == before
